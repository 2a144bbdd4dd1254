"""Plans of studies: read or refused in one line, and what of them is done already."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from run_folders import make_first_format
from study_plans import PLAN, written

from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.observers import Display
from fedrouter_sim.operations.study import run_study
from fedrouter_sim.operations.train import train
from fedrouter_sim.runs.entries import check_names
from fedrouter_sim.runs.reader import Run
from fedrouter_sim.studies.comparison import Cost, Entry, compare
from fedrouter_sim.studies.finished import Origin, Origins
from fedrouter_sim.studies.naming import portable
from fedrouter_sim.studies.plan import PlannedRun, Study, read_study
from fedrouter_sim.studies.records import Record, Records

PLANS = Path(__file__).parents[2] / "scripts" / "plans"

ConfigMaker = Callable[..., RunConfig]

NO_COST = Cost(0, 0, 0, 0)


def test_a_plan_is_methods_by_splits_by_seeds_with_whole_seeds_first(tmp_path: Path) -> None:
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


def test_a_plan_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = written(tmp_path)
    plain = read_study(path)
    path.write_text(path.read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert read_study(path) == plain


def test_overrides_win_over_the_plan(tmp_path: Path) -> None:
    assert {run.config.model for run in read_study(written(tmp_path), {"model": "mine"}).runs} == {"mine"}


@pytest.mark.parametrize("plan", sorted(path.stem for path in PLANS.glob("*.toml")))
def test_shipped_plans_are_readable_and_their_claims_are_about_planned_runs(plan: str) -> None:
    study = read_study(PLANS / f"{plan}.toml")
    runs = [
        Entry(
            Path(run.name),
            run.config.method,
            run.config.split,
            run.config.seed,
            portable(run.config.to_dict()),
            NO_COST,
            (),
        )
        for run in study.runs
    ]
    # Of a method with several settings a claim names one by them: 'fedrouter (tasks=4)'.
    planned = {(entry.split, entry.method) for entry in compare(runs).entries}
    assert bool(study.claims) == (plan != "privacy"), "only the plan that a script runs and shows makes none"
    for claim in study.claims:
        assert {(claim.split, claim.method), (claim.split, claim.baseline)} <= planned
        assert claim.test_data in ("own", "all")


def test_files_and_models_are_told_apart_by_their_names_wherever_they_lie(tmp_path: Path) -> None:
    for name in ("one", "two", "deep/one"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.json").touch()
    block = '[[runs]]\nsplit = "dual"\nmethods = ["base"]\nlabel = "{0}"\nsettings = {{ model = "{1}" }}\n'
    claim = (
        '[[claims]]\nsays = "x"\nmethod = "base (model=one)"\nbaseline = "base (model=two)"\n'
        'split = "dual"\ntest_data = "all"\n'
    )
    blocks = [block.format(label, tmp_path / name) for label, name in (("a", "one"), ("b", "two"), ("c", "deep/one"))]
    study = read_study(written(tmp_path, f"seeds = [1]\n{blocks[0]}{blocks[1]}{claim}"))
    runs = [Entry(Path(r.name), "base", "dual", 1, r.config.to_dict(), NO_COST, ()) for r in study.runs]
    assert [one.method for one in compare(runs, planned=study.told).entries] == ["base (model=one)", "base (model=two)"]
    assert [one.method for one in compare(runs).entries] == ["base (model=one)", "base (model=two)"]
    with pytest.raises(UserError, match=r"dual-base-a-seed1 and dual-base-c-seed1 would both be base \(model=one\) on"):
        read_study(written(tmp_path, f"seeds = [1]\n{''.join(blocks)}"))


def test_the_default_plan_has_five_seeds_for_every_judged_claim() -> None:
    study = read_study(PLANS / "default.toml")
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
        ('split = "dual"\nmethods', 'split = "double"\nmethods', "--split double: choose one of single, dual"),
        ("seeds = [1, 2]", "seeds = []", "seeds = [] must be a list of whole numbers"),
        ("seeds = [1, 2]", "seeds = [1.5]", "seeds = [1.5] must be a list of whole numbers"),
        ("least = 0.01", "least = 0", "must be above 0"),
        ("least = 0.01", "most = 1", "unexpected keyword argument 'most'"),
        ("least = 0.01", "", None),
        ("title", "= title", "not TOML"),
        ("clients = 3", "clients = 3\nseed = 5", "seed is no setting of a plan"),
        ('method = "fedavg"', 'method = "fedavh"', "is about fedavh on dual, which is not planned"),
        ('method = "fedavg"', 'method = "fedavg (lr=3)"', "not planned; there are: base; fedavg"),
        ('split = "dual"\ntest_data', 'split = "all"\ntest_data', "is about fedavg on all, which is not planned"),
        (
            'split = "dual"\ntest_data',
            'metric = "bleu"\nsplit = "dual"\ntest_data',
            "metric = 'bleu': choose one of rouge1",
        ),
        ('test_data = "all"', 'test_data = "al"', "test_data = 'al': choose one of own, all, drift, held-out"),
        ("least = 0.01", "least = inf", "must be above 0 and finite"),
        ("least = 0.01", "paper = 6.1", "paper = 6.1 must be a str"),
    ],
)
def test_a_wrong_plan_is_refused_in_one_line_that_names_it(
    tmp_path: Path, old: str, new: str, said: str | None
) -> None:
    assert old in PLAN
    path = written(tmp_path, PLAN.replace(old, new, 1))
    if said is None:
        assert read_study(path).claims[0].least == 1
        return
    with pytest.raises(UserError) as refused:
        read_study(path)
    assert said in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("key", ["runs", "claims"])
def test_a_plan_whose_tables_are_none_is_refused(tmp_path: Path, key: str) -> None:
    others = {"runs": PLAN.index("[[runs]]"), "claims": PLAN.index("[[claims]]")}
    path = written(tmp_path, f"{key} = 3\n" + PLAN[: others[key]])
    with pytest.raises(UserError, match=rf"{key} = 3 must be tables, \[\[{key}\]\]$"):
        read_study(path)


def test_a_plan_that_is_not_there_or_empty_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_study(tmp_path / "none.toml")
    with pytest.raises(UserError, match=r"has no \[\[runs\]\]"):
        read_study(written(tmp_path, "seeds = [1]"))


OWN = """
from fedrouter_sim import Metric
from fedrouter_sim.methods.fedavg import FedAvg
from fedrouter_sim.partition.splits.all import All


