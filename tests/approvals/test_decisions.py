"""features.md RT-2, RT-6 to RT-8, RT-12, RT-13, CX-2, GR-11; semantics.md M: decisions and what comes of them."""

from __future__ import annotations

import gc
import json
import weakref
from typing import Any

import anyio
import pytest

from agentrun import (
    Agent,
    FunctionToolResult,
    GuardrailFunctionOutput,
    MaxTurnsExceeded,
    RunConfig,
    RunContextWrapper,
    RunHooks,
    Runner,
    RunState,
    Tool,
    ToolApprovalItem,
    ToolErrorFormatterArgs,
    ToolExecutionConfig,
    ToolGuardrailFunctionOutput,
    ToolInputGuardrailData,
    ToolsToFinalOutputResult,
    Usage,
    UserError,
    capture_run,
    function_tool,
    handoff,
    input_guardrail,
    output_guardrail,
    tool_input_guardrail,
    tool_output_guardrail,
)
from agentrun.testing import ModelStep, ScriptedModel, function_call

REJECTED = "Tool execution was not approved."


class Till:
    """An agent with one tool that needs approval and one that does not, and what they did."""

    def __init__(self, *steps: Any, **options: Any) -> None:
        self.done: list[str] = []
        self.model = ScriptedModel(steps)

        @function_tool(needs_approval=True)
        async def pay(to: str) -> str:
            self.done.append(f"pay {to}")
            return f"paid {to}"

        @function_tool
        async def look(at: str = "") -> str:
            self.done.append(f"look {at}")
            return f"saw {at}"

        self.tools: list[Tool] = [pay, look]
        self.agent: Agent[Any] = Agent("till", model=self.model, tools=self.tools, **options)


def pay(call_id: str, to: str) -> Any:
    return function_call("pay", {"to": to}, call_id=call_id)


def look(call_id: str, at: str = "") -> Any:
    return function_call("look", {"at": at}, call_id=call_id)


def outputs(result: Any) -> list[Any]:
    return [item.output for item in result.new_items if item.type == "tool_call_output_item"]


def kinds(result: Any) -> list[str]:
    return [item.type.removesuffix("_item") for item in result.new_items]


async def test_a_call_that_needs_approval_pauses_the_run_and_runs_once_after_it(run: Any, stored: Any) -> None:
    """RT-2, RT-7, S-80, S-81."""
    till = Till([pay("c1", "Ann")], "done")
    result = await run(till.agent)
    assert result.final_output is None
    [item] = result.interruptions
    assert (item.name, item.arguments, item.call_id, item.agent) == ("pay", '{"to":"Ann"}', "c1", till.agent)
    assert till.done == []
    state = await stored(till.agent, result.to_state())
    state.approve(state.get_interruptions()[0])
    result = await run(till.agent, await stored(till.agent, state))
    assert result.final_output == "done" and not result.interruptions
    assert till.done == ["pay Ann"]
    assert len(till.model.calls) == 2
    assert kinds(result) == ["tool_call", "tool_approval", "tool_call_output", "message_output"]


async def test_calls_without_approval_run_at_once_and_stand_before_the_approvals(run: Any, stored: Any) -> None:
    """S-80; painpoint 28: the free ones run once over pause, JSON and resume."""
    till = Till([pay("c1", "Ann"), look("c2", "sea"), pay("c3", "Bob"), look("c4", "sky")], "done")
    result = await run(till.agent)
    assert till.done == ["look sea", "look sky"]
    assert kinds(result) == ["tool_call"] * 4 + ["tool_call_output"] * 2 + ["tool_approval"] * 2
    assert [item.call_id for item in result.interruptions] == ["c1", "c3"]
    state = await stored(till.agent, result.to_state())
    for item in state.get_interruptions():
        state.approve(item)
    result = await run(till.agent, await stored(till.agent, state))
    assert result.final_output == "done"
    assert till.done == ["look sea", "look sky", "pay Ann", "pay Bob"]
    sent: Any = till.model.calls[1].input
    assert [item.get("call_id") for item in sent if item.get("type") == "function_call_output"] == [
        "c2",
        "c4",
        "c1",
        "c3",
    ]


