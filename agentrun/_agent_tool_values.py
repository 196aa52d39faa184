"""What a call of an agent tool tells the calling run and its result."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from agentrun._dataclass import FrozenValue

if TYPE_CHECKING:
    from agentrun._result import RunResult, RunResultStreaming

__all__ = ["AgentToolInvocation", "AgentToolPause"]


@attrs.frozen(eq=False, repr=False)
class AgentToolInvocation(FrozenValue):
    """The call of an agent tool that a nested run works for.

    Source: results, `agent_tool_invocation`.
    """

    tool_name: str
    tool_call_id: str
    tool_arguments: str
    """The arguments as the model wrote them, JSON text."""


@attrs.frozen(eq=False, repr=False)
class AgentToolPause:
    """What the tool returns in place of an output while the nested run waits for approvals: the caller waits too."""

    result: RunResult | RunResultStreaming
    """The paused nested run; `interruptions` are what it waits for, `to_state()` continues it."""
