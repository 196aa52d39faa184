"""The wire of the OpenAI Responses API: requests out of what a run has, replies and events out of JSON. No I/O.

A streamed reply is over with its first terminal event: `response.completed`, or one of `response.failed`,
`response.incomplete`, `response.cancelled` and `error`, which fail the call. The end of the connection says nothing:
HTTP cannot tell a reply that was cut from one that is whole.

Source: OpenAI API reference, "Responses" and "Streaming events"; models, "Responses".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from agentrun._codec import structure_event, structure_response
from agentrun._exceptions import AgentsException, ModelBehaviorError, ModelLimitError, UserError
from agentrun._history import PLACEHOLDER_ID, HistoryItem
from agentrun._hosted_tools import FileSearchTool, WebSearchTool
from agentrun._responses import Response, ResponseCompletedEvent, ResponseFailedEvent, ResponseIncompleteEvent
from agentrun._settings import MCPToolChoice
from agentrun._tool import tools_to_wire
from agentrun._wire_value import Record, WireError
from agentrun.models._json import Json, decode_object, encode, encode_request, quoted
from agentrun.models._tool_rules import check_tools

if TYPE_CHECKING:
    from agentrun._handoff import Handoff
    from agentrun._hosted_tools import Tool
    from agentrun._responses import TResponseInputItem, TResponseStreamEvent
    from agentrun._settings import ModelSettings
    from agentrun.agent_output import AgentOutputSchemaBase
    from agentrun.models._limits import Limits

__all__ = [
    "FAKE_ID",
    "ResponsesStream",
    "check_calls",
    "check_choice",
    "encode_items",
    "failure",
    "read_response",
    "request_body",
    "tool_definitions",
]

FAKE_ID = PLACEHOLDER_ID
"""The id of items that a provider without ids made; it is never sent."""

HOSTED_CHOICES = frozenset(
    {
        "code_interpreter",
        "computer_use_preview",
        "file_search",
        "image_generation",
        "mcp",
        "programmatic_tool_calling",
        "web_search",
        "web_search_preview",
    }
)
"""Values of `tool_choice` that name a tool the provider runs."""


# ---- requests --------------------------------------------------------------------------------------------------------


def request_body(
    model: str | None,
    system_instructions: str | None,
    input: str | list[TResponseInputItem],
    settings: ModelSettings,
    tools: Sequence[Tool],
    output_schema: AgentOutputSchemaBase | None,
    handoffs: Sequence[Handoff[Any, Any]],
    *,
    previous_response_id: str | None,
    conversation_id: str | None,
    prompt: Any | None,
    stream: bool,
) -> bytes:
    """Return the body of a request.

    Raises:
        UserError: something in it cannot be sent.
    """
    check_tools(tools, settings.tool_choice, is_prompted=prompt is not None)
    definitions = tool_definitions(tools, handoffs)
    choice = tool_choice(settings, definitions, is_prompted=prompt is not None)
    members: Json = {
        "model": model,
        "instructions": system_instructions,
        "tools": definitions or None,
        "tool_choice": choice,
        "parallel_tool_calls": settings.parallel_tool_calls if definitions or prompt is not None else None,
        "text": _text(settings, output_schema),
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "top_logprobs": settings.top_logprobs,
        "truncation": settings.truncation,
        "max_output_tokens": settings.max_tokens,
        "reasoning": reasoning(settings),
        "include": _include(settings, tools) or None,
        "store": settings.store,
        "metadata": settings.metadata,
        "prompt_cache_retention": settings.prompt_cache_retention,
        "prompt_cache_options": settings.prompt_cache_options,
        "context_management": settings.context_management,
        "previous_response_id": previous_response_id,
        "conversation": conversation_id,
        "prompt": prompt,
        "stream": True if stream else None,
    }
    return with_extras(members, settings, "input", encode_items(input))


def with_extras(members: Json, settings: ModelSettings, name: str, items: Sequence[bytes]) -> bytes:
    """Return a request of `members` that are not None, what the settings add to it, and `items` under `name`.

    Raises:
        TypeError: `extra_args` repeats a member that the request has; `extra_body` may replace any.
        UserError: something in it cannot be sent.
    """
    body = {key: value for key, value in members.items() if value is not None}
    if settings.extra_args:
        _check_args(settings.extra_args, {*body, name})
        body.update(settings.extra_args)
    body.update(settings.extra_body or ())
    if name in body:  # the caller's own conversation stands in the place of ours
        return encode(body, "the request")
    return encode_request(body, name, items)


def _check_args(extra_args: Mapping[str, Any], taken: set[str]) -> None:
    repeated = sorted(taken & extra_args.keys())
    if repeated:
        raise TypeError(
            f"the request got multiple values for {', '.join(map(repr, repeated))}: from the arguments or fields of "
            "that name, and from ModelSettings.extra_args; leave one of them out, or replace it with extra_body"
        )
    if "timeout" in extra_args:
        raise UserError(
            "ModelSettings.extra_args holds members of the request, and no API knows 'timeout'; set "
            "ModelSettings.timeout, in seconds"
        )


def encode_items(input: str | list[TResponseInputItem]) -> list[bytes]:
    """Return each input item as JSON; an item of a run's own history is encoded only once in its life."""
    if isinstance(input, str):
        return [encode({"role": "user", "content": input}, "the input")]
    encoded: list[bytes] = []
    for item in input:
        if type(item) is HistoryItem and item.get("id") != FAKE_ID and "provider_data" not in item:
            encoded.append(item.encoded(_encode_item))
        elif item.get("type") == "reasoning" and item.get("provider_data"):
            continue  # another provider's; OpenAI takes only its own, by id or encrypted
        elif item.get("id") == FAKE_ID or "provider_data" in item:
            hidden = ("id", "provider_data") if item.get("id") == FAKE_ID else ("provider_data",)
            sent = {key: value for key, value in item.items() if key not in hidden}
            encoded.append(encode(sent, "an input item"))
        else:
            encoded.append(_encode_item(item))
    return encoded


