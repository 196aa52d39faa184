"""The command line: `agentrun demo` and `agentrun chat`, also as `python -m agentrun`."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, cast

import anyio

Backend = Literal["asyncio", "trio"]

INTERRUPTED = 130
"""The exit code after Ctrl-C: 128 and the number of SIGINT, as shells have it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, and return its exit code.

    Args:
        arguments: what stands behind the program's name; `sys.argv` when None.

    Returns:
        0, 1 when the run failed, 2 for wrong usage, 130 after Ctrl-C.

    Raises:
        SystemExit: from argparse, for wrong arguments and `--help`.
    """
    given = _parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")  # a terminal that lacks a letter must not fail a run
    try:
        return cast("int", given.run(given))
    except BrokenPipeError:
        # Whoever read our output has left; Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="agentrun", description="A structured-concurrency runtime for LLM agents on asyncio and Trio."
    )
    version = importlib.import_module("agentrun").__version__
    parser.add_argument("--version", action="version", version=f"agentrun {version}")
    commands = parser.add_subparsers(required=True, metavar="command")

    demo = commands.add_parser(
        "demo",
        help="run agents, tools, a guardrail and a handoff, without key or network",
        description="Run a triage agent with a guardrail, a handoff and two parallel tools over real HTTP. "
        "Without --model and --base-url a scripted provider in this process answers.",
    )
    demo.set_defaults(run=_demo)
    _add_backend(demo)
    demo.add_argument("--model", metavar="NAME", help="ask this model; the key is read from OPENAI_API_KEY")
    demo.add_argument("--base-url", metavar="URL", help="where the model's API is; default: OPENAI_BASE_URL or OpenAI")
    demo.add_argument("--api", choices=("responses", "chat"), default="responses", help="the API to speak")
    demo.add_argument("--plain", action="store_true", help="write plain lines also where a live view is possible")

    chat = commands.add_parser(
        "chat",
        help="talk to an agent of yours",
        description="Talk to an agent of yours in the terminal. 'exit', 'quit' or the end of input leaves; "
        "Ctrl-C stops the answer, and leaves at the prompt.",
    )
    chat.set_defaults(run=_chat)
    chat.add_argument(
        "agent",
        metavar="module:attribute",
        help="where the agent is, for example my_project.agents:triage; the module must be importable",
    )
    _add_backend(chat)
    chat.add_argument("--no-stream", action="store_true", help="show each answer when it is whole")
    chat.add_argument("--max-turns", type=int, default=10, metavar="N", help="model calls per question; default: 10")
    return parser


def _add_backend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--backend", choices=("asyncio", "trio"), default="asyncio", help="the event loop; default: asyncio"
    )


def _demo(given: argparse.Namespace) -> int:
    from agentrun._demo import DemoOptions, run_demo

    options = DemoOptions(given.backend, given.model, given.base_url, given.api, given.plain)

    async def run() -> None:
        await run_demo(options, sys.stdout)

    return _run(run, given.backend)


def _chat(given: argparse.Namespace) -> int:
    from agentrun._agent import Agent
    from agentrun._cli_load import load
    from agentrun._exceptions import UserError
    from agentrun.repl import run_demo_loop

    try:
        agent = load(given.agent)
        if not isinstance(agent, Agent):
            raise UserError(f"{given.agent!r} is a {type(agent).__name__}, expected an Agent; name the agent object")
    except UserError as exc:
        return _fail(exc, 2)
    found = cast("Agent[Any]", agent)

    async def run() -> None:
        await run_demo_loop(found, stream=not given.no_stream, max_turns=given.max_turns)

    return _run(run, given.backend, interrupt=False)


def _run(main: Callable[[], Awaitable[None]], backend: Backend, *, interrupt: bool = True) -> int:
    """Run `main` on `backend`, and return the exit code; Ctrl-C cancels it, or is its own business.

    Errors that agentrun raises on purpose are told in one line; any other is a bug and shows its traceback.
    """
    from agentrun._exceptions import AgentsException, UserError
    from agentrun._interrupt import run_interruptible

    if backend == "trio" and importlib.util.find_spec("trio") is None:
        return _fail("trio is not installed; pip install 'agentrun[trio]', or use --backend asyncio", 2)
    try:
        if not interrupt:
            anyio.run(main, backend=backend)
            return 0
        if anyio.run(run_interruptible, main, backend=backend):
            return _fail("interrupted; everything that was running has been cancelled and has ended", INTERRUPTED)
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except UserError as exc:
        return _fail(exc, 2)
    except AgentsException as exc:
        return _fail(exc, 1)


def _fail(problem: object, code: int) -> int:
    print(f"agentrun: {problem}", file=sys.stderr)
    return code
