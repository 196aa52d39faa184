"""What of a conversation goes to a Chat Completions model, and in which form."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agentrun._exceptions import UserError
from agentrun._function_tool import FunctionTool, function_tool, tool_namespace
from agentrun._settings import ModelSettings
from agentrun.models.chat_request import Target, messages, request_body
from agentrun.models.reasoning_content_replay import (
    ReasoningContentReplayContext,
    default_should_replay_reasoning_content,
)

HERE = Target("m")
OPENAI = Target("m", official=True)
STRICT = Target("m", strict=True)


def sent(*items: Any, to: Target = HERE) -> list[dict[str, Any]]:
    return messages(None, list(items), to)


def body(settings: ModelSettings | None = None, tools: Any = (), to: Target = HERE, stream: bool = False) -> Any:
    return json.loads(request_body(to, None, "hi", settings or ModelSettings(), tools, None, [], stream=stream))


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def said(*parts: Any) -> dict[str, Any]:
    return {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": list(parts)}


def text(value: str) -> dict[str, Any]:
    return {"type": "output_text", "text": value, "annotations": []}


def call(call_id: str, **members: Any) -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": "f", "arguments": "{}", **members}


def output(call_id: str | None, value: Any = "ok") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": value}


def thought(made_by: str | None, mark: str | None = None, **members: Any) -> dict[str, Any]:
    kept = {"model": made_by} if made_by else {}
    if mark:
        kept["_chat_completions_reasoning_field"] = mark
    summary = [{"type": "summary_text", "text": "one"}, {"type": "summary_text", "text": "two"}]
    return {"type": "reasoning", "id": "r", "summary": summary, **({"provider_data": kept} if kept else {}), **members}


# ---- parts


@pytest.mark.parametrize(
    ("part", "found"),
    [
        (
            {"type": "input_image", "image_url": "http://i", "detail": "original"},
            {"type": "image_url", "image_url": {"url": "http://i", "detail": "high"}},
        ),
        (
            {"type": "image_url", "image_url": {"url": "http://i"}},
            {"type": "image_url", "image_url": {"url": "http://i", "detail": "auto"}},
        ),
        (
            {"type": "input_file", "file_data": "D", "file_id": "F", "filename": ""},
            {"type": "file", "file": {"file_data": "D"}},
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "A", "format": "wav", "more": 1}},
            {"type": "input_audio", "input_audio": {"data": "A", "format": "wav"}},
        ),
        (
            {"type": "video_url", "video_url": {"url": "http://v", "more": 1}},
            {"type": "video_url", "video_url": {"url": "http://v"}},
        ),
        (
            {"type": "text", "text": "t", "prompt_cache_breakpoint": {"mode": "explicit"}},
            {"type": "text", "text": "t", "prompt_cache_breakpoint": {"mode": "explicit"}},
        ),
    ],
    ids=["image", "chat image", "file", "audio", "video", "cache mark"],
)
def test_a_part_has_the_form_of_the_api(part: dict[str, Any], found: dict[str, Any]) -> None:
    assert sent(user(part)) == [{"role": "user", "content": [found]}]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}},
        {"type": "input_audio"},
        {"type": "image_url", "image_url": "http://i"},
        {"type": "image_url", "image_url": {"url": ""}},
        {"type": "video_url", "video_url": {}},
        {"type": "text"},
    ],
    ids=str,
)
def test_a_part_without_what_it_needs_is_refused(part: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        sent(user(part))


def test_openai_takes_no_videos() -> None:
    with pytest.raises(UserError, match="a video in a message of the user"):
        sent(user({"type": "video_url", "video_url": {"url": "http://v"}}), to=OPENAI)


def test_messages_of_the_system_hold_text_only() -> None:
    parts = [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": "http://i"}]
    assert sent({"role": "system", "content": parts})[0]["content"] == [{"type": "text", "text": "a"}]


# ---- messages of the assistant


def test_texts_of_one_message_are_lines_and_the_last_refusal_counts() -> None:
    refusals = [{"type": "refusal", "refusal": "no"}, {"type": "refusal", "refusal": "never"}]
    assert sent(said(text("a"), text("b"), *refusals)) == [{"role": "assistant", "content": "a\nb", "refusal": "never"}]


def test_a_message_that_somebody_wrote_takes_no_calls() -> None:
    found = sent({"role": "assistant", "content": "example"}, call("1"), output("1"))
    assert [message.get("tool_calls") is not None for message in found] == [False, True, False]
    written = [{"type": "input_text", "text": "a"}, {"type": "text", "text": "b"}]
    assert sent({"role": "assistant", "content": written})[0]["content"] == [
        {"type": "text", "text": "a"},
        {"type": "text", "text": "b"},
    ]


def test_a_reply_that_names_its_calls_first_is_one_message() -> None:
    found = sent(call("1"), said(text("a")), output("1"))
    assert [message["role"] for message in found] == ["assistant", "tool"]
    assert (found[0]["content"], len(found[0]["tool_calls"])) == ("a", 1)


def test_a_message_of_nothing_is_an_empty_text() -> None:
    assert sent(said()) == [{"role": "assistant", "content": ""}]


def test_a_file_search_is_a_call() -> None:
    search = {"type": "file_search_call", "id": "fs", "queries": ["q"], "status": "completed"}
    [message] = sent(search)
    assert message["tool_calls"] == [
        {
            "id": "fs",
            "type": "function",
            "function": {"name": "file_search_call", "arguments": '{"queries": ["q"], "status": "completed"}'},
        }
    ]


def test_only_gemini_gets_its_signature_back() -> None:
    signed = call("1", provider_data={"thought_signature": "S"})
    assert "extra_content" not in sent(signed)[0]["tool_calls"][0]
    [found] = sent(signed, to=Target("gemini-3"))[0]["tool_calls"]
    assert found["extra_content"] == {"google": {"thought_signature": "S"}}


# ---- outputs of tools


def test_an_output_belongs_to_a_call() -> None:
    with pytest.raises(UserError, match="has no call_id"):
        sent(output(None))


def test_an_output_of_nothing_says_so() -> None:
    assert sent(output("1", []))[0]["content"] == "[tool output omitted]"


def test_outputs_without_text_are_refused_where_nothing_may_be_moved() -> None:
    image = {"type": "input_image", "image_url": "http://i"}
    for parts in ([], [image]):
        with pytest.raises(UserError, match="holds no text"):
            sent(call("1"), output("1", parts), to=STRICT)
    assert len(sent(call("1"), output("1", [image]))) == 3


# ---- reasoning


def test_deepseek_gets_back_what_a_deepseek_model_thought_in_every_turn() -> None:
    here = Target("deepseek-chat")
    for item in (thought("deepseek-r1"), thought(None)):
        found = sent(user(), item, call("1"), output("1"), user(), to=here)
        assert found[1]["reasoning_content"] == "one\ntwo"
    assert "reasoning_content" not in sent(thought("other"), call("1"), to=here)[0]


def test_full_reasoning_goes_back_to_the_model_that_made_it() -> None:
    full = {"content": [{"type": "reasoning_text", "text": "full"}], "summary": []}
    found = sent(user(), thought("m", "reasoning", **full), call("1"), output("1"), user())
    assert found[1]["reasoning"] == "full"
    assert "reasoning" not in sent(thought("other", "reasoning", **full), call("1"))[0]


def test_a_program_can_decide_what_reasoning_goes_back() -> None:
    asked: list[ReasoningContentReplayContext] = []

    def decide(context: ReasoningContentReplayContext) -> bool:
        asked.append(context)
        return context.reasoning.origin_model == "other"

    here = Target("m", "https://host.example/v1/", should_replay=decide)
    items = [thought("other"), said(text("a")), call("1"), output("1"), thought("m", "reasoning_content"), call("2")]
    found = sent(*items, to=here)
    assert [message.get("reasoning_content") for message in found] == ["one\ntwo", None, None]
    assert [(one.model, one.base_url, one.reasoning.origin_model) for one in asked] == [
        ("m", "https://host.example/v1", "other"),
        ("m", "https://host.example/v1", "m"),
    ]
    assert asked[0].reasoning.item is items[0]
    assert not default_should_replay_reasoning_content(asked[0])


def test_reasoning_goes_with_the_reply_it_belongs_to() -> None:
    here = Target("m", should_replay=lambda context: True)
    assert "reasoning_content" not in str(sent(thought("m"), user(), call("1"), to=here))
    assert "reasoning_content" not in str(sent(thought("m"), output("0"), call("1"), to=here))
    assert sent(thought("m"), said(text("a")), call("1"), to=here)[0]["reasoning_content"] == "one\ntwo"
    assert sent(said(text("a")), thought("m"), call("1"), to=here)[0]["reasoning_content"] == "one\ntwo"


# ---- tools and settings


async def run(context: Any, arguments: str) -> str:
    return arguments


@function_tool
def add(a: int) -> int:
    """Add one."""
    return a + 1


@pytest.mark.parametrize(
    ("tools", "feature"),
    [
        (tool_namespace(name="n", description="d", tools=[add]), r"tool_namespace\(\)"),
        ([FunctionTool("t", "d", {}, run, defer_loading=True)], "defer_loading"),
        ([FunctionTool("t", "d", {}, run, allowed_callers=["direct"])], "allowed_callers"),
        ([FunctionTool("t", "d", {}, run, output_json_schema={"type": "object"})], "output_json_schema"),
    ],
    ids=["namespace", "deferred", "callers", "output"],
)
def test_what_only_the_responses_api_has_of_a_tool_is_refused(tools: Any, feature: str) -> None:
    with pytest.raises(UserError, match=rf"has {feature}, which only exists in the Responses API"):
        body(tools=tools)


def test_openai_keeps_replies_unless_told_otherwise() -> None:
    assert body(to=OPENAI)["store"] is True
    assert body(ModelSettings(store=False), to=OPENAI)["store"] is False
    assert "store" not in body()


def test_options_of_the_prompt_cache_are_sent() -> None:
    assert body(ModelSettings(prompt_cache_options={"mode": "explicit"}))["prompt_cache_options"] == {
        "mode": "explicit"
    }


def test_more_members_may_not_repeat_what_is_set() -> None:
    with pytest.raises(TypeError, match="multiple values for 'temperature'"):
        body(ModelSettings(temperature=0.1, extra_args={"temperature": 0.2}))
    with pytest.raises(TypeError, match="multiple values for 'messages', 'model'"):
        body(ModelSettings(extra_args={"model": "x", "messages": []}))
    assert body(ModelSettings(temperature=0.1, extra_body={"temperature": 0.2}))["temperature"] == 0.2
    found = body(ModelSettings(top_logprobs=2, extra_args={"logprobs": False}))
    assert (found["logprobs"], found["top_logprobs"]) == (False, 2)


def test_a_timeout_is_no_member_of_a_request() -> None:
    with pytest.raises(UserError, match=r"set ModelSettings\.timeout"):
        body(ModelSettings(extra_args={"timeout": 3}))
