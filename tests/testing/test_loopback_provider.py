from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest

from agentrun._codec import structure_event, structure_response
from agentrun._exceptions import ModelStatusError
from agentrun._responses import InputTokensDetails, OutputTokensDetails
from agentrun._usage import Usage
from agentrun.testing import (
    Conversation,
    Gate,
    LoopbackProvider,
    ModelStep,
    UnconsumedModelSteps,
    UnexpectedModelCall,
    assistant_message,
    conversation_of,
    function_call,
    reasoning,
    refusal,
)

RESPONSES = "/v1/responses"
CHAT = "/v1/chat/completions"


@asynccontextmanager
async def client_of(provider: LoopbackProvider) -> AsyncGenerator[httpx.AsyncClient, None]:
    """In memory, so on virtual time."""
    transport = httpx.ASGITransport(app=provider)
    async with httpx.AsyncClient(transport=transport, base_url="http://provider") as client:
        yield client


def sse(text: str) -> list[tuple[str | None, str]]:
    """The event names and data of a body of server-sent events."""
    seen: list[tuple[str | None, str]] = []
    for block in text.split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        assert set(fields) <= {"event", "data"}
        seen.append((fields.get("event"), fields["data"]))
    return seen


async def test_responses_are_answered_whole() -> None:
    usage = Usage(
        requests=1,
        input_tokens=10,
        output_tokens=4,
        total_tokens=14,
        input_tokens_details=InputTokensDetails(cached_tokens=3),
        output_tokens_details=OutputTokensDetails(reasoning_tokens=2),
    )
    step = ModelStep.respond([function_call("f", {"a": 1}, call_id="c")], usage=usage, request_id="r-9")
    provider = LoopbackProvider([step])
    async with client_of(provider) as client:
        reply = await client.post(
            RESPONSES, json={"model": "m", "input": "hi", "instructions": "be nice", "top_p": 0.5}
        )
    assert (reply.status_code, reply.headers["x-request-id"]) == (200, "r-9")
    wire = reply.json()
    assert (wire["model"], wire["instructions"], wire["top_p"], wire["status"]) == ("m", "be nice", 0.5, "completed")
    response = structure_response(wire)
    assert response.output == list(step.output)
    assert Usage.from_wire(response.usage) == usage
    provider.assert_complete()


async def test_responses_are_streamed_as_server_sent_events() -> None:
    provider = LoopbackProvider(["Hello you"])
    async with client_of(provider) as client:
        reply = await client.post(RESPONSES, json={"model": "m", "input": "hi", "stream": True})
    assert reply.headers["content-type"].startswith("text/event-stream")
    seen = sse(reply.text)
    events: list[Any] = [structure_event(json.loads(data)) for _, data in seen]
    assert [name for name, _ in seen] == [event.type for event in events]
    assert [event.delta for event in events if event.type == "response.output_text.delta"] == ["Hello ", "you"]
    assert events[-1].response.output == [assistant_message("Hello you")]
    assert (provider.open_streams, provider.finished_streams, provider.cut_streams) == (0, 1, 0)


