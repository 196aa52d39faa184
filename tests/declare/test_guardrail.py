"""Declaring guardrails: the four kinds, their decorators, names and verdicts (GR-1, GR-8, GR-10)."""

from __future__ import annotations

import functools
from typing import Any

import anyio
import pytest

from agentrun import (
    Agent,
    GuardrailFunctionOutput,
    InputGuardrail,
    OutputGuardrail,
    RunContextWrapper,
    ToolContext,
    ToolGuardrailFunctionOutput,
    ToolInputGuardrail,
    ToolInputGuardrailData,
    ToolOutputGuardrail,
    ToolOutputGuardrailData,
    UserError,
    input_guardrail,
    output_guardrail,
    tool_input_guardrail,
    tool_output_guardrail,
)

CONTEXT: RunContextWrapper[Any] = RunContextWrapper("ada")
AGENT = Agent("helper")


def tool_context() -> ToolContext[Any]:
    return ToolContext.from_agent_context(CONTEXT, "call_1", tool_name="search", tool_arguments='{"q": 1}')


# GR-1: input guardrails


async def test_an_input_guardrail_judges_the_input_with_context_and_agent() -> None:
    seen: list[Any] = []

    @input_guardrail
    def calm(context: RunContextWrapper[Any], agent: Agent[Any], input: Any) -> GuardrailFunctionOutput:
        seen.append((context.context, agent.name, input))
        return GuardrailFunctionOutput(output_info={"calm": False}, tripwire_triggered=True)

    result = await calm.run(AGENT, "AAH", CONTEXT)
    assert isinstance(calm, InputGuardrail)
    assert seen == [("ada", "helper", "AAH")]
    assert result.guardrail is calm
    assert result.output == GuardrailFunctionOutput({"calm": False}, True)


async def test_an_async_guardrail_is_awaited() -> None:
    @input_guardrail(name="slow one", run_in_parallel=False)
    async def slow(context: RunContextWrapper[Any], agent: Agent[Any], input: Any) -> GuardrailFunctionOutput:
        await anyio.sleep(1)
        return GuardrailFunctionOutput("late", False)

    assert (slow.get_name(), slow.run_in_parallel) == ("slow one", False)
    assert (await slow.run(AGENT, "hi", CONTEXT)).output.output_info == "late"


def test_a_guardrail_runs_beside_the_model_unless_told_otherwise() -> None:
    assert InputGuardrail(lambda context, agent, given: GuardrailFunctionOutput(None, False)).run_in_parallel is True


def test_a_guardrail_is_named_after_its_function() -> None:
    def calm(context: Any, agent: Any, input: Any) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(None, False)

    class Calm:
        def __call__(self, context: Any, agent: Any, input: Any) -> GuardrailFunctionOutput:
            return GuardrailFunctionOutput(None, False)

    assert InputGuardrail(calm).get_name() == "calm"
    assert InputGuardrail(calm, "peace").get_name() == "peace"
    assert InputGuardrail(Calm()).get_name() == "Calm"
    assert InputGuardrail(functools.partial(calm)).get_name() == "calm"


@pytest.mark.parametrize("kind", [InputGuardrail, OutputGuardrail, ToolInputGuardrail, ToolOutputGuardrail])
def test_a_guardrail_function_must_be_callable(kind: Any) -> None:
    with pytest.raises(UserError, match=f"{kind.__name__} got guardrail_function 'calm', which cannot be called"):
        kind("calm")


@pytest.mark.parametrize("returned", [None, True, ToolGuardrailFunctionOutput.allow()])
async def test_a_guardrail_that_returns_something_else_is_told_what_to_return(returned: Any) -> None:
    def calm(*arguments: Any) -> Any:
        return returned

    expected = (
        f"guardrail 'calm' returned {returned!r}, expected a GuardrailFunctionOutput; "
        "return GuardrailFunctionOutput(output_info=..., tripwire_triggered=...)"
    )
    with pytest.raises(UserError) as caught:
        await InputGuardrail(calm).run(AGENT, "hi", CONTEXT)
    assert str(caught.value) == f"input {expected}"
    with pytest.raises(UserError) as caught:
        await OutputGuardrail(calm).run(CONTEXT, AGENT, "hi")
    assert str(caught.value) == f"output {expected}"


