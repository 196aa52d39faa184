"""A chat service that runs in several processes behind one address.

    hypercorn --workers 4 --bind 127.0.0.1:8000 scale_out:app
    hypercorn --workers 4 --worker-class trio --bind 127.0.0.1:8000 scale_out:app

Any worker may answer any message, because a conversation is in its session and nowhere else.
"""

from __future__ import annotations

import os

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agentrun import Agent, ModelError, RunConfig, Runner, RunTimeoutError, SQLiteSession, Timeouts

CONVERSATIONS = os.environ.get("CONVERSATIONS", "conversations.db")

agent = Agent("Assistant", instructions="Be brief.")
config = RunConfig(timeouts=Timeouts(run=60))
places = anyio.Semaphore(500)
"""How many runs this worker holds at once."""


async def say(request: Request) -> Response:
    """Answer the message in the body, in the conversation that the path names."""
    try:
        places.acquire_nowait()
    except anyio.WouldBlock:
        return JSONResponse({"error": "busy, try again"}, 503, {"retry-after": "1"})
    try:
        session = SQLiteSession(request.path_params["conversation"], CONVERSATIONS)
        result = await Runner.run(agent, (await request.body()).decode(), session=session, run_config=config)
    except RunTimeoutError:
        return JSONResponse({"error": "the answer took too long"}, 504)
    except ModelError:
        return JSONResponse({"error": "the provider failed"}, 502)
    finally:
        places.release()
    return JSONResponse({"answer": result.final_output, "worker": os.getpid()})


app = Starlette(routes=[Route("/conversations/{conversation}", say, methods=["POST"])])
