"""What the sessions on servers promise beyond the rules of every session."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from agentrun.extensions.memory import EncryptedSession, PostgresSession, RedisSession
from agentrun.memory import InMemorySession

pytestmark = [
    pytest.mark.real_clock,
    # coredis 6.9 drops the streams of a connection without closing them; anyio says so when they are collected.
    pytest.mark.filterwarnings("ignore:Exception ignored in.*MemoryObject:pytest.PytestUnraisableExceptionWarning"),
]

Numbered = Callable[[object, int], list[dict[str, Any]]]


@pytest.fixture
def name() -> str:
    return f"session {uuid.uuid4().hex}"


async def test_a_redis_session_keeps_its_connection_in_a_block(redis_url: str, name: str, numbered: Numbered) -> None:
    session = RedisSession.from_url(name, redis_url)
    async with session:
        assert await session.ping()
        await session.add_items(numbered("x", 3))
        assert await session.get_items() == numbered("x", 3)
        with pytest.raises(RuntimeError, match="in a block already"):
            async with session:
                pass
        await session.clear_session()
    with pytest.raises(RuntimeError, match="is closed; make a new RedisSession"):
        await session.get_items()


async def test_an_injected_redis_client_is_left_open(redis_url: str, name: str) -> None:
    coredis: Any = pytest.importorskip("coredis")
    async with coredis.Redis.from_url(redis_url) as client:
        session = RedisSession(name, redis_client=client)
        async with session:
            await session.add_items([{"n": 1}])
        await session.close()
        with pytest.raises(RuntimeError, match="closed"):
            await session.add_items([{"n": 2}])
        assert await client.ping()
        assert await RedisSession(name, redis_client=client).pop_item() == {"n": 1}


async def test_redis_items_live_as_long_as_their_ttl(redis_url: str, name: str) -> None:
    coredis: Any = pytest.importorskip("coredis")
    async with coredis.Redis.from_url(redis_url) as client:
        session = RedisSession(name, redis_client=client, key_prefix="p", ttl=100)
        await session.add_items([{"n": 1}])
        assert 0 < await client.ttl(f"p:{name}:messages") <= 100
        await session.clear_session()
        assert not await client.exists([f"p:{name}:messages"])
    for ttl in (0, -1):
        with pytest.raises(ValueError, match="ttl must be"):
            RedisSession.from_url(name, redis_url, ttl=ttl)


async def test_damaged_redis_items_are_skipped(redis_url: str, name: str, numbered: Numbered) -> None:
    coredis: Any = pytest.importorskip("coredis")
    async with coredis.Redis.from_url(redis_url) as client:
        session = RedisSession(name, redis_client=client, key_prefix="p")
        await session.add_items(numbered("x", 3))
        await client.rpush(f"p:{name}:messages", ["{", "[]"])
        assert await session.get_items(2) == numbered("x", 3)[1:]
        assert await session.pop_item() == numbered("x", 3)[2]
        await session.clear_session()


async def test_a_redis_that_is_not_there_is_an_error(name: str) -> None:
    session = RedisSession.from_url(name, "redis://127.0.0.1:1/0")
    assert not await session.ping()
    coredis: Any = pytest.importorskip("coredis")
    with pytest.raises(coredis.exceptions.ConnectionError):
        await session.add_items([{"n": 1}])


def test_sessions_on_servers_are_used_from_several_event_loops(redis_url: str, postgres_url: str, name: str) -> None:
    redis = RedisSession.from_url(name, redis_url)
    postgres = PostgresSession.from_url(name, postgres_url)

    async def add(number: int) -> None:
        await redis.add_items([{"n": number}])
        await postgres.add_items([{"n": number}])

    for number, backend in enumerate(("asyncio", "trio", "asyncio")):
        anyio.run(add, number, backend=backend)

    async def check() -> None:
        for session in (redis, postgres):
            assert await session.get_items() == [{"n": number} for number in range(3)]
            await session.clear_session()
        await postgres.close()

    anyio.run(check, backend="trio")


async def test_a_postgres_session_closes_its_own_pool_only(postgres_url: str, postgres_pool: Any, name: str) -> None:
    async with PostgresSession.from_url(name, postgres_url) as own:
        await own.add_items([{"n": 1}])
    await own.close()
    with pytest.raises(RuntimeError, match="is closed; make a new PostgresSession"):
        await own.get_items()
    injected = PostgresSession(name, pool=postgres_pool)
    assert await injected.get_items() == [{"n": 1}]
    await injected.clear_session()
    await injected.close()
    assert not postgres_pool.closed


async def test_a_cancel_reaches_the_statement_on_the_postgres_server(postgres_pool: Any, name: str) -> None:
    session = PostgresSession(name, pool=postgres_pool)
    await session.add_items([{"n": 1}])
    with postgres_pool.connection() as blocker:
        blocker.execute("SELECT * FROM agent_sessions WHERE session_id = %s FOR UPDATE", (name,))
        began = anyio.current_time()
        with anyio.move_on_after(0.3) as scope:
            await session.add_items([{"n": 2}])
        assert scope.cancelled_caught
        assert anyio.current_time() - began < 2
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%%agent_sessions%%'"
        )
        assert blocker.execute(waiting).fetchone() == (0,)
    await session.add_items([{"n": 3}])
    assert await session.get_items() == [{"n": 1}, {"n": 3}]
    await session.clear_session()


async def test_damaged_postgres_rows_are_skipped(postgres_pool: Any, name: str, numbered: Numbered) -> None:
    session = PostgresSession(name, pool=postgres_pool)
    await session.add_items(numbered("x", 3))
    with postgres_pool.connection() as connection:
        for damaged in ("{", "[]"):
            connection.execute("INSERT INTO agent_messages (session_id, message_data) VALUES (%s, %s)", (name, damaged))
    assert await session.get_items(2) == numbered("x", 3)[1:]
    assert await session.pop_item() == numbered("x", 3)[2]
    await session.clear_session()


async def test_a_postgres_that_is_not_there_can_be_cancelled(name: str) -> None:
    pytest.importorskip("psycopg_pool")
    session = PostgresSession.from_url(name, "postgresql://nobody@127.0.0.1:1/nothing")
    with anyio.move_on_after(0.2) as scope:
        await session.add_items([{"n": 1}])
    assert scope.cancelled_caught
    await session.close()


def test_tables_of_postgres_must_have_plain_names(name: str) -> None:
    for wrong in ({"messages_table": 'x"; --'}, {"sessions_table": "pg_x"}, {"sessions_table": "agent_messages"}):
        with pytest.raises(ValueError, match="_table"):
            PostgresSession(name, pool=None, **wrong)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("module", "extra", "make"),
    [
        ("coredis", "redis", lambda: RedisSession.from_url("a", "redis://localhost")),
        ("psycopg", "postgres", lambda: PostgresSession.from_url("a", "postgresql://localhost")),
        ("psycopg_pool", "postgres", lambda: PostgresSession.from_url("a", "postgresql://localhost")),
        ("cryptography.fernet", "encrypt", lambda: EncryptedSession("a", InMemorySession("a"), "a secret")),
    ],
)
def test_a_missing_package_is_told_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, module: str, extra: str, make: Callable[[], object]
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"pip install 'agentrun\[{extra}\]'"):
        make()


def test_unknown_names_of_the_packages_are_attribute_errors() -> None:
    import agentrun.extensions.memory
    import agentrun.memory

    for package in (agentrun.memory, agentrun.extensions.memory):
        assert set(package.__all__) <= set(dir(package))
        with pytest.raises(AttributeError, match="has no attribute 'NoSuchSession'"):
            _ = package.NoSuchSession
