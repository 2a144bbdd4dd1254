"""From the value of --model to a folder on this machine, its digest, and the model and tokenizer in it."""

import contextlib
import hashlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from fedrouter_sim.bundled import BUNDLED_MODEL, bundled
from fedrouter_sim.errors import UserError

# Weights, configuration and tokenizer; never code and never pickles.
_PATTERNS = ["*.json", "*.safetensors", "tokenizer.model", "*.txt"]
_HUB_TIMEOUT = 5.0  # seconds until a Hub that does not answer counts as out of reach


def resolve_model(name: str) -> Path:
    """Return the folder of a backbone: the embedded one, a local folder, or a Hub id (cached, else downloaded).

    Raises:
        UserError: no such folder, and the Hub has no such model or is out of reach.
    """
    if name == BUNDLED_MODEL:
        return bundled(BUNDLED_MODEL)
    path = Path(name)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise UserError(f"--model {name}: the folder has no config.json; give a transformers model folder")
        if not any(path.glob("*.safetensors")):
            raise UserError(f"--model {name}: the folder has no .safetensors weights; pickled weights are not loaded")
        return path
    return _from_hub(name)


def model_digest(folder: Path) -> str:
    """Return the SHA-256 hex digest of what decides a backbone's outputs: weights, configuration and tokenizer."""
    digest = hashlib.sha256()
    decisive = [*folder.glob("*.safetensors"), folder / "config.json", folder / "tokenizer.json"]
    for path in sorted(p for p in decisive if p.is_file()):
        digest.update(path.name.encode() + b"\0")
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _from_hub(name: str) -> Path:
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError

    unknown = f"--model {name!r} is no folder here and not in the Hub's cache"
    try:
        cached = Path(snapshot_download(name, allow_patterns=_PATTERNS, local_files_only=True))
        if any(cached.glob("*.safetensors")):  # else a download was broken off
            return cached
    except HFValidationError:
        raise UserError(f"{unknown}, and no Hub id; give '{BUNDLED_MODEL}', a folder or an id like org/name") from None
    except LocalEntryNotFoundError:
        pass
    try:
        # Asked first and once: a download would retry for half a minute on a machine without network.
        HfApi().model_info(name, timeout=_HUB_TIMEOUT)
    except RepositoryNotFoundError:
        raise UserError(f"{unknown}, and the Hub has no such model (or it is private: log in)") from None
    except Exception as error:  # connection faults come in many types, all of them mean the same here
        raise UserError(
            f"{unknown}, and the Hub is out of reach ({type(error).__name__}); download it first or give a folder"
        ) from None
    return Path(snapshot_download(name, allow_patterns=_PATTERNS))


def load_model(folder: Path, name: str) -> tuple[Any, Any]:
    """Load the tokenizer and the causal language model of a folder, in float32, from safetensors alone.

    Raises:
        UserError: a file is missing or damaged, or the weights lack what the configuration names.
    """
    local = {"local_files_only": True, "trust_remote_code": False}
    with quiet():
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, **local)
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder, dtype=torch.float32, use_safetensors=True, output_loading_info=True, **local
            )
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise UserError(f"--model {name}: not loadable ({str(error).splitlines()[0]})") from None
    model, found = loaded
    if missing := sorted(found["missing_keys"]):
        raise UserError(
            f"--model {name}: its weights lack {missing[0]!r} and {len(missing) - 1} others, which would stay random; "
            "give a folder whose config.json and weights belong together"
        )
    return tokenizer, model


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' own progress bars and notices out of our output."""
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # what PEFT calls in transformers is not ours to mend
            yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        transformers_logging.enable_progress_bar()
