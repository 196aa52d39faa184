"""JSON schemas as strict structured output wants them: every key required, no key undeclared.

Optional keys become required and objects become closed; nothing else about what a schema accepts is changed on purpose,
and what would have to be loosened raises `UserError`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, TypeGuard
from urllib.parse import unquote

from agentrun._exceptions import UserError

JsonSchema = dict[str, Any]
"""One JSON schema object, draft 2020-12."""

MAX_SCHEMA_DEPTH = 100
"""Nested dicts and lists of one schema; keeps our recursion far from Python's limit for schemas we did not write."""
MAX_SCHEMA_NODES = 100_000
"""Subschemas visited; stops a fan-out of `$ref`s, which a foreign schema can make exponential."""

_MAPS_OF_SCHEMAS = ("$defs", "definitions", "properties", "patternProperties", "dependentSchemas")
_LISTS_OF_SCHEMAS = ("anyOf", "oneOf", "allOf", "prefixItems")
# Not walked: `not`, `if`, `contains` and their kin, where closing an object would turn what it means around.
_SCHEMAS = ("items", "additionalProperties")

_ANNOTATIONS = frozenset(
    {
        "$anchor",
        "$comment",
        "$defs",
        "$id",
        "$schema",
        "contentEncoding",
        "contentMediaType",
        "contentSchema",
        "default",
        "definitions",
        "deprecated",
        "description",
        "examples",
        "readOnly",
        "title",
        "writeOnly",
    }
)
"""Keywords that accept every value, so they may stand beside a `$ref` and outlive it."""

_NOT_STRICT = "name every key in 'properties', or turn strict mode off for this tool or output type"


def ensure_strict_json_schema(schema: JsonSchema) -> JsonSchema:
    """Return a copy of a schema in the form that strict function calling and strict outputs want.

    Every object lists all its properties as required and forbids others; `default: null` is dropped and other
    defaults stay; `oneOf` becomes `anyOf`; an `allOf` of one is merged into its parent; a `$ref` with annotations
    beside it is replaced by its target plus the annotations. The given dict is not changed. `{}` becomes an object
    without keys.

    Raises:
        UserError: an object allows undeclared keys, a `$ref` cannot be resolved or has constraints beside it, the root
            is a union or may be null, or the schema is deeper than 100 levels or larger than 100,000 nodes.

    Source: tools, "Function tools", strict mode.
    """
    return make_strict(schema, as_root=True)


def make_strict(schema: JsonSchema, *, as_root: bool) -> JsonSchema:
    """As `ensure_strict_json_schema`; `as_root=False` leaves out the rules that only hold for a whole request."""
    _check_depth(schema)
    if schema == {}:
        return {"type": "object", "properties": {}, "required": [], "additionalProperties": False} if as_root else {}
    strict = _Strict(copy.deepcopy(schema)).root()
    if as_root:
        _check_root(strict)
    return strict


def subschemas(schema: JsonSchema) -> Iterator[tuple[str, JsonSchema]]:
    """Yield each schema directly inside `schema` with its place, such as `properties.name`; booleans are left out."""
    for keyword in _MAPS_OF_SCHEMAS:
        if _is_object(members := schema.get(keyword)):
            for name, member in members.items():
                if _is_object(member):
                    yield f"{keyword}.{name}", member
    for keyword in _LISTS_OF_SCHEMAS:
        if _is_array(members := schema.get(keyword)):
            for index, member in enumerate(members):
                if _is_object(member):
                    yield f"{keyword}[{index}]", member
    for keyword in _SCHEMAS:
        if _is_object(member := schema.get(keyword)):
            yield keyword, member


