"""The list that `to_input_list` returns: the run's own items until somebody looks, the caller's own from then on."""

# ruff: noqa: PLW0108, RUF005, RUF015 - the operations of a list are what is tested

from __future__ import annotations

import copy
import json
import pickle
from typing import Any, cast

import pytest

from agentrun import Agent, Runner
from agentrun._history import HistoryItem, InputList
from agentrun.testing import ScriptedModel

PARTS = [{"type": "input_text", "text": "hello"}]


def make() -> InputList:
    return InputList.of([{"role": "user", "content": [dict(part) for part in PARTS]}, {"role": "user", "content": "b"}])


PLAIN: list[Any] = [{"role": "user", "content": PARTS}, {"role": "user", "content": "b"}]


@pytest.mark.parametrize(
    "look",
    [
        lambda items: list(items),
        lambda items: [*items],
        lambda items: tuple(items),
        lambda items: items[:],
        lambda items: [items[0], items[1]],
        lambda items: list(reversed(items))[::-1],
        lambda items: [items.pop(0), items.pop()],
        lambda items: (items * 2)[:2],
        lambda items: (2 * items)[2:],
        lambda items: sorted(items, key=lambda item: 0),
        lambda items: copy.copy(items),
        lambda items: copy.deepcopy(items),
        lambda items: pickle.loads(pickle.dumps(items)),
        lambda items: (items + [])[0:],
        lambda items: ([] + items)[0:],
        lambda items: [*items.copy()],
        lambda items: _extended([], items),
    ],
)
def test_whoever_looks_gets_plain_dicts_of_their_own(look: Any) -> None:
    items = make()
    held = items.held()
    seen = [*look(items)]
    assert seen == PLAIN
    assert {type(item) for item in seen} == {dict}
    seen[0]["content"][0]["text"] = "changed"
    seen[1]["content"] = "changed"
    assert held == PLAIN, "the run keeps what it had"


def _extended(plain: list[Any], items: list[Any]) -> list[Any]:
    plain += items
    return plain


def test_it_compares_and_prints_as_the_list_it_stands_for() -> None:
    assert make() == PLAIN
    assert make() == PLAIN
    assert make() != PLAIN[:1]
    assert repr(make()) == repr(PLAIN)
    assert json.dumps(make()) == json.dumps(PLAIN)
    assert PLAIN[1] in make()
    assert make().index(PLAIN[1]) == 1
    assert make().count(PLAIN[0]) == 1
    assert len(make()) == 2
    assert isinstance(make(), list)
    with pytest.raises(TypeError):
        make() + (1,)


def test_the_same_dict_comes_at_every_look_and_what_is_added_stays_what_it_is() -> None:
    items = make()
    mine = {"role": "user", "content": "mine"}
    items.append(mine)
    first = items[0]
    assert items[0] is first
    assert items[-1] is mine
    assert [*items][0] is first


@pytest.mark.parametrize("before", [True, False])
def test_a_list_made_by_adding_has_the_same_dicts_in_it(before: bool) -> None:
    items = make()
    if before:
        items[0]["content"] = "changed"
    longer, shorter = items + [{"role": "user", "content": "c"}], items.copy()
    if not before:
        items[0]["content"] = "changed"
    assert longer[0]["content"] == shorter[0]["content"] == "changed"
    assert longer[0] is items[0] is shorter[0]
    assert longer.held()[0]["content"] == "changed"


def test_items_of_a_run_are_handed_on_as_they_are_and_all_others_are_copied() -> None:
    items = make()
    mine: Any = {"role": "user", "content": [{"type": "input_text", "text": "mine"}]}
    again = InputList.of(items + [mine])
    assert [one is other for one, other in zip(items.held(), again.held(), strict=False)] == [True, True]
    assert all(type(item) is HistoryItem for item in again.held())
    mine["content"][0]["text"] = "changed"
    assert again[2]["content"][0]["text"] == "mine"


@pytest.mark.parametrize(
    "change",
    [
        lambda items, mine: items.append(mine),
        lambda items, mine: items.extend([mine]),
        lambda items, mine: items.insert(0, mine),
        lambda items, mine: items.insert(1, mine),
        lambda items, mine: items.__setitem__(0, mine),
        lambda items, mine: items.__setitem__(slice(0, 2), [mine]),
        lambda items, mine: items.__setitem__(slice(None), [mine, mine]),
        lambda items, mine: items.__iadd__([mine]),
        lambda items, mine: [items.__delitem__(0), items.append(mine)],
        lambda items, mine: [items.__delitem__(slice(1, None)), items.append(mine)],
        lambda items, mine: [items.clear(), items.append(mine)],
        lambda items, mine: [items.append(mine), items.reverse()],
        lambda items, mine: [items.append(mine), items.sort(key=lambda item: item is not mine)],
        lambda items, mine: [items.pop(), items.append(mine)],
        lambda items, mine: [items.remove(PLAIN[0]), items.append(mine)],
        lambda items, mine: [items.__imul__(2), items.append(mine)],
    ],
)
@pytest.mark.parametrize("related", [lambda items: items, lambda items: items + [], lambda items: items.copy()])
async def test_a_run_gets_the_list_as_it_was_changed_and_shares_nothing_with_it(change: Any, related: Any) -> None:
    mine = {"role": "user", "content": [{"type": "input_text", "text": "mine"}]}
    items, plain = related(make()), copy.deepcopy(PLAIN)
    change(items, mine)
    change(plain, copy.deepcopy(mine))
    model = ScriptedModel(["hi"])
    result = await Runner.run(Agent("a", model=model), items)
    assert model.calls[0].input == plain
    mine["content"] = "changed"
    for item in items:
        item["content"] = "changed"
    assert result.input == plain
    assert result.to_input_list()[: len(plain)] == plain


def test_what_is_no_json_data_in_an_item_is_shared() -> None:
    thing = object()
    found: Any = InputList.of([{"role": "user", "content": [thing]}])
    assert found[0]["content"] == [thing]


async def test_a_conversation_goes_from_run_to_run_and_no_change_outside_reaches_a_run() -> None:
    model = ScriptedModel(["one", "two", "three"])
    agent = Agent("a", model=model)
    first = await Runner.run(agent, "hello")
    items = first.to_input_list()
    items.append({"role": "user", "content": "more"})
    second = await Runner.run(agent, items)
    untouched = second.to_input_list()
    for item in items:
        item["content"] = "changed"
    assert [item["content"] for item in cast("list[Any]", second.input)] == [
        "hello",
        [*first.to_input_list()][1]["content"],
        "more",
    ]
    assert "changed" not in json.dumps(untouched)
    assert "changed" not in json.dumps(first.to_input_list() + second.to_input_list())
    cast("list[Any]", second.input)[0]["content"] = "redacted"
    assert second.to_input_list()[0]["content"] == "redacted"
    assert untouched[0]["content"] == "hello"
    third = await Runner.run(agent, [*second.to_input_list(), {"role": "user", "content": "last"}])
    assert third.to_input_list()[0] == {"role": "user", "content": "redacted"}
