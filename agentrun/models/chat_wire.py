"""The wire of Chat Completions: requests out of Responses items, and Responses items and events out of replies. No I/O.

A chat reply has no items, so the reader makes them: each of reasoning, message and calls is opened when its first piece
arrives, in that order numbered as output, and closed when the next one of them begins to speak (reasoning) or when the
model gives its `finish_reason` (the others, whose pieces may interleave).

    started --chunks--> open items --finish_reason--> finished --usage, [DONE] or the end--> completed

`finish_reason` is what ends a reply. `[DONE]` and the usage after it may be missing; a stream without it is cut.
Whole replies take the same way: the message is read as if it were the only chunk.

Source: OpenAI API reference, "Chat completions"; models, "Chat Completions".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import attrs

from .._codec import as_dict
from .._exceptions import AgentsException, ModelBehaviorError, ModelLimitError, ModelRefusalError, UserError
from .._responses import (
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
from ._json import Json, decode_object, encode, quoted
from .responses_wire import FAKE_ID, check_calls, failure, reasoning, tool_definitions, with_extras

if TYPE_CHECKING:
    from .._handoff import Handoff
    from .._responses import TResponseInputItem, TResponseOutputItem, TResponseStreamEvent
    from .._settings import ModelSettings
    from .._tool import Tool
    from ..agent_output import AgentOutputSchemaBase
    from ._limits import Limits

__all__ = ["ChatStream", "messages", "read_completion", "request_body"]

_Status = Literal["in_progress", "completed", "incomplete"]
_T = TypeVar("_T")

# ---- requests --------------------------------------------------------------------------------------------------------


def request_body(
    model: str,
    system_instructions: str | None,
    input: str | list[TResponseInputItem],
    settings: ModelSettings,
    tools: Sequence[Tool],
    output_schema: AgentOutputSchemaBase | None,
    handoffs: Sequence[Handoff[Any, Any]],
    *,
    stream: bool,
    completion_tokens: bool,
) -> bytes:
    """Return the body of a request.

    Args:
        model: and the six after it: see `Model.get_response`.
        system_instructions: see there.
        input: see there.
        settings: see there.
        tools: see there.
        output_schema: see there.
        handoffs: see there.
        stream: whether to ask for a stream.
        completion_tokens: whether the output limit is called `max_completion_tokens`, as OpenAI's own models want it,
            or `max_tokens`, as everybody else does.

    Raises:
        UserError: something in it cannot be sent over this API.
    """
    definitions = [_function(definition) for definition in tool_definitions(tools, handoffs)]
    found = reasoning(settings) or {}
    members: Json = {
        "model": model,
        "tools": definitions or None,
        "tool_choice": _tool_choice(settings),
        "parallel_tool_calls": settings.parallel_tool_calls if definitions else None,
        "response_format": _response_format(output_schema),
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "frequency_penalty": settings.frequency_penalty,
        "presence_penalty": settings.presence_penalty,
        "max_completion_tokens" if completion_tokens else "max_tokens": settings.max_tokens,
        "logprobs": True if settings.top_logprobs is not None else None,
        "top_logprobs": settings.top_logprobs,
        "reasoning_effort": found.get("effort"),
        "verbosity": settings.verbosity,
        "store": settings.store,
        "metadata": settings.metadata,
        "prompt_cache_retention": settings.prompt_cache_retention,
        "stream": True if stream else None,
        "stream_options": {"include_usage": True} if stream and settings.include_usage is not False else None,
    }
    sent = messages(system_instructions, input)
    return with_extras(members, settings, "messages", [encode(message, "a message") for message in sent])


def _function(definition: Json) -> Json:
    if definition.get("type") != "function":
        raise UserError(
            f"a tool of type {definition.get('type')!r} is run by the provider and only exists in the Responses API; use "
            "OpenAIResponsesModel, or leave the tool out"
        )
    wanted = ("name", "description", "parameters", "strict")
    function = {name: definition[name] for name in wanted if definition.get(name) is not None}
    return {"type": "function", "function": function}


def _tool_choice(settings: ModelSettings) -> Any | None:
    choice = settings.tool_choice
    if not isinstance(choice, str) or choice in ("auto", "required", "none"):
        return choice
    return {"type": "function", "function": {"name": choice}}


def _response_format(output_schema: AgentOutputSchemaBase | None) -> Json | None:
    if output_schema is None or output_schema.is_plain_text():
        return None
    schema = {
        "name": "final_output",
        "strict": output_schema.is_strict_json_schema(),
        "schema": output_schema.json_schema(),
    }
    return {"type": "json_schema", "json_schema": schema}


def messages(system_instructions: str | None, input: str | list[TResponseInputItem]) -> list[Json]:
    """Return a conversation as chat messages.

    What an assistant said and the calls it made in one turn become one message, as the API wants it. Images and files in
    a tool's output follow the outputs of that turn in a user's message, since tool messages hold text only. Reasoning is
    left out, but for what chat models themselves thought since the last message of the user: those that think between
    calls want it back.

    Raises:
        UserError: an item or a part has no form in this API.
    """
    writer = _Messages(system_instructions)
    items: Sequence[TResponseInputItem] = [{"role": "user", "content": input}] if isinstance(input, str) else input
    last = max((at for at, item in enumerate(items) if item.get("role") == "user"), default=-1)
    for at, item in enumerate(items):
        writer.add(item, is_current=at > last)
    writer.end_turn()
    return writer.messages


class _Messages:
    """Writes chat messages out of input items, one after another."""

    def __init__(self, system_instructions: str | None) -> None:
        self.messages: list[Json] = []
        if system_instructions:
            self.messages.append({"role": "system", "content": system_instructions})
        # Invariant: an assistant's message that is still open is also the last of `messages`
        self._open: Json | None = None
        self._thought: tuple[str, str] | None = None
        self._attachments: list[Json] = []

    def add(self, item: TResponseInputItem, *, is_current: bool) -> None:
        """Append one item; `is_current` says that no message of the user follows it."""
        kind = item.get("type", "message")
        if kind == "message" and "role" in item:
            self._message(item)
        elif kind == "function_call":
            self._call(item)
        elif kind == "function_call_output":
            self._output(item)
        elif kind == "reasoning":
            self._reasoning(item, is_current)
        else:
            raise UserError(
                f"an input item of type {kind!r} has no form in the Chat Completions API; use OpenAIResponsesModel, or "
                "leave the item out with an input filter"
            )

    def end_turn(self) -> None:
        """Close the assistant's message, and send what its tools gave back beside text."""
        self._open = None
        if self._attachments:
            self.messages.append({"role": "user", "content": self._attachments})
            self._attachments = []

    def _message(self, item: TResponseInputItem) -> None:
        role, content = item["role"], item.get("content")
        if role != "assistant":
            if role not in ("user", "system", "developer"):
                raise UserError(f"a message must have the role user, system, developer or assistant, got {role!r}")
            self.end_turn()
            self._thought = None
            sent: Any = content if isinstance(content, str) else [_part(part) for part in _list(content, "content")]
            self.messages.append({"role": role, "content": sent})
            return
        texts, refusals = _assistant_texts(content)
        if self._open is not None and ("content" in self._open or "tool_calls" in self._open):
            self.end_turn()
        message = self._assistant()
        if texts or not refusals:
            message["content"] = "".join(texts)
        if refusals:
            message["refusal"] = "".join(refusals)

    def _assistant(self) -> Json:
        if self._open is None:
            self.end_turn()
            self._open = {"role": "assistant"}
            self.messages.append(self._open)
            if self._thought is not None:
                field, text = self._thought
                self._open[field] = text
                self._thought = None
        return self._open

    def _call(self, item: TResponseInputItem) -> None:
        if self._thought is not None and self._open is not None and "tool_calls" in self._open:
            self.end_turn()  # it thought again, so these calls belong to another reply
        message = self._assistant()
        calls = message.setdefault("tool_calls", [])
        # Some servers refuse a message without the member, and OpenAI takes null
        message.setdefault("content", None)
        function = {"name": item.get("name"), "arguments": item.get("arguments") or "{}"}
        calls.append({"id": item.get("call_id"), "type": "function", "function": function})

    def _output(self, item: TResponseInputItem) -> None:
        self._open = None
        output = item.get("output")
        content: Any = output
        if not isinstance(output, str):
            parts = [_part(part) for part in _list(output, "output")]
            content = [part for part in parts if part["type"] == "text"]
            attached = [part for part in parts if part["type"] != "text"]
            if attached:
                name = f"Attached to the output of call {item.get('call_id')}:"
                self._attachments += [{"type": "text", "text": name}, *attached]
                content = content or "(see the attachment in the next message)"
        self.messages.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": content})

    def _reasoning(self, item: TResponseInputItem, is_current: bool) -> None:
        made_by = item.get("provider_data")
        if not is_current or not isinstance(made_by, Mapping):
            return
        field = cast("Mapping[str, Any]", made_by).get("field")
        texts = [
            part["text"]
            for part in (*(item.get("summary") or ()), *(item.get("content") or ()))
            if isinstance(part, dict) and isinstance(cast("Json", part).get("text"), str)
        ]
        if field in _REASONING_FIELDS and texts:
            self._thought = (field, "".join(texts))


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise UserError(f"the {what} of an input item must be a string or a list of parts, got {value!r}")
    return list(cast("Sequence[Any]", value))


