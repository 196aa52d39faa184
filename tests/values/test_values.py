"""Responses values are built with keywords, compare by content, and are copied without their sender's objects."""

from __future__ import annotations

import copy
import json
from typing import Any

import pydantic
import pytest

from agentrun._codec import as_dict, structure_event, structure_item, structure_response, unstructure, unstructure_item
from agentrun._hosted import ResponseComputerToolCall, ResponseFunctionWebSearch
from agentrun._responses import (
    InputTokensDetails,
    Response,
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
    ResponseReasoningItem,
    ResponseTextDeltaEvent,
    ResponseUsage,
    Summary,
)
from agentrun._wire_value import Record


def message(text: str = "x") -> ResponseOutputMessage:
    return ResponseOutputMessage(id="1", content=[ResponseOutputText(text=text)])


def test_a_message_built_in_full_equals_one_built_short() -> None:
    whole = ResponseOutputMessage(
        id="1",
        type="message",
        role="assistant",
        content=[ResponseOutputText(text="x", type="output_text", annotations=[])],
        status="completed",
    )
    assert whole == message()
    assert unstructure_item(whole) == {
        "id": "1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": "x", "annotations": []}],
    }


def test_a_call_without_an_id_is_sent_without_one() -> None:
    call = ResponseFunctionToolCall(id=None, call_id="c", type="function_call", name="n", arguments="{}")
    assert unstructure_item(call) == {"type": "function_call", "call_id": "c", "name": "n", "arguments": "{}"}


def test_a_built_item_without_an_id_is_sent_without_one() -> None:
    assert "id" not in unstructure_item(ResponseReasoningItem(summary=[Summary(text="because")]))


def test_the_field_async_stands_under_its_own_name_on_the_wire() -> None:
    call = ResponseFunctionToolCall(call_id="c", name="n", arguments="{}", async_=True)
    assert unstructure_item(call)["async"] is True
    assert structure_item(unstructure_item(call)) == call


def test_values_differ_by_class_by_field_and_by_extra() -> None:
    assert message() != message("y")
    assert message() != unstructure_item(message())
    assert Summary(text="x") != ResponseOutputText(text="x")
    assert Summary(text="x", extra={"a": 1}) != Summary(text="x")
    assert Summary(text="x", extra={}) == Summary(text="x")


def test_a_null_and_a_missing_field_are_equal_and_go_back_as_they_came() -> None:
    missing: dict[str, Any] = {"type": "reasoning", "summary": []}
    null = {**missing, "content": None}
    assert structure_item(null) == structure_item(missing)
    assert unstructure_item(structure_item(null)) == null
    assert unstructure_item(structure_item(missing)) == missing


def test_a_null_list_reads_as_an_empty_one_until_something_is_put_in() -> None:
    data: dict[str, Any] = {"type": "output_text", "text": "x", "annotations": None}
    item = structure_item({"type": "message", "content": [data]})
    assert isinstance(item, ResponseOutputMessage)
    part = item.content[0]
    assert isinstance(part, ResponseOutputText)
    assert part.annotations == []
    assert unstructure(part) == data
    part.annotations.append(Record({"type": "file_path"}))
    assert unstructure(part)["annotations"] == [{"type": "file_path"}]


def test_values_are_not_hashable() -> None:
    for value in (message(), Record({})):
        with pytest.raises(TypeError, match="unhashable"):
            hash(value)


def test_values_refuse_attributes_they_do_not_have() -> None:
    item: Any = message()
    with pytest.raises(AttributeError, match="ResponseOutputMessage has no field 'contents'"):
        _ = item.contents
    with pytest.raises(AttributeError):
        item.contents = 1


def test_unknown_fields_read_as_attributes_and_show_in_the_repr() -> None:
    item: Any = structure_item({"type": "reasoning", "summary": [], "trace": {"steps": [{"n": 1}]}})
    assert item.trace.steps[0].n == 1
    assert item.extra == {"trace": {"steps": [{"n": 1}]}}
    assert repr(item) == "ResponseReasoningItem(summary=[], type='reasoning', extra={'trace': {'steps': [{'n': 1}]}})"


