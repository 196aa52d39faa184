"""semantics.md C: hooks; features 15."""

# Callbacks here are written as a user would write them, without types.
# pyright: reportUnknownLambdaType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from typing import Any

import anyio
import pytest

from agentrun import (
    Agent,
    AgentHookContext,
    AgentHooks,
    MaxTurnsExceeded,
    ModelInputData,
    RunConfig,
    RunHooks,
    ToolContext,
    UserError,
    function_tool,
    handoff,
)
from agentrun.testing import ScriptedModel, function_call

covers = pytest.mark.covers


def call(name: str = "look", call_id: str = "c1", **arguments: Any) -> Any:
    return function_call(name, arguments, call_id=call_id)


@function_tool
async def look(q: str = "") -> str:
    return f"saw {q}"


class Log(RunHooks[Any]):
    """Writes down every hook of a run."""

    def __init__(self, log: list[str]) -> None:
        self.log = log

    async def on_agent_start(self, context: Any, agent: Any) -> None:
        self.log.append(f"run.agent_start {agent.name}")

    async def on_agent_end(self, context: Any, agent: Any, output: Any) -> None:
        self.log.append(f"run.agent_end {agent.name} {output}")

    async def on_llm_start(self, context: Any, agent: Any, system_prompt: Any, input_items: Any) -> None:
        self.log.append(f"run.llm_start {agent.name}")

    async def on_llm_end(self, context: Any, agent: Any, response: Any) -> None:
        self.log.append(f"run.llm_end {agent.name}")

    async def on_tool_start(self, context: Any, agent: Any, tool: Any) -> None:
        self.log.append(f"run.tool_start {tool.name}")

    async def on_tool_end(self, context: Any, agent: Any, tool: Any, result: Any) -> None:
        self.log.append(f"run.tool_end {tool.name} {result}")

    async def on_handoff(self, context: Any, from_agent: Any, to_agent: Any) -> None:
        self.log.append(f"run.handoff {from_agent.name} {to_agent.name}")


class AgentLog(AgentHooks[Any]):
    """Writes down every hook of an agent."""

    def __init__(self, log: list[str]) -> None:
        self.log = log

    async def on_start(self, context: Any, agent: Any) -> None:
        self.log.append(f"agent.start {agent.name}")

    async def on_end(self, context: Any, agent: Any, output: Any) -> None:
        self.log.append(f"agent.end {agent.name} {output}")

    async def on_llm_start(self, context: Any, agent: Any, system_prompt: Any, input_items: Any) -> None:
        self.log.append(f"agent.llm_start {agent.name}")

    async def on_llm_end(self, context: Any, agent: Any, response: Any) -> None:
        self.log.append(f"agent.llm_end {agent.name}")

    async def on_tool_start(self, context: Any, agent: Any, tool: Any) -> None:
        self.log.append(f"agent.tool_start {tool.name}")

    async def on_tool_end(self, context: Any, agent: Any, tool: Any, result: Any) -> None:
        self.log.append(f"agent.tool_end {tool.name} {result}")

    async def on_handoff(self, context: Any, agent: Any, source: Any) -> None:
        self.log.append(f"agent.handoff {source.name} {agent.name}")


def paired(log: list[str]) -> list[str]:
    """Return the log with the two hooks of a moment in one order; the contract leaves theirs open."""
    return [entry for at in range(0, len(log), 2) for entry in sorted(log[at : at + 2])]


@covers("S-17", "HK-1", "HK-2")
async def test_hooks_of_a_tool_turn_and_an_answer_come_in_order(run: Any) -> None:
    log: list[str] = []
    model = ScriptedModel([[call(q="x")], "done"])
    agent = Agent(name="a", model=model, tools=[look], hooks=AgentLog(log))
    await run(agent, hooks=Log(log))
    assert paired(log) == [
        *("agent.start a", "run.agent_start a", "agent.llm_start a", "run.llm_start a"),
        *("agent.llm_end a", "run.llm_end a", "agent.tool_start look", "run.tool_start look"),
        *("agent.tool_end look saw x", "run.tool_end look saw x", "agent.llm_start a", "run.llm_start a"),
        *("agent.llm_end a", "run.llm_end a", "agent.end a done", "run.agent_end a done"),
    ]


