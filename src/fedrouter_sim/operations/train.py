"""`train`: deal out, plan, run the rounds, evaluate, and leave a run folder."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from fedrouter_sim.adapters.state import Adapter, adapter_digest
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.config import RunConfig, absolute_paths
from fedrouter_sim.errors import UserError
from fedrouter_sim.evaluation.evaluator import BARE, ORACLE, Cell, CellResult, Evaluator, TestShares
from fedrouter_sim.evaluation.sample_map import sample_map
from fedrouter_sim.evaluation.truth import Agreement, Truth
from fedrouter_sim.examples.record import Shares
from fedrouter_sim.methods import Deployment, Federation, Method, Plan, find_method, method_digest, method_reference
from fedrouter_sim.operations.cost import Cost, estimate_cost
from fedrouter_sim.operations.prepare import ALL, Dealt, build_federation, deal_data, drifted_clients
from fedrouter_sim.partition.dealing import deal_iid
from fedrouter_sim.runs.run_folder import RunWriter, peak_memory_bytes
from fedrouter_sim.runs.tensorboard import FOLDER_NAME as TENSORBOARD_NAME
from fedrouter_sim.runs.tensorboard import TensorBoard, require_tensorboard
from fedrouter_sim.simulation import Observer, Observers, Outcome, RoundRecord, simulate
from fedrouter_sim.storage import new_folder

GIVEN_IN_PYTHON, TRAINED_ELSEWHERE = "given in Python", "trained elsewhere"
"""What the setting `data` says of a run whose rows are not on disk: nothing can be dealt out from it again."""


class Display(Observer):
    """What shows the progress of an operation; silent by itself."""

    def started(self, what: str, total: int | None = None) -> None:
        """A phase has begun; `total` is its number of units, if known."""

    def advanced(self, units: int) -> None:
        """So many units of the phase are done."""

    def before_training(self, cost: Callable[[], Cost]) -> None:
        """Training is about to begin; `cost` counts and measures what it will take, for who wants to know."""

    def noted(self, text: str) -> None:
        """Something that the user may want to know while it runs."""


SILENT = Display()


@dataclass(frozen=True)
class Trained:
    """What `train` reports."""

    folder: Path
    config: RunConfig
    summary: dict[str, Any]
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
) -> Trained:
    """Train and evaluate one run, and leave its folder at `out`.

    Args:
        config: the settings.
        out: where the run folder goes.
        overwrite: replace an existing run there.
        display: shows progress.
        backbone: one that is loaded already and serves these settings; None to load it.
        shares: the examples, instead of those that `config.data` names.
        method: a method's class, instead of the one that `config.method` names; it stands at the top of a file of
            yours, from which the run is opened again.
        tensorboard: also stream the metrics to OUT/tensorboard, which is at its place when the run is done; until then
            it grows in a hidden folder beside `out`.

    Raises:
        UserError: the settings, the data or the backbone are not usable, or `out` exists; nothing is left behind.
    """
    started = perf_counter()
    out = Path(out)
    refuse_existing(out, overwrite)
    if tensorboard:
        require_tensorboard()
    if method is not None:
        config = replace(config, method=method_reference(method))
    if shares is not None:
        config = replace(config, data=GIVEN_IN_PYTHON)
        shares = checked_shares(shares)
    config = absolute_paths(config)
    used = find_method(config.method) if method is None else method()
    display.started("loading data and backbone")
    dealt = deal_data(config, shares)
    if config.eval_every and not dealt.shares.validation:
        raise UserError(
            f"--eval-every {config.eval_every}: the data has no validation share, and test rows are for the final "
            "evaluation only; add a validation file or drop --eval-every"
        )
    if backbone is None or not backbone.serves(config):
        backbone = Backbone(config)
    federation = build_federation(config, dealt, backbone)
    seconds = {"load": perf_counter() - started}
    with new_folder(out, overwrite) as folder, _board(folder, display) if tensorboard else nullcontext() as board:
        display.started("tokenising, embedding, clustering")
        initial = adapter_digest(backbone.initial_adapter(config.seed))
        writer = RunWriter(folder, config, backbone.peft_config, initial)
        curve = ValidationCurve(federation, used, dealt)
        drifted = drifted_clients(config, dealt, backbone)
        watching = Observers(curve, display, writer, *([board] if board else []))
        planning_started = perf_counter()
        plan = used.plan(federation)
        planned = perf_counter() - planning_started
        display.before_training(lambda: estimate_cost(federation, plan, dealt.samples() * len(used.routings)))
        outcome = simulate(federation, used, watching, drifted, plan)
        truth = Truth.of(outcome.stages)
        longest = longest_answer(federation)
        evaluator = Evaluator(
            backbone, used, outcome.deployment, outcome.adapters.__getitem__, truth, longest, display.advanced
        )
        evaluation_started = perf_counter()
        results = _evaluate(evaluator, dealt, display, by_label=outcome.plan.router is not None and truth is not None)
        for result in results:
            writer.write_result(result, seed=config.seed, data=config.data, method=used.name)
            if board:
                board.scored(result)
        seconds |= {
            "setup": planned + outcome.setup_seconds,
            "train": sum(record.seconds["train"] for record in outcome.records),
            "aggregate": sum(record.seconds["aggregate"] for record in outcome.records),
            "evaluate": perf_counter() - evaluation_started,
            "total": perf_counter() - started,
        }
        cut = {"train": sum(e.prompt.cut for c in federation.clients for e in c.encoded), "test": len(evaluator.cut)}
        summary = summarise(config, used, outcome, truth, results, cut) | {
            "seconds": {phase: round(value, 3) for phase, value in seconds.items()},
            "peak_memory_bytes": peak_memory_bytes(),
        }
        writer.write_model(outcome.adapters, outcome.deployment, longest)
        writer.write_truth(truth)
        writer.write_samples(sample_map(outcome.stages[0].clients, outcome.stages[0].plan))
        manifest = {
            "command": "train",
            "seed": config.seed,
            "data_sha256": dealt.shares.digest(),
            "backbone": backbone.description,
            "backbone_sha256": backbone.digest,
            "backbone_dtype": backbone.dtype,
            "device": backbone.device,
            "method_sha256": method_digest(config.method),
            "wall_seconds": summary["seconds"]["total"],
            "peak_memory_bytes": summary["peak_memory_bytes"],
        }
        writer.write_summary(summary, manifest | dealt.record())
    return Trained(out, config, summary, results, [*dealt.notes, *notes_on(config, outcome, cut)])


class ValidationCurve(Observer):
    """Scores the adapters on the validation share every so many rounds: all that tuning may see."""

    def __init__(self, federation: Federation, method: Method, dealt: Dealt) -> None:
        config = federation.config
        shards = deal_iid(dealt.shares.validation, config.clients, config.test_examples_per_client, config.seed)
        self._shares: TestShares = dict(enumerate(shards))
        self._federation = federation
        self._method = method
        self._deployment = Deployment(())
        self._longest = longest_answer(federation) if config.eval_every else 1

    def planned(self, plan: Plan, rounds: int, steps: int) -> None:
        """Keep who answers under the plan."""
        self._deployment = Deployment(plan.pools, plan.router, plan.kept)

    def round_ended(self, record: RoundRecord, adapters: dict[str, Adapter]) -> None:
        """Evaluate, if it is time."""
        every = self._federation.config.eval_every
        if not every or record.round % every:
            return
        evaluator = Evaluator(
            self._federation.backbone, self._method, self._deployment, adapters.__getitem__, None, self._longest
        )
        result = evaluator.evaluate(evaluator.cells("validation")[0], self._shares)
        record.validation = {
            "rouge1": result.mean.rouge1,
            "loss": result.mean.loss,
            **{f"rouge1/{task}": scores.rouge1 for task, scores in result.per_task.items()},
        }


def refuse_existing(out: Path, overwrite: bool) -> None:
    """Refuse an `out` that is there already, before any work is done.

    Raises:
        UserError: it exists and is not to be overwritten, or overwriting would delete what is no run folder.
    """
    if not out.exists():
        return
    if not overwrite:
        raise UserError(f"--out {out}: is there already; choose another name or give --overwrite")
    if not (out / "config.toml").is_file():
        raise UserError(f"--out {out}: is no run folder, so --overwrite leaves it alone; choose another name")


def longest_answer(federation: Federation) -> int:
    """Return the longest training response of all clients in tokens."""
    return max(len(example.response) for client in federation.clients for example in client.encoded)


def _board(folder: Path, display: Display) -> TensorBoard:
    display.noted(f"TensorBoard can follow the run: tensorboard --logdir {folder.parent}")
    return TensorBoard(folder / TENSORBOARD_NAME)


def checked_shares(shares: Shares) -> Shares:
    """Return shares, which may be lists, as tuples; refuse examples without text, as a file's rows without text are.

    Raises:
        UserError: naming the share and the position.
    """
    for name in ("train", "validation", "test"):
        if name != "validation" and not getattr(shares, name):
            raise UserError(f"shares.{name}: holds no example; give at least one a client")
        for position, example in enumerate(getattr(shares, name)):
            for field in ("instruction", "response"):
                value = getattr(example, field)
                if not isinstance(value, str) or not value.strip():
                    raise UserError(f"shares.{name}[{position}]: its {field} is {value!r}; give a text")
            for field in ("task", "client"):
                value = getattr(example, field)
                if value is not None and not isinstance(value, str):
                    raise UserError(f"shares.{name}[{position}]: its {field} is {value!r}; give a text or None")
    return replace(shares, train=tuple(shares.train), validation=tuple(shares.validation), test=tuple(shares.test))


def _evaluate(evaluator: Evaluator, dealt: Dealt, display: Display, by_label: bool) -> list[CellResult]:
    """Evaluate every cell of the method, and on all tasks the bare backbone and, `by_label`, the oracle routing."""
    shares = dealt.test_shares()
    cells = [cell for data in shares for cell in evaluator.cells(data)]
    if by_label and all(example.task is not None for own in shares[ALL].values() for example in own):
        cells.append(Cell(ALL, ORACLE))
    cells.append(Cell(ALL, BARE))
    display.started("answering test samples", sum(len(s) for cell in cells for s in shares[cell.test_data].values()))
    return [evaluator.evaluate(cell, shares[cell.test_data]) for cell in cells]


def summarise(
    config: RunConfig,
    method: Method,
    outcome: Outcome,
    truth: Truth | None,
    results: list[CellResult],
    cut: dict[str, int],
) -> dict[str, Any]:
    """Return what the final table shows, under fixed keys."""
    by_cell = {result.cell.name: result for result in results}
    main = next(result for result in results if result.cell.test_data == ALL)
    bare = by_cell[Cell(ALL, BARE).name]
    plans, records = [stage.plan for stage in outcome.stages], outcome.records
    agreement = truth.agreement() if truth else Agreement()
    return {
        "method": method.name,
        "split": config.split,
        "clients": config.clients,
        "seed": config.seed,
        "rouge1": main.mean.rouge1,
        "rouge1_per_task": {task: scores.rouge1 for task, scores in main.per_task.items()} or None,
        "rouge1_base": bare.mean.rouge1,
        "rouge1_base_per_task": {task: scores.rouge1 for task, scores in bare.per_task.items()} or None,
        "rouge1_per_cell": {name: result.mean.rouge1 for name, result in by_cell.items()},
        "routing_accuracy": main.routing_accuracy,
        **asdict(agreement),
        "bytes_up": sum(p.bytes_up for p in plans) + sum(record.bytes_up for record in records),
        "bytes_down": sum(p.bytes_down for p in plans) + sum(record.bytes_down for record in records),
        "optimizer_steps": sum(record.steps for record in records),
        "tokens_trained": sum(record.tokens for record in records),
        "truncated": cut,
    }


def notes_on(config: RunConfig, outcome: Outcome, cut: dict[str, int]) -> list[str]:
    """Return what a user should know beside the numbers."""
    notes = []
    if any(cut.values()):
        notes.append(
            f"{cut['train']} training and {cut['test']} test instructions were cut to fit --max-tokens and context"
        )
    router = outcome.plan.router
    if router is not None:
        fewer = sum(len(message.sizes) < config.local_clusters for message in router.clients)
        if fewer:
            notes.append(f"{fewer} clients have fewer than --local-clusters {config.local_clusters} distinct clusters")
        if len(router.centroids) < config.tasks:
            notes.append(f"global clustering found {len(router.centroids)} tasks, fewer than --tasks {config.tasks}")
    return notes
