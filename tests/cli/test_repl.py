"""`run_demo_loop`: talking to an agent in a terminal."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable
from typing import Any

import anyio
import pytest

from agentrun import Agent, RunContextWrapper, UserError, function_tool
from agentrun.repl import run_demo_loop
from agentrun.testing import ModelStep, ScriptedModel, function_call

Typist = Callable[[Iterable[str | type[BaseException]]], list[str]]


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Typist:
    """Let somebody type these lines, or press these keys; returns the prompts."""

    def type_lines(lines: Iterable[str | type[BaseException]]) -> list[str]:
        prompts: list[str] = []
        left = iter(lines)

        def fake_input(prompt: str = "") -> str:
            prompts.append(prompt)
            line = next(left)
            if isinstance(line, str):
                return line
            raise line

        monkeypatch.setattr("builtins.input", fake_input)
        return prompts

    return type_lines


@function_tool
async def add(a: int, b: int) -> int:
    """Add."""
    return a + b


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("leave", ["exit", "Quit", EOFError, KeyboardInterrupt])
async def test_the_loop_answers_until_the_person_leaves(
    typed: Typist, capsys: pytest.CaptureFixture[str], stream: bool, leave: str | type[BaseException]
) -> None:
    prompts = typed(["hi", "", "  ", "again", leave])
    model = ScriptedModel(["Hello.", "Yes?"])

    await run_demo_loop(Agent("A", model=model), stream=stream)

    shown = capsys.readouterr().out
    assert "Hello." in shown
    assert "Yes?" in shown
    assert prompts == [" > "] * 5
    assert model.last_call is not None
    assert [item["role"] for item in as_dicts(model.last_call.input)] == ["user", "assistant", "user"]


def as_dicts(items: Any) -> list[dict[str, Any]]:
    return [dict(item) for item in items]


async def test_tools_and_handoffs_are_shown_as_lines(typed: Typist, capsys: pytest.CaptureFixture[str]) -> None:
    typed(["hi", "more", "exit"])
    model = ScriptedModel(
        [
            [function_call("transfer_to_b", {}, call_id="1")],
            [function_call("add", {"a": 1, "b": 2}, call_id="2")],
            "It is 3.",
            "Still B.",
        ]
    )
    second = Agent("B", model=model, tools=[add])

    await run_demo_loop(Agent("A", model=model, handoffs=[second]))

    lines = capsys.readouterr().out.splitlines()
    assert '[tool: add {"a":1,"b":2}]' in lines
    assert "[tool output: 3]" in lines
    assert "[agent: B]" in lines
    assert "[agent: A]" not in lines
    assert model.last_call is not None
    assert [tool.name for tool in model.last_call.tools] == ["add"]  # the conversation stays with B


@pytest.mark.real_clock  # a signal takes its own time, and a virtual clock would jump past it
@pytest.mark.parametrize("stream", [True, False])
async def test_ctrl_c_stops_the_answer_and_not_the_loop(
    typed: Typist, capsys: pytest.CaptureFixture[str], stream: bool
) -> None:
    cleaned: list[str] = []

    @function_tool
    async def wait_for_ever() -> str:
        """Wait."""
        signal.raise_signal(signal.SIGINT)
        try:
            await anyio.sleep(1000)
        finally:
            cleaned.append("up")
        return "never"

    typed(["wait", "are you there?", "exit"])
    model = ScriptedModel([[function_call("wait_for_ever", {}, call_id="1")], "I am."])

    await run_demo_loop(Agent("A", model=model, tools=[wait_for_ever]), stream=stream)

    shown = capsys.readouterr().out
    assert cleaned == ["up"]
    assert shown.index("[stopped]") < shown.index("I am.")
    assert model.last_call is not None
    asked = [item.get("content") for item in as_dicts(model.last_call.input)]
    assert asked == ["wait", "are you there?"]


async def test_a_failed_run_is_told_and_forgotten(typed: Typist, capsys: pytest.CaptureFixture[str]) -> None:
    typed(["loop", "hi", "exit"])
    model = ScriptedModel([[function_call("add", {"a": 1, "b": 2}, call_id="1")], "Hello."])

    await run_demo_loop(Agent("A", model=model, tools=[add]), max_turns=1)

    assert "[failed: MaxTurnsExceeded: " in capsys.readouterr().out
    assert model.last_call is not None
    assert [item["content"] for item in as_dicts(model.last_call.input)] == ["hi"]


async def test_a_model_that_fails_in_its_own_way_ends_no_conversation(
    typed: Typist, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(["one", "two", "exit"])
    agent = Agent("a", model=ScriptedModel([RuntimeError("out of cheese"), "here again"]))

    await run_demo_loop(agent)

    shown = capsys.readouterr().out
    assert "[failed: RuntimeError: out of cheese]" in shown
    assert "here again" in shown


async def test_a_wrong_program_ends_the_loop(typed: Typist, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    typed(["hi", "exit"])

    with pytest.raises(UserError, match="API key"):
        await run_demo_loop(Agent("A", model="some-model"))


async def test_the_context_is_passed_on(typed: Typist) -> None:
    seen: list[str] = []

    @function_tool
    async def look(context: RunContextWrapper[str]) -> str:
        """Look."""
        seen.append(context.context)
        return "seen"

    typed(["hi", "exit"])
    model = ScriptedModel([[function_call("look", {}, call_id="1")], "Done."])

    await run_demo_loop(Agent[str]("A", model=model, tools=[look]), context="here")

    assert seen == ["here"]


async def test_a_model_cannot_steer_the_terminal(typed: Typist, capsys: pytest.CaptureFixture[str]) -> None:
    typed(["hi", "exit"])

    await run_demo_loop(Agent("A", model=ScriptedModel([ModelStep.respond("\x1b[2Jgone")])))

    assert "\x1b" not in capsys.readouterr().out


async def test_a_long_tool_output_is_cut(typed: Typist, capsys: pytest.CaptureFixture[str]) -> None:
    @function_tool
    async def much() -> str:
        """Return much."""
        return "x" * 10_000

    typed(["hi", "exit"])
    model = ScriptedModel([[function_call("much", {}, call_id="1")], "Done."])

    await run_demo_loop(Agent("A", model=model, tools=[much]))

    assert "x ... (10000 characters)]" in capsys.readouterr().out


async def test_a_loop_outside_of_the_main_thread_works(typed: Typist, capsys: pytest.CaptureFixture[str]) -> None:
    typed(["hi", "exit"])
    agent = Agent("A", model=ScriptedModel(["Hello."]))

    await anyio.to_thread.run_sync(lambda: anyio.run(run_demo_loop, agent))

    assert "Hello." in capsys.readouterr().out
