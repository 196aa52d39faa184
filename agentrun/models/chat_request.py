"""Requests of Chat Completions: chat messages and tools out of Responses items. No I/O.

Source: OpenAI API reference, "Chat completions"; models, "Chat Completions".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from agentrun._codec import as_dict
from agentrun._exceptions import UserError
from agentrun._settings import MCPToolChoice
from agentrun.models._json import Json, encode
from agentrun.models.responses_wire import check_choice, reasoning, tool_definitions, with_extras

if TYPE_CHECKING:
    from agentrun._handoff import Handoff
    from agentrun._responses import TResponseInputItem
    from agentrun._settings import ModelSettings
    from agentrun._tool import Tool
    from agentrun.agent_output import AgentOutputSchemaBase

__all__ = ["REASONING_FIELDS", "messages", "request_body"]

REASONING_FIELDS = ("reasoning_content", "reasoning")
"""The members that providers put reasoning in: the first as a summary is shown, the second in full."""


def request_body(
    model: str,
    system_instructions: str | None,
    input: str | list[TResponseInputItem],
    settings: ModelSettings,
    tools: Sequence[Tool],
    output_schema: AgentOutputSchemaBase | None,
    handoffs: Sequence[Handoff[Any, Any]],
    *,
    stream: bool,
    completion_tokens: bool,
) -> bytes:
    """Return the body of a request.

    Args:
        model: and the six after it: see `Model.get_response`.
        system_instructions: see there.
        input: see there.
        settings: see there.
        tools: see there.
        output_schema: see there.
        handoffs: see there.
        stream: whether to ask for a stream.
        completion_tokens: whether the output limit is called `max_completion_tokens`, as OpenAI's own models want it,
            or `max_tokens`, as everybody else does.

    Raises:
        UserError: something in it cannot be sent over this API.
    """
    offered = tool_definitions(tools, handoffs)
    definitions = [_function(definition) for definition in offered]
    found = reasoning(settings) or {}
    members: Json = {
        "model": model,
        "tools": definitions or None,
        "tool_choice": _tool_choice(settings, offered),
        "parallel_tool_calls": settings.parallel_tool_calls if definitions else None,
        "response_format": _response_format(output_schema),
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "frequency_penalty": settings.frequency_penalty,
        "presence_penalty": settings.presence_penalty,
        "max_completion_tokens" if completion_tokens else "max_tokens": settings.max_tokens,
        "logprobs": True if settings.top_logprobs is not None else None,
        "top_logprobs": settings.top_logprobs,
        "reasoning_effort": found.get("effort"),
        "verbosity": settings.verbosity,
        "store": settings.store,
        "metadata": settings.metadata,
        "prompt_cache_retention": settings.prompt_cache_retention,
        "stream": True if stream else None,
        "stream_options": {"include_usage": True} if stream and settings.include_usage is not False else None,
    }
    sent = messages(system_instructions, input)
    return with_extras(members, settings, "messages", [encode(message, "a message") for message in sent])


def _function(definition: Json) -> Json:
    if definition.get("type") != "function":
        raise UserError(
            f"a tool of type {definition.get('type')!r} is run by the provider and only exists in the Responses API; "
            "use OpenAIResponsesModel, or leave the tool out"
        )
    wanted = ("name", "description", "parameters", "strict")
    function = {name: definition[name] for name in wanted if definition.get(name) is not None}
    return {"type": "function", "function": function}


def _tool_choice(settings: ModelSettings, definitions: Sequence[Json]) -> Any | None:
    choice = settings.tool_choice
    if isinstance(choice, MCPToolChoice):
        raise UserError(
            f"tool_choice is {choice!r}, and MCP servers that the provider calls only exist in the Responses API; use "
            "OpenAIResponsesModel, or name a function tool"
        )
    if not isinstance(choice, str) or choice in ("auto", "required", "none"):
        return choice
    check_choice(choice, settings, definitions)
    return {"type": "function", "function": {"name": choice}}


def _response_format(output_schema: AgentOutputSchemaBase | None) -> Json | None:
    if output_schema is None or output_schema.is_plain_text():
        return None
    schema = {
        "name": "final_output",
        "strict": output_schema.is_strict_json_schema(),
        "schema": output_schema.json_schema(),
    }
    return {"type": "json_schema", "json_schema": schema}


def messages(system_instructions: str | None, input: str | list[TResponseInputItem]) -> list[Json]:
    """Return a conversation as chat messages.

    What an assistant said and the calls it made in one turn become one message, as the API wants it. Images and files
    in a tool's output follow the outputs of that turn in a user's message, since tool messages hold text only.
    Reasoning is left out, but for what chat models themselves thought since the last message of the user: those that
    think between calls want it back.

    Raises:
        UserError: an item or a part has no form in this API.
    """
    writer = _Messages(system_instructions)
    items: Sequence[TResponseInputItem] = [{"role": "user", "content": input}] if isinstance(input, str) else input
    last = max((at for at, item in enumerate(items) if item.get("role") == "user"), default=-1)
    for at, item in enumerate(items):
        writer.add(item, is_current=at > last)
    writer.end_turn()
    return writer.messages


class _Messages:
    """Writes chat messages out of input items, one after another."""

    def __init__(self, system_instructions: str | None) -> None:
        self.messages: list[Json] = []
        if system_instructions:
            self.messages.append({"role": "system", "content": system_instructions})
        # Invariant: an assistant's message that is still open is also the last of `messages`
        self._open: Json | None = None
        self._thought: tuple[str, str] | None = None
        self._attachments: list[Json] = []

    def add(self, item: TResponseInputItem, *, is_current: bool) -> None:
        """Append one item; `is_current` says that no message of the user follows it."""
        kind = item.get("type", "message")
        if kind == "message" and "role" in item:
            self._message(item)
        elif kind == "function_call":
            self._call(item)
        elif kind == "function_call_output":
            self._output(item)
        elif kind == "reasoning":
            self._reasoning(item, is_current)
        else:
            raise UserError(
                f"an input item of type {kind!r} has no form in the Chat Completions API; use OpenAIResponsesModel, or "
                "leave the item out with an input filter"
            )

    def end_turn(self) -> None:
        """Close the assistant's message, and send what its tools gave back beside text."""
        self._open = None
        if self._attachments:
            self.messages.append({"role": "user", "content": self._attachments})
            self._attachments = []

    def _message(self, item: TResponseInputItem) -> None:
        role, content = item["role"], item.get("content")
        if role != "assistant":
            if role not in ("user", "system", "developer"):
                raise UserError(f"a message must have the role user, system, developer or assistant, got {role!r}")
            self.end_turn()
            self._thought = None
            sent: Any = content if isinstance(content, str) else [_part(part) for part in _list(content, "content")]
            self.messages.append({"role": role, "content": sent})
            return
        texts, refusals = _assistant_texts(content)
        if self._open is not None and ("content" in self._open or "tool_calls" in self._open):
            self.end_turn()
        message = self._assistant()
        if texts or not refusals:
            message["content"] = "".join(texts)
        if refusals:
            message["refusal"] = "".join(refusals)

    def _assistant(self) -> Json:
        if self._open is None:
            self.end_turn()
            self._open = {"role": "assistant"}
            self.messages.append(self._open)
            if self._thought is not None:
                field, text = self._thought
                self._open[field] = text
                self._thought = None
        return self._open

    def _call(self, item: TResponseInputItem) -> None:
        if self._thought is not None and self._open is not None and "tool_calls" in self._open:
            self.end_turn()  # it thought again, so these calls belong to another reply
        message = self._assistant()
        calls = message.setdefault("tool_calls", [])
        # Some servers refuse a message without the member, and OpenAI takes null
        message.setdefault("content", None)
        function = {"name": item.get("name"), "arguments": item.get("arguments") or "{}"}
        calls.append({"id": item.get("call_id"), "type": "function", "function": function})

    def _output(self, item: TResponseInputItem) -> None:
        self._open = None
        output = item.get("output")
        content: Any = output
        if not isinstance(output, str):
            parts = [_part(part) for part in _list(output, "output")]
            content = [part for part in parts if part["type"] == "text"]
            attached = [part for part in parts if part["type"] != "text"]
            if attached:
                name = f"Attached to the output of call {item.get('call_id')}:"
                self._attachments += [{"type": "text", "text": name}, *attached]
                content = content or "(see the attachment in the next message)"
        self.messages.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": content})

    def _reasoning(self, item: TResponseInputItem, is_current: bool) -> None:
        made_by = item.get("provider_data")
        if not is_current or not isinstance(made_by, Mapping):
            return
        field = cast("Mapping[str, Any]", made_by).get("field")
        parts = [as_dict(part) for name in ("summary", "content") for part in item.get(name) or ()]
        if field in REASONING_FIELDS and parts:
            self._thought = (field, "".join(str(part.get("text") or "") for part in parts))


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise UserError(f"the {what} of an input item must be a string or a list of parts, got {value!r}")
    return list(cast("Sequence[Any]", value))


