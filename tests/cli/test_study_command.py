"""`study` goes through every method and split of its plan, and goes on where it was."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from cheaper import leave_figures_blank

from fedrouter_sim.cli.main import main
from fedrouter_sim.methods import METHODS

ROOT = Path(__file__).resolve().parents[2]


SMOKE = str(ROOT / "scripts" / "plans" / "smoke.toml")


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str, code: int = 0) -> None:
    monkeypatch.setattr(sys, "argv", ["fedrouter-sim", "study", *arguments])
    with pytest.raises(SystemExit) as exit_info:
        main()
    assert (exit_info.value.code or 0) == code


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)  # as in a worker
    out = tmp_path_factory.mktemp("smoke")
    with pytest.MonkeyPatch.context() as monkeypatch:
        call(monkeypatch, SMOKE, "--workers", "1", "--out", str(out))
    return out


def test_the_smoke_plan_has_every_method_and_leaves_page_tables_and_figures(smoke):
    rows = list(csv.DictReader((smoke / "results.csv").open(encoding="utf-8")))
    assert {row["method"] for row in rows} == {*METHODS.names, "fedrouter/local"}
    assert {(row["split"], row["test_data"]) for row in rows} == {
        (split, data) for split in ("dual", "single") for data in ("own", "all")
    }
    assert all(0 <= float(row["rouge1"]) <= 1 for row in rows)
    assert "<svg" in (smoke / "report.html").read_text(encoding="utf-8")
    table = (smoke / "table.md").read_text(encoding="utf-8")
    assert "fedrouter" in table and "fedrouter-sim study " in table and "smoke.toml" in table
    assert "Backbone: tiny-gpt2, the embedded GPT-2" in table
    clients = list(csv.DictReader((smoke / "clients.csv").open(encoding="utf-8")))
    assert len(clients) == 4 * len(rows) and {row["client"] for row in clients} == {"0", "1", "2", "3"}
    assert len(list((smoke / "figures").glob("*.svg"))) == 8  # by score and by loss
    (claim,) = json.loads((smoke / "claims.json").read_text(encoding="utf-8"))
    assert (
        claim["verdict"] in ("reproduced", "contradicted", "not separable") and claim["gain"]["log_ratio"]["seeds"] == 2
    )


def test_methods_of_a_split_and_seed_spend_the_same_steps(smoke):
    rows = list(csv.DictReader((smoke / "results.csv").open(encoding="utf-8")))
    steps = {row["optimizer_steps"] for row in rows if row["method"] != "base"}
    assert steps == {"16"}  # 4 clients, 2 rounds, 2 steps


def test_a_second_call_runs_nothing_and_says_the_same(smoke, monkeypatch, capsys):
    before = (smoke / "results.csv").read_bytes()
    monkeypatch.setattr("fedrouter_sim.operations.study._run_one", lambda *_, **__: pytest.fail("ran again"))
    leave_figures_blank(monkeypatch)
    call(monkeypatch, SMOKE, "--out", str(smoke))
    assert (smoke / "results.csv").read_bytes() == before
    shown = capsys.readouterr()
    assert "single" in shown.out and "verdict" in shown.out and "left" not in shown.err


@contextmanager
def inline(engine, most, kept):
    """Seats that are this process."""
    assert (engine, most) == (2, 2)

    def done(works):
        for number, (function, *given) in enumerate(works):
            function(*given)
            yield number, None

    yield done


def test_workers_train_what_is_left_to_the_same_bytes_and_end(smoke, monkeypatch, tmp_path, trained_bytes):
    """Workers that are processes are those of the next test but one."""
    out = Path(shutil.copytree(smoke, tmp_path / "study"))
    left = ("single-fedavg-seed222", "dual-local-seed111")
    for name in left:
        shutil.rmtree(out / name)
    monkeypatch.setattr("fedrouter_sim.operations.study.seats", inline)
    monkeypatch.setattr("fedrouter_sim.operations.study.Engine.wanted", lambda workers, address: workers)
    leave_figures_blank(monkeypatch)
    call(monkeypatch, SMOKE, "--workers", "2", "--out", str(out))
    for name in left:
        assert trained_bytes(out / name) == trained_bytes(smoke / name) != {}


def test_a_plan_that_is_not_there_is_one_line(monkeypatch, capsys, tmp_path):
    call(monkeypatch, "nope", "--out", str(tmp_path), code=2)
    assert capsys.readouterr().err.strip() == (
        "error: nope: cannot be read ([Errno 2] No such file or directory: 'nope'); give a TOML file"
    )


def test_several_workers_want_the_extra_and_one_does_not(smoke, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("fedrouter_sim.federation.engine.installed", lambda: False)
    call(monkeypatch, SMOKE, "--workers", "2", "--out", str(tmp_path), code=2)
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: --workers: the package ray is not installed; `pip install 'fedrouter-sim[ray]'`"
    )
    leave_figures_blank(monkeypatch)
    call(monkeypatch, SMOKE, "--workers", "1", "--out", str(smoke))  # and neither does what is at hand
    call(monkeypatch, SMOKE, "--out", str(smoke))


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="the extra ray is not installed")
def test_an_interrupt_leaves_whole_runs_only_and_no_traceback(smoke, tmp_path, trained_bytes):
    words = [sys.executable, "-m", "fedrouter_sim", "study", SMOKE, "--workers", "2", "--out", str(tmp_path)]
    study = subprocess.Popen(words, cwd=ROOT, start_new_session=True, stderr=subprocess.PIPE, text=True)
    assert study.stderr is not None
    first = next(line for line in study.stderr if line.startswith("1/14"))
    os.killpg(study.pid, signal.SIGINT)  # as a terminal's Ctrl-C: to the workers as well
    said = first + study.stderr.read()
    assert study.wait() == 130
    assert "Traceback" not in said and f"the finished runs are in {tmp_path}" in said
    found = sorted(path.name for path in tmp_path.iterdir())
    under_way = [name for name in found if name.startswith(".")]  # those that were at it go on from there
    assert all(name.endswith(".partial") for name in under_way) and len(found) > len(under_way) < 3
    whole = [name for name in found if name not in under_way]
    assert all((tmp_path / name / "summary.json").is_file() for name in whole)
    assert all(trained_bytes(tmp_path / name) == trained_bytes(smoke / name) for name in whole)


def test_make_reproduce_calls_it_with_a_shipped_plan_or_a_path():
    for plan, path in (("smoke", "scripts/plans/smoke.toml"), ("own.toml", "own.toml")):
        words = ["make", "-n", "reproduce", f"PLAN={plan}", "ARGS=--workers 1"]
        shown = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert f"fedrouter-sim study {path} --workers 1" in shown


def test_too_few_workers_are_refused(monkeypatch, capsys, tmp_path):
    call(monkeypatch, SMOKE, "--workers", "0", "--out", str(tmp_path), code=2)
    assert capsys.readouterr().err == "error: --workers 0: must be at least 1\n"


@pytest.fixture(scope="module")
def records(smoke, tmp_path_factory):
    """The records of the smoke plan's runs."""
    file = tmp_path_factory.mktemp("records") / "records.jsonl"
    with pytest.MonkeyPatch.context() as monkeypatch:
        leave_figures_blank(monkeypatch)
        call(monkeypatch, SMOKE, "--out", str(smoke), "--records", str(file), "--quiet")
    return file


