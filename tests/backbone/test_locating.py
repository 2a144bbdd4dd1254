"""From --model to a folder, without any network, and to a line on what is in it."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError
from safetensors.torch import save_file

from fedrouter_sim.backbone import locating as models
from fedrouter_sim.backbone.caches import MODELS, cache_folder
from fedrouter_sim.backbone.locating import (
    describe_model,
    loadable_name,
    resolve_model,
)
from fedrouter_sim.bundled import FETCHED, bundled
from fedrouter_sim.config import RunConfig
from fedrouter_sim.config.paths import absolute_paths
from fedrouter_sim.errors import UserError

WHAT = "Some model, dequantised from Q4_1"


class Hub:
    """A Hub in place of the real one: `cached` is its folder on this machine, `answer` what asking for a model does."""

    def __init__(self, downloaded: Path) -> None:
        self.cached: Path | None = None
        self.downloaded = downloaded
        self.answer: Exception | None = None
        self.broken: Exception | None = None
        self.downloads: list[dict[str, Any]] = []
        self.timeouts: list[float | None] = []

    def snapshot_download(self, name: str, *, local_files_only: bool = False, **options: Any) -> str:
        huggingface_hub.utils.validate_repo_id(name)
        if local_files_only:
            if self.cached is None:
                raise LocalEntryNotFoundError("not cached")
            return str(self.cached)
        self.downloads.append(options)
        if self.broken:
            raise self.broken
        return str(self.downloaded)

    def model_info(self, name: str, timeout: float | None = None) -> None:
        self.timeouts.append(timeout)
        if self.answer:
            raise self.answer


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder that looks like a model."""
    return looks_like_a_model(tmp_path / "model")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Hub:
    hub = Hub(looks_like_a_model(tmp_path / "downloaded"))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub.snapshot_download)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: hub)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    return hub


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of converted models."""
    monkeypatch.setenv("FEDROUTER_SIM_CACHE", str(tmp_path / "cache"))
    return cache_folder(MODELS)


def looks_like_a_model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in ("model.safetensors", "tokenizer.json"):
        (folder / name).write_text(name)
    (folder / "config.json").write_text('{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}')
    return folder


def refusal(name: str) -> str:
    """The one-line message with which a model is refused."""
    with pytest.raises(UserError) as caught:
        resolve_model(name)
    message = str(caught.value)
    assert message.startswith(("--model", name)) and name in message and "\n" not in message
    return message


def test_the_embedded_backbone_is_found_by_its_name() -> None:
    assert resolve_model("tiny-gpt2") == bundled("tiny-gpt2")


@pytest.mark.parametrize("name", FETCHED)
def test_a_fetched_model_is_found_by_its_name_once_it_is_there(cache: Path, hub: Hub, name: str) -> None:
    assert f"`make {FETCHED[name].target}`" in refusal(name)
    folder = looks_like_a_model(cache / FETCHED[name].sha256)
    assert resolve_model(name) == folder
    assert not hub.timeouts and not hub.downloads


def test_names_stay_names_where_a_folder_is_called_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (*FETCHED, "tiny-gpt2", "mine.gguf"):
        (tmp_path / name).mkdir()
        found = absolute_paths(RunConfig(model=name)).model
        assert found == (str(tmp_path / name) if name == "mine.gguf" else name)


def test_a_local_folder_is_itself_and_the_hub_is_not_asked(model: Path, hub: Hub) -> None:
    assert resolve_model(str(model)) == model
    assert not hub.timeouts and not hub.downloads


def test_a_gguf_file_is_what_it_was_converted_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "some.bin"
    file.write_bytes(b"GGUF....")

    def convert(given: Path, name: str, tell: Any) -> Path:
        tell(f"converting {given.name}")
        return tmp_path / name

    monkeypatch.setattr(models, "converted", convert)
    monkeypatch.chdir(tmp_path)
    assert resolve_model("some.bin") == tmp_path / "some.bin"
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "note: converting some.bin\n")


def test_a_gguf_files_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "some.gguf").write_bytes(b"GGUF")
    monkeypatch.chdir(tmp_path)
    assert absolute_paths(RunConfig(model="some.gguf")).model == str(tmp_path / "some.gguf")


def test_other_files_and_gguf_files_that_are_not_there_are_refused(tmp_path: Path, hub: Hub) -> None:
    file = tmp_path / "weights.safetensors"
    file.write_bytes(b"weights")
    assert "is a file but no GGUF file" in refusal(str(file))
    assert "there is no such file" in refusal(str(tmp_path / "none.gguf"))
    assert "there is no such file" in refusal("none.gguf")
    assert not hub.timeouts


def test_a_folder_without_configuration_is_refused(model: Path) -> None:
    (model / "config.json").unlink()
    assert "no config.json" in refusal(str(model))


@pytest.mark.parametrize(("text", "words"), [("{", "not readable"), ("[]", "not a JSON object")])
def test_a_folder_with_a_damaged_configuration_is_refused(model: Path, text: str, words: str) -> None:
    (model / "config.json").write_text(text)
    assert words in refusal(str(model))


def test_a_model_of_text_and_images_is_refused(model: Path) -> None:
    config = {"model_type": "gemma3", "text_config": {"model_type": "gemma3_text"}, "vision_config": {}}
    (model / "config.json").write_text(json.dumps(config))
    assert "'gemma3' takes more than text; give the text model alone" in refusal(str(model))
    (model / "config.json").write_text('{"model_type": "llama", "vision_config": null}')
    assert resolve_model(str(model)) == model


@pytest.mark.parametrize(
    ("key", "value", "refused"),
    [("num_hidden_layers", 4, True), ("num_hidden_layers", 3, False), ("n_layer", 10**6, True),
     ("num_experts", 16384, False), ("num_experts", 10**6, True), ("vocab_size", 10**6, False)],
)  # fmt: skip
def test_sizes_that_cannot_be_the_weights_are_refused(model: Path, key: str, value: int, refused: bool) -> None:
    save_file({str(place): torch.zeros(1) for place in range(3)}, model / "model.safetensors")
    (model / "config.json").write_text(json.dumps({"model_type": "llama", key: value}))
    if refused:
        assert f"its config.json says {key} = {value}, and its weights are 3 tensors" in refusal(str(model))
    else:
        assert resolve_model(str(model)) == model


@pytest.mark.parametrize("pickled", ["pytorch_model.bin", "model.pt"])
def test_a_folder_with_pickled_weights_only_is_refused(model: Path, pickled: str) -> None:
    (model / "model.safetensors").rename(model / pickled)
    assert "no .safetensors weights; pickled weights are not loaded" in refusal(str(model))


def test_a_cached_model_needs_no_network(model: Path, hub: Hub) -> None:
    hub.cached = model
    assert resolve_model("org/name") == model
    assert not hub.timeouts and not hub.downloads


@pytest.mark.parametrize("lacking", ["the weights", "a shard"])
def test_a_download_that_was_broken_off_is_taken_up_again(model: Path, hub: Hub, lacking: str) -> None:
    if lacking == "the weights":
        (model / "model.safetensors").unlink()
    else:
        shards = {"a.weight": "model.safetensors", "b.weight": "model-2.safetensors"}
        (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    hub.cached = model
    assert resolve_model("org/name") == hub.downloaded


def test_a_download_takes_no_code_and_no_pickles_and_is_told(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    assert resolve_model("org/name") == hub.downloaded
    (options,) = hub.downloads
    assert options["allow_patterns"]
    assert not any(pattern.endswith((".py", ".bin", ".pt", "*")) for pattern in options["allow_patterns"])
    assert capsys.readouterr().err == "note: downloading org/name from the Hub\n"


def test_a_download_without_weights_of_use_is_refused(hub: Hub) -> None:
    (hub.downloaded / "model.safetensors").unlink()
    assert "no .safetensors weights" in refusal("org/name")


def test_a_gated_model_is_refused_with_what_to_do(hub: Hub) -> None:
    hub.broken = GatedRepoError.__new__(GatedRepoError)  # its arguments differ by release
    assert "accept its terms on the Hub and log in" in refusal("org/name")


def test_a_download_that_breaks_off_is_a_user_error(hub: Hub) -> None:
    hub.broken = ConnectionError("reset\nby peer")
    assert "its download broke off (ConnectionError)" in refusal("org/name")


def test_a_hub_out_of_reach_is_a_user_error_after_one_short_question(hub: Hub) -> None:
    hub.answer = ConnectionError("no network\nat all")
    message = refusal("org/name")
    assert "out of reach (ConnectionError); download it first, or give 'tiny-gpt2'" in message
    assert not hub.downloads
    (timeout,) = hub.timeouts
    assert timeout is not None and timeout <= 2


def test_offline_the_hub_is_not_asked(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE" in refusal("org/name")
    assert not hub.timeouts and not hub.downloads


def test_a_model_that_the_hub_lacks_is_refused(hub: Hub) -> None:
    hub.answer = RepositoryNotFoundError.__new__(RepositoryNotFoundError)
    assert "the Hub has no such model" in refusal("org/name")


@pytest.mark.parametrize("name", ["/no/such/folder", "a b", "../x/y", "a/b/c"])
def test_what_can_be_no_hub_id_is_refused_without_asking(hub: Hub, name: str) -> None:
    assert "no Hub id; give 'tiny-gpt2'" in refusal(name)
    assert not hub.timeouts


@pytest.mark.parametrize("offline", ["1", "0"])
def test_an_unknown_model_without_network_is_one_line_at_once_before_heavy_imports(
    tmp_path: Path, offline: str
) -> None:
    program = (
        "import sys; sys.argv[0] = 'fedrouter-sim'\n"
        "from fedrouter_sim.cli import main\n"
        "try: main()\n"
        "finally: print([m for m in ('torch', 'transformers', 'peft', 'datasets', 'faiss') if m in sys.modules])"
    )
    words = [sys.executable, "-c", program, "train", "--model", "no-org/no-such-model", "--out", str(tmp_path / "run")]
    # A port that refuses all calls stands for a machine without network.
    surroundings = {"HF_HUB_OFFLINE": offline, "HF_HOME": str(tmp_path), "HF_ENDPOINT": "http://127.0.0.1:9"}
    started = time.perf_counter()
    done = subprocess.run(words, env=os.environ | surroundings, capture_output=True, text=True, timeout=60)
    assert time.perf_counter() - started < 10  # a second where nothing else runs
    assert (done.returncode, done.stdout.strip()) == (2, "[]")
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("error: --model 'no-org/no-such-model' is no folder")
    assert not (tmp_path / "run").exists()


def test_the_embedded_backbone_is_described() -> None:
    assert (
        describe_model("tiny-gpt2", bundled("tiny-gpt2")) == "tiny-gpt2, the embedded GPT-2 of 1.6 million parameters"
    )


def test_a_converted_model_is_described_by_its_own_words(model: Path) -> None:
    (model / "backbone.json").write_text(json.dumps({"description": WHAT}))
    assert describe_model("smollm2-135m", model) == WHAT
    assert describe_model(str(model), model) == WHAT
    for damaged in ("{", "{}", "[]"):
        (model / "backbone.json").write_text(damaged)
        with pytest.raises(UserError, match=r"backbone\.json: (damaged|not readable|not a JSON)"):
            describe_model("smollm2-135m", model)


def test_other_models_are_described_by_name_and_architecture(model: Path) -> None:
    assert describe_model(str(model), model) == "model (LlamaForCausalLM)"
    assert describe_model("org/name", model) == "org/name (LlamaForCausalLM)"
    (model / "config.json").write_text('{"model_type": "llama"}')
    assert describe_model("org/name", model) == "org/name (llama)"


def test_a_backbone_is_named_so_that_others_can_load_it(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert loadable_name("org/name", model) == "org/name"
    assert loadable_name("tiny-gpt2", bundled("tiny-gpt2")) == str(bundled("tiny-gpt2").resolve())
    assert loadable_name("smollm2-135m", model) == str(model)
    monkeypatch.chdir(model.parent)
    assert loadable_name("model", Path("model")) == str(model)


@pytest.mark.parametrize(
    ("quantization", "said"),
    [
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "(bitsandbytes); give .* or install bitsandbytes$"),
        ({"quant_method": "gptq", "bits": 4}, "(gptq); give .* or install gptqmodel$"),
        ({"quant_method": "awq"}, "(awq); give .* or install gptqmodel$"),
        ({"quant_method": "compressed-tensors"}, "(compressed-tensors); give .* or install compressed_tensors$"),
        ({"quant_method": "new"}, "(new); give the one in full precision$"),
        ({}, "(of an unknown kind); give the one in full precision$"),
    ],
)
def test_a_quantised_checkpoint_without_its_reader_is_refused(
    model: Path, monkeypatch: pytest.MonkeyPatch, quantization: dict[str, Any], said: str
) -> None:
    (model / "config.json").write_text(json.dumps({"model_type": "llama", "quantization_config": quantization}))
    monkeypatch.setattr(models, "find_spec", lambda name: None)
    assert re.search(f"the checkpoint is quantised {said}".replace("(", r"\(").replace(")", r"\)"), refusal(str(model)))
