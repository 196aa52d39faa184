"""features.md RT-10, RT-11; semantics.md S-46, S-75, S-76, S-90: approvals in nested runs and round handoffs."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from agentrun import (
    Agent,
    GuardrailFunctionOutput,
    HandoffInputData,
    InputGuardrailTripwireTriggered,
    ModelBehaviorError,
    RunConfig,
    RunHooks,
    Runner,
    RunState,
    Usage,
    UserError,
    function_tool,
    handoff,
    input_guardrail,
)
from agentrun.testing import Gate, ModelStep, ScriptedModel, assistant_message, function_call


def ask(name: str, call_id: str, text: str = "go") -> Any:
    return function_call(name, {"input": text}, call_id=call_id)


class Tower:
    """Agents inside agents: the innermost has the tool that needs approval."""

    def __init__(self, depth: int, *, streamed_inside: bool = False) -> None:
        self.done: list[str] = []
        self.told: list[str] = []
        self.events: list[str] = []

        @function_tool
        async def look() -> str:
            self.done.append("look")
            return "seen"

        @function_tool(needs_approval=True)
        async def cut(what: str) -> str:
            self.done.append(f"cut {what}")
            return f"{what} is cut"

        usage = Usage(requests=1, input_tokens=1, output_tokens=1, total_tokens=2)
        calls = [function_call("look", {}, call_id="k1"), function_call("cut", {"what": "rope"}, call_id="k2")]
        self.models = [
            ScriptedModel([ModelStep.respond(calls, usage=usage), ModelStep.respond("inner done", usage=usage)])
        ]
        agent: Agent[Any] = Agent("level0", model=self.models[0], tools=[look, cut])
        self.inner = agent
        for level in range(1, depth):
            model = ScriptedModel(
                [
                    ModelStep.respond([ask(f"level{level - 1}", f"n{level}")], usage=usage),
                    ModelStep.respond(f"done at {level}", usage=usage),
                ]
            )
            self.models.append(model)
            on_stream = self._note if streamed_inside else None
            agent = Agent(f"level{level}", model=model, tools=[agent.as_tool(agent.name, None, on_stream=on_stream)])
        self.agent = agent

    def _note(self, event: Any) -> None:
        self.events.append(event["event"].type)


@pytest.mark.parametrize("depth", [2, 3, 4])
@pytest.mark.parametrize("streamed_inside", [False, True])
async def test_an_approval_surfaces_from_any_depth_and_the_nested_run_goes_on(
    run: Any, stored: Any, depth: int, streamed_inside: bool
) -> None:
    """RT-10, S-76, S-90."""
    tower = Tower(depth, streamed_inside=streamed_inside)
    result = await run(tower.agent)
    [item] = result.interruptions
    assert (item.agent, item.name) == (tower.inner, "cut")
    assert [one.type for one in result.new_items] == ["tool_call_item"], "neither an output nor an approval of its own"
    assert tower.done == ["look"]
    result = await run(tower.agent, await stored(tower.agent, result.to_state()))
    assert [item.call_id for item in result.interruptions] == ["k2"] and tower.done == ["look"]
    state = await stored(tower.agent, result.to_state())
    state.approve(state.get_interruptions()[0])
    result = await run(tower.agent, await stored(tower.agent, state))
    assert result.final_output == f"done at {depth - 1}"
    assert tower.done == ["look", "cut rope"]
    assert [len(model.calls) for model in tower.models] == [2] * depth
    assert result.context_wrapper.usage.requests == 2 * depth


async def test_a_nested_approval_can_be_decided_on_the_outer_context(run: Any, stored: Any) -> None:
    """RT-10, CX-2."""
    tower = Tower(3)
    result = await run(tower.agent)
    result.context_wrapper.reject_tool(result.interruptions[0], rejection_message="keep it whole")
    result = await run(tower.agent, await stored(tower.agent, result.to_state()))
    assert result.final_output == "done at 2" and tower.done == ["look"]
    told: Any = tower.models[0].calls[1].input
    assert told[-1]["output"] == "keep it whole"


async def test_a_state_with_a_nested_pause_that_is_run_twice_runs_nothing_twice(run: Any, stored: Any) -> None:
    """RT-12 in nested runs."""
    tower = Tower(3)
    state = await stored(tower.agent, (await run(tower.agent)).to_state())
    state.approve(state.get_interruptions()[0])
    await run(tower.agent, state)
    assert state.get_interruptions() == []
    tower.models[2].enqueue("again")
    state = await stored(tower.agent, state)
    assert (await run(tower.agent, state)).final_output == "again"
    assert tower.done == ["look", "cut rope"]
    assert [len(model.calls) for model in tower.models] == [2, 2, 3]


@pytest.mark.parametrize("depth", [2, 3])
async def test_a_nested_run_that_was_cancelled_after_the_approved_call_goes_on_behind_it(
    run: Any, stored: Any, depth: int
) -> None:
    """RT-12 in nested runs."""
    tower = Tower(depth)
    state = await stored(tower.agent, (await run(tower.agent)).to_state())
    state.approve(state.get_interruptions()[0])
    answer = Gate()
    tower.inner.model = ScriptedModel([ModelStep.respond("never", gate=answer)])
    async with anyio.create_task_group() as nursery:
        nursery.start_soon(run, tower.agent, state)
        await answer.wait_reached()
        nursery.cancel_scope.cancel()
    assert tower.done == ["look", "cut rope"]
    tower.inner.model = tower.models[0]
    result = await run(tower.agent, await stored(tower.agent, state))
    assert result.final_output == f"done at {depth - 1}"
    assert tower.done == ["look", "cut rope"]
    outer: Any = tower.models[-1].calls[-1].input
    assert outer[-1]["output"] == ("inner done" if depth == 2 else "done at 1")


async def test_hooks_of_the_outer_run_see_one_start_and_one_end(run: Any, stored: Any) -> None:
    """S-75, S-76."""
    told: list[str] = []

    class Hooks(RunHooks[Any]):
        async def on_tool_start(self, context: Any, agent: Any, tool: Any) -> None:
            told.append(f"start {tool.name}")

        async def on_tool_end(self, context: Any, agent: Any, tool: Any, result: object) -> None:
            told.append(f"end {tool.name} {result}")

    tower = Tower(2)
    state = await stored(tower.agent, (await run(tower.agent, hooks=Hooks())).to_state())
    assert told == ["start level0"]
    state.approve(state.get_interruptions()[0])
    await run(tower.agent, state, hooks=Hooks())
    assert told == ["start level0", "end level0 inner done"]


async def test_another_tool_of_the_name_does_not_take_over_a_paused_nested_run(run: Any, stored: Any) -> None:
    tower = Tower(2)
    state = await stored(tower.agent, (await run(tower.agent)).to_state())
    state.approve(state.get_interruptions()[0])
    agent_tools = tower.agent.tools

    @function_tool(name_override="level0")
    async def other(input: str) -> str:
        tower.done.append("other")
        return input

    tower.agent.tools = [other]
    with pytest.raises(ModelBehaviorError, match="waits with a run of an agent, and is no agent tool any more"):
        await run(tower.agent, state)
    assert tower.done == ["look"]
    tower.agent.tools = agent_tools
    assert (await run(tower.agent, state)).final_output == "done at 1"


async def test_the_model_is_told_when_the_tool_of_a_paused_nested_run_is_gone(run: Any, stored: Any) -> None:
    tower = Tower(2)
    state = await stored(tower.agent, (await run(tower.agent)).to_state())
    state.approve(state.get_interruptions()[0])
    tower.agent.tools = []
    result = await run(tower.agent, state, run_config=RunConfig(tool_not_found_behavior="return_error_to_model"))
    assert result.final_output == "done at 1"
    assert tower.models[1].calls[1].input[-1]["output"] == "Tool 'level0' not found."
    assert tower.done == ["look"]


async def test_two_nested_runs_of_one_reply_wait_and_go_on_apart(run: Any, stored: Any) -> None:
    """RT-7, RT-10: decisions are for one nested run, also where both use the same call id."""
    done: list[str] = []

    @function_tool(needs_approval=True)
    async def cut(what: str) -> str:
        done.append(what)
        return f"{what} is cut"

    def reply(call: Any) -> Any:
        text, last = call.input[0]["content"], call.input[-1]
        if last.get("type") == "function_call_output":
            return f"{text}: {last['output']}"
        return [function_call("cut", {"what": text}, call_id="same")]

    inner: Agent[Any] = Agent("inner", model=ScriptedModel([reply] * 4), tools=[cut])
    model = ScriptedModel([[ask("inner", "n1", "rope"), ask("inner", "n2", "wire")], "done"])
    agent: Agent[Any] = Agent("outer", model=model, tools=[inner.as_tool("inner", None)])
    state = await stored(agent, (await run(agent)).to_state())
    assert [item.arguments for item in state.get_interruptions()] == ['{"what":"rope"}', '{"what":"wire"}']
    state.approve(state.get_interruptions()[1])
    state = await stored(agent, state)
    result = await run(agent, state)
    assert done == ["wire"] and [item.arguments for item in result.interruptions] == ['{"what":"rope"}']
    state = await stored(agent, result.to_state())
    state.reject(state.get_interruptions()[0], rejection_message="no")
    result = await run(agent, await stored(agent, state))
    assert result.final_output == "done" and done == ["wire"]
    told = [item.output for item in result.new_items if item.type == "tool_call_output_item"]
    assert sorted(told) == ["rope: no", "wire: wire is cut"]


async def test_an_agent_tool_can_itself_need_approval_and_pause_again_inside(run: Any, stored: Any) -> None:
    """RT-6, RT-10."""
    tower = Tower(2)
    outer: Agent[Any] = Agent(
        "outer",
        model=ScriptedModel([[ask("level1", "o1")], "all done"]),
        tools=[tower.agent.as_tool("level1", None, needs_approval=True)],
    )
    state = await stored(outer, (await run(outer)).to_state())
    assert [item.name for item in state.get_interruptions()] == ["level1"] and not tower.models[1].calls
    state.approve(state.get_interruptions()[0])
    state = await stored(outer, (await run(outer, await stored(outer, state))).to_state())
    assert [item.name for item in state.get_interruptions()] == ["cut"]
    state.approve(state.get_interruptions()[0])
    assert (await run(outer, await stored(outer, state))).final_output == "all done"
    assert tower.done == ["look", "cut rope"]


async def test_a_tool_call_context_object_reaches_a_resumed_nested_run(run: Any) -> None:
    """RT-4, S-75: `context_override` counts at every depth."""
    seen: list[Any] = []

    def rule(context: Any, arguments: dict[str, Any], call_id: str) -> bool:
        seen.append(context.context)
        return True

    @function_tool(needs_approval=rule)
    async def mark() -> str:
        return "marked"

    class Hooks(RunHooks[Any]):
        async def on_tool_start(self, context: Any, agent: Any, tool: Any) -> None:
            seen.append((tool.name, context.context))

    inner: Agent[Any] = Agent(
        "inner", model=ScriptedModel([[function_call("mark", {}, call_id="k1")], "done"]), tools=[mark]
    )
    agent: Agent[Any] = Agent(
        "outer",
        model=ScriptedModel([[ask("inner", "n1")], "done"]),
        tools=[inner.as_tool("inner", None, hooks=Hooks())],
    )
    text = (await run(agent, context={"who": "old"})).to_state().to_string()
    state = await RunState.from_string(agent, text, context_override={"who": "new"})
    state.approve(state.get_interruptions()[0])
    assert (await run(agent, state)).final_output == "done"
    assert seen == [{"who": "old"}, ("mark", {"who": "new"})]


# --- handoffs


class Desk:
    """Triage hands over to an expert, whose tool needs approval."""

    def __init__(self, **options: Any) -> None:
        self.done: list[str] = []

        @function_tool(needs_approval=True)
        async def repair(what: str) -> str:
            self.done.append(what)
            return f"{what} repaired"

        self.expert: Agent[Any] = Agent("expert", tools=[repair])
        self.triage: Agent[Any] = Agent("triage", tools=[repair], handoffs=[handoff(self.expert, **options)])
        self.expert.handoffs.append(self.triage)

    def script(self, *steps: Any) -> ScriptedModel:
        model = ScriptedModel(steps)
        self.triage.model = self.expert.model = model
        return model


TRANSFER = "transfer_to_expert"


def repair(call_id: str, what: str) -> Any:
    return function_call("repair", {"what": what}, call_id=call_id)


async def test_an_approval_after_a_handoff_belongs_to_the_new_agent_and_resumes_with_the_root(
    run: Any, stored: Any
) -> None:
    """RT-11."""
    desk = Desk()
    desk.script([function_call(TRANSFER, {}, call_id="h1")], [repair("c1", "car")], "done")
    result = await run(desk.triage)
    assert result.interruptions[0].agent is desk.expert and result.last_agent is desk.expert
    state = await stored(desk.triage, result.to_state())
    assert state.current_agent is desk.expert
    state.approve(state.get_interruptions()[0])
    result = await run(desk.triage, await stored(desk.triage, state))
    assert result.final_output == "done" and result.last_agent is desk.expert and desk.done == ["car"]
    if run.streamed:
        assert run.names[:2] == ["agent:expert", "tool_output"]


@pytest.mark.parametrize("approve", [True, False])
async def test_a_handoff_beside_an_open_call_waits_for_it(run: Any, stored: Any, approve: bool) -> None:
    """S-46."""
    desk = Desk()
    model = desk.script([repair("c1", "car"), function_call(TRANSFER, {}, call_id="h1")], "done")
    result = await run(desk.triage)
    assert result.last_agent is desk.triage
    assert [item.type for item in result.new_items] == ["tool_call_item", "handoff_call_item", "tool_approval_item"]
    state = await stored(desk.triage, result.to_state())
    if approve:
        state.approve(state.get_interruptions()[0])
    else:
        state.reject(state.get_interruptions()[0], rejection_message="no")
    result = await run(desk.triage, await stored(desk.triage, state))
    assert result.final_output == "done" and result.last_agent is desk.expert
    assert desk.done == (["car"] if approve else [])
    if run.streamed:
        assert run.names[:4] == ["agent:triage", "tool_output", "handoff_occured", "agent:expert"]
    sent: Any = model.calls[1].input
    assert [item.get("call_id") for item in sent if "call_id" in item] == ["c1", "h1", "c1", "h1"]


async def test_a_filter_sees_the_paused_turn_once(run: Any, stored: Any) -> None:
    """S-46, S-47."""
    seen: list[tuple[list[str], list[str]]] = []

    def keep(data: HandoffInputData) -> HandoffInputData:
        seen.append(([item.type for item in data.pre_handoff_items], [item.type for item in data.new_items]))
        return data

    desk = Desk(input_filter=keep)
    model = desk.script(
        [repair("c0", "bike")], [repair("c1", "car"), function_call(TRANSFER, {}, call_id="h1")], "done"
    )
    state = await stored(desk.triage, (await run(desk.triage)).to_state())
    state.approve(state.get_interruptions()[0])
    state = await stored(desk.triage, (await run(desk.triage, state)).to_state())
    state.approve(state.get_interruptions()[0])
    result = await run(desk.triage, await stored(desk.triage, state))
    assert result.final_output == "done" and desk.done == ["bike", "car"]
    [(before, new)] = seen
    assert [kind for kind in before if kind != "tool_approval_item"] == ["tool_call_item", "tool_call_output_item"]
    assert new == ["tool_call_item", "handoff_call_item", "tool_call_output_item", "handoff_output_item"]
    sent: Any = model.calls[2].input
    assert [item.get("call_id") for item in sent if "call_id" in item] == ["c0", "c0", "c1", "h1", "c1", "h1"]
    calls = [item.call_id for item in result.new_items if item.type == "tool_call_item"]
    assert calls == ["c0", "c1"]


async def test_two_agents_of_one_name_are_told_apart_in_a_stored_state(run: Any, stored: Any) -> None:
    """S-87."""
    done: list[str] = []

    @function_tool(needs_approval=True)
    async def work() -> str:
        done.append("work")
        return "ok"

    second: Agent[Any] = Agent("twin", tools=[work])
    second.model = ScriptedModel([[function_call("work", {}, call_id="c1")], "second done"])
    first: Agent[Any] = Agent("twin", handoffs=[handoff(second, tool_name_override="over")])
    first.model = ScriptedModel([[function_call("over", {}, call_id="h1")]])
    state = await stored(first, (await run(first)).to_state())
    assert state.current_agent is second
    state.approve(state.get_interruptions()[0])
    assert (await run(first, state)).final_output == "second done" and done == ["work"]


async def test_agents_of_one_name_are_told_apart_also_when_their_order_has_changed(run: Any) -> None:
    """S-87."""
    done: list[str] = []

    def twin(owner: str) -> Agent[Any]:
        @function_tool(needs_approval=True)
        async def work() -> str:
            done.append(owner)
            return owner

        return Agent("twin", instructions=f"You are {owner}.", tools=[work])

    def team(*owners: str) -> Agent[Any]:
        twins = {owner: twin(owner) for owner in owners}
        lead: Agent[Any] = Agent(
            "lead", handoffs=[handoff(one, tool_name_override=f"to_{owner}") for owner, one in twins.items()]
        )
        lead.model = ScriptedModel([[function_call("to_y", {}, call_id="h1")]])
        twins["y"].model = ScriptedModel([[function_call("work", {}, call_id="c1")]])
        return lead

    lead = team("x", "y")
    state = (await run(lead)).to_state()
    state.approve(state.get_interruptions()[0])
    again = team("y", "x")
    restored = await RunState.from_string(again, state.to_string())
    assert restored.current_agent.instructions == "You are y."
    restored.current_agent.model = ScriptedModel(["y is done"])
    assert (await run(again, restored)).final_output == "y is done" and done == ["y"]


# --- RunHooks, RT-9


async def test_added_input_reaches_the_model_after_the_approved_calls(run: Any, stored: Any) -> None:
    """RT-9."""
    desk = Desk()
    model = desk.script([repair("c1", "car")], "done")
    state = await stored(desk.triage, (await run(desk.triage)).to_state())
    state.add_input("be quick")
    state.add_input([{"role": "user", "content": "please"}])
    assert [item["content"] for item in state.pending_input] == ["be quick", "please"]
    state.approve(state.get_interruptions()[0])
    state = await stored(desk.triage, state)
    result = await run(desk.triage, state)
    sent: Any = model.calls[1].input
    assert [item.get("content") or item.get("type") for item in sent] == [
        "hi",
        "function_call",
        "function_call_output",
        "be quick",
        "please",
    ]
    assert [item.type for item in result.new_items][-3:] == ["input_item", "input_item", "message_output_item"]
    assert result.to_state().pending_input == []


async def test_added_input_is_judged_and_stays_added_when_it_is_refused(run: Any, stored: Any) -> None:
    """RT-9, RT-12."""

    @input_guardrail
    def polite(context: Any, agent: Any, given: Any) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(None, tripwire_triggered="fool" in str(given))

    desk = Desk()
    desk.triage.input_guardrails.append(polite)
    model = desk.script([repair("c1", "car")], "done")
    state = await stored(desk.triage, (await run(desk.triage)).to_state())
    state.approve(state.get_interruptions()[0])
    state.add_input("hurry, fool")
    with pytest.raises(InputGuardrailTripwireTriggered) as caught:
        await run(desk.triage, state)
    assert len(model.calls) == 1 and desk.done == ["car"]
    assert caught.value.run_data is not None
    for again in (state, caught.value.run_data.to_state()):
        assert [item["content"] for item in again.pending_input] == ["hurry, fool"]
        again.clear_pending_input()
    assert (await run(desk.triage, await stored(desk.triage, state))).final_output == "done"
    assert desk.done == ["car"]


async def test_input_is_added_only_where_a_model_will_see_it(run: Any) -> None:
    """RT-9."""
    desk = Desk()
    desk.script([repair("c1", "car")], "done")
    result = await run(desk.triage, max_turns=1)
    with pytest.raises(UserError, match="turns"):
        result.to_state().add_input("more")
    desk.script("done")
    result = await run(desk.triage)
    with pytest.raises(UserError, match="finished"):
        result.to_state().add_input("more")
    ends: Agent[Any] = desk.triage.clone(tool_use_behavior="stop_on_first_tool")
    ends.model = ScriptedModel([[repair("c1", "car")]])
    result = await run(ends)
    with pytest.raises(UserError, match="tool_use_behavior"):
        result.to_state().add_input("more")


async def test_run_sync_resumes_a_stored_state() -> None:
    """RN-2, RT-2."""
    desk = Desk()
    desk.script([assistant_message("let me see"), repair("c1", "car")], "done")

    def whole() -> str:
        state = Runner.run_sync(desk.triage, "hi").to_state()
        state.approve(state.get_interruptions()[0])
        return str(Runner.run_sync(desk.triage, state, run_config=RunConfig()).final_output)

    assert await anyio.to_thread.run_sync(whole) == "done" and desk.done == ["car"]


async def test_input_is_added_beside_a_call_that_could_end_the_run_where_a_handoff_goes_on(
    run: Any, stored: Any
) -> None:
    """RT-9, S-4: the handoff wins over the tool's output, so that a model will see the input."""
    desk = Desk()
    desk.triage.tool_use_behavior = "stop_on_first_tool"
    model = desk.script([repair("c1", "car"), function_call(TRANSFER, {}, call_id="h1")], "done")
    state = await stored(desk.triage, (await run(desk.triage)).to_state())
    state.add_input("be quick")
    state.approve(state.get_interruptions()[0])
    result = await run(desk.triage, await stored(desk.triage, state))
    assert result.final_output == "done" and result.last_agent is desk.expert
    sent: Any = model.calls[1].input
    assert sent[-1]["content"] == "be quick"