def test_with_records_a_study_is_compared_where_its_folders_are_not(smoke, records, monkeypatch, tmp_path):
    assert len(records.read_text(encoding="utf-8").splitlines()) == 14
    leave_figures_blank(monkeypatch)
    monkeypatch.setattr("fedrouter_sim.operations.study._run_one", lambda *_, **__: pytest.fail("ran again"))
    call(monkeypatch, SMOKE, "--out", str(tmp_path), "--records", str(records), "--quiet")
    assert not list(tmp_path.glob("*-seed*")) and (tmp_path / "report.html").is_file()
    tables = [list(csv.DictReader((out / "results.csv").open(encoding="utf-8"))) for out in (smoke, tmp_path)]
    one, two = ([(row["method"], row["split"], row["test_data"], row["rouge1"]) for row in table] for table in tables)
    assert one == two


def test_what_is_there_so_far_is_drawn_without_more_runs(records, monkeypatch, tmp_path):
    lines = records.read_text(encoding="utf-8").splitlines(keepends=True)
    some = tmp_path / "some.jsonl"
    some.write_text("".join(lines[:5]), encoding="utf-8")
    leave_figures_blank(monkeypatch)
    monkeypatch.setattr("fedrouter_sim.operations.study._run_one", lambda *_, **__: pytest.fail("ran"))
    call(monkeypatch, SMOKE, "--only-draw", "--out", str(tmp_path / "out"), "--records", str(some), "--quiet")
    assert "5 of 14 runs" in (tmp_path / "out" / "table.md").read_text(encoding="utf-8")


