"""semantics.md D: guardrails; features 11."""

# Callbacks here are written as a user would write them, without types.
# pyright: reportUnknownLambdaType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import math
from typing import Any, cast

import anyio
import pytest
from anyio.lowlevel import checkpoint

from agentrun import (
    Agent,
    GuardrailFunctionOutput,
    InputGuardrail,
    InputGuardrailTripwireTriggered,
    OutputGuardrail,
    OutputGuardrailTripwireTriggered,
    RunConfig,
    RunHooks,
    ToolGuardrailFunctionOutput,
    ToolInputGuardrailTripwireTriggered,
    ToolOutputGuardrailTripwireTriggered,
    UserError,
    function_tool,
    handoff,
    input_guardrail,
    output_guardrail,
    tool_input_guardrail,
    tool_output_guardrail,
)
from agentrun.testing import Gate, ScriptedModel, assistant_message, function_call, hang, no_leaks, reasoning

covers = pytest.mark.covers

PASS = GuardrailFunctionOutput(None, False)
TRIP = GuardrailFunctionOutput("bad", True)


def call(name: str = "look", call_id: str = "c1", **arguments: Any) -> Any:
    return function_call(name, arguments, call_id=call_id)


@function_tool
async def look(q: str = "") -> str:
    return f"saw {q}"


def passing(name: str, log: list[str], *, seconds: float = 0, parallel: bool = True) -> Any:
    async def check(context: Any, agent: Any, given: Any) -> GuardrailFunctionOutput:
        log.append(f"{name} starts")
        await anyio.sleep(seconds)
        log.append(f"{name} ends")
        return PASS

    return InputGuardrail(check, name=name, run_in_parallel=parallel)


@covers("S-20", "GR-3")
async def test_blocking_guardrails_finish_before_parallel_ones_and_the_model_start(run: Any) -> None:
    log: list[str] = []

    def answer(model_call: Any) -> str:
        log.append("model")
        return "done"

    model = ScriptedModel([answer])
    agent = Agent(
        name="a",
        model=model,
        input_guardrails=[
            passing("parallel", log, seconds=1),
            passing("slow", log, seconds=2, parallel=False),
            passing("quick", log, seconds=1, parallel=False),
        ],
    )
    result = await run(agent)
    assert log[:4] == ["slow starts", "quick starts", "quick ends", "slow ends"]
    assert set(log[4:]) == {"parallel starts", "model", "parallel ends"}
    assert [one.guardrail.get_name() for one in result.input_guardrail_results] == ["quick", "slow", "parallel"]


@covers("S-21", "S-22", "S-23", "GR-4", "GR-6", "ER-6")
async def test_a_trip_cancels_and_awaits_everything_beside_it(run: Any) -> None:
    log: list[str] = []
    tripping = Gate()

    @function_tool
    async def work() -> str:
        tripping.open()
        try:
            await anyio.sleep(math.inf)
        finally:
            log.append("tool ended")
        return ""

    async def trip(context: Any, agent: Any, given: Any) -> GuardrailFunctionOutput:
        await tripping.wait()
        await anyio.sleep(1)
        return TRIP

    async def never(context: Any, agent: Any, given: Any) -> GuardrailFunctionOutput:
        try:
            await anyio.sleep(math.inf)
        finally:
            log.append("sibling ended")
        return PASS

    model = ScriptedModel([[call("work")]])
    agent = Agent(
        name="a",
        model=model,
        tools=[work],
        input_guardrails=[InputGuardrail(never), InputGuardrail(trip, name="tripper"), passing("first", [])],
    )
    with pytest.raises(InputGuardrailTripwireTriggered) as caught:
        async with no_leaks():
            await run(agent, run_config=RunConfig(guardrail_gate="off"))
    log.append("raised")
    assert set(log[:2]) == {"tool ended", "sibling ended"}
    assert log[2] == "raised"
    result = caught.value.guardrail_result
    assert (result.guardrail.get_name(), result.output.output_info) == ("tripper", "bad")
    data = caught.value.run_data
    assert data is not None
    assert [one.guardrail.get_name() for one in data.input_guardrail_results] == ["first", "tripper"]
    assert data.new_items == []
    if run.streamed:
        assert "tool_output" not in run.item_events


