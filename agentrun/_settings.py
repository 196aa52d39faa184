"""What a caller may set: model settings, retries, deadlines, limits. Plain values; nothing here does I/O."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias, TypeVar, cast

import attrs

from agentrun._dataclass import Value
from agentrun._fields import (
    flag,
    function,
    mapping,
    number,
    one_of,
    optional_flag,
    required_text,
    strings,
    whole_number,
)

if TYPE_CHECKING:
    from agentrun._retry import RetryPolicy

DEFAULT_MAX_TURNS = 10
"""How many model calls a run may make when its caller names no number."""

_T = TypeVar("_T")
MaybeAwaitable: TypeAlias = Awaitable[_T] | _T

ReasoningItemIdPolicy = Literal["preserve", "omit"]


@attrs.define(eq=False, repr=False)
class MCPToolChoice(Value):
    """A `tool_choice` that forces one tool of a hosted MCP server; Responses API only.

    Raises:
        ValueError: a field is no str.

    Source: model settings, `MCPToolChoice`.
    """

    server_label: str = attrs.field(validator=required_text)
    name: str = attrs.field(validator=required_text)


ToolChoice: TypeAlias = str | Mapping[str, Any] | MCPToolChoice


def from_plain(cls: type[_T], value: Any, what: str) -> _T:
    """Return `value` as a `cls`, made from a plain dict where one was given.

    Raises:
        TypeError: `value` is neither, or the dict has a key that `cls` does not know.
    """
    if isinstance(value, cls):
        return value
    if not isinstance(value, Mapping):
        raise TypeError(f"{what} must be a {cls.__name__} or a dict of its fields, got {value!r}")
    given = cast("Mapping[str, Any]", value)
    known = [field.alias for field in attrs.fields(cast("Any", cls)) if field.init]
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise TypeError(f"{what} got the unknown key(s) {unknown}; {cls.__name__} knows {known}")
    return cls(**given)


def positive_seconds(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    """Check a field that holds seconds, or None.

    Raises:
        ValueError: it is no positive, finite number.
    """
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        raise ValueError(f"{attribute.name} must be a positive number of seconds or None, got {value!r}")


def _not_negative(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    number(instance, attribute, value)
    if value is not None and not value >= 0:  # NaN is not
        raise ValueError(f"{type(instance).__name__}.{attribute.name} must be 0 or more, got {value!r}")


@attrs.define(eq=False, repr=False)
class Reasoning(Value):
    """How a reasoning model should think; goes to the provider as it is.

    Source: model settings, `reasoning`.
    """

    effort: str | None = None
    summary: str | None = None
    generate_summary: str | None = None
    extra: dict[str, Any] | None = None
    """Members that have no field here, as they go to the provider."""
    mode: str | None = None
    context: str | None = None


@attrs.define(eq=False, repr=False)
class ModelRetryBackoffSettings(Value):
    """How long to wait between attempts, in seconds; a field left None means its documented default.

    Raises:
        ValueError: a field holds a value of the wrong type, or less than 0.

    Source: models, "Retries".
    """

    initial_delay: float | None = attrs.field(default=None, validator=_not_negative)
    """Seconds before the second attempt; 0.25 when None."""
    max_delay: float | None = attrs.field(default=None, validator=_not_negative)
    """The longest wait; 2 when None."""
    multiplier: float | None = attrs.field(default=None, validator=_not_negative)
    """By how much each wait is longer than the last; 2 when None."""
    jitter: bool | None = attrs.field(default=None, validator=optional_flag)
    """Whether to spread the waits at random; True when None."""

    def to_json_dict(self) -> dict[str, Any]:
        """Return every field as a JSON-ready value, None for those that are not set; it raises nothing."""
        return attrs.asdict(self)


def _backoff(value: Any) -> ModelRetryBackoffSettings | None:
    return None if value is None else from_plain(ModelRetryBackoffSettings, value, "backoff")


@attrs.define(eq=False, repr=False)
class ModelRetrySettings(Value):
    """When a failed model call is tried again. Without a policy a call is retried only where that is surely safe.

    Raises:
        ValueError: `max_retries` is no whole number.
        TypeError: `policy` is no function of a context, or `backoff` neither settings nor a dict of their fields.

    Source: models, "Retries".
    """

    max_retries: int | None = attrs.field(default=None, validator=whole_number)
    """How many times to try again after the first attempt."""
    backoff: ModelRetryBackoffSettings | None = attrs.field(default=None, converter=_backoff)
    policy: RetryPolicy | None = attrs.field(default=None, validator=function("RetryPolicyContext"))
    """Called with a `RetryPolicyContext` after each failure; see `retry_policies`."""

    def to_json_dict(self) -> dict[str, Any]:
        """Return every field but `policy` as a JSON-ready value, None for those that are not set; it raises nothing."""
        return attrs.asdict(self, filter=_without_policy)

    def resolve(self, override: ModelRetrySettings | None) -> ModelRetrySettings:
        """Return these settings with every field that `override` sets replaced, `backoff` field by field."""
        if override is None:
            return self
        backoff = self.backoff
        if backoff is not None and override.backoff is not None:
            backoff = _merged(backoff, override.backoff)
        return attrs.evolve(_merged(self, override), backoff=backoff or override.backoff)


def _without_policy(attribute: attrs.Attribute[Any], _: Any) -> bool:
    return attribute.name != "policy"


def _merged(base: _T, override: _T) -> _T:
    """Return `base` with every field that is not None in `override` taken from there."""
    cls = cast("Any", type(base))
    changes = {field.name: value for field in attrs.fields(cls) if (value := getattr(override, field.name)) is not None}
    return cast("_T", attrs.evolve(cast("Any", base), **changes)) if changes else base


def _reasoning(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    members = dict(cast("dict[str, Any]", value))
    extra: dict[str, Any] = dict(members.pop("extra", None) or {})
    for name in members.keys() - {field.name for field in attrs.fields(Reasoning)}:
        extra[name] = members.pop(name)
    return Reasoning(**members, extra=extra or None)


def _retry(value: Any) -> ModelRetrySettings | None:
    return None if value is None else from_plain(ModelRetrySettings, value, "retry")


def _check_reasoning(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if isinstance(value, str | int | float | list | tuple):
        raise ValueError(
            f"ModelSettings.reasoning must be a Reasoning or a dict, got {value!r}; pass {{'effort': 'low'}}"
        )


def _tool_choice(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is not None and not isinstance(value, str | Mapping | MCPToolChoice):
        raise ValueError(
            f"ModelSettings.tool_choice must be 'auto', 'required', 'none' or the name of a tool, got {value!r}; pass "
            "the tool's name"
        )


def _metadata(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    mapping(instance, attribute, value)
    for key, one in (cast("Mapping[Any, Any]", value) or {}).items():
        if not (isinstance(key, str) and isinstance(one, str)):
            raise ValueError(f"ModelSettings.metadata must map str to str, got {one!r} under {key!r}; pass str(...)")


def _items(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is not None and not isinstance(value, list):
        raise ValueError(f"ModelSettings.{attribute.name} must be a list, got {value!r}; put the entries into [...]")


def _header_names(headers: Mapping[str, Any] | None) -> str:
    """Return the names for a repr; the values may be keys."""
    return "None" if headers is None else f"<{', '.join(map(str, headers))}>"


@attrs.define(eq=False, repr=False)
class ModelSettings(Value):
    """What to ask of a model beside the conversation; a field left None leaves the provider's default.

    Raises:
        ValueError: a field has a value that no provider could be meant to get, such as a text for a number.
        TypeError: `retry` is neither a `ModelRetrySettings` nor a dict of its fields.

    Source: model settings.
    """

    temperature: float | None = attrs.field(default=None, validator=number)
    top_p: float | None = attrs.field(default=None, validator=number)
    frequency_penalty: float | None = attrs.field(default=None, validator=number)
    presence_penalty: float | None = attrs.field(default=None, validator=number)
    tool_choice: ToolChoice | None = attrs.field(default=None, validator=_tool_choice)
    """"auto", "required", "none", or the name of a tool that must be called."""
    parallel_tool_calls: bool | None = attrs.field(default=None, validator=optional_flag)
    truncation: Literal["auto", "disabled"] | None = attrs.field(
        default=None, validator=attrs.validators.optional(one_of("auto", "disabled"))
    )
    max_tokens: int | None = attrs.field(default=None, validator=whole_number)
    """The most output tokens."""
    reasoning: Any | None = attrs.field(default=None, converter=_reasoning, validator=_check_reasoning)
    """A `Reasoning`, or any object or dict with the provider's fields."""
    verbosity: Literal["low", "medium", "high"] | None = attrs.field(
        default=None, validator=attrs.validators.optional(one_of("low", "medium", "high"))
    )
    metadata: dict[str, str] | None = attrs.field(default=None, validator=_metadata)
    store: bool | None = attrs.field(default=None, validator=optional_flag)
    """Whether the provider keeps the reply for later retrieval."""
    prompt_cache_retention: Literal["in_memory", "24h"] | None = attrs.field(
        default=None, validator=attrs.validators.optional(one_of("in_memory", "24h"))
    )
    include_usage: bool | None = attrs.field(default=None, validator=optional_flag)
    """Whether a Chat Completions stream reports usage; on when None."""
    response_include: list[str] | None = attrs.field(default=None, validator=strings)
    top_logprobs: int | None = attrs.field(default=None, validator=whole_number)
    extra_query: Mapping[str, Any] | None = attrs.field(default=None, validator=mapping)
    """Query parameters added to the request."""
    extra_body: Any | None = attrs.field(default=None, validator=mapping)
    """Members added to the request's JSON body."""
    extra_headers: Mapping[str, Any] | None = attrs.field(default=None, repr=_header_names, validator=mapping)
    """Headers added to the request; they win over our own."""
    extra_args: dict[str, Any] | None = attrs.field(default=None, validator=mapping)
    """Members added to the request's JSON body, merged key by key when settings are resolved."""
    retry: ModelRetrySettings | None = attrs.field(default=None, converter=_retry)
    context_management: list[Any] | None = attrs.field(default=None, validator=_items)
    prompt_cache_options: Any | None = None
    preserve_raw_usage: bool | None = attrs.field(default=None, validator=optional_flag)
    """Whether `ModelResponse.raw_usage` keeps the provider's own usage object."""
    timeout: float | None = attrs.field(default=None, validator=positive_seconds)
    """Seconds one attempt of a model call may take; past it `ModelTimeoutError` is raised."""

    def resolve(self, override: ModelSettings | Mapping[str, Any] | None) -> ModelSettings:
        """Return these settings with every field that `override` sets replaced.

        `extra_args` are merged key by key and `retry` field by field. Neither object is changed.

        Raises:
            TypeError: `override` is neither settings nor a dict of their fields.

        Source: model settings, `resolve`.
        """
        if override is None:
            return self
        override = from_plain(ModelSettings, override, "override")
        merged = _merged(self, override)
        changes: dict[str, Any] = {}
        if self.extra_args is not None and override.extra_args is not None:
            changes["extra_args"] = {**self.extra_args, **override.extra_args}
        if self.retry is not None and override.retry is not None:
            changes["retry"] = self.retry.resolve(override.retry)
        return attrs.evolve(merged, **changes) if changes else merged

    def to_json_dict(self) -> dict[str, Any]:
        """Return every field as JSON-ready values, None for those that are not set; a retry policy is left out."""
        return attrs.asdict(self, filter=_without_policy)


