"""The configuration of a run, and the callbacks a caller may hang into it."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, TypedDict

import attrs

from agentrun._context import RunContextWrapper, TContext
from agentrun._dataclass import Value
from agentrun._fields import flag, function, list_of, mapping, one_of, required_text, text
from agentrun._settings import (
    MaybeAwaitable,
    ModelSettings,
    ReasoningItemIdPolicy,
    SessionSettings,
    Timeouts,
    ToolExecutionConfig,
    from_plain,
    positive_seconds,
)

if TYPE_CHECKING:
    from agentrun._agent import Agent
    from agentrun._failure_values import OutputGuardrailBlockedMessageArgs, RunErrorHandlerInput, RunErrorHandlerResult
    from agentrun._guardrail import InputGuardrail, OutputGuardrail
    from agentrun._handoff import HandoffInputFilter
    from agentrun._handoff_history import HandoffHistoryMapper
    from agentrun._hooks import RunHooks
    from agentrun._responses import TResponseInputItem
    from agentrun._tool import ToolErrorFormatter
    from agentrun.memory import Session
    from agentrun.models.interface import Model, ModelProvider

GuardrailGate = Literal["tools", "output", "off"]
SessionBusyPolicy = Literal["wait", "reject"]
ToolNotFoundBehavior = Literal["raise_error", "return_error_to_model"]
ToolNameCollisionPolicy = Literal["warn", "error"]


@attrs.define(eq=False, repr=False)
class ModelInputData(Value):
    """What is about to be sent to a model.

    Source: running agents, `call_model_input_filter`.
    """

    input: list[TResponseInputItem]
    """The conversation, a list of its own."""
    instructions: str | None


@attrs.define(eq=False, repr=False)
class CallModelData(Value, Generic[TContext]):
    """What a `call_model_input_filter` is told.

    Source: running agents, `call_model_input_filter`.
    """

    model_data: ModelInputData
    agent: Agent[TContext]
    context: TContext | None
    """The caller's context object."""


CallModelInputFilter: TypeAlias = "Callable[[CallModelData[Any]], MaybeAwaitable[ModelInputData]]"

SessionInputCallback: TypeAlias = (
    "Callable[[list[TResponseInputItem], list[TResponseInputItem]], MaybeAwaitable[list[TResponseInputItem]]]"
)


OutputGuardrailBlockedMessageFormatter: TypeAlias = (
    "Callable[[OutputGuardrailBlockedMessageArgs[Any]], MaybeAwaitable[str | None]]"
)


class TracingConfig(TypedDict, total=False):
    """How a run is traced.

    Source: tracing.
    """

    api_key: str
    include_task_and_turn_spans: bool


def _default_provider() -> ModelProvider:
    from agentrun.models.providers import MultiProvider

    return MultiProvider()


def _include_sensitive_data() -> bool:
    value = os.environ.get("OPENAI_AGENTS_TRACE_INCLUDE_SENSITIVE_DATA", "true")
    return value.strip().lower() in ("1", "true", "yes", "on")


def _model_settings(value: Any) -> ModelSettings | None:
    return None if value is None else from_plain(ModelSettings, value, "model_settings")


def _session_settings(value: Any) -> SessionSettings | None:
    return None if value is None else from_plain(SessionSettings, value, "session_settings")


def _tool_execution(value: Any) -> ToolExecutionConfig | None:
    return None if value is None else from_plain(ToolExecutionConfig, value, "tool_execution")


def _input_guardrail() -> type:
    from agentrun._guardrail import InputGuardrail

    return InputGuardrail


def _output_guardrail() -> type:
    from agentrun._guardrail import OutputGuardrail

    return OutputGuardrail