async def test_chat_completions_are_answered_whole() -> None:
    items = [reasoning("hm"), assistant_message("Hi"), function_call("f", {"a": 1}, call_id="c")]
    provider = LoopbackProvider(
        [items, [refusal("no")]], default_usage=Usage(requests=1, input_tokens=3, total_tokens=3)
    )
    async with client_of(provider) as client:
        first = (await client.post(CHAT, json={"model": "m", "messages": []})).json()
        second = (await client.post(CHAT, json={"model": "m", "messages": []})).json()
    choice = first["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] == "Hi"
    assert choice["message"]["reasoning_content"] == "hm"
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    assert choice["message"]["tool_calls"] == [call]
    assert first["usage"]["prompt_tokens"] == 3
    assert second["choices"][0]["message"]["refusal"] == "no"
    assert second["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("include_usage", [True, False])
async def test_chat_completions_are_streamed(include_usage: bool) -> None:
    calls = [function_call("f", {"text": "x" * 30}, call_id="c1"), function_call("g", {}, call_id="c2")]
    provider = LoopbackProvider([[assistant_message("Let me see"), *calls]])
    body: dict[str, Any] = {
        "model": "m",
        "messages": [],
        "stream": True,
        "stream_options": {"include_usage": include_usage},
    }
    async with client_of(provider) as client:
        seen = sse((await client.post(CHAT, json=body)).text)
    assert all(name is None for name, _ in seen)
    assert seen[-1][1] == "[DONE]"
    chunks = [json.loads(data) for _, data in seen[:-1]]
    if include_usage:
        *chunks, last = chunks
        assert last["choices"] == []
        assert last["usage"]["total_tokens"] == 0
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0]["role"] == "assistant"
    assert "".join(delta.get("content") or "" for delta in deltas) == "Let me see"
    arguments = {0: "", 1: ""}
    for delta in deltas:
        for call in delta.get("tool_calls", ()):
            arguments[call["index"]] += call["function"]["arguments"]
    assert arguments == {0: '{"text":"' + "x" * 30 + '"}', 1: "{}"}


async def test_requests_are_recorded_without_credentials() -> None:
    provider = LoopbackProvider(["a"])
    async with client_of(provider) as client:
        headers = {"Authorization": "Bearer secret", "X-Api-Key": "secret", "X-Other": "kept"}
        await client.post(RESPONSES, json={"model": "m", "input": "hi"}, headers=headers)
    request = provider.last_request
    assert request is not None
    assert provider.requests == [request]
    assert (request.path, request.body, request.streamed) == (RESPONSES, {"model": "m", "input": "hi"}, False)
    assert request.headers["authorization"] == request.headers["x-api-key"] == "[redacted]"
    assert request.headers["x-other"] == "kept"
    assert "secret" not in repr(request)


async def test_status_errors_come_with_headers_and_body() -> None:
    provider = LoopbackProvider(
        [
            ModelStep.http_error(429, headers={"Retry-After": "3"}),
            ModelStep.http_error(500, body=b"<html>"),
            ValueError("no"),
        ]
    )
    async with client_of(provider) as client:
        busy = await client.post(RESPONSES, json={})
        broken = await client.post(CHAT, json={"stream": True})
        other = await client.post(CHAT, json={"stream": True})
    assert (busy.status_code, busy.headers["retry-after"], busy.json()["error"]["type"]) == (429, "3", "scripted_error")
    assert (broken.status_code, broken.content) == (500, b"<html>")
    assert (other.status_code, other.json()["error"]["message"]) == (500, "ValueError: no")
    provider.assert_complete()


async def test_a_request_past_the_script_is_told_to_both_sides() -> None:
    provider = LoopbackProvider()
    async with client_of(provider) as client:
        reply = await client.post(RESPONSES, json={"stream": True})
    assert reply.status_code == 400
    assert "request 1 was not expected" in reply.json()["error"]["message"]
    with pytest.raises(UnexpectedModelCall):
        provider.assert_complete()


async def test_a_failing_script_function_is_told_to_both_sides() -> None:
    def script(body: dict[str, Any]) -> Any:
        raise KeyError("oops")

    provider = LoopbackProvider(script=script)
    async with client_of(provider) as client:
        reply = await client.post(RESPONSES, json={})
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "script_error")
    with pytest.raises(KeyError, match="oops"):
        provider.assert_complete()
    assert len(provider.errors) == 1


async def test_wrong_requests_are_refused() -> None:
    provider = LoopbackProvider(["a"])
    async with client_of(provider) as client:
        assert (await client.post("/v1/models", json={})).status_code == 404
        assert (await client.get(RESPONSES)).status_code == 405
        assert (await client.post(RESPONSES, content=b"{")).status_code == 400
        assert (await client.post(RESPONSES, content=b"[]")).status_code == 400
    assert provider.requests == []
    with pytest.raises(UnconsumedModelSteps):
        provider.assert_complete()
    provider.extend(["b"])
    provider.enqueue("c")
    assert provider.remaining_steps == 3
    assert "0 request(s)" in repr(provider)


def test_steps_and_a_script_function_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="give one of them"):
        LoopbackProvider(["a"], script=lambda body: "b")


async def test_delays_and_gates_hold_replies_back() -> None:
    gate = Gate()
    provider = LoopbackProvider([ModelStep.respond("a", delay=2), ModelStep.respond("a", gate=gate)])
    async with client_of(provider) as client:
        await client.post(RESPONSES, json={})
        assert anyio.current_time() == 18
        async with anyio.create_task_group() as nursery:
            nursery.start_soon(lambda: client.post(CHAT, json={"stream": True}))
            await gate.wait_reached()
            assert (provider.open_requests, provider.open_streams) == (1, 1)
            gate.open()
    assert (provider.open_requests, provider.finished_streams) == (0, 1)


