"""The conversation before a handoff, folded into one summary that the next agent reads.

Everything the former agents did becomes one assistant message: an introduction, a line with the start mark, one
numbered line per item, a line with the end mark. A line is `n. role: text`, or `n. role (name): text`, for a message of
one line, and `n. {json}` for anything else, so that no text, whoever wrote it, can end its own line. That is also what
makes a summary readable again: at the next handoff it is unfolded, and its lines are numbered anew together with what
came after.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from agentrun._items import MessageOutputItem, ToolApprovalItem

if TYPE_CHECKING:
    from agentrun._handoff import HandoffInputData
    from agentrun._items import RunItem
    from agentrun._responses import TResponseInputItem

__all__ = [
    "HandoffHistoryMapper",
    "default_handoff_history_mapper",
    "get_conversation_history_wrappers",
    "nest_handoff_history",
    "reset_conversation_history_wrappers",
    "set_conversation_history_wrappers",
]

HandoffHistoryMapper: TypeAlias = "Callable[[list[TResponseInputItem]], list[TResponseInputItem]]"
"""Makes what the next agent reads from the items of the conversation so far, oldest first."""

_DEFAULT_START = "<CONVERSATION HISTORY>"
_DEFAULT_END = "</CONVERSATION HISTORY>"
_INTRODUCTION = "What was said and done before this agent took over:"
_NOTHING = "(nothing so far)"
_LINE = re.compile(r"\d+\. (.*)")
_SPEAKER = re.compile(r"(\w+)(?: \(([\w-]+)\))?")
"""A role, and the name of who speaks in it."""
_ROLES = frozenset({"user", "assistant", "system", "developer"})

_marks = (_DEFAULT_START, _DEFAULT_END)


def set_conversation_history_wrappers(*, start: str | None = None, end: str | None = None) -> None:
    """Set the marks around a summarized conversation, for the whole process; None leaves a mark as it is.

    Raises:
        TypeError: a mark is no str.

    Source: handoffs, `set_conversation_history_wrappers`.
    """
    for name, mark in (("start", start), ("end", end)):
        if mark is not None and not isinstance(mark, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"{name} must be a str or None, got {mark!r}; pass the text of the mark")
    global _marks  # noqa: PLW0603 - a process-wide setting is what is documented
    _marks = (_marks[0] if start is None else start, _marks[1] if end is None else end)


def reset_conversation_history_wrappers() -> None:
    """Set both marks back to what they were at first.

    Source: handoffs, `reset_conversation_history_wrappers`.
    """
    global _marks  # noqa: PLW0603 - a process-wide setting is what is documented
    _marks = (_DEFAULT_START, _DEFAULT_END)


def get_conversation_history_wrappers() -> tuple[str, str]:
    """Return the marks before and after a summarized conversation.

    Source: handoffs, `get_conversation_history_wrappers`.
    """
    return _marks


def nest_handoff_history(
    handoff_input_data: HandoffInputData, *, history_mapper: HandoffHistoryMapper | None = None
) -> HandoffInputData:
    """Return the conversation with everything before this handoff folded into a summary.

    Messages of the turn that hands over stay messages, in their place; its calls and outputs are folded too.
    `new_items` stay as they are for result and session.

    Args:
        handoff_input_data: the conversation, as an input filter gets it.
        history_mapper: makes the next agent's history from all items instead; what it returns is used as it is.

    Source: handoffs, `nest_handoff_history`.
    """
    history = handoff_input_data.input_history
    past: list[TResponseInputItem] = (
        [{"role": "user", "content": history}] if isinstance(history, str) else [dict(item) for item in history]
    )
    past = unfolded([*past, *_as_input(handoff_input_data.pre_handoff_items)])
    recent = handoff_input_data.new_items if handoff_input_data.input_items is None else handoff_input_data.input_items
    nested: list[TResponseInputItem] = []
    if history_mapper is not None:
        nested = history_mapper([*past, *_as_input(recent)])
    else:
        to_fold = past
        for is_message, items in _runs(recent):
            if not is_message:
                to_fold = [*to_fold, *items]
                continue
            nested += [*(default_handoff_history_mapper(to_fold) if to_fold or not nested else ()), *items]
            to_fold = []
        nested += default_handoff_history_mapper(to_fold) if to_fold or not nested else []
    return handoff_input_data.clone(input_history=tuple(nested), pre_handoff_items=(), input_items=())


def default_handoff_history_mapper(transcript: list[TResponseInputItem]) -> list[TResponseInputItem]:
    """Return `transcript` as one assistant message with a numbered line per item, between the marks.

    Of an empty one the message says that nothing was there.

    Source: handoffs, `default_handoff_history_mapper`.
    """
    start, end = _marks
    lines = [f"{number}. {_line(item)}" for number, item in enumerate(transcript, 1)]
    return [{"role": "assistant", "content": "\n".join((_INTRODUCTION, start, *(lines or [_NOTHING]), end))}]


def unfolded(items: Iterable[TResponseInputItem]) -> list[TResponseInputItem]:
    """Return `items` with every summary made by `default_handoff_history_mapper` replaced by what it sums up."""
    found: list[TResponseInputItem] = []
    for item in items:
        inside = _unfold(item)
        found.extend([item] if inside is None else inside)
    return found


def _as_input(items: Iterable[RunItem]) -> list[TResponseInputItem]:
    return [item.to_input_item() for item in items if not isinstance(item, ToolApprovalItem)]


def _runs(items: Iterable[RunItem]) -> Iterable[tuple[bool, list[TResponseInputItem]]]:
    """Yield the items in order, as the longest stretches that are all messages or all something else."""
    stretch: list[TResponseInputItem] = []
    messages = False
    for item in items:
        if isinstance(item, ToolApprovalItem):
            continue
        if stretch and isinstance(item, MessageOutputItem) is not messages:
            yield messages, stretch
            stretch = []
        messages = isinstance(item, MessageOutputItem)
        stretch.append(item.to_input_item())
    if stretch:
        yield messages, stretch


def _line(item: TResponseInputItem) -> str:
    role, content = item.get("role"), item.get("content")
    one_line = isinstance(content, str) and content.splitlines() == [content]
    if one_line and role in _ROLES and item.keys() <= {"role", "content", "name"}:
        name = item.get("name", "")
        speaker = f"{role} ({name})" if "name" in item else f"{role}"
        if isinstance(name, str) and _SPEAKER.fullmatch(speaker):
            return f"{speaker}: {content}"
    return json.dumps(item, ensure_ascii=False, default=str)


def _unfold(item: TResponseInputItem) -> list[TResponseInputItem] | None:
    """Return the items a summary stands for, None for anything that is not exactly such a summary."""
    content = item.get("content")
    if item.get("role") != "assistant" or not isinstance(content, str):
        return None
    first, *lines = content.split("\n")
    if first != _INTRODUCTION or lines[:1] != [_marks[0]] or lines[-1:] != [_marks[1]]:
        return None
    found: list[TResponseInputItem] = []
    for line in lines[1:-1] if lines[1:-1] != [_NOTHING] else ():
        one = _read(line)
        if one is None:
            return None
        found.append(one)
    return found


def _read(line: str) -> TResponseInputItem | None:
    match = _LINE.fullmatch(line)
    if match is None:
        return None
    text = match[1]
    if text.startswith("{"):
        try:
            value: Any = json.loads(text)
        except ValueError:
            return None
        return cast("TResponseInputItem", value) if isinstance(value, dict) else None
    speaker, colon, content = text.partition(": ")
    known = _SPEAKER.fullmatch(speaker)
    if not colon or known is None or known[1] not in _ROLES:
        return None
    return {"role": known[1], "content": content} | ({"name": known[2]} if known[2] else {})
