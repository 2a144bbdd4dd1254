"""Run a comparison of methods from a plan: `python scripts/reproduce.py [--plan default] [--out DIR]`.

A plan (scripts/plans/*.toml, or any path) says which methods stand on which splits, with which seeds and settings, and
what is claimed beforehand. Each run is a run folder under --out; one that is there is not run again, so an interrupted
comparison goes on where it was. At the end: report.html, results.csv, clients.csv, table.md, figures/ and claims.json.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from fedrouter_sim import __version__
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.methods import METHODS, Plan, find_method
from fedrouter_sim.operations.study import Study, conclude, read_study, run_study
from fedrouter_sim.operations.train import Display
from fedrouter_sim.report.comparison_figures import comparison_figures
from fedrouter_sim.report.comparison_report import write_comparison_report
from fedrouter_sim.report.comparison_tables import clients_csv, comparison_csv, comparison_markdown
from fedrouter_sim.report.tables import claims_table, comparison_table, number
from fedrouter_sim.storage import write_json, write_text
from fedrouter_sim.studies.comparison import Comparison, Judged

PLANS = Path(__file__).parent / "plans"
PAPER = (("own", "Interference, own data", "6.1%"), ("all", "Generalisation, all tasks", "136%"))
NO_BASELINES = ("fedrouter", "oracle", "central", "base")
AROUND = 100  # units of the overall bar for what a run does besides its optimizer steps, in steps


class StudyDisplay(Display):
    """One bar over all runs: an optimizer step is a unit, and the rest of a run counts as so many more."""

    def __init__(self, study: Study, out: Path, console: Console) -> None:
        self._console = console
        pending = study.pending(out)
        self._runs = len(pending)
        self._units = {run.name: _units(run.config) for run in pending}  # of the runs that are left
        self._done = 0
        self._started = time.monotonic()
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:.0f}%"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
            speed_estimate_period=600,  # runs differ in speed; a short memory would make the estimate jump
        )
        self._task = self._progress.add_task(self._next(), total=sum(self._units.values()))

    @contextmanager
    def shown(self) -> Iterator[None]:
        with self._progress:
            yield

    def stepped(self, loss: float) -> None:
        self._progress.advance(self._task)

    def planned(self, plan: Plan, rounds: int, steps: int) -> None:
        self._progress.update(self._task, description=self._next())

    def finished(self, name: str, summary: dict[str, Any]) -> None:
        """Say that a run is done, what it scored, and how long the rest may take."""
        self._done += self._units.pop(name)
        self._progress.update(self._task, completed=self._done, description=self._next())
        spent = time.monotonic() - self._started
        left = spent / self._done * sum(self._units.values())
        done = f"{self._runs - len(self._units)}/{self._runs}"
        scores = "  ".join(
            f"{cell} {number(score)}"
            for cell, score in summary["rouge1_per_cell"].items()
            if cell.endswith(("-global", "-fixed"))
        )
        self._console.print(
            f"{done}  {name}  {scores}  ({spent / 60:.1f} min, about {left / 60:.0f} left)",
            highlight=False,
            soft_wrap=True,
        )

    def _next(self) -> str:
        return next(iter(self._units), "done")


def _units(config: RunConfig) -> int:
    trained = find_method(config.method).trains
    return AROUND + (config.rounds * config.local_steps * config.clients if trained else 0)


def write_results(study: Study, out: Path, command: str) -> tuple[Comparison, list[Judged]]:
    """Write what a study yields: the page, the tables, the figures and the judged claims."""
    comparison, judged = conclude(study, out)
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "peft", "faiss-cpu"))
    seeds = " ".join(str(seed) for seed in sorted({entry.seed for entry in comparison.entries}))
    in_all = sum(entry.wall_seconds for entry in comparison.entries) / 60
    notes = [
        *largest_gains(comparison),
        f"Made by `{command}` on {datetime.now(UTC):%Y-%m-%d}: {len(comparison.entries)} of {len(study.runs)} runs, "
        f"seeds {seeds}. The runs took {in_all:.1f} minutes in all, on {cores()} processor cores.",
        f"fedrouter-sim {__version__}, {libraries}.",
    ]
    write_comparison_report(out / "report.html", study.title, comparison, judged, notes)
    notes.append(f"Backbone: {'; '.join(comparison.backbones())}.")  # the page says it at its top
    write_text(
        out / "table.md",
        f"# {study.title}\n\n" + comparison_markdown(comparison, judged) + "\n" + "\n\n".join(notes) + "\n",
    )
    write_text(out / "results.csv", comparison_csv(comparison))
    write_text(out / "clients.csv", clients_csv(comparison))
    for name, svg in comparison_figures(comparison).items():
        write_text(out / "figures" / f"{name}.svg", svg)
    write_json(out / "claims.json", [asdict(one) for one in judged])
    return comparison, judged


def largest_gains(comparison: Comparison) -> list[str]:
    """Say how far FedRouter is above the other federated methods at most, beside what the paper claims."""
    others = [m for m in comparison.methods() if m in METHODS and m not in NO_BASELINES]
    lines = []
    for test_data, what, paper in PAPER:
        gains = [
            gain
            for split, data in comparison.cells()
            if data == test_data
            for baseline in others
            if (gain := comparison.gain("fedrouter", baseline, split, data)) is not None
        ]
        if gains:
            best = max(gains, key=lambda gain: gain.log_ratio.mean)
            lines.append(
                f"{what}: fedrouter's largest relative gain over a baseline is {best.ratio.mean - 1:+.1%} (over "
                f"{best.baseline} on {best.split}, seeds: {best.log_ratio.seeds}); the paper's is up to +{paper}."
            )
    return lines


def cores() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def plan_path(given: str) -> Path:
    """Return the file of a plan: a shipped one by its name, or a path."""
    shipped = PLANS / f"{given}.toml"
    return shipped if shipped.is_file() else Path(given)


def main() -> None:
    """Run a study and write its results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ", ".join(sorted(path.stem for path in PLANS.glob("*.toml")))
    parser.add_argument("--plan", default="default", help=f"{names}, or a TOML file")
    parser.add_argument("--out", type=Path, help="folder of the results; by default runs/reproduce-PLAN")
    parser.add_argument("--model", help="another backbone than the plan's: a folder or a Hub id")
    parser.add_argument("--data", help="other data than the plan's: a folder or a file")
    parser.add_argument("--workers", type=int, default=cores(), help="processes, a run each at a time")
    options = parser.parse_args()
    if options.workers < 1:
        sys.exit(_fail(f"--workers {options.workers}: must be at least 1"))
    path = plan_path(options.plan)
    out = options.out or Path("runs") / f"reproduce-{path.stem}"
    overrides = {key: value for key, value in (("model", options.model), ("data", options.data)) if value}
    console = Console(stderr=True)
    started = time.monotonic()
    try:
        study = read_study(path, overrides)
        display = StudyDisplay(study, out, console)
        with display.shown():
            for planned, run in run_study(study, out, display, workers=options.workers):
                display.finished(planned.name, run.summary)
        command = " ".join(["python", "scripts/reproduce.py", *sys.argv[1:]])
        comparison, judged = write_results(study, out, command)
    except UserError as error:
        sys.exit(_fail(str(error)))
    except BrokenProcessPool:
        sys.exit(
            _fail(
                f"a worker process died, perhaps for want of memory; the same command with --workers 1 goes on in {out}"
            )
        )
    except KeyboardInterrupt:
        sys.exit(_fail(f"interrupted; the finished runs are in {out}, and the same command goes on from there", 130))
    result = Console(width=None if sys.stdout.isatty() else 160)
    result.print(comparison_table(comparison))
    if judged:
        result.print(claims_table(judged))
    result.print(
        f"{(time.monotonic() - started) / 60:.1f} minutes; the results are in {out}: report.html, table.md, results.csv"
    )


def _fail(message: str, code: int = 2) -> int:
    print(f"error: {message}" if code == 2 else message, file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
