"""Data at scale: loading, dealing out and tokenising many short rows, in seconds and peak memory.

    python scripts/benchmarks/data.py --rows 1000000

Works in a process of its own, so that its peak is of nothing else. A peak is the largest resident size up to the end of
its phase; what the process held before the first phase, its imports, is the row `start`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import TypedDict, TypeVar

from fedrouter_sim.partition.partitioning import partition
from fedrouter_sim.partition.splits import find_split
from fedrouter_sim.partition.splits.split import Wanted

CLIENTS = 1_000
TASKS = ("add", "capitals", "opinion", "order")
HELD_OUT = 20  # one row in so many is a test row

Result = TypeVar("Result")


class Row(TypedDict):
    """What one phase took: seconds, and bytes resident at most until its end."""

    phase: str
    seconds: float
    peak_bytes: int


def rows_benchmark(rows: int) -> list[Row]:
    """Write `rows` short rows of four tasks to a temporary folder, take them through every phase, and say what it took.

    Phases: `load` (JSONL to examples), `digest`, `partition` (1,000 clients, split `dual`, every row), `tokenise` (what
    the clients hold for training, prompts in the Alpaca template, by the embedded tokenizer).
    """
    with tempfile.TemporaryDirectory() as folder:
        write_rows(Path(folder), rows)
        command = [sys.executable, __file__, "--folder", folder]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ)
        found: list[Row] = json.loads(done.stdout)
        return found


def write_rows(folder: Path, rows: int) -> None:
    """Write train.jsonl and test.jsonl with `rows` different rows together, the tasks in turn."""
    rng = Random(0)
    with (folder / "train.jsonl").open("w") as train, (folder / "test.jsonl").open("w") as test:
        for number in range(rows):
            task = TASKS[number % len(TASKS)]
            row = {"instruction": f"{task} {number}: {_question(task, rng)}", "response": _answer(task, rng)}
            print(json.dumps(row | {"task": task}), file=test if number // len(TASKS) % HELD_OUT == 0 else train)


def _question(task: str, rng: Random) -> str:
    one, two = rng.randint(100, 999), rng.randint(100, 999)
    return {
        "add": f"what is {one} + {two}?",
        "capitals": f"which is the capital of province {one} of country {two}?",
        "opinion": f"do the people of town {one} like the food of town {two}? Say yes or no.",
        "order": f"which of {one} and {two} is the larger number?",
    }[task]


def _answer(task: str, rng: Random) -> str:
    return rng.choice(["Yes", "No"]) if task == "opinion" else f"The answer is {rng.randint(100, 1999)}."


def _phases(folder: str) -> list[Row]:
    """Take the rows of a folder through every phase in this process."""
    from fedrouter_sim.backbone.encoding import Encoder
    from fedrouter_sim.backbone.loading import load_model
    from fedrouter_sim.bundled import BUNDLED_MODEL, bundled
    from fedrouter_sim.examples.reading import Reading
    from fedrouter_sim.examples.sources import load_shares
    from fedrouter_sim.machine import peak_memory_bytes

    tokenizer, _ = load_model(bundled(BUNDLED_MODEL), BUNDLED_MODEL)
    encoder = Encoder(tokenizer, "alpaca", 512)
    found: list[Row] = [{"phase": "start", "seconds": 0.0, "peak_bytes": peak_memory_bytes()}]

    def phase(name: str, work: Callable[[], Result]) -> Result:
        started = time.perf_counter()
        result = work()
        seconds = time.perf_counter() - started
        found.append({"phase": name, "seconds": seconds, "peak_bytes": peak_memory_bytes()})
        return result

    shares = phase("load", lambda: load_shares(folder, Reading(seed=0)))
    phase("digest", shares.digest)
    every = len(shares.train) + len(shares.test)
    wanted = Wanted(CLIENTS, 0, examples_per_client=every, test_examples_per_client=every)
    clients = phase("partition", lambda: partition(shares.train, shares.test, find_split("dual"), wanted))
    encoded = phase("tokenise", lambda: [encoder.examples(client.train) for client in clients])
    assert sum(map(len, encoded)) == len(shares.train)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=1_000_000, help="how many rows")
    parser.add_argument("--folder", help=argparse.SUPPRESS)  # the rows that the measuring process takes
    given = parser.parse_args()
    if given.folder:
        print(json.dumps(_phases(given.folder)))
    else:
        for row in rows_benchmark(given.rows):
            print(f"{row['phase']:<10} {row['seconds']:8.2f} s {row['peak_bytes'] / 2**20:8.0f} MiB")
