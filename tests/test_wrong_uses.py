"""The likeliest mistakes: each message says what was given, what was expected and what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agentrun import Agent, AgentHooks, RunConfig, RunHooks, Runner, UserError, function_tool, input_guardrail
from agentrun.testing import ScriptedModel


class NoSchema:
    def __init__(self, value: int) -> None:
        self.value = value


def agent(**fields: Any) -> Agent[Any]:
    return Agent("helper", model=ScriptedModel(["hi"]), **fields)


@function_tool
def look_up(word: str) -> str:
    """Look a word up."""
    return word


@function_tool(name_override="look_up")
def look_up_again(word: str) -> str:
    """Look a word up again."""
    return word


@input_guardrail
def says_nothing(context: Any, agent: Any, given: Any) -> Any:
    return None


def declare_tool_with_a_parameter_without_schema() -> None:
    @function_tool
    def store(thing: NoSchema) -> None: ...


WRONG: dict[str, tuple[Callable[[], Any], type[Exception], tuple[str, ...]]] = {
    "hooks of the wrong class": (
        lambda: Runner.run_sync(agent(), "hi", hooks=AgentHooks()),  # type: ignore[arg-type]
        TypeError,
        ("AgentHooks", "RunHooks", "Agent(hooks=...)"),
    ),
    "hooks of the wrong class on the agent": (
        lambda: agent(hooks=RunHooks()),
        TypeError,
        ("hooks is", "AgentHooks", "Runner.run(hooks=...)"),
    ),
    "a name that is no string": (lambda: Agent(3), TypeError, ("3", "str", "Agent('helper')")),  # type: ignore[arg-type]
    "a guardrail that returns None": (
        lambda: Runner.run_sync(agent(input_guardrails=[says_nothing]), "hi"),
        UserError,
        ("says_nothing", "None", "GuardrailFunctionOutput", "return"),
    ),
    "a handoff to a non-agent": (
        lambda: agent(handoffs=["billing"]),
        TypeError,
        ("handoffs[0]", "'billing'", "Agent or a Handoff", "pass"),
    ),
    "a parameter without schema": (
        declare_tool_with_a_parameter_without_schema,
        UserError,
        ("'store'", "'thing'", "NoSchema", "use"),
    ),
    "two tools of one name": (
        lambda: Runner.run_sync(
            agent(tools=[look_up, look_up_again]), "hi", run_config=RunConfig(tool_name_collision_policy="error")
        ),
        UserError,
        ("'helper'", "look_up", "rename"),
    ),
    "an unknown backend": (
        lambda: Runner.run_sync(agent(), "hi", backend="curio"),  # type: ignore[arg-type]
        UserError,
        ("'curio'", "'asyncio' or 'trio'", "pass"),
    ),
    "an unknown prefix": (
        lambda: Runner.run_sync(Agent("helper", model="acme/best"), "hi"),
        UserError,
        ("'acme/'", "openai", "MultiProviderMap"),
    ),
    "no key": (
        lambda: Runner.run_sync(Agent("helper", model="gpt-4.1"), "hi"),
        UserError,
        ("API key", "OPENAI_API_KEY", "api_key="),
    ),
    "an output type without schema": (
        lambda: agent(output_type=NoSchema),
        UserError,
        ("'helper'", "NoSchema", "use"),
    ),
    "an input of a wrong type": (
        lambda: Runner.run_sync(agent(), 3),  # type: ignore[arg-type]
        TypeError,
        ("3", "str", "RunState"),
    ),
    "an unknown key of the configuration": (
        lambda: Runner.run_sync(agent(), "hi", run_config={"modle": "x"}),
        TypeError,
        ("'modle'", "RunConfig", "'model'"),
    ),
    "a plain function as a tool": (lambda: agent(tools=[print]), TypeError, ("tools[0]", "print", "@function_tool")),
    "a tuple of tools": (lambda: agent(tools=(look_up,)), TypeError, ("tools is", "list", "[...]")),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_a_mistake_is_told_with_value_expectation_and_remedy(mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    make, kind, parts = WRONG[mistake]

    with pytest.raises(kind) as caught:
        make()

    message = str(caught.value)
    assert [part for part in parts if part not in message] == []
    assert len(message) < 1200
