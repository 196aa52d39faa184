"""The conversation as a model sees it: input items, append-only, with an index of ids that grows along."""

from __future__ import annotations

import functools
import marshal
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self, cast

from agentrun._items import copy_json

if TYPE_CHECKING:
    from agentrun._responses import TResponseInputItem

OUTPUT_OF = {
    "function_call_output": "function_call",
    "custom_tool_call_output": "custom_tool_call",
    "computer_call_output": "computer_call",
    "shell_call_output": "shell_call",
    "local_shell_call_output": "local_shell_call",
    "apply_patch_call_output": "apply_patch_call",
}
"""The type of call each type of output answers; a call of these types needs an output before the next request."""

NEEDS_OUTPUT = frozenset(OUTPUT_OF.values())
"""The types of call that have to be answered on this side."""


PLACEHOLDER_ID = "__fake_id__"
"""The id that models give to items for which their provider has none; it names no item."""

_BEFORE_OTHERS = NEEDS_OUTPUT | {"reasoning"}
"""The types of items that others refer back to."""


def identity(item: TResponseInputItem) -> tuple[Any, Any] | None:
    """Return what makes two items the same: type and call id, or type and id; None for an item without either.

    Messages are themselves only: many models give all of theirs one and the same id, and none may get lost.
    """
    kind = item.get("type")
    if kind == "message" or "role" in item:
        return None
    key = item.get("call_id") or item.get("id")
    return (kind, key) if key and key != PLACEHOLDER_ID else None


def without_repeats(items: Iterable[TResponseInputItem]) -> list[TResponseInputItem]:
    """Return items of which no two are the same, each as it was told last.

    Calls and reasoning stand where they were told first, anything else where it was told last, so that nothing comes
    before what it refers to.
    """
    kept = list(items)
    at: dict[tuple[Any, Any], int] = {}
    gone: set[int] = set()
    for place, item in enumerate(kept):
        key = identity(item)
        if key is None:
            continue
        known = at.setdefault(key, place)
        if known == place:
            continue
        if item.get("type") in _BEFORE_OTHERS:
            gone.add(place)
            kept[known] = item
        else:
            gone.add(known)
            at[key] = place
    return [item for place, item in enumerate(kept) if place not in gone]


class HistoryItem(dict[str, Any]):
    """An item of a history, which keeps its own JSON: a long conversation is encoded once, and not once a turn.

    Not to be changed after it was first sent: `encoded` would not follow. Whoever may change items gets plain dicts.
    """

    __slots__ = ("_encoded",)

    def encoded(self, encode: Callable[[dict[str, Any]], bytes]) -> bytes:
        """Return the item as JSON, made with `encode` at the first call."""
        try:
            return self._encoded
        except AttributeError:
            self._encoded: bytes = encode(self)
            return self._encoded


INPUT_CLASSES = frozenset[type[Any]]((dict, HistoryItem))
"""The usual classes of an input item: those of the caller's, and of those that went through a run."""


def copy_items(items: Sequence[TResponseInputItem]) -> list[TResponseInputItem]:
    """Return deep copies of items, plain dicts; what is no JSON data in them is shared."""
    if INPUT_CLASSES.issuperset(map(type, items)):
        try:
            # There and back in C, which costs a third of a copy in Python.
            return cast("list[TResponseInputItem]", marshal.loads(marshal.dumps([*map(dict, items)])))
        except ValueError:  # an item holds an object
            pass
    return [copy_json(item) for item in items]


