"""features 1, 2 and 9: agents, the run's context, and RunConfig."""

# Callbacks here are written as a user would write them, without types.
# pyright: reportUnknownLambdaType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from typing import Any

import pytest
from anyio.lowlevel import checkpoint

from agentrun import (
    Agent,
    ModelProvider,
    ModelSettings,
    RunConfig,
    RunContextWrapper,
    RunHooks,
    ToolContext,
    UserError,
    function_tool,
)
from agentrun.testing import ScriptedModel, function_call

covers = pytest.mark.covers


@function_tool
async def look(q: str = "") -> str:
    return f"saw {q}"


def call(name: str = "look", call_id: str = "c1", **arguments: Any) -> Any:
    return function_call(name, arguments, call_id=call_id)


@covers("AG-1")
def test_an_agent_takes_its_fields_in_the_documented_order() -> None:
    settings = ModelSettings(temperature=0.5)
    agent = Agent[int]("a", "described", [look], [], {}, "be good", None, [], "gpt", settings, [], [], int)
    assert (agent.name, agent.handoff_description, agent.tools) == ("a", "described", [look])
    assert (agent.instructions, agent.model, agent.model_settings, agent.output_type) == (
        "be good",
        "gpt",
        settings,
        int,
    )
    plain = Agent(name="a")
    assert (plain.tools, plain.handoffs, plain.tool_use_behavior, plain.reset_tool_choice) == (
        [],
        [],
        "run_llm_again",
        True,
    )


