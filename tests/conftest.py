"""What the tests share: a micro backbone, micro data, their settings, and one finished micro run."""

import dataclasses
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.config import RunConfig
from fedrouter_sim.examples.record import Example
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.plan import Plan
from fedrouter_sim.messages import Update
from fedrouter_sim.methods import find_method
from fedrouter_sim.simulation import Observer, Outcome, RoundRecord, simulate

# What an earlier run of the tests embedded must not hide what the code of today does.
os.environ["FEDROUTER_SIM_REUSE"] = "0"

# A shell that starts the tests in the background has them ignore Ctrl-C, which some tests send to themselves.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROWS = {"opinion": 24, "reverse": 16, "sum": 20, "title": 20}  # training rows of each task
HELD_OUT = 6  # rows of each task in the validation and in the test share
EOS = "<|endoftext|>"

ConfigMaker = Callable[..., RunConfig]
FederationMaker = Callable[..., Federation]


@dataclass
class Heard(Observer):
    """Keeps the plans, updates and adapters of a simulation, by round."""

    plans: list[tuple[int, Plan]] = field(default_factory=list)  # (rounds done before, plan)
    expected: list[tuple[int, int]] = field(default_factory=list)  # rounds and steps that a plan announced
    updates: dict[int, list[Update]] = field(default_factory=dict)
    adapters: dict[int, dict[str, Adapter]] = field(default_factory=dict)

    def planned(self, plan: Plan, rounds: int, steps: int) -> None:
        self.plans.append((len(self.adapters), plan))
        self.expected.append((rounds, steps))

    def received(self, update: Update) -> None:
        self.updates.setdefault(update.round, []).append(update)

    def round_ended(self, record: RoundRecord, adapters: dict[str, Adapter]) -> None:
        self.adapters[record.round] = dict(adapters)


@dataclass(frozen=True)
class Simulated:
    """A simulation: what went in, what came out, what was heard."""

    federation: Federation
    outcome: Outcome
    heard: Heard


Simulator = Callable[..., Simulated]


