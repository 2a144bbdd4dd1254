"""The one frozen model in memory, and the one adapter slot in it: embed, train, generate, score."""

import contextlib
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import get_peft_model, get_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from transformers import GenerationConfig

from fedrouter_sim.adapters import Adapter, check_compatible
from fedrouter_sim.batching import length_sorted
from fedrouter_sim.caching import RequestCache
from fedrouter_sim.config import RunConfig
from fedrouter_sim.encoding import EncodedExample, Encoder
from fedrouter_sim.lora import json_config, lora_config
from fedrouter_sim.mixing import Mixture, MixtureSlot
from fedrouter_sim.models import load_model, model_digest, quiet, resolve_model
from fedrouter_sim.randomness import derive_seed, torch_generator

_OWN_SETTINGS = "model template max_tokens lora_rank lora_alpha lora_dropout lora_targets".split()
_CACHE_BYTES = 2**28
_BATCH = 32  # texts in a batch wherever nothing is trained


@dataclass(frozen=True)
class TrainedAdapter:
    """What local training yields. `loss` is the mean over steps; `tokens` counts real (not padding) tokens."""

    adapter: Adapter
    loss: float
    tokens: int


@dataclass(frozen=True)
class Generated:
    """Answers in the order of their instructions, and the instructions that were cut to fit."""

    answers: list[str]
    cut: set[str]


@dataclass(frozen=True)
class OptimizerSettings:
    """AdamW settings of one group's local training; its state starts anew each time."""

    lr: float
    weight_decay: float
    clip: float


@dataclass(frozen=True)
class Proximal:
    """A term strength / 2 * sum (theta - anchor)^2 in the loss, over A and B."""

    anchor: Adapter
    strength: float


