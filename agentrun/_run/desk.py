"""Decisions on tool calls while the run goes on: a call waits in its own task, and its siblings work on."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, Self

import anyio
import anyio.lowlevel

from agentrun._approvals import Decision

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    from agentrun._agent import Agent
    from agentrun._items import ToolApprovalItem

OnApprovalTimeout = Literal["deny", "park"]


class ApprovalRequest:
    """A call of a running run that waits for a decision.

    Decide it from any task of the run's event loop. The first decision counts; deciding later, or after the deadline,
    changes nothing.
    """

    def __init__(self, item: ToolApprovalItem, agents: tuple[Agent[Any], ...] = ()) -> None:
        self._item = item
        self._agents = agents
        self._decided = anyio.Event()
        self._decision: Decision | None = None
        self._always = False

    @property
    def item(self) -> ToolApprovalItem:
        """The call, as it would stand among the `interruptions` of a paused run."""
        return self._item

    @property
    def agent(self) -> Agent[object]:
        """The agent whose model made the call."""
        return self._item.agent

    @property
    def agents(self) -> tuple[Agent[Any], ...]:
        """The agents on the way to the call, outermost first; each called the next as a tool, the last is `agent`."""
        return (*self._agents, self._item.agent)

    @property
    def tool_name(self) -> str:
        """The name of the tool, with its namespace before it."""
        return self._item.qualified_name or ""

    @property
    def arguments(self) -> str:
        """The arguments as the model wrote them, JSON text."""
        return self._item.arguments or ""

    @property
    def call_id(self) -> str:
        """The id of the call."""
        return self._item.call_id or ""

    @property
    def is_decided(self) -> bool:
        """Whether a decision was taken, or the deadline passed."""
        return self._decided.is_set()

    def approve(self, always_approve: bool = False) -> None:
        """Let the call run; with `always_approve` every later call of its tool in this run too."""
        self._decide(Decision(approved=True), always_approve)

    def reject(self, rejection_message: str | None = None, always_reject: bool = False) -> None:
        """Refuse the call, and tell the model `rejection_message` instead of an output."""
        self._decide(Decision(approved=False, message=rejection_message), always_reject)

    def park(self) -> None:
        """Leave the call undecided: the run pauses after this turn, as it does when nobody reads `approvals()`."""
        self._decide(None, always=False)

    def settle(self, decision: Decision) -> None:
        """Decide the call as another call of its tool was decided; for the desk."""
        self._decide(decision, always=False)

    def _decide(self, decision: Decision | None, always: bool) -> None:
        if not self._decided.is_set():
            self._decision, self._always = decision, always
            self._decided.set()

    async def outcome(self, seconds: float | None, on_timeout: OnApprovalTimeout) -> tuple[Decision | None, bool]:
        """Wait for the decision; return it, None for a call that is parked, and whether it holds for later calls too.

        Args:
            seconds: how long to wait; None for ever.
            on_timeout: what the deadline decides.

        It raises nothing of its own. On cancel the call stays undecided.
        """
        with anyio.move_on_after(math.inf if seconds is None else seconds):
            await self._decided.wait()
        if not self._decided.is_set():
            self._decide(Decision(approved=False) if on_timeout == "deny" else None, always=False)
        return self._decision, self._always


class ApprovalDesk:
    """Takes the requests of a run to whoever reads `approvals()`; those of a nested run go to the outermost run's."""

    def __init__(self, outer: ApprovalDesk | None = None, agents: tuple[Agent[Any], ...] = ()) -> None:
        self._outermost: ApprovalDesk = self if outer is None else outer._outermost
        self._agents = agents
        self._ends: (
            tuple[MemoryObjectSendStream[ApprovalRequest], MemoryObjectReceiveStream[ApprovalRequest]] | None
        ) = None
        self._over = False
        self._listening = False
        self._waiting: dict[ApprovalRequest, ApprovalDesk] = {}
        """At the outermost desk, every request that waits, and the desk of the run that asks."""

    @property
    def listening(self) -> bool:
        """Whether somebody reads the requests; calls that need a decision pause the run otherwise."""
        return self._outermost._listening

    def inside(self, agent: Agent[Any]) -> ApprovalDesk:
        """Return the desk of a run that `agent` calls as a tool."""
        return ApprovalDesk(self, (*self._agents, agent))

    def listen(self) -> MemoryObjectReceiveStream[ApprovalRequest]:
        """Return the receive side, and have calls wait in place from here on."""
        if self._ends is None:
            # The desk owns both ends. No bound: a turn has as many requests as calls.
            self._ends = anyio.create_memory_object_stream[ApprovalRequest](math.inf)
        self._listening = True
        if self._over:
            self.close()
        return self._ends[1]

    def stop_listening(self) -> None:
        """Park whatever waits: nobody will decide it."""
        self._listening = False
        for request in self._waiting:
            request.park()

    async def ask(
        self, item: ToolApprovalItem, seconds: float | None, on_timeout: OnApprovalTimeout
    ) -> tuple[Decision | None, bool]:
        """Put one call up for decision and wait for it."""
        ends, waiting = self._outermost._ends, self._outermost._waiting
        assert ends is not None
        request = ApprovalRequest(item, self._agents)
        waiting[request] = self
        try:
            ends[0].send_nowait(request)
            decision, always = await request.outcome(seconds, on_timeout)
        finally:
            del waiting[request]
        if always and decision is not None:
            # As in a paused run: what holds for every call of a tool holds for those of the run that wait beside it.
            for other, asking in waiting.items():
                if asking is self and other.tool_name == request.tool_name:
                    other.settle(decision)
        return decision, always

    def close(self) -> None:
        """Close both ends: the run is over, so that no request comes and none can be decided."""
        self._over = True
        if self._ends is not None:
            for end in self._ends:
                end.close()


class ApprovalRequests:
    """The calls of a running run that wait for a decision, as they come; an async iterator that ends with the run."""

    def __init__(self, desk: ApprovalDesk) -> None:
        self._desk = desk
        self._requests = desk.listen()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ApprovalRequest:
        """Return the next request.

        Raises:
            StopAsyncIteration: the run has ended.
        """
        await anyio.lowlevel.checkpoint_if_cancelled()
        try:
            return await self._requests.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            raise StopAsyncIteration from None

    async def aclose(self) -> None:
        """Stop deciding: calls that wait, and later ones, pause the run. It raises nothing."""
        self._desk.stop_listening()
        await anyio.lowlevel.checkpoint()
