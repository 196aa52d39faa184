"""What is declared can be copied, and is shown in one line without secrets."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import httpx
import pytest

from agentrun import (
    Agent,
    InMemorySession,
    ModelSettings,
    MultiProvider,
    OpenAIChatCompletionsModel,
    OpenAIProvider,
    OpenAIResponsesModel,
    RunConfig,
    Runner,
    SQLiteSession,
    Usage,
    function_tool,
)
from agentrun.models.providers import MultiProviderMap
from agentrun.testing import ScriptedModel, assistant_message


@function_tool
def look_up(word: str) -> str:
    """Look a word up."""
    return word


@pytest.mark.parametrize("kind", [OpenAIResponsesModel, OpenAIChatCompletionsModel])
async def test_an_agent_with_a_model_can_be_copied_deeply(kind: Any) -> None:
    async with httpx.AsyncClient() as client:
        model = kind("gpt-4.1", api_key="k", http_client=client)
        agent = Agent("helper", model=model, tools=[look_up], handoffs=[Agent("other", model=model)])

        copied = copy.deepcopy(agent)

    assert copied.name == "helper"
    assert copied.tools is not agent.tools
    assert copied.handoffs[0] is not agent.handoffs[0]
    assert repr(copied.model) == repr(model)


@pytest.mark.parametrize(
    "value",
    [
        ModelSettings(temperature=1, extra_headers={"a": "b"}),
        Usage(requests=2),
        RunConfig(model="gpt-4.1"),
        OpenAIResponsesModel("gpt-4.1", api_key="k"),
        MultiProvider(openai_api_key="k"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_go_through_pickle(value: Any) -> None:
    copied = pickle.loads(pickle.dumps(value))
    assert type(copied) is type(value)
    assert repr(copied) == repr(value)


def test_providers_models_and_sessions_are_shown_without_keys() -> None:
    prefixes = MultiProviderMap()
    prefixes.add_provider("mine", OpenAIProvider(api_key="secret"))
    shown = [
        repr(OpenAIResponsesModel("gpt-4.1", api_key="secret")),
        repr(OpenAIProvider(api_key="secret")),
        repr(MultiProvider(provider_map=prefixes, openai_api_key="secret")),
        repr(RunConfig(model_provider=OpenAIProvider(api_key="secret"))),
        repr(InMemorySession("chat")),
    ]
    assert [text for text in shown if "secret" in text] == []
    assert shown[2] == "MultiProvider(prefixes=['openai', 'mine'])"
    assert shown[4] == "InMemorySession('chat')"
    session = SQLiteSession("chat")
    assert repr(session) == "SQLiteSession('chat', ':memory:')"
    session.close()


async def test_results_are_shown_in_one_line() -> None:
    agent = Agent("helper", model=ScriptedModel([[assistant_message("a" * 1000)]] * 2))

    result = await Runner.run(agent, "hi")
    async with Runner.run_streamed(agent, "hi") as stream:
        await stream.wait()

    assert repr(result).startswith("RunResult(final_output='aaa")
    assert repr(result).endswith("aaa', new_items=1)")
    assert repr(stream) == "RunResultStreaming(current_turn=1, is_complete=True)"
    assert len(repr(result)) < 100
