"""From a model folder to the tokenizer and the causal language model in memory."""

import contextlib
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from transformers.activations import GELUTanh, NewGELUActivation
from transformers.utils import logging as transformers_logging

from fedrouter_sim.errors import UserError, first_line

_CPU = torch.device("cpu")
_LOCAL: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}


def load_model(
    folder: Path,
    name: str,
    dtype: torch.dtype = torch.float32,
    device: torch.device = _CPU,
    quantize: str = "none",
) -> tuple[Any, Any]:
    """Load the tokenizer and the causal language model of a folder, from safetensors alone.

    Args:
        folder: a transformers model folder.
        name: what the user called it, for messages.
        dtype: of the weights; with `quantize`, of what is computed with them.
        device: where the model goes.
        quantize: 'none', or '4bit' (NF4, of Dettmers et al. 2023, arXiv 2305.14314; CUDA only).

    Raises:
        UserError: a file is missing or damaged, or the weights lack what the configuration names.
    """
    options: dict[str, Any] = {"dtype": dtype, "use_safetensors": True, "output_loading_info": True, **_LOCAL}
    if quantize == "4bit":
        from transformers import BitsAndBytesConfig

        options |= {
            "quantization_config": BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_use_double_quant=True,
                bnb_4bit_compute_dtype=dtype,
            ),
            "device_map": {"": device},
        }
    with quiet():
        tokenizer = _load_tokenizer(folder, name)
        with refusing(name, "not loadable", "it has to be a causal language model"):
            loaded: Any = AutoModelForCausalLM.from_pretrained(folder, **options)
    model, found = loaded
    refuse_missing(found["missing_keys"], name, "give a folder whose config.json and weights belong together")
    _refuse_unembedded(tokenizer, model.get_input_embeddings().num_embeddings, name)
    _fuse_activations(model)
    return tokenizer, model if quantize != "none" else model.to(device)


def _fuse_activations(model: Any) -> None:
    """Have one function of torch do what GPT-2 and its like do in eight: GELU by tanh, the same up to rounding."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is NewGELUActivation:
                setattr(module, name, GELUTanh())


def load_tokenizer(folder: Path, name: str) -> tuple[Any, Any, Any]:
    """Load the tokenizer, the configuration and the generation configuration of a folder, and none of the weights.

    Args:
        folder: a transformers model folder.
        name: what the user called it, for messages.

    Raises:
        UserError: a file is missing or damaged, or the tokenizer has tokens that the model does not embed.
    """
    with quiet(), refusing(name, "not loadable", "it has to be a causal language model"):
        tokenizer = _load_tokenizer(folder, name)
        config = AutoConfig.from_pretrained(folder, **_LOCAL)
        if (folder / "generation_config.json").is_file():
            generation = GenerationConfig.from_pretrained(folder, **_LOCAL)
        else:  # what a model makes of its configuration
            generation = GenerationConfig.from_model_config(config)
    _refuse_unembedded(tokenizer, config.vocab_size, name)
    return tokenizer, config, generation


def skeleton_of(folder: Path, name: str) -> Any:
    """Return a backbone's modules and shapes without its weights.

    Raises:
        UserError: its configuration is damaged.
    """
    with quiet(), torch.device("meta"), refusing(name, "not loadable", "it has to be a causal language model"):
        return AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder, **_LOCAL))


def stop_tokens(generation: Any, name: str) -> tuple[int, ...]:
    """Return the tokens that end an answer as a generation configuration says; a model may be without one.

    Raises:
        UserError: what it names is no token id.
    """
    found = getattr(generation, "eos_token_id", None)
    stops = tuple(found) if isinstance(found, list) else () if found is None else (found,)
    if not all(isinstance(stop, int) for stop in stops):
        raise UserError(
            f"--model {name}: its generation_config.json says eos_token_id = {found!r}; give a token id or a list of "
            "them there"
        )
    return stops


def take_stop_tokens(model: Any, name: str) -> tuple[int, ...]:
    """Return the tokens that end an answer as a model's generation configuration says, and rid it of all else there.

    What else it says, such as penalties, beams, forced tokens or a time limit, would steer greedy answers, and is
    carried into every call that does not say otherwise. A cache is used even where training with checkpointing has left
    `use_cache: false`.

    Raises:
        UserError: what it names as stop tokens are no token ids.
    """
    stops = stop_tokens(getattr(model, "generation_config", None), name)
    model.generation_config = GenerationConfig(use_cache=True)
    model.config.use_cache = True
    return stops


def _load_tokenizer(folder: Path, name: str) -> Any:
    with refusing(name, "its tokenizer is not loadable", "its files belong into the folder, too"):
        return AutoTokenizer.from_pretrained(folder, **_LOCAL)


@contextlib.contextmanager
def refusing(name: str, what: str, remedy: str) -> Iterator[None]:
    """Refuse a model that fails at something.

    Args:
        name: what the user called it.
        what: what it is then: 'not loadable'.
        remedy: at the end of the message.

    Raises:
        UserError: it does.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # loading runs code of every family, which raises what it likes
        said = f"{type(error).__name__}: {first_line(error)}"
        raise UserError(f"--model {name}: {what} ({said}); {remedy}") from None


def _refuse_unembedded(tokenizer: Any, embedded: int, name: str) -> None:
    """Refuse a tokenizer with more tokens than the model embeds. Special ones may be beyond it: a padding token often
    is, and no text holds it.

    Raises:
        UserError: it has.
    """
    special = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    largest = max(set(tokenizer.get_vocab().values()) - special, default=0)
    if largest >= embedded:
        raise UserError(
            f"--model {name}: its tokenizer has token ids up to {largest} and the model embeds {embedded}; give a "
            "folder whose tokenizer and weights belong together"
        )


def refuse_missing(missing: Iterable[str], name: str, remedy: str) -> None:
    """Refuse a model whose file lacks weights: transformers would leave them at random values.

    Raises:
        UserError: `missing` names any.
    """
    if keys := sorted(missing):
        more = f" and {len(keys) - 1} others" if len(keys) > 1 else ""
        raise UserError(f"--model {name}: its weights lack {keys[0]!r}{more}, which would stay random; {remedy}")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' own progress bars and notices out of our output while something of it loads."""
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        with without_notices(), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # what PEFT calls in transformers is not ours to fix
            yield
    finally:
        if bars:
            transformers_logging.enable_progress_bar()


@contextlib.contextmanager
def without_notices() -> Iterator[None]:
    """Keep transformers' notices out of our output: some families say at every call which kernels they do without."""
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
