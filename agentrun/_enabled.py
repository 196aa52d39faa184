"""Which handoffs and tools a model may see now: their `is_enabled` values, asked together."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import anyio

if TYPE_CHECKING:
    from agentrun._agent_base import AgentBase
    from agentrun._context import RunContextWrapper
    from agentrun._settings import MaybeAwaitable

__all__ = ["Enabled", "each_enabled", "first_error"]

Enabled: TypeAlias = "bool | Callable[[RunContextWrapper[Any], Any], MaybeAwaitable[bool]]"
"""True, False, or a function of context and agent, sync or async, that says so."""


async def each_enabled(
    conditions: Sequence[Enabled], context: RunContextWrapper[Any], agent: AgentBase[Any]
) -> list[bool]:
    """Return what each of the `is_enabled` values of handoffs or tools says, in their order.

    Sync functions are called one after another, async ones run side by side. It does not checkpoint when there is
    nothing to wait for.

    Raises:
        Exception: whatever one of the functions raises.
    """
    verdicts: list[bool] = [False] * len(conditions)
    waiting: list[tuple[int, Callable[..., Awaitable[bool]]]] = []

    async def settle(index: int, condition: Callable[..., Awaitable[bool]]) -> None:
        verdicts[index] = bool(await condition(context, agent))

    for index, condition in enumerate(conditions):
        if not callable(condition):
            verdicts[index] = condition
        elif inspect.iscoroutinefunction(condition):
            waiting.append((index, condition))
        else:  # also a callable object with an async __call__, which then does not run beside others
            found = condition(context, agent)
            verdicts[index] = bool(await found if inspect.isawaitable(found) else found)
    if len(waiting) == 1:
        await settle(*waiting[0])
    elif waiting:
        try:
            async with anyio.create_task_group() as nursery:
                for one in waiting:
                    nursery.start_soon(settle, *one, name="is_enabled")
        except BaseExceptionGroup as group:
            raise first_error(group) from None
    return verdicts


def first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first exception in `group`, so that callers can catch it by its own type.

    A nursery of ours leaves cancellation out of its group as soon as there is an error in it.
    """
    first = group.exceptions[0]
    return (
        first_error(cast("BaseExceptionGroup[BaseException]", first))
        if isinstance(first, BaseExceptionGroup)
        else first
    )
