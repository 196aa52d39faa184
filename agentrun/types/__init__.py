"""Types of the APIs that models speak, in the places where programs look for them."""

from agentrun.types import responses

__all__ = ["responses"]
