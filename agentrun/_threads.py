"""Sync functions in worker threads, under the run's cancel scopes."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.to_thread

if TYPE_CHECKING:
    from agentrun._context import ToolContext

_T = TypeVar("_T")

log = logging.getLogger("agentrun")


async def run_in_thread(
    func: Callable[..., _T], /, *args: Any, context: ToolContext[Any] | None = None, **kwargs: Any
) -> _T:
    """Return `func(*args, **kwargs)`, run in a worker thread with the caller's context variables.

    On cancel the thread is told through `context.check_cancelled()` and waited for, at most `Timeouts.cleanup` seconds.
    A thread that is still busy then is abandoned, since no thread can be killed, and reported by name in the log.

    Args:
        func: the function.
        args: its positional arguments.
        context: the context of the tool call `func` runs for, or None outside of a run.
        kwargs: its keyword arguments.

    Raises:
        BaseException: whatever `func` raises.
    """
    # The thread is waited for in a sibling task under a shield, so that a cancel reaches this task, which can tell the
    # thread, while the wait for it goes on.
    grace = 0.0
    results: list[_T] = []
    errors: list[BaseException] = []

    def keep_outcome() -> None:
        # Kept here and not handed over by the backend, to which a cancellation that `func` raises would be its own,
        # and which takes no coroutine from a thread.
        try:
            results.append(func(*args, **kwargs))
        except BaseException as exc:  # noqa: BLE001 - raised by the task that asked
            errors.append(exc)

    ended = anyio.Event()
    waiting = anyio.CancelScope(shield=True)

    async def wait_for_thread() -> None:
        with waiting:
            await anyio.to_thread.run_sync(keep_outcome, abandon_on_cancel=True)
        if waiting.cancelled_caught:
            _report(func, context, grace)
        ended.set()

    async with anyio.create_task_group() as nursery:
        nursery.start_soon(wait_for_thread)
        try:
            await ended.wait()
        finally:
            if not ended.is_set():
                grace = _grace_seconds(context)
                waiting.deadline = anyio.current_time() + grace
    if errors:
        raise errors[0]
    return results[0]


TIMED_OUT_SECONDS = 0.05
"""How long a thread that ran out of time may take to notice; its limit is not to be stretched by its cleanup."""

CLEANUP_SECONDS = 5.0
"""How long a cancelled thread is waited for outside of a run."""


def _grace_seconds(context: ToolContext[Any] | None) -> float:
    """Tell the thread to stop, and return how long it may take."""
    if context is None:
        return CLEANUP_SECONDS
    context.signal.tell("the call was cancelled")
    limit = context.run_config.timeouts.cleanup if context.run_config is not None else CLEANUP_SECONDS
    limit = math.inf if limit is None else limit
    return min(limit, TIMED_OUT_SECONDS) if context.signal.timed_out else limit


def _report(func: Callable[..., Any], context: ToolContext[Any] | None, grace: float) -> None:
    report = f"a worker thread of {_name(func, context)} did not stop within {grace:g} s and was abandoned"
    if context is not None:
        context.signal.report(report)
    else:
        log.warning("%s", report)


def _name(func: Callable[..., Any], context: ToolContext[Any] | None) -> str:
    return f"tool {context.tool_name!r}" if context is not None else getattr(func, "__qualname__", repr(func))
