"""Entries of the user's own on the command line: files, options, and the metric that stands first."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

OWN = """
from fedrouter_sim import Metric
from fedrouter_sim.methods.fedavg import FedAvg


class Words(Metric):
    name, title = "words", "words"

    def __init__(self, most: int = 99):
        self.most = most

    def measure(self, sample):
        return float(min(self.most, len(sample.answer.split())))


class Mine(FedAvg):
    name = "mine"
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A file with a metric and a method of the user's."""
    (tmp_path / "mine.py").write_text(OWN, encoding="utf-8")
    return tmp_path / "mine.py"


@pytest.fixture
def micro(micro_config: Any, tmp_path: Path) -> tuple[str, Path]:
    """Arguments for a run of the least size."""
    path = tmp_path / "micro.toml"
    path.write_text(micro_config(rounds=1, local_steps=1, test_examples_per_client=2).to_toml(), encoding="utf-8")
    return "--config", path


def test_a_metric_of_ones_own_stands_first_everywhere(cli: Any, own: Path, micro: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    mine = ("--metric", f"{own}:Words", "--option", "most=1", "--method", f"{own}:Mine")
    done = cli("train", *micro, *mine, "--out", run, "--quiet", "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert (record["metric"], record["method"]) == ("words", "mine")
    assert 0 <= record["scores"]["all-fixed"]["words"] <= 1
    assert "rouge1" in record["scores"]["all-fixed"]
    shown = cli("eval", run, "--test-data", "all", "--quiet")
    assert shown.returncode == 0 and "words" in shown.stdout
    assert "words in cell" not in shown.stdout
    assert "words, mean over clients" in cli("compare", run, "--quiet").stdout
    assert "words, all tasks" in (run / "report.html").read_text(encoding="utf-8")
    by_loss = cli("eval", run, "--test-data", "all", "--metric", "loss", "--quiet")
    assert by_loss.returncode == 0 and "loss" in by_loss.stdout


def test_a_shipped_metric_and_rule_are_named_by_flags(cli: Any, micro: Any, tmp_path: Path) -> None:
    chosen = ("--metric", "loss", "--aggregation", "product", "--method", "fedavg")
    done = cli("train", *micro, *chosen, "--out", tmp_path / "run", "--quiet")
    assert done.returncode == 0, done.stderr
    assert "loss, all tasks, mean over clients" in done.stdout
    settings = (tmp_path / "run" / "config.toml").read_text(encoding="utf-8")
    assert 'metric = "loss"' in settings and 'aggregation = "product"' in settings


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("--metric", "rouge9"),
            "--metric rouge9: choose one of rouge1, rouge2, ",
        ),
        (("--aggregation", "mode"), "--aggregation mode: choose one of mean, product"),
        (("--router", "far"), "--router far: choose one of centroid, prototypes"),
        (("--format", "rows"), "--format rows: choose one of auto, columns"),
        (("--drift-to", "twice", "--drift-at", "1"), "--drift-to twice: choose one of none, single, dual"),
        (("--option", "few"), "--option 'few': must be name=value"),
        (("--option", "few=1"), "--option few=1: is no option of the run's"),
        (("--option", "most=1", "--option", "most=2"), "--option most: is given twice"),
        (("--metric", "MINE:Words", "--option", "most=x"), "--option most=x: must be of type int"),
        (("--metric", "MINE:Absent"), "has no class Absent that is a fedrouter_sim.evaluation.metrics.metric.Metric"),
        (("--method", "absent.py:Mine"), "absent.py is no Python file"),
    ],
)
def test_what_is_no_entry_or_option_is_one_line_and_leaves_nothing(
    cli: Any, own: Path, micro: Any, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    given = [word.replace("MINE", str(own)) for word in arguments]
    done = cli("train", *micro, *given, "--out", tmp_path / "run")
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 2 and len(lines) == 1 and said in lines[0], done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


HOSTILE = """
import torch
from fedrouter_sim import Aggregation, FedRouter, Metric


class Rule(Aggregation):
    def add(self, adapter, weight):
        self.first = adapter


class WrongKeys(Rule):
    name = "wrong-keys"

    def result(self):
        return {"x": torch.zeros(1)}


class NotFinite(Rule):
    name = "not-finite"

    def result(self):
        return {key: value * float("nan") for key, value in self.first.items()}


class Double(Rule):
    name = "double"

    def result(self):
        return {key: value.double() for key, value in self.first.items()}


class Nothing(Rule):
    name = "nothing"

    def result(self):
        return None


class Unable(Nothing):
    name = "unable"

    def add(self, adapter, weight):
        raise KeyError("lora_C")


class NotANumber(Metric):
    name, title = "nan", "nan"

    def measure(self, sample):
        return float("nan")


class Taken(NotANumber):
    name = "answer"


class Untitled(Metric):
    name = "untitled"

    def measure(self, sample):
        return 1.0


class Elsewhere(FedRouter):
    name = "../../elsewhere"
"""


@pytest.mark.parametrize(
    ("flag", "entry", "said"),
    [
        ("--aggregation", "WrongKeys", "WrongKeys gave no usable adapter"),
        ("--aggregation", "NotFinite", "NotFinite gave no usable adapter"),
        ("--aggregation", "Nothing", "Nothing gave no usable adapter for pool "),
        ("--aggregation", "Unable", "Unable could not add an update of pool "),
        ("--aggregation", "Double", "is of type torch.float64, not torch.float32"),
        ("--metric", "NotANumber", "measure gave nan; it has to give a finite number or None"),
        ("--metric", "Taken", "is a key of the files of scores"),
        ("--metric", "Untitled", "has no title"),
        ("--method", "Elsewhere", "has the name '../../elsewhere'"),
    ],
)
def test_what_an_own_entry_gives_is_checked(
    cli: Any, micro: Any, tmp_path: Path, flag: str, entry: str, said: str
) -> None:
    (tmp_path / "hostile.py").write_text(HOSTILE, encoding="utf-8")
    done = cli("train", *micro, flag, f"{tmp_path / 'hostile.py'}:{entry}", "--out", tmp_path / "run", "--quiet")
    assert done.returncode == 2 and done.stdout == "" and not (tmp_path / "run").exists()
    [line] = done.stderr.splitlines()
    assert line.startswith(f"error: {flag}") and said in line


def test_a_script_may_train_by_its_own_method_without_a_guard(micro: Any, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from pathlib import Path\n"
        "from fedrouter_sim import FedRouter, RunConfig, train\n"
        "from fedrouter_sim.config.reading import read_settings\n\n\n"
        "class Mine(FedRouter):\n    name = 'mine'\n\n\n"
        f"config = RunConfig(**read_settings(Path({str(micro[1])!r})))\n"
        f"print(train(config, {str(tmp_path / 'run')!r}, method=Mine).summary.method)\n",
        encoding="utf-8",
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "mine"
