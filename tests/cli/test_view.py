"""How text is laid out on a terminal."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrun._cli_view import Board, LiveView, PlainView, Symbols, TaskLine, cells, chart, cut, printable, wrap

ASCII_ROWS = [
    "model      one  ################                   1.00 s",
    "tool       two                  ################   1.00 s",
]


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(2, 40))
def test_wrapped_rows_fit(text: str, width: int) -> None:
    assert all(cells(row) <= width for row in wrap(printable(text), width))


@given(st.text("ab \n"), st.integers(2, 20))
def test_wrapping_keeps_every_letter(text: str, width: int) -> None:
    kept = "".join(wrap(text, width))

    assert kept.replace(" ", "") == text.replace(" ", "").replace("\n", "")


def test_wide_letters_count_twice() -> None:
    assert cells("日本") == 4
    assert cut("日本", 3) == "日"


@pytest.mark.parametrize(
    ("given_text", "shown"),
    [("a\nb", "a\nb"), ("a\tb", "a    b"), ("a\r\nb", "a\nb"), ("\x1b]52;c;x\x07", "\ufffd]52;c;x\ufffd"), ("ó", "ó")],
)
def test_control_characters_do_not_reach_the_terminal(given_text: str, shown: str) -> None:
    assert printable(given_text) == shown


def test_a_chart_shows_when_tasks_ran() -> None:
    lines = [TaskLine("model", "one", 0, 1, "done"), TaskLine("tool", "two", 1, 2, "done")]

    assert chart(lines, 2, Symbols(bar="#")) == ASCII_ROWS


def test_an_ascii_stream_gets_ascii_signs() -> None:
    assert Symbols.for_stream(io.TextIOWrapper(io.BytesIO(), "ascii")).bar == "#"
    assert Symbols.for_stream(io.TextIOWrapper(io.BytesIO(), "utf-8")).bar == "█"


def test_a_plain_view_starts_a_line_for_each_speaker() -> None:
    out = io.StringIO()
    view = PlainView(out)

    view.said("A", "one ")
    view.said("A", "two")
    view.said("B", "three")
    view.noted(1, "end")

    assert out.getvalue() == "A: one two\nB: three\n  1.00 s  end\n"


async def test_a_live_view_joins_the_pieces_of_a_speaker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    out = io.StringIO()
    view = LiveView(out)
    view.said("A", "one ")
    view.said("A", "two")
    view.end(Board(view))

    assert "A: one two" in out.getvalue()
