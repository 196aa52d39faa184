"""The service of docs/examples/scale_out.py in several processes: any worker answers, and conversations stay whole."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

import agentrun
from agentrun import SQLiteSession
from agentrun.testing import LoopbackProvider, ModelStep

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"

pytestmark = [pytest.mark.real_clock, pytest.mark.skipif(sys.platform == "win32", reason="workers fork")]


def asked(body: dict[str, Any]) -> int:
    return sum(item.get("role") == "user" for item in body["input"])


@asynccontextmanager
async def service(provider_url: str, database: Path, worker_class: str) -> AsyncGenerator[str]:
    pytest.importorskip("hypercorn")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [sys.executable, "-m", "hypercorn", "--workers", "2", "--worker-class", worker_class, "--bind", address]
    environment = {
        **os.environ,
        "OPENAI_API_KEY": "any-key",
        "OPENAI_BASE_URL": provider_url,
        "CONVERSATIONS": str(database),
        "PYTHONPATH": str(Path(agentrun.__file__).parents[1]),
    }
    process = subprocess.Popen(  # noqa: ASYNC220 - returns at once; its group must be killed, AnyIO kills one process
        [*command, "scale_out:app"], cwd=EXAMPLES, env=environment, start_new_session=True
    )
    try:
        with anyio.fail_after(30):
            while True:
                try:
                    await (await anyio.connect_tcp(*address.split(":"))).aclose()
                    break
                except OSError:
                    assert process.poll() is None
                    await anyio.sleep(0.1)
        yield f"http://{address}"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


async def say(url: str, conversation: str) -> dict[str, Any]:
    # A connection of its own for each message, so that the kernel chooses a worker each time.
    async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
        response = await client.post(f"{url}/conversations/{conversation}", content=b"and?")
    response.raise_for_status()
    answer: dict[str, Any] = response.json()
    return answer


async def test_several_workers_keep_conversations_whole(tmp_path: Path, anyio_backend_name: str) -> None:
    provider = LoopbackProvider(script=lambda body: f"message {asked(body)}")
    workers: set[int] = set()
    database = tmp_path / "conversations.db"

    async with provider.serve() as provider_url, service(provider_url, database, anyio_backend_name) as url:

        async def talk(conversation: str) -> None:
            for number in range(1, 9):
                answer = await say(url, conversation)
                assert answer["answer"] == f"message {number}"
                workers.add(answer["worker"])

        async with anyio.create_task_group() as nursery:
            for conversation in ("a", "b", "c", "d"):
                nursery.start_soon(talk, conversation)

    assert len(workers) == 2
    for conversation in ("a", "b", "c", "d"):
        assert len(await SQLiteSession(conversation, database).get_items()) == 16


async def test_a_service_that_is_killed_goes_on_where_it_was(tmp_path: Path, anyio_backend_name: str) -> None:
    provider = LoopbackProvider(script=lambda body: ModelStep.hang() if asked(body) == 2 else f"message {asked(body)}")
    database = tmp_path / "conversations.db"

    async with provider.serve() as provider_url:
        async with service(provider_url, database, anyio_backend_name) as url:
            first = await say(url, "a")
            async with anyio.create_task_group() as nursery:
                nursery.start_soon(say_into_the_void, url)
                with anyio.fail_after(20):
                    while provider.open_requests == 0:  # noqa: ASYNC110 - the provider tells no event of it
                        await anyio.sleep(0.01)
                os.killpg(os.getpgid(first["worker"]), signal.SIGKILL)
        async with service(provider_url, database, anyio_backend_name) as url:
            third = await say(url, "a")

    assert (first["answer"], third["answer"]) == ("message 1", "message 3")
    said = [item["role"] for item in await SQLiteSession("a", database).get_items()]
    assert said == ["user", "assistant", "user", "user", "assistant"]


async def say_into_the_void(url: str) -> None:
    with pytest.raises(httpx.TransportError):
        await say(url, "a")
