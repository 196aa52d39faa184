"""What every store has in common: items as JSON text, limits, and the names it takes."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from agentrun._settings import SessionSettings, from_plain

if TYPE_CHECKING:
    from agentrun._responses import TResponseInputItem

log = logging.getLogger("agentrun")

_TABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")


def encode_item(item: TResponseInputItem) -> str:
    """Return an item as JSON text that UTF-8 can hold.

    Raises:
        TypeError: it is not plain JSON data.
    """
    try:
        text = json.dumps(item, ensure_ascii=False, separators=(",", ":"))
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError:  # a lone surrogate, which no store takes as it is
                text = json.dumps(item, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as exc:
        raise TypeError(
            f"a session stores plain JSON objects, got an item of type {type(item).__name__}: {exc}"
        ) from exc
    if not text.startswith("{"):
        raise TypeError(f"a session stores plain JSON objects, got a {type(item).__name__}; pass a dict")
    return text


def encode_items(items: Sequence[TResponseInputItem]) -> list[str]:
    """Return items as JSON texts, before any of them is written.

    Raises:
        TypeError: one is not plain JSON data.
    """
    return [encode_item(item) for item in items]


def decode_item(text: str | bytes) -> TResponseInputItem | None:
    """Return a stored item; None where the text is damaged, so that one bad row does not cost the conversation."""
    try:
        item = json.loads(text)
    except (ValueError, RecursionError) as exc:
        log.warning("a stored item is damaged and was left out: %s", exc)
        return None
    if not isinstance(item, dict):
        log.warning("a stored item is damaged and was left out: it is a %s, not an object", type(item).__name__)
        return None
    return cast("dict[str, Any]", item)


def decode_items(texts: Sequence[str | bytes]) -> list[TResponseInputItem]:
    """Return the stored items that are not damaged, in order."""
    return [item for text in texts if (item := decode_item(text)) is not None]


def wanted(limit: int | None, settings: SessionSettings | None) -> int | None:
    """Return how many of the newest items to read: a number from 0 up, or None for all.

    Args:
        limit: what the caller asked for; negative means all.
        settings: apply when the caller asked for nothing.
    """
    if limit is None and settings is not None:
        limit = settings.limit
    return None if limit is None or limit < 0 else limit


def newest(items: list[TResponseInputItem], count: int | None) -> list[TResponseInputItem]:
    """Return the last `count` items; all of them for None."""
    return items if count is None else items[len(items) - min(count, len(items)) :]


def as_settings(value: SessionSettings | dict[str, Any] | None) -> SessionSettings:
    """Return session settings from what a constructor was given.

    Raises:
        TypeError: it is neither settings nor a dict of their fields.
    """
    return SessionSettings() if value is None else from_plain(SessionSettings, value, "session_settings")


def check_session_id(session_id: str) -> str:
    """Return `session_id`, which may be any text that UTF-8 can hold: it is a bound value everywhere.

    Raises:
        TypeError: it is no text.
        ValueError: it has a lone surrogate.
    """
    if not isinstance(session_id, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"session_id must be a str, got {session_id!r}")
    try:
        session_id.encode()
    except UnicodeEncodeError as exc:
        raise ValueError(f"session_id must be text that UTF-8 can hold, got {session_id!r}") from exc
    return session_id


def check_table_name(name: str, what: str) -> str:
    """Return a table's name, which becomes part of statements and so must be a plain one.

    Raises:
        ValueError: it is anything but ASCII letters, digits and underscores.
    """
    if not _TABLE_NAME.fullmatch(name) or name.lower().startswith(("sqlite_", "pg_")):
        raise ValueError(
            f"{what} must be up to 63 ASCII letters, digits and underscores, not beginning with a digit, 'sqlite_' "
            f"or 'pg_', got {name!r}"
        )
    return name
