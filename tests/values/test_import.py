"""The rare classes load when they are needed, and not before."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys
from agentrun._codec import structure_event, structure_item
structure_event({"type": "response.output_text.delta", "delta": "x"})
structure_item({"type": "function_call", "call_id": "c", "name": "n", "arguments": "{}"})
assert "agentrun._hosted" not in sys.modules
assert type(structure_item({"type": "computer_call", "call_id": "c"})).__name__ == "ResponseComputerToolCall"
assert "agentrun._hosted" in sys.modules
"""


def test_the_hosted_classes_load_with_the_first_item_that_needs_them() -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", SCRIPT], check=True, timeout=50)


RARE = {
    "agentrun._failure_values",
    "agentrun._guardrail",
    "agentrun._hosted",
    "agentrun._hosted_tools",
    "agentrun._retry",
    "agentrun._schema",
    "agentrun._strict",
    "agentrun._tool_output_parts",
    "agentrun.agent_output",
    "agentrun.models.chat_request",
    "agentrun.models.chat_wire",
    "agentrun.models.responses_wire",
    "anyio._core._synchronization",
    "anyio.from_thread",
}


def test_a_program_that_declares_an_agent_loads_what_every_run_needs_and_no_more() -> None:
    names = "Agent, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner, function_tool"
    script = f"import sys; from agentrun import {names}; print(*({RARE!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", script], check=True, timeout=50, capture_output=True, text=True)
    assert done.stdout.split() == []


def test_an_agent_whose_tools_are_functions_loads_no_hosted_ones() -> None:
    script = """
import sys
from agentrun import Agent, function_tool

@function_tool
def weather(city: str) -> str:
    return city

Agent("a", tools=[weather])
assert "agentrun._hosted_tools" not in sys.modules
from agentrun import WebSearchTool
Agent("b", tools=[weather, WebSearchTool()])
"""
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, timeout=50)
