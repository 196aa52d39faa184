"""Our classes as dataclasses: `replace`, `fields`, `asdict` and dataclasses on top of them."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any, cast, get_origin

import attrs
import pytest

import agentrun
from agentrun import (
    Agent,
    FunctionTool,
    GuardrailFunctionOutput,
    HandoffInputData,
    ModelRetrySettings,
    ModelSettings,
    RunConfig,
    RunErrorHandlerResult,
    RunErrorHandlers,
    ToolOutputText,
    UserError,
    function_tool,
    handoff,
)
from agentrun.items import MessageOutputItem, ModelResponse, ResponseOutputMessage
from agentrun.testing import assistant_message
from agentrun.usage import Usage

DATACLASSES = """
    Agent AgentBase AgentHookContext AgentToolInvocation AgentUpdatedStreamEvent CallModelData CodeInterpreterTool
    CompactionItem FileSearchTool FunctionTool FunctionToolCustomDataContext FunctionToolResult
    GenerateDynamicPromptData GuardrailFunctionOutput Handoff HandoffCallItem HandoffInputData HandoffOutputItem
    HostedMCPTool ImageGenerationTool InputGuardrail InputGuardrailResult Limits MCPApprovalRequestItem
    MCPApprovalResponseItem MCPListToolsItem MCPToolApprovalRequest MessageOutputItem ModelInputData ModelResponse
    ModelRetryAdvice ModelRetryAdviceRequest ModelRetryBackoffSettings ModelRetryNormalizedError ModelRetrySettings
    ModelSettings OutputGuardrail OutputGuardrailResult RawResponsesStreamEvent ReasoningItem RetryDecision
    RetryPolicyContext RunConfig RunContextWrapper RunErrorData RunErrorDetails RunErrorHandlerInput
    RunErrorHandlerResult RunItemStreamEvent RunResult SessionSettings Timeouts ToolApprovalItem ToolCallItem
    ToolCallOutputItem ToolContext ToolErrorFormatterArgs ToolExecutionConfig ToolGuardrailFunctionOutput
    ToolInputGuardrail ToolInputGuardrailData ToolInputGuardrailResult ToolOrigin ToolOutputGuardrail
    ToolOutputFileContent ToolOutputGuardrailData ToolOutputGuardrailResult ToolOutputImage ToolOutputText
    ToolsToFinalOutputResult Usage WebSearchTool
