"""features.md SE-4 to SE-7; semantics.md I and J: when a run reads and writes its session, and what."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from agentrun import (
    Agent,
    GuardrailFunctionOutput,
    InputGuardrailTripwireTriggered,
    MaxTurnsExceeded,
    OutputGuardrailTripwireTriggered,
    RunConfig,
    Runner,
    RunState,
    RunTimeoutError,
    SessionBusy,
    SessionSettings,
    Timeouts,
    UserError,
    function_tool,
    handoff,
    input_guardrail,
    output_guardrail,
)
from agentrun.extensions.handoff_filters import remove_all_tools
from agentrun.memory import InMemorySession
from agentrun.testing import ModelStep, ScriptedModel, assistant_message, function_call


class Notebook(InMemorySession):
    """A session that keeps a log of what was asked of it."""

    def __init__(self, session_id: str = "one", **options: Any) -> None:
        super().__init__(session_id, **options)
        self.log: list[Any] = []
        self.seconds = 0.0
        """How long a write takes."""
        self.broken: dict[str, Exception] = {}

    async def get_items(self, limit: int | None = None) -> Any:
        self.log.append(("get", limit))
        if "get" in self.broken:
            raise self.broken["get"]
        return await super().get_items(limit)

    async def add_items(self, items: Any) -> None:
        self.log.append(("add", [short(item) for item in items]))
        if "add" in self.broken:
            raise self.broken["add"]
        await anyio.sleep(self.seconds)
        await super().add_items(items)

    async def kept(self) -> list[str]:
        """What is stored, one word an item."""
        return [short(item) for item in await InMemorySession.get_items(self)]


def short(item: Any) -> str:
    kind = item.get("type", "message")
    if kind == "message":
        content = item["content"]
        return f"{item['role']}:{content if isinstance(content, str) else content[0]['text']}"
    return f"{'out' if kind.endswith('_output') else 'call'}:{item['call_id']}"


def work(call_id: str) -> Any:
    return function_call("work", {}, call_id=call_id)


def agent_of(*steps: Any, needs_approval: bool = False, **options: Any) -> Agent[Any]:
    @function_tool(needs_approval=needs_approval)
    async def work() -> str:
        return "worked"

    return Agent("a", model=ScriptedModel(steps), tools=[work], **options)


def sent(agent: Agent[Any], call: int = -1) -> list[str]:
    model: Any = agent.model
    return [short(item) for item in model.calls[call].input]


# --- when


async def test_one_read_the_input_and_then_whole_turns(run: Any) -> None:
    """S-60, S-61, S-62; Q3: the same for both kinds of run."""
    session = Notebook()
    agent = agent_of([work("c1"), work("c2")], [work("c3")], "done")
    await run(agent, session=session)
    assert session.log == [
        ("get", None),
        ("add", ["user:hi"]),
        ("add", ["call:c1", "call:c2", "out:c1", "out:c2"]),
        ("add", ["call:c3", "out:c3"]),
        ("add", ["assistant:done"]),
    ]
    agent = agent_of("more")
    await run(agent, [{"role": "user", "content": "and"}, {"role": "user", "content": "now"}], session=session)
    assert sent(agent)[-3:] == ["assistant:done", "user:and", "user:now"] and len(sent(agent)) == 10
    assert (await session.kept())[-3:] == ["user:and", "user:now", "assistant:more"]


async def test_what_is_stored_is_plain_items(run: Any) -> None:
    """S-65."""
    session = Notebook()
    await run(agent_of([work("c1")], "done"), session=session)
    for item in await session.get_items():
        assert type(item) is dict
        assert not {"agent", "output_value"} & set(item)


@pytest.mark.parametrize("blocking", [True, False])
async def test_a_tripped_input_guardrail_leaves_the_input_alone(run: Any, blocking: bool) -> None:
    """S-61, S-63, I21."""

    @input_guardrail(run_in_parallel=not blocking)
    async def never(context: Any, agent: Any, given: Any) -> GuardrailFunctionOutput:
        await anyio.sleep(0.1)
        return GuardrailFunctionOutput(None, tripwire_triggered=True)

    session = Notebook()
    with pytest.raises(InputGuardrailTripwireTriggered):
        await run(agent_of([work("c1")], "done", input_guardrails=[never]), session=session)
    assert await session.kept() == ["user:hi"]
    await run(agent_of("fine"), "again", session=session)
    assert await session.kept() == ["user:hi", "user:again", "assistant:fine"]


async def test_a_failing_blocking_guardrail_leaves_the_input_in_both_kinds_of_run(run: Any) -> None:
    """Q3."""

    @input_guardrail(run_in_parallel=False)
    async def broken(context: Any, agent: Any, given: Any) -> GuardrailFunctionOutput:
        raise OSError("broken")

    session = Notebook()
    with pytest.raises(OSError, match="broken"):
        await run(agent_of("done", input_guardrails=[broken]), session=session)
    assert await session.kept() == ["user:hi"]


async def test_a_failing_model_leaves_input_and_finished_turns(run: Any) -> None:
    """S-61, S-62, I21."""
    session = Notebook()
    with pytest.raises(ConnectionError):
        await run(agent_of([work("c1")], ModelStep.raise_error(ConnectionError("lost"))), session=session)
    assert await session.kept() == ["user:hi", "call:c1", "out:c1"]
    agent = agent_of("fine")
    await run(agent, "again", session=session)
    assert sent(agent) == ["user:hi", "call:c1", "out:c1", "user:again"]


async def test_max_turns_keeps_every_turn(run: Any) -> None:
    """S-63."""
    session = Notebook()
    with pytest.raises(MaxTurnsExceeded):
        await run(agent_of([work("c1")], [work("c2")], "x"), session=session, max_turns=2)
    assert await session.kept() == ["user:hi", "call:c1", "out:c1", "call:c2", "out:c2"]


@pytest.mark.parametrize("made_by", ["message", "tool"])
@pytest.mark.parametrize("verdict", ["trip", "raise", "pass"])
async def test_output_guardrails_decide_about_the_final_turn(run: Any, made_by: str, verdict: str) -> None:
    """S-62, S-63."""

    @output_guardrail
    async def judge(context: Any, agent: Any, output: Any) -> GuardrailFunctionOutput:
        if verdict == "raise":
            raise OSError("broken")
        return GuardrailFunctionOutput(None, tripwire_triggered=verdict == "trip")

    session = Notebook()
    if made_by == "message":
        agent = agent_of([work("c1")], "done", output_guardrails=[judge])
    else:
        agent = agent_of([work("c1")], output_guardrails=[judge], tool_use_behavior="stop_on_first_tool")
    if verdict == "pass":
        await run(agent, session=session)
    else:
        with pytest.raises((OutputGuardrailTripwireTriggered, OSError)):
            await run(agent, session=session)
    kept = await session.kept()
    assert kept[:3] == ["user:hi", "call:c1", "out:c1"]
    assert kept[3:] == (["assistant:done"] if made_by == "message" and verdict != "trip" else [])
    output = (await session.get_items())[2]["output"]
    assert (output == "worked") is (made_by == "message" or verdict != "trip"), "a judged output is withheld"


async def test_a_paused_run_stores_its_calls_and_the_resumed_one_what_is_new(run: Any) -> None:
    """S-63, S-64."""
    session = Notebook()
    agent = agent_of([work("c1"), work("c2")], "done", needs_approval=True)
    result = await run(agent, session=session)
    assert await session.kept() == ["user:hi", "call:c1", "call:c2"]
    state = await RunState.from_string(agent, result.to_state().to_string())
    state.approve(state.get_interruptions()[1])
    result = await run(agent, state, session=session)
    assert await session.kept() == ["user:hi", "call:c1", "call:c2", "out:c2"]
    state = await RunState.from_string(agent, result.to_state().to_string())
    state.reject(state.get_interruptions()[0])
    session.log.clear()
    result = await run(agent, state, session=session)
    assert session.log == [("add", ["out:c1"]), ("add", ["assistant:done"])], (
        "nothing is read, the input is not written again"
    )
    assert sent(agent) == ["user:hi", "call:c1", "call:c2", "out:c2", "out:c1"]


async def test_open_calls_of_a_paused_run_do_not_reach_the_model_of_a_later_run(run: Any) -> None:
    """SE-7, I20, I21."""
    session = Notebook()
    await run(agent_of([work("c1")], needs_approval=True), session=session)
    agent = agent_of("fine")
    await run(agent, "forget it", session=session)
    assert sent(agent) == ["user:hi", "user:forget it"]
    assert await session.kept() == ["user:hi", "call:c1", "user:forget it", "assistant:fine"], "it stays stored"


async def test_a_stop_before_the_first_turn_stores_nothing_and_reads_once(run: Any) -> None:
    """A run that is stopped after it has read and before it has written goes on without doubling the history."""
    session = Notebook()
    await session.add_items([{"role": "user", "content": "old"}, {"role": "assistant", "content": "times"}])
    agent = agent_of("done")
    async with Runner.run_streamed(agent, "new", session=session) as result:
        result.cancel("after_turn")
        async for _ in result.stream_events():
            pass
    assert not agent.model.calls  # type: ignore[union-attr]
    state = await RunState.from_string(agent, result.to_state().to_string())
    await run(agent, state, session=session)
    assert sent(agent) == ["user:old", "assistant:times", "user:new"]
    assert await session.kept() == ["user:old", "assistant:times", "user:new", "assistant:done"]


async def test_after_turn_leaves_a_whole_turn_and_the_rest_follows(run: Any) -> None:
    """I06, I07."""
    session = Notebook()
    agent = agent_of([work("c1"), work("c2")], "done")
    async with Runner.run_streamed(agent, "hi", session=session) as result:
        async for event in result.stream_events():
            if event.type == "run_item_stream_event":
                result.cancel("after_turn")
    assert await session.kept() == ["user:hi", "call:c1", "call:c2", "out:c1", "out:c2"]
    await run(agent, result.to_state(), session=session)
    assert await session.kept() == ["user:hi", "call:c1", "call:c2", "out:c1", "out:c2", "assistant:done"]


# --- what is read


async def test_a_limit_is_asked_for_and_cut_pairs_stay_out(run: Any) -> None:
    """S-60, SE-3, SE-7."""
    session = Notebook(session_settings=SessionSettings(limit=100))
    await run(agent_of([work("c1"), work("c2")], "done"), session=session)
    assert session.log[0] == ("get", 100)
    agent = agent_of("more")
    await run(agent, "next", session=session, run_config=RunConfig(session_settings=SessionSettings(limit=2)))
    assert ("get", 2) in session.log
    assert sent(agent) == ["assistant:done", "user:next"], "an output without its call is no input"
    assert len(await session.kept()) == 8


async def test_the_callers_own_input_is_passed_on_as_it_is(run: Any) -> None:
    """S-3 (7), SE-7: only history is tidied."""
    session = Notebook()
    agent = agent_of("done")
    given = [{"type": "function_call_output", "call_id": "x", "output": "late"}, {"role": "user", "content": "so?"}]
    await run(agent, given, session=session)
    assert sent(agent) == ["out:x", "user:so?"]


async def test_a_callback_makes_the_input_and_only_new_items_are_stored(run: Any) -> None:
    """SE-5."""
    session = Notebook()
    await session.add_items([{"role": "user", "content": f"old {n}"} for n in range(3)])

    async def combine(history: list[Any], new: list[Any]) -> list[Any]:
        history[0]["content"] = "changed"
        new[0]["content"] = new[0]["content"].upper()
        return [history[-1], {"role": "developer", "content": "note"}, *new]

    agent = agent_of("done")
    await run(agent, "hi", session=session, run_config=RunConfig(session_input_callback=combine))
    assert sent(agent) == ["user:old 2", "developer:note", "user:HI"]
    assert await session.kept() == [
        "user:old 0",
        "user:old 1",
        "user:old 2",
        "developer:note",
        "user:HI",
        "assistant:done",
    ]


async def test_a_callback_that_returns_no_list_fails_the_run_before_any_request(run: Any) -> None:
    """SE-5."""
    session = Notebook()
    agent = agent_of("done")
    with pytest.raises(UserError, match="session_input_callback returned 'x'"):
        await run(agent, session=session, run_config=RunConfig(session_input_callback=lambda old, new: "x"))  # type: ignore[arg-type, return-value]
    assert await session.kept() == [] and not agent.model.calls  # type: ignore[union-attr]


async def test_a_callback_cannot_change_the_callers_items(run: Any) -> None:
    given = [{"role": "user", "content": "hi"}]

    def spoil(old: list[Any], new: list[Any]) -> list[Any]:
        new[0]["content"] = "spoilt"
        return new

    await run(agent_of("done"), given, session=Notebook(), run_config=RunConfig(session_input_callback=spoil))
    assert given == [{"role": "user", "content": "hi"}]


class Wrapped(InMemorySession):
    """A session whose methods all take the run's context."""

    def __init__(self) -> None:
        super().__init__("wrapped")
        self.seen: list[Any] = []

    async def get_items(self, limit: int | None = None, *, wrapper: Any = None) -> Any:
        self.seen.append(wrapper and wrapper.context)
        return await super().get_items(limit)

    async def add_items(self, items: Any, wrapper: Any = None) -> None:
        self.seen.append(wrapper and wrapper.context)
        await super().add_items(items)

    async def pop_item(self, *, wrapper: Any = None) -> Any:
        return await super().pop_item()

    async def clear_session(self, *, wrapper: Any = None) -> None:
        await super().clear_session()


