"""semantics.md A: turns and the loop; features 3: the Runner."""

# Callbacks here are written as a user would write them, without types.
# pyright: reportUnknownLambdaType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import Any

import anyio
import pytest

from agentrun import (
    Agent,
    AgentHooks,
    GuardrailFunctionOutput,
    InMemorySession,
    MaxTurnsExceeded,
    ModelBehaviorError,
    ModelInputData,
    ModelRefusalError,
    ModelRetryAdvice,
    ModelSettings,
    RunConfig,
    RunHooks,
    Runner,
    UserError,
    function_tool,
    handoff,
    input_guardrail,
)
from agentrun.testing import ModelStep, ScriptedModel, assistant_message, function_call, reasoning, refusal

covers = pytest.mark.covers


@function_tool
def look(q: str = "") -> str:
    return f"saw {q}"


def call(name: str = "look", call_id: str = "c1", **arguments: Any) -> Any:
    return function_call(name, arguments, call_id=call_id)


@dataclass
class Point:
    x: int
    y: int


@covers("S-1", "RN-4", "RN-1")
async def test_a_turn_is_one_model_call_whatever_its_reply_leads_to(run: Any) -> None:
    safe = ModelRetryAdvice(suggested=True, replay_safety="safe", retry_after=0.0)
    model = ScriptedModel(
        [
            ModelStep.raise_error(ConnectionError("lost"), retry_advice=safe),
            [call(call_id="a"), call(call_id="b")],
            "done",
        ]
    )
    result = await run(Agent(name="a", model=model, tools=[look]), max_turns=2)
    assert result.final_output == "done"
    assert len(model.calls) == 3, "the retried attempt is no turn of its own"
    assert len(result.raw_responses) == 2


@covers("S-2", "RN-4", "ER-3")
@pytest.mark.parametrize("limit", [-1, 0, 1, 3])
async def test_max_turns_permits_exactly_that_many_calls(run: Any, limit: int) -> None:
    model = ScriptedModel([[call(call_id=f"c{n}")] for n in range(5)])
    with pytest.raises(MaxTurnsExceeded, match=rf"^Max turns \({limit}\) exceeded$") as caught:
        await run(Agent(name="a", model=model, tools=[look]), max_turns=limit)
    made = max(limit, 0)
    assert len(model.calls) == made
    assert caught.value.run_data is not None
    assert len(caught.value.run_data.raw_responses) == made
    assert [item.type for item in caught.value.run_data.new_items] == [
        "tool_call_item",
        "tool_call_output_item",
    ] * made


@covers("S-2", "RN-4")
async def test_ten_turns_are_the_default_and_none_is_no_limit(run: Any) -> None:
    def model(turns: int) -> ScriptedModel:
        return ScriptedModel([*([call(call_id=f"c{n}")] for n in range(turns)), "done"])

    with pytest.raises(MaxTurnsExceeded):
        await run(Agent(name="a", model=model(10), tools=[look]))
    assert (await run(Agent(name="a", model=model(9), tools=[look]))).final_output == "done"
    assert (await run(Agent(name="a", model=model(25), tools=[look]), max_turns=None)).final_output == "done"


@covers("S-2")
async def test_handoffs_do_not_start_the_count_again(run: Any) -> None:
    model = ScriptedModel([[call("transfer_to_b", "h1")], [call("transfer_to_a", "h2")], "done"])
    a = Agent(name="a", model=model)
    b = Agent(name="b", model=model, handoffs=[a])
    a.handoffs = [b]
    result = await run(a, max_turns=3)
    assert result.final_output == "done"
    assert result.last_agent is a
    model.extend([[call("transfer_to_b", "h1")], [call("transfer_to_a", "h2")], "done"])
    with pytest.raises(MaxTurnsExceeded):
        await run(a, max_turns=2)


