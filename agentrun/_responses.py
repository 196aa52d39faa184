"""Values of the OpenAI Responses API: output items, stream events, replies and usage, under the API's own names.

Every class here is an attrs class with slots whose fields are the JSON fields. What the classes do not know is kept:

* unknown fields of a known class stand in `extra` and read as attributes;
* `as_sent` remembers what the sender wrote where a field holds its default (an explicit null, or nothing at all), so
  that a value goes back exactly as it came;
* objects of no known class are a `Record`.

Invariant: `unstructure_item(structure_item(d)) == d` for every dict that structures, and
`structure_item(unstructure_item(x)) == x`.

The classes share one `__eq__` and `__repr__` in `WireValue` instead of generated ones, which attrs would compile for
each class at import.
Items and events that few programs meet are in `_hosted.py`, which loads when the first one arrives.

Source: OpenAI API reference, "Responses" and "Streaming events".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, TypeAlias, TypeVar, cast, dataclass_transform

import attrs

Json: TypeAlias = str | int | float | bool | list[Any] | dict[str, Any] | None
"""What `json.loads` returns."""
JsonObject: TypeAlias = dict[str, Any]
"""A JSON object."""
TResponseInputItem: TypeAlias = dict[str, Any]
"""An input item of the Responses API: a plain dict, such as `{"role": "user", "content": "hi"}`."""
ResponseInputItem: TypeAlias = TResponseInputItem

T = TypeVar("T")


def wrap(value: Any) -> Any:
    """Return `value` with JSON objects as `Record`s: a dict becomes one, a list a new list of wrapped values."""
    if isinstance(value, dict):
        return Record(cast("dict[str, object]", value))
    if isinstance(value, list):
        return [wrap(entry) for entry in cast("list[object]", value)]
    return value


class Record(Mapping[str, Any]):
    """A JSON object of no known class, readable by attribute and by key; objects inside it are Records too.

    `record.action.type` and `record["action"]["type"]` are the same value. Names that a mapping uses itself (`items`,
    `keys`, `values`, `get`) are read by key. A Record equals another one, or a dict, of equal content. It reads the
    dict it was given and does not copy it.
    """

    __slots__ = ("_data",)
    __hash__ = None  # type: ignore[assignment]  # content may change under it, as with a dict

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data = data

    def __getitem__(self, key: str) -> Any:
        return wrap(self._data[key])

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)

    def __getattr__(self, name: str) -> Any:
        # Copying and pickling ask an object that has no `_data` yet for special names; those are never JSON fields.
        if name == "_data" or name.startswith("__"):
            raise AttributeError(name)
        try:
            return wrap(self._data[name])
        except KeyError:
            raise AttributeError(f"record of type {self._data.get('type')!r} has no field {name!r}") from None

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Record):
            return self._data == other._data
        if isinstance(other, Mapping):
            return self._data == other
        return NotImplemented

    def __repr__(self) -> str:
        return f"Record({self._data!r})"

    def model_dump(self, **options: Any) -> JsonObject:
        """Return the object as plain JSON values. Options are accepted as pydantic has them and change nothing."""
        whole: JsonObject = plain(self._data)
        return whole

    def model_dump_json(self, *, indent: int | None = None, **options: Any) -> str:
        """Return the object as JSON text."""
        return json.dumps(plain(self._data), indent=indent, ensure_ascii=False)


class FieldShape(NamedTuple):
    """How one attrs field stands in JSON."""

    wire: str
    """The JSON name: the attribute's, without the underscore that keeps it apart from a Python keyword."""
    attribute: str
    annotation: str
    default: Any
    """A value equal to the default, or `attrs.NOTHING` where a value is required."""
    omitted: bool
    """True where the default is no content (None, or an empty string): it is left out unless the sender wrote it."""


@dataclass_transform(eq_default=True, kw_only_default=True, field_specifiers=(attrs.field,))
def wire(cls: type[T]) -> type[T]:
    """Make `cls` a slotted attrs class with keyword arguments only; equality and repr come from `WireValue`."""
    return attrs.define(
        cls,
        eq=False,
        repr=False,
        match_args=False,
        auto_attribs=True,
        weakref_slot=False,
        kw_only=True,
        getstate_setstate=False,
    )


