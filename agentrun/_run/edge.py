"""Cancels a user's coroutine once, instead of at every checkpoint, and gives it time to clean up.

AnyIO and Trio cancel by level: inside a cancelled scope every checkpoint raises, so a plain ``finally: await ...`` in a
tool is cut off, and on asyncio a tool that swallows cancellation is thrown at until it ends. People write tools for the
other kind, where a cancellation is raised once. So a call runs under a shield::

    with CancelScope(shield=True) as scope:
        await cancelled_once(coroutine, ...)

Whoever stops the call lifts the shield: the cancellation of the run comes in. `cancelled_once` sees it being thrown
into the coroutine, and has the shield put back in that very step: what the coroutine awaits from there on is no longer
cancelled, until the cleanup's deadline. A call with a deadline of its own is cancelled by that very scope, and needs a
second one inside for its cleanup.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar

import anyio

_T = TypeVar("_T")


@types.coroutine
def cancelled_once(
    coroutine: Coroutine[Any, Any, _T], is_cancelled: Callable[[], bool], on_cancel: Callable[[], None]
) -> Generator[Any, Any, _T]:
    """Await a coroutine, and call `on_cancel` in the step in which it is first cancelled while `is_cancelled()`.

    It runs step by step, and is passed on what it waits for and what is thrown at it.
    """
    told = False
    try:
        waited_for = coroutine.send(None)
        while True:
            try:
                value = yield waited_for
            except GeneratorExit:
                raise  # dropped with its task, maybe after the event loop has ended
            except BaseException as exc:  # noqa: ASYNC103, BLE001 - thrown from outside, and passed on into the coroutine
                told = told or _tell(exc, is_cancelled, on_cancel)
                waited_for = coroutine.throw(exc)
            else:
                # Trio throws nothing: it sends an outcome, and the awaiting function raises the error in it.
                told = told or _tell(getattr(value, "error", None), is_cancelled, on_cancel)
                waited_for = coroutine.send(value)
    except StopIteration as done:
        returned: _T = done.value  # what a coroutine returns rides on its StopIteration
        return returned
    finally:
        coroutine.close()


def _tell(exc: object, is_cancelled: Callable[[], bool], on_cancel: Callable[[], None]) -> bool:
    """Call `on_cancel` if `exc` cancels the coroutine; return whether it does."""
    # A scope inside the coroutine may be what cancels: that is none of our business.
    cancels = is_cancelled() and isinstance(exc, anyio.get_cancelled_exc_class())
    if cancels:
        on_cancel()
    return cancels
