"""Models by name, keys and defaults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import httpx2
import pytest

from agentrun._exceptions import UserError
from agentrun._settings import ModelSettings
from agentrun.models import _defaults
from agentrun.models._limits import Limits
from agentrun.models.chat import OpenAIChatCompletionsModel
from agentrun.models.interface import ModelProvider, ModelTracing
from agentrun.models.providers import (
    MultiProvider,
    MultiProviderMap,
    OpenAIProvider,
    get_default_model,
    set_default_openai_api,
    set_default_openai_client,
    set_default_openai_key,
)
from agentrun.models.responses import OpenAIResponsesModel


@pytest.fixture(autouse=True)
def process_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the defaults of the process back after each test."""
    for name in ("_key", "_client", "_api", "_tracing_key"):
        monkeypatch.setattr(_defaults, name, getattr(_defaults, name))


def sent_to(model: Any) -> tuple[str, str]:
    endpoint = model._endpoint
    return endpoint.base_url, endpoint.api_key


def test_a_missing_key_is_reported_when_the_model_is_made() -> None:
    makers: list[Callable[[], object]] = [
        lambda: OpenAIResponsesModel("m"),
        lambda: OpenAIChatCompletionsModel("m", base_url="http://localhost:1/v1"),
        lambda: OpenAIProvider().get_model("m"),
        lambda: MultiProvider().get_model(None),
    ]
    for make in makers:
        with pytest.raises(UserError, match="set the environment variable OPENAI_API_KEY"):
            make()


def test_the_key_comes_from_the_first_place_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "from-env")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://env/v1/")
    assert sent_to(OpenAIResponsesModel("m")) == ("http://env/v1", "from-env")
    set_default_openai_key("from-default")
    assert sent_to(OpenAIResponsesModel("m")) == ("http://env/v1", "from-default")
    assert sent_to(OpenAIResponsesModel("m", base_url="http://x", api_key="")) == ("http://x", "")
    monkeypatch.delenv("OPENAI_BASE_URL")
    assert sent_to(OpenAIResponsesModel("m", api_key="k")) == ("https://api.openai.com/v1", "k")


def test_a_key_may_be_kept_from_traces() -> None:
    set_default_openai_key("for-models", use_for_tracing=False)
    assert (_defaults.default_key(), _defaults.default_tracing_key()) == ("for-models", None)
    set_default_openai_client(Client())
    assert _defaults.default_tracing_key() == "from-client"


class Client:
    api_key = "from-client"
    base_url = httpx.URL("http://client/v1/")
    organization = "org"
    project = None


def test_a_client_of_the_openai_package_brings_key_and_url() -> None:
    model = OpenAIChatCompletionsModel("m", Client())
    assert sent_to(model) == ("http://client/v1", "from-client")
    set_default_openai_client(Client())
    assert sent_to(OpenAIProvider().get_model("m")) == ("http://client/v1", "from-client")
    assert sent_to(OpenAIResponsesModel("m")) == ("http://client/v1", "from-client")
    with pytest.raises(UserError, match="give either the client or these"):
        OpenAIProvider(openai_client=Client(), api_key="k")
    with pytest.raises(UserError, match="give an HTTP client as http_client"):
        OpenAIResponsesModel("m", object())


@pytest.mark.parametrize("key", ["sk\nb", "sk-x ", " sk-y", "sk-é"])
def test_a_key_that_no_header_may_hold_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(UserError, match="api_key has a character") as caught:
        OpenAIResponsesModel("m", base_url="http://x", api_key=key)
    assert "sk" not in str(caught.value)


@pytest.mark.parametrize("url", ["ftp://x", "x/v1", "http://", "http://[", "http://u:p@x/v1", "http://x:99999"])
def test_a_base_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UserError, match="base_url") as caught:
        OpenAIResponsesModel("m", base_url=url, api_key="k")
    assert "u:p" not in str(caught.value)


@pytest.mark.parametrize("name", ["", None, 7])
def test_a_model_needs_a_name(name: Any) -> None:
    with pytest.raises(UserError, match="model must be the name of a model"):
        OpenAIResponsesModel(name, base_url="http://x", api_key="k")


def test_limits_are_whole_numbers_from_one_up() -> None:
    with pytest.raises(ValueError, match=r"Limits\.event_bytes must be a whole number of at least 1, got 0"):
        Limits(event_bytes=0)


