"""semantics.md H: error handlers; features 10: exceptions and what they carry."""

# Callbacks here are written as a user would write them, without types.
# pyright: reportUnknownLambdaType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict

import anyio
import pytest

from agentrun import (
    Agent,
    AgentsException,
    GuardrailFunctionOutput,
    InMemorySession,
    InputGuardrailTripwireTriggered,
    ItemHelpers,
    MaxTurnsExceeded,
    ModelBehaviorError,
    ModelRefusalError,
    ModelSettings,
    ModelTimeoutError,
    OutputGuardrailTripwireTriggered,
    RunErrorHandlerResult,
    RunHooks,
    Runner,
    UserError,
    function_tool,
    input_guardrail,
    output_guardrail,
    run_data,
)
from agentrun.testing import ModelStep, ScriptedModel, assistant_message, function_call, hang, refusal

covers = pytest.mark.covers


@function_tool
async def look(q: str = "") -> str:
    return f"saw {q}"


def call(name: str = "look", call_id: str = "c1", **arguments: Any) -> Any:
    return function_call(name, arguments, call_id=call_id)


def agent_of(steps: list[Any], **fields: Any) -> Agent[Any]:
    return Agent(name="a", model=ScriptedModel(steps), tools=[look], **fields)


class Ends(RunHooks[Any]):
    def __init__(self) -> None:
        self.outputs: list[Any] = []

    async def on_agent_end(self, context: Any, agent: Any, output: Any) -> None:
        self.outputs.append(output)


@covers("S-50", "ER-9", "RS-11")
async def test_a_max_turns_handler_supplies_an_output_that_ends_the_run_like_any_other(run: Any) -> None:
    seen: list[Any] = []

    async def handle(data: Any) -> RunErrorHandlerResult:
        seen.append(data)
        return RunErrorHandlerResult("enough")

    @output_guardrail
    def judge(context: Any, agent: Any, output: Any) -> GuardrailFunctionOutput:
        seen.append(output)
        return GuardrailFunctionOutput(None, False)

    hooks = Ends()
    agent = agent_of([[call()]], output_guardrails=[judge])
    result = await run(agent, context=7, max_turns=1, hooks=hooks, error_handlers={"max_turns": handle})
    assert result.final_output == "enough"
    assert result.items == ["tool_call_item", "tool_call_output_item", "message_output_item"]
    assert hooks.outputs == ["enough"]
    data = seen[0]
    assert isinstance(data.error, MaxTurnsExceeded)
    assert data.context.context == 7
    assert data.run_data.input == "hi"
    assert [item.type for item in data.run_data.new_items] == ["tool_call_item", "tool_call_output_item"]
    assert len(data.run_data.history) == 3
    assert len(data.run_data.output) == 2
    assert len(data.run_data.raw_responses) == 1
    assert data.run_data.last_agent is agent
    assert seen[1] == "enough"
    if run.streamed:
        assert result.current_turn == 1


@covers("S-50", "S-53", "ER-9", "ER-3")
async def test_without_a_handler_or_when_it_declines_the_error_is_raised(run: Any) -> None:
    for handlers in (None, {}, {"max_turns": lambda data: None}, {"model_refusal": lambda data: "x"}):
        with pytest.raises(MaxTurnsExceeded) as caught:
            await run(agent_of([[call()]]), max_turns=1, error_handlers=handlers)
        assert caught.value.run_data is not None
        assert len(caught.value.run_data.new_items) == 2


@covers("S-50", "ER-9")
async def test_a_handlers_answer_is_checked(run: Any) -> None:
    async def ask(answer: Any, **fields: Any) -> Any:
        handlers = {"max_turns": lambda data: answer}
        return await run(agent_of([[call()]], **fields), max_turns=1, error_handlers=handlers)

    assert (await ask({"final_output": "x", "include_in_history": False})).items[-1] == "tool_call_output_item"
    assert (await ask({"other": "x"})).final_output == {"other": "x"}
    assert (await ask([1, 2], output_type=list[int])).final_output == [1, 2]
    with pytest.raises(UserError, match="extra"):
        await ask({"final_output": "x", "extra": 1})
    with pytest.raises(UserError, match="output type"):
        await ask("no list", output_type=list[int])


