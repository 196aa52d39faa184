"""Virtual time for trio. In a module of its own because trio is optional; `agentrun.testing._clock` states the rule."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Final

import trio
import trio.testing

from agentrun.testing._outside import no_foreign_threads

# Asked of trio instead of 0, so that `wait_all_tasks_blocked()`, whose cushion is 0.0, goes first. It is never slept.
_GLANCE_SECONDS: Final = 1e-9
# How often a loop that would be deadlocked looks whether the foreign threads, which might still call it, are gone.
_FOREIGN_POLL_SECONDS: Final = 0.05


class AutojumpClock(trio.abc.Clock, trio.abc.Instrument):
    """A trio clock that jumps to the next deadline; pass it as the clock and among the instruments of one run.

    Why not `trio.testing.MockClock(autojump_threshold=0)`: it jumps as soon as all tasks are blocked, also while a
    worker thread is at work or a socket is waited for, so that every deadline around a thread call fires at once.

    Theory. Trio asks `deadline_to_sleep_time()` exactly when no task is runnable. If nothing outside can wake one, the
    answer is a glance at I/O. Should a task be in `wait_all_tasks_blocked()`, trio makes that 0 and wakes it; else
    `before_io_wait()` sees the glance unchanged, and asks for a callback, which moves the clock. Asking also makes
    the glance end at once.
    """

    def __init__(self) -> None:
        self._now = 0.0
        # Set while trio sleeps for real: when that began on the real clock, and how far it may carry this one.
        self._real_since: float | None = None
        self._real_limit = math.inf
        # What to do when the glance finds nobody waiting for an idle loop.
        self._when_idle: Callable[[], object] | None = None
        self._report_deadlock: Callable[[tuple[str, ...]], None] | None = None

    def start_clock(self) -> None:
        """Nothing to start: time stands still until a run is idle."""

    def current_time(self) -> float:
        """The virtual time in seconds since the run began."""
        if self._real_since is None:
            return self._now
        return max(self._now, min(self._now + time.monotonic() - self._real_since, self._real_limit))

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """How many real seconds trio may wait for I/O."""
        self._when_idle = None
        if deadline <= self._now:
            return 0
        if _outside_may_wake():
            self._real_since = time.monotonic()
            self._real_limit = deadline
            return deadline - self._now
        if deadline < math.inf:
            self._when_idle = partial(self._jump, deadline)
        elif self._report_deadlock is None:
            return math.inf
        elif no_foreign_threads():
            self._when_idle = self._deadlock
        else:
            return _FOREIGN_POLL_SECONDS
        return _GLANCE_SECONDS

    def before_io_wait(self, timeout: float) -> None:
        """Let the clock move, unless trio has somebody else to wake."""
        if self._when_idle is not None and timeout == _GLANCE_SECONDS:
            trio.lowlevel.current_trio_token().run_sync_soon(self._when_idle)
        self._when_idle = None

    def after_io_wait(self, timeout: float) -> None:
        """Stop the real clock, if it was let in."""
        self._now = self.current_time()
        self._real_since = None

    def _jump(self, deadline: float) -> None:
        if _something_runs():
            return
        # Invariant: the clock never goes back, and it lands on the deadline exactly.
        self._now = max(self._now, deadline)

    def _deadlock(self) -> None:
        if _something_runs():
            return
        report, self._report_deadlock = self._report_deadlock, None
        if report is not None:
            report(_task_names())

    def report_deadlock_to(
        self, report: Callable[[tuple[str, ...]], None] | None
    ) -> Callable[[tuple[str, ...]], None] | None:
        """Set what is called with the names of the waiting tasks, or None; returns what was set before."""
        before, self._report_deadlock = self._report_deadlock, report
        return before


def _something_runs() -> bool:
    """Whether a callback that was asked for before ours has made a task runnable: the run is not idle after all."""
    return trio.lowlevel.current_statistics().tasks_runnable > 0


def _outside_may_wake() -> bool:
    """Whether a worker thread is in a call, or a task waits for a descriptor."""
    if trio.testing.active_thread_count() > 0:
        return True
    io = trio.lowlevel.current_statistics().io_statistics
    # Which of these there are depends on the platform: epoll and Windows tell reads from writes, kqueue does not.
    waiting: int = sum(getattr(io, name, 0) for name in ("tasks_waiting_read", "tasks_waiting_write", "tasks_waiting"))
    # Invariant: an idle run has one task that waits for a descriptor, the one behind run_sync_soon().
    return waiting > 1


def _task_names() -> tuple[str, ...]:
    root = trio.lowlevel.current_root_task()
    names: list[str] = []
    nurseries = list(root.child_nurseries) if root is not None else []
    while nurseries:
        for task in nurseries.pop().child_tasks:
            if not task.name.startswith("trio._core."):  # trio's own, such as the one behind run_sync_soon()
                names.append(task.name)
            nurseries.extend(task.child_nurseries)
    return tuple(sorted(names))
