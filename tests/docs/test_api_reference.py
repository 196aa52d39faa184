"""The API reference leaves no public name out."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

import agentrun
import agentrun.testing

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    made: dict[str, str] = runpy.run_path(str(DOCS / "api_reference.py"))["pages"]()
    return made


@pytest.mark.parametrize("module", [agentrun, agentrun.testing], ids=lambda module: module.__name__)
def test_every_public_name_is_documented_once(module: Any, pages: dict[str, str]) -> None:
    directives = [line.split(":: ")[1] for page in pages.values() for line in page.splitlines() if ":: " in line]

    assert {name: directives.count(f"{module.__name__}.{name}") for name in module.__all__} == dict.fromkeys(
        module.__all__, 1
    )


def test_every_group_has_names_but_perhaps_the_last(pages: dict[str, str]) -> None:
    groups = runpy.run_path(str(DOCS / "api_reference.py"))["GROUPS"]

    assert {f"{group}.md" for group in groups} - set(pages) <= {"more.md"}
