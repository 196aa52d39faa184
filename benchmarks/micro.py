"""Micro benchmarks of the parts we own, in counts that a busy machine does not change.

    python -m benchmarks.micro                   counts, beside the recorded ones
    python -m benchmarks.micro --check           the same; fails where a count grew by more than the tolerance
    python -m benchmarks.micro --record          keeps the counts of this Python version in baselines.json
    python -m benchmarks.micro --seconds         CPU time per unit instead, of the best of several repeats
    python -m benchmarks.micro --instructions    machine instructions per unit, under valgrind (minutes)

Per unit (an event, a turn, a call) there are:

- `opcodes`: bytecode instructions of all Python code that runs, our own, AnyIO's and the event loop's
- `calls`: calls of Python functions and of functions in C
- `peak_bytes`: how far the memory rises above what it was before, while results are kept
- `kept_bytes`: what is left of that when the work is done and its results are dropped
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import pathlib
import re
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any

import anyio

from benchmarks import floors, wire

BASELINES = pathlib.Path(__file__).with_name("baselines.json")
VERSION = f"{sys.implementation.name}-{sys.version_info.major}.{sys.version_info.minor}"
TOLERANCE = {"opcodes": 0.08, "calls": 0.08, "peak_bytes": 0.15, "kept_bytes": 0.25}
"""How much a count may grow. Peaks vary with when Python resizes its tables."""
SLACK = {"opcodes": 4.0, "calls": 2.0, "peak_bytes": 256.0, "kept_bytes": 256.0}
"""The same in absolute numbers, for counts that are near zero."""
UNITS = 64
"""How many units a case does at once, where it does many."""

Work = Callable[[], Any]
Case = Callable[[], tuple[Work, int]]
"""Returns what is counted, sync or async, and how many units it is."""


def _deltas(chunks: wire.Wire) -> list[bytes]:
    block = chunks.delta.split(b"\r\n", 1)[1][:-2]  # without the frame of the HTTP chunk
    return [block] * UNITS


def _block(chunk: bytes) -> bytes:
    return chunk.split(b"\r\n", 1)[1][:-2]


def sse_parser() -> tuple[Work, int]:
    """Server-sent events out of blocks that hold one event each."""
    from agentrun.models._limits import Limits
    from agentrun.models._sse import SSEParser

    parser = SSEParser(Limits())
    blocks = _deltas(wire.responses_wire())

    def work() -> Any:
        return [parser.feed(block) for block in blocks]

    return work, UNITS


def _received(chunks: list[bytes]) -> list[list[tuple[str, str]]]:
    from agentrun.models._limits import Limits
    from agentrun.models._sse import SSEParser

    parser = SSEParser(Limits())
    return [parser.feed(_block(chunk)) for chunk in chunks]


def decode_responses() -> tuple[Work, int]:
    """Deltas of the Responses API out of server-sent events."""
    from agentrun.models._limits import Limits
    from agentrun.models.responses_wire import ResponsesStream

    reply = wire.responses_wire()
    stream = ResponsesStream(Limits())
    for events in _received(reply.first):
        stream.events(events)
    received = _received([reply.delta] * UNITS)

    def work() -> Any:
        return [stream.events(events) for events in received]

    return work, UNITS


def decode_chat() -> tuple[Work, int]:
    """Deltas of Chat Completions out of server-sent events."""
    from agentrun.models._limits import Limits
    from agentrun.models.chat_wire import ChatStream

    reply = wire.chat_wire()
    received = _received([*reply.first, *[reply.delta] * UNITS])

    def work() -> Any:
        stream = ChatStream(Limits())
        return [stream.events(events) for events in received]

    return work, UNITS


def sink_hop() -> tuple[Work, int]:
    """An event from the model's side to the reader."""
    from agentrun._codec import structure_event
    from agentrun._run.sink import StreamSink

    place = {"item_id": "m", "output_index": 0, "content_index": 0, "logprobs": [], "sequence_number": 1}
    event = structure_event({"type": "response.output_text.delta", "delta": "token", **place})

    async def work() -> Any:
        sink = StreamSink(256)
        for _ in range(UNITS):
            sink.send_raw_nowait(event)
        found = [await sink.consumer.receive() for _ in range(UNITS)]
        sink.close()
        sink.consumer.close()
        return found

    return work, UNITS


