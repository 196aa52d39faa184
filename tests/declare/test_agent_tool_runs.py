"""Running agents as tools: what nested runs inherit, return and stream, how they end (AT-2 to AT-6, S-75, S-77)."""

from __future__ import annotations

import dataclasses
import enum
import json
import logging
from typing import Annotated, Any, Literal

import anyio
import pytest

from agentrun import (
    Agent,
    AgentToolStreamEvent,
    AgentUpdatedStreamEvent,
    GuardrailFunctionOutput,
    InputGuardrailTripwireTriggered,
    MaxTurnsExceeded,
    RunConfig,
    RunContextWrapper,
    RunHooks,
    Runner,
    ToolContext,
    UserError,
    function_tool,
    input_guardrail,
    output_guardrail,
)
from agentrun._schema import Meta
from agentrun.testing import Gate, ModelStep, ScriptedModel, assistant_message, function_call

CALL = {"input": "what is new?"}


def call(name: str = "expert", arguments: Any = CALL, call_id: str = "call_1") -> list[Any]:
    return [function_call(name, arguments, call_id=call_id)]


def expert(*steps: Any, **fields: Any) -> Agent[Any]:
    return Agent("expert", model=ScriptedModel(list(steps)), **fields)


def caller(*tools: Any, steps: list[Any] | None = None) -> Agent[Any]:
    return Agent("caller", model=ScriptedModel(steps or [call(), "done"]), tools=list(tools))


def tool_output(result: Any) -> Any:
    (output,) = [item.output for item in result.new_items if item.type == "tool_call_output_item"]
    return output


# AT-2, S-75: what is shared and what is not


async def test_the_nested_agent_gets_the_argument_as_its_input_and_its_final_output_is_the_tools() -> None:
    nested = expert("nothing")
    result = await Runner.run(caller(nested.as_tool("expert", "Knows")), "hello")
    assert tool_output(result) == "nothing"
    assert result.final_output == "done"
    assert nested.model.calls[0].input == [{"content": "what is new?", "role": "user"}]  # type: ignore[union-attr]


async def test_context_and_usage_are_shared_and_items_and_replies_are_not() -> None:
    seen: list[Any] = []

    @function_tool
    def note(context: RunContextWrapper[Any]) -> str:
        seen.append((context.context, context.tool_input))
        return "noted"

    nested = expert(call("note", {}), "nothing", tools=[note])
    context = {"customer": "ada"}
    result = await Runner.run(caller(nested.as_tool("expert", None)), "hello", context=context)
    assert seen == [(context, None)]
    assert seen[0][0] is context
    assert result.context_wrapper.usage.requests == 4
    assert len(result.raw_responses) == 2
    assert [item.type for item in result.new_items] == [
        "tool_call_item",
        "tool_call_output_item",
        "message_output_item",
    ]


async def test_the_callers_configuration_reaches_the_nested_run_unless_it_has_its_own() -> None:
    shared = ScriptedModel([call(), "from the shared model", "done"])
    nested = expert("from its own model")
    config = RunConfig(model=shared)
    assert tool_output(await Runner.run(caller(nested.as_tool("expert", None)), "x", run_config=config)) == (
        "from the shared model"
    )
    own = nested.as_tool("expert", None, run_config={"workflow_name": "nested"})
    outer = Agent("caller", tools=[own])
    config = RunConfig(model=ScriptedModel([call(), "done"]))
    assert tool_output(await Runner.run(outer, "x", run_config=config)) == "from its own model"


async def test_a_configured_guardrail_watches_nested_runs_too() -> None:
    judged: list[Any] = []

    @input_guardrail
    def watch(context: RunContextWrapper[Any], agent: Agent[Any], given: Any) -> GuardrailFunctionOutput:
        judged.append(agent.name)
        return GuardrailFunctionOutput(None, False)

    config = RunConfig(input_guardrails=[watch])
    await Runner.run(caller(expert("nothing").as_tool("expert", None)), "x", run_config=config)
    assert judged == ["caller", "expert"]


