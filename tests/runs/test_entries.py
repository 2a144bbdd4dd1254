"""The entries that a run's settings name: refused early, known by the digest of their files, and with what they use."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedrouter_sim.config import RunConfig
from fedrouter_sim.config.declaring import flag
from fedrouter_sim.config.paths import table_settings
from fedrouter_sim.errors import UserError
from fedrouter_sim.methods import METHODS
from fedrouter_sim.partition.splits import SPLITS
from fedrouter_sim.runs.entries import (
    TABLES,
    TRAINING_SETTINGS,
    check_entries,
    check_names,
    named_entries,
    own_digests,
    unled_settings,
    unused_settings,
)

ConfigMaker = Callable[..., RunConfig]

OWN = """
from fedrouter_sim import Metric
from fedrouter_sim.methods.fedavg import FedAvg
from fedrouter_sim.partition.splits.all import All

print("the file is run")


class OwnMethod(FedAvg):
    name = "own method"

    def __init__(self, few: int = 1):
        self.few = few


class OwnSplit(All):
    name = "own split"
    uses = frozenset({"alpha"})

    def __init__(self, skew: float = 1.0):
        self.skew = skew


class OwnMetric(Metric):
    name, title = "own_metric", "own"

    def measure(self, sample):
        return 1.0
"""


@pytest.fixture
def own(tmp_path: Path) -> str:
    """A file with entries of the user's."""
    (tmp_path / "mine.py").write_text(OWN, encoding="utf-8")
    return str(tmp_path / "mine.py")


def drifting(name: str) -> dict[str, Any]:
    """What has to be given along with a setting."""
    return {"drift_at": 1} if name == "drift_to" else {}


def test_every_setting_with_a_table_has_one() -> None:
    assert set(table_settings().values()) == set(TABLES)
    assert set(named_entries(RunConfig())) == set(table_settings()) - {"drift_to", "attack"}
    drifted = named_entries(RunConfig(drift_at=1, drift_to="all"))
    table, value = drifted["drift_to"]
    assert (table.rows, table.flag, table.beside, value) == (SPLITS.rows, "--drift-to", ("none",), "all")
    assert drifted["method"] == (METHODS, "fedrouter")


@pytest.mark.parametrize("name", table_settings())
def test_a_name_that_no_table_has_is_refused_at_once_by_its_own_flag(name: str) -> None:
    config = RunConfig.build({name: "nonsense"} | drifting(name))
    table = TABLES[table_settings()[name]]
    more = r", or give your own as FILE\.py:CLASS" if table.own else ""
    names = ["none"] * (name in {"drift_to", "attack", "sharing"}) + [*table.names]
    said = rf"^{flag(name)} nonsense: choose one of {', '.join(names)}{more}$"
    for check in (check_names, check_entries):
        with pytest.raises(UserError, match=said) as caught:
            check(config)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [name for name, table in table_settings().items() if TABLES[table].own])
def test_a_file_is_looked_into_by_the_full_check_alone(name: str, tmp_path: Path) -> None:
    config = RunConfig.build({name: f"{tmp_path}/absent.py:Mine"} | drifting(name))
    check_names(config)
    with pytest.raises(UserError, match=rf"^{flag(name)} .*absent\.py is no Python file"):
        check_entries(config)
    (tmp_path / "absent.py").write_text("class Mine: pass", encoding="utf-8")
    with pytest.raises(UserError, match=rf"^{flag(name)} .* has no class Mine that is a fedrouter_sim"):
        check_entries(config)


def test_checking_names_runs_no_file(own: str, capsys: pytest.CaptureFixture[str]) -> None:
    check_names(RunConfig(method=f"{own}:OwnMethod"))
    assert capsys.readouterr().out == ""
    check_entries(RunConfig(method=f"{own}:OwnMethod"))
    assert "the file is run" in capsys.readouterr().out


def test_options_that_some_entry_takes_are_fine(own: str) -> None:
    check_entries(RunConfig())
    check_entries(RunConfig(method=f"{own}:OwnMethod", option=("few=3",)))
    check_entries(RunConfig(method=f"{own}:OwnMethod", split=f"{own}:OwnSplit", option=("skew=2", "few=3")))
    check_entries(RunConfig(drift_at=1, drift_to=f"{own}:OwnSplit", option=("skew=2",)))


@pytest.mark.parametrize("option", ["rank=4", "few=3", "nothing=1"])
def test_an_option_that_no_entry_of_the_run_takes_is_refused(own: str, option: str) -> None:
    with pytest.raises(UserError, match=rf"^--option {option}: is no option of .*; none of them takes any$"):
        check_entries(RunConfig(tasks=4, sharing="none", option=(option,)))
    with pytest.raises(UserError, match=rf"^--option {option}: is no option of .*; there are: skew$"):
        check_entries(RunConfig(tasks=4, sharing="none", split=f"{own}:OwnSplit", option=("skew=1", option)))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("few",), "--option 'few': must be name=value"),
        (("few=1", "few=2"), "--option few: is given twice"),
    ],
)
def test_options_of_another_form_or_given_twice_are_refused(own: str, options: tuple[str, ...], words: str) -> None:
    with pytest.raises(UserError, match=words):
        check_entries(RunConfig(method=f"{own}:OwnMethod", option=options))