async def test_exact_events_go_out_in_the_format_of_the_request() -> None:
    chunk: dict[str, Any] = {"id": "x", "object": "chat.completion.chunk", "choices": []}
    whole: dict[str, Any] = {
        "type": "response.completed",
        "sequence_number": 0,
        "response": {"id": "r", "output": [], "usage": None},
    }
    provider = LoopbackProvider([ModelStep.stream([chunk]), ModelStep.stream([whole])])
    async with client_of(provider) as client:
        assert sse((await client.post(CHAT, json={"stream": True})).text) == [
            (None, json.dumps(chunk, separators=(",", ":"))),
            (None, "[DONE]"),
        ]
        assert (await client.post(RESPONSES, json={})).json() == whole["response"]


async def test_literal_replies_may_be_anything() -> None:
    provider = LoopbackProvider(
        [
            ModelStep.http_reply([b"data: {", b"broken"]),
            ModelStep.http_reply({"not": "a response"}),
            ModelStep.http_reply("", status=204),
        ]
    )
    async with client_of(provider) as client:
        first = await client.post(RESPONSES, json={"stream": True})
        assert (first.content, first.headers["content-type"]) == (b"data: {broken", "text/event-stream")
        assert (await client.post(RESPONSES, json={})).json() == {"not": "a response"}
        assert (await client.post(RESPONSES, json={})).status_code == 204


