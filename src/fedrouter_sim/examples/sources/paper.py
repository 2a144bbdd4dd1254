"""`--data paper`: the four data sets of the FedRouter paper, as its reference code formats them.

| task | data set | instruction | response | test rows from |
|---|---|---|---|---|
| qqp | nyu-mll/glue, qqp | question1 + "-" + question2 | Yes (label 1), No (label 0) | validation |
| gigaword | SalmanFaroz/gigaword | article | summary, a headline | test |
| samsum | knkarthick/samsum | dialogue | summary | test |
| webnlg | GEM/web_nlg, en | the list of triples, as Python writes it | target | test |

GLUE's own test rows have no labels, so qqp's validation and test rows are parts of one split. No other prompt text
stands in the instruction. The repositories that the reference names for Gigaword and SAMSum, and the main branch of
GEM/web_nlg, hold loading code, which `datasets` no longer runs: the first two are copies with equal splits, the last is
the Hub's own conversion to Parquet.

Rows: of each task 1,200 for training and 600 each for validation and test, which is what the paper's setting needs: 8
clients with at most 600 training and 300 test examples each. They are drawn with seed 0 whatever the run's seed, which
then deals them out. A drawn row without a text or an answer is passed over, and so is one whose instruction was drawn
before (for test first, then validation, then training): no test instruction is trained.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fedrouter_sim.config.words import PAPER_DATA
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.reading import Reading
from fedrouter_sim.examples.record import Example, Shares
from fedrouter_sim.examples.sources.hub import HubData
from fedrouter_sim.examples.sources.source import Source
from fedrouter_sim.randomness import numpy_generator

ROWS = {"test": 600, "validation": 600, "train": 1_200}
"""Rows of each task by share, in the order in which they are drawn."""

SAMPLE_SEED = 0

Pair = tuple[str, str]
"""Instruction and response; empty where a row lacks one."""

_OWN_SPLITS = {"train": "train", "validation": "validation", "test": "test"}


@dataclass(frozen=True)
class TaskData:
    """One task's data set."""

    task: str
    data: HubData
    pair: Callable[[Mapping[str, Any]], Pair]  # a row's instruction and response
    splits: Mapping[str, str]  # share -> the split that its rows come from


def _qqp(row: Mapping[str, Any]) -> Pair:
    one, two = _text(row["question1"]), _text(row["question2"])
    return f"{one}-{two}" if one and two else "", {0: "No", 1: "Yes"}.get(row["label"], "")


def _gigaword(row: Mapping[str, Any]) -> Pair:
    return _text(row["article"]), _text(row["summary"])


def _samsum(row: Mapping[str, Any]) -> Pair:
    return _text(row["dialogue"]), _text(row["summary"])


def _webnlg(row: Mapping[str, Any]) -> Pair:
    return str(list(row["input"])) if row["input"] else "", _text(row["target"])


TASKS = (
    TaskData(
        "qqp",
        HubData("nyu-mll/glue", files={"train": "qqp/train*.parquet", "validation": "qqp/validation*.parquet"}),
        _qqp,
        {"train": "train", "validation": "validation", "test": "validation"},
    ),
    TaskData("gigaword", HubData("SalmanFaroz/gigaword"), _gigaword, _OWN_SPLITS),
    TaskData("samsum", HubData("knkarthick/samsum"), _samsum, _OWN_SPLITS),
    TaskData(
        "webnlg",
        HubData(
            "GEM/web_nlg",
            files={split: f"en/{split}/*.parquet" for split in _OWN_SPLITS},
            revision="refs/convert/parquet",
        ),
        _webnlg,
        _OWN_SPLITS,
    ),
)


@dataclass(frozen=True)
class Paper(Source):
    """The paper's four data sets together."""

    name = "paper"

    @classmethod
    def of(cls, text: str) -> "Paper | None":
        """Take the name of the paper's data."""
        return cls() if text == PAPER_DATA else None

    def shares(self, reading: Reading) -> Shares:
        """Load the four tasks; they have columns of their own."""
        return load_paper(reading.hub_folder)

    def test(self, reading: Reading) -> tuple[Example, ...]:
        """Load the test rows of the four tasks."""
        return load_paper(reading.hub_folder).test


def load_paper(hub_folder: str = "") -> Shares:
    """Load the paper's four tasks from the Hub, its cache, or a folder with copies.

    Args:
        hub_folder: a folder that holds a copy of each data set, as FOLDER/org/name; empty for the Hub.

    Raises:
        UserError: a data set cannot be loaded, or has no usable row in a share; the message names it.
    """
    parts: dict[str, list[Example]] = {share: [] for share in ROWS}
    notes = []
    for source in TASKS:
        drawn = _Draw(source, source.data.splits(hub_folder))
        for share, wanted in ROWS.items():
            parts[share] += drawn.take(share, wanted)
        if drawn.empty or drawn.repeated:
            notes.append(
                f"paper data, {source.task}: passed over {drawn.empty} drawn rows without text or answer and "
                f"{drawn.repeated} whose instruction was drawn before"
            )
    counts = ", ".join(f"{len(examples)} {share}" for share, examples in parts.items())
    return Shares(
        train=tuple(parts["train"]),
        validation=tuple(parts["validation"]),
        test=tuple(parts["test"]),
        notes=(f"paper data: {counts} rows, drawn with seed {SAMPLE_SEED}", *notes),
    )


class _Draw:
    """Draws examples of one task without replacement, and counts what it passes over."""

    def __init__(self, source: TaskData, splits: Mapping[str, Any]) -> None:
        self.empty = self.repeated = 0
        self._source = source
        self._instructions: set[str] = set()
        self._rows: dict[str, Iterator[Mapping[str, Any]]] = {}
        self._most: dict[str, int] = {}  # rows of a split for each share that draws from it
        for split, sharing in Counter(source.splits.values()).items():
            if split not in splits:
                raise UserError(f"--data paper: {source.data} has no split {split!r}; it has {', '.join(splits)}")
            self._rows[split] = _in_drawn_order(splits[split], source.task, split)
            self._most[split] = len(splits[split]) // sharing

    def take(self, share: str, wanted: int) -> list[Example]:
        """Draw `wanted` examples, or as many as there are."""
        split = self._source.splits[share]
        wanted = min(wanted, self._most[split])
        taken: list[Example] = []
        try:
            while len(taken) < wanted and (row := next(self._rows[split], None)) is not None:
                instruction, response = self._source.pair(row)
                if not instruction or not response:
                    self.empty += 1
                elif instruction in self._instructions:
                    self.repeated += 1
                else:
                    self._instructions.add(instruction)
                    taken.append(Example(instruction, response, self._source.task))
        except KeyError as error:
            raise UserError(f"--data paper: {self._source.data}, split {split!r}: has no column {error}") from None
        if not taken:
            raise UserError(f"--data paper: {self._source.data}, split {split!r}: no row is left for the {share} share")
        return taken


def _in_drawn_order(rows: Any, task: str, split: str) -> Iterator[Mapping[str, Any]]:
    order = numpy_generator(SAMPLE_SEED, "paper", task, split).permutation(len(rows))
    return (rows[int(row)] for row in order)  # the largest has 3.8 million: never all as numbers of Python


def _text(value: Any) -> str:
    """Return a text without surrounding space and with plain line ends; empty for None."""
    return "" if value is None else str(value).strip().replace("\r\n", "\n")
