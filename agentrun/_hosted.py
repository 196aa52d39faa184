"""Responses output items and stream events that few programs meet: hosted tools, computers, shells, images, MCP.

This module loads when the first such item or event arrives, or when one of its classes is imported by name. Objects
inside them (actions, results, tools) are Records.
Only what a run needs to go on is required; the rest may be missing, as it is in the first event of a hosted call.

Source: OpenAI API reference, "Responses" and "Streaming events".
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from agentrun._fields import new_list
from agentrun._responses import Response, ResponseFunctionToolCall
from agentrun._wire_value import Json, Record, WireValue, fresh


class ResponseFileSearchToolCall(WireValue):
    """A search in the caller's vector stores, run by the provider."""

    type: Literal["file_search_call"] = "file_search_call"
    id: str = ""
    queries: list[str] = fresh(factory=new_list)
    status: str = "completed"
    results: list[Record] | None = None


class ResponseFunctionToolCallOutputItem(WireValue):
    """The output of a function tool's call, as a stored item."""

    type: Literal["function_call_output"] = "function_call_output"
    id: str = ""
    output: str | list[Record] = ""
    status: str = "completed"
    call_id: str | None = None
    caller: Record | None = None
    created_by: str | None = None
    name: str | None = None
    namespace: str | None = None


class ResponseFunctionWebSearch(WireValue):
    """A web search, run by the provider; `action` is a search, an opened page or a find in a page."""

    type: Literal["web_search_call"] = "web_search_call"
    id: str = ""
    action: Record | None = None
    status: str = "completed"


class ResponseComputerToolCall(WireValue):
    """An action, or several, that the model wants done on a computer."""

    type: Literal["computer_call"] = "computer_call"
    call_id: str
    id: str = ""
    pending_safety_checks: list[Record] = fresh(factory=new_list)
    status: str = "completed"
    action: Record | None = None
    actions: list[Record] | None = None


class ResponseComputerToolCallOutputItem(WireValue):
    """The screenshot that answers a computer call."""

    type: Literal["computer_call_output"] = "computer_call_output"
    call_id: str
    id: str = ""
    output: Record | None = None
    status: str = "completed"
    acknowledged_safety_checks: list[Record] | None = None
    created_by: str | None = None


class Program(WireValue):
    """A program the model wrote to call tools."""

    type: Literal["program"] = "program"
    call_id: str
    id: str = ""
    code: str = ""
    fingerprint: str = ""


class ProgramOutput(WireValue):
    """What a program returned."""

    type: Literal["program_output"] = "program_output"
    call_id: str
    id: str = ""
    result: str = ""
    status: str = "completed"


class ResponseToolSearchCall(WireValue):
    """A search for tools that are loaded on demand; `arguments` is JSON of any kind."""

    type: Literal["tool_search_call"] = "tool_search_call"
    id: str = ""
    arguments: Json = None
    call_id: str | None = None
    execution: str = ""
    status: str = "completed"
    created_by: str | None = None


class ResponseToolSearchOutputItem(WireValue):
    """The tools that a tool search found."""

    type: Literal["tool_search_output"] = "tool_search_output"
    id: str = ""
    call_id: str | None = None
    execution: str = ""
    status: str = "completed"
    tools: list[Record] = fresh(factory=new_list)
    created_by: str | None = None


class AdditionalTools(WireValue):
    """Tools added in the middle of a conversation."""

    type: Literal["additional_tools"] = "additional_tools"
    id: str = ""
    role: str = ""
    tools: list[Record] = fresh(factory=new_list)


class ResponseCompactionItem(WireValue):
    """A conversation made short by the provider, encrypted."""

    type: Literal["compaction"] = "compaction"
    id: str = ""
    encrypted_content: str = ""
    created_by: str | None = None


class ImageGenerationCall(WireValue):
    """An image made by the provider; `result` is base64."""

    type: Literal["image_generation_call"] = "image_generation_call"
    id: str = ""
    result: str | None = None
    status: str = "completed"
    action: str | None = None
    background: str | None = None
    error: Record | None = None
    output_format: str | None = None
    quality: str | None = None
    revised_prompt: str | None = None
    size: str | None = None
    svg_usage: Record | None = None


