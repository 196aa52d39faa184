"""Handlers that turn the failure of a run into a final output.

Source: running agents, "Error handlers".
"""

from agentrun._config import RunErrorHandler, RunErrorHandlers
from agentrun._failure_values import RunErrorData, RunErrorHandlerInput, RunErrorHandlerResult

__all__ = ["RunErrorData", "RunErrorHandler", "RunErrorHandlerInput", "RunErrorHandlerResult", "RunErrorHandlers"]
