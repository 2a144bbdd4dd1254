"""Printing: results to standard output, progress and notes to standard error."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console as RichConsole

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
        print(json.dumps(record, ensure_ascii=False))
        return
    console = Console(width=None if sys.stdout.isatty() else width)
    for table in tables:
        console.print(table)


def note(text: str, quiet: bool) -> None:
    """Print a note to standard error."""
    if not quiet:
        print(f"note: {text}", file=sys.stderr)
