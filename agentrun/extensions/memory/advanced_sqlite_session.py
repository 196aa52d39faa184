"""Conversations in SQLite with branches, turns and usage statistics.

Items are stored as `SQLiteSession` stores them. Beside them is a table of places: which item stands where in which
branch, in which turn. A branch that begins at a turn gets the places before it, not copies of the items; an item is
deleted with its last place. A turn begins with a message of the user; what comes before the first one is turn 0.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, overload

import anyio.lowlevel

from agentrun._codec import as_dict
from agentrun.memory._sqlite_file import newest_rows
from agentrun.memory._stored import decode_item, encode_items, wanted
from agentrun.memory.sqlite_session import SQLiteSession

if TYPE_CHECKING:
    from agentrun._responses import TResponseInputItem
    from agentrun._result import RunResultBase
    from agentrun._settings import SessionSettings
    from agentrun.memory._limits import SessionLimits

__all__ = ["AdvancedSQLiteSession"]

MAIN = "main"
"""The branch that a conversation begins with."""

_SHOWN_CHARACTERS = 100
"""A turn's `content` is cut here; `full_content` is not."""

_COUNTS = ("requests", "input_tokens", "output_tokens", "total_tokens")
_DETAILS = ("input_tokens_details", "output_tokens_details")


class AdvancedSQLiteSession(SQLiteSession):
    """An `SQLiteSession` whose conversation may branch, and that knows its turns, its tools and what it cost.

    Reads and writes go to the current branch, "main" at first; which one is current belongs to this object, not to the
    file. `add_items` promises what `SQLiteSession` does.

    Args:
        session_id: names the conversation within the file; any text.
        db_path: the file, created when missing; its directory must exist. ":memory:" is this object alone.
        create_tables: create the tables when they are missing.
        logger: told about branches that are made and deleted.
        session_settings: the default limit of `get_items`, also as a dict.
        sessions_table: the table with a row per conversation.
        messages_table: the table with a row per item; the names of the other tables begin with it.
        limits: how much the conversation may hold, all branches together, also as a dict.

    Source: advanced SQLite sessions.
    """

    def __init__(
        self,
        *,
        session_id: str,
        db_path: str | Path = ":memory:",
        create_tables: bool = True,
        logger: logging.Logger | None = None,
        session_settings: SessionSettings | dict[str, Any] | None = None,
        sessions_table: str = "agent_sessions",
        messages_table: str = "agent_messages",
        limits: SessionLimits | dict[str, Any] | None = None,
    ) -> None:
        self._create_tables = create_tables
        super().__init__(session_id, db_path, sessions_table, messages_table, session_settings, limits=limits)
        self._logger = logger or logging.getLogger("agentrun")
        self._branch = MAIN

    @property
    def current_branch_id(self) -> str:
        """The branch that is read and written."""
        return self._branch

    def _tables(self) -> str:
        if not self._create_tables:
            return ""
        messages = self.messages_table
        return (
            super()._tables()
            + f"""
            CREATE TABLE IF NOT EXISTS "{messages}_branches" (
                session_id TEXT NOT NULL,
                branch_id TEXT NOT NULL,
                created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
                PRIMARY KEY (session_id, branch_id)
            );
            CREATE TABLE IF NOT EXISTS "{messages}_places" (
                session_id TEXT NOT NULL,
                branch_id TEXT NOT NULL,
                position INTEGER NOT NULL,
                message_id INTEGER NOT NULL REFERENCES "{messages}" (id) ON DELETE CASCADE,
                turn INTEGER NOT NULL,
                kind TEXT NOT NULL,
                tool_name TEXT,
                PRIMARY KEY (session_id, branch_id, position)
            ) WITHOUT ROWID;
            CREATE INDEX IF NOT EXISTS "idx_{messages}_places_message" ON "{messages}_places" (message_id);
            CREATE TABLE IF NOT EXISTS "{messages}_usage" (
                session_id TEXT NOT NULL,
                branch_id TEXT NOT NULL,
                turn INTEGER NOT NULL,
                requests INTEGER NOT NULL,
                input_tokens INTEGER NOT NULL,
                output_tokens INTEGER NOT NULL,
                total_tokens INTEGER NOT NULL,
                input_tokens_details TEXT,
                output_tokens_details TEXT,
                PRIMARY KEY (session_id, branch_id, turn)
            ) WITHOUT ROWID;
        """
        )

    async def get_items(self, limit: int | None = None, branch_id: str | None = None) -> list[TResponseInputItem]:
        """Return the newest `limit` items of a branch, oldest first; damaged ones are left out.

        Args:
            limit: None is what `session_settings` says, or all; negative is all.
            branch_id: None is the current branch.

        Raises:
            RuntimeError: the session is closed.
            sqlite3.Error: the file cannot be read.
        """
        count = wanted(limit, self.session_settings)
        select = self._of_branch("message_data", "ORDER BY position DESC")
        where = self._where(branch_id)
        return await self._run(lambda connection: newest_rows(connection.execute(select, where), count), write=False)

    async def add_items(self, items: list[TResponseInputItem]) -> None:
        """Append `items` to the current branch in order, all or none. On cancel they are stored whole or not at all.

        Raises:
            RuntimeError: the session is closed.
            sqlite3.Error: the file cannot be written.
        """
        given, where = list(items), self._where(None)
        if not given:
            self._check_open()
            await anyio.lowlevel.checkpoint()
            return

        def store(connection: sqlite3.Connection) -> None:
            ids = self._store(connection, given, encode_items(given))
            connection.execute(
                f'INSERT OR IGNORE INTO "{self.messages_table}_branches" (session_id, branch_id) VALUES (?, ?)', where
            )
            last = f"""
                SELECT coalesce(max(position), 0), coalesce(max(turn), 0)
                FROM "{self.messages_table}_places" WHERE session_id = ? AND branch_id = ?
            """
            position, turn = connection.execute(last, where).fetchone()
            rows: list[tuple[Any, ...]] = []
            for item, row_id in zip(given, ids, strict=True):
                position += 1
                turn += _begins_turn(item)
                rows.append((*where, position, row_id, turn, *_kind(item)))
            connection.executemany(f'INSERT INTO "{self.messages_table}_places" VALUES (?, ?, ?, ?, ?, ?, ?)', rows)

        await self._run(store, write=True)

    async def pop_item(self) -> TResponseInputItem | None:
        """Take the newest item out of the current branch and return it; None when there is none.

        Raises:
            RuntimeError: the session is closed.
            sqlite3.Error: the file cannot be written.
        """
        select = self._of_branch("position, message_id, message_data", "ORDER BY position DESC LIMIT 1")
        where = self._where(None)

        def pop(connection: sqlite3.Connection) -> TResponseInputItem | None:
            while (row := connection.execute(select, where).fetchone()) is not None:
                position, _, text = row
                connection.execute(
                    f'DELETE FROM "{self.messages_table}_places" '
                    "WHERE session_id = ? AND branch_id = ? AND position = ?",
                    (*where, position),
                )
                self._delete_unplaced(connection)
                item = decode_item(text)
                if item is not None:
                    return item
            return None

        return await self._run(pop, write=True)

    async def clear_session(self) -> None:
        """Delete every item, branch and statistic of the conversation; "main" is the current branch again.

        Raises:
            RuntimeError: the session is closed.
            sqlite3.Error: the file cannot be written.
        """

        def clear(connection: sqlite3.Connection) -> None:
            for table in ("places", "branches", "usage"):
                connection.execute(
                    f'DELETE FROM "{self.messages_table}_{table}" WHERE session_id = ?', (self.session_id,)
                )
            self._clear(connection)

        await self._run(clear, write=True)
        self._branch = MAIN

    async def create_branch_from_turn(self, turn_number: int, branch_name: str | None = None) -> str:
        """Make a branch that holds what came before a turn of the current branch, switch to it and return its name.

        Args:
            turn_number: the turn to leave out, with all that follows it; the first is 1.
            branch_name: None makes one up.

        Raises:
            ValueError: the current branch has no such turn, the name is blank, or there is a branch of that name.
        """
        old = self._branch
        if branch_name is not None and not branch_name.strip():
            raise ValueError(f"branch_name is {branch_name!r}, expected a name; leave it out to have one made up")
        name = branch_name or f"branch_from_turn_{turn_number}_{uuid.uuid4().hex[:8]}"
        where = self._where(None)

        def branch(connection: sqlite3.Connection) -> None:
            start = connection.execute(
                self._of_branch("min(position)", "AND turn = ? AND kind = 'user'"), (*where, turn_number)
            ).fetchone()[0]
            if start is None:
                raise ValueError(f"branch {old!r} has no turn {turn_number!r}; get_conversation_turns() lists them")
            if name == old or name in {row[0] for row in connection.execute(self._branches(), (self.session_id,))}:
                raise ValueError(f"there is a branch {name!r} already; choose another name")
            connection.execute(
                f'INSERT INTO "{self.messages_table}_branches" (session_id, branch_id) VALUES (?, ?)',
                (self.session_id, name),
            )
            connection.execute(
                f'INSERT INTO "{self.messages_table}_places" '
                "SELECT session_id, ?, position, message_id, turn, kind, tool_name "
                f'FROM "{self.messages_table}_places" WHERE session_id = ? AND branch_id = ? AND position < ?',
                (name, *where, start),
            )

        await self._run(branch, write=True)
        self._branch = name
        self._logger.debug("session %r: branch %r made from turn %d of %r", self.session_id, name, turn_number, old)
        return name

    async def create_branch_from_content(self, search_term: str, branch_name: str | None = None) -> str:
        """Make a branch at the first turn of the current branch whose user message contains a text, and switch to it.

        Raises:
            ValueError: no turn contains it, or there is a branch of that name.
        """
        turns = await self.find_turns_by_content(search_term)
        if not turns:
            raise ValueError(f"no user message of branch {self._branch!r} contains {search_term!r}")
        return await self.create_branch_from_turn(turns[0]["turn"], branch_name)

    async def switch_to_branch(self, branch_id: str) -> None:
        """Read and write another branch from now on.

        Raises:
            ValueError: there is none of that name.
        """
        await self._run(lambda connection: self._check_branch(connection, branch_id), write=False)
        self._branch = branch_id

    async def delete_branch(self, branch_id: str, force: bool = False) -> None:
        """Delete a branch, with the items and statistics that belong to it alone.

        Args:
            branch_id: the branch; "main" cannot be deleted.
            force: delete it although it is the current one, and switch to "main".

        Raises:
            ValueError: it is "main", the current branch, or there is none of that name.
        """
        if branch_id == MAIN:
            raise ValueError(f"branch {MAIN!r} cannot be deleted; clear_session() deletes the conversation")
        if branch_id == self._branch and not force:
            raise ValueError(f"branch {branch_id!r} is the current one; switch to another, or pass force=True")

        def delete(connection: sqlite3.Connection) -> None:
            self._check_branch(connection, branch_id)
            for table in ("places", "branches", "usage"):
                connection.execute(
                    f'DELETE FROM "{self.messages_table}_{table}" WHERE session_id = ? AND branch_id = ?',
                    (self.session_id, branch_id),
                )
            self._delete_unplaced(connection)

        await self._run(delete, write=True)
        if branch_id == self._branch:
            self._branch = MAIN
        self._logger.debug("session %r: branch %r deleted", self.session_id, branch_id)

    async def list_branches(self) -> list[dict[str, Any]]:
        """Return the branches, newest first: branch_id, message_count, user_turns, is_current, created_at.

        Raises:
            RuntimeError: the session is closed.
            sqlite3.Error: the file cannot be read.
        """
        current = self._branch
        select = f"""
            SELECT b.branch_id, count(p.position), coalesce(sum(p.kind = 'user'), 0), b.created_at
            FROM "{self.messages_table}_branches" b
            LEFT JOIN "{self.messages_table}_places" p USING (session_id, branch_id)
            WHERE session_id = ? GROUP BY b.branch_id ORDER BY b.rowid DESC
        """
        return [
            {
                "branch_id": branch,
                "message_count": messages,
                "user_turns": turns,
                "is_current": branch == current,
                "created_at": created,
            }
            for branch, messages, turns, created in await self._all(select, (self.session_id,))
        ]

    async def get_conversation_turns(self, branch_id: str | None = None) -> list[dict[str, Any]]:
        """Return the turns of a branch: turn, content (its text, cut short), full_content, timestamp, can_branch.

        `full_content` is what the message holds, which may be a list of parts.

        Args:
            branch_id: None is the current branch.

        Raises:
            RuntimeError: the session is closed.
            sqlite3.Error: the file cannot be read.
        """
        select = self._of_branch("turn, message_data, created_at", "AND kind = 'user' ORDER BY position")
        turns: list[dict[str, Any]] = []
        for turn, data, created in await self._all(select, self._where(branch_id)):
            content = (decode_item(data) or {}).get("content", "")
            text = _text(content)
            short = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."
            turns.append(
                {"turn": turn, "content": short, "full_content": content, "timestamp": created, "can_branch": True}
            )
        return turns

    async def find_turns_by_content(self, search_term: str, branch_id: str | None = None) -> list[dict[str, Any]]:
        """Return the turns whose user message contains a text, whatever its case, as `get_conversation_turns` does.

        Raises:
            RuntimeError: the session is closed.
            sqlite3.Error: the file cannot be read.
        """
        turns = await self.get_conversation_turns(branch_id)
        return [turn for turn in turns if search_term.casefold() in _text(turn["full_content"]).casefold()]

    async def get_conversation_by_turns(self, branch_id: str | None = None) -> dict[int, list[dict[str, str | None]]]:
        """Return what each turn of a branch consists of: by turn, the items' type and tool_name in order.

        Raises:
            RuntimeError: the session is closed.
            sqlite3.Error: the file cannot be read.
        """
        by_turn: dict[int, list[dict[str, str | None]]] = {}
        select = self._of_branch("turn, kind, tool_name", "ORDER BY position")
        for turn, kind, tool in await self._all(select, self._where(branch_id)):
            by_turn.setdefault(turn, []).append({"type": kind, "tool_name": tool})
        return by_turn

    async def get_tool_usage(self, branch_id: str | None = None) -> list[tuple[str, int, int]]:
        """Return which tools a branch called: name, number of calls, turn; in order of turns, then names.

        Raises:
            RuntimeError: the session is closed.
            sqlite3.Error: the file cannot be read.
        """
        select = self._of_branch(
            "tool_name, count(*), turn", "AND tool_name IS NOT NULL GROUP BY turn, tool_name ORDER BY turn, tool_name"
        )
        return [(name, calls, turn) for name, calls, turn in await self._all(select, self._where(branch_id))]

    async def store_run_usage(self, result: RunResultBase) -> None:
        """Store what a run used, as the usage of the last turn of the current branch. Call it after each run.

        Args:
            result: the run's result, streamed or not.

        Raises:
            RuntimeError: the session is closed.
            sqlite3.Error: the file cannot be written.
        """
        usage = result.context_wrapper.usage
        where = self._where(None)
        counts = tuple(getattr(usage, name) for name in _COUNTS)
        details = tuple(json.dumps(as_dict(getattr(usage, name))) for name in _DETAILS)

        def store(connection: sqlite3.Connection) -> None:
            turn = connection.execute(self._of_branch("coalesce(max(turn), 0)"), where).fetchone()[0]
            connection.execute(
                f'INSERT OR REPLACE INTO "{self.messages_table}_usage" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)',
                (*where, turn, *counts, *details),
            )

        await self._run(store, write=True)

    async def get_session_usage(self, branch_id: str | None = None) -> dict[str, int] | None:
        """Return the sums of requests, input_tokens, output_tokens and total_tokens, and total_turns; None without any.

        Args:
            branch_id: None is all branches together.

        Raises:
            RuntimeError: the session is closed.
            sqlite3.Error: the file cannot be read.
        """
        sums = ", ".join(f"sum({name})" for name in _COUNTS)
        select = f'SELECT {sums}, count(*) FROM "{self.messages_table}_usage" WHERE session_id = ?'
        values: tuple[str, ...] = (self.session_id,)
        if branch_id is not None:
            select, values = f"{select} AND branch_id = ?", (self.session_id, branch_id)
        ((*counts, turns),) = await self._all(select, values)
        return {**dict(zip(_COUNTS, counts, strict=True)), "total_turns": turns} if turns else None

    @overload
    async def get_turn_usage(
        self, user_turn_number: None = None, branch_id: str | None = None
    ) -> list[dict[str, Any]]: ...

    @overload
    async def get_turn_usage(self, user_turn_number: int, branch_id: str | None = None) -> dict[str, Any]: ...

    async def get_turn_usage(
        self, user_turn_number: int | None = None, branch_id: str | None = None
    ) -> list[dict[str, Any]] | dict[str, Any]:
        """Return the usage of a turn, {} when nothing is stored for it; or of every turn, with its user_turn_number.

        Args:
            user_turn_number: None is every turn.
            branch_id: None is the current branch.

        Raises:
            RuntimeError: the session is closed.
            sqlite3.Error: the file cannot be read.
        """
        columns = ", ".join((*_COUNTS, *_DETAILS))
        select = f"""
            SELECT turn, {columns} FROM "{self.messages_table}_usage"
            WHERE session_id = ? AND branch_id = ? ORDER BY turn
        """
        found: list[dict[str, Any]] = []
        for turn, *values in await self._all(select, self._where(branch_id)):
            usage: dict[str, Any] = dict(zip((*_COUNTS, *_DETAILS), values, strict=True))
            for name in _DETAILS:
                usage[name] = json.loads(usage[name])
            if turn == user_turn_number:
                return usage
            found.append({"user_turn_number": turn, **usage})
        return found if user_turn_number is None else {}

    async def _all(self, select: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        return await self._run(lambda connection: connection.execute(select, values).fetchall(), write=False)

    def _where(self, branch_id: str | None) -> tuple[str, str]:
        return self.session_id, self._branch if branch_id is None else branch_id

    def _of_branch(self, columns: str, rest: str = "") -> str:
        """Return a query about the places of a branch and their items; its first two values are `_where(branch)`."""
        messages = self.messages_table
        return f"""
            SELECT {columns} FROM "{messages}_places" p JOIN "{messages}" m ON m.id = p.message_id
            WHERE p.session_id = ? AND p.branch_id = ? {rest}
        """

    def _branches(self) -> str:
        return f'SELECT branch_id FROM "{self.messages_table}_branches" WHERE session_id = ?'

    # What follows runs in worker threads, inside a transaction.

    def _check_branch(self, connection: sqlite3.Connection, branch_id: str) -> None:
        known = [MAIN, *(row[0] for row in connection.execute(self._branches(), (self.session_id,)))]
        if branch_id not in known:
            raise ValueError(f"there is no branch {branch_id!r}; the branches are {sorted(set(known))}")

    def _delete_unplaced(self, connection: sqlite3.Connection) -> None:
        """Delete the items of the conversation that stand in no branch any more."""
        connection.execute(
            f'DELETE FROM "{self.messages_table}" WHERE session_id = ? AND NOT EXISTS '
            f'(SELECT 1 FROM "{self.messages_table}_places" p WHERE p.message_id = "{self.messages_table}".id)',
            (self.session_id,),
        )


def _begins_turn(item: TResponseInputItem) -> bool:
    return item.get("role") == "user"


def _kind(item: TResponseInputItem) -> tuple[str, str | None]:
    """Return what an item is, and the tool it calls."""
    role, kind = item.get("role"), item.get("type")
    if isinstance(role, str):
        return role, None
    if not isinstance(kind, str):
        return "unknown", None
    if not kind.endswith("_call") and kind != "mcp_approval_request":
        return kind, None
    if kind == "tool_search_call":
        return kind, "tool_search"
    name, group = item.get("name"), item.get("server_label" if kind.startswith("mcp_") else "namespace")
    if not isinstance(name, str):
        return kind, kind
    # A tool that was found by searching has its own name as namespace, and belongs to no group.
    return kind, f"{group}.{name}" if isinstance(group, str) and group != name else name


def _text(content: Any) -> str:
    """Return the text in the content of a message."""
    if isinstance(content, str):
        return content
    parts = cast("list[Any]", content) if isinstance(content, list) else []
    texts = [cast("dict[str, Any]", part).get("text") for part in parts if isinstance(part, dict)]
    return " ".join(text for text in texts if isinstance(text, str))
