"""The items a run makes: messages, calls, outputs, handoffs, reasoning. Each knows its agent and its wire form."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeAlias, TypeVar, cast

import attrs

from agentrun._codec import as_dict, unstructure_item
from agentrun._dataclass import Dataclass, Value
from agentrun._exceptions import AgentsException
from agentrun._responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseReasoningItem
from agentrun._usage import Usage

if TYPE_CHECKING:
    from agentrun._agent import Agent
    from agentrun._hosted import (  # noqa: F401 - the bases below name them
        McpApprovalRequest,
        McpApprovalResponse,
        McpListTools,
        ResponseCompactionItem,
        ResponseToolSearchCall,
        ResponseToolSearchOutputItem,
        ToolCallItemTypes,
    )
    from agentrun._responses import TResponseInputItem, TResponseOutputItem
    from agentrun._tool_output import ToolOrigin

RawT = TypeVar("RawT")

_OUTPUT_ONLY_KEY = "created_by"
"""A member that a provider sends with an item and refuses to get back."""


def to_input(raw_item: Any) -> TResponseInputItem:
    """Return `raw_item` as an input item: a dict of its own, without what only outputs may have."""
    item = dict(cast("TResponseInputItem", raw_item)) if isinstance(raw_item, dict) else unstructure_item(raw_item)
    item.pop(_OUTPUT_ONLY_KEY, None)
    return item


@attrs.define(eq=False, weakref_slot=True, repr=False)
class RunItemBase(Dataclass, Generic[RawT]):
    """What every item has: the agent it belongs to, and the item as the wire knows it."""

    _agent: Agent[Any] | None = attrs.field(alias="agent", repr=False)
    raw_item: RawT
    """The item in the shape of the Responses API: one of our classes, or a plain dict for outputs."""
    _agent_ref: weakref.ref[Agent[Any]] | None = attrs.field(init=False, default=None, repr=False)
    _input: TResponseInputItem | None = attrs.field(init=False, default=None, repr=False)

    type: ClassVar[str] = ""

    @property
    def agent(self) -> Agent[Any]:
        """The agent the item belongs to; None once the agent was released and is gone.

        Source: results, "Releasing agents".
        """
        if self._agent is None and self._agent_ref is not None:
            return cast("Agent[Any]", self._agent_ref())
        return cast("Agent[Any]", self._agent)

    def release_agent(self) -> None:
        """Hold the agent weakly from here on, so that the item no longer keeps it alive."""
        if self._agent is not None:
            self._agent_ref = weakref.ref(self._agent)
            self._agent = None

    def to_input_item(self) -> TResponseInputItem:
        """Return the item as input for a model, a plain dict of its own."""
        return to_input(self.raw_item)

    def input_item(self) -> TResponseInputItem:
        """Return the item as input for a model, the same dict at every call; not to be changed."""
        if self._input is None:
            self._input = self.to_input_item()
        return self._input


def _raw(item: Any, name: str) -> Any:
    """Return a member of a raw item, which may be one of our classes or a plain dict."""
    return cast("dict[str, Any]", item).get(name) if isinstance(item, dict) else getattr(item, name, None)


def _kind_of(item: PlainItem[Any]) -> str:
    return item.kind


@attrs.define(eq=False, repr=False)
class PlainItem(RunItemBase[RawT]):
    """The base of items that are their raw item and no more; they share its compiled methods."""

    kind: ClassVar[str]
    """What their `type` says."""
    type: str = attrs.field(default=attrs.Factory(_kind_of, takes_self=True))  # type: ignore[misc]


class MessageOutputItem(PlainItem[ResponseOutputMessage]):
    """A message of the model.

    Source: results, "New items".
    """

    __slots__ = ()
    kind = "message_output_item"
    type: Literal["message_output_item"]  # type: ignore[misc]


@attrs.define(eq=False, repr=False)
class ToolCallItem(RunItemBase["ToolCallItemTypes"]):
    """A call the model made: of a function tool, or of a tool the provider runs itself.

    Source: results, "New items".
    """

    type: Literal["tool_call_item"] = "tool_call_item"  # type: ignore[misc]
    description: str | None = None
    """The description of the tool."""
    title: str | None = None
    """A name of the tool for people."""
    tool_origin: ToolOrigin | None = None

    @property
    def tool_name(self) -> str | None:
        """The name of the tool called, or None where the wire item has none."""
        found: str | None = _raw(self.raw_item, "name")
        return found

    @property
    def call_id(self) -> str | None:
        """The id that ties the call to its output."""
        found: str | None = _raw(self.raw_item, "call_id") or _raw(self.raw_item, "id")
        return found


@attrs.define(eq=False, repr=False)
class ToolCallOutputItem(RunItemBase[Any]):
    """The output of a call.

    Source: results, "New items".
    """

    output: Any
    """What the tool returned, the Python value itself; `raw_item` has what the model sees."""
    type: Literal["tool_call_output_item"] = "tool_call_output_item"  # type: ignore[misc]
    tool_origin: ToolOrigin | None = None
    custom_data: dict[str, Any] | None = None
    """What the tool's `custom_data_extractor` made; never sent to a model."""

    @property
    def call_id(self) -> str | None:
        """The id of the call this is the output of."""
        found: str | None = _raw(self.raw_item, "call_id")
        return found


