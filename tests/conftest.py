"""Every async test runs on asyncio and on trio, under virtual time; `real_clock` asks for the backend's own clock.

A test that would wait for ever under virtual time fails with DeadlockError, a task that outlives its test fails it,
and a test that runs past its limit of real time is interrupted.
"""

from __future__ import annotations

import inspect
import signal
import threading
from collections.abc import Awaitable, Callable, Generator
from functools import wraps
from types import FrameType
from typing import Any, Literal

import anyio
import anyio.lowlevel
import pytest
from hypothesis import settings

from agentrun.testing._clock import fail_on_deadlock, virtual_options

# Real seconds. They protect the whole run from one test that hangs where virtual time cannot see it.
_TEST_SECONDS = 60.0
_SLOW_TEST_SECONDS = 240.0
# A test that catches the first interruption, or a backend that will not end, gets another one this often.
_REPEAT_SECONDS = 10.0

# Real time per example says more about the machine than about the code; the limits above catch what hangs.
settings.register_profile("agentrun", deadline=None)
settings.load_profile("agentrun")


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """The backend of one test, with a clock of its own; so async fixtures have to be function-scoped."""
    backend: Literal["asyncio", "trio"] = request.param
    if request.node.get_closest_marker("real_clock") is None:
        return backend, virtual_options(backend)
    return backend, {"debug": False} if backend == "asyncio" else {}


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Watch async tests for deadlocks and for tasks they leave; Hypothesis tests keep only the time limit."""
    if inspect.iscoroutinefunction(pyfuncitem.obj) and not hasattr(pyfuncitem.obj, "hypothesis"):
        pyfuncitem.obj = _watched(pyfuncitem.obj)
    return (yield)


def _watched(test: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    @wraps(test)
    async def run(**kwargs: Any) -> None:
        before = {task.id for task in anyio.get_running_tasks()}
        with fail_on_deadlock():
            await test(**kwargs)
        # A task that was told to end needs a few steps to do so; one that waits for anything else has been left.
        left: list[str | None] = []
        for _ in range(10):
            left = [task.name for task in anyio.get_running_tasks() if task.id not in before]
            if not left:
                return
            await anyio.lowlevel.checkpoint()
        pytest.fail(f"tasks outlive the test: {left!r}")

    return run


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Interrupt a test, with its fixtures, that runs past its limit."""
    if not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        return (yield)
    seconds = _SLOW_TEST_SECONDS if item.get_closest_marker("slow") else _TEST_SECONDS

    def interrupt(signum: int, frame: FrameType | None) -> None:
        pytest.fail(f"the test ran past {seconds:.0f} s of real time")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds, _REPEAT_SECONDS)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
