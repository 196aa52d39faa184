"""HTTP for models: the one place that knows httpx, and the clients that belong to an event loop.

A user's client, of `httpx` or of `httpx2`, is used as it is and closed by its owner; its exceptions and its `Timeout`
are those of the module that its class comes from. Without one the connections are ours:

- They belong to the running event loop, in a run variable. A connection of another loop is never touched, so one model
  object works in many loops, one after another and in several threads at once.
- Each is a *slot*: an httpx transport for one connection. A slot serves one request at a time and then goes to the free
  list of its origin. One pool for all would search all its requests at each step (quadratic), and can close a connection
  that it has just given away (encode/httpcore 1035 and 1110); a slot can do neither.
- A slot whose reply was not read to its end is closed, never reused.
- They are closed when the loop ends. asyncio and trio both close, at the end of a run, the async generators that are
  still suspended (PEP 525), so each loop has one such generator, whose `finally` closes the idle slots. Finalizers
  (`__del__`, weakref) would come too late: an asyncio transport can only be closed while its loop runs. A loop that is
  driven by hand has to call `loop.shutdown_asyncgens()`, as `asyncio.run` does, or `close()` has to be awaited before.

An `Exchange` is one request and its reply. It is read block by block from one task, and is closed in every case:

    open --read--> open --end of body--> finished --aclose--> the slot is idle
      |                                                           ^
      +--- expect_end(), aclose ---> draining --end of body ------+
      +--- aclose (error, cancelled, left) ---> the connection is closed
"""

from __future__ import annotations

import math
import re
import ssl
import sys
import threading
import time
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, cast
from urllib.parse import urlencode, urlsplit

import anyio
import anyio.lowlevel
import anyio.to_thread
import attrs

from ._exceptions import (
    AgentsException,
    ModelBehaviorError,
    ModelError,
    ModelLimitError,
    ModelStatusError,
    ModelTimeoutError,
    ModelTransportError,
    UserError,
)
from ._retry import ModelRetryAdvice, ModelRetryAdviceRequest, ModelRetryNormalizedError

if TYPE_CHECKING:
    import httpx

    from .models._limits import Limits

__all__ = ["CONNECT_SECONDS", "Endpoint", "Exchange", "retry_advice"]

CONNECT_SECONDS = 30.0
"""How long making a connection may take; protects against hosts that swallow packets."""

_CLOSE_SECONDS = 2.0  # closing one connection under a shield; protects a cancel from a TLS peer that says no goodbye
_DRAIN_SECONDS = 0.25  # from the last event to the end of the body; protects a finished stream from a server that lingers
_DRAIN_BYTES = 65536  # the same, in bytes: a new connection is cheaper than reading more
_ERROR_BODY_SECONDS = 5.0  # reading the body of an error; protects the status from a body that never comes
_IDLE_SECONDS = 30.0  # how long an idle connection is kept; servers and load balancers drop theirs after 60 s and more
_IDLE_SLOTS = 64  # how many idle connections a loop keeps, all origins together; the oldest are closed first
_INFLATED_BYTES = 65536  # how much is decompressed at once; protects the memory from a compressed bomb
_LONGEST_WAIT = 60.0  # a longer Retry-After is for the caller to wait, not for a run

_Headers = Mapping[str, str]


class _Family(Protocol):
    """What we use of `httpx` or `httpx2`: two modules of the same shape that share no class."""

    AsyncHTTPTransport: type[httpx.AsyncHTTPTransport]
    Limits: type[httpx.Limits]
    Request: type[httpx.Request]
    Timeout: type[httpx.Timeout]
    HTTPError: type[Exception]
    TimeoutException: type[Exception]
    ConnectTimeout: type[Exception]
    PoolTimeout: type[Exception]
    ConnectError: type[Exception]
    UnsupportedProtocol: type[Exception]
    LocalProtocolError: type[Exception]
    ProxyError: type[Exception]
    StreamError: type[Exception]


