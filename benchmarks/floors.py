"""The nurseries, scopes and streams that a run is made of, with nothing in them: what AnyIO and the event loop need.

No run of this shape can be cheaper. `benchmarks.micro` counts them beside the runs themselves.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectSendStream

DEADLINE = 60.0


async def _model(deltas: int) -> AsyncIterator[int]:
    for number in range(deltas):
        yield number


async def _host(send_events: MemoryObjectSendStream[Any], hard: anyio.CancelScope, deltas: int) -> None:
    """Stand for a run: a scope that ends it, and one with the model's deadlines, which move at the first event."""
    with send_events, hard:
        send_events.send_nowait("agent")
        with anyio.CancelScope(deadline=anyio.current_time() + DEADLINE) as scope:
            async for event in _model(deltas):
                if event == 0:
                    scope.deadline = anyio.current_time() + DEADLINE
                send_events.send_nowait(event)
        send_events.send_nowait("item")


async def streamed_turn(deltas: int) -> None:
    """A task in a nursery that sends its events over a memory object stream; a reader for whom each is a checkpoint."""
    send_events, events = anyio.create_memory_object_stream[Any](256)
    hard = anyio.CancelScope()
    with events:
        async with anyio.create_task_group() as nursery:
            nursery.start_soon(_host, send_events, hard, deltas)
            with suppress(anyio.EndOfStream):
                while True:
                    await anyio.lowlevel.checkpoint_if_cancelled()
                    try:
                        events.receive_nowait()
                    except anyio.WouldBlock:
                        await events.receive()


async def _call(place: int, scope: anyio.CancelScope, send_outcomes: MemoryObjectSendStream[int]) -> None:
    """Stand for a tool call: a scope that shields it."""
    with scope:
        await anyio.lowlevel.checkpoint_if_cancelled()
    send_outcomes.send_nowait(place)


async def tool_turns(turns: int, calls: int) -> None:
    """As many turns: a model's deadline, then a nursery with a task per call that sends its outcome."""
    for _ in range(turns):
        with anyio.CancelScope(deadline=anyio.current_time() + DEADLINE):
            await anyio.lowlevel.checkpoint_if_cancelled()
        send_outcomes, outcomes = anyio.create_memory_object_stream[int](calls)
        with send_outcomes, outcomes:
            async with anyio.create_task_group() as nursery:
                for place in range(calls):
                    nursery.start_soon(_call, place, anyio.CancelScope(shield=True), send_outcomes)
                for _ in range(calls):
                    await outcomes.receive()
