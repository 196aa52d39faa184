"""semantics.md G: handoffs; features 12."""

# Callbacks here are written as a user would write them, without types.
# pyright: reportUnknownLambdaType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from typing import Any

import pytest
from attrs import define

from agentrun import (
    Agent,
    HandoffInputData,
    ModelBehaviorError,
    RunConfig,
    UserError,
    function_tool,
    handoff,
)
from agentrun.extensions.handoff_filters import remove_all_tools
from agentrun.testing import ScriptedModel, function_call

covers = pytest.mark.covers


@function_tool
async def look(q: str = "") -> str:
    return f"saw {q}"


def call(name: str = "look", call_id: str = "c1", **arguments: Any) -> Any:
    return function_call(name, arguments, call_id=call_id)


def kinds(items: Any) -> list[str]:
    return [item.get("type", "message") for item in items]


def pair(steps: list[Any], **options: Any) -> tuple[Agent[Any], Agent[Any]]:
    """Return an agent that may hand over to another, and that other."""
    b = Agent(name="b", model=ScriptedModel(["from b"]))
    return Agent(name="a", model=ScriptedModel(steps), tools=[look], handoffs=[handoff(b, **options)]), b


@covers("S-45", "IT-4", "IT-5", "HO-1", "RS-3")
async def test_tools_run_before_the_handoff_and_only_the_first_handoff_counts(run: Any) -> None:
    b, c = Agent(name="b", model=ScriptedModel(["from b"])), Agent(name="c", model=ScriptedModel())
    reply = [call("transfer_to_b", "h1"), call(q="x"), call("transfer_to_c", "h2")]
    a = Agent(name="a", model=ScriptedModel([reply]), tools=[look], handoffs=[b, handoff(c)])
    result = await run(a)
    assert result.last_agent is b
    assert result.final_output == "from b"
    assert result.items == [
        *("handoff_call_item", "tool_call_item", "handoff_call_item", "tool_call_output_item"),
        *("tool_call_output_item", "handoff_output_item", "message_output_item"),
    ]
    ignored, done = result.new_items[4], result.new_items[5]
    assert ignored.output == "Multiple handoffs detected, ignoring this one."
    assert ignored.call_id == "h2"
    assert (done.source_agent, done.target_agent, done.agent) == (a, b, a)
    assert done.raw_item["output"] == '{"assistant": "b"}'
    model: Any = b.model
    assert kinds(model.calls[0].input) == [
        *("message", "function_call", "function_call", "function_call"),
        *("function_call_output", "function_call_output", "function_call_output"),
    ]


@covers("S-47", "S-48", "HO-6", "RS-6", "RS-1")
async def test_a_filter_makes_what_the_next_agent_sees(run: Any) -> None:
    seen: list[HandoffInputData] = []

    async def keep_new(data: HandoffInputData) -> HandoffInputData:
        seen.append(data)
        return data.clone(input_history="summary", pre_handoff_items=())

    a, b = pair([[call()], [call("look", "c2", q="y"), call("transfer_to_b", "h")]], input_filter=keep_new)
    result = await run(a, "hello", context=7)
    data = seen[0]
    assert data.input_history == "hello"
    assert [item.type for item in data.pre_handoff_items] == ["tool_call_item", "tool_call_output_item"]
    assert [item.type for item in data.new_items] == [
        *("tool_call_item", "handoff_call_item", "tool_call_output_item", "handoff_output_item")
    ]
    assert data.run_context is not None and data.run_context.context == 7
    seen_by_b = b.model.calls[0].input  # type: ignore[union-attr]
    assert seen_by_b[0] == {"role": "user", "content": "summary"}
    assert kinds(seen_by_b) == [
        *("message", "function_call", "function_call", "function_call_output", "function_call_output")
    ]
    assert result.input == "summary"
    assert result.items == [
        *("tool_call_item", "tool_call_output_item"),
        *("tool_call_item", "handoff_call_item", "tool_call_output_item", "handoff_output_item"),
        "message_output_item",
    ]
    assert len(result.to_input_list()) == 8
    assert len(result.to_input_list(mode="normalized")) == 6


@covers("S-47", "HO-6")
async def test_input_items_are_for_the_next_model_only(run: Any) -> None:
    def hide(data: HandoffInputData) -> HandoffInputData:
        return data.clone(input_items=())

    a, b = pair([[call("transfer_to_b", "h")]], input_filter=hide)
    result = await run(a)
    assert kinds(b.model.calls[0].input) == ["message"]  # type: ignore[union-attr]
    assert result.items == ["handoff_call_item", "handoff_output_item", "message_output_item"]
    assert kinds(result.to_input_list()) == ["message", "function_call", "function_call_output", "message"]
    assert kinds(result.to_input_list(mode="normalized")) == ["message", "message"]


