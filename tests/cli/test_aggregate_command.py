"""`fedrouter-sim aggregate`: of a run, and of folders of clients that trained elsewhere."""

import json

import pytest


@pytest.mark.parametrize("flag", ["--aggregation", "--average"])
def test_averaging_by_products_is_noted_with_what_it_lost(cli, finished_run, tmp_path, flag):
    done = cli("aggregate", finished_run, flag, "product", "--out", tmp_path / "products", "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["aggregation"] == "product" and set(record["truncation_errors"]) == {f"task_{t}" for t in range(4)}
    said = "note: averaged by their products B A, with truncated SVD: as --aggregation says; lost"
    assert done.stderr.startswith(said)
    quiet = cli("aggregate", finished_run, "--out", tmp_path / "mean", "--quiet")
    assert (quiet.returncode, quiet.stderr) == (0, "")


def test_the_flags_former_name_is_still_taken_and_not_shown(cli, finished_run, tmp_path):
    done = cli("aggregate", finished_run, "--average", "factors", "--out", tmp_path / "old", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["aggregation"] == "mean" and "as --aggregation says" in done.stderr
    shown = cli("aggregate", "--help").stdout
    assert "--aggregation" in shown and "--average" not in shown


def test_a_rule_of_ones_own_is_named_by_its_file(cli, finished_run, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from fedrouter_sim.adapters.aggregation.mean import WeightedMean\n\n\n"
        "class Plain(WeightedMean):\n    name = 'plain'\n"
    )
    name = f"{tmp_path / 'mine.py'}:Plain"
    done = cli("aggregate", finished_run, "--aggregation", name, "--out", tmp_path / "own", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["aggregation"] == name
    weights = "adapters/task_0/adapter_model.safetensors"
    assert (tmp_path / "own" / weights).read_bytes() == (finished_run / weights).read_bytes()


def test_updates_of_clients_that_trained_elsewhere(cli, micro_config, micro_model, micro_data, tmp_path):
    (tmp_path / "raw.toml").write_text(
        micro_config(normalize="none", rounds=1, local_steps=2, test_examples_per_client=1).to_toml()
    )
    done = cli("train", "--config", tmp_path / "raw.toml", "--out", tmp_path / "run", "--quiet")
    assert done.returncode == 0, done.stderr
    clients = sorted((tmp_path / "run" / "updates").iterdir())
    settings = ("--model", micro_model, "--tasks", "4", "--seed", "1", "--template", "plain", "--max-tokens", "128")
    done = cli("aggregate", *clients, *settings, "--out", tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    assert "averaged factor by factor" in done.stderr
    assert sum(json.loads(done.stdout)["updates_per_task"]) >= 4
    texts = ["11 + 12 = ?", "reverse: a b c d e"]
    one, other = (cli("route", tmp_path / name, *texts, "--generate", "--json").stdout for name in ("run", "out"))
    # Of update folders nothing is calibrated: it takes clients that answer.
    answers = [
        [{k: v for k, v in json.loads(line).items() if k not in ("unseen", "confidence")} for line in text.splitlines()]
        for text in (one, other)
    ]
    assert answers[0] == answers[1] and len(answers[0]) == 2
    scored = cli("eval", tmp_path / "out", "--quiet")
    assert scored.returncode == 2 and "give test data with --data" in scored.stderr
    data = ("--data", micro_data, "--test-examples-per-client", "2")
    scored = cli("eval", tmp_path / "out", *data, "--routing", "global", "--quiet", "--json")
    assert json.loads(scored.stdout)["given-global"]["mean"]["samples"] == 8


def test_what_does_not_go_together_is_one_line(cli, finished_run, tmp_path):
    out = ("--out", tmp_path / "out")
    for arguments, words in (
        ((finished_run, finished_run), "only one run can be aggregated again"),
        ((finished_run, "--template", "plain"), "--template plain: goes with --model only"),
        ((finished_run, "--max-tokens", "64"), "--max-tokens 64: goes with --model only"),
        ((finished_run, "--model", "tiny-gpt2"), "with a number of --tasks"),
        ((finished_run, "--average", "mean"), "--average mean: is now --aggregation mean or product"),
        ((finished_run, "--aggregation", "factors"), "--aggregation factors: choose one of mean, product"),
        ((finished_run, "--aggregation", "absent.py:Rule"), "absent.py is no Python file"),
        ((finished_run, "--normalize", "unit"), "--normalize unit: choose one of none, l2, standardize"),
        ((finished_run, "--model", "tiny-gpt2", "--tasks", "4"), "its centroids are standardised"),
        ((tmp_path, "--model", "tiny-gpt2", "--tasks", "4"), "holds no update"),
        ((tmp_path, "--model", "tiny-gpt2", "--tasks", "auto"), "with a number of --tasks"),
        ((tmp_path, "--model", "tiny-gpt2", "--tasks", "4", "--cut", "0.5"), "without what --affinity and --cut"),
        ((finished_run, "--tasks", "four"), "--tasks four: must be a whole number or auto"),
        ((finished_run, "--tasks", "0"), "--tasks 0: must be at least 1"),
        ((finished_run, "--cut", "2"), "--cut 2.0: must be at most 1"),
        ((finished_run, "--affinity", "x"), "--affinity x: choose one of gradient, centroid, update, both"),
        ((finished_run, "--affinity", "gradient"), "--affinity gradient: goes by sketches of gradients"),
    ):
        done = cli("aggregate", *arguments, *out)
        lines = done.stderr.splitlines()
        assert done.returncode == 2 and len(lines) == 1 and words in lines[0], done.stderr
    assert not list(tmp_path.iterdir())
