from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrun.testing._clock import (
    AutojumpLoop,
    Backend,
    DeadlockError,
    fail_on_deadlock,
    run_virtual,
    virtual_options,
)

BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])


async def test_time_starts_at_zero_and_jumps_to_each_timer() -> None:
    assert anyio.current_time() == 0.0
    started = time.monotonic()
    await anyio.sleep(3600)
    assert anyio.current_time() == 3600.0
    await anyio.sleep(0.25)
    assert anyio.current_time() == 3600.25
    assert time.monotonic() - started < 5


async def test_timers_fire_in_the_order_of_their_deadlines() -> None:
    order: list[int] = []

    async def note(seconds: int) -> None:
        await anyio.sleep(seconds)
        order.append(seconds)

    async with anyio.create_task_group() as nursery:
        for seconds in (30, 10, 20):
            nursery.start_soon(note, seconds)
    assert order == [10, 20, 30]
    assert anyio.current_time() == 30.0


async def test_a_deadline_cuts_a_wait_that_has_no_end() -> None:
    with anyio.move_on_after(7) as scope:
        await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert anyio.current_time() == 7.0


async def test_infinite_sleep_beside_a_deadline_does_not_spin() -> None:
    with anyio.move_on_after(7):
        await anyio.sleep(float("inf"))
    assert anyio.current_time() == 7.0


async def test_timers_far_away_are_reached() -> None:
    await anyio.sleep(1e7)  # noqa: ASYNC116
    await anyio.sleep(1e-3)
    assert anyio.current_time() == pytest.approx(1e7 + 1e-3, abs=1e-6)


async def test_waiting_for_blocked_tasks_does_not_move_the_clock() -> None:
    event = anyio.Event()
    async with anyio.create_task_group() as nursery:
        nursery.start_soon(event.wait)
        nursery.start_soon(anyio.sleep, 5)
        await anyio.lowlevel.checkpoint()
        await anyio.wait_all_tasks_blocked()
        assert anyio.current_time() == 0.0
        event.set()


async def test_no_deadline_fires_while_a_worker_thread_works() -> None:
    with anyio.fail_after(30):
        await anyio.to_thread.run_sync(time.sleep, 0.05)
    assert 0.04 < anyio.current_time() < 10


async def test_no_deadline_fires_while_a_thread_with_its_own_limiter_works() -> None:
    with anyio.fail_after(30):
        await anyio.to_thread.run_sync(time.sleep, 0.05, limiter=anyio.CapacityLimiter(1))
    assert 0.04 < anyio.current_time() < 10


async def test_the_clock_jumps_again_after_the_thread_is_idle() -> None:
    await anyio.to_thread.run_sync(int)
    started = time.monotonic()
    await anyio.sleep(100)
    assert time.monotonic() - started < 5


async def test_a_deadline_fires_in_real_time_while_a_thread_blocks() -> None:
    release = threading.Event()
    with anyio.move_on_after(0.05) as scope:
        await anyio.to_thread.run_sync(release.wait, abandon_on_cancel=True)
    release.set()
    assert scope.cancelled_caught


async def test_a_worker_thread_may_call_back_into_the_loop() -> None:
    def work() -> float:
        anyio.from_thread.run(anyio.sleep, 0.01)
        return anyio.from_thread.run_sync(anyio.current_time)

    with anyio.fail_after(30):
        assert await anyio.to_thread.run_sync(work) >= 0.01


async def test_no_deadline_fires_while_a_socket_is_waited_for() -> None:
    async def echo(stream: anyio.abc.ByteStream) -> None:
        async with stream:
            await anyio.to_thread.run_sync(time.sleep, 0.02)
            await stream.send(await stream.receive())

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as nursery:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        nursery.start_soon(listener.serve, echo)
        with anyio.fail_after(30):
            async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                await stream.send(b"ping")
                assert await stream.receive() == b"ping"
        nursery.cancel_scope.cancel()


async def test_no_deadline_fires_while_a_child_process_runs() -> None:
    with anyio.fail_after(60):
        done = await anyio.run_process(["sleep", "0.05"])
    assert done.returncode == 0


async def test_a_deadlock_is_an_error_that_names_the_waiting_tasks() -> None:
    async def stuck() -> None:
        async with anyio.create_task_group() as nursery:
            nursery.start_soon(anyio.sleep_forever, name="the one that waits")

    cleaned = False
    with pytest.raises(DeadlockError, match="the one that waits") as caught, fail_on_deadlock():
        try:
            await stuck()
        finally:
            cleaned = True
    assert cleaned
    assert "the one that waits" in caught.value.waiting


@BACKENDS
def test_run_virtual_returns_the_result(backend: Backend) -> None:
    async def main(seconds: float) -> float:
        await anyio.sleep(seconds)
        return anyio.current_time()

    assert run_virtual(main, 86400.0 * 400, backend=backend) == pytest.approx(86400.0 * 400)


@BACKENDS
def test_run_virtual_reports_a_deadlock(backend: Backend) -> None:
    with pytest.raises(DeadlockError):
        run_virtual(anyio.sleep_forever, backend=backend)


@BACKENDS
def test_run_virtual_lets_exceptions_pass(backend: Backend) -> None:
    async def main() -> None:
        await anyio.lowlevel.checkpoint()
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        run_virtual(main, backend=backend)


def test_an_unknown_backend_is_named() -> None:
    wrong: Any = "curio"
    with pytest.raises(ValueError, match="unknown backend 'curio'"):
        virtual_options(wrong)


def test_the_loop_serves_plain_asyncio_code() -> None:
    async def main() -> tuple[float, str]:
        loop = asyncio.get_running_loop()
        worked = await loop.run_in_executor(None, pow, 2, 5)
        before = loop.time()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 50)
        assert worked == 32
        return loop.time() - before, type(loop).__name__

    with asyncio.Runner(loop_factory=AutojumpLoop) as runner:
        passed, name = runner.run(main())
    assert passed == pytest.approx(50)
    assert name == "AutojumpLoop"


@given(delays=st.lists(st.integers(0, 1000), min_size=1, max_size=8))
@settings(max_examples=20, deadline=None)
async def test_async_hypothesis_tests_run_under_virtual_time(delays: list[int]) -> None:
    started = anyio.current_time()
    async with anyio.create_task_group() as nursery:
        for delay in delays:
            nursery.start_soon(anyio.sleep, delay)
    assert anyio.current_time() - started == pytest.approx(max(delays))


@pytest.mark.real_clock
async def test_the_real_clock_mark_gives_the_real_clock() -> None:
    started = time.monotonic()
    await anyio.sleep(0.05)
    assert time.monotonic() - started >= 0.045