@pytest.mark.parametrize("depth", [2, 3])
async def test_a_decision_on_a_call_of_the_outer_run_decides_no_nested_call_of_that_id(
    run: Any, stored: Any, depth: int
) -> None:
    """RT-10, S-75: the same tool, the same id and the same arguments, and still another call."""
    done: list[str] = []

    @function_tool(needs_approval=True)
    async def send(what: str) -> str:
        done.append(what)
        return "sent"

    same = function_call("send", {"what": "all"}, call_id="same")
    agent: Agent[Any] = Agent("inner", model=ScriptedModel([[same], "inner done"]), tools=[send])
    for level in range(1, depth):
        steps: list[Any] = [[ask("deeper", f"n{level}")], "done"]
        if level == depth - 1:
            steps.insert(0, [same])
        agent = Agent(f"level{level}", model=ScriptedModel(steps), tools=[send, agent.as_tool("deeper", None)])
    state = await stored(agent, (await run(agent)).to_state())
    state.approve(state.get_interruptions()[0])
    for _ in range(3):
        result = await run(agent, await stored(agent, state))
        state = result.to_state()
        assert [item.agent.name for item in result.interruptions] == ["inner"] and done == ["all"]
    state.approve(state.get_interruptions()[0])
    assert (await run(agent, await stored(agent, state))).final_output == "done" and done == ["all", "all"]
