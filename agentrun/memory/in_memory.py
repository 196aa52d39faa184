"""Conversations that end with the process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio.lowlevel

from agentrun._items import copy_json
from agentrun.memory._limits import SessionLimits, byte_count
from agentrun.memory._stored import as_settings, check_session_id, encode_items, newest, wanted
from agentrun.memory.session import SessionABC

if TYPE_CHECKING:
    from agentrun._responses import TResponseInputItem
    from agentrun._settings import SessionSettings

__all__ = ["InMemorySession"]


class InMemorySession(SessionABC):
    """A conversation in a list. Each object has its own, whatever its id; what is stored and returned are copies.

    Every method is a checkpoint before it does anything, so a cancelled call has changed nothing. `limits` bound how
    much it may hold; without them it takes anything.
    """

    def __init__(
        self,
        session_id: str = "default",
        *,
        session_settings: SessionSettings | dict[str, Any] | None = None,
        limits: SessionLimits | dict[str, Any] | None = None,
    ) -> None:
        self.session_id: str = check_session_id(session_id)
        self.session_settings: SessionSettings | None = as_settings(session_settings)
        self.limits: SessionLimits | None = SessionLimits.coerce(limits) if limits is not None else None
        self.lock_key: object = object()
        self._items: list[TResponseInputItem] = []

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.session_id!r})"

    async def get_items(self, limit: int | None = None) -> list[TResponseInputItem]:
        """Return the newest `limit` items, oldest first; all of them for None or a negative number.

        It raises nothing.
        """
        await anyio.lowlevel.checkpoint()
        return [copy_json(item) for item in newest(list(self._items), wanted(limit, self.session_settings))]

    async def add_items(self, items: list[TResponseInputItem]) -> None:
        """Append `items` in order. On cancel nothing is stored.

        Raises:
            SessionFull: they would take the session past its limits; nothing is stored.
        """
        await anyio.lowlevel.checkpoint()
        copies = [copy_json(item) for item in items]
        if self.limits is not None:
            texts = encode_items(copies)
            self.limits.check_items(self.session_id, texts)
            self.limits.check_room(self.session_id, texts, self._held)
        self._items.extend(copies)

    def _held(self) -> tuple[int, int]:
        return len(self._items), sum(map(byte_count, encode_items(self._items)))

    async def pop_item(self) -> TResponseInputItem | None:
        """Take the newest item out and return it; None when there is none. It raises nothing."""
        await anyio.lowlevel.checkpoint()
        return self._items.pop() if self._items else None

    async def clear_session(self) -> None:
        """Delete every item. It raises nothing."""
        await anyio.lowlevel.checkpoint()
        self._items.clear()
