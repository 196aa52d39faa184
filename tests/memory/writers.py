"""A process that forks writers on demand, so that a test can have and kill many without paying for their imports.

Each line on standard input is JSON with the fields of `Orders`. The writer's process id goes to standard output. It
appends the mark of each batch to the file `acks` when its write has returned; without "rounds" it writes until it is
killed. The last line of its acks is "done" when it came to its end.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from typing import Any

import anyio
import attrs

from agentrun.extensions.memory import PostgresSession, RedisSession
from agentrun.memory import Session, SQLiteSession


@attrs.frozen
class Orders:
    kind: str
    target: str
    name: str
    backend: str
    tasks: int
    rounds: int | None
    size: int
    acks: str

    def session(self, shared: Any) -> Session:
        if self.kind == "sqlite":
            return SQLiteSession("shared", self.target)
        if self.kind == "redis":
            return RedisSession("shared", redis_client=shared, key_prefix=self.name.split("/")[0])
        return PostgresSession("shared", pool=shared, messages_table=self.name.split("/")[0])


def batch(mark: str, size: int) -> list[dict[str, Any]]:
    """A turn: calls and, together with them, their outputs."""
    half = size // 2
    calls = [{"type": "function_call", "call_id": f"{mark}:{n}", "name": "f", "arguments": "{}"} for n in range(half)]
    outputs = [{"type": "function_call_output", "call_id": f"{mark}:{n}", "output": "x" * 50} for n in range(half)]
    return [*calls, *outputs]


async def write(orders: Orders) -> None:
    acks = os.open(orders.acks, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    async def task(number: int, shared: Any) -> None:
        session = orders.session(shared)
        done = 0
        while orders.rounds is None or done < orders.rounds:
            mark = f"{orders.name}/{number}/{done}"
            await session.add_items(batch(mark, orders.size))
            os.write(acks, f"{mark}\n".encode())
            done += 1

    async def all_tasks(shared: Any = None) -> None:
        async with anyio.create_task_group() as nursery:
            for number in range(orders.tasks):
                nursery.start_soon(task, number, shared)

    if orders.kind == "redis":
        from coredis import Redis

        async with Redis.from_url(orders.target) as client:
            await all_tasks(client)
    elif orders.kind == "postgres":
        from psycopg_pool import ConnectionPool

        with ConnectionPool(orders.target, min_size=0, max_size=4, open=True) as pool:
            await all_tasks(pool)
    else:
        await all_tasks()
    os.write(acks, b"done\n")


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        orders = Orders(**json.loads(line))
        child = os.fork()
        if not child:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            try:
                anyio.run(write, orders, backend=orders.backend)
            except BaseException:  # noqa: BLE001 - the end of the process
                traceback.print_exc()
            finally:
                os._exit(0)
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
