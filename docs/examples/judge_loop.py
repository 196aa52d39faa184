"""Write, judge, and write again until it is good."""

from __future__ import annotations

from dataclasses import dataclass

import anyio

from agentrun import Agent, Runner, TResponseInputItem


@dataclass
class Verdict:
    """What the judge says of a draft."""

    good: bool
    advice: str


author = Agent("Author", instructions="Write one line. Follow the advice you get.")
judge = Agent("Judge", instructions="Judge the line.", output_type=Verdict)


async def main() -> None:
    """Print each draft; five rounds and one minute at most."""
    items: list[TResponseInputItem] = [{"role": "user", "content": "A line about a cat."}]
    with anyio.fail_after(60):
        for _ in range(5):
            draft = await Runner.run(author, items)
            print(draft.final_output)
            verdict = (await Runner.run(judge, draft.final_output)).final_output_as(Verdict)
            if verdict.good:
                return
            items = [*draft.to_input_list(), {"role": "user", "content": verdict.advice}]


if __name__ == "__main__":
    anyio.run(main)
