"""A server on a real socket that sends exactly the bytes a test wants, and models that call it."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.abc
import attrs
import pytest
from anyio.streams.tls import TLSListener

from agentrun._settings import ModelSettings
from agentrun.models.chat import OpenAIChatCompletionsModel
from agentrun.models.interface import ModelTracing
from agentrun.models.responses import OpenAIResponsesModel

KEY = "sk-secret-0123456789"


@attrs.define(eq=False)
class Connection:
    """The server's end of one connection."""

    stream: anyio.abc.SocketStream
    server: RawServer
    _buffer: bytes = b""

    async def request(self) -> bytes | None:
        """Return the head and body of the next request, None when the client has closed."""
        try:
            while b"\r\n\r\n" not in self._buffer:
                self._buffer += await self.stream.receive()
            head, _, rest = self._buffer.partition(b"\r\n\r\n")
            lines = head.lower().split(b"\r\n")
            size = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
            while len(rest) < size:
                rest += await self.stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return None
        self._buffer = rest[size:]
        request = head + b"\r\n\r\n" + rest[:size]
        self.server.requests.append(request)
        return request

    async def send(self, *blocks: bytes) -> None:
        """Send `blocks`, each by itself; a client that left ends the connection's task."""
        for block in blocks:
            await self.stream.send(block)

    async def reset(self) -> None:
        """Close with RST, as a crashed server does."""
        raw = self.stream.extra(anyio.abc.SocketAttribute.raw_socket)
        import socket
        import struct

        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await self.stream.aclose()

    async def wait_closed(self) -> None:
        """Wait until the client closes."""
        try:
            while True:
                await self.stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass


Handler = Callable[[Connection], Awaitable[None]]


@attrs.define(eq=False)
class RawServer:
    """Counts what happens on its socket."""

    port: int
    secure: bool = False
    requests: list[bytes] = attrs.field(factory=list[bytes])
    connections: int = 0
    open_connections: int = 0

    @property
    def url(self) -> str:
        return f"http{'s' if self.secure else ''}://127.0.0.1:{self.port}/v1"

    def bodies(self) -> list[Any]:
        """The JSON bodies of the requests so far."""
        return [json.loads(request.partition(b"\r\n\r\n")[2]) for request in self.requests]

    async def wait_open(self, count: int) -> None:
        """Wait until `count` connections are open."""
        with anyio.fail_after(5):
            while self.open_connections != count:  # noqa: ASYNC110 - it counts what sockets do; no event tells of those
                await anyio.sleep(0.002)

    def responses(self, **options: Any) -> OpenAIResponsesModel:
        return OpenAIResponsesModel("m", base_url=self.url, api_key=KEY, **options)

    def chat(self, **options: Any) -> OpenAIChatCompletionsModel:
        return OpenAIChatCompletionsModel("m", base_url=self.url, api_key=KEY, **options)


@asynccontextmanager
async def serving(handler: Handler, context: ssl.SSLContext | None = None) -> AsyncGenerator[RawServer]:
    listener: Any = await anyio.create_tcp_listener(local_host="127.0.0.1")
    server = RawServer(listener.extra(anyio.abc.SocketAttribute.local_port), context is not None)
    if context is not None:
        listener = TLSListener(listener, context, standard_compatible=False)

    async def accept(stream: Any) -> None:
        server.connections += 1
        server.open_connections += 1
        try:
            async with stream:
                await handler(Connection(stream, server))
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass  # the client left
        finally:
            server.open_connections -= 1

    async with listener, anyio.create_task_group() as nursery:
        nursery.start_soon(listener.serve, accept)
        try:
            yield server
        finally:
            nursery.cancel_scope.cancel()


