"""Graphs of agents: every thing is one node, whatever its name, and the text needs no Graphviz."""

from __future__ import annotations

import re
import sys
import types
from typing import Any

import attrs
import pytest

from agentrun import Agent, function_tool, handoff
from agentrun.extensions.visualization import draw_graph, get_all_edges, get_all_nodes, get_main_graph


def tool(name: str) -> Any:
    async def use() -> str:
        return name

    return attrs.evolve(function_tool(use), name=name)


def ids(source: str, label: str) -> list[str]:
    return re.findall(rf'^ *"([^"]+)" \[label="{re.escape(label)}"', source, re.MULTILINE)


def test_agents_tools_servers_and_handoffs_are_nodes_with_edges() -> None:
    writer = Agent("writer", tools=[tool("spell")])
    agent = Agent("main", tools=[tool("look")], handoffs=[writer, handoff(Agent("clerk"))])
    agent.mcp_servers = [types.SimpleNamespace(name="files")]
    assert get_main_graph(agent).splitlines() == [
        "digraph G {",
        "    graph [splines=true];",
        '    node [fontname="Arial"];',
        "    edge [penwidth=1.5];",
        *(f"    {line}" for line in get_all_nodes(agent).splitlines()),
        *(f"    {line}" for line in get_all_edges(agent).splitlines()),
        "}",
    ]
    small = "shape=ellipse, style=filled, fillcolor={}, width=0.5, height=0.3"
    box = "shape=box, style={}, fillcolor=lightyellow, width=1.5, height=0.8"
    rounded = box.format('"filled,rounded"')
    assert get_all_nodes(agent).splitlines() == [
        f'"__start__" [label="__start__", {small.format("lightblue")}];',
        f'"__end__" [label="__end__", {small.format("lightblue")}];',
        f'"main" [label="main", {box.format("filled")}];',
        f'"look" [label="look", {small.format("lightgreen")}];',
        '"files" [label="files", shape=box, style=filled, fillcolor=lightgrey, width=1, height=0.5];',
        f'"writer" [label="writer", {rounded}];',
        f'"spell" [label="spell", {small.format("lightgreen")}];',
        f'"clerk" [label="clerk", {rounded}];',
    ]
    assert get_all_edges(agent).splitlines() == [
        '"__start__" -> "main";',
        '"main" -> "look" [style=dotted, penwidth=1.5];',
        '"look" -> "main" [style=dotted, penwidth=1.5];',
        '"main" -> "files" [style=dashed, penwidth=1.5];',
        '"files" -> "main" [style=dashed, penwidth=1.5];',
        '"main" -> "writer";',
        '"main" -> "clerk";',
        '"writer" -> "spell" [style=dotted, penwidth=1.5];',
        '"spell" -> "writer" [style=dotted, penwidth=1.5];',
        '"writer" -> "__end__";',
        '"clerk" -> "__end__";',
    ]


def test_agents_that_hand_over_to_each_other_are_drawn_once() -> None:
    first, second = Agent("A"), Agent("B")
    first.handoffs.append(second)
    second.handoffs.append(handoff(first))
    assert [ids(get_all_nodes(first), name) for name in "AB"] == [["A"], ["B"]]
    assert get_all_edges(first).splitlines() == ['"__start__" -> "A";', '"A" -> "B";', '"B" -> "A";']


def test_a_handoff_that_does_not_say_where_it_leads_is_a_node_without_more() -> None:
    elsewhere = attrs.evolve(handoff(Agent("far", tools=[tool("unseen")])), agent=None)
    agent = Agent("near", handoffs=[elsewhere])
    assert ids(get_all_nodes(agent), "far") == ["far"]
    assert get_all_edges(agent).splitlines() == ['"__start__" -> "near";', '"near" -> "far";']


def test_things_of_one_name_are_different_nodes_and_agents_keep_the_name() -> None:
    child = Agent("same", tools=[tool("__end__")])
    agent = Agent("same", tools=[tool("same")], handoffs=[child])
    nodes = ids(get_main_graph(agent), "same")
    assert len(set(nodes)) == 3
    assert nodes[0] == "same"
    edges = get_all_edges(agent)
    assert f'"same" -> "{nodes[1]}" [style=dotted' in edges
    assert f'"same" -> "{nodes[2]}";' in edges
    assert len(set(ids(get_main_graph(agent), "__end__"))) == 2


@pytest.mark.parametrize(
    ("name", "escaped"),
    [('a"b', r"a\"b"), ("a\\b", r"a\\b"), ("a\r\nb", r"a\nb"), ("a\rb", r"a\nb"), ("a\nb", r"a\nb")],
)
def test_names_cannot_break_out_of_their_quotes(name: str, escaped: str) -> None:
    agent = Agent(name)
    assert f'"{escaped}" [label="{escaped}", ' in get_all_nodes(agent)
    assert f'"__start__" -> "{escaped}";' in get_all_edges(agent)


def test_agents_drawn_before_are_left_out_and_the_new_ones_are_noted() -> None:
    agent = Agent("parent", tools=[tool("child")], handoffs=[Agent("child", tools=[tool("hidden")])])
    visited = {"child"}
    nodes = get_all_nodes(agent, visited=visited)
    assert visited == {"parent", "child"}
    (tool_id,) = ids(nodes, "child")
    assert tool_id != "child"
    edges = get_all_edges(agent, visited={"child"})
    assert f'"parent" -> "{tool_id}" [style=dotted' in edges
    assert '"parent" -> "child";' in edges
    assert "hidden" not in nodes + edges
    assert (get_all_nodes(agent, visited=visited), get_all_edges(agent, visited=visited)) == ("", "")


def test_below_a_parent_there_is_no_start() -> None:
    agent = Agent("child")
    assert get_all_nodes(agent, Agent("parent")).startswith('"child" [label="child", shape=box, style="filled,rounded"')
    assert get_all_edges(agent, Agent("parent")) == '"child" -> "__end__";'


def test_the_graph_is_drawn_and_written_with_graphviz(monkeypatch: pytest.MonkeyPatch) -> None:
    @attrs.define
    class Source:
        source: str
        rendered: list[Any] = attrs.field(factory=list[Any])

        def render(self, filename: str, **options: Any) -> None:
            self.rendered.append((filename, options))

    monkeypatch.setitem(sys.modules, "graphviz", types.SimpleNamespace(Source=Source))
    agent = Agent("a")
    assert draw_graph(agent) == Source(get_main_graph(agent))
    assert draw_graph(agent, "out").rendered == [("out", {"format": "png", "cleanup": True})]


def test_without_graphviz_the_error_names_the_extra_and_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "graphviz", None)
    with pytest.raises(ImportError, match=r"pip install 'agentrun\[viz\]'; get_main_graph gives the text"):
        draw_graph(Agent("a"))
