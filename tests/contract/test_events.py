"""semantics.md B: the events of a stream; features 6."""

# Callbacks here are written as a user would write them, without types.
# pyright: reportUnknownLambdaType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from agentrun import (
    Agent,
    GuardrailFunctionOutput,
    MaxTurnsExceeded,
    ModelSettings,
    ModelTracing,
    RunConfig,
    RunHooks,
    Runner,
    function_tool,
    handoff,
    output_guardrail,
)
from agentrun.extensions.handoff_filters import remove_all_tools
from agentrun.testing import Gate, ModelStep, ScriptedModel, assistant_message, function_call, no_leaks, reasoning

covers = pytest.mark.covers


@function_tool
def look(q: str = "") -> str:
    return f"saw {q}"


def call(name: str = "look", call_id: str = "c1", **arguments: Any) -> Any:
    return function_call(name, arguments, call_id=call_id)


async def names_of(result: Any) -> list[str]:
    """Read a stream to its end; return item names, agents, and raw types."""
    names: list[str] = []
    async for event in result.stream_events():
        if event.type == "raw_response_event":
            names.append(f"raw:{event.data.type}")
        elif event.type == "run_item_stream_event":
            names.append(event.name)
        else:
            names.append(f"agent:{event.new_agent.name}")
    return names


def semantic(names: list[str]) -> list[str]:
    return [name for name in names if not name.startswith("raw:")]


@covers("S-10", "ST-3", "RS-11")
async def test_the_first_event_names_the_agent_before_anything_happens() -> None:
    model = ScriptedModel(["done"])
    async with Runner.run_streamed(Agent(name="a", model=model), "hi") as result:
        stream = result.stream_events()
        first = await anext(stream)
        assert first.type == "agent_updated_stream_event"
        assert first.new_agent is result.current_agent
        assert not result.is_complete
        rest = [event async for event in stream]
    assert rest[0].type == "raw_response_event"


@covers("S-11", "S-12", "ST-1", "ST-4")
async def test_raw_events_come_first_and_in_order_then_an_event_per_item() -> None:
    reply = [reasoning("hm"), assistant_message("look"), call(), call("look", "c2")]
    model = ScriptedModel([reply, "done"])
    async with Runner.run_streamed(Agent(name="a", model=model, tools=[look]), "hi") as result:
        names = await names_of(result)
    completed = names.index("raw:response.completed")
    assert names[0] == "agent:a"
    assert all(name.startswith("raw:") for name in names[1 : completed + 1])
    assert names[1] == "raw:response.created"
    assert semantic(names) == [
        *("agent:a", "reasoning_item_created", "message_output_created", "tool_called", "tool_called"),
        *("tool_output", "tool_output", "message_output_created"),
    ]
    assert names[-1] == "message_output_created"


@covers("S-11", "ST-1")
async def test_raw_events_arrive_while_the_model_still_speaks() -> None:
    gate = Gate()
    model = ScriptedModel([ModelStep.respond("one two", gate=gate, before="response.completed")])
    async with Runner.run_streamed(Agent(name="a", model=model), "hi") as result:
        text = ""
        async for event in result.stream_events():
            if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
                delta: Any = event.data
                text += delta.delta
                if text == "one two":
                    assert not gate.is_open
                    gate.open()
    assert result.final_output == "one two"


@covers("S-12")
async def test_the_items_of_a_reply_are_shown_before_a_tool_ends_and_a_slow_hook_holds_nothing_up() -> None:
    gate = Gate()
    hook_gate = Gate()

    @function_tool
    async def work() -> str:
        await gate.wait()
        return "worked"

    class Hooks(RunHooks[Any]):
        async def on_llm_end(self, context: Any, agent: Any, response: Any) -> None:
            await hook_gate.wait()

    model = ScriptedModel([[call("work")], "done"])
    seen: list[str] = []
    with anyio.fail_after(5):
        async with Runner.run_streamed(Agent(name="a", model=model, tools=[work]), "hi", hooks=Hooks()) as result:
            async for event in result.stream_events():
                if event.type != "run_item_stream_event":
                    continue
                seen.append(event.name)
                if event.name == "tool_called":
                    assert not hook_gate.is_open
                    hook_gate.open()
                    await gate.wait_reached()
                    gate.open()
    assert seen == ["tool_called", "tool_output", "message_output_created"]