async def test_what_a_guardrail_raises_is_raised_as_it_is() -> None:
    @input_guardrail
    async def broken(context: RunContextWrapper[Any], agent: Agent[Any], input: Any) -> GuardrailFunctionOutput:
        raise ZeroDivisionError("inside")

    with pytest.raises(ZeroDivisionError, match="inside"):
        await broken.run(AGENT, "hi", CONTEXT)


# GR-8: output guardrails


async def test_an_output_guardrail_keeps_output_and_agent_in_its_result() -> None:
    @output_guardrail(name="short")
    async def brief(context: RunContextWrapper[Any], agent: Agent[Any], output: str) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(len(output), len(output) > 3)

    @output_guardrail
    def bare(context: RunContextWrapper[Any], agent: Agent[Any], output: str) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(None, False)

    result = await brief.run(CONTEXT, AGENT, "long text")
    assert (brief.get_name(), bare.get_name()) == ("short", "bare")
    assert (result.guardrail, result.agent_output, result.agent) == (brief, "long text", AGENT)
    assert result.output == GuardrailFunctionOutput(9, True)


# GR-10: tool guardrails


def test_a_tool_verdict_says_what_happens_next() -> None:
    assert ToolGuardrailFunctionOutput.allow("fine").behavior == {"type": "allow"}
    assert ToolGuardrailFunctionOutput("fine").behavior == {"type": "allow"}
    rejected = ToolGuardrailFunctionOutput.reject_content("no secrets", {"found": 1})
    assert (rejected.behavior, rejected.output_info) == (
        {"type": "reject_content", "message": "no secrets"},
        {"found": 1},
    )
    assert ToolGuardrailFunctionOutput.raise_exception().behavior == {"type": "raise_exception"}


async def test_a_tool_input_guardrail_judges_the_call() -> None:
    @tool_input_guardrail
    def no_ones(data: ToolInputGuardrailData) -> ToolGuardrailFunctionOutput:
        assert data.agent is AGENT
        return ToolGuardrailFunctionOutput.reject_content(data.context.tool_arguments)

    @tool_input_guardrail(name="gate")
    async def gate(data: ToolInputGuardrailData) -> ToolGuardrailFunctionOutput:
        return ToolGuardrailFunctionOutput.allow()

    verdict = await no_ones.run(ToolInputGuardrailData(context=tool_context(), agent=AGENT))
    assert verdict.behavior == {"type": "reject_content", "message": '{"q": 1}'}
    assert (await gate.run(ToolInputGuardrailData(tool_context(), AGENT))).behavior == {"type": "allow"}
    assert (no_ones.get_name(), gate.get_name()) == ("no_ones", "gate")


async def test_a_tool_output_guardrail_judges_what_the_tool_returned() -> None:
    @tool_output_guardrail
    async def no_secrets(data: ToolOutputGuardrailData) -> ToolGuardrailFunctionOutput:
        assert isinstance(data, ToolInputGuardrailData)
        return ToolGuardrailFunctionOutput.raise_exception(data.output)

    @tool_output_guardrail(name="gate")
    def gate(data: ToolOutputGuardrailData) -> ToolGuardrailFunctionOutput:
        return ToolGuardrailFunctionOutput.allow()

    data = ToolOutputGuardrailData(context=tool_context(), agent=AGENT, output="sk-1")
    assert (await no_secrets.run(data)).output_info == "sk-1"
    assert (gate.get_name(), (await gate.run(data)).behavior) == ("gate", {"type": "allow"})


async def test_a_tool_guardrail_that_returns_nothing_is_told_what_to_return() -> None:
    def forgetful(data: Any) -> Any:
        return None

    with pytest.raises(
        UserError, match="tool input guardrail 'forgetful' returned None, expected a ToolGuardrailFunctionOutp"
    ):
        await ToolInputGuardrail(forgetful).run(ToolInputGuardrailData(tool_context(), AGENT))
    with pytest.raises(
        UserError, match=r"tool output guardrail 'forgetful' returned None.*return allow\(\), reject_content"
    ):
        await ToolOutputGuardrail(forgetful).run(ToolOutputGuardrailData(tool_context(), AGENT, "x"))
