"""What is declared can be copied, and is shown in one line without secrets."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import threading
from typing import Any, cast

import httpx
import pytest

from agentrun import (
    Agent,
    FunctionTool,
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
    tool_namespace,
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


class Service:
    """An object that no copy may have a twin of."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    async def look(self, word: str) -> str:
        """Look a word up."""
        return word

    async def invoke(self, context: Any, arguments: str) -> str:
        return arguments


class ClientTool(FunctionTool):
    """A tool with a constructor and an attribute of its own, which runs itself."""

    def __init__(self, client: Any) -> None:
        super().__init__("fetch", "Fetch", {"type": "object", "properties": {}}, self.fetch)
        self.client = client

    async def fetch(self, context: Any, arguments: str) -> Any:
        return self.client


class Slotted(FunctionTool):
    __slots__ = ("client",)


@dataclasses.dataclass(eq=False, repr=False)
class Priced(FunctionTool):
    price: int = 0


def in_a_namespace(tool: FunctionTool) -> FunctionTool:
    return tool_namespace(name="crm", description="Customers", tools=[tool])[0]


copying = pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, in_a_namespace])


@copying
async def test_a_copied_tool_keeps_what_its_subclass_adds_and_runs_itself(copied: Any) -> None:
    client = ["a client"]
    tool = ClientTool(client)
    found = copied(tool)
    assert type(found) is ClientTool
    assert found.client == client
    assert (found.client is client) == (copied is not copy.deepcopy)
    found.client = "another"
    assert await found.on_invoke_tool(cast("Any", None), "{}") == "another"
    assert await tool.on_invoke_tool(cast("Any", None), "{}") is client
    assert found.params_json_schema == tool.params_json_schema
    assert found.params_json_schema is not tool.params_json_schema


@copying
def test_a_copied_tool_keeps_slots_and_fields_of_its_subclass(copied: Any) -> None:
    schema: dict[str, Any] = {"type": "object", "properties": {}}
    slotted = Slotted("t", "", schema, Service().invoke)
    slotted.client = "a client"  # type: ignore[attr-defined]
    assert copied(slotted).client == "a client"
    priced = cast("Any", Priced)("t", "", schema, Service().invoke, price=3)
    assert copied(priced).price == dataclasses.replace(priced, name="u").price == 3


@copying
async def test_a_copied_tool_calls_the_same_objects(copied: Any) -> None:
    service = Service()
    decorated = copied(function_tool(service.look))
    assert decorated.__wrapped__.__self__ is service
    by_hand = copied(FunctionTool("t", "", {"type": "object", "properties": {}}, service.invoke))
    assert by_hand.on_invoke_tool.__self__ is service
    nested = Agent("nested")
    assert copied(nested.as_tool("t", None, failure_error_function=None)).nested_agent is nested
    agent = copy.deepcopy(Agent("a", tools=[function_tool(service.look)]))
    assert cast("Any", agent.tools[0]).__wrapped__.__self__ is service


def test_a_deep_copy_of_a_tool_can_be_replaced_and_copied_again() -> None:
    again = dataclasses.replace(copy.deepcopy(copy.deepcopy(look_up)), name="again")
    assert (again.name, again.__wrapped__) == ("again", look_up.__wrapped__)


async def test_another_invoker_leaves_nothing_of_the_function_it_takes_the_place_of() -> None:
    async def other(context: Any, arguments: str) -> str:
        return "other"

    assigned = copy.copy(look_up)
    assigned.on_invoke_tool = other
    for tool in (assigned, dataclasses.replace(look_up, on_invoke_tool=other)):
        with pytest.raises(
            AttributeError, match=r"tool 'look_up' has no __wrapped__: .* its on_invoke_tool was replaced"
        ):
            _ = tool.__wrapped__
        # What would let a call wait for a thread that there is not, or ask a rule about arguments nobody has checked
        assert (tool.function, tool.runs_in_thread, tool.keeps_arguments) == (None, False, None)
    assert look_up.runs_in_thread
    assert look_up.keeps_arguments is not None


class OwnedAgent(Agent[Any]):
    def __init__(self, name: str, owner: str) -> None:
        super().__init__(name=name)
        self.owner = owner


class OwnedConfig(RunConfig):
    owner = "nobody"


def test_a_copy_keeps_what_a_subclass_adds_to_an_agent_and_to_a_configuration() -> None:
    agent = OwnedAgent("a", "ann")
    copied = copy.copy(agent)
    assert (type(copied), copied.name, copied.owner) == (OwnedAgent, "a", "ann")
    assert copied.tools is agent.tools
    config = OwnedConfig(workflow_name="w")
    config.owner = "ann"
    assert (copy.copy(config).workflow_name, copy.copy(config).owner) == ("w", "ann")
