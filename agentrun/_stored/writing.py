"""A run state as plain JSON data."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import attrs

from agentrun._approvals import Approvals
from agentrun._context import RunContextWrapper
from agentrun._exceptions import UserError
from agentrun._guardrail import (
    GuardrailFunctionOutput,
    ToolGuardrailFunctionOutput,
)
from agentrun._items import (
    HandoffOutputItem,
    InputItem,
    ModelResponse,
    RunItem,
    ToolApprovalItem,
    ToolCallItem,
    ToolCallOutputItem,
    to_input,
)
from agentrun._stored.names import AgentNames
from agentrun._stored.text import MAX_DEPTH, Json, check_depth
from agentrun._tool_output import ToolOrigin
from agentrun._usage import RequestUsage, Usage

if TYPE_CHECKING:
    from agentrun._state import RunState

ContextSerializer: TypeAlias = "Callable[[Any], Mapping[str, Any]]"

SCHEMA_VERSION = "1.0"
"""The version this release writes."""

log = logging.getLogger("agentrun")


def state_to_json(
    state: RunState[Any], context_serializer: ContextSerializer | None, *, strict_context: bool
) -> dict[str, Json]:
    """Return `state` as plain JSON data; see `RunState.to_json`."""
    names = AgentNames(state.starting_agent)
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
        "context": _context_to_json(state.context, context_serializer, names, strict=strict_context),
        "new_items": refer(state.new_items),
        "next_items": None if state.next_items is None else refer(state.next_items),
        "interruptions": refer(item for item in state.interruptions if _is_own(state, item)),
        "model_responses": [_response_to_json(one) for one in state.raw_responses],
        "tool_use_tracker": {agent: list(used) for agent, used in state.tools_used.items()},
        "calls_done": {call_id: list(done) for call_id, done in state.calls_done.items()},
        "unsent": None if state.unsent is None else [to_input(item) for item in state.unsent],
        "unstored": None if state.unstored is None else [to_input(item) for item in state.unstored],
        "input_stored": state.input_stored,
        "session_id": state.session_id,
        "stored_items": state.stored_items,
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


def _item_to_json(item: RunItem, names: AgentNames) -> Json:
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


def _approvals_to_json(approvals: Approvals, names: AgentNames) -> Json:
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
            {
                "agent": names.name(agent),
                "tool": one.tool,
                "approved": one.decision.approved,
                "message": one.decision.message,
            }
            for one in approvals.tools
            # What was decided for an agent of a nested run holds there, and is stored there.
            if (agent := one.agent) is not None and names.knows(agent)
        ],
    }


def _context_to_json(
    wrapper: RunContextWrapper[Any], serializer: ContextSerializer | None, names: AgentNames, *, strict: bool
) -> Json:
    """Return the run's context: a mapping goes as it is, data classes with a warning, anything else not at all.

    Raises:
        UserError: with `strict`, a context that would not come back as it is.
    """
    context = wrapper.context
    value: Json = None
    how, omitted = "none", False
    if context is None:
        pass
    elif serializer is not None:
        value, how = dict(serializer(context)), "context_serializer"
    elif isinstance(context, Mapping):
        value, how = dict(cast("Mapping[str, Any]", context)), "mapping"
    elif strict:
        raise UserError(
            f"the context is a {type(context).__name__}, which has no JSON form of its own; "
            "pass context_serializer, or a dict as context"
        )
    else:
        with suppress(UserError, TypeError, ValueError, RecursionError):  # a lock or a connection among the fields
            value = _json_of(_data_class_to_json(context))
        omitted = value is None
        how = "omitted" if omitted else "model_dump" if _kind_of(context) == "pydantic" else "asdict"
        log.warning(
            "the context of a run, a %s, is stored %s; pass context_serializer to store it whole",
            type(context).__name__,
            "not at all" if omitted else "as a plain dict",
        )
        value = {} if omitted else value
    try:
        value = _json_of(value)
    except (TypeError, ValueError, RecursionError) as exc:
        raise UserError(f"the context has no JSON form: {exc}; pass context_serializer") from exc
    meta: dict[str, Json] = {
        "type": type(cast("object", context)).__name__,
        "original_type": _kind_of(context),
        "serialized_via": how,
        "requires_deserializer": how not in ("none", "mapping"),
        "omitted": omitted,
    }
    return {
        "context": value,
        "context_meta": meta,
        "usage": _usage_to_json(wrapper.usage),
        "approvals": _approvals_to_json(wrapper.approvals, names),
        "tool_input": _json_or_text(wrapper.tool_input),
    }


def _kind_of(context: Any) -> str:
    import dataclasses

    if context is None or isinstance(context, Mapping):
        return "none" if context is None else "mapping"
    if attrs.has(cast("type[object]", type(context))) or dataclasses.is_dataclass(context):
        return "dataclass"
    return "pydantic" if hasattr(context, "model_dump") else "custom"


def _data_class_to_json(value: Any) -> dict[str, Any] | None:
    import dataclasses

    if attrs.has(cast("type[object]", type(value))):
        return attrs.asdict(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    dump = getattr(value, "model_dump", None)
    return dump(mode="json") if dump is not None else None


def _json_of(value: Any) -> Json:
    check_depth(value, "the context")
    found: Json = json.loads(json.dumps(value, allow_nan=False))
    return found


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
