"""Text from a model becomes a JSON value or one readable fault, whatever it holds."""

from __future__ import annotations

import time

import pytest

from agentrun._schema import StructureError, parse_json


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "invalid JSON: expecting value (line 1 column 1), near the end of the text"),
        ("{", "invalid JSON: expecting property name enclosed in double quotes (line 1 column 2), near '{'"),
        ('{"a": tru}', "invalid JSON: expecting value (line 1 column 7), near '{\"a\": tru}'"),
        ('{"a": 1} x', "invalid JSON: extra data (line 1 column 10)"),
        ('"open', "invalid JSON: unterminated string starting (line 1 column 1)"),
        ('{"a": NaN}', "invalid JSON: NaN is not a JSON number"),
        ("[-Infinity]", "invalid JSON: -Infinity is not a JSON number"),
        ("[1e999]", "invalid JSON: the number 1e999 is too large"),
        ("[" * 100_000, "invalid JSON: nested deeper than 100 levels"),
        ('{"a":' * 100_000, "invalid JSON: nested deeper than 100 levels"),
        ("[" + "1" * 6000 + "]", "invalid JSON: a number of 6000 digits; the limit is 4300"),
        ("[" + "1" * 6000 + ".5]", "invalid JSON: a number of 6002 characters; the limit is 4300 digits"),
        ('["\\ud800"]', 'invalid JSON: half of a surrogate pair in string "\\ud800"'),
        ('["\ud800"]', 'invalid JSON: half of a surrogate pair in string "\\ud800"'),
        ('{"\\udc00": 1}', 'invalid JSON: half of a surrogate pair in string "\\udc00"'),
        ('[{"a": ["x\\u0000y"]}]', 'invalid JSON: a NUL character in string "x\\u0000y"'),
    ],
    ids=lambda text: text[:12],
)
def test_what_is_no_usable_json_is_one_fault(text: str, fault: str) -> None:
    with pytest.raises(StructureError) as caught:
        parse_json(text)
    assert len(caught.value.faults) == 1
    assert str(caught.value).startswith(fault)
    str(caught.value).encode()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1, "a": 2}', {"a": 2}),
        ('["\\ud83d\\ude00", "\\\\u0000"]', ["\N{GRINNING FACE}", "\\u0000"]),
        ("[" * 100 + "]" * 100, None),
        ('["' + "[" * 500 + '"]', ["[" * 500]),
        ('["\\"' + "{" * 500 + '"]', ['"' + "{" * 500]),
        ("[[]," * 1 + "[1]]", [[], [1]]),
        ("[" + "[1]," * 300 + "2]", [*[[1]] * 300, 2]),
        ("[" + "1" * 4300 + "]", None),
        ('{"long": "' + "x" * 5000 + '", "n": -12, "f": 0.5}', {"long": "x" * 5000, "n": -12, "f": 0.5}),
    ],
    ids=lambda text: str(text)[:12],
)
def test_json_within_the_limits_is_read(text: str, value: object) -> None:
    assert value is None or parse_json(text) == value


def test_the_limits_can_be_chosen() -> None:
    assert parse_json("[[1]]", max_depth=2) == [[1]]
    with pytest.raises(StructureError, match="nested deeper than 1 levels"):
        parse_json("[[1]]", max_depth=1)
    with pytest.raises(StructureError, match="a number of 4 digits; the limit is 3"):
        parse_json("[1234]", max_digits=3)
    with pytest.raises(StructureError, match="too long to read"):
        parse_json("1" * 5000, max_digits=10_000)
    with pytest.raises(StructureError, match="nested too deep to read"):
        parse_json("[" * 200_000, max_depth=10**6)


@pytest.mark.parametrize("text", ["[]", '"x"', "1", "null"])
def test_only_an_object_will_do_where_one_is_asked_for(text: str) -> None:
    with pytest.raises(StructureError, match="expected a JSON object, got "):
        parse_json(text, object_only=True)


def test_hostile_text_takes_time_in_proportion_to_its_length() -> None:
    started = time.perf_counter()
    for text in ('"' + '\\"' * 1_000_000, "[" * 200 + '"' * 1_000_000, '{"a":"' + "[" * 2_000_000):
        with pytest.raises(StructureError):
            parse_json(text)
    assert time.perf_counter() - started < 5
