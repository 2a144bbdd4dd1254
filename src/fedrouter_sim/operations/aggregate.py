"""`aggregate`: cluster and average again what is on disk, with other choices and without training."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from fedrouter_sim.adapters.aggregation import AGGREGATIONS, MEAN
from fedrouter_sim.adapters.folders import load_lora_scale
from fedrouter_sim.adapters.sharing import find_sharing
from fedrouter_sim.arrays import Floats
from fedrouter_sim.clustering.across_clients import by_kmeans, cluster_globally, link_parts, split_by_client
from fedrouter_sim.clustering.affinities import CENTROID, find_affinity
from fedrouter_sim.clustering.affinities.affinity import NOTHING, Affinity
from fedrouter_sim.clustering.linking import Linked
from fedrouter_sim.clustering.normalizing import Normalizer
from fedrouter_sim.config import RunConfig
from fedrouter_sim.config.declaring import check_limits
from fedrouter_sim.config.paths import absolute_paths
from fedrouter_sim.config.words import AUTO, COSINE, L2, NONE, RAW, STANDARDIZE
from fedrouter_sim.errors import UserError
from fedrouter_sim.evaluation.labels import LabelTasks
from fedrouter_sim.evaluation.truth import Agreement
from fedrouter_sim.federation.outbox import NO_TRAFFIC
from fedrouter_sim.federation.plan import Deployment, Pool
from fedrouter_sim.federation.sharing import SharedFrom, TaskSharing
from fedrouter_sim.folders import new_folder, refuse_existing
from fedrouter_sim.machine import peak_memory_bytes
from fedrouter_sim.messages import CentroidMessage
from fedrouter_sim.methods import METHODS
from fedrouter_sim.routing import task_name
from fedrouter_sim.routing.archive import Archive
from fedrouter_sim.routing.making import router_of
from fedrouter_sim.routing.router import Router
from fedrouter_sim.runs.aggregated import Aggregated, report, task_of
from fedrouter_sim.runs.averaging import average_by_task, with_heirs
from fedrouter_sim.runs.discovery import Discovery
from fedrouter_sim.runs.entries import own_digests
from fedrouter_sim.runs.layout import LABELS_NAME, RUN_MARKS
from fedrouter_sim.runs.reader import Run, open_run
from fedrouter_sim.runs.sharing import load_shared, shared_again
from fedrouter_sim.runs.unfinished import refuse_interrupted
from fedrouter_sim.runs.updates import StoredUpdate
from fedrouter_sim.runs.writer import RunWriter
from fedrouter_sim.showing import shown
from fedrouter_sim.tables import option_texts, parse_options


def aggregate(
    run: Run | Path | str,
    out: Path | str,
    overwrite: bool = False,
    tasks: int | str | None = None,
    seed: int | None = None,
    normalize: str | None = None,
    aggregation: str | None = None,
    option: Sequence[str] = (),
    affinity: str | None = None,
    cut: float | None = None,
) -> Aggregated:
    """Cluster the clients' local centroids again and average the last round's updates anew, into the folder `out`.

    An update falls to the task that most of the rows of its local clusters belong to. A task that gets none starts from
    the adapter of the nearest old task. Then tasks share as those of the last round did, but for what 'product' makes.
    The run's own choices give its own adapters and router back, where all updates of that round counted as they were
    sent, in time.

    Args:
        run: a run of a method with a router, or its folder.
        out: where the new run folder goes.
        overwrite: replace an existing `out`.
        tasks: task clusters, or 'auto'; None for the run's.
        seed: seed of the clustering; None for the run's.
        normalize: the space to cluster in; None for the run's.
        aggregation: the rule, 'mean' (of A and of B), 'product' (mean of B A, truncated to the rank) or FILE.py:CLASS;
            None: the run's own; of a run with 'mean', that where all updates began with the same initial adapter, as
            those of one run did, and else 'product'.
        option: options of the rule, as 'name=value'; those of the run hold where none is given.
        affinity: what local clusters are linked by; None for the run's.
        cut: the affinity above which they are one task, for 'auto'; None for the run's.

    Raises:
        UserError: the run has no router or no updates, or the choices do not fit what it stored.
    """
    out = Path(out)
    run = open_run(run)
    refuse_existing(out, overwrite, RUN_MARKS, "a run folder")
    refuse_interrupted(out)
    if out.resolve() == run.folder.resolve():
        raise UserError(f"--out {out}: is the run that is aggregated, and would be lost; choose another name")
    old, archive = _routing_of(run)
    if 0 < run.config.drift_at <= run.config.rounds:
        raise UserError(
            f"{run.folder}: its clients drifted in round {run.config.drift_at}, so its updates are no longer those of "
            "the local clusters that would be clustered again; aggregate a run without drift"
        )
    if run.config.dp_epsilon:
        raise UserError(
            f"{run.folder}: was trained with --dp-epsilon {run.config.dp_epsilon:g}, and its updates are as the server "
            "saw them, without noise: what is made of them anew would not be private; train a run of other settings"
        )
    # The run's own seed stays in its settings: it decides the partition.
    config = replace(
        run.config,
        tasks=tasks or run.config.tasks,
        affinity=affinity or run.config.affinity,
        cut=run.config.cut if cut is None else cut,
        normalize=normalize or run.config.normalize,
    )
    run.check_own("affinity")
    if seed is not None:
        check_limits(f"--seed {seed}", RunConfig.__dataclass_fields__["seed"], seed)
    clustering_seed = run.clustering_seed if seed is None else seed
    # Rows were corrected on the way to the run's own tasks: local clusters, linked once, need not give the same.
    if by_kmeans(config) or (config, clustering_seed) != (run.config, run.clustering_seed):
        again = replace(config, cut=_cut_of(run, config))
        router, archive, linked = _cluster_again(old, archive, again, clustering_seed, run.config.affinity)
    else:
        router = _router_of(archive, old.normalizer, old)
        linked = replace(run.discovery.linked, rows_sketched=0) if run.discovery else None
    updates = list(run.updates())
    if not updates:
        raise UserError(f"{run.folder / 'updates'}: holds no updates to aggregate; train the run anew")
    last = max(update.round for update in updates)
    chosen = [update for update in updates if update.round == last]
    scale = load_lora_scale(run.folder / "adapters" / run.pools[0].name)
    count = len(router.centroids)
    if aggregation is None and config.aggregation != MEAN:
        run.check_own("aggregation")
        aggregation = config.aggregation
    options = AGGREGATIONS.options(aggregation or MEAN, config.option, option)
    averaged = average_by_task(chosen, lambda u: task_of(u, archive), count, aggregation, scale, options)
    config = absolute_paths(replace(config, aggregation=averaged.aggregation, option=option_texts(options)))
    old_tasks = range(len(old.centroids))
    adapters, inherited = with_heirs(
        averaged.adapters, router.centroids, old_tasks, _in_space_of(router, old), lambda t: run.adapter(task_name(t))
    )
    shared, apart = _shared_from(run, chosen, averaged.aggregation)
    if shared is not None:
        run.check_own("sharing")
        sharing = TaskSharing(find_sharing(config.sharing, options), config)
        adapters = dict(shared_again(shared, sharing, chosen, partial(_name_of, archive=archive), adapters))
    pools = tuple(Pool(task_name(task), tokens) for task, tokens in enumerate(archive.answer_tokens(count)))
    truth = run.truth.reassigned(archive, count, linked is not None) if run.truth else None
    agreement = truth.agreement() if truth else Agreement()
    summary = run.summary.without_scores(agreement, peak_memory_bytes(), count)
    deployment = Deployment(pools, router, archive, run.deployment.state)
    with new_folder(out, overwrite) as folder:
        writer = RunWriter(folder, config, run.peft_config)
        writer.write_model(adapters, deployment, run.longest_answer)
        if shared is not None:
            writer.shared(shared)
        writer.write_truth(truth, LabelTasks.load(run.folder / LABELS_NAME))
        # No client is asked anything: this cost no traffic and no sketches.
        writer.write_discovery(Discovery.of(deployment, linked, config.affinity, NO_TRAFFIC))
        for update in updates:
            writer.copy_update(update, router, archive)
        origin = {
            "command": "aggregate",
            "of": str(run.folder.resolve()),
            "round": last,
            "clustering_seed": clustering_seed,
            "aggregation": averaged.aggregation,
        }
        writer.write_summary(summary, origin | _passed_on(run, config))
    return report(out, last, averaged, inherited, summary, *apart)


def _shared_from(run: Run, updates: Sequence[StoredUpdate], aggregation: str) -> tuple[SharedFrom | None, list[str]]:
    """Return what the sharing of the round of these updates went by; None where tasks did not share, or it is not
    known, and then what the user has to know."""
    if run.config.sharing == NONE:
        return None, []
    shapes = {key: tuple(value.shape) for key, value in run.adapter(run.pools[0].name).items()}
    found = load_shared(run.folder, shapes)
    if found is None and "sharing" not in _known_uses(run.config.method):
        return None, []
    if not AGGREGATIONS.class_of(aggregation).keeps_basis:
        why = f"--aggregation {aggregation} makes factors that cannot be compared between tasks"
    elif found is None:
        why = "the run did not keep what it goes by"
    elif found.round != updates[0].round:
        why = f"the tasks shared last in round {found.round}, and the updates are of round {updates[0].round}"
    elif odd := next((update for update in updates if update.pool not in found.starts), None):
        why = f"{odd.folder} is of no pool that shared ({shown(odd.pool)})"
    else:
        return found, []
    return None, [f"adapters are each task's own averages, without --sharing {run.config.sharing}: {why}"]


def _cut_of(run: Run, config: RunConfig) -> float | str:
    """Return the cut of the settings; where they leave it open that of the run, if it is of the same affinity: what it
    would follow from is the backbone, which may not be here."""
    linked = run.discovery.linked if run.discovery else None
    if config.cut != AUTO or linked is None or linked.wanted is None or config.affinity != run.config.affinity:
        return config.cut
    return linked.wanted


def _known_uses(method: str) -> frozenset[str]:
    """Return the settings that a method uses, if it is known without running a file of the user's."""
    return frozenset() if ":" in method else METHODS.class_of(method).uses


