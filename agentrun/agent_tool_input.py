"""How the structured input of an agent tool becomes the input of its run.

Source: tools, "Agents as tools".
"""

from agentrun._agent_tool import (
    StructuredToolInputBuilder,
    StructuredToolInputBuilderOptions,
    default_tool_input_builder,
)

__all__ = ["StructuredToolInputBuilder", "StructuredToolInputBuilderOptions", "default_tool_input_builder"]
