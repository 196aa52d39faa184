"""semantics.md E and F: tools and what their output comes to; features 13, FT."""

# Callbacks here are written as a user would write them, without types.
# pyright: reportUnknownLambdaType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import contextvars
import dataclasses
import json
import threading
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from agentrun import (
    Agent,
    FunctionTool,
    ItemHelpers,
    ModelBehaviorError,
    ProgrammaticToolCallingTool,
    RunConfig,
    RunContextWrapper,
    RunHooks,
    StopAtTools,
    ToolContext,
    ToolExecutionConfig,
    ToolsToFinalOutputResult,
    ToolTimeoutError,
    Usage,
    UserError,
    function_tool,
)
from agentrun.items import ResponseFunctionToolCall, ResponseReasoningItem
from agentrun.testing import Gate, ScriptedModel, function_call

covers = pytest.mark.covers

FAILED = "An error occurred while running the tool. Please try again."


def call(name: str = "look", call_id: str = "c1", **arguments: Any) -> Any:
    return function_call(name, arguments, call_id=call_id)


@function_tool
async def look(q: str = "") -> str:
    return f"saw {q}"


def agent_of(steps: list[Any], *tools: Any, **fields: Any) -> Agent[Any]:
    return Agent(name="a", model=ScriptedModel(steps), tools=list(tools), **fields)


def outputs(result: Any) -> list[Any]:
    return [item.output for item in result.new_items if item.type == "tool_call_output_item"]


@covers("S-30", "FT-10")
async def test_calls_of_a_reply_run_together(run: Any) -> None:
    both = Gate()

    @function_tool
    async def one() -> str:
        await both.wait()
        return "one"

    @function_tool
    async def two() -> str:
        both.open()
        return "two"

    with anyio.fail_after(5):
        result = await run(agent_of([[call("one", "c1"), call("two", "c2")], "done"], one, two))
    assert outputs(result) == ["one", "two"]


@covers("S-30", "RC-12")
async def test_the_limit_lets_calls_start_in_call_order_as_slots_free(run: Any) -> None:
    log: list[str] = []
    running = [0, 0]

    @function_tool
    async def work(n: int) -> int:
        log.append(f"start {n}")
        running[0] += 1
        running[1] = max(running)
        await anyio.sleep(10 - n)
        running[0] -= 1
        return n

    config = RunConfig(tool_execution=ToolExecutionConfig(max_function_tool_concurrency=2))
    calls = [call("work", f"c{n}", n=n) for n in range(5)]
    result = await run(agent_of([calls, "done"], work), run_config=config)
    assert log == [f"start {n}" for n in range(5)]
    assert running == [0, 2]
    assert outputs(result) == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="max_function_tool_concurrency"):
        ToolExecutionConfig(max_function_tool_concurrency=0)


@covers("S-30", "RC-12")
async def test_slots_that_get_free_together_are_taken_in_call_order(run: Any) -> None:
    log: list[int] = []

    @function_tool
    async def work(n: int) -> int:
        log.append(n)
        await anyio.sleep(1)
        return n

    config = RunConfig(tool_execution=ToolExecutionConfig(max_function_tool_concurrency=3))
    await run(agent_of([[call("work", f"c{n}", n=n) for n in range(9)], "done"], work), run_config=config)
    assert log == list(range(9))


@covers("S-30")
async def test_context_variables_of_a_call_are_its_own(run: Any) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    seen: list[str] = []

    @function_tool
    async def setting(n: int) -> str:
        seen.append(variable.get())
        variable.set(f"set by {n}")
        await checkpoint()
        return variable.get()

    variable.set("the caller's")
    model = [[call("setting", "c1", n=1), call("setting", "c2", n=2)], [call("setting", "c3", n=3)], "done"]
    result = await run(agent_of(model, setting))
    assert seen == ["the caller's"] * 3
    assert outputs(result) == ["set by 1", "set by 2", "set by 3"]
    assert variable.get() == "the caller's"


