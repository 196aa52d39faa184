"""Sibling: one function call of a reply, from its approval over its guardrails and its body to its output."""

from __future__ import annotations

import copy
import inspect
import json
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, cast

import anyio
import anyio.lowlevel
import attrs

from agentrun._agent_tool_values import AgentToolPause
from agentrun._context import ToolContext
from agentrun._exceptions import AgentsException, ToolTimeoutError, UserError
from agentrun._fields import new_list
from agentrun._items import ToolApprovalItem, ToolCallOutputItem
from agentrun._logging import log_tool_data, traceback_of
from agentrun._run.edge import cancelled_once
from agentrun._run.leave import uncalled_for
from agentrun._run.reply import PlannedCall, is_by_program, qualified_name, shown
from agentrun._run.tool_guards import check_input, check_output
from agentrun._tool import (
    DEFAULT_APPROVAL_REJECTION_MESSAGE,
    FunctionTool,
    FunctionToolCustomDataContext,
    FunctionToolResult,
    tool_error_message,
    tool_failure_output,
    tool_output_to_wire,
)
from agentrun._tool_output import answer_item

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectSendStream

    from agentrun._function_tool import FunctionToolCustomDataExtractor
    from agentrun._guardrail import ToolInputGuardrailResult, ToolOutputGuardrailResult
    from agentrun._run.context import Run
    from agentrun._run.tools import Starters
    from agentrun._state import RunState

log = logging.getLogger("agentrun")

_NO_OUTPUT = object()


@attrs.define(eq=False, repr=False)
class Outcome:
    """How a call ended: with an output, or waiting for a decision."""

    call: PlannedCall
    index: int
    """The place of the call among those of its reply."""
    output: Any = None
    item: ToolCallOutputItem | None = None
    approval: ToolApprovalItem | None = None
    nested: RunState[Any] | None = None
    """The paused nested run of an agent tool."""
    nested_result: Any = attrs.field(init=False, default=None)
    """Its result."""
    input_results: list[ToolInputGuardrailResult] = attrs.field(init=False, factory=new_list)
    output_results: list[ToolOutputGuardrailResult] = attrs.field(init=False, factory=new_list)
    announced: bool = attrs.field(init=False, default=False)
    """Whether the hooks were told of the start, so that they are to be told of the end."""

    @property
    def is_there(self) -> bool:
        """Whether the call has come to something."""
        return self.item is not None or self.approval is not None or self.nested is not None

    @property
    def interruptions(self) -> list[ToolApprovalItem]:
        """The decisions the call waits for: its own, or those of the run nested in it."""
        if self.approval is not None:
            return [self.approval]
        return self.nested.interruptions if self.nested is not None else []

    def result(self) -> FunctionToolResult:
        """Return the outcome as a `tool_use_behavior` function sees it."""
        tool = cast("FunctionTool", self.call.tool)
        return FunctionToolResult(tool, self.output, self.item or self.approval, self.interruptions, self.nested_result)


def context_of(run: Run, planned: PlannedCall) -> ToolContext[Any]:
    """Return the context of a call, as its hooks, its guardrails and its body get it."""
    context, raw = run.state.context, planned.raw
    return ToolContext(
        context.context,
        context.usage,
        raw.name,
        raw.call_id,
        raw.arguments,
        raw,
        turn_input=context.turn_input,
        approvals=context.approvals,
        tool_input=context.tool_input,
        tool_namespace=planned.tool.namespace if planned.tool is not None else None,
        agent=run.agent,
        run_config=run.spec.config,
    )


