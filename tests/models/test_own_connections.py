"""Connections of our own on the wire: what a request looks like, TLS, and bytes that come together or too many."""

from __future__ import annotations

import datetime
import ipaddress
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from agentrun._exceptions import ModelError, ModelTransportError
from agentrun._http import connections
from agentrun.models.responses import OpenAIResponsesModel

pytestmark = pytest.mark.real_clock


def good(wire: Any) -> Any:
    """Return a handler that answers every request with a streamed reply."""

    async def handle(connection: Any) -> None:
        while await connection.request() is not None:
            await connection.send(wire.head(), wire.chunk(wire.sse(*wire.events())), wire.chunk(b""))

    return handle


# ---- requests --------------------------------------------------------------------------------------------------------


async def test_a_request_is_one_write(wire: Any) -> None:
    received: list[bytes] = []

    async def handle(connection: Any) -> None:
        received.append(await connection.stream.receive())
        await connection.send(wire.reply(wire.sse(*wire.events()), "text/event-stream"))

    async with wire.serving(handle) as server:
        await wire.stream(server.responses())
    head, _, body = received[0].partition(b"\r\n\r\n")
    assert json.loads(body)["input"]
    assert head.startswith(b"POST /v1/responses HTTP/1.1\r\nhost: 127.0.0.1:%d\r\n" % server.port)
    assert b"\r\ncontent-length: %d" % len(body) in head


@pytest.mark.parametrize(
    ("base_url", "target", "host"),
    [
        ("http://127.0.0.1:{port}/a b/\u00fc", b"/a%20b/%C3%BC/responses?x=1+2", b"127.0.0.1:{port}"),
        ("http://127.0.0.1:{port}/a%20b/~c;d=e", b"/a%20b/~c;d=e/responses?x=1+2", b"127.0.0.1:{port}"),
        ("HTTP://LocalHost:{port}", b"/responses?x=1+2", b"localhost:{port}"),
    ],
)
async def test_the_target_of_a_request_holds_only_what_a_target_may_hold(
    wire: Any, base_url: str, target: bytes, host: bytes
) -> None:
    from agentrun._settings import ModelSettings

    async with wire.serving(good(wire)) as server:
        model = OpenAIResponsesModel("m", base_url=base_url.format(port=server.port), api_key="")
        await wire.stream(model, settings=ModelSettings(extra_query={"x": "1 2", "y": None}))
        await model.close()
    first, second, *_ = server.requests[0].split(b"\r\n")
    assert first == b"POST " + target + b" HTTP/1.1"
    assert second == b"host: " + host.replace(b"{port}", b"%d" % server.port)


# ---- replies ---------------------------------------------------------------------------------------------------------


