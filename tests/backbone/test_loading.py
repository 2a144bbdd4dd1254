"""What is loaded from a model folder, and folders that cannot be."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from transformers.utils import logging

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
