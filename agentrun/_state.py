"""The state of a run: everything a run knows of itself, as data. The driver writes it; results are views of it."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, cast

import attrs

from agentrun._context import RunContextWrapper, TContext
from agentrun._exceptions import AgentsException, RunErrorDetails, UserError
from agentrun._fields import new_dict, new_list
from agentrun._handoff import TAgent
from agentrun._history import History, InputList
from agentrun._items import (
    HandoffOutputItem,
    InputItem,
    ItemHelpers,
    RunItem,
    ToolApprovalItem,
    ToolCallItem,
    ToolCallOutputItem,
)
from agentrun._settings import DEFAULT_MAX_TURNS, ReasoningItemIdPolicy
from agentrun._wire_value import WireValue

if TYPE_CHECKING:
    from agentrun._agent import Agent
    from agentrun._guardrail import (
        InputGuardrailResult,
        OutputGuardrailResult,
        ToolInputGuardrailResult,
        ToolOutputGuardrailResult,
    )
    from agentrun._items import ModelResponse
    from agentrun._responses import TResponseInputItem


@attrs.define(eq=False, repr=False)
class PendingTurn:
    """A turn that waits for decisions: the reply whose calls are open, and what is already done of it."""

    reply: ModelResponse
    items: list[RunItem]
    """The items of the reply."""
    outputs: dict[str, RunItem] = attrs.field(factory=new_dict)
    """The outputs that are there already, by call id."""
    nested: dict[str, RunState[Any]] = attrs.field(factory=new_dict)
    """The paused nested runs of agent tools, by call id."""


@attrs.define(eq=False)
class RunState(Generic[TContext, TAgent]):
    """A run between two steps, ready to go on: `Runner.run(agent, state)`.

    Usually made by `result.to_state()`. Data only: agents are there by reference, and by name once stored. The type of
    its agents, the second parameter, may be left out.

    Source: human in the loop, `RunState`.
    """

    context: RunContextWrapper[TContext]
    original_input: str | list[TResponseInputItem]
    """The input of the run, or what a handoff filter made of it."""
    starting_agent: Agent[Any]
    max_turns: int | None = DEFAULT_MAX_TURNS
    conversation_id: str | None = attrs.field(default=None, kw_only=True)
    previous_response_id: str | None = attrs.field(default=None, kw_only=True)
    auto_previous_response_id: bool = attrs.field(default=False, kw_only=True)

    current_agent: Agent[Any] = attrs.field(init=False)
    current_turn: int = attrs.field(init=False, default=0)
    turn_open: bool = attrs.field(init=False, default=False)
    """Whether the current turn has begun and is not recorded; a state made now goes on before it."""
    new_items: list[RunItem] = attrs.field(init=False, factory=new_list)
    """What the run made, as its caller sees it."""
    next_items: list[RunItem] | None = attrs.field(init=False, default=None)
    """What the next model sees of it, once a handoff filter made the two differ; None while they are the same."""
    _history: History = attrs.field(init=False)
    _recorded: list[RunItem] = attrs.field(init=False, factory=new_list)
    """What is to be appended to the history when it is next asked for; after the last turn nobody asks."""
    raw_responses: list[ModelResponse] = attrs.field(init=False, factory=new_list)
    input_guardrail_results: list[InputGuardrailResult] = attrs.field(init=False, factory=new_list)
    output_guardrail_results: list[OutputGuardrailResult] = attrs.field(init=False, factory=new_list)
    tool_input_guardrail_results: list[ToolInputGuardrailResult] = attrs.field(init=False, factory=new_list)
    tool_output_guardrail_results: list[ToolOutputGuardrailResult] = attrs.field(init=False, factory=new_list)
    tools_used: dict[str, list[str]] = attrs.field(init=False, factory=new_dict)
    """The names of the tools each agent has used, by agent name."""
    calls_done: dict[str, tuple[str, str]] = attrs.field(init=False, factory=new_dict)
    """Name and arguments of every finished call, by call id."""
    pending: PendingTurn | None = attrs.field(init=False, default=None)
    interruptions: list[ToolApprovalItem] = attrs.field(init=False, factory=new_list)
    final_output: Any = attrs.field(init=False, default=None)
    is_finished: bool = attrs.field(init=False, default=False)
    agent_started: bool = attrs.field(init=False, default=False)
    """Whether the hooks for the start of the current agent have run."""
    warnings: list[str] = attrs.field(init=False, factory=new_list)
    """What went wrong without failing the run: a cleanup that was cut short, a thread that was abandoned."""
    pending_input: list[TResponseInputItem] = attrs.field(init=False, factory=new_list)
    """Input added while the run was paused, for the next model call."""
    unsent: list[TResponseInputItem] | None = attrs.field(init=False, default=None)
    """With a conversation kept by the provider: what it has not been sent yet; None before the first request."""
    session_id: str | None = attrs.field(init=False, default=None)
    """The session that keeps the conversation; None while none has the input."""
    input_stored: bool = attrs.field(init=False, default=False)
    """Whether the session has the input, so that a resumed run neither reads nor writes it again."""
    stored_items: int = attrs.field(init=False, default=0)
    """How many of `new_items`, from the first on, the session has."""
    unstored: list[TResponseInputItem] | None = attrs.field(init=False, default=None)
    """What of the input the session does not have yet; None while no session was read."""
    reasoning_item_id_policy: ReasoningItemIdPolicy | None = attrs.field(init=False, default=None)
    origin: RunState[Any] | None = attrs.field(init=False, default=None, repr=False)
    """The state this one was resumed from; it learns which calls have run since, so that none runs twice."""

    def __attrs_post_init__(self) -> None:
        """Start at the starting agent with the input as the whole history."""
        self.current_agent = self.starting_agent
        if isinstance(self.original_input, str):
            self._history = History(self.input_items())
        else:
            own = self.original_input = InputList.of(self.original_input)
            self._history = History.of(own)

    def input_items(self) -> list[TResponseInputItem]:
        """Return the input of the run as a list of input items."""
        if isinstance(self.original_input, str):
            return ItemHelpers.input_to_new_input_list(self.original_input)
        return self.original_input.copy()

    @property
    def history(self) -> History:
        """The same as input items: original input and what the next model sees."""
        recorded, self._recorded = self._recorded, []
        self._history.extend(map(self.model_input, recorded))
        return self._history

    @history.setter
    def history(self, history: History) -> None:
        self._history, self._recorded = history, []

    def record(self, items: Iterable[RunItem]) -> None:
        """Add the items of a step, in order, for the caller and for the next model alike."""
        for item in items:
            self.new_items.append(item)
            if self.next_items is not None:
                self.next_items.append(item)
            if isinstance(item, ToolApprovalItem):
                continue
            self._recorded.append(item)
            if self.unsent is not None and isinstance(item, _MADE_HERE) and not isinstance(item.raw_item, WireValue):
                self.unsent.append(item.input_item())

    @property
    def server_managed(self) -> bool:
        """Whether the provider keeps the conversation, so that a request holds only what is new."""
        return bool(self.conversation_id or self.previous_response_id or self.auto_previous_response_id)

    def unsent_input(self) -> list[TResponseInputItem]:
        """Return the input for the next request, a list of its own.

        That is the whole history, or what the provider has not seen of it where it keeps the conversation itself.

        Source: running agents, "Server-managed conversations".
        """
        if not self.server_managed:
            return self.history.as_input()
        if self.unsent is None:
            self.unsent = self.history.as_input()
        return list(self.unsent)

    def note_reply(self, response: ModelResponse) -> None:
        """Note that the provider has answered, and with that has seen everything sent so far."""
        if not self.server_managed:
            return
        self.unsent = []
        if self.conversation_id is None and response.response_id:
            self.previous_response_id = response.response_id

    def model_input(self, item: RunItem) -> TResponseInputItem:
        """Return an item of the run as the next model gets it."""
        found = item.input_item()
        if self.reasoning_item_id_policy == "omit" and found.get("type") == "reasoning":
            return {key: value for key, value in found.items() if key != "id"}
        return found

    def rewrite(
        self,
        original_input: str | list[TResponseInputItem],
        new_items: list[RunItem],
        next_items: list[RunItem],
    ) -> None:
        """Replace input and items by what a handoff filter made of them."""
        self.original_input = original_input
        self.new_items = new_items
        self.next_items = next_items
        self._make_history(self.input_items(), next_items)

    def _make_history(self, base: list[TResponseInputItem], items: list[RunItem]) -> None:
        self.history = History(base)
        self.history.extend(self.model_input(item) for item in items if not isinstance(item, ToolApprovalItem))

    def note_tools(self, agent: Agent[Any], names: Iterable[str]) -> None:
        """Remember that `agent` used the tools called `names`."""
        self.tools_used.setdefault(agent.name, []).extend(names)

    def details(self) -> RunErrorDetails:
        """Return what an exception that leaves the run carries."""
        return RunErrorDetails(
            input=self.original_input,
            new_items=self.new_items,
            raw_responses=self.raw_responses,
            last_agent=self.current_agent,
            context_wrapper=self.context,
            input_guardrail_results=self.input_guardrail_results,
            output_guardrail_results=self.output_guardrail_results,
            tool_input_guardrail_results=self.tool_input_guardrail_results,
            tool_output_guardrail_results=self.tool_output_guardrail_results,
            state=self,
        )

    def snapshot(self) -> RunState[TContext]:
        """Return a state of its own that shares the items: running one leaves the other as it is."""
        context = attrs.evolve(self.context, usage=self.context.usage.copy(), approvals=self.context.approvals.copy())
        twin: RunState[TContext] = RunState(
            context,
            self.original_input,
            self.starting_agent,
            self.max_turns,
            conversation_id=self.conversation_id,
            previous_response_id=self.previous_response_id,
            auto_previous_response_id=self.auto_previous_response_id,
        )
        for name in _SHARED:
            setattr(twin, name, getattr(self, name))
        for name in _COPIED:
            value = getattr(self, name)
            setattr(twin, name, value.copy() if value is not None else None)
        twin.current_turn -= self.turn_open
        twin.tools_used = {agent: list(names) for agent, names in self.tools_used.items()}
        twin.history = self.history.copy()
        if self.pending is not None:
            twin.pending = attrs.evolve(
                self.pending,
                outputs=dict(self.pending.outputs),
                nested={call_id: nested.snapshot() for call_id, nested in self.pending.nested.items()},
            )
        return twin

    def resumed(self) -> RunState[TContext]:
        """Return a state to run, as `snapshot` does, which tells this one of every call that it carries out."""
        twin = self.snapshot()
        twin._follow(self)
        return twin

    def _follow(self, origin: RunState[Any]) -> None:
        self.origin = origin
        if self.pending is not None and origin.pending is not None:
            for call_id, nested in self.pending.nested.items():
                nested._follow(origin.pending.nested[call_id])

    def settle(self, outputs: Iterable[RunItem], done: Mapping[str, tuple[str, str]]) -> None:
        """Note the outputs of calls of the pending turn, here and in the states that this one was resumed from.

        Args:
            outputs: what is recorded here already and belongs to the pending turn.
            done: name and arguments of each of these calls, by call id.
        """
        made = {cast("ToolCallOutputItem", item).call_id or "": item for item in outputs}
        state: RunState[Any] | None = self
        while state is not None and state.pending is not None:
            pending = state.pending
            if state is not self:
                state.record(item for call_id, item in made.items() if call_id not in pending.outputs)
            pending.outputs.update(made)
            state.calls_done.update(done)
            for call_id in made:
                state.pending.nested.pop(call_id, None)
            nested = {id(item) for one in state.pending.nested.values() for item in one.interruptions}
            state.interruptions = [
                item
                for item in state.interruptions
                if id(item) in nested
                or (item.agent is state.current_agent and item.call_id not in state.pending.outputs)
            ]
            state = state.origin

    def note_stored(self, session_id: str | None, items: Iterable[RunItem]) -> None:
        """Note that a session has the input and `items`, here and in the paused states this one was resumed from.

        Those have the outputs that were made since, see `settle`, and are not to have them stored again.
        """
        stored = set(map(id, items))
        state: RunState[Any] | None = self
        while state is not None and (state is self or state.pending is not None):
            state.session_id, state.input_stored, state.unstored = session_id, True, None
            for item in state.new_items[state.stored_items :]:
                if id(item) not in stored:
                    break
                state.stored_items += 1
            state = state.origin

    def drop_unstored(self, left_out: set[int]) -> None:
        """Forget the items of these ids, of those that no session has been given."""
        gone = left_out & set(map(id, self.new_items[self.stored_items :]))
        self.new_items = [item for item in self.new_items if id(item) not in gone]
        if self.next_items is not None:
            self.next_items = [item for item in self.next_items if id(item) not in gone]

    def release_agents(self) -> None:
        """Let go of the agents; the state cannot be run any more."""
        if not isinstance(cast("object", self.current_agent), weakref.ProxyType):
            self.current_agent = self.starting_agent = weakref.proxy(self.current_agent)
        self.pending = None

    def set_reasoning_item_id_policy(self, policy: ReasoningItemIdPolicy | None) -> None:
        """Set whether reasoning items keep their ids; a `RunConfig` that names a policy wins over this.

        Raises:
            ValueError: an unknown policy.
        """
        if policy not in (None, "preserve", "omit"):
            raise ValueError(f"the policy must be 'preserve', 'omit' or None, got {policy!r}")
        if policy == self.reasoning_item_id_policy:
            return
        self.reasoning_item_id_policy = policy
        if self.new_items:
            self._make_history(self.history.base(), self.new_items if self.next_items is None else self.next_items)

    def get_interruptions(self) -> list[ToolApprovalItem]:
        """Return the calls that wait for a decision, in call order."""
        return list(self.interruptions)

    def approve(self, approval_item: ToolApprovalItem, always_approve: bool = False) -> None:
        """Allow a pending call, as `RunContextWrapper.approve_tool` does.

        Source: human in the loop.
        """
        self._owner(approval_item).approve_tool(approval_item, always_approve=always_approve)

    def _owner(self, item: ToolApprovalItem) -> RunContextWrapper[Any]:
        """Return the context of the run that waits for `item`: this one, or one nested in it.

        Raises:
            TypeError: `item` is something else, such as the id of a call.
        """
        given = cast("object", item)  # declared to be one; a call's id is an easy mistake
        if not isinstance(given, ToolApprovalItem):
            raise TypeError(
                f"approval_item is {given!r}, expected a ToolApprovalItem; take one from get_interruptions()"
            )
        for nested in self.pending.nested.values() if self.pending is not None else ():
            if any(item is waiting for waiting in nested.interruptions):
                return nested._owner(item)
        return self.context

    def reject(
        self, approval_item: ToolApprovalItem, always_reject: bool = False, *, rejection_message: str | None = None
    ) -> None:
        """Refuse a pending call, as `RunContextWrapper.reject_tool` does.

        Source: human in the loop.
        """
        self._owner(approval_item).reject_tool(
            approval_item, always_reject=always_reject, rejection_message=rejection_message
        )

    def add_input(self, input: str | list[TResponseInputItem]) -> None:
        """Add input to a paused or stopped run; it goes to the model with the next request.

        The input guardrails of the agent that works then, and those of the configuration, judge it first.

        Raises:
            UserError: the run is finished, has no turn left, or waits for calls whose output may end it.

        Source: human in the loop, "Adding input".
        """
        if self.is_finished:
            raise UserError("this run is finished; start a new one with result.to_input_list() and the new input")
        if self.max_turns is not None and self.current_turn >= self.max_turns:
            raise UserError(f"this run has used its {self.max_turns} turns, so that no model would see the input")
        if self.pending is not None and self._may_end_with(self.pending):
            raise UserError(
                f"the calls this run waits for may end it (tool_use_behavior of agent {self.current_agent.name!r}), "
                "so that "
                "no model would see the input; start a new run with it afterwards"
            )
        self.pending_input = [*self.pending_input, *ItemHelpers.input_to_new_input_list(input)]

    def _may_end_with(self, pending: PendingTurn) -> bool:
        if any(item.type == "handoff_call_item" for item in pending.items):
            return False  # a handoff wins over the output of a tool
        behavior: Any = self.current_agent.tool_use_behavior
        if isinstance(behavior, dict):
            names = cast("dict[str, Any]", behavior).get("stop_at_tool_names", ())
            asked = [item for item in pending.items if isinstance(item, ToolCallItem)]
            return any(item.tool_name in names or _namespaced(item) in names for item in asked)
        return bool(behavior != "run_llm_again")

    def clear_pending_input(self) -> None:
        """Take back what `add_input` added and no model has seen."""
        self.pending_input = []

    def to_json(
        self,
        *,
        context_serializer: Callable[[Any], Mapping[str, Any]] | None = None,
        strict_context: bool = False,
        include_tracing_api_key: bool = False,
    ) -> dict[str, Any]:
        """Return the state as plain JSON data.

        Args:
            context_serializer: makes a dict of the context object. Without one a mapping goes as it is, a data class
                as a dict with a warning, anything else not at all, with a warning.
            strict_context: raise instead of warning.
            include_tracing_api_key: kept for compatibility; a state holds no key.

        Raises:
            UserError: something has no JSON form, or with `strict_context` the context would not come back as it is.

        Source: human in the loop, "Storing a run".
        """
        from agentrun._stored import plain_copy, state_to_json

        return plain_copy(state_to_json(self, context_serializer, strict_context=strict_context))

    def to_string(
        self,
        *,
        context_serializer: Callable[[Any], Mapping[str, Any]] | None = None,
        strict_context: bool = False,
        include_tracing_api_key: bool = False,
        key: bytes | str | None = None,
    ) -> str:
        """Return the state as JSON text.

        Args:
            context_serializer: see `to_json`.
            strict_context: see `to_json`.
            include_tracing_api_key: see `to_json`.
            key: signs the text, so that `from_string` with the same key refuses one that was changed.

        Raises:
            UserError: see `to_json`.

        Source: human in the loop, "Storing a run".
        """
        from agentrun._stored import state_to_json, to_text

        return to_text(state_to_json(self, context_serializer, strict_context=strict_context), key)

    @staticmethod
    async def from_json(
        initial_agent: Agent[Any],
        state_json: Mapping[str, Any],
        *,
        context_override: Any | None = None,
        context_deserializer: Callable[[Mapping[str, Any]], Any] | None = None,
        strict_context: bool = False,
    ) -> RunState[Any]:
        """Return the state in data that `to_json` made, from wherever it comes.

        Args:
            initial_agent: the agent the run was started with; the others are found over its handoffs, by name.
            state_json: the data.
            context_override: the context object, whatever was stored.
            context_deserializer: makes the context object from the stored dict; sync or async.
            strict_context: raise where a stored context cannot become the object it was.

        Raises:
            UserError: the data is damaged, of an unknown version, or names agents that are not there; says where.

        Source: human in the loop, "Storing a run".
        """
        from agentrun._stored import state_from_json

        return await state_from_json(
            (RunState, PendingTurn),
            initial_agent,
            state_json,
            context_override,
            context_deserializer,
            strict_context=strict_context,
        )

    @staticmethod
    async def from_string(
        initial_agent: Agent[Any],
        state_string: str,
        *,
        context_override: Any | None = None,
        context_deserializer: Callable[[Mapping[str, Any]], Any] | None = None,
        strict_context: bool = False,
        key: bytes | str | None = None,
    ) -> RunState[Any]:
        """Return the state in text that `to_string` made, from wherever it comes.

        Args:
            initial_agent: see `from_json`.
            state_string: the text.
            context_override: see `from_json`.
            context_deserializer: see `from_json`.
            strict_context: see `from_json`.
            key: the key the text was signed with.

        Raises:
            UserError: see `from_json`; and the text is too long, no JSON, or was changed after it was signed.

        Source: human in the loop, "Storing a run".
        """
        from agentrun._stored import from_text, state_from_json

        return await state_from_json(
            (RunState, PendingTurn),
            initial_agent,
            from_text(state_string, key),
            context_override,
            context_deserializer,
            strict_context=strict_context,
        )

    def __repr__(self) -> str:
        return f"RunState(agent={self.current_agent.name!r}, turn={self.current_turn}, items={len(self.new_items)})"


def _namespaced(item: ToolCallItem) -> str:
    return f"{getattr(item.raw_item, 'namespace', None)}.{item.tool_name}"


_MADE_HERE = (ToolCallOutputItem, HandoffOutputItem, InputItem)
"""The items that do not come from the model, which a provider that keeps the conversation must still be sent; what it
made itself, the output of a program, is a `WireValue`."""

_SHARED = (
    "current_agent",
    "current_turn",
    "final_output",
    "is_finished",
    "input_stored",
    "session_id",
    "stored_items",
    "reasoning_item_id_policy",
)

_COPIED = (
    "new_items",
    "next_items",
    "raw_responses",
    "input_guardrail_results",
    "output_guardrail_results",
    "tool_input_guardrail_results",
    "tool_output_guardrail_results",
    "calls_done",
    "pending_input",
    "unsent",
    "unstored",
    "interruptions",
    "warnings",
)


@attrs.define(eq=False, repr=False)
class LastAgent:
    """The last agent of a run, held strongly until it is released.

    Source: results, "Releasing agents".
    """

    _agent: Agent[Any] | None
    _ref: weakref.ref[Agent[Any]] | None = attrs.field(init=False, default=None)

    def get(self) -> Agent[Any]:
        """Return the agent.

        Raises:
            AgentsException: it was released and is gone.
        """
        agent = self._agent if self._agent is not None else (self._ref() if self._ref is not None else None)
        if agent is None:
            raise AgentsException("the last agent was released and no longer exists; keep a reference to it yourself")
        return agent

    def release(self) -> None:
        """Hold the agent weakly from here on."""
        if self._agent is not None:
            self._ref = weakref.ref(self._agent)
            self._agent = None
