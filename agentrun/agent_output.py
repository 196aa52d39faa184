"""What an agent's final output must look like, and how the model's text becomes it."""

from __future__ import annotations

import abc
import json
import sys
import typing
from typing import Any

from typing_extensions import override

from agentrun._exceptions import ModelBehaviorError, UserError
from agentrun._schema import (
    CompiledType,
    FieldSpec,
    JsonSchema,
    NoSchemaError,
    StructureError,
    compile_fields,
    compile_type,
    type_name,
)
from agentrun._schema.core import as_json
from agentrun._strict import ensure_strict_json_schema

__all__ = ["AgentOutputSchema", "AgentOutputSchemaBase"]

_WRAPPER_KEY = "response"
_QUOTED_CHARACTERS = 200
"""An exception quotes this much of what the model wrote."""


class AgentOutputSchemaBase(abc.ABC):
    """How an agent's output is described to the model and read back; subclass it for a format of your own.

    Source: agents, "Output types".
    """

    @abc.abstractmethod
    def is_plain_text(self) -> bool:
        """Return whether the output is text, not JSON."""

    @abc.abstractmethod
    def name(self) -> str:
        """Return the name of the output type."""

    @abc.abstractmethod
    def json_schema(self) -> JsonSchema:
        """Return the JSON schema that the model is given; only called when the output is not plain text."""

    @abc.abstractmethod
    def is_strict_json_schema(self) -> bool:
        """Return whether the provider is asked to enforce the schema."""

    @abc.abstractmethod
    def validate_json(self, json_str: str) -> Any:
        """Return the model's text as the final output.

        Raises:
            ModelBehaviorError: the text does not fit the schema.
        """


class AgentOutputSchema(AgentOutputSchemaBase):
    """The schema of an output type, built once when it is constructed.

    Objects (pydantic models, TypedDict, dict) are what the model writes; every other type is wrapped in an object with
    the one key `response`, because providers want an object. Values are taken strictly ("1" is not 1); unknown keys are
    left out.

    Args:
        output_type: a type hint; None and str mean plain text.
        strict_json_schema: ask the provider to enforce the schema, which must be strict then.

    Raises:
        UserError: the type has no schema, or none that is strict.

    Source: agents, "Output types".
    """

    output_type: Any
    """The type as it was given."""

    def __init__(self, output_type: Any, strict_json_schema: bool = True) -> None:
        self.output_type = output_type
        self._strict = strict_json_schema
        self._wrapped = not _is_object_type(output_type)
        self._compiled: CompiledType | None = None
        if output_type is not None and output_type is not str:
            self._compiled = _compile(output_type, wrapped=self._wrapped, strict=strict_json_schema)

    @override
    def __repr__(self) -> str:
        return f"AgentOutputSchema({self.name()}, strict_json_schema={self._strict})"

    @override
    def is_plain_text(self) -> bool:
        """Return whether the output type is str or None."""
        return self._compiled is None

    @override
    def name(self) -> str:
        """Return the type as it is read, such as `list[int]`."""
        return "None" if self.output_type is None else type_name(self.output_type)

    @override
    def json_schema(self) -> JsonSchema:
        """Return the schema; it is shared, do not change it.

        Raises:
            UserError: the output is plain text.
        """
        if self._compiled is None:
            raise UserError(f"the output type {self.name()} is plain text, which has no JSON schema")
        return self._compiled.schema

    @override
    def is_strict_json_schema(self) -> bool:
        """Return what was asked for at construction."""
        return self._strict

    @override
    def validate_json(self, json_str: str) -> Any:
        """Return the model's JSON as a value of the output type; plain text is returned as it is.

        Raises:
            ModelBehaviorError: the text is not JSON or does not fit; the message has one line per fault.
        """
        if self._compiled is None:
            return json_str
        try:
            value = self._compiled.structure_json(json_str, object_only=True)
        except StructureError as exc:
            raise ModelBehaviorError(
                f"invalid JSON for the output type {self.name()}, got {_cut(json_str)!r}:\n{exc}"
            ) from exc
        return value[_WRAPPER_KEY] if self._wrapped else value

    def dump_json(self, value: Any) -> str:
        """Return a value of the output type as the JSON text a model would have written for it.

        Raises:
            TypeError: it has no JSON form.
        """
        plain = as_json(value)
        wraps = self._wrapped and not (isinstance(value, dict) and _WRAPPER_KEY in value)
        return json.dumps({_WRAPPER_KEY: plain} if wraps else plain, ensure_ascii=False, separators=(",", ":"))


def _cut(text: str) -> str:
    return text if len(text) <= _QUOTED_CHARACTERS else text[:_QUOTED_CHARACTERS] + "…"


def _is_object_type(tp: Any) -> bool:
    cls = typing.get_origin(tp) or tp
    if not isinstance(cls, type):
        return False
    if issubclass(cls, dict):
        return True
    if sys.modules.get("pydantic") is None:  # nobody has a model without having imported it
        return False
    import pydantic  # waits, where another thread is in the middle of importing it

    return issubclass(cls, pydantic.BaseModel)


def _compile(tp: Any, *, wrapped: bool, strict: bool) -> CompiledType:
    try:
        if not wrapped:
            compiled = compile_type(tp, strict=strict, extra="ignore")
        else:
            compiled = compile_fields("OutputType", [FieldSpec(_WRAPPER_KEY, tp)], strict=strict, extra="ignore")
    except NoSchemaError as exc:
        place = f" (its part at {exc.where.removeprefix(_WRAPPER_KEY).lstrip('.')!r}: {type_name(exc.tp)})"
        inner = exc.tp is not tp and exc.where not in ("", _WRAPPER_KEY)
        raise UserError(
            f"the output type {type_name(tp)}{place if inner else ''} has no JSON schema"
            f"{exc.reason and f' ({exc.reason})'}; use builtins, Literal, enums, TypedDict, dataclasses, attrs classes "
            "or pydantic models, or pass your own AgentOutputSchemaBase"
        ) from exc
    except UserError as exc:
        raise UserError(
            f"the output type {type_name(tp)} has no strict JSON schema ({exc.message}); use named fields, or wrap it "
            f"as AgentOutputSchema({type_name(tp)}, strict_json_schema=False)"
        ) from exc
    if strict:
        ensure_strict_json_schema(compiled.schema)  # once more, for the rules that only hold for the root of a request
    return compiled
