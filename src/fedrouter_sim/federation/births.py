"""Births: what clients hold after a drift and no task is like becomes tasks of its own."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from fedrouter_sim.arrays import Ints
from fedrouter_sim.clustering.across_clients import embedded_of
from fedrouter_sim.clustering.affinities import find_affinity
from fedrouter_sim.clustering.affinities.affinity import Affinity
from fedrouter_sim.clustering.affinities.gradient import GradientAffinity
from fedrouter_sim.clustering.linking import cut_in
from fedrouter_sim.federation.calibrating import calibrated
from fedrouter_sim.federation.client import Client
from fedrouter_sim.federation.cutting import alike_unrelated, with_cut
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.finding import FoundTasks, described_by, find_tasks, normalizer_of
from fedrouter_sim.federation.groups import group_by
from fedrouter_sim.federation.plan import Plan, Pool, with_groups
from fedrouter_sim.federation.questions import AskTasks, Question
from fedrouter_sim.messages import CentroidMessage, Grouping, Tasks, UnseenRows
from fedrouter_sim.routing import task_name
from fedrouter_sim.routing.archive import Archive
from fedrouter_sim.routing.making import router_of
from fedrouter_sim.routing.reach import counts_as_unseen
from fedrouter_sim.routing.router import Router
from fedrouter_sim.tables import parse_options

LEAST_SHARE = 0.2
"""Of a client's rows that have to be unseen for it to take part: of rows of known tasks up to a twentieth is, and four
times as many are no accident of which rows it got."""

FEWEST_ROWS = 20
"""Unseen rows, of all clients that take part, that a task is born from: two batches or so. What fewer rows would train
is not worth an adapter, and two halves of fewer say little of a gradient."""

_UNPLACED = -1

_AT_ONCE = 512  # found local clusters that are compared with all known ones together


@dataclass(frozen=True)
class AskUnseen(Question[UnseenRows]):
    """Which of a client's examples count as unseen by a router that it knows."""

    router: Router = field(repr=False)

    @property
    def nbytes(self) -> int:
        """Size of the reach of all tasks, which a client does not know yet."""
        return 0 if self.router.reach_of_all is None else self.router.reach_of_all.nbytes

    def answer(self, client: Client) -> UnseenRows:
        """Score the client's own examples."""
        scores = self.router.unseen(client.embeddings)
        unseen = [] if scores is None else [row for row, s in enumerate(scores.tolist()) if counts_as_unseen(s)]
        return UnseenRows(client.id, np.array(unseen, dtype=np.int64), len(client.examples))


def follow_with_births(federation: Federation, plan: Plan, router: Router, archive: Archive) -> Plan | None:
    """Return the plan that follows a drift, with the tasks that are born of unseen rows; None where too few are unseen.

    The unseen rows are clustered and linked as all rows were before round 1, in the space of what clients hold now:
    seen from the old tasks, all that is new lies in one direction. What is linked belongs to the old task to which its
    mean affinity is highest, if that is above the cut; else it is a new task, if it has rows enough; else its rows go
    where the router sends them. Old prototypes stay and new ones join them, so that a task that nobody holds any more
    is still answered by its adapter.

    Args:
        federation: after the drift.
        plan: before it.
        router: the plan's.
        archive: the plan's, with sketches.
    """
    answers = federation.ask(AskUnseen(router))
    rows = {one.client: one.rows for one in answers if len(one.rows) >= LEAST_SHARE * one.examples and len(one.rows)}
    if sum(map(len, rows.values())) < FEWEST_ROWS:
        return None
    affinity = find_affinity(federation.config.affinity, parse_options(federation.config.option))
    federation = with_cut(federation, affinity, alike_unrelated(federation, affinity, router.normalizer.layer))
    config, known = federation.config, len(router.centroids)
    part, space = federation.restricted(rows), normalizer_of(federation, router.normalizer.layer)
    found = find_tasks(part, space)
    moved = [replace(old, centroids=router.normalizer.moved(old.centroids, space)) for old in archive.clients]
    placed = _placed(found, _means(affinity, replace(archive, clients=tuple(moved)), found, known), cut_in(config.cut))
    described = described_by(router.normalizer, part, found)
    grown = _grown(archive, described, found.assignment, placed, config.robust_clustering)
    made = router_of(grown, router.normalizer, router.max_tokens, router.backbone_digest, router.rule, router.options)
    new = dict(zip((message.client for message in grown.clients), grown.assignment, strict=True))
    before = dict(zip((message.client for message in archive.clients), archive.assignment, strict=True))
    told = {client: Tasks(client, own[len(before[client]) :], made.told) for client, own in new.items()}
    federation.tell(told)

    groupings = federation.ask(AskTasks(made, _of_rows(found, placed, rows, federation)))
    made = replace(calibrated(federation, made, _tasks(groupings, len(made.centroids))), on_unseen=router.on_unseen)
    # From the nearest old task: few rounds are left, at falling rates. With each of the four embedded tasks brought in
    # round 5 of 8 (one seed), the loss on its test rows ended lower than from the initial adapter; ROUGE-1 on 8 to 10
    # rows said nothing.
    parents = _means(GradientAffinity(), archive, found, known).argmax(axis=1)
    born = {task: int(parents[number]) for number, task in enumerate(placed.tolist()) if task >= known}
    pools = tuple(Pool(task_name(task), 1, parent=task_name(parent)) for task, parent in sorted(born.items()))
    opened = replace(plan, pools=(*plan.pools, *pools), router=made, archive=grown)
    return with_groups(opened, tuple(group for one in groupings for group in group_by(one, one.names)))


