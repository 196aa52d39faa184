from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import anyio
import attrs
import pytest

from agentrun import Agent, Runner
from agentrun._codec import unstructure
from agentrun._exceptions import ModelStatusError, UserError
from agentrun._items import ModelResponse
from agentrun._responses import InputTokensDetails
from agentrun._retry import ModelRetryAdvice, ModelRetryAdviceRequest
from agentrun._settings import ModelSettings
from agentrun._usage import Usage
from agentrun.models.interface import Model, ModelTracing
from agentrun.testing import (
    Gate,
    InvalidModelStep,
    ModelCall,
    ModelScriptError,
    ModelStep,
    ModelStepSpec,
    ScriptedModel,
    UnconsumedModelSteps,
    UnexpectedModelCall,
    assistant_message,
    function_call,
    hang,
    reasoning,
    refusal,
)


def arguments(input: Any = "hi", **changes: Any) -> dict[str, Any]:
    defaults: dict[str, Any] = {
        "system_instructions": None,
        "input": input,
        "model_settings": ModelSettings(),
        "tools": [],
        "output_schema": None,
        "handoffs": [],
        "tracing": ModelTracing.DISABLED,
        "previous_response_id": None,
        "conversation_id": None,
        "prompt": None,
    }
    return {**defaults, **changes}


async def whole(model: Model, input: Any = "hi", **changes: Any) -> Any:
    return await model.get_response(**arguments(input, **changes))


async def events(model: Model, input: Any = "hi", **changes: Any) -> list[Any]:
    return [event async for event in model.stream_response(**arguments(input, **changes))]


def kinds(seen: list[Any]) -> list[str]:
    return [event.type.removeprefix("response.") for event in seen]


# What may be a step


async def test_every_form_of_a_step_answers() -> None:
    response = ModelResponse(output=[assistant_message("f")], usage=Usage(requests=1), response_id="mine")

    async def later(call: ModelCall) -> list[Any]:
        return [f"e {call.input}"]

    model = ScriptedModel(
        [
            "a",
            [assistant_message("b")],
            [{"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": []}, "c"],
            {"output": ["d"], "response_id": "given"},
            later,
            response,
            ModelStep(output=["g"], response_id=None),
            ModelStep.respond(
                lambda call: ModelStep.respond("h", response_id="inner"), usage=Usage(requests=1, input_tokens=3)
            ),
        ]
    )
    seen = [await whole(model) for _ in range(8)]
    assert [one.output[-1].content[0].text for one in seen] == ["a", "b", "c", "d", "e hi", "f", "g", "h"]
    expected = ["resp-789", "resp-789", "resp-789", "given", "resp-789", "mine", None, "inner"]
    assert [one.response_id for one in seen] == expected
    assert seen[7].usage.input_tokens == 3
    assert seen[5].output == response.output
    model.assert_complete()


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (42, "invalid_input"),
        (None, "invalid_input"),
        (b"bytes", "invalid_input"),
        ([42], "invalid_input"),
        ([{"no": "type"}], "invalid_input"),
        ([{"type": "function_call"}], "invalid_input"),
        ({"otput": []}, "unsupported_field"),
        ({1: []}, "unsupported_field"),
        ({"output": "text"}, "invalid_input"),
        ({"usage": {"requests": 1}}, "invalid_input"),
        ({"response_id": 1}, "invalid_input"),
        ({"request_id": 1}, "invalid_input"),
        ({"raw_usage": []}, "invalid_input"),
        ({"responder": 3}, "invalid_responder"),
        ({"error": "boom"}, "invalid_error"),
        ({"then": "boom"}, "invalid_error"),
        ({"stream_events": 1}, "invalid_stream_events"),
        ({"stream_events": "text"}, "invalid_stream_events"),
        ({"after": -1}, "invalid_input"),
        ({"retry_advice": ModelRetryAdvice(suggested=True)}, "invalid_retry_advice"),
        ({"error": ValueError(), "retry_advice": "try again"}, "invalid_retry_advice"),
        (ModelStep(output=["a"], responder=str), "conflicting_outcomes"),
        (ModelStep(error=ValueError(), responder=str), "conflicting_outcomes"),
        (ModelStep(error=ValueError(), stream_events=[]), "conflicting_outcomes"),
        (ModelStep(error=ValueError(), hangs=True), "conflicting_outcomes"),
    ],
)
def test_what_is_no_step_is_refused_before_any_call(step: Any, reason: str) -> None:
    with pytest.raises(InvalidModelStep, match="scripted step #2") as caught:
        ScriptedModel(["fine", step])
    assert caught.value.reason == reason
    assert caught.value.input_index == 1
    assert isinstance(caught.value, ModelScriptError)


