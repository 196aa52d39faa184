"""The table, the list of goals missed, and the plot."""

from __future__ import annotations

import importlib.util
import pathlib
import statistics
from typing import TypeAlias

from benchmarks.rows import FLOOR, Row

Samples: TypeAlias = "dict[str, dict[str, dict[str, list[float]]]]"
"""Numbers by measurement, contestant and value: one for each round."""

TRIO = 1.5
"""Trio may take so many times the goal for asyncio."""
OURS = ("agentrun", "agentrun (trio)")


def _shown(value: float | None) -> str:
    if value is None:
        return "-"
    if value == 0:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _found(row: Row, samples: Samples, label: str) -> list[float]:
    return samples.get(row.measurement, {}).get(label, {}).get(row.value, [])


def _value(row: Row, samples: Samples, label: str) -> float | None:
    found = _found(row, samples, label)
    return statistics.median(found) if found else None


def compared(row: Row, samples: Samples, label: str = "agentrun") -> float | None:
    """Return what the row's goal is about: a ratio to the peer's number, or agentrun's own number.

    The ratio is the median of the ratios of each round: what else the machine does slows a whole round down.
    """
    if row.against is None:
        return _value(row, samples, label)
    # On trio the floor is the floor on trio; a peer has no other backend.
    other = row.against + " (trio)" if row.against == FLOOR and label.endswith("(trio)") else row.against
    return _ratio(row, samples, label, other)


def _ratio(row: Row, samples: Samples, label: str, other: str) -> float | None:
    pairs = zip(_found(row, samples, label), _found(row, samples, other), strict=False)
    ratios = [own / theirs for own, theirs in pairs if theirs]
    return statistics.median(ratios) if ratios else None


def allowed(row: Row, label: str = "agentrun") -> float | None:
    """Return the largest `compared` that meets the goal."""
    if row.goal is None:
        return None
    return row.goal * TRIO if label.endswith("(trio)") and row.is_time else row.goal


def markdown(rows: list[Row], samples: Samples, labels: list[str], failures: dict[str, dict[str, str]]) -> str:
    """Return the table: a column for each contestant, then what agentrun came to and the goal."""
    before = [label for label in labels if label.startswith("agentrun at ")]
    head = ["work", *labels, *(f"ratio to {label}" for label in before), "ratio", "ratio on trio", "goal"]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for row in rows:
        if row.measurement not in samples:
            continue
        cells = [
            "failed" if label in failures.get(row.measurement, {}) else _shown(_value(row, samples, label))
            for label in labels
        ]
        cells += [
            _shown(_ratio(row, samples, "agentrun (trio)" if label.endswith("(trio)") else "agentrun", label))
            for label in before
        ]
        verdicts: list[str] = []
        for label in OURS:
            ratio, limit = compared(row, samples, label), allowed(row, label)
            if row.goal is None or ratio is None or limit is None:
                verdicts.append("-")
            else:
                verdicts.append(f"{_shown(ratio)} {'met' if ratio <= limit else '**missed**'}")
        against = f" of {row.against}" if row.against else ""
        goal = f"≤ {row.goal:g}{against}" if row.goal is not None else "-"
        lines.append("| " + " | ".join([row.title, *cells, *verdicts, goal]) + " |")
    return "\n".join(lines) + "\n"


def summary(rows: list[Row], samples: Samples) -> str:
    """Return one line for each goal that was missed."""
    missed: list[str] = []
    for row in rows:
        for label in OURS:
            ratio, limit = compared(row, samples, label), allowed(row, label)
            if ratio is not None and limit is not None and ratio > limit:
                missed.append(f"missed: {label}: {row.title}: {_shown(ratio)}, goal {limit:.3g}")
    return "\n".join(missed) or "every goal that could be compared was met"


def plot(rows: list[Row], samples: Samples, labels: list[str], path: pathlib.Path) -> None:
    """Draw each row as bars relative to agentrun, on a log scale; does nothing without matplotlib."""
    if importlib.util.find_spec("matplotlib") is None:
        return
    importlib.import_module("matplotlib").use("agg")
    pyplot = importlib.import_module("matplotlib.pyplot")
    shown = [row for row in rows if row.is_time and _value(row, samples, "agentrun")]
    if not shown:
        return
    figure, axes = pyplot.subplots(figsize=(10, 0.32 * len(shown) * max(1, len(labels) / 3) + 1))
    height = 0.8 / len(labels)
    for column, label in enumerate(labels):
        ys = [at + column * height for at in range(len(shown))]
        xs = [(_value(row, samples, label) or 0) / (_value(row, samples, "agentrun") or 1) for row in shown]
        axes.barh(ys, xs, height, label=label)
    axes.set_yticks([at + 0.4 for at in range(len(shown))], [row.title.replace("`", "") for row in shown])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlabel("times agentrun's number; less is better")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=130)
