"""Measure how well texts of unseen tasks are told: `python scripts/unseen.py six`, or `real --data FILE`.

Each task is held out once. Clients hold rows of the others, tasks are found by `--tasks auto`, and the router is
calibrated on the clients' own rows. The held-out task's rows, and as many other rows of the known tasks, are then
scored. What is printed is the area under the ROC curve of the score.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from discovery import BLOCKS, ROOT, rows_in
from federations.draw import Drawn
from federations.memory import RememberingBackbone
from federations.ways import federation_of
from rich.console import Console
from rich.table import Table
from sklearn.metrics import roc_auc_score

from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.config import RunConfig
from fedrouter_sim.config.words import AUTO
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import Example
from fedrouter_sim.methods.fedrouter import FedRouter

CLIENTS = 4
SETS = {"six": "six", "twelve": "twelve", "real": "real-30"}  # -> block of scripts/discovery.py


def auroc(rows: Sequence[Example], held: str, per_client: int, backbone: Backbone, config: RunConfig) -> float:
    """Return the area under the ROC curve for one held-out task.

    Args:
        rows: with their tasks.
        held: the task that no client has.
        per_client: rows of a client and task; what is left of the known tasks is scored.
        backbone: that embeds and sketches.
        config: of the federation.
    """
    generator = np.random.default_rng(0)
    known = sorted({row.task or "" for row in rows} - {held})
    clients: list[list[Example]] = [[] for _ in range(CLIENTS)]
    seen: list[Example] = []
    unseen = [row for row in rows if row.task == held][: per_client * len(known)]
    for task in known:
        own = [row for row in rows if row.task == task]
        own = [own[i] for i in generator.permutation(len(own))]
        for client in clients:
            client.extend(own.pop() for _ in range(per_client))
        seen += own[: -(-len(unseen) // len(known))]
    federation = federation_of(Drawn(tuple(known), tuple(map(tuple, clients))), backbone, config)
    router = FedRouter().plan(federation).router
    scores = None if router is None else router.unseen(backbone.embed([row.instruction for row in (*unseen, *seen)]))
    if scores is None:
        raise ValueError("a router that was calibrated scores texts")
    return float(roc_auc_score([1] * len(unseen) + [0] * len(seen), scores))


def main() -> None:
    """Hold out each task, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=SETS)
    parser.add_argument("--data", type=Path, help="JSONL file of real rows with task labels, for `real`")
    parser.add_argument("--rows", type=int, default=60, help="rows of a client and task")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "discovery", help="where rows are kept")
    options = parser.parse_args()
    torch.set_num_threads(1)
    block = BLOCKS[SETS[options.set]]
    if (file := block.data or options.data) is None:
        raise UserError(f"{options.set}: give real rows with task labels by --data FILE")
    config = RunConfig(
        model=block.model, max_tokens=block.max_tokens, dtype="float32", data="federations", tasks=AUTO, clients=CLIENTS
    )
    backbone = RememberingBackbone(config, options.out / f"{Path(block.model).name}-rows.safetensors")
    rows = rows_in(file, block.tasks)
    shown = Table(title=f"AUROC of unseen tasks, {options.set}, {options.rows} rows of a client and task")
    shown.add_column("held out")
    shown.add_column("AUROC", justify="right")
    found: list[float] = []
    for task in sorted({row.task or "" for row in rows}):
        found.append(auroc(rows, task, options.rows, backbone, config))
        shown.add_row(task, f"{found[-1]:.3f}")
    backbone.save()
    shown.add_row("mean", f"{np.mean(found):.3f}", style="bold")
    Console().print(shown)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"{error}")
