"""Sibling: asking the model, under its deadlines, with the one retry loop there is."""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, cast

import anyio
import anyio.lowlevel
import attrs

from agentrun._codec import structure_response, unstructure
from agentrun._config import CallModelData, ModelInputData
from agentrun._detached import loop_clock
from agentrun._exceptions import ModelBehaviorError, ModelTimeoutError, UserError
from agentrun._handoff import enabled_handoffs
from agentrun._history import PLACEHOLDER_ID, without_repeats
from agentrun._items import ModelResponse
from agentrun._logging import log_model_data
from agentrun._responses import Response
from agentrun._run.context import Offer
from agentrun._run.reply import shown, whole_items
from agentrun._tool import FunctionTool
from agentrun._usage import RequestUsage, Usage
from agentrun._wire_value import WireError
from agentrun.models._defaults import settings_under
from agentrun.models.interface import Model, ModelTracing

if TYPE_CHECKING:
    from agentrun._agent import Agent
    from agentrun._exceptions import ModelLimitName
    from agentrun._handoff import Handoff
    from agentrun._hosted_tools import Tool
    from agentrun._responses import TResponseInputItem, TResponseStreamEvent
    from agentrun._retry import RetryDecision
    from agentrun._run.context import Run
    from agentrun._settings import ModelSettings

log = logging.getLogger("agentrun")

DEFAULT_MAX_RETRIES = 2
"""How often a failed call is tried again where nobody set anything, and only where that is surely safe."""

DRAIN_SECONDS = 1.0
"""How long a stream may go on after its terminal event; protects a finished reply from a connection without an end."""

CLOSE_SECONDS = 2.0
"""How long closing a model's stream may take; protects a cancel from a model that hangs in its cleanup."""

IDLE_SLACK = 1 / 16
"""By how much an idle deadline may fire late. It is moved only when less than the limit is left, not at every event."""

_TERMINAL = frozenset({"response.completed", "response.failed", "response.incomplete"})
"""Events that end a reply; only the first of them makes it whole."""
_ITEM_DONE = "response.output_item.done"
_NOTED = _TERMINAL | {_ITEM_DONE}
"""The events that are more to the run than to be passed on."""

_NO_CONTENT = frozenset({"response.created", "response.in_progress", "response.queued"})
"""Events that say nothing yet: after these alone a request may be sent again."""


@attrs.define(eq=False, repr=False)
class Request:
    """One model call, whole: the arguments of `Model.get_response`, made once and used by every attempt."""

    model: Model
    instructions: str | None
    input: list[TResponseInputItem]
    settings: ModelSettings
    offer: Offer
    handoffs: list[Handoff[Any, Any]]
    previous_response_id: str | None
    conversation_id: str | None

    def positional(self) -> tuple[Any, ...]:
        """Return the positional arguments of a model's methods."""
        offer = self.offer
        return (
            self.instructions,
            self.input,
            self.settings,
            offer.tools,
            offer.output_schema,
            self.handoffs,
            ModelTracing.DISABLED,
        )

    def keywords(self) -> dict[str, Any]:
        """Return the keyword arguments of a model's methods."""
        return {
            "previous_response_id": self.previous_response_id,
            "conversation_id": self.conversation_id,
            "prompt": self.offer.prompt,
        }


def find_model(run: Run, agent: Agent[Any]) -> Model:
    """Return the model of `agent` in this run, looked up once.

    Raises:
        UserError: the provider knows no such model.

    Source: models, "Which model is used".
    """
    known = run.models.get(id(agent))
    if known is not None:
        return known
    config = run.spec.config
    chosen = config.model if config.model is not None else agent.model
    model = chosen if isinstance(chosen, Model) else config.model_provider.get_model(chosen)
    run.models[id(agent)] = model
    return model


