"""What the loops themselves do to a run: native cancellation, timeouts, interrupts; and what no tool may hide."""

from __future__ import annotations

import asyncio
import contextvars
import subprocess
import sys
import textwrap
from typing import Any

import anyio
import pytest

from agentrun import (
    Agent,
    GuardrailFunctionOutput,
    RunConfig,
    RunHooks,
    Runner,
    capture_run,
    function_tool,
    input_guardrail,
)
from agentrun.testing import ModelStep, ScriptedModel, function_call, no_leaks, run_virtual


class Stubborn:
    """A tool that swallows every cancellation, five times over."""

    def __init__(self) -> None:
        self.model = ScriptedModel([[function_call("stay", {}, call_id="c1")], "never"])
        self.swallowed = 0
        self.ended = False

        @function_tool
        async def stay() -> str:
            for _ in range(5):
                try:
                    await anyio.sleep(0.2)
                except BaseException:  # noqa: BLE001 - it swallows, as some do
                    self.swallowed += 1
            self.ended = True
            return "stayed"

        self.agent: Agent[Any] = Agent("a", model=self.model, tools=[stay])


def test_a_native_cancel_of_a_run_ends_it_even_when_a_tool_swallows_it() -> None:
    async def main() -> None:
        stubborn = Stubborn()
        async with no_leaks(stubborn.model):
            task = asyncio.ensure_future(Runner.run(stubborn.agent, "hi"))
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert stubborn.ended
        assert stubborn.swallowed == 1
        assert len(stubborn.model.calls) == 1

    run_virtual(main)


@pytest.mark.parametrize("how", ["wait_for", "timeout"])
def test_asyncio_timeouts_round_a_run(how: str) -> None:
    async def main() -> None:
        stubborn = Stubborn()
        async with no_leaks(stubborn.model):
            with capture_run() as captured, pytest.raises(TimeoutError):
                if how == "wait_for":
                    await asyncio.wait_for(Runner.run(stubborn.agent, "hi"), 0.1)
                else:
                    async with asyncio.timeout(0.1):
                        await Runner.run(stubborn.agent, "hi")
            assert stubborn.ended
            await asyncio.sleep(1)
        assert len(stubborn.model.calls) == 1
        assert captured.run_data is not None

    run_virtual(main)


@pytest.mark.parametrize("form", ["block", "bare"])
def test_asyncio_timeouts_round_a_streaming_loop(form: str) -> None:
    async def main() -> None:
        stubborn = Stubborn()
        result = Runner.run_streamed(stubborn.agent, "hi")
        async with no_leaks(stubborn.model):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    if form == "block":
                        async with result:
                            async for _ in result.stream_events():
                                pass
                    else:
                        async for _ in result.stream_events():
                            pass
        assert stubborn.ended
        assert result.is_complete
        assert len(stubborn.model.calls) == 1
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await asyncio.sleep(1)

    run_virtual(main)


async def test_a_scope_round_a_run_ends_it_even_when_a_tool_swallows_the_cancellation() -> None:
    stubborn = Stubborn()
    with anyio.move_on_after(0.1) as scope:
        await Runner.run(stubborn.agent, "hi")
    assert scope.cancelled_caught
    assert stubborn.swallowed == 1
    assert len(stubborn.model.calls) == 1


variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


@pytest.mark.parametrize("form", ["plain", "block", "nursery", "bare"])
async def test_context_variables_are_seen_everywhere_in_a_run_and_do_not_leak_back(form: str) -> None:
    seen: dict[str, str] = {}

    def look(who: str) -> None:
        seen[who] = variable.get()
        variable.set(f"changed by {who}")

    @function_tool
    async def tool() -> str:
        look("tool")
        return "ok"

    @function_tool
    def sync_tool() -> str:
        look("sync tool")
        return "ok"

    class Hooks(RunHooks[Any]):
        async def on_tool_start(self, context: Any, agent: Any, tool: Any) -> None:
            seen[f"hook of {tool.name}"] = variable.get()

    @input_guardrail
    async def guardrail(context: Any, agent: Any, given: Any) -> GuardrailFunctionOutput:
        look("guardrail")
        return GuardrailFunctionOutput(None, tripwire_triggered=False)

    calls = [function_call("tool", {}, call_id="c1"), function_call("sync_tool", {}, call_id="c2")]
    agent: Agent[Any] = Agent(
        "a", model=ScriptedModel([calls, "done"]), tools=[tool, sync_tool], input_guardrails=[guardrail]
    )
    variable.set("caller's")
    if form == "plain":
        await Runner.run(agent, "hi", hooks=Hooks())
    elif form == "block":
        async with Runner.run_streamed(agent, "hi", hooks=Hooks()) as result:
            await result.wait()
    else:
        async with anyio.create_task_group() as nursery:
            options: dict[str, Any] = {"task_group": nursery} if form == "nursery" else {}
            result = Runner.run_streamed(agent, "hi", hooks=Hooks(), **options)
            async for _ in result.stream_events():
                pass
    assert variable.get() == "caller's"
    assert set(seen.values()) == {"caller's"}
    assert len(seen) == 5


