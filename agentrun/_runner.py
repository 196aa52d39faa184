"""`Runner`: checks what it is given, and has the driver run it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, cast

import anyio
from typing_extensions import Unpack

from agentrun._agent_base import AgentBase
from agentrun._config import RunConfig, RunErrorHandlers, RunOptions
from agentrun._context import NestedRunContext, RunContextWrapper, TContext
from agentrun._exceptions import UserError
from agentrun._fields import check_takes
from agentrun._history import INPUT_CLASSES, InputList
from agentrun._hooks import RunHooks
from agentrun._result import RunResult, RunResultStreaming
from agentrun._run.announce import Announcer
from agentrun._run.context import Run, RunSpec
from agentrun._run.driver import drive
from agentrun._run.errors import KNOWN_KINDS
from agentrun._run.live import LiveRun
from agentrun._run.scope import RunScope
from agentrun._run.sink import NullSink, StreamSink
from agentrun._settings import DEFAULT_MAX_TURNS
from agentrun._state import RunState

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from agentrun._agent import Agent
    from agentrun._responses import TResponseInputItem
    from agentrun.memory import Session

Backend = Literal["asyncio", "trio"]

_NULL_SINK = NullSink()

_LOOK_SECONDS = 0.05
"""How often a worker thread that waits for a loop of its own looks whether it was cancelled; bounds an interrupt."""


class Runner:
    """Runs agents.

    Source: running agents.
    """

    @classmethod
    async def run(
        cls,
        starting_agent: Agent[TContext],
        input: str | list[TResponseInputItem] | RunState[TContext],
        *,
        context: TContext | RunContextWrapper[TContext] | None = None,
        max_turns: int | None = DEFAULT_MAX_TURNS,
        hooks: RunHooks[TContext] | None = None,
        run_config: RunConfig | dict[str, Any] | None = None,
        error_handlers: RunErrorHandlers[TContext] | None = None,
        previous_response_id: str | None = None,
        auto_previous_response_id: bool = False,
        conversation_id: str | None = None,
        session: Session | None = None,
    ) -> RunResult:
        """Run an agent until it has a final output, and return what it came to.

        Args:
            starting_agent: the agent that begins; for a state, the one the run began with.
            input: a text, a list of input items, or the state of a run to go on with.
            context: an object for tools, hooks and guardrails; never sent to a model.
            max_turns: how many model calls the run may make; None for any number. A state keeps its own limit.
            hooks: told of every step.
            run_config: everything else about the run, also as a plain dict.
            error_handlers: what supplies an output for "max_turns", "model_refusal" and "invalid_final_output".
            previous_response_id: the reply the run continues, where the provider keeps replies.
            auto_previous_response_id: whether each request continues the reply before it.
            conversation_id: the conversation the provider keeps.
            session: where the conversation is kept on this side.

        Returns:
            The result; `interruptions` is not empty when the run waits for a decision.

        Raises:
            UserError: a wrong use, before any I/O where it can be told.
            TypeError: an argument of a wrong type, before any I/O.
            MaxTurnsExceeded: the limit is used up.
            InputGuardrailTripwireTriggered: an input guardrail tripped.
            OutputGuardrailTripwireTriggered: an output guardrail tripped.
            ModelError: a request failed for good.
            ModelBehaviorError: the model did something no run can act on.
            Exception: whatever a model, hook or guardrail of the caller raises. Every exception carries `run_data`.

        On cancel every task of the run has ended before the cancellation goes on; finished turns stay in the session.

        Source: running agents, `Runner.run`.
        """
        if _replacement is not None:
            return await _replacement.run(
                starting_agent,
                input,
                context=context,
                max_turns=max_turns,
                hooks=hooks,
                run_config=run_config,
                error_handlers=error_handlers,
                previous_response_id=previous_response_id,
                auto_previous_response_id=auto_previous_response_id,
                conversation_id=conversation_id,
                session=session,
            )
        run = _make_run(
            starting_agent,
            input,
            context,
            max_turns,
            hooks,
            run_config,
            error_handlers,
            previous_response_id,
            auto_previous_response_id,
            conversation_id,
            session,
        )
        await drive(run)
        return RunResult.of(run.state)

    @classmethod
    def run_sync(
        cls,
        starting_agent: Agent[TContext],
        input: str | list[TResponseInputItem] | RunState[TContext],
        *,
        context: TContext | RunContextWrapper[TContext] | None = None,
        max_turns: int | None = DEFAULT_MAX_TURNS,
        hooks: RunHooks[TContext] | None = None,
        run_config: RunConfig | dict[str, Any] | None = None,
        error_handlers: RunErrorHandlers[TContext] | None = None,
        previous_response_id: str | None = None,
        auto_previous_response_id: bool = False,
        conversation_id: str | None = None,
        session: Session | None = None,
        backend: Backend = "asyncio",
    ) -> RunResult:
        """Run an agent as `run` does, from code that is not async.

        Works inside a running event loop too, as in a notebook: the run then has a loop of its own on a worker thread,
        while this one waits.

        Args:
            starting_agent: see `run`.
            input: see `run`.
            context: see `run`.
            max_turns: see `run`.
            hooks: see `run`.
            run_config: see `run`.
            error_handlers: see `run`.
            previous_response_id: see `run`.
            auto_previous_response_id: see `run`.
            conversation_id: see `run`.
            session: see `run`.
            backend: the event loop to run on, "asyncio" or "trio".

        Raises:
            UserError: an unknown backend, or one that is not installed; and whatever `run` raises.

        On KeyboardInterrupt the run is cancelled and has ended before the interrupt goes on.

        Source: running agents, `Runner.run_sync`.
        """
        _check_backend(backend)
        if _replacement is not None:
            return _replacement.run_sync(
                starting_agent,
                input,
                context=context,
                max_turns=max_turns,
                hooks=hooks,
                run_config=run_config,
                error_handlers=error_handlers,
                previous_response_id=previous_response_id,
                auto_previous_response_id=auto_previous_response_id,
                conversation_id=conversation_id,
                session=session,
            )

        async def run() -> RunResult:
            return await cls.run(
                starting_agent,
                input,
                context=context,
                max_turns=max_turns,
                hooks=hooks,
                run_config=run_config,
                error_handlers=error_handlers,
                previous_response_id=previous_response_id,
                auto_previous_response_id=auto_previous_response_id,
                conversation_id=conversation_id,
                session=session,
            )

        return _run_from_sync(run, backend)

    @classmethod
    def run_streamed(
        cls,
        starting_agent: Agent[TContext],
        input: str | list[TResponseInputItem] | RunState[TContext],
        context: TContext | RunContextWrapper[TContext] | None = None,
        max_turns: int | None = DEFAULT_MAX_TURNS,
        hooks: RunHooks[TContext] | None = None,
        run_config: RunConfig | dict[str, Any] | None = None,
        previous_response_id: str | None = None,
        auto_previous_response_id: bool = False,
        conversation_id: str | None = None,
        session: Session | None = None,
        *,
        error_handlers: RunErrorHandlers[TContext] | None = None,
        task_group: TaskGroup | None = None,
    ) -> RunResultStreaming:
        """Return a run whose events are read while it goes on. Nothing starts before it has somebody to run it.

        There are three forms::

            async with Runner.run_streamed(agent, "hi") as result:  # the block owns the run; leaving it cancels the run
                async for event in result.stream_events(): ...

            result = Runner.run_streamed(agent, "hi", task_group=nursery)  # a child of the caller's nursery

            result = Runner.run_streamed(agent, "hi")  # starts at the first event; ends with the iterator
            async for event in result.stream_events(): ...

        Args:
            starting_agent: see `run`.
            input: see `run`.
            context: see `run`.
            max_turns: see `run`.
            hooks: see `run`.
            run_config: see `run`.
            previous_response_id: see `run`.
            auto_previous_response_id: see `run`.
            conversation_id: see `run`.
            session: see `run`.
            error_handlers: see `run`.
            task_group: the nursery to run in.

        Raises:
            UserError: a wrong use.
            TypeError: an argument of a wrong type.
            RuntimeError: no event loop runs.

        What the run itself raises comes out of `stream_events()`, of `wait()`, or at the end of the `async with` block.

        Source: streaming, `Runner.run_streamed`.
        """
        if _replacement is not None:
            if task_group is not None:
                raise UserError("task_group goes only with agentrun's own runner, and another one is set; leave it out")
            return _replacement.run_streamed(
                starting_agent,
                input,
                context=context,
                max_turns=max_turns,
                hooks=hooks,
                run_config=run_config,
                error_handlers=error_handlers,
                previous_response_id=previous_response_id,
                auto_previous_response_id=auto_previous_response_id,
                conversation_id=conversation_id,
                session=session,
            )
        run = _make_run(
            starting_agent,
            input,
            context,
            max_turns,
            hooks,
            run_config,
            error_handlers,
            previous_response_id,
            auto_previous_response_id,
            conversation_id,
            session,
        )
        return _streamed(run, task_group)


class AgentRunner:
    """What stands behind `Runner`. Derive from it and pass an object to `set_default_agent_runner` to run differently.

    Its methods take the arguments of `Runner`'s by keyword. Runs of agents used as tools do not go through it.

    Source: running agents, `AgentRunner`.
    """

    async def run(
        self,
        starting_agent: Agent[TContext],
        input: str | list[TResponseInputItem] | RunState[TContext],
        **kwargs: Unpack[RunOptions[TContext]],
    ) -> RunResult:
        """Return what the run came to. Arguments, exceptions and cancel are those of `Runner.run`."""
        run = _make_run_of(starting_agent, input, kwargs)
        await drive(run)
        return RunResult.of(run.state)

    def run_sync(
        self,
        starting_agent: Agent[TContext],
        input: str | list[TResponseInputItem] | RunState[TContext],
        **kwargs: Unpack[RunOptions[TContext]],
    ) -> RunResult:
        """Return what the run came to, on asyncio. Arguments and exceptions are those of `Runner.run_sync`."""
        return _run_from_sync(lambda: self.run(starting_agent, input, **kwargs), "asyncio")

    def run_streamed(
        self,
        starting_agent: Agent[TContext],
        input: str | list[TResponseInputItem] | RunState[TContext],
        **kwargs: Unpack[RunOptions[TContext]],
    ) -> RunResultStreaming:
        """Return a run whose events are read while it goes on. All is as in `Runner.run_streamed`."""
        return _streamed(_make_run_of(starting_agent, input, kwargs), None)


_default_runner = AgentRunner()
_replacement: AgentRunner | None = None


def set_default_agent_runner(runner: AgentRunner | None) -> None:
    """Let `Runner` hand over its runs to `runner` from now on, for the whole process; None undoes it.

    Raises:
        TypeError: it is no `AgentRunner`.

    Source: running agents, `set_default_agent_runner`.
    """
    global _replacement  # noqa: PLW0603 - the documented function sets a default of the process
    if runner is not None and not isinstance(runner, AgentRunner):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"the default runner must be an AgentRunner or None, got {runner!r}; derive from AgentRunner")
    _replacement = runner


def get_default_agent_runner() -> AgentRunner:
    """Return what stands behind `Runner` now; it raises nothing.

    Source: running agents, `get_default_agent_runner`.
    """
    return _replacement if _replacement is not None else _default_runner


def _streamed(run: Run, task_group: TaskGroup | None) -> RunResultStreaming:
    try:
        scope, sink = RunScope(), StreamSink(run.spec.config.event_buffer)
        run.scope, run.sink = scope, sink
        live = LiveRun(run, scope, sink)
    except anyio.NoEventLoopError:
        raise RuntimeError(
            "run_streamed was called where no event loop runs; call it in an async function, started with "
            "asyncio.run(main()), anyio.run(main) or trio.run(main), or use Runner.run_sync"
        ) from None
    if task_group is not None:
        live.started = True
        task_group.start_soon(live.host, name="agentrun run")
    return RunResultStreaming(live)


def _run_from_sync(run: Callable[[], Awaitable[RunResult]], backend: Backend) -> RunResult:
    if not _loop_is_running():
        return anyio.run(run, backend=backend)
    return _run_beside(run, backend)


def _run_beside(run: Callable[[], Awaitable[RunResult]], backend: Backend) -> RunResult:
    """Run `run` on a loop in another thread, as this one runs a loop already."""
    import anyio.from_thread
    import anyio.to_thread

    if backend == "asyncio":
        with anyio.from_thread.start_blocking_portal(backend) as portal:
            return portal.call(run)
    # A thread that runs a Trio loop may not call into another one, so that a worker thread does it.
    with anyio.from_thread.start_blocking_portal("asyncio") as portal:
        return portal.call(anyio.to_thread.run_sync, lambda: _run_in_portal(run, backend))


def _run_in_portal(run: Callable[[], Awaitable[RunResult]], backend: Backend) -> RunResult:
    """Run `run` on a loop of its own, from a worker thread; when the worker's own task is cancelled, so is the run."""
    import anyio.from_thread

    with anyio.from_thread.start_blocking_portal(backend) as portal:
        done = portal.start_task_soon(run)
        while True:
            try:
                return done.result(_LOOK_SECONDS)
            except TimeoutError:
                if done.done():  # the run's own error
                    raise
            anyio.from_thread.check_cancelled()


