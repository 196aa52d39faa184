"""Declaring an agent as a tool: name, schema, checks, and the input a nested run gets (AT-1, AT-5)."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import json
from types import BuiltinFunctionType
from typing import Annotated, Any, Literal

import pytest

from agentrun import Agent, FunctionTool, ToolOrigin, ToolOriginType, UserError, default_tool_error_function
from agentrun._agent_tool import StructuredToolInputBuilderOptions, default_tool_input_builder
from agentrun._schema import Meta

TRANSLATOR = Agent("Translator Bot", instructions="Translate")


class Tone(enum.Enum):
    PLAIN = "plain"
    FORMAL = "formal"


@dataclasses.dataclass
class Glossary:
    words: list[str]


@dataclasses.dataclass
class Order:
    """A translation order."""

    text: Annotated[str, Meta(description="what to translate")]
    language: Literal["de", "fr"]
    tone: Tone
    glossaries: list[Glossary]
    limit: int | None
    copies: int = 1


def test_as_tool_takes_the_documented_arguments_in_the_documented_order() -> None:
    parameters = inspect.signature(Agent.as_tool).parameters
    assert list(parameters) == [
        "self",
        "tool_name",
        "tool_description",
        "custom_output_extractor",
        "is_enabled",
        "on_stream",
        "run_config",
        "max_turns",
        "hooks",
        "previous_response_id",
        "conversation_id",
        "session",
        "failure_error_function",
        "needs_approval",
        "parameters",
        "input_builder",
        "include_input_schema",
        "on_stream_max_pending_events",
    ]
    assert parameters["max_turns"].default == 10
    assert parameters["failure_error_function"].default is default_tool_error_function
    assert parameters["on_stream_max_pending_events"].default == 1024


def test_an_agent_tool_is_a_function_tool_with_one_text_argument() -> None:
    tool = TRANSLATOR.as_tool(None, None)
    assert isinstance(tool, FunctionTool)
    assert (tool.name, tool.description, tool.nests_run) == ("translator_bot", "", True)
    assert tool.params_json_schema["required"] == ["input"]
    assert tool.params_json_schema["properties"]["input"]["type"] == "string"
    assert tool.params_json_schema["additionalProperties"] is False
    origin = ToolOrigin(ToolOriginType.AGENT_AS_TOOL, agent_name="Translator Bot", agent_tool_name="translator_bot")
    assert tool.tool_origin == origin


def test_name_and_description_can_be_set() -> None:
    tool = TRANSLATOR.as_tool("translate", "Translates text", is_enabled=False, needs_approval=True)
    assert (tool.name, tool.description, tool.is_enabled, tool.needs_approval) == (
        "translate",
        "Translates text",
        False,
        True,
    )


def test_parameters_give_the_schema() -> None:
    tool = TRANSLATOR.as_tool("translate", None, parameters=Order)
    assert tool.params_json_schema["required"] == ["text", "language", "tone", "glossaries", "limit", "copies"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"parameters": int},
            UserError,
            "'translate' got parameters=<class 'int'>, expected a type with named fields; use a dat",
        ),
        ({"parameters": BuiltinFunctionType}, UserError, "agent tool 'translate' cannot use parameters="),
        ({"max_turns": "3"}, TypeError, "max_turns must be a whole number or None for no limit, got '3'"),
        ({"max_turns": True}, TypeError, "max_turns must be a whole number"),
        ({"on_stream": 7}, TypeError, "on_stream must be a function or None, got 7"),
        ({"custom_output_extractor": 7}, TypeError, "custom_output_extractor must be a function or None, got 7"),
        ({"input_builder": 7}, TypeError, "input_builder must be a function or None, got 7"),
        ({"failure_error_function": 7}, TypeError, "failure_error_function must be a function or None, got 7"),
        ({"run_config": {"modle": "x"}}, TypeError, r"run_config got the unknown key\(s\) \['modle'\]"),
        (
            {"on_stream_max_pending_events": 0},
            UserError,
            "on_stream_max_pending_events must be a whole number of at least 1",
        ),
    ],
)
def test_a_wrong_argument_is_refused_before_any_run(arguments: dict[str, Any], error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        TRANSLATOR.as_tool("translate", None, **arguments)


def test_the_generated_input_holds_the_data_and_what_its_fields_mean() -> None:
    params = {"text": "Grüße", "copies": 1}
    text = default_tool_input_builder({"params": params, "summary": "- text (string)", "json_schema": None})
    data = text.split("```json\n")[1].split("\n```")[0]
    assert json.loads(data) == params
    assert "Grüße" in text
    assert text.endswith("- text (string)")


def test_the_generated_input_may_hold_the_whole_schema() -> None:
    options: StructuredToolInputBuilderOptions = {"params": {}, "summary": "- x", "json_schema": {"type": "object"}}
    text = default_tool_input_builder(options)
    assert text.count("```json") == 2
    assert "- x" not in text
