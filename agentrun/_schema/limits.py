"""The rule for `Annotated`: texts and limits, from whichever library they come."""

from __future__ import annotations

import decimal
import inspect
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import attrs

from agentrun._json import Fault, Mismatch, shown
from agentrun._schema.core import Compiler, Node, NoSchemaError, Rule, split_metadata, type_name
from agentrun._schema.models import pydantic_node


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


def describe(metadata: Iterable[Any]) -> str | None:
    """Return the description among the metadata of an `Annotated` type: the first string, else the last object's."""
    found: str | None = None
    for item in metadata:
        if isinstance(item, str) and item:
            return inspect.cleandoc(item)
        for name in ("documentation", "description"):
            text = None if isinstance(item, type) else getattr(item, name, None)
            if isinstance(text, str) and text:
                found = text
    return None if found is None else inspect.cleandoc(found)


_PYDANTIC_HOOKS = ("__get_pydantic_core_schema__", "__get_pydantic_json_schema__")
"""Metadata with one of these changes how pydantic checks or describes the type."""


def _annotated(compiler: Compiler, tp: Any, where: str) -> Node | None:
    if typing.get_origin(tp) is not typing.Annotated:
        return None
    base, metadata = split_metadata(tp)
    declared = metadata
    if any(hasattr(item, hook) for item in metadata for hook in _PYDANTIC_HOOKS):
        node = pydantic_node(compiler, tp, where)
        declared = tuple(item for item in metadata if isinstance(item, Meta))  # pydantic has seen to the others
    else:
        node = compiler.node(base, where)
    limits: list[_Limit] = []
    for name, value in _declared_limits(declared):
        limit = _limit_of(name, value, node.kinds)
        if limit is None:
            raise NoSchemaError(tp, where, f"{name}={value!r} does not go with {type_name(base)}")
        limits.append(limit)
    schema = compiler.inlined(node.schema) if limits else dict(node.schema)
    for limit in limits:
        schema.update(limit.keywords)
    if text := describe(metadata):
        schema["description"] = text
    structure = _within(node.structure, limits) if limits else node.structure
    # A pattern counts as its author's code: one that backtracks keeps the process busy for as long as it likes.
    foreign = node.foreign or any("pattern" in limit.keywords for limit in limits)
    return attrs.evolve(node, schema=schema, structure=structure, foreign=foreign)


@attrs.frozen
class _Limit:
    """One limit: what it adds to the schema, and whether the JSON value and the typed value keep it."""

    keywords: dict[str, Any]
    kept: Callable[[Any, Any], bool]
    reason: str


def _within(structure: Callable[[Any], Any], limits: Sequence[_Limit]) -> Callable[[Any], Any]:
    def structure_within(value: Any) -> Any:
        result = structure(value)
        if broken := [limit for limit in limits if not limit.kept(value, result)]:
            raise Mismatch([Fault((), f"expected {limit.reason}, got {shown(value)}") for limit in broken])
        return result

    return structure_within


_LIMITS = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern")


def _declared_limits(metadata: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """Yield the limits that metadata objects carry in attributes, whichever library the objects come from."""
    for item in metadata:
        if isinstance(item, (str, type)):
            continue
        for name in _LIMITS:
            if (limit := getattr(item, name, None)) is not None:
                yield name, limit
        nested = getattr(item, "metadata", None)  # pydantic's Field keeps its limits one level down
        if isinstance(nested, (list, tuple)):
            yield from _declared_limits(typing.cast("Iterable[Any]", nested))


def _limit_of(name: str, limit: Any, kinds: frozenset[str]) -> _Limit | None:
    """Return a limit for values of these kinds, or None when it holds for none of them."""
    if name == "pattern":
        return _pattern_limit(limit) if "string" in kinds else None
    if name in ("min_length", "max_length"):
        return _length_limit(name, limit, kinds)
    is_number = isinstance(limit, (int, float)) and not isinstance(limit, bool)
    return _bound_limit(name, limit) if is_number and kinds & {"integer", "number"} else None


def _pattern_limit(limit: Any) -> _Limit | None:
    try:
        expression: re.Pattern[str] = re.compile(limit)
    except (re.error, TypeError):
        return None

    def kept(value: Any, result: Any) -> bool:
        return type(value) is not str or expression.search(value) is not None

    return _Limit({"pattern": expression.pattern}, kept, f"a string matching {expression.pattern}")


_LENGTHS = {
    "string": ("Length", "characters", str),
    "array": ("Items", "items", list),
    "object": ("Properties", "keys", dict),
}


def _length_limit(name: str, limit: Any, kinds: frozenset[str]) -> _Limit | None:
    """Return a limit on what the JSON value holds; a set is counted before equal members become one."""
    measured = [found for kind, found in _LENGTHS.items() if kind in kinds]
    if not measured or not isinstance(limit, int):
        return None
    types: Any = tuple(base for _, _, base in measured)
    least = name == "min_length"

    def kept(value: Any, result: Any) -> bool:
        return not isinstance(value, types) or (len(value) >= limit if least else len(value) <= limit)

    keywords = {f"{name[:3]}{suffix}": limit for suffix, _, _ in measured}
    nouns = " or ".join(noun for _, noun, _ in measured)
    return _Limit(keywords, kept, f"at {'least' if least else 'most'} {limit} {nouns}")


def _is_multiple(value: Any, limit: Any) -> bool:
    if isinstance(value, int) and isinstance(limit, int):
        return value % limit == 0
    # In decimal, because 0.3 is three times 0.1 to everybody but a binary float.
    return decimal.Decimal(str(value)) % decimal.Decimal(str(limit)) == 0


_BOUNDS: dict[str, tuple[str, str, Callable[[Any, Any], bool]]] = {
    "gt": ("exclusiveMinimum", "more than", lambda value, limit: value > limit),
    "ge": ("minimum", "at least", lambda value, limit: value >= limit),
    "lt": ("exclusiveMaximum", "less than", lambda value, limit: value < limit),
    "le": ("maximum", "at most", lambda value, limit: value <= limit),
    "multiple_of": ("multipleOf", "a multiple of", _is_multiple),
}


def _bound_limit(name: str, limit: Any) -> _Limit:
    keyword, words, holds = _BOUNDS[name]
    numbers = (int, float, decimal.Decimal)

    def kept(value: Any, result: Any) -> bool:
        return not isinstance(result, numbers) or isinstance(result, bool) or holds(result, limit)

    return _Limit({keyword: limit}, kept, f"{words} {limit}")


RULES: tuple[Rule, ...] = (_annotated,)
