"""Every Python block of the README and of the docs runs, on asyncio and on trio.

The blocks of a page run one after another in one namespace, each as a reader would run it. A block with an `await`
outside of a function runs inside an event loop, as in a notebook. Agents that name no model reach a loopback provider,
because the environment says so. HTML comments before a block, which readers do not see, say what is special about it:

- `<!-- replies: [...] -->`: what the provider answers, step by step; without it every request gets "All right."
- `<!-- prints: text -->`: what the block must print, among other things.
- `<!-- backend: asyncio -->`: the block names a backend itself.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import inspect
import io
import re
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

import anyio
import attrs
import pytest

import agentrun.testing
from agentrun.testing import LoopbackProvider, serve_in_thread

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(path for path in (ROOT / "docs").rglob("*.md") if "changes" not in path.parts)]

_BLOCK = re.compile(r"^```python\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"<!-- (replies|prints|backend): (.*?) -->\s*", re.DOTALL)


@attrs.frozen
class Block:
    code: str
    line: int
    marks: dict[str, str]


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page, with the comments that stand right before each."""
    text = page.read_text(encoding="utf-8")
    for match in _BLOCK.finditer(text):
        before = text[: match.start()]
        marks: dict[str, str] = {}
        comments = list(_COMMENT.finditer(before))
        while comments and comments[-1].end() == len(before):
            marks[comments[-1][1]] = comments[-1][2]
            before = before[: comments.pop().start()]
        yield Block(match["code"], text.count("\n", 0, match.start("code")), marks)


def replies(block: Block) -> list[Any] | None:
    if "replies" not in block.marks:
        return None
    names = {name: getattr(agentrun.testing, name) for name in agentrun.testing.__all__}
    found: list[Any] = eval(block.marks["replies"], names)
    return found


def compiled(block: Block, page: Path) -> CodeType:
    """The block as code whose traceback shows the line of the page."""
    source = "\n" * block.line + block.code
    code: CodeType = compile(source, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    return code


def run_block(code: CodeType, names: dict[str, Any], backend: str) -> None:
    if not code.co_flags & inspect.CO_COROUTINE:
        exec(code, names)
        return

    async def run() -> None:
        await eval(code, names)

    anyio.run(run, backend=backend)


def all_right(body: dict[str, Any]) -> str:
    return "All right."


PAGES_WITH_CODE = [page for page in PAGES if any(True for _ in blocks(page))]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("page", PAGES_WITH_CODE, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_code_of_a_page_runs(page: Path, backend: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-for-the-loopback-provider")
    monkeypatch.setattr(anyio, "run", functools.partial(anyio.run, backend=backend))
    names: dict[str, Any] = {"__name__": "page"}
    for block in blocks(page):
        if block.marks.get("backend", backend) != backend:
            continue
        steps = replies(block)
        provider = LoopbackProvider(steps) if steps is not None else LoopbackProvider(script=all_right)
        printed = io.StringIO()
        with serve_in_thread(provider) as server, contextlib.redirect_stdout(printed):
            monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
            run_block(compiled(block, page), names, backend)
        provider.assert_complete()
        assert block.marks.get("prints", "") in printed.getvalue()


def test_no_block_escapes_by_its_form() -> None:
    """A fence that the pattern above does not see would never run."""
    fences = re.compile(
        r"^\s*(`{3,}|~{3,})\s*\{?(code-block\}|code\}|)\s*\{?(python|py)\b", re.MULTILINE | re.IGNORECASE
    )
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert len(fences.findall(text)) == len(_BLOCK.findall(text)), page
