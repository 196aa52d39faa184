"""What a chat reply is made of: its items while they are being received, and the members of its JSON, checked."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, cast

import attrs

from agentrun._exceptions import ModelBehaviorError
from agentrun._fields import new_list
from agentrun._responses import (
    Content,
    InputTokensDetails,
    OutputTokensDetails,
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputRefusal,
    ResponseOutputText,
    ResponseReasoningItem,
    ResponseUsage,
    Summary,
)
from agentrun._wire_value import Record
from agentrun.models._json import Json, quoted
from agentrun.models.chat_request import REASONING_MARK
from agentrun.models.responses_wire import FAKE_ID

__all__ = [
    "Call",
    "Message",
    "Part",
    "Reasoning",
    "Status",
    "array_of",
    "citation",
    "logprob",
    "member",
    "object_of",
    "signature",
    "text_of",
    "usage_of",
]

Status: TypeAlias = Literal["in_progress", "completed", "incomplete"]


@attrs.define(eq=False, repr=False)
class Reasoning:
    """Reasoning that is being received: the parts of a summary, its full text, or blocks that their provider signs."""

    index: int
    summary: list[list[str]] = attrs.field(factory=new_list)
    text: list[str] = attrs.field(factory=new_list)
    blocks: list[Json] = attrs.field(factory=new_list)
    """Blocks of thinking as they go back to the provider; the last one may lack the rest of its text, and its signature
    which ends it."""
    is_speaking: bool = False
    """Whether the last part of the summary is open."""

    def item(self, kept: Json) -> ResponseReasoningItem:
        summary = [Summary(text="".join(pieces)) for pieces in self.summary]
        texts = ["".join(self.text), "".join(block["thinking"] for block in self._thinking())]
        content = [Content(text=text) for text in texts[0 if self.text else 1 :] if text or self.text]
        is_text = self.text and not (summary or self.blocks)
        kept = {**kept, REASONING_MARK: "reasoning" if is_text else "reasoning_content"}
        if self.blocks:
            kept["thinking_blocks"] = [dict(block) for block in self.blocks]
        signatures = [block["signature"] for block in self._thinking() if block["signature"]]
        return ResponseReasoningItem(
            id=FAKE_ID,
            summary=summary,
            content=content or None,
            encrypted_content=signatures[-1] if signatures else None,
            extra={"provider_data": kept},
        )

    def whole_text(self) -> str:
        """Return all that is no summary."""
        return "".join([*self.text, *(block["thinking"] for block in self._thinking())])

    def add_block(self, piece: Json) -> None:
        """Add a piece of a block: text goes on with the block that has no signature yet, other blocks are whole.

        Raises:
            ModelBehaviorError: text or signature is no string.
        """
        if piece["type"] != "thinking":
            self.blocks.append(piece)
            return
        for name in ("thinking", "signature"):
            if not isinstance(piece.setdefault(name, ""), str):
                raise ModelBehaviorError(f"the {name} of a thinking block is no text but {quoted(repr(piece[name]))}")
        last = self.blocks[-1] if self.blocks else None
        if last is None or last["type"] != "thinking" or last["signature"]:
            self.blocks.append(piece)
            return
        last.update({**piece, "thinking": last["thinking"] + piece["thinking"]})

    def _thinking(self) -> list[Json]:
        return [block for block in self.blocks if block["type"] == "thinking"]


@attrs.define(eq=False, repr=False)
class Part:
    """Text or a refusal that is being received."""

    kind: Literal["text", "refusal"]
    pieces: list[str] = attrs.field(factory=new_list)
    annotations: list[Record] = attrs.field(factory=new_list)
    logprobs: list[Record] = attrs.field(factory=new_list)

    def value(self) -> ResponseOutputText | ResponseOutputRefusal:
        text = "".join(self.pieces)
        if self.kind == "refusal":
            return ResponseOutputRefusal(refusal=text)
        return ResponseOutputText(text=text, annotations=list(self.annotations), logprobs=list(self.logprobs))


@attrs.define(eq=False, repr=False)
class Message:
    """A message that is being received; text and refusal are a part each."""

    index: int
    parts: list[Part] = attrs.field(factory=new_list)

    def item(self, status: Status, kept: Json) -> ResponseOutputMessage:
        content = [part.value() for part in self.parts]
        return ResponseOutputMessage(id=FAKE_ID, content=content, status=status, extra={"provider_data": kept})


@attrs.define(eq=False, repr=False)
class Call:
    """A call that is being received. It is announced once its name and its call id are known."""

    at: int
    """The provider's index of it."""
    index: int | None = None
    is_announced: bool = False
    call_id: str = ""
    name: str = ""
    pieces: list[str] = attrs.field(factory=new_list)
    signature: str = ""

    def item(self, status: Status, kept: Json) -> ResponseFunctionToolCall:
        if self.signature:
            kept = {**kept, "thought_signature": self.signature}
        return ResponseFunctionToolCall(
            id=FAKE_ID,
            call_id=self.call_id,
            name=self.name,
            arguments="".join(self.pieces),
            status="incomplete" if status == "incomplete" else None,
            extra={"provider_data": kept},
        )


