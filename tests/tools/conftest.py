from __future__ import annotations

from typing import Any

import pytest

from agentrun._config import RunConfig
from agentrun._context import ToolContext
from agentrun._tool import FunctionTool, ToolErrorFormatter


class Caller:
    """Calls tools the way a run does, and keeps the context of the last call."""

    def __init__(self) -> None:
        self.context: ToolContext[Any] = self.new_context("t", "")

    @staticmethod
    def new_context(name: str, arguments: str, formatter: ToolErrorFormatter | None = None) -> ToolContext[Any]:
        config = None if formatter is None else RunConfig(model_provider=None, tool_error_formatter=formatter)  # type: ignore[arg-type]
        return ToolContext(
            {"user": "ada"}, tool_name=name, tool_call_id="call_1", tool_arguments=arguments, run_config=config
        )

    async def __call__(self, tool: FunctionTool, arguments: str, formatter: ToolErrorFormatter | None = None) -> Any:
        self.context = self.new_context(tool.name, arguments, formatter)
        return await tool.on_invoke_tool(self.context, arguments)


@pytest.fixture
def call() -> Caller:
    return Caller()
