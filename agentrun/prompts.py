"""Prompts that are kept at the provider.

Source: agents, "Prompt templates".
"""

from agentrun._agent import DynamicPromptFunction, GenerateDynamicPromptData, Prompt

__all__ = ["DynamicPromptFunction", "GenerateDynamicPromptData", "Prompt"]
