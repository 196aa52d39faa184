"""semantics.md L: agents as tools; features 13, AT."""

# Callbacks here are written as a user would write them, without types.
# pyright: reportUnknownLambdaType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import math
from typing import Any

import anyio
import pytest

from agentrun import (
    Agent,
    GuardrailFunctionOutput,
    InputGuardrail,
    MaxTurnsExceeded,
    RunConfig,
    RunHooks,
    Usage,
    UserError,
    function_tool,
)
from agentrun.testing import Gate, ScriptedModel, function_call

covers = pytest.mark.covers


def call(name: str = "inner", call_id: str = "c1", **arguments: Any) -> Any:
    return function_call(name, arguments, call_id=call_id)


def outputs(result: Any) -> list[Any]:
    return [item.output for item in result.new_items if item.type == "tool_call_output_item"]


ASK = {"input": "question"}


def outer(*tools: Any, steps: list[Any] | None = None, **fields: Any) -> Agent[Any]:
    return Agent(name="outer", model=ScriptedModel(steps or [[call(**ASK)], "done"]), tools=list(tools), **fields)


@covers("S-75", "AT-1", "AT-2", "AT-4", "AG-7", "US-3", "RS-1")
async def test_a_nested_run_shares_context_usage_and_configuration_only(run: Any) -> None:
    log: list[Any] = []

    class Hooks(RunHooks[Any]):
        async def on_agent_start(self, context: Any, agent: Any) -> None:
            log.append(f"start {agent.name}")

        async def on_tool_start(self, context: Any, agent: Any, tool: Any) -> None:
            log.append(f"tool {tool.name}")

        async def on_tool_end(self, context: Any, agent: Any, tool: Any, result: Any) -> None:
            log.append(f"end {result}")

    async def check(context: Any, agent: Any, given: Any) -> GuardrailFunctionOutput:
        log.append(f"guardrail {agent.name} {given}")
        return GuardrailFunctionOutput(None, False)

    def instructions(context: Any, agent: Any) -> str:
        log.append(f"context {context.context}")
        return ""

    usage = Usage(requests=1, input_tokens=2, output_tokens=1, total_tokens=3)
    model = ScriptedModel(["answer"], default_usage=usage)
    inner = Agent(name="Inner", model=model, instructions=instructions)
    agent = outer(inner.as_tool(None, None))
    agent.model.set_default_usage(usage)  # type: ignore[union-attr]
    config = RunConfig(input_guardrails=[InputGuardrail(check)])
    result = await run(agent, "hi", context=7, hooks=Hooks(), run_config=config)
    assert outputs(result) == ["answer"]
    assert model.calls[0].input == [{"role": "user", "content": "question"}]
    assert [entry for entry in log if not entry.startswith("guardrail")] == [
        *("start outer", "tool inner", "context 7", "end answer")
    ]
    assert {entry for entry in log if entry.startswith("guardrail")} == {
        "guardrail outer hi",
        "guardrail Inner question",
    }
    assert result.context_wrapper.usage.requests == 3
    assert result.context_wrapper.usage.total_tokens == 9
    assert len(result.raw_responses) == 2
    assert result.items == ["tool_call_item", "tool_call_output_item", "message_output_item"]


@covers("S-75", "AT-2")
async def test_a_nested_run_counts_its_own_turns(run: Any) -> None:
    @function_tool
    async def look() -> str:
        return "saw"

    def inner(turns: int) -> Agent[Any]:
        steps: list[Any] = [[call("look", f"n{n}")] for n in range(turns - 1)]
        return Agent(name="inner", model=ScriptedModel([*steps, "answer"]), tools=[look])

    result = await run(outer(inner(5).as_tool("inner", "")), max_turns=2)
    assert outputs(result) == ["answer"]
    failed = "An error occurred while running the tool. Please try again."
    assert outputs(await run(outer(inner(11).as_tool("inner", "")))) == [failed]
    assert outputs(await run(outer(inner(11).as_tool("inner", "", max_turns=None)))) == ["answer"]


