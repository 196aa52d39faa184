"""Whether a chat model gets its own former reasoning back in the next request.

Source: models, "Reasoning content".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import attrs

from agentrun._dataclass import FrozenValue

__all__ = [
    "ReasoningContentReplayContext",
    "ReasoningContentSource",
    "ShouldReplayReasoningContent",
    "default_should_replay_reasoning_content",
]


@attrs.frozen(eq=False, repr=False)
class ReasoningContentSource(FrozenValue):
    """A reasoning item of the conversation."""

    item: Any
    """The item as a plain dict."""
    origin_model: str | None
    """The model that made it; None where the item does not say."""
    provider_data: Mapping[str, Any]
    """What the item says of the reply it came in: `model`, `response_id` and the like."""


@attrs.frozen(eq=False, repr=False)
class ReasoningContentReplayContext(FrozenValue):
    """What a `should_replay_reasoning_content` function is told."""

    model: str
    """The model that is about to be asked."""
    base_url: str | None
    """Where it is."""
    reasoning: ReasoningContentSource


ShouldReplayReasoningContent: TypeAlias = Callable[[ReasoningContentReplayContext], bool]


def default_should_replay_reasoning_content(context: ReasoningContentReplayContext) -> bool:
    """Return whether the model wants its former reasoning back in every request: DeepSeek's do, and only their own.

    An item that says nothing of its reply counts as the model's own. It raises nothing.

    Source: models, "Reasoning content".
    """
    if "deepseek" not in context.model.lower():
        return False
    origin = context.reasoning.origin_model or ""
    return not context.reasoning.provider_data or "deepseek" in origin.lower()
