"""Compare the methods on the paper's splits: `python scripts/reproduce.py [--out DIR] [--seeds 111 ...] [--smoke]`.

A first form: every method on `single` and `dual`, on the same clients and test samples and at the same budget. Each run
is a run folder under --out, and one that is there is not run again, so an interrupted comparison goes on where it was.
"""

import argparse
import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from fedrouter_sim.config import RunConfig
from fedrouter_sim.methods import METHODS
from fedrouter_sim.operations.train import train
from fedrouter_sim.progress import ProgressDisplay
from fedrouter_sim.storage import write_text

SPLITS = ("single", "dual")
COLUMNS = ("own", "all", "routing_accuracy", "optimizer_steps", "tokens_trained", "bytes_up")


def settings(split: str, smoke: bool) -> RunConfig:
    """The settings that all methods of a split share. A client of `single` holds one task: one local cluster."""
    config = RunConfig(split=split, local_clusters={"single": 1, "dual": 2}[split])
    if smoke:
        config = replace(config, clients=4, rounds=1, local_steps=2, batch_size=4, examples_per_client=24)
        config = replace(config, test_examples_per_client=4)
    return config


def rows(out: Path, seeds: list[int], smoke: bool, console: Console) -> Iterator[dict[str, Any]]:
    """Run what has not been run, and yield a row a run."""
    for seed in seeds:
        for split in SPLITS:
            for method in METHODS:
                folder = out / f"{split}-{method}-seed{seed}"
                if not folder.exists():
                    console.print(f"{folder.name}")
                    config = replace(settings(split, smoke), method=method, seed=seed)
                    with ProgressDisplay(config, console) as display:
                        train(config, folder, overwrite=False, display=display)
                summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
                cells = summary["rouge1_per_cell"]
                routing = "global" if "all-global" in cells else "fixed"
                scores = {data: cells[f"{data}-{routing}"] for data in ("own", "all")}
                yield {"split": split, "method": method, "seed": seed, **scores} | {
                    key: summary[key] for key in COLUMNS if key in summary
                }


def markdown(found: list[dict[str, Any]]) -> str:
    """The results as a Markdown table."""
    head = list(found[0])
    shown = [[_shown(value) for value in row.values()] for row in found]
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *shown)) + "\n"


def _shown(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else "-" if value is None else str(value)


def main() -> None:
    """Run the comparison and write table.md and results.csv."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/reproduce"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[111])
    parser.add_argument("--smoke", action="store_true", help="the smallest runs that go through every step")
    arguments = parser.parse_args()
    console = Console(stderr=True)
    found = list(rows(arguments.out, arguments.seeds, arguments.smoke, console))
    write_text(arguments.out / "table.md", markdown(found))
    with (arguments.out / "results.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, found[0].keys())
        writer.writeheader()
        writer.writerows(found)
    table = Table(*found[0], title="ROUGE-1, mean over clients")
    for row in found:
        table.add_row(*map(_shown, row.values()))
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
