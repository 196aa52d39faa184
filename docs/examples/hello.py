"""Ask an agent one question."""

from __future__ import annotations

import anyio

from agentrun import Agent, Runner

agent = Agent("Assistant", instructions="Answer in one sentence.")


async def main() -> None:
    """Print the answer."""
    result = await Runner.run(agent, "What is structured concurrency?")
    print(result.final_output)


if __name__ == "__main__":
    anyio.run(main)
