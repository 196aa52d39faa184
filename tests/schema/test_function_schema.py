"""A function is shown to the model by its signature, types and docstring, and is called with what the model wrote."""

# Basic, because the functions here are annotated in every way that users find.
# pyright: basic
from __future__ import annotations

import enum
import functools
import json
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import attrs
import pydantic
import pytest

from agentrun._context import RunContextWrapper, ToolContext
from agentrun._exceptions import UserError
from agentrun._schema import Meta
from agentrun.function_schema import FuncSchema, StructureError, function_schema, generate_func_documentation

if TYPE_CHECKING:
    from nowhere import Unknown  # type: ignore[import-not-found]  # pyright: ignore[reportMissingImports]


class Place(TypedDict):
    city: str
    country: str


def search(query: str, limit: int = 5, place: Place | None = None) -> str:
    """Search the catalogue.

    Only what is in stock.

    Args:
        query: words to look for
        limit (int, optional): most results
            to return
    """
    return f"{query} {limit} {place}"


def call(func: Any, arguments: str, **options: Any) -> Any:
    args, kwargs = function_schema(func, **options).structure_arguments(arguments)
    return func(*args, **kwargs)


def faults(schema: FuncSchema, arguments: str) -> list[str]:
    with pytest.raises(StructureError) as caught:
        schema.structure_arguments(arguments)
    return caught.value.faults


def test_the_strict_schema_of_a_function() -> None:
    schema = function_schema(search)
    assert (schema.name, schema.takes_context, schema.strict_json_schema) == ("search", False, True)
    assert schema.description == "Search the catalogue.\n\nOnly what is in stock."
    assert schema.return_annotation is str
    assert list(schema.signature.parameters) == ["query", "limit", "place"]
    place = {
        "title": "Place",
        "type": "object",
        "properties": {"city": {"title": "City", "type": "string"}, "country": {"title": "Country", "type": "string"}},
        "required": ["city", "country"],
        "additionalProperties": False,
    }
    assert schema.params_json_schema == {
        "title": "search_args",
        "type": "object",
        "properties": {
            "query": {"title": "Query", "type": "string", "description": "words to look for"},
            "limit": {
                "title": "Limit",
                "type": "integer",
                "description": "most results\nto return",
                "default": 5,
            },
            "place": {"anyOf": [{"$ref": "#/$defs/Place"}, {"type": "null"}]},
        },
        "required": ["query", "limit", "place"],
        "additionalProperties": False,
        "$defs": {"Place": place},
    }


class Colour(enum.Enum):
    """What a thing looks like."""

    RED = "r"
    BLUE = "b"


def test_enums_are_definitions_and_titles_stand_where_a_type_has_none() -> None:
    def paint(main: Colour, first_of_all: int | str, other: Colour | None = None) -> None: ...

    schema = function_schema(paint).params_json_schema
    text = "What a thing looks like."
    assert schema["$defs"] == {"Colour": {"title": "Colour", "description": text, "type": "string", "enum": ["r", "b"]}}
    assert schema["properties"] == {
        "main": {"$ref": "#/$defs/Colour"},
        "first_of_all": {"title": "First Of All", "anyOf": [{"type": "integer"}, {"type": "string"}]},
        "other": {"anyOf": [{"$ref": "#/$defs/Colour"}, {"type": "null"}]},
    }
    assert call(paint, '{"main": "r", "first_of_all": 1, "other": "b"}') is None


def test_a_schema_that_is_not_strict_requires_what_has_no_default() -> None:
    schema = function_schema(search, strict_json_schema=False).params_json_schema
    assert schema["required"] == ["query"]
    assert schema["properties"]["place"]["default"] is None


def test_name_and_description_can_be_overridden_and_the_docstring_left_out() -> None:
    schema = function_schema(search, name_override="find", description_override="Find it.", use_docstring_info=False)
    assert (schema.name, schema.description) == ("find", "Find it.")
    assert schema.params_json_schema["title"] == "find_args"
    assert "description" not in schema.params_json_schema["properties"]["query"]
    assert function_schema(search, use_docstring_info=False).description is None


def test_arguments_become_a_call() -> None:
    assert call(search, '{"query": "x", "limit": 2, "place": {"city": "a", "country": "b"}}') == (
        "x 2 {'city': 'a', 'country': 'b'}"
    )


