"""Items and events out of chat replies: what goes together, in which order, and what is kept of the provider."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from agentrun import Agent, Runner
from agentrun._exceptions import ModelBehaviorError, UserError
from agentrun._settings import ModelSettings
from agentrun.models._limits import Limits
from agentrun.models.chat_wire import ChatStream, read_completion
from agentrun.models.interface import ModelTracing


def read(*chunks: Any, **options: Any) -> list[Any]:
    """Return the events of a stream that has no fault."""
    stream = ChatStream(Limits(), "req_1", **{"model": "asked", **options})
    seen, error = stream.events([("", json.dumps(chunk)) for chunk in chunks])
    if error is not None:
        raise error
    last, error = stream.end()
    if error is not None:
        raise error
    return seen + last


def kinds(events: list[Any]) -> list[str]:
    return [event.type.removeprefix("response.") for event in events]


def places(events: list[Any], kind: str) -> list[int]:
    return [event.output_index for event in events if event.type == f"response.{kind}"]


def piece(index: int, arguments: str = "", call_id: str | None = None, name: str | None = None, **more: Any) -> Any:
    function = {"arguments": arguments} | ({"name": name} if name else {})
    return {"index": index, "function": function} | ({"id": call_id} if call_id else {}) | more


CITED: dict[str, Any] = {"start_index": 0, "end_index": 1, "url": "http://u", "title": "T"}
LOGPROBS = {
    "content": [
        {
            "token": "a",
            "logprob": -0.5,
            "bytes": [97],
            "top_logprobs": [{"token": "b", "logprob": -1.0, "bytes": None}],
        },
        {"token": "c", "logprob": 0.0, "bytes": None, "top_logprobs": []},
    ]
}
KEPT_LOGPROBS = [
    {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": [{"token": "b", "logprob": -1.0, "bytes": []}]},
    {"token": "c", "logprob": 0.0, "bytes": [], "top_logprobs": []},
]


# ---- order and places


def test_everything_is_closed_at_the_end_and_the_message_last(wire: Any) -> None:
    events = read(
        wire.delta(content="a"),
        wire.delta(refusal="b"),
        wire.delta(tool_calls=[piece(0, "{}", "c0", "f")]),
        wire.delta("tool_calls"),
    )
    assert kinds(events) == [
        "created",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "content_part.added",
        "refusal.delta",
        "output_item.added",
        "function_call_arguments.delta",
        "content_part.done",
        "content_part.done",
        "output_item.done",
        "output_item.done",
        "completed",
    ]
    assert places(events, "output_item.done") == [1, 0]
    assert [event.sequence_number for event in events] == list(range(len(events)))


def test_calls_keep_the_order_in_which_they_began(wire: Any) -> None:
    events = read(
        wire.delta(tool_calls=[piece(0, "", "c0")]),  # its name comes after the call that follows it
        wire.delta(tool_calls=[piece(1, "{}", "c1", "g")]),
        wire.delta(content="a"),
        wire.delta(tool_calls=[piece(0, "{}", None, "f")]),
        wire.delta(tool_calls=[piece(2, "{}", "c2", "h")]),
        wire.delta("tool_calls"),
    )
    assert places(events, "output_item.added") == [1, 2, 0, 3]
    assert [item.type for item in events[-1].response.output] == ["function_call"] * 2 + ["message", "function_call"]
    assert [getattr(item, "name", None) for item in events[-1].response.output] == ["f", "g", None, "h"]


def test_reasoning_that_goes_on_after_a_text_is_another_part_of_the_summary(wire: Any) -> None:
    events = read(
        wire.delta(reasoning_content="one"),
        wire.delta(content="a"),
        wire.delta(reasoning_content="two"),
        wire.delta("stop"),
    )
    assert [event.summary_index for event in events if event.type.endswith("summary_part.added")] == [0, 1]
    assert [event.summary_index for event in events if event.type.endswith("summary_part.done")] == [0, 1]
    assert kinds(events).index("reasoning_summary_part.done") < kinds(events).index("output_text.delta")
    assert [part.text for part in events[-1].response.output[0].summary] == ["one", "two"]


def test_full_reasoning_may_follow_a_summary(wire: Any) -> None:
    events = read(wire.delta(reasoning_content="s"), wire.delta(reasoning="r"), wire.delta("stop"))
    [item] = events[-1].response.output
    assert (item.summary[0].text, item.content[0].text) == ("s", "r")
    assert item.provider_data["_chat_completions_reasoning_field"] == "reasoning_content"


def test_an_empty_piece_begins_no_text_but_is_passed_on_inside_of_one(wire: Any) -> None:
    assert kinds(read(wire.delta(content=""), wire.delta("stop"))) == ["created", "completed"]
    events = read(wire.delta(content="a"), wire.delta(content=""), wire.delta("stop"))
    assert [event.delta for event in events if event.type == "response.output_text.delta"] == ["a", ""]


def test_calls_can_be_held_back_until_they_are_whole(wire: Any) -> None:
    chunks = [
        wire.delta(tool_calls=[piece(1, "{", "c1", "g"), piece(0, "{", "c0", "f")]),
        wire.delta(tool_calls=[piece(0, "}"), piece(1, "}")]),
        wire.delta(content="a"),
        wire.delta("tool_calls"),
    ]
    events = read(*chunks, buffers_calls=True)
    assert places(events, "output_item.added") == [0, 1, 2]
    deltas = [event.delta for event in events if event.type == "response.function_call_arguments.delta"]
    assert deltas == ["{}", "{}"]
    assert [getattr(item, "name", None) for item in events[-1].response.output] == [None, "f", "g"]
    with pytest.raises(ModelBehaviorError, match="made no call"):
        read(wire.delta("tool_calls"), buffers_calls=True)


# ---- what comes with a text


def test_log_probabilities_come_with_the_text_they_are_of(wire: Any) -> None:
    first, second = wire.delta(content="a"), wire.delta(content="b")
    first["choices"][0]["logprobs"] = second["choices"][0]["logprobs"] = LOGPROBS
    events = read(first, second, wire.delta("stop"))
    deltas = [event.logprobs for event in events if event.type == "response.output_text.delta"]
    assert (
        deltas
        == [
            [
                {"token": "a", "logprob": -0.5, "top_logprobs": [{"token": "b", "logprob": -1.0}]},
                {"token": "c", "logprob": 0.0, "top_logprobs": None},
            ]
        ]
        * 2
    )
    assert events[-1].response.output[0].content[0].logprobs == KEPT_LOGPROBS * 2

    whole = wire.completion("hello")
    whole["choices"][0]["logprobs"] = LOGPROBS
    response, _ = read_completion(json.dumps(whole), Limits(), None)
    message: Any = response.output[0]
    assert message.content[0].logprobs == KEPT_LOGPROBS


def test_cited_pages_are_kept_and_what_is_no_citation_does_no_harm(wire: Any) -> None:
    good = {"type": "url_citation", "url_citation": CITED}
    bad: list[Any] = ["x", {"type": "file"}, {"type": "url_citation", "url_citation": {"url": "http://u"}}]
    events = read(
        wire.delta(annotations=[good]),  # of no text
        wire.delta(content="a", annotations=[*bad, good]),
        wire.delta(annotations=[good]),
        wire.delta(annotations="none"),
        wire.delta("stop"),
    )
    assert events[-1].response.output[0].content[0].annotations == [{"type": "url_citation", **CITED}] * 2
    response, _ = read_completion(json.dumps(wire.completion("a", annotations=[good])), Limits(), None)
    message: Any = response.output[0]
    assert message.content[0].annotations[0].url == "http://u"


# ---- what is kept of the provider


def test_items_remember_the_model_that_was_asked_and_the_reply(wire: Any) -> None:
    signature = {"google": {"thought_signature": "S"}}
    events = read(
        wire.delta(reasoning="r"),
        wire.delta(content="a"),
        wire.delta(tool_calls=[piece(0, "{}", "c0", "f", extra_content=signature)]),
        wire.delta("stop"),
    )
    kept = {"model": "asked", "response_id": "chat_1"}
    reasoning, message, function = events[-1].response.output
    assert reasoning.provider_data == {**kept, "_chat_completions_reasoning_field": "reasoning"}
    assert message.provider_data == kept
    assert function.provider_data == {**kept, "thought_signature": "S"}
    assert (events[-1].response.id, events[-1].response.model) == ("__fake_id__", "asked")


def test_a_usage_can_be_kept_as_it_came(wire: Any) -> None:
    last = {**wire.delta("stop"), "usage": {**wire.usage, "cost": 0.1}}
    assert read(last, keeps_usage=True)[-1].response._raw_usage == last["usage"]


# ---- endings


def test_a_reply_that_a_filter_took_away_is_a_refusal(wire: Any) -> None:
    events = read(wire.delta(reasoning_content="r"), wire.delta(content=""), wire.delta("content_filter"))
    assert events[-1].type == "response.completed"
    [_, message] = events[-1].response.output
    assert "content filter" in message.content[0].refusal
    response, _ = read_completion(json.dumps(wire.completion(None, "content_filter")), Limits(), None)
    whole: Any = response.output[0]
    assert (response.status, whole.content) == ("completed", message.content)


def test_a_reply_without_a_message_is_an_empty_one(wire: Any) -> None:
    whole = wire.completion("hello")
    whole["choices"][0]["message"] = None
    assert read_completion(json.dumps(whole), Limits(), None)[0].output == []


def test_sound_is_no_answer(wire: Any) -> None:
    with pytest.raises(ModelBehaviorError, match="sound"):
        read(wire.delta(audio={"id": "x"}), wire.delta("stop"))
    with pytest.raises(ModelBehaviorError, match="sound"):
        read_completion(json.dumps(wire.completion(None, audio={"id": "x"})), Limits(), None)


def test_a_second_answer_is_passed_over_or_refused(wire: Any) -> None:
    other = wire.delta(content="b")
    other["choices"][0]["index"] = 1
    assert read(other, wire.delta("stop", content="a"))[-1].response.output_text == "a"
    with pytest.raises(UserError, match="more than one answer"):
        read(other, strict=True)


# ---- the model


async def ask(model: Any, streamed: bool, **more: Any) -> Any:
    settings = more.pop("settings", ModelSettings())
    args = (None, "hi", settings, [], None, [], ModelTracing.DISABLED)
    if streamed:
        return [event async for event in model.stream_response(*args, **more)][-1].response
    return await model.get_response(*args, **more)


UNKNOWN: list[dict[str, Any]] = [
    {"previous_response_id": "resp_1"},
    {"conversation_id": "conv_1"},
    {"prompt": {"id": "pmpt_1"}},
    {"settings": ModelSettings(reasoning={"effort": "low", "mode": "pro", "context": "all_turns"})},
]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_what_only_the_responses_api_knows_is_left_out_with_one_warning(
    wire: Any, streamed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(connection: Any) -> None:
        while await connection.request() is not None:
            if streamed:
                body = wire.sse(*wire.chunks())
                await connection.send(wire.head(), wire.chunk(body), wire.chunk(b""))
            else:
                await connection.send(wire.reply(json.dumps(wire.completion()).encode()))

    caplog.set_level(logging.WARNING, logger="agentrun")
    async with wire.serving(handler) as server:
        model = server.chat()
        for more in UNKNOWN * 2:
            await ask(model, streamed, **more)
        await model.close()
    sent = [json.loads(request.partition(b"\r\n\r\n")[2]) for request in server.requests]
    unknown = {"previous_response_id", "conversation", "conversation_id", "prompt", "reasoning"}
    assert [unknown & one.keys() for one in sent] == [set()] * 8
    assert sent[3]["reasoning_effort"] == "low"
    assert len([one for one in caplog.records if "is left out of requests" in one.getMessage()]) == 5


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_what_only_the_responses_api_knows_can_be_refused(wire: Any, streamed: bool) -> None:
    async def handler(connection: Any) -> None:
        raise AssertionError("nothing is to be sent")

    async with wire.serving(handler) as server:
        model = server.chat(strict_feature_validation=True)
        for more in UNKNOWN:
            with pytest.raises(UserError, match="only exists in the Responses API"):
                await ask(model, streamed, **more)
    assert server.requests == []


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_a_run_has_the_usage_as_it_came_and_no_id_to_go_on_from(wire: Any, streamed: bool) -> None:
    usage = {**wire.usage, "cost": 0.1}

    async def handler(connection: Any) -> None:
        await connection.request()
        if streamed:
            await connection.send(
                wire.head(), wire.chunk(wire.sse({**wire.delta("stop", content="a"), "usage": usage}))
            )
        else:
            await connection.send(wire.reply(json.dumps({**wire.completion("a"), "usage": usage}).encode()))

    async with wire.serving(handler) as server:
        model = server.chat()
        agent = Agent("A", model=model, model_settings=ModelSettings(preserve_raw_usage=True))
        if streamed:
            async with Runner.run_streamed(agent, "hi") as result:
                await result.wait()
        else:
            result = await Runner.run(agent, "hi")
        await model.close()
    assert (result.final_output, result.last_response_id) == ("a", None)
    assert result.raw_responses[0].raw_usage == usage
