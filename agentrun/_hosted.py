"""Responses output items and stream events that few programs meet: hosted tools, computers, shells, images, MCP.

This module costs as much to import as the other values together, so it loads when the first such item or event
arrives, or when one of its classes is imported by name. Objects inside them (actions, results, tools) are Records.
Only what a run needs to go on is required; the rest may be missing, as it is in the first event of a hosted call.

Source: OpenAI API reference, "Responses" and "Streaming events".
"""

from __future__ import annotations

import attrs

from agentrun._responses import HostedEvent, HostedItem, Json, Record, Response, wire


@wire
class ResponseFileSearchToolCall(HostedItem):
    """A search in the caller's vector stores, run by the provider."""

    type: str = "file_search_call"
    id: str = ""
    queries: list[str] = attrs.field(factory=list[str])
    status: str = "completed"
    results: list[Record] | None = None


@wire
class ResponseFunctionToolCallOutputItem(HostedItem):
    """The output of a function tool's call, as a stored item."""

    type: str = "function_call_output"
    id: str = ""
    output: str | list[Record] = ""
    status: str = "completed"
    call_id: str | None = None
    caller: Record | None = None
    created_by: str | None = None
    name: str | None = None
    namespace: str | None = None


@wire
class ResponseFunctionWebSearch(HostedItem):
    """A web search, run by the provider; `action` is a search, an opened page or a find in a page."""

    type: str = "web_search_call"
    id: str = ""
    action: Record | None = None
    status: str = "completed"


@wire
class ResponseComputerToolCall(HostedItem):
    """An action, or several, that the model wants done on a computer."""

    type: str = "computer_call"
    call_id: str
    id: str = ""
    pending_safety_checks: list[Record] = attrs.field(factory=list[Record])
    status: str = "completed"
    action: Record | None = None
    actions: list[Record] | None = None


@wire
class ResponseComputerToolCallOutputItem(HostedItem):
    """The screenshot that answers a computer call."""

    type: str = "computer_call_output"
    call_id: str
    id: str = ""
    output: Record | None = None
    status: str = "completed"
    acknowledged_safety_checks: list[Record] | None = None
    created_by: str | None = None


@wire
class Program(HostedItem):
    """A program the model wrote to call tools."""

    type: str = "program"
    call_id: str
    id: str = ""
    code: str = ""
    fingerprint: str = ""


@wire
class ProgramOutput(HostedItem):
    """What a program returned."""

    type: str = "program_output"
    call_id: str
    id: str = ""
    result: str = ""
    status: str = "completed"


@wire
class ResponseToolSearchCall(HostedItem):
    """A search for tools that are loaded on demand; `arguments` is JSON of any kind."""

    type: str = "tool_search_call"
    id: str = ""
    arguments: Json = None
    call_id: str | None = None
    execution: str = ""
    status: str = "completed"
    created_by: str | None = None


@wire
class ResponseToolSearchOutputItem(HostedItem):
    """The tools that a tool search found."""

    type: str = "tool_search_output"
    id: str = ""
    call_id: str | None = None
    execution: str = ""
    status: str = "completed"
    tools: list[Record] = attrs.field(factory=list[Record])
    created_by: str | None = None


@wire
class AdditionalTools(HostedItem):
    """Tools added in the middle of a conversation."""

    type: str = "additional_tools"
    id: str = ""
    role: str = ""
    tools: list[Record] = attrs.field(factory=list[Record])


@wire
class ResponseCompactionItem(HostedItem):
    """A conversation made short by the provider, encrypted."""

    type: str = "compaction"
    id: str = ""
    encrypted_content: str = ""
    created_by: str | None = None


@wire
class ImageGenerationCall(HostedItem):
    """An image made by the provider; `result` is base64."""

    type: str = "image_generation_call"
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


@wire
class ResponseCodeInterpreterToolCall(HostedItem):
    """Code run by the provider in a container."""

    type: str = "code_interpreter_call"
    id: str = ""
    code: str | None = None
    container_id: str = ""
    outputs: list[Record] | None = None
    status: str = "completed"


@wire
class LocalShellCall(HostedItem):
    """A command for a shell on the caller's side, older form."""

    type: str = "local_shell_call"
    call_id: str
    id: str = ""
    action: Record | None = None
    status: str = "completed"


@wire
class LocalShellCallOutput(HostedItem):
    """The output of a local shell call, as JSON text."""

    type: str = "local_shell_call_output"
    id: str = ""
    output: str = ""
    status: str | None = None


@wire
class ResponseFunctionShellToolCall(HostedItem):
    """Commands for a shell, in a container or on the caller's side."""

    type: str = "shell_call"
    call_id: str
    id: str = ""
    action: Record | None = None
    environment: Record | None = None
    status: str = "completed"
    caller: Record | None = None
    created_by: str | None = None


