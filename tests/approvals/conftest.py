"""Every test of this folder runs plain and streamed, and resumes both live and stored states."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import pytest

from agentrun import Agent, RunItemStreamEvent, Runner, RunState

Stored: TypeAlias = "Callable[[Agent[Any], RunState[Any]], Awaitable[RunState[Any]]]"


class Ran:
    """Runs an agent, plain or streamed, to its end."""

    def __init__(self, streamed: bool) -> None:
        self.streamed = streamed
        self.events: list[Any] = []
        """The events of the last streamed run, also of one that raised."""

    async def __call__(self, agent: Agent[Any], input: Any = "hi", **options: Any) -> Any:
        self.events = []
        if not self.streamed:
            return await Runner.run(agent, input, **options)
        async with Runner.run_streamed(agent, input, **options) as result:
            async for event in result.stream_events():
                self.events.append(event)
        return result

    @property
    def names(self) -> list[str]:
        """The names of the item events and `agent:NAME` for each change of agent."""
        names: list[str] = []
        for event in self.events:
            if isinstance(event, RunItemStreamEvent):
                names.append(event.name)
            elif event.type == "agent_updated_stream_event":
                names.append(f"agent:{event.new_agent.name}")
        return names


@pytest.fixture(params=["plain", "streamed"])
def run(request: pytest.FixtureRequest) -> Ran:
    """Run an agent; the test runs once with each entry point."""
    return Ran(request.param == "streamed")


async def live(agent: Agent[Any], state: RunState[Any]) -> RunState[Any]:
    return state


async def through_json(agent: Agent[Any], state: RunState[Any]) -> RunState[Any]:
    """The state as another process reads it from its database."""
    text = state.to_string()
    again = await RunState.from_string(agent, text)
    assert json.loads(again.to_string()) == json.loads(text), "what was read is written the same way again"
    return again


@pytest.fixture(params=["live", "stored"])
def stored(request: pytest.FixtureRequest) -> Stored:
    """Keep a state: as the object, or as JSON text and back."""
    return through_json if request.param == "stored" else live
