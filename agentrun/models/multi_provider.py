"""A provider that picks another one by the prefix of the model's name.

Source: models.
"""

from agentrun.models.providers import MultiProvider, MultiProviderMap

__all__ = ["MultiProvider", "MultiProviderMap"]
