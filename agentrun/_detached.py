"""The quarantine: the only place that starts a task outside of a caller's nursery, and that knows a loop library.

`Runner.run_streamed` without `async with` and without a task group has no nursery to run in. Its first event starts one
root task here, with the caller's context variables, and that task hosts the run's nursery.
"""

from __future__ import annotations

import contextvars
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

_root_tasks: set[asyncio.Task[None]] = set()  # kept until they end: an asyncio loop itself holds them weakly


def start_root_task(host: Callable[[], Coroutine[Any, Any, None]], name: str) -> Callable[[Callable[[], None]], None]:
    """Start `host`, which raises nothing but the loop's own cancellation, as a root task of the running loop.

    Return a function that has the loop call a sync function soon. It may be called from any thread, also after the loop
    has ended, when it does nothing.
    """
    context = contextvars.copy_context()
    trio: Any = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_task():
        trio.lowlevel.spawn_system_task(host, name=name, context=context)
        token = trio.lowlevel.current_trio_token()

        def call_in_trio(function: Callable[[], None]) -> None:
            try:
                token.run_sync_soon(function)
            except trio.RunFinishedError:
                return

        return call_in_trio
    import asyncio  # here, since it costs more to import than the rest of agentrun

    loop = asyncio.get_running_loop()
    task = loop.create_task(host(), name=name, context=context)
    _root_tasks.add(task)
    task.add_done_callback(_root_tasks.discard)

    def call_in_loop(function: Callable[[], None]) -> None:
        try:
            loop.call_soon_threadsafe(function)
        except RuntimeError:  # the loop is closed, and the task with it
            return

    return call_in_loop


def is_cancelled_by_loop() -> bool:
    """Return whether asyncio's own `Task.cancel()`, of which no scope knows, has cancelled the current task."""
    try:
        return bool(sys.modules["asyncio"].current_task().cancelling())
    except (KeyError, RuntimeError):  # asyncio was never imported, or does not run here
        return False