class Call:
    """One function call in flight."""

    def __init__(self, run: Run, index: int, planned: PlannedCall) -> None:
        self._run = run
        self._index = index
        self._planned = planned
        self.name = shown(planned.raw.name)
        self.tool = cast("FunctionTool", planned.tool)
        self.context = context_of(run, planned)
        self._outcome = Outcome(planned, index)
        if run.desk is not None and planned.tool is not None and planned.tool.nests_run:
            self.context.desk = run.desk.inside(run.agent)
        # Nothing but `stop` and the call's own deadline cancels a tool: see edge.py. A nested run cleans up by itself.
        self._scope = anyio.CancelScope(shield=planned.tool is None or not planned.tool.nests_run)
        self._ended = self._stopped = self._cleaning = self._undecided = False
        self._asked: ToolApprovalItem | None = None

    @property
    def is_held_back(self) -> bool:
        """Whether the call waits for something before its hooks are told: a person, or guardrails of its tool."""
        return self._undecided or bool(self.tool.tool_input_guardrails)

    def stop(self) -> None:
        """Cancel the call, if it has not ended."""
        if not self._ended:
            self._stopped = True
            self.context.signal.tell("the run was cancelled")
            self._scope.shield = False  # what stops the run reaches the call from here on

    def _is_cancelled(self) -> bool:
        return self._stopped or self._scope.cancel_called

    async def is_settled_without_running(self) -> bool:
        """Answer an unknown name, a refused call, or one that waits for a decision; return whether it was any."""
        run, raw = self._run, self._planned.raw
        if self._planned.tool is None:
            self._settle(await self._worded("tool_not_found", f"Tool '{self.name}' not found."))
            run.turn.outcomes[self._index] = self._outcome
            return True
        before = run.turn.outcomes[self._index]
        if before is not None and before.nested is not None:
            # A run that was paused goes on, given what was decided since.
            self._hand_down(before.nested)
            self.context.nested = before.nested
            return False
        decision = run.state.context.approvals.decision(qualified_name(raw), raw.call_id, raw.arguments, run.agent)
        if decision is None:
            # A call that waits already has been asked about: neither rules nor guardrails have their say again.
            if before is not None and before.approval is not None:
                self._asked = before.approval
            else:
                asks = self.tool.needs_approval
                if not (asks if isinstance(asks, bool) else await self._is_to_be_approved(asks)):
                    return False
                if await self._rejected_before_approval():
                    return True
            if run.desk is not None and run.desk.listening:
                self._undecided = True
                return False
            self._outcome.approval = self._approval_item()
            run.turn.outcomes[self._index] = self._outcome
            return True
        if decision.approved:
            return False
        self._settle(await self._rejection(decision.message))
        run.turn.outcomes[self._index] = self._outcome
        return True

    def _hand_down(self, nested: RunState[Any]) -> None:
        """Give a nested run the decisions that were taken on its calls in this run's context.

        Where more than one call could be meant, none is: a decision on a call of this run decides nothing below.
        """
        state, plan = self._run.state, self._run.turn.plan
        assert plan is not None
        mine = {call.raw.call_id for call in plan.calls} | state.calls_done.keys()
        ids = [item.call_id for item in nested.interruptions]
        for item in nested.interruptions:
            if item.call_id not in mine and ids.count(item.call_id) == 1:
                nested.context.approvals.take(item, state.context.approvals)

    def _approval_item(self) -> ToolApprovalItem:
        """Return the item that stands for the open decision, the same one over every pause."""
        if self._asked is None:
            self._asked = ToolApprovalItem(
                self._run.agent,
                self._planned.raw,
                tool_namespace=self.tool.namespace,
                tool_origin=self.tool.tool_origin,
            )
        return self._asked

    async def _is_allowed(self) -> bool:
        """Wait for the decision on the call; settle one that is refused, and park one that stays undecided.

        Source: human in the loop.
        """
        desk, config, approvals = self._run.desk, self._run.spec.config, self._run.state.context.approvals
        assert desk is not None
        item = self._approval_item()
        await anyio.lowlevel.checkpoint_if_cancelled()  # a task starts even if it is cancelled by then
        decision, always = await desk.ask(item, config.approval_timeout, config.on_approval_timeout)
        if decision is None:
            self._outcome.approval = item
            return False
        if decision.approved:
            approvals.approve(item, always=always)
            return True
        approvals.reject(item, always=always, message=decision.message)
        self._settle(await self._rejection(decision.message))
        return False

    async def _rejected_before_approval(self) -> bool:
        """Ask the input guardrails before a person, where configured; return whether one of them has answered."""
        config = self._run.spec.config.tool_execution
        if config is None or not config.pre_approval_tool_input_guardrails:
            return False
        message = await self._check_input()
        if message is None:
            self._outcome.input_results.clear()
            return False
        self._settle(message)
        self._run.turn.outcomes[self._index] = self._outcome
        return True

    async def _rejection(self, message: str | None) -> str:
        """Return what the model is told of a refused call."""
        if message is not None:
            return message
        return await self._worded("approval_rejected", DEFAULT_APPROVAL_REJECTION_MESSAGE)

    async def _worded(self, kind: Literal["approval_rejected", "tool_not_found"], default: str) -> str:
        """Return a text for the model, as the run's formatter words it."""
        from agentrun._failure_values import ToolErrorFormatterArgs

        raw = self._planned.raw
        args = ToolErrorFormatterArgs(kind, "function", raw.name, raw.call_id, default, self._run.state.context)
        return await tool_error_message(self._run.spec.config.tool_error_formatter, args)

    async def _is_to_be_approved(self, asks: Callable[..., Awaitable[bool] | bool]) -> bool:
        """Return whether a person has to decide first, as the tool's `needs_approval` function says.

        It is asked about a JSON object, and only where that is what the tool's body will get: it could allow `{}`
        where a default makes something else of it. No validator of the tool runs before anybody has allowed the call.

        Raises:
            UserError: the tool's `needs_approval` function raised; the original exception is the cause.

        Source: human in the loop, "Approval rules".
        """
        try:
            arguments = json.loads(self._planned.raw.arguments, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            return True
        if not isinstance(arguments, dict):
            return True
        given = cast("dict[str, Any]", arguments)
        if self.tool.keeps_arguments is not None and not self.tool.keeps_arguments(given):
            return True
        try:
            answer = asks(self._run.state.context, given, self._planned.raw.call_id)
            return bool(await answer if inspect.isawaitable(answer) else answer)
        except Exception as exc:
            failure = self._failure(exc)
            if failure is exc:
                raise
            raise failure from exc

    async def run(self, place: int, send_outcomes: MemoryObjectSendStream[Outcome], starters: Starters) -> None:
        """Run the call, `place`th of those that run, and send its outcome."""
        try:
            await starters.order.my_turn(place)
            if self._undecided and not await self._is_allowed():
                pass  # settled or parked; a call that waits for a person takes no slot from its siblings
            elif starters.slots is None:
                await self._perform(starters)
            else:
                await starters.slots.take()
                await self._perform(starters)
                starters.slots.give_back()  # a call that failed keeps its slot, so that no other begins after it
        except BaseException as exc:
            # A task that ends with a cancellation of its own would pass for one that has ended well.
            error = uncalled_for(exc, f"a hook, guardrail or function of tool {self.name}")
            if not isinstance(error, Exception):
                raise
            failure = self._failure(error)
            self._run.failure_order[id(failure)] = self._index
            if failure is exc:
                raise
            raise failure from error
        finally:
            self._ended = True
            if self._outcome.is_there:
                send_outcomes.send_nowait(self._outcome)  # the buffer has room for every call

    def _failure(self, exc: Exception) -> Exception:
        """Return what leaves the run for an exception of the call.

        Source: exceptions, "UserError".
        """
        if isinstance(exc, AgentsException):
            return exc
        return UserError(f"Error running tool {self.name}: {exc}")

    async def _perform(self, starters: Starters) -> None:
        """Guardrails, hooks, body, guardrails; the end is announced by whoever collects the outcome.

        Source: guardrails, "Tool guardrails".
        """
        resumed = self.context.nested is not None
        rejection = await self._check_input() if self.tool.tool_input_guardrails and not resumed else None
        if rejection is not None:
            self._settle(rejection)
            return
        if starters.tells_start:
            if not resumed:
                await self._run.announce.tool_start(self.context, self._run.agent, self.tool)
            await starters.started(self)
        self._outcome.announced = starters.tells_end
        # Here, with nothing left to wait for: a task starts even if it is cancelled by then, and what it has waited for
        # may have come just before a cancel.
        await anyio.lowlevel.checkpoint_if_cancelled()
        log_tool_data("called", self.name, self.context.tool_arguments)
        output = await self._invoke()
        if isinstance(output, AgentToolPause):
            self._outcome.nested, self._outcome.nested_result = output.result.to_state(), output.result
            self._outcome.announced = False
            return
        if self.tool.tool_output_guardrails:
            outcome = self._outcome
            output = await check_output(self.context, self._run.agent, self.tool, output, outcome.output_results)
        log_tool_data("returned", self.name, output)
        self._settle(output)
        if self.tool.custom_data_extractor is not None:
            await self._keep_custom_data(self.tool.custom_data_extractor)

    async def _check_input(self) -> str | None:
        """Ask the tool's input guardrails; return the answer of one that rejects the call."""
        return await check_input(self.context, self._run.agent, self.tool, self._outcome.input_results)

    async def _invoke(self) -> Any:
        """Return what the tool returned, under its deadline.

        On cancel the tool is cancelled once and waited for; what it returns or raises then no longer matters.
        """
        limit = self.tool.timeout_seconds or self._run.spec.config.timeouts.tool
        if limit is not None:
            self._scope.deadline = anyio.current_time() + limit
        # Without a deadline of its own, only `stop` cancels the call, and one scope does for both: see edge.py.
        cleanup = self._scope if limit is None else anyio.CancelScope()
        output: Any = _NO_OUTPUT
        try:
            if limit is None:
                with self._scope:
                    output = await self._call_tool(cleanup)
            else:
                with self._scope, cleanup:
                    output = await self._call_tool(cleanup)
        finally:
            if self._cleaning and cleanup.cancel_called:
                self.context.signal.report(
                    f"the cleanup of tool {self.name!r} was cut short after {self._cleanup_seconds:g} s"
                )
        if self._stopped:
            if output is not _NO_OUTPUT and not self.tool.tool_output_guardrails and not self.tool.nests_run:
                self._settle(output)  # it came to its end all the same: it has happened, and counts
            await anyio.lowlevel.checkpoint()  # raises: whoever stopped the call is cancelled or failing
        elif limit is not None and (self._cleaning or self._scope.cancelled_caught):
            # Not the latter alone: on asyncio the cancellation that began the cleanup keeps a scope from catching it.
            return await self._time_out(limit)
        return output

    async def _call_tool(self, cleanup: anyio.CancelScope) -> Any:
        """Return what the tool returned, or what it has for a failure; no output where one that is stopped failed."""
        try:
            body = self.tool.on_invoke_tool(self.context, self._planned.raw.arguments)
            if self.tool.nests_run:
                return await body
            if not inspect.iscoroutine(body):
                body = _awaited(body)
            return await cancelled_once(body, self._is_cancelled, partial(self._begin_cleanup, cleanup))
        except anyio.get_cancelled_exc_class() as exc:  # noqa: ASYNC103 - raised, unless nobody called for it
            error = exc if self._is_cancelled() else uncalled_for(exc, f"tool {self.name}")
            if not isinstance(error, Exception):
                raise
        except Exception as exc:
            if not self._stopped:
                raise
            log.warning(
                "tool %s failed with %s while it was being stopped",
                self.name,
                type(exc).__name__,
                exc_info=traceback_of(exc, tool_data=True),
            )
            return _NO_OUTPUT
        # A cancellation of the tool's own has passed its `on_invoke_tool` by.
        return await tool_failure_output(self.tool, self.context, error)

    def _begin_cleanup(self, cleanup: anyio.CancelScope) -> None:
        """Let the tool clean up undisturbed, until the deadline for that."""
        self._cleaning = True
        if not self._stopped:
            self.context.signal.tell("it ran out of time", timed_out=True)
        cleanup.shield = True
        if not self.tool.runs_in_thread:  # the wait for a thread has a deadline of its own
            cleanup.deadline = anyio.current_time() + self._cleanup_seconds

    @property
    def _cleanup_seconds(self) -> float:
        limit = self._run.spec.config.timeouts.cleanup
        return math.inf if limit is None else limit

    async def _time_out(self, limit: float) -> Any:
        """Return what the model is told of a call that ran out of time, or raise.

        Source: tools, "Timeouts".
        """
        error = ToolTimeoutError(self.tool.name, limit)
        if self.tool.timeout_behavior == "raise_exception":
            raise error
        if self.tool.timeout_error_function is None:
            return str(error)
        text = self.tool.timeout_error_function(self.context, error)
        return await text if inspect.isawaitable(text) else text

    def _settle(self, output: Any) -> None:
        """Give the call its output."""
        outcome, raw, tool = self._outcome, self._planned.raw, self._planned.tool
        outcome.approval = None
        outcome.output = output
        wire = (
            tool_output_to_wire(output)
            if tool is None
            else tool_output_to_wire(
                output,
                max_characters=tool.max_output_characters,
                for_program=tool.output_json_schema is not None or is_by_program(raw),
            )
        )
        outcome.item = ToolCallOutputItem(
            self._run.agent,
            answer_item(raw, wire),
            output,
            tool_origin=tool.tool_origin if tool is not None else None,
        )

    async def _keep_custom_data(self, extract: FunctionToolCustomDataExtractor) -> None:
        """Keep the data with the output that the tool wants to have there.

        Raises:
            UserError: the tool's `custom_data_extractor` returned neither None nor a mapping of JSON values.
        """
        item = self._outcome.item
        assert item is not None
        raw_item = copy.deepcopy(item.raw_item)
        found = extract(FunctionToolCustomDataContext(self.context, self.tool, item.output, raw_item))
        if inspect.isawaitable(found):
            found = await cast("Awaitable[Any]", found)
        if found is None:
            return
        if not isinstance(found, Mapping):
            raise UserError(
                f"the custom_data_extractor of tool {self.name!r} returned {found!r}, expected a dict or None"
            )
        try:
            item.custom_data = json.loads(json.dumps(dict(cast("Mapping[str, Any]", found)), allow_nan=False))
        except (TypeError, ValueError) as exc:
            raise UserError(
                f"the custom_data_extractor of tool {self.name!r} returned what is no JSON ({exc}); return a dict of "
                "text, numbers, lists and dicts, which a stored state can keep"
            ) from exc


async def _awaited(body: Awaitable[Any]) -> Any:
    return await body


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
