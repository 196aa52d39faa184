"""Runs three-turn runs with parallel tools on one SQLite file, one after another, until it is killed."""

from __future__ import annotations

import itertools
import sys

import anyio

from agentrun import Agent, Runner, SQLiteSession, function_tool
from agentrun.testing import ScriptedModel, assistant_message, function_call


@function_tool
async def look(n: int) -> str:
    """Look."""
    await anyio.sleep(0.001)
    return f"saw {n}"


async def main(path: str) -> None:
    for number in itertools.count():
        calls = [[function_call("look", {"n": n}, call_id=f"{number}-{turn}-{n}") for n in (1, 2)] for turn in (1, 2)]
        model = ScriptedModel([*calls, [assistant_message(f"done {number}", item_id=f"m{number}")]])
        session = SQLiteSession(f"conversation {number % 5}", path)
        await Runner.run(Agent("a", model=model, tools=[look]), f"question {number}", session=session)
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], backend=sys.argv[2])
