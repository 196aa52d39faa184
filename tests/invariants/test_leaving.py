"""Leaving a streamed run, by every door: nothing of it goes on, and what comes out is what the caller asked for."""

from __future__ import annotations

import gc
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from agentrun import Agent, RunConfig, RunHooks, Runner, RunResultStreaming, function_tool
from agentrun.testing import Gate, ModelStep, ScriptedModel, function_call, no_leaks

WORDS = " ".join(str(n) for n in range(50))


class Shop:
    """A run whose model talks for a second, then calls a tool with a side effect, then answers."""

    def __init__(self, *, delay: float = 0.02) -> None:
        self.paid = 0
        self.cleaned = 0
        self.model = ScriptedModel([ModelStep([WORDS, function_call("pay", {}, call_id="c1")], delay=delay), "paid"])

        @function_tool
        async def pay() -> str:
            self.paid += 1
            try:
                await anyio.sleep(0.1)
            finally:
                await anyio.sleep(0.01)
                self.cleaned += 1
            return "ok"

        self.agent: Agent[Any] = Agent("shop", model=self.model, tools=[pay])

    def streamed(self, **options: Any) -> RunResultStreaming:
        return Runner.run_streamed(self.agent, "buy", **options)

    def check_stopped(self) -> None:
        assert self.paid == 0
        assert len(self.model.calls) == 1
        assert self.model.open_streams == 0


async def is_delta(result: RunResultStreaming) -> None:
    async for event in result.stream_events():
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
            return


async def test_a_block_left_by_break_has_ended_the_run_when_it_is_left() -> None:
    shop = Shop()
    async with no_leaks(shop.model):
        async with shop.streamed() as result:
            await is_delta(result)
        assert result.is_complete
        assert result.final_output is None
    await anyio.sleep(10)
    shop.check_stopped()


async def test_an_exception_in_the_body_of_the_block_comes_out_as_itself() -> None:
    shop = Shop()
    error = KeyError("mine")
    with pytest.raises(KeyError) as raised:
        async with shop.streamed() as result:
            async for _ in result.stream_events():
                raise error
    assert raised.value is error
    await anyio.sleep(10)
    shop.check_stopped()


async def test_an_exception_in_the_body_wins_over_an_error_of_the_run() -> None:
    agent: Agent[Any] = Agent("a", model=ScriptedModel([OSError("the run's")]))
    result = Runner.run_streamed(agent, "hi")
    with pytest.raises(KeyError, match="mine"):
        async with result:
            await anyio.sleep(1)
            raise KeyError("mine")
    assert isinstance(result.run_loop_exception, OSError)


async def test_a_group_raised_in_the_body_stays_that_group() -> None:
    group = ExceptionGroup("mine", [ValueError("one"), KeyError("two")])
    with pytest.raises(ExceptionGroup) as raised:
        async with Shop().streamed():
            raise group
    assert raised.value is group


async def test_a_bare_loop_left_by_break_cancels_the_run_once_its_iterator_is_gone() -> None:
    shop = Shop()
    result = shop.streamed()
    async for _ in result.stream_events():
        break
    await anyio.sleep(0.1)
    assert result.is_complete
    shop.check_stopped()


async def test_a_bare_result_that_is_dropped_cancels_its_run() -> None:
    shop = Shop()

    async def start() -> None:
        stream = shop.streamed().stream_events()
        await anext(stream)

    await start()
    gc.collect()
    await anyio.sleep(0.1)
    shop.check_stopped()


async def test_closing_a_bare_iterator_waits_for_the_end_of_the_run() -> None:
    shop = Shop()
    result = shop.streamed()
    stream = result.stream_events()
    await anext(stream)
    await stream.aclose()
    assert result.is_complete
    shop.check_stopped()


async def test_an_iterator_can_be_closed_from_another_task_while_a_read_is_pending() -> None:
    model = ScriptedModel([ModelStep.hang()])
    result = Runner.run_streamed(Agent("a", model=model), "hi")
    stream = result.stream_events()
    seen: list[str] = []

    async def read() -> None:
        async for event in stream:
            seen.append(event.type)
        seen.append("end")

    async with anyio.create_task_group() as nursery:
        nursery.start_soon(read)
        await anyio.sleep(1)
        before = anyio.current_time()
        await stream.aclose()
        assert anyio.current_time() - before <= 0.05
    assert seen[-1] == "end"
    assert model.open_streams == 0


async def test_a_run_that_is_never_started_leaves_nothing() -> None:
    async with no_leaks():
        Shop().streamed()
        gc.collect()


async def test_a_run_in_a_nursery_that_nobody_reads_ends_with_its_nursery() -> None:
    shop = Shop()
    async with no_leaks(shop.model):
        async with anyio.create_task_group() as nursery:
            shop.streamed(task_group=nursery)
        assert shop.cleaned == 1
        gc.collect()


