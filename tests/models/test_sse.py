from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrun._exceptions import ModelBehaviorError, ModelLimitError
from agentrun.models._limits import Limits
from agentrun.models._sse import SSEParser

Events = list[tuple[str, str]]


def parse(*blocks: bytes, limits: Limits | None = None) -> Events:
    parser = SSEParser(limits or Limits())
    events = [event for block in blocks for event in parser.feed(block)]
    return events + parser.close()


def reference(text: str) -> Events:
    """Parse by the letter of the specification, line by line; a last event without its blank line counts."""
    events: Events = []
    name, data = "", list[str]()
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    for line in [*text.split("\n"), ""]:
        if not line:
            if data:
                events.append((name, "\n".join(data)))
            name, data = "", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data.append(value)
        elif field == "event":
            name = value
    return events


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\n", [("", "a")]),
        (b"data:a\n\ndata:  b\n\n", [("", "a"), ("", " b")]),
        (b"event: x\ndata: a\n\n", [("x", "a")]),
        (b"data: a\nevent: x\n\n", [("x", "a")]),
        (b"data: a\ndata\ndata: b\n\n", [("", "a\n\nb")]),
        (b": comment\n\nid: 7\nretry: 10\n\ndata: a\n\n", [("", "a")]),
        (b"id: 7\n\n", []),
        (b"event: x\n\n", []),
        (b"\xef\xbb\xbfdata: a\n\n", [("", "a")]),
        (b"data: a\r\n\r\ndata: b\r\rdata: c\n\n", [("", "a"), ("", "b"), ("", "c")]),
        (b"\n\n\n\ndata: a\n\n\n\n\ndata: b\n\n", [("", "a"), ("", "b")]),
        ('data: {"a":"x\u2028y\u0085z\x0b"}\n\n'.encode(), [("", '{"a":"x\u2028y\u0085z\x0b"}')]),
        (b"data: last", [("", "last")]),
        (b"", []),
    ],
)
def test_a_stream_parses_as_the_specification_says_wherever_it_is_cut(stream: bytes, events: Events) -> None:
    assert parse(stream) == events
    assert parse(*(stream[at : at + 1] for at in range(len(stream)))) == events
    for at in range(len(stream)):
        assert parse(stream[:at], stream[at:]) == events


pieces = st.lists(
    st.sampled_from(
        [
            "data: ",
            "data:",
            "data",
            "event: x",
            ": c",
            "id: 1",
            "a",
            "é",
            "\u2028",
            "😀",
            "{}",
            ":",
            " ",
            "\n",
            "\n\n",
            "\r\n",
            "\r",
            "\r\n\r\n",
            "\r\r",
        ]
    ),
    max_size=30,
)


@given(pieces, st.booleans(), st.lists(st.integers(0, 200), max_size=6))
def test_any_cut_of_any_stream_gives_the_same_events(parts: list[str], bom: bool, cuts: list[int]) -> None:
    text = ("\ufeff" if bom else "") + "".join(parts)
    raw = text.encode()
    places = sorted({0, len(raw), *(cut for cut in cuts if cut < len(raw))})
    blocks = [raw[start:end] for start, end in pairwise(places)]
    assert parse(*blocks) == reference(text)


@given(st.lists(st.lists(pieces.map("".join), max_size=3).map("".join), max_size=6))
def test_blocks_that_end_where_events_do_give_the_same_events_as_one_block(texts: list[str]) -> None:
    blocks = [f"{text}\n\n".encode() for text in ["data: first", *texts]]
    assert parse(*blocks) == parse(b"".join(blocks)) == reference(b"".join(blocks).decode())


def test_bytes_that_are_no_utf8_are_the_models_mistake() -> None:
    with pytest.raises(ModelBehaviorError, match="no UTF-8: byte 0xff"):
        parse(b"data: a\xffb\n\n")


def test_a_line_that_never_ends_is_refused_at_the_limit() -> None:
    parser = SSEParser(Limits(line_bytes=1000, event_bytes=5000))
    with pytest.raises(ModelLimitError) as caught:
        for _ in range(100):
            parser.feed(b"data: " + b"x" * 100)
    assert (caught.value.limit, caught.value.maximum) == ("line_bytes", 1000)
    assert caught.value.value <= 1200


def test_an_event_that_never_ends_is_refused_at_the_limit() -> None:
    parser = SSEParser(Limits(line_bytes=1000, event_bytes=5000))
    with pytest.raises(ModelLimitError, match="event_bytes"):
        for _ in range(100):
            parser.feed(b"data: " + b"x" * 100 + b"\n")
    parser = SSEParser(Limits(event_bytes=5000))
    with pytest.raises(ModelLimitError, match="event_bytes"):
        for _ in range(1000):
            parser.feed(b": keep-alive\n")


def test_one_large_event_in_one_block_is_measured_as_well() -> None:
    with pytest.raises(ModelLimitError, match="event_bytes"):
        parse(b"data: a\n\ndata: " + b"x" * 6000 + b"\n\n", limits=Limits(event_bytes=5000))
    with pytest.raises(ModelLimitError, match="line_bytes"):
        parse(b"data: a\n\ndata: " + b"x" * 2000 + b"\n\n", limits=Limits(line_bytes=1000))


def test_many_small_events_in_one_block_are_no_large_event() -> None:
    limits = Limits(event_bytes=100, line_bytes=100)
    assert len(parse(b"data: 0123456789\n\n" * 50, limits=limits)) == 50
    assert len(parse(b"data: 01234", b"56789\n\n" + b"data: 0123456789\n\n" * 50, limits=limits)) == 51


def test_an_event_of_ten_megabytes_is_parsed_in_linear_time() -> None:
    payload = json.dumps({"text": "x" * 10_000_000}).encode()
    raw = b"data: " + payload + b"\n\n"
    blocks = [raw[at : at + 65536] for at in range(0, len(raw), 65536)]
    [(_, data)] = parse(*blocks)
    assert len(data) == len(payload)
