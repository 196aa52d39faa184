"""The one retry loop, over real sockets: when it tries again, how long it waits, what it counts, when it must stop."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest

from agentrun import Agent, ModelResponse, RunConfig, RunHooks, Runner, Usage
from agentrun._exceptions import ModelStatusError, ModelTimeoutError, ModelTransportError, run_data
from agentrun._retry import RetryDecision, RetryPolicyContext, retry_policies
from agentrun._settings import ModelRetryBackoffSettings, ModelRetrySettings, ModelSettings, Timeouts
from agentrun.testing import ScriptedModel, assistant_message


def _harness() -> Any:
    if "faults_harness" not in sys.modules:
        spec = importlib.util.spec_from_file_location("faults_harness", Path(__file__).with_name("harness.py"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules["faults_harness"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["faults_harness"])
    return sys.modules["faults_harness"]


harness = _harness()
unit, Cell, faulty_run, check_failure = harness.unit, harness.Cell, harness.faulty_run, harness.check_failure

pytestmark = pytest.mark.real_clock

FAST = ModelRetryBackoffSettings(initial_delay=0.01, max_delay=0.02)


@pytest.fixture(params=["responses-stream", "responses-plain", "chat-stream", "chat-plain"])
def cell(request: pytest.FixtureRequest) -> Any:
    api, _, kind = request.param.partition("-")
    return Cell(api, kind == "stream")


class Failing:
    """Answers `times` requests with an error, the others well; notes when each came."""

    def __init__(self, status: str = "503 No", *headers: str, times: int = 99, body: bytes = b"{}") -> None:
        self.status, self.headers, self.times, self.body = status, headers, times, body
        self.came: list[float] = []

    async def __call__(self, connection: Any, wire: Any, cell: Any) -> None:
        self.came.append(time.monotonic())
        if cell.attempt <= self.times:
            await connection.send(wire.reply(self.body, "application/json", self.status, *self.headers))
        else:
            await cell.send(connection, b"".join(cell.parts()))

    @property
    def gaps(self) -> list[float]:
        return [later - sooner for sooner, later in zip(self.came, self.came[1:], strict=False)]


def always(context: RetryPolicyContext) -> bool:
    return True


def whatever_it_costs(context: RetryPolicyContext) -> RetryDecision:
    return RetryDecision(retry=True, approve_unsafe_replay=True)


def only_once(context: RetryPolicyContext) -> bool:
    return context.attempt < 2


def policy(decide: Any, most: int | None = 2) -> ModelRetrySettings:
    return ModelRetrySettings(most, FAST, decide)


def in_seconds(seconds: float) -> str:
    return formatdate(time.time() + seconds, usegmt=True)


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        (lambda: "retry-after: 1", 1.0, 2.5),
        (lambda: "retry-after: 0.4", 0.4, 1.5),
        (lambda: "retry-after-ms: 300", 0.3, 1.5),
        # A date has whole seconds, so that of the two seconds up to one is lost
        (lambda: f"retry-after: {in_seconds(2)}", 0.9, 3.0),
        (lambda: "retry-after: 0", 0.0, 1.0),
    ],
)
async def test_a_retry_waits_as_long_as_the_provider_asks(header: Callable[[], str], least: float, most: float) -> None:
    act = Failing("429 Slow Down", header(), times=1)
    async with faulty_run(Cell("responses", streamed=True), act) as seen:
        assert seen.result.final_output == "hello"
        assert len(act.gaps) == 1
        assert least <= act.gaps[0] < most


async def test_waits_grow_up_to_their_limit(cell: Any) -> None:
    backoff = ModelRetryBackoffSettings(initial_delay=0.05, max_delay=0.12, multiplier=2, jitter=False)
    act = Failing(times=3)
    async with faulty_run(cell, act, retry=ModelRetrySettings(3, backoff)) as seen:
        assert seen.result.final_output == "hello"
        assert [round(gap, 3) >= least for gap, least in zip(act.gaps, (0.05, 0.1, 0.12), strict=True)] == [True] * 3
        assert act.gaps[2] < 1.0


@pytest.mark.parametrize(
    ("most", "requests"),
    [(0, 1), (1, 2), (None, 3), (4, 5)],
)
async def test_attempts_are_one_more_than_the_retries_allowed(cell: Any, most: int | None, requests: int) -> None:
    async with faulty_run(cell, Failing(), retry=ModelRetrySettings(most, FAST)) as seen:
        assert isinstance(seen.error, ModelStatusError)
        assert seen.attempts == requests
        await check_failure(seen)


@pytest.mark.parametrize(
    ("status", "headers", "body", "requests"),
    [
        ("400 No", ("x-should-retry: true",), b"{}", 3),
        ("503 No", ("x-should-retry: false",), b"{}", 1),
        ("429 No", ("x-should-retry: true", "retry-after: 3600"), b"{}", 1),
        ("429 No", (), b'{"error": {"type": "insufficient_quota"}}', 1),
        ("429 No", ("retry-after: 3600",), b"{}", 1),
    ],
)
async def test_the_provider_has_a_say(status: str, headers: tuple[str, ...], body: bytes, requests: int) -> None:
    async with faulty_run(Cell("chat", streamed=True), Failing(status, *headers, body=body)) as seen:
        assert isinstance(seen.error, ModelStatusError)
        assert seen.attempts == requests
        assert seen.seconds < 5


# ---- what must not be sent again


async def rst_in_body(connection: Any, wire: Any, cell: Any) -> None:
    shown = cell.parts()[: 3 if cell.streamed else 1]
    await connection.send(wire.head(cell.content_type), *map(wire.chunk, shown))
    await anyio.sleep(0.02)
    await connection.reset()


@pytest.mark.parametrize("api", ["responses", "chat"])
async def test_nothing_is_sent_again_once_content_was_shown_whatever_a_policy_says(api: str) -> None:
    async with faulty_run(Cell(api, streamed=True), rst_in_body, retry=policy(whatever_it_costs)) as seen:
        assert isinstance(seen.error, ModelTransportError)
        assert seen.attempts == 1
        raw = [one.data for one in seen.events if one.type == "raw_response_event"]
        deltas = [one.delta for one in raw if one.type == "response.output_text.delta"]
        assert "".join(deltas) == "hello"[: len(deltas)]
        assert deltas
        await check_failure(seen)


@pytest.mark.parametrize("api", ["responses", "chat"])
async def test_a_whole_reply_that_broke_is_asked_for_again_only_with_approval(api: str) -> None:
    async with faulty_run(Cell(api, streamed=False), rst_in_body, retry=policy(always)) as seen:
        assert (type(seen.error), seen.attempts) == (ModelTransportError, 1)
    async with faulty_run(Cell(api, streamed=False), rst_in_body, retry=policy(whatever_it_costs)) as seen:
        assert (type(seen.error), seen.attempts) == (ModelTransportError, 3)


async def test_a_provider_that_keeps_the_conversation_is_not_asked_again_after_silence() -> None:
    requests: list[bytes] = []

    async def silent(connection: Any) -> None:
        while (request := await connection.request()) is not None:
            requests.append(request)
            await connection.wait_closed()

    one = Cell("responses", streamed=True)
    async with one.wire.serving(silent) as server:
        model = one.model(server)
        agent = Agent("kept", model=model, model_settings=ModelSettings(retry=policy(always)))
        config = RunConfig(timeouts=Timeouts(first_event=0.15))
        with pytest.raises(ModelTimeoutError):
            async with Runner.run_streamed(agent, "hi", run_config=config, conversation_id="conv_1") as result:
                async for _ in result.stream_events():
                    pass
        assert len(requests) == 1
        await model.close()


@pytest.mark.parametrize("limit", ["run", "turn"])
async def test_no_wait_begins_that_the_runs_deadline_would_end(cell: Any, limit: str) -> None:
    act = Failing("429 Slow Down", "retry-after: 5")
    timeouts = Timeouts(**{limit: 2.0})
    async with faulty_run(cell, act, timeouts=timeouts) as seen:
        assert isinstance(seen.error, ModelStatusError)
        assert seen.error.retry_after == 5
        assert seen.attempts == 1
        assert seen.seconds < 1.5
        await check_failure(seen)


async def test_no_wait_begins_that_the_callers_deadline_would_end(cell: Any) -> None:
    async def act(connection: Any) -> None:
        while await connection.request() is not None:
            await connection.send(cell.wire.reply(b"{}", "text/plain", "429 No", "retry-after: 5"))

    async with cell.wire.serving(act) as server:
        model = cell.model(server)
        started = anyio.current_time()
        with anyio.fail_after(2), pytest.raises(ModelStatusError):
            await Runner.run(Agent("late", model=model), "hi")
        assert anyio.current_time() - started < 1.5
        assert len(server.requests) == 1
        await model.close()


async def test_a_cancel_does_not_wait_for_a_retry() -> None:
    one = Cell("responses", streamed=True)

    async def act(connection: Any) -> None:
        while await connection.request() is not None:
            await connection.send(one.wire.reply(b"{}", "text/plain", "429 No", "retry-after: 30"))

    async with one.wire.serving(act) as server:
        model = one.model(server)
        started = anyio.current_time()
        async with Runner.run_streamed(Agent("patient", model=model), "hi") as result:
            async with anyio.create_task_group() as nursery:

                async def read() -> None:
                    async for _ in result.stream_events():
                        pass

                nursery.start_soon(read)
                with anyio.fail_after(5):
                    while not server.requests:  # noqa: ASYNC110 - the server's side of a socket
                        await anyio.sleep(0.005)
                await anyio.sleep(0.05)
                result.cancel()
        assert anyio.current_time() - started < 2
        assert len(server.requests) == 1
        await model.close()


# ---- policies


@pytest.mark.parametrize(
    ("decide", "status", "requests"),
    [
        (retry_policies.never(), "503 No", 1),
        (retry_policies.http_status([503]), "503 No", 3),
        (retry_policies.http_status([500]), "503 No", 1),
        (retry_policies.http_status([418]), "418 Teapot", 3),
        (retry_policies.network_error(), "503 No", 1),
        (retry_policies.any(retry_policies.network_error(), retry_policies.http_status([503])), "503 No", 3),
        (retry_policies.all(retry_policies.http_status([503]), retry_policies.retry_after()), "503 No", 1),
        (retry_policies.any(), "503 No", 1),
        (retry_policies.all(), "503 No", 1),
        (retry_policies.provider_suggested(), "503 No", 3),
        (retry_policies.provider_suggested(), "400 No", 1),
        (only_once, "503 No", 2),
    ],
)
async def test_a_policy_decides(decide: Any, status: str, requests: int) -> None:
    async with faulty_run(Cell("responses", streamed=False), Failing(status), retry=policy(decide)) as seen:
        assert isinstance(seen.error, ModelStatusError)
        assert seen.attempts == requests


async def test_of_several_policies_the_longest_wait_counts() -> None:
    decide = retry_policies.all(
        retry_policies.retry_after(),
        lambda context: RetryDecision(retry=True, delay=0.4),
    )
    act = Failing("429 No", "retry-after-ms: 10", times=1)
    async with faulty_run(Cell("chat", streamed=False), act, retry=policy(decide)) as seen:
        assert seen.error is None
        assert 0.4 <= act.gaps[0] < 1.5


async def test_a_policy_is_told_what_there_is_to_know(cell: Any) -> None:
    told: list[RetryPolicyContext] = []

    async def decide(context: RetryPolicyContext) -> bool:
        told.append(context)
        await anyio.lowlevel.checkpoint()
        return True

    act = Failing("429 No", "retry-after-ms: 10", "x-request-id: req-9", body=b'{"error": {"code": "slow_down"}}')
    async with faulty_run(cell, act, retry=policy(decide)) as seen:
        assert seen.attempts == 3
        assert [(one.attempt, one.max_retries, one.stream) for one in told] == [
            (1, 2, cell.streamed),
            (2, 2, cell.streamed),
        ]
        found = told[0].normalized
        assert (found.status_code, found.error_code) == (429, "slow_down")
        assert (found.request_id, found.retry_after) == ("req-9", 0.01)
        assert not (found.is_timeout or found.is_network_error)


async def test_what_a_policy_raises_leaves_the_run_with_what_it_had(cell: Any) -> None:
    def decide(context: RetryPolicyContext) -> bool:
        raise LookupError("no such policy")

    async with faulty_run(cell, Failing(), retry=policy(decide)) as seen:
        assert isinstance(seen.error, LookupError)
        assert seen.attempts == 1
        data = run_data(seen.error)
        assert data is not None
        assert len(data.new_items) == 2


# ---- what is counted and told


class Counting(RunHooks[Any]):
    def __init__(self) -> None:
        self.seen: list[str] = []

    async def on_llm_start(self, context: Any, agent: Any, system_prompt: Any, input_items: Any) -> None:
        self.seen.append("start")

    async def on_llm_end(self, context: Any, agent: Any, response: Any) -> None:
        self.seen.append("end")


async def test_a_failed_attempt_counts_as_a_request_without_tokens_before_the_one_that_succeeds(cell: Any) -> None:
    async with faulty_run(cell, Failing(times=2)) as seen:
        usage = seen.result.context_wrapper.usage
        assert usage.requests == 4
        assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (6, 4, 10)
        assert [entry.total_tokens for entry in usage.request_usage_entries] == [5, 0, 0, 5]
        assert not any(entry.partial for entry in usage.request_usage_entries)
        assert [reply.usage.requests for reply in seen.result.raw_responses] == [1, 3]
        assert [entry.total_tokens for entry in seen.result.raw_responses[1].usage.request_usage_entries] == [0, 0, 5]


@pytest.mark.parametrize(("failures", "requests", "entries"), [(0, 0, 0), (2, 3, 3)])
async def test_a_reply_without_usage_that_was_tried_again_has_an_entry_of_its_own(
    failures: int, requests: int, entries: int
) -> None:
    class Silent(ScriptedModel):
        tries = 0

        async def get_response(self, *args: Any, **kwargs: Any) -> ModelResponse:
            self.tries += 1
            if self.tries <= failures:
                raise ConnectionError("not yet")
            return ModelResponse([assistant_message("done")], Usage(), None)

    again = ModelRetrySettings(max_retries=2, policy=lambda context: True, backoff=FAST)
    result = await Runner.run(Agent("a", model=Silent(), model_settings=ModelSettings(retry=again)), "hi")
    for usage in (result.context_wrapper.usage, result.raw_responses[0].usage):
        assert (usage.requests, len(usage.request_usage_entries)) == (requests, entries)


async def test_hooks_see_one_call_however_often_it_is_tried(cell: Any) -> None:
    async def act(connection: Any) -> None:
        while await connection.request() is not None:
            if len(server.requests) < 3:
                await connection.send(cell.wire.reply(b"{}", "text/plain", "503 No"))
            else:
                await cell.send(connection, b"".join(cell.parts()))

    hooks = Counting()
    async with cell.wire.serving(act) as server:
        model = cell.model(server)
        agent = Agent("told", model=model, model_settings=ModelSettings(retry=ModelRetrySettings(backoff=FAST)))
        if cell.streamed:
            async with Runner.run_streamed(agent, "hi", hooks=hooks, max_turns=1) as result:
                async for _ in result.stream_events():
                    pass
        else:
            await Runner.run(agent, "hi", hooks=hooks, max_turns=1)
        assert hooks.seen == ["start", "end"]
        assert len(server.requests) == 3
        await model.close()


async def test_a_client_of_the_users_adds_no_retries_of_its_own(cell: Any) -> None:
    async with httpx.AsyncClient() as client:
        async with faulty_run(cell, Failing(), http_client=client) as seen:
            assert isinstance(seen.error, ModelStatusError)
            assert seen.attempts == 3
            await check_failure(seen)
            await client.aclose()