@covers("AG-2")
@pytest.mark.parametrize(
    "fields",
    [
        {"name": 3},
        {"name": "a", "tools": (look,)},
        {"name": "a", "tools": None},
        {"name": "a", "handoffs": "b"},
        {"name": "a", "mcp_servers": None},
        {"name": "a", "mcp_config": []},
        {"name": "a", "instructions": 3},
        {"name": "a", "model": 3},
        {"name": "a", "model_settings": {"unknown": 1}},
        {"name": "a", "input_guardrails": None},
        {"name": "a", "output_guardrails": ()},
        {"name": "a", "output_type": "str"},
        {"name": "a", "hooks": RunHooks()},
        {"name": "a", "tool_use_behavior": "sometimes"},
        {"name": "a", "reset_tool_choice": 1},
    ],
    ids=lambda fields: next(reversed(fields)),
)
def test_a_wrong_field_is_a_type_error_at_construction(fields: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        Agent(**fields)


@covers("AG-3")
async def test_instructions_may_be_a_function_or_an_object_of_context_and_agent(run: Any) -> None:
    class Instructions:
        async def __call__(self, context: RunContextWrapper[Any], agent: Agent[Any]) -> str:
            await checkpoint()
            return f"{agent.name} helps {context.context}"

    model = ScriptedModel(["done"] * 3)
    await run(Agent(name="a", model=model, instructions=Instructions()), context="ada")
    await run(Agent(name="a", model=model, instructions=lambda context, agent: "sync"))
    await run(Agent(name="a", model=model, instructions="plain"))
    assert [one.system_instructions for one in model.calls] == ["a helps ada", "sync", "plain"]
    with pytest.raises(TypeError, match=r"2|two"):
        await run(Agent(name="a", model=model, instructions=lambda context: "one"))  # type: ignore[misc, arg-type]


@covers("AG-6")
def test_clone_is_shallow() -> None:
    agent = Agent(name="a", tools=[look], model="gpt")
    twin = agent.clone(name="b")
    assert (twin.name, agent.name) == ("b", "a")
    assert twin.tools is agent.tools
    assert agent.clone(tools=[]).tools == []


@covers("CX-1", "CX-3")
async def test_one_context_object_reaches_everything_and_no_model(run: Any) -> None:
    class Secret:
        def __init__(self) -> None:
            self.seen: list[str] = []

    mine = Secret()

    @function_tool
    async def plain(context: RunContextWrapper[Secret]) -> str:
        assert context.context is mine
        mine.seen.append("tool")
        return "ok"

    @function_tool
    async def rich(context: ToolContext[Secret]) -> str:
        mine.seen.append(f"{context.tool_name} {context.tool_call_id} {context.tool_arguments}")
        context.usage.requests += 100
        return context.qualified_tool_name

    model = ScriptedModel([[call("plain"), call("rich", "c2")], "done"])
    result = await run(Agent(name="a", model=model, tools=[plain, rich]), context=mine)
    assert mine.seen == ["tool", "rich c2 {}"]
    assert result.context_wrapper.context is mine
    assert result.context_wrapper.usage.requests > 100
    assert "Secret" not in str(model.calls)


@covers("CX-2")
async def test_a_decision_has_three_values(run: Any) -> None:
    @function_tool(needs_approval=True)
    async def risky(n: int) -> str:
        return f"did {n}"

    steps = [[call("risky", "c1", n=1), call("risky", "c2", n=2)], [call("risky", "c3", n=3)], "done"]
    agent = Agent(name="a", model=ScriptedModel(steps), tools=[risky])
    paused = await run(agent)
    first, second = paused.interruptions
    state = paused.to_state()
    context = state.context
    assert context.is_tool_approved("risky", "c1") is None
    context.approve_tool(first)
    assert context.is_tool_approved("risky", "c1") is True
    context.reject_tool(second, rejection_message="never")
    assert context.is_tool_approved("risky", "c2") is False
    assert context.get_rejection_message("risky", "c2") == "never"
    context.approve_tool(second, always_approve=True)
    result = await run(agent, state)
    outputs = [item.output for item in result.new_items if item.type == "tool_call_output_item"]
    assert outputs == ["did 1", "did 2", "did 3"]
    assert paused.context_wrapper.is_tool_approved("risky", "c1") is None


@covers("RC-1", "RC-2")
async def test_a_configured_model_overrides_and_names_are_looked_up(run: Any) -> None:
    asked: list[Any] = []
    found = ScriptedModel(["found"] * 3)

    class Provider(ModelProvider):
        def get_model(self, model_name: str | None) -> Any:
            asked.append(model_name)
            return found

    own = ScriptedModel(["own"])
    agent = Agent(name="a", model=own)
    config = RunConfig(model_provider=Provider())
    assert (await run(agent, run_config=config)).final_output == "own"
    assert (await run(Agent(name="b", model="named"), run_config=config)).final_output == "found"
    assert (await run(Agent(name="b"), run_config=config)).final_output == "found"
    assert asked == ["named", None]
    other = ScriptedModel(["configured"])
    assert (await run(agent, run_config=RunConfig(model=other))).final_output == "configured"
    assert (await run(agent, run_config=RunConfig(model="name", model_provider=Provider()))).final_output == "found"
    assert asked == ["named", None, "name"]


@covers("RC-3")
async def test_configured_settings_override_field_by_field(run: Any) -> None:
    model = ScriptedModel(["done"])
    own = ModelSettings(temperature=0.1, max_tokens=5, extra_args={"a": 1, "b": 1})
    config = RunConfig(model_settings=ModelSettings(temperature=0.9, extra_args={"b": 2}))
    await run(Agent(name="a", model=model, model_settings=own), run_config=config)
    settings = model.calls[0].model_settings
    assert (settings.temperature, settings.max_tokens, settings.extra_args) == (0.9, 5, {"a": 1, "b": 2})


@covers("RN-1", "RC-3")
async def test_the_configuration_may_be_a_plain_dict(run: Any) -> None:
    model = ScriptedModel(["done"])
    await run(Agent(name="a", model=model), run_config={"model_settings": {"temperature": 0.5}})
    assert model.calls[0].model_settings.temperature == 0.5
    with pytest.raises(TypeError, match="temprature"):
        await run(Agent(name="a", model=model), run_config={"model_settings": {"temprature": 1}})


@covers("RC-11", "S-36")
async def test_two_tools_of_one_name_are_an_error_when_configured_so(run: Any) -> None:
    other = function_tool(name_override="look")(look.__wrapped__)
    agent = Agent(name="a", model=ScriptedModel(["done"]), tools=[look, other])
    with pytest.raises(UserError, match="look"):
        await run(agent, run_config=RunConfig(tool_name_collision_policy="error"))
