"""What users of agent frameworks complain of, as given, when, then; tests are named by the number of the complaint."""

from __future__ import annotations

import gc
from collections.abc import AsyncGenerator, Callable
from typing import Any

import anyio
import pytest

from agentrun import (
    Agent,
    GuardrailFunctionOutput,
    InputGuardrailTripwireTriggered,
    RunConfig,
    RunHooks,
    Runner,
    RunResultStreaming,
    SessionABC,
    ToolGuardrailFunctionOutput,
    Usage,
    UserError,
    capture_run,
    function_tool,
    handoff,
    input_guardrail,
    output_guardrail,
    run_data,
    tool_input_guardrail,
    tool_output_guardrail,
)
from agentrun.items import structure_event
from agentrun.models.interface import Model
from agentrun.testing import ModelStep, ScriptedModel, function_call, no_leaks, run_virtual

FIFTY = " ".join("word" for _ in range(50))


class Shop:
    """A model that talks in fifty chunks, one each 20 ms, and then calls a tool with a side effect."""

    def __init__(self, delay: float = 0.02) -> None:
        self.paid = 0

        @function_tool
        async def pay() -> str:
            self.paid += 1
            return "paid"

        self.model = ScriptedModel([ModelStep([FIFTY, function_call("pay", {}, call_id="c1")], delay=delay), "bye"])
        self.agent: Agent[Any] = Agent("shop", model=self.model, tools=[pay])


async def first_chunk(result: RunResultStreaming) -> None:
    async for event in result.stream_events():
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
            return


class Boom(Exception):
    pass


@pytest.mark.parametrize("way", ["break", "raise", "drop"])
async def test_01_leaving_the_loop_early_stops_the_run(way: str) -> None:
    shop = Shop()
    async with no_leaks(shop.model):
        if way == "drop":
            await first_chunk(Runner.run_streamed(shop.agent, "buy"))
            gc.collect()
            await anyio.sleep(0.1)
        elif way == "break":
            async with Runner.run_streamed(shop.agent, "buy") as result:
                await first_chunk(result)
        else:
            with pytest.raises(Boom):
                async with Runner.run_streamed(shop.agent, "buy") as result:
                    await first_chunk(result)
                    raise Boom
        assert shop.model.open_streams == 0
    await anyio.sleep(10)
    assert (shop.paid, len(shop.model.calls)) == (0, 1)


def slow_guardrail(*, trips: bool) -> Any:
    @input_guardrail
    async def judge(context: Any, agent: Any, given: Any) -> GuardrailFunctionOutput:
        await anyio.sleep(0.3)
        return GuardrailFunctionOutput(None, tripwire_triggered=trips)

    return judge


class Kiosk:
    """A model that calls the tool `pay` at 0.02 s, beside a guardrail that takes 0.3 s."""

    def __init__(self, *, trips: bool, words: str = "let me see") -> None:
        self.paid_at: list[float] = []

        @function_tool
        async def pay() -> str:
            self.paid_at.append(anyio.current_time())
            return "paid"

        step = ModelStep([words, function_call("pay", {}, call_id="c1")], delay=[0.02])
        self.model = ScriptedModel([step, "bye"])
        self.agent: Agent[Any] = Agent(
            "kiosk", model=self.model, tools=[pay], input_guardrails=[slow_guardrail(trips=trips)]
        )


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("gate", ["tools", "output"])
async def test_02_a_guardrail_that_trips_leaves_no_side_effect_behind(streamed: bool, gate: Any) -> None:
    kiosk = Kiosk(trips=True)
    config = RunConfig(guardrail_gate=gate)
    deltas = 0
    with pytest.raises(InputGuardrailTripwireTriggered):
        if streamed:
            async with Runner.run_streamed(kiosk.agent, "buy", run_config=config) as result:
                async for event in result.stream_events():
                    deltas += event.type == "raw_response_event"
        else:
            await Runner.run(kiosk.agent, "buy", run_config=config)
    assert 0.3 <= anyio.current_time() <= 0.4
    assert kiosk.paid_at == []
    assert len(kiosk.model.calls) == 1
    assert gate == "tools" or deltas == 0
    assert kiosk.model.open_streams == 0


@pytest.mark.parametrize("streamed", [False, True])
async def test_02_a_guardrail_that_passes_costs_no_time(streamed: bool) -> None:
    kiosk = Kiosk(trips=False)
    if streamed:
        async with Runner.run_streamed(kiosk.agent, "buy") as result:
            await result.wait()
    else:
        await Runner.run(kiosk.agent, "buy")
    assert anyio.current_time() <= 0.35
    assert len(kiosk.paid_at) == 1


