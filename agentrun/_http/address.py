"""Where a request goes: its URL and headers, checked before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import quote, urlencode, urlsplit

import attrs

from agentrun._exceptions import UserError

__all__ = ["Address"]

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FRAMING = frozenset({"connection", "content-length", "transfer-encoding", "upgrade"})
"""Headers that say how a request is sent; a wrong one would make a request that no server can read."""
_CREDENTIALS = ("authorization", "proxy-authorization", "api-key", "x-api-key", "x-goog-api-key", "cookie")
"""Headers whose values are never shown."""
_IN_TARGET = "/%:@!$&'()*+,;=~"
"""What may stand in path and query as it is, beside letters and digits; a percent sign is taken for an escape."""


@attrs.frozen(eq=False, repr=False)
class Address:
    """The URL and the headers of a request; making one takes longer than sending it."""

    url: str
    headers: dict[str, str]
    """By name in lower case; without `Host`, and without what belongs to the content."""
    target: bytes
    """Path and query, as HTTP/1.1 sends them."""
    lines: tuple[tuple[bytes, bytes], ...]
    """`headers` with `Host`, as HTTP/1.1 sends them."""
    secrets: tuple[str, ...]
    """What is secret in the headers, the longest first."""

    @classmethod
    def of(cls, base_url: str, path: str, query: Mapping[str, Any], headers: Mapping[str, str]) -> Self:
        """Return the address of `path` below `base_url`.

        Raises:
            UserError: a header is one that HTTP cannot carry, or that belongs to the connection.
        """
        _check(headers)
        pairs = [(name, value) for name, value in query.items() if value is not None]
        url = f"{base_url}{path}" + (f"?{urlencode(pairs, doseq=True)}" if pairs else "")
        parts = urlsplit(url)
        target = quote(parts.path, _IN_TARGET) + (f"?{quote(parts.query, _IN_TARGET + '?')}" if parts.query else "")
        host = parts.netloc.encode("ascii" if parts.netloc.isascii() else "idna").lower()
        default_port = b":443" if parts.scheme == "https" else b":80"
        sent = {"host": host.removesuffix(default_port), **{name: value.encode() for name, value in headers.items()}}
        lines = tuple((name.encode(), value) for name, value in sent.items())
        return cls(url, dict(headers), target.encode(), lines, _credentials(headers))


def _check(headers: Mapping[str, str]) -> None:
    """Refuse headers that would break the request, before anything is sent. The message never holds a value.

    Raises:
        UserError: there is such a header.
    """
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not value.isascii() or not value.isprintable() or value != value.strip():
            raise UserError(
                f"header {name!r} has a name or a value that HTTP cannot carry; use ASCII text without line ends, and "
                "without space round it, in ModelSettings.extra_headers, organization and project"
            )
        if name in _FRAMING:
            raise UserError(f"header {name!r} belongs to the connection; take it out of ModelSettings.extra_headers")


def _credentials(headers: Mapping[str, str]) -> tuple[str, ...]:
    """Return what is secret in the headers of a request: whole values, and what follows their scheme."""
    values = [headers[name] for name in _CREDENTIALS if name in headers]
    # A word that is not secret, such as "k" in a test, would be cut out of everything
    secrets = {part for value in values for part in (value, value.rpartition(" ")[2]) if len(part) >= 8}
    return tuple(sorted(secrets, key=len, reverse=True))
