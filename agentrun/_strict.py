"""JSON schemas as strict structured output wants them: every key required, no key undeclared.

Optional keys become required and objects become closed; nothing else about what a schema accepts is changed on purpose,
and what would have to be loosened raises `UserError`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, NoReturn, TypeGuard

import attrs

from agentrun._exceptions import UserError

JsonSchema = dict[str, Any]
"""One JSON schema object, draft 2020-12."""

MAX_SCHEMA_DEPTH = 100
"""Nested dicts and lists of one schema; keeps our recursion far from Python's limit for schemas we did not write."""
MAX_SCHEMA_NODES = 100_000
"""Subschemas visited; stops a fan-out of `$ref`s, which a foreign schema can make exponential."""

_MAPS_OF_SCHEMAS = ("$defs", "definitions", "properties", "patternProperties", "dependentSchemas")
_DEFINITIONS = ("$defs.", "definitions.", "components.schemas.")
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
        "components",
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

_READ_TOGETHER = (
    ("properties", "patternProperties", "additionalProperties", "unevaluatedProperties"),
    ("items", "prefixItems", "additionalItems", "unevaluatedItems"),
    ("contains", "minContains", "maxContains"),
    ("if", "then", "else"),
)
"""Keywords that mean something else beside others of their line."""

_NOT_STRICT = "name every key in 'properties', or turn strict mode off for this tool or output type"


class SchemaReferenceError(UserError, ValueError):
    """A `$ref` that cannot be replaced by what it points to."""


def ensure_strict_json_schema(schema: JsonSchema) -> JsonSchema:
    """Return a copy of a schema in the form that strict function calling and strict outputs want.

    Every object lists all its properties as required and forbids others; `default: null` is dropped and other
    defaults stay; `oneOf` becomes `anyOf`; an `allOf` of one is merged into its parent; a `$ref` with annotations
    beside it is replaced by its target plus the annotations. The given dict is not changed. `{}` becomes an object
    without keys.

    Raises:
        TypeError: the schema is no dict.
        UserError: an object allows undeclared keys, an `allOf` of one and its parent both say what the other does not,
            a `$ref` has constraints beside it, the root is a union or may be null, or the schema is deeper than 100
            levels or larger than 100,000 nodes. It is a ValueError too if a `$ref` has no target in the schema, goes
            round in a circle, or leads into or out of a part with an `$id` of its own.

    Source: tools, "Function tools", strict mode.
    """
    return make_strict(schema, as_root=True)


def make_strict(schema: JsonSchema, *, as_root: bool) -> JsonSchema:
    """As `ensure_strict_json_schema`; `as_root=False` leaves out the rules that only hold for a whole request."""
    _check_depth(schema)
    if schema == {}:
        return {"type": "object", "properties": {}, "required": [], "additionalProperties": False} if as_root else {}
    strict = _Strict(schema).root()
    if as_root:
        _check_root(strict)
    return strict


def subschemas(schema: JsonSchema) -> Iterator[tuple[str, JsonSchema]]:
    """Yield each schema directly inside `schema` with its place, such as `properties.name`; booleans are left out."""
    shared = schema.get("components")  # where OpenAPI documents keep their definitions
    maps: dict[str, object] = {keyword: schema.get(keyword) for keyword in _MAPS_OF_SCHEMAS}
    maps["components.schemas"] = shared.get("schemas") if _is_object(shared) else None
    for place, members in maps.items():
        for name, member in members.items() if _is_object(members) else ():
            if _is_object(member):
                yield f"{place}.{name}", member
    for keyword in _LISTS_OF_SCHEMAS:
        if _is_array(members := schema.get(keyword)):
            for index, member in enumerate(members):
                if _is_object(member):
                    yield f"{keyword}[{index}]", member
    for keyword in _SCHEMAS:
        if _is_object(member := schema.get(keyword)):
            yield keyword, member


