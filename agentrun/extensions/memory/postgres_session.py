"""Conversations in PostgreSQL, by psycopg's connection pool in worker threads. Needs the extra `postgres`."""

from __future__ import annotations

import hashlib
import threading
import time
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread

from agentrun.extensions.memory._extras import needs
from agentrun.extensions.memory._finish import GRACE_SECONDS, finish
from agentrun.memory._limits import SessionLimits
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
    from psycopg import Connection
    from psycopg_pool import ConnectionPool

    from agentrun._responses import TResponseInputItem
    from agentrun._settings import SessionSettings

__all__ = ["PostgresSession"]

_T = TypeVar("_T")

_Cursor: TypeAlias = Any
"""A psycopg cursor. Its type takes literal statements only; what ours are made of are checked table names."""

Work: TypeAlias = "Callable[[_Cursor], _T]"
"""What a worker thread does inside a transaction."""

_POOL_SECONDS = 30.0
"""Protects a call from a pool that has no connection to give: an unreachable server, or connections that leaked."""
_LOOK_SECONDS = 0.1
"""How often a thread that waits for the pool looks whether its call was cancelled."""
_LONGEST_ID = 1000
"""Bytes of a session id up to which it is stored as it is; an index row of PostgreSQL holds 2,700."""
_CREATING = 7_308_604_755_338_326_117
"""The advisory lock under which tables are created: CREATE TABLE IF NOT EXISTS is not safe by itself."""

_limiters: anyio.lowlevel.RunVar[weakref.WeakKeyDictionary[Any, anyio.CapacityLimiter]] = anyio.lowlevel.RunVar(
    "agentrun_postgres"
)
_prepared: weakref.WeakKeyDictionary[Any, set[str]] = weakref.WeakKeyDictionary()


