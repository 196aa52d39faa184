"""The model that agents use when they name none.

Source: models.
"""

from agentrun.models._defaults import get_default_model

__all__ = ["get_default_model"]
