"""Kill trainings at random moments, go on with them, and compare: `python scripts/soak.py [--moments 50] [--seed 0]`.

Every method, and some settings beside the defaults (`SOAKED`), is trained once undisturbed. Then runs are
killed by SIGKILL at random moments: between optimizer steps, before any access to a file, and in the middle of writing
one. They go on in another process, which may be killed in turn, until they are done. The bytes of adapters, updates,
router, rounds and answers have to be those of the undisturbed run, the scores as well, and nothing may be left beside
the run folder. The exit code is 1 if anything differs.

Processes are forked from this one, which has loaded libraries and backbone: a moment takes a second or two.
"""

import argparse
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from same_bytes import RUNS, SMALL, differing, digests

from fedrouter_sim import RunConfig, train
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.federation.observers import Display

MORE: dict[str, dict[str, Any]] = {
    "fedrouter births": {
        "method": "fedrouter", "tasks": "auto", "drift_at": 2, "drift_to": "single", "drift_brings": ("triples",),
    },
    "fedrouter hostile": {
        "method": "fedrouter", "attack": "scale", "attackers": 0.3, "aggregation": "median", "robust_clustering": 0.2,
        "stragglers": 0.4, "client_dropout": 0.2, "min_participants": 1,
    },
    "fedrouter private": {"method": "fedrouter", "dp_epsilon": 8.0, "dp_delta": 1e-3, "participation": 0.6},
}  # fmt: skip
"""Settings that the commits of `make same-bytes` do not all know."""
SOAKED = RUNS | MORE

STEP, ACCESS, WRITE = KINDS = ("step", "access", "write")
"""Moments: after an optimizer step; before a file is opened, renamed or removed; in the middle of a write."""

_ACCESSES = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod")
_WRITING = os.O_WRONLY | os.O_RDWR


@dataclass(frozen=True)
class Moment:
    """When a process dies: at the `number`-th event of a kind; of a write, after so many bytes."""

    kind: str
    number: int
    bytes: int = 0


class Killer(Display):
    """Counts what a training does in a process, and kills that at its moment."""

    def __init__(self, folder: Path, moment: Moment | None) -> None:
        self.seen = dict.fromkeys(KINDS, 0)
        self._folder = str(folder)
        self._moment = moment
        sys.addaudithook(self._heard)

    def stepped(self, loss: float) -> None:
        self._count(STEP)

    def _heard(self, event: str, given: tuple[Any, ...]) -> None:
        if event not in _ACCESSES or not given or not isinstance(given[0], str | os.PathLike | bytes):
            return
        if not os.fsdecode(given[0]).startswith(self._folder):
            return
        self._count(ACCESS)
        if event == "open" and given[2] & _WRITING:
            self._count(WRITE)

    def _count(self, kind: str) -> None:
        self.seen[kind] += 1
        if self._moment is None or (kind, self.seen[kind]) != (self._moment.kind, self._moment.number):
            return
        if kind == WRITE:  # the kernel kills it as soon as a file grows beyond the limit
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_FSIZE, (self._moment.bytes, resource.RLIM_INFINITY))
        else:
            os.kill(os.getpid(), signal.SIGKILL)


def in_child(work: Callable[[], None]) -> int:
    """Do some work in a forked process; return its exit code, negative for a signal, 1 after a traceback."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def counted(config: RunConfig, out: Path, backbone: Backbone) -> dict[str, int]:
    """Train a run undisturbed in another process; return how many events of each kind it had."""
    place = out.with_name(out.name + ".json")

    def work() -> None:
        killer = Killer(out.parent, None)
        train(config, out, display=killer, backbone=backbone)
        place.write_text(json.dumps(killer.seen), encoding="utf-8")

    if in_child(work):
        raise SystemExit(f"{out}: could not be trained at all")
    seen: dict[str, int] = json.loads(place.read_text(encoding="utf-8"))
    place.unlink()
    return seen


def kill_and_resume(config: RunConfig, out: Path, backbone: Backbone, moments: list[Moment], **more: Any) -> list[int]:
    """Train a run that dies at each of these moments in turn, and end it; return the exit codes."""

    def work(moment: Moment | None) -> None:
        train(config, out, display=Killer(out.parent, moment), backbone=backbone, resume=True, **more)

    codes: list[int] = []
    for moment in [*moments, None]:
        if out.exists():  # it died after the run had taken its place
            break
        codes.append(in_child(lambda moment=moment: work(moment)))  # type: ignore[misc]
    return codes


def found(run: Path) -> dict[str, str]:
    """Return the digests of all that has to be the same: of `same_bytes`, and the scores."""
    summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    own = {key: value for key, value in summary.items() if key not in ("seconds", "peak_memory_bytes")}
    scores = {path.name: path.read_text(encoding="utf-8") for path in sorted(run.glob("eval/*.json"))}
    return digests(run) | {"summary": json.dumps(own, sort_keys=True)} | scores


def leftovers(out: Path) -> list[str]:
    """Return what is beside a run folder and should not be, after the next look at it."""
    from fedrouter_sim.runs.unfinished import tidy

    tidy(out)
    inside = [path.name for path in out.rglob(".*")] + (["checkpoint"] if (out / "checkpoint").exists() else [])
    return inside + [path.name for path in out.parent.iterdir() if path.name.startswith(".")]


def soak(place: Path, moments: int, seed: int, runs: Mapping[str, Mapping[str, Any]]) -> int:
    """Kill so many runs; return how many did not end as the undisturbed ones, or left something."""
    rng, started = random.Random(seed), time.monotonic()
    configs = {name: RunConfig(**{**SMALL, **settings}) for name, settings in runs.items()}
    backbone = Backbone(next(iter(configs.values())))
    events: dict[str, dict[str, int]] = {}
    kills = failed = 0
    for number in range(moments):
        name = list(configs)[number % len(configs)]
        reference = place / name / "undisturbed"
        if name not in events:
            events[name] = counted(configs[name], reference, backbone)
        chosen = []
        for _ in range(rng.choice((1, 1, 2, 3))):
            kind = rng.choice([kind for kind in KINDS if events[name][kind]])
            chosen.append(Moment(kind, rng.randint(1, events[name][kind]), rng.randint(0, 4000)))
        out = place / name / f"killed-{number}"
        every = rng.choice(("round", "client"))
        codes = kill_and_resume(configs[name], out, backbone, chosen, checkpoint_every=every)
        kills += sum(code < 0 for code in codes)
        wrong = [f"exit code {code}" for code in codes if code > 0]
        wrong += differing(found(reference), found(out)) if out.exists() else ["no run"]
        wrong += [f"left: {name}" for name in (leftovers(out) if out.exists() else [])]
        failed += bool(wrong)
        shown = ", ".join(f"{moment.kind} {moment.number}" for moment in chosen)
        print(
            f"{number + 1}/{moments}  {name}, every {every}  {shown}  {'; '.join(wrong[:5]) or 'the same'}", flush=True
        )
        shutil.rmtree(out, ignore_errors=True)
    minutes = (time.monotonic() - started) / 60
    print(f"{moments} runs, {kills} kills, {failed} losses, {minutes:.1f} minutes")
    return failed


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moments", type=int, default=50, help="runs that are killed, once or more often")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--runs", nargs="*", choices=list(SOAKED), help="which settings; all")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        runs = {name: SOAKED[name] for name in options.runs or SOAKED}
        sys.exit(1 if soak(Path(place), options.moments, options.seed, runs) else 0)


if __name__ == "__main__":
    main()
