"""How several adapters answer a text together, where it is not by the weighted sum of their outputs."""

from dataclasses import dataclass
from typing import ClassVar

from fedrouter_sim.adapters.by_token import ByToken


@dataclass(frozen=True)
class ByAnswer:
    """Each adapter answers for itself, and the probabilities that they give the next token are averaged, weighed by how
    likely each adapter is the right one given the text and the answer so far: p(y) = sum_k w_k p_k(y), for all of y.

    Averages of experts' probabilities, weighed by how near a text is to what each was trained on: c-BTM (Gururangan et
    al. 2023, arXiv 2303.14177), whose weights stay as they were. Here they are the prior of a Bayesian mixture: an
    adapter that the answer so far speaks against loses its weight, so that the loss of a response is never above that
    of adapter k by more than -log w_k.
    """

    for_each_token: ClassVar[bool] = False  # a text's weights are its own, as a router gives them


Together = ByToken | ByAnswer
