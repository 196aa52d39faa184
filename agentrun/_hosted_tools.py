"""Tools that the provider runs, plain declarations that only know how they are written in a request; the union of all.

Nothing here is loaded for a program whose tools are all functions, before its first request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NotRequired, Required, TypeAlias, TypedDict, cast

import attrs

from agentrun._dataclass import Dataclass
from agentrun._function_tool import FunctionTool

if TYPE_CHECKING:
    from agentrun._context import RunContextWrapper
    from agentrun._hosted import McpApprovalRequest
    from agentrun._settings import MaybeAwaitable


def _config_of(kind: str) -> Callable[[object, attrs.Attribute[Any], Any], None]:
    def check(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        name = f"{type(instance).__name__}.{attribute.name}"
        if not isinstance(value, Mapping):
            raise TypeError(f"{name} must be a dict in the provider's own form, got {value!r}")
        given = cast("Mapping[str, Any]", value).get("type", kind)
        if given != kind:
            raise ValueError(f"{name} must have the type {kind!r}, got {given!r}")

    return check


def _given(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


class WebSearchToolImageSettings(TypedDict, total=False):
    """What images a web search brings back.

    Source: tools, "Hosted tools".
    """

    max_results: int
    caption: bool
    """Whether each image comes with a description."""


@attrs.define(eq=False, repr=False)
class WebSearchTool(Dataclass):
    """Lets the model search the web.

    Raises:
        ValueError: `search_context_size` is none of the three.

    Source: tools, "Hosted tools".
    """

    user_location: Mapping[str, Any] | None = None
    """Where results should be near to, in the provider's own form."""
    filters: Mapping[str, Any] | None = None
    """Which domains to search, in the provider's own form."""
    search_context_size: Literal["low", "medium", "high"] = attrs.field(
        default="medium", validator=attrs.validators.in_(("low", "medium", "high"))
    )
    """How much of what was found the model reads."""
    external_web_access: bool | None = None
    """Whether live pages may be fetched; None leaves the provider's default."""
    search_content_types: list[Literal["text", "image"]] | None = None
    """What to search for; None leaves the provider's default."""
    image_settings: WebSearchToolImageSettings | Mapping[str, Any] | None = None
    """How many images to return, and whether with descriptions; other members go to the provider as they are."""

    name: ClassVar[str] = "web_search"

    @property
    def response_include(self) -> list[str]:
        """What a request with this tool must name in its `include`."""
        return ["web_search_call.results"] if "image" in (self.search_content_types or ()) else []

    def to_wire(self) -> dict[str, Any]:
        """Return the tool as a member of a request's `tools`."""
        return {
            "type": "web_search",
            "filters": self.filters,
            "user_location": self.user_location,
            "search_context_size": self.search_context_size,
            **_given(
                external_web_access=self.external_web_access,
                search_content_types=self.search_content_types,
                image_settings=self.image_settings,
            ),
        }


@attrs.define(eq=False, repr=False)
class FileSearchTool(Dataclass):
    """Lets the model search the provider's vector stores.

    Source: tools, "Hosted tools".
    """

    vector_store_ids: list[str]
    """The stores to search."""
    max_num_results: int | None = None
    """The most results, at most 50; None or 0 leaves the provider's default."""
    include_search_results: bool = False
    """Whether the results come back with the call's item."""
    ranking_options: Mapping[str, Any] | None = None
    """How results are ranked, in the provider's own form."""
    filters: Mapping[str, Any] | None = None
    """Which files to search by their attributes, in the provider's own form."""

    name: ClassVar[str] = "file_search"

    @property
    def response_include(self) -> list[str]:
        """What a request with this tool must name in its `include`."""
        return ["file_search_call.results"] if self.include_search_results else []

    def to_wire(self) -> dict[str, Any]:
        """Return the tool as a member of a request's `tools`."""
        return _given(
            type="file_search",
            vector_store_ids=self.vector_store_ids,
            max_num_results=self.max_num_results or None,
            ranking_options=self.ranking_options,
            filters=self.filters,
        )


@attrs.define(eq=False, repr=False)
class CodeInterpreterTool(Dataclass):
    """Lets the model run code in a container of the provider.

    Raises:
        TypeError: `tool_config` is no dict.
        ValueError: its type is another one.

    Source: tools, "Hosted tools".
    """

    tool_config: Mapping[str, Any] = attrs.field(validator=_config_of("code_interpreter"))
    """The tool in the provider's own form, with its `container`."""

    name: ClassVar[str] = "code_interpreter"

    def to_wire(self) -> dict[str, Any]:
        """Return the tool as a member of a request's `tools`."""
        return {"type": "code_interpreter", **self.tool_config}


