"""Guardrails: functions that look at what goes into and comes out of an agent or a tool, and may stop it.

A guardrail is either sync or async. A sync one runs on the event loop, so it should be quick; one that waits should be
async. All four kinds are values: what they decide and when is known to the run, not to them.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, TypedDict, TypeVar, cast, overload

import attrs

from agentrun._context import RunContextWrapper, TContext, ToolContext
from agentrun._dataclass import Dataclass, Value
from agentrun._exceptions import UserError
from agentrun._fields import check_takes, flag, text
from agentrun._settings import MaybeAwaitable

if TYPE_CHECKING:
    from agentrun._agent import Agent
    from agentrun._responses import TResponseInputItem

__all__ = [
    "AllowBehavior",
    "GuardrailFunctionOutput",
    "InputGuardrail",
    "InputGuardrailResult",
    "OutputGuardrail",
    "OutputGuardrailResult",
    "RaiseExceptionBehavior",
    "RejectContentBehavior",
    "ToolGuardrailFunctionOutput",
    "ToolInputGuardrail",
    "ToolInputGuardrailData",
    "ToolInputGuardrailResult",
    "ToolOutputGuardrail",
    "ToolOutputGuardrailData",
    "ToolOutputGuardrailResult",
    "input_guardrail",
    "output_guardrail",
    "tool_input_guardrail",
    "tool_output_guardrail",
]

_V = TypeVar("_V")


@attrs.define(eq=False, repr=False)
class GuardrailFunctionOutput(Value):
    """What an input or output guardrail found.

    Source: guardrails, `GuardrailFunctionOutput`.
    """

    output_info: Any
    """Anything worth keeping about the check; it comes back in the result and on the exception."""
    tripwire_triggered: bool
    """True stops the run with an exception."""


@attrs.define(eq=False, repr=False)
class InputGuardrailResult(Dataclass):
    """The verdict of one input guardrail.

    Source: guardrails, `InputGuardrailResult`.
    """

    guardrail: InputGuardrail[Any]
    output: GuardrailFunctionOutput


@attrs.define(eq=False, repr=False)
class OutputGuardrailResult(Dataclass):
    """The verdict of one output guardrail.

    Source: guardrails, `OutputGuardrailResult`.
    """

    guardrail: OutputGuardrail[Any]
    agent_output: Any
    """The output that was judged."""
    _agent: Agent[Any] | None = attrs.field(alias="agent")
    output: GuardrailFunctionOutput
    _agent_ref: weakref.ref[Agent[Any]] | None = attrs.field(init=False, default=None, repr=False)

    @property
    def agent(self) -> Agent[Any]:
        """The agent that made it; None once the agent was released and is gone."""
        found = self._agent_ref() if self._agent_ref is not None else self._agent
        return cast("Agent[Any]", found)

    def release_agent(self) -> None:
        """Hold the agent weakly from here on."""
        if self._agent is not None:
            self._agent_ref = weakref.ref(self._agent)
            self._agent = None


class AllowBehavior(TypedDict):
    """Go on as if there were no guardrail."""

    type: Literal["allow"]


class RejectContentBehavior(TypedDict):
    """Tell the model `message` instead of the tool's output, and go on."""

    type: Literal["reject_content"]
    message: str


class RaiseExceptionBehavior(TypedDict):
    """Stop the run with a tripwire exception."""

    type: Literal["raise_exception"]


def _allow() -> AllowBehavior:
    return {"type": "allow"}


