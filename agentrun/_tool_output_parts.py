"""The parts that a tool may return: text, images and files for the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired, TypeAlias, TypedDict, cast

import attrs

from agentrun._dataclass import FrozenValue

_DETAILS = ("low", "high", "auto")


def _of_type(name: str) -> Any:
    return attrs.field(default=name, kw_only=True, validator=attrs.validators.in_((name,)))


def _text(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, str):
        raise ValueError(f"{type(instance).__name__}.{attribute.name} must be a str, got {value!r}")


def _optional_text(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is not None:
        _text(instance, attribute, value)


def _optional_detail(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is not None and value not in _DETAILS:
        raise ValueError(f"ToolOutputImage.detail must be one of {list(_DETAILS)} or None, got {value!r}")


@attrs.frozen(eq=False, repr=False)
class ToolOutputText(FrozenValue):
    """Text for the model, where a tool returns several parts.

    Raises:
        ValueError: the text is no str.

    Source: tools, "Returning images or files from function tools".
    """

    text: str = attrs.field(validator=_text)
    type: Literal["text"] = _of_type("text")


@attrs.frozen(eq=False, repr=False)
class ToolOutputImage(FrozenValue):
    """An image for the model; one of `image_url` and `file_id` is needed.

    Raises:
        ValueError: neither is given, or a field has a value it may not have.

    Source: tools, "Returning images or files from function tools".
    """

    image_url: str | None = attrs.field(default=None, validator=_optional_text)
    """A URL, also a `data:` one."""
    file_id: str | None = attrs.field(default=None, validator=_optional_text)
    """The id of a file the provider has."""
    detail: Literal["low", "high", "auto"] | None = attrs.field(default=None, validator=_optional_detail)
    """How closely the model looks."""
    type: Literal["image"] = _of_type("image")

    def __attrs_post_init__(self) -> None:
        if self.image_url is None and self.file_id is None:
            raise ValueError("ToolOutputImage needs an image_url or a file_id; give one of them")


@attrs.frozen(eq=False, repr=False)
class ToolOutputFileContent(FrozenValue):
    """A file for the model; one of `file_data`, `file_url` and `file_id` is needed.

    Raises:
        ValueError: none is given, or a field is no str.

    Source: tools, "Returning images or files from function tools".
    """

    file_data: str | None = attrs.field(default=None, validator=_optional_text)
    """The content, as a base64 `data:` URL or as the provider asks."""
    file_url: str | None = attrs.field(default=None, validator=_optional_text)
    file_id: str | None = attrs.field(default=None, validator=_optional_text)
    """The id of a file the provider has."""
    filename: str | None = attrs.field(default=None, validator=_optional_text)
    type: Literal["file"] = _of_type("file")

    def __attrs_post_init__(self) -> None:
        if self.file_data is None and self.file_url is None and self.file_id is None:
            raise ValueError("ToolOutputFileContent needs file_data, a file_url or a file_id; give one of them")


class ToolOutputTextDict(TypedDict):
    """`ToolOutputText` as a plain dict.

    Source: tools, "Returning images or files from function tools".
    """

    type: Literal["text"]
    text: str


class ToolOutputImageDict(TypedDict):
    """`ToolOutputImage` as a plain dict.

    Source: tools, "Returning images or files from function tools".
    """

    type: Literal["image"]
    image_url: NotRequired[str]
    file_id: NotRequired[str]
    detail: NotRequired[Literal["low", "high", "auto"]]


class ToolOutputFileContentDict(TypedDict):
    """`ToolOutputFileContent` as a plain dict.

    Source: tools, "Returning images or files from function tools".
    """

    type: Literal["file"]
    file_data: NotRequired[str]
    file_url: NotRequired[str]
    file_id: NotRequired[str]
    filename: NotRequired[str]


ValidToolOutputPydanticModels: TypeAlias = ToolOutputText | ToolOutputImage | ToolOutputFileContent

_IMAGE_KEYS = ("image_url", "file_id", "detail")
_FILE_KEYS = ("file_data", "file_url", "file_id", "filename")
_KEYS = {"image": _IMAGE_KEYS, "file": _FILE_KEYS}
_CONTENT_KEYS = ("image_url", "file_data", "file_url", "file_id")
"""One of these is what a part is about."""


def part_of(value: Any) -> dict[str, Any] | None:
    """Return the content part that `value` is or describes, None when it is none."""
    if isinstance(value, ToolOutputText):
        return {"type": "input_text", "text": value.text}
    if isinstance(value, ToolOutputImage):
        return _set_members("input_image", _IMAGE_KEYS, attrs.asdict(value))
    if isinstance(value, ToolOutputFileContent):
        return _set_members("input_file", _FILE_KEYS, attrs.asdict(value))
    return _part_of_dict(cast("dict[str, Any]", value)) if isinstance(value, dict) else None


def _part_of_dict(value: dict[str, Any]) -> dict[str, Any] | None:
    """Return the part a dict describes; any dict that does not fit is an ordinary value, not an error."""
    kind = value.get("type")
    if kind == "text":
        text = value.get("text")
        return {"type": "input_text", "text": text} if isinstance(text, str) else None
    keys = _KEYS.get(kind) if isinstance(kind, str) else None
    if keys is None:
        return None
    if not all(isinstance(value.get(key, ""), str | None) for key in keys):
        return None
    if all(value.get(key) is None for key in _CONTENT_KEYS) or value.get("detail") not in (None, *_DETAILS):
        return None
    return _set_members(f"input_{kind}", keys, value)


def _set_members(kind: str, keys: Sequence[str], value: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": kind, **{key: value[key] for key in keys if value.get(key) is not None}}