def citation(annotation: Any) -> Record | None:
    """Return a citation of a page in Responses form, None for what is none."""
    cited = member(annotation, "url_citation")
    if member(annotation, "type") != "url_citation" or not isinstance(cited, dict):
        return None
    kinds = {"start_index": int, "end_index": int, "url": str, "title": str}
    found = {name: member(cited, name) for name in kinds}
    if any(not isinstance(found[name], kind) for name, kind in kinds.items()):
        return None
    return Record({"type": "url_citation", **found})


def logprob(token: Any, *, is_delta: bool) -> Record:
    """Return the probability of a token, and of those it was chosen from, as an event or an item has it."""
    found = object_of(token, "a log probability")

    def one(of: Json) -> Json:
        short = {"token": of.get("token"), "logprob": of.get("logprob")}
        return short if is_delta else {**short, "bytes": of.get("bytes") or []}

    top = [one(object_of(other, "a log probability")) for other in array_of(found, "top_logprobs")]
    return Record({**one(found), "top_logprobs": (top or None) if is_delta else top})


def signature(piece: Json) -> str:
    """Return what one provider wants back with a call, "" where there is nothing of the kind.

    LiteLLM's proxy has it in a place of its own.
    """
    for holder in (member(piece.get("extra_content"), "google"), piece.get("provider_specific_fields")):
        found = member(holder, "thought_signature")
        if isinstance(found, str) and found:
            return found
    return ""


def usage_of(usage: Json | None) -> ResponseUsage | None:
    if usage is None:
        return None
    details_in, details_out = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    cached = member(details_in, "cached_tokens")
    return ResponseUsage(
        input_tokens=usage.get("prompt_tokens") or 0,
        input_tokens_details=InputTokensDetails(
            cached_tokens=cached if cached is not None else usage.get("prompt_cache_hit_tokens") or 0,
            cache_write_tokens=member(details_in, "cache_write_tokens") or 0,
        ),
        output_tokens=usage.get("completion_tokens") or 0,
        output_tokens_details=OutputTokensDetails(reasoning_tokens=member(details_out, "reasoning_tokens") or 0),
        total_tokens=usage.get("total_tokens") or 0,
    )


def member(value: Any, name: str) -> Any | None:
    return cast("Json", value).get(name) if isinstance(value, dict) else None


def object_of(value: Any, what: str) -> Json:
    if not isinstance(value, dict):
        raise ModelBehaviorError(f"{what} in the model's reply is no object but {quoted(repr(value))}")
    return cast("Json", value)


def array_of(source: Json, name: str) -> list[Any]:
    """Return a member that is an array, an empty one where it is null or missing."""
    value = source.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise ModelBehaviorError(f"{name} in the model's reply is no array but {quoted(repr(value))}")
    found: list[Any] = value  # pyright: ignore[reportUnknownVariableType] - mypy refuses a cast here
    return found


def text_of(source: Json, name: str) -> str:
    """Return a member that is a text, "" where it is null or missing."""
    value = source.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ModelBehaviorError(f"{name} in the model's reply is no text but {quoted(repr(value))}")
    return value
