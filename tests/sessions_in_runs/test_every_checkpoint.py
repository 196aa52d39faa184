"""Issue 4, I07, I20, I21: a three-turn run with two parallel tools and a session, cancelled at every checkpoint.

By default a sample of the checkpoints is tried; `AGENTRUN_SWEEP=full` tries all, `AGENTRUN_SWEEP_SEED` chooses others.
"""

from __future__ import annotations

import os
from typing import Any, Literal

import anyio
import pytest

from agentrun import Agent, RunHooks, Runner, function_tool
from agentrun.memory import InMemorySession
from agentrun.testing import CancelCase, ModelCall, ScriptedModel, cancel_everywhere, function_call

Backend = Literal["asyncio", "trio"]
How = Literal["scope", "immediate", "after_turn", "native"]

SAMPLE = None if os.environ.get("AGENTRUN_SWEEP") == "full" else 12
SEED = int(os.environ.get("AGENTRUN_SWEEP_SEED", "0"))
WAYS: list[tuple[Backend, How]] = [
    *(("asyncio", how) for how in ("scope", "immediate", "after_turn", "native")),
    *(("trio", how) for how in ("scope", "immediate", "after_turn")),
]


class SlowSession(InMemorySession):
    """A session whose every step is a wait, and that is stored item by item: half a write would show."""

    async def get_items(self, limit: int | None = None) -> Any:
        await anyio.sleep(0.01)
        return await super().get_items(limit)

    async def add_items(self, items: Any) -> None:
        for item in items:
            await anyio.sleep(0.01)
            await super().add_items([item])


class Hooks(RunHooks[Any]):
    async def on_tool_end(self, context: Any, agent: Any, tool: Any, result: object) -> None:
        await anyio.sleep(0.005)


def reply(call: ModelCall) -> Any:
    """Two calls, one call, the answer: by what the conversation holds, so that a cut run can be gone on with."""
    outputs = sum(item.get("type") == "function_call_output" for item in call.input)  # type: ignore[union-attr]
    asked = sum(item.get("role") == "user" for item in call.input)  # type: ignore[union-attr]
    if outputs == 0:
        return [function_call("fetch", {}, call_id=f"a{asked}"), function_call("store", {}, call_id=f"b{asked}")]
    if outputs == 2:
        return [function_call("fetch", {}, call_id=f"c{asked}")]
    return "done"


def check_stored(items: list[Any]) -> None:
    """Whole turns only: each call once, with one output, after it; the input at most once."""
    calls = [item["call_id"] for item in items if item.get("type") == "function_call"]
    outputs = [item["call_id"] for item in items if item.get("type") == "function_call_output"]
    assert sorted(calls) == sorted(set(calls)) == sorted(outputs), items
    for item in items:
        if item.get("type") == "function_call_output":
            place = items.index(item)
            assert any(one.get("call_id") == item["call_id"] for one in items[:place]), "an output before its call"
    said = [item["content"] for item in items if item.get("role") == "user"]
    assert len(said) == len(set(said))


def scenario_of(streamed: bool) -> Any:
    async def scenario(case: CancelCase) -> None:
        model = ScriptedModel([reply] * 20)
        session = SlowSession("one")
        case.watch(model)

        @function_tool
        async def fetch() -> str:
            with case.body("fetch"):
                await anyio.sleep(0.03)
            return "fetched"

        @function_tool
        async def store() -> str:
            with case.body("store"):
                await anyio.sleep(0.02)
            return "stored"

        agent: Agent[Any] = Agent("a", model=model, tools=[fetch, store])

        async def follow_up() -> None:
            check_stored(await InMemorySession.get_items(session))
            result = await Runner.run(agent, "and now?", session=session)
            assert result.final_output == "done"
            check_stored(await InMemorySession.get_items(session))
            if case.step is None:
                kinds = [item.get("role") or item["type"] for item in await InMemorySession.get_items(session)]
                assert kinds[:6] == ["user", *["function_call"] * 2, *["function_call_output"] * 2, "function_call"]
                assert kinds.count("user") == 2

        case.follow_up = follow_up
        if streamed:
            async with Runner.run_streamed(agent, "hi", session=session, hooks=Hooks()) as result:
                async for _ in case.cancels(result).stream_events():
                    pass
        else:
            await Runner.run(agent, "hi", session=session, hooks=Hooks())

    return scenario


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "how"), WAYS)
def test_a_cut_run_leaves_whole_turns_and_the_next_run_succeeds(backend: Backend, how: How) -> None:
    for case in cancel_everywhere(scenario_of(streamed=True), backend=backend, how=how, sample=SAMPLE, seed=SEED):
        case.check()


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "how"), [(backend, how) for backend, how in WAYS if how in ("scope", "native")])
def test_a_cut_plain_run_leaves_whole_turns_too(backend: Backend, how: How) -> None:
    for case in cancel_everywhere(scenario_of(streamed=False), backend=backend, how=how, sample=SAMPLE, seed=SEED):
        case.check()


def approving(streamed: bool) -> Any:
    """A paused run whose approved calls run while it is cut: what ran is never run again, what is stored pairs up."""

    async def scenario(case: CancelCase) -> None:
        session = SlowSession("one")
        ran: list[str] = []

        @function_tool(needs_approval=True)
        async def pay(to: str, seconds: float) -> str:
            await anyio.sleep(seconds)
            ran.append(to)
            return f"paid {to}"

        calls = [
            function_call("pay", {"to": "Ann", "seconds": 0.01}, call_id="c1"),
            function_call("pay", {"to": "Bob", "seconds": 0.04}, call_id="c2"),
        ]
        model = ScriptedModel([calls, *["done"] * 5])
        agent: Agent[Any] = Agent("a", model=model, tools=[pay])
        state = (await Runner.run(agent, "hi", session=session)).to_state()
        for item in state.get_interruptions():
            state.approve(item)

        async def follow_up() -> None:
            finished = [item for item in await InMemorySession.get_items(session) if item.get("role") == "assistant"]
            if not finished:
                await Runner.run(agent, state, session=session)
            assert sorted(set(ran)) == ["Ann", "Bob"]
            assert ran.count("Ann") == 1, "an approved call that had ended was run again"
            check_stored(await InMemorySession.get_items(session))

        case.follow_up = follow_up
        if streamed:
            async with Runner.run_streamed(agent, state, session=session) as result:
                async for _ in case.cancels(result).stream_events():
                    pass
        else:
            await Runner.run(agent, state, session=session)

    return scenario


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "how"), WAYS)
def test_a_resumed_run_that_is_cut_runs_no_finished_call_again(backend: Backend, how: How) -> None:
    for case in cancel_everywhere(approving(streamed=True), backend=backend, how=how, sample=SAMPLE, seed=SEED):
        # A run that is paused, or cut before its approved calls have ended, shows open calls (I07).
        case.faults[:] = [fault for fault in case.faults if not fault.startswith("new_items: call")]
        case.check()
