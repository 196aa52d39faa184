"""The programs in docs/examples run against a provider on the loopback, on asyncio and on trio."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import anyio
import httpx
import pytest

from agentrun.testing import (
    LoopbackProvider,
    ModelStep,
    conversation_of,
    function_call,
    hang,
    serve,
    serve_in_thread,
)

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
Backend = Literal["asyncio", "trio"]


def translate(body: dict[str, Any]) -> Any:
    talk = conversation_of(body)
    if not talk.tools:
        return "boa noite"
    if "to_portuguese" in talk.outputs():
        return f"Say {talk.outputs()['to_portuguese']}."
    return [function_call("to_portuguese", {"input": "good night"}, call_id="1")]


def answer_quick_first(body: dict[str, Any]) -> Any:
    return "about 3,700 metres" if body["instructions"] == "Be quick." else hang()


def have_tea(body: dict[str, Any]) -> str:
    return "We have tea."


NAMED: dict[str, tuple[Any, str]] = {
    "hello": (["Tasks live in blocks."], "Tasks live in blocks.\n"),
    "stream_text": (["Light, dark, light."], "Light, dark, light.\n"),
    "tools_in_parallel": (
        [
            [
                function_call("get_weather", {"city": "Lisbon"}, call_id="1"),
                function_call("get_population", {"city": "Lisbon"}, call_id="2"),
            ],
            "Sunny and large.",
        ],
        "calls get_weather\ncalls get_population\ngets Lisbon: sunny\ngets 545000\nSunny and large.\n",
    ),
    "guardrail": (have_tea, "We have tea.\nrefused: {'digits': 16}\n"),
    "handoff": (
        [[function_call("transfer_to_refunds", {"reason": "broken kettle"}, call_id="1")], "It is paid back."],
        "handed over because: broken kettle\nRefunds: It is paid back.\n",
    ),
    "deadline": (
        [[function_call("search", {"query": "tides"}, call_id="1")], hang()],
        "had found: three results for tides\n",
    ),
    "structured_output": (
        ['{"response": {"title": "Dinner", "day": "Friday", "guests": ["Ada", "Grace"]}}'],
        "Dinner on Friday with Ada and Grace\n",
    ),
    "agents_as_tools": (translate, "Say boa noite.\n3 requests\n"),
    "parallel_runs": (answer_quick_first, "Quick: about 3,700 metres\n"),
    "judge_loop": (
        [
            "A cat sat.",
            '{"response": {"good": false, "advice": "make it rhyme"}}',
            "A cat sat on a mat.",
            '{"response": {"good": true, "advice": ""}}',
        ],
        "A cat sat.\nA cat sat on a mat.\n",
    ),
}
ARGUMENTS: dict[str, tuple[Any, ...]] = {"deadline": (1.5,)}


def provider_for(replies: Any) -> LoopbackProvider:
    return LoopbackProvider(script=replies) if callable(replies) else LoopbackProvider(replies)


@pytest.fixture
def to_provider(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def set_environment(url: str) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "any-key")
        monkeypatch.setenv("OPENAI_BASE_URL", url)

    return set_environment


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("name", sorted(NAMED))
def test_an_example_does_what_it_says(
    name: str, backend: Backend, to_provider: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    replies, printed = NAMED[name]
    provider = provider_for(replies)
    main = runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"]

    with serve_in_thread(provider) as server:
        to_provider(f"{server.url}/v1")
        anyio.run(partial(main, *ARGUMENTS.get(name, ())), backend=backend)

    assert capsys.readouterr().out == printed
    provider.assert_complete()
    assert provider.open_requests == 0


def test_the_example_in_plain_trio(to_provider: Callable[[str], None]) -> None:
    import trio

    main = runpy.run_path(str(EXAMPLES / "plain_trio.py"))["main"]

    with serve_in_thread(LoopbackProvider(script=lambda body: conversation_of(body).last_user_text())) as server:
        to_provider(f"{server.url}/v1")
        answers = trio.run(main)

    assert sorted(answers) == ["What is a cancel scope?", "What is a nursery?"]


def load_app(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("sys.path", [str(EXAMPLES), *sys.path])
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))["app"]


@pytest.mark.real_clock
@pytest.mark.parametrize("name", ["stream_to_browser", "fastapi_route"])
async def test_a_browser_gets_the_answer_as_events(
    name: str, to_provider: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "fastapi_route":
        pytest.importorskip("fastapi")
    app = load_app(name, monkeypatch)
    provider = LoopbackProvider(["Hello there.", ModelStep.http_error(400)])

    async with provider.serve() as url, serve(app) as server, httpx.AsyncClient(trust_env=False) as browser:
        to_provider(url)
        response = await browser.get(f"{server.url}/ask", params={"question": "Hi"})
        failure = await browser.get(f"{server.url}/ask", params={"question": "Hi"})

    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.text == (
        'event: delta\ndata: "Hello "\n\nevent: delta\ndata: "there."\n\nevent: done\ndata: "Hello there."\n\n'
    )
    assert failure.text == 'event: failed\ndata: "ModelStatusError"\n\n'


@pytest.mark.real_clock
async def test_a_browser_that_leaves_cancels_the_run(
    to_provider: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = load_app("stream_to_browser", monkeypatch)
    provider = LoopbackProvider([ModelStep.hang(after=6, output=["one two three four five"])])

    async with provider.serve() as url, serve(app) as server:
        to_provider(url)
        async with await anyio.connect_tcp(server.host, server.port) as browser:
            await browser.send(b"GET /ask?question=Hi HTTP/1.1\r\nhost: here\r\n\r\n")
            got = b""
            while b"data: " not in got:
                got += await browser.receive()
        with anyio.fail_after(5):
            await provider.wait_idle()
        assert provider.cut_streams == 1


def test_every_example_is_listed_and_tested() -> None:
    there = {path.stem for path in EXAMPLES.glob("*.py")}
    listed = (EXAMPLES.parent / "examples.md").read_text()

    assert there == {*NAMED, "plain_trio", "stream_to_browser", "fastapi_route", "scale_out"}
    assert all(f"(examples/{name}.py)" in listed for name in there)
