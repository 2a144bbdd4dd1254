"""`eval`: the cells of a finished run, on its own test share, the embedded test set or the user's data."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fedrouter_sim.config.paths import absolute_path
from fedrouter_sim.errors import UserError
from fedrouter_sim.evaluation.evaluator import Evaluator
from fedrouter_sim.evaluation.labels import LabelTasks
from fedrouter_sim.evaluation.metrics import DEFAULT_METRIC, METRICS, find_metric
from fedrouter_sim.evaluation.metrics.metric import Metric
from fedrouter_sim.evaluation.scores import Cell, CellResult
from fedrouter_sim.evaluation.scoring import score_cells
from fedrouter_sim.evaluation.unseen import UnseenAuroc
from fedrouter_sim.examples.reading import Reading
from fedrouter_sim.examples.record import Columns, Shares
from fedrouter_sim.examples.sources import NOT_ON_DISK, load_test
from fedrouter_sim.examples.values import spelled_as
from fedrouter_sim.federation.observers import SILENT, Display
from fedrouter_sim.partition.assigning import assign_by_client, split_iid
from fedrouter_sim.partition.fitting import Fitting
from fedrouter_sim.partition.run_data import TestShares, draw_fewer, partition_data, reading_of
from fedrouter_sim.partition.test_data import GIVEN
from fedrouter_sim.routing import BARE, GLOBAL, LOCAL, ORACLE, ROUTERS, router_label
from fedrouter_sim.runs.cells import folder_of_data, write_cell
from fedrouter_sim.runs.layout import LABELS_NAME
from fedrouter_sim.runs.reader import Run, open_run
from fedrouter_sim.runs.writer import rewrite_summary
from fedrouter_sim.tables import Options, option_texts
from fedrouter_sim.threads import torch_threads


@dataclass(frozen=True)
class Evaluated:
    """What `eval` reports."""

    results: list[CellResult]
    files: list[Path]
    notes: list[str]
    metric: Metric  # the one that is shown first
    unseen: UnseenAuroc  # how well held-out tasks are told from trained ones


def evaluate(
    run: Run | Path | str,
    display: Display = SILENT,
    test_data: Sequence[str] = (),
    routing: Sequence[str] = (),
    data: str | None = None,
    columns: Columns | None = None,
    most: int | None = None,
    *,
    shares: Shares | None = None,
    metric: str | None = None,
    option: Sequence[str] = (),
    on_bad_row: str | None = None,
    unseen: str | None = None,
    router: str | None = None,
) -> Evaluated:
    """Evaluate cells of a run and write each to RUN/eval/, or with `data`, `unseen` or fewer samples to a folder in it
    that says so (data-mine.jsonl, unseen-bare, most-5, data-mine.jsonl/most-5): the run's own cells stay.

    Where nothing else than the run is named, all cells are evaluated that `train` evaluates, and the run's summary has
    their scores: a run whose evaluation failed, or that was aggregated again, is then as it would have been.

    Args:
        run: a run, or its folder.
        display: shows progress.
        test_data: 'all', 'own', 'drift', 'held-out'; none: those that the run has.
        routing: 'global', 'local', 'oracle', 'none'; none: what the method has.
        data: other test data: a file, a folder with a test file, 'multitask', 'paper', or a data set of the Hub,
            split IID among the run's clients. Where the run's partition is natural and a row names a client, rows go to
            the clients they name instead, and those that name none of the run are left out.
        columns: names of the columns of `data`, without which they are refused; None for the run's.
        most: the most test examples that a client answers, drawn by the run's seed; None for all.
        shares: the run's own data, where they were given in Python.
        metric: the metric that is shown first; None for the run's.
        option: options of `metric` or `router`, as 'name=value'; those of the run hold where none is given.
        on_bad_row: what happens to rows that cannot be used, of `data` or, where they do not fit, of the run's own:
            'error' or 'skip'; None for the run's.
        unseen: what answers texts that count as unseen, 'answer', 'bare' or 'mix'; None for the run's.
        router: another router, made of the run's archive; its cells get files of their own. None for the run's.

    Raises:
        UserError: the data has changed since the run, or a choice contradicts another.
    """
    run = open_run(run)
    config = run.config
    run.check_own("method", "router", *(() if metric else ("metric",)))
    label, of_router, of_metric = _router_options(config.option, router, metric, option)
    other = run.other_router(router, option_texts(of_router)) if router else None
    routed_notes = list[str]()
    if other is not None and run.router is not None and other.by_prototypes != run.router.by_prototypes:
        was = run.router.rule
        routed_notes = [f"--router {router}: goes by the temperature of {was}, which is of other distances"]
    display.started("loading data and backbone")
    if data is None and columns is not None:
        raise UserError("columns: are of the given data; give data too, or drop them")
    if data is not None and test_data:
        raise UserError("--test-data chooses between shares of the run's own data; drop it or drop --data")
    if data is not None:
        run.check_own("format")
        reading = reading_of(config)
        reading = replace(reading, columns=columns or reading.columns, on_bad_row=on_bad_row or reading.on_bad_row)
        asked, notes = _given_shares(run, data, reading)
        notes = [*reading.notes, *notes]
    else:
        asked, notes = _own_shares(run, test_data, shares), []
    asked, fewer, fewer_notes = _at_most(asked, most, config.seed)
    notes += [*routed_notes, *fewer_notes]
    backbone, method = run.open_backbone(), run.method
    answerer = run.answerer(backbone, unseen=unseen, router=other)
    fitting = Fitting(backbone.encoder.flaws, on_bad_row or config.on_bad_row)
    asked, fitting_notes = fitting.test_shares(asked)
    notes += fitting_notes
    routings, routing_notes = _routings(method.routings, routing, method.name)
    notes += routing_notes
    first = find_metric(DEFAULT_METRIC) if metric else run.metric
    if metric or of_metric:
        if not metric:
            run.check_own("metric")
        metric = metric or config.metric
        first = find_metric(metric, METRICS.options(metric, config.option, of_metric))
    labels = LabelTasks.load(run.folder / LABELS_NAME)
    evaluator = Evaluator(answerer, run.truth, first, display.advanced, labels)
    by_router = {chosen: label if chosen in (GLOBAL, LOCAL) else None for chosen in routings}
    chosen_cells = [Cell(name, chosen, by_router[chosen]) for name in asked for chosen in routings]
    as_trained = data is None and not (test_data or routing or router or metric or option or unseen or fewer)
    with torch_threads(run.manifest.get("threads") if as_trained else None):  # for the same last digits
        results = score_cells(evaluator, asked, display, None if as_trained else chosen_cells)
    of_data = config.data if data is None else absolute_path(data)
    context = {"seed": config.seed, "data": of_data, "method": method.name}
    # The run's own cells are answered as it was told, all of its samples; others must not take their place.
    place = "" if data is None else folder_of_data(run.folder, of_data)
    told = [f"unseen-{unseen}"] if unseen else []
    under = {name: "-".join([*told, *([f"most-{most}"] if name in fewer else [])]) for name in asked}
    files = [
        write_cell(run.folder, result, str(Path(place, under[result.cell.test_data])), **context) for result in results
    ]
    if as_trained:
        run.summary = run.summary.with_scores(results, len(evaluator.cut))
        run.manifest = rewrite_summary(run.folder, run.summary, run.manifest)
    if evaluator.cut:
        notes.append(f"{len(evaluator.cut)} test instructions were cut to fit --max-tokens and context")
    return Evaluated(results, files, notes, first, UnseenAuroc.of(results))


def _router_options(
    of_run: Sequence[str], router: str | None, metric: str | None, given: Sequence[str]
) -> tuple[str | None, Options, list[str]]:
    """Return what another router is called, its options, and those of the given ones that are the metric's."""
    if router is None:
        return None, {}, list(given)
    known = ROUTERS.option_names(ROUTERS.class_of(router))
    of_metric = [text for text in given if metric and text.partition("=")[0] not in known]
    options = ROUTERS.options(router, of_run, [text for text in given if text not in of_metric])
    own = {name: value for name, value in options.items() if name in known}
    return router_label(router, own), own, of_metric