def _family_of(client: object) -> _Family:
    """Return the module that `client` belongs to, by the class it derives from.

    Raises:
        UserError: it is no async client of the httpx family.
    """
    for cls in type(client).__mro__:
        root = cls.__module__.partition(".")[0]
        if root in ("httpx", "httpx2") and cls.__name__ == "AsyncClient":
            return cast("_Family", sys.modules[root])  # the two modules have no common type
    raise UserError(
        f"http_client must be an async client of the httpx family (httpx.AsyncClient, httpx2.AsyncClient or a subclass), "
        f"got {type(client).__module__}.{type(client).__qualname__}"
    )


@cache
def _own_family() -> _Family:
    """Return httpx with all that it loads at its first request, a matter of 0.2 s that no event loop should wait for."""
    import httpx

    httpx.AsyncHTTPTransport(verify=_bare_context(), trust_env=False)
    return cast("_Family", httpx)


# ---- connections of our own ------------------------------------------------------------------------------------------


@attrs.define(eq=False)
class _Slot:
    """One transport for one connection, idle since `idle_since` on the loop's clock."""

    transport: httpx.AsyncHTTPTransport
    origin: str
    idle_since: float = 0.0

    async def aclose(self) -> None:
        """Close the connection; gives up after a while, and then drops it."""
        with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
            try:
                await self.transport.aclose()
            except (OSError, _own_family().HTTPError):
                pass  # a broken connection cannot say goodbye; its socket is closed all the same


@attrs.define(eq=False)
class _Connections:
    """The idle slots of one event loop, by origin, the one used last at the end."""

    idle: dict[str, list[_Slot]] = attrs.field(factory=dict[str, list[_Slot]])
    proxies: dict[str, str | None] = attrs.field(factory=dict[str, "str | None"])
    guard: AsyncGenerator[None, None] | None = None
    closed: bool = False

    async def take(self, origin: str, family: _Family) -> _Slot:
        """Return a slot for `origin` that nobody else uses: the one that became idle last, or a new one."""
        await self._reap(anyio.current_time() - _IDLE_SECONDS)
        slots = self.idle.get(origin)
        if slots:
            return slots.pop()
        if origin not in self.proxies:
            self.proxies[origin] = _proxy_for(origin)
        proxy = self.proxies[origin]
        secure = origin.startswith("https:") or (proxy is not None and not proxy.startswith("http:"))
        context = await anyio.to_thread.run_sync(_shared_context) if secure else _bare_context()
        # httpx closes an idle connection by itself only when it is asked for another one, so our own clock decides
        limits = family.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=None)
        return _Slot(family.AsyncHTTPTransport(verify=context, limits=limits, proxy=proxy), origin)

    async def give_back(self, slot: _Slot) -> None:
        """Keep `slot`, whose connection is at rest, for the next request."""
        if self.closed:
            await slot.aclose()
            return
        slot.idle_since = anyio.current_time()
        self.idle.setdefault(slot.origin, []).append(slot)
        await self._reap(slot.idle_since - _IDLE_SECONDS)

    async def _reap(self, before: float) -> None:
        """Close what has been idle since `before` or longer, and the oldest slots past the number we keep."""
        surplus = sum(map(len, self.idle.values())) - _IDLE_SLOTS
        for origin in list(self.idle):
            slots = self.idle[origin]
            old = [slot for slot in slots if slot.idle_since <= before]
            if surplus > len(old):
                old = slots[:surplus]
            if old:
                del slots[: len(old)]
                surplus -= len(old)
                if not slots:
                    del self.idle[origin]
                for slot in old:
                    await slot.aclose()

    async def close_idle(self, origin: str | None = None) -> None:
        """Close the idle slots of `origin`, or all of them."""
        names = list(self.idle) if origin is None else [origin]
        for slot in [slot for name in names for slot in self.idle.pop(name, [])]:
            await slot.aclose()


