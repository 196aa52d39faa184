"""Calls the hooks of a run. What nobody overrides is resolved to nothing once, and costs nothing afterwards."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

import anyio.lowlevel

from agentrun._context import AgentHookContext, RunContextWrapper
from agentrun._hooks import overridden

if TYPE_CHECKING:
    from agentrun._agent import Agent
    from agentrun._hooks import RunHooks
    from agentrun._items import ModelResponse
    from agentrun._responses import TResponseInputItem

Hook = Callable[..., Awaitable[None]]

_RUN_NAMES = {
    "start": "on_agent_start",
    "end": "on_agent_end",
    "llm_start": "on_llm_start",
    "llm_end": "on_llm_end",
    "tool_start": "on_tool_start",
    "tool_end": "on_tool_end",
}
"""The name of each moment among the run's hooks, where it differs from the agent's."""

_AGENT_NAMES = {
    "start": "on_start",
    "end": "on_end",
    "llm_start": "on_llm_start",
    "llm_end": "on_llm_end",
    "tool_start": "on_tool_start",
    "tool_end": "on_tool_end",
}


class Announcer:
    """The hooks of one run. Of one moment the run's hook comes first, then the agent's, so that both backends agree.

    A run that was cancelled begins no hook: whoever calls may have been woken, with a value, just before the cancel.
    """

    def __init__(self, hooks: RunHooks[Any] | None) -> None:
        self._hooks = hooks
        self._found: dict[tuple[int, str], tuple[Hook, ...]] = {}

    def hooks_of(self, agent: Agent[Any], moment: str) -> tuple[Hook, ...]:
        """Return the hooks to call at `moment` of `agent`, looked up once."""
        if self._hooks is None and agent.hooks is None:
            return ()
        key = (id(agent.hooks), moment)
        found = self._found.get(key)
        if found is None:
            candidates = (
                overridden(self._hooks, _RUN_NAMES[moment]) if self._hooks is not None else None,
                overridden(agent.hooks, _AGENT_NAMES[moment]) if agent.hooks is not None else None,
            )
            found = self._found[key] = tuple(hook for hook in candidates if hook is not None)
        return found

    async def agent_start(self, context: RunContextWrapper[Any], agent: Agent[Any]) -> None:
        """Say that an agent took over."""
        if hooks := self.hooks_of(agent, "start"):
            told = AgentHookContext.of(context)
            for hook in hooks:
                await _tell(hook, told, agent)

    async def agent_end(self, context: RunContextWrapper[Any], agent: Agent[Any], output: Any) -> None:
        """Say that an agent made the final output."""
        if hooks := self.hooks_of(agent, "end"):
            told = AgentHookContext.of(context)
            for hook in hooks:
                await _tell(hook, told, agent, output)

    async def llm_start(
        self,
        context: RunContextWrapper[Any],
        agent: Agent[Any],
        instructions: str | None,
        input_items: list[TResponseInputItem],
    ) -> None:
        """Say that a model is about to be asked."""
        for hook in self.hooks_of(agent, "llm_start"):
            await _tell(hook, context, agent, instructions, input_items)

    async def llm_end(self, context: RunContextWrapper[Any], agent: Agent[Any], response: ModelResponse) -> None:
        """Say that a model has answered."""
        for hook in self.hooks_of(agent, "llm_end"):
            await _tell(hook, context, agent, response)

    async def tool_start(self, context: RunContextWrapper[Any], agent: Agent[Any], tool: Any) -> None:
        """Say that a tool is about to run."""
        for hook in self.hooks_of(agent, "tool_start"):
            await _tell(hook, context, agent, tool)

    async def tool_end(self, context: RunContextWrapper[Any], agent: Agent[Any], tool: Any, result: object) -> None:
        """Say that a tool has an output."""
        for hook in self.hooks_of(agent, "tool_end"):
            await _tell(hook, context, agent, tool, result)

    async def handoff(self, context: RunContextWrapper[Any], source: Agent[Any], target: Agent[Any]) -> None:
        """Say that `source` hands over to `target`; the hooks of the source agent are told.

        Source: lifecycle, `on_handoff`; the agents come as keyword arguments.
        """
        hook = overridden(self._hooks, "on_handoff") if self._hooks is not None else None
        if hook is not None:
            await _tell(hook, context, from_agent=source, to_agent=target)
        hook = overridden(source.hooks, "on_handoff") if source.hooks is not None else None
        if hook is not None:
            await _tell(hook, context, agent=target, source=source)


async def _tell(hook: Hook, *given: object, **named: object) -> None:
    """Call one hook, unless the run has been cancelled.

    Raises:
        TypeError: the hook is no async function; what it does has happened by then.
    """
    await anyio.lowlevel.checkpoint_if_cancelled()
    told = cast("object", hook(*given, **named))  # declared to be awaitable; what users write may not be
    if not isinstance(told, Awaitable):
        name = getattr(hook, "__qualname__", repr(hook))
        raise TypeError(f"hook {name} returned {told!r}, expected something to await; declare it with async def")
    await told
