"""Ctrl-C as a cancellation like any other."""

from __future__ import annotations

import signal
import threading
from collections.abc import Awaitable, Callable

import anyio
from anyio.abc import TaskStatus


async def run_interruptible(
    body: Callable[[], Awaitable[None]], on_interrupt: Callable[[], None] | None = None
) -> bool:
    """Run `body`, and return whether there was a Ctrl-C while it ran.

    Only the first Ctrl-C is taken: the next one raises KeyboardInterrupt, for a body that does not end. Where signals
    cannot be had (in other threads than the main one, and with asyncio on Windows) Ctrl-C is what it always is.

    Args:
        body: what to run.
        on_interrupt: called on Ctrl-C, in the event loop; None cancels `body`.

    Raises:
        Exception: what `body` raises.
    """
    told = False
    error: Exception | None = None
    scope = anyio.CancelScope()

    async def watch(*, task_status: TaskStatus[None]) -> None:
        nonlocal told
        try:
            with anyio.open_signal_receiver(signal.SIGINT) as signals:
                task_status.started()
                async for _ in signals:
                    told = True
                    (on_interrupt or scope.cancel)()
                    return
        except NotImplementedError:
            task_status.started()

    async with anyio.create_task_group() as nursery:
        if threading.current_thread() is threading.main_thread():
            await nursery.start(watch, name="interrupt watch")
        with scope:
            try:
                await body()
            except Exception as exc:  # noqa: BLE001 - raised below, outside of the nursery, which would wrap it in a group
                error = exc
        nursery.cancel_scope.cancel()
    if error is not None:
        raise error
    return told
