"""The seam to models: one reply, whole or as a stream of Responses-shaped events."""

from __future__ import annotations

import abc
import enum
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentrun._handoff import Handoff
    from agentrun._hosted_tools import Tool
    from agentrun._items import ModelResponse
    from agentrun._responses import TResponseInputItem, TResponseStreamEvent
    from agentrun._retry import ModelRetryAdvice, ModelRetryAdviceRequest
    from agentrun._settings import ModelSettings
    from agentrun.agent_output import AgentOutputSchemaBase

__all__ = ["Model", "ModelProvider", "ModelTracing"]


class ModelTracing(enum.Enum):
    """Whether a model call is traced.

    Source: models interface, `ModelTracing`.
    """

    DISABLED = 0
    """No spans at all."""
    ENABLED = 1
    """Spans with inputs and outputs."""
    ENABLED_WITHOUT_DATA = 2
    """Spans without inputs and outputs."""

    def is_disabled(self) -> bool:
        """Whether no spans are made."""
        return self is ModelTracing.DISABLED

    def include_data(self) -> bool:
        """Whether spans hold inputs and outputs."""
        return self is ModelTracing.ENABLED


class Model(abc.ABC):
    """Something that answers a conversation.

    A model keeps no state of a run: one object serves many runs at once, and many event loops one after another.

    Source: models interface, `Model`.
    """

    @abc.abstractmethod
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
        previous_response_id: str | None,
        conversation_id: str | None,
        prompt: Any | None,
    ) -> ModelResponse:
        """Return one whole reply.

        Args:
            system_instructions: the agent's instructions, or None.
            input: the conversation so far, a text or Responses input items, oldest first. Not to be changed.
            model_settings: the settings in force.
            tools: the tools the model may call, enabled ones only.
            output_schema: what a final answer must look like, or None for text.
            handoffs: the agents the model may hand over to, enabled ones only.
            tracing: whether and how to trace the call.
            previous_response_id: the id of the reply this one continues, where the provider keeps conversations.
            conversation_id: the id of the conversation the provider keeps.
            prompt: a stored prompt template of the provider, or None.

        Raises:
            ModelError: the request failed.
            ModelBehaviorError: the reply is not one a run can act on.

        On cancel the request is ended and its connection closed before the cancellation goes on.
        """

    @abc.abstractmethod
    def stream_response(
        self,
        system_instructions: str | None,
        input: str | list[TResponseInputItem],
        model_settings: ModelSettings,
        tools: list[Tool],
        output_schema: AgentOutputSchemaBase | None,
        handoffs: list[Handoff[Any, Any]],
        tracing: ModelTracing,
        *,
        previous_response_id: str | None,
        conversation_id: str | None,
        prompt: Any | None,
    ) -> AsyncIterator[TResponseStreamEvent]:
        """Return the reply as Responses stream events, the last of them `response.completed` with the whole reply.

        The arguments are those of `get_response`. An implementation is usually an async generator; the run iterates
        and closes it within one task. It must not yield inside a cancel scope or task group of its own.

        Raises:
            ModelError: the request failed; nothing was yielded, or the stream broke.
            ModelBehaviorError: the stream is not one a run can act on.
        """

    async def close(self) -> None:  # noqa: B027 - a model that holds nothing need not say so
        """Release what the model holds for the running event loop. Safe to call twice; does nothing here.

        It raises nothing here.
        """

    def get_retry_advice(self, request: ModelRetryAdviceRequest) -> ModelRetryAdvice | None:
        """Return whether and when the failed `request` may be sent again; None when the model cannot tell."""
        return None


class ModelProvider(abc.ABC):
    """Finds models by name.

    Source: models interface, `ModelProvider`.
    """

    @abc.abstractmethod
    def get_model(self, model_name: str | None) -> Model:
        """Return the model called `model_name`, or the provider's default model for None.

        Raises:
            UserError: the provider knows no such model, or has no key for it.
        """

    async def aclose(self) -> None:  # noqa: B027 - a provider that holds nothing need not say so
        """Release what the provider holds for the running event loop. Safe to call twice; does nothing here.

        It raises nothing here.
        """
