"""Choose each method's learning rate and rounds on validation rows: `python scripts/tuning.py PLAN --data FILE`.

The plan's settings hold but for these two: every method is trained with every rate of one grid and a seed that the plan
does not have, and its token loss on validation rows is taken after every other round (after each, if their number is
odd). To save time, there may be fewer clients (`--clients`). One file of rows is split by the seed into training,
validation and test rows; the latter are not looked at. Embeddings of rows are computed once for all runs.

What is done is kept in `--out`, a line a run, so that a stopped study goes on where it was. `--markdown FILE` puts the
table between the marks of a document.
"""

import argparse
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from federations.memory import RememberingBackbone
from kept_lines import keep, kept
from marked_tables import markdown, write_between_marks
from validated import measured

from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
RATES = (1e-3, 2e-3, 5e-3, 1e-2)
METHODS = ("fedavg", "local", "oracle")
SEED = 7
COLUMNS = ("method", "lr", "rounds with the lowest loss", "that loss", "loss after all", "chosen")
KEYS: Mapping[str, Any] = {"method": str, "lr": float, "split": str, "seed": int, "clients": int, "measured": list[Any]}
NAMES = ("method", "lr", "split", "seed", "clients")

Records = Sequence[Mapping[str, Any]]


def configs(
    plan: Path, data: str, methods: Sequence[str], rates: Sequence[float], split: str, seed: int, clients: int | None
) -> Iterator[RunConfig]:
    """Yield the settings of each run: the plan's, but for what is tuned.

    Raises:
        UserError: the plan has that seed.
    """
    whole = tomllib.loads(plan.read_text(encoding="utf-8"))
    if seed in whole["seeds"]:
        raise UserError(f"--seed {seed}: {plan} has it, and what it reports must not be tuned on it; give another")
    for method in methods:
        for lr in rates:
            own = {"method": method, "lr": lr, "split": split, "seed": seed, "data": data}
            config = RunConfig.build(whole["settings"], own | ({} if clients is None else {"clients": clients}))
            yield replace(config, eval_every=1 if config.rounds % 2 else 2)


def rows_of(records: Records) -> list[tuple[str, ...]]:
    """Return the rows of the table: the round with the lowest validation loss of each run, and the best run of each
    method."""
    found, best = list[tuple[Mapping[str, Any], int, Mapping[str, Any]]](), dict[str, float]()
    for record in records:
        points = record["measured"]
        place = min(range(len(points)), key=lambda i: points[i]["loss"])
        found.append((record, place, points[place]))
        name = record["method"]
        best[name] = min(best.get(name, points[place]["loss"]), points[place]["loss"])
    return [
        (
            record["method"],
            f"{record['lr']:g}",
            f"{point['round']} of {record['measured'][-1]['round']}",
            f"{point['loss']:.3f}",
            f"{record['measured'][-1]['loss']:.3f}",
            "yes" if point["loss"] == best[record["method"]] else "",
        )
        for record, place, point in found
    ]


def main() -> None:
    """Measure, and show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plan", type=Path)
    parser.add_argument("--data", required=True, help="real rows with task labels and a validation share, or one file")
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--rates", nargs="+", type=float, default=RATES)
    parser.add_argument("--split", default="dual")
    parser.add_argument("--clients", type=int, help="clients, in place of the plan's")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "tuning")
    parser.add_argument("--most", type=int, default=sys.maxsize, help="runs that are made now, at most")
    parser.add_argument("--markdown", type=Path, help="document that gets the table between its marks")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / f"{options.plan.stem}.jsonl"
    of_plan = (options.plan, options.data, options.methods, options.rates)
    wanted = configs(*of_plan, options.split, options.seed, options.clients)
    done = {tuple(one[key] for key in NAMES) for one in kept(file, KEYS)}
    left = [one for one in wanted if tuple(getattr(one, key) for key in NAMES) not in done]
    backbone: RememberingBackbone | None = None
    for number, config in enumerate(left[: options.most], 1):
        if backbone is None or not backbone.serves(config):
            backbone = RememberingBackbone(config, options.out / f"{options.plan.stem}-rows.safetensors")
        names = {key: getattr(config, key) for key in NAMES}
        keep(file, {**names, "measured": measured(config, backbone, answers=False)})
        backbone.save()
        print(f"{number}/{len(left)}  {config.method} {config.lr:g}", flush=True)
    lines = markdown(COLUMNS, rows_of(kept(file, KEYS)), names=1)
    print("\n".join(lines))
    if options.markdown:
        write_between_marks(options.markdown, "tuning", {options.plan.stem: lines})


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"{error}")