async def make_offer(run: Run, agent: Agent[Any]) -> Offer:
    """Return what the model is offered in this turn: tools, handoffs, instructions, as they are enabled now.

    Raises:
        UserError: two things of one name, with `tool_name_collision_policy="error"`.
    """
    context = run.state.context
    tools = await agent.get_all_tools(context)
    instructions = await agent.get_system_prompt(context)
    prompt = await agent.get_prompt(context) if agent.prompt is not None else None
    handoffs: dict[str, Handoff[Any, Any]] = {}
    for one in await enabled_handoffs(agent, context) if agent.handoffs else ():
        if one.tool_name in handoffs:
            _note_collision(run, agent, one.tool_name)
        handoffs[one.tool_name] = one
    functions: dict[str, FunctionTool] = {}
    for tool in tools:
        if isinstance(tool, FunctionTool):
            name = tool.qualified_name
            if name in functions or name in handoffs:
                _note_collision(run, agent, name)
            functions[name] = tool
    offered = [tool for tool in tools if _is_offered(tool, functions, handoffs)] if functions else tools
    return Offer(find_model(run, agent), instructions, prompt, offered, functions, handoffs, agent.compiled_output())


def _is_offered(tool: Tool, functions: Mapping[str, FunctionTool], handoffs: Mapping[str, Handoff[Any, Any]]) -> bool:
    """Return whether a tool wins its name: a handoff before any tool, the last declared of several tools."""
    name = getattr(tool, "qualified_name", None)
    return name is None or (functions.get(name, tool) is tool and name not in handoffs)


def _note_collision(run: Run, agent: Agent[Any], name: str) -> None:
    message = (
        f"agent {agent.name!r} has more than one tool or handoff named {shown(name)}; "
        "rename one with name_override or tool_name_override"
    )
    if run.spec.config.tool_name_collision_policy == "error":
        raise UserError(message)
    run.warn_once(message)


async def ask_model(run: Run) -> ModelResponse:
    """Return the reply to this turn's request, whole; its events have gone to the sink.

    Raises:
        UserError: a `call_model_input_filter` returned something else than `ModelInputData`.
        ModelTimeoutError: a deadline of `Timeouts` or `ModelSettings.timeout` passed, and no attempt is left.
        Exception: whatever the model raised in its last attempt.

    On cancel the model's stream is closed before the cancellation goes on; its usage stays as one partial entry.
    """
    agent, context, state = run.agent, run.state.context, run.state
    offer = run.turn.offer = await make_offer(run, agent)
    request = await _make_request(run, agent, offer)

    await run.announce.llm_start(context, agent, request.instructions, request.input)
    await anyio.lowlevel.checkpoint_if_cancelled()  # no request begins after a cancel
    run.use.check()
    log_model_data("the model is asked", agent.name, request.input)
    response, failures = await _with_retries(run, request)
    log_model_data("the model answered", agent.name, response.output)
    usage = response.usage
    if failures:
        usage = _as_request(usage)
        response.usage = Usage(
            requests=failures, request_usage_entries=[RequestUsage(0, 0, 0) for _ in range(failures)]
        )
        response.usage.add(usage)
    context.usage.add(usage)
    state.note_reply(response)
    return response


async def _make_request(run: Run, agent: Agent[Any], offer: Offer) -> Request:
    config, state = run.spec.config, run.state
    settings = settings_under(agent.model_settings, agent.model, config.model).resolve(config.model_settings)
    if agent.reset_tool_choice and settings.tool_choice is not None and state.tools_used.get(agent.name):
        settings = attrs.evolve(settings, tool_choice=None)
    items = state.unsent_input()
    if config.call_model_input_filter is not None or run.announce.hooks_of(agent, "llm_start"):
        items = [dict(item) for item in items]  # whoever sees them may change them
    data = ModelInputData(items, offer.instructions)
    if config.call_model_input_filter is not None:
        filtered: Any = config.call_model_input_filter(CallModelData(data, agent, state.context.context))
        if inspect.isawaitable(filtered):
            filtered = await filtered
        if not isinstance(filtered, ModelInputData):
            raise UserError(f"call_model_input_filter returned {filtered!r}, expected a ModelInputData; return one")
        data = ModelInputData(without_repeats(filtered.input), filtered.instructions)
    return Request(
        offer.model,
        data.instructions,
        data.input,
        settings,
        offer,
        list(offer.handoffs.values()),
        state.previous_response_id,
        state.conversation_id,
    )


