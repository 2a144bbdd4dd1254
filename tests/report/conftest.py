"""Run folders and comparisons made by hand, for reports: no training, no backbone."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from run_folders import answered, cell_of, write

from fedrouter_sim.config import RunConfig
from fedrouter_sim.runs.summary import Summary
from fedrouter_sim.studies.comparison import Comparison, Cost, Entry, Score, compare

SCRIPT = "<script>alert(1)</script>"
NASTY = "a&b <i>_$x$"  # a task or a method

RunMaker = Callable[..., Path]


def answer(task: str | None, pool: str | None, rouge1: float, client: int = 0, **more: Any) -> dict[str, Any]:
    """An answered test sample whose input is no friend of HTML."""
    return answered(task, pool, rouge1, client, **{"instruction": f"{SCRIPT} for {task}"} | more)


@pytest.fixture(scope="session")
def make_run() -> RunMaker:
    """Return a function that writes a run folder with what it is given, and nothing else."""

    def make(
        folder: Path,
        cells: Mapping[str, Sequence[dict[str, Any]]] | None = None,
        rounds: Sequence[Mapping[str, Any]] = (),
        truth: Mapping[str, Mapping[str, int]] | None = None,
        samples: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        **summary: Any,
    ) -> Path:
        (folder / "eval").mkdir(parents=True)
        config = RunConfig.build(settings or {})
        (folder / "config.toml").write_text(config.to_toml(), encoding="utf-8")
        write(folder / "manifest.json", {"format": 2})
        found = {name: cell_of(name, answers) for name, answers in (cells or {}).items()}
        means = {name: {key: value for key, value in cell["mean"].items() if key != "samples"}
                 for name, cell in found.items()}  # fmt: skip
        run = {"method": "fedrouter", "split": "dual", "clients": 2, "seed": 42, "metric": config.metric}
        run |= {"cell": next((name for name in found if name.startswith("all-")), None), "scores": means}
        run |= {"task_scores": {name: cell["per_task"] for name, cell in found.items()}, "seconds": {"train": 1.5}}
        Summary(**run | summary).save(folder)
        if truth is not None:
            write(folder / "truth.json", {"pools": truth, "clusters": {}})
        if samples is not None:
            write(folder / "samples.json", samples)
        if rounds:
            lines = "".join(json.dumps(record) + "\n" for record in rounds)
            (folder / "rounds.jsonl").write_text(lines, encoding="utf-8")
        for name, answers in (cells or {}).items():
            write(folder / "eval" / f"{name}.json", found[name])
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
    )


def entry(method: str, split: str, seed: int, values: Mapping[str, float], mib_up: int = 1) -> Entry:
    """A run with the given score in each of its cells; 'routing:data' is a score under another routing."""
    scores = []
    for key, mean in values.items():
        routing, _, data = key.rpartition(":")
        name = f"{method}/{routing}" if routing else method
        tasks = {NASTY: mean + 0.05, "plain": mean - 0.05}
        clients = {0: mean - 0.1, 1: mean + 0.1}
        scores.append(Score(name, split, seed, data, mean, 0.141, mean - 0.1, clients, tasks, f"{split}{seed}{data}"))
    cost = Cost(100, 2000, mib_up * 2**20, mib_up * 2**19)
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
