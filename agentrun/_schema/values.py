"""The rules for everything that is neither a class with fields nor pydantic's."""

from __future__ import annotations

import collections.abc
import datetime
import decimal
import enum
import inspect
import math
import pathlib
import re
import types
import typing
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Literal

import attrs
import typing_extensions

from agentrun._json import MAX_FAULTS, Fault, Mismatch, is_array, is_object, mismatch, quoted, shown
from agentrun._schema.core import (
    ALL_KINDS,
    KIND_OF,
    MARKERS,
    Compiler,
    Node,
    NoSchemaError,
    Rule,
    as_is,
    substitute,
    type_name,
)

# A rule returns None when the type is not its own. The order of RULES matters only where two rules could take a type.
from agentrun._strict import JsonSchema


def _anything(compiler: Compiler, tp: Any, where: str) -> Node | None:
    if tp is Any or tp is object or tp is inspect.Parameter.empty or tp is typing_extensions.Any:
        return Node({}, as_is, "any value", ALL_KINDS, foreign=False)
    return None


def _exactly(kind: str, tp: type) -> Node:
    def structure(value: Any) -> Any:
        if type(value) is tp:
            return value
        raise mismatch(kind, value)

    return Node({"type": kind}, structure, kind, frozenset({kind}), foreign=False)


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
    float: Node({"type": "number"}, _float, "number", frozenset({"integer", "number"}), foreign=False),
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

    return Node({"type": "string", **schema}, structure, expected, frozenset({"string"}), foreign=False)


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
    return Node(schema, structure, expected, frozenset({"integer", "number", "string"}), foreign=False)


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


def _scalar(compiler: Compiler, tp: Any, where: str) -> Node | None:
    try:
        return _SCALARS.get(tp)
    except TypeError:  # not hashable, so it is no scalar
        return None


def _transparent(compiler: Compiler, tp: Any, where: str) -> Node | None:
    """NewType, type aliases, type variables and markers such as Required: the node is that of what they stand for."""
    if isinstance(tp, typing.NewType):
        return compiler.node(tp.__supertype__, where)
    if isinstance(tp, typing.TypeVar):
        return compiler.node(_type_of_variable(tp), where)
    origin = typing.get_origin(tp)
    if origin in MARKERS:
        return compiler.node(typing.get_args(tp)[0], where)
    alias = origin if origin is not None else tp
    if type(alias).__name__ != "TypeAliasType":
        return None
    value = compiler.alias_value(alias)
    if origin is not None:
        value = substitute(value, dict(zip(alias.__type_params__, typing.get_args(tp), strict=False)))
    return compiler.named(tp, type_name(tp), lambda: compiler.node(value, where), inline=True)


def _type_of_variable(variable: Any) -> Any:
    default = getattr(variable, "__default__", typing_extensions.NoDefault)
    if default is not typing_extensions.NoDefault and default is not None:
        return default
    if variable.__constraints__:
        return typing.Union[variable.__constraints__]  # noqa: UP007 - the members are a tuple
    return Any if variable.__bound__ is None else variable.__bound__


def _literal(compiler: Compiler, tp: Any, where: str) -> Node | None:
    if typing.get_origin(tp) is not Literal and typing.get_origin(tp) is not typing_extensions.Literal:
        return None
    choices = [(value.value if isinstance(value, enum.Enum) else value, value) for value in typing.get_args(tp)]
    return _choice_node(choices, tp, where)


def _enum(compiler: Compiler, tp: Any, where: str) -> Node | None:
    if not (isinstance(tp, type) and issubclass(tp, enum.Enum)):
        return None
    if not len(tp):
        raise NoSchemaError(tp, where, "the enum has no members")

    def build() -> Node:
        node = _choice_node([(member.value, member) for member in tp], tp, where)
        text = inspect.cleandoc(tp.__dict__.get("__doc__") or "")
        described = {"description": text} if text else {}
        return attrs.evolve(node, schema={"title": tp.__name__, **described, **node.schema})

    return compiler.named(tp, tp.__name__, build)


def _choice_node(choices: Sequence[tuple[Any, Any]], tp: Any, where: str) -> Node:
    """Return the node of a fixed set of JSON scalars, each with the value it stands for."""
    # The type is part of the key: 1, 1.0 and True are equal in Python and different in JSON.
    members: dict[tuple[Any, Any], Any] = {}
    for value, member in choices:
        if value is not None and not isinstance(value, (str, int, float)):
            raise NoSchemaError(tp, where, f"{value!r} is no JSON scalar")
        plain: Any = value if type(value) in KIND_OF else _plain_scalar(value)
        members.setdefault((plain.__class__, plain), member)
    values = [value for _, value in members]
    kinds = list(dict.fromkeys(KIND_OF[base] for base, _ in members))
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

    return Node(schema, structure, expected, frozenset(kinds), foreign=False)


def _plain_scalar(value: Any) -> Any:
    """Return a value of a subclass, such as a member of StrEnum, as the builtin."""
    if isinstance(value, str):
        return str.__str__(value)
    return int(value) if isinstance(value, int) else float(value)