def _assistant_texts(content: Any) -> tuple[list[str], list[str]]:
    """Return the texts and the refusals of an assistant's message."""
    if content is None or isinstance(content, str):
        return [content or ""], []
    texts: list[str] = []
    refusals: list[str] = []
    for one in _list(content, "content"):
        part = as_dict(one)
        if part.get("type") == "refusal":
            refusals.append(str(part.get("refusal") or ""))
        elif part.get("type") in ("output_text", "input_text", "text"):
            texts.append(str(part.get("text") or ""))
        else:
            raise UserError(f"a part of type {part.get('type')!r} of an assistant's message has no form in this API")
    return texts, refusals


def _part(one: Any) -> Json:
    """Return a part of a message, or of a tool's output, in chat form."""
    part = as_dict(one)
    kind = part.get("type")
    if kind in ("input_text", "output_text", "text"):
        return {"type": "text", "text": part.get("text") or ""}
    if kind == "input_image":
        url = part.get("image_url")
        if not isinstance(url, str) or not url:
            raise UserError("an image for the Chat Completions API needs an image_url; it knows no file_id of images")
        image = {"url": url}
        if part.get("detail"):
            image["detail"] = part["detail"]
        return {"type": "image_url", "image_url": image}
    if kind == "input_file":
        if not part.get("file_data") and not part.get("file_id"):
            raise UserError("a file for the Chat Completions API needs file_data or a file_id; it fetches no file_url")
        file = {name: part[name] for name in ("file_data", "file_id", "filename") if part.get(name)}
        return {"type": "file", "file": file}
    if kind in ("input_audio", "image_url", "file"):
        return part
    raise UserError(
        f"a part of type {kind!r} has no form in the Chat Completions API; expected input_text, input_image, input_file "
        "or input_audio"
    )


