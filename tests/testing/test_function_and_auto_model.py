from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, Literal

import anyio
import attrs
import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import TypedDict

from agentrun._exceptions import UserError
from agentrun._function_tool import function_tool
from agentrun._settings import ModelSettings
from agentrun.agent_output import AgentOutputSchema
from agentrun.models.interface import Model, ModelTracing
from agentrun.testing import (
    AutoModel,
    FunctionModel,
    ModelCall,
    ScriptedModel,
    assistant_message,
    schema_value,
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


@attrs.frozen
class FakeTool:
    name: str
    params_json_schema: dict[str, Any]


@attrs.frozen
class HostedTool:
    name: str = "web_search"


class Schema:
    def __init__(self, schema: dict[str, Any] | None) -> None:
        self._schema = schema

    def is_plain_text(self) -> bool:
        return self._schema is None

    def json_schema(self) -> dict[str, Any]:
        assert self._schema is not None
        return self._schema


STRICT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "minLength": 3},
        "days": {"type": "integer", "minimum": 1, "maximum": 7},
        "unit": {"enum": ["c", "f"]},
        "where": {"anyOf": [{"$ref": "#/$defs/Place"}, {"type": "null"}]},
        "tags": {"type": "array", "items": {"type": "string"}, "minItems": 1, "uniqueItems": True},
    },
    "required": ["city", "days", "unit", "where", "tags"],
    "additionalProperties": False,
    "$defs": {
        "Place": {
            "type": "object",
            "properties": {"lat": {"type": "number", "exclusiveMinimum": -90, "maximum": 90}},
            "required": ["lat"],
            "additionalProperties": False,
        }
    },
}


# FunctionModel


async def test_a_function_of_the_call_answers_whole_and_streamed() -> None:
    model = FunctionModel(lambda call: f"{call.input} {call.streamed}")
    assert (await whole(model)).output[0].content[0].text == "hi False"
    assert (await events(model))[-1].response.output[0].content[0].text == "hi True"
    assert (await whole(model)).response_id == "resp-789"
    assert "lambda" in repr(model)


async def test_an_async_function_may_wait_and_see_the_call_itself() -> None:
    seen: list[ModelCall] = []

    async def answer(call: ModelCall) -> Any:
        seen.append(call)
        await anyio.sleep(3)
        return [assistant_message("later")]

    items: list[Any] = [{"role": "user", "content": "x"}]
    response = await whole(FunctionModel(answer), items)
    assert response.output[0].content[0].text == "later"
    assert anyio.current_time() == 3
    assert seen[0].input is items


async def test_an_async_generator_function_yields_the_stream_and_is_closed() -> None:
    scripted = await events(ScriptedModel(["one two"]))
    closed: list[bool] = []

    async def stream(call: ModelCall) -> AsyncIterator[Any]:
        try:
            for event in scripted:
                await anyio.sleep(1)
                yield event
        finally:
            closed.append(True)

    model = FunctionModel(stream)
    assert await events(model) == scripted
    assert (await whole(model)).output == scripted[-1].response.output
    with anyio.move_on_after(2.5):
        await events(model)
    assert closed == [True, True, True]
    assert model.open_streams == 0


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(TypeError, match="needs a function"):
        FunctionModel("text")  # type: ignore[arg-type]


# AutoModel


async def test_it_calls_every_function_tool_once_and_then_answers() -> None:
    tools: list[Any] = [FakeTool("a", STRICT), HostedTool(), FakeTool("b", {"type": "object", "properties": {}})]
    model = AutoModel(seed=3, text="done")
    conversation: list[Any] = [{"role": "user", "content": "go"}]
    first = await whole(model, conversation, tools=tools)
    assert [item.name for item in first.output] == ["a", "b"]
    jsonschema.validate(json.loads(first.output[0].arguments), STRICT)
    again = await whole(AutoModel(seed=3), conversation, tools=tools)
    assert [item.arguments for item in again.output] == [item.arguments for item in first.output]
    for item in first.output:
        conversation.append({"type": "function_call", "call_id": item.call_id, "name": item.name, "arguments": "{}"})
        conversation.append({"type": "function_call_output", "call_id": item.call_id, "output": "ok"})
    answer = await whole(model, conversation, tools=tools)
    assert answer.output[0].content[0].text == "done"
    conversation.append({"role": "user", "content": "once more"})
    second = await whole(model, conversation, tools=tools)
    assert [item.name for item in second.output] == ["a", "b"]
    assert {item.call_id for item in second.output}.isdisjoint({item.call_id for item in first.output})


