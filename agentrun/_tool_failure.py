"""What the model is told when a tool fails: the failure functions, and the formatter a run may set.

A failure function turns what the tool raised into an ordinary output. Tools made by `function_tool` have the default
one unless told otherwise; tools built by hand have none, so that what they raise ends the run.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import attrs

from agentrun._dataclass import FrozenValue
from agentrun._exceptions import ModelBehaviorError, UserError
from agentrun._logging import traceback_of

if TYPE_CHECKING:
    from agentrun._context import RunContextWrapper, ToolContext
    from agentrun._failure_values import ToolErrorFormatterArgs
    from agentrun._settings import MaybeAwaitable

log = logging.getLogger("agentrun")

DEFAULT_TOOL_ERROR_MESSAGE: Final = "An error occurred while running the tool. Please try again."
"""What the model is told of a failed tool, when nobody says otherwise. It shows no internals on purpose."""
DEFAULT_APPROVAL_REJECTION_MESSAGE: Final = "Tool execution was not approved."
"""What the model is told of a refused call, when nobody says otherwise."""

ToolErrorFunction: TypeAlias = "Callable[[RunContextWrapper[Any], Exception], MaybeAwaitable[str]]"
"""Makes the tool's output from what the tool raised; None instead of a text lets it end the run."""

ToolErrorFormatter: TypeAlias = "Callable[[ToolErrorFormatterArgs[Any]], MaybeAwaitable[str | None]]"
"""Words what the model is told of a refused, unknown or failed call; None keeps the default message."""


class ToolArgumentsError(ModelBehaviorError):
    """The model called a tool with arguments that do not fit its schema, or that are no JSON object.

    What it says holds nothing but what the model wrote and what the schema told it, so the default failure function
    passes the faults on.
    """

    faults: list[str]
    """One line each, with the path of the part meant."""
    call_id: str
    """The call the arguments are of."""

    def __init__(self, tool_name: str, faults: Sequence[str], call_id: str) -> None:
        super().__init__(f"tool {tool_name!r} was called with arguments it cannot take: " + "\n".join(faults))
        self.faults = list(faults)
        self.call_id = call_id


class AgentToolDepthError(UserError):
    """Agents as tools are nested too deep, as happens when one of them can call itself, over whichever others.

    No failure function is asked about it: the model it would be told to is one of those that go round in circles.
    """


def default_tool_error_function(ctx: RunContextWrapper[Any], error: Exception) -> str:
    """Return the text the model gets for a failed tool: that it failed, and nothing of the exception.

    Wrong arguments are the exception to that: the text goes on with one line per fault, since the model can only repair
    what it is told of, and a fault quotes nothing but the model's own arguments.

    Source: tools, "Handling errors in function tools".
    """
    # A nested run may fail with the arguments of a call of its own, which are not what this call's model wrote.
    if isinstance(error, ToolArgumentsError) and error.call_id == _call_id(ctx):
        return "\n".join((f"{DEFAULT_TOOL_ERROR_MESSAGE} The arguments were not accepted:", *error.faults))
    return DEFAULT_TOOL_ERROR_MESSAGE


def _call_id(ctx: RunContextWrapper[Any]) -> str | None:
    from agentrun._context import ToolContext

    return ctx.tool_call_id if isinstance(ctx, ToolContext) else None


@attrs.frozen(eq=False, repr=False)
class ImplicitFailure(FrozenValue):
    """Stands for "nothing was said": the default failure function, which a `tool_error_formatter` may overrule."""


IMPLICIT_FAILURE: Final = ImplicitFailure()

OnFailure: TypeAlias = "ToolErrorFunction | ImplicitFailure | None"
"""A failure function, the default one, or None to let exceptions end the run."""


async def tool_error_message(formatter: ToolErrorFormatter | None, args: ToolErrorFormatterArgs[Any]) -> str:
    """Return what the model is told, as the formatter words it, or `args.default_message`.

    A formatter that raises or returns anything but a str or None is reported in the log and passed over. Checkpoints
    only as far as the formatter does.

    Source: running agents, "Tool error formatter".
    """
    if formatter is None:
        return args.default_message
    try:
        message: object = formatter(args)
        if inspect.isawaitable(message):
            message = cast("object", await message)
    except Exception as exc:  # boundary of the user's formatter: a wording that fails must not fail the run
        log.error(
            "the tool_error_formatter failed for tool %r with %s; the default message is used",
            args.tool_name,
            type(exc).__name__,
            exc_info=traceback_of(exc, tool_data=True),
        )
        return args.default_message
    if isinstance(message, str):
        return message
    if message is not None:
        # Never the value, which may hold data or fail to show itself
        log.error(
            "the tool_error_formatter must return a str or None, got an object of type %s; the default message is used",
            type(message).__name__,
        )
    return args.default_message


async def failure_output(
    context: ToolContext[Any], error: Exception, on_failure: ToolErrorFunction | ImplicitFailure
) -> str:
    """Return the output of a call whose tool raised `error`, and note the error on the context.

    Raises:
        Exception: `error` itself, when the failure function returns None; else whatever that function raises.
    """
    context.failure = error
    if not isinstance(on_failure, ImplicitFailure):
        text: Any = on_failure(context, error)
        if inspect.isawaitable(text):
            text = await text
        if text is None:
            raise error
        return cast("str", text)
    from agentrun._failure_values import ToolErrorFormatterArgs

    default_message = default_tool_error_function(context, error)
    formatter = context.run_config.tool_error_formatter if context.run_config is not None else None
    return await tool_error_message(
        formatter,
        ToolErrorFormatterArgs(
            kind="tool_exception",
            tool_type="function",
            tool_name=context.qualified_tool_name,
            call_id=context.tool_call_id,
            default_message=default_message,
            run_context=context,
            error=error,
        ),
    )


ToolInvoker: TypeAlias = "Callable[[ToolContext[Any], str], Awaitable[Any]]"
"""Runs a tool for one call: takes the context and the arguments as JSON text, returns the tool's own value."""


def with_failure_function(invoke: ToolInvoker, on_failure: OnFailure) -> ToolInvoker:
    """Return `invoke` with everything it raises turned into an output by `on_failure`.

    Cancellation passes through, as do KeyboardInterrupt, SystemExit and AgentToolDepthError. With None it is `invoke`
    itself.
    """
    if on_failure is None:
        return invoke

    async def invoke_safely(context: ToolContext[Any], arguments: str) -> Any:
        try:
            return await invoke(context, arguments)
        except AgentToolDepthError:
            raise
        except Exception as exc:  # noqa: BLE001 - boundary of the tool: what it raises is an output for the model
            return await failure_output(context, exc, on_failure)

    return invoke_safely