async def _closed_with_the_loop(connections: _Connections) -> AsyncGenerator[None, None]:
    """Stay suspended until the event loop ends and closes its generators, then close the idle connections."""
    try:
        yield
    finally:
        connections.closed = True
        with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
            await connections.close_idle()


_connections: anyio.lowlevel.RunVar[_Connections] = anyio.lowlevel.RunVar("agentrun http connections")


async def _of_this_loop() -> _Connections:
    connections = _connections.get(None)
    if connections is None:
        connections = _Connections()
        connections.guard = _closed_with_the_loop(connections)
        _connections.set(connections)
        await connections.guard.__anext__()  # from here on the loop knows the generator
    return connections


_context_lock = threading.Lock()


@cache
def _make_shared_context() -> ssl.SSLContext:
    import httpx

    return httpx.create_ssl_context()


def _shared_context() -> ssl.SSLContext:
    """Return the TLS context of this process; reading the trust store takes some 30 ms, so it is made once."""
    with _context_lock:
        return _make_shared_context()


@cache
def _bare_context() -> ssl.SSLContext:
    """Return a context that trusts nobody, for transports that never speak TLS."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _proxy_for(origin: str) -> str | None:
    """Return the proxy that the environment names for `origin`, as httpx would find it."""
    from urllib.request import getproxies, proxy_bypass_environment

    proxies = getproxies()
    parts = urlsplit(origin)
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or proxy_bypass_environment(parts.netloc, proxies):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


# ---- a place to send requests to -------------------------------------------------------------------------------------

_MARKED = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@attrs.define(eq=False)
class Endpoint:
    """A provider's base URL, the key for it, and the client that reaches it. Holds no connection itself."""

    base_url: str
    """Without a slash at its end."""
    api_key: str = attrs.field(repr=False)
    """Sent as a bearer token; "" for a provider that wants none."""
    limits: Limits
    client: httpx.AsyncClient | None = attrs.field(default=None, repr=False)
    """The user's, which they close; None for connections of our own."""
    connect_seconds: float | None = CONNECT_SECONDS
    headers: _Headers = attrs.field(factory=dict[str, str], repr=False)
    """Sent with every request."""
    family: _Family = attrs.field(init=False, repr=False)
    origin: str = attrs.field(init=False)
    """Scheme, host and port of `base_url`."""

    def __attrs_post_init__(self) -> None:
        self.family = _own_family() if self.client is None else _family_of(self.client)
        self.base_url = self.base_url.rstrip("/")
        try:
            parts = urlsplit(self.base_url)
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError as exc:
            raise UserError(f"base_url is no URL: {self.redact(self.base_url)!r} ({exc})") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError(
                f"base_url must start with http:// or https:// and name a host, got {self.redact(self.base_url)!r}"
            )
        if parts.username or parts.password:
            raise UserError("base_url must not hold a user name or password; give the key as api_key")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        self.origin = f"{parts.scheme}://{host}:{port}"
        if not (self.api_key.isascii() and self.api_key.isprintable()) or self.api_key != self.api_key.strip():
            raise UserError(
                "api_key has a character that no HTTP header may hold (a line end or a space at its end?); check the "
                "variable it was read from"
            )

    def redact(self, text: str) -> str:
        """Return `text` without the key."""
        return text.replace(self.api_key, "[api key]") if self.api_key else text

    async def post(
        self,
        path: str,
        content: bytes,
        *,
        accept: str,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, Any] | None = None,
    ) -> Exchange:
        """Send a request and return its reply, of which the head has arrived and has a status of success.

        The caller closes the exchange. Redirects are not followed: they would carry the prompt to another host.

        Args:
            path: what follows the base URL, from its slash on.
            content: the body, JSON.
            accept: the media type that is asked for.
            query: members of the query string.
            headers: sent as well; they win over ours, and a value that is no text or number takes a header out.

        Raises:
            ModelStatusError: the status is none of success.
            ModelTransportError: the connection could not be made, or broke.
            ModelTimeoutError: the connection was not made in time.

        On cancel the connection is closed first.
        """
        if self.client is not None and self.client.is_closed:
            raise UserError("http_client is closed; open it, and keep it open while agents that use it run")
        pairs = [(name, value) for name, value in (query or {}).items() if value is not None]
        url = f"{self.base_url}{path}" + (f"?{urlencode(pairs, doseq=True)}" if pairs else "")
        sent = {
            "accept": accept,
            # A compressed event stream is held back by proxies until a block is full
            "accept-encoding": "identity" if accept == "text/event-stream" else "gzip, deflate",
            "content-type": "application/json",
            "user-agent": "agentrun",
            **self.headers,
        }
        if self.api_key:
            sent["authorization"] = f"Bearer {self.api_key}"
        for name, value in (headers or {}).items():
            sent.pop(name.lower(), None)
            if isinstance(value, str | int | float):
                sent[name.lower()] = str(value)
        exchange = await self._sent(url, content, sent)
        if not 200 <= exchange.status < 300:
            try:
                raise await self._status_error(exchange)
            finally:
                await exchange.aclose()
        return exchange

    async def close(self) -> None:
        """Close the idle connections to this origin that the running loop holds. A user's client stays open."""
        connections = _connections.get(None)
        if connections is not None and self.client is None:
            await connections.close_idle(self.origin)

    async def _sent(self, url: str, content: bytes, headers: dict[str, str]) -> Exchange:
        # Only connecting has a limit here: the deadlines of the run govern the rest, per event and not per read
        timeout = self.family.Timeout(None, connect=self.connect_seconds)
        if self.client is not None:
            try:
                request = self.client.build_request("POST", url, content=content, headers=headers, timeout=timeout)
                response = await self.client.send(request, stream=True, follow_redirects=False)
            except (self.family.HTTPError, OSError) as exc:
                raise self._error(exc, head=False) from exc
            return Exchange(self, response, None, None)
        connections = await _of_this_loop()
        request = self.family.Request(
            "POST", url, headers=headers, content=content, extensions={"timeout": timeout.as_dict()}
        )
        slot = await connections.take(self.origin, self.family)
        try:
            response = await slot.transport.handle_async_request(request)
        except BaseException as exc:
            await slot.aclose()
            if isinstance(exc, self.family.HTTPError | OSError):
                raise self._error(exc, head=False) from exc
            raise
        return Exchange(self, response, connections, slot)

    def _error(self, exc: Exception, *, head: bool) -> ModelError:
        """Return our exception for one of the HTTP library's.

        Args:
            exc: what the library raised.
            head: whether the head of the response had arrived.
        """
        family = self.family
        if isinstance(exc, family.ConnectTimeout) and self.connect_seconds is not None:
            return ModelTimeoutError(self.connect_seconds, "connect")
        detail = f"{type(exc).__name__} {self.redact(str(exc))}".strip()
        if any(getattr(link, "error_status_hint", None) == 431 for link in _causes(exc)):
            # h11 holds a head of at most 100 KiB. It is the provider's mistake, and it would make it again
            return ModelTransportError(
                f"the head of the reply from {self.origin} is too long ({detail})", response_started=True
            )
        unsent = (
            family.ConnectError,
            family.ConnectTimeout,
            family.PoolTimeout,
            family.UnsupportedProtocol,
            family.LocalProtocolError,
            family.ProxyError,
        )
        if isinstance(exc, unsent):
            return ModelTransportError(f"no connection to {self.origin} ({detail})", request_sent=False)
        when = "while the reply was read" if head else "before the reply began"
        return ModelTransportError(f"the connection to {self.origin} broke {when} ({detail})", response_started=head)

    async def _status_error(self, exchange: Exchange) -> ModelStatusError:
        size = self.limits.error_body_bytes
        # A key that stands across the cut would not be found, so what is read is longer by one key than what is kept
        body = await exchange.read_some(size + len(self.api_key), _ERROR_BODY_SECONDS)
        body = self.redact_bytes(body)[:size]
        headers = {name: self.redact(value) for name, value in exchange.headers.items()}
        status = exchange.status
        if 300 <= status < 400:
            reason = "redirects are not followed; set base_url to the provider's final address"
        else:
            code, message = _said(body)
            reason = ": ".join(part for part in (code, message) if part) or _shown(body.decode("utf-8", "replace"))
        request_id = exchange.request_id
        tail = f" (request {request_id})" if request_id else ""
        return ModelStatusError(
            f"{self.origin} answered with status {status}: {reason or 'no reason given'}{tail}",
            status=status,
            headers=headers,
            body=body,
            request_id=request_id,
            retry_after=_retry_after(headers),
        )

    def redact_bytes(self, body: bytes) -> bytes:
        """Return `body` without the key."""
        return body.replace(self.api_key.encode(), b"[api key]") if self.api_key else body


