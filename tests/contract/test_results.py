"""features 4 and 5: results and items."""

# Callbacks here are written as a user would write them, without types.
# pyright: reportUnknownLambdaType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import gc
import weakref
from dataclasses import dataclass
from typing import Any

import pytest

from agentrun import (
    Agent,
    AgentsException,
    GuardrailFunctionOutput,
    ItemHelpers,
    MaxTurnsExceeded,
    MessageOutputItem,
    ModelResponse,
    Runner,
    RunResult,
    RunResultStreaming,
    function_tool,
    output_guardrail,
)
from agentrun.testing import ScriptedModel, assistant_message, function_call, reasoning, refusal

covers = pytest.mark.covers


@function_tool
async def look(q: str = "") -> str:
    return f"saw {q}"


def call(name: str = "look", call_id: str = "c1", **arguments: Any) -> Any:
    return function_call(name, arguments, call_id=call_id)


def agent_of(steps: list[Any], **fields: Any) -> Agent[Any]:
    return Agent(name="a", model=ScriptedModel(steps), tools=[look], **fields)


@covers("RS-1", "RS-2", "RS-3", "RS-4", "RS-10", "IT-11")
async def test_results_have_the_documented_fields(run: Any) -> None:
    agent = agent_of([[call(q="x")], "done"])
    items = [{"role": "user", "content": "hi"}]
    result = await run(agent, items, context=7)
    assert result.input == items
    assert result.final_output == "done"
    assert len(result.new_items) == 3
    assert len(result.raw_responses) == 2
    assert result.last_agent is agent
    assert result.last_response_id == result.raw_responses[-1].response_id is not None
    assert result.interruptions == []
    assert result.max_turns == 10
    assert result.context_wrapper.context == 7
    assert result.input_guardrail_results == result.output_guardrail_results == []
    assert result.tool_input_guardrail_results == result.tool_output_guardrail_results == []
    assert result.agent_tool_invocation is None
    assert isinstance(result.result, RunResultStreaming if run.streamed else RunResult)
    response = result.raw_responses[0]
    assert isinstance(response, ModelResponse)
    assert response.to_input_items()[0]["type"] == "function_call"
    none = await run(agent.clone(model=ScriptedModel([])), max_turns=0, error_handlers={"max_turns": lambda data: "x"})
    assert none.last_response_id is None


@covers("RS-5")
async def test_final_output_as_casts_and_checks_when_asked_to(run: Any) -> None:
    @dataclass
    class Point:
        x: int

    result = await run(agent_of(['{"response": {"x": 1}}'], output_type=Point))
    assert result.final_output_as(Point) == Point(1)
    assert result.final_output_as(Point, raise_if_incorrect_type=True) == Point(1)
    assert result.final_output_as(str) == Point(1), "a cast for the type checker only"
    with pytest.raises(TypeError, match=r"^Final output is not of type str$"):
        result.final_output_as(str, raise_if_incorrect_type=True)


@covers("RS-6", "RS-15", "IT-10")
async def test_to_input_list_continues_a_conversation(run: Any) -> None:
    agent = agent_of([[reasoning("hm"), call(q="x")], "Paris.", "France."])
    first = await run(agent, "Capital?")
    items = first.to_input_list()
    assert items[0] == {"role": "user", "content": "Capital?"}
    assert [item.get("type", "message") for item in items[1:]] == [
        *("reasoning", "function_call", "function_call_output", "message")
    ]
    assert first.to_input_list(mode="normalized") == items
    items.append({"role": "user", "content": "Where?"})
    assert len(first.to_input_list()) == 5, "a list of its own each time"
    second = await run(agent, items)
    assert second.final_output == "France."
    assert agent.model.calls[-1].input == items  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="'other'"):
        first.to_input_list(mode="other")
    assert [item.to_input_item() for item in first.new_items] == items[1:5]


