"""The id of items that a provider without ids made; it is never sent.

Source: models, "Chat Completions".
"""

from agentrun.models.responses_wire import FAKE_ID as FAKE_RESPONSES_ID

__all__ = ["FAKE_RESPONSES_ID"]
