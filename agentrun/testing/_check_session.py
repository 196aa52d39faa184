"""What every Session must do, as rules that any session can be run through."""

from __future__ import annotations

import copy
import inspect
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio
import anyio.lowlevel
import attrs

from agentrun.memory.session import Session
from agentrun.testing._leaks import running_tasks

if TYPE_CHECKING:
    from agentrun._responses import TResponseInputItem

SessionFactory: TypeAlias = "Callable[[str], Session | Awaitable[Session]]"
"""A function, sync or async, that makes a session object for a session id."""


class BrokenSessionRule(AssertionError):
    """A session does not do what every session must."""

    rule: str
    """The name of the rule."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(f"session rule {rule!r}: {message}")
        self.rule = rule


async def check_session(
    factory: SessionFactory,
    *,
    shared: bool = True,
    concurrent: int = 8,
    cancel_after: Iterable[float] = (0.0, 0.0001, 0.0003, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02),
    prompt_seconds: float = 2.0,
    large_characters: int = 1_000_000,
    client_tasks: Sequence[str] = (),
    skip: Sequence[str] = (),
) -> list[str]:
    """Run a kind of session through the rules that a run relies on.

    Every rule uses session ids that nothing else has, and clears what it stored. Sessions are closed after each rule:
    `close()`, sync or async, is called where there is one. A session that is an async context manager is not entered;
    have the factory do that where it matters.

    Args:
        factory: makes the sessions. What it makes for one id belongs to one conversation.
        shared: whether two objects made for one id see the same items. Not so for sessions in memory; the rules about
            it are then checked with tasks that share one object.
        concurrent: how many tasks write at once.
        cancel_after: seconds, on the clock of the event loop, after which writes are cut short; one write each.
        prompt_seconds: how long a cancelled call may take to end.
        large_characters: the size of the largest item stored.
        client_tasks: how the names of tasks begin that belong to a client which the caller has opened, and so may be
            left by a rule.
        skip: the names of rules to leave out.

    Returns:
        The names of the rules that were checked, in order.

    Raises:
        BrokenSessionRule: an AssertionError that names the rule and what was seen.
    """
    given = _Given(factory, shared, concurrent, list(cancel_after), prompt_seconds, large_characters)
    checked: list[str] = []
    for name, rule in _RULES.items():
        if name not in skip:
            await _kept(name, rule, given, tuple(client_tasks))
            checked.append(name)
    return checked


class _Broken(Exception):
    """Raised by a rule; becomes a BrokenSessionRule with the rule's name."""


class _Sessions:
    """Makes the sessions of one rule, and clears and closes them when the rule is done."""

    def __init__(self, given: _Given) -> None:
        self._given = given
        self._unique = uuid.uuid4().hex
        self._made: list[Session] = []

    def id(self, name: str = "a") -> str:
        return f"{name} {self._unique}"

    async def open(self, name: str = "a") -> Session:
        return await self.open_id(self.id(name))

    async def open_id(self, session_id: str) -> Session:
        made = self._given.factory(session_id)
        session = await made if inspect.isawaitable(made) else made
        if not isinstance(session, Session):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise _Broken(f"the factory made {session!r}, which lacks a method or attribute of Session")
        if session.session_id != session_id:
            raise _Broken(f"session_id is {session.session_id!r}, asked for was {session_id!r}")
        self._made.append(session)
        return session

    async def other(self, session: Session) -> Session:
        """Return another object for the same conversation where there can be one."""
        return await self.open_id(session.session_id) if self._given.shared else session

    async def close(self) -> None:
        for session in self._made:
            await session.clear_session()
        for session in self._made:
            for _ in range(2):  # closing twice is fine
                close = getattr(session, "close", None)
                closing: object = close() if callable(close) else None
                if inspect.isawaitable(closing):
                    await closing


@attrs.frozen(eq=False)
class _Given:
    """What every rule is checked with."""

    factory: SessionFactory
    shared: bool
    concurrent: int
    cancel_after: list[float]
    prompt_seconds: float
    large_characters: int


_Rule: TypeAlias = Callable[[_Sessions, _Given], Awaitable[None]]


@asynccontextmanager
async def _sessions(given: _Given) -> AsyncGenerator[_Sessions, None]:
    sessions = _Sessions(given)
    try:
        yield sessions
    finally:
        with anyio.move_on_after(30, shield=True):  # protects the check from a session that does not close
            await sessions.close()