def _means(affinity: Affinity, archive: Archive, found: FoundTasks, known: int) -> NDArray[np.float64]:
    """Return the mean affinity of the parts of each of S found sets to the parts of each known task, (S, T)."""
    vectors = affinity.vectors(embedded_of([*archive.clients, *found.messages]))
    tasks, sets = (np.array([one for own in each for one in own]) for each in (archive.assignment, found.assignment))
    of_known, of_found = np.split(vectors, [len(tasks)])
    to_tasks = np.empty((len(of_found), known))
    for start in range(0, len(of_found), _AT_ONCE):
        rows = slice(start, start + _AT_ONCE)
        of_parts = np.clip(of_found[rows] @ of_known.T, -1, 1).astype(np.float64)
        for task in range(known):
            to_tasks[rows, task] = of_parts[:, tasks == task].mean(axis=1)
    return np.stack([to_tasks[sets == number].mean(axis=0) for number in range(found.count)])


def _placed(found: FoundTasks, means: NDArray[np.float64], cut: float) -> Ints:
    """Return the task of each found set, (S,): an old one, the next new one, or `_UNPLACED`."""
    sizes = np.zeros(found.count, dtype=np.int64)
    for message, own in zip(found.messages, found.assignment, strict=True):
        np.add.at(sizes, np.array(own), message.sizes)
    old, new = means.max(axis=1) > cut, means.shape[1]
    placed = np.where(old, means.argmax(axis=1), _UNPLACED)
    for number in np.flatnonzero(~old & (sizes >= FEWEST_ROWS)):
        placed[number] = new
        new += 1
    return placed


def _grown(
    archive: Archive,
    parts_sent: Sequence[CentroidMessage],
    sets: Sequence[tuple[int, ...]],
    placed: Ints,
    robust: float,
) -> Archive:
    """Return the archive with the parts that were placed, behind each client's old ones.

    Args:
        archive: before.
        parts_sent: of the clients that took part, in the archive's space.
        sets: of each part of each of them.
        placed: the task of each set, (S,).
        robust: share of the parts that is set aside from the router.
    """
    more: dict[int, tuple[CentroidMessage, tuple[int, ...]]] = {}
    for message, own in zip(parts_sent, sets, strict=True):
        tasks = placed[list(own)]
        kept = np.flatnonzero(tasks != _UNPLACED)
        more[message.client] = message.taken(kept), tuple(tasks[kept].tolist())
    clients, assignment = [], []
    for message, assigned in zip(archive.clients, archive.assignment, strict=True):
        parts, tasks_of_parts = more.get(message.client, (None, ()))
        clients.append(message if parts is None else message.joined(parts))
        assignment.append((*assigned, *tasks_of_parts))
    return Archive.of(clients, assignment, robust)


def _of_rows(found: FoundTasks, placed: Ints, rows: dict[int, Ints], federation: Federation) -> dict[int, Ints]:
    """Return, of each client that took part, the task of each of its rows, -1 where the router is to say it."""
    examples = {facts.id: facts.examples for facts in federation.clients}
    tasks = {}
    for client, own in zip(found.clients, found.assignment, strict=True):
        number = client.sent.client
        tasks[number] = np.full(examples[number], _UNPLACED)
        tasks[number][rows[number]] = placed[list(own)][client.grouping.labels]
    return tasks


def _tasks(groupings: list[Grouping], count: int) -> dict[int, Ints]:
    """Return the task of each row of each client."""
    numbers = {task_name(task): task for task in range(count)}
    return {one.client: np.array([numbers[name] for name in one.names])[one.labels] for one in groupings}
