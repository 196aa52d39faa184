"""The context that a tool call is handed.

Source: context management.
"""

from agentrun._context import ToolContext

__all__ = ["ToolContext"]
