"""What every contract test uses: one way to run an agent that is `Runner.run` and `Runner.run_streamed` in turn."""

from __future__ import annotations

from typing import Any

import pytest

from agentrun import RunItemStreamEvent, Runner, RunResult, RunResultStreaming


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "covers(*ids): the behaviours of tests/contract/requirements.py a test proves")


class Ran:
    """A run that has ended: its result, and its events where it had any."""

    def __init__(self, result: RunResult | RunResultStreaming, events: list[Any] | None) -> None:
        self.result: Any = result
        self.events = events

    def __getattr__(self, name: str) -> Any:
        return getattr(self.result, name)

    @property
    def items(self) -> list[str]:
        """The types of the new items, in order."""
        return [item.type for item in self.result.new_items]

    @property
    def item_events(self) -> list[str] | None:
        """The names of the item events, and `agent:NAME` for each change of agent; None for a plain run."""
        return None if self.events is None else event_names(self.events)


def event_names(events: list[Any]) -> list[str]:
    """Return the names of item events, `agent:NAME` for changes of agent; events of the model are left out."""
    names: list[str] = []
    for event in events:
        if isinstance(event, RunItemStreamEvent):
            names.append(event.name)
        elif event.type == "agent_updated_stream_event":
            names.append(f"agent:{event.new_agent.name}")
    return names


class RunBoth:
    """Runs an agent, plain or streamed, and hands on what comes out, exceptions too."""

    def __init__(self, streamed: bool) -> None:
        self.streamed = streamed
        self.events: list[Any] = []
        """The events of the last streamed run, also of one that raised."""

    async def __call__(self, agent: Any, input: Any = "hi", **options: Any) -> Ran:
        self.events = []
        if not self.streamed:
            return Ran(await Runner.run(agent, input, **options), None)
        async with Runner.run_streamed(agent, input, **options) as result:
            async for event in result.stream_events():
                self.events.append(event)
        return Ran(result, self.events)

    @property
    def item_events(self) -> list[str] | None:
        """The item events of the last run, as `Ran.item_events`."""
        return event_names(self.events) if self.streamed else None


@pytest.fixture(params=["plain", "streamed"])
def run(request: pytest.FixtureRequest) -> RunBoth:
    """Run an agent; the test runs once with `Runner.run` and once with `Runner.run_streamed`."""
    return RunBoth(request.param == "streamed")
