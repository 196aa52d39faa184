"""What the documents promise of a run, one entry per behaviour: id, what holds, and the page it is promised on.

`S-n` are rules of the run loop, two-letter ids are features. A test says with `@covers("S-31")` which it proves;
`test_requirements.py` fails for an id without a test and for a test that names an id that is not here. Ids that no test
proves yet stand in `LATER`, with the reason; those proven outside of this folder in `ELSEWHERE`, with the tests.
"""

from __future__ import annotations

from typing import NamedTuple


class Requirement(NamedTuple):
    """One promised behaviour."""

    source: str
    """The documented page."""
    behaviour: str


_R = Requirement

REQUIREMENTS: dict[str, Requirement] = {
    # Turn and loop
    "S-1": _R("running agents", "one turn is one model call with everything its reply leads to"),
    "S-2": _R("running agents", "max_turns bounds the model calls exactly, across handoffs; None is no bound"),
    "S-3": _R("running agents", "the steps inside a turn come in a fixed order, and the input is fixed at the start"),
    "S-4": _R("running agents", "approval wins over handoff, handoff over a tool's answer, that over running on"),
    "S-5": _R("running agents", "a message beside a call is an item and not the answer"),
    "S-6": _R("running agents", "a plain answer is all text of the last message, empty when there is none"),
    "S-7": _R("agents", "a structured answer is parsed; no text asks again, wrong text is a ModelBehaviorError"),
    "S-8": _R("exceptions", "a refusal raises ModelRefusalError"),
    "S-9": _R("lifecycle", "start hooks run once per activation of an agent"),
    # Events of a stream
    "S-10": _R("streaming", "the first event names the current agent, before anything else happens"),
    "S-11": _R("streaming", "raw events come in the model's order, with nothing in between"),
    "S-12": _R("streaming", "each item of a reply has its event after the reply and before any tool starts"),
    "S-13": _R("streaming", "outputs come in call order, then ignored handoffs, the handoff, and the new agent"),
    "S-14": _R("streaming", "a handoff call is announced as such only; filtered and approval items are not streamed"),
    "S-15": _R("streaming", "between two turns the run waits for its reader, and looks whether it is to stop"),
    "S-16": _R("streaming", "the output is there, and the run complete, only after hooks, guardrails and saving"),
    # Hooks
    "S-17": _R("lifecycle", "hooks of a tool turn and an answer come in the documented order"),
    "S-18": _R("lifecycle", "with several tools every start comes before any body"),
    "S-19": _R("lifecycle", "end hooks come before output guardrails; handoff hooks after the handoff's callback"),
    # Guardrails
    "S-20": _R("guardrails", "blocking input guardrails finish before the parallel ones and the model start"),
    "S-21": _R("guardrails", "a parallel trip cancels and awaits everything beside it; turn 2 waits for the verdict"),
    "S-22": _R("guardrails", "in a stream a trip does the same, running tools included"),
    "S-23": _R("guardrails", "a late trip leaves no task of the turn behind, in both modes"),
    "S-24": _R("guardrails", "output guardrails run together after the end hooks; the first trip cancels the others"),
    "S-25": _R("guardrails", "tool guardrails stand round hooks and body; a rejected call skips all of it"),
    "S-26": _R("guardrails", "verdicts add up over the run and are on the exception"),
    # Tools
    "S-30": _R("tools", "calls of one reply start together, or within the limit; context variables are their own"),
    "S-31": _R("tools", "outputs stand in call order, whatever finishes first"),
    "S-32": _R("tools", "a handled failure is an output; an unhandled one stops the siblings and raises once"),
    "S-33": _R("exceptions", "calls of a failed turn that have their output are kept"),
    "S-34": _R("tools", "a call id runs once; two different calls of one id are an error"),
    "S-35": _R("tools", "bad arguments go to the failure function as ModelBehaviorError"),
    "S-36": _R("tools", "an unknown name fails the turn before any sibling runs, or is told to the model"),
    # tool_use_behavior
    "S-40": _R("agents", "run_llm_again always asks the model again"),
    "S-41": _R("agents", "stop_on_first_tool answers with the first call's output; all calls run"),
    "S-42": _R("agents", "stop_at_tool_names answers with the first listed tool's output"),
    "S-43": _R("agents", "a function decides from context and results; another return value is a UserError"),
    "S-44": _R("agents", "a tool's answer is text for plain agents, the value itself for others; a handoff wins"),
    # Handoffs
    "S-45": _R("handoffs", "tools run before the handoff; the first handoff counts, the others are answered"),
    "S-46": _R("handoffs", "a handoff waits for approvals in the same reply"),
    "S-47": _R("handoffs", "the nearest filter makes what the next agent sees, and this turn's items"),
    "S-48": _R("handoffs", "the result's input is what the filter made of the history"),
    # Error handlers
    "S-50": _R("running agents", "a max_turns handler supplies a checked output that is ended like any other"),
    "S-51": _R("running agents", "refusal and invalid output handlers end the same turn without another call"),
    "S-52": _R("tracing", "the agent span of a run out of turns says so"),
    "S-53": _R("running agents", "without handlers the errors are raised"),
    # Sessions in a run
    "S-60": _R("sessions", "the history is read once, before the first turn, and stands before the input"),
    "S-61": _R("sessions", "the input is stored before guardrails and model, whatever becomes of the run"),
    "S-62": _R(
        "sessions", "a turn is stored in one write, calls and outputs together; the last one once it is accepted"
    ),
    "S-63": _R("sessions", "trips, errors, cancels, limits and pauses leave whole turns, and of a pause its calls"),
    "S-64": _R("sessions", "a resumed run stores what is new; what was before is neither read nor written again"),
    "S-65": _R("sessions", "what is stored is plain items; a handoff's filter changes what the model sees"),
    "S-66": _R("sessions", "a session that raises fails the run with its own error"),
    # Conversations the provider keeps
    "S-67": _R("running agents", "each request holds only what the provider has not seen; the ids go on"),
    "S-68": _R(
        "running agents", "a session, output guardrails and filters do not go with it; its ids are in the state"
    ),
    # Approvals and stored states
    "S-80": _R("human in the loop", "a decision wins over the rule; calls without approval run at once"),
    "S-81": _R("human in the loop", "the paused turn goes on without model call, guardrails and a turn more"),
    "S-82": _R("human in the loop", "requests are recorded once over partial decisions"),
    "S-83": _R("human in the loop", "after the last decision the run goes on as after any turn, within its limit"),
    "S-84": _R("human in the loop", "a resumed stream shows only what is new; its result has the whole run"),
    "S-85": _R("human in the loop", "a stored state is plain JSON with a version and everything of the run"),
    "S-86": _R("human in the loop", "a state says whether it waits, goes on, or is finished"),
    "S-87": _R("human in the loop", "agents and tools are stored by name; one that is gone is an error that names it"),
    "S-88": _R("human in the loop", "a stored state holds no key"),
    # Nested agents
    "S-75": _R("tools", "a nested run has its own loop, and shares context object, usage and run config only"),
    "S-76": _R("human in the loop", "a paused nested run pauses the outer one and goes on after the decision"),
    "S-77": _R("tools", "cancelling the outer run cancels the nested one and its tools"),
    # Usage
    "S-90": _R("usage", "usage adds up over all calls, nested and retried ones included, before the llm end hooks"),
    "S-91": _R("usage", "a state has a usage of its own"),
    "S-92": _R("usage", "a cancelled turn whose reply had arrived is in the usage, not in the replies"),
    # Agents
    "AG-1": _R("agents", "Agent takes its fields in the documented order"),
    "AG-2": _R("agents", "a wrong field is a TypeError at construction"),
    "AG-3": _R("agents", "instructions may be a function of context and agent, asked every turn"),
    "AG-5": _R("agents", "the handoff description is in the handoff's tool description"),
    "AG-6": _R("agents", "clone is shallow"),
    "AG-7": _R("agents", "an agent can be a tool"),
    "AG-8": _R("agents", "get_all_tools gives the enabled tools in order"),
    "AG-9": _R("agents", "tool_use_behavior decides whether tool output is the answer"),
    "AG-10": _R("agents", "tool_choice is reset after an agent has used a tool, without changing its settings"),
    # Context
    "CX-1": _R("context", "one context object for everything in a run, never sent to the model"),
    "CX-2": _R("context", "approvals have three values"),
    "CX-3": _R("context", "tools get a ToolContext that shares usage, context object and approvals"),
    "CX-4": _R("context", "agent hooks get the turn's input"),
    # Runner
    "RN-1": _R("running agents", "Runner.run takes text, items or a state"),
    "RN-2": _R("running agents", "Runner.run_sync does the same without async, on either backend"),
    "RN-3": _R("running agents", "run_streamed returns at once and reports wrong arguments itself"),
    "RN-4": _R("running agents", "max_turns is 10 by default, None is no limit, 0 raises before any call"),
    "RN-5": _R("running agents", "hooks that are no RunHooks are a TypeError that names their class"),
    "RN-8": _R("running agents", "a resumed run keeps its state's own limit"),
    # Results
    "RS-1": _R("results", "results have the documented fields"),
    "RS-2": _R("results", "interruptions are empty unless the run is paused"),
    "RS-3": _R("results", "last_agent is the agent that ran last"),
    "RS-4": _R("results", "last_response_id is that of the last reply"),
    "RS-5": _R("results", "final_output_as casts, and checks when asked to"),
    "RS-6": _R("results", "to_input_list continues a conversation"),
    "RS-7": _R("results", "release_agents frees the agents"),
    "RS-8": _R("results", "to_state gives an independent snapshot each time"),
    "RS-9": _R("results", "results and error details describe themselves"),
    "RS-10": _R("results", "the result keeps max_turns"),
    "RS-11": _R("results", "a streamed result shows how far the run is"),
    "RS-15": _R("results", "history, output and state can be told from a result"),
    # Items
    "IT-1": _R("results", "messages are message_output_item"),
    "IT-2": _R("results", "calls are tool_call_item with name and id"),
    "IT-3": _R("results", "outputs are tool_call_output_item with value and wire form"),
    "IT-4": _R("results", "handoff calls are handoff_call_item"),
    "IT-5": _R("results", "handoffs done are handoff_output_item with source and target"),
    "IT-6": _R("results", "reasoning is reasoning_item"),
    "IT-7": _R("results", "approvals are tool_approval_item, and no input"),
    "IT-10": _R("results", "items have agent, raw_item and to_input_item"),
    "IT-11": _R("results", "ModelResponse has output, usage and id"),
    "IT-12": _R("items", "ItemHelpers reads text and converts input"),
    "IT-13": _R("tools", "tool values become text or structured parts"),
    # Streaming
    "ST-1": _R("streaming", "raw events are passed on"),
    "ST-2": _R("streaming", "item events have fixed names"),
    "ST-3": _R("streaming", "every change of agent has an event"),
    "ST-4": _R("streaming", "events have one order"),
    "ST-5": _R("streaming", "errors leave stream_events after what was sent"),
    "ST-6": _R("streaming", "a second iteration yields nothing"),
    "ST-7": _R("streaming", "break ends the run"),
    "ST-8": _R("streaming", "the next turn waits until its reader has handled the last"),
    # Cancellation
    "CN-1": _R("streaming", "cancel() ends the run at once, without an exception, and keeps finished turns"),
    "CN-2": _R("streaming", "cancel('after_turn') finishes the turn first"),
    "CN-3": _R("streaming", "cancel before the first turn calls no model"),
    "CN-4": _R("streaming", "a run stopped after a turn goes on from its state"),
    "CN-5": _R("running agents", "a cancelled caller cancels the run and stays cancelled"),
    "CN-6": _R("tools", "a tool that raises the backend's cancellation by itself has failed"),
    # RunConfig
    "RC-1": _R("running agents", "model overrides every agent's"),
    "RC-2": _R("models", "the provider finds models by name, None included"),
    "RC-3": _R("models", "settings override field by field"),
    "RC-4": _R("handoffs", "the configured handoff filter is for handoffs without one"),
    "RC-6": _R("guardrails", "configured guardrails come after the agent's own"),
    "RC-7": _R("tracing", "tracing options are accepted"),
    "RC-9": _R("running agents", "call_model_input_filter changes only what model and hooks see"),
    "RC-11": _R("tools", "an unknown tool is an error, or told to the model"),
    "RC-12": _R("tools", "tool calls of a reply can be limited"),
    "RC-8": _R("sessions", "session_input_callback makes the model's input"),
    # Errors
    "ER-1": _R("exceptions", "every exception of a run carries run_data"),
    "ER-2": _R("exceptions", "run_data holds the run so far"),
    "ER-3": _R("exceptions", "MaxTurnsExceeded says the limit"),
    "ER-4": _R("exceptions", "ModelBehaviorError covers what no run can act on"),
    "ER-5": _R("exceptions", "UserError wraps a tool's own exception"),
    "ER-6": _R("exceptions", "guardrail tripwires carry the verdict"),
    "ER-7": _R("exceptions", "tool guardrail tripwires carry guardrail and output"),
    "ER-8": _R("exceptions", "refusals and timeouts have exceptions with fields"),
    "ER-9": _R("running agents", "error handlers may supply the output"),
    # Guardrails
    "GR-1": _R("guardrails", "input guardrails, also as decorators"),
    "GR-2": _R("guardrails", "input guardrails see the first turn of the first agent only"),
    "GR-3": _R("guardrails", "a blocking trip calls no model and no hook"),
    "GR-4": _R("guardrails", "parallel guardrails run beside the first turn"),
    "GR-5": _R("guardrails", "an input guardrail sees the run's input"),
    "GR-6": _R("guardrails", "verdicts stand in completion order"),
    "GR-7": _R("guardrails", "a guardrail's own exception is raised as it is"),
    "GR-8": _R("guardrails", "output guardrails judge the final output"),
    "GR-9": _R("guardrails", "a rejected output is not kept, a rejected tool output is replaced"),
    "GR-10": _R("guardrails", "tool guardrails allow, reject or raise"),
    "GR-12": _R("guardrails", "tool guardrails are for function tools, not for handoffs"),
    # Handoffs
    "HO-1": _R("handoffs", "agents and Handoff objects alike"),
    "HO-2": _R("handoffs", "handoff() checks its callback at once"),
    "HO-3": _R("handoffs", "default names of handoff tools"),
    "HO-4": _R("handoffs", "input_type is validated"),
    "HO-5": _R("handoffs", "a disabled handoff is hidden"),
    "HO-6": _R("handoffs", "filters get and return HandoffInputData"),
    "HO-7": _R("handoffs", "remove_all_tools drops tool traffic"),
    # Tools
    "FT-1": _R("tools", "function_tool with and without parentheses"),
    "FT-2": _R("tools", "hand-built FunctionTool: exceptions propagate"),
    "FT-3": _R("tools", "the signature makes the schema"),
    "FT-4": _R("tools", "docstrings describe tool and parameters"),
    "FT-5": _R("tools", "schemas are strict"),
    "FT-6": _R("tools", "sync tools run beside each other in threads"),
    "FT-7": _R("tools", "default failure text shows no internals"),
    "FT-8": _R("tools", "failure_error_function words a failure, None raises it"),
    "FT-9": _R("tools", "tools may have a timeout"),
    "FT-10": _R("tools", "calls run in parallel and are ordered"),
    "FT-11": _R("tools", "disabled tools are hidden"),
    "FT-14": _R("tools", "FunctionToolResult has tool, output and item"),
    "AT-1": _R("tools", "as_tool takes the documented options"),
    "AT-2": _R("tools", "a nested run inherits context, usage and run config"),
    "AT-3": _R("tools", "a nested failure is told to the outer model"),
    "AT-4": _R("tools", "the nested output is the final output, or the extractor's"),
    # Hooks and usage
    "HK-1": _R("lifecycle", "RunHooks see every step"),
    "HK-2": _R("lifecycle", "AgentHooks see their agent's steps; on_handoff is told to the source"),
    "HK-3": _R("lifecycle", "a failing hook fails the run"),
    "US-1": _R("usage", "Usage.add sums"),
    "US-2": _R("usage", "one entry per request"),
    "US-3": _R("usage", "usage is per run and shared with nested runs"),
    # Beyond daily use
    "CX-5": _R("context", "a wrapper given as the context is used as it is"),
    "RN-6": _R("running agents", "a run is configured by a plain dict too; unknown keys are errors"),
    "RN-7": _R("running agents", "another runner may stand behind Runner, for the whole process"),
    "RS-12": _R("results", "a streamed result shows what its run failed with"),
    "RS-13": _R("results", "the result of a nested run names the call it was made for"),
    "IT-8": _R("human in the loop", "input added to a paused run is an item"),
    "RC-5": _R("handoffs", "nest_handoff_history and its mapper, for the run or for one handoff"),
    "RC-10": _R("running agents", "tool_error_formatter words refused, unknown and failed calls"),
    "RC-13": _R("tools", "of two things of one name one is offered, or it is an error"),
    "RC-14": _R("running agents", "ids of reasoning items may be left out of what the run makes"),
    "ER-10": _R("exceptions", "errors keep their details and run_data, whatever may be logged"),
    "GR-11": _R("guardrails", "tool input guardrails run after an approval, and before it where configured"),
    "HO-8": _R("handoffs", "a nested history is a summary between two marks"),
    "HO-9": _R("handoffs", "a recommended prompt on handoffs"),
    "HO-10": _R("handoffs", "a conversation that the provider keeps is neither filtered nor nested"),
    "FT-12": _R("tools", "outputs may be texts, images and files"),
    "FT-15": _R("tools", "an extractor puts data on the output item that the model never sees"),
    "AT-5": _R("tools", "agent tools take structured input, worded by default or by an input_builder"),
    "AT-6": _R("tools", "on_stream is told of a nested run's events; it cannot hold the run up or fail it"),
    "OT-5": _R("running agents", "ToolOutputTrimmer cuts old outputs for the model only"),
    # Models and utilities
    "MO-1": _R("models interface", "get_response and stream_response get the documented arguments"),
    "MO-2": _R("models interface", "a provider finds models by name and can be closed"),
    "MO-3": _R("models", "the configuration's model wins over the agent's, an object over a name"),
    "MO-4": _R("models", "a prefix of the name chooses the provider"),
    "MO-5": _R("models", "Responses and Chat Completions, chosen by provider or process"),
    "MO-7": _R("model settings", "the documented settings, resolved field by field"),
    "MO-8": _R("models", "failed calls are retried as a policy says"),
    "MO-9": _R("model settings", "timeout bounds each attempt"),
    "MO-10": _R("agents", "output types are strict schemas, or schemas of one's own"),
    "UT-1": _R("REPL utility", "run_demo_loop"),
    "UT-2": _R("agent visualization", "agents, tools and handoffs as a graph of Graphviz"),
    "UT-3": _R("testing", "ScriptedModel plays, records and checks a script"),
    "UT-4": _R("configuration", "verbose logging, without data unless told so"),
    # Names
    "NM-1": _R("API reference", "every documented name exists, or the guide for newcomers says that it does not yet"),
    "RC-15": _R("guardrails", "the text in the place of a withheld tool output can be chosen"),
    "AG-4": _R("agents", "a prompt that the provider keeps, or a function that chooses it"),
    "MO-11": _R("models", "OPENAI_DEFAULT_MODEL names the model of agents without one"),
    # Approvals and states
    "RT-1": _R("human in the loop", "a state can be made by hand"),
    "RT-2": _R("human in the loop", "calls are approved and rejected, once or always; the last decision wins"),
    "RT-3": _R("human in the loop", "a state goes to JSON and text and back; what is damaged is a UserError"),
    "RT-4": _R("human in the loop", "the context object is stored as far as it can be, and can be replaced"),
    "RT-5": _R("human in the loop", "states of earlier versions load, of later ones not"),
    "RT-6": _R("human in the loop", "a rule decides about arguments that the tool gets as they stand; others wait"),
    "RT-7": _R("human in the loop", "partial decisions run what is decided and wait for the rest"),
    "RT-8": _R("human in the loop", "a rejected call is told in words that can be chosen, and no hook of the tool"),
    "RT-9": _R("human in the loop", "input can be added to a paused run"),
    "RT-10": _R("human in the loop", "approvals inside of agents used as tools surface at the outermost run"),
    "RT-11": _R("human in the loop", "an approval after a handoff is the new agent's; the run resumes with the root"),
    "RT-12": _R("human in the loop", "a state that is run twice runs no call twice"),
    "RT-13": _R("human in the loop", "a finished state is refused"),
    # Sessions
    "SE-1": _R("sessions", "a session is whatever has the four methods; one that asks for the context gets it"),
    "SE-2": _R("sessions", "SQLiteSession keeps conversations apart, in memory and in files"),
    "SE-3": _R("sessions", "settings limit what is read, the run's before the session's"),
    "SE-4": _R("sessions", "one read, then the input and whole turns are written"),
    "SE-5": _R("sessions", "session_input_callback makes the input; only what is new is stored"),
    "SE-6": _R("sessions", "a session goes with no conversation that the provider keeps"),
    "SE-7": _R("sessions", "calls without output, and outputs without call, stay out of the model's input"),
    "SE-8": _R("sessions", "AsyncSQLiteSession keeps the rules of a session"),
    "SE-9": _R("sessions", "AdvancedSQLiteSession knows turns, branches and usage"),
    "SE-10": _R("sessions", "EncryptedSession encrypts what another session keeps, and lets it expire"),
    "SE-11": _R("sessions", "sessions on servers keep the rules, and close only what is theirs"),
}

