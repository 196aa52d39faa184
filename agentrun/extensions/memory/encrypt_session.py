"""A session that encrypts what another one stores.

Source: sessions, "Encrypted sessions".
"""

from agentrun.extensions.memory.encrypted_session import EncryptedSession

__all__ = ["EncryptedSession"]
