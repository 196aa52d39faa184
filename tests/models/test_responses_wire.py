"""Requests of the Responses API, and its replies, without I/O."""

from __future__ import annotations

import json
import math
from typing import Any

import attrs
import pytest

from agentrun._codec import unstructure
from agentrun._exceptions import ModelBehaviorError, ModelLimitError, UserError
from agentrun._history import HistoryItem
from agentrun._hosted_tools import FileSearchTool, WebSearchTool
from agentrun._settings import MCPToolChoice, ModelSettings, Reasoning
from agentrun._tool import function_tool, tool_namespace
from agentrun.models._json import decode_object
from agentrun.models._limits import Limits
from agentrun.models.responses_wire import ResponsesStream, read_response, request_body


def body(input: Any = "hi", settings: ModelSettings | None = None, tools: Any = (), **options: Any) -> dict[str, Any]:
    """Return a request as the provider decodes it."""
    known: dict[str, Any] = {
        "system_instructions": None,
        "output_schema": None,
        "handoffs": (),
        "previous_response_id": None,
        "conversation_id": None,
        "prompt": None,
        "stream": False,
    } | options
    raw = request_body(
        "m",
        known.pop("system_instructions"),
        input,
        settings or ModelSettings(),
        tools,
        known.pop("output_schema"),
        known.pop("handoffs"),
        **known,
    )
    decoded: dict[str, Any] = json.loads(raw)
    return decoded


@function_tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class Schema:
    def is_plain_text(self) -> bool:
        return False

    def name(self) -> str:
        return "Answer"

    def json_schema(self) -> dict[str, Any]:
        return {"type": "object"}

    def is_strict_json_schema(self) -> bool:
        return True


def test_a_request_holds_only_what_was_set() -> None:
    assert body() == {"model": "m", "input": [{"role": "user", "content": "hi"}]}


def test_a_request_holds_all_that_was_set() -> None:
    settings = ModelSettings(
        temperature=0.5,
        top_p=0.9,
        tool_choice="add",
        parallel_tool_calls=False,
        truncation="auto",
        max_tokens=7,
        reasoning=Reasoning(effort="low", summary="auto"),
        verbosity="low",
        metadata={"a": "b"},
        store=False,
        prompt_cache_retention="24h",
        response_include=["reasoning.encrypted_content"],
        top_logprobs=2,
        extra_args={"service_tier": "flex"},
        extra_body={"user": "u"},
    )
    stores = FileSearchTool(vector_store_ids=["vs"], include_search_results=True)
    sent = body(
        [{"role": "user", "content": "hi"}],
        settings,
        [add, stores],
        system_instructions="be nice",
        output_schema=Schema(),
        previous_response_id="resp_0",
        conversation_id="conv_0",
        prompt={"id": "pmpt_0"},
        stream=True,
    )
    assert [tool.get("name") or tool["type"] for tool in sent.pop("tools")] == ["add", "file_search"]
    assert sent == {
        "model": "m",
        "instructions": "be nice",
        "input": [{"role": "user", "content": "hi"}],
        "tool_choice": {"type": "function", "name": "add"},
        "parallel_tool_calls": False,
        "text": {
            "format": {"type": "json_schema", "name": "final_output", "schema": {"type": "object"}, "strict": True},
            "verbosity": "low",
        },
        "temperature": 0.5,
        "top_p": 0.9,
        "top_logprobs": 2,
        "truncation": "auto",
        "max_output_tokens": 7,
        "reasoning": {"effort": "low", "summary": "auto"},
        "include": ["reasoning.encrypted_content", "file_search_call.results", "message.output_text.logprobs"],
        "store": False,
        "metadata": {"a": "b"},
        "prompt_cache_retention": "24h",
        "previous_response_id": "resp_0",
        "conversation": "conv_0",
        "prompt": {"id": "pmpt_0"},
        "stream": True,
        "service_tier": "flex",
        "user": "u",
    }


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("auto", "auto"),
        ("required", "required"),
        ("web_search", {"type": "web_search"}),
        ("add", {"type": "function", "name": "add"}),
        ({"type": "mcp", "server_label": "x"}, {"type": "mcp", "server_label": "x"}),
    ],
)
def test_a_tool_choice_is_sent_in_the_form_of_the_api(choice: Any, sent: Any) -> None:
    assert body(settings=ModelSettings(tool_choice=choice), tools=[add, WebSearchTool()])["tool_choice"] == sent


def test_parallel_tool_calls_are_not_mentioned_without_tools() -> None:
    assert "parallel_tool_calls" not in body(settings=ModelSettings(parallel_tool_calls=True))


@attrs.define
class Effort:
    effort: str = "high"


