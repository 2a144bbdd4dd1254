"""A study is run: what its plan names and has not been run yet, in this process or in several of Ray."""

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.backbone.trial import try_out
from fedrouter_sim.errors import UserError
from fedrouter_sim.evaluation.metrics import find_metric
from fedrouter_sim.federation.engine import Engine
from fedrouter_sim.federation.observers import Display
from fedrouter_sim.federation.seats import seats
from fedrouter_sim.runs.layout import MANIFEST_NAME
from fedrouter_sim.runs.reader import Run
from fedrouter_sim.studies.comparison import Comparison, Judged
from fedrouter_sim.studies.plan import PlannedRun, Study
from fedrouter_sim.studies.reading import open_comparison
from fedrouter_sim.studies.records import Record, Records
from fedrouter_sim.tables import parse_options

Train = Callable[..., Any]
"""What trains a run: (config, out, overwrite, display, backbone, resume)."""


def run_study(
    study: Study,
    out: Path,
    train: Train,
    display: Display,
    limit: int | None = None,
    workers: int = 1,
    records: Records | None = None,
) -> Generator[tuple[PlannedRun, Run], None, None]:
    """Run what has not been run, and yield each run as it is done.

    An interrupted study goes on where it was, inside a run as well. In this process one backbone serves all runs, one
    after the other. Several workers of Ray (extra `ray`), on this machine, take a run each, in one thread each: a small
    model gains little from a second thread, and two runs side by side are nearly twice as fast.

    Args:
        study: what to run.
        out: folder of the run folders.
        train: trains one run (`operations.train.train`).
        display: is told of each run's progress; with several workers, of nothing.
        limit: most runs to do now; None for all.
        workers: how many runs at a time; with 1, or a single run to do, this process is enough.
        records: has finished runs, which are not run again, and gets those that are done now.

    Raises:
        UserError: the package ray is missing, or a worker has died.
    """
    pending = pending_runs(study, out, records)[:limit]
    engine = Engine.wanted(workers, None) if workers > 1 else None
    if engine is not None and len(pending) > 1:
        place = Path.cwd() / out
        with seats(engine, len(pending), str(out)) as done_by_them:
            for number in done_by_them((_run_one, train, planned, place, Display()) for planned in pending):
                yield pending[number], _done(study, pending[number], out, records)
        return
    for planned in pending:
        _run_one(train, planned, out, display)
        yield planned, _done(study, planned, out, records)


def pending_runs(study: Study, out: Path, records: Records | None = None) -> list[PlannedRun]:
    """Return the runs that are neither in `out` nor in the records yet; the latter get those that are in `out` alone.

    Raises:
        UserError: as `Study.pending`, or `out` is a run itself, or a run in it was never evaluated.
    """
    if (out / MANIFEST_NAME).exists():
        raise UserError(f"--out {out}: is a run folder, and runs of several seeds or a plan do not go into one")
    if records is None:
        return study.pending(out)
    pending = study.pending(out, {name: record.origin for name, record in records.runs.items()})
    for planned in study.runs:
        if planned not in pending and planned.name not in records.runs:
            _done(study, planned, out, records)
    return pending


def _done(study: Study, planned: PlannedRun, out: Path, records: Records | None) -> Run:
    """Return a run that is done, and have it recorded."""
    run = Run(out / planned.name)
    if records is not None:
        records.add(Record.of(run, study.metrics))
    return run


_loaded: dict[str, Backbone] = {}
"""The backbone that this process has in memory, from run to run."""


def _run_one(train: Train, planned: PlannedRun, out: Path, display: Display) -> None:
    backbone = _loaded.get("backbone")
    if backbone is None or not backbone.serves(planned.config):
        backbone = _loaded["backbone"] = Backbone(planned.config)
        try_out(backbone, planned.config.model)
    train(planned.config, out / planned.name, overwrite=False, display=display, backbone=backbone, resume=True)


def conclude(study: Study, out: Path, records: Records | None = None) -> tuple[Comparison, list[Judged]]:
    """Compare the finished runs of a study, of the records if they are given and else of `out`; judge its claims."""
    names = [run.name for run in study.runs]
    if records is None:
        there = [out / name for name in names if (out / name).exists()]
        comparison = open_comparison(there, also=study.metrics, planned=study.told)
    else:
        first = study.runs[0].config
        metric = find_metric(first.metric, parse_options(first.option))
        comparison = records.compare(names, metric, study.metrics, study.told)
    return comparison, [comparison.judge(claim) for claim in study.claims]
