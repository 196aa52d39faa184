"""Pictures of agents: which tools, MCP servers and handoffs they have, as a Graphviz graph.

The text of the graph needs nothing; a picture of it needs the extra `viz` and Graphviz' own program `dot`.

Source: agent visualization.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import attrs

from agentrun._agent import Agent
from agentrun._handoff import Handoff

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["draw_graph", "get_all_edges", "get_all_nodes", "get_main_graph"]

_Kind = Literal["agent", "handoff", "tool", "server"]
_Target: TypeAlias = Agent[Any] | Handoff[Any, Any]
"""Whom an agent hands over to: an agent, or a handoff that does not say which agent it leads to."""

_START, _END = "__start__", "__end__"
_SMALL = "shape=ellipse, style=filled, fillcolor={}, width=0.5, height=0.3"
_LARGE = "shape=box, style={}, fillcolor=lightyellow, width=1.5, height=0.8"
_LOOKS = {
    "end": _SMALL.format("lightblue"),
    "tool": _SMALL.format("lightgreen"),
    "agent": _LARGE.format("filled"),
    "handoff": _LARGE.format('"filled,rounded"'),
    "server": "shape=box, style=filled, fillcolor=lightgrey, width=1, height=0.5",
}


def draw_graph(agent: Agent[Any], filename: str | None = None) -> Any:
    """Return the graph of an agent as a `graphviz.Source`, which notebooks show as a picture.

    Args:
        agent: the agent that a run begins with.
        filename: where to write the picture as well, without `.png`; that needs the program `dot`.

    Raises:
        ImportError: the extra is missing; `get_main_graph` gives the text without it.
        Exception: what graphviz raises when it cannot write the file.

    Source: agent visualization, "Generating a graph".
    """
    try:
        graphviz = importlib.import_module("graphviz")
    except ImportError as exc:
        raise ImportError(
            "draw_graph needs graphviz: pip install 'agentrun[viz]'; get_main_graph gives the text of the graph without"
        ) from exc
    graph = graphviz.Source(get_main_graph(agent))
    if filename is not None:
        graph.render(filename, format="png", cleanup=True)
    return graph


def get_main_graph(agent: Agent[Any]) -> str:
    """Return the graph of an agent and of all that it can hand over to, as text in Graphviz' language DOT.

    Agents are yellow boxes, tools green ellipses, MCP servers grey boxes; the run goes from `__start__` along the solid
    arrows to `__end__`.
    """
    graph = _Graph(agent)
    lines = (
        "graph [splines=true];",
        'node [fontname="Arial"];',
        "edge [penwidth=1.5];",
        *graph.nodes(),
        *graph.edges(),
    )
    return "\n".join(("digraph G {", *(f"    {line}" for line in lines), "}"))


def get_all_nodes(agent: Agent[Any], parent: Agent[Any] | None = None, visited: set[str] | None = None) -> str:
    """Return the nodes of an agent and of all that it can hand over to, one line each.

    Args:
        agent: the agent.
        parent: the agent that hands over to it; without one, the start and the end are nodes too.
        visited: names of agents to leave out; those that are drawn are added.
    """
    return "\n".join(_Graph(agent, parent, visited).nodes())


def get_all_edges(agent: Agent[Any], parent: Agent[Any] | None = None, visited: set[str] | None = None) -> str:
    """Return the edges between the nodes of `get_all_nodes`, one line each.

    Args:
        agent: the agent.
        parent: the agent that hands over to it; without one, an edge leads there from the start.
        visited: names of agents to leave out; those that are drawn are added.
    """
    return "\n".join(_Graph(agent, parent, visited).edges())


@attrs.frozen
class _Agent:
    """An agent of the graph, with what it leads to."""

    agent: Agent[Any]
    tools: Sequence[Any]
    servers: Sequence[Any]
    targets: Sequence[_Target]


class _Graph:
    """All that can be reached from one agent."""

    def __init__(self, agent: Agent[Any], parent: Agent[Any] | None = None, visited: set[str] | None = None) -> None:
        visited = set() if visited is None else visited
        self._is_start = parent is None
        self._agents = list(_reachable(agent, frozenset(visited)))
        visited.update(each.agent.name for each in self._agents)
        # Agents come first, so that they keep their names when a tool has the same one.
        self._ids: dict[tuple[_Kind, int], str] = {}
        self._taken = {_START, _END}
        for each in self._agents:
            self._name("agent", each.agent, each.agent.name)
        for each in self._agents:
            for target in each.targets:
                self._name(*_described(target))
        for each in self._agents:
            for tool in each.tools:
                self._name("tool", tool, tool.name)
            for server in each.servers:
                self._name("server", server, server.name)

    def _name(self, kind: _Kind, thing: object, name: str) -> None:
        """Give a thing the id of its name, or a numbered one when something else has that."""
        if (kind, id(thing)) in self._ids:
            return
        found = _escaped(name)
        number = 1
        while found in self._taken:
            found = f"__agents_graph_{kind}_{number}"
            number += 1
        self._taken.add(found)
        self._ids[kind, id(thing)] = found

    def _id(self, kind: _Kind, thing: object) -> str:
        return self._ids[kind, id(thing)]

    def nodes(self) -> Iterator[str]:
        drawn: set[str] = set()

        def node(node_id: str, name: str, look: str) -> Iterator[str]:
            if node_id not in drawn:
                drawn.add(node_id)
                yield f'"{node_id}" [label="{_escaped(name)}", {_LOOKS[look]}];'

        if self._is_start and self._agents:
            yield from node(_START, _START, "end")
            yield from node(_END, _END, "end")
        for index, each in enumerate(self._agents):
            is_first = self._is_start and index == 0
            yield from node(self._id("agent", each.agent), each.agent.name, "agent" if is_first else "handoff")
            for tool in each.tools:
                yield from node(self._id("tool", tool), tool.name, "tool")
            for server in each.servers:
                yield from node(self._id("server", server), server.name, "server")
            for target in each.targets:
                if isinstance(target, Handoff):
                    yield from node(self._id("handoff", target), target.agent_name, "handoff")

    def edges(self) -> Iterator[str]:
        for index, each in enumerate(self._agents):
            source = self._id("agent", each.agent)
            if self._is_start and index == 0:
                yield f'"{_START}" -> "{source}";'
            owned = [(self._id("tool", tool), "dotted") for tool in each.tools]
            owned += [(self._id("server", server), "dashed") for server in each.servers]
            for there, style in owned:
                yield f'"{source}" -> "{there}" [style={style}, penwidth=1.5];'
                yield f'"{there}" -> "{source}" [style={style}, penwidth=1.5];'
            for target in each.targets:
                kind, thing, _ = _described(target)
                yield f'"{source}" -> "{self._id(kind, thing)}";'
            if not each.targets:
                yield f'"{source}" -> "{_END}";'


def _reachable(agent: Agent[Any], left_out: frozenset[str]) -> Iterator[_Agent]:
    """Yield an agent and all it can hand over to, each once, depth first."""
    seen: set[int] = set()
    pending: list[_Target] = [agent]
    while pending:
        one = pending.pop()
        if isinstance(one, Handoff) or id(one) in seen or one.name in left_out:
            continue
        seen.add(id(one))
        targets = [_target(each) for each in one.handoffs]
        yield _Agent(one, one.tools, one.mcp_servers, targets)
        pending.extend(reversed(targets))


def _target(handoff: _Target) -> _Target:
    if isinstance(handoff, Handoff):
        agent: Any = handoff.agent
        return cast("Agent[Any]", agent) if isinstance(agent, Agent) else handoff
    return handoff


def _described(target: _Target) -> tuple[_Kind, object, str]:
    if isinstance(target, Handoff):
        return "handoff", target, target.agent_name
    return "agent", target, target.name


def _escaped(name: str) -> str:
    """Return a name as it stands between DOT's double quotes; every kind of line break becomes one."""
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return escaped.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\\n")
