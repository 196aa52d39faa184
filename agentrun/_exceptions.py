"""The exceptions of agentrun, and where a failed run keeps what it had.

::

    AgentsException                        everything agentrun raises on purpose; `.run_data`
     +- UserError                          the program is wrong: fix the call that raised it
     |   +- SessionBusy                    another run holds the session and was told not to wait
     +- MaxTurnsExceeded                   the run used up `max_turns`
     +- RunTimeoutError (TimeoutError)     a run or turn passed its deadline
     +- ModelBehaviorError                 the model said something no run can act on
     +- ModelRefusalError                  the model refused
     +- ModelError                         a request to the model failed
     |   +- ModelTransportError (ConnectionError)
     |   +- ModelStatusError               an HTTP status that is no success
     |   +- ModelTimeoutError (TimeoutError)
     |   +- ModelLimitError                the reply passed one of our size limits
     +- ToolTimeoutError (TimeoutError)
     +- ToolCancelledError                 raised inside a sync tool that was told to stop
     +- InputGuardrailTripwireTriggered
     +- OutputGuardrailTripwireTriggered
     +- ToolInputGuardrailTripwireTriggered
     +- ToolOutputGuardrailTripwireTriggered
     +- MCPToolCancellationError

Whatever leaves a run, also an exception of the user's own model or hook, carries `run_data`; `run_data(exc)` finds it
in any chain or group.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

import attrs

from agentrun._dataclass import Dataclass
from agentrun._fields import new_list

if TYPE_CHECKING:
    from agentrun._agent import Agent
    from agentrun._context import RunContextWrapper
    from agentrun._guardrail import (
        InputGuardrailResult,
        OutputGuardrailResult,
        ToolGuardrailFunctionOutput,
        ToolInputGuardrail,
        ToolInputGuardrailResult,
        ToolOutputGuardrail,
        ToolOutputGuardrailResult,
    )
    from agentrun._items import ModelResponse, RunItem
    from agentrun._responses import TResponseInputItem
    from agentrun._state import RunState

ModelLimitName = Literal["connect", "first_event", "idle", "total"]
"""Which deadline of a model call passed; the names are those of `Timeouts`."""


@attrs.define(eq=False, repr=False)
class RunErrorDetails(Dataclass):
    """What a run had done when it failed.

    The items of finished turns, and of the failing turn every call that already has its output.

    Source: exceptions, "run_data".
    """

    input: str | list[TResponseInputItem]
    """The input the run was given, or what a handoff filter made of it."""
    new_items: list[RunItem]
    """The items made by the run, oldest first; each call in it has its output."""
    raw_responses: list[ModelResponse]
    """One entry per model reply that arrived whole."""
    last_agent: Agent[Any]
    """The agent whose turn failed."""
    context_wrapper: RunContextWrapper[Any]
    """The run's context object and usage."""
    input_guardrail_results: list[InputGuardrailResult]
    """Verdicts in the order they came in, the tripping one included."""
    output_guardrail_results: list[OutputGuardrailResult]
    """Verdicts in the order they came in, the tripping one included."""
    tool_input_guardrail_results: list[ToolInputGuardrailResult] = attrs.field(factory=new_list)
    """Verdicts of finished turns."""
    tool_output_guardrail_results: list[ToolOutputGuardrailResult] = attrs.field(factory=new_list)
    """Verdicts of finished turns."""
    _state: RunState[Any] | None = attrs.field(default=None, repr=False, alias="state")

    def to_state(self) -> RunState[Any]:
        """Return the run as it stood after its last finished turn, ready to be run again.

        Returns:
            A snapshot of its own: running it changes neither this object nor the exception.

        Raises:
            UserError: these details were built by hand and never belonged to a run.
        """
        if self._state is None:
            raise UserError("these run details belong to no run, so there is no state to continue from")
        return self._state.snapshot()

    def __str__(self) -> str:
        """Return a summary of several lines: last agent, and how many items, replies and verdicts there are."""
        return "\n".join(
            (
                "RunErrorDetails:",
                f"- Last agent: Agent(name={self.last_agent.name!r}, ...)",
                f"- {len(self.new_items)} new item(s)",
                f"- {len(self.raw_responses)} raw response(s)",
                f"- {len(self.input_guardrail_results)} input guardrail result(s)",
                f"- {len(self.output_guardrail_results)} output guardrail result(s)",
            )
        )


