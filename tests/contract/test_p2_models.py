"""features.md 18 and 20: the models interface, providers, settings, retries, output schemas, scripts, loop and logs."""

# Callbacks here are written as a user would write them, without types.
# pyright: reportUnknownLambdaType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingParameterType=false

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import anyio
import attrs
import httpx
import pytest
from typing_extensions import TypedDict

from agentrun import (
    Agent,
    AgentOutputSchema,
    AgentOutputSchemaBase,
    GenerateDynamicPromptData,
    Model,
    ModelBehaviorError,
    ModelProvider,
    ModelResponse,
    ModelRetryAdvice,
    ModelRetryBackoffSettings,
    ModelRetrySettings,
    ModelSettings,
    ModelStatusError,
    ModelTimeoutError,
    ModelTracing,
    MultiProvider,
    MultiProviderMap,
    OpenAIChatCompletionsModel,
    OpenAIProvider,
    OpenAIResponsesModel,
    Reasoning,
    RetryDecision,
    RetryPolicyContext,
    RunConfig,
    RunHooks,
    Runner,
    Usage,
    UserError,
    enable_verbose_stdout_logging,
    function_tool,
    retry_policies,
    run_demo_loop,
    set_default_openai_api,
    set_default_openai_client,
    set_default_openai_key,
)
from agentrun.models import _defaults
from agentrun.testing import (
    InvalidModelStep,
    LoopbackProvider,
    ModelStep,
    ScriptedModel,
    UnconsumedModelSteps,
    UnexpectedModelCall,
    assistant_message,
    function_call,
)

covers = pytest.mark.covers


