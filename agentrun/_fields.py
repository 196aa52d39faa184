"""Checks of the fields that callers fill, told with the class, the field, the value, and what to put there instead.

Each is an attrs validator, so that it holds when the object is made and when the field is set. A plain value that
cannot be meant raises `ValueError`; an object of the wrong kind, where a function or one of our classes belongs,
`TypeError`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any, TypeAlias, cast

import attrs

__all__ = [
    "Check",
    "check_takes",
    "flag",
    "function",
    "list_of",
    "mapping",
    "new_dict",
    "new_list",
    "new_set",
    "number",
    "one_of",
    "optional_flag",
    "required_text",
    "strings",
    "text",
    "whole_number",
]

new_list = cast("Callable[[], list[Any]]", list)
new_dict = cast("Callable[[], dict[Any, Any]]", dict)
new_set = cast("Callable[[], set[Any]]", set)
"""What an empty field begins with. `list[str]` as a factory would do as well, and takes seven times as long."""

Check: TypeAlias = "Callable[[Any, attrs.Attribute[Any], Any], None]"


def _place(instance: object, attribute: attrs.Attribute[Any]) -> str:
    return f"{type(instance).__name__}.{attribute.name}"


def _plain(what: str, remedy: str, accepts: Callable[[Any], bool]) -> Check:
    def check(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        if value is not None and not accepts(value):
            raise ValueError(f"{_place(instance, attribute)} must be {what}, got {value!r}; {remedy}")

    return check


_LEAVE_OUT = "leave it out for the default"

number = _plain(
    "a number or None", _LEAVE_OUT, lambda value: isinstance(value, int | float) and not isinstance(value, bool)
)
whole_number = _plain(
    "a whole number or None", _LEAVE_OUT, lambda value: isinstance(value, int) and not isinstance(value, bool)
)
optional_flag = _plain("True, False or None", _LEAVE_OUT, lambda value: isinstance(value, bool))
text = _plain("a str or None", _LEAVE_OUT, lambda value: isinstance(value, str))
mapping = _plain("a dict or None", "pass {'name': value}", lambda value: isinstance(value, Mapping))
strings = _plain(
    "a list of str or None",
    "put the values into [...]",
    lambda value: isinstance(value, list) and all(isinstance(one, str) for one in cast("list[Any]", value)),
)


def required_text(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    """Check that the field is a str."""
    if not isinstance(value, str):
        raise ValueError(f"{_place(instance, attribute)} must be a str, got {value!r}")


def flag(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    """Check that the field is True or False."""
    if not isinstance(value, bool):
        raise ValueError(f"{_place(instance, attribute)} must be True or False, got {value!r}")


def one_of(*allowed: str) -> Check:
    """Return the check that the field is one of these texts."""

    def check(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        if value not in allowed:
            raise ValueError(f"{_place(instance, attribute)} must be one of {list(allowed)}, got {value!r}")

    return check


def function(*parameters: str) -> Check:
    """Return the check that the field is None or a function, which will be called with these arguments."""

    def check(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        if value is not None:
            check_takes(value, parameters, _place(instance, attribute), TypeError)

    return check


def list_of(kind: Callable[[], type], remedy: str) -> Check:
    """Return the check that the field is None or a list of objects of the class, `an X`, that `kind` returns."""

    def check(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        if value is None:
            return
        place, expected = _place(instance, attribute), kind()
        if not isinstance(value, list):
            raise TypeError(f"{place} must be a list, got {value!r}; put the values into [...]")
        for index, one in enumerate(cast("list[Any]", value)):
            if not isinstance(one, expected):
                raise TypeError(f"{place}[{index}] must be an {expected.__name__}, got {one!r}; {remedy}")

    return check


def check_takes(value: Any, parameters: tuple[str, ...], place: str, error: type[Exception]) -> None:
    """Check that `value` can be called with arguments for `parameters`, by position.

    Raises:
        Exception: an `error` that names `place`, when it cannot.
    """
    call = ", ".join(parameters)
    if not callable(value):
        raise error(f"{place} must be a function that is called with ({call}), got {value!r}")
    if isinstance(value, FunctionType):  # most are; the signature of one takes a hundred times longer
        code = value.__code__
        if code.co_argcount == len(parameters) and not code.co_kwonlyargcount:
            return
    try:
        # What a decorator says of the function below it is not how the decorated one is called
        signature = inspect.signature(value, follow_wrapped=False)
    except (TypeError, ValueError):  # some callables of C have none; they are found out when they are called
        return
    try:
        signature.bind(*parameters)
    except TypeError:
        raise error(
            f"{place} is {value!r}, which takes {signature}, but it is called with ({call}); declare it with these "
            "parameters"
        ) from None
