"""Mistakes that used to end in an AttributeError or a TypeError of Python's own say what to do instead."""

from __future__ import annotations

from typing import Any

import pytest

from agentrun import Agent, RunContextWrapper, RunHooks, Runner, SQLiteSession
from agentrun.testing import ScriptedModel


def agent() -> Agent[Any]:
    return Agent("Helper", model=ScriptedModel(["Hello."]))


@pytest.mark.parametrize("session", ["conversation-7", SQLiteSession, {"id": 7}])
async def test_a_session_that_is_none_is_refused_before_the_run_begins(session: Any) -> None:
    asked = agent()
    with pytest.raises(TypeError, match=r"session is .*, expected an object with the methods of Session; make one"):
        await Runner.run(asked, "Hi.", session=session)
    with pytest.raises(TypeError, match="session is"):
        Runner.run_streamed(asked, "Hi.", session=session)


async def test_a_hook_that_is_not_async_is_named() -> None:
    class Log(RunHooks[None]):
        def on_agent_start(self, context: RunContextWrapper[None], agent: Agent[Any]) -> None:  # type: ignore[override]
            """Forgets its async."""

    with pytest.raises(TypeError, match=r"Log\.on_agent_start returned None, expected .* async def"):
        await Runner.run(agent(), "Hi.", hooks=Log())


async def test_what_is_approved_must_be_an_approval_item() -> None:
    state = (await Runner.run(agent(), "Hi.")).to_state()
    call_id: Any = "call-1"
    with pytest.raises(TypeError, match="approval_item is 'call-1', expected a ToolApprovalItem"):
        state.approve(call_id)
    with pytest.raises(TypeError, match="approval_item is 'call-1'"):
        state.reject(call_id)
