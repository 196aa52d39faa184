"""What a run hands out: results are views of its state. They hold no task and no stream of their own."""

from __future__ import annotations

import abc
import re
import reprlib
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, cast

import anyio
import attrs

from agentrun._dataclass import Dataclass
from agentrun._exceptions import AgentsException, UserError
from agentrun._fields import new_list
from agentrun._history import HistoryItem, InputList
from agentrun._items import ItemHelpers, MessageOutputItem, ToolApprovalItem
from agentrun._state import LastAgent

if TYPE_CHECKING:
    from agentrun._agent import Agent
    from agentrun._agent_tool_values import AgentToolInvocation
    from agentrun._context import RunContextWrapper
    from agentrun._events import StreamEvent
    from agentrun._guardrail import (
        InputGuardrailResult,
        OutputGuardrailResult,
        ToolInputGuardrailResult,
        ToolOutputGuardrailResult,
    )
    from agentrun._items import ModelResponse, RunItem
    from agentrun._responses import TResponseInputItem
    from agentrun._run.desk import ApprovalRequests
    from agentrun._run.live import LiveRun
    from agentrun._run.scope import CancelMode
    from agentrun._state import RunState

_T = TypeVar("_T")

ToInputListMode = Literal["preserve_all", "normalized"]


class RunResultBase(abc.ABC):
    """What a run has come to, finished or not.

    Source: results.
    """

    input: str | list[TResponseInputItem]
    """The input of the run: what was passed, the merged list with a session, or what a handoff filter made of it."""
    new_items: list[RunItem]
    """What the run made, oldest first."""
    raw_responses: list[ModelResponse]
    """The model's replies in this run, oldest first; those of nested agents are not among them."""
    final_output: Any
    """The output of the last agent; None for a run that was cancelled, paused, stopped or failed."""
    input_guardrail_results: list[InputGuardrailResult]
    output_guardrail_results: list[OutputGuardrailResult]
    tool_input_guardrail_results: list[ToolInputGuardrailResult]
    tool_output_guardrail_results: list[ToolOutputGuardrailResult]
    context_wrapper: RunContextWrapper[Any]
    """The context object and the usage of the run."""
    interruptions: list[ToolApprovalItem]
    """The calls that wait for a decision; empty unless the run is paused."""
    max_turns: int | None
    agent_tool_invocation: AgentToolInvocation | None
    """Which call this result belongs to, for results of agents used as tools."""
    warnings: list[str]
    """What went wrong without failing the run: cleanups that were cut short, threads that were abandoned."""

    @property
    @abc.abstractmethod
    def last_agent(self) -> Agent[Any]:
        """The agent that ran last.

        Raises:
            AgentsException: it was released and is gone.
        """

    @abc.abstractmethod
    def _own_state(self) -> RunState[Any]:
        """Return the state that the result is a view of."""

    @property
    def last_response_id(self) -> str | None:
        """The provider's id of the last reply, None when there is none."""
        return self.raw_responses[-1].response_id if self.raw_responses else None

    def final_output_as(self, cls: type[_T], raise_if_incorrect_type: bool = False) -> _T:
        """Return the final output, for a type checker, as a `cls`.

        Args:
            cls: the type.
            raise_if_incorrect_type: whether to check it.

        Raises:
            TypeError: it was to be checked, and is no `cls`.

        Source: results, `final_output_as`.
        """
        if raise_if_incorrect_type and not isinstance(self.final_output, cls):
            raise TypeError(f"Final output is not of type {cls.__name__}")
        return cast("_T", self.final_output)

    def to_input_list(self, *, mode: ToInputListMode = "preserve_all") -> list[TResponseInputItem]:
        """Return the conversation so far as input items, ready for the next run; plain dicts of their own.

        Args:
            mode: "preserve_all" gives input and every item; "normalized" gives what the next agent saw after a handoff
                filter, where there was one.

        Raises:
            ValueError: an unknown mode.

        Source: results, `to_input_list`.
        """
        if mode not in ("preserve_all", "normalized"):
            raise ValueError(f"mode must be 'preserve_all' or 'normalized', got {mode!r}")
        state = self._own_state()
        items: list[RunItem] = self.new_items
        if state.next_items is not None:
            items = state.next_items if mode == "normalized" else _without_moved(state, state.next_items, items)
        return _input_list(
            self.input, [_own_input(state, item) for item in items if not isinstance(item, ToolApprovalItem)]
        )

    def release_agents(self, *, release_new_items: bool = True) -> None:
        """Hold agents weakly from here on, so that the result no longer keeps them alive.

        Args:
            release_new_items: whether the items let go of their agents too.

        Source: results, "Releasing agents".
        """
        if release_new_items:
            for item in self.new_items:
                item.release_agent()
            for verdict in self.output_guardrail_results:
                verdict.release_agent()
        self._release_last_agent()

    @abc.abstractmethod
    def _release_last_agent(self) -> None:
        """Let go of the last agent, and of the state that holds it."""

    def to_state(self) -> RunState[Any]:
        """Return the run as a state that can be decided on, stored, and run again; a snapshot of its own each time.

        Source: results, `to_state`.
        """
        return self._own_state().snapshot()

    def _summary(self, *facts: str) -> str:
        output = self.final_output
        shown = (
            "\n    ".join((f"({type(output).__name__}):", *_escaped(str(output)).strip().splitlines()))
            if output is not None
            else "None"
        )
        return "\n".join(
            (
                f"{type(self).__name__}:",
                *(f"- {fact}" for fact in facts),
                f"- Final output {shown}",
                f"- {len(self.new_items)} new item(s)",
                f"- {len(self.raw_responses)} raw response(s)",
                f"- {len(self.input_guardrail_results)} input guardrail result(s)",
                f"- {len(self.output_guardrail_results)} output guardrail result(s)",
                f"- {len(self.tool_input_guardrail_results)} tool input guardrail result(s)",
                f"- {len(self.tool_output_guardrail_results)} tool output guardrail result(s)",
            )
        )


