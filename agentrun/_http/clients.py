"""Requests over httpx: the clients of users, and ways through a proxy. The one place that knows the library.

There are two libraries of this shape, `httpx` and `httpx2`, which share no class.
"""

from __future__ import annotations

import ssl
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Protocol, cast

import anyio

from agentrun._exceptions import UserError
from agentrun._http.http11 import CLOSE_SECONDS

if TYPE_CHECKING:
    import httpx

__all__ = ["ClientReply", "Family", "ProxyWay", "family_of", "own_family", "send_over", "was_unsent"]


class Family(Protocol):
    """What we use of `httpx` or `httpx2`: two modules of the same shape that share no class."""

    AsyncByteStream: type[httpx.AsyncByteStream]
    AsyncHTTPTransport: type[httpx.AsyncHTTPTransport]
    Limits: type[httpx.Limits]
    Request: type[httpx.Request]
    Timeout: type[httpx.Timeout]
    HTTPError: type[Exception]
    ConnectTimeout: type[Exception]
    PoolTimeout: type[Exception]
    ConnectError: type[Exception]
    UnsupportedProtocol: type[Exception]
    LocalProtocolError: type[Exception]
    ProxyError: type[Exception]
    StreamError: type[Exception]


def family_of(client: object) -> Family:
    """Return the module that `client` belongs to, by the class it derives from.

    Raises:
        UserError: it is no async client of the httpx family.
    """
    for cls in type(client).__mro__:
        root = cls.__module__.partition(".")[0]
        if root in ("httpx", "httpx2") and cls.__name__ == "AsyncClient":
            return cast("Family", sys.modules[root])  # the two modules have no common type
    raise UserError(
        "http_client must be an async client of the httpx family (httpx.AsyncClient, httpx2.AsyncClient, a subclass), "
        f"got {type(client).__module__}.{type(client).__qualname__}"
    )


@cache
def own_family() -> Family:
    """Return httpx with all that it loads at its first request, some 0.2 s that no event loop should wait for."""
    import httpx

    httpx.AsyncHTTPTransport(verify=_bare_context(), trust_env=False)
    return cast("Family", httpx)


@cache
def _bare_context() -> ssl.SSLContext:
    """Return a context that trusts nobody, for transports that never speak TLS."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def was_unsent(family: Family, exc: Exception) -> bool:
    """Return whether a request failed with `exc` before any of it was sent."""
    return isinstance(
        exc,
        (
            family.ConnectError,
            family.ConnectTimeout,
            family.PoolTimeout,
            family.UnsupportedProtocol,
            family.LocalProtocolError,
            family.ProxyError,
        ),
    )


# ---- requests --------------------------------------------------------------------------------------------------------


class _OneBlock:
    """Iterates over one block."""

    __slots__ = ("_block",)

    def __init__(self, block: bytes) -> None:
        self._block: bytes | None = block

    def __aiter__(self) -> _OneBlock:
        return self

    async def __anext__(self) -> bytes:  # noqa: ASYNC910 - part of a protocol, and nothing to wait for
        block, self._block = self._block, None
        if block is None:
            raise StopAsyncIteration
        return block


class _Body:
    """The body of a request, as often as it is asked for.

    The library's own is an async generator, which a request that is cancelled while it is sent leaves suspended.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _OneBlock(self._content)

    async def aclose(self) -> None:
        """Do nothing; the library asks for it."""


_body_types: dict[str, Callable[[bytes], httpx.AsyncByteStream]] = {}


def _body_type(family: Family) -> Callable[[bytes], httpx.AsyncByteStream]:
    """Return `_Body` as a class that the transports of `family` take; there is one for each library."""
    base = family.AsyncByteStream
    if base.__module__ not in _body_types:
        made = type("_Body", (_Body, base), {})
        _body_types[base.__module__] = cast("Callable[[bytes], httpx.AsyncByteStream]", made)
    return _body_types[base.__module__]