@attrs.define(kw_only=True, eq=False, repr=False)
class Timeouts(Value):
    """The deadlines of a run, in seconds; None means no deadline of ours.

    Each is a deadline on the cancel scope of its level, so it reaches everything below. A caller's own
    `anyio.move_on_after` round a run works as well, on top of these.

    Raises:
        ValueError: a limit is no positive, finite number.
    """

    run: float | None = attrs.field(default=None, validator=positive_seconds)
    """The whole run; past it `RunTimeoutError` with `limit="run"`."""
    turn: float | None = attrs.field(default=None, validator=positive_seconds)
    """One turn, model and tools together; past it `RunTimeoutError` with `limit="turn"`."""
    connect: float | None = attrs.field(default=30.0, validator=positive_seconds)
    """Making a connection to a model; protects against hosts that swallow packets."""
    first_event: float | None = attrs.field(default=300.0, validator=positive_seconds)
    """From sending a streamed request to its first whole event; protects against silent and dripping heads."""
    idle: float | None = attrs.field(default=120.0, validator=positive_seconds)
    """Between two whole events of a stream; protects against stalled, dripping and comment-only streams."""
    total: float | None = attrs.field(default=600.0, validator=positive_seconds)
    """One attempt of a model call as a whole; protects against streams that never end."""
    tool: float | None = attrs.field(default=None, validator=positive_seconds)
    """A tool call whose tool has no `timeout` of its own."""
    cleanup: float | None = attrs.field(default=5.0, validator=positive_seconds)
    """How long a cancelled tool may clean up before its cleanup is cancelled as well."""
    save: float | None = attrs.field(default=10.0, validator=positive_seconds)
    """One write to a session after the run was cancelled; protects a cancel from a database that hangs."""

    @classmethod
    def coerce(cls, value: Timeouts | Mapping[str, Any] | None) -> Timeouts:
        """Return `value`, or the defaults for None, or one made from a plain dict."""
        return cls() if value is None else from_plain(cls, value, "timeouts")


