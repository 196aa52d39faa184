"""The list of requirements and the tests agree."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def _requirements() -> Any:
    spec = importlib.util.spec_from_file_location("contract_requirements", HERE / "requirements.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _covered() -> dict[str, set[str]]:
    """Return the ids each test names, by `file::test`."""
    found: dict[str, set[str]] = {}
    for path in sorted(HERE.glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or not node.name.startswith("test_"):
                continue
            ids = found.setdefault(f"{path.name}::{node.name}", set())
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "covers":
                    ids.update(ast.literal_eval(argument) for argument in decorator.args)
    return found


def test_every_requirement_has_a_test_or_a_reason_why_not() -> None:
    listed = _requirements()
    covered = {one for ids in _covered().values() for one in ids} | set(listed.ELSEWHERE)
    assert set(listed.REQUIREMENTS) - covered - set(listed.LATER) == set()


def test_no_requirement_is_put_off_although_a_test_proves_it() -> None:
    listed = _requirements()
    covered = {one for ids in _covered().values() for one in ids} | set(listed.ELSEWHERE)
    assert set(listed.LATER) & covered == set()
    assert set(listed.LATER) - set(listed.REQUIREMENTS) == set()


def test_tests_that_are_said_to_be_elsewhere_are_there() -> None:
    listed = _requirements()
    assert set(listed.ELSEWHERE) - set(listed.REQUIREMENTS) == set()
    missing: list[str] = []
    for place in sorted({place for places in listed.ELSEWHERE.values() for place in places}):
        file, _, name = place.partition("::")
        source = HERE.parent.joinpath(file).read_text()
        if re.search(rf"^(async )?def {name}\(", source, re.MULTILINE) is None:
            missing.append(place)
    assert missing == []


def test_every_test_names_a_requirement_and_only_known_ones() -> None:
    known = set(_requirements().REQUIREMENTS)
    for test, ids in _covered().items():
        if test.startswith(("test_requirements.py", "test_documented_usage.py")):
            continue
        assert ids, f"{test} covers nothing"
        assert ids <= known, f"{test} names {sorted(ids - known)}"
