"""`fedrouter-sim doctor`: tables or JSON, a verdict, and an exit code."""

import io
import json
import os
import re
import subprocess
import sys
from contextlib import redirect_stdout

import pytest

from fedrouter_sim.cli.doctor import doctor_command
from fedrouter_sim.operations.doctor import NOTE, OK, PROBLEM, Check, Checkup

PATH = "/a/very/long/path/" + "x" * 60 + "/[bold]models"
CHECKS = (
    Check("Packages", "torch", OK, "2.6"),
    Check("Packages", "peft", PROBLEM, "missing", "pip install 'peft>=0.18'", {"version": None}),
    Check("Caches", "OMP_NUM_THREADS", NOTE, f"{PATH}: not there yet", "FEDROUTER_SIM_CACHE=FOLDER names another"),
)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def found(monkeypatch):
    """Return a function that lets the command find these checks."""

    def put(*checks):
        monkeypatch.setattr("fedrouter_sim.operations.doctor.doctor", lambda: Checkup(checks))

    return put


def test_where_runs_work_it_says_so_and_exits_with_0(cli, tmp_path):
    done = cli("doctor", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "Nothing stands in the way of a run on the embedded data."
    for words in ("torch", "data multitask", "tiny-gpt2", "OMP_NUM_THREADS", "4bit"):
        assert words in done.stdout
    assert not list(tmp_path.iterdir())


def test_json_holds_all_that_was_found(cli):
    done = cli("doctor", "--json")
    record = json.loads(done.stdout)
    assert (done.returncode, done.stderr, record["works"], record["problems"]) == (0, "", True, [])
    assert set(record["checks"][0]) == {"section", "name", "state", "found", "remedy", "values"}
    [memory] = [check for check in record["checks"] if check["name"] == "memory"]
    assert memory["values"]["total"] > 2**20


def test_a_problem_is_named_with_its_remedy_and_exits_with_1(cli, found):
    found(*CHECKS)
    done = cli("doctor")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines()[-1] == "No run works until this is fixed: peft."
    assert re.search(r"problem │ peft +│ missing +│\n│ +│ +│ -> pip install 'peft>=0.18'", done.stdout)
    done = cli("doctor", "--json")
    record = json.loads(done.stdout)
    assert (done.returncode, record["works"], record["problems"]) == (1, False, ["peft"])
    assert record["checks"][1] == {
        "section": "Packages", "name": "peft", "state": "problem", "found": "missing",
        "remedy": "pip install 'peft>=0.18'", "values": {"version": None},
    }  # fmt: skip


def test_notes_alone_are_no_failure(cli, found):
    found(CHECKS[0], CHECKS[2])
    done = cli("doctor")
    assert done.returncode == 0 and "Nothing stands in the way" in done.stdout


@pytest.mark.parametrize("width", [40, 80, 120])
def test_nothing_is_cut_off_however_narrow_the_terminal(width, found, monkeypatch):
    found(CHECKS[0], CHECKS[2])
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    with redirect_stdout(Terminal()) as out:
        doctor_command()
    lines = re.sub(r"\x1b\[[\d;]*m", "", out.getvalue()).splitlines()
    assert max(map(len, lines)) <= width
    columns = [line.split("│") for line in lines if line.count("│") == 4]
    state, name, text = ("".join(cell[column].strip() for cell in columns) for column in (1, 2, 3))
    assert state == "oknote" and name == "torchOMP_NUM_THREADS"
    assert PATH in text.replace(" ", "") and "FEDROUTER_SIM_CACHE=FOLDER" in text.replace(" ", "")


def test_a_package_that_does_not_load_is_a_problem_not_a_traceback(tmp_path):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise OSError('libtorch_cpu.so: cannot open shared object file')")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "fedrouter_sim", "doctor"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    assert "but it does not load: libtorch_cpu.so" in done.stdout
    assert re.fullmatch(r"No run works until this is fixed: .*\btorch\b.*\.", done.stdout.splitlines()[-1])


def test_help_has_an_example_and_the_exit_code(cli):
    shown = cli("doctor", "--help").stdout
    assert "Example: fedrouter-sim doctor" in shown and "exit code is 1" in " ".join(shown.split())