async def test_deciding_some_runs_those_and_waits_for_the_rest_without_a_model_call(run: Any, stored: Any) -> None:
    """RT-7, S-82."""
    till = Till([pay("c1", "Ann"), pay("c2", "Bob"), pay("c3", "Cid")], "done")
    state = await stored(till.agent, (await run(till.agent)).to_state())
    state.approve(state.get_interruptions()[1])
    result = await run(till.agent, await stored(till.agent, state))
    assert till.done == ["pay Bob"] and len(till.model.calls) == 1
    assert [item.call_id for item in result.interruptions] == ["c1", "c3"]
    assert kinds(result).count("tool_approval") == 3, "the same requests are not recorded again"
    state = await stored(till.agent, result.to_state())
    state.reject(state.get_interruptions()[0])
    state.approve(state.get_interruptions()[1])
    result = await run(till.agent, await stored(till.agent, state))
    assert result.final_output == "done"
    assert till.done == ["pay Bob", "pay Cid"]
    assert outputs(result) == ["paid Bob", REJECTED, "paid Cid"]
    assert result.to_state().current_turn == 2


async def test_deciding_nothing_gives_the_same_interruptions_without_a_model_call(run: Any, stored: Any) -> None:
    """RT-7."""
    till = Till([pay("c1", "Ann"), look("c2")], "done")
    result = await run(till.agent)
    for _ in range(3):
        result = await run(till.agent, await stored(till.agent, result.to_state()))
        assert [item.call_id for item in result.interruptions] == ["c1"]
    assert till.done == ["look "] and len(till.model.calls) == 1
    assert kinds(result) == ["tool_call", "tool_call", "tool_call_output", "tool_approval"]


async def test_the_last_decision_wins(run: Any, stored: Any) -> None:
    """RT-2."""
    till = Till([pay("c1", "Ann"), pay("c2", "Bob")], "done")
    state = (await run(till.agent)).to_state()
    first, second = state.get_interruptions()
    state.approve(first)
    state.reject(first)
    state.reject(second)
    state.approve(second)
    result = await run(till.agent, await stored(till.agent, state))
    assert outputs(result) == [REJECTED, "paid Bob"] and till.done == ["pay Bob"]


async def test_an_always_decision_holds_for_later_calls_of_that_tool_and_is_stored(run: Any, stored: Any) -> None:
    """RT-2."""
    till = Till([pay("c1", "Ann"), pay("c2", "Bob")], [pay("c3", "Cid")], "done")
    state = (await run(till.agent)).to_state()
    state.approve(state.get_interruptions()[0], always_approve=True)
    result = await run(till.agent, await stored(till.agent, state))
    assert result.final_output == "done"
    assert till.done == ["pay Ann", "pay Bob", "pay Cid"]


async def test_a_sticky_rejection_repeats_its_message(run: Any, stored: Any) -> None:
    """RT-2, RT-8."""
    till = Till([pay("c1", "Ann")], [pay("c2", "Bob")], "done")
    state = (await run(till.agent)).to_state()
    state.reject(state.get_interruptions()[0], always_reject=True, rejection_message="ask my boss")
    result = await run(till.agent, await stored(till.agent, state))
    assert outputs(result) == ["ask my boss", "ask my boss"] and till.done == []
    assert result.final_output == "done"


async def test_a_decision_on_one_call_wins_over_the_one_on_its_tool(run: Any) -> None:
    till = Till([pay("c1", "Ann"), pay("c2", "Bob")], "done")
    state = (await run(till.agent)).to_state()
    first, second = state.get_interruptions()
    state.reject(second)
    state.approve(first, always_approve=True)
    assert outputs(await run(till.agent, state)) == ["paid Ann", REJECTED]


