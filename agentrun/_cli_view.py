"""How the command line shows a run: its tasks as lines with state and time, and the answer as it comes.

A `Board` is what the run's own code writes to: its hooks, its guardrail, its tools. A view draws the board: `PlainView`
writes a line for each thing that happens, for pipes and logs; `LiveView` draws one block over and over, for terminals.
Nothing here needs more than a text stream, so that the demo runs without extras.
"""

from __future__ import annotations

import os
import shutil
import unicodedata
from collections.abc import Generator
from contextlib import contextmanager
from typing import Literal, Protocol, TextIO

import anyio
import attrs

TaskState = Literal["running", "done", "cancelled", "failed"]

FRAME_SECONDS = 0.06
"""Time between two drawings of the live view."""

_BAR_CELLS = 32
_PRINTED = {"\n": "\n", "\t": "    ", "\r": ""}
_COLOURS = {"running": "36", "done": "32", "cancelled": "33", "failed": "31"}


@attrs.define(eq=False)
class TaskLine:
    """One task of the run, as it is shown. Times are seconds since the board was made."""

    kind: str
    name: str
    started: float
    ended: float | None = None
    state: TaskState = "running"
    note: str = ""
    """What came of it, in a few words."""


class View(Protocol):
    """What a board tells."""

    def task_started(self, line: TaskLine) -> None:
        """A task began."""

    def task_ended(self, line: TaskLine) -> None:
        """A task ended; `line` says how."""

    def said(self, speaker: str, delta: str) -> None:
        """A model wrote a piece of text."""

    def noted(self, seconds: float, text: str) -> None:
        """Something else happened."""


class Board:
    """The tasks of one run, oldest first. Made inside the event loop, whose clock it reads."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._began = anyio.current_time()
        self.lines: list[TaskLine] = []

    @property
    def seconds(self) -> float:
        """Seconds since the board was made."""
        return anyio.current_time() - self._began

    def start(self, kind: str, name: str) -> TaskLine:
        """Add a running task."""
        line = TaskLine(kind, name, self.seconds)
        self.lines.append(line)
        self._view.task_started(line)
        return line

    def end(self, line: TaskLine, state: TaskState, note: str = "") -> None:
        """Say how a task ended; one that has ended already is left alone."""
        if line.ended is None:
            line.ended, line.state, line.note = self.seconds, state, note or line.note
            self._view.task_ended(line)

    def end_all(self, state: TaskState) -> None:
        """Say of every task that still runs how it ended."""
        for line in self.lines:
            self.end(line, state)

    @contextmanager
    def task(self, kind: str, name: str) -> Generator[TaskLine]:
        """Show the block as a task; set `note` on what the block gets to say what came of it."""
        line = self.start(kind, name)
        try:
            yield line
        except anyio.get_cancelled_exc_class():
            self.end(line, "cancelled")
            raise
        except BaseException:
            self.end(line, "failed")
            raise
        self.end(line, "done")

    def say(self, speaker: str, delta: str) -> None:
        """Show a piece of a model's text."""
        self._view.said(speaker, printable(delta))

    def note(self, text: str) -> None:
        """Show that something happened."""
        self._view.noted(self.seconds, text)


def printable(text: str) -> str:
    """Return `text` without control characters: what a model writes must not steer the terminal."""
    if text.isprintable():
        return text
    return "".join(_PRINTED.get(one, "\N{REPLACEMENT CHARACTER}") if _steers(one) else one for one in text)


def _steers(one: str) -> bool:
    return unicodedata.category(one) in ("Cc", "Cs")


def is_live_terminal(out: TextIO) -> bool:
    """Whether `out` is a terminal that a block can be redrawn on."""
    if not out.isatty() or os.environ.get("CI"):
        return False
    if os.name == "nt":
        return bool(os.environ.get("WT_SESSION"))
    return os.environ.get("TERM", "dumb") not in ("", "dumb", "unknown")


@attrs.frozen
class Symbols:
    """The signs a view draws with."""

    bar: str = "█"
    arrow: str = "→"
    spinner: str = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
    done: str = "✓"
    cancelled: str = "■"
    failed: str = "✗"

    @classmethod
    def for_stream(cls, out: TextIO) -> Symbols:
        """Return signs that the encoding of `out` has."""
        own = cls()
        try:
            "".join(attrs.astuple(own)).encode(out.encoding or "ascii")
        except UnicodeEncodeError:
            return cls("#", "->", "|/-\\", "+", "o", "x")
        return own


def chart(lines: list[TaskLine], seconds: float, symbols: Symbols) -> list[str]:
    """Return one text per task: when it ran, within `seconds`, as a bar; tasks that ran side by side show as such."""
    names = max((cells(line.name) for line in lines), default=0)
    rows: list[str] = []
    for line in lines:
        ended = seconds if line.ended is None else line.ended
        first = min(int(line.started / seconds * _BAR_CELLS), _BAR_CELLS - 1) if seconds else 0
        last = max(first + 1, round(ended / seconds * _BAR_CELLS)) if seconds else 1
        bar = " " * first + symbols.bar * (last - first)
        rows.append(f"{line.kind:<9}  {pad(line.name, names)}  {bar:<{_BAR_CELLS}}  {ended - line.started:5.2f} s")
    return rows


def cells(text: str) -> int:
    """Return how many columns of a terminal `text` takes."""
    return sum(_width(one) for one in text)


