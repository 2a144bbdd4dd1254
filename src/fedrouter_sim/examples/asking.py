"""Texts to be routed: of a file in any format, or of lines as they come; checked as the rows of --data are."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.files import find_file_format, is_data_file, suffixes_of
from fedrouter_sim.examples.files.jsonl import Jsonl, json_object
from fedrouter_sim.examples.files.opening import open_text
from fedrouter_sim.examples.formats.chat import COLUMNS as CONVERSATIONS
from fedrouter_sim.examples.formats.pairs import PROMPT
from fedrouter_sim.examples.formats.turns import holds_turns, turns_of, with_system
from fedrouter_sim.examples.record import SYSTEM, USER, Columns, Example, Turn
from fedrouter_sim.examples.values import ValueRefused, is_nested, label_of, text_of
from fedrouter_sim.texts import half_character, utf8_lines


@dataclass(frozen=True)
class Asking:
    """Where the text and the true task are in rows that have names.

    Attributes:
        columns: the columns of the text, or one of turns; none: what makes the instruction by default or, in rows
            without instruction, a conversation or a prompt.
        task_column: the column of the task, which may be absent.
    """

    columns: tuple[str, ...] = ()
    task_column: str = Columns.task

    def file(self, path: Path) -> Iterator[str | Example]:
        """Yield the texts of a file: by its suffix a data file, else a text a line; JSONL and lines as they are read.

        Raises:
            UserError: the file, or a row of it, is not usable; the message names both.
        """
        name, suffix = f"--file {path}", suffixes_of(path.name)[0]
        try:
            if is_data_file(path.name) and suffix != Jsonl.name:
                yield from self._rows(path)
            else:
                with open_text(path) as lines:
                    yield from self._lines(lines, suffix == Jsonl.name)
        except UserError as error:
            said = str(error)
            raise error if said.startswith(name) else UserError(f"{name}: {said}") from None
        except OSError as error:
            raise UserError(f"{name}: {error.strerror}; give a text or data file") from None

    def stream(self, source: IO[bytes]) -> Iterator[str | Example]:
        """Yield the texts of standard input, a line at a time: plain lines, or JSONL.

        Raises:
            UserError: a line is not usable; the message names it.
        """
        try:
            yield from self._lines(utf8_lines(source), False)
        except UserError as error:
            raise UserError(f"standard input: {error}") from None

    def _rows(self, path: Path) -> Iterator[Example]:
        wanted = dict.fromkeys((*self._columns, *CONVERSATIONS, PROMPT, SYSTEM, self.task_column))
        rows = find_file_format(path, "--file").read(path, tuple(wanted), "--file")
        if not any(column in rows.values for column in (*self._columns, *CONVERSATIONS, PROMPT)):
            raise UserError(f"no column {self._main!r}; it has {', '.join(rows.names)}: name it with --column")
        for number, values in enumerate(zip(*rows.values.values(), strict=True), start=1):
            yield self._example(dict(zip(rows.values, values, strict=True)), f"row {number}")

    def _lines(self, lines: Iterable[str], jsonl: bool) -> Iterator[str | Example]:
        begun = jsonl
        for number, line in enumerate(lines, start=1):
            text = line.strip()
            if not text:
                continue
            if not begun:
                jsonl, begun = _is_object(text, number), True
            if jsonl:
                yield self._example(json_object(text, number), f"line {number}")
            elif half_character(text):
                raise UserError(f"line {number} holds half a character (surrogate); correct it")
            else:
                yield text

    def _example(self, values: Mapping[str, Any], where: str) -> Example:
        try:
            task = label_of(values.get(self.task_column)) or None
        except ValueRefused:  # most methods do not ask for it
            task = None
        talk = next((name for name in self._of_turns(values) if holds_turns(values.get(name))), None)
        try:
            if talk is not None:
                return Example.of_turns(_asked(values[talk], text_of(values.get(SYSTEM))), "", task)
            parts = [text_of(values.get(name)) for name in self._names(values) if self._is_read(name, values)]
        except ValueRefused as error:
            raise UserError(f"{where}: {talk or self._main!r} {error}; correct it") from None
        if not any(parts):
            raise UserError(f"{where} has no text under {self._main!r}; name the column with --column")
        return Example("\n\n".join(filter(None, parts)), "", task)

    def _of_turns(self, values: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the columns that may hold turns instead of a text."""
        return self.columns or (() if Columns.MAIN in values else (*CONVERSATIONS, PROMPT))

    def _names(self, values: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the columns that make the text of a row."""
        if not self.columns and Columns.MAIN not in values and PROMPT in values:
            return (PROMPT,)
        return self._columns

    @property
    def _main(self) -> str:
        return self.columns[0] if self.columns else Columns.MAIN

    @property
    def _columns(self) -> tuple[str, ...]:
        return Columns(self.columns, task=self.task_column).of_instruction()

    def _is_read(self, name: str, values: Mapping[str, Any]) -> bool:
        """Return whether a column is part of the text: one beside the main one only where it is a text."""
        return name in (self._main, PROMPT) or not is_nested(values.get(name))


def _asked(value: Any, rules: str) -> tuple[Turn, ...]:
    """Return a conversation up to the last user's turn; an answer that follows it is not read.

    Raises:
        ValueRefused: it is no conversation, or no user says anything in it.
    """
    turns = turns_of(value)
    last = max((i for i, turn in enumerate(turns) if turn.role == USER), default=None)
    if last is None:
        raise ValueRefused("has no turn of a user")
    return with_system(turns[: last + 1], rules)


def _is_object(line: str, number: int) -> bool:
    """Return whether a first line is an object, so that all are JSONL.

    Raises:
        UserError: it is, or begins, JSON that is not JSONL.
    """
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, list) or line in ("[", "{"):
        raise UserError(
            f"line {number} begins a JSON {'object' if line == '{' else 'list'} and not a text: give --file with a "
            "name that ends in .json, or one object a line"
        )
    return isinstance(value, dict)
