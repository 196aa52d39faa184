"""What the two models of the OpenAI APIs have in common: where they send to, and how a reply is read."""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any, Self

from agentrun._exceptions import ModelBehaviorError, UserError
from agentrun.models._defaults import account, client_options
from agentrun.models._json import quoted
from agentrun.models._limits import CONNECT_SECONDS, Limits
from agentrun.models.interface import Model

if TYPE_CHECKING:
    import httpx

    from agentrun._http.exchange import Exchange
    from agentrun._retry import ModelRetryAdvice, ModelRetryAdviceRequest
    from agentrun._settings import ModelSettings

__all__ = ["OpenAIModel", "check_is_stream", "read_text"]

EVENT_STREAM = "text/event-stream"
JSON = "application/json"


class OpenAIModel(Model):
    """A model behind one of the OpenAI APIs, at OpenAI or at any provider that speaks it.

    It holds no connection: those belong to the event loop that uses them, so one model serves many loops.
    """

    def __init__(
        self,
        model: str,
        openai_client: Any | None = None,
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
        if not model or not isinstance(model, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise UserError(f"model must be the name of a model, got {model!r}")
        from agentrun._http.endpoint import Endpoint  # with the first model: h11 is not needed before

        found = account(openai_client, base_url, api_key, organization, project)
        of_client = client_options(found.client)
        headers = {"openai-organization": found.organization, "openai-project": found.project, **of_client.headers}
        self.model = model
        self._query = of_client.query
        self._limits = limits if limits is not None else Limits()
        self._endpoint = Endpoint(
            found.base_url,
            found.api_key,
            self._limits,
            http_client if http_client is not None else of_client.http_client,
            connect_timeout,
            {name: value for name, value in headers.items() if isinstance(value, str)},
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}(model={self.model!r}, base_url={self._endpoint.base_url!r})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # An agent may be copied deeply, and neither connections nor the caller's client can be.
        return copy.copy(self)

    async def close(self) -> None:
        """Close the idle connections that the running event loop holds to the provider; a user's client stays open."""
        await self._endpoint.close()

    def get_retry_advice(self, request: ModelRetryAdviceRequest) -> ModelRetryAdvice | None:
        """Return whether and when the failed `request` may be sent again; None for what is no failure of HTTP."""
        from agentrun.models._advice import retry_advice  # only failures need it

        return retry_advice(request)

    async def _post(self, path: str, body: bytes, settings: ModelSettings, *, accept: str) -> Exchange:
        query = settings.extra_query
        if self._query:
            query = {**self._query, **(query or {})}
        return await self._endpoint.post(path, body, accept=accept, query=query, headers=settings.extra_headers)


async def check_is_stream(exchange: Exchange, limits: Limits) -> None:
    """Refuse a reply that says itself that it is no event stream.

    Many servers name no media type or a wrong one, so only what cannot be one is refused; a stream without events is
    found out at its end.

    Raises:
        ModelBehaviorError: it has no body, or its body is JSON or HTML.
    """
    media_type = exchange.media_type
    if exchange.status != 204 and media_type not in (JSON, "text/html"):
        return
    body = await exchange.read_some(limits.error_body_bytes, 5.0)
    raise ModelBehaviorError(
        f"the model answered with {exchange.described()} where an event stream was asked for"
        + (f": {quoted(body.decode('utf-8', 'replace'))}" if body else "")
    )


async def read_text(exchange: Exchange) -> str:
    """Return the body of a reply that is not streamed.

    Raises:
        ModelBehaviorError: it is empty, HTML, an event stream, or no UTF-8.
        ModelError: it could not be read, or is too large.
    """
    body = await exchange.read_all()
    is_html = re.match(rb"\s*<(!doctype|html|head|body)", body, re.IGNORECASE)
    if not body.strip() or exchange.media_type in (EVENT_STREAM, "text/html") or is_html:
        raise ModelBehaviorError(
            f"the model answered with {exchange.described()} where JSON was asked for: "
            + (quoted(body[:400].decode("utf-8", "replace")) if body else "no body")
        )
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise ModelBehaviorError(f"the model's reply ({exchange.described()}) is no UTF-8: {exc.reason}") from exc