def history_append() -> tuple[Work, int]:
    """An item at the end of a history that is long already."""
    from agentrun._history import History

    items: list[Any] = []
    for number in range(UNITS // 2):
        call = wire.call(number)
        items += [call, {"type": "function_call_output", "call_id": call["call_id"], "output": "k"}]
    old = [wire.message() | {"id": f"m{number}"} for number in range(200)]

    def work() -> Any:
        history = History(old)
        history.extend(items)
        return history

    return work, UNITS


def encode_history() -> tuple[Work, int]:
    """An item of a request whose history was sent before."""
    from agentrun._history import History
    from agentrun._settings import ModelSettings
    from agentrun.models.responses_wire import request_body

    history = History([{"role": "user", "content": f"question {number}"} for number in range(UNITS)])
    settings = ModelSettings()

    def work() -> Any:
        return request_body(
            "bench",
            "You help.",
            history.as_input(),
            settings,
            [],
            None,
            [],
            previous_response_id=None,
            conversation_id=None,
            prompt=None,
            stream=True,
        )

    return work, UNITS


def _trip(city: str, days: int, budget: float = 100.0, tags: list[str] | None = None) -> str:
    """Plan a trip.

    Args:
        city: where to.
        days: how long.
        budget: in euros.
        tags: what matters.
    """
    return f"{city} {days} {budget} {tags}"


def structure_arguments() -> tuple[Work, int]:
    """The arguments of a tool call, from JSON to values."""
    from agentrun.function_schema import function_schema

    schema = function_schema(_trip)
    text = json.dumps({"city": "Oslo", "days": 3, "budget": 250.5, "tags": ["sea", "quiet"]})

    def work() -> Any:
        return [schema.structure_arguments(text) for _ in range(UNITS)]

    return work, UNITS


def declare_tool() -> tuple[Work, int]:
    """A function tool, made from a function: schema and all."""
    from agentrun import function_tool

    def work() -> Any:
        return function_tool(_trip)

    return work, 1


def _agentrun() -> Any:
    from benchmarks.contestants.agentrun import AgentRun

    return AgentRun()


def turn() -> tuple[Work, int]:
    """A run of one turn."""
    return _agentrun().one_turn(streamed=False), 1


def turn_streamed() -> tuple[Work, int]:
    """A streamed run of one turn with three deltas."""
    return _agentrun().one_turn(streamed=True), 1


def turn_in_block() -> tuple[Work, int]:
    """The same in an `async with` block."""
    return _agentrun().turn_in_block(), 1


def tool_turn() -> tuple[Work, int]:
    """A turn that calls one tool, in a run of 16 such turns and the answer."""
    return _agentrun().tool_turns(16, 1), 16


def tool_call() -> tuple[Work, int]:
    """A call beside seven others, in a run of one turn with eight calls and the answer."""
    return _agentrun().tool_turns(1, 8), 8


def floor_streamed() -> tuple[Work, int]:
    """The nursery, scopes and stream of `turn-in-block`, empty."""
    return lambda: floors.streamed_turn(4), 1


def floor_tools() -> tuple[Work, int]:
    """The nurseries and scopes of `tool-call`, empty."""
    return lambda: floors.tool_turns(1, 8), 8


CASES: dict[str, Case] = {
    case.__name__.replace("_", "-"): case
    for case in (
        sse_parser,
        decode_responses,
        decode_chat,
        sink_hop,
        history_append,
        encode_history,
        structure_arguments,
        declare_tool,
        turn,
        turn_streamed,
        turn_in_block,
        tool_turn,
        tool_call,
        floor_streamed,
        floor_tools,
    )
}
ON_TRIO_TOO = (
    "sink-hop",
    "turn",
    "turn-streamed",
    "turn-in-block",
    "tool-turn",
    "tool-call",
    "floor-streamed",
    "floor-tools",
)


async def _done(work: Work) -> Any:
    found = work()
    return await found if isinstance(found, Awaitable) else found


class Counter:
    """Counts bytecode instructions and calls of whatever runs between `start` and `stop`, except itself."""

    def __init__(self) -> None:
        self.opcodes = 0
        self.calls = 0

    def _trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        frame.f_trace_lines = False
        frame.f_trace_opcodes = True
        return self._opcode

    def _opcode(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "opcode":
            self.opcodes += 1
        return self._opcode

    def _profile(self, frame: FrameType, event: str, argument: Any) -> None:
        if event in ("call", "c_call"):
            self.calls += 1

    async def count(self, work: Work) -> tuple[int, int]:
        """Return the instructions and the calls of `work`; they are counted in two runs."""
        sys.settrace(self._trace)
        try:
            await _done(work)
        finally:
            sys.settrace(None)
        _settle_order()
        sys.setprofile(self._profile)
        try:
            await _done(work)
        finally:
            sys.setprofile(None)
        return self.opcodes, self.calls


def _settle_order() -> None:
    """Make trio run tasks in the same order each time; it shuffles them on purpose."""
    if "trio" in sys.modules:
        from trio._core import _run

        _run._ALLOW_DETERMINISTIC_SCHEDULING = True
        _run._r.seed(0)


async def counts(name: str) -> dict[str, float]:
    """Return the counts of a case, per unit."""
    work, units = CASES[name]()
    for _ in range(3):  # caches and specialised bytecode
        await _done(work)
    gc.collect()
    gc.disable()
    _settle_order()
    try:
        opcodes, calls = await Counter().count(work)
        tracemalloc.start()
        try:
            await _done(work)
            gc.collect()
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            _settle_order()
            result = await _done(work)
            _, peak = tracemalloc.get_traced_memory()
            del result
            gc.collect()
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    finally:
        gc.enable()
    found = {"opcodes": opcodes, "calls": calls, "peak_bytes": peak - before, "kept_bytes": max(0, after - before)}
    return {what: round(number / units, 1) for what, number in found.items()}


async def seconds(name: str) -> dict[str, float]:
    """Return CPU microseconds of a case per unit, the best of several repeats."""
    work, units = CASES[name]()
    best = float("inf")
    for _ in range(15):
        began = time.process_time_ns()
        for _ in range(max(1, 200 // units)):
            await _done(work)
        best = min(best, (time.process_time_ns() - began) / max(1, 200 // units) / units / 1000)
    return {"cpu_us": round(best, 2)}


async def repeated(name: str, times: int) -> None:
    """Run a case so often; for an instruction counter around the process."""
    work, _ = CASES[name]()
    gc.disable()
    for _ in range(times):
        await _done(work)


def instructions(name: str, backend: str) -> dict[str, float]:
    """Return machine instructions of a case per unit: those of 30 repeats less those of 10."""
    totals: list[int] = []
    for times in (10, 30):
        done = subprocess.run(
            [
                *("valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"),
                *(sys.executable, "-m", "benchmarks.micro", name, "--backends", backend, "--repeat", str(times)),
            ],
            cwd=BASELINES.parent.parent,
            env={**os.environ, "PYTHONHASHSEED": "0"},
            check=True,
            capture_output=True,
            text=True,
        )
        found = re.search(r"I\s+refs:\s+([\d,]+)", done.stderr)
        assert found is not None, done.stderr
        totals.append(int(found[1].replace(",", "")))
    return {"instructions": round((totals[1] - totals[0]) / 20 / CASES[name]()[1])}


def recorded() -> dict[str, dict[str, float]]:
    """Return the counts recorded for this version of Python; none for a version nobody recorded."""
    found: dict[str, dict[str, dict[str, float]]] = json.loads(BASELINES.read_text()) if BASELINES.exists() else {}
    return found.get(VERSION, {})


def grown(found: dict[str, float], baseline: dict[str, float]) -> list[str]:
    """Return what grew by more than the tolerance, in words."""
    return [
        f"{what} {baseline[what]:g} -> {number:g}"
        for what, number in found.items()
        if what in baseline and number > baseline[what] * (1 + TOLERANCE[what]) + SLACK[what]
    ]


def _labels(names: list[str], backends: list[str]) -> list[tuple[str, str, str]]:
    """Return (label, case, backend) of what is to be measured."""
    found = [(name, name, "asyncio") for name in names if "asyncio" in backends]
    if "trio" in backends:
        found += [(f"{name} (trio)", name, "trio") for name in names if name in ON_TRIO_TOO]
    return found


def main() -> int:
    """Parse the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.micro", description=__doc__)
    parser.add_argument("cases", nargs="*", default=list(CASES), metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--seconds", action="store_true")
    parser.add_argument("--instructions", action="store_true")
    parser.add_argument("--repeat", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--backends", nargs="+", default=["asyncio", "trio"], choices=["asyncio", "trio"])
    given = parser.parse_args()
    if unknown := set(given.cases) - set(CASES):
        parser.error(f"unknown case(s) {sorted(unknown)}; known are {list(CASES)}")
    baselines = recorded()
    results: dict[str, dict[str, float]] = {}
    failed = False
    for label, name, backend in _labels(given.cases, given.backends):
        if given.repeat:
            anyio.run(repeated, name, given.repeat, backend=backend)
            continue
        if given.instructions:
            print(label, instructions(name, backend), flush=True)
            continue
        found = anyio.run(seconds if given.seconds else counts, name, backend=backend)
        results[label] = found
        baseline = baselines.get(label, {})
        print(f"{label:24}", *(f"{what}={number:g} ({baseline.get(what, '-')})" for what, number in found.items()))
        if problems := grown(found, baseline):
            failed = True
            print(f"    grew: {', '.join(problems)}")
    if given.record:
        everything = json.loads(BASELINES.read_text()) if BASELINES.exists() else {}
        everything[VERSION] = {**baselines, **results}
        BASELINES.write_text(json.dumps(everything, indent=1, sort_keys=True) + "\n")
    elif not baselines and not given.repeat:
        print(f"nothing is recorded for {VERSION}: nothing was compared; --record keeps these counts")
    return int(failed and given.check)


if __name__ == "__main__":
    sys.exit(main())
