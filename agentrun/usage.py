"""Tokens and requests that a run has used.

Source: usage.
"""

from agentrun._responses import InputTokensDetails, OutputTokensDetails
from agentrun._usage import RequestUsage, Usage

__all__ = ["InputTokensDetails", "OutputTokensDetails", "RequestUsage", "Usage"]
