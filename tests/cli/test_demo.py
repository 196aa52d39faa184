"""The demo: what it shows, and how it ends."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from agentrun._cli import main
from agentrun._demo import Api, DemoOptions, run_demo
from agentrun.testing import LoopbackProvider, ModelStep

ROOT = Path(__file__).parents[2]
ANSWER = "leaves at 14:30 and arrives at 17:24."


class Terminal(io.StringIO):
    """A terminal that keeps what was written to it."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.mark.real_clock
@pytest.mark.parametrize("api", ["responses", "chat"])
async def test_the_demo_does_the_main_job_over_http(api: Api) -> None:
    out = io.StringIO()

    await run_demo(DemoOptions(api=api, pace=0.05), out)

    text = out.getvalue()
    assert ANSWER in text
    assert "handoff: Triage agent to Travel agent" in text
    assert "about travel: done" in text
    assert "4 HTTP requests, 0 of them still open" in text
    assert text.index("about travel: started") < text.index("Triage agent: done")
    assert text.index("find_trains(Lisbon, Porto): started") < text.index("get_weather(Lisbon): done")


@pytest.mark.real_clock
async def test_a_terminal_gets_a_live_view_that_restores_the_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("CI", raising=False)
    out = Terminal()

    await run_demo(DemoOptions(pace=0.05), out)

    text = out.getvalue()
    assert text.index("\x1b[?25l") < text.index("\x1b[?25h")
    last = text[text.rindex("\x1b[J") :]
    assert len(re.findall("✓", last)) == 6
    assert ANSWER in " ".join(last.split())


@pytest.mark.real_clock
@pytest.mark.parametrize(("name", "value"), [("TERM", "dumb"), ("CI", "true")])
async def test_a_terminal_that_cannot_be_redrawn_gets_plain_lines(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv(name, value)
    out = Terminal()

    await run_demo(DemoOptions(pace=0.01), out)

    assert "\x1b" not in out.getvalue()


@pytest.mark.real_clock
async def test_the_demo_talks_to_a_real_provider_when_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    out = io.StringIO()
    judged = ModelStep.respond('{"response": {"about_travel": true, "reason": "weather"}}')

    def script(body: dict[str, object]) -> object:
        return "From far away." if body.get("tools") else judged

    provider = LoopbackProvider(script=script)
    async with provider.serve() as url:
        await run_demo(DemoOptions(model="some-model", base_url=url), out)

    assert "From far away." in out.getvalue()
    assert "sk-secret" not in out.getvalue()
    assert {request.body["model"] for request in provider.requests} == {"some-model"}


@pytest.mark.real_clock
async def test_a_cancelled_demo_says_what_became_of_its_tasks() -> None:
    scope = anyio.CancelScope()

    class Cancelling(io.StringIO):
        def write(self, text: str) -> int:
            if "find_trains(Lisbon, Porto): started" in text:
                scope.cancel()
            return super().write(text)

    out = Cancelling()
    with scope:
        await run_demo(DemoOptions(pace=0.05), out)

    assert scope.cancelled_caught
    assert "get_weather(Lisbon): cancelled" in out.getvalue()
    assert "timetable closed" in out.getvalue()
    assert "0 of them still open" in out.getvalue()


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_ctrl_c_cancels_the_demo_cleanly(backend: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "agentrun", "demo", "--backend", backend],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        text=True,
        encoding="utf-8",
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        shown = ""
        for line in process.stdout:
            shown += line
            if "find_trains(Lisbon, Porto): started" in line:
                process.send_signal(signal.SIGINT)
                break
        shown += process.stdout.read()
        complaints = process.stderr.read()

    assert process.returncode == 130
    assert "find_trains(Lisbon, Porto): cancelled" in shown
    assert "timetable closed" in shown
    assert "0 of them still open" in shown
    assert complaints == "agentrun: interrupted; everything that was running has been cancelled and has ended\n"


def test_the_demo_needs_a_key_for_a_real_model(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    assert main(["demo", "--model", "some-model"]) == 2
    assert "OPENAI_API_KEY" in capsys.readouterr().err


def test_a_model_that_cannot_be_reached_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "key")

    assert main(["demo", "--model", "some-model", "--base-url", "http://127.0.0.1:1/v1"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("agentrun: ")
    assert "Traceback" not in error


def test_a_missing_trio_is_told_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:

    def find_nothing(name: str) -> None:
        return None

    monkeypatch.setattr("importlib.util.find_spec", find_nothing)

    assert main(["demo", "--backend", "trio"]) == 2
    assert "pip install 'agentrun[trio]'" in capsys.readouterr().err


def test_wrong_arguments_end_with_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["demo", "--backend", "curio"])

    assert caught.value.code == 2
    assert "curio" in capsys.readouterr().err


def test_the_version_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])

    assert caught.value.code == 0
    assert re.fullmatch(r"agentrun \d+\.\d+.*\n", capsys.readouterr().out)


@pytest.mark.skipif(os.name == "nt", reason="closes a POSIX pipe")
def test_a_reader_that_leaves_makes_no_traceback() -> None:
    process = subprocess.run(
        f"{sys.executable} -m agentrun demo | head -c 10",
        shell=True,
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        check=True,
    )

    assert process.stderr == b""