@wire
class WireValue:
    """The base of all Responses values: two of one class are equal when their fields and their `extra` are."""

    extra: dict[str, Any] | None = None
    """Fields the class does not know, by JSON name; each also reads as an attribute."""
    as_sent: dict[str, Any] | None = attrs.field(default=None, init=False)
    """What the sender wrote, by JSON name, where a field now holds its default; `attrs.NOTHING` if it was left out.

    It is not compared: a null and a field left out mean the same.
    """

    if TYPE_CHECKING:  # attrs sets it; its own plugin and stubs do not see through `wire`
        __attrs_attrs__: ClassVar[Any]

    _shapes: ClassVar[tuple[FieldShape, ...] | None] = None

    @classmethod
    def shapes(cls) -> tuple[FieldShape, ...]:
        """Return how each field stands in JSON, in order of declaration; made at first use."""
        if "_shapes" not in cls.__dict__:
            cls._shapes = tuple(_shape(field) for field in attrs.fields(cls) if field.name not in ("extra", "as_sent"))
        shapes = cls._shapes
        assert shapes is not None
        return shapes

    if not TYPE_CHECKING:  # a checker must go on refusing names that no class declares

        def __getattr__(self, name: str) -> Any:
            # `extra` itself is missing only while a copy is being made.
            if name != "extra" and not name.startswith("__"):
                extra = self.extra
                if extra is not None and name in extra:
                    return wrap(extra[name])
            raise AttributeError(f"{type(self).__name__} has no field {name!r}")

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if self.__class__ is not other.__class__:
            return NotImplemented
        theirs: Any = other
        return (self.extra or None) == (theirs.extra or None) and all(
            getattr(self, shape.attribute) == getattr(theirs, shape.attribute) for shape in self.shapes()
        )

    __hash__: ClassVar[None]  # type: ignore[assignment]  # values are mutable; `wire` leaves it None, as `__eq__` does

    def __repr__(self) -> str:
        shown = [
            f"{shape.attribute}={value!r}"
            for shape in self.shapes()
            if (value := getattr(self, shape.attribute)) != shape.default or not shape.omitted
        ]
        if self.extra is not None:
            shown.append(f"extra={self.extra!r}")
        return f"{type(self).__name__}({', '.join(shown)})"

    def model_dump(self, *, exclude_unset: bool = False, exclude_none: bool = False, **options: Any) -> JsonObject:
        """Return the value as a dict of plain JSON values, as pydantic's method of that name does.

        Args:
            exclude_unset: Leave out what the sender left out: the exact wire form.
            exclude_none: Leave out nulls, at every depth.
            options: Accepted for likeness with pydantic; they change nothing.
        """
        whole: JsonObject = plain(self)
        if exclude_none:
            whole = _without_nulls(whole)
            return whole
        if not exclude_unset:
            for shape in self.shapes():
                if shape.wire not in whole:
                    whole[shape.wire] = plain(getattr(self, shape.attribute))
        return whole

    def model_dump_json(self, *, indent: int | None = None, **options: Any) -> str:
        """Return `model_dump` as JSON text."""
        return json.dumps(self.model_dump(**options), indent=indent, ensure_ascii=False)


def _shape(field: attrs.Attribute[Any]) -> FieldShape:
    default: Any = field.default
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]  # a class at run time, a function to type checkers
        default = cast("Callable[[], Any]", default.factory)()
    omitted = default is None or (isinstance(default, str) and default == "")
    return FieldShape(field.name.rstrip("_"), field.name, str(field.type), default, omitted)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        fields = cast("dict[str, object]", value)
        return {key: _without_nulls(entry) for key, entry in fields.items() if entry is not None}
    if isinstance(value, list):
        return [_without_nulls(entry) for entry in cast("list[object]", value)]
    return value


_SCALARS = frozenset({str, int, float, bool})


def plain(value: Any) -> Any:
    """Return `value` as plain JSON values that share nothing with it.

    Responses values and Records become dicts, tuples become lists.
    Objects with `model_dump` (pydantic's, the `openai` package's) are asked for what was set on them.

    Raises:
        TypeError: `value` or something in it has no JSON form.
    """
    if value is None or type(value) in _SCALARS:
        return value
    if isinstance(value, WireValue):
        return _plain_value(value)
    if isinstance(value, (str, int, float)):
        return value
    if isinstance(value, Mapping):
        fields = cast("Mapping[str, object]", value)
        return {key: plain(fields[key]) for key in fields}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in cast("list[object]", value)]
    dump = getattr(value, "model_dump", None)
    if dump is None:
        raise TypeError(
            f"{value!r} has no JSON form; give a dict, a list, a scalar, a Responses value or a pydantic model"
        )
    return dump(mode="json", by_alias=True, exclude_unset=True)


