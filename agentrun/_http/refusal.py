"""What a reply that refuses a request says."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from typing import Any, cast

__all__ = ["error_said", "error_type", "is_head_too_long", "retry_after", "shown"]

_MARKED = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def is_head_too_long(exc: BaseException | None) -> bool:
    """Return whether a request failed by a reply whose head is longer than the 100 KiB that h11 takes."""
    while exc is not None:
        if getattr(exc, "error_status_hint", None) == 431:
            return True
        exc = exc.__cause__ or exc.__context__
    return False


def shown(text: str) -> str:
    """Return provider text fit for a message: no control characters, at most 500 characters."""
    return _MARKED.sub(" ", text[:500]).strip()


def _error_member(body: bytes) -> dict[str, Any]:
    """Return the `error` object of an error's body, {} where it has none that can be read."""
    import json

    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    if isinstance(value, dict):
        found = cast("dict[str, Any]", value)
        inner = found.get("error", found)
        return cast("dict[str, Any]", inner) if isinstance(inner, dict) else {"message": inner}
    return {}


def error_said(body: bytes) -> tuple[str, str]:
    """Return the error code and the message of an error's body, each "" where it has none."""
    error = _error_member(body)
    code, message = error.get("code") or error.get("type"), error.get("message")
    return shown(code) if isinstance(code, str) else "", shown(message) if isinstance(message, str) else ""


def error_type(body: bytes) -> str | None:
    """Return the `type` of an error's body, None where it has none."""
    found = _error_member(body).get("type")
    return found if isinstance(found, str) else None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds to wait that the headers name, None where they name none that makes sense."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        text = headers.get(name, "").strip()
        try:
            seconds = float(text) * unit
        except ValueError:
            continue
        if math.isfinite(seconds) and seconds >= 0:
            return seconds
    text = headers.get("retry-after", "")
    if text[:1].isalpha():
        from email.utils import parsedate_to_datetime

        try:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
        return max(0.0, seconds)
    return None
