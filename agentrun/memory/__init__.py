"""Where conversations are kept between runs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from agentrun._config import SessionInputCallback
from agentrun._settings import SessionSettings
from agentrun.memory.session import Session, SessionABC

if TYPE_CHECKING:
    from agentrun.memory._limits import SessionFull, SessionLimits
    from agentrun.memory.in_memory import InMemorySession
    from agentrun.memory.sqlite_session import SQLiteSession

__all__ = [
    "InMemorySession",
    "SQLiteSession",
    "Session",
    "SessionABC",
    "SessionFull",
    "SessionInputCallback",
    "SessionLimits",
    "SessionSettings",
]

# Loaded on first use: a run needs the protocol only, and not everybody who declares an agent needs sqlite3.
_home_of = {
    "InMemorySession": "agentrun.memory.in_memory",
    "SQLiteSession": "agentrun.memory.sqlite_session",
    "SessionFull": "agentrun.memory._limits",
    "SessionLimits": "agentrun.memory._limits",
}


def __getattr__(name: str) -> object:
    """Load a class from its home, once."""
    home = _home_of.get(name)
    if home is None:
        raise AttributeError(f"module 'agentrun.memory' has no attribute {name!r}")
    found = getattr(import_module(home), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
