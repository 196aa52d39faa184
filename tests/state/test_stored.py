"""features.md RT-1 to RT-5; semantics.md S-85 to S-88: what goes into a stored state and what comes back."""

from __future__ import annotations

import dataclasses
import json
import logging
import threading
from pathlib import Path
from typing import Any, cast, get_args

import attrs
import pydantic
import pytest

from agentrun import Agent, RunContextWrapper, Runner, RunState, UserError, function_tool
from agentrun.testing import ScriptedModel, function_call

CORPUS = Path(__file__).parent / "corpus"


async def test_a_state_is_plain_json_and_shares_nothing_with_the_run(world: Any) -> None:
    """RT-3, S-85."""
    state = await world.paused()
    data = state.to_json()
    assert json.loads(json.dumps(data)) == data
    assert data["$schemaVersion"] == "1.0"
    assert data["current_agent"] == {"name": "expert"} and data["starting_agent"] == {"name": "root"}
    text = state.to_string()
    assert json.loads(text) == data

    def spoil(value: Any) -> None:
        if isinstance(value, dict):
            for one in cast("dict[str, Any]", value).values():
                spoil(one)
            value.clear()
        elif isinstance(value, list):
            for one in cast("list[Any]", value):
                spoil(one)
            value.clear()

    spoil(data)
    assert state.to_string() == text, "the data is the caller's own"


async def test_everything_of_a_state_comes_back(world: Any) -> None:
    state = await world.paused()
    again = await RunState.from_string(world.root, state.to_string())
    assert again.to_json() == state.to_json()
    assert again.current_agent is world.expert and again.starting_agent is world.root
    assert [item.type for item in again.new_items] == [item.type for item in state.new_items]
    assert again.history.as_input() == state.history.as_input()
    assert again.context.usage.total_tokens == state.context.usage.total_tokens > 0
    assert [one.partial for one in again.context.usage.request_usage_entries] == [False] * 3
    assert again.input_guardrail_results[0].output.output_info == {"polite": True}
    assert again.input_guardrail_results[0].guardrail.get_name() == "polite"
    assert again.tool_output_guardrail_results[0].output.output_info == ["info"]
    assert again.raw_responses[0].response_id == "r1" and again.raw_responses[0].request_id == "q1"
    assert again.calls_done == state.calls_done and again.tools_used == state.tools_used
    with pytest.raises(UserError, match="record of a verdict"):
        await again.input_guardrail_results[0].guardrail.run(world.root, "x", again.context)


async def test_a_state_made_by_hand_runs(world: Any) -> None:
    """RT-1."""
    agent: Agent[Any] = Agent("a", model=ScriptedModel(["hello back"]))
    state: RunState[Any] = RunState(RunContextWrapper({"who": "me"}), "hello", agent, 3)
    state = await RunState.from_string(agent, state.to_string())
    assert state.max_turns == 3 and state.get_interruptions() == []
    assert (await Runner.run(agent, state)).final_output == "hello back"


# --- the context object, RT-4


@dataclasses.dataclass
class Plain:
    name: str


@attrs.define
class Attrs:
    name: str


class Model(pydantic.BaseModel):
    name: str


class Opaque:
    name = "x"


async def paused(context: Any) -> tuple[Agent[Any], RunState[Any]]:
    @function_tool(needs_approval=True)
    async def who(context: RunContextWrapper[Any]) -> str:
        return str(getattr(context.context, "name", context.context))

    agent: Agent[Any] = Agent("a", model=ScriptedModel([[function_call("who", {}, call_id="c1")], "done"]), tools=[who])
    state = (await Runner.run(agent, "hi", context=context)).to_state()
    state.approve(state.get_interruptions()[0])
    return agent, state


@pytest.mark.parametrize("context", [None, {}, {"name": "n", "deep": [{"x": 1}]}])
async def test_a_mapping_comes_back_as_it_is(context: Any, caplog: pytest.LogCaptureFixture) -> None:
    agent, state = await paused(context)
    again = await RunState.from_string(agent, state.to_string(strict_context=True), strict_context=True)
    assert again.context.context == context and not caplog.records