async def test_hooks_see_the_tool_and_only_hooks_of_its_own_see_the_nested_run() -> None:
    class Watch(RunHooks[Any]):
        def __init__(self) -> None:
            self.seen: list[str] = []

        async def on_agent_start(self, context: Any, agent: Agent[Any]) -> None:
            self.seen.append(f"start {agent.name}")

        async def on_tool_start(self, context: Any, agent: Agent[Any], tool: Any) -> None:
            self.seen.append(f"tool {tool.name}")

    outer_hooks, nested_hooks = Watch(), Watch()
    agent = caller(expert("nothing").as_tool("expert", None, hooks=nested_hooks))
    await Runner.run(agent, "x", hooks=outer_hooks)
    assert outer_hooks.seen == ["start caller", "tool expert"]
    assert nested_hooks.seen == ["start expert"]


async def test_max_turns_counts_for_each_nested_run_alone_and_none_is_no_limit() -> None:
    @function_tool
    def again() -> str:
        return "again"

    def looping(turns: int) -> Agent[Any]:
        steps = [call("again", {}, f"call_{turn}") for turn in range(turns - 1)]
        return expert(*steps, "at last", tools=[again])

    assert tool_output(await Runner.run(caller(looping(10).as_tool("expert", None)), "x")) == "at last"
    assert "at last" not in tool_output(await Runner.run(caller(looping(11).as_tool("expert", None)), "x"))
    unlimited = looping(25).as_tool("expert", None, max_turns=None)
    assert tool_output(await Runner.run(caller(unlimited), "x", max_turns=2)) == "at last"


async def test_two_calls_of_one_agent_run_side_by_side() -> None:
    slow = [ModelStep(output=(text,), delay=[1.0]) for text in ("one", "two")]
    nested = Agent("expert", model=ScriptedModel(slow))
    both = [*call(call_id="call_1"), *call(call_id="call_2")]
    started = anyio.current_time()
    result = await Runner.run(caller(nested.as_tool("expert", None), steps=[both, "done"]), "x")
    outputs = [item.output for item in result.new_items if item.type == "tool_call_output_item"]
    assert sorted(outputs) == ["one", "two"]
    assert anyio.current_time() - started == pytest.approx(1)


# AT-3: failure


async def test_a_failed_nested_run_is_told_to_the_model_without_internals() -> None:
    nested = expert(RuntimeError("secret path"))
    output = tool_output(await Runner.run(caller(nested.as_tool("expert", None)), "x"))
    assert "error" in output
    assert "secret" not in output


async def test_a_failure_function_words_the_failure() -> None:
    nested = expert(call("again", {}), tools=[function_tool(lambda: "x", name_override="again")])

    def word(context: RunContextWrapper[Any], error: Exception) -> str:
        return f"gave up: {type(error).__name__}"

    tool = nested.as_tool("expert", None, max_turns=1, failure_error_function=word)
    assert tool_output(await Runner.run(caller(tool), "x")) == "gave up: MaxTurnsExceeded"


async def test_without_a_failure_function_the_failure_ends_the_calling_run_as_itself() -> None:
    nested = expert(call("again", {}), tools=[function_tool(lambda: "x", name_override="again")])
    tool = nested.as_tool("expert", None, max_turns=1, failure_error_function=None)
    with pytest.raises(MaxTurnsExceeded):
        await Runner.run(caller(tool), "x")


async def test_a_tripwire_of_a_nested_run_is_a_failure_of_the_tool() -> None:
    @input_guardrail
    def never(context: RunContextWrapper[Any], agent: Agent[Any], given: Any) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput("never", True)

    nested = expert("nothing", "nothing", input_guardrails=[never])
    output = tool_output(await Runner.run(caller(nested.as_tool("expert", None)), "x"))
    assert "error" in output
    with pytest.raises(InputGuardrailTripwireTriggered):
        await Runner.run(caller(nested.as_tool("expert", None, failure_error_function=None)), "x")


@pytest.mark.parametrize("arguments", ["", "{", "[]", "{}", '{"input": 7}', '{"input": "x", "more": 1}'])
async def test_wrong_arguments_are_told_to_the_model_and_start_no_nested_run(arguments: str) -> None:
    nested = expert()
    agent = caller(nested.as_tool("expert", None), steps=[call(arguments=arguments), "done"])
    assert "error" in tool_output(await Runner.run(agent, "x"))
    assert not nested.model.calls  # type: ignore[union-attr]


# AT-4: output


async def test_an_extractor_makes_the_output_from_the_result_and_sees_the_call() -> None:
    async def extract(result: Any) -> str:
        invocation = result.agent_tool_invocation
        return f"{invocation.tool_name} {invocation.tool_call_id} {invocation.tool_arguments}: {result.final_output}"

    tool = expert("nothing").as_tool("expert", None, custom_output_extractor=extract)
    assert tool_output(await Runner.run(caller(tool), "x")) == 'expert call_1 {"input":"what is new?"}: nothing'


