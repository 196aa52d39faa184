"""How many tokens a run has used: exact sums over whole replies, and one entry per request."""

from __future__ import annotations

from copy import copy
from typing import Any, cast

import attrs

from agentrun._dataclass import Value
from agentrun._fields import new_list
from agentrun._responses import InputTokensDetails, OutputTokensDetails, ResponseUsage


def _input_details(value: InputTokensDetails | dict[str, Any] | None) -> InputTokensDetails:
    if value is None:
        return InputTokensDetails(cached_tokens=0)
    if isinstance(value, dict):
        value = InputTokensDetails(**value)
    elif type(value) is not InputTokensDetails:  # of another library, or of Chat Completions
        value = InputTokensDetails(
            cached_tokens=getattr(value, "cached_tokens", None) or 0,
            cache_write_tokens=getattr(value, "cache_write_tokens", None) or 0,
        )
    if cast("int | None", value.cached_tokens) is None:  # a provider sent null
        value.cached_tokens = 0
    return value


def _output_details(value: OutputTokensDetails | dict[str, Any] | None) -> OutputTokensDetails:
    if value is None:
        return OutputTokensDetails(reasoning_tokens=0)
    if isinstance(value, dict):
        value = OutputTokensDetails(**value)
    elif type(value) is not OutputTokensDetails:
        value = OutputTokensDetails(reasoning_tokens=getattr(value, "reasoning_tokens", None) or 0)
    if cast("int | None", value.reasoning_tokens) is None:
        value.reasoning_tokens = 0
    return value


def _count(value: Any) -> int:
    """Return a wire count as tokens: a whole number from 0 up, anything else counts as 0.

    Providers have been seen to send negative numbers, strings and 2**70; a sum must not be spoilt by one of them.
    """
    return value if type(value) is int and 0 <= value < 2**53 else 0


@attrs.define(on_setattr=attrs.setters.NO_OP, eq=False, repr=False)
class RequestUsage(Value):
    """The tokens of one request to a model.

    Source: usage, "Per-request usage".
    """

    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_tokens_details: InputTokensDetails = attrs.field(default=None, converter=_input_details)
    output_tokens_details: OutputTokensDetails = attrs.field(default=None, converter=_output_details)
    partial: bool = False
    """True for a request that was cut off. `output_tokens` is then the number of deltas that arrived, a lower bound."""


def _own(entry: RequestUsage) -> RequestUsage:
    """Return a copy that shares nothing with `entry`."""
    return attrs.evolve(
        entry,
        input_tokens_details=copy(entry.input_tokens_details),
        output_tokens_details=copy(entry.output_tokens_details),
    )


@attrs.define(on_setattr=attrs.setters.NO_OP, eq=False, repr=False)
class Usage(Value):
    """The tokens of a run: sums over every reply that arrived whole, nested agents included.

    Source: usage.
    """

    requests: int = 0
    """How many requests were made; failed attempts that were tried again count too."""
    input_tokens: int = 0
    input_tokens_details: InputTokensDetails = attrs.field(default=None, converter=_input_details)
    output_tokens: int = 0
    output_tokens_details: OutputTokensDetails = attrs.field(default=None, converter=_output_details)
    total_tokens: int = 0
    request_usage_entries: list[RequestUsage] = attrs.field(factory=new_list)
    """One entry per request, oldest first. The entry of a cut request has `partial=True` and is in none of the sums."""

    def add(self, other: Usage) -> None:
        """Add `other` to the sums, and its requests to `request_usage_entries`.

        A usage of exactly one request with any tokens, and without entries of its own, becomes one entry.

        Source: usage, `Usage.add`.
        """
        self.requests += other.requests
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens
        self.total_tokens += other.total_tokens
        mine, theirs = self.input_tokens_details, other.input_tokens_details
        if theirs.cached_tokens or theirs.cache_write_tokens:
            self.input_tokens_details = InputTokensDetails(
                cached_tokens=(mine.cached_tokens or 0) + (theirs.cached_tokens or 0),
                cache_write_tokens=(mine.cache_write_tokens or 0) + (theirs.cache_write_tokens or 0),
            )
        reasoning = other.output_tokens_details.reasoning_tokens
        if reasoning:
            reasoning += self.output_tokens_details.reasoning_tokens or 0
            self.output_tokens_details = OutputTokensDetails(reasoning_tokens=reasoning)
        if other.request_usage_entries:
            self.request_usage_entries.extend(map(_own, other.request_usage_entries))
        elif other.requests == 1 and (other.input_tokens or other.output_tokens or other.total_tokens):
            self.request_usage_entries.append(
                RequestUsage(
                    input_tokens=other.input_tokens,
                    output_tokens=other.output_tokens,
                    total_tokens=other.total_tokens,
                    input_tokens_details=copy(theirs),
                    output_tokens_details=copy(other.output_tokens_details),
                )
            )

    def copy(self) -> Usage:
        """Return a usage with the same sums and entries, and nothing in common with this one."""
        return attrs.evolve(
            self,
            input_tokens_details=copy(self.input_tokens_details),
            output_tokens_details=copy(self.output_tokens_details),
            request_usage_entries=[*map(_own, self.request_usage_entries)],
        )

    @classmethod
    def from_wire(cls, usage: ResponseUsage | None) -> Usage:
        """Return the usage of one request from what a Responses reply says of it.

        Counts that are no plausible number count as 0, so that a broken provider cannot spoil the sums.
        """
        if usage is None:
            return cls(requests=1)
        details_in, details_out = usage.input_tokens_details, usage.output_tokens_details
        return cls(
            requests=1,
            input_tokens=_count(usage.input_tokens),
            output_tokens=_count(usage.output_tokens),
            total_tokens=_count(usage.total_tokens),
            input_tokens_details=InputTokensDetails(
                cached_tokens=_count(getattr(details_in, "cached_tokens", 0)),
                cache_write_tokens=_count(getattr(details_in, "cache_write_tokens", 0)),
            ),
            output_tokens_details=OutputTokensDetails(
                reasoning_tokens=_count(getattr(details_out, "reasoning_tokens", 0))
            ),
        )