def _causes(exc: BaseException | None) -> Iterable[BaseException]:
    while exc is not None:
        yield exc
        exc = exc.__cause__ or exc.__context__


def _shown(text: str) -> str:
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


def _said(body: bytes) -> tuple[str, str]:
    """Return the error code and the message of an error's body, each "" where it has none."""
    error = _error_member(body)
    code, message = error.get("code") or error.get("type"), error.get("message")
    return _shown(code) if isinstance(code, str) else "", _shown(message) if isinstance(message, str) else ""


# ---- one request and its reply ---------------------------------------------------------------------------------------


class _Inflater:
    """Decompresses gzip and deflate in pieces of bounded size."""

    __slots__ = ("_inflate", "_raw_allowed")

    def __init__(self, coding: str) -> None:
        # 32: zlib or gzip, by its header. "deflate" is zlib, but some servers send it without the header
        self._inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
        self._raw_allowed = coding == "deflate"

    def pieces(self, block: bytes) -> Iterable[bytes]:
        """Yield what `block` holds, in pieces of at most 64 KiB."""
        while block:
            try:
                piece = self._inflate.decompress(block, _INFLATED_BYTES)
            except zlib.error:
                if not self._raw_allowed:
                    raise
                self._inflate = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
                piece = self._inflate.decompress(block, _INFLATED_BYTES)
            self._raw_allowed = False
            if piece:
                yield piece
            block = self._inflate.unconsumed_tail
            if self._inflate.eof:
                block = self._inflate.unused_data
                if block:  # another gzip member
                    self._inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)

    def is_cut(self) -> bool:
        """Whether the data so far lacks its end."""
        return not self._inflate.eof


