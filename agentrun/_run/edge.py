"""Cancels a user's coroutine once, instead of at every checkpoint, and gives it time to clean up.

AnyIO and Trio cancel by level: inside a cancelled scope every checkpoint raises, so a plain ``finally: await ...`` in a
tool is cut off, and on asyncio a tool that swallows cancellation is thrown at until it ends. People write tools for the
other kind, where a cancellation is raised once. So a call runs under a shield::

    with CancelScope(shield=True) as scope:
        await CancelledOnce(coroutine, ...)

Whoever stops the call lifts the shield: the cancellation of the run comes in. `CancelledOnce` sees it being thrown into
the coroutine, and has the shield put back in that very step: what the coroutine awaits from there on is no longer
cancelled, until the cleanup's deadline. A call with a deadline of its own is cancelled by that very scope, and needs a
second one inside for its cleanup.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar, cast

import anyio

_T = TypeVar("_T")


class CancelledOnce(Generic[_T]):
    """Awaits a coroutine, and calls `on_cancel` in the step in which it is first cancelled while `is_cancelled()`."""

    __slots__ = ("_coroutine", "_is_cancelled", "_on_cancel")

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, _T],
        is_cancelled: Callable[[], bool],
        on_cancel: Callable[[], None],
    ) -> None:
        self._coroutine = coroutine
        self._is_cancelled = is_cancelled
        self._on_cancel = on_cancel

    def __await__(self) -> Generator[Any, Any, _T]:
        """Run the coroutine step by step, passing on what it waits for and what is thrown at it."""
        coroutine = self._coroutine
        told = False

        def tell(exc: object) -> None:
            # A scope inside the coroutine may be what cancels: that is none of our business.
            nonlocal told
            if not told and self._is_cancelled() and isinstance(exc, anyio.get_cancelled_exc_class()):
                told = True
                self._on_cancel()

        try:
            waited_for = coroutine.send(None)
            while True:
                try:
                    value = yield waited_for
                except GeneratorExit:
                    raise  # dropped with its task, maybe after the event loop has ended
                except BaseException as exc:  # noqa: ASYNC103, BLE001 - thrown from outside, and passed on into the coroutine
                    tell(exc)
                    waited_for = coroutine.throw(exc)
                else:
                    # Trio throws nothing: it sends an outcome, and the awaiting function raises the error in it.
                    tell(getattr(value, "error", None))
                    waited_for = coroutine.send(value)
        except StopIteration as done:
            return cast("_T", done.value)  # what a coroutine returns rides on its StopIteration
        finally:
            coroutine.close()
