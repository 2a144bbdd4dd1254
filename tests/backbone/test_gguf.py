"""GGUF files become folders that give the same tokens and the same logits; what is no such file is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedrouter_sim.backbone import gguf as converting
from fedrouter_sim.backbone.caches import MODELS, cache_folder
from fedrouter_sim.backbone.gguf import converted, file_digest, is_gguf
from fedrouter_sim.backbone.loading import load_model
from fedrouter_sim.errors import UserError

TEXTS = ["Hello there", "10 apples and  12 pears", "a\n\n1. é 日本", "<|end|> done", "  lead and trail  "]
CHAT = "{% for message in messages %}<|start|>{{ message['content'] }}<|end|>{% endfor %}"
SPECIAL = ["<|end|>", "<|start|>"]
Q8_0 = "Q8_0"
GgufWriter = Callable[..., Path]


def silent(text: str) -> None:
    """Hear nothing."""


@pytest.fixture(scope="module")
def llama() -> Any:
    """A random Llama (2 layers, d = 64) of 260 tokens."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(vocabulary()[0]), hidden_size=64, intermediate_size=96, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512, initializer_range=0.2,
        rope_theta=10_000.0, tie_word_embeddings=True,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return LlamaForCausalLM(config).eval()


def vocabulary() -> tuple[list[str], list[str]]:
    """Tokens and merges of a byte-level BPE: two special tokens, all bytes, and three merges."""
    from tokenizers.pre_tokenizers import ByteLevel

    merges = ["Ġ Ġ", "Ċ Ċ", "l l"]
    return [*SPECIAL, *sorted(ByteLevel.alphabet()), *(merge.replace(" ", "") for merge in merges)], merges


