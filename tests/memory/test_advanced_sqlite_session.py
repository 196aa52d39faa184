"""Branches, turns and statistics of `AdvancedSQLiteSession`."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, cast

import pytest

from agentrun import RunContextWrapper, Usage
from agentrun.extensions.memory import AdvancedSQLiteSession

pytestmark = pytest.mark.real_clock


def user(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


def answer(text: str) -> dict[str, Any]:
    return {"role": "assistant", "type": "message", "content": text}


FIRST = [
    user("what is the weather in Zürich"),
    {"type": "function_call", "call_id": "c1", "name": "get_weather", "arguments": "{}"},
    {"type": "function_call", "call_id": "c2", "name": "get_weather", "arguments": "{}"},
    {"type": "web_search_call", "id": "ws", "status": "completed"},
    {"type": "function_call_output", "call_id": "c1", "output": "sun"},
    {"type": "function_call_output", "call_id": "c2", "output": "sun"},
    answer("sun"),
]
SECOND = [user([{"type": "input_text", "text": "and"}, {"type": "input_text", "text": "tomorrow?"}]), answer("rain")]


class Result:
    """As much of a run's result as the session looks at."""

    def __init__(self, usage: Usage) -> None:
        self.context_wrapper = RunContextWrapper(None, usage)


async def stored(session: AdvancedSQLiteSession) -> None:
    await session.add_items(FIRST)
    await session.add_items(SECOND)


async def test_turns_begin_with_a_message_of_the_user() -> None:
    session = AdvancedSQLiteSession(session_id="a", create_tables=True)
    await session.add_items([{"role": "system", "content": "before"}, {}])
    await stored(session)
    turns = await session.get_conversation_turns()
    assert [(turn["turn"], turn["content"], turn["full_content"]) for turn in turns] == [
        (1, "what is the weather in Zürich", "what is the weather in Zürich"),
        (2, "and tomorrow?", SECOND[0]["content"]),
    ]
    assert set(turns[0]) == {"turn", "content", "full_content", "timestamp", "can_branch"}
    by_turn = await session.get_conversation_by_turns()
    assert by_turn[0] == [{"type": "system", "tool_name": None}, {"type": "unknown", "tool_name": None}]
    assert [one["type"] for one in by_turn[1]][:4] == ["user", "function_call", "function_call", "web_search_call"]
    assert by_turn[1][1]["tool_name"] == "get_weather"
    assert await session.get_tool_usage() == [("get_weather", 2, 1), ("web_search_call", 1, 1)]


async def test_turns_are_found_by_what_the_user_said() -> None:
    session = AdvancedSQLiteSession(session_id="a")
    await stored(session)
    assert [turn["turn"] for turn in await session.find_turns_by_content("ZÜRICH")] == [1]
    assert [turn["turn"] for turn in await session.find_turns_by_content("tomorrow")] == [2]
    assert await session.find_turns_by_content("%") == []
    await session.add_items([user("x" * 300)])
    assert (await session.find_turns_by_content("xxx"))[0]["content"] == "x" * 100 + "..."


async def test_a_branch_holds_what_came_before_its_turn_and_goes_its_own_way() -> None:
    session = AdvancedSQLiteSession(session_id="a")
    await stored(session)
    assert await session.create_branch_from_turn(2, "other") == "other"
    assert session.current_branch_id == "other"
    assert await session.get_items() == FIRST
    await session.add_items([user("and yesterday?"), answer("snow")])
    assert await session.get_items(branch_id="main") == [*FIRST, *SECOND]
    assert await session.get_items() == [*FIRST, user("and yesterday?"), answer("snow")]
    assert await session.get_items(1) == [answer("snow")]
    assert [turn["turn"] for turn in await session.get_conversation_turns()] == [1, 2]
    branches = await session.list_branches()
    assert [(one["branch_id"], one["message_count"], one["user_turns"], one["is_current"]) for one in branches] == [
        ("other", 9, 2, True),
        ("main", 9, 2, False),
    ]
    await session.switch_to_branch("main")
    assert await session.get_items() == [*FIRST, *SECOND]
    assert await session.pop_item() == SECOND[1]
    await session.switch_to_branch("other")
    assert len(await session.get_items()) == 9


async def test_an_empty_branch_is_a_branch() -> None:
    session = AdvancedSQLiteSession(session_id="a")
    await stored(session)
    name = await session.create_branch_from_content("weather")
    assert await session.get_items() == []
    await session.switch_to_branch("main")
    await session.switch_to_branch(name)
    await session.add_items([user("hello")])
    assert await session.get_items() == [user("hello")]


