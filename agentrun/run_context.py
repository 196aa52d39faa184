"""The context of a run: what tools, hooks and guardrails are handed.

Source: context management.
"""

from agentrun._context import AgentHookContext, RunContextWrapper, TContext
from agentrun._items import ToolApprovalItem
from agentrun._responses import TResponseInputItem

__all__ = ["AgentHookContext", "RunContextWrapper", "TContext", "TResponseInputItem", "ToolApprovalItem"]
