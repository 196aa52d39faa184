"""Responses values have the methods that programs know from pydantic models, and are made with the same keywords."""

from __future__ import annotations

import inspect
import json
from typing import Any

import pydantic
import pytest

from agentrun import Usage
from agentrun._codec import structure_event, structure_item, unstructure
from agentrun._wire_value import Record, WireError
from agentrun.items import (
    InputTokensDetails,
    Response,
    ResponseFunctionToolCall,
    ResponseFunctionWebSearch,
    ResponseOutputMessage,
    ResponseOutputText,
    ResponseReasoningItem,
    ResponseTextDeltaEvent,
    ResponseUsage,
    Summary,
)

CALL: dict[str, Any] = {"type": "function_call", "call_id": "c", "name": "n", "arguments": "{}"}


def test_dicts_given_for_fields_of_known_classes_are_read() -> None:
    part: Any = {"type": "output_text", "text": "x", "annotations": []}
    usage: Any = {"input_tokens": 1, "input_tokens_details": {"cached_tokens": 1}}
    message: Any = ResponseOutputMessage(id="1", content=[part]).model_dump()
    reply = Response(output=[message], usage=usage)
    assert isinstance(reply.output[0], ResponseOutputMessage)
    assert reply.output_text == "x"
    assert reply.usage == ResponseUsage(input_tokens=1, input_tokens_details=InputTokensDetails(cached_tokens=1))


def test_a_list_may_hold_values_and_dicts_side_by_side() -> None:
    message = ResponseOutputMessage(id="1", content=[])
    for given in ([message, CALL], [CALL, message]):
        reply = Response(output=given)  # type: ignore[list-item]
        assert {type(item) for item in reply.output} == {ResponseOutputMessage, ResponseFunctionToolCall}
    with pytest.raises(WireError, match=r"\$\.output"):
        Response(output=[message, {"type": 3}])  # type: ignore[list-item]


def test_a_dict_for_a_field_of_no_known_class_reads_by_attribute() -> None:
    action: Any = {"type": "search", "queries": ["a"]}
    assert ResponseFunctionWebSearch(action=action).action == Record(action)


def test_a_part_that_cannot_be_read_is_refused_with_its_place() -> None:
    part: Any = {"type": "output_text"}
    with pytest.raises(WireError, match=r"required by ResponseOutputText, but missing @ \$\.content\[0\]\.text"):
        ResponseOutputMessage(content=[part])


def test_a_required_field_and_an_unknown_one_are_named() -> None:
    make: Any = ResponseFunctionToolCall
    with pytest.raises(TypeError, match="ResponseFunctionToolCall needs 'arguments'"):
        make(call_id="c", name="n")
    with pytest.raises(TypeError, match="ResponseFunctionToolCall has no field 'nmae'"):
        make(**CALL, nmae="m")


def test_the_signature_lists_the_fields() -> None:
    parameters = inspect.signature(ResponseOutputText).parameters
    assert list(parameters) == ["extra", "text", "type", "annotations", "logprobs"]
    assert parameters["text"].default is inspect.Parameter.empty
    assert parameters["annotations"].default == []


def test_every_value_has_lists_of_its_own() -> None:
    one, other = ResponseReasoningItem(), ResponseReasoningItem()
    one.summary.append(Summary(text="x"))
    assert other.summary == []
    read = structure_item({"type": "reasoning", "id": "r"}), structure_item({"type": "reasoning", "id": "r"})
    assert isinstance(read[0], ResponseReasoningItem)
    read[0].summary.append(Summary(text="x"))
    assert read[1] == ResponseReasoningItem(id="r")


def test_a_dump_takes_and_leaves_members_by_name() -> None:
    call = ResponseFunctionToolCall(**CALL)
    assert call.model_dump(include={"name", "call_id"}) == {"name": "n", "call_id": "c"}
    assert "arguments" not in call.model_dump(exclude={"arguments"})
    assert call.model_dump(mode="json", by_alias=True, exclude_unset=True) == CALL
    nested: Any = {"content": {0}}
    with pytest.raises(TypeError, match="sets of names"):
        call.model_dump(exclude=nested)


