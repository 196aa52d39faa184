"""One SQLite database and its connections, used from worker threads.

All sessions of a process that name one file share one `Database`, so that a server with a session object per request
does not open a connection for each. Nothing in it belongs to a thread or an event loop:

    event loop          limiter: one writer at a time per loop, first come, first served; a few readers beside it
    worker thread       a connection of the pool: BEGIN IMMEDIATE -> work -> last look at the cancel scope -> COMMIT
    other processes     SQLite's own file lock; while it is taken, the worker asks again after a few random milliseconds

A cancel reaches the worker by `anyio.from_thread.check_cancelled`, which it asks while it waits for the file, every few
thousand steps of a statement, and once before COMMIT. So a cancelled write is undone whole, or was decided and is kept
whole.
"""

from __future__ import annotations

import os
import random
import re
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
import attrs

from agentrun.memory._stored import decode_item

if TYPE_CHECKING:
    from agentrun._responses import TResponseInputItem

_T = TypeVar("_T")

Work = Callable[[sqlite3.Connection], _T]
"""What a worker thread does inside a transaction."""

_BUSY_SECONDS = 60.0
"""Protects a call from a process that holds the file's lock for ever; then it fails with "database is locked"."""
_PAUSE_SECONDS = (0.0005, 0.008)
"""Between two attempts to lock the file. Random, so that processes that wait do not meet again and again."""
_STEPS = 4000
"""SQLite virtual machine steps between two looks at the cancel scope; well under a millisecond."""
_READERS = 4
"""Reads of one file at once in one event loop; more would wait for the interpreter lock anyway."""
_LOOK_EVERY = 256
"""Rows decoded between two looks at the cancel scope."""
_IDLE = 4
"""Connections kept open for the next call."""

_CREATED = re.compile(r'IF NOT EXISTS "([^"]+)"')
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


@attrs.frozen
class _Turns:
    """Who may use a database in one event loop."""

    writer: anyio.CapacityLimiter
    readers: anyio.CapacityLimiter


_turns: anyio.lowlevel.RunVar[weakref.WeakKeyDictionary[Database, _Turns]] = anyio.lowlevel.RunVar("agentrun_sqlite")

_files: weakref.WeakValueDictionary[str, Database] = weakref.WeakValueDictionary()
_files_lock = threading.Lock()
_inherited: list[sqlite3.Connection] = []  # SQLite forbids to use or to close a connection after a fork


def database_at(path: str) -> Database:
    """Return the database of a file, one for the whole process, with one user more."""
    path = os.path.realpath(path)
    with _files_lock:
        database = _files.get(path)
        if database is None:
            database = _files[path] = Database(path)
        else:
            database.retain()
        return database