@pytest.fixture(autouse=True)
def process_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the defaults of the process back after each test."""
    for name in ("_key", "_client", "_api", "_tracing_key"):
        monkeypatch.setattr(_defaults, name, getattr(_defaults, name))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@function_tool
async def look(q: str = "") -> str:
    """Look it up."""
    return f"saw {q}"


# The interface


class Recorder(Model):
    """Answers once, and keeps what it was called with."""

    def __init__(self, complete: bool = True) -> None:
        self.complete = complete
        self.called: list[Any] = []

    async def get_response(self, *args: Any, **options: Any) -> ModelResponse:
        self.called.append((args, options))
        return ModelResponse([assistant_message("done")], Usage(requests=1), "r1")

    async def stream_response(self, *args: Any, **options: Any) -> AsyncIterator[Any]:
        self.called.append((args, options))
        source = ScriptedModel(["done"])
        async for event in source.stream_response(*args, **options):
            if self.complete or event.type != "response.completed":
                yield event


@covers("MO-1")
async def test_a_model_is_called_with_seven_positional_arguments_and_three_keywords(run: Any) -> None:
    model = Recorder()
    other = Agent("other")
    agent = Agent("a", instructions="be brief", model=model, tools=[look], handoffs=[other], output_type=None)
    config = RunConfig(tracing_disabled=True)
    result = await run(agent, previous_response_id="r0", run_config=config)
    assert result.final_output == "done"
    ((system, items, settings, tools, schema, handoffs, tracing), options) = model.called[0]
    assert (system, items, schema, tools) == ("be brief", [{"content": "hi", "role": "user"}], None, [look])
    assert isinstance(settings, ModelSettings)
    assert [one.tool_name for one in handoffs] == ["transfer_to_other"]
    assert tracing is ModelTracing.DISABLED
    assert options == {"previous_response_id": "r0", "conversation_id": None, "prompt": None}
    assert model.get_retry_advice(None) is None  # type: ignore[arg-type]
    await model.close()


@covers("MO-1")
async def test_a_stream_without_its_last_event_is_an_error() -> None:
    result = Runner.run_streamed(Agent("a", model=Recorder(complete=False)), "hi")
    with pytest.raises(ModelBehaviorError) as raised:
        async with result:
            await result.wait()
    assert raised.value.run_data is not None
    assert result.final_output is None


@covers("MO-2", "MO-3")
async def test_models_are_found_in_the_documented_order(run: Any) -> None:
    asked: list[Any] = []

    class Provider(ModelProvider):
        def get_model(self, model_name: str | None) -> Model:
            asked.append(model_name)
            return ScriptedModel([f"by name {model_name}"])

    provider = Provider()
    own = Agent("a", model=ScriptedModel(["own"] * 2))
    named = Agent("a", model="n")
    object_first = RunConfig(model=ScriptedModel(["configured"]), model_provider=provider)
    assert (await run(own, run_config=object_first)).final_output == "configured"
    name_next = RunConfig(model="c", model_provider=provider)
    assert (await run(own, run_config=name_next)).final_output == "by name c"
    assert (await run(own, run_config=RunConfig(model_provider=provider))).final_output == "own"
    assert (await run(named, run_config=RunConfig(model_provider=provider))).final_output == "by name n"
    assert asked == ["c", "n"]
    await provider.aclose()


class Fixed(ModelProvider):
    def __init__(self) -> None:
        self.closed = 0

    def get_model(self, model_name: str | None) -> Model:
        return ScriptedModel([f"fixed {model_name}"])

    async def aclose(self) -> None:
        self.closed += 1


@covers("MO-4")
async def test_a_prefix_chooses_the_provider(run: Any) -> None:
    fixed = Fixed()
    prefixes = MultiProviderMap()
    prefixes.add_provider("mine", fixed)
    assert (prefixes.has_prefix("mine"), prefixes.get_provider("mine"), prefixes.get_provider("x")) == (
        True,
        fixed,
        None,
    )
    provider = MultiProvider(provider_map=prefixes, openai_api_key="k")
    config = RunConfig(model="mine/big/one", model_provider=provider)
    assert (await run(Agent("a"), run_config=config)).final_output == "fixed big/one"
    assert provider.get_model("openai/gpt-x").model == provider.get_model("gpt-x").model == "gpt-x"  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="'odd/'"):
        provider.get_model("odd/one")
    gateway = MultiProvider(openai_api_key="k", openai_prefix_mode="model_id", unknown_prefix_mode="model_id")
    assert gateway.get_model("odd/one").model == "odd/one"  # type: ignore[attr-defined]
    assert gateway.get_model("openai/gpt-x").model == "openai/gpt-x"  # type: ignore[attr-defined]
    await provider.aclose()
    assert fixed.closed == 1
    prefixes.remove_provider("mine")
    assert prefixes.get_mapping() == {}


@covers("MO-5")
@pytest.mark.parametrize("use_responses", [True, False])
async def test_both_apis_carry_a_run_with_tools(run: Any, use_responses: bool) -> None:
    server = LoopbackProvider([[function_call("look", {"q": "x"}, call_id="c1")], "It is x."])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=server)) as client:
        provider = OpenAIProvider(
            api_key="k", base_url="http://provider/v1", use_responses=use_responses, http_client=client
        )
        agent = Agent("a", instructions="look first", model="some-model", tools=[look])
        result = await run(agent, run_config=RunConfig(model_provider=provider))
    assert result.final_output == "It is x."
    assert result.items == ["tool_call_item", "tool_call_output_item", "message_output_item"]
    kind = OpenAIResponsesModel if use_responses else OpenAIChatCompletionsModel
    assert type(provider.get_model("some-model")) is kind
    first, second = server.requests
    assert first.body["model"] == "some-model"
    assert "saw x" in json.dumps(second.body)


@covers("MO-5")
def test_defaults_of_the_process_choose_key_client_and_api() -> None:
    with pytest.raises(UserError, match="OPENAI_API_KEY"):
        OpenAIProvider().get_model("m")
    set_default_openai_key("k")
    assert isinstance(OpenAIProvider().get_model("m"), OpenAIResponsesModel)
    set_default_openai_api("chat_completions")
    assert isinstance(OpenAIProvider().get_model("m"), OpenAIChatCompletionsModel)
    with pytest.raises(UserError, match="'soap'"):
        set_default_openai_api("soap")  # type: ignore[arg-type]

    class Client:
        api_key = "from the client"
        base_url = "http://client/v1"

    set_default_openai_client(Client())
    assert isinstance(OpenAIProvider().get_model("m"), OpenAIChatCompletionsModel)


# Settings

DOCUMENTED_SETTINGS = """
    temperature top_p frequency_penalty presence_penalty tool_choice parallel_tool_calls truncation max_tokens reasoning
    verbosity metadata store prompt_cache_retention include_usage response_include top_logprobs extra_query extra_body
    extra_headers extra_args retry context_management prompt_cache_options preserve_raw_usage timeout