@covers("S-31", "IT-3")
async def test_outputs_stand_in_call_order_whatever_finishes_first(run: Any) -> None:
    @function_tool
    async def wait(seconds: int) -> int:
        await anyio.sleep(seconds)
        return seconds

    model = ScriptedModel([[call("wait", f"c{n}", seconds=n) for n in (3, 1, 2)], "done"])
    result = await run(Agent(name="a", model=model, tools=[wait]))
    assert outputs(result) == [3, 1, 2]
    sent: Any = model.calls[1].input
    assert [item["call_id"] for item in sent if item.get("type") == "function_call_output"] == [*("c3", "c1", "c2")]
    item = result.new_items[3]
    assert item.raw_item == {"type": "function_call_output", "call_id": "c3", "output": "3"}


@covers("S-32", "FT-7", "FT-8")
async def test_a_handled_failure_is_an_ordinary_output(run: Any) -> None:
    ends: list[Any] = []

    class Hooks(RunHooks[Any]):
        async def on_tool_end(self, context: Any, agent: Any, tool: Any, result: Any) -> None:
            ends.append(result)

    async def explain(context: RunContextWrapper[Any], error: Exception) -> str:
        return f"{context.context}: {error}"

    @function_tool
    async def default() -> str:
        raise ValueError("secret detail")

    @function_tool(failure_error_function=explain)
    async def explained() -> str:
        raise ValueError("detail")

    model = [[call("default", "c1"), call("explained", "c2"), call("look", "c3", q="x")], "done"]
    result = await run(agent_of(model, default, explained, look), context="ctx", hooks=Hooks())
    assert outputs(result) == [FAILED, "ctx: detail", "saw x"]
    assert sorted(ends) == sorted([FAILED, "ctx: detail", "saw x"])


@covers("S-32", "S-33", "ER-5", "ER-2")
async def test_an_unhandled_failure_stops_the_siblings_and_keeps_what_was_done(run: Any) -> None:
    log: list[str] = []

    @function_tool
    async def quick() -> str:
        return "quick"

    @function_tool(failure_error_function=None)
    async def broken() -> str:
        await anyio.sleep(1)
        raise ValueError("no")

    @function_tool
    async def slow() -> str:
        try:
            await anyio.sleep(100)
        finally:
            await checkpoint()
            log.append("slow cleaned up")
        return "slow"

    calls = [call("slow", "c1"), call("quick", "c2"), call("broken", "c3")]
    with pytest.raises(UserError, match=r"^Error running tool broken: no$") as caught:
        await run(agent_of([calls], slow, quick, broken))
    assert isinstance(caught.value.__cause__, ValueError)
    assert log == ["slow cleaned up"]
    data = caught.value.run_data
    assert data is not None
    assert [(item.type, item.call_id) for item in data.new_items] == [  # type: ignore[union-attr]
        ("tool_call_item", "c2"),
        ("tool_call_output_item", "c2"),
    ]
    assert len(data.raw_responses) == 1
    if run.streamed:
        assert run.item_events == ["agent:a", "tool_called", "tool_called", "tool_called", "tool_output"]


@covers("S-32")
async def test_of_several_failures_the_first_in_call_order_is_raised_with_the_others_as_cause(run: Any) -> None:
    gate = Gate()

    @function_tool(failure_error_function=None)
    async def fail(n: int) -> str:
        try:
            await gate.wait()
        finally:
            raise ValueError(n)

    @function_tool(failure_error_function=None)
    async def agents_exception() -> str:
        gate.open()
        raise ModelBehaviorError("mine")

    with pytest.raises(UserError, match="tool fail: 1"):
        gate.open()
        await run(agent_of([[call("fail", "c1", n=1), call("fail", "c2", n=2)]], fail))
    with pytest.raises(ModelBehaviorError, match=r"^mine$") as caught:
        await run(agent_of([[call("agents_exception")]], agents_exception))
    assert caught.value.run_data is not None