def test_the_value_of_an_option_has_the_type_of_the_constructors_annotation(own: str) -> None:
    found: Any = METHODS.find(f"{own}:OwnMethod", {"few": "3", "skew": "0.5"})
    assert found.few == 3
    with pytest.raises(UserError, match="--option few=three: must be of type int"):
        METHODS.find(f"{own}:OwnMethod", {"few": "three"})


def test_the_users_own_files_are_known_by_their_digests(own: str, tmp_path: Path) -> None:
    assert own_digests(RunConfig()) == {}
    digest = hashlib.sha256(OWN.encode()).hexdigest()
    config = RunConfig(method=f"{own}:OwnMethod", metric=f"{own}:OwnMetric", drift_at=1, drift_to=f"{own}:OwnSplit")
    assert own_digests(config) == dict.fromkeys(("method", "metric", "drift_to"), digest)
    Path(own).write_text(OWN + "\n", encoding="utf-8")
    assert own_digests(config)["method"] != digest


@pytest.mark.parametrize(
    ("method", "given", "unused"),
    [
        ("fedrouter", {"tasks", "rounds", "normalize"}, []),
        ("fedavg", {"tasks", "rounds", "local_clusters"}, ["local_clusters", "tasks"]),
        ("base", {"rounds", "lr", "seed", "tasks"}, ["lr", "rounds", "tasks"]),
        ("fedrouter", {"alpha", "clients"}, ["alpha"]),
        ("fedprox", {"fedprox_mu", "ditto_lambda", "warmup_rounds"}, ["ditto_lambda", "warmup_rounds"]),
        ("ditto", {"fedprox_mu", "ditto_lambda", "warmup_rounds"}, ["fedprox_mu", "warmup_rounds"]),
        ("clustered", {"tasks", "warmup_rounds", "local_clusters", "normalize"}, ["local_clusters", "normalize"]),
        ("feddpa", {"tasks", "rounds", "fedprox_mu"}, ["fedprox_mu", "tasks"]),
        ("fedavg", {"lr_scaling", "lr"}, ["lr_scaling"]),
        ("base", {"drift_at", "drift_to", "eval_every", "hold_out"}, ["eval_every"]),
    ],
)
def test_unused_settings(micro_config: ConfigMaker, method: str, given: set[str], unused: list[str]) -> None:
    assert unused_settings(micro_config(method=method), frozenset(given)) == unused


def test_settings_that_another_has_to_lead_are_unused_without_it(micro_config: ConfigMaker) -> None:
    given = frozenset({"attackers", "late", "dp_clip", "rounds"})
    assert unled_settings(micro_config(), given) == ["attackers", "dp_clip", "late"]
    led = micro_config(attack="scale", stragglers=0.5)
    assert unled_settings(led, given) == ["dp_clip"]
    assert unled_settings(led, frozenset({"seed"})) == []


SPECIAL = sorted({name for table in (METHODS, SPLITS) for entry in table.names for name in table.class_of(entry).uses})


@pytest.mark.parametrize("name", SPECIAL)
def test_a_setting_that_some_entry_uses_is_noted_for_all_that_do_not(name: str) -> None:
    """So that none is forgotten: what an entry says that it uses is all that is needed."""
    assert name in {*RunConfig.__dataclass_fields__}
    for method in METHODS.names:
        for split in SPLITS.names:
            used = name in METHODS.class_of(method).uses | SPLITS.class_of(split).uses
            found = unused_settings(RunConfig(method=method, split=split), frozenset({name, "seed", "clients"}))
            assert found == ([] if used else [name]), (method, split)


def test_the_settings_of_training_are_unused_where_nothing_trains() -> None:
    every = frozenset(RunConfig.__dataclass_fields__)
    assert every >= TRAINING_SETTINGS
    for method in METHODS.names:
        unused = set(unused_settings(RunConfig(method=method), every))
        assert (unused >= TRAINING_SETTINGS) == (not METHODS.class_of(method).trains)
        assert unused <= TRAINING_SETTINGS | set(SPECIAL)


def test_alpha_is_used_by_dirichlet_and_the_column_of_clients_by_natural(micro_config: ConfigMaker) -> None:
    for name, split in (("alpha", "dirichlet"), ("client_column", "natural")):
        for changes, unused in (({}, [name]), ({"split": split}, []), ({"drift_at": 2, "drift_to": split}, [])):
            assert unused_settings(micro_config(**changes), frozenset({name})) == unused


def test_an_own_entry_says_what_it_uses(own: str) -> None:
    given = frozenset({"alpha", "tasks"})
    assert unused_settings(RunConfig(split=f"{own}:OwnSplit", method="fedavg"), given) == ["tasks"]
    assert unused_settings(RunConfig(method=f"{own}:OwnMethod"), given) == ["alpha", "tasks"]
