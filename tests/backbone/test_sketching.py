"""Gradient sketches against plain autograd, one row at a time."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft.tuners.lora import LoraLayer
from random_models import save_random

from fedrouter_sim.backbone import sketching
from fedrouter_sim.backbone.encoding import EncodedExample
from fedrouter_sim.backbone.forward import given_tokens, response_losses, run_prefix
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.backbone.sketching import SKETCH, NotByRow, Projection, by_row
from fedrouter_sim.config import RunConfig
from fedrouter_sim.examples.record import Example

ConfigMaker = Callable[..., RunConfig]
EXAMPLES = [
    Example("11 + 22 = ?", "33"),
    Example("reverse: a b c d e", "e d c b a"),
    Example("Do the people of Riga like soup on day 5?", "No"),
    Example("PRICES TODAY, OSLO MARKET: FISH AT 3 CROWNS", "fish for 3"),
    Example("reverse: j i h g f", "f g h i j"),
]


def sketched(backbone: Backbone, examples: Sequence[Example], seed: int = 3) -> np.ndarray:
    return encoded_sketched(backbone, backbone.encoder.examples(examples), seed)


def encoded_sketched(backbone: Backbone, rows: Sequence[EncodedExample], seed: int = 3) -> np.ndarray:
    return backbone.sketch(backbone.initial_adapter(5), rows, Projection(seed))


def by_hand(backbone: Backbone, example: Example, seed: int = 3, given: int = 0) -> np.ndarray:
    """Autograd on one row, scaled, projected by the same places and signs, and of unit length."""
    backbone._load(backbone.initial_adapter(5))
    (row,), device = backbone.encoder.examples([example]), torch.device("cpu")
    factors = {n: m.lora_B["default"].weight for n, m in backbone._peft.named_modules() if isinstance(m, LoraLayer)}
    with torch.no_grad():
        past = run_prefix(backbone._body, row.prompt.ids[:given], device)
    loss = response_losses(backbone._peft, past, [row], given, 0, device)[0].sum()
    gradients = torch.autograd.grad(loss, list(factors.values()), allow_unused=True)
    total, projection = np.zeros(SKETCH), Projection(seed)
    for name, gradient in zip(factors, gradients, strict=True):
        if gradient is not None and gradient.norm() > 0:
            places, signs = projection.of(name, gradient.numel())
            np.add.at(total, places.numpy(), (gradient.flatten() * signs / gradient.norm().sqrt()).numpy())
    return np.asarray(total / np.linalg.norm(total), dtype=np.float32)


@pytest.fixture(scope="module")
def alpaca(micro_config: ConfigMaker) -> Backbone:
    """A backbone whose prompts all begin with the same words."""
    return Backbone(micro_config(template="alpaca", max_tokens=250))


def test_a_sketch_is_the_projected_gradient_of_the_row_alone(backbone: Backbone) -> None:
    found = sketched(backbone, EXAMPLES)
    assert found.shape == (len(EXAMPLES), SKETCH) and found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    for row, example in zip(found, EXAMPLES, strict=True):
        np.testing.assert_allclose(row, by_hand(backbone, example), atol=1e-5)
    assert abs(found @ found.T - np.eye(len(found))).max() < 0.99  # rows differ


def test_what_the_template_begins_with_counts_as_given(alpaca: Backbone) -> None:
    given = len(alpaca._opening)
    assert given > 5
    for row, example in zip(sketched(alpaca, EXAMPLES[:3]), EXAMPLES, strict=False):
        np.testing.assert_allclose(row, by_hand(alpaca, example, given=given), atol=1e-5)
        assert abs(row - by_hand(alpaca, example)).max() > 1e-3


@pytest.mark.parametrize("name", ["backbone", "alpaca"])
def test_a_sketch_does_not_depend_on_the_batch(
    request: pytest.FixtureRequest, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor on a row in it that begins otherwise than the template, as where a tokenizer joins words differently."""
    own: Backbone = request.getfixturevalue(name)
    rows, opening = own.encoder.examples(EXAMPLES), own._opening
    other = dataclasses.replace(rows[1], prompt=dataclasses.replace(rows[1].prompt, ids=rows[1].prompt.ids[1:]))
    rows.append(other)
    begin = [given_tokens(row.prompt.ids, opening) for row in rows]
    assert begin == [len(opening)] * len(EXAMPLES) + [0] and bool(opening) == (name == "alpaca")
    alone = np.concatenate([encoded_sketched(own, [row]) for row in rows])
    np.testing.assert_allclose(encoded_sketched(own, rows), alone, atol=1e-5)
    np.testing.assert_allclose(encoded_sketched(own, rows[::-1])[::-1], alone, atol=1e-5)
    monkeypatch.setattr("fedrouter_sim.backbone.batching.SKETCHED_ROWS", 2)
    np.testing.assert_allclose(encoded_sketched(own, rows), alone, atol=1e-5)