@covers("S-32", "RC-12")
async def test_after_a_failure_waiting_calls_never_start(run: Any) -> None:
    log: list[int] = []

    @function_tool(failure_error_function=None)
    async def work(n: int) -> int:
        log.append(n)
        await anyio.sleep(1)
        raise ValueError(n)

    config = RunConfig(tool_execution=ToolExecutionConfig(max_function_tool_concurrency=1))
    with pytest.raises(UserError, match="work: 0"):
        await run(agent_of([[call("work", f"c{n}", n=n) for n in range(3)]], work), run_config=config)
    assert log == [0]


@covers("S-34")
async def test_a_call_id_runs_once(run: Any) -> None:
    ran: list[str] = []

    @function_tool
    async def work(q: str) -> str:
        ran.append(q)
        return q

    twice = call("work", "c1", q="x")
    result = await run(agent_of([[twice, twice], "done"], work))
    assert ran == ["x"]
    assert result.items == ["tool_call_item", "tool_call_output_item", "message_output_item"]
    ran.clear()
    result = await run(agent_of([[twice], [twice], "done"], work))
    assert ran == ["x"]
    assert result.final_output == "done"
    with pytest.raises(ModelBehaviorError, match="c1"):
        await run(agent_of([[twice], [call("work", "c1", q="y")]], work))


@covers("S-34")
@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ('{"q":"x","n":1}', '{ "n": 1, "q" : "x" }', True),
        ('{"q":"x","n":1}', '{"q":"x","n":1.0}', False),
        ('{"q":"x","n":1}', '{"q":"x","n":true}', False),
        ("no json", "no  json", False),
    ],
)
async def test_a_call_is_repeated_when_its_arguments_are_the_same_json(
    run: Any, first: str, second: str, same: bool
) -> None:
    ran: list[str] = []

    @function_tool(strict_mode=False)
    async def work(q: str, n: float) -> None:
        ran.append(q)

    replies = [[function_call("work", arguments, call_id="c1")] for arguments in (first, second)]
    if same:
        assert (await run(agent_of([*replies, "done"], work))).final_output == "done"
        assert ran == ["x"]
    else:
        with pytest.raises(ModelBehaviorError, match="two different calls"):
            await run(agent_of(replies, work))


@covers("S-34")
async def test_the_reasoning_right_before_a_repeated_call_goes_with_it(run: Any) -> None:
    work = function_tool(lambda: "worked", name_override="work")
    thought, other = ResponseReasoningItem(id="r1", summary=[]), ResponseReasoningItem(id="r2", summary=[])
    replies = [[call("work", "c1")], [thought, call("work", "c1"), other, call("work", "c2")], "done"]
    result = await run(agent_of(replies, work))
    assert [item.raw_item for item in result.result.new_items if item.type == "reasoning_item"] == [other]


@covers("S-34")
async def test_the_output_names_the_program_that_made_the_call(run: Any) -> None:
    caller: Any = {"type": "program", "caller_id": "p1"}
    asked = ResponseFunctionToolCall(arguments="{}", call_id="c1", name="look", caller=caller)
    programs = [dataclasses.replace(look, allowed_callers=["programmatic"]), ProgrammaticToolCallingTool()]
    result = await run(agent_of([[asked], "done"], *programs))
    (output,) = [item.raw_item for item in result.result.new_items if item.type == "tool_call_output_item"]
    assert output == {"call_id": "c1", "output": "saw ", "type": "function_call_output", "caller": caller}
    assert ItemHelpers.tool_call_output_item(asked, "saw ") == output


