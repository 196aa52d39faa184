"""The rows of the table: what each measures, with which numbers, and which ratio agentrun aims at."""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple

FLOOR: Final = "bare-httpx"
LEADER: Final = "openai-agents"


class Measurement(NamedTuple):
    """One row of `measure.ROWS` with its arguments; several rows of the table may come from it."""

    kind: str
    full: dict[str, Any]
    quick: dict[str, Any]
    rounds: int = 3
    """How often the contestants take turns."""
    quick_rounds: int = 1
    """The same with `--quick`: more than once where a turn takes a tenth of a second, which one hiccup spoils."""
    fresh: bool = False
    """Whether it wants a process of its own, as memory does."""
    serves: bool = False
    """Whether it needs the model server."""


class Row(NamedTuple):
    """A line of the table."""

    measurement: str
    value: str
    title: str
    against: Literal["openai-agents", "bare-httpx"] | None = None
    """Whom the goal is a ratio to; None for a goal in the row's own unit."""
    goal: float | None = None
    """Largest ratio, or largest value, that is aimed at on asyncio; on trio 1.5 times as much, where it is a time."""
    is_time: bool = True


_STREAM = {"deltas": 4000, "repeat": 1}
_STREAM_QUICK = {"deltas": 1500, "repeat": 1}
_CANCEL = {"repeat": 20}

MEASUREMENTS: dict[str, Measurement] = {
    "import": Measurement("import", {}, {}, 9, 3, fresh=True),
    "cold": Measurement("cold", {}, {}, 3, fresh=True, serves=True),
    "run": Measurement("one_turn", {"streamed": False, "repeat": 1000}, {"streamed": False, "repeat": 300}, 7, 3),
    "run-streamed": Measurement(
        "one_turn", {"streamed": True, "repeat": 1000}, {"streamed": True, "repeat": 300}, 7, 3
    ),
    "run-in-block": Measurement("turn_in_block", {"repeat": 1000}, {"repeat": 300}, 7, 3),
    "tools": Measurement(
        "tools", {"turns": 10, "calls": 4, "repeat": 60}, {"turns": 10, "calls": 4, "repeat": 8}, 7, 3
    ),
    "responses": Measurement(
        "stream", {"api": "responses", **_STREAM}, {"api": "responses", **_STREAM_QUICK}, 7, 3, serves=True
    ),
    "chat": Measurement("stream", {"api": "chat", **_STREAM}, {"api": "chat", **_STREAM_QUICK}, 7, 3, serves=True),
    "first-delta": Measurement(
        "first_delta", {"api": "responses", "repeat": 100}, {"api": "responses", "repeat": 30}, 3, serves=True
    ),
    "live-200": Measurement(
        "live",
        {"runs": 200, "deltas": 10, "interval": 0.005},
        {"runs": 200, "deltas": 10, "interval": 0.005},
        3,
        fresh=True,
        serves=True,
    ),
    "live-1000": Measurement(
        "live",
        {"runs": 1000, "deltas": 10, "interval": 0.005},
        {"runs": 1000, "deltas": 10, "interval": 0.005},
        1,
        fresh=True,
        serves=True,
    ),
    "growth-tools": Measurement(
        "growth", {"kind": "tools", "turns": 200, "repeat": 3}, {"kind": "tools", "turns": 100, "repeat": 1}, 3
    ),
    "growth-conversation": Measurement(
        "growth",
        {"kind": "conversation", "turns": 200, "repeat": 3},
        {"kind": "conversation", "turns": 100, "repeat": 1},
        3,
    ),
    "cancel-stream": Measurement(
        "cancel_stream", {"interval": 0.001, **_CANCEL}, {"interval": 0.001, "repeat": 5}, 3, serves=True
    ),
    "cancel-tools": Measurement("cancel_tools", {"calls": 8, **_CANCEL}, {"calls": 8, "repeat": 5}, 3),
    "slow-consumer": Measurement(
        "slow_consumer",
        {"deltas": 100_000, "seconds": 4},
        {"deltas": 100_000, "seconds": 0.6},
        1,
        fresh=True,
        serves=True,
    ),
}
LONG = frozenset({"live-1000"})
"""What `--quick` leaves out."""