"""


@function_tool
def look_up(word: str) -> str:
    """Look a word up."""
    return word


@pytest.mark.parametrize("name", DATACLASSES.split())
def test_a_declared_class_is_a_dataclass_whose_fields_are_attributes(name: str) -> None:
    cls: Any = getattr(agentrun, name)
    assert dataclasses.is_dataclass(cls)
    fields = dataclasses.fields(cls)
    assert [field.name for field in fields if field.name.startswith("_")] == []
    assert [field.name for field in fields if not hasattr(cls, field.name)] == []


@pytest.mark.parametrize(
    "value",
    [
        Agent("helper", tools=[look_up], output_type=int),
        look_up,
        handoff(Agent("billing")),
        RunConfig(model="gpt-4.1", tracing_disabled=True),
        ModelSettings(temperature=0.5, retry=ModelRetrySettings(max_retries=1)),
        Usage(requests=1, input_tokens=3),
        GuardrailFunctionOutput(output_info="fine", tripwire_triggered=False),
        HandoffInputData("hi", (), ()),
        MessageOutputItem(Agent("helper"), cast("ResponseOutputMessage", assistant_message("hi"))),
        ModelResponse([], Usage(), "r1"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_copy_made_with_replace_has_the_same_fields(value: Any) -> None:
    copied = dataclasses.replace(value)
    assert type(copied) is type(value)
    assert copied is not value
    for field in dataclasses.fields(value):
        assert getattr(copied, field.name) == getattr(value, field.name), field.name


def test_replace_checks_what_it_puts_in() -> None:
    agent = Agent("helper", tools=[look_up])

    assert dataclasses.replace(agent, name="other").tools is agent.tools
    with pytest.raises(TypeError, match="tools is 3, expected a list"):
        dataclasses.replace(agent, tools=3)
    with pytest.raises(ValueError, match=r"ModelSettings.temperature must be a number or None, got 'hot'"):
        dataclasses.replace(ModelSettings(), temperature="hot")
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        dataclasses.replace(ModelSettings(), heat=1)


def test_what_is_frozen_has_the_hash_of_its_equals_and_what_may_change_has_none() -> None:
    text, same, other = ToolOutputText("hi"), ToolOutputText("hi"), ToolOutputText("ho")
    assert (text == same, text == other, text == "hi") == (True, False, False)
    assert {text: 1} == {same: 1}
    assert len({text, same, other}) == 2
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        text.text = "ho"  # type: ignore[misc]
    with pytest.raises(TypeError, match="unhashable"):
        hash(ModelSettings())


def test_a_replaced_tool_runs_the_same_function() -> None:
    renamed = dataclasses.replace(look_up, name="find")
    assert isinstance(renamed, FunctionTool)
    assert (renamed.name, renamed.__wrapped__) == ("find", look_up.__wrapped__)


def test_asdict_goes_into_fields_that_are_dataclasses_themselves() -> None:
    found = dataclasses.asdict(ModelSettings(top_p=1, retry=ModelRetrySettings(max_retries=2)))
    assert found["top_p"] == 1
    assert found["retry"] == {"max_retries": 2, "backoff": None, "policy": None}
    assert dataclasses.asdict(RunErrorHandlerResult("sorry")) == {"final_output": "sorry", "include_in_history": True}


def test_defaults_are_told() -> None:
    fields = {field.name: field for field in dataclasses.fields(Agent)}
    assert fields["name"].default is dataclasses.MISSING
    assert fields["handoffs"].default_factory is not dataclasses.MISSING
    assert fields["tool_use_behavior"].default == "run_llm_again"
    assert {field.name: field.kw_only for field in dataclasses.fields(FunctionTool)}["allowed_callers"] is True


def test_a_dataclass_on_top_of_an_agent_is_checked_and_cloned() -> None:
    @dataclasses.dataclass(eq=False)
    class Clerk(Agent[Any]):
        desk: int = 0

    make: Any = Clerk  # type checkers only see the fields of its own
    clerk = make("clerk", output_type=int, desk=3)

    assert (clerk.desk, clerk.name, clerk.tools) == (3, "clerk", [])
    assert clerk.clone(name="other").desk == 3
    assert dataclasses.replace(clerk, desk=4).desk == 4
    with pytest.raises(TypeError, match="tools is 3, expected a list"):
        make("clerk", tools=3)


def test_an_output_type_is_checked_when_it_is_set_as_well() -> None:
    class Opaque:
        def __init__(self, value: int) -> None:
            self.value = value

    agent = Agent("helper", output_type=int)
    with pytest.raises(UserError, match=r"'helper': output_type cannot be used.*Opaque"):
        agent.output_type = Opaque
    assert agent.output_type is int


def test_values_of_headers_are_not_shown() -> None:
    settings = ModelSettings(extra_headers={"Authorization": "Bearer secret"})
    assert "secret" not in repr(settings)
    assert "extra_headers=<Authorization>" in repr(settings)


def test_the_constructor_of_a_tool_can_be_inspected() -> None:
    parameters = inspect.signature(FunctionTool).parameters
    assert list(parameters)[:4] == ["name", "description", "params_json_schema", "on_invoke_tool"]
    assert not hasattr(FunctionTool, "__wrapped__")


def test_error_handlers_name_the_type_of_their_context() -> None:
    assert get_origin(RunErrorHandlers[int]) is RunErrorHandlers