@attrs.frozen(eq=False, repr=False)
class _Place:
    """Where in the document a conversion is."""

    path: str = "$"
    depth: int = 1
    expanding: tuple[str, ...] = ()
    """The `$ref`s whose targets we are inside of."""
    in_resource: bool = False
    """Whether we are inside a part with an `$id` of its own, where a `$ref` means something else."""

    def member(self, name: str, schema: JsonSchema) -> _Place:
        """Return the place of a schema directly inside."""
        inside = self.in_resource or _is_resource(schema)
        return _Place(f"{self.path}.{name}", self.depth + 1, self.expanding, inside)

    def target(self, reference: str) -> _Place:
        """Return the same place once the target of a reference stands there."""
        return _Place(self.path, self.depth + 1, (*self.expanding, reference), self.in_resource)


class _Strict:
    """One conversion: the document that `$ref`s point into, and what is left of the node budget."""

    def __init__(self, given: JsonSchema) -> None:
        self._document = copy.deepcopy(given)
        # Targets are read from here: the document itself is rewritten in place while we walk it.
        self._original = given
        self._nodes_left = MAX_SCHEMA_NODES

    def root(self) -> JsonSchema:
        self._convert(self._document, _Place())
        return self._document

    def _convert(self, schema: JsonSchema, place: _Place) -> None:
        """Rewrite `schema` in place."""
        outside, place = place, self._flatten(schema, place)
        if schema.get("default", ...) is None:
            del schema["default"]
        _one_of_to_any_of(schema)
        _close_object(schema, place.path)
        for name, member in subschemas(schema):
            # The definitions of the document stand in none of the targets that the root was made of.
            is_definition = outside.path == "$" and name.startswith(_DEFINITIONS)
            self._convert(member, (outside if is_definition else place).member(name, member))

    def _flatten(self, schema: JsonSchema, place: _Place, *, whole: bool = False) -> _Place:
        """Replace, in place, an `allOf` of one and a `$ref` that has company by what they mean.

        Args:
            schema: the schema.
            place: where it stands.
            whole: replace a `$ref` without company too.

        Returns:
            The place, which knows of the references that were followed.
        """
        followed = len(place.expanding)
        while True:
            self._spend(place)
            if _is_array(members := schema.get("allOf")) and len(members) == 1 and _is_object(members[0]):
                place = self._merge_single_all_of(schema, members[0], place)
                continue
            reference = schema.get("$ref")
            if reference is not None and place.in_resource:
                _refuse_resource(place)
            if reference is None or (len(schema) == 1 and not whole):
                return place
            if reference in place.expanding[followed if not whole else 0 :]:
                raise SchemaReferenceError(
                    f"'$ref' {reference!r} at {place.path} is circular; let it lead to a schema, or stand alone"
                )
            expanded = self._expand(schema, reference, place)
            if expanded is place:
                return place
            place = expanded

    def _spend(self, place: _Place) -> None:
        if place.depth > MAX_SCHEMA_DEPTH:
            raise UserError(
                f"the JSON schema expands deeper than {MAX_SCHEMA_DEPTH} levels at {place.path}; flatten it"
            )
        self._nodes_left -= 1
        if self._nodes_left < 0:
            raise UserError(
                f"the JSON schema expands to more than {MAX_SCHEMA_NODES} nodes; use fewer or flatter $refs"
            )

    def _merge_single_all_of(self, schema: JsonSchema, member: JsonSchema, place: _Place) -> _Place:
        """Lay the only member of an `allOf` over `schema`, whose own annotations win."""
        if "$ref" in schema:
            _refuse_beside_reference(["allOf"], place)
        if _is_resource(member):
            _refuse_resource(place)
        del schema["allOf"]
        texts = {key: value for key, value in schema.items() if key in _ANNOTATIONS}
        if len(texts) < len(schema):
            place = self._flatten(member, place, whole=True)
            _check_mergeable(schema, member, place)
        schema.update({key: value for key, value in member.items() if key not in schema or value != {}})
        schema.update(texts)
        return place

    def _expand(self, schema: JsonSchema, reference: object, place: _Place) -> _Place:
        """Replace the `$ref` of `schema` by its target; annotations beside it win over those of the target.

        Returns:
            The place of the target, or `place` itself when the reference stays.
        """
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        if constraints := sorted(beside.keys() - _ANNOTATIONS):
            _refuse_beside_reference(constraints, place)
        if not isinstance(reference, str):
            raise SchemaReferenceError(f"'$ref' at {place.path} must be a string, got {reference!r}")
        if beside.keys() == {"default"} and beside["default"] is None:
            del schema["default"]
            return place
        if reference in place.expanding or (reference == "#" and place.path != "$"):
            # A recursive schema has no finite expansion; only texts are lost by keeping the bare reference.
            schema.clear()
            schema["$ref"] = reference
            return place
        target = copy.deepcopy(self._resolve(reference, place))
        schema.clear()
        schema.update(target)
        schema.update(beside)
        return place.target(reference)

    def _resolve(self, reference: str, place: _Place) -> JsonSchema:
        if reference != "#" and not reference.startswith("#/"):
            raise SchemaReferenceError(
                f"'$ref' {reference!r} at {place.path} points outside the schema; use '#/$defs/<name>'"
            )
        from urllib.parse import unquote

        target: object = self._original
        try:
            parts = unquote(reference, errors="strict").split("/")[1:]
        except UnicodeDecodeError as exc:
            raise SchemaReferenceError(f"'$ref' {reference!r} at {place.path} is not UTF-8 once decoded") from exc
        for part in parts:
            part = part.replace("~1", "/").replace("~0", "~")
            if _is_object(target) and part in target:
                target = target[part]
            elif _is_array(target) and part.isdecimal() and int(part) < len(target):
                target = target[int(part)]
            else:
                raise SchemaReferenceError(
                    f"'$ref' {reference!r} at {place.path} has no target; add {part!r} to the schema"
                )
            if _is_object(target) and _is_resource(target):
                _refuse_resource(place)
        if not _is_object(target):
            raise SchemaReferenceError(
                f"'$ref' {reference!r} at {place.path} must point to a schema object, not {target!r}"
            )
        return target


