"""Work on a server that is brought to its end when its caller is cancelled."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
import anyio.lowlevel

_T = TypeVar("_T")

GRACE_SECONDS = 5.0
"""Protects a cancelled caller from a server that does not answer: a request under way is waited for no longer."""


async def finish(
    work: Callable[[], Awaitable[_T]],
    *,
    stop: Callable[[], Awaitable[object]] | None = None,
    grace: float = GRACE_SECONDS,
) -> _T:
    """Return what `work` returns.

    Args:
        work: a request that must not be forgotten half way, lest it takes effect after its caller has gone on.
        stop: called once on cancel, to make `work` end sooner.
        grace: seconds for which cancelled work is waited for.

    Raises:
        Exception: whatever `work` raises.

    On cancel the work is told to stop and waited for, then the cancellation goes on.
    """
    shield = anyio.CancelScope(shield=True)
    results: list[_T] = []
    errors: list[Exception] = []
    cancelled = False

    async def watch() -> None:
        nonlocal cancelled
        try:
            await anyio.sleep_forever()
        finally:
            if not results and not errors:
                cancelled = True
                shield.deadline = anyio.current_time() + grace
                if stop is not None:
                    with anyio.move_on_after(grace, shield=True):
                        await stop()

    async with anyio.create_task_group() as nursery:
        nursery.start_soon(watch)
        with shield:
            try:
                results.append(await work())
            except Exception as exc:  # noqa: BLE001 - raised below, outside of the nursery, which would make a group of it
                errors.append(exc)
        nursery.cancel_scope.cancel()
    if cancelled:
        await anyio.lowlevel.checkpoint_if_cancelled()  # what the work came to then is nobody's any more
    if errors:
        raise errors[0]
    return results[0]
