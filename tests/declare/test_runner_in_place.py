"""Another runner in the place of ours, and `Runner` where no event loop runs (RN-7)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from agentrun import Agent, RunContextWrapper, RunHooks, Runner, UserError
from agentrun.result import RunResult, RunResultStreaming
from agentrun.run import AgentRunner, get_default_agent_runner, set_default_agent_runner
from agentrun.testing import ScriptedModel, assistant_message


class Recorder(AgentRunner):
    def __init__(self) -> None:
        self.runs: list[tuple[str, dict[str, Any]]] = []

    async def run(self, starting_agent: Any, input: Any, **kwargs: Any) -> RunResult:
        self.runs.append((starting_agent.name, kwargs))
        return await super().run(starting_agent, input, **kwargs)

    def run_streamed(self, starting_agent: Any, input: Any, **kwargs: Any) -> RunResultStreaming:
        self.runs.append((starting_agent.name, kwargs))
        return super().run_streamed(starting_agent, input, **kwargs)


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    runner = Recorder()
    set_default_agent_runner(runner)
    yield runner
    set_default_agent_runner(None)


def agent() -> Agent[Any]:
    return Agent("helper", model=ScriptedModel([[assistant_message("hi")]]))


async def test_a_runner_in_place_gets_every_run_with_its_arguments(recorder: Recorder) -> None:
    assert get_default_agent_runner() is recorder

    result = await Runner.run(agent(), "hello", context={"user": 7}, max_turns=3)
    async with Runner.run_streamed(agent(), "hello", max_turns=4) as stream:
        await stream.wait()

    assert (result.final_output, stream.final_output) == ("hi", "hi")
    assert [(name, options["max_turns"]) for name, options in recorder.runs] == [("helper", 3), ("helper", 4)]
    assert recorder.runs[0][1]["context"] == {"user": 7}


def test_a_runner_in_place_gets_runs_of_sync_code_too(recorder: Recorder) -> None:
    assert Runner.run_sync(agent(), "hello").final_output == "hi"
    assert [name for name, _ in recorder.runs] == ["helper"]


async def test_a_task_group_is_for_the_own_runner_only(recorder: Recorder) -> None:
    nursery: Any = object()
    with pytest.raises(UserError, match="task_group goes only with agentrun's own runner"):
        Runner.run_streamed(agent(), "hello", task_group=nursery)


async def test_the_own_runner_can_be_called_itself() -> None:
    runner = get_default_agent_runner()
    assert type(runner) is AgentRunner
    assert (await runner.run(agent(), "hello", context=RunContextWrapper(None))).final_output == "hi"
    with pytest.raises(TypeError, match=r"unknown argument\(s\) \['turns'\]; known are \['context'"):
        await runner.run(agent(), "hello", turns=3)  # type: ignore[call-arg]


def test_only_a_runner_can_be_put_in_place() -> None:
    with pytest.raises(TypeError, match=r"the default runner must be an AgentRunner or None, got 3; derive"):
        set_default_agent_runner(3)  # type: ignore[arg-type]


def test_a_stream_needs_a_loop_and_says_how_to_have_one() -> None:
    with pytest.raises(RuntimeError, match=r"no event loop runs; call it in an async function.*Runner\.run_sync"):
        Runner.run_streamed(agent(), "hello")


def test_a_class_in_the_place_of_hooks_is_told_as_one() -> None:
    with pytest.raises(TypeError, match=r"hooks is the class RunHooks, expected a RunHooks object; pass RunHooks\(\)"):
        Runner.run_sync(agent(), "hello", hooks=RunHooks)  # type: ignore[arg-type]


def test_an_error_handler_has_to_be_a_function() -> None:
    with pytest.raises(TypeError, match=r"error_handlers\['max_turns'\] must be a function .* got 'sorry'"):
        Runner.run_sync(agent(), "hello", error_handlers={"max_turns": "sorry"})  # type: ignore[arg-type]
