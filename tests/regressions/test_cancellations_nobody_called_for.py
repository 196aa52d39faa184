"""User code that raises the backend's cancellation by itself has failed; that never passes for success."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from agentrun import (
    Agent,
    FunctionTool,
    GuardrailFunctionOutput,
    InMemorySession,
    OutputGuardrailTripwireTriggered,
    RunConfig,
    RunHooks,
    Runner,
    ToolCallOutputItem,
    UserError,
    function_tool,
    input_guardrail,
    output_guardrail,
    tool_input_guardrail,
    tool_output_guardrail,
)
from agentrun.testing import ScriptedModel, function_call


async def raise_cancellation() -> Any:
    """Raise the backend's cancellation where nothing is cancelled, as a library does that gives up on a task."""
    import asyncio

    import trio

    await checkpoint()
    if anyio.get_cancelled_exc_class() is asyncio.CancelledError:
        raise asyncio.CancelledError("by itself")
    stolen: BaseException = AssertionError("not cancelled")
    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await checkpoint()
        except trio.Cancelled as exc:
            stolen = exc
    raise stolen


@input_guardrail
async def broken_input(context: Any, agent: Any, given: Any) -> GuardrailFunctionOutput:
    return await raise_cancellation()


@output_guardrail
async def broken_output(context: Any, agent: Any, output: Any) -> GuardrailFunctionOutput:
    return await raise_cancellation()


@output_guardrail
async def passing(context: Any, agent: Any, output: Any) -> GuardrailFunctionOutput:
    await anyio.sleep(0.01)
    return GuardrailFunctionOutput(None, False)


async def run(streamed: bool, agent: Agent[Any], **options: Any) -> Any:
    with anyio.fail_after(5):
        if not streamed:
            return await Runner.run(agent, "hi", **options)
        async with Runner.run_streamed(agent, "hi", **options) as result:
            async for _ in result.stream_events():
                pass
        return result


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    "guardrails",
    [
        {"input_guardrails": [broken_input]},
        {"output_guardrails": [broken_output, passing]},
    ],
)
async def test_a_guardrail_without_a_verdict_lets_nothing_through(streamed: bool, guardrails: Any) -> None:
    agent = Agent[Any](name="a", model=ScriptedModel(["an answer"]), **guardrails)
    with pytest.raises(RuntimeError, match="a guardrail raised Cancel"):
        await run(streamed, agent)


class Lost(InMemorySession):
    async def add_items(self, items: Any) -> None:
        if any(item.get("role") == "assistant" for item in items):
            await raise_cancellation()
        await super().add_items(items)


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_turn_that_the_session_did_not_take_is_an_error_and_no_output(streamed: bool) -> None:
    session = Lost()
    with pytest.raises(RuntimeError, match="the session raised Cancel") as raised:
        await run(streamed, Agent[Any](name="a", model=ScriptedModel(["an answer"])), session=session)
    assert raised.value.run_data is not None  # type: ignore[attr-defined]
    assert len(await session.get_items()) == 1


class Broken(RunHooks[Any]):
    async def on_llm_start(self, context: Any, agent: Any, system_prompt: Any, input_items: Any) -> None:
        await raise_cancellation()


@pytest.mark.parametrize("form", ["plain", "block", "bare"])
async def test_a_hook_that_raises_it_gives_no_stream_that_ends_as_if_all_were_well(form: str) -> None:
    agent = Agent[Any](name="a", model=ScriptedModel(["an answer"]))
    with pytest.raises(anyio.get_cancelled_exc_class()):
        if form == "bare":
            async for _ in Runner.run_streamed(agent, "hi", hooks=Broken()).stream_events():
                pass
        else:
            await run(form == "block", agent, hooks=Broken())


async def broken(*arguments: Any) -> Any:
    return await raise_cancellation()


async def answer() -> str:
    return "an output"


def tool(function: Any = answer, **options: Any) -> FunctionTool:
    return function_tool(function, name_override="t", **options)


def agent_tool(**options: Any) -> FunctionTool:
    return Agent[Any](name="nested", model=ScriptedModel(["an output"])).as_tool("t", None, **options)