def _encode_item(item: dict[str, Any]) -> bytes:
    return encode(dict(item), "an input item")


def tool_definitions(tools: Sequence[Tool], handoffs: Sequence[Handoff[Any, Any]]) -> list[Json]:
    """Return the tools and then the handoffs in Responses form.

    Raises:
        UserError: one of them cannot be sent.
    """
    for tool in (*tools, *handoffs):
        if not callable(getattr(tool, "to_wire", None)):
            raise UserError(
                f"tool {tool!r} cannot be sent to a model; expected a FunctionTool, a hosted tool or a Handoff"
            )
    return [*tools_to_wire(tools), *(handoff.to_wire() for handoff in handoffs)]


def _include(settings: ModelSettings, tools: Sequence[Tool]) -> list[str]:
    """Return what a request asks for beside the reply: what the settings name, and what tools and settings need."""
    include = list(settings.response_include or ())
    wanted = [
        name for tool in tools if isinstance(tool, FileSearchTool | WebSearchTool) for name in tool.response_include
    ]
    if settings.top_logprobs is not None:
        wanted.append("message.output_text.logprobs")
    return include + [name for name in dict.fromkeys(wanted) if name not in include]


def tool_choice(settings: ModelSettings, definitions: Sequence[Json], *, is_prompted: bool = False) -> Any | None:
    """Return `ModelSettings.tool_choice` as the API wants it.

    Args:
        settings: see `request_body`.
        definitions: the tools of the request.
        is_prompted: whether a prompt at the provider may bring tools too; a name is left out then where the request
            has none, since the provider wants it among those of the request.
    """
    choice = settings.tool_choice
    if isinstance(choice, str) and choice in ("auto", "required", "none"):
        return choice
    if is_prompted and not definitions:
        return None
    if isinstance(choice, MCPToolChoice):
        return {"type": "mcp", "server_label": choice.server_label, "name": choice.name}
    if not isinstance(choice, str):
        return choice
    functions = {definition.get("name") for definition in definitions if definition.get("type") == "function"}
    if choice in HOSTED_CHOICES and choice not in functions:
        return {"type": choice}
    check_choice(choice, settings, definitions)
    return {"type": "function", "name": choice}


