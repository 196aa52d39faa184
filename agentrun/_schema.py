"""Type hints -> JSON schemas, and JSON values -> values of those types.

One registry (`_RULES`) serves both: a rule turns a type into a `Node`, which holds the schema that is sent and the function
that checks and converts what comes back, so the two cannot drift apart. All reflection happens in `compile_type`; a compiled
type only calls closures.

What a model wrote is taken strictly: "1" is not 1, true is not 1, 1.0 is no integer (an integer does for a float), and keys
that no field names are refused. Union members are tried in the order in which they are written, except that an integer
prefers `int` over `float`.
"""

from __future__ import annotations

import collections
import collections.abc
import dataclasses
import datetime
import decimal
import enum
import inspect
import math
import pathlib
import re
import sys
import types
import typing
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import attrs
import typing_extensions

from ._docstrings import parse_docstring
from ._exceptions import UserError
from ._json import MAX_FAULTS, Fault, Mismatch, StructureError, lines, mismatch, parse_json, quoted, shown
from ._strict import JsonSchema, make_strict, subschemas

__all__ = [
    "CompiledType",
    "FieldSpec",
    "JsonSchema",
    "Meta",
    "NoSchemaError",
    "StructureError",
    "compile_fields",
    "compile_type",
    "json_schema",
    "parse_json",
    "split_metadata",
    "type_name",
]

ExtraKeys = Literal["forbid", "ignore"]
"""What happens to keys that no field names."""



class _Missing(enum.Enum):
    MISSING = "no default"


# Not attrs.NOTHING, which attrs itself would take for "FieldSpec.default has no default".
MISSING: Any = _Missing.MISSING
"""Stands for a default that was not given."""

_ALL_KINDS = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})
_KIND_OF: dict[type, str] = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}

_REMEDY = (
    "use builtins, Literal, enums, unions, list, dict, tuple, TypedDict, dataclasses, attrs classes or pydantic models, "
    "or annotate it as Any"
)


class NoSchemaError(UserError):
    """A type has no JSON schema; `where` is its place below the type that was compiled, "" for that type itself."""

    def __init__(self, tp: object, where: str, reason: str = "") -> None:
        self.tp = tp
        self.where = where
        self.reason = reason
        place = f" at {where!r}" if where else ""
        super().__init__(f"{type_name(tp)}{place} has no JSON schema{reason and ': ' + reason}; {_REMEDY}")


@attrs.frozen(kw_only=True)
class Meta:
    """Text and limits for `Annotated[T, Meta(...)]`; objects of `annotated_types` and pydantic's `Field` do as well.

    A limit holds for the values it can hold for: lengths for strings, arrays and objects, the others for numbers.
    """

    description: str | None = None
    """What the model reads about the value."""
    gt: float | None = None
    """The value is greater."""
    ge: float | None = None
    """The value is greater or equal."""
    lt: float | None = None
    """The value is less."""
    le: float | None = None
    """The value is less or equal."""
    multiple_of: float | None = None
    """The value divided by this is whole."""
    min_length: int | None = None
    """Fewest characters, items or keys."""
    max_length: int | None = None
    """Most characters, items or keys."""
    pattern: str | None = None
    """A regular expression that is found somewhere in the string."""


@attrs.frozen
class Node:
    """What the registry knows about one type."""

    schema: JsonSchema
    """May point into the compiler's definitions."""
    structure: Callable[[Any], Any]
    """Takes a JSON value; returns the typed value or raises `Mismatch`."""
    expected: str
    """The type in the words of a fault."""
    kinds: frozenset[str]
    """JSON types that can be valid."""
    tags: Mapping[str, frozenset[str]] = attrs.field(factory=dict)
    """For objects: required fields that admit only these strings, which tell the members of a union apart."""


@attrs.frozen
class FieldSpec:
    """One key of an object."""

    key: str
    """The name in JSON."""
    type: Any
    name: str = ""
    """The name given to the class; empty means `key`."""
    required: bool = True
    default: Any = MISSING
    """Shown in the schema when it can be written as JSON; the class itself fills it in."""
    description: str | None = None
    """Wins over the description in the type's metadata."""


@attrs.frozen(eq=False)
class CompiledType:
    """A type, its schema, and the way from JSON to its values; built once, used for every call."""

    type: Any
    schema: JsonSchema
    """Shared: do not change it."""
    _structure: Callable[[Any], Any]

    def structure(self, value: object, *, root: str = "$") -> Any:
        """Return a JSON value as a value of the type.

        Args:
            value: what `json.loads` returns; it is not changed.
            root: how faults name the whole value: "$" gives `$.a.b`, "argument" gives ``argument `a.b` ``.

        Raises:
            StructureError: with one line per fault.
        """
        try:
            return self._structure(value)
        except Mismatch as exc:
            raise StructureError(lines(exc.faults, root)) from None
        except RecursionError:
            raise StructureError([f"{root}: nested too deep"]) from None

    def structure_json(self, text: str, *, root: str = "$", object_only: bool = False) -> Any:
        """Parse JSON text and structure it.

        Raises:
            StructureError: as `parse_json` and `structure`.
        """
        return self.structure(parse_json(text, object_only=object_only), root=root)


def compile_type(
    tp: Any,
    *,
    strict: bool = True,
    extra: ExtraKeys = "forbid",
    title: str | None = None,
    lookup: Mapping[str, Any] | None = None,
) -> CompiledType:
    """Return the schema and the structurer of a type.

    `strict` changes the schema only: a key that is required there for the provider's sake, and has a default, may still be
    missing from the value.

    Args:
        tp: a type hint.
        strict: make the schema strict, see `ensure_strict_json_schema`.
        extra: whether keys without a field are refused or left out.
        title: the schema's title; by default the name of a class and nothing else.
        lookup: names for annotations that cannot be resolved where they stand.

    Raises:
        NoSchemaError: the type, or a type inside it, has no schema.
        UserError: the schema cannot be strict.
    """
    compiler = _Compiler(extra, lookup or {})
    return compiler.finish(tp, compiler.node(tp, ""), title, strict=strict)


