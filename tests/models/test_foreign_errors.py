"""What a policy is told of the errors that a caller's own model raises, in the words of whatever library it uses."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from agentrun import Agent, ModelRetrySettings, ModelSettings, Runner, retry_policies
from agentrun._exceptions import ModelStatusError, ModelTimeoutError, ModelTransportError
from agentrun._retry import ModelRetryAdvice, ModelRetryAdviceRequest, normalize_error
from agentrun.models._advice import retry_advice
from agentrun.testing import ScriptedModel

REQUEST = httpx.Request("POST", "https://example.com")


class APIConnectionError(Exception):
    """Made like the errors of the openai library and its kin."""


class APITimeoutError(APIConnectionError):
    pass


class APIStatusError(Exception):
    def __init__(self, status: int, **headers: str) -> None:
        super().__init__("no")
        self.response = httpx.Response(status, headers=headers, request=REQUEST)
        self.status_code = status
        self.request_id = "req_1"
        self.code = "busy"


class WrappedError(Exception):
    pass


def wrapped(cause: Exception) -> Exception:
    error = WrappedError("could not ask the model")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "network", "timeout"),
    [
        (APIConnectionError("down"), True, False),
        (APITimeoutError("slow"), True, True),
        (httpx.ConnectError("down"), True, False),
        (httpx.ReadTimeout("slow"), True, True),
        (ConnectionResetError("down"), True, False),
        (TimeoutError("slow"), False, True),
        (wrapped(httpx.ReadError("down")), True, False),
        (ModelTransportError("down"), True, False),
        (ModelTimeoutError(3, "idle"), False, True),
        (ValueError("bad"), False, False),
    ],
)
def test_a_broken_connection_is_known_whatever_library_reports_it(error: Any, network: bool, timeout: bool) -> None:
    found = normalize_error(error, None)
    assert (found.is_network_error, found.is_timeout) == (network, timeout)
    assert (found.status_code, found.retry_after, found.message) == (None, None, str(error))


def test_a_status_is_found_with_what_the_provider_said_beside_it() -> None:
    for error in (APIStatusError(429, **{"retry-after": "7"}), wrapped(APIStatusError(429, **{"retry-after": "7"}))):
        found = normalize_error(error, None)
        assert (found.status_code, found.error_code, found.request_id, found.retry_after) == (429, "busy", "req_1", 7)
        assert normalize_error(error, ModelRetryAdvice(retry_after=2)).retry_after == 2
    found = normalize_error(httpx.HTTPStatusError("no", request=REQUEST, response=httpx.Response(503)), None)
    assert (found.status_code, found.is_network_error) == (503, False)


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_policy_for_broken_connections_covers_a_model_of_the_callers_own(streamed: bool) -> None:
    model = ScriptedModel([APIConnectionError("down"), "done"])
    retry = ModelRetrySettings(max_retries=1, policy=retry_policies.network_error(), backoff={"initial_delay": 0})
    agent = Agent[Any](name="a", model=model, model_settings=ModelSettings(retry=retry))
    if streamed:
        async with Runner.run_streamed(agent, "hi") as result:
            async for _ in result.stream_events():
                pass
        assert result.context_wrapper.usage.requests == 2
    else:
        assert (await Runner.run(agent, "hi")).context_wrapper.usage.requests == 2


def test_a_conversation_that_another_request_holds_is_worth_another_attempt() -> None:
    body = b'{"error": {"code": "conversation_locked", "message": "busy"}}'
    error = ModelStatusError("busy", status=400, headers={}, body=body)
    advice = retry_advice(ModelRetryAdviceRequest(error, 1, stream=False, conversation_id="conv"))
    assert advice is not None
    assert (advice.suggested, advice.replay_safety) == (True, "safe")


class BadRequestError(Exception):
    """Like the openai library's."""

    status_code = 400
    code = "conversation_locked"


@pytest.mark.parametrize("retry", [None, ModelRetrySettings(policy=retry_policies.network_error())])
async def test_a_held_conversation_is_asked_again_whatever_the_policy_is_about(retry: Any) -> None:
    model = ScriptedModel([BadRequestError("locked"), "done"])
    agent = Agent[Any](name="a", model=model, model_settings=ModelSettings(retry=retry))
    result = await Runner.run(agent, "hi")
    assert (result.final_output, result.context_wrapper.usage.requests) == ("done", 2)
    never = ModelSettings(retry=ModelRetrySettings(max_retries=0))
    model = ScriptedModel([BadRequestError("locked"), "done"])
    with pytest.raises(BadRequestError):
        await Runner.run(Agent[Any](name="a", model=model, model_settings=never), "hi")
