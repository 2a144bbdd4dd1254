"""Measure what hostile clients do, and what holds them off: `python scripts/attacks.py updates longer clusters`.

40 clients, four tasks, the tiny GPT-2, three seeds. `updates`: every attack on updates and rows under every aggregation
rule, by the score of the trained adapters. `longer`: some of them, with more steps. `clusters`: the two attacks on
clustering, without and with `--robust-clustering`, by ARI and routing accuracy; nothing is trained. Shares of attackers
are 0 to 0.4.

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
from attacking.first_round import FirstRoundBackbone
from attacking.grid import CLUSTERS, COMMON, PARTS, SEEDS, trials
from attacking.measure import answered, clustered
from attacking.show import lines_of, tables
from kept_lines import keep, kept
from marked_tables import write_between_marks

from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError

ROOT = Path(__file__).resolve().parents[1]


def run(part: str, seeds: Sequence[int], out: Path, most: int | None) -> None:
    """Measure the runs of a part with these seeds that are not in `out` yet, at most so many."""
    file = out / f"{part}.jsonl"
    done = {(r["part"], r["attack"], r["answer"], r["share"], r["seed"]) for r in records(file)}
    left = [trial for trial in trials(part, seeds) if trial.key not in done]
    backbone = FirstRoundBackbone(RunConfig.build(COMMON), out / "rows.safetensors")
    for number, trial in enumerate(left[:most], 1):
        started = time.process_time()
        measured = (clustered if part == CLUSTERS else answered)(trial.config, backbone)
        seconds = round(time.process_time() - started, 1)
        record = {**vars(trial), "measured": measured, "processor_seconds": seconds}
        keep(file, record)
        print(f"{number}/{len(left)}  {' '.join(map(str, trial.key))}  {measured}  {seconds} s", flush=True)
    backbone.save()


def records(file: Path) -> list[dict[str, Any]]:
    """Read what was measured."""
    keys = {"part": str, "attack": str, "answer": str, "share": float, "seed": int, "measured": dict[str, Any]}
    return kept(file, keys)


def main() -> None:
    """Measure, and show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "attacks")
    parser.add_argument("--seeds", nargs="+", type=int, choices=SEEDS, default=SEEDS)
    parser.add_argument("--most", type=int, help="runs of each part that are made now, at most")
    parser.add_argument("--only-show", action="store_true", help="measure nothing more")
    parser.add_argument("--markdown", type=Path, help="document that gets the tables between its marks")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    shown = {}
    for part in options.parts:
        if not options.only_show:
            run(part, options.seeds, options.out, options.most)
        shown[part] = records(options.out / f"{part}.jsonl")
        print(lines_of(part, shown[part]))
    if options.markdown:
        write_between_marks(options.markdown, "attacks", {part: tables(part, shown[part]) for part in shown})


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"{error}")
