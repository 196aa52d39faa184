"""Requests of Chat Completions: chat messages and tools out of Responses items. No I/O.

Source: OpenAI API reference, "Chat completions"; models, "Chat Completions".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import attrs

from agentrun._codec import as_dict
from agentrun._exceptions import UserError
from agentrun._function_tool import FunctionTool
from agentrun._settings import MCPToolChoice
from agentrun.models._json import Json, encode
from agentrun.models.reasoning_content_replay import (
    ReasoningContentReplayContext,
    ReasoningContentSource,
    ShouldReplayReasoningContent,
    default_should_replay_reasoning_content,
)
from agentrun.models.responses_wire import check_choice, reasoning, tool_definitions, with_extras

if TYPE_CHECKING:
    from agentrun._handoff import Handoff
    from agentrun._hosted_tools import Tool
    from agentrun._responses import TResponseInputItem
    from agentrun._settings import ModelSettings
    from agentrun.agent_output import AgentOutputSchemaBase

__all__ = ["REASONING_MARK", "Target", "messages", "request_body"]

REASONING_MARK = "_chat_completions_reasoning_field"
"""The member of a reasoning item's `provider_data` that says in which member of a reply it came: `reasoning_content`,
which becomes a summary, or `reasoning`, which becomes the full text."""

_OMITTED = "[tool output omitted]"


@attrs.frozen(eq=False, repr=False)
class Target:
    """Whom a request is for."""

    model: str
    base_url: str | None = None
    official: bool = False
    """Whether it is OpenAI itself, which has defaults, and a name for the output limit, that others do not know."""
    strict: bool = False
    """Whether what the API has no form for is refused also where it could be left out."""
    should_replay: ShouldReplayReasoningContent | None = None
    """Decides which reasoning goes back as `reasoning_content`; None for what is known of the models."""


def request_body(
    target: Target,
    system_instructions: str | None,
    input: str | list[TResponseInputItem],
    settings: ModelSettings,
    tools: Sequence[Tool],
    output_schema: AgentOutputSchemaBase | None,
    handoffs: Sequence[Handoff[Any, Any]],
    *,
    stream: bool,
) -> bytes:
    """Return the body of a request.

    Args:
        target: the model it is for.
        system_instructions: and the five after it: see `Model.get_response`.
        input: see there.
        settings: see there.
        tools: see there.
        output_schema: see there.
        handoffs: see there.
        stream: whether to ask for a stream.

    Raises:
        UserError: something in it cannot be sent over this API.
        TypeError: `extra_args` has a member that is set elsewhere too.
    """
    _check_tools(tools)
    offered = tool_definitions(tools, handoffs)
    definitions = [_function(definition) for definition in offered]
    # OpenAI keeps replies of the Responses API unless told otherwise, so those of this API are kept as well
    store = True if settings.store is None and target.official else settings.store
    found = reasoning(settings) or {}
    members: Json = {
        "model": target.model,
        "tools": definitions or None,
        "tool_choice": _tool_choice(settings, offered),
        "parallel_tool_calls": settings.parallel_tool_calls if definitions else None,
        "response_format": _response_format(output_schema),
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "frequency_penalty": settings.frequency_penalty,
        "presence_penalty": settings.presence_penalty,
        # Models of OpenAI that reason refuse `max_tokens`; nobody else knows the new name for sure
        "max_completion_tokens" if target.official else "max_tokens": settings.max_tokens,
        "top_logprobs": settings.top_logprobs,
        "reasoning_effort": found.get("effort"),
        "verbosity": settings.verbosity,
        "store": store,
        "metadata": settings.metadata,
        "prompt_cache_retention": settings.prompt_cache_retention,
        "prompt_cache_options": settings.prompt_cache_options,
        "stream": True if stream else None,
        "stream_options": {"include_usage": True} if stream and settings.include_usage is not False else None,
    }
    if settings.top_logprobs is not None and "logprobs" not in (settings.extra_args or {}):
        members["logprobs"] = True
    sent = messages(system_instructions, input, target)
    return with_extras(members, settings, "messages", [encode(message, "a message") for message in sent])


def _check_tools(tools: Sequence[Tool]) -> None:
    for tool in tools:
        if not isinstance(tool, FunctionTool):
            continue
        for feature, used in (
            ("tool_namespace()", tool.namespace is not None),
            ("defer_loading", tool.defer_loading),
            ("allowed_callers", tool.allowed_callers is not None),
            ("output_json_schema", tool.output_json_schema is not None),
        ):
            if used:
                raise UserError(
                    f"tool {tool.qualified_name!r} has {feature}, which only exists in the Responses API; use "
                    "OpenAIResponsesModel, or declare the tool without it"
                )


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


def messages(system_instructions: str | None, input: str | list[TResponseInputItem], target: Target) -> list[Json]:
    """Return a conversation as chat messages.

    What an assistant said and the calls it made in one turn become one message, as the API wants it. Images and files
    in a tool's output follow the outputs of that turn in a user's message, since tool messages hold text only.
    Reasoning goes back where `target.should_replay`, or what is known of the models, says so; and to the model that
    made it while the turn goes on, since those that think between calls want it back.

    Raises:
        UserError: an item or a part has no form in this API.
    """
    writer = _Messages(system_instructions, target)
    items: Sequence[TResponseInputItem] = [{"role": "user", "content": input}] if isinstance(input, str) else input
    last = max((at for at, item in enumerate(items) if item.get("role") == "user"), default=-1)
    for at, item in enumerate(items):
        writer.add(item, is_current=at > last)
    writer.end_turn()
    return writer.messages


class _Messages:
    """Writes chat messages out of input items, one after another."""

    def __init__(self, system_instructions: str | None, target: Target) -> None:
        self.messages: list[Json] = []
        if system_instructions:
            self.messages.append({"role": "system", "content": system_instructions})
        self._target = target
        # Invariant: an assistant's message that is still open is also the last of `messages`
        self._open: Json | None = None
        self._thoughts: dict[str, Any] = {}
        self._attachments: list[Json] = []

    def add(self, item: TResponseInputItem, *, is_current: bool) -> None:
        """Append one item; `is_current` says that no message of the user follows it."""
        kind = item.get("type", "message")
        if kind == "message" and "role" in item:
            self._message(item)
        elif kind == "function_call":
            self._call(item)
        elif kind == "file_search_call":
            queries: Json = {"queries": item.get("queries") or [], "status": item.get("status")}
            self._add_call(item.get("id"), "file_search_call", json.dumps(queries))
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
        self._close()
        self._thoughts = {}
        if self._attachments:
            self.messages.append({"role": "user", "content": self._attachments})
            self._attachments = []

    def _close(self) -> None:
        if self._open is not None and not ("content" in self._open or "refusal" in self._open):
            self._open["content"] = ""  # a message of nothing at all is refused
        self._open = None

    def _message(self, item: TResponseInputItem) -> None:
        role, content = item["role"], item.get("content")
        if role in ("user", "system", "developer"):
            self.end_turn()
            self.messages.append({"role": role, "content": self._content(content, role)})
        elif role != "assistant":
            raise UserError(f"a message must have the role user, system, developer or assistant, got {role!r}")
        elif "id" in item or _is_output(content):
            self._said(content)
        else:  # somebody wrote it, so it belongs to no turn of calls
            self.end_turn()
            self.messages.append({"role": role, "content": self._content(content, role)})

    def _content(self, content: Any, role: str) -> str | list[Json]:
        if content is None or isinstance(content, str):
            return content or ""
        parts = [_part(part) for part in _list(content, "content")]
        for part in parts:
            if part["type"] == "video_url" and (role != "user" or self._target.official):
                raise UserError(
                    f"a video in a message of the {role} cannot be sent to {self._target.model!r}; only some providers "
                    "take it, in messages of the user"
                )
        return parts if role == "user" else [part for part in parts if part["type"] == "text"]

    def _said(self, content: Any) -> None:
        """Add what the assistant said; a reply may name its calls first."""
        texts, refusal = _assistant_texts(content)
        message = self._open
        calls = message is not None and message.get("tool_calls")
        if message is None or not calls or message.get("content") is not None or "refusal" in message:
            if message is not None and not calls:
                self._thoughts = {}  # they were for a message that made no calls
            thoughts = self._thoughts
            self.end_turn()
            self._thoughts = thoughts
            message = self._open = {"role": "assistant"}
            self.messages.append(message)
        if texts:
            message["content"] = "\n".join(texts)
        if refusal is not None:
            message["refusal"] = refusal
        self._give_thoughts(message)

    def _give_thoughts(self, message: Json) -> None:
        message.update(self._thoughts)
        self._thoughts = {}

    def _call(self, item: TResponseInputItem) -> None:
        call = self._add_call(item.get("call_id"), item.get("name"), item.get("arguments") or "{}")
        kept = item.get("provider_data")
        if isinstance(kept, Mapping) and "gemini" in self._target.model.lower():
            signature = cast("Mapping[str, Any]", kept).get("thought_signature")
            if signature:
                call["extra_content"] = {"google": {"thought_signature": signature}}

    def _add_call(self, call_id: Any, name: Any, arguments: str) -> Json:
        if self._open is None:
            if self._attachments:
                thoughts = self._thoughts
                self.end_turn()
                self._thoughts = thoughts
            self._open = {"role": "assistant"}
            self.messages.append(self._open)
        self._give_thoughts(self._open)
        # Some servers refuse a message without the member, and OpenAI takes null
        self._open.setdefault("content", None)
        call: Json = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
        self._open.setdefault("tool_calls", []).append(call)
        return call

    def _output(self, item: TResponseInputItem) -> None:
        self._close()
        self._thoughts = {}
        call_id, output = item.get("call_id"), item.get("output")
        if call_id is None:
            raise UserError(
                "the output of a call has no call_id, and the Chat Completions API only knows outputs of calls; use "
                "OpenAIResponsesModel, or leave the item out with an input filter"
            )
        content: Any = output
        if not isinstance(output, str):
            parts = [_part(part) for part in _list(output, "output")]
            content = [part for part in parts if part["type"] == "text"]
            attached = [part for part in parts if part["type"] != "text"]
            if not content and self._target.strict:
                raise UserError(
                    f"the output of call {call_id!r} holds no text, and tool messages hold nothing else; return a text "
                    "as well, or leave strict_feature_validation out"
                )
            if attached:
                name = f"Attached to the output of call {call_id}:"
                self._attachments += [{"type": "text", "text": name}, *attached]
            content = content or ("(see the attachment in the next message)" if attached else _OMITTED)
        self.messages.append({"role": "tool", "tool_call_id": call_id, "content": content})

    def _reasoning(self, item: TResponseInputItem, is_current: bool) -> None:
        self._thoughts = {}
        kept = cast("Mapping[str, Any]", item.get("provider_data") or {})
        origin, mark = kept.get("model"), kept.get(REASONING_MARK)
        is_own = bool(origin) and origin == self._target.model
        if mark == "reasoning" and is_own:
            self._think("reasoning", item.get("content"))
        source = ReasoningContentSource(item, origin or None, kept)
        base_url = self._target.base_url
        context = ReasoningContentReplayContext(self._target.model, base_url and base_url.rstrip("/"), source)
        decide = self._target.should_replay
        if decide is not None:
            wanted = decide(context)
        else:
            wanted = default_should_replay_reasoning_content(context) or (
                is_current and is_own and mark == "reasoning_content"
            )
        if wanted:
            self._think("reasoning_content", item.get("summary"))
        if is_current and is_own:
            blocks = [as_dict(block) for block in kept.get("thinking_blocks") or ()]
            # A block of text that was not signed is refused; what its provider has withheld has no text to sign
            if signed := [one for one in blocks if one.get("type") != "thinking" or one.get("signature")]:
                self._thoughts["thinking_blocks"] = signed

    def _think(self, field: str, parts: Any) -> None:
        texts = [str(text) for part in parts or () if (text := as_dict(part).get("text"))]
        if texts:
            self._thoughts[field] = "\n".join(texts)


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise UserError(f"the {what} of an input item must be a string or a list of parts, got {value!r}")
    return list(cast("Sequence[Any]", value))


def _is_output(content: Any) -> bool:
    """Return whether the content of an assistant's message came out of a reply."""
    return isinstance(content, list | tuple) and any(
        as_dict(part).get("type") in ("output_text", "refusal") for part in cast("Sequence[Any]", content)
    )


