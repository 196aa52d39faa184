from __future__ import annotations

import contextvars
import copy
import functools
import inspect
import threading
import time
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypedDict

import anyio
import pytest

import agentrun.decorators
from agentrun._context import RunContextWrapper, ToolContext
from agentrun._tool import FunctionTool, function_tool, tool_namespace, tools_to_wire

STATION: contextvars.ContextVar[str] = contextvars.ContextVar("station", default="none")


async def weather(city: str, unit: Literal["c", "f"] = "c") -> str:
    """Tell the weather.

    Args:
        city: where
        unit: which scale
    """
    return f"{city}: 20 {unit}"


class TestSchema:
    def test_a_function_is_told_to_the_model_with_name_docstring_and_strict_schema(self) -> None:
        assert function_tool(weather).to_wire() == {
            "type": "function",
            "name": "weather",
            "description": "Tell the weather.",
            "parameters": {
                "title": "weather_args",
                "type": "object",
                "properties": {
                    "city": {"title": "City", "type": "string", "description": "where"},
                    "unit": {
                        "title": "Unit",
                        "type": "string",
                        "enum": ["c", "f"],
                        "default": "c",
                        "description": "which scale",
                    },
                },
                "required": ["city", "unit"],
                "additionalProperties": False,
            },
            "strict": True,
        }

    def test_name_and_description_can_be_overridden(self) -> None:
        tool = function_tool(weather, name_override="forecast", description_override="Look ahead.")
        assert (tool.name, tool.description) == ("forecast", "Look ahead.")

    def test_without_docstring_info_the_model_reads_no_text_of_it(self) -> None:
        tool = function_tool(weather, use_docstring_info=False)
        assert tool.description == ""
        assert tool.params_json_schema["properties"]["city"] == {"title": "City", "type": "string"}

    def test_a_loose_schema_requires_only_what_has_no_default(self) -> None:
        tool = function_tool(weather, strict_mode=False)
        assert tool.params_json_schema["required"] == ["city"]
        assert tool.to_wire()["strict"] is False

    def test_options_of_the_request_are_sent_only_when_they_are_set(self) -> None:
        tool = function_tool(
            weather, defer_loading=True, allowed_callers=["programmatic"], output_json_schema={"type": ["object"]}
        )
        wire = tool.to_wire()
        assert wire["defer_loading"] is True
        assert wire["allowed_callers"] == ["programmatic"]
        assert wire["output_schema"] == {"type": "object", "additionalProperties": False}

    def test_an_output_type_becomes_the_output_schema(self) -> None:
        class Forecast(TypedDict):
            degrees: int

        for strict in (True, False):
            tool = function_tool(weather, output_type=Forecast, strict_mode=strict)
            schema = tool.output_json_schema
            assert schema is not None
            assert (schema["properties"]["degrees"]["type"], schema["required"]) == ("integer", ["degrees"])
            assert schema["additionalProperties"] is False

    def test_the_schema_given_to_a_hand_built_tool_is_copied_and_made_strict(self) -> None:
        given: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "object", "properties": {}}}}
        before = copy.deepcopy(given)
        tool = FunctionTool("t", "d", given, _nothing)
        assert given == before
        assert tool.params_json_schema["required"] == ["a"]
        assert tool.params_json_schema["properties"]["a"]["additionalProperties"] is False

    def test_a_loose_schema_of_a_hand_built_tool_stays_as_it_is(self) -> None:
        given = {"type": "object", "properties": {"a": {"type": "integer"}}}
        tool = FunctionTool("t", "d", given, _nothing, strict_json_schema=False)
        assert tool.params_json_schema == given
        assert tool.params_json_schema is not given

    def test_an_empty_schema_becomes_an_object_without_keys(self) -> None:
        assert FunctionTool("t", "", {}, _nothing).params_json_schema == {
            "type": "object",
            "properties": {},
            "required": [],
            "additionalProperties": False,
        }


async def _nothing(context: ToolContext[Any], arguments: str) -> None:
    return None


