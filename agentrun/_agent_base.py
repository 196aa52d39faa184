"""What every kind of agent has, and the checks of its fields."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypedDict, cast

import attrs
from typing_extensions import TypeIs

from agentrun._context import TContext
from agentrun._dataclass import Dataclass
from agentrun._exceptions import UserError
from agentrun._tool import enabled_tools

if TYPE_CHECKING:
    from agentrun._context import RunContextWrapper
    from agentrun._hosted_tools import Tool

__all__ = ["AgentBase", "Check", "MCPConfig", "check_is", "check_list_of", "refuse"]


class MCPConfig(TypedDict, total=False):
    """How an agent uses its MCP servers.

    Source: MCP, `MCPConfig`.
    """

    convert_schemas_to_strict: bool
    """Try to make the tools' schemas strict; a schema that cannot be stays as it is."""
    failure_error_function: Any
    """Words a failed call for the model; None raises."""
    include_server_in_tool_names: bool
    """Put the server's name before the names of its tools."""


Check: TypeAlias = "Callable[[Any, attrs.Attribute[Any], Any], None]"

_SHOWN = 300
"""An error shows this much of a wrong value."""


def refuse(agent: Any, field: str, value: Any, expected: str, remedy: str = "") -> TypeError:
    """Return the error for one wrong value of one field."""
    name = getattr(agent, "name", None)
    who = f"agent {name!r}" if isinstance(name, str) else "agent"
    given = repr(value)
    shown = given if len(given) <= _SHOWN else f"{given[:_SHOWN]}..."
    return TypeError(f"{who}: {field} is {shown}, expected {expected}{remedy and '; ' + remedy}")


def check_is(expected: type | tuple[type, ...], what: str, remedy: str = "") -> Check:
    def check(agent: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if not isinstance(value, expected):
            raise refuse(agent, attribute.name, value, what, remedy)

    return check


def _check_name(agent: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, str):
        raise TypeError(f"agent: name is {value!r}, expected a str; pass the agent's name first, as in Agent('helper')")


def _is_list(value: Any) -> TypeIs[list[Any]]:
    return isinstance(value, list)


def check_list_of(check_one: Callable[[Any, str, Any], None]) -> Check:
    def check(agent: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if not _is_list(value):
            raise refuse(agent, attribute.name, value, "a list", "put the values into [...]")
        for index, one in enumerate(value):
            check_one(agent, f"{attribute.name}[{index}]", one)

    return check


def _check_tool(agent: Any, place: str, value: Any) -> None:
    from agentrun._function_tool import FunctionTool

    if isinstance(value, FunctionTool):
        return
    from agentrun._hosted_tools import HostedTool

    if isinstance(value, HostedTool):
        return
    if isinstance(value, AgentBase):
        remedy = "use agent.as_tool(...), or put the agent into handoffs"
    elif inspect.isclass(value):
        remedy = f"make an object of the class: {value.__name__}(...)"
    elif hasattr(value, "on_invoke_handoff"):
        remedy = "put the handoff into handoffs"
    else:
        remedy = "decorate the function with @function_tool" if callable(value) else "make a tool with @function_tool"
    raise refuse(agent, place, value, "a tool", remedy)


def _check_anything(agent: Any, place: str, value: Any) -> None:
    """Accept: MCP servers are told apart by their methods, when they are used."""


def _new_tools() -> list[Tool]:
    return []


def _new_servers() -> list[ToolServer]:
    return []


class ToolServer(Protocol):
    """What an agent needs of an MCP server: a name and tools."""

    @property
    def name(self) -> str:
        """The name that errors and logs use."""
        ...

    async def list_tools(self, run_context: Any = ..., agent: Any = ...) -> list[Any]:
        """Return the tools that the server offers now."""
        ...

    async def call_tool(
        self, tool_name: str, arguments: dict[str, Any] | None, meta: dict[str, Any] | None = ...
    ) -> Any:
        """Return what the server's tool returned."""
        ...


class _ServerSupport(Protocol):
    """What `agentrun.mcp` offers to agents; it loads with the first server that is used."""

    async def server_tools(self, agent: AgentBase[Any], run_context: RunContextWrapper[Any]) -> list[Tool]: ...


@attrs.define(eq=False, repr=False)
class AgentBase(Dataclass, Generic[TContext]):
    """What every kind of agent has: a name, and tools.

    Raises:
        TypeError: a field holds a value of the wrong type.

    Source: agents, `AgentBase`.
    """

    name: str = attrs.field(validator=_check_name)
    handoff_description: str | None = attrs.field(
        default=None, validator=check_is((str, type(None)), "a str or None", "describe in words what the agent is for")
    )
    """What the agent is for, in the words that other agents' models read."""
    tools: list[Tool] = attrs.field(factory=_new_tools, validator=check_list_of(_check_tool))
    mcp_servers: list[ToolServer] = attrs.field(factory=_new_servers, validator=check_list_of(_check_anything))
    """Servers that bring further tools; the caller connects and closes them."""
    mcp_config: MCPConfig = attrs.field(
        factory=MCPConfig, validator=check_is(dict, "a dict", "leave it out for the defaults")
    )

    def __repr__(self) -> str:
        """Return the kind and the name: agents hold each other, so everything would be endless."""
        return f"{type(self).__name__}(name={self.name!r})"

    async def get_mcp_tools(self, run_context: RunContextWrapper[TContext]) -> list[Tool]:
        """Return the tools that the agent's MCP servers offer now, in the servers' order.

        Raises:
            UserError: two servers have a tool of the same name, a server is not connected, or there is no support for
                MCP in this version.
        """
        if not self.mcp_servers:
            return []
        from importlib.util import find_spec

        if find_spec("agentrun.mcp") is None:
            raise UserError(
                f"agent {self.name!r} has {len(self.mcp_servers)} MCP servers, but this version of agentrun can "
                "use none; give mcp_servers=[] and bring the tools as function tools"
            )
        support = cast("_ServerSupport", import_module("agentrun.mcp"))
        return await support.server_tools(self, run_context)

    async def get_all_tools(self, run_context: RunContextWrapper[TContext]) -> list[Tool]:
        """Return the tools the model may see now: those of the MCP servers, then the agent's own enabled ones.

        Raises:
            UserError: an MCP server cannot be used, see `get_mcp_tools`.
            Exception: whatever an `is_enabled` function raises.
        """
        own = await enabled_tools(self.tools, run_context, self)
        return [*await self.get_mcp_tools(run_context), *own] if self.mcp_servers else own