"""


@covers("MO-7")
def test_settings_have_the_documented_fields_and_none_of_them_is_set() -> None:
    assert [field.name for field in attrs.fields(ModelSettings)] == DOCUMENTED_SETTINGS.split()
    assert set(ModelSettings().to_json_dict().values()) == {None}
    assert ModelSettings(0.5, 0.9).to_json_dict()["top_p"] == 0.9


@covers("MO-7")
def test_settings_resolve_field_by_field_and_change_neither_side() -> None:
    own = ModelSettings(
        temperature=0.1,
        max_tokens=5,
        extra_args={"a": 1, "b": 1},
        retry=ModelRetrySettings(max_retries=1, backoff=ModelRetryBackoffSettings(initial_delay=1, jitter=False)),
    )
    other = ModelSettings(
        temperature=0.9,
        extra_args={"b": 2},
        retry=ModelRetrySettings(max_retries=2, backoff=ModelRetryBackoffSettings(max_delay=9)),
    )
    found = own.resolve(other)
    assert (found.temperature, found.max_tokens, found.extra_args) == (0.9, 5, {"a": 1, "b": 2})
    assert found.retry == ModelRetrySettings(2, ModelRetryBackoffSettings(1, 9, None, False))
    assert (own.temperature, own.extra_args, other.extra_args) == (0.1, {"a": 1, "b": 1}, {"b": 2})
    assert own.resolve(None) is own


@covers("MO-7")
def test_settings_as_json_can_be_written_and_hold_no_functions() -> None:
    settings = ModelSettings(
        reasoning=Reasoning(effort="low"),
        metadata={"a": "b"},
        retry=ModelRetrySettings(max_retries=2, policy=retry_policies.never()),
    )
    found = json.loads(json.dumps(settings.to_json_dict()))
    assert found["reasoning"]["effort"] == "low"
    assert found["metadata"] == {"a": "b"}
    assert found["retry"]["max_retries"] == 2
    assert "policy" not in found["retry"]


# Retries and timeouts


def status(code: int, **fields: Any) -> ModelStatusError:
    values: dict[str, Any] = {"headers": {}, "body": b"", "request_id": None, "retry_after": None, **fields}
    return ModelStatusError(f"status {code}", status=code, **values)


def retrying(policy: Any, most: int = 3, **backoff: Any) -> ModelSettings:
    return ModelSettings(
        retry=ModelRetrySettings(
            max_retries=most, policy=policy, backoff=ModelRetryBackoffSettings(jitter=False, **backoff)
        )
    )


@covers("MO-8")
async def test_a_failed_call_is_retried_after_the_backoff_within_one_turn(run: Any) -> None:
    asked: list[RetryPolicyContext] = []
    seen: list[str] = []

    def policy(context: RetryPolicyContext) -> bool:
        asked.append(context)
        return True

    class Hooks(RunHooks[Any]):
        async def on_llm_start(self, context: Any, agent: Any, system_prompt: Any, input_items: Any) -> None:
            seen.append("start")

        async def on_llm_end(self, context: Any, agent: Any, response: Any) -> None:
            seen.append("end")

    model = ScriptedModel([status(500), ConnectionError("cut"), "done"])
    began = anyio.current_time()
    result = await run(Agent("a", model=model, model_settings=retrying(policy)), hooks=Hooks())
    assert result.final_output == "done"
    assert anyio.current_time() - began == pytest.approx(0.25 + 0.5)
    assert [(one.attempt, one.max_retries, one.stream) for one in asked] == [(1, 3, run.streamed), (2, 3, run.streamed)]
    assert asked[0].normalized.status_code == 500
    assert seen == ["start", "end"]
    usage = result.context_wrapper.usage
    assert (usage.requests, len(result.raw_responses)) == (3, 1)


@covers("MO-8")
async def test_without_a_policy_and_past_the_limit_the_error_is_raised(run: Any) -> None:
    plain = ScriptedModel([status(500), "never"])
    with pytest.raises(ModelStatusError):
        await run(Agent("a", model=plain))
    assert len(plain.calls) == 1
    busy = ScriptedModel([status(500), status(502), "never"])
    with pytest.raises(ModelStatusError, match="502"):
        await run(Agent("a", model=busy, model_settings=retrying(lambda context: True, most=1)))
    assert len(busy.calls) == 2


@covers("MO-8")
async def test_the_delay_is_the_decisions_then_the_providers_then_the_backoff(run: Any) -> None:
    async def seconds(policy: Any, error: Exception, **backoff: Any) -> float:
        began = anyio.current_time()
        model = ScriptedModel([error, "done"])
        await run(Agent("a", model=model, model_settings=retrying(policy, **backoff)))
        return anyio.current_time() - began

    assert await seconds(lambda context: RetryDecision(retry=True, delay=7), status(429, retry_after=3)) == (
        pytest.approx(7)
    )
    assert await seconds(retry_policies.retry_after(), status(429, retry_after=3)) == pytest.approx(3)
    assert await seconds(lambda context: True, status(500), initial_delay=9, max_delay=4) == pytest.approx(4)


@covers("MO-8")
async def test_the_shipped_policies_decide_as_they_are_named(run: Any) -> None:
    async def retries(policy: Any, error: Exception, **step: Any) -> bool:
        model = ScriptedModel([ModelStep.raise_error(error, **step), "done"])
        try:
            await run(Agent("a", model=model, model_settings=retrying(policy)))
        except type(error):
            return False
        return True

    p = retry_policies
    assert not await retries(p.never(), status(500))
    assert await retries(p.http_status([500, 503]), status(503))
    assert not await retries(p.http_status([500, 503]), status(400))
    assert not await retries(p.network_error(), status(500))
    assert await retries(p.network_error(), ModelTimeoutError(1, "total"))
    assert not await retries(p.retry_after(), status(429))
    assert await retries(p.any(p.never(), p.http_status([500])), status(500))
    assert not await retries(p.all(p.retry_after(), p.http_status([500])), status(429, retry_after=1))
    assert await retries(p.all(p.retry_after(), p.http_status([429])), status(429, retry_after=1))
    suggested = ModelRetryAdvice(suggested=True, retry_after=1)
    assert await retries(p.provider_suggested(), status(500), retry_advice=suggested)
    assert not await retries(p.provider_suggested(), status(500))


@covers("MO-8")
async def test_requests_that_may_have_had_an_effect_are_sent_again_only_if_somebody_says_so(run: Any) -> None:
    async def result(policy: Any, error: Any = None, **options: Any) -> str:
        model = ScriptedModel([error or status(500), "done"])
        try:
            return str((await run(Agent("a", model=model, model_settings=retrying(policy)), **options)).final_output)
        except ModelStatusError:
            return "raised"

    def approving(context: RetryPolicyContext) -> RetryDecision:
        return RetryDecision(retry=True, approve_unsafe_replay=True)

    unsafe = ModelRetryAdvice(replay_safety="unsafe")
    assert await result(lambda context: True, previous_response_id="r0") == "raised"
    assert await result(approving, previous_response_id="r0") == "raised"  # it approves of what is known to be unsafe
    assert await result(lambda context: True, ModelStep.raise_error(status(500), retry_advice=unsafe)) == "raised"
    approved = "raised" if run.streamed else "done"
    assert await result(approving, ModelStep.raise_error(status(500), retry_advice=unsafe)) == approved
    known = ModelStep.raise_error(status(500), retry_advice=unsafe)
    assert await result(approving, known, previous_response_id="r0") == approved


@covers("MO-8")
async def test_a_stream_is_not_begun_again_after_output(run: Any) -> None:
    cut = ModelStep.raise_error(ConnectionError("cut"), output=["some words of an answer"], after=5)
    model = ScriptedModel([cut, "again"])
    agent = Agent("a", model=model, model_settings=retrying(lambda context: True))
    if run.streamed:
        with pytest.raises(ConnectionError):
            await run(agent)
        assert len(model.calls) == 1
    else:
        assert (await run(agent)).final_output == "again"


@covers("MO-9")
async def test_each_attempt_at_a_call_has_the_time_of_the_settings(run: Any) -> None:
    slow = ModelStep.respond("late", delay=30)
    model = ScriptedModel([slow, slow, "done"])
    began = anyio.current_time()
    with pytest.raises(ModelTimeoutError) as raised:
        await run(Agent("a", model=model, model_settings=ModelSettings(timeout=2)))
    assert anyio.current_time() - began == pytest.approx(2)
    assert raised.value.timeout_seconds == 2
    assert raised.value.run_data is not None
    settings = retrying(retry_policies.network_error()).resolve(ModelSettings(timeout=2))
    began = anyio.current_time()
    assert (await run(Agent("a", model=model, model_settings=settings))).final_output == "done"
    assert anyio.current_time() - began == pytest.approx(2 + 0.25)


# Output schemas


class Row(TypedDict):
    n: int


@dataclass
class Point:
    x: int
    y: int = 0


@covers("MO-10")
def test_objects_are_schemas_themselves_and_everything_else_is_wrapped() -> None:
    for plain in (str, None):
        schema = AgentOutputSchema(plain)
        assert schema.is_plain_text()
        assert schema.validate_json("any text") == "any text"
        with pytest.raises(UserError):
            schema.json_schema()
    rows = AgentOutputSchema(Row)
    assert not rows.is_plain_text()
    assert rows.name() == "Row"
    assert set(rows.json_schema()["properties"]) == {"n"}
    assert rows.validate_json('{"n": 1, "more": 2}') == {"n": 1}
    for tp, text, value in (
        (int, '{"response": 3}', 3),
        (list[int], '{"response": [1, 2]}', [1, 2]),
        (Point, '{"response": {"x": 1, "y": 2}}', Point(1, 2)),
        (int | None, '{"response": null}', None),
    ):
        schema = AgentOutputSchema(tp)
        assert set(schema.json_schema()["properties"]) == {"response"}
        assert schema.validate_json(text) == value
    assert AgentOutputSchema(list[int]).name() == "list[int]"


@covers("MO-10")
def test_values_are_taken_strictly_and_schemas_that_cannot_be_strict_are_refused() -> None:
    for text in ('{"response": "1"}', "{}", "[1]", "not json", '{"response": 1.5}'):
        with pytest.raises(ModelBehaviorError):
            AgentOutputSchema(int).validate_json(text)
    with pytest.raises(UserError, match="strict"):
        AgentOutputSchema(dict[str, int])
    loose = AgentOutputSchema(dict[str, int], strict_json_schema=False)
    assert not loose.is_strict_json_schema()
    assert loose.validate_json('{"a": 1}') == {"a": 1}


@covers("MO-10")
def test_pydantic_models_are_schemas_themselves() -> None:
    pydantic = pytest.importorskip("pydantic")
    model = pydantic.create_model("Weather", city=(str, ...))
    schema = AgentOutputSchema(model)
    assert set(schema.json_schema()["properties"]) == {"city"}
    assert schema.validate_json('{"city": "Oslo"}') == model(city="Oslo")


@covers("MO-10")
async def test_a_schema_of_ones_own_describes_and_reads_the_output(run: Any) -> None:
    class Csv(AgentOutputSchemaBase):
        def is_plain_text(self) -> bool:
            return False

        def name(self) -> str:
            return "csv"

        def json_schema(self) -> dict[str, Any]:
            return {"type": "object"}

        def is_strict_json_schema(self) -> bool:
            return False

        def validate_json(self, json_str: str) -> Any:
            return json_str.split(",")

    schema = Csv()
    model = ScriptedModel(["a,b"])
    result = await run(Agent("a", model=model, output_type=schema))
    assert result.final_output == ["a", "b"]
    assert model.calls[0].output_schema is schema


# Utilities


@covers("UT-1")
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("leave", ["EXIT", "quit", EOFError, KeyboardInterrupt])
async def test_the_loop_keeps_agent_and_conversation_between_questions(
    stream: bool, leave: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed: Iterator[Any] = iter(["hello", "", "more", leave])
    prompts: list[str] = []

    def ask(prompt: str = "") -> str:
        prompts.append(prompt)
        line = next(typed)
        if isinstance(line, str):
            return line
        raise line

    monkeypatch.setattr("builtins.input", ask)
    last = Agent("last", model=ScriptedModel(["moved", "again"]))
    move = [function_call("transfer_to_last", {}, call_id="h")]
    await run_demo_loop(Agent("first", model=ScriptedModel([move]), handoffs=[last]), stream=stream)
    assert prompts == [" > "] * 4
    said = capsys.readouterr().out
    assert "moved" in said
    assert "again" in said
    second = last.model.calls[1].input  # type: ignore[union-attr]
    assert [item["content"] for item in second if item.get("role") == "user"] == ["hello", "more"]


@covers("UT-3")
async def test_a_script_is_played_recorded_and_checked(run: Any) -> None:
    usage = Usage(requests=1, input_tokens=3, output_tokens=2, total_tokens=5)
    model = ScriptedModel(default_usage=usage)
    assert (model.first_call, model.last_call, model.remaining_steps) == (None, None, 0)
    model.enqueue([function_call("look", {"q": "x"}, call_id="c1")])
    model.extend([ModelStep.respond(lambda call: [assistant_message(f"{len(call.input)} items")])])
    with pytest.raises(UnconsumedModelSteps):
        model.assert_complete()
    result = await run(Agent("a", model=model, tools=[look]))
    assert result.final_output == "3 items"
    assert result.context_wrapper.usage.total_tokens == 10
    assert [len(call.input) for call in model.calls] == [1, 3]
    assert (model.first_call, model.last_call) == tuple(model.calls)
    model.assert_complete()
    with pytest.raises(UnexpectedModelCall):
        await run(Agent("a", model=model))
    with pytest.raises(InvalidModelStep):
        ScriptedModel([3])


@covers("UT-4")
async def test_everything_is_logged_to_stdout_but_what_models_and_tools_were_given(
    run: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = logging.getLogger("agentrun")
    monkeypatch.setattr(logger, "handlers", list(logger.handlers))
    monkeypatch.setattr(logger, "level", logger.level)

    async def logged() -> str:
        model = ScriptedModel([[function_call("look", {"q": "an argument"}, call_id="c1")], "an answer"])
        await run(Agent("a", model=model, tools=[look]), "a question")
        return capsys.readouterr().out

    for name in ("MODEL", "TOOL"):
        monkeypatch.delenv(f"OPENAI_AGENTS_DONT_LOG_{name}_DATA", raising=False)
    enable_verbose_stdout_logging()
    said = await logged()
    assert "look" in said
    assert [text for text in ("a question", "an argument", "an answer") if text in said] == []
    monkeypatch.setenv("OPENAI_AGENTS_DONT_LOG_TOOL_DATA", "0")
    monkeypatch.setenv("OPENAI_AGENTS_DONT_LOG_MODEL_DATA", "0")
    said = await logged()
    assert [text for text in ("a question", "an argument", "an answer") if text not in said] == []


@covers("AG-4")
@pytest.mark.parametrize("is_function", [False, True])
async def test_a_prompt_that_the_provider_keeps_reaches_the_model(run: Any, is_function: bool) -> None:
    kept: Any = {"id": "pmpt_1", "version": "2", "variables": {"who": "Ann"}}

    async def choose(data: GenerateDynamicPromptData) -> Any:
        assert data.agent.name == "a"
        return {**kept, "variables": {"who": data.context.context}}

    model = ScriptedModel(["done"])
    await run(Agent("a", model=model, prompt=choose if is_function else kept), context="Ann")
    assert model.calls[0].prompt == kept


@covers("MO-11")
def test_an_agent_without_a_model_gets_the_one_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = MultiProvider(openai_api_key="k")
    monkeypatch.setenv("OPENAI_DEFAULT_MODEL", "GPT-Mine")
    assert provider.get_model(None).model == "gpt-mine"  # type: ignore[attr-defined]
    monkeypatch.delenv("OPENAI_DEFAULT_MODEL")
    assert provider.get_model(None).model  # type: ignore[attr-defined]
