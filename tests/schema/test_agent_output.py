"""The model's final text becomes a value of the output type, or a ModelBehaviorError that says why not."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, TypedDict

import attrs
import pydantic
import pytest

from agentrun._exceptions import ModelBehaviorError, UserError
from agentrun.agent_output import AgentOutputSchema, AgentOutputSchemaBase


class Model(pydantic.BaseModel):
    a: int
    b: str = "x"


class Typed(TypedDict):
    a: int


@dataclasses.dataclass
class Data:
    a: int
    b: str = "x"


@attrs.frozen
class Attrs:
    a: int


DIRECT_AND_WRAPPED: list[tuple[Any, str, str, Any]] = [
    (int, "int", '{"response": 1}', 1),
    (float, "float", '{"response": 1}', 1.0),
    (list[int], "list[int]", '{"response": [1]}', [1]),
    (int | None, "Union[int, NoneType]", '{"response": null}', None),
    (Literal["a"], "Literal['a']", '{"response": "a"}', "a"),
    (Data, "Data", '{"response": {"a": 1, "b": "y"}}', Data(1, "y")),
    (Attrs, "Attrs", '{"response": {"a": 1, "z": 2}}', Attrs(1)),
    (Any, "Any", '{"response": [1, {}]}', [1, {}]),
    (Model, "Model", '{"a": 1, "z": 2}', Model(a=1)),
    (Typed, "Typed", '{"a": 1, "z": 2}', {"a": 1}),
]


@pytest.mark.parametrize(("tp", "name", "text", "value"), DIRECT_AND_WRAPPED, ids=str)
def test_objects_are_written_directly_and_everything_else_is_wrapped(tp: Any, name: str, text: str, value: Any) -> None:
    schema = AgentOutputSchema(tp)
    assert isinstance(schema, AgentOutputSchemaBase)
    assert (schema.name(), schema.is_plain_text(), schema.is_strict_json_schema()) == (name, False, True)
    assert schema.output_type == tp
    found = schema.validate_json(text)
    assert found == value
    assert type(found) is type(value)


def test_the_schema_of_a_wrapped_and_of_a_direct_type() -> None:
    wrapped = AgentOutputSchema(list[int]).json_schema()
    assert wrapped == {
        "title": "OutputType",
        "type": "object",
        "properties": {"response": {"title": "Response", "type": "array", "items": {"type": "integer"}}},
        "required": ["response"],
        "additionalProperties": False,
    }
    direct = AgentOutputSchema(Model).json_schema()
    assert (direct["title"], direct["required"], direct["additionalProperties"]) == ("Model", ["a", "b"], False)


@pytest.mark.parametrize("tp", [None, str])
def test_plain_text_has_no_schema(tp: Any) -> None:
    schema = AgentOutputSchema(tp)
    assert schema.is_plain_text()
    assert schema.validate_json("any text") == "any text"
    with pytest.raises(UserError, match="is plain text, which has no JSON schema"):
        schema.json_schema()


@pytest.mark.parametrize(
    ("tp", "text", "fault"),
    [
        (int, '{"response": "1"}', '$.response: expected integer, got string "1"'),
        (int, '{"answer": 1}', "$.response: missing, expected integer"),
        (int, "1", "expected a JSON object, got integer 1"),
        (int, '{"response": ', "invalid JSON: expecting value"),
        (list[int], '{"response": [1, 1.5]}', "$.response[1]: expected integer, got number 1.5"),
        (Data, '{"response": {}}', "$.response.a: missing, expected integer"),
        (Model, '{"a": "1"}', '$.a: input should be a valid integer, got string "1"'),
        (Typed, "{}", "$.a: missing, expected integer"),
        (Any, '{"response": ' + "[" * 100_000, "nested deeper than 100 levels"),
    ],
)
def test_what_does_not_fit_is_the_models_fault(tp: Any, text: str, fault: str) -> None:
    schema = AgentOutputSchema(tp)
    with pytest.raises(ModelBehaviorError) as caught:
        schema.validate_json(text)
    assert fault in caught.value.message
    assert caught.value.message.startswith(f"invalid JSON for the output type {schema.name()}, got ")
    assert len(caught.value.message) < 500
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize("tp", [dict, dict[str, int], list[dict[str, Any]]])
def test_open_objects_need_a_schema_that_is_not_strict(tp: Any) -> None:
    with pytest.raises(
        UserError, match=r"has no strict JSON schema.*AgentOutputSchema\(.*, strict_json_schema=False\)"
    ):
        AgentOutputSchema(tp)
    schema = AgentOutputSchema(tp, strict_json_schema=False)
    assert not schema.is_strict_json_schema()
    assert repr(schema).endswith("strict_json_schema=False)")


def test_a_dict_is_written_directly() -> None:
    assert AgentOutputSchema(dict[str, int], strict_json_schema=False).validate_json('{"a": 1}') == {"a": 1}


@pytest.mark.parametrize(
    ("tp", "reason"),
    [
        (complex, r"the output type complex has no JSON schema; use .* pydantic models, or pass your own"),
        (list[bytes], r"the output type list\[bytes\] \(its part at '\[\]': bytes\) has no JSON schema"),
        ("str", "the output type 'str' has no JSON schema"),
    ],
)
def test_a_type_without_a_schema_is_a_user_error(tp: Any, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        AgentOutputSchema(tp)
