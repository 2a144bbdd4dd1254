"""Measure the program's speed: `python scripts/bench.py [--model tiny-gpt2] [--data FOLDER] [--quick]`.

The program and what it is measured against take turns in one process. Printed are the medians and, where there is a
target, whether it is reached; --json keeps all samples. Nothing fails for want of speed: the table says it.

`--markdown FILE` puts the table into a document, `--from RECORD.json ...` shows what was measured before.
"""

import argparse
import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.answering import answers, embedding
from benchmarks.clusters import clustering
from benchmarks.linking import linking
from benchmarks.machine import machine
from benchmarks.measure import Contest, run
from benchmarks.overhead import overhead
from benchmarks.published import published
from benchmarks.scale import many_clients, many_rows, workers
from benchmarks.setting import QUICK, REAL, TINY, Setting
from benchmarks.show import Record, as_json, joined, new_record, table, write_markdown
from benchmarks.upper import upper_layers
from benchmarks.usual import usual_recipe
from benchmarks.waiting import waiting
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from transformers.utils import logging as transformers_logging

from fedrouter_sim.backbone.reusing import SWITCH
from fedrouter_sim.bundled import BUNDLED_DATA, BUNDLED_MODEL
from fedrouter_sim.config import RunConfig
from fedrouter_sim.config.reading import read_preset
from fedrouter_sim.errors import UserError
from fedrouter_sim.storage import write_json

BENCHMARKS: Mapping[str, Callable[[Setting], Contest]] = {
    "overhead": overhead,
    "upper-layers": upper_layers,
    "usual-recipe": usual_recipe,
    "embedding": embedding,
    "answers": answers,
    "published-loop": published,
    "clustering": clustering,
    "linking": linking,
    "many-clients": many_clients,
    "rows": many_rows,
    "workers": workers,
    "waiting": waiting,
}
REAL_PRESET = "cpu-small"  # its learning rate trains the adapters that answer; the default one is for the tiny backbone


def measure(setting: Setting, names: list[str], record: Record, keep: Callable[[], None], console: Console) -> None:
    """Run benchmarks by name and put what they measure into the record; `keep` is called after each."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        for name in names:
            started = time.perf_counter()
            task = progress.add_task(name, total=None)
            contest = BENCHMARKS[name](setting)
            runs = len(contest.contenders) * (contest.repeats or setting.sizes.repeats)
            progress.update(task, total=runs)
            measured = run(name, contest, setting.sizes.repeats, partial(progress.advance, task))
            seconds = time.perf_counter() - started
            record["benchmarks"][name] = as_json(measured, seconds)
            keep()
            progress.remove_task(task)
            console.print(f"{name}: {seconds:.0f} s", highlight=False)


def read_records(paths: list[Path]) -> Record:
    """Read and join the records of former runs."""
    records = []
    for path in paths:
        try:
            records.append((str(path), json.loads(path.read_text(encoding="utf-8"))))
        except (OSError, ValueError) as error:
            raise UserError(f"--from {path}: not readable as JSON ({error}); give what --json wrote") from None
    return joined(records)


def chosen(only: str | None) -> list[str]:
    """Return the names of the benchmarks to run, in their order."""
    wanted = list(BENCHMARKS) if only is None else [name.strip() for name in only.split(",")]
    for name in wanted:
        if name not in BENCHMARKS:
            raise UserError(f"--only {name}: no such benchmark; there are {', '.join(BENCHMARKS)}")
    return [name for name in BENCHMARKS if name in wanted]


def main(given: list[str] | None = None) -> None:
    """Measure, or read what was measured, and show it."""
    os.environ[SWITCH] = "0"  # what an earlier run embedded is not to be read in place of embedding
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=BUNDLED_MODEL, help="a backbone by its name, or a folder")
    parser.add_argument("--data", default=BUNDLED_DATA[0], help="rows to train on and answer: multitask, or a folder")
    parser.add_argument("--quick", action="store_true", help="small sizes and few repeats: a test of the script")
    parser.add_argument("--only", metavar="NAME,...", help=", ".join(BENCHMARKS))
    parser.add_argument("--repeats", type=int, metavar="N", help="of every contender, in place of the usual number")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the record, all samples in it")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="put the table into a document")
    parser.add_argument("--from", dest="records", type=Path, nargs="+", metavar="FILE", help="show records of --json")
    options = parser.parse_args(given)
    try:
        record = read_records(options.records) if options.records else measured_now(options)
        if options.markdown:
            write_markdown(options.markdown, record)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    Console(width=None if sys.stdout.isatty() else 140).print(table(record))


def measured_now(options: argparse.Namespace) -> Record:
    """Measure what the command line asks for."""
    names = chosen(options.only)
    transformers_logging.set_verbosity_error()  # its notices say nothing about speed
    warnings.simplefilter("ignore", FutureWarning)
    settings: dict[str, Any] = {"model": options.model, "data": options.data, "device": "cpu"}
    if options.model != BUNDLED_MODEL:
        settings |= {"lr": read_preset(REAL_PRESET)["lr"]}
    sizes = QUICK if options.quick else TINY if options.model == BUNDLED_MODEL else REAL
    settings |= {"batch_size": sizes.batch_size}
    if options.repeats is not None:
        if options.repeats < 1:
            raise UserError(f"--repeats {options.repeats}: must be at least 1")
        sizes = replace(sizes, repeats=options.repeats, process_repeats=options.repeats)
    with tempfile.TemporaryDirectory() as scratch:
        setting = Setting(RunConfig.build(settings), sizes, Path(scratch))
        record = new_record(setting, options.quick, machine(setting.backbone.dtype))

        def keep() -> None:
            if options.json:
                write_json(options.json, record)

        measure(setting, names, record, keep, Console(stderr=True))
        return record


if __name__ == "__main__":
    main()
