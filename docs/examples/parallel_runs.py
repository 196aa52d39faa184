"""Ask several agents at once and take the first answer."""

from __future__ import annotations

import anyio

from agentrun import Agent, Runner

agents = [Agent("Quick", instructions="Be quick."), Agent("Thorough", instructions="Be thorough.")]


async def main() -> None:
    """Print the answer of whoever is first; the other run is cancelled and has ended by then."""
    answers: list[str] = []

    async def ask(agent: Agent, scope: anyio.CancelScope) -> None:
        result = await Runner.run(agent, "How deep is the sea?")
        answers.append(f"{agent.name}: {result.final_output}")
        scope.cancel()

    async with anyio.create_task_group() as nursery:
        for agent in agents:
            nursery.start_soon(ask, agent, nursery.cancel_scope)
    print(answers[0])


if __name__ == "__main__":
    anyio.run(main)