async def test_a_structured_output_stays_the_python_value() -> None:
    nested = expert('{"response": [1, 2]}', output_type=list[int])
    assert tool_output(await Runner.run(caller(nested.as_tool("expert", None)), "x")) == [1, 2]


@pytest.mark.parametrize(
    ("last_turns", "expected"),
    [
        ([[assistant_message("let me see"), *call("look", {})], [assistant_message("")]], "found it"),
        ([[assistant_message("")]], ""),
    ],
)
async def test_an_empty_answer_gives_the_last_thing_said_or_found(last_turns: list[Any], expected: str) -> None:
    @function_tool
    def look() -> str:
        return "found it"

    nested = expert(*last_turns, tools=[look])
    assert tool_output(await Runner.run(caller(nested.as_tool("expert", None)), "x")) == expected


async def test_an_empty_answer_that_a_guardrail_let_pass_stays_empty() -> None:
    @output_guardrail
    def fine(context: RunContextWrapper[Any], agent: Agent[Any], output: Any) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(None, False)

    @function_tool
    def look() -> str:
        return "secret"

    nested = expert(call("look", {}), [assistant_message("")], tools=[look], output_guardrails=[fine])
    assert tool_output(await Runner.run(caller(nested.as_tool("expert", None)), "x")) == ""


# AT-5: structured arguments


@dataclasses.dataclass
class Order:
    """A translation order."""

    text: str
    language: str = "de"


async def test_structured_arguments_reach_the_nested_agent_as_data_and_its_tools_as_tool_input() -> None:
    seen: list[Any] = []

    @function_tool
    def note(context: RunContextWrapper[Any]) -> str:
        seen.append(context.tool_input)
        return "noted"

    nested = expert(call("note", {}), "hallo", tools=[note])
    agent = caller(nested.as_tool("expert", None, parameters=Order), steps=[call(arguments={"text": "hi"}), "done"])
    assert tool_output(await Runner.run(agent, "x")) == "hallo"
    (item,) = nested.model.calls[0].input  # type: ignore[union-attr]
    assert json.loads(item["content"]) == {"text": "hi", "language": "de"}
    assert seen == [{"text": "hi", "language": "de"}]


@dataclasses.dataclass
class Question:
    input: str


@pytest.mark.parametrize("options", [{"include_input_schema": True}, {"parameters": Question}])
async def test_a_text_alone_reaches_the_nested_agent_as_it_is(options: dict[str, Any]) -> None:
    nested = expert("nothing")
    await Runner.run(caller(nested.as_tool("expert", None, **options)), "x")
    assert nested.model.calls[0].input == [{"content": "what is new?", "role": "user"}]  # type: ignore[union-attr]


class Tone(enum.Enum):
    PLAIN = "plain"
    FORMAL = "formal"


@dataclasses.dataclass
class Term:
    word: str


@dataclasses.dataclass
class Letter:
    tone: Tone
    kind: Literal["note"]
    language: Literal["de", "fr"]
    terms: list[Term]
    pages: int | None
    lines: Annotated[int, Meta(description="how long")]


async def test_the_fields_of_structured_arguments_are_told_in_words() -> None:
    seen: list[Any] = []

    def build(options: Any) -> str:
        seen.append(options["summary"].splitlines())
        return "x"

    tool = expert("hallo").as_tool("expert", None, parameters=Letter, input_builder=build)
    given: dict[str, Any] = {"tone": "plain", "kind": "note", "language": "de", "terms": [], "pages": None, "lines": 3}
    await Runner.run(caller(tool, steps=[call(arguments=given), "done"]), "x")
    assert seen == [
        [
            '- tone (one of "plain", "formal")',
            '- kind ("note")',
            '- language (one of "de", "fr")',
            "- terms (array of Term)",
            "- pages (integer or null)",
            "- lines (integer): how long",
        ]
    ]


async def test_structured_arguments_are_checked() -> None:
    nested = expert()
    agent = caller(nested.as_tool("expert", None, parameters=Order), steps=[call(arguments={"text": 1}), "done"])
    assert "argument `text`: expected string" in tool_output(await Runner.run(agent, "x"))