@wire
class ResponseFunctionShellToolCallOutput(HostedItem):
    """What the commands of a shell call printed, and how each ended."""

    type: str = "shell_call_output"
    call_id: str
    id: str = ""
    max_output_length: int | None = None
    output: list[Record] = attrs.field(factory=list[Record])
    status: str = "completed"
    caller: Record | None = None
    created_by: str | None = None


@wire
class ResponseApplyPatchToolCall(HostedItem):
    """A file to create, change or delete; `operation` says which and how."""

    type: str = "apply_patch_call"
    call_id: str
    id: str = ""
    operation: Record | None = None
    status: str = "completed"
    caller: Record | None = None
    created_by: str | None = None


@wire
class ResponseApplyPatchToolCallOutput(HostedItem):
    """Whether a patch applied."""

    type: str = "apply_patch_call_output"
    call_id: str
    id: str = ""
    status: str = "completed"
    caller: Record | None = None
    created_by: str | None = None
    output: str | None = None


@wire
class McpCall(HostedItem):
    """A call of an MCP server's tool, run by the provider."""

    type: str = "mcp_call"
    arguments: str
    name: str
    id: str = ""
    server_label: str = ""
    approval_request_id: str | None = None
    error: Record | None = None
    output: str | None = None
    status: str | None = None


@wire
class McpListTools(HostedItem):
    """The tools that an MCP server offers."""

    type: str = "mcp_list_tools"
    id: str = ""
    server_label: str = ""
    tools: list[Record] = attrs.field(factory=list[Record])
    error: str | None = None


@wire
class McpApprovalRequest(HostedItem):
    """A question to the caller: may this MCP tool run."""

    type: str = "mcp_approval_request"
    arguments: str
    name: str
    id: str = ""
    server_label: str = ""


@wire
class McpApprovalResponse(HostedItem):
    """The caller's answer to an approval request."""

    type: str = "mcp_approval_response"
    id: str = ""
    approval_request_id: str = ""
    approve: bool = False
    reason: str | None = None


@wire
class ResponseCustomToolCall(HostedItem):
    """A call of a custom tool, whose input is free text."""

    type: str = "custom_tool_call"
    call_id: str
    input: str
    name: str
    id: str | None = None
    async_: bool | None = None
    caller: Record | None = None
    namespace: str | None = None


@wire
class ResponseCustomToolCallOutputItem(HostedItem):
    """The output of a custom tool's call, as a stored item."""

    type: str = "custom_tool_call_output"
    call_id: str
    output: str | list[Record] = ""
    id: str = ""
    caller: Record | None = None
    status: str = "completed"
    created_by: str | None = None


@wire
class ResponseAudioDeltaEvent(HostedEvent):
    """More audio, base64."""

    type: str = "response.audio.delta"
    delta: str


@wire
class ResponseAudioDoneEvent(HostedEvent):
    """The audio is whole."""

    type: str = "response.audio.done"


@wire
class ResponseAudioTranscriptDeltaEvent(HostedEvent):
    """More of the audio's transcript."""

    type: str = "response.audio.transcript.delta"
    delta: str


@wire
class ResponseAudioTranscriptDoneEvent(HostedEvent):
    """The audio's transcript is whole."""

    type: str = "response.audio.transcript.done"


@wire
class ResponseCodeInterpreterCallCodeDeltaEvent(HostedEvent):
    """More code of a code interpreter call."""

    type: str = "response.code_interpreter_call_code.delta"
    delta: str
    item_id: str = ""
    output_index: int = 0


@wire
class ResponseCodeInterpreterCallCodeDoneEvent(HostedEvent):
    """The code of a code interpreter call is whole."""

    type: str = "response.code_interpreter_call_code.done"
    code: str = ""
    item_id: str = ""
    output_index: int = 0


@wire
class ResponseCodeInterpreterCallCompletedEvent(HostedEvent):
    """A code interpreter call ended."""

    type: str = "response.code_interpreter_call.completed"
    item_id: str = ""
    output_index: int = 0


@wire
class ResponseCodeInterpreterCallInProgressEvent(HostedEvent):
    """A code interpreter call began."""

    type: str = "response.code_interpreter_call.in_progress"
    item_id: str = ""
    output_index: int = 0


@wire
class ResponseCodeInterpreterCallInterpretingEvent(HostedEvent):
    """The code of a code interpreter call runs."""

    type: str = "response.code_interpreter_call.interpreting"
    item_id: str = ""
    output_index: int = 0


@wire
class ResponseCompactionCompactingEvent(HostedEvent):
    """The conversation is being made short."""

    type: str = "response.compaction.compacting"
    item_id: str = ""
    output_index: int = 0


