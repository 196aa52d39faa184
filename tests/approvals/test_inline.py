"""painpoints 28, 29 and F13: decisions on calls while the run goes on, over `result.approvals()`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from agentrun import (
    Agent,
    ApprovalRequest,
    RunConfig,
    RunHooks,
    Runner,
    RunResultStreaming,
    RunState,
    ToolExecutionConfig,
    function_tool,
)
from agentrun.testing import ScriptedModel, function_call

REJECTED = "Tool execution was not approved."


class Shop:
    """A tool that needs approval, one that does not, and when each of them ran."""

    def __init__(self, *steps: Any) -> None:
        self.done: list[tuple[str, float]] = []
        self.start = anyio.current_time()

        @function_tool(needs_approval=True)
        async def buy(what: str) -> str:
            self.done.append((f"buy {what}", self.now()))
            return f"bought {what}"

        @function_tool
        async def walk(seconds: float) -> str:
            await anyio.sleep(seconds)
            self.done.append((f"walk {seconds:g}", self.now()))
            return "walked"

        self.model = ScriptedModel(steps or [[buy_call("c1", "tea"), walk_call("c2", 0.1)], "done"])
        self.agent: Agent[Any] = Agent("shop", model=self.model, tools=[buy, walk])

    def now(self) -> float:
        return round(anyio.current_time() - self.start, 2)


def buy_call(call_id: str, what: str) -> Any:
    return function_call("buy", {"what": what}, call_id=call_id)


def walk_call(call_id: str, seconds: float) -> Any:
    return function_call("walk", {"seconds": seconds}, call_id=call_id)


@asynccontextmanager
async def deciding(
    result: RunResultStreaming, decide: Callable[[ApprovalRequest], Any]
) -> AsyncGenerator[list[ApprovalRequest]]:
    """Have a task decide the requests of a run, as they come; yields the requests."""
    requests: list[ApprovalRequest] = []
    coming = result.approvals()  # before the first checkpoint: a resumed run comes to its calls at once

    async def read() -> None:
        async for request in coming:
            requests.append(request)
            answer = decide(request)
            if answer is not None:
                await answer

    async with anyio.create_task_group() as nursery:
        nursery.start_soon(read)
        yield requests


def outputs(result: Any) -> list[Any]:
    return [item.output for item in result.new_items if item.type == "tool_call_output_item"]


async def run_deciding(
    agent: Agent[Any], decide: Callable[[ApprovalRequest], Any], given: Any = "hi", **options: Any
) -> Any:
    async with Runner.run_streamed(agent, given, **options) as result:
        async with deciding(result, decide):
            async for _ in result.stream_events():
                pass
    return result


async def test_a_call_waits_in_place_while_its_siblings_work_on() -> None:
    shop = Shop()

    async def later(request: ApprovalRequest) -> None:
        assert (request.tool_name, request.arguments, request.call_id) == ("buy", '{"what":"tea"}', "c1")
        assert request.agent is shop.agent and request.item.name == "buy" and not request.is_decided
        await anyio.sleep(0.2)
        request.approve()
        assert request.is_decided

    result = await run_deciding(shop.agent, later)
    assert result.final_output == "done" and not result.interruptions
    assert shop.done == [("walk 0.1", 0.1), ("buy tea", 0.2)]
    assert outputs(result) == ["bought tea", "walked"], "in call order"
    assert len(shop.model.calls) == 2, "no model call more than without the question"


async def test_siblings_are_held_back_neither_by_hooks_nor_by_a_limit() -> None:
    """The waiting call takes no slot, and nobody waits for its hooks."""
    told: list[str] = []

    class Hooks(RunHooks[Any]):
        async def on_tool_start(self, context: Any, agent: Any, tool: Any) -> None:
            told.append(tool.name)

    for limit in (None, 1):
        shop = Shop([buy_call("c1", "tea"), walk_call("c2", 0.1), walk_call("c3", 0.1)], "done")
        config = RunConfig(tool_execution=ToolExecutionConfig(max_function_tool_concurrency=limit))

        async def later(request: ApprovalRequest) -> None:
            await anyio.sleep(1)
            request.approve()

        await run_deciding(shop.agent, later, run_config=config, hooks=Hooks())
        assert shop.done[-1] == ("buy tea", 1.0) and shop.done[0] == ("walk 0.1", 0.1)
        assert told == ["walk", "walk", "buy"]
        told.clear()


async def test_a_refusal_tells_the_model_why() -> None:
    shop = Shop()
    result = await run_deciding(shop.agent, lambda request: request.reject("too dear"))
    assert outputs(result) == ["too dear", "walked"] and result.final_output == "done"
    result = await run_deciding(Shop().agent, lambda request: request.reject())
    assert outputs(result) == [REJECTED, "walked"]


async def test_the_first_decision_counts() -> None:
    shop = Shop()

    def twice(request: ApprovalRequest) -> None:
        request.approve()
        request.reject("changed my mind")

    assert outputs(await run_deciding(shop.agent, twice)) == ["bought tea", "walked"]


async def test_always_holds_for_calls_that_wait_and_for_later_ones() -> None:
    shop = Shop([buy_call("c1", "tea"), buy_call("c2", "ham")], [buy_call("c3", "jam")], "done")
    asked: list[str] = []

    async def once(request: ApprovalRequest) -> None:
        asked.append(request.call_id)
        await anyio.sleep(0.1)
        request.approve(always_approve=True)

    result = await run_deciding(shop.agent, once)
    assert [what for what, _ in shop.done] == ["buy tea", "buy ham", "buy jam"]
    assert "c3" not in asked and result.context_wrapper.is_tool_approved("buy", "c9") is True


async def test_after_the_deadline_the_call_is_denied_and_the_run_goes_on() -> None:
    """Painpoint 29: the configured action at the deadline, not later."""
    shop = Shop()
    config = RunConfig(approval_timeout=0.3, on_approval_timeout="deny")
    result = await run_deciding(shop.agent, lambda request: None, run_config=config)
    assert outputs(result) == [REJECTED, "walked"] and shop.now() == 0.3
    assert result.final_output == "done" and [what for what, _ in shop.done] == ["walk 0.1"]


async def test_after_the_deadline_the_call_is_parked_and_decided_days_later() -> None:
    """F13 and painpoint 28: park, JSON, resume; siblings ran once."""
    shop = Shop()
    config = RunConfig(approval_timeout=0.3, on_approval_timeout="park")
    requests: list[ApprovalRequest] = []
    result = await run_deciding(shop.agent, requests.append, run_config=config)
    assert shop.now() == 0.3 and result.final_output is None
    assert [item.call_id for item in result.interruptions] == ["c1"]
    requests[0].approve()
    assert result.to_state().context.is_tool_approved("buy", "c1") is None, "a late decision changes nothing"
    state = await RunState.from_string(shop.agent, result.to_state().to_string())
    state.approve(state.get_interruptions()[0])
    result = await Runner.run(shop.agent, state)
    assert result.final_output == "done" and [what for what, _ in shop.done] == ["walk 0.1", "buy tea"]
    assert len(shop.model.calls) == 2


async def test_a_parked_call_of_a_resumed_run_can_be_decided_inline() -> None:
    shop = Shop([buy_call("c1", "tea"), buy_call("c2", "ham")], "done")
    state = (await Runner.run(shop.agent, "hi")).to_state()
    state.approve(state.get_interruptions()[1])
    before = state.get_interruptions()[0]
    asked: list[Any] = []

    def decide(request: ApprovalRequest) -> None:
        asked.append(request.item)
        request.approve()

    result = await run_deciding(shop.agent, decide, state)
    assert asked == [before], "the same item over the pause"
    assert result.final_output == "done"
    assert sorted(what for what, _ in shop.done) == ["buy ham", "buy tea"]


async def test_parking_by_hand_pauses_the_run_after_its_siblings() -> None:
    shop = Shop()
    result = await run_deciding(shop.agent, lambda request: request.park())
    assert [item.call_id for item in result.interruptions] == ["c1"]
    assert [item.type for item in result.new_items] == [
        "tool_call_item",
        "tool_call_item",
        "tool_call_output_item",
        "tool_approval_item",
    ]


async def test_closing_the_iterator_parks_what_waits() -> None:
    shop = Shop()
    async with Runner.run_streamed(shop.agent, "hi") as result:
        requests = result.approvals()

        async def read_one() -> None:
            await anext(requests)
            await requests.aclose()

        async with anyio.create_task_group() as nursery:
            nursery.start_soon(read_one)
            async for _ in result.stream_events():
                pass
    assert [item.call_id for item in result.interruptions] == ["c1"]


async def test_nobody_listening_pauses_the_run() -> None:
    shop = Shop()
    async with Runner.run_streamed(shop.agent, "hi") as result:
        async for _ in result.stream_events():
            pass
        assert [request async for request in result.approvals()] == [], "the run is over"
    assert [item.call_id for item in result.interruptions] == ["c1"]


@pytest.mark.parametrize("how", ["immediate", "scope"])
async def test_a_cancel_while_a_call_waits_ends_everything_at_once(how: str) -> None:
    """Painpoint 29: settles at once; the iterator of requests ends too."""
    shop = Shop()
    ended: list[float] = []
    with anyio.CancelScope() as scope:
        async with Runner.run_streamed(shop.agent, "hi") as result:

            async def cancel_later(request: ApprovalRequest) -> None:
                await anyio.sleep(0.2)
                if how == "scope":
                    scope.cancel()
                    await anyio.lowlevel.checkpoint()
                result.cancel()

            async with deciding(result, cancel_later):
                async for _ in result.stream_events():
                    pass
        ended.append(shop.now())
    assert shop.now() == 0.2
    assert [what for what, _ in shop.done] == ["walk 0.1"]
    assert result.is_complete and result.final_output is None


async def test_cancel_after_turn_lets_the_waiting_call_be_decided() -> None:
    shop = Shop()
    async with Runner.run_streamed(shop.agent, "hi") as result:

        async def later(request: ApprovalRequest) -> None:
            result.cancel("after_turn")
            await anyio.sleep(0.2)
            request.approve()

        async with deciding(result, later):
            async for _ in result.stream_events():
                pass
    assert outputs(result) == ["bought tea", "walked"] and len(shop.model.calls) == 1
    assert (await Runner.run(shop.agent, result.to_state())).final_output == "done"


async def test_the_limits_of_inline_approvals_are_checked() -> None:
    with pytest.raises((ValueError, TypeError)):
        RunConfig(on_approval_timeout="whatever")  # type: ignore[arg-type]


# --- calls of agents that are used as tools


class Office:
    """A boss whose secretary has a clerk; the clerk has a tool that needs approval, and so has the boss."""

    def __init__(self, *, streamed_inside: bool = False, calls: int = 1) -> None:
        self.done: list[tuple[str, float]] = []
        self.start = anyio.current_time()
        self.events: list[str] = []

        @function_tool(needs_approval=True)
        async def sign(what: str) -> str:
            self.done.append((f"sign {what}", self.now()))
            return f"signed {what}"

        @function_tool
        async def walk(seconds: float) -> str:
            await anyio.sleep(seconds)
            self.done.append((f"walk {seconds:g}", self.now()))
            return "walked"

        def clerk_reply(call: Any) -> Any:
            last = call.input[-1]
            if last.get("type") == "function_call_output":
                return f"clerk: {last['output']}"
            return [function_call("sign", {"what": last["content"]}, call_id="s1")]

        on_stream = self._note if streamed_inside else None
        self.clerk: Agent[Any] = Agent("clerk", model=ScriptedModel([clerk_reply] * 2 * calls), tools=[sign])
        ask_clerk = self.clerk.as_tool("ask_clerk", None, on_stream=on_stream)
        letters = [function_call("ask_clerk", {"input": f"letter {n}"}, call_id=f"k{n}") for n in range(calls)]
        self.secretary: Agent[Any] = Agent(
            "secretary", model=ScriptedModel([letters, "secretary done"]), tools=[ask_clerk]
        )
        ask_secretary = self.secretary.as_tool("ask_secretary", None, on_stream=on_stream)
        self.model = ScriptedModel(
            [
                [
                    function_call("ask_secretary", {"input": "the letters"}, call_id="b1"),
                    function_call("walk", {"seconds": 0.1}, call_id="b2"),
                    function_call("sign", {"what": "cheque"}, call_id="b3"),
                ],
                "done",
            ]
        )
        self.boss: Agent[Any] = Agent("boss", model=self.model, tools=[ask_secretary, walk, sign])

    def _note(self, event: Any) -> None:
        self.events.append(event["event"].type)

    def now(self) -> float:
        return round(anyio.current_time() - self.start, 2)


@pytest.mark.parametrize("streamed_inside", [False, True])
async def test_a_nested_call_waits_in_place_at_any_depth_and_says_by_which_way_it_came(streamed_inside: bool) -> None:
    office = Office(streamed_inside=streamed_inside)
    ways: dict[str, list[str]] = {}

    async def later(request: ApprovalRequest) -> None:
        ways[request.arguments] = [agent.name for agent in request.agents]
        assert request.agent is request.agents[-1]
        await anyio.sleep(0.2)
        request.approve()

    result = await run_deciding(office.boss, later)
    assert result.final_output == "done" and not result.interruptions
    assert ways == {'{"what":"cheque"}': ["boss"], '{"what":"letter 0"}': ["boss", "secretary", "clerk"]}
    assert office.done[0] == ("walk 0.1", 0.1) and sorted(what for what, _ in office.done[1:]) == [
        "sign cheque",
        "sign letter 0",
    ]
    assert outputs(result)[0] == "secretary done" and len(office.model.calls) == 2


async def test_a_nested_call_is_refused_with_its_message() -> None:
    office = Office()
    result = await run_deciding(office.boss, lambda request: request.reject("not today"))
    assert outputs(result) == ["secretary done", "walked", "not today"]
    sent: Any = office.secretary.model.calls[1].input  # type: ignore[union-attr]
    assert sent[-1]["output"] == "clerk: not today" and result.final_output == "done"


async def test_always_holds_in_the_run_that_asked_and_in_no_other() -> None:
    """S-75: each nested run has its own approvals."""
    office = Office(calls=2)
    asked: list[tuple[str, ...]] = []

    async def once(request: ApprovalRequest) -> None:
        asked.append(tuple(agent.name for agent in request.agents))
        request.approve(always_approve=True)
        await anyio.lowlevel.checkpoint()

    result = await run_deciding(office.boss, once)
    assert sorted(asked) == [("boss",), ("boss", "secretary", "clerk"), ("boss", "secretary", "clerk")]
    assert result.final_output == "done"


async def test_a_nested_call_past_the_deadline_is_parked_and_decided_in_another_process() -> None:
    office = Office()
    config = RunConfig(approval_timeout=0.3, on_approval_timeout="park")
    result = await run_deciding(
        office.boss, lambda request: request.approve() if request.agent is office.boss else None, run_config=config
    )
    assert office.now() == 0.3 and result.final_output is None
    assert [(item.agent.name, item.arguments) for item in result.interruptions] == [("clerk", '{"what":"letter 0"}')]
    state = await RunState.from_string(office.boss, result.to_state().to_string())
    asked: list[str] = []

    def decide(request: ApprovalRequest) -> None:
        asked.append(request.agent.name)
        request.approve()

    result = await run_deciding(office.boss, decide, state)
    assert asked == ["clerk"] and result.final_output == "done", "a run that goes on is decided inline too"
    assert [what for what, _ in office.done] == ["sign cheque", "walk 0.1", "sign letter 0"]


async def test_closing_the_iterator_parks_nested_calls_too() -> None:
    office = Office()
    async with Runner.run_streamed(office.boss, "hi") as result:
        requests = result.approvals()

        async def read_both() -> None:
            await anext(requests)
            await anext(requests)
            await requests.aclose()

        async with anyio.create_task_group() as nursery:
            nursery.start_soon(read_both)
            async for _ in result.stream_events():
                pass
    assert [item.agent.name for item in result.interruptions] == ["clerk", "boss"]


async def test_a_cancel_while_a_nested_call_waits_ends_everything_at_once() -> None:
    office = Office()
    async with Runner.run_streamed(office.boss, "hi") as result:

        async def cancel_later(request: ApprovalRequest) -> None:
            if request.agent is office.clerk:
                await anyio.sleep(0.2)
                result.cancel()

        async with deciding(result, cancel_later):
            async for _ in result.stream_events():
                pass
    assert office.now() == 0.2 and [what for what, _ in office.done] == ["walk 0.1"]
    assert result.is_complete and result.final_output is None


async def test_nested_calls_pause_the_run_when_nobody_reads() -> None:
    office = Office()
    result = await Runner.run(office.boss, "hi")
    assert [item.agent.name for item in result.interruptions] == ["clerk", "boss"]
    async with Runner.run_streamed(office.boss, result.to_state()) as streamed:
        async for _ in streamed.stream_events():
            pass
    assert [item.agent.name for item in streamed.interruptions] == ["clerk", "boss"]
