"""What all values of the Responses API share: their fields, their equality, and their way from JSON and back.

A class is a list of annotated fields, the JSON fields. Its base does the rest when it runs: `__init__`, `__eq__`,
`__repr__` and the methods that pydantic gives such values elsewhere. attrs would compile some of these for each of a
hundred classes, and most of what it costs to import agentrun would be that.

What a class does not know is kept:

* unknown fields of a known class stand in `extra` and read as attributes;
* `as_sent` remembers what the sender wrote where a field holds its default (an explicit null, or nothing at all), so
  that a value goes back exactly as it came;
* objects of no known class are a `Record`.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from copy import copy, deepcopy
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self, TypeAlias, TypeVar, cast, dataclass_transform

from attrs import NOTHING

if TYPE_CHECKING:
    from inspect import Signature

__all__ = [
    "FieldShape",
    "Json",
    "JsonObject",
    "Reader",
    "Record",
    "WireError",
    "WireValue",
    "as_object",
    "expected",
    "fresh",
    "list_of",
    "plain",
    "reader_of",
    "readers",
    "wrap",
]

Json: TypeAlias = str | int | float | bool | list[Any] | dict[str, Any] | None
"""What `json.loads` returns."""
JsonObject: TypeAlias = dict[str, Any]
"""A JSON object."""

T = TypeVar("T")


def wrap(value: Any) -> Any:
    """Return `value` with JSON objects as `Record`s: a dict becomes one, a list a new list of wrapped values."""
    if isinstance(value, dict):
        return Record(cast("dict[str, object]", value))
    if isinstance(value, list):
        return [wrap(entry) for entry in cast("list[object]", value)]
    return value


class Record(Mapping[str, Any]):
    """A JSON object of no known class, readable by attribute and by key; objects inside it are Records too.

    `record.action.type` and `record["action"]["type"]` are the same value. Names that a mapping uses itself (`items`,
    `keys`, `values`, `get`) are read by key. A Record equals another one, or a dict, of equal content. It reads the
    dict it was given and does not copy it.
    """

    __slots__ = ("_data",)
    __hash__ = None  # type: ignore[assignment]  # content may change under it, as with a dict

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data = data

    def __getitem__(self, key: str) -> Any:
        return wrap(self._data[key])

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)

    def __getattr__(self, name: str) -> Any:
        # Copying and pickling ask an object that has no `_data` yet for special names; those are never JSON fields.
        if name == "_data" or name.startswith("__"):
            raise AttributeError(name)
        try:
            return wrap(self._data[name])
        except KeyError:
            raise AttributeError(f"record of type {self._data.get('type')!r} has no field {name!r}") from None

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Record):
            return self._data == other._data
        if isinstance(other, Mapping):
            return self._data == other
        return NotImplemented

    def __repr__(self) -> str:
        return f"Record({self._data!r})"

    def model_dump(
        self,
        *,
        include: set[str] | None = None,
        exclude: set[str] | None = None,
        exclude_none: bool = False,
        **options: Any,
    ) -> JsonObject:
        """Return the object as plain JSON values; see `WireValue.model_dump`."""
        return _chosen(plain(self._data), include, exclude, exclude_none)

    def model_dump_json(self, *, indent: int | None = None, **options: Any) -> str:
        """Return `model_dump` as JSON text."""
        return _json_text(self.model_dump(**options), indent)

    def to_dict(self, **options: Any) -> JsonObject:
        """Return the object as plain JSON values; see `WireValue.model_dump`."""
        return self.model_dump(**options)

    def to_json(self, *, indent: int | None = 2, **options: Any) -> str:
        """Return the object as JSON text."""
        return self.model_dump_json(indent=indent, **options)


class FieldShape(NamedTuple):
    """How one field stands in JSON."""

    wire: str
    """The JSON name: the attribute's, without the underscore that keeps it apart from a Python keyword."""
    attribute: str
    annotation: str
    default: Any
    """A value equal to the default, or `NOTHING` where a value is required."""
    omitted: bool
    """True where the default is no content (None, or an empty string): it is left out unless the sender wrote it."""


class _Fresh(NamedTuple):
    factory: Callable[[], Any]


def fresh(*, factory: Callable[[], T], init: bool = True) -> T:
    """Declare a field's default: what `factory` returns, made anew for each value."""
    return cast("T", _Fresh(factory))  # the metaclass takes it out of the class before anybody sees it