def _name_of(update: StoredUpdate, archive: Archive) -> str:
    """Return the name of the task that an update falls to."""
    return task_name(task_of(update, archive))


def _passed_on(run: Run, config: RunConfig) -> dict[str, Any]:
    """Return what the manifest of the new run says as the old one's does."""
    names = "seed data_sha256 data_clients data_notes backbone backbone_sha256 own_sha256 method_sha256".split()
    found = {key: run.manifest[key] for key in names if key in run.manifest}
    # Entries that were named now have no digest yet; those of the run keep what it was trained with.
    now = {
        name: digest
        for name, digest in own_digests(config).items()
        if getattr(run.config, name) != getattr(config, name)
    }
    return found | ({"own_sha256": run.own_digests | now} if now else {})


def _routing_of(run: Run) -> tuple[Router, Archive]:
    if run.router is None or run.archive is None:
        raise UserError(f"{run.folder}: method {run.config.method} has no router, so there is nothing to cluster again")
    return run.router, run.archive


def _cluster_again(
    old: Router, archive: Archive, config: RunConfig, seed: int, trained_by: str
) -> tuple[Router, Archive, Linked | None]:
    normalizer = _normalizer(old, config.normalize)
    messages = tuple(
        replace(message, centroids=_converted(message.centroids, old.normalizer, normalizer))
        for message in archive.clients
    )
    config, robust = replace(config, seed=seed), config.robust_clustering
    linked = None if by_kmeans(config) else link_parts(messages, _affinity(messages, config, trained_by), config)
    labels = linked.labels if linked else cluster_globally(messages, int(config.tasks), seed, robust).labels
    again = Archive.of(messages, split_by_client(labels, messages), robust)
    return _router_of(again, normalizer, old, again.assignment == archive.assignment), again, linked


