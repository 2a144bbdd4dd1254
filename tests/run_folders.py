"""Run folders made by hand, and in the form of older versions."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import tomli_w
import torch
from safetensors.numpy import load_file, save_file

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.config.reading import read_settings
from fedrouter_sim.federation.plan import Deployment, Pool
from fedrouter_sim.messages import Update
from fedrouter_sim.runs.summary import Summary
from fedrouter_sim.runs.writer import RunWriter

PEFT = {"peft_type": "LORA", "r": 2}
SUMMARY = Summary("fedavg", "dual", 10, 42)
NEW_SETTINGS = (
    "option",
    "metric",
    "format",
    "aggregation",
    "router",
    "affinity",
    "cut",
    "drift_brings",
    "clip_update",
    "sharing",
    "lr_scaling",
)  # that format 1 did not have


def adapter(value: float) -> Adapter:
    """An adapter of one module with one value in its A."""
    return {"x.lora_A.weight": torch.full((2, 3), value), "x.lora_B.weight": torch.zeros(4, 2)}


def update(client: int, group: int, round_: int = 1, value: float = 1.0, examples: int = 5) -> Update:
    """What a client sends."""
    return Update(client, group, "global", round_, examples, (), adapter(value), loss=0.5, steps=2, tokens=30)


def finish(writer: RunWriter) -> None:
    """Write what makes a folder a run, of one pool."""
    writer.write_model({"global": adapter(7.0)}, Deployment((Pool("global", 9, "sum"),)), 12)
    writer.write_summary(SUMMARY, {"seed": 42, "data_sha256": "d", "backbone_sha256": "b"})


def read(path: Path) -> Any:
    """Read JSON."""
    return json.loads(path.read_text(encoding="utf-8"))


def write(path: Path, value: Any) -> None:
    """Write JSON."""
    path.write_text(json.dumps(value), encoding="utf-8")


def make_first_format(run: Path) -> Path:
    """Bring a run folder into the form of format 1, as version 0.1.0 wrote it."""
    manifest, summary = read(run / "manifest.json"), read(run / "summary.json")
    own = manifest.pop("own_sha256")
    write(run / "manifest.json", manifest | {"format": 1, "method_sha256": own.get("method")})
    scores, tasks = summary.pop("scores"), summary.pop("task_scores")
    first, metric = summary.pop("cell"), summary.pop("metric")
    for key in ("label_tasks", "tasks_found", "tasks_born", "updates_refused", "rounds_skipped"):
        del summary[key]
    for key in ("clients_dropped", "clients_late", "clients_joined"):
        del summary[key]
    assert metric == "rouge1"  # the only one that there was
    del summary["unseen_auroc"], summary["unseen_auroc_per_task"]

    def of_tasks(cell: str | None) -> dict[str, float] | None:
        return {task: of_task["rouge1"] for task, of_task in tasks.get(cell, {}).items()} or None

    summary |= {
        "rouge1": scores[first]["rouge1"] if first else None,
        "rouge1_per_task": of_tasks(first),
        "rouge1_base": scores["all-none"]["rouge1"] if first else None,
        "rouge1_base_per_task": of_tasks("all-none"),
        "rouge1_per_cell": {cell: of_cell["rouge1"] for cell, of_cell in scores.items()} or None,
    }
    write(run / "summary.json", summary)
    settings = {key: value for key, value in read_settings(run / "config.toml").items() if key not in NEW_SETTINGS}
    (run / "config.toml").write_text(tomli_w.dumps(settings), encoding="utf-8")
    (run / "sharing.safetensors").unlink(missing_ok=True)
    for path in run.glob("updates/*/*/update.json"):
        write(path, {key: value for key, value in read(path).items() if key != "pool"})
    if (run / "router.json").exists():
        recipe = {key: value for key, value in read(run / "router.json").items() if key not in ("rule", "options")}
        write(run / "router.json", recipe | {"format": 1})
        tensors = load_file(run / "router.safetensors") | load_file(run / "clients.safetensors")
        (run / "clients.safetensors").unlink()
        save_file(tensors, run / "router.safetensors")
    return run


def answered(task: str | None, pool: str | None, rouge1: float, client: int = 0, **more: Any) -> dict[str, Any]:
    """An answered test sample, as a line of eval/CELL.jsonl; its loss is 1 - ROUGE-1 per token."""
    texts = {"instruction": "the input", "reference": "the reference", "answer": "the answer"}
    values = {"rouge1": rouge1, "exact_match": None, "loss": 2 * (1 - rouge1), "tokens": 2}
    return {"client": client, "task": task, "pool": pool} | values | texts | more


def cell_of(name: str, answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The scores of a cell, as eval/CELL.json has them, of its answers."""
    test_data, routing = name.rsplit("-", 1)
    tasks = sorted({a["task"] for a in answers if a["task"] is not None})
    pools = {task: [a["pool"] or "backbone" for a in answers if a["task"] == task] for task in tasks}

    def scores(key: str | None = None, value: Any = None) -> dict[str, float | None]:
        some = [a for a in answers if key is None or a[key] == value]
        exact = [a["exact_match"] for a in some if a["exact_match"] is not None]
        return {
            "samples": len(some),
            "rouge1": fmean(a["rouge1"] for a in some),
            "exact_match": fmean(exact) if exact else None,
            "loss": sum(a["loss"] for a in some) / sum(a["tokens"] for a in some),
        }

    return {
        "cell": {"test_data": test_data, "routing": routing},
        "mean": scores(),
        "per_client": {str(client): scores("client", client) for client in sorted({a["client"] for a in answers})},
        "per_task": {task: scores("task", task) for task in tasks},
        "confusion": {task: {pool: found.count(pool) for pool in sorted(set(found))} for task, found in pools.items()},
        "samples_sha256": "same",
    }
