"""Requests of Chat Completions, and its replies as Responses items and events, without I/O."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrun._codec import structure_event, unstructure
from agentrun._exceptions import ModelBehaviorError, ModelLimitError, ModelRefusalError, UserError
from agentrun._hosted_tools import WebSearchTool
from agentrun._settings import MCPToolChoice, ModelSettings, Reasoning
from agentrun._tool import function_tool
from agentrun._usage import Usage
from agentrun.models._limits import Limits
from agentrun.models.chat_request import Target, messages, request_body
from agentrun.models.chat_wire import ChatStream, read_completion

# ---- requests


@function_tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def body(settings: ModelSettings, tools: Any = (), *, stream: bool = False, openai: bool = False) -> dict[str, Any]:
    raw = request_body(Target("m", official=openai), "sys", "hi", settings, tools, None, [], stream=stream)
    decoded: dict[str, Any] = json.loads(raw)
    return decoded


def test_a_request_holds_what_was_set_under_the_names_of_the_api() -> None:
    settings = ModelSettings(
        temperature=0.1,
        frequency_penalty=0.2,
        presence_penalty=0.3,
        max_tokens=9,
        reasoning=Reasoning(effort="low"),
        tool_choice="add",
        top_logprobs=3,
        extra_args={"seed": 1},
    )
    sent = body(settings, [add], stream=True)
    [tool] = sent.pop("tools")
    assert (tool["type"], tool["function"]["name"], tool["function"]["strict"]) == ("function", "add", True)
    assert sent == {
        "model": "m",
        "messages": [{"role": "system", "content": "sys"}, {"role": "user", "content": "hi"}],
        "tool_choice": {"type": "function", "function": {"name": "add"}},
        "temperature": 0.1,
        "frequency_penalty": 0.2,
        "presence_penalty": 0.3,
        "max_tokens": 9,
        "logprobs": True,
        "top_logprobs": 3,
        "reasoning_effort": "low",
        "stream": True,
        "stream_options": {"include_usage": True},
        "seed": 1,
    }
    assert body(ModelSettings(max_tokens=9), openai=True)["max_completion_tokens"] == 9
    assert "stream_options" not in body(ModelSettings(include_usage=False), stream=True)


def test_tools_that_only_the_responses_api_has_are_refused() -> None:
    with pytest.raises(UserError, match="'web_search' is run by the provider"):
        body(ModelSettings(), [WebSearchTool()])


HERE = Target("m")


def call(call_id: str, name: str = "f", arguments: str = "{}") -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments, "id": "fc"}


def output(call_id: str, output: Any = "ok") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def said(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "id": "m", "content": [{"type": "output_text", "text": text}]}


def wire_call(call_id: str) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": "f", "arguments": "{}"}}


def test_what_an_assistant_said_and_called_in_one_turn_is_one_message() -> None:
    found = messages(
        None, [{"role": "user", "content": "go"}, said("A"), call("1"), call("2"), output("2"), output("1")], HERE
    )
    assert found == [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": "A", "tool_calls": [wire_call("1"), wire_call("2")]},
        {"role": "tool", "tool_call_id": "2", "content": "ok"},
        {"role": "tool", "tool_call_id": "1", "content": "ok"},
    ]


def test_calls_of_two_turns_are_two_messages() -> None:
    found = messages(None, [call("1"), output("1"), call("2"), output("2"), said("B"), said("C")], HERE)
    assert [message["role"] for message in found] == [
        "assistant",
        "tool",
        "assistant",
        "tool",
        "assistant",
        "assistant",
    ]
    assert found[0] == {"role": "assistant", "tool_calls": [wire_call("1")], "content": None}


def test_every_part_of_a_users_message_has_its_form() -> None:
    parts: list[dict[str, Any]] = [
        {"type": "input_text", "text": "look"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA", "detail": "low"},
        {"type": "input_file", "file_data": "data:x", "filename": "f.pdf"},
        {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
    ]
    [message] = messages(None, [{"type": "message", "role": "user", "content": parts}], HERE)
    assert message["content"] == [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA", "detail": "low"}},
        {"type": "file", "file": {"file_data": "data:x", "filename": "f.pdf"}},
        parts[3],
    ]


def test_images_in_tool_outputs_follow_the_outputs_of_their_turn() -> None:
    image = {"type": "input_image", "image_url": "http://i"}
    found = messages(
        None,
        [call("1"), call("2"), output("1", [image]), output("2", [{"type": "input_text", "text": "t"}]), said("B")],
        HERE,
    )
    assert [message["role"] for message in found] == ["assistant", "tool", "tool", "user", "assistant"]
    assert found[2]["content"] == [{"type": "text", "text": "t"}]
    assert found[3]["content"] == [
        {"type": "text", "text": "Attached to the output of call 1:"},
        {"type": "image_url", "image_url": {"url": "http://i", "detail": "auto"}},
    ]


def thought(text: str, **members: Any) -> dict[str, Any]:
    mark = {"provider_data": {"model": "m", "_chat_completions_reasoning_field": "reasoning_content"}}
    return {
        "type": "reasoning",
        "id": "__fake_id__",
        "summary": [{"type": "summary_text", "text": text}],
        **mark,
    } | members


def test_reasoning_goes_back_only_to_where_it_came_from_and_within_its_turn() -> None:
    items = [
        {"role": "user", "content": "one"},
        thought("old"),
        call("1"),
        output("1"),
        {"role": "user", "content": "two"},
        thought("new"),
        call("2"),
        output("2"),
        thought("foreign", provider_data=None),
        call("3"),
        output("3"),
    ]
    found = [message for message in messages(None, items, HERE) if message["role"] == "assistant"]
    assert [message.get("reasoning_content") for message in found] == [None, "new", None]


@pytest.mark.parametrize(
    ("item", "match"),
    [
        ({"type": "web_search_call", "id": "ws"}, "'web_search_call' has no form"),
        ({"type": "item_reference", "id": "x"}, "'item_reference' has no form"),
        ({"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}, "needs an image_url"),
        ({"role": "user", "content": [{"type": "input_file", "file_url": "http://x"}]}, "needs file_data"),
        ({"role": "user", "content": [{"type": "input_video"}]}, "'input_video' has no form"),
        ({"role": "user", "content": 7}, "must be a string or a list of parts, got 7"),
        ({"role": "robot", "content": "x"}, "got 'robot'"),
    ],
)
def test_what_has_no_form_in_this_api_is_refused(item: dict[str, Any], match: str) -> None:
    with pytest.raises(UserError, match=match):
        messages(None, [item], HERE)


# ---- replies


def read(*chunks: Any, limits: Limits | None = None) -> tuple[list[Any], Exception | None, ChatStream]:
    """Return the events of a whole stream, one chunk at a time, and what was raised."""
    stream = ChatStream(limits or Limits())
    seen: list[Any] = []
    error: Exception | None = None
    for chunk in chunks:
        events, error = stream.events([("", chunk if isinstance(chunk, str) else json.dumps(chunk))])
        seen += events
        if error is not None:
            return seen, error, stream
    events, error = stream.end()
    return seen + events, error, stream


def calls_delta(*calls: dict[str, Any]) -> dict[str, Any]:
    return {"tool_calls": list(calls)}


def piece(index: Any, arguments: str | None = None, call_id: str | None = None, name: str | None = None) -> Any:
    found: dict[str, Any] = {"index": index, "function": {}}
    if call_id is not None:
        found["id"] = call_id
    if name is not None:
        found["function"]["name"] = name
    if arguments is not None:
        found["function"]["arguments"] = arguments
    return found


def test_a_stream_becomes_the_events_of_the_responses_api(wire: Any) -> None:
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }
    seen, error, stream = read(
        wire.delta(role="assistant", content=""),
        wire.delta(reasoning_content="th"),
        wire.delta(reasoning_content="ink"),
        wire.delta(content="hel"),
        wire.delta(content="lo"),
        wire.delta(**calls_delta(piece(0, "", "c1", "f"))),
        wire.delta(**calls_delta(piece(0, '{"a"'))),
        wire.delta(**calls_delta(piece(0, ":1}"))),
        wire.delta("tool_calls"),
        {**wire.delta(), "choices": [], "usage": usage},
        "[DONE]",
    )
    assert error is None
    assert stream.completed
    assert [event.type for event in seen] == [
        "response.created",
        "response.output_item.added",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_text.delta",
        "response.reasoning_summary_text.delta",
        "response.reasoning_summary_part.done",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.delta",
        "response.output_item.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in seen] == list(range(len(seen)))
    response = seen[-1].response
    reasoning, message, function = response.output
    assert reasoning.summary[0].text == "think"
    assert (response.output_text, message.content[0].text) == ("hello", "hello")
    assert (function.call_id, function.name, function.arguments) == ("c1", "f", '{"a":1}')
    done = {event.output_index: event.item for event in seen if event.type == "response.output_item.done"}
    assert done == dict(enumerate(response.output))
    found = Usage.from_wire(response.usage)
    assert (found.input_tokens, found.output_tokens, found.total_tokens) == (10, 5, 15)
    assert (found.input_tokens_details.cached_tokens, found.output_tokens_details.reasoning_tokens) == (4, 3)
    assert (response.id, response.model, response.status) == ("__fake_id__", "m", "completed")
    assert message.provider_data == {"model": "m", "response_id": "chat_1"}


def test_every_event_is_one_that_the_codec_reads_back(wire: Any) -> None:
    seen, _, _ = read(
        wire.delta(reasoning="a"), wire.delta(content="b"), wire.delta(refusal="c"), wire.delta("stop"), "[DONE]"
    )
    assert [structure_event(unstructure(event)) for event in seen] == seen
    assert [part.type for part in seen[-1].response.output[1].content] == ["output_text", "refusal"]
    assert seen[-1].response.output[0].content[0].text == "a"


def test_a_whole_reply_has_the_items_of_its_stream(wire: Any) -> None:
    function = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    whole = wire.completion("hello", "tool_calls", reasoning_content="think", tool_calls=[function])
    response, usage = read_completion(json.dumps(whole), Limits(), "req")
    streamed, _, _ = read(
        wire.delta(reasoning_content="think"),
        wire.delta(content="hello"),
        wire.delta(**calls_delta(piece(0, "{}", "c", "f"))),
        wire.delta("tool_calls"),
        "[DONE]",
    )
    assert response.output == streamed[-1].response.output
    assert usage == wire.usage


def test_calls_may_interleave_and_leave_gaps(wire: Any) -> None:
    seen, error, _ = read(
        wire.delta(**calls_delta(piece(5, '{"x"', "b", "g"), piece(2, "{", "a", "f"))),
        wire.delta(**calls_delta(piece(2, "}"))),
        wire.delta(**calls_delta(piece(5, ":2}"))),
        wire.delta("tool_calls"),
        "[DONE]",
    )
    assert error is None
    found = [(item.call_id, item.name, item.arguments) for item in seen[-1].response.output]
    assert found == [("b", "g", '{"x":2}'), ("a", "f", "{}")]


@pytest.mark.parametrize(
    "chunks",
    [
        [[piece(None, "{}", "a", "f"), piece(None, "{}", "b", "f")]],
        [[piece(None, "{", "a", "f")], [piece(None, "}")], [piece(None, "{}", "b", "f")]],
        [[piece(0, "{}", "a", "f")], [piece(0, "{}", "b", "f")]],
        [[piece(0, "{", "a", "f")], [piece(0, "}", "a", "f")], [piece(1, "{}", "b", "f")]],
        [[piece(0, None, "a")], [piece(0, "{}", None, "f")], [piece(1, "{", "b")], [piece(1, "}", None, "f")]],
    ],
    ids=["no index", "no index, in pieces", "one index for all", "name repeated", "name after arguments"],
)
def test_what_providers_make_of_calls_is_understood(wire: Any, chunks: Any) -> None:
    seen, error, _ = read(*(wire.delta(**calls_delta(*chunk)) for chunk in chunks), wire.delta("tool_calls"), "[DONE]")
    assert error is None
    found = [(item.call_id, item.name, item.arguments) for item in seen[-1].response.output]
    assert found == [("a", "f", "{}"), ("b", "f", "{}")]
    deltas = "".join(event.delta for event in seen if event.type == "response.function_call_arguments.delta")
    assert deltas == "{}{}"


def test_arguments_that_are_an_object_become_text(wire: Any) -> None:
    odd: Any = {"index": 0, "id": "a", "function": {"name": "f", "arguments": {"x": 1}}}
    seen, _, _ = read(wire.delta(**calls_delta(odd)), wire.delta("tool_calls"), "[DONE]")
    assert seen[-1].response.output[0].arguments == '{"x":1}'


@pytest.mark.parametrize(
    "calls",
    [
        [piece(0, "{}", "a", "f"), piece(1, "{}", "a", "f")],
        [piece(0, "{}", "", "f")],
        [piece(0, "{}", None, "f")],
        [piece(0, "{}", "a", "")],
        [piece("x", "{}", "a", "f")],
        [{"index": 0, "id": "a", "type": "custom", "custom": {}}],
        [{"index": 0, "id": "a", "function": {"name": "f", "arguments": 7}}],
        [None],
    ],
    ids=["same id", "empty id", "no id", "no name", "bad index", "other type", "arguments a number", "null"],
)
def test_calls_that_cannot_be_run_are_the_models_mistake(wire: Any, calls: Any) -> None:
    seen, error, _ = read(wire.delta(**calls_delta(*calls)), wire.delta("tool_calls"), "[DONE]")
    assert isinstance(error, ModelBehaviorError)
    assert "response.completed" not in [event.type for event in seen]


def test_too_many_calls_are_refused_while_they_arrive(wire: Any) -> None:
    flood = (wire.delta(**calls_delta(piece(at, "{}", f"c{at}", "f"))) for at in range(10_000))
    _, error, stream = read(*flood, limits=Limits(calls_per_response=10))
    assert isinstance(error, ModelLimitError)
    assert len(stream.response.output) == 0


def test_a_stream_needs_a_finish_reason_and_nothing_after_it(wire: Any) -> None:
    seen, error, stream = read(wire.delta(content="a"), wire.delta("stop"))
    assert error is None
    assert seen[-1].type == "response.completed"
    seen, error, stream = read(wire.delta(content="a"), "[DONE]")
    assert not stream.completed
    assert "response.completed" not in [event.type for event in seen]


def test_usage_in_the_last_chunk_ends_the_reply(wire: Any) -> None:
    seen, _, stream = read({**wire.delta("stop", content="a"), "usage": wire.usage})
    assert stream.completed
    assert seen[-1].response.usage.total_tokens == 5


def test_what_follows_the_finish_reason_is_no_content(wire: Any) -> None:
    seen, _, _ = read(
        wire.delta(content="a"), wire.delta("stop"), wire.delta(content="b"), wire.delta("stop"), "[DONE]"
    )
    assert seen[-1].response.output_text == "a"
    assert [event.type for event in seen].count("response.completed") == 1


DELTAS: st.SearchStrategy[Any] = st.one_of(
    st.fixed_dictionaries(
        {"content": st.sampled_from(["a", "\u00fc {", "", None, 1])},
        optional={"role": st.just("assistant"), "refusal": st.sampled_from([None, "no"]), "tool_calls": st.none()},
    ),
    st.sampled_from(["reasoning", "reasoning_content", "refusal"]).map(lambda name: {name: "b"}),
    st.just({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}]}),
    st.sampled_from([None, {}, "content", ["content"]]),
)


@given(
    st.lists(st.tuples(DELTAS, st.sampled_from([0, 0, 0, None, 1, "0"]), st.sampled_from([None, None, None, "stop"]))),
    st.booleans(),
)
def test_a_piece_of_text_is_the_same_on_the_short_way_as_on_the_long(deltas: list[Any], failed: bool) -> None:
    chunks: list[Any] = [
        {"id": "chat_1", "model": "m", "choices": [{"index": index, "delta": delta, "finish_reason": finish}]}
        for delta, index, finish in deltas
    ]
    if chunks and failed:
        chunks[-1]["choices"][0]["error"] = {"message": "overloaded"}
    # A usage that is none is not looked at, but it is nothing that the short way takes
    short, long = read(*chunks), read(*({**chunk, "usage": []} for chunk in chunks))
    assert [type(event) for event in short[0]] == [type(event) for event in long[0]]
    assert short[0] == long[0]
    assert [event.model_dump() for event in short[0]] == [event.model_dump() for event in long[0]]
    assert repr(short[1]) == repr(long[1])


@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_a_reply_that_was_cut_short_is_no_success(wire: Any, finish: str) -> None:
    expected = ModelBehaviorError if finish == "length" else ModelRefusalError
    seen, error, _ = read(wire.delta(content="par"), wire.delta(finish), "[DONE]")
    assert isinstance(error, expected)
    assert seen[-1].type == "response.incomplete"
    assert seen[-1].response.output_text == "par"
    assert (seen[-1].response.status, seen[-1].response.output[0].status) == ("incomplete", "incomplete") or (
        finish == "content_filter"
    )
    with pytest.raises(expected):
        read_completion(json.dumps(wire.completion("par", finish)), Limits(), None)


@pytest.mark.parametrize(
    "chunk",
    [
        {"error": {"code": "overloaded", "message": "busy"}},
        {"id": "x", "choices": [{"index": 0, "error": {"code": "overloaded", "message": "busy"}}]},
        {"id": "x", "error": {"message": "overloaded"}, "choices": [{"finish_reason": "error"}]},
    ],
)
def test_an_error_inside_of_a_stream_fails_it(wire: Any, chunk: dict[str, Any]) -> None:
    seen, error, _ = read(wire.delta(content="a"), chunk)
    assert isinstance(error, ModelBehaviorError)
    assert "overloaded" in str(error)
    assert seen[-1].type == "response.output_text.delta"


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": None}, {"prompt_tokens": -1, "total_tokens": "x"}])
def test_a_missing_or_strange_usage_does_no_harm(wire: Any, usage: Any) -> None:
    seen, _, _ = read(wire.delta(content="a"), {**wire.delta("stop"), "usage": usage}, "[DONE]")
    found = Usage.from_wire(seen[-1].response.usage)
    assert (found.requests, found.input_tokens, found.total_tokens) == (1, 0, 0)


def test_empty_chunks_and_other_choices_are_passed_over(wire: Any) -> None:
    other = {**wire.delta(), "choices": [{"index": 1, "delta": {"content": "no"}, "finish_reason": "stop"}]}
    empty: dict[str, Any] = {**wire.delta(), "choices": []}
    null = {**wire.delta(), "choices": [{"index": 0, "delta": None, "finish_reason": None}]}
    seen, _, _ = read(
        empty, other, null, wire.delta(content=None), wire.delta(content="a"), wire.delta("stop"), "[DONE]"
    )
    assert seen[-1].response.output_text == "a"


def test_a_reply_without_content_is_an_empty_one(wire: Any) -> None:
    assert read_completion(json.dumps(wire.completion(None)), Limits(), None)[0].output == []


def test_content_in_parts_is_read(wire: Any) -> None:
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "yes"}]
    seen, _, _ = read(wire.delta(content=parts), wire.delta("stop"), "[DONE]")
    assert [item.type for item in seen[-1].response.output] == ["reasoning", "message"]
    assert seen[-1].response.output_text == "yes"


SIGNED = {"type": "thinking", "thinking": "step one", "signature": "s1", "cache": {"for": 5}}
WITHHELD = {"type": "redacted_thinking", "data": "x", "signature": {"of": "theirs"}}
THOUGHT = [
    {"type": "thinking", "thinking": "step ", "signature": "", "cache": {"for": 5}},
    {"thinking": "one"},
    {"signature": "s1"},
    WITHHELD,
    {"type": None, "thinking": "of no kind"},
    {"type": "thinking", "thinking": "two", "signature": "s2"},
]


def test_blocks_of_thinking_are_put_together_and_kept_as_they_came(wire: Any) -> None:
    pieces = [wire.delta(thinking_blocks=[piece]) for piece in THOUGHT]
    seen, _, _ = read(*pieces, wire.delta(content="yes"), wire.delta("stop"), "[DONE]")
    thought, said = seen[-1].response.output
    assert thought.provider_data["thinking_blocks"] == [
        SIGNED,
        WITHHELD,
        {"type": "thinking", "thinking": "two", "signature": "s2"},
    ]
    assert [part.text for part in thought.content] == ["step onetwo"]
    assert (thought.encrypted_content, thought.summary, said.content[0].text) == ("s2", [], "yes")
    [done] = [event for event in seen if event.type == "response.reasoning_text.done"]
    assert (done.text, done.output_index) == ("step onetwo", 0)


def test_blocks_of_a_whole_reply_stand_beside_its_summary(wire: Any) -> None:
    blocks = [SIGNED, WITHHELD]
    whole = wire.completion("yes", reasoning_content="in short", thinking_blocks=blocks)
    response, _ = read_completion(json.dumps(whole), Limits(), None)
    thought: Any = response.output[0]
    assert thought.provider_data["thinking_blocks"] == blocks
    assert (thought.summary[0].text, thought.content[0].text) == ("in short", "step one")
    withheld = wire.completion("yes", thinking_blocks=[WITHHELD])
    thought = read_completion(json.dumps(withheld), Limits(), None)[0].output[0]
    assert (thought.content, thought.encrypted_content, thought.summary) == (None, None, [])


@pytest.mark.parametrize("field", ["thinking", "signature"])
@pytest.mark.parametrize("value", [None, {"of": "theirs"}])
def test_a_block_of_thinking_holds_texts(wire: Any, field: str, value: Any) -> None:
    _, error, _ = read(wire.delta(thinking_blocks=[{"type": "thinking", field: value}]))
    assert f"the {field} of a thinking block is no text" in str(error)


@pytest.mark.parametrize(
    ("model", "asked_again", "expected"),
    [("m", False, [SIGNED, WITHHELD]), ("m", True, None), ("other", False, None)],
)
def test_blocks_go_back_to_the_model_that_thought_them_while_the_turn_goes_on(
    model: str, asked_again: bool, expected: Any
) -> None:
    blocks = [SIGNED, WITHHELD, {"type": "thinking", "thinking": "cut", "signature": ""}]
    thought: dict[str, Any] = {
        "type": "reasoning",
        "id": "r",
        "summary": [],
        "provider_data": {"model": model, "thinking_blocks": blocks},
    }
    more = [{"role": "user", "content": "and?"}] if asked_again else []
    found = messages(None, [{"role": "user", "content": "go"}, thought, call("1"), output("1"), *more], HERE)
    assert found[1].get("thinking_blocks") == expected


@pytest.mark.parametrize(
    "place",
    [
        {"extra_content": {"google": {"thought_signature": "S"}}},
        {"provider_specific_fields": {"thought_signature": "S"}},
    ],
)
def test_a_call_keeps_its_signature_wherever_a_gateway_puts_it(wire: Any, place: Any) -> None:
    asked = {**wire_call("1"), "index": 0, **place}
    seen, _, _ = read(wire.delta(tool_calls=[asked]), wire.delta("tool_calls"), "[DONE]")
    assert seen[-1].response.output[0].provider_data["thought_signature"] == "S"


def test_a_refusal_is_a_part_of_the_message(wire: Any) -> None:
    response, _ = read_completion(json.dumps(wire.completion(None, refusal="no way")), Limits(), None)
    item: Any = response.output[0]
    assert item.content[0].refusal == "no way"


@pytest.mark.parametrize(
    ("choice", "message"),
    [("adds", r"tool_choice is 'adds', .* offered are \['add'\]"), (MCPToolChoice("docs", "search"), "Responses API")],
    ids=str,
)
def test_a_choice_that_cannot_be_sent_is_refused(choice: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        body(ModelSettings(tool_choice=choice), tools=[add])