TABLE: list[Row] = [
    Row("import", "cpu_ms", "import, CPU ms", LEADER, 0.07),
    Row("cold", "first_ms", "process start to first token, ms", LEADER, 0.15),
    Row("run", "cpu_us", "one turn in process, `run`, CPU µs", LEADER, 0.12),
    Row("run-streamed", "cpu_us", "one turn, `run_streamed`, 3 deltas, CPU µs", LEADER, 0.14),
    Row("run-in-block", "cpu_us", "the same in an `async with` block, CPU µs", LEADER, 0.14),
    Row("tools", "cpu_ms", "10 turns of 4 parallel tools, CPU ms", LEADER, 0.06),
    Row("responses", "cpu_us", "CPU per streamed Responses delta over HTTP, µs", FLOOR, 1.3),
    Row("chat", "cpu_us", "CPU per streamed Chat Completions delta over HTTP, µs", FLOOR, 1.35),
    Row("first-delta", "p50_us", "request to first delta, p50, µs", FLOOR, 1.3),
    Row("first-delta", "p99_us", "request to first delta, p99, µs"),
    Row("first-delta", "cpu_us", "a whole run of 3 deltas over HTTP, CPU µs"),
    Row("live-200", "cpu_s", "200 live streams, CPU s", LEADER, 0.25),
    Row("live-200", "wall_s", "200 live streams, wall s"),
    Row("live-200", "lag_p99_ms", "200 live streams, event lag p99, ms"),
    Row("live-200", "kb_per_run", "memory per live stream (200), KB", LEADER, 0.38),
    Row("live-200", "failed", "200 live streams, failed", None, 0, False),
    Row("live-1000", "cpu_s", "1,000 live streams, CPU s", LEADER, 0.15),
    Row("live-1000", "wall_s", "1,000 live streams, wall s"),
    Row("live-1000", "lag_p99_ms", "1,000 live streams, event lag p99, ms", LEADER, 0.1),
    Row("live-1000", "kb_per_run", "memory per live stream (1,000), KB", LEADER, 0.38),
    Row("live-1000", "failed", "1,000 live streams, failed", None, 0, False),
    Row("growth-tools", "exponent", "exponent of total time, one run of 200 tool turns", None, 1.05, False),
    Row("growth-tools", "first_us", "one of the first tool turns, CPU µs"),
    Row("growth-tools", "last_us", "one of the last tool turns, CPU µs"),
    Row("growth-conversation", "exponent", "exponent of total time, a conversation of 200 runs", None, 1.05, False),
    Row("growth-conversation", "first_us", "one of the first runs of the conversation, CPU µs"),
    Row("growth-conversation", "last_us", "one of the last runs of the conversation, CPU µs"),
    Row("cancel-stream", "all_us", "cancel in mid-stream to all tasks done, µs", FLOOR, 1.6),
    Row("cancel-stream", "missed", "cancels in mid-stream that did not take", None, 0, False),
    Row("cancel-stream", "left", "tasks left after a cancel in mid-stream", None, 0, False),
    Row("cancel-stream", "open_after", "streams still open after a cancel", None, 0, False),
    Row("cancel-tools", "all_us", "cancel with 8 tools in flight to all tasks done, µs", FLOOR, 2.5),
    Row("cancel-tools", "left", "tasks left after a cancel with 8 tools", None, 0, False),
    Row("slow-consumer", "taken", "deltas taken off the wire while the consumer sleeps", is_time=False),
    Row("slow-consumer", "growth_full_mb", "consumer asleep, 100k deltas: growth, MB", None, 1, False),
]