class ImageGenerationToolConfig(TypedDict, total=False):
    """How images are made; what is left out is the provider's default.

    Source: tools, "Hosted tools".
    """

    type: Required[Literal["image_generation"]]
    action: Literal["generate", "edit", "auto"]
    background: Literal["transparent", "opaque", "auto"]
    input_fidelity: Literal["high", "low"] | None
    """How close an edited image stays to the one given."""
    input_image_mask: Mapping[str, Any]
    """Where to edit: an image, as `image_url` or `file_id`."""
    model: str
    moderation: Literal["auto", "low"]
    output_compression: int
    """0 to 100, per cent."""
    output_format: Literal["png", "webp", "jpeg"]
    partial_images: int
    """How many unfinished images a stream shows on the way, 0 to 3."""
    quality: Literal["low", "medium", "high", "xhigh", "max", "auto"]
    size: str
    """Width and height, as in `1024x1024`, or `auto`."""


@attrs.define(eq=False, repr=False)
class ImageGenerationTool(Dataclass):
    """Lets the model make images.

    Raises:
        TypeError: `tool_config` is no dict.
        ValueError: its type is another one.

    Source: tools, "Hosted tools".
    """

    tool_config: ImageGenerationToolConfig | Mapping[str, Any] = attrs.field(validator=_config_of("image_generation"))
    """The tool in the provider's own form."""

    name: ClassVar[str] = "image_generation"

    def to_wire(self) -> dict[str, Any]:
        """Return the tool as a member of a request's `tools`."""
        return {"type": "image_generation", **self.tool_config}


@attrs.define(eq=False, repr=False)
class MCPToolApprovalRequest(Dataclass):
    """A question of the provider: may this tool of a hosted MCP server run.

    Source: MCP, "Hosted MCP tools".
    """

    ctx_wrapper: RunContextWrapper[Any]
    data: McpApprovalRequest
    """The tool, its arguments and its server."""


class MCPToolApprovalFunctionResult(TypedDict):
    """The answer to an `MCPToolApprovalRequest`.

    Source: MCP, "Hosted MCP tools".
    """

    approve: bool
    reason: NotRequired[str]
    """Why not, for the model."""


MCPToolApprovalFunction: TypeAlias = "Callable[[MCPToolApprovalRequest], MaybeAwaitable[MCPToolApprovalFunctionResult]]"
"""Answers the approval requests of a hosted MCP server."""


@attrs.define(eq=False, repr=False)
class HostedMCPTool(Dataclass):
    """Lets the model use an MCP server that the provider talks to.

    Raises:
        TypeError: `tool_config` is no dict, or `on_approval_request` no function.
        ValueError: its type is another one.

    Source: MCP, "Hosted MCP tools".
    """

    tool_config: Mapping[str, Any] = attrs.field(validator=_config_of("mcp"))
    """The tool in the provider's own form, with its `server_label`."""
    on_approval_request: MCPToolApprovalFunction | None = attrs.field(
        default=None, validator=attrs.validators.optional(attrs.validators.is_callable())
    )
    """Kept, and not called in this version: approval requests of a hosted server are items and events of the run."""

    name: ClassVar[str] = "hosted_mcp"

    def to_wire(self) -> dict[str, Any]:
        """Return the tool as a member of a request's `tools`."""
        return {"type": "mcp", **self.tool_config}


@attrs.define(eq=False, repr=False)
class ToolSearchTool(Dataclass):
    """Lets the model look for tools that are loaded only when found: those with `defer_loading=True`.

    Raises:
        ValueError: `execution` is neither None nor one of the two.

    Source: tools, "Tool search".
    """

    description: str | None = None
    execution: Literal["server", "client"] | None = attrs.field(
        default=None, validator=attrs.validators.in_((None, "server", "client"))
    )
    """Who searches; None leaves it to the provider."""
    parameters: object | None = None
    """The JSON schema of a search that the client runs."""

    name: ClassVar[str] = "tool_search"

    def to_wire(self) -> dict[str, Any]:
        """Return the tool as a member of a request's `tools`."""
        return _given(
            type="tool_search", description=self.description, execution=self.execution, parameters=self.parameters
        )


@attrs.define(eq=False, repr=False)
class ProgrammaticToolCallingTool(Dataclass):
    """Lets the model call tools from programs that the provider runs; see `allowed_callers`.

    Source: tools, "Programmatic tool calling".
    """

    name: ClassVar[str] = "programmatic_tool_calling"

    def to_wire(self) -> dict[str, Any]:
        """Return the tool as a member of a request's `tools`."""
        return {"type": "programmatic_tool_calling"}


HostedTool: TypeAlias = (
    WebSearchTool
    | FileSearchTool
    | CodeInterpreterTool
    | ImageGenerationTool
    | HostedMCPTool
    | ToolSearchTool
    | ProgrammaticToolCallingTool
)
"""A tool that the provider runs."""

Tool: TypeAlias = FunctionTool | HostedTool
"""Whatever may stand in an agent's `tools`."""
