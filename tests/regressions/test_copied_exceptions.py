"""Exceptions survive copying and pickling, so that a worker process can hand one back."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from agentrun import (
    Agent,
    AgentsException,
    GuardrailFunctionOutput,
    InputGuardrail,
    InputGuardrailResult,
    InputGuardrailTripwireTriggered,
    MaxTurnsExceeded,
    ModelLimitError,
    ModelRefusalError,
    ModelStatusError,
    ModelTimeoutError,
    ModelTransportError,
    OutputGuardrail,
    OutputGuardrailResult,
    OutputGuardrailTripwireTriggered,
    RunTimeoutError,
    ToolGuardrailFunctionOutput,
    ToolInputGuardrail,
    ToolInputGuardrailTripwireTriggered,
    ToolOutputGuardrail,
    ToolOutputGuardrailTripwireTriggered,
    ToolTimeoutError,
    UserError,
)


def check(*given: Any) -> Any: ...


VERDICT = GuardrailFunctionOutput("looked", True)
RAISED = ToolGuardrailFunctionOutput.raise_exception("looked")
EXCEPTIONS = [
    UserError("wrong"),
    MaxTurnsExceeded("too many"),
    RunTimeoutError("run", 3.0),
    ModelRefusalError("I will not"),
    ModelTransportError("gone", response_started=True),
    ModelStatusError("slow down", status=429),
    ModelTimeoutError(3.0, "idle"),
    ModelLimitError("calls per reply", 3, 2),
    ToolTimeoutError("dig", 3.0),
    InputGuardrailTripwireTriggered(InputGuardrailResult(InputGuardrail(check), VERDICT)),
    OutputGuardrailTripwireTriggered(OutputGuardrailResult(OutputGuardrail(check), "All right.", Agent("A"), VERDICT)),
    ToolInputGuardrailTripwireTriggered(ToolInputGuardrail(check), RAISED),
    ToolOutputGuardrailTripwireTriggered(ToolOutputGuardrail(check), RAISED),
]


def pickled(exc: AgentsException) -> AgentsException:
    copied: AgentsException = pickle.loads(pickle.dumps(exc))
    return copied


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickled])
@pytest.mark.parametrize("exc", EXCEPTIONS, ids=lambda exc: type(exc).__name__)
def test_a_copied_exception_says_the_same_and_has_the_same_fields(
    exc: AgentsException, copied: Callable[[AgentsException], AgentsException]
) -> None:
    exc.add_note("seen by a test")
    other = copied(exc)
    assert type(other) is type(exc)
    assert str(other) == str(exc)
    assert vars(other).keys() == vars(exc).keys()
    assert other.__notes__ == exc.__notes__
    for name, value in vars(exc).items():
        if isinstance(value, str | int | float | type(None)):
            assert vars(other)[name] == value