def _check_model(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is None or isinstance(value, str):
        return
    from agentrun.models.interface import Model

    if not isinstance(value, Model):
        raise TypeError(f"RunConfig.model must be a model's name, a Model or None, got {value!r}; derive from Model")


def _check_provider(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is not None and (isinstance(value, type) or not hasattr(value, "get_model")):
        raise TypeError(
            f"RunConfig.model_provider must be an object with get_model(name), got {value!r}; make one, as in "
            "MultiProvider(), or give a model's name as model="
        )


def _check_blocked_message(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, str):
        function("OutputGuardrailBlockedMessageArgs")(instance, attribute, value)
    elif not value:
        raise ValueError(f"{attribute.name} is '', expected a text; leave it None for the default message")


def _timeouts(value: Timeouts | Mapping[str, Any] | None) -> Timeouts:
    return Timeouts.coerce(value)


def _event_buffer(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{attribute.name} must be a whole number of at least 1, got {value!r}")


@attrs.define(eq=False, repr=False)
class RunConfig(Value):
    """Everything about a run that does not belong to one agent.

    Raises:
        TypeError: a field holds an object of the wrong kind, a function that cannot be called as it will be, or a dict
            with unknown keys.
        ValueError: a field holds a plain value that cannot be meant.

    Source: running agents, "Run config".
    """

    model: str | Model | None = attrs.field(default=None, validator=_check_model)
    """The model of every agent of the run; None leaves each agent its own."""
    model_provider: ModelProvider = attrs.field(factory=_default_provider, repr=False, validator=_check_provider)
    """Finds models by name."""
    model_settings: ModelSettings | None = attrs.field(default=None, converter=_model_settings)
    """Settings that win over each agent's own, field by field."""
    handoff_input_filter: HandoffInputFilter | None = attrs.field(default=None, validator=function("HandoffInputData"))
    """Filters what the next agent sees, for handoffs without a filter of their own."""
    nest_handoff_history: bool = attrs.field(default=False, validator=flag)
    """Fold the conversation before a handoff into one summary message."""
    handoff_history_mapper: HandoffHistoryMapper | None = attrs.field(default=None, validator=function("history"))
    """Makes that summary; the default one numbers the former items."""
    input_guardrails: list[InputGuardrail[Any]] | None = attrs.field(
        default=None, validator=list_of(_input_guardrail, "decorate the function with @input_guardrail")
    )
    """Input guardrails beside the starting agent's own."""
    output_guardrails: list[OutputGuardrail[Any]] | None = attrs.field(
        default=None, validator=list_of(_output_guardrail, "decorate the function with @output_guardrail")
    )
    """Output guardrails beside the final agent's own."""
    tracing_disabled: bool = attrs.field(default=False, validator=flag)
    tracing: TracingConfig | None = attrs.field(default=None, repr=False, validator=mapping)
    trace_include_sensitive_data: bool = attrs.field(factory=_include_sensitive_data, validator=flag)
    workflow_name: str = attrs.field(default="Agent workflow", validator=required_text)
    trace_id: str | None = attrs.field(default=None, validator=text)
    group_id: str | None = attrs.field(default=None, validator=text)
    trace_metadata: dict[str, Any] | None = attrs.field(default=None, validator=mapping)
    session_input_callback: SessionInputCallback | None = attrs.field(
        default=None, validator=function("history", "new_input")
    )
    """Makes the model's input from the session's history and the new input."""
    call_model_input_filter: CallModelInputFilter | None = attrs.field(
        default=None, validator=function("CallModelData")
    )
    """Changes what is sent to the model, each turn, without changing the run's own record."""
    tool_error_formatter: ToolErrorFormatter | None = attrs.field(
        default=None, validator=function("ToolErrorFormatterArgs")
    )
    """Words what the model is told of a refused, unknown or failed call."""
    session_settings: SessionSettings | None = attrs.field(default=None, converter=_session_settings)
    reasoning_item_id_policy: ReasoningItemIdPolicy | None = attrs.field(
        default=None, validator=attrs.validators.optional(one_of("preserve", "omit"))
    )
    """"omit" leaves the ids of reasoning items out of what goes back to the model."""
    sandbox: Any | None = None
    tool_execution: ToolExecutionConfig | None = attrs.field(default=None, converter=_tool_execution)
    tool_not_found_behavior: ToolNotFoundBehavior = attrs.field(
        default="raise_error", validator=one_of("raise_error", "return_error_to_model")
    )
    tool_name_collision_policy: ToolNameCollisionPolicy = attrs.field(default="warn", validator=one_of("warn", "error"))
    output_guardrail_blocked_message: str | OutputGuardrailBlockedMessageFormatter | None = attrs.field(
        default=None, validator=_check_blocked_message
    )

    guardrail_gate: GuardrailGate = attrs.field(
        default="tools", validator=one_of("tools", "output", "off"), kw_only=True
    )
    """What waits for the parallel input guardrails: "tools" of turn 1, the model's "output" too, or nothing ("off")."""
    timeouts: Timeouts = attrs.field(default=None, converter=_timeouts, kw_only=True)
    """The deadlines of the run."""
    event_buffer: int = attrs.field(default=256, validator=_event_buffer, kw_only=True)
    """How many events a stream holds for a slow consumer before the model is slowed down."""
    approval_timeout: float | None = attrs.field(default=None, validator=positive_seconds, kw_only=True)
    """Seconds a call waits for a decision while somebody reads `result.approvals()`; None for ever."""
    on_approval_timeout: Literal["deny", "park"] = attrs.field(
        default="park", validator=one_of("deny", "park"), kw_only=True
    )
    """What the deadline decides: refuse the call, or leave it undecided so that the run pauses."""
    session_busy: SessionBusyPolicy = attrs.field(default="wait", validator=one_of("wait", "reject"), kw_only=True)
    """What a run does while another one holds its session: queue, or raise `SessionBusy`."""

    @classmethod
    def coerce(cls, value: RunConfig | Mapping[str, Any] | None) -> RunConfig:
        """Return `value`, or the defaults for None, or one made from a plain dict.

        Raises:
            TypeError: an unknown key, or a value that is neither.
        """
        return _default_config() if value is None else from_plain(cls, value, "run_config")


@functools.cache
def _default_config() -> RunConfig:
    """Return the configuration of runs that name none; one for all of them."""
    return RunConfig()


RunErrorHandler: TypeAlias = (
    "Callable[[RunErrorHandlerInput[Any]], MaybeAwaitable[RunErrorHandlerResult | dict[str, Any] | None]]"
)


class RunOptions(TypedDict, Generic[TContext], total=False):
    """The keyword arguments of `AgentRunner.run` and its siblings; those of `Runner.run`.

    Source: running agents, `RunOptions`.
    """

    context: TContext | RunContextWrapper[TContext] | None
    max_turns: int | None
    hooks: RunHooks[TContext] | None
    run_config: RunConfig | dict[str, Any] | None
    previous_response_id: str | None
    auto_previous_response_id: bool
    conversation_id: str | None
    session: Session | None
    error_handlers: RunErrorHandlers[TContext] | None


class RunErrorHandlers(TypedDict, Generic[TContext], total=False):
    """The handlers by the kind of error; a kind that is not named is raised.

    Source: running agents, "Error handlers".
    """

    max_turns: RunErrorHandler
    model_refusal: RunErrorHandler
    invalid_final_output: RunErrorHandler
