"""Tiny random models, and the tokenizer and the texts that all of them are tried with."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from fedrouter_sim.bundled import bundled
from fedrouter_sim.examples.record import Example
from tiny_families.table import COMMON, Family

LENGTHS = (5, 150, 9, 9, 14, 20, 31, 47, 64, 80, 101, 125)  # tokens; two are equally long
# Longer than a window: what all prompts begin with is run once, and it has to go on right in layers with windows.
BEGINNING = "Read what follows with care. It was told at the market in the morning, and people in town speak of it: "
_SPECIAL = ["<unk>", "<s>", "</s>"]
_TOKENS = 500  # of the vocabulary; the models embed some more
_SCALE = 4.0
_UNSCALED = {"rwkv"}  # its weights are large as they are


def rows() -> list[dict[str, str]]:
    """Return training rows of the embedded data set."""
    with (bundled("multitask") / "train.jsonl").open(encoding="utf-8") as file:
        return [json.loads(line) for line, _ in zip(file, range(600), strict=False)]


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Return a byte-level BPE learned on the rows, which puts <s> before a text."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_TOKENS,
        special_tokens=_SPECIAL,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator([text for row in rows() for text in (row["instruction"], row["response"])], trainer)
    bpe.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", _SPECIAL.index("<s>"))]
    )
    return PreTrainedTokenizerFast(tokenizer_object=bpe, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def make_examples(tokenizer: Any, lengths: Sequence[int] = LENGTHS) -> list[Example]:
    """Return examples whose instructions have these numbers of tokens."""
    given = rows()
    starts = iter(range(len(given)))
    return [Example(_text(tokenizer, length, given, starts), given[i]["response"]) for i, length in enumerate(lengths)]


def _text(tokenizer: Any, length: int, given: Sequence[dict[str, str]], starts: Iterator[int]) -> str:
    """Return the first words of some rows, one after the other, that have so many tokens."""
    for start in starts:
        words = " ".join(row["instruction"] for row in given[start : start + 20]).split()
        for end in range(1, len(words) + 1):
            text = " ".join(words[:end])
            count = len(tokenizer(text)["input_ids"])
            if count == length:
                return text
            if count > length:
                break
    raise ValueError(f"no rows make a text of {length} tokens")


def make_model(name: str, family: Family, tokenizer: PreTrainedTokenizerFast, folder: Path) -> str:
    """Save a random float32 model of a family, with the tokenizer; return its model type.

    Its matrices are larger than they are drawn, so that answers vary by prompt. Global randomness is left as it was.
    """
    config = AutoConfig.for_model(family.model_type or name, **(COMMON | family.settings))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: Any = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    if name not in _UNSCALED:
        with torch.no_grad():
            for weight in model.parameters():
                if weight.ndim >= 2:
                    weight.mul_(_SCALE)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(config.model_type)
