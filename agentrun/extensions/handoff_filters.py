"""Input filters for handoffs.

Source: handoffs, "Input filters".
"""

from __future__ import annotations

from agentrun._handoff import HandoffInputData
from agentrun._handoff_history import default_handoff_history_mapper, nest_handoff_history
from agentrun._items import CompactionItem, InputItem, MessageOutputItem, RunItem
from agentrun._responses import TResponseInputItem

__all__ = ["default_handoff_history_mapper", "nest_handoff_history", "remove_all_tools"]

_TOOL_TYPES = frozenset(
    {
        "apply_patch_call",
        "apply_patch_call_output",
        "code_interpreter_call",
        "computer_call",
        "computer_call_output",
        "custom_tool_call",
        "custom_tool_call_output",
        "file_search_call",
        "function_call",
        "function_call_output",
        "hosted_tool_call",
        "image_generation_call",
        "local_shell_call",
        "local_shell_call_output",
        "mcp_approval_request",
        "mcp_approval_response",
        "mcp_call",
        "mcp_list_tools",
        "program",
        "program_output",
        "reasoning",
        "shell_call",
        "shell_call_output",
        "tool_search_call",
        "tool_search_output",
        "web_search_call",
    }
)


def remove_all_tools(handoff_input_data: HandoffInputData) -> HandoffInputData:
    """Return the conversation without any traces of tools: only messages of people and models are left.

    Calls, outputs, handoffs, approvals, and the reasoning between them go, since a provider refuses reasoning without
    the call it led to.

    Source: handoffs, `handoff_filters.remove_all_tools`.
    """
    history = handoff_input_data.input_history
    items = handoff_input_data.input_items
    return handoff_input_data.clone(
        input_history=history if isinstance(history, str) else tuple(item for item in history if _is_talk(item)),
        pre_handoff_items=_talk(handoff_input_data.pre_handoff_items),
        new_items=_talk(handoff_input_data.new_items),
        input_items=None if items is None else _talk(items),
    )


def _is_talk(item: TResponseInputItem) -> bool:
    return item.get("type") not in _TOOL_TYPES


def _talk(items: tuple[RunItem, ...]) -> tuple[RunItem, ...]:
    return tuple(item for item in items if isinstance(item, MessageOutputItem | InputItem | CompactionItem))
