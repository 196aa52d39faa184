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
    "agentrun._guardrail",
    "agentrun._hosted",
    "agentrun._retry",
    "agentrun._schema",
    "agentrun.agent_output",
    "anyio.from_thread",
}


def test_a_program_that_declares_an_agent_loads_what_every_run_needs_and_no_more() -> None:
    names = "Agent, OpenAIResponsesModel, Runner, function_tool"
    script = f"import sys; from agentrun import {names}; print(*({RARE!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", script], check=True, timeout=50, capture_output=True, text=True)
    assert done.stdout.split() == []