class ResponseCodeInterpreterToolCall(WireValue):
    """Code run by the provider in a container."""

    type: Literal["code_interpreter_call"] = "code_interpreter_call"
    id: str = ""
    code: str | None = None
    container_id: str = ""
    outputs: list[Record] | None = None
    status: str = "completed"


class LocalShellCall(WireValue):
    """A command for a shell on the caller's side, older form."""

    type: Literal["local_shell_call"] = "local_shell_call"
    call_id: str
    id: str = ""
    action: Record | None = None
    status: str = "completed"


class LocalShellCallOutput(WireValue):
    """The output of a local shell call, as JSON text."""

    type: Literal["local_shell_call_output"] = "local_shell_call_output"
    id: str = ""
    output: str = ""
    status: str | None = None


class ResponseFunctionShellToolCall(WireValue):
    """Commands for a shell, in a container or on the caller's side."""

    type: Literal["shell_call"] = "shell_call"
    call_id: str
    id: str = ""
    action: Record | None = None
    environment: Record | None = None
    status: str = "completed"
    caller: Record | None = None
    created_by: str | None = None


class ResponseFunctionShellToolCallOutput(WireValue):
    """What the commands of a shell call printed, and how each ended."""

    type: Literal["shell_call_output"] = "shell_call_output"
    call_id: str
    id: str = ""
    max_output_length: int | None = None
    output: list[Record] = fresh(factory=new_list)
    status: str = "completed"
    caller: Record | None = None
    created_by: str | None = None


class ResponseApplyPatchToolCall(WireValue):
    """A file to create, change or delete; `operation` says which and how."""

    type: Literal["apply_patch_call"] = "apply_patch_call"
    call_id: str
    id: str = ""
    operation: Record | None = None
    status: str = "completed"
    caller: Record | None = None
    created_by: str | None = None


class ResponseApplyPatchToolCallOutput(WireValue):
    """Whether a patch applied."""

    type: Literal["apply_patch_call_output"] = "apply_patch_call_output"
    call_id: str
    id: str = ""
    status: str = "completed"
    caller: Record | None = None
    created_by: str | None = None
    output: str | None = None


class McpCall(WireValue):
    """A call of an MCP server's tool, run by the provider."""

    type: Literal["mcp_call"] = "mcp_call"
    arguments: str
    name: str
    id: str = ""
    server_label: str = ""
    approval_request_id: str | None = None
    error: Record | None = None
    output: str | None = None
    status: str | None = None


class McpListTools(WireValue):
    """The tools that an MCP server offers."""

    type: Literal["mcp_list_tools"] = "mcp_list_tools"
    id: str = ""
    server_label: str = ""
    tools: list[Record] = fresh(factory=new_list)
    error: str | None = None


class McpApprovalRequest(WireValue):
    """A question to the caller: may this MCP tool run."""

    type: Literal["mcp_approval_request"] = "mcp_approval_request"
    arguments: str
    name: str
    id: str = ""
    server_label: str = ""


class McpApprovalResponse(WireValue):
    """The caller's answer to an approval request."""

    type: Literal["mcp_approval_response"] = "mcp_approval_response"
    id: str = ""
    approval_request_id: str = ""
    approve: bool = False
    reason: str | None = None


class ResponseCustomToolCall(WireValue):
    """A call of a custom tool, whose input is free text."""

    type: Literal["custom_tool_call"] = "custom_tool_call"
    call_id: str
    input: str
    name: str
    id: str | None = None
    async_: bool | None = None
    caller: Record | None = None
    namespace: str | None = None


class ResponseCustomToolCallOutputItem(WireValue):
    """The output of a custom tool's call, as a stored item."""

    type: Literal["custom_tool_call_output"] = "custom_tool_call_output"
    call_id: str
    output: str | list[Record] = ""
    id: str = ""
    caller: Record | None = None
    status: str = "completed"
    created_by: str | None = None


class HostedEvent(WireValue):
    """The base of the stream events here."""

    sequence_number: int = 0


class ResponseAudioDeltaEvent(HostedEvent):
    """More audio, base64."""

    type: Literal["response.audio.delta"] = "response.audio.delta"
    delta: str


class ResponseAudioDoneEvent(HostedEvent):
    """The audio is whole."""

    type: Literal["response.audio.done"] = "response.audio.done"