class Backbone:
    """A frozen causal language model with one LoRA slot, into which adapters are copied; none is ever added."""

    def __init__(self, config: RunConfig) -> None:
        """Load the backbone that `config` names.

        Raises:
            UserError: the model or its LoRA targets are not usable.
        """
        folder = resolve_model(config.model)
        self.digest = model_digest(folder)
        tokenizer, model = load_model(folder, config.model)
        # Texts are cut here, and counted; told of a limit, the tokenizer would warn of each that it does not cut.
        tokenizer.model_max_length = sys.maxsize
        # Padding is masked here; told of a padding token, transformers would warn where nothing is padded.
        model.config.pad_token_id = None
        context = getattr(model.config, "max_position_embeddings", config.max_tokens)
        self.encoder = Encoder(tokenizer, config.template, min(config.max_tokens, context))
        self._lora = lora = lora_config(config, model)
        self._cache = RequestCache(_CACHE_BYTES)
        self._mixtures: dict[int, MixtureSlot] = {}  # by the number of adapters they mix
        # The values PEFT draws here are never used (see `initial_adapter`); the fork keeps global state untouched.
        with quiet(), torch.random.fork_rng(devices=[]):
            self._peft = get_peft_model(model, lora)
        self._peft.eval()
        self._model: Any = model
        self._body: nn.Module = model.base_model
        self._slot = self._find_slot()
        self.dimension: int = model.config.hidden_size
        self._config = config
        self.peft_config = json_config(lora, config.model)

    def serves(self, config: RunConfig) -> bool:
        """Say whether a run with these settings may use this backbone: the same model, prompts and adapters."""
        return all(getattr(config, name) == getattr(self._config, name) for name in _OWN_SETTINGS)

    def initial_adapter(self, seed: int) -> Adapter:
        """Return the adapter every pool starts from: A as PEFT draws it (Kaiming uniform, a = sqrt 5), B = 0."""
        generator = torch_generator(seed, "initial adapter")
        adapter = {key: torch.zeros_like(slot) for key, slot in sorted(self._slot.items())}
        for key, value in adapter.items():
            if "lora_A" in key:
                nn.init.kaiming_uniform_(value, a=math.sqrt(5), generator=generator)
        return adapter

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return e(x) for each text, (n, d): the mean of the last hidden state (after the final norm) over real tokens.

        Embeds the bare text by the backbone without any adapter. A text longer than the limit is cut. The result is
        not to be written to: the same request gets it again.
        """
        return self._cache.get(["embed", *texts], lambda: self._embed(texts), lambda found: found.nbytes)

    def _embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        encoded = self.encoder.texts(texts)
        embeddings = np.empty((len(texts), self.dimension), dtype=np.float32)
        with torch.inference_mode(), self._peft.disable_adapter():
            for batch in length_sorted([len(text.ids) for text in encoded], _BATCH):
                ids, mask = _pad([encoded[i].ids for i in batch], self.encoder.eos)
                hidden = self._body(input_ids=ids, attention_mask=_if_padded(mask), use_cache=False).last_hidden_state
                weights = mask.unsqueeze(-1).to(hidden.dtype)  # (B, L, 1)
                mean = (hidden * weights).sum(1) / weights.sum(1)  # (B, d)
                embeddings[batch] = mean.float().numpy()
        embeddings.flags.writeable = False
        return embeddings

    def train(
        self,
        start: Adapter,
        examples: Sequence[EncodedExample],
        batches: Sequence[Sequence[int]],
        optimizer: OptimizerSettings,
        dropout_seed: int,
        on_step: Callable[[float], None] = lambda loss: None,
        pull: Proximal | None = None,
    ) -> TrainedAdapter:
        """Train a copy of `start`, one AdamW step a batch, and return it.

        The loss of a batch is the mean cross-entropy over its response tokens, EOS included. The backbone stays in
        inference mode: of all dropout, only LoRA's own is on, drawn from `dropout_seed`.

        Args:
            start: the adapter to start from; not changed.
            examples: the group's examples.
            batches: indices into `examples`.
            optimizer: learning rate, weight decay and gradient clipping.
            dropout_seed: seed of all dropout masks of this call.
            on_step: called with the loss after each step, without the proximal term.
            pull: a proximal term to add to the loss.
        """
        self._load(start)
        parameters = list(self._slot.values())
        adamw = torch.optim.AdamW(parameters, lr=optimizer.lr, weight_decay=optimizer.weight_decay, fused=True)
        losses: list[float] = []
        with torch.random.fork_rng(devices=[]), self._lora_dropout():
            torch.manual_seed(dropout_seed)
            for batch in batches:
                token_losses, _ = self._response_losses([examples[i] for i in batch])
                loss = token_losses.mean()
                adamw.zero_grad(set_to_none=True)
                (loss if pull is None else loss + self._distance_term(pull)).backward()
                nn.utils.clip_grad_norm_(parameters, optimizer.clip)
                adamw.step()
                losses.append(loss.item())
                on_step(losses[-1])
        trained = {key: slot.detach().clone() for key, slot in self._slot.items()}
        tokens = sum(len(examples[i]) for batch in batches for i in batch)
        return TrainedAdapter(trained, sum(losses) / len(losses), tokens)

    def generate(
        self, adapter: Adapter | Mixture | None, instructions: Sequence[str], max_new_tokens: int
    ) -> Generated:
        """Answer instructions greedily by one adapter, by a mixture of several, or by the bare backbone (None).

        Answers end at EOS or after `max_new_tokens` tokens. A prompt that leaves no room for so many is cut.
        """
        if adapter is None:  # the same for every run
            return self._cache.get(
                ["generate", max_new_tokens, *instructions],
                lambda: self._generate(None, instructions, max_new_tokens),
                lambda found: sum(map(len, found.answers)),
            )
        return self._generate(adapter, instructions, max_new_tokens)

    def _generate(
        self, adapter: Adapter | Mixture | None, instructions: Sequence[str], max_new_tokens: int
    ) -> Generated:
        room = self.encoder.limit - max_new_tokens
        prompts = self.encoder.prompts(instructions, [room] * len(instructions))
        settings = GenerationConfig(
            max_new_tokens=max_new_tokens,
            do_sample=False,
            eos_token_id=self.encoder.eos,
            pad_token_id=self.encoder.eos,
        )
        answers = [""] * len(prompts)
        with self._using(adapter) as weigh, torch.inference_mode():
            for batch in length_sorted([len(prompt.ids) for prompt in prompts], _BATCH):
                weigh(batch)
                ids, mask = _pad([prompts[i].ids for i in batch], self.encoder.eos, left=True)
                output = self._model.generate(input_ids=ids, attention_mask=mask, generation_config=settings)
                texts = self.encoder.tokenizer.batch_decode(output[:, ids.shape[1] :], skip_special_tokens=True)
                for i, text in zip(batch, texts, strict=True):
                    answers[i] = text.strip()
        cut = {instruction for instruction, prompt in zip(instructions, prompts, strict=True) if prompt.cut}
        return Generated(answers, cut)

    def score(self, adapter: Adapter | Mixture | None, examples: Sequence[EncodedExample]) -> NDArray[np.float64]:
        """Return (n, 2): each example's summed response-token loss in nats, and its number of response tokens."""
        scores = np.empty((len(examples), 2))
        with self._using(adapter) as weigh, torch.inference_mode():
            for batch in length_sorted([len(example) for example in examples], _BATCH):
                weigh(batch)
                losses, rows = self._response_losses([examples[i] for i in batch])
                sums = torch.zeros(len(batch), dtype=torch.float64).index_add_(0, rows, losses.double())
                scores[batch, 0] = sums.numpy()
                scores[batch, 1] = [len(examples[i].response) for i in batch]
        return scores

    def _response_losses(self, examples: Sequence[EncodedExample]) -> tuple[Tensor, Tensor]:
        """Return the cross-entropy of every response token of a batch, and the row each belongs to, both (m,).

        Logits are computed only at the positions that predict a response token in some row.
        """
        ids, mask = _pad([(*example.prompt.ids, *example.response) for example in examples], self.encoder.eos)
        labelled = torch.zeros_like(ids, dtype=torch.bool)  # (B, L): position l predicts a response token at l + 1
        for row, example in enumerate(examples):
            labelled[row, len(example.prompt.ids) - 1 : len(example) - 1] = True
        columns = labelled.any(0).nonzero().squeeze(1)
        logits = self._peft(
            input_ids=ids, attention_mask=_if_padded(mask), logits_to_keep=columns, use_cache=False
        ).logits  # (B, columns, vocabulary)
        wanted = labelled[:, columns]
        losses = nn.functional.cross_entropy(logits[wanted].float(), ids[:, columns + 1][wanted], reduction="none")
        return losses, wanted.nonzero()[:, 0]

    def _distance_term(self, pull: Proximal) -> Tensor:
        squared = torch.stack([(slot - pull.anchor[key]).square().sum() for key, slot in self._slot.items()])
        return pull.strength / 2 * squared.sum()

    def _load(self, adapter: Adapter) -> None:
        """Copy an adapter into the slot, in place."""
        check_compatible(self._slot, adapter)
        with torch.no_grad():
            for key, slot in self._slot.items():
                slot.copy_(adapter[key])

    @contextlib.contextmanager
    def _using(self, adapter: Adapter | Mixture | None) -> Iterator[Callable[[Sequence[int]], None]]:
        """Answer with an adapter, a mixture or the bare backbone; yields what to call with each batch's positions."""
        if adapter is None:
            with self._peft.disable_adapter():
                yield lambda batch: None
        elif isinstance(adapter, Mixture):
            count = len(adapter.adapters)
            if count not in self._mixtures:
                self._mixtures[count] = MixtureSlot(self._peft, self._lora, count)
            slot = self._mixtures[count]
            with slot.using(adapter.adapters):
                yield lambda batch: slot.weigh(adapter.weights[list(batch)])
        else:
            self._load(adapter)
            yield lambda batch: None

    @contextlib.contextmanager
    def _lora_dropout(self) -> Iterator[None]:
        dropouts = [module.lora_dropout for module in self._peft.modules() if isinstance(module, LoraLayer)]
        for dropout in dropouts:
            dropout.train()
        try:
            yield
        finally:
            self._peft.eval()

    def _find_slot(self) -> dict[str, nn.Parameter]:
        """Return the slot's parameters under the keys that PEFT saves them by."""
        slot = {
            name.replace(".default.", "."): parameter
            for name, parameter in self._peft.named_parameters()
            if parameter.requires_grad
        }
        saved = get_peft_model_state_dict(self._peft)
        if slot.keys() != saved.keys():
            raise RuntimeError(f"PEFT saves other keys than it trains: {sorted(slot.keys() ^ saved.keys())[:2]}")
        return slot


def dropout_seed(seed: int, round_: int, client: int, group: int) -> int:
    """Return the seed of the dropout masks of one group's local training."""
    return derive_seed(seed, "dropout", round_, client, group)


def _pad(sequences: Sequence[tuple[int, ...]], fill: int, left: bool = False) -> tuple[Tensor, Tensor]:
    """Return token ids and mask (B, L), padded on the right, or on the left for generation."""
    longest = max(map(len, sequences))
    ids = torch.full((len(sequences), longest), fill)
    mask = torch.zeros_like(ids)
    for row, sequence in enumerate(sequences):
        place = slice(longest - len(sequence), longest) if left else slice(0, len(sequence))
        ids[row, place] = torch.tensor(sequence)
        mask[row, place] = 1
    return ids, mask


def _if_padded(mask: Tensor) -> Tensor | None:
    """Return the mask where something is padded; without one, attention takes its faster path."""
    return None if bool(mask.all()) else mask
