from __future__ import annotations

import warnings
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from agentrun._settings import ModelSettings
from agentrun.models.interface import ModelTracing
from agentrun.testing import Gate, ScriptedModel, no_leaks


async def numbers() -> AsyncIterator[int]:
    for number in range(3):
        await anyio.sleep(1)
        yield number


async def test_a_block_that_ends_what_it_starts_passes() -> None:
    model = ScriptedModel()
    async with no_leaks(model):
        assert [number async for number in numbers()] == [0, 1, 2]
        async with anyio.create_task_group() as nursery:
            nursery.start_soon(anyio.sleep, 5)


async def test_a_task_that_is_left_is_named() -> None:
    async with anyio.create_task_group() as nursery:
        with pytest.raises(AssertionError, match="left over"):
            async with no_leaks():
                nursery.start_soon(anyio.sleep_forever, name="left over")
        nursery.cancel_scope.cancel()


async def test_a_generator_that_is_left_half_way_is_named() -> None:
    stream: Any = numbers()
    with pytest.raises(AssertionError, match="numbers is neither finished nor closed"):
        async with no_leaks():
            await anext(stream)
    await stream.aclose()


@pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")
async def test_a_generator_that_is_dropped_half_way_is_named() -> None:
    with pytest.raises(AssertionError, match="numbers was dropped half way"):
        async with no_leaks():
            await anext(numbers())


async def test_an_open_stream_of_a_model_is_named() -> None:
    gate = Gate()
    model = ScriptedModel(["a"])
    stream: Any = model.stream_response(
        None,
        "hi",
        ModelSettings(),
        [],
        None,
        [],
        ModelTracing.DISABLED,
        previous_response_id=None,
        conversation_id=None,
        prompt=None,
    )
    await anext(stream)
    with pytest.raises(AssertionError, match=r"1 open stream\(s\)"):
        async with no_leaks(model):
            gate.open()
            await gate.wait()
    await stream.aclose()


async def test_a_memory_stream_that_is_dropped_open_is_named() -> None:
    with pytest.raises(AssertionError, match=r"left behind: .*MemoryObject"):
        async with no_leaks():
            anyio.create_memory_object_stream[int](1)


async def test_other_warnings_of_the_block_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("default", UserWarning)

        def show(message: object, *rest: object) -> None:
            shown.append(str(message))

        monkeypatch.setattr(warnings, "showwarning", show)
        async with no_leaks():
            warnings.warn("mind the gap", UserWarning, stacklevel=1)
    assert shown == ["mind the gap"]


async def test_an_error_of_the_block_goes_on_with_the_leaks_as_a_note() -> None:
    stream: Any = numbers()
    with pytest.raises(ValueError, match="mine") as caught:
        async with no_leaks():
            await anext(stream)
            raise ValueError("mine")
    assert "left behind" in caught.value.__notes__[0]
    await stream.aclose()


async def test_it_works_in_two_steps_for_fixtures() -> None:
    checker = no_leaks()
    with pytest.raises(RuntimeError, match="before it was started"):
        checker.check()
    checker.start()
    checker.check()
    stream: Any = numbers()
    checker.start()
    await anext(stream)
    with pytest.raises(AssertionError, match="numbers"):
        checker.check()
    await stream.aclose()
