"""A block that must leave nothing behind: no task, no open stream, no async generator that was dropped half way."""

from __future__ import annotations

import gc
import sys
import warnings
import weakref
from collections.abc import AsyncGenerator, Callable
from types import AsyncGeneratorType, TracebackType
from typing import Any, Protocol, Self, TypeAlias, cast

import anyio
import anyio.lowlevel

_Generator: TypeAlias = "AsyncGeneratorType[Any, Any]"
_Hook: TypeAlias = Callable[[AsyncGenerator[Any, Any]], None]


_SERVER_TASKS = (
    "accept on ",
    "agentrun.testing._server.",
    "anyio.abc._sockets.SocketListener.serve",
    "disconnect watch",
    "watch client",
)
"""How the names of a server's own tasks begin. A server in the same event loop keeps a task per open connection, and
pooled connections stay open on purpose; what it has to say is in the counters of `Server` and `LoopbackProvider`."""
_UNTIL_THE_LOOP_ENDS = frozenset({"_closed_with_the_loop"})
"""Generators that stay suspended on purpose: event loops close them at their end, and so the pooled connections."""

_ROUNDS = 100  # of the event loop: a server in it notices only after its client that a stream has ended


def running_tasks() -> dict[int, str | None]:
    """Return the names of the tasks of this event loop by id, those of servers of this package left out."""
    tasks = {task.id: task.name for task in anyio.get_running_tasks()}
    return {number: name for number, name in tasks.items() if not (name or "").startswith(_SERVER_TASKS)}


class CountsStreams(Protocol):
    """Something that knows how many streams it has open: the models of this package, `LoopbackProvider`."""

    @property
    def open_streams(self) -> int:
        """How many streams have begun and not ended."""
        ...


class no_leaks:  # noqa: N801  # reads as what it asserts
    """A block, `async with no_leaks(model):`, after which everything that it started has ended.

    Looked for are tasks of this event loop that were not there before (a loopback server's own are left out), async
    generators first iterated in this thread during the block and neither finished nor closed, memory object streams and
    sockets dropped without being closed, and open streams of the objects given. An error of the block itself goes on,
    with the leaks as a note. As a fixture: make one, `start()`, and call `check()` at the end.

    Raises:
        AssertionError: something is left; the message names it.
    """

    def __init__(self, *counted: CountsStreams) -> None:
        self._counted = counted
        self._tasks: dict[int, str | None] = {}
        self._generators: list[weakref.ref[AsyncGenerator[Any, Any]]] = []
        self._dropped: list[str] = []
        self._hooks: Any = None
        self._catcher: warnings.catch_warnings[list[warnings.WarningMessage]] | None = None
        self._warned: list[warnings.WarningMessage] = []

    def start(self) -> None:
        """Take note of what is there; to be called in the event loop."""
        self._tasks = running_tasks()
        self._hooks = sys.get_asyncgen_hooks()
        first: _Hook | None = self._hooks.firstiter
        last: _Hook | None = self._hooks.finalizer

        def began(generator: AsyncGenerator[Any, Any]) -> None:
            self._generators.append(weakref.ref(generator))
            if first is not None:
                first(generator)

        def dropped(generator: AsyncGenerator[Any, Any]) -> None:
            self._dropped.append(f"async generator {_name(generator)} was dropped half way")
            if last is not None:
                last(generator)

        sys.set_asyncgen_hooks(began, dropped)
        # What is dropped open says so at that moment, so the whole block is listened to; other warnings are passed on.
        self._catcher = warnings.catch_warnings(record=True)
        self._warned = self._catcher.__enter__()
        warnings.simplefilter("always", ResourceWarning)

    def check(self) -> None:
        """Compare with what was there at the start.

        Raises:
            AssertionError: something is left.
        """
        left = self._leaks()
        if left:
            raise AssertionError("left behind: " + "; ".join(left))

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):  # bounded by the number of rounds
            for _ in range(_ROUNDS):
                if not any(one.open_streams for one in self._counted):
                    break
                await anyio.lowlevel.checkpoint()
        left = self._leaks()
        if left and error is not None:
            error.add_note("left behind: " + "; ".join(left))
        elif left:
            raise AssertionError("left behind: " + "; ".join(left))

    def _leaks(self) -> list[str]:
        if self._catcher is None:
            raise RuntimeError("no_leaks was checked before it was started; enter it or call start() first")
        gc.collect()
        self._catcher.__exit__(None, None, None)
        self._catcher = None
        sys.set_asyncgen_hooks(*self._hooks)
        resources = [one for one in self._warned if issubclass(one.category, ResourceWarning)]
        for one in self._warned:
            if one not in resources:
                warnings.showwarning(one.message, one.category, one.filename, one.lineno, one.file, one.line)
        left = [f"task {name!r}" for number, name in running_tasks().items() if number not in self._tasks]
        left += [str(one.message) for one in resources]
        left += self._dropped
        alive = [cast("_Generator", found) for ref in self._generators if (found := ref()) is not None]
        left += [
            f"async generator {_name(one)} is neither finished nor closed"
            for one in alive
            if one.ag_frame is not None and one.ag_code.co_name not in _UNTIL_THE_LOOP_ENDS
        ]
        left += [f"{one!r} has {one.open_streams} open stream(s)" for one in self._counted if one.open_streams]
        return left


def _name(generator: AsyncGenerator[Any, Any]) -> str:
    return getattr(generator, "__qualname__", repr(generator))
