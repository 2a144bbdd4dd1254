"""`train`: partition the data, plan, run the rounds, evaluate, and leave a run folder."""

from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from fedrouter_sim.adapters.state import adapter_digest
from fedrouter_sim.answerer import Answerer
from fedrouter_sim.backbone.asking import Answers
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.backbone.trial import try_out
from fedrouter_sim.config import RunConfig
from fedrouter_sim.config.paths import absolute_paths
from fedrouter_sim.errors import UserError, first_line
from fedrouter_sim.evaluation.cells import most_answers
from fedrouter_sim.evaluation.evaluator import Evaluator
from fedrouter_sim.evaluation.labels import LabelTasks, said_of_same_answers
from fedrouter_sim.evaluation.metrics import find_metric
from fedrouter_sim.evaluation.metrics.metric import Metric
from fedrouter_sim.evaluation.sample_map import sample_map
from fedrouter_sim.evaluation.scores import CellResult
from fedrouter_sim.evaluation.scoring import score_cells
from fedrouter_sim.evaluation.truth import Agreement, Truth
from fedrouter_sim.evaluation.validation import ValidationCurve
from fedrouter_sim.examples.record import Shares
from fedrouter_sim.examples.sources import GIVEN_IN_PYTHON
from fedrouter_sim.federation.crew import Crew, crew_of
from fedrouter_sim.federation.engine import Engine, engine_record
from fedrouter_sim.federation.estimate import estimate_cost
from fedrouter_sim.federation.federation import Federation, build_federation
from fedrouter_sim.federation.observers import SILENT, Display, Observers, Stopping, totals
from fedrouter_sim.federation.privacy.accounting import require_opacus
from fedrouter_sim.folders import refuse_existing
from fedrouter_sim.machine import peak_memory_bytes
from fedrouter_sim.methods import METHODS
from fedrouter_sim.methods.method import Method
from fedrouter_sim.partition.fitting import Fitting
from fedrouter_sim.partition.run_data import RunData, check_new, checked_shares, partition_data
from fedrouter_sim.partition.splits import SPLITS
from fedrouter_sim.runs.births import births_of
from fedrouter_sim.runs.checkpoint import Checkpoint
from fedrouter_sim.runs.clock import Clock
from fedrouter_sim.runs.discovery import Discovery
from fedrouter_sim.runs.entries import check_entries, own_digests
from fedrouter_sim.runs.layout import RUN_MARKS
from fedrouter_sim.runs.notes import notes_of
from fedrouter_sim.runs.summary import Summary
from fedrouter_sim.runs.tensorboard import TensorBoard, board_for, require_tensorboard
from fedrouter_sim.runs.trouble import troubles_of
from fedrouter_sim.runs.unfinished import EVERY_CLIENT, EVERY_ROUND, Begun, run_under_way
from fedrouter_sim.runs.writer import RunWriter
from fedrouter_sim.simulation import Outcome, checked_plan, simulate
from fedrouter_sim.stopping import Stop, stoppable
from fedrouter_sim.tables import parse_options
from fedrouter_sim.threads import torch_threads


@dataclass(frozen=True)
class Trained:
    """What `train` reports."""

    folder: Path
    config: RunConfig
    summary: Summary
    results: list[CellResult]
    notes: list[str]


