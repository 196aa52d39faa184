"""Agents: a model with instructions, tools, handoffs and guardrails. Values; they do nothing before they are run."""

from __future__ import annotations

import contextlib
import functools
import inspect
import types
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NotRequired, Self, TypeAlias, TypedDict, cast, get_origin

import attrs

from agentrun._agent_base import AgentBase, MCPConfig, check_is, check_list_of, refuse
from agentrun._context import RunContextWrapper, TContext
from agentrun._dataclass import Dataclass
from agentrun._exceptions import UserError
from agentrun._fields import check_takes
from agentrun._handoff import Handoff, handoff
from agentrun._hooks import AgentHooks, RunHooks
from agentrun._settings import MaybeAwaitable, ModelSettings, from_plain
from agentrun._tool_failure import default_tool_error_function
from agentrun.models._defaults import settings_for

if TYPE_CHECKING:
    from agentrun._agent_tool import AgentToolStreamEvent, StructuredToolInputBuilder
    from agentrun._config import RunConfig
    from agentrun._guardrail import InputGuardrail, OutputGuardrail
    from agentrun._result import RunResult, RunResultStreaming
    from agentrun._tool import FunctionTool, StopAtTools, ToolsToFinalOutputFunction
    from agentrun._tool_failure import ToolErrorFunction
    from agentrun.agent_output import AgentOutputSchemaBase
    from agentrun.memory import Session
    from agentrun.models.interface import Model

__all__ = [
    "Agent",
    "AgentBase",
    "DynamicPromptFunction",
    "GenerateDynamicPromptData",
    "MCPConfig",
    "Prompt",
    "output_schema",
]

Instructions: TypeAlias = (
    "str | Callable[[RunContextWrapper[TContext], Agent[TContext]], MaybeAwaitable[str | None]] | None"
)


class Prompt(TypedDict):
    """A prompt template that the provider keeps.

    Source: prompts, `Prompt`.
    """

    id: str
    version: NotRequired[str]
    variables: NotRequired[dict[str, Any]]


@attrs.define(eq=False, repr=False)
class GenerateDynamicPromptData(Dataclass):
    """What a prompt function is told.

    Source: prompts, `GenerateDynamicPromptData`.
    """

    context: RunContextWrapper[Any]
    agent: Agent[Any]


DynamicPromptFunction: TypeAlias = Callable[[GenerateDynamicPromptData], MaybeAwaitable[Prompt]]


def _check_handoff(agent: Any, place: str, value: Any) -> None:
    if not isinstance(value, Agent | Handoff):
        raise refuse(agent, place, value, "an Agent or a Handoff", "pass the agent object, or handoff(agent, ...)")


def _check_guardrail(
    kind: Literal["InputGuardrail", "OutputGuardrail"], decorator: str
) -> Callable[[Any, str, Any], None]:
    def check(agent: Any, place: str, value: Any) -> None:
        from agentrun import _guardrail  # most programs have none

        if not isinstance(value, getattr(_guardrail, kind)):
            raise refuse(agent, place, value, f"an {kind}", f"decorate the function with {decorator}")

    return check


