"""agentrun, as its documentation shows it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from agentrun import (
    Agent,
    ModelResponse,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    Usage,
    function_tool,
)
from agentrun._codec import structure_event, structure_item
from agentrun.models.interface import Model
from benchmarks import wire
from benchmarks.contestants.base import Api, Cancel, Contestant, Mark, Op, Seen

_PLACE = {"item_id": "m", "output_index": 0, "content_index": 0, "logprobs": [], "sequence_number": 1}


class FakeModel(Model):
    """Answers from a script; does nothing else."""

    def __init__(self, script: list[list[Any]], mark: Mark | None = None) -> None:
        self.script = script
        self.asked = 0
        self.mark = mark
        self.delta = structure_event({"type": "response.output_text.delta", "delta": "token", **_PLACE})
        self.replies = [
            structure_event(
                {"type": "response.completed", "sequence_number": 2, "response": wire.response("completed", output)}
            )
            for output in script
        ]
        self.items = [[structure_item(item) for item in output] for output in script]

    def _next(self) -> int:
        if self.mark is not None:
            self.mark()
        self.asked += 1
        return (self.asked - 1) % len(self.script)

    async def get_response(self, *args: Any, **named: Any) -> ModelResponse:
        return ModelResponse(self.items[self._next()], Usage(), None)

    async def stream_response(self, *args: Any, **named: Any) -> AsyncIterator[Any]:
        number = self._next()
        for _ in range(3):
            yield self.delta
        yield self.replies[number]


@function_tool
async def look_up(key: str) -> str:
    """Look a key up."""
    return key


class AgentRun(Contestant):
    def one_turn(self, streamed: bool) -> Op:
        agent = Agent(name="bench", model=FakeModel([[wire.message()]]))

        async def run() -> None:
            await Runner.run(agent, "hello")

        async def run_streamed() -> None:
            async for _ in Runner.run_streamed(agent, "hello").stream_events():
                pass

        return run_streamed if streamed else run

    def turn_in_block(self) -> Op:
        agent = Agent(name="bench", model=FakeModel([[wire.message()]]))

        async def run() -> None:
            async with Runner.run_streamed(agent, "hello") as result:
                async for _ in result.stream_events():
                    pass

        return run

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
        cls = OpenAIResponsesModel if api == "responses" else OpenAIChatCompletionsModel
        self.agent = Agent(name="bench", model=cls("bench", base_url=base_url, api_key="k"))

    async def stream(self, seen: Seen) -> None:
        async with Runner.run_streamed(self.agent, "hello") as result:
            async for event in result.stream_events():
                if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
                    wait = seen(event.data.delta)
                    if wait is not None:
                        await wait

    async def stream_cancelled(self, seen: Seen, own: Callable[[Cancel], None]) -> bool:
        async with Runner.run_streamed(self.agent, "hello") as result:
            own(result.cancel)
            async for event in result.stream_events():
                if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
                    seen(event.data.delta)
        return True

    async def tools_in_flight(
        self, tool: Callable[[], Awaitable[str]], calls: int, own: Callable[[Cancel], None]
    ) -> bool:
        async def wait(key: str) -> str:
            """Wait."""
            return await tool()

        declared = function_tool(wait)
        model = FakeModel([[wire.call(number, "wait") for number in range(calls)]])
        agent = Agent(name="bench", model=model, tools=[declared])
        async with Runner.run_streamed(agent, "hello") as result:
            own(result.cancel)
            async for _ in result.stream_events():
                pass
        return True


make = AgentRun
