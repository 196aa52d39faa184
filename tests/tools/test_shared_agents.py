"""Agents that several runs use at one time: what a start hook of one gives to an agent is not for the others."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest

from agentrun import Agent, AgentHooks, GuardrailFunctionOutput, RunHooks, Runner, UserError, function_tool
from agentrun._guardrail import InputGuardrail
from agentrun.testing import ModelStep, ScriptedModel, function_call

REFUSED = "tools of agent 'shared' while concurrent runs used it"


@function_tool
def refund() -> str:
    """Give money back."""
    return "refunded"


@function_tool
def look() -> str:
    return "looked"


class Grants(RunHooks[Any]):
    """Gives the agent a tool when it starts, for the staff only."""

    def __init__(self, *, in_place: bool = False, before: float = 0.0, after: float = 0.0, fails: bool = False) -> None:
        self.in_place, self.before, self.after, self.fails = in_place, before, after, fails

    async def on_agent_start(self, context: Any, agent: Any) -> None:
        await anyio.sleep(self.before)
        if self.in_place:
            agent.tools.append(refund)
        else:
            agent.tools = [refund]
        await anyio.sleep(self.after)
        if self.fails:
            raise LookupError("failed")


class Waits(RunHooks[Any]):
    async def on_agent_start(self, context: Any, agent: Any) -> None:
        await anyio.sleep(1)


class AlsoGrants(AgentHooks[Any]):
    async def on_start(self, context: Any, agent: Any) -> None:
        if context.context == "staff":
            agent.tools.append(refund)
        else:
            await anyio.sleep(1)


async def run(streamed: bool, agent: Agent[Any], given: Any, hooks: RunHooks[Any] | None, context: Any = None) -> Any:
    if not streamed:
        return await Runner.run(agent, given, hooks=hooks, context=context)
    async with Runner.run_streamed(agent, given, hooks=hooks, context=context) as result:
        async for _ in result.stream_events():
            pass
    return result


async def together(*runs: Any) -> list[Any]:
    """Begin each of `runs` 0.1 s after the one before; return what each has come to."""
    outcomes: list[Any] = [None] * len(runs)

    async def one(place: int, begin: Any) -> None:
        await anyio.sleep(place / 10)
        try:
            outcomes[place] = await begin()
        except Exception as exc:  # noqa: BLE001 - the tests look at it
            outcomes[place] = exc

    async with anyio.create_task_group() as nursery:
        for place, begin in enumerate(runs):
            nursery.start_soon(one, place, begin)
    return outcomes


def check_refused(*outcomes: Any) -> None:
    for outcome in outcomes:
        assert isinstance(outcome, UserError), outcome
        assert REFUSED in str(outcome)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("in_place", [False, True])
async def test_tools_that_a_start_hook_gives_to_a_shared_agent_are_refused_to_all_its_runs(
    streamed: bool, in_place: bool
) -> None:
    agent = Agent[Any]("shared", model=ScriptedModel(["done"] * 3))
    check_refused(
        *await together(
            lambda: run(streamed, agent, "customer", Waits()),
            lambda: run(streamed, agent, "staff", Grants(in_place=in_place)),
        )
    )
    assert not agent.model.calls  # type: ignore[union-attr]
    assert agent.tools == [refund]
    assert (await run(streamed, agent, "later", Grants())).final_output == "done"


@pytest.mark.parametrize("streamed", [False, True])
async def test_hooks_of_the_agent_are_held_to_the_same(streamed: bool) -> None:
    agent = Agent[Any]("shared", model=ScriptedModel([]), hooks=AlsoGrants())
    check_refused(
        *await together(
            lambda: run(streamed, agent, "hi", None, "customer"), lambda: run(streamed, agent, "hi", None, "staff")
        )
    )


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_run_that_is_alone_by_then_may_change_them(streamed: bool) -> None:
    agent = Agent[Any]("shared", model=ScriptedModel(["done"] * 2))
    first, second = await together(
        lambda: run(streamed, agent, "first", None), lambda: run(streamed, agent, "second", Grants(before=5))
    )
    assert (first.final_output, second.final_output) == ("done", "done")
    assert [tool.name for tool in agent.model.calls[1].tools] == ["refund"]  # type: ignore[union-attr]


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_hook_that_fails_afterwards_has_changed_them_all_the_same(streamed: bool) -> None:
    agent = Agent[Any]("shared", model=ScriptedModel([]))
    waiting, failed = await together(
        lambda: run(streamed, agent, "customer", Waits()), lambda: run(streamed, agent, "staff", Grants(fails=True))
    )
    check_refused(waiting)
    assert isinstance(failed, LookupError)


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_hook_that_is_cancelled_afterwards_has_changed_them_all_the_same(streamed: bool) -> None:
    agent = Agent[Any]("shared", model=ScriptedModel([]))

    async def cut() -> None:
        with anyio.move_on_after(0.5):
            await run(streamed, agent, "staff", Grants(after=9))

    waiting, _ = await together(lambda: run(streamed, agent, "customer", Waits()), cut)
    check_refused(waiting)
    assert not agent.model.calls  # type: ignore[union-attr]


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_run_that_begins_while_such_a_hook_is_at_work_is_refused(streamed: bool) -> None:
    agent = Agent[Any]("shared", model=ScriptedModel([]))
    check_refused(
        *await together(
            lambda: run(streamed, agent, "staff", Grants(after=1)), lambda: run(streamed, agent, "customer", None)
        )
    )


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_turn_in_flight_ends_with_the_tools_it_was_offered_and_no_other_follows(streamed: bool) -> None:
    model = ScriptedModel([ModelStep([function_call("look", {}, call_id="c")], delay=1), "never"])
    agent = Agent[Any]("shared", model=model, tools=[look])
    asked, granting = await together(
        lambda: run(streamed, agent, "customer", None), lambda: run(streamed, agent, "staff", Grants())
    )
    check_refused(asked, granting)
    assert [item.type for item in asked.run_data.new_items] == ["tool_call_item", "tool_call_output_item"]
    assert len(model.calls) == 1


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_run_uses_its_agent_from_before_its_guardrails(streamed: bool) -> None:
    async def judge(context: Any, agent: Any, given: Any) -> GuardrailFunctionOutput:
        await anyio.sleep(0 if context.context == "staff" else 1)
        return GuardrailFunctionOutput(output_info=None, tripwire_triggered=False)

    guardrail = InputGuardrail[Any](judge, run_in_parallel=False)
    agent = Agent[Any]("shared", model=ScriptedModel([]), input_guardrails=[guardrail])
    check_refused(
        *await together(
            lambda: run(streamed, agent, "hi", None, "customer"), lambda: run(streamed, agent, "hi", Grants(), "staff")
        )
    )


@pytest.mark.parametrize("streamed", [False, True])
async def test_an_approved_call_does_not_run_once_the_tools_have_changed(streamed: bool) -> None:
    ran: list[str] = []

    async def slow(context: Any, agent: Any) -> bool:
        await anyio.sleep(1 if context.context == "customer" else 0)
        return True

    @function_tool(needs_approval=True, is_enabled=slow)
    def pay() -> str:
        ran.append("paid")
        return "paid"

    agent = Agent[Any]("shared", model=ScriptedModel([[function_call("pay", {}, call_id="c")]]), tools=[pay])
    state = (await run(streamed, agent, "hi", None, "customer")).to_state()
    state.approve(state.get_interruptions()[0])
    check_refused(
        *await together(
            lambda: run(streamed, agent, state, None), lambda: run(streamed, agent, "hi", Grants(in_place=True))
        )
    )
    assert ran == []


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_run_uses_the_agent_it_hands_over_to_from_when_it_is_chosen(streamed: bool) -> None:
    target = Agent[Any]("shared", model=ScriptedModel([]))
    model = ScriptedModel([[function_call("transfer_to_shared", {}, call_id="h")]])
    source = Agent[Any]("source", model=model, handoffs=[target])
    granting: list[Any] = []

    class Meanwhile(RunHooks[Any]):
        async def on_handoff(self, context: Any, from_agent: Any, to_agent: Any) -> None:
            granting.extend(await together(lambda: run(streamed, target, "staff", Grants())))

    handing, *_ = await together(lambda: run(streamed, source, "hi", Meanwhile()))
    check_refused(handing, *granting)


def test_runs_in_several_threads_use_an_agent_together() -> None:
    agent = Agent[Any]("shared", model=ScriptedModel([]))
    begun, granted = threading.Event(), threading.Event()

    class WaitsForTheOther(RunHooks[Any]):
        async def on_agent_start(self, context: Any, agent: Any) -> None:
            begun.set()
            await anyio.to_thread.run_sync(granted.wait, 20)

    with ThreadPoolExecutor(2) as threads:
        waiting = threads.submit(Runner.run_sync, agent, "customer", hooks=WaitsForTheOther())
        assert begun.wait(20)
        granting = threads.submit(Runner.run_sync, agent, "staff", hooks=Grants())
        try:
            check_refused(granting.exception(20))
        finally:
            granted.set()
        check_refused(waiting.exception(20))
