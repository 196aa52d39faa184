"""features.md 2 to 5, 9 to 12: what of runs, results, configuration, errors and handoffs goes beyond daily use."""

# Callbacks here are written as a user would write them, without types.
# pyright: reportUnknownLambdaType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingParameterType=false

from __future__ import annotations

import logging
from typing import Any

import pytest

from agentrun import (
    Agent,
    GuardrailFunctionOutput,
    HandoffInputData,
    InMemorySession,
    InputItem,
    ModelBehaviorError,
    OutputGuardrailTripwireTriggered,
    RunConfig,
    RunContextWrapper,
    Runner,
    RunState,
    SessionSettings,
    ToolErrorFormatterArgs,
    ToolExecutionConfig,
    ToolGuardrailFunctionOutput,
    Usage,
    UserError,
    function_tool,
    get_conversation_history_wrappers,
    handoff,
    input_guardrail,
    nest_handoff_history,
    output_guardrail,
    reset_conversation_history_wrappers,
    run_data,
    set_conversation_history_wrappers,
    tool_input_guardrail,
)
from agentrun.extensions.handoff_prompt import RECOMMENDED_PROMPT_PREFIX, prompt_with_handoff_instructions
from agentrun.testing import ScriptedModel, assistant_message, function_call, reasoning

covers = pytest.mark.covers


def call(name: str = "look", call_id: str = "c1", **arguments: Any) -> Any:
    return function_call(name, arguments, call_id=call_id)


@function_tool
async def look(q: str = "") -> str:
    return f"saw {q}"


def agent_of(steps: list[Any], *tools: Any, **fields: Any) -> Agent[Any]:
    return Agent(name=fields.pop("name", "a"), model=ScriptedModel(steps), tools=list(tools), **fields)


def outputs(result: Any) -> list[Any]:
    return [item.output for item in result.new_items if item.type == "tool_call_output_item"]


def inputs_of(agent: Any, number: int = -1) -> list[Any]:
    found: list[Any] = agent.model.calls[number].input
    return found


# Runner and context


@covers("RN-6")
async def test_a_dict_configures_a_run_and_everything_inside_it_and_unknown_keys_are_errors(run: Any) -> None:
    agent = agent_of(["done"])
    await run(
        agent,
        run_config={
            "model_settings": {"temperature": 0.5, "retry": {"max_retries": 2, "backoff": {"initial_delay": 1}}},
            "session_settings": {"limit": 3},
            "tool_execution": {"max_function_tool_concurrency": 1},
        },
    )
    settings = agent.model.calls[0].model_settings  # type: ignore[union-attr]
    assert (settings.temperature, settings.retry.max_retries, settings.retry.backoff.initial_delay) == (0.5, 2, 1)
    config = RunConfig.coerce({"session_settings": {"limit": 3}, "tool_execution": {}})
    assert (config.session_settings, config.tool_execution) == (SessionSettings(3), ToolExecutionConfig())
    for wrong, named in (
        ({"workflow": "x"}, "workflow"),
        ({"model_settings": {"temprature": 1}}, "temprature"),
        ({"model_settings": {"retry": {"retries": 1}}}, "retries"),
        ({"session_settings": {"limits": 1}}, "limits"),
        ({"tool_execution": {"concurrency": 1}}, "concurrency"),
        (3, "3"),
    ):
        with pytest.raises(TypeError, match=named):
            await run(agent, run_config=wrong)


@covers("CX-5")
async def test_a_wrapper_given_as_the_context_is_the_one_the_run_uses(run: Any) -> None:
    seen: list[Any] = []

    @function_tool
    async def who(ctx: RunContextWrapper[str]) -> str:
        seen.append((ctx.context, ctx.usage))
        return ctx.context

    wrapper = RunContextWrapper("ada", Usage(requests=2))
    agent = agent_of([[call("who")], "done"], who)
    result = await run(agent, context=wrapper)
    assert result.context_wrapper is wrapper
    assert seen == [("ada", wrapper.usage)]
    assert seen[0][1] is wrapper.usage
    assert wrapper.usage.requests == 4


