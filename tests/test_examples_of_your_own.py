"""The examples of `docs/extending.md`: each runs, does what it says, and is short."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedrouter_sim.config import RunConfig
from fedrouter_sim.examples.files import FILE_FORMATS
from fedrouter_sim.examples.reading import Reading
from fedrouter_sim.examples.record import Example
from fedrouter_sim.federation.observers import Display
from fedrouter_sim.operations.evaluate import evaluate
from fedrouter_sim.operations.route import RoutedModel
from fedrouter_sim.operations.train import Trained, train
from fedrouter_sim.partition.run_data import partition_data
from fedrouter_sim.runs.reader import Run

DOCS = Path(__file__).parents[1] / "docs"
EXAMPLES = [*sorted((DOCS / "examples").glob("*.py")), DOCS / "soft_router.py"]
Runner = Callable[..., Trained]


@pytest.fixture
def run(micro_config: Callable[..., RunConfig], backbone: Any, tmp_path: Path) -> Runner:
    def trained(**changes: Any) -> Trained:
        config = micro_config(rounds=1, local_steps=2, test_examples_per_client=2, **changes)
        return train(config, tmp_path / "run", True, Display(), backbone)

    return trained


def test_each_is_shorter_than_40_lines() -> None:
    assert len(EXAMPLES) == 6
    assert all(len(path.read_text(encoding="utf-8").splitlines()) < 40 for path in EXAMPLES)


def test_the_median_of_three_clients_is_that_of_the_middle(
    run: Runner, run_method: Callable[..., Any], micro_config: Callable[..., RunConfig]
) -> None:
    rule = f"{DOCS / 'examples' / 'median.py'}:Median"
    done = run(method="fedavg", clients=3, aggregation=rule)
    [update_of_each] = run_method("fedavg", clients=3, rounds=1, local_steps=2).heard.updates.values()
    key = sorted(update_of_each[0].adapter)[0]
    stacked = torch.stack([update.adapter[key] for update in update_of_each])
    assert torch.equal(Run(done.folder).adapter("global")[key], stacked.sort(dim=0).values[1])
    assert Run(done.folder).manifest["own_sha256"].keys() == {"aggregation"}


def test_the_skewed_split_halves_the_clients(micro_config: Callable[..., RunConfig]) -> None:
    split = f"{DOCS / 'examples' / 'skewed.py'}:Skewed"
    data = partition_data(micro_config(split=split, clients=3, option=("ratio=0.5",)))
    sizes = [len(client.train) for client in data.clients]
    assert sum(sizes) == 80 and sizes[0] > 1.8 * sizes[1] > 3 * sizes[2]


def test_the_metric_stands_first_and_the_others_are_kept(run: Runner) -> None:
    done = run(metric=f"{DOCS / 'examples' / 'contains.py'}:Contains")
    assert done.summary.metric == "contains"
    assert done.summary.score == np.mean(
        [np.mean([a.sample.reference.casefold() in a.sample.answer.casefold() for a in done.results[0].answers
                  if a.client == client]) for client in done.results[0].per_client]
    )  # fmt: skip
    of_labels = {"balanced_accuracy", "macro_f1"}
    others = {"rouge1", "rouge2", "rouge_l", "exact_match", "loss", *of_labels}
    assert {"contains", *others} == set(done.results[0].mean.values)
    again = evaluate(Run(done.folder), Display(), ("all",), ("global",))
    assert again.metric.name == "contains" and again.results[0].mean["contains"] == done.summary.score


def test_the_router_mixes_all_adapters_and_serves_what_it_was_scored_by(run: Runner) -> None:
    done = run(router=f"{DOCS / 'examples' / 'mixing.py'}:Mixing", option=("temperature=2",))
    answers = done.results[0].answers
    assert all(len(answer.weights) == 4 and np.isclose(sum(answer.weights.values()), 1) for answer in answers)
    served = list(RoutedModel(done.folder, routing="global").answer([answer.instruction for answer in answers]))
    assert [routed.answer for routed in served] == [answer.sample.answer for answer in answers]
    for routed, answer in zip(served, answers, strict=True):
        assert routed.weights == pytest.approx(answer.weights, abs=1e-6)


def test_the_file_format_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS / "examples"))
    rows = dict(FILE_FORMATS.rows)
    try:
        import psv

        assert FILE_FORMATS.class_of(".psv") is psv.Psv
        (tmp_path / "rows.psv").write_text("instruction|response|task\nsay, a|b|x\n", encoding="utf-8")
        assert Reading().file(tmp_path / "rows.psv") == (Example("say, a", "b", "x"),)
        with pytest.raises(ValueError, match="needs a name of its own"):
            FILE_FORMATS.add(psv.Psv)
    finally:
        FILE_FORMATS.rows.clear()
        FILE_FORMATS.rows.update(rows)