LATER: dict[str, str] = {
    "S-52": "tracing is not in this version",
    "RC-7": "tracing is not in this version; the fields are declared",
}
"""Ids that no test proves yet, and why."""

_POINTS = "sessions_in_runs/test_points.py::"
_MEMORY = "memory/"
_DECISIONS = "approvals/test_decisions.py::"
_NESTED = "approvals/test_nested.py::"
_RULES = "approvals/test_rules.py::"
_RESUMED = "sessions_in_runs/test_resumed.py::"
_STORED = "state/test_stored.py::"
_HOSTILE = "state/test_hostile.py::"

ELSEWHERE: dict[str, tuple[str, ...]] = {
    "UT-2": (
        "extensions/test_visualization.py::test_agents_tools_servers_and_handoffs_are_nodes_with_edges",
        "extensions/test_visualization.py::test_the_graph_is_drawn_and_written_with_graphviz",
    ),
    "RN-7": (
        "declare/test_runner_in_place.py::test_a_runner_in_place_gets_every_run_with_its_arguments",
        "declare/test_runner_in_place.py::test_a_runner_in_place_gets_runs_of_sync_code_too",
    ),
    "S-60": (
        f"{_POINTS}test_one_read_the_input_and_then_whole_turns",
        f"{_POINTS}test_a_limit_is_asked_for_and_cut_pairs_stay_out",
    ),
    "S-61": (
        f"{_POINTS}test_a_tripped_input_guardrail_leaves_the_input_alone",
        f"{_POINTS}test_a_failing_blocking_guardrail_leaves_the_input_in_both_kinds_of_run",
        f"{_POINTS}test_a_failing_model_leaves_input_and_finished_turns",
    ),
    "S-62": (
        f"{_POINTS}test_one_read_the_input_and_then_whole_turns",
        f"{_POINTS}test_output_guardrails_decide_about_the_final_turn",
    ),
    "S-63": (
        f"{_POINTS}test_a_tripped_input_guardrail_leaves_the_input_alone",
        f"{_POINTS}test_output_guardrails_decide_about_the_final_turn",
        f"{_POINTS}test_max_turns_keeps_every_turn",
        f"{_POINTS}test_a_paused_run_stores_its_calls_and_the_resumed_one_what_is_new",
        "sessions_in_runs/test_every_checkpoint.py::test_a_cut_run_leaves_whole_turns_and_the_next_run_succeeds",
        "sessions_in_runs/test_killed.py::test_a_killed_process_leaves_whole_turns_and_the_next_run_goes_on",
    ),
    "S-64": (
        f"{_POINTS}test_a_paused_run_stores_its_calls_and_the_resumed_one_what_is_new",
        f"{_RESUMED}test_a_run_that_began_without_a_session_is_stored_whole_once_it_has_one",
        f"{_RESUMED}test_a_run_does_not_go_on_in_another_session",
        f"{_RESUMED}test_a_run_that_loses_its_session_says_so_and_catches_up_later",
    ),
    "S-65": (
        f"{_POINTS}test_what_is_stored_is_plain_items",
        f"{_RESUMED}test_a_filtered_handoff_stores_each_turn_once_over_a_pause",
    ),
    "S-66": (
        f"{_POINTS}test_a_session_that_raises_fails_the_run_with_its_own_error",
        f"{_POINTS}test_a_write_that_fails_at_the_end_leaves_no_final_output",
        f"{_RESUMED}test_what_a_failed_write_did_not_store_is_stored_when_the_run_goes_on",
    ),
    "S-67": (
        f"{_POINTS}test_a_conversation_is_sent_only_what_is_new",
        f"{_POINTS}test_a_paused_conversation_goes_on_with_what_is_new",
    ),
    "S-68": (
        f"{_POINTS}test_a_session_goes_with_no_conversation_kept_elsewhere",
        f"{_POINTS}test_a_paused_conversation_goes_on_with_what_is_new",
        "contract/test_p2_runs.py::"
        "test_a_conversation_that_the_provider_keeps_is_neither_filtered_nor_judged_at_its_end",
    ),
    "S-80": (
        f"{_DECISIONS}test_calls_without_approval_run_at_once_and_stand_before_the_approvals",
        f"{_DECISIONS}test_an_always_decision_holds_for_later_calls_of_that_tool_and_is_stored",
        f"{_DECISIONS}test_a_decision_on_one_call_wins_over_the_one_on_its_tool",
    ),
    "S-81": (
        f"{_DECISIONS}test_a_call_that_needs_approval_pauses_the_run_and_runs_once_after_it",
        f"{_DECISIONS}test_deciding_some_runs_those_and_waits_for_the_rest_without_a_model_call",
        f"{_DECISIONS}test_hooks_of_a_resumed_run",
        f"{_DECISIONS}test_a_paused_turn_asks_no_agent_guardrail_again",
    ),
    "S-82": (f"{_DECISIONS}test_deciding_some_runs_those_and_waits_for_the_rest_without_a_model_call",),
    "S-83": (
        f"{_DECISIONS}test_the_state_keeps_its_own_limit_and_tools_run_before_it_is_reached",
        f"{_DECISIONS}test_a_pause_in_the_last_turn_can_still_end_with_a_tool_output",
        f"{_NESTED}test_a_handoff_beside_an_open_call_waits_for_it",
    ),
    "S-84": (f"{_DECISIONS}test_a_resumed_stream_shows_only_what_is_new",),
    "S-85": (
        f"{_STORED}test_a_state_is_plain_json_and_shares_nothing_with_the_run",
        f"{_STORED}test_everything_of_a_state_comes_back",
    ),
    "S-86": (
        f"{_DECISIONS}test_a_finished_state_is_refused_before_any_request",
        f"{_POINTS}test_after_turn_leaves_a_whole_turn_and_the_rest_follows",
        f"{_DECISIONS}test_deciding_nothing_gives_the_same_interruptions_without_a_model_call",
    ),
    "S-87": (
        f"{_NESTED}test_two_agents_of_one_name_are_told_apart_in_a_stored_state",
        f"{_HOSTILE}test_agents_and_tools_that_are_not_there_are_named",
        f"{_HOSTILE}test_a_tool_that_is_gone_fails_the_run_by_name",
    ),
    "S-88": (f"{_STORED}test_a_state_holds_no_tracing_key",),
    "RT-1": (f"{_STORED}test_a_state_made_by_hand_runs",),
    "RT-2": (
        f"{_DECISIONS}test_the_last_decision_wins",
        f"{_DECISIONS}test_an_always_decision_holds_for_later_calls_of_that_tool_and_is_stored",
        f"{_DECISIONS}test_a_sticky_rejection_repeats_its_message",
    ),
    "RT-3": (
        f"{_STORED}test_a_state_is_plain_json_and_shares_nothing_with_the_run",
        f"{_STORED}test_everything_of_a_state_comes_back",
        f"{_HOSTILE}test_every_value_of_a_state_may_be_wrong",
        f"{_HOSTILE}test_what_is_no_state_at_all_is_refused",
        f"{_HOSTILE}test_a_text_of_a_hundred_megabytes_is_refused_at_once",
    ),
    "RT-4": (
        f"{_STORED}test_a_mapping_comes_back_as_it_is",
        f"{_STORED}test_a_data_class_is_stored_as_a_dict_with_a_warning",
        f"{_STORED}test_any_other_object_is_left_out_with_a_warning",
        f"{_STORED}test_serializers_and_override",
        f"{_NESTED}test_a_tool_call_context_object_reaches_a_resumed_nested_run",
    ),
    "RT-5": (
        f"{_STORED}test_a_state_of_an_earlier_version_loads_and_goes_on",
        f"{_HOSTILE}test_another_version_is_refused_by_name",
    ),
    "RT-6": (
        f"{_RULES}test_a_rule_decides_about_values_that_the_tool_gets_as_they_stand",
        f"{_RULES}test_a_value_that_would_change_or_whose_type_has_code_of_its_own_waits_for_a_person",
        f"{_RULES}test_validators_of_a_tool_do_not_run_before_the_call_is_approved",
        f"{_RULES}test_arguments_that_do_not_fit_wait_before_anybody_words_the_failure",
        f"{_DECISIONS}test_arguments_that_are_no_json_object_need_approval_whatever_the_rule",
        f"{_DECISIONS}test_a_rule_sees_context_arguments_and_call_and_is_asked_once",
    ),
    "RT-7": (
        f"{_DECISIONS}test_deciding_some_runs_those_and_waits_for_the_rest_without_a_model_call",
        f"{_DECISIONS}test_deciding_nothing_gives_the_same_interruptions_without_a_model_call",
    ),
    "RT-8": (f"{_DECISIONS}test_what_the_model_is_told_of_a_rejection",),
    "RT-9": (
        f"{_NESTED}test_added_input_reaches_the_model_after_the_approved_calls",
        f"{_NESTED}test_added_input_is_judged_and_stays_added_when_it_is_refused",
        f"{_NESTED}test_input_is_added_only_where_a_model_will_see_it",
    ),
    "RT-10": (
        f"{_NESTED}test_an_approval_surfaces_from_any_depth_and_the_nested_run_goes_on",
        f"{_NESTED}test_two_nested_runs_of_one_reply_wait_and_go_on_apart",
        "approvals/test_inline.py::test_a_nested_call_waits_in_place_at_any_depth_and_says_by_which_way_it_came",
    ),
    "RT-11": (f"{_NESTED}test_an_approval_after_a_handoff_belongs_to_the_new_agent_and_resumes_with_the_root",),
    "RT-12": (
        f"{_DECISIONS}test_a_state_that_is_run_twice_does_not_run_its_tools_twice",
        f"{_NESTED}test_a_state_with_a_nested_pause_that_is_run_twice_runs_nothing_twice",
    ),
    "RT-13": (f"{_DECISIONS}test_a_finished_state_is_refused_before_any_request",),
    "RC-8": (f"{_POINTS}test_a_callback_makes_the_input_and_only_new_items_are_stored",),
    "SE-1": (
        f"{_POINTS}test_a_session_whose_methods_all_want_the_context_gets_it",
        f"{_MEMORY}test_conformance.py::test_sessions_fit_the_protocol",
    ),
    "SE-2": (
        f"{_MEMORY}test_sqlite_session.py::test_limits_are_those_of_sqlite",
        f"{_MEMORY}test_sqlite_session.py::test_damaged_rows_are_skipped_and_do_not_count",
        f"{_MEMORY}test_sqlite_session.py::test_sessions_share_a_file_by_id_and_by_table",
    ),
    "SE-3": (
        f"{_POINTS}test_a_limit_is_asked_for_and_cut_pairs_stay_out",
        f"{_MEMORY}test_sqlite_session.py::test_the_settings_are_the_default_limit",
    ),
    "SE-4": (
        f"{_POINTS}test_one_read_the_input_and_then_whole_turns",
        f"{_POINTS}test_a_failing_model_leaves_input_and_finished_turns",
        f"{_POINTS}test_output_guardrails_decide_about_the_final_turn",
    ),
    "SE-5": (
        f"{_POINTS}test_a_callback_makes_the_input_and_only_new_items_are_stored",
        f"{_POINTS}test_a_callback_that_returns_no_list_fails_the_run_before_any_request",
        f"{_POINTS}test_a_callback_cannot_change_the_callers_items",
    ),
    "SE-6": (f"{_POINTS}test_a_session_goes_with_no_conversation_kept_elsewhere",),
    "SE-7": (
        f"{_POINTS}test_open_calls_of_a_paused_run_do_not_reach_the_model_of_a_later_run",
        f"{_POINTS}test_the_callers_own_input_is_passed_on_as_it_is",
    ),
    "SE-8": (f"{_MEMORY}test_conformance.py::test_an_async_sqlite_session_keeps_every_rule",),
    "SE-9": (
        f"{_MEMORY}test_conformance.py::test_an_advanced_sqlite_session_keeps_every_rule",
        f"{_MEMORY}test_advanced_sqlite_session.py::test_a_branch_holds_what_came_before_its_turn_and_goes_its_own_way",
        f"{_MEMORY}test_advanced_sqlite_session.py::test_usage_is_kept_by_turn_and_branch",
    ),
    "SE-10": (
        f"{_MEMORY}test_conformance.py::test_an_encrypted_session_keeps_every_rule",
        f"{_MEMORY}test_encrypted_session.py::test_items_expire",
    ),
    "SE-11": (
        f"{_MEMORY}test_conformance.py::test_a_redis_session_keeps_every_rule",
        f"{_MEMORY}test_servers.py::test_an_injected_redis_client_is_left_open",
    ),
}
"""Ids that are proven by tests outside of this folder, each as `file::test` below `tests`."""