def check_choice(choice: str, settings: ModelSettings, definitions: Sequence[Json]) -> None:
    """Check that a tool of this name is offered: a request that forces another one is refused by every provider.

    Raises:
        UserError: there is none, and the settings add no tools of their own to the request.
    """
    members = [*definitions, *(tool for one in definitions for tool in one.get("tools") or ())]
    names = {one.get("name") for one in members}
    names |= {f"{one['name']}.{tool.get('name')}" for one in definitions for tool in one.get("tools") or ()}
    if choice in names or any("tools" in (extra or ()) for extra in (settings.extra_args, settings.extra_body)):
        return
    offered = sorted(name for name in names if name)
    raise UserError(
        f"tool_choice is {choice!r}, and no such tool is offered in this turn; offered are {offered}. Pass one of "
        "these, 'auto', 'required' or 'none'"
    )


def reasoning(settings: ModelSettings) -> Json | None:
    """Return `ModelSettings.reasoning` as a dict of what is set in it, whichever class it came in."""
    value = settings.reasoning
    if value is None:
        return None
    if isinstance(value, Mapping):
        found = dict(cast("Mapping[str, Any]", value))
    elif hasattr(value, "model_dump"):
        found = cast("Json", value.model_dump(exclude_unset=True))
    else:
        found = {
            name: getattr(value, name)
            for name in ("effort", "summary", "generate_summary", "mode", "context", "extra")
            if getattr(value, name, None) is not None
        }
    more = found.pop("extra", None)
    if isinstance(more, Mapping):
        found.update(cast("Mapping[str, Any]", more))
    return {name: one for name, one in found.items() if one is not None}


def _text(settings: ModelSettings, output_schema: AgentOutputSchemaBase | None) -> Json | None:
    text: Json = {}
    if output_schema is not None and not output_schema.is_plain_text():
        text["format"] = {
            "type": "json_schema",
            "name": "final_output",
            "schema": output_schema.json_schema(),
            "strict": output_schema.is_strict_json_schema(),
        }
    if settings.verbosity is not None:
        text["verbosity"] = settings.verbosity
    return text or None


# ---- replies ---------------------------------------------------------------------------------------------------------


def read_response(text: str, limits: Limits) -> tuple[Response, Json]:
    """Return the reply that a body holds, and the same as it came.

    Raises:
        ModelBehaviorError: it is no whole reply, or one that failed.
        ModelLimitError: it is nested too deeply, or has too many calls.
    """
    data = decode_object(text, "the model's reply", limits.json_depth)
    if "output" not in data and isinstance(data.get("error"), dict | str):
        raise failure("error", data["error"])
    try:
        response = structure_response(data)
    except WireError as exc:
        raise ModelBehaviorError(f"the model's reply is no Responses object: {exc}") from exc
    if response.status not in (None, "completed"):
        raise _failed(response.status, response)
    check_calls(response.output, limits)
    return response, data


