"""An output that no output guardrail has passed is for nobody, whatever kept them from passing it."""

from __future__ import annotations

from typing import Any

import pytest

from agentrun import (
    Agent,
    GuardrailFunctionOutput,
    InMemorySession,
    RunConfig,
    RunHooks,
    Runner,
    function_tool,
    output_guardrail,
    run_data,
)
from agentrun.testing import ScriptedModel, assistant_message, function_call

covers = pytest.mark.covers


@function_tool
async def look() -> str:
    """Look."""
    return "a secret"


@output_guardrail
async def passing(context: Any, agent: Any, output: Any) -> GuardrailFunctionOutput:
    return GuardrailFunctionOutput({"seen": output}, tripwire_triggered=False)


@output_guardrail
async def failing(context: Any, agent: Any, output: Any) -> GuardrailFunctionOutput:
    raise OSError("the judge is away")


class Failing(RunHooks[Any]):
    async def on_agent_end(self, context: Any, agent: Any, output: Any) -> None:
        raise OSError("the hook is broken")


TOOL: list[Any] = [assistant_message("a secret said too"), function_call("look", {}, call_id="c")]
MESSAGE: list[Any] = [assistant_message("a secret")]


async def failed(run: Any, reply: list[Any], hooks: Any, session: Any, **options: Any) -> Any:
    agent = Agent("a", model=ScriptedModel([reply]), tools=[look], tool_use_behavior="stop_on_first_tool", **options)
    with pytest.raises(OSError, match=r"the judge is away|the hook is broken") as caught:
        await run(agent, hooks=hooks, session=session)
    return run_data(caught.value)


@covers("GR-9", "S-63")
@pytest.mark.parametrize("reply", [TOOL, MESSAGE], ids=["tool", "message"])
@pytest.mark.parametrize("hooks", [Failing(), None], ids=["hook", "guardrail"])
async def test_a_failure_before_the_verdict_withholds_the_output(run: Any, hooks: Any, reply: list[Any]) -> None:
    session = InMemorySession()
    guardrails = [passing] if hooks is not None else [passing, failing]
    data = await failed(run, reply, hooks, session, output_guardrails=guardrails)
    for told in (data.new_items, await session.get_items()):
        assert "a secret" not in str(told)
    kept = [item.type for item in data.new_items]
    assert kept == (["tool_call_item", "tool_call_output_item"] if reply is TOOL else [])
    if reply is TOOL:
        assert data.new_items[1].output == "Output withheld: no output guardrail has passed it."
        assert "a secret" not in str(data.output_guardrail_results), "verdicts quote what they are about"


@covers("GR-9")
async def test_guardrails_of_the_configuration_withhold_it_too() -> None:
    agent = Agent[Any](
        "a",
        model=ScriptedModel([[function_call("look", {}, call_id="c")]]),
        tools=[look],
        tool_use_behavior="stop_on_first_tool",
    )
    with pytest.raises(OSError, match="the judge is away") as caught:
        await Runner.run(agent, "hi", run_config=RunConfig(output_guardrails=[failing]))
    assert "a secret" not in str(run_data(caught.value).new_items)  # type: ignore[union-attr]


@covers("GR-9")
async def test_without_output_guardrails_a_failing_hook_withholds_nothing(run: Any) -> None:
    data = await failed(run, [function_call("look", {}, call_id="c")], Failing(), None)
    assert data.new_items[1].output == "a secret"
