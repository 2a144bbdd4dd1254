"""The one frozen model in memory, and the one adapter slot in it: embed, train, generate, score."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fedrouter_sim.adapters.state import Adapter, check_compatible
from fedrouter_sim.arrays import Doubles, Floats
from fedrouter_sim.backbone import batching
from fedrouter_sim.backbone.answering import Generated, RunPrompts, answer, least_answer, run_prompts, within
from fedrouter_sim.backbone.caching import RequestCache
from fedrouter_sim.backbone.devices import check_quantize, dtype_name, own_randomness, resolve_device, resolve_dtype
from fedrouter_sim.backbone.embedding import embedding_layers, mean_hidden_states
from fedrouter_sim.backbone.encoding import EncodedExample, Prompt
from fedrouter_sim.backbone.ensemble import Beliefs
from fedrouter_sim.backbone.forward import Tokens, common_prefix, given_tokens, pad, response_losses, run_prefix
from fedrouter_sim.backbone.kind import kind_of
from fedrouter_sim.backbone.loading import load_model, quiet, refusing, take_stop_tokens, without_notices
from fedrouter_sim.backbone.locating import describe_model, has_digest, loadable_name, model_digest, resolve_model
from fedrouter_sim.backbone.lora import drawn_adapter, dropping_out, json_config, lora_config, slot_of, with_lora
from fedrouter_sim.backbone.lower import AllLayers, lower_layers
from fedrouter_sim.backbone.measuring import MeasuredSteps, measured_steps
from fedrouter_sim.backbone.mixing import Mixture, Mixtures
from fedrouter_sim.backbone.packing import packed_losses, packs
from fedrouter_sim.backbone.prompting import encoder_of
from fedrouter_sim.backbone.reusing import ReusedResults
from fedrouter_sim.backbone.scoring import PromptScores, hearing
from fedrouter_sim.backbone.sketching import Projection, RowGradients
from fedrouter_sim.backbone.token_shares import mean_weights
from fedrouter_sim.backbone.training import OptimizerSettings, Proximal, TrainedAdapter, take_steps
from fedrouter_sim.config import RunConfig
from fedrouter_sim.examples.record import Example
from fedrouter_sim.randomness import torch_generator

_OWN_SETTINGS = (
    "model template max_tokens dtype device quantize lora_rank lora_alpha lora_dropout lora_targets lora_layers"
    " embedding".split()
)
_CACHE_BYTES = 2**28
_Answering = Adapter | Mixture | None


class Backbone:
    """A frozen causal language model with one LoRA slot, into which adapters are copied; none is ever added."""

    measured: MeasuredSteps | None = None  # by which --dtype auto went, where it was measured

    def __init__(self, config: RunConfig) -> None:
        """Load the backbone that `config` names.

        Raises:
            UserError: the model, its LoRA targets, the device or the data type are not usable.
        """
        # What a wrong value in a model folder's files leads to shows wherever the value is first used.
        with refusing(config.model, "not usable", "its files have to belong together, as they were saved"):
            self._open(config)

    def _open(self, config: RunConfig) -> None:
        self._config = config
        self._folder = folder = resolve_model(config.model)
        self.digest = model_digest(folder)
        self.description = describe_model(config.model, folder)
        self._device = resolve_device(config.device)
        check_quantize(config, self._device)
        dtype = resolve_dtype(config.dtype, self._device, self._faster_dtype)
        self.dtype = dtype_name(dtype)
        tokenizer, model = load_model(folder, config.model, dtype, self._device, config.quantize)
        embedded = model.get_input_embeddings().num_embeddings
        stops = take_stop_tokens(model, config.model)
        self.encoder = encoder_of(config, tokenizer, model.config, stops, embedded)
        lora = lora_config(config, model)
        self._cache = RequestCache(_CACHE_BYTES)
        self._reused = ReusedResults(config, self.digest, self.dtype, self._cache)
        # The values PEFT draws here are never used (see `initial_adapter`); the fork keeps global state untouched.
        with quiet(), own_randomness(self._device):
            self._peft = with_lora(model, lora, config.model)
        self._peft.eval()
        self._mixtures = Mixtures(self._peft, lora)
        self._model: Any = model
        self._body: nn.Module = model.base_model
        self._kind = kind_of(model, self.encoder.eos, config.model)
        self._shares_prefixes = not self._kind.stateful
        self._slot = slot_of(self._peft)
        self._packs = packs(self._peft, list(self._slot.values()), self._kind, self.encoder.eos)
        self._lower = (
            lower_layers(model, self._kind, self._opening, self.encoder.eos) if config.lora_layers else AllLayers()
        )
        self.embedded = embedding_layers(self._body, config.embedding, self.encoder.eos)
        self.dimension = self._kind.width * len(self.embedded)
        self.parameters: int = model.num_parameters() - sum(slot.numel() for slot in self._slot.values())
        self.device = self._device.type
        self.peft_config = json_config(lora, loadable_name(config.model, folder))

    def _faster_dtype(self) -> torch.dtype:
        if self._config.quantize != "none":
            return torch.bfloat16
        self.measured = measured_steps(self._config, self._folder, self.digest, self._device)
        return self.measured.faster

    def serves(self, config: RunConfig) -> bool:
        """Say whether a run with these settings may use this backbone: the same model, prompts and adapters."""
        return all(getattr(config, name) == getattr(self._config, name) for name in _OWN_SETTINGS)

    def record(self) -> dict[str, Any]:
        """Return what a run's manifest says of its backbone."""
        found = {"backbone": self.description, "backbone_sha256": self.digest, "backbone_dtype": self.dtype}
        steps = {} if self.measured is None else {"measured_step_seconds": dict(self.measured.seconds)}
        return {**found, **steps, "device": self.device}

    def has_digest(self, recorded: str) -> bool:
        """Say whether this is the backbone of a digest that a run has recorded."""
        return self.digest == recorded or has_digest(self._folder, recorded)

    def initial_adapter(self, seed: int) -> Adapter:
        """Return the adapter every pool starts from: A as PEFT draws it (Kaiming uniform, a = sqrt 5), B = 0."""
        return drawn_adapter(self._slot, torch_generator(seed, "initial adapter"))

    def embed(self, texts: Sequence[str]) -> Floats:
        """Return e(x) for each text, (n, d): the mean of the hidden states of the layers `embedded` over real tokens.

        Embeds the bare text by the backbone without any adapter. A text longer than the limit is cut. The result is
        not to be written to: the same request gets it again.
        """
        return self._reused.embeddings(texts, self._embed)

    def _embed(self, texts: Sequence[str]) -> Floats:
        encoded = self.encoder.texts(texts)
        embeddings = np.empty((len(texts), self.dimension), dtype=np.float32)
        with torch.inference_mode(), self._peft.disable_adapter(), without_notices():
            for batch in self._batches([len(text.ids) for text in encoded]):
                ids, mask = pad([encoded[i].ids for i in batch], self.encoder.eos, self._device)
                embeddings[batch] = mean_hidden_states(self._body, ids, mask, self.embedded).cpu().numpy()
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
        """Train a copy of `start`, one AdamW step per batch up to a loss that is not finite, and return it.

        The loss of a batch is the mean cross-entropy over its response tokens, EOS included. The backbone stays in
        inference mode: of all dropout, only LoRA's own is on, drawn from `dropout_seed`. What all prompts of a batch
        begin with, such as the template's first words, is computed once a batch, and drops out alike in all its rows.

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
        with own_randomness(self._device), dropping_out(self._peft), without_notices():
            torch.manual_seed(dropout_seed)
            losses = take_steps(
                list(self._slot.values()),
                batches,
                lambda batch: self._response_losses([examples[i] for i in batch])[0].mean(),
                optimizer,
                on_step,
                None if pull is None else lambda: pull.term(self._slot),
            )
        trained = {key: slot.detach().to("cpu", copy=True) for key, slot in self._slot.items()}
        tokens = sum(len(examples[i]) for batch in batches[: len(losses)] for i in batch)
        return TrainedAdapter(trained, sum(losses) / len(losses), tokens, len(losses))

    def generate(
        self,
        adapter: _Answering,
        asked: Sequence[str | Example],
        most: int,
        scores: PromptScores | None = None,
        beliefs: Beliefs | None = None,
    ) -> Generated:
        """Answer greedily by one adapter, by a mixture of several, or by the bare backbone (None).

        Answers end at a token that ends an answer (`Encoder.stops`), after `most` tokens, or where the limit
        leaves no more beside their prompts. Only a prompt that leaves less than `least_answer` is cut.

        Args:
            adapter: what answers.
            asked: instructions, or examples whose instructions, or turns, are answered.
            most: most tokens of an answer.
            scores: hears of prompts that have been run, where their responses can be scored from there.
            beliefs: by which rows are averaged that stand for one text (see `ensemble`); None: each is a text.
        """
        if adapter is None:  # the same for every run
            texts = [one if isinstance(one, str) else [one.instruction, *one.turns] for one in asked]
            return self._cache.get(
                ["generate", most, *texts],
                lambda: self._generate(None, asked, most, None, None),
                lambda found: sum(map(len, found.answers)),
            )
        return self._generate(adapter, asked, most, scores, beliefs)

    def _generate(
        self, adapter: _Answering, asked: Any, max_new_tokens: int, scores: PromptScores | None, beliefs: Beliefs | None
    ) -> Generated:
        limit = self.encoder.limit
        prompts = self.encoder.prompts(asked, [limit - least_answer(limit, max_new_tokens)] * len(asked))
        lengths = [len(prompt.ids) for prompt in prompts]
        budgets = [min(max_new_tokens, limit - length) for length in lengths]
        with self._using(adapter) as weigh, torch.inference_mode(), without_notices():
            heard = scores if self._packs else None
            together = self._answered_together(lengths, 1 if beliefs is None else beliefs.adapters)
            batches = ((batch, self._run(batch, prompts, weigh, heard)) for batch in together)
            stretch, few = None if self._kind.stateful else batching.STRETCH, batching.FEW_ROWS
            enough = batching.ANSWERED_ROWS - few + 1
            found = answer(self._model, batches, budgets, self.encoder.stops, stretch, few, enough, weigh, beliefs)
        answers = self.encoder.decode(found)
        texts = [one if isinstance(one, str) else one.instruction for one in asked]
        return Generated(answers, {text for text, prompt in zip(texts, prompts, strict=True) if prompt.cut})

    def _run(
        self,
        batch: Sequence[int],
        prompts: Sequence[Prompt],
        on_rows: Callable[[Sequence[int]], None],
        heard: PromptScores | None,
    ) -> RunPrompts:
        """Run those prompts that are answered together, of which the longest comes first."""
        wanted, fill = [prompts[i].ids for i in batch], self.encoder.eos
        if self._kind.pads_left or len(wanted[-1]) < 2:
            return RunPrompts(*pad(wanted, fill, self._device, left=True), cache=None)
        rest = [prompt[:-1] for prompt in wanted]
        parts, shared = list(self._batches(list(map(len, rest)))), self._shared(rest)
        on_run = hearing(heard, self._peft, self._lower, batch, prompts)
        return run_prompts(self._body, wanted, parts, shared, fill, within(batch, on_rows), self._lower, on_run)

    def _answered_together(self, lengths: Sequence[int], rows: int) -> Iterator[list[int]]:
        """Yield the batches in which prompts of these lengths are answered; every `rows` of them are one text's."""
        padding = 0 if self._kind.stateful else batching.CACHED * batching.PADDING[self.device]
        most = 1 if self._kind.alone else max(1, batching.ANSWERED_ROWS // rows)
        for batch in batching.length_sorted(lengths[::rows], most, padding):
            yield [text * rows + row for text in batch for row in range(rows)]

    def score(self, adapter: Adapter | Mixture | None, examples: Sequence[EncodedExample]) -> Doubles:
        """Return (n, 2): each example's summed response-token loss in nats, and its number of response tokens."""
        scores = np.empty((len(examples), 2))
        with self._using(adapter) as weigh, torch.inference_mode(), without_notices():
            for batch in self._batches([len(example) for example in examples]):
                weigh(batch)
                losses, rows = self._response_losses([examples[i] for i in batch])
                sums = torch.zeros(len(batch), dtype=torch.float64).index_add_(0, rows.cpu(), losses.double().cpu())
                scores[batch, 0] = sums.numpy()
                scores[batch, 1] = [len(examples[i].response) for i in batch]
        return scores

    def token_shares(self, mixture: Mixture, asked: Sequence[str | Example]) -> Doubles:
        """Return adapters' mean weights in a mixture by token, (n, K), over all modules and each prompt's own tokens:
        those after the template's first words."""
        prompts = [prompt.ids for prompt in self.encoder.prompts(asked, [self.encoder.limit] * len(asked))]
        with self._using(mixture), torch.inference_mode(), without_notices():
            slot, parts = self._mixtures.slot(mixture), list(self._batches(list(map(len, prompts))))
            return mean_weights(self._body, slot, prompts, self._opening, parts, self.encoder.eos)

    def sketch(self, start: Adapter, examples: Sequence[EncodedExample], projection: Projection) -> Floats:
        """Return a gradient sketch of each example, (n, SKETCH), of unit length: which change of the B factors would
        lower the loss of its response tokens most, at the adapter `start` and without dropout.

        The template's first words count as given: no gradient goes through them. They are the same for all rows.
        """
        return self._reused.sketches(
            start, examples, projection.seed, lambda: self._sketch(start, examples, projection)
        )

    def _sketch(self, start: Adapter, examples: Sequence[EncodedExample], projection: Projection) -> Floats:
        self._load(start)
        given = [given_tokens(example.prompt.ids, self._opening) for example in examples]
        lengths, padding = list(map(len, examples)), batching.PADDING[self.device]
        batches = batching.alike_sorted(given, lengths, batching.SKETCHED_ROWS, padding)

        def loss_of(batch: Sequence[int]) -> Tensor:
            return self._row_losses([examples[i] for i in batch], given[batch[0]], through=False)[0].sum()

        with without_notices():
            return RowGradients(self._peft, projection).sketches(len(examples), batches, loss_of)

    @cached_property
    def _opening(self) -> Tokens:
        """The tokens that the template puts before every instruction; none where prefixes cannot be shared."""
        one, other = (prompt.ids for prompt in self.encoder.prompts(["1", "x"], [self.encoder.limit] * 2))
        return one[: common_prefix([one, other], min(len(one), len(other)) - 1)] if self._shares_prefixes else ()

    def _response_losses(self, examples: Sequence[EncodedExample]) -> tuple[Tensor, Tensor]:
        """Return the cross-entropy of every response token of a batch, and the row each belongs to, both (m,)."""
        shared = self._shared([example.prompt.ids for example in examples])
        if not self._packs:
            return self._row_losses(examples, shared)
        with self._lower.taken_packed([(*example.prompt.ids, *example.response) for example in examples], shared):
            return packed_losses(self._peft, examples, shared, self._device)

    def _row_losses(
        self, examples: Sequence[EncodedExample], shared: int, through: bool = True
    ) -> tuple[Tensor, Tensor]:
        """Return what `_response_losses` does; without `through`, no gradient goes through the shared tokens."""
        rows = [(*example.prompt.ids, *example.response) for example in examples]
        with self._lower.taken(rows[:1], 0, shared), torch.set_grad_enabled(through and torch.is_grad_enabled()):
            past = run_prefix(self._body, rows[0][:shared], self._device)
        with self._lower.taken(rows, shared):
            return response_losses(self._peft, past, examples, shared, self.encoder.eos, self._device)

    def _batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Yield the batches in which rows of these lengths are run where nothing is trained."""
        return batching.length_sorted(lengths, batching.ROWS, batching.PADDING[self.device])

    def _shared(self, prompts: Sequence[tuple[int, ...]]) -> int:
        """Return how many tokens all prompts begin with and share; the last token of a prompt is always its own."""
        return common_prefix(prompts, min(map(len, prompts)) - 1) if self._shares_prefixes else 0

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
            slot = self._mixtures.slot(adapter)
            # Where each row has weights of its own, rows cannot share what they begin with.
            before = self._shares_prefixes, self._packs
            self._shares_prefixes, self._packs = (may and adapter.weights is None for may in before)
            try:
                with slot.using(adapter):
                    yield slot.weigh
            finally:
                self._shares_prefixes, self._packs = before
        else:
            self._load(adapter)
            yield lambda batch: None
