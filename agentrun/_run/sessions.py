"""Reads and writes the session of a run: whole turns, in one write that a cancel cannot cut in half.

A session is read once, before the first turn. The run's input is written when the first turn begins, each turn when it
is over: its calls together with their outputs. So whatever cancels a run, what is stored is a conversation that a
provider accepts.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import TYPE_CHECKING, Any, cast

import anyio
import anyio.lowlevel

from agentrun._exceptions import RunTimeoutError, UserError
from agentrun._history import NEEDS_OUTPUT, OUTPUT_OF, History, without_repeats
from agentrun._items import ItemHelpers, ToolApprovalItem, copy_json
from agentrun._logging import traceback_of
from agentrun._run.holding import hold
from agentrun._run.leave import failing_if_uncalled_for
from agentrun._settings import SessionSettings
from agentrun.memory.session import lock_key, takes_wrapper

if TYPE_CHECKING:
    from agentrun._responses import TResponseInputItem
    from agentrun._run.context import Run
    from agentrun.memory.session import Session

log = logging.getLogger("agentrun")

_NOTHING: nullcontext[None] = nullcontext()


def held(run: Run) -> AbstractAsyncContextManager[None]:
    """Return a context that holds the run's session, so that runs on one session queue instead of interleaving.

    One session is one class and `session_id`, or what it says itself with a `lock_key`. A run nested in one that holds
    the session goes on with it: it would wait for itself.

    Raises:
        UserError: a run that is resumed belongs to another session.
        SessionBusy: another run holds the session, and `RunConfig.session_busy` is "reject"; or that run waits, itself
            or over others, for a session that this one holds.

    On cancel a run that waits leaves the queue, and has not touched the session.
    """
    session = run.spec.session
    _check_belongs(run, session)
    if session is None:
        return _NOTHING
    return hold(lock_key(session), str(_id_of(session)), may_wait=run.spec.config.session_busy != "reject")


def _check_belongs(run: Run, session: Session | None) -> None:
    """Refuse to go on in a session that does not have what came before, and tell of a run that loses its session."""
    began_in = run.state.session_id
    if began_in is None:
        return
    if session is None:
        log.warning("a run that is kept in session %r goes on without it; what it does now is not stored", began_in)
        return
    now = _id_of(session)
    if now is not None and now != began_in:
        raise UserError(
            f"this run is kept in session {began_in!r} and cannot go on in session {now!r}, which does not have what "
            "came before; pass the session it began with, or none"
        )


async def read(run: Run) -> None:
    """Put the session's history before the run's input.

    Raises:
        UserError: a `session_input_callback` returned no list.
        Exception: whatever the session raises.

    Source: sessions, "How sessions work".
    """
    session, state = run.spec.session, run.state
    if session is None or state.input_stored or state.unstored is not None or state.current_turn:
        return
    own: Any = getattr(session, "session_settings", None)
    settings = (own if isinstance(own, SessionSettings) else SessionSettings()).resolve(
        run.spec.config.session_settings
    )
    get_items = _with_wrapper(run, session, session.get_items)
    stored = await (get_items(limit=settings.limit) if settings.limit is not None else get_items())
    history = [dict(item) for item in stored]
    if state.reasoning_item_id_policy == "omit":
        for item in history:
            if item.get("type") == "reasoning":
                item.pop("id", None)
    new = state.input_items()
    combine = run.spec.config.session_input_callback
    if combine is None:
        whole = [*history, *new]
    else:
        whole, new = await _combined(combine, history, new)
    state.original_input = whole
    state.history = History(_without_orphans(without_repeats(whole), new))
    state.unstored = new


async def _combined(
    combine: Callable[..., Any], history: list[TResponseInputItem], new: list[TResponseInputItem]
) -> tuple[list[TResponseInputItem], list[TResponseInputItem]]:
    """Return the model's input as the callback makes it, and which of it belongs to the new turn."""
    old_copies, new_copies = [copy_json(item) for item in history], [copy_json(item) for item in new]
    answer = combine(list(old_copies), list(new_copies))
    if inspect.isawaitable(answer):
        answer = await answer
    if not isinstance(answer, list):
        raise UserError(f"session_input_callback returned {answer!r}, expected a list of input items; return one")
    whole = cast("list[TResponseInputItem]", answer)
    given = set(map(id, new_copies))
    old_objects = set(map(id, old_copies))
    old_left = [item for item in old_copies if not any(item is one for one in whole)]
    mine: list[TResponseInputItem] = []
    for item in whole:
        if id(item) in old_objects:
            continue
        if id(item) not in given and item in old_left:  # an equal copy of something old
            old_left.remove(item)
            continue
        mine.append(item)
    return whole, mine


