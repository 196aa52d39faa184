"""A Starlette application that streams answers to browsers as server-sent events."""

from __future__ import annotations

import json

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from agentrun import Agent, AgentsException, Runner

agent = Agent("Assistant", instructions="Be brief.")


class AnswerResponse(Response):
    """The answer of an agent, as server-sent events.

    The response owns the run: when the client leaves, or the server stops, the run is cancelled, and has ended before
    the request has.
    """

    media_type = "text/event-stream"

    def __init__(self, question: str) -> None:
        super().__init__(headers={"cache-control": "no-store"})
        del self.headers["content-length"]  # nobody knows it yet
        self.question = question

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer while watching for the client to leave."""
        async with anyio.create_task_group() as nursery:
            nursery.start_soon(cancel_when_client_leaves, receive, nursery.cancel_scope)
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            try:
                await self.send_answer(send)
            except AgentsException as exc:
                await send_event(send, "failed", type(exc).__name__)
            await send({"type": "http.response.body", "body": b""})
            nursery.cancel_scope.cancel()

    async def send_answer(self, send: Send) -> None:
        """Run the agent, and send each piece of its text."""
        async with Runner.run_streamed(agent, self.question) as result:
            async for event in result.stream_events():
                if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
                    await send_event(send, "delta", event.data.delta)
        await send_event(send, "done", result.final_output)


async def send_event(send: Send, kind: str, data: object) -> None:
    """Send one server-sent event."""
    text = f"event: {kind}\ndata: {json.dumps(data)}\n\n"
    await send({"type": "http.response.body", "body": text.encode(), "more_body": True})


async def cancel_when_client_leaves(receive: Receive, scope: anyio.CancelScope) -> None:
    """Cancel `scope` when the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def ask(request: Request) -> Response:
    """Answer the question in the query string."""
    return AnswerResponse(request.query_params["question"])


app = Starlette(routes=[Route("/ask", ask)])