def train(
    config: RunConfig,
    out: Path | str,
    overwrite: bool = False,
    display: Display = SILENT,
    backbone: Backbone | None = None,
    *,
    shares: Shares | None = None,
    method: type[Method] | None = None,
    tensorboard: bool = False,
    resume: bool = False,
    checkpoint_every: str = EVERY_ROUND,
    workers: int | None = None,
    ray: str | None = None,
) -> Trained:
    """Train and evaluate one run, and leave its folder at `out`.

    Until it is done the folder grows beside `out`, hidden, as .NAME.partial. If it is interrupted, by Ctrl-C, SIGKILL
    or a full disk, what was trained is kept there, and `resume` goes on; the run ends with the bytes that it would have
    had.

    Args:
        config: the settings.
        out: where the run folder goes.
        overwrite: replace an existing run there, or an interrupted one.
        display: shows progress.
        backbone: one that is loaded already and serves these settings; None to load it.
        shares: the examples, instead of those that `config.data` names.
        method: a method's class, instead of the one that `config.method` names; it stands at the top of a file of
            yours, from which the run is opened again.
        tensorboard: also stream the metrics to OUT/tensorboard, which is at its place when the run is done.
        resume: go on with the run of the same settings that was interrupted there, if there is one.
        checkpoint_every: what is kept while it trains: the state after every 'round', or what every 'client' sent too.
        workers: train and ask clients, and answer test samples, in so many processes of Ray (extra `ray`) of one
            thread; None: in this process, unless `ray` is given. The bytes are those of this process in one thread.
        ray: address of the Ray cluster where they are; None: Ray is started on this machine. Without `workers` there
            is one for each processor of the cluster.

    Raises:
        UserError: the settings, the data or the backbone are not usable, or `out` exists; nothing is left behind. Or
            the evaluation failed: the run is there, without scores.
        Interrupted: by Ctrl-C; the message says how to go on.
    """
    clock, out = Clock(), Path(out)
    if not resume:
        refuse_existing(out, overwrite, RUN_MARKS, "a run folder")
    if tensorboard:
        require_tensorboard()
    if config.dp_epsilon:
        require_opacus()
    engine = Engine.wanted(workers, ray)
    if checkpoint_every not in (EVERY_ROUND, EVERY_CLIENT):
        raise UserError(f"--checkpoint-every {checkpoint_every}: choose {EVERY_ROUND} or {EVERY_CLIENT}")
    config = _resolved(config, shares, method)
    threads = torch.get_num_threads() if engine is None else 1  # as of each worker, and of what leads them
    every_client, own = checkpoint_every == EVERY_CLIENT, own_digests(config)
    new = Begun(out, config.to_dict(), overwrite, tensorboard, every_client, own, threads)
    with (
        run_under_way(out, new, resume) as begun,
        torch_threads(threads if engine else begun.threads),
        crew_of(engine, config) as crew,
    ):
        if said := begun.said_of_threads(threads, with_workers=engine is not None):
            display.noted(said)
        check_entries(config, method)
        job = _prepare(config, None if shares is None else checked_shares(shares), backbone, method, display, crew)
        checkpoint = Checkpoint(begun, job.made_of, clock.so_far)
        clock.add(checkpoint.spent())
        clock.done("load")
        with (
            board_for(begun.run, display, begun.tensorboard, begun.rounds) as board,
            stoppable(display.noted) as stop,
            nullcontext() if crew is None else crew.watched(stop.check),
        ):
            done, failure = _run(job, begun.run, checkpoint, board, display, clock, stop)
    if failure is not None:
        said = str(failure) if isinstance(failure, UserError) else f"{type(failure).__name__}: {first_line(failure)}"
        raise UserError(
            f"{out}: the run is trained and kept, and its evaluation failed ({said}); `fedrouter-sim eval {out}` "
            "evaluates it again"
        ) from failure
    return replace(done, folder=out)


def _run(
    job: "_Job",
    folder: Path,
    checkpoint: Checkpoint,
    board: TensorBoard | None,
    display: Display,
    clock: Clock,
    stop: Stop,
) -> tuple[Trained, Exception | None]:
    """Run the rounds and write the folder; return what is reported, and what went wrong in the evaluation."""
    config = job.config
    writer = RunWriter(folder, config, job.backbone.peft_config, job.initial_sha256)
    outcome = _simulated(job, writer, checkpoint, board, display, clock, stop)
    truth = Truth.of(outcome.stages, job.data)
    writer.write_model(outcome.adapters, outcome.deployment, job.federation.longest_answer)
    writer.write_truth(truth, job.labels)
    writer.write_discovery(Discovery.of_stages(outcome.stages, config.affinity))
    writer.write_samples(sample_map(outcome.stages[0], job.data.labels()))
    longest, answers = job.federation.longest_answer, job.answers
    answerer = Answerer(job.backbone, job.method, outcome.deployment, outcome.adapters.__getitem__, longest, answers)

    def answered(units: int) -> None:
        display.advanced(units)
        stop.check()

    embeds = None if job.crew is None else job.crew.embed
    evaluator = Evaluator(answerer, truth, job.metric, answered, job.labels, embeds)
    results: list[CellResult] = []
    failure: Exception | None = None
    try:
        results += score_cells(evaluator, job.data.test_shares(), display)
    except Exception as error:  # whatever it is, what was trained is kept
        failure = error
    for result in results:
        writer.write_result(result, seed=config.seed, data=config.data, method=job.method.name)
        if board:
            board.scored(result, job.metric)
    clock.done("evaluate")
    cut = {"train": sum(client.cut for client in job.federation.clients), "test": len(evaluator.cut)}
    summary = _summary(job, outcome, truth, results, cut, clock.seconds(outcome))
    notes = troubles_of(outcome.stages, outcome.records, results)
    notes += [*said_of_same_answers(results), *notes_of(config, job.data, outcome, cut)]
    writer.write_summary(summary, _manifest(job, summary) | ({"notes": notes} if notes else {}))
    return Trained(folder, config, summary, results, [*job.data.notes, *notes]), failure


