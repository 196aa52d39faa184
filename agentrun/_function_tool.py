"""Function tools: what the model is told of them, when they may be called, and how they are called.

`FunctionTool` is data plus one async function, `on_invoke_tool`. `function_tool` makes that function from any Python
callable; everything about the callable is found out there, so that a call only parses its arguments and runs.
"""

from __future__ import annotations

import copy
import functools
import inspect
import logging
import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeAlias, cast, get_args, overload

import attrs

from agentrun._dataclass import Dataclass, Value
from agentrun._exceptions import UserError
from agentrun._fields import Check, check_takes
from agentrun._tool_failure import (
    IMPLICIT_FAILURE,
    ImplicitFailure,
    OnFailure,
    ToolArgumentsError,
    ToolErrorFunction,
    ToolInvoker,
    with_failure_function,
)
from agentrun._tool_output import MAX_OUTPUT_CHARACTERS, ToolOrigin, ToolOriginType

if TYPE_CHECKING:
    from agentrun._agent import Agent, AgentBase
    from agentrun._context import RunContextWrapper, ToolContext
    from agentrun._guardrail import ToolInputGuardrail, ToolOutputGuardrail
    from agentrun._settings import MaybeAwaitable
    from agentrun.function_schema import DocstringStyle, FuncSchema

log = logging.getLogger("agentrun")

_CALLABLE_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")

ToolTimeoutBehavior = Literal["error_as_result", "raise_exception"]
"""What a call past its limit becomes: a text for the model, or a `ToolTimeoutError` that ends the run."""
ToolCaller = Literal["direct", "programmatic"]
"""Who may call a tool: the model itself, or a program the provider runs for it."""

ToolEnabled: TypeAlias = "bool | Callable[[RunContextWrapper[Any], AgentBase[Any]], MaybeAwaitable[bool]]"
"""Whether the model sees a tool, asked before each of its turns."""
ToolNeedsApproval: TypeAlias = "bool | Callable[[RunContextWrapper[Any], dict[str, Any], str], MaybeAwaitable[bool]]"
"""Whether a call waits for a person: yes, no, or decided from context, parsed arguments and call id."""
ToolFunction: TypeAlias = Callable[..., Any]
"""What `function_tool` takes: a function, a method or a callable object, sync or async."""


@attrs.frozen(eq=False)
class FunctionInvoker:
    """The `on_invoke_tool` of a tool made from a function, with what goes when another takes its place."""

    _invoke: ToolInvoker
    function: ToolFunction
    runs_in_thread: bool
    keeps_arguments: Callable[[Mapping[str, Any]], bool]

    def __call__(self, context: ToolContext[Any], arguments: str) -> Awaitable[Any]:
        """Run the function for one call."""
        return self._invoke(context, arguments)


class _Wrapped:
    """`__wrapped__` of a tool, and not of the class: `inspect` would take the class's signature from it."""

    def __get__(self, tool: FunctionTool | None, owner: type[FunctionTool]) -> ToolFunction:
        if tool is None:
            raise AttributeError(f"{owner.__name__} wraps nothing; its tools do")
        if tool.function is None:
            raise AttributeError(
                f"tool {tool.name!r} has no __wrapped__: it was not made from a function, or its on_invoke_tool was "
                "replaced"
            )
        return tool.function


@attrs.define(eq=False, repr=False)
class FunctionToolCustomDataContext(Value):
    """What a `custom_data_extractor` is told.

    Source: tools, "Custom data".
    """

    tool_context: ToolContext[Any]
    tool: FunctionTool
    output: Any
    """What the tool returned."""
    raw_item: Mapping[str, Any]
    """The output item the model gets."""


FunctionToolCustomDataExtractor: TypeAlias = (
    "Callable[[FunctionToolCustomDataContext], MaybeAwaitable[Mapping[str, Any] | None]]"
)
"""Makes data for the run's output item that the model never sees."""


def _filled_text(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"a tool's {attribute.name} must be a str, got {value!r}")
    if attribute.name != "name":
        return
    if not value:
        raise UserError("a tool's name must not be empty; give it a name the model can call")
    if not _CALLABLE_NAME.fullmatch(value):
        # No error: what a name may hold is for the provider to say, and some take more than others
        log.warning(
            "tool name %r has characters that many models refuse, or more than 128; use ASCII letters, digits, _ and -",
            value,
        )