def _width(one: str) -> int:
    if unicodedata.combining(one):
        return 0
    return 2 if unicodedata.east_asian_width(one) in "WF" else 1


def pad(text: str, width: int) -> str:
    """Return `text` with spaces up to `width` columns."""
    return text + " " * max(0, width - cells(text))


def cut(text: str, width: int) -> str:
    """Return the beginning of `text` that fits into `width` columns."""
    taken = 0
    for place, one in enumerate(text):
        taken += _width(one)
        if taken > width:
            return text[:place]
    return text


def wrap(text: str, width: int) -> list[str]:
    """Return `text` in rows of at most `width` columns, broken at spaces where there are some."""
    rows: list[str] = []
    for paragraph in text.split("\n"):
        row = ""
        for word in paragraph.split(" "):
            joined = f"{row} {word}" if row else word
            if cells(joined) <= width:
                row = joined
                continue
            if row:
                rows.append(row)
            row = word
            while cells(row) > width:
                head = cut(row, width)
                rows.append(head)
                row = row[len(head) :]
        rows.append(row)
    return rows


class PlainView:
    """Writes a line for each thing that happens, and texts as they come."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._symbols = Symbols.for_stream(out)
        self._speaker: str | None = None

    def task_started(self, line: TaskLine) -> None:
        """Write that a task began."""
        self._write_line(f"{line.started:6.2f} s  {line.kind:<9}  {line.name}: started")

    def task_ended(self, line: TaskLine) -> None:
        """Write how a task ended."""
        assert line.ended is not None
        took = f"{line.ended - line.started:.2f} s"
        note = f" ({line.note})" if line.note else ""
        self._write_line(f"{line.ended:6.2f} s  {line.kind:<9}  {line.name}: {line.state} after {took}{note}")

    def said(self, speaker: str, delta: str) -> None:
        """Write a piece of text, after the speaker's name where somebody else spoke before."""
        if speaker != self._speaker:
            self._write_line(f"{speaker}: ", end="")
            self._speaker = speaker
        self._out.write(delta)
        self._out.flush()

    def noted(self, seconds: float, text: str) -> None:
        """Write that something happened."""
        self._write_line(f"{seconds:6.2f} s  {text}")

    def end(self, board: Board) -> None:
        """Write when the tasks ran."""
        self._write_line("")
        for row in chart(board.lines, board.seconds, self._symbols):
            self._write_line(row)

    def _write_line(self, text: str, *, end: str = "\n") -> None:
        if self._speaker is not None:  # a line of text is open
            self._speaker = None
            self._out.write("\n")
        self._out.write(text + end)
        self._out.flush()


class LiveView:
    """Draws the tasks and the texts as one block, over and over, at the place where it began.

    Invariant: the cursor stands at the start of the line below the block, which is `_height` lines high.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._symbols = Symbols.for_stream(out)
        self._coloured = not os.environ.get("NO_COLOR")
        self._texts: list[tuple[str, str]] = []
        self._height = 0
        self._frame = 0

    def task_started(self, line: TaskLine) -> None:
        """Nothing: the next drawing shows it."""

    def task_ended(self, line: TaskLine) -> None:
        """Nothing: the next drawing shows it."""

    def noted(self, seconds: float, text: str) -> None:
        """Keep what happened, between the texts."""
        self._texts.append(("", text))

    def said(self, speaker: str, delta: str) -> None:
        """Keep a piece of text for the next drawing."""
        if self._texts and self._texts[-1][0] == speaker:
            self._texts[-1] = (speaker, self._texts[-1][1] + delta)
        else:
            self._texts.append((speaker, delta))

    async def draw(self, board: Board) -> None:
        """Draw until cancelled."""
        self._out.write("\x1b[?25l")  # hide the cursor
        try:
            while True:
                self._draw(board)
                await anyio.sleep(FRAME_SECONDS)
        finally:
            self._out.write("\x1b[?25h")
            self._out.flush()

    def end(self, board: Board) -> None:
        """Draw a last time, the whole of it."""
        self._draw(board, whole=True)

    def _draw(self, board: Board, *, whole: bool = False) -> None:
        width, height = shutil.get_terminal_size()
        rows = self._rows(board, width)
        if not whole:
            rows = rows[-(height - 1) :]  # what has left the screen cannot be drawn over
        up = f"\x1b[{self._height}A" if self._height else ""
        self._out.write(f"\r{up}\x1b[J" + "".join(f"{row}\n" for row in rows))
        self._out.flush()
        self._height = len(rows)
        self._frame += 1

    def _rows(self, board: Board, width: int) -> list[str]:
        rows = [
            self._painted(line, cut(f"{self._sign(line)} {row}  {line.note}", width - 1))
            for line, row in zip(board.lines, chart(board.lines, board.seconds, self._symbols), strict=True)
        ]
        for speaker, text in self._texts:
            rows.append("")
            rows += wrap(f"{speaker}: {text}" if speaker else text, width - 1)
        return rows

    def _sign(self, line: TaskLine) -> str:
        symbols = self._symbols
        if line.state == "running":
            return symbols.spinner[self._frame % len(symbols.spinner)]
        return {"done": symbols.done, "cancelled": symbols.cancelled, "failed": symbols.failed}[line.state]

    def _painted(self, line: TaskLine, row: str) -> str:
        return f"\x1b[{_COLOURS[line.state]}m{row}\x1b[0m" if self._coloured else row
