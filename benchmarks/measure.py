"""How each row is measured, in the process and the event loop of a contestant.

CPU is the process's own time (user and system), so other processes on the machine disturb it little. The model server
is another process and does not count.
"""

from __future__ import annotations

import gc
import json
import math
import os
import resource
import statistics
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import anyio
import anyio.lowlevel

from benchmarks.contestants.base import Api, Cancel, Contestant, Op

Numbers = dict[str, Any]
Start = Callable[[Callable[[Cancel], None], Callable[[], None]], Coroutine[Any, Any, Any]]


def _on_trio() -> bool:
    if "trio" not in sys.modules:
        return False
    import trio

    return trio.lowlevel.in_trio_run()


def _tasks() -> int:
    """Return how many tasks there are in this event loop."""
    if _on_trio():
        import trio

        return trio.lowlevel.current_statistics().tasks_living
    import asyncio

    return len(asyncio.all_tasks())


def _stats(server: str) -> Any:
    with urllib.request.urlopen(f"{server}/stats") as answer:
        return json.load(answer)


async def _cpu_us(op: Op, repeat: int) -> float:
    """Return CPU microseconds of one `op`, over `repeat` in a row; one op before it warms up."""
    await op()
    began = time.process_time_ns()
    for _ in range(repeat):
        await op()
    return (time.process_time_ns() - began) / repeat / 1000


async def one_turn(contestant: Contestant, streamed: bool, repeat: int) -> Numbers:
    return {"cpu_us": await _cpu_us(contestant.one_turn(streamed), repeat)}


async def turn_in_block(contestant: Contestant, repeat: int) -> Numbers:
    return {"cpu_us": await _cpu_us(contestant.turn_in_block(), repeat)}


async def tools(contestant: Contestant, turns: int, calls: int, repeat: int) -> Numbers:
    return {"cpu_ms": await _cpu_us(contestant.tool_turns(turns, calls), repeat) / 1000}


# ---- growth ----------------------------------------------------------------------------------------------------------


