"""design.md section 7: runs on one session queue, and two runs never wait for each other's session for ever."""

from __future__ import annotations

import functools
from typing import Any

import anyio
import pytest

from agentrun import Agent, RunConfig, RunContextWrapper, Runner, SessionBusy, function_tool
from agentrun.memory import InMemorySession
from agentrun.testing import ScriptedModel, function_call


class House:
    """Runs that hold a session each, and want others' through agents used as tools."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self.ended: list[tuple[str, float]] = []
        self.start = anyio.current_time()
        self.sessions: dict[str, InMemorySession] = {}

    def session(self, name: str) -> InMemorySession:
        return self.sessions.setdefault(name, InMemorySession(name))

    def _failure(self, context: Any, error: Exception) -> str:
        self.errors.append(error)
        return f"failed: {type(error).__name__}"

    def agent(self, name: str, wants: str | Agent[Any], *, within: str = "", after: float = 1) -> Agent[Any]:
        """An agent that waits, and then calls one that works on the session `wants`, or another agent."""

        @function_tool
        async def wait() -> str:
            await anyio.sleep(after)
            return "waited"

        inner = wants if isinstance(wants, Agent) else Agent[Any](f"in {wants}", model=ScriptedModel(["inner done"]))
        session = self.session(within or str(wants)) if within or isinstance(wants, str) else None
        tool = inner.as_tool("inner", None, session=session, failure_error_function=self._failure)
        steps = [
            [function_call("wait", {}, call_id="w")],
            [function_call("inner", {"input": "go"}, call_id="n")],
            f"{name} done",
        ]
        return Agent(name, model=ScriptedModel(steps), tools=[wait, tool])

    async def run(self, agent: Agent[Any], session: str, **options: Any) -> Any:
        result = await Runner.run(agent, "hi", session=self.session(session), **options)
        self.ended.append((agent.name, round(anyio.current_time() - self.start, 2)))
        return result


async def test_two_runs_that_want_each_others_session_do_not_wait_for_ever() -> None:
    house = House()
    with anyio.fail_after(10):
        async with anyio.create_task_group() as nursery:
            nursery.start_soon(house.run, house.agent("A", "y"), "x")
            nursery.start_soon(house.run, house.agent("B", "x", after=2), "y")
    [error] = house.errors
    assert isinstance(error, SessionBusy)
    assert "session 'x' is held by a run that waits for session 'y', which this run holds" in str(error)
    assert house.ended == [("B", 2.0), ("A", 2.0)], "the one that was told goes on, and lets the other go on"


async def test_a_circle_of_three_is_found_and_a_chain_of_three_is_none() -> None:
    for last, errors in (("x", 1), ("w", 0)):
        house = House()
        with anyio.fail_after(10):
            async with anyio.create_task_group() as nursery:
                nursery.start_soon(house.run, house.agent("A", "y"), "x")
                nursery.start_soon(house.run, house.agent("B", "z", after=2), "y")
                nursery.start_soon(house.run, house.agent("C", last, after=3), "z")
        assert len(house.errors) == errors
        assert [name for name, _ in house.ended] == ["C", "B", "A"]


async def test_a_circle_is_found_where_the_wait_is_nested_deeper() -> None:
    """A holds x, its agent tool holds m, and the agent tool of that wants y; B holds y and wants x."""
    house = House()
    middle = house.agent("M", "y", after=0)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as nursery:
            nursery.start_soon(house.run, house.agent("A", middle, within="m"), "x")
            nursery.start_soon(house.run, house.agent("B", "x", after=2), "y")
    [error] = house.errors
    assert isinstance(error, SessionBusy) and "'x'" in str(error) and "'y'" in str(error)


async def test_a_run_in_the_queue_behind_another_is_in_no_circle() -> None:
    """B waits for x, which A holds; A's nested run waits for y behind C. All of them end."""
    house = House()
    with anyio.fail_after(20):
        async with anyio.create_task_group() as nursery:
            nursery.start_soon(house.run, house.agent("C", "free", after=3), "y")
            nursery.start_soon(house.run, house.agent("A", "y"), "x")
            await anyio.sleep(0.1)
            nursery.start_soon(house.run, house.agent("B", "free", after=1), "x")
    assert house.errors == [] and sorted(name for name, _ in house.ended) == ["A", "B", "C"]


async def test_two_nested_runs_of_one_reply_may_share_a_session() -> None:
    """Siblings of one run queue for it like any others; neither waits for what holds both."""
    house = House()
    inner: Agent[Any] = Agent("inner", model=ScriptedModel(["one", "two"]))
    tool = inner.as_tool("inner", None, session=house.session("y"), failure_error_function=None)
    calls = [function_call("inner", {"input": f"go {n}"}, call_id=f"n{n}") for n in (1, 2)]
    agent: Agent[Any] = Agent("A", model=ScriptedModel([calls, "done"]), tools=[tool])
    with anyio.fail_after(5):
        assert (await house.run(agent, "x")).final_output == "done"
    kept = [item.get("role") for item in await house.session("y").get_items()]
    assert kept == ["user", "assistant"] * 2


async def test_after_a_cancel_nobody_waits_and_nothing_is_held() -> None:
    house = House()
    with anyio.move_on_after(1.5):
        async with anyio.create_task_group() as nursery:
            nursery.start_soon(house.run, house.agent("A", "y"), "x")
            nursery.start_soon(house.run, house.agent("B", "free", after=5), "y")
    reject = RunConfig(session_busy="reject")
    with anyio.fail_after(10):
        await house.run(house.agent("C", "y", after=0), "x", run_config=reject)
    assert house.errors == []


async def test_a_task_that_outlives_its_run_does_not_hold_its_session() -> None:
    house = House()
    order: list[str] = []

    async with anyio.create_task_group() as nursery:

        async def later() -> None:
            await anyio.sleep(5)
            order.append("later begins")
            await house.run(house.agent("L", "free", after=0), "x")
            order.append("later ends")

        @function_tool
        async def leave_behind(context: RunContextWrapper[Any]) -> str:
            nursery.start_soon(later)
            return "left"

        model = ScriptedModel([[function_call("leave_behind", {}, call_id="c")], "done"])
        await house.run(Agent[Any]("A", model=model, tools=[leave_behind]), "x")
        await anyio.sleep(4.5)
        async with anyio.create_task_group() as others:
            others.start_soon(functools.partial(house.run, house.agent("B", "free", after=2), "x"))
            await anyio.sleep(0.6)
        order.append("B ended")
    assert order == ["later begins", "B ended", "later ends"]


@pytest.mark.parametrize("may_wait", [True, False])
async def test_a_refused_wait_names_the_session(may_wait: bool) -> None:
    house = House()
    config = RunConfig(session_busy="wait" if may_wait else "reject")
    async with anyio.create_task_group() as nursery:
        nursery.start_soon(house.run, house.agent("A", "free"), "x")
        await anyio.sleep(0.1)
        if may_wait:
            await house.run(house.agent("B", "free", after=0), "x", run_config=config)
        else:
            with pytest.raises(SessionBusy, match="session 'x' is held by another run"):
                await house.run(house.agent("B", "free", after=0), "x", run_config=config)
