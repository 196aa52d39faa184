"""What `EncryptedSession` promises beyond the rules of every session."""

from __future__ import annotations

import copy
import time
from typing import Any, cast

import pytest

from agentrun import Agent, Runner
from agentrun.extensions.memory import EncryptedSession
from agentrun.memory import InMemorySession, SessionSettings
from agentrun.testing import ScriptedModel


def item(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


async def test_the_store_does_not_see_what_it_keeps() -> None:
    store = InMemorySession("a")
    session = EncryptedSession("a", store, "a secret")
    await session.add_items([item("my password is swordfish")])
    (stored,) = await store.get_items()
    assert "swordfish" not in repr(stored)
    assert "user" not in repr(stored)
    assert await session.get_items() == [item("my password is swordfish")]


async def test_another_key_and_another_conversation_read_nothing() -> None:
    store = InMemorySession("a")
    await EncryptedSession("a", store, "a secret").add_items([item("x")])
    for other in (EncryptedSession("a", store, "another"), EncryptedSession("b", store, "a secret")):
        assert await other.get_items() == []
        assert await other.pop_item() is None  # and a wrong key does not empty the conversation
    assert await EncryptedSession("a", store, "a secret").get_items() == [item("x")]


async def test_what_is_not_encrypted_or_damaged_is_left_out() -> None:
    store = InMemorySession("a")
    session = EncryptedSession("a", store, "a secret")
    await session.add_items([item("one"), item("two")])
    first = (await store.get_items())[0]
    await store.add_items([item("plain"), {**first, "payload": first["payload"][:-4] + "AAAA"}, {"__enc__": 1}])
    await store.add_items([{"__enc__": 1, "payload": "ü"}])
    assert await session.get_items() == [item("one"), item("two")]
    assert await session.get_items(1) == [item("two")]
    assert await session.get_items(0) == []


async def test_items_expire(monkeypatch: pytest.MonkeyPatch) -> None:
    store = InMemorySession("a")
    session = EncryptedSession("a", store, "a secret", ttl=600)
    forever = EncryptedSession("a", store, "a secret", ttl=None)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 1000)
    await session.add_items([item("old")])
    monkeypatch.setattr(time, "time", lambda: now)
    await session.add_items([item("new")])
    assert await session.get_items() == [item("new")]
    assert await session.get_items(2) == [item("new")]
    assert await forever.get_items() == [item("old"), item("new")]
    assert await session.pop_item() == item("new")
    assert await session.pop_item() is None  # the expired one goes with it
    assert await store.get_items() == []


async def test_a_read_looks_at_so_many_items_or_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int | None] = []

    class Store(InMemorySession):
        async def get_items(self, limit: int | None = None) -> Any:
            looked.append(limit)
            return await super().get_items(limit)

    store = Store("a")
    session = EncryptedSession("a", store, "a secret", max_scan_items=13)
    await session.add_items([item("0"), item("1")])
    assert await session.get_items() == await session.get_items(100) == [item("0"), item("1")]
    assert await session.get_items(1) == [item("1")]
    looked.clear()
    await store.add_items([item("plain")] * 3)
    assert await session.get_items(2) == [item("0"), item("1")]
    assert looked == [2, 4, 7]
    await store.add_items([item("plain")] * 13)
    looked.clear()
    for limit in (2, None, 20):
        with pytest.raises(RuntimeError, match="max_scan_items=13"):
            await session.get_items(limit)
    assert looked == [2, 4, 7, 13, 13]
    assert await EncryptedSession("a", store, "a secret").get_items(2) == [item("0"), item("1")]


async def test_a_bounded_read_cannot_be_asked_for_everything() -> None:
    store = InMemorySession("a", session_settings=SessionSettings(limit=-1))
    session = EncryptedSession("a", store, "a secret", max_scan_items=3)
    for limit in (None, -1):
        with pytest.raises(ValueError, match="limit must be 0 or more"):
            await session.get_items(limit)
    assert await session.get_items(0) == await session.get_items(1) == []


async def test_a_pop_goes_on_to_what_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    store = InMemorySession("a")
    session = EncryptedSession("a", store, "a secret", ttl=1, max_scan_items=2)
    await session.add_items([item("new")])
    now = time.time()
    with monkeypatch.context() as long_ago:
        long_ago.setattr(time, "time", lambda: now - 100)
        await session.add_items([item(str(number)) for number in range(3)])
    await store.add_items([item("plain")])
    assert await session.pop_item() == item("new")
    assert await session.pop_item() is None


async def test_the_rest_is_that_of_the_session_underneath() -> None:
    class Store(InMemorySession):
        def tell(self) -> str:
            return "told"

    session = EncryptedSession("a", Store("a"), "a secret")
    assert session.tell() == "told"
    assert not hasattr(session, "ask")
    assert not hasattr(session, "_ask")
    assert copy.copy(session).session_id == "a"


async def test_the_settings_are_those_of_the_underlying_session() -> None:
    store = InMemorySession("a", session_settings=SessionSettings(limit=2))
    session = EncryptedSession("a", store, "a secret")
    await session.add_items([item(str(number)) for number in range(4)])
    assert session.session_settings == SessionSettings(limit=2)
    assert await session.get_items() == [item("2"), item("3")]
    assert len(await session.get_items(-1)) == 4
    session.session_settings = None
    assert len(await session.get_items()) == 4


@pytest.mark.real_clock
async def test_large_items_are_encrypted_in_a_thread() -> None:
    session = EncryptedSession("a", InMemorySession("a"), "a secret")
    await session.add_items([item("x" * 500_000)])
    assert await session.get_items() == [item("x" * 500_000)]


def test_wrong_arguments_are_refused() -> None:
    store = InMemorySession("a")
    with pytest.raises(ValueError, match="encryption_key is empty"):
        EncryptedSession("a", store, "")
    with pytest.raises(ValueError, match="ttl must be"):
        EncryptedSession("a", store, "a secret", ttl=0)
    with pytest.raises(ValueError, match="max_scan_items must be"):
        EncryptedSession("a", store, "a secret", max_scan_items=0)


async def test_the_context_of_a_run_reaches_the_session_underneath() -> None:
    """SE-1."""
    seen: list[Any] = []

    class Tenant(InMemorySession):
        async def get_items(self, limit: int | None = None, *, wrapper: Any = None) -> Any:
            seen.append(("get", wrapper))
            return await super().get_items(limit)

        async def add_items(self, items: Any, *, wrapper: Any = None) -> None:
            seen.append(("add", wrapper))
            await super().add_items(items)

        async def pop_item(self, *, wrapper: Any = None) -> Any:
            seen.append(("pop", wrapper))
            return await super().pop_item()

        async def clear_session(self, *, wrapper: Any = None) -> None:
            seen.append(("clear", wrapper))
            await super().clear_session()

    session = EncryptedSession("one", cast("Any", Tenant("one")), "a secret")
    agent: Agent[Any] = Agent("a", model=ScriptedModel(["hello"]))
    result = await Runner.run(agent, "hi", session=session, context="tenant 7")
    assert [(what, wrapper.context) for what, wrapper in seen] == [("get", "tenant 7")] + [("add", "tenant 7")] * 2
    seen.clear()
    assert await session.pop_item(wrapper=result.context_wrapper) is not None
    await session.clear_session(wrapper=result.context_wrapper)
    assert [what for what, _ in seen] == ["get", "pop", "clear"]
