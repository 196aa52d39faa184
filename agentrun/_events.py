"""What a streamed run hands out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import attrs

from agentrun._dataclass import Value

if TYPE_CHECKING:
    from agentrun._agent import Agent
    from agentrun._items import RunItem
    from agentrun._responses import TResponseStreamEvent

RunItemEventName = Literal[
    "message_output_created",
    "handoff_requested",
    "handoff_occured",
    "tool_called",
    "tool_search_called",
    "tool_search_output_created",
    "tool_output",
    "reasoning_item_created",
    "mcp_approval_requested",
    "mcp_approval_response",
    "mcp_list_tools",
]


@attrs.define(eq=False, repr=False)
class RawResponsesStreamEvent(Value):
    """One event of the model's own stream, as it came.

    Source: streaming, "Raw response events".
    """

    data: TResponseStreamEvent
    """A Responses stream event, whatever wire format the model speaks."""
    type: Literal["raw_response_event"] = "raw_response_event"


@attrs.define(eq=False, repr=False)
class RunItemStreamEvent(Value):
    """One item of the run is there as a whole: a message, a call, an output, a handoff.

    Source: streaming, "Run item events".
    """

    name: RunItemEventName
    item: RunItem
    type: Literal["run_item_stream_event"] = "run_item_stream_event"


@attrs.define(eq=False, repr=False)
class AgentUpdatedStreamEvent(Value):
    """Another agent works from here on; always the first event of a stream.

    Source: streaming, "Agent events".
    """

    new_agent: Agent[Any]
    type: Literal["agent_updated_stream_event"] = "agent_updated_stream_event"


StreamEvent: TypeAlias = RawResponsesStreamEvent | RunItemStreamEvent | AgentUpdatedStreamEvent
