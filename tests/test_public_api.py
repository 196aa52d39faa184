"""The public API: names, signatures and defaults are held by `public_api.txt`, and every public object is documented.

A change on purpose is taken over with `PYTHONPATH=. python tests/test_public_api.py`; the diff of the file says what
users will see.
"""

from __future__ import annotations

import difflib
import enum
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs

import agentrun

SNAPSHOT = Path(__file__).with_name("public_api.txt")
MODULES = ("agentrun", "agentrun.items", "agentrun.lifecycle", "agentrun.extensions", "agentrun.testing")
MORE = ("agentrun.extensions.handoff_filters", "agentrun.extensions.handoff_prompt", "agentrun.function_schema")


def modules() -> list[ModuleType]:
    return [import_module(name) for name in (*MODULES, *MORE, "agentrun.strict_schema")]


def is_ours(value: object) -> bool:
    return str(getattr(value, "__module__", "")).split(".")[0] == "agentrun"


def signature(value: Any) -> str:
    try:
        text = str(inspect.signature(value))
    except (TypeError, ValueError):
        return ""
    # Where a function or a sentinel lies in memory says nothing.
    return re.sub(r" at 0x[0-9a-f]+", "", text)


def members(cls: type) -> Iterator[tuple[str, Any]]:
    """The public members that a class or a base of it from here defines."""
    found: dict[str, Any] = {}
    for base in reversed([base for base in cls.__mro__ if is_ours(base)]):
        found.update(vars(base))
    slots = {field.name for field in attrs.fields(cls)} if attrs.has(cls) else {*getattr(cls, "declared", ())}
    for name, member in sorted(found.items()):
        if not name.startswith("_") and name not in slots:
            yield name, member


def lines_of(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, enum.EnumMeta):
        yield f"{name}: enum {', '.join(value.__members__)}"
    elif isinstance(value, type) and is_ours(value):
        bases = ", ".join(base.__name__ for base in value.__bases__ if base is not object)
        yield f"{name}: class({bases}){signature(value)}"
        for attribute, member in members(value):
            if isinstance(member, property):
                yield f"{name}.{attribute}: property{signature(member.fget)}"
            elif isinstance(member, classmethod | staticmethod):
                yield f"{name}.{attribute}: {type(member).__name__}{signature(member.__func__)}"
            elif inspect.isfunction(member):
                kind = "async " if inspect.iscoroutinefunction(member) else ""
                yield f"{name}.{attribute}: {kind}method{signature(member)}"
    elif inspect.isfunction(value):
        yield f"{name}: {'async ' if inspect.iscoroutinefunction(value) else ''}function{signature(value)}"
    elif isinstance(value, str | int | float | tuple):
        yield f"{name}: {value if len(str(value)) < 80 else type(value).__name__}"
    else:
        yield f"{name}: {type(value).__name__}"


def public_api() -> list[str]:
    return [
        line
        for module in modules()
        for name in sorted(module.__all__)
        for line in lines_of(f"{module.__name__}.{name}", getattr(module, name))
    ]


def test_names_signatures_and_defaults_are_those_on_record() -> None:
    recorded = SNAPSHOT.read_text().splitlines()
    changes = [
        line
        for line in difflib.unified_diff(recorded, public_api(), "recorded", "now", lineterm="", n=0)
        if not line.startswith("@@")
    ]
    assert changes == [], "\n".join(
        ["run `PYTHONPATH=. python tests/test_public_api.py` if this is on purpose", *changes]
    )


def undocumented(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, type) and is_ours(value):
        if not vars(value).get("__doc__"):
            yield name
        for attribute, member in members(value):
            function: Any = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
            if inspect.isfunction(function) and not inspect.getdoc(getattr(value, attribute)):
                yield f"{name}.{attribute}"
    elif inspect.isfunction(value) and not value.__doc__:
        yield name


def test_every_public_object_has_a_docstring() -> None:
    missing = {
        line
        for module in modules()
        for name in module.__all__
        for line in undocumented(f"{module.__name__}.{name}", getattr(module, name))
    }
    assert sorted(missing) == []


def test_the_record_covers_every_name_of_the_package() -> None:
    recorded = {line.split(":")[0] for line in SNAPSHOT.read_text().splitlines()}
    assert {f"agentrun.{name}" for name in agentrun.__all__} <= recorded


if __name__ == "__main__":
    SNAPSHOT.write_text("\n".join(public_api()) + "\n")