def test_data_and_backbone_that_are_not_here_are_needed_to_run_and_not_to_draw(records, monkeypatch, tmp_path, capsys):
    plan, there = tmp_path / "plan.toml", tmp_path / "records.jsonl"
    gone = '[settings]\ndata = "gone-data"\nmodel = "gone-model"'
    plan.write_text(Path(SMOKE).read_text(encoding="utf-8").replace("[settings]", gone), encoding="utf-8")
    kept = records.read_text(encoding="utf-8").replace('"data": "multitask"', '"data": "gone-data"')
    there.write_text(kept.replace('"model": "tiny-gpt2"', '"model": "gone-model"'), encoding="utf-8")
    leave_figures_blank(monkeypatch)
    call(monkeypatch, str(plan), "--records", str(there), "--out", str(tmp_path / "out"), code=2)
    assert "--data" in capsys.readouterr().err
    call(monkeypatch, str(plan), "--records", str(there), "--out", str(tmp_path / "out"), "--only-draw")
    assert "note: not compared with what the runs were made of: --data" in capsys.readouterr().err
    assert "14 of 14 runs" in (tmp_path / "out" / "table.md").read_text(encoding="utf-8")


def test_nothing_is_drawn_where_nothing_is_there(smoke, monkeypatch, tmp_path, capsys):
    """A mistyped name would replace results by an empty page."""
    gone = tmp_path / "mistyped.jsonl"
    call(monkeypatch, SMOKE, "--only-draw", "--records", str(gone), "--out", str(tmp_path / "out"), code=2)
    assert f"--only-draw: no run of {SMOKE} is in {gone} yet" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    call(monkeypatch, SMOKE, "--only-draw", "--workers", "2", "--out", str(smoke), code=2)
    assert "--workers: nothing is run with --only-draw; drop it" in capsys.readouterr().err


FAILING = """
title = "One that cannot be"
seeds = [1]

[settings]
clients = 2
rounds = 1
local_steps = 1
examples_per_client = 8
test_examples_per_client = 2

[[runs]]
split = "natural"
methods = ["fedavg"]

[[runs]]
split = "dual"
methods = ["fedavg"]
settings = { template = "plain", max_tokens = 40 }
"""


def test_a_run_that_cannot_be_made_is_named_and_the_others_are_made(monkeypatch, tmp_path, capsys):
    plan, out = tmp_path / "plan.toml", tmp_path / "out"
    plan.write_text(FAILING, encoding="utf-8")
    leave_figures_blank(monkeypatch)
    call(monkeypatch, str(plan), "--workers", "1", "--out", str(out), code=2)
    said = capsys.readouterr().err
    assert said.count("note: natural-fedavg-seed1 could not be made: --split natural") == 1
    assert "error: 1 of 2 runs could not be made: natural-fedavg-seed1: --split natural" in said
    assert [path.name for path in out.glob("*-seed1")] == ["dual-fedavg-seed1"]
    table = (out / "table.md").read_text(encoding="utf-8")
    assert "1 of 2 runs" in table
    for text in (said, table, (out / "report.html").read_text(encoding="utf-8")):  # what the other had to say
        assert re.search(r"dual-fedavg-seed1: \d+ training and \d+ test instructions were cut to fit", text)
    shutil.rmtree(out / "dual-fedavg-seed1")
    plan.write_text(FAILING[: FAILING.rindex("[[runs]]")], encoding="utf-8")
    before = (out / "table.md").read_bytes()
    call(monkeypatch, str(plan), "--workers", "1", "--out", str(out), code=2)
    assert "error: 1 of 1 runs could not be made" in capsys.readouterr().err
    assert (out / "table.md").read_bytes() == before


def test_a_study_is_divided_by_the_names_of_its_runs(records, monkeypatch, tmp_path, capsys):
    lines = records.read_text(encoding="utf-8").splitlines(keepends=True)
    some, ran = tmp_path / "some.jsonl", []
    some.write_text("".join(line for line in lines if "fedavg" not in line[:40]), encoding="utf-8")
    monkeypatch.setattr("fedrouter_sim.operations.study._run_one", lambda train, planned, *_: ran.append(planned.name))
    monkeypatch.setattr("fedrouter_sim.operations.study._done", lambda *_: pytest.fail("it is not there"))
    arguments = (SMOKE, "--workers", "1", "--out", str(tmp_path / "out"), "--records", str(some))
    with pytest.raises(pytest.fail.Exception):
        call(monkeypatch, *arguments, "--only", "single-*-seed222")
    assert ran == ["single-fedavg-seed222"]
    call(monkeypatch, *arguments, "--only", "triple-*", code=2)
    assert "error: --only triple-*: no run of the plan is called so; there is dual-" in capsys.readouterr().err


def test_records_of_another_plan_are_refused(records, monkeypatch, tmp_path, capsys):
    lines = [json.loads(line) for line in records.read_text(encoding="utf-8").splitlines()]
    lines[3]["origin"]["settings"]["lr"] = 0.25
    other = tmp_path / "records.jsonl"
    other.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    call(monkeypatch, SMOKE, "--out", str(tmp_path / "other"), "--records", str(other), code=2)
    assert f"{lines[3]['name']} of the records: was run with lr = 0.25, the plan says" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
