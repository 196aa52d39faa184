"""A model provider in this process: an ASGI app that speaks both wire formats and follows a script.

What a step means is settled in `_steps` and `_replay`; here it becomes bytes. A request goes: read and recorded,
answered by the next step or the script function, written whole or as server-sent events. While it is written, a sibling
task watches for the client leaving; then the reply is cancelled, wherever it waits.

Invariant: open_streams == begun - finished_streams - cut_streams
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import anyio
import anyio.lowlevel
import attrs

from agentrun._codec import unstructure
from agentrun._exceptions import ModelStatusError
from agentrun.testing._chat_wire import chat_chunks, chat_completion, chat_conversation
from agentrun.testing._replay import EventSource, Pace, Reply, StreamCut, event_wires, response_wire, settle
from agentrun.testing._steps import HttpReply, ModelScriptError, ModelStep, Script, Step

if TYPE_CHECKING:
    from agentrun._usage import Usage

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

_SECRET_HEADERS = frozenset({"authorization", "api-key", "x-api-key", "cookie", "proxy-authorization"})
_EVENT_STREAM = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-store"}
_REPEATED = (
    "instructions", "max_output_tokens", "max_tool_calls", "metadata", "parallel_tool_calls", "previous_response_id",
    "prompt_cache_key", "reasoning", "safety_identifier", "service_tier", "store", "temperature", "text", "tool_choice",
    "tools", "top_logprobs", "top_p", "truncation", "user",
)  # fmt: skip
"""The members of a Responses request that its reply repeats."""


@attrs.frozen(eq=False)
class ProviderRequest:
    """One request, as the provider read it."""

    path: str
    headers: dict[str, str]
    """Names in lower case; credentials are replaced by "[redacted]"."""
    body: dict[str, Any]
    """The parsed JSON object."""

    @property
    def streamed(self) -> bool:
        """Whether a stream was asked for."""
        return bool(self.body.get("stream"))


@attrs.frozen
class Conversation:
    """What a request says, the same for both wire formats."""

    instructions: str | None
    items: list[dict[str, Any]]
    """Responses input items, oldest first."""
    tools: list[str]
    """The names of the functions offered, handoffs among them."""

    def outputs(self) -> dict[str, Any]:
        """Return the outputs of the function calls made since the last user message, by function name, oldest first."""
        names: dict[str, str] = {}
        found: dict[str, Any] = {}
        for item in self.items:
            if item.get("type") == "function_call":
                names[str(item.get("call_id"))] = str(item.get("name"))
            elif item.get("type") == "function_call_output":
                call_id = str(item.get("call_id"))
                found[names.get(call_id, call_id)] = item.get("output")
            elif item.get("role") == "user":
                found.clear()
        return found

    def last_user_text(self) -> str:
        """Return the text of the last user message, or an empty one."""
        for item in reversed(self.items):
            if item.get("role") == "user":
                return _text_of(item.get("content"))
        return ""


def _text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = cast("list[dict[str, Any]]", content) if isinstance(content, list) else []
    return "".join(str(part.get("text") or "") for part in parts)


def conversation_of(body: Mapping[str, Any]) -> Conversation:
    """Return the conversation in the body of a Responses or Chat Completions request.

    Args:
        body: the parsed body, as a script function gets it.
    """
    if "messages" in body:
        instructions, items = chat_conversation(body["messages"])
    else:
        given: Any = body.get("input")
        instructions = body.get("instructions")
        items = [{"role": "user", "content": given}] if isinstance(given, str) else list(given or [])
    tools: list[dict[str, Any]] = body.get("tools") or []
    names = [tool.get("function", tool).get("name") for tool in tools]
    return Conversation(instructions, items, [name for name in names if name])


@attrs.define(eq=False)
class _Exchange:
    """One request and the state of its reply."""

    request: ProviderRequest
    send: Send
    number: int
    chat: bool
    head_sent: bool = False
    ended: bool = False
    """Whether the whole reply was sent."""

    async def send_head(self, status: int, headers: Mapping[str, str]) -> None:
        named = {"x-request-id": f"req-{self.number}", **headers}
        pairs = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in named.items()]
        await self.send({"type": "http.response.start", "status": status, "headers": pairs})
        self.head_sent = True

    async def flush_head(self) -> None:
        """Put the head on the wire now; servers keep it for the first part of the body."""
        await self.send_chunk(b"")

    async def send_chunk(self, chunk: bytes) -> None:
        await self.send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def send_end(self, chunk: bytes = b"") -> None:
        await self.send({"type": "http.response.body", "body": chunk, "more_body": False})
        self.ended = True

    async def send_json(self, status: int, value: Any, headers: Mapping[str, str] | None = None) -> None:
        body = json.dumps(value).encode()
        head = {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
        await self.send_head(status, head)
        await self.send_end(body)


def _error(message: str, code: str | None = None, kind: str = "invalid_request_error") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


class LoopbackProvider:
    """An ASGI app that answers `POST /v1/responses` and `POST /v1/chat/completions` by a script.

    The steps are those of `ScriptedModel`; a function in them gets the parsed body of the request. An exception among
    them becomes what a client sees of it: `ModelStep.http_error` and `ModelStatusError` an HTTP status, a
    `ConnectionError` a connection that ends behind the head of the reply, anything else status 500; after the first
    event each of them cuts the connection. Exact stream events are sent as given, in the wire format of the request.

    Use it in memory with the `ASGITransport` of an HTTP client, or over real sockets with `serve()`.

    Example:
        >>> provider = LoopbackProvider(["Hello."])
        >>> async with provider.serve() as base_url:
        ...     model = OpenAIResponsesModel("any-name", base_url=base_url, api_key="any-key")
    """

    def __init__(
        self,
        steps: Iterable[Step] = (),
        *,
        script: Callable[[dict[str, Any]], Any] | None = None,
        default_usage: Usage | None = None,
    ) -> None:
        """Make a provider that plays `steps`, one per request, or asks `script` for each.

        Args:
            steps: one per expected request.
            script: a function, sync or async, of the parsed body that returns the step; `conversation_of(body)` reads
                the conversation out of either wire format. Excludes `steps`.
            default_usage: the tokens of every reply whose step names none.

        Raises:
            InvalidModelStep: a step is none.
            ValueError: both `steps` and `script` were given.
        """
        self._script = Script(steps)
        if script is not None and len(self._script):
            raise ValueError("LoopbackProvider got steps and a script function; give one of them")
        self._rule = None if script is None else ModelStep(responder=script)
        self._default_usage = default_usage
        self._requests: list[ProviderRequest] = []
        self._errors: list[Exception] = []
        self._open_requests = 0
        self._idle = anyio.Event()
        self._begun = 0
        self._finished = 0
        self._cut = 0

    def __repr__(self) -> str:
        return f"<LoopbackProvider, {len(self._requests)} request(s), {self.open_streams} open stream(s)>"

    @property
    def requests(self) -> list[ProviderRequest]:
        """The requests so far that had a JSON body and a known path, in the order they came."""
        return list(self._requests)

    @property
    def last_request(self) -> ProviderRequest | None:
        """The latest request, or None."""
        return self._requests[-1] if self._requests else None

    @property
    def errors(self) -> list[Exception]:
        """What went wrong with the script itself: a request after its end, a function that failed."""
        return list(self._errors)

    @property
    def remaining_steps(self) -> int:
        """How many steps are still to come."""
        return len(self._script)

    @property
    def open_requests(self) -> int:
        """How many requests are being answered now, streamed or not."""
        return self._open_requests

    @property
    def open_streams(self) -> int:
        """How many requests for a stream are being answered now."""
        return self._begun - self._finished - self._cut

    @property
    def finished_streams(self) -> int:
        """How many requests for a stream were answered to their end, with events or with a status."""
        return self._finished

    @property
    def cut_streams(self) -> int:
        """How many streams ended early, because the client left or the step said so."""
        return self._cut

    def enqueue(self, step: Step) -> None:
        """Append one step.

        Raises:
            InvalidModelStep: it is none.
        """
        self._script.extend([step])

    def extend(self, steps: Iterable[Step]) -> None:
        """Append steps; when one of them is none, nothing is appended.

        Raises:
            InvalidModelStep: one of them is none.
        """
        self._script.extend(steps)

    async def wait_idle(self) -> None:
        """Wait until no request is being answered; only in the event loop that the provider runs in.

        It raises nothing of its own.
        """
        if self._open_requests:
            await self._idle.wait()
        else:
            await anyio.lowlevel.checkpoint()

    def assert_complete(self) -> None:
        """Check that every step was asked for and the script never failed.

        Raises:
            UnconsumedModelSteps: steps are left.
            Exception: the first of `errors`, as it was.
        """
        if self._errors:
            raise self._errors[0]
        self._script.assert_complete()

    @asynccontextmanager
    async def serve(self, *, host: str = "127.0.0.1", port: int = 0) -> AsyncGenerator[str, None]:
        """Serve on `host` while the block runs, and give the base URL, which ends in `/v1`.

        Leaving the block cancels what is being sent and closes every connection.

        Args:
            host: the address to listen on.
            port: 0 takes a free one.
        """
        from agentrun.testing._server import serve

        async with serve(self, host=host, port=port) as server:
            yield f"{server.url}/v1"

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one ASGI connection."""
        match scope["type"]:
            case "http":
                await self._serve_http(scope, receive, send)
            case "lifespan":
                while (await receive())["type"] != "lifespan.shutdown":
                    await send({"type": "lifespan.startup.complete"})
                await send({"type": "lifespan.shutdown.complete"})
            case "websocket":
                await send({"type": "websocket.close", "code": 1003})
            case other:
                raise ValueError(f"expected an ASGI scope of http, lifespan or websocket, got {other!r}")

    async def _serve_http(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        raw = await _read_body(receive)
        if raw is None:
            return
        path = str(scope["path"])
        exchange = _Exchange(
            ProviderRequest(path, _readable(scope["headers"]), {}),
            send,
            len(self._requests) + 1,
            path.endswith("/chat/completions"),
        )
        if path.removeprefix("/v1") not in ("/responses", "/chat/completions"):
            message = f"no such path: {path!r}; use /v1/responses or /v1/chat/completions"
            await exchange.send_json(404, _error(message))
            return
        if scope["method"] != "POST":
            message = f"method {scope['method']} is not allowed; use POST"
            await exchange.send_json(405, _error(message), {"allow": "POST"})
            return
        try:
            body = json.loads(raw)
        except (ValueError, RecursionError) as exc:
            await exchange.send_json(400, _error(f"the body is no JSON: {exc}"))
            return
        if not isinstance(body, dict):
            await exchange.send_json(400, _error("the body is no JSON object"))
            return
        exchange.request = attrs.evolve(exchange.request, body=cast("dict[str, Any]", body))
        self._requests.append(exchange.request)
        await self._run_exchange(exchange, receive)

    async def _run_exchange(self, exchange: _Exchange, receive: Receive) -> None:
        """Answer while watching for the client to leave; whichever ends first ends the other."""
        streamed = exchange.request.streamed
        if not self._open_requests:
            self._idle = anyio.Event()
        self._open_requests += 1
        self._begun += streamed
        try:
            async with anyio.create_task_group() as nursery:
                nursery.start_soon(_wait_disconnect, receive, nursery.cancel_scope, name="disconnect watch")
                await self._answer(exchange)
                nursery.cancel_scope.cancel()
        finally:
            self._open_requests -= 1
            self._finished += streamed and exchange.ended
            self._cut += streamed and not exchange.ended
            if not self._open_requests:
                self._idle.set()

    async def _answer(self, exchange: _Exchange) -> None:
        body = exchange.request.body
        try:
            step = self._rule or self._script.take(body, "request")
            reply = await settle(step, body, self._default_usage, f"resp-{exchange.number}")
        except Exception as exc:  # noqa: BLE001  # the test's own code: assert_complete raises it, the client reads it
            self._errors.append(exc)
            text = str(exc) if isinstance(exc, ModelScriptError) else f"the script failed: {exc!r}"
            await exchange.send_json(400, _error(text, "script_error"))  # 400, which no client tries again
            return
        try:
            if reply.step.http is not None:
                await _send_literal(exchange, reply.step, reply.step.http)
            elif exchange.request.streamed:
                await _send_stream(exchange, reply)
            else:
                await _send_whole(exchange, reply)
        except StreamCut:
            return  # an ASGI server closes the connection of an app that returns before the end of its reply
        except Exception as exc:  # noqa: BLE001  # a scripted error becomes what a client sees of it
            if exc is not reply.step.failure():
                if isinstance(exc, OSError):
                    return  # what an ASGI server raises from send() once the client is gone
                self._errors.append(exc)
            await _send_error(exchange, exc)


async def _wait_disconnect(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _read_body(receive: Receive) -> bytes | None:
    """Return the request's body, or None when the client left before its end."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)


def _readable(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    named = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}
    return {name: "[redacted]" if name in _SECRET_HEADERS else value for name, value in named.items()}


async def _send_literal(exchange: _Exchange, step: ModelStep, reply: HttpReply) -> None:
    pace = Pace(step)
    if not reply.chunks or isinstance(step.delay, int | float):
        delay = step.delay_before(0)
        if delay:
            await anyio.sleep(delay)
        await exchange.send_head(reply.status, reply.headers)
        if not reply.chunks:
            await exchange.flush_head()
        pace = Pace(attrs.evolve(step, delay=0.0))
    for chunk in reply.chunks:
        await pace.wait_turn("chunk")
        if not exchange.head_sent:
            await exchange.send_head(reply.status, reply.headers)
        await exchange.send_chunk(chunk)
    await pace.wait_end()
    await exchange.send_end()


async def _send_stream(exchange: _Exchange, reply: Reply) -> None:
    """Send the events as they become due; the head goes out with the first of them."""
    step, body = reply.step, exchange.request.body
    pace = Pace(step)
    source = EventSource(_wires(exchange, reply) if step.stream_events is None else step.stream_events, body)
    try:
        async for one in source:
            wire: Any = unstructure(one)
            kind = str(wire.get("type", "chunk"))
            await pace.wait_turn(kind)
            if not exchange.head_sent:
                await exchange.send_head(200, {**_request_id(step), **_EVENT_STREAM})
            await exchange.send_chunk(_sse(wire, None if exchange.chat else kind))
    finally:
        await source.aclose()
    await pace.wait_end()
    if not exchange.head_sent:
        await exchange.send_head(200, {**_request_id(step), **_EVENT_STREAM})
    await exchange.send_end(b"data: [DONE]\n\n" if exchange.chat else b"")


async def _send_whole(exchange: _Exchange, reply: Reply) -> None:
    """Send the reply in one piece, after the time its stream would have taken."""
    step, body = reply.step, exchange.request.body
    pace = Pace(step)
    final: Any = None
    if step.stream_events is not None or pace.waits:
        source = EventSource(_wires(exchange, reply) if step.stream_events is None else step.stream_events, body)
        try:
            async for one in source:
                wire: Any = unstructure(one)
                await pace.wait_turn(str(wire.get("type", "chunk")))
                if wire.get("type") == "response.completed":
                    final = wire["response"]
        finally:
            await source.aclose()
        await pace.wait_end()
    if step.stream_events is None or step.output or final is None:
        final = _finished(exchange, reply)
    await exchange.send_json(200, chat_completion(final) if exchange.chat else final, _request_id(step))


def _request_id(step: ModelStep) -> dict[str, str]:
    return {} if step.request_id is None else {"x-request-id": step.request_id}


def _finished(exchange: _Exchange, reply: Reply) -> dict[str, Any]:
    """Return the reply as a Responses object, with what the request set repeated."""
    body = exchange.request.body
    repeated = {} if exchange.chat else {name: body[name] for name in _REPEATED if name in body}
    model = str(body.get("model") or "scripted-model")
    return response_wire(reply, model=model, created_at=int(time.time()), **repeated)


def _wires(exchange: _Exchange, reply: Reply) -> Iterator[dict[str, Any]]:
    finished = _finished(exchange, reply)
    if not exchange.chat:
        return event_wires(finished)
    options: dict[str, Any] = exchange.request.body.get("stream_options") or {}
    return chat_chunks(finished, include_usage=bool(options.get("include_usage")))


def _sse(wire: Any, kind: str | None) -> bytes:
    data = json.dumps(wire, ensure_ascii=False, separators=(",", ":"))
    head = "" if kind is None else f"event: {kind}\n"
    # A lone surrogate has no UTF-8 form; the escaped spelling says the same.
    return f"{head}data: {data}\n\n".encode("utf-8", "backslashreplace")


async def _send_error(exchange: _Exchange, error: Exception) -> None:
    if not exchange.head_sent and isinstance(error, ConnectionError):
        await exchange.send_head(200, _EVENT_STREAM)
        await exchange.flush_head()
    if exchange.head_sent:
        return  # an ASGI server closes the connection of an app that returns before the end of its reply
    if isinstance(error, ModelStatusError):
        headers = dict(error.headers)
        if error.retry_after is not None and math.isfinite(error.retry_after):
            headers.setdefault("retry-after", f"{error.retry_after:g}")
        content = error.body or json.dumps(_error(error.message)).encode()
        await exchange.send_head(error.status, {"content-type": "application/json", **headers})
        await exchange.send_end(content)
        return
    await exchange.send_json(500, _error(f"{type(error).__name__}: {error}", kind="server_error"))
