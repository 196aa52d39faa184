"""What the library may import, read from the source: no cycle, and no event loop outside the quarantine."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "agentrun"
QUARANTINED = {"asyncio", "trio", "sniffio", "curio", "uvloop"}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def is_typing_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def imports_in(node: ast.AST, *, lazy: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports that run: those in TYPE_CHECKING blocks do not, those inside functions only with `lazy`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif is_typing_only(child) and isinstance(child, ast.If):
            for other in child.orelse:
                yield from imports_in(other, lazy=lazy)
        elif lazy or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from imports_in(child, lazy=lazy)


def absolute(name: str, node: ast.ImportFrom) -> str:
    """The module that a `from` import inside `name` takes from."""
    if not node.level:
        return node.module or ""
    package = name.split(".") if SOURCES[name].name == "__init__.py" else name.split(".")[:-1]
    return ".".join([*package[: len(package) - node.level + 1], *filter(None, [node.module])])


def edges(name: str, *, lazy: bool) -> set[str]:
    """The modules of the package that `name` imports by itself; its parent packages are not counted."""
    found: set[str] = set()
    for node in imports_in(ast.parse(SOURCES[name].read_text()), lazy=lazy):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        else:
            origin = absolute(name, node)
            inside = {f"{origin}.{alias.name}" for alias in node.names}
            # `from package import module` needs the module; `from module import name` needs the module named.
            found |= {full if full in SOURCES else origin for full in inside}
    return {other for other in found if other in SOURCES and other != name}


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The strongly connected components with more than one module (Tarjan)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        order[name] = low[name] = len(order)
        stack.append(name)
        for other in sorted(graph[name]):
            if other not in order:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], order[other])
        if low[name] == order[name]:
            component: list[str] = []
            while not component or component[-1] != name:
                component.append(stack.pop())
            if len(component) > 1:
                found.append(sorted(component))

    for name in sorted(graph):
        if name not in order:
            visit(name)
    return found


@pytest.mark.parametrize("lazy", [False, True], ids=["at import", "with imports inside functions"])
def test_modules_import_each_other_in_no_cycle(lazy: bool) -> None:
    # The package itself re-exports everything by name on first access; nothing inside imports it.
    graph = {name: edges(name, lazy=lazy) for name in SOURCES if name != "agentrun"}
    graph = {name: targets & graph.keys() for name, targets in graph.items()}
    assert cycles(graph) == []


def test_no_module_imports_the_package_itself() -> None:
    inside = [name for name in SOURCES if name not in {"agentrun", "agentrun.__main__"}]
    assert [name for name in inside if "agentrun" in edges(name, lazy=True)] == []


def imported_roots(name: str) -> Iterable[str]:
    for node in ast.walk(ast.parse(SOURCES[name].read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def test_event_loops_are_imported_only_in_the_quarantine() -> None:
    found = {
        name: sorted(QUARANTINED.intersection(imported_roots(name)))
        for name in SOURCES
        if name != "agentrun._detached" and not name.startswith("agentrun.testing")
    }
    assert {name: roots for name, roots in found.items() if roots} == {}


def test_the_quarantine_is_small() -> None:
    source = SOURCES.get("agentrun._detached")
    if source is None:
        pytest.skip("there is no agentrun/_detached.py")
    assert len(source.read_text().splitlines()) <= 60
