"""Models and their providers; each name is loaded from its home on first use.

Source: models.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentrun.models._defaults import (
        get_default_model,
        get_default_model_settings,
        gpt_5_reasoning_settings_required,
        is_gpt_5_default,
    )
    from agentrun.models._limits import Limits
    from agentrun.models.chat import OpenAIChatCompletionsModel
    from agentrun.models.interface import Model, ModelProvider, ModelTracing
    from agentrun.models.providers import MultiProvider, MultiProviderMap, OpenAIProvider
    from agentrun.models.responses import OpenAIResponsesModel

__all__ = [
    "Limits",
    "Model",
    "ModelProvider",
    "ModelTracing",
    "MultiProvider",
    "MultiProviderMap",
    "OpenAIChatCompletionsModel",
    "OpenAIProvider",
    "OpenAIResponsesModel",
    "get_default_model",
    "get_default_model_settings",
    "gpt_5_reasoning_settings_required",
    "is_gpt_5_default",
]

_HOMES = {
    "agentrun.models._defaults": (
        "get_default_model",
        "get_default_model_settings",
        "gpt_5_reasoning_settings_required",
        "is_gpt_5_default",
    ),
    "agentrun.models._limits": ("Limits",),
    "agentrun.models.chat": ("OpenAIChatCompletionsModel",),
    "agentrun.models.interface": ("Model", "ModelProvider", "ModelTracing"),
    "agentrun.models.providers": ("MultiProvider", "MultiProviderMap", "OpenAIProvider"),
    "agentrun.models.responses": ("OpenAIResponsesModel",),
}
_home_of = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    """Load a public name from its home, once."""
    home = _home_of.get(name)
    if home is None:
        raise AttributeError(f"module 'agentrun.models' has no attribute {name!r}")
    found = getattr(import_module(home), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
