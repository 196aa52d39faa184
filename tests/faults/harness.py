"""A two-turn run against a server whose second reply is a fault, and everything that must hold when it is over.

Loaded by path from the tests beside it and from tests/security: tests are no package.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import attrs

from agentrun import Agent, RunConfig, Runner, function_tool
from agentrun._exceptions import AgentsException, RunErrorDetails
from agentrun._settings import ModelRetryBackoffSettings, ModelRetrySettings, ModelSettings, Timeouts
from agentrun.testing import no_leaks

_TESTS = Path(__file__).parents[1]


def load(path: str) -> Any:
    """Return the module at `path`, relative to tests/."""
    name = "loaded_" + path.replace("/", "_").removesuffix(".py")
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, _TESTS / path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


wires: Any = load("models/conftest.py")
unit: Any = load("models/test_faults.py")
"""The faults of one request; tests/models shows what each of them is to a model."""

KEY: str = wires.KEY
PROMPT = "sentinel-prompt-4711"

SHORT = Timeouts(connect=1.0, first_event=0.25, idle=0.25, total=0.7)
"""For faults that a deadline has to end."""
LONG = Timeouts(connect=5.0, first_event=10.0, idle=10.0, total=20.0)
"""For all others: a deadline that passes there is a hang that was found."""
SOON = ModelRetrySettings(backoff=ModelRetryBackoffSettings(initial_delay=0.01, max_delay=0.02))
"""The default retries, without the default waits."""

Act = Callable[[Any, Any, Any], Awaitable[None]]


class Cell(unit.Cell):  # type: ignore[misc]  # loaded by path
    """One way to run an agent: an API, streamed or plain."""

    def __init__(self, api: str, streamed: bool) -> None:
        super().__init__(wires.Wire(), api, streamed)  # pyright: ignore[reportUnknownMemberType]
        self.attempt = 0
        """Which request of the faulty turn is answered, from 1."""

    def __repr__(self) -> str:
        return f"{self.api}-{'stream' if self.streamed else 'plain'}"

    def calls_body(self, calls: list[dict[str, Any]], text: str | None = None, **members: Any) -> bytes:
        """Return the body of a reply that makes `calls`, each with "name", "arguments" and "call_id"."""
        wire: Any = self.wire
        if self.api == "responses":
            items = [
                {"type": "function_call", "id": f"fc_{at}", "status": "completed", **call}
                for at, call in enumerate(calls)
            ]
            whole = wire.response(text or "", **members)
            whole["output"] = items + (whole["output"] if text is not None else [])
            return self.whole_body(whole)
        made = [
            {
                "index": at,
                "id": call["call_id"],
                "type": "function",
                "function": {"name": call["name"], "arguments": call["arguments"]},
            }
            for at, call in enumerate(calls)
        ]
        if not self.streamed:
            return json.dumps(wire.completion(text, "tool_calls", tool_calls=made) | members).encode()
        last: Any = wire.delta()
        last.update({"choices": [], "usage": wire.usage, **members})
        body: bytes = wire.sse(wire.delta(content=text, tool_calls=made), wire.delta("tool_calls"), last, "[DONE]")
        return body

    def whole_body(self, whole: dict[str, Any]) -> bytes:
        """Return the body of a Responses reply, in two events where it is streamed."""
        if not self.streamed:
            return json.dumps(whole).encode()
        body: bytes = self.wire.sse(self.wire.events("")[0], {"type": "response.completed", "response": whole})
        return body

    async def send(self, connection: Any, body: bytes) -> None:
        """Send a good reply."""
        await connection.send(self.wire.reply(body, self.content_type))


@attrs.define(eq=False)
class Seen:
    """A run that is over."""

    server: Any
    cell: Cell
    agent: Agent[Any]
    error: Exception | None = None
    result: Any = None
    calls: list[Any] = attrs.field(factory=list[Any])
    """The arguments of each time the tool ran."""
    events: list[Any] = attrs.field(factory=list[Any])
    seconds: float = 0.0
    attempts: int = 0
    """Requests of the faulty turn and what followed it, up to the end of the run."""
    heal: Callable[[], None] = attrs.field(default=lambda: None)
    """Has the server answer everything well from here on."""
    busy: Callable[[], int] = attrs.field(default=lambda: 0)
    """How many requests the server is answering."""
    options: dict[str, Any] = attrs.field(factory=dict[str, Any])

    @property
    def run_data(self) -> RunErrorDetails:
        """What the exception carries."""
        found = getattr(self.error, "run_data", None)
        assert isinstance(found, RunErrorDetails), f"no run_data on {self.error!r}"
        return found

    async def go(self, given: Any, **options: Any) -> Any:
        """Run the agent the cell's way and return the result."""
        if not self.cell.streamed:
            return await Runner.run(self.agent, given, **options)
        async with Runner.run_streamed(self.agent, given, **options) as result:
            async for event in result.stream_events():
                self.events.append(event)
        return result