@wire
class ResponseFileSearchCallCompletedEvent(HostedEvent):
    """A file search ended."""

    type: str = "response.file_search_call.completed"
    item_id: str = ""
    output_index: int = 0


@wire
class ResponseFileSearchCallInProgressEvent(HostedEvent):
    """A file search began."""

    type: str = "response.file_search_call.in_progress"
    item_id: str = ""
    output_index: int = 0


@wire
class ResponseFileSearchCallSearchingEvent(HostedEvent):
    """A file search runs."""

    type: str = "response.file_search_call.searching"
    item_id: str = ""
    output_index: int = 0


@wire
class ResponseShellCallCommandAddedEvent(HostedEvent):
    """A command of a shell call was begun."""

    type: str = "response.shell_call_command.added"
    command: str = ""
    command_index: int = 0
    output_index: int = 0


@wire
class ResponseShellCallCommandDeltaEvent(HostedEvent):
    """More of a shell command."""

    type: str = "response.shell_call_command.delta"
    delta: str
    command_index: int = 0
    output_index: int = 0
    obfuscation: str | None = None


@wire
class ResponseShellCallCommandDoneEvent(HostedEvent):
    """A shell command is whole."""

    type: str = "response.shell_call_command.done"
    command: str = ""
    command_index: int = 0
    output_index: int = 0


@wire
class ResponseShellCallOutputContentDeltaEvent(HostedEvent):
    """More output of a shell command; `delta` has `stdout` or `stderr`."""

    type: str = "response.shell_call_output_content.delta"
    command_index: int = 0
    delta: Record | None = None
    item_id: str = ""
    output_index: int = 0


@wire
class ResponseShellCallOutputContentDoneEvent(HostedEvent):
    """The output of a shell command is whole."""

    type: str = "response.shell_call_output_content.done"
    command_index: int = 0
    item_id: str = ""
    output: list[Record] = attrs.field(factory=list[Record])
    output_index: int = 0


@wire
class ResponseWebSearchCallCompletedEvent(HostedEvent):
    """A web search ended."""

    type: str = "response.web_search_call.completed"
    item_id: str = ""
    output_index: int = 0


@wire
class ResponseWebSearchCallInProgressEvent(HostedEvent):
    """A web search began."""

    type: str = "response.web_search_call.in_progress"
    item_id: str = ""
    output_index: int = 0


@wire
class ResponseWebSearchCallSearchingEvent(HostedEvent):
    """A web search runs."""

    type: str = "response.web_search_call.searching"
    item_id: str = ""
    output_index: int = 0


@wire
class ResponseImageGenCallCompletedEvent(HostedEvent):
    """An image is finished."""

    type: str = "response.image_generation_call.completed"
    item_id: str = ""
    output_index: int = 0


@wire
class ResponseImageGenCallGeneratingEvent(HostedEvent):
    """An image is being made."""

    type: str = "response.image_generation_call.generating"
    item_id: str = ""
    output_index: int = 0


@wire
class ResponseImageGenCallInProgressEvent(HostedEvent):
    """An image was begun."""

    type: str = "response.image_generation_call.in_progress"
    item_id: str = ""
    output_index: int = 0


@wire
class ResponseImageGenCallPartialImageEvent(HostedEvent):
    """An image as far as it is made, base64."""

    type: str = "response.image_generation_call.partial_image"
    item_id: str = ""
    output_index: int = 0
    partial_image_b64: str = ""
    partial_image_index: int = 0
    background: str | None = None
    output_format: str | None = None
    quality: str | None = None
    size: str | None = None


@wire
class ResponseMcpCallArgumentsDeltaEvent(HostedEvent):
    """More of an MCP call's arguments."""

    type: str = "response.mcp_call_arguments.delta"
    delta: str
    item_id: str = ""
    output_index: int = 0


@wire
class ResponseMcpCallArgumentsDoneEvent(HostedEvent):
    """An MCP call's arguments are whole."""

    type: str = "response.mcp_call_arguments.done"
    arguments: str
    item_id: str = ""
    output_index: int = 0


@wire
class ResponseMcpCallCompletedEvent(HostedEvent):
    """An MCP call ended well."""

    type: str = "response.mcp_call.completed"
    item_id: str = ""
    output_index: int = 0


@wire
class ResponseMcpCallFailedEvent(HostedEvent):
    """An MCP call failed."""

    type: str = "response.mcp_call.failed"
    item_id: str = ""
    output_index: int = 0


@wire
class ResponseMcpCallInProgressEvent(HostedEvent):
    """An MCP call began."""

    type: str = "response.mcp_call.in_progress"
    item_id: str = ""
    output_index: int = 0


