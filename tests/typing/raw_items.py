"""What type checkers know of events and raw items: `type` and `isinstance` tell them apart."""

from __future__ import annotations

from typing import assert_type

from agentrun import Agent, ModelResponse, RunItem, Runner, TResponseOutputItem
from agentrun.items import (
    MessageOutputItem,
    ResponseFileSearchToolCall,
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
    ResponseTextDeltaEvent,
    ToolCallItem,
)


async def events(agent: Agent) -> None:
    async for event in Runner.run_streamed(agent, "hi").stream_events():
        if event.type == "raw_response_event":
            if event.data.type == "response.output_text.delta":
                assert_type(event.data, ResponseTextDeltaEvent)
                assert_type(event.data.delta, str)
            elif event.data.type == "response.completed":
                assert_type(event.data.response.output, list[TResponseOutputItem])
            elif event.data.type == "response.image_generation_call.partial_image":
                assert_type(event.data.partial_image_b64, str)
            if isinstance(event.data, ResponseTextDeltaEvent):
                assert_type(event.data.delta, str)
        elif event.type == "run_item_stream_event":
            run_item(event.item)
        else:
            assert_type(event.new_agent.name, str)


def run_item(item: RunItem) -> None:
    if item.type == "tool_call_item":
        assert_type(item, ToolCallItem)
        if item.raw_item.type == "function_call":
            assert_type(item.raw_item, ResponseFunctionToolCall)
            assert_type(item.raw_item.arguments, str)
        elif isinstance(item.raw_item, ResponseFileSearchToolCall):
            assert_type(item.raw_item.queries, list[str])
    elif item.type == "message_output_item":
        assert_type(item, MessageOutputItem)
        for part in item.raw_item.content:
            if part.type == "output_text":
                assert_type(part, ResponseOutputText)
            else:
                assert_type(part.refusal, str)
    elif item.type == "mcp_approval_request_item":
        assert_type(item.raw_item.server_label, str)


def reply(response: ModelResponse) -> None:
    for item in response.output:
        if item.type == "message":
            assert_type(item, ResponseOutputMessage)
        elif item.type == "function_call":
            assert_type(item.call_id, str)


def made() -> None:
    text = ResponseOutputText(text="x", type="output_text", annotations=[])
    message = ResponseOutputMessage(id="1", type="message", role="assistant", content=[text], status="completed")
    assert_type(message.model_copy(update={"id": "2"}), ResponseOutputMessage)
    assert_type(ResponseOutputText.model_validate({"text": "x"}), ResponseOutputText)
    assert_type(ResponseOutputText.construct(text="x"), ResponseOutputText)
