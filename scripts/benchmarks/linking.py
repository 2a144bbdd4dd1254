"""Linking the local clusters of very many clients to tasks, by made-up sketches, in a process of its own."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.measure import Contest, Figure, Sample, Samples
from benchmarks.setting import Setting
from fedrouter_sim.backbone.sketching import SKETCH
from fedrouter_sim.clustering.affinities import BOTH, find_affinity
from fedrouter_sim.clustering.affinities.affinity import Embedded
from fedrouter_sim.clustering.linking import CUT, link
from fedrouter_sim.machine import peak_memory_bytes

SCRIPTS = Path(__file__).resolve().parents[1]
CLUSTERS = 6  # of a client
TASKS = 12
WIDTH = 144  # of an embedding
NOISE = 0.04  # of each number of a half's sketch, where a task's own have length 1
SECONDS, PEAK, FOUND = "seconds", "MiB at most", "tasks found"


def linking(setting: Setting) -> Contest:
    """Sketches to tasks, as the server does it."""
    clients = setting.sizes.linked_clients

    def ours(repeat: int) -> Sample:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.linking", str(clients * CLUSTERS), str(repeat)],
            capture_output=True, text=True, check=True, cwd=SCRIPTS,
        )  # fmt: skip
        found: dict[str, float] = json.loads(done.stdout)
        return found

    def judge(samples: Samples) -> list[Figure]:
        name = f"{clients:,} clients"
        return [
            Figure("seconds", samples.median(name, SECONDS), most=60),
            Figure("peak memory in MiB", samples.median(name, PEAK), most=2048),
            Figure(f"tasks found, of {TASKS}", samples.median(name, FOUND), least=TASKS, most=TASKS),
        ]

    note = f"{CLUSTERS} local clusters each, of {TASKS} tasks. The peak is that of the process, libraries included."
    return Contest(
        "Linking local clusters", {f"{clients:,} clients": ours}, judge, (note,), setting.sizes.process_repeats
    )


def made_up(count: int, seed: int) -> Embedded:
    """Draw local clusters of tasks that lie in random directions, with noise."""
    generator = np.random.default_rng(seed)
    tasks = generator.integers(TASKS, size=count)
    directions = generator.standard_normal((TASKS, SKETCH), dtype=np.float32)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    halves = generator.standard_normal((count, 2, SKETCH), dtype=np.float32)
    halves *= NOISE
    halves += directions[tasks][:, None]
    centres = generator.standard_normal((TASKS, WIDTH), dtype=np.float32)
    return Embedded(centres[tasks] + generator.standard_normal((count, WIDTH), dtype=np.float32), halves)


if __name__ == "__main__":
    embedded = made_up(int(sys.argv[1]), int(sys.argv[2]))
    started = time.perf_counter()
    linked = link(find_affinity(BOTH).vectors(embedded), CUT, seed=1)
    seconds = time.perf_counter() - started
    print(json.dumps({SECONDS: seconds, PEAK: peak_memory_bytes() / 2**20, FOUND: int(linked.labels.max()) + 1}))
