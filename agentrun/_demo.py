"""The demo: agents, tools and a guardrail that do the main job of the library, and the provider that answers them.

A triage agent gets a question. An input guardrail, which is a small agent of its own, judges the question beside the
triage agent's model stream. The triage agent hands over to the travel agent, whose two tools run in parallel, and whose
answer is streamed. All of it goes over HTTP and server-sent events; without a model of the user's the other end is a
scripted provider in this process.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal, TextIO

import anyio
import attrs

from agentrun._agent import Agent
from agentrun._cli_view import Board, LiveView, PlainView, TaskLine, is_live_terminal
from agentrun._context import RunContextWrapper
from agentrun._function_tool import function_tool
from agentrun._guardrail import GuardrailFunctionOutput, input_guardrail
from agentrun._hooks import RunHooks
from agentrun._responses import ResponseTextDeltaEvent
from agentrun._runner import Runner

if TYPE_CHECKING:
    from agentrun._items import ModelResponse
    from agentrun._responses import TResponseInputItem
    from agentrun.models.interface import Model
    from agentrun.testing import LoopbackProvider, ModelStep

Api = Literal["responses", "chat"]

QUESTION = "How is the weather in Lisbon tomorrow, and when does the next train to Porto leave?"

_WEATHER_SECONDS = 0.5
_TRAINS_SECONDS = 0.8
_WORD_SECONDS = 0.04
_VERDICT_SECONDS = 0.02


@attrs.frozen
class DemoOptions:
    """What the command line asked for."""

    backend: Literal["asyncio", "trio"] = "asyncio"
    model: str | None = None
    """The name of a real model; None runs against the scripted provider."""
    base_url: str | None = None
    api: Api = "responses"
    plain: bool = False
    pace: float = 1.0
    """What the demo's own waits are multiplied by: those of its tools, and of the scripted provider between words."""


@attrs.frozen
class Verdict:
    """What the judging agent says of the question."""

    about_travel: bool
    reason: str


@attrs.frozen
class Trip:
    """The context object of the demo's runs."""

    board: Board
    pace: float


@function_tool
async def get_weather(context: RunContextWrapper[Trip], city: str) -> str:
    """Return tomorrow's weather.

    Args:
        context: the run's context, which the model does not see.
        city: the name of the city.
    """
    with context.context.board.task("tool", f"get_weather({city})") as line:
        await anyio.sleep(_WEATHER_SECONDS * context.context.pace)
        line.note = "sunny"
        return f"{city}: sunny, 24 degrees"


@function_tool
async def find_trains(context: RunContextWrapper[Trip], origin: str, destination: str) -> str:
    """Return the next trains.

    Args:
        context: the run's context, which the model does not see.
        origin: where to start.
        destination: where to go.
    """
    with context.context.board.task("tool", f"find_trains({origin}, {destination})") as line:
        try:
            await anyio.sleep(_TRAINS_SECONDS * context.context.pace)
        finally:
            line.note = "timetable closed"  # also when the run is cancelled: a tool's cleanup is waited for
        return f"{origin} to {destination}: 14:30, arrives 17:24"


def make_agents(model: Model) -> Agent[Trip]:
    """Return the agent that gets the question."""
    judge = Agent[None](
        "Judge",
        instructions="Decide whether the question is about travel: trains, flights, hotels, weather on a trip.",
        model=model,
        output_type=Verdict,
    )

    @input_guardrail(name="about travel")
    async def about_travel(
        context: RunContextWrapper[Trip], agent: Agent[Any], given: str | list[TResponseInputItem]
    ) -> GuardrailFunctionOutput:
        with context.context.board.task("guardrail", "about travel") as line:
            verdict = (await Runner.run(judge, given)).final_output_as(Verdict)
            line.note = "passed" if verdict.about_travel else "tripped"
            return GuardrailFunctionOutput(verdict, tripwire_triggered=not verdict.about_travel)

    travel = Agent[Trip](
        "Travel agent",
        handoff_description="Knows the weather and the trains.",
        instructions="Answer in two sentences. Look up the weather and the trains with your tools, both at once.",
        model=model,
        tools=[get_weather, find_trains],
    )
    return Agent[Trip](
        "Triage agent",
        instructions="You are the front desk. Say who will answer. Hand questions about travel to the travel agent.",
        model=model,
        handoffs=[travel],
        input_guardrails=[about_travel],
    )


