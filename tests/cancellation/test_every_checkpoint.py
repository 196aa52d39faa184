"""A three-turn run with a guardrail, parallel tools, hooks and a handoff, cancelled at every checkpoint in every way.

By default a sample of the checkpoints is tried; `AGENTRUN_SWEEP=full` tries all, `AGENTRUN_SWEEP_SEED` chooses others.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Literal

import anyio
import pytest

from agentrun import (
    Agent,
    GuardrailFunctionOutput,
    ModelRetryAdvice,
    RunConfig,
    RunHooks,
    Runner,
    RunResultStreaming,
    SessionABC,
    Tool,
    function_tool,
    input_guardrail,
    output_guardrail,
)
from agentrun.testing import CancelCase, ModelCall, ModelStep, ScriptedModel, cancel_everywhere, function_call, unpaired

Backend = Literal["asyncio", "trio"]
How = Literal["scope", "immediate", "after_turn", "native"]
Act = Callable[[CancelCase], Awaitable[object]]

FULL = os.environ.get("AGENTRUN_SWEEP") == "full"
SEED = int(os.environ.get("AGENTRUN_SWEEP_SEED", "0"))

BACKENDS: tuple[Backend, ...] = ("asyncio", "trio")
HOWS: dict[str, tuple[How, ...]] = {"asyncio": ("scope", "immediate", "after_turn", "native")}
HOWS["trio"] = HOWS["asyncio"][:3]


def sweep(scenario: Act, backend: Backend, how: How, sample: int = 12) -> Iterator[CancelCase]:
    return cancel_everywhere(scenario, backend=backend, how=how, sample=None if FULL else sample, seed=SEED)


class Hooks(RunHooks[Any]):
    """Hooks that take their time, so that there are checkpoints in them."""

    def __init__(self, case: CancelCase) -> None:
        self.case = case

    async def _take(self, name: str) -> None:
        with self.case.body(f"hook {name}"):
            await anyio.sleep(0.01)

    async def on_agent_start(self, context: Any, agent: Any) -> None:
        await self._take("agent_start")

    async def on_agent_end(self, context: Any, agent: Any, output: Any) -> None:
        await self._take("agent_end")

    async def on_llm_start(self, context: Any, agent: Any, system_prompt: Any, input_items: Any) -> None:
        await self._take("llm_start")

    async def on_llm_end(self, context: Any, agent: Any, response: Any) -> None:
        await self._take("llm_end")

    async def on_tool_start(self, context: Any, agent: Any, tool: Any) -> None:
        await self._take("tool_start")

    async def on_tool_end(self, context: Any, agent: Any, tool: Any, result: object) -> None:
        await self._take("tool_end")

    async def on_handoff(self, context: Any, from_agent: Any, to_agent: Any) -> None:
        await self._take("handoff")


class Cast:
    """The agents of one performance. The model goes by the conversation, so that a cut run can be gone on with."""

    def __init__(self, case: CancelCase, *, extra: tuple[Tool, ...] = (), hooked: bool = True) -> None:
        self.case = case
        self.hooks = Hooks(case) if hooked else None
        self.calls = [function_call("slow", {}, call_id="c1"), function_call("quick", {}, call_id="c2")]
        self.calls += [function_call(tool.name, {"input": "x"}, call_id=f"x{n}") for n, tool in enumerate(extra)]
        self.model = ScriptedModel([self.reply] * 40)
        case.watch(self.model)

        @function_tool
        async def slow() -> str:
            with case.body("slow"):
                try:
                    await anyio.sleep(0.05)
                finally:
                    await anyio.sleep(0.02)
                    case.note("slow cleaned up")
            return "slow"

        @function_tool
        async def quick() -> str:
            with case.body("quick"):
                await anyio.sleep(0.01)
            return "quick"

        @input_guardrail
        async def polite(context: Any, agent: Any, given: Any) -> GuardrailFunctionOutput:
            with case.body("input guardrail"):
                await anyio.sleep(0.03)
            return GuardrailFunctionOutput(None, tripwire_triggered=False)

        @output_guardrail
        async def true(context: Any, agent: Any, output: Any) -> GuardrailFunctionOutput:
            with case.body("output guardrail"):
                await anyio.sleep(0.01)
            return GuardrailFunctionOutput(None, tripwire_triggered=False)

        self.expert: Agent[Any] = Agent("expert", model=self.model, output_guardrails=[true])
        self.triage: Agent[Any] = Agent(
            "triage",
            model=self.model,
            tools=[slow, quick, *extra],
            handoffs=[self.expert],
            input_guardrails=[polite],
        )
        case.follow_up = self.go_on

    def reply(self, call: ModelCall) -> ModelStep:
        seen = {(item.get("type"), item.get("call_id")) for item in call.input if isinstance(item, dict)}
        if ("function_call_output", "c1") not in seen:
            return ModelStep(self.calls, delay=0.01)
        if ("function_call_output", "h1") not in seen:
            return ModelStep([function_call("transfer_to_expert", {}, call_id="h1")], delay=0.01)
        return ModelStep(["all done"], delay=0.01)

    async def go_on(self) -> None:
        """Go on from where the run was left, as a caller would who asks again."""
        data = self.case.run_data
        if data is None or data.to_state().is_finished:
            result = await Runner.run(self.triage, "hi")
        else:
            result = await Runner.run(self.triage, data.to_state())
        assert result.final_output == "all done"
        assert len(result.raw_responses) == 3

    def streamed(self, **options: Any) -> RunResultStreaming:
        return Runner.run_streamed(self.triage, "hi", hooks=self.hooks, run_config=RunConfig(event_buffer=4), **options)


async def plain(case: CancelCase) -> None:
    cast = Cast(case)
    result = await Runner.run(cast.triage, "hi", hooks=cast.hooks)
    assert result.final_output == "all done"


async def in_a_block(case: CancelCase) -> None:
    cast = Cast(case)
    async with cast.streamed() as result:
        async for _ in case.cancels(result).stream_events():
            await anyio.lowlevel.checkpoint()
    check_ended(case, result)


async def in_a_nursery(case: CancelCase) -> None:
    cast = Cast(case)
    async with anyio.create_task_group() as nursery:
        result = case.cancels(cast.streamed(task_group=nursery))
        async for _ in result.stream_events():
            await anyio.lowlevel.checkpoint()
        check_ended(case, result)


async def bare(case: CancelCase) -> None:
    case.told_late = True
    cast = Cast(case)
    result = case.cancels(cast.streamed())
    async for _ in result.stream_events():
        pass
    check_ended(case, result)


async def bare_with_a_busy_body(case: CancelCase) -> None:
    case.settle_seconds = 0.1
    case.told_late = True
    cast = Cast(case)
    result = case.cancels(cast.streamed())
    async for _ in result.stream_events():
        await anyio.lowlevel.checkpoint()
    check_ended(case, result)


def check_ended(case: CancelCase, result: RunResultStreaming) -> None:
    assert result.is_complete
    assert result.run_loop_exception is None
    if not case.cut:
        assert result.final_output == "all done"
    elif case.how == "after_turn":
        assert len(result.raw_responses) == result.current_turn


STREAMED = {"block": in_a_block, "nursery": in_a_nursery, "bare": bare, "bare, busy": bare_with_a_busy_body}


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "how"), [("asyncio", "scope"), ("asyncio", "native"), ("trio", "scope")])
def test_a_plain_run_can_be_cancelled_anywhere(backend: Backend, how: How) -> None:
    for case in sweep(plain, backend, how):
        case.check()
        assert case.outcome == ("cancelled" if case.cut else "completed")


@pytest.mark.slow
@pytest.mark.parametrize("form", STREAMED)
@pytest.mark.parametrize(("backend", "how"), [(backend, how) for backend in BACKENDS for how in HOWS[backend]])
def test_a_streamed_run_can_be_cancelled_anywhere(backend: Backend, how: How, form: str) -> None:
    for case in sweep(STREAMED[form], backend, how):
        case.check()


def expert_tool(case: CancelCase, **options: Any) -> Tool:
    """An agent as a tool, with a tool of its own that takes a while to clean up."""

    @function_tool
    async def deep() -> str:
        with case.body("deep"):
            try:
                await anyio.sleep(0.03)
            finally:
                await anyio.sleep(0.01)
        return "deep"

    def reply(call: ModelCall) -> ModelStep:
        answered = any(item.get("type") == "function_call_output" for item in call.input if isinstance(item, dict))
        return ModelStep(["found"] if answered else [function_call("deep", {}, call_id="d1")], delay=0.005)

    model = ScriptedModel([reply] * 40)
    case.watch(model)
    return Agent("searcher", model=model, tools=[deep]).as_tool("search", "Searches.", **options)


async def nested(case: CancelCase) -> None:
    cast = Cast(case, extra=(expert_tool(case),))
    async with cast.streamed() as result:
        async for _ in case.cancels(result).stream_events():
            await anyio.lowlevel.checkpoint()
    check_ended(case, result)


async def nested_with_a_listener(case: CancelCase) -> None:
    async def listen(event: Any) -> None:
        with case.body("listener"):
            await anyio.sleep(0.001)

    cast = Cast(case, extra=(expert_tool(case, on_stream=listen),))
    async with cast.streamed() as result:
        async for _ in case.cancels(result).stream_events():
            await anyio.lowlevel.checkpoint()
    check_ended(case, result)


async def retrying(case: CancelCase) -> None:
    cast = Cast(case)
    advice = ModelRetryAdvice(suggested=True, replay_safety="safe", retry_after=0.02)
    failing = ModelStep.raise_error(ConnectionError("down"), retry_advice=advice, delay=0.01)
    model = ScriptedModel([failing, failing, *[cast.reply] * 40])
    case.watch(model)
    config = RunConfig(model=model)
    async with Runner.run_streamed(cast.triage, "hi", hooks=cast.hooks, run_config=config) as result:
        async for _ in case.cancels(result).stream_events():
            await anyio.lowlevel.checkpoint()
    check_ended(case, result)


class SlowSession(SessionABC):
    """Keeps items in memory, a while after it was asked to, and tells what a provider would refuse of them."""

    def __init__(self) -> None:
        self.session_id = "s"
        self.stored: list[Any] = []

    async def get_items(self, limit: int | None = None) -> list[Any]:
        await anyio.sleep(0.01)
        return list(self.stored)

    async def add_items(self, items: list[Any]) -> None:
        await anyio.sleep(0.01)
        self.stored += items

    async def pop_item(self) -> Any:
        return self.stored.pop()

    async def clear_session(self) -> None:
        self.stored.clear()


async def with_a_session(case: CancelCase) -> None:
    cast, session = Cast(case), SlowSession()

    async def again() -> None:
        paired = unpaired(session.stored)
        assert not paired, paired
        assert [item.get("role") for item in session.stored].count("user") <= 1
        result = await Runner.run(cast.triage, "again", session=session)
        assert result.final_output == "all done"

    case.follow_up = again
    async with cast.streamed(session=session) as result:
        async for _ in case.cancels(result).stream_events():
            await anyio.lowlevel.checkpoint()
    check_ended(case, result)
    if not case.cut:
        assert [item.get("type") for item in session.stored].count("function_call") == 3


async def plain_with_a_session(case: CancelCase) -> None:
    cast, session = Cast(case), SlowSession()

    async def again() -> None:
        paired = unpaired(session.stored)
        assert not paired, paired
        result = await Runner.run(cast.triage, "again", session=session)
        assert result.final_output == "all done"

    case.follow_up = again
    await Runner.run(cast.triage, "hi", hooks=cast.hooks, session=session)


MORE: dict[str, Act] = {
    "nested": nested,
    "nested, with a listener": nested_with_a_listener,
    "retrying": retrying,
    "session": with_a_session,
}


@pytest.mark.slow
@pytest.mark.parametrize("scenario", MORE)
@pytest.mark.parametrize(("backend", "how"), [(backend, how) for backend in BACKENDS for how in HOWS[backend]])
def test_a_run_with_more_in_it_can_be_cancelled_anywhere(backend: Backend, how: How, scenario: str) -> None:
    for case in sweep(MORE[scenario], backend, how, sample=8):
        case.check()


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "how"), [("asyncio", "scope"), ("asyncio", "native"), ("trio", "scope")])
def test_a_plain_run_on_a_session_can_be_cancelled_anywhere(backend: Backend, how: How) -> None:
    for case in sweep(plain_with_a_session, backend, how):
        case.check()
