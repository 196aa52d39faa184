"""Shortens what tools returned long ago, so that a long conversation costs less.

Source: running agents, `call_model_input_filter`; `ToolOutputTrimmer`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

import attrs

from agentrun._config import CallModelData, ModelInputData
from agentrun._dataclass import Dataclass
from agentrun._json import is_array, is_object

if TYPE_CHECKING:
    from agentrun._responses import TResponseInputItem

__all__ = ["ToolOutputTrimmer"]

_TOOL_SEARCH = "tool_search"
_PROSE = frozenset({"$comment", "description", "examples", "title"})
"""What a JSON schema says to readers; a call can be written without it."""
_NAMED = frozenset({"$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"})
"""Keywords whose keys are names of the tool's author, which may be `title` or `description` too."""
_SCHEMAS = frozenset(
    {
        "additionalItems",
        "additionalProperties",
        "allOf",
        "anyOf",
        "contains",
        "contentSchema",
        "else",
        "if",
        "items",
        "not",
        "oneOf",
        "prefixItems",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)
"""Keywords that hold a schema, or a list of them; all others hold data."""
_MEMBERS: Mapping[str, frozenset[str]] = {
    "input_text": frozenset({"type", "text"}),
    "input_image": frozenset({"type", "image_url", "file_id", "detail"}),
    "input_file": frozenset({"type", "file_data", "file_url", "file_id", "filename", "detail"}),
}
"""The parts that a tool's output may have; others are not ours to shorten."""
_DETAILS = (None, "auto", "high", "low", "original")


def _whole_number(lowest: int) -> Any:
    def check(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
            raise ValueError(f"{attribute.name} must be >= {lowest}, a whole number, got {value!r}")

    return check


def _names(value: Any) -> frozenset[str] | None:
    if value is None:
        return None
    if isinstance(value, bytes) or not isinstance(value, Iterable):
        raise ValueError(f"trimmable_tools must be a tool's name or several of them, got {value!r}")
    return frozenset({value}) if isinstance(value, str) else frozenset(cast("Iterable[str]", value))


@attrs.frozen
class ToolOutputTrimmer(Dataclass):
    """Replace the large outputs of tools in older turns by their beginning, in what a model is sent.

    Give it to `RunConfig(call_model_input_filter=...)`. What the run keeps and a session stores stays whole. An output
    of several parts becomes a text of up to `max_output_chars` that names, where there is room, the images and files
    which were dropped; tools that a tool search found lose the descriptions in their schemas and stay callable. What
    would not get shorter is left alone.

    Raises:
        ValueError: a number is out of range, or `trimmable_tools` is no name and no group of names.

    Source: `ToolOutputTrimmer`.
    """

    recent_turns: int = attrs.field(default=2, validator=_whole_number(1))
    """So many of the last user messages, and all that follows the first of them, are not touched."""
    max_output_chars: int = attrs.field(default=500, validator=_whole_number(1))
    """Outputs of up to so many characters are not touched."""
    preview_chars: int = attrs.field(default=200, validator=_whole_number(0))
    """So many characters of the output's beginning are kept."""
    trimmable_tools: frozenset[str] | None = attrs.field(default=None, converter=_names)
    """The tools whose outputs may be trimmed, with their namespace (`crm.find`) or without; None: all of them."""

    def __call__(self, data: CallModelData[Any]) -> ModelInputData:
        """Return what the model is to be sent; the items that were given are not changed."""
        given = data.model_data
        recent = self._first_recent(given.input)
        if recent == 0:
            return given
        tools = dict(_called_tools(given.input))
        older = [self._trimmed(item, tools) for item in given.input[:recent]]
        return ModelInputData([*older, *given.input[recent:]], given.instructions)

    def _first_recent(self, items: list[TResponseInputItem]) -> int:
        """Return the index of the user message that opens the recent turns; 0 where all turns are recent."""
        asked = [index for index, item in enumerate(items) if item.get("role") == "user"]
        return asked[-self.recent_turns] if len(asked) >= self.recent_turns else 0

    def _trimmed(self, item: TResponseInputItem, tools: Mapping[str, tuple[str, ...]]) -> TResponseInputItem:
        kind = item.get("type")
        if kind not in {"function_call_output", "tool_search_output"}:
            return item
        fallback = (_TOOL_SEARCH,) if kind == "tool_search_output" else ()
        names = tools.get(str(item.get("call_id") or item.get("id") or ""), fallback)
        if self.trimmable_tools is not None and self.trimmable_tools.isdisjoint(names):
            return item
        if kind == "tool_search_output":
            return self._trimmed_search(item)
        text = self._shorter(item.get("output", ""), names[0] if names else "unknown_tool")
        return item if text is None else {**item, "output": text}

    def _shorter(self, output: Any, name: str) -> str | None:
        """Return the text to stand for `output`, or None where it is to stay."""
        if is_array(output):
            parts = _Parts.of(output)
            return None if parts is None or parts.size <= self.max_output_chars else self._summary(parts, name)
        text = output if isinstance(output, str) else str(output)
        if len(text) <= self.max_output_chars:
            return None
        kept = text[: self.preview_chars]
        shorter = f"[Trimmed: {name} output, {len(text)} chars, preview {len(kept)}]\n{kept}..."
        return shorter if len(shorter) < len(text) else None

    def _summary(self, parts: _Parts, name: str) -> str:
        """Return what stands for `parts`, within `max_output_chars`: their text comes before what is said of them."""
        kept = parts.text[: self.preview_chars]
        ending = "..." if len(kept) < len(parts.text) else ""
        dropped = ", ".join(f"{count} {kind}" for kind, count in sorted(parts.dropped.items()))
        headers = [
            f"[Trimmed: {name} output, payload {parts.size}, preview {len(kept)}{dropped and ', dropped ' + dropped}]",
            f"[Trimmed: {', '.join(sorted(parts.dropped))}]" if parts.dropped else "[Trimmed]",
        ]
        body = f"\n{kept}{ending}" if kept else ""
        for header in headers:
            if len(header) + len(body) <= self.max_output_chars:
                return header + body
        header = "[Trimmed]"
        left = self.max_output_chars - len(header) - len("\n...")
        return f"{header}\n{kept[:left]}..." if kept and left > 0 else header[: self.max_output_chars]

    def _trimmed_search(self, item: TResponseInputItem) -> TResponseInputItem:
        tools = item.get("tools")
        if tools is None:
            return self._trimmed_results(item)
        size = len(str(tools))
        if not is_array(tools) or size <= self.max_output_chars:
            return item
        found = [self._without_prose(tool) for tool in tools]
        return {**item, "tools": found} if len(str(found)) < size else item

    def _trimmed_results(self, item: TResponseInputItem) -> TResponseInputItem:
        """Shorten what a search found as texts, as histories of before hold it."""
        results = item.get("results")
        if not is_array(results):
            return item
        found: list[Any] = []
        for one in results:
            text = (
                self._shorter(one["text"], _TOOL_SEARCH)
                if is_object(one) and isinstance(one.get("text"), str)
                else None
            )
            found.append(one if text is None else {**one, "text": text})
        return {**item, "results": found}

    def _without_prose(self, tool: Any) -> Any:
        """Return a tool's definition with a short description, and with a schema that has none."""
        if not is_object(tool):
            return tool
        shorter = dict(tool)
        if isinstance(tool.get("description"), str):
            shorter["description"] = tool["description"][: self.preview_chars]
        if is_object(tool.get("parameters")):
            shorter["parameters"] = _bare_schema(tool["parameters"])
        if is_array(inner := tool.get("tools")):
            shorter["tools"] = [self._without_prose(one) for one in inner]
        return shorter


def _called_tools(items: list[TResponseInputItem]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each call's id with the names its tool goes by, the full one first."""
    for item in items:
        call_id = item.get("call_id") or item.get("id")
        if item.get("type") == "function_call" and call_id and (name := item.get("name")):
            namespace = item.get("namespace")
            qualified = f"{namespace}.{name}" if namespace and namespace != name else name
            yield str(call_id), (qualified, name)
        elif item.get("type") == "tool_search_call" and call_id:
            yield str(call_id), (_TOOL_SEARCH,)


@attrs.frozen
class _Parts:
    """What an output of several parts holds."""

    text: str
    size: int
    """Characters of all parts, of images and files too."""
    dropped: Mapping[str, int]
    """How many parts of each kind are no text."""

    @classmethod
    def of(cls, parts: list[Any]) -> _Parts | None:
        """Return what `parts` hold, or None where one is not as tools' outputs have them."""
        texts: list[str] = []
        dropped = Counter[str]()
        size = 0
        for part in parts:
            if not is_object(part):
                return None
            kind = str(part.get("type"))
            if not part.keys() <= _MEMBERS.get(kind, frozenset()) or part.get("detail") not in _DETAILS:
                return None
            if kind != "input_text":
                dropped[kind] += 1
            elif isinstance(part.get("text"), str):
                texts.append(part["text"])
            else:
                return None
            size += sum(len(value) for key, value in part.items() if key != "type" and isinstance(value, str))
        return cls("\n".join(texts), size, dropped)


def _bare_schema(schema: Any) -> Any:
    """Return a JSON schema without its prose; names and values that only look like prose stay."""
    if is_array(schema):
        return [_bare_schema(entry) for entry in schema]
    if not is_object(schema):
        return schema
    bare: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _NAMED and is_object(value):
            bare[key] = {name: _bare_schema(inner) for name, inner in value.items()}
        elif key in _SCHEMAS:
            bare[key] = _bare_schema(value)
        elif key not in _PROSE:
            bare[key] = value
    return bare
