"""Who allowed what: the decisions on tool calls of one run, by call and by tool."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from agentrun._items import ToolApprovalItem


@attrs.define
class Decision:
    """One decision on one call, or on every call of one tool."""

    approved: bool
    message: str | None = None
    """What the model is told instead of the output, for a refusal."""


@attrs.define(eq=False)
class Approvals:
    """The decisions taken so far. The decision on a call wins over the one on its tool; the last decision wins."""

    calls: dict[tuple[str, str], Decision] = attrs.field(factory=dict)
    """By tool name (with namespace) and call id."""
    tools: dict[str, Decision] = attrs.field(factory=dict)
    """By tool name (with namespace), for every call of it."""

    def approve(self, item: ToolApprovalItem, *, always: bool = False) -> None:
        """Allow the call of `item`, and with `always` every later call of its tool."""
        self._decide(item, Decision(approved=True), always)

    def reject(self, item: ToolApprovalItem, *, always: bool = False, message: str | None = None) -> None:
        """Refuse the call of `item`, and with `always` every later call of its tool."""
        self._decide(item, Decision(approved=False, message=message), always)

    def _decide(self, item: ToolApprovalItem, decision: Decision, always: bool) -> None:
        name = item.qualified_name or ""
        self.calls[name, item.call_id or ""] = decision
        if always:
            self.tools[name] = decision

    def decision(self, tool_name: str, call_id: str) -> Decision | None:
        """Return what was decided for a call, or None."""
        return self.calls.get((tool_name, call_id)) or self.tools.get(tool_name)

    def status(self, tool_name: str, call_id: str) -> bool | None:
        """Return True for allowed, False for refused, None while nobody has decided."""
        found = self.decision(tool_name, call_id)
        return None if found is None else found.approved

    def rejection_message(self, tool_name: str, call_id: str) -> str | None:
        """Return the message given with a refusal, or None."""
        found = self.decision(tool_name, call_id)
        return None if found is None or found.approved else found.message

    def take(self, item: ToolApprovalItem, other: Approvals) -> None:
        """Take over what `other` decided on the very call of `item`."""
        key = (item.qualified_name or "", item.call_id or "")
        if key in other.calls:
            self.calls[key] = other.calls[key]

    def copy(self) -> Approvals:
        """Return decisions of their own."""
        return Approvals(dict(self.calls), dict(self.tools))
