"""Membership attacks: what one who sees what is sent or released can tell of who and what was in it.

Nothing is trained to attack: an attacker knows the backbone, the common start and the seed of the sketches, has rows
whose membership is in question, and scores each.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.backbone.sketching import Projection, sketch_of_change
from fedrouter_sim.clustering.across_clients import local_clusters_of
from fedrouter_sim.config import RunConfig
from fedrouter_sim.examples.record import Example, Shares
from fedrouter_sim.federation.client import Client
from fedrouter_sim.federation.federation import Federation, build_federation
from fedrouter_sim.federation.finding import normalizer_of
from fedrouter_sim.federation.groups import whole_group
from fedrouter_sim.federation.privacy import UPDATES
from fedrouter_sim.federation.privacy.budget import Budget
from fedrouter_sim.federation.privacy.summing import NoisedMeans
from fedrouter_sim.federation.questions import AskFacts
from fedrouter_sim.federation.task_questions import AskLocalClusters
from fedrouter_sim.messages import Update
from fedrouter_sim.methods import find_method
from fedrouter_sim.partition.partitioning import ClientShares
from fedrouter_sim.partition.run_data import RunData
from fedrouter_sim.randomness import derive_seed

Numbers = NDArray[np.float64]
FALSE_POSITIVES = 0.01


@dataclass(frozen=True)
class Dealt:
    """Clients that take part, and rows of the same tasks that nobody holds, as many, dealt as if to clients."""

    members: tuple[tuple[Example, ...], ...]
    others: tuple[tuple[Example, ...], ...]


@dataclass(frozen=True)
class Scores:
    """What an attack gives members and others: higher is more of a member."""

    members: Sequence[float]
    others: Sequence[float]

    @property
    def auc(self) -> float:
        """The area under the ROC curve; 0.5 is guessing."""
        truth = [1] * len(self.members) + [0] * len(self.others)
        return float(roc_auc_score(truth, [*self.members, *self.others]))

    @property
    def found(self) -> float:
        """The share of members that are found where at most one of a hundred others is taken for a member.

        Of fewer than a hundred others that is none: a member is found if it is above all n of them, which guessing does
        with 1 of n + 1.
        """
        threshold = np.quantile(self.others, 1 - FALSE_POSITIVES, method="higher")
        return float((np.asarray(self.members) > threshold).mean())


def deal(rows: Sequence[Example], clients: int, each: int, seed: int) -> Dealt:
    """Deal rows of two tasks to each client, as the split `dual` does, and as many to clients that take no part."""
    tasks = sorted({row.task or "" for row in rows})
    generator = np.random.default_rng(seed)
    left = {task: [row for row in rows if row.task == task] for task in tasks}
    left = {task: [own[i] for i in generator.permutation(len(own))] for task, own in left.items()}

    def client(number: int) -> tuple[Example, ...]:
        own = (tasks[number % len(tasks)], tasks[(number + 1) % len(tasks)])
        return tuple(left[task].pop() for task in own for _ in range(each // 2))

    dealt = [client(number // 2) for number in range(2 * clients)]
    return Dealt(tuple(dealt[0::2]), tuple(dealt[1::2]))


class Attacked:
    """One federation, of which all that leaves it is looked at."""

    def __init__(self, dealt: Dealt, backbone: Backbone, config: RunConfig) -> None:
        self._dealt, self._backbone = dealt, backbone
        self._config = replace(config, clients=len(dealt.members), split="natural")
        self._start = backbone.initial_adapter(config.seed)
        self._projection = Projection(config.seed)
        self._members = [self._client(i, rows) for i, rows in enumerate(dealt.members)]
        self._others = [self._client(len(dealt.members) + i, rows) for i, rows in enumerate(dealt.others)]

    def scores(self, epsilons: Sequence[float]) -> dict[str, Scores]:
        """Return the scores of all attacks by name: without noise, and under each epsilon of a whole run's budget."""
        found = self._of_updates(epsilons)
        for epsilon in (0.0, *epsilons):
            found |= self._of_centroids(epsilon)
        return found

    def _client(self, number: int, rows: tuple[Example, ...]) -> Client:
        return Client(number, rows, self._backbone, self._config)

    def _of_updates(self, epsilons: Sequence[float]) -> dict[str, Scores]:
        """By what a first round made of the common start: how much it lowers a row's loss, and how well the gradient of
        that at the start is aligned with it."""
        updates = [self._trained(client) for client in self._members]
        sides = (self._members, self._others)
        gradients = [self._gradients(clients) for clients in sides]
        started = [[self._losses(client, self._start) for client in clients] for clients in sides]
        raw = [self._aligned(update.adapter) for update in updates]
        found = {
            "update of one client, rows, by loss": Scores(
                *(
                    joined(
                        before - self._losses(client, update.adapter)
                        for client, before, update in zip(clients, of_side, updates, strict=True)
                    )
                    for clients, of_side in zip(sides, started, strict=True)
                )
            ),
            "update of one client, rows, by gradient": Scores(
                *(joined(rows @ change for rows, change in zip(of_side, raw, strict=True)) for of_side in gradients)
            ),
        }
        for epsilon in (0.0, *epsilons):
            released = self._released(updates, epsilon)
            falls = [
                [before - self._losses(client, released) for client, before in zip(clients, of_side, strict=True)]
                for clients, of_side in zip(sides, started, strict=True)
            ]
            found[named("mean of a round, rows, by loss", epsilon)] = Scores(*map(joined, falls))
            found[named("mean of a round, rows, by gradient", epsilon)] = Scores(
                *(joined(rows @ self._aligned(released) for rows in of_side) for of_side in gradients)
            )
            found[named("mean of a round, clients, by loss", epsilon)] = Scores(
                *([float(fall.mean()) for fall in of_side] for of_side in falls)
            )
        return found

    def _losses(self, client: Client, adapter: Adapter) -> Numbers:
        """Return the mean loss of each of a client's rows over its response tokens, (n,)."""
        losses, tokens = self._backbone.score(adapter, client.encoded).T
        return np.asarray(losses / tokens)

    def _trained(self, client: Client) -> Update:
        config = self._config
        group = whole_group(AskFacts().answer(client), "global")
        update = client.train(group, self._start, None, config.local_steps, config.lr, round_=1)
        if not isinstance(update, Update):
            raise ValueError(f"client {client.id}: training gave no finite numbers")
        return update

    def _gradients(self, clients: Sequence[Client]) -> list[Numbers]:
        """Return the sketches of the gradients of each client's rows."""
        seed = self._projection.seed
        return [c.sketches(range(len(c.examples)), self._start, seed).astype(np.float64) for c in clients]

    def _aligned(self, adapter: Adapter) -> Numbers:
        """Return what to multiply gradients by: a step goes against its gradient."""
        return -sketch_of_change(self._start, adapter, self._projection).astype(np.float64)

    def _released(self, updates: Sequence[Update], epsilon: float) -> Adapter:
        """Return the global adapter after the round: of clipped updates, with the noise that an epsilon wants."""
        noise, clip = 0.0, self._config.dp_clip
        if epsilon:
            release = self._budget("fedavg", epsilon).release(UPDATES)
            noise = 0.0 if release is None else release.noise_multiplier
        # Of its own, or the noise of all epsilons would be one draw at several scales.
        means = NoisedMeans(clip, noise, derive_seed(self._config.seed, "noise of the attacked", f"{epsilon:g}"))
        means.expect({"global": float(len(updates))})
        means.begin(1)
        for update in updates:
            means.add(update, self._start)
        return means.result({"global": self._start})["global"]

    def _of_centroids(self, epsilon: float) -> dict[str, Scores]:
        """By how near rows lie to centroids: rows to those of one client, clients to those of all."""
        federation = self._federation(epsilon)
        normalizer = normalizer_of(federation)
        question = AskLocalClusters(normalizer, local_clusters_of(federation.config), federation.config.seed)
        sent = [answer.sent.centroids for answer in federation.ask(question)]
        rows: Mapping[str, list[float]] = {"members": [], "others": []}
        means: Mapping[str, list[float]] = {"members": [], "others": []}
        for kind, clients in (("members", self._members), ("others", self._others)):
            for own, client in zip(sent, clients, strict=True):
                points = normalizer(client.embeddings)
                rows[kind].extend((-_nearest(points, own)).tolist())
                # What the client would have sent, which whoever knows its rows can compute.
                would = question.answer(client).sent.centroids
                means[kind].append(-float(_nearest(would, np.concatenate(sent)).mean()))
        return {
            named("centroids, rows", epsilon): Scores(rows["members"], rows["others"]),
            named("centroids, clients", epsilon): Scores(means["members"], means["others"]),
        }

    def _federation(self, epsilon: float) -> Federation:
        shares = tuple(ClientShares(own, (), ()) for own in self._dealt.members)
        rows = tuple(example for own in self._dealt.members for example in own)
        seed = derive_seed(self._config.seed, "centroids of the attacked", f"{epsilon:g}")
        config = replace(self._config, dp_epsilon=epsilon, seed=seed)
        budget = self._budget("fedrouter", epsilon) if epsilon else None
        return build_federation(config, RunData(Shares(rows, (), ()), shares), self._backbone, budget)

    def _budget(self, method: str, epsilon: float) -> Budget:
        config = replace(self._config, dp_epsilon=epsilon)
        return Budget.of(config, find_method(method).releases(config))


def named(attack: str, epsilon: float) -> str:
    """Name an attack on what was noised for an epsilon; 0: without noise."""
    return f"{attack}, epsilon {epsilon:g}" if epsilon else f"{attack}, without noise"


def joined(parts: Iterable[Numbers]) -> list[float]:
    """Return numbers one after the other."""
    return [float(one) for part in parts for one in part]


def _nearest(points: NDArray[Any], centroids: NDArray[Any]) -> Numbers:
    """Return the distance of each point to the nearest centroid, (n,)."""
    gaps = points[:, None].astype(np.float64) - centroids[None].astype(np.float64)
    return np.asarray(np.linalg.norm(gaps, axis=2).min(axis=1))
