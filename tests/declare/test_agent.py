"""Declaring an agent: its fields, its checks, its copies, and what it resolves for a turn (AG-1 to AG-10)."""

from __future__ import annotations

import dataclasses
import gc
import inspect
import weakref
from typing import Any

import anyio
import attrs
import pytest

from agentrun import (
    Agent,
    AgentBase,
    AgentHooks,
    AgentOutputSchema,
    FunctionTool,
    GenerateDynamicPromptData,
    GuardrailFunctionOutput,
    ModelSettings,
    RunConfig,
    RunContextWrapper,
    RunHooks,
    Runner,
    UserError,
    function_tool,
    input_guardrail,
    output_guardrail,
)
from agentrun._agent import output_schema
from agentrun.models import get_default_model_settings
from agentrun.testing import ScriptedModel, assistant_message


@attrs.define
class Customer:
    name: str


@dataclasses.dataclass
class Answer:
    text: str
    score: int


def context_of(value: Any = None) -> RunContextWrapper[Any]:
    return RunContextWrapper(value)


@function_tool
def search(query: str) -> str:
    """Search the web."""
    return query


# AG-1: the constructor


def test_the_constructor_takes_the_documented_arguments_in_the_documented_order() -> None:
    assert list(inspect.signature(Agent).parameters) == [
        "name",
        "handoff_description",
        "tools",
        "mcp_servers",
        "mcp_config",
        "instructions",
        "prompt",
        "handoffs",
        "model",
        "model_settings",
        "input_guardrails",
        "output_guardrails",
        "output_type",
        "hooks",
        "tool_use_behavior",
        "reset_tool_choice",
    ]
    assert list(inspect.signature(AgentBase).parameters) == [
        "name",
        "handoff_description",
        "tools",
        "mcp_servers",
        "mcp_config",
    ]


def test_an_agent_needs_only_a_name() -> None:
    agent = Agent("helper")
    assert (agent.name, agent.tools, agent.handoffs, agent.instructions, agent.output_type) == (
        "helper",
        [],
        [],
        None,
        None,
    )
    assert agent.model_settings == get_default_model_settings()
    assert agent.tool_use_behavior == "run_llm_again"
    assert agent.reset_tool_choice is True
    assert agent.tools is not Agent("other").tools


def test_an_agent_names_its_context_type_by_subscription() -> None:
    agent = Agent[Customer]("helper", instructions=lambda context, agent: context.context.name)
    assert isinstance(agent, Agent)


def test_an_agent_is_shown_by_its_name_alone_so_that_circles_of_agents_can_be_shown() -> None:
    first, second = Agent("first"), Agent("second")
    first.handoffs, second.handoffs = [second], [first]
    assert repr(first) == "Agent(name='first')"


def test_agents_are_equal_only_to_themselves_and_can_be_keys_and_weakly_referenced() -> None:
    agent = Agent("helper")
    assert agent != Agent("helper")
    assert {agent: 1}[agent] == 1
    assert weakref.ref(agent)() is agent


def test_a_subclass_may_add_fields_with_attrs() -> None:
    @attrs.define(eq=False, repr=False)
    class Priced(Agent[Any]):
        price: float = 0.0

    agent = Priced("helper", price=2.5)
    assert agent.clone(name="cheap", price=1.0).price == 1.0
    assert agent.clone().price == 2.5


def test_a_subclass_may_have_a_constructor_and_attributes_of_its_own() -> None:
    class Team(Agent[Any]):
        def __init__(self, topic: str) -> None:
            super().__init__(f"{topic} team")
            self.topic = topic

    copied = Team("billing").clone(instructions="Be brief")
    assert isinstance(copied, Team)
    assert (copied.name, copied.topic, copied.instructions) == ("billing team", "billing", "Be brief")


# AG-2: wrong values are told at construction


