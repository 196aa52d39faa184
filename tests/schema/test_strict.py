"""Strict schemas require every key and allow no other, and what cannot be strict is refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from agentrun._exceptions import UserError
from agentrun.strict_schema import ensure_strict_json_schema

POINT = {"type": "object", "properties": {"x": {"type": "integer"}}}
STRICT_POINT = {**POINT, "required": ["x"], "additionalProperties": False}


def field(schema: Any, **root: Any) -> Any:
    """Return what becomes of a schema that is the only property of an object."""
    given = {"type": "object", "properties": {"a": schema}, **root}
    before = copy.deepcopy(given)
    strict = ensure_strict_json_schema(given)
    assert given == before, "the input was changed"
    assert strict["required"] == ["a"]
    assert strict["additionalProperties"] is False
    return strict["properties"]["a"]


@pytest.mark.parametrize(
    ("given", "strict"),
    [
        ({}, {}),
        (True, {}),
        ({"type": "string", "default": None}, {"type": "string"}),
        ({"type": "string", "default": "x"}, {"type": "string", "default": "x"}),
        (POINT, STRICT_POINT),
        ({"properties": {"x": {"type": "integer"}}}, STRICT_POINT),
        ({"type": "object"}, {"type": "object", "additionalProperties": False}),
        ({**POINT, "required": []}, STRICT_POINT),
        ({**POINT, "type": ["object", "null"]}, {**STRICT_POINT, "type": ["object", "null"]}),
        ({"type": "array", "items": POINT}, {"type": "array", "items": STRICT_POINT}),
        ({"type": "array", "prefixItems": [POINT]}, {"type": "array", "prefixItems": [STRICT_POINT]}),
        ({"anyOf": [POINT, {"type": "null"}]}, {"anyOf": [STRICT_POINT, {"type": "null"}]}),
        ({"oneOf": [POINT, {"type": "null"}]}, {"anyOf": [STRICT_POINT, {"type": "null"}]}),
        ({"oneOf": [{"type": "null"}], "anyOf": [POINT]}, {"anyOf": [STRICT_POINT, {"type": "null"}]}),
        ({"allOf": [POINT]}, STRICT_POINT),
        ({"allOf": [{"allOf": [POINT]}], "description": "d"}, {**STRICT_POINT, "description": "d"}),
        ({"allOf": [{"description": "in"}], "description": "out"}, {"description": "out"}),
        ({"allOf": [POINT, {"minProperties": 1}]}, {"allOf": [STRICT_POINT, {"minProperties": 1}]}),
        ({"not": POINT}, {"not": POINT}),
        ({"anyOf": [True, {"type": "null"}]}, {"anyOf": [True, {"type": "null"}]}),
    ],
)
def test_what_becomes_of_a_property(given: Any, strict: Any) -> None:
    assert field(given) == strict


def test_references_stay_and_their_targets_become_strict() -> None:
    for definitions in ("$defs", "definitions"):
        given = {"properties": {"a": {"$ref": f"#/{definitions}/P"}}, definitions: {"P": POINT}}
        strict = ensure_strict_json_schema(given)
        assert strict["properties"]["a"] == {"$ref": f"#/{definitions}/P"}
        assert strict[definitions]["P"] == STRICT_POINT


def test_a_reference_with_texts_beside_it_is_replaced_by_its_target_and_the_texts_win() -> None:
    target = {**POINT, "description": "point"}
    given = {"$ref": "#/$defs/P", "description": "here", "default": {"x": 1}}
    assert field(given, **{"$defs": {"P": target}}) == {**STRICT_POINT, "description": "here", "default": {"x": 1}}
    assert field({"$ref": "#/$defs/P", "default": None}, **{"$defs": {"P": target}}) == {"$ref": "#/$defs/P"}
    assert field({"allOf": [{"$ref": "#/$defs/P"}], "title": "t"}, **{"$defs": {"P": POINT}}) == {
        **STRICT_POINT,
        "title": "t",
    }
    assert field({"$ref": "#/$defs/a~1b%20c", "title": "t"}, **{"$defs": {"a/b c": {"type": "null"}}}) == {
        "type": "null",
        "title": "t",
    }
    assert field({"$ref": "#/$defs/L/0", "title": "t"}, **{"$defs": {"L": [{"type": "null"}]}})["type"] == "null"


def test_a_recursive_reference_with_texts_is_expanded_once() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/N", "description": "the next"}}}
    strict = field({"$ref": "#/$defs/N", "description": "first"}, **{"$defs": {"N": node}})
    assert strict["description"] == "first"
    assert strict["properties"]["next"] == {"$ref": "#/$defs/N"}
    assert field({"$ref": "#", "description": "self"}) == {"$ref": "#"}


def test_a_root_reference_is_expanded() -> None:
    strict = ensure_strict_json_schema({"$ref": "#/$defs/P", "$defs": {"P": POINT}})
    assert strict == {**STRICT_POINT, "$defs": {"P": STRICT_POINT}}


def test_an_empty_schema_is_an_object_without_keys() -> None:
    assert ensure_strict_json_schema({}) == {
        "type": "object",
        "properties": {},
        "required": [],
        "additionalProperties": False,
    }
    assert ensure_strict_json_schema({"type": ["object"]})["type"] == "object"


def test_a_strict_schema_stays_as_it_is() -> None:
    strict = ensure_strict_json_schema({"properties": {"a": {"oneOf": [POINT]}}})
    assert ensure_strict_json_schema(strict) == strict


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (
            {"type": "object", "additionalProperties": True},
            r"at \$ allows undeclared keys \(additionalProperties is True\)",
        ),
        ({"type": "object", "additionalProperties": {}}, "allows undeclared keys"),
        ({"additionalProperties": {"type": "string"}}, "allows undeclared keys"),
        ({"properties": {"a": {"type": "object", "additionalProperties": True}}}, r"at \$\.properties\.a allows"),
        ({"properties": {"a": False}}, r"\$\.properties\.a must be an object, got False"),
        (
            {"properties": {"a": {"$ref": "#/$defs/A", "minLength": 1}}, "$defs": {"A": {}}},
            "has 'minLength' beside '.ref'",
        ),
        ({"properties": {"a": {"$ref": "#/$defs/A", "title": "t"}}}, "has no target; add '.defs'"),
        (
            {"properties": {"a": {"$ref": "#/$defs/A", "title": "t"}}, "$defs": {"A": 1}},
            "must point to a schema object",
        ),
        ({"properties": {"a": {"$ref": "http://x", "title": "t"}}}, "points outside the schema"),
        ({"properties": {"a": {"$ref": 1, "title": "t"}}}, "must be a string, got 1"),
        ({"anyOf": [POINT]}, "the root of a strict JSON schema must be one object, got 'anyOf'"),
        ({"oneOf": [POINT]}, "the root of a strict JSON schema must be one object"),
        ({"type": ["object", "null"]}, r"must be an object and nothing else, got type \['object', 'null'\]"),
        (
            {"properties": {"a": {"$ref": "#/$defs/A", "allOf": [{}]}}, "$defs": {"A": {}}},
            "has 'allOf' beside '.ref'",
        ),
        (
            {"properties": {"a": {"type": "string", "allOf": [{"type": "null"}]}}},
            "'type' beside an 'allOf' with 'type'",
        ),
        ({**POINT, "allOf": [{"properties": {"y": {}}}]}, "'properties' beside an 'allOf' with 'properties'"),
        ({"additionalProperties": False, "allOf": [POINT]}, "'additionalProperties' beside an 'allOf' with 'prop"),
        ({"properties": {"a": {"const": [1], "allOf": [{"const": [True]}]}}}, "'const' beside an 'allOf' with 'const'"),
        ({"properties": {"a": {"items": {}, "minItems": 1, "allOf": [{"$id": "urn:a"}]}}}, "an '.id' of its own"),
    ],
)
def test_what_cannot_be_strict_is_a_user_error(given: Any, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        ensure_strict_json_schema(given)


def test_a_schema_that_is_no_dict_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="a JSON schema must be a dict, got 'text'"):
        ensure_strict_json_schema("text")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "strict"),
    [
        ({"type": "object", "allOf": [POINT]}, STRICT_POINT),
        ({"type": "object", "properties": {}, "allOf": [POINT]}, STRICT_POINT),
        ({**POINT, "allOf": [{"properties": {}, "minProperties": 1}]}, {**STRICT_POINT, "minProperties": 1}),
        ({"const": 1.0, "allOf": [{"const": 1}]}, {"const": 1}),
        ({"type": "object", "allOf": [{"$ref": "#/$defs/Q"}]}, STRICT_POINT),
        ({"type": "object", "allOf": [{"$ref": "#/$defs/Q", "title": "t"}]}, {**STRICT_POINT, "title": "t"}),
    ],
)
def test_an_all_of_of_one_is_merged_where_nothing_is_lost(given: Any, strict: Any) -> None:
    assert field(given, **{"$defs": {"P": POINT, "Q": {"$ref": "#/$defs/P"}}}) == strict


@pytest.mark.parametrize("around", ["$defs", "definitions"])
def test_a_root_made_of_definitions_leaves_them_as_definitions(around: str) -> None:
    outer = {"type": "object", "allOf": [{"$ref": f"#/{around}/P"}]}
    given = {"type": "object", "allOf": [{"$ref": f"#/{around}/Q"}], around: {"P": POINT, "Q": outer}}
    assert ensure_strict_json_schema(given) == {**STRICT_POINT, around: {"P": STRICT_POINT, "Q": STRICT_POINT}}


def test_a_schema_that_cannot_be_merged_with_itself_is_refused() -> None:
    node = {"type": "object", "properties": {"next": {"type": "object", "allOf": [{"$ref": "#/$defs/N"}]}}}
    with pytest.raises(UserError, match="circular"):
        ensure_strict_json_schema({"type": "object", "properties": {"a": {"$ref": "#/$defs/N"}}, "$defs": {"N": node}})


def test_definitions_of_openapi_documents_become_strict_too() -> None:
    given: Any = {"$ref": "#/components/schemas/P", "components": {"schemas": {"P": POINT}}}
    strict = ensure_strict_json_schema(given)
    assert strict == {**STRICT_POINT, "components": {"schemas": {"P": STRICT_POINT}}}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"properties": {"a": {"$ref": "elsewhere", "title": "t"}}}, "points outside the schema"),
        ({"properties": {"a": {"$ref": "#/$defs/%FF", "title": "t"}}}, "is not UTF-8"),
        (
            {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A", "title": "t"}}},
            "circul",
        ),
        ({"type": "object", "allOf": [{"$ref": "#/$defs/A"}], "$defs": {"A": {"$ref": "#/$defs/A"}}}, "is circular"),
        (
            {"properties": {"a": {"$id": "urn:a", "$ref": "#/$defs/A", "title": "t"}}, "$defs": {"A": {}}},
            "an '.id' of its own",
        ),
        ({"properties": {"a": {"$id": "urn:a", "items": {"$ref": "#/$defs/A"}}}, "$defs": {"A": {}}}, "an '.id' of"),
        (
            {
                "properties": {"a": {"$ref": "#/$defs/A/$defs/B", "title": "t"}},
                "$defs": {"A": {"$id": "urn:a", "$defs": {"B": {}}}},
            },
            "an '.id' of its own",
        ),
    ],
)
def test_a_reference_without_a_target_is_a_value_error_too(given: Any, reason: str) -> None:
    with pytest.raises(UserError, match=reason) as caught:
        ensure_strict_json_schema(given)
    assert isinstance(caught.value, ValueError)


def test_a_key_called_id_is_no_identifier() -> None:
    strict = ensure_strict_json_schema({"type": "object", "allOf": [{"$ref": "#/$defs/$id"}], "$defs": {"$id": POINT}})
    assert strict == {**STRICT_POINT, "$defs": {"$id": STRICT_POINT}}


def test_a_chain_of_references_may_not_be_longer_than_a_schema_is_deep() -> None:
    chain: Any = {f"L{index}": {"$ref": f"#/$defs/L{index + 1}"} for index in range(1000)}
    given = {"properties": {"a": {"$ref": "#/$defs/L0", "title": "t"}}, "$defs": {**chain, "L1000": {"type": "null"}}}
    with pytest.raises(UserError, match="deeper than 100 levels"):
        ensure_strict_json_schema(given)


def nested(levels: int) -> Any:
    schema: Any = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return schema


def test_a_schema_too_deep_or_too_large_is_refused_and_does_not_hang() -> None:
    assert ensure_strict_json_schema(nested(99))
    with pytest.raises(UserError, match="nested deeper than 100 levels"):
        ensure_strict_json_schema(nested(100))
    with pytest.raises(UserError, match="nested deeper than 100 levels"):
        ensure_strict_json_schema(nested(100_000))
    with pytest.raises(UserError, match="more than 100000 nodes"):
        ensure_strict_json_schema({"enum": [[] for _ in range(100_001)]})
    # Each definition names the next one ten times, with a text that makes every reference expand.
    fan: dict[str, Any] = {
        f"D{index}": {"anyOf": [{"$ref": f"#/$defs/D{index + 1}", "title": "t"}] * 10} for index in range(9)
    }
    fan["D9"] = {"type": "null"}
    with pytest.raises(UserError, match="expands to more than 100000 nodes"):
        ensure_strict_json_schema({"properties": {"a": {"$ref": "#/$defs/D0"}}, "$defs": fan})
    chain: dict[str, Any] = {
        f"D{index}": {"type": "array", "items": {"$ref": f"#/$defs/D{index + 1}", "title": "t"}} for index in range(200)
    }
    chain["D200"] = {"type": "null"}
    with pytest.raises(UserError, match="expands deeper than 100 levels"):
        ensure_strict_json_schema({"properties": {"a": {"$ref": "#/$defs/D0"}}, "$defs": chain})