def _union(compiler: Compiler, tp: Any, where: str) -> Node | None:
    if typing.get_origin(tp) not in (typing.Union, types.UnionType):
        return None
    members = typing.get_args(tp)
    nodes = [compiler.node(member, where) for member in members]
    expected = " or ".join(dict.fromkeys(node.expected for node in nodes))
    by_kind = {kind: _by_preference(nodes, kind) for kind in ALL_KINDS}
    if compiler.extra == "ignore" and sum(bool(node.kinds & {"array", "object"}) for node in nodes) > 1:
        # An object with keys of B must not become an A that leaves them out: exact members go first.
        exact = [compiler.refusing.node(member, where) for member in members]
        by_kind = {kind: [*_by_preference(exact, kind), *by_kind[kind]] for kind in ALL_KINDS}
    candidates = {kind: [node.structure for node in found] for kind, found in by_kind.items()}

    def structure(value: Any) -> Any:
        kind = KIND_OF.get(value.__class__, "")
        found = candidates.get(kind, [])
        if len(found) == 1:
            return found[0](value)
        tried: list[Mismatch] = []
        for structure_member in found:
            try:
                return structure_member(value)
            except Mismatch as exc:
                tried.append(exc)
        raise _best_mismatch(by_kind[kind] if tried else [], tried, expected, value)

    schema = {"anyOf": [node.schema for node in nodes]}
    kinds = frozenset[str]().union(*(node.kinds for node in nodes))
    return Node(schema, structure, expected, kinds, foreign=any(node.foreign for node in nodes))


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
_SETS: tuple[Any, ...] = (set, frozenset, collections.abc.Set, collections.abc.MutableSet)
_MAPPINGS: tuple[Any, ...] = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


def _container(compiler: Compiler, tp: Any, where: str) -> Node | None:
    origin = typing.get_origin(tp) or tp
    arguments = typing.get_args(tp)
    if origin in _MAPPINGS:
        return _mapping(compiler, tp, where)
    if _is_fixed_tuple(tp):
        return _fixed_tuple(compiler, arguments, where)
    item_type = arguments[0] if arguments else Any
    if origin in _LISTS:
        return _array(compiler.node(item_type, f"{where}[]"), as_is)
    if origin is tuple:
        return _array(compiler.node(item_type, f"{where}[]"), tuple)
    if origin in _SETS:
        return _array(compiler.node(item_type, f"{where}[]"), frozenset if origin is frozenset else set)
    return None


def _array(item: Node, makes: Callable[[list[Any]], Any]) -> Node:
    """Return the node of an array of any length; equal members of a set become one."""
    structure_item = item.structure

    def structure(value: Any) -> Any:
        if not is_array(value):
            raise mismatch("array", value)
        items: list[Any] = []
        faults: list[Fault] = []
        for index, member in enumerate(value):
            try:
                items.append(structure_item(member))
            except Mismatch as exc:
                faults.extend(exc.under(index))
                if len(faults) > MAX_FAULTS:
                    break
        if faults:
            raise Mismatch(faults)
        try:
            return makes(items)
        except TypeError:  # a set of what cannot be hashed
            raise mismatch("array of values other than arrays and objects", value) from None

    schema = {"type": "array", "items": item.schema}
    return Node(schema, structure, "array", frozenset({"array"}), foreign=item.foreign)


def _is_fixed_tuple(tp: Any) -> bool:
    arguments = typing.get_args(tp)
    # tuple[()] has an origin and no arguments; a bare tuple has neither, and typing.Tuple stands for it.
    return typing.get_origin(tp) is tuple and tp is not typing.Tuple and arguments[1:] != (...,)  # noqa: UP006


def _fixed_tuple(compiler: Compiler, arguments: Sequence[Any], where: str) -> Node:
    members = [compiler.node(member, f"{where}[{index}]") for index, member in enumerate(arguments)]
    length = len(members)
    expected = f"array of {length} items" if length != 1 else "array of 1 item"

    def structure(value: Any) -> Any:
        if not is_array(value) or len(value) != length:
            raise mismatch(expected, value)
        items: list[Any] = []
        faults: list[Fault] = []
        for index, (node, member) in enumerate(zip(members, value, strict=True)):
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
    return Node(schema, structure, expected, frozenset({"array"}), foreign=any(node.foreign for node in members))


_INTEGER_KEY = r"^(0|-?[1-9][0-9]*)$"


def _mapping(compiler: Compiler, tp: Any, where: str) -> Node:
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
        if not is_object(value):
            raise mismatch("object", value)
        result: dict[Any, Any] = {}
        faults: list[Fault] = []
        for name, content in value.items():
            try:
                result[name if structure_key is None else structure_key(name)] = structure_member(content)
            except Mismatch as exc:
                faults.extend(exc.under(name))
                if len(faults) > MAX_FAULTS:
                    break
        if faults:
            raise Mismatch(faults)
        return result

    return Node(schema, structure, "object", frozenset({"object"}), foreign=key.foreign or member.foreign)


RULES: tuple[Rule, ...] = (_anything, _scalar, _transparent, _literal, _union, _enum, _container)