@covers("S-21", "S-22", "GR-4")
async def test_a_trip_while_the_model_speaks_closes_its_stream(run: Any) -> None:
    model = ScriptedModel([hang()])

    async def trip(context: Any, agent: Any, given: Any) -> GuardrailFunctionOutput:
        await anyio.sleep(1)
        return TRIP

    with pytest.raises(InputGuardrailTripwireTriggered):
        await run(Agent(name="a", model=model, input_guardrails=[InputGuardrail(trip)]))
    assert model.open_streams == 0
    assert len(model.calls) == 1


@covers("S-21", "S-22", "S-23")
@pytest.mark.parametrize("gate", ["tools", "output", "off"])
async def test_the_second_turn_and_the_result_wait_for_a_late_verdict(run: Any, gate: Any) -> None:
    async def trip(context: Any, agent: Any, given: Any) -> GuardrailFunctionOutput:
        await anyio.sleep(10)
        return TRIP

    for steps in ([[call()], "done"], ["done"]):
        model = ScriptedModel(steps)
        agent = Agent(name="a", model=model, tools=[look], input_guardrails=[InputGuardrail(trip)])
        with pytest.raises(InputGuardrailTripwireTriggered):
            await run(agent, run_config=RunConfig(guardrail_gate=gate))
        assert len(model.calls) == 1


@covers("S-21", "GR-4")
async def test_tools_of_the_first_turn_wait_for_the_verdicts_by_default(run: Any) -> None:
    log: list[str] = []

    @function_tool
    async def work() -> str:
        log.append("tool")
        return "worked"

    agent = Agent(
        name="a",
        model=ScriptedModel([[call("work")], "done"]),
        tools=[work],
        input_guardrails=[passing("check", log, seconds=3)],
    )
    await run(agent)
    assert log == ["check starts", "check ends", "tool"]


@covers("S-22")
async def test_the_output_gate_holds_back_every_event_of_a_turn_that_trips(run: Any) -> None:
    async def trip(context: Any, agent: Any, given: Any) -> GuardrailFunctionOutput:
        await anyio.sleep(1)
        return TRIP

    agent = Agent(name="a", model=ScriptedModel(["secret"]), input_guardrails=[InputGuardrail(trip)])
    with pytest.raises(InputGuardrailTripwireTriggered):
        await run(agent, run_config=RunConfig(guardrail_gate="output"))
    assert [event.type for event in run.events] == (["agent_updated_stream_event"] if run.streamed else [])
    agent = Agent(name="a", model=ScriptedModel(["fine"]), input_guardrails=[passing("ok", [], seconds=1)])
    result = await run(agent, run_config=RunConfig(guardrail_gate="output"))
    assert result.final_output == "fine"
    if run.streamed:
        assert result.item_events == ["agent:a", "message_output_created"]


@covers("S-24", "GR-8", "ER-6", "S-19")
async def test_output_guardrails_run_together_after_the_end_hooks(run: Any) -> None:
    log: list[str] = []

    class Hooks(RunHooks[Any]):
        async def on_agent_end(self, context: Any, agent: Any, output: Any) -> None:
            log.append(f"end {output}")

    @output_guardrail
    async def never(context: Any, agent: Any, output: Any) -> GuardrailFunctionOutput:
        log.append("never")
        try:
            await anyio.sleep(math.inf)
        finally:
            log.append("cancelled")
        return PASS

    @output_guardrail(name="tripper")
    async def trip(context: Any, agent: Any, output: Any) -> GuardrailFunctionOutput:
        log.append("tripper")
        await anyio.sleep(1)
        return TRIP

    agent = Agent(name="a", model=ScriptedModel(["secret"]), output_guardrails=[never, trip])
    with pytest.raises(OutputGuardrailTripwireTriggered) as caught:
        await run(agent, hooks=Hooks())
    assert log == ["end secret", "never", "tripper", "cancelled"]
    result = caught.value.guardrail_result
    assert (result.agent_output, result.agent, result.output.output_info) == ("secret", agent, "bad")
    data = caught.value.run_data
    assert data is not None
    assert [one.guardrail.get_name() for one in data.output_guardrail_results] == ["tripper"]


@covers("GR-8", "RC-6")
async def test_output_guardrails_of_the_final_agent_and_the_configuration_judge_the_output(run: Any) -> None:
    seen: list[Any] = []

    def judge(name: str) -> OutputGuardrail[Any]:
        def check(context: Any, agent: Any, output: Any) -> GuardrailFunctionOutput:
            seen.append((name, agent.name, output))
            return PASS

        return OutputGuardrail(check, name=name)

    b = Agent(name="b", model=ScriptedModel(["from b"]), output_guardrails=[judge("of b")])
    model = ScriptedModel([[call("transfer_to_b", "h")]])
    agent = Agent(name="a", model=model, handoffs=[b], output_guardrails=[judge("of a")])
    result = await run(agent, run_config=RunConfig(output_guardrails=[judge("configured")]))
    assert seen == [("of b", "b", "from b"), ("configured", "b", "from b")]
    assert [one.guardrail.get_name() for one in result.output_guardrail_results] == ["of b", "configured"]


