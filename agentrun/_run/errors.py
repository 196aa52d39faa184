"""Asks the caller's error handlers for an output in the place of an error."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from agentrun._config import (
    OutputGuardrailBlockedMessageArgs,
    RunErrorData,
    RunErrorHandlerInput,
    RunErrorHandlerResult,
)
from agentrun._exceptions import MaxTurnsExceeded, ModelBehaviorError, ModelRefusalError, UserError
from agentrun._items import ToolCallOutputItem

if TYPE_CHECKING:
    from agentrun._agent import Agent
    from agentrun._run.context import Run

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
    answer: Any = handler(RunErrorHandlerInput(cast("Any", error), run.state.context, _data_of(run)))
    if inspect.isawaitable(answer):
        answer = await answer
    if answer is None:
        return None
    result = _as_result(kind, answer)
    result.final_output = _fitting(run.agent, kind, result.final_output)
    return result


def _data_of(run: Run) -> RunErrorData:
    state = run.state
    output = [item.to_input_item() for item in state.new_items if item.type != "tool_approval_item"]
    return RunErrorData(
        state.original_input,
        list(state.new_items),
        [*state.input_items(), *output],
        output,
        list(state.raw_responses),
        run.agent,
    )


def _as_result(kind: str, answer: Any) -> RunErrorHandlerResult:
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
        return output if isinstance(output, str) else str(output)
    try:
        return schema.validate_json(output_as_text(agent, output))
    except (ModelBehaviorError, TypeError, ValueError) as exc:
        raise UserError(
            f"the {kind} handler returned {output!r}, which does not fit the output type {schema.name()} "
            f"of agent {agent.name!r}: {exc}"
        ) from exc


WITHHELD = "Output withheld by an output guardrail."
"""What stands in the record for the output of a tool that a guardrail rejected."""


async def withhold_output(run: Run, guardrail_name: str) -> None:
    """Replace the outputs that made a rejected final output by a text that says so.

    Source: guardrails, "Output guardrails".
    """
    config = run.spec.config
    blocked: Any = config.output_guardrail_blocked_message
    if callable(blocked):
        blocked = blocked(OutputGuardrailBlockedMessageArgs(WITHHELD, guardrail_name, run.agent, run.state.context))
        if inspect.isawaitable(blocked):
            blocked = await blocked
    text = blocked if isinstance(blocked, str) else WITHHELD
    for outcome in run.output_makers:
        item = outcome.item
        if item is not None:
            raw = {**item.raw_item, "output": text}
            outcome.item = ToolCallOutputItem(run.agent, raw, text, tool_origin=item.tool_origin)


def output_as_text(agent: Agent[Any], output: Any) -> str:
    """Return an output as the text a model would have written for it.

    Raises:
        TypeError: the output has no JSON form.
    """
    if isinstance(output, str):
        schema = agent.compiled_output()
        if schema is None or schema.is_plain_text():
            return output
    schema = agent.compiled_output()
    plain = _plain(output)
    if schema is not None and set(schema.json_schema().get("properties", ())) == {"response"}:
        plain = {"response": plain}
    return json.dumps(plain, ensure_ascii=False)


def _plain(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    if dump is not None:
        return dump(mode="json")
    import dataclasses

    import attrs

    if attrs.has(cast("type[object]", type(value))):
        return attrs.asdict(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return value
