"""Sessions beyond the two in `agentrun.memory`: other stores, encryption, branches and statistics."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentrun.extensions.memory.advanced_sqlite_session import AdvancedSQLiteSession
    from agentrun.extensions.memory.async_sqlite_session import AsyncSQLiteSession
    from agentrun.extensions.memory.encrypted_session import EncryptedSession
    from agentrun.extensions.memory.postgres_session import PostgresSession
    from agentrun.extensions.memory.redis_session import RedisSession

__all__ = ["AdvancedSQLiteSession", "AsyncSQLiteSession", "EncryptedSession", "PostgresSession", "RedisSession"]

_home_of = {
    "AdvancedSQLiteSession": "agentrun.extensions.memory.advanced_sqlite_session",
    "AsyncSQLiteSession": "agentrun.extensions.memory.async_sqlite_session",
    "EncryptedSession": "agentrun.extensions.memory.encrypted_session",
    "PostgresSession": "agentrun.extensions.memory.postgres_session",
    "RedisSession": "agentrun.extensions.memory.redis_session",
}


def __getattr__(name: str) -> object:
    """Load a session class from its home, once."""
    home = _home_of.get(name)
    if home is None:
        raise AttributeError(f"module 'agentrun.extensions.memory' has no attribute {name!r}")
    found = getattr(import_module(home), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
