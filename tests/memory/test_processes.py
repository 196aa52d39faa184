"""Many processes on one conversation, and processes that are killed while they write.

AGENTRUN_TEST_LARGE=1 kills 500 writers instead of 40.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

import agentrun
from agentrun.extensions.memory import PostgresSession, RedisSession
from agentrun.memory import Session, SQLiteSession

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")

BACKENDS = ("asyncio", "trio")
SIZE = 6


class Writers:
    """The process that forks writers."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        root = str(Path(agentrun.__file__).parents[1])
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("writers.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": root},
        )

    def start(self, name: str, kind: str, target: object, backend: str, *, tasks: int, rounds: int | None) -> int:
        """Fork a writer; return its process id."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        orders = {"name": name, "kind": kind, "target": str(target), "backend": backend, "tasks": tasks}
        orders |= {"rounds": rounds, "size": SIZE, "acks": str(self.acks_of(name))}
        print(json.dumps(orders), file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline())

    def acks_of(self, name: str) -> Path:
        return self.directory / f"{name.replace('/', '-')}.acks"

    def acks(self, name: str) -> list[str]:
        """The marks of the writes that a writer saw return; a kill may cut the last one short."""
        path = self.acks_of(name)
        text = path.read_text() if path.exists() else ""
        return text[: text.rfind("\n") + 1].splitlines()

    def wait(self, names: Iterable[str], seconds: float) -> None:
        """Wait until writers are done."""
        give_up = time.monotonic() + seconds
        while not all(self.acks(name)[-1:] == ["done"] for name in names):
            assert time.monotonic() < give_up, f"writers are not done after {seconds} s"
            time.sleep(0.02)

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(10)


@pytest.fixture
def writers(tmp_path: Path) -> Iterator[Writers]:
    made = Writers(tmp_path)
    try:
        yield made
    finally:
        made.close()


def read(session: Session) -> list[dict[str, Any]]:
    async def get() -> list[dict[str, Any]]:
        return await session.get_items()

    return anyio.run(get)


def marks_of(items: list[dict[str, Any]]) -> list[str]:
    """The marks of the batches in a history, having checked that each is whole, paired up and in one piece."""
    marks: list[str] = []
    half = SIZE // 2
    for start in range(0, len(items), SIZE):
        piece = items[start : start + SIZE]
        mark = str(piece[0]["call_id"]).rsplit(":", 1)[0]
        assert [one["type"] for one in piece] == ["function_call"] * half + ["function_call_output"] * half
        assert [one["call_id"] for one in piece] == [f"{mark}:{number}" for number in range(half)] * 2
        marks.append(mark)
    assert len(set(marks)) == len(marks)
    return marks


def hammer(writers: Writers, prefix: str, kind: str, target: object, *, rounds: int) -> list[str]:
    """Let 8 processes with 50 tasks write to one conversation; return the marks of what must be stored."""
    names = [f"{prefix}/{number}" for number in range(8)]
    tasks = [7, 7, 6, 6, 6, 6, 6, 6]
    for number, name in enumerate(names):
        writers.start(name, kind, target, BACKENDS[number % 2], tasks=tasks[number], rounds=rounds)
    writers.wait(names, 45)
    acked = [mark for name in names for mark in writers.acks(name)[:-1]]
    assert len(acked) == 50 * rounds
    return acked


def check_stored(stored: list[str], acked: list[str]) -> None:
    assert sorted(stored) == sorted(acked)
    by_task: dict[str, list[int]] = {}
    for mark in stored:
        task, number = mark.rsplit("/", 1)
        by_task.setdefault(task, []).append(int(number))
    assert all(numbers == sorted(numbers) for numbers in by_task.values())


def test_eight_processes_with_fifty_tasks_on_one_file_lose_and_interleave_nothing(
    writers: Writers, database: Path, large: bool
) -> None:
    acked = hammer(writers, "hammer", "sqlite", database, rounds=20 if large else 3)
    check_stored(marks_of(read(SQLiteSession("shared", database))), acked)


@pytest.mark.filterwarnings("ignore:Exception ignored in.*MemoryObject:pytest.PytestUnraisableExceptionWarning")
def test_eight_processes_with_fifty_tasks_on_redis_lose_and_interleave_nothing(
    writers: Writers, redis_url: str, large: bool
) -> None:
    prefix = f"hammer{os.getpid()}"
    acked = hammer(writers, prefix, "redis", redis_url, rounds=50 if large else 5)
    session = RedisSession.from_url("shared", redis_url, key_prefix=prefix)
    check_stored(marks_of(read(session)), acked)
    anyio.run(session.clear_session)


def test_eight_processes_with_fifty_tasks_on_postgres_lose_and_interleave_nothing(
    writers: Writers, postgres_url: str, postgres_pool: Any, large: bool
) -> None:
    prefix = f"hammer{os.getpid()}"
    acked = hammer(writers, prefix, "postgres", postgres_url, rounds=30 if large else 3)
    session = PostgresSession("shared", pool=postgres_pool, messages_table=prefix)
    check_stored(marks_of(read(session)), acked)
    with postgres_pool.connection() as connection:
        connection.execute(f'DROP TABLE "{prefix}"')


@pytest.mark.slow
def test_writers_killed_at_random_moments_leave_whole_batches_and_a_usable_file(
    writers: Writers, database: Path, large: bool
) -> None:
    chance = random.Random(20261122)
    kills = 500 if large else 40
    names = [f"kill/{number}" for number in range(kills)]
    alive: list[tuple[str, int]] = []
    for number, name in enumerate(names):
        pid = writers.start(name, "sqlite", database, BACKENDS[number % 2], tasks=2, rounds=None)
        alive.append((name, pid))
        if len(alive) < 2:
            continue
        # Two writers at a time; the older one dies, often half way through a write, sometimes before its first.
        victim, victim_pid = alive.pop(0)
        if chance.random() < 0.9:
            give_up = time.monotonic() + 20
            while not writers.acks(victim):
                assert time.monotonic() < give_up, f"{victim} does not write"
                time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.03))
        os.kill(victim_pid, signal.SIGKILL)
    os.kill(alive[0][1], signal.SIGKILL)
    time.sleep(0.05)

    stored = marks_of(read(SQLiteSession("shared", database)))
    acked = {mark for name in names for mark in writers.acks(name)}
    assert len(acked) >= kills // 2
    assert acked <= set(stored)  # what was said to be stored is
    connection = sqlite3.connect(database)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()

    writers.start("after", "sqlite", database, "asyncio", tasks=1, rounds=2)  # and the conversation goes on
    writers.wait(["after"], 20)
    assert marks_of(read(SQLiteSession("shared", database))) == [*stored, "after/0/0", "after/0/1"]
