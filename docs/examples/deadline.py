"""Give a run a deadline, and keep what it had done."""

from __future__ import annotations

import anyio

from agentrun import Agent, Runner, capture_run, function_tool


@function_tool
async def search(query: str) -> str:
    """Search the archive.

    Args:
        query: what to look for.
    """
    return f"three results for {query}"


agent = Agent("Researcher", instructions="Search, then write a report.", tools=[search])


async def main(seconds: float = 20) -> None:
    """Print the report, or what there is of it after some seconds."""
    with capture_run() as captured, anyio.move_on_after(seconds):
        result = await Runner.run(agent, "Write a report about tides.")
        print(result.final_output)
        return
    # Here the run has ended: no task, request or tool of it is left.
    done = captured.run_data
    for item in done.new_items if done else []:
        if item.type == "tool_call_output_item":
            print("had found:", item.output)


if __name__ == "__main__":
    anyio.run(main)
