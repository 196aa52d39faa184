"""A loop to talk to an agent in the terminal."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from agentrun._cli_view import printable
from agentrun._context import TContext
from agentrun._exceptions import UserError
from agentrun._interrupt import run_interruptible
from agentrun._items import (
    HandoffCallItem,
    HandoffOutputItem,
    ItemHelpers,
    ToolApprovalItem,
    ToolCallItem,
    ToolCallOutputItem,
)
from agentrun._run.leave import capture_run
from agentrun._runner import Runner
from agentrun._settings import DEFAULT_MAX_TURNS

if TYPE_CHECKING:
    from agentrun._agent import Agent
    from agentrun._events import StreamEvent
    from agentrun._items import RunItem
    from agentrun._responses import TResponseInputItem

__all__ = ["run_demo_loop"]

_SHOWN_CHARACTERS = 500
"""How much of a tool's arguments or output a line shows."""


async def run_demo_loop(
    agent: Agent[TContext], *, stream: bool = True, context: TContext | None = None, max_turns: int = DEFAULT_MAX_TURNS
) -> None:
    """Ask the person at the terminal for input and show the agent's answers, until the person leaves.

    The prompt is " > ". "exit" or "quit", in any case, the end of input, and Ctrl-C at the prompt leave; an empty line
    is ignored. Ctrl-C during an answer cancels that run and comes back to the prompt. The conversation goes on with the
    agent that answered last. A run that fails is reported in one line, and the loop goes on.

    The event loop stands still while the person types: a loop for one person at one terminal, not for a server.

    Args:
        agent: who answers first.
        stream: show the answer as it is written, with a line for each tool call and handoff.
        context: an object for tools, hooks and guardrails, the same for every run.
        max_turns: how many model calls one answer may take.

    Raises:
        UserError: the program is wrong, for example no API key is set.

    On cancel the run in progress is cancelled and has ended before the cancellation goes on.

    Source: REPL utility.
    """
    current: Agent[Any] = agent
    items: list[TResponseInputItem] = []
    while (said := _ask_person()) is not None:
        if not said.strip():
            continue
        turn = _Turn(current, [*items, {"role": "user", "content": said}], context, max_turns)
        try:
            await (turn.stream() if stream else turn.run())
        except UserError:
            raise
        except Exception as exc:  # noqa: BLE001 - whoever failed the run, the conversation goes on
            _show(f"\n[failed: {type(exc).__name__}: {exc}]\n")
            continue  # as if it had not been asked: what failed once would fail again
        current, items = turn.agent, turn.items


def _ask_person() -> str | None:
    """Return what the person types, or None when the person leaves."""
    try:
        with _plain_interrupts():
            said = input(" > ")
    except (EOFError, KeyboardInterrupt):
        _show("\n")
        return None
    return None if said.strip().lower() in ("exit", "quit") else said


@contextmanager
def _plain_interrupts() -> Generator[None]:
    """Let Ctrl-C raise KeyboardInterrupt at once; handlers of event loops only take a note until the loop runs on."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class _Turn:
    """One question and its answer."""

    def __init__(self, agent: Agent[Any], items: list[TResponseInputItem], context: Any, max_turns: int) -> None:
        self.agent = agent
        """Who answers; after the run, who answered last."""
        self.items = items
        """The conversation; after the run, with the answer."""
        self._context = context
        self._max_turns = max_turns

    async def stream(self) -> None:
        """Show the answer as it is written."""
        async with Runner.run_streamed(self.agent, self.items, self._context, self._max_turns) as result:

            async def show() -> None:
                agents = 0
                async for event in result.stream_events():
                    agents += event.type == "agent_updated_stream_event"
                    _show_event(event, first=agents == 1)

            stopped = await run_interruptible(show, result.cancel)
        _show("\n[stopped]\n" if stopped else "\n")
        self.agent, self.items = result.last_agent, result.to_input_list()

    async def run(self) -> None:
        """Show the answer when it is whole."""

        async def show() -> None:
            result = await Runner.run(self.agent, self.items, context=self._context, max_turns=self._max_turns)
            if result.final_output is not None:
                _show(f"{printable(str(result.final_output))}\n")

        with capture_run() as captured:
            if await run_interruptible(show):
                _show("\n[stopped]\n")
        done = captured.run_data
        if done is not None:
            items = [item.to_input_item() for item in done.new_items if not isinstance(item, ToolApprovalItem)]
            self.agent, self.items = done.last_agent, [*ItemHelpers.input_to_new_input_list(done.input), *items]


def _show_event(event: StreamEvent, *, first: bool) -> None:
    if event.type == "raw_response_event":
        if event.data.type == "response.output_text.delta":  # a model of the user's may stream classes of its own
            _show(printable(event.data.delta))
    elif event.type == "agent_updated_stream_event":
        if not first:
            _show(f"\n[agent: {printable(event.new_agent.name)}]\n")
    else:
        line = _line_of(event.item)
        if line is not None:
            _show(f"\n[{printable(line)}]\n")


def _line_of(item: RunItem) -> str | None:
    match item:
        case HandoffCallItem() | HandoffOutputItem():
            return None  # the line of the new agent says it
        case ToolCallItem():
            arguments = getattr(item.raw_item, "arguments", "")
            return f"tool: {item.tool_name} {_short(arguments)}".rstrip()
        case ToolCallOutputItem():
            return f"tool output: {_short(item.output)}"
        case _:
            return None


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]} ... ({len(text)} characters)"


def _show(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
