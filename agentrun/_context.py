"""What a run shows to the user's code: the context object, the usage so far, and the call a tool is running for."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Generic, Self

import attrs
from typing_extensions import TypeVar

from agentrun._approvals import Approvals
from agentrun._dataclass import Dataclass
from agentrun._exceptions import ToolCancelledError
from agentrun._fields import new_list
from agentrun._usage import Usage

if TYPE_CHECKING:
    from agentrun._agent import Agent, AgentBase
    from agentrun._config import RunConfig
    from agentrun._items import ToolApprovalItem
    from agentrun._responses import ResponseFunctionToolCall, TResponseInputItem
    from agentrun._run.desk import ApprovalDesk
    from agentrun._state import RunState

log = logging.getLogger("agentrun")

TContext = TypeVar("TContext", default=Any)
"""The type of the object a caller passes as `context=`."""


@attrs.define(eq=False, repr=False)
class RunContextWrapper(Dataclass, Generic[TContext]):
    """The caller's context object together with what the run knows of itself.

    One per run; the same `context` object is seen by every tool, hook, guardrail and instruction function of the run,
    and is never sent to a model.

    Source: context management.
    """

    context: TContext
    """The object given as `context=`, or None."""
    usage: Usage = attrs.field(factory=Usage)
    """The tokens used so far; exact once the run has ended."""
    turn_input: list[TResponseInputItem] = attrs.field(factory=new_list)
    """The input items the current turn started from."""
    approvals: Approvals = attrs.field(factory=Approvals, repr=False)
    """The decisions taken on tool calls so far."""
    tool_input: Any | None = None
    """The structured arguments of the agent tool this run works for, if its tool declares `parameters`."""

    def approve_tool(self, approval_item: ToolApprovalItem, always_approve: bool = False) -> None:
        """Allow a pending tool call; the last decision wins.

        Args:
            approval_item: one of the run's `interruptions`.
            always_approve: allow every later call that the agent makes of the tool in this run too.

        Source: human in the loop.
        """
        self.approvals.approve(approval_item, always=always_approve)

    def reject_tool(
        self, approval_item: ToolApprovalItem, always_reject: bool = False, rejection_message: str | None = None
    ) -> None:
        """Refuse a pending tool call; the last decision wins.

        Args:
            approval_item: one of the run's `interruptions`.
            always_reject: refuse every later call that the agent makes of the tool in this run too.
            rejection_message: what the model is told instead of the tool's output.

        Source: human in the loop.
        """
        self.approvals.reject(approval_item, always=always_reject, message=rejection_message)

    def is_tool_approved(self, tool_name: str, call_id: str) -> bool | None:
        """Return True for allowed, False for refused, None while nobody has decided."""
        return self.approvals.status(tool_name, call_id)

    def get_approval_status(
        self,
        tool_name: str,
        call_id: str,
        *,
        tool_namespace: str | None = None,
        existing_pending: ToolApprovalItem | None = None,
    ) -> bool | None:
        """Return True for allowed, False for refused, None while nobody has decided.

        Args:
            tool_name: the tool's name.
            call_id: the call's id.
            tool_namespace: the namespace of the tool, when it has one.
            existing_pending: the pending approval, whose agent, tool name and namespace are used when it is given.
        """
        return self.approvals.status(*_asked_about(tool_name, call_id, tool_namespace, existing_pending))

    def get_rejection_message(
        self,
        tool_name: str,
        call_id: str,
        *,
        tool_namespace: str | None = None,
        existing_pending: ToolApprovalItem | None = None,
    ) -> str | None:
        """Return the message given with a refusal, or None.

        Args:
            tool_name: see `get_approval_status`.
            call_id: see `get_approval_status`.
            tool_namespace: see `get_approval_status`.
            existing_pending: see `get_approval_status`.
        """
        return self.approvals.rejection_message(*_asked_about(tool_name, call_id, tool_namespace, existing_pending))


def _asked_about(
    tool_name: str, call_id: str, tool_namespace: str | None, pending: ToolApprovalItem | None
) -> tuple[str, str, Agent[Any] | None]:
    """Return the tool's whole name, the call, and the agent that calls, as far as it is known."""
    if pending is not None:
        return pending.qualified_name or tool_name, call_id, pending.agent
    return f"{tool_namespace}.{tool_name}" if tool_namespace else tool_name, call_id, None


@attrs.define(eq=False, repr=False)
class AgentHookContext(RunContextWrapper[TContext]):
    """The context that the hooks for the start and end of an agent get.

    Source: lifecycle.
    """

    @classmethod
    def of(cls, wrapper: RunContextWrapper[TContext]) -> Self:
        """Return a hook context that shares everything with `wrapper`."""
        return cls(wrapper.context, wrapper.usage, wrapper.turn_input, wrapper.approvals, wrapper.tool_input)


@attrs.define(eq=False, repr=False)
class NestedRunContext(RunContextWrapper[TContext]):
    """The context of a run that an agent tool makes: it shares context object and usage with the run that called it."""

    desk: ApprovalDesk | None = attrs.field(default=None, kw_only=True, repr=False)
    """Where its calls are decided while the outermost run goes on."""


