"""JSON and TOML out of files that others may have written: one way for all, with limits on what is believed.

What is refused: files that are too large, or no files at all (pipes, devices), nesting beyond any use, numbers that
64 bits do not hold, infinities, keys that stand twice, half characters. No message repeats what stands in a file.
"""

import json
import math
import stat
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fedrouter_sim.showing import shown
from fedrouter_sim.texts import half_character, read_utf8

MOST_BYTES = 2**28
"""The largest file that is read: no file of a run comes near it."""
MOST_DEPTH = 60
"""Lists and objects within each other."""
_DIGITS = 19  # of the largest whole number of 64 bits


def parse_json(text: str, constants: bool = False) -> Any:
    """Return the value of a JSON text.

    Args:
        text: the whole of it.
        constants: whether NaN and the infinities are numbers, as Python writes them.

    Raises:
        ValueError: it is no JSON, or beyond the limits; the message holds nothing of the text but a key.
    """
    try:
        value = json.loads(
            text,
            parse_int=_whole,
            parse_float=_finite,
            parse_constant=float if constants else _no_constant,
            object_pairs_hook=_object,
        )
    except RecursionError:
        raise _too_deep() from None
    _check(value, constants)
    return value


def parse_toml(text: str) -> dict[str, Any]:
    """Return the values of a TOML text.

    Raises:
        ValueError: it is no TOML, or beyond the limits.
    """
    try:
        value = tomllib.loads(text)
    except RecursionError:
        raise _too_deep() from None
    except tomllib.TOMLDecodeError:
        raise
    except ValueError:  # Python's own limit on digits
        raise ValueError("a number has more digits than 64 bits hold") from None
    _check(value, constants=True)  # TOML has inf and nan; each setting says whether it may be one
    return value


def read_bounded(path: Path) -> str:
    """Return the text of a file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not UTF-8, too large, or no file; opening a pipe would wait for ever.
    """
    check_file(path, MOST_BYTES)
    return read_utf8(path)


def check_file(path: Path, most: int) -> None:
    """Refuse what is no file to be read whole.

    Raises:
        OSError: it is not there.
        ValueError: it is a folder, a pipe or a device, or larger than `most` bytes.
    """
    found = path.stat()
    piped = stat.S_ISFIFO(found.st_mode) and path.parent == Path("/dev/fd")  # a shell's <(...)
    if not (stat.S_ISREG(found.st_mode) or piped):
        raise ValueError("it is no regular file")
    if found.st_size > most:
        raise ValueError(f"it has {found.st_size:,} bytes, and at most {most:,} are read")


def _whole(text: str) -> int:
    if len(text.lstrip("-")) <= _DIGITS and -(2**63) <= (value := int(text)) < 2**63:
        return value
    raise ValueError(f"a number of {len(text.lstrip('-'))} digits is more than 64 bits hold")


def _finite(text: str) -> float:
    if math.isinf(value := float(text)):
        raise ValueError("a number is too large to be one")
    return value


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{shown(next(n for n in names if names.count(n) > 1))} stands twice in one object")
    return made


def _too_deep() -> ValueError:
    return ValueError(f"it is nested more than {MOST_DEPTH} deep")


_CHECKS: dict[type, Callable[[Any], str | None]] = {
    str: lambda value: "a text holds half a character (surrogate)" if half_character(value) else None,
    int: lambda value: None if -(2**63) <= value < 2**63 else "a whole number is more than 64 bits hold",
    float: lambda value: None if math.isfinite(value) else "a number is not finite",
}


def _check(value: Any, constants: bool) -> None:
    """Look through a value without recursion."""
    waiting = [(value, 1)]
    while waiting:
        one, depth = waiting.pop()
        if isinstance(one, dict | list):
            if depth > MOST_DEPTH:
                raise _too_deep()
            if isinstance(one, dict):
                waiting += ((key, depth + 1) for key in one)
                waiting += ((inner, depth + 1) for inner in one.values())
            else:
                waiting += ((inner, depth + 1) for inner in one)
        elif not (constants and type(one) is float) and (check := _CHECKS.get(type(one))) and (said := check(one)):
            raise ValueError(said)