def _own_shares(run: Run, names: Sequence[str], given: Shares | None) -> dict[str, TestShares]:
    if given is None and run.config.data in NOT_ON_DISK:
        raise UserError(f"{run.folder}: its data are not on disk ({run.config.data}); give test data with --data")
    run.check_own("split", "drift_to", "format")
    run_data = partition_data(run.config, given)
    if run_data.shares.digest() != run.manifest.get("data_sha256"):
        raise UserError(
            f"--data {run.config.data}: has changed since {run.folder} was trained; give test data with --data"
        )
    every = run_data.test_shares()
    for name in names:
        if name not in every:
            raise UserError(f"--test-data {name}: the run {run.folder} has none; it has {', '.join(every)}")
    return {name: every[name] for name in every if not names or name in names}


def _at_most(
    asked: dict[str, TestShares], most: int | None, seed: int
) -> tuple[dict[str, TestShares], set[str], list[str]]:
    """Return at most so many samples per client, the names of the test data that are fewer by that, and a note where
    the number changes nothing."""
    if most is None:
        return asked, set(), []
    counts = {name: max(map(len, share.values()), default=0) for name, share in asked.items()}
    largest = max(counts.values(), default=0)
    if most >= largest:
        return asked, set(), [f"--test-examples-per-client {most}: no client has more than {largest}, so all are asked"]
    return draw_fewer(asked, most, seed), {name for name, count in counts.items() if most < count}, []


