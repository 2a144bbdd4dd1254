"""Affinity by first updates: what others cluster clients by."""

from fedrouter_sim.clustering.affinities.affinity import UPDATES
from fedrouter_sim.clustering.affinities.gradient import GradientAffinity


class UpdateAffinity(GradientAffinity):
    """The cosine of how two local clusters change the adapter in a first round, corrected for noise as gradients are.

    Steps see more than the gradient at the start does, and cost as many: at least one for each half of a local cluster,
    which is more than a client's steps of a round where it has many.
    """

    name = "update"
    evidence = UPDATES
