"""reliability.md S05; features.md RT-3, RT-5: whatever is read is either a state or a UserError that says where."""

from __future__ import annotations

import copy
import math
import os
import pickle
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any, cast

import anyio
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from agentrun import Agent, AgentsException, ModelBehaviorError, Runner, RunState, UserError

FULL = os.environ.get("AGENTRUN_SWEEP") == "full"
_KINDS: list[Any] = [None, -1, "x", [None], {"a": 1}]
_MORE: list[Any] = [True, 0, 3, 2**70, 1.5, "", [], {}, [[]], ["c1"]]
WRONG: list[Any] = [*_KINDS, *_MORE] if FULL else _KINDS
RUN_EVERY = 1 if FULL else 7
"""Loading is what is tested; of the states that load, so many are run too."""


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every path in JSON data, the root first."""
    yield path
    if isinstance(value, dict):
        for key, one in cast("dict[str, Any]", value).items():
            yield from places(one, (*path, key))
    elif isinstance(value, list):
        for index, one in enumerate(cast("list[Any]", value)):
            yield from places(one, (*path, index))


def put(data: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Put a value in its place and return what stood there."""
    for key in path[:-1]:
        data = data[key]
    before, data[path[-1]] = data[path[-1]], new
    return before


def at_path(data: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        data = data[key]
    return data


async def check(world: Any, data: Any, what: str, *, run: bool) -> bool:
    """Load `data` and, where it loads, decide and run it; return whether it was refused."""
    try:
        state = await RunState.from_json(world.root, data)
    except UserError as exc:
        assert str(exc).startswith("this run state cannot be read: "), f"{what}: {exc}"
        assert "$" in str(exc) or "nested deeper" in str(exc), f"{what}: says not where: {exc}"
        return True
    except Exception as exc:
        raise AssertionError(f"{what}: {exc!r}") from exc
    if not run:
        return False
    try:
        state.to_string()
        for item in state.get_interruptions():
            state.approve(item)
        with anyio.fail_after(5):
            result = await Runner.run(world.root, state)
        result.to_input_list()
        result.to_state().to_string()
    except AgentsException:
        pass
    except Exception as exc:
        raise AssertionError(f"{what}, when it is run: {exc!r}") from exc
    return False


async def test_every_value_of_a_state_may_be_wrong(world: Any) -> None:
    """S05, systematically: each value of a state that has everything, replaced by values of every kind."""
    data = (await world.paused()).to_json()
    refused = tried = 0
    for path in list(places(data))[1:]:
        for new in WRONG:
            before = put(data, path, copy.deepcopy(new))
            tried += 1
            refused += await check(world, data, f"{path} = {new!r}", run=tried % RUN_EVERY == 0)
            put(data, path, before)
    assert refused > tried / 2, "most places take one kind of value only"


async def test_every_part_of_a_state_may_be_missing_or_double(world: Any) -> None:
    data = (await world.paused()).to_json()
    for count, path in enumerate(list(places(data))[1:]):
        run = count % RUN_EVERY == 0
        parent = at_path(data, path[:-1])
        before = copy.copy(parent)
        del parent[path[-1]]
        await check(world, data, f"no {path}", run=run)
        if isinstance(parent, list):
            parent[:] = [*before, before[path[-1]]]
            await check(world, data, f"double {path}", run=run)
            parent[:] = before
        else:
            parent.clear()
            parent.update(before)


PHASES = (Phase.generate, Phase.shrink)  # nothing is targeted, so the optimiser need not be loaded in the loop
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(
    max_examples=60, phases=PHASES, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(seed=st.randoms(use_true_random=False), new=JSON)
async def test_any_value_in_any_place_is_a_state_or_a_user_error(world: Any, seed: Any, new: Any) -> None:
    data = (await world.paused()).to_json()
    path = seed.choice(list(places(data))[1:])
    put(data, path, new)
    await check(world, data, f"{path} = {new!r}", run=True)


@pytest.mark.parametrize("found", [None, [], "text", 3, [{}], {}, {"$schemaVersion": None}, b"bytes"])
async def test_what_is_no_state_at_all_is_refused(world: Any, found: Any) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        await RunState.from_json(world.root, found)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "NaN", '{"a": NaN}', "1" * 5000, "\ud800", '{"a": "\udfff"', "[" * 200_000]
)
async def test_text_that_is_no_state_is_refused(world: Any, text: str) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        await RunState.from_string(world.root, text)


@pytest.mark.parametrize("found", [None, b"{}", pickle.dumps({"a": 1}), 3])
async def test_what_is_no_text_is_refused(world: Any, found: Any) -> None:
    """S05: pickle bytes are bytes like any others."""
    with pytest.raises(UserError, match="from a str"):
        await RunState.from_string(world.root, found)


@pytest.mark.parametrize("version", ["1.1", "2.0", "0.9", "", 1.0, 1, None, [], {}])
async def test_another_version_is_refused_by_name(world: Any, version: Any) -> None:
    """RT-5."""
    data = (await world.paused()).to_json() | {"$schemaVersion": version}
    with pytest.raises(UserError, match=r"\$schemaVersion"):
        await RunState.from_json(world.root, data)


