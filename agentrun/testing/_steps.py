"""The script: what a scripted model or provider answers, step by step, and the calls it saw.

A step says three things: what is answered (items, exact events, an error, or a function that decides when it is
called), at what pace (delays, a gate), and whether the stream breaks or hangs on the way. `ScriptedModel` plays steps
as values, `LoopbackProvider` as bytes; what a step means is settled here, once.
"""

from __future__ import annotations

import copy
import json
from collections import deque
from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias, TypedDict, cast

import attrs

from agentrun._codec import structure_item
from agentrun._dataclass import Dataclass
from agentrun._items import ModelResponse
from agentrun._retry import ModelRetryAdvice
from agentrun._usage import Usage
from agentrun.testing._gate import Gate

if TYPE_CHECKING:
    from agentrun._handoff import Handoff
    from agentrun._hosted_tools import Tool
    from agentrun._responses import TResponseInputItem, TResponseOutputItem
    from agentrun._settings import ModelSettings
    from agentrun.agent_output import AgentOutputSchemaBase
    from agentrun.models.interface import ModelTracing

Step: TypeAlias = Any
"""A `ModelStep`, a sequence of output items, a `ModelResponse`, a text, an exception, a dict of `ModelStep` fields, or
a function of the call, sync or async, that returns one of these."""

Events: TypeAlias = "Sequence[Any] | Callable[[Any], Iterable[Any] | AsyncIterable[Any]]"
"""Stream events, as values or wire dicts, or a function of the call that yields them."""

ModelStepReason: TypeAlias = Literal[
    "invalid_input",
    "unsupported_field",
    "invalid_error",
    "invalid_responder",
    "invalid_stream_events",
    "conflicting_outcomes",
    "invalid_retry_advice",
]
"""What is wrong with a step: what it is or holds, an unknown key, one of its fields, or fields that exclude each other.

Source: testing, "InvalidModelStep".
"""

AUTO_ID = "auto"
"""Stands for the id that replies get when their step names none: `resp-789` for models, counted for a provider."""


class ModelScriptError(Exception):
    """The base of what is wrong with a script.

    Source: testing, "Errors".
    """


class InvalidModelStep(ModelScriptError, ValueError):
    """Something was given as a step that is none; raised before it enters the script."""

    reason: ModelStepReason
    """What is wrong with it."""
    input_index: int
    """Its place among the steps given with it, from 0."""

    def __init__(self, message: str, *, reason: ModelStepReason, input_index: int) -> None:
        super().__init__(message)
        self.reason = reason
        self.input_index = input_index


class UnexpectedModelCall(ModelScriptError, AssertionError):
    """The model was called after the last step of its script."""

    call: Any
    """The call: a `ModelCall`, or the request's body for a provider."""
    call_index: int
    """Its place among the calls, from 0."""

    def __init__(self, message: str, *, call: Any, call_index: int) -> None:
        super().__init__(message)
        self.call = call
        self.call_index = call_index


class UnconsumedModelSteps(ModelScriptError, AssertionError):
    """The test ended before the script did."""

    remaining_steps: int
    """How many steps were never asked for."""

    def __init__(self, message: str, *, remaining_steps: int) -> None:
        super().__init__(message)
        self.remaining_steps = remaining_steps


@attrs.frozen(kw_only=True)
class ModelCall(Dataclass):
    """One call of a model, as it was when it was made: later changes of the conversation do not show here.

    Source: testing, "Inspecting calls".
    """

    system_instructions: str | None
    input: str | list[TResponseInputItem]
    model_settings: ModelSettings
    tools: list[Tool]
    output_schema: AgentOutputSchemaBase | None
    handoffs: list[Handoff[Any, Any]]
    tracing: ModelTracing
    previous_response_id: str | None
    conversation_id: str | None
    prompt: Any | None
    streamed: bool
    """Whether a stream was asked for."""


@attrs.frozen
class HttpReply:
    """A whole HTTP reply, for what no well-behaved provider sends."""

    status: int
    headers: dict[str, str]
    chunks: tuple[bytes, ...]
    """The body, in the pieces it is sent in."""


