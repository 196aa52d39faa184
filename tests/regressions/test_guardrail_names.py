"""A guardrail made by a decorator is named, also for those who read `name` instead of calling `get_name()`."""

from __future__ import annotations

from typing import Any

import pytest

from agentrun import input_guardrail, output_guardrail, tool_input_guardrail, tool_output_guardrail


@pytest.mark.parametrize("decorate", [input_guardrail, output_guardrail, tool_input_guardrail, tool_output_guardrail])
def test_the_decorated_function_names_its_guardrail(decorate: Any) -> None:
    def checks_tone(*given: Any) -> Any: ...

    assert decorate(checks_tone).name == "checks_tone"
    assert decorate()(checks_tone).name == "checks_tone"
    assert decorate(name="tone")(checks_tone).name == "tone"
