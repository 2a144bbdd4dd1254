"""Printing: results to standard output, progress and notes to standard error."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console as RichConsole

from fedrouter_sim.showing import plain

if TYPE_CHECKING:
    from fedrouter_sim.federation.observers import Display

Renderable = Any  # whatever rich prints


class Console(RichConsole):
    """A console that says so when its reader has gone, where rich would end the program at once."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        raise BrokenPipeError


@contextmanager
def display_for(quiet: bool) -> "Iterator[Display]":
    """Yield a progress display on standard error, or a silent one."""
    from fedrouter_sim.cli.progress import ProgressDisplay
    from fedrouter_sim.federation.observers import Display

    if quiet:
        yield Display()
        return
    with ProgressDisplay(Console(stderr=True)) as display:
        yield display


def print_result(record: Any, tables: "list[Renderable]", as_json: bool, width: int = 120) -> None:
    """Print a result for machines or for people."""
    if as_json:
        print(as_json_line(record))
        return
    console = _PlainConsole(width=None if sys.stdout.isatty() else width)
    for table in tables:
        if isinstance(table, str):  # what is in it, such as a folder's name, is text and no markup
            console.print(table, markup=False, emoji=False)
        else:
            console.print(table)


class _PlainConsole(Console):
    """A console on which no text steers the terminal: controls in it are written out."""

    def render_str(self, text: str, **options: Any) -> Any:
        return super().render_str(plain(text), **options)


def as_json_line(record: Any) -> str:
    """Return a value as a line of JSON, in which what would steer a terminal is escaped."""
    # What another encoding lacks is escaped as JSON does it.
    spelled = "utf" in (sys.stdout.encoding or "utf-8").lower()
    line = json.dumps(record, ensure_ascii=not spelled)
    return line if line.isascii() and line.isprintable() else "".join(map(_escaped, line))


def _escaped(character: str) -> str:
    return character if plain(character) == character else f"\\u{ord(character):04x}"


def note(text: str, quiet: bool) -> None:
    """Print a note to standard error."""
    if not quiet:
        print(f"note: {plain(text)}", file=sys.stderr)
