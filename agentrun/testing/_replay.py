"""From a step to the events of its stream, and the pace they come at. Nothing here knows HTTP or a queue of steps."""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import anyio
import anyio.lowlevel
import attrs

from agentrun._codec import unstructure
from agentrun._usage import Usage
from agentrun.testing._steps import AUTO_ID, ModelStep, as_step

if TYPE_CHECKING:
    from agentrun._responses import TResponseOutputItem

_PIECE = re.compile(r"\S+\s*|\s+")
_ARGUMENT_PIECE = 16
"""Characters of a call's arguments per delta; small, so that ordinary arguments come in several."""


@attrs.frozen(eq=False)
class Reply:
    """What a step answers, settled when its call was made."""

    step: ModelStep
    items: list[TResponseOutputItem]
    usage: Usage
    response_id: str | None


async def settle(step: ModelStep, call: Any, default_usage: Usage | None, response_id: str) -> Reply:
    """Return what `step` answers to `call`, the responder asked if there is one.

    Args:
        step: the step taken.
        call: what a responder is given.
        default_usage: for a step that sets none.
        response_id: for a step that sets none.

    Raises:
        InvalidModelStep: the responder returned something that is no step.
    """
    while step.responder is not None:
        result: Any = step.responder(call)
        if inspect.isawaitable(result):
            result = await result
        inner = ModelStep(stream_events=_same(result)) if isinstance(result, AsyncIterable) else as_step(result, 0)
        step = _layered(step, inner)
    usage = _set(step.usage) or default_usage or Usage(requests=1)
    chosen = response_id if step.response_id == AUTO_ID else step.response_id
    return Reply(step, step.items(), usage.copy(), chosen)


def _set(usage: Usage | None) -> Usage | None:
    """Return a usage that says something, None for an empty one."""
    return None if usage == Usage() else usage


def _same(source: Any) -> Callable[[Any], Any]:
    def give(call: Any) -> Any:
        return source

    return give


def _layered(outer: ModelStep, inner: ModelStep) -> ModelStep:
    """Return `inner`, with what it leaves at its default taken from the step that its responder belonged to."""
    return attrs.evolve(
        inner,
        usage=_set(inner.usage) or outer.usage,
        response_id=outer.response_id if inner.response_id == AUTO_ID else inner.response_id,
        request_id=inner.request_id or outer.request_id,
        raw_usage=inner.raw_usage or outer.raw_usage,
        delay=inner.delay or outer.delay,
        gate=inner.gate or outer.gate,
        before=inner.before if inner.gate is not None else outer.before,
    )


class Pace:
    """The waits of one stream: asked before each event and once at the end; each answer is a checkpoint.

    Invariant: `place` events were let through.
    """

    __slots__ = ("_passed_gate", "_step", "_stop", "place")

    def __init__(self, step: ModelStep) -> None:
        self._step = step
        self._passed_gate = step.gate is None
        self.place = 0
        instead = step.error is not None and not step.output
        self._stop = 0 if step.after is None and instead else step.after

    @property
    def waits(self) -> bool:
        """Whether this stream does anything but go through."""
        step = self._step
        return (
            bool(step.delay)
            or step.gate is not None
            or step.hangs
            or step.failure() is not None
            or self._stop is not None
        )

    async def wait_turn(self, kind: str) -> None:
        """Wait until the next event, of type `kind`, may go; raises or hangs where the step says so."""
        if self.place == self._stop:
            await self._stop_here()
        step = self._step
        if not self._passed_gate and step.before in (self.place, kind):
            await self._pass_gate()
        seconds = step.delay_before(self.place)
        if seconds:
            await anyio.sleep(seconds)
        else:
            await anyio.lowlevel.checkpoint()
        self.place += 1

    async def wait_end(self) -> None:
        """Wait until the stream may end; raises or hangs where the step says so."""
        if not self._passed_gate:
            await self._pass_gate()
        step = self._step
        if step.failure() is not None or step.hangs:
            await self._stop_here()
        await anyio.lowlevel.checkpoint()

    async def _pass_gate(self) -> None:
        self._passed_gate = True
        assert self._step.gate is not None
        await self._step.gate.wait()

    async def _stop_here(self) -> None:
        """Raise, hang, or return to cut the stream short; the caller ends it when `_stop` was reached."""
        step = self._step
        if not self._passed_gate and step.before == self.place:
            await self._pass_gate()
        failure = step.failure()
        seconds = step.delay_before(self.place)
        if seconds and failure is not None:
            await anyio.sleep(seconds)
        if step.hangs:
            await anyio.sleep_forever()
        await anyio.lowlevel.checkpoint()
        if failure is not None:
            raise failure
        raise StreamCut