async def _kept(name: str, rule: _Rule, given: _Given, client_tasks: tuple[str, ...]) -> None:
    """Check one rule, and that it left no task."""
    before = running_tasks()
    try:
        async with _sessions(given) as sessions:
            await rule(sessions, given)
    except _Broken as exc:
        raise BrokenSessionRule(name, str(exc)) from exc.__cause__
    except ExceptionGroup as group:
        broken, _ = group.split(_Broken)
        first = broken.exceptions[0] if broken is not None else group
        raise BrokenSessionRule(name, f"tasks that used it at once failed: {first!r}") from group
    except Exception as exc:
        raise BrokenSessionRule(name, f"the session failed: {exc!r}") from exc
    left: list[str | None] = []
    for _ in range(5):  # a task that was told to end needs a step or two
        now = running_tasks().items()
        left = [one for number, one in now if number not in before and not (one or "").startswith(client_tasks)]
        if not left:
            return
        await anyio.lowlevel.checkpoint()
    raise BrokenSessionRule(name, f"tasks are left: {left!r}")


def _item(text: object) -> TResponseInputItem:
    return {"role": "user", "content": str(text)}


def _batch(mark: object, size: int) -> list[TResponseInputItem]:
    return [{"role": "user", "content": f"{mark}:{number}", "mark": str(mark)} for number in range(size)]


def _same(seen: Any, expected: Any, what: str) -> None:
    if seen != expected:
        raise _Broken(f"{what}: expected {_short(expected)}, got {_short(seen)}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 400 else f"{text[:200]} ... {text[-200:]}"


def _blocks(items: list[TResponseInputItem], size: int) -> list[str]:
    """Return the marks of the batches in `items`, having checked that each batch is whole and in one piece.

    Args:
        items: made of batches.
        size: how many items each batch has.
    """
    marks: list[str] = []
    for start in range(0, len(items), size):
        mark = str(items[start].get("mark"))
        piece = items[start : start + size]
        if piece != _batch(mark, size):
            raise _Broken(f"the {size} items of one add_items are not whole and in one piece: {_short(piece)}")
        marks.append(mark)
    if len(set(marks)) < len(marks):
        raise _Broken(f"an add_items was stored twice: {_short(marks)}")
    return marks


async def _empty(sessions: _Sessions, given: _Given) -> None:
    session = await sessions.open()
    _same(await session.get_items(), [], "get_items() of a new session")
    _same(await session.get_items(5), [], "get_items(5) of a new session")
    _same(await session.pop_item(), None, "pop_item() of a new session")
    await session.add_items([])
    _same(await session.get_items(), [], "get_items() after add_items([])")
    await session.clear_session()
    _same(await session.get_items(), [], "get_items() after clear_session() of a new session")


async def _order(sessions: _Sessions, given: _Given) -> None:
    session = await sessions.open()
    batches = [_batch(mark, 1 + mark % 4) for mark in range(12)]
    for batch in batches:
        await session.add_items(batch)
    whole = [item for batch in batches for item in batch]
    _same(await session.get_items(), whole, "items come back in the order in which they were added")
    _same(await (await sessions.other(session)).get_items(), whole, "another object for the same id")


async def _limits(sessions: _Sessions, given: _Given) -> None:
    session = await sessions.open()
    items = _batch("x", 10)
    await session.add_items(items)
    for limit, expected in ((3, items[-3:]), (1, items[-1:]), (10, items), (11, items), (0, []), (None, items)):
        _same(await session.get_items(limit), expected, f"get_items({limit})")
        _same(await session.get_items(limit=limit), expected, f"get_items(limit={limit})")


async def _isolation(sessions: _Sessions, given: _Given) -> None:
    plain = sessions.id("plain")
    names = [
        plain,
        plain.upper(),
        f"{plain} ",
        f"{plain}:messages",
        f"{plain}' OR '1'='1",
        f'{plain}"; DROP TABLE x; --',
    ]
    names += [f"{plain}%", f"{plain}_", f"../{plain}", f"{plain}\x00a", f"{plain}\x00b", f"{plain}\n", f"{plain}{{}}%s"]
    names += [f"{plain} ü 日本 🎉", plain + "z" * 10_000, plain + "z" * 10_001]
    opened = [await sessions.open_id(name) for name in names]
    for number, session in enumerate(opened):
        await session.add_items([_item(number)])
    for number, session in enumerate(opened):
        _same(await session.get_items(), [_item(number)], f"the session {names[number][:100]!r} has its own items only")
    await opened[0].clear_session()
    for number, session in enumerate(opened[1:], 1):
        _same(await session.get_items(), [_item(number)], f"{names[number][:100]!r} after another one was cleared")


async def _pops(sessions: _Sessions, given: _Given) -> None:
    session = await sessions.open()
    items = _batch("x", 3)
    await session.add_items(items)
    _same(await session.pop_item(), items[2], "pop_item() takes the newest")
    _same(await session.get_items(), items[:2], "what pop_item() left")
    await session.add_items([_item("new")])
    popped = [await session.pop_item() for _ in range(4)]
    _same(popped, [_item("new"), items[1], items[0], None], "pop_item() until nothing is left")


async def _clears(sessions: _Sessions, given: _Given) -> None:
    session = await sessions.open()
    await session.add_items(_batch("old", 5))
    await session.clear_session()
    await session.clear_session()
    _same(await session.get_items(), [], "get_items() after clear_session()")
    await session.add_items(_batch("new", 2))
    _same(await session.get_items(), _batch("new", 2), "a cleared session starts anew")


async def _values(sessions: _Sessions, given: _Given) -> None:
    session = await sessions.open()
    items: list[TResponseInputItem] = [
        _item("ünïcödé 日本語 🎉 \u202e \x00 \x1f \\ \" ' \r\n \u2028"),
        _item("lone \ud800 surrogate"),
        {"type": "a_kind_from_the_future", "deep": {"list": [1, 2.5, None, True, {"x": []}]}, "": "", "é": 2**63},
        {"type": "function_call", "call_id": "c1", "name": "look_up", "arguments": '{"q": "\\u00fc"}', "id": "fc_1"},
        {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "a"}]},
        {},
        _item("x" * given.large_characters),
        _item("last"),
    ]
    before = copy.deepcopy(items)
    await session.add_items(items)
    if items != before:
        raise _Broken("add_items changed the items it was given")
    _same(await session.get_items(), before, "items come back as they were stored")
    for item in reversed(before):
        _same(await session.pop_item(), item, "popped items are as they were stored")


