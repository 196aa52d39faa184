"""features.md RT-6: a `needs_approval` function decides only about arguments that the tool will get as it saw them."""

from __future__ import annotations

import copy
import dataclasses
import datetime
import enum
import json
import pathlib
from collections.abc import Callable
from typing import Annotated, Any, Literal

import attrs
import pydantic
import pytest
from typing_extensions import TypedDict

from agentrun import (
    Agent,
    FunctionTool,
    RunConfig,
    ToolExecutionConfig,
    ToolGuardrailFunctionOutput,
    ToolInputGuardrailData,
    UserError,
    function_tool,
    tool_input_guardrail,
)
from agentrun.function_schema import function_schema
from agentrun.testing import ScriptedModel, function_call


class Color(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int


class Named(TypedDict):
    first: str
    last: str


class Model(pydantic.BaseModel):
    x: str


class Asked:
    """A tool with a rule that allows everything, and what rule, validators and body were told, in order."""

    def __init__(self, annotation: Any, *, default: Any = ..., strict: bool = False, **options: Any) -> None:
        self.told: list[Any] = []

        def rule(context: Any, arguments: dict[str, Any], call_id: str) -> bool:
            self.told.append(("rule", copy.deepcopy(arguments)))
            arguments["value"] = "changed by the rule"
            return False

        async def operation(value: Any) -> str:
            self.told.append(("body", value))
            return "ok"

        operation.__annotations__ = {"value": annotation, "return": str}
        if default is not ...:
            operation.__defaults__ = (default,)
        self.tool = function_tool(operation, needs_approval=rule, strict_mode=strict, **options)

    def agent(self, arguments: str) -> Agent[Any]:
        model = ScriptedModel([[function_call("operation", arguments, call_id="c1")], "done"])
        return Agent("a", model=model, tools=[self.tool])


@pytest.mark.parametrize(
    ("annotation", "arguments", "value"),
    [
        (str, '{"value": "a"}', "a"),
        (int, '{"value": 1}', 1),
        (float, '{"value": 1.5}', 1.5),
        (bool, '{"value": true}', True),
        (str | None, '{"value": null}', None),
        (int | str, '{"value": "a"}', "a"),
        (Literal["a", "b"], '{"value": "b"}', "b"),
        (list[int | str], '{"value": [1, "a"]}', [1, "a"]),
        (dict[str, list[int]], '{"value": {"b": [1], "a": []}}', {"b": [1], "a": []}),
        (Any, '{"value": {"a": [1, null]}}', {"a": [1, None]}),
        (Named, '{"value": {"first": "A", "last": "L"}}', {"first": "A", "last": "L"}),
        (datetime.date | str, '{"value": "tomorrow"}', "tomorrow"),
        (Annotated[int, pydantic.Field(ge=1)], '{"value": 2}', 2),
        (Annotated[str, pydantic.Field(max_length=3)], '{"value": "abc"}', "abc"),
        (Annotated[str, "a text"], '{"value": "a"}', "a"),
    ],
)
async def test_a_rule_decides_about_values_that_the_tool_gets_as_they_stand(
    run: Any, annotation: Any, arguments: str, value: Any
) -> None:
    asked = Asked(annotation)
    result = await run(asked.agent(arguments))
    assert not result.interruptions
    assert asked.told == [("rule", {"value": value}), ("body", value)], "the rule cannot change what the tool gets"


@pytest.mark.parametrize(
    ("annotation", "arguments"),
    [
        (float, '{"value": 1}'),
        (Color, '{"value": "red"}'),
        (datetime.date, '{"value": "2030-01-02"}'),
        (pathlib.Path, '{"value": "/etc"}'),
        (set[str], '{"value": ["a"]}'),
        (tuple[int, ...], '{"value": [1]}'),
        (dict[int, str], '{"value": {"1": "a"}}'),
        (Named, '{"value": {"last": "L", "first": "A"}}'),
        (list[float], '{"value": [1.5, 2]}'),
        (Point, '{"value": {"x": 1}}'),
        (Model, '{"value": {"x": "a"}}'),
        (list[Model], '{"value": [{"x": "a"}]}'),
        (Annotated[str, pydantic.Field(pattern="^(a+)+$")], '{"value": "a"}'),
    ],
)
async def test_a_value_that_would_change_or_whose_type_has_code_of_its_own_waits_for_a_person(
    run: Any, stored: Any, annotation: Any, arguments: str
) -> None:
    asked = Asked(annotation)
    agent = asked.agent(arguments)
    result = await run(agent)
    assert [item.arguments for item in result.interruptions] == [arguments] and asked.told == []
    state = await stored(agent, result.to_state())
    state.approve(state.get_interruptions()[0])
    assert (await run(agent, await stored(agent, state))).final_output == "done"
    assert [what for what, _ in asked.told] == ["body"]


@pytest.mark.parametrize(
    ("annotation", "arguments"),
    [
        (int, '{"value": "x"}'),
        (int, "{}"),
        (int, '{"value": 1.0}'),
        (str, '{"value": "a", "extra": 1}'),
        (Annotated[str, pydantic.Field(max_length=3)], '{"value": "abcd"}'),
    ],
)
async def test_arguments_that_do_not_fit_wait_before_anybody_words_the_failure(
    run: Any, annotation: Any, arguments: str
) -> None:
    worded: list[str] = []

    def failure(context: Any, error: Exception) -> str:
        worded.append(type(error).__name__)
        return "mend it"

    asked = Asked(annotation, failure_error_function=failure)
    agent = asked.agent(arguments)
    state = (await run(agent)).to_state()
    assert len(state.get_interruptions()) == 1 and asked.told == worded == []
    state.approve(state.get_interruptions()[0])
    result = await run(agent, state)
    assert [item.output for item in result.new_items if item.type == "tool_call_output_item"] == ["mend it"]
    assert worded == ["ToolArgumentsError"] and asked.told == []


async def test_an_argument_left_to_its_default_waits_and_one_that_is_given_does_not(run: Any) -> None:
    asked = Asked(str, default="safe")
    result = await run(asked.agent("{}"))
    assert len(result.interruptions) == 1 and asked.told == []
    assert not (await run(asked.agent('{"value": "safe"}'))).interruptions
    assert asked.told == [("rule", {"value": "safe"}), ("body", "safe")]


def _validated(told: list[str], kind: str) -> Any:
    """Return a type that tells when its own code runs."""

    def note(value: Any) -> Any:
        told.append("validator")
        return value

    class WithValidator(pydantic.BaseModel):
        text: str

        @pydantic.field_validator("text")
        @classmethod
        def check(cls, value: str) -> str:
            return str(note(value))

    class WithPostInit(pydantic.BaseModel):
        text: str

        def model_post_init(self, context: Any) -> None:
            note(None)

    @attrs.define
    class WithAttrs:
        text: str

        def __attrs_post_init__(self) -> None:
            note(None)

    @dataclasses.dataclass
    class WithDataclass:
        text: str

        def __post_init__(self) -> None:
            note(None)

    kinds: dict[str, Any] = {
        "annotated": Annotated[str, pydantic.BeforeValidator(note)],
        "list": list[Annotated[str, pydantic.AfterValidator(note)]],
        "union": int | Annotated[str, pydantic.AfterValidator(note)],
        "model": WithValidator,
        "post init": WithPostInit,
        "attrs": WithAttrs,
        "dataclass": WithDataclass,
    }
    return kinds[kind]


@pytest.mark.parametrize("approve", [True, False])
@pytest.mark.parametrize("kind", ["annotated", "list", "union", "model", "post init", "attrs", "dataclass"])
async def test_validators_of_a_tool_do_not_run_before_the_call_is_approved(
    run: Any, stored: Any, kind: str, approve: bool
) -> None:
    told: list[str] = []
    asked = Asked(_validated(told, kind))
    values: dict[str, Any] = {"annotated": "a", "list": ["a"], "union": "a"}
    agent = asked.agent(json.dumps({"value": values.get(kind, {"text": "a"})}))
    state = await stored(agent, (await run(agent)).to_state())
    assert len(state.get_interruptions()) == 1 and told == [] and asked.told == []
    if approve:
        state.approve(state.get_interruptions()[0])
    else:
        state.reject(state.get_interruptions()[0])
    assert (await run(agent, await stored(agent, state))).final_output == "done"
    assert told == (["validator"] if approve else [])
    assert [what for what, _ in asked.told] == (["body"] if approve else [])


async def test_a_guardrail_before_the_approval_comes_before_the_validators_too(run: Any) -> None:
    """GR-11."""
    told: list[str] = []

    @tool_input_guardrail
    def blocked(data: ToolInputGuardrailData) -> ToolGuardrailFunctionOutput:
        told.append("guardrail")
        return ToolGuardrailFunctionOutput.reject_content("blocked")

    asked = Asked(_validated(told, "model"), tool_input_guardrails=[blocked])
    config = RunConfig(tool_execution=ToolExecutionConfig(pre_approval_tool_input_guardrails=True))
    result = await run(asked.agent('{"value": {"text": "a"}}'), run_config=config)
    assert not result.interruptions and told == ["guardrail"] and asked.told == []


@pytest.mark.parametrize(("arguments", "waits"), [('{"a": "x"}', True), ('{"a": "x", "rest": ["y"]}', False)])
async def test_arguments_of_any_number_are_seen_when_they_are_given(run: Any, arguments: str, waits: bool) -> None:
    got: list[tuple[str, ...]] = []

    @function_tool(strict_mode=False, needs_approval=lambda context, given, call_id: False)
    async def join(a: str, *rest: str) -> str:
        got.append((a, *rest))
        return "ok"

    agent: Agent[Any] = Agent(
        "a", model=ScriptedModel([[function_call("join", arguments, call_id="c1")], "done"]), tools=[join]
    )
    assert bool((await run(agent)).interruptions) is waits
    assert got == ([] if waits else [("x", "y")])


def test_a_keyword_that_names_a_parameter_is_not_kept() -> None:
    def call(a: str, **rest: str) -> None: ...

    schema = function_schema(call, strict_json_schema=False)
    assert schema.keeps_arguments({"a": "x", "rest": {"b": "y"}})
    assert not schema.keeps_arguments({"a": "x", "rest": {"a": "y"}})


@pytest.mark.parametrize("arguments", ["", " "])
async def test_no_text_at_all_is_no_object(run: Any, arguments: str) -> None:
    @function_tool(needs_approval=lambda context, given, call_id: False)
    async def ring() -> str:
        raise AssertionError("nobody has allowed it")

    agent: Agent[Any] = Agent(
        "a", model=ScriptedModel([[function_call("ring", arguments, call_id="c1")]]), tools=[ring]
    )
    assert len((await run(agent)).interruptions) == 1


@pytest.mark.parametrize("kind", ["by hand", "agent"])
async def test_tools_that_read_their_text_themselves_are_asked_about_any_object(run: Any, kind: str) -> None:
    seen: list[Any] = []

    async def rule(context: Any, arguments: dict[str, Any], call_id: str) -> bool:
        seen.append(arguments)
        return False

    async def invoke(context: Any, arguments: str) -> str:
        return arguments

    make: dict[str, Callable[[], FunctionTool]] = {
        "by hand": lambda: FunctionTool("work", "", {"type": "object", "properties": {}}, invoke, needs_approval=rule),
        "agent": lambda: Agent[Any]("inner", model=ScriptedModel(["ok"])).as_tool("work", None, needs_approval=rule),
    }
    model = ScriptedModel([[function_call("work", {"input": "x"}, call_id="c1")], "done"])
    agent: Agent[Any] = Agent("a", model=model, tools=[make[kind]()])
    assert not (await run(agent)).interruptions and seen == [{"input": "x"}]


async def test_a_rule_that_fails_because_of_a_key_is_the_callers_error(run: Any) -> None:
    def rule(context: Any, arguments: dict[str, Any], call_id: str) -> bool:
        return bool(arguments["missing"])

    asked = Asked(str)
    asked.tool.needs_approval = rule
    with pytest.raises(UserError, match="missing"):
        await run(asked.agent('{"value": "a"}'))