def _schema(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, dict):
        raise TypeError(f"{_named(instance)}: {attribute.name} must be a JSON schema as a dict, got {value!r}")


def _object_schema(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    _schema(instance, attribute, value)
    if value.get("type") not in ("object", ["object"]) and "$ref" not in value:
        raise UserError(
            f"{_named(instance)}: {attribute.name} must describe an object, got {value!r}; return a dataclass or a "
            "TypedDict, with what is no object as a field of it"
        )


def _function(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if isinstance(value, FunctionInvoker):
        return
    if not callable(value):
        raise TypeError(f"{_named(instance)}: {attribute.name} must be an async function, got {value!r}")
    check_takes(value, ("context", "arguments"), f"{_named(instance)}: {attribute.name}", TypeError)


def _optional_function(*parameters: str) -> Check:
    def check(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if value is None or isinstance(value, ImplicitFailure):
            return
        name = "failure_error_function" if attribute.name == "on_failure" else attribute.name
        if not callable(value):
            raise TypeError(f"{_named(instance)}: {name} must be a function or None, got {value!r}")
        check_takes(value, parameters, f"{_named(instance)}: {name}", TypeError)

    return check


def _bool_or_function(*parameters: str) -> Check:
    def check(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if isinstance(value, bool):
            return
        if not callable(value):
            raise TypeError(f"{_named(instance)}: {attribute.name} must be True, False or a function, got {value!r}")
        check_takes(value, parameters, f"{_named(instance)}: {attribute.name}", TypeError)

    return check


def _guardrails(kind: str) -> Check:
    def check(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        if value is None:
            return
        from agentrun import _guardrail

        expected = _guardrail.ToolInputGuardrail if kind == "input" else _guardrail.ToolOutputGuardrail
        place = f"{_named(instance)}: {attribute.name}"
        if not isinstance(value, list):
            raise TypeError(f"{place} must be a list or None, got {value!r}; put the guardrails into [...]")
        for index, one in enumerate(cast("list[Any]", value)):
            if not isinstance(one, expected):
                raise TypeError(
                    f"{place}[{index}] must be a {expected.__name__}, got {one!r}; decorate the function with "
                    f"@tool_{kind}_guardrail"
                )

    return check


def _timeout(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{_named(instance)}: the timeout must be a number of seconds or None, got {value!r}")
    if not math.isfinite(value) or value <= 0:
        raise ValueError(f"{_named(instance)}: the timeout must be a positive number of seconds or None, got {value!r}")


def _timeout_behavior(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value not in (allowed := get_args(ToolTimeoutBehavior)):
        raise ValueError(f"{_named(instance)}: timeout_behavior must be one of {list(allowed)}, got {value!r}")


def _callers(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is None:
        return
    allowed = get_args(ToolCaller)
    if isinstance(value, str) or not value or not all(one in allowed for one in value):
        raise UserError(
            f"{_named(instance)}: allowed_callers must be a non-empty list of {list(allowed)} or None, got {value!r}"
        )


def _positive_count(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{_named(instance)}: {attribute.name} must be a whole number of at least 1, got {value!r}")


def _named(instance: object) -> str:
    return f"tool {cast('FunctionTool', instance).name!r}"


@attrs.define(eq=False, repr=False)
class FunctionTool(Dataclass):
    """A tool this process runs.

    Most are made by `function_tool`. One built by hand has no failure function: what its `on_invoke_tool` raises ends
    the run. `params_json_schema` is copied, and made strict unless `strict_json_schema` is False.

    Raises:
        TypeError: a field has a value of the wrong type.
        ValueError: the timeout is no positive, finite number.
        UserError: the name is empty, a schema cannot be strict, or that of the output describes no object.

    Source: tools, "Custom function tools".
    """

    name: str = attrs.field(validator=_filled_text)
    """What the model calls it."""
    description: str = attrs.field(validator=_filled_text)
    """What the model reads about it."""
    params_json_schema: dict[str, Any] = attrs.field(validator=_schema)
    """The JSON schema of its arguments, an object."""
    on_invoke_tool: ToolInvoker = attrs.field(validator=_function)
    """Runs it for one call, with the call's context and the arguments as JSON text; returns any value."""
    strict_json_schema: bool = True
    """Whether the provider must keep to the schema."""
    is_enabled: ToolEnabled = attrs.field(default=True, validator=_bool_or_function("context", "agent"))
    """Whether the model sees it; a function is asked before each turn."""
    tool_input_guardrails: list[ToolInputGuardrail[Any]] | None = attrs.field(
        default=None, validator=_guardrails("input")
    )
    """Checks before a call, in order; the first that rejects answers instead of the tool."""
    tool_output_guardrails: list[ToolOutputGuardrail[Any]] | None = attrs.field(
        default=None, validator=_guardrails("output")
    )
    """Checks of what the tool returned, in order."""
    needs_approval: ToolNeedsApproval = attrs.field(
        default=False, validator=_bool_or_function("context", "arguments", "call_id")
    )
    """Whether a call waits for a person."""
    timeout_seconds: float | None = attrs.field(default=None, validator=_timeout)
    """How long a call may take; None is `Timeouts.tool`. For sync tools see `ToolContext.check_cancelled`."""
    timeout_behavior: ToolTimeoutBehavior = attrs.field(default="error_as_result", validator=_timeout_behavior)
    """What a call past that limit becomes."""
    timeout_error_function: ToolErrorFunction | None = attrs.field(
        default=None, validator=_optional_function("context", "error")
    )
    """Words the text for the model after a timeout, from the `ToolTimeoutError`."""
    defer_loading: bool = False
    """Whether the model finds the tool by searching only; needs a `ToolSearchTool`."""

    custom_data_extractor: FunctionToolCustomDataExtractor | None = attrs.field(
        default=None, kw_only=True, validator=_optional_function("data")
    )
    """Makes data for the output item that the model never sees."""
    allowed_callers: list[ToolCaller] | None = attrs.field(default=None, kw_only=True, validator=_callers)
    """Who may call it; None leaves the provider's default."""
    output_json_schema: dict[str, Any] | None = attrs.field(
        default=None, kw_only=True, validator=attrs.validators.optional(_object_schema)
    )
    """The JSON schema of what it returns, an object, for programs that call it; always made strict."""

    tool_origin: ToolOrigin = attrs.field(default=ToolOrigin(ToolOriginType.FUNCTION), kw_only=True)
    """What it was made from."""
    namespace: str | None = attrs.field(default=None, kw_only=True)
    """The namespace it belongs to, see `tool_namespace`."""
    namespace_description: str | None = attrs.field(default=None, kw_only=True)
    max_output_characters: int = attrs.field(default=MAX_OUTPUT_CHARACTERS, kw_only=True, validator=_positive_count)
    """The most text the model gets from one call; longer text is cut, and says so."""
    nests_run: bool = attrs.field(default=False, kw_only=True)
    """Whether it runs an agent of its own."""
    nested_agent: Agent[Any] | None = attrs.field(default=None, kw_only=True, repr=False)
    """The agent it runs, which a stored state finds by this."""
    on_failure: OnFailure = attrs.field(default=None, kw_only=True, validator=_optional_function("context", "error"))
    """The failure function that `on_invoke_tool` applies; a run asks it for failures that only the run can see."""

    def __attrs_post_init__(self) -> None:
        given = self.params_json_schema
        self.params_json_schema = self._strict(given) if self.strict_json_schema else dict(given)
        if self.output_json_schema is not None:
            self.output_json_schema = self._strict(self.output_json_schema)

    def _strict(self, schema: dict[str, Any]) -> dict[str, Any]:
        from agentrun._strict import ensure_strict_json_schema  # with the first tool or handoff

        try:
            return ensure_strict_json_schema(schema)
        except UserError as exc:
            raise type(exc)(f"{_named(self)}: {exc.message}") from exc

    def __copy__(self) -> Self:
        """Return a copy that shares what the fields hold, but for the schemas; no constructor of a subclass runs."""
        copied = object.__new__(type(self))
        copied._take_over(self, lambda value: value)
        invoke = self.on_invoke_tool
        if inspect.ismethod(invoke) and invoke.__self__ is self:
            copied.on_invoke_tool = invoke.__func__.__get__(copied)
        return copied

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return a copy that shares what the tool calls, objects behind bound methods too, and the agent it runs."""
        for name in attrs.fields_dict(FunctionTool):
            value = getattr(self, name)
            if name == "nested_agent" or (callable(value) and getattr(value, "__self__", None) is not self):
                memo[id(value)] = value
        copied = memo[id(self)] = object.__new__(type(self))
        copied._take_over(self, lambda value: copy.deepcopy(value, memo))
        return copied

    def _take_over(self, other: FunctionTool, each: Callable[[Any], Any]) -> None:
        """Take over what `each` makes of the attributes of `other`, those of a subclass too."""
        of_subclass, slots = cast("tuple[dict[str, Any] | None, dict[str, Any]]", object.__getstate__(other))
        for name, value in {**slots, **(of_subclass or {})}.items():
            object.__setattr__(self, name, each(value))
        FunctionTool.__attrs_post_init__(self)

    def __repr__(self) -> str:
        return f"FunctionTool(name={self.qualified_name!r})"

    @property
    def qualified_name(self) -> str:
        """The name with its namespace before it, `crm.lookup`."""
        return f"{self.namespace}.{self.name}" if self.namespace else self.name

    @property
    def function(self) -> ToolFunction | None:
        """The function that `function_tool` decorated; None for a tool built by hand, or with another invoker since."""
        return self.on_invoke_tool.function if isinstance(self.on_invoke_tool, FunctionInvoker) else None

    __wrapped__: ClassVar[_Wrapped] = _Wrapped()

    @property
    def runs_in_thread(self) -> bool:
        """Whether its body is a sync function, which runs in a worker thread and can only be asked to stop."""
        return isinstance(self.on_invoke_tool, FunctionInvoker) and self.on_invoke_tool.runs_in_thread

    @property
    def keeps_arguments(self) -> Callable[[Mapping[str, Any]], bool] | None:
        """Whether the body gets just the parsed arguments it is given; a `needs_approval` function sees no others.

        None for tools that read their JSON text themselves.
        """
        return self.on_invoke_tool.keeps_arguments if isinstance(self.on_invoke_tool, FunctionInvoker) else None

    def to_wire(self) -> dict[str, Any]:
        """Return the tool as a member of a request's `tools`; the schemas in it are its own, so do not change them."""
        found: dict[str, Any] = {
            "type": "function",
            "name": self.name,
            "description": self.description,
            "parameters": self.params_json_schema,
            "strict": self.strict_json_schema,
        }
        if self.defer_loading:
            found["defer_loading"] = True
        if self.allowed_callers is not None:
            found["allowed_callers"] = list(self.allowed_callers)
        if self.output_json_schema is not None:
            found["output_schema"] = self.output_json_schema
        return found


@overload
def function_tool(
    func: ToolFunction,
    *,
    name_override: str | None = None,
    description_override: str | None = None,
    docstring_style: DocstringStyle | None = None,
    use_docstring_info: bool = True,
    failure_error_function: OnFailure = IMPLICIT_FAILURE,
    strict_mode: bool = True,
    is_enabled: ToolEnabled = True,
    needs_approval: ToolNeedsApproval = False,
    tool_input_guardrails: list[ToolInputGuardrail[Any]] | None = None,
    tool_output_guardrails: list[ToolOutputGuardrail[Any]] | None = None,
    timeout: float | None = None,
    timeout_behavior: ToolTimeoutBehavior = "error_as_result",
    timeout_error_function: ToolErrorFunction | None = None,
    defer_loading: bool = False,
    custom_data_extractor: FunctionToolCustomDataExtractor | None = None,
    allowed_callers: list[ToolCaller] | None = None,
    output_type: Any | None = None,
    output_json_schema: dict[str, Any] | None = None,
) -> FunctionTool: ...
@overload
def function_tool(
    func: None = None,
    *,
    name_override: str | None = None,
    description_override: str | None = None,
    docstring_style: DocstringStyle | None = None,
    use_docstring_info: bool = True,
    failure_error_function: OnFailure = IMPLICIT_FAILURE,
    strict_mode: bool = True,
    is_enabled: ToolEnabled = True,
    needs_approval: ToolNeedsApproval = False,
    tool_input_guardrails: list[ToolInputGuardrail[Any]] | None = None,
    tool_output_guardrails: list[ToolOutputGuardrail[Any]] | None = None,
    timeout: float | None = None,
    timeout_behavior: ToolTimeoutBehavior = "error_as_result",
    timeout_error_function: ToolErrorFunction | None = None,
    defer_loading: bool = False,
    custom_data_extractor: FunctionToolCustomDataExtractor | None = None,
    allowed_callers: list[ToolCaller] | None = None,
    output_type: Any | None = None,
    output_json_schema: dict[str, Any] | None = None,
) -> Callable[[ToolFunction], FunctionTool]: ...
def function_tool(  # noqa: PLR0913 - the documented signature
    func: ToolFunction | None = None,
    *,
    name_override: str | None = None,
    description_override: str | None = None,
    docstring_style: DocstringStyle | None = None,
    use_docstring_info: bool = True,
    failure_error_function: OnFailure = IMPLICIT_FAILURE,
    strict_mode: bool = True,
    is_enabled: ToolEnabled = True,
    needs_approval: ToolNeedsApproval = False,
    tool_input_guardrails: list[ToolInputGuardrail[Any]] | None = None,
    tool_output_guardrails: list[ToolOutputGuardrail[Any]] | None = None,
    timeout: float | None = None,
    timeout_behavior: ToolTimeoutBehavior = "error_as_result",
    timeout_error_function: ToolErrorFunction | None = None,
    defer_loading: bool = False,
    custom_data_extractor: FunctionToolCustomDataExtractor | None = None,
    allowed_callers: list[ToolCaller] | None = None,
    output_type: Any | None = None,
    output_json_schema: dict[str, Any] | None = None,
) -> FunctionTool | Callable[[ToolFunction], FunctionTool]:
    """Make a tool from a function, a method or a callable object; works with and without parentheses.

    Name, description and JSON schema come from the function's name, docstring and signature. A first parameter
    annotated with `RunContextWrapper` or `ToolContext` gets the call's context and is hidden from the model. An async
    function runs in a task of the run; a sync one in a worker thread, with the context variables copied.

    Args:
        func: the function.
        name_override: the name, instead of the function's own.
        description_override: the description, instead of the docstring's.
        docstring_style: "google", "numpy" or "sphinx"; None finds out.
        use_docstring_info: whether the docstring is read at all.
        failure_error_function: makes an output for the model from what the function raises; None lets it end the run,
            and so does a function that returns None. The default one says that the tool failed and shows no internals;
            for wrong arguments it lists the faults.
        strict_mode: whether the schema is strict, which lets the provider guarantee valid arguments.
        is_enabled: whether the model sees the tool; a function is asked before each turn.
        needs_approval: whether a call waits for a person.
        tool_input_guardrails: checks before a call.
        tool_output_guardrails: checks of what the function returned.
        timeout: seconds a call may take, for sync functions too: their thread is told through
            `ToolContext.check_cancelled`, and abandoned when it does not listen.
        timeout_behavior: "error_as_result" tells the model, "raise_exception" ends the run with `ToolTimeoutError`.
        timeout_error_function: words what the model is told.
        defer_loading: whether the model finds the tool by searching only.
        custom_data_extractor: makes data for the output item that the model never sees.
        allowed_callers: who may call the tool.
        output_type: the type of what the function returns, one with named fields; its JSON schema is told to programs
            that call the tool.
        output_json_schema: that schema itself; not together with `output_type`.

    Raises:
        UserError: the signature has no JSON schema, or the function cannot be a tool; the message names the parameter.
        TypeError: an option has a value of the wrong type.
        ValueError: the timeout is no positive, finite number.

    Source: tools, "Function tools".
    """

    def make(function: ToolFunction) -> FunctionTool:
        from agentrun.function_schema import function_schema

        _check_function(function, name_override)
        schema = function_schema(
            function,
            docstring_style,
            name_override,
            description_override,
            use_docstring_info,
            strict_json_schema=strict_mode,
        )
        return FunctionTool(
            schema.name,
            schema.description or "",
            schema.params_json_schema,
            _invoker(function, schema, failure_error_function),
            strict_mode,
            is_enabled,
            tool_input_guardrails,
            tool_output_guardrails,
            needs_approval,
            timeout,
            timeout_behavior,
            timeout_error_function,
            defer_loading,
            custom_data_extractor=custom_data_extractor,
            allowed_callers=allowed_callers,
            output_json_schema=_output_schema(schema.name, output_type, output_json_schema),
            on_failure=failure_error_function,
        )

    return make if func is None else make(func)


def tool_namespace(*, name: str, description: str | None, tools: Sequence[FunctionTool]) -> list[FunctionTool]:
    """Return copies of `tools` that belong to a namespace, which the model sees as one group.

    Args:
        name: the namespace.
        description: what the model reads about the group.
        tools: function tools; they are not changed.

    Raises:
        UserError: name or description is empty, or one of `tools` is no function tool or has the namespace's name.

    Source: tools, "Tool search".
    """
    if not name or not name.strip():
        raise UserError(f"a tool namespace needs a name, got {name!r}")
    if not description or not description.strip():
        raise UserError(f"tool namespace {name!r} needs a description for the model, got {description!r}")
    if isinstance(tools, FunctionTool):
        raise UserError(f"tool namespace {name!r} takes a list of tools, got {tools!r}; put it into [...]")
    for tool in tools:
        if not isinstance(tool, FunctionTool):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise UserError(f"tool namespace {name!r} takes function tools only, got {tool!r}")
        if tool.name == name.strip():
            raise UserError(
                f"tool namespace {name!r} has a tool of its own name, which is how providers write a tool without a "
                "namespace; give one of them another name"
            )
    # Not attrs.evolve: a subclass may have a constructor of its own
    copies = [copy.copy(tool) for tool in tools]
    for copied in copies:
        copied.namespace, copied.namespace_description = name.strip(), description.strip()
    return copies


def _check_function(function: Any, name_override: str | None) -> None:
    """Refuse what has a signature and still makes no tool."""
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise UserError(f"{function!r} is a generator function, whose parts no model gets; return them as one list")
    if not inspect.isfunction(function):
        return
    if function.__name__ == "<lambda>" and name_override is None:
        raise UserError("a lambda has no name that a model can call; give the tool one with name_override")
    first = next(iter(inspect.signature(function).parameters.values()), None)
    if first is not None and first.name in ("self", "cls") and first.annotation is first.empty:
        raise UserError(
            f"{function.__qualname__} is a method without its object, so the model would have to make up "
            f"{first.name!r}; make the tool from the bound method: function_tool(instance.{function.__name__})"
        )


def _is_async(function: Any) -> bool:
    while isinstance(function, functools.partial):
        function = cast("Any", function).func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def _invoker(function: ToolFunction, schema: FuncSchema, on_failure: OnFailure) -> FunctionInvoker:
    """Return what calls `function` with a call's arguments; all that can be known before a call is known here."""
    from agentrun._json import StructureError
    from agentrun._threads import run_in_thread

    structure_arguments, takes_context = schema.structure_arguments, schema.takes_context

    def structure(context: ToolContext[Any], arguments: str) -> tuple[list[Any], dict[str, Any]]:
        try:
            positional, keywords = structure_arguments(arguments)
        except StructureError as exc:
            raise ToolArgumentsError(context.tool_name, exc.faults, context.tool_call_id) from exc
        if takes_context:
            positional.insert(0, context)
        return positional, keywords

    async def invoke(context: ToolContext[Any], arguments: str) -> Any:
        positional, keywords = structure(context, arguments)
        return await function(*positional, **keywords)

    async def invoke_in_thread(context: ToolContext[Any], arguments: str) -> Any:
        positional, keywords = structure(context, arguments)

        # A function of its own, because the tool may have a parameter that is called `context` as well
        def body() -> Any:
            return function(*positional, **keywords)

        found = await run_in_thread(body, context=context)
        # A sync function may still hand back something to wait for: a lambda, or a decorator that is not async itself.
        return await found if inspect.isawaitable(found) else found

    is_async = _is_async(function)
    called = with_failure_function(invoke if is_async else invoke_in_thread, on_failure)
    return FunctionInvoker(called, function, not is_async, schema.keeps_arguments)


def _output_schema(name: str, output_type: Any | None, schema: dict[str, Any] | None) -> dict[str, Any] | None:
    if output_type is None:
        return schema
    if schema is not None:
        raise UserError(f"tool {name!r} has an output_type and an output_json_schema; give one of them")
    from agentrun._schema import json_schema

    try:
        return json_schema(output_type, strict=False)
    except UserError as exc:
        raise UserError(f"tool {name!r}: output_type {exc.message}") from exc