async def send_over(
    client: httpx.AsyncClient, url: str, headers: dict[str, str], content: bytes, connect_seconds: float | None
) -> ClientReply:
    """Send a POST request over a user's client, and return its reply, of which the head has arrived.

    Only connecting has a limit here: the deadlines of the run govern the rest, per event and not per read.
    """
    family = family_of(client)
    timeout = family.Timeout(None, connect=connect_seconds)
    request = client.build_request("POST", url, content=content, headers=headers, timeout=timeout)
    request.stream = _body_type(family)(content)
    return ClientReply(family, await client.send(request, stream=True, follow_redirects=False))


class ProxyWay:
    """A connection through a proxy that the environment names; what `Connection` is without one."""

    __slots__ = ("_transport",)

    def __init__(self, context: ssl.SSLContext | None, proxy: str) -> None:
        """Connect to nothing yet.

        Args:
            context: for TLS; None where neither the proxy nor the provider speaks it.
            proxy: its URL.
        """
        family = own_family()
        # httpx closes an idle connection by itself only when it is asked for another one, so our own clock decides
        limits = family.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=None)
        self._transport = family.AsyncHTTPTransport(verify=context or _bare_context(), limits=limits, proxy=proxy)

    def is_dropped(self) -> bool:
        """Return False: the transport finds that out by itself, and connects anew."""
        return False

    async def send_to(
        self, url: str, lines: Sequence[tuple[bytes, bytes]], content: bytes, connect_seconds: float | None
    ) -> ClientReply:
        """Send a POST request, and return its reply, of which the head has arrived."""
        family = own_family()
        timeout = {"connect": connect_seconds, "read": None, "write": None, "pool": None}
        request = family.Request(
            "POST",
            url,
            headers=[*lines, (b"content-length", b"%d" % len(content))],
            stream=_body_type(family)(content),
            extensions={"timeout": timeout},
        )
        return ClientReply(family, await self._transport.handle_async_request(request))

    async def aclose(self) -> None:
        """Close the connection; gives up after a while, and then drops it."""
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            try:
                await self._transport.aclose()
            except (OSError, own_family().HTTPError):
                pass  # a broken connection cannot say goodbye; its socket is closed all the same


# ---- replies ---------------------------------------------------------------------------------------------------------


class ClientReply:
    """A reply that comes over the library."""

    __slots__ = ("_blocks", "_response", "ended", "errors", "headers", "status")

    def __init__(self, family: Family, response: httpx.Response) -> None:
        self.status: int = response.status_code
        self.headers: dict[str, str] = {name.lower(): value for name, value in response.headers.items()}
        self.ended: bool = False
        self.errors: tuple[type[Exception], ...] = (family.HTTPError, family.StreamError, OSError)
        self._response = response
        if response.is_closed:  # an event hook of the user's client has read it, decompressed
            self.headers.pop("content-encoding", None)
            self._blocks: AsyncIterator[bytes] = _OneBlock(response.content)
        else:
            # Not aiter_raw(): it adds generators, each of which a cancelled reader would leave behind
            self._blocks = aiter(cast("httpx.AsyncByteStream", response.stream))

    async def read(self) -> bytes:
        """Return the next block of the body as it came; b"" at its end."""
        while not self.ended:
            try:
                block = await self._blocks.__anext__()
            except StopAsyncIteration:
                self.ended = True
            else:
                if block:
                    return block
        return b""

    async def finish(self) -> bool:
        """End the reply, and return whether another may follow on its connection; that is closed otherwise."""
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            try:
                await self._response.aclose()
            except Exception:  # noqa: BLE001 - a user's client may raise anything; what was read counts
                self.ended = False  # broken while it was closed: not to be used again
            if not self.ended:
                # The library's iterators are nested generators. Left suspended they would be closed by the garbage
                # collector, each with a warning on trio; resumed on a closed connection they end by themselves.
                # Blocks that were received before come first.
                try:
                    while await anext(self._blocks, b""):
                        pass
                except Exception:  # noqa: BLE001 - whatever a closed connection raises is what ends them
                    pass
            return self.ended
        return False
