"""Studies: plans are read or refused in one line; what is done is not done again; claims are judged at the end."""

import json
from pathlib import Path

import pytest

from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.operations import study as studies
from fedrouter_sim.operations.study import PlannedRun, conclude, read_study, run_study
from fedrouter_sim.operations.train import Display

PLAN = """
title = "Two methods"
seeds = [1, 2]

[settings]
clients = 3
rounds = 1
local_steps = 2
batch_size = 2
examples_per_client = 12
test_examples_per_client = 3

[[runs]]
split = "dual"
methods = ["base", "fedavg"]

[[runs]]
split = "single"
methods = ["fedavg"]
seeds = [2, 3]
settings = { local_clusters = 1 }

[[claims]]
says = "fedavg is above the backbone"
method = "fedavg"
baseline = "base"
split = "dual"
test_data = "all"
least = 0.01
"""


def written(folder: Path, text: str = PLAN) -> Path:
    path = folder / "plan.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_plan_is_methods_by_splits_by_seeds_with_whole_seeds_first(tmp_path):
    study = read_study(written(tmp_path))
    assert study.title == "Two methods"
    assert [run.name for run in study.runs] == [
        "dual-base-seed1", "dual-fedavg-seed1",
        "dual-base-seed2", "dual-fedavg-seed2", "single-fedavg-seed2",
        "single-fedavg-seed3",
    ]  # fmt: skip
    last = study.runs[-1].config
    assert (last.seed, last.split, last.method, last.local_clusters, last.clients) == (3, "single", "fedavg", 1, 3)
    assert study.runs[0].config.local_clusters == RunConfig().local_clusters
    assert (study.claims[0].least, study.claims[0].paper) == (0.01, "")


def test_overrides_win_over_the_plan(tmp_path):
    assert {run.config.model for run in read_study(written(tmp_path), {"model": "mine"}).runs} == {"mine"}


@pytest.mark.parametrize("plan", ["default", "paper", "short", "smoke", "smollm2"])
def test_shipped_plans_are_readable_and_their_claims_are_about_planned_runs(plan):
    study = read_study(Path(__file__).parents[2] / "scripts" / "plans" / f"{plan}.toml")
    planned = {(run.config.split, run.config.method) for run in study.runs}
    assert study.claims
    for claim in study.claims:
        assert {(claim.split, claim.method), (claim.split, claim.baseline)} <= planned
        assert claim.test_data in ("own", "all")


def test_the_default_plan_has_five_seeds_for_every_judged_claim():
    study = read_study(Path(__file__).parents[2] / "scripts" / "plans" / "default.toml")
    for claim in study.claims:
        for method in (claim.method, claim.baseline):
            seeds = [r.config.seed for r in study.runs if (r.config.split, r.config.method) == (claim.split, method)]
            assert seeds == [111, 222, 333, 444, 555]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("clients = 3", "client = 3", "'client' is not a setting"),
        ("clients = 3", "clients = 'x'", "clients = 'x' must be of type int"),
        ("[settings]", "[setting]", "'setting' is no key of a plan"),
        ('methods = ["base", "fedavg"]', 'methods = "base"', "[[runs]] 1: methods = 'base' must be a list"),
        ('methods = ["base", "fedavg"]', 'methods = ["nope"]', "--method nope"),
        ('methods = ["base", "fedavg"]', 'methods = ["base", "base"]', "dual-base-seed1 is planned twice"),
        ('split = "dual"\nmethods', 'split = "double"\nmethods', "split = 'double': choose one of"),
        ("seeds = [1, 2]", "seeds = []", "seeds = [] must be a list of whole numbers"),
        ("seeds = [1, 2]", "seeds = [1.5]", "seeds = [1.5] must be a list of whole numbers"),
        ("least = 0.01", "least = 0", "must be above 0"),
        ("least = 0.01", "most = 1", "unexpected keyword argument 'most'"),
        ("least = 0.01", "", None),
        ("title", "= title", "not TOML"),
        ("clients = 3", "clients = 3\nseed = 5", "seed is no setting of a plan"),
        ('method = "fedavg"', 'method = "fedavh"', "is about fedavh on dual, which is not planned"),
        ('split = "dual"\ntest_data', 'split = "all"\ntest_data', "is about fedavg on all, which is not planned"),
        ('test_data = "all"', 'test_data = "al"', "test_data = 'al': choose one of all, own, drift, held-out"),
        ("least = 0.01", "least = inf", "must be above 0 and finite"),
        ("least = 0.01", "paper = 6.1", "paper = 6.1 must be a str"),
    ],
)
def test_a_wrong_plan_is_refused_in_one_line_that_names_it(tmp_path, old, new, said):
    assert old in PLAN
    path = written(tmp_path, PLAN.replace(old, new, 1))
    if said is None:
        assert read_study(path).claims[0].least == 1
        return
    with pytest.raises(UserError) as refused:
        read_study(path)
    assert said in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("key", ["runs", "claims"])
