"""Every test of this folder runs with `Runner.run` and with `Runner.run_streamed`."""

from __future__ import annotations

from typing import Any

import pytest

from agentrun import Agent, Runner


class Ran:
    """Runs an agent, plain or streamed, to its end."""

    def __init__(self, streamed: bool) -> None:
        self.streamed = streamed

    async def __call__(self, agent: Agent[Any], input: Any = "hi", **options: Any) -> Any:
        if not self.streamed:
            return await Runner.run(agent, input, **options)
        async with Runner.run_streamed(agent, input, **options) as result:
            async for _ in result.stream_events():
                pass
        return result


@pytest.fixture(params=["plain", "streamed"])
def run(request: pytest.FixtureRequest) -> Ran:
    """Run an agent; the test runs once with each entry point."""
    return Ran(request.param == "streamed")
