"""Both models against the loopback provider: the rules of a model, and what each of them asks for and gives back."""

from __future__ import annotations

from typing import Any

import pytest

from agentrun._settings import ModelSettings
from agentrun._usage import Usage
from agentrun.models.chat import OpenAIChatCompletionsModel
from agentrun.models.interface import Model, ModelTracing
from agentrun.models.responses import OpenAIResponsesModel
from agentrun.testing import (
    LoopbackProvider,
    ModelStep,
    assistant_message,
    check_model,
    function_call,
    reasoning,
    refusal,
)

pytestmark = pytest.mark.real_clock

CLASSES = [OpenAIResponsesModel, OpenAIChatCompletionsModel]


@pytest.mark.parametrize("cls", CLASSES)
async def test_the_rules_of_a_model_hold(cls: Any) -> None:
    good = LoopbackProvider(script=lambda body: "one two three four five")
    bad = LoopbackProvider(script=lambda body: ModelStep.http_error(500))
    async with good.serve() as url, bad.serve() as bad_url:
        model, failing = cls("m", base_url=url, api_key="k"), cls("m", base_url=bad_url, api_key="k")
        assert await check_model(model, failing=failing)
        await model.close()
        await failing.close()


async def call(model: Model, streamed: bool) -> tuple[list[Any], Usage, str | None]:
    """Return output, usage and request id of one reply."""
    arguments: Any = ("sys", "hi", ModelSettings(), [], None, [], ModelTracing.DISABLED)
    known: Any = {"previous_response_id": None, "conversation_id": None, "prompt": None}
    if not streamed:
        reply = await model.get_response(*arguments, **known)
        return reply.output, reply.usage, reply.request_id
    last: Any = None
    async for event in model.stream_response(*arguments, **known):
        last = event
    return last.response.output, Usage.from_wire(last.response.usage), last.response._request_id


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("cls", CLASSES)
async def test_every_kind_of_output_arrives(cls: Any, streamed: bool) -> None:
    usage = Usage(requests=1, input_tokens=7, output_tokens=5, total_tokens=12)
    items = [reasoning("hm"), assistant_message("Hi"), function_call("f", {"a": "é"}, call_id="c")]
    steps = [ModelStep.respond(items, usage=usage, request_id="req-1"), ModelStep.respond([refusal("no")], usage=usage)]
    provider = LoopbackProvider(steps)
    async with provider.serve() as url:
        model = cls("m", base_url=url, api_key="k")
        output, found, request_id = await call(model, streamed)
        refused, _, _ = await call(model, streamed)
        await model.close()
    assert [item.type for item in output] == ["reasoning", "message", "function_call"]
    assert output[1].content[0].text == "Hi"
    assert (output[2].call_id, output[2].name, output[2].arguments) == ("c", "f", '{"a":"é"}')
    assert (found.input_tokens, found.output_tokens, found.total_tokens) == (7, 5, 12)
    assert request_id == "req-1"
    assert refused[0].content[0].refusal == "no"
    provider.assert_complete()