def _without_orphans(items: list[TResponseInputItem], new: list[TResponseInputItem]) -> list[TResponseInputItem]:
    """Return `items` without stored calls that have no output and stored outputs that have no call.

    They stay stored. The caller's own new input is passed on as it is.
    """
    mine = set(map(id, new))
    answered = {(OUTPUT_OF[kind], item.get("call_id")) for item in items if (kind := item.get("type")) in OUTPUT_OF}
    asked = {(kind, item.get("call_id")) for item in items if (kind := item.get("type")) in NEEDS_OUTPUT}

    def has_partner(item: TResponseInputItem) -> bool:
        kind, call_id = item.get("type"), item.get("call_id")
        if kind in NEEDS_OUTPUT:
            return (kind, call_id) in answered
        return kind not in OUTPUT_OF or (OUTPUT_OF[kind], call_id) in asked

    return [item for item in items if id(item) in mine or has_partner(item)]


async def store(run: Run) -> None:
    """Store what of the run its session does not have yet: the input, and the turns since.

    That is the input when the first turn begins and a turn when it is over or paused; also what a run did before it
    was given a session, and what a write did not store that failed.

    Raises:
        RunTimeoutError: the write took longer than `Timeouts.save`; whether it was stored, the session knows.
        RuntimeError: the session raised the backend's cancellation, and nobody had cancelled it.
        Exception: whatever the session raises; the state knows then whether it has the items all the same.

    Source: sessions, "How sessions work".
    """
    session, state = run.spec.session, run.state
    if session is None:
        return
    missing = state.new_items[state.stored_items :]
    items = [item.to_input_item() for item in missing if not isinstance(item, ToolApprovalItem)]
    if not state.input_stored:
        items = [*(state.unstored if state.unstored is not None else state.input_items()), *items]

    def note() -> None:
        state.note_stored(_id_of(session), missing)

    await _write(run, session, items, note)


def keeps_back(run: Run) -> bool:
    """Return whether the session gets nothing of a paused turn before that turn is over.

    Where a tool's output may be the final one, output guardrails are still to judge what the turn has made.
    """
    if run.spec.session is None or run.agent.tool_use_behavior == "run_llm_again":
        return False
    return bool(run.agent.output_guardrails or run.spec.config.output_guardrails)


async def store_failed(run: Run) -> None:
    """Store, as `store` does, what is kept of a turn that has failed.

    The failure of the turn is what the caller has to know of: what the session raises is logged, and the state knows
    that nothing is stored.
    """
    try:
        await store(run)
    except Exception as exc:  # the failure that is on its way out counts
        log.warning(
            "the session raised %s when it was given what is kept of a failed turn; it is given it again with the "
            "next write",
            type(exc).__name__,
            exc_info=traceback_of(exc, model_data=True, tool_data=True),
        )


def _id_of(session: Session) -> str | None:
    found: object = getattr(session, "session_id", None)
    return found if isinstance(found, str) else None


async def _write(
    run: Run, session: Session, items: Iterable[TResponseInputItem], note_stored: Callable[[], None]
) -> None:
    """Append `items` in one write that goes on when the run is cancelled, up to a deadline.

    Raises:
        RunTimeoutError: as `store`.
        Exception: as `store`.
    """
    whole = [_storable(item) for item in items]
    if not whole:
        note_stored()
        return
    limit = run.spec.config.timeouts.save
    add_items = _with_wrapper(run, session, session.add_items)
    failure: Exception | None = None
    scope = anyio.CancelScope(shield=True)

    async def write() -> None:
        nonlocal failure
        if limit is not None:
            scope.deadline = anyio.current_time() + limit
        with scope:
            try:
                with failing_if_uncalled_for("the session"):
                    await add_items(whole)
            except Exception as exc:  # noqa: BLE001 - raised below, without a group round it
                failure = exc
                if not await _has_taken(run, session, whole):  # noqa: ASYNC120 - inside of the shield
                    return
        note_stored()  # also past the deadline: what may be stored is not stored again

    # A task of its own: asyncio's Task.cancel() goes through every shield, but not into another task.
    async with anyio.create_task_group() as nursery:  # noqa: ASYNC112 - see above
        nursery.start_soon(write, name="session write")
    await anyio.lowlevel.checkpoint_if_cancelled()  # nothing visible happens after a cancel
    if failure is not None:
        raise failure
    if scope.cancelled_caught:
        raise RunTimeoutError("save", cast("float", limit))


async def _has_taken(run: Run, session: Session, items: list[TResponseInputItem]) -> bool:
    """Return whether a session that failed holds `items` all the same, as the last it has.

    Its answer may have been lost on the way back. Items that nothing tells apart from earlier ones prove nothing.
    """
    if not any(item.get("id") or item.get("call_id") for item in items):
        return False
    get_items = _with_wrapper(run, session, session.get_items)
    try:
        with failing_if_uncalled_for("the session"):
            last = await get_items(limit=len(items))
    except Exception:  # noqa: BLE001 - what it failed with first is raised
        return False
    return [_storable(item) for item in last] == items


def _storable(item: TResponseInputItem) -> TResponseInputItem:
    """Return an item as plain data of its own, whatever class the caller's input used."""
    return ItemHelpers.input_to_new_input_list([item])[0]


def _with_wrapper(run: Run, session: Session, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Return a session's method, given the run's context where the session takes it."""
    if not takes_wrapper(session):
        return method

    def call(*args: Any, **kwargs: Any) -> Awaitable[Any]:
        return method(*args, wrapper=run.state.context, **kwargs)

    return call
