"""Draws the states of a run from the table that the driver follows: docs/run-states.svg and docs/run-states.md.

`python docs/state_diagram.py` writes both; the Sphinx build does so too, and a test fails when they are not current.
Only where the boxes stand is decided here. What there is to draw is `agentrun._run.machine.TABLE`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path
from xml.sax.saxutils import escape

from agentrun._run.machine import FINAL, TABLE, Event, State

HERE = Path(__file__).parent

PLACES: dict[State, tuple[float, float]] = {
    State.IDLE: (0, 0),
    State.HANDING_OVER: (1, 0),
    State.READY: (0, 1.3),
    State.ASKING: (1, 1.3),
    State.ACTING: (2, 1.3),
    State.PAUSED: (3, 1.3),
    State.STOPPED: (0, 2.9),
    State.RECOVERING: (1, 2.9),
    State.CLOSING: (2, 2.9),
    State.COMPLETED: (3, 2.9),
}
"""Column and row of each box."""

BENDS: dict[tuple[State, State], float] = {
    (State.IDLE, State.ACTING): -105,
    (State.READY, State.ASKING): -12,
    (State.ASKING, State.READY): -22,
    (State.ACTING, State.READY): -62,
    (State.ACTING, State.CLOSING): 42,
    (State.READY, State.RECOVERING): 22,
    (State.RECOVERING, State.READY): 22,
}
"""How far an arrow bulges to its left, in pixels; 0 where nothing is said."""

COLUMN, ROW, WIDTH, HEIGHT = 275, 120, 120, 36
LEFT, TOP = 90, 90
LABEL_ROW = 14


def centre(state: State) -> tuple[float, float]:
    """Return where the box of `state` has its middle."""
    column, row = PLACES[state]
    return LEFT + column * COLUMN, TOP + row * ROW


def edges() -> dict[tuple[State, State], list[Event]]:
    """Return the events that lead from one state to another, in the order of the table."""
    found: dict[tuple[State, State], list[Event]] = defaultdict(list)
    for (state, event), (_, target) in TABLE.items():
        found[state, target].append(event)
    return found


def border(state: State, towards: tuple[float, float]) -> tuple[float, float]:
    """Return where a line from the middle of a box leaves the box."""
    x, y = centre(state)
    dx, dy = towards[0] - x, towards[1] - y
    scale = min((WIDTH / 2 + 3) / abs(dx) if dx else math.inf, (HEIGHT / 2 + 3) / abs(dy) if dy else math.inf)
    return x + dx * scale, y + dy * scale


def arrow(source: State, target: State, events: list[Event]) -> str:
    """Return one arrow with its labels."""
    (x1, y1), (x2, y2) = centre(source), centre(target)
    length = math.hypot(x2 - x1, y2 - y1)
    bend = BENDS.get((source, target), 0.0)
    # The control point of the curve; its bulge is half as far out.
    cx = (x1 + x2) / 2 + (y2 - y1) / length * bend * 2
    cy = (y1 + y2) / 2 - (x2 - x1) / length * bend * 2
    if (source, target) == (State.IDLE, State.ACTING):
        cx, cy = x2, y1 + bend  # over the top of the box between
    (sx, sy), (tx, ty) = border(source, (cx, cy)), border(target, (cx, cy))
    mx, my = (sx + 2 * cx + tx) / 4, (sy + 2 * cy + ty) / 4
    top = my - (len(events) - 1) * LABEL_ROW / 2 + 4
    labels = "".join(
        f'<text class="label" x="{mx:.0f}" y="{top + LABEL_ROW * place:.0f}">{escape(event.value)}</text>'
        for place, event in enumerate(events)
    )
    path = f"M{sx:.0f} {sy:.0f} Q{cx:.0f} {cy:.0f} {tx:.0f} {ty:.0f}"
    return f'<path class="arrow" d="{path}"/>{labels}'


def box(state: State) -> str:
    """Return one box; states that a run ends in have a double border."""
    x, y = centre(state)
    finals = {target for decision, target in TABLE.values() if decision in FINAL}
    kind = "final" if state in finals else "state"
    return (
        f'<rect class="{kind}" x="{x - WIDTH / 2:.0f}" y="{y - HEIGHT / 2:.0f}" '
        f'width="{WIDTH}" height="{HEIGHT}" rx="8"/>'
        f'<text class="name" x="{x:.0f}" y="{y + 5:.0f}">{escape(state.value)}</text>'
    )


STYLE = """
text { font: 13px sans-serif; text-anchor: middle; fill: #222 }
.label { font-size: 11.5px; fill: #14508c; paint-order: stroke; stroke: #fff; stroke-width: 6px }
.state { fill: #eef4fb; stroke: #14508c; stroke-width: 1.5 }
.final { fill: #eaf6ec; stroke: #1d6b33; stroke-width: 3 }
.arrow { fill: none; stroke: #555; stroke-width: 1.3; marker-end: url(#tip) }
"""


def svg() -> str:
    """Return the diagram."""
    width = 2 * LEFT + max(column for column, _ in PLACES.values()) * COLUMN
    height = TOP + max(row for _, row in PLACES.values()) * ROW + 40
    arrows = edges().items()
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" role="img">',
        "<title>The states of a run</title>",
        f"<style>{STYLE}</style>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 Z" fill="#555"/></marker></defs>',
        '<rect width="100%" height="100%" fill="#fff"/>',
        *(arrow(source, target, events) for (source, target), events in arrows),
        *(box(state) for state in PLACES),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def table() -> str:
    """Return the table itself, as a table of Markdown."""
    rows = [
        f"| {state.value} | {event.value} | {decision.value} | {target.value} |"
        for (state, event), (decision, target) in TABLE.items()
    ]
    return "\n".join(["| in state | after event | do | new state |", "|---|---|---|---|", *rows]) + "\n"


def files() -> dict[Path, str]:
    """Return what the files should hold."""
    return {HERE / "run-states.svg": svg(), HERE / "run-states.md": table()}


def write() -> None:
    """Write the files that are not current."""
    for path, text in files().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