class InputList(list["TResponseInputItem"]):
    """A conversation as its caller gets it: a list of plain dicts that are the caller's to change.

    They are copied when somebody first looks at one. Until then the list holds the `HistoryItem`s of the run, so that a
    conversation that goes from run to run, as ``result.to_input_list() + [message]``, costs nothing per item and each
    item is encoded once. A list made of this one by ``+`` or `copy` has the same dicts in it, as any list would, and
    holds them back alike.

    Invariants: `_looked` implies that no item of the list is a `HistoryItem`; the first `own` items are.
    """

    __slots__ = ("_copies", "_looked", "own")

    def __init__(
        self,
        items: Iterable[TResponseInputItem] = (),
        own: int = 0,
        copies: dict[int, TResponseInputItem] | None = None,
    ) -> None:
        super().__init__(items)
        self.own = own
        """How many items, from the first on, are known to be of runs, so that nobody goes through them again."""
        self._copies: dict[int, TResponseInputItem] = {} if copies is None else copies
        """The caller's copy of each item that was looked at, in this list or one related to it, by its identity."""
        self._looked = False

    @classmethod
    def of(cls, items: list[TResponseInputItem]) -> Self:
        """Return a list that nobody else changes: the caller's items are copied, the runs' own are shared."""
        held, known = (items.held(), items.own) if isinstance(items, InputList) else (items.copy(), 0)
        theirs = [index for index, item in enumerate(held[known:], known) if type(item) is not HistoryItem]
        for index, own in zip(theirs, copy_items([held[index] for index in theirs]), strict=True):
            held[index] = HistoryItem(own)
        return cls(held, own=len(held))

    def held(self) -> list[TResponseInputItem]:
        """Return the items as they are held, copied only if somebody has looked at one; not to be changed."""
        if self._copies:
            self._look()
        return super().copy()

    def _look(self) -> None:
        """Put copies in the place of what the runs own."""
        if self._looked:
            return
        self._looked = True
        self.own = 0
        held = super().copy()
        missing = [item for item in held if type(item) is HistoryItem and id(item) not in self._copies]
        self._copies.update(zip(map(id, missing), copy_items(missing), strict=True))
        super().__setitem__(
            slice(None), [self._copies[id(item)] if type(item) is HistoryItem else item for item in held]
        )

    def copy(self) -> InputList:
        """Return a list with the same items."""
        return InputList(super().copy(), self.own, self._copies)

    def __add__(self, other: Any) -> Any:
        if not isinstance(other, list):
            return NotImplemented
        return InputList([*super().copy(), *cast("list[TResponseInputItem]", other)], self.own, self._copies)

    def __radd__(self, other: list[TResponseInputItem]) -> InputList:
        return InputList([*other, *super().copy()], 0, self._copies)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        """Copy and pickle as the plain list it stands for."""
        return list, ([*self],)


def _after_a_look(name: str) -> Callable[..., Any]:
    method = getattr(list, name)

    @functools.wraps(method)
    def looking(self: InputList, *args: Any, **named: Any) -> Any:
        self._look()  # pyright: ignore[reportPrivateUsage]
        return method(self, *args, **named)

    return looking


for _name in (
    *("__getitem__", "__setitem__", "__delitem__", "__iter__", "__reversed__", "__mul__", "__rmul__", "__imul__"),
    *("insert", "pop", "clear", "sort", "reverse"),
    *("__contains__", "__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "index", "count", "remove"),
    "__repr__",
):
    setattr(InputList, _name, _after_a_look(_name))


class History:
    """The items of one conversation, oldest first.

    A turn appends what it brought and nothing is scanned again, so its cost does not depend on what came before.

    Invariant: `_open` holds exactly the calls made during the run that have no output yet.
    """

    __slots__ = ("_at", "_base", "_items", "_open")

    def __init__(self, base: Iterable[TResponseInputItem] = ()) -> None:
        self._items: list[TResponseInputItem] = [HistoryItem(item) for item in base]
        self._base = len(self._items)
        self._at: dict[tuple[Any, Any], int] | None = None  # made when an item comes: a run of one turn needs none
        self._open: dict[Any, int] = {}

    @classmethod
    def of(cls, own: InputList) -> History:
        """Return the history that begins with a list which nobody else changes."""
        found = cls()
        found._items = own.held()
        found._base = len(found._items)
        return found

    def extend(self, items: Iterable[TResponseInputItem]) -> None:
        """Append items the run made. One that shares its id with an older one replaces it and moves to the end."""
        held, at = self._items, self._at
        for item in items:
            if at is None:
                at = {key: index for index, one in enumerate(held) if (key := identity(one)) is not None}
            key = identity(item)
            if key is not None:
                if key in at:
                    at = self._drop(at, at[key])
                at[key] = len(held)
            kind = item.get("type")
            if kind in NEEDS_OUTPUT:
                self._open[item.get("call_id")] = len(held)
            elif kind in OUTPUT_OF:
                self._open.pop(item.get("call_id"), None)
            held.append(HistoryItem(item))
        self._at = at

    def _drop(self, places: dict[tuple[Any, Any], int], index: int) -> dict[tuple[Any, Any], int]:
        """Take the item at `index` out; rare, so the indexes behind it are simply counted anew. Return `places`."""
        del self._items[index]
        if index < self._base:
            self._base -= 1
        self._open = {call: at - (at > index) for call, at in self._open.items() if at != index}
        return {key: at - (at > index) for key, at in places.items() if at != index}

    def as_input(self) -> list[TResponseInputItem]:
        """Return the items for a request, a list of its own.

        Calls that the run made and that never got an output are left out: no provider accepts them. The caller's own
        input is passed on as it is.
        """
        if not self._open:
            return self._items.copy()
        orphans = set(self._open.values())
        return [item for index, item in enumerate(self._items) if index not in orphans]

    def base(self) -> list[TResponseInputItem]:
        """Return the caller's own input, which the history began with."""
        return self._items[: self._base]

    def __len__(self) -> int:
        return len(self._items)

    def copy(self) -> History:
        """Return a history of its own that shares the items."""
        twin = History()
        twin._items, twin._base = self._items.copy(), self._base
        twin._at = None if self._at is None else self._at.copy()
        twin._open = self._open.copy()
        return twin