class HandoffCallItem(PlainItem[ResponseFunctionToolCall]):
    """The model's call to hand over to another agent.

    Source: results, "New items".
    """

    __slots__ = ()
    kind = "handoff_call_item"
    type: Literal["handoff_call_item"]  # type: ignore[misc]


@attrs.define(eq=False, repr=False)
class HandoffOutputItem(RunItemBase["TResponseInputItem"]):
    """A handoff that happened; `agent` is the one that handed over.

    Source: results, "New items".
    """

    _source: Agent[Any] | None = attrs.field(alias="source_agent", repr=False)
    _target: Agent[Any] | None = attrs.field(alias="target_agent", repr=False)
    type: Literal["handoff_output_item"] = "handoff_output_item"  # type: ignore[misc]
    _source_ref: weakref.ref[Agent[Any]] | None = attrs.field(init=False, default=None, repr=False)
    _target_ref: weakref.ref[Agent[Any]] | None = attrs.field(init=False, default=None, repr=False)

    @property
    def source_agent(self) -> Agent[Any]:
        """The agent that handed over; None once it was released and is gone."""
        return cast("Agent[Any]", self._source if self._source is not None else self._source_ref and self._source_ref())

    @property
    def target_agent(self) -> Agent[Any]:
        """The agent that took over; None once it was released and is gone."""
        return cast("Agent[Any]", self._target if self._target is not None else self._target_ref and self._target_ref())

    def release_agent(self) -> None:
        """Hold all three agents weakly from here on."""
        super().release_agent()
        if self._source is not None:
            self._source_ref, self._source = weakref.ref(self._source), None
        if self._target is not None:
            self._target_ref, self._target = weakref.ref(self._target), None


class ReasoningItem(PlainItem[ResponseReasoningItem]):
    """What the model lets be seen of its reasoning.

    Source: results, "New items".
    """

    __slots__ = ()
    kind = "reasoning_item"
    type: Literal["reasoning_item"]  # type: ignore[misc]


@attrs.define(eq=False, repr=False)
class ToolApprovalItem(RunItemBase[Any]):
    """A call that waits for a decision; equal only to itself.

    Source: human in the loop.
    """

    tool_name: str | None = None
    type: Literal["tool_approval_item"] = "tool_approval_item"  # type: ignore[misc]
    tool_namespace: str | None = None
    tool_origin: ToolOrigin | None = None

    def __attrs_post_init__(self) -> None:
        """Take the tool's name from the call when none was given."""
        if self.tool_name is None:
            self.tool_name = _raw(self.raw_item, "name")
        if self.tool_namespace is None:
            self.tool_namespace = _raw(self.raw_item, "namespace")

    @property
    def name(self) -> str | None:
        """The name of the tool."""
        return self.tool_name

    @property
    def qualified_name(self) -> str | None:
        """The name of the tool with its namespace before it; a namespace of the tool's own name is none."""
        namespace = self.tool_namespace
        return f"{namespace}.{self.tool_name}" if namespace and namespace != self.tool_name else self.tool_name

    @property
    def arguments(self) -> str | None:
        """The arguments as the model wrote them, JSON text."""
        found: str | None = _raw(self.raw_item, "arguments")
        return found

    @property
    def call_id(self) -> str | None:
        """The id of the call."""
        found: str | None = _raw(self.raw_item, "call_id") or _raw(self.raw_item, "id")
        return found

    def to_input_item(self) -> TResponseInputItem:
        """Raise: an approval is between the run and its caller, no model gets to see it.

        Raises:
            AgentsException: always.
        """
        raise AgentsException("a ToolApprovalItem is no input for a model; decide it with RunState.approve or reject")


