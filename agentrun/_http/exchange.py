"""One request and its reply, which is closed in every case.

open --read--> open --end of body--> finished --aclose--> the connection is at rest
  |                                                           ^
  +--- expect_end(), aclose ---> draining --end of body ------+
  +--- aclose (error, cancelled, left) ---> the connection is closed
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import anyio

from agentrun._exceptions import ModelBehaviorError, ModelError, ModelLimitError, ModelTransportError

if TYPE_CHECKING:
    from agentrun._http.connections import Slot
    from agentrun._http.endpoint import Endpoint

__all__ = ["Exchange", "Reply"]

_DRAIN_SECONDS: Final = 0.25  # from the last event to the end of the body; protects a reply from a server that lingers
_DRAIN_BYTES: Final = 65536  # the same, in bytes: a new connection is cheaper than reading more
_INFLATED_BYTES: Final = 65536  # how much is decompressed at once; protects the memory from a compressed bomb


class Reply(Protocol):
    """A reply as it comes off a connection."""

    status: int
    headers: dict[str, str]
    """Names in lower case."""
    ended: bool
    """Whether the body has been read to its end."""
    errors: tuple[type[Exception], ...]
    """What `read` raises when the connection breaks."""

    async def read(self) -> bytes:
        """Return the next block of the body as it came; b"" at its end."""
        ...

    async def finish(self) -> bool:
        """End the reply, and return whether another may follow on its connection; that is closed otherwise."""
        ...


class _Inflater:
    """Decompresses gzip and deflate in pieces of bounded size."""

    __slots__ = ("_inflate", "_raw_allowed")

    def __init__(self, coding: str) -> None:
        # 32: zlib or gzip, by its header. "deflate" is zlib, but some servers send it without the header
        self._inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
        self._raw_allowed = coding == "deflate"

    def pieces(self, block: bytes) -> Iterable[bytes]:
        """Yield what `block` holds, in pieces of at most 64 KiB."""
        while block:
            try:
                piece = self._inflate.decompress(block, _INFLATED_BYTES)
            except zlib.error:
                if not self._raw_allowed:
                    raise
                self._inflate = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
                piece = self._inflate.decompress(block, _INFLATED_BYTES)
            self._raw_allowed = False
            if piece:
                yield piece
            block = self._inflate.unconsumed_tail
            if self._inflate.eof:
                block = self._inflate.unused_data
                if block:  # another gzip member
                    self._inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)

    def is_cut(self) -> bool:
        """Whether the data so far lacks its end."""
        return not self._inflate.eof


class Exchange:
    """One request and the reply to it, of which the head has arrived.

    Not an async generator on purpose: one that is left half way is closed at once, by whoever left it.
    """

    __slots__ = (
        "_endpoint",
        "_expects_end",
        "_inflater",
        "_open",
        "_pieces",
        "_received",
        "_reply",
        "_slot",
        "headers",
    )

    def __init__(self, endpoint: Endpoint, reply: Reply, slot: Slot | None) -> None:
        self.headers: dict[str, str] = reply.headers
        self._endpoint = endpoint
        self._reply = reply
        self._slot = slot
        self._received = 0
        self._open = True
        self._expects_end = False
        coding = self.headers.get("content-encoding", "identity").strip().lower()
        self._inflater = None if coding in ("identity", "") else _Inflater(coding)
        self._pieces: Iterable[bytes] = ()

    @property
    def status(self) -> int:
        """The status of the reply."""
        return self._reply.status

    @property
    def media_type(self) -> str:
        """The media type of the body in lower case without parameters, "" where the reply names none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def request_id(self) -> str | None:
        """The provider's id of the request, if it sent one."""
        return self.headers.get("x-request-id") or self.headers.get("request-id")

    def described(self) -> str:
        """Return what kind of reply it is, for messages: its status and media type."""
        return f"status {self.status}, content type {self.media_type or 'none'!r}"

    async def read(self, limit: str = "stream_bytes") -> bytes:
        """Return the next block of the body, decompressed; b"" at its end.

        Args:
            limit: the field of `Limits` that bounds the body as a whole.

        Raises:
            ModelTransportError: the connection broke, or the compression is corrupt.
            ModelLimitError: the body is longer than allowed.
        """
        if self._inflater is None:
            return self._counted(await self._read_block(), limit)
        while True:
            if self._pieces:
                try:
                    piece = next(cast("Any", self._pieces), b"")
                except zlib.error as exc:
                    raise self._corrupt(str(exc)) from exc
                if piece:
                    return self._counted(piece, limit)
                self._pieces = ()
            block = await self._read_block()
            if not block:
                if self._received and self._inflater.is_cut():
                    raise self._corrupt("it ends too early")
                return b""
            self._check_coding()
            self._pieces = iter(self._inflater.pieces(block))

    async def read_all(self) -> bytes:
        """Return the whole body. Raises as `read` does; the limit is `body_bytes`."""
        blocks: list[bytes] = []
        while block := await self.read("body_bytes"):
            blocks.append(block)
        return b"".join(blocks)

    async def read_some(self, size: int, seconds: float) -> bytes:
        """Return at most `size` bytes of the body, what arrives within `seconds`; whatever is wrong with it."""
        found = bytearray()
        with anyio.move_on_after(seconds):
            try:
                while len(found) < size and (block := await self.read()):
                    found += block
            except (ModelError, ModelBehaviorError):
                pass  # the status is the news; a broken body adds nothing to it
        return bytes(found[:size])

    def expect_end(self) -> None:
        """Say that the reply is complete: what follows is its formal end, and `aclose` waits a moment for it."""
        self._expects_end = True

    async def aclose(self) -> None:
        """Give the connection back if the body was read to its end, and close it otherwise. Safe to call twice.

        After `expect_end()` a short time is spent on reaching that end. On cancel the connection is closed first,
        under a shield with a deadline.
        """
        if not self._open:
            return
        self._open = False
        try:
            if self._expects_end and not self._reply.ended:
                with anyio.move_on_after(_DRAIN_SECONDS):
                    drained = 0
                    while drained < _DRAIN_BYTES and (block := await self._read_block()):
                        drained += len(block)
        except ModelError:
            pass  # the reply is complete; how its connection ends is no news
        finally:
            await self._release()  # noqa: ASYNC102 - shields itself

    async def _release(self) -> None:
        is_at_rest = await self._reply.finish()  # shields itself
        slot, self._slot = self._slot, None
        if slot is not None:
            await (slot.give_back() if is_at_rest else slot.aclose())

    async def _read_block(self) -> bytes:
        """Return the next block as it came, b"" at the end of the body."""
        try:
            return await self._reply.read()
        except self._reply.errors as exc:
            raise self._endpoint.broken(exc, head=True) from exc

    def _counted(self, block: bytes, limit: str) -> bytes:
        self._received += len(block)
        maximum: int = getattr(self._endpoint.limits, limit)
        if self._received > maximum:
            raise ModelLimitError(limit, self._received, maximum)
        return block

    def _check_coding(self) -> None:
        coding = self.headers.get("content-encoding", "").strip().lower()
        if coding not in ("gzip", "x-gzip", "deflate"):
            raise ModelBehaviorError(
                f"{self._endpoint.origin} answered with content-encoding {coding!r}, which was not asked for"
            )

    def _corrupt(self, reason: str) -> ModelTransportError:
        return ModelTransportError(
            f"the compressed reply from {self._endpoint.origin} is corrupt ({reason})", response_started=True
        )