@attrs.frozen
class Wire:
    """What tests make replies of."""

    key: str = KEY

    @staticmethod
    def serving(handler: Handler, context: ssl.SSLContext | None = None) -> Any:
        """Open a server whose connections `handler` serves, over TLS with `context`."""
        return serving(handler, context)

    @staticmethod
    def reply(body: bytes, content_type: str = "application/json", status: str = "200 OK", *headers: str) -> bytes:
        """Return a whole reply with a length."""
        lines = [f"HTTP/1.1 {status}", f"content-type: {content_type}", f"content-length: {len(body)}", *headers]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    @staticmethod
    def head(content_type: str = "text/event-stream", *headers: str) -> bytes:
        """Return the head of a chunked reply."""
        lines = ["HTTP/1.1 200 OK", f"content-type: {content_type}", "transfer-encoding: chunked", *headers]
        return "\r\n".join(lines).encode() + b"\r\n\r\n"

    @staticmethod
    def chunk(data: bytes) -> bytes:
        """Return one HTTP chunk; b"" gives the last one."""
        return b"%x\r\n%s\r\n" % (len(data), data)

    @staticmethod
    def sse(*events: dict[str, Any] | str) -> bytes:
        """Return server-sent events."""
        texts = [event if isinstance(event, str) else json.dumps(event) for event in events]
        return "".join(f"data: {text}\n\n" for text in texts).encode()

    @staticmethod
    def response(text: str = "hello", **members: Any) -> dict[str, Any]:
        """Return a Responses reply."""
        content: list[Any] = [{"type": "output_text", "text": text, "annotations": []}]
        message: dict[str, Any] = {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": content,
        }
        usage = {
            "input_tokens": 3,
            "input_tokens_details": {"cached_tokens": 1},
            "output_tokens": 2,
            "output_tokens_details": {"reasoning_tokens": 1},
            "total_tokens": 5,
        }
        whole: dict[str, Any] = {
            "id": "resp_1",
            "object": "response",
            "status": "completed",
            "output": [message],
            "usage": usage,
        }
        return whole | members

    def events(self, text: str = "hello", **members: Any) -> list[dict[str, Any]]:
        """Return the events of a streamed Responses reply, one delta a character."""
        where: dict[str, Any] = {"item_id": "msg_1", "output_index": 0, "content_index": 0, "logprobs": []}
        started: dict[str, Any] = {"id": "resp_1", "object": "response", "status": "in_progress", "output": []}
        return [
            {"type": "response.created", "sequence_number": 0, "response": started},
            *(
                {"type": "response.output_text.delta", "delta": letter, "sequence_number": at + 1, **where}
                for at, letter in enumerate(text)
            ),
            {"type": "response.completed", "sequence_number": 99, "response": self.response(text, **members)},
        ]

    @staticmethod
    def delta(finish: str | None = None, **delta: Any) -> dict[str, Any]:
        """Return a chunk of a chat stream."""
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return {"id": "chat_1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}

    @property
    def usage(self) -> dict[str, int]:
        """The usage of chat replies."""
        return {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}

    def chunks(self, text: str = "hello", finish: str = "stop") -> list[Any]:
        """Return the chunks of a streamed chat reply."""
        last: dict[str, Any] = {**self.delta(), "choices": [], "usage": self.usage}
        return [self.delta(content=letter) for letter in text] + [self.delta(finish), last, "[DONE]"]

    def completion(self, text: str | None = "hello", finish: str = "stop", **message: Any) -> dict[str, Any]:
        """Return a whole chat reply."""
        choice = {"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": finish}
        return {"id": "chat_1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]} | {
            "usage": self.usage
        }

    @staticmethod
    async def stream(model: Any, seen: list[Any] | None = None, **options: Any) -> list[Any]:
        """Return all events of one streamed reply; those before an exception are in `seen`."""
        seen = [] if seen is None else seen
        settings = options.pop("settings", ModelSettings())
        input = options.pop("input", "hi")
        stream = model.stream_response(None, input, settings, [], None, [], ModelTracing.DISABLED, **options)
        try:
            async for event in stream:
                seen.append(event)
        finally:
            await stream.aclose()
        return seen

    @staticmethod
    async def ask(model: Any, **options: Any) -> Any:
        """Return one whole reply."""
        settings = options.pop("settings", ModelSettings())
        input = options.pop("input", "hi")
        return await model.get_response(None, input, settings, [], None, [], ModelTracing.DISABLED, **options)


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests must not depend on the keys and proxies of whoever runs them."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_DEFAULT_MODEL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