class Mine(FedAvg):
    name = "mine"


class Ours(All):
    name = "ours"


class Length(Metric):
    name, title, higher_is_better = "length", "length", False

    def measure(self, sample):
        return float(len(sample.answer))
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A file with entries of the user's."""
    (tmp_path / "mine.py").write_text(OWN, encoding="utf-8")
    return tmp_path / "mine.py"


def test_own_methods_and_splits_are_called_by_their_own_names_in_folders(tmp_path: Path, own: Path) -> None:
    text = f"seeds = [1]\n[[runs]]\nsplit = '{own}:Ours'\nmethods = ['{own}:Mine', 'base']\n"
    study = read_study(written(tmp_path, text))
    assert [run.name for run in study.runs] == ["ours-mine-seed1", "ours-base-seed1"]
    assert [run.config.split for run in study.runs] == [f"{own}:Ours"] * 2


def test_paths_of_a_plan_may_begin_with_the_home_folder(
    tmp_path: Path, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    text = "seeds = [1]\n[settings]\ndata = '~/d'\n[[runs]]\nsplit = '~/mine.py:Ours'\nmethods = ['~/mine.py:Mine']\n"
    [run] = read_study(written(tmp_path, text)).runs
    assert (run.config.split, run.config.method) == (f"{own}:Ours", f"{own}:Mine")
    assert run.config.data == str(tmp_path / "d")


def test_other_entries_of_a_plan_are_settings_and_are_looked_up_now(tmp_path: Path, own: Path) -> None:
    for setting, words in (
        (f"metric = '{own}:Length'", ""),
        ("aggregation = 'product'", ""),
        ("metric = 'length'", "--metric length: choose one of"),
        ("aggregation = 'mode'", "--aggregation mode: choose one of"),
        (f"router = '{own}:Absent'", "has no class Absent"),
        ("option = ['few=1']", "--option few=1: is no option"),
    ):
        path = written(tmp_path, PLAN.replace("clients = 3", f"clients = 3\n{setting}"))
        if not words:
            check_names(read_study(path).runs[0].config)
            continue
        with pytest.raises(UserError, match=words):
            read_study(path)


@pytest.fixture
def done(micro_config: ConfigMaker, finished_run: Path, tmp_path: Path) -> tuple[PlannedRun, Path]:
    """A planned run, and a folder in which it is done."""
    planned = PlannedRun("dual-fedrouter-seed1", micro_config())
    shutil.copytree(finished_run, tmp_path / "out" / planned.name)
    return planned, tmp_path / "out"


def test_a_finished_run_is_not_pending(done: tuple[PlannedRun, Path], micro_config: ConfigMaker) -> None:
    planned, out = done
    other = PlannedRun("dual-fedrouter-seed2", micro_config(seed=2))
    assert Study("", (planned, other), ()).pending(out) == [other]
    assert Study("", (planned, other), ()).pending(out / "elsewhere") == [planned, other]


def test_a_run_of_the_first_format_is_done_as_well(done: tuple[PlannedRun, Path]) -> None:
    planned, out = done
    make_first_format(out / planned.name)
    alone = PlannedRun(planned.name, replace(planned.config, sharing="none", lr_scaling="none"))
    assert Study("", (alone,), ()).pending(out) == []
    with pytest.raises(UserError, match="was run with sharing = 'none', the plan says 'affinity'"):
        Study("", (planned,), ()).pending(out)


def test_files_that_a_run_does_not_read_may_change(done: tuple[PlannedRun, Path], own: Path) -> None:
    planned, out = done
    found = Origin.of(Run(out / planned.name))
    alone = replace(planned.config, method="fedavg", sharing=f"{own}:Ours")
    found = replace(found, settings=found.settings | {"method": "fedavg"})
    Origins().check(alone, found, "the run", "")
    averaged = replace(alone, aggregation=f"{own}:Ours")
    found = replace(found, settings=found.settings | {"aggregation": f"{own.name}:Ours"})
    with pytest.raises(UserError, match="the run: the file of your own method, split, rule or metric has changed"):
        Origins().check(averaged, found, "the run", "")


def test_a_run_of_other_settings_in_the_way_is_refused_by_name_and_value(
    done: tuple[PlannedRun, Path], micro_config: ConfigMaker
) -> None:
    planned, out = done
    for change, words in (
        ({"lr": 0.5}, r"dual-fedrouter-seed1: was run with lr = 0.02, the plan says 0.5"),
        ({"metric": "loss"}, r"was run with metric = 'rouge1', the plan says 'loss'"),
        ({"aggregation": "product"}, r"was run with aggregation = 'mean', the plan says 'product'"),
    ):
        other = PlannedRun(planned.name, micro_config(**change))
        with pytest.raises(UserError, match=words):
            Study("", (other,), ()).pending(out)


def test_a_run_whose_data_or_own_file_has_changed_is_refused(tmp_path: Path, own: Path) -> None:
    rows = [{"instruction": f"say {n}", "response": f"{n}", "task": "ab"[n % 2]} for n in range(40)]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    runs = f"[[runs]]\nsplit = 'all'\nmethods = ['{own}:Mine']\nseeds = [1]\n"
    study = read_study(written(tmp_path, PLAN[: PLAN.index("[[runs]]")] + runs), {"data": str(data)})
    out = tmp_path / "out"
    assert len(list(run_study(study, out, train, Display()))) == 1
    assert study.pending(out) == []
    records = Records(tmp_path / "records.jsonl")
    records.add(Record.of(Run(out / "all-mine-seed1")))
    recorded = {name: record.origin for name, record in Records(records.path).runs.items()}
    assert str(tmp_path) not in records.path.read_text(encoding="utf-8")
    assert study.pending(tmp_path / "elsewhere", recorded) == []
    own.write_text(OWN + "# changed\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"all-mine-seed1 of the records: the file of your own method, .* has changed"):
        study.pending(tmp_path / "elsewhere", recorded)
    with pytest.raises(UserError, match=r"all-mine-seed1: the file of your own method, .* has changed"):
        study.pending(out)
    own.write_text(OWN, encoding="utf-8")
    data.write_text(data.read_text().replace("say 3", "tell 3"), encoding="utf-8")
    with pytest.raises(UserError, match="all-mine-seed1: the data has changed since it was run"):
        study.pending(out)


def test_a_run_on_another_backbone_is_refused(done: tuple[PlannedRun, Path]) -> None:
    planned, out = done
    path = out / planned.name / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"backbone_sha256": "0"}), encoding="utf-8")
    with pytest.raises(UserError, match="dual-fedrouter-seed1: the backbone has changed since it was run"):
        Study("", (planned,), ()).pending(out)