async def _copies(sessions: _Sessions, given: _Given) -> None:
    session = await sessions.open()
    item: TResponseInputItem = {"role": "user", "content": [{"type": "input_text", "text": "as stored"}]}
    stored = copy.deepcopy(item)
    items = [item]
    await session.add_items(items)
    items.append(_item("added to the list afterwards"))
    item["content"][0]["text"] = "changed afterwards"
    seen = await session.get_items()
    _same(seen, [stored], "an item changed after add_items")
    seen[0]["content"][0]["text"] = "changed by a reader"
    seen.clear()
    _same(await session.get_items(), [stored], "an item changed by somebody who read it")


async def _wholeness(sessions: _Sessions, given: _Given) -> None:
    session = await sessions.open()
    broken: Any = [_item("fine"), {"role": "user", "content": object()}, _item("fine too")]
    try:
        await session.add_items(broken)
    except Exception:  # noqa: BLE001 - which error it is belongs to the session
        _same(await session.get_items(), [], "after add_items failed for one of its items")
    await session.clear_session()
    await session.add_items(_batch("next", 2))
    _same(await session.get_items(), _batch("next", 2), "the session after a write that failed")


async def _at_once(sessions: _Sessions, given: _Given) -> None:
    first = await sessions.open()
    size, rounds = 5, 4

    async def write(name: int) -> None:
        session = await sessions.other(first)
        for number in range(rounds):
            await session.add_items(_batch(f"{name}/{number}", size))

    async def read() -> None:
        session = await sessions.other(first)
        for _ in range(rounds):
            _blocks(await session.get_items(), size)

    async with anyio.create_task_group() as nursery:
        for name in range(given.concurrent):
            nursery.start_soon(write, name, name=f"writer {name}")
        nursery.start_soon(read, name="reader")
    marks = _blocks(await first.get_items(), size)
    expected = {f"{name}/{number}" for name in range(given.concurrent) for number in range(rounds)}
    _same(set(marks), expected, f"what {given.concurrent} tasks stored")
    for name in range(given.concurrent):
        mine = [mark for mark in marks if mark.startswith(f"{name}/")]
        _same(mine, [f"{name}/{number}" for number in range(rounds)], "the writes of one task are in its order")


