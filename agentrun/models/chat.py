"""Models behind the Chat Completions API, over HTTP and server-sent events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import anyio

from agentrun._exceptions import ModelBehaviorError, ModelTransportError, UserError
from agentrun._items import ModelResponse
from agentrun._logging import log
from agentrun._usage import Usage
from agentrun.models._limits import CONNECT_SECONDS
from agentrun.models._openai import EVENT_STREAM, JSON, OpenAIModel, check_is_stream, read_text
from agentrun.models._sse import SSEParser

if TYPE_CHECKING:
    import httpx

    from agentrun._handoff import Handoff
    from agentrun._hosted_tools import Tool
    from agentrun._http.exchange import Exchange
    from agentrun._responses import TResponseInputItem, TResponseStreamEvent
    from agentrun._settings import ModelSettings
    from agentrun.agent_output import AgentOutputSchemaBase
    from agentrun.models._limits import Limits
    from agentrun.models.interface import ModelTracing
    from agentrun.models.reasoning_content_replay import ShouldReplayReasoningContent

__all__ = ["OpenAIChatCompletionsModel"]

_PATH = "/chat/completions"
_USAGE_SECONDS = 2.0  # from the finish reason to the usage or the end; for servers that linger


class OpenAIChatCompletionsModel(OpenAIModel):
    """A model that is called with the Chat Completions API, which most providers and local servers speak.

    Its replies have the items and events of the Responses API.

    Source: models, "OpenAI models".
    """

    def __init__(
        self,
        model: str,
        openai_client: Any | None = None,
        should_replay_reasoning_content: ShouldReplayReasoningContent | None = None,
        strict_feature_validation: bool = False,
        buffer_streamed_tool_calls: bool = False,
        *,
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
            should_replay_reasoning_content: decides which reasoning of earlier replies goes back to the model; None
                for that of DeepSeek models, and for what the model itself thought in a turn that still goes on.
            strict_feature_validation: whether what this API has no form for is refused. Otherwise a conversation or a
                prompt at the provider, and settings that only the Responses API has, are left out with a warning.
            buffer_streamed_tool_calls: whether calls are shown only when the stream is over, for providers whose
                pieces of calls do not fit together earlier.
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
        self.should_replay_reasoning_content = should_replay_reasoning_content
        self._strict = strict_feature_validation
        self._buffers_calls = buffer_streamed_tool_calls
        self._warned: set[str] = set()

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
        from agentrun.models import chat_wire  # with the first request

        self._check(model_settings, previous_response_id, conversation_id, prompt)
        body = self._body(system_instructions, input, model_settings, tools, output_schema, handoffs, stream=False)
        exchange = await self._post(_PATH, body, model_settings, accept=JSON)
        try:
            text = await read_text(exchange)
        finally:
            await exchange.aclose()
        response, raw_usage = chat_wire.read_completion(
            text, self._limits, exchange.request_id, model=self.model, strict=self._strict
        )
        return ModelResponse(
            response.output,
            Usage.from_wire(response.usage),
            None,  # no reply of this API can be gone on with by its id
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
        from agentrun.models import chat_wire

        self._check(model_settings, previous_response_id, conversation_id, prompt)
        body = self._body(system_instructions, input, model_settings, tools, output_schema, handoffs, stream=True)
        exchange = await self._post(_PATH, body, model_settings, accept=EVENT_STREAM)
        try:
            await check_is_stream(exchange, self._limits)
            parser = SSEParser(self._limits)
            stream = chat_wire.ChatStream(
                self._limits,
                exchange.request_id,
                model=self.model,
                strict=self._strict,
                buffers_calls=self._buffers_calls,
                keeps_usage=bool(model_settings.preserve_raw_usage),
            )
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
        from agentrun.models import chat_request

        target = chat_request.Target(
            self.model,
            self._endpoint.base_url,
            self._endpoint.origin == "https://api.openai.com:443",
            self._strict,
            self.should_replay_reasoning_content,
        )
        return chat_request.request_body(
            target, system_instructions, input, settings, tools, output_schema, handoffs, stream=stream
        )

    def _check(
        self,
        settings: ModelSettings,
        previous_response_id: str | None,
        conversation_id: str | None,
        prompt: Any | None,
    ) -> None:
        """Refuse what only the Responses API has, or say once for each that it is left out."""
        from agentrun.models.responses_wire import reasoning

        found = reasoning(settings) or {}
        given = {
            "previous_response_id": previous_response_id,
            "conversation_id": conversation_id,
            "prompt": prompt,
            "reasoning.mode": found.get("mode"),
            "reasoning.context": found.get("context"),
        }
        for name, value in given.items():
            if value is None:
                continue
            if self._strict:
                raise UserError(
                    f"{name}={value!r} only exists in the Responses API; use OpenAIResponsesModel, and pass a "
                    "conversation as input to this one"
                )
            if name not in self._warned:
                self._warned.add(name)
                log.warning(
                    "%s only exists in the Responses API and is left out of requests to %r; use OpenAIResponsesModel, "
                    "or set strict_feature_validation to get an exception",
                    name,
                    self.model,
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