@covers("GR-9", "S-24")
async def test_a_rejected_message_is_not_kept_and_a_rejected_tool_output_is_replaced(run: Any) -> None:
    @output_guardrail
    async def trip(context: Any, agent: Any, output: Any) -> GuardrailFunctionOutput:
        return TRIP

    agent = Agent(name="a", model=ScriptedModel([[call()], "secret"]), tools=[look], output_guardrails=[trip])
    with pytest.raises(OutputGuardrailTripwireTriggered) as caught:
        await run(agent)
    assert caught.value.run_data is not None
    assert [item.type for item in caught.value.run_data.new_items] == ["tool_call_item", "tool_call_output_item"]
    agent = agent.clone(model=ScriptedModel([[call(q="secret")]]), tool_use_behavior="stop_on_first_tool")
    with pytest.raises(OutputGuardrailTripwireTriggered) as caught:
        await run(agent)
    assert caught.value.run_data is not None
    kept: list[Any] = list(caught.value.run_data.new_items)
    assert [item.type for item in kept] == ["tool_call_item", "tool_call_output_item"]
    assert kept[1].raw_item["output"] == "Output withheld by an output guardrail."


@covers("GR-9", "S-24")
async def test_of_a_rejected_tool_output_nothing_is_left_to_read(run: Any) -> None:
    @output_guardrail
    async def trip(context: Any, agent: Any, output: Any) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(output, True)

    @tool_output_guardrail
    def keep(data: Any) -> ToolGuardrailFunctionOutput:
        return ToolGuardrailFunctionOutput.allow(data.output)

    @function_tool(tool_output_guardrails=[keep])
    def tell() -> str:
        return "secret"

    reply = [reasoning("hm", item_id="r1"), assistant_message("secret"), reasoning("hm", item_id="r2"), call("tell")]
    agent = Agent(
        name="a",
        model=ScriptedModel([reply]),
        tools=[tell],
        tool_use_behavior="stop_on_first_tool",
        output_guardrails=[trip],
    )
    with pytest.raises(OutputGuardrailTripwireTriggered) as caught:
        await run(agent)
    withheld = "Output withheld by an output guardrail."
    data = caught.value.run_data
    assert data is not None
    # The reasoning before the message that was dropped goes with it: no provider takes it alone.
    assert [getattr(item.raw_item, "id", None) for item in data.new_items] == ["r2", "c1", None]
    assert data.tool_output_guardrail_results[0].output.output_info == withheld
    for verdict in (caught.value.guardrail_result, *data.output_guardrail_results):
        assert verdict.agent_output == withheld
        assert verdict.output.output_info is None


def tool_guards(log: list[str], *, before: Any = None, after: Any = None) -> Any:
    @tool_input_guardrail
    async def check_input(data: Any) -> ToolGuardrailFunctionOutput:
        log.append(f"input {data.context.tool_arguments}")
        return before or ToolGuardrailFunctionOutput.allow()

    @tool_output_guardrail
    async def check_output(data: Any) -> ToolGuardrailFunctionOutput:
        log.append(f"output {data.output}")
        return after or ToolGuardrailFunctionOutput.allow()

    return {"tool_input_guardrails": [check_input], "tool_output_guardrails": [check_output]}


class ToolHooks(RunHooks[Any]):
    def __init__(self, log: list[str]) -> None:
        self.log = log

    async def on_tool_start(self, context: Any, agent: Any, tool: Any) -> None:
        self.log.append("start")

    async def on_tool_end(self, context: Any, agent: Any, tool: Any, result: Any) -> None:
        self.log.append(f"end {result}")


