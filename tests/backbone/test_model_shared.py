"""The backbone with shared first words computed once, and with a bfloat16 base, against the plain computation."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from fedrouter_sim.backbone.mixing import Mixture
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.backbone.training import OptimizerSettings
from fedrouter_sim.config import RunConfig
from fedrouter_sim.examples.record import Example

EXAMPLES = [
    Example("11 + 22 = ?", "33"),
    Example("reverse: a b c", "c b a"),
    Example("Do the people of Riga like soup on day 5?", "No"),
    Example("PRICES TODAY, RIGA MARKET: CORN AT 3 CROWNS", "corn for 3"),
]
ADAMW = OptimizerSettings(lr=0.02, weight_decay=0.0, clip=1.0)
BATCHES = [[0, 1, 2, 3], [1, 2], [3]]

ConfigMaker = Callable[..., RunConfig]


@pytest.fixture(scope="module")
def alpaca(micro_config: ConfigMaker) -> Backbone:
    """The micro backbone under a template whose first words all prompts share."""
    return Backbone(micro_config(template="alpaca", max_tokens=256, lora_dropout=0.0))


def alone(backbone: Backbone, compute: Callable[[], Any]) -> Any:
    """Return what is computed when no two rows share anything."""
    backbone._shares_prefixes = False
    try:
        return compute()
    finally:
        backbone._shares_prefixes = True


def test_prompts_share_the_templates_first_words(alpaca: Backbone) -> None:
    prompts = [example.prompt.ids for example in alpaca.encoder.examples(EXAMPLES)]
    shared = alpaca._shared(prompts)
    assert alpaca.encoder.tokenizer.decode(prompts[0][:shared]).startswith("Below is an instruction that describes")
    assert alpaca._shared([prompts[0]] * 2) == len(prompts[0]) - 1  # a prompt's last token is its own


def test_training_scores_and_answers_are_those_without_sharing(alpaca: Backbone) -> None:
    encoded, start = alpaca.encoder.examples(EXAMPLES), alpaca.initial_adapter(0)

    def compute() -> Any:
        trained = alpaca.train(start, encoded, BATCHES, ADAMW, dropout_seed=1)
        instructions = [example.instruction for example in EXAMPLES]
        return (
            trained,
            alpaca.score(trained.adapter, encoded),
            alpaca.generate(trained.adapter, instructions, 12).answers,
        )

    (one, scores, answers), (two, plain_scores, plain_answers) = compute(), alone(alpaca, compute)
    assert one.loss == pytest.approx(two.loss, rel=1e-5) and one.tokens == two.tokens
    for key, value in one.adapter.items():
        torch.testing.assert_close(value, two.adapter[key], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(scores, plain_scores, rtol=1e-4)
    assert answers == plain_answers and len(set(answers)) > 1


def test_prompts_of_a_single_token_are_answered(micro_config: ConfigMaker) -> None:
    backbone = Backbone(micro_config(template="{instruction}"))
    texts = ["a", "reverse: a b c", "b"]
    assert [len(prompt.ids) for prompt in backbone.encoder.prompts(["a", "b"], [9, 9])] == [1, 1]
    together = backbone.generate(None, texts, 12).answers
    assert together == [backbone.generate(None, [text], 12).answers[0] for text in texts]


def test_a_mixture_weighs_every_row_in_its_own_way(alpaca: Backbone) -> None:
    generator = torch.Generator().manual_seed(3)
    adapters = tuple(
        {key: torch.randn(v.shape, generator=generator) * 0.3 for key, v in alpaca.initial_adapter(0).items()}
        for _ in range(2)
    )
    encoded, weights = alpaca.encoder.examples(EXAMPLES), np.array([[1, 0], [0, 1], [0.5, 0.5], [0.2, 0.8]])
    together = alpaca.score(Mixture(adapters, weights), encoded)
    single = [alpaca.score(Mixture(adapters, weights[i : i + 1]), encoded[i : i + 1])[0] for i in range(len(encoded))]
    np.testing.assert_allclose(together, single, rtol=1e-4)
    np.testing.assert_allclose(together[:1], alpaca.score(adapters[0], encoded[:1]), rtol=1e-4)


def test_a_bfloat16_base_has_float32_adapters_and_near_results(micro_config: ConfigMaker, backbone: Backbone) -> None:
    low = Backbone(micro_config(dtype="bfloat16"))
    assert (low.dtype, backbone.dtype) == ("bfloat16", "float32") and not low.serves(micro_config())
    encoded = low.encoder.examples(EXAMPLES)
    trained = low.train(low.initial_adapter(0), encoded, BATCHES, ADAMW, dropout_seed=1)
    assert {value.dtype for value in trained.adapter.values()} == {torch.float32}
    exact = backbone.train(backbone.initial_adapter(0), encoded, BATCHES, ADAMW, dropout_seed=1)
    assert trained.loss == pytest.approx(exact.loss, rel=0.02) and trained.loss != exact.loss
    texts = [example.instruction for example in EXAMPLES]
    assert low.embed(texts).dtype == np.float32
    np.testing.assert_allclose(low.embed(texts), backbone.embed(texts), atol=0.05)
    assert len(low.generate(trained.adapter, texts, 5).answers) == len(texts)
