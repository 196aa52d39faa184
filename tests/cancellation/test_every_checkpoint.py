"""A three-turn run with a guardrail, two parallel tools, hooks and a handoff, cancelled at every checkpoint in every way.

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
    RunConfig,
    RunHooks,
    Runner,
    RunResultStreaming,
    Tool,
    function_tool,
    input_guardrail,
    output_guardrail,
)
from agentrun.testing import CancelCase, ModelCall, ModelStep, ScriptedModel, cancel_everywhere, function_call

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
    """The agents of one performance. The model goes by the conversation, so that a cancelled run can be gone on with."""

    def __init__(self, case: CancelCase, *, extra: tuple[Tool, ...] = (), hooked: bool = True) -> None:
        self.case = case
        self.hooks = Hooks(case) if hooked else None
        self.calls = [function_call("slow", {}, call_id="c1"), function_call("quick", {}, call_id="c2")]
        self.calls += [function_call(tool.name, {"input": "x"}, call_id=f"x{n}") for n, tool in enumerate(extra)]
        self.model = ScriptedModel([self._reply] * 40)
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

    def _reply(self, call: ModelCall) -> ModelStep:
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
@pytest.mark.parametrize("how", ["scope", "native"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_plain_run_can_be_cancelled_anywhere(backend: Backend, how: How) -> None:
    if how not in HOWS[backend]:
        pytest.skip("trio has no such thing")
    for case in sweep(plain, backend, how):
        case.check()
        assert case.outcome == ("cancelled" if case.cut else "completed")


@pytest.mark.slow
@pytest.mark.parametrize("form", STREAMED)
@pytest.mark.parametrize("how", HOWS["asyncio"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_streamed_run_can_be_cancelled_anywhere(backend: Backend, how: How, form: str) -> None:
    if how not in HOWS[backend]:
        pytest.skip("trio has no such thing")
    for case in sweep(STREAMED[form], backend, how):
        case.check()