async def test_it_can_call_one_tool_at_a_time_or_some_or_none() -> None:
    tools: list[Any] = [FakeTool("a", {}), FakeTool("b", {})]
    assert [item.name for item in (await whole(AutoModel(parallel=False), tools=tools)).output] == ["a"]
    assert [item.name for item in (await whole(AutoModel(call_tools=["b"]), tools=tools)).output] == ["b"]
    settings = ModelSettings(tool_choice="none")
    assert (await whole(AutoModel(), tools=tools, model_settings=settings)).output[0].type == "message"


async def test_it_shows_its_seed() -> None:
    assert repr(AutoModel(seed=4)) == "<AutoModel seed=4>"


async def test_its_answer_fits_the_output_schema() -> None:
    answer = await whole(AutoModel(), output_schema=Schema(STRICT))
    jsonschema.validate(json.loads(answer.output[0].content[0].text), STRICT)
    plain = await whole(AutoModel(text="x"), output_schema=Schema(None))
    assert plain.output[0].content[0].text == "x"


class Forecast(TypedDict):
    city: str
    degrees: list[int]


@function_tool
def weather(city: str, days: int = 1, unit: Literal["c", "f"] | None = None) -> str:
    """Tell the weather."""
    return f"{city} {days} {unit}"


async def test_it_works_with_real_tools_and_output_types() -> None:
    asked = await whole(AutoModel(), tools=[weather], output_schema=AgentOutputSchema(Forecast))
    jsonschema.validate(json.loads(asked.output[0].arguments), weather.params_json_schema)
    schema = AgentOutputSchema(Forecast)
    answer: Any = schema.validate_json((await whole(AutoModel(), output_schema=schema)).output[0].content[0].text)
    assert set(answer) == {"city", "degrees"}


# Values from schemas


SCHEMAS: list[dict[str, Any]] = [
    STRICT,
    {},
    {"type": "object"},
    {"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 2},
    {"type": "array"},
    {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "boolean"}], "items": False},
    {"type": "array", "items": {"enum": [1, 2, 3]}, "uniqueItems": True, "minItems": 3, "maxItems": 3},
    {"type": ["string", "null"], "maxLength": 2},
    {"type": "integer", "multipleOf": 5, "minimum": 3, "maximum": 12},
    {"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 5},
    {"type": "integer", "maximum": -10},
    {"type": "number", "minimum": 0.1, "maximum": 0.2},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.01},
    {"type": "string", "pattern": "^[A-Z]{3}$"},
    {"type": "string", "pattern": "^x-", "examples": ["x-1"]},
    {"const": None},
    {"type": "array", "items": {"type": "integer"}, "uniqueItems": True, "maxItems": 2},
    {"type": "array", "items": {"const": 1}, "uniqueItems": True, "minItems": 1, "maxItems": 9},
    {"type": "object", "required": ["unknown"], "additionalProperties": {"type": "boolean"}},
    {"type": "string", "format": "date"},
    {"type": "string", "minLength": 30, "maxLength": 31},
    {"items": {"type": "integer"}, "minItems": 1},
    {"maxLength": 4},
    {
        "allOf": [
            {"properties": {"a": {"type": "integer"}}, "required": ["a"]},
            {"properties": {"b": {"type": "null"}}, "required": ["b", "a"]},
        ]
    },
    {"allOf": [{"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}, {"required": ["a"]}]},
    {"oneOf": [{"type": "string"}, {"type": "integer"}]},
    {"properties": {"a": {"minimum": 4}}, "required": ["a"]},
    {
        "$ref": "#/$defs/Tree",
        "$defs": {
            "Tree": {
                "type": "object",
                "properties": {
                    "left": {"anyOf": [{"$ref": "#/$defs/Tree"}, {"type": "null"}]},
                    "more": {"type": "array", "items": {"$ref": "#/$defs/Tree"}},
                },
                "required": ["left", "more"],
                "additionalProperties": False,
            }
        },
    },
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: json.dumps(schema)[:60])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_values_are_valid_and_the_seed_decides_them(schema: dict[str, Any], seed: int) -> None:
    value = schema_value(schema, seed=seed)
    jsonschema.validate(value, schema, jsonschema.Draft202012Validator)
    assert schema_value(schema, seed=seed) == value


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "string", "pattern": "^zz9 plural"}, "pattern"),
        ({"$ref": "#/$defs/None"}, "does not define"),
        ({"$ref": "http://elsewhere/"}, "within the schema"),
        ({"$ref": "#"}, "back to themselves"),
        ({"type": "thing"}, "'thing'"),
        ({"type": "integer", "minimum": 3, "maximum": 2}, "no number"),
        ({"type": "array", "items": {"const": 1}, "minItems": 2, "uniqueItems": True}, "different items"),
        ({"type": "object", "minProperties": 1, "additionalProperties": False}, "minProperties"),
        ({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}, "no finite value"),
        ({"type": "array", "items": "x", "minItems": 1}, "no value fits"),
    ],
)
def test_schemas_without_a_value_say_so(schema: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        schema_value(schema)