def _plain_value(value: WireValue) -> JsonObject:
    as_sent = value.as_sent or {}
    result: JsonObject = {}
    for name, attribute, _, default, omitted in value.shapes():
        held = getattr(value, attribute)
        if held is default or held == default:
            if name in as_sent:
                held = as_sent[name]
                if held is attrs.NOTHING:
                    continue
            elif omitted:
                continue
        result[name] = held if type(held) is str else plain(held)
    if value.extra:
        for name, held in value.extra.items():
            if name not in result:
                result[name] = plain(held)
    return result


@wire
class HostedItem(WireValue):
    """The base of the output items in `_hosted.py`, which load when one arrives or is imported by name."""

    type: str = ""


@wire
class HostedEvent(WireValue):
    """The base of the stream events in `_hosted.py`, which load when one arrives or is imported by name."""

    type: str = ""
    sequence_number: int = 0


# ---- output items and their parts


@wire
class ResponseOutputText(WireValue):
    """Text in an assistant's message."""

    text: str
    type: Literal["output_text"] = "output_text"
    annotations: list[Record] = attrs.field(factory=list[Record])
    """Citations of files and pages, each a Record with a `type`."""
    logprobs: list[Record] | None = None


@wire
class ResponseOutputRefusal(WireValue):
    """A refusal in an assistant's message, in the model's words."""

    refusal: str
    type: Literal["refusal"] = "refusal"


@wire
class Summary(WireValue):
    """A part of a reasoning item's summary."""

    text: str
    type: Literal["summary_text"] = "summary_text"


@wire
class Content(WireValue):
    """A part of a reasoning item's full text."""

    text: str
    type: Literal["reasoning_text"] = "reasoning_text"


TContentPart: TypeAlias = ResponseOutputText | ResponseOutputRefusal | Content | Record
"""A part of a message, or of a `content_part` event."""


@wire
class ResponseOutputMessage(WireValue):
    """A message of the assistant."""

    id: str = ""
    content: list[TContentPart]
    role: Literal["assistant"] = "assistant"
    status: Literal["in_progress", "completed", "incomplete"] = "completed"
    type: Literal["message"] = "message"
    phase: str | None = None
    """`commentary` or `final_answer`, from models that tell them apart."""


@wire
class ResponseFunctionToolCall(WireValue):
    """A call of a function tool, with its arguments as JSON text."""

    arguments: str
    call_id: str
    name: str
    type: Literal["function_call"] = "function_call"
    id: str | None = None
    async_: bool | None = None
    caller: Record | None = None
    namespace: str | None = None
    status: Literal["in_progress", "completed", "incomplete"] | None = None


@wire
class ResponseReasoningItem(WireValue):
    """What a reasoning model thought before it answered."""

    id: str = ""
    summary: list[Summary | Record] = attrs.field(factory=list[Summary | Record])
    type: Literal["reasoning"] = "reasoning"
    content: list[Content | Record] | None = None
    encrypted_content: str | None = None
    status: Literal["in_progress", "completed", "incomplete"] | None = None


TResponseOutputItem: TypeAlias = (
    ResponseOutputMessage | ResponseFunctionToolCall | ResponseReasoningItem | HostedItem | Record
)
"""An output item: one of the classes here, one of those in `_hosted.py`, or a Record where the type is unknown."""


# ---- usage and replies


@wire
class InputTokensDetails(WireValue):
    """Input tokens, split."""

    cached_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_tokens_details: Record | None = None


@wire
class OutputTokensDetails(WireValue):
    """Output tokens, split."""

    reasoning_tokens: int = 0


@wire
class ResponseUsage(WireValue):
    """Tokens of one reply. Numbers are what the provider sent, plausible or not."""

    input_tokens: int = 0
    input_tokens_details: InputTokensDetails = attrs.field(factory=InputTokensDetails)
    output_tokens: int = 0
    output_tokens_details: OutputTokensDetails = attrs.field(factory=OutputTokensDetails)
    total_tokens: int = 0


@wire
class ResponseError(WireValue):
    """Why a reply failed."""

    code: str = "server_error"
    message: str = ""
    misalignment: Record | None = None
    param: str | None = None
    type: str | None = None


@wire
class IncompleteDetails(WireValue):
    """Why a reply stopped short: `reason` is `max_output_tokens`, `content_filter` or another word of the provider."""

    reason: str | None = None


