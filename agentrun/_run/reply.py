"""What a model's reply asks for: its items, the calls to run, the handoffs, the answer. Decides; performs nothing."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import attrs

from agentrun._codec import structure_item
from agentrun._exceptions import ModelBehaviorError
from agentrun._fields import new_list
from agentrun._items import (
    CompactionItem,
    HandoffCallItem,
    MCPApprovalRequestItem,
    MCPListToolsItem,
    MessageOutputItem,
    ReasoningItem,
    RunItem,
    ToolCallItem,
    ToolCallOutputItem,
    ToolSearchCallItem,
    ToolSearchOutputItem,
    UnknownItem,
)
from agentrun._responses import ResponseFunctionToolCall
from agentrun._tool_output import ToolOrigin, ToolOriginType
from agentrun._wire_value import Record, WireError, WireValue

if TYPE_CHECKING:
    from agentrun._agent import Agent
    from agentrun._config import ToolNotFoundBehavior
    from agentrun._handoff import Handoff
    from agentrun._items import ModelResponse
    from agentrun._responses import TResponseOutputItem
    from agentrun._tool import FunctionTool

LONGEST_NAME = 64
"""How much of a name that a model made up is shown; the rest would only fill logs."""

_ITEM_CLASSES: dict[str, type[Any]] = {
    "message": MessageOutputItem,
    "reasoning": ReasoningItem,
    "compaction": CompactionItem,
    "mcp_list_tools": MCPListToolsItem,
    "mcp_approval_request": MCPApprovalRequestItem,
    "tool_search_call": ToolSearchCallItem,
    "tool_search_output": ToolSearchOutputItem,
    "program": ToolCallItem,
}

_LOCAL_CALLS = frozenset({"custom_tool_call", "computer_call", "local_shell_call", "shell_call", "apply_patch_call"})
"""Calls that somebody on this side would have to run."""


@attrs.define(eq=False, repr=False)
class PlannedCall:
    """A function call of the reply; `tool` is None for a name nobody knows, when the model is to be told so."""

    raw: ResponseFunctionToolCall
    item: ToolCallItem
    tool: FunctionTool | None


@attrs.define(eq=False, repr=False)
class PlannedHandoff:
    """A call of the reply that hands over."""

    raw: ResponseFunctionToolCall
    handoff: Handoff[Any, Any]


@attrs.define(eq=False, repr=False)
class Plan:
    """A reply, taken apart."""

    response: ModelResponse
    items: list[RunItem] = attrs.field(factory=new_list)
    """What the reply adds to the run, in the model's order."""
    calls: list[PlannedCall] = attrs.field(factory=new_list)
    """In the model's order."""
    handoffs: list[PlannedHandoff] = attrs.field(factory=new_list)
    """In the model's order; the first one counts."""
    hosted_tools: list[str] = attrs.field(factory=new_list)
    """The types of the tools the provider ran itself."""
    repeats: bool = False
    """Whether a call was left out since it repeats one that is done."""

    @property
    def has_work(self) -> bool:
        """Whether something is left to do on this side before the run can go on."""
        return bool(self.calls or self.handoffs)

    @property
    def message(self) -> MessageOutputItem | None:
        """The last message of the reply."""
        for item in reversed(self.items):
            if isinstance(item, MessageOutputItem):
                return item
        return None

    def tool_names(self) -> list[str]:
        """Return the names of the tools the reply used, for `reset_tool_choice`."""
        return [*(call.raw.name for call in self.calls), *(one.raw.name for one in self.handoffs), *self.hosted_tools]


def shown(name: str) -> str:
    """Return a name that a model wrote as it may stand in a message: whole if harmless, else quoted and cut."""
    if len(name) <= LONGEST_NAME and name.isprintable():
        return name
    return repr(name[:LONGEST_NAME]) + ("…" if len(name) > LONGEST_NAME else "")


def whole_items(output: list[Any]) -> list[TResponseOutputItem]:
    """Return the items of a reply in our own classes, whatever a custom model put there.

    Raises:
        ModelBehaviorError: one of them is no output item.
    """
    try:
        return [_ours(item) for item in output]
    except WireError as exc:
        raise ModelBehaviorError(f"the model's reply holds something that is no output item: {exc}") from exc


def _ours(item: Any) -> Any:
    if isinstance(item, (WireValue, Record)):
        return item
    if type(item) is dict:
        return structure_item(cast("dict[str, Any]", item))
    if hasattr(item, "model_dump"):
        return structure_item(item.model_dump(exclude_unset=True))
    return item


def find_repeats(output: Sequence[TResponseOutputItem], calls_done: Mapping[str, tuple[str, str]]) -> Collection[int]:
    """Return where the calls are that repeat a finished one, or one before them in the same reply.

    Args:
        output: the items of the reply.
        calls_done: name and arguments of the calls finished before, by call id.

    Raises:
        ModelBehaviorError: a call without id, or one id for two different calls.
    """
    repeats: list[int] = []
    seen: dict[str, tuple[str, str]] = {}
    for index, raw in enumerate(output):
        if not isinstance(raw, ResponseFunctionToolCall):
            continue
        call_id = raw.call_id
        if not call_id:
            raise ModelBehaviorError(f"the model called {shown(raw.name)} without a call id")
        known = seen.get(call_id) or calls_done.get(call_id)
        if known is None:
            seen[call_id] = (raw.name, raw.arguments)
        elif known[0] == raw.name and _same_arguments(known[1], raw.arguments):
            repeats.append(index)
        else:
            raise ModelBehaviorError(
                f"the model used call id {shown(call_id)} for two different calls, "
                f"of {shown(known[0])} and {shown(raw.name)}"
            )
    return repeats