_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def _escaped(text: str) -> str:
    """Return `text` with its control characters spelled out: a printed result must not steer a terminal."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text.replace("\r\n", "\n"))


def _without_moved(state: RunState[Any], seen: list[RunItem], items: list[RunItem]) -> list[RunItem]:
    """Return `items` but for the messages that a nested history holds word for word: the input has them already.

    A provider refuses two items of one id.
    """
    if isinstance(state.original_input, str):
        return items
    as_items = set(map(id, seen))
    held = [entry for entry in state.original_input if entry.get("type") == "message"]
    kept: list[RunItem] = []
    for item in reversed(items):  # the latest come first: earlier ones of the same words are folded
        if held and isinstance(item, MessageOutputItem) and id(item) not in as_items:
            own = item.to_input_item()
            if own in held:
                held.remove(own)
                continue
        kept.append(item)
    return kept[::-1]


def _input_list(given: str | list[TResponseInputItem], made: list[TResponseInputItem]) -> list[TResponseInputItem]:
    """Return an input and the items made after it, for the caller to change."""
    found = InputList.of(ItemHelpers.input_to_new_input_list(given) if isinstance(given, str) else given)
    found.extend(map(HistoryItem, made))
    return found


def _own_input(state: RunState[Any], item: RunItem) -> TResponseInputItem:
    found = item.to_input_item()
    if state.reasoning_item_id_policy == "omit" and found.get("type") == "reasoning":
        found.pop("id", None)
    return found


def _last_agent(agent: Agent[Any]) -> LastAgent:
    return LastAgent(agent)


@attrs.define(eq=False, repr=False, slots=True, weakref_slot=True)
class RunResult(RunResultBase, Dataclass):
    """What a finished, paused or stopped `Runner.run` has come to.

    Source: results.
    """

    input: str | list[TResponseInputItem]
    new_items: list[RunItem]
    raw_responses: list[ModelResponse]
    final_output: Any
    input_guardrail_results: list[InputGuardrailResult]
    output_guardrail_results: list[OutputGuardrailResult]
    tool_input_guardrail_results: list[ToolInputGuardrailResult]
    tool_output_guardrail_results: list[ToolOutputGuardrailResult]
    context_wrapper: RunContextWrapper[Any]
    _last_agent: LastAgent = attrs.field(alias="last_agent", converter=_last_agent)
    max_turns: int | None = 10
    interruptions: list[ToolApprovalItem] = attrs.field(factory=new_list)
    agent_tool_invocation: AgentToolInvocation | None = None
    warnings: list[str] = attrs.field(factory=new_list)
    _state: RunState[Any] | None = attrs.field(default=None, alias="state")

    @classmethod
    def of(cls, state: RunState[Any]) -> RunResult:
        """Return the result of a run that has ended in `state`."""
        return cls(
            state.original_input,
            state.new_items,
            state.raw_responses,
            state.final_output,
            state.input_guardrail_results,
            state.output_guardrail_results,
            state.tool_input_guardrail_results,
            state.tool_output_guardrail_results,
            state.context,
            state.current_agent,
            state.max_turns,
            state.interruptions,
            None,
            state.warnings,
            state,
        )

    @property
    def last_agent(self) -> Agent[Any]:
        """The agent that ran last.

        Raises:
            AgentsException: it was released and is gone.
        """
        return self._last_agent.get()

    def _own_state(self) -> RunState[Any]:
        if self._state is None:
            raise AgentsException("this result has let go of its agents, or never belonged to a run; it has no state")
        return self._state

    def _release_last_agent(self) -> None:
        self._last_agent.release()
        self._state = None

    def to_input_list(self, *, mode: ToInputListMode = "preserve_all") -> list[TResponseInputItem]:
        """Return the conversation so far as input items; see `RunResultBase.to_input_list`."""
        if self._state is None and mode == "preserve_all":
            made = [item.to_input_item() for item in self.new_items if not isinstance(item, ToolApprovalItem)]
            return _input_list(self.input, made)
        return RunResultBase.to_input_list(self, mode=mode)

    def __str__(self) -> str:
        """Return a summary of several lines."""
        return self._summary(f"Last agent: Agent(name={self.last_agent.name!r}, ...)")

    def __repr__(self) -> str:
        """Return one line; a long output is cut in it."""
        interrupted = f", interruptions={len(self.interruptions)}" if self.interruptions else ""
        return (
            f"{type(self).__name__}(final_output={reprlib.repr(self.final_output)}, new_items={len(self.new_items)}"
            f"{interrupted})"
        )


class EventStream:
    """The events of one streamed run, as an async iterator; there may be several, one after another.

    Every `__anext__` is a checkpoint. Not a generator on purpose: closing it, or losing it, needs no event loop.
    """

    def __init__(self, live: LiveRun) -> None:
        self._live = live
        self._begun = self._ended = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamEvent:
        """Return the next event.

        Raises:
            StopAsyncIteration: the run has ended, and whatever it started too.
            BaseException: what the run failed with, after the events that were sent before.

        On cancel a run that nobody else hosts is cancelled too, and waited for.
        """
        if self._ended:
            raise StopAsyncIteration
        live = self._live
        if not self._begun:
            self._begun = True
            live.note_reader()
        try:
            event = await live.next_event()
        except BaseException:
            self._ended = True
            if live.alone is not None and not live.is_complete:
                await live.join()  # noqa: ASYNC102 - shields itself
            raise
        if event is None:
            self._ended = True
            raise StopAsyncIteration
        return event

    async def aclose(self) -> None:
        """Stop reading; a run that nobody else hosts is cancelled, and waited for.

        It raises nothing of the run's. On cancel the run is cancelled all the same.
        """
        self._ended = True
        if self._live.alone is not None:
            await self._live.join()
        else:
            await anyio.lowlevel.checkpoint()

    def __del__(self) -> None:
        # A loop that is left by `break` drops its iterator: the run is cancelled then, though nobody can wait for it.
        live = self._live
        if self._begun and live.alone is not None and not live.is_complete:
            live.alone(live.leave)


def _of_state(name: str, doc: str, field: str | None = None) -> Any:
    """Return the property `name` of a streamed run, which shows that field of its state, or another one."""

    def read(self: RunResultStreaming) -> Any:
        return getattr(self._own_state(), field or name)  # pyright: ignore[reportPrivateUsage]

    read.__annotations__ = {"return": RunResultBase.__annotations__[name]}
    return property(read, doc=doc)


class RunResultStreaming(RunResultBase, anyio.AsyncContextManagerMixin):
    """A run whose events are read while it goes on.

    Use it as ``async with Runner.run_streamed(...) as result:``; the block owns the run, and leaving it early cancels
    it.

    Source: streaming, results.
    """

    def __init__(self, live: LiveRun) -> None:
        self._live = live
        self._last_agent: LastAgent | None = None
        self.agent_tool_invocation: AgentToolInvocation | None = None

    # What the result shows of the state of its run, as it is at the moment.
    input = _of_state("input", "The input of the run; see `RunResultBase.input`.", "original_input")
    new_items = _of_state("new_items", "The items of finished turns so far.")
    raw_responses = _of_state("raw_responses", "The replies of finished turns so far.")
    final_output = _of_state(
        "final_output",
        "The output, None until the run is complete, and for good if it was cancelled, paused, stopped or failed.",
    )
    input_guardrail_results = _of_state("input_guardrail_results", "The verdicts so far.")
    output_guardrail_results = _of_state("output_guardrail_results", "The verdicts so far.")
    tool_input_guardrail_results = _of_state("tool_input_guardrail_results", "The verdicts of finished turns so far.")
    tool_output_guardrail_results = _of_state("tool_output_guardrail_results", "The verdicts of finished turns so far.")
    context_wrapper = _of_state(
        "context_wrapper",
        "The context object and the usage of the run; the usage is exact once the stream has ended.",
        "context",
    )
    interruptions = _of_state("interruptions", "The calls that wait for a decision; empty unless the run is paused.")
    warnings = _of_state("warnings", "What went wrong so far without failing the run.")
    max_turns = _of_state("max_turns", "The most model calls the run may make; None for any number.")

    @property
    def current_turn(self) -> int:
        """The number of the turn, 0 before the first; one more than `max_turns` after that limit failed the run."""
        return self._live.state.current_turn

    @property
    def current_agent(self) -> Agent[Any]:
        """The agent that works, or worked last."""
        return self.last_agent

    @property
    def last_agent(self) -> Agent[Any]:
        """The agent that works, or worked last.

        Raises:
            AgentsException: it was released and is gone.
        """
        return self._last_agent.get() if self._last_agent is not None else self._live.current_agent

    @property
    def is_complete(self) -> bool:
        """Whether the run has ended, in whatever way."""
        return self._live.is_complete

    @property
    def run_loop_exception(self) -> BaseException | None:
        """What the run failed with; None while it goes on, and if it did not fail."""
        return self._live.error

    @property
    def trace(self) -> None:
        """The trace of the run; None without tracing."""
        return None

    def stream_events(self) -> EventStream:
        """Return the events of the run, from here on, as an async iterator.

        The first is always an `AgentUpdatedStreamEvent`. Iteration ends when the run has ended with all it started;
        what the run failed with is raised after the events that were sent before it. After that it yields nothing.

        Without `async with` and without `task_group=` the run starts at the first event, and is cancelled when this
        iterator is closed, cancelled or dropped.

        Source: streaming.
        """
        return EventStream(self._live)

    def approvals(self) -> ApprovalRequests:
        """Return the calls that wait for a decision while the run goes on, as an async iterator.

        From here on a call that needs approval waits in place, and its siblings work on, instead of pausing the run.
        Read it beside the events, in a task of its own. `RunConfig.approval_timeout` bounds the wait. Calls of agents
        used as tools come here too, at any depth; `ApprovalRequest.agents` says by which way.

        On cancel of the run nothing waits any longer, and the iterator ends.

        Source: human in the loop.
        """
        from agentrun._run.desk import ApprovalRequests

        return ApprovalRequests(self._live.desk)

    def cancel(self, mode: CancelMode = "immediate", *, within: float | None = None) -> None:
        """Stop the run. It has ended once the iteration has.

        Args:
            mode: "immediate" cancels the model and the tools at once: no further event comes, and the turn in flight is
                dropped. "after_turn" lets the turn in flight end as if nothing had happened, and stops before the next.
            within: with "after_turn", the seconds after which the stop becomes immediate.

        Raises:
            ValueError: an unknown mode, or `within` with "immediate" or negative.

        Source: streaming, "Cancelling".
        """
        if mode not in ("immediate", "after_turn"):
            raise ValueError(f"mode must be 'immediate' or 'after_turn', got {mode!r}")
        if within is not None and (mode == "immediate" or within < 0):
            raise ValueError(f"within goes with mode='after_turn' and 0 or more seconds, got {within!r}")
        self._live.cancel(mode, within=within)

    async def wait(self) -> None:
        """Wait for the end of the run without reading its events; those that nobody reads are dropped.

        Raises:
            BaseException: what the run failed with.
        """
        await self._live.wait()

    def __asynccontextmanager__(self) -> AbstractAsyncContextManager[Self, None]:
        # Typed as a block that swallows nothing, so that checkers know that what follows it has seen its body.
        return cast("AbstractAsyncContextManager[Self, None]", self._open())

    @asynccontextmanager
    async def _open(self) -> AsyncGenerator[Self, None]:
        live = self._live
        if live.started:
            raise UserError("this run has started already; use `async with` right on Runner.run_streamed(...)")
        live.started = True
        raised_in_block: BaseException | None = None
        try:
            async with anyio.create_task_group() as nursery:
                nursery.start_soon(live.host, name="agentrun run")
                try:
                    yield self
                except BaseException as exc:
                    raised_in_block = exc
                    raise
                finally:
                    live.leave()
        except BaseExceptionGroup:
            # The nursery wraps what the block itself raised; outside of the block nobody asked for a group. Of the run
            # it holds only what has to end the program. Found by identity, for Trio makes copies of nested groups.
            if raised_in_block is None and not live.is_fatal:
                raise
        finally:
            live.close()
        if live.is_fatal:
            raise cast("BaseException", live.error)
        if raised_in_block is not None:
            raise raised_in_block
        if live.error is not None and not live.delivered:
            live.delivered = True
            raise live.error

    def _own_state(self) -> RunState[Any]:
        return self._live.state

    def _release_last_agent(self) -> None:
        if self._last_agent is None:
            self._last_agent = LastAgent(self._live.current_agent)
        self._last_agent.release()
        self._live.state.release_agents()

    def __repr__(self) -> str:
        """Return one line that says where the run is."""
        return f"{type(self).__name__}(current_turn={self.current_turn}, is_complete={self.is_complete})"

    def __str__(self) -> str:
        """Return a summary of several lines."""
        return self._summary(
            f"Current agent: Agent(name={self.current_agent.name!r}, ...)",
            f"Current turn: {self.current_turn}",
            f"Max turns: {self.max_turns}",
            f"Is complete: {self.is_complete}",
        )