async def test_a_cancelled_consumer_of_a_bare_loop_has_waited_for_its_run() -> None:
    shop = Shop()
    result = shop.streamed()
    with anyio.move_on_after(0.1) as scope:
        async for _ in result.stream_events():
            pass
    assert scope.cancelled_caught
    assert result.is_complete
    shop.check_stopped()


async def test_a_run_that_fails_does_not_cancel_a_consumer_that_sleeps() -> None:
    agent: Agent[Any] = Agent("a", model=ScriptedModel([OSError("down")]))
    async with Runner.run_streamed(agent, "hi") as result:
        stream = result.stream_events()
        await anext(stream)
        await anyio.sleep(5)
        assert anyio.current_time() >= 5
        with pytest.raises(OSError, match="down"):
            async for _ in stream:
                pass


async def test_an_outcome_that_was_never_delivered_is_raised_where_the_block_ends() -> None:
    agent: Agent[Any] = Agent("a", model=ScriptedModel([OSError("down")]))
    with pytest.raises(OSError, match="down"):
        async with Runner.run_streamed(agent, "hi"):
            await anyio.sleep(1)


async def test_an_outcome_that_was_delivered_is_not_raised_again() -> None:
    agent: Agent[Any] = Agent("a", model=ScriptedModel([OSError("down")]))
    async with Runner.run_streamed(agent, "hi") as result:
        with pytest.raises(OSError, match="down"):
            await result.wait()
        async for _ in result.stream_events():
            pass


async def test_waiting_and_iterating_raise_the_same_object() -> None:
    error = OSError("down")
    result = Runner.run_streamed(Agent("a", model=ScriptedModel([error])), "hi")
    with pytest.raises(OSError, match="down") as iterated:
        async for _ in result.stream_events():
            pass
    with pytest.raises(OSError, match="down") as waited:
        await result.wait()
    assert iterated.value is waited.value is error is result.run_loop_exception


@pytest.mark.parametrize("form", ["block", "nursery", "bare"])
async def test_waiting_without_reading_never_blocks_the_run(form: str) -> None:
    shop = Shop(delay=0)
    options: dict[str, Any] = {"run_config": RunConfig(event_buffer=2)}
    if form == "block":
        async with shop.streamed(**options) as result:
            await result.wait()
    elif form == "nursery":
        async with anyio.create_task_group() as nursery:
            result = shop.streamed(task_group=nursery, **options)
            await result.wait()
            assert result.final_output == "paid"
    else:
        result = shop.streamed(**options)
        await result.wait()
    assert shop.cleaned == 1


async def test_waiting_in_another_task_takes_no_event_from_the_reader() -> None:
    shop = Shop(delay=0.001)
    alone = [event.type async for event in Shop(delay=0.001).streamed().stream_events()]
    ended: list[float] = []

    async def wait(result: RunResultStreaming) -> None:
        await result.wait()
        ended.append(anyio.current_time())

    async with shop.streamed() as result, anyio.create_task_group() as nursery:
        nursery.start_soon(wait, result)
        assert [event.type async for event in result.stream_events()] == alone
    assert ended
    shop = Shop(delay=0.001)
    async with shop.streamed() as result, anyio.create_task_group() as nursery:
        stream = result.stream_events()
        first = await anext(stream)
        nursery.start_soon(wait, result)
        await anyio.lowlevel.checkpoint()
        assert [first.type, *[event.type async for event in stream]] == alone


async def test_a_reader_that_comes_after_a_waiter_gets_every_event_that_is_still_to_come() -> None:
    whole = [
        event.type async for event in Runner.run_streamed(Agent("a", model=ScriptedModel(["hi"])), "hi").stream_events()
    ]
    gate = Gate()
    model = ScriptedModel([ModelStep(["hi"], gate=gate)])
    seen: list[str] = []

    async def read(result: RunResultStreaming) -> None:
        seen.extend([event.type async for event in result.stream_events()])

    async with Runner.run_streamed(Agent("a", model=model), "hi") as result, anyio.create_task_group() as nursery:
        nursery.start_soon(result.wait)
        await gate.wait_reached()
        nursery.start_soon(read, result)
        await anyio.sleep(1)
        gate.open()
    assert seen == whole[1:]


@pytest.mark.parametrize("mode", ["immediate", "after_turn"])
async def test_a_run_cancelled_before_its_first_event(mode: Any) -> None:
    shop = Shop()
    result = shop.streamed()
    result.cancel(mode)
    result.cancel(mode)
    events = [event.type async for event in result.stream_events()]
    assert result.is_complete
    assert result.final_output is None
    assert shop.paid == 0
    assert len(shop.model.calls) == 0
    assert events == ([] if mode == "immediate" else ["agent_updated_stream_event"])
    await result.wait()
    assert [event async for event in result.stream_events()] == []