class Exchange:
    """One request and the reply to it. Used by one task at a time; not an async generator on purpose (see `aclose`)."""

    __slots__ = (
        "_blocks",
        "_connections",
        "_endpoint",
        "_ended",
        "_expects_end",
        "_inflater",
        "_open",
        "_pieces",
        "_received",
        "_response",
        "_slot",
        "headers",
        "status",
    )

    def __init__(
        self, endpoint: Endpoint, response: httpx.Response, connections: _Connections | None, slot: _Slot | None
    ) -> None:
        self.status: int = response.status_code
        self.headers: _Headers = {name.lower(): value for name, value in response.headers.items()}
        self._endpoint = endpoint
        self._response = response
        self._connections = connections
        self._slot = slot
        self._received = 0
        self._open = True
        self._expects_end = False
        coding = self.headers.get("content-encoding", "identity").strip().lower()
        if response.is_closed:  # an event hook of the user's client has read it, decompressed
            content, coding = response.content, "identity"
            self._blocks = _one_block(content)
        else:
            # Not aiter_raw(): it adds generators, each of which a cancelled reader would leave behind
            self._blocks = aiter(cast("httpx.AsyncByteStream", response.stream))
        self._inflater = None if coding in ("identity", "") else _Inflater(coding)
        self._pieces: Iterable[bytes] = ()
        self._ended = False

    @property
    def media_type(self) -> str:
        """The media type of the body in lower case without parameters, "" where the reply names none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def request_id(self) -> str | None:
        """The provider's id of the request, if it sent one."""
        return self.headers.get("x-request-id") or self.headers.get("request-id")

    def described(self) -> str:
        """Return what kind of reply it is, for messages: its status and media type."""
        return f"status {self.status}, content type {self.media_type or 'none'!r}"

    async def read(self, limit: str = "stream_bytes") -> bytes:
        """Return the next block of the body, decompressed; b"" at its end.

        Args:
            limit: the field of `Limits` that bounds the body as a whole.

        Raises:
            ModelTransportError: the connection broke, or the compression is corrupt.
            ModelLimitError: the body is longer than allowed.
        """
        while True:
            if self._pieces:
                try:
                    piece = next(cast("Any", self._pieces), b"")
                except zlib.error as exc:
                    raise self._corrupt(str(exc)) from exc
                if piece:
                    return self._counted(piece, limit)
                self._pieces = ()
            block = await self._read_block()
            if not block:
                if self._inflater is not None and self._received and self._inflater.is_cut():
                    raise self._corrupt("it ends too early")
                return b""
            if self._inflater is None:
                return self._counted(block, limit)
            self._check_coding()
            self._pieces = iter(self._inflater.pieces(block))

    async def read_all(self) -> bytes:
        """Return the whole body. Raises as `read` does; the limit is `body_bytes`."""
        blocks: list[bytes] = []
        while block := await self.read("body_bytes"):
            blocks.append(block)
        return b"".join(blocks)

    async def read_some(self, size: int, seconds: float) -> bytes:
        """Return at most `size` bytes of the body, what arrives within `seconds`; whatever is wrong with it."""
        found = bytearray()
        with anyio.move_on_after(seconds):
            try:
                while len(found) < size and (block := await self.read()):
                    found += block
            except (ModelError, ModelBehaviorError):
                pass  # the status is the news; a broken body adds nothing to it
        return bytes(found[:size])

    def expect_end(self) -> None:
        """Say that the reply is complete: what follows is at most its formal end, after which `aclose` waits a moment."""
        self._expects_end = True

    async def aclose(self) -> None:
        """Give the connection back if the body was read to its end, and close it otherwise. Safe to call twice.

        After `expect_end()` a short time is spent on reaching that end. On cancel the connection is closed first,
        under a shield with a deadline.
        """
        if not self._open:
            return
        self._open = False
        try:
            if self._expects_end and not self._ended:
                with anyio.move_on_after(_DRAIN_SECONDS):
                    drained = 0
                    while drained < _DRAIN_BYTES and (block := await self._read_block()):
                        drained += len(block)
        except ModelError:
            pass  # the reply is complete; how its connection ends is no news
        finally:
            await self._release()

    async def _release(self) -> None:
        with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
            try:
                await self._response.aclose()
            except (self._endpoint.family.HTTPError, OSError):
                self._ended = False  # broken while it was closed: not to be used again
            if not self._ended:
                # The library's iterators are nested generators. Left suspended they would be closed by the garbage
                # collector, each with a warning on trio; resumed on a closed connection they end by themselves.
                # Blocks that were received before come first.
                try:
                    while await anext(self._blocks, b""):
                        pass
                except Exception:  # noqa: BLE001, S110 - whatever a closed connection raises is what ends them
                    pass
        slot, self._slot = self._slot, None
        if slot is not None and self._connections is not None:
            if self._ended:
                await self._connections.give_back(slot)
            else:
                await slot.aclose()

    async def _read_block(self) -> bytes:
        """Return the next block as it came, b"" at the end of the body."""
        if self._ended:
            return b""
        try:
            while True:
                block = await anext(self._blocks, None)
                if block is None:
                    self._ended = True
                    return b""
                if block:
                    return block
        except (self._endpoint.family.HTTPError, self._endpoint.family.StreamError, OSError) as exc:
            raise self._endpoint._error(exc, head=True) from exc  # noqa: SLF001

    def _counted(self, block: bytes, limit: str) -> bytes:
        self._received += len(block)
        maximum: int = getattr(self._endpoint.limits, limit)
        if self._received > maximum:
            raise ModelLimitError(limit, self._received, maximum)
        return block

    def _check_coding(self) -> None:
        coding = self.headers.get("content-encoding", "").strip().lower()
        if coding not in ("gzip", "x-gzip", "deflate"):
            raise ModelBehaviorError(
                f"{self._endpoint.origin} answered with content-encoding {coding!r}, which was not asked for"
            )

    def _corrupt(self, reason: str) -> ModelTransportError:
        return ModelTransportError(
            f"the compressed reply from {self._endpoint.origin} is corrupt ({reason})", response_started=True
        )