def compile_fields(
    title: str,
    fields: Sequence[FieldSpec],
    *,
    strict: bool = True,
    extra: ExtraKeys = "forbid",
    lookup: Mapping[str, Any] | None = None,
) -> CompiledType:
    """Return the schema and the structurer of an object with these keys; its value is a dict of what was given.

    Raises:
        NoSchemaError: the type of a field has no schema; `where` begins with the field's key.
        UserError: the schema cannot be strict.
    """
    compiler = _Compiler(extra, lookup or {})
    return compiler.finish(dict, compiler.object_node(fields, _as_is, "object", ""), title, strict=strict)


def json_schema(tp: Any, *, strict: bool = True) -> JsonSchema:
    """Return the JSON schema of a type.

    Raises:
        NoSchemaError: the type has none.
        UserError: it cannot be strict.
    """
    return compile_type(tp, strict=strict).schema


def type_name(tp: object) -> str:
    """Return a type as it is read: `list[int]`, `Union[int, str]`, `Any`."""
    if tp is None or tp is type(None):
        return "NoneType"
    if tp is ...:
        return "..."
    origin, arguments = typing.get_origin(tp), typing.get_args(tp)
    if origin is typing.Annotated:
        return type_name(arguments[0])
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, arguments))}]"
    if origin is not None:
        name = "Union" if origin in (typing.Union, types.UnionType) else type_name(origin)
        return f"{name}[{', '.join(map(type_name, arguments))}]" if arguments else name
    name = getattr(tp, "__name__", None)
    return name if isinstance(name, str) else repr(tp)


