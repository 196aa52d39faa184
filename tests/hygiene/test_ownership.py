"""An object's underscore attributes are written by its own class only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "agentrun"
OWNERS = frozenset({"self", "cls"})


def targets(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.Assign | ast.Delete):
        return node.targets
    if isinstance(node, ast.AugAssign | ast.AnnAssign | ast.For | ast.AsyncFor):
        return [node.target]
    if isinstance(node, ast.withitem) and node.optional_vars is not None:
        return [node.optional_vars]
    return []


def flat(target: ast.expr) -> Iterator[ast.expr]:
    if isinstance(target, ast.Tuple | ast.List):
        for item in target.elts:
            yield from flat(item)
    elif isinstance(target, ast.Starred):
        yield from flat(target.value)
    else:
        yield target


def names_made_here(function: ast.AST, cls: str | None) -> frozenset[str]:
    """Names that hold an object this class has just made, as in `new = cls(...)` in an alternative constructor."""
    made: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            maker = ast.unparse(node.value.func)
            if maker in {"cls", "cls.__new__", "object.__new__", "type(self)", cls}:
                made |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return frozenset(made)


def outside_writes(
    tree: ast.AST, cls: str | None = None, own: frozenset[str] = frozenset()
) -> Iterator[tuple[int, str]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield from outside_writes(node, node.name, frozenset())
            continue
        inner = own
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            inner = own | names_made_here(node, cls) | (OWNERS if cls else frozenset[str]())
        for target in (part for whole in targets(node) for part in flat(whole)):
            if (
                isinstance(target, ast.Attribute)
                and target.attr.startswith("_")
                and not target.attr.endswith("__")  # __cause__ and the like are the language's
                and not (isinstance(target.value, ast.Name) and target.value.id in own)
            ):
                yield target.lineno, ast.unparse(target)
        yield from outside_writes(node, cls, inner)


def test_nobody_writes_the_underscore_attribute_of_another_object() -> None:
    found = [
        f"{path.relative_to(PACKAGE.parent)}:{line}: {target}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for line, target in outside_writes(ast.parse(path.read_text()))
    ]
    assert found == []


def test_the_check_sees_an_outside_write() -> None:
    source = """
class Good:
    def method(self):
        self._mine = 1

    @classmethod
    def make(cls):
        new = cls()
        new._mine = 2
        return new


class Bad:
    def method(self, other):
        other._theirs = 1
        self.part._theirs += 2
        self.x, other._both = 1, 2
        other.__cause__ = None


def function(thing):
    thing._theirs = 3
"""
    assert [target for _, target in outside_writes(ast.parse(source))] == [
        "other._theirs",
        "self.part._theirs",
        "other._both",
        "thing._theirs",
    ]
