"""From --model to a folder, without any network, and to what is loaded from it."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError

from fedrouter_sim.bundled import bundled
from fedrouter_sim.errors import UserError
from fedrouter_sim.models import load_model, model_digest, resolve_model


class Hub:
    """A Hub in place of the real one: `cached` is its folder on this machine, `answer` what asking for a model does."""

    def __init__(self) -> None:
        self.cached: Path | None = None
        self.answer: Exception | None = None
        self.downloads: list[dict[str, Any]] = []
        self.timeouts: list[float | None] = []

    def snapshot_download(self, name: str, *, local_files_only: bool = False, **options: Any) -> str:
        huggingface_hub.utils.validate_repo_id(name)
        if local_files_only:
            if self.cached is None:
                raise LocalEntryNotFoundError("not cached")
            return str(self.cached)
        self.downloads.append(options)
        return "/downloaded"

    def model_info(self, name: str, timeout: float | None = None) -> None:
        self.timeouts.append(timeout)
        if self.answer:
            raise self.answer


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    hub = Hub()
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub.snapshot_download)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: hub)
    return hub


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder that looks like a model."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (folder / name).write_text(name)
    return folder


def refusal(name: str) -> str:
    """The one-line message with which a model is refused."""
    with pytest.raises(UserError) as caught:
        resolve_model(name)
    message = str(caught.value)
    assert message.startswith("--model") and name in message and "\n" not in message
    return message


def test_the_embedded_backbone_is_found_by_its_name() -> None:
    assert resolve_model("tiny-gpt2") == bundled("tiny-gpt2")


def test_a_local_folder_is_itself_and_the_hub_is_not_asked(model: Path, hub: Hub) -> None:
    assert resolve_model(str(model)) == model
    assert not hub.timeouts and not hub.downloads


def test_a_folder_without_configuration_is_refused(model: Path) -> None:
    (model / "config.json").unlink()
    assert "no config.json" in refusal(str(model))


@pytest.mark.parametrize("pickled", ["pytorch_model.bin", "model.pt"])
def test_a_folder_with_pickled_weights_only_is_refused(model: Path, pickled: str) -> None:
    (model / "model.safetensors").rename(model / pickled)
    assert "no .safetensors weights; pickled weights are not loaded" in refusal(str(model))


def test_a_cached_model_needs_no_network(model: Path, hub: Hub) -> None:
    hub.cached = model
    assert resolve_model("org/name") == model
    assert not hub.timeouts and not hub.downloads


def test_a_download_that_was_broken_off_is_taken_up_again(model: Path, hub: Hub) -> None:
    (model / "model.safetensors").unlink()
    hub.cached = model
    assert resolve_model("org/name") == Path("/downloaded")


def test_a_download_takes_no_code_and_no_pickles(hub: Hub) -> None:
    assert resolve_model("org/name") == Path("/downloaded")
    (options,) = hub.downloads
    assert options["allow_patterns"]
    assert not any(pattern.endswith((".py", ".bin", ".pt", "*")) for pattern in options["allow_patterns"])


def test_a_hub_out_of_reach_is_a_user_error_after_one_short_question(hub: Hub) -> None:
    hub.answer = ConnectionError("no network\nat all")
    message = refusal("org/name")
    assert "out of reach (ConnectionError)" in message and "give a folder" in message
    assert not hub.downloads
    (timeout,) = hub.timeouts
    assert timeout is not None and timeout <= 10


def test_a_model_that_the_hub_lacks_is_refused(hub: Hub) -> None:
    hub.answer = RepositoryNotFoundError.__new__(RepositoryNotFoundError)  # its arguments differ by release
    assert "the Hub has no such model" in refusal("org/name")


@pytest.mark.parametrize("name", ["/no/such/folder", "a b", "../x/y", "a/b/c"])
def test_what_can_be_no_hub_id_is_refused_without_asking(hub: Hub, name: str) -> None:
    assert "no Hub id; give 'tiny-gpt2'" in refusal(name)
    assert not hub.timeouts


def test_an_unknown_model_without_network_is_refused_within_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    started = time.perf_counter()
    refusal("fedrouter-sim-tests/no-such-model")
    assert time.perf_counter() - started < 10


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_the_digest_changes_with_weights_configuration_and_tokenizer(model: Path, name: str) -> None:
    before = model_digest(model)
    (model / name).write_text("changed")
    assert model_digest(model) != before


def test_the_digest_changes_with_which_file_holds_what(model: Path) -> None:
    (model / "b.safetensors").write_text("b")
    before = model_digest(model)
    (model / "b.safetensors").rename(model / "c.safetensors")
    assert model_digest(model) != before


def test_the_digest_does_not_depend_on_place_or_on_readmes(model: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(model, tmp_path / "copy")
    (copy / "README.md").write_text("about")
    assert model_digest(copy) == model_digest(model)


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
