"""Agents.

Source: agents.
"""

from agentrun._agent import Agent, AgentBase, MCPConfig
from agentrun._agent_tool import AgentToolStreamEvent
from agentrun._agent_tool_values import AgentToolInvocation
from agentrun._tool import StopAtTools, ToolsToFinalOutputFunction, ToolsToFinalOutputResult

__all__ = [
    "Agent",
    "AgentBase",
    "AgentToolInvocation",
    "AgentToolStreamEvent",
    "MCPConfig",
    "StopAtTools",
    "ToolsToFinalOutputFunction",
    "ToolsToFinalOutputResult",
]
