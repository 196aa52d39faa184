"""Virtual time for trio. In a module of its own because trio is optional; `agentrun.testing._clock` states the rule."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

import trio
import trio.testing

from agentrun.testing._clock import no_foreign_threads

# Long enough to let `wait_all_tasks_blocked()` go first, whose cushion is 0.0; short enough to cost nothing.
_GLANCE_SECONDS: Final = 1e-9
# How often a loop that would be deadlocked looks whether the foreign threads, which might still call it, are gone.
_FOREIGN_POLL_SECONDS: Final = 0.05


class AutojumpClock(trio.abc.Clock, trio.abc.Instrument):
    """A trio clock that jumps to the next deadline; pass it as the clock and among the instruments of one run.

    Why not `trio.testing.MockClock(autojump_threshold=0)`: it jumps as soon as all tasks are blocked, also while a
    worker thread is at work or a socket is waited for, so that every deadline around a thread call fires at once.

    Theory. Trio asks `deadline_to_sleep_time()` exactly when no task is runnable. The first time it gets a glance at
    I/O (which also wakes `wait_all_tasks_blocked()`); if it asks again and no task has run meanwhile, nothing inside
    the process is going to happen, and the clock moves.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._glanced = False
        # Set while trio sleeps for real: when that began, on the real clock, and how far it may carry this one.
        self._real_since: float | None = None
        self._real_limit = math.inf
        self._report_deadlock: Callable[[tuple[str, ...]], None] | None = None

    def start_clock(self) -> None:
        """Nothing to start: time stands still until a run is idle."""

    def current_time(self) -> float:
        """The virtual time in seconds since the run began."""
        if self._real_since is not None:
            passed = time.monotonic() - self._real_since
            return min(self._now + passed, max(self._now, self._real_limit))
        return self._now

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Note that something runs, and stop the real clock if it was let in."""
        self._glanced = False
        if self._real_since is not None:
            self._now = self.current_time()
            self._real_since = None

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """How many real seconds trio may wait for I/O; jumps when there is nothing to wait for."""
        self._now = self.current_time()
        self._real_since = None
        if not self._glanced:
            self._glanced = True
            return _GLANCE_SECONDS
        if _outside_may_wake():
            self._real_since = time.monotonic()
            self._real_limit = deadline
            return deadline - self._now
        if deadline < math.inf:
            # Invariant: the clock never goes back, and it lands on the deadline exactly.
            self._now = max(self._now, deadline)
            return 0
        if self._report_deadlock is None:
            return math.inf
        if not no_foreign_threads():
            return _FOREIGN_POLL_SECONDS
        report, self._report_deadlock = self._report_deadlock, None
        report(_task_names())
        return 0

    def report_deadlock_to(
        self, report: Callable[[tuple[str, ...]], None] | None
    ) -> Callable[[tuple[str, ...]], None] | None:
        """Set what is called with the names of the waiting tasks, or None; returns what was set before."""
        before, self._report_deadlock = self._report_deadlock, report
        return before


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
