"""The embedded backbone: what its pretraining text may hold, how it trains, and the committed folder."""

import dataclasses
import json
from itertools import islice
from pathlib import Path
from random import Random

import make_tiny_gpt2 as tiny
import pytest
import torch
from grammar.general import Corpus, TextFinder, holds_pair
from grammar.sample import Sample
from grammar.tasks import multitask
from transformers import AutoModelForCausalLM, AutoTokenizer

FOLDER = Path(__file__).resolve().parents[2] / "data" / "tiny-gpt2"
Shares = dict[str, list[dict[str, str]]]
MICRO = tiny.Recipe(
    steps=2,
    warmup=1,
    layers=2,
    heads=2,
    width=16,
    positions=256,
    vocabulary=400,
    batch_tokens=128,
    lengths=(64, 32),
    tokenizer_documents=200,
)


@pytest.fixture(scope="module")
def shares() -> Shares:
    """The rows of the four tasks by share."""
    return multitask(0)


@pytest.fixture(scope="module")
def documents() -> list[str]:
    """A sample of the pretraining text."""
    corpus = Corpus(Random("test"), tiny.held_out_texts(0))
    return [corpus.document() for _ in range(2000)]


def test_no_document_holds_a_text_of_a_held_out_row(documents: list[str], shares: Shares) -> None:
    text = "\n\n".join(documents)
    for share in ("validation", "test"):
        for row in shares[share]:
            assert row["instruction"] not in text
            assert row["response"] in ("Yes", "No") or row["response"] not in text


def test_no_document_holds_an_instruction_with_its_response(shares: Shares) -> None:
    rows = [Sample(row["instruction"], row["response"]) for share in shares.values() for row in share]
    by_instruction = {row.instruction: row for row in rows}
    finder = TextFinder(by_instruction)
    corpus = Corpus(Random("pairs"), [])
    quoted = 0
    for _ in range(2000):
        text = corpus.document()
        suspects = corpus.drawn + [by_instruction[instruction] for instruction in finder.find(text)]
        quoted += any(sample.instruction in text for sample in suspects)
        assert not any(holds_pair(text, sample) for sample in suspects)
    assert quoted > 100  # instructions do occur, by themselves


def test_documents_against_the_rules_are_drawn_again(shares: Shares) -> None:
    row = next(row for row in shares["test"] if row["task"] == "headline")
    sample = Sample(row["instruction"], row["response"])
    assert holds_pair(f"{sample.instruction}\n{sample.response}\nmore", sample)
    assert not holds_pair(sample.instruction, sample)
    assert not holds_pair("Who won in Norby?", Sample("Who won in Norby?", "No"))
    corpus = Corpus(Random(0), [row["response"]])
    offered = iter([f"{sample.instruction}\n{sample.response}", f"Copy: {sample.response}.", "fine"])

    def offer() -> str:
        corpus.drawn.append(sample)
        return next(offered)

    corpus.kinds = {offer: 1}
    assert corpus.document() == "fine"


def test_nothing_in_the_pretraining_text_is_answered_yes_or_no(documents: list[str]) -> None:
    with_word = [text for text in documents if {"Yes", "No"} & set(text.splitlines())]
    assert with_word  # single responses do occur
    assert not any("?" in text or "note" in text for text in with_word)


def test_the_corpus_follows_its_seed() -> None:
    first, second, third = (Corpus(Random(seed), []) for seed in ("a", "a", "b"))
    told = [[corpus.document() for _ in range(50)] for corpus in (first, second, third)]
    assert told[0] == told[1] != told[2]


def test_every_block_is_full_and_starts_with_a_document() -> None:
    corpus = Corpus(Random(0), [])
    tokenizer = tiny.build_tokenizer(corpus, MICRO)
    twin = Corpus(Random(1), [])
    starts = {tuple(tokenizer(twin.document())["input_ids"][:8]) for _ in range(600)}
    for block in islice(tiny.blocks(Corpus(Random(1), []), tokenizer, 64), 100):
        assert len(block) == 64
        assert any(tuple(block[: len(start)]) == start for start in starts)


def test_training_is_deterministic_and_moves_the_weights(tmp_path: Path) -> None:
    records = [tiny.make(MICRO, tmp_path / name) for name in ("one", "two")]
    other = tiny.make(dataclasses.replace(MICRO, seed=1), tmp_path / "other")
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two", "other")]
    assert weights[0] == weights[1] != weights[2]
    assert records[0]["held_out_loss"] == records[1]["held_out_loss"] != other["held_out_loss"]
    assert not list(tmp_path.glob("*.part"))


def test_an_untrained_model_already_copies() -> None:
    recipe = dataclasses.replace(MICRO, width=144, heads=6, vocabulary=2000)
    tokenizer = tiny.build_tokenizer(Corpus(Random(0), []), recipe)
    accuracy = tiny.copy_accuracy(tiny.build_model(tokenizer, recipe), tokenizer, Random(0), count=20)
    assert accuracy > 0.15  # by chance it is below 0.01


def test_steps_lower_the_loss() -> None:
    recipe = dataclasses.replace(MICRO, steps=40, warmup=5, learning_rate=1e-2)
    corpus = Corpus(Random(0), [])
    tokenizer = tiny.build_tokenizer(corpus, recipe)
    losses = tiny.train(tiny.build_model(tokenizer, recipe), tiny.batches(corpus, tokenizer, recipe), recipe)
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])


def test_the_committed_folder_is_a_small_gpt2() -> None:
    model = AutoModelForCausalLM.from_pretrained(FOLDER)
    assert model.config.model_type == "gpt2"
    assert 1_000_000 <= model.num_parameters() <= 2_000_000
    assert model.config.n_positions >= 512
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 5_000_000
    assert {path.suffix for path in FOLDER.iterdir()} == {".json", ".safetensors", ".md"}
    record = json.loads((FOLDER / "training.json").read_text(encoding="utf-8"))
    assert record["parameters"] == model.num_parameters()


def test_the_committed_tokenizer_adds_nothing_and_loses_nothing() -> None:
    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    text = "Ada Brandt: é → 12 crowns?\n\n### Response:\n"
    ids = tokenizer(text, add_special_tokens=True)["input_ids"]
    assert ids == tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == text
    assert tokenizer.eos_token == tokenizer.bos_token == tokenizer.pad_token == tiny.EOS and tokenizer.unk_token is None
    assert len(tokenizer(tiny.TEMPLATE)["input_ids"]) < 40


def test_the_committed_model_copies() -> None:
    model = AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    assert tiny.copy_accuracy(model, tokenizer, Random("test"), count=40) > 0.75