def answer(body: dict[str, Any], *, pace: float = 1.0) -> ModelStep:
    """Answer a request as the models of the demo would: the provider's script."""
    from agentrun.testing import ModelStep, assistant_message, conversation_of, function_call

    talk = conversation_of(body)
    if not talk.tools:
        verdict = '{"response": {"about_travel": true, "reason": "It asks for the weather on a trip and for a train."}}'
        return ModelStep.respond(verdict, delay=_VERDICT_SECONDS * pace)
    if "get_weather" not in talk.tools:
        hello = assistant_message("One moment, our travel agent will look that up.")
        return ModelStep.respond(
            [hello, function_call("transfer_to_travel_agent", {}, call_id="call_1")], delay=_WORD_SECONDS * pace
        )
    outputs = talk.outputs()
    if "get_weather" not in outputs or "find_trains" not in outputs:
        calls = [
            function_call("get_weather", {"city": "Lisbon"}, call_id="call_2"),
            function_call("find_trains", {"origin": "Lisbon", "destination": "Porto"}, call_id="call_3"),
        ]
        return ModelStep.respond(calls, delay=_WORD_SECONDS * pace)
    return ModelStep.respond(
        "Tomorrow Lisbon will be sunny, with 24 degrees. "
        "The next train from Lisbon to Porto leaves at 14:30 and arrives at 17:24.",
        delay=_WORD_SECONDS * pace,
    )


class _BoardHooks(RunHooks[Trip]):
    """Shows the model calls and the handoff."""

    def __init__(self) -> None:
        self._asking: TaskLine | None = None

    async def on_llm_start(
        self,
        context: RunContextWrapper[Trip],
        agent: Agent[Trip],
        system_prompt: str | None,
        input_items: list[TResponseInputItem],
    ) -> None:
        self._asking = context.context.board.start("model", agent.name)

    async def on_llm_end(self, context: RunContextWrapper[Trip], agent: Agent[Trip], response: ModelResponse) -> None:
        if self._asking is not None:
            calls = sum(item.type == "function_call" for item in response.output)
            context.context.board.end(self._asking, "done", f"{calls} call{'s' * (calls > 1)}" if calls else "answer")

    async def on_handoff(
        self, context: RunContextWrapper[Trip], from_agent: Agent[Trip], to_agent: Agent[Trip]
    ) -> None:
        context.context.board.note(f"handoff: {from_agent.name} to {to_agent.name}")


@asynccontextmanager
async def _open_model(options: DemoOptions) -> AsyncGenerator[tuple[Model, LoopbackProvider | None, str]]:
    """Give the model to ask, the provider if it is ours, and where it is."""
    from agentrun.models._defaults import get_default_model
    from agentrun.models.chat import OpenAIChatCompletionsModel
    from agentrun.models.responses import OpenAIResponsesModel

    make = OpenAIResponsesModel if options.api == "responses" else OpenAIChatCompletionsModel
    if options.model is not None or options.base_url is not None:
        name = options.model or get_default_model()
        model = make(name, base_url=options.base_url)
        try:
            yield model, None, f"model {name!r} at {options.base_url or 'its provider'}"
        finally:
            with anyio.move_on_after(1, shield=True):
                await model.close()
        return

    import httpx  # noqa: ASYNC127 - the declared dependency; noxfile.py says why it is that one

    from agentrun.testing import LoopbackProvider

    provider = LoopbackProvider(script=functools.partial(answer, pace=options.pace))
    # Not our own connections, for they ask the environment for a proxy, and no proxy reaches this process.
    async with provider.serve() as url, httpx.AsyncClient(trust_env=False, timeout=None) as client:
        yield make("scripted", base_url=url, api_key="", http_client=client), provider, f"a scripted provider at {url}"


async def run_demo(options: DemoOptions, out: TextIO) -> None:
    """Ask the question, and show on `out` what happens.

    Raises:
        UserError: there is no key for a real model.
        AgentsException: the run failed.

    On cancel the run is cancelled and has ended, and what became of its tasks is shown.
    """
    view = LiveView(out) if is_live_terminal(out) and not options.plain else PlainView(out)
    provider: LoopbackProvider | None = None
    try:
        async with _open_model(options) as (model, provider, where):
            out.write(f"agentrun on {options.backend}, asking {where} ({options.api} API, streamed)\n")
            out.write(f"question: {QUESTION}\n\n")
            await _ask(make_agents(model), view, out, options.pace)
    finally:
        if provider is not None:
            out.write(f"{len(provider.requests)} HTTP requests, {provider.open_requests} of them still open\n")
            out.flush()


async def _ask(agent: Agent[Trip], view: LiveView | PlainView, out: TextIO, pace: float) -> None:
    board = Board(view)
    ended: Literal["done", "cancelled", "failed"] = "failed"
    try:
        async with contextlib.AsyncExitStack() as stack:
            if isinstance(view, LiveView):
                nursery = await stack.enter_async_context(anyio.create_task_group())
                nursery.start_soon(view.draw, board, name="live view")
                stack.callback(nursery.cancel_scope.cancel)
            async with Runner.run_streamed(agent, QUESTION, Trip(board, pace), hooks=_BoardHooks()) as result:
                async for event in result.stream_events():
                    if event.type == "raw_response_event" and isinstance(event.data, ResponseTextDeltaEvent):
                        board.say(result.current_agent.name, event.data.delta)
        ended = "done"
    except anyio.get_cancelled_exc_class():
        ended = "cancelled"
        raise
    finally:
        board.end_all(ended)
        view.end(board)
        out.write("\n")