@attrs.define(eq=False, repr=False)
class InputItem(RunItemBase[Any]):
    """Input that was added to a paused run with `RunState.add_input`.

    Source: human in the loop, "Adding input".
    """

    type: Literal["input_item"] = "input_item"  # type: ignore[misc]
    input_id: str = attrs.field(factory=lambda: _new_id("input_"))
    """An id that stays the same when the run is stored and loaded."""


class ToolSearchCallItem(PlainItem["ResponseToolSearchCall"]):
    """The model searched among deferred tools.

    Source: results, "New items".
    """

    __slots__ = ()
    kind = "tool_search_call_item"
    type: Literal["tool_search_call_item"]  # type: ignore[misc]


class ToolSearchOutputItem(PlainItem["ResponseToolSearchOutputItem"]):
    """What the model's search among deferred tools found.

    Source: results, "New items".
    """

    __slots__ = ()
    kind = "tool_search_output_item"
    type: Literal["tool_search_output_item"]  # type: ignore[misc]


class MCPListToolsItem(PlainItem["McpListTools"]):
    """The tools of a hosted MCP server.

    Source: results, "New items".
    """

    __slots__ = ()
    kind = "mcp_list_tools_item"
    type: Literal["mcp_list_tools_item"]  # type: ignore[misc]


class MCPApprovalRequestItem(PlainItem["McpApprovalRequest"]):
    """A hosted MCP server asks whether it may run a tool.

    Source: results, "New items".
    """

    __slots__ = ()
    kind = "mcp_approval_request_item"
    type: Literal["mcp_approval_request_item"]  # type: ignore[misc]


class MCPApprovalResponseItem(PlainItem["McpApprovalResponse"]):
    """The answer to a hosted MCP server that asked.

    Source: results, "New items".
    """

    __slots__ = ()
    kind = "mcp_approval_response_item"
    type: Literal["mcp_approval_response_item"]  # type: ignore[misc]


class CompactionItem(PlainItem["ResponseCompactionItem"]):
    """The provider replaced older items by a compact form.

    Source: results, "New items".
    """

    __slots__ = ()
    kind = "compaction_item"
    type: Literal["compaction_item"]  # type: ignore[misc]


class UnknownItem(PlainItem[Any]):
    """An output item of a type that this version does not know; it goes back to the model as it came."""

    __slots__ = ()
    kind = "unknown_item"
    type: Literal["unknown_item"]  # type: ignore[misc]


RunItem: TypeAlias = (
    MessageOutputItem
    | ToolCallItem
    | ToolCallOutputItem
    | HandoffCallItem
    | HandoffOutputItem
    | ReasoningItem
    | ToolApprovalItem
    | InputItem
    | ToolSearchCallItem
    | ToolSearchOutputItem
    | MCPListToolsItem
    | MCPApprovalRequestItem
    | MCPApprovalResponseItem
    | CompactionItem
    | UnknownItem
)
"""Any item of a run."""


def _new_id(prefix: str) -> str:
    import os

    return prefix + os.urandom(12).hex()


