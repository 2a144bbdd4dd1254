"""A client: its private examples, its local clustering, its local training. Only messages leave it."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import numpy as np

from fedrouter_sim.adapters.state import Adapter, check_finite
from fedrouter_sim.backbone.batching import draw_batches
from fedrouter_sim.backbone.encoding import EncodedExample
from fedrouter_sim.backbone.model import Backbone, OptimizerSettings, Proximal, dropout_seed
from fedrouter_sim.clustering.kmeans import Clustering, FeatureSums, Floats, Normalizer, kmeans
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import Example
from fedrouter_sim.messages import CentroidMessage, Group, Update
from fedrouter_sim.partition.dealing import largest_remainder
from fedrouter_sim.randomness import derive_seed, numpy_generator


class Client:
    """One client of the simulation. Clients share the backbone in memory; their data they do not share."""

    def __init__(self, client_id: int, examples: Sequence[Example], backbone: Backbone, config: RunConfig) -> None:
        self.id = client_id
        self.examples = tuple(examples)
        self._backbone = backbone
        self._config = config

    @cached_property
    def embeddings(self) -> Floats:
        """The embeddings of the client's instructions, (n, d). Computed once: the backbone is frozen."""
        return self._backbone.embed([example.instruction for example in self.examples])

    @cached_property
    def encoded(self) -> list[EncodedExample]:
        """The client's examples in token ids."""
        return self._backbone.encoder.examples(self.examples)

    def feature_sums(self) -> FeatureSums:
        """Return what standardisation needs of this client."""
        return FeatureSums.of(self.embeddings)

    def cluster(self, normalizer: Normalizer) -> Clustering:
        """Cluster the client's own examples (step 2): k_l clusters, fewer if it has fewer distinct examples."""
        seed = derive_seed(self._config.seed, "local clustering", self.id)
        return kmeans(normalizer(self.embeddings), self._config.local_clusters, seed)

    def describe(self, clustering: Clustering) -> CentroidMessage:
        """Return the message that tells the server of the local clusters (step 3)."""
        lengths = np.array([len(example.response) for example in self.encoded])
        longest = [lengths[clustering.labels == cluster].max() for cluster in range(len(clustering.sizes))]
        return CentroidMessage(self.id, clustering.centroids, clustering.sizes, np.array(longest, dtype=np.int64))

    def train(
        self,
        group: Group,
        adapters: Mapping[str, Adapter],
        steps: int,
        lr: float,
        round_: int,
        on_step: Callable[[float], None] = lambda loss: None,
    ) -> Update:
        """Train one group's adapter for a round (step 5), starting from its pool's adapter.

        Args:
            group: what trains.
            adapters: the pools' adapters at the start of the round.
            steps: optimizer steps.
            lr: learning rate.
            round_: number of the round.
            on_step: called with the loss after each step.
        """
        config = self._config
        examples = [self.encoded[i] for i in group.examples]
        key = (round_, self.id, group.rank)
        generator = numpy_generator(config.seed, "batches", *key)
        batches = draw_batches([len(example) for example in examples], steps, config.batch_size, generator)
        pull = Proximal(adapters[group.pull.pool], group.pull.strength) if group.pull else None
        trained = self._backbone.train(
            adapters[group.pool],
            examples,
            batches,
            OptimizerSettings(lr, config.weight_decay, config.clip),
            dropout_seed(config.seed, *key),
            on_step,
            pull,
        )
        try:
            check_finite(trained.adapter)
        except ValueError:
            raise UserError(
                f"round {round_}, client {self.id}: training of {group.pool} diverged (a weight is not finite); "
                "lower --lr or the weight of the method's proximal term"
            ) from None
        return Update(
            client=self.id,
            group=group.rank,
            pool=group.pool,
            round=round_,
            examples=len(examples),
            clusters=group.clusters,
            adapter=trained.adapter,
            loss=trained.loss,
            steps=steps,
            tokens=trained.tokens,
        )


def participants(clients: int, participation: float) -> int:
    """Return how many of so many clients take part in a round: at least one."""
    return max(1, round(participation * clients))


def share_steps(groups: Sequence[Group], local_steps: int, budget: str) -> list[int]:
    """Return the optimizer steps for a round of each of a client's groups.

    A group whose method fixed its steps takes those. Else under 'shared': `local_steps` in all, in proportion to
    examples by largest remainder, but at least 1 each (so a client with more groups than steps takes a step for each
    group). Under 'per-group': `local_steps` each.
    """
    fixed = [group.steps for group in groups if group.steps is not None]
    if fixed:
        if len(fixed) < len(groups):
            raise ValueError("a client's groups have either all or none of them a fixed number of steps")
        return fixed
    if budget == "per-group" or not groups:
        return [local_steps] * len(groups)
    sizes = np.array([len(group.examples) for group in groups], dtype=np.float64)
    free = local_steps - len(groups)
    if free <= 0:
        return [1] * len(groups)
    steps = largest_remainder(sizes, local_steps)
    while (steps == 0).any():
        # The least is 1: taken from whoever has most, which keeps the total.
        steps[int(np.argmin(steps))] += 1
        steps[int(np.argmax(steps))] -= 1
    return [int(n) for n in steps]
