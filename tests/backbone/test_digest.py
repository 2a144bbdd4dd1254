"""The digest of a backbone, and the count of its weights: what of a model's folder they see."""

import shutil
from pathlib import Path

import pytest

from fedrouter_sim.backbone.locating import has_digest, model_digest


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder that looks like a model."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (folder / name).write_text(name)
    return folder


OF_FORMAT_1 = ["config.json", "model.safetensors", "tokenizer.json"]
ONLY_OF_FORMAT_2 = (
    "generation_config.json tokenizer_config.json special_tokens_map.json added_tokens.json vocab.json vocab.txt "
    "merges.txt tokenizer.model spiece.model chat_template.jinja chat_template.json additional_chat_templates/rag.jinja"
).split()


@pytest.mark.parametrize("name", [*OF_FORMAT_1, *ONLY_OF_FORMAT_2])
def test_the_digest_changes_with_all_that_decides_outputs(model: Path, name: str) -> None:
    before, of_old_runs = model_digest(model), model_digest(model, format=1)
    (model / name).parent.mkdir(exist_ok=True)
    (model / name).write_text("changed")
    assert model_digest(model) != before
    assert (model_digest(model, format=1) != of_old_runs) == (name in OF_FORMAT_1)


def test_digests_of_older_runs_are_told_apart_and_still_compared(model: Path) -> None:
    old, new = model_digest(model, format=1), model_digest(model)
    assert len(old) == 64 and new.startswith("2:") and len(new) == 66
    assert has_digest(model, old) and has_digest(model, new)
    assert not has_digest(model, "3:" + new[2:]) and not has_digest(model, "")
    (model / "chat_template.jinja").write_text("{{ messages }}")
    assert has_digest(model, old) and not has_digest(model, new)


def test_the_digest_changes_with_which_file_holds_what(model: Path) -> None:
    (model / "b.safetensors").write_text("b")
    before = model_digest(model)
    (model / "b.safetensors").rename(model / "c.safetensors")
    assert model_digest(model) != before


def test_the_digest_does_not_depend_on_place_or_on_readmes(model: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(model, tmp_path / "copy")
    (copy / "README.md").write_text("about")
    assert model_digest(copy) == model_digest(model)
