"""semantics.md S-63, S-64: runs that go on with another session, without theirs, or after a failed write."""

from __future__ import annotations

import logging
from typing import Any

import anyio
import pytest

from agentrun import Agent, HandoffInputData, Runner, RunState, UserError, function_tool, handoff, run_data
from agentrun.memory import InMemorySession
from agentrun.testing import ModelStep, ScriptedModel, function_call


def short(item: Any) -> str:
    kind = item.get("type", "message")
    if kind == "message":
        content = item["content"]
        return f"{item['role']}:{content if isinstance(content, str) else content[0]['text']}"
    return f"{'out' if kind.endswith('_output') else 'call'}:{item['call_id']}"


class Notebook(InMemorySession):
    """A session that counts its writes, and can fail."""

    def __init__(self, session_id: str = "one") -> None:
        super().__init__(session_id)
        self.writes: list[list[str]] = []
        self.broken = False

    async def add_items(self, items: Any) -> None:
        if self.broken:
            raise OSError("disk full")
        self.writes.append([short(item) for item in items])
        await super().add_items(items)

    async def kept(self) -> list[str]:
        return [short(item) for item in await self.get_items()]


def work(call_id: str) -> Any:
    return function_call("work", {}, call_id=call_id)


def agent_of(*steps: Any, needs_approval: bool = True) -> Agent[Any]:
    @function_tool(needs_approval=needs_approval)
    async def work() -> str:
        return "worked"

    return Agent("a", model=ScriptedModel(steps), tools=[work])


def sent(agent: Agent[Any]) -> list[str]:
    model: Any = agent.model
    return [short(item) for item in model.calls[-1].input]


async def again(agent: Agent[Any], state: RunState[Any]) -> RunState[Any]:
    """The state as another process reads it, with everything approved."""
    state = await RunState.from_string(agent, state.to_string())
    for item in state.get_interruptions():
        state.approve(item)
    return state


async def test_a_run_that_began_without_a_session_is_stored_whole_once_it_has_one(run: Any) -> None:
    """Calls and outputs together, in one write; what was in the session before is neither read nor touched."""
    session = Notebook()
    await session.add_items([{"role": "user", "content": "old"}])
    agent = agent_of([work("c1"), work("c2")], "done")
    state = await again(agent, (await run(agent)).to_state())
    session.writes.clear()
    await run(agent, state, session=session)
    assert session.writes == [["user:hi", "call:c1", "call:c2", "out:c1", "out:c2"], ["assistant:done"]]
    assert sent(agent) == ["user:hi", "call:c1", "call:c2", "out:c1", "out:c2"]
    follow_up = agent_of("fine")
    await run(follow_up, "and now?", session=session)
    assert sent(follow_up)[0] == "user:old" and len(sent(follow_up)) == 8, "a conversation that a provider accepts"


async def test_finished_turns_are_stored_too_when_a_stopped_run_gets_a_session(run: Any) -> None:
    session = Notebook()
    agent = agent_of([work("c1")], [work("c2")], "done", needs_approval=False)
    async with Runner.run_streamed(agent, "hi") as result:
        async for event in result.stream_events():
            if event.type == "run_item_stream_event":
                result.cancel("after_turn")
    await run(agent, await again(agent, result.to_state()), session=session)
    assert session.writes == [["user:hi", "call:c1", "out:c1", "call:c2", "out:c2"], ["assistant:done"]]


async def test_a_run_in_which_nothing_happened_yet_reads_the_session_it_gets(run: Any) -> None:
    session = Notebook()
    await session.add_items([{"role": "user", "content": "old"}])
    agent = agent_of("done")
    async with Runner.run_streamed(agent, "hi") as result:
        result.cancel("after_turn")
        async for _ in result.stream_events():
            pass
    await run(agent, await again(agent, result.to_state()), session=session)
    assert sent(agent) == ["user:old", "user:hi"]
    assert await session.kept() == ["user:old", "user:hi", "assistant:done"]


async def test_a_run_does_not_go_on_in_another_session(run: Any) -> None:
    first, second = Notebook("first"), Notebook("second")
    agent = agent_of([work("c1")], "done")
    state = await again(agent, (await run(agent, session=first)).to_state())
    with pytest.raises(UserError, match="kept in session 'first' and cannot go on in session 'second'") as caught:
        await run(agent, state, session=second)
    assert await second.kept() == [] and await first.kept() == ["user:hi", "call:c1"]
    left = run_data(caught.value)
    assert left is not None
    for going_on in (state, left.to_state()):
        agent.model = ScriptedModel(["done"])
        assert (await run(agent, going_on, session=first)).final_output == "done"
        assert (await first.kept())[:3] == ["user:hi", "call:c1", "out:c1"], "nothing was lost by the refusal"


async def test_another_object_of_the_same_session_is_the_same_session(run: Any) -> None:
    first = Notebook("same")
    agent = agent_of([work("c1")], "done")
    state = await again(agent, (await run(agent, session=first)).to_state())
    second = Notebook("same")
    await run(agent, state, session=second)
    assert second.writes == [["out:c1"], ["assistant:done"]]


