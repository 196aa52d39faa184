"""Verbose logging, and what of models and tools may be in it."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest

from agentrun import Agent, Runner, enable_verbose_stdout_logging, function_tool
from agentrun.logger import logger
from agentrun.testing import ScriptedModel, function_call


@pytest.fixture(autouse=True)
def loggers_as_before() -> Iterator[None]:
    level, handlers = logger.level, list(logger.handlers)
    yield
    logger.setLevel(level)
    logger.handlers[:] = handlers


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for prefix in ("AGENTRUN", "OPENAI_AGENTS"):
        for kind in ("MODEL", "TOOL"):
            monkeypatch.delenv(f"{prefix}_DONT_LOG_{kind}_DATA", raising=False)


def run() -> None:
    @function_tool
    def look(secret: str) -> str:
        """Look."""
        return "an output"

    model = ScriptedModel([[function_call("look", {"secret": "an argument"}, call_id="c1")], "an answer"])
    Runner.run_sync(Agent(name="a", model=model, tools=[look]), "a question")


SECRETS = ("a question", "an answer", "an argument", "an output")


def test_verbose_logging_goes_to_stdout_once_and_shows_no_data(capsys: pytest.CaptureFixture[str]) -> None:
    enable_verbose_stdout_logging()
    enable_verbose_stdout_logging()
    run()
    out = capsys.readouterr().out
    assert out.count("tool 'look': called\n") == 1
    assert out.count("agent 'a': the model is asked\n") == 2
    assert [secret for secret in SECRETS if secret in out] == []


def test_verbose_logging_goes_to_stderr_where_there_is_no_stdout(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    enable_verbose_stdout_logging()
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout", None)
        run()
    shown = capsys.readouterr()
    assert shown.err.count("tool 'look': called\n") == 1 and shown.out == ""


@pytest.mark.parametrize("prefix", ["AGENTRUN", "OPENAI_AGENTS"])
def test_the_environment_allows_data(
    prefix: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(f"{prefix}_DONT_LOG_TOOL_DATA", "0")
    enable_verbose_stdout_logging()
    run()
    out = capsys.readouterr().out
    assert [secret for secret in SECRETS if secret in out] == ["an argument", "an output"]
    monkeypatch.setenv(f"{prefix}_DONT_LOG_MODEL_DATA", "false")
    run()
    out = capsys.readouterr().out
    assert [secret for secret in SECRETS if secret in out] == list(SECRETS)


def test_our_own_variable_wins(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("AGENTRUN_DONT_LOG_MODEL_DATA", "1")
    monkeypatch.setenv("OPENAI_AGENTS_DONT_LOG_MODEL_DATA", "0")
    enable_verbose_stdout_logging()
    run()
    assert "an answer" not in capsys.readouterr().out


def test_without_verbose_logging_nothing_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    run()
    assert capsys.readouterr().out == ""
    assert not logging.getLogger("agentrun").isEnabledFor(logging.DEBUG)


def test_a_stdout_that_fails_does_not_fail_the_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    enable_verbose_stdout_logging()
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr("sys.stdout", closed)
    run()
    assert "Logging error" in capsys.readouterr().err