def exponent(total: list[float]) -> float:
    """Return the slope of log(total time) over log(turns), from a tenth of the turns on: 1 is linear, 2 quadratic."""
    points = [(math.log(turn), math.log(total[turn - 1])) for turn in range(max(2, len(total) // 10), len(total) + 1)]
    return statistics.linear_regression([x for x, _ in points], [y for _, y in points]).slope


async def growth(contestant: Contestant, kind: str, turns: int, repeat: int) -> Numbers:
    """Measure how the total CPU time grows over a long run or a long conversation."""
    marks: list[int] = []

    def mark() -> None:
        marks.append(time.process_time_ns())

    op = contestant.tool_turns(turns, 1, mark) if kind == "tools" else contestant.conversation(turns, mark)
    await op()
    sums = [0.0] * turns
    first: list[float] = []
    last: list[float] = []
    gc.collect()
    for _ in range(repeat):
        marks.clear()
        began = time.process_time_ns()
        await op()
        ended = [*marks[1:], time.process_time_ns()][:turns]
        for at, one in enumerate(ended):
            sums[at] += one - began
        tenth = max(1, turns // 10)
        first.append((ended[2 * tenth - 1] - ended[tenth - 1]) / tenth / 1000)
        last.append((ended[-1] - ended[-1 - tenth]) / tenth / 1000)
    return {
        "exponent": exponent(sums),
        "first_us": statistics.median(first),
        "last_us": statistics.median(last),
    }


# ---- over HTTP -------------------------------------------------------------------------------------------------------


def _ignore(text: str) -> None:
    pass


async def stream(contestant: Contestant, server: str, api: Api, deltas: int, repeat: int) -> Numbers:
    """Measure the CPU time of one delta of a long reply that comes as fast as it is read."""
    await contestant.open(api, f"{server}/deltas=3/v1")
    await contestant.stream(_ignore)
    await contestant.close()
    await contestant.open(api, f"{server}/deltas={deltas}/v1")
    samples: list[float] = []
    for _ in range(repeat):
        seen = 0

        def count(text: str) -> None:
            nonlocal seen
            seen += 1

        gc.collect()
        began = time.process_time_ns()
        await contestant.stream(count)
        samples.append((time.process_time_ns() - began) / deltas / 1000)
        if seen != deltas:
            raise RuntimeError(f"{seen} deltas arrived, expected {deltas}")
    await contestant.close()
    return {"cpu_us": statistics.median(samples)}


async def first_delta(contestant: Contestant, server: str, api: Api, repeat: int) -> Numbers:
    """Measure the time from the start of a run to its first delta, over one kept connection, and the CPU of the run."""
    await contestant.open(api, f"{server}/deltas=3/v1")
    samples: list[float] = []
    first = 0

    def note(text: str) -> None:
        nonlocal first
        first = first or time.monotonic_ns()

    for _ in range(5):
        await contestant.stream(note)
    cpu = time.process_time_ns()
    for _ in range(repeat):
        first = 0
        began = time.monotonic_ns()
        await contestant.stream(note)
        samples.append((first - began) / 1000)
    cpu = time.process_time_ns() - cpu
    await contestant.close()
    samples.sort()
    return {
        "p50_us": statistics.median(samples),
        "p99_us": samples[min(len(samples) - 1, int(len(samples) * 0.99))],
        "cpu_us": cpu / repeat / 1000,
    }


async def live(contestant: Contestant, server: str, runs: int, deltas: int, interval: float) -> Numbers:
    """Run many streams at once; lag is the time from the server's write to the contestant's reader."""
    await contestant.open("responses", f"{server}/deltas=3/v1")
    await contestant.stream(_ignore)
    await contestant.close()
    await contestant.open("responses", f"{server}/deltas={deltas},interval={interval},stamp=1/v1")
    lags: list[int] = []
    failed: list[str] = []

    def note(text: str) -> None:
        lags.append(time.monotonic_ns() - int(text[:20]))

    async def one() -> None:
        try:
            await contestant.stream(note)
        except Exception as exc:  # noqa: BLE001 - a stream that fails is a number of the row
            failed.append(f"{type(exc).__name__}: {exc}"[:200])

    gc.collect()
    before = _rss_now()
    wall, cpu = time.monotonic(), time.process_time()
    async with anyio.create_task_group() as nursery:
        for _ in range(runs):
            nursery.start_soon(one)
    cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    await contestant.close()
    lags.sort()
    return {
        "cpu_s": cpu,
        "wall_s": wall,
        "lag_p99_ms": lags[int(len(lags) * 0.99)] / 1e6 if lags else None,
        "kb_per_run": max(0, peak - before) / runs / 1024,
        "failed": len(failed),
        "missing": runs * deltas - len(lags),
        "why": failed[:1],
    }


def _rss_now() -> int:
    """Return the resident memory of this process in bytes; where /proc is missing, its peak."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


# ---- cancel ----------------------------------------------------------------------------------------------------------


async def _cancelled(start: Start) -> Numbers:
    """Run `start` in a task of its own; time from the call of cancel to the end of the consumer, and of all tasks.

    `start` gets what takes the contestant's own way to cancel, and what is to be called at the moment of cancelling.
    """
    base = _tasks()
    cancel: list[Cancel] = []
    began = done = 0
    consumed = anyio.Event()

    def now() -> None:
        nonlocal began
        if not began:
            began = time.monotonic_ns()
            cancel[-1]()

    async def consume() -> None:
        nonlocal done
        if _on_trio():
            with anyio.CancelScope() as scope:
                cancel.append(scope.cancel)
                await start(cancel.append, now)
        else:
            import asyncio

            task = asyncio.create_task(start(cancel.append, now))
            # Once, as asyncio does it: a scope would cancel again and again, and hide a cancel that gets lost.
            cancel.append(task.cancel)
            await asyncio.wait([task])
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error
        done = time.monotonic_ns()
        consumed.set()

    async with anyio.create_task_group() as nursery:
        nursery.start_soon(consume)
        with anyio.move_on_after(5):
            await consumed.wait()
            while _tasks() > base and time.monotonic_ns() - began < 1_000_000_000:
                await anyio.lowlevel.checkpoint()
        ended = time.monotonic_ns()
        missed = not done or _tasks() > base
        left = max(0, _tasks() - base)
        nursery.cancel_scope.cancel()
    return {"consumer_us": (done - began) / 1000, "all_us": (ended - began) / 1000, "left": left, "missed": missed}


async def _repeated(one: Callable[[], Awaitable[Numbers]], repeat: int) -> Numbers:
    await one()
    tries = [await one() for _ in range(repeat)]
    taken = [each for each in tries if not each["missed"]]
    times = {key: statistics.median(each[key] for each in taken) for key in ("consumer_us", "all_us") if taken}
    return {
        **times,
        "left": max(each["left"] for each in tries),
        "missed": sum(each["missed"] for each in tries),
    }


async def cancel_stream(contestant: Contestant, server: str, repeat: int, interval: float) -> Numbers:
    """Cancel in the middle of a reply."""
    await contestant.open("responses", f"{server}/deltas=100000,interval={interval}/v1")
    _stats(server)

    async def one() -> Numbers:
        async def start(own: Callable[[Cancel], None], now: Callable[[], None]) -> bool:
            seen = 0

            def note(text: str) -> None:
                nonlocal seen
                seen += 1
                if seen == 10:
                    now()

            return await contestant.stream_cancelled(note, own) or await contestant.stream(note) is None

        return await _cancelled(start)

    numbers = await _repeated(one, repeat)
    await anyio.sleep(0.3)
    numbers["open_after"] = _stats(server)["open"]
    await contestant.close()
    return numbers


async def cancel_tools(contestant: Contestant, calls: int, repeat: int) -> Numbers:
    """Cancel while tools sleep."""

    async def one() -> Numbers:
        async def start(own: Callable[[Cancel], None], now: Callable[[], None]) -> bool:
            entered = 0

            async def tool() -> str:
                nonlocal entered
                entered += 1
                if entered == calls:
                    await anyio.sleep(0.01)  # so that all the others sleep
                    now()
                await anyio.sleep(60)
                return "late"

            return await contestant.tools_in_flight(tool, calls, own)

        return await _cancelled(start)

    return await _repeated(one, repeat)


# ---- a consumer that sleeps ------------------------------------------------------------------------------------------


async def slow_consumer(contestant: Contestant, server: str, deltas: int, seconds: float) -> Numbers:
    """Take one delta and sleep; what comes meanwhile has to wait on the wire, not in memory."""
    await contestant.open("responses", f"{server}/deltas=3/v1")
    await contestant.stream(_ignore)
    await contestant.close()
    await contestant.open("responses", f"{server}/deltas={deltas}/v1")
    gc.collect()
    _stats(server)
    before = _rss_now()
    found: Numbers = {}
    scope = anyio.CancelScope()
    asleep = False

    async def sleep() -> None:
        sent = 0
        for _ in range(4):
            await anyio.sleep(seconds / 4)
            sent, previous = sent + _stats(server)["deltas"], sent
            found["growing"] = sent > previous
        found["taken"] = sent
        found["growth_mb"] = (_rss_now() - before) / 2**20
        # A buffer without a bound takes the whole reply in the end.
        full = deltas / sent if found["growing"] and sent else 1.0
        found["growth_full_mb"] = found["growth_mb"] * full
        scope.cancel()

    def note(text: str) -> Awaitable[None] | None:
        nonlocal asleep
        if asleep:
            return None
        asleep = True
        return sleep()

    with scope:
        await contestant.stream(note)
    await anyio.sleep(0.1)
    await contestant.close()
    return found


ROWS: dict[str, Callable[..., Awaitable[Numbers]]] = {
    "one_turn": one_turn,
    "turn_in_block": turn_in_block,
    "tools": tools,
    "growth": growth,
    "stream": stream,
    "first_delta": first_delta,
    "live": live,
    "cancel_stream": cancel_stream,
    "cancel_tools": cancel_tools,
    "slow_consumer": slow_consumer,
}
