"""Makes siblings begin in the order they were started in, whatever order the scheduler runs them in."""

from __future__ import annotations

import anyio


class InOrder:
    """Lets the first steps of siblings happen one after the other.

    asyncio runs new tasks in the order they were started in, so that nobody waits here; Trio runs them in any order.
    """

    __slots__ = ("_next", "_waiting")

    def __init__(self) -> None:
        self._next = 0
        self._waiting: dict[int, anyio.Event] = {}

    async def my_turn(self, place: int) -> None:
        """Return once every sibling at a lower place has begun. Places count up from 0 without gaps."""
        if place != self._next:
            mine = self._waiting[place] = anyio.Event()
            await mine.wait()
        self._next += 1
        following = self._waiting.pop(self._next, None)
        if following is not None:
            following.set()
