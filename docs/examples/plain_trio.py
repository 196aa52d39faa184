"""agentrun in a program that knows only Trio."""

from __future__ import annotations

import trio

from agentrun import Agent, Runner

agent = Agent("Assistant", instructions="Be brief.")


async def ask(question: str, answers: trio.MemorySendChannel[str]) -> None:
    """Send the answer to one question, if it comes within ten seconds."""
    with trio.move_on_after(10):
        result = await Runner.run(agent, question)
        await answers.send(result.final_output)


async def main() -> list[str]:
    """Ask two questions at once, and return the answers as they come."""
    send_answers, answers = trio.open_memory_channel[str](2)
    async with send_answers, trio.open_nursery() as nursery:
        nursery.start_soon(ask, "What is a nursery?", send_answers)
        nursery.start_soon(ask, "What is a cancel scope?", send_answers)
    return [answer async for answer in answers]


if __name__ == "__main__":
    print(trio.run(main))