def _loop_is_running() -> bool:
    """Return whether this thread runs an event loop."""
    try:
        anyio.current_time()
    except anyio.NoEventLoopError:
        return False
    return True


def _check_backend(backend: str) -> None:
    if backend not in ("asyncio", "trio"):
        raise UserError(f"backend is {backend!r}, expected 'asyncio' or 'trio'; pass one of the two")
    if backend == "trio":
        import importlib.util

        if importlib.util.find_spec("trio") is None:
            raise UserError("backend is 'trio', which is not installed; pip install 'agentrun[trio]'")


def _make_run_of(given_agent: Any, given: Any, options: RunOptions[Any]) -> Run:
    unknown = sorted(options.keys() - RunOptions.__annotations__.keys())
    if unknown:
        raise TypeError(f"the run got the unknown argument(s) {unknown}; known are {list(RunOptions.__annotations__)}")
    return _make_run(
        given_agent,
        given,
        options.get("context"),
        options.get("max_turns", DEFAULT_MAX_TURNS),
        options.get("hooks"),
        options.get("run_config"),
        options.get("error_handlers"),
        options.get("previous_response_id"),
        options.get("auto_previous_response_id", False),
        options.get("conversation_id"),
        options.get("session"),
    )


def _make_run(
    given_agent: Any,
    given: Any,
    context: Any,
    max_turns: Any,
    hooks: Any,
    run_config: Any,
    error_handlers: Any,
    previous_response_id: str | None,
    auto_previous_response_id: bool,
    conversation_id: str | None,
    session: Session | None,
) -> Run:
    """Return the run that the arguments ask for.

    Raises:
        UserError: arguments that do not go together, or a state that is finished.
        TypeError: an argument of a wrong type.
    """
    if not isinstance(given_agent, AgentBase):
        raise TypeError(f"starting_agent is {given_agent!r}, expected an Agent; pass the agent object first")
    agent = cast("Agent[Any]", given_agent)  # whatever is based on AgentBase and has an Agent's attributes runs
    if hooks is not None and not isinstance(hooks, RunHooks):
        what = hooks.__name__ if isinstance(hooks, type) else type(hooks).__name__
        raise TypeError(
            f"hooks is the class {what}, expected a RunHooks object; pass {what}()"
            if isinstance(hooks, type) and issubclass(hooks, RunHooks)
            else f"hooks is a {what}, expected a RunHooks; AgentHooks go to Agent(hooks=...), not to the run"
        )
    for name, value in (("previous_response_id", previous_response_id), ("conversation_id", conversation_id)):
        if value is not None and not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"{name} is {value!r}, expected a str or None; pass the id that the provider gave")
    config = RunConfig.coerce(run_config)
    handlers = _check_handlers(error_handlers)
    _check_session(session)
    resumed = isinstance(given, RunState)
    if resumed:
        state = _resumed_state(cast("RunState[Any]", given), context)
    else:
        _check_input(given)
        _check_max_turns(max_turns)
        wrapper: RunContextWrapper[Any] = (
            cast("RunContextWrapper[Any]", context)
            if isinstance(context, RunContextWrapper)
            else RunContextWrapper(context)
        )
        state = RunState(
            wrapper,
            given,
            agent,
            max_turns,
            conversation_id=conversation_id,
            previous_response_id=previous_response_id,
            auto_previous_response_id=auto_previous_response_id,
        )
    if config.reasoning_item_id_policy is not None:
        state.set_reasoning_item_id_policy(config.reasoning_item_id_policy)
    _check_server_managed(state, agent, config, session)
    run = Run(
        RunSpec(config, handlers, session, resumed), state, _NULL_SINK, Announcer(cast("RunHooks[Any] | None", hooks))
    )
    if isinstance(context, NestedRunContext):
        run.desk = context.desk
    return run


