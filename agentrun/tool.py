"""Tools: the public place of what makes and describes them.

Source: tools.
"""

from agentrun._failure_values import ToolErrorFormatterArgs
from agentrun._function_tool import (
    FunctionTool,
    FunctionToolCustomDataContext,
    FunctionToolCustomDataExtractor,
    ToolCaller,
    ToolFunction,
    ToolTimeoutBehavior,
    function_tool,
    tool_namespace,
)
from agentrun._hosted_tools import (
    CodeInterpreterTool,
    FileSearchTool,
    HostedMCPTool,
    ImageGenerationTool,
    ImageGenerationToolConfig,
    MCPToolApprovalFunction,
    MCPToolApprovalFunctionResult,
    MCPToolApprovalRequest,
    ProgrammaticToolCallingTool,
    Tool,
    ToolSearchTool,
    WebSearchTool,
    WebSearchToolImageSettings,
)
from agentrun._tool import FunctionToolResult, StopAtTools, ToolsToFinalOutputFunction, ToolsToFinalOutputResult
from agentrun._tool_failure import (
    DEFAULT_APPROVAL_REJECTION_MESSAGE,
    ToolErrorFormatter,
    ToolErrorFunction,
    default_tool_error_function,
)
from agentrun._tool_output import ToolOrigin, ToolOriginType
from agentrun._tool_output_parts import (
    ToolOutputFileContent,
    ToolOutputFileContentDict,
    ToolOutputImage,
    ToolOutputImageDict,
    ToolOutputText,
    ToolOutputTextDict,
    ValidToolOutputPydanticModels,
)

__all__ = [  # noqa: RUF022 - sorted as `sorted` does
    "CodeInterpreterTool",
    "DEFAULT_APPROVAL_REJECTION_MESSAGE",
    "FileSearchTool",
    "FunctionTool",
    "FunctionToolCustomDataContext",
    "FunctionToolCustomDataExtractor",
    "FunctionToolResult",
    "HostedMCPTool",
    "ImageGenerationTool",
    "ImageGenerationToolConfig",
    "MCPToolApprovalFunction",
    "MCPToolApprovalFunctionResult",
    "MCPToolApprovalRequest",
    "ProgrammaticToolCallingTool",
    "StopAtTools",
    "Tool",
    "ToolCaller",
    "ToolErrorFormatter",
    "ToolErrorFormatterArgs",
    "ToolErrorFunction",
    "ToolFunction",
    "ToolOrigin",
    "ToolOriginType",
    "ToolOutputFileContent",
    "ToolOutputFileContentDict",
    "ToolOutputImage",
    "ToolOutputImageDict",
    "ToolOutputText",
    "ToolOutputTextDict",
    "ToolSearchTool",
    "ToolTimeoutBehavior",
    "ToolsToFinalOutputFunction",
    "ToolsToFinalOutputResult",
    "ValidToolOutputPydanticModels",
    "WebSearchTool",
    "WebSearchToolImageSettings",
    "default_tool_error_function",
    "function_tool",
    "tool_namespace",
]
