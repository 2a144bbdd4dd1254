"""The table of methods, the user's own method files, and what holds for every method alike."""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from inside import reachable

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.backbone.encoding import EncodedExample
from fedrouter_sim.cli.settings import setting_parameters
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.evaluation.evaluator import Evaluator
from fedrouter_sim.evaluation.labels import LabelTasks
from fedrouter_sim.evaluation.truth import Truth
from fedrouter_sim.examples.record import Example
from fedrouter_sim.federation.observers import Display, Observer
from fedrouter_sim.federation.plan import Asked, Choice, Deployment, Labelled
from fedrouter_sim.methods import METHODS, find_method
from fedrouter_sim.methods.bare_backbone import BareBackbone
from fedrouter_sim.operations.evaluate import evaluate
from fedrouter_sim.operations.train import Trained, train
from fedrouter_sim.partition.run_data import partition_data
from fedrouter_sim.runs.layout import LABELS_NAME
from fedrouter_sim.runs.reader import Run
from fedrouter_sim.simulation import simulate

ConfigMaker = Callable[..., RunConfig]
Simulator = Callable[..., Any]
Same = Callable[[Adapter, Adapter], bool]
NAMES = "base local fedavg fedprox clustered ditto feddpa fedrouter oracle central".split()
BLIND = [name for name in NAMES if name not in ("base", "oracle", "central")]  # those that read no label

OWN_METHOD = '''"""As FedAvg, but client 0 always answers by the bare backbone."""

from __future__ import annotations

from dataclasses import dataclass

from fedrouter_sim.federation.plan import Asked, Choice, Deployment
from fedrouter_sim.methods.fedavg import FedAvg


@dataclass  # which looks its module up by name
class Half(FedAvg):
    name = "half"
    most: int = 1

    def answered_by(self, deployment: Deployment, asked: Asked, routing: str) -> list[Choice]:
        return [Choice.of(None if asked.client == 0 else "global")] * len(asked.instructions)


class Nameless(FedAvg.__mro__[1]):
    def plan(self, federation):
        raise NotImplementedError

    def answered_by(self, deployment, asked, routing):
        raise NotImplementedError


class Unchanged(FedAvg):
    pass


class Abstract(FedAvg.__mro__[1]):
    name = "abstract"


class NoMethod:
    name = "no method"


def function(): ...
'''


@pytest.fixture
def own_file(tmp_path: Path) -> Path:
    path = tmp_path / "mine" / "half.py"
    path.parent.mkdir()
    path.write_text(OWN_METHOD, encoding="utf-8")
    return path


def test_the_table_has_every_method_by_its_name() -> None:
    assert list(METHODS.names) == NAMES
    for name in NAMES:
        assert (METHODS.class_of(name).name, METHODS.reference(METHODS.class_of(name))) == (name, name)
        assert type(find_method(name)) is METHODS.class_of(name)
    assert METHODS.class_of("base") is BareBackbone
    assert [name for name in NAMES if not find_method(name).trains] == ["base"]


def test_help_names_every_method() -> None:
    [option] = [parameter for parameter in setting_parameters() if parameter.name == "method"]
    assert option.annotation.__metadata__[0].metavar.split("|") == [*NAMES, "FILE.py:CLASS"]


def test_own_method_is_found_by_file_and_class(own_file: Path) -> None:
    method = find_method(f"{own_file}:Half")
    assert (method.name, method.trains, method.routings) == ("half", True, ("fixed",))
    assert METHODS.digest(f"{own_file}:Half") == hashlib.sha256(own_file.read_bytes()).hexdigest()
    assert [METHODS.digest(name) for name in NAMES] == [None] * len(NAMES)
    assert METHODS.digest("gone.py:Half") is None


