"""The configuration of a run.

Source: running agents, "Run config".
"""

from agentrun._config import (
    CallModelData,
    CallModelInputFilter,
    GuardrailGate,
    ModelInputData,
    OutputGuardrailBlockedMessageFormatter,
    RunConfig,
    RunOptions,
    SessionInputCallback,
    ToolNameCollisionPolicy,
    ToolNotFoundBehavior,
    TracingConfig,
)
from agentrun._failure_values import OutputGuardrailBlockedMessageArgs, ToolErrorFormatterArgs
from agentrun._settings import DEFAULT_MAX_TURNS, ReasoningItemIdPolicy, Timeouts, ToolExecutionConfig
from agentrun._tool_failure import ToolErrorFormatter

__all__ = [  # noqa: RUF022 - sorted as `sorted` does
    "CallModelData",
    "CallModelInputFilter",
    "DEFAULT_MAX_TURNS",
    "GuardrailGate",
    "ModelInputData",
    "OutputGuardrailBlockedMessageArgs",
    "OutputGuardrailBlockedMessageFormatter",
    "ReasoningItemIdPolicy",
    "RunConfig",
    "RunOptions",
    "SessionInputCallback",
    "Timeouts",
    "ToolErrorFormatter",
    "ToolErrorFormatterArgs",
    "ToolExecutionConfig",
    "ToolNameCollisionPolicy",
    "ToolNotFoundBehavior",
    "TracingConfig",
]