class Tidy:
    """A tool that sleeps, and then takes its time to clean up."""

    def __init__(self, *, cleanup: float, timeout: float | None = None) -> None:
        self.cleaned = False
        self.stages: list[str] = []

        @function_tool(timeout=timeout)
        async def tidy() -> str:
            try:
                await anyio.sleep(30)
            finally:
                self.stages.append("cleaning")
                await anyio.sleep(cleanup)
                self.cleaned = True
            return "never"

        self.model = ScriptedModel([[function_call("tidy", {}, call_id="c1")], "done"])
        self.agent: Agent[Any] = Agent("a", model=self.model, tools=[tidy])


@pytest.mark.parametrize("streamed", [False, True])
async def test_03_cancel_returns_when_the_cleanup_of_the_tools_has_ended(streamed: bool) -> None:
    tidy = Tidy(cleanup=1)
    async with no_leaks(tidy.model):
        if streamed:
            async with Runner.run_streamed(tidy.agent, "hi") as result:
                await anyio.sleep(0.1)
                result.cancel()
        else:
            with anyio.move_on_after(0.1):
                await Runner.run(tidy.agent, "hi")
        assert tidy.cleaned
        assert 0.9 <= anyio.current_time() - 0.1 <= 1.2


async def test_03_a_cleanup_has_a_limit_and_is_reported_when_it_is_cut_short() -> None:
    tidy = Tidy(cleanup=1)
    async with no_leaks(tidy.model):
        async with Runner.run_streamed(tidy.agent, "hi", run_config=RunConfig(timeouts={"cleanup": 0.2})) as result:
            await anyio.sleep(0.1)
            result.cancel()
        assert anyio.current_time() <= 0.35
        assert not tidy.cleaned
    assert result.warnings == ["the cleanup of tool 'tidy' was cut short after 0.2 s"]


@pytest.mark.parametrize("streamed", [False, True])
async def test_04_a_tool_that_swallows_its_cancellation_does_not_let_the_run_go_on(streamed: bool) -> None:
    swallowed = 0

    @function_tool
    async def stay() -> str:
        nonlocal swallowed
        for _ in range(5):
            try:
                await anyio.sleep(0.2)
            except BaseException:  # noqa: BLE001 - it swallows, as some do
                swallowed += 1
        return "stayed"

    model = ScriptedModel([[function_call("stay", {}, call_id="c1")], "never"])
    agent: Agent[Any] = Agent("a", model=model, tools=[stay])
    if streamed:
        async with Runner.run_streamed(agent, "hi") as result:
            await anyio.sleep(0.1)
            result.cancel()
        assert result.final_output is None
        assert result.is_complete
    else:
        with anyio.move_on_after(0.1) as scope:
            await Runner.run(agent, "hi")
        assert scope.cancelled_caught
    assert len(model.calls) == 1
    assert swallowed == 1


def two_turns(second: Any, **agent_options: Any) -> tuple[ScriptedModel, Agent[Any]]:
    @function_tool
    async def look() -> str:
        return "seen"

    usage = Usage(requests=1, input_tokens=10, output_tokens=5, total_tokens=15)
    first = ModelStep([function_call("look", {}, call_id="c1")], usage=usage)
    model = ScriptedModel([first, second], in_pieces=True)
    return model, Agent("a", model=model, tools=[look], **agent_options)


@pytest.mark.parametrize("way", ["cancel", "error"])
async def test_05_usage_of_a_run_that_was_cut_is_exact_and_shows_the_cut_request(way: str) -> None:
    error = ConnectionError("cut") if way == "error" else None
    if error is None:
        cut = ModelStep([FIFTY], delay=[0] * 9 + [1000])
    else:
        cut = ModelStep.raise_error(error, output=[FIFTY], after=9)
    _, agent = two_turns(cut)
    result = Runner.run_streamed(agent, "hi")
    deltas = 0
    try:
        async with result:
            async for event in result.stream_events():
                if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
                    deltas += 1
                    if error is None and deltas == 5:
                        result.cancel()
    except ConnectionError as exc:
        assert exc is error
        found = run_data(exc)
        assert found is not None
        usage = found.context_wrapper.usage
    else:
        usage = result.context_wrapper.usage
    assert usage.total_tokens == 15
    partial = [entry for entry in usage.request_usage_entries if entry.partial]
    assert len(partial) == 1
    assert partial[0].output_tokens >= 5
    assert sum(entry.total_tokens for entry in usage.request_usage_entries if not entry.partial) == 15


