"""Where connections go: reused, closed, never shared between loops, and the clients of a user."""

from __future__ import annotations

import gc
import json
import logging
import random
import subprocess
import sys
import textwrap
from contextlib import nullcontext
from typing import Any

import anyio
import httpx
import httpx2
import pytest

from agentrun._exceptions import ModelBehaviorError, ModelTimeoutError, ModelTransportError, UserError
from agentrun._http.connections import connections_here
from agentrun._retry import ModelRetryAdviceRequest
from agentrun._settings import ModelSettings
from agentrun.models._advice import retry_advice
from agentrun.models.interface import ModelTracing

pytestmark = pytest.mark.real_clock


def good(wire: Any, api: str = "responses") -> Any:
    """Return a handler that answers every request with a streamed reply."""

    async def handle(connection: Any) -> None:
        while await connection.request() is not None:
            body = wire.sse(*(wire.events() if api == "responses" else wire.chunks()))
            await connection.send(wire.head(), wire.chunk(body), wire.chunk(b""))

    return handle


def endless(wire: Any) -> Any:
    """Return a handler that streams until the client leaves."""

    async def handle(connection: Any) -> None:
        while await connection.request() is not None:
            await connection.send(wire.head(), wire.chunk(wire.sse(wire.events()[0])))
            while True:
                await connection.send(wire.chunk(wire.sse(wire.events()[1])))
                await anyio.sleep(0.001)

    return handle


def open_stream(model: Any) -> Any:
    return model.stream_response(None, "hi", ModelSettings(), [], None, [], ModelTracing.DISABLED)


@pytest.mark.parametrize("api", ["responses", "chat"])
async def test_a_finished_stream_gives_its_connection_back(wire: Any, api: str) -> None:
    async with wire.serving(good(wire, api)) as server:
        model = getattr(server, api)()
        for _ in range(5):
            await wire.stream(model)
        assert (server.connections, server.open_connections) == (1, 1)
        await model.close()
        await server.wait_open(0)
        await model.close()
        await wire.stream(model)
        assert server.connections == 2
        await model.close()


async def test_a_reader_that_stops_at_the_last_event_gives_the_connection_back_too(wire: Any) -> None:
    async with wire.serving(good(wire)) as server:
        model = server.responses()
        for _ in range(3):
            stream = open_stream(model)
            async for event in stream:
                if event.type == "response.completed":
                    break
            await stream.aclose()
        assert server.connections == 1
        await model.close()


async def test_the_end_of_a_body_is_awaited_for_a_moment_only(wire: Any) -> None:
    async def handle(connection: Any) -> None:
        await connection.request()
        await connection.send(wire.head(), wire.chunk(wire.sse(*wire.events())))
        await connection.wait_closed()

    async with wire.serving(handle) as server:
        with anyio.fail_after(2):
            assert (await wire.stream(server.responses()))[-1].type == "response.completed"
        await server.wait_open(0)


async def test_a_whole_chat_reply_does_not_wait_for_a_server_that_lingers(wire: Any) -> None:
    async def handle(connection: Any) -> None:
        await connection.request()
        await connection.send(wire.head(), wire.chunk(wire.sse(wire.delta(content="a"), wire.delta("stop"))))
        await connection.wait_closed()

    async with wire.serving(handle) as server:
        with anyio.fail_after(5):
            events = await wire.stream(server.chat())
        assert events[-1].response.output_text == "a"
        assert events[-1].response.usage is None
        await server.wait_open(0)


async def test_whole_replies_and_errors_give_their_connection_back(wire: Any) -> None:
    async def handle(connection: Any) -> None:
        while await connection.request() is not None:
            count = len(connection.server.requests)
            status = "500 Oops" if count == 2 else "200 OK"
            await connection.send(wire.reply(b'{"output": [], "status": "completed"}', "application/json", status))

    async with wire.serving(handle) as server:
        model = server.responses()
        await wire.ask(model)
        with pytest.raises(Exception, match="status 500"):
            await wire.ask(model)
        await wire.ask(model)
        assert server.connections == 1
        await model.close()


async def test_a_stream_that_is_left_closes_its_connection(wire: Any) -> None:
    async with wire.serving(endless(wire)) as server:
        stream = open_stream(server.responses())
        for _ in range(3):
            await anext(stream)
        await stream.aclose()
        await server.wait_open(0)