@covers("S-13", "S-45", "S-14", "ST-2", "ST-3", "S-31")
async def test_after_a_turn_come_outputs_in_call_order_then_ignored_handoffs_then_the_new_agent() -> None:
    second_done = anyio.Event()

    @function_tool
    async def slow() -> str:
        await second_done.wait()
        return "slow"

    @function_tool
    async def fast() -> str:
        second_done.set()
        return "fast"

    b, c = Agent(name="b", model=ScriptedModel(["from b"])), Agent(name="c")
    reply = [call("transfer_to_b", "h1"), call("slow", "c1"), call("transfer_to_c", "h2"), call("fast", "c2")]
    agent = Agent(name="a", model=ScriptedModel([reply]), tools=[slow, fast], handoffs=[b, c])
    events: list[Any] = []
    async with Runner.run_streamed(agent, "hi") as result:
        async for event in result.stream_events():
            if event.type != "raw_response_event":
                events.append(event)
    names = [getattr(event, "name", "agent") for event in events]
    assert names == [
        *("agent", "handoff_requested", "tool_called", "handoff_requested", "tool_called"),
        *("tool_output", "tool_output", "tool_output", "handoff_occured", "agent", "message_output_created"),
    ]
    outputs = [event.item.output for event in events if getattr(event, "name", "") == "tool_output"]
    assert outputs == ["slow", "fast", "Multiple handoffs detected, ignoring this one."]
    assert events[-2].new_agent is b


@covers("S-14")
async def test_items_that_a_filter_makes_or_drops_do_not_change_what_is_streamed() -> None:
    b = Agent(name="b", model=ScriptedModel(["from b"]))
    agent = Agent(
        name="a",
        model=ScriptedModel([[call(), call("transfer_to_b", "h")]]),
        tools=[look],
        handoffs=[handoff(b, input_filter=remove_all_tools)],
    )
    async with Runner.run_streamed(agent, "hi") as result:
        names = semantic(await names_of(result))
    assert names == [
        *("agent:a", "tool_called", "handoff_requested", "tool_output", "handoff_occured", "agent:b"),
        "message_output_created",
    ]
    assert [item.type for item in result.new_items] == ["message_output_item"]


@covers("S-14", "S-50")
async def test_the_message_of_a_max_turns_handler_is_streamed_when_it_is_kept(run: Any) -> None:
    def agent() -> Any:
        return Agent(name="a", model=ScriptedModel([[call()]]), tools=[look])

    kept = await run(agent(), max_turns=1, error_handlers={"max_turns": lambda data: {"final_output": "enough"}})
    assert kept.final_output == "enough"
    assert kept.items[-1] == "message_output_item"
    dropped = await run(
        agent(),
        max_turns=1,
        error_handlers={"max_turns": lambda data: {"final_output": "enough", "include_in_history": False}},
    )
    assert dropped.items[-1] == "tool_call_output_item"
    if run.streamed:
        assert kept.item_events[-1] == "message_output_created"
        assert dropped.item_events[-1] == "tool_output"
        assert kept.current_turn == 1


@covers("S-15", "ST-8")
async def test_the_next_turn_starts_only_after_its_reader_has_handled_the_last() -> None:
    model = ScriptedModel([[call()], "done"])
    async with Runner.run_streamed(Agent(name="a", model=model, tools=[look]), "hi") as result:
        async for event in result.stream_events():
            if event.type == "run_item_stream_event" and event.name == "tool_output":
                await anyio.sleep(10)
                assert len(model.calls) == 1
    assert len(model.calls) == 2


