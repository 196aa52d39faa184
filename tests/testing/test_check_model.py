from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, cast

import anyio
import anyio.lowlevel
import attrs
import pytest

from agentrun._codec import unstructure
from agentrun._exceptions import ModelTransportError
from agentrun._items import ModelResponse
from agentrun._usage import Usage
from agentrun.models.interface import Model
from agentrun.testing import (
    AutoModel,
    BrokenRule,
    FunctionModel,
    ModelStep,
    ScriptedModel,
    assistant_message,
    check_model,
    function_call,
)

RULES = [
    "answers whole",
    "leaves its input alone",
    "stream ends with the reply",
    "stream keeps order",
    "stream closes early",
    "cancel is prompt",
    "serves many at once",
]


async def test_the_models_of_this_package_keep_every_rule() -> None:
    items = [assistant_message("some words"), function_call("f", {"a": "b" * 40}, call_id="c")]
    assert await check_model(lambda: ScriptedModel([items] * 20)) == RULES
    assert await check_model(AutoModel()) == RULES
    assert await check_model(FunctionModel(lambda call: ModelStep.respond("a b c", delay=0.5)), input=[]) == RULES


async def test_failing_models_must_fail_with_our_own_errors() -> None:
    good = FunctionModel(lambda call: "a")
    assert (await check_model(good, failing=FunctionModel(lambda call: ModelTransportError("x"))))[
        -1
    ] == "errors are typed"
    with pytest.raises(BrokenRule, match="must raise an AgentsException") as caught:
        await check_model(good, failing=FunctionModel(lambda call: OSError("x")))
    assert caught.value.rule == "errors are typed"
    with pytest.raises(BrokenRule, match="it must raise"):
        await check_model(good, failing=good)


async def test_a_factory_may_be_async_and_its_models_are_closed() -> None:
    closed: list[Model] = []

    class Closing(ScriptedModel):
        async def close(self) -> None:
            closed.append(self)

    async def make() -> Model:
        await anyio.sleep(1)
        return Closing(["a"] * 20)

    assert await check_model(make, skip=["serves many at once"]) == RULES[:-1]
    assert len(set(map(id, closed))) == 6


Change = Callable[[list[Any]], Any]


def _events_with(change: Change) -> Callable[[Any], Any]:
    """A model function whose stream is a good one, changed."""

    async def stream(call: Any) -> AsyncIterator[Any]:
        good = ScriptedModel([[assistant_message("some words"), function_call("f", {}, call_id="c")]])
        arguments: dict[str, Any] = {**attrs.asdict(call, recurse=False), "tools": [], "handoffs": []}
        del arguments["streamed"]
        events = [unstructure(event) async for event in good.stream_response(**arguments)]
        for event in change(events) or events:
            yield event

    return stream


def _last_twice(events: list[Any]) -> None:
    events.append(events[-1])


def _without_the_last(events: list[Any]) -> None:
    events.pop()


def _other_output(events: list[Any]) -> None:
    events[-1]["response"]["output"] = events[-1]["response"]["output"][:1]


def _wrong_delta(events: list[Any]) -> None:
    next(event for event in events if event["type"].endswith("text.delta"))["delta"] = "other "


def _same_number(events: list[Any]) -> None:
    events[1]["sequence_number"] = 0


def _created_late(events: list[Any]) -> None:
    events[0], events[1] = {**events[1], "sequence_number": 0}, {**events[0], "sequence_number": 1}


def _never_added(events: list[Any]) -> None:
    events[:] = [event for event in events if event["type"] != "response.output_item.added"]


def _never_done(events: list[Any]) -> None:
    events[:] = [event for event in events if event["type"] != "response.output_item.done"]


def _added_twice(events: list[Any]) -> None:
    place = next(i for i, event in enumerate(events) if event["type"] == "response.output_item.added")
    events.insert(place, events[place])
    for number, event in enumerate(events):
        events[number] = {**event, "sequence_number": number}


def _same_call_ids(events: list[Any]) -> None:
    events[-1]["response"]["output"][0] = events[-1]["response"]["output"][1]


