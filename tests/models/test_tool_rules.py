"""Which tools and choices of tools a Responses request may have together."""

from __future__ import annotations

from typing import Any

import pytest

from agentrun._exceptions import UserError
from agentrun._hosted_tools import (
    FileSearchTool,
    HostedMCPTool,
    ProgrammaticToolCallingTool,
    ToolSearchTool,
    WebSearchTool,
)
from agentrun._settings import ModelSettings
from agentrun._tool import FunctionTool, tool_namespace
from agentrun.models._tool_rules import check_tools
from agentrun.models.responses_wire import request_body


async def run(context: Any, arguments: str) -> str:
    return arguments


def tool(name: str = "t", **options: Any) -> FunctionTool:
    return FunctionTool(name, "d", {}, run, **options)


DEFERRED = tool(defer_loading=True)
BY_PROGRAMS = tool(allowed_callers=["programmatic"])
GROUPED = tool_namespace(name="n", description="d", tools=[tool()])
LATE_SERVER = HostedMCPTool({"type": "mcp", "server_label": "s", "server_url": "http://m", "defer_loading": True})


@pytest.mark.parametrize(
    ("tools", "choice", "message"),
    [
        ([DEFERRED], None, "add ToolSearchTool"),
        ([LATE_SERVER], None, "add ToolSearchTool"),
        ([ToolSearchTool(), ToolSearchTool(), DEFERRED], None, "may have one ToolSearchTool"),
        ([ToolSearchTool(), tool()], None, "finds nothing"),
        ([BY_PROGRAMS], None, "may be called by programs only"),
        ([ProgrammaticToolCallingTool(), tool()], None, "has nothing to call"),
        ([ProgrammaticToolCallingTool()] * 2, None, "may have one ProgrammaticToolCallingTool"),
        ([], "programmatic_tool_calling", "add ProgrammaticToolCallingTool"),
        ([ToolSearchTool(), DEFERRED], "t", "loaded only when the model finds it"),
        (GROUPED, "t", r"pass 'n\.t'"),
        (GROUPED, "n", r"pass 'n\.t'"),
        ([FileSearchTool(["v"], max_num_results=51)], None, "got 51"),
        ([FileSearchTool(["v"], max_num_results=True)], None, "got True"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_the_api_would_refuse_is_refused_before(tools: Any, choice: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_tools(tools, choice, is_prompted=False)


@pytest.mark.parametrize(
    ("tools", "choice", "is_prompted"),
    [
        ([ToolSearchTool(), DEFERRED], "required", False),
        ([ToolSearchTool(), *GROUPED], "n.t", False),
        ([ToolSearchTool(), LATE_SERVER], None, False),
        ([ToolSearchTool()], None, True),
        ([ProgrammaticToolCallingTool(), BY_PROGRAMS], "programmatic_tool_calling", False),
        ([ProgrammaticToolCallingTool()], None, True),
        ([tool(allowed_callers=["direct", "programmatic"])], None, False),
        ([*GROUPED, tool()], "t", False),
        ([FileSearchTool(["v"], max_num_results=50)], None, False),
    ],
)
def test_what_belongs_together_passes(tools: Any, choice: Any, is_prompted: bool) -> None:
    check_tools(tools, choice, is_prompted=is_prompted)


def request(tools: Any = (), **more: Any) -> Any:
    import json

    prompt, model = more.pop("prompt", None), more.pop("model", "m")
    return json.loads(
        request_body(
            model,
            None,
            "hi",
            ModelSettings(**more),
            tools,
            None,
            [],
            previous_response_id=None,
            conversation_id=None,
            prompt=prompt,
            stream=False,
        )
    )


def test_a_search_for_images_brings_them_back() -> None:
    assert request([WebSearchTool(search_content_types=["text", "image"])])["include"] == ["web_search_call.results"]
    assert "include" not in request([WebSearchTool(search_content_types=["text"])])


def test_a_number_of_results_of_none_is_the_providers() -> None:
    assert "max_num_results" not in request([FileSearchTool(["v"], max_num_results=0)])["tools"][0]


def test_names_of_tools_that_are_not_there_yet_name_functions() -> None:
    for name in ("shell", "apply_patch", "computer", "local_shell"):
        assert request([tool(name)], tool_choice=name)["tool_choice"] == {"type": "function", "name": name}


def test_a_prompt_may_bring_the_tools() -> None:
    template = {"id": "pmpt_1"}
    found = request(prompt=template, tool_choice="mine", parallel_tool_calls=True)
    assert "tool_choice" not in found
    assert found["parallel_tool_calls"] is True
    assert request(prompt=template, tool_choice="required")["tool_choice"] == "required"
    assert "model" not in request(prompt=template, model=None)
