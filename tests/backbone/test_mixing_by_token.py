"""Mixtures whose weights go by token, against stock PEFT's Arrow, and the mean weights of prompts."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mixed_examples import EXAMPLES, TEXTS, losses, losses_by_hand
from peft import ArrowConfig, create_arrow_model
from transformers import AutoModelForCausalLM

from fedrouter_sim.adapters.by_token import ByToken
from fedrouter_sim.adapters.folders import save_adapter
from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.backbone.mixing import Mixture
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.config import RunConfig


@pytest.fixture(scope="module")
def three(backbone: Backbone) -> tuple[Adapter, ...]:
    """Adapters that change answers, of which each has a direction that stands out, so that power iteration finds it."""
    found = []
    for seed in (7, 8, 9):
        generator = torch.Generator().manual_seed(seed)
        drawn = {k: torch.randn(v.shape, generator=generator) * 0.3 for k, v in backbone.initial_adapter(0).items()}
        for key, value in drawn.items():
            if "lora_B" in key:
                value[:, 1:] *= 0.2
        found.append(drawn)
    return tuple(found)


def arrow(folder: Path, out: Path, backbone: Backbone, adapters: Sequence[Adapter], by_token: ByToken) -> Any:
    """The same mixture by PEFT."""
    paths = [out / str(number) for number in range(len(adapters))]
    for path, adapter in zip(paths, adapters, strict=True):
        save_adapter(path, adapter, backbone.peft_config)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    config = ArrowConfig(top_k=by_token.top_k, router_temperature=by_token.temperature, rng_seed=0)
    return create_arrow_model(model, [str(path) for path in paths], config).eval()


@pytest.mark.parametrize("by_token", [ByToken(), ByToken(2, 0.3), ByToken(1, 1.0)])
def test_a_mixture_by_token_is_that_of_stock_peft(
    backbone: Backbone, micro_model: Path, three: tuple[Adapter, ...], by_token: ByToken, tmp_path: Path
) -> None:
    theirs = arrow(micro_model, tmp_path, backbone, three, by_token)
    ours = losses(backbone, Mixture(three, None, by_token))
    np.testing.assert_allclose(ours, losses_by_hand(theirs, backbone), rtol=1e-4)
    assert (abs(ours - losses(backbone, Mixture(three, np.full((4, 3), 1 / 3)))) > 1e-4).all()


def test_answers_are_those_of_stock_peft(
    backbone: Backbone, micro_model: Path, three: tuple[Adapter, ...], tmp_path: Path
) -> None:
    theirs = arrow(micro_model, tmp_path, backbone, three, ByToken())
    ours = backbone.generate(Mixture(three, None, ByToken()), EXAMPLES, 8).answers
    for prompt, answer in zip(backbone.encoder.prompts(TEXTS, [100] * 4), ours, strict=True):
        ids = torch.tensor([prompt.ids])
        told = {"attention_mask": torch.ones_like(ids), "do_sample": False, "max_new_tokens": 8}
        new = theirs.generate(input_ids=ids, pad_token_id=backbone.encoder.eos, **told)[0, ids.shape[1] :].tolist()
        assert backbone.encoder.decode([new])[0].startswith(answer)


def test_one_adapter_by_token_is_that_adapter(backbone: Backbone, three: tuple[Adapter, ...]) -> None:
    alone = losses(backbone, three[1])
    np.testing.assert_allclose(losses(backbone, Mixture(three[1:2], None, ByToken())), alone, rtol=1e-5)
    np.testing.assert_array_equal(losses(backbone, three[1]), alone)  # and leaves the slot as it was


def test_mean_weights_of_a_prompt_do_not_depend_on_who_is_asked_with_it(
    backbone: Backbone, three: tuple[Adapter, ...]
) -> None:
    mixture = Mixture(three, None, ByToken(2, 0.5))
    together = backbone.token_shares(mixture, TEXTS)
    assert together.shape == (4, 3)
    np.testing.assert_allclose(together.sum(axis=1), 1)
    alone = [backbone.token_shares(mixture, [text])[0] for text in TEXTS]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert together.std(axis=0).max() > 1e-3  # texts differ


def test_a_prompt_that_begins_otherwise_changes_no_other(
    micro_config: Callable[..., RunConfig], three: tuple[Adapter, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As that of a conversation with a system text of its own."""
    backbone = Backbone(micro_config(template="Some words before: {instruction}"))
    mixture = Mixture(three, None, ByToken(2, 0.5))
    kept, prompts = backbone.token_shares(mixture, TEXTS), backbone.encoder.prompts

    def odd(asked: Sequence[Any], limits: Sequence[int]) -> Any:
        found = prompts(asked, limits)
        return [*found[:-1], replace(found[-1], ids=found[-1].ids[3:])] if len(asked) == len(TEXTS) + 1 else found

    assert len(backbone._opening) > 3
    monkeypatch.setattr(backbone.encoder, "prompts", odd)
    together = backbone.token_shares(mixture, [*TEXTS, TEXTS[0]])
    np.testing.assert_allclose(together[:-1], kept, atol=1e-5)


def test_mean_weights_are_over_the_tokens_and_modules_that_run(
    backbone: Backbone, three: tuple[Adapter, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []
    weights = ByToken.weights

    def heard(self: ByToken, hidden: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
        found = weights(self, hidden, directions)
        seen.append(found)
        return found

    monkeypatch.setattr(ByToken, "weights", heard)
    [found] = backbone.token_shares(Mixture(three, None, ByToken()), TEXTS[:1])
    own = len(backbone.encoder.prompts(TEXTS[:1], [100])[0].ids) - len(backbone._opening)
    last = [one for one in seen if one.shape[1] == own]
    assert len(last) == len(backbone._slot) // 2
    np.testing.assert_allclose(found, torch.stack(last).mean(dim=(0, 1, 2)), atol=1e-6)
