"""Affinities, one file each: what the global stage takes for likeness of local clusters."""

from typing import TYPE_CHECKING

from fedrouter_sim.tables import Options, Table

if TYPE_CHECKING:
    from fedrouter_sim.clustering.affinities.affinity import Affinity

GRADIENT, CENTROID, BOTH = "gradient", "centroid", "both"

AFFINITIES: "Table[Affinity]" = Table(
    kind="affinity",
    flag="--affinity",
    base="fedrouter_sim.clustering.affinities.affinity:Affinity",
    rows={
        GRADIENT: "fedrouter_sim.clustering.affinities.gradient:GradientAffinity",
        CENTROID: "fedrouter_sim.clustering.affinities.centroid:CentroidAffinity",
        "update": "fedrouter_sim.clustering.affinities.update:UpdateAffinity",
        BOTH: "fedrouter_sim.clustering.affinities.both:GradientAndCentroid",
    },
)


def find_affinity(name: str, options: Options | None = None) -> "Affinity":
    """Return an affinity by its name, or the user's own by FILE.py:CLASS.

    Raises:
        UserError: there is no such affinity.
    """
    return AFFINITIES.find(name, options)
