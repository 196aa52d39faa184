"""Whole runs whose second turn meets a fault: each API, streamed and plain, on both backends, over real sockets.

One row of `ROWS` is one fault; what comes of it stands in its columns:

    T transport · S<status> · TO:<limit> · L:<limit> · B ModelBehaviorError · R refusal · MT MaxTurnsExceeded
    ok "hello" · empty "" · M the model was told, no tool ran, then "hello"

followed by the number of requests of the faulty turn, so `T3` is a transport error after two retries. By default each
row runs in one of its cells on one backend and the rows marked `core` in all; AGENTRUN_ALL_FAULTS=1 runs everything.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest

from agentrun import Agent, Runner
from agentrun._exceptions import (
    MaxTurnsExceeded,
    ModelBehaviorError,
    ModelLimitError,
    ModelRefusalError,
    ModelStatusError,
    ModelTimeoutError,
    ModelTransportError,
)
from agentrun._settings import ModelSettings, Timeouts


def _harness() -> Any:
    if "faults_harness" not in sys.modules:
        spec = importlib.util.spec_from_file_location("faults_harness", Path(__file__).with_name("harness.py"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules["faults_harness"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["faults_harness"])
    return sys.modules["faults_harness"]


harness = _harness()
unit, Cell, faulty_run, check_failure = harness.unit, harness.Cell, harness.faulty_run, harness.check_failure

pytestmark = [pytest.mark.real_clock, pytest.mark.slow]

ALL = os.environ.get("AGENTRUN_ALL_FAULTS", "") not in ("", "0")
CELLS = [(api, streamed) for api in ("responses", "chat") for streamed in (True, False)]

# ---- acts: what the server does with a request ----------------------------------------------------------------------


def replying(status: str, body: bytes = b"{}", kind: str = "application/json", *headers: str) -> Any:
    async def act(connection: Any, wire: Any, cell: Any) -> None:
        await connection.send(wire.reply(body, kind, status, *headers))

    return act


def once(act: Any) -> Any:
    """Fail the first request only."""

    async def first(connection: Any, wire: Any, cell: Any) -> None:
        await (act if cell.attempt == 1 else good)(connection, wire, cell)

    return first


async def good(connection: Any, wire: Any, cell: Any) -> None:
    await cell.send(connection, b"".join(cell.parts()))


async def rst_in_head(connection: Any, wire: Any, cell: Any) -> None:
    await connection.send(b"HTTP/1.1 200 OK\r\ncontent-ty")
    await anyio.sleep(0.01)
    await connection.reset()


async def rst_after_head(connection: Any, wire: Any, cell: Any) -> None:
    await connection.send(wire.head(cell.content_type))
    await anyio.sleep(0.01)
    await connection.reset()


async def _some(connection: Any, wire: Any, cell: Any) -> None:
    """Send the head and what shows content."""
    await connection.send(wire.head(cell.content_type), *map(wire.chunk, cell.parts()[: 3 if cell.streamed else 1]))


async def rst_in_body(connection: Any, wire: Any, cell: Any) -> None:
    await _some(connection, wire, cell)
    await anyio.sleep(0.01)
    await connection.reset()


async def fin_in_event(connection: Any, wire: Any, cell: Any) -> None:
    await _some(connection, wire, cell)
    await connection.send(b"ff\r\ndata: ")
    await connection.stream.aclose()


async def bad_chunk_size(connection: Any, wire: Any, cell: Any) -> None:
    await _some(connection, wire, cell)
    await anyio.sleep(0.02)  # else one read gets the content together with what breaks it
    await connection.send(b"zz\r\n")
    await connection.wait_closed()


async def short_length(connection: Any, wire: Any, cell: Any) -> None:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {cell.content_type}\r\ncontent-length: 99999\r\n\r\n"
    await connection.send(head.encode(), *cell.parts()[: 3 if cell.streamed else 1])
    await connection.stream.aclose()


async def silence(connection: Any, wire: Any, cell: Any) -> None:
    await connection.wait_closed()


async def silence_after_head(connection: Any, wire: Any, cell: Any) -> None:
    await connection.send(wire.head(cell.content_type))
    await connection.wait_closed()


async def silence_in_body(connection: Any, wire: Any, cell: Any) -> None:
    await _some(connection, wire, cell)
    await connection.wait_closed()


async def head_drips(connection: Any, wire: Any, cell: Any) -> None:
    await connection.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        await connection.send(b"x: y\r\n")
        await anyio.sleep(0.03)


def dripping(block: bytes | None, begun: bool = True) -> Any:
    """Send `block`, or a delta, for ever."""

    async def act(connection: Any, wire: Any, cell: Any) -> None:
        await (_some if begun else silence_head)(connection, wire, cell)
        delta = cell.parts()[1] if cell.streamed else b" "
        while True:
            await connection.send(wire.chunk(delta if block is None else block))
            await anyio.sleep(0.03)

    return act


async def silence_head(connection: Any, wire: Any, cell: Any) -> None:
    await connection.send(wire.head(cell.content_type))


async def slow(connection: Any, wire: Any, cell: Any) -> None:
    await connection.send(wire.head(cell.content_type))
    for part in cell.parts():
        await anyio.sleep(0.05)
        await connection.send(wire.chunk(part))
    await connection.send(wire.chunk(b""))


async def error_of_64_mb(connection: Any, wire: Any, cell: Any) -> None:
    await connection.send(b"HTTP/1.1 500 Oops\r\ncontent-length: 67108864\r\n\r\n")
    for _ in range(1024):
        await connection.send(b"x" * 65536)


async def echoes_the_key(connection: Any, wire: Any, cell: Any) -> None:
    body = json.dumps({"error": {"message": f"wrong key {wire.key}"}}).encode()
    await connection.send(wire.reply(body, "application/json", "401 No", f"x-echo: {wire.key}"))


async def bomb(connection: Any, wire: Any, cell: Any) -> None:
    await connection.send(wire.reply(unit.bomb(), cell.content_type, "200 OK", "content-encoding: gzip"))


async def endless_line(connection: Any, wire: Any, cell: Any) -> None:
    await connection.send(wire.head(cell.content_type))
    while True:
        await connection.send(wire.chunk(b"x" * 1_048_576))


def literally(body: bytes) -> Any:
    """Send `body` as it is."""

    async def act(connection: Any, wire: Any, cell: Any) -> None:
        await cell.send(connection, body)

    return act


def parts(change: Callable[[Any, list[bytes]], list[bytes]]) -> Any:
    """Send the parts of a good reply, changed."""

    async def act(connection: Any, wire: Any, cell: Any) -> None:
        await cell.send(connection, b"".join(change(cell, cell.parts())))

    return act


def events(*, responses: list[Any], chat: list[Any]) -> Any:
    """Send events; for a plain cell of chat the one completion, of responses the last event's response."""

    async def act(connection: Any, wire: Any, cell: Any) -> None:
        given = responses if cell.api == "responses" else chat
        body = wire.sse(*given) if cell.streamed else json.dumps(given[-1].get("response", given[-1])).encode()
        await cell.send(connection, body)

    return act


