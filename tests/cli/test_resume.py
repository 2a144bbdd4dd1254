"""`train --resume` and `verify` on the command line: what they say, and how they end."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fedrouter_sim.config import RunConfig
from fedrouter_sim.examples.sources import GIVEN_IN_PYTHON
from fedrouter_sim.folders import building_of
from fedrouter_sim.runs.unfinished import Begun

SCRIPT = Path(sys.executable).with_name("fedrouter-sim")
SMALL = "--clients 2 --local-steps 2 --batch-size 4 --tasks 3 --dtype float32 --test-examples-per-client 1".split()


def test_a_finished_run_says_so(cli, run_copy):
    (run_copy / "checkpoint").mkdir()
    done = cli("train", "--resume", run_copy)
    assert (done.returncode, done.stdout) == (0, f"{run_copy} is finished\n")
    assert not (run_copy / "checkpoint").exists() and (run_copy / "report.html").exists()
    assert json.loads(cli("train", "--resume", run_copy, "--json").stdout) == {"run": str(run_copy), "finished": True}


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--rounds", "50"], "--rounds 50: {run} was begun with 2, and is finished; train another run"),
     (["--preset", "paper"], ", and is finished; train another run")],
)  # fmt: skip
def test_a_finished_run_is_of_its_own_settings(cli, finished_run, words, said):
    """A word that it is finished would be taken for one that the settings given were trained."""
    done = cli("train", "--resume", finished_run, *words)
    assert done.returncode == 2 and said.format(run=finished_run) in done.stderr


@pytest.mark.parametrize("words", [["--out", "x"], ["--overwrite"], ["--seeds", "1,2"], ["--dry-run"]])
def test_what_does_not_go_with_resume_is_refused(cli, finished_run, words):
    done = cli("train", "--resume", finished_run, *words)
    assert done.returncode == 2
    assert done.stderr == f"error: {words[0]}: does not go with --resume, which goes on as the run was begun\n"


@pytest.mark.parametrize("words", [["--tensorboard"], ["--checkpoint-every", "client"]])
def test_what_a_run_was_not_begun_with_is_refused(cli, tmp_path, words):
    begun = Begun(building_of(tmp_path / "run"), vars(RunConfig()))
    begun.folder.mkdir(parents=True)
    begun.save()
    done = cli("train", "--resume", tmp_path / "run", *words)
    assert done.returncode == 2 and done.stderr.startswith(f"error: {' '.join(words)}: {tmp_path}/run was begun with")


def test_a_run_of_data_from_python_goes_on_from_python(cli, tmp_path):
    begun = Begun(building_of(tmp_path / "run"), vars(RunConfig(data=GIVEN_IN_PYTHON)))
    begun.folder.mkdir(parents=True)
    begun.save()
    done = cli("train", "--resume", tmp_path / "run")
    assert done.returncode == 2 and "go on from Python, with train(..., shares=..., resume=True)" in done.stderr


def test_runs_of_several_seeds_do_not_go_into_a_run(cli, run_copy):
    done = cli("train", "--seeds", "1,2", "--out", run_copy)
    assert done.returncode == 2 and f"error: --out {run_copy}: is a run folder, and runs of" in done.stderr


def test_nothing_to_resume_is_one_line(cli, tmp_path):
    done = cli("train", "--resume", tmp_path / "run")
    assert done.returncode == 2 and done.stderr.startswith(f"error: --resume {tmp_path}/run: there is no run")


def test_code_that_a_folder_names_runs_only_where_a_flag_names_it_as_well(cli, tmp_path):
    own = f"{tmp_path}/own.py:Own"
    (tmp_path / "own.py").write_text("raise RuntimeError('it ran')\n", encoding="utf-8")
    begun = Begun(building_of(tmp_path / "run"), vars(RunConfig(method=own)))
    begun.folder.mkdir(parents=True)
    begun.save()
    done = cli("train", "--resume", tmp_path / "run")
    assert done.returncode == 2 and "it ran" not in done.stderr
    assert "its method names a file of code, which is not run on the folder's word; look into it, then " in done.stderr
    assert f"then give --method {own} as well" in done.stderr
    assert "it ran" in cli("train", "--resume", tmp_path / "run", "--method", own).stderr


def test_a_reader_that_has_gone_is_one_line(cli, finished_run, monkeypatch):
    def gone(*given: object, **more: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("fedrouter_sim.cli.verify.print_result", gone)
    done = cli("verify", finished_run, "-q")
    assert (done.returncode, done.stderr) == (2, "error: standard output: closed by its reader before the end\n")


def test_verify_says_what_has_changed(cli, run_copy):
    done = cli("verify", run_copy, "-q")
    assert done.returncode == 0 and "same" in done.stdout and "changed" not in done.stdout
    (run_copy / "router.json").unlink()
    (run_copy / "router.safetensors").unlink()
    done = cli("verify", run_copy, "-q", "--json")
    assert done.returncode == 1
    record = json.loads(done.stdout)
    assert record["changed"] == 2
    assert {"what": "router.json", "state": "changed", "said": "is gone"} in record["checks"]


def test_verify_writes_out_what_would_steer_a_terminal(cli, run_copy):
    path = run_copy / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files_sha256"]["\x1b[2Jgone"] = "0"
    path.write_text(json.dumps(manifest))
    said = cli("verify", run_copy, "-q").stdout
    assert "\x1b" not in said and r"\x1b[2Jgone is gone" in said


def done_in(checkpoint: Path) -> int:
    """Return how many rounds are kept."""
    kept = [path.name.removeprefix("round-") for path in checkpoint.glob("round-*")]
    return max((int(name) for name in kept if name.isdigit()), default=0)


@pytest.mark.long
def test_a_run_that_was_stopped_or_killed_goes_on(tmp_path, cli):
    """From the command line, by SIGTERM, then by SIGKILL."""
    out, started = tmp_path / "run", tmp_path / ".run.partial" / "checkpoint"
    words, ends = ["train", *SMALL, "--rounds", "6", "-q", "--out", out], [(signal.SIGTERM, 1), (signal.SIGKILL, 3)]
    for number, rounds in ends:
        with subprocess.Popen([SCRIPT, *words], stderr=subprocess.PIPE, text=True) as process:
            deadline = time.monotonic() + 100
            while done_in(started) < rounds and time.monotonic() < deadline:
                time.sleep(0.05)
            if number == signal.SIGTERM:
                assert cli("train", *SMALL, "--out", out).stderr.startswith(
                    f"error: --out {out}: process {process.pid} is writing it; wait for it"
                )
            process.send_signal(number)
            said = process.communicate(timeout=100)[1]
        if number == signal.SIGTERM:
            assert process.returncode == 128 + number
            assert said.startswith("interrupted; ") and f"`fedrouter-sim train --resume {out}` goes on" in said
            refused = cli("train", "--resume", out, "--lr", "0.5")
            assert refused.stderr == (
                f"error: --lr 0.5: {out} was begun with 0.02, and --resume goes on with that; drop it\n"
            )
        words = ["train", "--resume", out, "-q"]
    done = cli(*words, "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["optimizer_steps"] == 2 * 2 * 6
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