# ---- replies ---------------------------------------------------------------------------------------------------------

_REASONING_FIELDS = ("reasoning_content", "reasoning")
"""The members that providers put reasoning in: the first as a summary is shown, the second in full."""


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
        self.finished = False
        """Whether the model gave its finish reason: the reply is whole, its usage may follow."""
        self.completed = False
        """Whether `response.completed` was made; nothing that follows is read."""
        self.response = Response(status="in_progress")
        self.raw_usage: Json | None = None
        self._started = False
        self._sequence = -1
        self._reason: str | None = None
        self._reasoning: _Reasoning | None = None
        self._message: _Message | None = None
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
        choices = _of(completion, "choices", list)
        if not choices:
            raise ModelBehaviorError("the model's reply has no choices")
        choice = _object(choices[0], "choices[0]")
        message = dict(_object(choice.get("message"), "choices[0].message"))
        calls = message.get("tool_calls")
        if isinstance(calls, list):
            listed = [_object(call, "a tool call") for call in cast("list[Any]", calls)]
            message["tool_calls"] = [{**call, "index": at} for at, call in enumerate(listed)]
        delta = {**choice, "index": 0, "delta": message, "finish_reason": choice.get("finish_reason") or "stop"}
        self._chunk({**completion, "choices": [delta]})
        if not self.completed:
            self._complete()
        return self.response

    # -- chunks

    def _chunk(self, chunk: Json) -> None:
        if chunk.get("error"):
            raise failure("error", chunk["error"])
        if not self._started:
            self._start(chunk)
        usage = chunk.get("usage")
        if isinstance(usage, dict):
            self.raw_usage = cast("Json", usage)
        choices = _of(chunk, "choices", list) or []
        for one in choices:
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
        started = attrs.evolve(self.response, output=[])
        self._emit(ResponseCreatedEvent(response=started, sequence_number=self._next()))

    def _delta(self, delta: Json) -> None:
        for field in _REASONING_FIELDS:
            thought = _text(delta, field)
            if thought:
                self._add_reasoning(field, thought)
                break  # some gateways send the same piece under both names
        content = delta.get("content")
        if isinstance(content, list):
            self._add_parts(cast("list[Any]", content))
        elif content is not None:
            text = _text(delta, "content")
            if text:
                self._add_text(text, "text")
        refusal = _text(delta, "refusal")
        if refusal:
            self._add_text(refusal, "refusal")
        for call in _of(delta, "tool_calls", list) or []:
            self._add_call(_object(call, "a tool call"))

    def _add_parts(self, parts: list[Any]) -> None:
        """Add content that comes as a list of parts, as one provider sends what its model thinks."""
        for one in parts:
            part = _object(one, "a content part")
            if part.get("type") == "thinking":
                for thought in _of(part, "thinking", list) or []:
                    self._add_reasoning("reasoning_content", _text(_object(thought, "a thought"), "text"))
            elif part.get("type") == "text":
                self._add_text(_text(part, "text"), "text")

    def _add_reasoning(self, field: str, piece: str) -> None:
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
            self._added(call.index, attrs.evolve(call.item("in_progress"), arguments=""))
            arguments = "".join(call.pieces) + arguments  # what came before the name
            call.pieces.clear()
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


def _of(source: Json, name: str, kind: type[_T]) -> Any | None:
    value = source.get(name)
    if value is not None and not isinstance(value, kind):
        raise ModelBehaviorError(f"{name} in the model's reply is no {kind.__name__} but {quoted(repr(value))}")
    return value


def _text(source: Json, name: str) -> str:
    """Return a member that is a text, "" where it is null or missing."""
    value = source.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ModelBehaviorError(f"{name} in the model's reply is no text but {quoted(repr(value))}")
    return value
