"""What a session holds after a fault: whole turns, and a conversation that goes on."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from agentrun.memory import InMemorySession, SQLiteSession
from agentrun.testing import unpaired


def _harness() -> Any:
    if "faults_harness" not in sys.modules:
        spec = importlib.util.spec_from_file_location("faults_harness", Path(__file__).with_name("harness.py"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules["faults_harness"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["faults_harness"])
    return sys.modules["faults_harness"]


harness = _harness()
unit, Cell, faulty_run = harness.unit, harness.Cell, harness.faulty_run

pytestmark = pytest.mark.real_clock


async def cut_stream(connection: Any, wire: Any, cell: Any) -> None:
    await connection.send(wire.head(cell.content_type), *map(wire.chunk, cell.parts()[: 3 if cell.streamed else 1]))
    await connection.stream.aclose()


async def two_calls_of_one_id(connection: Any, wire: Any, cell: Any) -> None:
    made = [{"name": "add", "arguments": f'{{"a": {at}}}', "call_id": "same"} for at in range(2)]
    await cell.send(connection, cell.calls_body(made))


async def unknown_tool_beside_a_good_one(connection: Any, wire: Any, cell: Any) -> None:
    made = [
        {"name": "add", "arguments": '{"a": 1}', "call_id": "good"},
        {"name": "nope", "arguments": "{}", "call_id": "bad"},
    ]
    await cell.send(connection, cell.calls_body(made))


@pytest.mark.parametrize(
    "act", [unit.fin_at_once, cut_stream, unit.html, two_calls_of_one_id, unknown_tool_beside_a_good_one]
)
@pytest.mark.parametrize(("api", "streamed"), [("responses", True), ("chat", False)])
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_a_session_holds_the_finished_turn_and_the_next_run_goes_on_from_it(
    act: Any, api: str, streamed: bool, kind: str, tmp_path: Path
) -> None:
    session: Any = InMemorySession() if kind == "memory" else SQLiteSession("s", tmp_path / "sessions.db")
    async with faulty_run(Cell(api, streamed), act, session=session) as seen:
        assert seen.error is not None
        items = await session.get_items()
        assert [item.get("type", item.get("role")) for item in items] == [
            "user",
            "function_call",
            "function_call_output",
        ]
        assert not unpaired(items)
        seen.heal()
        result = await seen.go("and now?", **seen.options)
        assert result.final_output == "hello"
        body = seen.server.bodies()[-1]
        assert len(body.get("input", body.get("messages"))) == 4
        assert len(await session.get_items()) == 5
        assert len(seen.calls) == 1
    if kind == "sqlite":
        session.close()
