"""Settings of a session: how much of it a run reads.

Source: sessions.
"""

from agentrun._settings import SessionSettings, resolve_session_limit

__all__ = ["SessionSettings", "resolve_session_limit"]
