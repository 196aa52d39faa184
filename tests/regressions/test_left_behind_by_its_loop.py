"""A bare stream whose event loop ends first leaves nothing open, even when its result is kept to the end."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import anyio

from agentrun import Agent, Runner, function_tool
from agentrun.testing import ScriptedModel, function_call


@function_tool
async def slow() -> str:
    await anyio.sleep(60)
    return "slept"


agent = Agent("Sleeper", model=ScriptedModel([[function_call("slow", {}, call_id="1")]]), tools=[slow])
kept = []


async def leave_early() -> None:
    result = Runner.run_streamed(agent, "Sleep.")
    kept.append((result, result.stream_events()))
    async for event in kept[0][1]:
        if event.type == "run_item_stream_event":
            return


anyio.run(leave_early, backend="BACKEND")
assert kept[0][0].is_complete
assert kept[0][0].final_output is None
"""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_result_that_outlives_its_loop_is_complete_and_warns_of_no_open_stream_at_exit(backend: str) -> None:
    program = PROGRAM.replace("BACKEND", backend)
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False, timeout=50
    )
    assert (ended.returncode, ended.stderr) == (0, "")
