"""How Sphinx builds the documentation; `nox -s docs` does it with warnings as errors."""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import api_reference
import state_diagram

import agentrun

project = "agentrun"
author = "The agentrun contributors"
copyright = f"2026, {author}"
release = agentrun.__version__
version = ".".join(release.split(".")[:2])

# What is made from the code: it cannot be older than the code.
api_reference.write()
state_diagram.write()

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
# Fragments are collected into the change log at a release; the table of states is included in the design page.
exclude_patterns = ["_build", "changes", "run-states.md"]

html_theme = "furo"
html_title = f"agentrun {release}"

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

# Docstrings put code into single backticks.
default_role = "code"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
napoleon_google_docstring = True
napoleon_numpy_docstring = False


_attribute_lines: dict[str, list[str]] = {}


def before_napoleon(app: Any, what: str, name: str, value: object, options: object, lines: list[str]) -> None:
    """Turn fenced code into what reStructuredText knows, and keep the docstrings of attributes."""
    if what == "attribute":
        _attribute_lines[name] = list(lines)
    fenced = False
    for place, line in enumerate(lines):
        if line.strip().startswith("```"):
            fenced = not fenced
            lines[place] = ".. code-block:: python\n" if fenced else ""
        elif fenced:
            lines[place] = f"   {line}"
    lines[:] = [part for line in lines for part in line.split("\n")]


def after_napoleon(app: Any, what: str, name: str, value: object, options: object, lines: list[str]) -> None:
    """Put back the docstrings of attributes: napoleon takes what stands before a colon in them for a type."""
    if what == "attribute":
        lines[:] = _attribute_lines.pop(name)


def setup(app: Any) -> None:
    """Connect what adapts docstrings; napoleon's own priority is 500."""
    app.connect("autodoc-process-docstring", before_napoleon, priority=400)
    app.connect("autodoc-process-docstring", after_napoleon, priority=600)
