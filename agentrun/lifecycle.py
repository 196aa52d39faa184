"""Hooks on the life of runs and agents.

Source: lifecycle hooks.
"""

from __future__ import annotations

from typing import Generic

from agentrun._context import AgentHookContext, RunContextWrapper, TContext
from agentrun._handoff import TAgent
from agentrun._hooks import AgentHooks, RunHooks

__all__ = [
    "AgentHookContext",
    "AgentHooks",
    "AgentHooksBase",
    "RunContextWrapper",
    "RunHooks",
    "RunHooksBase",
    "TAgent",
    "TContext",
]


class RunHooksBase(RunHooks[TContext], Generic[TContext, TAgent]):
    """`RunHooks` that also name the class of the agents, for classes that were written against that form."""


class AgentHooksBase(AgentHooks[TContext], Generic[TContext, TAgent]):
    """`AgentHooks` that also name the class of the agent, for classes that were written against that form."""
