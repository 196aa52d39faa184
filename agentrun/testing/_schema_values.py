"""Values that satisfy a JSON schema, made from a seed: what a model might have written."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, cast

from agentrun._exceptions import UserError

_DEPTH = 6
"""Past this nesting only what a schema requires is made, and the shortest branch of a choice is taken."""
_DEEPEST = 40
"""Past this nesting a schema is taken to allow no finite value."""

_FORMATS = {
    "date": "2024-02-29",
    "date-time": "2024-02-29T12:30:00Z",
    "time": "12:30:00Z",
    "duration": "PT1H30M",
    "email": "ada@example.com",
    "idn-email": "ada@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/path",
    "uri-reference": "https://example.com/path",
    "uuid": "12345678-1234-4234-8234-123456789abc",
    "json-pointer": "/a/b",
    "regex": "a+",
    "byte": "YQ==",
}
_WORDS = ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliett")


def schema_value(schema: Mapping[str, Any], *, seed: int | str = 0) -> Any:
    """Return a JSON value that is valid under `schema`; the same seed gives the same value.

    Understood is what strict tool schemas use: types, `properties`, `required`, `items`, `prefixItems`, `enum`,
    `const`, `anyOf`, `oneOf`, `allOf`, `$ref`, `format`, and the bounds of numbers, strings, arrays and objects. A
    `pattern` is met only where a default, an example, a format or a simple word meets it.

    Raises:
        UserError: no value can be made, for example for a pattern or a schema that is endless.
    """
    return _Maker(schema, random.Random(f"{seed}")).make(schema, 0)


class _Maker:
    __slots__ = ("_random", "_root")

    def __init__(self, root: Mapping[str, Any], source: random.Random) -> None:
        self._root = root
        self._random = source

    def make(self, schema: Any, depth: int) -> Any:
        """Return a value for `schema`, which stands `depth` levels down."""
        if schema is True or schema == {}:
            return self._random.choice(_WORDS)
        if not isinstance(schema, Mapping):
            raise UserError(f"no value fits the schema {schema!r}; give a JSON schema object")
        if depth > _DEEPEST:
            raise UserError("no finite value fits the schema: it requires itself at every level")
        schema = self._flat(cast("Mapping[str, Any]", schema), depth)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._random.choice(list(schema["enum"]))
        for choice in ("anyOf", "oneOf"):
            if choice in schema:
                rest = {key: value for key, value in schema.items() if key != choice}
                return self.make(_merged(rest, self._branch(schema[choice], depth)), depth + 1)
        return self._typed(self._kind(schema, depth), schema, depth)

    def _kind(self, schema: Mapping[str, Any], depth: int) -> str:
        kind: Any = schema.get("type") or _implied(schema)
        if isinstance(kind, str):
            return kind
        kinds = [str(one) for one in cast("Sequence[Any]", kind)]
        return "null" if depth > _DEPTH and "null" in kinds else self._random.choice(kinds)

    def _typed(self, kind: str, schema: Mapping[str, Any], depth: int) -> Any:
        match kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "string":
                return self._string(schema)
            case "integer" | "number":
                return self._number(schema, whole=kind == "integer")
            case "boolean":
                return self._random.random() < 0.5
            case "null":
                return None
            case _:
                raise UserError(f"no value can be made for the schema type {kind!r}; use one of JSON's types")

    def _flat(self, schema: Mapping[str, Any], depth: int) -> Mapping[str, Any]:
        """Return `schema` with its `$ref` and `allOf` folded in."""
        for _ in range(_DEEPEST):
            if "$ref" in schema:
                rest = {key: value for key, value in schema.items() if key != "$ref"}
                schema = _merged(self._referenced(str(schema["$ref"])), rest)
            elif "allOf" in schema:
                merged: Mapping[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
                for part in schema["allOf"]:
                    merged = _merged(merged, self._flat(part, depth))
                schema = merged
            else:
                return schema
        raise UserError("no value fits the schema: its references lead back to themselves")

    def _referenced(self, pointer: str) -> Mapping[str, Any]:
        found: Any = self._root
        if not pointer.startswith("#"):
            raise UserError(f"the schema refers to {pointer!r}; only references within the schema can be followed")
        for key in pointer.removeprefix("#").split("/")[1:]:
            key = key.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, Mapping) or key not in found:
                raise UserError(f"the schema refers to {pointer!r}, which it does not define")
            found = cast("Mapping[str, Any]", found)[key]
        return cast("Mapping[str, Any]", found)

    def _branch(self, branches: Sequence[Any], depth: int) -> Mapping[str, Any]:
        flat = [self._flat(branch, depth) for branch in branches]
        if depth > _DEPTH:
            return min(flat, key=_weight)
        return self._random.choice(flat)

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties: Mapping[str, Any] = schema.get("properties") or {}
        required: Sequence[str] = schema.get("required") or ()
        optional = depth <= _DEPTH
        made = {
            name: self.make(one, depth + 1)
            for name, one in properties.items()
            if name in required or (optional and self._random.random() < 0.7)
        }
        extra = schema.get("additionalProperties", True)
        least = max(int(schema.get("minProperties", 0)), len(set(required) | set(made)))
        if extra is not False and not properties and optional:
            least = max(least, self._random.randint(0, 2))
        for name in [one for one in required if one not in made]:
            made[name] = self.make(extra, depth + 1)
        while len(made) < least:
            if extra is False:
                raise UserError(f"no object fits the schema: minProperties {least} with {len(properties)} properties")
            made[f"{self._random.choice(_WORDS)}_{len(made)}"] = self.make(extra, depth + 1)
        return made

    def _array(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        first: Sequence[Any] = schema.get("prefixItems") or ()
        rest = schema.get("items", True)
        least = int(schema.get("minItems", 0))
        most = int(schema.get("maxItems", max(least, len(first), 0 if depth > _DEPTH else least + 2)))
        if rest is False:
            most = min(most, len(first))
        wanted = min(most, max(least, len(first), 0 if depth > _DEPTH else self._random.randint(least, most)))
        made: list[Any] = []
        tries = 0
        while len(made) < wanted:
            value = self.make(first[len(made)] if len(made) < len(first) else rest, depth + 1)
            tries += 1
            if schema.get("uniqueItems") and value in made:
                if tries > 200:
                    if len(made) >= least:
                        break
                    raise UserError(f"no {least} different items could be made for the schema {dict(schema)!r}")
                continue
            made.append(value)
        return made

    def _string(self, schema: Mapping[str, Any]) -> str:
        least, most = int(schema.get("minLength", 0)), schema.get("maxLength")
        pattern = schema.get("pattern")
        if pattern is not None:
            return self._patterned(schema, str(pattern), least, most)
        if schema.get("format") in _FORMATS:
            return _FORMATS[schema["format"]]
        text = self._random.choice(_WORDS)
        while len(text) < least:
            text += self._random.choice(_WORDS)
        if most is not None:
            text = text[: max(least, int(most))]
        return text

    def _patterned(self, schema: Mapping[str, Any], pattern: str, least: int, most: int | None) -> str:
        import re

        given = [schema.get("default"), *(schema.get("examples") or ()), _FORMATS.get(str(schema.get("format")))]
        simple = [*_WORDS, *(word.upper() for word in _WORDS), *_FORMATS.values()]
        digits = ["1" * length for length in range(1, 17)]
        letters = [letter * length for letter in "aA" for length in range(1, 17)]
        for text in [one for one in given if isinstance(one, str)] + simple + digits + letters:
            if re.search(pattern, text) and least <= len(text) <= (len(text) if most is None else most):
                return text
        raise UserError(f"no text could be made for the pattern {pattern!r}; give the schema a default or examples")

    def _number(self, schema: Mapping[str, Any], *, whole: bool) -> int | float:
        step = schema.get("multipleOf") or (1 if whole else 0.25)
        low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
        high, below = schema.get("maximum"), schema.get("exclusiveMaximum")
        # In steps: the smallest and the largest multiple that the bounds allow.
        lows = [_ceil(low / step)] if low is not None else []
        lows += [_floor(above / step) + 1] if above is not None else []
        highs = [_floor(high / step)] if high is not None else []
        highs += [_ceil(below / step) - 1] if below is not None else []
        first = max(lows) if lows else min(0, min(highs, default=0))
        last = min(highs) if highs else max(first, 0) + 40
        if first > last:
            least, most = above if low is None else low, below if high is None else high
            if not whole and least is not None and most is not None and least <= most:
                return (float(least) + float(most)) / 2
            raise UserError(f"no number fits the schema {dict(schema)!r}")
        value = self._random.randint(first, min(last, first + 1000)) * step
        return int(value) if whole else value


def _floor(value: float) -> int:
    return int(value // 1)


def _ceil(value: float) -> int:
    return -int(-value // 1)


def _weight(schema: Mapping[str, Any]) -> int:
    """Return how far from an end a branch is: constants and scalars first, then arrays, then objects."""
    if "const" in schema or "enum" in schema or schema.get("type") == "null":
        return 0
    return {"array": 2, "object": 3, None: 4}.get(schema.get("type"), 1)


def _implied(schema: Mapping[str, Any]) -> str:
    """Return the type a schema without one speaks of."""
    if "properties" in schema or "required" in schema or "additionalProperties" in schema:
        return "object"
    if "items" in schema or "prefixItems" in schema:
        return "array"
    if "minimum" in schema or "maximum" in schema:
        return "number"
    return "string"


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return both schemas as one: properties and required joined, everything else from `other` where both speak."""
    merged = {**one, **other}
    if "properties" in one and "properties" in other:
        merged["properties"] = {**one["properties"], **other["properties"]}
    if "required" in one and "required" in other:
        merged["required"] = [*one["required"], *(name for name in other["required"] if name not in one["required"])]
    return merged
