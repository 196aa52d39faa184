"""What programs import from the documented modules is importable from the modules of the same names here."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pkgutil import walk_packages

import pytest

import agentrun

# What each documented module offers and agentrun has.
PLACES = {
    "agent": """
        Agent AgentBase AgentToolStreamEvent MCPConfig StopAtTools ToolsToFinalOutputFunction
        ToolsToFinalOutputResult
    """,
    "agent_output": "AgentOutputSchema AgentOutputSchemaBase",
    "agent_tool_input": "StructuredToolInputBuilder StructuredToolInputBuilderOptions default_tool_input_builder",
    "decorators": """
        function_tool input_guardrail output_guardrail tool tool_input_guardrail tool_output_guardrail
    """,
    "exceptions": """
        AgentsException InputGuardrailTripwireTriggered MCPToolCancellationError MaxTurnsExceeded
        ModelBehaviorError ModelRefusalError ModelTimeoutError OutputGuardrailTripwireTriggered
        RunErrorDetails ToolInputGuardrailTripwireTriggered ToolOutputGuardrailTripwireTriggered
        ToolTimeoutError UserError
    """,
    "extensions": "ToolOutputTrimmer",
    "extensions.memory.encrypt_session": "EncryptedSession",
    "extensions.handoff_filters": "default_handoff_history_mapper nest_handoff_history remove_all_tools",
    "extensions.handoff_prompt": "RECOMMENDED_PROMPT_PREFIX prompt_with_handoff_instructions",
    "extensions.tool_output_trimmer": "ToolOutputTrimmer",
    "extensions.visualization": "draw_graph get_all_edges get_all_nodes get_main_graph",
    "function_schema": "DocstringStyle FuncDocumentation FuncSchema function_schema generate_func_documentation",
    "guardrail": """
        GuardrailFunctionOutput InputGuardrail InputGuardrailResult OutputGuardrail OutputGuardrailResult
        input_guardrail output_guardrail
    """,
    "handoffs": """
        Handoff HandoffHistoryMapper HandoffInputData HandoffInputFilter TAgent THandoffInput
        default_handoff_history_mapper get_conversation_history_wrappers handoff nest_handoff_history
        reset_conversation_history_wrappers set_conversation_history_wrappers
    """,
    "handoffs.history": """
        default_handoff_history_mapper get_conversation_history_wrappers nest_handoff_history
        reset_conversation_history_wrappers set_conversation_history_wrappers
    """,
    "items": """
        CompactionItem HandoffCallItem HandoffOutputItem ImageGenerationCall InputItem ItemHelpers
        LocalShellCall LocalShellCallOutput MCPApprovalRequestItem MCPApprovalResponseItem MCPListToolsItem
        McpApprovalRequest McpApprovalResponse McpCall McpListTools MessageOutputItem ModelResponse Program
        ProgramOutput ReasoningItem Response ResponseCodeInterpreterToolCall ResponseComputerToolCall
        ResponseCustomToolCall ResponseFileSearchToolCall ResponseFunctionShellToolCall
        ResponseFunctionShellToolCallOutput ResponseFunctionToolCall ResponseFunctionWebSearch
        ResponseOutputMessage ResponseOutputRefusal ResponseOutputText ResponseReasoningItem
        ResponseToolSearchCall ResponseToolSearchOutputItem RunItem RunItemBase TResponse TResponseInputItem
        TResponseOutputItem TResponseStreamEvent ToolApprovalItem ToolCallItem ToolCallOutputItem
        ToolSearchCallItem ToolSearchOutputItem
    """,
    "lifecycle": "AgentHooks AgentHooksBase RunHooks RunHooksBase TAgent",
    "logger": "logger",
    "memory": "SQLiteSession Session SessionABC SessionInputCallback SessionSettings",
    "memory.session": "Session SessionABC",
    "memory.session_settings": "SessionSettings resolve_session_limit",
    "memory.util": "SessionInputCallback",
    "model_settings": "MCPToolChoice ModelSettings ToolChoice",
    "models": "get_default_model get_default_model_settings gpt_5_reasoning_settings_required is_gpt_5_default",
    "models.default_models": """
        get_default_model get_default_model_settings gpt_5_reasoning_settings_required is_gpt_5_default
    """,
    "models.fake_id": "FAKE_RESPONSES_ID",
    "models.interface": "Model ModelProvider ModelTracing",
    "models.multi_provider": "MultiProvider MultiProviderMap",
    "models.openai_chatcompletions": "OpenAIChatCompletionsModel",
    "models.reasoning_content_replay": """
        ReasoningContentReplayContext ReasoningContentSource ShouldReplayReasoningContent
        default_should_replay_reasoning_content
    """,
    "models.openai_provider": "OpenAIProvider",
    "models.openai_responses": "OpenAIResponsesModel",
    "prompts": "DynamicPromptFunction GenerateDynamicPromptData Prompt",
    "repl": "run_demo_loop",
    "result": "AgentToolInvocation RunResult RunResultBase RunResultStreaming ToInputListMode",
    "retry": """
        ModelRetryAdvice ModelRetryAdviceRequest ModelRetryBackoffSettings ModelRetryNormalizedError
        ModelRetrySettings RetryDecision RetryPolicy RetryPolicyContext retry_policies
    """,
    "run": """
        AgentRunner CallModelData CallModelInputFilter DEFAULT_MAX_TURNS ModelInputData
        OutputGuardrailBlockedMessageArgs OutputGuardrailBlockedMessageFormatter ReasoningItemIdPolicy RunConfig
        RunContextWrapper RunOptions RunState Runner get_default_agent_runner
        set_default_agent_runner ToolErrorFormatter ToolErrorFormatterArgs ToolExecutionConfig ToolNameCollisionPolicy
        ToolNotFoundBehavior
    """,
    "run_config": """
        CallModelData CallModelInputFilter DEFAULT_MAX_TURNS ModelInputData OutputGuardrailBlockedMessageArgs
        OutputGuardrailBlockedMessageFormatter ReasoningItemIdPolicy RunConfig RunOptions ToolErrorFormatter
        ToolErrorFormatterArgs ToolExecutionConfig ToolNameCollisionPolicy
    """,
    "run_context": "AgentHookContext RunContextWrapper TContext TResponseInputItem ToolApprovalItem",
    "run_error_handlers": "RunErrorData RunErrorHandler RunErrorHandlerInput RunErrorHandlerResult RunErrorHandlers",
    "run_state": "ContextDeserializer ContextSerializer RunState TAgent TContext",
    "stream_events": "AgentUpdatedStreamEvent RawResponsesStreamEvent RunItemStreamEvent StreamEvent",
    "strict_schema": "ensure_strict_json_schema",
    "testing": """
        InvalidModelStep ModelCall ModelScriptError ModelStep ModelStepSpec ScriptedModel UnconsumedModelSteps
        UnexpectedModelCall assistant_message function_call
    """,
    "tool": """
        CodeInterpreterTool DEFAULT_APPROVAL_REJECTION_MESSAGE FileSearchTool FunctionTool
        FunctionToolCustomDataContext FunctionToolCustomDataExtractor FunctionToolResult HostedMCPTool
        ImageGenerationTool ImageGenerationToolConfig MCPToolApprovalFunction MCPToolApprovalFunctionResult
        MCPToolApprovalRequest ProgrammaticToolCallingTool Tool ToolCaller ToolErrorFunction ToolFunction ToolOrigin
        ToolOriginType ToolOutputFileContent ToolOutputFileContentDict ToolOutputImage ToolOutputImageDict
        ToolOutputText ToolOutputTextDict ToolSearchTool ToolTimeoutBehavior ValidToolOutputPydanticModels WebSearchTool
        WebSearchToolImageSettings default_tool_error_function function_tool tool_namespace
    """,
    "tool_context": "ToolContext",
    "tool_guardrails": """
        AllowBehavior RaiseExceptionBehavior RejectContentBehavior ToolGuardrailFunctionOutput
        ToolInputGuardrail ToolInputGuardrailData ToolInputGuardrailResult ToolOutputGuardrail
        ToolOutputGuardrailData ToolOutputGuardrailResult tool_input_guardrail tool_output_guardrail
    """,
    "types.responses": """
        EasyInputMessageParam Response ResponseCompletedEvent ResponseCreatedEvent ResponseError
        ResponseFunctionToolCall ResponseFunctionToolCallParam ResponseInputItem ResponseInputItemParam
        ResponseInputParam ResponseInputTextParam ResponseOutputItem ResponseOutputItemDoneEvent
        ResponseOutputMessage ResponseOutputMessageParam ResponseOutputRefusal ResponseOutputText
        ResponseReasoningItem ResponseStreamEvent ResponseTextDeltaEvent ResponseUsage
    """,
    "usage": "RequestUsage Usage",
}

PUBLIC_MODULES = sorted(
    module.name
    for module in walk_packages(agentrun.__path__, "agentrun.")
    if not any(part.startswith("_") for part in module.name.split("."))
)
HEAVY = ("h11", "httpx", "httpx2", "pydantic", "starlette", "trio", "rich", "cyclopts")


@pytest.mark.parametrize("place", PLACES)
def test_a_documented_module_offers_its_names(place: str) -> None:
    module = import_module(f"agentrun.{place}")
    assert [name for name in PLACES[place].split() if not hasattr(module, name)] == []
    assert set(PLACES[place].split()) <= set(module.__all__)


@pytest.mark.parametrize("name", PUBLIC_MODULES)
def test_a_public_module_has_a_docstring_and_a_sorted_list_of_names(name: str) -> None:
    module = import_module(name)
    assert module.__doc__
    assert list(module.__all__) == sorted(set(module.__all__))
    assert [public for public in module.__all__ if not hasattr(module, public)] == []
    assert set(module.__all__) <= set(dir(module))


@pytest.mark.parametrize("name", ["agentrun.items", "agentrun.models"])
def test_an_unknown_name_of_a_lazy_module_is_an_attribute_error_that_says_it(name: str) -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        getattr(import_module(name), "no_such_name")  # noqa: B009 - type checkers know that there is none


def test_a_name_is_the_same_object_in_every_place() -> None:
    homes: dict[str, set[int]] = {}
    for place in ("", *(f".{name}" for name in PLACES)):
        module = import_module(f"agentrun{place}")
        for name in module.__all__:
            homes.setdefault(name, set()).add(id(getattr(module, name)))
    assert sorted(name for name, objects in homes.items() if len(objects) > 1) == []


def test_public_modules_are_attributes_of_the_package() -> None:
    code = "import agentrun; agentrun.items.structure_item({'type': 'new'}); agentrun.models.Limits"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=50)


def test_importing_public_modules_loads_no_http_and_no_backend() -> None:
    # The parts for tests bring a server of their own, and the extras what they are extras for.
    own = [name for name in PUBLIC_MODULES if not name.startswith(("agentrun.testing", "agentrun.extensions.memory"))]
    code = (
        "import sys, importlib\n"
        f"for name in {own!r}:\n"
        "    importlib.import_module(name)\n"
        f"    found = sorted(set({HEAVY!r}) & sys.modules.keys())\n"
        "    assert not found, (name, found)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=50)