@covers("S-25", "GR-10", "S-26")
async def test_tool_guardrails_stand_round_hooks_and_body(run: Any) -> None:
    log: list[str] = []

    def tool(**options: Any) -> Any:
        @function_tool(**tool_guards(log, **options))  # type: ignore[untyped-decorator]
        async def work(n: int) -> int:
            log.append("body")
            return n

        return work

    def agent(one: Any) -> Any:
        return Agent(name="a", model=ScriptedModel([[call("work", n=1)], "done"]), tools=[one])

    result = await run(agent(tool()), hooks=ToolHooks(log))
    assert log == ['input {"n":1}', "start", "body", "output 1", "end 1"]
    assert len(result.tool_input_guardrail_results) == len(result.tool_output_guardrail_results) == 1
    log.clear()
    result = await run(agent(tool(before=ToolGuardrailFunctionOutput.reject_content("no"))), hooks=ToolHooks(log))
    assert log == ['input {"n":1}']
    assert result.new_items[1].output == "no"
    assert len(result.tool_input_guardrail_results) == 1
    log.clear()
    result = await run(agent(tool(after=ToolGuardrailFunctionOutput.reject_content("hidden"))), hooks=ToolHooks(log))
    assert log == ['input {"n":1}', "start", "body", "output 1", "end hidden"]
    assert result.new_items[1].raw_item["output"] == "hidden"


@covers("GR-10", "ER-7", "S-26")
@pytest.mark.parametrize("side", ["before", "after"])
async def test_a_tool_guardrail_that_raises_stops_the_run_with_its_fields(run: Any, side: str) -> None:
    log: list[str] = []
    verdict = ToolGuardrailFunctionOutput.raise_exception({"why": "dangerous"})

    @function_tool(**tool_guards(log, **{side: verdict}))  # type: ignore[untyped-decorator]
    async def work() -> Any:
        return "worked"

    expected: Any = ToolInputGuardrailTripwireTriggered if side == "before" else ToolOutputGuardrailTripwireTriggered
    with pytest.raises(expected) as caught:
        await run(Agent(name="a", model=ScriptedModel([[call("work")]]), tools=[cast("Any", work)]))
    assert caught.value.output is verdict
    assert caught.value.output.output_info == {"why": "dangerous"}
    assert caught.value.guardrail.get_name() == ("check_input" if side == "before" else "check_output")
    assert caught.value.run_data is not None


@covers("GR-10")
async def test_every_output_guardrail_gets_what_the_tool_returned_until_one_rejects(run: Any) -> None:
    seen: list[Any] = []

    def judge(verdict: ToolGuardrailFunctionOutput) -> Any:
        @tool_output_guardrail
        def check(data: Any) -> ToolGuardrailFunctionOutput:
            seen.append(data.output)
            return verdict

        return check

    allow, reject = ToolGuardrailFunctionOutput.allow(), ToolGuardrailFunctionOutput.reject_content("no")

    @function_tool(tool_output_guardrails=[judge(allow), judge(reject), judge(allow)])
    async def work() -> list[int]:
        return [1]

    result = await run(Agent(name="a", model=ScriptedModel([[call("work")], "done"]), tools=[work]))
    assert seen == [[1], [1]]
    assert result.new_items[1].output == "no"


@covers("S-26", "ER-1")
async def test_verdicts_add_up_over_the_run_and_are_on_the_exception(run: Any) -> None:
    log: list[str] = []

    @function_tool(**tool_guards(log))  # type: ignore[untyped-decorator]
    async def work(n: int) -> int:
        return n

    model = ScriptedModel([[call("work", "c1", n=1), call("work", "c2", n=2)], [call("work", "c3", n=3)]])
    agent = Agent(name="a", model=model, tools=[cast("Any", work)], input_guardrails=[passing("ok", [])])
    with pytest.raises(Exception, match="Max turns") as caught:
        await run(agent, max_turns=2)
    data: Any = caught.value.run_data  # type: ignore[attr-defined]
    assert len(data.input_guardrail_results) == 1
    assert len(data.tool_input_guardrail_results) == 3
    assert len(data.tool_output_guardrail_results) == 3


@covers("GR-1")
async def test_input_guardrails_may_be_functions_objects_or_decorated_sync_or_async(run: Any) -> None:
    @input_guardrail
    def plain(context: Any, agent: Any, given: Any) -> GuardrailFunctionOutput:
        return PASS

    @input_guardrail(name="named", run_in_parallel=False)
    async def other(context: Any, agent: Any, given: Any) -> GuardrailFunctionOutput:
        return PASS

    assert plain.get_name() == "plain"
    assert (other.get_name(), other.run_in_parallel) == ("named", False)
    with pytest.raises(UserError):
        InputGuardrail("no function")  # type: ignore[arg-type]
    result = await run(Agent(name="a", model=ScriptedModel(["done"]), input_guardrails=[plain, other]))
    assert [one.guardrail.get_name() for one in result.input_guardrail_results] == ["named", "plain"]

    @input_guardrail  # type: ignore[arg-type]
    def nothing(context: Any, agent: Any, given: Any) -> None:
        return None

    with pytest.raises(UserError, match=r"nothing.*returned None"):
        await run(Agent(name="a", model=ScriptedModel(["done"]), input_guardrails=[nothing]))


