"""`aggregate`: the same choices give the same bytes; other choices, what a hand computes."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from run_folders import make_first_format
from safetensors.numpy import load_file

from fedrouter_sim.adapters.folders import load_adapter
from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.observers import Display
from fedrouter_sim.operations.aggregate import Aggregated, aggregate
from fedrouter_sim.operations.evaluate import evaluate
from fedrouter_sim.operations.train import train
from fedrouter_sim.operations.verify import SAME, verify
from fedrouter_sim.runs.reader import Run

ConfigMaker = Callable[..., RunConfig]
BytesOf = Callable[[Path], dict[str, bytes]]
Same = Callable[[Adapter, Adapter], bool]


def again(
    run: Path, out: Path, tasks: int | None = None, seed: int | None = None, normalize: str | None = None
) -> Aggregated:
    return aggregate(Run(run), out, tasks=tasks, seed=seed, normalize=normalize)


@pytest.fixture(scope="module")
def partial_run(micro_config: ConfigMaker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in which a quarter of the clients took part in a round, so that tasks went without updates."""
    config = micro_config(participation=0.25, rounds=4)
    return train(config, tmp_path_factory.mktemp("partial") / "run", False, Display()).folder


@pytest.fixture(params=["finished", "half", "quarter", "median", "per-group"])
def any_run(
    request: pytest.FixtureRequest, finished_run: Path, partial_run: Path, micro_config: ConfigMaker, tmp_path: Path
) -> Path:
    """Runs of full and of partial participation, of a rule that guards against single updates, and of a budget for each
    group."""
    if request.param == "median":
        return train(micro_config(aggregation="median"), tmp_path / "median", False, Display()).folder
    if request.param == "per-group":
        return train(micro_config(budget="per-group"), tmp_path / "per-group", False, Display()).folder
    if request.param == "half":
        return train(micro_config(participation=0.5, rounds=3), tmp_path / "half", False, Display()).folder
    return finished_run if request.param == "finished" else partial_run


def test_the_runs_own_choices_give_its_own_bytes(any_run: Path, tmp_path: Path, trained_bytes: BytesOf) -> None:
    done = again(any_run, tmp_path / "again")
    first, second = trained_bytes(any_run), trained_bytes(done.folder)
    del first["rounds.jsonl"]
    assert second == first
    for name in ("config.toml", "pools.json", "truth.json", "clients.safetensors"):
        assert (done.folder / name).read_bytes() == (any_run / name).read_bytes()
    assert sum(done.updates_per_task) == sum(update.round == done.round for update in Run(any_run).updates())


def test_back_and_forth_gives_the_first_run_again(finished_run: Path, tmp_path: Path, trained_bytes: BytesOf) -> None:
    two = again(finished_run, tmp_path / "two", tasks=2, seed=9).folder
    same_two = again(two, tmp_path / "same")  # the seed 9 is remembered
    assert Run(same_two.folder).clustering_seed == 9
    assert trained_bytes(same_two.folder) == trained_bytes(two)
    four = again(two, tmp_path / "four", tasks=4, seed=1).folder
    first, last = trained_bytes(finished_run), trained_bytes(four)
    del first["rounds.jsonl"]
    # Of two tasks there was no reach, and without clients there is none again.
    was, now = Run(finished_run).router, Run(four).router
    assert {name for name in first if first[name] != last[name]} == {"router.json", "router.safetensors"}
    assert first.keys() == last.keys() and was is not None and now is not None and now.reach is None
    assert np.array_equal(was.centroids, now.centroids)


