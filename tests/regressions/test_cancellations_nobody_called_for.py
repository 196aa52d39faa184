"""User code that raises the backend's cancellation by itself has failed; that never passes for success."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from agentrun import (
    Agent,
    GuardrailFunctionOutput,
    InMemorySession,
    RunHooks,
    Runner,
    input_guardrail,
    output_guardrail,
)
from agentrun.testing import ScriptedModel


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