def _check_behavior(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    kind = cast("Mapping[str, Any]", value).get("type") if isinstance(value, Mapping) else None
    if kind not in ("allow", "reject_content", "raise_exception") or (
        kind == "reject_content" and "message" not in value
    ):
        raise ValueError(
            f"ToolGuardrailFunctionOutput.behavior must be a dict with a known type, got {value!r}; make it with "
            "allow(), reject_content(message) or raise_exception()"
        )


@attrs.define(eq=False, repr=False)
class ToolGuardrailFunctionOutput(Value):
    """What a tool guardrail found, and what is to happen; best made with `allow`, `reject_content`, `raise_exception`.

    Raises:
        ValueError: `behavior` is none of the three.

    Source: guardrails, "Tool guardrails".
    """

    output_info: Any
    """Anything worth keeping about the check."""
    behavior: AllowBehavior | RejectContentBehavior | RaiseExceptionBehavior = attrs.field(
        factory=_allow, validator=_check_behavior
    )
    """What the run does next."""

    @classmethod
    def allow(cls, output_info: Any = None) -> ToolGuardrailFunctionOutput:
        """Return the verdict that lets the call go on."""
        return cls(output_info)

    @classmethod
    def reject_content(cls, message: str, output_info: Any = None) -> ToolGuardrailFunctionOutput:
        """Return the verdict that gives the model `message` as the tool's output; the run goes on."""
        return cls(output_info, {"type": "reject_content", "message": message})

    @classmethod
    def raise_exception(cls, output_info: Any = None) -> ToolGuardrailFunctionOutput:
        """Return the verdict that stops the run."""
        return cls(output_info, {"type": "raise_exception"})


@attrs.define(eq=False, repr=False)
class ToolInputGuardrailData(Dataclass):
    """What a tool input guardrail is told.

    Source: guardrails, "Tool guardrails".
    """

    context: ToolContext[Any]
    """The call: `tool_name`, `tool_arguments`, the run's context object and so on."""
    agent: Agent[Any]
    """The agent that called the tool."""


@attrs.define(eq=False, repr=False)
class ToolOutputGuardrailData(ToolInputGuardrailData):
    """What a tool output guardrail is told.

    Source: guardrails, "Tool guardrails".
    """

    output: Any
    """What the tool returned, the Python value itself."""


@attrs.define(eq=False, repr=False)
class ToolInputGuardrailResult(Dataclass):
    """The verdict of one tool input guardrail.

    Source: guardrails, "Tool guardrails".
    """

    guardrail: ToolInputGuardrail[Any]
    output: ToolGuardrailFunctionOutput


@attrs.define(eq=False, repr=False)
class ToolOutputGuardrailResult(Dataclass):
    """The verdict of one tool output guardrail.

    Source: guardrails, "Tool guardrails".
    """

    guardrail: ToolOutputGuardrail[Any]
    output: ToolGuardrailFunctionOutput


def _name(guardrail_function: Any, name: str | None) -> str:
    """Return the name given, or that of the function; for a callable object that of its class."""
    if name:
        return name
    found = getattr(guardrail_function, "__name__", None) or getattr(
        getattr(guardrail_function, "func", None), "__name__", None
    )
    return found if isinstance(found, str) else type(guardrail_function).__name__


def _check_function(kind: str, guardrail_function: Any, *parameters: str) -> None:
    if not callable(guardrail_function):
        raise UserError(
            f"{kind} got guardrail_function {guardrail_function!r}, which cannot be called; give it a function"
        )
    check_takes(guardrail_function, parameters, f"guardrail_function of {kind}", UserError)


async def _verdict(kind: str, name: str, result: Any, expected: type[_V]) -> _V:
    """Return what the guardrail function returned, awaited where it has to be, checked."""
    if not isinstance(result, expected) and inspect.isawaitable(result):
        result = await result
    if isinstance(result, expected):
        return result
    how = (
        "allow(), reject_content(...) or raise_exception() of it"
        if expected is ToolGuardrailFunctionOutput
        else "GuardrailFunctionOutput(output_info=..., tripwire_triggered=...)"
    )
    raise UserError(f"{kind} {name!r} returned {result!r}, expected a {expected.__name__}; return {how}")


@attrs.define(eq=False, repr=False)
class InputGuardrail(Dataclass, Generic[TContext]):
    """Looks at a run's input, beside the model or before it.

    Raises:
        UserError: the function cannot be called as it will be.
        ValueError: a field holds a plain value of the wrong type.

    Source: guardrails, `InputGuardrail`.
    """

    guardrail_function: Callable[
        [RunContextWrapper[TContext], Agent[Any], str | list[TResponseInputItem]],
        MaybeAwaitable[GuardrailFunctionOutput],
    ]
    """Called with the run's context, the starting agent and the input."""
    name: str | None = attrs.field(default=None, validator=text)
    """The name in results and traces; that of the function when None."""
    run_in_parallel: bool = attrs.field(default=True, validator=flag)
    """False finishes the check before the model is called at all."""

    def __attrs_post_init__(self) -> None:
        _check_function("InputGuardrail", self.guardrail_function, "context", "agent", "input")

    def get_name(self) -> str:
        """Return the name given, or that of the function."""
        return _name(self.guardrail_function, self.name)

    async def run(
        self, agent: Agent[Any], input: str | list[TResponseInputItem], context: RunContextWrapper[TContext]
    ) -> InputGuardrailResult:
        """Return the verdict on `input`.

        Raises:
            UserError: the function returned something else than a `GuardrailFunctionOutput`.
            Exception: whatever the function raises.
        """
        found = self.guardrail_function(context, agent, input)
        return InputGuardrailResult(
            self, await _verdict("input guardrail", self.get_name(), found, GuardrailFunctionOutput)
        )


@attrs.define(eq=False, repr=False)
class OutputGuardrail(Dataclass, Generic[TContext]):
    """Looks at a run's final output before the caller gets it.

    Raises:
        UserError: the function cannot be called as it will be.
        ValueError: a field holds a plain value of the wrong type.

    Source: guardrails, `OutputGuardrail`.
    """

    guardrail_function: Callable[
        [RunContextWrapper[TContext], Agent[Any], Any], MaybeAwaitable[GuardrailFunctionOutput]
    ]
    """Called with the run's context, the agent that made the output, and the output."""
    name: str | None = attrs.field(default=None, validator=text)
    """The name in results and traces; that of the function when None."""

    def __attrs_post_init__(self) -> None:
        _check_function("OutputGuardrail", self.guardrail_function, "context", "agent", "output")

    def get_name(self) -> str:
        """Return the name given, or that of the function."""
        return _name(self.guardrail_function, self.name)

    async def run(
        self, context: RunContextWrapper[TContext], agent: Agent[Any], agent_output: Any
    ) -> OutputGuardrailResult:
        """Return the verdict on `agent_output`.

        Raises:
            UserError: the function returned something else than a `GuardrailFunctionOutput`.
            Exception: whatever the function raises.
        """
        found = self.guardrail_function(context, agent, agent_output)
        return OutputGuardrailResult(
            guardrail=self,
            agent_output=agent_output,
            agent=agent,
            output=await _verdict("output guardrail", self.get_name(), found, GuardrailFunctionOutput),
        )


@attrs.define(eq=False, repr=False)
class ToolInputGuardrail(Dataclass, Generic[TContext]):
    """Looks at one call of a function tool before the tool runs.

    Raises:
        UserError: the function cannot be called as it will be.
        ValueError: a field holds a plain value of the wrong type.

    Source: guardrails, "Tool guardrails".
    """

    guardrail_function: Callable[[ToolInputGuardrailData], MaybeAwaitable[ToolGuardrailFunctionOutput]]
    name: str | None = attrs.field(default=None, validator=text)
    """The name in results and traces; that of the function when None."""

    def __attrs_post_init__(self) -> None:
        _check_function("ToolInputGuardrail", self.guardrail_function, "data")

    def get_name(self) -> str:
        """Return the name given, or that of the function."""
        return _name(self.guardrail_function, self.name)

    async def run(self, data: ToolInputGuardrailData) -> ToolGuardrailFunctionOutput:
        """Return the verdict on one call.

        Raises:
            UserError: the function returned something else than a `ToolGuardrailFunctionOutput`.
            Exception: whatever the function raises.
        """
        found = self.guardrail_function(data)
        return await _verdict("tool input guardrail", self.get_name(), found, ToolGuardrailFunctionOutput)


@attrs.define(eq=False, repr=False)
class ToolOutputGuardrail(Dataclass, Generic[TContext]):
    """Looks at the output of one call of a function tool before the model gets it.

    Raises:
        UserError: the function cannot be called as it will be.
        ValueError: a field holds a plain value of the wrong type.

    Source: guardrails, "Tool guardrails".
    """

    guardrail_function: Callable[[ToolOutputGuardrailData], MaybeAwaitable[ToolGuardrailFunctionOutput]]
    name: str | None = attrs.field(default=None, validator=text)
    """The name in results and traces; that of the function when None."""

    def __attrs_post_init__(self) -> None:
        _check_function("ToolOutputGuardrail", self.guardrail_function, "data")

    def get_name(self) -> str:
        """Return the name given, or that of the function."""
        return _name(self.guardrail_function, self.name)

    async def run(self, data: ToolOutputGuardrailData) -> ToolGuardrailFunctionOutput:
        """Return the verdict on one output.

        Raises:
            UserError: the function returned something else than a `ToolGuardrailFunctionOutput`.
            Exception: whatever the function raises.
        """
        found = self.guardrail_function(data)
        return await _verdict("tool output guardrail", self.get_name(), found, ToolGuardrailFunctionOutput)


# The decorators take any agent and input type in the function, since a function may be annotated more narrowly.
_InputFunction: TypeAlias = (
    "Callable[[RunContextWrapper[TContext], Agent[Any], Any], MaybeAwaitable[GuardrailFunctionOutput]]"
)
_OutputFunction: TypeAlias = (
    "Callable[[RunContextWrapper[TContext], Agent[Any], Any], MaybeAwaitable[GuardrailFunctionOutput]]"
)
_ToolInputFunction: TypeAlias = "Callable[[ToolInputGuardrailData], MaybeAwaitable[ToolGuardrailFunctionOutput]]"
_ToolOutputFunction: TypeAlias = "Callable[[ToolOutputGuardrailData], MaybeAwaitable[ToolGuardrailFunctionOutput]]"


@overload
def input_guardrail(func: _InputFunction[TContext]) -> InputGuardrail[TContext]: ...
@overload
def input_guardrail(
    *, name: str | None = None, run_in_parallel: bool = True
) -> Callable[[_InputFunction[TContext]], InputGuardrail[TContext]]: ...
def input_guardrail(
    func: _InputFunction[TContext] | None = None, *, name: str | None = None, run_in_parallel: bool = True
) -> InputGuardrail[TContext] | Callable[[_InputFunction[TContext]], InputGuardrail[TContext]]:
    """Make a function `(context, agent, input)` an `InputGuardrail`; with or without parentheses.

    Args:
        func: the function, sync or async, that returns a `GuardrailFunctionOutput`.
        name: the name in results and traces; that of the function when None.
        run_in_parallel: False finishes the check before the model is called.

    Source: guardrails, `input_guardrail`.
    """

    def decorate(function: _InputFunction[TContext]) -> InputGuardrail[TContext]:
        return InputGuardrail(function, _name(function, name), run_in_parallel)

    return decorate if func is None else decorate(func)


@overload
def output_guardrail(func: _OutputFunction[TContext]) -> OutputGuardrail[TContext]: ...
@overload
def output_guardrail(
    *, name: str | None = None
) -> Callable[[_OutputFunction[TContext]], OutputGuardrail[TContext]]: ...
def output_guardrail(
    func: _OutputFunction[TContext] | None = None, *, name: str | None = None
) -> OutputGuardrail[TContext] | Callable[[_OutputFunction[TContext]], OutputGuardrail[TContext]]:
    """Make a function `(context, agent, output)` an `OutputGuardrail`; with or without parentheses.

    Args:
        func: the function, sync or async, that returns a `GuardrailFunctionOutput`.
        name: the name in results and traces; that of the function when None.

    Source: guardrails, `output_guardrail`.
    """

    def decorate(function: _OutputFunction[TContext]) -> OutputGuardrail[TContext]:
        return OutputGuardrail(function, _name(function, name))

    return decorate if func is None else decorate(func)


@overload
def tool_input_guardrail(func: _ToolInputFunction) -> ToolInputGuardrail[Any]: ...
@overload
def tool_input_guardrail(*, name: str | None = None) -> Callable[[_ToolInputFunction], ToolInputGuardrail[Any]]: ...
def tool_input_guardrail(
    func: _ToolInputFunction | None = None, *, name: str | None = None
) -> ToolInputGuardrail[Any] | Callable[[_ToolInputFunction], ToolInputGuardrail[Any]]:
    """Make a function `(data)` a `ToolInputGuardrail`; with or without parentheses.

    Args:
        func: the function, sync or async, that returns a `ToolGuardrailFunctionOutput`.
        name: the name in results and traces; that of the function when None.

    Source: guardrails, "Tool guardrails".
    """

    def decorate(function: _ToolInputFunction) -> ToolInputGuardrail[Any]:
        return ToolInputGuardrail(function, _name(function, name))

    return decorate if func is None else decorate(func)


@overload
def tool_output_guardrail(func: _ToolOutputFunction) -> ToolOutputGuardrail[Any]: ...
@overload
def tool_output_guardrail(*, name: str | None = None) -> Callable[[_ToolOutputFunction], ToolOutputGuardrail[Any]]: ...
def tool_output_guardrail(
    func: _ToolOutputFunction | None = None, *, name: str | None = None
) -> ToolOutputGuardrail[Any] | Callable[[_ToolOutputFunction], ToolOutputGuardrail[Any]]:
    """Make a function `(data)` a `ToolOutputGuardrail`; with or without parentheses.

    Args:
        func: the function, sync or async, that returns a `ToolGuardrailFunctionOutput`.
        name: the name in results and traces; that of the function when None.

    Source: guardrails, "Tool guardrails".
    """

    def decorate(function: _ToolOutputFunction) -> ToolOutputGuardrail[Any]:
        return ToolOutputGuardrail(function, _name(function, name))

    return decorate if func is None else decorate(func)
