"""Virtual time: a run that waits for hours ends in milliseconds, in the order the clock would have given.

The rule, the same on asyncio and trio: **when no task can run, the clock jumps to the next timer, unless something
outside the loop could still wake it.** Outside is a worker thread in the middle of a call, or a task that waits for
a socket, a pipe or a child process. While there is such a thing, virtual time passes as real time does, so a timeout
never fires early because the clock ran ahead of a thread. Time starts at 0.0.

A loop in which nothing is ready, no timer is set and nothing outside can wake it will wait for ever. Inside
`fail_on_deadlock()`, which `run_virtual()` uses, this raises `DeadlockError` and names the tasks that wait.

Limits. On asyncio `anyio.wait_all_tasks_blocked()` polls with `sleep(0.1)`, so it may let virtual time pass. A thread
that the loop did not start and that has still to call into it is not seen by the clock; for such a program use the
real one.
"""

from __future__ import annotations

import asyncio
import math
import selectors
import threading
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, TypeVarTuple

import anyio

from agentrun.testing._outside import no_foreign_threads, works_for

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

    from agentrun.testing._trio_clock import AutojumpClock

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

Backend = Literal["asyncio", "trio"]
"""The names of the two event loops that a run can live on."""

# How long a loop that waits for a thread may sleep before it looks again. A finished call wakes the loop at once; this
# bounds only the moment between that wake-up and the thread saying that it is idle.
_THREAD_POLL_SECONDS: Final = 0.005
# The same for a loop that would be deadlocked if a foreign thread, which may or may not know it, stayed silent.
_FOREIGN_POLL_SECONDS: Final = 0.05
_RESOLUTION_SECONDS: Final = time.get_clock_info("monotonic").resolution


class DeadlockError(RuntimeError):
    """Nothing can run, no timer is set, and nothing outside the loop could change that.

    Attributes:
        waiting: the names of the tasks that were waiting, sorted.
    """

    def __init__(self, waiting: tuple[str, ...]) -> None:
        self.waiting = waiting
        super().__init__(
            f"deadlock under virtual time: all {len(waiting)} tasks wait, no timer is set and no thread or socket is "
            f"in use; set the event or close the stream that one of them waits for, or give it a deadline: {waiting!r}"
        )


class AutojumpLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop on virtual time; the module docstring states when it jumps.

    Pass the class as a loop factory: `anyio.run(main, backend_options={"loop_factory": AutojumpLoop})`, or
    `asyncio.Runner(loop_factory=AutojumpLoop)`. `loop.time()` and `anyio.current_time()` start at 0.0.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._executor_calls = 0
        self._signals: set[int] = set()
        self._report_deadlock: Callable[[tuple[str, ...]], None] | None = None
        # The base class registers its self-pipe, and calls time(), while it is constructed.
        super().__init__(_AutojumpSelector(self))

    def time(self) -> float:
        """The virtual time in seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the clock by `seconds`, and in any case by the smallest step a float can take."""
        # A timer whose distance is lost to rounding must still be reached.
        then = max(self._now + seconds, math.nextafter(self._now, math.inf))
        # asyncio runs the timers before `time() + resolution`. After some weeks that sum is rounded to `time()`, and
        # the timer that we have just reached would never be run.
        self._now = then if then + _RESOLUTION_SECONDS > then else math.nextafter(then, math.inf)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Any = None
    ) -> asyncio.TimerHandle:
        """As the base class does; a timer at infinity is not kept, for the clock could jump towards it for ever."""
        if when == math.inf:
            return asyncio.TimerHandle(when, callback, args, self, context)
        return super().call_at(when, callback, *args, context=context)

    def run_in_executor(self, executor: Any, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """As the base class does, and time is real until the call has ended."""
        future = super().run_in_executor(executor, func, *args)
        self._executor_calls += 1
        future.add_done_callback(self._executor_call_ended)
        return future

    def _executor_call_ended(self, _: asyncio.Future[Any]) -> None:
        self._executor_calls -= 1

    async def shutdown_default_executor(self, *timeout: Any, **named: Any) -> None:
        """As the base class does, and time is real until the threads have ended; it raises nothing of its own."""
        self._executor_calls += 1
        try:
            await super().shutdown_default_executor(*timeout, **named)
        finally:
            self._executor_calls -= 1

    def add_signal_handler(self, sig: int, callback: Callable[[*Ts], object], *args: *Ts) -> None:
        """As the base class does; a loop that listens for a signal is never called deadlocked."""
        super().add_signal_handler(sig, callback, *args)
        self._signals.add(sig)

    def remove_signal_handler(self, sig: int) -> bool:
        """As the base class does."""
        self._signals.discard(sig)
        return super().remove_signal_handler(sig)

    def threads_in_use(self) -> bool:
        """Whether a worker thread is in the middle of a call made by a task of this loop."""
        return self._executor_calls > 0 or any(works_for(thread, self) for thread in threading.enumerate())

    def report_deadlock_to(
        self, report: Callable[[tuple[str, ...]], None] | None
    ) -> Callable[[tuple[str, ...]], None] | None:
        """Set what is called with the names of the waiting tasks, or None; returns what was set before."""
        before, self._report_deadlock = self._report_deadlock, report
        return before

    def check_deadlock(self) -> bool:
        """Report a deadlock to whoever asked for it; the caller has found no timer and no descriptor in use.

        Returns:
            Whether it was reported, so that there may be something to run now.
        """
        if self._report_deadlock is None or self._signals or not no_foreign_threads():
            return False
        report, self._report_deadlock = self._report_deadlock, None
        report(tuple(sorted(task.get_name() for task in asyncio.all_tasks(self) if not task.done())))
        return True

    @property
    def watches_deadlock(self) -> bool:
        """Whether a deadlock would be reported."""
        return self._report_deadlock is not None


class _AutojumpSelector(selectors.BaseSelector):
    """The selector of an AutojumpLoop: asked to sleep until the next timer, it moves the clock instead."""

    def __init__(self, loop: AutojumpLoop) -> None:
        self._loop = loop
        self._inner = selectors.DefaultSelector()

    def register(self, fileobj: FileDescriptorLike, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._inner.register(fileobj, events, data)

    def unregister(self, fileobj: FileDescriptorLike) -> selectors.SelectorKey:
        return self._inner.unregister(fileobj)

    def modify(self, fileobj: FileDescriptorLike, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._inner.modify(fileobj, events, data)

    def get_map(self) -> Mapping[FileDescriptorLike, selectors.SelectorKey]:
        return self._inner.get_map()

    def close(self) -> None:
        self._inner.close()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout <= 0:
            return self._inner.select(0)
        # Asked before the descriptors: a thread that is done by now has left its result, and not between the two.
        threads = self._loop.threads_in_use()
        # Callbacks added from a thread or a signal handler arrive as a byte in the loop's self-pipe, so they show here.
        ready = self._inner.select(0)
        if ready:
            return ready
        # Invariant: an idle loop has one descriptor registered, its self-pipe.
        if threads or len(self._inner.get_map()) > 1:
            return self._wait(min(timeout, _THREAD_POLL_SECONDS) if threads and timeout else timeout)
        if timeout is not None:
            self._loop.advance(timeout)
            return ready
        if self._loop.check_deadlock():
            return ready
        return self._wait(_FOREIGN_POLL_SECONDS if self._loop.watches_deadlock else None)

    def _wait(self, seconds: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for real, and let the virtual clock pass as far as the real one did."""
        started = time.monotonic()
        ready = self._inner.select(seconds)
        passed = time.monotonic() - started
        self._loop.advance(passed if seconds is None else min(passed, seconds))
        return ready


def virtual_options(backend: Backend) -> dict[str, Any]:
    """The AnyIO backend options that put one run on virtual time.

    Args:
        backend: `"asyncio"` or `"trio"`; the latter needs trio installed.

    Returns:
        A fresh dict for `anyio.run(..., backend_options=...)`, or for the `anyio_backend` fixture of AnyIO's pytest
        plugin. It holds a clock, so it is good for one run.

    Raises:
        ValueError: the backend is neither.
    """
    if backend == "asyncio":
        return {"debug": False, "loop_factory": AutojumpLoop}
    if backend == "trio":
        from agentrun.testing._trio_clock import AutojumpClock

        clock = AutojumpClock()
        return {"clock": clock, "instruments": [clock]}
    raise ValueError(f"unknown backend {backend!r}; expected 'asyncio' or 'trio'")


def _virtual_clock() -> AutojumpLoop | AutojumpClock | None:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        import trio

        from agentrun.testing._trio_clock import AutojumpClock

        clock = trio.lowlevel.current_clock()
        return clock if isinstance(clock, AutojumpClock) else None
    return loop if isinstance(loop, AutojumpLoop) else None


@contextmanager
def fail_on_deadlock() -> Generator[None]:
    """Raise `DeadlockError` from the block if, under virtual time, nothing can ever wake a task again.

    The block is cancelled first, so its cleanup runs. Without virtual time this does nothing. Use it around a whole
    test: a deadlock is a property of the loop, and one block at a time watches it.

    Raises:
        DeadlockError: all tasks of the loop wait, and no timer, thread or socket is in use.
    """
    clock = _virtual_clock()
    if clock is None:
        yield
        return
    found: tuple[str, ...] | None = None
    scope = anyio.CancelScope()

    def report(waiting: tuple[str, ...]) -> None:
        nonlocal found
        found = waiting
        scope.cancel("deadlock under virtual time")

    before = clock.report_deadlock_to(report)
    try:
        with scope:
            yield
    finally:
        clock.report_deadlock_to(before)
    if found is not None and scope.cancelled_caught:
        raise DeadlockError(found)


def run_virtual(async_fn: Callable[[*Ts], Awaitable[T]], *args: *Ts, backend: Backend = "asyncio") -> T:
    """Run an async function to its end under virtual time, as `anyio.run` does on the real clock.

    ```python
    async def patient() -> float:
        await anyio.sleep(3600)
        return anyio.current_time()


    assert run_virtual(patient, backend="trio") == 3600.0
    ```

    Args:
        async_fn: the function to call.
        args: its positional arguments.
        backend: `"asyncio"` or `"trio"`; the latter needs trio installed.

    Returns:
        What the function returns.

    Raises:
        DeadlockError: every task waits, and nothing can wake one.
        ValueError: the backend is neither of the two.
    """

    async def main() -> T:
        with fail_on_deadlock():
            return await async_fn(*args)

    return anyio.run(main, backend=backend, backend_options=virtual_options(backend))
