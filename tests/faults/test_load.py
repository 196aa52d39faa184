"""Many runs at once in one process, against a server in the same loop, with some of them cancelled."""

from __future__ import annotations

import os
import random
import sys
import threading
from typing import Any

import anyio
import pytest

from agentrun import Agent, RunConfig, Runner, function_tool
from agentrun._exceptions import ModelTimeoutError
from agentrun._settings import Timeouts
from agentrun.models.chat import OpenAIChatCompletionsModel
from agentrun.models.responses import OpenAIResponsesModel
from agentrun.testing import (
    LoopbackProvider,
    ModelStep,
    assistant_message,
    conversation_of,
    function_call,
    no_leaks,
    serve,
)
from agentrun.testing._server import serve_in_thread

pytestmark = [pytest.mark.real_clock, pytest.mark.slow]

RUNS = int(os.environ.get("AGENTRUN_LOAD_RUNS", "300"))


def two_turns(body: dict[str, Any]) -> Any:
    """Call the tool once and then answer."""
    if conversation_of(body).outputs():
        return "all done now"
    return [function_call("work", '{"n": 1}', call_id="c1")]


def sockets() -> int:
    """Return how many sockets this process has open."""
    if not sys.platform.startswith("linux"):
        return 0
    count = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            count += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
        except OSError:
            continue
    return count


async def wait_until(condition: Any) -> None:
    with anyio.fail_after(10):
        while not condition():  # noqa: ASYNC110 - what sockets and servers count; no event tells of it
            await anyio.sleep(0.005)


@pytest.mark.parametrize("api", ["responses", "chat"])
async def test_hundreds_of_runs_with_some_cancelled_leave_nothing(api: str) -> None:
    dice = random.Random(4711)
    started = ended = done = cancelled = 0

    @function_tool
    async def work(n: int) -> int:
        """Work."""
        nonlocal started, ended
        started += 1
        try:
            await anyio.sleep(0.02)
        finally:
            ended += 1
        return n

    provider = LoopbackProvider(script=two_turns)
    before = sockets()
    failed: list[BaseException] = []
    cls: Any = OpenAIResponsesModel if api == "responses" else OpenAIChatCompletionsModel
    async with serve(provider) as server:
        model = cls("m", base_url=f"{server.url}/v1", api_key="k")
        agent = Agent("loaded", model=model, tools=[work])

        async def one(number: int, how: str, after: float) -> None:
            nonlocal done, cancelled
            streamed = number % 2 == 0
            try:
                with anyio.CancelScope(
                    deadline=anyio.current_time() + after if how == "scope" else float("inf")
                ) as scope:
                    if streamed:
                        async with Runner.run_streamed(agent, f"run {number}") as result:
                            async for _ in result.stream_events():
                                if how == "leave":
                                    break
                        assert how == "leave" or result.final_output == "all done now"
                    else:
                        assert (await Runner.run(agent, f"run {number}")).final_output == "all done now"
                if scope.cancelled_caught or how == "leave":
                    cancelled += 1
                else:
                    done += 1
            except Exception as exc:  # noqa: BLE001 - what fails is counted below
                failed.append(exc)

        async with no_leaks(provider):
            async with anyio.create_task_group() as nursery:
                for number in range(RUNS):
                    how = dice.choice(["scope", "leave"]) if dice.random() < 0.1 else "through"
                    if how == "leave" and number % 2:
                        how = "scope"
                    nursery.start_soon(one, number, how, dice.random() * 0.5)
            assert not failed
            assert done + cancelled == RUNS
            assert cancelled
            assert started == ended
            await wait_until(lambda: provider.open_requests == 0)
            assert provider.open_streams == 0
        assert server.statistics().connections <= RUNS + cancelled
        await model.close()
        await wait_until(lambda: server.statistics().open_connections == 0)
    assert sockets() <= before


async def test_streams_left_after_their_first_event_give_their_connections_up() -> None:
    """Pain point 22: a pool of one's own would be used up by streams that nobody closed."""
    import httpx

    def long(body: dict[str, Any]) -> Any:
        return ModelStep([assistant_message("word " * 200)], delay=0.001)

    provider = LoopbackProvider(script=long)
    async with serve(provider) as server:
        limits = httpx.Limits(max_connections=2)
        async with httpx.AsyncClient(limits=limits, timeout=httpx.Timeout(5.0)) as client:
            model = OpenAIResponsesModel("m", base_url=f"{server.url}/v1", api_key="k", http_client=client)
            agent = Agent("left", model=model)
            for _ in range(40):
                async with Runner.run_streamed(agent, "hi") as result:
                    async for _ in result.stream_events():
                        break
                    await anyio.sleep(0.002)
            # The pool still has room for one more
            with anyio.fail_after(5):
                async with Runner.run_streamed(agent, "hi") as result:
                    async for event in result.stream_events():
                        if event.type == "raw_response_event":
                            break
            await wait_until(lambda: provider.open_requests == 0)


@pytest.mark.parametrize("stalls", [True, False])
async def test_a_stream_that_stalls_ends_soon_after_its_last_event_and_a_steady_one_does_not(stalls: bool) -> None:
    """Pain point 21."""
    delays = [0.0, 0.02, 0.02, 0.02, 30.0] if stalls else [0.0] + [0.25] * 5 + [0.0] * 20
    provider = LoopbackProvider([ModelStep([assistant_message("one two three four five")], delay=delays)])
    async with serve(provider) as server:
        model = OpenAIResponsesModel("m", base_url=f"{server.url}/v1", api_key="k")
        config = RunConfig(timeouts=Timeouts(idle=0.6, first_event=5.0))
        last = anyio.current_time()
        limit: str | None = None
        try:
            async with Runner.run_streamed(Agent("a", model=model), "hi", run_config=config) as result:
                async for event in result.stream_events():
                    if event.type == "raw_response_event":
                        last = anyio.current_time()
        except ModelTimeoutError as exc:
            limit = exc.limit
            assert 0.5 < anyio.current_time() - last < 1.5
        assert limit == ("idle" if stalls else None)
        assert len(provider.requests) == 1
        await model.close()
        await wait_until(lambda: provider.open_requests == 0)


def test_one_agent_serves_many_loops_and_threads() -> None:
    """Pain point 27: connections belong to the loop that made them."""

    @function_tool
    async def work(n: int) -> int:
        """Work."""
        return n

    provider = LoopbackProvider(script=two_turns)
    outputs: list[Any] = []
    with serve_in_thread(provider) as server:
        model = OpenAIResponsesModel("m", base_url=f"{server.url}/v1", api_key="k")
        agent = Agent("shared", model=model, tools=[work])

        async def twice() -> None:
            for _ in range(2):
                outputs.append((await Runner.run(agent, "hi")).final_output)

        for backend in ("asyncio", "trio") * 3:
            anyio.run(twice, backend=backend)
        threads = [
            threading.Thread(target=lambda: outputs.append(Runner.run_sync(agent, "hi").final_output)) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert outputs == ["all done now"] * 16
