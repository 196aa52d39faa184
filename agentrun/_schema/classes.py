"""The rules for classes with fields: TypedDict, attrs, dataclasses, named tuples, generic ones included."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import typing_extensions

from agentrun._docstrings import parse_docstring
from agentrun._json import Fault, Mismatch
from agentrun._schema.core import (
    MARKERS,
    MISSING,
    Compiler,
    FieldSpec,
    Node,
    Rule,
    as_is,
    split_metadata,
    substitute,
    type_name,
)
from agentrun._schema.limits import describe


def _class_with_fields(compiler: Compiler, tp: Any, where: str) -> Node | None:
    cls: Any = typing.get_origin(tp) or tp
    if not inspect.isclass(cls):
        return None
    read = next((read for fits, read in _FIELD_READERS if fits(cls)), None)
    if read is None:
        return None

    def build() -> Node:
        texts = parse_docstring(own_docstring(cls))
        fields = [
            attrs.evolve(field, description=field.description or _described(field.type) or texts.params.get(field.key))
            for field in read(compiler, tp, cls)
        ]
        construct = as_is if issubclass(cls, dict) else _constructor(cls)
        node = compiler.object_node(fields, construct, f"object ({type_name(tp)})", where, texts.description)
        return attrs.evolve(node, schema={"title": type_name(tp), **node.schema})

    return compiler.named(tp, type_name(tp), build, kinds=frozenset({"object"}), expected=f"object ({type_name(tp)})")


def _constructor(cls: type[Any]) -> Callable[[dict[str, Any]], Any]:
    def construct(given: dict[str, Any]) -> Any:
        try:
            return cls(**given)
        except (TypeError, ValueError, AssertionError) as exc:  # the class's own checks of what it is given
            raise Mismatch([Fault((), f"refused by {cls.__name__}: {str(exc)[:200]}")]) from exc

    return construct


def own_docstring(cls: type[Any]) -> str | None:
    """Return the docstring that the author of a class gave it; dataclass and namedtuple make one up."""
    text: object = cls.__dict__.get("__doc__")
    return text if isinstance(text, str) and not text.startswith(f"{cls.__name__}(") else None


def _described(tp: Any) -> str | None:
    return describe(split_metadata(tp)[1])


def _resolved_fields(compiler: Compiler, tp: Any, cls: type[Any]) -> dict[str, Any]:
    """Return the annotations of a class with its type variables replaced, those of generic bases included."""
    variables = _variables_by_class(tp)
    owners = {name: base for base in reversed(getattr(cls, "__mro__", (cls,))) for name in _annotations(base)}
    merged = {variable: value for table in reversed(variables.values()) for variable, value in table.items()}
    return {
        name: substitute(hint, variables.get(owners.get(name, cls), merged) or merged)
        for name, hint in compiler.hints(cls).items()
    }


def _annotations(cls: Any) -> dict[str, Any]:
    """Return the annotations a class makes itself; what cannot be resolved stays a forward reference."""
    return typing_extensions.get_annotations(cls, format=typing_extensions.Format.FORWARDREF)


def _variables_by_class(tp: Any) -> dict[Any, dict[Any, Any]]:
    """Return, for each generic class above `tp`, what its type variables stand for."""
    found: dict[Any, dict[Any, Any]] = {}
    pending = [tp]
    while pending:
        alias = pending.pop()
        cls = typing.get_origin(alias) or alias
        table = dict(zip(getattr(cls, "__parameters__", ()), typing.get_args(alias), strict=False))
        if cls in found or cls is typing.Generic:
            continue
        found[cls] = table
        bases = cls.__dict__.get("__orig_bases__", ()) or getattr(cls, "__bases__", ())
        pending.extend(substitute(base, table) for base in bases if base is not object)
    return found


def _typed_dict_fields(compiler: Compiler, tp: Any, cls: Any) -> Iterator[FieldSpec]:
    for name, hint in _resolved_fields(compiler, tp, cls).items():
        required: bool = name in cls.__required_keys__
        # Annotations that are strings hide the markers from the class, so they are read here too.
        while (origin := typing.get_origin(hint)) in MARKERS:
            if origin is not typing_extensions.ReadOnly:
                required = origin is typing.Required
            hint = typing.get_args(hint)[0]
        yield FieldSpec(name, hint, required=required)


def _dataclass_fields(compiler: Compiler, tp: Any, cls: Any) -> Iterator[FieldSpec]:
    hints: dict[str, Any] = _resolved_fields(compiler, tp, cls)
    for field in dataclasses.fields(cls):
        if field.init:
            factory = field.default_factory
            default = field.default if field.default is not dataclasses.MISSING else MISSING
            if factory is not dataclasses.MISSING:
                default = factory()
            yield FieldSpec(
                field.name,
                hints[field.name],
                required=default is MISSING,
                default=default,
                description=field.metadata.get("description"),
            )
    for name, hint in hints.items():
        variable: Any = hint
        if type(hint) is dataclasses.InitVar:
            default = getattr(cls, name, MISSING)
            yield FieldSpec(name, variable.type, required=default is MISSING, default=default)


def _attrs_fields(compiler: Compiler, tp: Any, cls: Any) -> Iterator[FieldSpec]:
    hints = _resolved_fields(compiler, tp, cls)
    for field in attrs.fields(cls):
        if field.init:
            default: Any = MISSING if field.default is attrs.NOTHING else field.default
            if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
                default = MISSING if default.takes_self else default.factory()
            name = field.alias or field.name
            hint = hints.get(field.name, Any if field.type is None else field.type)
            description = field.metadata.get("description")
            yield FieldSpec(
                name, hint, required=field.default is attrs.NOTHING, default=default, description=description
            )


def _named_tuple_fields(compiler: Compiler, tp: Any, cls: Any) -> Iterator[FieldSpec]:
    hints = _resolved_fields(compiler, tp, cls)
    for name in cls._fields:
        default = cls._field_defaults.get(name, MISSING)
        yield FieldSpec(name, hints.get(name, Any), required=default is MISSING, default=default)


_FIELD_READERS: tuple[tuple[Callable[[Any], bool], Callable[[Compiler, Any, Any], Iterator[FieldSpec]]], ...] = (
    (typing_extensions.is_typeddict, _typed_dict_fields),
    (attrs.has, _attrs_fields),
    (dataclasses.is_dataclass, _dataclass_fields),
    (lambda cls: hasattr(cls, "_field_defaults"), _named_tuple_fields),
)


RULES: tuple[Rule, ...] = (_class_with_fields,)
