"""A model of the user's may answer in classes of another library that dump as pydantic's do, such as `openai`'s."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from agentrun import Agent, InMemorySession, Model, ModelResponse, Runner, Usage, function_tool
from agentrun.items import ResponseFunctionToolCall, ResponseOutputMessage


class Foreign:
    """An object whose attributes are its fields, and that dumps what was set."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__ |= fields

    def model_dump(self, **options: Any) -> dict[str, Any]:
        return {name: _dumped(value) for name, value in vars(self).items()}


def _dumped(value: Any) -> Any:
    if isinstance(value, list):
        entries: list[Any] = value  # pyright: ignore[reportUnknownVariableType]
        return [_dumped(entry) for entry in entries]
    return value.model_dump() if isinstance(value, Foreign) else value


CALL = Foreign(id="f", call_id="c1", type="function_call", name="add", arguments='{"a": 1, "b": 2}')
PART = Foreign(text="three", type="output_text", annotations=[])
MESSAGE = Foreign(id="m", type="message", role="assistant", status="completed", content=[PART])
USAGE = Foreign(
    input_tokens=3,
    output_tokens=4,
    total_tokens=7,
    input_tokens_details=Foreign(cached_tokens=1),
    output_tokens_details=Foreign(reasoning_tokens=0),
)


class ForeignModel(Model):
    def __init__(self) -> None:
        self.replies: list[Any] = [[CALL], [MESSAGE]]

    async def get_response(self, *args: Any, **named: Any) -> ModelResponse:
        return ModelResponse(output=self.replies.pop(0), usage=Usage(requests=1, total_tokens=7), response_id=None)

    async def stream_response(self, *args: Any, **named: Any) -> AsyncIterator[Any]:
        output = self.replies.pop(0)
        response = Foreign(id="r", object="response", status="completed", output=output, usage=USAGE)
        yield Foreign(type="response.created", response=Foreign(id="r", output=[]), sequence_number=0)
        if output == [MESSAGE]:
            yield Foreign(type="response.output_text.delta", delta="three", sequence_number=1)
        yield Foreign(type="response.output_item.done", item=output[0], output_index=0, sequence_number=2)
        yield Foreign(type="response.completed", response=response, sequence_number=3)


@function_tool
def add(a: int, b: int) -> int:
    return a + b


async def test_its_items_become_ours() -> None:
    session = InMemorySession()
    result = await Runner.run(Agent("a", model=ForeignModel(), tools=[add]), "1 + 2?", session=session)
    assert result.final_output == "three"
    assert [type(item.raw_item) for item in result.new_items] == [
        ResponseFunctionToolCall,
        dict,
        ResponseOutputMessage,
    ]
    assert await session.get_items() == result.to_input_list()
    assert result.to_input_list()[-1]["content"] == [{"type": "output_text", "text": "three", "annotations": []}]


async def test_its_events_are_streamed_as_they_came_and_its_replies_become_ours() -> None:
    streamed = Runner.run_streamed(Agent("a", model=ForeignModel(), tools=[add]), "1 + 2?")
    deltas: list[str] = []
    async for event in streamed.stream_events():
        if event.type == "raw_response_event":
            assert isinstance(event.data, Foreign)
            if event.data.type == "response.output_text.delta":
                deltas.append(event.data.delta)
    assert deltas == ["three"]
    assert streamed.final_output == "three"
    assert [type(reply.output[0]) for reply in streamed.raw_responses] == [
        ResponseFunctionToolCall,
        ResponseOutputMessage,
    ]
    assert streamed.context_wrapper.usage.total_tokens == 14
    assert streamed.context_wrapper.usage.input_tokens_details.cached_tokens == 2


async def test_its_items_may_be_input() -> None:
    given: Any = [MESSAGE, Foreign(role="user", content="1 + 2?")]
    result = await Runner.run(Agent("a", model=ForeignModel(), tools=[add]), given)
    assert [item.get("role") for item in result.to_input_list()[:2]] == ["assistant", "user"]