@pytest.fixture(scope="session", autouse=True)
def float32_by_default() -> Iterator[None]:
    """Let --dtype auto be float32 on any machine: results are compared with those of float32 models."""
    from fedrouter_sim.backbone import devices

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices, "_CPUINFO", Path("/no/cpuinfo"))
        yield


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    """Spare the waits that only matter to a machine that loses power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


def micro_rows(task: str, count: int, rng: Random) -> list[dict[str, str]]:
    """Return `count` rows of a toy task with different instructions."""
    towns, foods = "Oslo Bergen Narva Tartu Riga Vilnius".split(), "bread soup rice fish corn".split()
    rows: dict[str, str] = {}
    while len(rows) < count:
        if task == "sum":
            one, two = rng.randint(10, 99), rng.randint(10, 99)
            rows[f"{one} + {two} = ?"] = str(one + two)
        elif task == "reverse":
            letters = rng.sample("abcdefghij", 5)
            rows["reverse: " + " ".join(letters)] = " ".join(letters[::-1])
        elif task == "opinion":
            town, food, day = rng.choice(towns), rng.choice(foods), rng.randint(1, 9)
            rows[f"Do the people of {town} like {food} on day {day}?"] = rng.choice(["Yes", "No"])
        else:
            town, food, price = rng.choice(towns), rng.choice(foods), rng.randint(2, 9)
            rows[f"PRICES TODAY, {town.upper()} MARKET: {food.upper()} AT {price} CROWNS"] = f"{food} for {price}"
    return [{"instruction": instruction, "response": rows[instruction], "task": task} for instruction in rows]


@pytest.fixture(scope="session")
def micro_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train, validation and test files of four toy tasks."""
    folder = tmp_path_factory.mktemp("data")
    rng = Random(0)
    shares: dict[str, list[dict[str, str]]] = {"train": [], "validation": [], "test": []}
    for task, count in ROWS.items():
        rows = micro_rows(task, count + 2 * HELD_OUT, rng)
        shares["test"] += rows[:HELD_OUT]
        shares["validation"] += rows[HELD_OUT : 2 * HELD_OUT]
        shares["train"] += rows[2 * HELD_OUT :]
    for share, rows in shares.items():
        rng.shuffle(rows)
        (folder / f"{share}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def kinds_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 48 training and 8 test rows of each of three kinds that the micro backbone tells apart."""
    kinds = {
        "say": ("PRICES TODAY, OSLO {}", "bread for soup"),
        "sing": ("who sang it in that old house, and was it {} times?", "the sea the sea"),
        "sum": ("{} + 3 = ?", "42 42 42"),
    }
    folder = tmp_path_factory.mktemp("kinds")
    for share, numbers in (("train", range(300, 348)), ("test", range(350, 358))):
        rows = [
            {"instruction": asked.format(number), "response": answered, "task": kind}
            for number in numbers
            for kind, (asked, answered) in kinds.items()
        ]
        (folder / f"{share}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def births_config(micro_config: ConfigMaker, kinds_data: Path) -> ConfigMaker:
    """Return the settings, with `changes`, of two clients who hold `say` and `sum` and, from round 5 of 6 on, `say` the
    one and `sing` the other."""

    def make(**changes: Any) -> RunConfig:
        small = {
            "data": str(kinds_data), "tasks": "auto", "split": "all", "clients": 2, "rounds": 6, "local_steps": 1,
            "batch_size": 2, "test_examples_per_client": 3, "drift_at": 5, "drift_to": "single",
            "drift_brings": ("sing",),
        }  # fmt: skip
        return micro_config(**small | changes)

    return make


@pytest.fixture(scope="session")
def micro_model(tmp_path_factory: pytest.TempPathFactory, micro_data: Path) -> Path:
    """The folder of a random GPT-2 (2 layers, d = 32) with a byte-level BPE of 400 tokens of its own."""
    import torch
    from tokenizers import ByteLevelBPETokenizer
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
    from transformers.utils import logging

    torch.set_num_threads(1)  # nothing here is large enough to gain from a second
    logging.disable_progress_bar()
    folder = tmp_path_factory.mktemp("micro-gpt2")
    bpe = ByteLevelBPETokenizer()
    lines = (micro_data / "train.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [value for line in lines for value in json.loads(line).values()]
    bpe.train_from_iterator(texts, vocab_size=400, special_tokens=[EOS], show_progress=False)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe._tokenizer, eos_token=EOS, bos_token=EOS)
    tokenizer.save_pretrained(folder)
    eos = tokenizer.eos_token_id
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=256, n_embd=32, n_layer=2, n_head=2, initializer_range=0.2,
        bos_token_id=eos, eos_token_id=eos,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def micro_config(micro_model: Path, micro_data: Path) -> ConfigMaker:
    """Return the settings of a run of about a second, with `changes`."""

    def make(**changes: Any) -> RunConfig:
        small = {
            "data": str(micro_data), "model": str(micro_model), "dtype": "float32", "template": "plain",
            "max_tokens": 128, "clients": 4, "rounds": 2, "warmup_rounds": 1, "local_steps": 4, "batch_size": 4,
            "lora_rank": 2, "lora_alpha": 4.0, "test_examples_per_client": 4, "lr": 0.02, "seed": 1, "tasks": 4,
        }  # fmt: skip
        return RunConfig.build(small, changes)

    return make


@pytest.fixture(scope="session")
def backbone(micro_config: ConfigMaker) -> Any:
    """The micro backbone under the micro settings."""
    from fedrouter_sim.backbone.model import Backbone

    return Backbone(micro_config())


@pytest.fixture(scope="session")
def federate(micro_config: ConfigMaker, backbone: Any) -> FederationMaker:
    """Return a federation under the micro settings with `changes`; all share the one micro backbone."""
    from fedrouter_sim.federation.federation import build_federation
    from fedrouter_sim.partition.run_data import partition_data

    def make(
        relabel: Callable[[Example], Example] = lambda example: example, use_backbone: Any = None, **changes: Any
    ) -> Federation:
        config = micro_config(**changes)
        data = partition_data(config)
        clients = tuple(dataclasses.replace(own, train=tuple(map(relabel, own.train))) for own in data.clients)
        return build_federation(config, dataclasses.replace(data, clients=clients), use_backbone or backbone)

    return make


@pytest.fixture(scope="session")
def run_method(federate: FederationMaker) -> Simulator:
    """Return a function that simulates a method by name under the micro settings with changes."""

    def run(method: str, **changes: Any) -> Simulated:
        federation, heard = federate(method=method, **changes), Heard()
        return Simulated(federation, simulate(federation, find_method(method), heard), heard)

    return run


@pytest.fixture(scope="session")
def finished_run(micro_config: ConfigMaker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished fedrouter run. For reading only: a test that writes takes `run_copy`."""
    from fedrouter_sim.federation.observers import Display
    from fedrouter_sim.operations.train import train

    return train(micro_config(), tmp_path_factory.mktemp("runs") / "finished", False, Display()).folder


@pytest.fixture
def run_copy(finished_run: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, to be changed at will."""
    return Path(shutil.copytree(finished_run, tmp_path / "copy"))


@pytest.fixture(scope="session")
def trained_bytes() -> Callable[[Path], dict[str, bytes]]:
    """Return a function that reads all bytes of a run that its settings decide, by file."""

    def read(folder: Path) -> dict[str, bytes]:
        decided = ("adapters/**/*", "updates/**/*", "router.*", "sharing.*", "rounds.jsonl")
        paths = sorted(path for pattern in decided for path in folder.glob(pattern) if path.is_file())
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}

    return read


@pytest.fixture(scope="session")
def same() -> Callable[[Adapter, Adapter], bool]:
    """Return a function that says whether two adapters are equal to the bit."""

    def compare(one: Adapter, two: Adapter) -> bool:
        import torch

        return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)

    return compare


@pytest.fixture(scope="session")
def weighted_mean() -> Callable[[Sequence[Adapter], Sequence[float]], dict[str, Any]]:
    """Return a function that averages adapters by hand, in NumPy's float64."""

    def average(adapters: Sequence[Adapter], weights: Sequence[float]) -> dict[str, Any]:
        return {
            key: np.average([a[key].double().numpy() for a in adapters], axis=0, weights=weights) for key in adapters[0]
        }

    return average


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Return a function that puts a package before all others: its metadata and, if given, the code of its module; it
    returns the folder of the metadata."""
    place = tmp_path / "site"
    place.mkdir()
    monkeypatch.syspath_prepend(place)

    def make(name: str, version: str, *lines: str, code: str | None = None) -> Path:
        folder = place / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        head = ("Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}")
        (folder / "METADATA").write_text("\n".join((*head, *lines)) + "\n")
        if code is not None:
            (place / f"{name.replace('-', '_')}.py").write_text(code)
        monkeypatch.delitem(sys.modules, name, raising=False)
        return folder

    return make


@pytest.fixture
def plain_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For `doctor`: caches in the test's folder, one torch thread, and no variable that says otherwise."""
    for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FEDROUTER_SIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("fedrouter_sim.operations.doctor._NVIDIA", tmp_path / "no-card")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.get_num_threads", lambda: 1)
