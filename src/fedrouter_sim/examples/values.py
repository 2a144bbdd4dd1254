"""What a value of a data file is as a text, a task label or a client's id: the same whatever the format."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from numbers import Real
from typing import Any

from fedrouter_sim.examples.record import Example, Shares
from fedrouter_sim.texts import half_character


@dataclass(frozen=True, slots=True)
class Flaw:
    """Why a row cannot be used, in the place of its example."""

    said: str  # as it follows "row 7: "


class ValueRefused(Exception):
    """A value is no text; the message follows the name of its column."""


def text_of(value: Any) -> str:
    """Return a value as a text without the space around it; empty for null, which NaN is as well.

    Raises:
        ValueRefused: it is a list or an object, bytes that are not UTF-8, or a text with half a character.
    """
    if isinstance(value, str):
        text = value.strip()
    elif is_null(value):
        return ""
    elif isinstance(value, bytes | bytearray | memoryview):
        try:
            text = bytes(value).decode("utf-8-sig").strip()
        except UnicodeDecodeError:
            raise ValueRefused("holds bytes that are not UTF-8 text") from None
    elif is_nested(value):
        raise ValueRefused(f"holds {type(value).__name__}, not a text")
    else:
        text = str(value).strip()
    if half_character(text):
        raise ValueRefused("holds half a character (surrogate)")
    return text


def label_of(value: Any) -> str:
    """Return a value as a task label or an id: as `text_of`, but a number without a fraction is its whole number.

    A column of whole numbers with gaps becomes one of fractions in many programs: 1.0 and 1 are one label.

    Raises:
        ValueRefused: as `text_of`.
    """
    if isinstance(value, bool | int) or not isinstance(value, Real | Decimal) or not math.isfinite(value):
        return text_of(value)
    whole = math.floor(value)
    return str(whole) if whole == value else str(value)


def is_null(value: Any) -> bool:
    """Return whether a value stands for no value: None, or what does not equal itself, as NaN and NaT."""
    if value is None:
        return True
    try:
        return bool(value != value)
    except (TypeError, ValueError):  # pandas.NA answers neither; an array answers for each of its values
        return not is_nested(value)


def is_nested(value: Any) -> bool:
    """Return whether a value holds others: a list or an object, and no text or bytes."""
    return isinstance(value, Mapping | list | tuple | set) or getattr(value, "ndim", 0) > 0  # an array has dimensions


def with_one_spelling(shares: Shares, where: str) -> Shares:
    """Write labels and ids such as the text '1.0' as '1', where the data has both; a note says so.

    Files that were written from a column with gaps have the one, others of the same data the other.
    """
    notes = []
    for field in ("task", "client"):
        known = {getattr(e, field) for e in (*shares.train, *shares.validation, *shares.test)} - {None}
        spelled = {text: whole for text in known if (whole := _whole(text)) != text}
        both = sorted(text for text, whole in spelled.items() if whole in known)
        if not both:
            continue
        shares = replace(
            shares,
            train=_respelled(shares.train, field, spelled),
            validation=_respelled(shares.validation, field, spelled),
            test=_respelled(shares.test, field, spelled),
        )
        notes.append(f"{where}: {field} {both[0]!r} and {spelled[both[0]]!r} are taken for one, as all such numbers")
    return replace(shares, notes=(*shares.notes, *notes))


def spelled_as(examples: Sequence[Example], field: str, known: Collection[str]) -> tuple[Example, ...]:
    """Write labels or ids such as the text '1.0' as '1', where that is one that is known."""
    found = {text for example in examples if (text := getattr(example, field)) is not None}
    return _respelled(
        examples, field, {text: whole for text in found if (whole := _whole(text)) != text and whole in known}
    )


def _respelled(examples: Sequence[Example], field: str, spelled: Mapping[str, str]) -> tuple[Example, ...]:
    found = []
    for example in examples:
        new = spelled.get(getattr(example, field))
        changes: dict[str, Any] = {} if new is None else {field: new}
        found.append(replace(example, **changes) if changes else example)
    return tuple(found)


def _whole(text: str) -> str:
    """Return a text such as '1.0' as '1'; any other as it is."""
    digits, point, zeros = text.partition(".")
    if point and zeros and not zeros.strip("0") and digits.removeprefix("-").isdecimal() and digits.isascii():
        return digits
    return text
