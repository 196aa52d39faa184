"""Short names for decorators.

Source: tools, "Function tools".
"""

from agentrun._function_tool import function_tool as tool

__all__ = ["tool"]