@pytest.mark.parametrize("message", [None, "no money"])
@pytest.mark.parametrize("worded", [False, True])
async def test_what_the_model_is_told_of_a_rejection(run: Any, stored: Any, message: str | None, worded: bool) -> None:
    """RT-8: the message of the decision, else the formatter's, else the default; and no hook of the tool is told."""
    told: list[str] = []

    class Hooks(RunHooks[Any]):
        async def on_tool_start(self, context: Any, agent: Any, tool: Any) -> None:
            told.append("start")

        async def on_tool_end(self, context: Any, agent: Any, tool: Any, result: object) -> None:
            told.append("end")

    def formatter(args: ToolErrorFormatterArgs[Any]) -> str | None:
        assert (args.kind, args.tool_name, args.call_id, args.default_message) == (
            "approval_rejected",
            "pay",
            "c1",
            REJECTED,
        )
        return f"no {args.tool_name}"

    till = Till([pay("c1", "Ann")], "done")
    state = (await run(till.agent)).to_state()
    state.reject(state.get_interruptions()[0], rejection_message=message)
    config = RunConfig(tool_error_formatter=formatter if worded else None)
    result = await run(till.agent, await stored(till.agent, state), run_config=config, hooks=Hooks())
    assert outputs(result) == [message or ("no pay" if worded else REJECTED)]
    assert told == [] and till.done == []


async def test_the_context_knows_three_answers(run: Any, stored: Any) -> None:
    """CX-2."""
    till = Till([pay("c1", "Ann"), pay("c2", "Bob"), pay("c3", "Cid")], "done")
    result = await run(till.agent)
    context = result.context_wrapper
    first, second, third = result.interruptions
    assert context.is_tool_approved("pay", "c1") is None
    context.approve_tool(first)
    context.reject_tool(second, rejection_message="no")
    state = await stored(till.agent, result.to_state())
    context = state.context
    assert [context.is_tool_approved("pay", f"c{n}") for n in (1, 2, 3)] == [True, False, None]
    assert context.get_rejection_message("pay", "c2") == "no"
    assert context.get_rejection_message("pay", "c1") is None
    assert context.get_approval_status("pay", "c1") is True
    assert context.get_approval_status("other", "c9", existing_pending=third) is None
    assert context.get_approval_status("other", "c2", existing_pending=second) is False
    result = await run(till.agent, state)
    assert [item.call_id for item in result.interruptions] == ["c3"] and till.done == ["pay Ann"]


# --- rules: needs_approval


async def test_a_rule_sees_context_arguments_and_call_and_is_asked_once(run: Any, stored: Any) -> None:
    """RT-6, I19: a rule that changes its mind while the run is paused lets nothing through."""
    asked: list[Any] = []
    sent: list[int] = []

    async def dear(context: RunContextWrapper[Any], arguments: dict[str, Any], call_id: str) -> bool:
        asked.append((context.context, arguments, call_id))
        return bool(arguments["cents"] > 100) and len(asked) <= 2

    @function_tool(needs_approval=dear)
    async def send(cents: int) -> str:
        sent.append(cents)
        return "sent"

    model = ScriptedModel(
        [[function_call("send", {"cents": 5}, call_id="c1"), function_call("send", {"cents": 500}, call_id="c2")], "ok"]
    )
    agent: Agent[Any] = Agent("a", model=model, tools=[send])
    result = await run(agent, context={"user": "u"})
    assert asked == [({"user": "u"}, {"cents": 5}, "c1"), ({"user": "u"}, {"cents": 500}, "c2")]
    assert [item.call_id for item in result.interruptions] == ["c2"] and sent == [5]
    result = await run(agent, await stored(agent, result.to_state()))
    assert [item.call_id for item in result.interruptions] == ["c2"] and sent == [5] and len(asked) == 2
    state = await stored(agent, result.to_state())
    state.approve(state.get_interruptions()[0])
    assert (await run(agent, state)).final_output == "ok"
    assert sent == [5, 500] and len(asked) == 2


@pytest.mark.parametrize("arguments", ["[1]", "no json", '{"cents": NaN}', '{"cents": Infinity}', "3", "null"])
async def test_arguments_that_are_no_json_object_need_approval_whatever_the_rule(run: Any, arguments: str) -> None:
    """RT-6."""

    def never(context: Any, arguments: dict[str, Any], call_id: str) -> bool:
        raise AssertionError("the rule is not asked")

    @function_tool(needs_approval=never)
    async def send(cents: int) -> str:
        raise AssertionError("nothing is sent")

    model = ScriptedModel([[function_call("send", arguments, call_id="c1")], "ok"])
    agent: Agent[Any] = Agent("a", model=model, tools=[send])
    result = await run(agent)
    assert [item.arguments for item in result.interruptions] == [arguments]
    state = result.to_state()
    state.approve(state.get_interruptions()[0])
    assert (await run(agent, state)).final_output == "ok", (
        "approved, the call fails as any call with bad arguments does"
    )


