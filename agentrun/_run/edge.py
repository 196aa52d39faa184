"""Cancels a user's coroutine once, instead of at every checkpoint, and gives it time to clean up.

AnyIO and Trio cancel by level: inside a cancelled scope every checkpoint raises, so a plain ``finally: await ...`` in a
tool is cut off, and on asyncio a tool that swallows cancellation is thrown at until it ends. People write tools for the
other kind, where a cancellation is raised once. So a call runs like this::

    with CancelScope(shield=True) as call_scope:      # cancelled by the run or by its deadline, and by nothing else
        with CancelScope() as cleanup_scope:          # shields the cleanup from call_scope, until its own deadline
            await CancelledOnce(coroutine, ...)

`CancelledOnce` sees the first cancellation of `call_scope` being thrown into the coroutine, and shields `cleanup_scope`
in that very step: what the coroutine awaits from there on is no longer cancelled, until the cleanup's deadline.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar, cast

import anyio

_T = TypeVar("_T")


class CancelledOnce(Generic[_T]):
    """Awaits a coroutine, and calls `on_cancel` in the step in which `scope` first cancels it."""

    __slots__ = ("_coroutine", "_on_cancel", "_scope")

    def __init__(
        self, coroutine: Coroutine[Any, Any, _T], scope: anyio.CancelScope, on_cancel: Callable[[], None]
    ) -> None:
        self._coroutine = coroutine
        self._scope = scope
        self._on_cancel = on_cancel

    def __await__(self) -> Generator[Any, Any, _T]:
        """Run the coroutine step by step, passing on what it waits for and what is thrown at it."""
        coroutine = self._coroutine
        told = False

        def tell(exc: object) -> None:
            # A scope inside the coroutine may be what cancels: that is none of our business.
            nonlocal told
            if not told and self._scope.cancel_called and isinstance(exc, anyio.get_cancelled_exc_class()):
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