@wire
class Response(WireValue):
    """One reply of a model: its output items, its status and its usage."""

    id: str = ""
    access_programs: Record | None = None
    created_at: float = 0
    """Seconds since 1970."""
    error: ResponseError | None = None
    incomplete_details: IncompleteDetails | None = None
    instructions: str | list[Record] | None = None
    metadata: Record | None = None
    model: str = ""
    object: Literal["response"] = "response"
    output: list[TResponseOutputItem] = attrs.field(factory=list[TResponseOutputItem])
    parallel_tool_calls: bool = True
    temperature: float | None = None
    tool_choice: str | Record = "auto"
    tools: list[Record] = attrs.field(factory=list[Record])
    top_p: float | None = None
    background: bool | None = None
    completed_at: float | None = None
    conversation: Record | None = None
    image: Record | None = None
    input_transformations: list[Record] | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    moderation: Record | None = None
    previous_response_id: str | None = None
    prompt: Record | None = None
    prompt_cache_diagnostics: Record | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: Record | None = None
    prompt_cache_retention: str | None = None
    reasoning: Record | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    status: Literal["completed", "failed", "in_progress", "cancelled", "queued", "incomplete"] | None = None
    text: Record | None = None
    tool_usage: Record | None = None
    top_logprobs: int | None = None
    truncation: str | None = None
    usage: ResponseUsage | None = None
    user: str | None = None

    @property
    def output_text(self) -> str:
        """All text of all messages in `output`, joined."""
        return "".join(
            part.text
            for item in self.output
            if isinstance(item, ResponseOutputMessage)
            for part in item.content
            if isinstance(part, ResponseOutputText)
        )


# ---- stream events


@wire
class ResponseCreatedEvent(WireValue):
    """The reply exists; nothing of its output does."""

    response: Response
    sequence_number: int = 0
    type: Literal["response.created"] = "response.created"


@wire
class ResponseInProgressEvent(WireValue):
    """The model works on the reply."""

    response: Response
    sequence_number: int = 0
    type: Literal["response.in_progress"] = "response.in_progress"


@wire
class ResponseCompletedEvent(WireValue):
    """The reply is whole; `response` has all of it and the usage."""

    response: Response
    sequence_number: int = 0
    type: Literal["response.completed"] = "response.completed"


@wire
class ResponseFailedEvent(WireValue):
    """The reply failed; `response.error` says why."""

    response: Response
    sequence_number: int = 0
    type: Literal["response.failed"] = "response.failed"


@wire
class ResponseIncompleteEvent(WireValue):
    """The reply ended short; `response.incomplete_details` says why."""

    response: Response
    sequence_number: int = 0
    type: Literal["response.incomplete"] = "response.incomplete"


@wire
class ResponseErrorEvent(WireValue):
    """The stream itself failed."""

    message: str = ""
    code: str | None = None
    param: str | None = None
    sequence_number: int = 0
    type: Literal["error"] = "error"


@wire
class ResponseOutputItemAddedEvent(WireValue):
    """An output item was begun; `item` is still empty or partial."""

    item: TResponseOutputItem
    output_index: int = 0
    sequence_number: int = 0
    type: Literal["response.output_item.added"] = "response.output_item.added"


@wire
class ResponseOutputItemDoneEvent(WireValue):
    """An output item is whole."""

    item: TResponseOutputItem
    output_index: int = 0
    sequence_number: int = 0
    type: Literal["response.output_item.done"] = "response.output_item.done"


@wire
class ResponseContentPartAddedEvent(WireValue):
    """A part of a message was begun."""

    part: TContentPart
    item_id: str = ""
    output_index: int = 0
    content_index: int = 0
    sequence_number: int = 0
    type: Literal["response.content_part.added"] = "response.content_part.added"


@wire
class ResponseContentPartDoneEvent(WireValue):
    """A part of a message is whole."""

    part: TContentPart
    item_id: str = ""
    output_index: int = 0
    content_index: int = 0
    sequence_number: int = 0
    type: Literal["response.content_part.done"] = "response.content_part.done"


@wire
class ResponseTextDeltaEvent(WireValue):
    """More text of a message."""

    delta: str
    item_id: str = ""
    output_index: int = 0
    content_index: int = 0
    logprobs: list[Record] = attrs.field(factory=list[Record])
    sequence_number: int = 0
    type: Literal["response.output_text.delta"] = "response.output_text.delta"
    obfuscation: str | None = None
    """Random filler that hides the length of `delta` from who watches the wire."""


@wire
class ResponseTextDoneEvent(WireValue):
    """The text of a part is whole."""

    text: str
    item_id: str = ""
    output_index: int = 0
    content_index: int = 0
    logprobs: list[Record] = attrs.field(factory=list[Record])
    sequence_number: int = 0
    type: Literal["response.output_text.done"] = "response.output_text.done"