@pytest.mark.parametrize(
    ("change", "rule", "message"),
    [
        (_last_twice, "stream ends with the reply", "one response.completed"),
        (_without_the_last, "stream ends with the reply", "one response.completed"),
        (_other_output, "stream ends with the reply", "items sent one by one"),
        (_wrong_delta, "stream ends with the reply", "the pieces of item 0"),
        (_same_call_ids, "stream ends with the reply", "one of its own"),
        (_same_number, "stream keeps order", "must grow"),
        (_created_late, "stream keeps order", "first event"),
        (_never_added, "stream keeps order", "before it was added"),
        (_never_done, "stream keeps order", "never done"),
        (_added_twice, "stream keeps order", "added twice"),
    ],
)
async def test_broken_streams_are_named(change: Change, rule: str, message: str) -> None:
    with pytest.raises(BrokenRule, match=message) as caught:
        await check_model(FunctionModel(_events_with(change)), skip=["answers whole", "leaves its input alone"])
    assert caught.value.rule == rule


class Custom(Model):
    """A model whose methods are given one by one."""

    def __init__(self, whole: Any = None, stream: Any = None) -> None:
        good = FunctionModel(lambda call: "some words")
        self._whole = whole or good.get_response
        self._stream = stream or good.stream_response

    async def get_response(self, *args: Any, **named: Any) -> Any:
        return await self._whole(*args, **named)

    def stream_response(self, *args: Any, **named: Any) -> Any:
        return self._stream(*args, **named)


def _returning(value: Any) -> Any:
    async def whole(**named: Any) -> Any:
        return value

    return whole


GOOD = ModelResponse(output=[], usage=Usage(requests=1), response_id=None)
CALL = function_call("f", {}, call_id="c")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("text", "must return a ModelResponse"),
        (attrs.evolve(GOOD, output=cast("Any", ())), "must be a list"),
        (attrs.evolve(GOOD, output=[cast("Any", object())]), "has no type"),
        (attrs.evolve(GOOD, output=[CALL, CALL]), "one of its own"),
        (attrs.evolve(GOOD, usage=cast("Any", None)), "must be a Usage"),
        (attrs.evolve(GOOD, usage=Usage(requests=1, input_tokens=-1)), "usage.input_tokens is -1"),
        (attrs.evolve(GOOD, response_id=cast("Any", 7)), "response_id is 7"),
    ],
)
async def test_broken_responses_are_named(value: Any, message: str) -> None:
    with pytest.raises(BrokenRule, match=message) as caught:
        await check_model(Custom(_returning(value)))
    assert caught.value.rule == "answers whole"


async def test_a_model_that_changes_its_input_is_named() -> None:
    async def whole(**named: Any) -> Any:
        named["input"].append({"role": "user"})
        return GOOD

    with pytest.raises(BrokenRule, match="copy what you change"):
        await check_model(Custom(whole), input=[], skip=["answers whole"])


async def test_a_model_that_changes_its_settings_is_named() -> None:
    async def whole(**named: Any) -> Any:
        named["model_settings"].temperature = 1.0
        return GOOD

    with pytest.raises(BrokenRule, match="tools or settings"):
        await check_model(Custom(whole), skip=["answers whole"])


async def test_a_stream_that_fails_only_beside_others_is_named() -> None:
    running: list[int] = []

    async def stream(**named: Any) -> AsyncIterator[Any]:
        running.append(1)
        alone = len(running) == 1
        try:
            async with aclosing(FunctionModel(lambda call: "a b").stream_response(**named)) as events:
                async for event in events:
                    if alone or event.type != "response.completed":
                        yield event
        finally:
            running.pop()

    with pytest.raises(BrokenRule, match="3 streams at once") as caught:
        await check_model(Custom(stream=stream))
    assert caught.value.rule == "serves many at once"


async def test_a_stream_method_that_must_be_awaited_is_named() -> None:
    with pytest.raises(BrokenRule, match="without being awaited"):
        await check_model(Custom(stream=_returning([])))