def _as_request(usage: Usage) -> Usage:
    """Return the usage of a reply as that of one request at least, with an entry also where the reply names no tokens.

    Beside the entries of failed attempts it would be missed.
    """
    counted = usage.copy()
    counted.requests = max(counted.requests, 1)
    if not counted.request_usage_entries:
        entry = RequestUsage(
            counted.input_tokens,
            counted.output_tokens,
            counted.total_tokens,
            counted.input_tokens_details,
            counted.output_tokens_details,
        )
        counted.request_usage_entries.append(entry)
    return counted


async def _with_retries(run: Run, request: Request) -> tuple[ModelResponse, int]:
    """Return the reply, and how many attempts failed before it; the run's usage has these already."""
    attempt = 1
    while True:
        started = Attempt(run, request)
        try:
            return await (started.stream() if run.sink.live else started.plain()), attempt - 1
        except Exception as error:
            decision = await _decide_retry(request, error, attempt, stream=run.sink.live, shown=started.content_shown)  # noqa: ASYNC120 - a cancel wins over the error
            if not decision.retry:
                raise
            delay = decision.delay or 0.0
            if anyio.current_time() + delay >= anyio.current_effective_deadline():
                raise
            log.debug("model call failed (%s); attempt %d follows in %.2f s", type(error).__name__, attempt + 1, delay)
        usage = run.state.context.usage
        usage.requests += 1
        usage.request_usage_entries.append(RequestUsage(0, 0, 0))
        await anyio.sleep(delay)
        attempt += 1


async def _decide_retry(
    request: Request, error: Exception, attempt: int, *, stream: bool, shown: bool
) -> RetryDecision:
    """Return whether the failed attempt is followed by another.

    Never after output has begun. Without a policy only where the model's own advice says that it is safe and useful.

    Source: models, "Retries".
    """
    from agentrun._hosted_tools import ProgrammaticToolCallingTool
    from agentrun._retry import (
        ModelRetryAdviceRequest,
        RetryDecision,
        RetryPolicyContext,
        evaluate_policy,
        normalize_error,
    )

    settings = request.settings.retry
    most = settings.max_retries if settings is not None and settings.max_retries is not None else DEFAULT_MAX_RETRIES
    if shown or attempt > most:
        return RetryDecision(retry=False)
    asked = ModelRetryAdviceRequest(error, attempt, stream, request.previous_response_id, request.conversation_id)
    advice = request.model.get_retry_advice(asked)
    context = RetryPolicyContext(
        error,
        attempt,
        most,
        stream,
        normalize_error(error, advice),
        advice,
        request.previous_response_id,
        request.conversation_id,
    )
    safe, unsafe = context.replay_safety == "safe", context.replay_safety == "unsafe"
    # Programs that the provider runs call tools of ours, so what was begun may have had effects here as well
    ran_programs = any(isinstance(tool, ProgrammaticToolCallingTool) for tool in request.offer.tools)
    # The provider has only said that another request holds the conversation: whatever the policy is about, try again
    locked = context.normalized.error_code == "conversation_locked" and not ran_programs
    if locked and (advice is None or advice.suggested):
        decision = RetryDecision(retry=True, delay=advice.retry_after if advice else None)
    elif settings is None or settings.policy is None:
        wanted = advice is not None and bool(advice.suggested) and safe
        decision = RetryDecision(retry=wanted, delay=advice.retry_after if advice else None)
    else:
        if context.normalized.is_abort or (unsafe and (stream or ran_programs)):
            return RetryDecision(retry=False)
        decision = await evaluate_policy(settings.policy, context)
        approved = unsafe and decision.approve_unsafe_replay and not ran_programs
        if (unsafe or ran_programs or context.stateful_request) and not safe and not approved:
            return RetryDecision(retry=False)
    if not decision.retry:
        return decision
    delay = decision.delay if decision.delay is not None else context.normalized.retry_after
    return attrs.evolve(decision, delay=_backoff(settings, attempt) if delay is None else delay)


