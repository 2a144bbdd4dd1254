"""How time and memory grow with the number of clients and of rows. Each measurement is a process of its own, whose
peak of memory is of nothing else."""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.data import CLIENTS, rows_benchmark, write_rows
from benchmarks.measure import Contender, Contest, Figure, Sample, Samples
from benchmarks.setting import Setting

SCRIPTS = Path(__file__).resolve().parents[1]
TEST_ROWS = 20
SECONDS, PEAK = "seconds a step", "MiB at most"


def many_clients(setting: Setting) -> Contest:
    """The same training in every round, with more and more clients to choose the participants from."""
    sizes = setting.sizes
    fewest, most = sizes.clients[0], sizes.clients[-1]
    folder = setting.scratch / "short-rows"
    folder.mkdir()
    write_rows(folder, sizes.client_rows * most * 20 // 19 + 100)
    test = folder / "test.jsonl"
    test.write_text("".join(test.read_text(encoding="utf-8").splitlines(keepends=True)[:TEST_ROWS]), encoding="utf-8")

    def runs(clients: int) -> Contender:
        settings = {
            "data": str(folder), "clients": clients, "participation": sizes.participants / clients,
            "examples_per_client": sizes.client_rows, "test_examples_per_client": TEST_ROWS // fewest,
            "rounds": sizes.client_rounds, "local_steps": sizes.client_steps, "batch_size": sizes.batch_size,
        }  # fmt: skip
        return lambda repeat: _in_a_process(settings, setting.scratch / f"run-{clients}-{repeat}")

    def judge(samples: Samples) -> list[Figure]:
        seconds = {clients: samples.median(_name(clients), SECONDS) for clients in sizes.clients}
        return [
            Figure("seconds a step: slowest / fastest", max(seconds.values()) / min(seconds.values()), most=1.1),
            Figure(
                f"peak memory: {most} / {fewest} clients", samples.ratio(_name(most), _name(fewest), PEAK), most=1.3
            ),
        ]

    return Contest(
        "Training with many clients, tiny GPT-2",
        {_name(clients): runs(clients) for clients in sizes.clients},
        judge,
        (
            f"fedrouter with {sizes.client_rows} short rows per client. In each of {sizes.client_rounds} rounds "
            f"{sizes.participants} clients train for {sizes.client_steps} steps each. Seconds a step: the median over "
            "the rounds after the first. Memory: the peak of the whole run, its evaluation included.",
        ),
        sizes.process_repeats,
    )


def _name(clients: int) -> str:
    return f"{clients:,} clients"


def _in_a_process(settings: dict[str, Any], out: Path) -> Sample:
    """Train a run in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.scale", json.dumps(settings), str(out)]
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS), "OMP_NUM_THREADS": str(torch.get_num_threads())}
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    found: Sample = json.loads(done.stdout)
    return found


def _train(settings: dict[str, Any], out: Path) -> Sample:
    """Train a run and say what a step took, and the memory of this process."""
    from fedrouter_sim.config import RunConfig
    from fedrouter_sim.federation.observers import Display, RoundRecord
    from fedrouter_sim.machine import peak_memory_bytes
    from fedrouter_sim.operations.train import train

    class Clock(Display):
        """Keeps the seconds a step of each round."""

        def __init__(self) -> None:
            self.seconds: list[float] = []

        def round_ended(self, record: RoundRecord, adapters: Any) -> None:
            self.seconds.append(record.seconds["train"] / record.steps)

    clock = Clock()
    train(RunConfig.build(settings), out, False, clock)
    return {SECONDS: statistics.median(clock.seconds[1:]), PEAK: peak_memory_bytes() / 2**20}


def many_rows(setting: Setting) -> Contest:
    """A large data set of short rows, from its file to token ids."""
    rows = setting.sizes.rows

    def work(repeat: int) -> Sample:
        sample: dict[str, float] = {}
        for phase in rows_benchmark(rows):
            sample[f"seconds: {phase['phase']}"] = phase["seconds"]
            sample[f"MiB at most: {phase['phase']}"] = phase["peak_bytes"] / 2**20
        return sample

    return Contest(
        f"{rows:,} short rows: loading, dealing out, tokenising",
        {f"{rows:,} rows": work},
        lambda samples: [],
        (
            f"JSONL, four tasks in turn, assigned to {CLIENTS:,} clients under `dual`. Memory: the peak of the "
            "process up to the end of the phase; `start` is what the imports take.",
        ),
        setting.sizes.process_repeats,
    )


if __name__ == "__main__":
    print(json.dumps(_train(json.loads(sys.argv[1]), Path(sys.argv[2]))))