@dataclass_transform(eq_default=True, kw_only_default=True, field_specifiers=(fresh,))
class _WireClass(type):
    """Makes the annotated names of a class body slots, and keeps their defaults for `WireValue.__init__`."""

    declared: dict[str, tuple[str, Any]]
    """Annotation and default of each field, those of the bases first."""
    field_defaults: dict[str, Any]
    """The same without the annotations."""

    def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> _WireClass:
        declared: dict[str, tuple[str, Any]] = {}
        for base in bases:
            declared.update(getattr(base, "declared", {}))
        if "__slots__" not in body:
            own = {
                field: (annotation, body.pop(field, NOTHING))
                for field, annotation in body.get("__annotations__", {}).items()
                if not annotation.startswith("ClassVar")
            }
            body["__slots__"] = tuple(field for field in own if field not in declared)
            declared.update(own)
        made = super().__new__(cls, name, bases, body)
        made.declared = declared
        made.field_defaults = {field: default for field, (_, default) in declared.items()}
        return made

    def settled(cls, name: str, value: Any) -> Any:
        """Return the value of a field for what was given for it, or stands for its default."""
        if value is NOTHING:
            raise TypeError(f"{cls.__name__} needs {name!r}, which was not given")
        if type(value) is _Fresh:
            return value.factory()
        return value if name == "extra" else _structured(cls.declared[name][0], name, value)

    @property
    def __signature__(cls) -> Signature:
        """What `inspect.signature` and `help` show: the fields, which may all be given by keyword."""
        from inspect import Parameter, Signature

        def parameter(name: str, annotation: str, default: Any) -> Parameter:
            if default is NOTHING:
                default = Parameter.empty
            elif isinstance(default, _Fresh):
                default = default.factory()
            return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)

        return Signature([parameter(name, *how) for name, how in cls.declared.items()])


class _Sent(metaclass=_WireClass):
    """Holds what is no field, so that type checkers do not take it for an argument."""

    __slots__ = ("as_sent",)

    if TYPE_CHECKING:
        as_sent: dict[str, Any] | None = fresh(factory=lambda: None, init=False)
        """What the sender wrote, by JSON name, where a field now holds its default; `NOTHING` if it was left out.

        It is not compared: a null and a field left out mean the same.
        """


