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
ROUND, SETUP = "seconds a round", "seconds of setup"


def many_clients(setting: Setting) -> Contest:
    """The same training in every round, with more and more clients to choose the participants from."""
    sizes = setting.sizes
    fewest, most = sizes.clients[0], sizes.clients[-1]
    data = _short_rows(setting, "short-rows", most)

    def runs(clients: int) -> Contender:
        settings = _settings(setting, data, clients, sizes.participants / clients, TEST_ROWS // fewest)

        def run(repeat: int) -> Sample:
            sample = _in_a_process(settings, setting.scratch / f"run-{clients}-{repeat}")
            return {quantity: sample[quantity] for quantity in (SECONDS, PEAK)}

        return run

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


def workers(setting: Setting) -> Contest:
    """One client in a hundred trains in a round: by this process, and by workers of Ray."""
    sizes = setting.sizes
    fewest, most = sizes.clients[0], sizes.most_clients
    data = _short_rows(setting, "rows-for-workers", most)
    alone, half, few = _name(most), _name(most // 2), _name(fewest)

    def runs(clients: int, participation: float, count: int | None = None) -> Contender:
        settings = _settings(setting, data, clients, participation, 1)
        return lambda repeat: _in_a_process(
            settings, setting.scratch / f"workers-{clients}-{count}-{repeat}", count, threads=1
        )

    names = {count: f"{alone}, {count} of Ray" for count in sizes.workers}

    def judge(samples: Samples) -> list[Figure]:
        figures = [
            Figure(f"peak memory: {most} / {fewest} clients", samples.ratio(alone, few, PEAK), most=1.3),
            # Beside ten clients the backbone is most of it, and anything would look linear.
            Figure("setup: time / rows, twice as many rows", samples.ratio(alone, half, SETUP) / 2, most=1.0),
        ]
        for count, name in names.items():
            figures += [
                Figure(
                    f"peak memory: {most} clients, {count} workers / {fewest}", samples.ratio(name, few, PEAK), most=1.3
                ),
                Figure(f"a round: this process / {count} workers", samples.ratio(alone, name, ROUND)),
            ]
        return figures

    return Contest(
        "Training by workers of Ray, tiny GPT-2",
        {few: runs(fewest, 1.0), half: runs(most // 2, 0.01), alone: runs(most, 0.01)}
        | {name: runs(most, 0.01, count) for count, name in names.items()},
        judge,
        (
            f"fedrouter with {sizes.client_rows} short rows per client, {sizes.client_rounds} rounds in which one "
            f"client in a hundred trains for {sizes.client_steps} steps. Memory: the peak of the process that "
            "leads the run. Seconds a round: the median over the rounds after the first, in one thread a process.",
        ),
        1,
    )


def _short_rows(setting: Setting, name: str, clients: int) -> Path:
    """Write short rows for so many clients, and few to be tested on; return their folder."""
    folder = setting.scratch / name
    folder.mkdir()
    write_rows(folder, setting.sizes.client_rows * clients * 20 // 19 + 100)
    test = folder / "test.jsonl"
    test.write_text("".join(test.read_text(encoding="utf-8").splitlines(keepends=True)[:TEST_ROWS]), encoding="utf-8")
    return folder


def _settings(setting: Setting, data: Path, clients: int, participation: float, test_rows: int) -> dict[str, Any]:
    sizes = setting.sizes
    return {
        "data": str(data), "clients": clients, "participation": participation,
        "examples_per_client": sizes.client_rows, "test_examples_per_client": test_rows,
        "rounds": sizes.client_rounds, "local_steps": sizes.client_steps, "batch_size": sizes.batch_size,
    }  # fmt: skip


def _name(clients: int) -> str:
    return f"{clients:,} clients"


def _in_a_process(settings: dict[str, Any], out: Path, workers: int | None = None, threads: int = 0) -> Sample:
    """Train a run in a process of its own, in so many threads; 0: as many as here."""
    command = [sys.executable, "-m", "benchmarks.scale", json.dumps(settings), str(out), json.dumps(workers)]
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS), "OMP_NUM_THREADS": str(threads or torch.get_num_threads())}
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    found: Sample = json.loads(done.stdout)
    return found


def _train(settings: dict[str, Any], out: Path, workers: int | None = None) -> Sample:
    """Train a run and say what setup, a round and a step took, and the memory of this process."""
    from fedrouter_sim.config import RunConfig
    from fedrouter_sim.federation.observers import Display, RoundRecord
    from fedrouter_sim.machine import peak_memory_bytes
    from fedrouter_sim.operations.train import train

    class Clock(Display):
        """Keeps the seconds and the steps of each round."""

        def __init__(self) -> None:
            self.rounds: list[tuple[float, int]] = []

        def round_ended(self, record: RoundRecord, adapters: Any) -> None:
            self.rounds.append((record.seconds["train"], record.steps))

    clock = Clock()
    done = train(RunConfig.build(settings), out, False, clock, workers=workers)
    return {
        SECONDS: statistics.median(seconds / steps for seconds, steps in clock.rounds[1:]),
        ROUND: statistics.median(seconds for seconds, _ in clock.rounds[1:]),
        SETUP: done.summary.seconds["setup"],
        PEAK: peak_memory_bytes() / 2**20,
    }


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
    print(json.dumps(_train(json.loads(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]))))