async def test_a_hint_before_the_reply_is_passed_over(wire: Any) -> None:
    async def handle(connection: Any) -> None:
        await connection.request()
        await connection.send(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n")
        await connection.send(wire.reply(wire.sse(*wire.events()), "text/event-stream"))

    async with wire.serving(handle) as server:
        assert (await wire.stream(server.responses()))[-1].type == "response.completed"


async def test_headers_of_one_name_are_joined_and_may_hold_any_text(wire: Any) -> None:
    from agentrun._exceptions import ModelStatusError

    async def handle(connection: Any) -> None:
        await connection.request()
        headers = b"X-A: 1\r\nx-a: 2\r\nx-utf: \xc3\xbc\r\nx-latin: \xfc\r\n"
        await connection.send(b"HTTP/1.1 400 No\r\ncontent-length: 0\r\n" + headers + b"\r\n")

    async with wire.serving(handle) as server:
        with pytest.raises(ModelStatusError) as caught:
            await wire.ask(server.responses())
        await server.wait_open(0)
    assert {name: value for name, value in caught.value.headers.items() if name.startswith("x-")} == {
        "x-a": "1, 2",
        "x-utf": "\u00fc",
        "x-latin": "\u00fc",
    }


async def test_what_arrives_together_with_a_broken_chunk_is_delivered_before_the_error(wire: Any) -> None:
    async def handle(connection: Any) -> None:
        await connection.request()
        await connection.send(
            wire.head() + b"".join(wire.chunk(wire.sse(one)) for one in wire.events()[:4]) + b"zz\r\n"
        )
        await connection.wait_closed()

    async with wire.serving(handle) as server:
        seen: list[Any] = []
        with pytest.raises(ModelTransportError, match="broke while the reply was read") as caught:
            await wire.stream(server.responses(), seen)
        assert [event.type for event in seen] == ["response.created", *["response.output_text.delta"] * 3]
        assert caught.value.response_started
        await server.wait_open(0)


async def test_a_connection_with_bytes_after_the_reply_is_not_used_again(wire: Any) -> None:
    async def handle(connection: Any) -> None:
        while await connection.request() is not None:
            whole = wire.reply(wire.sse(*wire.events()), "text/event-stream")
            await connection.send(whole + wire.reply(b'{"output": [], "status": "completed"}'))

    async with wire.serving(handle) as server:
        model = server.responses()
        for count in (1, 2):
            assert (await wire.stream(model))[-1].response.output_text == "hello"
            await server.wait_open(0)
            assert server.connections == count


async def test_a_connection_that_speaks_while_it_is_at_rest_is_not_used_again(wire: Any) -> None:
    spoke = anyio.Event()

    async def handle(connection: Any) -> None:
        await connection.request()
        await connection.send(wire.reply(wire.sse(*wire.events()), "text/event-stream"))
        if connection.server.connections == 1:
            await anyio.sleep(0.01)
            await connection.send(wire.reply(b"{}"))
            spoke.set()
        await connection.wait_closed()

    async with wire.serving(handle) as server:
        model = server.responses()
        await wire.stream(model)
        await spoke.wait()
        await anyio.sleep(0.01)
        assert (await wire.stream(model))[-1].response.output_text == "hello"
        assert server.connections == 2
        await model.close()
        await server.wait_open(0)


async def test_a_reply_of_http_1_0_ends_with_its_connection(wire: Any) -> None:
    async def handle(connection: Any) -> None:
        await connection.request()
        await connection.send(b"HTTP/1.0 200 OK\r\ncontent-type: text/event-stream\r\n\r\n", wire.sse(*wire.events()))

    async with wire.serving(handle) as server:
        model = server.responses()
        for count in (1, 2):
            assert (await wire.stream(model))[-1].response.output_text == "hello"
            await server.wait_open(0)
            assert server.connections == count


# ---- TLS -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with a key and its certificate for 127.0.0.1."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    raw = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(raw + made.public_bytes(pem))
    return path


@pytest.fixture
def context(certificate: Path) -> ssl.SSLContext:
    """Return the server's side."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(certificate)
    return made


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have the process trust the certificate."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    connections._make_shared_context.cache_clear()
    yield
    connections._make_shared_context.cache_clear()


@pytest.mark.usefixtures("trusted")
async def test_streams_over_tls_share_a_connection(wire: Any, context: ssl.SSLContext) -> None:
    async with wire.serving(good(wire), context) as server:
        model = server.responses()
        for _ in range(3):
            assert (await wire.stream(model))[-1].response.output_text == "hello"
        assert (server.connections, server.open_connections) == (1, 1)
        await model.close()
        await server.wait_open(0)


async def test_a_server_that_nobody_trusts_gets_no_request(wire: Any, context: ssl.SSLContext) -> None:
    async with wire.serving(good(wire), context) as server:
        with pytest.raises(
            ModelTransportError, match=r"no connection to https://.*CERTIFICATE_VERIFY_FAILED"
        ) as caught:
            await wire.ask(server.responses())
        assert not caught.value.request_sent
        assert server.requests == []


@pytest.mark.usefixtures("trusted")
async def test_a_reply_that_is_cut_without_the_goodbye_of_tls_is_an_error_where_it_has_no_end(
    wire: Any, context: ssl.SSLContext
) -> None:
    async def handle(connection: Any) -> None:
        await connection.request()
        await connection.send(wire.head(), wire.chunk(wire.sse(wire.events()[0])))

    async with wire.serving(handle, context) as server:
        with pytest.raises(ModelTransportError, match="broke while the reply was read"):
            await wire.stream(server.responses())


async def test_of_a_crowd_64_connect_at_once_and_a_cancel_leaves_none(wire: Any) -> None:
    async def handle(connection: Any) -> None:
        await connection.wait_closed()  # says nothing, so that the handshake does not end

    async def ask(model: Any) -> None:
        with pytest.raises(ModelError):
            await wire.ask(model)

    async with wire.serving(handle) as server:
        model = OpenAIResponsesModel("m", base_url=f"https://127.0.0.1:{server.port}", api_key="")
        async with anyio.create_task_group() as nursery:
            for _ in range(100):
                nursery.start_soon(ask, model)
            await server.wait_open(64)
            await anyio.sleep(0.05)
            assert server.connections == 64
            nursery.cancel_scope.cancel()
        await server.wait_open(0)
