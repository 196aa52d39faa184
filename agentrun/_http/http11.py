"""One HTTP/1.1 connection of our own: h11 knows the protocol, an AnyIO stream carries the bytes.

Beside a general client's, it has what a stream of a thousand small events wants: a request is one write, and one read
takes everything that has arrived, however many chunks that is.
"""

from __future__ import annotations

import selectors
import ssl
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final, Self

import anyio
import anyio.abc
import h11

__all__ = ["BROKEN", "CLOSE_SECONDS", "Connection"]

CLOSE_SECONDS: Final = 2.0
"""Closing one connection under a shield; protects a cancel from a TLS peer that says no goodbye."""

BROKEN: Final = (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, h11.ProtocolError)
"""What every method of a connection raises when the connection breaks."""

_READ_BYTES: Final = 65536
_HEAD_BYTES: Final = 100 * 1024  # of a head, or of a line between chunks; protects the memory from one without an end


class Connection:
    """A connection that carries one request at a time and its reply; used by one task at a time.

    at rest --send--> open --read, to the end of the body--> ended --finish--> at rest
                        +--- finish, aclose (failed, cancelled, left) ---> closed

    Every method raises one of `BROKEN` when the connection breaks.
    """

    __slots__ = ("_failure", "_open", "_protocol", "_socket", "_stream", "ended", "errors", "headers", "status")

    def __init__(self, stream: anyio.abc.ByteStream) -> None:
        self._stream = stream
        self._socket = stream.extra(anyio.abc.SocketAttribute.raw_socket)
        self._protocol = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_BYTES)
        self._failure: h11.RemoteProtocolError | None = None
        self._open = True
        self.errors: tuple[type[Exception], ...] = BROKEN
        self.status: int = 0
        self.headers: dict[str, str] = {}
        """Of the reply, names in lower case."""
        self.ended: bool = False
        """Whether the body of the reply has been read to its end."""

    @classmethod
    async def open(cls, host: str, port: int, context: ssl.SSLContext | None) -> Self:
        """Connect; with `context` over TLS. On cancel nothing stays open."""
        stream = await anyio.connect_tcp(host, port)
        if context is None:
            return cls(stream)
        from anyio.streams.tls import TLSStream

        try:
            # Servers of HTTP close without a goodbye of TLS; the framing of a body tells whether it is whole
            return cls(await TLSStream.wrap(stream, hostname=host, ssl_context=context, standard_compatible=False))
        except BaseException:
            await anyio.aclose_forcefully(stream)
            raise

    def is_dropped(self) -> bool:
        """Whether the server has closed this connection, which is at rest.

        Whatever can be read from it now is the end, or something that nobody asked for.
        """
        if self._socket.fileno() < 0:
            return True
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            return bool(selector.select(0))

    async def send(self, target: bytes, lines: Sequence[tuple[bytes, bytes]], content: bytes) -> None:
        """Send a POST request, and wait for the head of its reply.

        Args:
            target: path and query.
            lines: the headers, all but the length of the content.
            content: the body.
        """
        protocol = self._protocol
        headers = [*lines, (b"content-length", b"%d" % len(content))]
        request = h11.Request(method=b"POST", target=target, headers=headers)
        whole = protocol.send(request) + protocol.send(h11.Data(data=content)) + protocol.send(h11.EndOfMessage())
        with suppress(anyio.BrokenResourceError):  # a server may refuse a request, and say so, before it has it all
            await self._stream.send(whole)
        self.ended = False
        while not isinstance(event := protocol.next_event(), h11.Response):
            if event is h11.NEED_DATA:
                data = await self._receive()
                if not data:
                    raise h11.RemoteProtocolError("the server closed the connection without a reply")
                protocol.receive_data(data)
        self.status = event.status_code
        self.headers = _merged(event.headers)

    async def read(self) -> bytes:
        """Return what has arrived of the body, after waiting for some; b"" at its end."""
        if self._failure is not None:
            raise self._failure
        protocol = self._protocol
        blocks: list[bytes | bytearray] = []
        while not self.ended:
            try:
                event = protocol.next_event()
            except h11.RemoteProtocolError as exc:
                if not blocks:
                    raise
                self._failure = exc  # what came before it comes first
                break
            if isinstance(event, h11.Data):
                blocks.append(event.data)
            elif event is not h11.NEED_DATA:
                self.ended = True
            elif blocks:
                break
            else:
                protocol.receive_data(await self._receive())
        return b"".join(blocks)

    async def _receive(self) -> bytes:
        try:
            return await self._stream.receive(_READ_BYTES)
        except anyio.EndOfStream:
            return b""

    async def finish(self) -> bool:
        """End the reply, and return whether another request may follow it; the connection is closed otherwise."""
        protocol = self._protocol
        if protocol.our_state is h11.DONE and protocol.their_state is h11.DONE and not protocol.trailing_data[0]:
            protocol.start_next_cycle()
            return True
        await self.aclose()
        return False

    async def aclose(self) -> None:
        """Close the connection; gives up after a while, and then drops it. Safe to call twice."""
        if not self._open:
            return
        self._open = False
        # A broken connection cannot say goodbye; its socket is closed all the same
        with anyio.move_on_after(CLOSE_SECONDS, shield=True), suppress(*BROKEN):
            await self._stream.aclose()


def _merged(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers by name; those of one name joined by commas."""
    found: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name = raw_name.decode("ascii")
        try:
            value = raw_value.decode()
        except UnicodeDecodeError:
            value = raw_value.decode("latin-1")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found
