"""Tools as an agent and a run see them: their results, and which of them a model is shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

import attrs

from agentrun._dataclass import Dataclass, Value
from agentrun._fields import new_list
from agentrun._function_tool import (
    FunctionTool,
    FunctionToolCustomDataContext,
    FunctionToolCustomDataExtractor,
    ToolCaller,
    ToolEnabled,
    ToolFunction,
    ToolNeedsApproval,
    ToolTimeoutBehavior,
    function_tool,
    tool_namespace,
)
from agentrun._tool_failure import (
    DEFAULT_APPROVAL_REJECTION_MESSAGE,
    DEFAULT_TOOL_ERROR_MESSAGE,
    IMPLICIT_FAILURE,
    ImplicitFailure,
    OnFailure,
    ToolArgumentsError,
    ToolErrorFormatter,
    ToolErrorFunction,
    ToolInvoker,
    default_tool_error_function,
    failure_output,
    tool_error_message,
    with_failure_function,
)
from agentrun._tool_output import (
    MAX_OUTPUT_CHARACTERS,
    ToolOrigin,
    ToolOriginType,
    tool_output_to_wire,
)

if TYPE_CHECKING:
    from agentrun._agent import AgentBase
    from agentrun._context import RunContextWrapper, ToolContext
    from agentrun._hosted_tools import Tool
    from agentrun._items import RunItem, ToolApprovalItem
    from agentrun._settings import MaybeAwaitable

__all__ = [
    "DEFAULT_APPROVAL_REJECTION_MESSAGE",
    "DEFAULT_TOOL_ERROR_MESSAGE",
    "IMPLICIT_FAILURE",
    "MAX_OUTPUT_CHARACTERS",
    "FunctionTool",
    "FunctionToolCustomDataContext",
    "FunctionToolCustomDataExtractor",
    "FunctionToolResult",
    "ImplicitFailure",
    "OnFailure",
    "StopAtTools",
    "ToolArgumentsError",
    "ToolCaller",
    "ToolEnabled",
    "ToolErrorFormatter",
    "ToolErrorFunction",
    "ToolFunction",
    "ToolInvoker",
    "ToolNeedsApproval",
    "ToolOrigin",
    "ToolOriginType",
    "ToolTimeoutBehavior",
    "ToolsToFinalOutputFunction",
    "ToolsToFinalOutputResult",
    "default_tool_error_function",
    "enabled_tools",
    "failure_output",
    "function_tool",
    "tool_error_message",
    "tool_failure_output",
    "tool_namespace",
    "tool_output_to_wire",
    "tools_to_wire",
    "with_failure_function",
]


@attrs.define(eq=False, repr=False)
class FunctionToolResult(Dataclass):
    """What one function call of a turn came to; given to a `tool_use_behavior` function in call order.

    Source: agents, "Tool use behavior".
    """

    tool: FunctionTool
    output: Any
    """What the tool returned, or the text that stands for it: a failure, a timeout, a rejection."""
    run_item: RunItem | None
    """The output's item, or the approval item of a call that waits; None when the call made none."""
    interruptions: list[ToolApprovalItem] = attrs.field(factory=new_list)
    """The approvals a nested run waits for."""
    agent_run_result: Any = None
    """The result of the nested run, for agents used as tools."""


@attrs.define(eq=False, repr=False)
class ToolsToFinalOutputResult(Value):
    """What a `tool_use_behavior` function decides: to end the run with an output, or to ask the model again.

    Source: agents, "Tool use behavior".
    """

    is_final_output: bool
    final_output: Any | None = None
    """The run's output; only read when `is_final_output` is True."""


ToolsToFinalOutputFunction: TypeAlias = (
    "Callable[[RunContextWrapper[Any], list[FunctionToolResult]], MaybeAwaitable[ToolsToFinalOutputResult]]"
)
"""Decides after each turn with function calls whether their results end the run."""


class StopAtTools(TypedDict):
    """A `tool_use_behavior` that ends the run at the first call of one of these tools.

    Source: agents, "Tool use behavior".
    """

    stop_at_tool_names: list[str]
    """Names, or names with a namespace before them."""


async def tool_failure_output(tool: FunctionTool, context: ToolContext[Any], error: Exception) -> Any:
    """Return the output that the tool's failure function makes of `error`, for failures `on_invoke_tool` cannot see.

    Raises:
        Exception: `error` itself, when the tool has no failure function; else whatever that function raises.
    """
    if tool.on_failure is None:
        raise error
    return await failure_output(context, error, tool.on_failure)


async def enabled_tools(tools: Sequence[Tool], context: RunContextWrapper[Any], agent: AgentBase[Any]) -> list[Tool]:
    """Return those of `tools` that the model may see now, in their order.

    Sync `is_enabled` functions are called one after another, then the async ones run side by side. It does not
    checkpoint when there is nothing to wait for.

    Raises:
        Exception: whatever an `is_enabled` function raises.

    Source: tools, "Conditional tool enabling".
    """
    tools = list(tools)  # what a condition does to the agent's list is for the next turn
    conditions = [tool.is_enabled if isinstance(tool, FunctionTool) else True for tool in tools]
    if all(condition is True for condition in conditions):
        return tools
    from agentrun._enabled import each_enabled

    shown = await each_enabled(conditions, context, agent)
    return [tool for tool, one in zip(tools, shown, strict=True) if one]


def tools_to_wire(tools: Sequence[Tool]) -> list[dict[str, Any]]:
    """Return `tools` as a request's `tools`; those of one namespace become one group where its first tool stands.

    Raises:
        UserError: a tool cannot be sent as it is; the message says why.
    """
    found: list[dict[str, Any]] = []
    groups: dict[str, dict[str, Any]] = {}
    for tool in tools:
        if not isinstance(tool, FunctionTool) or tool.namespace is None:
            found.append(tool.to_wire())
            continue
        group = groups.get(tool.namespace)
        if group is None:
            group = groups[tool.namespace] = {
                "type": "namespace",
                "name": tool.namespace,
                "description": tool.namespace_description or "",
                "tools": [],
            }
            found.append(group)
        group["tools"].append(tool.to_wire())
    return found
