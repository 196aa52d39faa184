"""Which threads could still wake an event loop on which nothing is ready."""

from __future__ import annotations

import threading


def works_for(thread: threading.Thread, loop: object) -> bool:
    """Whether `thread` has a call of the asyncio loop in hand, or waits for a child process.

    AnyIO publishes no count of busy workers over all limiters. Its worker threads carry `loop` and a `queue.Queue`
    whose `unfinished_tasks` is 1 from the call's start to its end; a test fails should that change.
    """
    if "waitpid-" in thread.name:
        return True  # where there are no pidfds, asyncio waits for each child process in a thread of this name
    if getattr(thread, "loop", None) is not loop:
        return False
    unfinished: int = getattr(getattr(thread, "queue", None), "unfinished_tasks", 0)
    return unfinished > 0


def no_foreign_threads() -> bool:
    """Whether no thread but this one and the idle ones of the worker pools is alive, so that nobody could call us."""
    current = threading.current_thread()
    return not any(
        thread is not current
        and not thread.name.startswith("Trio thread ")  # an idle thread of trio's cache
        and not hasattr(thread, "idle_since")  # AnyIO's workers, which the loop that owns them counts itself
        and not thread.name.startswith("asyncio_")  # the default executor, counted by its loop as well
        for thread in threading.enumerate()
    )
