"""What `SQLiteSession` promises beyond the rules of every session."""

from __future__ import annotations

import gc
import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, cast

import anyio
import pytest

from agentrun.extensions.memory import AsyncSQLiteSession
from agentrun.memory import InMemorySession, SessionSettings, SQLiteSession
from agentrun.testing import run_virtual

pytestmark = pytest.mark.real_clock

Numbered = Callable[[object, int], list[dict[str, Any]]]


async def test_limits_are_those_of_sqlite(numbered: Numbered) -> None:
    session = SQLiteSession("a")
    items = numbered("x", 5)
    await session.add_items(items)
    assert await session.get_items(0) == []
    assert await session.get_items(-1) == items
    assert await session.get_items(2) == items[3:]


@pytest.mark.parametrize("kind", [SQLiteSession, InMemorySession])
async def test_the_settings_are_the_default_limit(kind: type[Any], numbered: Numbered) -> None:
    for settings in (SessionSettings(limit=2), {"limit": 2}):
        session = kind("a", session_settings=settings)
        await session.add_items(numbered("x", 5))
        assert await session.get_items() == numbered("x", 5)[3:]
        assert len(await session.get_items(4)) == 4
        assert len(await session.get_items(-1)) == 5
    assert kind("a").session_settings == SessionSettings()


async def test_damaged_rows_are_skipped_and_do_not_count(database: Path, numbered: Numbered) -> None:
    session = SQLiteSession("a", database)
    items = numbered("x", 4)
    await session.add_items(items[:3])
    with sqlite3.connect(database) as connection:
        for damaged in ("{not json", "[]", '"text"', "[" * 100_000):
            connection.execute("INSERT INTO agent_messages (session_id, message_data) VALUES ('a', ?)", (damaged,))
    connection.close()
    assert await session.get_items() == items[:3]
    assert await session.get_items(2) == items[1:3]
    assert await session.pop_item() == items[2]
    await session.add_items(items[3:])
    assert await session.get_items() == [*items[:2], items[3]]


async def test_sessions_share_a_file_by_id_and_by_table(database: Path) -> None:
    one = SQLiteSession("a", database)
    other = SQLiteSession("a", str(database), messages_table="other_messages", sessions_table="other_sessions")
    await one.add_items([{"n": 1}])
    await other.add_items([{"n": 2}])
    assert await one.get_items() == [{"n": 1}]
    assert await other.get_items() == [{"n": 2}]
    assert await SQLiteSession("b", database).get_items() == []


@pytest.mark.parametrize("name", ["", "a b", 'x"; DROP TABLE y; --', "1a", "sqlite_x", "ü", "a" * 64, "a.b"])
def test_a_table_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="messages_table must be up to 63"):
        SQLiteSession("a", messages_table=name)
    with pytest.raises(ValueError, match="sessions_table must be up to 63"):
        SQLiteSession("a", sessions_table=name)


def test_both_tables_must_differ() -> None:
    with pytest.raises(ValueError, match="must differ"):
        SQLiteSession("a", sessions_table="x", messages_table="X")


def test_an_id_that_is_no_text_is_refused() -> None:
    with pytest.raises(ValueError, match="UTF-8"):
        SQLiteSession("\ud800")
    with pytest.raises(TypeError, match="must be a str"):
        SQLiteSession(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_settings_that_are_none_are_refused() -> None:
    with pytest.raises(TypeError, match="session_settings"):
        SQLiteSession("a", session_settings={"limits": 3})


async def test_an_item_that_is_no_json_is_refused_by_name() -> None:
    session = SQLiteSession("a")
    for item in ({"x": object()}, [1], "text", {"x": {1, 2}}):
        with pytest.raises(TypeError, match="plain JSON objects"):
            await session.add_items([{"fine": 1}, cast("Any", item)])
    assert await session.get_items() == []


async def test_a_closed_session_says_so(database: Path) -> None:
    for path in (":memory:", database):
        session = SQLiteSession("a", path)
        await session.add_items([{"n": 1}])
        session.close()
        session.close()
        with pytest.raises(RuntimeError, match="session 'a' is closed"):
            await session.get_items()
        for items in ([{"n": 1}], []):
            with pytest.raises(RuntimeError, match="make a new SQLiteSession"):
                await session.add_items(items)
    session = AsyncSQLiteSession("a", database)
    assert await session.get_items() == [{"n": 1}]
    await session.close()
    with pytest.raises(RuntimeError, match="make a new AsyncSQLiteSession"):
        await session.pop_item()


def descriptors(path: Path) -> int:
    found = 0
    for one in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{one}").startswith(str(path))
        except OSError:
            continue
    return found


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="the system does not list open files in /proc")
async def test_many_sessions_on_a_file_keep_few_connections_and_close_them(database: Path) -> None:
    sessions = [SQLiteSession(f"s{number}", database) for number in range(60)]
    async with anyio.create_task_group() as nursery:
        for session in sessions:
            nursery.start_soon(session.add_items, [{"n": 1}])
    assert 0 < descriptors(database) <= 15
    for session in sessions:
        session.close()
    assert descriptors(database) == 0
    assert database.name in os.listdir(database.parent)
    assert f"{database.name}-wal" not in os.listdir(database.parent)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="the system does not list open files in /proc")
async def test_a_dropped_session_closes_its_connection(database: Path) -> None:
    async def use() -> None:
        await SQLiteSession("a", database).add_items([{"n": 1}])

    await use()
    for _ in range(100):  # the worker thread may need a moment to drop what it returned
        gc.collect()
        if not descriptors(database):
            break
        await anyio.sleep(0.01)
    assert descriptors(database) == 0