def _check_instructions(agent: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not (value is None or isinstance(value, str) or callable(value)):
        raise refuse(
            agent,
            attribute.name,
            value,
            "a str, a function or None",
            "a function takes context and agent, returns a str",
        )


def _check_prompt(agent: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is None or callable(value) or (isinstance(value, Mapping) and "id" in value):
        return
    raise refuse(agent, attribute.name, value, "a dict with an id, a function or None", "pass {'id': ...}")


def _check_model(agent: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is None or isinstance(value, str):
        return
    from agentrun.models.interface import Model

    if not isinstance(value, Model):
        remedy = (
            "make an object of the class" if inspect.isclass(value) else "pass a model's name, or derive from Model"
        )
        raise refuse(agent, attribute.name, value, "a str, a Model or None", remedy)


def _check_output_type(agent: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is None or value is str:
        return
    from agentrun.agent_output import AgentOutputSchemaBase

    if isinstance(value, AgentOutputSchemaBase):
        return
    if not (isinstance(value, type | types.UnionType) or get_origin(value) is not None):
        remedy = "pass the type itself, not its name" if isinstance(value, str) else "pass the type, not a value of it"
        raise refuse(agent, attribute.name, value, "a type, an AgentOutputSchema or None", remedy)
    # A type without a schema is told here. A name in it that is defined further down is looked up at the first run.
    with contextlib.suppress(NameError):
        cast("Agent[Any]", agent)._compiled(value)  # pyright: ignore[reportPrivateUsage] - a part of the class


def _check_hooks(agent: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is None or isinstance(value, AgentHooks):
        return
    if isinstance(value, RunHooks):
        remedy = "RunHooks go to Runner.run(hooks=...), an agent's own hooks derive from AgentHooks"
    elif inspect.isclass(value) and issubclass(value, AgentHooks):
        remedy = f"make an object of it: {value.__name__}()"
    else:
        remedy = "derive its class from AgentHooks"
    raise refuse(agent, attribute.name, value, "an AgentHooks object or None", remedy)


def _check_tool_use_behavior(agent: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if isinstance(value, str) and value in ("run_llm_again", "stop_on_first_tool"):
        return
    if isinstance(value, Mapping):
        names = cast("Mapping[str, Any]", value).get("stop_at_tool_names")
        if not isinstance(names, list | tuple | set | frozenset) or not all(
            isinstance(name, str) for name in cast("Iterable[Any]", names)
        ):
            raise refuse(agent, attribute.name, value, "StopAtTools", "pass {'stop_at_tool_names': [...]}")
        return
    if not callable(value):
        raise refuse(
            agent,
            attribute.name,
            value,
            "'run_llm_again', 'stop_on_first_tool', StopAtTools or a function",
            "a function takes context and tool results, returns a ToolsToFinalOutputResult",
        )
    check_takes(value, ("context", "tool_results"), f"agent {agent.name!r}: {attribute.name}", TypeError)


def _settings(value: Any, agent: Any) -> ModelSettings:
    given = from_plain(ModelSettings, value, f"agent {getattr(agent, 'name', None)!r}: model_settings")
    return settings_for(agent.model) if agent.model is not None and given == settings_for() else given


def _new_input_guardrails() -> list[InputGuardrail[Any]]:
    return []


def _new_output_guardrails() -> list[OutputGuardrail[Any]]:
    return []


def _new_handoffs() -> list[Agent[Any] | Handoff[Any, Any]]:
    return []


_Declared: TypeAlias = "tuple[tuple[Any, str, str | None], ...]"


@attrs.define(eq=False, repr=False)
class Agent(AgentBase[TContext]):
    """A model with instructions, tools, handoffs and guardrails.

    An agent is a value: any number of runs may use it at once. `Agent[MyContext](...)` names the type of the context
    object that its tools and functions expect.

    Wrong values raise `TypeError` here, and not in the middle of a run.

    Source: agents.
    """

    instructions: Instructions[TContext] = attrs.field(default=None, validator=_check_instructions)
    """The system prompt, or a function of context and agent that returns it, sync or async; called every turn."""
    prompt: Prompt | DynamicPromptFunction | None = attrs.field(default=None, validator=_check_prompt)
    """A prompt template that the provider keeps, or a function that returns one."""
    handoffs: list[Agent[Any] | Handoff[TContext, Any]] = attrs.field(
        factory=_new_handoffs, validator=check_list_of(_check_handoff)
    )
    """The agents this one may hand over to."""
    model: str | Model | None = attrs.field(default=None, validator=_check_model)
    """The model or its name; None is the provider's default."""
    model_settings: ModelSettings = attrs.field(
        factory=settings_for,
        converter=attrs.Converter(_settings, takes_self=True),  # type: ignore[misc] # unknown to mypy's attrs plugin
    )
    """What to ask of the model; a dict of `ModelSettings` fields does as well.

    Left out, it is what suits the model, see `get_default_model_settings`.
    """
    input_guardrails: list[InputGuardrail[TContext]] = attrs.field(
        factory=_new_input_guardrails, validator=check_list_of(_check_guardrail("InputGuardrail", "@input_guardrail"))
    )
    """Run on the input when a run starts with this agent."""
    output_guardrails: list[OutputGuardrail[TContext]] = attrs.field(
        factory=_new_output_guardrails,
        validator=check_list_of(_check_guardrail("OutputGuardrail", "@output_guardrail")),
    )
    """Run on the final output that this agent makes."""
    output_type: type[Any] | AgentOutputSchemaBase | None = attrs.field(default=None, validator=_check_output_type)
    """The type of the final output; text when None."""
    hooks: AgentHooks[TContext] | None = attrs.field(default=None, validator=_check_hooks)
    """Callbacks for the steps of this agent."""
    tool_use_behavior: Literal["run_llm_again", "stop_on_first_tool"] | StopAtTools | ToolsToFinalOutputFunction = (
        attrs.field(default="run_llm_again", validator=_check_tool_use_behavior)
    )
    """What happens with the outputs of function tools: the model goes on, or they are the final output."""
    reset_tool_choice: bool = attrs.field(default=True, validator=check_is(bool, "a bool", "pass True or False"))
    """Stop forcing a tool choice once the agent has used a tool, so that it does not call tools for ever."""

    _instructed_by: Any = attrs.field(default=None, init=False)
    _declared: tuple[_Declared, list[Handoff[Any, Any]]] | None = attrs.field(default=None, init=False)
    _schema: tuple[Any, AgentOutputSchemaBase] | None = attrs.field(default=None, init=False)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> None:
            # A subclass that is a dataclass has an __init__ of its own, which leaves these slots empty.
            if name not in ("_instructed_by", "_declared", "_schema"):
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)

    def clone(self, **kwargs: Any) -> Self:
        """Return a copy with the fields in `kwargs` replaced; lists that are not replaced are shared with the original.

        Settings that nobody chose follow a new `model`.

        Raises:
            TypeError: an agent has no such field, or the field cannot have such a value.

        Source: agents, "Cloning".
        """
        fields = attrs.fields(type(self))
        unknown = sorted(set(kwargs) - {field.name for field in fields if field.init})
        if unknown:
            raise TypeError(
                f"agent {self.name!r}: clone() got {unknown}, expected names of fields of {type(self).__name__}"
            )
        # Not attrs.evolve: a subclass may have a constructor of its own, and attributes that are no fields.
        copied = object.__new__(type(self))
        for field in fields:
            object.__setattr__(copied, field.name, getattr(self, field.name))
        for name, value in getattr(self, "__dict__", {}).items():
            object.__setattr__(copied, name, value)
        for name, value in kwargs.items():
            setattr(copied, name, value)
        if "model" in kwargs and "model_settings" not in kwargs and self.model_settings == settings_for(self.model):
            copied.model_settings = settings_for(copied.model)
        return copied

    async def get_system_prompt(self, run_context: RunContextWrapper[TContext]) -> str | None:
        """Return the instructions for this turn, None when there are none.

        Raises:
            TypeError: an instructions function does not take exactly two parameters.
            UserError: it returned no text.
            Exception: whatever it raises.
        """
        instructions = self.instructions
        if instructions is None or isinstance(instructions, str):
            return instructions
        if self._instructed_by is not instructions:
            self._check_arity(instructions)
            self._instructed_by = instructions
        found: Any = instructions(run_context, self)
        if not isinstance(found, str) and inspect.isawaitable(found):
            found = await found
        if found is None or isinstance(found, str):
            return found
        raise UserError(
            f"agent {self.name!r}: the instructions function returned {found!r}, expected a str; return the whole "
            "system prompt"
        )

    def _check_arity(self, instructions: Callable[..., Any]) -> None:
        parameters = inspect.signature(instructions).parameters
        if len(parameters) != 2:
            raise TypeError(
                f"agent {self.name!r}: the instructions function takes ({', '.join(parameters)}), expected exactly two "
                "parameters; declare it with (context, agent)"
            )

    async def get_prompt(self, run_context: RunContextWrapper[TContext]) -> dict[str, Any] | None:
        """Return the prompt template for this turn in the form a model takes, None when there is none.

        Raises:
            UserError: the prompt function returned no dict with an id.
            Exception: whatever it raises.
        """
        if self.prompt is None:
            return None
        found: Any = self.prompt
        if not isinstance(found, Mapping):
            found = found(GenerateDynamicPromptData(run_context, self))
            if inspect.isawaitable(found):
                found = await found
        if not isinstance(found, Mapping) or "id" not in found:
            raise UserError(f"agent {self.name!r}: the prompt is {found!r}, expected a dict with an 'id'")
        given = cast("Mapping[str, Any]", found)
        return {"id": given["id"], "version": given.get("version"), "variables": given.get("variables")}

    def declared_handoffs(self) -> list[Handoff[Any, Any]]:
        """Return `handoffs` with every plain agent wrapped, the same objects until what they are made from changes.

        The list may be shared with other callers; it is not to be changed.

        Raises:
            TypeError: an entry is neither an agent nor a handoff.
        """
        if not self.handoffs:
            return []
        made_from = tuple(
            (one, one.name, one.handoff_description) if isinstance(one, Agent) else (one, "", None)
            for one in self.handoffs
        )
        if self._declared is None or self._declared[0] != made_from:
            for index, one in enumerate(self.handoffs):
                _check_handoff(self, f"handoffs[{index}]", one)
            wrapped = [one if isinstance(one, Handoff) else handoff(one) for one in self.handoffs]
            self._declared = (made_from, wrapped)
        return self._declared[1]

    def compiled_output(self) -> AgentOutputSchemaBase | None:
        """Return the schema of `output_type`, None for plain text; the same object until `output_type` changes.

        Raises:
            UserError: the type has no schema.
            NameError: the type names one that is not defined.
        """
        output_type = self.output_type
        return None if output_type is None or output_type is str else self._compiled(output_type)

    def _compiled(self, output_type: Any) -> AgentOutputSchemaBase:
        if self._schema is None or self._schema[0] is not output_type:
            try:
                self._schema = (output_type, _compile_output(output_type))
            except UserError as exc:
                raise UserError(f"agent {self.name!r}: output_type cannot be used: {exc}") from exc
        return self._schema[1]

    def as_tool(
        self,
        tool_name: str | None,
        tool_description: str | None,
        custom_output_extractor: Callable[[RunResult | RunResultStreaming], Awaitable[str]] | None = None,
        is_enabled: bool | Callable[[RunContextWrapper[Any], AgentBase[Any]], MaybeAwaitable[bool]] = True,
        on_stream: Callable[[AgentToolStreamEvent], MaybeAwaitable[None]] | None = None,
        run_config: RunConfig | dict[str, Any] | None = None,
        max_turns: int | None = 10,
        hooks: RunHooks[TContext] | None = None,
        previous_response_id: str | None = None,
        conversation_id: str | None = None,
        session: Session | None = None,
        failure_error_function: ToolErrorFunction | None = default_tool_error_function,
        needs_approval: bool | Callable[[RunContextWrapper[Any], dict[str, Any], str], Awaitable[bool]] = False,
        parameters: type[Any] | None = None,
        input_builder: StructuredToolInputBuilder | None = None,
        include_input_schema: bool = False,
        on_stream_max_pending_events: int | None = 1024,
    ) -> FunctionTool:
        """Return a tool that runs this agent on what the calling model asks, and answers with its final output.

        The nested run is part of the tool's call: it ends with it, is cancelled with it, and shares the caller's
        context object, usage and (unless `run_config` is given) configuration. It has its own turns and approvals, and
        none of the caller's history, session or hooks.

        Args:
            tool_name: the tool's name; None makes one from the agent's name.
            tool_description: what the model reads about the tool; None is no description.
            custom_output_extractor: makes the tool's output from the nested run's result.
            is_enabled: whether the model sees the tool; a bool, or a function of context and agent.
            on_stream: called with each event of the nested run, in order; its exceptions are logged and do no harm.
            run_config: the configuration of the nested run in place of the caller's.
            max_turns: how many model calls the nested run may make; None is no limit.
            hooks: callbacks for the nested run.
            previous_response_id: the reply the nested conversation continues, where the provider keeps conversations.
            conversation_id: the conversation the provider keeps.
            session: a session for the nested run.
            failure_error_function: words a failure for the calling model; None raises it into the calling run.
            needs_approval: whether a call waits for approval; a bool, or an async function of context, arguments and
                call id.
            parameters: the type of the tool's arguments, for example a dataclass, in place of one text.
            input_builder: makes the nested input from such arguments.
            include_input_schema: show the nested agent the full JSON schema of the arguments.
            on_stream_max_pending_events: how far `on_stream` may fall behind before the nested run is cancelled and the
                call fails; None is no limit.

        Raises:
            UserError: `parameters` has no schema.

        Source: tools, "Agents as tools".
        """
        from agentrun._agent_tool import AgentToolOptions, agent_tool

        return agent_tool(
            self,
            AgentToolOptions(
                tool_name=tool_name,
                tool_description=tool_description,
                custom_output_extractor=custom_output_extractor,
                is_enabled=is_enabled,
                on_stream=on_stream,
                run_config=run_config,
                max_turns=max_turns,
                hooks=hooks,
                previous_response_id=previous_response_id,
                conversation_id=conversation_id,
                session=session,
                failure_error_function=failure_error_function,
                needs_approval=needs_approval,
                parameters=parameters,
                input_builder=input_builder,
                include_input_schema=include_input_schema,
                max_pending_events=on_stream_max_pending_events,
            ),
        )


@functools.lru_cache(maxsize=256)
def _class_output(output_type: type[Any]) -> AgentOutputSchemaBase:
    from agentrun.agent_output import AgentOutputSchema

    return AgentOutputSchema(output_type)


def _compile_output(output_type: Any) -> AgentOutputSchemaBase:
    from agentrun.agent_output import AgentOutputSchema, AgentOutputSchemaBase

    if isinstance(output_type, AgentOutputSchemaBase):
        return output_type
    # Classes are the same only when they are one. Other types are not shared: int | str equals str | int, and has
    # another schema.
    return _class_output(output_type) if type(output_type) is type else AgentOutputSchema(output_type)


def output_schema(agent: Agent[Any]) -> AgentOutputSchemaBase | None:
    """Return what the final output of `agent` must look like, None for plain text; made once for each type.

    Raises:
        UserError: the type has no schema.
        NameError: the type names one that is not defined.
    """
    return agent.compiled_output()