connect_limit: ContextVar[float | None] = ContextVar("agentrun_connect_limit", default=None)
"""`Timeouts.connect` of the run around a request, for models that make connections; the shorter of two limits wins."""


def _at_least_one(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise ValueError(f"{attribute.name} must be a whole number of at least 1 or None, got {value!r}")


@attrs.define(eq=False, repr=False)
class ToolExecutionConfig(Value):
    """How the function calls of one reply are run.

    Raises:
        ValueError: the limit is no whole number of at least 1, or the switch neither True nor False.

    Source: running agents, "Tool execution".
    """

    max_function_tool_concurrency: int | None = attrs.field(default=None, validator=_at_least_one)
    """How many function calls of a reply may run at once; the others wait and start in call order."""
    pre_approval_tool_input_guardrails: bool = attrs.field(default=False, validator=flag)
    """Whether tool input guardrails also run before a call is put up for approval."""


@attrs.define(eq=False, repr=False)
class SessionSettings(Value):
    """How much of a session a run reads.

    Raises:
        ValueError: a field holds a value of the wrong type.

    Source: sessions, "Session settings".
    """

    limit: int | None = attrs.field(default=None, validator=whole_number)
    """The newest items to read; None reads all."""

    def resolve(self, override: SessionSettings | Mapping[str, Any] | None) -> Self:
        """Return these settings with what `override` sets replaced.

        Raises:
            TypeError: `override` is neither settings nor a dict of their fields.
        """
        if override is None:
            return self
        limit = from_plain(SessionSettings, override, "override").limit
        return self if limit is None else attrs.evolve(self, limit=limit)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a plain dict; it raises nothing."""
        return attrs.asdict(self)


def resolve_session_limit(
    explicit_limit: int | None, settings: SessionSettings | Mapping[str, Any] | None
) -> int | None:
    """Return how many of a session's newest items to read: `explicit_limit`, else that of `settings`; None is all.

    Raises:
        TypeError: `settings` are neither settings nor a dict of their fields.

    Source: sessions, "Session settings".
    """
    if explicit_limit is not None or settings is None:
        return explicit_limit
    return from_plain(SessionSettings, settings, "settings").limit


AnyCallable: TypeAlias = Callable[..., Any]