def _without_init(cls: type[AgentsException], args: tuple[object, ...]) -> AgentsException:
    """Return an exception of `cls` with `args`, whose attributes are set by whoever copies or unpickles it."""
    exc = cls.__new__(cls, *args)
    exc.args = args  # OSError's own __new__ leaves them to __init__
    return exc


class AgentsException(Exception):
    """The base of every exception that agentrun raises on purpose.

    Source: exceptions.
    """

    run_data: RunErrorDetails | None
    """What the run had done, or None when the exception left no run."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.run_data = None

    def __reduce__(self) -> tuple[Any, ...]:
        # Python copies and unpickles an exception by calling its class with `args`, the message; most classes here take
        # something else.
        return _without_init, (type(self), self.args), self.__dict__


class UserError(AgentsException):
    """The program uses agentrun wrongly; the message says what was given, what was expected and what to do.

    Source: exceptions, "UserError".
    """

    message: str

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class SessionBusy(UserError):
    """Another run holds the session, and this one was told not to wait for it."""


class MaxTurnsExceeded(AgentsException):
    """The run would have needed more model calls than `max_turns` allows.

    Source: exceptions, "MaxTurnsExceeded".
    """

    message: str

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


_LEVELS = {"run": "run", "turn": "turn", "save": "session write"}


class RunTimeoutError(AgentsException, TimeoutError):
    """A whole run, one turn of it, or one write to its session passed the deadline set in `Timeouts`."""

    limit: Literal["run", "turn", "save"]
    """Which deadline passed."""
    seconds: float
    """How long it was."""

    def __init__(self, limit: Literal["run", "turn", "save"], seconds: float) -> None:
        super().__init__(
            f"the {_LEVELS[limit]} ran past {seconds:g} s; raise Timeouts.{limit} or make the work shorter"
        )
        self.limit = limit
        self.seconds = seconds


class ModelBehaviorError(AgentsException):
    """The model did something no run can act on: an unknown tool, broken JSON, a reply that never ended.

    Source: exceptions, "ModelBehaviorError".
    """

    message: str

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ModelRefusalError(AgentsException):
    """The model refused, and no error handler supplied an output instead.

    Source: exceptions, "ModelRefusalError".
    """

    refusal: str
    """The model's own words."""

    def __init__(self, refusal: str) -> None:
        super().__init__(f"model refused: {refusal}")
        self.refusal = refusal


class ModelError(AgentsException):
    """A request to a model failed before a whole reply arrived; the HTTP library's exception is the cause."""

    message: str

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ModelTransportError(ModelError, ConnectionError):
    """The connection to the model could not be made, or broke."""

    request_sent: bool
    """False when not a byte of the request left this machine, so that sending it again is safe."""
    response_started: bool
    """True when the head of a response had arrived."""

    def __init__(self, message: str, *, request_sent: bool = True, response_started: bool = False) -> None:
        super().__init__(message)
        self.request_sent = request_sent
        self.response_started = response_started


