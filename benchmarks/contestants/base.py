"""What a contestant does for the rows, in its own way."""

from __future__ import annotations

import abc
from collections.abc import Awaitable, Callable
from typing import Any, Literal

Api = Literal["responses", "chat"]
Op = Callable[[], Awaitable[Any]]
"""One piece of work, ready to be repeated."""
Seen = Callable[[str], Awaitable[None] | None]
"""Called with the text of each delta; what it returns, if anything, is awaited before the next one."""
Cancel = Callable[[], None]
Mark = Callable[[], None]


class Contestant(abc.ABC):
    """Everything is made inside of the event loop that runs it; nothing is shared between two rows."""

    @abc.abstractmethod
    def one_turn(self, streamed: bool) -> Op:
        """Return a run of one turn with a trivial model in process; `streamed` with three deltas."""

    def turn_in_block(self) -> Op:
        """Return the same, streamed, as a block that owns the run; without such a form as `one_turn` does it."""
        return self.one_turn(streamed=True)

    @abc.abstractmethod
    def tool_turns(self, turns: int, tools: int, mark: Mark | None = None) -> Op:
        """Return a run of `turns` turns that call `tools` no-op tools each, and then answer.

        The model calls `mark` whenever it is asked.
        """

    @abc.abstractmethod
    def conversation(self, runs: int, mark: Mark) -> Op:
        """Return `runs` runs, each of which gets all that was said before; `mark` as above."""

    @abc.abstractmethod
    async def open(self, api: Api, base_url: str) -> None:
        """Make the client and the agent for the methods below."""

    @abc.abstractmethod
    async def stream(self, seen: Seen) -> None:
        """Run the agent, streamed over HTTP, to its end."""

    async def stream_cancelled(self, seen: Seen, own: Callable[[Cancel], None]) -> bool:
        """Run as `stream`; give `own` what cancels the run in the contestant's documented way.

        Returns:
            Whether this was done. Without such a way the row cancels the task.
        """
        return False

    @abc.abstractmethod
    async def tools_in_flight(
        self, tool: Callable[[], Awaitable[str]], calls: int, own: Callable[[Cancel], None]
    ) -> bool:
        """Run a turn that calls `tool` `calls` times at once; `own` and the result as above."""

    async def close(self) -> None:  # noqa: B027 - a contestant without a client has nothing to close
        """Close what `open` made."""
