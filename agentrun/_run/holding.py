"""One turn at a time per session: runs on one session queue, and no two of them wait for each other for ever.

A run holds its session from its first step to its last. A run that is nested in it, as an agent used as a tool, may
hold one of its own meanwhile. Two such runs can want each other's: A holds `x` and wants `y`, B holds `y` and wants
`x`. Neither would ever go on, so the second to ask is refused instead.

A hold ends when its run does, and a run ends after everything nested in it. So a hold waits for every run that waits
inside of it, and that is all it waits for. Only a new wait can close a circle, never a hold that passes on to the next
of the queue: who has just got a hold waits for nothing.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Hashable
from contextlib import asynccontextmanager
from contextvars import ContextVar

import anyio
import anyio.lowlevel
import attrs

from agentrun._exceptions import SessionBusy
from agentrun._fields import new_list


@attrs.define(eq=False, repr=False)
class _Hold:
    """One run's hold on a session, or its wait for one."""

    key: Hashable
    name: str
    outer: tuple[_Hold, ...]
    """The holds of the runs it is nested in."""
    ended: bool = False


@attrs.define(eq=False, repr=False)
class _Queue:
    """The runs on one session; first come, first served."""

    lock: anyio.Lock
    holder: _Hold | None = None
    runs: list[_Hold] = attrs.field(factory=new_list)
    """The holder, and those that wait."""


_queues: anyio.lowlevel.RunVar[dict[Hashable, _Queue]] = anyio.lowlevel.RunVar("agentrun_session_queues")
_held_here: ContextVar[tuple[_Hold, ...]] = ContextVar("agentrun_sessions_held", default=())


@asynccontextmanager
async def hold(key: Hashable, name: str, *, may_wait: bool) -> AsyncGenerator[None, None]:
    """Hold a session for the block, once every run that came before has ended; one that the caller holds, at once.

    Args:
        key: what two runs must not hold at once.
        name: how errors call the session.
        may_wait: whether to wait at all.

    Raises:
        SessionBusy: the session is held and `may_wait` is False, or waiting would never end.

    On cancel a wait leaves the queue.
    """
    # A task that outlived its run still has the run's holds in its context: they count no more.
    outer = tuple(one for one in _held_here.get() if not one.ended)
    if any(one.key == key for one in outer):
        yield
        return
    nothing: dict[Hashable, _Queue] = {}
    queues = _queues.get(nothing)
    _queues.set(queues)
    queue = queues.setdefault(key, _Queue(anyio.Lock()))
    mine = _Hold(key, name, outer)
    if queue.runs:
        _check_wait(queues, queue, mine, may_wait=may_wait)
    queue.runs.append(mine)
    try:
        async with queue.lock:
            queue.holder = mine
            token = _held_here.set((*outer, mine))
            try:
                yield
            finally:
                _held_here.reset(token)
                mine.ended, queue.holder = True, None
    finally:
        queue.runs.remove(mine)
        if not queue.runs:
            del queues[key]


def _check_wait(queues: dict[Hashable, _Queue], queue: _Queue, mine: _Hold, *, may_wait: bool) -> None:
    if not may_wait:
        raise SessionBusy(f"session {mine.name!r} is held by another run; wait for it, or set session_busy='wait'")
    blocker = _what_never_ends(queues, queue, mine)
    if blocker is not None:
        raise SessionBusy(
            f"session {mine.name!r} is held by a run that waits for session {blocker.name!r}, which this run holds, so "
            "that neither would ever go on; give agents that are used as tools sessions of their own, or run one of "
            "the two after the other"
        )


def _what_never_ends(queues: dict[Hashable, _Queue], queue: _Queue, mine: _Hold) -> _Hold | None:
    """Return which hold of the caller the holder of `queue` waits for, itself or over others; None for none."""
    seen: set[_Hold] = set()
    pending = [queue.holder]
    while pending:
        held = pending.pop()
        if held is None or held in seen:
            continue
        seen.add(held)
        if held in mine.outer:
            return held
        pending.extend(
            other.holder
            for other in queues.values()
            if any(held in one.outer for one in other.runs if one is not other.holder)
        )
    return None
