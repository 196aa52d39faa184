"""`ToolOutputTrimmer`: old outputs get short, recent ones stay, and nothing that was given is changed."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from agentrun import Agent, CallModelData, ModelInputData, RunConfig, Runner, function_tool
from agentrun.extensions import ToolOutputTrimmer
from agentrun.testing import ScriptedModel, function_call


def user(text: str = "hi") -> dict[str, Any]:
    return {"role": "user", "content": text}


def called(output: Any, name: str = "look", call_id: str = "c1", **more: Any) -> list[dict[str, Any]]:
    return [
        {"type": "function_call", "call_id": call_id, "name": name, "arguments": "{}", **more},
        {"type": "function_call_output", "call_id": call_id, "output": output},
    ]


def trim(items: list[dict[str, Any]], **settings: Any) -> list[dict[str, Any]]:
    data = CallModelData(ModelInputData(items, "be kind"), Agent(name="a"), None)
    before = copy.deepcopy(items)
    result = ToolOutputTrimmer(**settings)(data)
    assert items == before
    assert result.instructions == "be kind"
    return result.input


LONG = "x" * 1000
OLD = [user(), *called(LONG), user(), user()]


def test_a_long_output_of_an_old_turn_becomes_its_beginning() -> None:
    output = trim(OLD)[2]["output"]
    assert output.startswith("[Trimmed: look output, 1000 chars, preview 200]")
    assert output.endswith("\n" + "x" * 200 + "...")


@pytest.mark.parametrize(
    "items",
    [
        [user(), *called(LONG), user()],
        [user(), *called("x" * 500), user(), user()],
        [user(), {"type": "message", "role": "assistant", "content": LONG}, user(), user()],
        called(LONG),
    ],
    ids=["recent", "short", "no tool", "no user"],
)
def test_what_is_recent_or_short_or_of_no_tool_stays(items: list[dict[str, Any]]) -> None:
    assert trim(items) == items


def test_an_output_that_would_not_get_shorter_stays() -> None:
    assert trim(OLD, max_output_chars=999, preview_chars=999) == OLD


@pytest.mark.parametrize("names", ["look", ["look"], frozenset({"crm.look"})])
def test_a_tool_is_named_with_its_namespace_or_without(names: Any) -> None:
    items = [user(), *called(LONG, namespace="crm"), user(), user()]
    assert "crm.look" in trim(items, trimmable_tools=names)[2]["output"]


def test_tools_that_are_not_named_keep_their_outputs() -> None:
    assert trim(OLD, trimmable_tools={"other"}) == OLD


def test_an_output_without_its_call_is_of_an_unknown_tool() -> None:
    items = [user(), called(LONG)[1], user(), user()]
    assert "unknown_tool" in trim(items)[1]["output"]


def test_parts_become_a_text_that_names_what_was_dropped() -> None:
    parts = [{"type": "input_text", "text": "seen"}, {"type": "input_image", "image_url": "data:" + LONG}]
    output = trim([user(), *called(parts), user(), user()])[2]["output"]
    assert output == "[Trimmed: look output, payload 1009, preview 4, dropped 1 input_image]\nseen"


@pytest.mark.parametrize(
    ("room", "expected"),
    [
        (90, "[Trimmed: look output, payload 1100, preview 9, dropped 1 input_image]\n" + "s" * 9 + "..."),
        (40, "[Trimmed: input_image]\n" + "s" * 9 + "..."),
        (20, "[Trimmed]\n" + "s" * 7 + "..."),
        (12, "[Trimmed]"),
        (1, "["),
    ],
)
def test_a_text_for_parts_has_the_room_of_one_output_and_is_not_trimmed_again(room: int, expected: str) -> None:
    parts = [{"type": "input_image", "image_url": LONG}, {"type": "input_text", "text": "s" * 100}]
    once = trim([user(), *called(parts), user(), user()], max_output_chars=room, preview_chars=9)
    assert once[2]["output"] == expected
    assert trim(once, max_output_chars=room, preview_chars=9) == once


@pytest.mark.parametrize(
    "part",
    [
        "text",
        {"type": "new", "text": LONG},
        {"type": "input_text", "text": LONG, "more": 1},
        {"type": "input_text", "text": None, "file": LONG},
        {"type": "input_image", "image_url": LONG, "detail": "none"},
    ],
)
def test_parts_of_an_unknown_kind_stay(part: Any) -> None:
    items = [user(), *called([part]), user(), user()]
    assert trim(items) == items


def test_tools_that_were_found_lose_their_prose_and_stay_callable() -> None:
    schema = {
        "type": "object",
        "title": "T",
        "description": LONG,
        "properties": {"title": {"type": "string", "description": LONG, "enum": ["title"]}, "free": True},
        "anyOf": [{"required": ["title"], "description": LONG}],
        "dependentRequired": {"title": ["free"]},
        "x-mine": {"title": "data"},
        "required": ["title"],
    }
    tool = {"type": "function", "name": "f", "description": LONG, "parameters": schema}
    items = [
        user(),
        {"type": "tool_search_call", "call_id": "s", "arguments": {}},
        {"type": "tool_search_output", "call_id": "s", "tools": [{"type": "namespace", "tools": [tool]}, "odd"]},
        user(),
        user(),
    ]
    assert trim(items, trimmable_tools="tool_search")[2]["tools"] == [
        {
            "type": "namespace",
            "tools": [
                {
                    "type": "function",
                    "name": "f",
                    "description": "x" * 200,
                    "parameters": {
                        "type": "object",
                        "properties": {"title": {"type": "string", "enum": ["title"]}, "free": True},
                        "anyOf": [{"required": ["title"]}],
                        "dependentRequired": {"title": ["free"]},
                        "x-mine": {"title": "data"},
                        "required": ["title"],
                    },
                }
            ],
        },
        "odd",
    ]
    assert trim(items, trimmable_tools="f") == items


def test_texts_that_a_search_found_are_shortened() -> None:
    found = {
        "type": "tool_search_output",
        "call_id": "s",
        "results": [{"text": LONG, "id": 1}, {"text": "short"}, "odd"],
    }
    first, *others = trim([user(), found, user(), user()])[1]["results"]
    assert first == {"text": f"[Trimmed: tool_search output, 1000 chars, preview 200]\n{'x' * 200}...", "id": 1}
    assert others == [{"text": "short"}, "odd"]


@pytest.mark.parametrize(
    "settings",
    [
        {"recent_turns": 0},
        {"max_output_chars": 0},
        {"preview_chars": -1},
        {"recent_turns": 1.5},
        {"trimmable_tools": b"look"},
        {"trimmable_tools": 3},
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        ToolOutputTrimmer(**settings)


async def test_a_run_sends_the_short_form_and_keeps_the_whole() -> None:
    @function_tool
    def look() -> str:
        """Look."""
        return LONG

    model = ScriptedModel([[function_call("look", {}, call_id="c1")], "seen", "again"])
    agent = Agent(name="a", model=model, tools=[look])
    first = await Runner.run(agent, "one")
    config = RunConfig(call_model_input_filter=ToolOutputTrimmer(recent_turns=1))
    second = await Runner.run(agent, [*first.to_input_list(), user("two")], run_config=config)
    shown: Any = model.calls[-1].input
    sent = [item for item in shown if item.get("type") == "function_call_output"]
    assert sent[0]["output"].startswith("[Trimmed: look")
    kept = [item for item in second.to_input_list() if item.get("type") == "function_call_output"]
    assert kept[0]["output"] == LONG