def response(**members: Any) -> Any:
    """Send a Responses reply with other members."""

    async def act(connection: Any, wire: Any, cell: Any) -> None:
        await cell.send(connection, cell.whole_body(wire.response(**members)))

    return act


def calling(*calls: tuple[str, str, str], then_good: bool = True) -> Any:
    """Call tools: (name, arguments, call id) each; the requests after that are answered well."""

    async def act(connection: Any, wire: Any, cell: Any) -> None:
        if cell.attempt > 1 and then_good:
            await good(connection, wire, cell)
            return
        made = [{"name": name, "arguments": arguments, "call_id": call_id} for name, arguments, call_id in calls]
        if not then_good:
            made = [{**call, "call_id": f"{call['call_id']}_{cell.attempt}"} for call in made]
        await cell.send(connection, cell.calls_body(made))

    return act


def arguments(text: str) -> Any:
    """Call the tool with `text` as its arguments, and then answer well."""
    return calling(("add", text, "call_2"))


def using(usage: Any) -> Any:
    """Answer with another usage."""

    async def act(connection: Any, wire: Any, cell: Any) -> None:
        if cell.api == "responses":
            await cell.send(connection, cell.whole_body(wire.response(usage=usage)))
        elif cell.streamed:
            last: Any = {**wire.delta(), "choices": [], "usage": usage}
            await cell.send(connection, wire.sse(wire.delta(content="hello"), wire.delta("stop"), last, "[DONE]"))
        else:
            await cell.send(connection, json.dumps({**wire.completion(), "usage": usage}).encode())

    return act


