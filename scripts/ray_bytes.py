"""Compare what workers of Ray leave on disk with what one process leaves: `python scripts/ray_bytes.py`.

Every method, and some settings beside the defaults (`soak.SOAKED`), is trained by one process, then by 1, 2 and 4
workers, by 2 of which two are killed on the way, by 2 that are stopped and go on, and by workers on two nodes, which
this script starts on this machine. Adapters, updates, router, rounds, answers and scores have to be the same bytes. The
exit code is 1 if anything differs. Nothing of Ray is left running.
"""

import argparse
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from same_bytes import cheap, differing
from soak import SOAKED, found

from fedrouter_sim import RunConfig, train
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.errors import Interrupted
from fedrouter_sim.federation.crew import Crew, crew_of
from fedrouter_sim.federation.engine import Engine
from fedrouter_sim.federation.observers import SILENT, Display, RoundRecord
from fedrouter_sim.federation.plan import Plan

MORE: dict[str, dict[str, Any]] = {
    "fedavg absent": {
        "method": "fedavg", "client_dropout": 0.3, "stragglers": 0.4, "late": "drop", "min_participants": 1,
    },
    "ditto absent": {"method": "ditto", "client_dropout": 0.3, "stragglers": 0.4, "min_participants": 2},
    "fedavg sign-flip": {"method": "fedavg", "attack": "sign-flip", "attackers": 0.3, "clip_update": 0.5},
    "fedavg noise": {"method": "fedavg", "attack": "noise", "attackers": 0.3, "aggregation": "geometric-median"},
    "fedavg label-flip": {"method": "fedavg", "attack": "label-flip", "attackers": 0.5},
    "fedavg backdoor": {"method": "fedavg", "attack": "backdoor", "attackers": 0.5},
    "fedrouter shifted": {"method": "fedrouter", "attack": "centroid-shift", "attackers": 0.3},
    "fedrouter forged": {"method": "fedrouter", "tasks": "auto", "attack": "sketch-forgery", "attackers": 0.3},
    "fedavg private": {"method": "fedavg", "dp_epsilon": 8.0, "dp_delta": 1e-3, "participation": 0.6},
    "fedavg upper": {"method": "fedavg", "lora_layers": 1},
    "fedrouter none": {"method": "fedrouter", "sharing": "none"},
    "fedrouter upper": {"method": "fedrouter", "tasks": "auto", "lora_layers": 1, "drift_at": 2, "drift_to": "single"},
}  # fmt: skip
"""Settings that matter to workers, and not to who is killed in the middle of a write: lies, absences, noise, what tasks
share, and rows whose lower layers are kept."""
RUNS = SOAKED | MORE

NODES = ("127.0.0.2", "127.0.0.3")  # 127.0.0.1 would become the machine's own address, and two nodes need two
PORT = 6399
_PATIENCE = 300.0  # seconds in which a node has to be there


class Killer(Display):
    """Kills a worker when the first plan is made, and another in the middle of the second round."""

    def __init__(self, workers: list[int]) -> None:
        self._left = workers
        self._timers: list[threading.Timer] = []

    def planned(self, plan: Plan, rounds: int, steps: int) -> None:
        if len(self._left) == 2:
            os.kill(self._left.pop(), signal.SIGKILL)

    def round_started(self, record: RoundRecord) -> None:
        if record.round == 2 and self._left:
            self._timers.append(threading.Timer(0.05, os.kill, (self._left.pop(), signal.SIGKILL)))
            self._timers[-1].start()

    def done(self) -> int:
        """Wait for what is under way; return how many were killed."""
        for timer in self._timers:
            timer.join()
        return 2 - len(self._left)


class Stopper(Display):
    """Interrupts at an optimizer step."""

    def __init__(self, step: int) -> None:
        self._left = step

    def stepped(self, loss: float) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGINT)


Way = Callable[[RunConfig, Path, Backbone, Crew], None]


def undisturbed(config: RunConfig, out: Path, backbone: Backbone, crew: Crew) -> None:
    """Train by the workers that are there."""
    train(config, out, backbone=backbone, **_there(crew))


def killed(config: RunConfig, out: Path, backbone: Backbone, crew: Crew) -> None:
    """Train while two workers are killed."""
    killer = Killer(crew.processes())
    train(config, out, display=killer, backbone=backbone, **_there(crew))
    print(f"    {config.method}: {killer.done()} workers killed", file=sys.stderr)


