"""What type checkers infer where users write agents and runs; mypy and pyright read this file, nobody runs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, assert_type

from agentrun import (
    Agent,
    AgentHookContext,
    AgentHooks,
    FunctionTool,
    GuardrailFunctionOutput,
    Handoff,
    InputGuardrail,
    ModelResponse,
    ModelSettings,
    OutputGuardrail,
    RunConfig,
    RunContextWrapper,
    RunErrorDetails,
    RunHooks,
    Runner,
    RunResult,
    RunResultStreaming,
    RunState,
    StreamEvent,
    Tool,
    ToolContext,
    ToolGuardrailFunctionOutput,
    ToolInputGuardrail,
    ToolInputGuardrailData,
    ToolOutputGuardrail,
    ToolOutputGuardrailData,
    TResponseInputItem,
    Usage,
    function_tool,
    handoff,
    input_guardrail,
    output_guardrail,
    run_data,
    tool_input_guardrail,
    tool_output_guardrail,
)
from agentrun.items import RunItem, structure_event, structure_item, unstructure_item


@dataclass
class Account:
    """A context of the caller's."""

    name: str


@function_tool
def plain(city: str) -> str:
    return city


@function_tool(name_override="other", timeout=3)
async def configured(context: ToolContext[Account], city: str) -> str:
    assert_type(context.context, Account)
    assert_type(context.tool_name, str)
    assert_type(context.usage, Usage)
    return city


assert_type(plain, FunctionTool)
assert_type(configured, FunctionTool)


@input_guardrail
async def polite(
    context: RunContextWrapper[Account], agent: Agent[Account], given: str | list[TResponseInputItem]
) -> GuardrailFunctionOutput:
    assert_type(context.context, Account)
    return GuardrailFunctionOutput(None, tripwire_triggered=False)


@output_guardrail(name="short")
def short(context: RunContextWrapper[Account], agent: Agent[Account], output: str) -> GuardrailFunctionOutput:
    return GuardrailFunctionOutput(None, tripwire_triggered=len(output) > 10)


@tool_input_guardrail
def allowed(data: ToolInputGuardrailData) -> ToolGuardrailFunctionOutput:
    assert_type(data.agent, Agent[Any])
    return ToolGuardrailFunctionOutput.allow()


@tool_output_guardrail
async def checked(data: ToolOutputGuardrailData) -> ToolGuardrailFunctionOutput:
    return ToolGuardrailFunctionOutput.reject_content("no")


assert_type(polite, InputGuardrail[Account])
assert_type(short, OutputGuardrail[Account])
assert_type(allowed, ToolInputGuardrail[Any])
assert_type(checked, ToolOutputGuardrail[Any])


class Watch(RunHooks[Account]):
    async def on_agent_start(self, context: AgentHookContext[Account], agent: Agent[Account]) -> None:
        assert_type(context.context, Account)

    async def on_llm_end(
        self, context: RunContextWrapper[Account], agent: Agent[Account], response: ModelResponse
    ) -> None:
        assert_type(response.usage, Usage)

    async def on_tool_start(self, context: RunContextWrapper[Account], agent: Agent[Account], tool: Tool) -> None:
        assert_type(tool.name, str)


class WatchOne(AgentHooks[Account]):
    async def on_start(self, context: AgentHookContext[Account], agent: Agent[Account]) -> None:
        assert_type(agent.name, str)


def instructions(context: RunContextWrapper[Account], agent: Agent[Account]) -> str:
    return f"Talk to {context.context.name}"


agent = Agent[Account](
    name="support",
    instructions=instructions,
    tools=[plain, configured],
    input_guardrails=[polite],
    output_guardrails=[short],
    hooks=WatchOne(),
    model_settings=ModelSettings(temperature=0.1),
)
assert_type(agent, Agent[Account])
assert_type(agent.tools, list[Tool])
assert_type(agent.clone(name="other"), Agent[Account])
assert_type(handoff(agent), Handoff[Account, Agent[Account]])
assert_type(agent.as_tool("ask", "Ask."), FunctionTool)


async def run() -> None:
    result = await Runner.run(agent, "hi", context=Account("me"), hooks=Watch(), run_config=RunConfig())
    assert_type(result, RunResult)
    assert_type(result.new_items, list[RunItem])
    assert_type(result.last_agent, Agent[Any])
    assert_type(result.final_output_as(int), int)
    assert_type(result.to_input_list(), list[TResponseInputItem])
    assert_type(result.to_state(), RunState[Any])

    streamed = Runner.run_streamed(agent, [{"role": "user", "content": "hi"}], context=Account("me"))
    assert_type(streamed, RunResultStreaming)
    async for event in streamed.stream_events():
        assert_type(event, StreamEvent)
        if event.type == "run_item_stream_event":
            assert_type(event.item, RunItem)
    async with Runner.run_streamed(agent, "hi") as inside:
        assert_type(inside, RunResultStreaming)

    assert_type(Runner.run_sync(agent, "hi"), RunResult)
    assert_type(run_data(ValueError()), RunErrorDetails | None)


assert_type(unstructure_item(structure_item({"type": "message"})), TResponseInputItem)
structure_event({"type": "response.created"})
