"""What a model wrote is taken as it is, and each fault is told in one line with its path."""

# Basic, because values here are JSON of any shape.
# pyright: basic
from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import pathlib
import subprocess
import sys
import uuid
from collections.abc import Callable
from typing import Annotated, Any, Final, Generic, Literal, NamedTuple, TypedDict, TypeVar

import attrs
import pydantic
import pytest
import typing_extensions

from agentrun import _json as json_text
from agentrun._exceptions import UserError
from agentrun._schema import FieldSpec, Meta, NoSchemaError, StructureError, compile_fields, compile_type, json_schema

T = TypeVar("T")


class Color(enum.Enum):
    RED = "red"
    GREEN = "green"


@attrs.frozen
class Address:
    street: str
    zip: str = "00000"


@dataclasses.dataclass
class Plain:
    a: int


@dataclasses.dataclass
class Order:
    """An order.

    Attributes:
        to: where it goes
    """

    to: Address
    items: list[int]
    color: Color = Color.RED


Tree = typing_extensions.TypeAliasType("Tree", "list[Tree] | None")
Lost = typing_extensions.TypeAliasType(
    "Lost",
    "list[Nowhere]",  # type: ignore[name-defined]  # noqa: F821  # pyright: ignore[reportUndefinedVariable]
)


@dataclasses.dataclass
class Grow(Generic[T]):
    inner: Grow[list[T]] | None = None


class Cat(TypedDict):
    kind: Literal["cat"]
    lives: int


class Dog(TypedDict):
    kind: Literal["dog"]
    tricks: list[str]


def faults(tp: Any, value: object, **options: Any) -> list[str]:
    with pytest.raises(StructureError) as caught:
        compile_type(tp, strict=False, **options).structure(value)
    return caught.value.faults


@pytest.mark.parametrize(
    ("tp", "value", "fault"),
    [
        (int, "ten", '$: expected integer, got string "ten"'),
        (int, "1", '$: expected integer, got string "1"'),
        (int, True, "$: expected integer, got boolean true"),
        (int, 1.0, "$: expected integer, got number 1.0"),
        (int, None, "$: expected integer, got null"),
        (bool, "false", '$: expected boolean, got string "false"'),
        (bool, 0, "$: expected boolean, got integer 0"),
        (float, "1.5", '$: expected number, got string "1.5"'),
        (float, True, "$: expected number, got boolean true"),
        (float, float("nan"), "$: expected number, got number NaN"),
        (str, 1, "$: expected string, got integer 1"),
        (None, 0, "$: expected null, got integer 0"),
        (list[int], "abc", '$: expected array, got string "abc"'),
        (list[int], {"a": 1}, "$: expected array, got object with 1 key"),
        (list[int], [1, [2, 3]], "$[1]: expected integer, got array of 2 items"),
        (dict[str, int], [1], "$: expected object, got array of 1 item"),
        (dict[str, int], {"a b": "x"}, '$["a b"]: expected integer, got string "x"'),
        (dict[int, int], {"x": 1}, '$.x: expected integer in a string, got string "x"'),
        (tuple[int, str], [1], "$: expected array of 2 items, got array of 1 item"),
        (tuple[int, str], [1, 2], "$[1]: expected string, got integer 2"),
        (set[Any], [[]], "$: expected array of values other than arrays and objects, got array of 1 item"),
        (Literal["a", 1], True, '$: expected one of "a", 1, got boolean true'),
        (Literal["a"], [], '$: expected "a", got array of 0 items'),
        (Color, "blue", '$: expected one of "red", "green", got string "blue"'),
        (int | None, "x", '$: expected integer or null, got string "x"'),
        (int | str, [], "$: expected integer or string, got array of 0 items"),
        (uuid.UUID, "{12345678123456781234567812345678}", "$: expected UUID, got string"),
        (datetime.datetime, "2024-01-02", '$: expected ISO 8601 date and time, got string "2024-01-02"'),
        (datetime.timedelta, "90 minutes", '$: expected ISO 8601 duration such as P1DT2H, got string "90 minutes"'),
        (decimal.Decimal, "1,5", '$: expected number, or a string with one, got string "1,5"'),
        (Annotated[int, Meta(ge=1, le=5)], 9, "$: expected at most 5, got integer 9"),
        (Annotated[str, Meta(min_length=3)], "ab", '$: expected at least 3 characters, got string "ab"'),
        (Annotated[str, Meta(pattern="^a")], "b", '$: expected a string matching ^a, got string "b"'),
    ],
)
def test_a_value_of_another_type_is_refused_and_never_converted(tp: Any, value: object, fault: str) -> None:
    (told,) = faults(tp, value)
    assert told.startswith(fault)


