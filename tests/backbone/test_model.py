"""The backbone against transformers' and PEFT's own results on the micro model."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.backbone.training import OptimizerSettings, Proximal, dropout_seed
from fedrouter_sim.config import RunConfig
from fedrouter_sim.examples.record import Example

TEXTS = ["1 + 2 = ?", "reverse: a b c d e", "Do the people of Oslo like bread on day 3?", "PRICES", "x"]
EXAMPLES = [
    Example("11 + 22 = ?", "33"),
    Example("reverse: a b c", "c b a"),
    Example("Do the people of Riga like soup on day 5?", "No"),
]
ADAMW = OptimizerSettings(lr=0.01, weight_decay=0.0, clip=1.0)

ConfigMaker = Callable[..., RunConfig]
Same = Callable[[Adapter, Adapter], bool]


@pytest.fixture(scope="module")
def strong(backbone: Backbone) -> Adapter:
    """An adapter that changes answers: random A and B."""
    generator = torch.Generator().manual_seed(7)
    return {key: torch.randn(v.shape, generator=generator) * 0.3 for key, v in backbone.initial_adapter(0).items()}


@pytest.fixture(scope="module")
def plain_model(micro_model: Path) -> Any:
    """The same model, by transformers alone."""
    return AutoModelForCausalLM.from_pretrained(micro_model, dtype=torch.float32).eval()


def prompt_and_response(example: Example, tokenizer: Any) -> tuple[list[int], list[int]]:
    """Tokenise an example by hand under the template 'plain'."""
    prompt = tokenizer(example.instruction + "\n")["input_ids"]
    return prompt, [*tokenizer(example.response)["input_ids"], tokenizer.eos_token_id]


def hand_losses(model: Any, example: Example, tokenizer: Any) -> list[float]:
    """Return the loss of each response token, one example at a time and without padding."""
    prompt, response = prompt_and_response(example, tokenizer)
    with torch.no_grad():
        logits = model(torch.tensor([prompt + response])).logits[0]
    found = torch.log_softmax(logits, dim=-1)
    return [-found[len(prompt) - 1 + place, token].item() for place, token in enumerate(response)]


def test_embedding_is_the_mean_of_the_last_hidden_state(backbone: Backbone, micro_model: Path) -> None:
    tokenizer, body = AutoTokenizer.from_pretrained(micro_model), AutoModel.from_pretrained(micro_model).eval()
    for text in TEXTS:
        with torch.no_grad():
            hidden = body(torch.tensor([tokenizer(text)["input_ids"]])).last_hidden_state[0]
        np.testing.assert_allclose(backbone.embed([text])[0], hidden.mean(0).numpy(), atol=1e-5)


def test_padding_does_not_change_an_embedding(backbone: Backbone) -> None:
    together = backbone.embed(TEXTS)
    assert together.shape == (len(TEXTS), 32)
    assert together.dtype == np.float32
    np.testing.assert_allclose(together, np.concatenate([backbone.embed([text]) for text in TEXTS]), atol=1e-5)


def test_embedding_does_not_depend_on_the_adapter_in_the_slot(backbone: Backbone, strong: Adapter) -> None:
    before = backbone.embed(TEXTS)
    backbone.generate(strong, TEXTS[:1], 1)
    assert np.array_equal(backbone.embed(TEXTS), before)


def test_embedding_cuts_at_the_limit_and_survives_an_empty_text(backbone: Backbone) -> None:
    long = "a b c d e f g h i j " * 50
    ids = backbone.encoder.tokenizer(long)["input_ids"]
    assert len(ids) > backbone.encoder.limit
    kept = backbone.encoder.tokenizer.decode(ids[: backbone.encoder.limit])
    np.testing.assert_allclose(backbone.embed([long]), backbone.embed([kept]), atol=1e-5)
    assert np.isfinite(backbone.embed([""])).all()
    assert backbone.embed([]).shape == (0, 32)


def test_first_loss_is_that_of_transformers_with_masked_labels(backbone: Backbone, plain_model: Any) -> None:
    tokenizer = backbone.encoder.tokenizer
    pairs = [prompt_and_response(example, tokenizer) for example in EXAMPLES]
    longest = max(len(prompt) + len(response) for prompt, response in pairs)
    ids = torch.zeros(len(pairs), longest, dtype=torch.long)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
    for row, (prompt, response) in enumerate(pairs):
        ids[row, : len(prompt) + len(response)] = torch.tensor(prompt + response)
        mask[row, : len(prompt) + len(response)] = 1
        labels[row, len(prompt) : len(prompt) + len(response)] = torch.tensor(response)
    with torch.no_grad():
        expected = plain_model(input_ids=ids, attention_mask=mask, labels=labels).loss.item()
    encoded = backbone.encoder.examples(EXAMPLES)
    seen: list[float] = []
    trained = backbone.train(backbone.initial_adapter(0), encoded, [[0, 1, 2], [2, 0]], ADAMW, 0, seen.append)
    assert seen[0] == pytest.approx(expected, abs=1e-5)
    assert trained.loss == pytest.approx(sum(seen) / 2)
    lengths = [len(prompt) + len(response) for prompt, response in pairs]
    assert trained.tokens == sum(lengths) + lengths[2] + lengths[0]


def test_only_response_tokens_and_eos_count(backbone: Backbone, plain_model: Any) -> None:
    scores = backbone.score(None, backbone.encoder.examples(EXAMPLES))
    for (loss, tokens), example in zip(scores, EXAMPLES, strict=True):
        by_hand = hand_losses(plain_model, example, backbone.encoder.tokenizer)
        assert tokens == len(by_hand) == len(backbone.encoder.tokenizer(example.response)["input_ids"]) + 1
        assert loss == pytest.approx(sum(by_hand), rel=1e-5)


def test_score_uses_the_adapter(backbone: Backbone, strong: Adapter) -> None:
    encoded = backbone.encoder.examples(EXAMPLES)
    scores = backbone.score(strong, encoded)
    alone = np.concatenate([backbone.score(strong, [one]) for one in encoded])
    np.testing.assert_allclose(scores, alone, rtol=1e-5)
    assert (abs(scores[:, 0] - backbone.score(None, encoded)[:, 0]) > 0.1).all()


def test_training_lowers_the_loss_and_moves_both_factors(backbone: Backbone, same: Same) -> None:
    encoded = backbone.encoder.examples(EXAMPLES)
    start = backbone.initial_adapter(0)
    trained = backbone.train(start, encoded, [[0, 1, 2]] * 20, ADAMW, 0).adapter
    assert backbone.score(trained, encoded)[:, 0].sum() < 0.9 * backbone.score(start, encoded)[:, 0].sum()
    assert all(not torch.equal(trained[key], start[key]) for key in start)


def gradients_of_the_first_step(
    backbone: Backbone, start: Adapter, pull: Proximal | None, monkeypatch: pytest.MonkeyPatch
) -> dict[str, torch.Tensor]:
    """What the optimizer would be given, before it is clipped."""
    found: list[list[torch.Tensor]] = []
    with monkeypatch.context() as patch:
        patch.setattr(torch.nn.utils, "clip_grad_norm_", lambda ps, _: found.append([p.grad.clone() for p in ps]))
        encoded = backbone.encoder.examples(EXAMPLES)
        backbone.train(start, encoded, [[0, 1, 2]], ADAMW, dropout_seed=3, pull=pull)
    return dict(zip(backbone._slot, found[0], strict=True))


@pytest.mark.parametrize("strength", [0.5, 4.0])
def test_a_proximal_term_adds_strength_times_the_distance_to_the_gradient(
    backbone: Backbone, strong: Adapter, monkeypatch: pytest.MonkeyPatch, strength: float
) -> None:
    anchor = backbone.initial_adapter(2)
    plain = gradients_of_the_first_step(backbone, strong, None, monkeypatch)
    pulled = gradients_of_the_first_step(backbone, strong, Proximal(anchor, strength), monkeypatch)
    assert len(plain) == len(anchor)
    for key, gradient in plain.items():
        torch.testing.assert_close(pulled[key] - gradient, strength * (strong[key] - anchor[key]), rtol=1e-3, atol=1e-4)
        assert gradient.abs().max() > 0


def test_a_proximal_term_is_nothing_at_its_anchor(
    backbone: Backbone, strong: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = gradients_of_the_first_step(backbone, strong, None, monkeypatch)
    at_anchor = gradients_of_the_first_step(backbone, strong, Proximal(strong, 100.0), monkeypatch)
    assert all(torch.equal(plain[key], at_anchor[key]) for key in plain)


def test_the_reported_loss_is_without_the_proximal_term(backbone: Backbone, strong: Adapter) -> None:
    encoded, heard = backbone.encoder.examples(EXAMPLES), []
    far = Proximal(backbone.initial_adapter(2), 50.0)
    pulled = backbone.train(strong, encoded, [[0, 1, 2]], ADAMW, 3, heard.append, far)
    plain = backbone.train(strong, encoded, [[0, 1, 2]], ADAMW, 3)
    assert pulled.loss == heard[0] == plain.loss
    assert any(not torch.equal(pulled.adapter[key], plain.adapter[key]) for key in strong)


def test_a_proximal_term_of_strength_0_changes_no_bit(backbone: Backbone, strong: Adapter, same: Same) -> None:
    encoded = backbone.encoder.examples(EXAMPLES)
    pull = Proximal(backbone.initial_adapter(2), 0.0)
    one, two = (backbone.train(strong, encoded, [[0, 1], [2, 0]], ADAMW, 3, pull=p).adapter for p in (pull, None))
    assert same(one, two)


def test_training_changes_neither_start_nor_backbone(micro_config: ConfigMaker, same: Same, micro_model: Path) -> None:
    backbone = Backbone(micro_config())
    frozen = {name: p for name, p in backbone._peft.named_parameters() if "lora_" not in name}
    frozen |= dict(backbone._peft.named_buffers())
    before = {name: parameter.clone() for name, parameter in frozen.items()}
    start = backbone.initial_adapter(3)
    copy = {key: value.clone() for key, value in start.items()}
    backbone.train(start, backbone.encoder.examples(EXAMPLES), [[0, 1]] * 3, ADAMW, 0)
    assert same(start, copy)
    assert frozen
    assert all(torch.equal(before[name], parameter) for name, parameter in frozen.items())
    assert all(parameter.grad is None for parameter in frozen.values())


def test_trained_adapters_do_not_share_memory_with_the_slot(backbone: Backbone, same: Same) -> None:
    encoded, start = backbone.encoder.examples(EXAMPLES), backbone.initial_adapter(0)
    first = backbone.train(start, encoded, [[0]], ADAMW, 0).adapter
    copy = {key: value.clone() for key, value in first.items()}
    backbone.train(start, encoded, [[1]] * 2, ADAMW, 0)
    assert same(first, copy)


def test_dropout_follows_its_seed_and_nothing_else(micro_config: ConfigMaker, same: Same) -> None:
    backbone = Backbone(micro_config(lora_dropout=0.3))
    encoded, start = backbone.encoder.examples(EXAMPLES), backbone.initial_adapter(0)

    def train(seed: int) -> Adapter:
        return backbone.train(start, encoded, [[0, 1, 2]] * 3, ADAMW, seed).adapter

    first = train(1)
    torch.rand(5)  # what others draw does not matter
    assert same(train(1), first)
    assert not same(train(2), first)


def test_without_dropout_its_seed_does_not_matter(micro_config: ConfigMaker, same: Same) -> None:
    backbone = Backbone(micro_config(lora_dropout=0.0))
    encoded, start = backbone.encoder.examples(EXAMPLES), backbone.initial_adapter(0)
    one, two = (backbone.train(start, encoded, [[0, 1, 2]] * 3, ADAMW, seed).adapter for seed in (1, 2))
    assert same(one, two)


def test_dropout_is_off_after_training(micro_config: ConfigMaker, strong: Adapter) -> None:
    backbone = Backbone(micro_config(lora_dropout=0.5))
    encoded = backbone.encoder.examples(EXAMPLES)
    before = backbone.score(strong, encoded)
    backbone.train(strong, encoded, [[0]], ADAMW, 0)
    assert np.array_equal(backbone.score(strong, encoded), before)


def test_global_random_state_is_untouched(micro_config: ConfigMaker) -> None:
    before = torch.random.get_rng_state()
    backbone = Backbone(micro_config())
    start = backbone.initial_adapter(5)
    backbone.train(start, backbone.encoder.examples(EXAMPLES), [[0, 1]] * 2, ADAMW, 9)
    backbone.generate(start, TEXTS, 3)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_dropout_seed_is_keyed() -> None:
    keys = [(1, 1, 0, 0), (2, 1, 0, 0), (1, 2, 0, 0), (1, 1, 1, 0), (1, 1, 0, 1)]
    assert len({dropout_seed(*key) for key in keys}) == len(keys)
    assert dropout_seed(1, 2, 3, 4) == dropout_seed(1, 2, 3, 4)


def test_initial_adapter(backbone: Backbone, plain_model: Any, same: Same) -> None:
    adapter = backbone.initial_adapter(1)
    assert all((value == 0).all() for key, value in adapter.items() if "lora_B" in key)
    assert all((value != 0).any() for key, value in adapter.items() if "lora_A" in key)
    assert same(adapter, backbone.initial_adapter(1))
    assert not same(adapter, backbone.initial_adapter(2))
    # Kaiming uniform with a = sqrt 5 is uniform within 1 / sqrt(fan in).
    first = torch.cat([value.flatten() for key, value in adapter.items() if "lora_A" in key])
    assert 0.9 / 32**0.5 < first.abs().max() <= 1 / 32**0.5


def test_adapter_keys_and_shapes_are_those_that_peft_saves(backbone: Backbone, micro_model: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(micro_model)
    lora = LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["c_attn"], fan_in_fan_out=True)
    saved = get_peft_model_state_dict(get_peft_model(model, lora))
    adapter = backbone.initial_adapter(0)
    assert {key: value.shape for key, value in adapter.items()} == {key: value.shape for key, value in saved.items()}
    assert all(value.dtype == torch.float32 for value in adapter.values())


def test_batched_answers_equal_single_ones(backbone: Backbone, strong: Adapter) -> None:
    together = backbone.generate(strong, TEXTS, 8).answers
    assert together == [backbone.generate(strong, [text], 8).answers[0] for text in TEXTS]
    assert len(set(together)) > 1
    assert together != backbone.generate(None, TEXTS, 8).answers


def test_no_adapter_is_the_bare_model(backbone: Backbone, plain_model: Any, strong: Adapter) -> None:
    backbone.generate(strong, TEXTS[:1], 1)  # leaves a strong adapter in the slot
    tokenizer = backbone.encoder.tokenizer
    for text, answer in zip(TEXTS, backbone.generate(None, TEXTS, 6).answers, strict=True):
        ids = torch.tensor([tokenizer(text + "\n")["input_ids"]])
        output = plain_model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False, pad_token_id=0
        )
        assert answer == tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True).strip()


def test_adapter_with_zero_b_is_the_bare_model(backbone: Backbone) -> None:
    bare, zero = backbone.generate(None, TEXTS, 8), backbone.generate(backbone.initial_adapter(4), TEXTS, 8)
    assert bare.answers == zero.answers
    encoded = backbone.encoder.examples(EXAMPLES)
    assert np.array_equal(backbone.score(None, encoded), backbone.score(backbone.initial_adapter(4), encoded))


def test_answers_are_no_longer_than_asked_and_long_prompts_are_cut(
    backbone: Backbone, strong: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths: list[tuple[int, int]] = []
    generate = backbone._model.generate

    def spy(input_ids: Any, **settings: Any) -> Any:
        output = generate(input_ids=input_ids, **settings)
        lengths.append((input_ids.shape[1], output.sequences.shape[1]))
        return output

    monkeypatch.setattr(backbone._model, "generate", spy)
    long = "a b c d e f g h i j " * 50
    assert backbone.generate(strong, [TEXTS[0], long], 3).cut == {long}
    (prompt, whole), *_ = lengths  # the longest comes first
    assert prompt == backbone.encoder.limit - 3
    assert whole <= backbone.encoder.limit


def test_answers_end_at_eos(backbone: Backbone) -> None:
    encoded = backbone.encoder.examples(EXAMPLES[:1])
    settings = OptimizerSettings(lr=0.1, weight_decay=0.0, clip=1.0)
    learnt = backbone.train(backbone.initial_adapter(0), encoded, [[0]] * 60, settings, 0).adapter
    assert backbone.generate(learnt, ["11 + 22 = ?"], 20).answers == ["33"]


def test_notices_of_transformers_do_not_come_through_and_are_afterwards_as_before(backbone: Backbone) -> None:
    seen: list[int] = []
    hook = backbone._body.register_forward_pre_hook(lambda *given: seen.append(logging.get_verbosity()))
    encoded = backbone.encoder.examples(EXAMPLES)
    start = backbone.initial_adapter(0)
    before = logging.get_verbosity()
    logging.set_verbosity_warning()
    try:
        for act in (
            lambda: backbone.embed(["a text that nobody else embeds"]),
            lambda: backbone.train(start, encoded, [[0, 1]], ADAMW, 0),
            lambda: backbone.generate(start, TEXTS, 4),
            lambda: backbone.score(start, encoded),
        ):
            seen.clear()
            act()
            assert set(seen) == {logging.ERROR}
            assert logging.get_verbosity() == logging.WARNING
    finally:
        logging.set_verbosity(before)
        hook.remove()