async def test_a_rule_that_raises_fails_the_run_and_nothing_has_run(run: Any) -> None:
    """RT-6, I19."""

    def broken(context: Any, arguments: dict[str, Any], call_id: str) -> bool:
        raise ValueError("no rule")

    @function_tool(needs_approval=broken)
    async def send() -> str:
        raise AssertionError("nothing is sent")

    agent: Agent[Any] = Agent("a", model=ScriptedModel([[function_call("send", {}, call_id="c1")]]), tools=[send])
    with pytest.raises(UserError, match="Error running tool send: no rule") as caught:
        await run(agent)
    assert isinstance(caught.value.__cause__, ValueError)
    assert caught.value.run_data is not None


# --- guardrails of a tool and approval


@pytest.mark.parametrize("early", [False, True])
async def test_a_guardrail_that_rejects_before_approval_spares_the_question(run: Any, early: bool) -> None:
    """GR-11."""
    asked: list[str] = []

    @tool_input_guardrail
    def no_ann(data: ToolInputGuardrailData) -> ToolGuardrailFunctionOutput:
        asked.append(data.context.tool_arguments)
        if "Ann" in data.context.tool_arguments:
            return ToolGuardrailFunctionOutput.reject_content("not Ann")
        return ToolGuardrailFunctionOutput.allow()

    till = Till([pay("c1", "Ann"), pay("c2", "Bob")], "done")
    till.tools[0].tool_input_guardrails = [no_ann]  # type: ignore[union-attr]
    config = RunConfig(tool_execution=ToolExecutionConfig(pre_approval_tool_input_guardrails=early))
    result = await run(till.agent, run_config=config)
    waiting = [item.call_id for item in result.interruptions]
    assert waiting == (["c2"] if early else ["c1", "c2"])
    assert len(asked) == (2 if early else 0)
    result = await run(till.agent, result.to_state(), run_config=config)
    assert len(asked) == (2 if early else 0), "nobody is asked again while the call waits"
    state = result.to_state()
    for item in state.get_interruptions():
        state.approve(item)
    result = await run(till.agent, state, run_config=config)
    assert till.done == ["pay Bob"]
    assert sorted(outputs(result)) == ["not Ann", "paid Bob"]
    assert asked.count('{"to":"Bob"}') == (2 if early else 1), "and again after the approval"


async def test_verdicts_of_tool_guardrails_survive_the_pause(run: Any, stored: Any) -> None:
    """Q4."""

    @tool_input_guardrail
    def fine(data: ToolInputGuardrailData) -> ToolGuardrailFunctionOutput:
        return ToolGuardrailFunctionOutput.allow({"seen": data.context.tool_call_id})

    @tool_output_guardrail
    def masked(data: Any) -> ToolGuardrailFunctionOutput:
        return ToolGuardrailFunctionOutput.reject_content("masked", "info")

    till = Till([pay("c1", "Ann"), look("c2")], "done")
    for tool in till.tools:
        tool.tool_input_guardrails = [fine]  # type: ignore[union-attr]
        tool.tool_output_guardrails = [masked]  # type: ignore[union-attr]
    state = await stored(till.agent, (await run(till.agent)).to_state())
    state.approve(state.get_interruptions()[0])
    result = await run(till.agent, await stored(till.agent, state))
    infos = [one.output.output_info for one in result.tool_input_guardrail_results]
    assert infos == [{"seen": "c2"}, {"seen": "c1"}]
    assert [one.output.behavior for one in result.tool_output_guardrail_results] == [
        {"type": "reject_content", "message": "masked"}
    ] * 2
    assert outputs(result) == ["masked", "masked"]


# --- running a state


async def test_a_state_that_is_run_twice_does_not_run_its_tools_twice(run: Any, stored: Any) -> None:
    """RT-12."""
    till = Till([pay("c1", "Ann"), pay("c2", "Bob")], "one", "two")
    state = await stored(till.agent, (await run(till.agent)).to_state())
    for item in state.get_interruptions():
        state.approve(item)
    first = await run(till.agent, state)
    second = await run(till.agent, state)
    third_state = await stored(till.agent, state)
    assert (first.final_output, second.final_output) == ("one", "two")
    assert till.done == ["pay Ann", "pay Bob"]
    assert kinds(first) == kinds(second)
    assert till.model.calls[1].input == till.model.calls[2].input
    assert third_state.get_interruptions() == []