class WireValue(_Sent):
    """The base of all Responses values: two of one class are equal when their fields and their `extra` are.

    They are made with keywords. A dict given for a field of a known class is read as that class.
    """

    extra: dict[str, Any] | None = None
    """Fields the class does not know, by JSON name; each also reads as an attribute."""

    _shapes: ClassVar[tuple[FieldShape, ...] | None] = None

    if not TYPE_CHECKING:  # a checker takes the fields for arguments, by `dataclass_transform`

        def __init__(self, **given: Any) -> None:
            cls = type(self)
            values = cls.field_defaults | given
            if len(values) > len(cls.field_defaults):
                unknown = next(name for name in given if name not in cls.field_defaults)
                raise TypeError(f"{cls.__name__} has no field {unknown!r}; what it does not know goes into extra")
            self.as_sent = None
            for name, value in values.items():
                setattr(self, name, cls.settled(name, value) if type(value) in _UNSETTLED else value)

        def __copy__(self) -> Self:
            # The general way of `copy.copy` takes three times as long, and every request of a run has usage to copy.
            twin = _new(type(self))
            twin.as_sent = self.as_sent
            for name in type(self).declared:
                setattr(twin, name, getattr(self, name))
            return twin

        def __getattr__(self, name: str) -> Any:
            # `extra` itself is missing only while a copy is being made.
            if name != "extra" and not name.startswith("__"):
                extra = self.extra
                if extra is not None and name in extra:
                    return wrap(extra[name])
            raise AttributeError(f"{type(self).__name__} has no field {name!r}")

    @classmethod
    def shapes(cls) -> tuple[FieldShape, ...]:
        """Return how each field stands in JSON, in order of declaration; made at first use."""
        if "_shapes" not in cls.__dict__:
            cls._shapes = tuple(_shape(name, *how) for name, how in cls.declared.items() if name != "extra")
        shapes = cls._shapes
        assert shapes is not None
        return shapes

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if self.__class__ is not other.__class__:
            return NotImplemented
        theirs: Any = other
        return (self.extra or None) == (theirs.extra or None) and all(
            getattr(self, shape.attribute) == getattr(theirs, shape.attribute) for shape in self.shapes()
        )

    __hash__: ClassVar[None]  # type: ignore[assignment]  # values are mutable; `__eq__` leaves it None

    def __repr__(self) -> str:
        shown = [
            f"{shape.attribute}={value!r}"
            for shape in self.shapes()
            if (value := getattr(self, shape.attribute)) != shape.default or not shape.omitted
        ]
        if self.extra is not None:
            shown.append(f"extra={self.extra!r}")
        return f"{type(self).__name__}({', '.join(shown)})"

    # ---- as pydantic has it, under pydantic's names

    @property
    def model_extra(self) -> dict[str, Any] | None:
        """The same as `extra`."""
        return self.extra

    @property
    def model_fields_set(self) -> set[str]:
        """The fields that the sender wrote, or that a value made here holds something in."""
        written = plain(self)
        return {shape.attribute for shape in self.shapes() if shape.wire in written} | set(self.extra or ())

    def model_dump(
        self,
        *,
        include: set[str] | None = None,
        exclude: set[str] | None = None,
        exclude_unset: bool = False,
        exclude_none: bool = False,
        **options: Any,
    ) -> JsonObject:
        """Return the value as a dict of plain JSON values that shares nothing with it.

        Args:
            include: Only these members.
            exclude: Not these members.
            exclude_unset: Leave out what the sender left out: the exact wire form.
            exclude_none: Leave out nulls, at every depth.
            options: Accepted for likeness with pydantic (`mode`, `by_alias`, ...); they change nothing.
        """
        whole: JsonObject = plain(self)
        if not exclude_unset and not exclude_none:
            for shape in self.shapes():
                if shape.wire not in whole:
                    whole[shape.wire] = plain(getattr(self, shape.attribute))
        return _chosen(whole, include, exclude, exclude_none)

    def model_dump_json(self, *, indent: int | None = None, **options: Any) -> str:
        """Return `model_dump` as JSON text, without spaces unless `indent` is given."""
        return _json_text(self.model_dump(**options), indent)

    def to_dict(self, *, exclude_unset: bool = True, **options: Any) -> JsonObject:
        """Return `model_dump`, by default without what the sender left out."""
        return self.model_dump(exclude_unset=exclude_unset, **options)

    def to_json(self, *, indent: int | None = 2, exclude_unset: bool = True, **options: Any) -> str:
        """Return `to_dict` as JSON text."""
        return self.model_dump_json(indent=indent, exclude_unset=exclude_unset, **options)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy of the value with the fields in `update` set; names that are no fields go into `extra`."""
        twin = deepcopy(self) if deep else copy(self)
        twin.extra = None if twin.extra is None else dict(twin.extra)
        for name, value in (update or {}).items():
            if name in type(self).declared:
                setattr(twin, name, value)
            else:
                twin.extra = {**(twin.extra or {}), name: value}
        return twin

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        """Return `obj` as a value of this class: one already, a dict, or an object with `model_dump`.

        Raises:
            WireError: something is missing or of the wrong type; it is a ValueError.
        """
        if isinstance(obj, cls):
            return obj
        made: Self = reader_of(cls)(obj.model_dump(exclude_unset=True) if hasattr(obj, "model_dump") else obj)
        tag: Any = cls.declared.get("type", (None, NOTHING))[1]
        if isinstance(tag, str) and getattr(made, "type", tag) != tag:
            raise expected(f"{tag!r}", getattr(made, "type", None)).under("type")
        return made

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """Let pydantic models have fields of this class: `model_validate` reads them, `model_dump` writes them."""
        from pydantic_core import core_schema

        anything = core_schema.dict_schema(core_schema.str_schema(), core_schema.any_schema())
        return core_schema.no_info_plain_validator_function(
            cls.model_validate,
            json_schema_input_schema=anything,
            serialization=core_schema.plain_serializer_function_ser_schema(cls.model_dump, return_schema=anything),
        )

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **options: Any) -> Self:
        """Return the value that JSON text describes; see `model_validate`."""
        return cls.model_validate(json.loads(json_data))

    @classmethod
    def model_construct(cls, _fields_set: set[str] | None = None, **values: Any) -> Self:
        """Return a value of the fields given, checked in no way: what is required and not given is None.

        Names that are no fields go into `extra`. Dicts for fields of known classes are read where they can be.
        """
        made = cls.__new__(cls)
        made.as_sent = made.extra = None
        for shape in cls.shapes():
            given = values.pop(shape.attribute, values.pop(shape.wire, NOTHING))
            annotation, default = cls.declared[shape.attribute]
            if given is NOTHING:
                given = default.factory() if isinstance(default, _Fresh) else None if default is NOTHING else default
            elif type(given) in _NESTED:
                with suppress(WireError):  # it stays as it was given
                    given = _structured(annotation, shape.attribute, given)
            setattr(made, shape.attribute, given)
        made.extra = values or None
        return made

    @classmethod
    def construct(cls, _fields_set: set[str] | None = None, **values: Any) -> Self:
        """Return `model_construct(**values)`."""
        return cls.model_construct(**values)


_NESTED = (dict, list)
_UNSETTLED = frozenset({*_NESTED, _Fresh, type(NOTHING)})


def _shape(name: str, annotation: str, default: Any) -> FieldShape:
    if isinstance(default, _Fresh):
        default = default.factory()
    omitted = default is None or (isinstance(default, str) and default == "")
    return FieldShape(name.rstrip("_"), name, annotation, default, omitted)


def _chosen(whole: JsonObject, include: set[str] | None, exclude: set[str] | None, exclude_none: bool) -> JsonObject:
    """Return the members of `whole` that a dump asks for."""
    for names in (include, exclude):
        if isinstance(names, Mapping):
            raise TypeError(f"include and exclude are sets of names here, got {names!r}")
    if include is not None:
        whole = {name: whole[name] for name in whole if name in include}
    if exclude is not None:
        whole = {name: whole[name] for name in whole if name not in exclude}
    return _without_nulls(whole) if exclude_none else whole


def _json_text(value: Any, indent: int | None) -> str:
    return json.dumps(value, indent=indent, separators=(",", ":") if indent is None else None, ensure_ascii=False)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        fields = cast("dict[str, object]", value)
        return {key: _without_nulls(entry) for key, entry in fields.items() if entry is not None}
    if isinstance(value, list):
        return [_without_nulls(entry) for entry in cast("list[object]", value)]
    return value


_SCALARS = frozenset({str, int, float, bool})


def plain(value: Any) -> Any:
    """Return `value` as plain JSON values that share nothing with it.

    Responses values and Records become dicts, tuples become lists.
    Objects with `model_dump` (pydantic's, the `openai` package's) are asked for what was set on them.

    Raises:
        TypeError: `value` or something in it has no JSON form.
    """
    if value is None or type(value) in _SCALARS:
        return value
    if isinstance(value, WireValue):
        return _plain_value(value)
    if isinstance(value, (str, int, float)):
        return value
    if isinstance(value, Mapping):
        fields = cast("Mapping[str, object]", value)
        return {key: plain(fields[key]) for key in fields}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in cast("list[object]", value)]
    dump = getattr(value, "model_dump", None)
    if dump is None:
        raise TypeError(
            f"{value!r} has no JSON form; give a dict, a list, a scalar, a Responses value or a pydantic model"
        )
    return dump(mode="json", by_alias=True, exclude_unset=True)


def _plain_value(value: WireValue) -> JsonObject:
    result: JsonObject = {}
    for name, attribute, unsaid in _dumped(type(value)):
        held = getattr(value, attribute)
        if held is not unsaid:
            result[name] = held if type(held) in _SCALARS else plain(held)
    if value.as_sent:
        result = _as_it_came(value, value.as_sent, result)
    if value.extra:
        for name, held in value.extra.items():
            if name not in result:
                result[name] = plain(held)
    return result


@cache
def _dumped(cls: type[WireValue]) -> list[tuple[str, str, Any]]:
    """Return JSON name and attribute of each field, and the value it has when it says nothing."""
    return [(shape.wire, shape.attribute, shape.default if shape.omitted else NOTHING) for shape in cls.shapes()]


def _as_it_came(value: WireValue, as_sent: Mapping[str, Any], said: JsonObject) -> JsonObject:
    """Return `said` in the sender's words where a field still holds its default."""
    found: JsonObject = {}
    for name, attribute, _, default, _ in value.shapes():
        if name in as_sent and getattr(value, attribute) == default:
            if as_sent[name] is not NOTHING:
                found[name] = plain(as_sent[name])
        elif name in said:
            found[name] = said[name]
    return found