def test_the_place_of_a_wrong_step_counts_among_those_given_with_it() -> None:
    model = ScriptedModel(["a", "b"])
    with pytest.raises(InvalidModelStep, match="scripted step #1") as caught:
        model.enqueue({"error": "boom"})
    assert caught.value.input_index == 0
    assert model.remaining_steps == 2


async def test_a_step_counts_as_it_was_when_it_was_given() -> None:
    message: Any = assistant_message("before")
    listed: list[Any] = []
    assert ModelStep.stream(listed).stream_events == ()
    step = ModelStep(output=[message], usage=Usage(requests=1, input_tokens=1), raw_usage={"deep": {"n": 1}})
    short = [message]
    model = ScriptedModel([step, short])
    message.content[0].text = "after"
    short.clear()
    assert step.raw_usage is not None
    assert step.usage is not None
    step.usage.input_tokens = step.raw_usage["deep"]["n"] = 2
    step.response_id = "after"
    for _ in range(2):
        response = await whole(model, model_settings=ModelSettings(preserve_raw_usage=True))
        assert response.output[0].content[0].text == "before"  # type: ignore[union-attr]
        assert response.response_id == "resp-789"
        assert response.usage.input_tokens != 2
        assert response.raw_usage in ({"deep": {"n": 1}}, None)


def test_a_single_step_in_place_of_a_list_is_refused() -> None:
    with pytest.raises(InvalidModelStep, match="put it into a list"):
        ScriptedModel("hello")


def test_extend_appends_all_steps_or_none() -> None:
    model = ScriptedModel()
    with pytest.raises(InvalidModelStep):
        model.extend(["a", 1])
    assert model.remaining_steps == 0
    model.extend(["a", "b"])
    model.enqueue("c")
    assert model.remaining_steps == 3


async def test_a_responder_that_returns_no_step_is_refused_when_called() -> None:
    def wrong(call: ModelCall) -> Any:
        return 42

    model = ScriptedModel([wrong])
    with pytest.raises(InvalidModelStep):
        await whole(model)


def test_traces_are_refused_as_long_as_there_are_none() -> None:
    with pytest.raises(UserError, match="emit_traces=True"):
        ScriptedModel(emit_traces=True)


def test_the_dict_form_has_every_field_of_a_step() -> None:
    assert set(ModelStepSpec.__annotations__) == {field.name for field in attrs.fields(ModelStep)}


# The end of the script


async def test_a_call_past_the_script_is_unexpected_and_recorded() -> None:
    model = ScriptedModel(["a"])
    await whole(model)
    with pytest.raises(UnexpectedModelCall, match="call 2 was not expected") as caught:
        await events(model, "again")
    assert caught.value.call_index == 1
    assert caught.value.call.input == "again"
    assert len(model.calls) == 2
    assert model.open_streams == 0


async def test_steps_that_are_left_fail_assert_complete() -> None:
    model = ScriptedModel(["a", "b"])
    await whole(model)
    with pytest.raises(UnconsumedModelSteps, match=r"1 of 2") as caught:
        model.assert_complete()
    assert caught.value.remaining_steps == 1


# Calls