def order_of_one_run(backend: Any) -> tuple[list[str], list[str]]:
    journal: list[str] = []
    events: list[str] = []

    async def same_moment(name: str) -> str:
        journal.append(f"{name} begins")
        await anyio.sleep(0.1)
        return name

    @function_tool
    async def one() -> str:
        return await same_moment("one")

    @function_tool
    async def two() -> str:
        return await same_moment("two")

    @function_tool
    async def three() -> str:
        return await same_moment("three")

    class Hooks(RunHooks[Any]):
        async def on_tool_start(self, context: Any, agent: Any, tool: Any) -> None:
            journal.append(f"start {tool.name}")

        async def on_tool_end(self, context: Any, agent: Any, tool: Any, result: object) -> None:
            journal.append(f"end {tool.name}")

    async def main() -> None:
        calls = [function_call(name, {}, call_id=name) for name in ("one", "two", "three")]
        agent: Agent[Any] = Agent("a", model=ScriptedModel([calls, "done"]), tools=[one, two, three])
        async with Runner.run_streamed(agent, "hi", hooks=Hooks()) as result:
            async for event in result.stream_events():
                if event.type == "run_item_stream_event":
                    events.append(f"{event.name} {getattr(event.item, 'call_id', '')}")

    run_virtual(main, backend=backend)
    return journal, events


def test_tools_that_end_at_the_same_moment_are_told_in_call_order_on_both_backends() -> None:
    expected = order_of_one_run("asyncio")
    assert [line for line in expected[0] if line.startswith("end")] == ["end one", "end two", "end three"]
    for _ in range(50):
        assert order_of_one_run("trio") == expected


INTERRUPTED = """
    import sys, threading, os, signal, time
    import anyio
    from agentrun import Agent, Runner, function_tool
    from agentrun.testing import ScriptedModel, function_call

    backend, form = sys.argv[1:]
    delay = 0.15

    @function_tool
    async def work() -> str:
        threading.Timer(delay, os.kill, [os.getpid(), signal.SIGINT]).start()
        try:
            await anyio.sleep(30)
        finally:
            await anyio.sleep(0.05)
            print("cleaned up", flush=True)

    model = ScriptedModel([[function_call("work", {}, call_id="c1")], "never"])
    agent = Agent("a", model=model, tools=[work])

    async def main():
        if form == "plain":
            await Runner.run(agent, "hi")
        elif form == "block":
            async with Runner.run_streamed(agent, "hi") as result:
                async for _ in result.stream_events():
                    pass
        else:
            result = Runner.run_streamed(agent, "hi")
            async for _ in result.stream_events():
                pass

    try:
        if form == "sync":
            Runner.run_sync(agent, "hi", backend=backend)
        else:
            anyio.run(main, backend=backend)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    assert len(model.calls) == 1
"""


@pytest.mark.slow
@pytest.mark.parametrize("form", ["plain", "block", "bare", "sync"])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_ctrl_c_ends_the_run_after_its_tools_have_cleaned_up(backend: str, form: str) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(INTERRUPTED), backend, form],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split("\n") == ["cleaned up", "interrupted", ""], done.stderr
    assert done.stderr == ""
    assert done.returncode == 0


async def test_a_tool_that_raises_the_backends_cancellation_by_itself_has_failed_and_not_cancelled_the_run() -> None:
    other_scope = anyio.CancelScope()

    @function_tool
    async def confused() -> str:
        # Trio's exception cannot be made by hand, so it is taken from a scope that has nothing to do with the run.
        with other_scope:
            other_scope.cancel()
            try:
                await anyio.sleep(1)
            except anyio.get_cancelled_exc_class() as exc:
                taken.append(exc)
                raise
        raise taken[0].with_traceback(None)

    taken: list[BaseException] = []

    model = ScriptedModel([[function_call("confused", {}, call_id="c1")], "went on"])
    result = await Runner.run(Agent("a", model=model, tools=[confused]), "hi")
    assert result.final_output == "went on"


async def test_a_hanging_model_is_cancelled_and_its_request_shows_as_one_partial_entry() -> None:
    model = ScriptedModel([ModelStep.hang(after=7, output=["one two three four five six seven"])], in_pieces=True)
    with capture_run() as captured, anyio.move_on_after(1):
        async with Runner.run_streamed(Agent("a", model=model), "hi", run_config=RunConfig()) as result:
            async for _ in result.stream_events():
                pass
    assert captured.run_data is not None
    entries = captured.run_data.context_wrapper.usage.request_usage_entries
    assert [(entry.partial, entry.output_tokens) for entry in entries] == [(True, 3)]
    assert captured.run_data.context_wrapper.usage.total_tokens == 0


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_runs_are_the_same_where_the_loop_starts_its_tasks_eagerly() -> None:
    @function_tool
    async def wait(seconds: float) -> str:
        await anyio.sleep(seconds)
        return f"waited {seconds}"

    @input_guardrail
    async def slow(context: Any, agent: Any, given: Any) -> GuardrailFunctionOutput:
        await anyio.sleep(0.1)
        return GuardrailFunctionOutput(output_info=None, tripwire_triggered=False)

    def agent() -> Agent[Any]:
        calls = [function_call("wait", {"seconds": seconds}, call_id=f"c{seconds}") for seconds in (0.3, 0.0, 0.2)]
        return Agent("a", model=ScriptedModel([calls, "done"]), tools=[wait], input_guardrails=[slow])

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009 - not in 3.11
        results = [await Runner.run(agent(), "hi")]
        async with Runner.run_streamed(agent(), "hi") as streamed:
            events = [event async for event in streamed.stream_events()]
        assert [event.name for event in events if event.type == "run_item_stream_event"][-4:] == [
            *["tool_output"] * 3,
            "message_output_created",
        ]
        for result in (*results, streamed):
            outputs = [item.output for item in result.new_items if item.type == "tool_call_output_item"]
            assert outputs == ["waited 0.3", "waited 0.0", "waited 0.2"]
            assert result.final_output == "done"
        async with no_leaks():
            with anyio.move_on_after(0.2) as scope:
                await Runner.run(agent(), "hi")
        assert scope.cancelled_caught

    run_virtual(main, backend="asyncio")
