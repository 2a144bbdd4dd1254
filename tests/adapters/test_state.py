"""Adapters: the weighted mean, the checks, and the PEFT folder."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from fedrouter_sim.adapters.state import (
    CONFIG_NAME,
    WEIGHTS_NAME,
    Adapter,
    LoraScale,
    WeightedMean,
    adapter_bytes,
    adapter_digest,
    check_compatible,
    check_finite,
    load_adapter,
    load_lora_scale,
    load_peft_config,
    save_adapter,
)
from fedrouter_sim.errors import UserError

A, B = "model.h.0.attn.lora_A.weight", "model.h.0.attn.lora_B.weight"
CONFIG = {"peft_type": "LORA", "r": 3, "target_modules": ["c_attn"]}


def random_adapter(seed: int) -> Adapter:
    generator = torch.Generator().manual_seed(seed)
    return {A: torch.randn(3, 8, generator=generator), B: torch.randn(6, 3, generator=generator)}


def constant_adapter(value: float) -> Adapter:
    return {A: torch.full((3, 8), value), B: torch.full((6, 3), value)}


def mean_of(adapters: Sequence[Adapter], weights: Sequence[float]) -> Adapter:
    mean = WeightedMean()
    for adapter, weight in zip(adapters, weights, strict=True):
        mean.add(adapter, weight)
    return mean.result()


def same(one: Adapter, other: Adapter) -> bool:
    return list(one) == list(other) and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("weights", [(1,), (1, 1, 1), (600, 7, 13), (1, 10_000, 3, 977)])
def test_the_mean_of_equal_adapters_is_that_adapter_to_the_bit(weights: tuple[int, ...]) -> None:
    adapter = random_adapter(0)
    assert same(mean_of([adapter] * len(weights), weights), adapter)


@pytest.mark.parametrize("weights", [(1, 2), (0.1, 0.2), (1e-9, 1e9), (3.3, 3.3, 3.3, 0.1)])
@pytest.mark.parametrize("value", [1.0, -0.1, 1e-20])
def test_the_weights_sum_to_one(weights: tuple[float, ...], value: float) -> None:
    mean = mean_of([constant_adapter(value)] * len(weights), weights)
    for factor in mean.values():
        torch.testing.assert_close(factor, torch.full_like(factor, value), rtol=2e-7, atol=0)


def test_the_mean_weights_by_example_counts() -> None:
    mean = mean_of([constant_adapter(0.0), constant_adapter(4.0)], [30, 10])
    assert same(mean, constant_adapter(1.0))


def test_the_mean_agrees_with_the_formula_in_float64() -> None:
    adapters, weights = [random_adapter(seed) for seed in range(7)], [1, 20, 300, 4, 5, 66, 7]
    mean = mean_of(adapters, weights)
    for key in (A, B):
        stacked = torch.stack([adapter[key].double() for adapter in adapters])
        expected = (stacked * torch.tensor(weights, dtype=torch.float64)[:, None, None]).sum(0) / sum(weights)
        torch.testing.assert_close(mean[key], expected.float(), rtol=1e-6, atol=1e-7)


def test_scaling_all_weights_changes_nothing() -> None:
    adapters = [random_adapter(1), random_adapter(2), random_adapter(3)]
    assert same(mean_of(adapters, [1, 2, 5]), mean_of(adapters, [64, 128, 320]))


def test_the_same_order_gives_the_same_bits() -> None:
    adapters, weights = [random_adapter(seed) for seed in range(20)], [seed + 0.1 for seed in range(20)]
    assert same(mean_of(adapters, weights), mean_of(adapters, weights))


def test_adding_leaves_the_added_adapters_alone() -> None:
    adapters = [random_adapter(1), random_adapter(2)]
    mean_of(adapters, [2, 3])
    assert same(adapters[0], random_adapter(1)) and same(adapters[1], random_adapter(2))


def test_the_mean_keeps_type_and_total() -> None:
    mean = WeightedMean()
    mean.add(random_adapter(0), 5)
    mean.add(random_adapter(1), 7)
    assert mean.total == 12
    assert all(factor.dtype == torch.float32 for factor in mean.result().values())


def test_the_mean_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no adapters"):
        WeightedMean().result()


@pytest.mark.parametrize("weight", [0, -1, float("nan")])
def test_a_weight_that_is_not_positive_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="not positive"):
        WeightedMean().add(random_adapter(0), weight)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_value_that_is_not_finite_is_refused_by_its_key_and_leaves_the_mean_as_it_was(value: float) -> None:
    mean = WeightedMean()
    mean.add(random_adapter(0), 1)
    broken = dict(random_adapter(1))
    broken[B][2, 1] = value
    with pytest.raises(ValueError, match="lora_B"):
        mean.add(broken, 1)
    assert mean.total == 1 and same(mean.result(), random_adapter(0))


def test_other_keys_are_refused_by_name() -> None:
    mean = WeightedMean()
    mean.add(random_adapter(0), 1)
    with pytest.raises(ValueError, match=r"lora_B"):
        mean.add({A: random_adapter(0)[A]}, 1)
    with pytest.raises(ValueError, match="extra"):
        check_compatible(random_adapter(0), {**random_adapter(0), "extra": torch.zeros(1)})
    assert same(mean.result(), random_adapter(0))


def test_other_shapes_are_refused_even_where_they_would_broadcast() -> None:
    mean = WeightedMean()
    mean.add(random_adapter(0), 1)
    with pytest.raises(ValueError, match=r"\(6, 3\) against \(1, 3\)"):
        mean.add({**random_adapter(0), B: torch.zeros(1, 3)}, 1)
    assert same(mean.result(), random_adapter(0))


def test_compatible_and_finite_adapters_pass() -> None:
    check_compatible(random_adapter(0), random_adapter(1))
    check_finite(random_adapter(0))


def test_bytes_are_four_per_weight() -> None:
    assert adapter_bytes(random_adapter(0)) == 4 * (3 * 8 + 6 * 3)


def test_the_digest_is_of_keys_shapes_and_values_alone() -> None:
    adapter = random_adapter(0)
    digest = adapter_digest(adapter)
    assert digest == adapter_digest(dict(reversed(adapter.items())))
    assert digest == adapter_digest({key: value.double() for key, value in adapter.items()})
    assert digest == adapter_digest({A: adapter[A].T.contiguous().T, B: adapter[B]})
    changed = adapter[B].clone()
    changed[0, 0] += 1e-6
    others = [
        {A: adapter[A], B: changed},
        {A: adapter[A].reshape(8, 3), B: adapter[B]},
        {A: adapter[A], B + "x": adapter[B]},
        {A: adapter[A]},
    ]
    assert len({digest, *map(adapter_digest, others)}) == 5


@pytest.mark.parametrize(("extra", "factor"), [({}, 2.0), ({"use_rslora": True}, 4.0)])
def test_the_scale_of_an_adapter(tmp_path: Path, extra: dict[str, bool], factor: float) -> None:
    save_adapter(tmp_path, random_adapter(0), {"peft_type": "LORA", "r": 4, "lora_alpha": 8, **extra})
    assert load_lora_scale(tmp_path) == LoraScale(4, factor)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"peft_type": "IA3"}, "peft_type is 'IA3'"),
        ({"use_dora": True}, "use_dora is set"),
        ({"rank_pattern": {"c_attn": 2}}, "rank_pattern is set"),
        ({"modules_to_save": ["wte"]}, "modules_to_save is set"),
        ({"r": 0}, "r is 0"),
        ({"lora_alpha": "much"}, "could not convert"),
    ],
)
def test_the_scale_of_what_is_no_plain_lora_is_refused(tmp_path: Path, change: dict[str, object], words: str) -> None:
    plain = {"peft_type": "LORA", "r": 4, "lora_alpha": 8}
    save_adapter(tmp_path, random_adapter(0), plain | change)
    with pytest.raises(UserError, match=rf"adapter_config\.json: no plain LoRA adapter .*{words}") as caught:
        load_lora_scale(tmp_path)
    assert "\n" not in str(caught.value)
    save_adapter(tmp_path, random_adapter(0), {key: plain[key] for key in ("peft_type", "r")})
    with pytest.raises(UserError, match="has no 'lora_alpha'"):
        load_lora_scale(tmp_path)


def test_an_adapter_comes_back_from_its_folder_to_the_bit(tmp_path: Path) -> None:
    save_adapter(tmp_path / "new" / "adapter", random_adapter(3), CONFIG)
    assert same(load_adapter(tmp_path / "new" / "adapter"), random_adapter(3))
    assert load_peft_config(tmp_path / "new" / "adapter") == CONFIG
    names = {path.name for path in (tmp_path / "new" / "adapter").iterdir()}
    assert names == {WEIGHTS_NAME, CONFIG_NAME}


def test_equal_adapters_give_equal_bytes_whatever_their_order(tmp_path: Path) -> None:
    save_adapter(tmp_path / "one", random_adapter(3), CONFIG)
    save_adapter(tmp_path / "two", dict(reversed(random_adapter(3).items())), CONFIG)
    for name in (WEIGHTS_NAME, CONFIG_NAME):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_transposed_view_is_saved_by_value(tmp_path: Path) -> None:
    adapter = {A: torch.arange(6.0).reshape(2, 3).T}
    save_adapter(tmp_path, adapter, CONFIG)
    assert same(load_adapter(tmp_path), adapter)


def test_half_precision_weights_are_loaded_as_float32(tmp_path: Path) -> None:
    save_adapter(tmp_path, {A: torch.tensor([[0.5, -2.0]], dtype=torch.float16)}, CONFIG)
    loaded = load_adapter(tmp_path)[A]
    assert loaded.dtype == torch.float32 and loaded.tolist() == [[0.5, -2.0]]


def test_no_weights_broken_weights_and_nan_weights_are_one_line_user_errors(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / WEIGHTS_NAME).write_bytes(b"not safetensors")
    save_adapter(tmp_path / "nan", {A: torch.tensor([[float("nan")]])}, CONFIG)
    for name in ("missing", "broken", "nan"):
        with pytest.raises(UserError, match="not a usable adapter") as caught:
            load_adapter(tmp_path / name)
        assert str(tmp_path / name / WEIGHTS_NAME) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, "{", b"\xff\xfe"])
def test_an_unreadable_configuration_is_a_user_error_with_its_path(tmp_path: Path, content: str | bytes | None) -> None:
    if content is not None:
        (tmp_path / CONFIG_NAME).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=r"adapter_config\.json: not readable as JSON"):
        load_peft_config(tmp_path)