@covers("S-17")
async def test_the_model_has_ended_also_when_its_reply_calls_what_was_not_offered(run: Any) -> None:
    ended: list[str] = []

    class Hooks(RunHooks[Any]):
        async def on_llm_end(self, context: Any, agent: Any, response: Any) -> None:
            ended.append(agent.name)

    with pytest.raises(ModelBehaviorError, match="missing"):
        await run(agent_of([[call("missing", "c1")]]), hooks=Hooks())
    assert len(ended) == 1
    with pytest.raises(ModelBehaviorError, match="without a call id"):
        await run(agent_of([[call("missing", "c1"), call("work", "")]]), hooks=Hooks())
    assert len(ended) == 1


@covers("S-35", "FT-7", "ER-4")
@pytest.mark.parametrize("arguments", ["no json", "[1]", "{}", '{"n": "one"}', ""])
async def test_bad_arguments_go_to_the_failure_function(run: Any, arguments: str) -> None:
    seen: list[Exception] = []

    def explain(context: Any, error: Exception) -> str:
        seen.append(error)
        return "bad arguments"

    @function_tool(failure_error_function=explain)
    async def work(n: int) -> int:
        return n

    bad = function_call("work", arguments, call_id="c1")
    result = await run(agent_of([[bad], "done"], work))
    assert outputs(result) == ["bad arguments"]
    assert isinstance(seen[0], ModelBehaviorError)
    default = function_tool(work.__wrapped__)
    text = outputs(await run(agent_of([[bad], "done"], default)))[0]
    assert text.startswith(FAILED), "what follows is about the arguments, which are the model's own"


@covers("S-36", "RC-11", "ER-4")
async def test_an_unknown_tool_fails_the_turn_before_any_sibling_runs(run: Any) -> None:
    ran: list[str] = []

    @function_tool
    async def work() -> str:
        ran.append("work")
        return "worked"

    with pytest.raises(ModelBehaviorError, match=r"^Tool nothing not found in agent a$") as caught:
        await run(agent_of([[call("work"), call("nothing", "c2")]], work))
    assert ran == []
    assert caught.value.run_data is not None
    assert caught.value.run_data.new_items == []
    config = RunConfig(tool_not_found_behavior="return_error_to_model")
    result = await run(agent_of([[call("nothing", "c2"), call("work")], "done"], work), run_config=config)
    assert result.final_output == "done"
    assert outputs(result) == ["Tool 'nothing' not found.", "worked"]
    assert ran == ["work"]


@covers("S-36", "FT-11", "AG-8")
async def test_a_disabled_tool_is_hidden_and_unknown(run: Any) -> None:
    async def enabled(context: Any, agent: Any) -> bool:
        await checkpoint()
        return bool(context.context)

    hidden = function_tool(is_enabled=False, name_override="hidden")(look.__wrapped__)
    some = function_tool(is_enabled=enabled, name_override="some")(look.__wrapped__)
    agent = agent_of(["done", "done", [call("hidden")]], hidden, some, look)
    await run(agent, context=True)
    await run(agent, context=False)
    model: Any = agent.model
    assert [[tool.name for tool in one.tools] for one in model.calls] == [["some", "look"], ["look"]]
    assert [tool.name for tool in await agent.get_all_tools(RunContextWrapper(True))] == ["some", "look"]
    with pytest.raises(ModelBehaviorError, match="Tool hidden not found"):
        await run(agent)


@covers("S-40", "AG-9")
async def test_run_llm_again_always_asks_the_model_again(run: Any) -> None:
    assert (await run(agent_of([[call(q="x")], "done"], look))).final_output == "done"


@covers("S-41", "AG-9", "S-44")
async def test_stop_on_first_tool_answers_with_the_first_call_and_runs_all(run: Any) -> None:
    ran: list[int] = []

    @function_tool
    async def work(n: int) -> int:
        await anyio.sleep(10 - n)
        ran.append(n)
        return n

    calls = [call("work", "c1", n=1), call("work", "c2", n=2)]
    result = await run(agent_of([calls], work, tool_use_behavior="stop_on_first_tool"))
    assert result.final_output == "1"
    assert ran == [2, 1]
    structured = await run(agent_of([calls], work, tool_use_behavior="stop_on_first_tool", output_type=list[int]))
    assert structured.final_output == 1, "the value itself, unchecked"


