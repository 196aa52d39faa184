"""Replies of Chat Completions: Responses items and events out of chat messages and chunks. No I/O.

A chat reply has no items, so the reader makes them: each of reasoning, message and calls is opened when its first piece
arrives, in that order numbered as output, and closed when the next one of them begins to speak (reasoning) or when the
model gives its `finish_reason` (the others, whose pieces may interleave).

    started --chunks--> open items --finish_reason--> finished --usage, [DONE] or the end--> completed

`finish_reason` is what ends a reply. `[DONE]` and the usage after it may be missing; a stream without it is cut.
Whole replies take the same way: the message is read as if it were the only chunk.

Source: OpenAI API reference, "Chat completions"; models, "Chat Completions".
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from typing import TYPE_CHECKING, Any, Literal, cast

import attrs

from agentrun._exceptions import AgentsException, ModelBehaviorError, ModelLimitError, ModelRefusalError
from agentrun._responses import (
    Content,
    IncompleteDetails,
    InputTokensDetails,
    OutputTokensDetails,
    Response,
    ResponseCompletedEvent,
    ResponseContentPartAddedEvent,
    ResponseContentPartDoneEvent,
    ResponseCreatedEvent,
    ResponseFunctionCallArgumentsDeltaEvent,
    ResponseFunctionCallArgumentsDoneEvent,
    ResponseFunctionToolCall,
    ResponseIncompleteEvent,
    ResponseOutputItemAddedEvent,
    ResponseOutputItemDoneEvent,
    ResponseOutputMessage,
    ResponseOutputRefusal,
    ResponseOutputText,
    ResponseReasoningItem,
    ResponseReasoningSummaryPartAddedEvent,
    ResponseReasoningSummaryPartDoneEvent,
    ResponseReasoningSummaryTextDeltaEvent,
    ResponseReasoningSummaryTextDoneEvent,
    ResponseReasoningTextDeltaEvent,
    ResponseReasoningTextDoneEvent,
    ResponseRefusalDeltaEvent,
    ResponseRefusalDoneEvent,
    ResponseTextDeltaEvent,
    ResponseTextDoneEvent,
    ResponseUsage,
    Summary,
)
from agentrun.models._json import Json, decode_object, encode, quoted
from agentrun.models.chat_request import REASONING_FIELDS
from agentrun.models.responses_wire import FAKE_ID, check_calls, failure

if TYPE_CHECKING:
    from agentrun._responses import TResponseOutputItem, TResponseStreamEvent
    from agentrun.models._limits import Limits

__all__ = ["ChatStream", "read_completion"]

_Status = Literal["in_progress", "completed", "incomplete"]
_new = object.__new__


@attrs.define(eq=False)
class _Reasoning:
    """Reasoning that is being received."""

    index: int
    field: str
    pieces: list[str] = attrs.field(factory=list[str])
    is_open: bool = True

    def item(self, model: str, response_id: str, status: _Status = "completed") -> ResponseReasoningItem:
        text = "".join(self.pieces)
        extra = {"provider_data": {"model": model, "response_id": response_id, "field": self.field}}
        if self.field == "reasoning_content":
            return ResponseReasoningItem(id=FAKE_ID, summary=[Summary(text=text)] if text else [], extra=extra)
        return ResponseReasoningItem(id=FAKE_ID, content=[Content(text=text)] if text else [], extra=extra)


@attrs.define(eq=False)
class _Part:
    """Text or a refusal that is being received."""

    kind: Literal["text", "refusal"]
    pieces: list[str] = attrs.field(factory=list[str])

    def value(self) -> ResponseOutputText | ResponseOutputRefusal:
        text = "".join(self.pieces)
        return ResponseOutputText(text=text) if self.kind == "text" else ResponseOutputRefusal(refusal=text)


@attrs.define(eq=False)
class _Message:
    """A message that is being received; text and refusal are a part each."""

    index: int
    parts: list[_Part] = attrs.field(factory=list[_Part])

    def item(self, status: _Status) -> ResponseOutputMessage:
        return ResponseOutputMessage(id=FAKE_ID, content=[part.value() for part in self.parts], status=status)


@attrs.define(eq=False)
class _Call:
    """A call that is being received. It is announced once its name is known."""

    index: int | None = None
    call_id: str = ""
    name: str = ""
    pieces: list[str] = attrs.field(factory=list[str])

    def item(self, status: _Status) -> ResponseFunctionToolCall:
        return ResponseFunctionToolCall(
            id=FAKE_ID, call_id=self.call_id, name=self.name, arguments="".join(self.pieces), status=status
        )


class ChatStream:
    """Reads one chat reply and makes Responses events of it."""

    def __init__(self, limits: Limits, request_id: str | None = None) -> None:
        self._limits = limits
        self._request_id = request_id
        self.finished: bool = False
        """Whether the model gave its finish reason: the reply is whole, its usage may follow."""
        self.completed: bool = False
        """Whether `response.completed` was made; nothing that follows is read."""
        self.response: Response = Response(status="in_progress")
        self.raw_usage: Json | None = None
        self._started = False
        self._sequence = -1
        self._reason: str | None = None
        self._reasoning: _Reasoning | None = None
        self._message: _Message | None = None
        # Pieces, output index and content index of the text, while more of it needs nothing opened or closed
        self._open_text: tuple[list[str], int, int] | None = None
        # By the provider's index; it may leave gaps, and some providers use one index for all their calls
        self._calls: dict[int, _Call] = {}
        self._items: list[_Reasoning | _Message | _Call] = []
        self._events: list[TResponseStreamEvent] = []

    def events(self, received: Iterable[tuple[str, str]]) -> tuple[list[TResponseStreamEvent], AgentsException | None]:
        """Return the events that `received` makes, and what to raise after them, if anything.

        Args:
            received: names and data of server-sent events.

        Returns:
            The events, and a `ModelBehaviorError`, `ModelRefusalError` or `ModelLimitError` for a reply that failed, is
            cut short or is none. It is not raised here, so that what came before it is not lost.
        """
        error: AgentsException | None = None
        try:
            for _, data in received:
                if self.completed:
                    break
                if data == "[DONE]":
                    if self.finished:
                        self._complete()
                    continue
                chunk = decode_object(data, "a chunk of the model's stream", self._limits.json_depth)
                if self._open_text is None or not self._more_text(chunk, *self._open_text):
                    self._chunk(chunk)
        except (ModelBehaviorError, ModelLimitError, ModelRefusalError) as exc:
            error = exc
        events, self._events = self._events, []
        return events, error

    def end(self) -> tuple[list[TResponseStreamEvent], AgentsException | None]:
        """Return the events that the end of the stream makes, and what to raise after them, as `events` does."""
        error: AgentsException | None = None
        try:
            if self.finished and not self.completed:
                self._complete()
        except (ModelBehaviorError, ModelLimitError, ModelRefusalError) as exc:
            error = exc
        events, self._events = self._events, []
        return events, error

    def read_whole(self, completion: Json) -> Response:
        """Return the reply that a whole chat completion holds."""
        if "choices" not in completion and "error" in completion:
            raise failure("error", completion["error"])
        choices = _array(completion, "choices")
        if not choices:
            raise ModelBehaviorError("the model's reply has no choices")
        choice = _object(choices[0], "choices[0]")
        message = dict(_object(choice.get("message"), "choices[0].message"))
        calls = message.get("tool_calls")
        if isinstance(calls, list):
            listed: list[Any] = calls  # pyright: ignore[reportUnknownVariableType] - mypy refuses a cast here
            message["tool_calls"] = [{**_object(call, "a tool call"), "index": at} for at, call in enumerate(listed)]
        delta = {**choice, "index": 0, "delta": message, "finish_reason": choice.get("finish_reason") or "stop"}
        self._chunk({**completion, "choices": [delta]})
        if not self.completed:
            self._complete()
        return self.response

    # -- chunks

    def _more_text(self, chunk: Json, pieces: list[str], output_index: int, content_index: int) -> bool:
        """Take a chunk that holds nothing but more of the text, as nearly all do; return whether it is one.

        Whatever is unusual or wrong is left to `_chunk`. The slots of the event are filled in place, as the codec does.
        """
        try:
            [choice] = chunk["choices"]
            delta = choice["delta"]
            piece = delta["content"]
            if (
                type(piece) is not str
                or not piece
                or choice["index"] != 0
                or choice["finish_reason"] is not None
                or choice.get("error")
                or chunk.get("usage") is not None
                or chunk.get("error")
            ):
                return False
            if len(delta) != 1:
                nothing = ("role" in delta) + ("refusal" in delta and delta["refusal"] is None)
                if len(delta) != 1 + nothing:
                    return False
        except (AttributeError, KeyError, TypeError, ValueError):
            return False
        pieces.append(piece)
        event = _new(ResponseTextDeltaEvent)
        event.delta = piece
        event.item_id = FAKE_ID
        event.output_index = output_index
        event.content_index = content_index
        event.logprobs = []
        self._sequence = event.sequence_number = self._sequence + 1
        event.type = "response.output_text.delta"
        event.obfuscation = event.extra = event.as_sent = None
        self._events.append(event)
        return True

    def _chunk(self, chunk: Json) -> None:
        if chunk.get("error"):
            raise failure("error", chunk["error"])
        if not self._started:
            self._start(chunk)
        usage = chunk.get("usage")
        if isinstance(usage, dict):
            self.raw_usage = cast("Json", usage)
        for one in _array(chunk, "choices"):
            choice = _object(one, "a choice")
            if choice.get("index") not in (0, None):
                continue  # more than one answer was asked for by extra_args; the first one counts
            if choice.get("error"):
                raise failure("error", choice["error"])
            delta = choice.get("delta")
            if delta is not None and not self.finished:
                self._delta(_object(delta, "a delta"))
            reason = choice.get("finish_reason")
            if reason is not None and not self.finished:
                if not isinstance(reason, str):
                    raise ModelBehaviorError(f"the model's finish_reason is no text but {quoted(repr(reason))}")
                self._reason = reason
                self.finished = True
                self._close_items()
        if self.finished and self.raw_usage is not None:
            self._complete()

    def _start(self, chunk: Json) -> None:
        self._started = True
        created = chunk.get("created")
        self.response.id = _text(chunk, "id")
        self.response.model = _text(chunk, "model")
        self.response.created_at = float(created) if isinstance(created, int | float) else 0.0
        started = copy(self.response)
        started.output = []
        self._emit(ResponseCreatedEvent(response=started, sequence_number=self._next()))

    def _delta(self, delta: Json) -> None:
        for field in REASONING_FIELDS:
            thought = _text(delta, field)
            if thought:
                self._add_reasoning(field, thought)
                break  # some gateways send the same piece under both names
        if isinstance(delta.get("content"), list):
            self._add_parts(_array(delta, "content"))
        else:
            text = _text(delta, "content")
            if text:
                self._add_text(text, "text")
        refusal = _text(delta, "refusal")
        if refusal:
            self._add_text(refusal, "refusal")
        for call in _array(delta, "tool_calls"):
            self._add_call(_object(call, "a tool call"))

    def _add_parts(self, parts: list[Any]) -> None:
        """Add content that comes as a list of parts, as one provider sends what its model thinks."""
        for one in parts:
            part = _object(one, "a content part")
            if part.get("type") == "thinking":
                for thought in _array(part, "thinking"):
                    self._add_reasoning("reasoning_content", _text(_object(thought, "a thought"), "text"))
            elif part.get("type") == "text":
                self._add_text(_text(part, "text"), "text")

    def _add_reasoning(self, field: str, piece: str) -> None:
        self._open_text = None
        current = self._reasoning
        if current is None or current.field != field or not current.is_open:
            self._close_reasoning()
            current = self._reasoning = _Reasoning(len(self._items), field)
            self._items.append(current)
            self._added(current.index, self._item(current, "in_progress"))
            if field == "reasoning_content":
                self._emit(
                    ResponseReasoningSummaryPartAddedEvent(
                        part=Summary(text=""), item_id=FAKE_ID, output_index=current.index, sequence_number=self._next()
                    )
                )
        current.pieces.append(piece)
        kind = (
            ResponseReasoningSummaryTextDeltaEvent if field == "reasoning_content" else ResponseReasoningTextDeltaEvent
        )
        self._emit(kind(delta=piece, item_id=FAKE_ID, output_index=current.index, sequence_number=self._next()))

    def _close_reasoning(self) -> None:
        current = self._reasoning
        if current is None or not current.is_open:
            return
        current.is_open = False
        text, index = "".join(current.pieces), current.index
        if current.field == "reasoning_content":
            self._emit(
                ResponseReasoningSummaryTextDoneEvent(
                    text=text, item_id=FAKE_ID, output_index=index, sequence_number=self._next()
                )
            )
            self._emit(
                ResponseReasoningSummaryPartDoneEvent(
                    part=Summary(text=text), item_id=FAKE_ID, output_index=index, sequence_number=self._next()
                )
            )
        else:
            self._emit(
                ResponseReasoningTextDoneEvent(
                    text=text, item_id=FAKE_ID, output_index=index, sequence_number=self._next()
                )
            )
        self._done(index, self._item(current, "completed"))

    def _add_text(self, piece: str, kind: Literal["text", "refusal"]) -> None:
        self._close_reasoning()
        message = self._message
        if message is None:
            message = self._message = _Message(len(self._items))
            self._items.append(message)
            self._added(message.index, message.item("in_progress"))
        at = next((at for at, part in enumerate(message.parts) if part.kind == kind), None)
        if at is None:
            at = len(message.parts)
            message.parts.append(_Part(kind))
            self._emit(
                ResponseContentPartAddedEvent(
                    part=message.parts[at].value(),
                    item_id=FAKE_ID,
                    output_index=message.index,
                    content_index=at,
                    sequence_number=self._next(),
                )
            )
        message.parts[at].pieces.append(piece)
        if kind == "text":
            self._open_text = message.parts[at].pieces, message.index, at
        delta = ResponseTextDeltaEvent if kind == "text" else ResponseRefusalDeltaEvent
        self._emit(
            delta(
                delta=piece,
                item_id=FAKE_ID,
                output_index=message.index,
                content_index=at,
                sequence_number=self._next(),
            )
        )

    def _add_call(self, piece: Json) -> None:
        self._close_reasoning()
        if piece.get("type") not in (None, "", "function"):
            raise ModelBehaviorError(f"the model made a call of type {quoted(str(piece['type']))}; expected a function")
        function = _object(piece.get("function") or {}, "the function of a tool call")
        call_id, name = _text(piece, "id"), _text(function, "name")
        arguments = function.get("arguments")
        if isinstance(arguments, dict):  # some local servers send the object itself
            arguments = encode(arguments, "the arguments of a call").decode()
        elif arguments is None:
            arguments = ""
        elif not isinstance(arguments, str):
            raise ModelBehaviorError(f"the arguments of a call are no text but {quoted(repr(arguments))}")
        call = self._call(piece.get("index"), call_id, name)
        call.call_id = call.call_id or call_id
        if name and name != call.name:
            call.name += name
        if call.index is None and call.name:
            call.index = len(self._items)
            self._items.append(call)
            arguments = "".join(call.pieces) + arguments  # what came before the name
            call.pieces.clear()
            self._added(call.index, call.item("in_progress"))
        if arguments:
            call.pieces.append(arguments)
            if call.index is not None:
                self._emit(
                    ResponseFunctionCallArgumentsDeltaEvent(
                        delta=arguments, item_id=FAKE_ID, output_index=call.index, sequence_number=self._next()
                    )
                )

    def _call(self, at: Any, call_id: str, name: str) -> _Call:
        """Return the call that a piece belongs to, a new one where it begins one."""
        if at is None:
            at = next((key for key, call in self._calls.items() if call_id and call.call_id == call_id), None)
            if at is None:
                begins = bool(call_id or name) or not self._calls
                at = max(self._calls, default=-1) + 1 if begins else max(self._calls)
        if type(at) is not int:
            raise ModelBehaviorError(f"the index of a call is no number but {quoted(repr(at))}")
        known = self._calls.get(at)
        if known is not None and call_id and name and known.call_id and known.call_id != call_id:
            # Whole calls that share one index: the new one takes it over, the old one stays among the items
            known = None
        if known is None:
            known = self._calls[at] = _Call()
            if len(self._calls) + len(self._items) > 2 * self._limits.calls_per_response + 8:
                raise ModelLimitError("calls_per_response", len(self._calls), self._limits.calls_per_response)
        return known

    # -- the end

    def _close_items(self) -> None:
        self._open_text = None
        for call in self._calls.values():
            if call.index is None:
                raise ModelBehaviorError(f"the model made a call without a name (call id {quoted(call.call_id)})")
        self._close_reasoning()
        status: _Status = "incomplete" if self._reason == "length" else "completed"
        for item in self._items:
            if isinstance(item, _Message):
                self._close_message(item, status)
            elif isinstance(item, _Call):
                index = cast("int", item.index)  # it is among the items only once it has one
                self._emit(
                    ResponseFunctionCallArgumentsDoneEvent(
                        arguments="".join(item.pieces),
                        item_id=FAKE_ID,
                        output_index=index,
                        sequence_number=self._next(),
                    )
                )
                self._done(index, item.item(status))

    def _close_message(self, message: _Message, status: _Status) -> None:
        for at, part in enumerate(message.parts):
            text = "".join(part.pieces)
            if part.kind == "text":
                self._emit(
                    ResponseTextDoneEvent(
                        text=text,
                        item_id=FAKE_ID,
                        output_index=message.index,
                        content_index=at,
                        sequence_number=self._next(),
                    )
                )
            else:
                self._emit(
                    ResponseRefusalDoneEvent(
                        refusal=text,
                        item_id=FAKE_ID,
                        output_index=message.index,
                        content_index=at,
                        sequence_number=self._next(),
                    )
                )
            self._emit(
                ResponseContentPartDoneEvent(
                    part=part.value(),
                    item_id=FAKE_ID,
                    output_index=message.index,
                    content_index=at,
                    sequence_number=self._next(),
                )
            )
        self._done(message.index, message.item(status))

    def _complete(self) -> None:
        """Make the terminal event; raise for a reply that was cut short."""
        reason = self._reason
        short = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(reason or "")
        status: _Status = "incomplete" if short else "completed"
        response = self.response
        response.status = status
        response.output = [self._item(item, status) for item in self._items]
        response.usage = _usage(self.raw_usage)
        if self._request_id is not None:
            response.extra = {**(response.extra or {}), "_request_id": self._request_id}
        if reason == "error":
            raise failure("finish_reason 'error'", None)
        if short is None:
            check_calls(response.output, self._limits)
            self.completed = True
            self._emit(ResponseCompletedEvent(response=response, sequence_number=self._next()))
            return
        response.incomplete_details = IncompleteDetails(reason=short)
        self.completed = True
        self._emit(ResponseIncompleteEvent(response=response, sequence_number=self._next()))
        if short == "content_filter":
            raise ModelRefusalError("the provider's content filter stopped the reply")
        raise ModelBehaviorError(
            "the model's reply ended with finish_reason 'length': the limit of output tokens was reached; raise "
            "ModelSettings.max_tokens, or ask for less"
        )

    # -- making events

    def _item(self, item: _Reasoning | _Message | _Call, status: _Status) -> TResponseOutputItem:
        if isinstance(item, _Reasoning):
            return item.item(self.response.model, self.response.id)
        return item.item(status)

    def _added(self, index: int, item: TResponseOutputItem) -> None:
        self._emit(ResponseOutputItemAddedEvent(item=item, output_index=index, sequence_number=self._next()))

    def _done(self, index: int, item: TResponseOutputItem) -> None:
        self._emit(ResponseOutputItemDoneEvent(item=item, output_index=index, sequence_number=self._next()))

    def _emit(self, event: TResponseStreamEvent) -> None:
        self._events.append(event)

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence


def read_completion(text: str, limits: Limits, request_id: str | None) -> tuple[Response, Json | None]:
    """Return the reply that a body holds, and the usage as it came.

    Raises:
        ModelBehaviorError: it is no whole reply, or one that failed or was cut short.
        ModelRefusalError: the provider's content filter stopped it.
        ModelLimitError: it is nested too deeply, or has too many calls.
    """
    stream = ChatStream(limits, request_id)
    response = stream.read_whole(decode_object(text, "the model's reply", limits.json_depth))
    return response, stream.raw_usage


def _usage(usage: Json | None) -> ResponseUsage | None:
    if usage is None:
        return None
    details_in, details_out = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    cached = _member(details_in, "cached_tokens")
    return ResponseUsage(
        input_tokens=usage.get("prompt_tokens") or 0,
        input_tokens_details=InputTokensDetails(
            cached_tokens=cached if cached is not None else usage.get("prompt_cache_hit_tokens") or 0,
            cache_write_tokens=_member(details_in, "cache_write_tokens") or 0,
        ),
        output_tokens=usage.get("completion_tokens") or 0,
        output_tokens_details=OutputTokensDetails(reasoning_tokens=_member(details_out, "reasoning_tokens") or 0),
        total_tokens=usage.get("total_tokens") or 0,
    )


def _member(value: Any, name: str) -> Any | None:
    return cast("Json", value).get(name) if isinstance(value, dict) else None


def _object(value: Any, what: str) -> Json:
    if not isinstance(value, dict):
        raise ModelBehaviorError(f"{what} in the model's reply is no object but {quoted(repr(value))}")
    return cast("Json", value)


def _array(source: Json, name: str) -> list[Any]:
    """Return a member that is an array, an empty one where it is null or missing."""
    value = source.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise ModelBehaviorError(f"{name} in the model's reply is no array but {quoted(repr(value))}")
    found: list[Any] = value  # pyright: ignore[reportUnknownVariableType] - mypy refuses a cast here
    return found


def _text(source: Json, name: str) -> str:
    """Return a member that is a text, "" where it is null or missing."""
    value = source.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ModelBehaviorError(f"{name} in the model's reply is no text but {quoted(repr(value))}")
    return value
