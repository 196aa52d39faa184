"""A manager that asks other agents and keeps the conversation."""

from __future__ import annotations

import anyio

from agentrun import Agent, Runner

portuguese = Agent("Portuguese", instructions="Translate to Portuguese.")
german = Agent("German", instructions="Translate to German.")
manager = Agent(
    "Manager",
    instructions="Use your tools to translate.",
    tools=[
        portuguese.as_tool("to_portuguese", "Translate a text to Portuguese."),
        german.as_tool("to_german", "Translate a text to German."),
    ],
)


async def main() -> None:
    """Print the answer, and how many model calls it took, those of the tools included."""
    result = await Runner.run(manager, "Say good night in Portuguese.")
    print(result.final_output)
    print(result.context_wrapper.usage.requests, "requests")


if __name__ == "__main__":
    anyio.run(main)
