"""Asks the caller's error handlers for an output in the place of an error."""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import attrs

from agentrun._exceptions import MaxTurnsExceeded, ModelBehaviorError, ModelRefusalError, UserError
from agentrun._items import MessageOutputItem, ReasoningItem, RunItem, ToolCallOutputItem
from agentrun._logging import traceback_of
from agentrun._run.leave import failing_if_uncalled_for
from agentrun._run.sessions import keeps_back

if TYPE_CHECKING:
    from agentrun._agent import Agent
    from agentrun._exceptions import OutputGuardrailTripwireTriggered
    from agentrun._failure_values import RunErrorData, RunErrorHandlerResult
    from agentrun._run.context import Run

log = logging.getLogger("agentrun")

_KINDS: tuple[tuple[type[Exception], str], ...] = (
    (MaxTurnsExceeded, "max_turns"),
    (ModelRefusalError, "model_refusal"),
    (ModelBehaviorError, "invalid_final_output"),
)

KNOWN_KINDS = tuple(kind for _, kind in _KINDS)
"""The names a caller may use in `error_handlers`."""

_ANSWER_KEYS = {"final_output", "include_in_history"}


async def ask_handler(run: Run, error: Exception) -> RunErrorHandlerResult | None:
    """Return what the handler for `error` supplies, None when there is none or it declines.

    Raises:
        UserError: the handler's answer has unknown keys, or its output does not fit the agent's `output_type`.
        Exception: whatever the handler raises.

    Source: running agents, "Error handlers".
    """
    kind = next(name for cls, name in _KINDS if isinstance(error, cls))
    handler: Any = run.spec.error_handlers.get(kind)
    if handler is None:
        return None
    from agentrun._failure_values import RunErrorHandlerInput

    answer: Any = handler(RunErrorHandlerInput(cast("Any", error), run.state.context, _data_of(run)))
    if inspect.isawaitable(answer):
        answer = await answer
    if answer is None:
        return None
    result = _as_result(kind, answer)
    result.final_output = _fitting(run.agent, kind, result.final_output)
    return result


def _data_of(run: Run) -> RunErrorData:
    """Return what the run has done, with the reply that is no good: it is not recorded yet."""
    from agentrun._failure_values import RunErrorData

    state, turn = run.state, run.turn
    plan = None if turn.recorded else turn.plan
    items = [*state.new_items, *(plan.items if plan is not None else ())]
    output = [item.to_input_item() for item in items if item.type != "tool_approval_item"]
    return RunErrorData(
        state.original_input,
        items,
        [*state.input_items(), *output],
        output,
        [*state.raw_responses, *((plan.response,) if plan is not None else ())],
        run.agent,
    )


def _as_result(kind: str, answer: Any) -> RunErrorHandlerResult:
    from agentrun._failure_values import RunErrorHandlerResult

    if isinstance(answer, RunErrorHandlerResult):
        return RunErrorHandlerResult(answer.final_output, answer.include_in_history)
    if not (isinstance(answer, Mapping) and "final_output" in answer):
        return RunErrorHandlerResult(answer)
    given = cast("Mapping[str, Any]", answer)
    unknown = sorted(set(given) - _ANSWER_KEYS)
    if unknown:
        raise UserError(f"the {kind} handler returned the unknown key(s) {unknown}; known are {sorted(_ANSWER_KEYS)}")
    return RunErrorHandlerResult(given["final_output"], bool(given.get("include_in_history", True)))


def _fitting(agent: Agent[Any], kind: str, output: Any) -> Any:
    """Return a handler's output as the agent's `output_type`.

    Raises:
        UserError: it does not fit.
    """
    schema = agent.compiled_output()
    if schema is None or schema.is_plain_text():
        return output
    try:
        return schema.validate_json(output_as_text(agent, output))
    except (ModelBehaviorError, TypeError, ValueError) as exc:
        raise UserError(
            f"the {kind} handler returned {output!r}, which does not fit the output type {schema.name()} "
            f"of agent {agent.name!r}: {exc}"
        ) from exc


WITHHELD = "Output withheld by an output guardrail."
"""What stands in the record for the output of a tool that a guardrail rejected."""


async def withhold_output(run: Run, trip: OutputGuardrailTripwireTriggered) -> None:
    """Replace a rejected output that tools made by a text that says so, in the turn and wherever a verdict quotes it.

    Messages of the reply go with it: nobody is to get them. The calls stay, for they have happened.

    Source: guardrails, "Output guardrails".
    """
    text = await _blocked_message(run, trip.guardrail_result.guardrail.get_name())
    for outcome in run.output_makers:
        item = outcome.item
        if item is not None:
            raw = {**item.raw_item, "output": text}
            outcome.item = ToolCallOutputItem(run.agent, raw, text, tool_origin=item.tool_origin)
        for verdict in outcome.output_results:
            verdict.output = attrs.evolve(verdict.output, output_info=text)
    for judged in {id(one): one for one in (*run.state.output_guardrail_results, trip.guardrail_result)}.values():
        if judged.agent_output is run.output:
            judged.agent_output = text
            judged.output = attrs.evolve(judged.output, output_info=None)
    plan = run.turn.plan
    assert plan is not None
    kept = _without_messages(plan.items)
    if keeps_back(run):  # the first part of a turn that was paused is recorded already
        run.state.drop_unstored(set(map(id, plan.items)) - set(map(id, kept)))
    plan.items = kept


async def _blocked_message(run: Run, guardrail_name: str) -> str:
    """Return what stands in the place of a rejected output; a formatter that fails is passed over for our own words."""
    blocked: object = run.spec.config.output_guardrail_blocked_message
    if callable(blocked):
        from agentrun._failure_values import OutputGuardrailBlockedMessageArgs

        args = OutputGuardrailBlockedMessageArgs(WITHHELD, guardrail_name, run.agent, run.state.context)
        try:
            with failing_if_uncalled_for("the formatter of output_guardrail_blocked_message"):
                blocked = blocked(args)
                if inspect.isawaitable(blocked):
                    blocked = cast("object", await blocked)
        except Exception as exc:  # boundary of the user's formatter: a wording that fails must not let the output out
            log.error(
                "the formatter of output_guardrail_blocked_message failed with %s; the default message is used",
                type(exc).__name__,
                exc_info=traceback_of(exc, tool_data=True, model_data=True),
            )
            return WITHHELD
    return blocked if isinstance(blocked, str) and blocked else WITHHELD


def _without_messages(items: list[RunItem]) -> list[RunItem]:
    """Return `items` without messages, and without the reasoning that no provider takes when its message is gone."""
    kept: list[RunItem] = []
    dropped = False
    for item in reversed(items):
        dropped = isinstance(item, MessageOutputItem) or (dropped and isinstance(item, ReasoningItem))
        if not dropped:
            kept.append(item)
    return kept[::-1]


def output_as_text(agent: Agent[Any], output: Any) -> str:
    """Return an output as the text a model would have written for it.

    Raises:
        TypeError: the output has no JSON form, and the agent an output type.
    """
    schema = agent.compiled_output()
    if schema is None or schema.is_plain_text():
        return str(output)
    from agentrun.agent_output import AgentOutputSchema

    if isinstance(schema, AgentOutputSchema):
        return schema.dump_json(output)
    return json.dumps(output, ensure_ascii=False, separators=(",", ":"))
