"""Adapters and examples of tests of mixtures, scored by us and by a model without any of our code."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM

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


def strong(backbone: Backbone, seed: int) -> Adapter:
    """An adapter that changes answers."""
    generator = torch.Generator().manual_seed(seed)
    return {key: torch.randn(v.shape, generator=generator) * 0.3 for key, v in backbone.initial_adapter(0).items()}


def added_to_the_weights(folder: Path, adapters: Sequence[Adapter], weights: Sequence[float], scale: float) -> Any:
    """The model by transformers alone, with sum_k w_k scale B_k A_k added to its weights."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    modules = dict(model.named_modules())
    keys = [key for key in adapters[0] if "lora_A" in key]
    with torch.no_grad():
        for key in keys:
            module: Any = modules[key.removeprefix("base_model.model.").removesuffix(".lora_A.weight")]
            for adapter, weight in zip(adapters, weights, strict=True):
                delta = adapter[key.replace("lora_A", "lora_B")] @ adapter[key]  # (d_out, d_in)
                module.weight += weight * scale * delta.T  # GPT-2's Conv1D keeps (d_in, d_out)
    return model


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
