from __future__ import annotations

from typing import Any

import anyio
import pytest

from agentrun._usage import Usage
from agentrun.models.chat import OpenAIChatCompletionsModel
from agentrun.models.responses import OpenAIResponsesModel
from agentrun.testing import (
    LoopbackProvider,
    ModelStep,
    assistant_message,
    check_model,
    function_call,
    no_leaks,
    reasoning,
)

ITEMS = [
    reasoning("let me see"),
    assistant_message("some words here"),
    function_call("f", {"a": "b" * 40}, call_id="c1"),
    function_call("g", {}, call_id="c2"),
]


@pytest.mark.real_clock
@pytest.mark.parametrize("kind", [OpenAIResponsesModel, OpenAIChatCompletionsModel])
async def test_the_models_over_http_keep_every_rule(kind: type[Any]) -> None:
    usage = Usage(requests=1, input_tokens=3, output_tokens=2, total_tokens=5)
    provider = LoopbackProvider(script=lambda body: ModelStep.respond(ITEMS, usage=usage, delay=0.001))
    refusing = LoopbackProvider(script=lambda body: ModelStep.http_error(401))
    with anyio.fail_after(30):
        async with provider.serve() as url, refusing.serve() as refusing_url, no_leaks(provider, refusing):
            checked = await check_model(
                lambda: kind("any", base_url=url, api_key="key"),
                failing=lambda: kind("any", base_url=refusing_url, api_key="key"),
            )
            await provider.wait_idle()
    assert len(checked) == 8
    assert provider.errors == []
    assert all(request.headers["authorization"] == "[redacted]" for request in provider.requests)
