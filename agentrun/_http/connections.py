"""The HTTP connections of an event loop.

A user's client, of `httpx` or of `httpx2`, is used as it is and closed by its owner. Without one they are ours:

- They belong to the running event loop, in a run variable. A connection of another loop is never touched, so one model
  object works in many loops, one after another and in several threads at once.
- Each is a *slot*, which serves one request at a time and then goes to the free list of its origin. One pool for all
  would search all its requests at each step (quadratic), and can close a connection that it has just given away
  (encode/httpcore 1035 and 1110); a slot can do neither.
- A slot whose reply was not read to its end is closed, never reused.
- They are closed when the loop ends. asyncio and trio both close, at the end of a run, the async generators that are
  still suspended (PEP 525), so each loop has one such generator, whose `finally` closes the idle slots. Finalizers
  (`__del__`, weakref) would come too late: an asyncio transport can only be closed while its loop runs. A loop that is
  driven by hand has to call `loop.shutdown_asyncgens()`, as `asyncio.run` does, or `close_idle()` has to be awaited.
"""

from __future__ import annotations

import os
import ssl
import sys
import threading
from collections.abc import AsyncGenerator
from functools import cache
from urllib.parse import urlsplit

import anyio
import anyio.lowlevel
import anyio.to_thread
import attrs

from agentrun._fields import new_dict
from agentrun._http.clients import ProxyWay
from agentrun._http.http11 import CLOSE_SECONDS, Connection

__all__ = ["Connections", "Slot", "connections_here", "proxy_for"]

_IDLE_SECONDS = 30.0  # how long an idle connection is kept; servers and load balancers drop theirs after 60 s and more
_IDLE_SLOTS = 256  # how many idle connections a loop keeps, all origins together; the oldest are closed first

_CONNECTING = 64
"""How many connections to one origin are made at once.

Protects its backlog, and the streams that flow already: of a thousand runs that start together, the first end before
the last begin, instead of all being slow together.
"""


@attrs.define(eq=False)
class Slot:
    """One connection of the loop, idle since `idle_since` on the loop's clock."""

    way: Connection | ProxyWay
    origin: str
    _connections: Connections
    idle_since: float = 0.0

    async def give_back(self) -> None:
        """Keep the connection, which is at rest, for the next request."""
        await self._connections.keep(self)

    async def aclose(self) -> None:
        """Close the connection; gives up after a while, and then drops it."""
        await self.way.aclose()


@attrs.define(eq=False)
class Connections:
    """The idle slots of one event loop, by origin, the one used last at the end."""

    idle: dict[str, list[Slot]] = attrs.field(factory=new_dict)
    proxies: dict[str, str | None] = attrs.field(factory=new_dict)
    connecting: dict[str, anyio.Semaphore] = attrs.field(factory=new_dict)
    guard: AsyncGenerator[None, None] | None = None
    closed: bool = False

    async def take(self, origin: str) -> Slot | None:
        """Return a slot for `origin` that nobody else uses, the one that became idle last; None if there is none."""
        await self._reap(anyio.current_time() - _IDLE_SECONDS)
        slots = self.idle.get(origin)
        while slots:
            slot = slots.pop()
            if not slot.way.is_dropped():
                return slot
            await slot.aclose()
        return None

    async def connect(self, origin: str) -> Slot:
        """Return a new slot for `origin`, or one that became idle while this request waited for its turn to connect.

        On cancel nothing stays open.

        Raises:
            Exception: one of `BROKEN`; over a proxy the first request connects, and raises.
        """
        if origin not in self.connecting:
            self.connecting[origin] = anyio.Semaphore(_CONNECTING, fast_acquire=True)
            self.proxies[origin] = proxy_for(origin)
        async with self.connecting[origin]:
            return await self.take(origin) or await self._new(origin, self.proxies[origin])

    async def _new(self, origin: str, proxy: str | None) -> Slot:
        secure = origin.startswith("https:") or (proxy is not None and not proxy.startswith("http:"))
        context = await anyio.to_thread.run_sync(_shared_context) if secure else None
        if proxy is not None:
            return Slot(ProxyWay(context, proxy), origin, self)
        parts = urlsplit(origin)
        assert parts.hostname is not None
        assert parts.port is not None
        return Slot(await Connection.open(parts.hostname, parts.port, context), origin, self)

    async def keep(self, slot: Slot) -> None:
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
            if surplus <= 0 and (not slots or slots[0].idle_since > before):
                continue  # slots stand in the order in which they became idle
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


async def _closed_with_the_loop(connections: Connections) -> AsyncGenerator[None, None]:
    """Stay suspended until the event loop ends and closes its generators, then close the idle connections."""
    try:
        yield
    finally:
        connections.closed = True
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            await connections.close_idle()


_connections: anyio.lowlevel.RunVar[Connections] = anyio.lowlevel.RunVar("agentrun http connections")


async def connections_here() -> Connections:
    connections = _connections.get(None)
    if connections is None:
        connections = Connections()
        connections.guard = _closed_with_the_loop(connections)
        _connections.set(connections)
        await connections.guard.__anext__()  # from here on the loop knows the generator
    return connections


_context_lock = threading.Lock()


@cache
def _make_shared_context() -> ssl.SSLContext:
    import httpx

    context = httpx.create_ssl_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _shared_context() -> ssl.SSLContext:
    """Return the TLS context of this process; reading the trust store takes some 30 ms, so it is made once."""
    with _context_lock:
        return _make_shared_context()


def proxy_for(origin: str) -> str | None:
    """Return the proxy that the environment names for `origin`, as httpx would find it."""
    if sys.platform not in ("win32", "darwin") and not any(name.lower().endswith("_proxy") for name in os.environ):
        return None  # elsewhere the system may name one; what reads all that takes 20 ms to load
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    parts = urlsplit(origin)
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(parts.netloc):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"