class HalfWrapped(Wrapped):
    """One of them does not: a conversation could not be deleted for the user it was written for."""

    async def clear_session(self) -> None:  # type: ignore[override]
        await super().clear_session()


@pytest.mark.parametrize("kind", [Wrapped, HalfWrapped])
async def test_a_session_whose_methods_all_want_the_context_gets_it(run: Any, kind: type[Wrapped]) -> None:
    """SE-1."""
    session = kind()
    await run(agent_of("done"), session=session, context="mine")
    assert session.seen == ["mine" if kind is Wrapped else None] * 3


@pytest.mark.parametrize(
    "option", [{"conversation_id": "c"}, {"previous_response_id": "r"}, {"auto_previous_response_id": True}]
)
async def test_a_session_goes_with_no_conversation_kept_elsewhere(run: Any, option: Any) -> None:
    """SE-6, S-68."""
    with pytest.raises(UserError, match="session goes with no"):
        await run(agent_of("done"), session=Notebook(), **option)
    with pytest.raises(UserError, match="session goes with no"):
        Runner.run_streamed(agent_of("done"), "hi", session=Notebook(), **option)


# --- paused turns that output guardrails are still to judge


@output_guardrail
async def accept(context: Any, agent: Any, output: Any) -> GuardrailFunctionOutput:
    return GuardrailFunctionOutput(output_info=None, tripwire_triggered=False)


