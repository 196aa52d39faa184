"""A tool that runs a process the way the guide on cancellation says ends with its run, and the process with it."""

from __future__ import annotations

import sys
import time

import anyio
import pytest

from agentrun import Agent, Runner, function_tool
from agentrun.testing import ScriptedModel, function_call


@pytest.mark.real_clock
async def test_a_process_in_a_nursery_of_its_tool_is_killed_at_once_by_a_cancel() -> None:
    @function_tool
    async def work() -> str:
        async with anyio.create_task_group() as nursery:
            nursery.start_soon(anyio.run_process, [sys.executable, "-c", "import time; time.sleep(60)"])
        return "done"

    agent = Agent("Worker", model=ScriptedModel([[function_call("work", {}, call_id="1")]]), tools=[work])
    began = time.monotonic()
    with anyio.move_on_after(0.3):
        await Runner.run(agent, "Work.")
    assert time.monotonic() - began < 4  # a cleanup that is cut short takes five seconds
