"""reliability.md S14: a conversation holds as much as its limits say, whoever writes to it."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from agentrun import Agent, RunConfig, Runner, function_tool, run_data
from agentrun.extensions.memory import AdvancedSQLiteSession, EncryptedSession, PostgresSession, RedisSession
from agentrun.memory import InMemorySession, SessionFull, SessionLimits, SQLiteSession
from agentrun.testing import ScriptedModel, function_call

COREDIS_LEAVES_STREAMS = pytest.mark.filterwarnings(
    "ignore:Exception ignored in.*MemoryObject:pytest.PytestUnraisableExceptionWarning"
)
Make = Callable[[SessionLimits | dict[str, Any] | None], Any]


def text(content: str) -> dict[str, Any]:
    return {"role": "user", "content": content}


@asynccontextmanager
async def opened(session: Any) -> AsyncGenerator[Any]:
    if isinstance(session, RedisSession | PostgresSession):
        async with session:
            yield session
        return
    try:
        yield session
    finally:
        close = getattr(session, "close", None)
        if close is not None:
            close()


@pytest.fixture(params=["memory", "sqlite", "advanced", "redis", "postgres"])
def make(request: pytest.FixtureRequest, database: Path) -> Make:
    """Make a session of one kind, on an empty conversation that its calls share, with these limits."""
    name = uuid.uuid4().hex
    if request.param == "memory":
        shared: list[Any] = []

        def in_memory(limits: SessionLimits | dict[str, Any] | None) -> InMemorySession:
            session = InMemorySession(name, limits=limits)
            session._items = shared
            return session

        return in_memory
    if request.param == "sqlite":
        return lambda limits: SQLiteSession(name, database, limits=limits)
    if request.param == "advanced":
        return lambda limits: AdvancedSQLiteSession(session_id=name, db_path=database, limits=limits)
    url = request.getfixturevalue(f"{request.param}_url")
    if request.param == "redis":
        return lambda limits: RedisSession.from_url(name, url, limits=limits)
    return lambda limits: PostgresSession.from_url(name, url, limits=limits)


@COREDIS_LEAVES_STREAMS
@pytest.mark.real_clock
async def test_a_write_past_the_most_items_is_refused_whole(make: Make) -> None:
    async with opened(make(SessionLimits(max_items=3))) as session:
        await session.add_items([text("a"), text("b")])
        with pytest.raises(SessionFull, match=r"would hold 4 items, and its limit is 3.*max_items"):
            await session.add_items([text("c"), text("d")])
        assert [item["content"] for item in await session.get_items()] == ["a", "b"]
        await session.add_items([text("c")])
        await session.pop_item()
        await session.add_items([text("d")])
        assert [item["content"] for item in await session.get_items()] == ["a", "b", "d"]


@COREDIS_LEAVES_STREAMS
@pytest.mark.real_clock
async def test_bytes_are_counted_as_they_are_stored(make: Make) -> None:
    async with opened(make({"max_bytes": 200})) as session:
        await session.add_items([text("é" * 50)])  # two bytes each, and 28 of JSON
        with pytest.raises(SessionFull, match="would hold 256 bytes, and its limit is 200"):
            await session.add_items([text("é" * 50)])
        await session.add_items([text("e" * 38)])
        assert len(await session.get_items()) == 2
        await session.clear_session()
        await session.add_items([text("é" * 50)])


@COREDIS_LEAVES_STREAMS
@pytest.mark.real_clock
async def test_one_item_too_large_is_refused_and_named(make: Make) -> None:
    async with opened(make(SessionLimits(max_item_bytes=1000))) as session:
        with pytest.raises(SessionFull, match=r"item 1 of a write .* has 2028 bytes, .* one item is 1000"):
            await session.add_items([text("a"), text("é" * 1000)])
        assert await session.get_items() == []


@COREDIS_LEAVES_STREAMS
@pytest.mark.real_clock
async def test_a_limit_below_what_is_there_refuses_writes_and_reads_all(make: Make) -> None:
    async with opened(make(None)) as session:
        await session.add_items([text("a"), text("b"), text("c")])
    async with opened(make(SessionLimits(max_items=2))) as session:
        with pytest.raises(SessionFull):
            await session.add_items([text("d")])
        assert len(await session.get_items()) == 3


@pytest.mark.real_clock
async def test_fifty_megabytes_in_one_item_are_refused_by_default(database: Path) -> None:
    session = SQLiteSession("one", database)
    with pytest.raises(SessionFull, match="has 52428828 bytes, and its limit of one item is 33554432"):
        await session.add_items([text("x" * 50 * 1024 * 1024)])
    assert await session.get_items() == []
    session.close()
    session = SQLiteSession("one", database, limits={"max_item_bytes": None})
    await session.add_items([text("x" * 50 * 1024 * 1024)])
    assert len((await session.get_items())[0]["content"]) == 50 * 1024 * 1024
    session.close()


@COREDIS_LEAVES_STREAMS
@pytest.mark.real_clock
async def test_the_limit_holds_for_writers_that_know_nothing_of_each_other(make: Make) -> None:
    refused: list[SessionFull] = []
    async with opened(make(SessionLimits(max_items=10))) as session:

        async def write(number: int) -> None:
            try:
                await session.add_items([text(f"{number}.{n}") for n in range(2)])
            except SessionFull as exc:
                refused.append(exc)

        async with anyio.create_task_group() as nursery:
            for number in range(8):
                nursery.start_soon(write, number)
        assert len(await session.get_items()) == 10 and len(refused) == 3


@pytest.mark.real_clock
async def test_the_session_underneath_bounds_an_encrypted_one(database: Path) -> None:
    under = SQLiteSession("one", database, limits=SessionLimits(max_items=1))
    session = EncryptedSession("one", under, "a secret")
    await session.add_items([text("a")])
    with pytest.raises(SessionFull):
        await session.add_items([text("b")])
    under.close()


async def test_a_run_whose_session_is_full_fails_with_that_and_can_go_on_in_a_roomier_one() -> None:
    @function_tool
    async def work() -> str:
        return "worked"

    model = ScriptedModel([[function_call("work", {}, call_id="c1")], "done"])
    agent: Agent[Any] = Agent("a", model=model, tools=[work])
    session = InMemorySession("one", limits=SessionLimits(max_items=2))
    with pytest.raises(SessionFull) as caught:
        await Runner.run(agent, "hi", session=session, run_config=RunConfig())
    assert len(await session.get_items()) == 1, "the input, and nothing of the turn that has no room"
    left = run_data(caught.value)
    assert left is not None
    session.limits = SessionLimits(max_items=4)
    result = await Runner.run(agent, left.to_state(), session=session)
    assert result.final_output == "done" and len(await session.get_items()) == 4


@pytest.mark.parametrize("value", [0, -1, True, "3", 1.5])
@pytest.mark.parametrize("name", ["max_items", "max_bytes", "max_item_bytes"])
def test_limits_are_whole_numbers(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a whole number of at least 1 or None"):
        SessionLimits(**{name: value})
    with pytest.raises((ValueError, TypeError)):
        InMemorySession(limits={"max_item": 3})
