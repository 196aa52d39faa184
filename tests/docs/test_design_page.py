"""The diagram in the docs shows the table that the driver follows."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from agentrun._run.machine import TABLE, State

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def diagram() -> dict[str, Any]:
    return runpy.run_path(str(DOCS / "state_diagram.py"))


def test_the_committed_diagram_is_current(diagram: dict[str, Any]) -> None:
    stale = [path.name for path, text in diagram["files"]().items() if path.read_text(encoding="utf-8") != text]

    assert stale == [], "run `python docs/state_diagram.py`"


def test_every_state_has_a_place_of_its_own(diagram: dict[str, Any]) -> None:
    places = diagram["PLACES"]

    assert set(places) == set(State)
    assert len(set(places.values())) == len(places)
    assert set(diagram["BENDS"]) <= {(state, target) for (state, _), (_, target) in TABLE.items()}


def test_the_diagram_is_xml_that_names_every_event(diagram: dict[str, Any]) -> None:
    root = ElementTree.fromstring(diagram["svg"]())
    texts = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]

    assert sorted(text for text in texts if text) == sorted(
        [*(state.value for state in State), *(event.value for _, event in TABLE)]
    )


def test_no_link_between_pages_is_broken() -> None:
    pages = [DOCS.parent / "README.md", *(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)]
    links = [
        (page, link)
        for page in pages
        for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if "://" not in link
    ]

    assert [(page.name, link) for page, link in links if not (page.parent / link).exists()] == []
