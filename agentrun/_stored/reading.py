"""A run state from plain JSON data, every value checked where it is read."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from agentrun._approvals import Approvals, Decision, ToolDecision
from agentrun._codec import structure_item
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
)
from agentrun._responses import InputTokensDetails, OutputTokensDetails
from agentrun._stored.names import AgentNames
from agentrun._stored.text import At, check_depth
from agentrun._tool_output import ToolOrigin, ToolOriginType
from agentrun._usage import RequestUsage, Usage
from agentrun._wire_value import WireError

if TYPE_CHECKING:
    from agentrun._agent import Agent
    from agentrun._state import PendingTurn, RunState

ContextDeserializer: TypeAlias = "Callable[[Mapping[str, Any]], Any]"

KNOWN_VERSIONS = ("1.0",)
"""The versions this release reads."""

log = logging.getLogger("agentrun")

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


class _Reader:
    """Reads one state, whose agents hang on `root`."""

    def __init__(self, root: Agent[Any], state_class: type[RunState[Any]], pending_class: type[PendingTurn]) -> None:
        # The classes come from the caller, so that this module does not import the one that imports it.
        self._state_class, self._pending_class = state_class, pending_class
        self._root = root
        self._names = AgentNames(root)
        self._items: list[RunItem] = []

    def agent(self, at: At) -> Agent[Any]:
        name = at.get("name").text()
        agent = self._names.find(name, _text_of(at, "likeness"))
        if agent is None:
            raise UserError(
                f"this run state cannot be read: {at.path}.name is {name!r}, which is none of the agents reachable "
                "from "
                f"{self._root.name!r}: {sorted(self._names.agents)}; pass the agent the run was started with"
            )
        return agent

    def refer(self, at: At) -> list[RunItem]:
        found: list[RunItem] = []
        for one in at.each():
            place = one.whole()
            if place >= len(self._items):
                raise one.refuse(f"the place of one of the {len(self._items)} items")
            found.append(self._items[place])
        return found

    def item(self, at: At) -> RunItem:
        kind = at.get("type")
        cls = kind.one_of(_ITEM_CLASSES)
        agent = self.agent(at.get("agent"))
        raw_at = at.get("raw_item")
        raw: Any = _input_item(raw_at)
        if kind.value not in _PLAIN_RAW or raw.get("type") == "program_output":
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

    def response(self, at: At) -> ModelResponse:
        output: list[Any] = []
        for one in at.get("output").each():
            try:
                output.append(structure_item(one.members()))
            except WireError as exc:
                raise UserError(f"this run state cannot be read: {one.path}{exc.path[1:]}: {exc.reason}") from exc
        return ModelResponse(
            output, _usage(at.get("usage")), at.get("response_id").text_or_none(), _text_of(at, "request_id")
        )

    def state(self, at: At, context: Any, tool_input: Any) -> RunState[Any]:
        max_turns = at.find("max_turns")
        given = at.get("original_input")
        wrapper: RunContextWrapper[Any] = RunContextWrapper(
            context,
            _usage(at.get("context").get("usage")),
            approvals=self._approvals(at.get("context").get("approvals")),
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
        state.session_id = _text_of(at, "session_id")
        state.stored_items = _stored_items(at, state)
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

    def _approvals(self, at: At) -> Approvals:
        found = Approvals()
        for one in at.get("calls").each():
            # A decision on no call in particular would hold for whatever arguments stand beside it.
            decision = Decision(one.get("approved").flag(), _text_of(one, "message"), one.get("fingerprint").text())
            found.calls[one.get("tool").text(), one.get("call_id").text()] = decision
        for one in at.get("tools").each():
            tool, decision = one.get("tool").text(), Decision(one.get("approved").flag(), _text_of(one, "message"))
            # Early states do not say whose tool it is; nobody's then, so that a person is asked again.
            if one.find("agent") is not None:
                found.tools.append(ToolDecision.of(self.agent(one.get("agent")), tool, decision))
        return found

    def _approval(self, at: At) -> ToolApprovalItem:
        place = at.whole()
        item = self._items[place] if place < len(self._items) else None
        if not isinstance(item, ToolApprovalItem):
            raise at.refuse("the place of a tool_approval_item")
        return item

    def _read_history(self, at: At, state: RunState[Any]) -> None:
        state.history = History(_input_item(one) for one in at.get("history_base").each())
        seen = state.next_items if state.next_items is not None else state.new_items
        state.history.extend(state.model_input(item) for item in seen if not isinstance(item, ToolApprovalItem))

    def _pending(self, at: At, state: RunState[Any]) -> PendingTurn:
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

    def _nested(self, at: At, state: RunState[Any], call_id: str) -> RunState[Any]:
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

    def _read_verdicts(self, at: At, state: RunState[Any]) -> None:
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


def _check_calls(at: At, state: RunState[Any]) -> None:
    """Refuse a record in which two calls share an id, or two outputs do."""
    seen: set[tuple[str, str]] = set()
    for place, item in enumerate(state.new_items):
        if not isinstance(item, ToolCallItem | ToolCallOutputItem | HandoffCallItem):
            continue
        if getattr(item.raw_item, "type", None) == "program_output":
            continue  # a program may have several, the last one whole
        call_id = item.call_id if not isinstance(item, HandoffCallItem) else item.raw_item.call_id
        key = ("output" if isinstance(item, ToolCallOutputItem) else "call", call_id or "")
        if key in seen:
            raise UserError(
                f"this run state cannot be read: {at.path}.new_items[{place}] is a second {key[0]} "
                f"with the id {call_id!r}"
            )
        seen.add(key)


def _stored_items(at: At, state: RunState[Any]) -> int:
    """Return how many items the session has; a state without the number was written when it had all of them."""
    found = at.find("stored_items")
    if found is None:
        return len(state.new_items) if state.input_stored else 0
    if found.whole() > len(state.new_items):
        raise found.refuse(f"at most {len(state.new_items)}, the number of items")
    return found.whole()


def _input_item(at: At) -> dict[str, Any]:
    """Return an input item; what a history tells items apart by is text."""
    for key in ("type", "id", "call_id"):
        found = at.find(key)
        if found is not None:
            found.text()
    return at.members()


def _check_waiting(at: At, state: RunState[Any]) -> None:
    """Refuse open decisions on calls that do not wait, and a nested run without an open turn."""
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
        if nested.pending is None:
            raise UserError(
                f"this run state cannot be read: {at.path}.pending_turn.nested.{call_id}.pending_turn is null, "
                "expected the turn that the nested run goes on with"
            )


def _text_of(at: At, key: str) -> str | None:
    found = at.find(key)
    return None if found is None else found.text()


def _origin(at: At) -> ToolOrigin | None:
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


def _usage_fields(at: At) -> dict[str, Any]:
    return {
        "input_tokens": at.get("input_tokens").whole(),
        "output_tokens": at.get("output_tokens").whole(),
        "total_tokens": at.get("total_tokens").whole(),
        "input_tokens_details": InputTokensDetails(
            cached_tokens=at.get("cached_tokens").whole(), cache_write_tokens=at.get("cache_write_tokens").whole()
        ),
        "output_tokens_details": OutputTokensDetails(reasoning_tokens=at.get("reasoning_tokens").whole()),
    }


def _usage(at: At) -> Usage:
    entries = [
        RequestUsage(**_usage_fields(one), partial=one.get("partial").flag()) for one in at.get("entries").each()
    ]
    return Usage(requests=at.get("requests").whole(), **_usage_fields(at), request_usage_entries=entries)


def _verdict(at: At) -> GuardrailFunctionOutput:
    return GuardrailFunctionOutput(at.members().get("output_info"), at.get("tripwire_triggered").flag())


def _tool_verdict(at: At) -> ToolGuardrailFunctionOutput:
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
    at = At(dict(cast("Mapping[str, Any]", found)) if isinstance(found, Mapping) else found)
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


async def _context(at: At, override: Any, deserializer: ContextDeserializer | None, *, strict: bool) -> Any:
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
