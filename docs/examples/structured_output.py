"""Get a value instead of text."""

from __future__ import annotations

from dataclasses import dataclass

import anyio

from agentrun import Agent, Runner


@dataclass
class Event:
    """An entry of a calendar."""

    title: str
    day: str
    guests: list[str]


agent = Agent("Calendar", instructions="Find the event in the text.", output_type=Event)


async def main() -> None:
    """Print the fields of the event."""
    result = await Runner.run(agent, "Ada and Grace come to dinner on Friday.")
    event = result.final_output_as(Event)
    print(f"{event.title} on {event.day} with {' and '.join(event.guests)}")


if __name__ == "__main__":
    anyio.run(main)
