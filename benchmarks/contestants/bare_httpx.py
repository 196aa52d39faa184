"""A bare loop on httpx that does the same work: the floor. No agent, no scope, no hook around anything."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import httpx

from benchmarks import wire
from benchmarks.contestants.base import Api, Cancel, Contestant, Mark, Op, Seen

_SKIPPED = ("response.created", "response.in_progress")


class BareHttpx(Contestant):
    def one_turn(self, streamed: bool) -> Op:
        answer = wire.message()

        async def deltas() -> Any:
            for _ in range(3):
                yield {"type": "response.output_text.delta", "delta": "token"}
            yield {"type": "response.completed", "response": {"output": [answer]}}

        async def model(items: list[Any]) -> list[Any]:
            return [answer]

        async def run() -> None:
            items: list[Any] = [{"role": "user", "content": "hello"}]
            items += await model(items)

        async def run_streamed() -> None:
            items: list[Any] = [{"role": "user", "content": "hello"}]
            async for event in deltas():
                if event["type"] == "response.completed":
                    items += event["response"]["output"]

        return run_streamed if streamed else run

    def tool_turns(self, turns: int, tools: int, mark: Mark | None = None) -> Op:
        script = [[wire.call(turn * tools + number) for number in range(tools)] for turn in range(turns)]

        async def look_up(call: Any, outputs: list[Any], at: int) -> None:
            key = json.loads(call["arguments"])["key"]
            outputs[at] = {"type": "function_call_output", "call_id": call["call_id"], "output": key}

        async def model(turn: int) -> list[Any]:
            if mark is not None:
                mark()
            return script[turn] if turn < turns else [wire.message()]

        async def run() -> None:
            items: list[Any] = [{"role": "user", "content": "hello"}]
            for turn in range(turns + 1):
                reply = await model(turn)
                items += reply
                calls = [item for item in reply if item["type"] == "function_call"]
                if not calls:
                    return
                outputs: list[Any] = [None] * len(calls)
                async with anyio.create_task_group() as nursery:
                    for at, call in enumerate(calls):
                        nursery.start_soon(look_up, call, outputs, at)
                items += outputs

        return run

    def conversation(self, runs: int, mark: Mark) -> Op:
        async def model() -> list[Any]:
            mark()
            return [wire.message()]

        async def run() -> None:
            history: list[Any] = []
            for _ in range(runs):
                history = [*history, {"role": "user", "content": "more"}]
                history += await model()

        return run

    async def open(self, api: Api, base_url: str) -> None:
        self.client = httpx.AsyncClient(limits=httpx.Limits(max_connections=None), timeout=120)
        self.url = base_url + ("/responses" if api == "responses" else "/chat/completions")
        self.api = api
        question = [{"role": "user", "content": "hello"}]
        self.body: dict[str, Any] = (
            {"model": "bench", "input": question, "stream": True}
            if api == "responses"
            else {"model": "bench", "messages": question, "stream": True, "stream_options": {"include_usage": True}}
        )

    async def close(self) -> None:
        await self.client.aclose()

    async def stream(self, seen: Seen) -> None:
        chat = self.api == "chat"
        decode = json.JSONDecoder().decode
        buffer = ""
        items: list[Any] = []
        async with self.client.stream("POST", self.url, json=self.body) as response:
            response.raise_for_status()
            async for block in response.aiter_bytes():
                buffer += block.decode()
                *events, buffer = buffer.split("\n\n")
                for event in events:
                    data = event[event.index("data: ") + 6 :]
                    if data == "[DONE]":
                        return
                    decoded = decode(data)
                    if chat:
                        choices = decoded["choices"]
                        delta = choices[0]["delta"].get("content") if choices else None
                    else:
                        delta = decoded["delta"] if decoded["type"] == "response.output_text.delta" else None
                        if decoded["type"] == "response.completed":
                            items += decoded["response"]["output"]
                    if delta:
                        wait = seen(delta)
                        if wait is not None:
                            await wait

    async def tools_in_flight(
        self, tool: Callable[[], Awaitable[str]], calls: int, own: Callable[[Cancel], None]
    ) -> bool:
        async with anyio.create_task_group() as nursery:
            for _ in range(calls):
                nursery.start_soon(tool)
        return False


make = BareHttpx
