"""features.md 13 and 14: outputs of several parts, data of one's own, structured and streamed agent tools, trimming."""

# Callbacks here are written as a user would write them, without types.
# pyright: reportUnknownLambdaType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingParameterType=false

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import Annotated, Any, cast

import anyio
import pytest

from agentrun import (
    Agent,
    AgentToolStreamEvent,
    FunctionToolCustomDataContext,
    RunConfig,
    RunContextWrapper,
    RunState,
    ToolOutputFileContent,
    ToolOutputImage,
    ToolOutputText,
    UserError,
    function_tool,
)
from agentrun.extensions import ToolOutputTrimmer
from agentrun.testing import ScriptedModel, function_call

covers = pytest.mark.covers

FAILED = "An error occurred while running the tool. Please try again."


def call(name: str = "look", call_id: str = "c1", **arguments: Any) -> Any:
    return function_call(name, arguments, call_id=call_id)


def agent_of(steps: list[Any], *tools: Any, **fields: Any) -> Agent[Any]:
    return Agent(name=fields.pop("name", "a"), model=ScriptedModel(steps), tools=list(tools), **fields)


def output_item(result: Any) -> Any:
    (item,) = [item for item in result.new_items if item.type == "tool_call_output_item"]
    return item


@covers("FT-12")
async def test_text_images_and_files_go_to_the_model_as_parts_and_stay_values_for_the_caller(run: Any) -> None:
    parts = [
        ToolOutputText(text="see"),
        ToolOutputImage(image_url="https://example.com/a.png", detail="low"),
        {"type": "image", "file_id": "file_1"},
        ToolOutputFileContent(file_data="data:text/plain;base64,aGk=", filename="a.txt"),
        {"type": "file", "file_url": "https://example.com/b.pdf"},
        {"type": "text", "text": "done"},
    ]

    @function_tool
    async def draw() -> Any:
        return parts

    agent = agent_of([[call("draw")], "done"], draw)
    item = output_item(await run(agent))
    assert item.output is parts
    assert agent.model.calls[1].input[-1]["output"] == [  # type: ignore[union-attr]
        {"type": "input_text", "text": "see"},
        {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "low"},
        {"type": "input_image", "file_id": "file_1"},
        {"type": "input_file", "file_data": "data:text/plain;base64,aGk=", "filename": "a.txt"},
        {"type": "input_file", "file_url": "https://example.com/b.pdf"},
        {"type": "input_text", "text": "done"},
    ]


@covers("FT-12")
async def test_one_part_is_a_list_of_one_and_a_list_with_anything_else_is_text(run: Any) -> None:
    @function_tool
    async def one() -> Any:
        return ToolOutputText(text="just this")

    @function_tool
    async def mixed() -> Any:
        return [{"type": "text", "text": "a"}, 3]

    agent = agent_of([[call("one", "c1"), call("mixed", "c2")], "done"], one, mixed)
    await run(agent)
    first, second = agent.model.calls[1].input[-2:]  # type: ignore[union-attr]
    assert first["output"] == [{"type": "input_text", "text": "just this"}]
    assert second["output"] == str([{"type": "text", "text": "a"}, 3])


@covers("FT-15")
async def test_data_of_ones_own_stands_on_the_item_and_is_never_sent(run: Any) -> None:
    asked: list[Any] = []

    async def extract(data: FunctionToolCustomDataContext) -> dict[str, Any]:
        asked.append((data.tool_context.tool_call_id, data.tool.name, data.output, data.raw_item["output"]))
        return {"rows": 3}

    @function_tool(custom_data_extractor=extract)
    async def query(sql: str) -> dict[str, int]:
        return {"n": 3}

    agent = agent_of([[call("query", sql="select")], "done"], query)
    result = await run(agent)
    item = output_item(result)
    assert item.custom_data == {"rows": 3}
    assert asked == [("c1", "query", {"n": 3}, "{'n': 3}")]
    assert "rows" not in json.dumps(agent.model.calls[1].input)  # type: ignore[union-attr]
    assert "rows" not in json.dumps(result.to_input_list())
    state = await RunState.from_string(agent, result.to_state().to_string())
    assert [one.custom_data for one in state.new_items if one.type == "tool_call_output_item"] == [{"rows": 3}]


