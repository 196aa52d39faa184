"""The kit itself: it finds what it is meant to find, and says where."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Literal

import anyio
import anyio.lowlevel
import pytest

from agentrun import Agent, Runner, function_tool
from agentrun.testing import CancelCase, ScriptedModel, cancel_everywhere, function_call, unpaired

Backend = Literal["asyncio", "trio"]
both = pytest.mark.parametrize("backend", ["asyncio", "trio"])


@both
def test_a_write_that_is_lost_from_the_third_checkpoint_of_a_tool_on_is_found_and_named(backend: Backend) -> None:
    async def scenario(case: CancelCase) -> None:
        written: list[str] = []
        asked: list[str] = []

        @function_tool
        async def save() -> str:
            asked.append("row")
            try:
                await anyio.sleep(0.01)
                await anyio.sleep(0.01)
            except BaseException:
                written.append("row")
                raise
            for _ in range(4):  # wide: trio shuffles its tasks, so that one case more or less cuts somewhere else
                await anyio.sleep(0.01)
            written.append("row")
            return "saved"

        async def nothing_lost() -> None:
            assert written == asked

        case.follow_up = nothing_lost
        model = ScriptedModel([[function_call("save", {}, call_id="c1")], "done"])
        case.watch(model)
        await Runner.run(Agent("writer", model=model, tools=[save]), "hi")

    cases = list(cancel_everywhere(scenario, backend=backend))
    bad = [case for case in cases if case.faults]
    assert 0 < len(bad) < len(cases) / 2
    with pytest.raises(AssertionError, match=rf"scope on {backend} after step \d+, in .*what follows failed"):
        bad[0].check()


@both
def test_the_cases_go_on_until_one_gets_through(backend: Backend) -> None:
    async def scenario(case: CancelCase) -> str:
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        return "through"

    first, *cases = cancel_everywhere(scenario, backend=backend)
    assert (first.step, first.outcome, first.value) == (None, "completed", "through")
    assert [case.step for case in cases] == list(range(1, len(cases) + 1))
    assert {case.outcome for case in cases[:-2]} == {"cancelled"}
    assert (cases[-1].cut, cases[-1].outcome) == (False, "completed")


@both
def test_a_sample_is_chosen_by_its_seed(backend: Backend) -> None:
    async def scenario(case: CancelCase) -> None:
        for _ in range(50):
            await anyio.lowlevel.checkpoint()

    def steps(seed: int) -> list[int | None]:
        return [case.step for case in cancel_everywhere(scenario, backend=backend, sample=5, seed=seed)]

    assert len(steps(1)) == 6
    assert steps(1) == steps(1) != steps(2)


@both
def test_what_a_scenario_leaves_behind_is_a_fault(backend: Backend) -> None:
    async def scenario(case: CancelCase) -> None:
        model = ScriptedModel(["never read"])
        case.watch(model)
        Runner.run_streamed(Agent("a", model=model), "hi")
        send, receive = anyio.create_memory_object_stream[int](1)
        with send:
            del receive
            await anyio.lowlevel.checkpoint()

    first = next(iter(cancel_everywhere(scenario, backend=backend)))
    with pytest.raises(AssertionError, match=r"left behind: Unclosed <MemoryObjectReceiveStream"):
        first.check()


@both
def test_what_happens_after_the_end_is_a_fault(backend: Backend) -> None:
    async def scenario(case: CancelCase) -> None:
        kept.append(case.body("stray"))
        kept[0].__enter__()

    kept: list[AbstractContextManager[None]] = []
    first = next(iter(cancel_everywhere(scenario, backend=backend)))
    assert first.faults == ["stray never ended"]


@both
def test_a_scenario_that_raises_or_waits_for_ever_is_a_fault(backend: Backend) -> None:
    async def raises(case: CancelCase) -> None:
        await anyio.lowlevel.checkpoint()
        raise OSError("broken")

    async def waits(case: CancelCase) -> None:
        await anyio.Event().wait()

    first = next(iter(cancel_everywhere(raises, backend=backend)))
    assert first.outcome == "failed"
    assert first.faults == ["raised OSError('broken')"]
    first = next(iter(cancel_everywhere(waits, backend=backend)))
    assert "deadlock under virtual time" in first.faults[0]


def test_asyncio_cuts_a_case_at_the_same_place_each_time() -> None:
    async def scenario(case: CancelCase) -> None:
        async with anyio.create_task_group() as nursery:
            for number in range(3):
                nursery.start_soon(anyio.sleep, number, name=f"sleeper {number}")

    def told() -> list[tuple[int | None, bool]]:
        return [(case.step, case.cut_at.startswith("sleeper")) for case in cancel_everywhere(scenario)]

    assert told() == told()


def test_native_cancellation_is_asyncios_own() -> None:
    async def scenario(case: CancelCase) -> None: ...

    with pytest.raises(ValueError, match=r"how='native' is asyncio's Task.cancel\(\), and backend is 'trio'"):
        next(iter(cancel_everywhere(scenario, backend="trio", how="native")))


def test_unpaired_names_what_a_provider_would_refuse() -> None:
    call = {"type": "function_call", "call_id": "c1"}
    output = {"type": "function_call_output", "call_id": "c1"}
    assert unpaired([call, output]) == []
    assert unpaired([call]) == ["call 'c1' has 0 outputs"]
    assert unpaired([output, call]) == ["output 'c1' has no call before it", "call 'c1' has 0 outputs"]
    assert unpaired([call, call, output, output]) == ["call 'c1' stands twice", "call 'c1' has 2 outputs"]