def _assistant_texts(content: Any) -> tuple[list[str], str | None]:
    """Return the texts, and the last refusal, of an assistant's message."""
    if content is None or isinstance(content, str):
        return [content or ""], None
    texts: list[str] = []
    refusal: str | None = None
    for one in _list(content, "content"):
        part = as_dict(one)
        if part.get("type") == "refusal":
            refusal = str(part.get("refusal") or "")
        elif part.get("type") in ("output_text", "input_text", "text"):
            texts.append(str(part.get("text") or ""))
        else:
            raise UserError(f"a part of type {part.get('type')!r} of an assistant's message has no form in this API")
    return texts, refusal


def _part(one: Any) -> Json:
    """Return a part of a message, or of a tool's output, in chat form."""
    part = as_dict(one)
    found = _converted(part)
    if part.get("prompt_cache_breakpoint") is not None:
        found = {**found, "prompt_cache_breakpoint": part["prompt_cache_breakpoint"]}
    return found


def _converted(part: Json) -> Json:
    kind = part.get("type")
    if kind in ("input_text", "output_text", "text"):
        text = part.get("text")
        if kind == "text" and not isinstance(text, str):
            raise UserError(f"a part of type 'text' must have a text, got {part!r}")
        return {"type": "text", "text": text or ""}
    if kind == "input_image":
        return _image(part.get("image_url"), part.get("detail"))
    if kind == "image_url":
        image = _members(part.get("image_url"))
        return _image(image.get("url"), image.get("detail"))
    if kind == "input_file":
        name = next((name for name in ("file_data", "file_id") if part.get(name)), None)
        if name is None:
            raise UserError("a file for the Chat Completions API needs file_data or a file_id; it fetches no file_url")
        return {"type": "file", "file": {key: part[key] for key in (name, "filename") if part.get(key)}}
    if kind == "input_audio":
        audio = _members(part.get("input_audio"))
        if not audio.get("data") or not audio.get("format"):
            raise UserError(f"a part of type 'input_audio' must have data and a format in input_audio, got {part!r}")
        return {"type": "input_audio", "input_audio": {"data": audio["data"], "format": audio["format"]}}
    if kind == "video_url":
        video = _members(part.get("video_url"))
        if not video.get("url"):
            raise UserError(f"a part of type 'video_url' must have a url in video_url, got {part!r}")
        return {"type": "video_url", "video_url": {"url": video["url"]}}
    if kind == "file":
        return part
    raise UserError(
        f"a part of type {kind!r} has no form in the Chat Completions API; expected input_text, input_image, "
        "input_file or input_audio"
    )


def _members(value: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _image(url: Any, detail: Any) -> Json:
    if not isinstance(url, str) or not url:
        raise UserError("an image for the Chat Completions API needs an image_url; it knows no file_id of images")
    # "original" is of the Responses API; "high" is the most that this one has
    return {
        "type": "image_url",
        "image_url": {"url": url, "detail": "high" if detail == "original" else detail or "auto"},
    }
