"""Every item, event and reply of the Responses API goes through the codec and comes back as it was.

`wire.json` holds three dicts per class, made from the API's published types: only the required fields, every field, and
the required fields with every other one null.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrun import _hosted, _responses
from agentrun._codec import (
    structure_event,
    structure_item,
    structure_response,
    tag_of,
    unstructure,
    unstructure_item,
)
from agentrun._responses import Response
from agentrun._wire_value import Record, WireValue

WIRE: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "wire.json").read_text())
ITEMS = [
    pytest.param(name, data, id=f"{name}-{kind}") for name, by in WIRE["items"].items() for kind, data in by.items()
]
EVENTS = [
    pytest.param(name, data, id=f"{name}-{kind}") for name, by in WIRE["events"].items() for kind, data in by.items()
]


def class_named(name: str) -> type[WireValue]:
    cls: Any = getattr(_responses, name, None) or getattr(_hosted, name)
    assert issubclass(cls, WireValue)
    found: type[WireValue] = cls
    return found


@pytest.mark.parametrize(("name", "data"), ITEMS)
def test_an_item_goes_back_as_it_came(name: str, data: dict[str, Any]) -> None:
    item = structure_item(data)
    assert type(item) is class_named(name)
    assert item.type == data["type"]
    assert unstructure_item(item) == data
    assert structure_item(unstructure_item(item)) == item


@pytest.mark.parametrize(("name", "data"), EVENTS)
def test_an_event_goes_back_as_it_came(name: str, data: dict[str, Any]) -> None:
    event = structure_event(data)
    assert type(event) is class_named(name)
    assert event.type == data["type"]
    assert unstructure(event) == data
    assert structure_event(unstructure(event)) == event


@pytest.mark.parametrize("kind", ["least", "full", "nulls"])
def test_a_reply_goes_back_as_it_came(kind: str) -> None:
    data = WIRE["response"][kind]
    reply = structure_response(data)
    assert type(reply) is Response
    assert unstructure(reply) == data
    assert structure_response(unstructure(reply)) == reply


@pytest.mark.parametrize(("name", "data"), [*ITEMS, *EVENTS])
def test_every_field_of_a_class_reads_as_an_attribute(name: str, data: dict[str, Any]) -> None:
    value: Any = structure_item(data) if name in WIRE["items"] else structure_event(data)
    for key, sent in data.items():
        attribute = "async_" if key == "async" else key
        assert attribute in class_named(name).declared, f"{name} has no field {attribute}"
        assert unstructure(getattr(value, attribute)) == sent or sent is None


@pytest.mark.parametrize(("name", "data"), [*ITEMS, *EVENTS])
def test_a_deep_copy_is_equal_and_shares_nothing(name: str, data: dict[str, Any]) -> None:
    value: Any = structure_item(data) if name in WIRE["items"] else structure_event(data)
    copied = copy.deepcopy(value)
    assert copied == value
    assert unstructure(copied) == data
    copied.type = "changed"
    assert value.type == data["type"]


def test_every_class_of_the_tables_is_in_the_fixture() -> None:
    hosted = {cls.__name__ for cls in (*_hosted.HOSTED_ITEMS, *_hosted.HOSTED_EVENTS)}
    assert hosted < {*WIRE["items"], *WIRE["events"]}
    declared = {
        name
        for name, value in vars(_hosted).items()
        if isinstance(value, type)
        and issubclass(value, WireValue)
        and "type" in value.declared
        and value.__module__ == _hosted.__name__
    }
    assert declared == hosted
    for name, by in (*WIRE["items"].items(), *WIRE["events"].items()):
        assert tag_of(class_named(name)) == by["least"]["type"]


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
_known = {name for key in ("items", "events") for by in WIRE[key].values() for name in by["full"]}
_names = st.text(max_size=10).filter(lambda name: name not in _known) | st.sampled_from(
    ["extra", "as_sent", "shapes", "async_", "_data", "__class__", "model_dump"]
)
_extras = st.dictionaries(_names, _json, min_size=1, max_size=3)
_least_items = st.sampled_from([by["least"] for by in WIRE["items"].values()])
_least_events = st.sampled_from([by["least"] for by in WIRE["events"].values()])


@given(data=_least_items, more=_extras)
def test_items_keep_fields_nobody_knows(data: dict[str, Any], more: dict[str, Any]) -> None:
    data = {**more, **data}
    item = structure_item(data)
    assert unstructure_item(item) == data
    assert structure_item(unstructure_item(item)) == item
    assert unstructure_item(copy.deepcopy(item)) == data


@given(data=_least_events, more=_extras)
def test_events_keep_fields_nobody_knows(data: dict[str, Any], more: dict[str, Any]) -> None:
    data = {**more, **data}
    event = structure_event(data)
    assert unstructure(event) == data
    assert structure_event(unstructure(event)) == event


@given(data=st.dictionaries(_names, _json, max_size=4), tag=st.text().map("x.".__add__))
def test_values_of_unknown_type_go_back_unchanged(data: dict[str, Any], tag: str) -> None:
    data = {**data, "type": tag}
    for structure in (structure_item, structure_event):
        value: Any = structure(data)
        assert type(value) is Record
        assert value.type == tag
        assert unstructure(value) == data
        assert structure(unstructure(value)) == value


@given(
    drop=st.sets(st.sampled_from(["id", "role", "status", "type of part", "annotations", "phase"])), null=st.booleans()
)
def test_a_message_goes_back_with_the_same_fields_missing_or_null(drop: set[str], null: bool) -> None:
    part: dict[str, Any] = {"type": "output_text", "text": "hi", "annotations": []}
    data: dict[str, Any] = {
        "type": "message",
        "id": "m",
        "role": "assistant",
        "status": "completed",
        "phase": "commentary",
    }
    for name in drop:
        holder = part if name == "annotations" else data
        if null and name not in ("id", "role"):
            holder[name] = None
        else:
            holder.pop(name, None)
    data["content"] = [part]
    assert unstructure_item(structure_item(data)) == data
    assert unstructure_item(copy.deepcopy(structure_item(data))) == data