class PostgresSession(SessionABC):
    """A conversation in PostgreSQL, shared by every process that names it.

    An `add_items` is one transaction under a lock on its conversation: stored whole or not at all, with nothing of
    another one between its items. A cancel also cancels the statement on the server.

    Args:
        session_id: names the conversation; any text.
        pool: a `psycopg_pool.ConnectionPool`, the sync one, of your own; it is used and never closed. Share one among
            all sessions of a process.
        create_tables: create the tables when they are missing.
        sessions_table: the table with a row per conversation.
        messages_table: the table with a row per item.
        session_settings: the default limit of `get_items`, also as a dict.
        limits: how much the conversation may hold, also as a dict; by default no item larger than 32 MiB.

    Raises:
        ValueError: a table name is not a plain one, or both are the same.
    """

    def __init__(
        self,
        session_id: str,
        *,
        pool: ConnectionPool[Any],
        create_tables: bool = True,
        sessions_table: str = "agent_sessions",
        messages_table: str = "agent_messages",
        session_settings: SessionSettings | dict[str, Any] | None = None,
        limits: SessionLimits | dict[str, Any] | None = None,
    ) -> None:
        self.session_id: str = check_session_id(session_id)
        self.session_settings: SessionSettings | None = as_settings(session_settings)
        self.limits: SessionLimits = SessionLimits.coerce(limits)
        self._sessions = check_table_name(sessions_table, "sessions_table")
        self._messages = check_table_name(messages_table, "messages_table")
        if self._sessions == self._messages:
            raise ValueError(f"sessions_table and messages_table must differ, both are {sessions_table!r}")
        self._pool = pool
        self._owned = False
        self._closed = False
        self._create_tables = create_tables
        self._key = _key(session_id)

    @classmethod
    def from_url(
        cls,
        session_id: str,
        url: str,
        *,
        pool_kwargs: dict[str, Any] | None = None,
        session_settings: SessionSettings | dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Return a session with a pool of its own, which `close()` closes. Nothing connects before the first call.

        Args:
            session_id: names the conversation.
            url: a connection string, as in `postgresql://user:password@host:5432/database`.
            pool_kwargs: for `psycopg_pool.ConnectionPool`; up to 4 connections by default, none while idle.
            session_settings: the default limit of `get_items`.
            kwargs: the other arguments of the constructor.

        Raises:
            ImportError: psycopg or its pool is not installed.
        """
        needs("psycopg", "postgres", "PostgresSession")
        psycopg_pool: Any = needs("psycopg_pool", "postgres", "PostgresSession")
        options = {"min_size": 0, "max_size": 4, "open": False, **(pool_kwargs or {})}
        session = cls(
            session_id, pool=psycopg_pool.ConnectionPool(url, **options), session_settings=session_settings, **kwargs
        )
        session._owned = True
        return session

    async def __aenter__(self) -> Self:
        """Return the session; leaving the block closes it."""
        await anyio.lowlevel.checkpoint()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the session."""
        await self.close()  # noqa: ASYNC102 - shields itself

    async def close(self) -> None:
        """Close the session, and a pool of its own; further calls raise. Closing twice is fine.

        Raises:
            Exception: whatever the pool raises while it closes.
        """
        was_closed, self._closed = self._closed, True
        if not self._owned or was_closed:
            await anyio.lowlevel.checkpoint()
            return
        with anyio.CancelScope(shield=True):  # at most the timeout: the pool's own threads end
            await anyio.to_thread.run_sync(lambda: self._pool.close(timeout=GRACE_SECONDS))

    async def get_items(self, limit: int | None = None) -> list[TResponseInputItem]:
        """Return the newest `limit` items, oldest first; damaged ones are left out.

        Args:
            limit: None is what `session_settings` says, or all; negative is all.

        Raises:
            RuntimeError: the session is closed.
            psycopg.Error: the server cannot be reached, or refuses.
        """
        count = wanted(limit, self.session_settings)

        def load(cursor: _Cursor) -> list[TResponseInputItem]:
            query = f'SELECT message_data FROM "{self._messages}" WHERE session_id = %s ORDER BY id DESC'
            items: list[TResponseInputItem] = []
            # Rows come whole, so a limited read asks for as many as it needs, and for all only when some are damaged.
            for most in (count, None) if count is not None else (None,):
                cursor.execute(query + " LIMIT %s", (self._key, most))
                items = [item for (text,) in cursor if (item := decode_item(text)) is not None]
                if cursor.rowcount != most or len(items) == most:
                    break
            return items[:count][::-1]

        return await self._run(load)

    async def add_items(self, items: list[TResponseInputItem]) -> None:
        """Append `items` in order, all or none. On cancel they are stored whole or not at all.

        Raises:
            TypeError: an item is not plain JSON data; nothing is stored.
            SessionFull: they would take the session past its limits; nothing is stored.
            RuntimeError: the session is closed.
            psycopg.Error: the server cannot be reached, or refuses.
        """
        given = list(items)
        if not given:
            self._check_open()
            await anyio.lowlevel.checkpoint()
            return

        def store(cursor: _Cursor) -> None:
            texts = encode_items(given)
            self.limits.check_items(self.session_id, texts)
            self._lock(cursor)
            self.limits.check_room(self.session_id, texts, lambda: self._held(cursor))
            rows = [(self._key, text) for text in texts]
            cursor.executemany(f'INSERT INTO "{self._messages}" (session_id, message_data) VALUES (%s, %s)', rows)

        await self._run(store)

    async def pop_item(self) -> TResponseInputItem | None:
        """Take the newest item out and return it; None when there is none. Damaged ones above it are deleted.

        Raises:
            RuntimeError: the session is closed.
            psycopg.Error: the server cannot be reached, or refuses.

        On cancel the item is taken, and lost to the caller, or still there.
        """

        def pop(cursor: _Cursor) -> TResponseInputItem | None:
            self._lock(cursor)
            newest = f'SELECT max(id) FROM "{self._messages}" WHERE session_id = %s'
            delete = f'DELETE FROM "{self._messages}" WHERE id = ({newest}) RETURNING message_data'
            while (row := cursor.execute(delete, (self._key,)).fetchone()) is not None:
                item = decode_item(row[0])
                if item is not None:
                    return item
            return None

        return await self._run(pop)

    async def clear_session(self) -> None:
        """Delete the conversation.

        Raises:
            RuntimeError: the session is closed.
            psycopg.Error: the server cannot be reached, or refuses.
        """

        def clear(cursor: _Cursor) -> None:
            self._lock(cursor)
            cursor.execute(f'DELETE FROM "{self._messages}" WHERE session_id = %s', (self._key,))
            cursor.execute(f'DELETE FROM "{self._sessions}" WHERE session_id = %s', (self._key,))

        await self._run(clear)

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError(f"session {self.session_id!r} is closed; make a new {type(self).__name__}")

    async def _run(self, work: Work[_T]) -> _T:
        self._check_open()
        prepared = _prepared.setdefault(self._pool, set())
        prepares = self._create_tables and self._messages not in prepared
        call = _Call(self._pool, work, self._prepare if prepares else None, opens=self._owned)
        async with _limiter(self._pool):

            async def in_thread() -> _T:
                return await anyio.to_thread.run_sync(
                    call.run, abandon_on_cancel=True, limiter=anyio.CapacityLimiter(1)
                )

            async def stop() -> None:
                await anyio.to_thread.run_sync(call.stop, abandon_on_cancel=True, limiter=anyio.CapacityLimiter(1))

            result = await finish(in_thread, stop=stop)
        prepared.add(self._messages)
        return result

    # What follows runs in worker threads, inside a transaction.

    def _lock(self, cursor: _Cursor) -> None:
        """Make the conversation's row ours until the transaction ends, so that ids follow the order of the writes."""
        cursor.execute(
            f'INSERT INTO "{self._sessions}" (session_id) VALUES (%s) '
            "ON CONFLICT (session_id) DO UPDATE SET updated_at = now()",
            (self._key,),
        )

    def _held(self, cursor: _Cursor) -> tuple[int, int]:
        """Return how many items, and bytes of them, the conversation has."""
        row = cursor.execute(
            "SELECT count(*), coalesce(sum(octet_length(message_data)), 0)::bigint "
            f'FROM "{self._messages}" WHERE session_id = %s',
            (self._key,),
        ).fetchone()
        return row[0], row[1]

    def _prepare(self, cursor: _Cursor) -> None:
        """Create the tables, in a transaction of its own: an index locks the table against writers."""
        sessions, messages = self._sessions, self._messages
        if cursor.execute("SELECT to_regclass(%s) IS NOT NULL", (f'"{messages}_order"',)).fetchone() == (True,):
            return
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_CREATING,))
        cursor.execute(
            f'CREATE TABLE IF NOT EXISTS "{sessions}" (session_id text PRIMARY KEY, '
            "created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now())"
        )
        cursor.execute(
            f'CREATE TABLE IF NOT EXISTS "{messages}" (id bigserial PRIMARY KEY, session_id text NOT NULL '
            f'REFERENCES "{sessions}" (session_id) ON DELETE CASCADE, message_data text NOT NULL, '
            "created_at timestamptz NOT NULL DEFAULT now())"
        )
        cursor.execute(f'CREATE INDEX IF NOT EXISTS "{messages}_order" ON "{messages}" (session_id, id)')


