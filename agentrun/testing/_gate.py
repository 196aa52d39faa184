"""A door that a test opens."""

from __future__ import annotations

import anyio


class Gate:
    """A door that is shut until the test opens it; what waits at it goes on then.

    A gate may be made outside an event loop and serves one loop at a time. Once open it stays open.
    """

    __slots__ = ("_event", "_reached", "_waiting")

    def __init__(self) -> None:
        self._event = anyio.Event()
        self._reached = anyio.Event()
        self._waiting = 0

    def __repr__(self) -> str:
        return f"<Gate {'open' if self.is_open else 'shut'}, {self._waiting} waiting>"

    @property
    def is_open(self) -> bool:
        """Whether the gate was opened."""
        return self._event.is_set()

    @property
    def waiting(self) -> int:
        """How many tasks wait at the gate now."""
        return self._waiting

    def open(self) -> None:
        """Let everything through from now on. Opening an open gate does nothing."""
        self._event.set()

    async def wait_reached(self) -> None:
        """Wait until a task has come to the gate, to do then what must happen while it waits there.

        It raises nothing of its own.
        """
        await self._reached.wait()

    async def wait(self) -> None:
        """Wait until the gate is open; a checkpoint also when it is open already. It raises nothing of its own."""
        self._waiting += 1
        self._reached.set()
        try:
            await self._event.wait()
        finally:
            self._waiting -= 1
