"""Agents by name: how a stored state refers to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentrun._agent import Agent


def agents_by_name(root: Agent[Any]) -> dict[str, Agent[Any]]:
    """Return every agent that can be reached from `root` over handoffs, nearest first.

    Several agents of one name get the suffixes `#2`, `#3`, in that order, so that both directions agree.
    """
    found: dict[str, Agent[Any]] = {}
    seen: set[int] = set()
    waiting: list[Agent[Any]] = [root]
    while waiting:
        agent = waiting.pop(0)
        if id(agent) in seen:
            continue
        seen.add(id(agent))
        name, count = agent.name, 2
        while name in found:
            name, count = f"{agent.name}#{count}", count + 1
        found[name] = agent
        waiting.extend(one.agent for one in agent.declared_handoffs() if one.agent is not None)
    return found


class AgentNames:
    """The names of the agents of one run."""

    def __init__(self, root: Agent[Any]) -> None:
        self.agents = agents_by_name(root)
        self._names = {id(agent): name for name, agent in self.agents.items()}

    def knows(self, agent: Agent[Any]) -> bool:
        return id(agent) in self._names

    def name(self, agent: Agent[Any]) -> dict[str, str]:
        return {"name": self._names.get(id(agent), agent.name)}
