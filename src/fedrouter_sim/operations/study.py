"""A study is run: what its plan names and has not been run yet, in this process or in several."""

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.backbone.trial import try_out
from fedrouter_sim.federation.observers import Display
from fedrouter_sim.runs.reader import Run
from fedrouter_sim.stopping import interrupt_again_where_swallowed
from fedrouter_sim.studies.comparison import Comparison, Judged
from fedrouter_sim.studies.plan import PlannedRun, Study
from fedrouter_sim.studies.reading import open_comparison

Train = Callable[..., Any]
"""What trains a run: (config, out, overwrite, display, backbone, resume)."""


def run_study(
    study: Study, out: Path, train: Train, display: Display, limit: int | None = None, workers: int = 1
) -> Iterator[tuple[PlannedRun, Run]]:
    """Run what has not been run, and yield each run as it is done.

    An interrupted study goes on where it was, inside a run as well. In this process one backbone
    serves all runs, one after the other. Several worker processes take a run each, in one thread each: a small model
    gains little from a second thread, and two runs side by side are nearly twice as fast.

    Args:
        study: what to run.
        out: folder of the run folders.
        train: trains one run (`operations.train.train`).
        display: is told of each run's progress; with several workers, of nothing.
        limit: most runs to do now; None for all.
        workers: processes.
    """
    pending = study.pending(out)[:limit]
    if workers > 1:
        with ProcessPoolExecutor(workers, get_context("spawn"), _start_worker) as pool:
            waiting = iter(pending)
            running: dict[Future[None], PlannedRun] = {}
            # No more are handed over than are run at once, so that after an error or an interrupt no other run begins.
            while True:
                for planned in islice(waiting, workers - len(running)):
                    running[pool.submit(_run_in_worker, train, planned, out)] = planned
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    future.result()
                    done = running.pop(future)
                    yield done, Run(out / done.name)
    for planned in pending:
        _run_one(train, planned, out, display)
        yield planned, Run(out / planned.name)


_loaded: dict[str, Backbone] = {}
"""The backbone that this process has in memory, from run to run."""


def _start_worker() -> None:
    torch.set_num_threads(1)
    # An interrupt is for the run at hand. An idle worker that died of it would take the others with it, unclean.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    interrupt_again_where_swallowed()


def _run_in_worker(train: Train, planned: PlannedRun, out: Path) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        _run_one(train, planned, out, Display())
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


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
