"""Declaring hooks: the documented callbacks, and which of them do anything (HK-1, HK-2)."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from agentrun import Agent, AgentHookContext, AgentHooks, RunContextWrapper, RunHooks
from agentrun._hooks import overridden

CONTEXT: RunContextWrapper[Any] = RunContextWrapper(None)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("on_agent_start", ["context", "agent"]),
        ("on_agent_end", ["context", "agent", "output"]),
        ("on_llm_start", ["context", "agent", "system_prompt", "input_items"]),
        ("on_llm_end", ["context", "agent", "response"]),
        ("on_tool_start", ["context", "agent", "tool"]),
        ("on_tool_end", ["context", "agent", "tool", "result"]),
        ("on_handoff", ["context", "from_agent", "to_agent"]),
    ],
)
def test_run_hooks_have_the_documented_callbacks(name: str, parameters: list[str]) -> None:
    assert list(inspect.signature(getattr(RunHooks(), name)).parameters) == parameters
    assert overridden(RunHooks(), name) is None


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("on_start", ["context", "agent"]),
        ("on_end", ["context", "agent", "output"]),
        ("on_llm_start", ["context", "agent", "system_prompt", "input_items"]),
        ("on_llm_end", ["context", "agent", "response"]),
        ("on_tool_start", ["context", "agent", "tool"]),
        ("on_tool_end", ["context", "agent", "tool", "result"]),
        ("on_handoff", ["context", "agent", "source"]),
    ],
)
def test_agent_hooks_have_the_documented_callbacks(name: str, parameters: list[str]) -> None:
    assert list(inspect.signature(getattr(AgentHooks(), name)).parameters) == parameters
    assert overridden(AgentHooks(), name) is None


async def test_every_callback_may_be_called_and_does_nothing() -> None:
    agent = Agent("helper")
    start = AgentHookContext.of(CONTEXT)
    hooks: RunHooks[Any] = RunHooks()
    await hooks.on_agent_start(start, agent)
    await hooks.on_handoff(CONTEXT, from_agent=agent, to_agent=agent)
    own: AgentHooks[Any] = AgentHooks()
    await own.on_start(start, agent)
    await own.on_handoff(CONTEXT, agent=agent, source=agent)


async def test_a_callback_that_is_overridden_is_found_wherever_it_is_defined() -> None:
    seen: list[str] = []

    class Watch(RunHooks[Any]):
        async def on_agent_start(self, context: AgentHookContext[Any], agent: Agent[Any]) -> None:
            seen.append(agent.name)

    class WatchMore(Watch):
        pass

    hooks = WatchMore()
    start = overridden(hooks, "on_agent_start")
    assert start is not None
    await start(CONTEXT, Agent("helper"))
    assert seen == ["helper"]
    assert overridden(hooks, "on_agent_end") is None

    async def on_end(*arguments: Any) -> None:
        seen.append("end")

    hooks.on_agent_end = on_end  # type: ignore[method-assign, assignment]
    assert overridden(hooks, "on_agent_end") is on_end
    assert overridden(None, "on_agent_end") is None


def test_a_callback_of_the_other_kind_of_hooks_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    class Mistaken(RunHooks[Any]):
        async def on_start(self, context: Any, agent: Any) -> None: ...

    class Right(RunHooks[Any], AgentHooks[Any]):
        async def on_start(self, context: Any, agent: Any) -> None: ...

    assert [record.getMessage().split(";")[0] for record in caplog.records] == [
        "Mistaken.on_start is never called: it is of AgentHooks"
    ]
    assert not issubclass(Mistaken, AgentHooks)
    assert issubclass(Right, AgentHooks)
