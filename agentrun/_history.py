"""The conversation as a model sees it: input items, append-only, with an index of ids that grows along."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

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


def identity(item: TResponseInputItem) -> tuple[Any, Any] | None:
    """Return what makes two items the same: type and call id, or type and id; None for an item without either."""
    key = item.get("call_id") or item.get("id")
    return (item.get("type"), key) if key else None


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


class History:
    """The items of one conversation, oldest first.

    A turn appends what it brought and nothing is scanned again, so its cost does not depend on what came before.

    Invariant: `_open` holds exactly the calls made during the run that have no output yet.
    """

    __slots__ = ("_at", "_base", "_items", "_open")

    def __init__(self, base: Iterable[TResponseInputItem] = ()) -> None:
        self._items: list[TResponseInputItem] = [HistoryItem(item) for item in base]
        self._base = len(self._items)
        self._at: dict[tuple[Any, Any], int] = {}
        self._open: dict[Any, int] = {}
        for index, item in enumerate(self._items):
            key = identity(item)
            if key is not None:
                self._at[key] = index

    def append(self, item: TResponseInputItem) -> None:
        """Append an item the run made. One that shares its id with an older one replaces it and moves to the end."""
        key = identity(item)
        if key is not None:
            if key in self._at:
                self._drop(self._at[key])
            self._at[key] = len(self._items)
        kind = item.get("type")
        if kind in NEEDS_OUTPUT:
            self._open[item.get("call_id")] = len(self._items)
        elif kind in OUTPUT_OF:
            self._open.pop(item.get("call_id"), None)
        self._items.append(HistoryItem(item))

    def extend(self, items: Iterable[TResponseInputItem]) -> None:
        """Append each of `items`."""
        for item in items:
            self.append(item)

    def _drop(self, index: int) -> None:
        """Take the item at `index` out; rare, so the indexes behind it are simply counted anew."""
        del self._items[index]
        if index < self._base:
            self._base -= 1
        self._at = {key: at - (at > index) for key, at in self._at.items() if at != index}
        self._open = {call: at - (at > index) for call, at in self._open.items() if at != index}

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
        twin._at, twin._open = self._at.copy(), self._open.copy()
        return twin
