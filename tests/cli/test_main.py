"""How errors leave the command line."""

import sys

import pytest

from fedrouter_sim.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "--bogus"], ["--bogus"]),
        (["train", "--lr", "fast"], ["--lr", "number"]),
        (["train", "--split", "most"], ["--split most", "dual"]),
        (["train", "--clients", "0"], ["--clients 0", "at least 1"]),
        (["train", "--lr-min", "1"], ["--lr-min 1", "--lr 0.01"]),
        (["train", "--method", "magic"], ["--method magic", "fedrouter"]),
        (["train", "--data", "nowhere"], ["--data nowhere", "no such file"]),
        (["train", "--model", "no model"], ["--model 'no model'", "folder"]),
        (["train", "--config", "nowhere.toml"], ["nowhere.toml"]),
        (["train", "--preset", "fast"], ["--preset 'fast'", "paper"]),
        (["train", "--lora-targets", "nothing"], ["--lora-targets 'nothing'", "c_attn"]),
        (["train", "--clients", "2", "--local-clusters", "1"], ["--tasks 4", "lower --tasks"]),
        (["train", "--max-tokens", "20"], ["--max-tokens 20", "template"]),
        (["route", "nowhere", "text"], ["nowhere", "no such run folder"]),
        (["eval", "nowhere"], ["nowhere", "no such run folder"]),
        (["aggregate", "nowhere", "--out", "x"], ["nowhere", "no such run folder"]),
        (["aggregate", "nowhere"], ["--out"]),
    ],
)
def test_bad_input_gets_one_line_and_exit_code_2_and_leaves_nothing(cli, tmp_path, arguments, words):
    done = cli(*arguments, *(["--quiet", "--out", "run"] if arguments[0] == "train" else []), cwd=tmp_path)
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1 and lines[0].startswith("error: ")
    assert all(word in lines[0] for word in words), lines[0]
    assert not list(tmp_path.iterdir())


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["fedrouter-sim", "train"])
    monkeypatch.setattr("fedrouter_sim.cli.train.resolve_settings", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main()


def test_interrupting_is_one_line(monkeypatch, cli):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fedrouter_sim.cli.train.resolve_settings", interrupt)
    done = cli("train")
    assert (done.returncode, done.stderr) == (130, "interrupted; no half-written run was left behind\n")
