"""Who reads a bare stream gets control back when the run has ended, however often it is cancelled."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from agentrun import Agent, Runner, function_tool
from agentrun.testing import ScriptedModel, function_call, run_virtual


@pytest.mark.parametrize("times", [1, 2, 5])
def test_a_reader_cancelled_more_than_once_by_asyncio_still_waits_for_the_end_of_its_run(times: int) -> None:
    happened: list[str] = []

    @function_tool
    async def slow() -> str:
        try:
            await anyio.sleep(60)
            return "slept"
        finally:
            await anyio.sleep(0.5)
            happened.append("cleaned up")

    agent = Agent("Sleeper", model=ScriptedModel([[function_call("slow", {}, call_id="1")], "done"]), tools=[slow])

    async def read() -> None:
        async for _ in Runner.run_streamed(agent, "Sleep.").stream_events():
            pass

    async def main() -> None:
        reader = asyncio.create_task(read())
        await asyncio.sleep(1)
        for _ in range(times):
            reader.cancel()
            await asyncio.sleep(0.01)
        await asyncio.wait([reader])
        happened.append("reader went on")
        assert reader.cancelled()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main, backend="asyncio")
    assert happened == ["cleaned up", "reader went on"]
