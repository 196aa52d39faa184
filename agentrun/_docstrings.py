"""Google, NumPy and Sphinx docstrings -> what the thing does, and a text per parameter."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

import attrs

from agentrun._fields import new_dict

DocstringStyle = Literal["google", "numpy", "sphinx"]
"""How a docstring marks its parameters."""


@attrs.frozen
class Docstring:
    """What a model is told out of a docstring."""

    description: str | None = None
    """All text before the first section, or None when there is none."""
    params: Mapping[str, str] = attrs.field(factory=new_dict)
    """Text by parameter or attribute name, without stars; parameters without text are absent."""


_EMPTY = Docstring()

_SECTIONS = (
    "Args|Arguments|Parameters|Params|Other Parameters|Keyword Args|Keyword Arguments|Attributes|Receives|Returns?|"
    "Yields?|Raises|Exceptions|Warns|Warnings?|Examples?|Notes?|Tips?|Important|Caution|Danger|Deprecated|Hint|"
    "Methods|Functions|Classes|Modules|References|See Also|Todo|Usage"
)
_GOOGLE_SECTION = re.compile(rf"^(?P<name>{_SECTIONS}):[ \t]*$", re.IGNORECASE)
_NUMPY_SECTION = re.compile(rf"^(?P<name>{_SECTIONS})[ \t]*$", re.IGNORECASE)
_UNDERLINE = re.compile(r"^-{3,}[ \t]*$")
_DESCRIBES_PARAMETERS = re.compile(
    r"Args|Arguments|Parameters|Params|Other Parameters|Keyword Args|Keyword Arguments|Attributes", re.IGNORECASE
)

_GOOGLE_ENTRY = re.compile(r"^\*{0,2}(?P<name>\w+)[ \t]*(?:\((?P<type>.*?)\))?[ \t]*:(?:[ \t]+|$)(?P<text>.*)$")
_NUMPY_ENTRY = re.compile(r"^(?P<names>\*{0,2}\w+(?:[ \t]*,[ \t]*\*{0,2}\w+)*)[ \t]*(?::.*)?$")
_SPHINX_FIELD = re.compile(r"^:(?P<field>\w+)(?:[ \t]+(?P<argument>[^:]*))?:(?:[ \t]+|$)(?P<text>.*)$")
_SPHINX_PARAMETER = frozenset(
    {"param", "parameter", "arg", "argument", "key", "keyword", "kwarg", "var", "ivar", "cvar"}
)

_HINTS: dict[DocstringStyle, tuple[re.Pattern[str], ...]] = {
    # In the order in which ties are settled.
    "sphinx": tuple(
        re.compile(pattern, re.MULTILINE)
        for pattern in (r"^:(?:param|[ic]?var)\b.*:", r"^:type\b.*:", r"^:returns?:", r"^:rtype:", r"^:raises?\b.*:")
    ),
    "numpy": tuple(
        re.compile(rf"^{name}[ \t]*\n-{{3,}}", re.MULTILINE) for name in ("Parameters", "Returns", "Yields", "Raises")
    ),
    "google": tuple(
        re.compile(rf"^{name}:[ \t]*$", re.MULTILINE) for name in ("Args", "Arguments", "Returns", "Yields", "Raises")
    ),
}


def parse_docstring(text: str | None, style: DocstringStyle | None = None) -> Docstring:
    """Return the description and the parameter texts of a docstring.

    Args:
        text: the docstring as written; its indentation is removed here.
        style: how it is written; None takes the style with the most marks, Sphinx before NumPy before Google.

    Source: tools, "Automatic argument and docstring parsing".
    """
    if not text or not text.strip():
        return _EMPTY
    text = inspect.cleandoc(text)
    parse = {"google": _parse_google, "numpy": _parse_numpy, "sphinx": _parse_sphinx}[style or detect_style(text)]
    description, params = parse(text.splitlines())
    return Docstring(_joined(description) or None, {name: body for name, body in params.items() if body})


def detect_style(text: str) -> DocstringStyle:
    """Return the style of which a docstring has the most marks; Google when it has none."""
    best: DocstringStyle = "google"
    most = 0
    for style, hints in _HINTS.items():
        marks = sum(bool(hint.search(text)) for hint in hints)
        if marks > most:
            best, most = style, marks
    return best


def _parse_google(lines: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    description: list[str] = []
    params: dict[str, str] = {}
    for name, body in _sections(lines, lambda index: _google_heading(lines, index)):
        if name is None:
            description = body
        elif _DESCRIBES_PARAMETERS.fullmatch(name):
            for entry in _blocks(_dedented(body)):
                match = _GOOGLE_ENTRY.match(entry[0])
                if match is not None:
                    params.setdefault(match["name"], _joined([match["text"], *_dedented(entry[1:])]))
    return description, params


def _google_heading(lines: Sequence[str], index: int) -> tuple[str, int] | None:
    match = _GOOGLE_SECTION.match(lines[index])
    if match is None:
        return None
    # A heading has indented lines below it; without them "Usage:" is a sentence of the description. On the first line,
    # which cannot be indented, nobody can tell how the others stood to it.
    following = next((line for line in lines[index + 1 :] if line.strip()), "")
    is_heading = following[:1].isspace() or (index == 0 and _DESCRIBES_PARAMETERS.fullmatch(match["name"]))
    return (match["name"], 1) if is_heading else None


def _parse_numpy(lines: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    description: list[str] = []
    params: dict[str, str] = {}
    for name, body in _sections(lines, lambda index: _numpy_heading(lines, index)):
        if name is None:
            description = body
        elif _DESCRIBES_PARAMETERS.fullmatch(name):
            for entry in _blocks(_dedented(body)):
                match = _NUMPY_ENTRY.match(entry[0])
                if match is not None:
                    for parameter in match["names"].split(","):
                        params.setdefault(parameter.strip().lstrip("*"), _joined(_dedented(entry[1:])))
    return description, params


def _numpy_heading(lines: Sequence[str], index: int) -> tuple[str, int] | None:
    match = _NUMPY_SECTION.match(lines[index])
    if match is None or index + 1 >= len(lines) or not _UNDERLINE.match(lines[index + 1]):
        return None
    return match["name"], 2


def _parse_sphinx(lines: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    first = next((index for index, line in enumerate(lines) if _SPHINX_FIELD.match(line)), len(lines))
    params: dict[str, str] = {}
    for entry in _blocks(lines[first:]):
        match = _SPHINX_FIELD.match(entry[0])
        if match is not None and match["field"] in _SPHINX_PARAMETER and (words := (match["argument"] or "").split()):
            # ":param int limit:" has the type first.
            params.setdefault(words[-1].lstrip("*\\"), _joined([match["text"], *_dedented(entry[1:])]))
    return list(lines[:first]), params


def _sections(
    lines: Sequence[str], heading: Callable[[int], tuple[str, int] | None]
) -> Iterator[tuple[str | None, list[str]]]:
    """Yield (None, description) and then (heading, lines) for each section.

    `heading` says of a line which section begins there and how many lines its heading has.
    """
    name: str | None = None
    body: list[str] = []
    index = 0
    while index < len(lines):
        found = heading(index)
        if found is None:
            body.append(lines[index])
            index += 1
        else:
            yield name, body
            name, body = found[0], []
            index += found[1]
    yield name, body


def _blocks(lines: Sequence[str]) -> Iterator[list[str]]:
    """Yield each line that is not indented, with the indented and empty lines below it."""
    block: list[str] = []
    for line in lines:
        if line.strip() and not line[0].isspace():
            if block:
                yield block
            block = [line]
        elif block:
            block.append(line)
    if block:
        yield block


def _dedented(lines: Sequence[str]) -> list[str]:
    """Return the lines without the indentation of the first of them that has text."""
    first = next((line for line in lines if line.strip()), "")
    margin = len(first) - len(first.lstrip())
    return [line[min(margin, len(line) - len(line.lstrip())) :] for line in lines]


def _joined(lines: Sequence[str]) -> str:
    return "\n".join(line.rstrip() for line in lines).strip()