@pytest.mark.parametrize("streamed", [False, True])
async def test_06_an_error_in_turn_two_keeps_turn_one(streamed: bool) -> None:
    model, agent = two_turns(ConnectionError("down"))
    with pytest.raises(ConnectionError) as raised:
        if streamed:
            async with Runner.run_streamed(agent, "hi") as result:
                async for _ in result.stream_events():
                    pass
        else:
            await Runner.run(agent, "hi")
    data: Any = run_data(raised.value)
    assert data is raised.value.run_data  # type: ignore[attr-defined]
    assert len(data.new_items) == 2
    assert data.context_wrapper.usage.total_tokens == 15
    model.enqueue("recovered")
    again = await Runner.run(agent, data.to_state())
    assert again.final_output == "recovered"
    assert len(model.calls) == 3


async def test_06_a_deadline_of_the_caller_keeps_turn_one() -> None:
    model, agent = two_turns(ModelStep.hang())
    with capture_run() as captured, pytest.raises(TimeoutError):
        with anyio.fail_after(1):
            await Runner.run(agent, "hi")
    assert captured.run_data is not None
    assert len(captured.run_data.new_items) == 2
    model.enqueue("recovered")
    assert (await Runner.run(agent, captured.run_data.to_state())).final_output == "recovered"


async def test_12_a_slow_consumer_slows_the_model_down() -> None:
    produced = 0

    def words() -> Any:
        nonlocal produced
        for number in range(20_000):
            produced += 1
            yield {
                "type": "response.output_text.delta",
                "delta": f"{number} ",
                "item_id": "m1",
                "output_index": 0,
                "content_index": 0,
                "logprobs": [],
                "sequence_number": number,
            }
        yield {"type": "response.completed", "sequence_number": 20_000, "response": COMPLETED}

    step = ModelStep.stream(lambda call: words())
    agent: Agent[Any] = Agent("a", model=ScriptedModel([step, step]))
    async with Runner.run_streamed(agent, "hi", run_config=RunConfig(event_buffer=64)) as result:
        stream = result.stream_events()
        await anext(stream)
        await anext(stream)
        await anyio.sleep(1)
        assert produced <= 70
        rest = [event async for event in stream]
    assert len(rest) >= 20_000
    assert result.final_output == "all"
    async with Runner.run_streamed(agent, "hi", run_config=RunConfig(event_buffer=64)) as result:
        await result.wait()
    assert result.final_output == "all"


COMPLETED: dict[str, Any] = {
    "id": "r1",
    "object": "response",
    "created_at": 0,
    "status": "completed",
    "model": "m",
    "output": [
        {
            "type": "message",
            "id": "m1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "all", "annotations": []}],
        }
    ],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
}


def three_tools(**bad_options: Any) -> tuple[ScriptedModel, Agent[Any], dict[str, float]]:
    ended: dict[str, float] = {}

    def tool(name: str, seconds: float, fails: bool, **options: Any) -> Any:
        async def body() -> str:
            try:
                await anyio.sleep(seconds)
            finally:
                ended[name] = anyio.current_time()
            if fails:
                raise Boom("bad luck")
            return f"{name} is ok"

        return function_tool(body, name_override=name, **options)

    tools = [tool("fast", 0, False), tool("bad", 0.05, True, **bad_options), tool("good", 0.3, False)]
    calls = [function_call(one.name, {}, call_id=one.name) for one in tools]
    model = ScriptedModel([calls, "done"])
    return model, Agent("a", model=model, tools=tools), ended


async def test_14_a_failing_tool_leaves_the_others_alone_by_default() -> None:
    model, agent, _ = three_tools()
    result = await Runner.run(agent, "hi")
    assert result.final_output == "done"
    assert anyio.current_time() == pytest.approx(0.3, abs=0.01)
    last: Any = model.calls[-1].input
    outputs = [item for item in last if item.get("type") == "function_call_output"]
    assert [item["call_id"] for item in outputs] == ["fast", "bad", "good"]
    assert outputs[0]["output"] == "fast is ok"
    assert "error" in outputs[1]["output"].lower()
    assert outputs[2]["output"] == "good is ok"


