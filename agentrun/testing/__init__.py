"""Doubles and checkers for programs that use agentrun: models that follow a script, a provider on the loopback, virtual time."""

from __future__ import annotations

from ._clock import AutojumpLoop, DeadlockError, run_virtual
from ._gate import Gate
from ._models import AutoModel, FunctionModel
from ._schema_values import schema_value
from ._scripted import ScriptedModel
from ._steps import (
    HttpReply,
    InvalidModelStep,
    ModelCall,
    ModelScriptError,
    ModelStep,
    UnconsumedModelSteps,
    UnexpectedModelCall,
    assistant_message,
    function_call,
    hang,
    reasoning,
    refusal,
)

__all__ = [
    "AutoModel",
    "AutojumpLoop",
    "DeadlockError",
    "FunctionModel",
    "Gate",
    "HttpReply",
    "InvalidModelStep",
    "ModelCall",
    "ModelScriptError",
    "ModelStep",
    "ScriptedModel",
    "UnconsumedModelSteps",
    "UnexpectedModelCall",
    "assistant_message",
    "function_call",
    "hang",
    "reasoning",
    "refusal",
    "run_virtual",
    "schema_value",
]
