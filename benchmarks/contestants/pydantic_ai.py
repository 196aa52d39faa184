"""pydantic-ai, as its documentation shows it."""

# The packages of this contestant are not those of the project's own environment.
# mypy: ignore-errors
# pyright: basic
from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from openai import AsyncOpenAI
from pydantic_ai import Agent
from pydantic_ai.messages import ModelResponse, PartDeltaEvent, PartStartEvent, TextPart, TextPartDelta, ToolCallPart
from pydantic_ai.models import Model
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.models.test import TestStreamedResponse
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.usage import UsageLimits

from benchmarks import wire
from benchmarks.contestants.base import Api, Cancel, Contestant, Mark, Op, Seen

_NO_LIMIT = UsageLimits(request_limit=None)


class _Streamed(TestStreamedResponse):
    """Three deltas, without the estimate of usage."""

    def __post_init__(self, _messages: Any) -> None:
        pass

    async def _get_event_iterator(self) -> Any:
        for part in self._structured_response.parts:
            if isinstance(part, TextPart):
                for _ in range(3):
                    for event in self._parts_manager.handle_text_delta(vendor_part_id=0, content="token"):
                        yield event
            else:
                yield self._parts_manager.handle_tool_call_part(
                    vendor_part_id=part.tool_call_id,
                    tool_name=part.tool_name,
                    args=part.args,
                    tool_call_id=part.tool_call_id,
                )


class FakeModel(Model):
    def __init__(self, script: list[list[Any]], mark: Mark | None = None) -> None:
        super().__init__()
        self.script = script
        self.mark = mark
        self.asked = 0

    def _next(self) -> ModelResponse:
        if self.mark is not None:
            self.mark()
        output = self.script[self.asked % len(self.script)]
        self.asked += 1
        parts = [
            ToolCallPart(item["name"], item["arguments"], item["call_id"])
            if item["type"] == "function_call"
            else TextPart(item["content"][0]["text"])
            for item in output
        ]
        return ModelResponse(parts=parts)

    @property
    def model_name(self) -> str:
        return "bench"

    @property
    def system(self) -> str:
        return "bench"

    async def request(self, messages: Any, model_settings: Any, model_request_parameters: Any) -> ModelResponse:
        return self._next()

    @asynccontextmanager
    async def request_stream(
        self, messages: Any, model_settings: Any, model_request_parameters: Any, run_context: Any = None
    ) -> Any:
        yield _Streamed(
            model_request_parameters=model_request_parameters,
            _model_name="bench",
            _structured_response=self._next(),
            _messages=messages,
            _provider_name="bench",
        )


async def look_up(key: str) -> str:
    """Look a key up."""
    return key


class PydanticAI(Contestant):
    def one_turn(self, streamed: bool) -> Op:
        agent = Agent(FakeModel([[wire.message()]]))

        async def run() -> None:
            await agent.run("hello")

        async def run_streamed() -> None:
            async with agent.run_stream_events("hello") as events:
                async for _ in events:
                    pass

        return run_streamed if streamed else run

    def tool_turns(self, turns: int, tools: int, mark: Mark | None = None) -> Op:
        script = [[wire.call(turn * tools + number) for number in range(tools)] for turn in range(turns)]
        agent = Agent(FakeModel([*script, [wire.message()]], mark), tools=[look_up])

        async def run() -> None:
            await agent.run("hello", usage_limits=_NO_LIMIT)

        return run

    def conversation(self, runs: int, mark: Mark) -> Op:
        agent = Agent(FakeModel([[wire.message()]], mark))

        async def run() -> None:
            history: list[Any] = []
            for _ in range(runs):
                history = (await agent.run("more", message_history=history)).all_messages()

        return run

    async def open(self, api: Api, base_url: str) -> None:
        self.client = AsyncOpenAI(base_url=base_url, api_key="k", timeout=120, max_retries=0)
        cls = OpenAIResponsesModel if api == "responses" else OpenAIChatModel
        self.agent = Agent(cls("bench", provider=OpenAIProvider(openai_client=self.client)))

    async def close(self) -> None:
        await self.client.close()

    async def stream(self, seen: Seen) -> None:
        async with self.agent.run_stream_events("hello") as events:
            async for event in events:
                text = None
                if isinstance(event, PartDeltaEvent) and isinstance(event.delta, TextPartDelta):
                    text = event.delta.content_delta
                elif isinstance(event, PartStartEvent) and isinstance(event.part, TextPart):
                    text = event.part.content
                if text:
                    wait = seen(text)
                    if wait is not None:
                        await wait

    async def tools_in_flight(
        self, tool: Callable[[], Awaitable[str]], calls: int, own: Callable[[Cancel], None]
    ) -> bool:
        async def wait(key: str) -> str:
            """Wait."""
            return await tool()

        agent = Agent(FakeModel([[wire.call(number, "wait") for number in range(calls)]]), tools=[wait])
        async with agent.run_stream_events("hello") as events:
            async for _ in events:
                pass
        return False


make = PydanticAI