def _given_shares(run: Run, data: str, reading: Reading) -> tuple[dict[str, TestShares], list[str]]:
    """Return who is asked what of the user's data, and a note on the rows that nobody is asked for want of a client."""
    examples = load_test(data, reading)
    if run.truth is not None:
        labels = {label for counts in run.truth.pools.values() for label in counts}
        examples = spelled_as(examples, "task", labels)
    examples = spelled_as(examples, "client", run.manifest.get("data_clients") or ())
    if (ids := run.manifest.get("data_clients")) and any(example.client is not None for example in examples):
        own = assign_by_client(examples, ids, len(examples), run.config.seed, "test")
        if not any(own):
            known = ", ".join(ids[:3]) + (", ..." if ids[3:] else "")
            raise UserError(
                f"--data {data}: no row is of a client of {run.folder} ({known}); correct --client-column "
                f"{reading.columns.client}"
            )
        strangers = sum(example.client not in ids for example in examples)
        left_out = f"--data {data}: {strangers} of {len(examples)} rows are of no client of the run and were left out"
        return {GIVEN: dict(enumerate(own))}, [left_out] if strangers else []
    # Clients that trained elsewhere keep their own numbers.
    clients = run.client_ids
    dealt = split_iid(examples, len(clients), len(examples), run.config.seed)
    return {GIVEN: dict(zip(clients, dealt, strict=True))}, []


def _routings(has: Sequence[str], wanted: Sequence[str], method: str) -> tuple[list[str], list[str]]:
    """Return the routings to evaluate, and notes on those wanted that the method does not have."""
    if not wanted:
        return list(has), []
    known = {*has, BARE, *((ORACLE,) if GLOBAL in has else ())}
    absent = [routing for routing in wanted if routing not in known]
    found = [routing if routing in known else has[0] for routing in wanted]
    instead = f"method {method} has no routing {', '.join(absent)}: instead, its own answer ({has[0]})"
    return list(dict.fromkeys(found)), [instead] if absent else []