class BrokenAround(RunHooks[Any]):
    def __init__(self, moment: str) -> None:
        self.moment = moment

    async def on_tool_start(self, context: Any, agent: Any, tool: Any) -> None:
        await (raise_cancellation() if self.moment == "start" else checkpoint())

    async def on_tool_end(self, context: Any, agent: Any, tool: Any, result: Any) -> None:
        await (raise_cancellation() if self.moment == "end" else checkpoint())


async def run_tool(streamed: bool, one: FunctionTool, hooks: Any = None) -> Any:
    model = ScriptedModel([[function_call("t", {"input": "x"} if one.nests_run else {}, call_id="c")], "an answer"])
    result = await run(streamed, Agent[Any](name="a", model=model, tools=[one]), hooks=hooks)
    outputs = [item.output for item in result.new_items if item.type == "tool_call_output_item"]
    assert result.final_output == "an answer"
    return outputs


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    "make",
    [
        lambda: tool(tool_input_guardrails=[tool_input_guardrail(broken)]),
        lambda: tool(tool_output_guardrails=[tool_output_guardrail(broken)]),
        lambda: tool(custom_data_extractor=broken),
        lambda: tool(lambda: 1 / 0, failure_error_function=broken),
        lambda: agent_tool(custom_output_extractor=broken, failure_error_function=None),
    ],
)
async def test_no_call_is_lost_with_what_belongs_to_its_tool(streamed: bool, make: Any) -> None:
    with pytest.raises(UserError, match=r"Error running tool t: .* raised Cancel.* although nobody cancelled it"):
        await run_tool(streamed, make())


@pytest.mark.parametrize("moment", ["start", "end"])
async def test_no_call_is_lost_with_a_hook_of_it(moment: str) -> None:
    with pytest.raises(UserError, match=r"Error running tool t: .*hook.* raised Cancel.* although nobody cancelled it"):
        await run_tool(False, tool(), BrokenAround(moment))


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("option", ["custom_output_extractor", "input_builder"])
async def test_the_failure_function_of_an_agent_tool_is_told_of_it(streamed: bool, option: str) -> None:
    told: list[Exception] = []

    def word(context: Any, error: Exception) -> str:
        told.append(error)
        return "it failed"

    options: dict[str, Any] = {option: broken}
    assert await run_tool(streamed, agent_tool(**options, failure_error_function=word)) == ["it failed"]
    assert isinstance(told[0], RuntimeError)
    assert isinstance(told[0].__cause__, anyio.get_cancelled_exc_class())


async def test_a_handler_of_nested_events_that_raises_it_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    assert await run_tool(False, agent_tool(on_stream=broken)) == ["an output"]
    assert "the on_stream handler of agent tool 't' failed with RuntimeError; the run goes on" in caplog.text


def raise_as_asyncio_does() -> str:
    import asyncio

    raise asyncio.CancelledError("in the thread")


@pytest.mark.real_clock
async def test_a_sync_tool_that_raises_it_in_its_thread_has_failed() -> None:
    import asyncio

    one = tool(raise_as_asyncio_does, failure_error_function=lambda context, error: f"it failed: {error}")
    if anyio.get_cancelled_exc_class() is asyncio.CancelledError:
        assert await run_tool(False, one) == ["it failed: tool t raised CancelledError although nobody cancelled it"]
    else:  # there it is an exception like KeyboardInterrupt, which no tool catches
        with pytest.raises(asyncio.CancelledError, match="in the thread"):
            await run_tool(False, one)


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_formatter_that_raises_it_lets_no_rejected_output_out(streamed: bool) -> None:
    @output_guardrail
    async def refuse(context: Any, agent: Any, output: Any) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(None, True)

    async def word(args: Any) -> Any:
        return await raise_cancellation()

    @function_tool
    def look() -> str:
        return "a secret"

    model = ScriptedModel([[function_call("look", {}, call_id="c1")]])
    agent = Agent[Any](
        "a", model=model, tools=[look], output_guardrails=[refuse], tool_use_behavior="stop_on_first_tool"
    )
    with pytest.raises(OutputGuardrailTripwireTriggered) as caught:
        await run(streamed, agent, run_config=RunConfig(output_guardrail_blocked_message=word))
    assert caught.value.run_data is not None
    [output] = [item for item in caught.value.run_data.new_items if isinstance(item, ToolCallOutputItem)]
    assert output.output == "Output withheld by an output guardrail."
