"""Settings of a session: how much of it a run reads.

Source: sessions.
"""

from agentrun._settings import SessionSettings

__all__ = ["SessionSettings"]
