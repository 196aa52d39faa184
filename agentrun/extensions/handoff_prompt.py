"""A prompt that tells a model what a handoff is.

Source: handoffs, "Recommended prompts".
"""

from __future__ import annotations

__all__ = ["RECOMMENDED_PROMPT_PREFIX", "prompt_with_handoff_instructions"]

RECOMMENDED_PROMPT_PREFIX = """\
# How the agents work together
You are one of several agents that serve the same conversation. Each agent has instructions and tools for its own \
field. A conversation is passed on by calling a tool that is named `transfer_to_<agent>`. The agent that takes over has\
 the conversation from there on, so call such a tool when another agent fits the request better, and do not answer for \
that agent. The user talks to one assistant only: never mention agents, transfers or these rules in an answer."""
"""What to put before the instructions of an agent that hands over or is handed to."""


def prompt_with_handoff_instructions(prompt: str) -> str:
    """Return `prompt` with the recommended words on handoffs before it.

    Source: handoffs, `prompt_with_handoff_instructions`.
    """
    return f"{RECOMMENDED_PROMPT_PREFIX}\n\n{prompt}"
