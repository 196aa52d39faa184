"""A model that answers what a test told it to, and remembers how it was asked."""

from __future__ import annotations

import abc
import copy
from collections.abc import AsyncGenerator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, cast

import anyio.lowlevel
import attrs

from agentrun._codec import structure_event
from agentrun._exceptions import ModelStatusError, UserError
from agentrun._items import ModelResponse
from agentrun._usage import Usage
from agentrun.models.interface import Model, ModelTracing
from agentrun.testing._replay import EventSource, Pace, Reply, StreamCut, event_wires, response_wire, settle
from agentrun.testing._steps import HttpReply, ModelCall, ModelStep, Script, Step, detached

if TYPE_CHECKING:
    from agentrun._handoff import Handoff
    from agentrun._hosted_tools import Tool
    from agentrun._responses import TResponseInputItem, TResponseStreamEvent
    from agentrun._retry import ModelRetryAdvice, ModelRetryAdviceRequest
    from agentrun._settings import ModelSettings
    from agentrun.agent_output import AgentOutputSchemaBase


class PlayedModel(Model):
    """A model whose replies are steps: what is shared by the models of this package."""

    def __init__(self, *, default_usage: Usage | None = None, in_pieces: bool = False) -> None:
        self._default_usage = default_usage
        self._in_pieces = in_pieces
        self._started = 0
        self._closed = 0
        # The error objects that were raised, with what to say of them; an error object is its own key.
        self._advice: list[tuple[BaseException, ModelRetryAdvice]] = []

    @property
    def open_streams(self) -> int:
        """How many streams have begun and are neither at their end nor closed."""
        # Invariant: every stream that started is closed once, so that this never falls below zero.
        return self._started - self._closed

    @property
    def closed_streams(self) -> int:
        """How many streams have ended, by running out, failing, being closed or being cancelled."""
        return self._closed

    def set_default_usage(self, usage: Usage | None) -> None:
        """Use `usage` for replies that have none of their own."""
        self._default_usage = usage

    def get_retry_advice(self, request: ModelRetryAdviceRequest) -> ModelRetryAdvice | None:
        """Return the advice that was scripted with the very error that was raised."""
        return next((copy.copy(advice) for error, advice in self._advice if error is request.error), None)

    @abc.abstractmethod
    def _choose(self, call: ModelCall) -> ModelStep:
        """Return the step that answers `call`."""

    async def get_response(  # the documented signature
        self,
        system_instructions: str | None,
        input: str | list[TResponseInputItem],
        model_settings: ModelSettings,
        tools: list[Tool],
        output_schema: AgentOutputSchemaBase | None,
        handoffs: list[Handoff[Any, Any]],
        tracing: ModelTracing,
        *,
        previous_response_id: str | None,
        conversation_id: str | None,
        prompt: Any | None,
    ) -> ModelResponse:
        """Return the whole reply of the next step, after the time its stream would have taken."""
        call = ModelCall(
            system_instructions=system_instructions,
            input=input,
            model_settings=model_settings,
            tools=tools,
            output_schema=output_schema,
            handoffs=handoffs,
            tracing=tracing,
            previous_response_id=previous_response_id,
            conversation_id=conversation_id,
            prompt=prompt,
            streamed=False,
        )
        reply = await self._answer(call)
        final: Any = None
        if reply.step.stream_events is None and not Pace(reply.step).waits:
            await anyio.lowlevel.checkpoint()
        else:
            stream = self._events(reply, call)
            try:
                async for event in stream:
                    if event.type == "response.completed":
                        final = event.response
            finally:
                await stream.aclose()
        raw_usage = reply.step.raw_usage if model_settings.preserve_raw_usage else None
        if final is not None and not reply.step.output:
            return ModelResponse(
                output=list(final.output),
                usage=reply.usage if reply.step.usage or final.usage is None else Usage.from_wire(final.usage),
                response_id=final.id,
                request_id=reply.step.request_id,
                raw_usage=raw_usage,
            )
        return ModelResponse(
            output=reply.items,
            usage=reply.usage,
            response_id=reply.response_id,
            request_id=reply.step.request_id,
            raw_usage=raw_usage,
        )

    async def stream_response(  # the documented signature
        self,
        system_instructions: str | None,
        input: str | list[TResponseInputItem],
        model_settings: ModelSettings,
        tools: list[Tool],
        output_schema: AgentOutputSchemaBase | None,
        handoffs: list[Handoff[Any, Any]],
        tracing: ModelTracing,
        *,
        previous_response_id: str | None,
        conversation_id: str | None,
        prompt: Any | None,
    ) -> AsyncGenerator[TResponseStreamEvent, None]:
        """Yield the events of the next step, each after its delay; every event is a checkpoint."""
        call = ModelCall(
            system_instructions=system_instructions,
            input=input,
            model_settings=model_settings,
            tools=tools,
            output_schema=output_schema,
            handoffs=handoffs,
            tracing=tracing,
            previous_response_id=previous_response_id,
            conversation_id=conversation_id,
            prompt=prompt,
            streamed=True,
        )
        self._started += 1
        try:
            reply = await self._answer(call)
            stream = self._events(reply, call)
            try:
                async for event in stream:
                    yield event
            finally:
                await stream.aclose()
        finally:
            self._closed += 1

    async def _answer(self, call: ModelCall) -> Reply:
        step = self._choose(call)
        try:
            reply = await settle(step, call, self._default_usage, _RESPONSE_ID)
        except Exception as exc:
            self._note_advice(exc, None)
            raise
        if reply.step.http is not None:
            reply = attrs.evolve(reply, step=attrs.evolve(reply.step, http=None, error=_status_error(reply.step.http)))
        if reply.step.error is not None:
            self._note_advice(reply.step.error, reply.step.retry_advice)
        return reply

    def _note_advice(self, error: BaseException, advice: ModelRetryAdvice | None) -> None:
        """Remember what to say of an error that is raised now, in the place of what was to be said of it before."""
        self._advice = [(one, said) for one, said in self._advice if one is not error]
        if advice is not None:
            self._advice.append((error, advice))

    async def _events(self, reply: Reply, call: ModelCall) -> AsyncGenerator[Any, None]:
        """Yield the events of `reply` as values, at the step's pace."""
        step = reply.step
        pace = Pace(step)
        source = EventSource(
            _event_values(reply, in_pieces=self._in_pieces) if step.stream_events is None else step.stream_events, call
        )
        try:
            async for one in source:
                event = structure_event(cast("dict[str, Any]", one)) if isinstance(one, dict) else one
                await pace.wait_turn(event.type)
                yield event
            await pace.wait_end()
        except StreamCut:
            return
        finally:
            await source.aclose()


