"""PEFT folders in and out, and the scale that they say."""

from pathlib import Path

import pytest
import torch
from some_adapters import A, random_adapter, same

from fedrouter_sim.adapters.folders import (
    CONFIG_NAME,
    WEIGHTS_NAME,
    LoraScale,
    load_adapter,
    load_lora_scale,
    load_peft_config,
    save_adapter,
)
from fedrouter_sim.errors import UserError

CONFIG = {"peft_type": "LORA", "r": 3, "target_modules": ["c_attn"]}


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
        ({"r": 0}, "r must be at least 1"),
        ({"lora_alpha": "much"}, "lora_alpha must be a number, not a text"),
    ],
)
def test_the_scale_of_what_is_no_plain_lora_is_refused(tmp_path: Path, change: dict[str, object], words: str) -> None:
    plain = {"peft_type": "LORA", "r": 4, "lora_alpha": 8}
    save_adapter(tmp_path, random_adapter(0), plain | change)
    with pytest.raises(UserError, match=rf"adapter_config\.json: no plain LoRA adapter .*{words}") as caught:
        load_lora_scale(tmp_path)
    assert "\n" not in str(caught.value)
    save_adapter(tmp_path, random_adapter(0), {key: plain[key] for key in ("peft_type", "r")})
    with pytest.raises(UserError, match="it lacks lora_alpha"):
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
        with pytest.raises(UserError, match=r"damaged .*; give a folder that train or aggregate wrote") as caught:
            load_adapter(tmp_path / name)
        assert str(tmp_path / name / WEIGHTS_NAME) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, "{", b"\xff\xfe"])
def test_an_unreadable_configuration_is_a_user_error_with_its_path(tmp_path: Path, content: str | bytes | None) -> None:
    if content is not None:
        (tmp_path / CONFIG_NAME).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=r"adapter_config\.json: not readable"):
        load_peft_config(tmp_path)
