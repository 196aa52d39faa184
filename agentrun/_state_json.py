"""RunState as JSON and back: data with a schema version, agents by name, every value checked where it is read.

What is read may come from anywhere. So nothing of it is looked up as an attribute or import, sizes and depth are
checked before anything else, and whatever does not fit is a `UserError` with the path in the JSON.
"""

from __future__ import annotations

import hashlib
import hmac
import inspect
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

import attrs

from agentrun._approvals import Approvals, Decision
from agentrun._codec import WireError, structure_item
from agentrun._context import RunContextWrapper
from agentrun._exceptions import UserError
from agentrun._guardrail import (
    GuardrailFunctionOutput,
    InputGuardrail,
    InputGuardrailResult,
    OutputGuardrail,
    OutputGuardrailResult,
    ToolGuardrailFunctionOutput,
    ToolInputGuardrail,
    ToolInputGuardrailResult,
    ToolOutputGuardrail,
    ToolOutputGuardrailResult,
)
from agentrun._history import History
from agentrun._items import (
    CompactionItem,
    HandoffCallItem,
    HandoffOutputItem,
    InputItem,
    MCPApprovalRequestItem,
    MCPApprovalResponseItem,
    MCPListToolsItem,
    MessageOutputItem,
    ModelResponse,
    ReasoningItem,
    RunItem,
    ToolApprovalItem,
    ToolCallItem,
    ToolCallOutputItem,
    ToolSearchCallItem,
    ToolSearchOutputItem,
    UnknownItem,
    to_input,
)
from agentrun._responses import InputTokensDetails, OutputTokensDetails
from agentrun._tool_output import ToolOrigin, ToolOriginType
from agentrun._usage import RequestUsage, Usage

if TYPE_CHECKING:
    from agentrun._agent import Agent
    from agentrun._state import PendingTurn, RunState

log = logging.getLogger("agentrun")

SCHEMA_VERSION = "1.0"
"""The version this release writes."""

KNOWN_VERSIONS = ("1.0",)
"""The versions this release reads."""

MAX_CHARACTERS = 64 * 1024 * 1024
"""The longest text that is read at all; a state of a thousand turns has a hundredth of it."""

MAX_DEPTH = 128
"""The deepest nesting that is read; protects everything that walks an item from running out of stack."""

SIGNED = "agentrun-state-1"
"""How a signed state begins: this, a dot, the HMAC-SHA256 in hex, a dot, the JSON text."""

Json: TypeAlias = Any
ContextSerializer: TypeAlias = "Callable[[Any], Mapping[str, Any]]"
ContextDeserializer: TypeAlias = "Callable[[Mapping[str, Any]], Any]"

_T = TypeVar("_T")

_ITEM_CLASSES: dict[str, type[Any]] = {
    "message_output_item": MessageOutputItem,
    "tool_call_item": ToolCallItem,
    "tool_call_output_item": ToolCallOutputItem,
    "handoff_call_item": HandoffCallItem,
    "handoff_output_item": HandoffOutputItem,
    "reasoning_item": ReasoningItem,
    "tool_approval_item": ToolApprovalItem,
    "input_item": InputItem,
    "tool_search_call_item": ToolSearchCallItem,
    "tool_search_output_item": ToolSearchOutputItem,
    "mcp_list_tools_item": MCPListToolsItem,
    "mcp_approval_request_item": MCPApprovalRequestItem,
    "mcp_approval_response_item": MCPApprovalResponseItem,
    "compaction_item": CompactionItem,
    "unknown_item": UnknownItem,
}

_PLAIN_RAW = frozenset({"tool_call_output_item", "handoff_output_item", "input_item", "mcp_approval_response_item"})
"""Items whose raw item is a plain dict."""


# --- agents by name


def agents_by_name(root: Agent[Any]) -> dict[str, Agent[Any]]:
    """Return every agent that can be reached from `root` over handoffs, nearest first.

    Several agents of one name get the suffixes `#2`, `#3`, in that order, so that both directions agree.
    """
    found: dict[str, Agent[Any]] = {}
    seen: set[int] = set()
    waiting: list[Agent[Any]] = [root]
    while waiting:
        agent = waiting.pop(0)
        if id(agent) in seen:
            continue
        seen.add(id(agent))
        name, count = agent.name, 2
        while name in found:
            name, count = f"{agent.name}#{count}", count + 1
        found[name] = agent
        waiting.extend(one.agent for one in agent.declared_handoffs() if one.agent is not None)
    return found


