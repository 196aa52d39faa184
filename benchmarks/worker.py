"""The process of one contestant: takes rows from standard input, one JSON line each, and answers with one line each.

python -m benchmarks.worker openai-agents asyncio
{"row": "one_turn", "streamed": false, "repeat": 100}
-> {"ok": {"cpu_us": 1049.2}}
"""

from __future__ import annotations

import gc
import importlib
import json
import sys
import traceback
from typing import Any

import anyio

from benchmarks.measure import ROWS

MODULES = {
    "agentrun": "agentrun",
    "bare-httpx": "bare_httpx",
    "openai-agents": "openai_agents",
    "pydantic-ai": "pydantic_ai",
    "langgraph": "langgraph",
}
"""Contestants by name: the module in `benchmarks.contestants` that makes each."""


def make(name: str) -> Any:
    """Return the contestant called `name`."""
    return importlib.import_module(f"benchmarks.contestants.{MODULES[name]}").make()


def serve(name: str, backend: str) -> None:
    """Measure rows until standard input ends."""
    contestant = make(name)
    print(json.dumps({"ok": "ready"}), flush=True)
    for line in sys.stdin:
        asked: dict[str, Any] = json.loads(line)
        measure = ROWS[asked.pop("row")]

        async def run(measure: Any = measure, asked: Any = asked) -> Any:
            return await measure(contestant, **asked)

        gc.collect()
        try:
            answer = {"ok": anyio.run(run, backend=backend)}
        except Exception as exc:  # noqa: BLE001 - what a contestant cannot do is a result too
            traceback.print_exc()
            answer = {"failed": f"{type(exc).__name__}: {exc}"[:300]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2])
