"""Schema and structuring do not drift: what the schema accepts structures, and what it refuses does not.

The judge is jsonschema, with one word made stricter: 1.0 is no integer.
"""

# Basic, because values here are JSON of any shape, and jsonschema has no types of its own.
# pyright: basic
from __future__ import annotations

import collections.abc
import dataclasses
import datetime
import decimal
import enum
import json
import typing
import uuid
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, NotRequired, Required, TypedDict, TypeVar

import attrs
import jsonschema
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema.validators import extend
from typing_extensions import TypeAliasType

from agentrun._schema import Meta, StructureError, compile_type, parse_json, type_name

T = TypeVar("T")
UserId = NewType("UserId", int)
Tree = TypeAliasType("Tree", "int | list[Tree]")
Pair = TypeAliasType("Pair", tuple[T, T], type_params=(T,))


class Color(enum.Enum):
    RED = "red"
    GREEN = "green"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Address(TypedDict):
    street: str
    zip: Annotated[str, Meta(pattern="^[0-9]{5}$")]
    note: NotRequired[str | None]


class Sparse(TypedDict, total=False):
    key: Required[int]
    extra: bool


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0


@attrs.frozen
class Node:
    value: int
    next: Node | None = None
    children: list[Node] = attrs.field(factory=list["Node"])


@dataclasses.dataclass
class Box(Generic[T]):
    content: T
    tags: list[str] = dataclasses.field(default_factory=list[str])


class IntBox(Box[int]):
    pass


class Size(NamedTuple):
    width: int
    height: int = 1


class Circle(TypedDict):
    kind: Literal["circle"]
    radius: float


class Square(TypedDict):
    kind: Literal["square"]
    side: float


class Model(pydantic.BaseModel):
    name: str = pydantic.Field(min_length=1)
    count: int = pydantic.Field(default=1, ge=1)
    inner: Model | None = None


TYPES: list[Any] = [
    str,
    int,
    float,
    bool,
    None,
    Any,
    Literal["a"],
    Literal["a", 1, True] | None,
    Literal["a", 1, True, None],  # noqa: PYI061 - another form than the one above
    Color,
    Level,
    int | str,
    float | int | None,
    list[int],
    list,
    collections.abc.Sequence[str | None],
    set[int],
    frozenset[str],
    tuple[int, str],
    tuple[float, ...],
    tuple[()],
    dict[str, int],
    dict[int, str],
    dict[Literal["a", "b"], int],
    dict,
    collections.abc.Mapping[str, list[bool]],
    Address,
    Sparse,
    Point,
    Node,
    Box[int],
    Box[Box[str]],
    Box[list[Color]],
    IntBox,
    Size,
    UserId,
    Tree,
    Pair[int],
    Circle | Square,
    list[Circle | Square | None],
    Model,
    list[Model],
    Model | int,
    Annotated[int, "a text"],
    Annotated[int, Meta(ge=0, lt=10)],
    Annotated[int, pydantic.Field(gt=0, multiple_of=3, description="x")],
    Annotated[int | None, Meta(ge=2)],
    Annotated[str, Meta(min_length=2, max_length=4)],
    Annotated[str, Meta(pattern="b+")],
    Annotated[list[int], Meta(min_length=1, max_length=2)],
    Annotated[dict[str, int], Meta(max_length=1)],
    Annotated[Point, Meta(min_length=2)],
    Annotated[Pair[int], "two"],
    decimal.Decimal,
]