async def test_a_state_that_is_run_twice_after_a_partial_decision_waits_for_the_rest(run: Any, stored: Any) -> None:
    """RT-7, RT-12."""
    till = Till([pay("c1", "Ann"), pay("c2", "Bob")], "done")
    state = await stored(till.agent, (await run(till.agent)).to_state())
    state.approve(state.get_interruptions()[0])
    await run(till.agent, state)
    assert [item.call_id for item in state.get_interruptions()] == ["c2"]
    state = await stored(till.agent, state)
    state.approve(state.get_interruptions()[0])
    result = await run(till.agent, state)
    assert till.done == ["pay Ann", "pay Bob"] and result.final_output == "done"


async def test_snapshots_are_independent_of_each_other(run: Any) -> None:
    """RS-8."""
    till = Till([pay("c1", "Ann")], "yes", "no")
    result = await run(till.agent)
    yes, no = result.to_state(), result.to_state()
    yes.approve(yes.get_interruptions()[0])
    no.reject(no.get_interruptions()[0])
    assert outputs(await run(till.agent, yes)) == ["paid Ann"]
    assert outputs(await run(till.agent, no)) == [REJECTED]
    assert [item.type for item in result.new_items] == ["tool_call_item", "tool_approval_item"]
    assert [item.call_id for item in result.interruptions] == ["c1"]


async def test_a_finished_state_is_refused_before_any_request(run: Any, stored: Any) -> None:
    """RT-13, Q6."""
    till = Till("done")
    state = await stored(till.agent, (await run(till.agent)).to_state())
    with pytest.raises(UserError, match="finished run"):
        await run(till.agent, state)
    assert len(till.model.calls) == 1


async def test_changed_arguments_are_asked_about_again(run: Any) -> None:
    """I19, S05: what was approved is the call as it was shown."""
    till = Till([pay("c1", "Ann")], "done")
    state = (await run(till.agent)).to_state()
    state.approve(state.get_interruptions()[0])
    changed = json.loads(state.to_string().replace("Ann", "Eve"))
    state = await RunState.from_json(till.agent, changed)
    result = await run(till.agent, state)
    assert till.done == [] and len(till.model.calls) == 1
    assert [item.arguments for item in result.interruptions] == ['{"to":"Eve"}']
    state = result.to_state()
    state.approve(state.get_interruptions()[0])
    assert (await run(till.agent, state)).final_output == "done"
    assert till.done == ["pay Eve"]


async def test_a_request_that_shows_other_arguments_than_the_call_has_decides_nothing(run: Any) -> None:
    """S05: the item is changed so that a person sees harmless arguments."""
    till = Till([pay("c1", "Eve")], "done")
    data = (await run(till.agent)).to_state().to_json()
    for item in data["items"]:
        if item["type"] == "tool_approval_item":
            item["raw_item"]["arguments"] = '{"to":"Ann"}'
    state = await RunState.from_json(till.agent, data)
    state.approve(state.get_interruptions()[0])
    result = await run(till.agent, state)
    assert till.done == []
    assert [item.arguments for item in result.interruptions] == ['{"to":"Eve"}']


# --- the rest of a resumed run


async def test_a_resumed_stream_shows_only_what_is_new(run: Any, stored: Any) -> None:
    """S-84."""
    till = Till([look("c1"), pay("c2", "Ann"), pay("c3", "Bob")], [look("c4")], "done")
    result = await run(till.agent)
    if run.streamed:
        assert run.names == ["agent:till", "tool_called", "tool_called", "tool_called", "tool_output"]
    state = await stored(till.agent, result.to_state())
    for item in state.get_interruptions():
        state.approve(item)
    result = await run(till.agent, await stored(till.agent, state))
    if run.streamed:
        assert run.names == [
            "agent:till",
            "tool_output",
            "tool_output",
            "tool_called",
            "tool_output",
            "message_output_created",
        ]
        shown = [event.item.raw_item["call_id"] for event in run.events if getattr(event, "name", "") == "tool_output"]
        assert shown == ["c2", "c3", "c4"]
    assert kinds(result).count("tool_call_output") == 4, "the result has the whole run"