@covers("AT-3")
async def test_a_nested_failure_is_told_to_the_model_or_raised(run: Any) -> None:
    def tool(**options: Any) -> Any:
        return Agent(name="inner", model=ScriptedModel()).as_tool("inner", "", max_turns=0, **options)

    failed = "An error occurred while running the tool. Please try again."
    assert outputs(await run(outer(tool()))) == [failed]
    with pytest.raises(MaxTurnsExceeded) as caught:
        await run(outer(tool(failure_error_function=None)))
    assert caught.value.run_data is not None
    assert caught.value.run_data.last_agent.name == "outer"


@covers("AT-4", "AT-1")
async def test_an_extractor_makes_the_nested_output(run: Any) -> None:
    seen: list[Any] = []

    async def extract(result: Any) -> str:
        seen.append(result.agent_tool_invocation)
        return f"got {result.final_output}"

    inner = Agent(name="inner", model=ScriptedModel(["answer"]))
    result = await run(outer(inner.as_tool("inner", "", custom_output_extractor=extract)))
    assert outputs(result) == ["got answer"]
    assert (seen[0].tool_name, seen[0].tool_call_id) == ("inner", "c1")


@covers("S-76", "RS-2")
async def test_a_paused_nested_run_pauses_the_outer_one_and_goes_on_after_the_decision(run: Any) -> None:
    ran: list[str] = []
    starts: list[str] = []

    class Hooks(RunHooks[Any]):
        async def on_tool_start(self, context: Any, agent: Any, tool: Any) -> None:
            starts.append(f"start {tool.name}")

        async def on_tool_end(self, context: Any, agent: Any, tool: Any, result: Any) -> None:
            starts.append(f"end {tool.name}")

    @function_tool
    async def before() -> str:
        ran.append("before")
        return "b"

    @function_tool(needs_approval=True)
    async def risky() -> str:
        ran.append("risky")
        return "r"

    model = ScriptedModel([[call("before", "n1")], [call("risky", "n2")], "answer"])
    inner = Agent(name="inner", model=model, tools=[before, risky])
    agent = outer(inner.as_tool("inner", ""))
    paused = await run(agent, hooks=Hooks())
    assert paused.items == ["tool_call_item"]
    assert [(item.tool_name, item.agent.name) for item in paused.interruptions] == [("risky", "inner")]
    assert starts == ["start inner"]
    state = paused.to_state()
    state.approve(state.get_interruptions()[0])
    result = await run(agent, state, hooks=Hooks())
    assert result.final_output == "done"
    assert ran == ["before", "risky"]
    assert starts == ["start inner", "end inner"]
    assert outputs(result) == ["answer"]


@covers("S-77", "CN-5")
async def test_cancelling_the_outer_run_cancels_the_nested_one_and_its_tools(run: Any) -> None:
    gate, ended = Gate(), []

    @function_tool
    async def work() -> str:
        try:
            await gate.wait()
        finally:
            ended.append("tool")
        return ""

    inner = Agent(name="inner", model=ScriptedModel([[call("work", "n1")]]), tools=[work])
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as nursery:

            async def cancel_when_running() -> None:
                await gate.wait_reached()
                scope.cancel()

            nursery.start_soon(cancel_when_running)
            await run(outer(inner.as_tool("inner", "")))
    assert scope.cancelled_caught
    assert ended == ["tool"]


@covers("S-75", "S-77", "S-32")
async def test_a_failing_sibling_cancels_a_nested_run(run: Any) -> None:
    ended: list[str] = []

    @function_tool
    async def work() -> str:
        try:
            await anyio.sleep(math.inf)
        finally:
            ended.append("tool")
        return ""

    @function_tool(failure_error_function=None)
    async def broken() -> str:
        await anyio.sleep(1)
        raise ValueError("no")

    inner = Agent(name="inner", model=ScriptedModel([[call("work", "n1")]]), tools=[work])
    agent = outer(inner.as_tool("inner", ""), broken, steps=[[call(**ASK), call("broken", "c2")]])
    with pytest.raises(UserError, match="broken: no"):
        await run(agent)
    assert ended == ["tool"]