@wire
class ResponseMcpListToolsCompletedEvent(HostedEvent):
    """The list of an MCP server's tools arrived."""

    type: str = "response.mcp_list_tools.completed"
    item_id: str = ""
    output_index: int = 0


@wire
class ResponseMcpListToolsFailedEvent(HostedEvent):
    """The list of an MCP server's tools could not be had."""

    type: str = "response.mcp_list_tools.failed"
    item_id: str = ""
    output_index: int = 0


@wire
class ResponseMcpListToolsInProgressEvent(HostedEvent):
    """An MCP server is asked for its tools."""

    type: str = "response.mcp_list_tools.in_progress"
    item_id: str = ""
    output_index: int = 0


@wire
class ResponseOutputTextAnnotationAddedEvent(HostedEvent):
    """A citation was added to a text."""

    type: str = "response.output_text.annotation.added"
    annotation: Record | None = None
    annotation_index: int = 0
    content_index: int = 0
    item_id: str = ""
    output_index: int = 0


@wire
class ResponseQueuedEvent(HostedEvent):
    """The reply waits for its turn."""

    type: str = "response.queued"
    response: Response


@wire
class ResponseCustomToolCallInputDeltaEvent(HostedEvent):
    """More of a custom tool call's input."""

    type: str = "response.custom_tool_call_input.delta"
    delta: str
    item_id: str = ""
    output_index: int = 0


@wire
class ResponseCustomToolCallInputDoneEvent(HostedEvent):
    """A custom tool call's input is whole."""

    type: str = "response.custom_tool_call_input.done"
    input: str
    item_id: str = ""
    output_index: int = 0


HOSTED_ITEMS: tuple[type[HostedItem], ...] = (
    ResponseFileSearchToolCall,
    ResponseFunctionToolCallOutputItem,
    ResponseFunctionWebSearch,
    ResponseComputerToolCall,
    ResponseComputerToolCallOutputItem,
    Program,
    ProgramOutput,
    ResponseToolSearchCall,
    ResponseToolSearchOutputItem,
    AdditionalTools,
    ResponseCompactionItem,
    ImageGenerationCall,
    ResponseCodeInterpreterToolCall,
    LocalShellCall,
    LocalShellCallOutput,
    ResponseFunctionShellToolCall,
    ResponseFunctionShellToolCallOutput,
    ResponseApplyPatchToolCall,
    ResponseApplyPatchToolCallOutput,
    McpCall,
    McpListTools,
    McpApprovalRequest,
    McpApprovalResponse,
    ResponseCustomToolCall,
    ResponseCustomToolCallOutputItem,
)
"""All item classes of this module."""
HOSTED_EVENTS: tuple[type[HostedEvent], ...] = (
    ResponseAudioDeltaEvent,
    ResponseAudioDoneEvent,
    ResponseAudioTranscriptDeltaEvent,
    ResponseAudioTranscriptDoneEvent,
    ResponseCodeInterpreterCallCodeDeltaEvent,
    ResponseCodeInterpreterCallCodeDoneEvent,
    ResponseCodeInterpreterCallCompletedEvent,
    ResponseCodeInterpreterCallInProgressEvent,
    ResponseCodeInterpreterCallInterpretingEvent,
    ResponseCompactionCompactingEvent,
    ResponseFileSearchCallCompletedEvent,
    ResponseFileSearchCallInProgressEvent,
    ResponseFileSearchCallSearchingEvent,
    ResponseShellCallCommandAddedEvent,
    ResponseShellCallCommandDeltaEvent,
    ResponseShellCallCommandDoneEvent,
    ResponseShellCallOutputContentDeltaEvent,
    ResponseShellCallOutputContentDoneEvent,
    ResponseWebSearchCallCompletedEvent,
    ResponseWebSearchCallInProgressEvent,
    ResponseWebSearchCallSearchingEvent,
    ResponseImageGenCallCompletedEvent,
    ResponseImageGenCallGeneratingEvent,
    ResponseImageGenCallInProgressEvent,
    ResponseImageGenCallPartialImageEvent,
    ResponseMcpCallArgumentsDeltaEvent,
    ResponseMcpCallArgumentsDoneEvent,
    ResponseMcpCallCompletedEvent,
    ResponseMcpCallFailedEvent,
    ResponseMcpCallInProgressEvent,
    ResponseMcpListToolsCompletedEvent,
    ResponseMcpListToolsFailedEvent,
    ResponseMcpListToolsInProgressEvent,
    ResponseOutputTextAnnotationAddedEvent,
    ResponseQueuedEvent,
    ResponseCustomToolCallInputDeltaEvent,
    ResponseCustomToolCallInputDoneEvent,
)
"""All event classes of this module."""