async def test_an_input_builder_makes_the_nested_input() -> None:
    seen: list[Any] = []

    async def build(options: Any) -> list[Any]:
        seen.append(options)
        return [{"role": "user", "content": f"translate {options['params']['text']}"}]

    nested = expert("hallo")
    tool = nested.as_tool("expert", None, parameters=Order, input_builder=build, include_input_schema=True)
    await Runner.run(caller(tool, steps=[call(arguments={"text": "hi"}), "done"]), "x")
    assert nested.model.calls[0].input == [{"role": "user", "content": "translate hi"}]  # type: ignore[union-attr]
    assert seen[0]["params"] == {"text": "hi", "language": "de"}
    assert seen[0]["summary"] is None
    assert seen[0]["json_schema"]["title"] == "Order"


async def test_an_input_builder_that_returns_nothing_is_a_wrong_use() -> None:
    def build(options: Any) -> Any:
        return None

    tool = expert().as_tool("expert", None, input_builder=build, failure_error_function=None)
    with pytest.raises(
        UserError, match=r"agent tool 'expert': its input_builder returned None, expected a str or a list"
    ):
        await Runner.run(caller(tool), "x")


# AT-6: streaming


async def test_on_stream_gets_every_event_of_the_nested_run_in_order() -> None:
    seen: list[AgentToolStreamEvent] = []

    async def watch(event: AgentToolStreamEvent) -> None:
        await anyio.sleep(0.1)
        seen.append(event)

    target = Agent("second", model=ScriptedModel(["hallo"]))
    nested = expert(call("transfer_to_second", {}), handoffs=[target])
    result = await Runner.run(caller(nested.as_tool("expert", None, on_stream=watch)), "x")
    assert tool_output(result) == "hallo"
    kinds = [event["event"].type for event in seen]
    assert kinds[0] == "agent_updated_stream_event"
    assert kinds[-1] == "run_item_stream_event"
    assert kinds.count("agent_updated_stream_event") == 2
    assert (seen[0]["agent"].name, seen[-1]["agent"].name) == ("expert", "second")
    assert {event["tool_call"].call_id for event in seen if event["tool_call"] is not None} == {"call_1"}


@pytest.mark.parametrize("shown", ["neither", "model", "tool", "both"])
async def test_a_sync_handler_that_fails_is_logged_and_changes_nothing(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, shown: str
) -> None:
    monkeypatch.setenv("AGENTRUN_DONT_LOG_MODEL_DATA", "0" if shown in ("model", "both") else "1")
    monkeypatch.setenv("AGENTRUN_DONT_LOG_TOOL_DATA", "0" if shown in ("tool", "both") else "1")
    calls: list[Any] = []

    def watch(event: AgentToolStreamEvent) -> None:
        calls.append(event)
        raise ZeroDivisionError("watching failed")

    with caplog.at_level(logging.ERROR, "agentrun"):
        result = await Runner.run(caller(expert("nothing").as_tool("expert", None, on_stream=watch)), "x")
    assert tool_output(result) == "nothing"
    assert len(calls) > 2
    assert "on_stream handler of agent tool 'expert' failed with ZeroDivisionError; the run goes on" in caplog.text
    # What an event holds may be in the exception's text
    assert ("watching failed" in caplog.text) == (shown == "both")


async def test_a_handler_that_falls_too_far_behind_cancels_the_nested_run_and_fails_the_call() -> None:
    handler = Gate()

    async def watch(event: AgentToolStreamEvent) -> None:
        await handler.wait()

    nested = Agent("expert", model=ScriptedModel(["a long text " * 50]))
    tool = nested.as_tool("expert", None, on_stream=watch, on_stream_max_pending_events=2, failure_error_function=None)
    with pytest.raises(UserError, match="agent tool 'expert': its on_stream handler is 2 events behind"):
        await Runner.run(caller(tool), "x")
    told = nested.as_tool("expert", None, on_stream=watch, on_stream_max_pending_events=2)
    nested.model = ScriptedModel(["a long text " * 50])
    assert "error" in tool_output(await Runner.run(caller(told), "x"))