async def test_calls_are_snapshots() -> None:
    model = ScriptedModel(["a", "b"])
    assert (model.first_call, model.last_call) == (None, None)
    items: list[Any] = [{"role": "user", "content": [{"type": "input_text", "text": "one"}]}]
    settings = ModelSettings(metadata={"k": "v"})
    tools: list[Any] = []
    await whole(model, items, model_settings=settings, tools=tools, previous_response_id="p", conversation_id="c")
    items[0]["content"][0]["text"] = "two"
    settings.metadata = {"k": "w"}
    tools.append("tool")
    await events(model, "second", system_instructions="be nice")
    first, last = model.first_call, model.last_call
    assert first is not None
    assert last is not None
    assert first.input == [{"role": "user", "content": [{"type": "input_text", "text": "one"}]}]
    assert first.model_settings.metadata == {"k": "v"}
    assert first.tools == []
    assert (first.previous_response_id, first.conversation_id, first.streamed) == ("p", "c", False)
    assert (last.system_instructions, last.streamed) == ("be nice", True)
    assert model.calls == (first, last)


async def test_the_calls_that_a_model_hands_out_are_copies() -> None:
    model = ScriptedModel(["a"])
    await whole(model, [{"role": "user", "content": "one"}], tools=["tool"])
    for mine in (model.calls[0], model.first_call, model.last_call):
        assert mine is not None
        mine.input[0]["content"] = "two"  # type: ignore[index, call-overload]
        mine.tools.clear()
    assert model.calls[0].input == [{"role": "user", "content": "one"}]
    assert model.calls[0].tools == ["tool"]


async def test_usage_comes_from_the_step_or_the_default_and_is_a_copy() -> None:
    default = Usage(requests=1, input_tokens=5, output_tokens=2, total_tokens=7)
    own = Usage(requests=1, input_tokens=9, total_tokens=9, input_tokens_details=InputTokensDetails(cached_tokens=4))
    model = ScriptedModel(["a", ModelStep.respond("b", usage=own), "c"], default_usage=default)
    first = await whole(model)
    assert first.usage == default
    assert first.usage is not default
    streamed = (await events(model))[-1].response.usage
    assert (streamed.input_tokens, streamed.input_tokens_details.cached_tokens) == (9, 4)
    model.set_default_usage(None)
    assert (await whole(model)).usage == Usage(requests=1)


@pytest.mark.parametrize("raw_usage", [{"x": 1}, None])
async def test_a_streamed_reply_is_what_a_whole_one_is(raw_usage: Any) -> None:
    usage = Usage(requests=3, input_tokens=2, output_tokens=1, total_tokens=3)
    step = ModelStep.respond("a", usage=usage, raw_usage=raw_usage, request_id="q")
    settings = ModelSettings(preserve_raw_usage=True)
    agent = Agent("a", model=ScriptedModel([step, step]), model_settings=settings)
    streamed = Runner.run_streamed(agent, "hi")
    async for _ in streamed.stream_events():
        pass
    plain = await Runner.run(agent, "hi")
    for result in (streamed, plain):
        [reply] = result.raw_responses
        assert (reply.request_id, reply.raw_usage, reply.usage) == ("q", raw_usage, usage)
        assert result.context_wrapper.usage.requests == 3


async def test_raw_usage_is_given_only_when_the_settings_ask_for_it() -> None:
    step = ModelStep.respond("a", raw_usage={"x": 1}, request_id="r")
    model = ScriptedModel([step, step])
    assert (await whole(model)).raw_usage is None
    response = await whole(model, model_settings=ModelSettings(preserve_raw_usage=True))
    assert (response.raw_usage, response.request_id) == ({"x": 1}, "r")


# Streams