@pytest.mark.parametrize("streamed", [False, True])
async def test_14_a_tool_that_fails_the_run_cancels_the_others_and_keeps_what_is_done(streamed: bool) -> None:
    model, agent, ended = three_tools(failure_error_function=None)
    with pytest.raises(UserError, match="bad luck") as raised:
        if streamed:
            async with Runner.run_streamed(agent, "hi") as result:
                async for _ in result.stream_events():
                    pass
        else:
            await Runner.run(agent, "hi")
    assert ended["good"] <= 0.1
    assert isinstance(raised.value.__cause__, Boom)
    data = run_data(raised.value)
    assert data is not None
    assert [item.type for item in data.new_items] == ["tool_call_item", "tool_call_output_item"]
    assert data.new_items[1].output == "fast is ok"  # type: ignore[union-attr]
    model.enqueue("recovered")


def matryoshka(depth: int, journal: list[str], models: list[ScriptedModel]) -> Agent[Any]:
    """An agent whose model calls a sleeping tool and, above the bottom, an agent like itself."""

    @function_tool(name_override=f"sleep{depth}")
    async def sleeper() -> str:
        journal.append(f"tool {depth} begins")
        try:
            await anyio.sleep(100)
        finally:
            journal.append(f"tool {depth} ends")
        return "slept"

    calls = [function_call(f"sleep{depth}", {}, call_id=f"s{depth}")]
    tools: list[Any] = [sleeper]
    if depth < 3:
        tools.append(matryoshka(depth + 1, journal, models).as_tool(f"level{depth + 1}", "The level below."))
        calls.append(function_call(f"level{depth + 1}", {"input": "go"}, call_id=f"l{depth + 1}"))
    model = ScriptedModel([calls, "done"])
    models.append(model)
    return Agent(f"level {depth}", model=model, tools=tools)


@pytest.mark.parametrize("streamed", [False, True])
async def test_15_cancelling_the_root_settles_every_level(streamed: bool) -> None:
    journal: list[str] = []
    models: list[ScriptedModel] = []
    agent = matryoshka(1, journal, models)
    async with no_leaks(*models):
        if streamed:
            async with Runner.run_streamed(agent, "hi") as result:
                await anyio.sleep(1)
                result.cancel()
        else:
            with anyio.move_on_after(1):
                await Runner.run(agent, "hi")
        assert anyio.current_time() <= 1.1
    assert sorted(journal) == sorted(f"tool {n} {what}" for n in (1, 2, 3) for what in ("begins", "ends"))
    assert [len(model.calls) for model in models] == [1, 1, 1]


async def test_15_cancelling_one_nested_run_lets_the_root_go_on() -> None:
    journal: list[str] = []
    models: list[ScriptedModel] = []
    below = matryoshka(3, journal, models)
    scope = anyio.CancelScope()

    @function_tool
    async def ask() -> str:
        with scope:
            result = await Runner.run(below, "go")
            return str(result.final_output)
        return "cancelled"

    model = ScriptedModel([[function_call("ask", {}, call_id="c1")], "root is done"])
    async with anyio.create_task_group() as nursery:
        result = Runner.run_streamed(Agent("root", model=model, tools=[ask]), "hi", task_group=nursery)
        await anyio.sleep(1)
        scope.cancel()
        async for _ in result.stream_events():
            pass
        assert result.final_output == "root is done"
    last: Any = model.calls[-1].input
    assert last[-1]["output"] == "cancelled"
    assert journal == ["tool 3 begins", "tool 3 ends"]


@pytest.mark.parametrize(("grace", "earliest", "latest", "cleaned"), [(0.2, 0.3, 0.4, False), (2, 1.6, 1.75, True)])
async def test_16_a_tool_timeout_is_bounded_by_itself_and_the_cleanups_limit(
    grace: float, earliest: float, latest: float, cleaned: bool
) -> None:
    tidy = Tidy(cleanup=1.5, timeout=0.1)
    asked_at: list[float] = []

    class Hooks(RunHooks[Any]):
        async def on_llm_start(self, context: Any, agent: Any, system_prompt: Any, input_items: Any) -> None:
            asked_at.append(anyio.current_time())

    async with no_leaks(tidy.model):
        result = await Runner.run(tidy.agent, "hi", hooks=Hooks(), run_config=RunConfig(timeouts={"cleanup": grace}))
    assert result.final_output == "done"
    assert earliest <= asked_at[1] <= latest
    last: Any = tidy.model.calls[-1].input
    assert "0.1" in last[-1]["output"]
    assert tidy.cleaned is cleaned
    assert bool(result.warnings) is not cleaned


