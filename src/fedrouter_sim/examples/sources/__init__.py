"""Sources, one file each: where the examples of --data come from."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from fedrouter_sim.bundled import BUNDLED_DATA
from fedrouter_sim.config.words import PAPER_DATA
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import Example, Shares
from fedrouter_sim.examples.values import with_one_spelling
from fedrouter_sim.tables import Table

if TYPE_CHECKING:
    from fedrouter_sim.examples.reading import Reading
    from fedrouter_sim.examples.sources.source import Source

SOURCES: "Table[Source]" = Table(
    kind="source",
    flag="--data",
    base="fedrouter_sim.examples.sources.source:Source",
    rows={  # the first that takes the text has it
        "paper": "fedrouter_sim.examples.sources.paper:Paper",
        "embedded": "fedrouter_sim.examples.sources.embedded:Embedded",
        "file": "fedrouter_sim.examples.sources.file:File",
        "folder": "fedrouter_sim.examples.sources.folder:Folder",
        "hub": "fedrouter_sim.examples.sources.hub:HubData",
    },
    own=False,
)

GIVEN_IN_PYTHON, TRAINED_ELSEWHERE = NOT_ON_DISK = ("given in Python", "trained elsewhere")
"""What the setting `data` says of a run whose rows are not on disk: they cannot be loaded again."""


def find_source(text: str) -> "Source":
    """Return the source that the value of --data names.

    Raises:
        UserError: it names none.
    """
    for name in SOURCES.names:
        if (source := SOURCES.class_of(name).of(text)) is not None:
            return source
    raise UserError(
        f"--data {text}: no such file or folder; give {BUNDLED_DATA[0]}, {PAPER_DATA}, a folder, a file, or a "
        "data set of the Hub as org/name"
    )


def load_shares(text: str, reading: "Reading") -> Shares:
    """Load the shares of what --data names.

    One file, or a Hub data set with a train split only, is split by seed.

    Raises:
        UserError: the data, a file's format, a column or a row is not usable; the message names data and row.
    """
    reading = replace(reading, data=text, notes=[])
    shares = find_source(text).shares(reading)
    for name in ("train", "validation", "test"):
        _check_labels(getattr(shares, name), name, text)
    shares = replace(shares, notes=(*reading.notes, *shares.notes))
    return with_one_spelling(shares, f"--data {text}")


def _check_labels(examples: Sequence[Example], share: str, text: str) -> None:
    """Refuse labels of a part of a share, as one of its files may lack the column: the rest would be a task of its own.

    Raises:
        UserError: some have one and others none.
    """
    without = sum(example.task is None for example in examples)
    if 0 < without < len(examples):
        raise UserError(
            f"--data {text}: {without} of {len(examples)} {share} rows have no task; fill the column in every file, or "
            "name another with --task-column"
        )


def load_test(text: str, reading: "Reading") -> tuple[Example, ...]:
    """Load test examples alone: the test share of what --data names, or the whole of one file.

    What a user should know of it is added to the notes of `reading`.

    Raises:
        UserError: as `load_shares`.
    """
    own = replace(reading, data=text)  # notes go into the same list
    spelled = with_one_spelling(Shares((), (), find_source(text).test(own)), f"--data {text}")
    reading.notes.extend(spelled.notes)
    return spelled.test
