"""openai-agents, as its documentation shows it; tracing off."""

# The packages of this contestant are not those of the project's own environment.
# mypy: ignore-errors
# pyright: basic
from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from agents import (
    Agent,
    Model,
    ModelResponse,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    Usage,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseTextDeltaEvent,
)

from benchmarks import wire
from benchmarks.contestants.base import Api, Cancel, Contestant, Mark, Op, Seen

set_tracing_disabled(True)
_CLASSES = {"message": ResponseOutputMessage, "function_call": ResponseFunctionToolCall}
_PLACE = {"item_id": "m", "output_index": 0, "content_index": 0, "logprobs": [], "sequence_number": 1}


class FakeModel(Model):
    def __init__(self, script: list[list[Any]], mark: Mark | None = None) -> None:
        self.asked = 0
        self.mark = mark
        self.delta = ResponseTextDeltaEvent(type="response.output_text.delta", delta="token", **_PLACE)
        self.items = [[_CLASSES[item["type"]].model_validate(item) for item in output] for output in script]
        self.replies = [
            ResponseCompletedEvent(
                type="response.completed",
                sequence_number=2,
                response=Response.model_validate(wire.response("completed", output)),
            )
            for output in script
        ]

    def _next(self) -> int:
        if self.mark is not None:
            self.mark()
        self.asked += 1
        return (self.asked - 1) % len(self.items)

    async def get_response(self, *args: Any, **named: Any) -> ModelResponse:
        return ModelResponse(output=self.items[self._next()], usage=Usage(), response_id=None)

    async def stream_response(self, *args: Any, **named: Any) -> Any:
        number = self._next()
        for _ in range(3):
            yield self.delta
        yield self.replies[number]


@function_tool
async def look_up(key: str) -> str:
    """Look a key up."""
    return key


class OpenAIAgents(Contestant):
    def one_turn(self, streamed: bool) -> Op:
        agent = Agent(name="bench", model=FakeModel([[wire.message()]]))

        async def run() -> None:
            await Runner.run(agent, "hello")

        async def run_streamed() -> None:
            async for _ in Runner.run_streamed(agent, "hello").stream_events():
                pass

        return run_streamed if streamed else run

    def tool_turns(self, turns: int, tools: int, mark: Mark | None = None) -> Op:
        script = [[wire.call(turn * tools + number) for number in range(tools)] for turn in range(turns)]
        agent = Agent(name="bench", model=FakeModel([*script, [wire.message()]], mark), tools=[look_up])

        async def run() -> None:
            await Runner.run(agent, "hello", max_turns=turns + 1)

        return run

    def conversation(self, runs: int, mark: Mark) -> Op:
        agent = Agent(name="bench", model=FakeModel([[wire.message()]], mark))

        async def run() -> None:
            history: list[Any] = []
            for _ in range(runs):
                history.append({"role": "user", "content": "more"})
                result = await Runner.run(agent, history)
                history = result.to_input_list()

        return run

    async def open(self, api: Api, base_url: str) -> None:
        self.client = AsyncOpenAI(base_url=base_url, api_key="k", timeout=120, max_retries=0)
        cls = OpenAIResponsesModel if api == "responses" else OpenAIChatCompletionsModel
        self.agent = Agent(name="bench", model=cls("bench", openai_client=self.client))

    async def close(self) -> None:
        await self.client.close()

    async def stream(self, seen: Seen) -> None:
        result = Runner.run_streamed(self.agent, "hello")
        async for event in result.stream_events():
            if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
                wait = seen(event.data.delta)
                if wait is not None:
                    await wait

    async def stream_cancelled(self, seen: Seen, own: Callable[[Cancel], None]) -> bool:
        result = Runner.run_streamed(self.agent, "hello")
        own(result.cancel)
        async for event in result.stream_events():
            if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
                seen(event.data.delta)
        return True

    async def tools_in_flight(
        self, tool: Callable[[], Awaitable[str]], calls: int, own: Callable[[Cancel], None]
    ) -> bool:
        @function_tool
        async def wait(key: str) -> str:
            """Wait."""
            return await tool()

        model = FakeModel([[wire.call(number, "wait") for number in range(calls)]])
        result = Runner.run_streamed(Agent(name="bench", model=model, tools=[wait]), "hello")
        own(result.cancel)
        async for _ in result.stream_events():
            pass
        return True


make = OpenAIAgents
