"""Pretrain the embedded backbone: `python scripts/make_tiny_gpt2.py [--seed 0] [--steps N] [--out data/tiny-gpt2]`."""

import argparse
import itertools
import json
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

import torch
from copying import start_copying
from grammar.card import MODEL_CARD
from grammar.general import ALPACA_WORDS, Corpus, copy_probe
from grammar.tasks import multitask
from rich.progress import track
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

EOS = "<|endoftext|>"
TEMPLATE = f"{ALPACA_WORDS}\n\n### Instruction:\n\n\n### Response:\n"


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights."""

    seed: int = 0
    steps: int = 3000
    data_seed: int = 0  # whose validation and test rows are kept out of the corpus
    layers: int = 5
    heads: int = 6
    width: int = 144
    positions: int = 512
    vocabulary: int = 2048
    batch_tokens: int = 3072
    lengths: tuple[int, ...] = (512, 128, 128)  # block lengths, in turn: short blocks put more documents at position 0
    learning_rate: float = 2e-3
    init_scale: float = 0.07  # near 1 / sqrt(width): GPT-2's 0.02 is for wide models
    warmup: int = 150
    tokenizer_documents: int = 20_000


def held_out_texts(seed: int) -> list[str]:
    """Instructions and responses of the embedded validation and test rows."""
    shares = multitask(seed)
    rows = shares["validation"] + shares["test"]
    return [row[side] for row in rows for side in ("instruction", "response")]


def build_tokenizer(corpus: Corpus, recipe: Recipe) -> PreTrainedTokenizerFast:
    """A byte-level BPE learned on the corpus and the words of the Alpaca template."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=recipe.vocabulary,
        special_tokens=[EOS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    texts = [corpus.document() for _ in range(recipe.tokenizer_documents)]
    bpe.train_from_iterator(texts + [TEMPLATE] * (len(texts) // 20), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token=EOS, bos_token=EOS, pad_token=EOS, model_max_length=recipe.positions
    )


def blocks(corpus: Corpus, tokenizer: PreTrainedTokenizerFast, length: int) -> Iterator[list[int]]:
    """Token blocks of one length: documents one after the other, every block starting with a new one."""
    block: list[int] = []
    while True:
        for ids in tokenizer([corpus.document() for _ in range(256)])["input_ids"]:
            block += [*ids, tokenizer.eos_token_id]
            if len(block) >= length:
                yield block[:length]
                block = []


def batches(corpus: Corpus, tokenizer: PreTrainedTokenizerFast, recipe: Recipe) -> Iterator[torch.Tensor]:
    """Batches of equal token count, taking the block lengths in turn."""
    streams = [blocks(corpus, tokenizer, length) for length in recipe.lengths]
    for length, stream in itertools.cycle(list(zip(recipe.lengths, streams, strict=True))):
        yield torch.tensor(list(itertools.islice(stream, recipe.batch_tokens // length)))


def build_model(tokenizer: PreTrainedTokenizerFast, recipe: Recipe) -> GPT2LMHeadModel:
    """An untrained GPT-2 whose first layers copy; it is small enough to do without dropout."""
    torch.manual_seed(recipe.seed)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=recipe.positions,
        n_embd=recipe.width,
        n_layer=recipe.layers,
        n_head=recipe.heads,
        initializer_range=recipe.init_scale,
        activation_function="gelu_pytorch_tanh",  # the fused form of GPT-2's own
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=tokenizer.eos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
    )
    model = GPT2LMHeadModel(config)
    start_copying(model, torch.Generator().manual_seed(recipe.seed))
    return model


def train(model: GPT2LMHeadModel, stream: Iterator[torch.Tensor], recipe: Recipe) -> list[float]:
    """Train in place with AdamW under a cosine with warm-up; returns the loss of every step."""
    decayed = [weight for weight in model.parameters() if weight.ndim > 1]
    plain = [weight for weight in model.parameters() if weight.ndim == 1]
    groups = [{"params": decayed, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.98), fused=True)
    warmup = torch.optim.lr_scheduler.LinearLR(optimizer, 0.01, 1.0, recipe.warmup)
    rest = max(1, recipe.steps - recipe.warmup)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, rest, recipe.learning_rate / 50)
    schedule = torch.optim.lr_scheduler.SequentialLR(optimizer, [warmup, cosine], [recipe.warmup])
    losses: list[float] = []
    model.train()
    start, on_terminal = time.monotonic(), sys.stdout.isatty()
    for step in track(range(1, recipe.steps + 1), "pretraining", disable=not on_terminal):
        batch = next(stream)
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if not on_terminal and (step % 100 == 0 or step == recipe.steps):
            recent = sum(losses[-100:]) / len(losses[-100:])
            print(f"step {step}/{recipe.steps}  loss {recent:.3f}  {time.monotonic() - start:.0f} s", flush=True)
    return losses


@torch.no_grad()
def held_out_loss(model: GPT2LMHeadModel, stream: Iterator[torch.Tensor], count: int = 20) -> float:
    """Mean loss per token on general text that training did not see."""
    model.eval()
    losses = (float(model(input_ids=batch, labels=batch).loss) for batch in itertools.islice(stream, count))
    return sum(losses) / count


@torch.no_grad()
def copy_accuracy(model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerFast, rng: Random, count: int = 200) -> float:
    """The share of tokens that are predicted right in the second telling of a list of names."""
    model.eval()
    right = total = 0
    for _ in range(count):
        told, again = (tokenizer(text)["input_ids"] for text in copy_probe(rng))
        guesses = model(input_ids=torch.tensor([told + again])).logits[0, len(told) - 1 : -1].argmax(-1)
        right += int((guesses == torch.tensor(again)).sum())
        total += len(again)
    return right / total


def save(folder: Path, model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerFast, record: dict[str, object]) -> None:
    """Write the folder beside its place and move it there whole, so that no reader meets half a model."""
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    model.half().save_pretrained(part)
    tokenizer.save_pretrained(part)
    (part / "training.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    (part / "README.md").write_text(MODEL_CARD.format(**record), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def make(recipe: Recipe, folder: Path) -> dict[str, object]:
    """Learn the tokenizer, pretrain, measure, save; returns what `training.json` says."""
    start = time.monotonic()
    held_out = held_out_texts(recipe.data_seed)
    corpus = Corpus(Random(f"{recipe.seed}/corpus"), held_out)
    tokenizer = build_tokenizer(corpus, recipe)
    model = build_model(tokenizer, recipe)
    losses = train(model, batches(corpus, tokenizer, recipe), recipe)
    seconds = round(time.monotonic() - start)
    # The measured numbers are those of the saved, rounded weights.
    model.half().float()
    fresh = Corpus(Random(f"{recipe.seed}/held-out"), held_out)
    loss = held_out_loss(model, batches(fresh, tokenizer, recipe))
    record: dict[str, object] = {
        **asdict(recipe),
        "parameters": model.num_parameters(),
        "tokens": recipe.steps * recipe.batch_tokens,
        "seconds": seconds,
        "final_training_loss": round(sum(losses[-50:]) / len(losses[-50:]), 4),
        "held_out_loss": round(loss, 4),
        "held_out_perplexity": round(float(torch.tensor(loss).exp()), 3),
        "copy_accuracy": round(copy_accuracy(model, tokenizer, Random(f"{recipe.seed}/probe")), 4),
    }
    save(folder, model, tokenizer, record)
    return record


def main() -> None:
    """Make the backbone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--out", type=Path, default=Path("data/tiny-gpt2"))
    options = parser.parse_args()
    print(json.dumps(make(Recipe(seed=options.seed, steps=options.steps), options.out), indent=2))


if __name__ == "__main__":
    main()
