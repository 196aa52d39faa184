"""The state of a paused or stopped run, as data.

Source: human in the loop.
"""

from agentrun._context import TContext
from agentrun._handoff import TAgent
from agentrun._state import RunState
from agentrun._stored import ContextDeserializer, ContextSerializer

__all__ = ["ContextDeserializer", "ContextSerializer", "RunState", "TAgent", "TContext"]
