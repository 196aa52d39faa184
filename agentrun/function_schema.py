"""Python functions -> what a model is told about them, and the model's arguments -> a Python call.

Everything reflective happens in `function_schema`, once per tool. A call then parses the JSON text, checks it against
the parameter types, and gets back positional and keyword arguments.
"""

from __future__ import annotations

import builtins
import functools
import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import typing_extensions

from agentrun._dataclass import Dataclass
from agentrun._docstrings import Docstring, DocstringStyle, parse_docstring
from agentrun._exceptions import UserError
from agentrun._fields import new_dict
from agentrun._schema import (
    MISSING,
    REMEDY,
    CompiledType,
    FieldSpec,
    JsonSchema,
    Meta,
    NoSchemaError,
    StructureError,
    compile_fields,
    describe,
    evaluated,
    own_docstring,
    parse_json,
    split_metadata,
    type_name,
)

__all__ = [
    "Arguments",
    "ArgumentsModel",
    "DocstringStyle",
    "FuncDocumentation",
    "FuncSchema",
    "Meta",
    "StructureError",
    "function_schema",
    "generate_func_documentation",
]

_Kind = inspect.Parameter
# Python 3.14 evaluates annotations when they are read, and would fail on names that only type checkers know.
_FORWARD_REFERENCES: dict[str, Any] = (
    {"annotation_format": typing_extensions.Format.FORWARDREF} if sys.version_info >= (3, 14) else {}
)
_POSITIONAL = (_Kind.POSITIONAL_ONLY, _Kind.POSITIONAL_OR_KEYWORD)


@attrs.frozen
class FuncDocumentation(Dataclass):
    """What a function's docstring says.

    Source: tools, "Automatic argument and docstring parsing".
    """

    name: str
    """The function's name."""
    description: str | None
    """The text before the first section."""
    param_descriptions: dict[str, str] | None
    """Text by parameter name, or None when no parameter is described."""


