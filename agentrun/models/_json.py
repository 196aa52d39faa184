"""JSON from and to a provider: one place for everything that can be wrong with it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn, TypeAlias, cast

import attrs

from agentrun._exceptions import ModelBehaviorError, ModelLimitError, UserError
from agentrun._wire_value import plain

__all__ = ["Json", "decode_object", "encode", "encode_request", "quoted"]

Json: TypeAlias = "dict[str, Any]"
"""A JSON object as it came from the wire or goes there; its members have any type until a wire module has looked."""


def quoted(text: str, length: int = 200) -> str:
    """Return provider text fit for a message: quoted, control characters escaped, at most `length` characters."""
    return repr(text if len(text) <= length else f"{text[:length]}...")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


_decoder = json.JSONDecoder(parse_constant=_refuse_constant)


def decode_object(text: str, what: str, max_depth: int) -> Json:
    """Return the JSON object that `text` is.

    Args:
        text: what the provider sent.
        what: what it is, for the message, such as "an event of the stream".
        max_depth: how deep it may be nested.

    Raises:
        ModelBehaviorError: it is no JSON, no object, or nested beyond what a decoder can follow.
        ModelLimitError: it is nested deeper than allowed.
    """
    try:
        value: Any
        value, end = _decoder.raw_decode(text)
        if end != len(text):
            value = _decoder.decode(text)  # space round the value, or something after it
    except RecursionError as exc:
        raise ModelBehaviorError(f"{what} is nested too deeply to be read: {quoted(text, 40)}") from exc
    except ValueError:
        value = _decoded_again(text, what)
    if not isinstance(value, dict):
        raise ModelBehaviorError(f"{what} is no JSON object but {quoted(text)}")
    # Each level takes two brackets, and brackets within strings count as well: this only says who need not be measured
    if len(text) > 2 * max_depth and text.count("{") + text.count("[") > max_depth:
        _check_depth(value, max_depth)
    return cast("Json", value)


def _decoded_again(text: str, what: str) -> Any:
    """Return `text` decoded from its first character that is no space; `raw_decode` starts at the very first."""
    try:
        return _decoder.decode(text)
    except ValueError as exc:  # JSONDecodeError, a number of more than 4300 digits, NaN
        raise ModelBehaviorError(f"{what} is no JSON ({exc}): {quoted(text)}") from exc


def _check_depth(value: Any, max_depth: int) -> None:
    """Refuse a value that is nested too deeply, level by level, so that no stack is used."""
    level: list[Any] = [value]
    depth = 0
    while level:
        depth += 1
        if depth > max_depth:
            raise ModelLimitError("json_depth", depth, max_depth)
        below: list[Any] = []
        for one in level:
            children: Iterable[Any] = cast("Json", one).values() if isinstance(one, dict) else one
            below += [child for child in children if type(child) in (dict, list)]
        level = below


def _plain(value: Any) -> Any:
    """Return a value that is no plain JSON as one; the encoder goes on into it."""
    if isinstance(value, Mapping):
        return dict(cast("Mapping[str, Any]", value))
    if attrs.has(cast("Any", type(value))) and not hasattr(value, "model_dump"):
        return {name: one for name, one in attrs.asdict(value, recurse=False).items() if one is not None}
    return plain(value)


_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)


def encode(value: Any, what: str) -> bytes:
    """Return `value` as compact JSON in UTF-8.

    Raises:
        UserError: it is not JSON-ready, holds NaN or is nested too deeply.
    """
    try:
        text = _encoder.encode(value)
    except (TypeError, ValueError, RecursionError) as exc:
        raise UserError(f"{what} cannot be sent as JSON ({exc}); use plain JSON values") from exc
    try:
        return text.encode()
    except UnicodeEncodeError:
        # Half a surrogate pair, out of a cut text: a pair becomes its character, a half the replacement character
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def encode_request(members: Json, name: str, items: Iterable[bytes]) -> bytes:
    """Return the body of a request: `members`, and under `name` the array of `items` that are encoded already.

    The items of a long history are the bulk of a request, and the same ones go out again in every turn.
    """
    head = encode(members, "the request")
    start = b"{" if len(head) == 2 else head[:-1] + b","
    return b"".join((start, b'"', name.encode(), b'":[', b",".join(items), b"]}"))