@covers("S-3", "S-17", "HK-1", "HK-2")
async def test_the_steps_of_a_turn_come_in_order(run: Any) -> None:  # noqa: C901 - one log of many callbacks
    log: list[str] = []

    class Hooks(RunHooks[Any]):
        async def on_agent_start(self, context: Any, agent: Any) -> None:
            log.append("agent_start")

        async def on_llm_start(self, context: Any, agent: Any, system_prompt: Any, input_items: Any) -> None:
            log.append(f"llm_start {system_prompt}")

        async def on_llm_end(self, context: Any, agent: Any, response: Any) -> None:
            log.append(f"llm_end {context.usage.requests}")

        async def on_tool_start(self, context: Any, agent: Any, tool: Any) -> None:
            log.append("tool_start")

        async def on_tool_end(self, context: Any, agent: Any, tool: Any, result: Any) -> None:
            log.append(f"tool_end {result}")

        async def on_agent_end(self, context: Any, agent: Any, output: Any) -> None:
            log.append(f"agent_end {output}")

    @input_guardrail(run_in_parallel=False)
    def blocking(context: Any, agent: Any, given: Any) -> GuardrailFunctionOutput:
        log.append("blocking")
        return GuardrailFunctionOutput(None, False)

    def enabled(context: Any, agent: Any) -> bool:
        log.append("tools")
        return True

    def instructions(context: Any, agent: Any) -> str:
        log.append("instructions")
        return "be good"

    def handoff_enabled(context: Any, agent: Any) -> bool:
        log.append("handoffs")
        return True

    def model_filter(data: Any) -> Any:
        log.append("filter")
        return ModelInputData(data.model_data.input, "be better")

    @function_tool(is_enabled=enabled)
    async def work() -> str:
        log.append("body")
        return "worked"

    def asked(model_call: Any) -> Any:
        log.append("model")
        return [call("work")] if len(model.calls) == 1 else "done"

    model = ScriptedModel([asked, asked])
    agent = Agent(
        name="a",
        model=model,
        instructions=instructions,
        tools=[work],
        handoffs=[handoff(Agent(name="b"), is_enabled=handoff_enabled)],
        input_guardrails=[blocking],
    )
    await run(agent, hooks=Hooks(), run_config=RunConfig(call_model_input_filter=model_filter))
    assert log == [
        *("blocking", "agent_start", "tools", "instructions", "handoffs", "filter", "llm_start be better", "model"),
        *("llm_end 1", "tool_start", "body", "tool_end worked"),
        *("tools", "instructions", "handoffs", "filter", "llm_start be better", "model", "llm_end 2", "agent_end done"),
    ]


@covers("S-3")
async def test_the_input_is_fixed_when_the_run_starts(run: Any) -> None:
    given: list[Any] = [{"role": "user", "content": [{"type": "input_text", "text": "first"}]}]

    @function_tool
    async def change() -> str:
        given[0]["content"][0]["text"] = "changed"
        given.append({"role": "user", "content": "more"})
        return "ok"

    model = ScriptedModel([[call("change")], "done"])
    await run(Agent(name="a", model=model, tools=[change]), given)
    sent: Any = model.calls[1].input
    assert sent[0]["content"][0]["text"] == "first"
    assert [item.get("type", "message") for item in sent] == [
        "message",
        "function_call",
        "function_call_output",
    ]


@covers("S-3")
async def test_the_callers_own_input_is_passed_on_with_its_orphans(run: Any) -> None:
    orphan = {"type": "function_call", "call_id": "old", "name": "look", "arguments": "{}"}
    same = {"role": "user", "content": "twice"}
    model = ScriptedModel(["done"])
    await run(Agent(name="a", model=model), [orphan, same, dict(same)])
    assert model.calls[0].input == [orphan, same, same]