@pytest.mark.parametrize("strict", [True, False])
def test_an_argument_left_out_gets_its_default(strict: bool) -> None:
    assert call(search, '{"query": "x"}', strict_json_schema=strict) == "x 5 None"


def test_each_fault_of_the_arguments_is_one_line() -> None:
    schema = function_schema(search)
    assert faults(schema, '{"query": "x", "limit": "ten"}') == ['argument `limit`: expected integer, got string "ten"']
    assert faults(schema, '{"limit": true, "place": {"city": 1}, "self": 1, "__class__": {}}') == [
        "argument `query`: missing, expected string",
        "argument `limit`: expected integer, got boolean true",
        "argument `place.city`: expected string, got integer 1",
        "argument `place.country`: missing, expected string",
        "argument `self`: unknown key, expected only `query`, `limit`, `place`",
        "argument `__class__`: unknown key, expected only `query`, `limit`, `place`",
    ]


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ("[1]", "expected a JSON object, got array of 1 item"),
        ('"x"', 'expected a JSON object, got string "x"'),
        ("null", "expected a JSON object, got null"),
        ('{"query": ', "invalid JSON: expecting value (line 1 column 11)"),
        ('{"query": ' + "[" * 100_000, "invalid JSON: nested deeper than 100 levels"),
        ('{"query": NaN}', "invalid JSON: NaN is not a JSON number"),
        ('{"query": "\\ud800"}', "invalid JSON: half of a surrogate pair"),
        ("", "argument `query`: missing, expected string"),
    ],
    ids=["array", "string", "null", "cut", "deep", "nan", "surrogate", "empty"],
)
def test_text_that_holds_no_arguments_is_one_fault(arguments: str, fault: str) -> None:
    (told,) = faults(function_schema(search), arguments)
    assert told.startswith(fault)


def test_empty_text_calls_a_function_without_arguments() -> None:
    def ping() -> str:
        return "pong"

    assert call(ping, "") == call(ping, " \n") == call(ping, "{}") == "pong"
    assert function_schema(ping).params_json_schema == {
        "title": "ping_args",
        "type": "object",
        "properties": {},
        "required": [],
        "additionalProperties": False,
    }


def test_every_kind_of_parameter_is_laid_out_as_the_function_wants_it() -> None:
    def f(a: int, /, b: int, c: int = 3, *rest: int, d: int, e: int = 5, **more: int) -> Any:
        return a, b, c, rest, d, e, more

    arguments = '{"a": 1, "b": 2, "rest": [7, 8], "d": 4, "more": {"a": 9, "x": 10}}'
    assert call(f, arguments, strict_json_schema=False) == (1, 2, 3, (7, 8), 4, 5, {"a": 9, "x": 10})
    schema = function_schema(f, strict_json_schema=False)
    assert schema.params_json_schema["required"] == ["a", "b", "d"]
    assert schema.params_json_schema["properties"]["rest"] == {
        "title": "Rest",
        "type": "array",
        "items": {"type": "integer"},
    }
    assert schema.params_json_schema["properties"]["more"]["additionalProperties"] == {"type": "integer"}
    assert faults(schema, '{"a": 1, "b": 2, "d": 3, "more": {"b": 1, "d": 2}}') == [
        "argument `more.b`: names a parameter of its own",
        "argument `more.d`: names a parameter of its own",
    ]


def test_star_parameters_in_a_strict_schema() -> None:
    def ok(*names: str) -> tuple[str, ...]:
        return names

    def wrong(**options: int) -> None: ...

    assert function_schema(ok).params_json_schema["required"] == ["names"]
    assert call(ok, '{"names": ["a", "b"]}') == ("a", "b")
    assert call(ok, "{}") == ()
    with pytest.raises(
        UserError, match=r"tool 'wrong': parameter '\*\*options' takes undeclared keys.*strict_mode=False"
    ):
        function_schema(wrong)


def test_the_context_parameter_is_hidden() -> None:
    def run(ctx: RunContextWrapper[str], x: int) -> None: ...
    def tool(ctx: ToolContext[Any], x: int) -> None: ...
    def bare(ctx: RunContextWrapper, x: int) -> None: ...
    def annotated(ctx: Annotated[ToolContext[Any], "the run"], x: int) -> None: ...

    for func in (run, tool, bare, annotated):
        schema = function_schema(func)
        assert schema.takes_context
        assert list(schema.params_json_schema["properties"]) == ["x"]
        assert schema.structure_arguments('{"x": 1}') == ([1], {})