@output_guardrail
async def reject(context: Any, agent: Any, output: Any) -> GuardrailFunctionOutput:
    return GuardrailFunctionOutput(output_info=None, tripwire_triggered=True)


ASKS = [assistant_message("first this"), function_call("work", {}, call_id="c")]


@pytest.mark.parametrize(
    ("options", "config", "at_once"),
    [
        ({}, {}, True),
        ({"output_guardrails": [accept]}, {}, True),
        ({"tool_use_behavior": "stop_on_first_tool"}, {}, True),
        ({"tool_use_behavior": "stop_on_first_tool", "output_guardrails": [accept]}, {}, False),
        ({"tool_use_behavior": "stop_on_first_tool"}, {"output_guardrails": [accept]}, False),
    ],
)
async def test_a_paused_turn_is_stored_when_it_is_over_if_its_output_may_be_judged(
    run: Any, options: Any, config: Any, at_once: bool
) -> None:
    session = Notebook()
    agent = agent_of(ASKS, "done", needs_approval=True, **options)
    paused = await run(agent, session=session, run_config=RunConfig(**config))
    assert len(await session.kept()) == (3 if at_once else 1)
    state = await RunState.from_json(agent, paused.to_state().to_json())
    state.approve(state.get_interruptions()[0])
    await Runner.run(agent, state, session=session, run_config=RunConfig(**config))
    assert (await session.kept())[:4] == ["user:hi", "assistant:first this", "call:c", "out:c"]


