"""semantics.md N: usage; features 15, US."""

# Callbacks here are written as a user would write them, without types.
# pyright: reportUnknownLambdaType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from agentrun import Agent, ModelRetryAdvice, RequestUsage, RunHooks, Usage, function_tool
from agentrun._responses import InputTokensDetails, OutputTokensDetails
from agentrun.testing import ModelStep, ScriptedModel, function_call

covers = pytest.mark.covers


@function_tool
async def look(q: str = "") -> str:
    return f"saw {q}"


def call(name: str = "look", call_id: str = "c1", **arguments: Any) -> Any:
    return function_call(name, arguments, call_id=call_id)


def tokens(given: int, made: int) -> Usage:
    return Usage(
        requests=1,
        input_tokens=given,
        input_tokens_details=InputTokensDetails(cached_tokens=1),
        output_tokens=made,
        output_tokens_details=OutputTokensDetails(reasoning_tokens=2),
        total_tokens=given + made,
    )


@covers("S-90", "US-1", "US-2", "US-3")
async def test_usage_adds_up_over_the_calls_with_an_entry_for_each(run: Any) -> None:
    seen: list[int] = []

    class Hooks(RunHooks[Any]):
        async def on_llm_end(self, context: Any, agent: Any, response: Any) -> None:
            seen.append(context.usage.requests)

    steps = [ModelStep.respond([call()], usage=tokens(10, 5)), ModelStep.respond("done", usage=tokens(20, 7))]
    result = await run(Agent(name="a", model=ScriptedModel(steps), tools=[look]), hooks=Hooks())
    usage = result.context_wrapper.usage
    assert (usage.requests, usage.input_tokens, usage.output_tokens, usage.total_tokens) == (2, 30, 12, 42)
    assert usage.input_tokens_details.cached_tokens == 2
    assert usage.output_tokens_details.reasoning_tokens == 4
    assert [(one.input_tokens, one.output_tokens, one.total_tokens) for one in usage.request_usage_entries] == [
        *((10, 5, 15), (20, 7, 27))
    ]
    assert seen == [1, 2]
    assert [response.usage.total_tokens for response in result.raw_responses] == [15, 27]


@covers("S-90", "US-3")
async def test_failed_attempts_count_as_requests_with_empty_entries_before_the_success(run: Any) -> None:
    safe = ModelRetryAdvice(suggested=True, replay_safety="safe", retry_after=0.0)
    steps = [
        ModelStep.raise_error(ConnectionError("lost"), retry_advice=safe),
        ModelStep.respond("done", usage=tokens(10, 5)),
    ]
    result = await run(Agent(name="a", model=ScriptedModel(steps)))
    usage = result.context_wrapper.usage
    assert usage.requests == 2
    assert [entry.total_tokens for entry in usage.request_usage_entries] == [0, 15]


@covers("S-91", "RS-8", "US-3")
async def test_a_state_has_a_usage_of_its_own(run: Any) -> None:
    @function_tool(needs_approval=True)
    async def risky() -> str:
        return "ok"

    steps = [ModelStep.respond([call("risky")], usage=tokens(10, 5)), ModelStep.respond("done", usage=tokens(20, 7))]
    agent = Agent(name="a", model=ScriptedModel(steps), tools=[risky])
    paused = await run(agent)
    state = paused.to_state()
    state.approve(paused.interruptions[0])
    result = await run(agent, state)
    assert paused.context_wrapper.usage.total_tokens == 15
    assert result.context_wrapper.usage.total_tokens == 42
    assert len(paused.context_wrapper.usage.request_usage_entries) == 1


@covers("US-1", "US-2")
def test_add_sums_and_makes_entries_as_documented() -> None:
    total = Usage()
    total.add(tokens(10, 5))
    total.add(Usage(requests=1))
    both = Usage()
    both.add(tokens(1, 1))
    both.add(tokens(2, 2))
    total.add(both)
    assert (total.requests, total.total_tokens) == (4, 21)
    assert [entry.total_tokens for entry in total.request_usage_entries] == [15, 2, 4]
    several = Usage(requests=3, input_tokens=9, total_tokens=9)
    total.add(several)
    assert (total.requests, len(total.request_usage_entries)) == (7, 3)
    loose = Usage(input_tokens_details=None, output_tokens_details=None)
    assert (loose.input_tokens_details.cached_tokens, loose.output_tokens_details.reasoning_tokens) == (0, 0)


@covers("US-3")
async def test_usage_is_per_run(run: Any) -> None:
    steps = [ModelStep.respond("one", usage=tokens(1, 1)), ModelStep.respond("two", usage=tokens(2, 2))]
    agent = Agent(name="a", model=ScriptedModel(steps))
    first, second = await run(agent), await run(agent)
    assert first.context_wrapper.usage.total_tokens == 2
    assert second.context_wrapper.usage.total_tokens == 4


@covers("US-1")
def test_a_sum_shares_nothing_with_what_was_added_to_it() -> None:
    for source in (tokens(10, 5), Usage(requests=2, request_usage_entries=[RequestUsage(1, 2, 3)])):
        total = Usage()
        total.add(source)
        expected = total.copy()
        source.input_tokens_details.cached_tokens = source.output_tokens_details.reasoning_tokens = 99
        for entry in source.request_usage_entries:
            entry.input_tokens = entry.input_tokens_details.cached_tokens = 99
        assert total == expected
        total.input_tokens_details.cached_tokens = 7
        total.request_usage_entries[0].output_tokens_details.reasoning_tokens = 7
        assert expected.input_tokens_details.cached_tokens != 7
        assert expected.request_usage_entries[0].output_tokens_details.reasoning_tokens != 7


@covers("US-1")
def test_details_of_another_library_are_taken_over() -> None:
    given: Any = SimpleNamespace(cached_tokens=50, cache_write_tokens=7, audio_tokens=None)
    made: Any = SimpleNamespace(reasoning_tokens=None, audio_tokens=1)
    usage = Usage(requests=1, input_tokens_details=given, output_tokens_details=made)
    assert usage.input_tokens_details == InputTokensDetails(cached_tokens=50, cache_write_tokens=7)
    assert usage.output_tokens_details == OutputTokensDetails(reasoning_tokens=0)