def test_the_context_anywhere_else_is_a_user_error() -> None:
    def second(x: int, ctx: RunContextWrapper[Any]) -> None: ...
    def keyword(*, ctx: ToolContext[Any]) -> None: ...

    for func in (second, keyword):
        with pytest.raises(UserError, match=r"parameter 'ctx' takes the run context.*first positional parameter"):
            function_schema(func)


def test_a_context_class_known_only_to_type_checkers_is_found() -> None:
    def tool(ctx: Renamed, x: int) -> None: ...  # type: ignore[name-defined]  # noqa: F821  # pyright: ignore[reportUndefinedVariable]

    namespace: dict[str, Any] = {"__name__": "elsewhere"}
    code = "from __future__ import annotations\ndef tool(ctx: ToolContext[str], x: int): ..."
    exec(compile(code, "elsewhere", "exec"), namespace)
    assert function_schema(namespace["tool"]).takes_context
    with pytest.raises(
        UserError, match=r"tool 'tool': parameter 'ctx' has the annotation 'Renamed'.*cannot be resolved"
    ):
        function_schema(tool)


def test_other_context_types_can_be_named() -> None:
    class Mine: ...

    def tool(mine: Mine, x: int) -> None: ...

    assert function_schema(tool, context_types=[Mine]).takes_context


def test_types_defined_beside_the_function_are_found() -> None:
    @attrs.frozen
    class Leaf:
        size: int
        twin: Leaf | None = None

    def measure(leaf: Leaf, others: list[Leaf]) -> int:
        return leaf.size + sum(each.size for each in others)

    assert call(measure, '{"leaf": {"size": 1, "twin": {"size": 2}}, "others": [{"size": 3}]}') == 4


def test_a_return_annotation_that_cannot_be_resolved_does_not_matter() -> None:
    def tool(x: int) -> Unknown: ...

    assert function_schema(tool).params_json_schema["required"] == ["x"]


def test_methods_callable_objects_partials_and_async_functions() -> None:
    class Shop:
        """Sells things."""

        def sell(self, thing: str) -> str:
            """Sell it."""
            return f"sold {thing}"

        @classmethod
        def kind(cls, of: str) -> str:
            return of

        def __call__(self, price: int) -> int:
            """Pay."""
            return price

    class Silent:
        def __call__(self, x: int) -> int:
            """Say nothing."""
            return x

    async def later(x: int) -> int:
        """Later."""
        return x

    shop = Shop()
    assert call(shop.sell, '{"thing": "tea"}') == "sold tea"
    assert call(shop.kind, '{"of": "tea"}') == "tea"
    assert call(shop, '{"price": 3}') == 3
    tools: list[Any] = [shop.sell, shop, Silent(), later]
    assert [(schema.name, schema.description) for schema in map(function_schema, tools)] == [
        ("sell", "Sell it."),
        ("Shop", "Sells things."),
        ("Silent", "Say nothing."),
        ("later", "Later."),
    ]
    fixed = functools.partial(search, "tea", limit=1)
    assert function_schema(fixed).name == "search"
    assert list(function_schema(fixed).params_json_schema["properties"]) == ["limit", "place"]
    assert call(fixed, "{}") == "tea 1 None"


def test_a_wrapped_function_is_seen_through() -> None:
    def logged(func: Any) -> Any:
        @functools.wraps(func)
        def inner(*args: Any, **kwargs: Any) -> Any:
            return func(*args, **kwargs)

        return inner

    assert call(logged(search), '{"query": "x", "place": {"city": "a", "country": "b"}}').startswith("x 5")


def test_a_parameter_without_annotation_takes_anything() -> None:
    def tool(x, y: object, z: Any):  # type: ignore[no-untyped-def]
        return x, y, z

    assert call(tool, '{"x": [1], "y": {"a": null}, "z": 1.5}') == ([1], {"a": None}, 1.5)
    assert function_schema(tool).params_json_schema["properties"] == {key: {"title": key.upper()} for key in "xyz"}


FIRST, LAST = pydantic.Field(description="first"), pydantic.Field(le=10, description="last")