class _Names:
    """The names of the agents of one run."""

    def __init__(self, root: Agent[Any]) -> None:
        self.agents = agents_by_name(root)
        self._names = {id(agent): name for name, agent in self.agents.items()}

    def name(self, agent: Agent[Any]) -> dict[str, str]:
        return {"name": self._names.get(id(agent), agent.name)}


# --- writing


def state_to_json(
    state: RunState[Any], context_serializer: ContextSerializer | None, *, strict_context: bool
) -> dict[str, Json]:
    """Return `state` as plain JSON data; see `RunState.to_json`."""
    names = _Names(state.starting_agent)
    table: dict[int, int] = {}
    items: list[Json] = []

    def refer(many: Iterable[RunItem]) -> list[int]:
        places: list[int] = []
        for item in many:
            if id(item) not in table:
                table[id(item)] = len(items)
                items.append(_item_to_json(item, names))
            places.append(table[id(item)])
        return places

    pending = state.pending
    found: dict[str, Json] = {
        "$schemaVersion": SCHEMA_VERSION,
        "current_turn": state.current_turn,
        "max_turns": state.max_turns,
        "starting_agent": names.name(state.starting_agent),
        "current_agent": names.name(state.current_agent),
        "original_input": _input_to_json(state.original_input),
        "history_base": [to_input(item) for item in state.history.base()],
        "pending_input": list(state.pending_input),
        "conversation_id": state.conversation_id,
        "previous_response_id": state.previous_response_id,
        "auto_previous_response_id": state.auto_previous_response_id,
        "context": _context_to_json(state.context, context_serializer, strict=strict_context),
        "new_items": refer(state.new_items),
        "next_items": None if state.next_items is None else refer(state.next_items),
        "interruptions": refer(item for item in state.interruptions if _is_own(state, item)),
        "model_responses": [_response_to_json(one) for one in state.raw_responses],
        "tool_use_tracker": {agent: list(used) for agent, used in state.tools_used.items()},
        "calls_done": {call_id: list(done) for call_id, done in state.calls_done.items()},
        "unsent": None if state.unsent is None else [to_input(item) for item in state.unsent],
        "unstored": None if state.unstored is None else [to_input(item) for item in state.unstored],
        "input_stored": state.input_stored,
        "is_finished": state.is_finished,
        "reasoning_item_id_policy": state.reasoning_item_id_policy,
        "warnings": list(state.warnings),
        "input_guardrail_results": [
            {"guardrail": {"name": one.guardrail.get_name()}, "output": _verdict_to_json(one.output)}
            for one in state.input_guardrail_results
        ],
        "output_guardrail_results": [
            {
                "guardrail": {"name": one.guardrail.get_name()},
                "agent": names.name(one.agent),
                "agent_output": _json_or_text(one.agent_output),
                "output": _verdict_to_json(one.output),
            }
            for one in state.output_guardrail_results
        ],
        "tool_input_guardrail_results": [
            {"guardrail": {"name": one.guardrail.get_name()}, "output": _tool_verdict_to_json(one.output)}
            for one in state.tool_input_guardrail_results
        ],
        "tool_output_guardrail_results": [
            {"guardrail": {"name": one.guardrail.get_name()}, "output": _tool_verdict_to_json(one.output)}
            for one in state.tool_output_guardrail_results
        ],
        "pending_turn": None
        if pending is None
        else {
            "reply": _response_to_json(pending.reply),
            "items": refer(pending.items),
            "outputs": dict(zip(pending.outputs, refer(pending.outputs.values()), strict=True)),
            "nested": {
                call_id: state_to_json(nested, context_serializer, strict_context=strict_context)
                for call_id, nested in pending.nested.items()
            },
        },
    }
    found["items"] = items
    return found


def _is_own(state: RunState[Any], item: ToolApprovalItem) -> bool:
    nested = state.pending.nested.values() if state.pending is not None else ()
    return not any(item is one for inner in nested for one in inner.interruptions)


def _input_to_json(given: str | list[Any]) -> Json:
    return given if isinstance(given, str) else [to_input(item) for item in given]


def _item_to_json(item: RunItem, names: _Names) -> Json:
    found: dict[str, Json] = {"type": item.type, "agent": names.name(item.agent)}
    found["raw_item"] = _raw_to_json(item.raw_item)
    if isinstance(item, ToolCallItem):
        found.update(description=item.description, title=item.title, tool_origin=_origin_to_json(item.tool_origin))
    elif isinstance(item, ToolCallOutputItem):
        found.update(
            output=_json_or_text(item.output),
            tool_origin=_origin_to_json(item.tool_origin),
            custom_data=_json_or_text(item.custom_data),
        )
    elif isinstance(item, HandoffOutputItem):
        found.update(source_agent=names.name(item.source_agent), target_agent=names.name(item.target_agent))
    elif isinstance(item, ToolApprovalItem):
        found.update(
            tool_name=item.tool_name, tool_namespace=item.tool_namespace, tool_origin=_origin_to_json(item.tool_origin)
        )
    elif isinstance(item, InputItem):
        found["input_id"] = item.input_id
    return found


