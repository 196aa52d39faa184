"""How large a reply of a model may be, and how long reaching it may take."""

from __future__ import annotations

from typing import Any, Final

import attrs

from agentrun._dataclass import FrozenValue

__all__ = ["CONNECT_SECONDS", "Limits"]

CONNECT_SECONDS: Final = 30.0
"""How long making a connection may take; protects against hosts that swallow packets."""

_MIB = 1024 * 1024


def _positive(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"Limits.{attribute.name} must be a whole number of at least 1, got {value!r}")


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Limits(FrozenValue):
    """Sizes past which a reply is refused with `ModelLimitError`, so that a broken provider cannot use up the memory.

    All of them are in force unless a model is made with others. They count what arrives after decompression.
    """

    line_bytes: int = attrs.field(default=16 * _MIB, validator=_positive)
    """One line of an event stream."""
    event_bytes: int = attrs.field(default=16 * _MIB, validator=_positive)
    """One event of an event stream, comments before it included."""
    stream_bytes: int = attrs.field(default=512 * _MIB, validator=_positive)
    """A whole event stream. It is never held in memory as a whole."""
    body_bytes: int = attrs.field(default=32 * _MIB, validator=_positive)
    """A whole reply that is not streamed."""
    error_body_bytes: int = attrs.field(default=65536, validator=_positive)
    """How much of an error's body is read; the rest is left unread, and nothing is raised for it."""
    json_depth: int = attrs.field(default=200, validator=_positive)
    """How deep objects and arrays may be nested."""
    calls_per_response: int = attrs.field(default=1024, validator=_positive)
    """How many tool calls one reply may hold; checked before any of them runs."""
