"""`fedrouter-sim export`, and `train --tensorboard`."""

import json

from transformers import AutoModelForCausalLM


def test_export_of_one_merged_model(cli, finished_run, tmp_path):
    out = tmp_path / "models"
    done = cli("export", finished_run, "--merged", "--task", "task_1", "--out", out, "--json", "--quiet")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert json.loads(done.stdout) == {"out": str(out), "folders": {"task_1": str(out / "task_1")}}
    assert type(AutoModelForCausalLM.from_pretrained(out / "task_1")).__name__ == "GPT2LMHeadModel"


def test_export_of_all_adapters_and_its_refusals(cli, finished_run, tmp_path):
    done = cli("export", finished_run, "--out", tmp_path / "out")
    assert done.returncode == 0 and "task_3" in done.stdout
    for arguments, words in (
        ((finished_run, "--out", tmp_path / "out"), "--overwrite"),
        ((finished_run, "--out", tmp_path / "x", "--task", "task_7"), "--task task_7"),
        ((tmp_path / "nowhere", "--out", tmp_path / "x"), "no such run folder"),
        ((finished_run, "--out", tmp_path / "x", "--merged", "--dtype", "int8"), "--dtype int8"),
    ):
        done = cli("export", *arguments, "--quiet")
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and words in done.stderr, done.stderr
    assert "Example: fedrouter-sim export" in cli("export", "--help").stdout


def test_train_streams_to_tensorboard_and_says_where(cli, micro_config, tmp_path):
    (tmp_path / "micro.toml").write_text(
        micro_config(method="fedavg", rounds=1, local_steps=1, test_examples_per_client=1).to_toml()
    )
    micro = ("--config", tmp_path / "micro.toml", "--tensorboard")
    done = cli("train", *micro, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert f"note: TensorBoard can follow the run: tensorboard --logdir {tmp_path}" in done.stderr
    assert len(list((tmp_path / "run" / "tensorboard").iterdir())) == 1
    done = cli("train", *micro, "--seeds", "1,2", "--out", tmp_path / "several")
    assert done.returncode == 2 and "--tensorboard" in done.stderr and not (tmp_path / "several").exists()
