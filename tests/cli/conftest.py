"""Ways to run the command line, and a small run on the embedded data and backbone, made once."""

import io
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

import pytest
from cheaper import leave_figures_blank

from fedrouter_sim.cli.main import main

SCRIPT = Path(sys.executable).with_name("fedrouter-sim")
SMALL = (
    "--clients 4 --rounds 2 --local-steps 2 --batch-size 4"
    " --examples-per-client 24 --test-examples-per-client 3 --dtype float32"
).split()  # fmt: skip

Cli = Callable[..., subprocess.CompletedProcess[str]]


def run_script(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the installed console script in a process of its own, in one thread and without a terminal."""
    return subprocess.run(
        [SCRIPT, *map(str, arguments)], capture_output=True, text=True, stdin=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def run_here(*arguments: str | Path, stdin: str = "", cwd: Path | str = ".") -> subprocess.CompletedProcess[str]:
    """Do what the console script does in this process, which spares the imports.

    The figures of `train` stay blank: `report` draws the same.
    """
    words = ["fedrouter-sim", *map(str, arguments)]
    out, err = io.StringIO(), io.StringIO()
    with (
        patch.object(sys, "argv", words),
        patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()))),
        chdir(cwd),
        redirect_stdout(out),
        redirect_stderr(err),
        pytest.MonkeyPatch.context() as blank,
        pytest.raises(SystemExit) as exit_info,
    ):
        if "train" in words:
            leave_figures_blank(blank)
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
    import torch

    torch.set_num_threads(1)  # as in the script's process: another number may leave other bytes
    out = tmp_path_factory.mktemp("runs") / "small"
    done = run_here("train", *SMALL, "--out", out)
    assert done.returncode == 0, done.stderr
    return out
