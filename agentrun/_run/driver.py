"""The one loop of a run: feeds the machine what came of each decision, and performs the next.

Started by `Runner.run` with a null sink, by `Runner.run_streamed` with a stream sink, and by both from a stored state:
there is no other path through a run.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import anyio

from agentrun._exceptions import (
    InputGuardrailTripwireTriggered,
    MaxTurnsExceeded,
    ModelBehaviorError,
    ModelRefusalError,
    OutputGuardrailTripwireTriggered,
    RunTimeoutError,
    UserError,
)
from agentrun._items import InputItem, MessageOutputItem, RunItem, said_in
from agentrun._responses import ResponseOutputMessage, ResponseOutputText
from agentrun._run import sessions
from agentrun._run.context import Gate, Run, Turn
from agentrun._run.errors import ask_handler, output_as_text, withhold_output
from agentrun._run.guards import check_blocking_input, check_output, input_asks, open_gate, start_judges, take_verdicts
from agentrun._run.handover import hand_over
from agentrun._run.leave import noted, one_exception
from agentrun._run.machine import FINAL, IN_TURN, Decision, Event, after_calls
from agentrun._run.model import ask_model
from agentrun._run.record import record_finished_calls, record_turn
from agentrun._run.reply import find_repeats, take_apart
from agentrun._run.resume import rebuild_turn
from agentrun._run.tools import items_of, run_calls
from agentrun._settings import connect_limit
from agentrun._tool import ToolsToFinalOutputResult

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    from agentrun._guardrail import InputGuardrail, InputGuardrailResult
    from agentrun._run.call import Outcome

    _Verdicts: TypeAlias = tuple[
        MemoryObjectSendStream[InputGuardrailResult], MemoryObjectReceiveStream[InputGuardrailResult]
    ]


async def drive(run: Run) -> Decision:
    """Take a run from where its state stands to its end; return how it ended.

    Raises:
        BaseException: one exception, in its own type, with `run_data` on it.

    On cancel the turn in flight is dropped, after all of its tasks have ended, and the cancellation goes on.
    """
    with (
        noted(run.state),
        one_exception(run.state.details, lambda exc: run.failure_order.get(id(exc), len(run.failure_order))),
    ):
        async with sessions.held(run):
            outer_limit = connect_limit.set(run.spec.config.timeouts.connect)
            try:
                with _deadline(run, "run"):
                    return await _loop(run)
            except BaseException as exc:
                # A turn that fails keeps the calls that have ended. One that is cancelled, alone or in a group, is
                # dropped, unless it was paused: its approvals were given for one call each.
                keeps = isinstance(exc, Exception) or run.state.pending is not None
                if keeps and record_finished_calls(run) and (run.state.pending is None or not sessions.keeps_back(run)):
                    await sessions.store_failed(run)  # noqa: ASYNC102, ASYNC120 - shields itself; a cancel wins
                raise
            finally:
                connect_limit.reset(outer_limit)
                run.use.leave()


async def _loop(run: Run) -> Decision:
    state = run.state
    state.agent_started = False
    run.use.take(state.current_agent)
    await run.sink.agent(state.current_agent)
    if state.pending is not None:
        run.turn = await rebuild_turn(run)
        run.use.check()
        if run.scope is not None:
            run.scope.begin_within_turn()
        decision = run.machine.feed(Event.RESUMED_IN_TURN)
    else:
        await sessions.read(run)
        decision = run.machine.feed(Event.STARTED)
    while decision not in FINAL:
        if decision not in IN_TURN:
            decision = run.machine.feed(await PERFORM[decision](run))
            continue
        with _deadline(run, "turn"):
            async with open_turn(run):
                while decision in IN_TURN:
                    decision = run.machine.feed(await PERFORM[decision](run))
        await _finish_turn(run, decision)
    return decision


_NOTHING: nullcontext[None] = nullcontext()


def _deadline(run: Run, level: Literal["run", "turn"]) -> AbstractContextManager[None]:
    """Return a context that bounds its block by the deadline of its level, if that has one.

    Raises:
        RunTimeoutError: the deadline passed; raised by the context.
    """
    timeouts = run.spec.config.timeouts
    seconds = timeouts.run if level == "run" else timeouts.turn
    return _NOTHING if seconds is None else _bounded(level, seconds)


@contextmanager
def _bounded(level: Literal["run", "turn"], seconds: float) -> Generator[None]:
    with anyio.move_on_after(seconds) as scope:
        yield
    if scope.cancelled_caught:
        raise RunTimeoutError(level, seconds)


def open_turn(run: Run) -> AbstractAsyncContextManager[None]:
    """Return the context of a turn: a nursery with the parallel input guardrails as siblings of what its block does.

    Turns without such guardrails have no siblings beside the block, and no nursery.

    Raises:
        InputGuardrailTripwireTriggered: a guardrail tripped; the block was cancelled.
    """
    guardrails = [one for one in run.input_guardrails() if one.run_in_parallel] if _is_first_turn(run) else []
    return _guarded(run, guardrails) if guardrails else _NOTHING


@asynccontextmanager
async def _guarded(run: Run, guardrails: Sequence[InputGuardrail[Any]]) -> AsyncGenerator[None, None]:
    run.gate = Gate()
    if run.spec.config.guardrail_gate == "output":
        run.sink.hold()
    # The guardrails own the send side, a clone each; the task that opens the gate owns the receive side.
    ends: _Verdicts = anyio.create_memory_object_stream(len(guardrails))
    send_verdicts, verdicts = ends
    asks = input_asks(run, guardrails, run.state.original_input)
    ended: dict[int, tuple[float, int]] = {}
    results = run.state.input_guardrail_results
    before = len(results)
    with verdicts:
        try:
            async with anyio.create_task_group() as nursery:
                nursery.start_soon(open_gate, verdicts, len(guardrails), run.gate, run, name="guardrail gate")
                start_judges(nursery, asks, InputGuardrailTripwireTriggered, send_verdicts, ended)
                yield
        finally:
            take_verdicts(verdicts, results, ended, before)


def _is_first_turn(run: Run) -> bool:
    """Return whether the turn is the first of the whole run; a turn that was paused has had its guardrails."""
    return run.state.current_turn == 1 and run.state.pending is None


async def _open_turn(run: Run) -> Event:
    """Wait at the boundary between two turns; count the turn; run what nothing may overtake.

    Source: running agents, "The agent loop".
    """
    state = run.state
    if run.scope is not None and not await run.scope.may_start_turn(run.sink.wait_taken):
        return Event.STOP_ASKED
    run.turn = Turn(state.current_agent)
    run.answer_missing = False
    state.current_turn += 1
    state.turn_open = True
    if _is_first_turn(run):
        await sessions.store(run)
    if state.max_turns is not None and state.current_turn > state.max_turns:
        run.error = MaxTurnsExceeded(f"Max turns ({state.max_turns}) exceeded")
        return Event.TURNS_USED_UP
    if _is_first_turn(run):
        blocking = [one for one in run.input_guardrails() if not one.run_in_parallel]
        if blocking:
            await check_blocking_input(run, blocking, state.original_input)
    if state.pending_input:
        await _admit_input(run)
    return Event.TURN_OPEN


async def _admit_input(run: Run) -> None:
    """Take over the input that was added while the run was paused, once the guardrails have passed it.

    Source: human in the loop, "Adding input".
    """
    added = run.state.pending_input
    guardrails = run.input_guardrails()
    if guardrails:
        await check_blocking_input(run, guardrails, added)
    run.state.pending_input = []
    items: list[RunItem] = [InputItem(run.agent, one) for one in added]
    run.state.record(items)
    await sessions.store(run)


async def _ask_model(run: Run) -> Event:
    """Ask the model, take its reply apart, and show the items."""
    state, agent = run.state, run.agent
    if not state.agent_started:
        state.context.turn_input = state.input_items()
        if run.announce.hooks_of(agent, "start"):
            with run.use.starting():
                await run.announce.agent_start(state.context, agent)
        state.agent_started = True
    try:
        response = await ask_model(run)
    except ModelRefusalError as exc:  # a provider's filter, and not the model's own words: the same handler is asked
        run.error = exc
        return Event.REFUSAL
    offer = run.turn.offer
    assert offer is not None
    repeats = find_repeats(response.output, state.calls_done)
    try:
        plan = run.turn.plan = take_apart(
            response, agent, offer.functions, offer.handoffs, repeats, run.spec.config.tool_not_found_behavior
        )
    except ModelBehaviorError:
        await run.announce.llm_end(state.context, agent, response)  # noqa: ASYNC120 - a cancel wins over the error
        raise
    if run.sink.live:
        for item in plan.items:
            await run.sink.item(item)
    await run.announce.llm_end(state.context, agent, response)
    if plan.has_work:
        return Event.CALLS
    if plan.hosted_tools or plan.repeats:
        state.note_tools(agent, plan.tool_names())
        if plan.message is None:
            return Event.NO_ANSWER
    return _read_answer(run)


def _read_answer(run: Run) -> Event:
    """Return what the last message of the reply comes to; an answer is kept as the final output.

    Source: running agents, "The agent loop".
    """
    turn = run.turn
    assert turn.plan is not None
    assert turn.offer is not None
    message = turn.plan.message
    text, refusal = said_in(message.raw_item) if message is not None else (None, None)
    if refusal is not None:
        run.error = ModelRefusalError(refusal)
        return Event.REFUSAL
    schema = turn.offer.output_schema
    if schema is None or schema.is_plain_text():
        run.output = text or ""
        return Event.ANSWER
    if not text:
        run.error = ModelBehaviorError(f"agent {run.agent.name!r} answered without any text, expected {schema.name()}")
        run.answer_missing = True
        return Event.MISSING_ANSWER
    try:
        run.output = schema.validate_json(text)
    except ModelBehaviorError as exc:
        run.error = exc
        return Event.INVALID_ANSWER
    return Event.ANSWER


async def _run_calls(run: Run) -> Event:
    """Run the calls of the reply, once the gate is open, and show what came of them."""
    if run.gate is not None and run.spec.config.guardrail_gate != "off":
        await run.gate.wait()
    turn = run.turn
    plan = turn.plan
    assert plan is not None
    try:
        await run_calls(run)
    except Exception:
        await _show_outputs(run)  # noqa: ASYNC120 - a cancel wins over the error
        raise
    await _show_outputs(run)
    missing = any(outcome is not None and outcome.interruptions for outcome in turn.outcomes)
    answered = not missing and not plan.handoffs and await _tool_answer(run)
    return after_calls(approvals_missing=missing, handoff=bool(plan.handoffs), tool_answer=answered)


async def _show_outputs(run: Run) -> None:
    """Show the outputs of the turn that were not shown before the run was paused in it."""
    if run.sink.live:
        for item in items_of(run.turn.outcomes):
            if item not in run.turn.shown:
                await run.sink.item(item)


async def _tool_answer(run: Run) -> bool:
    """Return whether a tool's output is the final output, as the agent's `tool_use_behavior` says.

    Raises:
        UserError: a function given as `tool_use_behavior` returned something else than `ToolsToFinalOutputResult`.

    Source: agents, "Tool use behavior".
    """
    behavior: Any = run.agent.tool_use_behavior
    if behavior == "run_llm_again":
        return False
    outcomes = [outcome for outcome in run.turn.outcomes if outcome is not None and outcome.call.tool is not None]
    if not outcomes:
        return False
    if behavior == "stop_on_first_tool":
        return _take_tool_output(run, outcomes[:1], outcomes[0].output)
    if isinstance(behavior, Mapping):
        names = cast("Mapping[str, Any]", behavior).get("stop_at_tool_names", [])
        _check_stops(run, names)
        for outcome in outcomes:
            tool = outcome.call.tool
            if tool is not None and (tool.name in names or tool.qualified_name in names):
                return _take_tool_output(run, [outcome], outcome.output)
        return False
    verdict = behavior(run.state.context, [outcome.result() for outcome in outcomes])
    if inspect.isawaitable(verdict):
        verdict = await verdict
    if not isinstance(verdict, ToolsToFinalOutputResult):
        raise UserError(
            f"the tool_use_behavior function of agent {run.agent.name!r} returned {verdict!r}, "
            "expected a ToolsToFinalOutputResult"
        )
    return verdict.is_final_output and _take_tool_output(run, outcomes, verdict.final_output)


def _check_stops(run: Run, names: Iterable[str]) -> None:
    """Warn of names in `StopAtTools` that no tool or handoff has, enabled or not: they never stop the run."""
    offer = run.turn.offer
    assert offer is not None
    tools = {getattr(tool, "qualified_name", tool.name): tool.name for tool in (*run.agent.tools, *offer.tools)}
    unknown = [name for name in names if name not in {*tools, *tools.values(), *offer.handoffs}]
    if unknown:
        run.warn_once(
            f"agent {run.agent.name!r} stops at the tools {unknown}, which it does not have; it has {list(tools)}"
        )


def _take_tool_output(run: Run, makers: list[Outcome], output: Any) -> bool:
    schema = run.agent.compiled_output()
    run.output = str(output) if schema is None or schema.is_plain_text() else output
    run.output_makers = makers
    return True


async def _ask_handler(run: Run) -> Event:
    """Ask the error handler for an output in the place of the error.

    Source: running agents, "Error handlers".
    """
    error = run.error
    assert error is not None
    answer = await ask_handler(run, error)
    if answer is None:
        if run.answer_missing:
            await _keep_turn(run)
            return Event.NOT_RECOVERED
        raise error
    run.output = answer.final_output
    if isinstance(error, MaxTurnsExceeded):
        run.state.current_turn = cast("int", run.state.max_turns)
    if answer.include_in_history:
        item = _message_of(run, answer.final_output)
        run.turn.extra_items.append(item)
        await run.sink.item(item)
    return Event.RECOVERED


def _message_of(run: Run, output: Any) -> MessageOutputItem:
    """Return an assistant message that says `output`, for an output that no model wrote."""
    text = ResponseOutputText(text=output_as_text(run.agent, output))
    message = ResponseOutputMessage(id="agentrun_final_output", content=[text], status="completed")
    return MessageOutputItem(run.agent, message)


async def _check_output(run: Run) -> Event:
    """Tell the hooks of the output, have the output guardrails judge it, and only then accept it.

    Raises:
        OutputGuardrailTripwireTriggered: a guardrail tripped; `final_output` stays None.
    """
    state = run.state
    await run.announce.agent_end(state.context, run.agent, run.output)
    try:
        await check_output(run, run.output)
    except OutputGuardrailTripwireTriggered as exc:
        # A rejected message is dropped; a tool has run, so that its call stays, without what it returned.
        if run.output_makers:
            await withhold_output(run, exc)  # noqa: ASYNC120 - a cancel wins over the error
            record_turn(run)
            await sessions.store_failed(run)  # noqa: ASYNC120 - a cancel wins over the error
        raise
    except Exception:
        record_turn(run)
        await sessions.store_failed(run)  # noqa: ASYNC120 - a cancel wins over the error
        raise
    record_turn(run)
    state.is_finished = True
    await sessions.store(run)
    state.final_output = run.output  # an output that the session could not take is none
    return Event.ACCEPTED


async def _keep_turn(run: Run) -> None:
    """Record the turn in flight and store it."""
    record_turn(run)
    await sessions.store(run)


async def _finish_turn(run: Run, decision: Decision) -> None:
    """Record a turn that is over and write it to the session; the last one waits for its output to be accepted."""
    if decision in (Decision.CHECK_OUTPUT, Decision.HAND_OVER, Decision.ASK_HANDLER):
        return
    if decision is Decision.PAUSE and sessions.keeps_back(run):
        record_turn(run)
    else:
        await _keep_turn(run)


PERFORM: dict[Decision, Callable[[Run], Awaitable[Event]]] = {
    Decision.OPEN_TURN: _open_turn,
    Decision.ASK_MODEL: _ask_model,
    Decision.RUN_CALLS: _run_calls,
    Decision.HAND_OVER: hand_over,
    Decision.ASK_HANDLER: _ask_handler,
    Decision.CHECK_OUTPUT: _check_output,
}