_IS: Any = jsonschema.Draft202012Validator.TYPE_CHECKER
Judge: Any = extend(
    jsonschema.Draft202012Validator,
    type_checker=_IS.redefine("integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)),
)

INTEGERS = st.integers(-20, 20)
SCALAR: dict[str, st.SearchStrategy[Any]] = {
    "null": st.none(),
    "boolean": st.booleans(),
    "integer": INTEGERS,
    "number": st.sampled_from([0.0, 1.0, 1.5, -2.0]) | INTEGERS,
    "string": st.sampled_from(
        ["", "a", "b", "bb", "red", "green", "1", "-7", "12345", "circle", "square", "1.5", "x" * 5]
    ),
}
SCALARS = st.one_of(*SCALAR.values())
KEYS = st.sampled_from(
    [
        "a",
        "b",
        "1",
        "x",
        "y",
        "street",
        "zip",
        "note",
        "key",
        "extra",
        "kind",
        "radius",
        "side",
        "value",
        "next",
        "name",
    ]
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=5,
)


def near(schema: Any, root: Any, depth: int = 0) -> st.SearchStrategy[Any]:
    """Return values that fit a schema or nearly do."""
    if depth > 4:
        return SCALARS
    if "$ref" in schema:
        return near(root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root, depth + 1)
    if "anyOf" in schema:
        return st.one_of([near(member, root, depth) for member in schema["anyOf"]])
    if "const" in schema or "enum" in schema:
        return st.sampled_from([schema["const"]] if "const" in schema else schema["enum"])
    kind = schema.get("type")
    if kind == "array":
        if "prefixItems" in schema:
            return st.tuples(*(near(member, root, depth + 1) for member in schema["prefixItems"])).map(list)
        return st.lists(near(schema.get("items", {}), root, depth + 1), max_size=3)
    if kind == "object":
        return near_object(schema, root, depth)
    return SCALAR.get(kind, ANYTHING)


def near_object(schema: Any, root: Any, depth: int) -> st.SearchStrategy[Any]:
    members = {key: near(member, root, depth + 1) for key, member in schema.get("properties", {}).items()}
    required = {key: members[key] for key in schema.get("required", []) if key in members}
    optional = {key: member for key, member in members.items() if key not in required}
    if schema.get("additionalProperties", True) is False:
        return st.fixed_dictionaries(required, optional=optional)
    others = schema.get("additionalProperties")
    return st.dictionaries(KEYS, near(others if isinstance(others, dict) else {}, root, depth + 1), max_size=3)


def damaged(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return values with one part replaced, removed or added."""

    @st.composite
    def damage(draw: st.DrawFn) -> Any:
        value = draw(strategy)
        part: Any = value
        while isinstance(part, (dict, list)) and part and draw(st.booleans()):
            child = part[draw(st.sampled_from(sorted(part)))] if isinstance(part, dict) else draw(st.sampled_from(part))
            if not isinstance(child, (dict, list)):
                break
            part = child
        if isinstance(part, dict):
            part[draw(KEYS)] = draw(SCALARS)
            if draw(st.booleans()):
                part.pop(draw(st.sampled_from(sorted(part))))
        elif isinstance(part, list):
            part.append(draw(SCALARS))
        else:
            return draw(ANYTHING)
        return value

    return damage()


@pytest.mark.parametrize("tp", TYPES, ids=type_name)
def test_what_the_schema_accepts_structures_and_what_it_refuses_does_not(tp: Any) -> None:
    compiled = compile_type(tp, strict=False)
    Judge.check_schema(compiled.schema)
    judge = Judge(compiled.schema)
    fitting = near(compiled.schema, compiled.schema)

    @settings(max_examples=30)
    @given(st.one_of(fitting, damaged(fitting), ANYTHING))
    def law(value: Any) -> None:
        before = json.dumps(value)
        valid = judge.is_valid(value)
        faults: list[str] = []
        try:
            compiled.structure(value)
        except StructureError as exc:
            faults = exc.faults
        assert valid is not bool(faults), f"structuring {before} found {faults}"
        assert json.dumps(value) == before, "the value was changed"

    law()


STRICT_TYPES = [tp for tp in TYPES if "dict" not in type_name(tp) and "Mapping" not in type_name(tp)]


@pytest.mark.parametrize("tp", STRICT_TYPES, ids=type_name)
def test_what_the_strict_schema_accepts_structures(tp: Any) -> None:
    compiled = compile_type(tp)
    Judge.check_schema(compiled.schema)
    judge = Judge(compiled.schema)
    assert_strict(compiled.schema)

    @settings(max_examples=20)
    @given(near(compiled.schema, compiled.schema))
    def law(value: Any) -> None:
        if judge.is_valid(value):
            compiled.structure(value)

    law()


def assert_strict(schema: Any) -> None:
    if isinstance(schema, list):
        for member in schema:
            assert_strict(member)
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            assert schema["additionalProperties"] is False
            assert schema.get("required", []) == list(schema.get("properties", {}))
        for member in schema.values():
            assert_strict(member)


@pytest.mark.parametrize(
    ("tp", "strategy"),
    [
        (datetime.datetime, st.datetimes(timezones=st.just(datetime.UTC))),
        (datetime.date, st.dates()),
        (datetime.time, st.times()),
        (uuid.UUID, st.uuids()),
    ],
)
def test_values_with_a_format_come_back_from_their_text(tp: Any, strategy: st.SearchStrategy[Any]) -> None:
    compiled = compile_type(tp)

    @settings(max_examples=30)
    @given(strategy)
    def law(value: Any) -> None:
        text = str(value) if tp is uuid.UUID else value.isoformat()
        assert compiled.structure(text) == value

    law()


@given(st.text(max_size=30) | ANYTHING.map(json.dumps))
def test_any_text_is_a_json_value_or_a_fault(text: str) -> None:
    try:
        value = parse_json(text)
    except StructureError as exc:
        faults = exc.faults
    else:
        faults = []
        assert json.loads(text) == value
    assert len(faults) <= 1


def test_a_recursive_alias_needs_one_definition_and_a_plain_one_none() -> None:
    assert compile_type(list[Tree]).schema["$defs"].keys() == {"Tree"}
    assert "$defs" not in compile_type(Pair[int]).schema
    assert typing.get_args(Pair[int]) == (int,)