@covers("FT-15")
async def test_an_extractor_may_return_none_and_nothing_else_but_a_mapping(run: Any) -> None:
    async def silent() -> str:
        return "ok"

    quiet = function_tool(custom_data_extractor=lambda data: None)(silent)
    assert output_item(await run(agent_of([[call("silent")], "done"], quiet))).custom_data is None
    wrong: Any = function_tool(custom_data_extractor=lambda data: 3)(silent)  # type: ignore[arg-type, return-value]
    with pytest.raises(UserError, match="'silent' returned 3"):
        await run(agent_of([[call("silent")], "done"], wrong))


@covers("FT-15")
@pytest.mark.parametrize("data", [{"bad": object()}, {"score": float("nan")}, {"score": float("inf")}])
async def test_data_of_ones_own_must_be_json(run: Any, data: Any) -> None:
    @function_tool(custom_data_extractor=lambda _: data)
    async def silent() -> str:
        return "ok"

    with pytest.raises(UserError, match="'silent' returned what is no JSON"):
        await run(agent_of([[call("silent")], "done"], silent))


@covers("FT-15")
async def test_an_extractor_that_changes_what_it_is_shown_changes_nothing(run: Any) -> None:
    kept: dict[str, Any] = {"rows": [1]}

    def extract(data: FunctionToolCustomDataContext) -> dict[str, Any]:
        cast("dict[str, Any]", data.raw_item)["renderer"] = "chart"
        return kept

    @function_tool(custom_data_extractor=extract)
    async def silent() -> str:
        return "ok"

    agent = agent_of([[call("silent")], "done"], silent)
    item = output_item(await run(agent))
    kept["rows"].append(2)
    assert item.custom_data == {"rows": [1]}
    assert "renderer" not in item.raw_item
    assert "renderer" not in json.dumps(agent.model.calls[1].input)  # type: ignore[union-attr]


# Agents as tools: structured input


@dataclass
class Order:
    item: Annotated[str, "what is wanted"]
    count: int = 1


@covers("AT-5")
@pytest.mark.parametrize("with_schema", [False, True])
async def test_structured_arguments_reach_the_nested_run_as_data_and_an_explanation(
    run: Any, with_schema: bool
) -> None:
    seen: list[Any] = []

    def instructions(ctx: RunContextWrapper[Any], agent: Agent[Any]) -> str:
        seen.append(ctx.tool_input)
        return "pack"

    inner = agent_of(["packed"], name="inner", instructions=instructions)
    tool = inner.as_tool("pack", "Pack", parameters=Order, include_input_schema=with_schema)
    assert set(tool.params_json_schema["properties"]) == {"item", "count"}
    result = await run(agent_of([[call("pack", count=2, item="pear")], "done"], tool))
    assert output_item(result).output == "packed"
    assert seen == [{"item": "pear", "count": 2}]
    (message,) = inner.model.calls[0].input  # type: ignore[union-attr]
    text = message["content"]
    assert json.dumps({"item": "pear", "count": 2}, indent=2) in text
    assert "what is wanted" in text
    assert ('"properties"' in text) is with_schema


@covers("AT-5")
@pytest.mark.parametrize("made", ["two pears", [{"role": "user", "content": "two pears"}]])
async def test_an_input_builder_words_the_nested_input(run: Any, made: Any) -> None:
    told: list[Any] = []

    async def build(options: Any) -> Any:
        told.append(options)
        return made

    inner = agent_of(["packed"], name="inner")
    tool = inner.as_tool("pack", "Pack", parameters=Order, input_builder=build, include_input_schema=True)
    await run(agent_of([[call("pack", item="pear", count=2)], "done"], tool))
    assert inner.model.calls[0].input == [{"role": "user", "content": "two pears"}]  # type: ignore[union-attr]
    (options,) = told
    assert options["params"] == {"item": "pear", "count": 2}
    assert "what is wanted" in options["summary"]
    assert options["json_schema"] == tool.params_json_schema


