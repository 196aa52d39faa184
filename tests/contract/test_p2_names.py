"""Every name that the documents let programs import exists, or the guide for newcomers says that it does not yet."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import agentrun

covers = pytest.mark.covers

HERE = Path(__file__).parent
GUIDE = HERE.parents[1] / "docs" / "guides" / "coming-from-openai-agents.md"
HEADING = "### Names that do not exist yet"


def documented() -> set[str]:
    return set(HERE.joinpath("reference_names.txt").read_text().split())


def told_as_missing() -> list[str]:
    """Return the names in the guide's section."""
    section = GUIDE.read_text().partition(f"{HEADING}\n")[2].partition("\n#")[0]
    return re.findall(r"`(\w+)`", section)


@covers("NM-1")
def test_every_documented_name_exists_or_is_told_as_missing() -> None:
    missing = {name for name in documented() if not hasattr(agentrun, name)}
    assert missing - set(told_as_missing()) == set(), f"add these to {HEADING!r} of {GUIDE.name}"


@covers("NM-1")
def test_no_name_is_told_as_missing_that_exists_or_was_never_documented_or_twice() -> None:
    told = told_as_missing()
    assert {name for name in told if hasattr(agentrun, name)} == set(), f"take these out of {GUIDE.name}"
    assert set(told) - documented() == set()
    assert len(told) == len(set(told))


@covers("NM-1")
def test_names_that_exist_are_public() -> None:
    found = {name for name in documented() if hasattr(agentrun, name) and not name.startswith("__")}
    assert found - set(agentrun.__all__) == set()
