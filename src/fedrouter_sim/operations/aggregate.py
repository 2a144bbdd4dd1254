"""`aggregate`: cluster and average again what is on disk, with other choices and without training."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fedrouter_sim.adapters.state import Adapter, load_lora_scale
from fedrouter_sim.clustering.kmeans import Floats, Normalizer, nearest
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.evaluation.truth import Agreement
from fedrouter_sim.federation.server import cluster_globally, split_by_client
from fedrouter_sim.methods import Deployment, Pool
from fedrouter_sim.operations.train import refuse_existing
from fedrouter_sim.routing.router import Router, task_name
from fedrouter_sim.runs.averaging import Averaged, average_by_task
from fedrouter_sim.runs.run_folder import Run, RunWriter, StoredUpdate, open_run, peak_memory_bytes
from fedrouter_sim.storage import new_folder


@dataclass(frozen=True)
class Aggregated:
    """What `aggregate` reports."""

    folder: Path
    round: int  # whose updates were averaged
    updates_per_task: list[int]
    inherited: dict[str, str]  # task without updates -> (old) task whose adapter it starts from
    summary: dict[str, Any]
    average: str  # 'factors' or 'product'
    truncation_errors: dict[str, float]  # task -> relative error of the truncated SVD; empty for 'factors'
    notes: list[str]


def aggregate(
    run: Run | Path | str,
    out: Path | str,
    overwrite: bool = False,
    tasks: int | None = None,
    seed: int | None = None,
    normalize: str | None = None,
    average: str | None = None,
) -> Aggregated:
    """Cluster the clients' local centroids again and average the last round's updates anew, into the folder `out`.

    An update falls to the task nearest to the size-weighted mean of its local centroids. A task that gets none starts
    from the adapter of the nearest old task. The run's own choices give its own adapters and router back.

    Args:
        run: a run of a method with a router, or its folder.
        out: where the new run folder goes.
        overwrite: replace an existing `out`.
        tasks: task clusters; None for the run's.
        seed: seed of the clustering; None for the run's.
        normalize: the space to cluster in; None for the run's.
        average: 'factors' (mean of A, mean of B) or 'product' (mean of B A, truncated to the rank); None: 'factors'
            where all updates began with the same initial adapter, as those of one run did.

    Raises:
        UserError: the run has no router or no updates, or the choices do not fit what it stored.
    """
    out = Path(out)
    run = open_run(run)
    refuse_existing(out, overwrite)
    old = _router_of(run)
    if 0 < run.config.drift_at <= run.config.rounds:
        raise UserError(
            f"{run.folder}: its clients drifted in round {run.config.drift_at}, so its updates are no longer those of "
            "the local clusters that would be clustered again; aggregate a run without drift"
        )
    # The run's own seed stays in its settings: it deals out the data.
    config = replace(run.config, tasks=tasks or run.config.tasks, normalize=normalize or run.config.normalize)
    clustering_seed = run.clustering_seed if seed is None else seed
    router = _cluster_again(old, config, clustering_seed)
    updates = list(run.updates())
    if not updates:
        raise UserError(f"{run.folder / 'updates'}: holds no updates to aggregate; train the run anew")
    last = max(update.round for update in updates)
    chosen = [update for update in updates if update.round == last]
    scale = load_lora_scale(run.folder / "adapters" / run.pools[0].name)
    averaged = average_by_task(chosen, lambda u: task_of(u, router), len(router.centroids), average, scale)
    adapters: dict[str, Adapter] = {}
    inherited: dict[str, str] = {}
    parents = nearest(router.centroids, _in_space_of(router, old)).index
    for task in range(len(router.centroids)):
        if task in averaged.adapters:
            adapters[task_name(task)] = averaged.adapters[task]
        else:
            inherited[task_name(task)] = task_name(int(parents[task]))
            adapters[task_name(task)] = run.adapter(inherited[task_name(task)])
    pools = [Pool(task_name(task), tokens) for task, tokens in enumerate(router.answer_tokens())]
    truth = run.truth.reassigned(router) if run.truth else None
    # What needs answers is unknown until `eval`; what training cost stays as it was.
    summary = run.summary | {
        **dict.fromkeys(key for key in run.summary if key.startswith("rouge1")),
        "routing_accuracy": None,
        **asdict(truth.agreement() if truth else Agreement()),
        "peak_memory_bytes": peak_memory_bytes(),
    }
    with new_folder(out, overwrite) as folder:
        writer = RunWriter(folder, config, run.peft_config)
        writer.write_model(adapters, Deployment(tuple(pools), router, run.deployment.kept), run.longest_answer)
        writer.write_truth(truth)
        for update in updates:
            writer.copy_update(update, router)
        passed_on = "seed data_sha256 data_clients data_notes backbone backbone_sha256 method_sha256".split()
        kept = {key: run.manifest[key] for key in passed_on if key in run.manifest}
        origin = {
            "command": "aggregate",
            "of": str(run.folder.resolve()),
            "round": last,
            "clustering_seed": clustering_seed,
        }
        writer.write_summary(summary, origin | kept)
    return aggregated(out, last, averaged, inherited, summary)


def aggregated(
    out: Path, round_: int, averaged: Averaged, inherited: dict[str, str], summary: dict[str, Any], *notes: str
) -> Aggregated:
    """Report an aggregation."""
    errors = {task_name(task): error for task, error in averaged.errors.items()}
    how = {"factors": "factor by factor", "product": "by their products B A, with truncated SVD"}[averaged.average]
    lost = ", ".join(f"{task} {error:.2%}" for task, error in errors.items())
    first = f"averaged {how}: {averaged.reason}" + (f"; lost by truncation: {lost}" if lost else "")
    return Aggregated(
        out, round_, averaged.updates_per_task, inherited, summary, averaged.average, errors, [first, *notes]
    )


def _router_of(run: Run) -> Router:
    if run.router is None:
        raise UserError(f"{run.folder}: method {run.config.method} has no router, so there is nothing to cluster again")
    return run.router


def _cluster_again(old: Router, config: RunConfig, seed: int) -> Router:
    normalizer = _normalizer(old, config.normalize)
    messages = tuple(
        replace(message, centroids=_converted(message.centroids, old.normalizer, normalizer)) for message in old.clients
    )
    found = cluster_globally(messages, config.tasks, seed)
    return replace(
        old,
        centroids=found.centroids,
        normalizer=normalizer,
        clients=messages,
        assignment=split_by_client(found.labels, messages),
    )


def _normalizer(old: Router, kind: str) -> Normalizer:
    """Return the normaliser of a kind, if stored centroids can be carried into its space."""
    was = old.normalizer.kind
    if kind == was:
        return old.normalizer
    if kind == "none" and was == "standardize":
        return Normalizer("none")
    reason = {
        "l2": "the centroid of unit rows is not the unit row of the centroid",
        "none": "l2 forgot the lengths of the embeddings",
        "standardize": "it needs sums that the clients did not send",
    }[kind]
    raise UserError(
        f"--normalize {kind}: the run stored centroids under '{was}' and {reason}; train with --normalize {kind}"
    )


def _converted(points: Floats, was: Normalizer, now: Normalizer) -> Floats:
    return points if was is now else now(was.invert(points))


def _in_space_of(router: Router, old: Router) -> Floats:
    """Return the old task centroids in the new router's space."""
    return _converted(old.centroids, old.normalizer, router.normalizer)


def task_of(update: StoredUpdate, router: Router) -> int:
    """Return the task nearest to the size-weighted mean of an update's local centroids."""
    centroids, sizes = router.local_clusters(update.client, update.clusters)
    middle = np.average(centroids.astype(np.float64), axis=0, weights=sizes)
    return int(nearest(middle[None].astype(np.float32), router.centroids).index[0])