async def test_the_generated_stream_is_what_a_provider_sends() -> None:
    items = [reasoning("let me see"), assistant_message("Hello you"), function_call("f", {"a": 1}, call_id="c")]
    seen = await events(ScriptedModel([items], in_pieces=True))
    assert kinds(seen) == [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    assert [event.sequence_number for event in seen] == list(range(len(seen)))
    assert [event.delta for event in seen if event.type.endswith("output_text.delta")] == ["Hello ", "you"]
    assert seen[0].response.output == []
    assert seen[-1].response.output == [event.item for event in seen if event.type.endswith("item.done")]
    assert seen[17].item.arguments == ""
    assert seen[17].item.call_id == "c"


async def test_texts_and_arguments_are_one_delta_each_unless_asked_for_in_pieces() -> None:
    arguments = {"text": "longer than a piece of arguments"}
    items = [reasoning("let me see"), assistant_message("Hello you"), function_call("f", arguments, call_id="c")]
    seen = await events(ScriptedModel([items]))
    assert [event.delta for event in seen if event.type.endswith(".delta")] == [
        *("let me see", "Hello you", '{"text":"longer than a piece of arguments"}'),
    ]
    assert [event.type for event in await events(ScriptedModel([[assistant_message("")]]))][4] == (
        "response.output_text.done"
    )


async def test_logprobs_and_annotations_of_a_text_are_streamed_with_it() -> None:
    logprobs = [{"token": "hi", "bytes": [104, 105], "logprob": -0.5, "top_logprobs": []}]
    annotations = [{"type": "file_path", "file_id": "f", "index": place} for place in range(2)]
    part = {"type": "output_text", "text": "hi there", "annotations": annotations, "logprobs": logprobs}
    message = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [part]}
    seen = await events(ScriptedModel([[message]], in_pieces=True))
    assert kinds(seen)[3:-3] == [
        *("content_part.added", "output_text.delta", "output_text.delta"),
        *("output_text.annotation.added", "output_text.annotation.added", "output_text.done"),
    ]
    assert (seen[3].part.annotations, seen[3].part.logprobs) == ([], [])
    assert [len(event.logprobs) for event in (seen[4], seen[5], seen[8])] == [1, 0, 1]
    assert [event.annotation_index for event in seen[6:8]] == [0, 1]
    assert [unstructure(event)["annotation"] for event in seen[6:8]] == annotations


async def test_what_is_announced_is_still_empty_and_belongs_to_its_item() -> None:
    thought: dict[str, Any] = {
        "type": "reasoning",
        "id": "r",
        "summary": [],
        "encrypted_content": "x",
        "status": "completed",
    }
    nameless = {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "c"}
    empty_id = function_call("f", {}, call_id="c", item_id="")
    seen = await events(ScriptedModel([[thought, nameless, empty_id]]))
    added = [event.item for event in seen if event.type.endswith("item.added")]
    assert (added[0].encrypted_content, added[0].status) == (None, "in_progress")
    assert [event.item_id for event in seen if "arguments" in event.type] == ["c", "c", "", ""]


async def test_items_of_unknown_type_are_streamed_as_they_are() -> None:
    item = {"type": "acme:thing", "id": "x", "stuff": {"deep": [1]}}
    model = ScriptedModel([[item], [item]])
    assert kinds(await events(model)) == [
        "created",
        "in_progress",
        "output_item.added",
        "output_item.done",
        "completed",
    ]
    assert unstructure((await whole(model)).output) == [item]


async def test_refusals_stream_their_own_events() -> None:
    model = ScriptedModel([[refusal("I will not")]])
    seen = await events(model)
    assert "".join(event.delta for event in seen if event.type == "response.refusal.delta") == "I will not"


async def test_exact_events_are_streamed_as_given_and_answer_whole_calls_too() -> None:
    given = await events(ScriptedModel([ModelStep.respond("exact", usage=Usage(requests=1, input_tokens=2))]))

    async def source(call: ModelCall) -> AsyncIterator[Any]:
        for event in given:
            yield event

    model = ScriptedModel(
        [ModelStep.stream(given), ModelStep.stream(source), source, ModelStep.stream([unstructure(e) for e in given])]
    )
    for _ in range(2):
        assert await events(model) == given
    response = await whole(model)
    assert response.output == given[-1].response.output
    assert (response.usage.input_tokens, response.response_id) == (2, "resp-789")
    assert await events(model) == given


