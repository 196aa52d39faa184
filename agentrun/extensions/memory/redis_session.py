"""Conversations in Redis, by coredis. Needs the extra `redis`."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import anyio
import anyio.lowlevel

from agentrun.extensions.memory._extras import needs
from agentrun.extensions.memory._finish import finish
from agentrun.memory._limits import SessionLimits
from agentrun.memory._stored import (
    as_settings,
    check_session_id,
    decode_item,
    decode_items,
    encode_items,
    newest,
    wanted,
)
from agentrun.memory.session import SessionABC

if TYPE_CHECKING:
    from coredis import Redis

    from agentrun._responses import TResponseInputItem
    from agentrun._settings import SessionSettings

__all__ = ["RedisSession"]

_T = TypeVar("_T")

# One script, so that nothing comes between the items. The second key marks the batch: a client that lost the connection
# and asks again does not append it twice.
_ADD = """
if not redis.call('SET', KEYS[2], 1, 'NX', 'EX', 120) then return {} end
local size = 0
if ARGV[2] ~= '0' then
    for _, text in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do size = size + #text end
    for index = 4, #ARGV do size = size + #ARGV[index] end
end
local items = redis.call('LLEN', KEYS[1]) + #ARGV - 3
if (ARGV[2] ~= '0' and size > tonumber(ARGV[2])) or (ARGV[3] ~= '0' and items > tonumber(ARGV[3])) then
    redis.call('DEL', KEYS[2])
    return {items, size}
