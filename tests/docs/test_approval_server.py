"""The server of docs/guides/human-in-the-loop.md, each request in a process of its own, as after a deployment."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

import agentrun
from agentrun.testing import LoopbackProvider, function_call

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "human-in-the-loop.md"

REQUEST = """

import json, sys, httpx

async def request() -> None:
    path, body = sys.argv[1:]
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as browser:
        answer = await browser.post(path, json=json.loads(body))
        print("ANSWER", json.dumps([answer.status_code, answer.json()]))

anyio.run(request, backend={backend!r})
"""

pytestmark = pytest.mark.real_clock


@pytest.fixture
def server(tmp_path: Path, anyio_backend_name: str) -> Path:
    """The page's agents and server as a program that answers one request."""
    pytest.importorskip("starlette")
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    declared = next(block for block in blocks if "agent = Agent(" in block)
    declared = declared[: declared.index("result = await")]
    served = next(block for block in blocks if "app = Starlette(" in block)
    program = tmp_path / "server.py"
    program.write_text(declared + served + REQUEST.format(backend=anyio_backend_name), encoding="utf-8")
    return program


async def post(server: Path, provider_url: str, path: str, body: Any) -> tuple[int, Any]:
    """Start the server, send it one request, and let it end."""
    environment = {
        **os.environ,
        "OPENAI_API_KEY": "any-key",
        "OPENAI_BASE_URL": provider_url,
        "PYTHONPATH": str(Path(agentrun.__file__).parents[1]),
    }
    done = await anyio.run_process(
        [sys.executable, str(server), path, json.dumps(body)],
        cwd=server.parent,
        env=environment,
        stderr=subprocess.STDOUT,
        check=False,
    )
    text = done.stdout.decode()
    assert done.returncode == 0, text
    status, answer = json.loads(text.rpartition("ANSWER ")[2])
    return status, answer


async def test_a_decision_days_later_in_another_process_goes_on_with_the_run(server: Path) -> None:
    refund = function_call("refund", {"order": "B2", "cents": 900}, call_id="c9")
    look = function_call("look_up", {"order": "B2"}, call_id="c8")
    provider = LoopbackProvider([[look, refund], "Done."])
    with anyio.fail_after(60):
        async with provider.serve() as url:
            status, paused = await post(server, url, "/ask", {"question": "Refund B2, please."})
            assert status == 202
            assert paused["waiting"] == [{"call": "c9", "tool": "refund", "arguments": '{"order":"B2","cents":900}'}]
            status, same = await post(server, url, f"/runs/{paused['run']}", {})
            assert (status, same) == (202, paused), "nothing decided: it waits on, without a request to the model"
            answer = await post(server, url, f"/runs/{paused['run']}", {"c9": True})
            assert answer == (200, {"answer": "Done."})
            status, _ = await post(server, url, f"/runs/{paused['run']}", {"c9": True})
            assert status == 409
    provider.assert_complete()
    sent: Any = provider.requests[1].body["input"]
    outputs = {item["call_id"]: item["output"] for item in sent if item.get("type") == "function_call_output"}
    assert outputs == {"c8": "B2: one kettle", "c9": "refunded 900 for B2"}


async def test_of_two_decisions_at_once_one_counts(server: Path) -> None:
    provider = LoopbackProvider([[function_call("refund", {"order": "B2", "cents": 900}, call_id="c9")], "Done."])
    answers: list[tuple[int, Any]] = []
    with anyio.fail_after(60):
        async with provider.serve() as url:
            _, paused = await post(server, url, "/ask", {"question": "Refund B2, please."})

            async def click() -> None:
                answers.append(await post(server, url, f"/runs/{paused['run']}", {"c9": True}))

            async with anyio.create_task_group() as nursery:
                nursery.start_soon(click)
                nursery.start_soon(click)
    assert sorted(status for status, _ in answers) == [200, 409]
    provider.assert_complete()


async def test_a_state_that_was_changed_between_the_requests_is_refused(server: Path) -> None:
    provider = LoopbackProvider([[function_call("refund", {"order": "B2", "cents": 900}, call_id="c9")]])
    with anyio.fail_after(60):
        async with provider.serve() as url:
            _, paused = await post(server, url, "/ask", {"question": "Refund B2, please."})
            filed = server.parent / "states" / paused["run"]
            filed.write_text(filed.read_text().replace("900", "90000"))
            with pytest.raises(AssertionError, match="changed after it was signed"):
                await post(server, url, f"/runs/{paused['run']}", {"c9": True})
