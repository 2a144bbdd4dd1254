"""The summary of a run: what cells decide, what comes back, and the form of older runs."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest
from run_folders import make_first_format, read, write

from fedrouter_sim.errors import UserError
from fedrouter_sim.evaluation.scores import Cell, CellResult, Scores
from fedrouter_sim.evaluation.truth import Agreement
from fedrouter_sim.federation.privacy.budget import Account, Release
from fedrouter_sim.runs.summary import Summary


def result(test_data: str, routing: str, rouge1: float, accuracy: float | None = None) -> CellResult:
    one = Scores(4, {"rouge1": rouge1, "exact_match": None, "loss": 2 * rouge1})
    return CellResult(Cell(test_data, routing), one, 0, {0: one}, {"sum": one}, accuracy, {}, "", ())


RESULTS = [
    result("own", "global", 0.1, 0.5), result("all", "global", 0.2, 0.75), result("all", "local", 0.3, 0.25),
    result("all", "none", 0.4),
]  # fmt: skip
SUMMARY = Summary("fedrouter", "dual", 4, 1, **Summary.of_results(RESULTS), ari_local=1.0, bytes_up=9)


def test_the_first_cell_on_all_tasks_is_shown_first() -> None:
    assert (SUMMARY.cell, SUMMARY.routing_accuracy) == ("all-global", 0.75)
    assert list(SUMMARY.scores) == ["own-global", "all-global", "all-local", "all-none"]
    assert SUMMARY.scores["all-local"] == {"rouge1": 0.3, "exact_match": None, "loss": 0.6}
    assert SUMMARY.task_scores["all-none"]["sum"]["rouge1"] == 0.4


def test_scores_are_asked_by_cell_and_metric() -> None:
    assert SUMMARY.score == SUMMARY.score_in("all-global") == 0.2
    assert SUMMARY.score_in("own-global", "loss") == 0.2
    assert SUMMARY.bare_cell == "all-none" and SUMMARY.score_in(SUMMARY.bare_cell) == 0.4
    assert SUMMARY.score_in("all-global", "exact_match") is None
    assert SUMMARY.score_in("all-global", "absent") is SUMMARY.score_in("absent") is SUMMARY.score_in(None) is None
    assert SUMMARY.task_scores_in("all-global") == {"sum": 0.2}
    assert SUMMARY.task_scores_in("all-global", "loss") == {"sum": 0.4}
    assert SUMMARY.task_scores_in(None) == SUMMARY.task_scores_in("absent") == {}
    by_loss = replace(SUMMARY, metric="loss")
    assert (by_loss.score, by_loss.task_scores_in("all-none")) == (0.4, {"sum": 0.8})


def test_without_a_cell_on_all_tasks_none_is_shown_first() -> None:
    own = Summary("local", "dual", 4, 1, **Summary.of_results(RESULTS[:1]))
    assert (own.cell, own.score, own.routing_accuracy) == (None, None, None)
    assert own.score_in("own-global") == 0.1


def test_a_run_that_is_aggregated_again_keeps_what_needs_no_answers() -> None:
    new = SUMMARY.without_scores(Agreement(ari_global=0.5), 77, 3)
    assert (new.cell, new.score, new.scores, new.task_scores, new.routing_accuracy) == (None, None, {}, {}, None)
    assert (new.ari_local, new.ari_global, new.peak_memory_bytes) == (None, 0.5, 77)
    assert (new.method, new.clients, new.bytes_up) == ("fedrouter", 4, 9)


def test_a_run_that_is_evaluated_again_has_the_new_scores_and_keeps_what_needs_no_answers() -> None:
    old = replace(SUMMARY.without_scores(Agreement(ari_global=0.5), 77, 3), truncated={"train": 4, "test": 9})
    new = old.with_scores([result("all", "global", 0.25, 0.75), result("all", "none", 0.125)], cut=2)
    assert (new.cell, new.score, new.routing_accuracy) == ("all-global", 0.25, 0.75)
    assert new.score_in("all-none") == 0.125
    assert (new.ari_global, new.bytes_up, new.truncated) == (0.5, 9, {"train": 4, "test": 2})


def test_a_summary_comes_back_as_it_was(tmp_path: Path) -> None:
    SUMMARY.save(tmp_path)
    assert Summary.load(tmp_path) == SUMMARY
    stored = asdict(SUMMARY)
    assert stored.pop("privacy") is None  # a run without privacy says nothing of it
    assert read(tmp_path / "summary.json") == SUMMARY.to_dict() == stored


def test_what_a_newer_version_adds_is_left_alone_and_what_is_missing_has_its_default(tmp_path: Path) -> None:
    few = {"method": "fedavg", "split": "all", "clients": 2, "seed": 3, "scores": {}, "of_the_future": 9}
    write(tmp_path / "summary.json", few)
    assert Summary.load(tmp_path) == Summary("fedavg", "all", 2, 3)


@pytest.mark.parametrize("text", ["", "{", "[1]", "{}", '{"scores": {}}', '{"rouge1_per_cell": 3}'])
def test_a_damaged_summary_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "summary.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"summary\.json: ") as caught:
        Summary.load(tmp_path)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"summary\.json: not readable .* is .* a run folder of fedrouter-sim\?"):
        Summary.load(tmp_path / "nowhere")


OLD = {
    "method": "fedrouter", "split": "dual", "clients": 4, "seed": 1, "rouge1": 0.2, "rouge1_per_task": {"sum": 0.25},
    "rouge1_base": 0.1, "rouge1_base_per_task": {"sum": 0.05}, "routing_accuracy": 0.75, "ari_local": 1.0,
    "nmi_local": 1.0, "ari_global": 0.5, "nmi_global": 0.5, "bytes_up": 9, "bytes_down": 8, "optimizer_steps": 7,
    "tokens_trained": 6, "truncated": {"train": 0, "test": 1}, "seconds": {"total": 1.5}, "peak_memory_bytes": 5,
    "rouge1_per_cell": {"own-global": 0.3, "all-global": 0.2, "all-oracle": 0.4, "all-none": 0.1},
}  # fmt: skip


def test_a_summary_of_the_first_format_is_read(tmp_path: Path) -> None:
    write(tmp_path / "summary.json", OLD)
    found = Summary.load(tmp_path)
    assert (found.metric, found.cell, found.score, found.routing_accuracy) == ("rouge1", "all-global", 0.2, 0.75)
    assert {cell: found.score_in(cell) for cell in found.scores} == OLD["rouge1_per_cell"]
    assert found.task_scores_in("all-global") == {"sum": 0.25}
    assert found.task_scores_in(found.bare_cell) == {"sum": 0.05}
    assert found.score_in("all-global", "loss") is None  # only one metric was kept
    kept = ("method", "split", "clients", "seed", "ari_local", "ari_global", "bytes_up", "bytes_down")
    kept += ("optimizer_steps", "tokens_trained", "truncated", "seconds", "peak_memory_bytes")
    assert all(getattr(found, key) == OLD[key] for key in kept)


def test_a_summary_of_the_first_format_without_scores_or_labels_is_read(tmp_path: Path) -> None:
    nothing = dict.fromkeys(key for key in OLD if key.startswith(("rouge1", "ari", "nmi", "routing")))
    write(tmp_path / "summary.json", OLD | nothing)
    found = Summary.load(tmp_path)
    assert (found.cell, found.score, found.scores, found.task_scores) == (None, None, {}, {})
    write(tmp_path / "summary.json", OLD | {"rouge1_per_task": None, "rouge1_base_per_task": None})
    assert Summary.load(tmp_path).score == 0.2 and Summary.load(tmp_path).task_scores == {}


def test_the_old_form_of_a_finished_run_says_the_same(run_copy: Path, finished_run: Path) -> None:
    make_first_format(run_copy)
    assert set(read(run_copy / "summary.json")) == {*OLD, "routing_ece"}
    old, new = Summary.load(run_copy), Summary.load(finished_run)
    newer = ("scores", "task_scores", "label_tasks", "tasks_found")
    same = {key: value for key, value in asdict(new).items() if key not in newer}
    assert same.items() <= asdict(old).items()
    assert {cell: old.score_in(cell) for cell in new.scores} == {cell: new.score_in(cell) for cell in new.scores}


def test_what_privacy_was_spent_comes_back(tmp_path: Path) -> None:
    account = Account(
        3.9, 1e-5, 4.0, 1.0, (Release("updates", 1.5, 0.5, 8, 0.7), Release("centroids", 2.5, 1.0, 1, 0.3))
    )
    private = replace(SUMMARY, privacy=account)
    private.save(tmp_path)
    assert Summary.load(tmp_path) == private
