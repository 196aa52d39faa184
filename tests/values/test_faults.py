"""What a run cannot use is refused when it is read, with the place of the fault."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agentrun._codec import structure_event, structure_item, structure_response
from agentrun._wire_value import WireError

PART: dict[str, Any] = {"type": "output_text", "text": "x", "annotations": []}
CALL = {"type": "function_call", "call_id": "c", "name": "n", "arguments": "{}"}


def check_fault(structure: Callable[[Any], object], data: Any, path: str) -> None:
    with pytest.raises(WireError) as caught:
        structure(data)
    assert caught.value.path == path
    assert str(caught.value).endswith(f" @ {path}")
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("structure", [structure_item, structure_event])
@pytest.mark.parametrize("data", [None, [], "text", 3, True])
def test_what_is_no_object_is_refused(structure: Callable[[Any], object], data: Any) -> None:
    check_fault(structure, data, "$")
    check_fault(structure_response, data, "$")


@pytest.mark.parametrize("structure", [structure_item, structure_event])
@pytest.mark.parametrize("data", [{}, {"type": None}, {"type": 3}, {"type": []}, {"type": {}}, {"id": "m"}])
def test_an_object_without_a_usable_type_is_refused(structure: Callable[[Any], object], data: Any) -> None:
    check_fault(structure, data, "$.type")


@pytest.mark.parametrize(
    ("data", "path"),
    [
        ({"type": "message"}, "$.content"),
        ({"type": "message", "content": None}, "$.content"),
        ({"type": "message", "content": "hi"}, "$.content"),
        ({"type": "message", "content": {}}, "$.content"),
        ({"type": "message", "content": [None]}, "$.content[0]"),
        ({"type": "message", "content": ["hi"]}, "$.content[0]"),
        ({"type": "message", "content": [PART, {}]}, "$.content[1].type"),
        ({"type": "message", "content": [PART, {"type": "output_text"}]}, "$.content[1].text"),
        ({"type": "message", "content": [{**PART, "text": None}]}, "$.content[0].text"),
        ({"type": "message", "content": [{**PART, "text": ["x"]}]}, "$.content[0].text"),
        ({"type": "message", "content": [{"type": "refusal", "refusal": None}]}, "$.content[0].refusal"),
        ({"type": "message", "content": [], "id": None}, "$.id"),
        ({"type": "message", "content": [], "id": 7}, "$.id"),
        ({**CALL, "name": None}, "$.name"),
        ({**CALL, "name": 3}, "$.name"),
        ({**CALL, "arguments": None}, "$.arguments"),
        ({**CALL, "arguments": {}}, "$.arguments"),
        ({**CALL, "call_id": None}, "$.call_id"),
        ({**CALL, "id": 3}, "$.id"),
        ({"type": "function_call", "name": "n", "arguments": "{}"}, "$.call_id"),
        ({"type": "reasoning", "summary": "because"}, "$.summary"),
        ({"type": "reasoning", "summary": [{"type": "summary_text", "text": 1}]}, "$.summary[0].text"),
        ({"type": "reasoning", "content": {}}, "$.content"),
        ({"type": "custom_tool_call", "call_id": "c", "name": "n", "input": None}, "$.input"),
        ({"type": "computer_call"}, "$.call_id"),
    ],
)
def test_an_item_that_a_run_cannot_use_is_refused(data: dict[str, Any], path: str) -> None:
    check_fault(structure_item, data, path)
    check_fault(structure_event, {"type": "response.output_item.done", "item": data}, f"$.item{path[1:]}")
    reply = {"id": "r", "output": [CALL, data]}
    check_fault(structure_response, reply, f"$.output[1]{path[1:]}")
    completed = {"type": "response.completed", "response": reply}
    check_fault(structure_event, completed, f"$.response.output[1]{path[1:]}")


@pytest.mark.parametrize(
    ("data", "path"),
    [
        ({}, "$.output"),
        ({"id": "r", "status": "completed"}, "$.output"),
        ({"output": None}, "$.output"),
        ({"output": {}}, "$.output"),
        ({"output": None, "status": "failed"}, "$.output"),
        ({"output": [None]}, "$.output[0]"),
        ({"output": [], "id": None}, "$.id"),
        ({"output": [], "usage": []}, "$.usage"),
        ({"output": [], "usage": {"input_tokens_details": 3}}, "$.usage.input_tokens_details"),
        ({"output": [], "error": "broken"}, "$.error"),
    ],
)
def test_a_reply_that_a_run_cannot_use_is_refused(data: dict[str, Any], path: str) -> None:
    check_fault(structure_response, data, path)
    check_fault(structure_event, {"type": "response.created", "response": data}, f"$.response{path[1:]}")


@pytest.mark.parametrize(
    ("data", "path"),
    [
        ({"type": "response.completed"}, "$.response"),
        ({"type": "response.completed", "response": None}, "$.response"),
        ({"type": "response.output_item.done"}, "$.item"),
        ({"type": "response.output_item.done", "item": None}, "$.item"),
        ({"type": "response.output_text.delta"}, "$.delta"),
        ({"type": "response.output_text.delta", "delta": None}, "$.delta"),
        ({"type": "response.function_call_arguments.delta", "delta": {}}, "$.delta"),
        ({"type": "response.function_call_arguments.done", "arguments": None}, "$.arguments"),
        ({"type": "response.content_part.added", "part": {"text": "x"}}, "$.part.type"),
    ],
)
def test_an_event_that_a_run_cannot_use_is_refused(data: dict[str, Any], path: str) -> None:
    check_fault(structure_event, data, path)
    index: dict[str, Any] = {
        "item_id": "m",
        "output_index": 0,
        "content_index": 0,
        "logprobs": [],
        "sequence_number": 1,
    }
    check_fault(structure_event, {**index, **data}, path)


def test_the_message_says_what_was_expected_and_given() -> None:
    with pytest.raises(WireError, match=r"^expected a string, got 3 @ \$\.name$"):
        structure_item({**CALL, "name": 3})


def test_a_long_wrong_value_is_shortened_in_the_message() -> None:
    with pytest.raises(WireError) as caught:
        structure_item({"type": "message", "content": "x" * 100_000})
    assert len(str(caught.value)) < 200