# Results and items


@covers("RS-12")
async def test_a_streamed_result_shows_what_its_run_failed_with() -> None:
    fine = Runner.run_streamed(agent_of(["done"]), "hi")
    assert fine.run_loop_exception is None
    async with fine:
        await fine.wait()
    assert fine.run_loop_exception is None

    failing = Runner.run_streamed(agent_of([ConnectionError("cut")]), "hi")
    with pytest.raises(ConnectionError, match="cut") as raised:
        async with failing:
            await failing.wait()
    assert failing.run_loop_exception is raised.value

    stopped = Runner.run_streamed(agent_of(["done"]), "hi")
    async with stopped:
        async for _ in stopped.stream_events():
            stopped.cancel()
    assert stopped.run_loop_exception is None


@covers("RS-13")
@pytest.mark.parametrize("nested_streams", [False, True])
async def test_the_result_of_a_nested_run_says_which_call_it_was_made_for(run: Any, nested_streams: bool) -> None:
    seen: list[Any] = []

    async def extract(result: Any) -> str:
        seen.append(result.agent_tool_invocation)
        return "extracted"

    options: dict[str, Any] = {"on_stream": lambda event: None} if nested_streams else {}
    tool = agent_of(["inner"], name="inner").as_tool("ask", "Ask", custom_output_extractor=extract, **options)
    result = await run(agent_of([[call("ask", "c7", input="x")], "done"], tool))
    assert outputs(result) == ["extracted"]
    assert [(one.tool_name, one.tool_call_id, one.tool_arguments) for one in seen] == [("ask", "c7", '{"input":"x"}')]
    assert result.agent_tool_invocation is None


@covers("IT-8")
async def test_input_added_to_a_paused_run_is_judged_sent_and_kept_as_an_item(run: Any) -> None:
    judged: list[Any] = []

    @input_guardrail
    async def watch(ctx: Any, agent: Any, given: Any) -> GuardrailFunctionOutput:
        judged.append(given)
        return GuardrailFunctionOutput(None, False)

    tool = function_tool(name_override="risky", needs_approval=True)(look.__wrapped__)
    agent = agent_of([[call("risky", q="x")], "done"], tool, input_guardrails=[watch])
    paused = await run(agent)
    state = paused.to_state()
    state.add_input("and be quick")
    state.approve(state.get_interruptions()[0])
    state = await RunState.from_string(agent, state.to_string())
    result = await run(agent, state)
    (item,) = [item for item in result.new_items if isinstance(item, InputItem)]
    assert (item.type, item.to_input_item()) == ("input_item", {"content": "and be quick", "role": "user"})
    assert item.input_id
    assert inputs_of(agent)[-1] == {"content": "and be quick", "role": "user"}
    assert result.final_output == "done"
    assert len(judged) == 2
    assert "and be quick" in str(judged[1])


# Configuration


def team(*first: Any, **options: Any) -> tuple[Agent[Any], Agent[Any]]:
    second = agent_of(["bye"], name="second")
    steps = [[*first, assistant_message("passing on"), function_call("transfer_to_second", {}, call_id="h1")]]
    return agent_of([[call(q="x")], *steps], look, handoffs=[handoff(second, **options)]), second


@covers("RC-5", "HO-8")
async def test_a_nested_history_is_one_summary_and_the_result_keeps_everything(run: Any) -> None:
    first, second = team()
    result = await run(first, "help me", run_config=RunConfig(nest_handoff_history=True))
    summary, spoken, moved = inputs_of(second)
    assert summary["role"] == "assistant"
    start, end = get_conversation_history_wrappers()
    assert (start, end) == ("<CONVERSATION HISTORY>", "</CONVERSATION HISTORY>")
    lines = summary["content"].splitlines()
    inside = lines[lines.index(start) + 1 : lines.index(end)]
    assert inside[0] == "1. user: help me"
    assert [line.split(".")[0] for line in inside] == ["1", "2", "3"]
    assert "passing on" in str(spoken["content"])
    assert "transfer_to_second" in moved["content"]
    assert not any(item.get("type") in ("function_call", "function_call_output") for item in inputs_of(second))
    assert result.items == [
        "tool_call_item",
        "tool_call_output_item",
        "message_output_item",
        "handoff_call_item",
        "handoff_output_item",
        "message_output_item",
    ]