async def test_reasoning_texts_and_custom_calls_stream_their_own_events() -> None:
    thought: dict[str, Any] = {
        "type": "reasoning",
        "id": "r",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": "a b"}],
    }
    call = {"type": "custom_tool_call", "id": "t", "call_id": "c", "name": "shell", "input": "ls -l"}
    seen = await events(ScriptedModel([[thought, call]]))
    deltas: dict[str, str] = {}
    for event in seen:
        if event.type.endswith(".delta"):
            deltas[event.type] = deltas.get(event.type, "") + event.delta
    unknown = {
        "type": "message",
        "id": "m",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "acme:x"}],
    }
    assert "content_part.done" in kinds(await events(ScriptedModel([[unknown]])))
    assert deltas == {"response.reasoning_text.delta": "a b", "response.custom_tool_call_input.delta": "ls -l"}
    assert unstructure(seen[-1].response.output) == [thought, call]


# Pace


async def test_delays_come_before_events_and_whole_replies_take_as_long() -> None:
    model = ScriptedModel(
        [ModelStep.respond("a", delay=1), ModelStep.respond("a", delay=[2, 0, 3]), ModelStep.respond("a", delay=1)]
    )
    times = [anyio.current_time() async for _ in model.stream_response(**arguments())]
    assert times == [float(second) for second in range(1, 10)]
    before = anyio.current_time()
    await events(model)
    assert anyio.current_time() - before == 5
    before = anyio.current_time()
    await whole(model)
    assert anyio.current_time() - before == 9


@pytest.mark.parametrize(("before", "passed"), [(0, 0), (3, 3), ("response.output_text.delta", 4), (99, 9)])
async def test_a_gate_holds_the_stream_back_until_it_is_opened(before: int | str, passed: int) -> None:
    gate = Gate()
    model = ScriptedModel([ModelStep.respond("a", gate=gate, before=before)])
    seen: list[Any] = []

    async def listen() -> None:
        async for event in model.stream_response(**arguments()):
            seen.append(event)  # what came before the end is looked at

    with anyio.fail_after(5):
        async with anyio.create_task_group() as nursery:
            nursery.start_soon(listen)
            await gate.wait_reached()
            assert len(seen) == passed
            assert model.open_streams == 1
            assert "shut, 1 waiting" in repr(gate)
            gate.open()
    assert len(seen) == 9
    assert gate.is_open
    assert model.open_streams == 0


@pytest.mark.parametrize("after", [0, 1, 5])
async def test_a_hanging_stream_stops_after_its_events_and_ends_on_cancel(after: int) -> None:
    model = ScriptedModel([ModelStep.hang(after=after) if after else hang(), hang()])
    seen: list[Any] = []
    with anyio.move_on_after(60) as scope:
        async for event in model.stream_response(**arguments()):
            seen.append(event)  # what came before the end is looked at
    assert scope.cancelled_caught
    assert len(seen) == after
    assert (model.open_streams, model.closed_streams) == (0, 1)
    with anyio.move_on_after(60) as scope:
        await whole(model)
    assert scope.cancelled_caught


# Errors


async def test_errors_are_raised_at_once_or_after_some_events() -> None:
    error = ConnectionError("gone")
    seen: list[Any] = []
    given = await events(ScriptedModel(["a"]))
    model = ScriptedModel(
        [
            error,
            ModelStep.raise_error(error),
            ModelStep.raise_error(error, after=4),
            ModelStep.stream(given, after=2, then=error),
            ModelStep.stream(given, then=error),
            error,
        ]
    )
    counts: list[int] = []
    for _ in range(5):
        seen = []
        with pytest.raises(ConnectionError) as caught:
            async for event in model.stream_response(**arguments()):
                seen.append(event)  # what came before the end is looked at
        assert caught.value is error
        counts.append(len(seen))
    assert counts == [0, 0, 4, 2, len(given)]
    with pytest.raises(ConnectionError):
        await whole(model)
    assert (model.open_streams, model.closed_streams) == (0, 5)