async def test_what_a_handoff_filter_leaves_out_of_such_a_turn_is_never_stored(run: Any) -> None:
    session = Notebook()
    target = Agent("target", model=ScriptedModel(["done"]))
    agent = agent_of(
        [*ASKS, function_call("transfer_to_target", {}, call_id="h")],
        needs_approval=True,
        output_guardrails=[accept],
        tool_use_behavior={"stop_at_tool_names": ["work"]},
        handoffs=[handoff(target, input_filter=remove_all_tools)],
    )
    state = (await run(agent, session=session)).to_state()
    state.approve(state.get_interruptions()[0])
    result = await Runner.run(agent, state, session=session)
    assert result.final_output == "done"
    assert await session.kept() == ["user:hi", "assistant:first this", "assistant:done"]


async def test_a_trip_after_the_pause_takes_the_messages_of_the_turn_with_it(run: Any) -> None:
    session = Notebook()
    agent = agent_of(ASKS, needs_approval=True, output_guardrails=[reject], tool_use_behavior="stop_on_first_tool")
    state = (await run(agent, session=session)).to_state()
    state.approve(state.get_interruptions()[0])
    with pytest.raises(OutputGuardrailTripwireTriggered):
        await Runner.run(agent, state, session=session)
    assert await session.kept() == ["user:hi", "call:c", "out:c"]