@attrs.define
class ModelStep(Dataclass):
    """One scripted reply. A model keeps a copy of the steps it is given, so that later changes of them do not count.

    Pace and breakage count events: the reply is turned into stream events, and `delay`, `gate`, `after`, `error` and
    `hangs` say what happens before, between and after them. A call that asks for no stream takes the same time and ends
    the same way.

    Source: testing, "ModelStep".
    """

    output: Sequence[Any] = attrs.field(factory=tuple)
    """Output items, as values, wire dicts or texts (a text is an assistant message)."""
    usage: Usage | None = None
    """The tokens of the reply; the script's default when None or an empty `Usage()`."""
    response_id: str | None = AUTO_ID
    request_id: str | None = None
    raw_usage: dict[str, Any] | None = None
    """What `ModelResponse.raw_usage` holds when the settings ask for it."""
    error: BaseException | None = None
    """Raised instead of a reply, or after `after` events of it."""
    responder: Callable[[Any], Any] | None = None
    """Decides the reply when the call is made."""
    stream_events: Events | None = None
    """The exact events of the stream, in place of those made from `output`."""
    retry_advice: ModelRetryAdvice | None = None
    """What `get_retry_advice` says of `error`."""
    delay: float | Sequence[float] = 0.0
    """Seconds to wait before each event, or one number per event; events past the list's end come at once."""
    gate: Gate | None = None
    """Waited for before the event named by `before`."""
    before: int | str = 0
    """The event that `gate` holds back: its place, or the first of its type; past the end, the end of the stream."""
    after: int | None = None
    """How many events are sent before `error` is raised or the stream hangs; None means all."""
    hangs: bool = False
    """Whether the stream never goes on after `after` events."""
    then: BaseException | None = None
    """Raised after the events of `stream_events`, or after the body of `http`."""
    http: HttpReply | None = None
    """A literal HTTP reply; a `ScriptedModel` raises `ModelStatusError` for it."""

    @classmethod
    def respond(
        cls,
        reply: Sequence[Any] | str | Callable[[Any], Any],
        *,
        usage: Usage | None = None,
        response_id: str | None = AUTO_ID,
        request_id: str | None = None,
        raw_usage: dict[str, Any] | None = None,
        delay: float | Sequence[float] = 0.0,
        gate: Gate | None = None,
        before: int | str = 0,
    ) -> Self:
        """Return a step that answers with `reply`.

        Args:
            reply: output items, a text, or a function of the call that returns any step. What it returns keeps its own
                usage, id and pace where it sets them.
            usage: the tokens of the reply.
            response_id: its id; counted when not given.
            request_id: the id of the HTTP request.
            raw_usage: the provider's own usage object.
            delay: seconds before each event, or a list of them.
            gate: waited for before the event `before`.
            before: the place or type of the event that `gate` holds back.
        """
        if callable(reply):
            source: dict[str, Any] = {"responder": reply}
        else:
            source = {"output": (reply,) if isinstance(reply, str) else reply}
        return cls(
            usage=usage,
            response_id=response_id,
            request_id=request_id,
            raw_usage=raw_usage,
            delay=delay,
            gate=gate,
            before=before,
            **source,
        )

    @classmethod
    def stream(  # all but one are keywords
        cls,
        events: Events,
        *,
        output: Sequence[Any] = (),
        usage: Usage | None = None,
        response_id: str | None = AUTO_ID,
        delay: float | Sequence[float] = 0.0,
        gate: Gate | None = None,
        before: int | str = 0,
        after: int | None = None,
        then: BaseException | None = None,
    ) -> Self:
        """Return a step with exactly these stream events.

        Args:
            events: event values or wire dicts, or a function of the call that yields them, also as an async generator.
            output: what a call without a stream answers; taken from the last `response.completed` event when empty.
            usage: the tokens of a call without a stream, when no event says.
            response_id: the id of a call without a stream, when no event says.
            delay: seconds before each event, or a list of them.
            gate: waited for before the event `before`.
            before: the place or type of the event that `gate` holds back.
            after: how many of the events are sent; all when None.
            then: raised after them.
        """
        return cls(
            stream_events=events if callable(events) else tuple(events),
            output=output,
            usage=usage,
            response_id=response_id,
            delay=delay,
            gate=gate,
            before=before,
            after=after,
            then=then,
        )

    @classmethod
    def raise_error(
        cls,
        error: BaseException,
        *,
        retry_advice: ModelRetryAdvice | None = None,
        output: Sequence[Any] = (),
        after: int = 0,
        delay: float | Sequence[float] = 0.0,
    ) -> Self:
        """Return a step that raises `error` after `after` events of the reply that `output` would make.

        Args:
            error: what is raised.
            retry_advice: what the model's `get_retry_advice` says of it.
            output: the items of the reply that breaks; a short message when empty.
            after: how many events come first.
            delay: seconds before each of them and before the error, or a list.
        """
        return cls(error=error, retry_advice=retry_advice, output=output, after=after, delay=delay)

    @classmethod
    def hang(cls, *, after: int = 0, output: Sequence[Any] = ()) -> Self:
        """Return a step that sends `after` events of the reply that `output` would make, and never goes on."""
        return cls(output=output, after=after, hangs=True)

    @classmethod
    def http_error(
        cls,
        status: int,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | str | Mapping[str, Any] | None = None,
        delay: float = 0.0,
    ) -> Self:
        """Return a step that answers with an HTTP status.

        Args:
            status: the status code, 400 to 599.
            headers: response headers, for example `retry-after`.
            body: bytes, a text, or a JSON object; an error object of the OpenAI form when None.
            delay: seconds before the reply.
        """
        if body is None:
            body = {
                "error": {"message": f"scripted status {status}", "type": "scripted_error", "param": None, "code": None}
            }
        return cls.http_reply(body, status=status, headers=headers, delay=delay)

    @classmethod
    def http_reply(
        cls,
        body: bytes | str | Mapping[str, Any] | Sequence[bytes],
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        delay: float | Sequence[float] = 0.0,
        then: BaseException | None = None,
        hangs: bool = False,
    ) -> Self:
        """Return a step with a literal HTTP reply, for tests of what a client makes of broken ones.

        Args:
            body: the body, or the chunks it is sent in; a dict is sent as JSON.
            status: the status code.
            headers: response headers; `content-type` is `application/json` for a dict, else `text/event-stream`.
            delay: seconds before each chunk, or a list.
            then: cuts the connection after the last chunk.
            hangs: never ends the body.
        """
        content_type = "application/json" if isinstance(body, Mapping) else "text/event-stream"
        if isinstance(body, Mapping):
            chunks: tuple[bytes, ...] = (json.dumps(body).encode(),)
        elif isinstance(body, str):
            chunks = (body.encode(),)
        elif isinstance(body, bytes):
            chunks = (body,)
        else:
            chunks = tuple(body)
        named = {name.lower(): value for name, value in (headers or {}).items()}
        reply = HttpReply(status, {"content-type": content_type, **named}, chunks)
        return cls(http=reply, delay=delay, then=then, hangs=hangs)

    def failure(self) -> BaseException | None:
        """Return what the step raises, at its end or instead of a reply."""
        return self.error if self.error is not None else self.then

    def items(self) -> list[TResponseOutputItem]:
        """Return `output` as values, each checked; a broken or hanging step without any gets a short message."""
        given: Sequence[Any] = self.output
        if (
            not given
            and self.stream_events is None
            and self.after is not None
            and (self.hangs or self.error is not None)
        ):
            given = ("a reply that does not end",)
        return [as_output_item(item) for item in given]

    def delay_before(self, place: int) -> float:
        """Return how many seconds to wait before the event at `place`."""
        delay = self.delay
        if isinstance(delay, int | float):
            return delay
        return delay[place] if place < len(delay) else 0.0