@pytest.mark.parametrize(
    ("tp", "value", "result"),
    [
        (float, 1, 1.0),
        (float | int, 1, 1),
        (int | float, 1.5, 1.5),
        (set[int], [1, 1, 2], {1, 2}),
        (frozenset[str], ["a"], frozenset({"a"})),
        (tuple[int, str], [1, "a"], (1, "a")),
        (tuple[int, ...], [1, 2], (1, 2)),
        (tuple[()], [], ()),
        (dict[int, str], {"-3": "x"}, {-3: "x"}),
        (Literal[Color.RED], "red", Color.RED),
        (datetime.datetime, "2024-01-02T03:04:05Z", datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)),
        (datetime.date, "2024-01-02", datetime.date(2024, 1, 2)),
        (datetime.time, "03:04", datetime.time(3, 4)),
        (datetime.timedelta, "P1DT1H30M", datetime.timedelta(days=1, hours=1, minutes=30)),
        (datetime.timedelta, "-PT0.5S", datetime.timedelta(seconds=-0.5)),
        (decimal.Decimal, 0.1, decimal.Decimal("0.1")),
        (decimal.Decimal, "2.50", decimal.Decimal("2.50")),
        (pathlib.Path, "/a/b", pathlib.Path("/a/b")),
        (Annotated[float, Meta(multiple_of=0.1)], 0.3, 0.3),
        (Order, {"to": {"street": "s"}, "items": []}, Order(Address("s"), [])),
    ],
)
def test_json_becomes_values_of_the_type(tp: Any, value: object, result: object) -> None:
    structured = compile_type(tp, strict=False).structure(value)
    assert structured == result
    assert type(structured) is type(result)


def test_all_faults_are_told_at_once_each_with_its_path() -> None:
    order = {"to": {"zip": 1, "city": "x"}, "items": [1, "2", None], "colour": "red"}
    assert faults(Order, order) == [
        "$.to.street: missing, expected string",
        "$.to.zip: expected string, got integer 1",
        "$.to.city: unknown key, expected only `street`, `zip`",
        '$.items[1]: expected integer, got string "2"',
        "$.items[2]: expected integer, got null",
        "$.colour: unknown key, expected only `to`, `items`, `color`",
    ]


def test_faults_of_arguments_name_the_argument() -> None:
    fields = compile_fields("f_args", [FieldSpec("limit", int), FieldSpec("order", Order, required=False)])
    with pytest.raises(StructureError) as caught:
        fields.structure({"limit": "ten", "order": {"to": {"street": 1}, "items": []}}, root="argument")
    assert caught.value.faults == [
        'argument `limit`: expected integer, got string "ten"',
        "argument `order.to.street`: expected string, got integer 1",
    ]
    with pytest.raises(StructureError, match="arguments: expected object, got array of 0 items"):
        fields.structure([], root="argument")


def test_values_that_are_no_json_are_told_by_their_type() -> None:
    (told,) = faults(int, {1, 2})
    assert told == "$: expected integer, got set {1, 2}"


def test_a_value_nested_without_end_is_a_fault() -> None:
    value: Any = None
    for _ in range(20_000):
        value = [value]
    assert faults(Tree, value) == ["$: nested too deep"]


def test_a_type_that_holds_ever_new_types_is_a_user_error() -> None:
    with pytest.raises(UserError, match=r"Grow\[int\] has no JSON schema: it holds ever new types"):
        compile_type(Grow[int])
    with pytest.raises(UserError, match="a type holds ever new types"):
        compile_fields("f_args", [FieldSpec("x", Grow[int])])