class ResponseAudioTranscriptDeltaEvent(HostedEvent):
    """More of the audio's transcript."""

    type: Literal["response.audio.transcript.delta"] = "response.audio.transcript.delta"
    delta: str


class ResponseAudioTranscriptDoneEvent(HostedEvent):
    """The audio's transcript is whole."""

    type: Literal["response.audio.transcript.done"] = "response.audio.transcript.done"


class ResponseCodeInterpreterCallCodeDeltaEvent(HostedEvent):
    """More code of a code interpreter call."""

    type: Literal["response.code_interpreter_call_code.delta"] = "response.code_interpreter_call_code.delta"
    delta: str
    item_id: str = ""
    output_index: int = 0


class ResponseCodeInterpreterCallCodeDoneEvent(HostedEvent):
    """The code of a code interpreter call is whole."""

    type: Literal["response.code_interpreter_call_code.done"] = "response.code_interpreter_call_code.done"
    code: str = ""
    item_id: str = ""
    output_index: int = 0


class ResponseCodeInterpreterCallCompletedEvent(HostedEvent):
    """A code interpreter call ended."""

    type: Literal["response.code_interpreter_call.completed"] = "response.code_interpreter_call.completed"
    item_id: str = ""
    output_index: int = 0


class ResponseCodeInterpreterCallInProgressEvent(HostedEvent):
    """A code interpreter call began."""

    type: Literal["response.code_interpreter_call.in_progress"] = "response.code_interpreter_call.in_progress"
    item_id: str = ""
    output_index: int = 0


class ResponseCodeInterpreterCallInterpretingEvent(HostedEvent):
    """The code of a code interpreter call runs."""

    type: Literal["response.code_interpreter_call.interpreting"] = "response.code_interpreter_call.interpreting"
    item_id: str = ""
    output_index: int = 0


class ResponseCompactionCompactingEvent(HostedEvent):
    """The conversation is being made short."""

    type: Literal["response.compaction.compacting"] = "response.compaction.compacting"
    item_id: str = ""
    output_index: int = 0


class ResponseFileSearchCallCompletedEvent(HostedEvent):
    """A file search ended."""

    type: Literal["response.file_search_call.completed"] = "response.file_search_call.completed"
    item_id: str = ""
    output_index: int = 0


class ResponseFileSearchCallInProgressEvent(HostedEvent):
    """A file search began."""

    type: Literal["response.file_search_call.in_progress"] = "response.file_search_call.in_progress"
    item_id: str = ""
    output_index: int = 0


class ResponseFileSearchCallSearchingEvent(HostedEvent):
    """A file search runs."""

    type: Literal["response.file_search_call.searching"] = "response.file_search_call.searching"
    item_id: str = ""
    output_index: int = 0


class ResponseShellCallCommandAddedEvent(HostedEvent):
    """A command of a shell call was begun."""

    type: Literal["response.shell_call_command.added"] = "response.shell_call_command.added"
    command: str = ""
    command_index: int = 0
    output_index: int = 0


class ResponseShellCallCommandDeltaEvent(HostedEvent):
    """More of a shell command."""

    type: Literal["response.shell_call_command.delta"] = "response.shell_call_command.delta"
    delta: str
    command_index: int = 0
    output_index: int = 0
    obfuscation: str | None = None


class ResponseShellCallCommandDoneEvent(HostedEvent):
    """A shell command is whole."""

    type: Literal["response.shell_call_command.done"] = "response.shell_call_command.done"
    command: str = ""
    command_index: int = 0
    output_index: int = 0


class ResponseShellCallOutputContentDeltaEvent(HostedEvent):
    """More output of a shell command; `delta` has `stdout` or `stderr`."""

    type: Literal["response.shell_call_output_content.delta"] = "response.shell_call_output_content.delta"
    command_index: int = 0
    delta: Record | None = None
    item_id: str = ""
    output_index: int = 0


class ResponseShellCallOutputContentDoneEvent(HostedEvent):
    """The output of a shell command is whole."""

    type: Literal["response.shell_call_output_content.done"] = "response.shell_call_output_content.done"
    command_index: int = 0
    item_id: str = ""
    output: list[Record] = fresh(factory=new_list)
    output_index: int = 0


class ResponseWebSearchCallCompletedEvent(HostedEvent):
    """A web search ended."""

    type: Literal["response.web_search_call.completed"] = "response.web_search_call.completed"
    item_id: str = ""
    output_index: int = 0