async def test_a_stream_that_cannot_be_closed_is_named() -> None:
    class Endless:
        def __aiter__(self) -> Any:
            return self

        async def __anext__(self) -> Any:
            return object()

    def stream(**named: Any) -> Any:
        return Endless()

    with pytest.raises(BrokenRule, match=r"no aclose\(\)"):
        await check_model(Custom(stream=stream), skip=RULES[:4])


async def test_a_stream_that_closes_slowly_or_swallows_its_cancellation_is_named() -> None:
    async def slow(**named: Any) -> AsyncIterator[Any]:
        try:
            async with aclosing(FunctionModel(lambda call: "a b").stream_response(**named)) as events:
                async for event in events:
                    yield event
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(30)

    async def swallowing(**named: Any) -> AsyncIterator[Any]:
        try:
            async with aclosing(FunctionModel(lambda call: "a b").stream_response(**named)) as events:
                async for event in events:
                    yield event
        except anyio.get_cancelled_exc_class():
            pass

    with pytest.raises(BrokenRule, match="closing a stream after its first event took more than 2 s"):
        await check_model(Custom(stream=slow))
    with pytest.raises(BrokenRule, match="a cancelled stream took more than 2 s"):
        await check_model(Custom(stream=slow), skip=["stream closes early"])
    with pytest.raises(BrokenRule, match="as if it were complete") as caught:
        await check_model(Custom(stream=swallowing))
    assert caught.value.rule == "cancel is prompt"


async def test_a_model_that_leaves_a_task_is_named() -> None:
    async with anyio.create_task_group() as nursery:

        async def whole(**named: Any) -> Any:
            nursery.start_soon(anyio.sleep_forever, name="left over")
            await anyio.lowlevel.checkpoint()
            return GOOD

        with pytest.raises(BrokenRule, match="left over"):
            await check_model(Custom(whole))
        nursery.cancel_scope.cancel()


async def test_a_model_that_cannot_be_shared_is_named() -> None:
    busy = anyio.Lock()

    @asynccontextmanager
    async def only_one() -> AsyncGenerator[None, None]:
        if busy.locked():
            raise ModelTransportError("one at a time")
        async with busy:
            yield

    async def answer(call: Any) -> Any:
        async with only_one():
            await anyio.sleep(1)
        return "a"

    with pytest.raises(BrokenRule, match="one at a time") as caught:
        await check_model(FunctionModel(answer))
    assert caught.value.rule == "serves many at once"


async def test_a_model_that_runs_out_of_answers_fails_the_check_as_it_is() -> None:
    with pytest.raises(AssertionError, match="was not expected"):
        await check_model(ScriptedModel(["a"]))
    with pytest.raises(BrokenRule, match="must answer every call"):
        await check_model(FunctionModel(lambda call: ModelTransportError("down")))


async def test_events_without_a_type_and_streams_that_go_on_after_their_end_are_named() -> None:
    async def untyped(**named: Any) -> AsyncIterator[Any]:
        await anyio.lowlevel.checkpoint()
        yield object()

    class Reopening:
        """Closes in name only."""

        def __init__(self, **named: Any) -> None:
            self._events = FunctionModel(lambda call: "a b").stream_response(**named)
            self._closed = False

        def __aiter__(self) -> Any:
            return self

        async def __anext__(self) -> Any:
            return object() if self._closed else await anext(self._events)

        async def aclose(self) -> None:
            await self._events.aclose()
            self._closed = True

    with pytest.raises(BrokenRule, match="without a type"):
        await check_model(Custom(stream=untyped), skip=["leaves its input alone"])
    with pytest.raises(BrokenRule, match="a closed stream went on"):
        await check_model(Custom(stream=Reopening))
    with pytest.raises(BrokenRule, match="must return an async iterator"):
        await check_model(Custom(stream=lambda **named: 7))  # pyright: ignore[reportUnknownLambdaType]


async def test_errors_must_not_carry_what_belongs_to_the_run() -> None:
    error = ModelTransportError("x")
    error.run_data = cast("Any", "something")
    with pytest.raises(BrokenRule, match="set run_data"):
        await check_model(
            lambda: FunctionModel(lambda call: "a"), failing=FunctionModel(lambda call: error), skip=RULES
        )
