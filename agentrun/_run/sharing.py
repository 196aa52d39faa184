"""The runs that use an agent at one time: what a start hook of one does to its tools must not reach the others.

An agent is a value that any number of runs share. A hook may give it tools when it starts, for the user it starts for;
with other runs on that agent, in whatever thread, these would get the tools as well. All of them are refused then.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from agentrun._exceptions import UserError

if TYPE_CHECKING:
    from agentrun._agent import Agent

_lock = threading.Lock()
_shared: dict[int, _Shared] = {}
"""The agents in use, by identity."""


class _Shared:
    """An agent in use.

    Invariant: `tools` are those the agent had before the hooks that are at work, or when one of its users looked last.
    """

    __slots__ = ("agent", "hooks_at_work", "tools", "users")

    def __init__(self, agent: Agent[Any]) -> None:
        self.agent = agent
        self.users: set[AgentUse] = set()
        self.hooks_at_work = 0
        self.tools: list[int] = []

    def look(self) -> None:
        """Refuse all users if the tools have changed since somebody looked."""
        now = list(map(id, self.agent.tools))
        changed, self.tools = now != self.tools, now
        if changed and len(self.users) > 1:
            for user in self.users:
                user.refused = self.agent.name


class AgentUse:
    """What one run uses: the agent whose turn it is, from before its guardrails and hooks to the handoff or the end."""

    __slots__ = ("_of", "refused")

    def __init__(self) -> None:
        self._of: _Shared | None = None
        self.refused: str | None = None
        """The name of an agent whose tools another run has changed; None if there is none."""

    def take(self, agent: Agent[Any]) -> None:
        """Use `agent` from here on, and no other."""
        if self._of is not None and self._of.agent is agent:
            return
        self.leave()
        with _lock:
            of = _shared.get(id(agent))
            if of is None:
                of = _shared[id(agent)] = _Shared(agent)
            self._of = of
            of.users.add(self)
            if of.hooks_at_work:
                of.look()

    def leave(self) -> None:
        """Use no agent any more."""
        of, self._of = self._of, None
        if of is not None:
            with _lock:
                of.users.remove(self)
                if not of.users:
                    del _shared[id(of.agent)]

    @contextmanager
    def starting(self) -> Generator[None]:
        """Return a context for the start hooks of the agent in use; what they do to its tools is for this run alone."""
        of = self._of
        assert of is not None
        with _lock:
            if not of.hooks_at_work:
                of.tools = list(map(id, of.agent.tools))
            of.hooks_at_work += 1
        try:
            yield
        finally:
            with _lock:
                of.hooks_at_work -= 1
                of.look()

    def check(self) -> None:
        """Let the run go on.

        Raises:
            UserError: a start hook changed the tools of an agent that this run used beside another.
        """
        if self.refused is not None:
            raise UserError(
                f"a start hook changed the tools of agent {self.refused!r} while concurrent runs used it, and each "
                "would have got them; run a copy made with agent.clone(tools=[...]), or give the tools an is_enabled"
            )