def test_what_goes_out_shares_nothing_with_the_value() -> None:
    item = structure_item({"type": "web_search_call", "id": "w", "action": {"type": "search", "queries": ["a"]}})
    unstructure_item(item)["action"]["queries"].append("b")
    assert unstructure_item(item)["action"]["queries"] == ["a"]


def test_hosted_items_take_dicts_and_records_alike() -> None:
    action: Any = {"type": "search", "query": "q"}
    by_dict = ResponseFunctionWebSearch(id="w", action=action, status="completed", type="web_search_call")
    by_record = ResponseFunctionWebSearch(id="w", action=Record(action))
    assert by_dict == by_record
    assert unstructure_item(by_dict) == unstructure_item(by_record)


def test_a_hosted_call_is_read_before_its_details_are_known() -> None:
    data = {"type": "web_search_call", "id": "w", "status": "in_progress"}
    item = structure_item(data)
    assert isinstance(item, ResponseFunctionWebSearch)
    assert item.action is None
    assert unstructure_item(item) == data
    call = structure_item({"type": "computer_call", "call_id": "c"})
    assert isinstance(call, ResponseComputerToolCall)
    assert call.pending_safety_checks == []


def test_messages_of_others_than_the_assistant_are_kept_as_records() -> None:
    data = {"type": "message", "role": "user", "content": "hi"}
    assert type(structure_item(data)) is Record
    assert unstructure_item(structure_item(data)) == data


def test_content_parts_of_unknown_type_are_kept() -> None:
    data = {"type": "message", "content": [{"type": "hologram", "points": [1, 2]}]}
    item: Any = structure_item(data)
    assert item.content[0].points == [1, 2]
    assert unstructure_item(item) == data


def test_the_reply_joins_its_texts() -> None:
    reply = Response(
        output=[message("a"), ResponseFunctionToolCall(call_id="c", name="n", arguments="{}"), message("b")]
    )
    assert reply.output_text == "ab"


def test_a_failed_reply_needs_no_output() -> None:
    data = {"id": "r", "status": "failed", "error": {"code": "rate_limit_exceeded", "message": "slow down"}}
    reply = structure_response(data)
    assert reply.error is not None
    assert reply.error.code == "rate_limit_exceeded"
    assert reply.output == []
    assert unstructure(reply) == data


@pytest.mark.parametrize("count", [-1, 2**70, "12", 1.5, None, [1]])
def test_implausible_token_counts_are_kept(count: Any) -> None:
    data: dict[str, Any] = {
        "id": "r",
        "output": [],
        "usage": {"input_tokens": count, "input_tokens_details": {"cached_tokens": count}},
    }
    reply = structure_response(data)
    assert reply.usage is not None
    assert unstructure(reply) == data
    if count is not None:
        assert reply.usage.input_tokens == count
        assert reply.usage.input_tokens_details.cached_tokens == count


@pytest.mark.parametrize("details", [{}, {"input_tokens_details": None, "output_tokens_details": None}])
def test_usage_without_details_reads_as_zeros(details: dict[str, Any]) -> None:
    data: dict[str, Any] = {
        "id": "r",
        "output": [],
        "usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3, **details},
    }
    usage = structure_response(data).usage
    assert usage is not None
    assert usage == ResponseUsage(input_tokens=1, output_tokens=2, total_tokens=3)
    assert usage.input_tokens_details == InputTokensDetails(cached_tokens=0)
    assert unstructure(usage) == data["usage"]


# ---- deltas, whose quick way must not differ from the slow one

DELTA: dict[str, Any] = {
    "type": "response.output_text.delta",
    "item_id": "m",
    "output_index": 0,
    "content_index": 0,
    "delta": "hi",
    "logprobs": [],
    "sequence_number": 4,
}