@covers("S-47", "RC-4")
async def test_the_handoffs_filter_wins_over_the_configured_one(run: Any) -> None:
    def named(name: str) -> Any:
        return lambda data: data.clone(input_history=name)

    config = RunConfig(handoff_input_filter=named("configured"))
    a, _ = pair([[call("transfer_to_b", "h")]], input_filter=named("own"))
    assert (await run(a, run_config=config)).input == "own"
    a, _ = pair([[call("transfer_to_b", "h")]])
    assert (await run(a, run_config=config)).input == "configured"
    a, b = pair([[call("transfer_to_b", "h")]], nest_handoff_history=True)
    await run(a, run_config=config)
    assert b.model.calls[0].input[0]["content"] == "configured"  # type: ignore[union-attr]


@covers("S-47", "S-48")
async def test_nesting_folds_the_conversation_into_one_summary(run: Any) -> None:
    a, b = pair([[call()], [call("transfer_to_b", "h")]], nest_handoff_history=True)
    await run(a)
    (sent,) = b.model.calls[0].input  # type: ignore[union-attr]
    assert sent["role"] == "assistant"
    assert "<CONVERSATION HISTORY>" in sent["content"]
    assert "transfer_to_b" in sent["content"]


@covers("HO-6")
async def test_a_filter_that_returns_something_else_is_a_user_error(run: Any) -> None:
    a, _ = pair([[call("transfer_to_b", "h")]], input_filter=lambda data: None)
    with pytest.raises(UserError, match=r"transfer_to_b.*HandoffInputData"):
        await run(a)


@covers("HO-2", "HO-4", "S-19")
async def test_on_handoff_gets_the_validated_input(run: Any) -> None:
    @define
    class Reason:
        text: str

    seen: list[Any] = []

    async def on_handoff(context: Any, reason: Reason) -> None:
        seen.append((context.context, reason))

    a, _ = pair([[call("transfer_to_b", "h", text="because")]], on_handoff=on_handoff, input_type=Reason)
    await run(a, context=7)
    assert seen == [(7, Reason("because"))]
    for arguments in ("{}", "null", "", '{"text": 1}'):
        bad = function_call("transfer_to_b", arguments, call_id="h")
        a, _ = pair([[bad]], on_handoff=on_handoff, input_type=Reason)
        with pytest.raises(ModelBehaviorError):
            await run(a)
    b = Agent(name="b")
    with pytest.raises(UserError):
        handoff(b, input_type=Reason)  # type: ignore[call-overload]
    with pytest.raises(UserError):
        handoff(b, on_handoff=lambda: None)  # type: ignore[misc, arg-type]
    with pytest.raises(UserError):
        handoff(b, on_handoff=lambda context: None, input_type=Reason)  # type: ignore[misc, arg-type]


@covers("HO-3", "AG-5")
async def test_handoffs_have_default_names_and_descriptions(run: Any) -> None:
    b = Agent(name="Refund Agent", handoff_description="Gives money back.", model=ScriptedModel(["done"]))
    model = ScriptedModel([[call("transfer_to_refund_agent", "h")]])
    await run(Agent(name="a", model=model, handoffs=[b]))
    offered = model.calls[0].handoffs[0]
    assert offered.tool_name == "transfer_to_refund_agent"
    assert offered.tool_description == "Handoff to the Refund Agent agent to handle the request. Gives money back."
    mine = handoff(b, tool_name_override="refund", tool_description_override="Pay.")
    assert (mine.tool_name, mine.tool_description) == ("refund", "Pay.")


@covers("HO-5")
async def test_a_disabled_handoff_is_hidden_and_unknown(run: Any) -> None:
    a, _ = pair([[call("transfer_to_b", "h")]], is_enabled=lambda context, agent: False)
    with pytest.raises(ModelBehaviorError, match="transfer_to_b not found"):
        await run(a)
    assert a.model.calls[0].handoffs == []  # type: ignore[union-attr]


@covers("HO-7")
async def test_remove_all_tools_drops_tool_traffic(run: Any) -> None:
    a, b = pair([[call()], [call("transfer_to_b", "h")]], input_filter=remove_all_tools)
    await run(a)
    assert kinds(b.model.calls[0].input) == ["message"]  # type: ignore[union-attr]


@covers("HO-1")
async def test_an_agent_may_hand_over_to_itself_by_way_of_others(run: Any) -> None:
    model = ScriptedModel([[call("transfer_to_b", "h1")], [call("transfer_to_a", "h2")], "done"])
    a = Agent(name="a", model=model)
    b = Agent(name="b", model=model, handoffs=[a])
    a.handoffs.append(b)
    result = await run(a)
    assert result.last_agent is a
    if run.streamed:
        assert [name for name in result.item_events if name.startswith("agent:")] == ["agent:a", "agent:b", "agent:a"]


@covers("S-47", "HO-6")
async def test_a_handoffs_own_filter_counts_even_if_it_is_false_as_a_value(run: Any) -> None:
    class Filter:
        seen = 0

        def __bool__(self) -> bool:
            return False

        def __call__(self, data: HandoffInputData) -> HandoffInputData:
            self.seen += 1
            return data

    def other(data: HandoffInputData) -> HandoffInputData:
        raise AssertionError("the configured filter is for handoffs without one")

    mine = Filter()
    agent, b = pair([[call("transfer_to_b", "h")]], input_filter=mine)
    result = await run(agent, run_config=RunConfig(handoff_input_filter=other))
    assert result.last_agent is b
    assert mine.seen == 1