async def test_a_text_of_a_hundred_megabytes_is_refused_at_once(world: Any) -> None:
    text = '{"a": "' + "x" * 100_000_000 + '"}'
    tracemalloc.start()
    started = time.perf_counter()
    try:
        with pytest.raises(UserError, match="100000009 characters"):
            await RunState.from_string(world.root, text)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize("depth", [129, 900, 5_000])
async def test_deep_nesting_is_refused_in_every_place(world: Any, depth: int) -> None:
    deep: Any = []
    for _ in range(depth):
        deep = [deep]
    data = (await world.paused()).to_json()
    for path in list(places(data))[1:]:
        before = put(data, path, deep)
        with pytest.raises(UserError):
            await RunState.from_json(world.root, data)
        put(data, path, before)


async def test_agents_and_tools_that_are_not_there_are_named(world: Any) -> None:
    """RT-3, S-87."""
    data = (await world.paused()).to_json()
    stranger: Agent[Any] = Agent("stranger", handoffs=[])
    with pytest.raises(UserError, match=r"\$\.starting_agent\.name is 'root', which is none of .*'stranger'"):
        await RunState.from_json(stranger, data)
    world.expert.tools[2:] = []
    with pytest.raises(UserError, match=r"\$\.pending_turn\.nested\.c4 belongs to tool 'inner'"):
        await RunState.from_json(world.root, data)


async def test_a_tool_that_is_gone_fails_the_run_by_name(world: Any) -> None:
    """S-87."""
    state = await RunState.from_json(world.root, (await world.paused()).to_json())
    del world.expert.tools[1]
    with pytest.raises(ModelBehaviorError, match="Tool pay not found in agent expert"):
        await Runner.run(world.root, state)
    assert world.done == []


async def test_ids_that_stand_twice_are_refused(world: Any) -> None:
    data = (await world.paused()).to_json()
    first, second = [item for item in data["items"] if item["type"] == "tool_call_item"][:2]
    second["raw_item"]["call_id"] = first["raw_item"]["call_id"]
    with pytest.raises(UserError, match=r"second call with the id 'c1'"):
        await RunState.from_json(world.root, data)


async def test_open_decisions_belong_to_open_calls(world: Any) -> None:
    data = (await world.paused()).to_json()
    with pytest.raises(UserError, match=r"\$\.interruptions\[0\]"):
        await RunState.from_json(world.root, data | {"pending_turn": None})
    outputs = data["pending_turn"]["outputs"]
    outputs["c3"] = outputs["c2"]
    with pytest.raises(UserError, match=r"\$\.pending_turn\.outputs\.c3"):
        await RunState.from_json(world.root, data)


# --- signing


@pytest.mark.parametrize("key", ["secret", b"secret", "schlüssel"])
async def test_a_signed_state_comes_back_with_its_key_alone(world: Any, key: Any) -> None:
    text = (await world.paused()).to_string(key=key)
    state = await RunState.from_string(world.root, text, key=key)
    assert [item.call_id for item in state.get_interruptions()] == ["c3", "n1", "c5"]
    for bad in ("other", b"other"):
        with pytest.raises(UserError, match="changed after it was signed"):
            await RunState.from_string(world.root, text, key=bad)
    with pytest.raises(UserError, match="is signed"):
        await RunState.from_string(world.root, text)
    with pytest.raises(UserError, match="is not signed"):
        await RunState.from_string(world.root, text[text.index("{") :], key=key)


async def test_any_change_of_a_signed_text_is_refused(world: Any) -> None:
    text = (await world.paused()).to_string(key="secret")
    for place in range(0, len(text), 97):
        changed = text[:place] + chr(ord(text[place]) ^ 1) + text[place + 1 :]
        with pytest.raises(UserError):
            await RunState.from_string(world.root, changed, key="secret")
    for cut in ("agentrun-state-1.", "agentrun-state-1.abc", "agentrun-state-1..{}", "agentrun-state-1.\ud800.{}"):
        with pytest.raises(UserError):
            await RunState.from_string(world.root, cut, key="secret")


@pytest.mark.parametrize("key", ["", b"", 3])
async def test_a_key_that_protects_nothing_is_refused(world: Any, key: Any) -> None:
    with pytest.raises(UserError, match="key is"):
        (await world.paused()).to_string(key=key)


# --- what is written can be read


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, "\ud800 half", "nul \0", {1: 2}, {1, 2}, object(), b"bytes", [[[[]]]]]
)
async def test_whatever_a_tool_returns_the_state_can_be_stored_and_read(world: Any, value: Any) -> None:
    state = await world.paused()
    output = next(item for item in state.new_items if item.type == "tool_call_output_item")
    output.output = value
    text = state.to_string()
    text.encode()
    again = await RunState.from_string(world.root, text)
    assert again.to_string() == text


@pytest.mark.parametrize("context", [{"x": math.nan}, {"x": object()}, {"x": [[]]}])
async def test_a_context_without_json_form_is_refused_when_it_is_written(world: Any, context: Any) -> None:
    state = await world.paused()
    for _ in range(200 if context == {"x": [[]]} else 0):
        context = {"x": context}
    state.context.context = context
    with pytest.raises(UserError, match="the context"):
        state.to_string()