def test_a_text_delta_has_all_its_fields() -> None:
    assert structure_event(DELTA) == ResponseTextDeltaEvent(delta="hi", item_id="m", sequence_number=4)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"obfuscation": "zzz"},
        {"obfuscation": None},
        {"obfuscation": "zzz", "more": 1},
        {"more": 1},
        {"extra": 1},
        {"logprobs": None},
        {"logprobs": [{"token": "h", "logprob": -0.5}]},
        {"item_id": None},
        {"sequence_number": None},
        {"output_index": None},
        {"content_index": None},
    ],
)
@pytest.mark.parametrize("leave_out", [None, "item_id", "logprobs", "sequence_number", "output_index"])
@pytest.mark.parametrize(
    ("tag", "index"),
    [
        ("response.output_text.delta", "content_index"),
        ("response.function_call_arguments.delta", None),
        ("response.refusal.delta", "content_index"),
        ("response.reasoning_summary_text.delta", "summary_index"),
        ("response.reasoning_text.delta", "content_index"),
    ],
)
def test_deltas_of_any_shape_go_back_as_they_came(
    tag: str, index: str | None, change: dict[str, Any], leave_out: str | None
) -> None:
    data = {**DELTA, **change, "type": tag}
    if tag != "response.output_text.delta":
        del data["logprobs"]
        place = data.pop("content_index")
        if index is not None:
            data[index] = place
    data.pop(leave_out or "", None)
    event: Any = structure_event(data)
    assert unstructure(event) == data
    assert type(event) is not Record
    assert event.delta == "hi"
    assert copy.deepcopy(event) == event
    assert repr(event).startswith(type(event).__name__)


# ---- dicts and foreign objects


class Foreign(pydantic.BaseModel):
    type: str
    text: str | None = None
    other: int = 3


def test_pydantic_objects_give_what_was_set_on_them() -> None:
    assert unstructure_item(Foreign(type="custom")) == {"type": "custom"}
    assert as_dict(Foreign(type="custom", text="x")) == {"type": "custom", "text": "x"}
    parts: Any = [Foreign(type="output_text", text="x")]
    assert unstructure_item(ResponseOutputMessage(content=parts))["content"] == [{"type": "output_text", "text": "x"}]


def test_a_dict_passes_through() -> None:
    data = {"role": "user", "content": "hi"}
    assert as_dict(data) is data
    assert unstructure_item(data) == data
    assert unstructure_item(data) is not data


@pytest.mark.parametrize("value", ["text", 3, None, [{"type": "message"}], object(), {"x": object()}])
def test_what_is_no_item_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=r"expected an item|has no JSON form"):
        unstructure_item(value)


def test_values_dump_like_pydantic_objects() -> None:
    call = ResponseFunctionToolCall(call_id="c", name="n", arguments="{}", extra={"note": None})
    assert call.model_dump(exclude_unset=True) == unstructure_item(call)
    assert call.model_dump(mode="json")["status"] is None
    assert call.model_dump(exclude_none=True) == {
        "type": "function_call",
        "call_id": "c",
        "name": "n",
        "arguments": "{}",
    }
    assert json.loads(call.model_dump_json(exclude_unset=True)) == unstructure_item(call)


# ---- Record


def test_a_record_reads_by_attribute_and_by_key() -> None:
    record = Record({"type": "a", "items": [1, {"b": {"c": 2}}], "none": None})
    assert record.type == record["type"] == "a"
    assert record["items"][1].b.c == 2
    assert record.none is None
    assert dict(record) == {"type": "a", "items": [1, {"b": {"c": 2}}], "none": None}
    assert "type" in record
    assert len(record) == 3
    assert record.get("missing") is None
    assert repr(Record({"a": 1})) == "Record({'a': 1})"


def test_a_record_without_the_field_says_so() -> None:
    with pytest.raises(AttributeError, match="record of type 'a' has no field 'b'"):
        _ = Record({"type": "a"}).b
    with pytest.raises(KeyError):
        _ = Record({})["b"]


def test_records_compare_by_content() -> None:
    assert Record({"a": [1]}) == Record({"a": [1]}) == {"a": [1]}
    assert Record({"a": {"b": 1}}) == {"a": {"b": 1}}
    assert Record({"a": 1}) != Record({"a": 2})
    assert Record({}) != []


def test_a_copied_record_shares_nothing() -> None:
    record = Record({"a": [1]})
    copied = copy.deepcopy(record)
    copied.model_dump()["a"].append(2)
    assert copied == record == copy.copy(record)
    source = {"a": [1]}
    copied = copy.deepcopy(Record(source))
    source["a"].append(2)
    assert copied == {"a": [1]}
    assert json.loads(record.model_dump_json()) == {"a": [1]}
