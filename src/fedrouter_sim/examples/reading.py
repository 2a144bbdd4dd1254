"""How rows are read into examples, whatever their source."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedrouter_sim.config.words import ON_BAD_ROW
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.files import find_file_format
from fedrouter_sim.examples.formats import find_row_format
from fedrouter_sim.examples.record import Columns, Example, Shares, conversation_text
from fedrouter_sim.examples.rows import Rows
from fedrouter_sim.examples.values import Flaw
from fedrouter_sim.randomness import numpy_generator

SHARE_NAMES = {"train": ("train",), "validation": ("validation", "valid", "val", "dev"), "test": ("test",)}
"""What a file or a split of each share may be called."""


IN_PLACE_OF_TEST = "validation"  # of data sets without a test share

ERROR, SKIP = ON_BAD_ROW
COUNT = "count"
"""`on_bad_row` of a look at the data: bad rows are left out without a word, and counted in the parts."""


@dataclass(frozen=True)
class Part:
    """A file or a split as it was read."""

    where: str  # as messages name it, without the flag
    rows: int
    examples: int
    columns: tuple[str, ...]  # all that there are
    flaws: tuple[tuple[int, str], ...]  # number of a row that cannot be used, counted from 1, and why


@dataclass(frozen=True)
class Reading:
    """What the settings say about reading a data set."""

    columns: Columns = field(default_factory=Columns)
    format: str = "auto"  # a name of the row formats
    seed: int = 0  # of the split of a source without shares
    hub_folder: str = ""  # folder with copies of Hub data sets, which is read instead of the Hub
    on_bad_row: str = ERROR  # or SKIP, or COUNT
    data: str = ""  # the value of --data, by which notes name it; without it, each file by its own name
    notes: list[str] = field(default_factory=list, compare=False)  # on what was read so far, for the user
    parts: list[Part] = field(default_factory=list, compare=False)  # what was read so far, in order

    def file(self, path: Path) -> tuple[Example, ...]:
        """Read the examples of one file, in file order.

        Raises:
            UserError: naming the file and, where there is one, the row (counted from 1) and column.
        """
        rows = find_file_format(path).read(path, self._wanted())
        return self._examples(rows, f"--data {path}")

    def files(self, paths: Iterable[Path]) -> tuple[Example, ...]:
        """Read the examples of several files, one after the other.

        Raises:
            UserError: as `file`.
        """
        return tuple(example for path in paths for example in self.file(path))

    def dataset(self, rows: Any, where: str) -> tuple[Example, ...]:
        """Read the examples of a `datasets.Dataset`, in order; messages begin with `where`.

        Raises:
            UserError: there is no row, or one does not have what it needs.
        """
        if not len(rows):
            raise UserError(f"{where}: holds no rows")
        return self._examples(Rows.of_dataset(rows, self._wanted()), where)

    def note(self, said: str, where: str = "") -> None:
        """Keep a note, once; it names the data as a whole unless `where` says which part of it."""
        if (note := f"{where or '--data ' + self.data}: {said}") not in self.notes:
            self.notes.append(note)

    def _wanted(self) -> tuple[str, ...]:
        return find_row_format(self.format).wanted(self.columns)

    def _examples(self, rows: Rows, where: str) -> tuple[Example, ...]:
        row_format = find_row_format(self.format)
        found = row_format.examples(rows, self.columns, where)
        for said in rows.notes:
            self.note(said, where)
        for said in row_format.notes(rows, self.columns):
            self.note(said, "" if self.data else where)
        flaws = [(number, one.said) for number, one in enumerate(found, start=1) if isinstance(one, Flaw)]
        if flaws:
            self._tell(flaws, len(found), where)
        examples: list[Example] = []
        for one in found:
            if isinstance(one, Example):
                examples.append(one)
            elif not isinstance(one, Flaw):
                examples += one
        name = where.removeprefix("--data ")
        self.parts.append(Part(name, len(found), len(examples), tuple(rows.names), tuple(flaws)))
        return tuple(examples)

    def _tell(self, flaws: Sequence[tuple[int, str]], rows: int, where: str) -> None:
        """Refuse rows that cannot be used, or note that they are left out, or say nothing."""
        (first, said), count = flaws[0], f"{len(flaws)} of {rows} rows"
        if self.on_bad_row == ERROR:
            raise UserError(
                f"{where}: {count} cannot be used; the first is row {first}: {said}; correct them, or leave them out "
                f"with --on-bad-row {SKIP}"
            )
        if len(flaws) == rows:
            raise UserError(f"{where}: none of {rows} rows can be used; the first: row {first}, {said}")
        if self.on_bad_row == SKIP:
            self.note(f"left out {count} that cannot be used (the first: row {first}, {said})", where)


def split_by_seed(source: str, examples: Sequence[Example], seed: int) -> Shares:
    """Split examples into 80% train, 10% validation and 10% test; equal instructions stay in one share, and so do
    conversations that begin alike.

    Raises:
        UserError: there are fewer than three different instructions.
    """
    instructions = sorted({_beginning(example) for example in examples})
    if len(instructions) < 3:
        raise UserError(
            f"--data {source}: {len(instructions)} different instructions are too few to split; give a folder"
        )
    order = numpy_generator(seed, "split file").permutation(len(instructions)).tolist()
    held = max(1, len(instructions) // 10)
    share = {
        instructions[i]: ("test" if rank < held else "validation" if rank < 2 * held else "train")
        for rank, i in enumerate(order)
    }
    parts: dict[str, list[Example]] = {name: [] for name in SHARE_NAMES}
    for example in examples:
        parts[share[_beginning(example)]].append(example)
    return Shares(tuple(parts["train"]), tuple(parts["validation"]), tuple(parts["test"]))


def _beginning(example: Example) -> str:
    """Return the instruction; of a conversation, the text up to the first user's turn."""
    first = next((i for i, turn in enumerate(example.turns) if turn.role == "user"), len(example.turns))
    return conversation_text(example.turns[: first + 1]) if example.turns else example.instruction


def split_of(share: str, splits: Mapping[str, Any]) -> str | None:
    """Return the name under which a share is among `splits`; None if it is not there."""
    return next((name for name in SHARE_NAMES[share] if name in splits), None)


def shares_of(source: str, kind: str, parts: Mapping[str, Sequence[Example]], named: Mapping[str, str]) -> Shares:
    """Make shares of those that a data set has, training rows and others; validation serves where test is missing.

    Args:
        source: the value of --data, for notes.
        kind: what a share is in the source, such as 'split'.
        parts: share -> its examples; train, and validation or test or both.
        named: share -> what the source calls it.
    """
    train, validation, test = (tuple(parts.get(share, ())) for share in SHARE_NAMES)
    if "test" in parts:
        return Shares(train, validation, test)
    note = f"--data {source}: has no {kind} 'test', so '{named[IN_PLACE_OF_TEST]}' serves as the test share"
    return Shares(train, (), validation, notes=(note,))
