"""Values of the OpenAI Responses API: output items, stream events, replies and usage, under the API's own names.

The fields of a class are the JSON fields; `_wire_value.py` says how a value keeps what its class does not know.

Invariant: `unstructure_item(structure_item(d)) == d` for every dict that structures, and
`structure_item(unstructure_item(x)) == x`.

Items and events that few programs meet are in `_hosted.py`, which loads when the first one arrives.

Source: OpenAI API reference, "Responses" and "Streaming events".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from agentrun._fields import new_list
from agentrun._wire_value import Record, WireValue, fresh, wrap

if TYPE_CHECKING:
    from agentrun._hosted import HostedOutputItem, HostedStreamEvent
else:  # they load when one of them arrives; what arrives before that, and what nobody knows, is a Record
    HostedOutputItem = HostedStreamEvent = Record

TResponseInputItem: TypeAlias = dict[str, Any]
"""An input item of the Responses API: a plain dict, such as `{"role": "user", "content": "hi"}`."""
ResponseInputItem: TypeAlias = TResponseInputItem


# ---- output items and their parts


class ResponseOutputText(WireValue):
    """Text in an assistant's message."""

    text: str
    type: Literal["output_text"] = "output_text"
    annotations: list[Record] = fresh(factory=new_list)
    """Citations of files and pages, each a Record with a `type`."""
    logprobs: list[Record] | None = None


class ResponseOutputRefusal(WireValue):
    """A refusal in an assistant's message, in the model's words."""

    refusal: str
    type: Literal["refusal"] = "refusal"


class Summary(WireValue):
    """A part of a reasoning item's summary."""

    text: str
    type: Literal["summary_text"] = "summary_text"


class Content(WireValue):
    """A part of a reasoning item's full text."""

    text: str
    type: Literal["reasoning_text"] = "reasoning_text"


TMessagePart: TypeAlias = ResponseOutputText | ResponseOutputRefusal
"""A part of a message."""
TContentPart: TypeAlias = ResponseOutputText | ResponseOutputRefusal | Content
"""A part of a `content_part` event."""


class ResponseOutputMessage(WireValue):
    """A message of the assistant."""

    id: str = ""
    content: list[TMessagePart]
    role: Literal["assistant"] = "assistant"
    status: Literal["in_progress", "completed", "incomplete"] = "completed"
    type: Literal["message"] = "message"
    phase: str | None = None
    """`commentary` or `final_answer`, from models that tell them apart."""


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


class ResponseReasoningItem(WireValue):
    """What a reasoning model thought before it answered."""

    id: str = ""
    summary: list[Summary] = fresh(factory=new_list)
    type: Literal["reasoning"] = "reasoning"
    content: list[Content] | None = None
    encrypted_content: str | None = None
    status: Literal["in_progress", "completed", "incomplete"] | None = None


TResponseOutputItem: TypeAlias = (
    ResponseOutputMessage | ResponseFunctionToolCall | ResponseReasoningItem | HostedOutputItem
)
"""An output item, told apart by `type`.

One of a type that this version does not know is a Record, which is left out here: checkers could not narrow with it.
"""


# ---- usage and replies


class InputTokensDetails(WireValue):
    """Input tokens, split."""

    cached_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_tokens_details: Record | None = None

    if not TYPE_CHECKING:  # every run makes several, and the general way takes ten times as long

        def __init__(
            self, *, cached_tokens=0, cache_write_tokens=0, cache_write_tokens_details=None, extra=None
        ) -> None:
            self.as_sent = None
            self.cached_tokens = cached_tokens
            self.cache_write_tokens = cache_write_tokens
            self.cache_write_tokens_details = wrap(cache_write_tokens_details)
            self.extra = extra


class OutputTokensDetails(WireValue):
    """Output tokens, split."""

    reasoning_tokens: int = 0

    if not TYPE_CHECKING:

        def __init__(self, *, reasoning_tokens=0, extra=None) -> None:
            self.as_sent = None
            self.reasoning_tokens = reasoning_tokens
            self.extra = extra


class ResponseUsage(WireValue):
    """Tokens of one reply. Numbers are what the provider sent, plausible or not."""

    input_tokens: int = 0
    input_tokens_details: InputTokensDetails = fresh(factory=InputTokensDetails)
    output_tokens: int = 0
    output_tokens_details: OutputTokensDetails = fresh(factory=OutputTokensDetails)
    total_tokens: int = 0


class ResponseError(WireValue):
    """Why a reply failed."""

    code: str = "server_error"
    message: str = ""
    misalignment: Record | None = None
    param: str | None = None
    type: str | None = None


class IncompleteDetails(WireValue):
    """Why a reply stopped short: `reason` is `max_output_tokens`, `content_filter` or another word of the provider."""

    reason: str | None = None


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
    output: list[TResponseOutputItem] = fresh(factory=new_list)
    parallel_tool_calls: bool = True
    temperature: float | None = None
    tool_choice: str | Record = "auto"
    tools: list[Record] = fresh(factory=new_list)
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


class ResponseCreatedEvent(WireValue):
    """The reply exists; nothing of its output does."""

    response: Response
    sequence_number: int = 0
    type: Literal["response.created"] = "response.created"


class ResponseInProgressEvent(WireValue):
    """The model works on the reply."""

    response: Response
    sequence_number: int = 0
    type: Literal["response.in_progress"] = "response.in_progress"


class ResponseCompletedEvent(WireValue):
    """The reply is whole; `response` has all of it and the usage."""

    response: Response
    sequence_number: int = 0
    type: Literal["response.completed"] = "response.completed"


