"""What the rules of the registry share: nodes, the compiler that collects definitions, and compiled types."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import decimal
import enum
import math
import pathlib
import re
import sys
import types
import typing
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, cast

import attrs
import typing_extensions

from agentrun._exceptions import UserError
from agentrun._fields import new_dict
from agentrun._json import Fault, Mismatch, StructureError, lines, mismatch, parse_json
from agentrun._strict import JsonSchema, make_strict, subschemas

ExtraKeys = Literal["forbid", "ignore"]
"""What happens to keys that no field names."""


class _Missing(enum.Enum):
    MISSING = "no default"


# Not attrs.NOTHING, which attrs itself would take for "FieldSpec.default has no default".
MISSING: Any = _Missing.MISSING
"""Stands for a default that was not given."""

ALL_KINDS = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})
KIND_OF: dict[type[Any], str] = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}

REMEDY = (
    "use builtins, Literal, enums, unions, list, dict, tuple, TypedDict, dataclasses, attrs classes or "
    "pydantic models, or annotate it as Any"
)
"""What to do about a type without a schema."""


MARKERS: tuple[Any, ...] = (
    typing.Required,
    typing.NotRequired,
    typing.Final,
    typing_extensions.ReadOnly,
)
"""Words around a field's type that say something about the field."""

_DEFINITIONS = "#/$defs/"


class NoSchemaError(UserError):
    """A type has no JSON schema; `where` is its place below the type that was compiled, "" for that type itself."""

    def __init__(self, tp: object, where: str, reason: str = "") -> None:
        self.tp = tp
        self.where = where
        self.reason = reason
        place = f" at {where!r}" if where else ""
        super().__init__(f"{type_name(tp)}{place} has no JSON schema{reason and ': ' + reason}; {REMEDY}")


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
    tags: Mapping[str, frozenset[str]] = attrs.field(factory=new_dict)
    """For objects: required fields that admit only these strings, which tell the members of a union apart."""
    foreign: bool = True
    """Whether `structure` may run code that somebody else wrote: a validator, a constructor, a pattern."""


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
    foreign: bool = True
    """Whether `structure` may run code that somebody else wrote."""

    def keeps(self, value: object) -> bool:
        """Return whether a JSON value is its own structured value, to the types; False where finding out runs code.

        Only the root may have its keys in another order.
        """
        if self.foreign:
            return False
        try:
            return _same(self.structure(value), value, ordered=False)
        except (StructureError, RecursionError):
            return False

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
    own: object = getattr(tp, "__name__", None)
    return own if isinstance(own, str) else repr(tp)


