"""The cut above which local clusters are one task, by how alike unrelated tasks are to the backbone.

To one backbone all tasks are more alike than to another: what their gradients have in common is what any answer in the
prompt's form asks for, and that is more where the backbone was never tuned for such prompts. With one cut for all, two
tasks are one to the former.
"""

from dataclasses import replace

import numpy as np

from fedrouter_sim.clustering.across_clients import embedded_of
from fedrouter_sim.clustering.affinities.affinity import Affinity
from fedrouter_sim.clustering.linking import cut_in
from fedrouter_sim.clustering.normalizing import Layer, Normalizer
from fedrouter_sim.config.words import AUTO, STANDARDIZING
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.task_questions import AskFeatureSums, AskLocalClusters, Sketching
from fedrouter_sim.federation.unrelated import Unrelated


def alike_unrelated(federation: Federation, affinity: Affinity, layer: Layer | None) -> float | None:
    """Return the mean affinity of unrelated tasks; None where the cut is given or not used, or that is not known.

    The server asks its own rows for it, of which no client knows, so that it costs no byte and no privacy.

    Args:
        federation: whose settings leave the cut open or not.
        affinity: by which local clusters are linked.
        layer: whose part of embeddings counts; None: they are of the last layer alone.
    """
    config = federation.config
    if config.cut != AUTO or config.tasks != AUTO or affinity.above_unrelated is None or federation.unrelated is None:
        return None
    alike = [_alike(part, config.normalize, affinity, layer) for part in federation.unrelated()]
    return float(np.mean(alike)) if alike else None


def with_cut(federation: Federation, affinity: Affinity, alike: float | None) -> Federation:
    """Return a federation whose settings say the cut in numbers: where they leave it open, so far above the mean
    affinity of unrelated tasks as the affinity has it, or the usual one where that is None."""
    cut = cut_in(federation.config.cut)
    if alike is not None and affinity.above_unrelated is not None:
        cut = round(float(np.clip(affinity.above_unrelated + alike, -1, 1)), 4)
    return replace(federation, config=replace(federation.config, cut=cut))


def _alike(part: Unrelated, normalize: str, affinity: Affinity, layer: Layer | None) -> float:
    """Return the mean affinity of the server's own tasks to each other, which are standardised by themselves."""
    ask = part.workers.ask
    sums = ask(AskFeatureSums()) if normalize in STANDARDIZING else []
    space = Normalizer.of(normalize, sums)
    space = space if layer is None else space.of_layer(layer)
    answers = ask(AskLocalClusters(space, 1, part.seed, Sketching(part.start, part.seed)))
    vectors = affinity.vectors(embedded_of([answer.sent for answer in answers])).astype(np.float64)
    return float((vectors @ vectors.T)[~np.eye(len(vectors), dtype=bool)].mean())