def test_one_session_is_used_from_several_event_loops_one_after_another(database: Path) -> None:
    sessions = [SQLiteSession("a"), SQLiteSession("a", database), InMemorySession("a")]

    async def add(number: int) -> None:
        for session in sessions:
            await session.add_items([{"n": number}])

    backends: list[Literal["asyncio", "trio"]] = ["asyncio", "trio", "asyncio", "trio"]
    for number, backend in enumerate(backends):
        anyio.run(add, number, backend=backend)

    async def read() -> None:
        for session in sessions:
            assert await session.get_items() == [{"n": number} for number in range(4)]

    run_virtual(read)


def test_one_session_is_used_from_several_event_loops_at_once(database: Path, numbered: Numbered) -> None:
    for path in (":memory:", database):
        session = SQLiteSession("a", path)

        async def add(name: int, session: SQLiteSession = session) -> None:
            for number in range(10):
                await session.add_items(numbered(f"{name}/{number}", 3))

        backends: list[Literal["asyncio", "trio"]] = ["asyncio", "trio"]
        threads = [
            threading.Thread(target=anyio.run, args=(add, name), kwargs={"backend": backends[name % 2]})
            for name in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        async def read(session: SQLiteSession = session) -> list[dict[str, Any]]:
            return await session.get_items()

        items = anyio.run(read)
        marks = [items[start]["mark"] for start in range(0, len(items), 3)]
        assert items == [item for mark in marks for item in numbered(mark, 3)]
        assert sorted(marks) == sorted(f"{name}/{number}" for name in range(4) for number in range(10))


async def test_a_call_that_waits_for_a_locked_file_ends_promptly_when_cancelled(database: Path) -> None:
    session = SQLiteSession("a", database)
    await session.add_items([{"n": 1}])
    blocker = sqlite3.connect(database, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    began = anyio.current_time()
    with anyio.move_on_after(0.2) as scope:
        await session.add_items([{"n": 2}])
    assert scope.cancelled_caught
    assert anyio.current_time() - began < 1
    with anyio.move_on_after(0.2) as scope:  # readers do not wait for a writer
        assert await session.get_items() == [{"n": 1}]
    assert not scope.cancelled_caught
    blocker.execute("ROLLBACK")
    blocker.close()
    await session.add_items([{"n": 3}])
    assert await session.get_items() == [{"n": 1}, {"n": 3}]


async def test_a_write_waits_for_a_locked_file(database: Path) -> None:
    session = SQLiteSession("a", database)
    await session.add_items([{"n": 1}])
    blocker = sqlite3.connect(database, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    async with anyio.create_task_group() as nursery:
        nursery.start_soon(session.add_items, [{"n": 2}])
        await anyio.sleep(0.1)
        blocker.execute("ROLLBACK")
    blocker.close()
    assert await session.get_items() == [{"n": 1}, {"n": 2}]


async def test_a_long_read_ends_promptly_when_cancelled(database: Path) -> None:
    session = SQLiteSession("a", database)
    await session.add_items([{"n": number, "text": "x" * 200} for number in range(20_000)])
    began = anyio.current_time()
    with anyio.move_on_after(0.02) as scope:
        await session.get_items()
    assert scope.cancelled_caught
    assert anyio.current_time() - began < 0.25
    assert len(await session.get_items(10)) == 10


async def test_a_large_write_cancelled_half_way_leaves_nothing(database: Path) -> None:
    session = SQLiteSession("a", database)
    await session.add_items([{"n": 0}])
    items = [{"n": number, "text": "x" * 200} for number in range(20_000)]
    for seconds in (0.05, 0.2):
        before = len(await session.get_items())
        with anyio.move_on_after(seconds):
            await session.add_items(items)
        assert len(await session.get_items()) in {before, before + len(items)}


async def test_a_file_that_was_replaced_is_opened_anew(database: Path) -> None:
    session = SQLiteSession("a", database)
    await session.add_items([{"n": 1}])
    for name in os.listdir(database.parent):
        os.unlink(database.parent / name)
    await session.add_items([{"n": 2}])
    assert await session.get_items() == [{"n": 2}]
    assert database.name in os.listdir(database.parent)


async def test_a_directory_that_is_missing_is_named(tmp_path: Path) -> None:
    session = SQLiteSession("a", tmp_path / "no" / "such.db")
    with pytest.raises(sqlite3.OperationalError) as caught:
        await session.get_items()
    assert "its directory must exist" in caught.value.__notes__[0]


async def test_a_file_that_is_no_database_is_an_error(database: Path) -> None:
    await anyio.Path(database).write_bytes(b"this is no database, but it is long enough to look at " * 100)
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        await SQLiteSession("a", database).get_items()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_does_not_use_the_connections_of_its_parent(database: Path) -> None:
    session = SQLiteSession("a", database)

    async def add(number: int) -> None:
        await session.add_items([{"n": number}])

    async def read() -> list[Any]:
        return await session.get_items()

    anyio.run(add, 1)
    child = os.fork()
    if not child:
        status = 1
        try:
            anyio.run(add, 2)
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    anyio.run(add, 3)
    assert anyio.run(read) == [{"n": 1}, {"n": 2}, {"n": 3}]


async def test_fifty_tasks_on_one_file_lose_and_interleave_nothing(database: Path, numbered: Numbered) -> None:
    async def write(name: int) -> None:
        session = SQLiteSession("shared", database)
        for number in range(3):
            await session.add_items(numbered(f"{name}/{number}", 4))
        session.close()

    async with anyio.create_task_group() as nursery:
        for name in range(50):
            nursery.start_soon(write, name)
    items = await SQLiteSession("shared", database).get_items()
    marks = [items[start]["mark"] for start in range(0, len(items), 4)]
    assert items == [item for mark in marks for item in numbered(mark, 4)]
    assert sorted(marks) == sorted(f"{name}/{number}" for name in range(50) for number in range(3))
