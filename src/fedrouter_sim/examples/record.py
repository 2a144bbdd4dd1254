"""Examples: the record, the shares of a data set, and the prompt template."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple

_DIGESTED = 10_000  # rows whose text is made at once


SYSTEM, USER, ASSISTANT = "system", "user", "assistant"
"""Roles."""


class Turn(NamedTuple):
    """What one side says in a conversation."""

    role: str  # 'system', 'user', 'assistant', or another that the backbone's chat template knows
    text: str


@dataclass(frozen=True, slots=True)
class Example:
    """One supervised example.

    Where the row is a conversation, `turns` are what precedes the response, and `instruction` is their text.

    `task` and `client` say whose row it is, for dealing out and measuring only; no method but `oracle` and `central`
    reads the one, and none reads the other.
    """

    instruction: str
    response: str
    task: str | None = None
    client: str | None = None  # the client that the data itself says holds the row
    turns: tuple[Turn, ...] = ()

    @classmethod
    def of_turns(
        cls, turns: Sequence[Turn], response: str, task: str | None = None, client: str | None = None
    ) -> "Example":
        """Make the example of a conversation, whose last turn the response follows."""
        if len(turns) == 1:
            return cls(turns[0].text, response, task, client)
        return cls(conversation_text(turns), response, task, client, tuple(turns))


def conversation_text(turns: Sequence[Turn]) -> str:
    """Return the text of a conversation: what is embedded, and what a prompt template other than 'chat' holds.

    Where others than a user speak, each turn is preceded by who speaks; the system's text stands as it is.
    """
    several = any(turn.role not in (SYSTEM, USER) for turn in turns)
    return "\n\n".join(
        f"{turn.role.capitalize()}: {turn.text}" if several and turn.role != SYSTEM else turn.text for turn in turns
    )


@dataclass(frozen=True)
class Shares:
    """The shares of a data set. Tuning reads `validation`; `test` is read by final evaluation only."""

    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]
    notes: tuple[str, ...] = field(default=(), compare=False)  # what loading left out, for the user

    def without(self, *tasks: str) -> "Shares":
        """Return the shares without the examples of some tasks."""
        names = ("train", "validation", "test")
        return replace(self, **{name: tuple(e for e in getattr(self, name) if e.task not in tasks) for name in names})

    def digest(self) -> str:
        """Return the SHA-256 hex digest of all rows in order: of their JSON, which is never in memory as a whole."""
        digest = hashlib.sha256(b"[")
        for number, share in enumerate((self.train, self.validation, self.test)):
            digest.update(b", [" if number else b"[")
            for start in range(0, len(share), _DIGESTED):
                rows = json.dumps([_fields(example) for example in share[start : start + _DIGESTED]])
                digest.update(((", " if start else "") + rows[1:-1]).encode())
            digest.update(b"]")
        digest.update(b"]")
        return digest.hexdigest()


BESIDE_INSTRUCTION = ("system", "context", "input")
"""Columns that belong to the instruction in common data sets, such as Alpaca's `input`."""


@dataclass(frozen=True)
class Columns:
    """Names of the columns that hold an example's fields. `task` and `client` by the default names may be absent.

    Attributes:
        instruction: whose texts make the instruction, in this order (a single name will do); none: `instruction`
            and, where they are there, `system` before and `context` and `input` after it.
    """

    MAIN: ClassVar[str] = "instruction"

    instruction: tuple[str, ...] = ()
    response: str = "response"
    task: str = "task"
    client: str = "client"

    def __post_init__(self) -> None:
        given: Any = self.instruction
        if isinstance(given, str):  # one name, not a letter each
            object.__setattr__(self, "instruction", (given,))

    def of_instruction(self) -> tuple[str, ...]:
        """Return the columns that may be read for the instruction: no column is both in it and another field."""
        beside = [name for name in BESIDE_INSTRUCTION if name not in (self.response, self.task, self.client)]
        if self.instruction:
            return self.instruction
        before, after = (tuple(name for name in beside if (name == "system") == first) for first in (True, False))
        return (*before, self.MAIN, *after)


def tasks_of(examples: Sequence[Example]) -> list[str]:
    """Return the distinct task labels, sorted; empty where the data has none."""
    return sorted({example.task for example in examples if example.task is not None})


def _fields(example: Example) -> tuple[object, ...]:
    """Return what the digest sees; without client and turns as before there were any, so that old runs stay valid."""
    fields = (example.instruction, example.response, example.task)
    if example.turns:
        return (*fields, example.client, example.turns)
    return fields if example.client is None else (*fields, example.client)