@pytest.mark.parametrize("context", [Plain("n"), Attrs("n"), Model(name="n")])
async def test_a_data_class_is_stored_as_a_dict_with_a_warning(context: Any, caplog: pytest.LogCaptureFixture) -> None:
    agent, state = await paused(context)
    with caplog.at_level(logging.WARNING, "agentrun"):
        data = state.to_json()
    assert data["context"]["context"] == {"name": "n"}
    assert data["context"]["context_meta"]["requires_deserializer"] is True
    assert type(context).__name__ in caplog.text
    again = await RunState.from_json(agent, data)
    assert again.context.context == {"name": "n"}
    again = await RunState.from_json(agent, data, context_deserializer=lambda found: type(context)(**found))
    assert again.context.context == context
    result = await Runner.run(agent, again)
    assert [item.output for item in result.new_items if item.type == "tool_call_output_item"] == ["n"]
    with pytest.raises(UserError, match="context_deserializer"):
        await RunState.from_json(agent, data, strict_context=True)
    with pytest.raises(UserError, match="context_serializer"):
        state.to_json(strict_context=True)


async def test_any_other_object_is_left_out_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    agent, state = await paused(Opaque())
    with caplog.at_level(logging.WARNING, "agentrun"):
        data = state.to_json()
    assert data["context"]["context"] == {} and data["context"]["context_meta"]["omitted"] is True
    assert "not at all" in caplog.text
    with pytest.raises(UserError, match="Opaque"):
        state.to_json(strict_context=True)
    assert (await RunState.from_json(agent, data)).context.context == {}


@pytest.mark.parametrize("content", [threading.Lock(), {1, 2}, float("nan")])
@pytest.mark.parametrize("kind", [Plain, Attrs])
async def test_a_data_class_that_holds_what_no_json_can_is_left_out_with_a_warning(
    kind: Any, content: Any, caplog: pytest.LogCaptureFixture
) -> None:
    _, state = await paused(kind(name=content))
    with caplog.at_level(logging.WARNING, "agentrun"):
        found = state.to_json()["context"]
    assert found["context"] == {} and found["context_meta"]["omitted"] is True
    assert found["context_meta"]["serialized_via"] == "omitted" and "not at all" in caplog.text
    with pytest.raises(UserError, match="context_serializer"):
        state.to_json(strict_context=True)
    kept = state.to_json(context_serializer=lambda context: {"n": 1}, strict_context=True)["context"]
    assert (kept["context"], kept["context_meta"]["omitted"]) == ({"n": 1}, False)


async def test_serializers_and_override() -> None:
    agent, state = await paused(Opaque())
    text = state.to_string(context_serializer=lambda context: {"n": context.name}, strict_context=True)

    async def read(found: Any) -> Opaque:
        made = Opaque()
        made.name = found["n"] * 2
        return made

    again = await RunState.from_string(agent, text, context_deserializer=read, strict_context=True)
    assert again.context.context.name == "xx"
    other = Opaque()
    again = await RunState.from_string(agent, text, context_override=other, context_deserializer=read)
    assert again.context.context is other
    assert again.context.is_tool_approved("who", "c1") is True, "decisions and usage are the state's"
    replaced = {"name": "replaced"}
    result = await Runner.run(agent, again, context=replaced)
    assert result.context_wrapper.context is replaced


async def test_a_state_holds_no_tracing_key(world: Any) -> None:
    """S-88."""
    text = (await world.paused()).to_string(include_tracing_api_key=True)
    assert "api_key" not in text


# --- states of earlier versions


STORED = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(CORPUS.glob("*.json"))}


@pytest.mark.parametrize("name", STORED)
async def test_a_state_of_an_earlier_version_loads_and_goes_on(world: Any, name: str) -> None:
    """RT-5: what was ever written stays readable; a file here is never changed, only added."""
    stored = STORED[name]
    for agent in (world.root, world.expert, world.inner):
        agent.model = ScriptedModel(["finished"])
    state = await RunState.from_json(world.root, stored["state"])
    for item in state.get_interruptions():
        if state.context.is_tool_approved(item.qualified_name or "", item.call_id or "") is None:
            state.approve(item)
    result = await Runner.run(world.root, state)
    expected = stored["expected"]
    assert sorted(world.done) == expected["done"]
    calls = [item.raw_item["call_id"] for item in result.new_items if item.type == "tool_call_output_item"]
    assert calls == expected["outputs"]
    assert result.last_agent.name == expected["last_agent"]
    assert result.final_output == "finished"


def test_every_version_has_stored_states() -> None:
    from agentrun._stored import KNOWN_VERSIONS

    assert {name.split("-")[0] for name in STORED} == set(KNOWN_VERSIONS)


def test_a_state_is_annotated_with_the_types_of_its_context_and_of_its_agent() -> None:
    assert get_args(RunState[dict[str, int], Agent[Any]]) == (dict[str, int], Agent[Any])
    assert get_args(RunState[dict[str, int]])[0] == dict[str, int]