@attrs.define(eq=False, repr=False)
class ModelResponse(Value):
    """One whole reply of a model.

    Source: models interface, `ModelResponse`.
    """

    output: list[TResponseOutputItem]
    """The items of the reply, in the model's order."""
    usage: Usage
    """The tokens of this reply."""
    response_id: str | None
    """The provider's id of the reply, where it has one."""
    request_id: str | None = None
    """The provider's id of the request, for support questions."""
    raw_usage: dict[str, Any] | None = None
    """The provider's own usage object, with `ModelSettings.preserve_raw_usage`."""

    def to_input_items(self) -> list[TResponseInputItem]:
        """Return the reply as input items, plain dicts of their own."""
        return [to_input(item) for item in self.output]


class ItemHelpers:
    """Small readers and makers of items.

    Source: items reference, `ItemHelpers`.
    """

    @classmethod
    def extract_last_content(cls, message: TResponseOutputItem) -> str:
        """Return the text or refusal of the last part of a message, "" for anything else."""
        part = _last_part(message)
        return (_raw(part, "text") or _raw(part, "refusal") or "") if part is not None else ""

    @classmethod
    def extract_last_text(cls, message: TResponseOutputItem) -> str | None:
        """Return the text of the last part of a message, None when that is no text."""
        part = _last_part(message)
        return _raw(part, "text") if part is not None and _raw(part, "type") == "output_text" else None

    @classmethod
    def extract_text(cls, message: TResponseOutputItem) -> str | None:
        """Return all text parts of a message as one text, None when there are none."""
        return said_in(message)[0]

    @classmethod
    def extract_refusal(cls, message: TResponseOutputItem) -> str | None:
        """Return all refusal parts of a message as one text, None when there are none."""
        return said_in(message)[1]

    @classmethod
    def input_to_new_input_list(cls, input: str | list[TResponseInputItem]) -> list[TResponseInputItem]:
        """Return `input` as a list of input items: a text becomes one user message, a list is copied deeply."""
        if isinstance(input, str):
            return [{"content": input, "role": "user"}]
        return [copy_json(item) for item in input]

    @classmethod
    def text_message_output(cls, message: MessageOutputItem) -> str:
        """Return all text of one message item, "" when there is none."""
        return cls.extract_text(message.raw_item) or ""

    @classmethod
    def text_message_outputs(cls, items: Sequence[RunItem]) -> str:
        """Return all text of all message items among `items`, in order."""
        return "".join(cls.text_message_output(item) for item in items if isinstance(item, MessageOutputItem))

    @classmethod
    def tool_call_output_item(cls, tool_call: ResponseFunctionToolCall, output: Any) -> TResponseInputItem:
        """Return the wire item that answers `tool_call` with `output`, converted as a tool's return value is."""
        from agentrun._tool_output import answer_item, tool_output_to_wire

        return answer_item(tool_call, tool_output_to_wire(output))


def said_in(message: Any) -> tuple[str | None, str | None]:
    """Return the text parts of a message as one text, and its refusals as one; None where there are none."""
    text = refusal = ""
    for part in _parts(message):
        kind = _raw(part, "type")
        if kind == "output_text":
            text += _raw(part, "text") or ""
        elif kind == "refusal":
            refusal += _raw(part, "refusal") or ""
    return text or None, refusal or None


def _parts(message: Any) -> list[Any]:
    return _raw(message, "content") or [] if _raw(message, "type") == "message" else []


def _last_part(message: Any) -> Any | None:
    parts = _parts(message)
    return parts[-1] if parts else None


_SCALARS = frozenset({str, int, float, bool})


def copy_json(value: Any) -> Any:
    """Return a deep copy of plain JSON data; anything that is no dict or list is shared."""
    if value is None or type(value) in _SCALARS:
        return value
    if type(value) is dict:
        # Most values are scalars: they are told apart here, where it costs no call.
        fields = cast("dict[str, Any]", value)
        return {key: one if type(one) in _SCALARS else copy_json(one) for key, one in fields.items()}
    if type(value) is list:
        entries = cast("list[Any]", value)
        return [one if type(one) in _SCALARS else copy_json(one) for one in entries]
    if isinstance(value, dict):
        return copy_json(dict(cast("dict[str, Any]", value)))
    return as_dict(value) if hasattr(value, "model_dump") or attrs.has(cast("type[object]", type(value))) else value
