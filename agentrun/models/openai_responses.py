"""The model behind the Responses API.

Source: models.
"""

from agentrun.models.responses import OpenAIResponsesModel

__all__ = ["OpenAIResponsesModel"]
