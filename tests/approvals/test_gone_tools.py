"""A call whose tool is gone when its run goes on is answered once, however often that is cut short."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from agentrun import Agent, FunctionTool, InMemorySession, RunConfig, Runner, RunState, function_tool
from agentrun.testing import ScriptedModel, function_call

NAMES = ("first", "kept", "last")


def waiting_tool(name: str) -> FunctionTool:
    async def work() -> str:
        return f"{name} ran"

    return function_tool(work, name_override=name, needs_approval=True)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("through_json", [False, True])
@pytest.mark.parametrize("cut", ["first", "last"])
async def test_a_cancel_in_the_formatter_neither_loses_nor_repeats_a_call(
    streamed: bool, through_json: bool, cut: str
) -> None:
    session = InMemorySession()
    model = ScriptedModel([[function_call(name, {}, call_id=name) for name in NAMES], "an answer"])
    paused = await Runner.run(Agent("a", model=model, tools=[*map(waiting_tool, NAMES)]), "hi", session=session)
    agent = Agent[Any]("a", model=model, tools=[waiting_tool("kept")])
    state = await RunState.from_json(agent, paused.to_state().to_json())
    for item in state.get_interruptions():
        state.approve(item)
    asked: list[str] = []

    async def word(args: Any) -> str:
        asked.append(args.call_id)
        if args.call_id == cut and asked.count(cut) == 1:
            await anyio.sleep_forever()
        return f"{args.tool_name} is gone"

    config = RunConfig(tool_error_formatter=word, tool_not_found_behavior="return_error_to_model")

    async def go_on(state: RunState[Any]) -> Any:
        if not streamed:
            return await Runner.run(agent, state, session=session, run_config=config)
        async with Runner.run_streamed(agent, state, session=session, run_config=config) as result:
            async for _ in result.stream_events():
                pass
        return result

    with anyio.move_on_after(1) as scope:
        await go_on(state)
    assert scope.cancelled_caught
    if through_json:
        state = await RunState.from_json(agent, state.to_json())
    result = await go_on(state)

    assert result.final_output == "an answer"
    outputs = [(name, "kept ran" if name == "kept" else f"{name} is gone") for name in NAMES]
    for items in (result.to_input_list(), await session.get_items()):
        assert [
            (one["call_id"], one["output"]) for one in items if one.get("type") == "function_call_output"
        ] == outputs
        assert [one["call_id"] for one in items if one.get("type") == "function_call"] == list(NAMES)
    assert asked == (["first", "first", "last"] if cut == "first" else ["first", "last", "last"])