@pytest.mark.parametrize("value", [{"effort": "high"}, Reasoning("high"), Effort()])
def test_reasoning_may_be_given_in_any_class(value: Any) -> None:
    assert body(settings=ModelSettings(reasoning=value))["reasoning"] == {"effort": "high"}


@pytest.mark.parametrize("kind", [dict, Reasoning])
def test_reasoning_has_all_members_of_the_api_and_takes_others(kind: Any) -> None:
    settings = ModelSettings(reasoning=kind(mode="pro", context="all_turns", extra={"new": 1}))
    assert settings.reasoning == Reasoning(mode="pro", context="all_turns", extra={"new": 1})
    assert body(settings=settings)["reasoning"] == {"mode": "pro", "context": "all_turns", "new": 1}
    assert ModelSettings(reasoning={"mode": "pro", "new": 1}).reasoning == Reasoning(mode="pro", extra={"new": 1})


def test_ids_that_no_provider_gave_and_our_own_marks_are_not_sent() -> None:
    mark = {"provider_data": {"model": "m"}}
    message: dict[str, Any] = {"type": "message", "role": "assistant", "content": []}
    items = [{**message, "id": "__fake_id__", **mark}, {**message, "id": "msg_1", **mark}, {**message, "id": "msg_2"}]
    assert body(items)["input"] == [message, {**message, "id": "msg_1"}, {**message, "id": "msg_2"}]


def test_what_another_provider_thought_is_not_sent() -> None:
    own: dict[str, Any] = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"}
    other = {"type": "reasoning", "id": "__fake_id__", "summary": [], "provider_data": {"model": "m"}}
    assert body([own, other])["input"] == [own]


def test_an_item_of_a_history_is_encoded_once_in_its_life() -> None:
    item = HistoryItem({"role": "user", "content": "hé"})
    assert body([item])["input"] == [{"role": "user", "content": "hé"}]
    item["content"] = "changed although it must not be"
    assert body([item])["input"] == [{"role": "user", "content": "hé"}]


@pytest.mark.parametrize(
    ("text", "sent"), [("\ud83d\ude00", "😀"), ("a\ud83db", "a\ufffdb"), ("\x00\u2028é", "\x00\u2028é")]
)
def test_any_text_can_be_sent(text: str, sent: str) -> None:
    assert body(text)["input"][0]["content"] == sent


@pytest.mark.parametrize("value", [math.nan, object(), {1j}])
def test_what_is_no_json_is_refused_before_it_is_sent(value: Any) -> None:
    with pytest.raises(UserError, match="cannot be sent as JSON"):
        body([{"role": "user", "content": value}])


def test_a_tool_that_is_none_is_refused() -> None:
    with pytest.raises(UserError, match="cannot be sent to a model"):
        body(tools=["add"])


# ---- replies


def test_a_whole_reply_is_read(wire: Any) -> None:
    response, data = read_response(json.dumps(wire.response()), Limits())
    assert response.output_text == "hello"
    assert data["usage"]["total_tokens"] == 5


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"status": "failed", "error": {"code": "server_error", "message": "oops"}}, "server_error: oops"),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
            "raise ModelSettings.max_tok",
        ),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "'content_filter'"),
        ({"status": "cancelled"}, "'cancelled'"),
        ({"status": "queued"}, "'queued'"),
    ],
)
def test_a_reply_that_is_not_complete_says_why_in_every_form(wire: Any, members: dict[str, Any], said: str) -> None:
    reply = wire.response(**members)
    with pytest.raises(ModelBehaviorError, match=said):
        read_response(json.dumps(reply), Limits())
    event = {"type": f"response.{members['status']}", "response": reply}
    events, error = ResponsesStream(Limits()).events([("", json.dumps(event))])
    if members["status"] == "queued":
        return  # in a stream it is only the beginning
    assert [one.type for one in events] == [event["type"]]
    assert isinstance(error, ModelBehaviorError)
    if members["status"] != "cancelled":
        assert said.split("'", maxsplit=1)[0] in str(error)


def call(call_id: Any, name: str = "f") -> dict[str, Any]:
    return {"type": "function_call", "id": "fc", "call_id": call_id, "name": name, "arguments": "{}"}


@pytest.mark.parametrize("calls", [[call("a"), call("a")], [call("")], [call("a"), call("b"), call("a")]])
def test_calls_that_cannot_be_told_apart_are_refused_before_any_runs(wire: Any, calls: list[Any]) -> None:
    reply = wire.response(output=calls)
    with pytest.raises(ModelBehaviorError, match="call id"):
        read_response(json.dumps(reply), Limits())
    events, error = ResponsesStream(Limits()).events(
        [("", json.dumps({"type": "response.completed", "response": reply}))]
    )
    assert (events, type(error)) == ([], ModelBehaviorError)