def test_a_plan_whose_tables_are_none_is_refused(tmp_path, key):
    others = {"runs": PLAN.index("[[runs]]"), "claims": PLAN.index("[[claims]]")}
    path = written(tmp_path, f"{key} = 3\n" + PLAN[: others[key]])
    with pytest.raises(UserError, match=rf"{key} = 3 must be tables, \[\[{key}\]\]$"):
        read_study(path)


def test_a_plan_that_is_not_there_or_empty_is_refused(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read_study(tmp_path / "none.toml")
    with pytest.raises(UserError, match=r"has no \[\[runs\]\]"):
        read_study(written(tmp_path, "seeds = [1]"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[studies.Study, Path]:
    folder = tmp_path_factory.mktemp("study")
    study = read_study(written(folder, PLAN.replace("[2, 3]", "[2]")))
    done = [planned.name for planned, _ in run_study(study, folder / "out", Display(), limit=2)]
    assert done == ["dual-base-seed1", "dual-fedavg-seed1"]
    return study, folder / "out"


def test_an_interrupted_study_goes_on_where_it_was_and_uses_one_backbone(finished, monkeypatch):
    study, out = finished
    studies._loaded.clear()
    loaded = []
    load = studies.Backbone
    monkeypatch.setattr(studies, "Backbone", lambda config: loaded.append(config) or load(config))
    stamps = {path: path.stat().st_mtime_ns for path in out.glob("*/summary.json")}
    done = [(planned.name, run.summary["seed"]) for planned, run in run_study(study, out, Display())]
    assert done == [("dual-base-seed2", 2), ("dual-fedavg-seed2", 2), ("single-fedavg-seed2", 2)]
    assert len(loaded) == 1 and len(stamps) == 2
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    assert study.pending(out) == []

    comparison, (judged,) = conclude(study, out)
    assert comparison.cells() == [("dual", "all"), ("dual", "own"), ("single", "all"), ("single", "own")]
    assert judged.gain is not None and judged.gain.log_ratio.seeds == 2
    assert comparison.differences == {
        "local_clusters": {str(out / run.name): run.config.local_clusters for run in study.runs}
    }


def test_a_run_beside_others_leaves_the_bytes_of_a_run_alone(finished, tmp_path):
    """The second method's embeddings and bare answers come from the cache of the first's."""
    study, out = finished
    planned = next(run for run in study.runs if run.name == "dual-fedavg-seed1")
    alone = studies.train(planned.config, tmp_path / "alone", overwrite=False, display=Display())
    for name in (
        "rounds.jsonl",
        "adapters/global/adapter_model.safetensors",
        "eval/all-none.json",
        "eval/all-fixed.json",
    ):
        assert (alone.folder / name).read_bytes() == (out / planned.name / name).read_bytes(), name


def test_a_run_of_other_settings_in_the_way_is_refused_by_name_and_value(finished):
    study, out = finished
    first = study.runs[0]
    other = PlannedRun(first.name, RunConfig.build(first.config.to_dict(), {"lora_targets": (), "lr": 0.5}))
    with pytest.raises(UserError, match=r"dual-base-seed1: was run with lr = 0.01, the plan says 0.5"):
        studies.Study("", (other,), ()).pending(out)


def test_a_run_whose_data_or_method_file_has_changed_is_refused(tmp_path):
    rows = [{"instruction": f"say {n}", "response": f"{n}", "task": "ab"[n % 2]} for n in range(40)]
    data, method = tmp_path / "rows.jsonl", tmp_path / "mine.py"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    method.write_text(
        "from fedrouter_sim.methods import Base\nclass Mine(Base):\n    name = 'mine'\n", encoding="utf-8"
    )
    plan = PLAN[: PLAN.index("[[runs]]")] + f"[[runs]]\nsplit = 'all'\nmethods = ['{method}:Mine']\nseeds = [1]\n"
    study = read_study(written(tmp_path, plan), {"data": str(data)})
    assert len(list(run_study(study, tmp_path / "out", Display()))) == 1
    assert study.pending(tmp_path / "out") == []
    method.write_text(method.read_text() + "# changed\n", encoding="utf-8")
    with pytest.raises(UserError, match="all-mine-seed1: the method has changed since it was run"):
        study.pending(tmp_path / "out")
    method.write_text(method.read_text().replace("# changed\n", ""), encoding="utf-8")
    data.write_text(data.read_text().replace("say 3", "tell 3"), encoding="utf-8")
    with pytest.raises(UserError, match="all-mine-seed1: the data has changed since it was run"):
        study.pending(tmp_path / "out")


def test_what_a_study_is_interrupted_in_leaves_no_run_folder(tmp_path, monkeypatch):
    study = read_study(written(tmp_path))

    class Stops(Display):
        def started(self, what: str, total: int | None = None) -> None:
            if what.startswith("answering"):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(run_study(study, tmp_path / "out", Stops()))
    assert list((tmp_path / "out").glob("*")) == []
    assert json.dumps([run.name for run in study.pending(tmp_path / "out")]).count("seed") == 6