end
for index = 4, #ARGV do redis.call('RPUSH', KEYS[1], ARGV[index]) end
if ARGV[1] ~= '0' then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return {}
"""


class RedisSession(SessionABC):
    """A conversation in a Redis list, shared by every process that names it.

    A coredis client owns tasks, so it is entered and left by one task, in a block. `from_url` gives a session that
    works anywhere, in any event loop: outside of a block each call opens a connection of its own; inside
    `async with session:` the connections are kept for the calls in the block. A client of yours is given as
    `redis_client`, entered, and is never closed.

    An `add_items` is stored whole or not at all. A call that is cancelled waits for the answer to what it has sent, at
    most 5 s, so that nothing takes effect after it.

    Args:
        session_id: names the conversation; any text.
        redis_client: an entered `coredis.Redis`; with and without `decode_responses`.
        key_prefix: how the keys of all sessions begin.
        ttl: seconds after its last write for which a conversation is kept; None is for ever.
        session_settings: the default limit of `get_items`, also as a dict.
        limits: how much the conversation may hold, also as a dict; by default no item larger than 32 MiB.

    Raises:
        ValueError: `ttl` is not a positive whole number.

    Source: sessions, `RedisSession`.
    """

    def __init__(
        self,
        session_id: str,
        *,
        redis_client: Redis[Any],
        key_prefix: str = "agentrun:session",
        ttl: int | None = None,
        session_settings: SessionSettings | dict[str, Any] | None = None,
        limits: SessionLimits | dict[str, Any] | None = None,
    ) -> None:
        if ttl is not None and ttl < 1:
            raise ValueError(f"ttl must be a positive whole number of seconds or None, got {ttl!r}")
        self.session_id: str = check_session_id(session_id)
        self.session_settings: SessionSettings | None = as_settings(session_settings)
        self.limits: SessionLimits = SessionLimits.coerce(limits)
        self._redis: Redis[Any] | None = redis_client
        self._make: Callable[[], Redis[Any]] | None = None
        self._home: object = None  # the event loop that `_redis` was entered in, where it is ours
        self._entered = AsyncExitStack()
        self._closed = False
        self._ttl = ttl or 0
        self._key = f"{key_prefix}:{session_id}:messages"
        self._batch = f"{key_prefix}:{session_id}:batch:"

    @classmethod
    def from_url(
        cls,
        session_id: str,
        url: str,
        *,
        redis_kwargs: dict[str, Any] | None = None,
        session_settings: SessionSettings | dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Return a session with a client of its own. Nothing connects before the first call.

        Args:
            session_id: names the conversation.
            url: as in `redis://user:password@host:6379/0`, `rediss://` or `unix://`.
            redis_kwargs: for `coredis.Redis.from_url`.
            session_settings: the default limit of `get_items`.
            kwargs: the other arguments of the constructor.

        Raises:
            ImportError: coredis is not installed.
        """
        coredis: Any = needs("coredis", "redis", "RedisSession")
        session = cls(session_id, redis_client=None, session_settings=session_settings, **kwargs)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        session._make = lambda: coredis.Redis.from_url(url, **(redis_kwargs or {}))
        return session

    async def __aenter__(self) -> Self:
        """Keep the connections open until the block is left, by the same task."""
        self._check_open()
        if self._make is not None:
            if self._redis is not None:
                raise RuntimeError(f"session {self.session_id!r} is in a block already; leave that one first")
            self._redis = await self._entered.enter_async_context(self._make())
            self._home = anyio.lowlevel.current_token()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close a client of the session's own, and the session."""
        self._closed = True
        if self._make is not None:
            self._redis = None
        await self._entered.__aexit__(exc_type, exc, traceback)  # noqa: ASYNC102 - ends the client's tasks only

    async def close(self) -> None:
        """Close the session; further calls raise. A client of its own closes with its block, an injected one never.

        It raises nothing.
        """
        self._closed = True
        await anyio.lowlevel.checkpoint()

    async def ping(self) -> bool:
        """Return whether the server answers.

        Raises:
            RuntimeError: the session is closed.
        """
        try:
            return await self._ask(lambda redis: redis.ping()) in {b"PONG", "PONG", True}
        except OSError:  # coredis' connection errors are not
            return False
        except Exception as exc:
            if type(exc).__module__.startswith("coredis"):
                return False
            raise

    async def get_items(self, limit: int | None = None) -> list[TResponseInputItem]:
        """Return the newest `limit` items, oldest first; damaged ones are left out.

        Args:
            limit: None is what `session_settings` says, or all; negative is all.

        Raises:
            RuntimeError: the session is closed.
            Exception: whatever coredis raises.
        """
        count = wanted(limit, self.session_settings)
        self._check_open()
        if count == 0:
            await anyio.lowlevel.checkpoint()
            return []
        items = decode_items(await self._ask(lambda redis: redis.lrange(self._key, -count if count else 0, -1)))
        if count is not None and len(items) < count:  # damaged items do not count; they are rare enough to read again
            items = decode_items(await self._ask(lambda redis: redis.lrange(self._key, 0, -1)))
        return newest(items, count)

    async def add_items(self, items: list[TResponseInputItem]) -> None:
        """Append `items` in order, all or none. On cancel they are stored whole or not at all.

        Raises:
            TypeError: an item is not plain JSON data; nothing is stored.
            SessionFull: they would take the session past its limits; nothing is stored.
            RuntimeError: the session is closed.
            Exception: whatever coredis raises.
        """
        self._check_open()
        texts = encode_items(items)
        if not texts:
            await anyio.lowlevel.checkpoint()
            return
        limits = self.limits
        limits.check_items(self.session_id, texts)
        keys = [self._key, self._batch + uuid.uuid4().hex]
        args = [str(self._ttl), str(limits.max_bytes or 0), str(limits.max_items or 0), *texts]
        too_much: Any = await self._ask(lambda redis: redis.eval(_ADD, keys=keys, args=args))
        if too_much:
            limits.check_total(self.session_id, *too_much)

    async def pop_item(self) -> TResponseInputItem | None:
        """Take the newest item out and return it; None when there is none. Damaged ones above it are deleted.

        Raises:
            RuntimeError: the session is closed.
            Exception: whatever coredis raises.

        On cancel the item is taken, and lost to the caller, or still there.
        """
        while (text := await self._ask(lambda redis: redis.rpop(self._key))) is not None:
            item = decode_item(text)
            if item is not None:
                return item
        return None

    async def clear_session(self) -> None:
        """Delete the conversation.

        Raises:
            RuntimeError: the session is closed.
            Exception: whatever coredis raises.
        """
        await self._ask(lambda redis: redis.delete([self._key]))

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError(f"session {self.session_id!r} is closed; make a new {type(self).__name__}")

    async def _ask(self, request: Callable[[Redis[Any]], Awaitable[_T]]) -> _T:
        """Return the server's answer. A client of the session's own is opened for it unless one is kept in a block."""
        self._check_open()
        redis, make = self._redis, self._make
        if redis is not None and (make is None or self._home == anyio.lowlevel.current_token()):
            kept = redis

            async def ask_kept() -> _T:
                return await request(kept)

            return await finish(ask_kept)
        assert make is not None
        connecting = anyio.CancelScope()

        # The client's tasks are opened under the shield as well: they would end on cancel, and the answer with them.
        async def ask_new() -> _T:
            answers: list[_T] = []
            errors: list[Exception] = []
            async with make() as opened:
                try:
                    with connecting:
                        await opened.ping()
                    answers.append(await request(opened))
                except Exception as exc:  # noqa: BLE001 - raised below: the client's nursery would make a group of it
                    errors.append(exc)
            if errors:
                raise errors[0]
            return answers[0]

        async def stop() -> None:
            connecting.cancel()
            await anyio.lowlevel.cancel_shielded_checkpoint()

        return await finish(ask_new, stop=stop)