async def test_usage_goes_on_from_a_copy(run: Any, stored: Any) -> None:
    """S-91."""
    till = Till(
        ModelStep.respond(
            [pay("c1", "Ann")], usage=Usage(requests=1, input_tokens=10, output_tokens=1, total_tokens=11)
        ),
        ModelStep.respond("done", usage=Usage(requests=1, input_tokens=20, output_tokens=2, total_tokens=22)),
    )
    first = await run(till.agent)
    state = await stored(till.agent, first.to_state())
    state.approve(state.get_interruptions()[0])
    second = await run(till.agent, await stored(till.agent, state))
    assert (first.context_wrapper.usage.requests, first.context_wrapper.usage.total_tokens) == (1, 11)
    assert (second.context_wrapper.usage.requests, second.context_wrapper.usage.total_tokens) == (2, 33)
    assert [one.total_tokens for one in second.context_wrapper.usage.request_usage_entries] == [11, 22]


async def test_the_state_keeps_its_own_limit_and_tools_run_before_it_is_reached(run: Any, stored: Any) -> None:
    """RN-8, S-83."""
    till = Till([pay("c1", "Ann")], "done")
    state = await stored(till.agent, (await run(till.agent, max_turns=1)).to_state())
    state.approve(state.get_interruptions()[0])
    with pytest.raises(MaxTurnsExceeded, match=r"Max turns \(1\) exceeded") as caught:
        await run(till.agent, state, max_turns=50)
    assert till.done == ["pay Ann"]
    assert caught.value.run_data is not None
    assert [item.type for item in caught.value.run_data.new_items][-1] == "tool_call_output_item"


async def test_a_pause_in_the_last_turn_can_still_end_with_a_tool_output(run: Any, stored: Any) -> None:
    """S-44, S-83."""
    till = Till([look("c0"), pay("c1", "Ann")], tool_use_behavior={"stop_at_tool_names": ["pay"]})
    state = await stored(till.agent, (await run(till.agent, max_turns=1)).to_state())
    state.approve(state.get_interruptions()[0])
    assert (await run(till.agent, state)).final_output == "paid Ann"


async def test_a_rejected_call_can_be_the_final_output(run: Any, stored: Any) -> None:
    """S-44."""
    till = Till([pay("c1", "Ann")], tool_use_behavior="stop_on_first_tool")
    state = await stored(till.agent, (await run(till.agent)).to_state())
    state.reject(state.get_interruptions()[0], rejection_message="never")
    result = await run(till.agent, state)
    assert result.final_output == "never" and len(till.model.calls) == 1


async def test_a_function_sees_all_results_of_a_resumed_turn_in_call_order(run: Any, stored: Any) -> None:
    """S-43, S-44."""
    seen: list[list[tuple[str, Any]]] = []

    def decide(context: Any, results: list[FunctionToolResult]) -> ToolsToFinalOutputResult:
        seen.append([(one.tool.name, one.output) for one in results])
        return ToolsToFinalOutputResult(is_final_output=True, final_output="enough")

    till = Till([pay("c1", "Ann"), look("c2", "sea")], tool_use_behavior=decide)
    state = await stored(till.agent, (await run(till.agent)).to_state())
    assert seen == [], "nobody is asked while calls wait"
    state.approve(state.get_interruptions()[0])
    assert (await run(till.agent, await stored(till.agent, state))).final_output == "enough"
    assert seen == [[("pay", "paid Ann"), ("look", "saw sea")]]


async def test_hooks_of_a_resumed_run(run: Any, stored: Any) -> None:
    """S-9, S-81: the agent starts again right before the next model call, not before the resumed tools."""
    told: list[str] = []

    class Hooks(RunHooks[Any]):
        async def on_agent_start(self, context: Any, agent: Any) -> None:
            told.append("agent start")

        async def on_tool_start(self, context: Any, agent: Any, tool: Any) -> None:
            told.append(f"start {tool.name}")

        async def on_tool_end(self, context: Any, agent: Any, tool: Any, result: object) -> None:
            told.append(f"end {tool.name} {result}")

        async def on_agent_end(self, context: Any, agent: Any, output: Any) -> None:
            told.append("agent end")

    till = Till([pay("c1", "Ann")], "done")
    state = await stored(till.agent, (await run(till.agent, hooks=Hooks())).to_state())
    assert told == ["agent start"]
    told.clear()
    state.approve(state.get_interruptions()[0])
    await run(till.agent, state, hooks=Hooks())
    assert told == ["start pay", "end pay paid Ann", "agent start", "agent end"]