def _is_resource(schema: JsonSchema) -> bool:
    """Return whether references in `schema` are read against an identifier of its own."""
    return isinstance(schema.get("$id"), str)


def _refuse_resource(place: _Place) -> NoReturn:
    raise SchemaReferenceError(
        f"the JSON schema has a '$ref' at {place.path} that leads into or out of a part with an '$id' of its own; "
        "take out that '$id' and let the reference begin at the root"
    )


def _refuse_beside_reference(keywords: list[str], place: _Place) -> NoReturn:
    raise UserError(
        f"the JSON schema has {', '.join(map(repr, keywords))} beside '$ref' at {place.path}, which strict mode "
        "cannot merge without changing what is accepted; move them into the target of the reference"
    )


def _check_mergeable(schema: JsonSchema, member: JsonSchema, place: _Place) -> None:
    """Raise if the two together, as one object, would not accept just what both accept."""
    alone = (schema.keys() & member.keys()) - _ANNOTATIONS - {key for keys in _READ_TOGETHER for key in keys}
    for keys in (*_READ_TOGETHER, *((key,) for key in sorted(alone))):
        ours, theirs = ({key: one[key] for key in keys if one.get(key, {}) != {}} for one in (schema, member))
        if ours and theirs and not _same_json(ours, theirs):
            raise UserError(
                f"the JSON schema has {', '.join(map(repr, ours))} beside an 'allOf' with "
                f"{', '.join(map(repr, theirs))} at {place.path}, which strict mode cannot merge without changing what "
                "is accepted; write one schema that says both"
            )


def _same_json(one: object, other: object) -> bool:
    """Return whether two values are the same JSON: 1 and 1.0 are, 1 and true are not."""
    if _is_object(one) and _is_object(other):
        return one.keys() == other.keys() and all(_same_json(one[key], other[key]) for key in one)
    if _is_array(one) and _is_array(other):
        return len(one) == len(other) and all(map(_same_json, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and one == other


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
        raise TypeError(f"a JSON schema must be a dict, got {schema!r}")
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