@attrs.define(eq=False, repr=False)
class CallSignal:
    """Tells the body of one tool call that it should stop. Written by the call, read by the tool, from a thread too."""

    reason: str | None = None
    timed_out: bool = False
    reports: list[str] = attrs.field(factory=new_list)
    """What went wrong while the body was being stopped."""

    def tell(self, reason: str, *, timed_out: bool = False) -> None:
        """Ask the body to stop; the first reason stays."""
        if self.reason is None:
            self.reason = reason
            self.timed_out = timed_out

    def report(self, what: str) -> None:
        """Keep, and log, what went wrong while the body was being stopped."""
        self.reports.append(what)
        log.warning("%s", what)


_NOT_GIVEN: Any = object()
"""Stands for an argument that has to be given, though it comes after one that need not be."""


@attrs.define(eq=False, repr=False)
class ToolContext(RunContextWrapper[TContext]):
    """The context of one tool call; shares context object, usage and approvals with its run.

    Raises:
        TypeError: `tool_name`, `tool_call_id` or `tool_arguments` was not given.

    Source: context management, "Tool context".
    """

    tool_name: str = _NOT_GIVEN
    tool_call_id: str = _NOT_GIVEN
    tool_arguments: str = _NOT_GIVEN
    """The arguments as the model wrote them, JSON text."""
    tool_call: ResponseFunctionToolCall | None = None
    """The whole call item, or None for a context that was built by hand."""
    # Once more, since the four above come before them in a call by place.
    turn_input: list[TResponseInputItem] = attrs.field(factory=new_list, kw_only=True)
    """The input items the current turn started from."""
    approvals: Approvals = attrs.field(factory=Approvals, kw_only=True, repr=False)
    """The decisions taken on tool calls so far."""
    tool_input: Any | None = attrs.field(default=None, kw_only=True)
    """The structured arguments of the agent tool this run works for, if its tool declares `parameters`."""
    tool_namespace: str | None = attrs.field(default=None, kw_only=True)
    agent: AgentBase[TContext] | None = attrs.field(default=None, kw_only=True)
    """The agent that called the tool."""
    run_config: RunConfig | None = attrs.field(default=None, kw_only=True)
    """The configuration of the run."""
    failure: Exception | None = attrs.field(default=None, kw_only=True, repr=False)
    """What the body raised, when a failure function turned it into an output."""
    nested: RunState[Any] | None = attrs.field(default=None, kw_only=True, repr=False)
    """The paused nested run that the call goes on with, for agents used as tools."""
    signal: CallSignal = attrs.field(factory=CallSignal, kw_only=True, repr=False)
    """Set once the call was cancelled or ran out of time."""
    desk: ApprovalDesk | None = attrs.field(default=None, kw_only=True, repr=False)
    """Where calls of a nested run are decided while the outermost run goes on, for agents used as tools."""

    def __attrs_post_init__(self) -> None:
        if self.tool_arguments is _NOT_GIVEN or self.tool_call_id is _NOT_GIVEN or self.tool_name is _NOT_GIVEN:
            raise TypeError("ToolContext needs tool_name, tool_call_id and tool_arguments")
        if self.tool_namespace is None:
            # A context made by hand may have a call that is only like one of ours
            self.tool_namespace = getattr(self.tool_call, "namespace", None)

    @property
    def qualified_tool_name(self) -> str:
        """The tool's name with its namespace before it; a namespace of the tool's own name is none."""
        namespace = self.tool_namespace
        return f"{namespace}.{self.tool_name}" if namespace and namespace != self.tool_name else self.tool_name

    def check_cancelled(self) -> None:
        """Return at once while the call is wanted; for sync tools, to be called now and then from the worker thread.

        Raises:
            ToolCancelledError: the call was cancelled or ran out of time. Let it pass: nobody reads the output any
            more.
        """
        if self.signal.reason is not None:
            raise ToolCancelledError(f"tool {self.tool_name!r} was told to stop: {self.signal.reason}")

    @classmethod
    def from_agent_context(
        cls,
        context: RunContextWrapper[TContext],
        tool_call_id: str,
        tool_call: ResponseFunctionToolCall | None = None,
        agent: AgentBase[TContext] | None = None,
        *,
        tool_name: str | None = None,
        tool_arguments: str | None = None,
        tool_namespace: str | None = None,
        run_config: RunConfig | None = None,
    ) -> Self:
        """Return the context of one call within the run of `context`.

        Args:
            context: the run's context.
            tool_call_id: the id of the call.
            tool_call: the call as the model made it; gives name and arguments where those are not given.
            agent: the agent that called; None takes it from `context`, if that is a tool context too.
            tool_name: the name, when there is no `tool_call`.
            tool_arguments: the arguments as JSON text, when there is no `tool_call`.
            tool_namespace: the tool's namespace.
            run_config: the run's configuration; None takes it as `agent`.

        Raises:
            ValueError: neither `tool_call` nor `tool_name` and `tool_arguments` were given.
        """
        if isinstance(context, ToolContext):
            agent = agent if agent is not None else context.agent
            run_config = run_config if run_config is not None else context.run_config
        name = tool_name if tool_name is not None else (tool_call.name if tool_call else None)
        arguments = tool_arguments if tool_arguments is not None else (tool_call.arguments if tool_call else None)
        if name is None or arguments is None:
            raise ValueError("a tool context needs a tool_call, or both tool_name and tool_arguments")
        return cls(
            context.context,
            context.usage,
            name,
            tool_call_id,
            arguments,
            tool_call,
            turn_input=context.turn_input,
            approvals=context.approvals,
            tool_input=context.tool_input,
            tool_namespace=tool_namespace,
            agent=agent,
            run_config=run_config,
        )