class ModelStepSpec(TypedDict, total=False):
    """A `ModelStep` as a plain dict; any of its fields may be left out.

    Source: testing, "ModelStep".
    """

    output: Sequence[Any]
    usage: Usage | None
    response_id: str | None
    request_id: str | None
    raw_usage: dict[str, Any] | None
    error: BaseException | None
    responder: Callable[[Any], Any] | None
    stream_events: Events | None
    retry_advice: ModelRetryAdvice | None
    delay: float | Sequence[float]
    gate: Gate | None
    before: int | str
    after: int | None
    hangs: bool
    then: BaseException | None
    http: HttpReply | None


def hang() -> ModelStep:
    """Return a step that never answers; cancelling the call is the only way out of it."""
    return ModelStep.hang()


def assistant_message(text: str, *, item_id: str = "scripted-message") -> TResponseOutputItem:
    """Return an assistant's text as an output item.

    Source: testing, "assistant_message".
    """
    part: dict[str, Any] = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return structure_item(
        {"id": item_id, "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    )


def refusal(text: str, *, item_id: str = "scripted-refusal") -> TResponseOutputItem:
    """Return an assistant's refusal as an output item."""
    part = {"type": "refusal", "refusal": text}
    return structure_item(
        {"id": item_id, "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    )


def reasoning(text: str, *, item_id: str = "scripted-reasoning") -> TResponseOutputItem:
    """Return a reasoning item with `text` as its summary."""
    return structure_item({"id": item_id, "type": "reasoning", "summary": [{"type": "summary_text", "text": text}]})


def function_call(
    name: str,
    arguments: str | Mapping[str, Any],
    *,
    call_id: str,
    item_id: str | None = None,
    namespace: str | None = None,
) -> TResponseOutputItem:
    """Return a call of the function tool `name` as an output item.

    Args:
        name: the tool's name, or a handoff's.
        arguments: a dict, or the JSON text as the model would write it, right or wrong.
        call_id: ties the call to its output; unique within a conversation.
        item_id: the item's own id; `call_id` when None.
        namespace: the tool's namespace, where it has one.

    Source: testing, "function_call".
    """
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, separators=(",", ":"), ensure_ascii=False)
    wire: dict[str, Any] = {
        "type": "function_call",
        "id": call_id if item_id is None else item_id,
        "call_id": call_id,
        "name": name,
        "arguments": text,
        "status": "completed",
    }
    if namespace is not None:
        wire["namespace"] = namespace
    return structure_item(wire)


def as_output_item(item: Any) -> TResponseOutputItem:
    """Return `item`, a value, wire dict or text, as an output item.

    Raises:
        TypeError: it is none of these.
    """
    if isinstance(item, str):
        return assistant_message(item)
    if isinstance(item, Mapping):
        return structure_item(dict(cast("Mapping[str, Any]", item)))
    if isinstance(getattr(item, "type", None), str):
        return cast("TResponseOutputItem", item)  # what else it must have, only its reader can say
    raise TypeError(f"an output item must be a value with a type, a dict or a text, got {item!r}")


def as_step(given: Step, index: int) -> ModelStep:
    """Return what was `given` at place `index` as a step.

    Raises:
        InvalidModelStep: it is none of the forms that `Step` names.
    """
    if isinstance(given, ModelStep):
        step = given
    elif isinstance(given, str):
        step = ModelStep(output=(given,))
    elif isinstance(given, BaseException):
        step = ModelStep(error=given, after=0)
    elif isinstance(given, ModelResponse):
        step = ModelStep(
            output=given.output,
            usage=given.usage,
            response_id=given.response_id,
            request_id=given.request_id,
            raw_usage=given.raw_usage,
        )
    elif isinstance(given, Mapping):
        step = _from_fields(cast("Mapping[str, Any]", given), index)
    elif callable(given):
        step = ModelStep(responder=given)
    elif isinstance(given, Sequence) and not isinstance(given, bytes | bytearray):
        step = ModelStep(output=cast("Sequence[Any]", given))
    else:
        raise InvalidModelStep(
            f"scripted step #{index + 1} is {given!r}; "
            "give output items, a ModelStep, a text, an exception or a function",
            reason="invalid_input",
            input_index=index,
        )
    _check(step, index)
    return step


def _from_fields(given: Mapping[str, Any], index: int) -> ModelStep:
    known = [field.name for field in attrs.fields(ModelStep)]
    unknown = sorted(map(str, set(given) - set(known)))
    if unknown:
        raise InvalidModelStep(
            f"scripted step #{index + 1} has the unknown key(s) {unknown}; a ModelStep knows {known}, "
            "and a single output item goes into a list",
            reason="unsupported_field",
            input_index=index,
        )
    return ModelStep(**given)


_FIELDS: tuple[tuple[str, tuple[type[Any], ...], str, ModelStepReason], ...] = (
    ("usage", (Usage,), "a Usage", "invalid_input"),
    ("response_id", (str,), "a str", "invalid_input"),
    ("request_id", (str,), "a str", "invalid_input"),
    ("raw_usage", (dict,), "a dict", "invalid_input"),
    ("error", (BaseException,), "an exception object", "invalid_error"),
    ("then", (BaseException,), "an exception object", "invalid_error"),
    ("retry_advice", (ModelRetryAdvice,), "a ModelRetryAdvice", "invalid_retry_advice"),
)
"""The fields that are None or of these classes, what that is called, and the reason given otherwise."""


def _check(step: ModelStep, index: int) -> None:  # noqa: C901 - a list of checks, one after another
    def wrong(what: str, reason: ModelStepReason) -> InvalidModelStep:
        return InvalidModelStep(f"scripted step #{index + 1} {what}", reason=reason, input_index=index)

    given: Any = step.output
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Sequence):
        raise wrong(f"has output {given!r}; give a list of output items", "invalid_input")
    for item in step.output:
        try:
            as_output_item(item)
        except Exception as exc:  # whatever the codec thinks of it, the script is wrong here and not later
            raise wrong(f"has the output item {item!r}, which is none: {exc}", "invalid_input") from exc
    for name, classes, called, reason in _FIELDS:
        value: object = getattr(step, name)
        if value is not None and not isinstance(value, classes):
            raise wrong(f"has {name} {value!r}; give {called}, or None", reason)
    if step.responder is not None and not callable(step.responder):
        raise wrong(f"has responder {step.responder!r}; give a function of the call", "invalid_responder")
    events: Any = step.stream_events
    may_be_played = callable(events) or (isinstance(events, Sequence) and not isinstance(events, str | bytes))
    if events is not None and not may_be_played:
        raise wrong(f"has stream_events {events!r}; give a list of events or a function", "invalid_stream_events")
    if sum(one is not None for one in (step.error, step.responder, step.stream_events)) > 1:
        raise wrong("has two of error, responder and stream_events; it can do one of these", "conflicting_outcomes")
    if step.responder is not None and step.output:
        raise wrong("has a responder beside output; let the responder return it", "conflicting_outcomes")
    if step.failure() is not None and step.hangs:
        raise wrong("has an error and hangs; it can do one of these", "conflicting_outcomes")
    if step.retry_advice is not None and step.error is None:
        raise wrong("has retry_advice without an error; give the error that it is about", "invalid_retry_advice")
    if step.after is not None and step.after < 0:
        raise wrong(f"has after={step.after!r}; give a number of events from 0 up", "invalid_input")


def _kept(step: ModelStep) -> ModelStep:
    """Return a copy of a step that shares with it only what is no data: errors, functions, gates."""
    return attrs.evolve(
        step,
        output=copy.deepcopy(step.output),
        usage=copy.deepcopy(step.usage),
        raw_usage=copy.deepcopy(step.raw_usage),
        stream_events=step.stream_events if callable(step.stream_events) else copy.deepcopy(step.stream_events),
        retry_advice=copy.deepcopy(step.retry_advice),
    )


def detached(value: Any) -> Any:
    """Return a copy of JSON-like `value` that shares nothing changeable with it."""
    if isinstance(value, dict):
        return {key: detached(one) for key, one in cast("dict[Any, Any]", value).items()}
    if isinstance(value, list):
        return [detached(one) for one in cast("list[Any]", value)]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return copy.deepcopy(value)


class Script:
    """The steps still to come. One owner takes them, in order, however many calls are made at once."""

    __slots__ = ("_given", "_steps", "_taken")

    def __init__(self, steps: Iterable[Step] = ()) -> None:
        self._steps: deque[ModelStep] = deque()
        self._given = 0
        self._taken = 0
        self.extend(steps)

    def __len__(self) -> int:
        return len(self._steps)

    def extend(self, steps: Iterable[Step]) -> None:
        """Append copies of `steps`, all or none of them."""
        if isinstance(steps, str | bytes | Mapping | ModelStep):
            raise InvalidModelStep(
                f"the steps must be a list of steps, got {steps!r}; put it into a list",
                reason="invalid_input",
                input_index=0,
            )
        checked = [_kept(as_step(step, place)) for place, step in enumerate(steps)]
        self._steps.extend(checked)
        self._given += len(checked)

    def take(self, call: Any, what: str) -> ModelStep:
        """Return the next step.

        Raises:
            UnexpectedModelCall: there is none.
        """
        if not self._steps:
            raise UnexpectedModelCall(
                f"{what} {self._taken + 1} was not expected: the script has {self._given} step(s); "
                "add a step, or find out why the model was asked again",
                call=call,
                call_index=self._taken,
            )
        self._taken += 1
        return self._steps.popleft()

    def assert_complete(self) -> None:
        """Raise UnconsumedModelSteps when steps are left."""
        if self._steps:
            raise UnconsumedModelSteps(
                f"{len(self._steps)} of {self._given} scripted step(s) were never asked for",
                remaining_steps=len(self._steps),
            )
