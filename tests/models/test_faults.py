"""What each fault of a provider becomes, for both APIs, streamed and whole, over real sockets."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any

import anyio
import pytest

from agentrun._exceptions import (
    AgentsException,
    ModelBehaviorError,
    ModelLimitError,
    ModelStatusError,
    ModelTransportError,
)
from agentrun._retry import ModelRetryAdvice, ModelRetryAdviceRequest
from agentrun.models._limits import Limits

pytestmark = pytest.mark.real_clock

Fault = Callable[[Any, Any, "Cell"], Awaitable[None]]


class Cell:
    """One of the four ways to call a model, and what a good reply to it is."""

    def __init__(self, wire: Any, api: str, streamed: bool) -> None:
        self.wire, self.api, self.streamed = wire, api, streamed

    def model(self, server: Any, **options: Any) -> Any:
        return server.responses(**options) if self.api == "responses" else server.chat(**options)

    def parts(self, text: str = "hello") -> list[bytes]:
        """Return the body of a good reply in pieces, an event each where it is streamed."""
        if self.api == "responses":
            events: list[Any] = self.wire.events(text)
            whole = self.wire.response(text)
        else:
            events, whole = self.wire.chunks(text), self.wire.completion(text)
        if self.streamed:
            return [self.wire.sse(event) for event in events]
        raw = json.dumps(whole).encode()
        return [raw[:20], raw[20:]]

    @property
    def content_type(self) -> str:
        return "text/event-stream" if self.streamed else "application/json"

    async def call(self, model: Any) -> str:
        """Return the text of one reply."""
        if self.streamed:
            return str((await self.wire.stream(model))[-1].response.output_text)
        reply = await self.wire.ask(model)
        return "".join(part.text for item in reply.output for part in item.content)


@pytest.fixture(params=["responses-stream", "responses-json", "chat-stream", "chat-json"])
def cell(request: pytest.FixtureRequest, wire: Any) -> Cell:
    api, _, kind = request.param.partition("-")
    return Cell(wire, api, kind == "stream")


async def outcome(cell: Cell, fault: Fault, **options: Any) -> tuple[str | None, AgentsException | None, Any]:
    """Call a model whose server does `fault` after each request; return the text or the exception, and the server."""

    async def handle(connection: Any) -> None:
        while await connection.request() is not None:
            await fault(connection, cell.wire, cell)

    async with cell.wire.serving(handle) as server:
        model = cell.model(server, **options)
        try:
            with anyio.fail_after(10):
                return await cell.call(model), None, server
        except AgentsException as exc:
            return None, exc, server
        finally:
            await model.close()
            await server.wait_open(0)


def advice(cell: Cell, error: AgentsException) -> ModelRetryAdvice | None:
    from agentrun.models._advice import retry_advice

    return retry_advice(ModelRetryAdviceRequest(error, attempt=1, stream=cell.streamed))


# ---- the connection


async def fin_at_once(connection: Any, wire: Any, cell: Cell) -> None:
    await connection.stream.aclose()


async def rst_at_once(connection: Any, wire: Any, cell: Cell) -> None:
    await connection.reset()


async def fin_in_head(connection: Any, wire: Any, cell: Cell) -> None:
    await connection.send(b"HTTP/1.1 200 OK\r\ncontent-ty")
    await connection.stream.aclose()


async def garbage(connection: Any, wire: Any, cell: Cell) -> None:
    await connection.send(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")
    await connection.stream.aclose()


async def negative_length(connection: Any, wire: Any, cell: Cell) -> None:
    await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n")
    await connection.stream.aclose()


@pytest.mark.parametrize("fault", [fin_at_once, rst_at_once, fin_in_head, garbage, negative_length])
async def test_a_connection_that_breaks_before_the_reply_may_be_tried_again(cell: Cell, fault: Fault) -> None:
    _, error, _ = await outcome(cell, fault)
    assert isinstance(error, ModelTransportError)
    assert (error.request_sent, error.response_started) == (True, False)
    said = advice(cell, error)
    assert said is not None
    assert (said.suggested, said.replay_safety) == (True, "safe")


async def test_a_refused_connection_may_be_tried_again(cell: Cell, wire: Any) -> None:
    async with wire.serving(rst_at_once) as server:
        model = cell.model(server)
        await server.wait_open(0)
    with pytest.raises(ModelTransportError, match=r"no connection to http://127\.0\.0\.1") as caught:
        await cell.call(model)
    assert not caught.value.request_sent
    said = advice(cell, caught.value)
    assert said is not None
    assert (said.suggested, said.replay_safety) == (True, "safe")
    assert isinstance(caught.value.__cause__, Exception)


async def long_head(connection: Any, wire: Any, cell: Cell) -> None:
    await connection.send(b"HTTP/1.1 200 OK\r\n" + b"x-filler: " + b"x" * 400_000 + b"\r\n\r\n")
    await connection.wait_closed()


async def rst_in_body(connection: Any, wire: Any, cell: Cell) -> None:
    await connection.send(wire.head(cell.content_type), wire.chunk(cell.parts()[0]))
    await anyio.sleep(0.02)  # an RST may overtake what was sent before it
    await connection.reset()


async def fin_in_chunk(connection: Any, wire: Any, cell: Cell) -> None:
    await connection.send(wire.head(cell.content_type), wire.chunk(cell.parts()[0]), b"ff\r\ndata: ")
    await connection.stream.aclose()


async def short_length(connection: Any, wire: Any, cell: Cell) -> None:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {cell.content_type}\r\ncontent-length: 99999\r\n\r\n"
    await connection.send(head.encode(), cell.parts()[0])
    await connection.stream.aclose()


async def bad_chunk_size(connection: Any, wire: Any, cell: Cell) -> None:
    await connection.send(wire.head(cell.content_type), wire.chunk(cell.parts()[0]), b"zz\r\n")
    await connection.wait_closed()


async def corrupt_gzip(connection: Any, wire: Any, cell: Cell) -> None:
    body = bytearray(gzip.compress(b"".join(cell.parts("x" * 500))))
    body[20:40] = b"\0" * 20
    await connection.send(wire.reply(bytes(body), cell.content_type, "200 OK", "content-encoding: gzip"))


async def cut_gzip(connection: Any, wire: Any, cell: Cell) -> None:
    body = gzip.compress(b"".join(cell.parts()))
    body = body[: len(body) // 2]
    await connection.send(wire.reply(body, cell.content_type, "200 OK", "content-encoding: gzip"))


@pytest.mark.parametrize(
    "fault", [long_head, rst_in_body, fin_in_chunk, short_length, bad_chunk_size, corrupt_gzip, cut_gzip]
)
async def test_a_reply_that_breaks_may_be_tried_again_only_where_it_was_a_stream(cell: Cell, fault: Fault) -> None:
    _, error, _ = await outcome(cell, fault)
    assert isinstance(error, ModelTransportError)
    assert error.response_started
    said = advice(cell, error)
    assert said is not None
    # The run itself sees to it that nothing is replayed of which content was shown
    again = cell.streamed and fault is not long_head
    assert (said.suggested, said.replay_safety) == (again, "safe" if again else "unsafe")


# ---- the status


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
async def test_a_refused_request_is_not_tried_again(cell: Cell, status: int) -> None:
    async def fault(connection: Any, wire: Any, cell: Cell) -> None:
        body = json.dumps({"error": {"code": "bad", "message": "no\nway"}}).encode()
        await connection.send(wire.reply(body, "application/json", f"{status} No", "x-request-id: req-7"))

    _, error, server = await outcome(cell, fault)
    assert isinstance(error, ModelStatusError)
    assert (error.status, error.request_id) == (status, "req-7")
    assert f"status {status}: bad: no way (request req-7)" in str(error)
    said = advice(cell, error)
    assert said is not None
    assert said.suggested is False
    assert said.normalized is not None
    assert (said.normalized.status_code, said.normalized.error_code) == (status, "bad")
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
@pytest.mark.parametrize("body", [b"<html>oops", b'{"error": {"mess', b"\xff\xfe\x00", b""])
async def test_a_provider_in_trouble_may_be_tried_again(cell: Cell, status: int, body: bytes) -> None:
    async def fault(connection: Any, wire: Any, cell: Cell) -> None:
        await connection.send(wire.reply(body, "text/html", f"{status} Oops"))

    _, error, _ = await outcome(cell, fault)
    assert isinstance(error, ModelStatusError)
    assert (error.status, error.body) == (status, body)
    said = advice(cell, error)
    assert said is not None
    assert (said.suggested, said.replay_safety) == (True, "safe")


@pytest.mark.parametrize(
    ("headers", "wait", "suggested"),
    [
        (["retry-after: 1"], 1.0, True),
        (["retry-after: 1.5"], 1.5, True),
        (["retry-after-ms: 300", "retry-after: 7"], 0.3, True),
        (["retry-after: 3600"], 3600.0, False),
        (["retry-after: banana"], None, True),
        (["retry-after: -1"], None, True),
        (["retry-after: nan"], None, True),
        (["retry-after: inf"], None, True),
        (["retry-after: Fri, 31 Feb 1999 99:99:99 GMT"], None, True),
        (["retry-after: Wed, 21 Oct 2015 07:28:00 GMT"], 0.0, True),
        (["x-should-retry: false"], None, False),
    ],
)
async def test_what_the_provider_says_of_another_attempt_is_heard(
    wire: Any, headers: list[str], wait: float | None, suggested: bool
) -> None:
    async def fault(connection: Any, wire: Any, cell: Cell) -> None:
        await connection.send(wire.reply(b"{}", "application/json", "429 Slow Down", *headers))

    cell = Cell(wire, "responses", streamed=True)
    _, error, _ = await outcome(cell, fault)
    assert isinstance(error, ModelStatusError)
    assert error.retry_after == wait
    said = advice(cell, error)
    assert said is not None
    assert (said.suggested, said.retry_after) == (suggested, wait)


async def test_x_should_retry_also_speaks_for_another_attempt(wire: Any) -> None:
    async def fault(connection: Any, wire: Any, cell: Cell) -> None:
        await connection.send(wire.reply(b"{}", "application/json", "400 No", "x-should-retry: true"))

    cell = Cell(wire, "chat", streamed=False)
    _, error, _ = await outcome(cell, fault)
    assert error is not None
    said = advice(cell, error)
    assert said is not None
    assert said.suggested is True


@pytest.mark.parametrize("member", ["code", "type"])
async def test_a_used_up_quota_is_not_tried_again(cell: Cell, member: str) -> None:
    async def fault(connection: Any, wire: Any, cell: Cell) -> None:
        body = json.dumps({"error": {member: "insufficient_quota", "message": "pay"}}).encode()
        await connection.send(wire.reply(body, "application/json", "429 Too Many"))

    _, error, _ = await outcome(cell, fault)
    assert isinstance(error, ModelStatusError)
    said = advice(cell, error)
    assert said is not None
    assert said.suggested is False


async def test_of_a_large_error_body_64_kib_are_read(cell: Cell) -> None:
    async def fault(connection: Any, wire: Any, cell: Cell) -> None:
        await connection.send(b"HTTP/1.1 500 Oops\r\ncontent-length: 67108864\r\n\r\n")
        for _ in range(1024):
            await connection.send(b"x" * 65536)

    _, error, server = await outcome(cell, fault)
    assert isinstance(error, ModelStatusError)
    assert error.body == b"x" * 65536
    assert server.connections == 1


async def test_the_key_is_cut_out_of_what_a_provider_echoes(cell: Cell) -> None:
    async def fault(connection: Any, wire: Any, cell: Cell) -> None:
        body = json.dumps({"error": {"message": f"wrong key {wire.key}"}}).encode()
        headers = (f"x-echo: {wire.key}",)
        await connection.send(wire.reply(body, "application/json", "401 No", *headers))

    _, error, server = await outcome(cell, fault)
    assert isinstance(error, ModelStatusError)
    key = cell.wire.key
    assert f"Bearer {key}".encode() in server.requests[0]
    shown = [str(error), repr(error), repr(vars(error)), repr(error.headers), error.body.decode()]
    assert not any(key in text for text in shown)
    assert "wrong key [api key]" in str(error)
    assert "[api key]" in error.headers["x-echo"]
    assert key not in repr(cell.model(server))


async def test_a_key_that_stands_across_the_cut_is_cut_out_too(wire: Any) -> None:
    async def fault(connection: Any, wire: Any, cell: Cell) -> None:
        await connection.send(wire.reply(b"x" * 65530 + wire.key.encode(), "text/plain", "500 No"))

    _, error, _ = await outcome(Cell(wire, "chat", streamed=True), fault)
    assert isinstance(error, ModelStatusError)
    assert wire.key[:5].encode() not in error.body
    assert len(error.body) <= 65536


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"])
async def test_a_redirect_is_not_followed(cell: Cell, status: str) -> None:
    async def elsewhere(connection: Any) -> None:
        await connection.request()

    async with cell.wire.serving(elsewhere) as other:

        async def fault(connection: Any, wire: Any, cell: Cell) -> None:
            await connection.send(wire.reply(b"", "text/plain", status, f"location: {other.url}"))

        _, error, server = await outcome(cell, fault)
        assert isinstance(error, ModelStatusError)
        assert "redirects are not followed" in str(error)
        assert len(server.requests) == 1
        assert (other.connections, other.requests) == (0, [])


# ---- what is no reply of the API


async def no_content(connection: Any, wire: Any, cell: Cell) -> None:
    await connection.send(b"HTTP/1.1 204 No Content\r\n\r\n")


async def html(connection: Any, wire: Any, cell: Cell) -> None:
    await connection.send(wire.reply(b"<html>login</html>", "text/html; charset=utf-8"))


async def empty(connection: Any, wire: Any, cell: Cell) -> None:
    await connection.send(wire.reply(b"", cell.content_type))


async def the_other_kind(connection: Any, wire: Any, cell: Cell) -> None:
    other = Cell(wire, cell.api, not cell.streamed)
    await connection.send(wire.reply(b"".join(other.parts()), other.content_type))


@pytest.mark.parametrize("fault", [no_content, html, empty, the_other_kind])
async def test_what_is_no_reply_names_status_and_content_type(cell: Cell, fault: Fault) -> None:
    _, error, _ = await outcome(cell, fault)
    assert isinstance(error, ModelBehaviorError)
    assert "status 20" in str(error)
    assert "content type" in str(error)


async def cut_by_the_end(connection: Any, wire: Any, cell: Cell) -> None:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {cell.content_type}\r\nconnection: close\r\n\r\n"
    await connection.send(head.encode(), *(cell.parts()[:3] if cell.streamed else cell.parts()[:1]))
    await connection.stream.aclose()


def as_reply(body: bytes) -> Fault:
    async def fault(connection: Any, wire: Any, cell: Cell) -> None:
        sent = b"data: " + body + b"\n\n" if cell.streamed else body
        await connection.send(wire.reply(sent, cell.content_type))

    return fault


@pytest.mark.parametrize(
    "fault",
    [
        cut_by_the_end,
        as_reply(b'{"type": "response.completed", "resp'),
        as_reply(b'{"id": "\xff\xfe"}'),
        as_reply(b"[" * 100_000),
        as_reply(b'{"a":' * 100_000),
        as_reply(b"null"),
        as_reply(b"42"),
        as_reply(b'"x"'),
        as_reply(b"[]"),
        as_reply(b"{}"),
        as_reply(b'{"a": NaN}'),
        as_reply(b'{"a": ' + b"9" * 6000 + b"}"),
        as_reply(b'{"type": 7, "choices": 7, "output": 7}'),
        as_reply(b'{"type": "response.completed", "response": null, "choices": [null], "output": [null]}'),
        as_reply(b'{"type": "response.completed", "response": {}, "choices": [{"delta": 1, "message": 1}]}'),
        as_reply(b'{"type": "response.output_text.delta", "delta": null, "choices": [], "output": null}'),
        as_reply(b'{"error": {"code": "server_error", "message": "oops"}}'),
        as_reply(b'{"type": "error", "error": {"code": "server_error", "message": "oops"}}'),
    ],
)
async def test_a_broken_reply_is_the_models_mistake(cell: Cell, fault: Fault) -> None:
    _, error, _ = await outcome(cell, fault)
    assert isinstance(error, ModelBehaviorError)
    assert advice(cell, error) is None


async def test_an_error_inside_of_a_reply_is_quoted(cell: Cell) -> None:
    fault = as_reply(b'{"error": {"code": "server_error", "message": "oops\\nnow"}}')
    _, error, _ = await outcome(cell, fault)
    assert "server_error: oops\\nnow" in str(error)


# ---- what is fine


async def byte_by_byte(connection: Any, wire: Any, cell: Cell) -> None:
    body = b"".join(cell.parts("héllo 😀"))
    await connection.send(wire.head(cell.content_type))
    await connection.send(b"".join(wire.chunk(body[at : at + 1]) for at in range(len(body))), wire.chunk(b""))


async def crlf_and_comments(connection: Any, wire: Any, cell: Cell) -> None:
    parts = cell.parts("héllo 😀")
    if cell.streamed:
        parts = [b": ping\r\n\r\nretry: 5\r\n\r\n" + part.replace(b"\n", b"\r\n") for part in parts]
        parts = [b"\xef\xbb\xbf", *parts]
    await connection.send(wire.head(cell.content_type), *map(wire.chunk, parts), wire.chunk(b""))


async def compressed(connection: Any, wire: Any, cell: Cell) -> None:
    body = gzip.compress(b"".join(cell.parts("héllo 😀")))
    await connection.send(wire.reply(body, cell.content_type, "200 OK", "content-encoding: gzip"))


async def raw_deflate(connection: Any, wire: Any, cell: Cell) -> None:
    packer = zlib.compressobj(wbits=-15)
    body = packer.compress(b"".join(cell.parts("héllo 😀"))) + packer.flush()
    await connection.send(wire.reply(body, cell.content_type, "200 OK", "content-encoding: deflate"))


async def two_gzip_members(connection: Any, wire: Any, cell: Cell) -> None:
    body = b"".join(gzip.compress(part) for part in cell.parts("héllo 😀"))
    await connection.send(wire.reply(body, cell.content_type, "200 OK", "content-encoding: gzip"))


async def no_blank_line_at_the_end(connection: Any, wire: Any, cell: Cell) -> None:
    await connection.send(wire.reply(b"".join(cell.parts("héllo 😀")).rstrip(b"\n"), cell.content_type))


async def no_content_type(connection: Any, wire: Any, cell: Cell) -> None:
    body = b"".join(cell.parts("héllo 😀"))
    await connection.send(f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\n\r\n".encode(), body)


async def until_the_end(connection: Any, wire: Any, cell: Cell) -> None:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {cell.content_type}\r\nconnection: close\r\n\r\n"
    await connection.send(head.encode(), *cell.parts("héllo 😀"))
    await connection.stream.aclose()


@pytest.mark.parametrize(
    "fault",
    [
        byte_by_byte,
        crlf_and_comments,
        compressed,
        raw_deflate,
        two_gzip_members,
        no_blank_line_at_the_end,
        no_content_type,
        until_the_end,
    ],
)
async def test_every_legal_form_of_a_reply_is_read(cell: Cell, fault: Fault) -> None:
    assert (await outcome(cell, fault))[:2] == ("héllo 😀", None)


# ---- limits


@cache
def bomb() -> bytes:
    """Return 0.4 MB that unpack to 400 MB."""
    packer = zlib.compressobj(wbits=31)
    return b"".join([packer.compress(b" " * 1_048_576) for _ in range(400)]) + packer.flush()


async def test_a_compressed_bomb_is_refused_at_the_limit(cell: Cell) -> None:
    async def fault(connection: Any, wire: Any, cell: Cell) -> None:
        await connection.send(wire.reply(bomb(), cell.content_type, "200 OK", "content-encoding: gzip"))

    _, error, _ = await outcome(cell, fault)
    assert isinstance(error, ModelLimitError)
    assert error.maximum <= 32 * 1_048_576
    assert advice(cell, error) is None


async def test_a_line_that_never_ends_is_refused_at_the_limit(cell: Cell) -> None:
    async def fault(connection: Any, wire: Any, cell: Cell) -> None:
        await connection.send(wire.head(cell.content_type))
        while True:
            await connection.send(wire.chunk(b"x" * 65536))

    limits = Limits(line_bytes=1_000_000, body_bytes=1_000_000)
    _, error, _ = await outcome(cell, fault, limits=limits)
    assert isinstance(error, ModelLimitError)
    assert error.limit == ("line_bytes" if cell.streamed else "body_bytes")
    assert error.value < 1_200_000


async def test_a_stream_without_end_is_refused_at_the_limit(cell: Cell) -> None:
    if not cell.streamed:
        pytest.skip("only streams")

    async def fault(connection: Any, wire: Any, cell: Cell) -> None:
        await connection.send(wire.head(cell.content_type))
        while True:
            await connection.send(wire.chunk(cell.parts()[1] * 100))

    _, error, _ = await outcome(cell, fault, limits=Limits(stream_bytes=500_000))
    assert isinstance(error, ModelLimitError)
    assert error.limit == "stream_bytes"


async def test_moderate_nesting_past_the_limit_is_refused(cell: Cell) -> None:
    _, error, _ = await outcome(cell, as_reply(b'{"type":"x","a":' + b"[" * 400 + b"]" * 400 + b"}"))
    assert isinstance(error, ModelLimitError)
    assert error.limit == "json_depth"


async def test_a_large_reply_is_fine(cell: Cell) -> None:
    text = "x" * 5_000_000

    async def fault(connection: Any, wire: Any, cell: Cell) -> None:
        if cell.api == "chat" and cell.streamed:
            body = wire.sse(wire.delta(content=text), wire.delta("stop"), "[DONE]")
        elif cell.streamed:
            body = wire.sse(wire.events(text="")[0], {"type": "response.completed", "response": wire.response(text)})
        else:
            whole = wire.response(text) if cell.api == "responses" else wire.completion(text)
            body = json.dumps(whole).encode()
        await connection.send(wire.reply(body, cell.content_type))

    got, error, _ = await outcome(cell, fault)
    assert error is None
    assert got == text