class _Strict:
    """One conversion: the document that `$ref`s point into, and what is left of the node budget."""

    def __init__(self, document: JsonSchema) -> None:
        self._document = document
        # Targets are read from here: the document itself is rewritten in place while we walk it.
        self._original = copy.deepcopy(document)
        self._nodes_left = MAX_SCHEMA_NODES

    def root(self) -> JsonSchema:
        self._convert(self._document, "$", (), 1)
        return self._document

    def _convert(self, schema: JsonSchema, where: str, expanding: tuple[str, ...], depth: int) -> None:
        """Rewrite `schema` in place; `expanding` holds the `$ref`s whose targets we are inside of."""
        if depth > MAX_SCHEMA_DEPTH:
            raise UserError(f"the JSON schema expands deeper than {MAX_SCHEMA_DEPTH} levels at {where}; flatten it")
        self._nodes_left -= 1
        if self._nodes_left < 0:
            raise UserError(
                f"the JSON schema expands to more than {MAX_SCHEMA_NODES} nodes; use fewer or flatter $refs"
            )

        # Merging may uncover a further allOf of one or $ref, each of which is smaller or one expansion deeper.
        while True:
            _merge_single_all_of(schema)
            reference = schema.get("$ref")
            if reference is None or len(schema) == 1:
                break
            expanding = self._expand(schema, reference, where, expanding)
        if schema.get("default", ...) is None:
            del schema["default"]
        _one_of_to_any_of(schema)
        _close_object(schema, where)
        for place, member in subschemas(schema):
            self._convert(member, f"{where}.{place}", expanding, depth + 1)

    def _expand(self, schema: JsonSchema, reference: object, where: str, expanding: tuple[str, ...]) -> tuple[str, ...]:
        """Replace the `$ref` of `schema` by its target; annotations beside it win over those of the target."""
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        if constraints := sorted(beside.keys() - _ANNOTATIONS):
            raise UserError(
                f"the JSON schema has {', '.join(map(repr, constraints))} beside '$ref' at {where}, which strict mode "
                "cannot merge without changing what is accepted; move them into the target of the reference"
            )
        if not isinstance(reference, str):
            raise UserError(f"'$ref' at {where} must be a string, got {reference!r}")
        if beside.keys() <= {"default"} and beside.get("default", ...) is None:
            del schema["default"]
            return expanding
        if reference in expanding or (reference == "#" and where != "$"):
            # A recursive schema has no finite expansion; only texts are lost by keeping the bare reference.
            schema.clear()
            schema["$ref"] = reference
            return expanding
        target = copy.deepcopy(self._resolve(reference, where))
        schema.clear()
        schema.update(target)
        schema.update(beside)
        return (*expanding, reference)

    def _resolve(self, reference: str, where: str) -> JsonSchema:
        if reference != "#" and not reference.startswith("#/"):
            raise UserError(f"'$ref' {reference!r} at {where} points outside the schema; use '#/$defs/<name>'")
        target: object = self._original
        for part in unquote(reference).split("/")[1:]:
            part = part.replace("~1", "/").replace("~0", "~")
            if _is_object(target) and part in target:
                target = target[part]
            elif _is_array(target) and part.isdecimal() and int(part) < len(target):
                target = target[int(part)]
            else:
                raise UserError(f"'$ref' {reference!r} at {where} has no target; add {part!r} to the schema")
        if not _is_object(target):
            raise UserError(f"'$ref' {reference!r} at {where} must point to a schema object, not {target!r}")
        return target


def _merge_single_all_of(schema: JsonSchema) -> None:
    while _is_array(members := schema.get("allOf")) and len(members) == 1 and _is_object(members[0]):
        del schema["allOf"]
        for key, value in members[0].items():
            schema.setdefault(key, value)


def _one_of_to_any_of(schema: JsonSchema) -> None:
    if _is_array(variants := schema.get("oneOf")):
        del schema["oneOf"]
        present = schema.get("anyOf")
        schema["anyOf"] = [*present, *variants] if _is_array(present) else variants


def _close_object(schema: JsonSchema, where: str) -> None:
    """Make an object schema list what it allows; anything else is left alone."""
    properties = schema.get("properties")
    if _is_object(properties):
        for name, member in properties.items():
            if member is True:
                properties[name] = {}
            elif not _is_object(member):
                raise UserError(f"the JSON schema of {where}.properties.{name} must be an object, got {member!r}")
        schema.setdefault("type", "object")
    type_name: object = schema.get("type")
    is_object = type_name == "object" or (_is_array(type_name) and "object" in type_name)
    others = schema.get("additionalProperties", False)
    if others is not False and (is_object or type_name is None):
        raise UserError(
            f"the JSON schema at {where} allows undeclared keys (additionalProperties is {others!r}), which strict "
            f"mode does not; {_NOT_STRICT}"
        )
    if is_object:
        schema["additionalProperties"] = False
        if _is_object(properties):
            schema["required"] = list(properties)


def _check_root(schema: JsonSchema) -> None:
    if _is_array(schema.get("anyOf")):
        raise UserError("the root of a strict JSON schema must be one object, got 'anyOf'; wrap the union in an object")
    type_name = schema.get("type")
    if type_name == ["object"]:
        schema["type"] = "object"
    elif _is_array(type_name) and "object" in type_name:
        raise UserError(f"the root of a strict JSON schema must be an object and nothing else, got type {type_name!r}")


def _check_depth(schema: JsonSchema) -> None:
    """Raise before anything recursive, `copy.deepcopy` included, sees a schema that is too deep."""
    if not _is_object(schema):
        raise UserError(f"a JSON schema must be a dict, got {schema!r}")
    pending: list[tuple[object, int]] = [(schema, 1)]
    seen = 0
    while pending:
        value, depth = pending.pop()
        seen += 1
        if depth > MAX_SCHEMA_DEPTH:
            raise UserError(f"the JSON schema is nested deeper than {MAX_SCHEMA_DEPTH} levels; flatten it")
        if seen > MAX_SCHEMA_NODES:
            raise UserError(f"the JSON schema has more than {MAX_SCHEMA_NODES} nodes; make it smaller")
        members = value.values() if _is_object(value) else value if _is_array(value) else ()
        pending.extend((member, depth + 1) for member in members if _is_object(member) or _is_array(member))


def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _is_array(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)
