"""Handoffs: tools whose call makes another agent go on with the conversation."""

from __future__ import annotations

import inspect
import json
import logging
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, cast, overload

import attrs
from typing_extensions import TypeVar

from agentrun._agent_base import AgentBase
from agentrun._context import RunContextWrapper, TContext
from agentrun._dataclass import Dataclass, Value
from agentrun._enabled import Enabled, each_enabled
from agentrun._exceptions import ModelBehaviorError, UserError
from agentrun._fields import check_takes, function, required_text
from agentrun._settings import MaybeAwaitable

if TYPE_CHECKING:
    from agentrun._agent import Agent
    from agentrun._items import RunItem
    from agentrun._responses import TResponseInputItem

__all__ = ["Handoff", "HandoffInputData", "HandoffInputFilter", "enabled_handoffs", "function_name", "handoff"]

TAgent = TypeVar("TAgent", bound="AgentBase[Any]", default=Any)
THandoffInput = TypeVar("THandoffInput", default=Any)

OnHandoffWithInput: TypeAlias = Callable[[RunContextWrapper[Any], THandoffInput], Any]
"""Called with the context and the validated input when a handoff with `input_type` happens; sync or async."""
OnHandoffWithoutInput: TypeAlias = Callable[[RunContextWrapper[Any]], Any]
"""Called with the context when a handoff happens; sync or async."""

log = logging.getLogger("agentrun")


def function_name(name: str) -> str:
    """Return `name` in the form of a function's name: lower case, `_` for whatever is no ASCII letter, digit or `_`.

    A name that loses more than its case and its blanks is reported in the log, since two such names may become one.
    """
    found = re.sub(r"[^a-zA-Z0-9_]", "_", name).lower()
    if re.search(r"[^a-zA-Z0-9_\s]", name):
        log.warning("tool name %r becomes %r; use ASCII letters, digits and _ to keep names apart", name, found)
    return found


@attrs.define(eq=False, repr=False)
class HandoffInputData(Value):
    """The conversation at a handoff, as an input filter gets it and returns it.

    Source: handoffs, "Input filters".
    """

    input_history: str | tuple[TResponseInputItem, ...]
    """The input the run began with."""
    pre_handoff_items: tuple[RunItem, ...]
    """What the run made before the turn of the handoff."""
    new_items: tuple[RunItem, ...]
    """What the turn of the handoff made, the call and its output included."""
    run_context: RunContextWrapper[Any] | None = None
    """The run's context."""
    input_items: tuple[RunItem, ...] | None = None
    """What the next model gets in the place of `new_items`, which then stay as they are in result and session."""

    def clone(self, **kwargs: Any) -> HandoffInputData:
        """Return a copy with the fields in `kwargs` replaced."""
        return attrs.evolve(self, **kwargs)


HandoffInputFilter: TypeAlias = Callable[[HandoffInputData], MaybeAwaitable[HandoffInputData]]
"""Makes what the next agent sees out of what there is; sync or async."""