class StreamCut(Exception):
    """The step ends its stream here without saying so; what plays it returns."""


class EventSource:
    """Events from a sequence, an iterable, an async iterable, or a function that yields them; closed by who made it."""

    __slots__ = ("_events", "_is_async")

    def __init__(self, source: Any, call: Any) -> None:
        events: Any = source(call) if callable(source) else source
        self._is_async = isinstance(events, AsyncIterable)
        self._events: Any = aiter(cast("AsyncIterable[Any]", events)) if self._is_async else iter(events)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        """Return the next event."""
        if self._is_async:
            return await anext(self._events)
        for event in self._events:
            return event
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Close the source, where it can be closed."""
        close = getattr(self._events, "aclose" if self._is_async else "close", None)
        if close is not None:
            closed = close()
            if self._is_async:
                await closed


def usage_wire(usage: Usage) -> dict[str, Any]:
    """Return `usage` as a Responses reply spells it."""
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.input_tokens_details.cached_tokens or 0,
            "cache_write_tokens": usage.input_tokens_details.cache_write_tokens or 0,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.output_tokens_details.reasoning_tokens or 0},
        "total_tokens": usage.total_tokens,
    }


def response_wire(reply: Reply, *, model: str, created_at: float = 0.0, **members: Any) -> dict[str, Any]:
    """Return the finished reply as a Responses object.

    Args:
        reply: what is answered.
        model: the model's name.
        created_at: seconds since 1970.
        **members: what the request set and a provider repeats.
    """
    return {
        "id": reply.response_id or "",
        "object": "response",
        "created_at": created_at,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": model,
        "output": [unstructure(item) for item in reply.items],
        "parallel_tool_calls": True,
        "temperature": None,
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        **members,
        "usage": usage_wire(reply.usage),
    }


def event_wires(response: Mapping[str, Any], *, in_pieces: bool = True) -> Iterator[dict[str, Any]]:
    """Yield the stream of a finished Responses object, as a provider would have sent it.

    `sequence_number` counts from 0.

    Args:
        response: the reply.
        in_pieces: send texts in words and arguments in pieces of a few characters; else each is one delta.
    """
    numbers = itertools.count()

    def event(kind: str, **fields: Any) -> dict[str, Any]:
        return {"type": kind, **fields, "sequence_number": next(numbers)}

    started: dict[str, Any] = {**response, "status": "in_progress", "output": [], "usage": None}
    yield event("response.created", response=started)
    yield event("response.in_progress", response=started)
    for index, item in enumerate(response["output"]):
        empty, inner = _opened(item, index, in_pieces=in_pieces)
        yield event("response.output_item.added", output_index=index, item=empty)
        for kind, fields in inner:
            yield event(kind, **fields)
        yield event("response.output_item.done", output_index=index, item=item)
    yield event("response.completed", response=dict(response))


_Inner = Iterable[tuple[str, dict[str, Any]]]


def _opened(item: dict[str, Any], index: int, *, in_pieces: bool) -> tuple[dict[str, Any], _Inner]:
    """Return `item` as it is announced, still empty, and the events that fill it."""
    item_id = item.get("id")
    at = {"item_id": item_id if item_id is not None else item.get("call_id") or "", "output_index": index}
    words, characters = (text_pieces, argument_pieces) if in_pieces else (_whole, _whole)
    match item.get("type"):
        case "message":
            return {**item, "status": "in_progress", "content": []}, _message(item.get("content") or [], at, words)
        case "function_call":
            text = item.get("arguments") or ""
            done = {**at, "arguments": text, "name": item.get("name")}
            return {**item, "status": "in_progress", "arguments": ""}, _text(
                "response.function_call_arguments", characters(text), at, done
            )
        case "custom_tool_call":
            text = item.get("input") or ""
            done = {**at, "input": text}
            return {**item, "input": ""}, _text("response.custom_tool_call_input", words(text), at, done)
        case "reasoning":
            empty: dict[str, Any] = {**item, "summary": [], "status": "in_progress"}
            empty.pop("encrypted_content", None)
            if item.get("content"):
                empty["content"] = []
            return empty, _reasoning(item, at, words)
        case _:
            return ({**item, "status": "in_progress"} if "status" in item else dict(item)), ()


_Pieces = Callable[[str], list[str]]


def _whole(text: str) -> list[str]:
    return [text] if text else []


def text_pieces(text: str) -> list[str]:
    """Return `text` in words, each with the spaces after it."""
    return _PIECE.findall(text)


def argument_pieces(text: str) -> list[str]:
    """Return the JSON text of arguments in pieces of a few characters."""
    return [text[start : start + _ARGUMENT_PIECE] for start in range(0, len(text), _ARGUMENT_PIECE)]


def _text(kind: str, pieces: Iterable[str], at: dict[str, Any], done: dict[str, Any]) -> _Inner:
    for piece in pieces:
        yield f"{kind}.delta", {**at, "delta": piece}
    yield f"{kind}.done", done


def _message(parts: Sequence[dict[str, Any]], at: dict[str, Any], pieces: _Pieces) -> _Inner:
    for place, part in enumerate(parts):
        here = {**at, "content_index": place}
        if part.get("type") == "refusal":
            text = part.get("refusal") or ""
            yield "response.content_part.added", {**here, "part": {**part, "refusal": ""}}
            yield from _text("response.refusal", pieces(text), here, {**here, "refusal": text})
        elif part.get("type") == "output_text":
            yield (
                "response.content_part.added",
                {**here, "part": {**part, "text": "", "annotations": [], "logprobs": []}},
            )
            yield from _output_text(part, here, pieces)
        else:
            yield "response.content_part.added", {**here, "part": part}
        yield "response.content_part.done", {**here, "part": part}


def _output_text(part: dict[str, Any], at: dict[str, Any], pieces: _Pieces) -> _Inner:
    text: str = part.get("text") or ""
    logprobs: list[Any] = part.get("logprobs") or []
    for place, piece in enumerate(pieces(text)):
        # Which token belongs to which piece, only the model knows; the first piece has them all.
        yield "response.output_text.delta", {**at, "delta": piece, "logprobs": [] if place else logprobs}
    for place, annotation in enumerate(part.get("annotations") or []):
        added = {**at, "annotation_index": place, "annotation": annotation}
        yield "response.output_text.annotation.added", added
    yield "response.output_text.done", {**at, "text": text, "logprobs": logprobs}


def _reasoning(item: dict[str, Any], at: dict[str, Any], pieces: _Pieces) -> _Inner:
    for place, part in enumerate(item.get("summary") or []):
        here = {**at, "summary_index": place}
        text = part.get("text") or ""
        yield "response.reasoning_summary_part.added", {**here, "part": {**part, "text": ""}}
        yield from _text("response.reasoning_summary_text", pieces(text), here, {**here, "text": text})
        yield "response.reasoning_summary_part.done", {**here, "part": part}
    for place, part in enumerate(item.get("content") or []):
        here = {**at, "content_index": place}
        text = part.get("text") or ""
        yield from _text("response.reasoning_text", pieces(text), here, {**here, "text": text})
