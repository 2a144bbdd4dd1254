"""The router by ensembles: where it is not sure, the nearest tasks answer together, and are averaged in probability."""

from typing import ClassVar

from fedrouter_sim.adapters.together import ByAnswer, Together
from fedrouter_sim.routing.soft import SoftPrototypes


class Ensemble(SoftPrototypes):
    """The `nearest` tasks answer together (`ByAnswer`), by the weights of `soft`; those below 0.01 are dropped.

    An adapter that was trained on other tasks may be sure of a wrong answer, and its loss is without bound. A right
    adapter with a weight of 0.1 keeps the loss of the two within 2.3 nats, -log 0.1, of its own, for all of a response.
    """

    name = "ensemble"
    least: ClassVar[float] = 0.01
    together: Together | None = ByAnswer()
