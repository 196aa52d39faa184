"""The likeliest mistakes: each message says what was given, what was expected and what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agentrun import (
    Agent,
    AgentHooks,
    FunctionTool,
    InputGuardrail,
    ModelRetrySettings,
    ModelSettings,
    RunConfig,
    RunHooks,
    Runner,
    SessionSettings,
    ToolGuardrailFunctionOutput,
    UserError,
    function_tool,
    handoff,
    input_guardrail,
    set_conversation_history_wrappers,
    tool_namespace,
)
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


WRONG_SETTINGS: dict[str, object] = {
    "temperature": "hot",
    "top_p": True,
    "frequency_penalty": "1",
    "presence_penalty": [],
    "tool_choice": 3,
    "parallel_tool_calls": "yes",
    "truncation": "some",
    "max_tokens": 1.5,
    "reasoning": "high",
    "verbosity": "loud",
    "metadata": "x",
    "store": 1,
    "prompt_cache_retention": "1y",
    "include_usage": "yes",
    "response_include": "all",
    "top_logprobs": "3",
    "extra_query": "x",
    "extra_body": "x",
    "extra_headers": "x",
    "extra_args": "x",
    "context_management": "x",
    "preserve_raw_usage": "x",
}

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
    **{
        f"settings with {field}={value!r}": (
            lambda field=field, value=value: ModelSettings(**{field: value}),  # type: ignore[misc]
            ValueError,
            (f"ModelSettings.{field} must be", repr(value)),
        )
        for field, value in WRONG_SETTINGS.items()
    },
    "metadata that is no text": (
        lambda: ModelSettings(metadata={"user": 7}),  # type: ignore[dict-item]
        ValueError,
        ("map str to str", "7", "'user'", "str(...)"),
    ),
    "retries that are no number": (
        lambda: ModelRetrySettings(max_retries="3"),  # type: ignore[arg-type]
        ValueError,
        ("ModelRetrySettings.max_retries", "whole number", "'3'"),
    ),
    "a wait that is less than nothing": (
        lambda: ModelRetrySettings(backoff={"max_delay": -1}),  # type: ignore[arg-type]
        ValueError,
        ("ModelRetryBackoffSettings.max_delay", "0 or more", "-1"),
    ),
    "a policy that is no function": (
        lambda: ModelRetrySettings(policy="always"),  # type: ignore[arg-type]
        TypeError,
        ("ModelRetrySettings.policy", "function", "'always'"),
    ),
    "a limit of a session that is no number": (
        lambda: SessionSettings(limit="3"),  # type: ignore[arg-type]
        ValueError,
        ("SessionSettings.limit", "whole number", "'3'"),
    ),
    "a guardrail of one parameter": (
        lambda: input_guardrail(lambda given: None),  # type: ignore[arg-type, misc]
        UserError,
        ("takes (given)", "called with (context, agent, input)", "declare it with these parameters"),
    ),
    "a guardrail's switch that is a text": (
        lambda: InputGuardrail(says_nothing.guardrail_function, run_in_parallel="no"),  # type: ignore[arg-type]
        ValueError,
        ("InputGuardrail.run_in_parallel", "True or False", "'no'"),
    ),
    "a guardrail of tools that is alone": (
        lambda: function_tool(lambda: 1, name_override="one", tool_input_guardrails=says_nothing),  # type: ignore[call-overload]
        TypeError,
        ("'one'", "tool_input_guardrails", "[...]"),
    ),
    "a plain function as a guardrail of a tool": (
        lambda: function_tool(lambda: 1, name_override="one", tool_output_guardrails=[print]),  # type: ignore[list-item]
        TypeError,
        ("'one'", "tool_output_guardrails[0]", "@tool_output_guardrail"),
    ),
    "a condition without parameters": (
        lambda: function_tool(lambda: 1, name_override="one", is_enabled=lambda: True),  # type: ignore[arg-type, misc]
        TypeError,
        ("'one'", "is_enabled", "(context, agent)", "declare"),
    ),
    "an approval function of one parameter": (
        lambda: function_tool(lambda: 1, name_override="one", needs_approval=lambda c: True),  # type: ignore[arg-type, misc]
        TypeError,
        ("'one'", "needs_approval", "(context, arguments, call_id)", "declare"),
    ),
    "a failure function of one parameter": (
        lambda: function_tool(lambda: 1, name_override="one", failure_error_function=lambda e: ""),  # type: ignore[arg-type, misc]
        TypeError,
        ("'one'", "failure_error_function", "(context, error)", "declare"),
    ),
    "a hand-built tool that takes no arguments": (
        lambda: FunctionTool("one", "", {}, lambda context: context),  # type: ignore[arg-type, misc]
        TypeError,
        ("'one'", "on_invoke_tool", "(context, arguments)", "declare"),
    ),
    "names to stop at that are one text": (
        lambda: agent(tool_use_behavior={"stop_at_tool_names": "look_up"}),
        TypeError,
        ("tool_use_behavior", "'look_up'", "{'stop_at_tool_names': [...]}"),
    ),
    "names to stop at that are no texts": (
        lambda: agent(tool_use_behavior={"stop_at_tool_names": [look_up]}),
        TypeError,
        ("tool_use_behavior", "look_up", "{'stop_at_tool_names': [...]}"),
    ),
    "a tool behaviour of one parameter": (
        lambda: agent(tool_use_behavior=repr),
        TypeError,
        ("'helper'", "tool_use_behavior", "(context, tool_results)", "declare"),
    ),
    "a prompt without an id": (
        lambda: agent(prompt={"version": "1"}),
        TypeError,
        ("prompt is", "version", "{'id': ...}"),
    ),
    "a class as the hooks of an agent tool": (
        lambda: agent().as_tool("ask", "Ask.", hooks=RunHooks),  # type: ignore[arg-type]
        TypeError,
        ("hooks", "RunHooks", "Agent(hooks=...)"),
    ),
    "a name as the session of an agent tool": (
        lambda: agent().as_tool("ask", "Ask.", session="chat"),  # type: ignore[arg-type]
        TypeError,
        ("session", "'chat'", "SQLiteSession"),
    ),
    "a filter that is no function": (
        lambda: handoff(agent(), input_filter="none"),  # type: ignore[call-overload]
        TypeError,
        ("Handoff.input_filter", "HandoffInputData", "'none'"),
    ),
    "no text in the place of a blocked message": (
        lambda: RunConfig(output_guardrail_blocked_message=""),
        ValueError,
        ("output_guardrail_blocked_message", "''", "None"),
    ),
    "a number as the model of a run": (lambda: RunConfig(model=3), TypeError, ("RunConfig.model", "3", "Model")),  # type: ignore[arg-type]
    "a name as the provider of a run": (
        lambda: RunConfig(model_provider="openai"),  # type: ignore[arg-type]
        TypeError,
        ("RunConfig.model_provider", "'openai'", "get_model", "MultiProvider()"),
    ),
    "a plain function as a guardrail of a run": (
        lambda: RunConfig(output_guardrails=[print]),  # type: ignore[list-item]
        TypeError,
        ("RunConfig.output_guardrails[0]", "print", "@output_guardrail"),
    ),
    "an input filter of no parameters": (
        lambda: RunConfig(call_model_input_filter=lambda: None),  # type: ignore[arg-type, misc]
        TypeError,
        ("RunConfig.call_model_input_filter", "CallModelData", "declare"),
    ),
    "a switch that is a text": (
        lambda: RunConfig(tracing_disabled="yes"),  # type: ignore[arg-type]
        ValueError,
        ("RunConfig.tracing_disabled", "True or False", "'yes'"),
    ),
    "a handoff among the tools": (
        lambda: agent(tools=[handoff(agent())]),
        TypeError,
        ("tools[0]", "Handoff(", "put the handoff into handoffs"),
    ),
    "a number as the id of a conversation": (
        lambda: Runner.run_sync(agent(), "hi", conversation_id=3),  # type: ignore[arg-type]
        TypeError,
        ("conversation_id is 3", "str or None"),
    ),
    "a behaviour that is a text": (
        lambda: ToolGuardrailFunctionOutput("fine", behavior="allow"),  # type: ignore[arg-type]
        ValueError,
        ("ToolGuardrailFunctionOutput.behavior", "'allow'", "allow()"),
    ),
    "one tool as the tools of a namespace": (
        lambda: tool_namespace(name="words", description="Words.", tools=look_up),  # type: ignore[arg-type]
        UserError,
        ("'words'", "list of tools", "[...]"),
    ),
    "a number as a mark": (
        lambda: set_conversation_history_wrappers(start=3),  # type: ignore[arg-type]
        TypeError,
        ("start", "3", "str"),
    ),
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