def _router_of(archive: Archive, normalizer: Normalizer, old: Router, same_tasks: bool = True) -> Router:
    """Make a router that chooses as the old one does."""
    router = router_of(archive, normalizer, old.max_tokens, old.backbone_digest, old.rule, old.options)
    router = replace(router, on_unseen=old.on_unseen)
    if normalizer is old.normalizer and same_tasks:
        # The same tasks: what clients said of their distances to them still holds.
        router = replace(router, reach=old.reach, reach_of_all=old.reach_of_all, temperature=old.temperature)
    return router


def _affinity(messages: Sequence[CentroidMessage], config: RunConfig, trained_by: str) -> Affinity:
    """Return the affinity of the settings, if the run, whose own is `trained_by`, stored what it goes by."""
    options = parse_options(config.option)
    affinity = find_affinity(config.affinity, options)
    others = find_affinity(trained_by, options).evidence not in (NOTHING, affinity.evidence)
    if affinity.evidence != NOTHING and (others or any(message.halves is None for message in messages)):
        raise UserError(
            f"--affinity {config.affinity}: goes by sketches of {affinity.evidence}, which the run does not have; take "
            f"--affinity {CENTROID}, or train with --affinity {config.affinity}"
        )
    return affinity


def _normalizer(old: Router, kind: str) -> Normalizer:
    """Return the normaliser of a kind, if stored centroids can be carried into its space."""
    was = old.normalizer.kind
    if kind == was:
        return old.normalizer
    if kind == RAW and was == STANDARDIZE:
        return Normalizer(RAW, layer=old.normalizer.layer)
    if kind in (L2, COSINE):
        reason = "the centroid of unit rows is not the unit row of the centroid"
    elif was in (L2, COSINE):
        reason = f"{was} forgot the lengths of the embeddings"
    else:
        reason = "it needs sums that the clients did not send"
    raise UserError(
        f"--normalize {kind}: the run stored centroids under '{was}' and {reason}; train with --normalize {kind}"
    )


def _converted(points: Floats, was: Normalizer, now: Normalizer) -> Floats:
    return points if was is now else now.normalized(was.invert(points))


def _in_space_of(router: Router, old: Router) -> Floats:
    """Return the old task centroids in the new router's space."""
    return _converted(old.centroids, old.normalizer, router.normalizer)
