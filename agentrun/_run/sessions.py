"""Reads and writes the session of a run: whole turns, in one write that a cancel cannot cut in half."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentrun._run.context import Run


def held(run: Run) -> AbstractAsyncContextManager[Any]:
    """Hold the run's session for the block, so that runs on one session queue instead of interleaving."""
    return nullcontext()


async def read(run: Run) -> None:
    """Put the session's history before the run's input."""


async def write_input(run: Run) -> None:
    """Store the run's input."""


async def write_turn(run: Run) -> None:
    """Store what the turn has recorded."""
    run.turn.session_items = []
