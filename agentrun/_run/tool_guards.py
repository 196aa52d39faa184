"""The guardrails of one tool: asked in order, the first that objects answers in the place of the call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio.lowlevel

from agentrun._exceptions import ToolInputGuardrailTripwireTriggered, ToolOutputGuardrailTripwireTriggered

if TYPE_CHECKING:
    from agentrun._agent import Agent
    from agentrun._context import ToolContext
    from agentrun._guardrail import ToolInputGuardrailResult, ToolOutputGuardrailResult
    from agentrun._tool import FunctionTool


async def check_input(
    context: ToolContext[Any], agent: Agent[Any], tool: FunctionTool, results: list[ToolInputGuardrailResult]
) -> str | None:
    """Ask the tool's input guardrails about a call; return the answer of one that rejects it.

    Every verdict is added to `results`.

    Raises:
        ToolInputGuardrailTripwireTriggered: a guardrail tripped.

    Source: guardrails, "Tool guardrails".
    """
    from agentrun._guardrail import ToolInputGuardrailData, ToolInputGuardrailResult

    data = ToolInputGuardrailData(context=context, agent=agent)
    for guardrail in tool.tool_input_guardrails or ():
        await anyio.lowlevel.checkpoint_if_cancelled()  # no guardrail begins after a cancel
        verdict = await guardrail.run(data)
        results.append(ToolInputGuardrailResult(guardrail, verdict))
        if verdict.behavior["type"] == "raise_exception":
            raise ToolInputGuardrailTripwireTriggered(guardrail, verdict)
        if verdict.behavior["type"] == "reject_content":
            return verdict.behavior["message"]
    return None


async def check_output(
    context: ToolContext[Any],
    agent: Agent[Any],
    tool: FunctionTool,
    output: Any,
    results: list[ToolOutputGuardrailResult],
) -> Any:
    """Ask the tool's output guardrails, each about what the tool returned; return what counts.

    Every verdict is added to `results`.

    Raises:
        ToolOutputGuardrailTripwireTriggered: a guardrail tripped.

    Source: guardrails, "Tool guardrails".
    """
    from agentrun._guardrail import ToolOutputGuardrailData, ToolOutputGuardrailResult

    for guardrail in tool.tool_output_guardrails or ():
        data = ToolOutputGuardrailData(context=context, agent=agent, output=output)
        verdict = await guardrail.run(data)
        results.append(ToolOutputGuardrailResult(guardrail, verdict))
        if verdict.behavior["type"] == "raise_exception":
            raise ToolOutputGuardrailTripwireTriggered(guardrail, verdict)
        if verdict.behavior["type"] == "reject_content":
            return verdict.behavior["message"]
    return output