@pytest.fixture
def write_gguf(llama: Any, tmp_path: Path) -> GgufWriter:
    """Return a function that writes the model as a GGUF file, as llama.cpp's converter would."""
    import gguf

    def write(
        name: str = "tiny.gguf",
        architecture: str = "llama",
        splits: str = "gpt-2",
        quantised: str | None = None,
        without: str = "",
        rope_factors: np.ndarray | None = None,
        scaling: str | None = None,
    ) -> Path:
        path = tmp_path / name
        config = llama.config
        writer = gguf.GGUFWriter(path, architecture)
        writer.add_name("Tiny Tester")
        writer.add_license("apache-2.0")
        writer.add_context_length(config.max_position_embeddings)
        writer.add_embedding_length(config.hidden_size)
        writer.add_block_count(config.num_hidden_layers)
        writer.add_feed_forward_length(config.intermediate_size)
        writer.add_head_count(config.num_attention_heads)
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_rope_freq_base(10_000.0)
        writer.add_rope_dimension_count(config.head_dim)
        if scaling:
            writer.add_rope_scaling_type(gguf.RopeScalingType(scaling))
        tokens, merges = vocabulary()
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(splits)
        writer.add_token_list(tokens)
        writer.add_token_types([3] * len(SPECIAL) + [1] * (len(tokens) - len(SPECIAL)))
        writer.add_token_merges(merges)
        writer.add_eos_token_id(0)
        writer.add_bos_token_id(1)
        writer.add_add_bos_token(False)
        writer.add_chat_template(CHAT)
        for key, value in tensors(llama).items():
            if key == without:
                continue
            if quantised and value.ndim == 2:
                kind = gguf.GGMLQuantizationType[quantised]
                writer.add_tensor(key, gguf.quantize(value, kind), raw_dtype=kind)
            else:
                writer.add_tensor(key, value)
        if rope_factors is not None:
            writer.add_tensor("rope_freqs.weight", rope_factors.astype(np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path

    return write


def tensors(llama: Any) -> dict[str, np.ndarray]:
    """Return the weights under llama.cpp's names; it interleaves the two halves of each query and key head."""
    names = {
        "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    }  # fmt: skip
    state = {key: value.numpy() for key, value in llama.state_dict().items()}
    found = {"token_embd.weight": state["model.embed_tokens.weight"], "output_norm.weight": state["model.norm.weight"]}
    heads = {"attn_q": llama.config.num_attention_heads, "attn_k": llama.config.num_key_value_heads}
    for layer in range(llama.config.num_hidden_layers):
        for ours, theirs in names.items():
            value = state[f"model.layers.{layer}.{ours}.weight"]
            if theirs in heads:
                value = value.reshape(heads[theirs], 2, -1, value.shape[1]).swapaxes(1, 2).reshape(value.shape)
            found[f"blk.{layer}.{theirs}.weight"] = np.ascontiguousarray(value)
    return found


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("FEDROUTER_SIM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


def logits(model: Any, length: int = 12) -> torch.Tensor:
    """Return the logits of some tokens in a row."""
    ids = torch.arange(length)[None] % model.config.vocab_size
    with torch.inference_mode():
        return model(ids).logits  # type: ignore[no-any-return]


def refusal(file: Path) -> str:
    """The one-line message with which a file is refused; nothing may be left behind."""
    with pytest.raises(UserError) as caught:
        converted(file, file.name, silent)
    message = str(caught.value)
    assert message.startswith(f"--model {file.name}: ") and "\n" not in message
    assert not any(cache_folder(MODELS).glob("*")) and not any(cache_folder(MODELS).glob(".*"))
    return message


def test_the_folder_has_the_files_tokens_chat_template_and_logits(write_gguf: GgufWriter, llama: Any) -> None:
    file = write_gguf()
    told: list[str] = []
    folder = converted(file, str(file), told.append)
    assert folder == cache_folder(MODELS) / file_digest(file)
    assert len(told) == 1 and told[0].startswith("converting tiny.gguf")
    tokenizer, model = load_model(folder, "tiny")
    torch.testing.assert_close(logits(model), logits(llama))
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert (tokenizer.eos_token_id, model.generation_config.eos_token_id) == (0, 0)
    chat = tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False)
    assert chat == "<|start|>hi<|end|>"
    assert tokenizer.decode(tokenizer(chat)["input_ids"]) == chat and tokenizer(chat)["input_ids"][0] == 1


def test_its_tokenizer_splits_as_the_one_read_from_the_file(write_gguf: GgufWriter) -> None:
    from transformers import AutoTokenizer

    file = write_gguf()
    read = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    kept, _ = load_model(converted(file, "tiny", silent), "tiny")
    assert kept(TEXTS)["input_ids"] == read(TEXTS)["input_ids"]
    assert kept.batch_decode(kept(TEXTS)["input_ids"]) == TEXTS


def test_vocabularies_that_split_at_digits_do(write_gguf: GgufWriter) -> None:
    plain, _ = load_model(converted(write_gguf(), "tiny", silent), "tiny")
    digits, _ = load_model(converted(write_gguf("digits.gguf", splits="smollm"), "digits", silent), "digits")
    assert plain.tokenize("a  12") == ["a", "Ġ", "Ġ", "1", "2"]
    assert digits.tokenize("a  12") == ["a", "ĠĠ", "1", "2"]


def test_a_way_to_split_that_is_not_known_is_told(write_gguf: GgufWriter) -> None:
    told: list[str] = []
    folder = converted(write_gguf(splits="strange"), "tiny", told.append)
    assert "how 'strange' tokenizers split texts is not known" in told[1]
    assert "'strange'" in (folder / "README.md").read_text(encoding="utf-8")


def test_quantised_weights_are_those_that_the_file_stands_for(write_gguf: GgufWriter, llama: Any) -> None:
    import gguf

    _, model = load_model(converted(write_gguf(quantised=Q8_0), "tiny", silent), "tiny")
    kind = gguf.GGMLQuantizationType[Q8_0]
    value = llama.model.layers[1].mlp.down_proj.weight.detach().numpy()
    expected = gguf.dequantize(gguf.quantize(value, kind), kind)
    np.testing.assert_array_equal(model.model.layers[1].mlp.down_proj.weight.detach().numpy(), expected)
    assert not np.array_equal(value, expected)


def test_the_card_and_the_line_for_reports_say_what_it_is(write_gguf: GgufWriter) -> None:
    file = write_gguf(quantised=Q8_0)
    folder = converted(file, "tiny", silent)
    line = json.loads((folder / "backbone.json").read_text(encoding="utf-8"))["description"]
    assert line == f"Tiny Tester, dequantised from Q8_0 (GGUF file, SHA-256 {file_digest(file)[:12]}…)"
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "# Tiny Tester" in card and file_digest(file) in card and "apache-2.0" in card and "float32" in card


def test_it_is_converted_once_wherever_the_file_lies(write_gguf: GgufWriter, tmp_path: Path) -> None:
    file = write_gguf()
    folder = converted(file, "tiny", silent)
    moved = file.rename(tmp_path / "moved.gguf")
    assert converted(moved, "moved", lambda text: pytest.fail(text)) == folder


def test_once_converted_the_package_is_not_needed(write_gguf: GgufWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = write_gguf(), write_gguf("second.gguf", splits="olmo")
    folder = converted(first, "tiny", silent)
    monkeypatch.setattr(converting, "find_spec", lambda name: None)
    assert converted(first, "tiny", silent) == folder
    with pytest.raises(UserError, match=r"--model second: .* pip install 'fedrouter-sim\[gguf\]'"):
        converted(second, "second", silent)


def test_files_beside_it_are_not_read(write_gguf: GgufWriter) -> None:
    file = write_gguf()
    for name in ("tokenizer_config.json", "tokenizer.json", "config.json", "chat_template.jinja"):
        (file.parent / name).write_text("{}", encoding="utf-8")
    tokenizer, _ = load_model(converted(file, "tiny", silent), "tiny")
    assert tokenizer.eos_token == "<|end|>" and tokenizer.chat_template == CHAT


def test_llama_3_1_scaling_of_rotary_embeddings_is_carried_over(write_gguf: GgufWriter, llama: Any) -> None:
    from transformers import LlamaForCausalLM

    config = type(llama.config).from_dict(llama.config.to_dict())
    config.rope_parameters = {
        "rope_type": "llama3", "rope_theta": 10_000.0, "factor": 32.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 8192,
    }  # fmt: skip
    scaled = LlamaForCausalLM(config).eval()
    scaled.load_state_dict(llama.state_dict())
    factors = llama.model.rotary_emb.inv_freq / scaled.model.rotary_emb.inv_freq
    told: list[str] = []
    _, model = load_model(converted(write_gguf(rope_factors=factors.numpy()), "tiny", told.append), "tiny")
    assert len(told) == 1
    torch.testing.assert_close(logits(model, 400), logits(scaled, 400))
    assert (logits(scaled, 400) - logits(llama, 400)).abs().max() > 0.01


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rope_factors": np.linspace(1, 5, 8)}, "own factors of rotary frequencies"),
        ({"scaling": "yarn"}, "scaling of rotary embeddings (yarn)"),
    ],
)
def test_other_scaling_of_rotary_embeddings_is_told(
    write_gguf: GgufWriter, llama: Any, changes: dict[str, Any], words: str
) -> None:
    told: list[str] = []
    _, model = load_model(converted(write_gguf(**changes), "tiny", told.append), "tiny")
    assert words in told[1] and len(told) == 2
    torch.testing.assert_close(logits(model), logits(llama))


def test_an_architecture_that_transformers_does_not_read_is_refused(write_gguf: GgufWriter) -> None:
    assert "architecture rwkv6 is not supported" in refusal(write_gguf(architecture="rwkv6"))


def test_a_file_without_some_weights_is_refused(write_gguf: GgufWriter) -> None:
    message = refusal(write_gguf(without="blk.1.ffn_down.weight"))
    assert "lack 'model.layers.1.mlp.down_proj.weight'" in message and "random" in message


@pytest.mark.parametrize("kept", [4, 200, 3000, -100])
def test_a_file_that_was_cut_off_is_refused(write_gguf: GgufWriter, kept: int) -> None:
    file = write_gguf()
    file.write_bytes(file.read_bytes()[:kept])
    assert "not readable as a GGUF model" in refusal(file)


def test_what_begins_otherwise_is_no_gguf_file(write_gguf: GgufWriter, tmp_path: Path) -> None:
    assert is_gguf(write_gguf())
    (tmp_path / "empty").touch()
    (tmp_path / "other.gguf").write_bytes(b"PK..")
    assert not is_gguf(tmp_path / "empty") and not is_gguf(tmp_path / "other.gguf")


def test_the_digest_is_taken_again_when_the_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"one")
    first = file_digest(file)
    assert file_digest(file) == first
    file.write_bytes(b"other")
    assert file_digest(file) != first


def test_a_cache_that_cannot_be_written_is_refused(
    write_gguf: GgufWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_gguf()
    (tmp_path / "cache").touch()
    with pytest.raises(UserError, match=r"/cache/models/\w+: cannot be written .*; FEDROUTER_SIM_CACHE=FOLDER"):
        converted(file, "tiny", silent)
    (tmp_path / "cache").unlink()
    monkeypatch.setattr(converting, "_describe", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(UserError, match="No space left"):
        converted(file, "tiny", silent)
    assert not cache_folder(MODELS).exists()


def test_of_two_processes_the_slower_takes_what_the_faster_made(
    write_gguf: GgufWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, read = write_gguf(), converting._read

    def overtaken(*given: Any) -> Any:
        monkeypatch.setattr(converting, "_read", read)
        converted(file, "faster", silent)
        return read(*given)

    monkeypatch.setattr(converting, "_read", overtaken)
    folder = converted(file, "slower", silent)
    load_model(folder, "tiny")
    assert [path.name for path in cache_folder(MODELS).iterdir()] == [folder.name]