def resumed(config: RunConfig, out: Path, backbone: Backbone, crew: Crew) -> None:
    """Train until some clients of the second round have sent, stop, and go on."""
    stopped: Display = Stopper(step=11)
    for display in (stopped, SILENT):
        try:
            train(
                config, out, display=display, backbone=backbone, resume=True, checkpoint_every="client", **_there(crew)
            )
        except Interrupted:
            print(f"    {config.method}: stopped", file=sys.stderr)
        else:
            return


def _there(crew: Crew) -> dict[str, Any]:
    return {"workers": crew.engine.workers, "ray": crew.engine.address}


SETTINGS: dict[str, tuple[Engine, Way]] = {
    "1 worker": (Engine(1), undisturbed),
    "2 workers": (Engine(2), undisturbed),
    "4 workers": (Engine(4), undisturbed),
    "killed": (Engine(2), killed),
    "resumed": (Engine(2), resumed),
    "two nodes": (Engine(2, f"{NODES[0]}:{PORT}"), undisturbed),
}


@contextmanager
def two_nodes() -> Iterator[None]:
    """Have a cluster of two nodes with a processor each."""
    ray = str(Path(sys.executable).with_name("ray"))
    common = ["--num-cpus=1", "--block", "--disable-usage-stats"]
    head = [ray, "start", "--head", f"--node-ip-address={NODES[0]}", f"--port={PORT}", "--include-dashboard=false"]
    other = [ray, "start", f"--address={NODES[0]}:{PORT}", f"--node-ip-address={NODES[1]}"]
    started: list[subprocess.Popen[bytes]] = []
    try:
        for command in (head, other):
            with tempfile.TemporaryFile() as log:
                process = subprocess.Popen([*command, *common], stdout=log, stderr=subprocess.STDOUT)
                started.append(process)
                until = time.monotonic() + _PATIENCE
                while b"Ray runtime started" not in _read(log):
                    if process.poll() is not None or time.monotonic() > until:
                        sys.exit(f"error: a node does not start:\n{_read(log).decode(errors='replace')}")
                    time.sleep(0.5)
        yield
    finally:
        for process in reversed(started):
            process.terminate()  # which ends what it has started
            process.wait()


def _read(log: Any) -> bytes:
    return os.pread(log.fileno(), 1_000_000, 0)


def compare(place: Path, runs: dict[str, RunConfig], settings: list[str]) -> int:
    """Train all runs in all settings, print what is equal, and return the exit code."""
    backbone = Backbone(next(iter(runs.values())))
    for name, config in runs.items():
        train(config, place / "one process" / name, backbone=backbone)
    table = {name: dict[str, str]() for name in runs}
    wrong = 0
    for setting in settings:
        print(setting, file=sys.stderr, flush=True)
        engine, way = SETTINGS[setting]
        with two_nodes() if engine.address else nullcontext(), crew_of(engine, next(iter(runs.values()))) as crew:
            assert crew is not None
            for name, config in runs.items():
                way(config, place / setting / name, backbone, crew)
                expected, got = found(place / "one process" / name), found(place / setting / name)
                changed = differing(expected, got)
                wrong += len(changed)
                table[name][setting] = f"{len(expected) - len(changed)} equal" if not changed else f"{changed[0]}!"
                print(f"    {name}: {table[name][setting]}", file=sys.stderr, flush=True)
    print(f"| {'run':18} | " + " | ".join(f"{setting:9}" for setting in settings) + " |")
    print("|---" * (1 + len(settings)) + "|")
    for name, row in table.items():
        print(f"| {name:18} | " + " | ".join(f"{row[setting]:9}" for setting in settings) + " |")
    print("the same bytes" if not wrong else f"{wrong} files differ")
    return 1 if wrong else 0


def main() -> None:
    """Parse the arguments and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="empty folder to keep the runs in; by default they are thrown away")
    parser.add_argument("--only", metavar="NAME,...", help="some of the runs")
    parser.add_argument("--settings", metavar="NAME,...", default=",".join(SETTINGS), help="some of the settings")
    options = parser.parse_args()
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a shell that starts this in the background has it ignored
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112  # its name
    os.environ["RAY_AUTH_MODE"], os.environ["RAY_AUTH_TOKEN"] = "token", secrets.token_hex(32)
    names = options.only.split(",") if options.only else list(RUNS)
    with tempfile.TemporaryDirectory() as scratch, cheap() as small:
        runs = {name: RunConfig(**{**small, **RUNS[name]}) for name in names}
        sys.exit(compare(options.out or Path(scratch), runs, options.settings.split(",")))


if __name__ == "__main__":
    main()
