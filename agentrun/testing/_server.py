"""A small HTTP/1.1 server for ASGI 3 apps, for tests, benchmarks and the demo; on asyncio and trio alike.

One connection is one task in the server's nursery. While an app works on a request, a sibling task reads on, so a
client that goes away is seen at once:

    connection task ── request nursery ──┬─ app        sends: one write for each body message
                                         └─ watcher    reads: request body, then waits for the client to go away

An app that waits in `receive()` when the client goes away gets `http.disconnect` and some grace to end; any other is
cancelled at once. After that `send()` raises OSError, as ASGI 2.4 says. Leaving the server's block cancels the apps
and closes every socket before it returns.

Not a production server: no TLS, HTTP/2, WebSockets or access log.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, MutableMapping
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import unquote

import anyio
import anyio.abc
import anyio.from_thread
import attrs
import h11

from agentrun._fields import new_list

AsgiMessage: TypeAlias = MutableMapping[str, Any]
AsgiReceive: TypeAlias = Callable[[], Awaitable[AsgiMessage]]
AsgiSend: TypeAlias = Callable[[AsgiMessage], Awaitable[None]]
AsgiApp: TypeAlias = Callable[[MutableMapping[str, Any], AsgiReceive, AsgiSend], Awaitable[None]]
"""An ASGI 3 application; Starlette and FastAPI apps are such."""

log = logging.getLogger("agentrun.testing")

# Read size. Larger than any event of a provider's stream, so that one read is one event under normal load.
_READ_BYTES: Final = 65536
# How much of a request is kept for an app that does not read it. Past that we stop reading, and so stop seeing whether
# the client is still there, until the app takes some.
_KEPT_BYTES: Final = 1024 * 1024
# Bodies up to this size are joined with their framing: copying them costs less than another write.
_JOINED_BYTES: Final = 16384
# Protects the end of the block from an app that does not answer `lifespan.shutdown`.
_LIFESPAN_SECONDS: Final = 10.0


@attrs.frozen
class ServerStatistics:
    """What a server has seen so far; a snapshot."""

    open_connections: int
    """Connections open now, idle ones included."""
    connections: int
    """Connections accepted."""
    open_requests: int
    """Requests whose app is still running."""
    requests: int
    """Requests begun."""
    disconnects: int
    """Requests whose client went away before the response was complete."""
    responses_cut: int
    """Responses begun and never completed: the client left, the app failed, or the server was closed."""
    app_errors: int
    """Apps that raised."""


@attrs.define(eq=False)
class Server:
    """A server that accepts connections until the block that opened it is left; made by `serve()`."""

    host: str
    """The address it listens on."""
    port: int
    """The port it listens on, also when 0 was asked for."""
    errors: list[Exception] = attrs.field(factory=new_list, init=False)
    """What apps raised, oldest first; the client got status 500, or a cut response."""
    _open_connections: int = attrs.field(default=0, init=False)
    _connections: int = attrs.field(default=0, init=False)
    _open_requests: int = attrs.field(default=0, init=False)
    _requests: int = attrs.field(default=0, init=False)
    _disconnects: int = attrs.field(default=0, init=False)
    _responses_cut: int = attrs.field(default=0, init=False)

    @property
    def url(self) -> str:
        """The base URL, without a slash at the end."""
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"

    def statistics(self) -> ServerStatistics:
        """The counters now. May be called from any thread."""
        return ServerStatistics(
            open_connections=self._open_connections,
            connections=self._connections,
            open_requests=self._open_requests,
            requests=self._requests,
            disconnects=self._disconnects,
            responses_cut=self._responses_cut,
            app_errors=len(self.errors),
        )

    @contextmanager
    def count_connection(self) -> Generator[None]:
        """Count a connection for as long as the block lasts."""
        self._connections += 1
        self._open_connections += 1
        try:
            yield
        finally:
            self._open_connections -= 1

    @contextmanager
    def count_request(self, request: _Request) -> Generator[None]:
        """Count a request for as long as the block lasts, and how it ended."""
        self._requests += 1
        self._open_requests += 1
        try:
            yield
        finally:
            self._open_requests -= 1
            self._disconnects += request.client_left
            self._responses_cut += request.started and not request.complete


@asynccontextmanager
async def serve(
    app: AsgiApp, *, host: str = "127.0.0.1", port: int = 0, grace_seconds: float = 1.0, lifespan: bool = False
) -> AsyncGenerator[Server]:
    """Serve an ASGI app for as long as the block lasts.

    Args:
        app: the ASGI 3 app.
        host: the address to listen on.
        port: the port to listen on; 0 takes a free one, to be read from `server.port`.
        grace_seconds: how long an app may go on after it was told `http.disconnect`.
        lifespan: whether the app gets `lifespan` events. Its state is then part of each request's scope.

    Yields:
        The server, already listening. When the block is left every app is cancelled, and the block does not end
        before the apps' own cleanup has, and all sockets are closed.

    Raises:
        OSError: the address cannot be listened on.
        RuntimeError: `lifespan` is set and the app's startup failed.
    """
    listener = await anyio.create_tcp_listener(local_host=host, local_port=port)
    server = Server(host, listener.extra(anyio.abc.SocketAttribute.local_port))
    state: dict[str, Any] = {}
    left_with: BaseException | None = None
    try:
        async with listener, anyio.create_task_group() as nursery:

            async def handle(stream: anyio.abc.ByteStream) -> None:
                with server.count_connection():
                    await _Connection(stream, server, app, state, grace_seconds).run()

            life = _Lifespan(app, state)
            if lifespan:
                await nursery.start(life.run, name="lifespan")
            nursery.start_soon(listener.serve, handle, nursery, name=f"accept on {server.url}")
            try:
                yield server
            except BaseException as exc:  # noqa: ASYNC103, BLE001  # raised below: the nursery would wrap it in a group
                left_with = exc
            if lifespan and left_with is None:
                await life.shut_down()
            nursery.cancel_scope.cancel("the server's block was left")
    finally:
        if left_with is not None:
            raise left_with


@contextmanager
def serve_in_thread(
    app: AsgiApp,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    grace_seconds: float = 1.0,
    lifespan: bool = False,
    backend: Literal["asyncio", "trio"] = "asyncio",
) -> Generator[Server]:
    """As `serve()`, for synchronous code: the server runs on an event loop in a thread of its own.

    The loop is on the real clock. Leaving the block closes the server and joins the thread.
    """
    with anyio.from_thread.start_blocking_portal(backend, name="agentrun test server") as portal:
        served = serve(app, host=host, port=port, grace_seconds=grace_seconds, lifespan=lifespan)
        with portal.wrap_async_context_manager(served) as server:
            yield server


@attrs.define(eq=False)
class _Connection:
    """One connection: its requests, one after another.

    Invariant: at most one task reads from `stream`, the connection's own between requests, the watcher during one.
    """

    stream: anyio.abc.ByteStream
    server: Server
    app: AsgiApp
    state: dict[str, Any]
    grace_seconds: float
    http: h11.Connection = attrs.field(factory=lambda: h11.Connection(h11.SERVER), init=False)

    async def run(self) -> None:
        """Serve requests until either side closes, then close the socket, also when cancelled."""
        try:
            while (head := await self._next_head()) is not None:
                request = _Request(self, head)
                with self.server.count_request(request):
                    await request.run()
                if self.http.our_state is not h11.DONE or self.http.their_state is not h11.DONE:
                    break
                self.http.start_next_cycle()
        except h11.RemoteProtocolError as exc:
            await self._refuse(exc)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass  # the client went away; the request, if there was one, has been counted
        finally:
            # The shield lasts one scheduling step: closing a socket waits for nobody.
            with anyio.CancelScope(shield=True):
                await anyio.aclose_forcefully(self.stream)

    async def _next_head(self) -> h11.Request | None:
        while True:
            event = self.http.next_event()
            if event is not h11.NEED_DATA:
                return event if isinstance(event, h11.Request) else None
            await self.read()

    async def read(self) -> bool:
        """Read once and feed the parser.

        Returns:
            False at the end of the stream.
        """
        try:
            data = await self.stream.receive(_READ_BYTES)
        except anyio.EndOfStream:
            data = b""
        self.http.receive_data(data)
        return bool(data)

    async def _refuse(self, exc: h11.RemoteProtocolError) -> None:
        if self.http.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            text = f"bad request: {exc}\n".encode()
            head = h11.Response(
                status_code=exc.error_status_hint,
                headers=[("content-type", "text/plain"), ("content-length", str(len(text))), ("connection", "close")],
            )
            sent = [self.http.send(part) or b"" for part in (head, h11.Data(data=text), h11.EndOfMessage())]
            await self.stream.send(b"".join(sent))


@attrs.define(eq=False)
class _Request:
    """One request and its response.

    Invariants: `complete` implies `started`; `client_left` is only set while not `complete`; body bytes leave in the
    order of the app's `send()` calls, because only the app's tasks write while it runs.
    """

    connection: _Connection
    head: h11.Request
    started: bool = attrs.field(default=False, init=False)
    complete: bool = attrs.field(default=False, init=False)
    client_left: bool = attrs.field(default=False, init=False)
    _response: h11.Response | None = attrs.field(default=None, init=False)
    _chunked: bool = attrs.field(default=False, init=False)
    _no_body: bool = attrs.field(default=False, init=False)
    _body: deque[AsgiMessage] = attrs.field(factory=deque[AsgiMessage], init=False)
    _body_bytes: int = attrs.field(default=0, init=False)
    _receivers: int = attrs.field(default=0, init=False)
    # Set, and replaced by a fresh one, whenever `_body` or what can be said about the client changes.
    _changed: anyio.Event = attrs.field(factory=anyio.Event, init=False)
    _scope: anyio.CancelScope = attrs.field(factory=anyio.CancelScope, init=False)

    async def run(self) -> None:
        """Run the app and the watcher beside it; returns when both have ended."""
        async with anyio.create_task_group() as nursery:
            nursery.start_soon(self._watch, name="watch client")
            with self._scope:
                await self._run_app()
            nursery.cancel_scope.cancel("the app has ended")
        if not self.complete and not self.client_left:
            await self._finish()

    async def _run_app(self) -> None:
        try:
            await self.connection.app(self._asgi_scope(), self.receive, self.send)
        except Exception as exc:  # the boundary between an app and the server: it outlives a bad app
            if not self.client_left:
                self.connection.server.errors.append(exc)
                log.exception("app failed on %s %s", self.head.method.decode(), self.head.target.decode())

    async def _finish(self) -> None:
        """Answer for an app that ended without a response; a response it has begun is left cut."""
        if self.started:
            return
        text = HTTPStatus.INTERNAL_SERVER_ERROR.phrase.encode()
        self._response = None
        await self.send({"type": "http.response.start", "status": 500, "headers": [(b"content-type", b"text/plain")]})
        await self.send({"type": "http.response.body", "body": text})

    def _asgi_scope(self) -> dict[str, Any]:
        path, _, query = self.head.target.partition(b"?")
        client = self.connection.stream.extra(anyio.abc.SocketAttribute.remote_address, None)
        server = self.connection.server
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": self.head.http_version.decode(),
            "method": self.head.method.decode(),
            "scheme": "http",
            "path": unquote(path.decode("ascii")),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": list(self.head.headers),
            "client": client,
            "server": (server.host, server.port),
            "state": self.connection.state.copy(),
            "extensions": {},
        }

    # The receiving half ------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Read the request body, then keep reading to learn when the client goes away."""
        http = self.connection.http
        try:
            while True:
                event = http.next_event()
                if event is h11.NEED_DATA or event is h11.PAUSED:
                    # PAUSED: the request is complete, and what arrives now belongs to the next one.
                    while self._body_bytes + len(http.trailing_data[0]) > _KEPT_BYTES:
                        await self._changed.wait()
                    if not await self.connection.read():
                        break
                elif isinstance(event, h11.Data):
                    self._keep(bytes(event.data), more=True)
                elif isinstance(event, h11.EndOfMessage):
                    self._keep(b"", more=False)
                else:  # ConnectionClosed
                    break
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, h11.RemoteProtocolError):
            pass  # a body that breaks off or breaks the protocol: the same to the app
        if not self.complete:
            await self._tell_client_left()

    def _keep(self, data: bytes, *, more: bool) -> None:
        self._body.append({"type": "http.request", "body": data, "more_body": more})
        self._body_bytes += len(data)
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def _tell_client_left(self) -> None:
        self.client_left = True
        told = self._receivers > 0
        self._notify()
        if told:
            await anyio.sleep(self.connection.grace_seconds)
        self._scope.cancel("the client went away")

    async def receive(self) -> AsgiMessage:
        """ASGI receive: body messages, then `http.disconnect` once the client is gone or the response complete."""
        http = self.connection.http
        if http.they_are_waiting_for_100_continue and not self.started:
            go_on = http.send(h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue"))
            await self._write(go_on or b"")
        while not self._body:
            if self.client_left or self.complete:
                return {"type": "http.disconnect"}
            self._receivers += 1
            try:
                await self._changed.wait()
            finally:
                self._receivers -= 1
        message = self._body.popleft()
        self._body_bytes -= len(message["body"])
        self._notify()
        return message

    # The sending half --------------------------------------------------------------------------------------------

    async def send(self, message: AsgiMessage) -> None:
        """ASGI send: each body message is on the wire when this returns; the head goes with the first.

        Raises:
            OSError: the client is gone.
            RuntimeError: the message is not the next one that ASGI allows.
        """
        kind = message["type"]
        if self.client_left:
            raise OSError("the client has gone away")
        if kind == "http.response.start" and self._response is None:
            self._take_head(message)
        elif kind == "http.response.body" and self._response is not None and not self.complete:
            await self._send_body(message.get("body", b""), more=message.get("more_body", False))
        else:
            raise RuntimeError(
                f"unexpected ASGI message {kind!r}; expected one 'http.response.start', and then "
                f"'http.response.body' messages up to the one without more_body"
            )

    def _take_head(self, message: AsgiMessage) -> None:
        headers = [(bytes(name), bytes(value)) for name, value in message.get("headers", ())]
        status = message["status"]
        names = {name.lower() for name, _ in headers}
        self._no_body = self.head.method == b"HEAD" or status in {204, 304}
        # Written here and not by h11, so that each chunk costs one formatting and no state machine.
        self._chunked = not self._no_body and b"content-length" not in names and self.head.http_version == b"1.1"
        if self._chunked:
            headers = [pair for pair in headers if pair[0].lower() != b"transfer-encoding"]
            headers.append((b"transfer-encoding", b"chunked"))
        self._response = h11.Response(status_code=status, headers=headers, reason=_reason(status))

    async def _send_body(self, body: bytes, *, more: bool) -> None:
        http = self.connection.http
        parts: list[bytes] = []
        if not self.started and self._response is not None:
            parts.append(http.send(self._response) or b"")
            self.started = True
        if body and self._chunked:
            parts += [b"%x\r\n" % len(body), body, b"\r\n"]
        elif body and not self._no_body:
            parts.append(http.send(h11.Data(data=body)) or b"")
        if not more:
            parts.append(http.send(h11.EndOfMessage()) or b"")
        if len(body) <= _JOINED_BYTES:
            parts = [b"".join(parts)]
        for part in parts:
            if part:
                await self._write(part)
        if not more:
            self.complete = True
            self._notify()

    async def _write(self, data: bytes) -> None:
        try:
            await self.connection.stream.send(data)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as exc:
            self.client_left = True
            self._notify()
            raise OSError("the client has gone away") from exc


def _reason(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""


@attrs.define(eq=False)
class _Lifespan:
    """The lifespan conversation with an app."""

    app: AsgiApp
    state: dict[str, Any]
    _stop: anyio.Event = attrs.field(factory=anyio.Event, init=False)
    _stopped: anyio.Event = attrs.field(factory=anyio.Event, init=False)

    async def run(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """Run the app's lifespan; ready when its startup is complete."""
        begun = False

        async def receive() -> AsgiMessage:
            nonlocal begun
            if not begun:
                begun = True
                return {"type": "lifespan.startup"}
            await self._stop.wait()
            return {"type": "lifespan.shutdown"}

        async def send(message: AsgiMessage) -> None:  # noqa: ASYNC124  # ASGI awaits it
            match message["type"]:
                case "lifespan.startup.complete":
                    task_status.started()
                case "lifespan.shutdown.complete" | "lifespan.shutdown.failed":
                    self._stopped.set()
                case _:
                    raise RuntimeError(f"the app did not start: {message!r}")

        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        try:
            await self.app(scope, receive, send)
        finally:
            self._stopped.set()

    async def shut_down(self) -> None:
        """Tell the app to shut down and wait until it has, for a limited time."""
        self._stop.set()
        with anyio.move_on_after(_LIFESPAN_SECONDS):
            await self._stopped.wait()