class ResponsesStream:
    """Reads the events of one streamed reply."""

    __slots__ = ("_limits", "_request_id", "completed")

    def __init__(self, limits: Limits, request_id: str | None = None) -> None:
        self._limits = limits
        self._request_id = request_id
        self.completed: bool = False
        """Whether the reply is whole; nothing that follows it is read."""

    def events(self, received: Iterable[tuple[str, str]]) -> tuple[list[TResponseStreamEvent], AgentsException | None]:
        """Return what `received` holds, at most up to the terminal event, and what to raise after it, if anything.

        Args:
            received: names and data of server-sent events.

        Returns:
            The events, and a `ModelBehaviorError` for a reply that failed or is none, or a `ModelLimitError` for one
            that is too large. It is not raised here, so that what came before it is not lost.
        """
        found: list[TResponseStreamEvent] = []
        depth = self._limits.json_depth
        try:
            for name, data in received:
                if data == "[DONE]":  # not of this API, but gateways send it
                    continue
                decoded = decode_object(data, "an event of the model's stream", depth)
                kind = decoded.get("type")
                if kind is None:
                    if "error" in decoded:
                        return found, failure("error", decoded["error"])
                    if name:
                        kind = decoded["type"] = name
                event = structure_event(decoded)
                if kind not in _TERMINAL:
                    found.append(event)
                    continue
                error = self._terminal(event, cast("str", kind), decoded)
                if kind != "error":
                    found.append(event)
                return found, error
        except WireError as exc:
            error = ModelBehaviorError(f"the model sent an event that is no Responses event: {exc}")
            error.__cause__ = exc
            return found, error
        except (ModelBehaviorError, ModelLimitError) as exc:
            return found, exc
        return found, None

    def _terminal(self, event: TResponseStreamEvent, kind: str, decoded: Json) -> ModelBehaviorError | None:
        if isinstance(event, ResponseCompletedEvent):
            response = event.response
            if response.status not in (None, "completed"):
                return _failed(response.status, response)
            check_calls(response.output, self._limits)
            if self._request_id is not None:
                response.extra = {**(response.extra or {}), "_request_id": self._request_id}
            self.completed = True
            return None
        if isinstance(event, ResponseFailedEvent | ResponseIncompleteEvent):
            return _failed(kind.removeprefix("response."), event.response)
        return failure(kind, decoded.get("error", decoded))


_TERMINAL = frozenset({"response.completed", "response.failed", "response.incomplete", "response.cancelled", "error"})


def _failed(status: str | None, response: Response) -> ModelBehaviorError:
    if response.error is not None:
        return failure(f"status {status}", {"code": response.error.code, "message": response.error.message})
    reason = response.incomplete_details.reason if response.incomplete_details is not None else None
    if reason == "max_output_tokens":
        return ModelBehaviorError(
            "the model's reply ended with status 'incomplete': max_output_tokens was reached; raise "
            "ModelSettings.max_tokens, or ask for less"
        )
    return ModelBehaviorError(f"the model's reply ended with status {status!r}: {quoted(reason or 'no reason given')}")


def failure(kind: str, error: Any) -> ModelBehaviorError:
    """Return the exception for an error that a provider reports inside of a reply.

    Args:
        kind: where it stood.
        error: the error object, or whatever was in its place.
    """
    if isinstance(error, Mapping):
        members = cast("Mapping[str, Any]", error)
        code = members.get("code") or members.get("type")
        said = [str(part) for part in (code, members.get("message")) if part]
        detail = quoted(": ".join(said), 500) if said else "no reason given"
    else:
        detail = quoted(str(error), 500)
    return ModelBehaviorError(f"the model's reply failed ({kind}): {detail}")


def check_calls(output: Iterable[Any], limits: Limits) -> None:
    """Refuse a reply whose calls could not be told apart, before any of them runs.

    Raises:
        ModelBehaviorError: a call has no call id, or one that another call has.
        ModelLimitError: there are too many calls.
    """
    seen: set[str] = set()
    calls = 0
    for item in output:
        kind = item.type if not isinstance(item, Record) else item.get("type")
        if not isinstance(kind, str) or not kind.endswith("_call") or not hasattr(item, "call_id"):
            continue
        calls += 1
        call_id = item.call_id
        if kind not in ("function_call", "custom_tool_call") and call_id is None:
            continue  # tools that the provider ran itself
        if not isinstance(call_id, str) or not call_id:
            raise ModelBehaviorError(f"the model made a {kind} without a call id, so its output could not be sent back")
        if call_id in seen:
            raise ModelBehaviorError(f"the model gave two calls the same call id {quoted(call_id)}")
        seen.add(call_id)
    if calls > limits.calls_per_response:
        raise ModelLimitError("calls_per_response", calls, limits.calls_per_response)
