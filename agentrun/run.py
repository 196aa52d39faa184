"""Running agents: the runner and all that configures a run.

Source: running agents.
"""

from agentrun._config import (
    CallModelData,
    CallModelInputFilter,
    GuardrailGate,
    ModelInputData,
    OutputGuardrailBlockedMessageFormatter,
    RunConfig,
    RunOptions,
    ToolNameCollisionPolicy,
    ToolNotFoundBehavior,
    TracingConfig,
)
from agentrun._context import RunContextWrapper
from agentrun._failure_values import OutputGuardrailBlockedMessageArgs, ToolErrorFormatterArgs
from agentrun._run.leave import CapturedRun, capture_run
from agentrun._runner import AgentRunner, Runner, get_default_agent_runner, set_default_agent_runner
from agentrun._settings import DEFAULT_MAX_TURNS, ReasoningItemIdPolicy, Timeouts, ToolExecutionConfig
from agentrun._state import RunState
from agentrun._tool_failure import ToolErrorFormatter

__all__ = [  # noqa: RUF022 - sorted as `sorted` does
    "AgentRunner",
    "CallModelData",
    "CallModelInputFilter",
    "CapturedRun",
    "DEFAULT_MAX_TURNS",
    "GuardrailGate",
    "ModelInputData",
    "OutputGuardrailBlockedMessageArgs",
    "OutputGuardrailBlockedMessageFormatter",
    "ReasoningItemIdPolicy",
    "RunConfig",
    "RunContextWrapper",
    "RunOptions",
    "RunState",
    "Runner",
    "Timeouts",
    "ToolErrorFormatter",
    "ToolErrorFormatterArgs",
    "ToolExecutionConfig",
    "ToolNameCollisionPolicy",
    "ToolNotFoundBehavior",
    "TracingConfig",
    "capture_run",
    "get_default_agent_runner",
    "set_default_agent_runner",
]
