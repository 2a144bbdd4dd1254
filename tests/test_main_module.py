"""`python -m fedrouter_sim` is the command line."""

import subprocess
import sys
from pathlib import Path

from fedrouter_sim import __version__


def run_module(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the package as a module, in a process of its own, without a terminal."""
    command = [sys.executable, "-m", "fedrouter_sim", *arguments]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def test_it_says_its_version() -> None:
    done = run_module("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"fedrouter-sim {__version__}\n", "")


def test_bad_input_gets_one_line_and_exit_code_2() -> None:
    done = run_module("train", "--clients", "0")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: --clients 0: must be at least 1\n"


def test_usage_lines_name_the_console_script() -> None:
    for arguments in ((), ("train",)):
        usage = run_module(*arguments, "--help").stdout.split()
        assert usage[:3] == ["Usage:", "fedrouter-sim", *(arguments or ["[OPTIONS]"])]
        assert "python" not in usage[:6]


def test_importing_the_module_runs_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import fedrouter_sim.__main__"], capture_output=True, text=True, cwd=Path("/")
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
