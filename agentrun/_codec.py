"""The codec of Responses values: JSON objects to typed values and back, one converter in one place.

Reading goes by the `type` tag through a dict to a reader. Each class has one reader, made from its attrs fields when
its first value arrives: which JSON name feeds which field, and how. Nothing is lost on the way: see `_responses.py`
for what `extra` and `as_sent` keep.

Deltas have a way of their own, because a reply has thousands of them: where the keys are exactly the usual ones, the
slots are filled in place.

What a run cannot go on without is checked (texts, names, arguments, ids, lists of items and parts); a wrong one is a
`WireError` that says where. Other fields are kept as they came: a provider that is wrong about them does no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from attrs import NOTHING

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
    ResponseError,
    ResponseErrorEvent,
    ResponseFailedEvent,
    ResponseFunctionCallArgumentsDeltaEvent,
    ResponseFunctionCallArgumentsDoneEvent,
    ResponseFunctionToolCall,
    ResponseIncompleteEvent,
    ResponseInProgressEvent,
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
    TContentPart,
    TResponseInputItem,
    TResponseOutputItem,
    TResponseStreamEvent,
)
from agentrun._wire_value import (
    Reader,
    Record,
    WireError,
    WireValue,
    as_object,
    expected,
    list_of,
    plain,
    reader_of,
    readers,
)


def structure_item(data: Mapping[str, Any]) -> TResponseOutputItem:
    """Return the output item that `data` describes.

    It is a Record where its `type` is unknown, and where a message is not the assistant's. Nested objects of unknown
    class read `data` itself and do not copy it.

    Raises:
        WireError: `data` is no object, has no `type`, or lacks what its type needs.
    """
    return _item(data)


def structure_event(data: Mapping[str, Any]) -> TResponseStreamEvent:
    """Return the stream event that `data` describes; a Record where its `type` is unknown.

    Raises:
        WireError: As for `structure_item`.
    """
    try:
        read = _event_readers[data["type"]]
    except (KeyError, TypeError, IndexError):
        read = _find_event_reader(data)
    event: TResponseStreamEvent = read(data)
    return event


def structure_response(data: Mapping[str, Any]) -> Response:
    """Return the reply that `data` describes, with its items, error and usage.

    `output` may be missing only where the status says that there may be none (failed, cancelled, queued, in progress).

    Raises:
        WireError: As for `structure_item`.
    """
    return _response(data)


def unstructure(value: Any) -> Any:
    """Return any value as plain JSON values that share nothing with it.

    For a value that `structure_*` made this is an equal of what it was made from.

    Raises:
        TypeError: `value` or something in it has no JSON form.
    """
    return plain(value)


def unstructure_item(item: Any) -> TResponseInputItem:
    """Return `item` as an input item: a dict of plain JSON values that shares nothing with it.

    Args:
        item: A Responses item, a Record, a dict, or an object with `model_dump`, such as those of the `openai` package.

    Raises:
        TypeError: `item` has no JSON form, or is no object.
    """
    result: TResponseInputItem = plain(item)
    if not isinstance(result, dict):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"expected an item (a dict or a Responses value), got {item!r}")
    return result


def as_dict(item: Any) -> TResponseInputItem:
    """Return `item` as a dict: the same one if it is a dict, `unstructure_item(item)` otherwise."""
    if isinstance(item, dict):
        return cast("TResponseInputItem", item)
    return unstructure_item(item)


# ---- reading by class

_new = object.__new__


def _text_delta_reader() -> Callable[[Any], ResponseTextDeltaEvent]:
    """Return the reader of text deltas, quick where the keys are exactly the usual ones.

    It fills the slots itself: `__init__` has nothing else to do here, and keywords cost more than all the rest.
    """
    read_any: Callable[[Any], ResponseTextDeltaEvent] = reader_of(ResponseTextDeltaEvent)

    def read(data: Any) -> ResponseTextDeltaEvent:
        obfuscation = None
        if len(data) != 7:
            obfuscation = data.get("obfuscation")
            if len(data) != 8 or obfuscation is None:
                return read_any(data)
        event = _new(ResponseTextDeltaEvent)
        try:
            event.delta = delta = data["delta"]
            event.item_id = item_id = data["item_id"]
            event.output_index = output_index = data["output_index"]
            event.content_index = content_index = data["content_index"]
            event.logprobs = logprobs = data["logprobs"]
            event.sequence_number = sequence_number = data["sequence_number"]
            event.type = data["type"]
        except KeyError:
            return read_any(data)
        if (
            type(delta) is not str
            or logprobs != []  # its entries become Records
            # Nulls are remembered.
            or item_id is None
            or output_index is None
            or content_index is None
            or sequence_number is None
        ):
            return read_any(data)
        event.obfuscation = obfuscation
        event.extra = event.as_sent = None
        return event

    return read


def _delta_reader(cls: type[WireValue], *indexes: str) -> Callable[[Any], Any]:
    """Return a reader for another class of deltas, quick in the same way.

    `indexes` are the indexes that the class has besides `output_index`.
    """
    read_any = reader_of(cls)
    size = 5 + len(indexes)
    make = cast("type[ResponseFunctionCallArgumentsDeltaEvent]", cls)  # all have its fields

    def read(data: Any) -> Any:
        obfuscation = None
        if len(data) != size:
            obfuscation = data.get("obfuscation")
            if len(data) != size + 1 or obfuscation is None:
                return read_any(data)
        event = _new(make)
        try:
            event.delta = delta = data["delta"]
            event.item_id = item_id = data["item_id"]
            event.output_index = output_index = data["output_index"]
            event.sequence_number = sequence_number = data["sequence_number"]
            event.type = data["type"]
            for name in indexes:
                index = data[name]
                if index is None:
                    return read_any(data)
                setattr(event, name, index)
        except KeyError:
            return read_any(data)
        if type(delta) is not str or item_id is None or output_index is None or sequence_number is None:
            return read_any(data)
        event.obfuscation = obfuscation
        event.extra = event.as_sent = None
        return event

    return read


def _lazily(cls: type[WireValue]) -> Callable[[Any], Any]:
    made: list[Reader] = []

    def read(data: Any) -> Any:
        if not made:
            made.append(reader_of(cls))
        return made[0](data)

    return read


def _echo_reader(cls: type[WireValue]) -> Callable[[Any], Any]:
    """Return the reader of an event that echoes the reply before it has any output.

    Nearly nobody reads the echo, and it is most of what a short reply costs: it stays as it came until somebody does.
    """
    read_any = reader_of(cls)
    slot: Any = cls.__dict__["response"]

    def decoded(event: Any) -> Response:
        held = slot.__get__(event, cls)
        if type(held) is dict:
            held = _response(held)
            slot.__set__(event, held)
        return cast("Response", held)

    setattr(cls, "response", property(decoded, slot.__set__))  # noqa: B010 - a checker must go on seeing the field

    def read(data: Any) -> Any:
        response = data.get("response")
        sequence_number = data.get("sequence_number")
        if len(data) != 3 or type(response) is not dict or sequence_number is None:
            return read_any(data)
        event: Any = _new(cls)
        slot.__set__(event, response)
        event.sequence_number, event.type = sequence_number, data["type"]
        event.extra = event.as_sent = None
        return event

    return read


def _tagged(classes: Mapping[str, type[WireValue]]) -> Reader:
    """Return a reader of objects that their `type` tells apart; one of a tag outside `classes` becomes a Record."""
    readers = {tag: _lazily(cls) for tag, cls in classes.items()}

    def read(data: Any) -> Any:
        tag = _tag(data)
        return readers[tag](data) if tag in readers else Record(data)

    return read


def _tag(data: Any) -> str:
    tag = as_object(data).get("type", NOTHING)
    if isinstance(tag, str):
        return tag
    if tag is NOTHING:
        raise WireError("required to tell what the object is, but missing").under("type")
    raise expected("a string", tag).under("type")


_content_part: Callable[[Any], TContentPart] = _tagged(
    {"output_text": ResponseOutputText, "refusal": ResponseOutputRefusal, "reasoning_text": Content}
)
_read_response = _lazily(Response)
_WITHOUT_OUTPUT = ("failed", "cancelled", "queued", "in_progress")


def _response(data: Any) -> Response:
    source = as_object(data)
    if "output" not in source and source.get("status") not in _WITHOUT_OUTPUT:
        raise WireError("required by Response, but missing").under("output")
    response: Response = _read_response(source)
    return response


def _item(data: Any) -> TResponseOutputItem:
    tag = _tag(data)
    read = _item_readers.get(tag)
    if read is None:
        read = _find_item_reader(tag)
    item: TResponseOutputItem = read(data)
    return item


def _message(data: Mapping[str, Any]) -> ResponseOutputMessage | Record:
    # History may hold input messages, whose parts and content forms are not the assistant's.
    if data.get("role", "assistant") != "assistant":
        return Record(data)
    message: ResponseOutputMessage = _output_message(data)
    return message


_output_message = _lazily(ResponseOutputMessage)

_item_readers: dict[str, Reader] = {
    "message": _message,
    "function_call": _lazily(ResponseFunctionToolCall),
    "reasoning": _lazily(ResponseReasoningItem),
}

_summary = _tagged({"summary_text": Summary})
_reasoning_text = _tagged({"reasoning_text": Content})

readers.update(
    {
        "TResponseOutputItem": _item,
        "list[TResponseOutputItem]": list_of(_item),
        "TContentPart": _content_part,
        "list[TMessagePart]": list_of(_content_part),
        "Summary": _summary,
        "list[Summary]": list_of(_summary),
        "list[Content] | None": list_of(_reasoning_text),
        "Response": _response,
        "ResponseUsage | None": _lazily(ResponseUsage),
        "ResponseError | None": _lazily(ResponseError),
        "IncompleteDetails | None": _lazily(IncompleteDetails),
        "InputTokensDetails": _lazily(InputTokensDetails),
        "OutputTokensDetails": _lazily(OutputTokensDetails),
    }
)

_EVENTS: tuple[type[WireValue], ...] = (
    ResponseCompletedEvent,
    ResponseFailedEvent,
    ResponseIncompleteEvent,
    ResponseErrorEvent,
    ResponseOutputItemAddedEvent,
    ResponseOutputItemDoneEvent,
    ResponseContentPartAddedEvent,
    ResponseContentPartDoneEvent,
    ResponseTextDoneEvent,
    ResponseFunctionCallArgumentsDoneEvent,
    ResponseRefusalDoneEvent,
    ResponseReasoningSummaryPartAddedEvent,
    ResponseReasoningSummaryPartDoneEvent,
    ResponseReasoningSummaryTextDoneEvent,
    ResponseReasoningTextDoneEvent,
)
_DELTAS: tuple[tuple[Any, ...], ...] = (
    (ResponseFunctionCallArgumentsDeltaEvent,),
    (ResponseRefusalDeltaEvent, "content_index"),
    (ResponseReasoningSummaryTextDeltaEvent, "summary_index"),
    (ResponseReasoningTextDeltaEvent, "content_index"),
)

_event_readers: dict[str, Reader] = {}
"""Filled as events arrive."""


def tag_of(cls: type[WireValue]) -> str:
    """Return the `type` tag of an item or event class."""
    return str(cls.declared["type"][1])


def _find_event_reader(data: Any) -> Reader:
    tag = _tag(data)
    if not _event_readers:
        _event_readers.update({tag_of(cls): _lazily(cls) for cls in _EVENTS})
        for echo in (ResponseCreatedEvent, ResponseInProgressEvent):
            _event_readers[tag_of(echo)] = _echo_reader(echo)
        _event_readers["response.output_text.delta"] = _text_delta_reader()
        for cls, *indexes in _DELTAS:
            _event_readers[tag_of(cls)] = _delta_reader(cls, *indexes)
    if tag not in _event_readers:
        from agentrun._hosted import HOSTED_EVENTS

        for cls in HOSTED_EVENTS:
            _event_readers.setdefault(tag_of(cls), _lazily(cls))
    return _event_readers.get(tag, Record)


def _find_item_reader(tag: str) -> Reader:
    from agentrun._hosted import HOSTED_ITEMS

    for cls in HOSTED_ITEMS:
        _item_readers.setdefault(tag_of(cls), _lazily(cls))
    return _item_readers.get(tag, Record)