@covers("RS-8", "RS-15")
async def test_to_state_gives_an_independent_snapshot_each_time(run: Any) -> None:
    @function_tool(needs_approval=True)
    async def risky() -> str:
        return "ok"

    agent = Agent(name="a", model=ScriptedModel([[call("risky")], "one", "two"]), tools=[risky])
    paused = await run(agent)
    first, second = paused.to_state(), paused.to_state()
    first.approve(first.get_interruptions()[0])
    assert (await run(agent, first)).final_output == "one"
    assert len((await run(agent, second)).interruptions) == 1
    second.reject(second.get_interruptions()[0])
    result = await run(agent, second)
    assert result.final_output == "two"
    assert result.new_items[2].output == "Tool execution was not approved."
    assert paused.items == ["tool_call_item", "tool_approval_item"]


@covers("RS-9")
async def test_results_and_error_details_describe_themselves(run: Any) -> None:
    result = await run(agent_of([[call()], "done"]))
    lines = str(result.result).splitlines()
    if run.streamed:
        assert lines[:5] == [
            "RunResultStreaming:",
            "- Current agent: Agent(name='a', ...)",
            "- Current turn: 2",
            "- Max turns: 10",
            "- Is complete: True",
        ]
    else:
        assert lines[:2] == ["RunResult:", "- Last agent: Agent(name='a', ...)"]
    assert "- Final output (str):" in lines
    assert "    done" in lines
    assert "- 3 new item(s)" in lines
    assert "- 2 raw response(s)" in lines
    assert "- 0 input guardrail result(s)" in lines
    with pytest.raises(MaxTurnsExceeded) as caught:
        await run(agent_of([[call()]]), max_turns=1)
    text = str(caught.value.run_data)
    assert "RunErrorDetails:" in text
    assert "- 2 new item(s)" in text


@covers("RS-11")
async def test_a_printed_result_steers_no_terminal(run: Any) -> None:
    result = await run(
        Agent(name="a\x1b[2J", model=ScriptedModel(["one\ttab\r\ntwo\x1b[2J\x07\x85\x9b31m\r\x7f\x0b end é 😀"]))
    )
    text = str(result.result)
    assert "\n    one\ttab\n    two\\x1b[2J\\x07\\x85\\x9b31m\\r\\x7f\\x0b end é 😀\n" in text
    assert not set(text) & set("\x1b\x07\x85\x9b\r\x7f\x0b")


@covers("RS-11")
async def test_a_streamed_result_shows_how_far_the_run_is() -> None:
    b = Agent(name="b", model=ScriptedModel(["from b"]))
    agent = Agent(name="a", model=ScriptedModel([[call("transfer_to_b", "h")]]), handoffs=[b])
    turns: list[Any] = []
    async with Runner.run_streamed(agent, "hi", max_turns=4) as result:
        assert (result.current_turn, result.is_complete, result.final_output) == (0, False, None)
        async for event in result.stream_events():
            if event.type == "run_item_stream_event":
                turns.append((event.name, result.current_turn, result.current_agent.name))
    assert turns[0][:2] == ("handoff_requested", 1)
    assert turns[-1] == ("message_output_created", 2, "b")
    assert (result.is_complete, result.current_agent, result.last_agent, result.max_turns) == (True, b, b, 4)


@covers("IT-1", "IT-2", "IT-3", "IT-6", "IT-10")
async def test_items_have_their_documented_attributes(run: Any) -> None:
    agent = agent_of([[reasoning("hm"), call(q="x")], "done"])
    result = await run(agent)
    thought, asked, got, said = result.new_items
    assert [item.type for item in result.new_items] == [
        *("reasoning_item", "tool_call_item", "tool_call_output_item", "message_output_item")
    ]
    assert thought.raw_item.summary[0].text == "hm"
    assert (asked.tool_name, asked.call_id, asked.raw_item.name, asked.raw_item.arguments) == (
        *("look", "c1", "look", '{"q":"x"}'),
    )
    assert (got.output, got.call_id) == ("saw x", "c1")
    assert got.raw_item["output"] == "saw x"
    assert ItemHelpers.text_message_output(said) == "done"
    assert isinstance(said, MessageOutputItem)
    assert all(item.agent is agent for item in result.new_items)
    assert said.to_input_item()["role"] == "assistant"