@covers("S-3")
@pytest.mark.parametrize("one_id", ["scripted-message", "__fake_id__"])
async def test_no_message_gets_lost_though_the_model_gives_all_of_them_one_id(run: Any, one_id: str) -> None:
    replies: list[Any] = [
        [reasoning("hm", item_id="__fake_id__"), assistant_message(text, item_id=one_id), call(call_id=text)]
        for text in ("one", "two")
    ]
    model = ScriptedModel([*replies, "done"])
    await run(Agent(name="a", model=model, tools=[look]))
    sent: Any = model.calls[2].input
    assert [item.get("type", "input") for item in sent] == [
        "input",
        *("reasoning", "message", "function_call", "function_call_output") * 2,
    ]


def tool_call(call_id: str) -> Any:
    return {"type": "function_call", "call_id": call_id, "name": "look", "arguments": "{}"}


def tool_output(call_id: str, output: str) -> Any:
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def thought(text: str) -> Any:
    return {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": text}]}


REPEATS: list[tuple[list[Any], list[Any]]] = [
    ([tool_output("c", "old"), tool_call("c"), tool_output("c", "new")], [tool_call("c"), tool_output("c", "new")]),
    ([tool_call("c"), tool_output("c", "saw"), tool_call("c")], [tool_call("c"), tool_output("c", "saw")]),
    ([thought("old"), tool_call("c"), thought("new")], [thought("new"), tool_call("c")]),
]


@covers("S-3", "RC-9")
@pytest.mark.parametrize(("given", "expected"), REPEATS)
async def test_what_an_input_filter_tells_twice_is_sent_once(run: Any, given: Any, expected: Any) -> None:
    def repeat(data: Any) -> ModelInputData:
        return ModelInputData([*given, {"role": "user", "content": "a"}, {"role": "user", "content": "a"}], None)

    model = ScriptedModel(["done"])
    await run(Agent(name="a", model=model), run_config=RunConfig(call_model_input_filter=repeat))
    assert model.calls[0].input == [*expected, {"role": "user", "content": "a"}, {"role": "user", "content": "a"}]


@covers("S-3", "S-60")
async def test_what_a_session_and_the_input_both_have_is_sent_once(run: Any) -> None:
    session = InMemorySession()
    agent = Agent[Any](name="a", model=ScriptedModel([[call()], "done"]), tools=[look])
    first = await run(agent, session=session)
    model = ScriptedModel(["done"])
    await run(agent.clone(model=model), first.to_input_list()[1:3], session=session)
    sent: Any = model.calls[0].input
    assert [item.get("type", "message") for item in sent] == [
        *("message", "function_call", "message", "function_call_output"),
    ]


SEARCH: list[Any] = [
    {"type": "tool_search_call", "id": "t", "call_id": "s", "arguments": {}, "execution": "server"},
    {"type": "tool_search_output", "id": "o", "call_id": "s", "execution": "server", "tools": []},
]


@covers("S-6")
async def test_a_reply_that_only_searched_for_tools_is_no_answer(run: Any) -> None:
    result = await run(Agent(name="a", model=ScriptedModel([SEARCH, "done"])))
    assert result.final_output == "done"
    assert result.items == ["tool_search_call_item", "tool_search_output_item", "message_output_item"]
    with pytest.raises(ModelBehaviorError, match="tool search on this side"):
        await run(Agent(name="a", model=ScriptedModel([[{**SEARCH[0], "execution": "client"}], "done"])))


@covers("S-4", "S-5")
async def test_text_beside_a_call_is_an_item_and_not_the_answer(run: Any) -> None:
    model = ScriptedModel([[assistant_message("let me look"), call()], "done"])
    result = await run(Agent(name="a", model=model, tools=[look]))
    assert result.final_output == "done"
    assert result.items == [
        "message_output_item",
        "tool_call_item",
        "tool_call_output_item",
        "message_output_item",
    ]


@covers("S-4", "S-44", "S-41")
async def test_a_handoff_wins_over_a_tool_answer(run: Any) -> None:
    other = Agent(name="b", model=ScriptedModel(["from b"]))
    model = ScriptedModel([[call(), call("transfer_to_b", "h")]])
    agent = Agent(name="a", model=model, tools=[look], handoffs=[other], tool_use_behavior="stop_on_first_tool")
    result = await run(agent)
    assert result.final_output == "from b"
    assert result.last_agent is other


@covers("S-4", "S-46", "RS-2", "IT-7", "S-14")
async def test_a_missing_approval_wins_over_a_handoff_which_follows_the_decision(run: Any) -> None:
    ran: list[str] = []

    @function_tool(needs_approval=True)
    async def risky() -> str:
        ran.append("risky")
        return "done"

    other = Agent(name="b", model=ScriptedModel(["from b"]))
    model = ScriptedModel([[call("risky"), call("transfer_to_b", "h")]])
    agent = Agent(name="a", model=model, tools=[risky], handoffs=[other])
    paused = await run(agent)
    assert paused.final_output is None
    assert [item.tool_name for item in paused.interruptions] == ["risky"]
    assert paused.items == ["tool_call_item", "handoff_call_item", "tool_approval_item"]
    assert paused.last_agent is agent
    assert ran == []
    if paused.events is not None:
        assert paused.item_events == ["agent:a", "tool_called", "handoff_requested"]
    assert all(item.get("type") != "tool_approval_item" for item in paused.to_input_list())
    state = paused.to_state()
    state.approve(state.get_interruptions()[0])
    result = await run(agent, state)
    assert result.final_output == "from b"
    assert ran == ["risky"]
    assert result.interruptions == []


@covers("S-6")
async def test_the_answer_is_all_text_of_the_last_message(run: Any) -> None:
    parts: list[Any] = [{"type": "output_text", "text": text, "annotations": []} for text in ("one, ", "two")]
    message = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": parts}
    model = ScriptedModel([[assistant_message("earlier", item_id="m0"), message]])
    assert (await run(Agent(name="a", model=model))).final_output == "one, two"
    model = ScriptedModel([[reasoning("hm")]])
    assert (await run(Agent(name="a", model=model))).final_output == ""


@covers("S-6")
async def test_a_reply_of_hosted_calls_alone_asks_the_model_again(run: Any) -> None:
    searched = {
        "type": "web_search_call",
        "id": "ws",
        "status": "completed",
        "action": {"type": "search", "query": "q"},
    }
    model = ScriptedModel([[searched], "done"])
    result = await run(Agent(name="a", model=model))
    assert result.final_output == "done"
    assert result.items == ["tool_call_item", "message_output_item"]


@covers("S-7", "ER-4")
async def test_a_structured_answer_is_parsed_and_anything_else_raises(run: Any) -> None:
    agent = Agent(name="a", model=ScriptedModel(['{"response": {"x": 1, "y": 2}}']), output_type=Point)
    good = await run(agent)
    assert good.final_output == Point(1, 2)
    for text in ("no json", '{"x": 1}'):
        with pytest.raises(ModelBehaviorError) as caught:
            await run(Agent(name="a", model=ScriptedModel([text]), output_type=Point))
        assert caught.value.run_data is not None
        assert caught.value.run_data.new_items == []


@covers("S-7")
async def test_a_structured_agent_without_text_is_asked_again(run: Any) -> None:
    model = ScriptedModel([[reasoning("hm")], "", '{"response": 3}'])
    result = await run(Agent(name="a", model=model, output_type=int), max_turns=3)
    assert result.final_output == 3
    with pytest.raises(MaxTurnsExceeded):
        await run(Agent(name="a", model=ScriptedModel([[reasoning("hm")]]), output_type=int), max_turns=1)


@covers("S-8", "S-53", "ER-8")
async def test_a_refusal_raises_with_the_models_words(run: Any) -> None:
    with pytest.raises(ModelRefusalError) as caught:
        await run(Agent(name="a", model=ScriptedModel([[refusal("I will not")]])))
    assert caught.value.refusal == "I will not"
    assert caught.value.run_data is not None
    # A refusal beside a call does not count: the tool runs first.
    model = ScriptedModel([[refusal("no"), call()], "done"])
    assert (await run(Agent(name="a", model=model, tools=[look]))).final_output == "done"


class Starts(AgentHooks[Any]):
    def __init__(self) -> None:
        self.log: list[str] = []

    async def on_start(self, context: Any, agent: Any) -> None:
        self.log.append(f"start {agent.name}")

    async def on_tool_start(self, context: Any, agent: Any, tool: Any) -> None:
        self.log.append("tool")

    async def on_llm_start(self, context: Any, agent: Any, system_prompt: Any, input_items: Any) -> None:
        self.log.append("llm")


@covers("S-9")
async def test_start_hooks_run_once_per_activation(run: Any) -> None:
    hooks = Starts()
    model = ScriptedModel(
        [[call()], [call("transfer_to_b", "h1")], [call("transfer_to_a", "h2")], [call(call_id="c2")], "done"]
    )
    a = Agent(name="a", model=model, tools=[look], hooks=hooks)
    b = Agent(name="b", model=model, hooks=hooks, handoffs=[a])
    a.handoffs = [b]
    await run(a)
    assert [entry for entry in hooks.log if entry.startswith("start")] == ["start a", "start b", "start a"]


@covers("S-9")
async def test_start_hooks_run_again_after_an_approval_right_before_the_model(run: Any) -> None:
    @function_tool(needs_approval=True)
    async def risky() -> str:
        return "done"

    hooks = Starts()
    agent = Agent(name="a", model=ScriptedModel([[call("risky")], "done"]), tools=[risky], hooks=hooks)
    paused = await run(agent)
    assert hooks.log == ["start a", "llm"]
    hooks.log.clear()
    state = paused.to_state()
    state.approve(paused.interruptions[0])
    await run(agent, state)
    assert hooks.log == ["tool", "start a", "llm"]


@covers("RN-1", "RS-6")
async def test_a_run_takes_text_items_or_a_state(run: Any) -> None:
    model = ScriptedModel(["one", "two"])
    agent = Agent(name="a", model=model)
    first = await run(agent, "hello")
    assert first.input == "hello"
    await run(agent, [*first.to_input_list(), {"role": "user", "content": "and?"}])
    sent: Any = model.calls[1].input
    assert [item["role"] for item in sent] == ["user", "assistant", "user"]
    with pytest.raises(TypeError, match="input is 3"):
        await run(agent, 3)


@covers("RN-1", "AG-2")
async def test_wrong_arguments_are_named_before_anything_runs(run: Any) -> None:
    model = ScriptedModel(["one"])
    agent = Agent(name="a", model=model)
    with pytest.raises(TypeError, match="starting_agent"):
        await run("a")
    with pytest.raises(TypeError, match="max_turns"):
        await run(agent, max_turns="3")
    with pytest.raises(UserError, match="unknown"):
        await run(agent, error_handlers={"nonsense": lambda data: None})
    with pytest.raises(TypeError, match="input\\[1\\]"):
        await run(agent, [{"role": "user", "content": "hi"}, "there"])
    assert not model.calls


@covers("RN-2")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_run_sync_runs_without_a_loop_on_either_backend(backend: Any) -> None:
    model = ScriptedModel([[call()], "done"])
    agent = Agent(name="a", model=model, tools=[look])
    result = Runner.run_sync(agent, "hi", backend=backend, max_turns=2)
    assert result.final_output == "done"
    with pytest.raises(MaxTurnsExceeded):
        Runner.run_sync(
            Agent(name="a", model=ScriptedModel([[call()]]), tools=[look]), "hi", max_turns=1, backend=backend
        )
    gc.collect()


@covers("RN-2")
@pytest.mark.real_clock
async def test_run_sync_works_inside_a_running_loop() -> None:
    agent = Agent(name="a", model=ScriptedModel(["done"]))
    assert Runner.run_sync(agent, "hi").final_output == "done"


@covers("RN-3")
async def test_run_streamed_returns_at_once_and_names_wrong_arguments_itself() -> None:
    model = ScriptedModel(["done"])
    agent = Agent(name="a", model=model)
    with pytest.raises(TypeError, match="AgentHooks"):
        Runner.run_streamed(agent, "hi", hooks=AgentHooks())  # type: ignore[arg-type]
    result: Any = Runner.run_streamed(agent, "hi", {"user": 1}, 3, RunHooks(), RunConfig())
    assert not result.is_complete
    assert result.max_turns == 3
    assert not model.calls
    async for _ in result.stream_events():
        pass
    assert result.is_complete
    assert result.final_output == "done"
    assert result.context_wrapper.context == {"user": 1}


@covers("RN-5")
async def test_hooks_of_a_wrong_class_are_named(run: Any) -> None:
    with pytest.raises(TypeError, match="Starts"):
        await run(Agent(name="a", model=ScriptedModel()), hooks=Starts())
    with pytest.raises(TypeError, match="dict"):
        await run(Agent(name="a", model=ScriptedModel()), hooks={})


@covers("RN-8", "RS-8", "RS-10")
async def test_a_resumed_run_keeps_the_limit_of_its_state(run: Any) -> None:
    @function_tool(needs_approval=True)
    async def risky() -> str:
        return "done"

    model = ScriptedModel([[call("risky")], [call("risky", "c2")]])
    agent = Agent(name="a", model=model, tools=[risky])
    paused = await run(agent, max_turns=1)
    assert paused.max_turns == 1
    state = paused.to_state()
    state.approve(paused.interruptions[0])
    with pytest.raises(MaxTurnsExceeded) as caught:
        await run(agent, state, max_turns=10)
    assert len(model.calls) == 1
    assert caught.value.run_data is not None
    assert [item.type for item in caught.value.run_data.new_items][-1] == "tool_call_output_item"


@covers("RN-8")
async def test_a_finished_state_is_not_run_again(run: Any) -> None:
    agent = Agent(name="a", model=ScriptedModel(["done"]))
    state = (await run(agent)).to_state()
    with pytest.raises(UserError, match="finished"):
        await run(agent, state)


@covers("RN-8", "CX-1")
async def test_a_resumed_run_takes_a_new_context_object_and_keeps_the_rest(run: Any) -> None:
    seen: list[Any] = []

    @function_tool(needs_approval=True)
    async def risky(context: Any = None) -> str:
        return "done"

    class Hooks(RunHooks[Any]):
        async def on_tool_start(self, context: Any, agent: Any, tool: Any) -> None:
            seen.append((context.context, context.usage.requests))

    agent = Agent(name="a", model=ScriptedModel([[call("risky")], "done"]), tools=[risky])
    paused = await run(agent, context="old")
    state = paused.to_state()
    state.approve(paused.interruptions[0])
    result = await run(agent, state, context="new", hooks=Hooks())
    assert seen == [("new", 1)]
    assert result.context_wrapper.context == "new"


@covers("RC-3", "AG-10")
async def test_tool_choice_is_reset_after_the_agent_used_a_tool(run: Any) -> None:
    model = ScriptedModel([[call()], "done"])
    agent = Agent(name="a", model=model, tools=[look], model_settings=ModelSettings(tool_choice="required"))
    await run(agent)
    assert [one.model_settings.tool_choice for one in model.calls] == ["required", None]
    assert agent.model_settings.tool_choice == "required"
    model.extend([[call()], "done"])
    await run(agent.clone(reset_tool_choice=False))
    assert [one.model_settings.tool_choice for one in model.calls[2:]] == ["required", "required"]


@covers("S-3")
async def test_instructions_and_tools_are_asked_for_again_each_turn(run: Any) -> None:
    turns: list[int] = []

    async def instructions(context: Any, agent: Any) -> str:
        turns.append(len(turns))
        await anyio.lowlevel.checkpoint()
        return f"turn {len(turns)}"

    model = ScriptedModel([[call()], "done"])
    await run(Agent(name="a", model=model, tools=[look], instructions=instructions))
    assert [one.system_instructions for one in model.calls] == ["turn 1", "turn 2"]