def split_metadata(tp: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return a type without its `Annotated` wrappers, and the metadata of all of them."""
    metadata: tuple[Any, ...] = ()
    while typing.get_origin(tp) is typing.Annotated:
        metadata = (*tp.__metadata__, *metadata)
        tp = tp.__origin__
    return tp, metadata


class Compiler:
    """One compilation: the definitions made so far, by name and by type."""

    def __init__(self, rules: Sequence[Rule], extra: ExtraKeys, lookup: Mapping[str, Any]) -> None:
        self.extra: ExtraKeys = extra
        self.definitions: dict[str, JsonSchema] = {}
        self._rules = rules
        self._lookup = lookup
        self._known: dict[Any, Node] = {}
        self._recursive: set[Any] = set()
        self._refusing: Compiler | None = None

    @property
    def refusing(self) -> Compiler:
        """A compiler for the same types that refuses undeclared keys."""
        if self._refusing is None:
            self._refusing = Compiler(self._rules, "forbid", self._lookup)
        return self._refusing

    def node(self, tp: Any, where: str) -> Node:
        """Return what the first fitting rule makes of a type."""
        for rule in self._rules:
            node = rule(self, tp, where)
            if node is not None:
                return node
        raise NoSchemaError(tp, where)

    def finish(self, tp: Any, node: Node, title: str | None, *, strict: bool) -> CompiledType:
        """Return the compiled root; a root that is a reference takes the place of its target."""
        schema = dict(node.schema)
        reference = schema.get("$ref")
        if isinstance(reference, str):
            name = reference.removeprefix(_DEFINITIONS)
            del schema["$ref"]
            schema = {"title": name, **self.definitions[name], **schema}
        if title is not None:
            schema = {"title": title} | schema | {"title": title}  # first in order, last in value
        if definitions := self._reachable(schema):
            schema["$defs"] = definitions
        if strict:
            schema = make_strict(schema, as_root=False)
        return CompiledType(tp, schema, node.structure, node.foreign)

    def named(
        self,
        key: Any,
        name: str,
        build: Callable[[], Node],
        *,
        kinds: frozenset[str] = ALL_KINDS,
        expected: str = "",
        inline: bool = False,
    ) -> Node:
        """Return a node whose schema is a definition; a type met again inside itself is a reference to it.

        Args:
            key: the type.
            name: what the definition should be called.
            build: makes the node that is defined.
            kinds: JSON types the node will have, for references made before it exists.
            expected: the same for its words; empty means `name`.
            inline: make a definition only of a type that refers to itself.
        """
        if (known := self._known.get(key)) is not None:
            self._recursive.add(key)
            return known
        name = self.unused_name(name)
        self.definitions[name] = {}
        reference: JsonSchema = {"$ref": f"{_DEFINITIONS}{name}"}
        built: list[Node] = []

        def structure(value: Any) -> Any:
            return built[0].structure(value)

        self._known[key] = Node(reference, structure, expected or name, kinds)
        try:
            node = build()
        except BaseException:
            del self._known[key], self.definitions[name]
            raise
        built.append(node)
        if inline and key not in self._recursive:
            del self._known[key], self.definitions[name]
            return node
        self.definitions[name] = node.schema
        self._known[key] = attrs.evolve(node, schema=reference)
        return self._known[key]

    def inlined(self, schema: JsonSchema) -> JsonSchema:
        """Return a schema that may get keywords beside it: a reference is replaced by its target when that exists."""
        name = str(schema.get("$ref", "")).removeprefix(_DEFINITIONS)
        if target := self.definitions.get(name):
            return {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
        if "$ref" in schema:  # a type inside itself
            return {"allOf": [{"$ref": schema["$ref"]}], **{key: schema[key] for key in schema if key != "$ref"}}
        return dict(schema)

    def _reachable(self, schema: JsonSchema) -> dict[str, JsonSchema]:
        """Return the definitions that a schema needs, in the order in which they were made."""
        needed: set[str] = set()
        pending = [schema]
        while pending:
            for member in all_subschemas([pending.pop()]):
                name = str(member.get("$ref", "")).removeprefix(_DEFINITIONS)
                if name in self.definitions and name not in needed:
                    needed.add(name)
                    pending.append(self.definitions[name])
        return {name: definition for name, definition in self.definitions.items() if name in needed}

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
            if field.required and (values := _tag_values(self.inlined(node.schema))):
                tags[field.key] = values
        schema: JsonSchema = {"type": "object", "properties": properties}
        if required := [field.key for field in fields if field.required]:
            schema["required"] = required
        if self.extra == "forbid":
            schema["additionalProperties"] = False
        if description:
            schema = {"description": description, **schema}
        structure = _object_structure(plan, build, expected, refuse_unknown=self.extra == "forbid")
        foreign = build is not as_is or any(node.foreign for _, _, node, _ in plan)
        return Node(schema, structure, expected, frozenset({"object"}), tags, foreign)

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

    def alias_value(self, alias: Any) -> Any:
        """Return what a type alias stands for, with the strings in it resolved where it was made."""
        module = sys.modules.get(alias.__module__)
        names = _Names({alias.__name__: alias}, self._lookup)
        try:
            return evaluated(alias.__value__, {} if module is None else vars(module), names)
        except NameError as exc:
            raise NoSchemaError(alias, "", f"it names {exc.name!r}, which is not defined there") from exc


def evaluated(annotation: Any, global_names: Mapping[str, Any], local_names: Mapping[str, Any]) -> Any:
    """Return an annotation as a type: strings, also those inside as in `list["Item"]`, are evaluated.

    Raises:
        NameError: it uses a name that neither mapping has.
    """

    def holder() -> None: ...

    holder.__annotations__ = {"value": annotation}
    return typing.get_type_hints(holder, dict(global_names), local_names, include_extras=True)["value"]


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
    known = ", ".join(f"`{key}`" for key, _, _, _ in plan)
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
            others = (key for key in typing.cast("dict[str, Any]", value) if key not in keys)
            faults.extend(Fault((key,), unknown) for key in others)
        if faults:
            raise Mismatch(faults)
        return build(given)

    return structure


def _property_schema(schema: JsonSchema, field: FieldSpec) -> JsonSchema:
    # A type with a definition has the title there
    schema = dict(schema) if _is_reference(schema) else {"title": _title_of(field.key), **schema}
    if field.description:
        schema["description"] = field.description
    if field.default is not MISSING:
        with contextlib.suppress(TypeError, ValueError):  # a default without a JSON form is the function's own business
            schema["default"] = as_json(field.default)
    return schema


def _is_reference(schema: JsonSchema) -> bool:
    """Return whether a schema is a reference, or one that may be null instead."""
    return "$ref" in schema or ("$ref" in schema.get("anyOf", ({},))[0] and schema["anyOf"][1:] == [{"type": "null"}])


def _title_of(key: str) -> str:
    return key.replace("_", " ").title().strip()


def _tag_values(schema: JsonSchema) -> frozenset[str]:
    values: list[Any] = [schema["const"]] if "const" in schema else schema.get("enum", [])
    return frozenset(values) if values and all(isinstance(value, str) for value in values) else frozenset()


def as_json(value: Any) -> Any:
    """Return a value of a type with a schema as JSON values.

    Raises:
        TypeError: it has no JSON form.
    """
    cls: Any = value.__class__
    members: Any = value
    match value:
        case enum.Enum():
            return as_json(value.value)
        case None | bool() | int() | str():
            return value
        case float() if math.isfinite(value):
            return value
        case datetime.datetime() | datetime.date() | datetime.time():
            return value.isoformat()
        case uuid.UUID() | decimal.Decimal() | pathlib.PurePath():
            return str(value)
        case list() | tuple() | set() | frozenset():
            return [as_json(item) for item in members]
        case dict() if all(isinstance(key, str) for key in members):
            return {key: as_json(item) for key, item in members.items()}
        case _:
            pass
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_json(getattr(value, field.name)) for field in dataclasses.fields(value) if field.init}
    if attrs.has(cls):
        return {field.alias: as_json(getattr(value, field.name)) for field in attrs.fields(cls) if field.init}
    if (dump := getattr(value, "model_dump", None)) is not None:
        return dump(mode="json")
    raise TypeError(f"no JSON form for {value!r}")


def all_subschemas(schemas: Iterable[JsonSchema]) -> Iterator[JsonSchema]:
    """Yield these schemas and all schemas inside them."""
    pending = list(schemas)
    while pending:
        schema = pending.pop()
        yield schema
        pending.extend(member for _, member in subschemas(schema))


def substitute(tp: Any, table: Mapping[Any, Any]) -> Any:
    """Return a type with its type variables replaced; those not in the table stay."""
    if isinstance(tp, typing.TypeVar):
        return table.get(tp, tp)
    parameters = () if isinstance(tp, type) and typing.get_origin(tp) is None else getattr(tp, "__parameters__", ())
    if not table or not parameters or typing.get_origin(tp) is typing.Generic:
        return tp
    alias: Any = tp
    return alias[tuple(table.get(parameter, parameter) for parameter in parameters)]


def as_is(value: Any) -> Any:
    """Return the value."""
    return value


def _same(one: Any, other: Any, *, ordered: bool = True) -> bool:
    """Return whether two JSON values are alike, down to the types and the order of keys; `ordered` is for the root."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        mine, others = cast("dict[str, Any]", one), cast("dict[str, Any]", other)
        keys_alike = list(mine) == list(others) if ordered else mine.keys() == others.keys()
        return keys_alike and all(_same(value, others[key]) for key, value in mine.items())
    if isinstance(one, list):
        items, others_items = cast("list[Any]", one), cast("list[Any]", other)
        return len(items) == len(others_items) and all(map(_same, items, others_items))
    return bool(one == other)


Rule = Callable[[Compiler, Any, str], Node | None]
"""Takes a type and its place; returns its node, or None when the type is not the rule's own."""
