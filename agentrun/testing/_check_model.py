"""What every Model must do, as rules that any model can be run through."""

from __future__ import annotations

import copy
import inspect
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import anyio
import anyio.lowlevel
import attrs

from agentrun._codec import as_dict
from agentrun._exceptions import AgentsException
from agentrun._items import ModelResponse
from agentrun._settings import ModelSettings
from agentrun._usage import Usage
from agentrun.models.interface import Model, ModelTracing
from agentrun.testing._leaks import running_tasks

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from agentrun._hosted_tools import Tool
    from agentrun._responses import TResponseInputItem
    from agentrun.agent_output import AgentOutputSchemaBase

ModelSource: TypeAlias = "Model | Callable[[], Model | Awaitable[Model]]"
"""A model, or a function, sync or async, that makes a fresh one."""


class BrokenRule(AssertionError):
    """A model does not do what every model must."""

    rule: str
    """The name of the rule."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(f"model rule {rule!r}: {message}")
        self.rule = rule


async def check_model(
    model: ModelSource,
    *,
    input: str | list[TResponseInputItem] = "Say something.",
    model_settings: ModelSettings | None = None,
    tools: Sequence[Tool] = (),
    output_schema: AgentOutputSchemaBase | None = None,
    failing: ModelSource | None = None,
    concurrent: int = 3,
    prompt_seconds: float = 2.0,
    skip: Sequence[str] = (),
) -> list[str]:
    """Run a model through the rules that a run relies on.

    A model given as an object is asked up to `12 + 2 * concurrent` times, some of the calls cut short, and must answer
    each time. A function is called once per rule, and what it makes is closed afterwards.

    Args:
        model: answers every call.
        input: what it is asked.
        model_settings: the settings of every call.
        tools: the tools of every call.
        output_schema: the output schema of every call.
        failing: a model whose every call fails, for the rule on errors; the rule is left out when None.
        concurrent: how many whole and how many streamed calls are made at once.
        prompt_seconds: how long a cancelled or closed call may take to end, on the clock of the event loop.
        skip: the names of rules to leave out.

    Returns:
        The names of the rules that were checked, in order.

    Raises:
        BrokenRule: an AssertionError that names the rule and what was seen.
    """
    asked = _Asked(input, model_settings or ModelSettings(), list(tools), output_schema, concurrent, prompt_seconds)
    checked: list[str] = []
    for name, rule in _RULES.items():
        if name in skip:
            continue
        async with _opened(model) as opened:
            await _kept(name, rule, opened, asked)
        checked.append(name)
    if failing is not None and "errors are typed" not in skip:
        async with _opened(failing) as opened:
            await _kept("errors are typed", _errors_are_typed, opened, asked)
        checked.append("errors are typed")
    return checked


class _Broken(Exception):
    """Raised by a rule; becomes a BrokenRule with the rule's name."""


@attrs.frozen(eq=False)
class _Asked:
    """What every call is made with."""

    input: str | list[TResponseInputItem]
    model_settings: ModelSettings
    tools: list[Tool]
    output_schema: AgentOutputSchemaBase | None
    concurrent: int
    prompt_seconds: float

    def arguments(self) -> dict[str, Any]:
        return {
            "system_instructions": "You are checked.",
            "input": self.input,
            "model_settings": self.model_settings,
            "tools": self.tools,
            "output_schema": self.output_schema,
            "handoffs": [],
            "tracing": ModelTracing.DISABLED,
            "previous_response_id": None,
            "conversation_id": None,
            "prompt": None,
        }

    async def whole(self, model: Model) -> ModelResponse:
        return await model.get_response(**self.arguments())

    def stream(self, model: Model) -> AsyncIterator[Any]:
        stream: Any = model.stream_response(**self.arguments())
        if not hasattr(stream, "__aiter__"):
            if inspect.iscoroutine(stream):
                stream.close()
            raise _Broken(
                f"stream_response returned {stream!r}; it must return an async iterator without being awaited"
            )
        return cast("AsyncIterator[Any]", aiter(stream))


_Rule: TypeAlias = Callable[[Model, _Asked], Awaitable[None]]


@asynccontextmanager
async def _opened(source: ModelSource) -> AsyncGenerator[Model, None]:
    if isinstance(source, Model):
        yield source
        return
    made = source()
    model = await made if inspect.isawaitable(made) else made
    try:
        yield model
    finally:
        with anyio.move_on_after(5, shield=True):  # protects the check from a model that does not close
            await model.close()
            await model.close()


async def _kept(name: str, rule: _Rule, model: Model, asked: _Asked) -> None:
    """Check one rule, and that it left no task."""
    before = running_tasks()
    try:
        await rule(model, asked)
    except _Broken as exc:
        raise BrokenRule(name, str(exc)) from exc.__cause__
    except AgentsException as exc:
        raise BrokenRule(name, f"the model failed: {exc!r}; it must answer every call of the check") from exc
    except ExceptionGroup as group:
        raise BrokenRule(name, f"calls made at once failed: {group.exceptions!r}") from group
    left: list[str | None] = []
    for _ in range(5):  # a task that was told to end needs a step or two
        left = [one for number, one in running_tasks().items() if number not in before]
        if not left:
            return
        await anyio.lowlevel.checkpoint()
    raise BrokenRule(name, f"tasks are left: {left!r}")