async def _one_block(content: bytes) -> AsyncIterator[bytes]:
    if content:
        yield content


# ---- what a failure says about another attempt -----------------------------------------------------------------------


def retry_advice(request: ModelRetryAdviceRequest) -> ModelRetryAdvice | None:
    """Return whether and when a failed request may be sent again; None for what is no failure of HTTP.

    It is safe when nothing was sent, when the status says that nothing was done, and when the connection broke before
    the reply began. It is not when a reply had begun, and a whole reply may exist when a deadline passed.
    """
    error = request.error
    if isinstance(error, ModelStatusError):
        return _status_advice(error)
    if isinstance(error, ModelTimeoutError):
        # Before the first event nothing was delivered; only a conversation at the provider may have grown by it
        safe = error.limit == "connect" or (error.limit == "first_event" and request.conversation_id is None)
        return ModelRetryAdvice(
            suggested=safe,
            replay_safety="safe" if safe else "unsafe",
            reason=f"the {error.limit} limit passed",
            normalized=_normalized(error, is_timeout=True),
            response_started=error.limit == "idle",
        )
    if isinstance(error, ModelTransportError):
        return ModelRetryAdvice(
            suggested=not error.response_started,
            replay_safety="unsafe" if error.response_started else "safe",
            reason="the connection broke" if error.request_sent else "nothing was sent",
            normalized=_normalized(error, is_network_error=True),
            response_started=error.response_started,
        )
    return None


