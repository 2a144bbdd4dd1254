"""How errors leave the command line."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fedrouter_sim.cli.main import main

SCRIPT = Path(sys.executable).with_name("fedrouter-sim")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "--bogus"], ["--bogus"]),
        (["train", "--lr", "fast"], ["--lr", "number"]),
        (["train", "--split", "most"], ["--split most", "dual"]),
        (["train", "--clients", "0"], ["--clients 0", "at least 1"]),
        (["train", "--lr-min", "1"], ["--lr-min 1", "--lr 0.02"]),
        (["train", "--method", "magic"], ["--method magic", "fedrouter"]),
        (["train", "--data", "nowhere"], ["--data nowhere", "no such file"]),
        (["train", "--model", "no model"], ["--model 'no model'", "folder"]),
        (["train", "--config", "nowhere.toml"], ["nowhere.toml"]),
        (["train", "--preset", "fast"], ["--preset 'fast'", "paper"]),
        (["train", "--lora-targets", "nothing"], ["--lora-targets 'nothing'", "c_attn"]),
        (
            ["train", "--clients", "2", "--tasks", "4", "--local-clusters", "1", "--examples-per-client", "12"],
            ["--tasks 4", "lower --tasks"],
        ),
        (["train", "--max-tokens", "20"], ["--max-tokens 20", "template"]),
        (["route", "nowhere", "text"], ["nowhere", "no such run folder"]),
        (["eval", "nowhere"], ["nowhere", "no such run folder"]),
        *(
            (["eval", "nowhere", flag, "it"], [f"{flag} it: is a column of --data", "drop it"])
            for flag in ("--instruction-column", "--response-column", "--task-column", "--client-column")
        ),
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


SMALL = (
    "--clients 2 --local-steps 20 --batch-size 4 --tasks 3 --dtype float32"
    " --examples-per-client 24 --test-examples-per-client 1"
).split()  # fmt: skip


def test_termination_is_as_an_interrupt(tmp_path):
    command = [SCRIPT, "train", *SMALL, "--rounds", "3000", "-q", "--out", tmp_path / "run"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 100
        while not list(tmp_path.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert list(tmp_path.iterdir())  # the run has begun
        process.send_signal(signal.SIGTERM)
        output, said = process.communicate(timeout=100)
    assert (process.returncode, output) == (128 + signal.SIGTERM, "")
    assert said == "interrupted; no half-written run was left behind\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGINT, 130)])
def test_a_signal_that_comes_in_a_destructor_ends_it_as_well(number, code):
    program = (
        "import os, signal, sys, time\nfrom fedrouter_sim.cli import main, train\n\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have had it ignored\n\n"
        "class Late:\n"
        f"    def __del__(self):\n        os.kill(os.getpid(), {int(number)})\n        time.sleep(1)\n\n"
        "def resolve(*_):\n    Late()\n    time.sleep(60)\n\n"
        "train.resolve_settings = resolve\nsys.argv = ['fedrouter-sim', 'train']\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stderr) == (code, "interrupted; no half-written run was left behind\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("arguments", [["--version"], ["doctor", "--json"], ["init", "--help"]])
def test_a_full_standard_output_is_one_line(arguments):
    program = (
        "from fedrouter_sim.cli import main\nfrom fedrouter_sim.operations import doctor\n\n"
        "doctor.doctor = lambda: doctor.Checkup(())  # finding all takes seconds\nmain()"
    )
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-c", program, *arguments]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr == "error: standard output: No space left on device\n"


def test_a_disk_that_takes_no_more_is_one_line_and_leaves_nothing(tmp_path):
    command = f"ulimit -f 60; exec {SCRIPT} train {' '.join(SMALL)} --rounds 1 -q --out {tmp_path}/run"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert done.stderr == (
        f"error: --out {tmp_path}/run: cannot be written (File too large); make room, or choose another place\n"
    )
    assert list(tmp_path.iterdir()) == []
