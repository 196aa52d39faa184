"""Performs a handoff: another agent takes over, and sees of the conversation what the filter leaves."""

from __future__ import annotations

import inspect
import logging
from typing import TYPE_CHECKING, Any

import anyio.lowlevel

from agentrun._exceptions import UserError
from agentrun._handoff import HandoffInputData
from agentrun._items import HandoffOutputItem, RunItem, ToolApprovalItem, ToolCallOutputItem
from agentrun._run import sessions
from agentrun._run.machine import Event
from agentrun._run.record import new_outputs, record_results, record_turn, settle_pending
from agentrun._run.tools import items_of
from agentrun._tool_output import answer_item

if TYPE_CHECKING:
    from agentrun._handoff import Handoff
    from agentrun._run.context import Run

log = logging.getLogger("agentrun")

IGNORED = "Multiple handoffs detected, ignoring this one."
"""The output of every handoff of a reply but the first."""


async def hand_over(run: Run) -> Event:
    """Make the first handoff of the reply happen.

    Raises:
        UserError: an input filter returned no `HandoffInputData`, or filters a conversation that the provider keeps.
        Exception: whatever the handoff's own function, a hook or a filter raises.

    Source: handoffs.
    """
    turn, state = run.turn, run.state
    plan = turn.plan
    assert plan is not None
    first, *ignored = plan.handoffs
    source = turn.agent
    for other in ignored:
        item = ToolCallOutputItem(source, answer_item(other.raw, IGNORED), IGNORED)
        turn.extra_items.append(item)
        await run.sink.item(item)
    await anyio.lowlevel.checkpoint_if_cancelled()
    if first.handoff.agent is not None:
        run.use.take(first.handoff.agent)
    target = await first.handoff.on_invoke_handoff(state.context, first.raw.arguments)
    run.use.take(target)
    message = first.handoff.get_transfer_message(target)
    output = HandoffOutputItem(source, answer_item(first.raw, message), source, target)
    await run.announce.handoff(state.context, source, target)
    turn.extra_items.append(output)
    await _record(run, first.handoff)
    await sessions.store(run)
    await run.sink.item(output)
    state.current_agent = target
    state.agent_started = False
    await run.sink.agent(target)
    return Event.HANDED_OVER


async def _record(run: Run, handoff: Handoff[Any, Any]) -> None:
    """Record the turn, as the filter in force leaves it: the handoff's, else the configured one, else nesting.

    Source: handoffs, "Input filters".
    """
    config, state = run.spec.config, run.state
    input_filter = handoff.input_filter if handoff.input_filter is not None else config.handoff_input_filter
    nests = handoff.nest_handoff_history if handoff.nest_handoff_history is not None else config.nest_handoff_history
    if state.server_managed:
        if input_filter is not None:
            raise UserError(
                f"handoff {handoff.tool_name!r} has an input filter, but the provider keeps this conversation; "
                "filter without conversation_id and previous_response_id"
            )
        if nests:
            log.warning("nest_handoff_history does nothing in a conversation that the provider keeps")
        nests = False
    if input_filter is None and not nests:
        record_turn(run)
        return
    mine = _turn_items(run)
    before = state.next_items if state.next_items is not None else state.new_items
    if state.pending is not None:  # the first part of this turn is recorded already
        known = set(map(id, mine))
        before = [item for item in before if id(item) not in known and not isinstance(item, ToolApprovalItem)]
    data = HandoffInputData(
        state.original_input if isinstance(state.original_input, str) else tuple(state.original_input),
        tuple(before),
        tuple(mine),
        state.context,
    )
    if input_filter is not None:
        filtered: Any = input_filter(data)
        if inspect.isawaitable(filtered):
            filtered = await filtered
        if not isinstance(filtered, HandoffInputData):
            raise UserError(
                f"the input filter of handoff {handoff.tool_name!r} returned {filtered!r}, expected a HandoffInputData"
            )
    else:
        from agentrun._handoff_history import nest_handoff_history

        filtered = nest_handoff_history(data, history_mapper=config.handoff_history_mapper)
    _apply(run, filtered)


def _turn_items(run: Run) -> list[RunItem]:
    """Return what the turn made, in the order it is recorded in."""
    plan = run.turn.plan
    assert plan is not None
    return [*plan.items, *items_of(run.turn.outcomes), *run.turn.extra_items]


def _apply(run: Run, filtered: HandoffInputData) -> None:
    """Record the turn as filtered: the next agent sees the filtered conversation, the caller the filtered turn."""
    state, turn, plan = run.state, run.turn, run.turn.plan
    assert plan is not None
    history = filtered.input_history
    mine = list(filtered.new_items)
    seen = list(filtered.input_items) if filtered.input_items is not None else mine
    resumed = state.pending is not None
    if not resumed:
        state.raw_responses.append(plan.response)
    settle_pending(run, new_outputs(run))
    if resumed and sessions.keeps_back(run):
        left_out = set(map(id, _turn_items(run))) - set(map(id, mine))
        state.drop_unstored(left_out)
    recorded = set(map(id, state.new_items))
    kept = [item for item in mine if id(item) not in recorded] if resumed else mine
    state.rewrite(
        history if isinstance(history, str) else list(history),
        [*state.new_items, *kept],
        [*filtered.pre_handoff_items, *seen],
    )
    state.pending, state.interruptions = None, []
    record_results(run)
    state.note_tools(turn.agent, plan.tool_names())
    turn.recorded = True
    state.turn_open = False
