"""Run folders and comparisons made by hand, for reports: no training, no backbone."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from fedrouter_sim.config import RunConfig
from fedrouter_sim.studies.comparison import Comparison, Cost, Entry, Score, compare

SCRIPT = "<script>alert(1)</script>"
NASTY = "a&b <i>_$x$"  # a task or a method

Answer = dict[str, Any]
RunMaker = Callable[..., Path]


def answer(task: str | None, pool: str | None, rouge1: float, client: int = 0, **more: Any) -> Answer:
    """An answered test sample, as a line of eval/CELL.jsonl."""
    texts = {"instruction": f"{SCRIPT} for {task}", "reference": "the reference", "answer": "the answer"}
    return {"client": client, "task": task, "pool": pool, "rouge1": rouge1} | texts | more


def _cell(name: str, answers: Sequence[Answer]) -> dict[str, Any]:
    test_data, routing = name.rsplit("-", 1)
    tasks = sorted({a["task"] for a in answers if a["task"] is not None})
    pools = {task: [a["pool"] or "backbone" for a in answers if a["task"] == task] for task in tasks}

    def mean(key: str, value: Any) -> dict[str, float]:
        return {"rouge1": fmean(a["rouge1"] for a in answers if a[key] == value)}

    return {
        "cell": {"test_data": test_data, "routing": routing},
        "mean": {"rouge1": fmean(a["rouge1"] for a in answers)},
        "per_client": {str(client): mean("client", client) for client in sorted({a["client"] for a in answers})},
        "per_task": {task: mean("task", task) for task in tasks},
        "confusion": {task: {pool: found.count(pool) for pool in sorted(set(found))} for task, found in pools.items()},
    }


@pytest.fixture(scope="session")
def make_run() -> RunMaker:
    """Return a function that writes a run folder with what it is given, and nothing else."""

    def make(
        folder: Path,
        cells: Mapping[str, Sequence[Answer]] | None = None,
        rounds: Sequence[Mapping[str, Any]] = (),
        truth: Mapping[str, Mapping[str, int]] | None = None,
        samples: Mapping[str, Any] | None = None,
        **summary: Any,
    ) -> Path:
        (folder / "eval").mkdir(parents=True)
        (folder / "config.toml").write_text(RunConfig.build({}).to_toml(), encoding="utf-8")

        def write(name: str, value: Any) -> None:
            (folder / name).write_text(json.dumps(value), encoding="utf-8")

        write("manifest.json", {"format": 1})
        scores = ("rouge1", "rouge1_base", "rouge1_per_task", "rouge1_base_per_task", "rouge1_per_cell")
        nothing = dict.fromkeys((*scores, "routing_accuracy", "ari_local", "ari_global"))
        counts = dict.fromkeys(("bytes_up", "bytes_down", "optimizer_steps", "tokens_trained", "peak_memory_bytes"), 0)
        run = {"method": "fedrouter", "split": "dual", "clients": 2, "seed": 42, "seconds": {"train": 1.5}}
        write("summary.json", nothing | counts | run | summary)
        if truth is not None:
            write("truth.json", {"pools": truth, "clusters": {}})
        if samples is not None:
            write("samples.json", samples)
        if rounds:
            lines = "".join(json.dumps(record) + "\n" for record in rounds)
            (folder / "rounds.jsonl").write_text(lines, encoding="utf-8")
        for name, answers in (cells or {}).items():
            write(f"eval/{name}.json", _cell(name, answers))
            lines = "".join(json.dumps(one) + "\n" for one in answers)
            (folder / "eval" / f"{name}.jsonl").write_text(lines, encoding="utf-8")
        return folder

    return make


@pytest.fixture(scope="session")
def full_run(make_run: RunMaker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has everything a report shows, with names that must be escaped. For reading, and for its report."""
    answers = [
        answer(NASTY, "task_0", 0.9, margin=1.25),
        answer(NASTY, "task_1", 0.1, client=1, margin=0.5, answer="x" * 500),
        answer("plain", "task_1", 0.75, client=1, margin=None),
    ]
    bare = [one | {"pool": None, "rouge1": 0.25} for one in answers]
    rounds = [
        {
            "round": number,
            "losses": {"task_0": 2 / number, "task_1": 1 / number},
            "validation": {"rouge1": 0.2 * number, "loss": 1.0, f"rouge1/{NASTY}": 0.25 * number},
        }
        for number in (1, 2, 3)
    ]
    points = [
        {"x": i * 0.5, "y": -1.0, "client": i % 2, "cluster": i % 3, "pool": f"task_{i % 2}", "task": NASTY}
        for i in range(6)
    ]
    return make_run(
        tmp_path_factory.mktemp("report") / "full",
        {"all-global": answers, "own-global": answers[:2], "drift-global": answers, "all-none": bare},
        rounds,
        {"task_0": {NASTY: 3}, "task_1": {"plain": 5, NASTY: 1}},
        {"explained": [0.5, 0.25], "points": points, "centroids": [{"pool": "task_0", "x": 0.0, "y": 0.5}]},
        rouge1=0.5, rouge1_per_task={NASTY: 0.5}, rouge1_per_cell={"all-global": 0.5},
    )  # fmt: skip


def entry(method: str, split: str, seed: int, values: Mapping[str, float], mib_up: int = 1) -> Entry:
    """A run with the given score in each of its cells; 'routing:data' is a score under another routing."""
    scores = []
    for key, mean in values.items():
        routing, _, data = key.rpartition(":")
        name = f"{method}/{routing}" if routing else method
        tasks = {NASTY: mean + 0.05, "plain": mean - 0.05}
        clients = {0: mean - 0.1, 1: mean + 0.1}
        scores.append(Score(name, split, seed, data, mean, 0.141, mean - 0.1, clients, tasks, f"{split}{seed}{data}"))
    cost = Cost(100, 2000, mib_up * 2**20, mib_up * 2**19, 3.0)
    return Entry(Path(f"runs/{split}-{method}-{seed}"), method, split, seed, {"lr": 0.1 * mib_up}, cost, tuple(scores))


@pytest.fixture(scope="session")
def comparison() -> Comparison:
    """Three methods on two splits, three seeds; one of them has a name that must be escaped."""
    runs = []
    for split in ("single", "dual"):
        for seed in range(3):
            moved = 0.01 * seed
            runs.append(entry("fedavg", split, seed, {"own": 0.5 + moved, "all": 0.5 + moved}))
            ours = {"own": 0.75 + moved, "all": 0.7 + moved, "local:all": 0.4 + moved}
            runs.append(entry("fedrouter", split, seed, ours, mib_up=2))
            runs.append(entry(f"mine|{NASTY}", split, seed, {"own": 0.6 - moved, "all": 0.3 + moved}))
    return compare(runs)
