"""JSON text written by a model -> plain values, and the words for what is wrong with it.

`json.loads` alone is not enough for text that somebody else wrote: it raises `RecursionError` on deep nesting and a
bare `ValueError` on long integers, and it returns NaN, infinities, NUL characters and lone surrogates, which no
provider or database takes back.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn, TypeGuard

import attrs

Path = tuple[str | int, ...]
"""Keys and indexes from the root of a JSON value to the part meant."""

MAX_DEPTH = 100
"""Default limit of nested arrays and objects; a value this deep is structured well inside Python's recursion limit."""
MAX_DIGITS = 4300
"""Default limit of the digits of one number; Python's own for int(), beyond which parsing takes quadratic time."""
MAX_FAULTS = 20
"""Faults told at once: enough to repair a call, too few to flood the model's context."""
_SHOWN_CHARACTERS = 60
"""A quoted value is cut here, so that a fault stays one readable line."""

_TYPE_NAMES: dict[type, str] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
    list: "array",
    dict: "object",
}


class StructureError(ValueError):
    """A value does not have the type it should have; the message has one line per fault."""

    faults: list[str]
    """One line each, with the path of the part: ``argument `limit`: expected integer, got string "ten"``."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = list(faults)


@attrs.frozen
class Fault:
    """One thing wrong, where it is below the value looked at."""

    path: Path
    reason: str

    def line(self, root: str) -> str:
        """Return the fault as text.

        Args:
            root: "$" for a path such as `$.items[0].name`; any other word, such as "argument", makes it
                ``argument `items[0].name```.
        """
        steps = "".join(_step(key) for key in self.path)
        if root == "$":
            return f"${steps}: {self.reason}"
        return f"{root} `{steps.removeprefix('.')}`: {self.reason}" if steps else f"{root}s: {self.reason}"


class Mismatch(Exception):
    """How structuring stops, seen by callers as StructureError; paths start at the value looked at."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__(faults)
        self.faults = faults

    def under(self, key: str | int) -> list[Fault]:
        """Return the faults as seen from the container that holds the value under `key`."""
        return [Fault((key, *fault.path), fault.reason) for fault in self.faults]


def mismatch(expected: str, value: object) -> Mismatch:
    """Return the exception for one value of the wrong type."""
    return Mismatch([Fault((), f"expected {expected}, got {shown(value)}")])


def lines(faults: Sequence[Fault], root: str) -> list[str]:
    """Return one line per fault, and after `MAX_FAULTS` of them how many more there are."""
    told = [fault.line(root) for fault in faults[:MAX_FAULTS]]
    if len(faults) > MAX_FAULTS:
        told.append(f"and {len(faults) - MAX_FAULTS} more faults")
    return told


