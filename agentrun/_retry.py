"""Whether a failed model call is tried again: what a policy is told, what it answers, and the policies we ship."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Literal, TypeAlias, TypeVar, cast

import attrs

from agentrun._dataclass import Value
from agentrun._exceptions import ModelStatusError

_T = TypeVar("_T")

ReplaySafety = Literal["safe", "unsafe"]


@attrs.define(eq=False, repr=False)
class ModelRetryNormalizedError(Value):
    """A failed model call in terms that do not depend on the provider.

    Source: models, "Retries".
    """

    status_code: int | None = None
    error_code: str | None = None
    message: str | None = None
    request_id: str | None = None
    retry_after: float | None = None
    """Seconds the provider asks to wait."""
    is_abort: bool = False
    is_network_error: bool = False
    is_timeout: bool = False


@attrs.define(eq=False, repr=False)
class ModelRetryAdviceRequest(Value):
    """What a model is told when it is asked for advice.

    Source: models, "Retries".
    """

    error: Exception
    attempt: int
    """1 for the first attempt."""
    stream: bool
    previous_response_id: str | None = None
    conversation_id: str | None = None


@attrs.define(eq=False, repr=False)
class ModelRetryAdvice(Value):
    """What a model says of one of its failures.

    Source: models, "Retries".
    """

    suggested: bool | None = None
    """Whether the provider suggests another attempt; None when it says nothing."""
    retry_after: float | None = None
    """Seconds to wait."""
    replay_safety: ReplaySafety | None = None
    """Whether the provider may already have acted on the request."""
    reason: str | None = None
    normalized: ModelRetryNormalizedError | None = None
    response_started: bool = False


@attrs.define(eq=False, repr=False)
class RetryDecision(Value):
    """A policy's answer.

    Source: models, "Retries".
    """

    retry: bool
    delay: float | None = None
    """Seconds to wait; None leaves it to `retry_after` and then the backoff."""
    reason: str | None = None
    approve_unsafe_replay: bool = False
    """Try again even though the provider may have acted on the request already."""


@attrs.define(eq=False, repr=False)
class _Refusal(RetryDecision):
    """An answer that counts more than those of the policies beside it."""

    yields_to_approval: bool = False
    """Whether one of those can say otherwise by approving of an unsafe replay."""


@attrs.define(eq=False, repr=False)
class RetryPolicyContext(Value):
    """What a policy is told.

    Source: models, "Retries".
    """

    error: Exception
    attempt: int
    """1 after the first attempt failed."""
    max_retries: int
    stream: bool
    normalized: ModelRetryNormalizedError
    provider_advice: ModelRetryAdvice | None = None
    previous_response_id: str | None = None
    conversation_id: str | None = None

    @property
    def stateful_request(self) -> bool:
        """Whether the provider keeps the conversation, so that a request it has acted on must not be sent again."""
        return bool(self.previous_response_id or self.conversation_id)

    @property
    def response_started(self) -> bool:
        """Whether some of the reply had come, as far as the model knows."""
        return self.provider_advice is not None and self.provider_advice.response_started

    @property
    def replay_safety(self) -> Literal["safe", "unsafe", "unknown"]:
        """Whether the provider may already have acted on the request, as far as the model knows."""
        said = None if self.provider_advice is None else self.provider_advice.replay_safety
        return said if said in ("safe", "unsafe") else "unknown"


RetryPolicy: TypeAlias = Callable[[RetryPolicyContext], "bool | RetryDecision | Awaitable[bool | RetryDecision]"]


def normalize_error(error: Exception, advice: ModelRetryAdvice | None) -> ModelRetryNormalizedError:
    """Return `error` in provider-neutral terms; what the model's own advice says wins, member by member.

    A model of the caller's own may raise what its library raises, which may be imported nowhere here. So the errors of
    the openai and httpx libraries, and those made like them, are known by the names of their classes and their members,
    also where they are only the cause of `error`.
    """
    chain = list(_causes(error))
    classes = {cls.__name__ for one in chain for cls in type(one).__mro__}
    headers: object = _first(getattr(_response(one), "headers", None) for one in chain)
    wait = next((one.retry_after for one in chain if isinstance(one, ModelStatusError)), None)
    if wait is None and isinstance(headers, Mapping):
        from agentrun._http.refusal import retry_after

        wait = retry_after(cast("Mapping[str, str]", headers))
    if advice is not None and advice.retry_after is not None:
        wait = advice.retry_after
    found = ModelRetryNormalizedError(
        status_code=_first(_of(int, one, "status", "status_code") for one in chain),
        error_code=_first(_of(str, one, "code") for one in chain),
        message=str(error),
        request_id=_first(_of(str, one, "request_id") for one in chain),
        retry_after=wait,
        is_network_error=not _NETWORK_ERRORS.isdisjoint(classes),
        is_timeout=not _TIMEOUTS.isdisjoint(classes),
    )
    said = None if advice is None else advice.normalized
    if said is None:
        return found
    names = [field.name for field in attrs.fields(ModelRetryNormalizedError)]
    return attrs.evolve(found, **{name: value for name in names if (value := getattr(said, name)) not in (None, False)})


_NETWORK_ERRORS = frozenset({"ConnectionError", "APIConnectionError", "TransportError"})
"""Built in (and so `ModelTransportError`); of the openai library and its kin; of httpx."""
_TIMEOUTS = frozenset({"TimeoutError", "APITimeoutError", "TimeoutException"})
"""The same, with `ModelTimeoutError` among the built-in ones."""


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield `error` and what caused it, the nearest first."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__


def _response(error: BaseException) -> object:
    return getattr(error, "response", None)


def _of(cls: type[_T], error: BaseException, *names: str) -> _T | None:
    """Return the first member of `error`, or of its response, that is a `cls`."""
    for holder in (error, _response(error)):
        for name in names:
            value: object = getattr(holder, name, None)
            if isinstance(value, cls) and not isinstance(value, bool):
                return value
    return None


def _first(found: Iterable[_T | None]) -> _T | None:
    return next((one for one in found if one is not None), None)


class _RetryPolicies:
    """The policies we ship; `any` and `all` combine others.

    Source: models, "Retries".
    """

    def never(self) -> RetryPolicy:
        """Return a policy that never tries again."""
        return lambda context: False

    def any(self, *policies: RetryPolicy) -> RetryPolicy:
        """Return a policy that tries again when at least one of `policies` says so and the provider does not refuse.

        Each is asked. Of those that say so the last one that names a delay or a reason counts, and one approval is
        enough. `provider_suggested` among them refuses for all where the provider advises against another attempt.
        """

        async def decide(context: RetryPolicyContext) -> RetryDecision:
            found: RetryDecision | None = None
            last = RetryDecision(retry=False)
            veto: RetryDecision | None = None
            for policy in policies:
                answer = await evaluate_policy(policy, context)
                if isinstance(answer, _Refusal):
                    if not answer.yields_to_approval:
                        return answer
                    veto = veto or answer
                elif answer.retry:
                    found = answer if found is None else _joined(found, answer)
                else:
                    last = answer
            if veto is not None and not (found is not None and found.approve_unsafe_replay):
                return veto
            return last if found is None else found

        return decide

    def all(self, *policies: RetryPolicy) -> RetryPolicy:
        """Return a policy that tries again when each of `policies` says so; the longest of their delays counts."""

        async def decide(context: RetryPolicyContext) -> RetryDecision:
            found: RetryDecision | None = None
            veto: RetryDecision | None = None
            for policy in policies:
                answer = await evaluate_policy(policy, context)
                if isinstance(answer, _Refusal) and answer.yields_to_approval:
                    veto = veto or answer
                elif not answer.retry:
                    return answer
                else:
                    delays = [one.delay for one in (found, answer) if one is not None and one.delay is not None]
                    found = answer if found is None else _joined(found, answer)
                    found = attrs.evolve(found, delay=max(delays, default=None))
            if veto is not None and not (found is not None and found.approve_unsafe_replay):
                return veto
            return RetryDecision(retry=False) if found is None else found

        return decide

    def network_error(self) -> RetryPolicy:
        """Return a policy that tries again after a broken connection or a timeout."""
        return lambda context: context.normalized.is_network_error or context.normalized.is_timeout

    def http_status(self, statuses: Iterable[int]) -> RetryPolicy:
        """Return a policy that tries again after one of the HTTP `statuses`."""
        wanted = frozenset(statuses)
        return lambda context: context.normalized.status_code in wanted

    def retry_after(self) -> RetryPolicy:
        """Return a policy that tries again when the provider names a time to wait."""

        def decide(context: RetryPolicyContext) -> RetryDecision:
            wait = context.normalized.retry_after
            if wait is None and context.provider_advice is not None:
                wait = context.provider_advice.retry_after
            return RetryDecision(retry=wait is not None, delay=wait)

        return decide

    def provider_suggested(self) -> RetryPolicy:
        """Return a policy that does what the model's advice suggests, and refuses for others where it advises against.

        A refusal because the provider may have acted already gives way to an approval of another policy.
        """

        def decide(context: RetryPolicyContext) -> RetryDecision:
            advice = context.provider_advice
            if advice is None or advice.suggested is None:
                return RetryDecision(retry=False)
            if advice.suggested:
                return RetryDecision(retry=True, delay=advice.retry_after, reason=advice.reason)
            return _Refusal(False, None, advice.reason, yields_to_approval=advice.replay_safety == "unsafe")

        return decide


def _joined(first: RetryDecision, second: RetryDecision) -> RetryDecision:
    """Return one answer for two that say so: what the second names counts."""
    return RetryDecision(
        retry=True,
        delay=first.delay if second.delay is None else second.delay,
        reason=first.reason if second.reason is None else second.reason,
        approve_unsafe_replay=first.approve_unsafe_replay or second.approve_unsafe_replay,
    )


async def evaluate_policy(policy: RetryPolicy, context: RetryPolicyContext) -> RetryDecision:
    """Return the answer of `policy` as a decision, awaited where it is awaitable."""
    answer = policy(context)
    if isinstance(answer, Awaitable):
        answer = await answer
    return answer if isinstance(answer, RetryDecision) else RetryDecision(retry=bool(answer))


retry_policies: _RetryPolicies = _RetryPolicies()
"""Ready-made retry policies."""