def _invoker(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    check_takes(value, ("context", "input_json"), f"Handoff.{attribute.name}", TypeError)


def _enabled(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, bool):
        check_takes(value, ("context", "agent"), f"{type(instance).__name__}.{attribute.name}", TypeError)


@attrs.define(eq=False, repr=False)
class Handoff(Dataclass, Generic[TContext, TAgent]):
    """A handoff as a model sees it; usually made with `handoff()`.

    Raises:
        TypeError: a function is none, or cannot be called as it will be.
        ValueError: name or description is no str.

    Source: handoffs, `Handoff`.
    """

    tool_name: str = attrs.field(validator=required_text)
    """The name of the tool that stands for the handoff."""
    tool_description: str = attrs.field(validator=required_text)
    input_json_schema: dict[str, Any]
    """The schema of the tool's arguments; an empty one for none."""
    on_invoke_handoff: Callable[[RunContextWrapper[Any], str], Awaitable[TAgent]] = attrs.field(validator=_invoker)
    """Called with the context and the arguments as JSON text; returns the agent that takes over."""
    agent_name: str
    """The name of that agent."""
    input_filter: HandoffInputFilter | None = attrs.field(default=None, validator=function("HandoffInputData"))
    """Makes what the next agent sees; None gives it the whole conversation."""
    nest_handoff_history: bool | None = None
    """Whether the former conversation becomes one summary; None leaves it to the run's configuration."""
    strict_json_schema: bool = True
    is_enabled: Enabled = attrs.field(default=True, validator=_enabled)
    """Whether the model gets to see the handoff; a bool, or a function of context and agent."""
    agent: TAgent | None = attrs.field(default=None, kw_only=True, repr=False)
    """The agent that takes over, where it is known before."""
    _wire: dict[str, Any] | None = attrs.field(default=None, init=False, repr=False)

    def get_transfer_message(self, agent: AgentBase[Any]) -> str:
        """Return the output of the handoff's call, JSON text that names `agent`."""
        return json.dumps({"assistant": agent.name})

    @classmethod
    def default_tool_name(cls, agent: AgentBase[Any]) -> str:
        """Return `transfer_to_` and the agent's name as a function name."""
        return function_name(f"transfer_to_{agent.name}")

    @classmethod
    def default_tool_description(cls, agent: AgentBase[Any]) -> str:
        """Return what the model is told of a handoff to `agent`, with its `handoff_description` at the end."""
        return f"Handoff to the {agent.name} agent to handle the request. {agent.handoff_description or ''}".rstrip()

    def to_wire(self) -> dict[str, Any]:
        """Return the handoff as a function tool in Responses form, the same dict at every call; not to be changed."""
        if self._wire is None:
            self._wire = {
                "type": "function",
                "name": self.tool_name,
                "description": self.tool_description,
                "parameters": self.input_json_schema,
                "strict": self.strict_json_schema,
            }
        return self._wire


@overload
def handoff(
    agent: Agent[TContext],
    tool_name_override: str | None = None,
    tool_description_override: str | None = None,
    on_handoff: None = None,
    input_type: None = None,
    input_filter: HandoffInputFilter | None = None,
    nest_handoff_history: bool | None = None,
    is_enabled: Enabled = True,
) -> Handoff[TContext, Agent[TContext]]: ...
@overload
def handoff(
    agent: Agent[TContext],
    tool_name_override: str | None = None,
    tool_description_override: str | None = None,
    *,
    on_handoff: OnHandoffWithInput[THandoffInput],
    input_type: type[THandoffInput],
    input_filter: HandoffInputFilter | None = None,
    nest_handoff_history: bool | None = None,
    is_enabled: Enabled = True,
) -> Handoff[TContext, Agent[TContext]]: ...
@overload
def handoff(
    agent: Agent[TContext],
    tool_name_override: str | None = None,
    tool_description_override: str | None = None,
    *,
    on_handoff: OnHandoffWithoutInput,
    input_filter: HandoffInputFilter | None = None,
    nest_handoff_history: bool | None = None,
    is_enabled: Enabled = True,
) -> Handoff[TContext, Agent[TContext]]: ...
def handoff(
    agent: Agent[TContext],
    tool_name_override: str | None = None,
    tool_description_override: str | None = None,
    on_handoff: OnHandoffWithInput[Any] | OnHandoffWithoutInput | None = None,
    input_type: type[Any] | None = None,
    input_filter: HandoffInputFilter | None = None,
    nest_handoff_history: bool | None = None,
    is_enabled: Enabled = True,
) -> Handoff[TContext, Agent[TContext]]:
    """Return a handoff to `agent`, to be put into another agent's `handoffs`.

    Args:
        agent: the agent that takes over.
        tool_name_override: the tool's name in place of `transfer_to_<agent>`.
        tool_description_override: the tool's description.
        on_handoff: called when the handoff happens, with the context, and with the input if there is an `input_type`.
        input_type: the type of the input the model has to give; checked strictly.
        input_filter: makes what the next agent sees.
        nest_handoff_history: whether the former conversation becomes one summary; None leaves it to the run.
        is_enabled: whether the model sees the handoff; a bool, or a function of context and agent.

    Raises:
        UserError: `input_type` without `on_handoff`, an `on_handoff` that cannot be called with these arguments, or an
            `input_type` that has no schema.
        TypeError: `agent` is no agent.

    Source: handoffs, `handoff()`.
    """
    if not isinstance(agent, AgentBase):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"handoff() got {agent!r}, expected an Agent; pass the agent object itself")
    _check_callback(agent.name, on_handoff, input_type)
    from agentrun._strict import ensure_strict_json_schema  # with the first handoff or tool

    validate: Callable[[str], Any] | None = None
    schema: dict[str, Any] = {}
    if input_type is not None:
        validate, schema = _input_validator(agent.name, input_type)

    async def invoke(context: RunContextWrapper[Any], input_json: str | None = None) -> Agent[TContext]:
        if on_handoff is not None:
            arguments = (context,) if validate is None else (context, validate(input_json or ""))
            outcome = cast("Callable[..., Any]", on_handoff)(*arguments)
            if inspect.isawaitable(outcome):
                await outcome
        return agent

    return Handoff(
        tool_name=tool_name_override or Handoff.default_tool_name(agent),
        tool_description=tool_description_override or Handoff.default_tool_description(agent),
        input_json_schema=ensure_strict_json_schema(schema),
        on_invoke_handoff=invoke,
        agent_name=agent.name,
        input_filter=input_filter,
        nest_handoff_history=nest_handoff_history,
        is_enabled=is_enabled,
        agent=agent,
    )


