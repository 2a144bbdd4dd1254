"""From the value of --data to examples: embedded data, the paper's, a folder, a file, or a data set of the Hub."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedrouter_sim.bundled import BUNDLED_DATA, bundled
from fedrouter_sim.config import PAPER_DATA
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.data_files import FORMATS, examples_of, read_examples, table_of, wanted
from fedrouter_sim.examples.record import Columns, Example, Shares
from fedrouter_sim.examples.sources.hub import HubData
from fedrouter_sim.examples.sources.paper import load_paper
from fedrouter_sim.randomness import numpy_generator

_KNOWN = ", ".join(FORMATS[:-1]) + f" or {FORMATS[-1]}"
_IN_PLACE_OF_TEST = "validation"  # of Hub data sets without a test split
_SHARE_NAMES = {"train": ("train",), "validation": ("validation", "valid", "val", "dev"), "test": ("test",)}


def load_shares(source: str, columns: Columns, seed: int, hub_folder: str = "") -> Shares:
    """Load the shares of a data set.

    Args:
        source: 'multitask' (embedded), 'paper', a folder with train and test files, one file, or a data set of the Hub
            as org/name or org/name:config. One file, or a Hub data set with a train split only, is split by `seed` into
            80% train, 10% validation and 10% test; equal instructions stay in one share.
        columns: names of the columns; 'paper' has its own.
        seed: of that split.
        hub_folder: folder with copies of Hub data sets, that is read in place of the Hub.

    Raises:
        UserError: the data, a file's format, a column or a row is not usable; the message names data and row.
    """
    if source == PAPER_DATA:
        return load_paper(hub_folder)
    place = _place(source)
    if isinstance(place, HubData):
        return _hub_shares(place, columns, seed, hub_folder)
    if place.is_file():
        return _split_by_seed(str(place), read_examples(place, columns), seed)
    parts = {share: read_examples(file, columns) for share in _SHARE_NAMES if (file := _share_file(place, share))}
    for share in ("train", "test"):
        if share not in parts:
            raise UserError(f"--data {place}: no {share} file ({_KNOWN}) in this folder")
    return Shares(parts["train"], parts.get("validation", ()), parts["test"])


def load_test(source: str, columns: Columns, hub_folder: str = "") -> tuple[Example, ...]:
    """Load test examples alone: the test share of a folder or of a Hub data set, or the whole of one file.

    Raises:
        UserError: as `load_shares`.
    """
    if source == PAPER_DATA:
        return load_paper(hub_folder).test
    place = _place(source)
    if isinstance(place, HubData):
        splits = place.splits(hub_folder)
        for share in ("test", _IN_PLACE_OF_TEST):
            if split := _split_of(share, splits):
                return _hub_examples(place, split, splits, columns)
        raise UserError(f"--data {place}: has no split 'test'; it has {', '.join(splits)}")
    file = place if place.is_file() else _share_file(place, "test")
    if file is None:
        raise UserError(f"--data {place}: no test file ({_KNOWN}) in this folder")
    return read_examples(file, columns)


def _place(source: str) -> Path | HubData:
    if source in BUNDLED_DATA:
        return bundled(source)
    path = Path(source)
    if path.exists():
        return path
    in_hub = HubData.parse(source)
    if in_hub is None or path.suffix in FORMATS:
        raise UserError(
            f"--data {source}: no such file or folder; give {BUNDLED_DATA[0]}, {PAPER_DATA}, a folder, a file, or a "
            "data set of the Hub as org/name"
        )
    return in_hub


def _share_file(folder: Path, share: str) -> Path | None:
    found = [folder / f"{name}{suffix}" for name in _SHARE_NAMES[share] for suffix in FORMATS]
    found = [path for path in found if path.is_file()]
    if len(found) > 1:
        raise UserError(f"--data {folder}: both {found[0].name} and {found[1].name} are there; keep one of them")
    return found[0] if found else None


def _hub_shares(data: HubData, columns: Columns, seed: int, hub_folder: str) -> Shares:
    splits = data.splits(hub_folder)
    named = {share: split for share in _SHARE_NAMES if (split := _split_of(share, splits))}
    if "train" not in named:
        raise UserError(f"--data {data}: has no split 'train'; it has {', '.join(splits)}")
    parts = {share: _hub_examples(data, split, splits, columns) for share, split in named.items()}
    if parts.keys() == {"train"}:
        return _split_by_seed(str(data), parts["train"], seed)
    if "test" in parts:
        return Shares(parts["train"], parts.get("validation", ()), parts["test"])
    note = f"--data {data}: has no split 'test', so '{named[_IN_PLACE_OF_TEST]}' serves as the test share"
    return Shares(parts["train"], (), parts[_IN_PLACE_OF_TEST], notes=(note,))


def _split_of(share: str, splits: Mapping[str, Any]) -> str | None:
    return next((name for name in _SHARE_NAMES[share] if name in splits), None)


def _hub_examples(data: HubData, split: str, splits: Mapping[str, Any], columns: Columns) -> tuple[Example, ...]:
    where = f"--data {data}, split {split}"
    if not len(splits[split]):
        raise UserError(f"{where}: holds no rows")
    return examples_of(table_of(splits[split], wanted(columns)), columns, where)


def _split_by_seed(source: str, examples: Sequence[Example], seed: int) -> Shares:
    instructions = sorted({example.instruction for example in examples})
    if len(instructions) < 3:
        raise UserError(
            f"--data {source}: {len(instructions)} different instructions are too few to split; give a folder"
        )
    order = numpy_generator(seed, "split file").permutation(len(instructions)).tolist()
    held = max(1, len(instructions) // 10)
    share = {instructions[i]: ("test" if rank < held else "validation" if rank < 2 * held else "train")
             for rank, i in enumerate(order)}  # fmt: skip
    parts: dict[str, list[Example]] = {name: [] for name in _SHARE_NAMES}
    for example in examples:
        parts[share[example.instruction]].append(example)
    return Shares(tuple(parts["train"]), tuple(parts["validation"]), tuple(parts["test"]))
