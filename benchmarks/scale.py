"""Measures what one process holds, and what more processes add: `python -m benchmarks.scale [--trio]`.

Held: so many runs at once whose models send nothing for a while, and what each costs in memory. Served: the service of
`docs/examples/scale_out.py` with one worker and with more, asked by clients that wait for each answer; CPU is that of
the workers alone, so that it says how many turns a core of its own would serve.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager

import anyio
import httpx

from agentrun import Agent, OpenAIResponsesModel, Runner

ROOT = pathlib.Path(__file__).parents[1]
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")
CLIENTS = 16
TURNS = 25


@contextmanager
def model_server() -> Generator[str]:
    """Yield the address of a loopback model server in a process of its own."""
    server = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.server"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(server.stdout.readline())}"
    finally:
        server.stdin.close()
        server.wait(5)
        server.stdout.close()


async def hold(server: str, runs: int) -> None:
    """Hold many streams that have begun and now are silent, and print what one costs."""
    model = OpenAIResponsesModel("bench", base_url=f"{server}/deltas=60,interval=1/v1", api_key="none")
    agent = Agent("bench", model=model)
    begun = 0
    all_begun = anyio.Event()

    async def follow() -> None:
        nonlocal begun
        async with Runner.run_streamed(agent, "hello") as result:
            async for _ in result.stream_events():
                break
            begun += 1
            if begun == runs:
                all_begun.set()
            await result.wait()

    before, started, cpu = resident(), time.monotonic(), time.process_time()
    async with anyio.create_task_group() as nursery:
        for _ in range(runs):
            nursery.start_soon(follow)
        await all_begun.wait()
        each = (resident() - before) / runs / 1024
        print(
            f"| {runs:,} | {each:,.0f} | {time.process_time() - cpu:.2f} | {time.monotonic() - started:.2f} |",
            flush=True,
        )
        nursery.cancel_scope.cancel()


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES


@contextmanager
def service(server: str, workers: int, worker_class: str) -> Generator[tuple[str, int]]:
    """Yield the address of the service, and the process group of its workers."""
    with socket.socket() as probe, tempfile.TemporaryDirectory() as folder:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
        probe.close()
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "OPENAI_API_KEY": "none",
            "OPENAI_BASE_URL": f"{server}/deltas=20,interval=0.005,whole=1/v1",
            "CONVERSATIONS": str(pathlib.Path(folder) / "conversations.db"),
        }
        options = ["--workers", str(workers), "--worker-class", worker_class, "--bind", address]
        process = subprocess.Popen(
            [sys.executable, "-m", "hypercorn", *options, "scale_out:app"],
            cwd=ROOT / "docs" / "examples",
            env=environment,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield f"http://{address}", process.pid
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(20)


def cpu_of(group: int) -> float:
    """Return the CPU seconds that the processes of a group have used."""
    ticks = 0
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        if int(fields[2]) == group:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS


async def ask(url: str, group: int, workers: int) -> None:
    """Let clients talk to the service, and print how many turns it has served."""
    waits: list[float] = []
    pids: set[int] = set()

    # A connection for each turn: one that is kept stays with its worker, and a burst of them goes to the first.
    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(trust_env=False, timeout=60, limits=limits) as client:

        async def talk(number: int, turns: int, record: bool) -> None:
            for _ in range(turns):
                asked = time.monotonic()
                response = await client.post(f"{url}/conversations/{number}", content=b"and?")
                response.raise_for_status()
                if record:
                    waits.append(time.monotonic() - asked)
                    pids.add(response.json()["worker"])

        with anyio.fail_after(60):
            while True:
                try:
                    await talk(-1, 1, record=False)
                    break
                except httpx.TransportError:
                    await anyio.sleep(0.1)
        async with anyio.create_task_group() as nursery:  # every worker has loaded everything
            for number in range(CLIENTS):
                nursery.start_soon(talk, -2 - number, 2, False)
        started, cpu = time.monotonic(), cpu_of(group)
        async with anyio.create_task_group() as nursery:
            for number in range(CLIENTS):
                nursery.start_soon(talk, number, TURNS, True)
        wall, cpu = time.monotonic() - started, cpu_of(group) - cpu
    waits.sort()
    print(
        f"| {workers} | {len(waits) / wall:,.0f} | {waits[len(waits) // 2] * 1e3:.0f} | "
        f"{waits[int(len(waits) * 0.99)] * 1e3:.0f} | {cpu / len(waits) * 1e3:.1f} | {len(pids)} |",
        flush=True,
    )


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trio", action="store_true", help="run everything on trio")
    parser.add_argument("--runs", type=int, nargs="*", default=[100, 1000, 5000], help="how many runs to hold at once")
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2, 4], help="how many workers to serve with")
    asked = parser.parse_args()
    backend = "trio" if asked.trio else "asyncio"
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    with model_server() as server:
        print("| streams held | KB each | CPU s to start them | wall s |\n|---:|---:|---:|---:|", flush=True)
        anyio.run(hold, server, 10, backend=backend)
        for runs in asked.runs:
            anyio.run(hold, server, runs, backend=backend)
        print("\n| workers | turns/s | p50 ms | p99 ms | CPU ms per turn | answered |\n|---:|---:|---:|---:|---:|---:|")
        for workers in asked.workers:
            with service(server, workers, backend) as (url, group):
                anyio.run(ask, url, group, workers)


if __name__ == "__main__":
    main()