class BrokenSession(SessionABC):
    def __init__(self, where: str) -> None:
        self.session_id = "s"
        self.where = where
        self.writes = 0

    async def get_items(self, limit: int | None = None) -> list[Any]:
        if self.where == "session read":
            raise Boom
        return []

    async def add_items(self, items: list[Any]) -> None:
        self.writes += 1
        if self.where == f"session write {self.writes}":
            raise Boom

    async def pop_item(self) -> Any:
        return None

    async def clear_session(self) -> None:
        return None


STAGES = [
    *("session read", "session write 1", "session write 2", "input filter", "instructions", "model", "tool"),
    *("input guardrail", "blocking guardrail", "output guardrail", "tool input guardrail", "tool output guardrail"),
    *("on_agent_start", "on_agent_end", "on_llm_start", "on_llm_end", "on_tool_start", "on_tool_end", "on_handoff"),
    *("on_invoke_handoff", "handoff filter"),
]


def breaking(where: str) -> Callable[[], RunResultStreaming]:  # noqa: C901 - one function per stage
    """Return what starts a streamed run that fails at `where`."""

    def fail_at(stage: str) -> None:
        if stage == where:
            raise Boom

    class Hooks(RunHooks[Any]):
        async def on_agent_start(self, context: Any, agent: Any) -> None:
            fail_at("on_agent_start")

        async def on_agent_end(self, context: Any, agent: Any, output: Any) -> None:
            fail_at("on_agent_end")

        async def on_llm_start(self, context: Any, agent: Any, system_prompt: Any, input_items: Any) -> None:
            fail_at("on_llm_start")

        async def on_llm_end(self, context: Any, agent: Any, response: Any) -> None:
            fail_at("on_llm_end")

        async def on_tool_start(self, context: Any, agent: Any, tool: Any) -> None:
            fail_at("on_tool_start")

        async def on_tool_end(self, context: Any, agent: Any, tool: Any, result: object) -> None:
            fail_at("on_tool_end")

        async def on_handoff(self, context: Any, from_agent: Any, to_agent: Any) -> None:
            fail_at("on_handoff")

    def judge(stage: str) -> Any:
        async def guardrail(*args: Any) -> GuardrailFunctionOutput:
            fail_at(stage)
            return GuardrailFunctionOutput(None, tripwire_triggered=False)

        return guardrail

    def tool_judge(stage: str) -> Any:
        async def guardrail(data: Any) -> Any:
            fail_at(stage)
            return ToolGuardrailFunctionOutput.allow()

        return guardrail

    @function_tool(
        failure_error_function=None,
        tool_input_guardrails=[tool_input_guardrail(tool_judge("tool input guardrail"))],
        tool_output_guardrails=[tool_output_guardrail(tool_judge("tool output guardrail"))],
    )
    async def act() -> str:
        fail_at("tool")
        return "acted"

    async def instructions(context: Any, agent: Any) -> str:
        fail_at("instructions")
        return "be good"

    def input_filter(data: Any) -> Any:
        fail_at("input filter")
        return data.model_data

    def handoff_filter(data: Any) -> Any:
        fail_at("handoff filter")
        return data

    async def on_handoff(context: Any) -> None:
        fail_at("on_invoke_handoff")

    steps: list[Any] = [
        [function_call("act", {}, call_id="c1")],
        [function_call("transfer_to_second", {}, call_id="h1")],
        "done",
    ]
    model = ScriptedModel([Boom()] if where == "model" else steps)
    second: Agent[Any] = Agent("second", model=model, output_guardrails=[output_guardrail(judge("output guardrail"))])
    agent: Agent[Any] = Agent(
        "first",
        model=model,
        instructions=instructions,
        tools=[act],
        handoffs=[handoff(second, on_handoff=on_handoff, input_filter=handoff_filter)],
        input_guardrails=[
            input_guardrail(judge("input guardrail")),
            input_guardrail(run_in_parallel=False)(judge("blocking guardrail")),
        ],
    )
    config = RunConfig(call_model_input_filter=input_filter)
    return lambda: Runner.run_streamed(agent, "hi", hooks=Hooks(), run_config=config, session=BrokenSession(where))


