"""Print an answer as it is written."""

from __future__ import annotations

import anyio

from agentrun import Agent, Runner

agent = Agent("Storyteller", instructions="Tell short stories.")


async def main() -> None:
    """Print the story word by word."""
    async with Runner.run_streamed(agent, "A story about a lighthouse, please.") as result:
        async for event in result.stream_events():
            if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
                print(event.data.delta, end="", flush=True)
    print()


if __name__ == "__main__":
    anyio.run(main)