async def test_events_that_come_all_at_once_are_no_backlog_for_a_handler_that_waits_for_nothing() -> None:
    seen: list[str] = []

    async def watch(event: AgentToolStreamEvent) -> None:
        seen.append(event["event"].type)

    tool = expert("a long text " * 50).as_tool("expert", None, on_stream=watch, on_stream_max_pending_events=1)
    assert tool_output(await Runner.run(caller(tool), "x")) == "a long text " * 50
    assert len(seen) > 5


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_test_may_put_a_run_of_its_own_in_the_place_of_the_runner(
    monkeypatch: pytest.MonkeyPatch, streamed: bool
) -> None:
    asked: list[Any] = []
    seen: list[Any] = []

    class Answer:
        final_output = "made up"

        async def stream_events(self) -> Any:
            yield AgentUpdatedStreamEvent(nested)

    async def run(starting_agent: Any, input: Any, **options: Any) -> Answer:
        asked.append(input)
        return Answer()

    def run_streamed(starting_agent: Any, input: Any, **options: Any) -> Answer:
        asked.append(input)
        return Answer()

    nested = expert()
    tool = nested.as_tool("expert", None, on_stream=seen.append if streamed else None)
    monkeypatch.setattr(Runner, "run", run)
    monkeypatch.setattr(Runner, "run_streamed", run_streamed)
    context = ToolContext(None, tool_name="expert", tool_call_id="call_1", tool_arguments=json.dumps(CALL))
    assert await tool.on_invoke_tool(context, json.dumps(CALL)) == "made up"
    assert asked == ["what is new?"] and [told["agent"] for told in seen] == [nested] * streamed


async def test_the_formatter_of_the_run_words_no_failures_of_agent_tools() -> None:
    def extract(result: Any) -> Any:
        raise ValueError("secret")

    def reword(args: Any) -> str:
        raise AssertionError("asked")

    tool = expert("nothing").as_tool("expert", None, custom_output_extractor=extract)
    result = await Runner.run(caller(tool), "x", run_config=RunConfig(tool_error_formatter=reword))
    assert tool_output(result) == "An error occurred while running the tool. Please try again."


async def test_the_events_before_a_failure_are_told_before_it() -> None:
    seen: list[str] = []

    async def watch(event: AgentToolStreamEvent) -> None:
        await anyio.sleep(0.1)
        seen.append(event["event"].type)

    nested = Agent("expert", model=ScriptedModel([ModelStep.raise_error(RuntimeError("broke"), after=3)]))
    tool = nested.as_tool("expert", None, on_stream=watch, failure_error_function=None)
    with pytest.raises(Exception, match="broke"):
        await Runner.run(caller(tool), "x")
    assert seen == ["agent_updated_stream_event", *["raw_response_event"] * 3]


async def test_what_is_no_exception_in_a_handler_leaves_as_itself() -> None:
    class Stop(BaseException):
        pass

    def watch(event: AgentToolStreamEvent) -> None:
        raise Stop

    with pytest.raises(BaseException) as caught:  # noqa: PT011 - the run's own nurseries may wrap it
        await Runner.run(caller(expert("nothing").as_tool("expert", None, on_stream=watch)), "x")
    assert isinstance(caught.value, Stop)


# S-76: approvals


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_nested_run_that_waits_for_an_approval_makes_the_caller_wait(streamed: bool) -> None:
    @function_tool(needs_approval=True)
    def delete() -> str:
        return "deleted"

    def watch(event: AgentToolStreamEvent) -> None: ...

    nested = expert(call("delete", {}, "call_2"), "all gone", tools=[delete])
    agent = caller(nested.as_tool("expert", None, on_stream=watch if streamed else None))
    paused = await Runner.run(agent, "x")
    assert [item.tool_name for item in paused.interruptions] == ["delete"]
    assert paused.final_output is None
    state = paused.to_state()
    state.approve(state.get_interruptions()[0])
    result = await Runner.run(agent, state)
    assert (tool_output(result), result.final_output) == ("all gone", "done")


# S-77: cancellation


@pytest.mark.parametrize("streamed", [False, True])
async def test_cancelling_the_calling_run_cancels_the_nested_run_and_its_tools(streamed: bool) -> None:
    ended: list[str] = []
    running = anyio.Event()

    @function_tool
    async def wait() -> str:
        running.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("tool")
        return ""

    def watch(event: AgentToolStreamEvent) -> None: ...

    nested = expert(call("wait", {}), tools=[wait])
    tool = nested.as_tool("expert", None, on_stream=watch if streamed else None)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as nursery:

            async def run() -> None:
                await Runner.run(caller(tool), "x")

            nursery.start_soon(run)
            await running.wait()
            nursery.cancel_scope.cancel()
    assert ended == ["tool"]
