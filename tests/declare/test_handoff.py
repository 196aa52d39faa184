"""Declaring handoffs: names, schemas, callbacks, which of them a model sees (HO-1 to HO-6)."""

from __future__ import annotations

import dataclasses
import inspect
import json
import logging
from typing import Any

import anyio
import pytest

from agentrun import Agent, Handoff, HandoffInputData, ModelBehaviorError, RunContextWrapper, UserError, handoff
from agentrun._handoff import enabled_handoffs

CONTEXT: RunContextWrapper[Any] = RunContextWrapper("ada")
BILLING = Agent("Billing Agent", handoff_description="Knows invoices.")


@dataclasses.dataclass
class Escalation:
    reason: str
    level: int


# HO-1: agents in the list


async def test_plain_agents_are_handoffs_too_and_are_wrapped_once() -> None:
    custom = handoff(Agent("refunds"))
    triage = Agent("triage", handoffs=[BILLING, custom])
    first = await enabled_handoffs(triage, CONTEXT)
    assert [one.tool_name for one in first] == ["transfer_to_billing_agent", "transfer_to_refunds"]
    assert first[1] is custom
    assert (await enabled_handoffs(triage, CONTEXT))[0] is first[0]
    assert await first[0].on_invoke_handoff(CONTEXT, "{}") is BILLING


async def test_wrapped_agents_follow_the_list_and_the_agents() -> None:
    other = Agent("other")
    triage = Agent("triage", handoffs=[other])
    await enabled_handoffs(triage, CONTEXT)
    triage.handoffs.append(BILLING)
    assert [one.agent_name for one in await enabled_handoffs(triage, CONTEXT)] == ["other", "Billing Agent"]
    other.handoff_description = "Knows the rest."
    found = (await enabled_handoffs(triage, CONTEXT))[0]
    assert found.tool_description == "Handoff to the other agent to handle the request. Knows the rest."


async def test_something_appended_to_the_list_later_is_checked_at_the_next_turn() -> None:
    triage = Agent("triage")
    triage.handoffs.append("billing")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"agent 'triage': handoffs\[0\] is 'billing', expected an Agent or a Handoff"):
        await enabled_handoffs(triage, CONTEXT)


async def test_an_agent_without_handoffs_has_none_to_show() -> None:
    assert await enabled_handoffs(Agent("alone"), CONTEXT) == []


# HO-2: handoff()


def test_handoff_takes_the_documented_arguments_in_the_documented_order() -> None:
    assert list(inspect.signature(handoff).parameters) == [
        "agent",
        "tool_name_override",
        "tool_description_override",
        "on_handoff",
        "input_type",
        "input_filter",
        "nest_handoff_history",
        "is_enabled",
    ]
    assert list(inspect.signature(Handoff).parameters)[:9] == [
        "tool_name",
        "tool_description",
        "input_json_schema",
        "on_invoke_handoff",
        "agent_name",
        "input_filter",
        "nest_handoff_history",
        "strict_json_schema",
        "is_enabled",
    ]


def test_name_and_description_can_be_set() -> None:
    one = handoff(BILLING, "to_billing", "For invoices.")
    assert (one.tool_name, one.tool_description, one.agent_name, one.agent) == (
        "to_billing",
        "For invoices.",
        "Billing Agent",
        BILLING,
    )


def takes_nothing() -> None: ...
def takes_context(context: Any) -> None: ...
def takes_both(context: Any, given: Any) -> None: ...


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_type": int}, "'Billing Agent' got input_type=<class 'int'> without on_handoff; add an"),
        ({"on_handoff": takes_both}, "the parameters (context: 'Any', given: 'Any') -> 'None', expected "
         "exactly (context); pass input_type="),
        ({"on_handoff": takes_nothing}, "expected exactly (context); pass input_type="),
        ({"on_handoff": takes_context, "input_type": int}, "expected exactly (context, input)"),
        ({"on_handoff": 7}, "got on_handoff=7, expected a function"),
        ({"on_handoff": takes_both, "input_type": type(takes_both)}, "cannot use input_type=<class 'function'>"),
    ],
)  # fmt: skip
def test_wrong_combinations_are_refused_at_creation(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        handoff(BILLING, **arguments)
    assert message in str(caught.value)


def test_a_handoff_needs_an_agent() -> None:
    with pytest.raises(TypeError, match=r"handoff\(\) got 'billing', expected an Agent; pass the agent object itself"):
        handoff("billing")  # type: ignore[call-overload]


# HO-3: what the model sees


def test_a_handoff_looks_like_a_strict_function_tool_without_arguments() -> None:
    one = handoff(BILLING)
    assert one.to_wire() == {
        "type": "function",
        "name": "transfer_to_billing_agent",
        "description": "Handoff to the Billing Agent agent to handle the request. Knows invoices.",
        "parameters": {"type": "object", "properties": {}, "required": [], "additionalProperties": False},
        "strict": True,
    }
    assert one.to_wire() is one.to_wire()


def test_the_default_names_are_there_for_custom_handoffs() -> None:
    assert Handoff.default_tool_name(Agent("Refund Agent")) == "transfer_to_refund_agent"
    assert Handoff.default_tool_description(Agent("x")) == "Handoff to the x agent to handle the request."
    assert json.loads(handoff(BILLING).get_transfer_message(BILLING)) == {"assistant": "Billing Agent"}


def test_a_name_that_loses_characters_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "agentrun"):
        assert Handoff.default_tool_name(Agent("Größe!")) == "transfer_to_gr__e_"
    assert "tool name 'transfer_to_Größe!' becomes 'transfer_to_gr__e_'" in caplog.text