@dataclass
class Score:
    points: int


@covers("S-50", "ER-9")
async def test_the_message_of_a_handlers_output_is_what_a_model_would_have_written(run: Any) -> None:
    async def ask(output: Any, output_type: Any) -> str:
        result = await run(
            agent_of([], output_type=output_type), max_turns=0, error_handlers={"max_turns": lambda data: output}
        )
        assert result.final_output == output
        return ItemHelpers.text_message_outputs(result.new_items)

    assert await ask(["a", "b"], list[str]) == '{"response":["a","b"]}'
    assert await ask([Score(1), Score(2)], list[Score]) == '{"response":[{"points":1},{"points":2}]}'
    assert await ask({"points": 1}, TypedDict("Points", {"points": int})) == '{"points":1}'
    assert await ask({"response": "x"}, TypedDict("Said", {"response": str})) == '{"response":"x"}'
    assert await ask("no time", None) == "no time"


@covers("S-51", "ER-9")
async def test_a_handler_is_shown_the_reply_that_is_no_good(run: Any) -> None:
    async def ask(kind: str, reply: Any) -> Any:
        seen: list[Any] = []
        agent = Agent(name="a", model=ScriptedModel([[call()], reply]), tools=[look], output_type=list[int])
        await run(agent, error_handlers={kind: lambda data: seen.append(data.run_data) or [1]})
        return seen[0]

    for kind, reply in (("invalid_final_output", "no json"), ("model_refusal", [refusal("no")])):
        data = await ask(kind, reply)
        assert [item.type for item in data.new_items] == [
            *("tool_call_item", "tool_call_output_item", "message_output_item"),
        ]
        assert len(data.raw_responses) == 2
        assert [item.get("type", "message") for item in data.history] == [
            *("message", "function_call", "function_call_output", "message"),
        ]


@covers("S-50", "S-61")
async def test_the_input_of_a_run_without_a_single_turn_is_stored(run: Any) -> None:
    session = InMemorySession()
    with pytest.raises(MaxTurnsExceeded):
        await run(agent_of([]), session=session, max_turns=0)
    assert [item["content"] for item in await session.get_items()] == ["hi"]
    session = InMemorySession()
    await run(agent_of([]), session=session, max_turns=0, error_handlers={"max_turns": lambda data: "no time"})
    assert [item.get("role") for item in await session.get_items()] == ["user", "assistant"]


@covers("S-51", "ER-9")
async def test_refusal_and_invalid_output_handlers_end_the_same_turn(run: Any) -> None:
    model = ScriptedModel([[refusal("I will not")]])
    agent = Agent(name="a", model=model)
    result = await run(
        agent, max_turns=1, error_handlers={"model_refusal": lambda data: f"sorry: {data.error.refusal}"}
    )
    assert result.final_output == "sorry: I will not"
    assert len(model.calls) == 1
    assert result.items == ["message_output_item", "message_output_item"]
    model = ScriptedModel(["no json"])
    agent = Agent(name="a", model=model, output_type=list[int])
    result = await run(agent, max_turns=1, error_handlers={"invalid_final_output": lambda data: [1]})
    assert result.final_output == [1]
    assert len(model.calls) == 1
    agent = agent.clone(model=ScriptedModel([""]))
    result = await run(agent, max_turns=1, error_handlers={"invalid_final_output": lambda data: [2]})
    assert result.final_output == [2]
    with pytest.raises(ModelBehaviorError):
        await run(
            agent.clone(model=ScriptedModel(["no json"])), error_handlers={"invalid_final_output": lambda d: None}
        )