def _backoff(settings: Any, attempt: int) -> float:
    """Return the seconds to wait after the `attempt`th failure."""
    import random

    given = settings.backoff if settings is not None else None
    first = given.initial_delay if given is not None and given.initial_delay is not None else 0.25
    most = given.max_delay if given is not None and given.max_delay is not None else 2.0
    factor = given.multiplier if given is not None and given.multiplier is not None else 2.0
    jitter = given.jitter if given is not None and given.jitter is not None else True
    delay = min(most, first * factor ** (attempt - 1))
    return delay * random.uniform(0.875, 1.125) if jitter else delay


class Attempt:
    """One attempt at a model call, and what is known of it while it lasts."""

    def __init__(self, run: Run, request: Request) -> None:
        self._run = run
        self._request = request
        timeouts = run.spec.config.timeouts
        self._total = request.settings.timeout if request.settings.timeout is not None else timeouts.total
        self._first_event = timeouts.first_event
        self._idle = timeouts.idle
        self._deltas = 0
        self.content_shown = False
        """Whether an event with content has gone out, after which the request cannot be sent again."""

    async def plain(self) -> ModelResponse:
        """Return the reply of a call that is not streamed."""
        request = self._request
        response: ModelResponse | None = None
        with anyio.move_on_after(self._total):
            try:
                response = await request.model.get_response(*request.positional(), **request.keywords())
            except anyio.get_cancelled_exc_class():
                self._note_cut()
                raise
        if response is None:
            raise ModelTimeoutError(_seconds(self._total), "total")
        response.output = whole_items(response.output)
        return response

    async def stream(self) -> ModelResponse:  # noqa: C901, PLR0912 - once per delta: a call costs more than a branch
        """Return the reply of a streamed call; every event has gone to the sink."""
        request = self._request
        events = request.model.stream_response(*request.positional(), **request.keywords())
        clock = loop_clock()
        now = clock()
        self._ends_at = now + _seconds(self._total)
        final: ModelResponse | None = None
        done: list[Any] = []
        broken: Any = None
        ended = False
        limit: ModelLimitName = "first_event"
        sink, idle = self._run.sink, _seconds(self._idle)
        with anyio.CancelScope(deadline=min(self._ends_at, now + _seconds(self._first_event))) as scope:
            try:
                async for event in events:
                    now = clock()
                    if limit == "first_event" or scope.deadline - now < idle:
                        limit = "idle"  # from here on, also where the first event might have come later than this
                        scope.deadline = min(self._ends_at, now + idle * (1 + IDLE_SLACK))
                    self._note_shown(event.type)
                    if not sink.send_raw_nowait(event):
                        await self._send_slowly(event, scope)
                    if event.type in _NOTED:
                        if event.type == _ITEM_DONE:
                            done.append(event)
                            continue
                        if event.type == "response.completed":
                            final = self._reply_of(event, done)
                        else:
                            broken = event  # the model knows best what is wrong, and raises it next
                        scope.deadline = clock() + DRAIN_SECONDS
                        idle = -math.inf  # what comes now moves no deadline
                ended = True
            except anyio.get_cancelled_exc_class():
                if final is None:
                    self._note_cut()
                raise
            except Exception:
                if self._deltas and final is None:
                    self._note_cut()
                raise
            finally:
                if not ended:
                    await _close(events)  # noqa: ASYNC102 - shields itself
        if final is not None:
            return final
        if broken is not None:
            if ended and self._deltas:
                self._note_cut()
            raise ModelBehaviorError(f"the model's stream ended with {broken.type}{_reason(_response_of(broken))}")
        if ended:
            raise ModelBehaviorError("Model did not produce a final response!")
        if anyio.current_time() >= self._ends_at:
            raise ModelTimeoutError(_seconds(self._total), "total")
        raise ModelTimeoutError(_seconds(self._idle if limit == "idle" else self._first_event), limit)

    def _note_shown(self, kind: str) -> None:
        """Note what an event of the given type means for a retry, and for the usage of a request that is cut."""
        if kind.endswith(".delta"):
            self._deltas += 1
            self.content_shown = True
        elif kind not in _NO_CONTENT:
            self.content_shown = True

    async def _send_slowly(self, event: TResponseStreamEvent, scope: anyio.CancelScope) -> None:
        """Send an event to a consumer that is behind; the time it takes is not the model's."""
        before = anyio.current_time()
        scope.deadline = math.inf
        await self._run.sink.raw(event)
        now = anyio.current_time()
        self._ends_at += now - before
        scope.deadline = min(self._ends_at, now + _seconds(self._idle))

    def _reply_of(self, event: Any, done: list[Any]) -> ModelResponse:
        """Return the reply that a terminal event holds.

        Some providers leave its output empty; it is then what the events of finished items, `done`, have told.

        Raises:
            ModelBehaviorError: it holds none.
        """
        response = _response_of(event)
        beside = response.extra or {}  # what models of ours know and the event has no field for
        raw_usage: Any = None
        if self._request.settings.preserve_raw_usage:
            raw_usage = unstructure(beside.get("_raw_usage", response.usage))
        usage = Usage.from_wire(response.usage)
        usage.requests = beside.get("_requests", 1)
        return ModelResponse(
            output=whole_items(response.output or [one.item for one in sorted(done, key=_place)]),
            usage=usage,
            response_id=response.id if response.id not in ("", PLACEHOLDER_ID) else None,
            request_id=beside.get("_request_id"),
            raw_usage=raw_usage,
        )

    def _note_cut(self) -> None:
        """Keep one partial entry for a request that was cut off; the sums stay exact."""
        entries = self._run.state.context.usage.request_usage_entries
        entries.append(RequestUsage(0, self._deltas, self._deltas, partial=True))


