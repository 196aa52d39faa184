"""Cancels a scenario at its first checkpoint, then at its second, and so on, until it gets through.

What counts as a checkpoint: every time any task of the event loop gives up control. Trio tells an instrument, and an
asyncio loop schedules each step of a task through `call_soon`, which a loop may override; so the cut falls between any
two steps of any task, those of the run's nursery included, and needs no help from the code under test.

Each case has an event loop of its own on virtual time. Asyncio runs a case the same way each time, up to the cut. Trio
shuffles tasks that are ready at the same moment, on purpose, so there a case is told by the task it cut and not by its
number alone.
"""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, TypeVarTuple, cast

import anyio
import attrs

from agentrun._fields import new_list
from agentrun._history import NEEDS_OUTPUT, OUTPUT_OF
from agentrun._run.leave import capture_run
from agentrun.testing._clock import AutojumpLoop, Backend, DeadlockError, fail_on_deadlock, virtual_options
from agentrun.testing._leaks import CountsStreams, no_leaks

if TYPE_CHECKING:
    from agentrun._exceptions import RunErrorDetails
    from agentrun._result import RunResultBase, RunResultStreaming

Ts = TypeVarTuple("Ts")
_Result = TypeVar("_Result", bound="RunResultStreaming")

CancelHow = Literal["scope", "immediate", "after_turn", "native"]
"""A cancel scope of the caller, `result.cancel()` in either mode, or `asyncio.Task.cancel` of the caller's task."""

Scenario: TypeAlias = "Callable[[CancelCase], Awaitable[object]]"

_AFTERMATH_SECONDS = 600.0
"""Virtual seconds to wait after a case for what should not happen any more."""
_STEPS_LIMIT = 100_000
"""A scenario that takes more steps than this is not going to end."""