@covers("RC-5", "HO-8")
async def test_a_mapper_makes_the_history_and_a_handoff_overrides_the_configuration(run: Any) -> None:
    seen: list[Any] = []

    def mapper(items: list[Any]) -> list[Any]:
        seen.append([item.get("type", item.get("role")) for item in items])
        return [{"role": "user", "content": "in short"}]

    config = RunConfig(nest_handoff_history=True, handoff_history_mapper=mapper)
    first, second = team()
    await run(first, run_config=config)
    assert inputs_of(second) == [{"role": "user", "content": "in short"}]
    assert len(seen) == 1
    assert seen[0][0] == "user"
    first, second = team(nest_handoff_history=False)
    await run(first, run_config=config)
    assert inputs_of(second)[0] == {"content": "hi", "role": "user"}
    first, second = team(nest_handoff_history=True)
    await run(first)
    assert inputs_of(second)[0]["role"] == "assistant"


@covers("HO-8")
async def test_the_marks_of_a_summary_can_be_set_and_set_back() -> None:
    set_conversation_history_wrappers(start="<<", end=">>")
    try:
        nested = nest_handoff_history(HandoffInputData("hello", (), ()))
        (summary,) = list(nested.input_history)
        assert isinstance(summary, dict)
        assert summary["content"].splitlines()[-3:] == ["<<", "1. user: hello", ">>"]
    finally:
        reset_conversation_history_wrappers()
    assert get_conversation_history_wrappers() == ("<CONVERSATION HISTORY>", "</CONVERSATION HISTORY>")


@covers("HO-9")
def test_the_recommended_words_on_handoffs_come_before_the_prompt() -> None:
    prompt = prompt_with_handoff_instructions("Help with bills.")
    assert prompt.startswith(RECOMMENDED_PROMPT_PREFIX)
    assert prompt.endswith("\n\nHelp with bills.")


@covers("HO-10")
async def test_a_conversation_that_the_provider_keeps_is_neither_filtered_nor_judged_at_its_end(run: Any) -> None:
    first, _ = team(input_filter=lambda data: data)
    with pytest.raises(UserError, match="filter"):
        await run(first, conversation_id="conv_1")
    first, _ = team()
    with pytest.raises(UserError, match="filter"):
        await run(first, previous_response_id="r0", run_config=RunConfig(handoff_input_filter=lambda data: data))

    @output_guardrail
    async def judge(ctx: Any, agent: Any, output: Any) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(None, False)

    agent = agent_of(["done"], output_guardrails=[judge])
    with pytest.raises(UserError, match="output guardrail"):
        await run(agent, conversation_id="conv_1")
    assert not agent.model.calls  # type: ignore[union-attr]


