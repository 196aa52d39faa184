"""Server-sent events out of bytes, without I/O.

The bytes of a stream may be cut anywhere. A parser is in one of two states: with an empty buffer, where a block that
ends on an event boundary (nearly every block of a model's stream) is parsed without being copied; or with a part of an
event in the buffer. Line ends are made LF before anything else looks at them, so that an event boundary is always the
two bytes LF LF; no byte of a longer UTF-8 sequence is LF, so that what lies before a boundary is whole text.

Source: WHATWG HTML, "Server-sent events", 9.2.5 and 9.2.6, but text that is no UTF-8 is an error here.
"""

from __future__ import annotations

from agentrun._exceptions import ModelBehaviorError, ModelLimitError
from agentrun.models._limits import Limits

__all__ = ["SSEParser"]

_DATA = "data: "
_EVENT = "event: "


class SSEParser:
    """Turns the blocks of one event stream into events, in order."""

    __slots__ = ("_after_cr", "_buffer", "_event_bytes", "_line_bytes", "_scanned", "_smaller", "_started")

    def __init__(self, limits: Limits) -> None:
        self._event_bytes = limits.event_bytes
        self._line_bytes = limits.line_bytes
        self._smaller = min(limits.event_bytes, limits.line_bytes)
        self._buffer = bytearray()
        # Invariant: no event boundary begins in _buffer[:_scanned - 1], so that a long event is searched only once
        self._scanned = 0
        self._after_cr = False
        self._started = False

    def feed(self, block: bytes) -> list[tuple[str, str]]:
        """Return the events that `block` completes, each as (event name, data), the name "" where none was given.

        Blocks without a data line (comments, `id`, `retry`) are no events.

        Raises:
            ModelLimitError: a line or an event is longer than allowed.
            ModelBehaviorError: an event is no UTF-8.
        """
        # Nearly every block is one event of one of two shapes, and is looked at only as often as it takes to know that
        if (
            self._started
            and not self._buffer
            and not self._after_cr
            and block.endswith(b"\n\n")
            and b"\r" not in block
            and len(block) <= self._smaller
        ):
            try:
                text = block.decode()
            except UnicodeDecodeError:
                return self._feed(block)
            last = len(text) - 2
            if text.startswith(_EVENT):
                end = text.find("\n")
                if text.startswith(_DATA, end + 1) and text.find("\n", end + 7) == last:
                    return [(text[7:end], text[end + 7 : last])]
            elif text.startswith(_DATA) and text.find("\n") == last:
                return [("", text[6:last])]
        return self._feed(block)

    def _feed(self, block: bytes) -> list[tuple[str, str]]:
        """Do what `feed` does, for blocks of any shape."""
        if self._after_cr and block:
            self._after_cr = False
            if block[0] == 0x0A:  # the second half of a CRLF that was cut in two
                block = block[1:]
        if b"\r" in block:
            self._after_cr = block.endswith(b"\r")
            block = block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        buffer = self._buffer
        if buffer:
            buffer += block
            end = buffer.rfind(b"\n\n", max(0, self._scanned - 1))
            if end < 0:
                self._scanned = len(buffer)
                self._check_size(buffer)
                return []
            if len(buffer) > self._event_bytes:
                self._check_events(buffer, end)
            raw = bytes(memoryview(buffer)[:end])
            del buffer[: end + 2]
            self._scanned = len(buffer)
        else:
            end = block.rfind(b"\n\n")
            if end < 0:
                buffer += block
                self._scanned = len(buffer)
                self._check_size(buffer)
                return []
            if end > self._event_bytes:
                self._check_events(block, end)
            raw = block[:end]
            if end + 2 < len(block):
                buffer += memoryview(block)[end + 2 :]
                self._scanned = len(buffer)
                self._check_size(buffer)
        if self._line_bytes < self._event_bytes and len(raw) > self._line_bytes:
            self._check_lines(raw)
        return self._events(raw)

    def close(self) -> list[tuple[str, str]]:
        """Return the event that the end of the stream completes, if one was begun.

        The specification drops an event that no blank line ends. Some providers leave that line out after their last
        event, so it is parsed; half of an event does not get past the JSON decoder.
        """
        raw = bytes(self._buffer)
        self._buffer.clear()
        return self._events(raw) if raw else []

    def _events(self, raw: bytes) -> list[tuple[str, str]]:
        try:
            text = raw.decode()
        except UnicodeDecodeError as exc:
            raise ModelBehaviorError(
                f"the model's event stream is no UTF-8: byte {raw[exc.start]:#04x} at offset {exc.start} of a block"
            ) from exc
        if not self._started:
            self._started = True
            text = text.removeprefix("\ufeff")
        events: list[tuple[str, str]] = []
        for chunk in text.split("\n\n"):
            # The two shapes that nearly every event has: one data line, alone or after an event line
            lines = chunk.count("\n")
            if lines == 0 and chunk.startswith(_DATA):
                events.append(("", chunk[6:]))
                continue
            if lines == 1 and chunk.startswith(_EVENT):
                end = chunk.find("\n")
                if chunk.startswith(_DATA, end + 1):
                    events.append((chunk[7:end], chunk[end + 7 :]))
                    continue
            event = _parse(chunk)
            if event is not None:
                events.append(event)
        return events

    def _check_size(self, buffer: bytearray) -> None:
        """Refuse an unfinished event that is too long already."""
        size = len(buffer)
        if size > self._event_bytes:
            raise ModelLimitError("event_bytes", size, self._event_bytes)
        if size > self._line_bytes:
            self._check_lines(bytes(buffer))

    def _check_events(self, raw: bytes | bytearray, end: int) -> None:
        """Refuse the event that is too long among those in `raw[:end]`; all of them together may well be longer."""
        start = 0
        while start < end:
            stop = raw.find(b"\n\n", start)
            if stop - start > self._event_bytes:
                raise ModelLimitError("event_bytes", stop - start, self._event_bytes)
            start = stop + 2

    def _check_lines(self, raw: bytes) -> None:
        longest = max(map(len, raw.split(b"\n")))
        if longest > self._line_bytes:
            raise ModelLimitError("line_bytes", longest, self._line_bytes)


def _parse(chunk: str) -> tuple[str, str] | None:
    """Return the event of one block by the letter of the specification, None where it has no data line."""
    name = ""
    data: list[str] = []
    for line in chunk.split("\n"):  # not splitlines(): U+2028 and its like are content
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data.append(value)
        elif field == "event":
            name = value
    return (name, "\n".join(data)) if data else None
