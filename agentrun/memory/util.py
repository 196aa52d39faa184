"""The callback that joins a session's history and a run's new input.

Source: sessions.
"""

from agentrun._config import SessionInputCallback

__all__ = ["SessionInputCallback"]
