"""The cancel scopes of a streamed run: one that ends it, one that ends it between two turns."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal

import anyio
import anyio.lowlevel

CancelMode = Literal["immediate", "after_turn"]


class RunScope:
    """Both ways to stop a run are cancel scopes; this object only names them.

    `hard` encloses everything the run does. Cancelling it is `cancel("immediate")`.

    The boundary scope guards the checkpoint between two turns and nothing else, so cancelling it, also long before the
    run gets there, stops the loop at that point and touches nothing in flight. It is `cancel("after_turn")`.
    """

    __slots__ = ("_boundary", "_is_first", "hard")

    def __init__(self) -> None:
        self.hard: anyio.CancelScope = anyio.CancelScope()
        self._boundary = anyio.CancelScope()
        self._is_first = True

    def cancel(self, mode: CancelMode = "immediate", *, within: float | None = None) -> None:
        """Stop the run now, or between two turns; with `within`, now after that many seconds at the latest."""
        if mode == "immediate":
            self.hard.cancel("the run was cancelled by its caller")
            return
        self._boundary.cancel("the run was asked to stop after the turn")
        if within is not None:
            self.hard.deadline = min(self.hard.deadline, anyio.current_time() + within)

    @property
    def stop_asked(self) -> bool:
        """Whether the run was asked to stop between two turns."""
        return self._boundary.cancel_called

    async def may_start_turn(self, events_taken: Callable[[], Awaitable[None]]) -> bool:
        """Wait at the boundary until the consumer has `events_taken`; return False when the run is to stop here.

        The first turn has nothing to wait for: it is stopped by a cancel before the run began, and by no later one.
        """
        if self._is_first:
            self._is_first = False
            return not self._boundary.cancel_called
        with self._boundary as boundary:
            await events_taken()
            await anyio.lowlevel.checkpoint_if_cancelled()
        if boundary.cancel_called:
            return False
        self._boundary = anyio.CancelScope()  # a scope is entered once; the next boundary gets its own
        return True
