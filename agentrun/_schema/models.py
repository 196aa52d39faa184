"""The rule for types that pydantic describes and checks; pydantic is imported only when such a type exists."""

from __future__ import annotations

import json
import sys
import typing
from typing import Any

from agentrun._json import Fault, Mismatch, shown
from agentrun._schema.core import (
    ALL_KINDS,
    Compiler,
    Node,
    NoSchemaError,
    Rule,
    all_subschemas,
    type_name,
)
from agentrun._strict import JsonSchema


def _pydantic(compiler: Compiler, tp: Any, where: str) -> Node | None:
    # Whoever has a pydantic type has imported pydantic; asking for the attribute imports nothing.
    if "pydantic" in sys.modules and hasattr(typing.get_origin(tp) or tp, "__get_pydantic_core_schema__"):
        return pydantic_node(compiler, tp, where)
    return None


def pydantic_node(compiler: Compiler, tp: Any, where: str) -> Node:
    """Return the node of a type that pydantic describes and checks, in its strict JSON mode."""
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
        for member in all_subschemas([schema, *definitions.values()])
        if "properties" in member and member.get("additionalProperties", False) is not False
    ]
    refuse = compiler.extra == "forbid" and not open_objects
    if refuse:
        for member in all_subschemas([schema, *definitions.values()]):
            if "properties" in member:
                member["additionalProperties"] = False
    options: dict[str, Any] = {"extra": "forbid"} if refuse else {}
    renamed = {name: compiler.unused_name(name) for name in definitions}
    for member in all_subschemas([schema, *definitions.values()]):
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
    kind: object = target.get("type")
    found = frozenset({kind}) if isinstance(kind, str) else ALL_KINDS
    if kind == "number":
        found = frozenset({"integer", "number"})
    if "properties" in schema:
        inline = schema
        return compiler.named(tp, type_name(tp), lambda: Node(inline, structure, expected, found), kinds=found)
    return Node(schema, structure, expected if kind == "object" else type_name(tp), found)


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


RULES: tuple[Rule, ...] = (_pydantic,)
