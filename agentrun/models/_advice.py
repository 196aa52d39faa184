"""What the failure of a request over HTTP says about another attempt."""

from __future__ import annotations

from agentrun._exceptions import AgentsException, ModelStatusError, ModelTimeoutError, ModelTransportError
from agentrun._http.refusal import error_said, error_type, is_head_too_long
from agentrun._retry import ModelRetryAdvice, ModelRetryAdviceRequest, ModelRetryNormalizedError

__all__ = ["retry_advice"]

_LONGEST_WAIT = 60.0  # a longer Retry-After is for the caller to wait, not for a run


def retry_advice(request: ModelRetryAdviceRequest) -> ModelRetryAdvice | None:
    """Return whether and when a failed request may be sent again; None for what is no failure of HTTP.

    It is safe when nothing was sent, when the status says that nothing was done, when the connection broke before the
    reply began, and for streams of which nothing was shown yet (the run looks to that). It is not when a whole reply
    may exist, or a conversation at the provider may have grown by it.
    """
    error = request.error
    if isinstance(error, ModelStatusError):
        return _status_advice(error)
    if isinstance(error, ModelTimeoutError):
        # Before the first event nothing was delivered; only a conversation at the provider may have grown by it
        safe = error.limit == "connect" or (error.limit == "first_event" and request.conversation_id is None)
        return ModelRetryAdvice(
            suggested=safe,
            replay_safety="safe" if safe else "unsafe",
            reason=f"the {error.limit} limit passed",
            normalized=_normalized(error, is_timeout=True),
            response_started=error.limit == "idle",
        )
    if isinstance(error, ModelTransportError):
        # The run never sends a request again whose content was shown, so what broke in a stream is safe as long as the
        # provider keeps no conversation; a whole reply may have been made, and paid for, when its body breaks
        safe = not error.response_started or (
            request.stream and request.conversation_id is None and not is_head_too_long(error)
        )
        return ModelRetryAdvice(
            suggested=safe,
            replay_safety="safe" if safe else "unsafe",
            reason="the connection broke" if error.request_sent else "nothing was sent",
            normalized=_normalized(error, is_network_error=True),
            response_started=error.response_started,
        )
    return None


def _status_advice(error: ModelStatusError) -> ModelRetryAdvice:
    status, wait = error.status, error.retry_after
    code = error_said(error.body)[0] or None
    # A locked conversation is in use by another request, and free again soon
    suggested = status in (408, 409, 429) or status >= 500 or code == "conversation_locked"
    reason = f"status {status}"
    asked = error.headers.get("x-should-retry", "").strip().lower()
    if asked in ("true", "false"):
        suggested, reason = asked == "true", f"the provider sent x-should-retry: {asked}"
    elif code == "insufficient_quota" or error_type(error.body) == "insufficient_quota":
        suggested, reason = False, "the quota is used up"
    elif code == "conversation_locked":
        suggested, reason = True, "another request holds the conversation"
    if suggested and wait is not None and wait > _LONGEST_WAIT:
        suggested, reason = False, f"the provider asks to wait {wait:g} s, longer than a run waits"
    return ModelRetryAdvice(
        suggested=suggested,
        retry_after=wait,
        replay_safety="safe",
        reason=reason,
        normalized=_normalized(error, status_code=status, code=code, request_id=error.request_id, retry_after=wait),
        response_started=True,
    )


def _normalized(
    error: AgentsException,
    *,
    status_code: int | None = None,
    code: str | None = None,
    request_id: str | None = None,
    retry_after: float | None = None,
    is_network_error: bool = False,
    is_timeout: bool = False,
) -> ModelRetryNormalizedError:
    return ModelRetryNormalizedError(
        status_code=status_code,
        error_code=code,
        message=str(error),
        request_id=request_id,
        retry_after=retry_after,
        is_network_error=is_network_error,
        is_timeout=is_timeout,
    )
