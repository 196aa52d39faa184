"""Models by name: OpenAI's, and those of other providers by a prefix of the name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from agentrun._exceptions import UserError
from agentrun.models._defaults import (
    account,
    default_api,
    get_default_model,
    set_default_openai_api,
    set_default_openai_client,
    set_default_openai_key,
)
from agentrun.models.interface import Model, ModelProvider

if TYPE_CHECKING:
    import httpx

    from agentrun.models._limits import Limits

__all__ = [
    "MultiProvider",
    "MultiProviderMap",
    "OpenAIProvider",
    "get_default_model",
    "set_default_openai_api",
    "set_default_openai_client",
    "set_default_openai_key",
]


class OpenAIProvider(ModelProvider):
    """Finds models of OpenAI, or of any provider that speaks one of its APIs.

    Source: models, "Providers".
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        websocket_base_url: str | None = None,
        openai_client: Any | None = None,
        organization: str | None = None,
        project: str | None = None,
        use_responses: bool | None = None,
        use_responses_websocket: bool | None = None,
        strict_feature_validation: bool = False,
        agent_registration: Any | None = None,
        responses_websocket_options: Any | None = None,
        buffer_streamed_tool_calls: bool = False,
        http_client: httpx.AsyncClient | None = None,
        limits: Limits | None = None,
    ) -> None:
        """Take what models are made with; nothing is sent and no key is looked for yet.

        Args:
            api_key: the key; else that of `set_default_openai_key`, else OPENAI_API_KEY. "" sends none.
            base_url: where the API is; else OPENAI_BASE_URL, else OpenAI.
            websocket_base_url: where the API is over WebSocket; not available yet.
            openai_client: an `openai.AsyncOpenAI`, or any object with `api_key` and `base_url`, in the place of these;
                see `OpenAIResponsesModel`.
            organization: sent as `OpenAI-Organization`.
            project: sent as `OpenAI-Project`.
            use_responses: True for the Responses API, False for Chat Completions, None for `set_default_openai_api`.
            use_responses_websocket: whether to call the Responses API over WebSocket; not available yet.
            strict_feature_validation: see `OpenAIChatCompletionsModel`.
            agent_registration: registers agents with OpenAI's hosted harness; not available yet.
            responses_websocket_options: how such a WebSocket is kept open; not available yet.
            buffer_streamed_tool_calls: see `OpenAIChatCompletionsModel`.
            http_client: any async client of the httpx family, which its owner closes; else connections of our own.
            limits: how large a reply may be.

        Raises:
            UserError: the arguments contradict each other, or ask for what is not available yet.
        """
        beside = (api_key, base_url, websocket_base_url, organization, project)
        if openai_client is not None and any(value is not None for value in beside):
            raise UserError(
                "openai_client brings its own api_key, base_url, websocket_base_url, organization and project; give "
                "either the client or these"
            )
        if websocket_base_url is not None or use_responses_websocket or responses_websocket_options is not None:
            raise UserError(
                "the Responses API over WebSocket is not available yet; leave websocket_base_url, "
                "use_responses_websocket and responses_websocket_options out to use HTTP"
            )
        if agent_registration is not None:
            raise UserError("agents cannot be registered with OpenAI's harness yet; leave agent_registration out")
        self._openai_client = openai_client
        self._base_url = base_url
        self._api_key = api_key
        self._organization = organization
        self._project = project
        self._use_responses = use_responses
        self._strict = strict_feature_validation
        self._buffers_calls = buffer_streamed_tool_calls
        self._http_client = http_client
        self._limits = limits
        self._models: dict[tuple[Any, ...], Model] = {}

    def get_model(self, model_name: str | None) -> Model:
        """Return the model called `model_name`, the default model for None; the same object at every call.

        Raises:
            UserError: there is no key.
        """
        name = model_name if model_name is not None else get_default_model()
        responses = self._use_responses if self._use_responses is not None else default_api() == "responses"
        # Defaults of the process and the environment may change between two calls, so they are part of the key
        found = account(self._openai_client, self._base_url, self._api_key, self._organization, self._project)
        key = (name, responses, model_name is None, found[:4], id(found.client))
        if key not in self._models:
            options: dict[str, Any] = {
                "openai_client": found.client,
                "base_url": found.base_url,
                "api_key": found.api_key,
                "organization": found.organization,
                "project": found.project,
                "http_client": self._http_client,
                "limits": self._limits,
            }
            if responses:
                from agentrun.models.responses import OpenAIResponsesModel

                self._models[key] = OpenAIResponsesModel(name, model_is_explicit=model_name is not None, **options)
            else:
                from agentrun.models.chat import OpenAIChatCompletionsModel

                self._models[key] = OpenAIChatCompletionsModel(
                    name,
                    strict_feature_validation=self._strict,
                    buffer_streamed_tool_calls=self._buffers_calls,
                    **options,
                )
        return self._models[key]

    async def aclose(self) -> None:
        """Close the idle connections that the running event loop holds for these models.

        It raises nothing; on cancel the rest stays open.
        """
        for model in list(self._models.values()):
            await model.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self._base_url!r}, use_responses={self._use_responses!r})"