async def test_after_turn_ends_the_turn_as_if_nothing_had_happened() -> None:
    shop = Shop(delay=0)
    async with shop.streamed() as result:
        async for event in result.stream_events():
            if event.type == "raw_response_event":
                result.cancel("after_turn")
    assert (shop.paid, shop.cleaned, len(shop.model.calls)) == (1, 1, 1)
    assert [item.type for item in result.new_items] == [
        "message_output_item",
        "tool_call_item",
        "tool_call_output_item",
    ]
    assert result.final_output is None
    again = await Runner.run(shop.agent, result.to_state())
    assert again.final_output == "paid"
    assert (shop.paid, len(shop.model.calls)) == (1, 2)


async def test_after_turn_within_a_time_becomes_immediate() -> None:
    shop = Shop()
    async with shop.streamed() as result:
        async for _ in result.stream_events():
            result.cancel("after_turn", within=0.1)
    assert 0.1 <= anyio.current_time() <= 0.2
    assert result.final_output is None
    shop.check_stopped()


async def test_after_turn_first_and_immediate_then() -> None:
    shop = Shop()
    seen: list[str] = []
    async with shop.streamed() as result:
        async for event in result.stream_events():
            seen.append(event.type)
            result.cancel("after_turn")
            if len(seen) == 3:
                result.cancel()
    assert len(seen) == 3
    shop.check_stopped()


async def test_nothing_is_seen_after_an_immediate_cancel() -> None:
    shop = Shop(delay=0)
    seen: list[str] = []
    async with shop.streamed() as result:
        async for event in result.stream_events():
            seen.append(event.type)
            result.cancel()
        assert result.is_complete
        assert [event async for event in result.stream_events()] == []
    assert len(seen) == 1
    assert result.run_loop_exception is None


@pytest.mark.parametrize("who", ["hook", "tool", "other task"])
@pytest.mark.parametrize("form", ["block", "nursery", "bare"])
async def test_a_run_can_be_cancelled_from_inside_and_from_beside(who: str, form: str) -> None:
    holder: list[RunResultStreaming] = []
    model = ScriptedModel([[function_call("act", {}, call_id="c1")], "never"])

    class Hooks(RunHooks[Any]):
        async def on_llm_end(self, context: Any, agent: Any, response: Any) -> None:
            if who == "hook":
                holder[0].cancel()
                await anyio.sleep(1)
                raise AssertionError("the hook went on")

    @function_tool
    async def act() -> str:
        if who == "tool":
            holder[0].cancel()
        await anyio.sleep(1)
        raise AssertionError("the tool went on")

    async def cancel() -> None:
        await anyio.sleep(0.5)
        holder[0].cancel()

    agent: Agent[Any] = Agent("a", model=model, tools=[act])
    async with no_leaks(model), anyio.create_task_group() as nursery:
        if who == "other task":
            nursery.start_soon(cancel)
        options: dict[str, Any] = {"task_group": nursery} if form == "nursery" else {}
        result = Runner.run_streamed(agent, "hi", hooks=Hooks(), **options)
        holder.append(result)
        if form == "block":
            async with result:
                async for _ in result.stream_events():
                    pass
        else:
            async for _ in result.stream_events():
                pass
        assert result.is_complete
        assert result.final_output is None
        assert result.run_loop_exception is None
    assert len(model.calls) == 1


async def test_a_cancelled_error_of_the_run_never_reaches_the_nursery_of_the_caller() -> None:
    shop = Shop()
    went_on = False
    async with anyio.create_task_group() as nursery:
        result = shop.streamed(task_group=nursery)
        async for _ in result.stream_events():
            result.cancel()
        await anyio.sleep(1)
        went_on = True
    assert went_on
    assert not nursery.cancel_scope.cancel_called


async def test_a_block_in_a_cancelled_scope_lets_the_scope_have_its_cancellation() -> None:
    shop = Shop()
    result = shop.streamed()
    with anyio.CancelScope() as scope:
        async with result:
            async for _ in result.stream_events():
                scope.cancel()
        raise AssertionError("not reached")
    assert scope.cancelled_caught
    assert result.is_complete
    shop.check_stopped()


async def test_a_cancelled_run_leaves_no_cyclic_garbage_of_its_own() -> None:
    async def once() -> None:
        shop = Shop()
        async with shop.streamed() as result:
            await is_delta(result)

    await once()
    gc.collect()
    before = gc.get_count()[0]
    gc.disable()
    try:
        gc.collect()
        await once()
        found = gc.collect()
    finally:
        gc.enable()
    assert found < 400, (found, before)