def split_metadata(tp: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return a type without its `Annotated` wrappers, and the metadata of all of them."""
    metadata: tuple[Any, ...] = ()
    while typing.get_origin(tp) is typing.Annotated:
        metadata = (*tp.__metadata__, *metadata)
        tp = tp.__origin__
    return tp, metadata


# ---------------------------------------------------------------------------------------------------------------- compiler


class _Compiler:
    """One compilation: the definitions made so far, by name and by type."""

    def __init__(self, extra: ExtraKeys, lookup: Mapping[str, Any]) -> None:
        self.extra: ExtraKeys = extra
        self.definitions: dict[str, JsonSchema] = {}
        self._lookup = lookup
        self._known: dict[Any, Node] = {}
        self._refusing: _Compiler | None = None

    @property
    def refusing(self) -> _Compiler:
        """A compiler for the same types that refuses undeclared keys."""
        if self.extra == "forbid":
            return self
        if self._refusing is None:
            self._refusing = _Compiler("forbid", self._lookup)
        return self._refusing

    def node(self, tp: Any, where: str) -> Node:
        """Return what the first fitting rule makes of a type."""
        if typing.get_origin(tp) is typing.Annotated:
            return self._annotated(tp, where)
        for rule in _RULES:
            node = rule(self, tp, where)
            if node is not None:
                return node
        raise NoSchemaError(tp, where)

    def finish(self, tp: Any, node: Node, title: str | None, *, strict: bool) -> CompiledType:
        """Return the compiled root; a root that is a reference takes the place of its target."""
        schema = dict(node.schema)
        definitions = dict(self.definitions)
        reference = schema.get("$ref")
        if isinstance(reference, str):
            name = reference.removeprefix("#/$defs/")
            del schema["$ref"]
            schema = {"title": name, **definitions[name], **schema}
            if not _refers_to(reference, [schema, *(definitions[other] for other in definitions if other != name)]):
                del definitions[name]
        if title is not None:
            schema = {"title": title, **schema, "title": title}  # noqa: F601 - first in order, last in value
        if definitions:
            schema["$defs"] = definitions
        if strict:
            schema = make_strict(schema, as_root=False)
        return CompiledType(tp, schema, node.structure)

    def named(self, key: Any, name: str, kinds: frozenset[str], expected: str, build: Callable[[], Node]) -> Node:
        """Return a node whose schema is a definition; a type met again inside itself is a reference to it."""
        if (known := self._known.get(key)) is not None:
            return known
        name = self.unused_name(name)
        self.definitions[name] = {}
        built: list[Node] = []
        self._known[key] = Node({"$ref": f"#/$defs/{name}"}, lambda value: built[0].structure(value), expected, kinds)
        try:
            node = build()
        except BaseException:
            del self._known[key], self.definitions[name]
            raise
        built.append(node)
        self.definitions[name] = node.schema
        self._known[key] = attrs.evolve(node, schema={"$ref": f"#/$defs/{name}"})
        return self._known[key]

    def unused_name(self, wanted: str) -> str:
        """Return `wanted` in the characters that definitions may have, numbered when it is taken."""
        wanted = re.sub(r"\W+", "_", wanted, flags=re.ASCII).strip("_") or "Type"
        name, number = wanted, 2
        while name in self.definitions:
            name, number = f"{wanted}_{number}", number + 1
        return name

    def object_node(
        self,
        fields: Sequence[FieldSpec],
        build: Callable[[dict[str, Any]], Any],
        expected: str,
        where: str,
        description: str | None = None,
    ) -> Node:
        """Return the node of an object with these keys, whose structured values go to `build` by name."""
        plan: list[tuple[str, str, Node, bool]] = []
        properties: dict[str, JsonSchema] = {}
        tags: dict[str, frozenset[str]] = {}
        for field in fields:
            node = self.node(field.type, f"{where}.{field.key}" if where else field.key)
            plan.append((field.key, field.name or field.key, node, field.required))
            properties[field.key] = _property_schema(node.schema, field)
            if field.required and (values := _tag_values(node.schema)):
                tags[field.key] = values
        schema: JsonSchema = {"type": "object", "properties": properties}
        if required := [field.key for field in fields if field.required]:
            schema["required"] = required
        if self.extra == "forbid":
            schema["additionalProperties"] = False
        if description:
            schema = {"description": description, **schema}
        structure = _object_structure(plan, build, expected, refuse_unknown=self.extra == "forbid")
        return Node(schema, structure, expected, frozenset({"object"}), tags)

    def hints(self, cls: Any) -> dict[str, Any]:
        """Return the resolved annotations of a class; names it cannot see itself are looked up where it was used."""
        try:
            return typing.get_type_hints(cls, include_extras=True)
        except NameError:
            pass
        names = _Names({cls.__name__: cls}, self._lookup)
        try:
            return typing.get_type_hints(cls, localns=names, include_extras=True)
        except NameError as exc:
            raise NoSchemaError(cls, "", f"its annotations name {exc.name!r}, which is not defined there") from exc

    def _annotated(self, tp: Any, where: str) -> Node:
        base, metadata = split_metadata(tp)
        if any(hasattr(item, "__get_pydantic_core_schema__") for item in metadata):
            return _pydantic_node(self, tp, where)
        return _limited(self.node(base, where), metadata, tp, where)


class _Names(dict[str, Any]):
    """Local names for `eval`, with a second place to look."""

    def __init__(self, names: Mapping[str, Any], others: Mapping[str, Any]) -> None:
        super().__init__(names)
        self._others = others

    def __missing__(self, name: str) -> Any:
        return self._others[name]


def _object_structure(
    plan: Sequence[tuple[str, str, Node, bool]],
    build: Callable[[dict[str, Any]], Any],
    expected: str,
    *,
    refuse_unknown: bool,
) -> Callable[[Any], Any]:
    keys = frozenset(key for key, _, _, _ in plan)
    known = ", ".join(f"`{key}`" for key in keys) if len(keys) < 2 else ", ".join(f"`{key}`" for key, _, _, _ in plan)
    unknown = f"unknown key, expected only {known}" if keys else "unknown key, expected none"
    steps = [(key, name, node.structure, required, node.expected) for key, name, node, required in plan]

    def structure(value: Any) -> Any:
        if type(value) is not dict:
            raise mismatch(expected, value)
        faults: list[Fault] = []
        given: dict[str, Any] = {}
        for key, name, structure_field, required, wanted in steps:
            if key in value:
                try:
                    given[name] = structure_field(value[key])
                except Mismatch as exc:
                    faults.extend(exc.under(key))
            elif required:
                faults.append(Fault((key,), f"missing, expected {wanted}"))
        if refuse_unknown and not value.keys() <= keys:
            faults.extend(Fault((key,), unknown) for key in value if key not in keys)
        if faults:
            raise Mismatch(faults)
        return build(given)

    return structure


def _property_schema(schema: JsonSchema, field: FieldSpec) -> JsonSchema:
    schema = dict(schema)
    if field.description:
        schema["description"] = field.description
    if field.default is not MISSING:
        try:
            schema["default"] = _plain(field.default)
        except TypeError:
            pass  # a default without a JSON form stays the function's own business
    return schema


def _tag_values(schema: JsonSchema) -> frozenset[str]:
    values: list[Any] = [schema["const"]] if "const" in schema else schema.get("enum", [])
    return frozenset(values) if values and all(isinstance(value, str) for value in values) else frozenset()


def _plain(value: Any) -> Any:
    """Return a default as JSON, or raise TypeError."""
    match value:
        case enum.Enum():
            return _plain(value.value)
        case None | bool() | int() | str():
            return value
        case float() if math.isfinite(value):
            return value
        case datetime.datetime() | datetime.date() | datetime.time():
            return value.isoformat()
        case uuid.UUID() | decimal.Decimal() | pathlib.PurePath():
            return str(value)
        case list() | tuple() | set() | frozenset():
            return [_plain(item) for item in typing.cast("Iterable[Any]", value)]
        case dict() if all(isinstance(key, str) for key in typing.cast("dict[Any, Any]", value)):
            return {key: _plain(item) for key, item in typing.cast("dict[str, Any]", value).items()}
        case _:
            pass
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value) if field.init}
    if attrs.has(type(value)):
        return {field.alias: _plain(getattr(value, field.name)) for field in attrs.fields(type(value)) if field.init}
    if (dump := getattr(value, "model_dump", None)) is not None:
        return dump(mode="json")
    raise TypeError(f"no JSON form for {value!r}")


def _refers_to(reference: str, schemas: Iterable[JsonSchema]) -> bool:
    pending = list(schemas)
    while pending:
        schema = pending.pop()
        if schema.get("$ref") == reference:
            return True
        pending.extend(member for _, member in subschemas(schema))
    return False


def _as_is(value: Any) -> Any:
    return value


# ------------------------------------------------------------------------------------------------------- rules: the registry
# A rule returns None when the type is not its own. The order matters only where a type could be taken for another.


def _anything(compiler: _Compiler, tp: Any, where: str) -> Node | None:
    if tp is Any or tp is object or tp is inspect.Parameter.empty or tp is typing_extensions.Any:
        return Node({}, _as_is, "any value", _ALL_KINDS)
    return None


def _exactly(kind: str, tp: type) -> Node:
    def structure(value: Any) -> Any:
        if type(value) is tp:
            return value
        raise mismatch(kind, value)

    return Node({"type": kind}, structure, kind, frozenset({kind}))


def _float(value: Any) -> float:
    if type(value) is float and math.isfinite(value):
        return value
    if type(value) is int:
        try:
            return float(value)
        except OverflowError:
            pass
    raise mismatch("number", value)


_SCALARS: dict[Any, Node] = {
    str: _exactly("string", str),
    int: _exactly("integer", int),
    bool: _exactly("boolean", bool),
    None: _exactly("null", type(None)),
    type(None): _exactly("null", type(None)),
    float: Node({"type": "number"}, _float, "number", frozenset({"integer", "number"})),
}


def _from_string(
    parse: Callable[[str], Any], expected: str, valid: re.Pattern[str] | None = None, **schema: Any
) -> Node:
    def structure(value: Any) -> Any:
        if type(value) is str and (valid is None or valid.search(value)):
            try:
                return parse(value)
            except (ValueError, ArithmeticError):
                pass
        raise mismatch(expected, value)

    return Node({"type": "string", **schema}, structure, expected, frozenset({"string"}))


_DURATION = re.compile(
    r"^(?P<sign>[+-])?P(?=.)(?:(?P<weeks>[0-9]+)W)?(?:(?P<days>[0-9]+)D)?"
    r"(?:T(?=.)(?:(?P<hours>[0-9]+)H)?(?:(?P<minutes>[0-9]+)M)?(?:(?P<seconds>[0-9]+(?:\.[0-9]+)?)S)?)?$"
)


def _parse_duration(text: str) -> datetime.timedelta:
    match = _DURATION.match(text)
    if match is None:
        raise ValueError(text)
    parts = {name: float(part) for name, part in match.groupdict().items() if part and name != "sign"}
    duration = datetime.timedelta(**parts)
    return -duration if match["sign"] == "-" else duration


_NUMERIC_TEXT = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)$"


def _decimal_node() -> Node:
    valid = re.compile(_NUMERIC_TEXT)
    expected = "number, or a string with one"

    def structure(value: Any) -> decimal.Decimal:
        # str() of a float is its shortest form, so 0.1 stays 0.1.
        if type(value) is int or (type(value) is float and math.isfinite(value)):
            return decimal.Decimal(str(value))
        if type(value) is str and valid.search(value):
            return decimal.Decimal(value)
        raise mismatch(expected, value)

    schema = {"anyOf": [{"type": "number"}, {"type": "string", "pattern": _NUMERIC_TEXT}]}
    return Node(schema, structure, expected, frozenset({"integer", "number", "string"}))


_HAS_TIME = re.compile(r"[Tt ][0-9]")
_UUID_FORM = re.compile(r"^[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")

_SCALARS.update(
    {
        datetime.datetime: _from_string(
            datetime.datetime.fromisoformat, "ISO 8601 date and time", _HAS_TIME, format="date-time"
        ),
        datetime.date: _from_string(datetime.date.fromisoformat, "ISO 8601 date", format="date"),
        datetime.time: _from_string(datetime.time.fromisoformat, "ISO 8601 time", format="time"),
        datetime.timedelta: _from_string(_parse_duration, "ISO 8601 duration such as P1DT2H", format="duration"),
        uuid.UUID: _from_string(uuid.UUID, "UUID", _UUID_FORM, format="uuid"),
        decimal.Decimal: _decimal_node(),
        pathlib.Path: _from_string(pathlib.Path, "path"),
        pathlib.PurePath: _from_string(pathlib.PurePath, "path"),
        pathlib.PurePosixPath: _from_string(pathlib.PurePosixPath, "path"),
    }
)


def _scalar(compiler: _Compiler, tp: Any, where: str) -> Node | None:
    try:
        return _SCALARS.get(tp)
    except TypeError:  # not hashable, so it is no scalar
        return None


_MARKERS: tuple[Any, ...] = (
    typing.Required,
    typing.NotRequired,
    typing.Final,
    typing_extensions.ReadOnly,
)


def _transparent(compiler: _Compiler, tp: Any, where: str) -> Node | None:
    """NewType, type aliases, type variables and markers such as Required: the node is that of what they stand for."""
    if isinstance(tp, typing.NewType):
        return compiler.node(tp.__supertype__, where)
    if isinstance(tp, typing.TypeVar):
        return compiler.node(_type_of_variable(tp), where)
    origin = typing.get_origin(tp)
    if origin in _MARKERS:
        return compiler.node(typing.get_args(tp)[0], where)
    alias = origin if origin is not None else tp
    if type(alias).__name__ != "TypeAliasType":
        return None
    value = alias.__value__
    if origin is not None:
        value = _substitute(value, dict(zip(alias.__type_params__, typing.get_args(tp), strict=False)))
    return compiler.named(
        tp, type_name(tp), _ALL_KINDS, alias.__name__, lambda: compiler.node(value, where)
    )


def _type_of_variable(variable: Any) -> Any:
    default = getattr(variable, "__default__", typing_extensions.NoDefault)
    if default is not typing_extensions.NoDefault and default is not None:
        return default
    if variable.__constraints__:
        return typing.Union[variable.__constraints__]  # noqa: UP007 - the members are a tuple
    return Any if variable.__bound__ is None else variable.__bound__


def _literal(compiler: _Compiler, tp: Any, where: str) -> Node | None:
    if typing.get_origin(tp) is not Literal and typing.get_origin(tp) is not typing_extensions.Literal:
        return None
    choices = [(value.value if isinstance(value, enum.Enum) else value, value) for value in typing.get_args(tp)]
    return _choice_node(choices, tp, where)


def _enum(compiler: _Compiler, tp: Any, where: str) -> Node | None:
    if not (isinstance(tp, type) and issubclass(tp, enum.Enum)):
        return None
    if not len(tp):
        raise NoSchemaError(tp, where, "the enum has no members")
    return _choice_node([(member.value, member) for member in tp], tp, where)


def _choice_node(choices: Sequence[tuple[Any, Any]], tp: Any, where: str) -> Node:
    """Return the node of a fixed set of JSON scalars, each with the value it stands for."""
    # The type is part of the key: 1, 1.0 and True are equal in Python and different in JSON.
    members: dict[tuple[type, Any], Any] = {}
    for value, member in choices:
        kind = _KIND_OF.get(type(value)) or next((_KIND_OF[base] for base in _KIND_OF if isinstance(value, base)), "")
        if kind in ("", "array", "object"):
            raise NoSchemaError(tp, where, f"{value!r} is no JSON scalar")
        plain = value if type(value) in _KIND_OF else _plain_scalar(value)
        members.setdefault((type(plain), plain), member)
    values = [value for _, value in members]
    kinds = list(dict.fromkeys(_KIND_OF[base] for base, _ in members))
    schema: JsonSchema = {"type": kinds[0] if len(kinds) == 1 else kinds}
    schema.update({"const": values[0]} if len(values) == 1 else {"enum": values})
    shown_values = [quoted(value) for value in values]
    expected = shown_values[0] if len(values) == 1 else f"one of {', '.join(shown_values[:MAX_FAULTS])}"
    if len(values) > MAX_FAULTS:
        expected += f" and {len(values) - MAX_FAULTS} more"

    def structure(value: Any) -> Any:
        try:
            return members[(type(value), value)]
        except (KeyError, TypeError):
            raise mismatch(expected, value) from None

    return Node(schema, structure, expected, frozenset(kinds))


def _plain_scalar(value: Any) -> Any:
    for base in (str, int, float):
        if isinstance(value, base):
            return base(value) if base is not str else str.__str__(value)
    raise TypeError(f"no JSON scalar: {value!r}")


def _union(compiler: _Compiler, tp: Any, where: str) -> Node | None:
    if typing.get_origin(tp) not in (typing.Union, types.UnionType):
        return None
    members = typing.get_args(tp)
    nodes = [compiler.node(member, where) for member in members]
    expected = " or ".join(dict.fromkeys(node.expected for node in nodes))
    by_kind = {kind: _by_preference(nodes, kind) for kind in _ALL_KINDS}
    if compiler.extra == "ignore" and sum(bool(node.kinds & {"array", "object"}) for node in nodes) > 1:
        # An object with keys of B must not become an A that leaves them out: exact members go first.
        exact = [compiler.refusing.node(member, where) for member in members]
        by_kind = {kind: [*_by_preference(exact, kind), *by_kind[kind]] for kind in _ALL_KINDS}
    candidates = {kind: [node.structure for node in found] for kind, found in by_kind.items()}

    def structure(value: Any) -> Any:
        found = candidates.get(_KIND_OF.get(type(value), ""), [])
        if len(found) == 1:
            return found[0](value)
        tried: list[Mismatch] = []
        for structure_member in found:
            try:
                return structure_member(value)
            except Mismatch as exc:
                tried.append(exc)
        raise _best_mismatch(by_kind[_KIND_OF[type(value)]] if tried else [], tried, expected, value)

    schema = {"anyOf": [node.schema for node in nodes]}
    return Node(schema, structure, expected, frozenset[str]().union(*(node.kinds for node in nodes)))


def _by_preference(nodes: Sequence[Node], kind: str) -> list[Node]:
    fitting = [node for node in nodes if kind in node.kinds]
    if kind == "integer":  # sort is stable: int before float, else as written
        fitting.sort(key=lambda node: "number" in node.kinds)
    return fitting


def _best_mismatch(nodes: Sequence[Node], tried: Sequence[Mismatch], expected: str, value: Any) -> Mismatch:
    """Return the faults of the member that was meant, as far as a tag tells, else what is wrong with each."""
    meant = [
        exc
        for node, exc in zip(nodes, tried, strict=True)
        if node.tags and all(isinstance(value.get(key), str) and value[key] in node.tags[key] for key in node.tags)
    ]
    if meant:
        return meant[-1]
    if not any(fault.path for exc in tried for fault in exc.faults):
        return mismatch(expected, value)
    reasons = dict.fromkeys(exc.faults[0].line("$") for exc in tried)
    return Mismatch([Fault((), f"expected {expected}, got {shown(value)} that fits none: {'; '.join(reasons)}")])


_LISTS: tuple[Any, ...] = (
    list,
    collections.abc.Sequence,
    collections.abc.MutableSequence,
    collections.abc.Iterable,
    collections.abc.Collection,
)
_SETS: tuple[Any, ...] = (set, collections.abc.Set, collections.abc.MutableSet)
_MAPPINGS: tuple[Any, ...] = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


def _container(compiler: _Compiler, tp: Any, where: str) -> Node | None:
    origin = typing.get_origin(tp) or tp
    arguments = typing.get_args(tp)
    if origin in _MAPPINGS:
        return _mapping(compiler, tp, where)
    if origin is tuple and not (len(arguments) == 2 and arguments[1] is ...) and (arguments or tp is not tuple):
        if arguments or tp is not typing.Tuple:  # noqa: UP006 - the bare alias, which means any tuple
            return _fixed_tuple(compiler, arguments, where)
    makes: Callable[[list[Any]], Any] | None = (
        _as_is if origin in _LISTS else set if origin in _SETS else origin if origin in (frozenset, tuple) else None
    )
    if makes is None:
        return None
    item = compiler.node(arguments[0] if arguments else Any, f"{where}[]")
    structure_item = item.structure
    hashing = makes is not _as_is and makes is not tuple

    def structure(value: Any) -> Any:
        if type(value) is not list:
            raise mismatch("array", value)
        items: list[Any] = []
        faults: list[Fault] = []
        for index, member in enumerate(typing.cast("list[Any]", value)):
            try:
                items.append(structure_item(member))
            except Mismatch as exc:
                faults.extend(exc.under(index))
                if len(faults) > MAX_FAULTS:
                    break
        if faults:
            raise Mismatch(faults)
        if not hashing:
            return makes(items)
        try:
            return makes(items)
        except TypeError:
            raise mismatch("array of values that can be told apart (no arrays or objects)", value) from None

    return Node({"type": "array", "items": item.schema}, structure, "array", frozenset({"array"}))


def _fixed_tuple(compiler: _Compiler, arguments: Sequence[Any], where: str) -> Node:
    members = [compiler.node(member, f"{where}[{index}]") for index, member in enumerate(arguments)]
    length = len(members)
    expected = f"array of {length} items" if length != 1 else "array of 1 item"

    def structure(value: Any) -> Any:
        if type(value) is not list or len(typing.cast("list[Any]", value)) != length:
            raise mismatch(expected, value)
        items: list[Any] = []
        faults: list[Fault] = []
        for index, (node, member) in enumerate(zip(members, typing.cast("list[Any]", value), strict=True)):
            try:
                items.append(node.structure(member))
            except Mismatch as exc:
                faults.extend(exc.under(index))
        if faults:
            raise Mismatch(faults)
        return tuple(items)

    schema: JsonSchema = {"type": "array", "minItems": length, "maxItems": length}
    if members:  # an empty prefixItems is no valid schema
        schema["prefixItems"] = [node.schema for node in members]
    return Node(schema, structure, expected, frozenset({"array"}))


_INTEGER_KEY = r"^(0|-?[1-9][0-9]*)$"


def _mapping(compiler: _Compiler, tp: Any, where: str) -> Node:
    key_type, value_type = typing.get_args(tp) or (Any, Any)
    key = compiler.node(key_type, f"{where} (keys)")
    if key is _SCALARS[int]:
        key = _from_string(int, "integer in a string", re.compile(_INTEGER_KEY), pattern=_INTEGER_KEY)
    if "string" not in key.kinds:
        raise NoSchemaError(tp, where, "keys of JSON objects are strings")
    member = compiler.node(value_type, f"{where}.*")
    schema: JsonSchema = {"type": "object", "additionalProperties": member.schema or True}
    if key.schema not in ({}, {"type": "string"}):
        schema["propertyNames"] = key.schema
    structure_key = None if key is _SCALARS[str] or key.schema == {} else key.structure
    structure_member = member.structure

    def structure(value: Any) -> Any:
        if type(value) is not dict:
            raise mismatch("object", value)
        result: dict[Any, Any] = {}
        faults: list[Fault] = []
        for name, content in typing.cast("dict[str, Any]", value).items():
            try:
                result[name if structure_key is None else structure_key(name)] = structure_member(content)
            except Mismatch as exc:
                faults.extend(exc.under(name))
                if len(faults) > MAX_FAULTS:
                    break
        if faults:
            raise Mismatch(faults)
        return result

    return Node(schema, structure, "object", frozenset({"object"}))


# ------------------------------------------------------------------------------------------------------------ rules: classes


def _class_with_fields(compiler: _Compiler, tp: Any, where: str) -> Node | None:
    cls = typing.get_origin(tp) or tp
    if not isinstance(cls, type):
        return None
    read = next((read for fits, read in _FIELD_READERS if fits(cls)), None)
    if read is None:
        return None

    def build() -> Node:
        texts = _own_docstring(cls)
        fields = [
            attrs.evolve(field, description=field.description or _described(field.type) or texts.params.get(field.key))
            for field in read(compiler, tp, cls)
        ]
        construct = _as_is if issubclass(cls, dict) else _constructor(cls)
        return compiler.object_node(fields, construct, f"object ({type_name(tp)})", where, texts.description)

    return compiler.named(tp, type_name(tp), frozenset({"object"}), f"object ({type_name(tp)})", build)


def _constructor(cls: type) -> Callable[[dict[str, Any]], Any]:
    def construct(given: dict[str, Any]) -> Any:
        try:
            return cls(**given)
        except (TypeError, ValueError, AssertionError) as exc:  # the class's own checks of what it is given
            raise Mismatch([Fault((), f"refused by {cls.__name__}: {str(exc)[:200]}")]) from exc

    return construct


def _own_docstring(cls: type) -> Any:
    text = cls.__dict__.get("__doc__")
    if not isinstance(text, str) or text.startswith(f"{cls.__name__}("):  # made by dataclass and namedtuple
        text = None
    return parse_docstring(text)


def _described(tp: Any) -> str | None:
    return describe(split_metadata(tp)[1])


def _resolved_fields(compiler: _Compiler, tp: Any, cls: type) -> dict[str, Any]:
    """Return the annotations of a class with its type variables replaced, those of generic bases included."""
    variables = _variables_by_class(tp)
    owners = {
        name: base for base in reversed(getattr(cls, "__mro__", (cls,))) for name in base.__dict__.get("__annotations__", {})
    }
    merged = {variable: value for table in reversed(variables.values()) for variable, value in table.items()}
    return {
        name: _substitute(hint, variables.get(owners.get(name, cls), merged) or merged)
        for name, hint in compiler.hints(cls).items()
    }


def _variables_by_class(tp: Any) -> dict[Any, dict[Any, Any]]:
    """Return, for each generic class above `tp`, what its type variables stand for."""
    found: dict[Any, dict[Any, Any]] = {}
    pending = [tp]
    while pending:
        alias = pending.pop()
        cls = typing.get_origin(alias) or alias
        table = dict(zip(getattr(cls, "__parameters__", ()), typing.get_args(alias), strict=False))
        if cls in found or cls is typing.Generic:
            continue
        found[cls] = table
        bases = cls.__dict__.get("__orig_bases__", ()) or getattr(cls, "__bases__", ())
        pending.extend(_substitute(base, table) for base in bases if base is not object)
    return found


def _substitute(tp: Any, table: Mapping[Any, Any]) -> Any:
    if isinstance(tp, typing.TypeVar):
        return table.get(tp, tp)
    parameters = () if isinstance(tp, type) and typing.get_origin(tp) is None else getattr(tp, "__parameters__", ())
    if not table or not parameters or typing.get_origin(tp) is typing.Generic:
        return tp
    return tp[tuple(table.get(parameter, parameter) for parameter in parameters)]


def _typed_dict_fields(compiler: _Compiler, tp: Any, cls: Any) -> Iterator[FieldSpec]:
    for name, hint in _resolved_fields(compiler, tp, cls).items():
        required: bool = name in cls.__required_keys__
        # Annotations that are strings hide the markers from the class, so they are read here too.
        while (origin := typing.get_origin(hint)) in _MARKERS:
            if origin is not typing_extensions.ReadOnly:
                required = origin is typing.Required
            hint = typing.get_args(hint)[0]
        yield FieldSpec(name, hint, required=required)


def _dataclass_fields(compiler: _Compiler, tp: Any, cls: Any) -> Iterator[FieldSpec]:
    hints = _resolved_fields(compiler, tp, cls)
    for field in dataclasses.fields(cls):
        if field.init:
            factory = field.default_factory
            default = field.default if field.default is not dataclasses.MISSING else MISSING
            if factory is not dataclasses.MISSING:
                default = factory()
            yield FieldSpec(
                field.name,
                hints[field.name],
                required=default is MISSING,
                default=default,
                description=field.metadata.get("description"),
            )
    for name, hint in hints.items():
        if isinstance(hint, dataclasses.InitVar):
            default = getattr(cls, name, MISSING)
            yield FieldSpec(name, hint.type, required=default is MISSING, default=default)


def _attrs_fields(compiler: _Compiler, tp: Any, cls: Any) -> Iterator[FieldSpec]:
    hints = _resolved_fields(compiler, tp, cls)
    for field in attrs.fields(cls):
        if field.init:
            default: Any = MISSING if field.default is attrs.NOTHING else field.default
            if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
                default = MISSING if default.takes_self else default.factory()
            name = field.alias or field.name
            hint = hints.get(field.name, Any if field.type is None else field.type)
            description = field.metadata.get("description")
            yield FieldSpec(
                name, hint, required=field.default is attrs.NOTHING, default=default, description=description
            )


def _named_tuple_fields(compiler: _Compiler, tp: Any, cls: Any) -> Iterator[FieldSpec]:
    hints = _resolved_fields(compiler, tp, cls)
    for name in cls._fields:
        default = cls._field_defaults.get(name, MISSING)
        yield FieldSpec(name, hints.get(name, Any), required=default is MISSING, default=default)


_FIELD_READERS: tuple[
    tuple[Callable[[Any], bool], Callable[[_Compiler, Any, Any], Iterator[FieldSpec]]], ...
] = (
    (typing_extensions.is_typeddict, _typed_dict_fields),
    (attrs.has, _attrs_fields),
    (dataclasses.is_dataclass, _dataclass_fields),
    (lambda cls: issubclass(cls, tuple) and hasattr(cls, "_fields"), _named_tuple_fields),
)


# ----------------------------------------------------------------------------------------------------------- rules: pydantic


def _pydantic(compiler: _Compiler, tp: Any, where: str) -> Node | None:
    # Whoever has a pydantic type has imported pydantic; asking for the attribute imports nothing.
    if "pydantic" in sys.modules and hasattr(typing.get_origin(tp) or tp, "__get_pydantic_core_schema__"):
        return _pydantic_node(compiler, tp, where)
    return None


def _pydantic_node(compiler: _Compiler, tp: Any, where: str) -> Node:
    """Return the node of a type that pydantic describes and checks, in its strict JSON mode."""
    import json

    import pydantic
    from pydantic.errors import PydanticUndefinedAnnotation

    try:
        adapter: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(tp)
        schema = adapter.json_schema(ref_template="#/$defs/{model}")
    except (pydantic.PydanticUserError, PydanticUndefinedAnnotation) as exc:
        raise NoSchemaError(tp, where, f"pydantic says {str(exc).splitlines()[0]}") from exc
    definitions: dict[str, JsonSchema] = schema.pop("$defs", {})
    open_objects = [
        member
        for member in _all_subschemas([schema, *definitions.values()])
        if "properties" in member and member.get("additionalProperties", False) is not False
    ]
    refuse = compiler.extra == "forbid" and not open_objects
    if refuse:
        for member in _all_subschemas([schema, *definitions.values()]):
            if "properties" in member:
                member["additionalProperties"] = False
    options: dict[str, Any] = {"extra": "forbid"} if refuse else {}
    renamed = {name: compiler.unused_name(name) for name in definitions}
    for member in _all_subschemas([schema, *definitions.values()]):
        if isinstance(reference := member.get("$ref"), str):
            name = reference.removeprefix("#/$defs/")
            member["$ref"] = f"#/$defs/{renamed.get(name, name)}"
    known = {content_name: name for name, content_name in renamed.items()}
    compiler.definitions.update({name: definitions[known[name]] for name in known})

    def structure(value: Any) -> Any:
        try:
            # From JSON, because strict mode on Python values refuses a date in a string or a tuple in a list.
            return adapter.validate_json(json.dumps(value), strict=True, **options)
        except pydantic.ValidationError as exc:
            raise Mismatch([_pydantic_fault(error) for error in exc.errors(include_url=False)]) from None

    expected = f"object ({type_name(tp)})"
    target = schema
    while isinstance(reference := target.get("$ref"), str):
        target = compiler.definitions[reference.removeprefix("#/$defs/")]
    kinds = target.get("type")
    found = frozenset({kinds}) if isinstance(kinds, str) else _ALL_KINDS
    if found == {"number"}:
        found = frozenset({"integer", "number"})
    if "properties" in schema:
        inline = schema
        return compiler.named(tp, type_name(tp), found, expected, lambda: Node(inline, structure, expected, found))
    return Node(schema, structure, expected if found == {"object"} else type_name(tp), found)


def _pydantic_fault(error: Any) -> Fault:
    message: str = error["msg"]
    reason = f"{message[0].lower()}{message[1:]}"
    if error["type"] == "missing":
        reason = "missing"
    elif error["type"] == "extra_forbidden":
        reason = "unknown key"
    else:
        reason = f"{reason}, got {shown(error['input'])}"
    return Fault(tuple(error["loc"]), reason)


def _all_subschemas(schemas: Iterable[JsonSchema]) -> Iterator[JsonSchema]:
    pending = list(schemas)
    while pending:
        schema = pending.pop()
        yield schema
        pending.extend(member for _, member in subschemas(schema))


_RULES: tuple[Callable[[_Compiler, Any, str], Node | None], ...] = (
    _anything,
    _scalar,
    _transparent,
    _literal,
    _union,
    _pydantic,
    _enum,
    _class_with_fields,
    _container,
)
"""The registry: every type agentrun knows is known to one of these."""


# --------------------------------------------------------------------------------------------------------------- constraints


def describe(metadata: Iterable[Any]) -> str | None:
    """Return the description among the metadata of an `Annotated` type: a string, or an object's `description`."""
    for item in metadata:
        text = item if isinstance(item, str) else None
        for name in ("description", "documentation"):
            text = text or getattr(item, name, None)
        if isinstance(text, str) and text and not isinstance(item, type):
            return inspect.cleandoc(text)
    return None


_LIMITS = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern")


def _limits(metadata: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """Yield the limits that metadata objects carry, whichever library they come from."""
    for item in metadata:
        if isinstance(item, (str, type)):
            continue
        for name in _LIMITS:
            if (limit := getattr(item, name, None)) is not None:
                yield name, limit
        nested = getattr(item, "metadata", None)  # pydantic's Field keeps its limits one level down
        if isinstance(nested, (list, tuple)):
            yield from _limits(typing.cast("Iterable[Any]", nested))


def _limited(node: Node, metadata: Sequence[Any], tp: Any, where: str) -> Node:
    """Return a node with the description and the limits of an `Annotated` type."""
    schema = dict(node.schema)
    before: list[Callable[[Any], str | None]] = []
    after: list[Callable[[Any], str | None]] = []
    for name, limit in _limits(metadata):
        if name == "pattern":
            _add_pattern(schema, before, limit, node, tp, where)
        elif name in ("min_length", "max_length"):
            _add_length(schema, before, name, limit, node, tp, where)
        else:
            _add_bound(schema, after, name, limit, node, tp, where)
    if before or after:
        if "$ref" in schema:  # limits beside a reference cannot be merged in strict mode
            schema = {"allOf": [{"$ref": schema.pop("$ref")}], **schema}
        node = attrs.evolve(node, structure=_checked(node.structure, before, after))
    if text := describe(metadata):
        schema["description"] = text
    return attrs.evolve(node, schema=schema)


def _checked(
    structure: Callable[[Any], Any],
    before: Sequence[Callable[[Any], str | None]],
    after: Sequence[Callable[[Any], str | None]],
) -> Callable[[Any], Any]:
    def checked(value: Any) -> Any:
        result = structure(value)
        reasons = [reason for check in before if (reason := check(value))]
        reasons += [reason for check in after if (reason := check(result))]
        if reasons:
            raise Mismatch([Fault((), f"expected {reason}, got {shown(value)}") for reason in reasons])
        return result

    return checked


def _add_pattern(
    schema: JsonSchema, checks: list[Callable[[Any], str | None]], limit: Any, node: Node, tp: Any, where: str
) -> None:
    try:
        expression = re.compile(limit)
    except (re.error, TypeError) as exc:
        raise NoSchemaError(tp, where, f"the pattern {limit!r} is no regular expression ({exc})") from exc
    if "string" not in node.kinds:
        raise NoSchemaError(tp, where, "a pattern needs a string")
    schema["pattern"] = expression.pattern
    reason = f"a string matching {expression.pattern}"
    checks.append(lambda value: None if type(value) is not str or expression.search(value) else reason)


_LENGTH_KEYWORDS = {
    "string": ("Length", "characters", str),
    "array": ("Items", "items", list),
    "object": ("Properties", "keys", dict),
}


def _add_length(
    schema: JsonSchema, checks: list[Callable[[Any], str | None]], name: str, limit: int, node: Node, tp: Any, where: str
) -> None:
    kinds = [kind for kind in _LENGTH_KEYWORDS if kind in node.kinds]
    if not kinds:
        raise NoSchemaError(tp, where, f"{name} needs a string, an array or an object")
    for kind in kinds:
        suffix, noun, base = _LENGTH_KEYWORDS[kind]
        schema[f"{name[:3]}{suffix}"] = limit
        checks.append(_length_check(name, limit, noun, base))


def _length_check(name: str, limit: int, noun: str, base: type) -> Callable[[Any], str | None]:
    if name == "min_length":
        return lambda value: f"at least {limit} {noun}" if type(value) is base and len(value) < limit else None
    return lambda value: f"at most {limit} {noun}" if type(value) is base and len(value) > limit else None


_BOUNDS: dict[str, tuple[str, str, Callable[[Any, Any], bool]]] = {
    "gt": ("exclusiveMinimum", "more than", lambda value, limit: value > limit),
    "ge": ("minimum", "at least", lambda value, limit: value >= limit),
    "lt": ("exclusiveMaximum", "less than", lambda value, limit: value < limit),
    "le": ("maximum", "at most", lambda value, limit: value <= limit),
    "multiple_of": ("multipleOf", "a multiple of", lambda value, limit: _is_multiple(value, limit)),
}


def _add_bound(
    schema: JsonSchema, checks: list[Callable[[Any], str | None]], name: str, limit: Any, node: Node, tp: Any, where: str
) -> None:
    keyword, words, holds = _BOUNDS[name]
    if not node.kinds & {"integer", "number"} or isinstance(limit, bool) or not isinstance(limit, (int, float)):
        raise NoSchemaError(tp, where, f"{name}={limit!r} needs a number on both sides")
    schema[keyword] = limit
    reason = f"{words} {limit}"
    numbers = (int, float, decimal.Decimal)

    def check(value: Any) -> str | None:
        if not isinstance(value, numbers) or isinstance(value, bool) or holds(value, limit):
            return None
        return reason

    checks.append(check)


def _is_multiple(value: Any, limit: Any) -> bool:
    if isinstance(value, int) and isinstance(limit, int):
        return value % limit == 0
    # In decimal, because 0.3 is three times 0.1 to everybody but a binary float.
    return decimal.Decimal(str(value)) % decimal.Decimal(str(limit)) == 0
