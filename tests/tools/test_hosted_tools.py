from __future__ import annotations

from typing import Any

import pytest

from agentrun import Agent, Runner, ToolOrigin, ToolOriginType, function_tool
from agentrun._hosted_tools import (
    CodeInterpreterTool,
    FileSearchTool,
    HostedMCPTool,
    ImageGenerationTool,
    ProgrammaticToolCallingTool,
    Tool,
    ToolSearchTool,
    WebSearchTool,
)
from agentrun._tool import tools_to_wire
from agentrun.items import structure_item
from agentrun.testing import ScriptedModel, function_call


@pytest.mark.parametrize(
    ("tool", "name", "wire"),
    [
        (
            WebSearchTool(),
            "web_search",
            {"type": "web_search", "filters": None, "user_location": None, "search_context_size": "medium"},
        ),
        (
            WebSearchTool(
                user_location={"type": "approximate", "city": "Oslo"},
                filters={"allowed_domains": ["a.example"]},
                search_context_size="low",
                external_web_access=False,
                search_content_types=["text"],
                image_settings={"max_results": 1},
            ),
            "web_search",
            {
                "type": "web_search",
                "user_location": {"type": "approximate", "city": "Oslo"},
                "filters": {"allowed_domains": ["a.example"]},
                "search_context_size": "low",
                "external_web_access": False,
                "search_content_types": ["text"],
                "image_settings": {"max_results": 1},
            },
        ),
        (
            FileSearchTool(["vs_1"], 3, ranking_options={"ranker": "auto"}, filters={"type": "eq"}),
            "file_search",
            {
                "type": "file_search",
                "vector_store_ids": ["vs_1"],
                "max_num_results": 3,
                "ranking_options": {"ranker": "auto"},
                "filters": {"type": "eq"},
            },
        ),
        (
            CodeInterpreterTool({"type": "code_interpreter", "container": {"type": "auto"}}),
            "code_interpreter",
            {"type": "code_interpreter", "container": {"type": "auto"}},
        ),
        (
            ImageGenerationTool({"type": "image_generation", "quality": "low"}),
            "image_generation",
            {"type": "image_generation", "quality": "low"},
        ),
        (
            HostedMCPTool({"server_label": "git", "server_url": "https://mcp.example"}),
            "hosted_mcp",
            {"type": "mcp", "server_label": "git", "server_url": "https://mcp.example"},
        ),
        (ToolSearchTool(), "tool_search", {"type": "tool_search"}),
        (
            ToolSearchTool("Find tools.", "client", {"type": "object"}),
            "tool_search",
            {
                "type": "tool_search",
                "description": "Find tools.",
                "execution": "client",
                "parameters": {"type": "object"},
            },
        ),
        (ProgrammaticToolCallingTool(), "programmatic_tool_calling", {"type": "programmatic_tool_calling"}),
    ],
)
def test_a_hosted_tool_is_sent_with_what_is_set(tool: Tool, name: str, wire: dict[str, Any]) -> None:
    assert tool.name == name
    assert tools_to_wire([tool]) == [wire]


def test_file_search_asks_for_its_results_when_told_to() -> None:
    assert FileSearchTool(["vs"]).response_include == []
    assert FileSearchTool(["vs"], include_search_results=True).response_include == ["file_search_call.results"]


def test_a_config_of_another_tool_is_refused() -> None:
    with pytest.raises(ValueError, match=r"CodeInterpreterTool.tool_config must have the type 'code_interpreter'"):
        CodeInterpreterTool({"type": "mcp"})


def test_a_config_that_is_no_dict_is_refused() -> None:
    with pytest.raises(TypeError, match=r"HostedMCPTool.tool_config must be a dict in the provider's own form"):
        HostedMCPTool("https://mcp.example")  # type: ignore[arg-type]


def test_an_approval_function_must_be_a_function() -> None:
    with pytest.raises(TypeError, match="on_approval_request"):
        HostedMCPTool({}, on_approval_request=True)  # type: ignore[arg-type]


async def _look() -> str:
    return "seen"


async def test_a_call_of_a_server_that_the_provider_reaches_says_which_one() -> None:
    asked = structure_item(
        {"type": "mcp_call", "id": "m1", "name": "search", "server_label": "docs", "arguments": "{}", "output": "x"}
    )
    look = function_tool(_look)
    model = ScriptedModel([[asked, function_call("_look", {}, call_id="c1")], "done"])
    result = await Runner.run(Agent("a", model=model, tools=[look]), "hi")
    hosted, own = [item for item in result.new_items if item.type == "tool_call_item"]
    assert hosted.tool_origin == ToolOrigin(ToolOriginType.MCP, mcp_server_name="docs")
    assert own.tool_origin == ToolOrigin(ToolOriginType.FUNCTION)