def test_a_provider_gives_one_model_per_name_by_the_chosen_api() -> None:
    provider = OpenAIProvider(api_key="k", base_url="http://x")
    assert provider.get_model("a") is provider.get_model("a")
    assert isinstance(provider.get_model("a"), OpenAIResponsesModel)
    set_default_openai_api("chat_completions")
    assert isinstance(provider.get_model("a"), OpenAIChatCompletionsModel)
    assert isinstance(OpenAIProvider(api_key="k", use_responses=True).get_model("a"), OpenAIResponsesModel)
    with pytest.raises(UserError, match="got 'soap'"):
        set_default_openai_api("soap")  # type: ignore[arg-type]


def test_the_default_model_can_be_named_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert get_default_model()
    monkeypatch.setenv("OPENAI_DEFAULT_MODEL", "GPT-X")
    model: Any = OpenAIProvider(api_key="k").get_model(None)
    assert model.model == "gpt-x"


def test_websockets_are_refused_until_there_are_some() -> None:
    with pytest.raises(UserError, match="not available yet"):
        OpenAIProvider(api_key="k", use_responses_websocket=True)
    with pytest.raises(UserError, match="not available yet"):
        MultiProvider(openai_api_key="k", openai_websocket_base_url="ws://x")


class Named(ModelProvider):
    def __init__(self) -> None:
        self.asked: list[str | None] = []
        self.closed = 0

    def get_model(self, model_name: str | None) -> Any:
        self.asked.append(model_name)
        return OpenAIResponsesModel(model_name or "default", base_url="http://named", api_key="")

    async def aclose(self) -> None:
        self.closed += 1


async def test_a_prefix_chooses_the_provider() -> None:
    named, known = Named(), MultiProviderMap()
    known.add_provider("mine", named)
    provider = MultiProvider(provider_map=known, openai_api_key="k", openai_base_url="http://x")
    mine: Any = provider.get_model("mine/org/name")
    openai: Any = provider.get_model("openai/gpt")
    bare: Any = provider.get_model("gpt")
    assert (mine.model, openai.model, bare.model) == ("org/name", "gpt", "gpt")
    assert openai is bare
    assert named.asked == ["org/name"]
    assert known.has_prefix("mine")
    assert known.get_mapping() == {"mine": named}
    await provider.aclose()
    assert named.closed == 1
    known.remove_provider("mine")
    with pytest.raises(UserError, match="'mine/' of model 'mine/a' stands for no provider; known are openai"):
        provider.get_model("mine/a")
    known.set_mapping({"openai": named})
    provider.get_model("openai/gpt")
    assert named.asked[-1] == "gpt"


@pytest.mark.parametrize("name", ["litellm/anthropic/claude", "any-llm/x/y"])
def test_prefixes_of_later_models_say_so(name: str) -> None:
    with pytest.raises(UserError, match="not available yet"):
        MultiProvider(openai_api_key="k").get_model(name)


def test_names_with_slashes_can_be_sent_as_they_are() -> None:
    provider = MultiProvider(openai_api_key="k", openai_prefix_mode="model_id", unknown_prefix_mode="model_id")
    models: list[Any] = [provider.get_model("openai/gpt"), provider.get_model("meta/llama")]
    assert [model.model for model in models] == ["openai/gpt", "meta/llama"]
    with pytest.raises(UserError, match="unknown_prefix_mode must be one of 'error', 'model_id', got 'x'"):
        MultiProvider(openai_api_key="k", unknown_prefix_mode="x")  # type: ignore[arg-type]


@pytest.mark.parametrize("prefix", ["", "a/b"])
def test_a_prefix_cannot_hold_a_slash(prefix: str) -> None:
    with pytest.raises(UserError, match="a model prefix must be"):
        MultiProviderMap().add_provider(prefix, Named())


def test_no_key_stands_in_any_repr() -> None:
    key = "sk-very-secret"
    provider = OpenAIProvider(api_key=key, base_url="http://x")
    model: Any = provider.get_model("m")
    for shown in (model, model._endpoint, provider, MultiProvider(openai_api_key=key), model._limits):
        assert key not in repr(shown)


