"""A client: its private examples, its local clustering, its local training. Only messages leave it."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import numpy as np

from fedrouter_sim.adapters.state import Adapter, is_finite
from fedrouter_sim.arrays import Floats, Ints
from fedrouter_sim.backbone.batching import draw_batches
from fedrouter_sim.backbone.encoding import EncodedExample
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.backbone.sketching import SKETCH, Projection, sketch_of_change
from fedrouter_sim.backbone.training import OptimizerSettings, Proximal, dropout_seed
from fedrouter_sim.config import RunConfig
from fedrouter_sim.examples.record import Example
from fedrouter_sim.federation.groups import Group
from fedrouter_sim.messages import LOSS, SENT_SKETCH, WEIGHT, Failed, Update
from fedrouter_sim.randomness import derive_seed, numpy_generator

CALIBRATED_PART = 10  # one row in so many is a calibration row
FEWEST_ROWS = 5  # of a client that has calibration rows

_MEASURED = 100  # steps of which a middle one is measured


class Client:
    """One client of the simulation. Clients share the backbone in memory; their data they do not share."""

    def __init__(self, client_id: int, examples: Sequence[Example], backbone: Backbone, config: RunConfig) -> None:
        self.id = client_id
        self.examples = tuple(examples)
        self._backbone = backbone
        self._config = config
        self._sketches: dict[int, Floats] = {}  # by position of the example, as they are sent

    @cached_property
    def embeddings(self) -> Floats:
        """The embeddings of the client's instructions, (n, d). Computed once: the backbone is frozen."""
        return self._backbone.embed([example.instruction for example in self.examples])

    @cached_property
    def encoded(self) -> list[EncodedExample]:
        """The client's examples in token ids."""
        return self._backbone.encoder.examples(self.examples)

    @cached_property
    def calibration_rows(self) -> Ints:
        """The positions, ascending, of the rows that say how far texts lie from the tasks: a tenth, drawn by the seed;
        at least one, and none of a client of fewer than 5 rows. They train like all others."""
        count = len(self.examples)
        if count < FEWEST_ROWS:
            return np.empty(0, dtype=np.int64)
        order = numpy_generator(self._config.seed, "calibration rows", self.id).permutation(count)
        return np.sort(order[: max(1, count // CALIBRATED_PART)])

    def sketches(self, positions: Sequence[int], start: Adapter, seed: int) -> Floats:
        """Return the gradient sketches (k, m) of some of the client's examples at the adapter that all start from.

        What was sketched once is kept.
        """
        new = [position for position in positions if position not in self._sketches]
        if new:
            found = self._backbone.sketch(start, [self.encoded[position] for position in new], Projection(seed))
            self._sketches.update(zip(new, found.astype(SENT_SKETCH), strict=True))
        return np.stack([self._sketches[position] for position in positions]).astype(np.float32)

    @property
    def kept_sketches(self) -> Mapping[int, Floats]:
        """The sketches that were asked for, (m,) each, by position of the example.

        The last digits of a sketch depend on which ones were computed together, so a client that goes on in another
        process recalls those that it had.
        """
        return self._sketches

    def recall(self, sketches: Mapping[int, Floats]) -> None:
        """Have these sketches, by position of the example, without computing them."""
        self._sketches = {position: np.asarray(own, dtype=SENT_SKETCH) for position, own in sketches.items()}

    def first_update(self, positions: Sequence[int], start: Adapter, steps: int, key: tuple[int, ...]) -> Floats:
        """Return a sketch (m,) of what some steps on some of the client's examples make of the adapter that all start
        from; what they make is thrown away.

        Args:
            positions: of the examples.
            start: the adapter.
            steps: optimizer steps.
            key: of the draw, among this client's.
        """
        config = self._config
        examples = [self.encoded[position] for position in positions]
        generator = numpy_generator(config.seed, "first updates", self.id, *key)
        batches = draw_batches([len(example) for example in examples], steps, config.batch_size, generator)
        dropout = derive_seed(config.seed, "first updates' dropout", self.id, *key)
        trained = self._backbone.train(start, examples, batches, self._optimizer(config.lr), dropout)
        if not is_finite(trained.adapter):
            return np.zeros(SKETCH, dtype=np.float32)  # like nothing
        return sketch_of_change(start, trained.adapter, Projection(config.seed))

    @classmethod
    def holding_all(cls, clients: "Sequence[Client]") -> "Client":
        """Make one client, 0, of the examples of several, in client order."""
        first = clients[0]
        examples = [example for client in clients for example in client.examples]
        return cls(0, examples, first._backbone, first._config)

    def train(
        self,
        group: Group,
        start: Adapter,
        anchor: Adapter | None,
        steps: int,
        lr: float,
        round_: int,
        on_step: Callable[[float], None] = lambda loss: None,
    ) -> Update | Failed:
        """Train one group's adapter for a round (step 5), starting from its pool's adapter.

        Args:
            group: what trains.
            start: the adapter of the group's pool at the start of the round.
            anchor: the adapter that the group's proximal term pulls to, where it has one.
            steps: optimizer steps.
            lr: learning rate.
            round_: number of the round.
            on_step: called with the loss after each step.

        Returns:
            The update, or that there is none, as a loss or a weight is not finite.
        """
        config = self._config
        examples = [self.encoded[i] for i in group.examples]
        key = (round_, self.id, group.rank)
        generator = numpy_generator(config.seed, "batches", *key)
        batches = draw_batches([len(example) for example in examples], steps, config.batch_size, generator)
        pull = Proximal(anchor, group.pull.strength) if group.pull and anchor is not None else None
        trained = self._backbone.train(
            start, examples, batches, self._optimizer(lr), dropout_seed(config.seed, *key), on_step, pull
        )
        if not math.isfinite(trained.loss) or not is_finite(trained.adapter):
            what = WEIGHT if math.isfinite(trained.loss) else LOSS
            left = steps - trained.steps
            return Failed(self.id, group.rank, group.pool, round_, lr, what, trained.steps, left, trained.tokens)
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

    def trial_step(self, group: Group) -> int:
        """Take one step on a batch of middle length, throw its adapter away, and return the batch's real tokens.

        It draws from generators of its own, so that training is the same as without.
        """
        config = self._config
        examples = [self.encoded[i] for i in group.examples]
        generator = numpy_generator(config.seed, "measured step")
        steps = min(config.local_steps, _MEASURED)  # counted, and not drawn: a run may have any number
        batches = draw_batches([len(example) for example in examples], steps, config.batch_size, generator)
        batch = sorted(batches, key=lambda indices: sum(len(examples[i]) for i in indices))[len(batches) // 2]
        start = self._backbone.initial_adapter(config.seed)
        return self._backbone.train(start, examples, [batch], self._optimizer(config.lr), dropout_seed=0).tokens

    def _optimizer(self, lr: float) -> OptimizerSettings:
        return OptimizerSettings(lr, self._config.weight_decay, self._config.clip)