class MultiProviderMap:
    """Which provider a prefix of a model's name stands for.

    Source: models, `MultiProviderMap`.
    """

    def __init__(self) -> None:
        self._providers: dict[str, ModelProvider] = {}

    def has_prefix(self, prefix: str) -> bool:
        """Return whether `prefix` stands for a provider."""
        return prefix in self._providers

    def get_mapping(self) -> dict[str, ModelProvider]:
        """Return a copy of the whole map."""
        return dict(self._providers)

    def set_mapping(self, mapping: Mapping[str, ModelProvider]) -> None:
        """Replace the whole map."""
        self._providers = dict(mapping)

    def get_provider(self, prefix: str) -> ModelProvider | None:
        """Return the provider that `prefix` stands for, None for none."""
        return self._providers.get(prefix)

    def add_provider(self, prefix: str, provider: ModelProvider) -> None:
        """Let `prefix` stand for `provider`.

        Raises:
            UserError: `prefix` could not be the start of `prefix/name`.
        """
        if not prefix or "/" in prefix:
            raise UserError(f"a model prefix must be a text without '/', as in 'prefix/name', got {prefix!r}")
        self._providers[prefix] = provider

    def remove_provider(self, prefix: str) -> None:
        """Let `prefix` stand for nothing again.

        Raises:
            KeyError: it stood for nothing.
        """
        del self._providers[prefix]


_LATER = {"litellm": "LitellmModel", "any-llm": "AnyLLMModel"}


