"""A process that is killed in the middle of a run leaves a session that a provider accepts."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import anyio
import pytest

import agentrun
from agentrun import Agent, Runner, SQLiteSession
from agentrun.testing import ScriptedModel

KILLS = 200 if os.environ.get("AGENTRUN_TEST_LARGE") else 6

pytestmark = pytest.mark.real_clock


async def killed_at_a_random_moment(path: Path, backend: str, moment: random.Random) -> None:
    """Start the runs in a process of their own, and kill it once it has begun to finish some."""
    script = str(Path(__file__).with_name("killed_run.py"))
    command = [sys.executable, script, str(path), backend]
    here = str(Path(agentrun.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": here}
    async with await anyio.open_process(command, stderr=subprocess.STDOUT, env=environment) as process:
        assert process.stdout is not None
        with anyio.fail_after(30):
            first = await process.stdout.receive()
        assert first.split()[0].isdigit(), first.decode()
        await anyio.sleep(moment.uniform(0, 0.08))
        process.kill()
        await process.wait()


def faults_of(items: list[dict[str, Any]]) -> list[str]:
    """Return what is wrong with a stored conversation: calls without output, anything twice, outputs before calls."""
    faults: list[str] = []
    asked: set[str] = set()
    for item in items:
        if item.get("type") == "function_call":
            asked.add(item["call_id"])
        elif item.get("type") == "function_call_output" and item["call_id"] not in asked:
            faults.append(f"output of {item['call_id']} before its call")
    kinds = Counter((item.get("type"), item.get("call_id") or item.get("id") or item.get("content")) for item in items)
    faults += [f"{key} stands {count} times" for key, count in kinds.items() if count > 1]
    outputs = {item["call_id"] for item in items if item.get("type") == "function_call_output"}
    faults += [f"call {call_id} has no output" for call_id in asked - outputs]
    return faults


@pytest.mark.slow
async def test_a_killed_process_leaves_whole_turns_and_the_next_run_goes_on(
    tmp_path: Path, anyio_backend_name: str
) -> None:
    moment = random.Random(5)
    for kill in range(KILLS):
        path = tmp_path / f"{kill}.db"
        await killed_at_a_random_moment(path, anyio_backend_name, moment)

        for number in range(5):
            session = SQLiteSession(f"conversation {number}", path)
            assert faults_of(await session.get_items()) == [], f"after kill {kill}"
            model = ScriptedModel(["and on it goes"])
            result = await Runner.run(Agent("a", model=model), "go on", session=session)
            assert result.final_output == "and on it goes"
            assert faults_of(await session.get_items()) == []
            session.close()
