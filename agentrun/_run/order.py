"""Makes siblings begin in the order they were started in, whatever order the scheduler runs them in."""

from __future__ import annotations

from collections import deque

import anyio


class Slots:
    """Bounds how many siblings run at once; those that wait go on in the order they came.

    Unlike a capacity limiter it wakes one at a time, and taking a free slot is no checkpoint: what two tasks do next
    would happen in any order on Trio.
    """

    __slots__ = ("_free", "_waiting", "_waking")

    def __init__(self, slots: int) -> None:
        self._free = slots
        self._waiting: deque[anyio.Event] = deque()
        self._waking = False

    async def take(self) -> None:
        """Return once a slot is taken. On cancel it is lost: siblings are cancelled all together."""
        if self._free and not self._waiting and not self._waking:
            self._free -= 1
            return
        mine = anyio.Event()
        self._waiting.append(mine)
        await mine.wait()
        self._waking = False
        self._wake_next()

    def give_back(self) -> None:
        """Let the next one go on."""
        self._free += 1
        self._wake_next()

    def _wake_next(self) -> None:
        if self._free and self._waiting and not self._waking:
            self._free -= 1
            self._waking = True
            self._waiting.popleft().set()


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
