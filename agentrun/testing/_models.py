"""Models without a script: one made of a function, and one that tries every tool."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeAlias, cast

from agentrun._usage import Usage
from agentrun.testing._schema_values import schema_value
from agentrun.testing._scripted import PlayedModel
from agentrun.testing._steps import ModelCall, ModelStep, Step, as_output_item, function_call

ModelFunction: TypeAlias = Callable[[ModelCall], Step | Awaitable[Step] | AsyncIterable[Any]]
"""A function of a call that returns any step, or an async generator function that yields stream events."""


class FunctionModel(PlayedModel):
    """A model that is a function of the call; it keeps no record, so it fits long and concurrent runs.

    The function gets a `ModelCall` whose members are the run's own objects, not copies, and returns what a step of
    `ScriptedModel` may be: items, a text, a `ModelResponse`, a `ModelStep`, an exception. An async generator function
    yields the exact stream events; a call without a stream is then answered by its `response.completed` event.

    Raises:
        TypeError: it is no function.
    """

    def __init__(self, function: ModelFunction, *, default_usage: Usage | None = None) -> None:
        """Make a model of `function`.

        Args:
            function: called once per model call, in the caller's task.
            default_usage: the tokens of replies that name none.
        """
        if not callable(function):
            raise TypeError(f"FunctionModel needs a function of a ModelCall, got {function!r}")
        super().__init__(default_usage=default_usage)
        self._step = ModelStep(responder=function)
        self._name = getattr(function, "__qualname__", repr(function))

    def __repr__(self) -> str:
        return f"<FunctionModel {self._name}>"

    def _choose(self, call: ModelCall) -> ModelStep:
        return self._step


class AutoModel(PlayedModel):
    """A model that calls every offered function tool once, with arguments valid under their schema, then answers.

    It goes by the conversation it is given and keeps no state: a tool counts as called when a call of it stands after
    the last user message. It never hands over. With an output schema the answer is JSON that is valid under it.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        text: str = "All tools were called.",
        call_tools: Iterable[str] | None = None,
        parallel: bool = True,
        default_usage: Usage | None = None,
    ) -> None:
        """Make the model.

        Args:
            seed: what arguments and answers are made from; the same seed, the same values.
            text: the answer where no output schema asks for JSON.
            call_tools: the names of the tools to call; all that are offered when None.
            parallel: call the tools in one reply; one tool per reply when False.
            default_usage: the tokens of every reply.
        """
        super().__init__(default_usage=default_usage)
        self._seed = seed
        self._text = text
        self._names = None if call_tools is None else frozenset(call_tools)
        self._parallel = parallel

    def __repr__(self) -> str:
        return f"<AutoModel seed={self._seed}>"

    def _choose(self, call: ModelCall) -> ModelStep:
        called, turns = _calls_since_user(call.input)
        tools = [] if call.model_settings.tool_choice == "none" else call.tools
        due: list[Any] = [
            tool
            for tool in cast("list[Any]", tools)
            if isinstance(getattr(tool, "params_json_schema", None), Mapping)
            and tool.name not in called
            and (self._names is None or tool.name in self._names)
        ]
        if not due:
            return ModelStep(output=[as_output_item(self._final_text(call))])
        return ModelStep(
            output=[
                function_call(
                    tool.name,
                    schema_value(tool.params_json_schema, seed=f"{self._seed}:{tool.name}"),
                    call_id=f"auto-{turns}-{place}",
                )
                for place, tool in enumerate(due if self._parallel else due[:1])
            ]
        )

    def _final_text(self, call: ModelCall) -> str:
        schema = call.output_schema
        if schema is None or schema.is_plain_text():
            return self._text
        return json.dumps(schema_value(schema.json_schema(), seed=f"{self._seed}:answer"))


def _calls_since_user(conversation: Any) -> tuple[set[str], int]:
    """Return the names of the functions called since the last user message, and how many calls there are in all."""
    called: set[str] = set()
    calls = 0
    for item in () if isinstance(conversation, str) else cast("list[dict[str, Any]]", conversation):
        if item.get("type") == "function_call":
            called.add(str(item.get("name")))
            calls += 1
        elif item.get("role") == "user":
            called.clear()
    return called, calls
