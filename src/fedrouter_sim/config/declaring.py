"""How a setting is declared: once, with its heading, default, meaning and limits."""

import dataclasses
from collections.abc import Callable
from typing import Any

from fedrouter_sim.errors import UserError
from fedrouter_sim.texts import half_character


def setting(
    panel: str,
    default: Any,
    help: str,
    *,
    choices: tuple[str, ...] = (),
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
    table: str = "",
    beside: tuple[str, ...] = (),
    words: tuple[str, ...] = (),
    number: type[int] | type[float] = int,
    derive: Callable[[Any], Any] | None = None,
    rule: str = "",
) -> Any:
    """Declare a setting: its heading in --help, its default, what it means (with its unit), and its limits.

    A setting with a `table` names an entry of that table, or is a word `beside` them, which names none; whoever uses
    the setting looks it up there. One with `words` is a `number` or one of these words. One whose default follows from
    settings declared before it has the default None, the function `derive`, and the `rule` in words.
    """
    metadata = {
        "help": help, "panel": panel, "choices": choices, "least": least, "most": most, "above": above, "table": table,
        "beside": beside, "words": words, "number": number, "derive": derive, "rule": rule,
    }  # fmt: skip
    return dataclasses.field(default=default, metadata=metadata)


def flag(name: str) -> str:
    """Return the command-line flag of a setting: `local_steps` -> `--local-steps`."""
    return "--" + name.replace("_", "-")


def shown_default(field: "dataclasses.Field[Any]") -> str:
    """Return the default of a setting for people: its value, or the rule that it follows."""
    return str(field.metadata["rule"]) or ("none" if field.default in ((), "") else str(field.default))


def from_text(text: str, number: type[int] | type[float] = int) -> float | str:
    """Return the value of a setting with `words` that a flag gives as text: a number if it is one."""
    if number is int:
        return int(text) if len(text) < 20 and text.isascii() and text.lstrip("-").isdecimal() else text
    try:
        return float(text)
    except ValueError:
        return text


def number_named(field: "dataclasses.Field[Any]") -> str:
    """Return what the number of a setting with `words` is called."""
    return "a whole number" if field.metadata["number"] is int else "a number"


def check_limits(shown: str, field: "dataclasses.Field[Any]", value: Any) -> None:
    """Refuse a value outside the limits of its setting; the message begins with `shown`.

    Raises:
        UserError: with what the value has to be.
    """
    limits = field.metadata
    if isinstance(value, str) and half_character(value):
        raise UserError(f"{shown}: holds half a character (surrogate); correct it")
    if type(value) is int and not -(2**63) <= value < 2**63:
        raise UserError(f"{shown}: must be a number of at most 64 bits")
    if limits["words"] and isinstance(value, str):
        if value not in limits["words"]:
            *others, last = limits["words"]
            raise UserError(f"{shown}: must be {', '.join([number_named(field), *others])} or {last}")
        return
    if limits["choices"] and value not in limits["choices"]:
        raise UserError(f"{shown}: choose one of {', '.join(limits['choices'])}")
    if isinstance(value, float) and not abs(value) < float("inf"):
        raise UserError(f"{shown}: must be a finite number")
    if limits["least"] is not None and value < limits["least"]:
        raise UserError(f"{shown}: must be at least {limits['least']}")
    if limits["above"] is not None and value <= limits["above"]:
        raise UserError(f"{shown}: must be above {limits['above']}")
    if limits["most"] is not None and value > limits["most"]:
        raise UserError(f"{shown}: must be at most {limits['most']}")
