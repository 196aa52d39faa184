"""How a model is asked: sampling, reasoning, tool choice, retries.

Source: models, "Model settings".
"""

from agentrun._settings import ModelRetryBackoffSettings, ModelRetrySettings, ModelSettings, Reasoning, ToolChoice

__all__ = ["ModelRetryBackoffSettings", "ModelRetrySettings", "ModelSettings", "Reasoning", "ToolChoice"]