def _raw_to_json(raw: Any) -> Json:
    from agentrun._codec import as_dict

    return json.loads(json.dumps(as_dict(raw)))


def _origin_to_json(origin: ToolOrigin | None) -> Json:
    return None if origin is None else {key: value for key, value in attrs.asdict(origin).items() if value is not None}


def _response_to_json(response: ModelResponse) -> Json:
    from agentrun._codec import as_dict

    return {
        "output": [as_dict(item) for item in response.output],
        "usage": _usage_to_json(response.usage),
        "response_id": response.response_id,
        "request_id": response.request_id,
    }


def _request_usage_to_json(usage: Usage | RequestUsage) -> dict[str, Json]:
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "cached_tokens": usage.input_tokens_details.cached_tokens or 0,
        "cache_write_tokens": usage.input_tokens_details.cache_write_tokens or 0,
        "reasoning_tokens": usage.output_tokens_details.reasoning_tokens or 0,
    }


def _usage_to_json(usage: Usage) -> Json:
    entries = [{**_request_usage_to_json(one), "partial": one.partial} for one in usage.request_usage_entries]
    return {**_request_usage_to_json(usage), "requests": usage.requests, "entries": entries}


def _approvals_to_json(approvals: Approvals) -> Json:
    return {
        "calls": [
            {
                "tool": tool,
                "call_id": call_id,
                "approved": one.approved,
                "message": one.message,
                "fingerprint": one.bound_to,
            }
            for (tool, call_id), one in approvals.calls.items()
        ],
        "tools": [
            {"tool": tool, "approved": one.approved, "message": one.message} for tool, one in approvals.tools.items()
        ],
    }


def _context_to_json(wrapper: RunContextWrapper[Any], serializer: ContextSerializer | None, *, strict: bool) -> Json:
    """Return the run's context: a mapping goes as it is, data classes with a warning, anything else not at all.

    Raises:
        UserError: with `strict`, a context that would not come back as it is.
    """
    context = wrapper.context
    meta: dict[str, Json] = {"type": type(context).__name__, "serialized_via": "none", "requires_deserializer": False}
    value: Json = None
    if context is None:
        pass
    elif serializer is not None:
        value = dict(serializer(context))
        meta.update(serialized_via="context_serializer", requires_deserializer=True)
    elif isinstance(context, Mapping):
        value = dict(cast("Mapping[str, Any]", context))
        meta["serialized_via"] = "mapping"
    elif strict:
        raise UserError(
            f"the context is a {type(context).__name__}, which has no JSON form of its own; "
            "pass context_serializer, or a dict as context"
        )
    else:
        value = _data_class_to_json(context)
        meta.update(serialized_via="omitted" if value is None else "data class", requires_deserializer=True)
        meta["omitted"] = value is None
        log.warning(
            "the context of a run, a %s, is stored %s; pass context_serializer to store it whole",
            type(context).__name__,
            "not at all" if value is None else "as a plain dict",
        )
        value = {} if value is None else value
    try:
        check_depth(value, "the context")
        value = json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as exc:
        raise UserError(f"the context has no JSON form: {exc}; pass context_serializer") from exc
    return {
        "context": value,
        "context_meta": meta,
        "usage": _usage_to_json(wrapper.usage),
        "approvals": _approvals_to_json(wrapper.approvals),
        "tool_input": _json_or_text(wrapper.tool_input),
    }


