"""Encoders with a byte-level tokenizer: a token is a byte, so lengths are plain."""

from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from fedrouter_sim.backbone.encoding import EncodedExample, Encoder
from fedrouter_sim.examples.record import Example, Turn

TURNS = (Turn("system", "be brief"), Turn("user", "who?"), Turn("assistant", "me"), Turn("user", "and who else?"))
EOS, BOS = "<|end|>", "<|begin|>"
TEMPLATE = "Q: {instruction}\nA:"
TEMPLATE_TOKENS = len("Q: \nA:")


def byte_tokenizer(begins: bool = False, ends: bool = True) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer with one merge, h + e; with `begins` it puts BOS before a text, as Llama's does."""
    vocabulary = {letter: i for i, letter in enumerate([*sorted(pre_tokenizers.ByteLevel.alphabet()), "he", EOS, BOS])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[("h", "e")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if begins:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{BOS} $A", special_tokens=[(BOS, vocabulary[BOS])]
        )
    special = {"bos_token": BOS} | ({"eos_token": EOS} if ends else {})
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


class WithoutOffsets:
    """A tokenizer that says nothing of offsets, as those written in Python."""

    is_fast = False

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._tokenizer = tokenizer

    def __call__(self, *texts: Any, **options: Any) -> Any:
        assert "return_offsets_mapping" not in options
        return self._tokenizer(*texts, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)


def encoder(limit: int = 100, template: str = TEMPLATE, begins: bool = False) -> Encoder:
    return Encoder(byte_tokenizer(begins), template, limit)


def decoded(encoder: Encoder, ids: tuple[int, ...]) -> str:
    return str(encoder.tokenizer.decode(list(ids)))


def encode(encoder: Encoder, instruction: str, response: str) -> EncodedExample:
    (encoded,) = encoder.examples([Example(instruction, response)])
    return encoded