def _status_advice(error: ModelStatusError) -> ModelRetryAdvice:
    status, wait = error.status, error.retry_after
    code = _said(error.body)[0] or None
    suggested = status in (408, 409, 429) or status >= 500
    reason = f"status {status}"
    asked = error.headers.get("x-should-retry", "").strip().lower()
    if asked in ("true", "false"):
        suggested, reason = asked == "true", f"the provider sent x-should-retry: {asked}"
    elif code == "insufficient_quota" or _error_member(error.body).get("type") == "insufficient_quota":
        suggested, reason = False, "the quota is used up"
    if suggested and wait is not None and wait > _LONGEST_WAIT:
        suggested, reason = False, f"the provider asks to wait {wait:g} s, longer than a run waits"
    return ModelRetryAdvice(
        suggested=suggested,
        retry_after=wait,
        replay_safety="safe",
        reason=reason,
        normalized=_normalized(error, status_code=status, code=code, request_id=error.request_id, retry_after=wait),
        response_started=True,
    )


def _normalized(
    error: AgentsException,
    *,
    status_code: int | None = None,
    code: str | None = None,
    request_id: str | None = None,
    retry_after: float | None = None,
    is_network_error: bool = False,
    is_timeout: bool = False,
) -> ModelRetryNormalizedError:
    return ModelRetryNormalizedError(
        status_code=status_code,
        error_code=code,
        message=str(error),
        request_id=request_id,
        retry_after=retry_after,
        is_network_error=is_network_error,
        is_timeout=is_timeout,
    )


def _retry_after(headers: _Headers) -> float | None:
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
