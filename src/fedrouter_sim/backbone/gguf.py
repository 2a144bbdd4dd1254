"""From a GGUF file to a transformers folder in the user's cache: dequantised once, known by the file's digest."""

import contextlib
import hashlib
import io
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fedrouter_sim.backbone.caches import MODELS, cache_folder
from fedrouter_sim.bundled import FETCHED
from fedrouter_sim.errors import UserError, first_line
from fedrouter_sim.folders import new_folder
from fedrouter_sim.storage import write_json, write_text
from fedrouter_sim.version import __version__

DESCRIPTION_NAME = "backbone.json"
"""File of a converted folder that says in a line what the model is."""

# What a file calls itself is not always what it is known by.
_KNOWN = {one.sha256: (one.title, f"GGUF file of {one.origin.replace('==', ' ')}") for one in FETCHED.values()}

# Vocabularies (GGUF's tokenizer.ggml.pre) whose texts are split at every digit before they are split as GPT-2's are.
# transformers leaves the first step out.
_SPLIT_AT_DIGITS = ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone")

# The scaling of rotary embeddings that came with Llama 3.1. A GGUF file holds what it yields (rope_freqs), not these.
_LLAMA3_ROPE = {
    "rope_type": "llama3",
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


def converted_folder(digest: str) -> Path | None:
    """Return the folder that was made of the GGUF file with this SHA-256 digest; None before there is one."""
    folder = cache_folder(MODELS) / digest
    return folder if (folder / "config.json").is_file() else None


def is_gguf(file: Path) -> bool:
    """Say whether a file begins as GGUF files do."""
    with file.open("rb") as opened:
        return opened.read(4) == b"GGUF"


def file_digest(file: Path) -> str:
    """Return the SHA-256 hex digest of a file; asked again, it is read again only if it has changed."""
    stat = file.stat()
    return _file_digest(file.resolve(), stat.st_size, stat.st_mtime_ns)


@lru_cache
def _file_digest(file: Path, size: int, mtime_ns: int) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def converted(file: Path, name: str, tell: Callable[[str], None]) -> Path:
    """Return the folder made of a GGUF file: safetensors in float32, configuration, tokenizer and a card.

    The first call makes it, which takes half a minute or more; no network is needed.

    Args:
        file: the GGUF file.
        name: what the user calls it, for messages.
        tell: is called with a line before the work begins, and with what could not be carried over.

    Raises:
        UserError: the file is damaged, of an architecture that transformers does not read, the package gguf is
            missing, or the cache cannot be written; nothing is left behind.
    """
    digest = file_digest(file)
    if (folder := converted_folder(digest)) is not None:
        return folder
    if find_spec("gguf") is None:
        raise UserError(f"--model {name}: GGUF files need the package gguf: pip install 'fedrouter-sim[gguf]'")
    folder = cache_folder(MODELS) / digest
    from safetensors import SafetensorError

    tell(f"converting {file.name} to safetensors, once, into {folder}")
    facts, tokenizer, model = _read(file.resolve(), name)
    lost = [*_complete_tokenizer(tokenizer, facts), *_complete_rope(model.config, facts)]
    for text in lost:
        tell(f"{file.name}: {text}")
    try:
        with new_folder(folder, overwrite=False, shown=str(folder), wait=True) as building:
            _save(building, tokenizer, model)
            _describe(building, digest, facts, model, lost)
            for path in building.iterdir():
                path.chmod(0o644)  # weights are written private to the owner
    except (OSError, SafetensorError, UserError) as error:
        if converted_folder(digest) is None:  # else another process was faster and made the same
            raise UserError(
                f"{folder}: cannot be written ({error}); FEDROUTER_SIM_CACHE=FOLDER names another place"
            ) from None
    return folder


@dataclass(frozen=True)
class _Facts:
    """What a GGUF file says about its model and transformers does not carry over."""

    name: str
    licence: str | None
    weights: str  # how most of them are stored: 'Q4_1', 'F16', ...
    splits: str | None  # tokenizer.ggml.pre, of byte-level vocabularies
    rope_factors: Any  # (head dimension / 2,) divisors of the rotary frequencies, or None
    rope_scaling: str | None  # other scaling of rotary embeddings


def _read(file: Path, name: str) -> tuple[_Facts, Any, Any]:
    """Read a GGUF file by transformers. It is shown alone: files that lie beside it would be read as well."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from fedrouter_sim.backbone.loading import quiet, refuse_missing

    # What is printed there are progress bars.
    with tempfile.TemporaryDirectory() as alone, quiet(), contextlib.redirect_stderr(io.StringIO()):
        (Path(alone) / "model.gguf").symlink_to(file)
        source: dict[str, Any] = {"pretrained_model_name_or_path": alone, "gguf_file": "model.gguf"}
        source |= {"local_files_only": True, "trust_remote_code": False}
        try:
            facts = _facts(file)
            tokenizer = AutoTokenizer.from_pretrained(**source)
            loaded: Any = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32, output_loading_info=True)
        except Exception as error:  # a damaged file fails in as many ways as there are readers
            said = first_line(error)
            raise UserError(
                f"--model {name}: not readable as a GGUF model ({said}); the file is damaged or of a kind that "
                "transformers does not know: give a folder in the form of transformers"
            ) from None
    model, found = loaded
    refuse_missing(found["missing_keys"], name, "give the whole model in one GGUF file")
    return facts, tokenizer, model


def _facts(file: Path) -> _Facts:
    from gguf import GGUFReader

    reader = GGUFReader(file)

    def text(key: str) -> str | None:
        field = reader.get_field(key)
        return None if field is None else str(field.contents())

    architecture = text("general.architecture")
    byte_level = text("tokenizer.ggml.model") == "gpt2"
    stored: Counter[str] = Counter()
    for tensor in reader.tensors:
        stored[tensor.tensor_type.name] += int(tensor.n_elements)
    factors = next((tensor.data.copy() for tensor in reader.tensors if tensor.name == "rope_freqs.weight"), None)
    return _Facts(
        name=text("general.name") or file.stem,
        licence=text("general.license"),
        weights=stored.most_common(1)[0][0],
        splits=text("tokenizer.ggml.pre") if byte_level else None,
        rope_factors=factors,
        rope_scaling=text(f"{architecture}.rope.scaling.type"),
    )


def _complete_tokenizer(tokenizer: Any, facts: _Facts) -> list[str]:
    """Let a byte-level tokenizer split texts as the file says; return what is not known of it."""
    from tokenizers import pre_tokenizers

    backend = tokenizer.backend_tokenizer
    if facts.splits in _SPLIT_AT_DIGITS:
        digits = pre_tokenizers.Digits(individual_digits=True)
        backend.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
        return []
    as_gpt2 = (None, "default", "gpt-2", "gpt2", "mpt", "olmo", "jais", "trillion")
    if isinstance(backend.pre_tokenizer, pre_tokenizers.ByteLevel) and facts.splits not in as_gpt2:
        return [f"how {facts.splits!r} tokenizers split texts is not known to transformers; it splits as GPT-2 does"]
    return []


def _complete_rope(config: Any, facts: _Facts) -> list[str]:
    """Give the configuration the scaling of rotary embeddings; return what could not be carried over."""
    if facts.rope_factors is None:
        scaled = facts.rope_scaling not in (None, "none")
        return [f"its scaling of rotary embeddings ({facts.rope_scaling}) is not carried over"] if scaled else []

    import numpy as np
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    old = config.rope_parameters
    base = old["rope_theta"] ** (-np.arange(0, 1, 1 / len(facts.rope_factors)))  # frequencies before scaling
    config.rope_parameters = {**_LLAMA3_ROPE, "factor": float(facts.rope_factors.max()), **old, "rope_type": "llama3"}
    frequencies, _ = ROPE_INIT_FUNCTIONS["llama3"](config, device=None)
    if np.allclose(frequencies.numpy(), base / facts.rope_factors, rtol=1e-4):
        return []
    config.rope_parameters = old
    return ["its own factors of rotary frequencies (rope_freqs) are not carried over"]


def _save(folder: Path, tokenizer: Any, model: Any) -> None:
    """Save by way of a fresh model: one that was read from GGUF refuses to be saved."""
    import torch
    from transformers import AutoModelForCausalLM

    from fedrouter_sim.backbone.loading import quiet

    config = model.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    with quiet():
        with torch.device("meta"):  # no weights are drawn: all are given
            fresh = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        fresh.load_state_dict(model.state_dict(), assign=True)
        fresh.tie_weights()
        fresh.generation_config = model.generation_config
        fresh.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _describe(folder: Path, digest: str, facts: _Facts, model: Any, lost: list[str]) -> None:
    """Write what the model is: a line for reports, and the folder's card."""
    name, where = _KNOWN.get(digest, (facts.name, "GGUF file"))
    how = "from" if facts.weights in ("F32", "F16", "BF16") else "dequantised from"
    title = f"{name}, {how} {facts.weights} ({where}"
    write_json(folder / DESCRIPTION_NAME, {"description": f"{title}, SHA-256 {digest[:12]}…)", "gguf_sha256": digest})
    parameters = sum(parameter.numel() for parameter in model.parameters())
    libraries = ", ".join(f"{library} {version(library)}" for library in ("transformers", "gguf", "torch"))
    lines = [
        f"# {name}",
        "",
        f"{title}): {parameters} parameters in float32 ({type(model).__name__}).",
        "",
        f"- the GGUF file calls itself: {facts.name}",
        f"- SHA-256 of the GGUF file: `{digest}`",
        f"- licence, as the file says: {facts.licence or 'not given'}",
        f"- converted by fedrouter-sim {__version__} with {libraries}",
        *(f"- {text}" for text in lost),
    ]
    write_text(folder / "README.md", "\n".join(lines) + "\n")
