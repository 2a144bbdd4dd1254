"""What rows share is run once, and changes neither outputs nor gradients."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from fedrouter_sim.backbone.forward import common_prefix, given_tokens, if_padded, pad, run_prefix, run_rows

CPU = torch.device("cpu")
PREFIX = (5, 9, 200)
RESTS = [(7, 8, 30, 41), (17,), (60, 2)]


@pytest.fixture(scope="module")
def model(micro_model: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(micro_model, dtype=torch.float32).eval()


@pytest.mark.parametrize(
    ("rows", "most", "shared"),
    [
        ([(1, 2, 3), (1, 2, 4), (1, 2)], 9, 2),
        ([(1, 2, 3), (1, 2, 4)], 1, 1),
        ([(1, 2), (1, 2)], 9, 2),
        ([(1, 2), (3, 2)], 9, 0),
        ([(1, 2), ()], 9, 0),
        ([(1, 2, 3)], 9, 0),
    ],
)
def test_the_common_prefix_of_rows(rows: list[tuple[int, ...]], most: int, shared: int) -> None:
    assert common_prefix(rows, most) == shared


@pytest.mark.parametrize(
    ("prompt", "opening", "given"),
    [((1, 2, 3), (1, 2), 2), ((1, 2), (1, 2), 0), ((1, 3, 2), (1, 2), 0), ((2, 1), (), 0), ((1,), (1, 2), 0)],
)
def test_given_is_the_whole_opening_or_nothing(prompt: tuple[int, ...], opening: tuple[int, ...], given: int) -> None:
    assert given_tokens(prompt, opening) == given


def test_padding_stands_right_or_left_and_is_masked() -> None:
    ids, mask = pad([(1, 2, 3), (4,)], 9, CPU)
    assert ids.tolist() == [[1, 2, 3], [4, 9, 9]] and mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    ids, mask = pad([(1, 2, 3), (4,)], 9, CPU, left=True)
    assert ids.tolist() == [[1, 2, 3], [9, 9, 4]] and mask.tolist() == [[1, 1, 1], [0, 0, 1]]


def test_a_mask_is_given_only_where_something_is_padded() -> None:
    padded, whole = torch.tensor([[1, 1], [1, 0]]), torch.ones(2, 2)
    assert if_padded(padded) is padded and if_padded(whole) is None


@pytest.mark.parametrize("rests", [RESTS, [(7, 8), (17, 3)]])  # with padding and without
def test_outputs_and_gradients_are_those_of_whole_rows(model: Any, rests: list[tuple[int, ...]]) -> None:
    weight = model.transformer.h[0].attn.c_attn.weight
    ids, mask = pad(rests, 0, CPU)
    found = run_rows(model, run_prefix(model.base_model, PREFIX, CPU), ids, mask).logits
    whole_ids, whole_mask = pad([(*PREFIX, *rest) for rest in rests], 0, CPU)
    expected = model(input_ids=whole_ids, attention_mask=whole_mask).logits[:, len(PREFIX) :]
    real = mask.bool()
    torch.testing.assert_close(found[real], expected[real], rtol=1e-4, atol=1e-5)
    gradients = [torch.autograd.grad(one[real].logsumexp(-1).sum(), weight)[0] for one in (found, expected)]
    assert gradients[0].abs().max() > 0
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-5)


def test_the_prefix_is_run_once_for_all_rows(model: Any) -> None:
    seen: list[tuple[int, ...]] = []
    handle = model.transformer.wte.register_forward_hook(lambda module, args, output: seen.append(output.shape))
    try:
        ids, mask = pad(RESTS, 0, CPU)
        run_rows(model, run_prefix(model.base_model, PREFIX, CPU), ids, mask)
    finally:
        handle.remove()
    assert [shape[:2] for shape in seen] == [(1, len(PREFIX)), (len(RESTS), 4)]


def test_without_a_prefix_the_rows_are_run_alone(model: Any) -> None:
    ids, mask = pad(RESTS, 0, CPU)
    assert run_prefix(model.base_model, (), CPU) is None
    output = run_rows(model, None, ids, mask)
    assert torch.equal(output.logits, model(input_ids=ids, attention_mask=mask).logits)
    assert output.past_key_values is None


def test_a_cache_of_whole_rows_is_kept_with_a_prefix_and_on_request_without(model: Any) -> None:
    ids, mask = pad(RESTS, 0, CPU)
    for past in (run_prefix(model.base_model, PREFIX, CPU), None):
        begun = 0 if past is None else past.get_seq_length()
        cache = run_rows(model.base_model, past, ids, mask, use_cache=True).past_key_values
        assert cache.get_seq_length() == begun + ids.shape[1]
        assert {layer.keys.shape[0] for layer in cache.layers} == {len(RESTS)}
