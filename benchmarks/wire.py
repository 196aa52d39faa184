"""What the model server of the benchmarks says, rendered once: server-sent events of both OpenAI wire formats.

A delta has room for a stamp of 20 digits, the server's monotonic clock in nanoseconds. The clock is the same for all
processes of a machine, so that a client can tell how late it sees a delta.
"""

from __future__ import annotations

import json
from typing import Any

STAMP = "00000000000000000000"
"""The place of the stamp in a delta, and what stands there when nobody asked for one."""
TEXT = f"{STAMP} token"
"""The text of every delta."""

_MESSAGE_ID = "msg_0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f6071"
_RESPONSE_ID = "resp_0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f607"


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _chunk(text: str) -> bytes:
    """Return one HTTP chunk."""
    data = text.encode()
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"transfer-encoding: chunked\r\nx-request-id: req_0123456789\r\n\r\n"
)
END = b"0\r\n\r\n"


class Wire:
    """One reply of a wire format as HTTP chunks, one server-sent event in each."""

    def __init__(self, first: list[bytes], delta: bytes, last: list[bytes]) -> None:
        self.first = first
        self.delta = delta
        self.last = last
        self.head, self.tail = delta.split(STAMP.encode())

    def stamped(self, nanoseconds: int) -> bytes:
        """Return a delta whose stamp says `nanoseconds`."""
        return self.head + b"%020d" % nanoseconds + self.tail


# ---- Responses -------------------------------------------------------------------------------------------------------


def response(status: str, output: list[Any]) -> dict[str, Any]:
    """Return the response object, with the members that the API echoes."""
    usage = {
        "input_tokens": 12,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 15,
    }
    return {
        "id": _RESPONSE_ID,
        "object": "response",
        "created_at": 1790000000,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": "You are a helpful assistant.",
        "max_output_tokens": None,
        "max_tool_calls": None,
        "model": "bench",
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": usage if status == "completed" else None,
        "user": None,
        "metadata": {},
    }


def message(text: str = "done") -> dict[str, Any]:
    """Return a message item of a reply."""
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": text}
    return {"id": _MESSAGE_ID, "type": "message", "status": "completed", "content": [part], "role": "assistant"}


def call(index: int, name: str = "look_up") -> dict[str, Any]:
    """Return a function call item of a reply."""
    return {
        "id": f"fc_{index:048d}",
        "type": "function_call",
        "status": "completed",
        "arguments": _compact({"key": f"k{index}"}),
        "call_id": f"call_{index:024d}",
        "name": name,
    }


def response_events(events: list[dict[str, Any]]) -> list[str]:
    """Return server-sent events, numbered."""
    return [
        f"event: {event['type']}\ndata: {_compact({**event, 'sequence_number': number})}\n\n"
        for number, event in enumerate(events)
    ]


def responses_wire() -> Wire:
    """Return the reply of the Responses API to a plain question."""
    place = {"item_id": _MESSAGE_ID, "output_index": 0, "content_index": 0}
    empty = {"type": "output_text", "annotations": [], "logprobs": [], "text": ""}
    opened = {"id": _MESSAGE_ID, "type": "message", "status": "in_progress", "content": [], "role": "assistant"}
    rendered = response_events(
        [
            {"type": "response.created", "response": response("in_progress", [])},
            {"type": "response.in_progress", "response": response("in_progress", [])},
            {"type": "response.output_item.added", "output_index": 0, "item": opened},
            {"type": "response.content_part.added", **place, "part": empty},
            {"type": "response.output_text.delta", **place, "delta": TEXT, "logprobs": [], "obfuscation": "8QzVbR"},
            {"type": "response.output_text.done", **place, "logprobs": [], "text": "done"},
            {"type": "response.content_part.done", **place, "part": {**empty, "text": "done"}},
            {"type": "response.output_item.done", "output_index": 0, "item": message()},
            {"type": "response.completed", "response": response("completed", [message()])},
        ]
    )
    chunks = [_chunk(text) for text in rendered]
    return Wire(chunks[:4], chunks[4], chunks[5:])


def responses_calls(first: int, count: int) -> Wire:
    """Return the reply that calls a tool `count` times; its delta is that of arguments, and is sent once."""
    events: list[dict[str, Any]] = [{"type": "response.created", "response": response("in_progress", [])}]
    items = [call(first + number) for number in range(count)]
    for number, item in enumerate(items):
        place = {"item_id": item["id"], "output_index": number}
        added = {**item, "arguments": "", "status": "in_progress"}
        events += [
            {"type": "response.output_item.added", "output_index": number, "item": added},
            {"type": "response.function_call_arguments.delta", **place, "delta": item["arguments"]},
            {"type": "response.function_call_arguments.done", **place, "arguments": item["arguments"]},
            {"type": "response.output_item.done", "output_index": number, "item": item},
        ]
    events.append({"type": "response.completed", "response": response("completed", items)})
    chunks = [_chunk(text) for text in response_events(events)]
    return Wire(chunks, STAMP.encode(), [])


# ---- Chat Completions ------------------------------------------------------------------------------------------------


def _chat_chunk(choices: list[Any], usage: Any = None) -> bytes:
    data = {
        "id": "chatcmpl-0a1b2c3d4e5f60718293a4b5c6d7e",
        "object": "chat.completion.chunk",
        "created": 1790000000,
        "model": "bench",
        "service_tier": "default",
        "system_fingerprint": "fp_0123456789",
        "choices": choices,
        "usage": usage,
    }
    return _chunk(f"data: {_compact(data)}\n\n")


def _choice(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}


def chat_wire() -> Wire:
    """Return the reply of Chat Completions to a plain question."""
    usage = {
        "prompt_tokens": 12,
        "completion_tokens": 3,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }
    last = [_chat_chunk([_choice({}, "stop")]), _chat_chunk([], usage), _chunk("data: [DONE]\n\n")]
    first = [_chat_chunk([_choice({"role": "assistant", "content": "", "refusal": None})])]
    return Wire(first, _chat_chunk([_choice({"content": TEXT})]), last)


def chat_calls(first: int, count: int) -> Wire:
    """Return the reply that calls a tool `count` times."""
    chunks = [_chat_chunk([_choice({"role": "assistant", "content": None, "refusal": None})])]
    for number in range(count):
        item = call(first + number)
        function = {"name": item["name"], "arguments": item["arguments"]}
        calls = [{"index": number, "id": item["call_id"], "type": "function", "function": function}]
        chunks.append(_chat_chunk([_choice({"tool_calls": calls})]))
    chunks += [_chat_chunk([_choice({}, "tool_calls")]), _chat_chunk([]), _chunk("data: [DONE]\n\n")]
    return Wire(chunks, STAMP.encode(), [])
