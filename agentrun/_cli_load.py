"""Finds the object that the command line names. Only the command line may name code; nothing here evaluates any."""

from __future__ import annotations

import importlib
from typing import Any

from agentrun._exceptions import UserError

_EXPECTED = "expected module:attribute, such as my_project.agents:triage"


def load(path: str) -> Any:
    """Return the object at `path`.

    `sys.path` is left as it is: the current directory is searched only where Python itself does, as with `python -m`.

    Args:
        path: the dotted name of a module, a colon, and the dotted name of an attribute in it.

    Raises:
        UserError: `path` has another form, or nothing is there.
        Exception: what the module raises while it is imported.
    """
    module_name, colon, attributes = path.partition(":")
    names = [*module_name.split("."), *attributes.split(".")]
    if not colon or not all(name.isidentifier() for name in names):
        raise UserError(f"got {path!r}, {_EXPECTED}")
    if any(name.startswith("__") for name in names):
        raise UserError(f"got {path!r}, whose names must not begin with two underscores; {_EXPECTED}")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as exc:
        if exc.name is None or not f"{module_name}.".startswith(f"{exc.name}."):
            raise  # the module is there, and one that it imports is not
        raise UserError(
            f"there is no module {exc.name!r}; install it, set PYTHONPATH, or use `python -m agentrun`, "
            "which also looks in the current directory"
        ) from None
    for name in attributes.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise UserError(f"{path!r} names nothing: there is no {name!r} in {found!r}") from None
    return found