@wire
class ResponseFunctionCallArgumentsDeltaEvent(WireValue):
    """More of a call's arguments."""

    delta: str
    item_id: str = ""
    output_index: int = 0
    sequence_number: int = 0
    type: Literal["response.function_call_arguments.delta"] = "response.function_call_arguments.delta"
    obfuscation: str | None = None


@wire
class ResponseFunctionCallArgumentsDoneEvent(WireValue):
    """A call's arguments are whole."""

    arguments: str
    item_id: str = ""
    output_index: int = 0
    sequence_number: int = 0
    type: Literal["response.function_call_arguments.done"] = "response.function_call_arguments.done"


@wire
class ResponseRefusalDeltaEvent(WireValue):
    """More of a refusal."""

    delta: str
    item_id: str = ""
    output_index: int = 0
    content_index: int = 0
    sequence_number: int = 0
    type: Literal["response.refusal.delta"] = "response.refusal.delta"
    obfuscation: str | None = None


@wire
class ResponseRefusalDoneEvent(WireValue):
    """A refusal is whole."""

    refusal: str
    item_id: str = ""
    output_index: int = 0
    content_index: int = 0
    sequence_number: int = 0
    type: Literal["response.refusal.done"] = "response.refusal.done"


@wire
class ResponseReasoningSummaryPartAddedEvent(WireValue):
    """A part of a reasoning summary was begun."""

    part: Summary | Record
    item_id: str = ""
    output_index: int = 0
    summary_index: int = 0
    sequence_number: int = 0
    type: Literal["response.reasoning_summary_part.added"] = "response.reasoning_summary_part.added"


@wire
class ResponseReasoningSummaryPartDoneEvent(WireValue):
    """A part of a reasoning summary is whole."""

    part: Summary | Record
    item_id: str = ""
    output_index: int = 0
    summary_index: int = 0
    sequence_number: int = 0
    type: Literal["response.reasoning_summary_part.done"] = "response.reasoning_summary_part.done"
    status: Literal["incomplete"] | None = None


@wire
class ResponseReasoningSummaryTextDeltaEvent(WireValue):
    """More of a reasoning summary."""

    delta: str
    item_id: str = ""
    output_index: int = 0
    summary_index: int = 0
    sequence_number: int = 0
    type: Literal["response.reasoning_summary_text.delta"] = "response.reasoning_summary_text.delta"
    obfuscation: str | None = None


@wire
class ResponseReasoningSummaryTextDoneEvent(WireValue):
    """The text of a summary part is whole."""

    text: str
    item_id: str = ""
    output_index: int = 0
    summary_index: int = 0
    sequence_number: int = 0
    type: Literal["response.reasoning_summary_text.done"] = "response.reasoning_summary_text.done"


@wire
class ResponseReasoningTextDeltaEvent(WireValue):
    """More of the reasoning's full text."""

    delta: str
    item_id: str = ""
    output_index: int = 0
    content_index: int = 0
    sequence_number: int = 0
    type: Literal["response.reasoning_text.delta"] = "response.reasoning_text.delta"
    obfuscation: str | None = None


@wire
class ResponseReasoningTextDoneEvent(WireValue):
    """The reasoning's full text is whole."""

    text: str
    item_id: str = ""
    output_index: int = 0
    content_index: int = 0
    sequence_number: int = 0
    type: Literal["response.reasoning_text.done"] = "response.reasoning_text.done"


TResponseStreamEvent: TypeAlias = (
    ResponseCreatedEvent
    | ResponseInProgressEvent
    | ResponseCompletedEvent
    | ResponseFailedEvent
    | ResponseIncompleteEvent
    | ResponseErrorEvent
    | ResponseOutputItemAddedEvent
    | ResponseOutputItemDoneEvent
    | ResponseContentPartAddedEvent
    | ResponseContentPartDoneEvent
    | ResponseTextDeltaEvent
    | ResponseTextDoneEvent
    | ResponseFunctionCallArgumentsDeltaEvent
    | ResponseFunctionCallArgumentsDoneEvent
    | ResponseRefusalDeltaEvent
    | ResponseRefusalDoneEvent
    | ResponseReasoningSummaryPartAddedEvent
    | ResponseReasoningSummaryPartDoneEvent
    | ResponseReasoningSummaryTextDeltaEvent
    | ResponseReasoningSummaryTextDoneEvent
    | ResponseReasoningTextDeltaEvent
    | ResponseReasoningTextDoneEvent
    | HostedEvent
    | Record
)
"""A stream event: one of the classes here, one of those in `_hosted.py`, or a Record where the type is unknown."""
