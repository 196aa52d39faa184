from __future__ import annotations

import functools
from typing import Any

import anyio
import pytest

from agentrun._context import RunContextWrapper
from agentrun._hosted_tools import WebSearchTool
from agentrun._tool import FunctionTool, enabled_tools, function_tool

AGENT: Any = object()
CONTEXT = RunContextWrapper({"admin": True})


def _tool(name: str, is_enabled: Any) -> FunctionTool:
    async def body() -> None: ...

    return function_tool(body, name_override=name, is_enabled=is_enabled)


def _same(function: Any, ctx: Any, agent: Any) -> Any:
    return function(ctx, agent)


async def _names(*tools: Any) -> list[str]:
    return [tool.name for tool in await enabled_tools(tools, CONTEXT, AGENT)]


def _yes(ctx: Any, agent: Any) -> bool:
    return True


def _no(ctx: Any, agent: Any) -> bool:
    return False


async def _slowly_yes(ctx: Any, agent: Any) -> bool:
    await anyio.sleep(1)
    return True


async def _slowly_no(ctx: Any, agent: Any) -> bool:
    await anyio.sleep(2)
    return False


async def test_the_order_stays_whatever_kind_of_answer_comes_first() -> None:
    assert await _names(
        _tool("a", _slowly_yes),
        _tool("b", True),
        WebSearchTool(),
        _tool("c", False),
        _tool("d", _slowly_no),
        _tool("e", _yes),
        _tool("f", _no),
        _tool("g", functools.partial(_same, _slowly_yes)),
    ) == ["a", "b", "web_search", "e", "g"]


async def test_a_function_that_changes_the_agents_tools_changes_those_of_the_next_turn() -> None:
    tools: list[Any] = []

    def reverse(ctx: Any, agent: Any) -> bool:
        tools.reverse()
        return True

    async def empty(ctx: Any, agent: Any) -> bool:
        tools.clear()
        return True

    tools += [_tool("a", reverse), _tool("b", False), _tool("c", empty)]
    assert [tool.name for tool in await enabled_tools(tools, CONTEXT, AGENT)] == ["a", "c"]
    assert tools == []


async def test_async_answers_are_waited_for_side_by_side() -> None:
    started = anyio.current_time()
    assert await _names(_tool("a", _slowly_yes), _tool("b", _slowly_no), _tool("c", _slowly_yes)) == ["a", "c"]
    assert anyio.current_time() - started == pytest.approx(2)


async def test_a_function_is_told_context_and_agent() -> None:
    seen: list[Any] = []

    def ask(ctx: RunContextWrapper[Any], agent: Any) -> bool:
        seen.append((ctx, agent))
        return bool(ctx.context["admin"])

    assert await _names(_tool("a", ask)) == ["a"]
    assert seen == [(CONTEXT, AGENT)]


async def test_nothing_is_waited_for_when_every_answer_is_at_hand() -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        # A checkpoint would raise here.
        assert await _names(_tool("a", True), _tool("b", _no)) == ["a"]


@pytest.mark.parametrize("others", [0, 1])
async def test_what_a_function_raises_is_raised_by_its_own_type(others: int) -> None:
    async def broken(ctx: Any, agent: Any) -> bool:
        await anyio.lowlevel.checkpoint()
        raise LookupError("no such user")

    with pytest.raises(LookupError, match="no such user"):
        await _names(*[_tool(f"t{index}", _slowly_yes) for index in range(others)], _tool("b", broken))