class ResponseWebSearchCallInProgressEvent(HostedEvent):
    """A web search began."""

    type: Literal["response.web_search_call.in_progress"] = "response.web_search_call.in_progress"
    item_id: str = ""
    output_index: int = 0


class ResponseWebSearchCallSearchingEvent(HostedEvent):
    """A web search runs."""

    type: Literal["response.web_search_call.searching"] = "response.web_search_call.searching"
    item_id: str = ""
    output_index: int = 0


class ResponseImageGenCallCompletedEvent(HostedEvent):
    """An image is finished."""

    type: Literal["response.image_generation_call.completed"] = "response.image_generation_call.completed"
    item_id: str = ""
    output_index: int = 0


class ResponseImageGenCallGeneratingEvent(HostedEvent):
    """An image is being made."""

    type: Literal["response.image_generation_call.generating"] = "response.image_generation_call.generating"
    item_id: str = ""
    output_index: int = 0


class ResponseImageGenCallInProgressEvent(HostedEvent):
    """An image was begun."""

    type: Literal["response.image_generation_call.in_progress"] = "response.image_generation_call.in_progress"
    item_id: str = ""
    output_index: int = 0


class ResponseImageGenCallPartialImageEvent(HostedEvent):
    """An image as far as it is made, base64."""

    type: Literal["response.image_generation_call.partial_image"] = "response.image_generation_call.partial_image"
    item_id: str = ""
    output_index: int = 0
    partial_image_b64: str = ""
    partial_image_index: int = 0
    background: str | None = None
    output_format: str | None = None
    quality: str | None = None
    size: str | None = None


class ResponseMcpCallArgumentsDeltaEvent(HostedEvent):
    """More of an MCP call's arguments."""

    type: Literal["response.mcp_call_arguments.delta"] = "response.mcp_call_arguments.delta"
    delta: str
    item_id: str = ""
    output_index: int = 0


class ResponseMcpCallArgumentsDoneEvent(HostedEvent):
    """An MCP call's arguments are whole."""

    type: Literal["response.mcp_call_arguments.done"] = "response.mcp_call_arguments.done"
    arguments: str
    item_id: str = ""
    output_index: int = 0


class ResponseMcpCallCompletedEvent(HostedEvent):
    """An MCP call ended well."""

    type: Literal["response.mcp_call.completed"] = "response.mcp_call.completed"
    item_id: str = ""
    output_index: int = 0


class ResponseMcpCallFailedEvent(HostedEvent):
    """An MCP call failed."""

    type: Literal["response.mcp_call.failed"] = "response.mcp_call.failed"
    item_id: str = ""
    output_index: int = 0


class ResponseMcpCallInProgressEvent(HostedEvent):
    """An MCP call began."""

    type: Literal["response.mcp_call.in_progress"] = "response.mcp_call.in_progress"
    item_id: str = ""
    output_index: int = 0


class ResponseMcpListToolsCompletedEvent(HostedEvent):
    """The list of an MCP server's tools arrived."""

    type: Literal["response.mcp_list_tools.completed"] = "response.mcp_list_tools.completed"
    item_id: str = ""
    output_index: int = 0


class ResponseMcpListToolsFailedEvent(HostedEvent):
    """The list of an MCP server's tools could not be had."""

    type: Literal["response.mcp_list_tools.failed"] = "response.mcp_list_tools.failed"
    item_id: str = ""
    output_index: int = 0


class ResponseMcpListToolsInProgressEvent(HostedEvent):
    """An MCP server is asked for its tools."""

    type: Literal["response.mcp_list_tools.in_progress"] = "response.mcp_list_tools.in_progress"
    item_id: str = ""
    output_index: int = 0


class ResponseOutputTextAnnotationAddedEvent(HostedEvent):
    """A citation was added to a text."""

    type: Literal["response.output_text.annotation.added"] = "response.output_text.annotation.added"
    annotation: Record | None = None
    annotation_index: int = 0
    content_index: int = 0
    item_id: str = ""
    output_index: int = 0


class ResponseQueuedEvent(HostedEvent):
    """The reply waits for its turn."""

    type: Literal["response.queued"] = "response.queued"
    response: Response


