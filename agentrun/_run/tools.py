"""Siblings: the function calls of a reply, each a task that sends its outcome over a memory object stream."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, TypeAlias

import anyio

from agentrun._exceptions import AgentsException, UserError
from agentrun._items import RunItem
from agentrun._run.call import Call, Outcome, context_of
from agentrun._run.leave import failing_if_uncalled_for
from agentrun._run.order import InOrder, Slots
from agentrun._run.reply import shown

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    from agentrun._run.context import Run

    Ends: TypeAlias = tuple[MemoryObjectSendStream[Outcome], MemoryObjectReceiveStream[Outcome]]


async def run_calls(run: Run) -> None:
    """Run the calls of this turn's reply; `turn.outcomes` gets what came of each, in call order.

    A call that fails beyond repair cancels the others; what had ended by then stays in `turn.outcomes`.

    Raises:
        UserError: a tool without failure function raised; the original exception is the cause.
        AgentsException: a tool guardrail or tool raised one, or ran out of time with "raise_exception".

    On cancel every call is told once, and waited for while it cleans up, at most `Timeouts.cleanup` seconds.
    """
    turn = run.turn
    plan = turn.plan
    assert plan is not None
    if not turn.outcomes:
        turn.outcomes = [None] * len(plan.calls)
    calls = [
        Call(run, index, planned)
        for index, planned in enumerate(plan.calls)
        if (before := turn.outcomes[index]) is None or before.item is None
    ]
    waiting = [call for call in calls if not await call.is_settled_without_running()]
    if not waiting:
        return
    ends: Ends = anyio.create_memory_object_stream(len(waiting))
    send_outcomes, outcomes = ends
    starters = Starters(run, waiting)
    # Both ends belong here; each call borrows the send side for its one outcome.
    with send_outcomes, outcomes:
        try:
            async with anyio.create_task_group() as nursery:
                try:
                    for place, call in enumerate(waiting):
                        nursery.create_task(call.run(place, send_outcomes, starters), name=f"tool {call.name}")
                    await _collect(run, outcomes, len(waiting))
                finally:
                    for call in waiting:
                        call.stop()
        finally:
            _take(run, _available(outcomes))
            for call in waiting:
                run.state.warnings.extend(call.context.signal.reports)


def _available(outcomes: MemoryObjectReceiveStream[Outcome]) -> list[Outcome]:
    """Return the outcomes that are there."""
    found: list[Outcome] = []
    try:
        while True:
            found.append(outcomes.receive_nowait())
    except (anyio.WouldBlock, anyio.EndOfStream):
        return found


async def _collect(run: Run, outcomes: MemoryObjectReceiveStream[Outcome], expected: int) -> None:
    """Take the `expected` outcomes as they come, and tell the hooks of each.

    Calls that end at the same moment are told in call order, whatever order the scheduler ended them in.
    """
    while expected:
        batch = [await outcomes.receive(), *_available(outcomes)]
        expected -= len(batch)
        if len(batch) > 1:
            batch.sort(key=attrgetter("index"))
        _take(run, batch)
        for outcome in batch:
            if outcome.announced:
                await _announce_end(run, outcome)


def _take(run: Run, outcomes: list[Outcome]) -> None:
    """Put outcomes where the turn keeps them."""
    for outcome in outcomes:
        run.turn.outcomes[outcome.index] = outcome


async def _announce_end(run: Run, outcome: Outcome) -> None:
    raw = outcome.call.raw
    context = context_of(run, outcome.call)
    try:
        with failing_if_uncalled_for("the on_tool_end hook"):
            await run.announce.tool_end(context, run.agent, outcome.call.tool, outcome.output)
    except AgentsException:
        raise
    except Exception as exc:
        raise UserError(f"Error running tool {shown(raw.name)}: {exc}") from exc


class Starters:
    """Lets all hooks for the start of a tool come before any body, for calls that nothing else holds back."""

    def __init__(self, run: Run, calls: list[Call]) -> None:
        self.order = InOrder()
        config = run.spec.config.tool_execution
        limit = config.max_function_tool_concurrency if config is not None else None
        self.slots = Slots(limit) if limit is not None and limit < len(calls) else None
        self.tells_start = bool(run.announce.hooks_of(run.agent, "tool_start"))
        self.tells_end = bool(run.announce.hooks_of(run.agent, "tool_end"))
        together = [call for call in calls if not call.is_held_back] if self.tells_start and not self.slots else []
        self._missing = len(together)
        self._all_started = anyio.Event() if self._missing > 1 else None
        self._places = {call: place for place, call in enumerate(together)}
        self._bodies = InOrder()

    async def started(self, call: Call) -> None:
        """Note that the hooks of `call` were told, and wait for the calls beside it."""
        if self._all_started is None or call.is_held_back:
            return
        self._missing -= 1
        if self._missing == 0:
            self._all_started.set()
        await self._all_started.wait()
        await self._bodies.my_turn(self._places[call])


def items_of(outcomes: list[Outcome | None]) -> list[RunItem]:
    """Return the outputs that are there, in call order."""
    return [outcome.item for outcome in outcomes if outcome is not None and outcome.item is not None]
