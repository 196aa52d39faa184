"""Conversations that their store cannot read. Needs the extra `encrypt`."""

from __future__ import annotations

import base64
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

import anyio.lowlevel
import anyio.to_thread

from agentrun.extensions.memory._extras import needs
from agentrun.memory._stored import check_session_id, decode_item, encode_items, log, newest, wanted
from agentrun.memory.session import SessionABC, lock_key, takes_wrapper

if TYPE_CHECKING:
    from agentrun._responses import TResponseInputItem
    from agentrun._settings import SessionSettings
    from agentrun.memory.session import Session

__all__ = ["EncryptedSession"]

_T = TypeVar("_T")

_PURPOSE = b"agentrun encrypted session, version 1"
_INLINE_CHARACTERS = 200_000
"""Encrypting more than this takes milliseconds, which the event loop should not be without."""


class EncryptedSession(SessionABC):
    """A session of any kind, whose items are encrypted before it gets them.

    Each item becomes a Fernet token under a key derived from `encryption_key` and the session id (HKDF, SHA-256), so an
    item moved into another conversation cannot be read there. What is older than `ttl`, damaged, not encrypted, or
    encrypted with another key is left out on reading. Its `session_settings` are those of the underlying session, and
    so are all attributes that it does not have itself.

    Args:
        session_id: names the conversation, and is part of its key; as a rule the id of `underlying_session`.
        underlying_session: keeps the tokens.
        encryption_key: the secret, best `cryptography.fernet.Fernet.generate_key().decode()`. It is not stretched, so a
            password that people can remember is too weak.
        ttl: seconds for which an item can be read; None is for ever.
        max_scan_items: at most so many stored items are looked at in one `get_items`, those that are looked at again
            counted again; None is no limit. A read that would have to go on raises: a conversation with a hole is none.

    Raises:
        ImportError: cryptography is not installed.
        ValueError: the key is empty, or a number is not positive.

    Source: sessions, `EncryptedSession`.
    """

    def __init__(
        self,
        session_id: str,
        underlying_session: Session,
        encryption_key: str,
        ttl: int | None = 600,
        max_scan_items: int | None = None,
    ) -> None:
        if not encryption_key:
            raise ValueError("encryption_key is empty; make one with cryptography.fernet.Fernet.generate_key()")
        if ttl is not None and ttl <= 0:
            raise ValueError(f"ttl must be a positive number of seconds or None, got {ttl!r}")
        if max_scan_items is not None and max_scan_items <= 0:
            raise ValueError(f"max_scan_items must be a positive number or None, got {max_scan_items!r}")
        self.session_id: str = check_session_id(session_id)
        self.underlying_session = underlying_session
        self.session_settings: SessionSettings | None = underlying_session.session_settings
        self.ttl = ttl
        self.max_scan_items = max_scan_items
        fernet: Any = needs("cryptography.fernet", "encrypt", "EncryptedSession")
        hkdf: Any = needs("cryptography.hazmat.primitives.kdf.hkdf", "encrypt", "EncryptedSession")
        hashes: Any = needs("cryptography.hazmat.primitives.hashes", "encrypt", "EncryptedSession")
        derived = hkdf.HKDF(algorithm=hashes.SHA256(), length=32, salt=session_id.encode(), info=_PURPOSE).derive(
            encryption_key.encode()
        )
        self._cipher = fernet.Fernet(base64.urlsafe_b64encode(derived))
        self._invalid: type[Exception] = fernet.InvalidToken

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the session underneath."""
        if name.startswith("_") or name == "underlying_session":  # copying asks an object that has nothing yet
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self.underlying_session, name)

    @property
    def lock_key(self) -> Hashable:
        """What runs queue on: the session underneath."""
        return lock_key(self.underlying_session)

    @property
    def takes_wrapper(self) -> bool:
        """Whether the session underneath wants the run's context, `wrapper`; it is passed on."""
        return takes_wrapper(self.underlying_session)

    @property
    def _under(self) -> Any:
        return self.underlying_session

    def _with(self, wrapper: Any) -> dict[str, Any]:
        return {"wrapper": wrapper} if self.takes_wrapper else {}

    async def get_items(self, limit: int | None = None, *, wrapper: Any = None) -> list[TResponseInputItem]:
        """Return the newest `limit` items that can be read, oldest first.

        Args:
            limit: None is what `session_settings` says, or all; negative is all.
            wrapper: the run's context, for the session underneath; so it is for the other methods.

        Raises:
            RuntimeError: `max_scan_items` were looked at, and older ones may belong to what was asked for.
            ValueError: the limit is negative, and there are `max_scan_items`.
            Exception: whatever the underlying session raises.
        """
        count = wanted(limit, self.session_settings)
        left = self.max_scan_items
        if left is not None and count is None and self._is_negative(limit):
            raise ValueError(
                f"limit must be 0 or more for a session with max_scan_items={left}, which cannot promise all items"
            )
        if count == 0:
            await anyio.lowlevel.checkpoint()
            return []
        look = count if left is None or count is None else min(count, left)
        look = left if look is None else look
        settings = self.underlying_session.session_settings
        # What the underlying session takes for all of them; None is what its settings say, where it has some.
        everything = None if settings is None or settings.limit is None else -1
        while True:
            stored = await self._under.get_items(everything if look is None else look, **self._with(wrapper))
            items = await self._readable(stored)
            if look is None or len(stored) < look or (count is not None and len(items) >= count):
                return newest(items, count)
            if left is not None:
                left -= look
            if left == 0:
                raise RuntimeError(
                    f"session {self.session_id!r} has more items than max_scan_items={self.max_scan_items} lets be "
                    "looked at for those asked for; raise it, ask for fewer, or clear what has expired"
                )
            look = look * 2 if left is None else min(look * 2, left)  # some of those could not be read

    def _is_negative(self, limit: int | None) -> bool:
        asked = limit if limit is not None or self.session_settings is None else self.session_settings.limit
        return asked is not None and asked < 0

    async def add_items(self, items: list[TResponseInputItem], *, wrapper: Any = None) -> None:
        """Append `items`, encrypted, in order.

        Raises:
            TypeError: an item is not plain JSON data; nothing is stored.
            Exception: whatever the underlying session raises.

        On cancel they are stored as the underlying session promises: whole or not at all.
        """
        texts = encode_items(items)
        encrypted = await _beside(self._encrypted, texts, sum(map(len, texts)))
        await self._under.add_items(encrypted, **self._with(wrapper))

    async def pop_item(self, *, wrapper: Any = None) -> TResponseInputItem | None:
        """Take the newest item out and return it; None when there is none.

        Items above it that have expired or are not encrypted are deleted. An item that another key wrote stays, and the
        answer is None.

        Raises:
            Exception: whatever the underlying session raises.
        """
        while True:
            # Looked at before it is taken, so that a wrong key cannot empty a conversation.
            for stored in await self._under.get_items(1, **self._with(wrapper)):
                if _payload(stored) is not None and not self._written_here(stored):
                    log.warning("the newest item of session %r was not encrypted with this key", self.session_id)
                    return None
            taken = await self._under.pop_item(**self._with(wrapper))
            if taken is None:
                return None
            item = self._item(taken)
            if item is not None:
                return item

    async def clear_session(self, *, wrapper: Any = None) -> None:
        """Delete every item of the underlying session.

        Raises:
            Exception: whatever it raises.
        """
        await self._under.clear_session(**self._with(wrapper))

    def _encrypted(self, texts: list[str]) -> list[TResponseInputItem]:
        return [{"__enc__": 1, "v": 1, "payload": self._cipher.encrypt(text.encode()).decode()} for text in texts]

    async def _readable(self, stored: Sequence[Any]) -> list[TResponseInputItem]:
        def decrypted(stored: Sequence[Any]) -> list[TResponseInputItem]:
            return [item for one in stored if (item := self._item(one)) is not None]

        return await _beside(decrypted, stored, sum(len(_payload(one) or "") for one in stored))

    def _item(self, stored: Any) -> TResponseInputItem | None:
        token = _payload(stored)
        if token is None:
            return None
        try:
            return decode_item(self._cipher.decrypt(token.encode(), ttl=self.ttl))
        except self._invalid:
            return None

    def _written_here(self, stored: Any) -> bool:
        token = _payload(stored)
        try:
            return token is not None and bool(self._cipher.decrypt(token.encode()))
        except self._invalid:
            return False


def _payload(stored: Any) -> str | None:
    """Return the token of a stored item; None when it is no encrypted item."""
    if not isinstance(stored, dict) or "__enc__" not in stored:
        return None
    payload = cast("dict[str, Any]", stored).get("payload")
    return payload if isinstance(payload, str) and payload.isascii() else None


async def _beside(work: Callable[[Any], _T], value: Any, characters: int) -> _T:
    """Return `work(value)`, done in a worker thread where it takes long."""
    if characters <= _INLINE_CHARACTERS:
        return work(value)
    return await anyio.to_thread.run_sync(work, value)
