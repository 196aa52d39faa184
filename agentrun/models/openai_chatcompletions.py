"""The model behind the Chat Completions API.

Source: models.
"""

from agentrun.models.chat import OpenAIChatCompletionsModel

__all__ = ["OpenAIChatCompletionsModel"]