@covers("S-18", "HK-3")
async def test_with_several_tools_every_start_comes_before_any_body_and_ends_in_completion_order(run: Any) -> None:
    log: list[str] = []

    @function_tool
    async def slow() -> str:
        log.append("body slow")
        await anyio.sleep(2)
        return "s"

    @function_tool
    async def fast() -> str:
        log.append("body fast")
        await anyio.sleep(1)
        return "f"

    class Hooks(RunHooks[Any]):
        async def on_tool_start(self, context: Any, agent: Any, tool: Any) -> None:
            log.append(f"start {tool.name}")

        async def on_tool_end(self, context: Any, agent: Any, tool: Any, result: Any) -> None:
            log.append(f"end {tool.name}")

    model = ScriptedModel([[call("slow", "c1"), call("fast", "c2")], "done"])
    await run(Agent(name="a", model=model, tools=[slow, fast]), hooks=Hooks())
    assert log == ["start slow", "start fast", "body slow", "body fast", "end fast", "end slow"]


@covers("S-18", "RC-9")
async def test_llm_start_gets_what_the_filter_made(run: Any) -> None:
    seen: list[Any] = []

    class Hooks(RunHooks[Any]):
        async def on_llm_start(self, context: Any, agent: Any, system_prompt: Any, input_items: Any) -> None:
            seen.append((system_prompt, list(input_items)))

    def rewrite(data: Any) -> ModelInputData:
        assert data.agent.name == "a"
        assert data.context == 5
        data.model_data.input.append({"role": "user", "content": "more"})
        return ModelInputData(data.model_data.input, "be brief")

    model = ScriptedModel([[call()], "done"])
    agent = Agent(name="a", model=model, tools=[look], instructions="be good")
    result = await run(agent, context=5, hooks=Hooks(), run_config=RunConfig(call_model_input_filter=rewrite))
    assert seen[0] == ("be brief", [{"role": "user", "content": "hi"}, {"role": "user", "content": "more"}])
    assert seen[0][1] == model.calls[0].input
    assert len(model.calls[1].input) == 4, "the filter's addition is not kept"
    assert result.input == "hi"
    assert "more" not in str(result.to_input_list())

    async def wrong(data: Any) -> Any:
        return data.model_data.input

    with pytest.raises(UserError, match="ModelInputData"):
        await run(agent, run_config=RunConfig(call_model_input_filter=wrong))


@covers("S-19", "HK-2", "HK-1")
async def test_a_handoff_tells_its_callback_then_the_run_and_the_source_then_the_filter(run: Any) -> None:
    log: list[str] = []

    def on_handoff(context: Any) -> None:
        log.append("callback")

    def filter_input(data: Any) -> Any:
        log.append("filter")
        return data

    b = Agent(name="b", model=ScriptedModel(["from b"]), hooks=AgentLog(log))
    a = Agent(
        name="a",
        model=ScriptedModel([[call("transfer_to_b", "h")]]),
        hooks=AgentLog(log),
        handoffs=[handoff(b, on_handoff=on_handoff, input_filter=filter_input)],
    )
    await run(a, hooks=Log(log))
    start = log.index("callback")
    assert sorted(log[start + 1 : start + 3]) == ["agent.handoff a b", "run.handoff a b"]
    assert log[start + 3] == "filter"
    assert sorted(log[start + 4 : start + 6]) == ["agent.start b", "run.agent_start b"]


