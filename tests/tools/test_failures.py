from __future__ import annotations

import traceback
from typing import Any

import anyio
import attrs
import pytest

from agentrun._context import RunContextWrapper, ToolContext
from agentrun._exceptions import MaxTurnsExceeded, ModelBehaviorError
from agentrun._failure_values import ToolErrorFormatterArgs
from agentrun._tool import (
    FunctionTool,
    ToolArgumentsError,
    default_tool_error_function,
    function_tool,
    tool_failure_output,
)

DEFAULT = "An error occurred while running the tool. Please try again."


async def _fail(limit: int = 3) -> str:
    raise ValueError(f"password {limit}")


def _told(ctx: RunContextWrapper[Any], error: Exception) -> str:
    return f"{type(error).__name__} for {ctx.context['user']}"


async def _told_later(ctx: RunContextWrapper[Any], error: Exception) -> str:
    await anyio.lowlevel.checkpoint()
    return f"later: {error}"


def _overruled(args: ToolErrorFormatterArgs[Any]) -> str:
    return "overruled"


def _silent(args: ToolErrorFormatterArgs[Any]) -> None:
    return None


def _seven(args: ToolErrorFormatterArgs[Any]) -> Any:
    return 7


class TestExceptions:
    async def test_the_model_is_told_that_the_tool_failed_and_nothing_else(self, call: Any) -> None:
        assert await call(function_tool(_fail), "{}") == DEFAULT
        assert isinstance(call.context.failure, ValueError)

    async def test_a_call_that_succeeds_leaves_no_failure_on_its_context(self, call: Any) -> None:
        @function_tool
        async def fine() -> str:
            return "fine"

        assert await call(fine, "{}") == "fine"
        assert call.context.failure is None

    @pytest.mark.parametrize(("function", "text"), [(_told, "ValueError for ada"), (_told_later, "later: password 3")])
    async def test_a_failure_function_words_the_output_sync_or_async(self, call: Any, function: Any, text: str) -> None:
        assert await call(function_tool(_fail, failure_error_function=function), "{}") == text

    async def test_without_a_failure_function_the_exception_itself_is_raised(self, call: Any) -> None:
        with pytest.raises(ValueError, match="password 3") as caught:
            await call(function_tool(_fail, failure_error_function=None), "{}")
        assert "_fail" in [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]

    @pytest.mark.parametrize("later", [False, True])
    async def test_a_function_that_returns_none_lets_the_exception_pass(self, call: Any, later: bool) -> None:
        async def decline_later(ctx: RunContextWrapper[Any], error: Exception) -> Any:
            await anyio.lowlevel.checkpoint()

        def decline(ctx: RunContextWrapper[Any], error: Exception) -> Any:
            return None

        tool = function_tool(_fail, failure_error_function=decline_later if later else decline)
        with pytest.raises(ValueError, match="password 3"):
            await call(tool, "{}")

    async def test_an_exception_of_agentrun_is_worded_like_any_other(self, call: Any) -> None:
        @function_tool
        async def nested() -> None:
            raise MaxTurnsExceeded("Max turns (3) exceeded")

        assert await call(nested, "{}") == DEFAULT

    async def test_a_group_of_exceptions_is_one_failure(self, call: Any) -> None:
        @function_tool
        async def many() -> None:
            async with anyio.create_task_group() as nursery:
                nursery.start_soon(_fail)
                nursery.start_soon(_fail)

        assert await call(many, "{}") == DEFAULT
        assert isinstance(call.context.failure, ExceptionGroup)

    async def test_what_a_failure_function_raises_is_raised_from_the_failure(self, call: Any) -> None:
        def worse(ctx: RunContextWrapper[Any], error: Exception) -> str:
            raise RuntimeError("no words")

        with pytest.raises(RuntimeError, match="no words") as caught:
            await call(function_tool(_fail, failure_error_function=worse), "{}")
        assert isinstance(caught.value.__context__, ValueError)

    async def test_a_hand_built_tool_lets_everything_through(self, call: Any) -> None:
        async def invoke(context: ToolContext[Any], arguments: str) -> Any:
            raise KeyError(arguments)

        with pytest.raises(KeyError):
            await call(FunctionTool("t", "", {}, invoke), "{}")

    async def test_cancellation_is_no_failure(self, call: Any) -> None:
        @function_tool
        async def wait() -> None:
            await anyio.sleep_forever()

        with anyio.move_on_after(1) as scope:
            await call(wait, "{}")
        assert scope.cancelled_caught
        assert call.context.failure is None

    async def test_a_run_can_ask_the_failure_function_about_a_failure_of_its_own(self, call: Any) -> None:
        tool = function_tool(_fail, failure_error_function=_told)
        assert await tool_failure_output(tool, call.context, RuntimeError("x")) == "RuntimeError for ada"
        assert isinstance(call.context.failure, RuntimeError)

    async def test_a_tool_without_a_failure_function_raises_that_failure(self, call: Any) -> None:
        tool = function_tool(_fail, failure_error_function=None)
        with pytest.raises(RuntimeError, match="x"):
            await tool_failure_output(tool, call.context, RuntimeError("x"))