async def test_a_run_that_loses_its_session_says_so_and_catches_up_later(
    run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    session = Notebook()
    agent = agent_of([work("c1")], [work("c2")], "done")
    state = await again(agent, (await run(agent, session=session)).to_state())
    with caplog.at_level(logging.WARNING, "agentrun"):
        state = await again(agent, (await run(agent, state)).to_state())
    assert "kept in session 'one' goes on without it" in caplog.text
    assert await session.kept() == ["user:hi", "call:c1"]
    session.writes.clear()
    await run(agent, state, session=session)
    assert session.writes == [["out:c1", "call:c2", "out:c2"], ["assistant:done"]]


async def test_what_a_failed_write_did_not_store_is_stored_when_the_run_goes_on(run: Any) -> None:
    """S-66."""
    session = Notebook()

    def break_session(call: Any) -> Any:
        session.broken = True
        return [work("c1")]

    agent = agent_of(break_session, "done", needs_approval=False)
    with pytest.raises(OSError, match="disk full") as caught:
        await run(agent, session=session)
    assert await session.kept() == ["user:hi"]
    left = run_data(caught.value)
    assert left is not None
    session.broken = False
    session.writes.clear()
    result = await run(agent, await again(agent, left.to_state()), session=session)
    assert result.final_output == "done"
    assert await session.kept() == ["user:hi", "call:c1", "out:c1", "assistant:done"]


async def test_a_filtered_handoff_stores_each_turn_once_over_a_pause(run: Any) -> None:
    """S-47, S-65."""

    @function_tool(needs_approval=True)
    async def work() -> str:
        return "worked"

    def shorten(data: HandoffInputData) -> HandoffInputData:
        return data.clone(input_history="short", pre_handoff_items=())

    expert: Agent[Any] = Agent("expert", tools=[work])
    root: Agent[Any] = Agent(
        "root", tools=[work], handoffs=[handoff(expert, tool_name_override="over", input_filter=shorten)]
    )

    def over(call_id: str) -> Any:
        return function_call("over", {}, call_id=call_id)

    root.model = expert.model = ScriptedModel(
        [[function_call("work", {}, call_id="c1")], [function_call("work", {}, call_id="c2"), over("h1")], "done"]
    )
    session = Notebook()
    state = await again(root, (await run(root, session=session)).to_state())
    state = await again(root, (await run(root, state, session=session)).to_state())
    result = await run(root, state, session=session)
    assert result.final_output == "done"
    assert await session.kept() == [
        "user:hi",
        "call:c1",
        "out:c1",
        "call:c2",
        "call:h1",
        "out:c2",
        "out:h1",
        "assistant:done",
    ]


async def test_a_state_says_how_much_its_session_has_and_no_more_than_there_is(run: Any) -> None:
    session = Notebook()
    agent = agent_of([work("c1")], "done")
    data = (await run(agent, session=session)).to_state().to_json()
    assert (data["session_id"], data["stored_items"]) == ("one", 2)
    with pytest.raises(UserError, match=r"\$\.stored_items is 3, expected at most 2"):
        await RunState.from_json(agent, data | {"stored_items": 3})
    with pytest.raises(UserError, match=r"\$\.session_id is 7"):
        await RunState.from_json(agent, data | {"session_id": 7})
    for key in ("session_id", "stored_items"):  # as states were written before there were these two
        del data[key]
    state = await again(agent, await RunState.from_json(agent, data))
    await run(agent, state, session=session)
    assert await session.kept() == ["user:hi", "call:c1", "out:c1", "assistant:done"]


async def test_a_state_that_is_run_again_after_a_cancel_stores_no_output_twice(run: Any) -> None:
    """I19: the first run from it was cut off after the approved calls; the session has their outputs."""
    session = Notebook()

    agent = agent_of([work("c1"), work("c2")], ModelStep.hang())
    state = await again(agent, (await run(agent, session=session)).to_state())
    with anyio.move_on_after(1):
        await run(agent, state, session=session)
    assert await session.kept() == ["user:hi", "call:c1", "call:c2", "out:c1", "out:c2"]
    for going_on in (await RunState.from_string(agent, state.to_string()), state):
        agent.model = ScriptedModel(["done"])
        await run(agent, going_on, session=session)
    assert await session.kept() == [
        "user:hi",
        "call:c1",
        "call:c2",
        "out:c1",
        "out:c2",
        "assistant:done",
        "assistant:done",
    ]


class Forgetful(Notebook):
    """A session that stores what it is given, and then says that it has not."""

    silent = False

    async def add_items(self, items: Any) -> None:
        await super().add_items(items)
        if self.silent:
            raise OSError("no answer")


async def test_what_a_session_stored_before_it_failed_is_not_stored_again(run: Any) -> None:
    session = Forgetful()
    agent = agent_of([work("c1")], "done")
    state = await again(agent, (await run(agent, session=session)).to_state())
    session.silent = True
    with pytest.raises(OSError, match="no answer"):
        await run(agent, state, session=session)
    session.silent = False
    await run(agent, await again(agent, state), session=session)
    assert await session.kept() == ["user:hi", "call:c1", "out:c1", "assistant:done"]


async def test_a_session_that_cannot_say_what_it_has_is_given_it_again(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Notebook()
    agent = agent_of([work("c1")], "done")
    state = await again(agent, (await run(agent, session=session)).to_state())

    async def get_items(*arguments: Any, **options: Any) -> Any:
        raise OSError("no answer")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="disk full"):
        patch.setattr(session, "get_items", get_items)
        session.broken = True
        await run(agent, state, session=session)
    session.broken = False
    await run(agent, await again(agent, state), session=session)
    assert await session.kept() == ["user:hi", "call:c1", "out:c1", "assistant:done"]