@covers("S-19")
async def test_end_hooks_see_outputs_of_handlers_and_tools_and_no_unfinished_run(run: Any) -> None:
    log: list[str] = []
    hooks = Log(log)

    def ends() -> list[str]:
        found = [entry for entry in log if "agent_end" in entry]
        log.clear()
        return found

    agent = Agent(name="a", model=ScriptedModel([[call(q="x")]]), tools=[look], tool_use_behavior="stop_on_first_tool")
    await run(agent, hooks=hooks)
    assert ends() == ["run.agent_end a saw x"]
    agent = Agent(name="a", model=ScriptedModel([[call()]]), tools=[look])
    await run(agent, hooks=hooks, max_turns=1, error_handlers={"max_turns": lambda data: "enough"})
    assert ends() == ["run.agent_end a enough"]
    agent = Agent(name="a", model=ScriptedModel([[call()]]), tools=[look])
    with pytest.raises(MaxTurnsExceeded):
        await run(agent, hooks=hooks, max_turns=1)
    assert ends() == []

    @function_tool(needs_approval=True)
    async def risky() -> str:
        return ""

    await run(Agent(name="a", model=ScriptedModel([[call("risky")]]), tools=[risky]), hooks=hooks)
    assert ends() == []


@covers("HK-3", "ER-1", "ER-5")
@pytest.mark.parametrize("moment", ["agent_start", "llm_start", "llm_end", "agent_end", "handoff"])
async def test_a_failing_hook_fails_the_run_with_its_own_exception(run: Any, moment: str) -> None:
    error = ZeroDivisionError("hook")

    async def fail(*args: Any, **kwargs: Any) -> None:
        raise error

    hooks: Any = type("Failing", (RunHooks,), {f"on_{moment}": fail})()
    b = Agent(name="b", model=ScriptedModel(["done"]))
    with pytest.raises(ZeroDivisionError) as caught:
        await run(Agent(name="a", model=ScriptedModel([[call("transfer_to_b", "h")]]), handoffs=[b]), hooks=hooks)
    assert caught.value is error
    assert error.run_data is not None  # type: ignore[attr-defined]


@covers("HK-3", "ER-5")
@pytest.mark.parametrize("moment", ["tool_start", "tool_end"])
async def test_a_failing_tool_hook_is_a_user_error(run: Any, moment: str) -> None:
    error = ZeroDivisionError("hook")

    async def fail(*args: Any, **kwargs: Any) -> None:
        raise error

    hooks: Any = type("Failing", (RunHooks,), {f"on_{moment}": fail})()
    with pytest.raises(UserError, match=r"^Error running tool look: hook$") as caught:
        await run(Agent(name="a", model=ScriptedModel([[call()]]), tools=[look]), hooks=hooks)
    assert caught.value.__cause__ is error


@covers("CX-3", "CX-4", "CX-1")
async def test_hooks_get_the_contexts_of_their_moment(run: Any) -> None:
    seen: dict[str, Any] = {}

    class Hooks(RunHooks[Any]):
        async def on_agent_start(self, context: Any, agent: Any) -> None:
            seen["start"] = context

        async def on_tool_start(self, context: Any, agent: Any, tool: Any) -> None:
            seen["tool"] = context

        async def on_agent_end(self, context: Any, agent: Any, output: Any) -> None:
            seen["end"] = context

    mine = {"user": "ada"}
    agent = Agent(name="a", model=ScriptedModel([[call(q="x")], "done"]), tools=[look])
    result = await run(agent, context=mine, hooks=Hooks())
    assert isinstance(seen["start"], AgentHookContext)
    assert seen["start"].turn_input == [{"role": "user", "content": "hi"}]
    assert isinstance(seen["end"], AgentHookContext)
    assert seen["end"].turn_input == [{"role": "user", "content": "hi"}]
    tool = seen["tool"]
    assert isinstance(tool, ToolContext)
    assert (tool.tool_name, tool.tool_call_id, tool.tool_arguments) == ("look", "c1", '{"q":"x"}')
    assert tool.agent is agent
    assert tool.usage is result.context_wrapper.usage
    assert all(context.context is mine for context in seen.values())
