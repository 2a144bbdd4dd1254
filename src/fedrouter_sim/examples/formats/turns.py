"""Turns of a conversation, as the common data sets write them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fedrouter_sim.examples.record import Turn
from fedrouter_sim.examples.values import ValueRefused, is_null, text_of

_KEYS = (("role", "content"), ("from", "value"))  # of OpenAI's form and of ShareGPT's
_ROLES = {
    "human": "user", "prompter": "user",
    "gpt": "assistant", "chatgpt": "assistant", "model": "assistant", "bot": "assistant",
}  # fmt: skip
"""What data sets call the two sides, and what chat templates do."""


def turns_of(value: Any) -> tuple[Turn, ...]:
    """Return the turns of a conversation: of objects with `role` and `content`, or with `from` and `value`.

    Raises:
        ValueRefused: it is no such list, or a turn has no text; the message follows the name of its column.
    """
    if isinstance(value, str) and value.lstrip().startswith("["):  # in a CSV file
        try:
            value = json.loads(value)
        except ValueError as error:
            raise ValueRefused(f"holds a text that is not JSON ({error})") from None
    if isinstance(value, Mapping):  # columns of turns, as `datasets` writes them
        value = [dict(zip(value, turn, strict=False)) for turn in zip(*value.values(), strict=False)]
    if is_null(value) or not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise ValueRefused("holds no list of turns")
    return tuple(_turn(turn, number) for number, turn in enumerate(value, start=1))


def _turn(turn: Any, number: int) -> Turn:
    keys = next((keys for keys in _KEYS if isinstance(turn, Mapping) and keys[0] in turn), None)
    if keys is None:
        raise ValueRefused(f"has a turn {number} without role and content")
    try:
        role, text = text_of(turn[keys[0]]).lower(), _content(turn.get(keys[1]))
    except ValueRefused as error:
        raise ValueRefused(f"has a turn {number} that {error}") from None
    if not role or not text:
        raise ValueRefused(f"has a turn {number} without {'text' if role else 'role'}")
    return Turn(_ROLES.get(role, role), text)


def _content(value: Any) -> str:
    """Return the text of a turn, which may come in parts."""
    if not isinstance(value, list):
        return text_of(value)
    if odd := [part for part in value if not (isinstance(part, Mapping) and part.get("type") == "text")]:
        kind = odd[0].get("type") if isinstance(odd[0], Mapping) else type(odd[0]).__name__
        raise ValueRefused(f"holds {kind!r}, which is not a text")
    return "\n".join(text_of(part.get("text")) for part in value).strip()
