"""Measure what is told by what clients send: `python scripts/membership.py [--markdown docs/results/privacy.md]`.

Half of some rows are dealt to clients, half to nobody. Who sees an update, the mean of a round, or centroids then says
of each row, and of each client, whether it was in it. Printed are the area under the ROC curve and the share of members
that are found at one false positive in a hundred, means over trials. A trial that is in --out is not measured again.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch
from marked_tables import markdown, table, write_between_marks
from private.attacks import Attacked, deal
from rich.console import Console

from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.partition.run_data import load_data
from fedrouter_sim.storage import read_json, write_json

ROOT = Path(__file__).resolve().parents[1]
COLUMNS = ("what is seen, and of what membership is told", "AUC", "± trials", "found at 1% false positives")


def measured(file: Path, seed: int, setting: dict[str, Any], backbone: Backbone, config: RunConfig) -> dict[str, Any]:
    """Return the record of a trial: the one that is there, or a new one.

    Raises:
        UserError: one is there of another setting.
    """
    if file.exists():
        record: dict[str, Any] = read_json(file, "remove it, and measure again")
        if record.get("setting") != setting:
            raise UserError(f"{file}: was measured with another setting; give another --out")
        return record
    dealt = deal(load_data(config)[0].train, setting["clients"], setting["rows"], seed)
    scores = Attacked(dealt, backbone, config).scores(setting["epsilons"])
    record = {"setting": setting, "attacks": {name: [one.auc, one.found] for name, one in scores.items()}}
    write_json(file, record)
    return record


def rows_of(records: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Return a row of text for each attack, means over trials."""
    shown: list[tuple[str, ...]] = []
    for name in records[0]["attacks"]:
        aucs, found = zip(*(record["attacks"][name] for record in records), strict=True)
        spread = f"{stdev(aucs):.3f}" if len(aucs) > 1 else "-"
        shown.append((name, f"{fmean(aucs):.3f}", spread, f"{fmean(found):.3f}"))
    return shown


def main(given: list[str] | None = None) -> None:
    """Measure, and show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--rows", type=int, default=30, help="rows of a client")
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--epsilon", type=float, nargs="+", default=[8.0, 4.0, 1.0], help="of a whole run of 8 rounds")
    parser.add_argument("--model", default=RunConfig.model)
    parser.add_argument("--data", default=RunConfig.data)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "membership", help="where trials are kept")
    parser.add_argument("--markdown", type=Path, help="document that gets the table between its marks")
    options = parser.parse_args(given)
    torch.set_num_threads(1)
    setting = {
        "clients": options.clients, "rows": options.rows, "epsilons": options.epsilon,
        "model": Path(options.model).name, "data": Path(options.data).name,
    }  # fmt: skip
    options.out.mkdir(parents=True, exist_ok=True)
    console = Console(width=None if sys.stdout.isatty() else 140)
    backbone: Backbone | None = None
    records = []
    for seed in range(options.trials):
        config = RunConfig(
            model=options.model, data=options.data, dtype="float32", seed=seed, clients=options.clients, tasks=4,
            lr=1e-2,
        )  # fmt: skip
        backbone = backbone or Backbone(config)
        records.append(measured(options.out / f"trial-{seed}.json", seed, setting, backbone, config))
        console.print(f"trial {seed + 1} of {options.trials}", highlight=False)
    rows = rows_of(records)
    console.print(table(f"Membership, {options.clients} clients of {options.rows} rows", COLUMNS, rows))
    if options.markdown:
        write_between_marks(options.markdown, "privacy", {"membership": markdown(COLUMNS, rows)})


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"{error}")
