"""What a hostile model, provider or tool must not get: keys, prompts, requests, log lines, endless work."""

from __future__ import annotations

import importlib.util
import json
import logging
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from agentrun import Agent, MaxTurnsExceeded, RunConfig, Runner, function_tool, handoff
from agentrun._exceptions import ModelBehaviorError, ModelStatusError, UserError
from agentrun._settings import ModelSettings, ToolExecutionConfig
from agentrun._tool_output_parts import ToolOutputImage
from agentrun.testing import LoopbackProvider, ModelStep, ScriptedModel, function_call


def _harness() -> Any:
    if "faults_harness" not in sys.modules:
        path = Path(__file__).parents[1] / "faults" / "harness.py"
        spec = importlib.util.spec_from_file_location("faults_harness", path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules["faults_harness"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["faults_harness"])
    return sys.modules["faults_harness"]


harness = _harness()
unit, Cell, faulty_run = harness.unit, harness.Cell, harness.faulty_run
KEY, PROMPT = harness.KEY, harness.PROMPT

CELLS = [(api, streamed) for api in ("responses", "chat") for streamed in (True, False)]


def call(name: str, arguments: Any = None, call_id: str = "c1") -> Any:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {})
    return function_call(name, text, call_id=call_id)


def outputs(result: Any) -> list[Any]:
    return [item.output for item in result.new_items if item.type == "tool_call_output_item"]


# S01: keys and prompts


