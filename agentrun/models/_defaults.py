"""What a program sets once for all OpenAI models, and what the environment says otherwise."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, cast

from agentrun._exceptions import UserError
from agentrun._settings import ModelSettings, Reasoning

__all__ = [
    "Account",
    "ClientOptions",
    "account",
    "client_options",
    "default_api",
    "default_client",
    "default_key",
    "default_tracing_key",
    "get_default_model",
    "get_default_model_settings",
    "gpt_5_reasoning_settings_required",
    "is_gpt_5_default",
    "set_default_openai_api",
    "set_default_openai_client",
    "set_default_openai_key",
    "settings_for",
    "settings_under",
]

DEFAULT_BASE_URL = "https://api.openai.com/v1"
_DEFAULT_MODEL = "gpt-5.6-luna"

OpenAIApi = Literal["responses", "chat_completions"]

_key: str | None = None
_client: Any | None = None
_tracing_key: str | None = None
_api: OpenAIApi = "responses"


def set_default_openai_key(key: str, use_for_tracing: bool = True) -> None:
    """Use `key` for OpenAI models made from now on, in the place of OPENAI_API_KEY.

    Args:
        key: the API key.
        use_for_tracing: whether traces are sent with it as well.

    Raises:
        UserError: it is no str.

    Source: configuration, "API keys and clients".
    """
    global _key, _tracing_key  # noqa: PLW0603 - the documented function sets a default of the process
    if not isinstance(key, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise UserError(f"the default OpenAI key must be a string, got {type(key).__name__}")
    _key = key
    if use_for_tracing:
        _tracing_key = key


def set_default_openai_client(client: Any, use_for_tracing: bool = True) -> None:
    """Take key, base URL, organization and project of OpenAI models made from now on from `client`.

    Args:
        client: an `openai.AsyncOpenAI`, or any object with `api_key` and `base_url`.
        use_for_tracing: whether traces are sent with its key as well.

    Raises:
        UserError: it has no `api_key`.

    Source: configuration, "API keys and clients".
    """
    global _client, _tracing_key  # noqa: PLW0603
    if not hasattr(client, "api_key"):
        raise UserError(
            f"the default OpenAI client must be an AsyncOpenAI, or have its api_key and base_url, got {client!r}; for "
            "a key alone call set_default_openai_key"
        )
    _client = client
    key = client.api_key
    if use_for_tracing and isinstance(key, str):
        _tracing_key = key


def set_default_openai_api(api: OpenAIApi) -> None:
    """Choose the API that models found by name are called with.

    Raises:
        UserError: it is neither "responses" nor "chat_completions".

    Source: configuration, "API keys and clients".
    """
    global _api  # noqa: PLW0603
    if api not in ("responses", "chat_completions"):
        raise UserError(f'the default OpenAI API must be "responses" or "chat_completions", got {api!r}')
    _api = api


def default_api() -> OpenAIApi:
    """Return the API that models found by name are called with."""
    return _api


def default_client() -> Any | None:
    """Return what `set_default_openai_client` was given."""
    return _client


def default_key() -> str | None:
    """Return what `set_default_openai_key` was given."""
    return _key


def default_tracing_key() -> str | None:
    """Return the key that traces are sent with, None where none was set for them."""
    return _tracing_key


def get_default_model() -> str:
    """Return the model of an agent that names none: OPENAI_DEFAULT_MODEL in lower case, or a constant.

    Source: models, "Default model".
    """
    return os.environ.get("OPENAI_DEFAULT_MODEL", "").strip().lower() or _DEFAULT_MODEL


_EFFORTS: dict[str, Literal["none", "low", "medium"]] = {
    "gpt-5": "low",
    "gpt-5.2-codex": "low",
    "gpt-5.2-pro": "medium",
    "gpt-5.4-pro": "medium",
    **dict.fromkeys(("gpt-5.1", "gpt-5.2", "gpt-5.3-codex", "gpt-5.4", "gpt-5.4-mini", "gpt-5.4-nano"), "none"),
    **dict.fromkeys(("gpt-5.5", "gpt-5.6", "gpt-5.6-luna", "gpt-5.6-sol", "gpt-5.6-terra"), "none"),
}
"""The least effort of reasoning that each model takes and works well with; the others keep the provider's default."""


def gpt_5_reasoning_settings_required(model_name: str) -> bool:
    """Return whether `model_name` is one of OpenAI's GPT-5 models that reason; it raises nothing.

    Source: models, "GPT-5 models".
    """
    return model_name.startswith("gpt-5") and re.match(r"gpt-5(\.[1-3])?-chat(-|$)", model_name) is None


