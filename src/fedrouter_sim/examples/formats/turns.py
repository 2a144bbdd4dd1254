"""Turns of a conversation, as the common data sets write them."""

from collections.abc import Mapping, Sequence
from typing import Any

from fedrouter_sim.errors import first_line
from fedrouter_sim.examples.files.json_text import DECODER
from fedrouter_sim.examples.record import SYSTEM, Turn
from fedrouter_sim.examples.values import ValueRefused, is_nested, is_null, text_of

_KEYS = (("role", "content"), ("from", "value"))  # of OpenAI's form and of ShareGPT's
_ROLES = {
    "human": "user", "prompter": "user",
    "gpt": "assistant", "chatgpt": "assistant", "model": "assistant", "bot": "assistant", "ai": "assistant",
}  # fmt: skip
"""What data sets call the two sides, and what chat templates do."""


def holds_turns(value: Any) -> bool:
    """Say whether a value is a list of turns, or the JSON of one, and not a text."""
    if not isinstance(value, str) or not value.lstrip().startswith("["):
        return is_nested(value)
    try:
        found = DECODER.decode(value.strip())
    except (ValueError, RecursionError):
        return False
    first = found[0] if found else None
    return isinstance(first, Mapping) and any(role in first for role, _ in _KEYS)


def turns_of(value: Any) -> tuple[Turn, ...]:
    """Return the turns of a conversation: of objects with `role` and `content`, or with `from` and `value`.

    Raises:
        ValueRefused: it is no such list, or a turn has no text; the message follows the name of its column.
    """
    if isinstance(value, str) and value.lstrip().startswith("["):  # in a CSV file
        try:
            value = DECODER.decode(value.strip())
        except (ValueError, RecursionError) as error:
            raise ValueRefused(f"holds a text that is not JSON ({first_line(error)})") from None
    if isinstance(value, Mapping):  # columns of turns, as `datasets` writes them
        value = _from_columns(value)
    if is_null(value) or not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise ValueRefused("holds no list of turns")
    return tuple(_turn(turn, number) for number, turn in enumerate(value, start=1))


def with_system(turns: tuple[Turn, ...], rules: str) -> tuple[Turn, ...]:
    """Put what a system says beside a conversation before what it says in it."""
    if not rules:
        return turns
    if turns[:1] and turns[0].role == SYSTEM:
        own = turns[0].text
        return turns if own == rules else (Turn(SYSTEM, f"{rules}\n\n{own}"), *turns[1:])
    return (Turn(SYSTEM, rules), *turns)


def _from_columns(value: Mapping[Any, Any]) -> list[dict[Any, Any]]:
    columns = [column for column in value.values() if isinstance(column, list)]
    if not columns or len(columns) < len(value) or len({len(column) for column in columns}) > 1:
        raise ValueRefused("holds an object, not a list of turns")
    return [dict(zip(value, turn, strict=True)) for turn in zip(*columns, strict=True)]


def _turn(turn: Any, number: int) -> Turn:
    keys = next((keys for keys in _KEYS if isinstance(turn, Mapping) and keys[0] in turn), None)
    if keys is None:
        raise ValueRefused(f"has a turn {number} without role and content")
    try:
        role, text = text_of(turn[keys[0]]).lower(), _content(turn.get(keys[1]))
    except ValueRefused as error:
        raise ValueRefused(f"has a turn {number} that {error}") from None
    if turn.get("tool_calls") or turn.get("function_call"):
        raise ValueRefused(f"has a turn {number} that calls tools, which are not read")
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