class ResponseFailedEvent(WireValue):
    """The reply failed; `response.error` says why."""

    response: Response
    sequence_number: int = 0
    type: Literal["response.failed"] = "response.failed"


class ResponseIncompleteEvent(WireValue):
    """The reply ended short; `response.incomplete_details` says why."""

    response: Response
    sequence_number: int = 0
    type: Literal["response.incomplete"] = "response.incomplete"


class ResponseErrorEvent(WireValue):
    """The stream itself failed."""

    message: str = ""
    code: str | None = None
    param: str | None = None
    sequence_number: int = 0
    type: Literal["error"] = "error"


class ResponseOutputItemAddedEvent(WireValue):
    """An output item was begun; `item` is still empty or partial."""

    item: TResponseOutputItem
    output_index: int = 0
    sequence_number: int = 0
    type: Literal["response.output_item.added"] = "response.output_item.added"


class ResponseOutputItemDoneEvent(WireValue):
    """An output item is whole."""

    item: TResponseOutputItem
    output_index: int = 0
    sequence_number: int = 0
    type: Literal["response.output_item.done"] = "response.output_item.done"


class ResponseContentPartAddedEvent(WireValue):
    """A part of a message was begun."""

    part: TContentPart
    item_id: str = ""
    output_index: int = 0
    content_index: int = 0
    sequence_number: int = 0
    type: Literal["response.content_part.added"] = "response.content_part.added"


class ResponseContentPartDoneEvent(WireValue):
    """A part of a message is whole."""

    part: TContentPart
    item_id: str = ""
    output_index: int = 0
    content_index: int = 0
    sequence_number: int = 0
    type: Literal["response.content_part.done"] = "response.content_part.done"


class ResponseTextDeltaEvent(WireValue):
    """More text of a message."""

    delta: str
    item_id: str = ""
    output_index: int = 0
    content_index: int = 0
    logprobs: list[Record] = fresh(factory=new_list)
    sequence_number: int = 0
    type: Literal["response.output_text.delta"] = "response.output_text.delta"
    obfuscation: str | None = None
    """Random filler that hides the length of `delta` from who watches the wire."""


class ResponseTextDoneEvent(WireValue):
    """The text of a part is whole."""

    text: str
    item_id: str = ""
    output_index: int = 0
    content_index: int = 0
    logprobs: list[Record] = fresh(factory=new_list)
    sequence_number: int = 0
    type: Literal["response.output_text.done"] = "response.output_text.done"


class ResponseFunctionCallArgumentsDeltaEvent(WireValue):
    """More of a call's arguments."""

    delta: str
    item_id: str = ""
    output_index: int = 0
    sequence_number: int = 0
    type: Literal["response.function_call_arguments.delta"] = "response.function_call_arguments.delta"
    obfuscation: str | None = None


class ResponseFunctionCallArgumentsDoneEvent(WireValue):
    """A call's arguments are whole."""

    arguments: str
    item_id: str = ""
    output_index: int = 0
    sequence_number: int = 0
    type: Literal["response.function_call_arguments.done"] = "response.function_call_arguments.done"


class ResponseRefusalDeltaEvent(WireValue):
    """More of a refusal."""

    delta: str
    item_id: str = ""
    output_index: int = 0
    content_index: int = 0
    sequence_number: int = 0
    type: Literal["response.refusal.delta"] = "response.refusal.delta"
    obfuscation: str | None = None


class ResponseRefusalDoneEvent(WireValue):
    """A refusal is whole."""

    refusal: str
    item_id: str = ""
    output_index: int = 0
    content_index: int = 0
    sequence_number: int = 0
    type: Literal["response.refusal.done"] = "response.refusal.done"


class ResponseReasoningSummaryPartAddedEvent(WireValue):
    """A part of a reasoning summary was begun."""

    part: Summary
    item_id: str = ""
    output_index: int = 0
    summary_index: int = 0
    sequence_number: int = 0
    type: Literal["response.reasoning_summary_part.added"] = "response.reasoning_summary_part.added"


class ResponseReasoningSummaryPartDoneEvent(WireValue):
    """A part of a reasoning summary is whole."""

    part: Summary
    item_id: str = ""
    output_index: int = 0
    summary_index: int = 0
    sequence_number: int = 0
    type: Literal["response.reasoning_summary_part.done"] = "response.reasoning_summary_part.done"
    status: Literal["incomplete"] | None = None


class ResponseReasoningSummaryTextDeltaEvent(WireValue):
    """More of a reasoning summary."""

    delta: str
    item_id: str = ""
    output_index: int = 0
    summary_index: int = 0
    sequence_number: int = 0
    type: Literal["response.reasoning_summary_text.delta"] = "response.reasoning_summary_text.delta"
    obfuscation: str | None = None


class ResponseReasoningSummaryTextDoneEvent(WireValue):
    """The text of a summary part is whole."""

    text: str
    item_id: str = ""
    output_index: int = 0
    summary_index: int = 0
    sequence_number: int = 0
    type: Literal["response.reasoning_summary_text.done"] = "response.reasoning_summary_text.done"


class ResponseReasoningTextDeltaEvent(WireValue):
    """More of the reasoning's full text."""

    delta: str
    item_id: str = ""
    output_index: int = 0
    content_index: int = 0
    sequence_number: int = 0
    type: Literal["response.reasoning_text.delta"] = "response.reasoning_text.delta"
    obfuscation: str | None = None


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
    | HostedStreamEvent
)
"""A stream event, told apart by `type`; one of a type that this version does not know is a Record."""