def is_array(value: object) -> TypeGuard[list[Any]]:
    """Return whether a value is what a JSON array is read as."""
    return type(value) is list


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Return whether a value is what a JSON object is read as."""
    return type(value) is dict


def shown(value: object) -> str:
    """Return a JSON value in words, cut to one short line: `string "ten"`, `array of 3 items`, `null`."""
    name = _TYPE_NAMES.get(type(value), type(value).__name__)
    if is_array(value):
        return f"array of {_count(value, 'item')}"
    if is_object(value):
        return f"object with {_count(value, 'key')}"
    if value is None:
        return name
    return f"{name} {quoted(value)}"


def quoted(value: object) -> str:
    """Return a scalar as JSON, cut to about 60 characters."""
    if isinstance(value, str):
        # Cut before encoding: a value of megabytes costs nothing more than its first line.
        text = json.dumps(value[:_SHOWN_CHARACTERS], ensure_ascii=False)
        text = text.encode("utf-8", "backslashreplace").decode()
        return text if len(value) <= _SHOWN_CHARACTERS else f'{text[:-1]}…" ({len(value)} characters)'
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 192:
        return f"of {value.bit_length()} bits"
    try:
        text = json.dumps(value)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"


def parse_json(
    text: str, *, max_depth: int = MAX_DEPTH, max_digits: int = MAX_DIGITS, object_only: bool = False
) -> Any:
    """Return the value of JSON text that somebody else wrote.

    A key given twice keeps its last value, as in every JSON reader.

    Args:
        text: one JSON value.
        max_depth: arrays and objects that may be open at once.
        max_digits: digits one number may have.
        object_only: refuse everything but an object.

    Raises:
        StructureError: not JSON; nested too deep; a number with too many digits or too large for a float; NaN or an
            infinity; a NUL character or half of a surrogate pair in a string; no object although one was asked for.
    """
    # No text is deeper than it has opening brackets, and counting those costs next to nothing.
    if text.count("[") + text.count("{") > max_depth:
        _check_depth(text, max_depth)
    text = text.lstrip(" \t\r\n")
    try:
        if len(text) <= min(max_digits, MAX_DIGITS):  # then no number can be too long
            value: Any
            value, end = _decoder.raw_decode(text)
            if end < len(text):
                _decoder.decode(text)  # refuses anything but spaces there
        else:
            value = json.loads(
                text,
                parse_int=lambda digits: _parse_int(digits, max_digits),
                parse_float=lambda digits: _parse_float(digits, max_digits),
                parse_constant=_refuse_constant,
            )
    except StructureError:
        raise
    except json.JSONDecodeError as exc:
        raise StructureError([f"invalid JSON: {_decode_reason(exc)}, near {_near(text, exc.pos)}"]) from exc
    except RecursionError:
        raise StructureError(["invalid JSON: nested too deep to read"]) from None
    _check_characters(text, value)
    if object_only and not is_object(value):
        raise StructureError([f"expected a JSON object, got {shown(value)}"])
    return value


def _decoded_float(digits: str) -> float:
    return _parse_float(digits)


_decoder = json.JSONDecoder(parse_float=_decoded_float, parse_constant=lambda name: _refuse_constant(name))  # noqa: PLW0108 - defined below

_BRACKETS = re.compile(r'"(?:[^"\\]++|\\.?)*+(?:"|\Z)|([\[{])|([\]}])', re.DOTALL)


def _check_depth(text: str, max_depth: int) -> None:
    depth = 0
    for token in _BRACKETS.finditer(text):
        if token[1]:
            depth += 1
            if depth > max_depth:
                raise StructureError([f"invalid JSON: nested deeper than {max_depth} levels"])
        elif token[2]:
            depth -= 1


def _parse_int(digits: str, max_digits: int) -> int:
    if len(digits) - digits.startswith("-") > max_digits:
        raise StructureError([f"invalid JSON: a number of {len(digits)} digits; the limit is {max_digits}"])
    try:
        return int(digits)
    except ValueError:  # `max_digits` is above the interpreter's own limit
        raise StructureError([f"invalid JSON: a number of {len(digits)} digits is too long to read"]) from None


def _parse_float(digits: str, max_digits: int = MAX_DIGITS) -> float:
    if len(digits) > max_digits + 8:  # sign, point and exponent come on top
        raise StructureError([f"invalid JSON: a number of {len(digits)} characters; the limit is {max_digits} digits"])
    number = float(digits)
    if math.isinf(number):
        raise StructureError([f"invalid JSON: the number {digits[:_SHOWN_CHARACTERS]} is too large"])
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise StructureError([f"invalid JSON: {name} is not a JSON number"])


_SUSPECT_ESCAPE = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
_SURROGATE = re.compile("[\ud800-\udfff]")


def _check_characters(text: str, value: object) -> None:
    """Raise for NUL and lone surrogates; only text that could hold them is walked."""
    if text.isascii() and "\\u" not in text:
        return
    if not _SUSPECT_ESCAPE.search(text) and not _SURROGATE.search(text):
        return
    for string in _strings(value):
        if "\0" in string:
            raise StructureError([f"invalid JSON: a NUL character in string {quoted(string)}"])
        if _SURROGATE.search(string):
            raise StructureError([f"invalid JSON: half of a surrogate pair in string {quoted(string)}"])


def _strings(value: object) -> Iterable[str]:
    pending = [value]
    while pending:
        part = pending.pop()
        if isinstance(part, str):
            yield part
        elif is_array(part):
            pending.extend(part)
        elif is_object(part):
            pending.extend(part)
            pending.extend(part.values())


def _decode_reason(exc: json.JSONDecodeError) -> str:
    return f"{exc.msg[0].lower()}{exc.msg[1:].removesuffix(' at')} (line {exc.lineno} column {exc.colno})"


def _near(text: str, position: int) -> str:
    around = text[max(0, position - 15) : position + 15]
    return repr(around) if around.strip() else "the end of the text"


def _step(key: str | int) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    return f".{key}" if key.isidentifier() and len(key) <= _SHOWN_CHARACTERS else f"[{quoted(key)}]"


def _count(container: Sequence[object] | dict[Any, Any], noun: str) -> str:
    return f"{len(container)} {noun}" if len(container) == 1 else f"{len(container)} {noun}s"
