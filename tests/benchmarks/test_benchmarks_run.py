"""The benchmarks run, and the parts we own cost no more than recorded."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest

from benchmarks.report import compared, markdown, summary
from benchmarks.rows import MEASUREMENTS, TABLE, Row

ROOT = pathlib.Path(__file__).parents[2]


def run(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, check=False, capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.real_clock
def test_a_quick_run_without_peers_fills_the_table(tmp_path: pathlib.Path) -> None:
    rows = ["run", "responses", "chat", "cancel-tools"]
    out = run("benchmarks", "--quick", "--peers", "--backends", "asyncio", "--output", str(tmp_path), "--rows", *rows)
    assert "one turn in process" in out
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["failures"] == {}
    assert list(found["medians"]) == rows
    for by in found["medians"].values():
        assert set(by) == {"agentrun", "bare-httpx"}


@pytest.mark.real_clock
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--python", "nobody=python3"], "'nobody=python3' is no interpreter of a contestant"),
        (["--python", "openai-agents"], "give NAME=PATH, NAME one of ["),
        (["--python", "langgraph=/no/python"], "there is no program at '/no/python' that can be run"),
        (["--output", __file__], "File exists"),
        (["--rows", "speed"], "invalid choice: 'speed'"),
    ],
)
def test_wrong_arguments_are_told_before_anything_is_measured(arguments: list[str], told: str) -> None:
    command = [sys.executable, "-m", "benchmarks", "--quick", *arguments]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.real_clock
def test_no_part_costs_more_than_recorded() -> None:
    # In a process of its own: coverage uses the same hooks of the interpreter.
    run("benchmarks.micro", "--check")


def test_every_row_of_the_table_belongs_to_a_measurement() -> None:
    assert {row.measurement for row in TABLE} == set(MEASUREMENTS)


def test_a_ratio_is_the_median_of_the_ratios_within_each_round() -> None:
    row = Row("run", "cpu_us", "a turn", "openai-agents", 0.5)
    samples = {"run": {"agentrun": {"cpu_us": [1.0, 20.0, 3.0]}, "openai-agents": {"cpu_us": [10.0, 100.0, 10.0]}}}
    assert compared(row, samples) == 0.2
    assert "0.2 met" in markdown([row], samples, ["agentrun", "openai-agents"], {})
    assert summary([row], samples) == "every goal that could be compared was met"


def test_a_missed_goal_is_named_and_trio_is_allowed_half_as_much_again() -> None:
    row = Row("run", "cpu_us", "a turn", "openai-agents", 0.5)
    samples = {
        "run": {
            "agentrun": {"cpu_us": [6.0]},
            "agentrun (trio)": {"cpu_us": [7.0]},
            "openai-agents": {"cpu_us": [10.0]},
        }
    }
    assert summary([row], samples) == "missed: agentrun: a turn: 0.6, goal 0.5"


def test_another_commit_gets_a_column_of_its_own_and_a_ratio() -> None:
    row = Row("run", "cpu_us", "a turn")
    samples = {"run": {"agentrun": {"cpu_us": [6.0, 8.0]}, "agentrun at v1": {"cpu_us": [3.0, 16.0]}}}
    table = markdown([row], samples, ["agentrun", "agentrun at v1"], {})
    assert "ratio to agentrun at v1" in table
    assert "| 7 | 9.5 | 1.25 |" in table
