"""Models behind the Chat Completions API, over HTTP and server-sent events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import anyio

from agentrun._exceptions import ModelBehaviorError, ModelTransportError, UserError
from agentrun._items import ModelResponse
from agentrun._usage import Usage
from agentrun.models import chat_request, chat_wire
from agentrun.models._openai import EVENT_STREAM, JSON, OpenAIModel, check_is_stream, read_text
from agentrun.models._sse import SSEParser

if TYPE_CHECKING:
    from agentrun._handoff import Handoff
    from agentrun._http.exchange import Exchange
    from agentrun._responses import TResponseInputItem, TResponseStreamEvent
    from agentrun._settings import ModelSettings
    from agentrun._tool import Tool
    from agentrun.agent_output import AgentOutputSchemaBase
    from agentrun.models.interface import ModelTracing

__all__ = ["OpenAIChatCompletionsModel"]

_PATH = "/chat/completions"
_USAGE_SECONDS = 2.0  # from the finish reason to the usage or the end; for servers that linger


class OpenAIChatCompletionsModel(OpenAIModel):
    """A model that is called with the Chat Completions API, which most providers and local servers speak.

    Its replies have the items and events of the Responses API.

    Source: models, "OpenAI models".
    """

    async def get_response(
        self,
        system_instructions: str | None,
        input: str | list[TResponseInputItem],
        model_settings: ModelSettings,
        tools: list[Tool],
        output_schema: AgentOutputSchemaBase | None,
        handoffs: list[Handoff[Any, Any]],
        tracing: ModelTracing,
        *,
        previous_response_id: str | None = None,
        conversation_id: str | None = None,
        prompt: Any | None = None,
    ) -> ModelResponse:
        """Return one whole reply. See `Model.get_response`."""
        self._check_stateless(previous_response_id, conversation_id, prompt)
        body = self._body(system_instructions, input, model_settings, tools, output_schema, handoffs, stream=False)
        exchange = await self._post(_PATH, body, model_settings, accept=JSON)
        try:
            text = await read_text(exchange)
        finally:
            await exchange.aclose()
        response, raw_usage = chat_wire.read_completion(text, self._limits, exchange.request_id)
        return ModelResponse(
            response.output,
            Usage.from_wire(response.usage),
            response.id or None,
            exchange.request_id,
            raw_usage if model_settings.preserve_raw_usage else None,
        )

    async def stream_response(
        self,
        system_instructions: str | None,
        input: str | list[TResponseInputItem],
        model_settings: ModelSettings,
        tools: list[Tool],
        output_schema: AgentOutputSchemaBase | None,
        handoffs: list[Handoff[Any, Any]],
        tracing: ModelTracing,
        *,
        previous_response_id: str | None = None,
        conversation_id: str | None = None,
        prompt: Any | None = None,
    ) -> AsyncIterator[TResponseStreamEvent]:
        """Yield the reply as Responses stream events, `response.completed` last. See `Model.stream_response`.

        A reply that was cut short is yielded as `response.incomplete` before the exception is raised.
        """
        self._check_stateless(previous_response_id, conversation_id, prompt)
        body = self._body(system_instructions, input, model_settings, tools, output_schema, handoffs, stream=True)
        exchange = await self._post(_PATH, body, model_settings, accept=EVENT_STREAM)
        try:
            await check_is_stream(exchange, self._limits)
            parser = SSEParser(self._limits)
            stream = chat_wire.ChatStream(self._limits, exchange.request_id)
            while True:
                if stream.finished:
                    received, ended = await _read_rest(exchange, parser)
                else:  # not a function of its own: each coroutine between here and the socket costs every delta
                    block = await exchange.read()
                    received, ended = parser.feed(block) if block else parser.close(), not block
                events, error = stream.events(received)
                if ended and error is None:
                    last, error = stream.end()
                    events += last
                if stream.completed:
                    exchange.expect_end()  # before the last event is handed out: its reader need not come back
                for event in events:
                    yield event
                if error is not None:
                    raise error
                if stream.completed:
                    return
                if ended:
                    raise ModelBehaviorError(
                        f"the model's stream ended without terminal event: no finish_reason ({exchange.described()}); "
                        "the reply is cut"
                    )
        finally:
            await exchange.aclose()

    def _body(
        self,
        system_instructions: str | None,
        input: str | list[TResponseInputItem],
        settings: ModelSettings,
        tools: list[Tool],
        output_schema: AgentOutputSchemaBase | None,
        handoffs: list[Handoff[Any, Any]],
        *,
        stream: bool,
    ) -> bytes:
        return chat_request.request_body(
            self.model,
            system_instructions,
            input,
            settings,
            tools,
            output_schema,
            handoffs,
            stream=stream,
            completion_tokens=self._endpoint.origin == "https://api.openai.com:443",
        )

    def _check_stateless(
        self, previous_response_id: str | None, conversation_id: str | None, prompt: Any | None
    ) -> None:
        given = {"previous_response_id": previous_response_id, "conversation_id": conversation_id, "prompt": prompt}
        for name, value in given.items():
            if value is not None:
                raise UserError(
                    f"{name}={value!r} needs a provider that keeps conversations, and the Chat Completions API keeps "
                    "none; use OpenAIResponsesModel, or pass the conversation as input"
                )


async def _read_rest(exchange: Exchange, parser: SSEParser) -> tuple[list[tuple[str, str]], bool]:
    """Return what follows a reply that is whole already, and whether it is the last.

    It is nothing when nothing comes, for whatever reason.
    """
    with anyio.move_on_after(_USAGE_SECONDS):
        try:
            block = await exchange.read()
        except ModelTransportError:
            return [], True
        return (parser.feed(block), False) if block else (parser.close(), True)
    return [], True