@covers("IT-7")
async def test_an_approval_is_an_item_but_no_input(run: Any) -> None:
    @function_tool(needs_approval=True)
    async def risky(n: int) -> str:
        return "ok"

    agent = Agent(name="a", model=ScriptedModel([[call("risky", n=1)], "done"]), tools=[risky])
    paused = await run(agent)
    (item,) = paused.interruptions
    assert item.type == "tool_approval_item"
    assert (item.tool_name, item.name, item.arguments, item.call_id) == ("risky", "risky", '{"n":1}', "c1")
    assert item.agent is agent
    with pytest.raises(AgentsException):
        item.to_input_item()
    assert [one["type"] for one in paused.to_input_list()[1:]] == ["function_call"]
    state = paused.to_state()
    state.approve(item)
    result = await run(agent, state)
    assert result.items == ["tool_call_item", "tool_approval_item", "tool_call_output_item", "message_output_item"]


@covers("IT-12")
def test_item_helpers_read_text_and_convert_input() -> None:
    message: Any = assistant_message("hello")
    refused: Any = refusal("no")
    item = MessageOutputItem(Agent(name="a"), message)
    assert ItemHelpers.input_to_new_input_list("x") == [{"content": "x", "role": "user"}]
    assert ItemHelpers.extract_text(message) == "hello"
    assert ItemHelpers.extract_last_text(message) == "hello"
    assert ItemHelpers.extract_last_content(refused) == "no"
    assert ItemHelpers.extract_refusal(refused) == "no"
    assert ItemHelpers.extract_last_text(refused) is None
    assert ItemHelpers.text_message_outputs([item, item]) == "hellohello"


async def result_of_a_released_agent(run: Any, **options: Any) -> tuple[Any, weakref.ref[Any]]:
    """Return the result of a run, and a weak reference to its agent, which nobody else holds."""

    @output_guardrail
    def judge(context: Any, agent: Any, output: Any) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(None, False)

    agent = agent_of([[call()], "done"], output_guardrails=[judge])
    result = await run(agent)
    run.events.clear()
    return result.result, weakref.ref(agent)


@covers("RS-7", "IT-10")
async def test_released_agents_are_freed_at_once(run: Any) -> None:
    gc.collect()
    gc.disable()
    try:
        result, agent = await result_of_a_released_agent(run)
        assert agent() is not None
        assert result.last_agent is agent()
        result.release_agents()
        assert agent() is None, gc.get_referrers(agent())
        assert [item.agent for item in result.new_items] == [None, None, None]
        with pytest.raises(AgentsException):
            _ = result.last_agent
        assert result.final_output == "done"
        assert len(result.to_input_list()) == 4
        assert len(result.new_items) == 3
    finally:
        gc.enable()


@covers("RS-7")
async def test_a_released_agent_that_lives_on_is_still_given(run: Any) -> None:
    agent = agent_of([[call()], "done"])
    result = await run(agent)
    result.release_agents(release_new_items=False)
    assert result.last_agent is agent
    result.release_agents()
    assert [item.agent for item in result.new_items] == [agent, agent, agent]
    assert result.last_agent is agent
    assert "'a'" in str(result.result)


@covers("RS-7", "RS-3")
async def test_dropping_a_result_frees_its_agents(run: Any) -> None:
    gc.collect()
    gc.disable()
    try:
        result, agent = await result_of_a_released_agent(run)
        items = result.new_items
        del result
        assert items[0].agent is agent()
        del items
        assert agent() is None
    finally:
        gc.enable()
