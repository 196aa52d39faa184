"""Type hints -> JSON schemas, and JSON values -> values of those types.

One registry (`_RULES`) serves both: a rule turns a type into a `Node`, which holds the schema that is sent and the
function that checks and converts what comes back, so the two cannot drift apart. All reflection happens in
`compile_type`; a compiled type only calls closures.

What a model wrote is taken strictly: "1" is not 1, true is not 1, 1.0 is no integer (an integer does for a float), and
keys that no field names are refused. Union members are tried in the order in which they are written, except that an
integer prefers `int` over `float`.

    core.py      nodes, the compiler that collects definitions, compiled types
    values.py    scalars, Literal, enums, unions, containers, aliases
    classes.py   TypedDict, dataclasses, attrs classes, named tuples, generic ones included
    models.py    what pydantic describes
    limits.py    Annotated texts and limits
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentrun._exceptions import UserError
from agentrun._json import StructureError, parse_json
from agentrun._schema import classes, limits, models, values
from agentrun._schema.classes import own_docstring
from agentrun._schema.core import (
    MISSING,
    REMEDY,
    CompiledType,
    Compiler,
    ExtraKeys,
    FieldSpec,
    NoSchemaError,
    Rule,
    as_is,
    evaluated,
    split_metadata,
    type_name,
)
from agentrun._schema.limits import Meta, describe
from agentrun._strict import JsonSchema

__all__ = [
    "MISSING",
    "REMEDY",
    "CompiledType",
    "ExtraKeys",
    "FieldSpec",
    "JsonSchema",
    "Meta",
    "NoSchemaError",
    "StructureError",
    "compile_fields",
    "compile_type",
    "describe",
    "evaluated",
    "json_schema",
    "own_docstring",
    "parse_json",
    "split_metadata",
    "type_name",
]

# pydantic goes before classes (its dataclasses are dataclasses) and before enums with schemas of their own.
_RULES: tuple[Rule, ...] = (*limits.RULES, *models.RULES, *values.RULES, *classes.RULES)
"""The registry: every type agentrun knows is known to one of these."""


def compile_type(
    tp: Any,
    *,
    strict: bool = True,
    extra: ExtraKeys = "forbid",
    title: str | None = None,
    lookup: Mapping[str, Any] | None = None,
) -> CompiledType:
    """Return the schema and the structurer of a type.

    `strict` changes the schema only: a key that is required there for the provider's sake, and has a default, may still
    be missing from the value.

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
    compiler = Compiler(_RULES, extra, lookup or {})
    try:
        node = compiler.node(tp, "")
    except RecursionError:
        raise NoSchemaError(tp, "", "it holds ever new types, as Box[T] with a Box[list[T]] inside") from None
    return compiler.finish(tp, node, title, strict=strict)


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
    compiler = Compiler(_RULES, extra, lookup or {})
    try:
        node = compiler.object_node(fields, as_is, "object", "")
    except RecursionError:
        raise UserError(f"{title}: a type holds ever new types, as Box[T] with a Box[list[T]] inside") from None
    return compiler.finish(dict, node, title, strict=strict)


def json_schema(tp: Any, *, strict: bool = True) -> JsonSchema:
    """Return the JSON schema of a type.

    Raises:
        NoSchemaError: the type has none.
        UserError: it cannot be strict.
    """
    return compile_type(tp, strict=strict).schema
