"""The loopback model server, in a process of its own: a bare asyncio protocol that sends chunks rendered beforehand.

A client's base URL says what it gets: `http://127.0.0.1:<port>/deltas=3,interval=0.005,turns=2,calls=4,stamp=1/v1`.

- `deltas`: how many deltas a reply has (default 3)
- `interval`: seconds between two chunks; 0 sends as fast as the client reads (default 0)
- `turns`, `calls`: so many tool turns come before the answer, of so many calls each (default 0, 1)
- `stamp`: 1 puts the time of sending into every delta (default 0)
- `whole`: 1 answers a request of the Responses API that does not stream, at the time the last delta would be due

`GET /stats` returns, as JSON, what has happened since the last `GET /stats`: `requests`, `deltas` handed to sockets,
`open` streams, and `closed_ns`, the monotonic times at which clients closed a stream before its end.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from typing import Any, cast

from benchmarks.wire import END, HEAD, chat_calls, chat_wire, message, response, responses_calls, responses_wire

BURST = 16
"""How many deltas are written at once when there is no interval: what a fast model puts into one packet."""
SEND_BUFFER = 65536
"""The socket's send buffer, fixed so that what a sleeping client leaves unread is the same everywhere."""
PLAIN = {"/responses": responses_wire(), "/chat/completions": chat_wire()}


WHOLE = json.dumps(response("completed", [message()])).encode()


class Stats:
    def __init__(self) -> None:
        self.requests = self.deltas = self.open = 0
        self.closed_ns: list[int] = []

    def taken(self) -> bytes:
        """Return the numbers as JSON, and start anew."""
        body = json.dumps({**vars(self)}).encode()
        self.requests = self.deltas = 0
        self.closed_ns = []
        return body


class ModelProtocol(asyncio.Protocol):
    """One connection, kept alive."""

    def __init__(self, loop: asyncio.AbstractEventLoop, stats: Stats) -> None:
        self._loop = loop
        self._stats = stats
        self._buffer = b""
        self._streaming = False
        self._paused = False
        self._left = 0
        self._interval = 0.0
        self._stamp = False
        self._wire = PLAIN["/responses"]
        self._chunks: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        connection: socket.socket = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._transport.set_write_buffer_limits(high=SEND_BUFFER)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._streaming:
            self._streaming = False
            self._stats.open -= 1
            self._stats.closed_ns.append(time.monotonic_ns())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        length = 0
        if (at := head.find(b"content-length:")) >= 0:
            length = int(head[at + 15 :].split(b"\r\n", 1)[0])
        if len(self._buffer) < end + 4 + length:
            return
        target = self._buffer[:end].split(b" ", 2)[1].decode()
        body = self._buffer[end + 4 : end + 4 + length]
        self._buffer = self._buffer[end + 4 + length :]
        if target == "/stats":
            self._answer(self._stats.taken())
        else:
            self._start(target, body)

    def _answer(self, body: bytes) -> None:
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)

    def _start(self, target: str, body: bytes) -> None:
        _, options, path = target.split("/", 2)
        given = dict(part.split("=") for part in options.split(","))
        path = "/" + path.removeprefix("v1/")
        if given.get("whole") == "1":
            self._loop.call_later(float(given["interval"]) * int(given["deltas"]), self._answer, WHOLE)
            return
        turns, calls = int(given.get("turns", 0)), int(given.get("calls", 1))
        made = body.count(b'"function_call_output"') + body.count(b'"role":"tool"')
        if made < turns * calls:
            self._wire = responses_calls(made, calls) if path == "/responses" else chat_calls(made, calls)
            self._left = 0
        else:
            self._wire = PLAIN[path]
            self._left = int(given.get("deltas", 3))
        self._interval = float(given.get("interval", 0))
        self._stamp = given.get("stamp") == "1"
        self._streaming = True
        self._stats.requests += 1
        self._stats.open += 1
        if self._interval:
            self._chunks = list(self._wire.first)
            self._transport.write(HEAD)
            self._due = self._loop.time()
            self._tick()
        else:
            self._transport.write(HEAD + b"".join(self._wire.first))
            self._pour()

    def _one(self) -> bytes:
        self._left -= 1
        self._stats.deltas += 1
        return self._wire.stamped(time.monotonic_ns()) if self._stamp else self._wire.delta

    def _pour(self) -> None:
        """Send as fast as the client reads."""
        while self._left and not self._paused:
            self._transport.write(b"".join(self._one() for _ in range(min(BURST, self._left))))
        if not self._left:
            self._finish(self._wire.last)

    def _tick(self) -> None:
        """Send one chunk; a client that does not read delays the next one."""
        if self._chunks:
            self._transport.write(self._chunks.pop(0))
        elif self._left and not self._paused:
            self._transport.write(self._one())
        if not self._chunks and not self._left:
            self._finish(self._wire.last)
            return
        self._due = max(self._due + self._interval, self._loop.time() - self._interval)
        self._timer = self._loop.call_at(self._due, self._tick)

    def _finish(self, last: list[bytes]) -> None:
        self._streaming = False
        self._stats.open -= 1
        self._transport.write(b"".join(last) + END)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._streaming and not self._interval:
            self._pour()


async def main() -> None:
    """Serve until standard input ends; the first line of the output is the port."""
    loop = asyncio.get_running_loop()
    stats = Stats()
    server = await loop.create_server(lambda: ModelProtocol(loop, stats), "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    over = loop.create_future()
    loop.add_reader(sys.stdin, lambda: sys.stdin.readline() or (over.done() or over.set_result(None)))
    await over


if __name__ == "__main__":
    _: Any = asyncio.run(main())
