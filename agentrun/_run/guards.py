"""Siblings: the guardrails of a run, each a task of its own that sends its verdict over a memory object stream."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.lowlevel

from agentrun._exceptions import InputGuardrailTripwireTriggered, OutputGuardrailTripwireTriggered
from agentrun._run.leave import failing_if_uncalled_for
from agentrun._run.order import InOrder

if TYPE_CHECKING:
    from anyio.abc import TaskGroup
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    from agentrun._guardrail import InputGuardrail, InputGuardrailResult, OutputGuardrailResult
    from agentrun._responses import TResponseInputItem
    from agentrun._run.context import Gate, Run

_Verdict = TypeVar("_Verdict", "InputGuardrailResult", "OutputGuardrailResult")

Ended = dict[int, tuple[float, int]]
"""When each verdict came in, and the place of its guardrail, by the verdict's identity."""


async def judge(
    ask: Callable[[], Awaitable[_Verdict]],
    tripped: Callable[[_Verdict], BaseException],
    send_verdicts: MemoryObjectSendStream[_Verdict],
    order: InOrder,
    place: int,
    ended: Ended,
) -> None:
    """Ask one guardrail, the `place`th, send its verdict, and raise when it trips. Closes its send side."""
    with send_verdicts:
        await anyio.lowlevel.checkpoint_if_cancelled()
        await order.my_turn(place)
        verdict = await ask()
        ended[id(verdict)] = (anyio.current_time(), place)
        send_verdicts.send_nowait(verdict)  # the buffer has room for every guardrail
        if verdict.output.tripwire_triggered:
            raise tripped(verdict)


async def _judge_apart(*arguments: Any) -> None:
    """Ask one guardrail, as `judge`, in a task of its own, where a cancellation of its own must not pass for a verdict.

    Raises:
        RuntimeError: the guardrail raised the backend's cancellation, and nobody had cancelled it.
    """
    with failing_if_uncalled_for("a guardrail"):
        await judge(*arguments)


def start_judges(
    nursery: TaskGroup,
    asks: Sequence[Callable[[], Awaitable[_Verdict]]],
    tripped: Callable[[_Verdict], BaseException],
    send_verdicts: MemoryObjectSendStream[_Verdict],
    ended: Ended,
) -> None:
    """Start one task per guardrail, and close this send side."""
    order = InOrder()
    with send_verdicts:
        for place, ask in enumerate(asks):
            nursery.start_soon(_judge_apart, ask, tripped, send_verdicts.clone(), order, place, ended, name="guardrail")


def take_verdicts(
    verdicts: MemoryObjectReceiveStream[_Verdict], results: list[_Verdict], ended: Ended, before: int
) -> None:
    """Move the verdicts that are there into `results`; from `before` on these are then in the order they came in.

    Those that came in at one moment stand in the guardrails' order, whatever order the scheduler gave them.
    """
    try:
        while True:
            results.append(verdicts.receive_nowait())
    except (anyio.WouldBlock, anyio.EndOfStream):
        results[before:] = sorted(results[before:], key=lambda verdict: ended[id(verdict)])


async def run_guardrails(
    asks: Sequence[Callable[[], Awaitable[_Verdict]]],
    tripped: Callable[[_Verdict], BaseException],
    results: list[_Verdict],
) -> None:
    """Ask all guardrails at once and wait for every verdict; the first trip or failure cancels the others.

    Args:
        asks: each asks one guardrail.
        tripped: makes the exception of a trip.
        results: gets the verdicts as they come in, the tripping one included.

    Raises:
        BaseException: the tripwire, or whatever a guardrail raised.
    """
    send_verdicts, verdicts = anyio.create_memory_object_stream["_Verdict"](len(asks))
    ended: Ended = {}
    before = len(results)
    with verdicts:
        try:
            if len(asks) == 1:
                await judge(asks[0], tripped, send_verdicts, InOrder(), 0, ended)
                return
            async with anyio.create_task_group() as nursery:
                start_judges(nursery, asks, tripped, send_verdicts, ended)
        finally:
            take_verdicts(verdicts, results, ended, before)


def input_asks(
    run: Run, guardrails: Sequence[InputGuardrail[Any]], given: str | list[TResponseInputItem]
) -> list[Callable[[], Awaitable[InputGuardrailResult]]]:
    """Return what asks each of `guardrails` about the run's input."""
    agent, context = run.agent, run.state.context

    def ask(guardrail: InputGuardrail[Any]) -> Callable[[], Awaitable[InputGuardrailResult]]:
        return lambda: guardrail.run(agent, given, context)

    return [ask(guardrail) for guardrail in guardrails]


async def check_blocking_input(
    run: Run, guardrails: Sequence[InputGuardrail[Any]], given: str | list[TResponseInputItem]
) -> None:
    """Ask the guardrails that nothing may overtake about `given`, all at once.

    Raises:
        InputGuardrailTripwireTriggered: one tripped.
    """
    asks = input_asks(run, guardrails, given)
    await run_guardrails(asks, InputGuardrailTripwireTriggered, run.state.input_guardrail_results)


async def check_output(run: Run, output: Any) -> None:
    """Ask the output guardrails of the final agent and of the configuration, all at once.

    Raises:
        OutputGuardrailTripwireTriggered: one tripped.
    """
    agent, context = run.agent, run.state.context
    guardrails = [*agent.output_guardrails, *(run.spec.config.output_guardrails or ())]
    if not guardrails:
        return

    def ask(guardrail: Any) -> Callable[[], Awaitable[OutputGuardrailResult]]:
        return lambda: guardrail.run(context, agent, output)

    asks = [ask(guardrail) for guardrail in guardrails]
    await run_guardrails(asks, OutputGuardrailTripwireTriggered, run.state.output_guardrail_results)


async def open_gate(
    verdicts: MemoryObjectReceiveStream[InputGuardrailResult], expected: int, gate: Gate, run: Run
) -> None:
    """Collect the verdicts of the parallel guardrails, and open the gate once all `expected` ones have passed.

    A guardrail that trips or fails raises in its own task, which cancels this one; the gate then stays shut.
    """
    passed = 0
    async for verdict in verdicts:  # ends when every guardrail has closed its send side
        run.state.input_guardrail_results.append(verdict)
        passed += not verdict.output.tripwire_triggered
    if passed == expected:
        await run.sink.release()
        gate.open()
