"""Every kind of session keeps the rules of `check_session`; sessions that do not are told which rule they break."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any, cast

import anyio
import anyio.lowlevel
import pytest

from agentrun._responses import TResponseInputItem
from agentrun._settings import SessionSettings
from agentrun.extensions.memory import (
    AdvancedSQLiteSession,
    AsyncSQLiteSession,
    EncryptedSession,
    PostgresSession,
    RedisSession,
)
from agentrun.memory import InMemorySession, Session, SQLiteSession
from agentrun.testing import BrokenSessionRule, check_session

# coredis 6.9 drops the streams of a connection without closing them; anyio says so when they are collected.
COREDIS_LEAVES_STREAMS = pytest.mark.filterwarnings(
    "ignore:Exception ignored in.*MemoryObject:pytest.PytestUnraisableExceptionWarning"
)

RULES = 14


async def test_an_in_memory_session_keeps_every_rule() -> None:
    assert len(await check_session(InMemorySession, shared=False)) == RULES


@pytest.mark.real_clock
async def test_an_sqlite_session_in_memory_keeps_every_rule() -> None:
    assert len(await check_session(SQLiteSession, shared=False)) == RULES


@pytest.mark.real_clock
async def test_an_sqlite_session_in_a_file_keeps_every_rule(database: Path) -> None:
    assert len(await check_session(lambda session_id: SQLiteSession(session_id, database))) == RULES


@pytest.mark.real_clock
async def test_an_async_sqlite_session_keeps_every_rule(database: Path) -> None:
    assert len(await check_session(lambda session_id: AsyncSQLiteSession(session_id, database))) == RULES


@pytest.mark.real_clock
async def test_an_advanced_sqlite_session_keeps_every_rule(database: Path) -> None:
    def make(session_id: str) -> Session:
        return AdvancedSQLiteSession(session_id=session_id, db_path=database)

    assert len(await check_session(make)) == RULES


@pytest.mark.real_clock
async def test_an_encrypted_session_keeps_every_rule(database: Path) -> None:
    def make(session_id: str) -> Session:
        return EncryptedSession(session_id, SQLiteSession(session_id, database), "a secret")

    assert len(await check_session(make)) == RULES


@COREDIS_LEAVES_STREAMS
@pytest.mark.real_clock
async def test_a_redis_session_keeps_every_rule(redis_url: str) -> None:
    assert len(await check_session(lambda session_id: RedisSession.from_url(session_id, redis_url))) == RULES


@COREDIS_LEAVES_STREAMS
@pytest.mark.real_clock
async def test_a_redis_session_on_a_client_of_ones_own_keeps_every_rule(redis_url: str) -> None:
    coredis: Any = pytest.importorskip("coredis")
    async with coredis.Redis.from_url(redis_url, decode_responses=True) as client:
        await check_session(lambda session_id: RedisSession(session_id, redis_client=client), client_tasks=["coredis."])


@pytest.mark.real_clock
async def test_a_postgres_session_keeps_every_rule(postgres_pool: Any) -> None:
    assert len(await check_session(lambda session_id: PostgresSession(session_id, pool=postgres_pool))) == RULES


@pytest.mark.real_clock
async def test_a_postgres_session_with_a_pool_of_its_own_keeps_the_rules(postgres_url: str) -> None:
    await check_session(
        lambda session_id: PostgresSession.from_url(session_id, postgres_url), concurrent=3, skip=["isolation by id"]
    )


@COREDIS_LEAVES_STREAMS
@pytest.mark.real_clock
async def test_encryption_goes_round_a_redis_session(redis_url: str) -> None:
    def make(session_id: str) -> Session:
        return EncryptedSession(session_id, RedisSession.from_url(session_id, redis_url), "a secret")

    await check_session(make, concurrent=3, cancel_after=[0.0, 0.002], skip=["isolation by id"])


class Careless:
    """A session with a switch for each mistake."""

    def __init__(self, session_id: str, mistake: str, stores: dict[str, list[TResponseInputItem]]) -> None:
        self.session_id = session_id
        self.session_settings: SessionSettings | None = None
        self._mistake = mistake
        self._items = stores.setdefault("all" if mistake == "shares" else session_id, [])
        self._copies = InMemorySession(session_id)

    async def get_items(self, limit: int | None = None) -> list[TResponseInputItem]:
        await anyio.lowlevel.checkpoint()
        if self._mistake == "limits from the front" and limit is not None:
            return self._items[:limit]
        copies = InMemorySession(self.session_id)
        await copies.add_items(self._items)
        if self._mistake == "hands out" and limit is None:
            return self._items
        return await copies.get_items(limit)

    async def add_items(self, items: list[TResponseInputItem]) -> None:
        copies = InMemorySession(self.session_id)
        if self._mistake != "keeps unwritable":
            await SQLiteSession(self.session_id).add_items(items)
        await copies.add_items(items)
        given = await copies.get_items()
        if self._mistake == "keeps unwritable":
            for item in given:
                if isinstance(item.get("content"), object):
                    self._items.append(item)
            return
        if self._mistake == "one by one":
            for item in given:
                self._items.append(item)
                await anyio.lowlevel.checkpoint()
            return
        if self._mistake == "reverses":
            given.reverse()
        if self._mistake == "goes on after a cancel":
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.5)
        self._items.extend(given)

    async def pop_item(self) -> TResponseInputItem | None:
        await anyio.lowlevel.checkpoint()
        if not self._items:
            return None
        return self._items.pop(0 if self._mistake == "pops the oldest" else -1)

    async def clear_session(self) -> None:
        await anyio.lowlevel.checkpoint()
        if self._mistake != "never clears":
            self._items.clear()


@pytest.mark.real_clock
@pytest.mark.parametrize(
    ("mistake", "rule"),
    [
        ("reverses", "order"),
        ("limits from the front", "limits"),
        ("shares", "isolation by id"),
        ("pops the oldest", "pop"),
        ("never clears", "clear"),
        ("hands out", "items are copied"),
        ("one by one", "writes at once stay whole"),
        ("goes on after a cancel", "a cancelled write is whole or absent"),
    ],
)
async def test_a_broken_session_is_told_the_rule(mistake: str, rule: str) -> None:
    stores: dict[str, list[TResponseInputItem]] = {}
    others = {"reverses": [], "shares": ["order"]}.get(mistake, [])
    if mistake == "goes on after a cancel":
        others = [one for one in ALL_RULES if one != rule]
    with pytest.raises(BrokenSessionRule, match=rule) as caught:
        await check_session(
            lambda session_id: Careless(session_id, mistake, stores),
            skip=others,
            large_characters=10,
            prompt_seconds=0.2,
            cancel_after=[0.01],
        )
    assert caught.value.rule == rule
    assert isinstance(caught.value, AssertionError)


ALL_RULES = [
    "a new session is empty",
    "order",
    "limits",
    "isolation by id",
    "pop",
    "clear",
    "values survive",
    "items are copied",
    "a failed write stores nothing",
    "writes at once stay whole",
    "pops at once get each item once",
    "a cancelled write is whole or absent",
    "cancelled writes in a crowd",
    "cancelled reads and pops",
]


async def test_what_is_no_session_is_told_so() -> None:
    with pytest.raises(BrokenSessionRule, match="lacks a method"):
        await check_session(cast("Any", list))


async def test_the_names_of_the_rules_are_returned_in_order() -> None:
    assert await check_session(InMemorySession, shared=False) == ALL_RULES


async def test_sessions_fit_the_protocol() -> None:
    made: list[Session] = [InMemorySession(), SQLiteSession(uuid.uuid4().hex)]
    assert all(isinstance(one, Session) for one in made)
