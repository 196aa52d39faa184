"""HTTP for models: the one place that knows httpx, and the clients that belong to an event loop.

What an `Endpoint` sends goes over a user's client or over connections of our own (`_connections.py`); the exceptions of
either library become ours here.

An `Exchange` is one request and its reply. It is read block by block from one task, and is closed in every case:

    open --read--> open --end of body--> finished --aclose--> the slot is idle
      |                                                           ^
      +--- expect_end(), aclose ---> draining --end of body ------+
      +--- aclose (error, cancelled, left) ---> the connection is closed
"""

from __future__ import annotations

import math
import re
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlencode, urlsplit

import anyio
import attrs

from agentrun._connections import CLOSE_SECONDS, Connections, Family, Slot, connections_here, family_of, own_family
from agentrun._exceptions import (
    ModelBehaviorError,
    ModelError,
    ModelLimitError,
    ModelStatusError,
    ModelTimeoutError,
    ModelTransportError,
    UserError,
)
from agentrun._settings import connect_limit

if TYPE_CHECKING:
    import httpx

    from agentrun.models._limits import Limits

__all__ = ["CONNECT_SECONDS", "Endpoint", "Exchange", "error_said", "error_type", "is_head_too_long"]

CONNECT_SECONDS = 30.0
"""How long making a connection may take; protects against hosts that swallow packets."""

_DRAIN_SECONDS = 0.25  # from the last event to the end of the body; protects a whole reply from a server that lingers
_DRAIN_BYTES = 65536  # the same, in bytes: a new connection is cheaper than reading more
_ERROR_BODY_SECONDS = 5.0  # reading the body of an error; protects the status from a body that never comes
_INFLATED_BYTES = 65536  # how much is decompressed at once; protects the memory from a compressed bomb

_Headers = Mapping[str, str]


# ---- a place to send requests to -------------------------------------------------------------------------------------

_MARKED = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FRAMING = frozenset({"connection", "content-length", "transfer-encoding", "upgrade"})
"""Headers that say how a request is sent; a wrong one would make a request that no server can read."""
_CREDENTIALS = ("authorization", "proxy-authorization", "api-key", "x-api-key", "x-goog-api-key", "cookie")
"""Headers whose values are never shown."""


@attrs.frozen(eq=False, repr=False)
class _Address:
    """The URL and the headers of a request; parsing and checking them is most of what it takes to make one."""

    url: str
    headers: dict[str, str]
    parsed: httpx.URL | None = None
    """`url`, where the connection is ours."""
    prepared: httpx.Headers | None = None
    """`headers` with that of the host and without the length of a body, where the connection is ours."""


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
    family: Family = attrs.field(init=False, repr=False)
    origin: str = attrs.field(init=False)
    """Scheme, host and port of `base_url`."""
    _addresses: dict[tuple[str, str], _Address] = attrs.field(
        init=False, factory=dict[tuple[str, str], Any], repr=False
    )
    """Where requests with nothing of their own in URL and headers go, by path and media type."""

    def __attrs_post_init__(self) -> None:
        self.family = own_family() if self.client is None else family_of(self.client)
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

    def redact(self, text: str, also: Iterable[str] = ()) -> str:
        """Return `text` without the key, and without the other secrets of a request."""
        for secret in (self.api_key, *also):
            if secret:
                text = text.replace(secret, "[api key]")
        return text

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
            UserError: a header is one that HTTP cannot carry, or that belongs to the connection.

        On cancel the connection is closed first.
        """
        if self.client is not None and self.client.is_closed:
            raise UserError("http_client is closed; open it, and keep it open while agents that use it run")
        if query or headers:
            to = self._addressed(path, accept, query or {}, headers or {})
        else:
            to = self._addresses.get((path, accept)) or self._addressed(path, accept, {}, {})
            self._addresses[path, accept] = to
        exchange = await self._sent(to, content)
        if not 200 <= exchange.status < 300:
            try:
                raise await self._status_error(exchange, _credentials(to.headers))
            finally:
                await exchange.aclose()
        return exchange

    def _addressed(self, path: str, accept: str, query: Mapping[str, Any], headers: Mapping[str, Any]) -> _Address:
        pairs = [(name, value) for name, value in query.items() if value is not None]
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
        for name, value in headers.items():
            sent.pop(name.lower(), None)
            if isinstance(value, str | int | float):
                sent[name.lower()] = str(value)
        _check_headers(sent)
        if self.client is not None:
            return _Address(url, sent)
        request = self.family.Request("POST", url, headers=sent)
        request.headers.pop("content-length", None)  # that of no body; each request has its own
        return _Address(url, sent, request.url, request.headers)

    async def close(self) -> None:
        """Close the idle connections to this origin that the running loop holds. A user's client stays open."""
        if self.client is None:
            await (await connections_here()).close_idle(self.origin)

    def _connect_limit(self) -> float | None:
        """Return how long connecting may take: the endpoint's limit or the run's, whichever is shorter."""
        limits = [limit for limit in (self.connect_seconds, connect_limit.get()) if limit is not None]
        return min(limits, default=None)

    async def _sent(self, to: _Address, content: bytes) -> Exchange:
        # Only connecting has a limit here: the deadlines of the run govern the rest, per event and not per read
        limit = self._connect_limit()
        if self.client is not None:
            timeout = self.family.Timeout(None, connect=limit)
            try:
                request = self.client.build_request(
                    "POST", to.url, content=content, headers=to.headers, timeout=timeout
                )
                request.stream = _body_type(self.family)(content)
                response = await self.client.send(request, stream=True, follow_redirects=False)
            except (self.family.HTTPError, OSError) as exc:
                raise self.transport_error(exc, head=False) from exc
            return Exchange(self, response, None, None)
        connections = await connections_here()
        assert to.parsed is not None  # only that of a user's client is not
        request = self.family.Request(
            "POST",
            to.parsed,
            headers=to.prepared,
            stream=_body_type(self.family)(content),
            extensions={"timeout": {"connect": limit, "read": None, "write": None, "pool": None}},
        )
        request.headers["Content-Length"] = str(len(content))
        slot = await connections.take(self.origin, self.family)
        try:
            response = await slot.transport.handle_async_request(request)
        except BaseException as exc:
            await slot.aclose()
            if isinstance(exc, self.family.HTTPError | OSError):
                raise self.transport_error(exc, head=False) from exc  # noqa: ASYNC104 - only what the client raises is worded anew
            raise
        return Exchange(self, response, connections, slot)

    def transport_error(self, exc: Exception, *, head: bool) -> ModelError:
        """Return our exception for one of the HTTP library's.

        Args:
            exc: what the library raised.
            head: whether the head of the response had arrived.
        """
        family = self.family
        if isinstance(exc, family.ConnectTimeout) and (limit := self._connect_limit()) is not None:
            return ModelTimeoutError(limit, "connect")
        detail = f"{type(exc).__name__} {self.redact(str(exc))}".strip()
        if is_head_too_long(exc):
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

    async def _status_error(self, exchange: Exchange, secrets: Sequence[str]) -> ModelStatusError:
        size = self.limits.error_body_bytes
        # A key that stands across the cut would not be found, so what is read is longer by one key than what is kept
        longest = max(map(len, (self.api_key, *secrets)))
        body = await exchange.read_some(size + longest, _ERROR_BODY_SECONDS)
        body = self.redact_bytes(body, secrets)[:size]
        headers = {name: self.redact(value, secrets) for name, value in exchange.headers.items()}
        status = exchange.status
        if 300 <= status < 400:
            reason = "redirects are not followed; set base_url to the provider's final address"
        else:
            code, message = error_said(body)
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

    def redact_bytes(self, body: bytes, also: Iterable[str] = ()) -> bytes:
        """Return `body` without the key, and without the other secrets of a request."""
        for secret in (self.api_key, *also):
            if secret:
                body = body.replace(secret.encode(), b"[api key]")
        return body


