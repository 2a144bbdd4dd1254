"""What a model is asked and what it learns, made from the settings: the encoder of a run, and prompts to be shown."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from transformers import PreTrainedTokenizerBase

from fedrouter_sim.backbone.encoding import Encoder
from fedrouter_sim.backbone.kind import context_of
from fedrouter_sim.backbone.loading import load_tokenizer, stop_tokens
from fedrouter_sim.backbone.locating import resolve_model
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import Example


@dataclass(frozen=True)
class ShownPrompt:
    """An example as the model gets it, in text with the special tokens in it."""

    task: str | None
    prompt: str
    learnt: str  # the response and what ends it: the loss is computed on these tokens alone
    prompt_tokens: int
    learnt_tokens: int
    cut: bool  # the instruction was shortened to fit


def encoder_of(
    config: RunConfig, tokenizer: PreTrainedTokenizerBase, model_config: Any, stops: Sequence[int], embedded: int
) -> Encoder:
    """Return the encoder of a run.

    Args:
        config: names the template and the most tokens.
        tokenizer: the backbone's own.
        model_config: the backbone's own; its context limits the tokens, too.
        stops: further tokens that end an answer.
        embedded: how many tokens the backbone embeds.

    Raises:
        UserError: as `Encoder`.
    """
    # Texts are cut here, and counted; told of a limit, the tokenizer would warn of each that it does not cut.
    tokenizer.model_max_length = sys.maxsize
    context = context_of(model_config) or config.max_tokens
    limit, of_model = min(config.max_tokens, context), context < config.max_tokens
    return Encoder(tokenizer, config.template, limit, stops, embedded, config.model, of_model)


def load_encoder(config: RunConfig) -> tuple[Encoder, int | None]:
    """Return the encoder of a run and the backbone's context, without loading the backbone's weights.

    Raises:
        UserError: the model cannot be found, or its tokenizer or template is not usable.
    """
    tokenizer, model_config, generation = load_tokenizer(resolve_model(config.model), config.model)
    encoder = encoder_of(
        config, tokenizer, model_config, stop_tokens(generation, config.model), model_config.vocab_size
    )
    return encoder, context_of(model_config)


def shown_prompts(encoder: Encoder, examples: Sequence[Example], most: int = 3) -> tuple[ShownPrompt, ...]:
    """Return the prompts of the first example of each task, and then of others, up to `most`; what does not fit is
    passed over."""
    first_of: dict[str | None, int] = {}
    for place, example in enumerate(examples):
        first_of.setdefault(example.task, place)
    firsts = {*first_of.values()}
    others = (place for place in range(len(examples)) if place not in firsts)
    shown: list[ShownPrompt] = []
    for place in chain(sorted(firsts), others):
        if len(shown) == most:
            break
        try:
            (encoded,) = encoder.examples([examples[place]])
        except UserError:
            continue
        prompt, learnt = encoded.prompt, encoded.response
        shown.append(
            ShownPrompt(
                examples[place].task,
                encoder.visible(prompt.ids),
                encoder.visible(learnt),
                len(prompt.ids),
                len(learnt),
                prompt.cut,
            )
        )
    return tuple(shown)