async def test_a_cancelled_stream_closes_its_connection_before_the_cancellation_goes_on(wire: Any) -> None:
    async with wire.serving(endless(wire)) as server:
        seen: list[Any] = []
        with anyio.move_on_after(0.1) as scope:
            await wire.stream(server.responses(), seen)
        assert scope.cancelled_caught
        assert len(seen) > 2
        await server.wait_open(0)


async def test_a_request_that_is_cancelled_before_the_reply_closes_its_connection(wire: Any) -> None:
    async def handle(connection: Any) -> None:
        await connection.request()
        await connection.wait_closed()

    async with wire.serving(handle) as server:
        for _ in range(20):
            with anyio.move_on_after(0.01) as scope:
                await wire.ask(server.responses())
            assert scope.cancelled_caught
        await server.wait_open(0)


async def test_an_idle_connection_that_the_server_dropped_is_replaced(wire: Any) -> None:
    async def handle(connection: Any) -> None:
        await connection.request()
        await connection.send(wire.reply(wire.sse(*wire.events()), "text/event-stream"))

    async with wire.serving(handle) as server:
        model = server.responses()
        for _ in range(3):
            await wire.stream(model)
            await server.wait_open(0)
        assert server.connections == 3
        await model.close()


async def test_many_streams_at_once_have_a_connection_each_and_leave_few_idle(wire: Any) -> None:
    together = anyio.Event()

    async def handle(connection: Any) -> None:
        while await connection.request() is not None:
            if connection.server.connections == 300:
                together.set()
            await together.wait()
            await connection.send(wire.reply(wire.sse(*wire.events()), "text/event-stream"))

    async with wire.serving(handle) as server:
        model = server.responses()
        async with anyio.create_task_group() as nursery:
            for _ in range(300):
                nursery.start_soon(wire.stream, model)
        assert server.connections == 300
        await server.wait_open(256)
        await wire.stream(model)
        assert server.connections == 300
        await model.close()
        await server.wait_open(0)