@covers("S-42", "AG-9")
async def test_stop_at_tools_answers_with_the_first_listed_tool(run: Any) -> None:
    other = function_tool(name_override="other")(look.__wrapped__)
    behavior = StopAtTools(stop_at_tool_names=["other"])
    calls = [call("look", "c1", q="1"), call("other", "c2", q="2"), call("other", "c3", q="3")]
    assert (await run(agent_of([calls], look, other, tool_use_behavior=behavior))).final_output == "saw 2"
    model = [[call("look")], "done"]
    assert (await run(agent_of(model, look, other, tool_use_behavior=behavior))).final_output == "done"


@covers("S-43", "FT-14", "AG-9")
async def test_a_function_decides_from_context_and_results(run: Any) -> None:
    seen: list[Any] = []

    async def decide(context: RunContextWrapper[Any], results: list[Any]) -> ToolsToFinalOutputResult:
        seen.append([(one.tool.name, one.output, one.run_item.call_id) for one in results])
        assert context.context == 7
        return ToolsToFinalOutputResult(len(seen) == 2, {"n": len(seen)})

    calls = [[call("look", "c1", q="1"), call("look", "c2", q="2")], [call("look", "c3")]]
    result = await run(agent_of(calls, look, tool_use_behavior=decide), context=7)
    assert result.final_output == "{'n': 2}"
    assert seen == [[("look", "saw 1", "c1"), ("look", "saw 2", "c2")], [("look", "saw ", "c3")]]
    with pytest.raises(UserError, match="ToolsToFinalOutputResult"):
        await run(agent_of([[call()]], look, tool_use_behavior=lambda context, results: True))


@covers("S-44")
async def test_a_rejected_call_under_stop_on_first_tool_ends_the_run_with_the_rejection(run: Any) -> None:
    @function_tool(needs_approval=True)
    async def risky() -> str:
        return "done"

    agent = agent_of([[call("risky")]], risky, tool_use_behavior="stop_on_first_tool")
    paused = await run(agent)
    state = paused.to_state()
    state.reject(paused.interruptions[0], rejection_message="not today")
    assert (await run(agent, state)).final_output == "not today"


@covers("FT-1", "FT-3", "FT-4", "FT-5")
async def test_a_function_becomes_a_tool_with_a_strict_schema(run: Any) -> None:
    @function_tool
    def fetch(context: RunContextWrapper[str], city: str, days: int = 3) -> str:
        """Fetch the weather.

        Args:
            city: where.
        """
        return f"{context.context} {city} {days}"

    @function_tool(name_override="other", description_override="Other.")
    def renamed(city: str) -> str:
        return city

    assert (fetch.name, fetch.description) == ("fetch", "Fetch the weather.")
    assert (renamed.name, renamed.description) == ("other", "Other.")
    schema = fetch.params_json_schema
    assert set(schema["properties"]) == {"city", "days"}
    assert schema["properties"]["city"]["description"] == "where."
    assert (schema["required"], schema["additionalProperties"]) == (["city", "days"], False)
    model = [[call("fetch", city="Graz", days=1)], "done"]
    assert outputs(await run(agent_of(model, fetch), context="ctx")) == ["ctx Graz 1"]