def _place(event: Any) -> int:
    return cast("int", event.output_index)


def _seconds(limit: float | None) -> float:
    return math.inf if limit is None else limit


async def _close(events: AsyncIterator[Any]) -> None:
    """Close a model's stream that was left half way, also after a cancel."""
    close = getattr(events, "aclose", None)
    if close is None:
        return
    with anyio.move_on_after(CLOSE_SECONDS, shield=True) as cleanup:
        await close()
    if cleanup.cancelled_caught:
        log.warning("a model's stream did not close within %s s", CLOSE_SECONDS)


def _response_of(event: Any) -> Response:
    """Return the response in a terminal event, in our own class.

    Raises:
        ModelBehaviorError: it holds none.
    """
    response = event.response
    if isinstance(response, Response):
        return response
    try:
        return structure_response(_dumped(response))
    except WireError as exc:
        raise ModelBehaviorError(f"the model's stream ended with something that is no response: {exc}") from exc


def _reason(response: Response) -> str:
    """Return why a reply is not whole, as the provider says it."""
    if response.error is not None:
        return f": {response.error.code}: {response.error.message}"
    if response.incomplete_details is not None and response.incomplete_details.reason:
        return f": {response.incomplete_details.reason}"
    return ""


def _dumped(response: Any) -> Mapping[str, Any]:
    """Return the response of a foreign library's class as plain JSON data."""
    if isinstance(response, Mapping):
        return cast("Mapping[str, Any]", response)
    dump = getattr(response, "model_dump", None)
    if dump is None:
        raise ModelBehaviorError(f"response.completed holds {type(response).__name__}, expected a Response")
    return cast("Mapping[str, Any]", dump(exclude_unset=True))
