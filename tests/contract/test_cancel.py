"""features 7: cancelling a run; semantics.md S-92."""

# Callbacks here are written as a user would write them, without types.
# pyright: reportUnknownLambdaType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import dataclasses
import math
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from agentrun import (
    Agent,
    GuardrailFunctionOutput,
    RunConfig,
    RunHooks,
    Runner,
    SessionSettings,
    Timeouts,
    Usage,
    function_tool,
    input_guardrail,
)
from agentrun.testing import Gate, ModelStep, ScriptedModel, function_call, hang, no_leaks

covers = pytest.mark.covers


class Memory:
    """A session that keeps its items in a list."""

    session_id = "one"
    session_settings: SessionSettings | None = None

    def __init__(self) -> None:
        self.items: list[Any] = []

    async def get_items(self, limit: int | None = None) -> list[Any]:
        await checkpoint()
        return list(self.items)

    async def add_items(self, items: list[Any]) -> None:
        await checkpoint()
        self.items.extend(items)

    async def pop_item(self) -> Any:
        await checkpoint()
        return self.items.pop() if self.items else None

    async def clear_session(self) -> None:
        await checkpoint()
        self.items.clear()

    @property
    def kinds(self) -> list[str]:
        return [item.get("type", "message") for item in self.items]


@function_tool
def look(q: str = "") -> str:
    return f"saw {q}"


def call(name: str = "look", call_id: str = "c1", **arguments: Any) -> Any:
    return function_call(name, arguments, call_id=call_id)


@covers("CN-1", "RS-11")
async def test_cancel_ends_the_run_at_once_and_keeps_finished_turns() -> None:
    session = Memory()
    model = ScriptedModel([[call()], ModelStep.hang(after=2)])
    agent = Agent(name="a", model=model, tools=[look])
    after: list[str] = []
    async with no_leaks():
        async with Runner.run_streamed(agent, "hi", session=session) as result:
            async for event in result.stream_events():
                if after or (len(model.calls) == 2 and event.type == "raw_response_event"):
                    after.append(event.type)
                    result.cancel()
    assert after == ["raw_response_event"], "no event comes after the cancel"
    assert result.is_complete
    assert result.final_output is None
    assert [item.type for item in result.new_items] == ["tool_call_item", "tool_call_output_item"]
    assert session.kinds == ["message", "function_call", "function_call_output"]
    assert model.open_streams == 0


@covers("CN-1")
async def test_cancel_stops_running_tools_and_drops_their_turn() -> None:
    session, gate, cleaned = Memory(), Gate(), []

    @function_tool
    async def work() -> str:
        try:
            await gate.wait()
        finally:
            await checkpoint()
            cleaned.append("work")
        return "worked"

    agent = Agent(name="a", model=ScriptedModel([[call("work")]]), tools=[work])
    names: list[str] = []
    async with Runner.run_streamed(agent, "hi", session=session) as result:
        async with anyio.create_task_group() as nursery:

            async def cancel_when_running() -> None:
                await gate.wait_reached()
                result.cancel()

            nursery.start_soon(cancel_when_running)
            names = [event.type async for event in result.stream_events()]
    assert "agent_updated_stream_event" in names
    assert cleaned == ["work"]
    assert result.new_items == []
    assert session.kinds == ["message"]


@covers("CN-1")
async def test_a_wrong_mode_is_refused() -> None:
    async with Runner.run_streamed(Agent(name="a", model=ScriptedModel(["done"])), "hi") as result:
        with pytest.raises(ValueError, match="'later'"):
            result.cancel("later")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="within"):
            result.cancel(within=3)
        await result.wait()


@covers("CN-2", "ST-8")
async def test_cancel_after_turn_lets_the_turn_end_and_stops_before_the_next() -> None:
    session = Memory()
    model = ScriptedModel([[call()], "never"], default_usage=Usage(requests=1, input_tokens=3, total_tokens=3))
    async with Runner.run_streamed(Agent(name="a", model=model, tools=[look]), "hi", session=session) as result:
        async for event in result.stream_events():
            if event.type == "raw_response_event":
                result.cancel("after_turn")
    assert len(model.calls) == 1
    assert result.final_output is None
    assert result.context_wrapper.usage.input_tokens == 3
    assert session.kinds == ["message", "function_call", "function_call_output"]


