"""What the parts of one run work with: what the caller asked for, the state so far, the turn in flight."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from agentrun._fields import new_dict, new_list, new_set
from agentrun._run.machine import Machine
from agentrun._run.sharing import AgentUse

if TYPE_CHECKING:
    from agentrun._agent import Agent
    from agentrun._config import RunConfig, RunErrorHandlers
    from agentrun._function_tool import FunctionTool
    from agentrun._guardrail import InputGuardrail
    from agentrun._handoff import Handoff
    from agentrun._hosted_tools import Tool
    from agentrun._items import RunItem
    from agentrun._run.announce import Announcer
    from agentrun._run.call import Outcome
    from agentrun._run.desk import ApprovalDesk
    from agentrun._run.reply import Plan
    from agentrun._run.scope import RunScope
    from agentrun._run.sink import NullSink, StreamSink
    from agentrun._state import RunState
    from agentrun.agent_output import AgentOutputSchemaBase
    from agentrun.memory import Session
    from agentrun.models.interface import Model

log = logging.getLogger("agentrun")


@attrs.define(eq=False, repr=False)
class RunSpec:
    """What the caller asked for, checked."""

    config: RunConfig
    error_handlers: RunErrorHandlers[Any]
    session: Session | None
    resumed: bool
    """Whether the run goes on from a state instead of starting with an input."""


@attrs.define(eq=False, repr=False)
class Offer:
    """What the model is offered in one turn."""

    model: Model
    instructions: str | None
    prompt: Any | None
    tools: list[Tool]
    functions: Mapping[str, FunctionTool]
    """The function tools among `tools`, by qualified name."""
    handoffs: Mapping[str, Handoff[Any, Any]]
    """By tool name."""
    output_schema: AgentOutputSchemaBase | None


@attrs.define(eq=False, repr=False)
class Turn:
    """One turn in flight. Nothing of it is in the state before it is finished."""

    agent: Agent[Any]
    offer: Offer | None = None
    plan: Plan | None = None
    outcomes: list[Outcome | None] = attrs.field(factory=new_list)
    """What came of each call, in call order; None while it has not ended."""
    extra_items: list[RunItem] = attrs.field(factory=new_list)
    """Items after the calls: outputs of handoffs."""
    recorded: bool = False
    """Whether the items of the turn are in the state."""
    shown: list[RunItem] = attrs.field(factory=new_list)
    """Outputs that were made, and shown, before the run was paused in this turn."""


@attrs.define(eq=False, repr=False)
class Run:
    """One run, as its driver holds it. One task writes it: the driver's."""

    spec: RunSpec
    state: RunState[Any]
    sink: NullSink | StreamSink
    announce: Announcer
    scope: RunScope | None = None
    """The scopes of a streamed run; a plain run is stopped by its caller's scopes alone."""
    desk: ApprovalDesk | None = None
    """Where calls of a streamed run are decided while it goes on."""
    machine: Machine = attrs.field(factory=Machine)
    turn: Turn = attrs.field(init=False)
    use: AgentUse = attrs.field(factory=AgentUse)
    """The agent whose tools no other run may change."""
    models: dict[int, Model] = attrs.field(factory=new_dict)
    """The model of each agent met so far, by the agent's identity."""
    gate: Gate | None = None
    """What the calls of the first turn wait for."""
    failure_order: dict[int, int] = attrs.field(factory=new_dict)
    """The place of each failed call's exception in call order, by the exception's identity."""
    warned: set[str] = attrs.field(factory=new_set)
    """The warnings about what is declared that were logged already."""
    output: Any = None
    """The final output, from when it is there until it is accepted."""
    output_makers: list[Outcome] = attrs.field(factory=new_list)
    """The calls whose output it is; empty when a message or a handler made it."""
    answer_missing: bool = False
    """Whether a structured agent's reply had no text at all."""
    error: Exception | None = None
    """What the error handlers are asked about."""

    def __attrs_post_init__(self) -> None:
        """Open the first turn at the state's current agent."""
        self.turn = Turn(self.state.current_agent)

    @property
    def agent(self) -> Agent[Any]:
        """The agent whose turn it is."""
        return self.turn.agent

    def warn_once(self, message: str) -> None:
        """Log a warning about what is declared, the first time in this run."""
        if message not in self.warned:
            self.warned.add(message)
            log.warning("%s", message)

    def input_guardrails(self) -> list[InputGuardrail[Any]]:
        """Return the input guardrails of the run: those of its first agent, then the configured ones."""
        return [*self.agent.input_guardrails, *(self.spec.config.input_guardrails or ())]


class Gate:
    """Holds the calls of the first turn back until every parallel input guardrail has passed."""

    __slots__ = ("_passed",)

    def __init__(self) -> None:
        import anyio

        self._passed = anyio.Event()

    def open(self) -> None:
        """Let the calls go."""
        self._passed.set()

    async def wait(self) -> None:
        """Wait until the gate is open."""
        await self._passed.wait()
