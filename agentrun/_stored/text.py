"""A stored state as text: its limits, its signature, and a cursor over its JSON that knows where it stands."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

import attrs

from agentrun._exceptions import UserError

if TYPE_CHECKING:
    pass

Json: TypeAlias = Any

_T = TypeVar("_T")

MAX_CHARACTERS = 64 * 1024 * 1024
"""The longest text that is read at all; a state of a thousand turns has a hundredth of it."""

MAX_DEPTH = 128
"""The deepest nesting that is read; protects everything that walks an item from running out of stack."""

SIGNED = "agentrun-state-1"
"""How a signed state begins: this, a dot, the HMAC-SHA256 in hex, a dot, the JSON text."""


@attrs.frozen
class At:
    """A value in the JSON, and where it stands."""

    value: Any
    path: str = "$"

    def refuse(self, expected: str) -> UserError:
        try:
            shown = repr(self.value)
        except (ValueError, RecursionError):  # an int of thousands of digits
            shown = f"a {type(self.value).__name__} too large to show"
        return UserError(
            f"this run state cannot be read: {self.path} is {shown if len(shown) < 80 else shown[:77] + '...'}, "
            f"expected {expected}"
        )

    def members(self) -> dict[str, Any]:
        value = self.value
        if not isinstance(value, dict):
            raise self.refuse("an object")
        return cast("dict[str, Any]", value)

    def get(self, key: str) -> At:
        members = self.members()
        if key not in members:
            raise UserError(f"this run state cannot be read: {self.path}.{key} is missing")
        return At(members[key], f"{self.path}.{key}")

    def find(self, key: str) -> At | None:
        value = self.members().get(key)
        return None if value is None else At(value, f"{self.path}.{key}")

    def text(self) -> str:
        if not isinstance(self.value, str):
            raise self.refuse("a string")
        return self.value

    def text_or_none(self) -> str | None:
        return None if self.value is None else self.text()

    def whole(self, least: int = 0) -> int:
        if isinstance(self.value, bool) or not isinstance(self.value, int) or not least <= self.value < 2**63:
            raise self.refuse(f"a whole number of at least {least}")
        return self.value

    def flag(self) -> bool:
        if not isinstance(self.value, bool):
            raise self.refuse("true or false")
        return self.value

    def each(self) -> list[At]:
        value = self.value
        if not isinstance(value, list):
            raise self.refuse("a list")
        return [At(one, f"{self.path}[{index}]") for index, one in enumerate(cast("list[Any]", value))]

    def entries(self) -> list[tuple[str, At]]:
        return [(key, At(one, f"{self.path}.{key}")) for key, one in self.members().items()]

    def one_of(self, allowed: Mapping[Any, _T]) -> _T:
        try:
            return allowed[self.value]
        except (KeyError, TypeError):
            raise self.refuse(f"one of {list(allowed)}") from None


def check_depth(found: Any, what: str = "this run state cannot be read: it", limit: int = MAX_DEPTH) -> None:
    """Refuse data that is nested deeper than anything that walks it can bear.

    Raises:
        UserError: it is.
    """
    level: list[Any] = [found]
    for _ in range(limit):
        level = [
            one
            for value in level
            if isinstance(value, dict | list)
            for one in cast("Iterable[Any]", value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return
    raise UserError(f"{what} is nested deeper than {limit} levels")


def from_text(text: str, key: bytes | str | None) -> dict[str, Json]:
    """Return the JSON data in a text that `to_text` made.

    Raises:
        UserError: it is too long, changed, signed without a key at hand or the other way round, or no JSON object.
    """
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise UserError(f"a run state is read from a str, got a {type(text).__name__}")
    if len(text) > MAX_CHARACTERS:
        raise UserError(
            f"this run state cannot be read: it has {len(text)} characters, at most {MAX_CHARACTERS} are read"
        )
    secret = _secret(key)
    if text.startswith(SIGNED + "."):
        signature, _, text = text.removeprefix(SIGNED + ".").partition(".")
        if secret is None:
            raise UserError("this run state is signed; pass the key it was signed with, from_string(..., key=...)")
        if not hmac.compare_digest(signature.encode("utf-8", "replace"), _signature(text, secret).encode()):
            raise UserError("this run state was changed after it was signed, or signed with another key")
    elif secret is not None:
        raise UserError("this run state is not signed; pass no key, or sign it with to_string(key=...)")
    try:
        found = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise UserError(f"this run state cannot be read: it is nested deeper than {MAX_DEPTH} levels") from None
    except ValueError as exc:
        raise UserError(f"this run state cannot be read: it is no JSON: {exc}") from exc
    return At(found).members()


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def to_text(found: dict[str, Json], key: bytes | str | None) -> str:
    """Return the JSON data as text, signed where there is a key.

    Raises:
        UserError: the text is longer than `from_text` would read, or a value in it has no JSON form.
    """
    secret = _secret(key)
    text = _dump(found, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which no file or database takes: escape it
        text = _dump(found, ensure_ascii=True)
    if len(text) > MAX_CHARACTERS:
        raise UserError(
            f"this run state has {len(text)} characters, and at most {MAX_CHARACTERS} are read back; store it in parts"
        )
    return text if secret is None else f"{SIGNED}.{_signature(text, secret)}.{text}"


def plain_copy(found: dict[str, Json]) -> dict[str, Json]:
    """Return the JSON data as a copy that shares nothing with the run.

    Raises:
        UserError: a value in it has no JSON form.
    """
    return cast("dict[str, Json]", json.loads(_dump(found, ensure_ascii=True)))


def _dump(found: dict[str, Json], *, ensure_ascii: bool) -> str:
    try:
        return json.dumps(found, ensure_ascii=ensure_ascii, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as exc:
        raise UserError(f"this run state cannot be stored: it holds a value without JSON form: {exc}") from exc


def _secret(key: bytes | str | None) -> bytes | None:
    if key is None:
        return None
    if not isinstance(key, bytes | str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise UserError(f"key is a {type(key).__name__}, expected bytes or a str")
    if not key:
        raise UserError(
            "key is empty, so that anybody could sign; pass a secret, or None for a state that is not signed"
        )
    return key.encode("utf-8", "surrogatepass") if isinstance(key, str) else key


def _signature(text: str, secret: bytes) -> str:
    return hmac.new(secret, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