@covers("GR-2", "RC-6")
async def test_input_guardrails_see_the_first_turn_of_the_first_agent_only(run: Any) -> None:
    log: list[str] = []

    @function_tool(needs_approval=True)
    async def risky() -> str:
        return "ok"

    b = Agent(name="b", model=ScriptedModel(["from b"]), input_guardrails=[passing("of b", log)])
    model = ScriptedModel([[call("risky")], [call("transfer_to_b", "h")]])
    agent = Agent(name="a", model=model, tools=[risky], handoffs=[b], input_guardrails=[passing("of a", log)])
    config = RunConfig(input_guardrails=[passing("configured", log)])
    paused = await run(agent, run_config=config)
    names = [one.guardrail.get_name() for one in paused.input_guardrail_results]
    assert names == ["of a", "configured"]
    log.clear()
    state = paused.to_state()
    state.approve(paused.interruptions[0])
    result = await run(agent, state, run_config=config)
    assert result.final_output == "from b"
    assert log == []
    assert [one.guardrail.get_name() for one in result.input_guardrail_results] == ["of a", "configured"]


@covers("GR-3")
async def test_a_blocking_trip_calls_no_model_and_no_hook(run: Any) -> None:
    log: list[str] = []

    class Hooks(RunHooks[Any]):
        async def on_agent_start(self, context: Any, agent: Any) -> None:
            log.append("start")

    @input_guardrail(run_in_parallel=False)
    def trip(context: Any, agent: Any, given: Any) -> GuardrailFunctionOutput:
        return TRIP

    model = ScriptedModel(["never"])
    agent = Agent(name="a", model=model, input_guardrails=[passing("parallel", log), trip])
    with pytest.raises(InputGuardrailTripwireTriggered) as caught:
        await run(agent, hooks=Hooks())
    assert not model.calls
    assert log == []
    assert caught.value.run_data is not None
    assert caught.value.run_data.input == "hi"
    assert caught.value.run_data.last_agent is agent
    assert caught.value.run_data.raw_responses == []


@covers("GR-5")
async def test_a_guardrail_sees_the_input_as_it_was_given(run: Any) -> None:
    seen: list[Any] = []

    @input_guardrail
    def look_at(context: Any, agent: Any, given: Any) -> GuardrailFunctionOutput:
        seen.append((agent.name, given, context.context))
        return PASS

    agent = Agent(name="a", model=ScriptedModel(["done", "done"]), input_guardrails=[look_at])
    items = [{"role": "user", "content": "hi"}]
    await run(agent, "hi", context=7)
    await run(agent, items)
    assert seen == [("a", "hi", 7), ("a", items, None)]


@covers("GR-7", "ER-1")
async def test_a_guardrails_own_exception_is_raised_as_it_is(run: Any) -> None:
    error = KeyError("broken")
    ended: list[str] = []

    @input_guardrail
    async def broken(context: Any, agent: Any, given: Any) -> GuardrailFunctionOutput:
        await checkpoint()
        raise error

    @input_guardrail
    async def never(context: Any, agent: Any, given: Any) -> GuardrailFunctionOutput:
        try:
            await anyio.sleep(math.inf)
        finally:
            ended.append("never")
        return PASS

    with pytest.raises(KeyError) as caught:
        await run(Agent(name="a", model=ScriptedModel([hang()]), input_guardrails=[never, broken]))
    assert caught.value is error
    assert ended == ["never"]
    assert error.run_data.last_agent.name == "a"  # type: ignore[attr-defined]

    @output_guardrail
    def bad(context: Any, agent: Any, output: Any) -> GuardrailFunctionOutput:
        raise error

    with pytest.raises(KeyError):
        await run(Agent(name="a", model=ScriptedModel(["done"]), output_guardrails=[bad]))


@covers("GR-12")
async def test_tool_guardrails_do_not_concern_handoffs(run: Any) -> None:
    log: list[str] = []
    guarded = function_tool(**tool_guards(log))(look.__wrapped__)
    b = Agent(name="b", model=ScriptedModel(["from b"]))
    model = ScriptedModel([[call("transfer_to_b", "h")]])
    result = await run(Agent(name="a", model=model, tools=[guarded], handoffs=[handoff(b)]))
    assert result.final_output == "from b"
    assert log == []
