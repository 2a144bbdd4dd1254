"""Examples that tests of mixtures score, by us and by a model without any of our code."""

from typing import Any

import numpy as np
import torch

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.backbone.mixing import Mixture
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.examples.record import Example

EXAMPLES = [
    Example("11 + 22 = ?", "33"),
    Example("reverse: a b c", "c b a"),
    Example("Do the people of Riga like soup on day 5?", "No"),
    Example("PRICES TODAY, OSLO MARKET: FISH AT 3 CROWNS", "fish for 3"),
]
TEXTS = [example.instruction for example in EXAMPLES]


def losses_by_hand(model: Any, backbone: Backbone) -> list[float]:
    """Each example's summed loss by a model of transformers or PEFT."""
    found = []
    for example in backbone.encoder.examples(EXAMPLES):
        ids = [*example.prompt.ids, *example.response]
        with torch.no_grad():
            logits = torch.log_softmax(model(torch.tensor([ids])).logits[0], dim=-1)
        places = range(len(example.prompt.ids), len(ids))
        found.append(-sum(logits[place - 1, ids[place]].item() for place in places))
    return found


def losses(backbone: Backbone, adapter: Adapter | Mixture | None) -> np.ndarray:
    """Each example's summed loss by ours."""
    return backbone.score(adapter, backbone.encoder.examples(EXAMPLES))[:, 0]