async def test_a_paused_turn_asks_no_agent_guardrail_again(run: Any, stored: Any) -> None:
    """S-81: those of the agent's input have judged it, and those of its output wait for one."""
    asked: list[str] = []

    @input_guardrail
    async def beside(context: Any, agent: Any, given: Any) -> GuardrailFunctionOutput:
        asked.append("beside")
        return GuardrailFunctionOutput(None, False)

    @input_guardrail(run_in_parallel=False)
    async def before(context: Any, agent: Any, given: Any) -> GuardrailFunctionOutput:
        asked.append("before")
        return GuardrailFunctionOutput(None, False)

    @output_guardrail
    async def after(context: Any, agent: Any, output: Any) -> GuardrailFunctionOutput:
        asked.append(f"after {output}")
        return GuardrailFunctionOutput(None, False)

    till = Till([pay("c1", "Ann")], "done", input_guardrails=[beside, before], output_guardrails=[after])
    state = await stored(till.agent, (await run(till.agent)).to_state())
    assert asked == ["before", "beside"]
    state.approve(state.get_interruptions()[0])
    result = await run(till.agent, await stored(till.agent, state))
    assert asked == ["before", "beside", "after done"]
    assert len(result.input_guardrail_results) == 2, "the verdicts of the first part are there"


async def test_a_failure_after_the_pause_keeps_what_was_done(run: Any, stored: Any) -> None:
    """S-33, I19: the state on the exception runs no approved call again."""
    till = Till([pay("c1", "Ann"), pay("c2", "Bob"), function_call("burn", {}, call_id="c3")], "done")
    broken = True

    @function_tool(needs_approval=True, failure_error_function=None)
    async def burn() -> str:
        await anyio.sleep(1)
        if broken:
            raise OSError("no fire")
        return "burnt"

    till.agent.tools.append(burn)
    state = (await run(till.agent)).to_state()
    for item in state.get_interruptions():
        state.approve(item)
    state.reject(state.get_interruptions()[1])
    with pytest.raises(UserError, match="burn") as caught:
        await run(till.agent, state)
    assert caught.value.run_data is not None
    assert till.done == ["pay Ann"]
    broken = False
    for again in (await stored(till.agent, caught.value.run_data.to_state()), state):
        till.model = ScriptedModel(["done"])
        till.agent.model = till.model
        result = await run(till.agent, await stored(till.agent, again))
        assert till.done == ["pay Ann"]
        assert outputs(result) == ["paid Ann", REJECTED, "burnt"]


async def test_a_cancel_after_the_pause_keeps_what_was_done() -> None:
    """I19: an approved call that has run is not run again, whatever cut the resumed run off."""
    till = Till([pay("c1", "Ann"), function_call("wait", {}, call_id="c2")], "done")

    @function_tool(needs_approval=True)
    async def wait() -> str:
        await anyio.sleep(10)
        return "waited"

    till.agent.tools.append(wait)
    state = (await Runner.run(till.agent, "hi")).to_state()
    for item in state.get_interruptions():
        state.approve(item)
    with capture_run() as captured:
        with anyio.move_on_after(5):
            await Runner.run(till.agent, state)
    assert till.done == ["pay Ann"] and captured.run_data is not None
    result = await Runner.run(till.agent, captured.run_data.to_state())
    assert till.done == ["pay Ann"] and result.final_output == "done"
    assert sorted(outputs(result)) == ["paid Ann", "waited"]
    till.agent.model = ScriptedModel(["done"])
    assert outputs(await Runner.run(till.agent, state))[0] == "paid Ann"
    assert till.done == ["pay Ann"]


async def test_approval_items_are_no_input_for_a_model(run: Any) -> None:
    till = Till([pay("c1", "Ann"), look("c2")], "done")
    result = await run(till.agent)
    assert all(item.get("type") != "tool_approval_item" for item in result.to_input_list())
    assert isinstance(result.interruptions[0], ToolApprovalItem)


