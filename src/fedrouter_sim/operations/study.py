"""A study is run: what its plan names and has not been run yet, in this process or in several of Ray."""

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.backbone.trial import try_out
from fedrouter_sim.federation.engine import Engine
from fedrouter_sim.federation.observers import Display
from fedrouter_sim.federation.seats import seats
from fedrouter_sim.runs.reader import Run
from fedrouter_sim.studies.comparison import Comparison, Judged
from fedrouter_sim.studies.plan import PlannedRun, Study
from fedrouter_sim.studies.reading import open_comparison

Train = Callable[..., Any]
"""What trains a run: (config, out, overwrite, display, backbone, resume)."""


def run_study(
    study: Study, out: Path, train: Train, display: Display, limit: int | None = None, workers: int = 1
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

    Raises:
        UserError: the package ray is missing, or a worker has died.
    """
    pending = study.pending(out)[:limit]
    engine = Engine.wanted(workers, None) if workers > 1 else None
    if engine is not None and len(pending) > 1:
        place = Path.cwd() / out
        with seats(engine, len(pending), str(out)) as done_by_them:
            for number in done_by_them((_run_one, train, planned, place, Display()) for planned in pending):
                yield pending[number], Run(out / pending[number].name)
        return
    for planned in pending:
        _run_one(train, planned, out, display)
        yield planned, Run(out / planned.name)


_loaded: dict[str, Backbone] = {}
"""The backbone that this process has in memory, from run to run."""


def _run_one(train: Train, planned: PlannedRun, out: Path, display: Display) -> None:
    backbone = _loaded.get("backbone")
    if backbone is None or not backbone.serves(planned.config):
        backbone = _loaded["backbone"] = Backbone(planned.config)
        try_out(backbone, planned.config.model)
    train(planned.config, out / planned.name, overwrite=False, display=display, backbone=backbone, resume=True)


def conclude(study: Study, out: Path) -> tuple[Comparison, list[Judged]]:
    """Compare the finished runs of a study and judge its claims."""
    done = [out / run.name for run in study.runs if (out / run.name).exists()]
    comparison = open_comparison(done, also=[claim.metric for claim in study.claims])
    return comparison, [comparison.judge(claim) for claim in study.claims]