class Arguments(dict[str, Any]):
    """The typed arguments of one call by parameter name; each is an attribute, too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"there is no argument {name!r}, expected one of {sorted(self)}") from None

    def model_dump(self) -> dict[str, Any]:
        """Return the arguments as a plain dict."""
        return dict(self)


@attrs.frozen(eq=False)
class ArgumentsModel:
    """The parameters of a function as something to validate arguments with, under pydantic's method names.

    It is no pydantic model and needs no pydantic.

    Raises:
        StructureError: calling it, or one of its `model_validate` methods, with arguments that do not fit.
    """

    _compiled: CompiledType = attrs.field(repr=False, alias="compiled")
    _defaults: Mapping[str, Callable[[], Any]] = attrs.field(factory=new_dict, repr=False, alias="defaults")

    @property
    def __name__(self) -> str:
        """The title of the schema: the function's name and `_args`."""
        return str(self._compiled.schema["title"])

    def __call__(self, **data: Any) -> Arguments:
        """Return these arguments as typed values."""
        return self.model_validate(data)

    def model_validate(self, data: Mapping[str, Any]) -> Arguments:
        """Return parsed JSON as typed values; parameters that are not there get their defaults."""
        found = Arguments(self.structured(dict(data)))
        for name, default in self._defaults.items():
            if name not in found:
                found[name] = default()
        return found

    def structured(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return parsed JSON as typed values, of just the parameters that are there."""
        given: dict[str, Any] = self._compiled.structure(data, root="argument")
        return given

    def keeps(self, data: Mapping[str, Any]) -> bool:
        """Return whether these arguments are their own typed values, and no code of the tool runs to find out."""
        return self._compiled.keeps(data)

    def model_validate_json(self, json_text: str) -> Arguments:
        """Return JSON text as typed values; empty text means no arguments."""
        return self.model_validate(_parsed(json_text))

    def model_json_schema(self) -> JsonSchema:
        """Return the schema of the arguments; it is shared, do not change it."""
        return self._compiled.schema


def _parsed(json_text: str) -> dict[str, Any]:
    arguments: dict[str, Any] = parse_json(json_text, object_only=True) if json_text.strip() else {}
    return arguments


@attrs.frozen
class _Parameter:
    """One parameter that the model fills in."""

    name: str
    kind: Any  # of inspect's enum, which has no public name
    default: Any

    def when_missing(self) -> Any:
        """Return its value for a call that does not give it.

        Raises:
            StructureError: it has to be given.
        """
        if self.kind is _Kind.VAR_POSITIONAL:
            return ()
        if self.kind is _Kind.VAR_KEYWORD:
            return {}
        if self.default is MISSING:
            raise StructureError([f"argument `{self.name}`: missing"])
        return _default_of(self.default)


@attrs.frozen(eq=False, kw_only=True)
class FuncSchema(Dataclass):
    """A function as a model sees it, and the way from the model's JSON to a call of it.

    Source: tools, "Function tools".
    """

    name: str
    """What the model calls it."""
    description: str | None
    """What the model reads about it."""
    params_json_schema: JsonSchema
    """The schema of the arguments: an object with one key per parameter. Shared: do not change it."""
    signature: inspect.Signature
    """The function's signature, with the context parameter."""
    takes_context: bool = False
    """Whether the first parameter is the run's context; the caller passes it before the positional arguments."""
    strict_json_schema: bool = True
    """Whether `params_json_schema` is strict."""
    return_annotation: Any = inspect.Signature.empty
    """The resolved return annotation, or `inspect.Signature.empty` when there is none that can be resolved."""
    params_pydantic_model: ArgumentsModel
    """Checks arguments and makes them typed values; it has its name from the documented interface."""
    _parameters: tuple[_Parameter, ...] = attrs.field(repr=False, alias="parameters")

    def structure_arguments(self, json_text: str) -> tuple[list[Any], dict[str, Any]]:
        """Return the positional and keyword arguments for a call, without the context.

        Parameters the model left out get their defaults, also in strict mode. Empty text means no arguments.

        Args:
            json_text: the arguments as the model wrote them, a JSON object.

        Raises:
            StructureError: the text is no JSON object, or the arguments do not fit; one line per fault.
        """
        return self.to_call_args(self.params_pydantic_model.structured(_parsed(json_text)))

    def keeps_arguments(self, data: Mapping[str, Any]) -> bool:
        """Return whether a call gets just these values: no default, no conversion, no validator of its own.

        What looks at `data` before the call then sees what the function will see. False where finding out would run
        code of the function's author.

        Args:
            data: parsed JSON by parameter name.
        """
        if not all(parameter.name in data for parameter in self._parameters):
            return False
        if not self.params_pydantic_model.keeps(data):
            return False
        try:
            self.to_call_args(data)
        except StructureError:
            return False
        return True

    def to_call_args(self, data: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Lay typed values out as the positional and keyword arguments of a call, without the context.

        Args:
            data: typed values by parameter name; missing parameters get their defaults.

        Raises:
            StructureError: `**kwargs` names a parameter, or a parameter without a default is missing.
        """
        positional: list[Any] = []
        keywords: dict[str, Any] = {}
        for parameter in self._parameters:
            name, kind = parameter.name, parameter.kind
            value = data[name] if name in data else parameter.when_missing()
            if kind in _POSITIONAL:
                positional.append(value)
            elif kind is _Kind.KEYWORD_ONLY:
                keywords[name] = value
            elif kind is _Kind.VAR_POSITIONAL:
                positional.extend(value)
            else:
                self._spread(name, value, keywords)
        return positional, keywords

    def _spread(self, name: str, values: Mapping[str, Any], keywords: dict[str, Any]) -> None:
        # Some names may come again as a keyword: `def f(a, /, *more, **rest)` may be called as f(1, 2, a=3, more=4).
        taken = {
            parameter.name
            for parameter in self.signature.parameters.values()
            if parameter.kind not in (_Kind.POSITIONAL_ONLY, _Kind.VAR_POSITIONAL)
        }
        if clashes := sorted(values.keys() & (taken - {name})):
            raise StructureError([f"argument `{name}.{key}`: names a parameter of its own" for key in clashes])
        keywords.update(values)


def function_schema(
    func: Callable[..., Any],
    docstring_style: DocstringStyle | None = None,
    name_override: str | None = None,
    description_override: str | None = None,
    use_docstring_info: bool = True,
    strict_json_schema: bool = True,
    *,
    context_types: Sequence[type] | None = None,
) -> FuncSchema:
    """Return the schema of a function's parameters and the way to call it with JSON.

    Works on functions, bound methods, callable objects and `functools.partial`, sync and async. A parameter without an
    annotation takes anything; `*args: T` is an array of T; `**kwargs: T` is an object under its own name, and needs
    `strict_json_schema=False`.

    Args:
        func: the function; it is not called.
        docstring_style: how its docstring is written; None finds out.
        name_override: the name the model sees, instead of the function's.
        description_override: the text the model sees, instead of the docstring's.
        use_docstring_info: whether the docstring gives the description and the texts of parameters, where it wins over
            the texts in `Annotated`.
        strict_json_schema: make the schema strict: every parameter required, no undeclared keys anywhere.
        context_types: classes that, as the annotation of the first parameter, mark it as the run's context, which is
            hidden from the model; None means `RunContextWrapper` and its subclasses.

    Raises:
        UserError: an annotation cannot be resolved or has no (strict) schema; a context parameter is not the first, or
            `**kwargs` stands in a strict schema. The message names the function and the parameter.

    Source: tools, "Function tools".
    """
    if not callable(func):
        raise UserError(f"a tool must be a function or another callable, got {func!r}")
    if context_types is None:
        from agentrun._context import RunContextWrapper

        context_types = (RunContextWrapper,)
    name = name_override or _name_of(func)
    signature = _signature_of(func, name)
    texts = _texts_of(func, docstring_style) if use_docstring_info else Docstring()
    resolver = _Resolver(func, context_types)

    hints = {
        parameter.name: resolver.resolve(parameter.annotation, f"tool {name!r}: parameter {parameter.name!r}")
        for parameter in signature.parameters.values()
    }
    takes_context = _check_context(name, signature, hints, context_types)
    shown = list(signature.parameters.values())[1 if takes_context else 0 :]
    fields = [
        _field_of(name, parameter, hints[parameter.name], texts.params, strict=strict_json_schema)
        for parameter in shown
    ]
    compiled = _compile(name, fields, resolver, strict=strict_json_schema)
    parameters = tuple(
        _Parameter(parameter.name, parameter.kind, _declared_default(parameter, hints[parameter.name]))
        for parameter in shown
    )
    return FuncSchema(
        name=name,
        description=description_override if description_override is not None else texts.description,
        params_json_schema=compiled.schema,
        params_pydantic_model=ArgumentsModel(
            compiled,
            {parameter.name: default for parameter in parameters if (default := _default_maker(parameter)) is not None},
        ),
        signature=signature,
        takes_context=takes_context,
        strict_json_schema=strict_json_schema,
        return_annotation=resolver.try_resolve(signature.return_annotation),
        parameters=parameters,
    )


def generate_func_documentation(func: Callable[..., Any], style: DocstringStyle | None = None) -> FuncDocumentation:
    """Return the name, the description and the parameter texts that a function's docstring gives.

    Source: tools, "Automatic argument and docstring parsing".
    """
    texts = _texts_of(func, style)
    return FuncDocumentation(_name_of(func), texts.description, dict(texts.params) or None)


def _unwrapped(func: Any) -> Any:
    """Return what carries name and docstring: the function inside partials."""
    while isinstance(func, functools.partial):
        func = func.func  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return func


def _name_of(func: Any) -> str:
    func = _unwrapped(func)
    name = getattr(func, "__name__", None)
    return name if isinstance(name, str) else type(func).__name__


def _texts_of(func: Any, style: DocstringStyle | None) -> Docstring:
    func = _unwrapped(func)
    if hasattr(func, "__name__"):
        return parse_docstring(inspect.getdoc(func), style)
    # A class's own text says what this tool is, that of __call__ what its parameters are.
    of_class = parse_docstring(own_docstring(func.__class__), style)
    of_call = parse_docstring(inspect.getdoc(func.__class__.__call__), style)
    return Docstring(of_class.description or of_call.description, {**of_class.params, **of_call.params})


def _signature_of(func: Any, name: str) -> inspect.Signature:
    try:
        return inspect.signature(func, **_FORWARD_REFERENCES)
    except (TypeError, ValueError) as exc:
        raise UserError(
            f"tool {name!r}: {func!r} has no signature that Python can read; wrap it in a function"
        ) from exc


def _check_context(
    name: str, signature: inspect.Signature, hints: Mapping[str, Any], context_types: Sequence[type]
) -> bool:
    """Return whether the first parameter is the context; raise when another one is."""
    takes_context = False
    for index, parameter in enumerate(signature.parameters.values()):
        if _is_context(hints[parameter.name], context_types):
            if index > 0 or parameter.kind not in _POSITIONAL:
                raise UserError(
                    f"tool {name!r}: parameter {parameter.name!r} takes the run context "
                    f"({type_name(hints[parameter.name])}), which is only passed as the first positional parameter; "
                    "move it there"
                )
            takes_context = True
    return takes_context


def _is_context(hint: Any, context_types: Sequence[type]) -> bool:
    hint, _ = split_metadata(hint)
    origin = typing.get_origin(hint) or hint
    return isinstance(origin, type) and issubclass(origin, tuple(context_types))


def _field_of(
    name: str, parameter: inspect.Parameter, hint: Any, texts: Mapping[str, str], *, strict: bool
) -> FieldSpec:
    """Return the JSON key of one parameter."""
    text = texts.get(parameter.name)
    if parameter.kind is _Kind.VAR_POSITIONAL:
        return FieldSpec(parameter.name, list[hint], required=False, description=text)
    if parameter.kind is _Kind.VAR_KEYWORD:
        if strict:
            raise UserError(
                f"tool {name!r}: parameter '**{parameter.name}' takes undeclared keys, which a strict schema forbids; "
                "name the parameters, or set strict_mode=False and let the model fill the object "
                f"{parameter.name!r}"
            )
        return FieldSpec(parameter.name, dict[str, hint], required=False, description=text)
    default = _declared_default(parameter, hint)
    if _is_pydantic_field(parameter.default):
        hint = typing.Annotated[hint, parameter.default]
    return FieldSpec(
        parameter.name,
        hint,
        required=default is MISSING,
        default=_default_of(default),
        description=text or describe(split_metadata(hint)[1]),
    )


def _compile(name: str, fields: Sequence[FieldSpec], resolver: _Resolver, *, strict: bool) -> CompiledType:
    try:
        return compile_fields(f"{name}_args", fields, strict=strict, lookup=resolver.names)
    except NoSchemaError as exc:
        key = re.split(r"[.\[ ]", exc.where, maxsplit=1)[0]
        place = f" (at {exc.where!r})" if exc.where != key else ""
        reason = f" ({exc.reason})" if exc.reason else ""
        raise UserError(
            f"tool {name!r}: parameter {key!r}{place} has the type {type_name(exc.tp)}, which has no JSON schema"
            f"{reason}; {REMEDY}"
        ) from exc
    except UserError as exc:
        if (culprit := _not_strict(name, fields, resolver)) is None:
            raise UserError(f"tool {name!r}: {exc.message}") from exc
        field, reason = culprit
        raise UserError(
            f"tool {name!r}: parameter {field.key!r} has the type {type_name(field.type)}, which has no strict JSON "
            f"schema; use a TypedDict, dataclass or model with named fields, or set strict_mode=False ({reason})"
        ) from exc


def _not_strict(name: str, fields: Sequence[FieldSpec], resolver: _Resolver) -> tuple[FieldSpec, str] | None:
    for field in fields:
        try:
            compile_fields(name, [field], lookup=resolver.names)
        except UserError as exc:
            return field, exc.message
    return None


def _is_pydantic_field(value: Any) -> bool:
    return type(value).__name__ == "FieldInfo" and type(value).__module__.partition(".")[0] == "pydantic"


def _declared_default(parameter: inspect.Parameter, hint: Any) -> Any:
    """Return a parameter's default: a value, a pydantic `Field` that has one, or MISSING."""
    candidates = [parameter.default] if parameter.default is not _Kind.empty else []
    candidates += [item for item in split_metadata(hint)[1] if _is_pydantic_field(item)]
    for candidate in candidates:
        if not _is_pydantic_field(candidate) or not candidate.is_required():
            return candidate
    return MISSING


def _default_of(default: Any) -> Any:
    """Return the value of a declared default; a factory is called anew each time."""
    return default.get_default(call_default_factory=True) if _is_pydantic_field(default) else default


def _default_maker(parameter: _Parameter) -> Callable[[], Any] | None:
    """Return what makes the value of a parameter that is not given, or None if it has to be."""
    if parameter.kind is _Kind.VAR_POSITIONAL:
        return list[Any]
    if parameter.kind is _Kind.VAR_KEYWORD:
        return dict[str, Any]
    return None if parameter.default is MISSING else functools.partial(_default_of, parameter.default)


class _Names(dict[str, Any]):
    """The names an annotation may use, found when they are asked for.

    First the function's own closure and module, then the classes of the object it is called on, then local variables of
    the functions around its definition that are still running (a class defined inside a function is in no closure when
    only annotations name it), then the context classes, which many import under TYPE_CHECKING only.
    """

    def __init__(self, func: Any, owners: Sequence[type], context_types: Sequence[type]) -> None:
        super().__init__()
        self._owners = [vars(owner) for owner in owners]
        self._globals: Mapping[str, Any] = getattr(func, "__globals__", {})
        closure = getattr(func, "__closure__", None) or ()
        self._free: dict[str, Any] = {}
        for name, cell in zip(getattr(getattr(func, "__code__", None), "co_freevars", ()), closure, strict=False):
            try:
                self._free[name] = cell.cell_contents
            except ValueError:  # not assigned yet
                continue
        self._contexts = {cls.__name__: cls for base in context_types for cls in (base, *_subclasses(base))}
        self._qualified: Sequence[str] = getattr(func, "__qualname__", "").split(".")

    def __missing__(self, name: str) -> Any:
        for place in (self._free, self._globals, vars(builtins), *self._owners, *self._frames(), self._contexts):
            if name in place:
                return place[name]
        raise KeyError(name)

    def _frames(self) -> list[Mapping[str, Any]]:
        frame = sys._getframe(1)  # pyright: ignore[reportPrivateUsage] - the documented way to the caller's frame
        found: list[Mapping[str, Any]] = []
        outer: Any = frame
        while outer is not None:
            if outer.f_globals is self._globals and outer.f_code.co_name in self._qualified:
                found.append(outer.f_locals)
            outer = outer.f_back
        return found


def _subclasses(cls: type[Any]) -> list[type[Any]]:
    children: list[type[Any]] = cls.__subclasses__()
    return [each for child in children for each in (child, *_subclasses(child))]


class _Resolver:
    """Turns the annotations of one function into types."""

    def __init__(self, func: Any, context_types: Sequence[type]) -> None:
        func = _unwrapped(func)
        if not hasattr(func, "__globals__") and not hasattr(func, "__func__"):
            func = types.MethodType(func.__class__.__call__, func)
        called_on = getattr(func, "__self__", None)
        owners = () if called_on is None else (called_on if isinstance(called_on, type) else type(called_on)).__mro__
        func = inspect.unwrap(getattr(func, "__func__", func))
        self.names: Mapping[str, Any] = _Names(func, owners, context_types)

    def resolve(self, annotation: Any, what: str) -> Any:
        """Return the type an annotation names.

        Raises:
            UserError: it cannot be resolved; the message begins with `what`.
        """
        if annotation is inspect.Signature.empty:
            return Any
        try:
            return self._evaluate(annotation)
        except Exception as exc:  # evaluating an annotation runs code of its author, which may raise anything
            raise UserError(
                f"{what} has the annotation {annotation!r}, which cannot be resolved ({exc}); import or define the "
                "name where the function is defined, and not only under TYPE_CHECKING"
            ) from exc

    def try_resolve(self, annotation: Any) -> Any:
        """Return the type an annotation names, or `inspect.Signature.empty`."""
        try:
            return self._evaluate(annotation)
        except Exception:  # noqa: BLE001 - see resolve(); here nobody needs the answer
            return inspect.Signature.empty

    def _evaluate(self, annotation: Any) -> Any:
        if annotation is inspect.Signature.empty or annotation is None:
            return annotation
        return evaluated(annotation, {}, self.names)
