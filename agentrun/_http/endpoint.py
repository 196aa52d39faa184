"""Where requests go, and what is said when they fail."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import anyio
import attrs
import h11

from agentrun._exceptions import ModelStatusError, ModelTimeoutError, ModelTransportError, UserError
from agentrun._fields import new_dict
from agentrun._http.address import Address
from agentrun._http.clients import ClientReply, ProxyWay, family_of, own_family, send_over, was_unsent
from agentrun._http.connections import Connections, Slot, connections_here, proxy_for
from agentrun._http.exchange import Exchange
from agentrun._http.http11 import BROKEN
from agentrun._http.refusal import error_said, is_head_too_long, retry_after, shown
from agentrun._settings import connect_limit
from agentrun.models._limits import CONNECT_SECONDS

if TYPE_CHECKING:
    import httpx

    from agentrun.models._limits import Limits

__all__ = ["Endpoint"]

_ERROR_BODY_SECONDS: Final = 5.0  # reading the body of an error; protects the status from a body that never comes


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
    headers: Mapping[str, str] = attrs.field(factory=new_dict, repr=False)
    """Sent with every request."""
    origin: str = attrs.field(init=False)
    """Scheme, host and port of `base_url`."""
    _addresses: dict[tuple[str, str], Address] = attrs.field(init=False, factory=new_dict, repr=False)
    """Where requests with nothing of their own in URL and headers go, by path and media type."""

    def __attrs_post_init__(self) -> None:
        if self.client is not None:
            family_of(self.client)
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
        if self.client is None and proxy_for(self.origin) is not None:
            own_family()
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
                raise await self._status_error(exchange, to.secrets)
            finally:
                await exchange.aclose()
        return exchange

    def _addressed(self, path: str, accept: str, query: Mapping[str, Any], headers: Mapping[str, Any]) -> Address:
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
        return Address.of(self.base_url, path, query, sent)

    async def close(self) -> None:
        """Close the idle connections to this origin that the running loop holds. A user's client stays open."""
        if self.client is None:
            await (await connections_here()).close_idle(self.origin)

    def _connect_limit(self) -> float | None:
        """Return how long connecting may take: the endpoint's limit or the run's, whichever is shorter."""
        limits = [limit for limit in (self.connect_seconds, connect_limit.get()) if limit is not None]
        return min(limits, default=None)

    async def _sent(self, to: Address, content: bytes) -> Exchange:
        # Only connecting has a limit here: the deadlines of the run govern the rest, per event and not per read
        limit = self._connect_limit()
        if self.client is not None:
            return Exchange(
                self, await self._over_client(send_over(self.client, to.url, to.headers, content, limit)), None
            )
        connections = await connections_here()
        slot = await connections.take(self.origin) or await self._connected(connections, limit)
        try:
            if isinstance(slot.way, ProxyWay):
                sending = slot.way.send_to(to.url, to.lines, content, limit)
                return Exchange(self, await self._over_client(sending), slot)
            try:
                await slot.way.send(to.target, to.lines, content)
            except BROKEN as exc:
                raise self.broken(exc, sent=not isinstance(exc, h11.LocalProtocolError)) from exc
            return Exchange(self, slot.way, slot)
        except BaseException:
            await slot.aclose()
            raise

    async def _connected(self, connections: Connections, limit: float | None) -> Slot:
        try:
            with anyio.move_on_after(limit):
                return await connections.connect(self.origin)
        except BROKEN as exc:
            raise self.broken(exc, sent=False) from exc
        raise ModelTimeoutError(math.inf if limit is None else limit, "connect")

    async def _over_client(self, sending: Awaitable[ClientReply]) -> ClientReply:
        """Return the reply to a request over httpx, with our exceptions."""
        family = own_family() if self.client is None else family_of(self.client)
        try:
            return await sending
        except (family.HTTPError, OSError) as exc:
            limit = self._connect_limit()
            if isinstance(exc, family.ConnectTimeout) and limit is not None:
                raise ModelTimeoutError(limit, "connect") from exc
            raise self.broken(exc, sent=not was_unsent(family, exc)) from exc

    def broken(self, exc: Exception, *, sent: bool = True, head: bool = False) -> ModelTransportError:
        """Return our exception for one that says that a connection broke.

        Args:
            exc: what was raised.
            sent: whether any of the request can have been sent.
            head: whether the head of the reply had arrived.
        """
        detail = f"{type(exc).__name__} {self.redact(str(exc))}".strip()
        if is_head_too_long(exc):
            return ModelTransportError(
                f"the head of the reply from {self.origin} is too long ({detail})", response_started=True
            )
        if not sent:
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
            reason = ": ".join(part for part in (code, message) if part) or shown(body.decode("utf-8", "replace"))
        request_id = exchange.request_id
        tail = f" (request {request_id})" if request_id else ""
        return ModelStatusError(
            f"{self.origin} answered with status {status}: {reason or 'no reason given'}{tail}",
            status=status,
            headers=headers,
            body=body,
            request_id=request_id,
            retry_after=retry_after(headers),
        )

    def redact_bytes(self, body: bytes, also: Iterable[str] = ()) -> bytes:
        """Return `body` without the key, and without the other secrets of a request."""
        for secret in (self.api_key, *also):
            if secret:
                body = body.replace(secret.encode(), b"[api key]")
        return body
