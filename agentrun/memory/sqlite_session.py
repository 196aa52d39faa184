"""Conversations in SQLite, the embedded default."""

from __future__ import annotations

import os
import sqlite3
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio.lowlevel

from agentrun.memory._limits import SessionLimits
from agentrun.memory._sqlite_file import Database, Work, database_at, newest_rows
from agentrun.memory._stored import (
    as_settings,
    check_session_id,
    check_table_name,
    decode_item,
    encode_items,
    wanted,
)
from agentrun.memory.session import SessionABC

if TYPE_CHECKING:
    from agentrun._responses import TResponseInputItem
    from agentrun._settings import SessionSettings

__all__ = ["SQLiteSession"]

_T = TypeVar("_T")


class SQLiteSession(SessionABC):
    """A conversation in an SQLite file, or with ":memory:" in this object alone.

    Safe with any number of tasks, threads, event loops and processes on one file. An `add_items` is stored whole or
    not at all, whatever is cancelled or killed when, and nothing of another one stands between its items. It is on disk
    when the call returns.

    Args:
        session_id: names the conversation within the file; any text.
        db_path: the file, created when missing; its directory must exist.
        sessions_table: the table with a row per conversation.
        messages_table: the table with a row per item.
        session_settings: the default limit of `get_items`, also as a dict.
        limits: how much the conversation may hold, also as a dict; by default no item larger than 32 MiB.

    Raises:
        ValueError: a table name is not a plain one, or both are the same.

    Source: sessions, `SQLiteSession`.
    """

    def __init__(
        self,
        session_id: str,
        db_path: str | Path = ":memory:",
        sessions_table: str = "agent_sessions",
        messages_table: str = "agent_messages",
        session_settings: SessionSettings | dict[str, Any] | None = None,
        *,
        limits: SessionLimits | dict[str, Any] | None = None,
    ) -> None:
        self.session_id: str = check_session_id(session_id)
        self.session_settings: SessionSettings | None = as_settings(session_settings)
        self.limits: SessionLimits = SessionLimits.coerce(limits)
        self.db_path = db_path
        self.sessions_table: str = check_table_name(sessions_table, "sessions_table")
        self.messages_table: str = check_table_name(messages_table, "messages_table")
        if sessions_table.lower() == messages_table.lower():
            raise ValueError(f"sessions_table and messages_table must differ, both are {sessions_table!r}")
        path = os.fspath(db_path)
        self._database = Database(None) if path in {":memory:", ""} else database_at(path)
        # Runs once: at close(), or when the session is dropped without it.
        self._release = weakref.finalize(self, self._database.release)
        self._schema = self._tables()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.session_id!r}, {os.fspath(self.db_path)!r})"

    @property
    def lock_key(self) -> tuple[str, str, str, str]:
        """What runs queue on: the conversation in this file and table, whatever object it is reached through."""
        path = os.fspath(self.db_path)
        place = f"memory {id(self)}" if path in {":memory:", ""} else os.path.realpath(path)
        return ("sqlite", place, self.messages_table, self.session_id)

    def _tables(self) -> str:
        """Return the statements that create the tables."""
        sessions, messages = self.sessions_table, self.messages_table
        return f"""
            CREATE TABLE IF NOT EXISTS "{sessions}" (
                session_id TEXT PRIMARY KEY,
                created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
                updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
            );
            CREATE TABLE IF NOT EXISTS "{messages}" (
                id INTEGER PRIMARY KEY AUTOINCREMENT,
                session_id TEXT NOT NULL REFERENCES "{sessions}" (session_id) ON DELETE CASCADE,
                message_data TEXT NOT NULL,
                created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
            );
            CREATE INDEX IF NOT EXISTS "idx_{messages}_session_order" ON "{messages}" (session_id, id);
        """

    async def get_items(self, limit: int | None = None) -> list[TResponseInputItem]:
        """Return the newest `limit` items, oldest first; damaged ones are left out.

        Args:
            limit: None is what `session_settings` says, or all; negative is all.

        Raises:
            RuntimeError: the session is closed.
            sqlite3.Error: the file cannot be read.
        """
        count = wanted(limit, self.session_settings)
        return await self._run(lambda connection: self._load(connection, count), write=False)

    async def add_items(self, items: list[TResponseInputItem]) -> None:
        """Append `items` in order, all or none. On cancel they are stored whole or not at all.

        Raises:
            TypeError: an item is not plain JSON data; nothing is stored.
            SessionFull: they would take the session past its limits; nothing is stored.
            RuntimeError: the session is closed.
            sqlite3.Error: the file cannot be written.
        """
        given = list(items)
        if not given:
            self._check_open()
            await anyio.lowlevel.checkpoint()
            return
        await self._run(lambda connection: self._store(connection, given, encode_items(given)), write=True)

    async def pop_item(self) -> TResponseInputItem | None:
        """Take the newest item out and return it; None when there is none. Damaged ones above it are deleted.

        Raises:
            RuntimeError: the session is closed.
            sqlite3.Error: the file cannot be written.

        On cancel the item is taken, and lost to the caller, or still there.
        """
        return await self._run(self._pop, write=True)

    async def clear_session(self) -> None:
        """Delete every item of the conversation.

        Raises:
            RuntimeError: the session is closed.
            sqlite3.Error: the file cannot be written.
        """
        await self._run(self._clear, write=True)

    def close(self) -> None:
        """Let go of the database; a conversation in memory is gone. Calls in flight finish. Closing twice is fine."""
        self._release()

    def _check_open(self) -> None:
        if not self._release.alive:
            raise RuntimeError(f"session {self.session_id!r} is closed; make a new {type(self).__name__}")

    async def _run(self, work: Work[_T], *, write: bool) -> _T:
        self._check_open()
        return await self._database.run(work, write=write, schema=self._schema)

    # What follows runs in worker threads, inside a transaction.

    def _load(self, connection: sqlite3.Connection, count: int | None) -> list[TResponseInputItem]:
        return newest_rows(
            connection.execute(
                f'SELECT message_data FROM "{self.messages_table}" WHERE session_id = ? ORDER BY id DESC',
                (self.session_id,),
            ),
            count,
        )

    def _store(self, connection: sqlite3.Connection, items: list[TResponseInputItem], texts: list[str]) -> list[int]:
        """Append the items and return the ids of their rows, in order."""
        self.limits.check_items(self.session_id, texts)
        self.limits.check_room(self.session_id, texts, lambda: self._held(connection))
        connection.execute(
            f'INSERT INTO "{self.sessions_table}" (session_id) VALUES (?) '
            "ON CONFLICT (session_id) DO UPDATE SET updated_at = CURRENT_TIMESTAMP",
            (self.session_id,),
        )
        insert = f'INSERT INTO "{self.messages_table}" (session_id, message_data) VALUES (?, ?)'
        ids: list[int] = []
        for text in texts:
            row = connection.execute(insert, (self.session_id, text)).lastrowid
            assert row is not None
            ids.append(row)
        return ids

    def _held(self, connection: sqlite3.Connection) -> tuple[int, int]:
        """Return how many items, and bytes of them, the conversation has."""
        row = connection.execute(
            "SELECT count(*), coalesce(sum(length(CAST(message_data AS BLOB))), 0) "
            f'FROM "{self.messages_table}" WHERE session_id = ?',
            (self.session_id,),
        ).fetchone()
        return row[0], row[1]

    def _pop(self, connection: sqlite3.Connection) -> TResponseInputItem | None:
        newest = f'SELECT id, message_data FROM "{self.messages_table}" WHERE session_id = ? ORDER BY id DESC LIMIT 1'
        while (row := connection.execute(newest, (self.session_id,)).fetchone()) is not None:
            connection.execute(f'DELETE FROM "{self.messages_table}" WHERE id = ?', (row[0],))
            item = decode_item(row[1])
            if item is not None:
                return item
        return None

    def _clear(self, connection: sqlite3.Connection) -> None:
        connection.execute(f'DELETE FROM "{self.messages_table}" WHERE session_id = ?', (self.session_id,))
        connection.execute(f'DELETE FROM "{self.sessions_table}" WHERE session_id = ?', (self.session_id,))