@pytest.mark.parametrize("where", STAGES)
async def test_20_an_error_anywhere_ends_the_stream_and_is_seen_by_whoever_waits(where: str) -> None:
    async with no_leaks():
        result = breaking(where)()
        with pytest.raises((Boom, UserError)) as iterated:
            with anyio.fail_after(0.1):
                async for _ in result.stream_events():
                    pass
        with pytest.raises((Boom, UserError)) as waited:
            await result.wait()
        assert iterated.value is waited.value is result.run_loop_exception
        assert isinstance(iterated.value, Boom) or isinstance(iterated.value.__cause__, Boom)
        assert run_data(iterated.value) is not None
        assert result.final_output is None
        del iterated, waited


async def test_20_the_stages_are_all_reached_when_nothing_fails() -> None:
    result = breaking("nowhere")()
    async for _ in result.stream_events():
        pass
    assert result.final_output == "done"


@pytest.mark.parametrize("streamed", [False, True])
async def test_33_of_two_errors_at_once_the_first_call_counts_and_both_can_be_reached(streamed: bool) -> None:
    def failing(name: str) -> Any:
        @function_tool(name_override=name, failure_error_function=None)
        async def body() -> str:
            try:
                await anyio.sleep(0.1)
            finally:
                await anyio.sleep(0.1)  # noqa: ASYNC102 - the second error comes while the first one stops the run
                raise Boom(name)

        return body

    tools = [failing("one"), failing("two")]
    calls = [function_call(tool.name, {}, call_id=tool.name) for tool in tools]
    agent: Agent[Any] = Agent("a", model=ScriptedModel([calls]), tools=tools)
    with pytest.raises(UserError, match="one") as raised:
        if streamed:
            async with Runner.run_streamed(agent, "hi") as result:
                await result.wait()
        else:
            await Runner.run(agent, "hi")
    assert isinstance(raised.value.__cause__, Boom | BaseExceptionGroup)
    assert "ExceptionGroup" not in type(raised.value).__name__


async def test_33_an_error_deep_inside_keeps_its_type_on_the_way_out() -> None:
    class Unauthorized(Exception):
        pass

    inner: Agent[Any] = Agent("inner", model=ScriptedModel([Unauthorized("401")]))
    outer: Agent[Any] = Agent(
        "outer",
        model=ScriptedModel([[function_call("inner", {"input": "x"}, call_id="c1")]]),
        tools=[inner.as_tool("inner", "d", failure_error_function=None)],
    )
    with pytest.raises(UserError, match="401") as raised:
        await Runner.run(outer, "hi")
    causes: list[BaseException | None] = [raised.value]
    while causes[-1] is not None:
        causes.append(causes[-1].__cause__)
    assert any(isinstance(cause, Unauthorized) for cause in causes)
    assert not any(isinstance(cause, BaseExceptionGroup) for cause in causes)
    assert run_data(raised.value) is not None


class CountingModel(Model):
    """A model whose stream is an async generator, counted."""

    def __init__(self) -> None:
        self.open = 0

    async def get_response(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    async def stream_response(self, *args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
        self.open += 1
        try:
            while True:
                await anyio.sleep(0.01)
                yield structure_event(
                    {
                        "type": "response.output_text.delta",
                        "delta": "x",
                        "item_id": "m1",
                        "output_index": 0,
                        "content_index": 0,
                        "logprobs": [],
                        "sequence_number": 0,
                    }
                )
        finally:
            self.open -= 1


@pytest.mark.parametrize("way", ["break", "cancel", "close", "scope"])
async def test_44_no_async_generator_is_left_to_the_garbage_collector(way: str) -> None:
    model = CountingModel()
    agent: Agent[Any] = Agent("a", model=model)
    async with no_leaks():
        with anyio.move_on_after(0.5 if way == "scope" else 1000):
            async with Runner.run_streamed(agent, "hi") as result:
                stream = result.stream_events()
                count = 0
                async for _ in stream:
                    count += 1
                    if count == 10 and way == "cancel":
                        result.cancel()
                    elif count == 10 and way == "close":
                        await stream.aclose()
                        break
                    elif count == 10 and way == "break":
                        break
        assert model.open == 0


def test_26_and_27_one_agent_runs_in_many_loops_one_after_another() -> None:
    model = ScriptedModel(["hi"] * 10)
    agent: Agent[Any] = Agent("a", model=model)

    async def run() -> str:
        return str((await Runner.run(agent, "hi")).final_output)

    for backend in ("asyncio", "trio"):
        for _ in range(5):
            assert run_virtual(run, backend=backend) == "hi"