@covers("ER-1", "ER-2")
async def test_every_exception_carries_what_the_run_had(run: Any) -> None:
    class Failing(RunHooks[Any]):
        async def on_llm_start(self, context: Any, agent: Any, system_prompt: Any, input_items: Any) -> None:
            if len(input_items) > 1:
                raise LookupError("hook")

    cases: list[tuple[type[BaseException], list[Any], dict[str, Any]]] = [
        (ConnectionError, [[call()], ConnectionError("lost")], {}),
        (MaxTurnsExceeded, [[call()], "never"], {"max_turns": 1}),
        (ModelBehaviorError, [[call()], [call("nothing", "c2")]], {}),
        (LookupError, [[call()], "never"], {"hooks": Failing()}),
        (ModelRefusalError, [[call()], [refusal("no")]], {}),
    ]
    for expected, steps, options in cases:
        agent = agent_of(steps)
        with pytest.raises(expected) as caught:
            await run(agent, "hello", context=7, **options)
        data: Any = caught.value.run_data  # type: ignore[attr-defined]
        assert run_data(caught.value) is caught.value.run_data  # type: ignore[attr-defined]
        assert data.input == "hello"
        assert [item.type for item in data.new_items] == ["tool_call_item", "tool_call_output_item"], expected
        assert len(data.raw_responses) == 1
        assert data.last_agent is agent
        assert data.context_wrapper.context == 7
        assert data.input_guardrail_results == data.output_guardrail_results == []
        assert data.tool_input_guardrail_results == data.tool_output_guardrail_results == []
        assert "RunErrorDetails" in str(data)


def thought(name: str) -> Any:
    return {"type": "reasoning", "id": name, "summary": []}


@covers("ER-1", "S-62")
async def test_a_call_that_ended_beside_one_that_failed_is_kept_with_the_reasoning_right_before_it(run: Any) -> None:
    ended = anyio.Event()

    class Notes(RunHooks[Any]):
        async def on_tool_end(self, context: Any, agent: Any, tool: Any, result: Any) -> None:
            ended.set()

    @function_tool(failure_error_function=None)
    async def send() -> None:
        await ended.wait()
        raise LookupError("no such address")

    reply = [thought("t1"), call("send", "c1"), thought("t2"), thought("t3"), call("look", "c2"), thought("t4")]
    agent = Agent[Any](name="a", model=ScriptedModel([reply, "done"]), tools=[send, look])
    session = InMemorySession()
    with pytest.raises(UserError, match="Error running tool send: no such address") as caught:
        await run(agent, session=session, hooks=Notes())
    assert caught.value.run_data is not None
    kept = [item.to_input_item() for item in caught.value.run_data.new_items]
    assert [item.get("id") or item["type"] for item in kept[:2]] == ["t2", "t3"]
    assert [item["type"] for item in kept[2:]] == ["function_call", "function_call_output"]
    assert kept[2]["call_id"] == "c2"
    assert [dict(item).get("type", "message") for item in await session.get_items()] == [
        *("message", "reasoning", "reasoning", "function_call", "function_call_output"),
    ]


@covers("ER-1", "ER-2", "RS-8")
async def test_a_failed_run_goes_on_from_its_run_data(run: Any) -> None:
    model = ScriptedModel([[call()], ConnectionError("lost"), "done"])
    agent = Agent(name="a", model=model, tools=[look])
    with pytest.raises(ConnectionError) as caught:
        await run(agent, max_turns=2)
    data = run_data(caught.value)
    assert data is not None
    result = await run(agent, data.to_state())
    assert result.final_output == "done"
    assert result.items == ["tool_call_item", "tool_call_output_item", "message_output_item"]
    assert len(data.new_items) == 2


@covers("ER-1")
async def test_run_data_is_found_under_what_else_wraps_the_exception() -> None:
    async def failing() -> None:
        await Runner.run(agent_of([ConnectionError("lost")]), "hi")

    with pytest.raises(BaseExceptionGroup) as caught:
        async with anyio.create_task_group() as nursery:
            nursery.start_soon(failing)
    data = run_data(caught.value)
    assert data is not None
    assert data.input == "hi"
    assert run_data(ValueError("never in a run")) is None
    assert AgentsException("bare").run_data is None


