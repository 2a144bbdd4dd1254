"""Responses scored from the attention caches of their prompts: the losses of whole passes, and caches as they were."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from random_models import save_random

from fedrouter_sim.backbone import batching
from fedrouter_sim.backbone.answering import run_prompts
from fedrouter_sim.backbone.encoding import EncodedExample, Prompt
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.backbone.scoring import PromptScores
from fedrouter_sim.config import RunConfig

ConfigMaker = Callable[..., RunConfig]
# Tokens of prompts and responses. Some responses are longer than the others by more than may be padded.
LENGTHS = ((11, 90), (11, 3), (10, 80), (9, 2), (9, 3))
OTHERWISE = 1  # its prompt is run in another form than the one that it is scored by


@pytest.fixture(scope="module", params=["llama", "qwen3_moe", "bfloat16"])
def backbone(request: Any, micro_config: ConfigMaker, micro_model: Path, tmp_path_factory: Any) -> Callable[..., Any]:
    """Makes small random models of families whose rows may be packed, with adapters in some or all of the layers."""
    kind, dtype = (request.param, "float32") if request.param != "bfloat16" else ("llama", "bfloat16")
    folder = save_random(kind, tmp_path_factory.mktemp(kind) / "m", micro_model)
    return lambda layers: Backbone(micro_config(model=str(folder), max_tokens=256, dtype=dtype, lora_layers=layers))


@pytest.mark.parametrize("layers", [0, 1])
def test_responses_are_scored_from_the_caches_of_their_prompts(
    layers: int, backbone: Callable[[int], Backbone]
) -> None:
    own = backbone(layers)
    assert own._packs and own._lower.keeps == bool(layers)
    draw = np.random.default_rng(0)
    given = [[tuple(map(int, draw.integers(3, 300, count))) for count in pair] for pair in LENGTHS]
    examples = [EncodedExample(Prompt(prompt, cut=False), response) for prompt, response in given]
    asked = [one.prompt.ids for one in examples]
    asked[OTHERWISE] = asked[OTHERWISE][1:]
    adapter = {key: value + 0.05 for key, value in own.initial_adapter(0).items()}
    scores, kept, passes = PromptScores(examples, fill=0), list[bool](), list[int]()

    def hear(cache: Any, rows: Any) -> None:
        before = [state for layer in cache.layers for state in (layer.keys, layer.values)]
        handle = own._peft.register_forward_pre_hook(lambda *told: passes.append(1))
        scores.hear(own._peft, own._lower, cache, rows, asked)
        handle.remove()
        after = [state for layer in cache.layers for state in (layer.keys, layer.values)]
        kept.extend(one is two for one, two in zip(before, after, strict=True))

    with own._using(adapter), torch.inference_mode():
        run_prompts(own._body, asked, [list(range(len(asked)))], 0, 0, lower=own._lower, on_run=hear)
    heard = [row for row in range(len(asked)) if row != OTHERWISE]
    assert sorted(scores.found) == heard and kept == [True] * 4
    assert len(passes) == 2 and LENGTHS[0][1] - LENGTHS[3][1] > batching.PADDING["cpu"]  # so they are not padded
    expected, near = own.score(adapter, examples)[heard, 0], 1e-4 if own._model.dtype == torch.float32 else 0.05
    np.testing.assert_allclose([scores.found[row] for row in heard], expected, rtol=near)
