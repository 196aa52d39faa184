"""A name in `StopAtTools` that no tool has would never stop a run, and is told of once."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest

from agentrun import Agent, Runner, WebSearchTool, function_tool, tool_namespace
from agentrun.testing import ScriptedModel, function_call


@function_tool
async def save() -> str:
    """Save."""
    return "saved"


@function_tool(is_enabled=False)
async def rarely() -> str:
    """Do what is rarely possible."""
    return "done"


def agent_that_stops_at(*names: str) -> Agent[Any]:
    replies: list[Any] = [[function_call("save", {}, call_id=f"c{n}")] for n in range(2)]
    return Agent(
        "a",
        model=ScriptedModel([*replies, "an answer"]),
        tools=[save, rarely, WebSearchTool(), *tool_namespace(name="crm", description="Customers", tools=[rarely])],
        handoffs=[Agent("other")],
        tool_use_behavior={"stop_at_tool_names": list(names)},
    )


async def test_a_name_that_nothing_has_is_told_of_once_in_a_run_with_those_that_there_are(
    caplog: pytest.LogCaptureFixture,
) -> None:
    result = await Runner.run(agent_that_stops_at("sav", "crm.rarely"), "hi")
    assert result.final_output == "an answer"
    assert caplog.messages == [
        "agent 'a' stops at the tools ['sav'], which it does not have; it has "
        "['save', 'rarely', 'web_search', 'crm.rarely']"
    ]


async def test_it_is_told_of_too_where_another_name_stops_the_run(caplog: pytest.LogCaptureFixture) -> None:
    result = await Runner.run(agent_that_stops_at("save", "sav"), "hi")
    assert result.final_output == "saved"
    assert len(caplog.messages) == 1


async def test_names_of_disabled_and_hosted_tools_and_of_handoffs_are_known(caplog: pytest.LogCaptureFixture) -> None:
    agent = agent_that_stops_at("rarely", "crm.rarely", "web_search", "transfer_to_other")
    assert (await Runner.run(agent, "hi")).final_output == "an answer"
    assert caplog.messages == []


async def test_the_names_may_stand_in_any_mapping() -> None:
    agent = agent_that_stops_at()
    agent.tool_use_behavior = MappingProxyType({"stop_at_tool_names": ["save"]})  # type: ignore[assignment]
    assert (await Runner.run(agent, "hi")).final_output == "saved"
