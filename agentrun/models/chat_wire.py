"""Replies of Chat Completions: Responses items and events out of chat messages and chunks. No I/O.

A chat reply has no items, so the reader makes them: reasoning, message and calls are each opened and numbered when
their first piece arrives, and all closed when the model gives its `finish_reason`, as their pieces may interleave. Only
a part of a reasoning summary is closed earlier: when the model begins to speak.

    started --chunks--> open items --finish_reason--> finished --usage, [DONE] or the end--> completed

`finish_reason` is what ends a reply. `[DONE]` and the usage after it may be missing; a stream without it is cut.
Whole replies take the same way: the message is read as if it were the only chunk.

Source: OpenAI API reference, "Chat completions"; models, "Chat Completions".
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from typing import TYPE_CHECKING, Any, Literal, cast

from agentrun._exceptions import AgentsException, ModelBehaviorError, ModelLimitError, ModelRefusalError, UserError
from agentrun._responses import (
    IncompleteDetails,
    Response,
    ResponseCompletedEvent,
    ResponseContentPartAddedEvent,
    ResponseContentPartDoneEvent,
    ResponseCreatedEvent,
    ResponseFunctionCallArgumentsDeltaEvent,
    ResponseIncompleteEvent,
    ResponseOutputItemAddedEvent,
    ResponseOutputItemDoneEvent,
    ResponseReasoningSummaryPartAddedEvent,
    ResponseReasoningSummaryPartDoneEvent,
    ResponseReasoningSummaryTextDeltaEvent,
    ResponseReasoningTextDeltaEvent,
    ResponseReasoningTextDoneEvent,
    ResponseRefusalDeltaEvent,
    ResponseTextDeltaEvent,
    Summary,
)
from agentrun.models._chat_pieces import (
    Call,
    Message,
    Part,
    Reasoning,
    Status,
    array_of,
    citation,
    logprob,
    object_of,
    signature,
    text_of,
    usage_of,
)
from agentrun.models._json import Json, decode_object, encode, quoted
from agentrun.models.responses_wire import FAKE_ID, check_calls, failure

if TYPE_CHECKING:
    from agentrun._responses import TResponseOutputItem, TResponseStreamEvent
    from agentrun.models._limits import Limits

__all__ = ["ChatStream", "read_completion"]

_new = object.__new__


class ChatStream:
    """Reads one chat reply and makes Responses events of it."""

    def __init__(
        self,
        limits: Limits,
        request_id: str | None = None,
        *,
        model: str | None = None,
        strict: bool = False,
        buffers_calls: bool = False,
        keeps_usage: bool = False,
    ) -> None:
        """Take how to read.

        Args:
            limits: how large a reply may be.
            request_id: what the provider calls the request.
            model: the name the model was asked for by; None for what the reply says.
            strict: whether more than one answer is refused where the others could be left out.
            buffers_calls: whether calls are shown only at the end.
            keeps_usage: whether `response.completed` also has the usage as it came, as `_raw_usage`.
        """
        self._limits = limits
        self._request_id = request_id
        self._strict = strict
        self._buffers_calls = buffers_calls
        self._keeps_usage = keeps_usage
        self._kept: Json = {} if model is None else {"model": model}
        self.finished: bool = False
        """Whether the model gave its finish reason: the reply is whole, its usage may follow."""
        self.completed: bool = False
        """Whether `response.completed` was made; nothing that follows is read."""
        self.response: Response = Response(status="in_progress")
        self.raw_usage: Json | None = None
        self._started = False
        self._sequence = -1
        self._reason: str | None = None
        self._reasoning: Reasoning | None = None
        self._message: Message | None = None
        # Pieces, output index and content index of the text, while more of it needs nothing opened or closed
        self._open_text: tuple[list[str], int, int] | None = None
        # By the provider's index; it may leave gaps, and some providers use one index for all their calls
        self._calls: dict[int, Call] = {}
        self._made: list[Call] = []
        self._has_logprobs = False
        self._items: list[Reasoning | Message | Call] = []
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
        """Return the reply that a whole chat completion holds.

        Raises:
            ModelBehaviorError: it is no whole reply, or one that failed or was cut short.
            ModelRefusalError: the provider's filter stopped it.
            ModelLimitError: it has too many calls.
        """
        if "choices" not in completion and "error" in completion:
            raise failure("error", completion["error"])
        choices = array_of(completion, "choices")
        if not choices:
            raise ModelBehaviorError("the model's reply has no choices")
        choice = object_of(choices[0], "choices[0]")
        message = dict(object_of(choice.get("message") or {}, "choices[0].message"))
        calls = message.get("tool_calls")
        if isinstance(calls, list):
            listed: list[Any] = calls  # pyright: ignore[reportUnknownVariableType] - mypy refuses a cast here
            message["tool_calls"] = [{**object_of(call, "a tool call"), "index": at} for at, call in enumerate(listed)]
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
        for one in array_of(chunk, "choices"):
            choice = object_of(one, "a choice")
            if choice.get("index") not in (0, None):
                if self._strict:
                    raise UserError(
                        "the model gave more than one answer; leave `n` out of what is added to the request"
                    )
                continue  # the first one counts
            if choice.get("error"):
                raise failure("error", choice["error"])
            delta = choice.get("delta")
            if delta is not None and not self.finished:
                self._delta(object_of(delta, "a delta"), choice.get("logprobs"))
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
        self.response.id = FAKE_ID
        self.response.model = self._kept.setdefault("model", text_of(chunk, "model"))
        if chunk.get("id"):
            self._kept["response_id"] = text_of(chunk, "id")
        self.response.created_at = float(created) if isinstance(created, int | float) else 0.0
        started = copy(self.response)
        started.output = []
        self._emit(ResponseCreatedEvent(response=started, sequence_number=self._next()))

    def _delta(self, delta: Json, logprobs: Any = None) -> None:
        if delta.get("audio"):
            raise ModelBehaviorError("the model answered with sound, which has no form in a run; ask for text")
        thought, field = text_of(delta, "reasoning_content"), "reasoning_content"
        if not thought and isinstance(delta.get("reasoning"), str):
            thought, field = delta["reasoning"], "reasoning"  # some gateways send the same piece under both names
        if thought:
            self._add_reasoning(field, thought)
        elif delta.get("content") is not None or delta.get("refusal") or delta.get("tool_calls"):
            self._close_summary()
        for block in array_of(delta, "thinking_blocks"):
            self._add_block(object_of(block, "a thinking block"))
        if isinstance(delta.get("content"), list):
            self._add_parts(array_of(delta, "content"))
        else:
            text = text_of(delta, "content")
            # An empty piece begins no text, but is passed on inside of one: what comes with it may count
            if text or (delta.get("content") == "" and self._text_part() is not None):
                self._add_text(text, "text", logprobs)
        annotations, part = delta.get("annotations"), self._text_part()
        if annotations and part is not None:
            self._annotate(part, annotations)
        refusal = text_of(delta, "refusal")
        if refusal:
            self._add_text(refusal, "refusal")
        for call in array_of(delta, "tool_calls"):
            self._add_call(object_of(call, "a tool call"))

    def _add_parts(self, parts: list[Any]) -> None:
        """Add content that comes as a list of parts, as one provider sends what its model thinks."""
        for one in parts:
            part = object_of(one, "a content part")
            if part.get("type") == "thinking":
                for thought in array_of(part, "thinking"):
                    self._add_reasoning("reasoning_content", text_of(object_of(thought, "a thought"), "text"))
            elif part.get("type") == "text":
                self._add_text(text_of(part, "text"), "text")

    def _add_block(self, block: Json) -> None:
        """Add a block of thinking, as gateways to Anthropic's models send them; one whose type is null is none."""
        kind = block.get("type", "thinking")
        if isinstance(kind, str):
            self._open_reasoning("").add_block({"type": kind, **block})

    def _open_reasoning(self, field: str) -> Reasoning:
        """Return the reasoning of the reply, announced if it is new."""
        self._open_text = None
        current = self._reasoning
        if current is None:
            current = self._reasoning = Reasoning(len(self._items))
            self._items.append(current)
            if field == "reasoning":
                current.text.append("")
            self._added(current.index, self._item(current, "in_progress"))
        return current

    def _add_reasoning(self, field: str, piece: str) -> None:
        current = self._open_reasoning(field)
        if field == "reasoning":
            current.text.append(piece)
            self._emit(
                ResponseReasoningTextDeltaEvent(
                    delta=piece, item_id=FAKE_ID, output_index=current.index, sequence_number=self._next()
                )
            )
            return
        at = len(current.summary) - 1
        if not current.is_speaking:
            current.is_speaking = True
            current.summary.append([])
            at += 1
            self._emit(
                ResponseReasoningSummaryPartAddedEvent(
                    part=Summary(text=""),
                    item_id=FAKE_ID,
                    output_index=current.index,
                    summary_index=at,
                    sequence_number=self._next(),
                )
            )
        current.summary[at].append(piece)
        self._emit(
            ResponseReasoningSummaryTextDeltaEvent(
                delta=piece,
                item_id=FAKE_ID,
                output_index=current.index,
                summary_index=at,
                sequence_number=self._next(),
            )
        )

    def _close_summary(self) -> None:
        current = self._reasoning
        if current is None or not current.is_speaking:
            return
        current.is_speaking = False
        at = len(current.summary) - 1
        self._emit(
            ResponseReasoningSummaryPartDoneEvent(
                part=Summary(text="".join(current.summary[at])),
                item_id=FAKE_ID,
                output_index=current.index,
                summary_index=at,
                sequence_number=self._next(),
            )
        )

    def _text_part(self) -> Part | None:
        parts = self._message.parts if self._message is not None else []
        return next((part for part in parts if part.kind == "text"), None)

    def _annotate(self, part: Part, annotations: Any) -> None:
        """Add citations of pages to the text; what is none is passed over, as a citation is no reason to fail."""
        if isinstance(annotations, list):
            part.annotations += [found for one in cast("list[Any]", annotations) if (found := citation(one))]

    def _add_text(self, piece: str, kind: Literal["text", "refusal"], logprobs: Any = None) -> None:
        message = self._message
        if message is None:
            if any(call.is_announced for call in self._made):
                self._number_calls()
            message = self._message = Message(len(self._items))
            self._items.append(message)
            self._added(message.index, message.item("in_progress", dict(self._kept)))
        at = next((at for at, part in enumerate(message.parts) if part.kind == kind), None)
        if at is None:
            at = len(message.parts)
            message.parts.append(Part(kind))
            self._emit(
                ResponseContentPartAddedEvent(
                    part=message.parts[at].value(),
                    item_id=FAKE_ID,
                    output_index=message.index,
                    content_index=at,
                    sequence_number=self._next(),
                )
            )
        part = message.parts[at]
        part.pieces.append(piece)
        where: Any = {"item_id": FAKE_ID, "output_index": message.index, "content_index": at}
        if kind == "refusal":
            self._emit(ResponseRefusalDeltaEvent(delta=piece, sequence_number=self._next(), **where))
            return
        tokens: list[Any] = []
        if isinstance(logprobs, dict):  # whoever sends them has them from the first piece on
            self._has_logprobs = True
            tokens = array_of(cast("Json", logprobs), "content")
            part.logprobs += [logprob(token, is_delta=False) for token in tokens]
        if not self._has_logprobs:
            self._open_text = part.pieces, message.index, at
        found = [logprob(token, is_delta=True) for token in tokens]
        self._emit(ResponseTextDeltaEvent(delta=piece, logprobs=found, sequence_number=self._next(), **where))

    def _add_call(self, piece: Json) -> None:
        if piece.get("type") not in (None, "", "function"):
            raise ModelBehaviorError(f"the model made a call of type {quoted(str(piece['type']))}; expected a function")
        function = object_of(piece.get("function") or {}, "the function of a tool call")
        call_id, name = text_of(piece, "id"), text_of(function, "name")
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
        call.signature = call.signature or signature(piece)
        if not call.is_announced and call.name and call.call_id and not self._buffers_calls:
            arguments = "".join(call.pieces) + arguments  # what came before the name
            call.pieces.clear()
            self._announce(call)
        if arguments:
            call.pieces.append(arguments)
            if call.is_announced:
                self._arguments(call, arguments)

    def _announce(self, call: Call) -> None:
        call.is_announced = True
        self._number_calls()
        self._added(cast("int", call.index), self._item(call, "in_progress"))

    def _number_calls(self) -> None:
        """Give the calls made so far their places in the output, in the order in which they began."""
        for call in self._made:
            if call.index is None:
                call.index = len(self._items)
                self._items.append(call)

    def _arguments(self, call: Call, piece: str) -> None:
        self._emit(
            ResponseFunctionCallArgumentsDeltaEvent(
                delta=piece, item_id=FAKE_ID, output_index=cast("int", call.index), sequence_number=self._next()
            )
        )

    def _call(self, at: Any, call_id: str, name: str) -> Call:
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
            known = self._calls[at] = Call(at)
            self._made.append(known)
            if len(self._calls) + len(self._items) > 2 * self._limits.calls_per_response + 8:
                raise ModelLimitError("calls_per_response", len(self._calls), self._limits.calls_per_response)
        return known

    # -- the end

    def _close_items(self) -> None:
        self._open_text = None
        if self._buffers_calls:
            self._made.sort(key=lambda call: call.at)
        for call in self._made:
            if not (call.name and call.call_id):
                raise ModelBehaviorError(
                    f"the model made a call without a name or a call id: name {quoted(call.name)}, call id "
                    f"{quoted(call.call_id)}"
                )
            if not call.is_announced:
                self._close_summary()
                arguments = "".join(call.pieces)
                call.pieces.clear()
                self._announce(call)
                call.pieces.append(arguments)
                if arguments:
                    self._arguments(call, arguments)
        if self._reason == "tool_calls" and self._buffers_calls and not self._made:
            raise ModelBehaviorError("the model's finish_reason is 'tool_calls', and it made no call")
        if self._reason == "content_filter" and self._message is None and not self._made:
            self._add_text("The provider's content filter withheld the reply.", "refusal")
        status: Status = "incomplete" if self._reason == "length" else "completed"
        self._close_reasoning()
        message = self._message
        if message is not None:
            self._close_parts(message)
        for call in self._made:
            self._done(cast("int", call.index), self._item(call, status))
        if message is not None:
            self._done(message.index, self._item(message, status))

    def _close_reasoning(self) -> None:
        current = self._reasoning
        if current is None:
            return
        if current.summary:
            self._close_summary()
        elif (text := current.whole_text()) or current.text:
            self._emit(
                ResponseReasoningTextDoneEvent(
                    text=text,
                    item_id=FAKE_ID,
                    output_index=current.index,
                    sequence_number=self._next(),
                )
            )
        self._done(current.index, self._item(current, "completed"))

    def _close_parts(self, message: Message) -> None:
        for at, part in sorted(enumerate(message.parts), key=lambda place: place[1].kind != "text"):
            self._emit(
                ResponseContentPartDoneEvent(
                    part=part.value(),
                    item_id=FAKE_ID,
                    output_index=message.index,
                    content_index=at,
                    sequence_number=self._next(),
                )
            )

    def _complete(self) -> None:
        """Make the terminal event; raise for a reply that was cut short."""
        reason = self._reason
        short = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(reason or "")
        if short == "content_filter" and self._message is not None and self._message.parts[0].kind == "refusal":
            short = None  # there is nothing to be taken for an answer
        status: Status = "incomplete" if short else "completed"
        response = self.response
        response.status = status
        response.output = [self._item(item, status) for item in self._items]
        response.usage = usage_of(self.raw_usage)
        if self._request_id is not None:
            response.extra = {**(response.extra or {}), "_request_id": self._request_id}
        if self._keeps_usage and self.raw_usage is not None:
            response.extra = {**(response.extra or {}), "_raw_usage": self.raw_usage}
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

    def _item(self, item: Reasoning | Message | Call, status: Status) -> TResponseOutputItem:
        kept = dict(self._kept)
        return item.item(kept) if isinstance(item, Reasoning) else item.item(status, kept)

    def _added(self, index: int, item: TResponseOutputItem) -> None:
        self._emit(ResponseOutputItemAddedEvent(item=item, output_index=index, sequence_number=self._next()))

    def _done(self, index: int, item: TResponseOutputItem) -> None:
        self._emit(ResponseOutputItemDoneEvent(item=item, output_index=index, sequence_number=self._next()))

    def _emit(self, event: TResponseStreamEvent) -> None:
        self._events.append(event)

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence


def read_completion(
    text: str, limits: Limits, request_id: str | None, *, model: str | None = None, strict: bool = False
) -> tuple[Response, Json | None]:
    """Return the reply that a body holds, and the usage as it came.

    Raises:
        ModelBehaviorError: it is no whole reply, or one that failed or was cut short.
        ModelRefusalError: the provider's content filter stopped it.
        ModelLimitError: it is nested too deeply, or has too many calls.
    """
    stream = ChatStream(limits, request_id, model=model, strict=strict)
    response = stream.read_whole(decode_object(text, "the model's reply", limits.json_depth))
    return response, stream.raw_usage