@covers("AT-5")
async def test_arguments_that_do_not_fit_are_told_to_the_model_and_no_nested_run_begins(run: Any) -> None:
    inner = agent_of(["never"], name="inner")
    tool = inner.as_tool("pack", "Pack", parameters=Order)
    result = await run(agent_of([[call("pack", item="pear", count="two")], "done"], tool))
    assert output_item(result).output.startswith(FAILED)
    assert "count" in output_item(result).output
    assert not inner.model.calls  # type: ignore[union-attr]


# Agents as tools: streams


@covers("AT-6")
@pytest.mark.parametrize("is_async", [False, True])
async def test_a_handler_sees_the_events_of_the_nested_run_in_order_with_agent_and_call(
    run: Any, is_async: bool
) -> None:
    seen: list[Any] = []

    def handle(event: AgentToolStreamEvent) -> None:
        assert event["tool_call"] is not None
        seen.append((event["event"].type, event["agent"].name, event["tool_call"].call_id))

    async def handle_slowly(event: AgentToolStreamEvent) -> None:
        await anyio.sleep(1)
        handle(event)

    last = agent_of(["bye"], name="last")
    inner = agent_of([[function_call("transfer_to_last", {}, call_id="h")]], name="inner", handoffs=[last])
    tool = inner.as_tool("ask", "Ask", on_stream=handle_slowly if is_async else handle)
    result = await run(agent_of([[call("ask", "c7", input="x")], "done"], tool))
    assert output_item(result).output == "bye"
    assert {one[2] for one in seen} == {"c7"}
    items = [one[:2] for one in seen if one[0] != "raw_response_event"]
    assert items == [
        ("agent_updated_stream_event", "inner"),
        ("run_item_stream_event", "inner"),
        ("run_item_stream_event", "inner"),
        ("agent_updated_stream_event", "last"),
        ("run_item_stream_event", "last"),
    ]


@covers("AT-6")
async def test_what_a_handler_raises_is_logged_and_changes_nothing(
    run: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTRUN_DONT_LOG_MODEL_DATA", "0")
    monkeypatch.setenv("AGENTRUN_DONT_LOG_TOOL_DATA", "0")

    def handle(event: AgentToolStreamEvent) -> None:
        raise ValueError("cannot draw")

    tool = agent_of(["inner"], name="inner").as_tool("ask", "Ask", on_stream=handle)
    with caplog.at_level(logging.ERROR, "agentrun"):
        result = await run(agent_of([[call("ask", input="x")], "done"], tool))
    assert output_item(result).output == "inner"
    assert "cannot draw" in caplog.text


@covers("AT-6")
async def test_a_handler_that_falls_too_far_behind_ends_the_nested_run_as_a_failure_of_the_tool(run: Any) -> None:
    async def handle(event: AgentToolStreamEvent) -> None:
        await anyio.sleep_forever()

    inner = agent_of(["inner"], name="inner")
    tool = inner.as_tool("ask", "Ask", on_stream=handle, on_stream_max_pending_events=1)
    result = await run(agent_of([[call("ask", input="x")], "done"], tool))
    assert output_item(result).output == FAILED
    assert result.final_output == "done"


# Trimming


@covers("OT-5")
async def test_large_outputs_of_older_turns_are_cut_for_the_model_only(run: Any) -> None:
    large = "x" * 2000
    old = [
        {"role": "user", "content": "one"},
        {"type": "function_call", "call_id": "c0", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c0", "output": large},
        {"type": "function_call", "call_id": "c1", "name": "keep", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": large},
        {"role": "user", "content": "two"},
        {"type": "function_call", "call_id": "c2", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c2", "output": large},
        {"role": "user", "content": "three"},
    ]
    agent = agent_of(["done"])
    trimmer = ToolOutputTrimmer(recent_turns=2, max_output_chars=500, preview_chars=20, trimmable_tools={"look"})
    result = await run(agent, old, run_config=RunConfig(call_model_input_filter=trimmer))
    sent = [item["output"] for item in agent.model.calls[0].input if "output" in item]  # type: ignore[union-attr]
    assert "look" in sent[0]
    assert sent[0].count("x") < 25
    assert sent[1:] == [large, large]
    assert result.to_input_list()[:-1] == old
    defaults = ToolOutputTrimmer()
    assert (defaults.recent_turns, defaults.max_output_chars, defaults.preview_chars) == (2, 500, 200)
    assert defaults.trimmable_tools is None
