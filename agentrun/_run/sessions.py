"""Reads and writes the session of a run: whole turns, in one write that a cancel cannot cut in half.

A session is read once, before the first turn. The run's input is written when the first turn begins, each turn when it
is over: its calls together with their outputs. So whatever cancels a run, what is stored is a conversation that a
provider accepts.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, cast

import anyio
import anyio.lowlevel

from agentrun._exceptions import RunTimeoutError, SessionBusy, UserError
from agentrun._history import NEEDS_OUTPUT, OUTPUT_OF, History
from agentrun._items import ItemHelpers, ToolApprovalItem, copy_json
from agentrun._settings import SessionSettings
from agentrun.memory.session import lock_key

if TYPE_CHECKING:
    from agentrun._responses import TResponseInputItem
    from agentrun._run.context import Run
    from agentrun.memory.session import Session

log = logging.getLogger("agentrun")

_locks: anyio.lowlevel.RunVar[dict[Hashable, _SessionLock]] = anyio.lowlevel.RunVar("agentrun_session_locks")
_held_here: ContextVar[frozenset[Hashable]] = ContextVar("agentrun_sessions_held", default=frozenset())


class _SessionLock:
    """The queue of the runs on one session; first come, first served."""

    def __init__(self) -> None:
        self.lock = anyio.Lock()
        self.users = 0


_NOTHING: nullcontext[None] = nullcontext()


def held(run: Run) -> AbstractAsyncContextManager[None]:
    """Return a context that holds the run's session, so that runs on one session queue instead of interleaving.

    One session is one class and `session_id`, or what it says itself with a `lock_key`. A run nested in one that holds
    the session goes on with it: it would wait for itself.

    Raises:
        SessionBusy: another run holds it, and `RunConfig.session_busy` is "reject".

    On cancel a run that waits leaves the queue, and has not touched the session.
    """
    session = run.spec.session
    if session is None:
        return _NOTHING
    key = lock_key(session)
    return _NOTHING if key in _held_here.get() else _queued(run, key)


@asynccontextmanager
async def _queued(run: Run, key: Hashable) -> AsyncGenerator[None, None]:
    nothing: dict[Hashable, _SessionLock] = {}
    locks = _locks.get(nothing)
    _locks.set(locks)
    entry = locks.setdefault(key, _SessionLock())
    if entry.users and run.spec.config.session_busy == "reject":
        raise SessionBusy(
            f"session {getattr(run.spec.session, 'session_id', '')!r} is held by another run; wait for it, "
            "or set session_busy='wait'"
        )
    entry.users += 1
    try:
        async with entry.lock:
            token = _held_here.set(_held_here.get() | {key})
            try:
                yield
            finally:
                _held_here.reset(token)
    finally:
        entry.users -= 1
        if not entry.users:
            del locks[key]


async def read(run: Run) -> None:
    """Put the session's history before the run's input.

    Raises:
        UserError: a `session_input_callback` returned no list.
        Exception: whatever the session raises.

    Source: sessions, "How sessions work".
    """
    session, state = run.spec.session, run.state
    if session is None or state.input_stored or state.unstored is not None:
        return
    own: Any = getattr(session, "session_settings", None)
    settings = (own if isinstance(own, SessionSettings) else SessionSettings()).resolve(
        run.spec.config.session_settings
    )
    get_items = _with_wrapper(run, session.get_items)
    stored = await (get_items(limit=settings.limit) if settings.limit is not None else get_items())
    history = [dict(item) for item in stored]
    new = state.input_items()
    combine = run.spec.config.session_input_callback
    if combine is None:
        whole = [*history, *new]
    else:
        whole, new = await _combined(combine, history, new)
    state.original_input = whole
    state.history = History(_without_orphans(whole, new))
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


async def write_input(run: Run) -> None:
    """Store the run's input, once.

    Source: sessions, "How sessions work".
    """
    if run.state.input_stored:
        return
    unstored, run.state.unstored = run.state.unstored, None
    run.state.input_stored = True
    if run.spec.session is not None:
        await _write(run, unstored if unstored is not None else run.state.input_items())


async def write_turn(run: Run) -> None:
    """Store what the turn has recorded and no write has stored yet.

    Source: sessions, "How sessions work".
    """
    items, run.turn.session_items = run.turn.session_items, []
    if run.spec.session is not None:
        await _write(run, [item.to_input_item() for item in items if not isinstance(item, ToolApprovalItem)])


async def _write(run: Run, items: Iterable[TResponseInputItem]) -> None:
    """Append `items` in one write that goes on when the run is cancelled, up to a deadline.

    Raises:
        RunTimeoutError: the write took longer than `Timeouts.save`; whether it was stored, the session knows.
        Exception: whatever the session raises.
    """
    session = cast("Session", run.spec.session)
    whole = [_storable(item) for item in items]
    if not whole:
        return
    limit = run.spec.config.timeouts.save
    add_items = _with_wrapper(run, session.add_items)
    failure: Exception | None = None
    scope = anyio.CancelScope(shield=True)

    async def write() -> None:
        nonlocal failure
        if limit is not None:
            scope.deadline = anyio.current_time() + limit
        with scope:
            try:
                await add_items(whole)
            except Exception as exc:  # noqa: BLE001 - raised below, without a group round it
                failure = exc

    # A task of its own: asyncio's Task.cancel() goes through every shield, but not into another task.
    async with anyio.create_task_group() as nursery:  # noqa: ASYNC112 - see above
        nursery.start_soon(write, name="session write")
    await anyio.lowlevel.checkpoint_if_cancelled()  # nothing visible happens after a cancel
    if failure is not None:
        raise failure
    if scope.cancelled_caught:
        raise RunTimeoutError("save", cast("float", limit))


def _storable(item: TResponseInputItem) -> TResponseInputItem:
    """Return an item as plain data of its own, whatever class the caller's input used."""
    return ItemHelpers.input_to_new_input_list([item])[0]


_takes_wrapper: dict[Any, bool] = {}


def _with_wrapper(run: Run, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Return a session's method, given the run's context where it takes a `wrapper`."""
    function = getattr(method, "__func__", method)
    takes = _takes_wrapper.get(function)
    if takes is None:
        parameter = inspect.signature(method).parameters.get("wrapper")
        takes = _takes_wrapper[function] = parameter is not None
    if not takes:
        return method

    def call(*args: Any, **kwargs: Any) -> Awaitable[Any]:
        return method(*args, wrapper=run.state.context, **kwargs)

    return call
