"""Where conversations are kept between runs."""

from agentrun._settings import SessionSettings
from agentrun.memory.session import Session, SessionABC

__all__ = ["Session", "SessionABC", "SessionSettings"]
