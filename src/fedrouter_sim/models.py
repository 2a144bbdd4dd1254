"""From the value of --model to a folder on this machine, and that folder's digest."""

import hashlib
from pathlib import Path

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