@dataclass(frozen=True)
class _Job:
    """All that is there before the first round."""

    config: RunConfig
    data: RunData
    backbone: Backbone
    federation: Federation
    method: Method
    metric: Metric  # the one that is shown first
    initial_sha256: str  # digest of the adapter that every pool starts from
    crew: Crew | None  # that trains and answers; None: this process does

    @cached_property
    def labels(self) -> LabelTasks:
        """The tasks whose answers are labels, by the training rows of the data, whoever holds them."""
        return LabelTasks.of(self.data.shares.train)

    @property
    def answers(self) -> Answers | None:
        """Who answers test samples; None: this process does."""
        return None if self.crew is None else self.crew.answer

    @property
    def made_of(self) -> dict[str, str]:
        """Digests of what a run that goes on has to be made of again, by what they are of."""
        return {
            "data": self.data.shares.digest(),
            "backbone": self.backbone.digest,
            "data type of the backbone": self.backbone.dtype,
            "adapter that all start from": self.initial_sha256,
        }


def _resolved(config: RunConfig, shares: Shares | None, method: type[Method] | None) -> RunConfig:
    """Return the settings as the run folder has them."""
    if method is not None:
        config = replace(config, method=METHODS.reference(method))
    if shares is not None:
        config = replace(config, data=GIVEN_IN_PYTHON)
    return absolute_paths(config)


def _prepare(
    config: RunConfig,
    shares: Shares | None,
    backbone: Backbone | None,
    method: type[Method] | None,
    display: Display,
    crew: Crew | None,
) -> _Job:
    """Load data and backbone, and make the clients."""
    options = parse_options(config.option)
    used = METHODS.find(config.method, options) if method is None else METHODS.make(method, options)
    metric = find_metric(config.metric, options)
    budget = used.budget(config)
    display.started("loading data and backbone")
    data = partition_data(config, shares)
    check_new(config, data)
    if backbone is None or not backbone.serves(config):
        backbone = Backbone(config)
        try_out(backbone, config.model)
    display.started("tokenising")
    data = Fitting(backbone.encoder.flaws, config.on_bad_row).data(data)
    federation = build_federation(config, data, backbone, budget, crew)
    return _Job(config, data, backbone, federation, used, metric, adapter_digest(federation.initial), crew)


def _simulated(
    job: _Job,
    writer: RunWriter,
    checkpoint: Checkpoint,
    board: TensorBoard | None,
    display: Display,
    clock: Clock,
    stop: Stop,
) -> Outcome:
    """Plan, say what training will cost, and run the rounds; or go on after those that an earlier process ran."""
    federation, plan = job.federation, None
    resumed = checkpoint.load(federation)
    if resumed is None:
        display.started("embedding, clustering")
        with stop.at_once():
            plan = first = checked_plan(job.method.plan(federation), job.method)
            clock.done("plan")
            answers = most_answers(job.method, first, job.data)
            display.before_training(lambda: estimate_cost(federation, first, job.backbone, answers))
    of_run = (job.config, job.data.validation, job.backbone, job.method, job.metric)
    validate = ValidationCurve(*of_run, federation.longest_answer, job.answers, job.labels, display.noted)
    watching = Observers(display, writer, *([board] if board else []), checkpoint, Stopping(stop.check))
    try:
        outcome = simulate(federation, job.method, watching, validate, plan, resumed, checkpoint.keep)
    except BaseException:
        with suppress(Exception):
            checkpoint.flush()
        raise
    clock.done("rounds")
    return outcome


def _summary(
    job: _Job,
    outcome: Outcome,
    truth: Truth | None,
    results: list[CellResult],
    cut: dict[str, int],
    seconds: dict[str, float],
) -> Summary:
    guard = job.federation.guard
    return Summary(
        method=job.method.name,
        split=SPLITS.class_of(job.config.split).name,
        clients=job.config.clients,
        seed=job.config.seed,
        metric=job.metric.name,
        **Summary.of_results(results),
        **asdict(truth.agreement() if truth else Agreement()),
        tasks_found=len(outcome.plan.router.centroids) if outcome.plan.router is not None else None,
        tasks_born=len(births_of(outcome.stages)) if outcome.plan.router is not None else 0,
        bytes_up=outcome.traffic.up,
        bytes_down=outcome.traffic.down,
        **totals(outcome.records),
        truncated=cut,
        privacy=None if guard is None else guard.budget.spent(len(outcome.records)),
        seconds=seconds,
        peak_memory_bytes=peak_memory_bytes(),
    )


def _manifest(job: _Job, summary: Summary) -> dict[str, Any]:
    return {
        "command": "train",
        "seed": job.config.seed,
        "data_sha256": job.data.shares.digest(),
        **job.backbone.record(),
        "own_sha256": own_digests(job.config),
        "wall_seconds": summary.seconds["total"],
        "peak_memory_bytes": summary.peak_memory_bytes,
        **engine_record(None if job.crew is None else job.crew.size),
        **job.data.record(),
    }