@pytest.mark.parametrize(
    ("hint", "default", "expected"),
    [
        (Annotated[int, FIRST, "text", LAST], 5, "text"),
        (Annotated[int, FIRST, LAST], 5, "last"),
        (Annotated[int, FIRST], LAST, "last"),
        (Annotated[int, "text"], LAST, "text"),
        (Annotated[int, "text", "more"], 5, "text"),
    ],
)
def test_a_text_describes_before_fields_and_the_last_field_before_others(
    hint: Any, default: Any, expected: str
) -> None:
    def tool(a=default): ...  # type: ignore[no-untyped-def]

    tool.__annotations__["a"] = hint
    assert function_schema(tool).params_json_schema["properties"]["a"]["description"] == expected
    tool.__doc__ = "Do it.\n\n:param a: from docstring"
    assert function_schema(tool).params_json_schema["properties"]["a"]["description"] == "from docstring"


def test_texts_and_limits_of_annotations() -> None:
    def tool(
        a: Annotated[int, "from annotation"],
        b: Annotated[int, Meta(ge=1, description="meta")],
        c: Annotated[str, pydantic.Field(min_length=2, description="field")] = "xx",
        d: int = pydantic.Field(3, le=5, description="default field"),
        e: list[int] = pydantic.Field(default_factory=list),  # noqa: B008 - how pydantic writes it
        f: int = pydantic.Field(..., description="required"),
    ) -> Any:
        """Do it.

        :param a: from docstring
        """
        return a, b, c, d, e, f

    schema = function_schema(tool, strict_json_schema=False)
    properties = schema.params_json_schema["properties"]
    assert properties["a"] == {"title": "A", "type": "integer", "description": "from docstring"}
    assert properties["b"] == {"title": "B", "type": "integer", "minimum": 1, "description": "meta"}
    assert properties["c"] == {"title": "C", "type": "string", "minLength": 2, "description": "field", "default": "xx"}
    assert properties["d"] == {
        "title": "D",
        "type": "integer",
        "maximum": 5,
        "description": "default field",
        "default": 3,
    }
    assert properties["e"]["default"] == []
    assert schema.params_json_schema["required"] == ["a", "b", "f"]
    assert call(tool, '{"a": 1, "b": 2, "f": 3}') == (1, 2, "xx", 3, [], 3)
    assert faults(schema, '{"a": 1, "b": 0, "c": "x", "d": 6, "f": 1}') == [
        "argument `b`: expected at least 1, got integer 0",
        'argument `c`: expected at least 2 characters, got string "x"',
        "argument `d`: expected at most 5, got integer 6",
    ]


def test_a_type_without_a_schema_names_tool_parameter_type_and_remedy() -> None:
    def tool(x: int, y: list[complex]) -> None: ...

    with pytest.raises(UserError) as caught:
        function_schema(tool)
    assert caught.value.message == (
        "tool 'tool': parameter 'y' (at 'y[]') has the type complex, which has no JSON schema; use builtins, Literal, "
        "enums, unions, list, dict, tuple, TypedDict, dataclasses, attrs classes or pydantic models, or annotate it as "
        "Any"
    )


def test_a_type_without_a_strict_schema_names_tool_parameter_type_and_remedy() -> None:
    def tool(x: int, y: dict[str, int]) -> None: ...

    with pytest.raises(
        UserError,
        match=r"tool 'tool': parameter 'y' has the type dict\[str, int\].*no strict JSON schema.*strict_mode=False",
    ):
        function_schema(tool)
    assert call(tool, '{"x": 1, "y": {"a": 2}}', strict_json_schema=False) is None


def test_a_schema_that_is_too_deep_names_the_tool() -> None:
    deep: Any = int
    for _ in range(120):
        deep = list.__class_getitem__(deep)

    def tool(x: Any) -> None: ...

    tool.__annotations__["x"] = deep
    with pytest.raises(UserError, match=r"tool 'tool': parameter 'x' has the type list.*nested deeper than 100 levels"):
        function_schema(tool)


def test_a_schema_that_is_only_too_large_as_a_whole_names_the_tool() -> None:
    examples = pydantic.WithJsonSchema({"type": "integer", "examples": [[] for _ in range(60_000)]})

    def tool(x: Annotated[int, examples], y: Annotated[int, examples]) -> None: ...

    with pytest.raises(UserError, match="tool 'tool': the JSON schema has more than 100000 nodes"):
        function_schema(tool)