@covers("HO-10")
async def test_nesting_a_conversation_that_the_provider_keeps_only_warns(
    run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = team()
    with caplog.at_level(logging.WARNING, "agentrun"):
        result = await run(first, conversation_id="conv_1", run_config=RunConfig(nest_handoff_history=True))
    assert result.final_output == "bye"
    assert "nest_handoff_history" in caplog.text
    assert not any(item.get("role") == "assistant" for item in inputs_of(second))


@covers("RC-10")
async def test_a_formatter_words_refused_unknown_and_failed_calls(run: Any) -> None:
    asked: list[Any] = []

    def word(args: ToolErrorFormatterArgs[Any]) -> str:
        error = type(args.error).__name__ if args.error is not None else None
        asked.append((args.kind, args.tool_type, args.tool_name, args.call_id, error))
        return f"{args.kind}: {args.default_message}"

    @function_tool(needs_approval=True)
    async def risky() -> str:
        return "never"

    @function_tool
    async def broken() -> str:
        raise ValueError("inside")

    @function_tool(failure_error_function=lambda ctx, error: "own words")
    async def worded() -> str:
        raise ValueError("inside")

    reply = [call("risky", "c1"), call("missing", "c2"), call("broken", "c3"), call("worded", "c4")]
    agent = agent_of([reply, "done"], risky, broken, worded)
    config = RunConfig(tool_error_formatter=word, tool_not_found_behavior="return_error_to_model")
    paused = await run(agent, run_config=config)
    state = paused.to_state()
    state.reject(state.get_interruptions()[0])
    result = await run(agent, state, run_config=config)
    said = {item.call_id: item.output for item in result.new_items if item.type == "tool_call_output_item"}
    assert said == {
        "c1": "approval_rejected: Tool execution was not approved.",
        "c2": "tool_not_found: Tool 'missing' not found.",
        "c3": "tool_exception: An error occurred while running the tool. Please try again.",
        "c4": "own words",
    }
    assert sorted(asked) == [
        ("approval_rejected", "function", "risky", "c1", None),
        ("tool_exception", "function", "broken", "c3", "ValueError"),
        ("tool_not_found", "function", "missing", "c2", None),
    ]


@covers("RC-10")
@pytest.mark.parametrize("answer", [None, 3, ValueError("no words")])
async def test_a_formatter_without_an_answer_leaves_the_default_text(run: Any, answer: Any) -> None:
    async def word(args: ToolErrorFormatterArgs[Any]) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    agent = agent_of([[call("missing")], "done"])
    config = RunConfig(tool_error_formatter=word, tool_not_found_behavior="return_error_to_model")
    assert outputs(await run(agent, run_config=config)) == ["Tool 'missing' not found."]


@covers("RC-13")
async def test_of_two_things_of_one_name_one_is_offered_and_a_warning_says_so_once(
    run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    other = agent_of(["bye"], name="other")
    same = function_tool(name_override="transfer_to_other")(look.__wrapped__)
    reply = [function_call("transfer_to_other", {}, call_id="h1")]
    agent = agent_of([[call(q="1")], reply], look, same, handoffs=[other])
    with caplog.at_level(logging.WARNING, "agentrun"):
        result = await run(agent)
    assert result.last_agent is other
    assert len([record for record in caplog.records if "transfer_to_other" in record.getMessage()]) == 1
    offered = agent.model.calls[0]  # type: ignore[union-attr]
    assert [tool.name for tool in offered.tools] == ["look"]
    assert [one.tool_name for one in offered.handoffs] == ["transfer_to_other"]
    agent = agent_of(["never"], same, handoffs=[other])
    with pytest.raises(UserError, match="transfer_to_other"):
        await run(agent, run_config=RunConfig(tool_name_collision_policy="error"))
    assert not agent.model.calls  # type: ignore[union-attr]


@covers("RC-13")
async def test_two_handoffs_of_one_name_collide_too(run: Any, caplog: pytest.LogCaptureFixture) -> None:
    first, last = (Agent(name="other", model=ScriptedModel([who])) for who in ("first", "last"))
    agent = agent_of([[call("transfer_to_other", "h")]], handoffs=[first, last])
    with caplog.at_level(logging.WARNING, "agentrun"):
        assert (await run(agent)).final_output == "last"
    assert len([record for record in caplog.records if "transfer_to_other" in record.getMessage()]) == 1
    with pytest.raises(UserError, match="transfer_to_other"):
        await run(agent.clone(model=ScriptedModel([])), run_config=RunConfig(tool_name_collision_policy="error"))


def _reasoning_ids(items: Any) -> list[Any]:
    return [item.get("id") for item in items if item.get("type") == "reasoning"]


@covers("RC-14")
@pytest.mark.parametrize("policy", [None, "preserve", "omit"])
async def test_ids_of_reasoning_items_are_kept_or_left_out_of_what_the_run_makes(run: Any, policy: Any) -> None:
    kept = policy != "omit"
    mine = [{"type": "reasoning", "id": "rs_mine", "summary": []}, {"role": "user", "content": "hi"}]
    tool = function_tool(name_override="risky", needs_approval=True)(look.__wrapped__)
    agent = agent_of([[reasoning("hm"), call("risky", q="x")], "done"], tool)
    paused = await run(agent, mine, run_config=RunConfig(reasoning_item_id_policy=policy))
    state = paused.to_state()
    state.approve(state.get_interruptions()[0])
    # The policy goes on with the state, also when the resumed run says nothing about it.
    result = await run(agent, await RunState.from_string(agent, state.to_string()))
    expected = ["rs_mine", "scripted-reasoning" if kept else None]
    assert _reasoning_ids(inputs_of(agent)) == expected
    assert _reasoning_ids(result.to_input_list()) == expected


@covers("RC-14")
async def test_a_state_can_be_told_what_becomes_of_the_ids_of_reasoning_items(run: Any) -> None:
    tool = function_tool(name_override="risky", needs_approval=True)(look.__wrapped__)
    agent = agent_of([[reasoning("hm"), call("risky", q="x")], "done"], tool)
    state: RunState[Any, Agent[Any]] = (await run(agent)).to_state()
    state.approve(state.get_interruptions()[0])
    state.set_reasoning_item_id_policy("omit")
    with pytest.raises(ValueError, match="'maybe'"):
        state.set_reasoning_item_id_policy("maybe")  # type: ignore[arg-type]
    result = await run(agent, state)
    assert _reasoning_ids(result.to_input_list()) == _reasoning_ids(inputs_of(agent)) == [None]
    model = ScriptedModel([[reasoning("hm"), call("risky", q="x")], "done"])
    state = (await run(agent.clone(model=model))).to_state()
    state.approve(state.get_interruptions()[0])
    await run(agent.clone(model=model), state, run_config=RunConfig(reasoning_item_id_policy="omit"))
    assert _reasoning_ids(model.calls[1].input) == [None]


@covers("RC-14")
async def test_ids_of_reasoning_items_that_a_session_kept_are_left_out_too(run: Any) -> None:
    session = InMemorySession()
    await run(agent_of([[reasoning("hm"), call()], "done"], look), session=session)
    agent = agent_of(["done"], look)
    await run(agent, session=session, run_config=RunConfig(reasoning_item_id_policy="omit"))
    assert _reasoning_ids(inputs_of(agent)) == [None]
    assert _reasoning_ids(await session.get_items()) == ["scripted-reasoning"]


# Errors and guardrails


@covers("ER-10")
@pytest.mark.parametrize("hidden", ["0", "1"])
async def test_errors_of_what_a_model_wrote_keep_their_details_whatever_may_be_logged(
    run: Any, hidden: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MODEL", "TOOL"):
        monkeypatch.setenv(f"OPENAI_AGENTS_DONT_LOG_{name}_DATA", hidden)
    agent = agent_of(['{"response": "x"}'], output_type=int)
    with pytest.raises(ModelBehaviorError, match="response") as raised:
        await run(agent)
    assert raised.value.run_data is not None
    assert raised.value.run_data.last_agent is agent
    assert raised.value.__cause__ is not None
    strict = function_tool(name_override="strict", failure_error_function=None)(look.__wrapped__)
    agent = agent_of([[call("strict", q=3)]], strict)
    with pytest.raises(ModelBehaviorError, match="q") as raised:
        await run(agent)
    assert raised.value.__cause__ is not None
    assert run_data(raised.value) is raised.value.run_data is not None


@covers("GR-11")
@pytest.mark.parametrize("before", [False, True])
async def test_tool_input_guardrails_run_after_an_approval_and_before_it_where_configured(
    run: Any, before: bool
) -> None:
    judged: list[str] = []

    @tool_input_guardrail
    async def watch(data: Any) -> ToolGuardrailFunctionOutput:
        judged.append(data.context.tool_arguments)
        if "bad" in data.context.tool_arguments:
            return ToolGuardrailFunctionOutput.reject_content("not that")
        return ToolGuardrailFunctionOutput.allow()

    tool = function_tool(name_override="risky", needs_approval=True, tool_input_guardrails=[watch])(look.__wrapped__)
    agent = agent_of([[call("risky", "c1", q="good"), call("risky", "c2", q="bad")], "done"], tool)
    config = RunConfig(tool_execution=ToolExecutionConfig(pre_approval_tool_input_guardrails=before))
    paused = await run(agent, run_config=config)
    assert [item.call_id for item in paused.interruptions] == (["c1"] if before else ["c1", "c2"])
    assert len(judged) == (2 if before else 0)
    state = paused.to_state()
    for item in state.get_interruptions():
        state.approve(item)
    result = await run(agent, state, run_config=config)
    said = {item.call_id: item.output for item in result.new_items if item.type == "tool_call_output_item"}
    assert said == {"c1": "saw good", "c2": "not that"}
    assert sum("good" in one for one in judged) == (2 if before else 1)
    assert sum("bad" in one for one in judged) == 1


@covers("HO-8", "RS-6")
async def test_a_message_that_the_nested_history_holds_word_for_word_is_not_told_twice(run: Any) -> None:
    first, _ = team()
    result = await run(first, "help me", run_config=RunConfig(nest_handoff_history=True))
    summary, spoken, moved, *own = result.to_input_list()
    assert [summary["role"], spoken["type"], moved["role"]] == ["assistant", "message", "assistant"]
    assert [item["type"] for item in own] == [
        "function_call",
        "function_call_output",
        "function_call",
        "function_call_output",
        "message",
    ]
    assert result.to_input_list(mode="normalized") == [summary, spoken, moved, own[-1]]
    loaded = await RunState.from_string(first, result.to_state().to_string())
    assert len(loaded.new_items) == len(result.new_items) == 6


@covers("RC-15")
@pytest.mark.parametrize("is_function", [False, True])
async def test_the_text_in_the_place_of_a_withheld_tool_output_can_be_chosen(run: Any, is_function: bool) -> None:
    @output_guardrail
    async def judge(ctx: Any, agent: Any, output: Any) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(None, True)

    message: Any = "withheld"
    if is_function:
        message = lambda args: f"{args.guardrail_name}, {args.agent.name}: {args.default_message}"  # noqa: E731
    session = InMemorySession()
    agent = agent_of([[call()]], look, tool_use_behavior="stop_on_first_tool", output_guardrails=[judge])
    with pytest.raises(OutputGuardrailTripwireTriggered) as raised:
        await run(agent, session=session, run_config=RunConfig(output_guardrail_blocked_message=message))
    said = "judge, a: Output withheld by an output guardrail." if is_function else "withheld"
    assert outputs(raised.value.run_data) == [said]
    assert [item["output"] for item in await session.get_items() if "output" in item] == [said]


@covers("RC-15")
@pytest.mark.parametrize("answer", [None, "", 7, ValueError("no words")])
async def test_a_formatter_without_words_for_a_withheld_output_leaves_the_default_ones(run: Any, answer: Any) -> None:
    @output_guardrail
    async def judge(ctx: Any, agent: Any, output: Any) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(None, True)

    def word(args: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    agent = agent_of([[call()]], look, tool_use_behavior="stop_on_first_tool", output_guardrails=[judge])
    with pytest.raises(OutputGuardrailTripwireTriggered) as raised:
        await run(agent, run_config=RunConfig(output_guardrail_blocked_message=word))
    assert outputs(raised.value.run_data) == ["Output withheld by an output guardrail."]