async def test_idle_connections_are_closed_when_they_are_old(wire: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async with wire.serving(good(wire)) as server:
        model = server.responses()
        await wire.stream(model)
        idle = (await connections_here()).idle
        [slot] = [slot for slots in idle.values() for slot in slots if str(server.port) in slot.origin]
        slot.idle_since -= 31
        await wire.stream(model)
        assert server.connections == 2
        await server.wait_open(1)
        await model.close()


async def test_an_idle_connection_that_somebody_closed_is_replaced(wire: Any) -> None:
    async with wire.serving(good(wire)) as server:
        model = server.responses()
        await wire.stream(model)
        idle = (await connections_here()).idle
        [slot] = [slot for slots in idle.values() for slot in slots if str(server.port) in slot.origin]
        await slot.aclose()
        assert (await wire.stream(model))[-1].response.output_text == "hello"
        assert server.connections == 2
        await model.close()


def make_client(family: Any, **options: Any) -> Any:
    return family.AsyncClient(limits=family.Limits(max_connections=2, max_keepalive_connections=2), **options)


@pytest.mark.parametrize("family", [httpx, httpx2], ids=["httpx", "httpx2"])
async def test_two_hundred_cancelled_streams_leave_a_pool_of_two_usable(wire: Any, family: Any) -> None:
    async with wire.serving(endless(wire)) as server:
        async with make_client(family) as client:
            model = server.responses(http_client=client)
            for at in range(200):
                stream = open_stream(model)
                await anext(stream)
                if at % 2:
                    with anyio.CancelScope() as scope:
                        scope.cancel()
                        await anext(stream)
                await stream.aclose()
            started = anyio.current_time()
            stream = open_stream(model)
            await anext(stream)
            assert anyio.current_time() - started < 0.5
            await stream.aclose()
            await server.wait_open(0)
        assert server.connections == 201


@pytest.mark.parametrize("family", [None, httpx, httpx2], ids=["own", "httpx", "httpx2"])
async def test_requests_cancelled_at_any_moment_leave_nothing(wire: Any, family: Any) -> None:
    # Also no async generator of the library: its warning would fail the test
    randomness = random.Random(7)
    async with wire.serving(endless(wire)) as server:
        client = family.AsyncClient() if family is not None else None
        model = server.responses(http_client=client)

        async def one(seconds: float) -> None:
            with anyio.move_on_after(seconds):
                await wire.stream(model)

        for _ in range(4):
            async with anyio.create_task_group() as nursery:
                for _ in range(50):
                    nursery.start_soon(one, randomness.random() * 0.06)
            await server.wait_open(0)
        if client is not None:
            await client.aclose()
        gc.collect()


class OwnClient(httpx.AsyncClient):
    pass


class OwnClient2(httpx2.AsyncClient):
    pass


@pytest.mark.parametrize("cls", [httpx.AsyncClient, OwnClient, httpx2.AsyncClient, OwnClient2])
async def test_any_client_of_the_family_works_and_stays_open(wire: Any, cls: Any) -> None:
    async with wire.serving(good(wire)) as server:
        async with cls(headers={"x-mine": "1"}) as client:
            model = server.responses(http_client=client)
            for _ in range(3):
                assert (await wire.stream(model))[-1].response.output_text == "hello"
            await model.close()
            assert not client.is_closed
            assert server.connections == 1
            assert b"x-mine: 1" in server.requests[0].lower()
        with pytest.raises(UserError, match="http_client is closed"):
            await wire.ask(model)
    async with cls() as client:
        with pytest.raises(ModelTransportError) as caught:
            await wire.ask(server.responses(http_client=client))
        assert not caught.value.request_sent


@pytest.mark.parametrize("family", [httpx, httpx2], ids=["httpx", "httpx2"])
async def test_a_client_that_follows_redirects_does_not_follow_ours(wire: Any, family: Any) -> None:
    async def handle(connection: Any) -> None:
        while await connection.request() is not None:
            await connection.send(wire.reply(b"", "text/plain", "307 Moved", f"location: {connection.server.url}"))

    async with wire.serving(handle) as server, family.AsyncClient(follow_redirects=True) as client:
        with pytest.raises(Exception, match="redirects are not followed"):
            await wire.ask(server.responses(http_client=client))
        assert len(server.requests) == 1


@pytest.mark.parametrize("family", [httpx, httpx2], ids=["httpx", "httpx2"])
async def test_transports_and_hooks_of_a_user_are_in_the_way_of_requests(wire: Any, family: Any) -> None:
    seen: list[str] = []

    def answer(request: Any) -> Any:
        if b"refuse" in request.content:
            raise family.ConnectTimeout("too slow", request=request)
        return family.Response(200, json=wire.response())

    async def read(response: Any) -> None:
        await response.aread()
        seen.append(response.json()["id"])

    from agentrun.models.responses import OpenAIResponsesModel

    async with family.AsyncClient(transport=family.MockTransport(answer), event_hooks={"response": [read]}) as client:
        model = OpenAIResponsesModel("m", base_url="http://x/v1", api_key="", http_client=client, connect_timeout=3)
        assert (await wire.ask(model)).response_id == "resp_1"
        assert seen == ["resp_1"]
        with pytest.raises(ModelTimeoutError) as caught:
            await wire.ask(model, input="refuse")
        assert (caught.value.limit, caught.value.timeout_seconds) == ("connect", 3)
        said = retry_advice(ModelRetryAdviceRequest(caught.value, attempt=1, stream=False))
        assert said is not None
        assert (said.suggested, said.replay_safety) == (True, "safe")


@pytest.mark.parametrize(
    ("limit", "conversation", "suggested"),
    [("first_event", None, True), ("first_event", "conv_1", False), ("idle", None, False), ("total", None, False)],
)
def test_a_deadline_of_the_run_may_be_tried_again_while_nothing_was_delivered(
    limit: Any, conversation: str | None, suggested: bool
) -> None:
    error = ModelTimeoutError(5, limit)
    said = retry_advice(ModelRetryAdviceRequest(error, attempt=1, stream=True, conversation_id=conversation))
    assert said is not None
    assert (said.suggested, said.replay_safety) == (suggested, "safe" if suggested else "unsafe")


@pytest.mark.parametrize("client", [object(), httpx.Client(), "https://x"])
def test_a_client_of_another_kind_is_refused(wire: Any, client: Any) -> None:
    from agentrun.models.responses import OpenAIResponsesModel

    with pytest.raises(UserError, match="must be an async client of the httpx family"):
        OpenAIResponsesModel("m", base_url="http://x/v1", api_key="", http_client=client)
    if isinstance(client, httpx.Client):
        client.close()


async def test_the_proxy_of_the_environment_is_used(wire: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async with wire.serving(good(wire)) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", "direct.test")
        from agentrun._http.connections import proxy_for
        from agentrun.models.responses import OpenAIResponsesModel

        model = OpenAIResponsesModel("m", base_url="http://provider.test/v1", api_key="k")
        for _ in range(2):
            assert (await wire.stream(model))[-1].response.output_text == "hello"
        assert proxy.connections == 1
        assert proxy.requests[0].startswith(b"POST http://provider.test:80/v1/responses".lower()) or proxy.requests[
            0
        ].lower().startswith(b"post http://provider.test")
        assert proxy_for("http://direct.test:80") is None
        await model.close()


async def test_nothing_above_debug_is_logged_and_never_the_key(wire: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with wire.serving(good(wire)) as server:
        model = server.responses()
        await wire.stream(model, input="a secret prompt")
        await model.close()
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []
    assert wire.key not in caplog.text
    assert "a secret prompt" not in caplog.text


async def test_a_stream_is_not_read_ahead_of_its_reader(wire: Any) -> None:
    sent = 0

    async def handle(connection: Any) -> None:
        nonlocal sent
        await connection.request()
        await connection.send(wire.head())
        filler = wire.sse({**wire.events()[1], "obfuscation": "x" * 10_000})
        for _ in range(10_000):
            await connection.send(wire.chunk(filler))
            sent += 1

    async with wire.serving(handle) as server:
        stream = open_stream(server.responses())
        await anext(stream)
        await anyio.sleep(0.2)
        assert sent < 2_000
        await stream.aclose()


@pytest.mark.parametrize("family", [httpx, httpx2], ids=["httpx", "httpx2"])
@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"type": "error", "code": "server_error", "message": "no luck", "param": None}, ModelBehaviorError),
        ({"type": "response.completed", "response": {"id": "r", "status": "completed", "output": []}}, None),
    ],
    ids=["failed", "completed"],
)
async def test_a_connection_that_cannot_be_closed_changes_no_reply(family: Any, event: Any, expected: Any) -> None:
    closed: list[str] = []

    class Stream(family.AsyncByteStream):  # type: ignore[misc]
        async def __aiter__(self) -> Any:
            yield f"event: {event['type']}\ndata: {json.dumps({**event, 'sequence_number': 0})}\n\n".encode()

        async def aclose(self) -> None:
            closed.append("closed")
            raise RuntimeError("cannot be closed")

    async def answer(request: Any) -> Any:
        return family.Response(200, headers={"content-type": "text/event-stream"}, stream=Stream())

    from agentrun.models.responses import OpenAIResponsesModel

    async with family.AsyncClient(transport=family.MockTransport(answer)) as client:
        model = OpenAIResponsesModel("m", base_url="http://here/v1", api_key="k", http_client=client)
        seen = []
        with pytest.raises(expected) if expected else nullcontext():
            seen = [one.type async for one in open_stream(model)]
    assert closed
    assert expected or seen == ["response.completed"]


