"""How threads of OpenMP had better wait for each other: on the machine as it is, and beside busy processes. Each
measurement is a process of its own, as OpenMP asks only once how to wait."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

from benchmarks.measure import Contender, Contest, Figure, Sample, Samples
from benchmarks.setting import Setting

SCRIPTS = Path(__file__).resolve().parents[1]
SECONDS = "seconds a step"
THREADS = 2
WARM = 2  # steps that are not counted
SPINNING, PASSIVE, SINGLE = "two threads, spinning", "two threads, passive", "one thread"
WAYS: Mapping[str, Mapping[str, str]] = {
    SPINNING: {},
    "two threads, GOMP_SPINCOUNT=100000": {"GOMP_SPINCOUNT": "100000"},
    "two threads, GOMP_SPINCOUNT=1000": {"GOMP_SPINCOUNT": "1000"},
    PASSIVE: {"OMP_WAIT_POLICY": "PASSIVE"},
    SINGLE: {"OMP_NUM_THREADS": "1"},
}
_CHOICES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def waiting(setting: Setting) -> Contest:
    """The same training steps under each way to wait, with and without other processes that want the cores."""
    busy = 2 * (os.cpu_count() or 1)
    loads = {"alone": 0, f"beside {busy} busy processes": busy}
    sizes = setting.sizes

    def runs(way: str, others: int) -> Contender:
        def run(repeat: int) -> Sample:
            with _busy(others):
                return {SECONDS: _seconds_a_step(WAYS[way], sizes.waiting_steps, sizes.waiting_seconds)}

        return run

    def judge(samples: Samples) -> list[Figure]:
        return [
            Figure(f"{load}: time, {way} / {PASSIVE}", samples.ratio(f"{load}: {way}", f"{load}: {PASSIVE}", SECONDS))
            for load in loads
            for way in (SPINNING, SINGLE)
        ]

    return Contest(
        "How threads wait for each other, tiny GPT-2",
        {f"{load}: {way}": runs(way, others) for load, others in loads.items() for way in WAYS},
        judge,
        (
            f"{sizes.waiting_steps} steps of {sizes.batch_size} rows after {WARM}. Where they are not done within "
            f"{sizes.waiting_seconds:g} seconds, those that are done count, and the time so far if there are none.",
        ),
        sizes.process_repeats,
    )


@contextmanager
def _busy(count: int) -> Iterator[None]:
    """Have so many processes do nothing, as fast as they can."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for one in others:
            one.kill()
            one.wait()


def _seconds_a_step(variables: Mapping[str, str], steps: int, most: float) -> float:
    """Train in a process with these variables, and listen to its steps for so many seconds."""
    own = {name: value for name, value in os.environ.items() if name not in _CHOICES}
    environment = {**own, "PYTHONPATH": str(SCRIPTS), "OMP_NUM_THREADS": str(THREADS), **variables}
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.waiting", str(WARM + steps)],
        env=environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    limit = Timer(most, process.kill)
    ends: list[float] = []
    for _ in process.stdout:
        ends.append(time.perf_counter())
        if len(ends) == 1:  # the imports are behind it
            limit.start()
    limit.cancel()
    if process.wait() not in (0, -signal.SIGKILL):
        raise subprocess.CalledProcessError(process.returncode, process.args)
    counted = len(ends) - WARM
    return (ends[-1] - ends[WARM - 1]) / counted if counted > 0 else most


def _train(steps: int) -> None:
    """Print a line after each step."""
    from benchmarks.setting import TINY
    from benchmarks.trainee import Trainee
    from fedrouter_sim.config import RunConfig

    config = RunConfig.build({"device": "cpu", "dtype": "float32", "batch_size": TINY.batch_size})
    trainee = Trainee(Setting(config, TINY, Path()))
    trainee.client.train(trainee.group, trainee.start, None, steps, config.lr, 1, lambda loss: print(loss, flush=True))


if __name__ == "__main__":
    _train(int(sys.argv[1]))