def _tasks() -> dict[int, str | None]:
    """Return the tasks that are no server's."""
    ours = ("serving.", "SocketListener.serve", "accept")
    return {
        task.id: task.name for task in anyio.get_running_tasks() if not any(part in (task.name or "") for part in ours)
    }


@asynccontextmanager
async def faulty_run(
    cell: Cell,
    act: Act,
    *,
    timeouts: Timeouts = LONG,
    retry: ModelRetrySettings = SOON,
    config: dict[str, Any] | None = None,
    first: Act | None = None,
    closes_first: bool = False,
    session: Any = None,
    **options: Any,
) -> AsyncGenerator[Seen]:
    """Run an agent whose first turn calls a tool and goes well, and whose second turn meets `act`.

    What no failure may leave behind is checked before the block begins: tasks, requests that the server still answers.

    Args:
        cell: API and way of running.
        act: what the server does on each request after the first.
        timeouts: the deadlines of the run.
        retry: the retries of the run.
        config: further members of the run's configuration.
        first: what the server does on the first request in place of the tool call.
        closes_first: whether the server closes the connection after the first reply.
        session: where the conversation is kept.
        options: go to the model.
    """
    busy = 0
    healed = False
    calls: list[Any] = []

    @function_tool(name_override="add")
    async def add(a: int, b: int = 0) -> int:
        """Add two numbers."""
        calls.append((a, b))
        await anyio.sleep(0.01 if closes_first else 0)
        return a + b

    async def good_first(connection: Any, wire: Any, cell: Cell) -> None:
        call = {"name": "add", "arguments": '{"a": 1, "b": 2}', "call_id": "call_1"}
        await cell.send(connection, cell.calls_body([call]))

    async def handle(connection: Any) -> None:
        nonlocal busy
        while await connection.request() is not None:
            busy += 1
            try:
                if len(server.requests) == 1:
                    await (first or good_first)(connection, cell.wire, cell)
                    if closes_first:
                        return
                elif healed:
                    await cell.send(connection, b"".join(cell.parts()))
                else:
                    cell.attempt += 1
                    await act(connection, cell.wire, cell)
            finally:
                busy -= 1

    def heal() -> None:
        nonlocal healed
        healed = True

    async with cell.wire.serving(handle) as server:
        model = cell.model(server, **options)
        agent = Agent("tester", tools=[add], model=model, model_settings=ModelSettings(retry=retry))
        run_config = RunConfig(timeouts=timeouts, **(config or {}))
        seen = Seen(
            server,
            cell,
            agent,
            calls=calls,
            heal=heal,
            busy=lambda: busy,
            options={"run_config": run_config, "session": session},
        )
        leaks = no_leaks()
        before = _tasks()
        leaks.start()
        started = anyio.current_time()
        try:
            with anyio.fail_after(30):
                seen.result = await seen.go(PROMPT, **seen.options)
        except Exception as exc:  # noqa: BLE001 - what it is, is what is tested
            seen.error = exc
        seen.seconds = anyio.current_time() - started
        seen.attempts = cell.attempt
        left = [name for task, name in _tasks().items() if task not in before]
        assert not left, f"tasks outlive the run: {left}"
        with anyio.fail_after(5):
            while busy:  # noqa: ASYNC110 - the server's end of a socket; no event tells of it
                await anyio.sleep(0.002)
        try:
            yield seen
        finally:
            await model.close()
            await server.wait_open(0)
        leaks.check()


async def check_failure(seen: Seen, *, resumes: bool = True) -> None:
    """Check what every failure of a later turn has in common: one exception of ours, run_data, a run that goes on."""
    error = seen.error
    assert isinstance(error, AgentsException), f"{error!r} is none of ours"
    data = seen.run_data
    kinds = [item.type for item in data.new_items]
    assert kinds[:2] == ["tool_call_item", "tool_call_output_item"], kinds
    assert kinds.count("tool_call_item") == kinds.count("tool_call_output_item")
    assert data.raw_responses
    assert data.context_wrapper.usage.input_tokens >= 3
    told = "".join(traceback.format_exception(error)) + repr(error)
    assert KEY not in told
    assert PROMPT not in told
    if not resumes:
        return
    ran = len(seen.calls)
    requests = len(seen.server.requests)
    seen.heal()
    result = await seen.go(data.to_state(), **seen.options)
    assert result.final_output == "hello"
    assert (len(seen.server.requests) - requests, len(seen.calls) - ran) == (1, 0)
    assert result.context_wrapper.usage.input_tokens >= 6