def _check_callback(agent_name: str, on_handoff: Any, input_type: Any) -> None:
    if input_type is not None and on_handoff is None:
        raise UserError(
            f"handoff() to {agent_name!r} got input_type={input_type!r} without on_handoff; add an on_handoff function "
            "of context and input, or leave input_type out"
        )
    if on_handoff is None:
        return
    if not callable(on_handoff):
        raise UserError(f"handoff() to {agent_name!r} got on_handoff={on_handoff!r}, expected a function")
    expected = ("context",) if input_type is None else ("context", "input")
    if len(inspect.signature(on_handoff).parameters) != len(expected):
        taken = str(inspect.signature(on_handoff))
        hint = "; pass input_type= to get an input" if input_type is None else ""
        raise UserError(
            f"handoff() to {agent_name!r} got on_handoff with the parameters {taken}, expected exactly "
            f"({', '.join(expected)}){hint}"
        )


def _input_validator(agent_name: str, input_type: Any) -> tuple[Callable[[str], Any], dict[str, Any]]:
    """Return the function that turns a handoff's arguments into an `input_type`, and the schema of the arguments."""
    from agentrun._schema import StructureError, compile_type

    try:
        compiled = compile_type(input_type)
    except UserError as exc:
        raise UserError(f"handoff() to {agent_name!r} cannot use input_type={input_type!r}: {exc}") from exc

    def validate(input_json: str) -> Any:
        try:
            return compiled.structure_json(input_json)
        except StructureError as exc:
            raise ModelBehaviorError(
                f"the model handed over to {agent_name!r} with an input that is wrong: {exc}"
            ) from exc

    return validate, compiled.schema


async def enabled_handoffs(agent: Agent[TContext], context: RunContextWrapper[TContext]) -> list[Handoff[Any, Any]]:
    """Return the handoffs of `agent` that the model may see now, in the order in which they are declared.

    Plain agents are wrapped once and kept with `agent`, until the list, or name or description of one of them, changes.
    Functions given as `is_enabled` are called one after another; what is async in them runs side by side.

    Raises:
        TypeError: `agent.handoffs` holds something that is neither an agent nor a handoff.
        Exception: whatever an `is_enabled` function raises.
    """
    declared = agent.declared_handoffs()
    if all(one.is_enabled is True for one in declared):
        return declared
    verdicts = await each_enabled([one.is_enabled for one in declared], context, agent)
    return [one for one, verdict in zip(declared, verdicts, strict=True) if verdict]
