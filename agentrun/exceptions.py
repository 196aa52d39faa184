"""Exceptions: all that a run raises, and `run_data`, which finds what a failed run had done.

Source: running agents, "Exceptions".
"""

from agentrun._exceptions import (
    AgentsException,
    InputGuardrailTripwireTriggered,
    MaxTurnsExceeded,
    MCPToolCancellationError,
    ModelBehaviorError,
    ModelError,
    ModelLimitError,
    ModelRefusalError,
    ModelStatusError,
    ModelTimeoutError,
    ModelTransportError,
    OutputGuardrailTripwireTriggered,
    RunErrorDetails,
    RunTimeoutError,
    SessionBusy,
    ToolCancelledError,
    ToolInputGuardrailTripwireTriggered,
    ToolOutputGuardrailTripwireTriggered,
    ToolTimeoutError,
    UserError,
    run_data,
)
from agentrun._tool_failure import AgentToolDepthError

__all__ = [
    "AgentToolDepthError",
    "AgentsException",
    "InputGuardrailTripwireTriggered",
    "MCPToolCancellationError",
    "MaxTurnsExceeded",
    "ModelBehaviorError",
    "ModelError",
    "ModelLimitError",
    "ModelRefusalError",
    "ModelStatusError",
    "ModelTimeoutError",
    "ModelTransportError",
    "OutputGuardrailTripwireTriggered",
    "RunErrorDetails",
    "RunTimeoutError",
    "SessionBusy",
    "ToolCancelledError",
    "ToolInputGuardrailTripwireTriggered",
    "ToolOutputGuardrailTripwireTriggered",
    "ToolTimeoutError",
    "UserError",
    "run_data",
]