def test_json_text_is_dense_or_indented() -> None:
    call = ResponseFunctionToolCall(**CALL)
    assert call.model_dump_json(exclude_unset=True).startswith('{"arguments":"{}","call_id":"c"')
    assert json.loads(call.to_json()) == call.to_dict() == CALL
    assert call.to_json().startswith('{\n  "arguments"')
    assert call.to_dict(exclude_unset=False)["status"] is None


def test_a_copy_takes_changes_and_shares_nothing_that_was_changed() -> None:
    item = structure_item({**CALL, "trace": {"id": 1}})
    assert isinstance(item, ResponseFunctionToolCall)
    copied: Any = item.model_copy(update={"name": "m", "note": "new"})
    assert (copied.name, copied.note, item.name) == ("m", "new", "n")
    assert item.extra == {"trace": {"id": 1}}
    deep = item.model_copy(deep=True)
    assert deep == item
    assert deep.extra is not None
    assert item.extra is not None
    assert deep.extra["trace"] is not item.extra["trace"]


def test_validation_reads_dicts_text_and_foreign_objects() -> None:
    class Foreign:
        def model_dump(self, **options: Any) -> dict[str, Any]:
            return {**CALL, "options": sorted(options)}

    call = ResponseFunctionToolCall.model_validate(CALL)
    assert call == ResponseFunctionToolCall(**CALL)
    assert ResponseFunctionToolCall.model_validate(call) is call
    assert ResponseFunctionToolCall.model_validate_json(json.dumps(CALL)) == call
    assert ResponseFunctionToolCall.model_validate(Foreign()).model_extra == {"options": ["exclude_unset"]}


@pytest.mark.parametrize("wrong", [{}, {**CALL, "name": 3}, {**CALL, "type": "message"}, [CALL], None, "text"])
def test_validation_refuses_with_a_value_error(wrong: Any) -> None:
    with pytest.raises(ValueError, match="@"):
        ResponseFunctionToolCall.model_validate(wrong)


def test_construction_checks_nothing() -> None:
    call: Any = ResponseFunctionToolCall.construct(name="n", unknown={"a": 1})
    assert (call.name, call.call_id, call.status, call.unknown.a) == ("n", None, None, 1)
    parts: Any = [{"type": "output_text", "text": "x"}, {"type": "output_text"}]
    assert ResponseOutputMessage.model_construct(content=parts[:1]).content == [ResponseOutputText(text="x")]
    assert ResponseOutputMessage.model_construct(content=parts).content == parts
    by_wire_name: dict[str, Any] = {**CALL, "async": True}
    assert ResponseFunctionToolCall.construct(**by_wire_name).async_ is True


def test_the_fields_set_are_those_that_were_written() -> None:
    event = structure_event({"type": "response.output_text.delta", "delta": "x", "extra_one": 1})
    assert isinstance(event, ResponseTextDeltaEvent)
    assert event.model_fields_set == {"type", "delta", "extra_one"}
    assert "status" not in ResponseFunctionToolCall(**CALL).model_fields_set


def test_records_dump_like_the_others() -> None:
    record = Record({"type": "a", "none": None})
    assert record.to_dict() == record.model_dump() == unstructure(record)
    assert record.model_dump(exclude_none=True) == {"type": "a"}
    assert record.model_dump(exclude={"type"}) == {"none": None}
    assert json.loads(record.to_json()) == record.to_dict()


class Bill(pydantic.BaseModel):
    """A type of a program that keeps values of a run."""

    call: ResponseFunctionToolCall
    usage: Usage


def test_pydantic_models_may_have_values_as_fields() -> None:
    bill = Bill(call=ResponseFunctionToolCall(call_id="c", name="n", arguments="{}"), usage=Usage(requests=1))
    assert Bill.model_validate_json(bill.model_dump_json()) == bill
    assert Bill.model_validate(bill.model_dump()) == bill
    assert Bill.model_json_schema()["properties"]["call"]["type"] == "object"
    with pytest.raises(pydantic.ValidationError, match=r"required by ResponseFunctionToolCall.* \$\.arguments"):
        Bill.model_validate({"call": {"name": "n"}, "usage": {}})
