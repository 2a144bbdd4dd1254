"""What a comparison reads of finished runs, by which metric, and what it refuses."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from run_folders import make_first_format

from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.evaluation.metrics import find_metric
from fedrouter_sim.federation.observers import Display
from fedrouter_sim.operations.evaluate import evaluate
from fedrouter_sim.operations.train import train
from fedrouter_sim.runs.reader import Run
from fedrouter_sim.studies.reading import open_comparison, read_entry

ConfigMaker = Callable[..., RunConfig]
ROUGE = find_metric("rouge1")


def show_first(run: Path, metric: str) -> None:
    """Have a run show another metric first."""
    path = run / "config.toml"
    path.write_text(path.read_text(encoding="utf-8").replace('metric = "rouge1"', f'metric = "{metric}"'))


def take_away(run: Path, metric: str) -> None:
    """Have no task of a run any score by a metric."""
    for path in (run / "eval").glob("*.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        for scores in (record["mean"], *record["per_client"].values(), *record["per_task"].values()):
            scores[metric] = None
        path.write_text(json.dumps(record), encoding="utf-8")


def _labels(run: Run) -> list[list[str]]:
    """Return the task of every training row, a list for each pool."""
    pools = run.truth.pools if run.truth else {}
    return [[task for task, count in counts.items() for _ in range(count)] for counts in pools.values()]


def test_a_row_that_trains_an_adapter_for_all_and_one_of_its_client_counts_once(
    micro_config: ConfigMaker, backbone: Any, tmp_path: Path
) -> None:
    quick = {"rounds": 1, "local_steps": 2, "test_examples_per_client": 1}
    folders = [tmp_path / method for method in ("ditto", "fedavg")]
    for folder in folders:
        train(micro_config(method=folder.name, **quick), folder, backbone=backbone)
    one, two = (read_entry(Run(folder), ROUGE).rows for folder in folders)
    assert one == two and sum(map(len, _labels(Run(folders[0])))) == 2 * sum(one.values())


def test_a_finished_run_is_read(finished_run: Path) -> None:
    run = Run(finished_run)
    found = read_entry(run, ROUGE)
    assert (found.folder, found.method, found.split, found.seed) == (finished_run, "fedrouter", "dual", 1)
    assert found.settings == run.config.to_dict()
    assert found.cost.optimizer_steps == run.summary.optimizer_steps == 32
    assert (found.cost.bytes_up, found.cost.bytes_down) == (run.summary.bytes_up, run.summary.bytes_down)
    assert run.truth is not None and sum(found.rows.values()) == sum(map(len, _labels(run)))
    assert (found.cost.tokens_trained, found.metric) == (run.summary.tokens_trained, "rouge1")
    assert found.wall_seconds == run.manifest["wall_seconds"] and found.backbone == run.backbone
    # The bare backbone's cell is there, and no method's own.
    assert (finished_run / "eval" / "all-none.json").exists()
    assert sorted((s.method, s.test_data) for s in found.scores) == [
        ("fedrouter", "all"), ("fedrouter", "own"), ("fedrouter/local", "all"), ("fedrouter/local", "own")
    ]  # fmt: skip
    [main] = [s for s in found.scores if (s.method, s.test_data) == ("fedrouter", "all")]
    record = json.loads((finished_run / "eval" / "all-global.json").read_text(encoding="utf-8"))
    by_client = {int(client): scores["rouge1"] for client, scores in record["per_client"].items()}
    mean = sum(by_client.values()) / 4
    assert main.per_client == by_client
    assert main.mean == pytest.approx(mean) == run.summary.score
    assert main.spread == pytest.approx(math.sqrt(sum((v - mean) ** 2 for v in by_client.values()) / 3))
    assert main.worst == min(by_client.values())
    assert main.per_task == run.summary.task_scores_in(run.summary.cell)
    assert main.samples == record["samples_sha256"]


def test_a_run_is_read_by_any_metric_that_it_was_scored_by(finished_run: Path, run_copy: Path) -> None:
    found = {name: open_comparison([finished_run], name) for name in (None, "rouge1", "rouge_l", "loss")}
    assert {name: one.metric.name for name, one in found.items()} == {
        None: "rouge1", "rouge1": "rouge1", "rouge_l": "rouge_l", "loss": "loss",
    }  # fmt: skip
    record = json.loads((finished_run / "eval" / "all-global.json").read_text(encoding="utf-8"))
    [main] = found["loss"].select("fedrouter", "dual", "all")
    losses = {int(client): scores["loss"] for client, scores in record["per_client"].items()}
    assert main.per_client == losses and main.worst == max(losses.values())  # the most loss
    assert main.mean == record["mean"]["loss"]
    assert main.per_task == {task: scores["loss"] for task, scores in record["per_task"].items()}
    take_away(run_copy, "exact_match")
    with pytest.raises(UserError, match=r"has no scores by --metric exact_match; take one of rouge1, rouge2, .*loss$"):
        open_comparison([run_copy], "exact_match")
    with pytest.raises(UserError, match="--metric rouge9: choose one of"):
        open_comparison([finished_run], "rouge9")
    show_first(run_copy, "loss")
    assert open_comparison([run_copy]).metric.name == "loss"
    assert open_comparison([run_copy]).differences == {}  # the metric is none of the settings that runs differ in


def test_a_metric_without_any_value_gives_way_to_the_default_with_a_note(run_copy: Path) -> None:
    show_first(run_copy, "exact_match")
    take_away(run_copy, "exact_match")
    found = open_comparison([run_copy])
    assert (found.metric.name, len(found.scores)) == ("rouge1", 4)
    [said] = found.notes
    assert said == f"{run_copy} has no score by exact_match, so the runs are compared by rouge1"
    assert open_comparison([run_copy], "loss").notes == ()


def test_options_are_of_the_metric_that_is_named(run_copy: Path) -> None:
    with pytest.raises(UserError, match="--option nearest=3: metric rouge1 has no such option; it takes none"):
        open_comparison([run_copy], option=("nearest=3",))


def test_runs_of_the_first_format_are_compared_with_new_ones(
    finished_run: Path, run_copy: Path, micro_config: ConfigMaker, backbone: Any, tmp_path: Path
) -> None:
    fixed = train(micro_config(method="local", rounds=1), tmp_path / "local", False, Display(), backbone).folder
    expected, found = open_comparison([finished_run, fixed]), open_comparison([make_first_format(run_copy), fixed])
    assert [one.scores for one in found.entries] == [one.scores for one in expected.entries]
    assert [one.cost for one in found.entries] == [one.cost for one in expected.entries]
    assert list(expected.differences) == ["rounds"]
    assert set(found.differences) == {"rounds"}  # that it shared nothing, and had one rate, matters to neither method


def test_cells_of_oracle_routing_and_of_given_data_are_no_methods_own(run_copy: Path, micro_data: Path) -> None:
    before = read_entry(Run(run_copy), ROUGE).scores
    evaluate(Run(run_copy), Display(), ("all",), ("oracle", "none"))
    evaluate(Run(run_copy), Display(), data=str(micro_data))
    assert "all-oracle.json" in {path.name for path in (run_copy / "eval").iterdir()}
    assert "given" in {cell.test_data for cell in Run(run_copy).cells()}
    assert read_entry(Run(run_copy), ROUGE).scores == before


def test_runs_are_compared_on_data_that_were_given_to_eval(
    finished_run: Path, run_copy: Path, micro_data: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.jsonl").write_text('{"instruction": "1 + 1 = ?", "response": "2"}\n', encoding="utf-8")
    for data in (str(micro_data), str(tmp_path / "mine.jsonl")):
        evaluate(Run(run_copy), Display(), (), ("global",), data)
    found = open_comparison([run_copy], data=str(micro_data))
    [score] = found.scores
    assert (score.method, score.test_data, found.cells()) == ("fedrouter", "given", [("dual", "given")])
    assert score.asked > open_comparison([run_copy], data=str(tmp_path / "mine.jsonl")).scores[0].asked == 1
    with pytest.raises(UserError, match=r"has no scores to compare; `fedrouter-sim eval .* --data .*` makes them"):
        open_comparison([run_copy, finished_run], data=str(micro_data))
    with pytest.raises(UserError, match=r"has no scores to compare; .* --data multitask"):
        open_comparison([run_copy], data="multitask")


def test_finished_runs_are_compared(
    finished_run: Path, run_copy: Path, micro_config: ConfigMaker, backbone: Any, tmp_path: Path
) -> None:
    fixed = train(micro_config(method="local", rounds=1), tmp_path / "local", False, Display(), backbone).folder
    for path, rouge1 in ((run_copy / "eval" / "all-global.json", 0.3), (fixed / "eval" / "all-fixed.json", 0.2)):
        record = json.loads(path.read_text(encoding="utf-8"))
        record["mean"]["rouge1"] = rouge1
        path.write_text(json.dumps(record), encoding="utf-8")
    found = open_comparison([run_copy, fixed])
    assert found.methods() == ["fedrouter", "fedrouter/local", "local"]
    assert list(found.differences) == ["rounds"]
    gain = found.gain("fedrouter", "local", "dual", "all")
    assert gain is not None
    assert (gain.ratio.mean, gain.ratio.low) == (pytest.approx(1.5), None)
    with pytest.raises(UserError, match="are both fedrouter on dual with seed 1"):
        open_comparison([finished_run, run_copy])
    path = fixed / "eval" / "all-fixed.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"samples_sha256": "0"}))
    with pytest.raises(UserError, match="answered different test samples in the cell 'all' of dual, seed 1"):
        open_comparison([finished_run, fixed])


def test_what_cannot_be_compared_is_refused(run_copy: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such run folder"):
        open_comparison([tmp_path / "nowhere"])
    path = run_copy / "eval" / "all-global.json"
    text = path.read_text(encoding="utf-8")
    for damaged in ("", "[]", "{}", json.dumps(json.loads(text) | {"per_client": {"x": 1}})):
        path.write_text(damaged, encoding="utf-8")
        with pytest.raises(UserError, match=r"all-global\.json: .*; evaluate or train the run anew$") as caught:
            read_entry(Run(run_copy), ROUGE)
        assert "\n" not in str(caught.value)
    old = {key: value for key, value in json.loads(text).items() if key != "samples_sha256"}
    path.write_text(json.dumps(old), encoding="utf-8")
    with pytest.raises(UserError, match="damaged"):
        read_entry(Run(run_copy), ROUGE)
    for path in (run_copy / "eval").iterdir():
        path.unlink()
    with pytest.raises(UserError, match="has no scores to compare; `fedrouter-sim eval"):
        read_entry(Run(run_copy), ROUGE)


def test_token_loss_and_what_claims_ask_for_stand_beside(finished_run: Path) -> None:
    found = open_comparison([finished_run], also=["rouge_l", "rouge1", ""])
    assert list(found.beside) == ["loss", "rouge_l"]
    assert [view.metric.name for view in found.views] == ["rouge1", "loss"]
    assert found.by_loss is not None
    assert found.by_loss.scores == open_comparison([finished_run], "loss").scores
    assert [view.metric.name for view in open_comparison([finished_run], "loss").views] == ["loss"]


def test_other_draws_of_the_test_samples_scatter_around_the_score(finished_run: Path, run_copy: Path) -> None:
    for view in open_comparison([finished_run]).views:
        [main] = view.select("fedrouter", "dual", "all")
        record = json.loads((finished_run / "eval" / "all-global.json").read_text(encoding="utf-8"))
        assert main.asked == record["mean"]["samples"]
        assert main.draws is not None and abs(float(main.draws.mean()) - main.mean) < 0.05 * main.mean + 0.01
        over = view.over_samples("fedrouter", "dual", "all")
        assert over is not None and over.samples == main.asked and over.low <= main.mean <= over.high
    for path in (run_copy / "eval").glob("*.jsonl"):
        path.unlink()  # a folder that was passed on without the single answers
    assert open_comparison([run_copy]).over_samples("fedrouter", "dual", "all") is None