@pytest.mark.parametrize("approve", [True, False])
async def test_an_always_decision_is_for_the_tool_of_the_agent_that_asked(run: Any, stored: Any, approve: bool) -> None:
    """RT-2: after a handoff another agent's tool of that name is asked about, and so is the one of an agent alike."""
    done: list[str] = []

    def operate(name: str) -> Tool:
        @function_tool(name_override="operate", needs_approval=True)
        async def operate() -> str:
            done.append(name)
            return name

        return operate

    first: Agent[Any] = Agent("same", tools=[operate("first")])
    second: Agent[Any] = Agent("same", tools=[operate("second")])
    first.handoffs = [handoff(second, tool_name_override="to_second")]
    second.handoffs = [handoff(first, tool_name_override="to_first")]

    def call(name: str, call_id: str) -> Any:
        return [function_call(name, {}, call_id=call_id)]

    first.model = ScriptedModel([call("operate", "a1"), call("to_second", "h1"), call("operate", "a2"), "done"])
    second.model = ScriptedModel([call("operate", "b1"), call("operate", "b2"), call("to_first", "h2")])
    state = (await run(first)).to_state()
    if approve:
        state.approve(state.get_interruptions()[0], always_approve=True)
    else:
        state.reject(state.get_interruptions()[0], always_reject=True, rejection_message="never the first")
    result = await run(first, await stored(first, state))
    [item] = result.interruptions
    assert item.agent is second and done == (["first"] if approve else [])
    context = result.context_wrapper
    assert context.get_approval_status("operate", "b9", existing_pending=item) is None
    assert context.is_tool_approved("operate", "b9") is approve, "the only decision on a tool of that name"
    state = result.to_state()
    if approve:
        state.reject(state.get_interruptions()[0], always_reject=True, rejection_message="never the second")
    else:
        state.approve(state.get_interruptions()[0], always_approve=True)
    context = state.context
    assert context.is_tool_approved("operate", "b9") is None, "two agents, two decisions: the name alone says nothing"
    assert context.get_rejection_message("operate", "b9") is None
    assert context.get_rejection_message("operate", "b9", existing_pending=item) == (
        "never the second" if approve else None
    )
    result = await run(first, await stored(first, state))
    assert result.final_output == "done"
    assert done == (["first", "first"] if approve else ["second", "second"])
    assert [one for one in outputs(result) if one.startswith("never")] == (
        ["never the second"] * 2 if approve else ["never the first"] * 2
    )


async def test_an_always_decision_of_a_nested_item_on_the_outer_context_can_be_stored(run: Any) -> None:
    """CX-2, RT-10: it decides that call; the nested run's later calls are the nested run's own."""
    till = Till([pay("c1", "Ann")], "inner done")
    outer: Agent[Any] = Agent(
        "outer",
        model=ScriptedModel([[function_call("till", {"input": "go"}, call_id="n1")], "done"]),
        tools=[till.agent.as_tool("till", None)],
    )
    result = await run(outer)
    result.context_wrapper.approve_tool(result.interruptions[0], always_approve=True)
    state = await RunState.from_string(outer, result.to_state().to_string())
    assert (await run(outer, state)).final_output == "done" and till.done == ["pay Ann"]


async def test_a_decision_does_not_keep_an_agent_alive() -> None:
    """RS-7."""
    till = Till([pay("c1", "Ann")])
    result = await Runner.run(till.agent, "hi")
    context = result.context_wrapper
    context.approve_tool(result.interruptions[0], always_approve=True)
    gone = weakref.ref(till.agent)
    del till, result
    gc.collect()
    assert gone() is None and context.is_tool_approved("pay", "c9") is True


def test_a_decision_of_an_early_state_on_every_call_of_a_tool_is_asked_about_again() -> None:
    """RT-5: such a state does not say whose tool it is."""
    till = Till()

    async def read() -> RunState[Any]:
        data = RunState(RunContextWrapper(None), "hi", till.agent).to_json()
        data["context"]["approvals"]["tools"] = [{"tool": "pay", "approved": True, "message": None}]
        return await RunState.from_json(till.agent, data)

    assert anyio.run(read).context.is_tool_approved("pay", "c1") is None