@covers("FT-2", "ER-5", "CX-3")
async def test_a_hand_built_tool_gets_context_and_text_and_its_exceptions_propagate(run: Any) -> None:
    seen: list[Any] = []

    async def invoke(context: ToolContext[Any], arguments: str) -> Any:
        seen.append((context.tool_name, context.tool_call_id, context.context, json.loads(arguments)))
        if json.loads(arguments)["q"] == "fail":
            raise ValueError("bad")
        return {"value": 1}

    schema = {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}
    tool = FunctionTool("mine", "Mine.", schema, invoke)
    result = await run(agent_of([[call("mine", q="x")], "done"], tool), context=7)
    assert seen == [("mine", "c1", 7, {"q": "x"})]
    assert outputs(result) == [{"value": 1}]
    assert result.new_items[1].raw_item["output"] == "{'value': 1}"
    with pytest.raises(UserError, match="Error running tool mine: bad"):
        await run(agent_of([[call("mine", q="fail")]], tool))


@covers("FT-6", "FT-10")
@pytest.mark.real_clock
async def test_sync_tools_run_beside_each_other_in_threads(run: Any) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    variable.set("copied")
    barrier = threading.Barrier(2, timeout=10)

    @function_tool
    def work() -> str:
        barrier.wait()
        assert threading.current_thread() is not threading.main_thread()
        return variable.get()

    result = await run(agent_of([[call("work", "c1"), call("work", "c2")], "done"], work))
    assert outputs(result) == ["copied", "copied"]


@covers("FT-9", "ER-8")
async def test_a_tool_past_its_timeout_is_told_to_the_model_or_raised(run: Any) -> None:
    async def never() -> str:
        await anyio.sleep(100)
        return ""

    def told(context: Any, error: Exception) -> str:
        assert isinstance(error, ToolTimeoutError)
        return f"{error.tool_name} after {error.timeout_seconds}"

    default = function_tool(name_override="t1", timeout=2)(never)
    worded = function_tool(name_override="t2", timeout=2, timeout_error_function=told)(never)
    raising = function_tool(name_override="t3", timeout=2, timeout_behavior="raise_exception")(never)
    start = anyio.current_time()
    result = await run(agent_of([[call("t1", "c1"), call("t2", "c2")], "done"], default, worded))
    assert outputs(result) == ["Tool 't1' timed out after 2 seconds.", "t2 after 2"]
    assert anyio.current_time() - start == pytest.approx(2, abs=0.1)
    with pytest.raises(ToolTimeoutError) as caught:
        await run(agent_of([[call("t3")]], raising))
    assert (caught.value.tool_name, caught.value.timeout_seconds) == ("t3", 2)
    assert caught.value.run_data is not None
    for wrong in (0, -1, True, float("nan")):
        with pytest.raises((ValueError, TypeError, UserError)):
            function_tool(timeout=wrong)(never)


@covers("IT-13")
async def test_what_a_tool_returns_becomes_text_or_structured_parts(run: Any) -> None:
    from agentrun import ToolOutputText

    values: list[Any] = [None, 0, [], "text", ToolOutputText(text="part"), {"type": "text", "text": "dict"}]

    @function_tool
    async def give(n: int) -> Any:
        return values[n]

    calls = [call("give", f"c{n}", n=n) for n in range(len(values))]
    result = await run(agent_of([calls, "done"], give))
    wires = [item.raw_item["output"] for item in result.new_items if item.type == "tool_call_output_item"]
    assert wires == [
        *("None", "0", "[]", "text"),
        [{"type": "input_text", "text": "part"}],
        [{"type": "input_text", "text": "dict"}],
    ]
    assert outputs(result) == values


@covers("CX-3")
def test_a_tool_context_takes_usage_and_the_call_by_place() -> None:
    usage, agent = Usage(), Agent[Any](name="a")
    context = ToolContext(None, usage, "look", "c1", '{"q": "x"}', None, agent=agent, turn_input=[])
    assert (context.usage, context.agent, context.tool_call) == (usage, agent, None)
    assert (context.tool_name, context.tool_call_id, context.tool_arguments) == ("look", "c1", '{"q": "x"}')
    with pytest.raises(TypeError, match="needs tool_name, tool_call_id and tool_arguments"):
        ToolContext(None, usage, "look")
