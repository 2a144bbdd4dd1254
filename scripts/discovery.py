"""Measure how well tasks are found in random federations: `python scripts/discovery.py BLOCK [BLOCK ...]`.

Each federation is drawn by a seed of its own, and all ways to find tasks are tried on it. What is done is kept in
`--out`, a line a federation, so that a stopped run goes on where it was. The defaults of the program were tuned on
federations drawn by seeds from 1,000,000 on (`--tuning`); those that are reported begin at 0.

`--markdown FILE` puts the table into a document.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from federations.draw import draw
from federations.memory import RememberingBackbone
from federations.show import COLUMNS, END_TO_END, end_to_end_rows, lines_of, rows_of, write_figure
from federations.ways import WAYS, federation_of
from marked_tables import markdown, table, write_between_marks
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from fedrouter_sim.bundled import SMOLLM2
from fedrouter_sim.config import RunConfig
from fedrouter_sim.config.words import LAST
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import Example
from fedrouter_sim.storage import read_json_lines
from fedrouter_sim.studies.reading import open_comparison

ROOT = Path(__file__).resolve().parents[1]
MOST_TASKS = 8
TUNING = 1_000_000


@dataclass(frozen=True)
class Block:
    """Federations of one kind."""

    rows: int  # of a client and task
    count: int  # federations
    model: str
    tasks: tuple[str, ...] = ()  # those that are drawn from; none: all
    data: Path | None = ROOT / "data" / "twelve" / "train.jsonl"  # None: given by --data
    max_tokens: int = 256
    without: tuple[str, ...] = ()  # ways that cost too much


OURS = ("paraphrase", "headline", "dialogue", "triples", "lookup", "correct")
BLOCKS: Mapping[str, Block] = {
    "twelve": Block(60, 100, "tiny-gpt2", without=("auto, first updates",)),
    "six": Block(60, 100, "tiny-gpt2", OURS, without=("auto, first updates",)),
    "real-30": Block(30, 30, SMOLLM2, data=None, without=("auto, first updates",)),
    "real-100": Block(100, 30, SMOLLM2, data=None, without=("auto, first updates",)),
}


def rows_in(file: Path, tasks: tuple[str, ...]) -> list[Example]:
    """Read the rows of some tasks, or of all."""
    lines = read_json_lines(
        file, dict.fromkeys(("instruction", "response", "task"), str), "give rows with task labels by --data"
    )
    rows = [Example(line["instruction"], line["response"], line["task"]) for line in lines]
    return [row for row in rows if not tasks or row.task in tasks]


def run(name: str, file: Path, rows: list[Example], seeds: range, embedding: int | str, console: Console) -> None:
    """Measure the federations of a block, drawn by these seeds, that are not in `file` yet."""
    block = BLOCKS[name]
    done = {record["seed"] for record in records(file)}
    settings = {"model": block.model, "max_tokens": block.max_tokens, "embedding": embedding}
    config = RunConfig.build({**settings, "dtype": "float32", "data": "federations"})
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(f"{name}: federations", total=len(seeds), completed=len(done))
        new_rows = progress.add_task("rows sketched or embedded", total=None)
        backbone = RememberingBackbone(
            config,
            file.parent / f"{Path(block.model).name}{_kind(embedding)}-rows.safetensors",
            lambda n: progress.advance(new_rows, n),
        )
        for seed in seeds:
            if seed in done:
                continue
            drawn = draw(rows, block.rows, MOST_TASKS, np.random.default_rng(seed))
            federation = federation_of(drawn, backbone, config)
            ways = {way: measure for way, measure in WAYS.items() if way not in block.without}
            found = {way: measure(federation, drawn).to_dict() for way, measure in ways.items()}
            record = {"seed": seed, "tasks": len(drawn.tasks), "clients": len(drawn.clients), "ways": found}
            with file.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(record) + "\n")
            progress.advance(bar)
        backbone.save()


def records(file: Path) -> Iterator[dict[str, Any]]:
    """Read what was measured."""
    if file.exists():
        yield from read_json_lines(
            file, {"seed": int, "tasks": Any, "ways": Any}, "remove its last line, and run the study again"
        )


def _kind(embedding: int | str) -> str:
    return "" if embedding == LAST else f"-{embedding}"


def main() -> None:
    """Measure, and show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("blocks", nargs="+", choices=BLOCKS)
    parser.add_argument("--data", type=Path, help="JSONL file of real rows with task labels, for the real blocks")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "discovery")
    parser.add_argument("--count", type=int, help="federations of each block")
    parser.add_argument("--embedding", default=LAST, help="layer that embeds; auto: the best of four")
    parser.add_argument("--tuning", action="store_true", help="draw other federations than those that are reported")
    parser.add_argument("--study", type=Path, help="folder of the finished end-to-end study, which is shown as well")
    parser.add_argument("--only-show", action="store_true", help="measure nothing more")
    parser.add_argument("--markdown", type=Path, help="document that gets the table between its marks")
    options = parser.parse_args()
    torch.set_num_threads(1)
    console = Console()
    out = options.out / "tuning" if options.tuning else options.out
    out.mkdir(parents=True, exist_ok=True)
    embedding = int(options.embedding) if options.embedding.isdecimal() else options.embedding
    shown: dict[str, list[dict[str, Any]]] = {}
    for name in options.blocks:
        file = BLOCKS[name].data or options.data
        if file is None:
            raise UserError(f"{name}: give real rows with task labels by --data FILE")
        measured = out / f"{name}{_kind(embedding)}.jsonl"
        if not options.only_show:
            first, count = TUNING * options.tuning, BLOCKS[name].count if options.count is None else options.count
            run(name, measured, rows_in(file, BLOCKS[name].tasks), range(first, first + count), embedding, console)
        shown[name] = list(records(measured))
        title = f"{name}: {len(shown[name])} random federations"
        console.print(table(title, COLUMNS, rows_of(shown[name])))
    parts = {name: lines_of(found) for name, found in shown.items()}
    if options.study:
        ends = end_to_end_rows(open_comparison(sorted(options.study.glob("*-seed*"))))
        console.print(table("end to end", END_TO_END, ends))
        parts["end-to-end"] = markdown(END_TO_END, ends, names=2)
    if options.markdown:
        write_between_marks(options.markdown, "discovery", parts)
    write_figure(out / "discovery.svg", shown)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"{error}")