def not_a_hook() -> None: ...


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": 7}, "agent: name is 7, expected a str; pass the agent's name first, as in Agent('helper')"),
        ({"handoff_description": 7}, "handoff_description is 7, expected a str or None"),
        ({"tools": (search,)}, "agent 'a': tools is (FunctionTool"),
        ({"tools": None}, "agent 'a': tools is None, expected a list; put the values into [...]"),
        ({"tools": [print]}, "<built-in function print>, expected a tool; decorate the function with @function_tool"),
        ({"tools": [search, "web"]}, "tools[1] is 'web', expected a tool; make a tool with @function_tool"),
        ({"tools": [Agent("b")]}, "tools[0] is Agent(name='b'), expected a tool; use agent.as_tool(...), or put"),
        ({"tools": [FunctionTool]}, "expected a tool; make an object of the class: FunctionTool(...)"),
        ({"mcp_servers": ()}, "mcp_servers is (), expected a list"),
        ({"mcp_config": None}, "mcp_config is None, expected a dict; leave it out for the defaults"),
        ({"instructions": 7}, "instructions is 7, expected a str, a function or None; a function takes"),
        ({"prompt": 7}, "prompt is 7, expected a dict with an id, a function or None"),
        ({"handoffs": ["billing"]}, "handoffs[0] is 'billing', expected an Agent or a Handoff; pass the agent object"),
        ({"handoffs": Agent("b")}, "handoffs is Agent(name='b'), expected a list"),
        ({"model": 7}, "model is 7, expected a str, a Model or None; pass a model's name, or derive from Model"),
        ({"model": ScriptedModel}, "expected a str, a Model or None; make an object of the class"),
        ({"model_settings": {"temprature": 1}}, "agent 'a': model_settings got the unknown key(s) ['temprature']"),
        ({"model_settings": 7}, "agent 'a': model_settings must be a ModelSettings or a dict of its fields, got 7"),
        ({"input_guardrails": [print]}, "expected an InputGuardrail; decorate the function with @input_guardrail"),
        ({"output_guardrails": ()}, "output_guardrails is (), expected a list"),
        ({"output_guardrails": [print]}, "expected an OutputGuardrail; decorate the function with @output_guardrail"),
        ({"output_type": "str"}, "output_type is 'str', expected a type, an AgentOutputSchema or None; pass the type"),
        ({"output_type": Answer("x", 1)}, "an AgentOutputSchema or None; pass the type, not a value of it"),
        ({"hooks": RunHooks()}, "expected an AgentHooks object or None; RunHooks go to Runner.run(hooks=...)"),
        ({"hooks": AgentHooks}, "expected an AgentHooks object or None; make an object of it: AgentHooks()"),
        ({"hooks": not_a_hook}, "expected an AgentHooks object or None; derive its class from AgentHooks"),
        ({"tool_use_behavior": "stop"}, "tool_use_behavior is 'stop', expected 'run_llm_again', 'stop_on_first_tool'"),
        ({"tool_use_behavior": {"stop_at": ["x"]}}, "expected StopAtTools; pass {'stop_at_tool_names': [...]}"),
        ({"reset_tool_choice": "yes"}, "reset_tool_choice is 'yes', expected a bool; pass True or False"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_with_field_value_expectation_and_remedy(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(TypeError) as caught:
        given: dict[str, Any] = {"name": "a", **arguments}
        Agent(**given)
    assert message in str(caught.value)


def test_a_wrong_value_is_refused_when_it_is_assigned_too() -> None:
    agent = Agent("helper")
    with pytest.raises(TypeError, match="agent 'helper': hooks is"):
        agent.hooks = RunHooks()  # type: ignore[assignment]
    with pytest.raises(AttributeError):
        agent.instrutcions = "typo"  # type: ignore[attr-defined]


def test_model_settings_may_be_a_plain_dict() -> None:
    given: Any = {"temperature": 0.5}
    agent = Agent("helper", model_settings=given)
    assert agent.model_settings == ModelSettings(temperature=0.5)


@pytest.mark.parametrize("behavior", ["run_llm_again", "stop_on_first_tool", {"stop_at_tool_names": ["search"]}, print])
def test_every_documented_tool_use_behavior_is_accepted(behavior: Any) -> None:
    assert Agent("helper", tool_use_behavior=behavior).tool_use_behavior == behavior


@pytest.mark.parametrize("output_type", [str, None, int, list[int], Answer, int | None, AgentOutputSchema(Answer)])
def test_every_kind_of_output_type_is_accepted(output_type: Any) -> None:
    assert Agent("helper", output_type=output_type).output_type == output_type


def test_an_output_type_without_a_schema_is_told_at_construction() -> None:
    class Socket:
        def __init__(self, port) -> None:  # type: ignore[no-untyped-def]
            self.port = port

    with pytest.raises(UserError, match=r"agent 'helper': output_type cannot be used: .*Socket.* has no JSON schema"):
        Agent("helper", output_type=Socket)


def test_an_output_type_that_is_not_strict_is_told_at_construction_with_the_remedy() -> None:
    with pytest.raises(UserError, match=r"dict\[str, int\].*strict_json_schema=False"):
        Agent("helper", output_type=dict[str, int])


def test_the_output_schema_is_made_once_for_a_type_and_follows_the_field() -> None:
    first, second = Agent("first", output_type=Answer), Agent("second", output_type=Answer)
    schema = output_schema(first)
    assert schema is not None
    assert schema is output_schema(first) is output_schema(second)
    first.output_type = int
    changed = output_schema(first)
    assert changed is not None
    assert changed.name() == "int"
    assert output_schema(Agent("text", output_type=str)) is None
    assert output_schema(Agent("text")) is None


def test_unions_in_another_order_are_other_output_types() -> None:
    int_first, str_first = Agent("a", output_type=int | str), Agent("b", output_type=str | int)  # type: ignore[arg-type]
    one, other = output_schema(int_first), output_schema(str_first)
    assert one is not None
    assert other is not None
    assert one.json_schema() != other.json_schema()


def test_a_schema_object_is_used_as_it_is() -> None:
    schema = AgentOutputSchema(dict[str, int], strict_json_schema=False)
    assert output_schema(Agent("helper", output_type=schema)) is schema


# AG-3: instructions


async def test_instructions_may_be_text_or_nothing() -> None:
    assert await Agent("helper", instructions="Be kind").get_system_prompt(context_of()) == "Be kind"
    assert await Agent("helper").get_system_prompt(context_of()) is None


async def test_an_instructions_function_gets_context_and_agent_every_time() -> None:
    turns: list[str] = []

    def instruct(context: RunContextWrapper[Customer], agent: Agent[Customer]) -> str:
        turns.append(agent.name)
        return f"Serve {context.context.name}"

    agent = Agent[Customer]("helper", instructions=instruct)
    assert await agent.get_system_prompt(context_of(Customer("Ada"))) == "Serve Ada"
    assert await agent.get_system_prompt(context_of(Customer("Eve"))) == "Serve Eve"
    assert turns == ["helper", "helper"]


async def test_an_async_instructions_function_is_awaited() -> None:
    async def instruct(context: RunContextWrapper[Any], agent: Agent[Any]) -> str:
        await anyio.sleep(1)
        return "late"

    assert await Agent("helper", instructions=instruct).get_system_prompt(context_of()) == "late"


async def test_a_callable_object_with_an_async_call_is_awaited() -> None:
    class Instruct:
        async def __call__(self, context: RunContextWrapper[Any], agent: Agent[Any]) -> str:
            return "from an object"

    assert await Agent("helper", instructions=Instruct()).get_system_prompt(context_of()) == "from an object"


def takes_nothing() -> str:
    return ""


def takes_context(context: Any) -> str:
    return ""


def takes_more(context: Any, agent: Any, more: Any = None) -> str:
    return ""


@pytest.mark.parametrize("instruct", [takes_nothing, takes_context, takes_more])
async def test_an_instructions_function_must_take_exactly_two_parameters(instruct: Any) -> None:
    agent = Agent("helper", instructions=instruct)
    with pytest.raises(
        TypeError, match=r"agent 'helper': the instructions function takes .*expected exactly two parameters"
    ):
        await agent.get_system_prompt(context_of())


async def test_an_instructions_function_must_return_text() -> None:
    def instruct(context: RunContextWrapper[Any], agent: Agent[Any]) -> Any:
        return ["x"]

    with pytest.raises(UserError, match=r"agent 'helper': the instructions function returned \['x'\], expected a str"):
        await Agent("helper", instructions=instruct).get_system_prompt(context_of())


# AG-4: hosted prompts


async def test_a_prompt_is_a_dict_or_a_function_that_returns_one() -> None:
    async def prompt(data: GenerateDynamicPromptData) -> Any:
        return {"id": f"pmpt_{data.agent.name}", "variables": {"customer": data.context.context.name}}

    assert await Agent("helper").get_prompt(context_of()) is None
    assert await Agent("helper", prompt={"id": "pmpt_1", "version": "2"}).get_prompt(context_of()) == {
        "id": "pmpt_1",
        "version": "2",
        "variables": None,
    }
    assert await Agent("helper", prompt=prompt).get_prompt(context_of(Customer("Ada"))) == {
        "id": "pmpt_helper",
        "version": None,
        "variables": {"customer": "Ada"},
    }


async def test_a_prompt_function_must_return_a_dict_with_an_id() -> None:
    def prompt(data: GenerateDynamicPromptData) -> Any:
        return "pmpt_1"

    with pytest.raises(UserError, match="agent 'helper': the prompt is 'pmpt_1', expected a dict with an 'id'"):
        await Agent("helper", prompt=prompt).get_prompt(context_of())


# AG-6: copies


def test_a_clone_shares_lists_that_are_not_replaced() -> None:
    agent = Agent("helper", tools=[search], instructions="Be kind")
    copied = agent.clone(name="other", tools=[])
    assert (copied.name, copied.tools, copied.instructions) == ("other", [], "Be kind")
    assert copied.handoffs is agent.handoffs
    assert agent.tools == [search]


def test_a_clone_is_checked_like_an_agent() -> None:
    with pytest.raises(TypeError, match="agent 'helper': tools is None, expected a list"):
        Agent("helper").clone(tools=None)
    with pytest.raises(
        TypeError, match=r"agent 'helper': clone\(\) got \['tolls'\], expected names of fields of Agent"
    ):
        Agent("helper").clone(tolls=[])


# AG-8: tools for a turn


async def test_only_enabled_tools_are_seen_in_the_order_of_the_list() -> None:
    async def for_ada(context: RunContextWrapper[Any], agent: AgentBase[Any]) -> bool:
        await anyio.sleep(1)
        return bool(context.context.name == "Ada")

    @function_tool(is_enabled=False)
    def hidden() -> str:
        return ""

    @function_tool(is_enabled=for_ada)
    def private() -> str:
        return ""

    agent = Agent("helper", tools=[hidden, private, search])
    assert await agent.get_all_tools(context_of(Customer("Ada"))) == [private, search]
    assert await agent.get_all_tools(context_of(Customer("Eve"))) == [search]
    assert await agent.get_mcp_tools(context_of()) == []


# guardrails in their fields, and nothing kept alive


def test_guardrails_are_declared_on_the_agent() -> None:
    @input_guardrail
    def calm(context: RunContextWrapper[Any], agent: Agent[Any], input: Any) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(None, False)

    @output_guardrail
    def short(context: RunContextWrapper[Any], agent: Agent[Any], output: Any) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(None, False)

    agent = Agent("helper", input_guardrails=[calm], output_guardrails=[short])
    assert agent.input_guardrails == [calm]
    assert agent.output_guardrails == [short]


def test_an_agent_goes_away_with_its_last_reference_also_after_its_handoffs_were_used() -> None:
    gc.disable()
    try:
        target = Agent("target")
        source = Agent("source", handoffs=[target])
        assert len(source.declared_handoffs()) == 1
        gone = weakref.ref(target)
        del source, target
        assert gone() is None
    finally:
        gc.enable()


# The settings of an agent that names none (MO-7)


def reasoning_and_verbosity(settings: ModelSettings) -> tuple[str | None, str | None]:
    return settings.reasoning and settings.reasoning.effort, settings.verbosity


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gpt-5", ("low", "low")),
        ("gpt-5-2025-08-07", ("low", "low")),
        ("gpt-5-mini", (None, "low")),
        ("gpt-5.1", ("none", "low")),
        ("gpt-5.4-pro", ("medium", "low")),
        ("gpt-5-chat-latest", (None, None)),
        ("gpt-4.1", (None, None)),
        ("openai/gpt-5", (None, None)),
        (ScriptedModel([]), (None, None)),
    ],
    ids=str,
)
def test_settings_that_nobody_chose_are_those_that_suit_the_model(model: Any, expected: Any) -> None:
    assert reasoning_and_verbosity(Agent("helper", model=model).model_settings) == expected
    assert reasoning_and_verbosity(Agent("helper").clone(model=model).model_settings) == expected
    if isinstance(model, str):
        assert reasoning_and_verbosity(get_default_model_settings(model)) == expected


def test_settings_that_somebody_chose_stay() -> None:
    chosen = ModelSettings(temperature=1)
    agent = Agent("helper", model="gpt-5", model_settings=chosen)
    assert agent.model_settings is chosen
    assert agent.clone(model="gpt-4.1").model_settings is chosen
    assert reasoning_and_verbosity(Agent("helper", model_settings=ModelSettings()).model_settings) == (None, None)


def test_two_agents_do_not_share_the_settings_nobody_chose() -> None:
    first, second = Agent("first"), Agent("second")
    first.model_settings.temperature = 1
    assert second.model_settings.temperature is None


async def test_settings_that_nobody_chose_follow_the_model_of_the_run() -> None:
    model = ScriptedModel([[assistant_message("hi")], [assistant_message("hi")]])

    await Runner.run(Agent("helper", model="gpt-5"), "hi", run_config=RunConfig(model=model))
    await Runner.run(
        Agent("helper", model="gpt-5", model_settings=ModelSettings(verbosity="high")),
        "hi",
        run_config=RunConfig(model=model),
    )

    assert [reasoning_and_verbosity(call.model_settings) for call in model.calls] == [(None, None), (None, "high")]
