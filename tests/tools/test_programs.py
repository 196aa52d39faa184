"""Programs that the model writes and the provider runs: their items, and the tools they may call (FT-13)."""

from __future__ import annotations

from typing import Any, Literal

import pydantic
import pytest

from agentrun import (
    Agent,
    ModelBehaviorError,
    ProgrammaticToolCallingTool,
    Runner,
    RunState,
    ToolCallItem,
    ToolCallOutputItem,
    function_tool,
)
from agentrun.items import Program, ProgramOutput, ResponseFunctionToolCall
from agentrun.testing import ScriptedModel

PROGRAM = Program(call_id="p1", id="pr1", code="return stock('A')", fingerprint="f")
PARTIAL = ProgramOutput(call_id="p1", id="po1", result="4", status="incomplete")
RESULT = ProgramOutput(call_id="p1", id="po2", result="42", status="completed")


def call(caller: Any = None) -> Any:
    return ResponseFunctionToolCall(call_id="c1", name="stock", arguments='{"sku": "A"}', caller=caller)


def seller(*steps: Any, callers: list[Literal["direct", "programmatic"]] | None = None, **tool: Any) -> Agent[Any]:
    @function_tool(allowed_callers=callers, **tool)
    def stock(sku: str) -> str:
        return "42"

    return Agent("seller", model=ScriptedModel(list(steps)), tools=[stock, ProgrammaticToolCallingTool()])


BY_PROGRAM = {"type": "program", "caller_id": "p1"}


class CallerProgram(pydantic.BaseModel):
    """Like the openai library's."""

    type: str = "program"
    caller_id: str = "p1"


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_program_is_a_call_and_what_it_returns_an_output(streamed: bool) -> None:
    agent = seller([PROGRAM, call(BY_PROGRAM)], [PARTIAL], [RESULT, "42 left"], callers=["programmatic"])
    names: list[str] = []
    if streamed:
        async with Runner.run_streamed(agent, "how many?") as live:
            async for event in live.stream_events():
                if event.type == "run_item_stream_event":
                    names.append(event.name)
        result: Any = live
        assert names == [
            "tool_called",
            "tool_called",
            "tool_output",
            "tool_output",
            "tool_output",
            "message_output_created",
        ]
    else:
        result = await Runner.run(agent, "how many?")
    assert result.final_output == "42 left"
    calls = [item.raw_item.type for item in result.new_items if isinstance(item, ToolCallItem)]
    outputs = [item.output for item in result.new_items if isinstance(item, ToolCallOutputItem)]
    assert (calls, outputs) == (["program", "function_call"], ["42", "4", "42"])
    sent = agent.model.calls[-1].input  # type: ignore[union-attr]
    assert [item.get("type") for item in sent] == [
        None,
        "program",
        "function_call",
        "function_call_output",
        "program_output",
    ]


async def test_the_items_of_a_program_come_back_from_a_stored_state() -> None:
    agent = seller(
        [PROGRAM, PARTIAL], [RESULT, call(BY_PROGRAM)], "done", callers=["programmatic"], needs_approval=True
    )
    state = (await Runner.run(agent, "how many?")).to_state()
    again = await RunState.from_string(agent, state.to_string())
    assert [item.raw_item for item in again.new_items[:3]] == [PROGRAM, PARTIAL, RESULT]
    again.approve(again.get_interruptions()[0])
    assert (await Runner.run(agent, again)).final_output == "done"


async def test_a_provider_that_keeps_the_conversation_is_not_sent_its_own_output() -> None:
    agent = seller([PROGRAM, PARTIAL, call(BY_PROGRAM)], "done", callers=["programmatic"])
    await Runner.run(agent, "how many?", conversation_id="conv")
    sent = agent.model.calls[-1].input  # type: ignore[union-attr]
    assert [item.get("type") for item in sent] == ["function_call_output"]


@pytest.mark.parametrize("item", [PROGRAM, RESULT, call(BY_PROGRAM)])
async def test_what_only_a_program_leads_to_is_refused_where_none_was_offered(item: Any) -> None:
    agent = seller([item], callers=["programmatic"])
    agent.tools = agent.tools[:1]
    with pytest.raises(ModelBehaviorError, match="has no ProgrammaticToolCallingTool"):
        await Runner.run(agent, "how many?")


@pytest.mark.parametrize(
    ("callers", "caller", "allowed"),
    [
        (None, None, True),
        (None, BY_PROGRAM, False),
        (["direct"], BY_PROGRAM, False),
        (["programmatic"], None, False),
        (["programmatic"], {"type": "direct"}, False),
        (["direct", "programmatic"], None, True),
        (["direct", "programmatic"], BY_PROGRAM, True),
        (None, CallerProgram(), False),
        (["programmatic"], CallerProgram(), True),
    ],
)
async def test_a_tool_runs_only_for_its_allowed_callers(callers: Any, caller: Any, allowed: bool) -> None:
    agent = seller([PROGRAM, call(caller)], "done", callers=callers)
    if allowed:
        assert (await Runner.run(agent, "how many?")).final_output == "done"
        return
    with pytest.raises(ModelBehaviorError, match=r"the model called stock .*allowed_callers are"):
        await Runner.run(agent, "how many?")
