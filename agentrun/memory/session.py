"""The seam to stored conversations."""

from __future__ import annotations

import abc
import inspect
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from agentrun._responses import TResponseInputItem
    from agentrun._settings import SessionSettings

__all__ = ["Session", "SessionABC"]


@runtime_checkable
class Session(Protocol):
    """A conversation that outlives a run. Structural: any object with these members will do.

    A run reads once, before its first turn, and writes whole turns: calls and outputs together, in one `add_items`.

    Source: sessions, `Session`.
    """

    session_id: str
    """What keeps this conversation apart from the others in its store; runs on one id wait for each other."""
    session_settings: SessionSettings | None
    """How much a run reads; a run's own `session_settings` win."""

    async def get_items(self, limit: int | None = None) -> list[TResponseInputItem]:
        """Return the newest `limit` items, oldest first; all of them for None.

        Raises:
            Exception: whatever the store raises; a run that uses the session fails with it.
        """
        ...

    async def add_items(self, items: list[TResponseInputItem]) -> None:
        """Append `items` in order, all or none. On cancel they are stored whole or not at all.

        Raises:
            Exception: whatever the store raises; a run that uses the session fails with it.
        """
        ...

    async def pop_item(self) -> TResponseInputItem | None:
        """Take the newest item out and return it; None when there is none.

        Raises:
            Exception: whatever the store raises; a run that uses the session fails with it.
        """
        ...

    async def clear_session(self) -> None:
        """Delete every item of the conversation.

        Raises:
            Exception: whatever the store raises; a run that uses the session fails with it.
        """
        ...


class SessionABC(abc.ABC):
    """A base class for sessions, for those who rather derive.

    Source: sessions, `SessionABC`.
    """

    session_id: str
    session_settings: SessionSettings | None = None

    @abc.abstractmethod
    async def get_items(self, limit: int | None = None) -> list[TResponseInputItem]:
        """Return the newest `limit` items, oldest first; all of them for None.

        Raises:
            Exception: whatever the store raises; a run that uses the session fails with it.
        """

    @abc.abstractmethod
    async def add_items(self, items: list[TResponseInputItem]) -> None:
        """Append `items` in order, all or none. On cancel they are stored whole or not at all.

        Raises:
            Exception: whatever the store raises; a run that uses the session fails with it.
        """

    @abc.abstractmethod
    async def pop_item(self) -> TResponseInputItem | None:
        """Take the newest item out and return it; None when there is none.

        Raises:
            Exception: whatever the store raises; a run that uses the session fails with it.
        """

    @abc.abstractmethod
    async def clear_session(self) -> None:
        """Delete every item of the conversation.

        Raises:
            Exception: whatever the store raises; a run that uses the session fails with it.
        """


def lock_key(session: Session) -> Hashable:
    """Return what two runs must not hold at once: what the session says with `lock_key`, else its class and id.

    A session may have a `lock_key` of its own where its id does not say it all: the file it is kept in, or the session
    it is wrapped round.
    """
    own: Hashable = getattr(session, "lock_key", None)
    return own if own is not None else (type(session), session.session_id)


_METHODS = ("get_items", "add_items", "pop_item", "clear_session")

_takers: dict[type[Any], bool] = {}


def takes_wrapper(session: object) -> bool:
    """Return whether a session wants the run's context: whether all of its methods have a parameter `wrapper`.

    Some would not do: what is written for one user has to be read, taken back and deleted for the same one. A session
    that is wrapped round another one says so itself, with an attribute `takes_wrapper`.
    """
    own: object = getattr(session, "takes_wrapper", None)
    if isinstance(own, bool):
        return own
    cls = type(session)
    if cls not in _takers:
        _takers[cls] = all(_takes(found) for name in _METHODS if (found := getattr(cls, name, None)) is not None)
    return _takers[cls]


def _takes(method: Callable[..., Any]) -> bool:
    try:
        parameter = inspect.signature(method).parameters.get("wrapper")
    except (TypeError, ValueError):  # a callable without a signature
        return False
    return parameter is not None and parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)