@attrs.define(eq=False)
class CancelCase:
    """One performance of a scenario, cancelled at one checkpoint; the scenario gets it, and so does who asked for it.

    The scenario tells what is to be watched: its models, its streamed result, the bodies of its tools. Everything else
    is seen from outside.
    """

    backend: Backend
    how: CancelHow
    step: int | None
    """After how many steps it is cancelled; None for not at all."""
    cut: bool = attrs.field(default=False, init=False)
    """Whether it came to that: False when the scenario was through by then."""
    cut_at: str = attrs.field(default="", init=False)
    """The task that had just given up control."""
    steps: int = attrs.field(default=0, init=False)
    """How many steps the scenario took, or has taken so far."""
    outcome: Literal["completed", "cancelled", "failed"] | None = attrs.field(default=None, init=False)
    """How the scenario ended, as its caller sees it."""
    error: BaseException | None = attrs.field(default=None, init=False)
    """What it raised."""
    value: Any = attrs.field(default=None, init=False)
    """What it returned."""
    run_data: RunErrorDetails | None = attrs.field(default=None, init=False)
    """What its last run had done when it ended."""
    journal: list[str] = attrs.field(factory=new_list, init=False)
    """What `note` and `body` were told, in order."""
    follow_up: Callable[[], Awaitable[object]] | None = attrs.field(default=None, init=False)
    """Set by the scenario: something that has to succeed after it, whatever became of it."""
    settle_seconds: float = attrs.field(default=0.0, init=False)
    """Set by the scenario: how long after its end what it left behind may still be ending. A bare loop over events that
    is left in its body cannot wait for its run; everything else can."""
    told_late: bool = attrs.field(default=False, init=False)
    """Set by the scenario where a run is not in the scope that is cancelled, as in a bare loop: it learns of the cancel
    a step later, and in that step the body of a tool may begin."""
    faults: list[str] = attrs.field(factory=new_list, init=False)
    """The rules that were broken; empty is good."""
    _counted: list[CountsStreams] = attrs.field(factory=new_list, init=False)
    _results: list[RunResultBase] = attrs.field(factory=new_list, init=False)
    _open_bodies: list[str] = attrs.field(factory=new_list, init=False)
    _cancel: Callable[[], object] | None = attrs.field(default=None, init=False)
    _counting: bool = attrs.field(default=False, init=False)

    def watch(self, *models: CountsStreams) -> None:
        """Check afterwards that none of these has a stream open, and what each was sent, if it remembers."""
        self._counted.extend(models)

    def cancels(self, result: _Result) -> _Result:
        """Make this the run that is cancelled, and check it afterwards; steps count from here on. Returns it."""
        self._results.append(result)
        if self.how in ("immediate", "after_turn"):
            self._cancel = lambda: result.cancel(cast("Any", self.how))  # narrowed above
            self._counting = True
        return result

    def note(self, what: str) -> None:
        """Write something down that happened; after the scenario's end nothing may."""
        self.journal.append(what)

    @contextmanager
    def body(self, name: str) -> Generator[None]:
        """Mark the body of a tool, hook or guardrail: once begun it has to end, and none may begin after the cut."""
        told = self.how == "immediate" or (self.how == "scope" and not self.told_late)
        if told and self.cut and self.outcome is None:
            self.faults.append(f"{name} began after the cancel")
        self.note(f"{name} begins")
        self._open_bodies.append(name)
        try:
            yield
        finally:
            self._open_bodies.remove(name)
            self.note(f"{name} ends")

    def check(self) -> None:
        """Check that no rule was broken.

        Raises:
            AssertionError: the message names every rule that was broken, and where the cut was.
        """
        if self.faults:
            where = f"after step {self.step}, in {self.cut_at}" if self.cut else "without a cut"
            faults = "; ".join(self.faults)
            raise AssertionError(
                f"{self.how} on {self.backend} {where}: {faults}\njournal: {self.journal}"
            ) from self.error

    def count(self, task: str) -> None:
        """Count a step of `task`; called by the event loop after each."""
        if not self._counting:
            return
        self.steps += 1
        if self.steps == self.step and self._cancel is not None:
            self.cut, self.cut_at = True, task
            self._cancel()
        elif self.steps > _STEPS_LIMIT:
            self._counting = False
            self.faults.append(f"the scenario did not end within {_STEPS_LIMIT} steps")

    async def perform(self, scenario: Scenario) -> None:
        """Run the scenario to its end and check what it left; called in the case's own event loop.

        Raises:
            AssertionError: what it left is wrong.
            Exception: whatever the scenario raises.
        """
        with capture_run() as captured:
            leaks = no_leaks()
            leaks.start()
            await self._play(scenario)
        if self.settle_seconds:
            await anyio.sleep(self.settle_seconds)
        self.run_data = captured.run_data
        self._check_left(leaks)
        self._check_results()
        happened = len(self.journal)
        await anyio.sleep(_AFTERMATH_SECONDS)
        if len(self.journal) > happened:
            self.faults.append(f"happened after the end: {self.journal[happened:]}")
        if self.follow_up is not None:
            try:
                await self.follow_up()
            except Exception as exc:  # noqa: BLE001 - whatever it is, the follow-up failed
                self.faults.append(f"what follows failed: {exc!r}")
                self.error = self.error or exc

    async def _play(self, scenario: Scenario) -> None:
        if self.how == "native":
            await self._play_in_task(scenario)
            return
        scope = anyio.CancelScope()
        if self.how == "scope":
            self._cancel, self._counting = scope.cancel, True
        ended = False
        try:
            with scope:
                try:
                    self.value = await scenario(self)
                finally:
                    self._counting = False
                ended = True
            self.outcome = "completed" if ended else "cancelled"
        except Exception as exc:  # noqa: BLE001 - part of the case's report
            self.outcome, self.error = "failed", exc
            self.faults.append(f"raised {exc!r}")

    async def _play_in_task(self, scenario: Scenario) -> None:
        async def play() -> object:
            try:
                return await scenario(self)
            finally:
                self._counting = False

        task = asyncio.get_running_loop().create_task(play(), name="scenario")
        self._cancel, self._counting = task.cancel, True
        await asyncio.wait([task])
        if task.cancelled():
            self.outcome = "cancelled"
        elif (error := task.exception()) is not None:
            self.outcome, self.error = "failed", error
            self.faults.append(f"raised {error!r}")
        else:
            self.outcome, self.value = "completed", task.result()

    def _check_left(self, leaks: no_leaks) -> None:
        try:
            leaks.check()
        except AssertionError as exc:
            self.faults.append(str(exc))
        self.faults += [f"{one!r} has {one.open_streams} open stream(s)" for one in self._counted if one.open_streams]
        self.faults += [f"{name} never ended" for name in self._open_bodies]

    def _check_results(self) -> None:
        for result in self._results:
            streamed = cast("RunResultStreaming", result)
            if not streamed.is_complete:
                self.faults.append("the run is not complete")
            if streamed.final_output is not None and streamed.run_loop_exception is not None:
                self.faults.append("the run has both a final output and an error")
        if self.run_data is not None:
            raws = [item.to_input_item() for item in self.run_data.new_items if item.type != "tool_approval_item"]
            self.faults += [f"new_items: {fault}" for fault in unpaired(raws)]
        for model in self._counted:
            calls: Any = getattr(model, "calls", ())
            for number, call in enumerate(calls):
                if not isinstance(call.input, str):
                    self.faults += [f"model call {number + 1}: {fault}" for fault in unpaired(call.input)]