# --- failing and slow sessions


@pytest.mark.parametrize("what", ["get", "add"])
async def test_a_session_that_raises_fails_the_run_with_its_own_error(run: Any, what: str) -> None:
    """S-66, I09."""
    session = Notebook()
    session.broken[what] = error = OSError("disk full")
    agent = agent_of("done")
    with pytest.raises(OSError, match="disk full") as caught:
        await run(agent, session=session)
    assert caught.value is error and not agent.model.calls  # type: ignore[union-attr]
    assert caught.value.run_data is not None  # type: ignore[attr-defined]


async def test_a_write_that_fails_at_the_end_leaves_no_final_output() -> None:
    """S-66, Q2."""
    session = Notebook()

    def reply(call: Any) -> str:
        session.broken["add"] = OSError("disk full")
        return "done"

    with pytest.raises(OSError, match="disk full"):
        async with Runner.run_streamed(agent_of(reply), "hi", session=session) as result:
            async for _ in result.stream_events():
                pass
    assert result.final_output is None


@pytest.mark.parametrize("fails", ["tool", "guardrail"])
async def test_a_write_that_fails_as_well_does_not_hide_why_the_run_failed(
    run: Any, fails: str, caplog: pytest.LogCaptureFixture
) -> None:
    """S-66: what was to be written goes into the next write."""
    session = Notebook()

    @function_tool
    async def work() -> str:
        session.broken["add"] = OSError("disk full")
        return "worked"

    @function_tool(failure_error_function=None)
    async def fail() -> str:
        await anyio.sleep(1)
        raise ValueError("failed")

    @output_guardrail
    async def judge(context: Any, agent: Any, output: Any) -> GuardrailFunctionOutput:
        raise ValueError("failed")

    calls = [function_call("work", {}, call_id="w"), function_call("fail", {}, call_id="f")]
    agent = agent_of(calls if fails == "tool" else calls[:1], "done").clone(tools=[work, fail])
    if fails == "guardrail":
        agent = agent.clone(tool_use_behavior="stop_on_first_tool", output_guardrails=[judge])
    with pytest.raises((UserError, ValueError), match="failed") as caught:
        await run(agent, session=session)
    assert [item.type for item in caught.value.run_data.new_items] == [  # type: ignore[union-attr]
        "tool_call_item",
        "tool_call_output_item",
    ]
    assert "disk full" not in caplog.text
    assert "the session raised OSError" in caplog.text