def test_a_conversation_reads_the_same_from_both_formats() -> None:
    tools: list[Any] = [{"type": "function", "name": "f", "parameters": {}}, {"type": "web_search"}]
    responses: dict[str, Any] = {
        "instructions": "be nice",
        "tools": tools,
        "input": [
            {"type": "message", "role": "user", "content": "weather?"},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "sunny"},
        ],
    }
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    chat: dict[str, Any] = {
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
        "messages": [
            {"role": "system", "content": "be nice"},
            {"role": "user", "content": "weather?"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": "sunny"},
        ],
    }
    read = conversation_of(responses)
    assert read == conversation_of(chat) == Conversation("be nice", responses["input"], ["f"])
    assert read.outputs() == {"f": "sunny"}
    assert read.last_user_text() == "weather?"
    plain = conversation_of({"input": "hi"})
    assert (plain.last_user_text(), plain.outputs()) == ("hi", {})
    parts = conversation_of({"input": [{"role": "user", "content": [{"type": "input_text", "text": "yo"}]}]})
    assert parts.last_user_text() == "yo"
    assert conversation_of({"messages": []}).last_user_text() == ""


async def test_a_script_function_can_follow_the_conversation() -> None:
    async def script(body: dict[str, Any]) -> Any:
        done = conversation_of(body).outputs()
        return f"It is {done['f']}." if done else [function_call("f", {}, call_id="c")]

    provider = LoopbackProvider(script=script)
    items: list[Any] = [{"role": "user", "content": "hi"}]
    async with client_of(provider) as client:
        items += (await client.post(RESPONSES, json={"input": items})).json()["output"]
        items.append({"type": "function_call_output", "call_id": "c", "output": "sunny"})
        final = (await client.post(RESPONSES, json={"input": items})).json()
    assert final["output"][0]["content"][0]["text"] == "It is sunny."


@pytest.mark.real_clock
async def test_a_client_that_leaves_cuts_the_stream() -> None:
    provider = LoopbackProvider([ModelStep.hang(after=3), ModelStep.hang()])
    with anyio.fail_after(10):
        async with provider.serve() as url, httpx.AsyncClient() as client:
            assert url.endswith("/v1")
            for _ in range(2):
                with anyio.move_on_after(0.2):
                    async with client.stream("POST", f"{url}/responses", json={"stream": True}) as reply:
                        async for _line in reply.aiter_lines():
                            assert provider.open_streams == 1
                await provider.wait_idle()
            await provider.wait_idle()
    assert (provider.cut_streams, provider.finished_streams, provider.open_requests) == (2, 0, 0)
    provider.assert_complete()


@pytest.mark.real_clock
@pytest.mark.parametrize(
    ("step", "lines"),
    [
        (ModelStep.raise_error(ConnectionResetError(), after=2), 6),
        (ModelStep(output=["a"], after=3), 9),
        (ConnectionResetError(), 0),
        (ModelStep.http_reply([b"data: x\n\n"], then=ConnectionResetError()), 2),
    ],
)
async def test_a_step_can_cut_the_connection(step: Any, lines: int) -> None:
    provider = LoopbackProvider([step])
    seen: list[str] = []
    with anyio.fail_after(10):
        async with provider.serve() as url, httpx.AsyncClient() as client:
            with pytest.raises(httpx.RemoteProtocolError):
                async with client.stream("POST", f"{url}/responses", json={"stream": True}) as reply:
                    async for line in reply.aiter_lines():
                        seen.append(line)  # what came before the cut is looked at
    assert len(seen) == lines
    assert provider.cut_streams == 1
    provider.assert_complete()


@pytest.mark.real_clock
async def test_the_head_can_come_long_before_the_body() -> None:
    provider = LoopbackProvider([ModelStep.http_reply([], hangs=True)])
    with anyio.fail_after(10):
        async with provider.serve() as url, httpx.AsyncClient() as client:
            async with client.stream("POST", f"{url}/responses", json={"stream": True}) as reply:
                assert reply.status_code == 200
                assert provider.open_streams == 1


async def _call(provider: LoopbackProvider, scope: dict[str, Any], messages: list[dict[str, Any]]) -> list[Any]:
    """Call the app as a server would, with these messages to receive and then none."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop(0)
        await anyio.sleep_forever()
        raise AssertionError("unreachable")

    async def send(message: Any) -> None:
        sent.append(message)

    await provider(scope, receive, send)
    return sent


async def test_it_is_an_asgi_app_to_the_letter() -> None:
    provider = LoopbackProvider(["a"])
    life = await _call(provider, {"type": "lifespan"}, [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    assert [message["type"] for message in life] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert (await _call(provider, {"type": "websocket"}, []))[0]["type"] == "websocket.close"
    with pytest.raises(ValueError, match="'mail'"):
        await _call(provider, {"type": "mail"}, [])
    scope: dict[str, Any] = {"type": "http", "path": RESPONSES, "method": "POST", "headers": []}
    assert (
        await _call(provider, scope, [{"type": "http.request", "more_body": True}, {"type": "http.disconnect"}]) == []
    )
    body: list[dict[str, Any]] = [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.request", "body": b"}"},
    ]
    assert [message["type"] for message in await _call(provider, scope, body)] == [
        "http.response.start",
        "http.response.body",
    ]


async def test_a_send_that_fails_is_a_client_that_left() -> None:
    provider = LoopbackProvider(["a"])
    messages = [{"type": "http.request", "body": b'{"stream": true}'}]

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop()
        await anyio.sleep_forever()
        raise AssertionError("unreachable")

    async def send(message: Any) -> None:
        raise OSError("the client has gone away")

    await provider({"type": "http", "path": RESPONSES, "method": "POST", "headers": []}, receive, send)
    assert (provider.cut_streams, provider.errors) == (1, [])


async def test_a_status_error_object_is_answered_as_that_status() -> None:
    full = ModelStatusError("busy", status=503, headers={"x-a": "b"}, body=b"later", retry_after=1.5)
    provider = LoopbackProvider([full, ModelStatusError("bare", status=418)])
    async with client_of(provider) as client:
        first = await client.post(RESPONSES, json={"stream": True})
        second = await client.post(RESPONSES, json={})
    assert (first.status_code, first.content, first.headers["retry-after"]) == (503, b"later", "1.5")
    assert (second.status_code, second.json()["error"]["message"], "retry-after" in second.headers) == (
        418,
        "bare",
        False,
    )


async def test_a_stream_function_that_fails_is_told_to_both_sides() -> None:
    def broken(body: Any) -> Any:
        yield {"type": "response.created", "sequence_number": 0}
        raise RuntimeError("bug in the test")

    provider = LoopbackProvider([ModelStep.stream(broken)])
    with pytest.raises(AssertionError):  # the in-memory transport misses the end of the cut reply
        async with client_of(provider) as client:
            await client.post(RESPONSES, json={"stream": True})
    with pytest.raises(RuntimeError, match="bug in the test"):
        provider.assert_complete()


async def test_delays_of_literal_replies_come_before_the_reply_or_its_chunks() -> None:
    provider = LoopbackProvider(
        [ModelStep.http_error(500, delay=2), ModelStep.http_reply([b"a", b"b"], delay=[1, 4]), ModelStep.stream([])]
    )
    async with client_of(provider) as client:
        await client.post(RESPONSES, json={})
        assert anyio.current_time() == 2
        assert (await client.post(RESPONSES, json={})).content == b"ab"
        assert anyio.current_time() == 7
        assert (await client.post(RESPONSES, json={"stream": True})).content == b""
