from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from agentrun._context import RunContextWrapper, ToolContext
from agentrun._exceptions import UserError
from agentrun._hosted_tools import WebSearchTool
from agentrun._tool import FunctionTool, function_tool, tool_namespace


async def plain(a: int) -> int:
    return a


async def invoke(context: ToolContext[Any], arguments: str) -> str:
    return arguments


EMPTY: dict[str, Any] = {}


class Connection:
    """Something no model can write."""

    def __init__(self, socket: Any) -> None: ...


class Service:
    async def look(self, what: str) -> str:
        return what


def test_a_parameter_without_a_schema_is_named_with_its_type() -> None:
    async def query(sql: str, connection: Connection) -> None: ...

    with pytest.raises(
        UserError, match=r"tool 'query': parameter 'connection' has the type Connection, which has no JSON"
    ):
        function_tool(query)


def test_a_context_parameter_has_to_be_the_first() -> None:
    async def late(a: int, ctx: RunContextWrapper[None]) -> None: ...

    with pytest.raises(UserError, match=r"tool 'late': parameter 'ctx' takes the run context .*; move it there"):
        function_tool(late)


def test_undeclared_keywords_need_a_loose_schema() -> None:
    async def anything(**options: int) -> dict[str, int]:
        return options

    with pytest.raises(UserError, match=r"tool 'anything': parameter '\*\*options' .* set strict_mode=False"):
        function_tool(anything)
    assert function_tool(anything, strict_mode=False).name == "anything"


def test_a_method_without_its_object_is_refused() -> None:
    with pytest.raises(UserError, match=r"Service.look is a method without its object.*function_tool\(instance.look\)"):
        function_tool(Service.look)


def test_a_lambda_needs_a_name() -> None:
    with pytest.raises(UserError, match="a lambda has no name that a model can call"):
        function_tool(lambda: 1)
    assert function_tool(lambda: 1, name_override="one").name == "one"


def test_generator_functions_are_refused() -> None:
    def parts() -> Iterator[str]:
        yield "a"

    async def later_parts() -> AsyncIterator[str]:
        yield "a"

    for function in (parts, later_parts):
        with pytest.raises(UserError, match="is a generator function, whose parts no model gets"):
            function_tool(function)


def test_what_cannot_be_called_is_refused() -> None:
    with pytest.raises(UserError, match="a tool must be a function or another callable, got 3"):
        function_tool(3)  # type: ignore[call-overload]


def test_a_tool_is_no_function_to_make_a_tool_from() -> None:
    with pytest.raises(UserError, match=r"got FunctionTool\(name='plain'\)"):
        function_tool(function_tool(plain))  # type: ignore[call-overload]


@pytest.mark.parametrize("timeout", [0, -1, math.nan, math.inf])
def test_a_timeout_must_be_a_positive_number_of_seconds(timeout: Any) -> None:
    with pytest.raises(ValueError, match=rf"tool 'plain': the timeout must be a positive number .* got {timeout!r}"):
        function_tool(plain, timeout=timeout)


@pytest.mark.parametrize("timeout", [True, "5"])
def test_a_timeout_must_be_a_number(timeout: Any) -> None:
    with pytest.raises(TypeError, match=rf"tool 'plain': the timeout must be a number of seconds .* got {timeout!r}"):
        function_tool(plain, timeout=timeout)


def test_a_sync_function_may_have_a_timeout() -> None:
    def slow() -> None: ...

    assert function_tool(slow, timeout=0.5).timeout_seconds == 0.5


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"timeout_behavior": "explode"}, ValueError, r"tool 'plain': timeout_behavior must be one of .*'explode'"),
        (
            {"timeout_error_function": 3},
            TypeError,
            r"tool 'plain': timeout_error_function must be a function or None, got 3",
        ),
        (
            {"failure_error_function": 3},
            TypeError,
            r"tool 'plain': failure_error_function must be a function or None, got 3",
        ),
        ({"custom_data_extractor": 3}, TypeError, r"custom_data_extractor must be a function or None, got 3"),
        ({"is_enabled": "yes"}, TypeError, r"tool 'plain': is_enabled must be True, False or a function, got 'yes'"),
        ({"needs_approval": 1}, TypeError, r"tool 'plain': needs_approval must be True, False or a function, got 1"),
        ({"allowed_callers": ["me"]}, UserError, r"tool 'plain': allowed_callers must be a non-empty list .*\['me'\]"),
        ({"allowed_callers": "direct"}, UserError, r"allowed_callers must be a non-empty list .* got 'direct'"),
        ({"allowed_callers": []}, UserError, r"allowed_callers must be a non-empty list .* got \[\]"),
        ({"output_type": int, "output_json_schema": {}}, UserError, r"tool 'plain' has an output_type and an output_"),
        (
            {"output_type": list[int]},
            UserError,
            r"tool 'plain': output_json_schema must describe an object, got {'type",
        ),
        ({"output_json_schema": {}}, UserError, r"tool 'plain': output_json_schema must describe an object, got {}; "),
        (
            {"output_json_schema": {"anyOf": [{"type": "object"}]}, "strict_mode": False},
            UserError,
            "describe an object",
        ),
        ({"output_type": Connection}, UserError, r"tool 'plain': output_type Connection has no JSON schema"),
    ],
)
def test_a_wrong_option_is_named_with_tool_and_value(options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        function_tool(plain, **options)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((3, "", EMPTY, invoke), TypeError, "a tool's name must be a str, got 3"),
        (("", "", EMPTY, invoke), UserError, "a tool's name must not be empty"),
        (("t", None, EMPTY, invoke), TypeError, "a tool's description must be a str, got None"),
        (("t", "", "{}", invoke), TypeError, "tool 't': params_json_schema must be a JSON schema as a dict, got '{}'"),
        (("t", "", EMPTY, None), TypeError, "tool 't': on_invoke_tool must be an async function, got None"),
        (
            ("t", "", {"type": "object", "additionalProperties": True}, invoke),
            UserError,
            "tool 't': the JSON schema at .* allows undeclared keys",
        ),
    ],
)
def test_a_hand_built_tool_is_checked_when_it_is_made(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        FunctionTool(*arguments)


def test_the_output_limit_must_be_a_positive_count() -> None:
    with pytest.raises(ValueError, match="tool 't': max_output_characters must be a whole number of at least 1, got 0"):
        FunctionTool("t", "", EMPTY, invoke, max_output_characters=0)


def test_a_field_is_checked_when_it_is_set_as_well() -> None:
    tool = function_tool(plain)
    with pytest.raises(ValueError, match="the timeout must be a positive number"):
        tool.timeout_seconds = -1
    tool.is_enabled = False
    assert tool.is_enabled is False


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": " ", "description": "d", "tools": []}, "a tool namespace needs a name, got ' '"),
        ({"name": "n", "description": None, "tools": []}, "tool namespace 'n' needs a description"),
        (
            {"name": "n", "description": "d", "tools": [WebSearchTool()]},
            r"tool namespace 'n' takes function tools only, got WebSearchTool\(",
        ),
        (
            {"name": "plain ", "description": "d", "tools": [function_tool(plain)]},
            "tool namespace 'plain ' has a tool of its own name",
        ),
    ],
)
def test_a_namespace_needs_name_description_and_function_tools(options: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        tool_namespace(**options)