@covers("ER-4")
async def test_replies_that_no_run_can_act_on_are_model_behavior_errors(run: Any) -> None:
    if not run.streamed:
        return
    cut = ModelStep(output=["half"], after=3, stream_events=None)
    with pytest.raises(ModelBehaviorError, match="final response"):
        await run(agent_of([ModelStep.stream([])]))
    for kind in ("response.failed", "response.incomplete"):
        response = {"id": "r", "object": "response", "created_at": 0, "model": "m", "output": [], "status": kind[9:]}
        response |= {"parallel_tool_calls": False, "tool_choice": "auto", "tools": []}
        event = {"type": kind, "response": response, "sequence_number": 0}
        with pytest.raises(ModelBehaviorError, match=kind):
            await run(agent_of([ModelStep.stream([event])]))
    del cut


@covers("ER-6", "ER-1")
async def test_tripwires_have_their_fields(run: Any) -> None:
    @input_guardrail(name="no maths")
    def input_trip(context: Any, agent: Any, given: Any) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput({"reason": "maths"}, True)

    @output_guardrail(name="no answers")
    def output_trip(context: Any, agent: Any, output: Any) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput({"reason": output}, True)

    with pytest.raises(InputGuardrailTripwireTriggered) as caught:
        await run(agent_of(["done"], input_guardrails=[input_trip]))
    verdict = caught.value.guardrail_result
    assert verdict.guardrail.get_name() == "no maths"
    assert verdict.output.output_info == {"reason": "maths"}
    assert verdict.output.tripwire_triggered
    assert caught.value.run_data is not None
    assert caught.value.run_data.input_guardrail_results == [verdict]
    with pytest.raises(OutputGuardrailTripwireTriggered) as blocked:
        await run(agent_of(["done"], output_guardrails=[output_trip]))
    assert blocked.value.guardrail_result.output.output_info == {"reason": "done"}
    assert blocked.value.guardrail_result.agent_output == "done"
    assert blocked.value.run_data is not None
    assert blocked.value.run_data.output_guardrail_results == [blocked.value.guardrail_result]


@covers("ER-8")
async def test_a_model_past_its_timeout_says_how_long_it_was(run: Any) -> None:
    agent = agent_of([hang()], model_settings=ModelSettings(timeout=4))
    start = anyio.current_time()
    with pytest.raises(ModelTimeoutError) as caught:
        await run(agent)
    assert anyio.current_time() - start == pytest.approx(4)
    assert caught.value.timeout_seconds == 4
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.run_data is not None


@covers("ER-9")
async def test_a_failing_handler_raises_its_own_exception(run: Any) -> None:
    def fail(data: Any) -> Any:
        raise LookupError("handler")

    with pytest.raises(LookupError) as caught:
        await run(agent_of([[call()]]), max_turns=1, error_handlers={"max_turns": fail})
    assert run_data(caught.value) is not None


@covers("ER-2", "S-33")
async def test_a_cut_reply_leaves_no_item(run: Any) -> None:
    broken = ModelStep.raise_error(ConnectionError("lost"), output=[assistant_message("half")], after=4)
    with pytest.raises(ConnectionError) as caught:
        await run(agent_of([[call()], broken]))
    data = run_data(caught.value)
    assert data is not None
    assert len(data.new_items) == 2


@covers("S-51", "ER-9")
async def test_a_refusal_that_the_model_raises_asks_the_same_handler(run: Any) -> None:
    handlers = {"model_refusal": lambda data: f"instead of: {data.error.refusal}"}

    result = await run(agent_of([ModelRefusalError("not that")]), error_handlers=handlers)

    assert result.final_output == "instead of: not that"
    assert [item.type for item in result.new_items] == ["message_output_item"]


@covers("ER-8")
def test_what_run_sync_raises_has_no_context_of_ours() -> None:
    with pytest.raises(ModelRefusalError) as caught:
        Runner.run_sync(agent_of([ModelRefusalError("no")]), "hi")

    assert caught.value.__context__ is None