def test_type_variables_stand_for_their_default_constraints_or_bound() -> None:
    free = TypeVar("free")
    bound = TypeVar("bound", bound=int)
    chosen = TypeVar("chosen", int, str)
    defaulted = typing_extensions.TypeVar("defaulted", default=bool)
    assert [json_schema(variable) for variable in (free, bound, chosen, defaulted)] == [
        {},
        {"type": "integer"},
        {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        {"type": "boolean"},
    ]


def test_markers_around_a_field_are_seen_through() -> None:
    class Marked(TypedDict):
        a: typing_extensions.ReadOnly[int]
        b: typing_extensions.NotRequired[typing_extensions.ReadOnly[str]]

    @dataclasses.dataclass
    class Fixed:
        a: Final[int] = 1

    assert json_schema(Marked, strict=False)["required"] == ["a"]
    assert json_schema(Fixed)["properties"]["a"] == {"title": "A", "type": "integer", "default": 1}


def test_choices_whose_values_are_subclasses_of_builtins_are_plain_json() -> None:
    class Text(str):
        pass

    class Whole(int):
        pass

    class Real(float):
        pass

    mixed = enum.Enum("mixed", {"A": Text("a"), "B": Whole(1), "C": Real(1.5)})
    schema = json_schema(mixed)
    assert schema == {"title": "mixed", "type": ["string", "integer", "number"], "enum": ["a", 1, 1.5]}
    assert [type(value) for value in schema["enum"]] == [str, int, float]
    assert [compile_type(mixed).structure(value) for value in ("a", 1, 1.5)] == list(mixed)


def test_a_long_list_of_choices_is_cut_in_faults() -> None:
    many: Any = enum.Enum("many", [f"N{number}" for number in range(30)])  # type: ignore[misc]
    (told,) = faults(many, 99)
    assert "20 and 10 more, got integer 99" in told


def test_a_flood_of_faults_is_cut() -> None:
    told = faults(list[int], ["x"] * 10_000)
    assert len(told) == json_text.MAX_FAULTS + 1
    assert told[-1] == "and 1 more faults"
    assert len(faults(dict[str, int], {str(key): "x" for key in range(100)})) == json_text.MAX_FAULTS + 1


def test_quoted_values_are_cut_to_one_short_line() -> None:
    (told,) = faults(int, "x\n" * 10_000)
    assert len(told) < 200
    assert "\n" not in told
    assert "(20000 characters)" in told
    assert faults(str, 10**300) == ["$: expected string, got integer of 997 bits"]
    assert faults(int, "\ud800") == ['$: expected integer, got string "\\ud800"']
    assert len(faults(dict[str, int], {"k" * 500: "x"})[0]) < 200


def test_an_integer_too_large_for_a_float_is_a_fault() -> None:
    (told,) = faults(float, 10**400)
    assert told.startswith("$: expected number, got integer of")


def test_the_faults_of_a_union_are_those_of_the_member_that_was_meant() -> None:
    assert faults(Cat | Dog, {"kind": "dog", "tricks": [1]}) == ["$.tricks[0]: expected string, got integer 1"]
    (told,) = faults(Order | Address, {"street": 1})
    assert told.startswith("$: expected object (Order) or object (Address), got object with 1 key that fits none: ")


def test_union_members_are_tried_in_their_order() -> None:
    assert compile_type(str | Color).structure("red") == "red"
    assert compile_type(Color | str).structure("red") is Color.RED
    assert compile_type(Color | str).structure("blue") == "blue"


def test_unknown_keys_are_left_out_where_that_is_asked_for() -> None:
    compiled = compile_type(Order, extra="ignore")
    data = {"to": {"street": "s", "more": 1}, "items": [], "color": "green", "more": 2}
    assert compiled.structure(data) == Order(Address("s"), [], Color.GREEN)


def test_a_union_prefers_the_member_that_leaves_nothing_out() -> None:
    @dataclasses.dataclass
    class Short:
        a: int

    @dataclasses.dataclass
    class Long:
        a: int
        b: int

    compiled = compile_type(Short | Long, strict=False, extra="ignore")
    assert compiled.structure({"a": 1, "b": 2}) == Long(1, 2)
    assert compiled.structure({"a": 1}) == Short(1)
    assert compiled.structure({"a": 1, "c": 2}) == Short(1)


def test_a_class_that_refuses_its_values_is_a_fault_and_not_a_crash() -> None:
    @attrs.frozen
    class Even:
        number: int = attrs.field()

        @number.validator  # pyright: ignore[reportAttributeAccessIssue]
        def _check(self, _: object, value: int) -> None:
            if value % 2:
                raise ValueError(f"{value} is odd")

    assert faults(list[Even], [{"number": 3}]) == ["$[0]: refused by Even: 3 is odd"]


def test_attrs_fields_are_written_under_the_name_of_their_argument() -> None:
    @attrs.define
    class Account:
        _owner: str
        balance: int = attrs.field(default=0, init=False)

    schema = json_schema(Account)
    assert list(schema["properties"]) == ["owner"]
    assert compile_type(Account).structure({"owner": "me"}) == Account("me")


def test_init_only_variables_of_a_dataclass_are_fields() -> None:
    @dataclasses.dataclass
    class Scaled:
        value: int
        factor: dataclasses.InitVar[int]
        label: str = dataclasses.field(default="", init=False)

        def __post_init__(self, factor: int) -> None:
            self.value *= factor

    assert compile_type(Scaled).structure({"value": 2, "factor": 3}).value == 6
    assert faults(Scaled, {"value": 2, "label": "x", "factor": 1}) == [
        "$.label: unknown key, expected only `value`, `factor`"
    ]


def test_generic_bases_bind_their_variables_per_class() -> None:
    @dataclasses.dataclass
    class Base(Generic[T]):
        inner: T

    @dataclasses.dataclass
    class Derived(Base[list[T]], Generic[T]):
        outer: T

    compiled = compile_type(Derived[int])
    assert compiled.structure({"inner": [1], "outer": 2}) == Derived([1], 2)
    assert faults(Derived[int], {"inner": 1, "outer": 2}) == ["$.inner: expected array, got integer 1"]


def test_two_classes_of_one_name_get_definitions_of_their_own() -> None:
    def make(tp: Any) -> Any:
        return attrs.make_class("Item", {"value": attrs.field(type=tp)})

    first, second = make(int), make(str)
    compiled = compile_type(tuple.__class_getitem__((first, second, first)))
    assert sorted(compiled.schema["$defs"]) == ["Item", "Item_2"]
    assert compiled.structure([{"value": 1}, {"value": "x"}, {"value": 2}])[1].value == "x"


def test_texts_come_from_annotations_fields_and_docstrings() -> None:
    @dataclasses.dataclass
    class Search:
        """A search.

        Attributes:
            query: words to look for
            limit: overruled
        """

        query: str
        limit: Annotated[int, "how many"] = 3
        page: int = dataclasses.field(default=1, metadata={"description": "from one"})

    schema = json_schema(Search)
    assert schema["description"] == "A search."
    texts = {key: member["description"] for key, member in schema["properties"].items()}
    assert texts == {"query": "words to look for", "limit": "how many", "page": "from one"}


def test_a_made_up_docstring_of_a_dataclass_is_not_sent() -> None:
    class Pair(NamedTuple):
        a: int

    assert "description" not in json_schema(Plain)
    assert "description" not in json_schema(Pair)


def test_defaults_are_in_the_schema_when_they_are_json() -> None:
    @attrs.frozen
    class Defaults:
        color: Color = Color.GREEN
        when: datetime.date = datetime.date(2024, 1, 2)
        to: Address = Address("s")
        tags: list[str] = attrs.field(factory=list[str])
        free: Any = attrs.field(default=object())
        odd: Any = attrs.field(default={1: 2})
        endless: float = float("inf")
        table: Any = attrs.field(default={"a": [decimal.Decimal("1.5"), None, True, 2, 0.5]})
        box: Any = attrs.field(default=Plain(1))
        model: Any = attrs.field(default=Inner(z=1))
        later: int = attrs.field(default=attrs.Factory(lambda self: 1, takes_self=True))

    properties = json_schema(Defaults, strict=False)["properties"]
    assert {key: member["default"] for key, member in properties.items() if "default" in member} == {
        "color": "green",
        "when": "2024-01-02",
        "to": {"street": "s", "zip": "00000"},
        "tags": [],
        "table": {"a": ["1.5", None, True, 2, 0.5]},
        "box": {"a": 1},
        "model": {"z": 1, "when": None},
    }


@pytest.mark.parametrize(
    "tp",
    [
        complex,
        bytes,
        object(),
        [int],
        {"type": "string"},
        Callable[[int], int],
        type[int],
        "int",
        dict[tuple[int, int], str],
        enum.Enum("Empty", []),
        enum.Enum("Odd", {"A": (1, 2)}),
        Annotated[str, Meta(ge=1)],
        Annotated[int, Meta(min_length=1)],
        Annotated[int, Meta(pattern="a")],
        Annotated[str, Meta(pattern="(")],
        Annotated[datetime.date, Meta(ge=1)],
    ],
)
def test_a_type_without_a_schema_is_a_user_error_that_names_it_and_a_remedy(tp: Any) -> None:
    with pytest.raises(UserError, match=r"has no JSON schema.*; use builtins.*pydantic models, or annotate it as Any"):
        compile_type(tp)


def test_the_place_of_a_type_without_a_schema_is_told() -> None:
    @dataclasses.dataclass
    class Holder:
        items: list[dict[str, complex]]

    with pytest.raises(NoSchemaError, match=r"complex at 'items\[\]\.\*' has no JSON schema") as caught:
        compile_type(Holder)
    assert (caught.value.tp, caught.value.where) == (complex, "items[].*")


def test_a_name_that_cannot_be_resolved_is_a_user_error() -> None:
    @dataclasses.dataclass
    class Broken:
        field: Nowhere  # type: ignore[name-defined]  # noqa: F821  # pyright: ignore[reportUndefinedVariable]

    with pytest.raises(UserError, match="its annotations name 'Nowhere', which is not defined there"):
        compile_type(Broken)
    with pytest.raises(UserError, match="Lost has no JSON schema: it names 'Nowhere', which is not defined there"):
        compile_type(Lost)


def test_a_union_at_the_root_of_a_strict_schema_is_left_to_the_caller() -> None:
    assert json_schema(int | str) == {"anyOf": [{"type": "integer"}, {"type": "string"}]}
    with pytest.raises(UserError, match="allows undeclared keys"):
        json_schema(dict[str, int])


class Wide(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    a: int


class Inner(pydantic.BaseModel):
    z: int
    when: datetime.datetime | None = None


class Outer(pydantic.BaseModel):
    inner: Inner
    pair: tuple[int, str] = (1, "a")


class Even(pydantic.BaseModel):
    n: Annotated[int, pydantic.AfterValidator(lambda n: n + n % 2)]


def test_pydantic_models_are_checked_strictly_and_refuse_unknown_keys() -> None:
    value = {"inner": {"z": 1, "when": "2024-01-02T00:00:00Z"}, "pair": [2, "b"]}
    assert compile_type(Outer).structure(value).pair == (2, "b")
    assert faults(Outer, {"inner": {"z": "1", "q": 2}, "pair": [1, 2], "x": 1}) == [
        '$.inner.z: input should be a valid integer, got string "1"',
        "$.inner.q: unknown key",
        "$.pair[1]: input should be a valid string, got integer 2",
        "$.x: unknown key",
    ]
    assert faults(Outer, {}) == ["$.inner: missing"]
    assert compile_type(Outer, extra="ignore").structure({"inner": {"z": 1}, "x": 1}).inner.z == 1


def test_pydantic_models_inside_our_types_share_their_definitions() -> None:
    @dataclasses.dataclass
    class Both:
        outer: Outer
        inner: Inner
        wide: Wide | None = None

    schema = json_schema(Both, strict=False)
    assert {"Outer", "Inner", "Wide"} <= schema["$defs"].keys()
    both = compile_type(Both, strict=False).structure(
        {"outer": {"inner": {"z": 1}}, "inner": {"z": 2}, "wide": {"a": 1, "b": 2}}
    )
    assert both.inner.z == 2
    assert both.wide.model_extra == {"b": 2}


def test_a_limit_on_a_type_inside_itself_is_kept_beside_the_reference() -> None:
    @dataclasses.dataclass
    class Chain:
        next: Annotated[Chain, Meta(min_length=1)] | None = None

    assert json_schema(Chain, strict=False)["properties"]["next"]["anyOf"][0] == {
        "allOf": [{"$ref": "#/$defs/Chain"}],
        "minProperties": 1,
    }
    assert faults(Chain, {"next": {}}) == ["$.next: expected at least 1 keys, got object with 0 keys"]


def test_a_pydantic_root_model_is_what_it_holds() -> None:
    number = pydantic.RootModel[float]
    assert compile_type(number | str).structure(1).root == 1.0
    assert compile_type(number | str).structure("1") == "1"


def test_pydantic_metadata_with_validators_is_pydantics_business() -> None:
    assert compile_type(Annotated[int, pydantic.AfterValidator(lambda n: n + 1)]).structure(1) == 2
    assert compile_type(Even).structure({"n": 3}).n == 4
    shown = pydantic.WithJsonSchema({"type": "integer", "examples": [1]})
    assert json_schema(Annotated[int, shown, "a number"]) == {
        "type": "integer",
        "examples": [1],
        "description": "a number",
    }
    both: Any = Annotated[int, pydantic.AfterValidator(lambda n: n + 1), Meta(le=3)]
    assert json_schema(both) == {"type": "integer", "maximum": 3}
    assert compile_type(both).structure(2) == 3
    assert faults(both, 3) == ["$: expected at most 3, got integer 3"]
    assert faults(Annotated[str, pydantic.StringConstraints(min_length=2)], "x") != []


def test_a_pydantic_model_that_pydantic_cannot_describe_is_a_user_error() -> None:
    class Odd(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
        thing: json_text.Mismatch

    with pytest.raises(UserError, match="Odd has no JSON schema: pydantic says "):
        compile_type(Odd)


def test_nothing_heavy_is_imported_for_plain_types() -> None:
    script = """
import sys
from agentrun._schema import compile_type
from agentrun.function_schema import function_schema
from agentrun.agent_output import AgentOutputSchema
compile_type(dict[str, int], strict=False).structure({"a": 1})
AgentOutputSchema(list[int]).validate_json('{"response": [1]}')
loaded = {"pydantic", "cattrs", "httpx", "trio", "asyncio", "jsonschema"} & sys.modules.keys()
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, timeout=60)
