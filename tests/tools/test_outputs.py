from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrun import Agent, ProgrammaticToolCallingTool, Runner, function_tool
from agentrun._tool import MAX_OUTPUT_CHARACTERS, tool_output_to_wire
from agentrun._tool_output_parts import ToolOutputFileContent, ToolOutputImage, ToolOutputText
from agentrun._wire_value import Record
from agentrun.testing import ScriptedModel, function_call


class Named:
    def __str__(self) -> str:
        return "by its str"


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        ("text", "text"),
        ("", ""),
        (None, "None"),
        (0, "0"),
        (False, "False"),
        ([], "[]"),
        ((), "()"),
        ([1, "a"], "[1, 'a']"),
        ({"a": 1}, "{'a': 1}"),
        (Named(), "by its str"),
        ({"type": "text"}, "{'type': 'text'}"),
        ({"type": "text", "text": 3}, "{'type': 'text', 'text': 3}"),
        ({"type": "image"}, "{'type': 'image'}"),
        ({"type": "image", "image_url": 3}, "{'type': 'image', 'image_url': 3}"),
        ({"type": "file", "filename": "a"}, "{'type': 'file', 'filename': 'a'}"),
        ({"type": "input_text", "text": "a"}, "{'type': 'input_text', 'text': 'a'}"),
        ({"type": ["text"], "text": "a"}, "{'type': ['text'], 'text': 'a'}"),
        ([{"type": "text", "text": "a"}, "b"], "[{'type': 'text', 'text': 'a'}, 'b']"),
        (
            {"type": "image", "image_url": "u", "detail": "huge"},
            "{'type': 'image', 'image_url': 'u', 'detail': 'huge'}",
        ),
    ],
)
def test_a_str_goes_as_it_is_and_other_values_as_their_str(value: Any, wire: str) -> None:
    assert tool_output_to_wire(value) == wire


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        (ToolOutputText(text="a"), [{"type": "input_text", "text": "a"}]),
        ({"type": "text", "text": "a", "more": 1}, [{"type": "input_text", "text": "a"}]),
        (
            ToolOutputImage(file_id="f", detail="low"),
            [{"type": "input_image", "file_id": "f", "detail": "low"}],
        ),
        ({"type": "image", "image_url": "u"}, [{"type": "input_image", "image_url": "u"}]),
        (
            ToolOutputFileContent(file_data="ZA==", filename="n"),
            [{"type": "input_file", "file_data": "ZA==", "filename": "n"}],
        ),
        ({"type": "file", "file_url": "u"}, [{"type": "input_file", "file_url": "u"}]),
        (
            [ToolOutputText("a"), {"type": "image", "image_url": "u"}],
            [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": "u"}],
        ),
        ((ToolOutputText("a"),), [{"type": "input_text", "text": "a"}]),
    ],
)
def test_structured_values_become_content_parts(value: Any, parts: list[dict[str, Any]]) -> None:
    assert tool_output_to_wire(value) == parts


class TestLimits:
    def test_text_beyond_the_limit_is_cut_and_says_so(self) -> None:
        assert tool_output_to_wire("abcdef", max_characters=4) == "abcd\n[output cut: 6 characters, the limit is 4]"

    def test_a_bomb_is_cut_by_default(self) -> None:
        wire = tool_output_to_wire("x" * 64_000_000)
        assert isinstance(wire, str)
        assert len(wire) < MAX_OUTPUT_CHARACTERS + 100
        assert wire.endswith("[output cut: 64000000 characters, the limit is 1000000]")

    def test_the_text_of_all_parts_together_keeps_to_the_limit(self) -> None:
        wire = tool_output_to_wire([ToolOutputText("abc"), ToolOutputText("def"), ToolOutputText("")], max_characters=4)
        assert isinstance(wire, list)
        assert [part["text"] for part in wire] == ["abc", "d\n[output cut: 3 characters, the limit is 1]", ""]

    def test_data_beyond_the_limit_is_left_out_and_a_text_says_so(self) -> None:
        image = ToolOutputImage(image_url="data:image/png;base64," + "A" * 50)
        assert tool_output_to_wire([image, image], max_data_characters=100) == [
            {"type": "input_image", "image_url": image.image_url},
            {"type": "input_text", "text": "[image left out: 72 characters, the limit is 100]"},
        ]

    @given(st.text(alphabet=st.characters(exclude_categories=()), max_size=30))
    def test_whatever_a_tool_returns_can_be_encoded(self, text: str) -> None:
        wire = tool_output_to_wire(text)
        assert isinstance(wire, str)
        wire.encode()
        if max(text, default="") < "\ud800":
            assert wire == text

    def test_a_lone_surrogate_is_replaced(self) -> None:
        assert tool_output_to_wire("a\ud800é") == "a?é"
        assert tool_output_to_wire(ToolOutputText("\udfff")) == [{"type": "input_text", "text": "?"}]


class TestWrongUse:
    def test_an_image_needs_a_source(self) -> None:
        with pytest.raises(ValueError, match="ToolOutputImage needs an image_url or a file_id"):
            ToolOutputImage()

    def test_a_file_needs_a_source(self) -> None:
        with pytest.raises(ValueError, match="ToolOutputFileContent needs file_data, a file_url or a file_id"):
            ToolOutputFileContent(filename="report.pdf")

    def test_a_detail_must_be_one_of_three(self) -> None:
        with pytest.raises(ValueError, match=r"ToolOutputImage.detail must be one of .* got 'huge'"):
            ToolOutputImage(image_url="u", detail="huge")  # type: ignore[arg-type]

    def test_a_text_must_be_text(self) -> None:
        with pytest.raises(ValueError, match=r"ToolOutputText.text must be a str, got 3"):
            ToolOutputText(text=3)  # type: ignore[arg-type]


@attrs.frozen
class Forecast:
    degrees: int
    text: str = "é"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Forecast(3), '{"degrees":3,"text":"é"}'),
        ({"degrees": 3}, '{"degrees":3}'),
        ([None, True, 1.5], "[null,true,1.5]"),
        ("as it is", "as it is"),
        (3 + 4j, "(3+4j)"),
    ],
)
@pytest.mark.parametrize("by", ["program", "schema"])
async def test_what_a_program_may_read_is_json(value: Any, text: str, by: str) -> None:
    async def work() -> Any:
        return value

    tool = function_tool(
        work,
        name_override="t",
        output_type=Forecast if by == "schema" else None,
        allowed_callers=["direct", "programmatic"],
    )
    call: Any = function_call("t", {}, call_id="c")
    if by == "program":
        call.caller = Record({"type": "program", "caller_id": "p"})
    agent = Agent[Any]("a", model=ScriptedModel([[call], "done"]), tools=[tool, ProgrammaticToolCallingTool()])
    result = await Runner.run(agent, "hi")
    item: Any
    (item,) = [one for one in result.new_items if one.type == "tool_call_output_item"]
    assert (item.raw_item["output"], item.output) == (text, value)


async def test_what_the_model_itself_calls_says_what_it_is_by_its_str() -> None:
    call: Any = function_call("t", {}, call_id="c")
    call.caller = Record({"type": "direct"})
    tool = function_tool(lambda: [None], name_override="t")
    result = await Runner.run(Agent[Any]("a", model=ScriptedModel([[call], "done"]), tools=[tool]), "hi")
    item: Any = result.new_items[1]
    assert item.raw_item["output"] == "[None]"
