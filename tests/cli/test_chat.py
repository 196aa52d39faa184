"""`agentrun chat module:attribute`: which code the command line may load."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from agentrun._cli import main
from agentrun._cli_load import load
from agentrun._exceptions import UserError

MODULE = """
from agentrun import Agent
from agentrun.testing import ScriptedModel

class Team:
    greeter = Agent("Greeter", model=ScriptedModel(["Hello there."]))

number = 3
"""


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "chat_team.py").write_text(MODULE)
    (tmp_path / "chat_broken.py").write_text("import chat_missing_library\n")
    monkeypatch.setattr("sys.path", [str(tmp_path), *sys.path])
    importlib.invalidate_caches()
    for name in ("chat_team", "chat_broken"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return "chat_team:Team.greeter"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("options", [[], ["--no-stream"]])
def test_chat_talks_to_the_named_agent(
    team: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], backend: str, options: list[str]
) -> None:
    lines = iter(["hi", "exit"])

    def type_line(prompt: str) -> str:
        return next(lines)

    monkeypatch.setattr("builtins.input", type_line)

    assert main(["chat", team, "--backend", backend, *options]) == 0
    assert "Hello there." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("os", "expected module:attribute"),
        ("../x:y", "expected module:attribute"),
        ("/etc/passwd:x", "expected module:attribute"),
        ("os:system('true')", "expected module:attribute"),
        ("os:path.", "expected module:attribute"),
        (".os:path", "expected module:attribute"),
        ("os:__class__", "two underscores"),
        ("__main__:x", "two underscores"),
        ("os:path.__class__", "two underscores"),
        ("no_such_module_here:x", "there is no module 'no_such_module_here'"),
        ("os:nothing", "there is no 'nothing'"),
    ],
)
def test_what_is_no_path_to_an_object_is_refused(path: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        load(path)


@pytest.mark.parametrize("path", ["os:system", "chat_team:number"])
def test_what_is_no_agent_is_refused(team: str, capsys: pytest.CaptureFixture[str], path: str) -> None:
    assert main(["chat", path]) == 2
    assert "expected an Agent" in capsys.readouterr().err


def test_an_import_that_fails_inside_the_module_shows_itself(team: str) -> None:
    with pytest.raises(ModuleNotFoundError, match="chat_missing_library"):
        load("chat_broken:agent")


def test_loading_leaves_the_search_path_alone(team: str) -> None:
    before = list(sys.path)

    load(team)

    assert sys.path == before
