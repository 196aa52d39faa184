"""How much a conversation may hold: bounds what one user, or one tool that writes too much, can make it cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import attrs

from agentrun._exceptions import UserError
from agentrun._settings import from_plain

MAX_ITEM_BYTES = 32 * 1024 * 1024
"""The largest item that is stored unless told otherwise; a request to a model takes about as much in all."""


class SessionFull(UserError):
    """A write would take a session past one of its limits; nothing of it is stored."""


def _count(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise ValueError(f"{attribute.name} must be a whole number of at least 1 or None, got {value!r}")


@attrs.frozen(kw_only=True)
class SessionLimits:
    """How much a session may hold. A write past a limit raises `SessionFull`, and nothing of it is stored.

    What is stored already stays, also when it is more, and can be read: shorten it with `pop_item` or `clear_session`.
    `max_items` and `max_bytes` have every write look at the whole conversation, so that they hold for all processes.

    Raises:
        ValueError: a limit is no whole number of at least 1.
    """

    max_items: int | None = attrs.field(default=None, validator=_count)
    """The most items of the conversation; None is any number."""
    max_bytes: int | None = attrs.field(default=None, validator=_count)
    """The most bytes of its items together, as JSON text in UTF-8; None is any number."""
    max_item_bytes: int | None = attrs.field(default=MAX_ITEM_BYTES, validator=_count)
    """The most bytes of one item; None is any number."""

    @classmethod
    def coerce(cls, value: SessionLimits | Mapping[str, Any] | None) -> SessionLimits:
        """Return `value`, or the defaults for None, or limits made from a plain dict."""
        return cls() if value is None else from_plain(cls, value, "limits")

    @property
    def bounds_whole(self) -> bool:
        """Whether a write has to know what the session holds."""
        return self.max_items is not None or self.max_bytes is not None

    def check_items(self, session_id: str, texts: Iterable[str]) -> None:
        """Look at the items of a write, each as JSON text.

        Raises:
            SessionFull: one is too large.
        """
        limit = self.max_item_bytes
        if limit is None:
            return
        for index, text in enumerate(texts):
            if len(text) > limit // 4 and (size := byte_count(text)) > limit:
                raise SessionFull(
                    f"item {index} of a write to session {session_id!r} has {size} bytes, and its limit of one item is "
                    f"{limit}; keep large files elsewhere and store where they are, or raise max_item_bytes"
                )

    def check_room(self, session_id: str, texts: Sequence[str], held: Callable[[], tuple[int, int]]) -> None:
        """Look at what the session would hold after a write.

        Args:
            session_id: how the error calls it.
            texts: the items of the write, each as JSON text.
            held: returns the items and bytes that are there; asked only where it matters.

        Raises:
            SessionFull: it would be too much.
        """
        if not self.bounds_whole:
            return
        items, size = held()
        self.check_total(session_id, items + len(texts), size + sum(map(byte_count, texts)))

    def check_total(self, session_id: str, items: int, size: int) -> None:
        """Look at what the session would hold.

        Raises:
            SessionFull: it would be too much.
        """
        for found, limit, what, name in (
            (items, self.max_items, "items", "max_items"),
            (size, self.max_bytes, "bytes", "max_bytes"),
        ):
            if limit is not None and found > limit:
                raise SessionFull(
                    f"session {session_id!r} would hold {found} {what}, and its limit is {limit}; clear or shorten it, "
                    f"begin another one, or raise {name}"
                )


def byte_count(text: str) -> int:
    """Return how many bytes UTF-8 takes for a text."""
    return len(text) if text.isascii() else len(text.encode())
