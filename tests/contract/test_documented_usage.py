"""The documents' own ways to use results, streams, usage and exceptions, with nothing but the import changed."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from agentrun import (
    Agent,
    GuardrailFunctionOutput,
    InputGuardrailTripwireTriggered,
    ItemHelpers,
    MaxTurnsExceeded,
    ModelSettings,
    OutputGuardrailTripwireTriggered,
    RunContextWrapper,
    Runner,
    TResponseInputItem,
    Usage,
    function_tool,
    input_guardrail,
    output_guardrail,
)
from agentrun.testing import ModelStep, ScriptedModel, function_call


@function_tool
def how_many_jokes() -> int:
    """Return how many jokes to tell."""
    return 2


def joker(*steps: Any, **fields: Any) -> Agent[Any]:
    call = function_call("how_many_jokes", {}, call_id="c1")
    return Agent(name="Joker", model=ScriptedModel(steps or [[call], "two jokes"]), tools=[how_many_jokes], **fields)


async def test_streaming_text_as_it_comes() -> None:
    result = Runner.run_streamed(joker("Why did the chicken?"), input="Please tell me 5 jokes.")
    text = ""
    async for event in result.stream_events():
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
            delta: Any = event.data
            text += delta.delta
    assert text == result.final_output == "Why did the chicken?"


async def test_streaming_items_and_agents() -> None:
    seen: list[str] = []
    result = Runner.run_streamed(joker(), input="Hello")
    async for event in result.stream_events():
        if event.type == "raw_response_event":
            continue
        elif event.type == "agent_updated_stream_event":
            seen.append(f"Agent updated: {event.new_agent.name}")
        elif event.type == "run_item_stream_event":
            if event.item.type == "tool_call_item":
                seen.append(f"Tool was called: {event.item.raw_item.name}")
            elif event.item.type == "tool_call_output_item":
                seen.append(f"Tool output: {event.item.output}")
            elif event.item.type == "message_output_item":
                seen.append(f"Message: {ItemHelpers.text_message_output(event.item)}")
    assert seen == [
        *("Agent updated: Joker", "Tool was called: how_many_jokes", "Tool output: 2", "Message: two jokes")
    ]


async def test_a_conversation_by_hand() -> None:
    agent = joker("San Francisco", "California")
    result = await Runner.run(agent, "What city is the Golden Gate Bridge in?")
    assert result.final_output == "San Francisco"
    new_input = [*result.to_input_list(), {"role": "user", "content": "What state is it in?"}]
    result = await Runner.run(agent, new_input)
    assert result.final_output == "California"


async def test_a_judge_in_a_loop() -> None:
    writer, judge = joker("draft", "better"), joker("fail", "pass")
    items: list[TResponseInputItem] = [{"role": "user", "content": "a story"}]
    rounds = 0
    while True:
        rounds += 1
        story = await Runner.run(writer, items)
        items = story.to_input_list()
        verdict = await Runner.run(judge, items)
        if verdict.final_output == "pass":
            break
        items.append({"content": f"Feedback: {verdict.final_output}", "role": "user"})
    assert rounds == 2
    assert ItemHelpers.text_message_outputs(story.new_items) == "better"


async def test_retrying_round_a_run() -> None:
    agent = joker(ConnectionError("lost"), ConnectionError("lost"), "at last")
    result = None
    for attempt in range(5):
        try:
            result = await Runner.run(agent, "hi")
            break
        except ConnectionError:
            await anyio.sleep(2**attempt)
    assert result is not None
    assert result.final_output == "at last"


async def test_partial_results_of_a_run_out_of_turns() -> None:
    agent = joker()
    partial = None
    try:
        await Runner.run(agent, "hi", max_turns=1)
    except MaxTurnsExceeded as exc:
        partial = exc.run_data
    assert partial is not None
    assert [item.type for item in partial.new_items] == ["tool_call_item", "tool_call_output_item"]
    assert partial.last_agent is agent
    assert partial.context_wrapper.usage.requests == 1
    so_far = ItemHelpers.input_to_new_input_list(partial.input) + [item.to_input_item() for item in partial.new_items]
    result = await Runner.run(agent, so_far)
    assert result.final_output == "two jokes"


async def test_tripwires_are_caught_and_explained() -> None:
    @input_guardrail
    async def maths(
        context: RunContextWrapper[None], agent: Agent[Any], given: str | list[TResponseInputItem]
    ) -> GuardrailFunctionOutput:
        result = await Runner.run(checker, given, context=context.context)
        return GuardrailFunctionOutput(
            output_info=result.final_output, tripwire_triggered=result.final_output == "maths"
        )

    @output_guardrail
    async def rude(context: RunContextWrapper[Any], agent: Agent[Any], output: str) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(output_info=output, tripwire_triggered="fool" in output)

    checker = joker("maths", "fine")
    agent = joker("never", "you fool", input_guardrails=[maths], output_guardrails=[rude])
    with pytest.raises(InputGuardrailTripwireTriggered) as tripped:
        await Runner.run(agent, "solve 2x = 4")
    assert tripped.value.guardrail_result.output.output_info == "maths"
    agent = agent.clone(model=ScriptedModel(["you fool"]))
    with pytest.raises(OutputGuardrailTripwireTriggered) as blocked:
        await Runner.run(agent, "hi")
    assert blocked.value.guardrail_result.guardrail.get_name() == "rude"


async def test_usage_is_on_the_result_per_request_and_summed_by_hand() -> None:
    usage = Usage(requests=1, input_tokens=10, output_tokens=5, total_tokens=15)
    call = function_call("how_many_jokes", {}, call_id="c1")
    agent = joker(ModelStep.respond([call], usage=usage), ModelStep.respond("two", usage=usage))
    result = await Runner.run(agent, "hi")
    spent = result.context_wrapper.usage
    assert (spent.requests, spent.input_tokens, spent.output_tokens, spent.total_tokens) == (2, 20, 10, 30)
    for index, request in enumerate(spent.request_usage_entries):
        assert (index, request.input_tokens, request.output_tokens) == (index, 10, 5)
    total = Usage()
    for response in result.raw_responses:
        total.add(response.usage)
    assert total.total_tokens == spent.total_tokens
    assert len(total.request_usage_entries) == 2


async def test_cancelling_a_stream_from_inside_its_loop() -> None:
    agent = joker()
    result = Runner.run_streamed(agent, "hi")
    async for event in result.stream_events():
        if event.type == "run_item_stream_event" and event.name == "tool_called":
            result.cancel()
    assert result.is_complete
    assert result.final_output is None
    result = Runner.run_streamed(joker(), "hi")
    async for event in result.stream_events():
        if event.type == "run_item_stream_event" and event.name == "tool_output":
            result.cancel(mode="after_turn")
    assert [item.type for item in result.new_items] == ["tool_call_item", "tool_call_output_item"]


async def test_several_runs_at_once_in_a_nursery() -> None:
    outputs: list[str] = []

    async def one(name: str) -> None:
        agent = Agent(name=name, model=ScriptedModel([ModelStep.respond(f"from {name}", delay=1)]))
        outputs.append((await Runner.run(agent, "hi")).final_output)

    async with anyio.create_task_group() as nursery:
        for name in ("a", "b", "c"):
            nursery.start_soon(one, name)
    assert sorted(outputs) == ["from a", "from b", "from c"]


async def test_forcing_a_tool_and_stopping_at_it() -> None:
    agent = joker(
        [function_call("how_many_jokes", {}, call_id="c1")],
        model_settings=ModelSettings(tool_choice="required"),
        tool_use_behavior="stop_on_first_tool",
    )
    result = await Runner.run(agent, "hi")
    assert result.final_output == "2"
