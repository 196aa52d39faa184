"""Adds a finished turn to the state: from there on it has happened."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from agentrun._items import ReasoningItem, RunItem, ToolCallOutputItem
from agentrun._run.tools import items_of
from agentrun._state import PendingTurn

if TYPE_CHECKING:
    from agentrun._run.context import Run


def record_turn(run: Run) -> None:
    """Record the turn in flight, once: its reply, its items, its outputs, its verdicts, and what still waits."""
    turn, state = run.turn, run.state
    plan = turn.plan
    if turn.recorded:
        return
    turn.recorded = True
    state.turn_open = False
    if plan is None:
        state.record(turn.extra_items)
        return
    if state.pending is None:
        state.raw_responses.append(plan.response)
        state.record(plan.items)
    if turn.outcomes:
        _record_outputs(run)
    state.record(turn.extra_items)
    record_results(run)
    _record_pending(run)
    if plan.has_work:
        state.note_tools(turn.agent, plan.tool_names())


def record_finished_calls(run: Run) -> bool:
    """Record the calls of a failed turn that have their output; return whether there were any.

    They happened and cost what they cost, so that what continues from here must know of them. A turn that was paused
    before stays pending, with these outputs.

    Source: exceptions, "run_data".
    """
    turn, state = run.turn, run.state
    done = [outcome for outcome in turn.outcomes if outcome is not None and outcome.item is not None]
    if turn.recorded or turn.plan is None:
        return False
    if not done:
        settle_pending(run, [])  # a nested run may have made some of the calls that this one waits for
        return False
    turn.recorded = True
    state.turn_open = False
    if state.pending is None:
        state.raw_responses.append(turn.plan.response)
        state.record(_with_reasoning(turn.plan.items, {id(outcome.call.item) for outcome in done}))
    _record_outputs(run)
    record_results(run)
    return True


def _with_reasoning(items: list[RunItem], kept: set[int]) -> list[RunItem]:
    """Return the items whose ids are `kept`, each with the reasoning right before it, which models ask for."""
    found: list[RunItem] = []
    thoughts: list[RunItem] = []
    for item in items:
        if isinstance(item, ReasoningItem):
            thoughts.append(item)
            continue
        if id(item) in kept:
            found += [*thoughts, item]
        thoughts = []
    return found


def _record_outputs(run: Run) -> None:
    outputs = new_outputs(run)
    run.state.record(outputs)
    settle_pending(run, outputs)


def settle_pending(run: Run, outputs: list[RunItem]) -> None:
    """Note outputs that were just recorded in the turn that was paused, if this run goes on with one."""
    if run.state.pending is None:
        return
    ended = [outcome.call.raw for outcome in run.turn.outcomes if outcome is not None and outcome.item is not None]
    run.state.settle(outputs, {raw.call_id: (raw.name, raw.arguments) for raw in ended})


def new_outputs(run: Run) -> list[RunItem]:
    """Return the outputs of the turn that are not recorded yet, in call order."""
    outputs, pending = items_of(run.turn.outcomes), run.state.pending
    if pending is None:
        return outputs
    return [item for item in outputs if cast("ToolCallOutputItem", item).call_id not in pending.outputs]


def record_results(run: Run) -> None:
    """Keep the verdicts of the tool guardrails, and which calls are done."""
    state = run.state
    for outcome in run.turn.outcomes:
        if outcome is None:
            continue
        if outcome.input_results or outcome.output_results:
            state.tool_input_guardrail_results.extend(outcome.input_results)
            state.tool_output_guardrail_results.extend(outcome.output_results)
            outcome.input_results, outcome.output_results = [], []
        if outcome.item is not None:
            raw = outcome.call.raw
            state.calls_done[raw.call_id] = (raw.name, raw.arguments)


def _record_pending(run: Run) -> None:
    """Keep the turn as pending while calls of it wait for a decision."""
    state, plan = run.state, run.turn.plan
    assert plan is not None
    ended = [outcome for outcome in run.turn.outcomes if outcome is not None]
    asked_before = set(map(id, state.interruptions))
    state.interruptions = [item for outcome in ended for item in outcome.interruptions]
    if not state.interruptions:
        state.pending = None
        return
    # What a nested run waits for is not an item of this one.
    own = [outcome.approval for outcome in ended if outcome.approval is not None]
    state.record([item for item in own if id(item) not in asked_before])
    state.pending = PendingTurn(
        plan.response,
        plan.items,
        {outcome.call.raw.call_id: outcome.item for outcome in ended if outcome.item is not None},
        {outcome.call.raw.call_id: outcome.nested for outcome in ended if outcome.nested is not None},
    )