def is_gpt_5_default() -> bool:
    """Return whether the model of an agent that names none is such a model; it raises nothing.

    Source: models, "GPT-5 models".
    """
    return gpt_5_reasoning_settings_required(get_default_model())


def get_default_model_settings(model: str | None = None) -> ModelSettings:
    """Return the settings of an agent that names none: for GPT-5 models short answers and little reasoning.

    Args:
        model: the name of a model; None is that of `get_default_model`.

    Returns:
        Settings of their own, which may be changed; it raises nothing.

    Source: models, "GPT-5 models".
    """
    name = get_default_model() if model is None else model
    if not gpt_5_reasoning_settings_required(name):
        return ModelSettings()
    effort = _EFFORTS.get(re.sub(r"-\d{4}-\d{2}-\d{2}$", "", name))
    return ModelSettings(reasoning=None if effort is None else Reasoning(effort=effort), verbosity="low")


def settings_for(model: object = None) -> ModelSettings:
    """Return the settings of an agent with this model that names none: only OpenAI's models by name have their own."""
    return get_default_model_settings(model) if model is None or isinstance(model, str) else ModelSettings()


def settings_under(settings: ModelSettings, own: object, model: object) -> ModelSettings:
    """Return `settings` of an agent with the model `own` in a run that names `model`: those nobody chose follow it."""
    return settings if model is None or settings != settings_for(own) else settings_for(model)


class Account(NamedTuple):
    """Where requests go and on whose behalf."""

    base_url: str
    api_key: str
    organization: str | None
    project: str | None
    client: Any | None = None
    """The client of the openai library that some of it came from."""


class ClientOptions(NamedTuple):
    """What a client of the openai library adds to requests."""

    headers: dict[str, str]
    query: dict[str, Any]
    http_client: Any | None
    """The client of the httpx family that its maker gave it."""


_OWN_HEADERS = frozenset(
    {"accept", "authorization", "content-type", "openai-organization", "openai-project", "user-agent"}
)


def client_options(client: Any | None) -> ClientOptions:
    """Return what `client` was made to add to requests; nothing for None, and for clients that are made otherwise."""
    found, query = getattr(client, "default_headers", None), getattr(client, "default_query", None)
    headers: dict[str, str] = {}
    if isinstance(found, Mapping):
        for name, value in cast("Mapping[str, object]", found).items():
            lower = name.lower()
            if isinstance(value, str) and lower not in _OWN_HEADERS and not lower.startswith("x-stainless"):
                headers[lower] = value
    # The library keeps what it was given as http_client under this name only, and makes a wrapper where it got none
    http_client = getattr(client, "_client", None)
    kinds = {cls.__name__ for cls in type(http_client).__mro__}
    if "AsyncClient" not in kinds or "AsyncHttpxClientWrapper" in kinds:
        http_client = None
    given = dict(cast("Mapping[str, Any]", query)) if isinstance(query, Mapping) else {}
    return ClientOptions(headers, given, http_client)


def account(
    client: Any | None,
    base_url: str | None,
    api_key: str | None,
    organization: str | None = None,
    project: str | None = None,
) -> Account:
    """Return where to send requests and on whose behalf.

    Each part comes from the first that names it: arguments, client, defaults of the process, environment.

    Raises:
        UserError: there is no key anywhere.
    """
    if client is None and api_key is None and base_url is None and organization is None and project is None:
        client = _client
    found_url, found_key = getattr(client, "base_url", None), getattr(client, "api_key", None)
    if client is not None and found_url is None and found_key is None:
        raise UserError(
            f"openai_client must have the attributes api_key and base_url, as openai.AsyncOpenAI has, got "
            f"{type(client).__name__}; give an HTTP client as http_client"
        )
    key = api_key if api_key is not None else found_key
    if key is None:
        key = _key if _key is not None else os.environ.get("OPENAI_API_KEY")
    if key is None:
        raise UserError(
            "there is no API key: set the environment variable OPENAI_API_KEY, call set_default_openai_key(), or give "
            'api_key= (api_key="" for a server that wants none)'
        )
    if not isinstance(key, str):
        raise UserError(f"api_key must be a string, got {type(key).__name__}")
    url = base_url or (str(found_url) if found_url else None) or os.environ.get("OPENAI_BASE_URL") or DEFAULT_BASE_URL
    return Account(
        url,
        key,
        organization or getattr(client, "organization", None) or os.environ.get("OPENAI_ORG_ID"),
        project or getattr(client, "project", None) or os.environ.get("OPENAI_PROJECT_ID"),
        client,
    )
