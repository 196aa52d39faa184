"""How a model is asked: sampling, reasoning, tool choice, retries.

Source: models, "Model settings".
"""

from agentrun._settings import (
    MCPToolChoice,
    ModelRetryBackoffSettings,
    ModelRetrySettings,
    ModelSettings,
    Reasoning,
    ToolChoice,
)

__all__ = [
    "MCPToolChoice",
    "ModelRetryBackoffSettings",
    "ModelRetrySettings",
    "ModelSettings",
    "Reasoning",
    "ToolChoice",
]