class _Cancelled(Exception):
    """Ends the thread of a call whose caller was cancelled; nobody sees it."""


class _Call:
    """One transaction in a worker thread, which another thread may stop."""

    def __init__(self, pool: ConnectionPool[Any], work: Work[Any], prepare: Work[None] | None, *, opens: bool) -> None:
        self._pool = pool
        self._work = work
        self._prepare = prepare
        self._opens = opens
        self._lock = threading.Lock()  # held while the connection at work is cancelled or given back
        self._connection: Connection[Any] | None = None
        self._stopped = False

    def run(self) -> Any:
        """Return what the work returns, committed.

        Raises:
            psycopg.Error: the server cannot be reached, or refuses.
        """
        if self._opens:
            self._pool.open()
        connection = self._take()
        try:
            with self._lock:
                self._connection = connection
            if self._prepare is not None:
                with connection.transaction(), connection.cursor(row_factory=_tuple_row()) as cursor:
                    self._prepare(cursor)
            with connection.transaction(), connection.cursor(row_factory=_tuple_row()) as cursor:
                result = self._work(cursor)
                self._check()
            return result
        finally:
            with self._lock:
                self._connection = None
            self._pool.putconn(connection)

    def stop(self) -> None:
        """Cancel the statement that the server works on, and let no other one begin."""
        self._stopped = True
        with self._lock:
            if self._connection is not None:
                self._connection.cancel_safe(timeout=GRACE_SECONDS)

    def _take(self) -> Connection[Any]:
        timeouts: Any = needs("psycopg_pool", "postgres", "PostgresSession").PoolTimeout
        give_up = time.monotonic() + _POOL_SECONDS
        while True:
            self._check()
            try:
                connection: Connection[Any] = self._pool.getconn(timeout=_LOOK_SECONDS)
            except timeouts:
                if time.monotonic() > give_up:
                    raise
            else:
                return connection

    def _check(self) -> None:
        if self._stopped:
            raise _Cancelled


def _tuple_row() -> Any:
    return needs("psycopg.rows", "postgres", "PostgresSession").tuple_row


def _limiter(pool: ConnectionPool[Any]) -> anyio.CapacityLimiter:
    """Return who may use a pool in this event loop: as many as it has connections, first come, first served."""
    limiters = _limiters.get(None)
    if limiters is None:
        limiters = weakref.WeakKeyDictionary[Any, anyio.CapacityLimiter]()
        _limiters.set(limiters)
    limiter = limiters.get(pool)
    if limiter is None:
        limiter = limiters[pool] = anyio.CapacityLimiter(pool.max_size)
    return limiter


def _key(session_id: str) -> str:
    """Return what stands for a session id in the tables; no two ids share one."""
    data = session_id.encode()
    if len(data) <= _LONGEST_ID and b"\0" not in data and not session_id.startswith("sha256:"):
        return session_id
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
