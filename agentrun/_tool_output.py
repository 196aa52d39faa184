"""What tools give back, as the model gets it, and which kind of tool an item came from."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

import attrs

from agentrun._dataclass import FrozenValue
from agentrun._wire_value import plain

if TYPE_CHECKING:
    from agentrun._responses import ResponseFunctionToolCall

MAX_OUTPUT_CHARACTERS: Final = 1_000_000
"""Characters of text the model gets from one tool call; protects requests and providers from a tool that prints all it
has. Longer text is cut, and says so."""
MAX_OUTPUT_DATA_CHARACTERS: Final = 10_000_000
"""Characters of image and file data, base64 mostly, in one tool call's output. Data cannot be cut: what is beyond this
is left out, and a text in its place says so."""


class ToolOriginType(enum.StrEnum):
    """What kind of thing a tool was made from.

    Source: results, "Tool origin".
    """

    FUNCTION = "function"
    MCP = "mcp"
    AGENT_AS_TOOL = "agent_as_tool"


@attrs.frozen(eq=False, repr=False)
class ToolOrigin(FrozenValue):
    """Where a tool comes from; kept on the items of its calls.

    Source: results, "Tool origin".
    """

    type: ToolOriginType
    mcp_server_name: str | None = None
    """The server's name, for tools of an MCP server."""
    agent_name: str | None = None
    """The agent's name, for agents used as tools."""
    agent_tool_name: str | None = None
    """The name the model knows that agent by."""

    def to_json_dict(self) -> dict[str, str]:
        """Return what is known as a plain dict, without the names that are None; it raises nothing."""
        return {name: str(value) for name, value in attrs.asdict(self).items() if value is not None}

    @classmethod
    def from_json_dict(cls, data: Any) -> ToolOrigin | None:
        """Return the origin that `to_json_dict` made `data` from, None for anything else; it raises nothing."""
        if not isinstance(data, Mapping):
            return None
        given = cast("Mapping[str, Any]", data)
        names = ("mcp_server_name", "agent_name", "agent_tool_name")
        try:
            kind = ToolOriginType(str(given.get("type")))
        except ValueError:
            return None
        return cls(kind, **{name: one for name in names if isinstance(one := given.get(name), str)})


_DATA_KEYS = ("image_url", "file_data")
"""The members of a part that may hold whole files."""


def tool_output_to_wire(
    value: Any,
    *,
    max_characters: int = MAX_OUTPUT_CHARACTERS,
    max_data_characters: int = MAX_OUTPUT_DATA_CHARACTERS,
    for_program: bool = False,
) -> str | list[dict[str, Any]]:
    """Return what the model gets for a tool's return value.

    A str goes as it is. `ToolOutputText`, `ToolOutputImage`, `ToolOutputFileContent`, dicts of the same shape, and
    non-empty lists of nothing but these become content parts (`input_text`, `input_image`, `input_file`). Everything
    else is `str(value)`, so None is "None" and a list of numbers its repr; for a program it is
    JSON, if it has a JSON form.

    Args:
        value: what the tool returned.
        max_characters: the most text; more is cut, and the cut is said at its end.
        max_data_characters: the most image and file data; a part beyond it is replaced by a text that says so.
        for_program: whether a program reads it, or may do so.

    Raises:
        Exception: whatever `str(value)` raises.

    Source: tools, "Returning images or files from function tools".
    """
    if isinstance(value, str):
        return _sendable(_cut(value, max_characters))
    parts = _parts(value)
    if parts is None:
        return _sendable(_cut(_json_text(value) if for_program else str(value), max_characters))
    return _within(parts, max_characters, max_data_characters)


def _json_text(value: Any) -> str:
    from agentrun._schema.core import as_json

    try:
        return json.dumps(as_json(value), ensure_ascii=False, separators=(",", ":"))
    except TypeError:  # it has no JSON form; what it says of itself is better than nothing
        return str(value)


def answer_item(call: ResponseFunctionToolCall, output: str | list[dict[str, Any]]) -> dict[str, Any]:
    """Return the wire item that answers `call`; it names the caller too if the call does, which is a program's."""
    answer: dict[str, Any] = {"call_id": call.call_id, "output": output, "type": "function_call_output"}
    if call.caller is not None:
        answer["caller"] = plain(call.caller)
    return answer


def _parts(value: Any) -> list[dict[str, Any]] | None:
    """Return `value` as content parts, or None when it is not made of them alone."""
    from agentrun._tool_output_parts import part_of  # with the first output that is no text

    if not isinstance(value, list | tuple):
        part = part_of(value)
        return None if part is None else [part]
    found: list[dict[str, Any]] = []
    for one in cast("Sequence[Any]", value):
        part = part_of(one)
        if part is None:
            return None
        found.append(part)
    return found or None


def _within(parts: list[dict[str, Any]], characters: int, data_characters: int) -> list[dict[str, Any]]:
    """Return `parts` with all text together within `characters`, and all data within `data_characters`."""
    text_left, data_left = characters, data_characters
    kept: list[dict[str, Any]] = []
    for part in parts:
        if part["type"] == "input_text":
            text = part["text"]
            kept.append({"type": "input_text", "text": _sendable(_cut(text, text_left))})
            text_left = max(0, text_left - len(text))
            continue
        size = sum(len(part.get(key, "")) for key in _DATA_KEYS)
        if size > data_left:
            what = part["type"].removeprefix("input_")
            note = f"[{what} left out: {size} characters, the limit is {data_characters}]"
            kept.append({"type": "input_text", "text": note})
            continue
        data_left -= size
        kept.append(part)
    return kept


def _cut(text: str, characters: int) -> str:
    if len(text) <= characters:
        return text
    return f"{text[:characters]}\n[output cut: {len(text)} characters, the limit is {characters}]"


def _sendable(text: str) -> str:
    """Return `text` with lone surrogates replaced, which JSON text in UTF-8 has no way to carry."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text