@covers("CN-2", "ST-8")
async def test_cancel_after_turn_stops_a_resumed_run_behind_the_turn_it_was_paused_in() -> None:
    asking = dataclasses.replace(look, needs_approval=True)
    model = ScriptedModel([[call()], "done"])
    agent = Agent(name="a", model=model, tools=[asking])
    state = (await Runner.run(agent, "hi")).to_state()
    state.approve(state.get_interruptions()[0])
    async with Runner.run_streamed(agent, state) as result:
        async for event in result.stream_events():
            if event.type == "run_item_stream_event" and event.name == "tool_output":
                result.cancel("after_turn")
    assert (len(model.calls), result.final_output) == (1, None)
    assert (await Runner.run(agent, result.to_state())).final_output == "done"


@covers("CN-2")
async def test_cancel_after_turn_during_the_last_turn_gives_the_output() -> None:
    async with Runner.run_streamed(Agent(name="a", model=ScriptedModel(["done"])), "hi") as result:
        async for event in result.stream_events():
            if event.type == "raw_response_event":
                result.cancel("after_turn")
    assert result.final_output == "done"


@covers("CN-2")
async def test_cancel_after_turn_within_a_time_becomes_immediate() -> None:
    model = ScriptedModel([hang()])
    async with Runner.run_streamed(Agent(name="a", model=model), "hi") as result:
        async for event in result.stream_events():
            if event.type == "agent_updated_stream_event":
                break
        start = anyio.current_time()
        async with anyio.create_task_group() as nursery:
            nursery.start_soon(result.wait)
            await anyio.sleep(1)
            result.cancel("after_turn", within=5)
        assert anyio.current_time() - start == pytest.approx(6)
    assert result.final_output is None
    assert result.is_complete


@covers("CN-3")
@pytest.mark.parametrize("form", ["block", "bare"])
@pytest.mark.parametrize("mode", ["immediate", "after_turn"])
async def test_cancel_before_the_first_turn_calls_no_model_and_writes_nothing(form: str, mode: Any) -> None:
    session, model = Memory(), ScriptedModel(["never"])
    result = Runner.run_streamed(Agent(name="a", model=model), "hi", session=session)
    events: list[Any] = []
    if form == "bare":
        result.cancel(mode)
        events = [event async for event in result.stream_events()]
    else:
        async with result:
            result.cancel(mode)
            events = [event async for event in result.stream_events()]
    assert [event.type for event in events] == ([] if mode == "immediate" else ["agent_updated_stream_event"])
    assert not model.calls
    assert session.items == []
    assert result.is_complete
    assert result.final_output is None


@covers("CN-4", "RS-8")
async def test_a_run_stopped_after_a_turn_goes_on_from_its_state(run: Any) -> None:
    ran: list[str] = []

    @function_tool
    async def work() -> str:
        ran.append("work")
        return "worked"

    session, model = Memory(), ScriptedModel([[call("work")], "done"])
    agent = Agent(name="a", model=model, tools=[work])
    async with Runner.run_streamed(agent, "hi", session=session) as stopped:
        async for event in stopped.stream_events():
            if event.type == "raw_response_event":
                stopped.cancel("after_turn")
    result = await run(agent, stopped.to_state(), session=session)
    assert result.final_output == "done"
    assert ran == ["work"]
    assert result.items == ["tool_call_item", "tool_call_output_item", "message_output_item"]
    assert session.kinds == ["message", "function_call", "function_call_output", "message"]
    assert [item.type for item in stopped.new_items] == ["tool_call_item", "tool_call_output_item"]
    model.enqueue("again")
    again = await run(stopped.last_agent, stopped.to_input_list(mode="normalized"))
    assert again.final_output == "again"


@covers("CN-4")
async def test_a_run_cancelled_at_once_goes_on_from_its_last_finished_turn(run: Any) -> None:
    model = ScriptedModel([[call()], hang(), "done"])
    agent = Agent(name="a", model=model, tools=[look])
    async with Runner.run_streamed(agent, "hi", max_turns=2) as cut:
        with anyio.move_on_after(5):
            await cut.wait()
    assert cut.is_complete
    result = await run(agent, cut.to_state())
    assert result.final_output == "done"
    sent: Any = model.calls[2].input
    assert [item.get("type", "message") for item in sent] == [*("message", "function_call", "function_call_output")]


@covers("CN-5", "S-77")
async def test_a_cancelled_caller_cancels_the_run_and_stays_cancelled(run: Any) -> None:
    session, gate, log = Memory(), Gate(), []

    @function_tool
    async def work() -> str:
        try:
            await gate.wait()
        except BaseException:
            log.append("tool cancelled")
            raise
        return "worked"

    agent = Agent(name="a", model=ScriptedModel([[call("work")]]), tools=[work])
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as nursery:

            async def cancel_when_running() -> None:
                await gate.wait_reached()
                scope.cancel()

            nursery.start_soon(cancel_when_running)
            try:
                await run(agent, session=session)
            finally:
                log.append("run left")
    assert scope.cancelled_caught
    assert log == ["tool cancelled", "run left"]
    assert session.kinds == ["message"]


