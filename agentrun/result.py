"""What a run gives back.

Source: results.
"""

from agentrun._agent_tool_values import AgentToolInvocation
from agentrun._result import EventStream, RunResult, RunResultBase, RunResultStreaming, ToInputListMode

__all__ = ["AgentToolInvocation", "EventStream", "RunResult", "RunResultBase", "RunResultStreaming", "ToInputListMode"]