class Database:
    """A database file, or with None as its path one in memory. It closes when its last user releases it."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._lock = threading.Lock()  # held for moments, never while SQLite works
        self._idle: list[sqlite3.Connection] = []
        self._alone = threading.Lock()  # in memory there is one connection, used by one thread at a time
        self._process = os.getpid()
        self._inode: tuple[int, int] | None = None
        self._prepared: set[str] = set()
        self._users = 1
        weakref.finalize(self, _close, self._idle, self._process)

    def retain(self) -> None:
        """Count one user more."""
        with self._lock:
            self._users += 1

    def release(self) -> None:
        """Count one user less; the last one closes the connections, those at work as soon as they are done."""
        with self._lock:
            self._users -= 1
            if self._users:
                return
        if self._path is not None:
            with self._lock:
                idle, self._idle[:] = list(self._idle), []
            for connection in idle:
                connection.close()
        elif self._alone.acquire(blocking=False):
            try:
                _close(self._idle, self._process)
            finally:
                self._alone.release()

    async def run(self, work: Work[_T], *, write: bool, schema: str) -> _T:
        """Return what `work` returns, done in a worker thread, inside one transaction.

        Args:
            work: gets the connection.
            write: takes the file's write lock first, and commits at the end.
            schema: statements that create what `work` needs, run once; each says IF NOT EXISTS.

        Raises:
            sqlite3.Error: the file cannot be opened, is no database, or stays locked for a minute.
            Exception: whatever `work` raises; the transaction is undone.

        On cancel the transaction is undone, unless it was already being committed.
        """
        turns = self._turns()
        limiter = turns.writer if write or self._path is None else turns.readers
        # In a list that the thread empties: an idle worker thread keeps the arguments of its last call alive, and
        # with the work the session, which would not let go of its connections.
        todo = [work]
        del work
        return await anyio.to_thread.run_sync(
            self._call, todo, write, schema, anyio.get_cancelled_exc_class(), limiter=limiter
        )

    def _turns(self) -> _Turns:
        everyone = _turns.get(None)
        if everyone is None:
            everyone = weakref.WeakKeyDictionary[Database, _Turns]()
            _turns.set(everyone)
        mine = everyone.get(self)
        if mine is None:
            mine = everyone[self] = _Turns(anyio.CapacityLimiter(1), anyio.CapacityLimiter(_READERS))
        return mine

    # What follows runs in worker threads.

    def _call(self, todo: list[Work[_T]], write: bool, schema: str, cancelled: type[BaseException]) -> _T:
        work = todo.pop()
        with self._connection() as connection:

            def stop() -> bool:
                try:
                    anyio.from_thread.check_cancelled()
                except cancelled:
                    return True
                return False

            connection.set_progress_handler(stop, _STEPS)
            try:
                self._prepare(connection, schema)
                return _transact(connection, work, write=write)
            except sqlite3.OperationalError as exc:
                if _code(exc) == sqlite3.SQLITE_INTERRUPT:
                    anyio.from_thread.check_cancelled()  # raises the cancellation that interrupted the statement
                raise
            finally:
                connection.set_progress_handler(None, 0)

    @contextmanager
    def _connection(self) -> Generator[sqlite3.Connection, None, None]:
        """Lend a connection to this thread."""
        if self._path is not None:
            connection = self._take()
            try:
                yield connection
            finally:
                self._give_back(connection)
            return
        with self._alone:
            if not self._idle:
                self._idle.append(_connect(":memory:"))
            try:
                yield self._idle[0]
            finally:
                if not self._users:
                    _close(self._idle, self._process)

    def _take(self) -> sqlite3.Connection:
        assert self._path is not None
        with self._lock:
            stale = self._discard_stale()
            connection = self._idle.pop() if self._idle else None
        for one in stale:
            one.close()
        if connection is not None:
            return connection
        try:
            connection = _connect(self._path)
        except sqlite3.OperationalError as exc:
            exc.add_note(f"the database is {self._path!r}; its directory must exist and be writable")
            raise
        try:
            # Readers do not wait for the writer, and a commit is one append that a crash leaves whole or absent.
            _patiently(lambda: connection.execute("PRAGMA journal_mode=WAL"))
            with self._lock:
                if self._inode is None:  # the file was made just now
                    self._inode = _inode(self._path)
        except BaseException:
            connection.close()
            raise
        return connection

    def _discard_stale(self) -> list[sqlite3.Connection]:
        """Forget connections made before a fork, or to a file that is no longer the one at the path."""
        stale: list[sqlite3.Connection] = []
        if self._process != os.getpid():
            _inherited.extend(self._idle)
            self._idle.clear()
            self._process = os.getpid()
            weakref.finalize(self, _close, self._idle, self._process)
        inode = _inode(self._path or "")
        if inode is None or inode != self._inode:
            stale = list(self._idle)
            self._idle.clear()
            self._prepared.clear()
            self._inode = inode
        return stale

    def _give_back(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            if self._users and len(self._idle) < _IDLE:
                self._idle.append(connection)
                return
        connection.close()

    def _prepare(self, connection: sqlite3.Connection, schema: str) -> None:
        """Create the tables, once per file and schema."""
        if schema in self._prepared:
            return

        # Looked up first, because creating what is there already would wait for a writer.
        def missing(connection: sqlite3.Connection) -> bool:
            there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
            return not there.issuperset(_CREATED.findall(schema))

        def create(connection: sqlite3.Connection) -> None:
            for statement in filter(str.strip, schema.split(";")):
                connection.execute(statement)

        if _transact(connection, missing, write=False):
            _transact(connection, create, write=True)
        with self._lock:
            self._prepared.add(schema)


def _transact(connection: sqlite3.Connection, work: Work[_T], *, write: bool) -> _T:
    """Return what `work` returns, inside a transaction that is undone when it raises or was cancelled."""
    _patiently(lambda: connection.execute("BEGIN IMMEDIATE" if write else "BEGIN"))
    try:
        result = work(connection) if write else _patiently(lambda: work(connection))
        anyio.from_thread.check_cancelled()
        # Decided. Nothing that a cancel does reaches the statement any more.
        connection.set_progress_handler(None, 0)
        _patiently(connection.commit, cancellable=False)
    except BaseException:
        connection.set_progress_handler(None, 0)
        connection.rollback()
        raise
    return result


def _patiently(attempt: Callable[[], _T], *, cancellable: bool = True) -> _T:
    """Return what `attempt` returns, again and again while another connection holds the file.

    Raises:
        sqlite3.OperationalError: the file stays locked, or something else is wrong.

    On cancel the wait ends, if it is `cancellable`.
    """
    give_up = time.monotonic() + _BUSY_SECONDS
    while True:
        if cancellable:
            anyio.from_thread.check_cancelled()
        try:
            return attempt()
        except sqlite3.OperationalError as exc:
            if _code(exc) not in _BUSY or time.monotonic() > give_up:
                raise
        time.sleep(random.uniform(*_PAUSE_SECONDS))


def _connect(path: str) -> sqlite3.Connection:
    # No isolation level: transactions are ours to begin. No timeout: SQLite's own wait for a lock cannot be cancelled.
    return sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)


def _inode(path: str) -> tuple[int, int] | None:
    """Return what tells the file at a path from any other; None when there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _code(error: sqlite3.Error) -> int:
    """Return the primary error code; 0 for errors that are not SQLite's."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _close(connections: list[sqlite3.Connection], process: int) -> None:
    if os.getpid() == process:
        while connections:
            connections.pop().close()


def newest_rows(rows: sqlite3.Cursor, count: int | None) -> list[TResponseInputItem]:
    """Return up to `count` items, oldest first, from rows of one text each that begin with the newest."""
    items: list[TResponseInputItem] = []
    for number, (text,) in enumerate(rows):
        if len(items) == count:
            break
        if number % _LOOK_EVERY == 0:
            anyio.from_thread.check_cancelled()
        item = decode_item(text)
        if item is not None:
            items.append(item)
    rows.close()  # an unfinished statement would keep the read transaction open
    items.reverse()
    return items