LOOPS = """
    import sys, threading, asyncio, gc
    import anyio, trio
    from agentrun._settings import ModelSettings
    from agentrun.models.interface import ModelTracing
    from agentrun.models.responses import OpenAIResponsesModel
    from agentrun.testing import LoopbackProvider

    provider = LoopbackProvider(script=lambda body: "hello")

    async def main():
        for _ in range(3):
            texts = []
            stream = model.stream_response(None, "hi", ModelSettings(), [], None, [], ModelTracing.DISABLED)
            async for event in stream:
                if event.type == "response.completed":
                    texts.append(event.response.output_text)
            assert texts == ["hello"], texts
        stream = model.stream_response(None, "hi", ModelSettings(), [], None, [], ModelTracing.DISABLED)
        await anext(stream)
        await stream.aclose()

    from agentrun.testing import serve_in_thread
    with serve_in_thread(provider) as server:
        model = OpenAIResponsesModel("m", base_url=server.url + "/v1", api_key="k")
        for _ in range(5):
            asyncio.run(main())
        for _ in range(5):
            trio.run(main)
        failures = []
        def in_thread(run):
            try:
                run()
            except BaseException as exc:
                failures.append(exc)
        threads = [
            threading.Thread(target=in_thread, args=(run,))
            for run in (lambda: asyncio.run(main()), lambda: trio.run(main)) * 2
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures, failures
        loops = asyncio.new_event_loop()
        loops.run_until_complete(main())
        loops.run_until_complete(loops.shutdown_asyncgens())
        loops.close()
        gc.collect()
    assert server.statistics().open_connections == 0
    print("done", server.statistics().connections)
"""


def test_one_model_works_in_many_loops_and_threads_without_a_warning() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(LOOPS)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    noise = [line for line in done.stderr.splitlines() if not line.startswith("Executing <")]
    assert (done.returncode, noise) == (0, [])
    # Each loop: one connection for the three finished streams and the one that was left
    assert done.stdout.split() == ["done", "15"]
