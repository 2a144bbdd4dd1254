"""Unseen texts in train, eval and route: several held-out tasks, what answers, what stands in the folder."""

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file, save_file

from fedrouter_sim.errors import UserError
from fedrouter_sim.evaluation.reliability import calibration_error
from fedrouter_sim.operations.aggregate import aggregate
from fedrouter_sim.operations.evaluate import evaluate
from fedrouter_sim.operations.route import BACKBONE, RoutedModel
from fedrouter_sim.operations.train import train
from fedrouter_sim.routing.router import TENSORS_NAME
from fedrouter_sim.runs.reader import Run
from fedrouter_sim.runs.summary import Summary

FAR = "∂∂∂∂ ∂∂ \x01\x02 ∂∂∂"


@pytest.fixture(scope="module")
def held_out(micro_config: Any, backbone: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two tasks, with two more held out."""
    config = micro_config(hold_out=("sum", "title"), tasks=2, rounds=1)
    return train(config, tmp_path_factory.mktemp("unseen") / "run", backbone=backbone).folder


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_held_out_tasks_are_told_from_the_others(held_out: Path) -> None:
    summary = Summary.load(held_out)
    assert summary.unseen_auroc is not None and 0 <= summary.unseen_auroc <= 1
    assert list(summary.unseen_auroc_per_task) == ["sum", "title"]
    mean = sum(summary.unseen_auroc_per_task.values()) / 2  # both have six samples
    assert summary.unseen_auroc == pytest.approx(mean)
    answers = lines(held_out / "eval" / "held-out-global.jsonl")
    assert {answer["task"] for answer in answers} == {"sum", "title"}
    assert all(0 <= answer["unseen"] < 1 for answer in answers)
    assert all(answer["unseen"] is None for answer in lines(held_out / "eval" / "all-none.jsonl"))


def test_eval_reports_it_where_it_has_both_sorts_of_samples(held_out: Path) -> None:
    summary = Summary.load(held_out)
    both = evaluate(held_out, routing=["global"], test_data=["all", "held-out"])
    assert both.unseen.auroc == pytest.approx(summary.unseen_auroc)
    assert both.unseen.per_task == pytest.approx(summary.unseen_auroc_per_task)
    assert evaluate(held_out, routing=["global"], test_data=["held-out"]).unseen.auroc is None


def reached(run: Path, factor: float) -> None:
    """Scale the reach of a run's router: with 0 all texts are unseen."""
    tensors = load_file(run / TENSORS_NAME)
    save_file(tensors | {"reach_of_all": tensors["reach_of_all"] * factor}, run / TENSORS_NAME)


def test_eval_under_another_answer_leaves_the_runs_own_cells(run_copy: Path) -> None:
    own = (run_copy / "eval" / "all-global.jsonl").read_bytes()
    reached(run_copy, 0)
    done = {
        unseen: evaluate(run_copy, test_data=["all"], routing=["global"], unseen=unseen)
        for unseen in ("answer", "bare", "mix")
    }
    assert (run_copy / "eval" / "all-global.jsonl").read_bytes() == own
    assert done["bare"].files == [run_copy / "eval" / "unseen-bare" / "all-global.json"]
    assert len(Run(run_copy).cells()) == len(list((run_copy / "eval").glob("*.json")))
    pools = {unseen: {answer.pool for answer in one.results[0].answers} for unseen, one in done.items()}
    assert pools["bare"] == {None} and pools["mix"] == pools["answer"] and None not in pools["mix"]
    bare = evaluate(run_copy, test_data=["all"], routing=["none"]).results[0]
    assert done["bare"].results[0].mean.values == bare.mean.values
    mixed = done["mix"].results[0].answers
    assert all(list(answer.weights.values()) == [0.5] for answer in mixed)
    losses = {name: [a.sample.loss for a in one.results[0].answers] for name, one in done.items()}
    assert losses["mix"] != losses["answer"] and losses["mix"] != losses["bare"]


def test_the_routers_confidence_is_judged_by_the_texts_that_it_sent_to_an_adapter(run_copy: Path) -> None:
    reached(run_copy, 0.8)
    truth = Run(run_copy).truth
    assert truth is not None
    [own, bare] = [
        evaluate(run_copy, test_data=["all"], routing=["global"], unseen=unseen).results[0]
        for unseen in ("answer", "bare")
    ]
    sent = [answer for answer in bare.answers if answer.pool is not None]
    assert 0 < len(sent) < len(bare.answers)
    right = [truth.majority_task(answer.pool or "") == answer.task for answer in sent]
    assert bare.routing_ece == calibration_error([answer.confidence for answer in sent], right) != own.routing_ece


def test_a_mix_leaves_the_answers_to_seen_texts_as_they_are(run_copy: Path) -> None:
    reached(run_copy, 0.8)
    answered, mixed = (
        evaluate(run_copy, test_data=["all"], routing=["global"], unseen=unseen).results[0].answers
        for unseen in ("answer", "mix")
    )
    seen = [(one, two) for one, two in zip(answered, mixed, strict=True) if not two.weights]
    assert 0 < len(seen) < len(mixed)
    # Batches are made of other texts, and may round their losses otherwise.
    assert all((one.pool, one.sample.answer) == (two.pool, two.sample.answer) for one, two in seen)
    assert [one.sample.loss for one, _ in seen] == pytest.approx([two.sample.loss for _, two in seen], rel=1e-4)


def test_route_says_how_unseen_a_text_is(run_copy: Path) -> None:
    reached(run_copy, 0)
    for unseen, task in (("bare", {BACKBONE}), ("answer", {"task_0", "task_1", "task_2", "task_3"}), (None, None)):
        routed = list(RoutedModel(run_copy, unseen=unseen).route(["11 + 12 = ?", FAR]))
        assert all(one.unseen is not None and one.unseen > 0.99 and one.is_unseen for one in routed)
        assert task is None or {one.task for one in routed} <= task
    (mixed,) = RoutedModel(run_copy, unseen="mix").answer([FAR])
    assert list(mixed.weights.values()) == [0.5] and mixed.answer is not None
    (bare,) = RoutedModel(run_copy, routing="none").route([FAR])
    assert bare.unseen is None and not bare.is_unseen


def test_what_cannot_tell_unseen_texts_says_so(
    run_copy: Path, micro_config: Any, backbone: Any, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"--unseen never: choose among answer, bare, mix"):
        list(RoutedModel(run_copy, unseen="never").route([FAR]))
    tensors = load_file(run_copy / TENSORS_NAME)
    del tensors["reach"], tensors["reach_of_all"]
    save_file(tensors, run_copy / TENSORS_NAME)
    with pytest.raises(UserError, match=r"--unseen bare: .* not calibrated"):
        evaluate(run_copy, unseen="bare")
    (routed,) = RoutedModel(run_copy).route([FAR])
    assert routed.unseen is None
    plain = train(micro_config(method="fedavg", rounds=1, local_steps=1), tmp_path / "fedavg", backbone=backbone)
    with pytest.raises(UserError, match=r"--unseen bare: .* has no router"):
        evaluate(plain.folder, unseen="bare")
    assert plain.summary.unseen_auroc is None


def test_the_same_tasks_aggregated_again_keep_their_reach(finished_run: Path, tmp_path: Path) -> None:
    aggregate(finished_run, tmp_path / "same")
    assert (tmp_path / "same" / TENSORS_NAME).read_bytes() == (finished_run / TENSORS_NAME).read_bytes()
    aggregate(finished_run, tmp_path / "three", tasks=3)
    assert Run(tmp_path / "three").router.reach is None  # type: ignore[union-attr]  # it has a router
