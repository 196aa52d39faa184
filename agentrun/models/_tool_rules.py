"""What the Responses API asks of the tools of one request, beyond what each tool can say of itself. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from agentrun._exceptions import UserError
from agentrun._function_tool import FunctionTool
from agentrun._hosted_tools import (
    CodeInterpreterTool,
    FileSearchTool,
    HostedMCPTool,
    ProgrammaticToolCallingTool,
    ToolSearchTool,
)

if TYPE_CHECKING:
    from agentrun._hosted_tools import Tool

__all__ = ["check_tools"]

_MOST_RESULTS = 50


def check_tools(tools: Sequence[Tool], choice: Any, *, is_prompted: bool) -> None:
    """Refuse tools that could not be called, and choices of tools that cannot be chosen.

    Args:
        tools: the tools of the request.
        choice: `ModelSettings.tool_choice`.
        is_prompted: whether a prompt at the provider may bring tools too, which nobody here knows.

    Raises:
        UserError: one of them; the message says what to do.

    Source: tools, "Tool search" and "Programmatic tool calling".
    """
    has_programs = any(isinstance(tool, ProgrammaticToolCallingTool) for tool in tools)
    if choice == "programmatic_tool_calling" and not has_programs:
        raise UserError("tool_choice is 'programmatic_tool_calling'; add ProgrammaticToolCallingTool() to the tools")
    if not tools:
        return
    _check_search(tools, is_prompted)
    _check_programs(tools, is_prompted)
    for tool in tools:
        most: Any = tool.max_num_results if isinstance(tool, FileSearchTool) else None
        if most is not None and (isinstance(most, bool) or not isinstance(most, int) or not 0 <= most <= _MOST_RESULTS):
            raise UserError(
                f"FileSearchTool.max_num_results must be a whole number from 1 to {_MOST_RESULTS}, or None or 0 for "
                f"the provider's default, got {most!r}"
            )
    if isinstance(choice, str):
        _check_name(choice, [tool for tool in tools if isinstance(tool, FunctionTool)])


def _check_search(tools: Sequence[Tool], is_prompted: bool) -> None:
    searches = sum(isinstance(tool, ToolSearchTool) for tool in tools)
    if searches > 1:
        raise UserError(f"a request may have one ToolSearchTool, got {searches}; leave the others out")
    deferred = [tool for tool in tools if _is_deferred(tool)]
    if deferred and not searches:
        raise UserError(f"{deferred[0]!r} is loaded only when the model finds it; add ToolSearchTool() to the tools")
    grouped = any(isinstance(tool, FunctionTool) and tool.namespace is not None for tool in tools)
    if searches and not (deferred or grouped or is_prompted):
        raise UserError(
            "ToolSearchTool() finds nothing: give a tool defer_loading=True, put tools into a tool_namespace(), or "
            "leave it out"
        )


def _is_deferred(tool: Tool) -> bool:
    if isinstance(tool, HostedMCPTool):
        return bool(tool.tool_config.get("defer_loading"))
    return isinstance(tool, FunctionTool) and tool.defer_loading


def _check_programs(tools: Sequence[Tool], is_prompted: bool) -> None:
    runners = sum(isinstance(tool, ProgrammaticToolCallingTool) for tool in tools)
    if runners > 1:
        raise UserError(f"a request may have one ProgrammaticToolCallingTool, got {runners}; leave the others out")
    callable_by_programs = False
    for tool in tools:
        callers = _callers(tool)
        if "programmatic" not in callers:
            continue
        callable_by_programs = True
        if "direct" not in callers and not runners:
            raise UserError(
                f"{tool!r} may be called by programs only; add ProgrammaticToolCallingTool() to the tools, or 'direct' "
                "to its allowed_callers"
            )
    has_search = any(isinstance(tool, ToolSearchTool) for tool in tools)
    if runners and not (callable_by_programs or has_search or is_prompted):
        raise UserError(
            "ProgrammaticToolCallingTool() has nothing to call: add 'programmatic' to a tool's allowed_callers, or "
            "leave it out"
        )


def _callers(tool: Tool) -> Sequence[str]:
    if isinstance(tool, FunctionTool):
        return tool.allowed_callers or ()
    if isinstance(tool, HostedMCPTool | CodeInterpreterTool):
        return tool.tool_config.get("allowed_callers") or ()
    return ()


def _check_name(choice: str, functions: Sequence[FunctionTool]) -> None:
    """Refuse the name of what the model cannot call under it: a namespace, a tool inside of one, a tool to be found."""
    if any(tool.namespace is None and not tool.defer_loading and tool.name == choice for tool in functions):
        return
    for tool in functions:
        if tool.namespace is not None and choice in (tool.name, tool.namespace):
            raise UserError(
                f"tool_choice is {choice!r}, and tools of a namespace are chosen by their whole name; pass "
                f"{tool.qualified_name!r}, 'auto' or 'required'"
            )
        if tool.namespace is None and tool.name == choice:
            raise UserError(
                f"tool_choice is {choice!r}, which is loaded only when the model finds it; pass 'auto' or 'required'"
            )
