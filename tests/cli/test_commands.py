"""The main commands, on the embedded data and the tiny GPT-2: in this process, and once as the installed script."""

import hashlib
import json
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from fedrouter_sim.evaluation.metrics import METRICS


def digests(folder: Path) -> dict[str, str]:
    """Digests of what must be the same bytes for the same seed."""
    patterns = ("adapters/*/*", "router.*", "clients.*", "updates/*/*/*", "rounds.jsonl")
    files = [file for pattern in patterns for file in folder.glob(pattern)]
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(files)}


def test_two_processes_with_the_same_seed_leave_the_same_bytes(script, small, trained, tmp_path):
    done = script("train", *small, "--out", tmp_path / "again", "--quiet")
    assert done.returncode == 0, done.stderr
    assert digests(tmp_path / "again") == digests(trained)
    assert "<path" in (tmp_path / "again" / "report.html").read_text(encoding="utf-8")  # the figures are drawn
    assert len(digests(trained)) > 20


def test_another_seed_leaves_other_adapters(cli, small, trained, tmp_path):
    done = cli("train", *small, "--seed", "43", "--out", tmp_path / "other", "--quiet")
    assert done.returncode == 0, done.stderr
    first = "adapters/task_0/adapter_model.safetensors"
    assert digests(tmp_path / "other")[first] != digests(trained)[first]


def test_train_json_is_the_summary_and_quiet_is_silent(cli, small, tmp_path):
    done = cli("train", *small, "--method", "fedavg", "--out", tmp_path / "run", "--json", "--quiet")
    assert done.returncode == 0 and done.stderr == ""
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    printed = json.loads(done.stdout)
    assert printed == summary | {"run": str(tmp_path / "run")}
    assert (printed["method"], printed["metric"], printed["cell"]) == ("fedavg", "rouge1", "all-fixed")
    assert set(printed["scores"]) == {"own-fixed", "all-fixed", "all-none"}
    assert set(printed["scores"]["all-fixed"]) == set(METRICS.names)
    assert set(printed["task_scores"]["all-none"]) == {"paraphrase", "headline", "dialogue", "triples"}


def test_train_without_a_terminal_says_how_it_goes_on_standard_error(cli, small, tmp_path):
    done = cli("train", *small, "--method", "local", "--tasks", "3", "--out", tmp_path / "run")
    assert done.returncode == 0
    assert "round 2/2" in done.stderr and "\x1b[" not in done.stderr + done.stdout
    assert "note: --tasks has no effect with --method local" in done.stderr
    assert "ROUGE-1" in done.stdout


def test_flags_without_effect_are_noted_and_contradictions_refused(cli, small):
    beside = ("--overwrite", "--workers", "1") if find_spec("ray") else ("--overwrite",)
    done = cli("train", *small, "--method", "fedrouter", "--tasks", "3", "--cut", "0.5", "--dry-run", *beside)
    assert done.returncode == 0, done.stderr
    assert "note: --cut has no effect with --tasks 3" in done.stderr
    for name in (word for word in beside if word.startswith("--")):
        assert f"note: {name} has no effect with --dry-run" in done.stderr
    done = cli("train", *small, "--seed", "5", "--seeds", "1,2", "--out", "x")
    assert done.returncode == 2 and "error: --seed 5: does not go with --seeds 1,2" in done.stderr


def test_aggregate_with_the_runs_own_choices_gives_the_same_bytes(cli, trained, tmp_path):
    done = cli("aggregate", trained, "--out", tmp_path / "same", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["round"] == 2
    same, original = digests(tmp_path / "same"), digests(trained)
    compared = [name for name in original if name.startswith(("adapters", "router", "clients"))]
    assert len(compared) == 11 and all(same[name] == original[name] for name in compared)


def test_aggregate_into_fewer_tasks_then_route_and_eval(cli, trained, tmp_path):
    assert cli("aggregate", trained, "--tasks", "2", "--out", tmp_path / "two").returncode == 0
    routed = cli("route", tmp_path / "two", "a text", "--json")
    assert json.loads(routed.stdout)["task"] in ("task_0", "task_1")
    scored = cli("eval", tmp_path / "two", "--test-data", "all", "--routing", "global", "--json", "--quiet")
    assert scored.returncode == 0, scored.stderr
    assert list(json.loads(scored.stdout)) == ["all-global"]


@pytest.mark.parametrize("how", ["arguments", "lines", "jsonl", "file"])
def test_route_takes_texts_from_everywhere(cli, trained, tmp_path, how):
    texts = ["Ann: hello\\nBen: hi", "who wrote the letter? - who sent the letter?", "Mara | works as | baker"]
    records = "".join(json.dumps({"instruction": text}) + "\n" for text in texts)
    (tmp_path / "texts.jsonl").write_text(records)
    done = {
        "arguments": lambda: cli("route", trained, *texts, "--json"),
        "lines": lambda: cli("route", trained, "--json", stdin="\n".join(texts)),
        "jsonl": lambda: cli("route", trained, "--json", stdin=records),
        "file": lambda: cli("route", trained, "--file", tmp_path / "texts.jsonl", "--json"),
    }[how]()
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [record["text"] for record in found] == texts
    assert all(record["distance"] > 0 and record["margin"] >= 0 and record["answer"] is None for record in found)


def test_route_generate_answers_each_text(cli, trained):
    done = cli("route", trained, "one text", "another text", "--generate")
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert all(
        re.match(
            r"task_\d\tdistance [\d.]+\tmargin [\d.]+\tconfidence [\d.]+\t(un)?seen [\d.]+\t(one|another) text\t", line
        )
        for line in lines
    )


def test_eval_writes_every_cell_and_prints_tables(cli, trained):
    done = cli("eval", trained)
    assert done.returncode == 0, done.stderr
    for cell in ("all-global", "all-local", "own-global", "own-local"):
        record = json.loads((trained / "eval" / f"{cell}.json").read_text())
        assert record["mean"]["samples"] == len((trained / "eval" / f"{cell}.jsonl").read_text().splitlines()) == 12
        assert set(record["per_task"]) == {"paraphrase", "headline", "dialogue", "triples"}
    assert "exact match" in done.stdout and "task_0" in done.stdout


def test_eval_repeats_what_train_scored(cli, trained):
    done = cli("eval", trained, "--test-data", "all", "--routing", "global", "--routing", "none", "--json", "--quiet")
    cells = json.loads(done.stdout)
    summary = json.loads((trained / "summary.json").read_text())
    for cell in ("all-global", "all-none"):
        assert {key: value for key, value in cells[cell]["mean"].items() if key != "samples"} == summary["scores"][cell]


def test_version_and_help_of_every_command_has_an_example(cli):
    assert re.fullmatch(r"fedrouter-sim \d+\.\d+\.\d+\n", cli("--version").stdout)
    for command in ("train", "aggregate", "route", "eval", "compare", "report", "export", "study"):
        assert f"Example: fedrouter-sim {command}" in cli(command, "--help").stdout


def test_existing_out_is_refused_before_any_work(cli, small, trained):
    done = cli("train", *small, "--out", trained)
    assert done.returncode == 2 and "--overwrite" in done.stderr and len(done.stderr.splitlines()) == 1


def test_broken_jsonl_names_its_line(cli, trained, tmp_path):
    (tmp_path / "texts.jsonl").write_text('{"instruction": "fine"}\n{"other": 1}\n')
    done = cli("route", trained, "--file", tmp_path / "texts.jsonl", "--json")
    assert done.returncode == 2 and "line 2" in done.stderr and "--column" in done.stderr