def _resumed_state(given: RunState[Any], context: Any) -> RunState[Any]:
    if given.is_finished:
        raise UserError(
            "this state belongs to a finished run; start a new run with result.to_input_list() as its input"
        )
    state = given.resumed()
    if isinstance(context, RunContextWrapper):  # a nested run goes on: it counts where its outer run counts
        outer = cast("RunContextWrapper[Any]", context)
        state.context.context, state.context.usage = outer.context, outer.usage
    elif context is not None:
        state.context.context = context
    return state


def _check_input(given: Any) -> None:
    if isinstance(given, str):
        return
    if not isinstance(given, list):
        raise TypeError(f"input is {given!r}, expected a str, a list of input items or a RunState")
    items: list[Any] = given  # pyright: ignore[reportUnknownVariableType]
    known = 0
    if isinstance(given, InputList):
        items, known = given.held(), given.own
    if set(map(type, items[known:])) <= INPUT_CLASSES:
        return
    for index, item in enumerate(items):
        if not (isinstance(item, Mapping) or hasattr(item, "model_dump")):
            raise TypeError(
                f"input[{index}] is {item!r}, expected an input item such as {{'role': 'user', 'content': 'hi'}}"
            )


def _check_session(session: Any) -> None:
    if session is None:
        return
    if isinstance(session, type) or not (hasattr(session, "get_items") and hasattr(session, "add_items")):
        raise TypeError(
            f"session is {session!r}, expected an object with the methods of Session; "
            "make one, as in SQLiteSession('conversation-7', 'conversations.db')"
        )


