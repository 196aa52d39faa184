"""The other name of the SQLite session."""

from __future__ import annotations

import anyio.lowlevel

from agentrun.memory.sqlite_session import SQLiteSession

__all__ = ["AsyncSQLiteSession"]


class AsyncSQLiteSession(SQLiteSession):
    """`SQLiteSession`, which never blocks the event loop anyway, with a `close()` to await.

    Source: sessions, `AsyncSQLiteSession`.
    """

    async def close(self) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        """Let go of the database; a conversation in memory is gone. Closing twice is fine. It raises nothing."""
        await anyio.lowlevel.checkpoint()
        super().close()