def test_the_same_seed_gives_the_same_bytes_and_another_other_ones(backbone: Backbone) -> None:
    assert sketched(backbone, EXAMPLES).tobytes() == sketched(backbone, EXAMPLES).tobytes()
    assert abs(sketched(backbone, EXAMPLES) - sketched(backbone, EXAMPLES, seed=4)).max() > 0.01


def test_it_leaves_no_trace(backbone: Backbone) -> None:
    start = backbone.initial_adapter(5)
    backbone.sketch(start, backbone.encoder.examples(EXAMPLES), Projection(3))
    for slot in backbone._slot.values():
        slot.grad = None  # of trainings before
    training = [module.training for module in backbone._peft.modules()]  # a slot that another test added is in it
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    sketched(backbone, EXAMPLES)
    assert torch.equal(torch.random.get_rng_state(), before)
    for key, slot in backbone._slot.items():
        assert torch.equal(slot, start[key]) and slot.grad is None
    assert [module.training for module in backbone._peft.modules()] == training
    for module in backbone._peft.modules():
        assert not module._backward_hooks
        assert not isinstance(module, LoraLayer) or not module.lora_B["default"]._forward_hooks


def test_a_row_without_gradient_has_a_sketch_of_zeros(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    start = {key: torch.zeros_like(value) for key, value in backbone.initial_adapter(5).items()}
    found = backbone.sketch(start, backbone.encoder.examples(EXAMPLES[:2]), Projection(3))
    assert not found.any()  # where A is 0, too, nothing changes B


def family(kind: str, folder: Path, tokenizer: Path, config: ConfigMaker, **changes: Any) -> Backbone:
    return Backbone(config(model=str(save_random(kind, folder / kind, tokenizer)), **changes))


@pytest.mark.parametrize(
    ("kind", "targets"),
    [("qwen2_moe", ("gate_proj", "q_proj")), ("mamba", ("in_proj",)), ("opt", ("fc1", "q_proj")), ("rwkv", ("key",))],
)
def test_families_that_mix_rows_or_carry_a_state(
    kind: str,
    targets: tuple[str, ...],
    tmp_path: Path,
    micro_model: Path,
    micro_config: ConfigMaker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refused: list[int] = []

    def watched(arrived: Any, entered: Any, rows: int) -> Any:
        try:
            return by_row(arrived, entered, rows)
        except NotByRow:
            refused.append(rows)
            raise

    monkeypatch.setattr(sketching, "by_row", watched)
    own = family(kind, tmp_path, micro_model, micro_config, lora_targets=targets)
    for row, example in zip(sketched(own, EXAMPLES), EXAMPLES, strict=True):
        np.testing.assert_allclose(row, by_hand(own, example), atol=1e-5)
    assert bool(refused) == (kind in ("qwen2_moe", "opt"))  # both take tokens, whosever they are


def test_rows_are_kept_apart_only_where_they_come_first() -> None:
    arrived, entered = torch.randn(2, 3, 4), torch.randn(2, 3, 5)
    found = by_row(arrived, entered, 2).reshape(2, 4, 5)
    torch.testing.assert_close(found[1], arrived[1].T @ entered[1])
    for mixed in (entered.reshape(6, 5), entered[:1]):
        with pytest.raises(NotByRow):
            by_row(arrived, mixed, 2)
    flat = by_row(arrived.reshape(6, 4), entered.reshape(6, 5), 1).reshape(4, 5)
    torch.testing.assert_close(flat, found.sum(0))


def test_the_projection_keeps_inner_products() -> None:
    """Up to noise of 1 / sqrt(SKETCH) of the lengths."""
    rng = np.random.default_rng(0)
    common = rng.normal(size=5000)
    vectors = np.stack([common + spread * rng.normal(size=5000) for spread in (0.1, 0.5, 1, 3)])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    places, signs = Projection(1).of("a module", 5000)
    projected = np.zeros((4, SKETCH))
    np.add.at(projected.T, places.numpy(), (vectors * signs.numpy()).T)
    np.testing.assert_allclose(projected @ projected.T, vectors @ vectors.T, atol=5 / SKETCH**0.5)
    other, _ = Projection(1).of("another", 5000)
    assert places.min() >= 0 and places.max() < SKETCH and not torch.equal(places, other)
