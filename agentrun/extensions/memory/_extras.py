"""Packages that only some sessions need."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def needs(module: str, extra: str, what: str) -> Any:
    """Return an imported module.

    Args:
        module: its full name.
        extra: the extra of agentrun that installs it.
        what: who needs it.

    Raises:
        ImportError: it is not installed; the message says which command installs it.
    """
    try:
        return import_module(module)
    except ImportError as exc:
        raise ImportError(
            f"{what} needs {module!r}, which cannot be imported; pip install 'agentrun[{extra}]'"
        ) from exc