class TestArguments:
    @pytest.mark.parametrize(
        ("arguments", "lines"),
        [
            ('{"limit": "ten"}', ['argument `limit`: expected integer, got string "ten"']),
            (
                '{"limit": true, "depth": 1}',
                ["argument `limit`: expected integer, got boolean", "argument `depth`: unknown key"],
            ),
            ("[1]", ["expected a JSON object, got array"]),
            ('{"limit": ', ["invalid JSON: expecting value"]),
        ],
    )
    async def test_the_model_gets_one_line_for_each_fault(self, call: Any, arguments: str, lines: list[str]) -> None:
        output = await call(function_tool(_fail), arguments)
        first, *faults = output.split("\n")
        assert first.startswith(DEFAULT)
        assert len(faults) == len(lines)
        for fault, expected in zip(faults, lines, strict=True):
            assert fault.startswith(expected)

    async def test_the_failure_is_a_fault_of_the_model_and_the_function_is_not_called(self, call: Any) -> None:
        with pytest.raises(ModelBehaviorError, match="tool '_fail' was called with arguments it cannot take"):
            await call(function_tool(_fail, failure_error_function=None), "nonsense")

    async def test_a_failure_function_gets_the_fault_too(self, call: Any) -> None:
        assert await call(function_tool(_fail, failure_error_function=_told), "[]") == "ToolArgumentsError for ada"

    async def test_arguments_of_another_call_are_not_shown(self, call: Any) -> None:
        @function_tool
        async def nested() -> None:
            raise ToolArgumentsError("inner", ["argument `key`: secret"], "call_of_the_nested_run")

        assert await call(nested, "{}") == DEFAULT

    def test_outside_of_a_call_the_default_text_shows_no_arguments(self) -> None:
        error = ToolArgumentsError("t", ["argument `key`: secret"], "call_1")
        assert default_tool_error_function(RunContextWrapper(None), error) == DEFAULT

    async def test_arguments_nested_beyond_reason_are_a_fault_and_no_crash(self, call: Any) -> None:
        output = await call(function_tool(_fail), '{"limit": ' + "[" * 100_000 + "]" * 100_000 + "}")
        assert output.startswith(DEFAULT)
        assert len(output) < 1000


class TestCopies:
    async def test_wrong_arguments_are_told_of_the_tool_by_its_present_name(self, call: Any) -> None:
        tool = attrs.evolve(function_tool(_fail, failure_error_function=None), name="renamed")
        with pytest.raises(ModelBehaviorError, match="tool 'renamed' was called with arguments it cannot take"):
            await call(tool, '{"limit": "x"}')


class TestFormatter:
    async def test_the_run_words_failures_of_tools_with_the_default_handler(self, call: Any) -> None:
        seen: list[ToolErrorFormatterArgs[Any]] = []

        def formatter(args: ToolErrorFormatterArgs[Any]) -> str:
            seen.append(args)
            return "try something else"

        assert await call(function_tool(_fail), "{}", formatter) == "try something else"
        (args,) = seen
        assert (args.kind, args.tool_type, args.tool_name, args.call_id) == (
            "tool_exception",
            "function",
            "_fail",
            "call_1",
        )
        assert args.default_message == DEFAULT
        assert args.run_context is call.context
        assert isinstance(args.error, ValueError)

    async def test_an_async_formatter_is_waited_for(self, call: Any) -> None:
        async def formatter(args: ToolErrorFormatterArgs[Any]) -> str:
            await anyio.sleep(1)
            return "late words"

        assert await call(function_tool(_fail), "{}", formatter) == "late words"

    async def test_a_failure_function_of_the_tools_own_is_not_overruled(self, call: Any) -> None:
        tool = function_tool(_fail, failure_error_function=default_tool_error_function)
        assert await call(tool, "{}", _overruled) == DEFAULT

    async def test_none_keeps_the_default_message(self, call: Any) -> None:
        assert await call(function_tool(_fail), "{}", _silent) == DEFAULT

    async def test_a_formatter_that_fails_is_reported_and_passed_over(
        self, call: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        def broken(args: ToolErrorFormatterArgs[Any]) -> str:
            raise ZeroDivisionError(f"no words for {args.error}")

        assert await call(function_tool(_fail), "{}", broken) == DEFAULT
        assert "the tool_error_formatter failed for tool '_fail'" in caplog.text
        assert "ZeroDivisionError" in caplog.text
        assert "no words" not in caplog.text

    async def test_why_a_formatter_failed_is_logged_where_data_may_be(
        self, call: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(args: ToolErrorFormatterArgs[Any]) -> str:
            raise ZeroDivisionError("no words")

        monkeypatch.setenv("AGENTRUN_DONT_LOG_TOOL_DATA", "0")
        await call(function_tool(_fail), "{}", broken)
        assert "no words" in caplog.text

    async def test_a_formatter_that_returns_no_text_is_reported_and_passed_over(
        self, call: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert await call(function_tool(_fail), "{}", _seven) == DEFAULT
        assert "must return a str or None, got an object of type int" in caplog.text
