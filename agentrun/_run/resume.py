"""Brings back a turn that was paused for approval: the same reply, with what is already done of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from agentrun._exceptions import ModelBehaviorError
from agentrun._items import RunItem, ToolCallItem, ToolCallOutputItem
from agentrun._responses import ResponseFunctionToolCall
from agentrun._run.call import Outcome
from agentrun._run.context import Run, Turn
from agentrun._run.model import make_offer
from agentrun._run.reply import Plan, PlannedCall, PlannedHandoff, qualified_name, shown

if TYPE_CHECKING:
    from agentrun._items import ToolApprovalItem
    from agentrun._state import RunState


async def rebuild_turn(run: Run) -> Turn:
    """Return the pending turn of the state, ready for `run_calls` to start what is decided.

    Raises:
        ModelBehaviorError: the agent no longer has a tool that was called.

    Source: human in the loop.
    """
    state = run.state
    pending = state.pending
    assert pending is not None
    agent = state.current_agent
    offer = await make_offer(run, agent)
    plan = Plan(pending.reply, items=list(pending.items))
    turn = Turn(agent, offer, plan)
    for item in pending.items:
        if item.type == "handoff_call_item":
            raw = item.raw_item
            handoff = offer.handoffs.get(raw.name)
            if handoff is None:
                raise ModelBehaviorError(f"Handoff {shown(raw.name)} not found in agent {agent.name}")
            plan.handoffs.append(PlannedHandoff(raw, handoff))
        elif isinstance(item, ToolCallItem) and isinstance(item.raw_item, ResponseFunctionToolCall):
            call_id = item.raw_item.call_id
            _add_call(run, turn, plan, item, pending.outputs.get(call_id), pending.nested.get(call_id))
    return turn


def _asks(item: ToolApprovalItem, raw: ResponseFunctionToolCall) -> bool:
    return item.call_id == raw.call_id and item.name == raw.name and item.arguments == raw.arguments


def _add_call(
    run: Run, turn: Turn, plan: Plan, item: ToolCallItem, output: RunItem | None, nested: RunState[Any] | None
) -> None:
    raw = cast("ResponseFunctionToolCall", item.raw_item)
    offer = turn.offer
    assert offer is not None
    tool = offer.functions.get(qualified_name(raw))
    if tool is None and output is None and run.spec.config.tool_not_found_behavior == "raise_error":
        raise ModelBehaviorError(f"Tool {shown(raw.name)} not found in agent {turn.agent.name}")
    if nested is not None and tool is not None and not tool.nests_run:
        # What was decided inside of the nested run says nothing about a tool that has taken its name.
        raise ModelBehaviorError(
            f"tool {shown(raw.name)} of agent {turn.agent.name} waits with a run of an agent, and is no agent tool any "
            "more; give the agent its tools back before the state is run"
        )
    call = PlannedCall(raw, item, tool)
    plan.calls.append(call)
    if output is None:
        approval = next((one for one in run.state.interruptions if one.raw_item is raw or _asks(one, raw)), None)
        waits = approval is not None and nested is None
        turn.outcomes.append(
            Outcome(call, len(turn.outcomes), approval=approval if waits else None, nested=nested)
            if waits or nested
            else None
        )
        return
    done = cast("ToolCallOutputItem", output)
    turn.outcomes.append(Outcome(call, len(turn.outcomes), done.output, done))
    turn.shown.append(done)