@covers("S-15", "CN-2")
async def test_stopping_on_the_last_event_of_a_turn_is_honoured() -> None:
    model = ScriptedModel([[call()], "done"])
    async with Runner.run_streamed(Agent(name="a", model=model, tools=[look]), "hi") as result:
        async for event in result.stream_events():
            if event.type == "run_item_stream_event" and event.name == "tool_output":
                result.cancel("after_turn")
    assert len(model.calls) == 1
    assert result.final_output is None


@covers("S-15")
async def test_stopping_in_the_turn_that_hands_over_leaves_the_new_agent_in_charge() -> None:
    b = Agent(name="b", model=ScriptedModel(["from b"]))
    agent = Agent(name="a", model=ScriptedModel([[call("transfer_to_b", "h")]]), handoffs=[b])
    async with Runner.run_streamed(agent, "hi") as result:
        async for event in result.stream_events():
            if event.type == "raw_response_event":
                result.cancel("after_turn")
    assert result.last_agent is b
    assert not b.model.calls  # type: ignore[union-attr]
    done = await Runner.run(agent, result.to_state())
    assert done.final_output == "from b"


@covers("S-16", "RS-11")
async def test_the_output_is_there_only_after_hooks_and_guardrails() -> None:
    gate = Gate()

    @output_guardrail
    async def check(context: Any, agent: Any, output: Any) -> GuardrailFunctionOutput:
        await gate.wait()
        return GuardrailFunctionOutput(None, False)

    agent = Agent(name="a", model=ScriptedModel(["done"]), output_guardrails=[check])
    async with Runner.run_streamed(agent, "hi") as result:
        async for event in result.stream_events():
            if event.type == "run_item_stream_event":
                assert event.name == "message_output_created"
                await gate.wait_reached()
                assert result.final_output is None
                assert not result.is_complete
                gate.open()
        assert result.is_complete
        assert result.final_output == "done"


@covers("ST-5", "ER-3", "RS-11")
async def test_an_error_leaves_the_iteration_after_what_was_sent_before_it() -> None:
    model = ScriptedModel([[call()]])
    names: list[str] = []
    result = Runner.run_streamed(Agent(name="a", model=model, tools=[look]), "hi", max_turns=1)
    with pytest.raises(MaxTurnsExceeded) as caught:
        async for event in result.stream_events():
            names.append(getattr(event, "name", event.type))
    assert names[-1] == "tool_output"
    assert result.is_complete
    assert result.final_output is None
    assert result.current_turn == 2
    assert result.run_loop_exception is caught.value


@covers("ST-5", "ER-1")
async def test_a_failing_model_raises_its_own_exception_after_the_events_it_sent(run: Any) -> None:
    error = ConnectionError("lost")
    model = ScriptedModel([ModelStep.raise_error(error, output=[assistant_message("half")], after=3)])
    with pytest.raises(ConnectionError) as caught:
        await run(Agent(name="a", model=model))
    assert caught.value is error
    assert error.run_data.last_agent.name == "a"  # type: ignore[attr-defined]
    if run.streamed:
        assert sum(event.type == "raw_response_event" for event in run.events) == 3


@covers("ST-6")
async def test_a_second_iteration_yields_nothing() -> None:
    async with Runner.run_streamed(Agent(name="a", model=ScriptedModel(["done"])), "hi") as result:
        assert len([event async for event in result.stream_events()]) > 0
        assert [event async for event in result.stream_events()] == []
    bare = Runner.run_streamed(Agent(name="a", model=ScriptedModel(["done"])), "hi")
    assert len([event async for event in bare.stream_events()]) > 0
    assert [event async for event in bare.stream_events()] == []
    failed = Runner.run_streamed(Agent(name="a", model=ScriptedModel()), "hi", max_turns=0)
    with pytest.raises(MaxTurnsExceeded):
        async for _ in failed.stream_events():
            pass
    assert [event async for event in failed.stream_events()] == []


