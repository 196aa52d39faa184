"""What retry policies answer together, and what a run makes of it."""

from __future__ import annotations

from typing import Any

import pytest

from agentrun import (
    Agent,
    ModelRetryAdvice,
    ModelRetryNormalizedError,
    ModelRetrySettings,
    ModelSettings,
    ProgrammaticToolCallingTool,
    RetryDecision,
    RetryPolicyContext,
    Runner,
    retry_policies,
)
from agentrun._retry import normalize_error
from agentrun.testing import ScriptedModel


def told(advice: ModelRetryAdvice | None = None, **normalized: Any) -> RetryPolicyContext:
    return RetryPolicyContext(ConnectionError("x"), 1, 2, False, ModelRetryNormalizedError(**normalized), advice)


def approve(context: RetryPolicyContext) -> RetryDecision:
    return RetryDecision(retry=True, approve_unsafe_replay=True)


async def answer(policy: Any, context: RetryPolicyContext) -> RetryDecision:
    found = policy(context)
    decision = found if isinstance(found, RetryDecision) else await found
    return RetryDecision(decision.retry, decision.delay, decision.reason, decision.approve_unsafe_replay)


def test_what_a_model_does_not_know_is_unknown() -> None:
    assert told().replay_safety == "unknown"
    strange: Any = "conditional"
    assert told(ModelRetryAdvice(replay_safety=strange)).replay_safety == "unknown"
    assert told(ModelRetryAdvice(replay_safety="unsafe")).replay_safety == "unsafe"


async def test_of_those_that_say_so_the_last_one_with_a_delay_counts() -> None:
    policy = retry_policies.any(retry_policies.network_error(), retry_policies.retry_after())
    assert await answer(policy, told(is_network_error=True, retry_after=1.75)) == RetryDecision(True, 1.75)
    assert await answer(policy, told(is_network_error=True)) == RetryDecision(True)
    assert await answer(policy, told()) == RetryDecision(False)


async def test_the_wait_may_stand_in_the_advice_alone() -> None:
    assert await answer(retry_policies.retry_after(), told(ModelRetryAdvice(retry_after=3))) == RetryDecision(True, 3)


@pytest.mark.parametrize("combine", [retry_policies.any, retry_policies.all])
async def test_advice_against_an_attempt_counts_more_than_other_policies(combine: Any) -> None:
    against = ModelRetryAdvice(suggested=False, reason="no use")
    policy = combine(approve, retry_policies.provider_suggested())
    assert await answer(policy, told(against)) == RetryDecision(False, reason="no use")
    assert (await answer(policy, told(ModelRetryAdvice(suggested=True)))).retry


@pytest.mark.parametrize("combine", [retry_policies.any, retry_policies.all])
async def test_a_request_that_may_have_had_an_effect_can_be_approved_of(combine: Any) -> None:
    unsafe = ModelRetryAdvice(suggested=False, replay_safety="unsafe", reason="sent")
    approved = await answer(combine(approve, retry_policies.provider_suggested()), told(unsafe))
    assert (approved.retry, approved.approve_unsafe_replay) == (True, True)
    plain = combine(retry_policies.network_error(), retry_policies.provider_suggested())
    assert await answer(plain, told(unsafe, is_network_error=True)) == RetryDecision(False, reason="sent")


async def test_all_ends_with_the_first_that_says_no() -> None:
    policy = retry_policies.all(approve, lambda context: RetryDecision(False, reason="enough"), approve)
    assert await answer(policy, told()) == RetryDecision(False, reason="enough")
    assert await answer(retry_policies.all(), told()) == RetryDecision(False)
    assert (await answer(retry_policies.all(approve, lambda context: True), told())).approve_unsafe_replay


def test_a_model_may_add_to_what_the_exception_says() -> None:
    advice = ModelRetryAdvice(normalized=ModelRetryNormalizedError(error_code="busy"), retry_after=4)
    found = normalize_error(ConnectionError("x"), advice)
    assert (found.error_code, found.is_network_error, found.retry_after, found.message) == ("busy", True, 4, "x")


class Advised(ScriptedModel):
    """A model that fails once and says something about it."""

    advice: ModelRetryAdvice | None = None

    def get_retry_advice(self, request: Any) -> ModelRetryAdvice | None:
        return self.advice


UNSAFE = ModelRetryAdvice(replay_safety="unsafe")
SAFE = ModelRetryAdvice(replay_safety="safe")


@pytest.mark.parametrize(
    ("advice", "streamed", "stateful", "programs", "again"),
    [
        (UNSAFE, False, False, False, True),
        (UNSAFE, True, False, False, False),
        (UNSAFE, False, True, False, True),
        (UNSAFE, False, False, True, False),
        (None, False, False, False, True),
        (None, False, True, False, False),
        (None, False, False, True, False),
        (SAFE, True, True, True, True),
        (ModelRetryAdvice(normalized=ModelRetryNormalizedError(is_abort=True)), False, False, False, False),
    ],
)
async def test_an_approval_covers_what_a_provider_may_have_done_and_no_more(
    advice: ModelRetryAdvice | None, streamed: bool, stateful: bool, programs: bool, again: bool
) -> None:
    model = Advised([ConnectionError("x"), "done"])
    model.advice = advice
    retry = ModelRetrySettings(max_retries=1, policy=approve, backoff={"initial_delay": 0})
    agent = Agent[Any](
        "a",
        model=model,
        model_settings=ModelSettings(retry=retry),
        tools=[ProgrammaticToolCallingTool()] if programs else [],
    )
    options: Any = {"previous_response_id": "resp_1"} if stateful else {}
    try:
        if streamed:
            async with Runner.run_streamed(agent, "hi", **options) as result:
                await result.wait()
        else:
            await Runner.run(agent, "hi", **options)
    except ConnectionError:
        assert not again
    else:
        assert again
    assert len(model.calls) == 1 + again
