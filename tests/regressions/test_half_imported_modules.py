"""A library that another thread is importing just now is waited for, instead of being used half made."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

SLOW = """
import time

time.sleep(0.5)


class lowlevel:
    @staticmethod
    def in_trio_task():
        return False


class BaseModel:
    pass
"""

PROGRAM = """
import dataclasses
import sys
import threading
import time

import anyio

from agentrun import Agent, Runner
from agentrun.testing import ScriptedModel


@dataclasses.dataclass
class Answer:
    text: str


async def main():
    assert MODULE not in sys.modules
    thread = threading.Thread(target=__import__, args=(MODULE,))
    thread.start()
    while MODULE not in sys.modules:
        time.sleep(0.001)
    model = ScriptedModel(['{"response": {"text": "hi"}}'])
    result = Runner.run_streamed(Agent("a", model=model, output_type=Answer), "hello")
    async for event in result.stream_events():
        pass
    assert result.final_output == Answer("hi")
    thread.join()


anyio.run(main, backend=BACKEND)
"""


@pytest.mark.parametrize(("module", "backend"), [("trio", "asyncio"), ("pydantic", "asyncio"), ("pydantic", "trio")])
def test_a_run_goes_on_while_another_thread_imports(module: str, backend: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / f"{module}.py").write_text(SLOW)
    search = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    program = f"MODULE, BACKEND = {module!r}, {backend!r}\n{PROGRAM}"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
        env={**os.environ, "PYTHONPATH": search},
    )
    assert (ended.returncode, ended.stderr) == (0, "")
