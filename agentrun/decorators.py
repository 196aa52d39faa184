"""Decorators, and `tool`, the short name of `function_tool`.

Source: tools, "Function tools".
"""

from agentrun._function_tool import function_tool
from agentrun._function_tool import function_tool as tool
from agentrun._guardrail import input_guardrail, output_guardrail, tool_input_guardrail, tool_output_guardrail

__all__ = [
    "function_tool",
    "input_guardrail",
    "output_guardrail",
    "tool",
    "tool_input_guardrail",
    "tool_output_guardrail",
]