def test_a_variable_of_the_enclosing_function_that_has_no_value_yet_is_no_trouble() -> None:
    def tool(x: int) -> int:
        return later + x

    assert function_schema(tool).params_json_schema["required"] == ["x"]
    later = 1
    assert call(tool, '{"x": 1}') == 2


def test_what_is_no_function_is_a_user_error() -> None:
    with pytest.raises(UserError, match="a tool must be a function or another callable, got 3"):
        function_schema(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(UserError, match="has no signature that Python can read"):
        function_schema(type)


def test_the_arguments_model_checks_arguments_under_the_documented_names() -> None:
    schema = function_schema(search)
    model = schema.params_pydantic_model
    assert model.__name__ == "search_args"
    assert model.model_json_schema() is schema.params_json_schema
    parsed = model(query="x", limit=2)
    assert (parsed.query, parsed["limit"], parsed.model_dump()) == ("x", 2, {"query": "x", "limit": 2, "place": None})
    assert model.model_validate({"query": "x"}).limit == 5
    assert model.model_validate_json('{"query": "x"}') == model.model_validate({"query": "x"})
    args, kwargs = schema.to_call_args(parsed)
    assert search(*args, **kwargs) == "x 2 None"
    with pytest.raises(AttributeError, match="there is no argument 'page'"):
        _ = parsed.page
    with pytest.raises(StructureError):
        model(query=1)
    with pytest.raises(StructureError, match="argument `query`: missing"):
        schema.to_call_args({})


def test_arguments_that_are_not_given_have_their_defaults_anew_for_each_call() -> None:
    def collect(
        *scores: int, items: Annotated[list[int], pydantic.Field(default_factory=list)], **extras: int
    ) -> None: ...

    model = function_schema(collect, strict_json_schema=False).params_pydantic_model
    found = model()
    assert found.model_dump() == {"items": [], "scores": [], "extras": {}}
    for name, value in found.items():
        assert model()[name] is not value


def test_a_keyword_may_have_the_name_of_the_starred_parameter() -> None:
    def collect(first: int, *rest: int, **more: int) -> Any:
        return first, rest, more

    assert call(collect, '{"first": 1, "rest": [2], "more": {"rest": 3}}', strict_json_schema=False) == (
        1,
        (2,),
        {"rest": 3},
    )
    fault = ["argument `more.first`: names a parameter of its own"]
    assert faults(function_schema(collect, strict_json_schema=False), '{"first": 1, "more": {"first": 3}}') == fault


class Doubler:
    """Doubles.

    Args:
        value: what the class says
        factor: how often
    """

    class Amount(TypedDict):
        count: int

    def __call__(self, value: Amount, factor: int = 2, other: int = 1) -> Any:
        """Call it.

        Args:
            value: what to double
            other: what else
        """
        return value["count"] * factor + other


class Tripler(Doubler):
    """Triples."""


def test_a_callable_object_is_described_by_its_class_and_its_parameters_by_the_call() -> None:
    schema = function_schema(Doubler())
    texts = {key: member.get("description") for key, member in schema.params_json_schema["properties"].items()}
    assert (schema.description, texts) == (
        "Doubles.",
        {"value": "what to double", "factor": "how often", "other": "what else"},
    )
    assert function_schema(Tripler()).description == "Triples."


@pytest.mark.parametrize("function", [Tripler(), Tripler().__call__])
def test_annotations_may_name_what_the_class_of_the_method_holds(function: Any) -> None:
    assert call(function, '{"value": {"count": 3}, "factor": 2, "other": 0}') == 6


def test_what_a_docstring_says_can_be_asked_for() -> None:
    found = generate_func_documentation(search)
    assert (found.name, found.description) == ("search", "Search the catalogue.\n\nOnly what is in stock.")
    assert found.param_descriptions == {"query": "words to look for", "limit": "most results\nto return"}
    assert generate_func_documentation(lambda: None).param_descriptions is None


def test_a_schema_is_plain_json() -> None:
    assert (
        json.loads(json.dumps(function_schema(search).params_json_schema)) == function_schema(search).params_json_schema
    )