def test_an_own_method_takes_options(own_file: Path) -> None:
    found: Any = find_method(f"{own_file}:Half", {"most": "3", "other": "x"})  # others are for other entries
    assert found.most == 3
    assert METHODS.option_names(METHODS.class_of(f"{own_file}:Half")) == ["most"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("magic", ["choose one of base, local, fedavg", "FILE.py:CLASS"]),
        ("", ["choose one of"]),
        ("{folder}/absent.py:Half", ["absent.py is no Python file"]),
        ("{folder}:Half", ["is no Python file"]),
        (":Half", ["nothing is no Python file"]),
        ("{folder}/notes.txt:Half", ["notes.txt is no Python file"]),
        ("{folder}/half.py:Whole", ["no class Whole that is a fedrouter_sim.methods.method.Method"]),
        ("{folder}/half.py:", ["no class"]),
        ("{folder}/half.py:NoMethod", ["no class NoMethod that is a fedrouter_sim.methods.method.Method"]),
        ("{folder}/half.py:function", ["no class function that is a fedrouter_sim.methods.method.Method"]),
        ("{folder}/half.py:Nameless", ["Nameless has no name of its own; set `name = ...`"]),
        ("{folder}/half.py:Unchanged", ["Unchanged has no name of its own"]),  # 'fedavg' is taken
        ("{folder}/half.py:Abstract", ["Abstract does not define answered_by, plan, which every method has to"]),
        ("{folder}/raises.py:Half", ["raises.py does not run (ZeroDivisionError: division by zero)"]),
        ("{folder}/broken.py:Half", ["broken.py does not run (SyntaxError"]),
        ("{folder}/imports.py:Half", ["imports.py does not run (ModuleNotFoundError: No module named 'no_such'"]),
    ],
)
def test_what_is_no_method_is_refused_in_one_line(own_file: Path, name: str, words: list[str]) -> None:
    (own_file.parent / "notes.txt").write_text(OWN_METHOD, encoding="utf-8")
    for other, text in (("raises", "1 / 0\n"), ("broken", "class Half(\n"), ("imports", "import no_such.thing\n")):
        (own_file.parent / f"{other}.py").write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        find_method(name.format(folder=own_file.parent))
    message = str(caught.value)
    assert message.startswith(f"--method {name.format(folder=own_file.parent)}: ")
    assert all(word in message for word in words), message
    assert "\n" not in message


def test_own_method_trains_and_evaluates(micro_config: ConfigMaker, own_file: Path, tmp_path: Path, same: Same) -> None:
    config = micro_config(method=f"{own_file}:Half", rounds=1)
    done = train(config, tmp_path / "own", False, Display())
    fedavg = train(micro_config(method="fedavg", rounds=1), tmp_path / "fedavg", False, Display())
    assert same(Run(done.folder).adapter("global"), Run(fedavg.folder).adapter("global"))
    assert done.summary.method == "half"
    run = Run(done.folder)
    assert run.manifest["own_sha256"] == {"method": METHODS.digest(config.method)}
    assert Run(fedavg.folder).manifest["own_sha256"] == {}
    [result] = evaluate(run, Display(), ("all",)).results
    assert {answer.pool for answer in result.answers if answer.client == 0} == {None}
    assert {answer.pool for answer in result.answers if answer.client != 0} == {"global"}
    stored = json.loads((done.folder / "eval" / "all-fixed.json").read_text(encoding="utf-8"))
    assert (stored["method"], stored["mean"]["rouge1"]) == ("half", done.summary.score)


def test_a_run_refuses_its_own_method_once_its_file_has_changed(
    micro_config: ConfigMaker, own_file: Path, tmp_path: Path
) -> None:
    config = micro_config(method=f"{own_file}:Half", rounds=1, local_steps=1, test_examples_per_client=1)
    folder = train(config, tmp_path / "own", False, Display()).folder
    assert Run(folder).method.name == "half"
    text = own_file.read_text(encoding="utf-8")
    own_file.write_text(text + "\n# changed\n", encoding="utf-8")
    with pytest.raises(
        UserError, match=r"--method .*half\.py:Half: the file is gone or has changed since .* train the run anew"
    ):
        evaluate(Run(folder), Display())
    own_file.unlink()
    with pytest.raises(UserError, match=r"--method .*half\.py:Half: "):
        _ = Run(folder).method
    own_file.write_text(text, encoding="utf-8")
    assert Run(folder).method.name == "half"


@pytest.fixture(scope="module")
def trained(micro_config: ConfigMaker, backbone: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trained]:
    """A small run of every method, whose shared budget each client's groups can share."""
    folder = tmp_path_factory.mktemp("all-methods")
    small = {"rounds": 2, "warmup_rounds": 1, "test_examples_per_client": 2}
    return {
        name: train(micro_config(method=name, **small), folder / name, False, Display(), backbone) for name in NAMES
    }


def test_all_methods_see_the_same_clients_and_test_samples(
    trained: dict[str, Trained], micro_config: ConfigMaker
) -> None:
    asked: dict[str, set[str]] = {}
    for done in trained.values():
        for result in done.results:
            asked.setdefault(result.cell.test_data, set()).add(result.samples_sha256)
    assert {test_data: len(found) for test_data, found in asked.items()} == {"all": 1, "own": 1}
    assert asked["all"] != asked["own"]
    run_data = [partition_data(micro_config(method=name)) for name in NAMES]
    assert all(one == run_data[0] for one in run_data)


