"""Makes our attrs classes dataclasses too: programs call `dataclasses.replace`, `fields` and `asdict` on them."""

from __future__ import annotations

import functools
import reprlib
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import attrs

if TYPE_CHECKING:
    from dataclasses import Field

__all__ = ["Dataclass", "FrozenValue", "Value"]


class _Twin:
    """A class attribute whose value is that of a dataclass with the same fields, made at the first use."""

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type[Any]) -> Any:
        if not attrs.has(owner):
            raise AttributeError(f"{owner.__name__} is no dataclass")
        return getattr(_twin(owner), self._name)


@functools.cache
def _twin(cls: type[Any]) -> type[Any]:
    """Return a dataclass with the fields of `cls` that are read under the name the constructor takes; it is no more."""
    from dataclasses import make_dataclass

    fields: list[tuple[str, Any, Any]] = [
        (field.alias or field.name, field.type if field.type is not None else Any, _as_dataclass_field(field))
        for field in attrs.fields(cls)
        if hasattr(cls, field.alias or field.name) and (field.init or not field.name.startswith("_"))
    ]
    return make_dataclass(cls.__name__, fields, init=False, repr=False, eq=False)


def _as_dataclass_field(attribute: attrs.Attribute[Any]) -> Any:
    from dataclasses import MISSING, field

    default: Any = attribute.default
    factory: Any = MISSING
    if default is attrs.NOTHING:
        default = MISSING
    elif isinstance(default, _FACTORY):
        default, factory = MISSING, default.factory
    elif type(default).__hash__ is None:  # a dataclass takes it for a list that all objects would share
        default, factory = MISSING, functools.partial(_same, default)
    return field(
        default=default,
        default_factory=factory,
        init=attribute.init,
        repr=bool(attribute.repr),
        compare=bool(attribute.eq),
        kw_only=attribute.kw_only,
    )


_FACTORY = cast("type[Any]", attrs.Factory)  # declared as a function, and a class


def _same(value: Any) -> Any:
    return value


class Dataclass:
    """A base of attrs classes that `dataclasses` takes for its own.

    `replace` makes a new object with the constructor, so that what it is given is checked; `asdict` copies deeply.

    They share its `__repr__`, with `repr=False`: attrs would compile one for each class, a sixth of what importing
    agentrun costs.
    """

    __slots__ = ()

    @reprlib.recursive_repr()
    def __repr__(self) -> str:
        shown = [
            # A field may say itself how it is shown: one that holds keys must
            f"{field.name}={(field.repr if callable(field.repr) else repr)(getattr(self, field.name, attrs.NOTHING))}"
            for field in attrs.fields(cast("Any", type(self)))
            if field.repr
        ]
        return f"{type(self).__qualname__}({', '.join(shown)})"

    def __copy__(self) -> Self:
        """Return a copy that has what a subclass adds, too: attrs would leave it out."""
        copied = object.__new__(type(self))
        of_subclass, slots = cast("tuple[dict[str, Any] | None, dict[str, Any]]", object.__getstate__(self))
        for name, value in {**slots, **(of_subclass or {})}.items():
            object.__setattr__(copied, name, value)
        return copied

    if TYPE_CHECKING:
        # What the protocol of a dataclass asks for
        __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    else:
        __dataclass_fields__ = _Twin()
        __dataclass_params__ = _Twin()


class FrozenValue(Dataclass):
    """The base of frozen ones that are equal when all their fields are, with `eq=False` for the same reason."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return _are_equal(self, other) if other.__class__ is self.__class__ else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(getattr(self, name) for name in _compared(self)))


class Value(Dataclass):
    """The same for those that may change, and so have no hash."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return _are_equal(self, other) if other.__class__ is self.__class__ else NotImplemented

    __hash__: ClassVar[None]  # type: ignore[assignment]  # `__eq__` leaves it None


def _are_equal(one: Dataclass, other: object) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in _compared(one))


def _compared(value: Dataclass) -> list[str]:
    return [field.name for field in attrs.fields(cast("Any", type(value))) if field.eq]