@covers("CN-5")
async def test_a_cancelled_reader_of_the_bare_form_ends_the_run_before_it_goes_on() -> None:
    model = ScriptedModel([hang()])
    result = Runner.run_streamed(Agent(name="a", model=model), "hi")
    with anyio.move_on_after(1) as scope:
        async for _ in result.stream_events():
            pass
    assert scope.cancelled_caught
    assert result.is_complete
    assert model.open_streams == 0
    assert result.run_loop_exception is None


@covers("CN-5")
async def test_cancelling_a_run_cancels_its_guardrails(run: Any) -> None:
    log: list[str] = []

    @input_guardrail
    async def check(context: Any, agent: Any, given: Any) -> GuardrailFunctionOutput:
        try:
            await anyio.sleep(math.inf)
        finally:
            log.append("guardrail ended")
        raise AssertionError

    agent = Agent(name="a", model=ScriptedModel([hang()]), input_guardrails=[check])
    with anyio.move_on_after(1) as scope:
        await run(agent)
    assert scope.cancelled_caught
    assert log == ["guardrail ended"]


@covers("CN-6", "S-32")
async def test_a_tool_that_raises_the_backends_cancellation_by_itself_has_failed(run: Any) -> None:
    import asyncio

    import trio

    @function_tool
    async def broken() -> str:
        await checkpoint()
        if anyio.get_cancelled_exc_class() is asyncio.CancelledError:
            raise asyncio.CancelledError("by itself")
        stolen: BaseException = AssertionError("not cancelled")
        with trio.CancelScope() as scope:
            scope.cancel()
            try:
                await checkpoint()
            except trio.Cancelled as exc:
                stolen = exc
        raise stolen

    model = ScriptedModel([[call("broken"), call("look", "c2", q="x")], "done"])
    result = await run(Agent(name="a", model=model, tools=[broken, look]))
    assert result.final_output == "done"
    outputs = [item.output for item in result.new_items if item.type == "tool_call_output_item"]
    assert outputs == ["An error occurred while running the tool. Please try again.", "saw x"]


@covers("S-92", "US-3")
async def test_a_reply_that_arrived_before_the_cancel_is_in_the_usage_and_not_in_the_replies() -> None:
    gate = Gate()

    class Hooks(RunHooks[Any]):
        async def on_llm_end(self, context: Any, agent: Any, response: Any) -> None:
            await gate.wait()

    model = ScriptedModel(["done"], default_usage=Usage(requests=1, input_tokens=3, output_tokens=4, total_tokens=7))
    async with Runner.run_streamed(Agent(name="a", model=model), "hi", hooks=Hooks()) as result:
        async with anyio.create_task_group() as nursery:

            async def cancel_when_told() -> None:
                await gate.wait_reached()
                result.cancel()

            nursery.start_soon(cancel_when_told)
            async for _ in result.stream_events():
                pass
    assert result.context_wrapper.usage.total_tokens == 7
    assert result.raw_responses == []
    assert result.final_output is None


@covers("CN-1", "US-2")
async def test_a_cut_request_leaves_one_partial_entry() -> None:
    async with Runner.run_streamed(Agent(name="a", model=ScriptedModel([ModelStep.hang(after=6)])), "hi") as result:
        with anyio.move_on_after(1):
            await result.wait()
    usage = result.context_wrapper.usage
    assert [entry.partial for entry in usage.request_usage_entries] == [True]
    assert usage.total_tokens == 0


@covers("CN-1")
async def test_a_deadline_on_the_run_is_an_error_with_what_the_run_had(run: Any) -> None:
    from agentrun import RunTimeoutError

    model = ScriptedModel([[call()], hang()])
    agent = Agent(name="a", model=model, tools=[look])
    with pytest.raises(RunTimeoutError) as caught:
        await run(agent, run_config=RunConfig(timeouts=Timeouts(run=3)))
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.run_data is not None
    assert [item.type for item in caught.value.run_data.new_items] == ["tool_call_item", "tool_call_output_item"]


@covers("CN-1")
@pytest.mark.parametrize("failing", [False, True])
async def test_after_cancel_nothing_comes_of_a_run_that_had_ended_already(failing: bool) -> None:
    model = ScriptedModel([] if failing else ["answer"])
    result = Runner.run_streamed(Agent(name="a", model=model), "hi")
    events = result.stream_events()
    assert (await anext(events)).type == "agent_updated_stream_event"
    with anyio.fail_after(5):
        while not result.is_complete:
            await checkpoint()
    result.cancel()
    assert [event async for event in events] == []
    assert (result.run_loop_exception is not None) is failing