async def _close(stream: AsyncIterator[Any]) -> None:
    close = getattr(stream, "aclose", None)
    if close is not None:
        await close()


async def _collect(stream: AsyncIterator[Any]) -> list[Any]:
    try:
        return [event async for event in stream]
    finally:
        await _close(stream)  # noqa: ASYNC102 - a check fails if the model hangs here


def _check_response(response: Any) -> None:
    if not isinstance(response, ModelResponse):
        raise _Broken(f"get_response returned {response!r}; it must return a ModelResponse")
    if not isinstance(response.output, list):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise _Broken(f"output is {response.output!r}; it must be a list of items")
    for item in response.output:
        if not isinstance(_kind(item), str):
            raise _Broken(f"the output item {item!r} has no type")
    _check_unique_calls(response.output)
    usage = response.usage
    if not isinstance(usage, Usage):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise _Broken(f"usage is {usage!r}; it must be a Usage")
    for name in ("requests", "input_tokens", "output_tokens", "total_tokens"):
        if not isinstance(getattr(usage, name), int) or getattr(usage, name) < 0:
            raise _Broken(f"usage.{name} is {getattr(usage, name)!r}; it must be a whole number from 0 up")
    if response.response_id is not None and not isinstance(response.response_id, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise _Broken(f"response_id is {response.response_id!r}; it must be a text or None")


def _check_unique_calls(output: Sequence[Any]) -> None:
    ids = [_member(item, "call_id") for item in output if _kind(item) == "function_call"]
    if any(not one for one in ids) or len(set(ids)) < len(ids):
        raise _Broken(f"the calls have the ids {ids!r}; each must have one of its own")


def _kind(item: Any) -> Any:
    return _member(item, "type")


def _member(item: Any, name: str) -> Any:
    return cast("dict[str, Any]", item).get(name) if isinstance(item, dict) else getattr(item, name, None)


async def _answers_whole(model: Model, asked: _Asked) -> None:
    _check_response(await asked.whole(model))


async def _leaves_input(model: Model, asked: _Asked) -> None:
    items = asked.input if isinstance(asked.input, list) else [{"role": "user", "content": asked.input}]
    asked = attrs.evolve(asked, input=items)
    before, tools, settings = copy.deepcopy(items), list(asked.tools), copy.deepcopy(asked.model_settings)
    await asked.whole(model)
    await _collect(asked.stream(model))
    if items != before:
        raise _Broken(f"the input was {before!r} and is {items!r} after the calls; copy what you change")
    if asked.tools != tools or asked.model_settings != settings:
        raise _Broken("the tools or settings are not what they were before the calls; copy what you change")


async def _streams(model: Model, asked: _Asked) -> None:
    events = await _collect(asked.stream(model))
    kinds = [getattr(event, "type", None) for event in events]
    if any(not isinstance(kind, str) for kind in kinds):
        raise _Broken(f"the stream has events without a type: {events!r}")
    if kinds.count("response.completed") != 1 or kinds[-1] != "response.completed":
        raise _Broken(f"the stream must end with its one response.completed, its events are {kinds!r}")
    response = events[-1].response
    output: list[Any] = list(response.output)
    _check_unique_calls(output)
    done = [event for event in events if event.type == "response.output_item.done"]
    if done:
        said = [as_dict(event.item) for event in sorted(done, key=lambda event: event.output_index)]
        final = [as_dict(item) for item in output]
        if said != final:
            raise _Broken(f"the items sent one by one are {said!r}, but the completed response has {final!r}")
    for index, item in enumerate(output):
        _check_deltas(events, index, item)


def _check_deltas(events: Sequence[Any], index: int, item: Any) -> None:
    """Check that the pieces sent of one item make up what it is in the end."""
    for kind, whole in (
        ("response.output_text.delta", _texts(item, "output_text", "text")),
        ("response.refusal.delta", _texts(item, "refusal", "refusal")),
        ("response.function_call_arguments.delta", _member(item, "arguments")),
    ):
        pieces = [event.delta for event in events if event.type == kind and event.output_index == index]
        if pieces and "".join(pieces) != whole:
            raise _Broken(f"the pieces of item {index} make {''.join(pieces)!r}, but the item has {whole!r}")


def _texts(item: Any, kind: str, name: str) -> str:
    parts: Sequence[Any] = _member(item, "content") or ()
    return "".join(_member(part, name) for part in parts if _kind(part) == kind)


async def _keeps_order(model: Model, asked: _Asked) -> None:
    events = await _collect(asked.stream(model))
    numbers = [event.sequence_number for event in events if hasattr(event, "sequence_number")]
    if any(later <= earlier for earlier, later in itertools.pairwise(numbers)):
        raise _Broken(f"sequence numbers must grow, they are {numbers!r}")
    kinds = [event.type for event in events]
    if "response.created" in kinds and kinds.index("response.created") != 0:
        raise _Broken(f"response.created must be the first event, the events are {kinds!r}")
    opened: set[int] = set()
    closed: set[int] = set()
    for event in events:
        index = getattr(event, "output_index", None)
        if event.type == "response.output_item.added":
            if index in opened:
                raise _Broken(f"item {index} was added twice")
            opened.add(event.output_index)
        elif index is not None and (index not in opened or index in closed):
            raise _Broken(f"{event.type} came for item {index} before it was added or after it was done")
        if event.type == "response.output_item.done":
            closed.add(event.output_index)
    if opened != closed:
        raise _Broken(f"the items {sorted(opened - closed)} were added and never done")


async def _closes_early(model: Model, asked: _Asked) -> None:
    stream = asked.stream(model)
    if not hasattr(stream, "aclose"):
        raise _Broken(f"the stream {stream!r} has no aclose(), so a run cannot end it early")
    await anext(stream)
    began = anyio.current_time()
    with anyio.move_on_after(asked.prompt_seconds) as scope:
        await _close(stream)
        await _close(stream)
    # A close that shields itself runs past the deadline without noticing it, so the clock is asked as well.
    if scope.cancelled_caught or anyio.current_time() - began > asked.prompt_seconds:
        raise _Broken(f"closing a stream after its first event took more than {asked.prompt_seconds:g} s")
    try:
        event = await anext(stream)
    except StopAsyncIteration:
        pass
    else:
        raise _Broken(f"a closed stream went on with {event!r}")
    _check_response(await asked.whole(model))  # and the model is as good as before


async def _cancels(model: Model, asked: _Asked) -> None:
    await _cancelled(model, asked, at_event=1)
    await _cancelled(model, asked, at_event=0)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await asked.whole(model)
    with anyio.CancelScope() as scope:
        # Cancelled from a sibling, so that the call is stopped at whatever it waits for.
        async with anyio.create_task_group() as nursery:
            nursery.start_soon(_cancel_soon, nursery.cancel_scope)
            await asked.whole(model)
            nursery.cancel_scope.cancel()
    _check_response(await asked.whole(model))


async def _cancel_soon(scope: anyio.CancelScope) -> None:
    await anyio.lowlevel.checkpoint()
    scope.cancel()


async def _cancelled(model: Model, asked: _Asked, *, at_event: int) -> None:
    """Cancel a stream from within: before its first event, or after one."""
    stream = asked.stream(model)
    last: Any = None
    swallowed = False
    began = anyio.current_time()
    with anyio.CancelScope() as scope:
        try:
            if at_event == 0:
                scope.cancel()
            async for event in stream:
                last = event
                began = anyio.current_time()
                scope.cancel()
            # Reached without a cancellation only by a stream that had nothing to wait for up to its end.
            swallowed = getattr(last, "type", None) != "response.completed"
        finally:
            # The shield is short: closing a stream that was just cancelled waits for nothing, and a broken one may.
            with anyio.move_on_after(asked.prompt_seconds, shield=True):
                await _close(stream)
    if swallowed:
        raise _Broken(f"a cancelled stream ended as if it were complete; its last event was {last!r}")
    if anyio.current_time() - began > asked.prompt_seconds:
        raise _Broken(f"a cancelled stream took more than {asked.prompt_seconds:g} s to end")


async def _serves_many(model: Model, asked: _Asked) -> None:
    responses: list[Any] = []
    streams: list[list[Any]] = []

    async def ask() -> None:
        responses.append(await asked.whole(model))

    async def listen() -> None:
        streams.append(await _collect(asked.stream(model)))

    async with anyio.create_task_group() as nursery:
        for number in range(asked.concurrent):
            nursery.start_soon(ask, name=f"whole call {number}")
            nursery.start_soon(listen, name=f"streamed call {number}")
    for response in responses:
        _check_response(response)
    for events in streams:
        if [event.type for event in events].count("response.completed") != 1:
            raise _Broken(f"of {asked.concurrent} streams at once one was {events!r}; each must complete once")


async def _errors_are_typed(model: Model, asked: _Asked) -> None:
    async def listen() -> Any:
        return await _collect(asked.stream(model))

    for what, call in (("get_response", lambda: asked.whole(model)), ("stream_response", listen)):
        try:
            result = await call()
        except AgentsException as exc:
            if exc.run_data is not None:
                raise _Broken(f"{what} set run_data of {exc!r}; that is the run's to set") from exc
        except Exception as exc:
            raise _Broken(f"{what} raised {exc!r}; it must raise an AgentsException, best a ModelError") from exc
        else:
            raise _Broken(f"{what} of the failing model returned {result!r}; it must raise")


_RULES: dict[str, _Rule] = {
    "answers whole": _answers_whole,
    "leaves its input alone": _leaves_input,
    "stream ends with the reply": _streams,
    "stream keeps order": _keeps_order,
    "stream closes early": _closes_early,
    "cancel is prompt": _cancels,
    "serves many at once": _serves_many,
}
