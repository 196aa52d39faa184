from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from agentrun.testing._server import (
    AsgiMessage,
    AsgiReceive,
    AsgiSend,
    Server,
    ServerStatistics,
    serve,
    serve_in_thread,
)

pytestmark = pytest.mark.real_clock


async def read_body(receive: AsgiReceive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if not message.get("more_body"):
            return body


def start(status: int = 200, *headers: tuple[bytes, bytes]) -> AsgiMessage:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def part(body: bytes, *, more: bool = False) -> AsgiMessage:
    return {"type": "http.response.body", "body": body, "more_body": more}


async def echo(scope: Any, receive: AsgiReceive, send: AsgiSend) -> None:
    body = await read_body(receive)
    text = b"%s %s?%s %s" % (scope["method"].encode(), scope["raw_path"], scope["query_string"], body)
    await send(start(200, (b"content-type", b"text/plain")))
    await send(part(text))


async def leave_after(server: Server, path: str, seen: bytes) -> None:
    """Ask for `path` and hang up once `seen` has arrived. Not with httpx: on trio it warns when a stream is left."""
    with anyio.fail_after(5):
        async with await anyio.connect_tcp(server.host, server.port) as stream:
            await stream.send(b"GET %s HTTP/1.1\r\nhost: x\r\n\r\n" % path.encode())
            received = b""
            while seen not in received:
                received += await stream.receive()


async def wait_statistics(server: Server, condition: Callable[[ServerStatistics], bool]) -> ServerStatistics:
    with anyio.fail_after(5):
        while not condition(server.statistics()):  # noqa: ASYNC110  # the server offers figures, not events
            await anyio.sleep(0.001)
    return server.statistics()


async def test_requests_share_a_connection_and_bodies_go_both_ways() -> None:
    async with serve(echo) as server, httpx.AsyncClient(base_url=server.url) as client:
        for number in range(3):
            response = await client.post(f"/a%20b?n={number}", content=b"x" * 200_000)
            assert response.text == f"POST /a%20b?n={number} " + "x" * 200_000
        seen = await wait_statistics(server, lambda s: s.open_requests == 0)
        assert (seen.requests, seen.connections, seen.open_connections) == (3, 1, 1)
        await client.aclose()
        seen = await wait_statistics(server, lambda s: s.open_connections == 0)
        assert (seen.disconnects, seen.responses_cut, seen.app_errors) == (0, 0, 0)


async def test_any_client_of_the_family_is_served() -> None:
    async with serve(echo) as server, httpx2.AsyncClient(base_url=server.url) as client:
        assert (await client.get("/")).text == "GET /? "


async def test_each_body_message_is_on_the_wire_before_the_next_is_sent() -> None:
    send_go, go = anyio.create_memory_object_stream[None](1)

    async def app(scope: Any, receive: AsgiReceive, send: AsgiSend) -> None:
        await send(start())
        for number in range(5):
            await go.receive()
            await send(part(b"event %d" % number, more=True))
        await send(part(b""))

    async with serve(app) as server, httpx.AsyncClient() as client, send_go, go:
        with anyio.fail_after(5):
            await send_go.send(None)
            async with client.stream("GET", server.url) as response:
                assert response.headers["transfer-encoding"] == "chunked"
                seen: list[bytes] = []
                async for chunk in response.aiter_raw():
                    seen.append(chunk)
                    if len(seen) < 5:
                        await send_go.send(None)
        assert seen == [b"event %d" % number for number in range(5)]


async def test_an_empty_body_message_flushes_the_head() -> None:
    release = anyio.Event()

    async def app(scope: Any, receive: AsgiReceive, send: AsgiSend) -> None:
        await send(start(202))
        await send(part(b"", more=True))
        await release.wait()
        await send(part(b"done"))

    async with serve(app) as server, httpx.AsyncClient() as client:
        with anyio.fail_after(5):
            async with client.stream("GET", server.url) as response:
                assert response.status_code == 202
                release.set()
                assert await response.aread() == b"done"


async def test_large_bodies_arrive_whole_in_both_framings() -> None:
    size = 3_000_000

    async def app(scope: Any, receive: AsgiReceive, send: AsgiSend) -> None:
        sized = scope["path"] == "/sized"
        await send(start(200, *([(b"content-length", b"%d" % size)] if sized else [])))
        await send(part(b"y" * size))

    async with serve(app) as server, httpx.AsyncClient(base_url=server.url) as client:
        for path in ("/sized", "/chunked"):
            assert len((await client.get(path)).content) == size


async def test_head_and_no_content_have_no_body() -> None:
    async def app(scope: Any, receive: AsgiReceive, send: AsgiSend) -> None:
        await send(start(204 if scope["path"] == "/none" else 200))
        await send(part(b"" if scope["path"] == "/none" else b"body"))

    async with serve(app) as server, httpx.AsyncClient(base_url=server.url) as client:
        assert (await client.head("/")).content == b""
        assert (await client.get("/none")).status_code == 204
        assert (await client.get("/")).text == "body"
        assert server.statistics().connections == 1


async def test_an_app_that_waits_in_receive_is_told_when_the_client_leaves() -> None:
    told: list[AsgiMessage] = []

    async def app(scope: Any, receive: AsgiReceive, send: AsgiSend) -> None:
        await read_body(receive)
        await send(start())
        await send(part(b"first", more=True))
        told.append(await receive())
        with pytest.raises(OSError, match="gone away"):
            await send(part(b"second", more=True))

    async with serve(app, grace_seconds=math.inf) as server:
        await leave_after(server, "/", b"first")
        seen = await wait_statistics(server, lambda s: s.open_requests == 0)
        assert told == [{"type": "http.disconnect"}]
        assert (seen.disconnects, seen.responses_cut, seen.app_errors) == (1, 1, 0)
        await wait_statistics(server, lambda s: s.open_connections == 0)


async def test_an_app_that_does_not_listen_is_cancelled_when_the_client_leaves() -> None:
    cancelled = anyio.Event()

    async def app(scope: Any, receive: AsgiReceive, send: AsgiSend) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.set()

    async with serve(app) as server, httpx.AsyncClient() as client:
        with anyio.move_on_after(0.05):
            await client.get(server.url)
        with anyio.fail_after(5):
            await cancelled.wait()
        seen = await wait_statistics(server, lambda s: s.open_connections == 0)
        assert (seen.disconnects, seen.responses_cut, seen.open_requests) == (1, 0, 0)


async def test_an_app_that_was_told_and_stays_is_cancelled_after_its_grace() -> None:
    async def app(scope: Any, receive: AsgiReceive, send: AsgiSend) -> None:
        await read_body(receive)
        assert (await receive())["type"] == "http.disconnect"
        await anyio.sleep_forever()

    async with serve(app, grace_seconds=0.02) as server, httpx.AsyncClient() as client:
        with anyio.move_on_after(0.05):
            await client.get(server.url)
        await wait_statistics(server, lambda s: s.requests == 1 and s.open_requests == 0)


async def test_leaving_the_block_cancels_apps_and_closes_every_socket() -> None:
    cleaned = False
    begun = anyio.Event()

    async def app(scope: Any, receive: AsgiReceive, send: AsgiSend) -> None:
        nonlocal cleaned
        await send(start())
        await send(part(b"x", more=True))
        begun.set()
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
            cleaned = True

    async with httpx.AsyncClient() as client, anyio.create_task_group() as nursery:
        async with serve(app) as server:

            async def request() -> None:
                with pytest.raises(httpx.RemoteProtocolError):
                    await client.get(server.url)

            nursery.start_soon(request)
            await begun.wait()
        seen = server.statistics()
        assert cleaned
        assert (seen.open_connections, seen.open_requests, seen.disconnects, seen.responses_cut) == (0, 0, 0, 1)


async def test_an_exception_in_the_block_leaves_it_unwrapped() -> None:
    with pytest.raises(KeyError, match="mine"):
        async with serve(echo):
            raise KeyError("mine")


async def test_a_deadline_round_the_block_passes_through() -> None:
    with anyio.move_on_after(0.02) as scope:
        async with serve(echo):
            await anyio.sleep_forever()
    assert scope.cancelled_caught


async def test_an_app_that_fails_gives_status_500_or_a_cut_response() -> None:
    async def app(scope: Any, receive: AsgiReceive, send: AsgiSend) -> None:
        if scope["path"] == "/late":
            await send(start())
            await send(part(b"some", more=True))
        raise ValueError("app bug")

    async with serve(app) as server, httpx.AsyncClient(base_url=server.url) as client:
        assert (await client.get("/")).status_code == 500
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/late")
        assert [str(error) for error in server.errors] == ["app bug", "app bug"]
        assert (await wait_statistics(server, lambda s: s.open_requests == 0)).responses_cut == 1


async def test_what_is_not_http_gets_status_400() -> None:
    async with serve(echo) as server, await anyio.connect_tcp("127.0.0.1", server.port) as stream:
        await stream.send(b"not http at all\r\n\r\n")
        assert (await stream.receive()).startswith(b"HTTP/1.1 400 ")
        with pytest.raises(anyio.EndOfStream):
            await stream.receive()


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with serve(echo) as server, await anyio.connect_tcp("127.0.0.1", server.port) as stream:
        await stream.send(b"GET /1 HTTP/1.1\r\nhost: x\r\n\r\nGET /2 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        received = b""
        with anyio.fail_after(5):
            while True:
                try:
                    received += await stream.receive()
                except anyio.EndOfStream:
                    break
        assert received.index(b"GET /1") < received.index(b"GET /2")


async def test_an_http_1_0_client_gets_a_response_that_ends_with_the_connection() -> None:
    async with serve(echo) as server, await anyio.connect_tcp("127.0.0.1", server.port) as stream:
        await stream.send(b"GET /old HTTP/1.0\r\n\r\n")
        received = b""
        with anyio.fail_after(5):
            while True:
                try:
                    received += await stream.receive()
                except anyio.EndOfStream:
                    break
        assert b"chunked" not in received
        assert received.endswith(b"GET /old? ")


async def test_a_client_that_asks_before_it_sends_is_told_to_go_on() -> None:
    async with serve(echo) as server, await anyio.connect_tcp("127.0.0.1", server.port) as stream:
        await stream.send(b"POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
        with anyio.fail_after(5):
            assert (await stream.receive()).startswith(b"HTTP/1.1 100 ")
            await stream.send(b"ok")
            assert (await stream.receive()).startswith(b"HTTP/1.1 200 ")


async def test_starlette_apps_stream_and_see_their_lifespan() -> None:
    ended = anyio.Event()

    async def stream(request: Request) -> StreamingResponse:
        async def body() -> AsyncGenerator[bytes]:
            try:
                yield b"one"
                await anyio.sleep_forever()
            finally:
                ended.set()

        return StreamingResponse(body())

    async def plain(request: Request) -> PlainTextResponse:
        return PlainTextResponse(request.state.word)

    phases: list[str] = []

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[dict[str, str]]:
        phases.append("up")
        yield {"word": "hello"}
        phases.append("down")

    app = Starlette(routes=[Route("/stream", stream), Route("/plain", plain)], lifespan=lifespan)
    async with serve(app, lifespan=True) as server, httpx.AsyncClient(base_url=server.url) as client:
        assert (await client.get("/plain")).text == "hello"
        await leave_after(server, "/stream", b"one")
        with anyio.fail_after(5):
            await ended.wait()
        await wait_statistics(server, lambda s: s.open_requests == 0)
    assert phases == ["up", "down"]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_synchronous_code_gets_a_server_in_a_thread(backend: Any) -> None:
    with serve_in_thread(echo, backend=backend) as server:
        assert httpx.post(server.url + "/s", content=b"abc").text == "POST /s? abc"
    assert server.statistics().open_connections == 0