def _data_class_to_json(value: Any) -> dict[str, Any] | None:
    import dataclasses

    if attrs.has(cast("type[object]", type(value))):
        return attrs.asdict(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    dump = getattr(value, "model_dump", None)
    return dump(mode="json") if dump is not None else None


def _verdict_to_json(output: GuardrailFunctionOutput) -> Json:
    return {"output_info": _json_or_text(output.output_info), "tripwire_triggered": output.tripwire_triggered}


def _tool_verdict_to_json(output: ToolGuardrailFunctionOutput) -> Json:
    return {"output_info": _json_or_text(output.output_info), "behavior": dict(output.behavior)}


def _json_or_text(value: Any) -> Json:
    """Return `value` if it is JSON, the dict of a data class, or its text: what is only shown may come back as text."""
    if value is None or isinstance(value, str | bool):
        return value
    try:
        data = _data_class_to_json(value)
        found = json.loads(json.dumps(data if data is not None else value, allow_nan=False))
        check_depth(found, "a value", MAX_DEPTH // 2)
    except (TypeError, ValueError, RecursionError, UserError):
        return _text(value)
    return found


def _text(value: Any) -> str:
    try:
        return str(value)
    except (RecursionError, ValueError):  # an int of thousands of digits has no text either
        return f"a {type(value).__name__} too large to show"


def to_text(found: dict[str, Json], key: bytes | str | None) -> str:
    """Return the JSON data as text, signed where there is a key.

    Raises:
        UserError: the text is longer than `from_text` would read, or a value in it has no JSON form.
    """
    secret = _secret(key)
    text = _dump(found, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which no file or database takes: escape it
        text = _dump(found, ensure_ascii=True)
    if len(text) > MAX_CHARACTERS:
        raise UserError(
            f"this run state has {len(text)} characters, and at most {MAX_CHARACTERS} are read back; store it in parts"
        )
    return text if secret is None else f"{SIGNED}.{_signature(text, secret)}.{text}"


def plain_copy(found: dict[str, Json]) -> dict[str, Json]:
    """Return the JSON data as a copy that shares nothing with the run.

    Raises:
        UserError: a value in it has no JSON form.
    """
    return cast("dict[str, Json]", json.loads(_dump(found, ensure_ascii=True)))


def _dump(found: dict[str, Json], *, ensure_ascii: bool) -> str:
    try:
        return json.dumps(found, ensure_ascii=ensure_ascii, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as exc:
        raise UserError(f"this run state cannot be stored: it holds a value without JSON form: {exc}") from exc


def _secret(key: bytes | str | None) -> bytes | None:
    if key is None:
        return None
    if not isinstance(key, bytes | str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise UserError(f"key is a {type(key).__name__}, expected bytes or a str")
    if not key:
        raise UserError(
            "key is empty, so that anybody could sign; pass a secret, or None for a state that is not signed"
        )
    return key.encode("utf-8", "surrogatepass") if isinstance(key, str) else key


def _signature(text: str, secret: bytes) -> str:
    return hmac.new(secret, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


# --- reading


@attrs.frozen
class _At:
    """A value in the JSON, and where it stands."""

    value: Any
    path: str = "$"

    def refuse(self, expected: str) -> UserError:
        try:
            shown = repr(self.value)
        except (ValueError, RecursionError):  # an int of thousands of digits
            shown = f"a {type(self.value).__name__} too large to show"
        return UserError(
            f"this run state cannot be read: {self.path} is {shown if len(shown) < 80 else shown[:77] + '...'}, "
            f"expected {expected}"
        )

    def members(self) -> dict[str, Any]:
        value = self.value
        if not isinstance(value, dict):
            raise self.refuse("an object")
        return cast("dict[str, Any]", value)

    def get(self, key: str) -> _At:
        members = self.members()
        if key not in members:
            raise UserError(f"this run state cannot be read: {self.path}.{key} is missing")
        return _At(members[key], f"{self.path}.{key}")

    def find(self, key: str) -> _At | None:
        value = self.members().get(key)
        return None if value is None else _At(value, f"{self.path}.{key}")

    def text(self) -> str:
        if not isinstance(self.value, str):
            raise self.refuse("a string")
        return self.value

    def text_or_none(self) -> str | None:
        return None if self.value is None else self.text()

    def whole(self, least: int = 0) -> int:
        if isinstance(self.value, bool) or not isinstance(self.value, int) or not least <= self.value < 2**63:
            raise self.refuse(f"a whole number of at least {least}")
        return self.value

    def flag(self) -> bool:
        if not isinstance(self.value, bool):
            raise self.refuse("true or false")
        return self.value

    def each(self) -> list[_At]:
        value = self.value
        if not isinstance(value, list):
            raise self.refuse("a list")
        return [_At(one, f"{self.path}[{index}]") for index, one in enumerate(cast("list[Any]", value))]

    def entries(self) -> list[tuple[str, _At]]:
        return [(key, _At(one, f"{self.path}.{key}")) for key, one in self.members().items()]

    def one_of(self, allowed: Mapping[Any, _T]) -> _T:
        try:
            return allowed[self.value]
        except (KeyError, TypeError):
            raise self.refuse(f"one of {list(allowed)}") from None


def check_depth(found: Any, what: str = "this run state cannot be read: it", limit: int = MAX_DEPTH) -> None:
    """Refuse data that is nested deeper than anything that walks it can bear.

    Raises:
        UserError: it is.
    """
    level: list[Any] = [found]
    for _ in range(limit):
        level = [
            one
            for value in level
            if isinstance(value, dict | list)
            for one in cast("Iterable[Any]", value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return
    raise UserError(f"{what} is nested deeper than {limit} levels")


def from_text(text: str, key: bytes | str | None) -> dict[str, Json]:
    """Return the JSON data in a text that `to_text` made.

    Raises:
        UserError: it is too long, changed, signed without a key at hand or the other way round, or no JSON object.
    """
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise UserError(f"a run state is read from a str, got a {type(text).__name__}")
    if len(text) > MAX_CHARACTERS:
        raise UserError(
            f"this run state cannot be read: it has {len(text)} characters, at most {MAX_CHARACTERS} are read"
        )
    secret = _secret(key)
    if text.startswith(SIGNED + "."):
        signature, _, text = text.removeprefix(SIGNED + ".").partition(".")
        if secret is None:
            raise UserError("this run state is signed; pass the key it was signed with, from_string(..., key=...)")
        if not hmac.compare_digest(signature.encode("utf-8", "replace"), _signature(text, secret).encode()):
            raise UserError("this run state was changed after it was signed, or signed with another key")
    elif secret is not None:
        raise UserError("this run state is not signed; pass no key, or sign it with to_string(key=...)")
    try:
        found = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise UserError(f"this run state cannot be read: it is nested deeper than {MAX_DEPTH} levels") from None
    except ValueError as exc:
        raise UserError(f"this run state cannot be read: it is no JSON: {exc}") from exc
    return _At(found).members()


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


class _Reader:
    """Reads one state, whose agents hang on `root`."""

    def __init__(self, root: Agent[Any], state_class: type[RunState[Any]], pending_class: type[PendingTurn]) -> None:
        # The classes come from the caller, so that this module does not import the one that imports it.
        self._state_class, self._pending_class = state_class, pending_class
        self._root = root
        self._agents = agents_by_name(root)
        self._items: list[RunItem] = []

    def agent(self, at: _At) -> Agent[Any]:
        name = at.get("name").text()
        agent = self._agents.get(name)
        if agent is None:
            raise UserError(
                f"this run state cannot be read: {at.path}.name is {name!r}, which is none of the agents reachable "
                "from "
                f"{self._root.name!r}: {sorted(self._agents)}; pass the agent the run was started with"
            )
        return agent

    def refer(self, at: _At) -> list[RunItem]:
        found: list[RunItem] = []
        for one in at.each():
            place = one.whole()
            if place >= len(self._items):
                raise one.refuse(f"the place of one of the {len(self._items)} items")
            found.append(self._items[place])
        return found

    def item(self, at: _At) -> RunItem:
        kind = at.get("type")
        cls = kind.one_of(_ITEM_CLASSES)
        agent = self.agent(at.get("agent"))
        raw_at = at.get("raw_item")
        raw: Any = _input_item(raw_at)
        if kind.value not in _PLAIN_RAW:
            try:
                raw = structure_item(raw)
            except WireError as exc:
                raise UserError(f"this run state cannot be read: {raw_at.path}{exc.path[1:]}: {exc.reason}") from exc
        more: dict[str, Any] = {}
        if cls is ToolCallItem:
            more = {
                "description": _text_of(at, "description"),
                "title": _text_of(at, "title"),
                "tool_origin": _origin(at),
            }
        elif cls is ToolCallOutputItem:
            data = at.find("custom_data")
            more = {
                "output": at.members().get("output"),
                "tool_origin": _origin(at),
                "custom_data": data.members() if data is not None else None,
            }
            raw_at.get("call_id").text()
        elif cls is HandoffOutputItem:
            more = {
                "source_agent": self.agent(at.get("source_agent")),
                "target_agent": self.agent(at.get("target_agent")),
            }
        elif cls is ToolApprovalItem:
            more = {
                "tool_name": _text_of(at, "tool_name"),
                "tool_namespace": _text_of(at, "tool_namespace"),
                "tool_origin": _origin(at),
            }
            raw_at.get("call_id" if raw_at.find("id") is None else "id").text()
        elif cls is InputItem:
            more = {"input_id": at.get("input_id").text()}
        item: RunItem = cls(agent=agent, raw_item=raw, **more)
        return item

    def response(self, at: _At) -> ModelResponse:
        output: list[Any] = []
        for one in at.get("output").each():
            try:
                output.append(structure_item(one.members()))
            except WireError as exc:
                raise UserError(f"this run state cannot be read: {one.path}{exc.path[1:]}: {exc.reason}") from exc
        return ModelResponse(
            output, _usage(at.get("usage")), at.get("response_id").text_or_none(), _text_of(at, "request_id")
        )

    def state(self, at: _At, context: Any, tool_input: Any) -> RunState[Any]:
        max_turns = at.find("max_turns")
        given = at.get("original_input")
        wrapper: RunContextWrapper[Any] = RunContextWrapper(
            context,
            _usage(at.get("context").get("usage")),
            approvals=_approvals(at.get("context").get("approvals")),
            tool_input=tool_input,
        )
        state = self._state_class(
            wrapper,
            given.value if isinstance(given.value, str) else [_input_item(one) for one in given.each()],
            self.agent(at.get("starting_agent")),
            None if max_turns is None else max_turns.whole(least=-(2**63)),
            conversation_id=at.get("conversation_id").text_or_none(),
            previous_response_id=at.get("previous_response_id").text_or_none(),
            auto_previous_response_id=at.get("auto_previous_response_id").flag(),
        )
        state.current_agent = self.agent(at.get("current_agent"))
        state.current_turn = at.get("current_turn").whole()
        self._items = [self.item(one) for one in at.get("items").each()]
        state.new_items = self.refer(at.get("new_items"))
        next_items = at.find("next_items")
        state.next_items = None if next_items is None else self.refer(next_items)
        _check_calls(at, state)
        state.interruptions = [self._approval(one) for one in at.get("interruptions").each()]
        state.raw_responses = [self.response(one) for one in at.get("model_responses").each()]
        state.tools_used = {
            name: [one.text() for one in used.each()] for name, used in at.get("tool_use_tracker").entries()
        }
        for call_id, done in at.get("calls_done").entries():
            pair = [one.text() for one in done.each()]
            if len(pair) != 2:
                raise done.refuse("the name and the arguments of a call")
            state.calls_done[call_id] = (pair[0], pair[1])
        unsent = at.find("unsent")
        state.unsent = None if unsent is None else [_input_item(one) for one in unsent.each()]
        state.pending_input = [_input_item(one) for one in at.get("pending_input").each()]
        unstored = at.find("unstored")
        state.unstored = None if unstored is None else [_input_item(one) for one in unstored.each()]
        state.input_stored = at.get("input_stored").flag()
        state.is_finished = at.get("is_finished").flag()
        policy = at.find("reasoning_item_id_policy")
        if policy is not None:
            state.reasoning_item_id_policy = cast("Any", policy.one_of({"preserve": "preserve", "omit": "omit"}))
        state.warnings = [one.text() for one in at.get("warnings").each()]
        self._read_verdicts(at, state)
        self._read_history(at, state)
        pending = at.find("pending_turn")
        if pending is not None:
            state.pending = self._pending(pending, state)
        _check_waiting(at, state)
        self._gather_interruptions(state)
        return state

    def _approval(self, at: _At) -> ToolApprovalItem:
        place = at.whole()
        item = self._items[place] if place < len(self._items) else None
        if not isinstance(item, ToolApprovalItem):
            raise at.refuse("the place of a tool_approval_item")
        return item

    def _read_history(self, at: _At, state: RunState[Any]) -> None:
        state.history = History(_input_item(one) for one in at.get("history_base").each())
        seen = state.next_items if state.next_items is not None else state.new_items
        state.history.extend(state.model_input(item) for item in seen if not isinstance(item, ToolApprovalItem))

    def _pending(self, at: _At, state: RunState[Any]) -> PendingTurn:
        outputs: dict[str, RunItem] = {}
        for call_id, one in at.get("outputs").entries():
            place = one.whole()
            item = self._items[place] if place < len(self._items) else None
            if not isinstance(item, ToolCallOutputItem) or item.call_id != call_id:
                raise one.refuse(f"the place of the output of call {call_id!r}")
            outputs[call_id] = item
        nested: dict[str, RunState[Any]] = {}
        for call_id, one in at.get("nested").entries():
            nested[call_id] = self._nested(one, state, call_id)
        return self._pending_class(self.response(at.get("reply")), self.refer(at.get("items")), outputs, nested)

    def _nested(self, at: _At, state: RunState[Any], call_id: str) -> RunState[Any]:
        """Return the state of a nested run, whose root is the agent of the tool that was called."""
        name = next(
            (item.tool_name for item in self._items if isinstance(item, ToolCallItem) and item.call_id == call_id), None
        )
        root = next(
            (
                nested_agent
                for tool in state.current_agent.tools
                if (nested_agent := getattr(tool, "nested_agent", None)) is not None
                and getattr(tool, "name", None) == name
            ),
            None,
        )
        if root is None:
            raise UserError(
                f"this run state cannot be read: {at.path} belongs to tool {name!r}, but agent "
                f"{state.current_agent.name!r} has no agent tool of that name"
            )
        context = at.get("context")
        return _Reader(root, self._state_class, self._pending_class).state(
            at, state.context.context, context.members().get("tool_input")
        )

    @staticmethod
    def _gather_interruptions(state: RunState[Any]) -> None:
        """Put the decisions that nested runs wait for among the run's own, in call order."""
        pending = state.pending
        if pending is None or not pending.nested:
            return
        own = {item.call_id: item for item in state.interruptions}
        ordered: list[ToolApprovalItem] = []
        for item in pending.items:
            call_id = getattr(item, "call_id", None)
            if call_id in own:
                ordered.append(own[call_id])
            elif call_id in pending.nested:
                ordered.extend(pending.nested[call_id].interruptions)
        state.interruptions = ordered

    def _read_verdicts(self, at: _At, state: RunState[Any]) -> None:
        """Read the guardrail results; a guardrail comes back as its name, it is not run again."""
        for one in at.get("input_guardrail_results").each():
            name = one.get("guardrail").get("name").text()
            state.input_guardrail_results.append(
                InputGuardrailResult(InputGuardrail(_not_here, name=name), _verdict(one.get("output")))
            )
        for one in at.get("output_guardrail_results").each():
            name = one.get("guardrail").get("name").text()
            state.output_guardrail_results.append(
                OutputGuardrailResult(
                    OutputGuardrail(_not_here, name=name),
                    one.members().get("agent_output"),
                    self.agent(one.get("agent")),
                    _verdict(one.get("output")),
                )
            )
        for one in at.get("tool_input_guardrail_results").each():
            name = one.get("guardrail").get("name").text()
            state.tool_input_guardrail_results.append(
                ToolInputGuardrailResult(ToolInputGuardrail(_not_here, name=name), _tool_verdict(one.get("output")))
            )
        for one in at.get("tool_output_guardrail_results").each():
            name = one.get("guardrail").get("name").text()
            state.tool_output_guardrail_results.append(
                ToolOutputGuardrailResult(ToolOutputGuardrail(_not_here, name=name), _tool_verdict(one.get("output")))
            )


def _check_calls(at: _At, state: RunState[Any]) -> None:
    """Refuse a record in which two calls share an id, or two outputs do."""
    seen: set[tuple[str, str]] = set()
    for place, item in enumerate(state.new_items):
        if not isinstance(item, ToolCallItem | ToolCallOutputItem | HandoffCallItem):
            continue
        call_id = item.call_id if not isinstance(item, HandoffCallItem) else item.raw_item.call_id
        key = ("output" if isinstance(item, ToolCallOutputItem) else "call", call_id or "")
        if key in seen:
            raise UserError(
                f"this run state cannot be read: {at.path}.new_items[{place}] is a second {key[0]} "
                f"with the id {call_id!r}"
            )
        seen.add(key)


def _input_item(at: _At) -> dict[str, Any]:
    """Return an input item; what a history tells items apart by is text."""
    for key in ("type", "id", "call_id"):
        found = at.find(key)
        if found is not None:
            found.text()
    return at.members()


def _check_waiting(at: _At, state: RunState[Any]) -> None:
    """Refuse open decisions on calls that do not wait, and a nested run that waits for nothing."""
    pending = state.pending
    asked = [getattr(item, "call_id", None) for item in pending.items] if pending is not None else []
    open_calls = [call_id for call_id in asked if pending is not None and call_id not in pending.outputs]
    for place, item in enumerate(state.interruptions):
        if item.call_id not in open_calls:
            raise UserError(
                f"this run state cannot be read: {at.path}.interruptions[{place}] is about the call {item.call_id!r}, "
                f"and the pending turn has the open calls {open_calls}"
            )
    for call_id, nested in pending.nested.items() if pending is not None else ():
        if call_id not in open_calls:
            raise UserError(
                f"this run state cannot be read: {at.path}.pending_turn.nested.{call_id} belongs to no open call; "
                f"the pending turn has {open_calls}"
            )
        if not nested.interruptions:
            raise UserError(
                f"this run state cannot be read: {at.path}.pending_turn.nested.{call_id}.interruptions is empty, "
                "expected what the nested run waits for"
            )


def _text_of(at: _At, key: str) -> str | None:
    found = at.find(key)
    return None if found is None else found.text()


def _origin(at: _At) -> ToolOrigin | None:
    found = at.find("tool_origin")
    if found is None:
        return None
    kind = found.get("type").one_of({one.value: one for one in ToolOriginType})
    return ToolOrigin(
        kind,
        mcp_server_name=_text_of(found, "mcp_server_name"),
        agent_name=_text_of(found, "agent_name"),
        agent_tool_name=_text_of(found, "agent_tool_name"),
    )


def _usage_fields(at: _At) -> dict[str, Any]:
    return {
        "input_tokens": at.get("input_tokens").whole(),
        "output_tokens": at.get("output_tokens").whole(),
        "total_tokens": at.get("total_tokens").whole(),
        "input_tokens_details": InputTokensDetails(
            cached_tokens=at.get("cached_tokens").whole(), cache_write_tokens=at.get("cache_write_tokens").whole()
        ),
        "output_tokens_details": OutputTokensDetails(reasoning_tokens=at.get("reasoning_tokens").whole()),
    }


def _usage(at: _At) -> Usage:
    entries = [
        RequestUsage(**_usage_fields(one), partial=one.get("partial").flag()) for one in at.get("entries").each()
    ]
    return Usage(requests=at.get("requests").whole(), **_usage_fields(at), request_usage_entries=entries)


def _approvals(at: _At) -> Approvals:
    found = Approvals()
    for one in at.get("calls").each():
        # A decision on no call in particular would hold for whatever arguments stand beside it.
        decision = Decision(one.get("approved").flag(), _text_of(one, "message"), one.get("fingerprint").text())
        found.calls[one.get("tool").text(), one.get("call_id").text()] = decision
    for one in at.get("tools").each():
        found.tools[one.get("tool").text()] = Decision(one.get("approved").flag(), _text_of(one, "message"))
    return found


def _verdict(at: _At) -> GuardrailFunctionOutput:
    return GuardrailFunctionOutput(at.members().get("output_info"), at.get("tripwire_triggered").flag())


def _tool_verdict(at: _At) -> ToolGuardrailFunctionOutput:
    behavior = at.get("behavior")
    info = at.members().get("output_info")
    makers: dict[str, Callable[[], ToolGuardrailFunctionOutput]] = {
        "allow": lambda: ToolGuardrailFunctionOutput.allow(info),
        "raise_exception": lambda: ToolGuardrailFunctionOutput.raise_exception(info),
        "reject_content": lambda: ToolGuardrailFunctionOutput.reject_content(behavior.get("message").text(), info),
    }
    return behavior.get("type").one_of(makers)()


def _not_here(*_: Any) -> Any:
    raise UserError("this guardrail was read from a stored state; it is the record of a verdict and cannot be run")


async def state_from_json(
    classes: tuple[type[RunState[Any]], type[PendingTurn]],
    root: Agent[Any],
    found: Any,
    context_override: Any,
    context_deserializer: ContextDeserializer | None,
    *,
    strict_context: bool,
) -> RunState[Any]:
    """Return the state in plain JSON data; see `RunState.from_json`."""
    at = _At(dict(cast("Mapping[str, Any]", found)) if isinstance(found, Mapping) else found)
    check_depth(at.value)
    version = at.members().get("$schemaVersion")
    if version is None:
        raise UserError("this run state cannot be read: $.$schemaVersion is missing; is it a run state at all?")
    if version not in KNOWN_VERSIONS:
        raise UserError(
            f"this run state cannot be read: $.$schemaVersion is {str(version)[:20]!r}, this release reads "
            f"{list(KNOWN_VERSIONS)}; update agentrun"
        )
    stored = at.get("context")
    context = await _context(stored, context_override, context_deserializer, strict=strict_context)
    if isinstance(context, RunContextWrapper):
        context = cast("RunContextWrapper[Any]", context).context
    return _Reader(root, *classes).state(at, context, stored.members().get("tool_input"))


async def _context(at: _At, override: Any, deserializer: ContextDeserializer | None, *, strict: bool) -> Any:
    if override is not None:
        return override
    value, meta = at.members().get("context"), at.get("context_meta")
    if value is None:
        return None
    if deserializer is not None:
        context = deserializer(at.get("context").members())
        return await context if inspect.isawaitable(context) else context
    if meta.members().get("requires_deserializer") is True:
        message = (
            f"the context of this run state was a {meta.members().get('type')!s}; "
            "pass context_deserializer or context_override to get one back"
        )
        if strict:
            raise UserError(message)
        log.warning("%s", message)
    return value
