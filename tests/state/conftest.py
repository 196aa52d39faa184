"""One run that has met everything a state can hold, paused in a nested run and in itself."""

from __future__ import annotations

from typing import Any

import pytest

from agentrun import (
    Agent,
    GuardrailFunctionOutput,
    HandoffInputData,
    Runner,
    RunState,
    ToolGuardrailFunctionOutput,
    Usage,
    function_tool,
    handoff,
    input_guardrail,
    tool_input_guardrail,
    tool_output_guardrail,
)
from agentrun.testing import AutoModel, ModelStep, ScriptedModel, assistant_message, function_call, reasoning

USAGE = Usage(requests=1, input_tokens=7, output_tokens=3, total_tokens=10)


class World:
    """The agents of the run; `done` is what its tools did."""

    def __init__(self) -> None:
        self.done: list[str] = []

        @tool_input_guardrail
        def careful(data: Any) -> ToolGuardrailFunctionOutput:
            return ToolGuardrailFunctionOutput.allow({"call": data.context.tool_call_id})

        @tool_output_guardrail
        def discreet(data: Any) -> ToolGuardrailFunctionOutput:
            return ToolGuardrailFunctionOutput.reject_content("hidden", ["info"])

        @function_tool(tool_output_guardrails=[discreet])
        async def look(at: str) -> dict[str, Any]:
            self.done.append(f"look {at}")
            return {"at": at, "seen": [1, 2.5, None, True]}

        @function_tool(needs_approval=True, tool_input_guardrails=[careful])
        async def pay(to: str) -> str:
            self.done.append(f"pay {to}")
            return f"paid {to}"

        @input_guardrail
        def polite(context: Any, agent: Any, given: Any) -> GuardrailFunctionOutput:
            return GuardrailFunctionOutput({"polite": True}, tripwire_triggered=False)

        def newest(data: HandoffInputData) -> HandoffInputData:
            return data.clone(input_history="shortened")

        self.inner: Agent[Any] = Agent("inner", tools=[pay])
        self.expert: Agent[Any] = Agent("expert", tools=[look, pay, self.inner.as_tool("inner", None)])
        self.root: Agent[Any] = Agent(
            "root", tools=[look], handoffs=[handoff(self.expert, input_filter=newest)], input_guardrails=[polite]
        )
        self.expert.handoffs.append(self.root)
        for agent in (self.root, self.expert, self.inner):
            agent.model = AutoModel()

    async def paused(self) -> RunState[Any]:
        """Return the state of the run: one nested call waits, one of its own, one was decided, input was added."""
        self.inner.model = ScriptedModel([ModelStep.respond([_pay("n1", "Nan")], usage=USAGE)])
        self.root.model = ScriptedModel(
            [
                ModelStep.respond(
                    [reasoning("hm"), _look("c1", "sea")], usage=USAGE, response_id="r1", request_id="q1"
                ),
                [assistant_message("over"), function_call("transfer_to_expert", {}, call_id="h1")],
            ]
        )
        calls = [
            _look("c2", "sky"),
            _pay("c3", "Ann"),
            function_call("inner", {"input": "go"}, call_id="c4"),
            _pay("c5", "Bob"),
        ]
        self.expert.model = ScriptedModel([ModelStep.respond(calls, usage=USAGE)])
        result = await Runner.run(self.root, "hello", context={"user": {"id": 7}})
        state = result.to_state()
        state.reject(state.get_interruptions()[0], rejection_message="no")
        state.add_input("and be quick")
        for agent in (self.root, self.expert, self.inner):
            agent.model = AutoModel()
        self.done.clear()
        return state


def _look(call_id: str, at: str) -> Any:
    return function_call("look", {"at": at}, call_id=call_id)


def _pay(call_id: str, to: str) -> Any:
    return function_call("pay", {"to": to}, call_id=call_id)


@pytest.fixture
def world() -> World:
    return World()
