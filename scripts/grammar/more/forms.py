"""Surface forms that the further tasks share: sentences, lines of fields, a chat, a numbered list."""

from collections.abc import Iterable
from random import Random

from grammar import lexicon as lx


def sentence(text: str) -> str:
    """The text with a capital and a full stop."""
    return f"{text[0].upper()}{text[1:]}."


def joined(items: list[str]) -> str:
    """The items in a phrase, such as `a, b and c`."""
    if len(items) == 1:
        return items[0]
    return f"{', '.join(items[:-1])} and {items[-1]}"


def record(fields: dict[str, str]) -> str:
    """A line `key: value` for each field."""
    return "\n".join(f"{key}: {value}" for key, value in fields.items())


def chat(rng: Random, asked: str, answer: str) -> str:
    """A question of one person and the answer of another."""
    one, two = rng.sample(lx.FIRST_NAMES, 2)
    return f"{one}: {asked}\n{two}: {answer}"


def numbered(items: Iterable[str]) -> str:
    """The items as a numbered list, one a line."""
    return "\n".join(f"{number}. {item}" for number, item in enumerate(items, start=1))