def _same_arguments(one: str, other: str) -> bool:
    """Return whether two texts are the same JSON: spaces and the order of keys do not count, 1 and 1.0 differ."""
    if one == other:
        return True
    try:
        ours, theirs = (json.dumps(json.loads(text), sort_keys=True) for text in (one, other))
    except (ValueError, RecursionError):
        return False
    return ours == theirs


def take_apart(
    response: ModelResponse,
    agent: Agent[Any],
    tools: Mapping[str, FunctionTool],
    handoffs: Mapping[str, Handoff[Any, Any]],
    repeats: Collection[int],
    not_found: ToolNotFoundBehavior,
) -> Plan:
    """Return the plan for a reply.

    Args:
        response: the reply.
        agent: whose turn it is.
        tools: the function tools offered in this turn, by name.
        handoffs: the handoffs offered in this turn, by tool name; they win over tools of the same name.
        repeats: where the calls are that are left out, as `find_repeats` says.
        not_found: what to do about a name that is neither.

    Raises:
        ModelBehaviorError: a call of something that was not offered.
    """
    plan = Plan(response, repeats=bool(repeats))
    for index, raw in enumerate(response.output):
        if index in repeats:
            # What the model thought right before the call goes with it: providers refuse it alone.
            while plan.items and isinstance(plan.items[-1], ReasoningItem):
                plan.items.pop()
            continue
        if isinstance(raw, ResponseFunctionToolCall):
            _plan_call(plan, raw, agent, tools, handoffs, not_found)
            continue
        kind = raw.type
        if kind in _LOCAL_CALLS and not _declares(agent, kind):
            raise ModelBehaviorError(f"the model made a {kind}, but agent {agent.name!r} has no tool for it")
        cls = _ITEM_CLASSES.get(kind)
        if kind in ("program", "program_output"):
            _check_programs(agent, f"wrote a {kind}")
            plan.hosted_tools.append("programmatic_tool_calling")
            if kind == "program_output":
                plan.items.append(ToolCallOutputItem(agent, raw, getattr(raw, "result", None)))
                continue
        elif kind in ("tool_search_call", "tool_search_output"):
            if getattr(raw, "execution", None) == "client" and kind == "tool_search_call":
                raise ModelBehaviorError(
                    f"the model asked agent {agent.name!r} for a tool search on this side, which no tool of ours does; "
                    "let the provider search"
                )
            plan.hosted_tools.append("tool_search")
        elif cls is None and kind.endswith("_call"):
            cls = ToolCallItem
            plan.hosted_tools.append(kind)
        make: type[Any] = cls or UnknownItem
        item = make(agent=agent, raw_item=raw)
        if kind == "mcp_call":
            item.tool_origin = ToolOrigin(ToolOriginType.MCP, mcp_server_name=getattr(raw, "server_label", None))
        plan.items.append(item)
    return plan


def _check_programs(agent: Agent[Any], what: str) -> None:
    """Refuse what only a program can lead to, for an agent whose model was not offered to write one."""
    from agentrun._hosted_tools import ProgrammaticToolCallingTool

    if not any(isinstance(tool, ProgrammaticToolCallingTool) for tool in agent.tools):
        raise ModelBehaviorError(f"the model {what}, but agent {agent.name!r} has no ProgrammaticToolCallingTool")


def _declares(agent: Agent[Any], kind: str) -> bool:
    """Return whether the agent declares a tool for one of the local call types."""
    wanted = kind.removesuffix("_call")
    return any(getattr(tool, "type", getattr(tool, "name", "")) == wanted for tool in agent.tools)


def _plan_call(
    plan: Plan,
    raw: ResponseFunctionToolCall,
    agent: Agent[Any],
    tools: Mapping[str, FunctionTool],
    handoffs: Mapping[str, Handoff[Any, Any]],
    not_found: ToolNotFoundBehavior,
) -> None:
    handoff = handoffs.get(raw.name)
    if handoff is not None:
        plan.items.append(HandoffCallItem(agent=agent, raw_item=raw))
        plan.handoffs.append(PlannedHandoff(raw, handoff))
        return
    tool = tools.get(qualified_name(raw))
    if tool is None and not_found == "raise_error":
        raise ModelBehaviorError(f"Tool {shown(raw.name)} not found in agent {agent.name}")
    by_program = is_by_program(raw)
    if by_program:
        _check_programs(agent, f"called {shown(raw.name)} from a program")
    if tool is not None and ("programmatic" if by_program else "direct") not in (tool.allowed_callers or ("direct",)):
        raise ModelBehaviorError(
            f"the model called {shown(raw.name)} {'from a program' if by_program else 'itself'}, and the tool's "
            f"allowed_callers are {tool.allowed_callers or ['direct']}"
        )
    item = ToolCallItem(
        agent=agent,
        raw_item=raw,
        description=tool.description if tool else None,
        tool_origin=tool.tool_origin if tool else None,
    )
    plan.items.append(item)
    plan.calls.append(PlannedCall(raw, item, tool))


def is_by_program(call: ResponseFunctionToolCall) -> bool:
    """Return whether a program of the model made the call, and not the model itself."""
    caller: Any = call.caller  # of a model of the caller's own, also in a class of its own library
    if caller is None:
        return False
    if isinstance(caller, Mapping):
        return cast("Mapping[str, Any]", caller).get("type") == "program"
    return getattr(caller, "type", None) == "program"


def qualified_name(raw: ResponseFunctionToolCall) -> str:
    """Return the name a call means, with its namespace before it."""
    namespace = raw.namespace
    return f"{namespace}.{raw.name}" if namespace and namespace != raw.name else raw.name