class TestKinds:
    async def test_an_async_function_is_called_with_typed_arguments_and_defaults(self, call: Any) -> None:
        assert await call(function_tool(weather), '{"city": "Oslo"}') == "Oslo: 20 c"

    async def test_the_decorator_works_bare_and_with_parentheses(self, call: Any) -> None:
        @function_tool
        async def one(a: int) -> int:
            return a

        @function_tool()
        async def two(a: int) -> int:
            return a * 2

        @agentrun.decorators.tool(name_override="drei")
        async def three(a: int) -> int:
            return a * 3

        assert [tool.name for tool in (one, two, three)] == ["one", "two", "drei"]
        assert [await call(tool, '{"a": 2}') for tool in (one, two, three)] == [2, 4, 6]

    async def test_a_bound_method_keeps_its_object(self, call: Any) -> None:
        class Shop:
            def __init__(self) -> None:
                self.sold: list[str] = []

            async def sell(self, what: str) -> str:
                """Sell something."""
                self.sold.append(what)
                return "sold"

        shop = Shop()
        tool = function_tool(shop.sell)
        assert (tool.name, tool.description) == ("sell", "Sell something.")
        assert await call(tool, '{"what": "tea"}') == "sold"
        assert shop.sold == ["tea"]

    async def test_a_callable_object_is_named_after_its_class(self, call: Any) -> None:
        class Doubler:
            """Doubles numbers."""

            async def __call__(self, number: int) -> int:
                return number * 2

        tool = function_tool(Doubler())
        assert (tool.name, tool.description, tool.runs_in_thread) == ("Doubler", "Doubles numbers.", False)
        assert await call(tool, '{"number": 4}') == 8

    async def test_a_partial_of_an_async_function_runs_in_the_loop(self, call: Any) -> None:
        tool = function_tool(functools.partial(weather, unit="f"), name_override="us_weather")
        assert not tool.runs_in_thread
        assert await call(tool, '{"city": "Miami"}') == "Miami: 20 f"

    async def test_positional_variadic_and_keyword_only_parameters_get_their_arguments(self, call: Any) -> None:
        @function_tool
        async def mixed(a: int, /, b: int, *rest: int, c: int = 5) -> tuple[Any, ...]:
            return a, b, rest, c

        assert await call(mixed, '{"a": 1, "b": 2, "rest": [3, 4], "c": 6}') == (1, 2, (3, 4), 6)
        assert await call(mixed, '{"a": 1, "b": 2}') == (1, 2, (), 5)

    async def test_no_arguments_at_all_may_be_an_empty_text(self, call: Any) -> None:
        @function_tool
        async def now() -> str:
            return "noon"

        assert await call(now, "") == "noon"
        assert await call(now, "{}") == "noon"

    @pytest.mark.parametrize("kind", [RunContextWrapper, ToolContext])
    async def test_a_first_context_parameter_gets_the_call_and_is_hidden(self, call: Any, kind: Any) -> None:
        async def who(ctx: Any, greeting: str) -> str:
            return f"{greeting} {ctx.context['user']}, {ctx.tool_call_id}"

        who.__annotations__["ctx"] = kind[dict[str, str]]
        tool = function_tool(who)
        assert list(tool.params_json_schema["properties"]) == ["greeting"]
        assert await call(tool, '{"greeting": "hello"}') == "hello ada, call_1"

    async def test_the_return_value_stays_the_object_it_is(self, call: Any) -> None:
        value = object()

        @function_tool
        async def give() -> object:
            return value

        assert await call(give, "{}") is value

    def test_the_decorated_function_stays_reachable(self) -> None:
        tool = function_tool(weather)
        assert tool.__wrapped__ is weather
        assert inspect.unwrap(tool) is weather  # type: ignore[arg-type]

    def test_a_hand_built_tool_has_no_wrapped_function(self) -> None:
        assert not hasattr(FunctionTool("t", "", {}, _nothing), "__wrapped__")

    def test_a_tool_is_shown_by_its_name_only(self) -> None:
        assert repr(function_tool(weather)) == "FunctionTool(name='weather')"

    async def test_annotated_text_describes_a_parameter(self, call: Any) -> None:
        @function_tool
        async def age(years: Annotated[int, "full years"]) -> int:
            return years

        assert age.params_json_schema["properties"]["years"] == {
            "title": "Years",
            "type": "integer",
            "description": "full years",
        }
        assert await call(age, '{"years": 3}') == 3