class ModelStatusError(ModelError):
    """The provider answered with an HTTP status that is no success."""

    status: int
    """The HTTP status code."""
    headers: Mapping[str, str]
    """The response headers, names in lower case."""
    body: bytes
    """The body as it came, at most 64 KiB of it, credentials of ours cut out."""
    request_id: str | None
    """The provider's id of the request, if it sent one."""
    retry_after: float | None
    """Seconds the provider asks to wait, if it does."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})
        self.body = body
        self.request_id = request_id
        self.retry_after = retry_after

    @property
    def status_code(self) -> int:
        """The HTTP status code, under the name the httpx family gives it."""
        return self.status


class ModelTimeoutError(ModelError, TimeoutError):
    """A model call passed one of its deadlines.

    Source: exceptions, "ModelTimeoutError".
    """

    timeout_seconds: float
    """How long the deadline was."""
    limit: ModelLimitName
    """Which deadline passed: connecting, the first event, the gap between events, or the whole call."""

    def __init__(self, timeout_seconds: float, limit: ModelLimitName = "total") -> None:
        super().__init__(f"model call ran past its {limit} limit of {timeout_seconds:g} s; raise Timeouts.{limit}")
        self.timeout_seconds = timeout_seconds
        self.limit = limit


class ModelLimitError(ModelError):
    """A reply was larger than one of the size limits that protect this process."""

    limit: str
    """The name of the limit, a field of `agentrun.models.Limits`."""
    value: int
    """What was reached, in the unit of the limit."""
    maximum: int
    """The limit."""

    def __init__(self, limit: str, value: int, maximum: int) -> None:
        super().__init__(f"the model's reply reached {value} where {limit} allows {maximum}; raise Limits.{limit}")
        self.limit = limit
        self.value = value
        self.maximum = maximum


class ToolTimeoutError(AgentsException, TimeoutError):
    """A tool ran past its `timeout`.

    Source: exceptions, "ToolTimeoutError".
    """

    tool_name: str
    timeout_seconds: float

    def __init__(self, tool_name: str, timeout_seconds: float) -> None:
        super().__init__(f"Tool '{tool_name}' timed out after {timeout_seconds:g} seconds.")
        self.tool_name = tool_name
        self.timeout_seconds = timeout_seconds


class ToolCancelledError(AgentsException):
    """Raised by `ToolContext.check_cancelled()` inside a sync tool whose call was cancelled or timed out."""


class MCPToolCancellationError(AgentsException):
    """An MCP tool call was cancelled by its server.

    Source: exceptions, "MCPToolCancellationError".
    """

    message: str

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InputGuardrailTripwireTriggered(AgentsException):
    """An input guardrail tripped; model and tools were cancelled.

    Source: exceptions, "InputGuardrailTripwireTriggered".
    """

    guardrail_result: InputGuardrailResult
    """The tripping guardrail and its output."""

    def __init__(self, guardrail_result: InputGuardrailResult) -> None:
        super().__init__(f"Guardrail {guardrail_result.guardrail.get_name()} triggered tripwire")
        self.guardrail_result = guardrail_result


class OutputGuardrailTripwireTriggered(AgentsException):
    """An output guardrail tripped; the output is withheld.

    Source: exceptions, "OutputGuardrailTripwireTriggered".
    """

    guardrail_result: OutputGuardrailResult
    """The tripping guardrail, the agent, the output it judged and its verdict."""

    def __init__(self, guardrail_result: OutputGuardrailResult) -> None:
        super().__init__(f"Guardrail {guardrail_result.guardrail.get_name()} triggered tripwire")
        self.guardrail_result = guardrail_result


class ToolInputGuardrailTripwireTriggered(AgentsException):
    """A tool input guardrail answered with `raise_exception`.

    Source: exceptions, "ToolInputGuardrailTripwireTriggered".
    """

    guardrail: ToolInputGuardrail[Any]
    output: ToolGuardrailFunctionOutput

    def __init__(self, guardrail: ToolInputGuardrail[Any], output: ToolGuardrailFunctionOutput) -> None:
        super().__init__(f"Tool input guardrail {guardrail.get_name()} triggered tripwire")
        self.guardrail = guardrail
        self.output = output


class ToolOutputGuardrailTripwireTriggered(AgentsException):
    """A tool output guardrail answered with `raise_exception`.

    Source: exceptions, "ToolOutputGuardrailTripwireTriggered".
    """

    guardrail: ToolOutputGuardrail[Any]
    output: ToolGuardrailFunctionOutput

    def __init__(self, guardrail: ToolOutputGuardrail[Any], output: ToolGuardrailFunctionOutput) -> None:
        super().__init__(f"Tool output guardrail {guardrail.get_name()} triggered tripwire")
        self.guardrail = guardrail
        self.output = output


def run_data(exc: BaseException) -> RunErrorDetails | None:
    """Return what the run had done that `exc` left, wherever in its causes, contexts or groups that is kept.

    Args:
        exc: any exception, for example the `TimeoutError` of an `anyio.fail_after` round a failed run.

    Returns:
        The details nearest to `exc`, or None when no run failed on the way.
    """
    for one in _related(exc):
        found = getattr(one, "run_data", None)
        if isinstance(found, RunErrorDetails):
            return found
    return None


def _related(exc: BaseException) -> Iterator[BaseException]:
    """Yield `exc` and everything linked from it, nearest first, each once."""
    seen: set[int] = set()
    waiting: list[BaseException] = [exc]
    while waiting:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        if isinstance(one, BaseExceptionGroup):
            waiting.extend(one.exceptions)  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
        waiting.extend(link for link in (one.__cause__, one.__context__) if link is not None)
