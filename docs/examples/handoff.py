"""A front desk that hands over to a specialist, with a reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import anyio

from agentrun import Agent, RunContextWrapper, Runner, handoff


@dataclass
class Reason:
    """Why the desk hands over; the model fills it in."""

    reason: str


async def note(context: RunContextWrapper[Any], given: Reason) -> None:
    """Print the reason."""
    print("handed over because:", given.reason)


refunds = Agent("Refunds", handoff_description="Pays money back.", instructions="Arrange refunds.")
desk = Agent(
    "Desk",
    instructions="Hand over to whoever can help.",
    handoffs=[handoff(refunds, on_handoff=note, input_type=Reason)],
)


async def main() -> None:
    """Print who answers, and what."""
    result = await Runner.run(desk, "My kettle arrived broken.")
    print(f"{result.last_agent.name}: {result.final_output}")


if __name__ == "__main__":
    anyio.run(main)
