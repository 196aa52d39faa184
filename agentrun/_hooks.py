"""What a user may watch: callbacks for the steps of a run, or of one agent in it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Generic, cast

from agentrun._context import TContext

if TYPE_CHECKING:
    from agentrun._agent import Agent
    from agentrun._context import AgentHookContext, RunContextWrapper
    from agentrun._hosted_tools import Tool
    from agentrun._items import ModelResponse
    from agentrun._responses import TResponseInputItem

__all__ = ["AgentHooks", "RunHooks", "overridden"]

log = logging.getLogger("agentrun")


class RunHooks(Generic[TContext]):
    """Callbacks for every agent of a run; override what is needed, the rest does nothing.

    A callback runs inside the run: the run waits for it, an exception from it fails the run, and a cancel of the run
    cancels it.

    Source: lifecycle, `RunHooks`.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _warn_of_names(cls, RunHooks, AgentHooks)

    async def on_llm_start(
        self,
        context: RunContextWrapper[TContext],
        agent: Agent[TContext],
        system_prompt: str | None,
        input_items: list[TResponseInputItem],
    ) -> None:
        """Called before each model call, with exactly what is about to be sent."""

    async def on_llm_end(
        self, context: RunContextWrapper[TContext], agent: Agent[TContext], response: ModelResponse
    ) -> None:
        """Called after each model call; `context.usage` already counts it."""

    async def on_agent_start(self, context: AgentHookContext[TContext], agent: Agent[TContext]) -> None:
        """Called when an agent takes over: at the start of the run and after each handoff."""

    async def on_agent_end(self, context: AgentHookContext[TContext], agent: Agent[TContext], output: Any) -> None:
        """Called when an agent made the final output, before the output guardrails judge it."""

    async def on_handoff(
        self, context: RunContextWrapper[TContext], from_agent: Agent[TContext], to_agent: Agent[TContext]
    ) -> None:
        """Called when one agent hands over to another; the agents come as keyword arguments."""

    async def on_tool_start(self, context: RunContextWrapper[TContext], agent: Agent[TContext], tool: Tool) -> None:
        """Called before a tool's body; `context` is the call's `ToolContext` for function tools."""

    async def on_tool_end(
        self, context: RunContextWrapper[TContext], agent: Agent[TContext], tool: Tool, result: object
    ) -> None:
        """Called with the tool's output, after its output guardrails."""


class AgentHooks(Generic[TContext]):
    """Callbacks for one agent, set as `Agent(hooks=...)`; override what is needed, the rest does nothing.

    As with `RunHooks` the run waits for a callback, an exception from it fails the run, and a cancel cancels it.

    Source: lifecycle, `AgentHooks`.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _warn_of_names(cls, AgentHooks, RunHooks)

    async def on_start(self, context: AgentHookContext[TContext], agent: Agent[TContext]) -> None:
        """Called when the agent takes over."""

    async def on_end(self, context: AgentHookContext[TContext], agent: Agent[TContext], output: Any) -> None:
        """Called when the agent made the final output, before the output guardrails judge it."""

    async def on_handoff(
        self, context: RunContextWrapper[TContext], agent: Agent[TContext], source: Agent[TContext]
    ) -> None:
        """Called on the hooks of the agent that hands over: `source` is that agent, `agent` the next one.

        The agents come as keyword arguments.
        """

    async def on_tool_start(self, context: RunContextWrapper[TContext], agent: Agent[TContext], tool: Tool) -> None:
        """Called before the body of a tool that this agent called."""

    async def on_tool_end(
        self, context: RunContextWrapper[TContext], agent: Agent[TContext], tool: Tool, result: object
    ) -> None:
        """Called with the output of a tool that this agent called, after its output guardrails."""

    async def on_llm_start(
        self,
        context: RunContextWrapper[TContext],
        agent: Agent[TContext],
        system_prompt: str | None,
        input_items: list[TResponseInputItem],
    ) -> None:
        """Called before each model call of this agent, with exactly what is about to be sent."""

    async def on_llm_end(
        self, context: RunContextWrapper[TContext], agent: Agent[TContext], response: ModelResponse
    ) -> None:
        """Called after each model call of this agent; `context.usage` already counts it."""


def _warn_of_names(cls: type[Any], base: type[Any], other: type[Any]) -> None:
    """Warn of callbacks of the other kind of hooks, which nobody calls: `on_start` of RunHooks, for example."""
    if issubclass(cls, other):
        return
    known = {name for name in vars(base) if name.startswith("on_")}
    mistaken = sorted(name for name in vars(cls) if name in vars(other).keys() - known and name.startswith("on_"))
    if mistaken:
        log.warning(
            "%s.%s is never called: it is of %s; %s have %s",
            cls.__name__,
            ", ".join(mistaken),
            other.__name__,
            base.__name__,
            ", ".join(sorted(known)),
        )


def overridden(hooks: RunHooks[Any] | AgentHooks[Any] | None, name: str) -> Callable[..., Awaitable[None]] | None:
    """Return the bound callback `name` of `hooks`, or None where calling it would do nothing.

    So that a run finds out once, and not at every step, which callbacks there are.
    """
    if hooks is None:
        return None
    base = RunHooks if isinstance(hooks, RunHooks) else AgentHooks
    method = getattr(hooks, name)
    if getattr(method, "__func__", None) is vars(base)[name]:
        return None
    return cast("Callable[..., Awaitable[None]]", method)