async def _pops_at_once(sessions: _Sessions, given: _Given) -> None:
    first = await sessions.open()
    await first.add_items([_item(number) for number in range(given.concurrent)])
    popped: list[TResponseInputItem | None] = []

    async def take() -> None:
        popped.append(await (await sessions.other(first)).pop_item())

    async with anyio.create_task_group() as nursery:
        for name in range(given.concurrent + 1):
            nursery.start_soon(take, name=f"popper {name}")
    contents = sorted(str(item["content"]) for item in popped if item is not None)
    _same(contents, sorted(map(str, range(given.concurrent))), "tasks that pop at once get each item once")


async def _cancels(sessions: _Sessions, given: _Given) -> None:
    session = await sessions.open()
    size = 20
    certain: set[str] = set()

    async def write(mark: str, scope: anyio.CancelScope) -> None:
        began = anyio.current_time()
        with scope:
            await session.add_items(_batch(mark, size))
            certain.add(mark)
        if scope.cancel_called and anyio.current_time() - max(began, scope.deadline) > given.prompt_seconds:
            raise _Broken(f"a cancelled add_items took more than {given.prompt_seconds:g} s to end")
        stored = set(_blocks(await session.get_items(), size))
        if not certain <= stored:
            raise _Broken(f"an add_items that returned is not stored: {_short(certain - stored)}")

    await write("before", anyio.CancelScope())
    for number, seconds in enumerate(given.cancel_after):
        await write(f"deadline {number}", anyio.CancelScope(deadline=anyio.current_time() + seconds))
    for steps in range(12):
        scope = anyio.CancelScope()
        async with anyio.create_task_group() as nursery:
            nursery.start_soon(_cancel_after_steps, scope, steps)
            await write(f"step {steps}", scope)
    await write("after", anyio.CancelScope())
    before = set(_blocks(await session.get_items(), size))
    await anyio.sleep(0.05)
    after = set(_blocks(await (await sessions.other(session)).get_items(), size))
    _same(after, before, "what was stored some time after the cancelled calls had ended")


async def _cancel_after_steps(scope: anyio.CancelScope, steps: int) -> None:
    for _ in range(steps):
        await anyio.lowlevel.checkpoint()
    scope.cancel()


async def _cancels_in_a_crowd(sessions: _Sessions, given: _Given) -> None:
    first = await sessions.open()
    size = 4
    certain: set[str] = set()

    async def write(name: int) -> None:
        session = await sessions.other(first)
        for number, seconds in enumerate(given.cancel_after):
            mark = f"{name}/{number}"
            with anyio.move_on_after(seconds if name % 2 else None):
                await session.add_items(_batch(mark, size))
                certain.add(mark)

    async with anyio.create_task_group() as nursery:
        for name in range(given.concurrent):
            nursery.start_soon(write, name, name=f"writer {name}")
    stored = set(_blocks(await first.get_items(), size))
    if not certain <= stored:
        raise _Broken(f"writes that returned are not stored: {_short(certain - stored)}")


async def _cancels_reads(sessions: _Sessions, given: _Given) -> None:
    session = await sessions.open()
    items = _batch("x", 50)
    await session.add_items(items)
    for seconds in given.cancel_after:
        with anyio.move_on_after(seconds):
            await session.get_items()
        with anyio.CancelScope() as scope:
            scope.cancel()
            await session.get_items()
            await anyio.lowlevel.checkpoint()
    _same(await session.get_items(), items, "the session after reads that were cancelled")
    left = list(items)
    for seconds in given.cancel_after:
        popped = False
        with anyio.move_on_after(seconds):
            _same(await session.pop_item(), left[-1], "pop_item() after one that was cancelled")
            popped = True
        seen = await session.get_items()
        if seen != left[:-1] and (popped or seen != left):
            raise _Broken(f"a cancelled pop_item left {len(seen)} of {len(left)} items: {_short(seen)}")
        left = seen


_RULES: dict[str, _Rule] = {
    "a new session is empty": _empty,
    "order": _order,
    "limits": _limits,
    "isolation by id": _isolation,
    "pop": _pops,
    "clear": _clears,
    "values survive": _values,
    "items are copied": _copies,
    "a failed write stores nothing": _wholeness,
    "writes at once stay whole": _at_once,
    "pops at once get each item once": _pops_at_once,
    "a cancelled write is whole or absent": _cancels,
    "cancelled writes in a crowd": _cancels_in_a_crowd,
    "cancelled reads and pops": _cancels_reads,
}