def _check_headers(headers: _Headers) -> None:
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


def _credentials(headers: _Headers) -> list[str]:
    """Return what is secret in the headers of a request: whole values, and what follows their scheme."""
    values = [headers[name] for name in _CREDENTIALS if name in headers]
    # A word that is not secret, such as "k" in a test, would be cut out of everything
    secrets = {part for value in values for part in (value, value.rpartition(" ")[2]) if len(part) >= 8}
    return sorted(secrets, key=len, reverse=True)


def is_head_too_long(exc: BaseException | None) -> bool:
    """Return whether a request failed by a reply whose head is longer than the 100 KiB that h11 takes."""
    while exc is not None:
        if getattr(exc, "error_status_hint", None) == 431:
            return True
        exc = exc.__cause__ or exc.__context__
    return False


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


def error_said(body: bytes) -> tuple[str, str]:
    """Return the error code and the message of an error's body, each "" where it has none."""
    error = _error_member(body)
    code, message = error.get("code") or error.get("type"), error.get("message")
    return _shown(code) if isinstance(code, str) else "", _shown(message) if isinstance(message, str) else ""


def error_type(body: bytes) -> str | None:
    """Return the `type` of an error's body, None where it has none."""
    found = _error_member(body).get("type")
    return found if isinstance(found, str) else None


# ---- the body of a request -------------------------------------------------------------------------------------------


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
        "_ended",
        "_endpoint",
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
        self, endpoint: Endpoint, response: httpx.Response, connections: Connections | None, slot: Slot | None
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
            self._blocks: AsyncIterator[bytes] = _OneBlock(content)
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
        if self._inflater is None:
            block = b""
            while not block and not self._ended:  # as in `_read_block`, without one more coroutine for every delta
                try:
                    block = await self._blocks.__anext__()
                except StopAsyncIteration:
                    self._ended = True
                except (self._endpoint.family.HTTPError, self._endpoint.family.StreamError, OSError) as exc:
                    raise self._endpoint.transport_error(exc, head=True) from exc
            return self._counted(block, limit)
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
                if self._received and self._inflater.is_cut():
                    raise self._corrupt("it ends too early")
                return b""
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
        """Say that the reply is complete: what follows is its formal end, and `aclose` waits a moment for it."""
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
            await self._release()  # noqa: ASYNC102 - shields itself

    async def _release(self) -> None:
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
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
                except Exception:  # noqa: BLE001 - whatever a closed connection raises is what ends them
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
                block = await self._blocks.__anext__()
                if block:
                    return block
        except StopAsyncIteration:
            self._ended = True
            return b""
        except (self._endpoint.family.HTTPError, self._endpoint.family.StreamError, OSError) as exc:
            raise self._endpoint.transport_error(exc, head=True) from exc

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
