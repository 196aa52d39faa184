"""One run in a fresh process: prints a line at the first token. `python -m benchmarks.cold NAME BACKEND SERVER`."""

from __future__ import annotations

import sys
import time

import anyio

from benchmarks.worker import make


async def main(name: str, server: str) -> None:
    """Make the contestant and its client, and say when the first token came."""
    contestant = make(name)
    await contestant.open("responses", f"{server}/deltas=3/v1")
    first = 0

    def note(text: str) -> None:
        nonlocal first
        if not first:
            first = time.monotonic_ns()

    await contestant.stream(note)
    await contestant.close()
    print(first, flush=True)


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[3], backend=sys.argv[2])