async def large_event(connection: Any, wire: Any, cell: Any) -> None:
    padding = {"metadata": {"padding": "x" * 10_000_000}}
    if cell.api == "responses":
        await cell.send(connection, cell.whole_body(wire.response(**padding)))
    elif cell.streamed:
        chunks = [{**chunk, **padding} if at == 0 else chunk for at, chunk in enumerate(wire.chunks())]
        await cell.send(connection, wire.sse(*chunks))
    else:
        await cell.send(connection, json.dumps({**wire.completion(), **padding}).encode())


async def refuses(connection: Any, wire: Any, cell: Any) -> None:
    if cell.api == "responses":
        whole = wire.response()
        whole["output"][0]["content"] = [{"type": "refusal", "refusal": "no"}]
        await cell.send(connection, cell.whole_body(whole))
    elif cell.streamed:
        await cell.send(connection, wire.sse(wire.delta(refusal="no"), wire.delta("stop"), "[DONE]"))
    else:
        await cell.send(connection, json.dumps(wire.completion(None, refusal="no")).encode())


async def same_item_id(connection: Any, wire: Any, cell: Any) -> None:
    whole = wire.response()
    whole["output"] = [*wire.response("first")["output"], *whole["output"]]
    await cell.send(connection, cell.whole_body(whole))


async def content_filter(connection: Any, wire: Any, cell: Any) -> None:
    body = wire.sse(*wire.chunks(finish="content_filter"))
    await cell.send(
        connection, body if cell.streamed else json.dumps(wire.completion(finish="content_filter")).encode()
    )


async def cut_by_length(connection: Any, wire: Any, cell: Any) -> None:
    body = wire.sse(*wire.chunks(finish="length"))
    await cell.send(connection, body if cell.streamed else json.dumps(wire.completion(finish="length")).encode())


async def interleaved(connection: Any, wire: Any, cell: Any) -> None:
    """Two calls whose pieces alternate, with a gap in their indices; both are good."""
    if cell.attempt > 1:
        await good(connection, wire, cell)
        return

    def piece(index: int, **function: str) -> Any:
        return {"index": index, "function": function}

    first = {"index": 0, "id": "c0", "type": "function", "function": {"name": "add", "arguments": ""}}
    second = {"index": 3, "id": "c3", "type": "function", "function": {"name": "add", "arguments": ""}}
    chunks = [
        wire.delta(tool_calls=[first]),
        wire.delta(tool_calls=[second]),
        wire.delta(tool_calls=[piece(0, arguments='{"a": ')]),
        wire.delta(tool_calls=[piece(3, arguments='{"a": ')]),
        wire.delta(tool_calls=[piece(0, arguments="1}")]),
        wire.delta(tool_calls=[piece(3, arguments="2}")]),
        wire.delta("tool_calls"),
        "[DONE]",
    ]
    await cell.send(connection, wire.sse(*chunks))


async def goes_on_after_the_end(connection: Any, wire: Any, cell: Any) -> None:
    """A whole reply on a connection that does not end."""
    await connection.send(wire.head(cell.content_type), *map(wire.chunk, cell.parts()))
    await connection.wait_closed()


wire = harness.wires.Wire()
_FAILED = {"code": "server_error", "message": "oops"}
_UNKNOWN_EVENT = {"type": "response.new_thing.delta", "delta": "??", "sequence_number": 5}


def _shuffled(cell: Any, given: list[bytes]) -> list[bytes]:
    return [given[0], *reversed(given[1:-1]), given[-1]] if cell.api == "responses" else given


def _unlike_final(cell: Any, given: list[bytes]) -> list[bytes]:
    return [part.replace(b'"delta": "h"', b'"delta": "J"') for part in given[:-1]] + given[-1:]


def _doubled(cell: Any, given: list[bytes]) -> list[bytes]:
    return [given[0], given[0], *given[1:]] if cell.api == "responses" else given


# ---- the table ------------------------------------------------------------------------------------------------------


@attrs.frozen
class Row:
    """One fault and what comes of it."""

    name: str
    act: Any
    stream: str
    """What comes of a streamed run; "" for none such."""
    plain: str | None = None
    """The same for a plain run, where it differs."""
    chat: str | None = None
    """The same for a streamed run over chat, where it differs; "" for none such."""
    chat_plain: str | None = None
    core: bool = False
    timeouts: Any = harness.LONG
    within: float = 10.0
    """Seconds the run may take."""
    closes_first: bool = False
    config: dict[str, Any] = attrs.field(factory=dict[str, Any])
    options: dict[str, Any] = attrs.field(factory=dict[str, Any])

    def expected(self, api: str, streamed: bool) -> str:
        """Return the column of a cell."""
        if streamed:
            return self.chat if api == "chat" and self.chat is not None else self.stream
        if api == "chat" and self.chat_plain is not None:
            return self.chat_plain
        if api == "chat" and self.plain is None and self.chat == "":
            return ""
        return self.plain if self.plain is not None else self.stream


