"""What is loaded from a model folder, and folders that cannot be."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from random_models import save_random
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.activations import GELUTanh, NewGELUActivation
from transformers.utils import logging

from fedrouter_sim.backbone import loading
from fedrouter_sim.backbone.loading import load_model, quiet
from fedrouter_sim.errors import UserError


def truncate_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def change_shapes(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(path.read_text().replace('"n_embd": 32', '"n_embd": 64'))


def drop_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def test_weights_that_lack_what_the_config_names_are_refused_in_one_line(micro_model: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(micro_model, tmp_path / "model"))
    config = json.loads((folder / "config.json").read_text())
    config["n_layer"] += 1
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"--model .*: its weights lack 'transformer\.h\.\d") as caught:
        load_model(folder, str(folder))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", [truncate_weights, change_shapes, drop_tokenizer])
def test_unusable_model_is_refused_in_one_line(
    micro_model: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    folder = Path(shutil.copytree(micro_model, tmp_path / "model"))
    damage(folder)
    with pytest.raises(UserError, match=r"--model .* not loadable") as caught:
        load_model(folder, str(folder))
    assert "\n" not in str(caught.value)


def test_a_tokenizer_with_more_tokens_than_the_model_embeds_is_refused(micro_model: Path, tmp_path: Path) -> None:
    folder = save_random("llama", tmp_path / "model", micro_model)
    whole = AutoTokenizer.from_pretrained(folder)
    # A padding token beyond the embedding is common, and no text holds it.
    whole.add_special_tokens({"pad_token": "[PAD]"})
    whole.save_pretrained(folder)
    load_model(folder, "some")
    whole.add_tokens(["one", "more"])
    whole.save_pretrained(folder)
    with pytest.raises(UserError, match="token ids up to 402 and the model embeds 400"):
        load_model(folder, "some")


def test_what_loading_raises_is_one_line(micro_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: object, **named: object) -> None:
        raise ImportError("FlashAttention2 has been toggled on,\nbut it is not installed")

    monkeypatch.setattr(loading.AutoModelForCausalLM, "from_pretrained", fail)
    with pytest.raises(UserError, match=r"--model some: not loadable \(ImportError: FlashAttention2 .* on,\); it has"):
        load_model(micro_model, "some")


def test_progress_bars_and_notices_are_afterwards_as_they_were() -> None:
    before = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    with quiet():
        assert logging.get_verbosity() == logging.ERROR
    assert not logging.is_progress_bar_enabled()
    logging.enable_progress_bar()
    with quiet():
        assert not logging.is_progress_bar_enabled()
    assert logging.is_progress_bar_enabled()
    if not before:
        logging.disable_progress_bar()


def test_gelu_is_one_function_with_the_same_result(micro_model: Path, tmp_path: Path) -> None:
    save_random("gpt2", tmp_path, micro_model)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    assert type(plain.transformer.h[0].mlp.act) is NewGELUActivation
    _, fused = load_model(tmp_path, "m")
    assert {type(block.mlp.act) for block in fused.transformer.h} == {GELUTanh}
    ids = torch.arange(40).view(2, 20)
    with torch.inference_mode():
        torch.testing.assert_close(fused(ids).logits, plain(ids).logits, rtol=1e-4, atol=1e-5)