@pytest.mark.real_clock
class TestSyncFunctions:
    async def test_a_sync_function_runs_in_a_worker_thread_with_the_context_variables(self, call: Any) -> None:
        @function_tool
        def where() -> tuple[int, str]:
            return threading.get_ident(), STATION.get()

        STATION.set("orbit")
        thread, station = await call(where, "{}")
        assert where.runs_in_thread
        assert thread != threading.get_ident()
        assert station == "orbit"

    async def test_a_context_variable_set_in_the_thread_stays_there(self, call: Any) -> None:
        @function_tool
        def move() -> None:
            STATION.set("moon")

        STATION.set("earth")
        await call(move, "{}")
        assert STATION.get() == "earth"

    async def test_two_sync_tools_run_at_once(self) -> None:
        barrier = threading.Barrier(2, timeout=5)

        @function_tool(failure_error_function=None)
        def meet() -> str:
            barrier.wait()
            return "met"

        found: list[str] = []

        async def one() -> None:
            context = ToolContext[None](None, tool_name="meet", tool_call_id="c", tool_arguments="{}")
            found.append(await meet.on_invoke_tool(context, "{}"))

        async with anyio.create_task_group() as nursery:
            nursery.start_soon(one)
            nursery.start_soon(one)
        assert found == ["met", "met"]

    async def test_a_parameter_may_be_called_context_or_func(self, call: Any) -> None:
        @function_tool
        def join(func: str, *, context: str, args: str = "c") -> str:
            return func + context + args

        assert await call(join, '{"func": "a", "context": "b"}') == "abc"

    async def test_what_a_sync_function_hands_back_to_wait_for_is_waited_for(self, call: Any) -> None:
        def plain_wrapper(function: Callable[..., Any]) -> Callable[..., Any]:
            @functools.wraps(function)
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                return function(*args, **kwargs)

            return wrapper

        assert await call(function_tool(plain_wrapper(weather)), '{"city": "Rome"}') == "Rome: 20 c"

    async def test_a_sync_function_that_asks_stops_when_its_call_is_cancelled(self, call: Any) -> None:
        stopped = threading.Event()

        @function_tool
        def patient(ctx: ToolContext[Any]) -> None:
            try:
                while True:
                    ctx.check_cancelled()
                    time.sleep(0.005)
            finally:
                stopped.set()

        with anyio.move_on_after(0.05) as scope:
            await call(patient, "{}")
        assert scope.cancelled_caught
        assert stopped.is_set()

    async def test_what_a_sync_function_raises_becomes_the_default_text(self, call: Any) -> None:
        @function_tool
        def fail() -> None:
            raise LookupError("row 7 of secrets")

        assert await call(fail, "{}") == "An error occurred while running the tool. Please try again."
        assert isinstance(call.context.failure, LookupError)


class TestNamespaces:
    def test_tools_of_a_namespace_are_copies_with_a_qualified_name(self) -> None:
        tool = function_tool(weather)
        (copied,) = tool_namespace(name="sky", description="All about the sky.", tools=[tool])
        assert (copied.qualified_name, tool.qualified_name) == ("sky.weather", "weather")
        assert copied.__wrapped__ is weather
        assert copied.params_json_schema == tool.params_json_schema

    def test_a_namespace_is_sent_as_one_group_where_its_first_tool_stands(self) -> None:
        plain = function_tool(weather, name_override="plain")
        one, two = tool_namespace(
            name="sky", description="Sky.", tools=[function_tool(weather), function_tool(weather, name_override="w2")]
        )
        wire = tools_to_wire([one, plain, two])
        assert [member["name"] for member in wire] == ["sky", "plain"]
        assert wire[0]["type"] == "namespace"
        assert wire[0]["description"] == "Sky."
        assert [member["name"] for member in wire[0]["tools"]] == ["weather", "w2"]
