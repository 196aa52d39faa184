"""Where exceptions leave a run: one of them, in its own type, with what the run had done."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import anyio
import attrs

from agentrun._detached import is_cancelled_by_loop
from agentrun._exceptions import (
    AgentsException,
    InputGuardrailTripwireTriggered,
    MaxTurnsExceeded,
    OutputGuardrailTripwireTriggered,
    RunErrorDetails,
    ToolInputGuardrailTripwireTriggered,
    ToolOutputGuardrailTripwireTriggered,
)

if TYPE_CHECKING:
    from agentrun._state import RunState

_RANKS: tuple[tuple[type[BaseException], ...], ...] = (
    (KeyboardInterrupt,),
    (SystemExit,),
    (
        InputGuardrailTripwireTriggered,
        OutputGuardrailTripwireTriggered,
        ToolInputGuardrailTripwireTriggered,
        ToolOutputGuardrailTripwireTriggered,
    ),
    (MaxTurnsExceeded,),
    (AgentsException,),
)
"""Which exception counts when several leave together; whatever is not named comes last."""


def rank(exc: BaseException) -> int:
    """Return where `exc` stands among several; lower counts."""
    for place, classes in enumerate(_RANKS):
        if isinstance(exc, classes):
            return place
    return len(_RANKS)


def leaves(exc: BaseException) -> Iterator[BaseException]:
    """Yield the exceptions in a group, however nested; anything else is its own only leaf."""
    if isinstance(exc, BaseExceptionGroup):
        for one in exc.exceptions:  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            yield from leaves(one)  # pyright: ignore[reportUnknownArgumentType]
    else:
        yield exc


@contextmanager
def one_exception(run_data: Callable[[], RunErrorDetails], order: Callable[[BaseException], int]) -> Generator[None]:
    """Let one exception out of the block, with `run_data` on it.

    Of several the best ranked leaves, and of equals the first in `order`; the others hang on it as its cause. A group
    of nothing but cancellations leaves as it is: an outer scope owns it.

    Args:
        run_data: makes what the exception carries.
        order: the place of an exception among its equals, call order for tools.
    """
    try:
        yield
        return
    except BaseExceptionGroup as group:
        caught: BaseException = group
        chosen, others = _choose(group, order)
    except BaseException as exc:  # noqa: ASYNC103, BLE001 - raised again below, after the block has been left
        caught = chosen = exc
        others = []
    # Raised here and not in the handlers, so that no context is written over.
    _attach(chosen, run_data)
    if chosen is not caught and others and chosen.__cause__ is None:
        raise chosen from BaseExceptionGroup("also raised while the run stopped", others)
    raise chosen


@contextmanager
def failing_if_uncalled_for(what: str) -> Generator[None]:
    """Make a cancellation that the block's own code raises a failure, where nobody has cancelled the block.

    A nursery would take it for the end of a task, as if all were well.

    Raises:
        RuntimeError: `what` raised the backend's cancellation, and nobody had cancelled it.
    """
    try:
        yield
    except anyio.get_cancelled_exc_class() as exc:
        failure = uncalled_for(exc, what)
        if failure is exc:
            raise
        raise failure from exc


def uncalled_for(exc: BaseException, what: str) -> BaseException:
    """Return `exc`, or the failure that it is: a cancellation which `what` raised while nobody had cancelled it.

    For an `except` clause; as `failing_if_uncalled_for`, which has more to pay where nothing is raised.
    """
    if not isinstance(exc, anyio.get_cancelled_exc_class()):
        return exc
    if anyio.current_effective_deadline() == -math.inf or is_cancelled_by_loop():
        return exc
    failure = RuntimeError(f"{what} raised {type(exc).__name__} although nobody cancelled it")
    failure.__cause__ = exc
    return failure


def _choose(
    group: BaseExceptionGroup[Any], order: Callable[[BaseException], int]
) -> tuple[BaseException, list[BaseException]]:
    _, errors = group.split(anyio.get_cancelled_exc_class())
    if errors is None:
        return group, []
    first, *others = sorted(leaves(errors), key=lambda exc: (rank(exc), order(exc)))
    return first, others


def _attach(exc: BaseException, run_data: Callable[[], RunErrorDetails]) -> None:
    """Put the run's details on `exc`; an exception of a class that takes no attributes goes without."""
    try:
        exc.run_data = run_data()  # type: ignore[attr-defined]
    except (AttributeError, TypeError):
        return


@attrs.define(eq=False, repr=False)
class CapturedRun:
    """What `capture_run` has seen: the last run started inside its block."""

    _state: RunState[Any] | None = attrs.field(default=None, init=False)

    @property
    def run_data(self) -> RunErrorDetails | None:
        """What that run has done so far, or None while none was started; the same data an exception would carry."""
        return self._state.details() if self._state is not None else None

    def note(self, state: RunState[Any]) -> None:
        """Remember a run; called as it starts."""
        self._state = state


_capturing: ContextVar[CapturedRun | None] = ContextVar("agentrun_capturing", default=None)


@contextmanager
def capture_run() -> Generator[CapturedRun]:
    """Keep what a run inside the block does, for when it is left by an exception that is not the run's own.

    A `TimeoutError` of the caller's own `anyio.fail_after`, or a plain cancellation, cannot carry `run_data`. What this
    yields has it all the same, also after the block::

        with capture_run() as captured:
            with anyio.move_on_after(5):
                result = await Runner.run(agent, "hi")
        captured.run_data.new_items
    """
    captured = CapturedRun()
    token = _capturing.set(captured)
    try:
        yield captured
    finally:
        _capturing.reset(token)


_NOTHING: nullcontext[None] = nullcontext()


def noted(state: RunState[Any]) -> AbstractContextManager[None]:
    """Tell the innermost `capture_run` block, if any, of the run that lives in this block, and of none nested in it."""
    captured = _capturing.get()
    return _NOTHING if captured is None else _noted_by(captured, state)


@contextmanager
def _noted_by(captured: CapturedRun, state: RunState[Any]) -> Generator[None]:
    captured.note(state)
    token = _capturing.set(None)
    try:
        yield
    finally:
        _capturing.reset(token)
