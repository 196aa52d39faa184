"""Two tools at once: one async, one sync."""

from __future__ import annotations

import time

import anyio

from agentrun import Agent, Runner, function_tool


@function_tool
async def get_weather(city: str) -> str:
    """Return the weather.

    Args:
        city: the name of the city.
    """
    await anyio.sleep(0.05)
    return f"{city}: sunny"


@function_tool
def get_population(city: str) -> int:
    """Return how many people live in a city.

    Args:
        city: the name of the city.
    """
    time.sleep(0.05)  # a sync tool runs in a worker thread and blocks nobody
    return {"Lisbon": 545_000}.get(city, 0)


agent = Agent("Guide", instructions="Use your tools.", tools=[get_weather, get_population])


async def main() -> None:
    """Print what was called, what came back, and the answer."""
    result = await Runner.run(agent, "Tell me about Lisbon.")
    for item in result.new_items:
        if item.type == "tool_call_item":
            print("calls", item.tool_name)
        elif item.type == "tool_call_output_item":
            print("gets", item.output)
    print(result.final_output)


if __name__ == "__main__":
    anyio.run(main)
