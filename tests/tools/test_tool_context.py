"""The context of a tool call knows its call, and takes from the context around it what it is not told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from agentrun import Agent, RunConfig
from agentrun.items import ResponseFunctionToolCall
from agentrun.tool_context import ToolContext


def call(**more: Any) -> ResponseFunctionToolCall:
    return ResponseFunctionToolCall(name="look", call_id="c1", arguments="{}", **more)


def context(**more: Any) -> ToolContext[Any]:
    return ToolContext({}, tool_name="look", tool_call_id="c1", tool_arguments="{}", **more)


def test_the_namespace_is_that_of_the_call_and_its_own_name_is_none() -> None:
    assert context().qualified_tool_name == "look"
    given = context(tool_call=call(namespace="billing"))
    assert (given.tool_namespace, given.qualified_tool_name) == ("billing", "billing.look")
    assert context(tool_call=call(namespace="billing"), tool_namespace="crm").qualified_tool_name == "crm.look"
    same = context(tool_call=call(namespace="look"))
    assert (same.tool_namespace, same.qualified_tool_name) == ("look", "look")


def test_a_context_made_of_a_tool_context_has_its_agent_and_configuration() -> None:
    agent, config = Agent("a"), RunConfig()
    outer = context(agent=agent, run_config=config)
    inner = ToolContext.from_agent_context(outer, "c2", call())
    assert (inner.agent, inner.run_config) == (agent, config)
    assert inner.run_config is config
    other, another = Agent("b"), RunConfig(workflow_name="w")
    told = ToolContext.from_agent_context(outer, "c2", call(), other, run_config=another)
    assert told.agent is other
    assert told.run_config is another


def test_a_call_that_is_only_like_one_needs_no_namespace() -> None:
    made = ToolContext.from_agent_context(context(), "c1", cast("Any", SimpleNamespace(name="look", arguments="{}")))
    assert (made.tool_name, made.tool_arguments, made.tool_namespace) == ("look", "{}", None)
