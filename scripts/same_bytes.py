"""Compare what two commits leave on disk: `python scripts/same_bytes.py --before REF [--after REF]`.

Every method, and some settings beside the defaults, is trained at a small size in a work tree of each commit: in
float32 and one thread, a process for each commit, on this machine. Then the bytes of `adapters/`, `updates/`,
`router.*`, `sharing.*` and `rounds.jsonl` are compared, and the answers of all test samples.

Bytes are promised on one machine only, so nothing is kept: both sides are made anew each time. A commit that has to
change bytes says so in a trailer of its message, `Changes-bytes: PATTERN: why`; what matches, as RUN/FILE, is reported,
not failed. The exit code is 1 if anything else differs.
"""

import argparse
import fnmatch
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any
from unittest.mock import patch

from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[1]
HERE = "."  # as --after: the files as they are, committed or not
METHODS = "base local fedavg fedprox clustered ditto feddpa fedrouter oracle central".split()
SMALL: dict[str, Any] = {
    "clients": 4, "rounds": 2, "warmup_rounds": 1, "local_steps": 2, "batch_size": 2, "examples_per_client": 12,
    "test_examples_per_client": 1, "dtype": "float32", "eval_every": 2, "tasks": 4, "lr": 1e-2,
}  # fmt: skip
RUNS: dict[str, dict[str, Any]] = {name: {"method": name} for name in METHODS} | {
    "fedrouter drift": {"method": "fedrouter", "drift_at": 2, "drift_to": "single"},
    "oracle drift": {"method": "oracle", "split": "single", "drift_at": 2, "drift_to": "all"},
    "ditto drift": {"method": "ditto", "drift_at": 2, "drift_to": "all"},
    "fedrouter l2": {"method": "fedrouter", "normalize": "l2", "participation": 0.5, "budget": "per-group"},
    "fedavg dirichlet": {"method": "fedavg", "split": "dirichlet", "hold_out": "triples"},
}
ROWS = 400  # of the included data, in each share
AGGREGATED = "fedrouter"  # the run that is aggregated again, with another number of tasks
DECIDED = ("adapters/**/*", "updates/**/*", "router.*", "sharing.*", "rounds.jsonl")
TRAILER = "Changes-bytes"

os.environ["FEDROUTER_SIM_REUSE"] = "0"  # each side computes all of it

_one_at_a_time = Lock()  # git's own record of work trees


def train_all(out: Path) -> None:
    """Train every run of `RUNS` by the package that this process imports."""
    from fedrouter_sim import RunConfig, aggregate, train
    from fedrouter_sim.backbone import Backbone

    with cheap() as small:
        backbone = Backbone(RunConfig(**small))  # serves all: no run changes what it is
        for name, settings in RUNS.items():
            train(RunConfig(**small, **settings), out / name, backbone=backbone)
    aggregate(out / AGGREGATED, out / f"{AGGREGATED} aggregated", tasks=3)


@contextmanager
def cheap() -> Iterator[dict[str, Any]]:
    """Yield the settings of `SMALL` on some of the included rows, as reading all takes as long as training on a few;
    figures are left blank, as drawing takes longer."""
    blank = patch.object(Figure, "savefig", lambda figure, file, **_: file.write("<svg></svg>"))
    with tempfile.TemporaryDirectory() as rows, blank:
        for file in sorted((ROOT / "data" / "multitask").glob("*.jsonl")):
            lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
            (Path(rows) / file.name).write_text("".join(lines[:ROWS]), encoding="utf-8")
        yield SMALL | {"data": rows}


def digests(run: Path) -> dict[str, str]:
    """Return the SHA-256 of every file that a run's settings decide, and of its answers."""
    files = sorted({path for pattern in DECIDED for path in run.glob(pattern) if path.is_file()})
    found = {path.relative_to(run).as_posix(): hashlib.sha256(_content(path)).hexdigest() for path in files}
    for path in sorted(run.glob("eval/*.jsonl")):
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        answers = [[row[key] for key in ("client", "instruction", "pool", "answer", "loss")] for row in rows]
        found[f"answers/{path.stem}"] = hashlib.sha256(json.dumps(answers).encode()).hexdigest()
    return found


