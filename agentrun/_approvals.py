"""Who allowed what: the decisions on tool calls of one run, by call and by tool of an agent."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import attrs

from agentrun._fields import new_dict, new_list

if TYPE_CHECKING:
    from agentrun._agent import Agent
    from agentrun._items import ToolApprovalItem


@attrs.define(eq=False, repr=False)
class Decision:
    """One decision on one call, or on every call of one tool of an agent."""

    approved: bool
    message: str | None = None
    """What the model is told instead of the output, for a refusal."""
    bound_to: str | None = None
    """The fingerprint of the call that was decided; None for a decision that is bound to none."""


@attrs.frozen(eq=False, repr=False)
class ToolDecision:
    """A decision on every call that one agent makes of one tool."""

    tool: str
    """The name of the tool, with its namespace."""
    _agent: weakref.ref[Agent[Any]]
    decision: Decision

    @property
    def agent(self) -> Agent[Any] | None:
        """The agent whose tool it is; None when it is gone."""
        return self._agent()

    @classmethod
    def of(cls, agent: Agent[Any], tool: str, decision: Decision) -> ToolDecision:
        """Return a decision that does not keep the agent."""
        return cls(tool, weakref.ref(agent), decision)


def fingerprint(name: str, arguments: str) -> str:
    """Return what tells a call from another one with the same id: a hash of name and arguments."""
    import hashlib

    text = f"{len(name)} {name} {arguments}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@attrs.define(eq=False, repr=False)
class Approvals:
    """The decisions taken so far. The decision on a call wins over the one on its tool; the last decision wins.

    A decision on a call holds for that call as it was shown: with other arguments the call is undecided again. One on a
    tool holds for the agent that asked: another agent's tool may have the same name and do something else.
    """

    calls: dict[tuple[str, str], Decision] = attrs.field(factory=new_dict)
    """By tool name (with namespace) and call id."""
    tools: list[ToolDecision] = attrs.field(factory=new_list)
    """At most one for a tool of an agent."""

    def approve(self, item: ToolApprovalItem, *, always: bool = False) -> None:
        """Allow the call of `item`, and with `always` every later call of its tool."""
        self._decide(item, Decision(approved=True), always)

    def reject(self, item: ToolApprovalItem, *, always: bool = False, message: str | None = None) -> None:
        """Refuse the call of `item`, and with `always` every later call of its tool."""
        self._decide(item, Decision(approved=False, message=message), always)

    def _decide(self, item: ToolApprovalItem, decision: Decision, always: bool) -> None:
        name = item.qualified_name or ""
        self.calls[name, item.call_id or ""] = attrs.evolve(decision, bound_to=fingerprint(name, item.arguments or ""))
        if always:
            self.tools = [one for one in self.tools if one.tool != name or one.agent is not item.agent]
            self.tools.append(ToolDecision.of(item.agent, name, decision))

    def decision(
        self, tool_name: str, call_id: str, arguments: str | None = None, agent: Agent[Any] | None = None
    ) -> Decision | None:
        """Return what was decided for a call, or None.

        Args:
            tool_name: the name of the tool, with its namespace.
            call_id: the id of the call.
            arguments: the arguments it is made with; a decision taken on others does not count. None asks for the
                decision whatever the arguments are.
            agent: the agent that calls. For None a decision on a tool counts where it is the only one on a tool of that
                name.
        """
        if not self.calls and not self.tools:
            return None
        found = self.calls.get((tool_name, call_id))
        if (
            found is not None
            and arguments is not None
            and found.bound_to not in (None, fingerprint(tool_name, arguments))
        ):
            found = None
        if found is not None:
            return found
        on_tool = [one for one in self.tools if one.tool == tool_name and (agent is None or one.agent is agent)]
        return on_tool[0].decision if len(on_tool) == 1 else None

    def status(self, tool_name: str, call_id: str, agent: Agent[Any] | None = None) -> bool | None:
        """Return True for allowed, False for refused, None while nobody has decided."""
        found = self.decision(tool_name, call_id, agent=agent)
        return None if found is None else found.approved

    def rejection_message(self, tool_name: str, call_id: str, agent: Agent[Any] | None = None) -> str | None:
        """Return the message given with a refusal, or None."""
        found = self.decision(tool_name, call_id, agent=agent)
        return None if found is None or found.approved else found.message

    def take(self, item: ToolApprovalItem, other: Approvals) -> None:
        """Take over what `other` decided on the very call of `item`."""
        key = (item.qualified_name or "", item.call_id or "")
        if key in other.calls:
            self.calls[key] = other.calls[key]

    def copy(self) -> Approvals:
        """Return decisions of their own."""
        return Approvals(dict(self.calls), list(self.tools))