# ---- reading

_new = object.__new__

Reader: TypeAlias = Callable[[Any], Any]
"""From a JSON value to the value of a field; raises WireError."""

readers: dict[str, Reader] = {}
"""How a field is read, by its declared type; `_codec.py` fills it. Fields of other types hold scalars, or Records."""

_CHECKED = frozenset({"id", "call_id", "name", "arguments", "input", "text", "delta", "refusal"})
"""Fields that a run reads: a string where a string is declared. Others are kept whatever they are."""


class WireError(ValueError):
    """A Responses value that a run cannot use: something missing, null, or of the wrong type.

    Attributes:
        reason: What was expected and what was given.
        path: Where, from the value that was being read, such as `$.content[0].text`.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path: str = "$"

    def under(self, step: str | int) -> WireError:
        """Return this error, seen from one level further out: `step` is the field or index that led here."""
        self.path = f"$[{step}]{self.path[1:]}" if isinstance(step, int) else f"$.{step}{self.path[1:]}"
        return self

    def __str__(self) -> str:
        return f"{self.reason} @ {self.path}"


def expected(what: str, value: Any) -> WireError:
    """Return the error for a value that is not `what` it has to be."""
    return WireError(f"expected {what}, got {reprlib.repr(value)}")


def as_object(value: Any) -> Mapping[str, Any]:
    """Return `value`, which has to be a JSON object.

    Raises:
        WireError: it is none.
    """
    if type(value) is not dict and not isinstance(value, Mapping):  # an abstract class is slow to ask
        raise expected("an object", value)
    return cast("Mapping[str, Any]", value)


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise expected("a string", value)
    return value


def list_of(read: Reader) -> Reader:
    """Return the reader of lists whose entries `read` reads."""

    def read_list(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise expected("a list", value)
        result: list[Any] = []
        for index, entry in enumerate(cast("list[object]", value)):
            try:
                result.append(read(entry))
            except WireError as fault:
                fault.under(index)
                raise
        return result

    return read_list


_FieldReader: TypeAlias = "tuple[str, str, Reader | None, Any, bool, bool, bool]"
"""One field of a class, ready for reading: JSON name, attribute, reader of its value, default (or the factory of it),
whether it is left out at its default, whether it is required, whether it refuses null. A tuple, since a loop unpacks it
in one step."""


def _value_reader(annotation: str) -> Reader | None:
    found = readers.get(annotation)
    if found is None and any(word in annotation for word in ("Record", "Json", "list")):
        return wrap
    return found  # what cannot hold an object needs no look inside


def _field_reader(name: str, attribute: str, annotation: str, default: Any, omitted: bool) -> _FieldReader:
    checked = name in _CHECKED and annotation in ("str", "str | None")
    read = _string if checked else _value_reader(annotation)
    required = default is NOTHING
    # A null list of items or parts is a broken reply; a null list of citations is an empty one.
    refuses_null = required or (checked and annotation == "str") or annotation.startswith("list[T")
    return name, attribute, read, default, omitted, required, refuses_null


@cache
def reader_of(cls: type[WireValue]) -> Reader:
    """Return the function that reads JSON objects as `cls`. It fills the slots itself, which takes half the time."""
    fields = tuple(_field_reader(*shape) for shape in cls.shapes())
    known = frozenset(field[0] for field in fields)
    fresh_defaults = {name: how[1].factory for name, how in cls.declared.items() if type(how[1]) is _Fresh}

    def read(data: Any) -> Any:
        source = as_object(data)
        get = source.get
        result = _new(cls)
        as_sent: dict[str, Any] = {}
        missing = 0
        for name, attribute, read_value, default, omitted, required, refuses_null in fields:
            value = get(name, NOTHING)
            if value is NOTHING or (value is None and not refuses_null):
                if value is None:
                    as_sent[name] = None
                else:
                    missing += 1
                    if required:
                        raise WireError(f"required by {cls.__name__}, but missing").under(name)
                    if not omitted:
                        as_sent[name] = NOTHING
                value = fresh_defaults[attribute]() if attribute in fresh_defaults else default
            else:
                if read_value is not None:
                    try:
                        value = read_value(value)
                    except WireError as fault:
                        fault.under(name)
                        raise
                if omitted and value == default:
                    as_sent[name] = value  # an empty string that the sender wrote
            setattr(result, attribute, value)
        unknown = len(fields) - missing != len(source)
        result.extra = {name: source[name] for name in source if name not in known} if unknown else None
        result.as_sent = as_sent or None
        return result

    return read


def _structured(annotation: str, name: str, value: Any) -> Any:
    """Return what was given for a field, with the dicts in it read as the field's classes."""
    entries = cast("list[object]", value if type(value) is list else [value])
    read = _value_reader(annotation) if dict in map(type, entries) else None
    if read is None:
        return cast("object", value)
    try:
        if all(type(entry) is dict for entry in entries):
            return read(value)
        return [read([entry])[0] if type(entry) is dict else entry for entry in entries]  # some are values already
    except WireError as fault:
        fault.under(name)
        raise