def unpaired(items: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return what a provider would refuse in `items`: calls without exactly one output, outputs without a call."""
    calls: dict[tuple[Any, Any], int] = {}
    faults: list[str] = []
    for item in items:
        kind, call_id = item.get("type"), item.get("call_id")
        if kind in NEEDS_OUTPUT:
            if (kind, call_id) in calls:
                faults.append(f"call {call_id!r} stands twice")
            calls[kind, call_id] = 0
        elif kind in OUTPUT_OF:
            key = (OUTPUT_OF[kind], call_id)
            if key not in calls:
                faults.append(f"output {call_id!r} has no call before it")
            else:
                calls[key] += 1
    faults += [f"call {call_id!r} has {count} outputs" for (_, call_id), count in calls.items() if count != 1]
    return faults


def cancel_everywhere(
    scenario: Scenario,
    *,
    backend: Backend = "asyncio",
    how: CancelHow = "scope",
    sample: int | None = None,
    seed: int = 0,
) -> Iterator[CancelCase]:
    """Perform a scenario again and again, each time cancelled one checkpoint later, until it gets through.

    The first case is not cancelled at all, and shows how many steps there are. Call `check()` on each case::

        async def scenario(case: CancelCase) -> None:
            model = ScriptedModel([...])
            case.watch(model)
            async with Runner.run_streamed(agent, "hi", run_config=RunConfig(model=model)) as result:
                async for event in case.cancels(result).stream_events(): ...


        for case in cancel_everywhere(scenario, backend="trio", how="immediate"):
            case.check()

    Checked of each case: no task, stream or async generator is left; every watched stream is closed; every body that
    began has ended, and none began after a hard cancel; nothing happens afterwards; no error and no cancellation comes
    out of the scope that was cancelled; every call in `new_items` and in every request has exactly one output; the
    `follow_up` succeeds. Not to be used inside a running event loop: each case has one of its own.

    Args:
        scenario: an async function of the case. It makes everything anew, as each case is a run of its own.
        backend: the event loop.
        how: what cancels. "immediate" and "after_turn" need `case.cancels(result)`, and steps count from that call on.
        sample: how many of the checkpoints to try, chosen by `seed`; all when None.
        seed: chooses the sample.

    Yields:
        The cases, in the order of their checkpoints.

    Raises:
        ValueError: `how="native"` on trio, which has no such thing.
    """
    if how == "native" and backend != "asyncio":
        raise ValueError(f"how='native' is asyncio's Task.cancel(), and backend is {backend!r}; use how='scope' there")
    # Each case looks for what it dropped, and need not look through all that was there before.
    gc.freeze()
    try:
        yield from _cases(scenario, backend, how, sample, seed)
    finally:
        gc.unfreeze()


def _cases(
    scenario: Scenario, backend: Backend, how: CancelHow, sample: int | None, seed: int
) -> Generator[CancelCase]:
    first = perform(scenario, CancelCase(backend, how, None))
    yield first
    if sample is not None:
        for step in sorted(random.Random(seed).sample(range(1, first.steps + 1), min(sample, first.steps))):
            yield perform(scenario, CancelCase(backend, how, step))
        return
    for step in range(1, _STEPS_LIMIT):
        case = perform(scenario, CancelCase(backend, how, step))
        yield case
        if not case.cut:
            return


def perform(scenario: Scenario, case: CancelCase) -> CancelCase:
    """Perform one case in an event loop of its own, and return it."""

    async def main() -> None:
        with fail_on_deadlock():
            await case.perform(scenario)

    options = virtual_options(case.backend)
    if case.backend == "asyncio":
        options["loop_factory"] = lambda: _CountingLoop(case)
    else:
        options["instruments"] = [*options["instruments"], _trio_counter(case)]
    try:
        anyio.run(main, backend=case.backend, backend_options=options)
    except DeadlockError as exc:
        case.error = exc
        case.faults.append(str(exc))
    return case


class _CountingLoop(AutojumpLoop):
    """Tells a case of every callback that has run: the steps of tasks, and what wakes them."""

    def __init__(self, case: CancelCase) -> None:
        self._case = case
        super().__init__()

    def call_soon(self, callback: Callable[[*Ts], object], *args: *Ts, context: Any = None) -> asyncio.Handle:
        """As the base class does, and count when it has run."""

        def run() -> None:
            owner = getattr(callback, "__self__", None)
            task = owner.get_name() if isinstance(owner, asyncio.Task) else ""
            try:
                callback(*args)
            finally:
                self._case.count(task or getattr(callback, "__qualname__", repr(callback)))

        return super().call_soon(run, context=context)


def _trio_counter(case: CancelCase) -> Any:
    import trio

    class Counter(trio.abc.Instrument):
        def after_task_step(self, task: trio.lowlevel.Task) -> None:
            if not task.name.startswith("trio._core."):
                case.count(task.name)

    return Counter()
