"""Measure what task adapters should share: `python scripts/sharing.py embedded real --data FOLDER --seeds 111 222 333`.

`embedded`: the tiny GPT-2 on the included data, 8 clients, on four splits. `real`: SmolLM2 on rows with task labels
that `--data` names, 4 clients on `dual`. Every sharing rule, under the true tasks (oracle) and under those that
FedRouter finds, beside fedavg, local and clustered. `--tasks auto` has the number of tasks found as well.

What is done is kept in `--out`, a line a run, so that a stopped study goes on where it was. `--markdown FILE` puts the
tables between the marks of a document.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from kept_lines import keep, kept
from marked_tables import write_between_marks
from shares.grid import EMBEDDED, PARTS, REAL, SPLITS, WAYS, Trial, trials
from shares.measure import measured
from shares.show import tables

from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.config.words import AUTO
from fedrouter_sim.errors import UserError

ROOT = Path(__file__).resolve().parents[1]


def run(wanted: Sequence[Trial], data: str | None, file: Path, most: int | None) -> None:
    """Measure the runs that are not in `file` yet, at most so many."""
    done = {(r["part"], r["split"], r["way"], r["tasks"], r["seed"]) for r in records(file)}
    left = [trial for trial in wanted if trial.key not in done]
    backbone: Backbone | None = None
    for number, trial in enumerate(left[:most], 1):
        config = trial.config(data)
        if backbone is None or not backbone.serves(config):
            backbone = Backbone(config)
        started = time.process_time()
        record = {**vars(trial), "measured": measured(config, backbone)}
        record["processor_seconds"] = round(time.process_time() - started, 1)
        keep(file, record)
        print(f"{number}/{len(left)}  {' '.join(map(str, trial.key))}  {_said(record)}", flush=True)


def records(file: Path) -> list[dict[str, Any]]:
    """Read what was measured."""
    keys = {"part": str, "split": str, "way": str, "tasks": str, "seed": int, "measured": dict[str, Any]}
    return kept(file, keys)


def main() -> None:
    """Measure, and show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--data", help="folder or file of real rows with task labels, for the real part")
    parser.add_argument("--seeds", nargs="+", type=int, default=[111])
    parser.add_argument("--splits", nargs="+", help="splits; else those of the part")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), metavar="WAY", help=", ".join(WAYS))
    parser.add_argument("--tasks", choices=("told", AUTO), default="told", help="whether the number of tasks is told")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "sharing")
    parser.add_argument("--most", type=int, help="runs of each part that are made now, at most")
    parser.add_argument("--only-show", action="store_true", help="measure nothing more")
    parser.add_argument("--markdown", type=Path, help="document that gets the tables between its marks")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    shown: dict[str, list[dict[str, Any]]] = {}
    for part in options.parts:
        if part == REAL and not options.data and not options.only_show:
            raise UserError(f"{part}: give real rows with task labels by --data")
        file = options.out / f"{part}.jsonl"
        if not options.only_show:
            wanted = trials(part, options.splits or SPLITS[part], options.ways, options.tasks, options.seeds)
            run(list(wanted), None if part == EMBEDDED else options.data, file, options.most)
        shown[part] = records(file)
        print(f"{part}: {len(shown[part])} runs\n\n" + "\n".join(tables(shown[part])))
    if options.markdown:
        write_between_marks(options.markdown, "sharing", {part: tables(shown[part]) for part in shown})


def _said(record: dict[str, Any]) -> str:
    found = record["measured"]
    scores = "  ".join(f"{name} {found[name]:.3f}" for name in ("own rouge1", "own loss", "all rouge1", "all loss"))
    return f"{scores}  {record['processor_seconds']} s"


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"{error}")
