"""langgraph with langchain's OpenAI models, as their documentation shows it."""

# The packages of this contestant are not those of the project's own environment.
# mypy: ignore-errors
# pyright: basic
from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.tools import tool as as_tool
from langchain_openai import ChatOpenAI
from langgraph.prebuilt import create_react_agent
from openai import DefaultAsyncHttpxClient

from benchmarks import wire
from benchmarks.contestants.base import Api, Cancel, Contestant, Mark, Op, Seen


class FakeModel(BaseChatModel):
    script: list[Any]
    mark: Any = None
    asked: int = 0

    @property
    def _llm_type(self) -> str:
        return "bench"

    def bind_tools(self, tools: Any, **named: Any) -> Any:
        return self

    def _next(self) -> dict[str, Any]:
        if self.mark is not None:
            self.mark()
        output = self.script[self.asked % len(self.script)]
        self.asked += 1
        calls = [
            {"name": item["name"], "args": json.loads(item["arguments"]), "id": item["call_id"]}
            for item in output
            if item["type"] == "function_call"
        ]
        return {"content": "" if calls else "done", "tool_calls": calls}

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **named: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage(**self._next()))])

    async def _agenerate(self, *args: Any, **named: Any) -> ChatResult:
        return self._generate(*args, **named)


class StreamedModel(FakeModel):
    async def _astream(self, messages: Any, stop: Any = None, run_manager: Any = None, **named: Any) -> Any:
        found = self._next()
        if found["tool_calls"]:
            chunks = [
                {"name": call["name"], "args": json.dumps(call["args"]), "id": call["id"], "index": at}
                for at, call in enumerate(found["tool_calls"])
            ]
            yield ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=chunks))
            return
        for _ in range(3):
            chunk = ChatGenerationChunk(message=AIMessageChunk(content="token"))
            if run_manager is not None:
                await run_manager.on_llm_new_token("token", chunk=chunk)
            yield chunk


@as_tool
async def look_up(key: str) -> str:
    """Look a key up."""
    return key


def _asked(text: str = "hello") -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


class LangGraph(Contestant):
    def one_turn(self, streamed: bool) -> Op:
        cls = StreamedModel if streamed else FakeModel
        graph = create_react_agent(cls(script=[[wire.message()]]), [])

        async def run() -> None:
            await graph.ainvoke(_asked())

        async def run_streamed() -> None:
            async for _ in graph.astream(_asked(), stream_mode="messages"):
                pass

        return run_streamed if streamed else run

    def tool_turns(self, turns: int, tools: int, mark: Mark | None = None) -> Op:
        script = [[wire.call(turn * tools + number) for number in range(tools)] for turn in range(turns)]
        graph = create_react_agent(FakeModel(script=[*script, [wire.message()]], mark=mark), [look_up])

        async def run() -> None:
            await graph.ainvoke(_asked(), {"recursion_limit": 3 * turns + 10})

        return run

    def conversation(self, runs: int, mark: Mark) -> Op:
        graph = create_react_agent(FakeModel(script=[[wire.message()]], mark=mark), [])

        async def run() -> None:
            history: list[Any] = []
            for _ in range(runs):
                found = await graph.ainvoke({"messages": [*history, {"role": "user", "content": "more"}]})
                history = found["messages"]

        return run

    async def open(self, api: Api, base_url: str) -> None:
        # Its default client is shared by all models of the process, and outlives the event loop.
        self.client = DefaultAsyncHttpxClient()
        model = ChatOpenAI(
            http_async_client=self.client,
            model="bench",
            base_url=base_url,
            api_key="k",
            timeout=120,
            max_retries=0,
            use_responses_api=api == "responses",
            stream_usage=True,
        )
        self.graph = create_react_agent(model, [])

    async def close(self) -> None:
        await self.client.aclose()

    async def stream(self, seen: Seen) -> None:
        async for chunk, _ in self.graph.astream(_asked(), stream_mode="messages"):
            text = chunk.content
            if isinstance(text, list):
                text = "".join(part.get("text", "") for part in text if isinstance(part, dict))
            # The end of a part repeats its text, without a stamp.
            if text and text != "done":
                wait = seen(text)
                if wait is not None:
                    await wait

    async def tools_in_flight(
        self, tool: Callable[[], Awaitable[str]], calls: int, own: Callable[[Cancel], None]
    ) -> bool:
        async def wait(key: str) -> str:
            """Wait."""
            return await tool()

        model = FakeModel(script=[[wire.call(number, "wait") for number in range(calls)]])
        graph = create_react_agent(model, [as_tool(wait)])
        await graph.ainvoke(_asked())
        return False


make = LangGraph
