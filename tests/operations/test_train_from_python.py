"""`train` called from a program: its defaults, examples and methods given as objects, and what is refused then."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import Example, Shares
from fedrouter_sim.methods.fedavg import FedAvg
from fedrouter_sim.methods.fedrouter import FedRouter
from fedrouter_sim.operations.evaluate import evaluate
from fedrouter_sim.operations.train import train
from fedrouter_sim.partition.run_data import partition_data
from fedrouter_sim.runs.reader import Run

ConfigMaker = Callable[..., RunConfig]
SHORT = {"rounds": 1, "local_steps": 1, "test_examples_per_client": 1}
METHOD = """
from fedrouter_sim import FedRouter


class Own(FedRouter):
    name = "own"


class Choosy(FedRouter):
    name = "choosy"

    def __init__(self, few: int = 1):
        self.few = few

    def plan(self, federation):
        assert self.few == 3
        return super().plan(federation)


class Nameless(FedRouter):
    pass


def inside():
    class Hidden(FedRouter):
        name = "hidden"

    return Hidden
"""


@pytest.fixture
def own_methods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module of the user's, imported from a file."""
    (tmp_path / "own_methods.py").write_text(METHOD, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_methods", raising=False)
    import own_methods

    return own_methods


@pytest.fixture(scope="module")
def shares(micro_config: ConfigMaker) -> Shares:
    """The micro data with an owner for every row, as lists."""
    shares = partition_data(micro_config()).shares

    def owned(part: tuple[Example, ...]) -> Any:
        return [replace(example, client="anna" if example.task in ("sum", "title") else "ben") for example in part]

    return Shares(owned(shares.train), owned(shares.validation), owned(shares.test))


def test_out_is_all_that_it_needs_beside_the_settings(micro_config: ConfigMaker, tmp_path: Path) -> None:
    config = micro_config(**SHORT)
    done = train(config, str(tmp_path / "run"))
    assert done.folder == tmp_path / "run"
    with pytest.raises(UserError, match="is there already"):
        train(config, tmp_path / "run")
    assert train(config, tmp_path / "run", overwrite=True).config == done.config


def test_relative_paths_are_kept_as_absolute_ones(
    micro_config: ConfigMaker, micro_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(micro_data)
    done = train(micro_config(data=".", **SHORT), tmp_path / "run")
    assert Run(done.folder).config.data == str(micro_data.resolve())


def test_clients_given_in_python(micro_config: ConfigMaker, shares: Shares, tmp_path: Path) -> None:
    config = micro_config(clients=2, split="natural", local_clusters=2, **SHORT)
    done = train(config, tmp_path / "run", shares=shares)
    run = Run(done.folder)
    assert run.truth is not None
    found = [{label for counts in run.truth.clusters[client] for label in counts} for client in (0, 1)]
    assert found == [{"sum", "title"}, {"opinion", "reverse"}]  # anna, ben
    for again in (lambda: evaluate(run), lambda: evaluate(run, test_data=["all"])):
        with pytest.raises(UserError, match=r"its data are not on disk \(given in Python\); give .*--data") as caught:
            again()
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="--data given in Python: "):
        train(run.config, tmp_path / "again")
    results = {result.cell.name: result for result in evaluate(run, shares=shares).results}
    assert results["all-global"].mean == next(r for r in done.results if r.cell.name == "all-global").mean
    other = Shares(shares.train, shares.validation, shares.test[1:])
    with pytest.raises(UserError, match="has changed since"):
        evaluate(run, shares=other)


def test_the_same_examples_give_the_same_run_from_a_file_and_from_python(
    micro_config: ConfigMaker, finished_run: Path, tmp_path: Path, trained_bytes: Callable[[Path], dict[str, bytes]]
) -> None:
    done = train(micro_config(), tmp_path / "run", shares=partition_data(micro_config()).shares)
    assert trained_bytes(done.folder) == trained_bytes(finished_run)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"train": [Example("1 + 1 = ?", " ")]}, r"shares\.train\[0\]: its response is ' '"),
        ({"validation": [Example("", "2")]}, r"shares\.validation\[0\]: its instruction is ''"),
        ({"test": [Example("1 + 1 = ?", "2"), Example("2 + 2 = ?", 4)]}, r"shares\.test\[1\]: its response is 4"),
        ({"train": [Example("1 + 1 = ?", "2", client=7)]}, r"shares\.train\[0\]: its client is 7; give a text or None"),
        ({"test": [Example("1 + 1 = ?", "2", task=7)]}, r"shares\.test\[0\]: its task is 7; give a text or None"),
        ({"test": []}, r"shares\.test: holds no example"),
        ({"train": []}, r"shares\.train: holds no example"),
    ],
)
def test_examples_without_text_are_refused(
    micro_config: ConfigMaker, shares: Shares, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        train(micro_config(), tmp_path / "run", shares=replace(shares, **change))
    assert not list(tmp_path.iterdir())


def test_a_method_given_as_a_class_is_opened_again_by_its_file(
    micro_config: ConfigMaker, own_methods: ModuleType, tmp_path: Path
) -> None:
    config = micro_config(**SHORT)
    done = train(config, tmp_path / "run", method=own_methods.Own)
    assert (done.config.method, done.summary.method) == (f"{tmp_path / 'own_methods.py'}:Own", "own")
    assert Run(done.folder).method.name == "own"
    (tmp_path / "own_methods.py").write_text(METHOD + "\n# changed\n", encoding="utf-8")
    with pytest.raises(UserError, match="the file is gone or has changed"):
        _ = Run(done.folder).method
    assert train(config, tmp_path / "shipped", method=FedAvg).config.method == "fedavg"


def test_a_method_given_as_a_class_takes_options_now_and_when_it_is_opened_again(
    micro_config: ConfigMaker, own_methods: ModuleType, tmp_path: Path
) -> None:
    done = train(micro_config(**SHORT, option=("few=3",)), tmp_path / "run", method=own_methods.Choosy)
    again: Any = Run(done.folder).method
    assert (again.name, again.few) == ("choosy", 3)
    with pytest.raises(UserError, match=r"--option many=3: is no option of .*; there are: few, power, keep$"):
        train(micro_config(**SHORT, option=("many=3",)), tmp_path / "other", method=own_methods.Choosy)
    with pytest.raises(UserError, match="--option few=three: must be of type int"):
        train(micro_config(**SHORT, option=("few=three",)), tmp_path / "other", method=own_methods.Choosy)
    assert not (tmp_path / "other").exists()


def test_a_class_that_no_file_holds_is_refused(
    micro_config: ConfigMaker, own_methods: ModuleType, tmp_path: Path
) -> None:
    in_a_cell = type("InACell", (FedRouter,), {"name": "cell", "__module__": "__nowhere__"})
    for method, words in (
        (in_a_cell, "method InACell: stands at the top of no Python file"),
        (own_methods.inside(), r"method inside\.<locals>\.Hidden: stands at the top of no Python file"),
        (own_methods.Nameless, "method Nameless: has no name of its own"),
    ):
        with pytest.raises(UserError, match=words) as caught:
            train(micro_config(), tmp_path / "run", method=method)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()