def _assistant_texts(content: Any) -> tuple[list[str], list[str]]:
    """Return the texts and the refusals of an assistant's message."""
    if content is None or isinstance(content, str):
        return [content or ""], []
    texts: list[str] = []
    refusals: list[str] = []
    for one in _list(content, "content"):
        part = as_dict(one)
        if part.get("type") == "refusal":
            refusals.append(str(part.get("refusal") or ""))
        elif part.get("type") in ("output_text", "input_text", "text"):
            texts.append(str(part.get("text") or ""))
        else:
            raise UserError(f"a part of type {part.get('type')!r} of an assistant's message has no form in this API")
    return texts, refusals


def _part(one: Any) -> Json:
    """Return a part of a message, or of a tool's output, in chat form."""
    part = as_dict(one)
    kind = part.get("type")
    if kind in ("input_text", "output_text", "text"):
        return {"type": "text", "text": part.get("text") or ""}
    if kind == "input_image":
        url = part.get("image_url")
        if not isinstance(url, str) or not url:
            raise UserError("an image for the Chat Completions API needs an image_url; it knows no file_id of images")
        image = {"url": url}
        if part.get("detail"):
            image["detail"] = part["detail"]
        return {"type": "image_url", "image_url": image}
    if kind == "input_file":
        if not part.get("file_data") and not part.get("file_id"):
            raise UserError("a file for the Chat Completions API needs file_data or a file_id; it fetches no file_url")
        file = {name: part[name] for name in ("file_data", "file_id", "filename") if part.get(name)}
        return {"type": "file", "file": file}
    if kind in ("input_audio", "image_url", "file"):
        return part
    raise UserError(
        f"a part of type {kind!r} has no form in the Chat Completions API; expected input_text, input_image, "
        "input_file or input_audio"
    )
