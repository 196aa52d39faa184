"""What a run does next: a table from (state, event) to decision, without I/O.

A run is in one `State`. The driver performs a `Decision` and reports what came of it as an `Event`; the table below
says what to do then. Two rules hold:

* every transition a run can make stands in `TABLE`; a pair that is not there is a bug and raises;
* nothing in here knows what performing means. The driver knows nothing but how to perform.

Failures and hard cancels are no events: they leave the loop as exceptions, from any state (`_run/leave.py`).

The diagram in the docs is generated from `TABLE`.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final


class _Word(enum.Enum):
    """A word of the table; hashed by identity, since an enum hashes its name anew at every look-up."""

    if not TYPE_CHECKING:  # the same to checkers, which would have it annotated
        __hash__ = object.__hash__


class State(_Word):
    """Where a run stands. The last three are final."""

    IDLE = "idle"
    READY = "ready"
    """Between two turns."""
    ASKING = "asking"
    """The model is being asked."""
    ACTING = "acting"
    """The calls of the reply are running."""
    HANDING_OVER = "handing over"
    RECOVERING = "recovering"
    """An error handler is asked for an output."""
    CLOSING = "closing"
    """There is an output; hooks and output guardrails have the word."""
    COMPLETED = "completed"
    PAUSED = "paused"
    STOPPED = "stopped"


class Event(_Word):
    """What came of a decision."""

    STARTED = "started"
    RESUMED_IN_TURN = "resumed in a turn"
    """The run was paused with calls that wait for a decision."""
    TURN_OPEN = "turn open"
    STOP_ASKED = "stop asked"
    TURNS_USED_UP = "turns used up"
    CALLS = "reply with calls"
    ANSWER = "reply with an answer"
    NO_ANSWER = "reply without answer"
    REFUSAL = "refusal"
    INVALID_ANSWER = "invalid answer"
    MISSING_ANSWER = "answer missing"
    """A structured agent's reply had no text; a handler may supply one, else the model is asked again."""
    APPROVALS_MISSING = "approvals missing"
    HANDOFF = "handoff asked"
    TOOL_ANSWER = "tool output is the answer"
    CALLS_DONE = "calls done"
    HANDED_OVER = "handed over"
    RECOVERED = "recovered"
    NOT_RECOVERED = "not recovered"
    ACCEPTED = "output accepted"


class Decision(_Word):
    """What the driver is to perform. The last three end the run."""

    OPEN_TURN = "open turn"
    ASK_MODEL = "ask model"
    RUN_CALLS = "run calls"
    HAND_OVER = "hand over"
    ASK_HANDLER = "ask handler"
    CHECK_OUTPUT = "check output"
    COMPLETE = "complete"
    PAUSE = "pause"
    STOP = "stop"


TABLE: Final[dict[tuple[State, Event], tuple[Decision, State]]] = {
    (State.IDLE, Event.STARTED): (Decision.OPEN_TURN, State.READY),
    (State.IDLE, Event.RESUMED_IN_TURN): (Decision.RUN_CALLS, State.ACTING),
    (State.READY, Event.TURN_OPEN): (Decision.ASK_MODEL, State.ASKING),
    (State.READY, Event.STOP_ASKED): (Decision.STOP, State.STOPPED),
    (State.READY, Event.TURNS_USED_UP): (Decision.ASK_HANDLER, State.RECOVERING),
    (State.ASKING, Event.CALLS): (Decision.RUN_CALLS, State.ACTING),
    (State.ASKING, Event.ANSWER): (Decision.CHECK_OUTPUT, State.CLOSING),
    (State.ASKING, Event.NO_ANSWER): (Decision.OPEN_TURN, State.READY),
    (State.ASKING, Event.REFUSAL): (Decision.ASK_HANDLER, State.RECOVERING),
    (State.ASKING, Event.INVALID_ANSWER): (Decision.ASK_HANDLER, State.RECOVERING),
    (State.ASKING, Event.MISSING_ANSWER): (Decision.ASK_HANDLER, State.RECOVERING),
    (State.ACTING, Event.APPROVALS_MISSING): (Decision.PAUSE, State.PAUSED),
    (State.ACTING, Event.HANDOFF): (Decision.HAND_OVER, State.HANDING_OVER),
    (State.ACTING, Event.TOOL_ANSWER): (Decision.CHECK_OUTPUT, State.CLOSING),
    (State.ACTING, Event.CALLS_DONE): (Decision.OPEN_TURN, State.READY),
    (State.HANDING_OVER, Event.HANDED_OVER): (Decision.OPEN_TURN, State.READY),
    (State.RECOVERING, Event.RECOVERED): (Decision.CHECK_OUTPUT, State.CLOSING),
    (State.RECOVERING, Event.NOT_RECOVERED): (Decision.OPEN_TURN, State.READY),
    (State.CLOSING, Event.ACCEPTED): (Decision.COMPLETE, State.COMPLETED),
}

FINAL: Final = frozenset({Decision.COMPLETE, Decision.PAUSE, Decision.STOP})
"""The decisions after which nothing is performed any more."""

IN_TURN: Final = frozenset({Decision.ASK_MODEL, Decision.RUN_CALLS})
"""The decisions that are performed inside one turn's nursery."""


def after_calls(*, approvals_missing: bool, handoff: bool, tool_answer: bool) -> Event:
    """Return what the calls of a reply come to; an earlier rule wins over a later one.

    Source: running agents, "The agent loop".
    """
    if approvals_missing:
        return Event.APPROVALS_MISSING
    if handoff:
        return Event.HANDOFF
    if tool_answer:
        return Event.TOOL_ANSWER
    return Event.CALLS_DONE


class IllegalTransition(RuntimeError):
    """The driver reported an event that its state does not know: a bug in agentrun."""


class Machine:
    """One run's place in the table."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state: State = State.IDLE

    def feed(self, event: Event) -> Decision:
        """Return what to do after `event`, and move on.

        Raises:
            IllegalTransition: the table has no such pair.
        """
        try:
            decision, self.state = TABLE[self.state, event]
        except KeyError:
            raise IllegalTransition(f"no transition for {event.value!r} in state {self.state.value!r}") from None
        return decision
