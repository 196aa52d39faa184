"""Every public function says what it raises, as far as its own code raises anything."""

from __future__ import annotations

import ast
import functools
import inspect
import re
import textwrap
from collections.abc import Iterator
from importlib import import_module
from pkgutil import walk_packages
from typing import Any

import attrs

import agentrun

HOOKS = (agentrun.RunHooks, agentrun.AgentHooks)
_SAYS = re.compile(r"Raises:|raises nothing|an exception from it|See `[\w.]+`|are those of `|is as in `")
"""What a docstring says of exceptions: which there are, that there are none, or whose they are."""


def public_modules() -> Iterator[Any]:
    yield agentrun
    for module in walk_packages(agentrun.__path__, "agentrun."):
        if not any(part.startswith("_") for part in module.name.split(".")):
            yield import_module(module.name)


def is_ours(value: Any) -> bool:
    return str(getattr(value, "__module__", "")).split(".")[0] == "agentrun"


def public_functions() -> Iterator[tuple[str, Any, str]]:
    """Names, functions and docstrings; those of `__init__` are the class's as well."""
    seen: set[Any] = set()
    for module in public_modules():
        for name in module.__all__:
            value = getattr(module, name)
            if not is_ours(value) or id(value) in seen:
                continue
            seen.add(id(value))
            if inspect.isfunction(value):
                yield name, value, value.__doc__ or ""
            elif isinstance(value, type):
                yield from methods(name, value)


def methods(name: str, cls: type[Any]) -> Iterator[tuple[str, Any, str]]:
    for attribute, member in vars(cls).items():
        function: Any = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if not inspect.isfunction(function) or not is_ours(function):
            continue
        doc = inspect.getdoc(getattr(cls, attribute)) or ""
        if attribute == "__init__":
            yield f"{name}()", function, f"{cls.__doc__}\n{doc}"
        elif not attribute.startswith("_"):
            # The callbacks of hooks are described together
            yield f"{name}.{attribute}", function, f"{doc}\n{cls.__doc__}" if issubclass(cls, HOOKS) else doc


@functools.cache
def raises(function: Any) -> bool:
    """Whether the function's own code raises something new."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):  # made by attrs
        return False
    return any(isinstance(node, ast.Raise) and node.exc is not None for node in ast.walk(tree))


def test_what_raises_says_what_it_raises() -> None:
    silent = [name for name, function, doc in public_functions() if raises(function) and not _said(doc)]
    assert silent == []


def _said(doc: str) -> bool:
    return _SAYS.search(doc) is not None


def test_an_awaited_function_says_what_it_raises_or_that_it_raises_nothing() -> None:
    silent = [
        name
        for name, function, doc in public_functions()
        if (inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)) and not _said(doc)
    ]
    assert silent == []


def test_a_class_that_checks_its_fields_says_what_a_wrong_value_raises() -> None:
    silent = {
        cls.__qualname__
        for module in public_modules()
        for name in module.__all__
        if isinstance(cls := getattr(module, name), type)
        and attrs.has(cls)
        and any(field.validator is not None for field in attrs.fields(cls))
        and not re.search(r"Raises:|Error", cls.__doc__ or "")
    }
    assert sorted(silent) == []


OF_OUR_OWN = {
    *("AgentToolDepthError", "ModelError", "ModelLimitError", "ModelStatusError", "ModelTransportError"),
    *("RunTimeoutError", "SessionBusy", "ToolCancelledError", "ApprovalRequest", "ApprovalRequests", "CapturedRun"),
    *("EventStream", "InMemorySession", "Limits", "Meta", "Timeouts", "UnknownItem", "capture_run", "run_data"),
}
"""What no documented behaviour is behind."""


def test_a_docstring_names_the_documented_behaviour_or_the_thing_is_our_own() -> None:
    values = {name: getattr(agentrun, name) for name in agentrun.__all__}
    described = {name: value for name, value in values.items() if inspect.isclass(value) or inspect.isfunction(value)}
    silent = {name for name, value in described.items() if "Source:" not in (value.__doc__ or "")}

    assert silent == OF_OUR_OWN
