"""Measure score against seconds over layers, modules and steps: `python scripts/upper_layers.py --data FILE`.

SmolLM2 on rows with task labels that `--data` names, in one thread; one file is split by the run's seed into training,
validation and test rows. Learning rates are chosen first, with one seed, by validation loss; then every way is trained
for 160 steps with three other seeds, and scored on validation rows after 80 and 160. Embeddings of rows are
computed once for all runs; they are not in the seconds that are shown.

What is done is kept in `--out`, a line a run, so that a stopped study goes on where it was. `--markdown FILE` puts the
table between the marks of a document, and the picture into the folder `figures` beside it.
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from federations.memory import RememberingBackbone
from kept_lines import keep, kept
from layering.grid import SEEDS, Trial, compared, tuning
from layering.show import best_rates, lines_of, of_whole_seeds, write_figure
from marked_tables import write_between_marks
from validated import measured

from fedrouter_sim.errors import UserError

ROOT = Path(__file__).resolve().parents[1]


def run(wanted: Iterable[Trial], data: str, file: Path, most: int) -> int:
    """Measure the runs that are not in `file` yet, at most so many, and return how many more may be made."""
    done = {(r["layers"], r["targets"], r["steps"], r["lr"], r["seed"]) for r in records(file)}
    left = [trial for trial in wanted if trial.key not in done]
    for number, trial in enumerate(left[:most], 1):
        config = trial.config(data)
        backbone = RememberingBackbone(config, file.parent / "rows.safetensors")  # a new one has no lower states yet
        found = measured(config, backbone)
        backbone.save()
        keep(file, {**vars(trial), "measured": found})
        print(f"{number}/{len(left)}  {' '.join(map(str, trial.key))}  {found}", flush=True)
    return max(0, most - len(left))


def records(file: Path) -> list[dict[str, Any]]:
    """Read what was measured."""
    keys = {"layers": int, "targets": str, "steps": int, "lr": float, "seed": int, "measured": list[Any]}
    return kept(file, keys)


def main() -> None:
    """Measure, and show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="real rows with task labels and a validation share, or one file of them")
    parser.add_argument("--seeds", nargs="+", type=int, choices=SEEDS, default=SEEDS)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "layers")
    parser.add_argument("--most", type=int, default=sys.maxsize, help="runs that are made now, at most")
    parser.add_argument("--only-show", action="store_true", help="measure nothing more")
    parser.add_argument("--markdown", type=Path, help="document that gets the table between its marks")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    tuned, file = options.out / "tuning.jsonl", options.out / "layers.jsonl"
    if not options.only_show:
        if not options.data:
            raise UserError("--data: give real rows with task labels")
        if left := run(tuning(), options.data, tuned, options.most):
            run(compared(best_rates(records(tuned)), options.seeds), options.data, file, left)
    whole = of_whole_seeds(records(file))
    lines = lines_of(whole)
    print("\n".join(lines))
    if options.markdown:
        write_between_marks(options.markdown, "layers", {"score": lines})
        write_figure(options.markdown.parent / "figures" / "layers.svg", whole)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"{error}")
