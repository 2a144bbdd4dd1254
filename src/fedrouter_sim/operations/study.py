"""A study is run: what its plan names and has not been run yet, in this process or in several of Ray."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.backbone.trial import try_out
from fedrouter_sim.errors import MayPass, UserError
from fedrouter_sim.evaluation.metrics import find_metric
from fedrouter_sim.federation.engine import Engine
from fedrouter_sim.federation.observers import Display
from fedrouter_sim.federation.seats import seats
from fedrouter_sim.runs.cells import has_cells
from fedrouter_sim.runs.layout import MANIFEST_NAME
from fedrouter_sim.runs.reader import Run
from fedrouter_sim.studies.comparison import Comparison, Judged
from fedrouter_sim.studies.finished import Absent
from fedrouter_sim.studies.plan import PlannedRun, Study
from fedrouter_sim.studies.reading import open_comparison
from fedrouter_sim.studies.records import Record, Records
from fedrouter_sim.tables import parse_options
from fedrouter_sim.threads import torch_threads

Train = Callable[..., Any]
"""What trains a run: (config, out, overwrite, display, backbone, resume)."""

Refused = Callable[[PlannedRun, UserError], None]
"""Is told of a run that cannot be made, and why."""


def run_study(
    study: Study,
    out: Path,
    train: Train,
    display: Display,
    limit: int | None = None,
    workers: int = 1,
    records: Records | None = None,
    refused: Refused | None = None,
    pending: Sequence[PlannedRun] | None = None,
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
        refused: is told of a run that cannot be made, and the others are; None: that is raised.
        pending: the runs that are to be done; None: all that `pending_runs` gives.

    Raises:
        UserError: the package ray is missing; or of a run, and nobody is told.
        MayPass: a worker has died, or the disk is full.
    """
    wanted = pending_runs(study, out, records) if pending is None else pending
    for planned, error in _tried(wanted[:limit], out, train, display, workers):
        if error is None:
            yield planned, _done(study, planned, out, records)
        elif refused is None:
            raise error
        else:
            refused(planned, error)


def _tried(
    pending: Sequence[PlannedRun], out: Path, train: Train, display: Display, workers: int
) -> Iterator[tuple[PlannedRun, UserError | None]]:
    """Run what is pending, and yield each run as it is done or was refused, with why."""
    engine = Engine.wanted(workers, None) if workers > 1 else None
    if engine is not None and len(pending) > 1:
        place = Path.cwd() / out
        with seats(engine, len(pending), str(out)) as done_by_them:
            for number, error in done_by_them((_run_one, train, planned, place, Display()) for planned in pending):
                yield pending[number], error
        return
    # Of several workers a last run alone has the bytes that it would have had beside others.
    with torch_threads(None if engine is None else 1):
        for planned in pending:
            error = None
            try:
                _run_one(train, planned, out, display)
            except MayPass:
                raise
            except UserError as refusal:
                error = refusal
            yield planned, error


def not_made(failed: Mapping[str, UserError], planned: int) -> UserError:
    """Return what is said at the end of a study of which some runs could not be made."""
    said = "; ".join(f"{name}: {error}" for name, error in failed.items())
    return UserError(f"{len(failed)} of {planned} runs could not be made: {said}")


def pending_runs(
    study: Study, out: Path, records: Records | None = None, absent: Absent | None = None
) -> list[PlannedRun]:
    """Return the runs that are neither in `out` nor in the records yet; the latter get those that are in `out` alone.

    Args:
        study: what is planned.
        out: folder of the run folders.
        records: has finished runs.
        absent: is told of data and backbones that are not here and so are not compared; None: they are refused.

    Raises:
        UserError: as `Study.pending`, or `out` is a run itself, or a run in it was never evaluated.
    """
    if (out / MANIFEST_NAME).exists():
        raise UserError(f"--out {out}: is a run folder, and runs of several seeds or a plan do not go into one")
    recorded = None if records is None else {name: record.origin for name, record in records.runs.items()}
    pending = study.pending(out, recorded, absent)
    if records is None:
        return pending
    for planned in study.runs:
        if planned not in pending and planned.name not in records.runs and has_cells(out / planned.name):
            _done(study, planned, out, records)
    return pending


def _done(study: Study, planned: PlannedRun, out: Path, records: Records | None) -> Run:
    """Return a run that is done, and have it recorded."""
    run = Run(out / planned.name)
    if records is not None:
        records.add(Record.of(run, study.metrics))
    return run


_loaded: dict[str, Backbone] = {}
"""The backbone that this process has in memory, from run to run, by the --data whose rows it keeps numbers of."""


def _run_one(train: Train, planned: PlannedRun, out: Path, display: Display) -> None:
    data = planned.config.data
    backbone = _loaded.get(data)
    if backbone is None or not backbone.serves(planned.config):
        backbone = None  # the old one goes before the new one comes
        _loaded.clear()
        backbone = _loaded[data] = Backbone(planned.config)
        try_out(backbone, planned.config.model)
    train(planned.config, out / planned.name, overwrite=False, display=display, backbone=backbone, resume=True)


def conclude(study: Study, out: Path, records: Records | None = None) -> tuple[Comparison, list[Judged]]:
    """Compare the finished runs of a study, of the records if they are given and else of `out`; judge its claims."""
    names = [run.name for run in study.runs]
    if records is None:
        there = [out / name for name in names if has_cells(out / name)]
        comparison = open_comparison(there, also=study.metrics, planned=study.told)
    else:
        first = study.runs[0].config
        metric = find_metric(first.metric, parse_options(first.option))
        comparison = records.compare(names, metric, study.metrics, study.told)
    said = [
        f"{out / name}: was trained, and its evaluation failed; `fedrouter-sim eval {out / name}` evaluates it again"
        for name in names
        if (records is None or name not in records.runs)
        and (out / name / MANIFEST_NAME).exists()
        and not has_cells(out / name)
    ]
    comparison = replace(comparison, notes=(*comparison.notes, *said))
    return comparison, [comparison.judge(claim) for claim in study.claims]
