"""Writes a page of the API reference for each group of public names, at each build: no name can be left out.

A name belongs to the group that names its home, the module it is defined in; what no group names goes to the last.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from typing_extensions import TypeVar

import agentrun
import agentrun.testing

HERE = Path(__file__).parent / "reference"

GROUPS: dict[str, tuple[str, tuple[str, ...]]] = {
    "agents": ("Agents", ("_agent", "_agent_base", "_agent_tool", "_agent_tool_values", "agent_output", "_hooks")),
    "running": ("Running", ("_runner", "_config", "_context", "_run", "_settings", "repl", "_logging")),
    "results": ("Results", ("_result", "_events", "_usage", "_state")),
    "items": ("Items", ("_items", "_responses")),
    "tools": ("Tools", ("_tool", "_function_tool", "_hosted_tools", "_tool_failure", "_tool_output", "decorators")),
    "guardrails": ("Guardrails", ("_guardrail",)),
    "handoffs": ("Handoffs", ("_handoff", "_handoff_history")),
    "models": ("Models", ("models", "_retry")),
    "sessions": ("Sessions", ("memory",)),
    "exceptions": ("Exceptions", ("_exceptions",)),
    "more": ("More", ()),
}


def group_of(home: str) -> str:
    """Return the page for what is defined in the module `home`."""
    part = home.removeprefix("agentrun.").split(".")[0]
    return next((group for group, (_, parts) in GROUPS.items() if part in parts), "more")


def directive(module: str, name: str, value: Any) -> str:
    """Return the lines that document one name."""
    if inspect.isclass(value):
        return f".. autoclass:: {module}.{name}\n   :members:\n   :show-inheritance:\n"
    if inspect.isroutine(value):
        return f".. autofunction:: {module}.{name}\n"
    if type(value).__module__.startswith("agentrun"):
        rows = [f"   - ``{own}{_signature(method)}``: {_first_line(method)}" for own, method in _methods(value)]
        return "\n".join([f".. py:data:: {module}.{name}", "", f"   {_first_line(value)}", "", *rows]) + "\n"
    # A type alias or a constant; what Python says of it would be the docstring of its class.
    shown = (
        "a type variable" if isinstance(value, TypeVar) else _shorter(value if isinstance(value, str) else repr(value))
    )
    return f".. py:data:: {module}.{name}\n\n   ``{shown}``\n"


def _methods(value: Any) -> list[tuple[str, Any]]:
    return [(name, method) for name, method in inspect.getmembers(value, inspect.isroutine) if not name.startswith("_")]


def _signature(method: Any) -> str:
    return str(inspect.signature(method)).replace("'", "")


def _first_line(value: Any) -> str:
    return (inspect.getdoc(value) or "").partition("\n")[0]


def _shorter(text: str) -> str:
    return re.sub(r"\b(?:agentrun|collections|typing)(?:\.\w+)*\.(?=[A-Z])|ForwardRef\('([^']*)'\)", r"\1", text)


def page(title: str, module: Any, names: Iterable[str]) -> str:
    """Return one page."""
    blocks = "\n".join(directive(module.__name__, name, getattr(module, name)) for name in names)
    return f"# {title}\n\n```{{eval-rst}}\n.. currentmodule:: {module.__name__}\n\n{blocks}```\n"


def pages() -> dict[str, str]:
    """Return the pages by their file names."""
    homes: dict[str, str] = vars(agentrun)["_home_of"]
    names: dict[str, list[str]] = {group: [] for group in GROUPS}
    for name in agentrun.__all__:
        names[group_of(homes.get(name, "agentrun"))].append(name)
    found = {f"{group}.md": page(title, agentrun, names[group]) for group, (title, _) in GROUPS.items() if names[group]}
    found["testing.md"] = page("Testing", agentrun.testing, agentrun.testing.__all__)
    return found


def write() -> None:
    """Write the pages, and remove those that are no more."""
    wanted = pages()
    for path in HERE.glob("*.md"):
        if path.name != "index.md" and path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        path = HERE / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
