"""Doubles and checkers for programs that use agentrun: scripted models, a provider on the loopback, virtual time."""

from __future__ import annotations

from agentrun.testing._cancel_everywhere import CancelCase, cancel_everywhere, unpaired
from agentrun.testing._check_model import BrokenRule, check_model
from agentrun.testing._check_session import BrokenSessionRule, check_session
from agentrun.testing._clock import AutojumpLoop, DeadlockError, fail_on_deadlock, run_virtual, virtual_options
from agentrun.testing._gate import Gate
from agentrun.testing._leaks import no_leaks
from agentrun.testing._models import AutoModel, FunctionModel
from agentrun.testing._provider import Conversation, LoopbackProvider, ProviderRequest, conversation_of
from agentrun.testing._schema_values import schema_value
from agentrun.testing._scripted import ScriptedModel
from agentrun.testing._server import Server, ServerStatistics, serve, serve_in_thread
from agentrun.testing._steps import (
    HttpReply,
    InvalidModelStep,
    ModelCall,
    ModelScriptError,
    ModelStep,
    ModelStepSpec,
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
    "BrokenRule",
    "BrokenSessionRule",
    "CancelCase",
    "Conversation",
    "DeadlockError",
    "FunctionModel",
    "Gate",
    "HttpReply",
    "InvalidModelStep",
    "LoopbackProvider",
    "ModelCall",
    "ModelScriptError",
    "ModelStep",
    "ModelStepSpec",
    "ProviderRequest",
    "ScriptedModel",
    "Server",
    "ServerStatistics",
    "UnconsumedModelSteps",
    "UnexpectedModelCall",
    "assistant_message",
    "cancel_everywhere",
    "check_model",
    "check_session",
    "conversation_of",
    "fail_on_deadlock",
    "function_call",
    "hang",
    "no_leaks",
    "reasoning",
    "refusal",
    "run_virtual",
    "schema_value",
    "serve",
    "serve_in_thread",
    "unpaired",
    "virtual_options",
]
