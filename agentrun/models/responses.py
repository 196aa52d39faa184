"""Models behind the OpenAI Responses API, over HTTP and server-sent events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from agentrun._exceptions import ModelBehaviorError
from agentrun._items import ModelResponse
from agentrun._usage import Usage
from agentrun.models._limits import CONNECT_SECONDS
from agentrun.models._openai import EVENT_STREAM, JSON, OpenAIModel, check_is_stream, read_text
from agentrun.models._sse import SSEParser

if TYPE_CHECKING:
    import httpx

    from agentrun._handoff import Handoff
    from agentrun._hosted_tools import Tool
    from agentrun._responses import TResponseInputItem, TResponseStreamEvent
    from agentrun._settings import ModelSettings
    from agentrun.agent_output import AgentOutputSchemaBase
    from agentrun.models._limits import Limits
    from agentrun.models.interface import ModelTracing

__all__ = ["OpenAIResponsesModel"]

_PATH = "/responses"


class OpenAIResponsesModel(OpenAIModel):
    """A model that is called with the Responses API.

    Source: models, "OpenAI models".
    """

    def __init__(
        self,
        model: str,
        openai_client: Any | None = None,
        *,
        model_is_explicit: bool = True,
        base_url: str | None = None,
        api_key: str | None = None,
        http_client: httpx.AsyncClient | None = None,
        limits: Limits | None = None,
        connect_timeout: float | None = CONNECT_SECONDS,
        organization: str | None = None,
        project: str | None = None,
    ) -> None:
        """Take what requests need; nothing is sent.

        Args:
            model: the provider's name of the model.
            openai_client: an `openai.AsyncOpenAI`, or any object with `api_key` and `base_url`, to take these from, and
                what it adds to headers and query of requests. The `http_client` it was made with is used as well.
            model_is_explicit: False when nobody chose the model: a request with a prompt template then names none, so
                that the template's own is used.
            base_url: where the API is, such as `https://api.openai.com/v1`; else OPENAI_BASE_URL, else OpenAI.
            api_key: the key; else that of `set_default_openai_key`, else OPENAI_API_KEY. "" sends none.
            http_client: any async client of the httpx family, which its owner closes; else connections of our own.
            limits: how large a reply may be.
            connect_timeout: seconds that making a connection may take; None for no limit.
            organization: sent as `OpenAI-Organization`; else OPENAI_ORG_ID.
            project: sent as `OpenAI-Project`; else OPENAI_PROJECT_ID.

        Raises:
            UserError: there is no key, or an argument is not what it should be.
        """
        super().__init__(
            model,
            openai_client,
            base_url=base_url,
            api_key=api_key,
            http_client=http_client,
            limits=limits,
            connect_timeout=connect_timeout,
            organization=organization,
            project=project,
        )
        self._model_is_explicit = model_is_explicit

    def _model_for(self, prompt: Any | None) -> str | None:
        return self.model if prompt is None or self._model_is_explicit else None

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
        from agentrun.models import responses_wire  # with the first request

        body = responses_wire.request_body(
            self._model_for(prompt),
            system_instructions,
            input,
            model_settings,
            tools,
            output_schema,
            handoffs,
            previous_response_id=previous_response_id,
            conversation_id=conversation_id,
            prompt=prompt,
            stream=False,
        )
        exchange = await self._post(_PATH, body, model_settings, accept=JSON)
        try:
            text = await read_text(exchange)
        finally:
            await exchange.aclose()
        response, data = responses_wire.read_response(text, self._limits)
        return ModelResponse(
            response.output,
            Usage.from_wire(response.usage),
            response.id or None,
            exchange.request_id,
            data.get("usage") if model_settings.preserve_raw_usage else None,
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
        """Yield the reply as stream events, `response.completed` last. See `Model.stream_response`.

        The reply of `response.completed` has the provider's id of the request as `_request_id`, where there is one.
        A reply that failed or is incomplete is yielded as its own event before the exception is raised.
        """
        from agentrun.models import responses_wire

        body = responses_wire.request_body(
            self._model_for(prompt),
            system_instructions,
            input,
            model_settings,
            tools,
            output_schema,
            handoffs,
            previous_response_id=previous_response_id,
            conversation_id=conversation_id,
            prompt=prompt,
            stream=True,
        )
        exchange = await self._post(_PATH, body, model_settings, accept=EVENT_STREAM)
        try:
            await check_is_stream(exchange, self._limits)
            parser = SSEParser(self._limits)
            stream = responses_wire.ResponsesStream(self._limits, exchange.request_id)
            while True:
                block = await exchange.read()
                events, error = stream.events(parser.feed(block) if block else parser.close())
                if stream.completed:
                    exchange.expect_end()  # before the last event is handed out: its reader need not come back
                for event in events:
                    yield event
                if error is not None:
                    raise error
                if stream.completed:
                    return
                if not block:
                    raise ModelBehaviorError(
                        f"the model's stream ended without terminal event ({exchange.described()}); the reply is cut"
                    )
        finally:
            await exchange.aclose()
