"""The complaints that need sockets, threads or several event loops; the same form, on the real clock."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import time
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from agentrun import Agent, RunConfig, Runner, ToolContext, function_tool
from agentrun.models.responses import OpenAIResponsesModel
from agentrun.testing import LoopbackProvider, ModelStep, ScriptedModel, function_call, no_leaks, serve_in_thread

pytestmark = pytest.mark.real_clock
FIFTY = " ".join("word" for _ in range(50))


@pytest.mark.parametrize("way", ["break", "cancel", "scope"])
async def test_22_cancelled_runs_leak_no_connection(way: str) -> None:
    provider = LoopbackProvider(script=lambda body: ModelStep([FIFTY], delay=[0, 0, 0, 0, 0, 60]))
    runs = 20
    with anyio.fail_after(30):
        async with provider.serve() as url, no_leaks(provider):
            model = OpenAIResponsesModel("any", base_url=url, api_key="key")
            agent: Agent[Any] = Agent("a", model=model)
            for _ in range(runs):
                with anyio.CancelScope() as scope:
                    async with Runner.run_streamed(agent, "hi") as result:
                        async for event in result.stream_events():
                            if event.type != "raw_response_event" or event.data.type != "response.output_text.delta":
                                continue
                            if way == "break":
                                break
                            if way == "cancel":
                                result.cancel()
                            else:
                                scope.cancel()
            await provider.wait_idle()
            assert provider.cut_streams == runs
            before = time.monotonic()
            async with Runner.run_streamed(agent, "hi") as result:
                async for event in result.stream_events():
                    if event.type == "raw_response_event":
                        break
            assert time.monotonic() - before < 1
            await provider.wait_idle()
            await model.close()


def sync_agent() -> Agent[Any]:
    @function_tool
    def thread_name() -> str:
        return threading.current_thread().name

    return Agent(
        "a", model=ScriptedModel([[function_call("thread_name", {}, call_id="c1")], "done"]), tools=[thread_name]
    )


@pytest.mark.parametrize("own", ["asyncio", "trio"])
async def test_26_run_sync_works_inside_a_running_loop(own: Any) -> None:
    result = Runner.run_sync(sync_agent(), "hi", backend=own)
    assert result.final_output == "done"
    result = await anyio.to_thread.run_sync(lambda: Runner.run_sync(sync_agent(), "hi", backend=own))
    assert result.final_output == "done"


@pytest.mark.parametrize("own", ["asyncio", "trio"])
def test_26_run_sync_works_in_a_script_and_after_a_loop_was_closed(own: Any) -> None:
    async def nothing() -> None:
        await anyio.lowlevel.checkpoint()

    for _ in range(2):
        assert Runner.run_sync(sync_agent(), "hi", backend=own).final_output == "done"
        anyio.run(nothing, backend=own)


LOOPS = """
    import sys, threading, gc
    import anyio
    from agentrun import Agent, Runner
    from agentrun.models.responses import OpenAIResponsesModel

    agent = Agent("a", model=OpenAIResponsesModel("any", base_url=sys.argv[1], api_key="key"))

    async def main():
        result = await Runner.run(agent, "hi")
        assert result.final_output == "hello", result
        async with Runner.run_streamed(agent, "hi") as streamed:
            async for _ in streamed.stream_events():
                pass
        assert streamed.final_output == "hello"

    for backend in ("asyncio", "trio"):
        for _ in range(5):
            anyio.run(main, backend=backend)
    errors = []
    def thread(backend):
        try:
            anyio.run(main, backend=backend)
        except BaseException as exc:
            errors.append(exc)
    threads = [threading.Thread(target=thread, args=[backend]) for backend in ("asyncio", "trio") * 2]
    for one in threads: one.start()
    for one in threads: one.join()
    assert not errors, errors
    gc.collect()
    print("done")
"""


def test_27_one_agent_with_one_http_model_runs_in_many_loops_and_threads() -> None:
    provider = LoopbackProvider(script=lambda body: ModelStep(["hello"]))
    with serve_in_thread(provider) as server:
        done = subprocess.run(
            [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(LOOPS), server.url + "/v1"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    noise = [line for line in done.stderr.splitlines() if not line.startswith("Executing <")]
    assert (done.stdout, noise) == ("done\n", [])


@pytest.mark.parametrize("cooperative", [True, False])
async def test_03_a_sync_tool_is_told_and_joined_or_named_when_it_does_not_listen(cooperative: bool) -> None:
    started, ended = threading.Event(), threading.Event()
    release = threading.Event()

    @function_tool
    def work(context: ToolContext[Any]) -> str:
        started.set()
        try:
            while not release.wait(0.01):
                if cooperative:
                    context.check_cancelled()
        finally:
            ended.set()
        return "never"

    model = ScriptedModel([[function_call("work", {}, call_id="c1")], "never"])
    agent: Agent[Any] = Agent("a", model=model, tools=[work])
    with anyio.fail_after(20):
        async with Runner.run_streamed(agent, "hi", run_config=RunConfig(timeouts={"cleanup": 0.2})) as result:
            while not started.is_set():  # noqa: ASYNC110 - set by a thread
                await anyio.sleep(0.01)
            before = time.monotonic()
            result.cancel()
        assert time.monotonic() - before < 1
        assert ended.is_set() is cooperative
        assert result.warnings == (
            [] if cooperative else ["a worker thread of tool 'work' did not stop within 0.2 s and was abandoned"]
        )
        release.set()
        while not ended.is_set():  # noqa: ASYNC110 - set by a thread
            await anyio.sleep(0.01)
        await anyio.sleep(0.05)
    assert result.final_output is None
    assert len(model.calls) == 1
