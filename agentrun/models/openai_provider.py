"""The provider of models behind an OpenAI-compatible API.

Source: models.
"""

from agentrun.models.providers import OpenAIProvider

__all__ = ["OpenAIProvider"]
