"""Agents by name: how a stored state refers to them."""

from __future__ import annotations

import hashlib
import json
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
        """Return the name of an agent, and its likeness too where others are called the same."""
        found = {"name": self._names.get(id(agent), agent.name)}
        if len(self._called(agent.name)) > 1:
            found["likeness"] = likeness(agent)
        return found

    def find(self, name: str, looks: str | None) -> Agent[Any] | None:
        """Return the agent that was stored as `name`, None if there is none.

        The order in which agents of one name are declared may have changed since. So the only one that looks as it did
        comes before the one in its place.
        """
        agent = self.agents.get(name)
        if agent is None or looks is None or likeness(agent) == looks:
            return agent
        alike = [one for one in self._called(agent.name) if likeness(one) == looks]
        return alike[0] if len(alike) == 1 else agent

    def _called(self, name: str) -> list[Agent[Any]]:
        return [agent for agent in self.agents.values() if agent.name == name]


def likeness(agent: Agent[Any]) -> str:
    """Return what tells an agent from others of its name, in every process alike: a digest of its declaration."""
    instructions: Any = agent.instructions
    declared = [
        instructions if instructions is None or isinstance(instructions, str) else _name_of(instructions),
        agent.handoff_description,
        agent.model if isinstance(agent.model, str) else None,
        [_name_of(tool) for tool in agent.tools],
        [handoff.tool_name for handoff in agent.declared_handoffs()],
        None if agent.output_type is None else _name_of(agent.output_type),
    ]
    return hashlib.sha256(json.dumps(declared).encode()).hexdigest()[:16]


def _name_of(value: Any) -> str:
    return str(getattr(value, "name", None) or getattr(value, "__qualname__", None) or type(value).__qualname__)