# HO-4: input


async def test_the_input_is_validated_and_handed_to_the_callback() -> None:
    seen: list[Any] = []

    async def note(context: RunContextWrapper[Any], given: Escalation) -> None:
        await anyio.sleep(1)
        seen.append((context.context, given))

    one = handoff(BILLING, on_handoff=note, input_type=Escalation)
    assert one.input_json_schema["required"] == ["reason", "level"]
    assert one.input_json_schema["additionalProperties"] is False
    assert await one.on_invoke_handoff(CONTEXT, '{"reason": "angry", "level": 2}') is BILLING
    assert seen == [("ada", Escalation("angry", 2))]


@pytest.mark.parametrize("text", ["", "null", "{}", "{", '{"reason": "angry", "level": "2"}', "[]"])
async def test_an_input_that_does_not_fit_is_the_models_fault(text: str) -> None:
    called: list[Any] = []
    one = handoff(BILLING, on_handoff=lambda context, given: called.append(given), input_type=Escalation)
    with pytest.raises(
        ModelBehaviorError, match="the model handed over to 'Billing Agent' with an input that is wrong"
    ):
        await one.on_invoke_handoff(CONTEXT, text)
    assert called == []


async def test_a_callback_without_input_may_be_sync_and_ignores_what_the_model_wrote() -> None:
    seen: list[Any] = []
    one = handoff(BILLING, on_handoff=lambda context: seen.append(context.context))
    assert await one.on_invoke_handoff(CONTEXT, '{"unasked": 1}') is BILLING
    assert seen == ["ada"]


async def test_what_a_callback_raises_is_raised_as_it_is() -> None:
    def fail(context: RunContextWrapper[Any]) -> None:
        raise ZeroDivisionError("inside")

    with pytest.raises(ZeroDivisionError, match="inside"):
        await handoff(BILLING, on_handoff=fail).on_invoke_handoff(CONTEXT, "{}")


# HO-5: is_enabled


async def test_disabled_handoffs_are_not_seen() -> None:
    async def for_ada(context: RunContextWrapper[Any], agent: Agent[Any]) -> bool:
        await anyio.sleep(1)
        return bool(context.context == "ada" and agent.name == "triage")

    off = handoff(Agent("off"), is_enabled=False)
    sync = handoff(Agent("sync"), is_enabled=lambda context, agent: context.context == "ada")
    slow, slower = handoff(Agent("slow"), is_enabled=for_ada), handoff(Agent("slower"), is_enabled=for_ada)
    triage = Agent("triage", handoffs=[slow, off, BILLING, sync, slower])
    started = anyio.current_time()
    names = [one.agent_name for one in await enabled_handoffs(triage, CONTEXT)]
    assert names == ["slow", "Billing Agent", "sync", "slower"]
    assert anyio.current_time() - started == pytest.approx(1)
    eve: RunContextWrapper[Any] = RunContextWrapper("eve")
    assert [one.agent_name for one in await enabled_handoffs(triage, eve)] == ["Billing Agent"]


async def test_an_error_while_asking_leaves_as_itself_and_ends_the_others() -> None:
    ended: list[str] = []

    async def fails(context: RunContextWrapper[Any], agent: Agent[Any]) -> bool:
        await anyio.sleep(1)
        raise ZeroDivisionError("no answer")

    async def waits(context: RunContextWrapper[Any], agent: Agent[Any]) -> bool:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("waits")
        return True

    triage = Agent("triage", handoffs=[handoff(Agent("a"), is_enabled=waits), handoff(Agent("b"), is_enabled=fails)])
    with pytest.raises(ZeroDivisionError, match="no answer"):
        await enabled_handoffs(triage, CONTEXT)
    assert ended == ["waits"]


# HO-6: what a filter gets


def test_input_data_can_be_copied_with_changes() -> None:
    data = HandoffInputData(input_history="hi", pre_handoff_items=(), new_items=())
    changed = data.clone(input_history=({"role": "user", "content": "hi"},))
    assert (data.input_history, data.run_context, data.input_items) == ("hi", None, None)
    assert changed.input_history == ({"role": "user", "content": "hi"},)
    with pytest.raises(TypeError):
        data.clone(unknown=1)