@pytest.mark.parametrize("at", [0.05, 0.29, 0.35, 0.65, 0.7])
async def test_a_slow_write_that_is_cancelled_is_stored_once_or_not_at_all(run: Any, at: float) -> None:
    """Painpoint 10: a write that takes 0.3 s, cut in the middle."""
    session = Notebook()
    session.seconds = 0.3
    start = anyio.current_time()
    with anyio.move_on_after(at):
        await run(agent_of([work("c1"), work("c2")], "done"), session=session)
    assert anyio.current_time() - start <= at + 0.3 + 0.01
    kept = await session.kept()
    assert kept in (
        ["user:hi"],
        ["user:hi", "call:c1", "call:c2", "out:c1", "out:c2"],
        ["user:hi", "call:c1", "call:c2", "out:c1", "out:c2", "assistant:done"],
    )
    session.seconds = 0
    await run(agent_of("fine"), "again", session=session)
    assert (await session.kept())[len(kept) :] == ["user:again", "assistant:fine"]


async def test_a_write_that_does_not_end_is_given_up_after_its_deadline(run: Any) -> None:
    session = Notebook()
    session.seconds = 1000
    start = anyio.current_time()
    with pytest.raises(RunTimeoutError, match="save"):
        await run(agent_of("done"), session=session, run_config=RunConfig(timeouts=Timeouts(save=2)))
    assert anyio.current_time() - start == pytest.approx(2)


# --- several runs on one session


def block(session_id: str, name: str) -> list[str]:
    return [f"user:{name}", f"call:{name}", f"out:{name}", f"assistant:{name} done"]


def slow_agent(name: str) -> Agent[Any]:
    @function_tool
    async def work() -> str:
        await anyio.sleep(1)
        return "worked"

    return Agent(name, model=ScriptedModel([[function_call("work", {}, call_id=name)], f"{name} done"]), tools=[work])


async def test_runs_on_one_session_queue_in_order(run: Any) -> None:
    """Painpoint 25: three whole blocks, in the order the runs began."""
    session = Notebook()
    async with anyio.create_task_group() as nursery:
        for name in "ABC":
            nursery.start_soon(lambda name: run(slow_agent(name), name, session=session), name)
            await anyio.lowlevel.checkpoint()
            await anyio.sleep(0.01)
    assert await session.kept() == block("one", "A") + block("one", "B") + block("one", "C")


async def test_another_object_for_the_same_conversation_waits_too_and_another_conversation_does_not(run: Any) -> None:
    store: list[Any] = []

    class Shared(Notebook):
        def __init__(self, session_id: str) -> None:
            super().__init__(session_id)
            self._items, self.lock_key = store, "the one store"

    start = anyio.current_time()
    async with anyio.create_task_group() as nursery:
        for name in "AB":
            nursery.start_soon(lambda name: run(slow_agent(name), name, session=Shared("same")), name)
            await anyio.sleep(0.01)
    assert [short(item) for item in store] == block("", "A") + block("", "B")
    assert anyio.current_time() - start == pytest.approx(2, abs=0.1)
    start = anyio.current_time()
    async with anyio.create_task_group() as nursery:
        for name in "AB":
            nursery.start_soon(lambda name: run(slow_agent(name), name, session=Notebook(name)), name)
    assert anyio.current_time() - start == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("victim", ["A", "B"])
async def test_cancelling_one_of_the_queue_leaves_the_others_whole(run: Any, victim: str) -> None:
    """Painpoint 25: the waiting run leaves no trace; the running one what it had finished."""
    session = Notebook()
    scopes = {name: anyio.CancelScope() for name in "ABC"}

    async def one(name: str) -> None:
        with scopes[name]:
            await run(slow_agent(name), name, session=session)

    async with anyio.create_task_group() as nursery:
        for name in "ABC":
            nursery.start_soon(one, name)
            await anyio.sleep(0.01)
        await anyio.sleep(0.5)
        scopes[victim].cancel()
    left = {"A": ["user:A", *block("", "B")], "B": block("", "A")}[victim]
    assert await session.kept() == left + block("", "C")


