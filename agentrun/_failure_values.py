"""What callbacks are told that are asked when something has gone wrong, and what they answer.

Loaded with the first failure: most programs have none of these callbacks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Literal

import attrs

from agentrun._context import RunContextWrapper, TContext
from agentrun._dataclass import Value

if TYPE_CHECKING:
    from agentrun._agent import Agent
    from agentrun._exceptions import MaxTurnsExceeded, ModelBehaviorError, ModelRefusalError
    from agentrun._items import ModelResponse, RunItem
    from agentrun._responses import TResponseInputItem

__all__ = [
    "OutputGuardrailBlockedMessageArgs",
    "RunErrorData",
    "RunErrorHandlerInput",
    "RunErrorHandlerResult",
    "ToolErrorFormatterArgs",
]

ToolErrorKind = Literal["approval_rejected", "tool_not_found", "tool_exception"]


@attrs.define(eq=False, repr=False)
class ToolErrorFormatterArgs(Value, Generic[TContext]):
    """What a `tool_error_formatter` is told.

    Source: running agents, "Tool error formatter".
    """

    kind: ToolErrorKind
    tool_type: Literal["function", "computer", "shell", "apply_patch", "custom"]
    tool_name: str
    call_id: str
    default_message: str
    """What the model is told if the formatter returns None."""
    run_context: RunContextWrapper[TContext]
    error: Exception | None = None
    """What the tool raised, for the kind "tool_exception"."""


@attrs.define(eq=False, repr=False)
class OutputGuardrailBlockedMessageArgs(Value, Generic[TContext]):
    """What an `output_guardrail_blocked_message` formatter is told.

    Source: guardrails, "Output guardrails".
    """

    default_message: str
    guardrail_name: str
    agent: Agent[TContext]
    run_context: RunContextWrapper[TContext]


@attrs.define(eq=False, repr=False)
class RunErrorData(Value):
    """What an error handler is told of the run.

    Source: running agents, "Error handlers".
    """

    input: str | list[TResponseInputItem]
    new_items: list[RunItem]
    history: list[TResponseInputItem]
    """The whole conversation as input items."""
    output: list[TResponseInputItem]
    """The run's own items as input items."""
    raw_responses: list[ModelResponse]
    last_agent: Agent[Any]


@attrs.define(eq=False, repr=False)
class RunErrorHandlerInput(Value, Generic[TContext]):
    """What an error handler gets.

    Source: running agents, "Error handlers".
    """

    error: MaxTurnsExceeded | ModelRefusalError | ModelBehaviorError
    context: RunContextWrapper[TContext]
    run_data: RunErrorData


@attrs.define(eq=False, repr=False)
class RunErrorHandlerResult(Value):
    """The output a handler supplies instead of the error.

    Source: running agents, "Error handlers".
    """

    final_output: Any
    include_in_history: bool = True
    """Whether the output is added to the run's items as a message."""
