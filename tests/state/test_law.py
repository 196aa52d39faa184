"""Issue 4: a state goes through JSON between any two turns, and the run comes to what the whole run comes to."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from agentrun import Agent, HandoffInputData, Runner, RunState, Tool, Usage, function_tool, handoff
from agentrun.memory import InMemorySession
from agentrun.testing import ModelStep, ScriptedModel, assistant_message, function_call

PHASES = (Phase.generate, Phase.shrink)  # nothing is targeted, so the optimiser need not be loaded in the loop
USAGE = Usage(requests=1, input_tokens=5, output_tokens=2, total_tokens=7)


@attrs.frozen
class Play:
    """A random run: what the model says in each turn."""

    turns: list[tuple[str, ...]]
    """Of each turn: the tools called, "over" for a handoff."""
    filtered: bool


PLAYS = st.builds(
    Play,
    st.lists(
        st.lists(st.sampled_from(["free", "guarded", "nested", "over", "text"]), min_size=1, max_size=3).map(tuple),
        max_size=3,
    ),
    st.booleans(),
)


class Stage:
    """The agents of one performance of a play."""

    def __init__(self, play: Play) -> None:
        self.done: list[str] = []
        self.model = ScriptedModel(
            [*map(self._reply, range(len(play.turns)), play.turns), ModelStep.respond("the end", usage=USAGE)]
        )

        @function_tool
        async def free(number: str) -> str:
            self.done.append(f"free {number}")
            return f"free {number}"

        @function_tool(needs_approval=True)
        async def guarded(number: str) -> str:
            self.done.append(f"guarded {number}")
            return f"guarded {number}"

        def inner_reply(call: Any) -> Any:
            last = call.input[-1]
            if last.get("type") == "function_call_output":
                return f"inner: {last['output']}"
            return [function_call("guarded", {"number": last["content"]}, call_id=f"in-{last['content']}")]

        inner: Agent[Any] = Agent("inner", model=ScriptedModel([inner_reply] * 40), tools=[guarded])
        tools: list[Tool] = [free, guarded, inner.as_tool("nested", None)]
        self.first: Agent[Any] = Agent("first", model=self.model, tools=tools)
        self.second: Agent[Any] = Agent("second", model=self.model, tools=tools)

        def shorten(data: HandoffInputData) -> HandoffInputData:
            return data.clone(input_history="short", pre_handoff_items=())

        keep = shorten if play.filtered else None
        for agent, other in ((self.first, self.second), (self.second, self.first)):
            agent.handoffs.append(handoff(other, tool_name_override="over", input_filter=keep))

    def _reply(self, turn: int, words: tuple[str, ...]) -> ModelStep:
        items: list[Any] = []
        for place, word in enumerate(words):
            number = f"{turn}.{place}"
            if word == "text":
                items.append(assistant_message(f"text {number}"))
            elif word == "nested":
                items.append(function_call("nested", {"input": number}, call_id=number))
            else:
                items.append(function_call(word, {} if word == "over" else {"number": number}, call_id=number))
        if not any(word != "text" for word in words):
            items.append(function_call("free", {"number": f"{turn}.x"}, call_id=f"{turn}.x"))
        return ModelStep.respond(items, usage=USAGE)


def transcript(result: Any) -> list[Any]:
    return [
        (item.type, item.agent.name, getattr(item, "output", None) if item.type == "tool_call_output_item" else None)
        for item in result.new_items
        if item.type != "tool_approval_item"
    ]


def decide(state: RunState[Any], choices: st.DataObject | None) -> None:
    """Approve what waits, or for an interrupted run any part of it, at least one."""
    waiting = state.get_interruptions()
    chosen = waiting
    if choices is not None:
        chosen = choices.draw(st.lists(st.sampled_from(waiting), min_size=1, unique_by=id))
    for item in chosen:
        state.approve(item)


async def uninterrupted(play: Play) -> tuple[Stage, Any, Any]:
    """One process, everything decided at once, no state ever stored."""
    stage, session = Stage(play), InMemorySession()
    result: Any = await Runner.run(stage.first, "hi", session=session, max_turns=None)
    while result.interruptions:
        state = result.to_state()
        decide(state, None)
        result = await Runner.run(stage.first, state, session=session)
    return stage, result, await session.get_items()


async def interrupted(play: Play, data: st.DataObject) -> tuple[Stage, Any, Any]:
    """Stopped after any turns, stored, decided bit by bit, and run from what was stored, streamed or not."""
    stage, session = Stage(play), InMemorySession()
    given: Any = "hi"
    while True:
        if data.draw(st.booleans(), label="streamed"):
            stop_after = data.draw(st.integers(0, 4), label="stop after")
            async with Runner.run_streamed(stage.first, given, session=session, max_turns=None) as result:
                seen = 0
                async for event in result.stream_events():
                    seen += event.type == "run_item_stream_event"
                    if seen == stop_after:
                        result.cancel("after_turn")
        else:
            result = await Runner.run(stage.first, given, session=session, max_turns=None)  # type: ignore[assignment]
        if result.final_output is not None:
            return stage, result, await session.get_items()
        state = await RunState.from_string(stage.first, result.to_state().to_string())
        if state.get_interruptions():
            decide(state, data)
        given = await RunState.from_string(stage.first, state.to_string())


def without_order(items: list[Any]) -> list[Any]:
    """The outputs of one reply are recorded as they are decided, so their order is free."""
    return sorted(items, key=repr)


@pytest.mark.slow
@settings(max_examples=15, phases=PHASES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(play=PLAYS, data=st.data())
async def test_a_run_that_is_stored_between_turns_comes_to_what_the_whole_run_comes_to(
    play: Play, data: st.DataObject
) -> None:
    whole_stage, whole, whole_session = await uninterrupted(play)
    stage, result, session = await interrupted(play, data)
    assert result.final_output == whole.final_output == "the end"
    assert result.last_agent.name == whole.last_agent.name
    assert len(set(stage.done)) == len(stage.done), "no tool ran twice"
    assert sorted(stage.done) == sorted(whole_stage.done)
    assert without_order(transcript(result)) == without_order(transcript(whole))
    assert without_order(session) == without_order(whole_session)
    assert result.context_wrapper.usage.total_tokens == whole.context_wrapper.usage.total_tokens
    assert len(result.raw_responses) == len(whole.raw_responses)
    for one, other in zip(stage.model.calls, whole_stage.model.calls, strict=True):
        assert without_order(list(one.input)) == without_order(list(other.input))
    stage.model.assert_complete()
