"""Where a run's events go: nowhere, or into a bounded memory object stream. The only writer of events.

The stream's ends have one owner each: the sink holds the send side and closing it is the only end marker; the
`Consumer` holds the receive side. Both try without waiting first and wait only on `WouldBlock`: a hop costs then a
tenth of what two awaiting ends cost, and the bound still slows the model down for a slow consumer.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, TypeAlias

import anyio

from agentrun._events import AgentUpdatedStreamEvent, RawResponsesStreamEvent, RunItemStreamEvent
from agentrun._items import (
    HandoffCallItem,
    HandoffOutputItem,
    MCPApprovalRequestItem,
    MCPApprovalResponseItem,
    MCPListToolsItem,
    MessageOutputItem,
    ReasoningItem,
    ToolCallItem,
    ToolCallOutputItem,
    ToolSearchCallItem,
    ToolSearchOutputItem,
)

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    from agentrun._agent import Agent
    from agentrun._events import RunItemEventName, StreamEvent
    from agentrun._items import RunItem
    from agentrun._responses import TResponseStreamEvent

    Ends: TypeAlias = tuple[MemoryObjectSendStream[StreamEvent], MemoryObjectReceiveStream[StreamEvent]]

EVENT_NAMES: dict[type[object], RunItemEventName] = {
    MessageOutputItem: "message_output_created",
    HandoffCallItem: "handoff_requested",
    HandoffOutputItem: "handoff_occured",
    ToolCallItem: "tool_called",
    ToolSearchCallItem: "tool_search_called",
    ToolSearchOutputItem: "tool_search_output_created",
    ToolCallOutputItem: "tool_output",
    ReasoningItem: "reasoning_item_created",
    MCPApprovalRequestItem: "mcp_approval_requested",
    MCPApprovalResponseItem: "mcp_approval_response",
    MCPListToolsItem: "mcp_list_tools",
}
"""What the event of an item is called; items of other classes are not streamed."""


class NullSink:
    """Takes no events. The driver asks `live` before it makes one, so a plain run builds none."""

    live = False

    def send_raw_nowait(self, data: TResponseStreamEvent) -> bool:
        """Drop an event of the model."""
        return True

    async def raw(self, data: TResponseStreamEvent) -> None:
        """Drop an event of the model."""

    async def item(self, item: RunItem) -> None:
        """Drop the event of an item."""

    async def agent(self, agent: Agent[object]) -> None:
        """Drop the event of a change of agent."""

    async def wait_taken(self) -> None:
        """Return at once: nobody reads."""

    def hold(self) -> None:
        """Do nothing: no output gets out anyway."""

    async def release(self) -> None:
        """Do nothing: nothing is held."""


class StreamSink:
    """Sends events to one `Consumer`; full means the sender waits."""

    live = True

    def __init__(self, buffer: int) -> None:
        ends: Ends = anyio.create_memory_object_stream(buffer)
        self._send = ends[0]
        self.consumer: Consumer = Consumer(ends[1])
        _open_ends[weakref.ref(self.consumer, _close)] = ends
        self._held: list[StreamEvent] | None = None

    async def raw(self, data: TResponseStreamEvent) -> None:
        """Send an event of the model, as it came."""
        await self._emit(RawResponsesStreamEvent(data))

    async def item(self, item: RunItem) -> None:
        """Send the event of an item; items that have none are passed over."""
        name = EVENT_NAMES.get(type(item))
        if name is not None:
            await self._emit(RunItemStreamEvent(name, item))

    async def agent(self, agent: Agent[object]) -> None:
        """Send that another agent works from here on."""
        await self._emit(AgentUpdatedStreamEvent(agent))

    def send_raw_nowait(self, data: TResponseStreamEvent) -> bool:
        """Send an event of the model if that needs no waiting; return whether it was sent."""
        if self._held is not None:
            self._held.append(RawResponsesStreamEvent(data))
            return True
        self.consumer.waits_with_nothing_left = False
        try:
            self._send.send_nowait(RawResponsesStreamEvent(data))
        except anyio.WouldBlock:
            return False
        self.consumer.tell_arrived()
        return True

    async def _emit(self, event: StreamEvent) -> None:
        if self._held is not None:
            self._held.append(event)
            return
        self.consumer.waits_with_nothing_left = False
        try:
            self._send.send_nowait(event)
        except anyio.WouldBlock:
            await self._send.send(event)
        self.consumer.tell_arrived()

    async def wait_taken(self) -> None:
        """Wait until a live consumer has handled every event sent so far.

        Source: streaming, "turn boundaries"; without a consumer there is nothing to wait for.
        """
        await self.consumer.wait_idle()

    def hold(self) -> None:
        """Keep events back until `release`; what is kept is bounded by one reply."""
        self._held = []

    async def release(self) -> None:
        """Send what was kept back, and hold nothing from here on."""
        held, self._held = self._held, None
        for event in held or ():
            await self._emit(event)

    def close(self) -> None:
        """Close the send side: the consumer gets what was sent, and then the end."""
        self._send.close()
        self.consumer.tell_arrived()


_open_ends: dict[weakref.ref[Consumer], Ends] = {}
"""Closed with the consumer: nobody is obliged to start a run, or to read its events to the end."""


def _close(consumer: weakref.ref[Consumer]) -> None:
    for end in _open_ends.pop(consumer):
        end.close()


class Consumer:
    """The receive side of a run's events, and what the run may know of whoever reads it."""

    def __init__(self, events: MemoryObjectReceiveStream[StreamEvent]) -> None:
        self._events = events
        self._idle: anyio.Event | None = None
        # Not an event, of which each wait would need a new one. Waking once too often does no harm.
        self._arrival: anyio.Semaphore | None = None
        self._waiting = 0
        self.reading: bool = False
        """Whether somebody has asked for an event and not left since."""
        self.waits_with_nothing_left: bool = False
        """Whether the reader waits for an event and none is on its way.

        Invariant: waits_with_nothing_left implies reading.
        """
        self.cut = False
        """Whether the reader cancelled the run: it gets no further event."""
        self._drains: list[anyio.CancelScope] = []
        self.closed: bool = False
        """Whether the receive side is closed."""

    def receive_nowait(self) -> StreamEvent | None:
        """Return the next event, or None when there is none yet.

        Raises:
            anyio.EndOfStream: there will be none, or the reader cancelled the run.
        """
        if self.cut or self.closed:
            raise anyio.EndOfStream
        if not self.reading:
            self._take_over()
        try:
            return self._events.receive_nowait()
        except anyio.WouldBlock:
            return None

    async def receive(self) -> StreamEvent:
        """Wait for the next event and return it.

        Raises:
            anyio.EndOfStream: there will be none, or the reader cancelled the run.
        """
        # Not the stream's own `receive()`: that goes round the event loop once more before it waits, for every event.
        while (event := self.receive_nowait()) is None:
            self.waits_with_nothing_left = True
            self._tell_idle()
            if self._arrival is None:
                self._arrival = anyio.Semaphore(0, fast_acquire=True)
            self._waiting += 1
            await self._arrival.acquire()
        return event

    def tell_arrived(self) -> None:
        """Wake whoever waits: an event was sent, or the end."""
        while self._waiting and self._arrival is not None:
            self._waiting -= 1
            self._arrival.release()

    async def wait_idle(self) -> None:
        """Wait until the reader, if there is one, waits with nothing left to read."""
        if self.reading and not self.waits_with_nothing_left:
            self._idle = anyio.Event()
            await self._idle.wait()

    def leave(self) -> None:
        """Note that nobody reads from here on."""
        self.reading = self.waits_with_nothing_left = False
        self._tell_idle()
        self.tell_arrived()

    def _tell_idle(self) -> None:
        if self._idle is not None:
            self._idle.set()
            self._idle = None

    def close(self) -> None:
        """Close the receive side and drop what is buffered; who reads on meets the end."""
        self.leave()
        self.closed = True
        self._events.close()

    async def drain(self) -> None:
        """Receive and drop events until the end, or until somebody reads them."""
        if self.closed:
            return
        self.leave()
        scope = anyio.CancelScope()
        self._drains.append(scope)
        try:
            with scope:
                while True:
                    await self._events.receive()
        except anyio.EndOfStream:
            return
        finally:
            self._drains.remove(scope)

    def _take_over(self) -> None:
        """Note that somebody reads: nobody else is to take events away."""
        self.reading = True
        for scope in self._drains:
            scope.cancel("somebody reads the events")