def test_adapters_of_fewer_tasks_that_share_nothing_are_weighted_means(
    micro_config: ConfigMaker, tmp_path: Path, weighted_mean: Callable[..., dict[str, np.ndarray]]
) -> None:
    trained = train(micro_config(sharing="none"), tmp_path / "run").folder
    done = again(trained, tmp_path / "two", tasks=2)
    run = Run(done.folder)
    assert [pool.name for pool in run.pools] == ["task_0", "task_1"]
    assert sorted(path.name for path in (done.folder / "adapters").iterdir()) == ["task_0", "task_1"]
    centroids = load_file(done.folder / "router.safetensors")["task_centroids"]
    members: dict[str, list[tuple[Adapter, int]]] = {"task_0": [], "task_1": []}
    for folder in (trained / "updates").glob("*/*"):
        local = load_file(folder / "centroids.safetensors")
        middle = np.average(local["centroids"], axis=0, weights=local["sizes"])
        task = int(np.linalg.norm(centroids - middle, axis=1).argmin())
        examples = json.loads((folder / "update.json").read_text(encoding="utf-8"))["examples"]
        members[f"task_{task}"].append((load_adapter(folder), examples))
    assert done.updates_per_task == [len(found) for found in members.values()]
    assert min(done.updates_per_task) > 1
    assert done.inherited == {}
    for task, found in members.items():
        expected = weighted_mean([adapter for adapter, _ in found], [examples for _, examples in found])
        for key, value in run.adapter(task).items():
            np.testing.assert_allclose(value.numpy(), expected[key], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("tasks", [3, 4, 5])
def test_a_task_without_updates_inherits(partial_run: Path, tmp_path: Path, same: Same, tasks: int) -> None:
    done = again(partial_run, tmp_path / "again", tasks=tasks)
    old, new = Run(partial_run), Run(done.folder)
    assert old.router is not None
    assert new.router is not None
    without = [f"task_{task}" for task, count in enumerate(done.updates_per_task) if not count]
    assert without
    assert list(done.inherited) == without
    for task, parent in done.inherited.items():
        distances = np.linalg.norm(old.router.centroids - new.router.centroids[int(task[5:])], axis=1)
        assert parent == f"task_{distances.argmin()}"
        assert same(new.adapter(task), old.adapter(parent))
        assert tasks != 4 or task == parent


def test_only_the_last_rounds_updates_count(partial_run: Path, tmp_path: Path, same: Same) -> None:
    updates = list(Run(partial_run).updates())
    done = again(partial_run, tmp_path / "one", tasks=1)
    assert done.round == max(update.round for update in updates) == 4
    last = [update for update in updates if update.round == 4]
    assert 0 < len(last) < len(updates)
    assert done.updates_per_task == [len(last)]


def test_standardised_centroids_can_go_back_to_raw_ones(finished_run: Path, tmp_path: Path) -> None:
    done = again(finished_run, tmp_path / "raw", normalize="none")
    old, new = Run(finished_run), Run(done.folder)
    assert old.router is not None and old.archive is not None
    assert new.router is not None and new.archive is not None
    assert (new.router.normalizer.kind, new.config.normalize) == ("none", "none")
    for before, after in zip(old.archive.clients, new.archive.clients, strict=True):
        np.testing.assert_allclose(after.centroids, old.router.normalizer.invert(before.centroids), rtol=1e-5)
    for update in new.updates():
        expected, _ = new.archive.local_clusters(update.client, update.clusters)
        np.testing.assert_array_equal(load_file(update.folder / "centroids.safetensors")["centroids"], expected)


@pytest.mark.parametrize(
    ("was", "wanted"),
    [("standardize", "l2"), ("none", "standardize"), ("none", "l2"), ("l2", "none"), ("l2", "standardize")],
)
def test_other_normalisations_are_refused(
    micro_config: ConfigMaker, finished_run: Path, tmp_path: Path, was: str, wanted: str
) -> None:
    run = finished_run
    if was != "standardize":
        config = micro_config(normalize=was, rounds=1, local_steps=2, test_examples_per_client=1)
        run = train(config, tmp_path / was, False, Display()).folder
    with pytest.raises(UserError, match=rf"--normalize {wanted}: .* under '{was}' .*train with") as caught:
        again(run, tmp_path / "out", normalize=wanted)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_seed_changes_the_clustering_alone(run_copy: Path, tmp_path: Path) -> None:
    done = again(run_copy, tmp_path / "seeded", seed=77)
    run = Run(done.folder)
    assert (run.config.seed, run.clustering_seed) == (1, 77)
    result = evaluate(run, Display(), ("own",), ("none",)).results[0]
    before = evaluate(Run(run_copy), Display(), ("own",), ("none",)).results[0]
    assert [(a.client, a.instruction) for a in result.answers] == [(a.client, a.instruction) for a in before.answers]


def test_a_seed_that_no_run_could_have_is_refused(run_copy: Path, tmp_path: Path) -> None:
    for seed in (-1, 2**63):
        with pytest.raises(UserError, match=rf"--seed {seed}: must be"):
            again(run_copy, tmp_path / "seeded", seed=seed)
    assert not (tmp_path / "seeded").exists()


def test_an_aggregated_run_can_be_evaluated(finished_run: Path, tmp_path: Path) -> None:
    done = again(finished_run, tmp_path / "two", tasks=2)
    summary, before = done.summary, Run(finished_run).summary
    assert Run(done.folder).summary == summary
    assert (summary.score, summary.cell, summary.scores, summary.task_scores) == (None, None, {}, {})
    assert summary.routing_accuracy is None and summary.ari_global is not None
    for name in ("method", "split", "clients", "seed", "metric", "bytes_up", "bytes_down", "optimizer_steps"):
        assert getattr(summary, name) == getattr(before, name), name
    results = {result.cell.name: result for result in evaluate(Run(done.folder), Display()).results}
    assert set(results) == {"all-global", "all-local", "all-none", "all-oracle", "own-global", "own-local"}
    found = Run(done.folder).summary
    assert found.score == results["all-global"].mean["rouge1"] and found.routing_accuracy is not None
    assert set(found.scores) == set(results) and found.ari_global == summary.ari_global
    assert {check.state for check in verify(done.folder)} == {SAME}
    assert {a.pool for a in results["all-global"].answers} == {"task_0", "task_1"}


def test_what_cannot_be_aggregated_is_refused(micro_config: ConfigMaker, run_copy: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--tasks 99 is more than"):
        again(run_copy, tmp_path / "out", tasks=99)
    with pytest.raises(UserError, match=r"--out .*: is there already"):
        again(run_copy, run_copy)
    record = sorted(run_copy.glob("updates/*/*/update.json"))[-1]
    whole = json.loads(record.read_text(encoding="utf-8"))
    record.write_text(json.dumps(whole | {"clusters": []}), encoding="utf-8")
    with pytest.raises(
        UserError, match=rf"^{record.parent}: names no local cluster of its client; train the run anew$"
    ):
        again(run_copy, tmp_path / "out")
    shutil.rmtree(run_copy / "updates")
    with pytest.raises(UserError, match="holds no updates"):
        again(run_copy, tmp_path / "out")
    fedavg = train(micro_config(method="fedavg", rounds=1), tmp_path / "fedavg", False, Display()).folder
    with pytest.raises(UserError, match="method fedavg has no router"):
        again(fedavg, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_whose_clients_drifted_is_refused(micro_config: ConfigMaker, tmp_path: Path) -> None:
    small = {"rounds": 2, "local_steps": 1, "test_examples_per_client": 1, "drift_to": "single"}
    drifted = train(micro_config(drift_at=2, **small), tmp_path / "drifted", False, Display()).folder
    with pytest.raises(UserError, match=r"its clients drifted in round 2, .* aggregate a run without drift"):
        again(drifted, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    after = train(micro_config(drift_at=3, **small), tmp_path / "after", False, Display()).folder
    assert again(after, tmp_path / "fine").round == 2  # only its test data drifted


def test_a_run_is_not_replaced_by_its_own_aggregate(run_copy: Path, tmp_path: Path) -> None:
    """Its scores and rounds would be lost."""
    link = tmp_path / "link"
    link.symlink_to(run_copy)
    files = {path: path.read_bytes() for path in sorted(run_copy.rglob("*")) if path.is_file()}
    for out in (run_copy, link, run_copy / "eval" / ".."):
        with pytest.raises(UserError, match=r"--out .*: is the run that is aggregated, and would be lost"):
            aggregate(Run(run_copy), out, True)
    assert {path: path.read_bytes() for path in sorted(run_copy.rglob("*")) if path.is_file()} == files


MEDIAN = """
import torch

from fedrouter_sim import Aggregation


class Median(Aggregation):
    name = "own-median"

    def __init__(self, rank):
        super().__init__(rank)
        self.adapters = []

    def add(self, adapter, weight):
        self.adapters.append(adapter)

    def result(self):
        return {key: torch.stack([one[key] for one in self.adapters]).median(0).values for key in self.adapters[0]}
"""


def test_the_updates_are_averaged_by_the_rule_that_is_asked_for(finished_run: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MEDIAN, encoding="utf-8")
    median = f"{tmp_path / 'mine.py'}:Median"
    done = {
        rule: aggregate(finished_run, tmp_path / f"by-{number}", tasks=1, aggregation=rule)
        for number, rule in enumerate((None, "mean", "product", median))
    }
    assert [one.aggregation for one in done.values()] == ["mean", "mean", "product", median]
    assert [bool(one.truncation_errors) for one in done.values()] == [False, False, True, False]
    found = {rule: Run(one.folder).adapter("task_0") for rule, one in done.items()}
    updates = [load_adapter(update.folder) for update in Run(finished_run).updates()]
    for key, value in found[median].items():
        stacked = torch.stack([update[key] for update in updates])
        assert torch.equal(value, stacked.sort(0).values[(len(updates) - 1) // 2])
        assert torch.equal(found["mean"][key], found[None][key])
        assert not torch.equal(found["mean"][key], found["product"][key])
    for rule in ("factors", "mode"):
        with pytest.raises(UserError, match=f"--aggregation {rule}: choose one of mean, product"):
            aggregate(finished_run, tmp_path / "out", aggregation=rule)
    assert not (tmp_path / "out").exists()


def test_options_of_a_rule_are_given_with_it(finished_run: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(MEDIAN.replace("rank):", "rank, power: float):").replace(".values", ".values * self.power"))
    path.write_text(path.read_text().replace("self.adapters = []", "self.adapters, self.power = [], power"))
    rule = f"{path}:Median"
    once, twice = (
        aggregate(finished_run, tmp_path / power, tasks=1, aggregation=rule, option=(f"power={power}",))
        for power in ("1", "2")
    )
    assert Run(twice.folder).config.option == ("power=2",)
    for key, value in Run(once.folder).adapter("task_0").items():
        assert torch.equal(2 * value, Run(twice.folder).adapter("task_0")[key])
    # The run remembers them; what is given again wins.
    thrice = aggregate(twice.folder, tmp_path / "thrice", option=("power=3",))
    assert Run(aggregate(twice.folder, tmp_path / "again").folder).config.option == ("power=2",)
    assert Run(thrice.folder).config.option == ("power=3",)
    with pytest.raises(UserError, match=r"--option p=1: aggregation rule .*:Median has no such option; it has .*power"):
        aggregate(finished_run, tmp_path / "out", aggregation=rule, option=("p=1",))
    with pytest.raises(UserError, match="--option power=2: aggregation rule mean has no such option; it takes none"):
        aggregate(finished_run, tmp_path / "out", option=("power=2",))


def test_a_folder_of_the_first_format_is_aggregated_as_a_new_one(
    micro_config: ConfigMaker, tmp_path: Path, trained_bytes: BytesOf
) -> None:
    trained = train(micro_config(sharing="none"), tmp_path / "run").folder
    new = again(trained, tmp_path / "new", tasks=3)
    old = again(make_first_format(trained), tmp_path / "old", tasks=3)
    one, other = trained_bytes(old.folder), trained_bytes(new.folder)
    assert one.keys() == other.keys()
    assert {Path(name).name for name in one if one[name] != other[name]} == {"update.json"}  # the pool is newer
    assert (old.folder / "clients.safetensors").read_bytes() == (new.folder / "clients.safetensors").read_bytes()
    assert Run(old.folder).manifest["format"] == 2
    assert old.summary.bytes_up == new.summary.bytes_up


def test_a_run_is_aggregated_by_its_own_rule(
    micro_config: Callable[..., RunConfig], tmp_path: Path, trained_bytes: Callable[[Path], dict[str, bytes]]
) -> None:
    run = train(micro_config(rounds=1, aggregation="product"), tmp_path / "run").folder
    again = aggregate(run, tmp_path / "again")
    assert again.aggregation == Run(again.folder).config.aggregation == "product"
    before, after = trained_bytes(run), trained_bytes(again.folder)
    assert {name: data for name, data in before.items() if name != "rounds.jsonl"} == after
    by_mean = aggregate(run, tmp_path / "mean", aggregation="mean")
    assert Run(by_mean.folder).config.aggregation == "mean" and trained_bytes(by_mean.folder) != after
