"""`from agentrun import X`: which X there are, and that they are there."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import agentrun

PACKAGES = ["agentrun", "agentrun.testing"]


def load(name: str) -> ModuleType:
    __import__(name)
    return sys.modules[name]


def declared_for_type_checkers(module: ModuleType) -> set[str]:
    """Names that the module's source imports or defines at its top, in a TYPE_CHECKING block or out of it."""
    assert module.__file__ is not None
    names: set[str] = set()
    tree = ast.parse(Path(module.__file__).read_text())
    blocks = [node.body for node in tree.body if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)]
    for node in [*tree.body, *(node for block in blocks for node in block)]:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("agentrun"):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
    return {name for name in names if not name.startswith("_")}


@pytest.mark.parametrize("name", PACKAGES)
def test_all_is_sorted_and_has_no_doubles(name: str) -> None:
    public = list(load(name).__all__)
    assert public == sorted(set(public))


@pytest.mark.parametrize("name", PACKAGES)
def test_every_name_in_all_is_there(name: str) -> None:
    module = load(name)
    assert [public for public in module.__all__ if not hasattr(module, public)] == []


@pytest.mark.parametrize("name", PACKAGES)
def test_all_names_what_type_checkers_see_and_dir_shows(name: str) -> None:
    module = load(name)
    public = {entry for entry in module.__all__ if not entry.startswith("__")}
    seen = declared_for_type_checkers(module)
    if seen:
        assert seen == public
    assert public <= set(dir(module))


def test_a_star_import_gives_what_all_names() -> None:
    names: dict[str, object] = {}
    exec("from agentrun import *", names)
    assert set(agentrun.__all__) <= names.keys()


def test_public_classes_and_functions_say_they_live_in_agentrun() -> None:
    elsewhere = {
        name: home
        for name in agentrun.__all__
        if (home := getattr(getattr(agentrun, name), "__module__", "agentrun")).split(".")[0] != "agentrun"
        and isinstance(getattr(agentrun, name), type)
    }
    assert elsewhere == {}


def test_an_unknown_name_is_an_attribute_error_that_says_it() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        name = "no_such_name"
        getattr(agentrun, name)


def test_importing_the_package_loads_no_event_loop_and_no_http() -> None:
    heavy = "{'trio', 'httpx', 'httpx2', 'pydantic', 'starlette', 'rich', 'cyclopts', 'h11'}"
    code = f"import agentrun, sys; print(sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