def _content(path: Path) -> bytes:
    """Return what a file holds but for the folder of the backbone, which lies in the work tree of each side."""
    if path.name != "adapter_config.json":
        return path.read_bytes()
    settings = json.loads(path.read_text(encoding="utf-8"))
    return json.dumps(settings | {"base_model_name_or_path": ""}).encode()


def differing(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Return the names of what is not the same on both sides, sorted."""
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def announced(before: str, after: str) -> dict[str, str]:
    """Return what the commits between two say they change: pattern -> why."""
    last = "HEAD" if after == HERE else after
    text = _git("log", f"--format=%(trailers:key={TRAILER},valueonly)", f"{before}..{last}")
    pairs = [line.partition(":") for line in text.splitlines() if line.strip()]
    return {pattern.strip(): why.strip() for pattern, _, why in pairs}


@contextmanager
def tree_of(ref: str) -> Iterator[Path]:
    """Yield a work tree of a commit, removed at the end; for '.', the checkout itself."""
    if ref == HERE:
        yield ROOT
        return
    with tempfile.TemporaryDirectory() as place:
        tree = Path(place) / "tree"
        with _one_at_a_time:
            _git("worktree", "add", "--detach", "--quiet", str(tree), ref)
        try:
            yield tree
        finally:
            with _one_at_a_time:
                _git("worktree", "remove", "--force", str(tree))


def run_tree(ref: str, out: Path) -> None:
    """Train all runs by the package of a commit, in a process of its own."""
    with tree_of(ref) as tree:
        threads = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
        environment = os.environ | threads | {"PYTHONPATH": str(tree / "src")}
        command = [sys.executable, __file__, "--train", str(out)]
        done = subprocess.run(command, env=environment, cwd=tree, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"error: {ref} does not train:\n{done.stderr}")


def compare(before: str, after: str, out: Path) -> int:
    """Train both sides, print what is equal and what is not, and return the exit code."""
    print(f"training {len(RUNS)} runs by {before} and by {after}", file=sys.stderr)
    with ThreadPoolExecutor() as sides:
        list(sides.map(run_tree, (before, after), (out / "before", out / "after")))
    expected, unexpected = announced(before, after), 0
    for run in sorted(path.name for path in (out / "before").iterdir()):
        old, new = digests(out / "before" / run), digests(out / "after" / run)
        changed = differing(old, new)
        print(f"{run:22} {len(old.keys() | new.keys()) - len(changed):3} equal, {len(changed)} differ")
        for name in changed:
            why = next((why for pattern, why in expected.items() if fnmatch.fnmatch(f"{run}/{name}", pattern)), None)
            unexpected += why is None
            print(f"    {name}: {f'as announced: {why}' if why is not None else 'NOT ANNOUNCED'}")
    verdict = f"{unexpected} files differ unannounced" if unexpected else "the same bytes, but for what is announced"
    print(f"{before} and {after}: {verdict}")
    return 1 if unexpected else 0


def _git(*words: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"error: git {' '.join(words)}: {done.stderr.strip()} (a shallow clone lacks older commits)")
    return done.stdout


def main() -> None:
    """Parse the arguments and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", default="HEAD~1", help="commit to compare with; by default the one before")
    parser.add_argument("--after", default="HEAD", help="commit that is compared; '.' for the files as they are")
    parser.add_argument("--out", type=Path, help="empty folder to keep the runs in; by default they are thrown away")
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)  # what the process in a work tree is asked for
    options = parser.parse_args()
    if options.train is not None:
        train_all(options.train)
        return
    if options.out is not None:
        sys.exit(compare(options.before, options.after, options.out))
    with tempfile.TemporaryDirectory() as out:
        sys.exit(compare(options.before, options.after, Path(out)))


if __name__ == "__main__":
    main()
