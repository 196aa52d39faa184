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

    The boundary scope guards the wait between two turns and nothing else. `cancel("after_turn")` cancels it or, while
    the run is somewhere else, keeps the run from entering it: the loop stops there and nothing in flight is touched.
    """

    __slots__ = ("_boundary", "_is_first", "hard", "stop_asked")

    def __init__(self) -> None:
        self.hard: anyio.CancelScope = anyio.CancelScope()
        self._boundary: anyio.CancelScope | None = None
        self._is_first = True
        self.stop_asked: bool = False
        """Whether the run was asked to stop between two turns."""

    def cancel(self, mode: CancelMode = "immediate", *, within: float | None = None) -> None:
        """Stop the run now, or between two turns; with `within`, now after that many seconds at the latest."""
        if mode == "immediate":
            self.hard.cancel("the run was cancelled by its caller")
            return
        self.stop_asked = True
        if self._boundary is not None:
            self._boundary.cancel("the run was asked to stop after the turn")
        if within is not None:
            self.hard.deadline = min(self.hard.deadline, anyio.current_time() + within)

    def begin_within_turn(self) -> None:
        """Note that the run goes on in a turn that was paused: the next turn is not its first."""
        self._is_first = False

    async def may_start_turn(self, events_taken: Callable[[], Awaitable[None]]) -> bool:
        """Wait at the boundary until the consumer has `events_taken`; return False when the run is to stop here.

        The first turn has nothing to wait for: it is stopped by a cancel before the run began, and by no later one.
        """
        if self._is_first:
            self._is_first = False
        else:
            if not self.stop_asked:
                with anyio.CancelScope() as self._boundary:
                    await events_taken()
            await anyio.lowlevel.checkpoint_if_cancelled()
        return not self.stop_asked