SHORT: dict[str, Any] = {"timeouts": harness.SHORT, "within": 6.0}
CHAT: dict[str, Any] = {"stream": "", "plain": ""}
"""Columns of a fault that only chat has."""

ROWS = [
    # -- the connection
    Row("fin before any byte", unit.fin_at_once, "T3", core=True),
    Row("rst before any byte", unit.rst_at_once, "T3"),
    Row("fin in the head", unit.fin_in_head, "T3"),
    Row("rst in the head", rst_in_head, "T3"),
    Row("garbage for a status line", unit.garbage, "T3"),
    Row("negative length", unit.negative_length, "T3"),
    Row("rst before any byte, once", once(unit.rst_at_once), "ok2", core=True),
    Row("idle connection dropped between turns", good, "ok1", closes_first=True, core=True),
    Row("rst after the head", rst_after_head, "T3", plain="T1", core=True),
    Row("rst after the head, once", once(rst_after_head), "ok2", plain="T1"),
    Row("rst in mid event", rst_in_body, "T1", core=True),
    Row("fin in mid event", fin_in_event, "T1"),
    Row("short content-length", short_length, "T1"),
    Row("bad chunk size", bad_chunk_size, "T1"),
    Row("cut, with EOF framing", unit.cut_by_the_end, "B1", core=True),
    Row("head of 400 KB", unit.long_head, "T1"),
    # -- time
    Row("silence before the head", silence, "TO:first_event3", plain="TO:total1", **SHORT),
    Row("silence after the head", silence_after_head, "TO:first_event3", plain="TO:total1", **SHORT),
    Row("silence in mid stream", silence_in_body, "TO:idle1", plain="TO:total1", core=True, **SHORT),
    Row("silence, once", once(silence), "ok2", plain="TO:total1", **SHORT),
    Row("a head that drips", head_drips, "TO:first_event3", plain="TO:total1", **SHORT),
    Row("a body that drips", dripping(b"d"), "TO:idle1", plain="TO:total1", **SHORT),
    Row("comments for ever", dripping(b": ping\n\n"), "TO:idle1", plain="TO:total1", **SHORT),
    Row("nothing but comments", dripping(b": ping\n\n", begun=False), "TO:first_event3", plain="TO:total1", **SHORT),
    Row("deltas for ever", dripping(None), "TO:total1", **SHORT),
    Row("50 ms between events", slow, "ok1"),
    Row("a connection that does not end", goes_on_after_the_end, "ok1", plain="TO:total1", **SHORT),
    # -- the status
    *(Row(f"status {status}", replying(f"{status} No"), f"S{status}/1") for status in (400, 401, 403, 404, 413, 422)),
    *(
        Row(f"status {status}", replying(f"{status} Oops"), f"S{status}/3", core=status == 503)
        for status in (408, 409, 429, 500, 502, 503, 504, 529)
    ),
    Row("HTML error", replying("500 Oops", b"<html>oops", "text/html"), "S500/3"),
    Row("cut JSON error", replying("500 Oops", b'{"error": {"mess'), "S500/3"),
    Row("non-UTF-8 error", replying("500 Oops", b"\xff\xfe\x00"), "S500/3"),
    Row("error once", once(replying("500 Oops")), "ok2", core=True),
    Row("64 MB error body", error_of_64_mb, "S500/3"),
    Row("the key is echoed", echoes_the_key, "S401/1", core=True),
    Row("redirect to itself", replying("307 Moved", b"", "text/plain", "location: /v1/x"), "S307/1"),
    Row("redirect elsewhere", replying("307 Moved", b"", "text/plain", "location: http://127.0.0.1:9/x"), "S307/1"),
    Row("quota", replying("429 No", b'{"error": {"code": "insufficient_quota"}}'), "S429/1", core=True),
    Row("x-should-retry: false", replying("503 No", b"{}", "text/plain", "x-should-retry: false"), "S503/1"),
    Row("retry-after: 3600", replying("429 No", b"{}", "text/plain", "retry-after: 3600"), "S429/1"),
    Row("retry-after: banana", replying("429 No", b"{}", "text/plain", "retry-after: banana"), "S429/3"),
    # -- what is no reply
    Row("204", unit.no_content, "B1"),
    Row("HTML", unit.html, "B1", core=True),
    Row("an empty reply", unit.empty, "B1"),
    Row("JSON for SSE, SSE for JSON", unit.the_other_kind, "B1"),
    # -- compression and size
    Row("gzip", unit.compressed, "héllo1"),
    Row("gzip bomb", bomb, "L:1", core=True),
    Row("corrupt gzip", unit.corrupt_gzip, "T3", plain="T1"),
    Row("cut gzip", unit.cut_gzip, "T*", plain="T1"),
    Row("an event of 10 MB", large_event, "ok1"),
    Row("a line that never ends", endless_line, "L:1"),
    # -- JSON and SSE
    Row("cut JSON", unit.as_reply(b'{"type": "response.completed", "resp'), "B1", core=True),
    Row("invalid UTF-8", unit.as_reply(b'{"id": "\xff\xfe"}'), "B1"),
    Row("nesting of 100,000 arrays", unit.as_reply(b"[" * 100_000), "B1"),
    Row("nesting of 100,000 objects", unit.as_reply(b'{"a":' * 100_000), "B1"),
    Row("byte by byte", unit.byte_by_byte, "héllo1"),
    Row("CRLF, comments, BOM", unit.crlf_and_comments, "héllo1"),
    Row("lone CR", parts(lambda cell, given: [one.replace(b"\n", b"\r") for one in given]), "ok1"),
    Row(
        "data over several lines",
        parts(lambda cell, given: [re.sub(rb", \"", b',\ndata: "', one) if cell.streamed else one for one in given]),
        "ok1",
    ),
    Row(
        "a block of only retry: and id:",
        parts(lambda cell, given: [given[0], b"retry: 5\nid: 7\n\n", *given[1:]]),
        "ok1",
        plain="",
    ),
    Row("no blank line at the end", unit.no_blank_line_at_the_end, "héllo1"),
    Row("no content type", unit.no_content_type, "héllo1"),
    *(Row(f"data: {data.decode()}", unit.as_reply(data), "B1") for data in (b"null", b"42", b'"x"', b"[]", b"{}")),
    Row("members of wrong types", unit.as_reply(b'{"type": 7, "choices": 7, "output": 7}'), "B1"),
    Row(
        "null members",
        unit.as_reply(b'{"type": "response.completed", "response": null, "choices": [null], "output": [null]}'),
        "B1",
    ),
    Row(
        "a delta that is a number",
        events(
            responses=[
                {
                    "type": "response.output_text.delta",
                    "delta": 7,
                    "item_id": "x",
                    "output_index": 0,
                    "content_index": 0,
                    "sequence_number": 1,
                }
            ],
            chat=[wire.delta(content=7)],
        ),
        "B1",
        plain="",
    ),
    # -- events
    Row(
        "unknown event",
        parts(lambda cell, given: [given[0], wire.sse(_UNKNOWN_EVENT), *given[1:]]),
        "ok1",
        plain="",
        chat="",
    ),
    Row(
        "unknown item",
        response(output=[{"type": "new_thing", "id": "n1", "x": 1}, *wire.response()["output"]]),
        "ok1",
        chat="",
    ),
    Row("deltas unlike the final object", parts(_unlike_final), "ok1", plain="", chat=""),
    Row("duplicate events", parts(_doubled), "ok1", plain="", chat=""),
    Row("completed twice", parts(lambda cell, given: [*given, given[-1]]), "ok1", plain=""),
    Row("events out of order", parts(_shuffled), "ok1", plain=""),
    Row(
        "no terminal event",
        parts(lambda cell, given: given[: -1 if cell.api == "responses" else -3]),
        "B1",
        plain="",
        core=True,
    ),
    Row("only [DONE] missing", parts(lambda cell, given: given[:-1]), chat="ok1", chat_plain="", **CHAT),
    Row(
        "response.failed",
        events(
            responses=[
                {
                    "type": "response.failed",
                    "sequence_number": 1,
                    "response": wire.response(status="failed", error=_FAILED),
                }
            ],
            chat=[{"error": _FAILED}],
        ),
        "B1:server_error",
        core=True,
    ),
    Row(
        "response.incomplete",
        events(
            responses=[
                {
                    "type": "response.incomplete",
                    "sequence_number": 1,
                    "response": wire.response(status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
                }
            ],
            chat=[{}],
        ),
        "B1:max_output_tokens",
        chat="",
    ),
    Row(
        "an error event",
        events(responses=[{"type": "error", "error": _FAILED}], chat=[{"error": _FAILED}]),
        "B1:server_error",
    ),
    # -- items
    Row("one call id twice", calling(("add", '{"a": 1}', "c"), ("add", '{"a": 2}', "c")), "B1", core=True),
    Row("an empty call id", calling(("add", '{"a": 1}', "")), "B1", core=True),
    Row("one item id twice", same_item_id, "ok1", chat=""),
    Row("empty output", response(output=[]), "empty1", chat=""),
    Row("a refusal", refuses, "R1"),
    Row("no usage", using(None), "ok1"),
    Row(
        "negative usage",
        using(
            {"input_tokens": -5, "output_tokens": -1, "total_tokens": -6, "prompt_tokens": -5, "completion_tokens": -1}
        ),
        "ok1",
    ),
    Row(
        "usage of 2**70",
        using(
            {
                "input_tokens": 2**70,
                "output_tokens": 2**70,
                "total_tokens": 2**71,
                "prompt_tokens": 2**70,
                "completion_tokens": 2**70,
            }
        ),
        "ok1",
    ),
    Row(
        "usage in strings",
        using(
            {
                "input_tokens": "a",
                "output_tokens": "b",
                "total_tokens": "c",
                "prompt_tokens": "a",
                "completion_tokens": "b",
            }
        ),
        "ok1",
    ),
    Row("usage is a list", using([1, 2]), "ok1|B1"),
    # -- arguments
    Row("cut arguments", arguments('{"a": 1, "b'), "M2", core=True),
    Row("arguments of a wrong type", arguments('{"a": "one"}'), "M2"),
    Row("arguments that are no object", arguments("[1, 2]"), "M2"),
    Row("arguments with NaN", arguments('{"a": NaN}'), "M2"),
    Row("arguments with 6,000 digits", arguments('{"a": ' + "9" * 6000 + "}"), "M2"),
    Row("arguments nested 100,000 deep", arguments('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}"), "M2", core=True),
    Row("arguments with a lone surrogate", arguments('{"a": "\\ud800"}'), "M2"),
    Row("arguments with NUL", arguments('{"a": "\\u0000"}'), "M2"),
    Row("a lone surrogate in the arguments text", arguments('{"a": "\ud800"}'), "M2"),
    Row("missing arguments", arguments("{}"), "M2"),
    Row("extra arguments", arguments('{"a": 1, "self": 2, "__class__": 3}'), "M2|ran2"),
    Row("5 MB of arguments", arguments('{"a": 1, "b": 2, "c": "' + "x" * 5_000_000 + '"}'), "M2|ran2|L:2"),
    Row("an unknown tool", calling(("nope", "{}", "call_2")), "B1", core=True),
    Row("a tool name of 10,000 characters with line ends", calling(("x\n" * 5000, "{}", "call_2")), "B1"),
    Row("1,000 parallel calls", calling(*(("add", f'{{"a": {at}}}', f"c{at}") for at in range(1000))), "ran2"),
    Row("2,000 parallel calls", calling(*(("add", f'{{"a": {at}}}', f"c{at}") for at in range(2000))), "L:1"),
    Row("tool calls for ever", calling(("add", '{"a": 1}', "c"), then_good=False), "MT9", core=True),
    # -- chat only
    Row(
        "choices are empty",
        literally(wire.sse({**wire.delta(), "choices": []}, "[DONE]")),
        chat="B1",
        chat_plain="",
        **CHAT,
    ),
    Row("finish_reason length", cut_by_length, chat="B1", chat_plain="B1", **CHAT),
    Row("finish_reason content_filter", content_filter, chat="R1", chat_plain="R1", **CHAT),
    Row("interleaved calls with a gap", interleaved, chat="ran2", chat_plain="", **CHAT),
]


def _cases() -> list[Any]:
    cases: list[Any] = []
    for at, row in enumerate(ROWS):
        cells = [(api, streamed) for api, streamed in CELLS if row.expected(api, streamed)]
        whole = [(cell, backend) for cell in cells for backend in ("asyncio", "trio")]
        chosen = whole if ALL or row.core else [whole[at % len(whole)]]
        cases += [
            pytest.param(row, api, streamed, backend, id=f"{row.name}-{Cell(api, streamed)!r}-{backend}")
            for (api, streamed), backend in chosen
        ]
    return cases


@pytest.mark.parametrize(("row", "api", "streamed", "anyio_backend"), _cases(), indirect=["anyio_backend"])
async def test_every_fault_becomes_what_the_table_says(row: Row, api: str, streamed: bool) -> None:
    cell = Cell(api, streamed)
    async with faulty_run(
        cell,
        row.act,
        timeouts=row.timeouts,
        config=row.config,
        closes_first=row.closes_first,
        **row.options,
    ) as seen:
        expected = row.expected(api, streamed)
        got = _code(seen)
        assert any(_same(one, got) for one in expected.split("|")), f"{got}, expected {expected}: {seen.error!r}"
        assert seen.seconds < row.within
        requests = seen.attempts + 1
        if seen.error is None:
            assert seen.result.context_wrapper.usage.requests == requests
            assert 3 <= seen.result.context_wrapper.usage.total_tokens < 2**53
            return
        usage = seen.run_data.context_wrapper.usage
        # Replies that arrived whole count, and attempts that were tried again; the last one, if it failed, does not
        arrived = len(seen.run_data.raw_responses)
        assert arrived <= usage.requests <= requests
        assert 0 <= usage.total_tokens < 2**53
        if not isinstance(seen.error, MaxTurnsExceeded):
            assert len(seen.calls) == 1
        await check_failure(seen, resumes=not isinstance(seen.error, MaxTurnsExceeded))


def _code(seen: Any) -> str:
    """Return what came of a run the way the table writes it."""
    error, count = seen.error, seen.attempts
    match error:
        case None:
            output = seen.result.final_output
            told = len(seen.calls) > 1
            if count == 2 and len(seen.result.raw_responses) == 3:
                return "ran2" if told else "M2"
            return {"hello": "ok", "": "empty", "héllo 😀": "héllo"}.get(output, repr(output)) + str(count)
        case ModelTransportError():
            return f"T{count}"
        case ModelStatusError():
            assert len(error.body) <= 65536
            return f"S{error.status}/{count}"
        case ModelTimeoutError():
            return f"TO:{error.limit}{count}"
        case ModelLimitError():
            return f"L:{count}"
        case ModelBehaviorError():
            return f"B{count}:{error}"
        case ModelRefusalError():
            return f"R{count}"
        case MaxTurnsExceeded():
            return f"MT{count}"
        case _:
            return f"foreign {error!r}"


def _same(expected: str, got: str) -> bool:
    if expected == "T*":
        return got.startswith("T") and not got.startswith("TO")
    if expected.startswith("B"):
        code, _, said = expected.partition(":")
        return got.startswith(code + ":") and said in got
    return got == expected


async def test_a_refused_connection_is_tried_again_and_leaves_the_first_turn(anyio_backend_name: str) -> None:
    for api, streamed in CELLS:
        cell = Cell(api, streamed)
        async with cell.wire.serving(unit.rst_at_once) as gone:
            pass

        async def handle(connection: Any, cell: Any = cell) -> None:
            call = {"name": "transfer_to_second", "arguments": "{}", "call_id": "call_1"}
            while await connection.request() is not None:
                await cell.send(connection, cell.calls_body([call]))

        async with cell.wire.serving(handle) as server:
            settings = ModelSettings(retry=harness.SOON)
            second = Agent("second", model=cell.model(gone), model_settings=settings)
            first_model = cell.model(server)
            first = Agent("first", model=first_model, handoffs=[second])
            with pytest.raises(ModelTransportError, match="no connection to") as caught:
                if streamed:
                    async with Runner.run_streamed(first, "hi") as result:
                        async for _ in result.stream_events():
                            pass
                else:
                    await Runner.run(first, "hi")
            assert not caught.value.request_sent
            data = caught.value.run_data
            assert data is not None
            assert [item.type for item in data.new_items] == ["handoff_call_item", "handoff_output_item"]
            assert data.last_agent is second
            assert data.context_wrapper.usage.requests == 3  # one reply, and two attempts that were tried again
            await first_model.close()


async def test_every_default_limit_of_time_is_finite() -> None:
    limits = Timeouts()
    assert None not in (limits.connect, limits.first_event, limits.idle, limits.total)
