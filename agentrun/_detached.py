"""The quarantine: the only place that starts a task outside of a caller's nursery, and that knows a loop library.

`Runner.run_streamed` without `async with` and without a task group has no nursery to run in. Its first event starts one
root task here, with the caller's context variables, and that task hosts the run's nursery.
"""

from __future__ import annotations

import contextvars
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import anyio

_root_tasks: set[Any] = set()  # kept until they end: an asyncio loop itself holds them weakly


def _running_trio() -> Any:
    # AnyIO is asked, for a `trio` in sys.modules may be half made: by another thread that imports it.
    on_trio = anyio.get_cancelled_exc_class().__module__.startswith("trio")
    return sys.modules["trio"] if on_trio else None


def start_root_task(host: Callable[[], Coroutine[Any, Any, None]], name: str) -> Callable[[Callable[[], None]], None]:
    """Start `host`, which raises nothing but the loop's own cancellation, as a root task of the running loop.

    Return a function that has the loop call a sync function soon, from any thread; a loop that has ended does nothing.
    """
    context = contextvars.copy_context()
    if trio := _running_trio():
        trio.lowlevel.spawn_system_task(host, name=name, context=context)
        call = trio.lowlevel.current_trio_token().run_sync_soon
    else:
        loop = sys.modules["asyncio"].get_running_loop()  # not imported here: it costs more than the rest of agentrun
        task = loop.create_task(host(), name=name, context=context)
        _root_tasks.add(task)
        task.add_done_callback(_root_tasks.discard)
        call = loop.call_soon_threadsafe

    def call_soon(function: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop has ended, and the task with it
            call(function)

    return call_soon


def loop_clock() -> Callable[[], float]:
    """Return the clock behind `anyio.current_time`, which looks for the running loop at every call."""
    trio = _running_trio()
    clock: Callable[[], float]
    clock = trio.lowlevel.current_clock().current_time if trio else sys.modules["asyncio"].get_running_loop().time
    return clock


def is_cancelled_by_loop() -> bool:
    """Return whether asyncio's own `Task.cancel()`, of which no scope knows, has cancelled the current task."""
    return not _running_trio() and bool(sys.modules["asyncio"].current_task().cancelling())
