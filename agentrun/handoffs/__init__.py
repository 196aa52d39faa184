"""Handoffs: how one agent passes the conversation on to another, and what the other gets to see of it.

Source: handoffs.
"""

from agentrun._handoff import Handoff, HandoffInputData, HandoffInputFilter, TAgent, THandoffInput, handoff
from agentrun._handoff_history import (
    HandoffHistoryMapper,
    default_handoff_history_mapper,
    get_conversation_history_wrappers,
    nest_handoff_history,
    reset_conversation_history_wrappers,
    set_conversation_history_wrappers,
)

__all__ = [
    "Handoff",
    "HandoffHistoryMapper",
    "HandoffInputData",
    "HandoffInputFilter",
    "TAgent",
    "THandoffInput",
    "default_handoff_history_mapper",
    "get_conversation_history_wrappers",
    "handoff",
    "nest_handoff_history",
    "reset_conversation_history_wrappers",
    "set_conversation_history_wrappers",
]
