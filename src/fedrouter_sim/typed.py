"""Values of JSON as the types that they should have: one check for every record that is read back.

A type is given as an annotation: `int`, `float`, `str`, `bool`, None, unions, `Literal`, lists, tuples, mappings (whose
keys may be whole numbers), dataclasses, and `Annotated` with `Within` limits or a `Pattern`.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from fedrouter_sim.showing import shown


@dataclass(frozen=True)
class Within:
    """The limits of a number."""

    least: float | None = None
    most: float | None = None


@dataclass(frozen=True)
class Pattern:
    """What a text has to match as a whole."""

    expression: str
    words: str  # what that is, for messages


Count = Annotated[int, Within(0)]
Natural = Annotated[int, Within(1)]
Threads = Annotated[int, Within(1, 2**12)]
Share = Annotated[float, Within(-1, 1)]
Name = Annotated[str, Pattern(r"[A-Za-z0-9_-]+", "letters, digits, _ and -")]
"""A text that names a file or folder."""


class Misfit(ValueError):
    """A value is not of its type; the message names where it stands, and nothing of what it is."""


def fitted(kind: Any, value: Any, at: str) -> Any:
    """Return a value of JSON as a type.

    Args:
        kind: the annotation.
        value: as JSON gives it.
        at: where it stands, for messages: 'pools'.

    Raises:
        Misfit: it is none of that type.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin is Annotated:
        found = fitted(arguments[0], value, at)
        for limit in arguments[1:]:
            _check_limit(limit, found, at)
        return found
    if origin in (Union, UnionType):
        return _one_of(arguments, value, at)
    if origin is Literal:
        if value not in arguments or isinstance(value, bool):
            raise Misfit(f"{at} must be one of {', '.join(map(str, arguments))}")
        return value
    if dataclasses.is_dataclass(kind):
        return _record(kind, value, at)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping(arguments, value, at)
    if isinstance(origin, type) and issubclass(origin, Sequence):
        if not isinstance(value, list):
            raise Misfit(f"{at} must be a list, not {_named(value)}")
        found = [fitted(arguments[0], one, f"{at}[{place}]") for place, one in enumerate(value)]
        return tuple(found) if origin is tuple else found
    return _plain(kind, value, at)


def _plain(kind: Any, value: Any, at: str) -> Any:
    if kind in (None, NoneType):
        fits = value is None
    elif kind is float:
        fits = isinstance(value, int | float) and not isinstance(value, bool)
    elif kind is int:
        fits = isinstance(value, int) and not isinstance(value, bool)
    else:
        fits = isinstance(value, kind)
    if not fits:
        raise Misfit(f"{at} must be {_WORDS.get(kind, 'null')}, not {_named(value)}")
    return value


_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    dict: "an object",
}


def _named(value: Any) -> str:
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", list: "a list"}
    return "null" if value is None else names.get(type(value), "an object")


def _one_of(kinds: Sequence[Any], value: Any, at: str) -> Any:
    if value is None and NoneType in kinds:
        return None
    rest = [kind for kind in kinds if kind is not NoneType]
    for kind in rest[:-1]:
        try:
            return fitted(kind, value, at)
        except Misfit:
            continue
    return fitted(rest[-1], value, at)


def _mapping(kinds: Sequence[Any], value: Any, at: str) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise Misfit(f"{at} must be an object, not {_named(value)}")
    of_keys, of_values = kinds
    return {_key(of_keys, key, at): fitted(of_values, one, f"{at}.{shown(key, '')}") for key, one in value.items()}


def _key(kind: Any, key: str, at: str) -> Any:
    if kind is str:
        return key
    if get_origin(kind) is Annotated and get_args(kind)[0] is str:
        return fitted(kind, key, f"a key of {at}")
    if not re.fullmatch(r"0|[1-9][0-9]{0,17}", key):
        raise Misfit(f"a key of {at} must be a whole number of at least 0")
    return int(key)


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def _record(kind: Any, value: Any, at: str) -> Any:
    """Return an object as a dataclass; keys that it has no fields for are refused."""
    if not isinstance(value, dict):
        raise Misfit(f"{at} must be an object, not {_named(value)}")
    hints, fields = _hints(kind), {one.name: one for one in dataclasses.fields(kind) if one.init}
    for key in value:
        if key not in fields:
            raise Misfit(f"{at} has a key {shown(key)}, which nothing is known of")
    for name, one in fields.items():
        if name not in value and one.default is one.default_factory is dataclasses.MISSING:
            raise Misfit(f"{at} lacks {name}")
    return kind(**{key: fitted(hints[key], one, f"{at}.{key}" if at else key) for key, one in value.items()})


def taken(record: Mapping[str, Any], key: str, kind: Any, *default: Any) -> Any:
    """Return the value of a key as a type; `default` where it is missing and one is given.

    Raises:
        Misfit: it is missing, or none of that type.
    """
    if key not in record:
        if default:
            return default[0]
        raise Misfit(f"it lacks {key}")
    return fitted(kind, record[key], key)


def _check_limit(limit: Any, value: Any, at: str) -> None:
    if isinstance(limit, Pattern):
        if not re.fullmatch(limit.expression, value):
            raise Misfit(f"{at} must be of {limit.words}")
    elif isinstance(limit, Within):
        if limit.least is not None and value < limit.least:
            raise Misfit(f"{at} must be at least {limit.least:g}")
        if limit.most is not None and value > limit.most:
            raise Misfit(f"{at} must be at most {limit.most:g}")