class MultiProvider(ModelProvider):
    """Finds models by a prefix of their name; a name without one, and the prefix `openai/`, are OpenAI's.

    `provider_map` comes first, so that a program can say itself what a prefix means.

    Source: models, "Mixing models", `MultiProvider`.
    """

    def __init__(
        self,
        *,
        provider_map: MultiProviderMap | None = None,
        openai_api_key: str | None = None,
        openai_base_url: str | None = None,
        openai_client: Any | None = None,
        openai_organization: str | None = None,
        openai_project: str | None = None,
        openai_use_responses: bool | None = None,
        openai_use_responses_websocket: bool | None = None,
        openai_strict_feature_validation: bool = False,
        openai_websocket_base_url: str | None = None,
        openai_prefix_mode: Literal["alias", "model_id"] = "alias",
        unknown_prefix_mode: Literal["error", "model_id"] = "error",
        openai_agent_registration: Any | None = None,
        openai_responses_websocket_options: Any | None = None,
        openai_buffer_streamed_tool_calls: bool = False,
        http_client: httpx.AsyncClient | None = None,
    ) -> None:
        """Take a map of prefixes, and what OpenAI's models are made with.

        Args:
            provider_map: which provider each prefix stands for.
            openai_api_key: this, the others that begin so, and `http_client`: see `OpenAIProvider`.
            openai_base_url: see there.
            openai_client: see there.
            openai_organization: see there.
            openai_project: see there.
            openai_use_responses: see there.
            openai_use_responses_websocket: see there.
            openai_strict_feature_validation: see there.
            openai_websocket_base_url: see there.
            openai_prefix_mode: "alias" takes `openai/` off the name; "model_id" sends the name as it is, as gateways
                want it.
            unknown_prefix_mode: "error" refuses a prefix that stands for nothing; "model_id" sends the name as it is.
            openai_agent_registration: see there.
            openai_responses_websocket_options: see there.
            openai_buffer_streamed_tool_calls: see there.
            http_client: see `OpenAIProvider`.

        Raises:
            UserError: an argument has a value that it cannot have.
        """
        for name, mode, known in (
            ("openai_prefix_mode", openai_prefix_mode, ("alias", "model_id")),
            ("unknown_prefix_mode", unknown_prefix_mode, ("error", "model_id")),
        ):
            if mode not in known:
                raise UserError(f"{name} must be one of {', '.join(map(repr, known))}, got {mode!r}")
        self.provider_map = provider_map
        self.openai_provider: OpenAIProvider = OpenAIProvider(
            api_key=openai_api_key,
            base_url=openai_base_url,
            websocket_base_url=openai_websocket_base_url,
            openai_client=openai_client,
            organization=openai_organization,
            project=openai_project,
            use_responses=openai_use_responses,
            use_responses_websocket=openai_use_responses_websocket,
            strict_feature_validation=openai_strict_feature_validation,
            agent_registration=openai_agent_registration,
            responses_websocket_options=openai_responses_websocket_options,
            buffer_streamed_tool_calls=openai_buffer_streamed_tool_calls,
            http_client=http_client,
        )
        self._openai_prefix_mode = openai_prefix_mode
        self._unknown_prefix_mode = unknown_prefix_mode

    def __repr__(self) -> str:
        prefixes = [] if self.provider_map is None else sorted(self.provider_map.get_mapping())
        return f"{type(self).__name__}(prefixes={['openai', *prefixes]!r})"

    def get_model(self, model_name: str | None) -> Model:
        """Return the model called `model_name`, OpenAI's default model for None.

        Raises:
            UserError: the prefix stands for nothing, or there is no key for the provider.
        """
        prefix, slash, name = (model_name or "").partition("/")
        if not slash:
            return self.openai_provider.get_model(model_name)
        found = self.provider_map.get_provider(prefix) if self.provider_map is not None else None
        if found is not None:
            return found.get_model(name)
        if prefix == "openai":
            return self.openai_provider.get_model(name if self._openai_prefix_mode == "alias" else model_name)
        if prefix in _LATER:
            raise UserError(
                f"the prefix {prefix + '/'!r} of model {model_name!r} stands for {_LATER[prefix]}, which is not "
                "available yet; call the provider with OpenAIChatCompletionsModel(name, base_url=..., api_key=...)"
            )
        if self._unknown_prefix_mode == "model_id":
            return self.openai_provider.get_model(model_name)
        known = sorted({"openai", *(self.provider_map.get_mapping() if self.provider_map is not None else ())})
        raise UserError(
            f"the prefix {prefix + '/'!r} of model {model_name!r} stands for no provider; known are "
            f"{', '.join(known)}. "
            'add it to a MultiProviderMap, or set unknown_prefix_mode="model_id" to send the name as it is'
        )

    async def aclose(self) -> None:
        """Close what the providers hold for the running event loop, OpenAI's and each of the map's, once.

        Raises:
            Exception: the first that one of them raised, after all were asked.
        """
        mapped = self.provider_map.get_mapping().values() if self.provider_map is not None else ()
        providers = {id(provider): provider for provider in (self.openai_provider, *mapped) if provider is not self}
        errors: list[Exception] = []
        for provider in providers.values():
            try:
                await provider.aclose()
            except Exception as exc:  # noqa: BLE001 - one that cannot be closed must not keep the others open
                errors.append(exc)
        if errors:
            raise errors[0]
