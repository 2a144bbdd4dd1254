"""A small run on the embedded data and backbone, made once through the installed console script."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = Path(sys.executable).with_name("fedrouter-sim")
SMALL = (
    "--clients 4 --rounds 2 --local-steps 4 --batch-size 4 --examples-per-client 48 --test-examples-per-client 6"
).split()
Cli = Callable[..., subprocess.CompletedProcess[str]]


def run_cli(*arguments: str | Path, stdin: str = "", cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the console script without a terminal."""
    return subprocess.run(
        [SCRIPT, *map(str, arguments)], input=stdin, capture_output=True, text=True, cwd=cwd, timeout=300
    )


@pytest.fixture(scope="session")
def cli() -> Cli:
    return run_cli


@pytest.fixture(scope="session")
def small() -> list[str]:
    return SMALL


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "small"
    done = run_cli("train", *SMALL, "--out", out)
    assert done.returncode == 0, done.stderr
    return out