def _check_max_turns(max_turns: Any) -> None:
    if max_turns is not None and (isinstance(max_turns, bool) or not isinstance(max_turns, int)):
        raise TypeError(f"max_turns is {max_turns!r}, expected a whole number or None for no limit")


def _check_handlers(handlers: Any) -> RunErrorHandlers[Any]:
    if handlers is None:
        return {}
    if not isinstance(handlers, Mapping):
        raise TypeError(f"error_handlers is {handlers!r}, expected a dict with the keys {list(KNOWN_KINDS)}")
    unknown = sorted(set(cast("Mapping[str, Any]", handlers)) - set(KNOWN_KINDS))
    if unknown:
        raise UserError(f"error_handlers has the unknown key(s) {unknown}; known are {list(KNOWN_KINDS)}")
    for kind, handler in cast("Mapping[str, Any]", handlers).items():
        check_takes(handler, ("RunErrorHandlerInput",), f"error_handlers[{kind!r}]", TypeError)
    return cast("RunErrorHandlers[Any]", handlers)


def _check_server_managed(state: RunState[Any], agent: Agent[Any], config: RunConfig, session: Session | None) -> None:
    if not state.server_managed:
        return
    if session is not None:
        raise UserError(
            "session goes with no conversation_id, previous_response_id or auto_previous_response_id: "
            "either the provider keeps the conversation, or the session does"
        )
    if agent.output_guardrails or config.output_guardrails:
        raise UserError(
            "output guardrails cannot hold back an output that the provider keeps already; "
            "use them without conversation_id and previous_response_id"
        )
