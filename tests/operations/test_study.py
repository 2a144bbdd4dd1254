"""A study is run: what is done is not done again, and claims are judged at the end."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from study_plans import PLAN, written

from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import MayPass, UserError
from fedrouter_sim.federation.observers import Display
from fedrouter_sim.operations import study as studies
from fedrouter_sim.operations.study import conclude, pending_runs, run_study
from fedrouter_sim.operations.train import train
from fedrouter_sim.studies.plan import PlannedRun, Study, read_study
from fedrouter_sim.studies.records import Records


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Path]:
    folder = tmp_path_factory.mktemp("study")
    study = read_study(written(folder, PLAN.replace("[2, 3]", "[2]")))
    done = [planned.name for planned, _ in run_study(study, folder / "out", train, Display(), limit=2)]
    assert done == ["dual-base-seed1", "dual-fedavg-seed1"]
    return study, folder / "out"


def test_an_interrupted_study_goes_on_where_it_was_and_uses_one_backbone(
    finished: tuple[Study, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    study, out = finished
    studies._loaded.clear()
    loaded: list[Any] = []
    load = studies.Backbone
    monkeypatch.setattr(studies, "Backbone", lambda config: loaded.append(config) or load(config))
    stamps = {path: path.stat().st_mtime_ns for path in out.glob("*/summary.json")}
    done = [(planned.name, run.summary.seed) for planned, run in run_study(study, out, train, Display())]
    assert done == [("dual-base-seed2", 2), ("dual-fedavg-seed2", 2), ("single-fedavg-seed2", 2)]
    assert len(loaded) == 1 and len(stamps) == 2
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    assert study.pending(out) == []

    comparison, (judged,) = conclude(study, out)
    assert comparison.cells() == [("dual", "own"), ("dual", "all"), ("single", "own"), ("single", "all")]
    assert judged.gain is not None and judged.gain.log_ratio.seeds == 2
    assert comparison.differences == {}  # of --local-clusters as well, which neither method reads


def test_runs_on_other_data_get_a_backbone_that_keeps_nothing_of_the_first(
    micro_config: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(studies, "_loaded", {})
    used: list[Any] = []
    for number, data in enumerate(("multitask", "multitask", "unseen")):
        planned = PlannedRun(str(number), micro_config(data=data))
        studies._run_one(lambda *_, backbone, **__: used.append(backbone), planned, tmp_path, Display())
    assert used[0] is used[1] is not used[2] and list(studies._loaded) == ["unseen"]


def test_a_run_beside_others_leaves_the_bytes_of_a_run_alone(finished: tuple[Study, Path], tmp_path: Path) -> None:
    """The second method's embeddings and bare answers come from the cache of the first's."""
    study, out = finished
    planned = next(run for run in study.runs if run.name == "dual-fedavg-seed1")
    alone = train(planned.config, tmp_path / "alone", overwrite=False, display=Display())
    for name in (
        "rounds.jsonl",
        "adapters/global/adapter_model.safetensors",
        "eval/all-none.json",
        "eval/all-fixed.json",
    ):
        assert (alone.folder / name).read_bytes() == (out / planned.name / name).read_bytes(), name


def test_what_a_study_is_interrupted_in_leaves_no_run_folder(tmp_path: Path) -> None:
    study = read_study(written(tmp_path))

    class Stops(Display):
        def started(self, what: str, total: int | None = None) -> None:
            if what.startswith("answering"):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(run_study(study, tmp_path / "out", train, Stops()))
    assert list((tmp_path / "out").glob("*")) == []
    assert study.pending(tmp_path / "out") == list(study.runs)


def test_a_study_goes_on_inside_the_run_it_was_interrupted_in(finished: tuple[Study, Path], tmp_path: Path) -> None:
    study, out = finished
    chosen = Study("One", tuple(run for run in study.runs if run.name == "dual-fedavg-seed1"), ())

    class Counts(Display):
        def __init__(self, most: int) -> None:
            self.steps, self._most = 0, most

        def stepped(self, loss: float) -> None:
            self.steps += 1
            if self.steps == self._most:
                raise KeyboardInterrupt

    first, second = Counts(study.runs[0].config.local_steps * study.runs[0].config.clients - 1), Counts(10_000)
    with pytest.raises(KeyboardInterrupt):
        list(run_study(chosen, tmp_path, train, first))
    assert chosen.pending(tmp_path) == list(chosen.runs)
    [(_, run)] = list(run_study(chosen, tmp_path, train, second))
    assert 0 < second.steps < run.summary.optimizer_steps
    for name in ("rounds.jsonl", "adapters/global/adapter_model.safetensors"):
        assert (run.folder / name).read_bytes() == (out / run.folder.name / name).read_bytes(), name


def test_a_study_by_another_metric_is_judged_by_it(finished: tuple[Study, Path], tmp_path: Path) -> None:
    """By loss the claim says that the method has less of it."""
    study, _ = finished
    chosen = [replace(run, config=replace(run.config, metric="loss")) for run in study.runs if "dual" in run.name][:2]
    by_loss = Study("By loss", tuple(chosen), study.claims)
    runs = dict(run_study(by_loss, tmp_path / "out", train, Display()))
    comparison, (judged,) = conclude(by_loss, tmp_path / "out")
    assert comparison.metric.name == "loss" and judged.gain is not None
    losses = {planned.config.method: run.summary.score_in("all-fixed", "loss") for planned, run in runs.items()}
    assert losses["base"] is not None and losses["fedavg"] is not None
    assert judged.gain.ratio.mean == pytest.approx(losses["base"] / losses["fedavg"])


def test_a_study_of_which_nothing_is_done_has_no_verdict(finished: tuple[Study, Path], tmp_path: Path) -> None:
    study, _ = finished
    comparison, (judged,) = conclude(study, tmp_path)
    assert (comparison.entries, judged.gain, judged.verdict) == ((), None, "not measured")


def test_a_run_that_is_refused_is_told_of_or_raised(tmp_path: Path) -> None:
    study = read_study(written(tmp_path, PLAN.replace("[2, 3]", "[2]")))
    chosen = Study("Two", study.runs[:2], ())

    def refusing(config: RunConfig, *given: Any, **more: Any) -> Any:
        if config.method == "base":
            raise UserError("--lr 0: too little")
        return train(config, *given, **more)

    heard: list[tuple[str, str]] = []

    def refused(planned: PlannedRun, error: UserError) -> None:
        heard.append((planned.name, str(error)))

    done = [planned.name for planned, _ in run_study(chosen, tmp_path / "out", refusing, Display(), refused=refused)]
    assert (done, heard) == (["dual-fedavg-seed1"], [("dual-base-seed1", "--lr 0: too little")])
    with pytest.raises(UserError, match="--lr 0: too little"):
        list(run_study(chosen, tmp_path / "out", refusing, Display()))


def test_what_may_pass_ends_the_study(tmp_path: Path) -> None:
    def full(*given: Any, **more: Any) -> Any:
        raise MayPass("the disk is full")

    study = read_study(written(tmp_path))
    with pytest.raises(MayPass):
        list(run_study(study, tmp_path / "out", full, Display(), refused=lambda *_: pytest.fail("went on")))


def test_a_run_without_scores_is_left_out_and_named(finished: tuple[Study, Path], tmp_path: Path) -> None:
    """Its evaluation failed, as by a metric of the user's own: it costs the others nothing."""
    study, out = finished
    copy = Path(shutil.copytree(out, tmp_path / "out"))
    name = study.runs[0].name
    shutil.rmtree(copy / name / "eval")
    comparison, _ = conclude(study, copy)
    assert name not in [entry.folder.name for entry in comparison.entries] and comparison.entries
    assert [note for note in comparison.notes if note.startswith(f"{copy / name}: was trained, and its evaluation")]
    records = Records(tmp_path / "records.jsonl")
    assert pending_runs(study, copy, records) == study.pending(copy) and name not in records.runs
