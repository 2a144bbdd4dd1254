"""How rows are read into examples, whatever their source."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.files import find_file_format
from fedrouter_sim.examples.formats import find_row_format
from fedrouter_sim.examples.record import Columns, Example, Shares
from fedrouter_sim.examples.rows import Rows
from fedrouter_sim.randomness import numpy_generator

SHARE_NAMES = {"train": ("train",), "validation": ("validation", "valid", "val", "dev"), "test": ("test",)}
"""What a file or a split of each share may be called."""


@dataclass(frozen=True)
class Reading:
    """What the settings say about reading a data set."""

    columns: Columns = field(default_factory=Columns)
    format: str = "columns"  # a name of the row formats
    seed: int = 0  # of the split of a source without shares
    hub_folder: str = ""  # folder with copies of Hub data sets, which is read instead of the Hub

    def file(self, path: Path) -> tuple[Example, ...]:
        """Read the examples of one file, in file order.

        Raises:
            UserError: naming the file and, where there is one, the row (counted from 1) and column.
        """
        rows = find_file_format(path).read(path, find_row_format(self.format).wanted(self.columns))
        return self._examples(rows, f"--data {path}")

    def dataset(self, rows: Any, where: str) -> tuple[Example, ...]:
        """Read the examples of a `datasets.Dataset`, in order; messages begin with `where`.

        Raises:
            UserError: there is no row, or one does not have what it needs.
        """
        if not len(rows):
            raise UserError(f"{where}: holds no rows")
        return self._examples(Rows.of_dataset(rows, find_row_format(self.format).wanted(self.columns)), where)

    def _examples(self, rows: Rows, where: str) -> tuple[Example, ...]:
        return find_row_format(self.format).examples(rows, self.columns, where)


def split_by_seed(source: str, examples: Sequence[Example], seed: int) -> Shares:
    """Split examples into 80% train, 10% validation and 10% test; equal instructions stay in one share.

    Raises:
        UserError: there are fewer than three different instructions.
    """
    instructions = sorted({example.instruction for example in examples})
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
        parts[share[example.instruction]].append(example)
    return Shares(tuple(parts["train"]), tuple(parts["validation"]), tuple(parts["test"]))


def split_of(share: str, splits: Mapping[str, Any]) -> str | None:
    """Return the name under which a share is among `splits`; None if it is not there."""
    return next((name for name in SHARE_NAMES[share] if name in splits), None)
