"""The same response in a FastAPI application."""

from __future__ import annotations

from fastapi import FastAPI
from stream_to_browser import AnswerResponse

app = FastAPI()


@app.get("/ask", response_class=AnswerResponse)
async def ask(question: str) -> AnswerResponse:
    """Answer a question."""
    return AnswerResponse(question)