async def test_a_deleted_branch_takes_only_its_own_items(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    session = AdvancedSQLiteSession(session_id="a", db_path=path)
    await stored(session)
    await session.create_branch_from_turn(2, "other")
    await session.add_items([user("gone"), answer("gone")])
    with pytest.raises(ValueError, match="current one"):
        await session.delete_branch("other")
    await session.delete_branch("other", force=True)
    assert session.current_branch_id == "main"
    assert await session.get_items() == [*FIRST, *SECOND]
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM agent_messages").fetchone() == (9,)
    connection.close()


async def test_wrong_branches_and_turns_are_named() -> None:
    session = AdvancedSQLiteSession(session_id="a")
    await stored(session)
    await session.create_branch_from_turn(1, "b")
    await session.switch_to_branch("main")
    for wrong, call in {
        "'main' cannot be deleted": session.delete_branch("main"),
        "there is no branch 'x'; the branches are \\['b', 'main'\\]": session.switch_to_branch("x"),
        "there is no branch 'y'": session.delete_branch("y"),
        "has no turn 9": session.create_branch_from_turn(9),
        "already": session.create_branch_from_turn(1, "b"),
        "already;": session.create_branch_from_turn(1, "main"),
        "contains 'zzz'": session.create_branch_from_content("zzz"),
    }.items():
        with pytest.raises(ValueError, match=wrong):
            await call
    assert session.current_branch_id == "main"


async def test_usage_is_kept_by_turn_and_branch() -> None:
    session = AdvancedSQLiteSession(session_id="a")
    assert await session.get_session_usage() is None
    assert await session.get_turn_usage() == []
    await session.add_items(FIRST)
    result = cast("Any", Result(Usage(requests=2, input_tokens=5, output_tokens=7, total_tokens=12)))
    await session.store_run_usage(result)
    await session.store_run_usage(result)  # the same turn again replaces it
    await session.add_items(SECOND)
    await session.store_run_usage(result)
    counts = {"requests": 2, "input_tokens": 5, "output_tokens": 7, "total_tokens": 12}
    usage = await session.get_turn_usage(1)
    assert {name: usage[name] for name in counts} == counts
    assert usage["output_tokens_details"] == {"reasoning_tokens": 0}
    assert await session.get_turn_usage(9) == {}
    assert [one["user_turn_number"] for one in await session.get_turn_usage()] == [1, 2]
    await session.create_branch_from_turn(2, "other")
    assert await session.get_session_usage("other") is None
    assert await session.get_turn_usage() == []
    sums = {"requests": 4, "input_tokens": 10, "output_tokens": 14, "total_tokens": 24, "total_turns": 2}
    assert await session.get_session_usage() == sums
    assert await session.get_session_usage("main") == sums
    await session.clear_session()
    assert session.current_branch_id == "main"
    assert await session.get_session_usage() is None
    assert await session.list_branches() == []


async def test_two_sessions_in_a_file_know_nothing_of_each_other(tmp_path: Path) -> None:
    one = AdvancedSQLiteSession(session_id="a", db_path=tmp_path / "x.db")
    other = AdvancedSQLiteSession(session_id="b", db_path=tmp_path / "x.db")
    await stored(one)
    await other.add_items([user("hello")])
    await one.create_branch_from_turn(1, "only a")
    assert [branch["branch_id"] for branch in await other.list_branches()] == ["main"]
    with pytest.raises(ValueError, match="no branch 'only a'"):
        await other.switch_to_branch("only a")
    await one.clear_session()
    assert await other.get_items() == [user("hello")]


async def test_a_damaged_item_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    session = AdvancedSQLiteSession(session_id="a", db_path=path)
    await stored(session)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE agent_messages SET message_data = '{' WHERE id >= 8")
    connection.commit()
    connection.close()
    assert await session.get_items() == FIRST
    assert [turn["full_content"] for turn in await session.get_conversation_turns()][1] == ""
    assert await session.pop_item() == FIRST[-1]


async def test_without_tables_nothing_is_created(tmp_path: Path) -> None:
    session = AdvancedSQLiteSession(session_id="a", db_path=tmp_path / "x.db", create_tables=False)
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        await session.get_items()


async def test_tools_are_counted_by_their_whole_names() -> None:
    """SE-9."""
    session = AdvancedSQLiteSession(session_id="names")
    calls: list[Any] = [
        {"type": "function_call", "name": "look_up", "namespace": "crm", "call_id": "1", "arguments": "{}"},
        {"type": "function_call", "name": "look_up", "namespace": "billing", "call_id": "2", "arguments": "{}"},
        {"type": "function_call", "name": "weather", "namespace": "weather", "call_id": "3", "arguments": "{}"},
        {"type": "mcp_call", "name": "read", "server_label": "files", "id": "4", "arguments": "{}"},
        {"type": "mcp_approval_request", "name": "write", "server_label": "files", "id": "9", "arguments": "{}"},
        {"type": "shell_call", "call_id": "5", "action": {"commands": ["ls"]}},
        {"type": "tool_search_call", "id": "6", "arguments": {}},
        {"type": "function_call_output", "call_id": "1", "output": "x"},
    ]
    await session.add_items([{"role": "user", "content": "hi"}, *calls])
    found = {name: count for name, count, _ in await session.get_tool_usage()}
    assert found == {
        "crm.look_up": 1,
        "billing.look_up": 1,
        "weather": 1,
        "files.read": 1,
        "files.write": 1,
        "shell_call": 1,
        "tool_search": 1,
    }
    session.close()


@pytest.mark.parametrize("name", ["", "  ", "\t"])
async def test_a_branch_has_a_name(name: str) -> None:
    session = AdvancedSQLiteSession(session_id="names")
    await session.add_items([{"role": "user", "content": "one"}, {"role": "user", "content": "two"}])
    before = await session.list_branches()
    with pytest.raises(ValueError, match="expected a name"):
        await session.create_branch_from_turn(2, name)
    with pytest.raises(ValueError, match="expected a name"):
        await session.create_branch_from_content("two", name)
    assert await session.list_branches() == before
    session.close()
