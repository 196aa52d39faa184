"""How Sphinx builds the documentation; `nox -s docs` does it with warnings as errors."""

from importlib import metadata

project = "agentrun"
author = "The agentrun contributors"
copyright = f"2026, {author}"
release = metadata.version("agentrun")
version = ".".join(release.split(".")[:2])

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
# Fragments are collected into the change log at a release.
exclude_patterns = ["_build", "changes"]

html_theme = "furo"
html_title = f"agentrun {release}"

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
