"""Arrow: no text is routed; adapters are weighed for every token, in every module, as they answer."""

from fedrouter_sim.adapters.by_token import ByToken
from fedrouter_sim.errors import UserError
from fedrouter_sim.routing.prototypes import NearestPrototype


class Arrow(NearestPrototype):
    """All tasks that may answer do so together, weighed by token (`ByToken`, arXiv 2405.11157). Of the embedding
    of a text goes no more than whether it counts as unseen.

    The task of an answered text is that of the largest mean weight over its prompt, and that weight its confidence.
    Where a text needs a task and nobody answers, as a training row after drift, it is that of the nearest prototype.
    """

    name = "arrow"

    def __init__(self, top_k: int = ByToken.top_k, temperature: float = ByToken.temperature) -> None:
        """Take how many adapters a token gets, and the temperature of their softmax; the defaults are PEFT's."""
        if top_k < 1 or not temperature > 0:
            raise UserError(f"--option top_k={top_k}, temperature={temperature}: must be at least 1, and above 0")
        self.together = ByToken(top_k, temperature)