async def test_an_error_comes_after_its_delay_and_behind_its_gate() -> None:
    gate = Gate()
    error = ConnectionError("gone")
    model = ScriptedModel([ModelStep.raise_error(error, delay=3), ModelStep(error=error, gate=gate)])
    with pytest.raises(ConnectionError):
        await events(model)
    assert anyio.current_time() == 3
    with pytest.raises(ExceptionGroup):
        async with anyio.create_task_group() as nursery:
            nursery.start_soon(events, model)
            await gate.wait_reached()
            assert gate.waiting == 1
            gate.open()


async def test_a_stream_may_end_without_its_last_events() -> None:
    model = ScriptedModel([ModelStep(output=["a"], after=3)])
    assert len(await events(model)) == 3


async def test_http_errors_are_raised_as_our_clients_do() -> None:
    model = ScriptedModel(
        [ModelStep.http_error(429, headers={"Retry-After": "7", "X-Request-Id": "r1"}, body="slow down")]
    )
    with pytest.raises(ModelStatusError) as caught:
        await whole(model)
    assert (caught.value.status, caught.value.retry_after, caught.value.request_id) == (429, 7.0, "r1")
    assert caught.value.body == b"slow down"


async def test_retry_advice_belongs_to_the_very_error_raised() -> None:
    error, advice = ValueError("once"), ModelRetryAdvice(suggested=True, retry_after=2)
    model = ScriptedModel([ModelStep.raise_error(error, retry_advice=advice)])
    assert model.get_retry_advice(ModelRetryAdviceRequest(error=error, attempt=1, stream=False)) is None
    with pytest.raises(ValueError, match="once"):
        await whole(model)
    for _ in range(2):  # a copy each time
        given = model.get_retry_advice(ModelRetryAdviceRequest(error=error, attempt=1, stream=False))
        assert given is not None
        assert given.retry_after == 2
        given.retry_after = 3
    assert model.get_retry_advice(ModelRetryAdviceRequest(error=ValueError("once"), attempt=1, stream=False)) is None


async def test_an_error_that_comes_again_without_advice_has_none() -> None:
    error = ValueError("twice")

    def fail(call: ModelCall) -> Any:
        raise error

    model = ScriptedModel([ModelStep.raise_error(error, retry_advice=ModelRetryAdvice(suggested=True)), fail])
    for expected in (True, False):
        with pytest.raises(ValueError, match="twice"):
            await whole(model)
        advice = model.get_retry_advice(ModelRetryAdviceRequest(error=error, attempt=1, stream=False))
        assert (advice is not None) is expected


# Closing


async def test_open_and_closed_streams_are_counted() -> None:
    closed: list[str] = []

    async def source(call: ModelCall) -> AsyncIterator[Any]:
        try:
            for event in await events(ScriptedModel(["x y z"])):
                yield event
        finally:
            closed.append("source")

    model = ScriptedModel(["a", source])
    for _ in range(2):
        stream: Any = model.stream_response(**arguments())
        assert model.open_streams == 0
        async with aclosing(stream):
            await anext(stream)
            assert model.open_streams == 1
        assert model.open_streams == 0
    assert model.closed_streams == 2
    assert closed == ["source"]


async def test_steps_are_handed_out_in_the_order_calls_begin() -> None:
    model = ScriptedModel([ModelStep.respond("slow", delay=5), ModelStep.respond("fast", delay=1)])
    answers: list[str] = []

    async def ask() -> None:
        answers.append((await whole(model)).output[0].content[0].text)

    async with anyio.create_task_group() as nursery:
        nursery.start_soon(ask)
        await anyio.sleep(0.1)
        nursery.start_soon(ask)
    assert answers == ["fast", "slow"]


def test_arguments_may_be_any_text() -> None:
    assert unstructure(function_call("f", "{not json", call_id="c", namespace="n")) == {
        "type": "function_call",
        "id": "c",
        "call_id": "c",
        "name": "f",
        "namespace": "n",
        "arguments": "{not json",
        "status": "completed",
    }
    assert unstructure(function_call("f", {"ü": 1}, call_id="c", item_id="i"))["arguments"] == '{"ü":1}'
    assert repr(ScriptedModel(["a"])) == "<ScriptedModel, 0 call(s) made, 1 step(s) left>"
