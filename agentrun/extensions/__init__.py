"""Parts that go beyond the core: filters and prompts for handoffs, a trimmer for the outputs of tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentrun.extensions.tool_output_trimmer import ToolOutputTrimmer

__all__ = ["ToolOutputTrimmer"]


def __getattr__(name: str) -> object:
    """Load the trimmer on first use."""
    if name != "ToolOutputTrimmer":
        raise AttributeError(f"module 'agentrun.extensions' has no attribute {name!r}")
    from agentrun.extensions.tool_output_trimmer import ToolOutputTrimmer

    globals()[name] = ToolOutputTrimmer
    return ToolOutputTrimmer


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