@pytest.mark.real_clock
@pytest.mark.parametrize("api", ["responses", "chat"])
@pytest.mark.parametrize("streamed", [True, False])
async def test_neither_key_nor_prompt_is_in_what_a_failed_run_says(
    api: str, streamed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    async def echo(connection: Any, wire: Any, cell: Any) -> None:
        body = json.dumps({"error": {"message": f"key {wire.key} is wrong"}}).encode()
        await connection.send(wire.reply(body, "application/json", "401 No", f"www-authenticate: Bearer {wire.key}"))

    async with faulty_run(Cell(api, streamed), echo) as seen:
        error = seen.error
        assert isinstance(error, ModelStatusError)
        data = seen.run_data
        said = [
            str(error),
            repr(error),
            repr(vars(error)),
            repr(error.headers),
            error.body.decode(),
            "".join(traceback.format_exception(error)),
            str(data),
            repr(seen.agent),
            repr(seen.agent.model),
            repr(seen.options),
            str(data.to_state()),
            json.dumps(data.to_state().to_json()),
        ]
        assert not [text for text in said if KEY in text]
        assert not [text for text in said[:8] if PROMPT in text and "Traceback" in text]
        shown = [record.getMessage() for record in caplog.records if record.name.startswith("agentrun")]
        assert not [text for text in shown if KEY in text or PROMPT in text]


@pytest.mark.parametrize("streamed", [True, False])
async def test_nothing_of_a_conversation_is_logged_above_debug(
    streamed: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Even where the environment lets contents into the debug records
    monkeypatch.setenv("AGENTRUN_DONT_LOG_MODEL_DATA", "0")
    monkeypatch.setenv("AGENTRUN_DONT_LOG_TOOL_DATA", "0")
    caplog.set_level(logging.DEBUG)

    @function_tool
    def look(what: str) -> str:
        """Look."""
        if what == "secret-bad":
            raise ValueError("secret-failure")
        return "secret-output"

    async def extra(args: Any) -> str:
        raise ValueError("formatter")

    model = ScriptedModel(
        [
            [call("look", {"what": "secret-argument"}), call("look", {"what": "secret-bad"}, "c2")],
            [call("look", '{"what": 1, "secret-extra": ', "c3")],
            "secret-answer",
        ]
    )
    agent = Agent("a", model=model, tools=[look], instructions="secret-instructions")
    config = RunConfig(tool_error_formatter=extra)
    if streamed:
        async with Runner.run_streamed(agent, "secret-prompt", run_config=config) as result:
            async for _ in result.stream_events():
                pass
    else:
        await Runner.run(agent, "secret-prompt", run_config=config)
    above = [record for record in caplog.records if record.levelno > logging.DEBUG]
    assert not [record.getMessage() for record in above if "secret" in record.getMessage()]
    assert any("secret-prompt" in record.getMessage() for record in caplog.records)


# S02: redirects


@pytest.mark.real_clock
@pytest.mark.parametrize(("api", "streamed"), CELLS)
@pytest.mark.parametrize("status", ["301 Moved", "307 Temporary Redirect"])
async def test_a_redirect_takes_nothing_elsewhere_even_over_a_client_that_follows(
    api: str, streamed: bool, status: str
) -> None:
    cell = Cell(api, streamed)

    async def thief(connection: Any) -> None:
        await connection.request()

    async with cell.wire.serving(thief) as other:

        async def act(connection: Any, wire: Any, cell: Any) -> None:
            await connection.send(wire.reply(b"", "text/plain", status, f"location: {other.url}/steal"))

        async with httpx.AsyncClient(follow_redirects=True) as client:
            async with faulty_run(cell, act, http_client=client) as seen:
                assert isinstance(seen.error, ModelStatusError)
                assert seen.attempts == 1
                assert other.connections == 0
                await client.aclose()


# S03: arguments


@pytest.mark.parametrize(
    "arguments",
    [
        "[" * 100_000,
        '{"n": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"n": NaN}',
        '{"n": Infinity}',
        '{"n": 1e999}',
        '{"n": ' + "9" * 6000 + "}",
        '{"n": "\\ud800"}',
        '{"n": "\ud800"}',
        '{"n": 1, "s": "\\ud800"}',
        '{"n": 1, "s": "a\\u0000b"}',
        "[1]",
        "null",
        "7",
        '"x"',
        "",
        "{",
        "{}",
        '{"n": true}',
        '{"n": "1; drop table"}',
        '{"n": 1.5}',
        '{"n": null}',
    ],
)
@pytest.mark.parametrize("limited", [True, False])
async def test_hostile_arguments_are_told_to_the_model_and_reach_no_tool(arguments: str, limited: bool) -> None:
    ran: list[Any] = []

    @function_tool
    def take(n: int, s: str = "") -> str:
        """Take."""
        ran.append((n, s))
        return "taken"

    def asks(context: Any, given: dict[str, Any], call_id: str) -> bool:
        return False

    if limited:
        take.needs_approval = asks
    model = ScriptedModel([[call("take", arguments)], "sorry"])
    result = await Runner.run(Agent("a", model=model, tools=[take]), "hi")
    if result.interruptions:  # what cannot be read cannot be waved through: a person is asked
        state = result.to_state()
        state.approve(result.interruptions[0])
        result = await Runner.run(Agent("a", model=model, tools=[take]), state)
    assert ran == []
    assert result.final_output == "sorry"
    (told,) = outputs(result)
    assert "were not accepted" in told
    assert len(told) < 1000


@pytest.mark.parametrize("extra", ["self", "__class__", "ctx", "context", "__init__"])
async def test_extra_arguments_never_reach_a_tool(extra: str) -> None:
    ran: list[Any] = []

    @function_tool
    def take(n: int) -> str:
        """Take."""
        ran.append(n)
        return "taken"

    model = ScriptedModel([[call("take", {"n": 1, extra: "x"})], "done"])
    result = await Runner.run(Agent("a", model=model, tools=[take]), "hi")
    assert result.final_output == "done"
    assert ran in ([], [1])


# S04: output


@pytest.mark.real_clock
@pytest.mark.parametrize("api", ["responses", "chat"])
async def test_a_tool_that_returns_64_mb_does_not_send_them(api: str) -> None:
    @function_tool
    def dump() -> str:
        """Dump."""
        return "x" * 64_000_000

    provider = LoopbackProvider([[call("dump")], "done"])
    sizes: list[int] = []

    async def counting(request: httpx.Request) -> None:
        sizes.append(int(request.headers["content-length"]))

    async with provider.serve() as url, httpx.AsyncClient(event_hooks={"request": [counting]}) as client:
        model = _model(api, url, http_client=client)
        result = await Runner.run(Agent("a", model=model, tools=[dump]), "hi")
        assert result.final_output == "done"
    assert max(sizes) < 16_000_000
    assert "the limit is" in str(provider.requests[-1].body)[-5000:]


def _model(api: str, url: str, **options: Any) -> Any:
    from agentrun.models.chat import OpenAIChatCompletionsModel
    from agentrun.models.responses import OpenAIResponsesModel

    cls: Any = OpenAIResponsesModel if api == "responses" else OpenAIChatCompletionsModel
    return cls("m", base_url=url, api_key=KEY, **options)


# S06: endless work


async def test_agents_that_hand_over_to_each_other_for_ever_are_stopped_by_max_turns() -> None:
    ping = Agent("ping", model=ScriptedModel([[call("transfer_to_pong", None, f"c{at}")] for at in range(50)]))
    pong = Agent("pong", model=ScriptedModel([[call("transfer_to_ping", None, f"d{at}")] for at in range(50)]))
    ping.handoffs, pong.handoffs = [handoff(pong)], [handoff(ping)]
    with pytest.raises(MaxTurnsExceeded) as caught:
        await Runner.run(ping, "go", max_turns=7)
    data = caught.value.run_data
    assert data is not None
    assert len(data.raw_responses) == 7


@pytest.mark.parametrize("failure", ["default", "none", "own"])
@pytest.mark.parametrize("streamed", [True, False])
async def test_an_agent_that_calls_itself_as_a_tool_is_stopped_by_the_depth(failure: str, streamed: bool) -> None:
    asked: list[int] = []

    def reply(call: Any) -> Any:
        asked.append(1)
        return [function_call("again", '{"input": "deeper"}', call_id=f"c{len(asked)}")]

    agent = Agent("looped", model=ScriptedModel([ModelStep(responder=reply) for _ in range(200)]))

    def own(context: Any, error: Exception) -> str:
        return "try again"

    options: dict[str, Any] = {}
    if failure != "default":
        options["failure_error_function"] = own if failure == "own" else None
    agent.tools = [agent.as_tool("again", "Again", on_stream=(lambda event: None) if streamed else None, **options)]
    with pytest.raises(UserError, match=r"agent tool 'again' was called inside of 10 agent tools.*'looped'") as caught:
        await Runner.run(agent, "go", max_turns=3)
    assert len(asked) == 11
    assert caught.value.run_data is not None
    assert caught.value.run_data.last_agent is agent


async def test_a_second_call_at_the_same_level_is_no_deeper() -> None:
    nested = Agent("nested", model=ScriptedModel(["x"] * 30))
    tool = nested.as_tool("ask", "Ask")
    calls = [[call("ask", {"input": "?"}, f"c{at}")] for at in range(20)]
    agent = Agent("a", model=ScriptedModel([*calls, "done"]), tools=[tool])
    result = await Runner.run(agent, "go", max_turns=None)
    assert result.final_output == "done"


# S08: what was not offered


@pytest.mark.parametrize("gone", ["disabled", "of another agent"])
async def test_a_tool_that_was_not_offered_this_turn_does_not_run(gone: str) -> None:
    ran: list[str] = []

    async def enabled(context: Any, agent: Any) -> bool:
        return not ran and gone != "disabled"

    @function_tool(is_enabled=enabled)
    def secret() -> str:
        """Secret."""
        ran.append("secret")
        return "leaked"

    other = Agent("other", tools=[secret], model=ScriptedModel([]))
    tools: list[Any] = [secret] if gone == "disabled" else []
    agent = Agent("a", model=ScriptedModel([[call("secret")]]), tools=tools, handoffs=[other])
    with pytest.raises(ModelBehaviorError, match="secret"):
        await Runner.run(agent, "hi")
    assert ran == []


# S09: log lines


async def test_a_name_with_line_ends_makes_no_log_line_of_its_own(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTRUN_DONT_LOG_TOOL_DATA", "0")
    caplog.set_level(logging.DEBUG)
    name = "x\r\nCRITICAL forged entry\x1b[31m" + "y" * 10_000
    with pytest.raises(ModelBehaviorError) as caught:
        await Runner.run(Agent("a", model=ScriptedModel([[call(name)]])), "hi")
    texts = [record.getMessage() for record in caplog.records] + [str(caught.value)]
    assert not [text for text in texts if "\n" in text or "\r" in text or "\x1b" in text]
    assert len(str(caught.value)) < 300

    config = RunConfig(tool_not_found_behavior="return_error_to_model")
    model = ScriptedModel([[call(name)], "done"])
    result = await Runner.run(Agent("a", model=model), "hi", run_config=config)
    (told,) = outputs(result)
    assert "\n" not in told
    assert len(told) < 300
    assert not [text for text in (record.getMessage() for record in caplog.records) if "\r" in text or "\x1b" in text]


async def test_a_call_id_with_line_ends_is_quoted_too() -> None:
    made = [call("x", {"a": 1}, "id\nforged"), call("x", {"a": 2}, "id\nforged")]

    @function_tool
    def x(a: int) -> str:
        """X."""
        raise AssertionError("a call ran whose reply cannot be told apart")

    with pytest.raises(ModelBehaviorError) as caught:
        await Runner.run(Agent("a", model=ScriptedModel([made]), tools=[x]), "hi")
    assert "\n" not in str(caught.value)


# S12: nothing is fetched


@pytest.mark.real_clock
@pytest.mark.parametrize("api", ["responses", "chat"])
async def test_no_url_in_tool_or_model_content_is_fetched(api: str) -> None:
    async def thief(connection: Any) -> None:
        await connection.request()

    wire = harness.wires.Wire()
    async with wire.serving(thief) as other:

        @function_tool
        def picture() -> ToolOutputImage:
            """Picture."""
            return ToolOutputImage(image_url=f"{other.url}/steal?data=1")

        provider = LoopbackProvider([[call("picture")], f"![x]({other.url}/steal)"])
        async with provider.serve() as url:
            model = _model(api, url)
            result = await Runner.run(
                Agent("a", model=model, tools=[picture]),
                [{"role": "user", "content": [{"type": "input_image", "image_url": f"{other.url}/steal"}]}],
            )
            await model.close()
        assert "steal" in result.final_output
        await anyio.sleep(0.05)
        assert other.connections == 0


# S13: a blocking guardrail is a boundary


async def test_behind_a_blocking_guardrail_that_trips_there_is_no_request_and_no_tool() -> None:
    from agentrun import GuardrailFunctionOutput, InputGuardrailTripwireTriggered, input_guardrail

    @input_guardrail(run_in_parallel=False)
    async def stop(context: Any, agent: Any, input: Any) -> GuardrailFunctionOutput:
        await anyio.sleep(1)
        return GuardrailFunctionOutput(None, tripwire_triggered=True)

    model = ScriptedModel([[call("x")]])
    with pytest.raises(InputGuardrailTripwireTriggered):
        await Runner.run(Agent("a", model=model, input_guardrails=[stop]), "hi")
    assert not model.calls


# S15: many calls at once


async def test_the_calls_of_one_reply_run_within_the_limit_of_the_run() -> None:
    active = peak = done = 0

    @function_tool
    async def work(n: int) -> int:
        """Work."""
        nonlocal active, peak, done
        active += 1
        peak = max(peak, active)
        await anyio.sleep(0.01)
        active -= 1
        done += 1
        return n

    calls = [call("work", {"n": at}, f"c{at}") for at in range(1000)]
    config = RunConfig(tool_execution=ToolExecutionConfig(max_function_tool_concurrency=10))
    result = await Runner.run(Agent("a", model=ScriptedModel([calls, "done"]), tools=[work]), "hi", run_config=config)
    assert (peak, done, active) == (10, 1000, 0)
    assert outputs(result) == list(range(1000))


@pytest.mark.real_clock
async def test_a_thousand_calls_of_a_tool_in_threads_use_no_more_threads_than_there_are_workers() -> None:
    import threading

    lock = threading.Lock()
    active = peak = 0

    @function_tool
    def work(n: int) -> int:
        """Work."""
        nonlocal active, peak
        with lock:
            active += 1
            peak = max(peak, active)
        time.sleep(0.0005)
        with lock:
            active -= 1
        return n

    calls = [call("work", {"n": at}, f"c{at}") for at in range(1000)]
    result = await Runner.run(Agent("a", model=ScriptedModel([calls, "done"]), tools=[work]), "hi")
    assert outputs(result) == list(range(1000))
    assert peak <= 40


@pytest.mark.real_clock
@pytest.mark.parametrize("name", ["authorization", "x-api-key", "Cookie"])
async def test_credentials_among_the_extra_headers_are_kept_out_of_everything(name: str) -> None:
    async def echo(connection: Any) -> None:
        while (request := await connection.request()) is not None:
            head = request.partition(b"\r\n\r\n")[0]
            sent = [line for line in head.split(b"\r\n") if b"sk-other" in line]
            body = json.dumps({"error": {"message": sent[0].decode()}}).encode()
            await connection.send(wire.reply(body, "application/json", "401 No", f"x-echo: {sent[0].decode()}"))

    wire = harness.wires.Wire()
    async with wire.serving(echo) as server:
        model = server.responses()
        settings = ModelSettings(extra_headers={name: "Bearer sk-other-987654"})
        with pytest.raises(ModelStatusError) as caught:
            await Runner.run(Agent("a", model=model, model_settings=settings), "hi")
        error = caught.value
        said = [str(error), repr(vars(error)), error.body.decode(), "".join(traceback.format_exception(error))]
        assert not [text for text in [*said, repr(settings)] if "sk-other" in text]
        assert name in repr(settings)
        await model.close()


@pytest.mark.real_clock
@pytest.mark.parametrize(
    "headers",
    [
        {"x-a": "ü-sk-other"},
        {"x-a": "sk-other\nx-b: 1"},
        {"authorization": "Bearer sk-other\n"},
        {"x a": "sk-other"},
        {"x-ü": "sk-other"},
        {"x-a\r\nx-b": "sk-other"},
        {"Content-Length": "3"},
        {"transfer-encoding": "chunked"},
    ],
)
async def test_headers_that_would_break_a_request_are_refused_before_it_without_their_values(headers: Any) -> None:
    provider = LoopbackProvider(["unused"])
    async with provider.serve() as url:
        agent = Agent("a", model=_model("chat", url), model_settings=ModelSettings(extra_headers=headers))
        with pytest.raises(UserError, match=r"extra_headers") as caught:
            await Runner.run(agent, "hi")
        assert "sk-other" not in "".join(traceback.format_exception(caught.value))
        assert "\n" not in str(caught.value)
    assert provider.requests == []


def test_no_configuration_shows_a_key_it_holds() -> None:
    from agentrun.models.providers import MultiProvider, OpenAIProvider

    provider = OpenAIProvider(api_key=KEY)
    settings = ModelSettings(extra_headers={"authorization": f"Bearer {KEY}"})
    held: list[Any] = [
        provider,
        MultiProvider(openai_api_key=KEY),
        provider.get_model("m"),
        RunConfig(tracing={"api_key": KEY}, model_provider=provider, model_settings=settings),
        Agent("a", model=provider.get_model("m"), model_settings=settings),
    ]
    assert not [one for one in held if KEY in repr(one) or KEY in str(one)]