def test_options_of_chat_models_go_through_the_providers() -> None:
    provider = MultiProvider(
        openai_api_key="k",
        openai_use_responses=False,
        openai_strict_feature_validation=True,
        openai_buffer_streamed_tool_calls=True,
    )
    model = provider.get_model("gpt-4.1")
    assert isinstance(model, OpenAIChatCompletionsModel)
    assert (model._strict, model._buffers_calls) == (True, True)


@pytest.mark.parametrize("option", ["agent_registration", "responses_websocket_options"])
def test_what_is_not_available_yet_is_refused(option: str) -> None:
    given: Any = {option: object()}
    with pytest.raises(UserError, match=rf"yet; leave .*{option}"):
        OpenAIProvider(api_key="k", **given)
    given = {f"openai_{option}": object()}
    with pytest.raises(UserError, match=rf"yet; leave .*{option}"):
        MultiProvider(openai_api_key="k", **given)


def test_a_model_that_nobody_chose_is_left_to_the_prompt_template() -> None:
    provider = OpenAIProvider(api_key="k")
    chosen, left = provider.get_model("gpt-4.1"), provider.get_model(None)
    assert isinstance(chosen, OpenAIResponsesModel)
    assert isinstance(left, OpenAIResponsesModel)
    template = {"id": "pmpt_1"}
    assert (chosen._model_for(template), left._model_for(template)) == ("gpt-4.1", None)
    assert left._model_for(None) == get_default_model()


def test_a_key_is_no_client() -> None:
    with pytest.raises(UserError, match=r"got 'sk-1'; for a key alone call set_default_openai_key"):
        set_default_openai_client("sk-1")


async def test_every_provider_is_closed_once_also_after_one_that_fails() -> None:
    class Broken(Named):
        async def aclose(self) -> None:
            await super().aclose()
            raise RuntimeError("cannot close")

    broken, other, known = Broken(), Named(), MultiProviderMap()
    provider = MultiProvider(provider_map=known, openai_api_key="k")
    known.set_mapping({"a": broken, "b": other, "c": other, "self": provider})
    with pytest.raises(RuntimeError, match="cannot close"):
        await provider.aclose()
    assert (broken.closed, other.closed) == (1, 1)


def test_a_prefix_of_a_later_model_is_never_sent_as_a_name() -> None:
    with pytest.raises(UserError, match="not available yet"):
        MultiProvider(openai_api_key="k", unknown_prefix_mode="model_id").get_model("litellm/x")


class LibraryClient:
    """Made like a client of the openai library."""

    def __init__(self, http_client: Any = None) -> None:
        self.api_key = "k"
        self.base_url = "http://host.example/v1/"
        self.default_headers = {"Accept": "*/*", "User-Agent": "x", "X-Stainless-OS": "x", "HTTP-Referer": "me", "N": 1}
        self.default_query = {"api-version": "1", "q": "client"}
        self._client = http_client


@pytest.mark.parametrize("argument", ["organization", "project", "base_url", "api_key"])
def test_a_client_brings_all_that_is_its_own(argument: str) -> None:
    with pytest.raises(UserError, match="brings its own"):
        OpenAIProvider(openai_client=LibraryClient(), **{argument: "x"})


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
async def test_requests_have_what_a_client_of_the_openai_library_adds(library: Any) -> None:
    asked: list[Any] = []

    def answer(request: Any) -> Any:
        asked.append(request)
        return library.Response(200, json={"id": "r", "object": "response", "status": "completed", "output": []})

    async with library.AsyncClient(transport=library.MockTransport(answer)) as http_client:
        client = LibraryClient(http_client)
        provider = OpenAIProvider(openai_client=client)
        settings = ModelSettings(extra_query={"q": "settings"})
        for model in (provider.get_model("m"), OpenAIResponsesModel("m", client)):
            await model.get_response(None, "hi", settings, [], None, [], ModelTracing.DISABLED)
    assert [dict(request.url.params) for request in asked] == [{"api-version": "1", "q": "settings"}] * 2
    for request in asked:
        assert (request.headers["http-referer"], request.headers["user-agent"]) == ("me", "agentrun")
        assert not {"n", "x-stainless-os"} & set(request.headers)


def test_the_connections_that_the_openai_library_makes_for_itself_are_not_used() -> None:
    class AsyncHttpxClientWrapper(httpx2.AsyncClient):
        pass

    model = OpenAIResponsesModel("m", LibraryClient(AsyncHttpxClientWrapper()))
    assert model._endpoint.client is None