def test_all_methods_take_the_same_number_of_steps(trained: dict[str, Trained]) -> None:
    steps = {name: done.summary.optimizer_steps for name, done in trained.items()}
    assert steps == dict.fromkeys(NAMES, 2 * 4 * 4) | {"base": 0}


def test_only_methods_that_share_send_bytes(trained: dict[str, Trained]) -> None:
    silent = {name for name, d in trained.items() if (d.summary.bytes_up, d.summary.bytes_down) == (0, 0)}
    assert silent == {"base", "local", "central"}
    assert all(done.summary.bytes_up > 0 for name, done in trained.items() if name not in silent)


@pytest.mark.parametrize("name", NAMES)
def test_a_run_answers_from_its_folder_as_it_did_from_memory(
    trained: dict[str, Trained], backbone: Any, name: str, tmp_path: Path
) -> None:
    run, shares = Run(trained[name].folder), partition_data(trained[name].config).test_shares()
    labels = LabelTasks.load(run.folder / LABELS_NAME)
    evaluator = Evaluator(run.answerer(backbone), run.truth, run.metric, labels=labels)
    for result in trained[name].results:
        again = evaluator.evaluate(result.cell, shares[result.cell.test_data])
        assert again.to_dict() == result.to_dict()
        assert again.answers == result.answers


@pytest.mark.parametrize("name", NAMES)
def test_only_upper_bounds_are_asked_with_labels_and_none_with_references(
    trained: dict[str, Trained], backbone: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, shares = Run(trained[name].folder), partition_data(trained[name].config).test_shares()
    given: list[tuple[Deployment, Asked]] = []
    answered_by = type(run.method).answered_by

    def overheard(self: Any, deployment: Deployment, asked: Asked, routing: str) -> list[Choice]:
        given.append((deployment, asked))
        assert len(asked.embeddings) == len(asked.instructions)
        return answered_by(self, deployment, asked, routing)

    monkeypatch.setattr(type(run.method), "answered_by", overheard)
    evaluator = Evaluator(run.answerer(backbone), run.truth, run.metric)
    for cell in evaluator.cells("all"):
        evaluator.evaluate(cell, shares["all"])  # the second cell is asked when the evaluator knows answers already
    upper_bound = name in ("oracle", "central")
    assert {type(asked) for _, asked in given} == {Labelled if upper_bound else Asked}
    assert {pool.label is not None for deployment, _ in given for pool in deployment.pools} <= {upper_bound}
    within = list(reachable(given))
    assert not [found for found in within if isinstance(found, Example | EncodedExample | Truth | Evaluator | Run)]


@pytest.mark.parametrize("name", BLIND)
@pytest.mark.parametrize("labels", [{"task": "x", "client": "y"}, {"task": None}])
def test_labels_change_no_byte(
    federate: Callable[..., Any], run_method: Simulator, same: Same, name: str, labels: dict[str, str | None]
) -> None:
    changes = {"rounds": 2, "warmup_rounds": 1, "local_steps": 2, "tasks": 2}
    relabelled = federate(relabel=lambda example: dataclasses.replace(example, **labels), method=name, **changes)
    other = simulate(relabelled, find_method(name), Observer())
    true = run_method(name, **changes).outcome
    assert other.adapters.keys() == true.adapters.keys()
    assert all(same(other.adapters[pool], true.adapters[pool]) for pool in true.adapters)
    assert [stage.plan.groups for stage in other.stages] == [stage.plan.groups for stage in true.stages]
    assert other.plan.pools == true.plan.pools


def test_the_same_seed_gives_every_method_the_same_bytes_again(
    trained: dict[str, Trained],
    micro_config: ConfigMaker,
    backbone: Any,
    tmp_path: Path,
    trained_bytes: Callable[[Path], dict[str, bytes]],
) -> None:
    for name in ("clustered", "ditto", "feddpa"):
        again = train(trained[name].config, tmp_path / name, False, Display(), backbone).folder
        first = trained[name].folder
        assert trained_bytes(again) == trained_bytes(first)
        if name != "ditto":  # which keeps nothing but its adapters
            assert (again / "kept.safetensors").read_bytes() == (first / "kept.safetensors").read_bytes()
