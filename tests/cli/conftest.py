"""Ways to run the command line, and a small run on the embedded data and backbone, made once through the script."""

import io
import subprocess
import sys
from collections.abc import Callable
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

import pytest

from fedrouter_sim.cli.main import main

SCRIPT = Path(sys.executable).with_name("fedrouter-sim")
SMALL = (
    "--clients 4 --rounds 2 --local-steps 4 --batch-size 4"
    " --examples-per-client 48 --test-examples-per-client 6 --dtype float32"
).split()  # fmt: skip

Cli = Callable[..., subprocess.CompletedProcess[str]]


def run_script(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the installed console script in a process of its own, without a terminal."""
    return subprocess.run([SCRIPT, *map(str, arguments)], capture_output=True, text=True, stdin=subprocess.DEVNULL)


def run_here(*arguments: str | Path, stdin: str = "", cwd: Path | str = ".") -> subprocess.CompletedProcess[str]:
    """Do what the console script does in this process, which spares the imports."""
    words = ["fedrouter-sim", *map(str, arguments)]
    out, err = io.StringIO(), io.StringIO()
    with (
        patch.object(sys, "argv", words),
        patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()))),
        chdir(cwd),
        redirect_stdout(out),
        redirect_stderr(err),
        pytest.raises(SystemExit) as exit_info,
    ):
        main()
    return subprocess.CompletedProcess(words, int(exit_info.value.code or 0), out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def script() -> Cli:
    return run_script


@pytest.fixture(scope="session")
def cli() -> Cli:
    return run_here


@pytest.fixture(scope="session")
def small() -> list[str]:
    return SMALL


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "small"
    done = run_script("train", *SMALL, "--out", out)
    assert done.returncode == 0, done.stderr
    return out