_RESPONSE_ID = "resp-789"
"""The id of replies whose step names none. One for all, as users of the documented model know it."""


def _event_values(reply: Reply, *, in_pieces: bool) -> Iterator[Any]:
    """Yield the events; what no provider tells in the reply itself stands beside it, as with our own clients."""
    beside: dict[str, Any] = {"_raw_usage": reply.step.raw_usage, "_requests": reply.usage.requests}
    if reply.step.request_id is not None:
        beside["_request_id"] = reply.step.request_id
    for wire in event_wires(response_wire(reply, model="scripted-model"), in_pieces=in_pieces):
        if wire["type"] == "response.completed":
            wire["response"] = {**wire["response"], **beside}
        yield structure_event(wire)


def _status_error(reply: HttpReply) -> ModelStatusError:
    """Return what our own clients raise for such a reply."""
    retry_after = reply.headers.get("retry-after", "")
    return ModelStatusError(
        f"the model answered with status {reply.status}",
        status=reply.status,
        headers=reply.headers,
        body=b"".join(reply.chunks),
        request_id=reply.headers.get("x-request-id"),
        retry_after=float(retry_after) if retry_after.isdigit() else None,
    )


class ScriptedModel(PlayedModel):
    """A model that answers with the steps it was given, one per call, in order.

    A step is a list of output items, a `ModelStep`, a `ModelResponse`, a text, an exception, or a function of the
    `ModelCall` (sync or async) that returns one of these or yields stream events. Streamed calls get the events a
    provider would have sent. Calls may overlap: steps are handed out in the order the calls begin.

    Example:
        >>> model = ScriptedModel([[function_call("add", {"a": 1, "b": 2}, call_id="c1")], "It is 3."])

    Source: testing, "ScriptedModel".
    """

    def __init__(
        self,
        steps: Iterable[Step] = (),
        *,
        emit_traces: bool = False,
        default_usage: Usage | None = None,
        in_pieces: bool = False,
    ) -> None:
        """Make a model that plays `steps`.

        Args:
            steps: one per expected call.
            emit_traces: make a generation span round each call; refused, as this version has no tracing.
            default_usage: the tokens of every reply whose step names none.
            in_pieces: stream texts in words and arguments in pieces of 16 characters; each is one delta otherwise.

        Raises:
            InvalidModelStep: a step is none; nothing was called yet.
            UserError: `emit_traces` is set.
        """
        super().__init__(default_usage=default_usage, in_pieces=in_pieces)
        if emit_traces:
            raise UserError("emit_traces=True needs tracing, which this version does not have; leave it False")
        self._script = Script(steps)
        self._calls: list[ModelCall] = []

    def __repr__(self) -> str:
        return f"<ScriptedModel, {len(self._calls)} call(s) made, {len(self._script)} step(s) left>"

    @property
    def calls(self) -> tuple[ModelCall, ...]:
        """The calls so far, in the order they began, each as it was then; copies, made anew at each access."""
        return tuple(map(_detached, self._calls))

    @property
    def first_call(self) -> ModelCall | None:
        """The first call, or None."""
        return _detached(self._calls[0]) if self._calls else None

    @property
    def last_call(self) -> ModelCall | None:
        """The latest call, or None."""
        return _detached(self._calls[-1]) if self._calls else None

    @property
    def remaining_steps(self) -> int:
        """How many steps are still to come."""
        return len(self._script)

    def enqueue(self, step: Step) -> None:
        """Append one step.

        Raises:
            InvalidModelStep: it is none.
        """
        self._script.extend([step])

    def extend(self, steps: Iterable[Step]) -> None:
        """Append steps; when one of them is none, nothing is appended.

        Raises:
            InvalidModelStep: one of them is none.
        """
        self._script.extend(steps)

    def assert_complete(self) -> None:
        """Check that every step was asked for.

        Raises:
            UnconsumedModelSteps: steps are left.
        """
        self._script.assert_complete()

    def _choose(self, call: ModelCall) -> ModelStep:
        self._calls.append(_detached(call))
        return self._script.take(call, "a streamed model call" if call.streamed else "model call")


def _detached(call: ModelCall) -> ModelCall:
    """Return a copy of what was said to the model; tools, handoffs and the schema are the run's own objects."""
    return attrs.evolve(
        call,
        input=detached(call.input),
        model_settings=detached(call.model_settings),
        tools=list(call.tools),
        handoffs=list(call.handoffs),
        prompt=detached(call.prompt),
    )