async def test_a_busy_session_can_be_refused_at_once(run: Any) -> None:
    """Painpoint 25."""
    session = Notebook()
    reject = RunConfig(session_busy="reject")
    async with anyio.create_task_group() as nursery:
        nursery.start_soon(lambda: run(slow_agent("A"), "A", session=session, run_config=reject))
        await anyio.sleep(0.5)
        start = anyio.current_time()
        with pytest.raises(SessionBusy, match="'one'"):
            await run(slow_agent("B"), "B", session=session, run_config=reject)
        assert anyio.current_time() - start <= 0.01
    assert await session.kept() == block("", "A")
    await run(slow_agent("C"), "C", session=session, run_config=reject)


async def test_in_memory_sessions_are_apart_whatever_their_id(run: Any) -> None:
    start = anyio.current_time()
    async with anyio.create_task_group() as nursery:
        for name in "AB":
            config = RunConfig(session_busy="reject")
            agent = slow_agent(name)
            nursery.start_soon(
                lambda agent, config: run(agent, session=InMemorySession(), run_config=config), agent, config
            )
    assert anyio.current_time() - start == pytest.approx(1, abs=0.1)


async def test_a_nested_run_on_the_same_session_does_not_wait_for_itself(run: Any) -> None:
    session = Notebook()
    inner = agent_of("inner done")
    outer: Agent[Any] = Agent(
        "outer",
        model=ScriptedModel([[function_call("inner", {"input": "go"}, call_id="n1")], "done"]),
        tools=[inner.as_tool("inner", None, session=session)],
    )
    with anyio.fail_after(5):
        await run(outer, session=session)
    kept = await session.kept()
    assert sorted(kept) == sorted(["user:hi", "user:go", "assistant:inner done", "call:n1", "out:n1", "assistant:done"])


# --- conversations that the provider keeps


async def test_a_conversation_is_sent_only_what_is_new(run: Any) -> None:
    """S-67."""
    for option in ({"conversation_id": "conv"}, {"previous_response_id": "r0"}, {"auto_previous_response_id": True}):
        steps = [
            ModelStep.respond([work("c1")], response_id="r1"),
            ModelStep.respond([work("c2")], response_id="r2"),
            ModelStep.respond("done", response_id="r3"),
        ]
        agent = agent_of(*steps)
        result = await run(agent, **option)
        model: Any = agent.model
        assert [sent(agent, n) for n in range(3)] == [["user:hi"], ["out:c1"], ["out:c2"]]
        ids = [call.previous_response_id for call in model.calls]
        expected: list[Any] = (
            [None] * 3 if "conversation_id" in option else [option.get("previous_response_id"), "r1", "r2"]
        )
        assert ids == expected
        assert {call.conversation_id for call in model.calls} == {option.get("conversation_id")}
        assert result.last_response_id == "r3"


async def test_a_paused_conversation_goes_on_with_what_is_new(run: Any) -> None:
    """S-67, S-68, RN-8."""
    agent = agent_of(
        ModelStep.respond([work("c1"), work("c2")], response_id="r1"),
        ModelStep.respond("done", response_id="r2"),
        needs_approval=True,
    )
    result = await run(agent, auto_previous_response_id=True)
    state = await RunState.from_string(agent, result.to_state().to_string())
    assert (state.previous_response_id, state.auto_previous_response_id) == ("r1", True)
    state.approve(state.get_interruptions()[0])
    state = (await run(agent, state)).to_state()
    state = await RunState.from_string(agent, state.to_string())
    state.add_input("quick")
    state.reject(state.get_interruptions()[0])
    await run(agent, state)
    model: Any = agent.model
    assert sent(agent) == ["out:c1", "out:c2", "user:quick"]
    assert model.calls[-1].previous_response_id == "r1"
