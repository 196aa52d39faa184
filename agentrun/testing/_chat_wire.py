"""A finished Responses object in the wire format of Chat Completions, and a chat conversation as Responses items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agentrun.testing._replay import argument_pieces, text_pieces


def _usage(usage: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "prompt_tokens": usage["input_tokens"],
        "completion_tokens": usage["output_tokens"],
        "total_tokens": usage["total_tokens"],
        "prompt_tokens_details": {"cached_tokens": usage["input_tokens_details"]["cached_tokens"], "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage["output_tokens_details"]["reasoning_tokens"],
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _envelope(response: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return {
        "id": response["id"] or "chatcmpl-scripted",
        "object": kind,
        "created": int(response["created_at"]),
        "model": response["model"],
        "service_tier": "default",
        "system_fingerprint": None,
    }


def _parts(output: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield the texts of a reply in order, each with the name of its member in a chat message."""
    for item in output:
        if item.get("type") == "reasoning":
            for part in [*(item.get("summary") or ()), *(item.get("content") or ())]:
                yield "reasoning_content", part.get("text") or ""
        elif item.get("type") == "message":
            for part in item.get("content") or ():
                if part.get("type") == "refusal":
                    yield "refusal", part.get("refusal") or ""
                else:
                    yield "content", part.get("text") or ""


def _calls(output: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [item for item in output if item.get("type") == "function_call"]


def chat_completion(response: Mapping[str, Any]) -> dict[str, Any]:
    """Return the reply as a whole chat completion; items that chat does not know are left out."""
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None, "annotations": []}
    for name, text in _parts(response["output"]):
        message[name] = (message.get(name) or "") + text
    calls = _calls(response["output"])
    if calls:
        message["tool_calls"] = [
            {
                "id": call["call_id"],
                "type": "function",
                "function": {"name": call["name"], "arguments": call["arguments"]},
            }
            for call in calls
        ]
    finish = "tool_calls" if calls else "stop"
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    return {**_envelope(response, "chat.completion"), "choices": [choice], "usage": _usage(response["usage"])}


def chat_chunks(response: Mapping[str, Any], *, include_usage: bool) -> Iterator[dict[str, Any]]:
    """Yield the reply as the chunks of a chat stream: texts in words, arguments in pieces, then the finish reason.

    Args:
        response: the finished Responses object.
        include_usage: end with a chunk without choices that holds the usage, as `stream_options` asks for.
    """
    envelope = _envelope(response, "chat.completion.chunk")
    if include_usage:
        envelope["usage"] = None

    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return {**envelope, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]}

    calls = _calls(response["output"])
    has_text = any(name == "content" for name, _ in _parts(response["output"]))
    yield chunk({"role": "assistant", "content": "" if has_text else None, "refusal": None})
    for name, text in _parts(response["output"]):
        for piece in text_pieces(text):
            yield chunk({name: piece})
    for index, call in enumerate(calls):
        opening = {"name": call["name"], "arguments": ""}
        yield chunk({"tool_calls": [{"index": index, "id": call["call_id"], "type": "function", "function": opening}]})
        for piece in argument_pieces(call["arguments"]):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield chunk({}, "tool_calls" if calls else "stop")
    if include_usage:
        yield {**envelope, "choices": [], "usage": _usage(response["usage"])}


def chat_conversation(messages: Sequence[Mapping[str, Any]]) -> tuple[str | None, list[dict[str, Any]]]:
    """Return the leading instructions of a chat conversation, and the rest of it as Responses input items."""
    instructions: str | None = None
    items: list[dict[str, Any]] = []
    for place, message in enumerate(messages):
        role, content = message.get("role"), message.get("content")
        if place == 0 and role in ("system", "developer"):
            parts = [{"text": content}] if isinstance(content, str) else content or ()
            instructions = "".join(part.get("text") or "" for part in parts)
        elif role == "tool":
            items.append({"type": "function_call_output", "call_id": message.get("tool_call_id"), "output": content})
        else:
            if content:
                items.append({"type": "message", "role": role, "content": content})
            for call in message.get("tool_calls") or ():
                function: dict[str, Any] = call.get("function") or {}
                items.append(
                    {
                        "type": "function_call",
                        "call_id": call.get("id"),
                        "name": function.get("name"),
                        "arguments": function.get("arguments"),
                    }
                )
    return instructions, items