class ResponseCustomToolCallInputDeltaEvent(HostedEvent):
    """More of a custom tool call's input."""

    type: Literal["response.custom_tool_call_input.delta"] = "response.custom_tool_call_input.delta"
    delta: str
    item_id: str = ""
    output_index: int = 0


class ResponseCustomToolCallInputDoneEvent(HostedEvent):
    """A custom tool call's input is whole."""

    type: Literal["response.custom_tool_call_input.done"] = "response.custom_tool_call_input.done"
    input: str
    item_id: str = ""
    output_index: int = 0


HostedOutputItem: TypeAlias = (
    ResponseFileSearchToolCall
    | ResponseFunctionToolCallOutputItem
    | ResponseFunctionWebSearch
    | ResponseComputerToolCall
    | ResponseComputerToolCallOutputItem
    | Program
    | ProgramOutput
    | ResponseToolSearchCall
    | ResponseToolSearchOutputItem
    | AdditionalTools
    | ResponseCompactionItem
    | ImageGenerationCall
    | ResponseCodeInterpreterToolCall
    | LocalShellCall
    | LocalShellCallOutput
    | ResponseFunctionShellToolCall
    | ResponseFunctionShellToolCallOutput
    | ResponseApplyPatchToolCall
    | ResponseApplyPatchToolCallOutput
    | McpCall
    | McpListTools
    | McpApprovalRequest
    | McpApprovalResponse
    | ResponseCustomToolCall
    | ResponseCustomToolCallOutputItem
)
"""The output items of this module."""
ToolCallItemTypes: TypeAlias = (
    ResponseFunctionToolCall
    | ResponseFileSearchToolCall
    | ResponseFunctionWebSearch
    | ResponseComputerToolCall
    | ImageGenerationCall
    | ResponseCodeInterpreterToolCall
    | LocalShellCall
    | ResponseFunctionShellToolCall
    | ResponseApplyPatchToolCall
    | McpCall
    | ResponseCustomToolCall
)
"""What a `ToolCallItem` holds, told apart by `type`; a call of a type that this version does not know is a Record."""
HostedStreamEvent: TypeAlias = (
    ResponseAudioDeltaEvent
    | ResponseAudioDoneEvent
    | ResponseAudioTranscriptDeltaEvent
    | ResponseAudioTranscriptDoneEvent
    | ResponseCodeInterpreterCallCodeDeltaEvent
    | ResponseCodeInterpreterCallCodeDoneEvent
    | ResponseCodeInterpreterCallCompletedEvent
    | ResponseCodeInterpreterCallInProgressEvent
    | ResponseCodeInterpreterCallInterpretingEvent
    | ResponseCompactionCompactingEvent
    | ResponseFileSearchCallCompletedEvent
    | ResponseFileSearchCallInProgressEvent
    | ResponseFileSearchCallSearchingEvent
    | ResponseShellCallCommandAddedEvent
    | ResponseShellCallCommandDeltaEvent
    | ResponseShellCallCommandDoneEvent
    | ResponseShellCallOutputContentDeltaEvent
    | ResponseShellCallOutputContentDoneEvent
    | ResponseWebSearchCallCompletedEvent
    | ResponseWebSearchCallInProgressEvent
    | ResponseWebSearchCallSearchingEvent
    | ResponseImageGenCallCompletedEvent
    | ResponseImageGenCallGeneratingEvent
    | ResponseImageGenCallInProgressEvent
    | ResponseImageGenCallPartialImageEvent
    | ResponseMcpCallArgumentsDeltaEvent
    | ResponseMcpCallArgumentsDoneEvent
    | ResponseMcpCallCompletedEvent
    | ResponseMcpCallFailedEvent
    | ResponseMcpCallInProgressEvent
    | ResponseMcpListToolsCompletedEvent
    | ResponseMcpListToolsFailedEvent
    | ResponseMcpListToolsInProgressEvent
    | ResponseOutputTextAnnotationAddedEvent
    | ResponseQueuedEvent
    | ResponseCustomToolCallInputDeltaEvent
    | ResponseCustomToolCallInputDoneEvent
)
"""The stream events of this module."""

HOSTED_ITEMS: tuple[type[WireValue], ...] = get_args(HostedOutputItem)
HOSTED_EVENTS: tuple[type[WireValue], ...] = get_args(HostedStreamEvent)