def test_a_reply_with_too_many_calls_is_refused(wire: Any) -> None:
    reply = wire.response(output=[call(f"c{at}") for at in range(1000)])
    assert len(read_response(json.dumps(reply), Limits())[0].output) == 1000
    with pytest.raises(ModelLimitError, match="calls_per_response"):
        read_response(json.dumps(reply), Limits(calls_per_response=999))


def test_two_items_with_one_id_are_two_items(wire: Any) -> None:
    reply = wire.response(output=[call("a"), call("b")])
    assert len(read_response(json.dumps(reply), Limits())[0].output) == 2


def test_the_final_object_wins_over_deltas_and_what_follows_it_is_not_read(wire: Any) -> None:
    stream = ResponsesStream(Limits(), "req_1")
    parts = wire.events("hello")
    parts[2]["delta"] = "other"
    parts.insert(2, parts[1])
    received = [("", json.dumps(event)) for event in [*parts, parts[-1], parts[1]]]
    events, error = stream.events(received)
    assert error is None
    assert stream.completed
    assert [event.type for event in events].count("response.completed") == 1
    last: Any = events[-1]
    assert last.response.output_text == "hello"
    assert last.response._request_id == "req_1"


def test_unknown_events_and_items_are_kept_as_they_came(wire: Any) -> None:
    odd = {"type": "x:novelty", "deep": {"a": [1]}, "sequence_number": 4}
    item = {"type": "x:thing", "id": "t_1", "payload": {"b": 2}}
    final = {"type": "response.completed", "response": wire.response(output=[item])}
    events, error = ResponsesStream(Limits()).events([("", json.dumps(odd)), ("", json.dumps(final))])
    assert error is None
    assert events[0] == odd
    last: Any = events[1]
    assert last.response.output == [item]


def test_an_event_without_a_type_has_that_of_its_name() -> None:
    events, error = ResponsesStream(Limits()).events([("x:novelty", "{}")])
    assert error is None
    assert [unstructure(event) for event in events] == [{"type": "x:novelty"}]


def test_what_came_before_a_broken_event_is_kept(wire: Any) -> None:
    first = wire.events()[1]
    events, error = ResponsesStream(Limits()).events([("", json.dumps(first)), ("", "{")])
    assert [event.type for event in events] == ["response.output_text.delta"]
    assert isinstance(error, ModelBehaviorError)


@pytest.mark.parametrize("usage", [None, {"input_tokens": -4, "output_tokens": 2**70, "total_tokens": "many"}])
def test_a_strange_usage_does_no_harm(wire: Any, usage: Any) -> None:
    from agentrun._usage import Usage

    found = Usage.from_wire(read_response(json.dumps(wire.response(usage=usage)), Limits())[0].usage)
    assert (found.requests, found.input_tokens, found.output_tokens, found.total_tokens) == (1, 0, 0, 0)


@pytest.mark.parametrize("text", [' {"a": 1}', '{"a": 1}\n ', '\t{"a": 1}'])
def test_space_round_json_is_no_fault(text: str) -> None:
    assert decode_object(text, "it", 10) == {"a": 1}


def test_brackets_inside_of_strings_are_no_depth() -> None:
    text = json.dumps({"a": "[" * 1000 + "{" * 1000})
    assert decode_object(text, "it", 10) == json.loads(text)


# ---- the choice of a tool


def test_a_choice_of_a_tool_that_is_not_offered_is_refused() -> None:
    with pytest.raises(UserError, match=r"tool_choice is 'adds', .* offered are \['add'\]\. Pass one of these"):
        body(settings=ModelSettings(tool_choice="adds"), tools=[add])


def test_tools_that_the_settings_bring_may_be_chosen() -> None:
    extra = {"tools": [{"type": "function", "name": "mine", "parameters": {}}]}
    sent = body(settings=ModelSettings(tool_choice="mine", extra_body=extra))
    assert sent["tool_choice"] == {"type": "function", "name": "mine"}


def test_a_tool_in_a_namespace_is_chosen_by_its_whole_name() -> None:
    tools = tool_namespace(name="math", description="Sums.", tools=[add])
    assert body(settings=ModelSettings(tool_choice="math.add"), tools=tools)["tool_choice"]["name"] == "math.add"
    for name in ("add", "math"):
        with pytest.raises(UserError, match=r"pass 'math\.add'"):
            body(settings=ModelSettings(tool_choice=name), tools=tools)
    assert body(settings=ModelSettings(tool_choice="add"), tools=[*tools, add])["tool_choice"]["name"] == "add"


def test_a_tool_of_a_hosted_server_may_be_chosen() -> None:
    choice = MCPToolChoice("docs", "search")
    sent = body(settings=ModelSettings(tool_choice=choice))
    assert sent["tool_choice"] == {"type": "mcp", "server_label": "docs", "name": "search"}