@covers("ST-7")
async def test_break_ends_the_run_before_its_block_is_left() -> None:
    model = ScriptedModel([[call()], "done"])
    async with no_leaks():
        async with Runner.run_streamed(Agent(name="a", model=model, tools=[look]), "hi") as result:
            async for event in result.stream_events():
                if event.type == "run_item_stream_event":
                    break
    assert result.is_complete
    assert result.final_output is None
    assert len(model.calls) == 1


@covers("ST-7")
async def test_break_out_of_the_bare_form_ends_the_run_too() -> None:
    model = ScriptedModel([[call()], "done"])
    result = Runner.run_streamed(Agent(name="a", model=model, tools=[look]), "hi")
    async for event in result.stream_events():
        if event.type == "run_item_stream_event":
            break
    with anyio.fail_after(5):
        while not result.is_complete:
            await checkpoint()
    assert result.final_output is None
    assert len(model.calls) == 1


@covers("ST-8")
async def test_without_a_reader_the_run_goes_on_to_its_end() -> None:
    model = ScriptedModel([[call()], "done"])
    agent = Agent(name="a", model=model, tools=[look])
    async with Runner.run_streamed(agent, "hi", run_config=RunConfig(event_buffer=1)) as result:
        with anyio.fail_after(5):
            await result.wait()
    assert result.final_output == "done"
    model.extend([[call()], "done"])
    async with anyio.create_task_group() as nursery:
        result = Runner.run_streamed(agent, "hi", task_group=nursery)
        with anyio.fail_after(5):
            await result.wait()
    assert result.final_output == "done"


@covers("ST-4")
async def test_plain_and_streamed_runs_come_to_the_same(run: Any) -> None:
    b = Agent(name="b", model=ScriptedModel(["from b"]))
    agent = Agent(
        name="a",
        model=ScriptedModel([[reasoning("hm"), call(q="x")], [call("transfer_to_b", "h")]]),
        tools=[look],
        handoffs=[b],
    )
    result = await run(agent)
    assert result.items == [
        *("reasoning_item", "tool_call_item", "tool_call_output_item"),
        *("handoff_call_item", "handoff_output_item", "message_output_item"),
    ]
    assert [item.get("type", "message") for item in b.model.calls[0].input] == [  # type: ignore[union-attr]
        *("message", "reasoning", "function_call", "function_call_output", "function_call", "function_call_output")
    ]


@covers("S-12")
async def test_items_that_the_last_event_leaves_out_are_taken_from_the_events_before_it() -> None:
    items = [call(call_id="c1"), call(call_id="c2")]
    given: list[Any] = []
    async for event in _stream(ScriptedModel([items])):
        given.append(event)
    done = [event for event in given if event.type == "response.output_item.done"]
    given[-1].response.output = []
    others = [event for event in given if event not in done]
    # In the order of their places, whatever order they come in.
    model = ScriptedModel([ModelStep.stream([*others[:-1], *reversed(done), others[-1]]), "done"])
    async with Runner.run_streamed(Agent(name="a", model=model, tools=[look]), "hi") as result:
        async for _ in result.stream_events():
            pass
    assert result.final_output == "done"
    assert [item.call_id for item in result.raw_responses[0].output] == ["c1", "c2"]  # type: ignore[union-attr]
    assert [item.type for item in result.new_items[:4]] == [
        *("tool_call_item", "tool_call_item", "tool_call_output_item", "tool_call_output_item"),
    ]


def _stream(model: ScriptedModel) -> Any:
    return model.stream_response(
        None,
        "hi",
        ModelSettings(),
        [],
        None,
        [],
        ModelTracing.DISABLED,
        previous_response_id=None,
        conversation_id=None,
        prompt=None,
    )
