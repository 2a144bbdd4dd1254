"""Our backbone against plain transformers and PEFT, which take one text at a time, without a cache."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import AutoPeftModelForCausalLM
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from fedrouter_sim.adapters.folders import save_adapter
from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.backbone import Backbone, OptimizerSettings
from fedrouter_sim.backbone.encoding import EncodedExample
from fedrouter_sim.backbone.kind import Kind
from fedrouter_sim.backbone.loading import quiet
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import first_line
from fedrouter_sim.examples.record import Example
from tiny_families.making import BEGINNING, LENGTHS, make_examples, make_model
from tiny_families.table import Family

TOLERANCE = 1e-3  # of embeddings and losses, relative; float32 in another order of sums differs by some 1e-6
ANSWER = 20  # tokens
_TIE = 1e-4  # of the spread of logits: where two tokens are that close, the order of sums decides between them
_STEP = OptimizerSettings(0.05, 0.0, 1.0)


@dataclass
class Row:
    """What came out for a family.

    Attributes:
        name: in the table.
        model_type: as transformers calls it.
        attention: how tokens see those before them.
        found: how answers are computed together, as `kind_of` found it.
        targets: what LoRA adapts.
        embeddings: largest relative difference.
        losses: of the bare backbone, the same.
        losses_adapted: with an adapter.
        answers: how many of the bare backbone's are equal, as 'n of m'.
        answers_adapted: with an adapter.
        stock: whether plain PEFT opens the adapter's folder.
        fault: what does not agree, or is refused; empty: nothing.
        known: why that is known; empty: it is not.
    """

    name: str
    model_type: str
    attention: str
    found: str = ""
    targets: tuple[str, ...] = ()
    embeddings: float | None = None
    losses: float | None = None
    losses_adapted: float | None = None
    answers: str = ""
    answers_adapted: str = ""
    stock: bool = False
    fault: str = ""
    known: str = ""


@dataclass(frozen=True)
class Plain:
    """A plain answer. `tied`: two tokens were so close that rounding chose between them."""

    text: str
    tied: bool


def compare(name: str, family: Family, tokenizer: PreTrainedTokenizerFast, lengths: Sequence[int] = LENGTHS) -> Row:
    """Make a model of a family and compare all that is asked of a backbone; nothing is raised but put into the row."""
    row = Row(name, family.model_type or name, family.attention, known=family.known)
    doing = ["making the model"]
    try:
        with tempfile.TemporaryDirectory() as place, quiet():
            _compare(row, family, tokenizer, make_examples(tokenizer, lengths), Path(place), doing)
    except Exception as error:  # every family runs code of its own, which fails as it likes
        row.fault = f"{doing[-1]}: {type(error).__name__}: {first_line(error)}"
    return row


def _compare(
    row: Row,
    family: Family,
    tokenizer: PreTrainedTokenizerFast,
    examples: Sequence[Example],
    place: Path,
    doing: list[str],
) -> None:
    folder = place / "model"
    make_model(row.name, family, tokenizer, folder)
    doing.append("opening it")
    settings = {"model": str(folder), "template": "plain", "max_tokens": 256, "dtype": "float32", "device": "cpu"}
    backbone = Backbone(RunConfig(**settings, lora_dropout=0.0, lora_targets=family.targets))  # type: ignore[arg-type]
    row.targets = tuple(backbone.peft_config["target_modules"])
    row.found = in_words(backbone._kind)
    plain: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    faults = []

    doing.append("embeddings")
    row.embeddings = _embeddings(backbone, plain, examples)
    doing.append("losses")
    encoded = backbone.encoder.examples(examples)
    expected = _losses(plain, encoded)
    row.losses = _difference(backbone.score(None, encoded)[:, 0], expected)
    doing.append("training a step")
    start = backbone.initial_adapter(1)
    trained = backbone.train(start, encoded, [list(range(len(encoded)))], _STEP, dropout_seed=0)
    tokens = sum(len(example.response) for example in encoded)
    of_step = _difference(np.array([trained.loss]), np.array([expected.sum() / tokens]))
    row.losses = float(np.max([row.losses, of_step]))
    doing.append("answers")
    row.answers, fault = _answers(backbone, None, plain, examples)
    faults += [f"answers: {fault}"] if fault else []

    doing.append("opening the adapter with plain PEFT")
    save_adapter(place / "adapter", trained.adapter, backbone.peft_config)
    adapted = AutoPeftModelForCausalLM.from_pretrained(place / "adapter", dtype=torch.float32).eval()
    row.stock = True
    doing.append("losses with the adapter")
    expected_adapted = _losses(adapted, encoded)
    row.losses_adapted = _difference(backbone.score(trained.adapter, encoded)[:, 0], expected_adapted)
    doing.append("answers with the adapter")
    row.answers_adapted, fault = _answers(backbone, trained.adapter, adapted, examples)
    faults += [f"answers with the adapter: {fault}"] if fault else []

    for what, found in (
        ("embeddings", row.embeddings), ("losses", row.losses), ("losses with the adapter", row.losses_adapted)
    ):  # fmt: skip
        if not found <= TOLERANCE:
            faults.append(f"{what} differ by {found:.1e}")
    if _difference(expected_adapted, expected) < TOLERANCE:
        faults.append("the adapter changes nothing")  # the comparison would say nothing of it
    row.fault = "; ".join(faults)


def in_words(kind: Kind) -> str:
    """Say how prompts are answered together."""
    if kind.alone:
        return "stateful, each alone"
    if kind.stateful:
        return "stateful, equal lengths"
    return "padded left" if kind.pads_left else "padded right"


def _difference(ours: Any, plain: Any) -> float:
    return float((np.abs(ours - plain) / np.maximum(1.0, np.abs(plain))).max())


def _embeddings(backbone: Backbone, model: Any, examples: Sequence[Example]) -> float:
    """Return the largest difference from the mean of the last hidden state, relative to its largest number."""
    texts = [example.instruction for example in examples]
    differences = []
    for text, ours in zip(texts, backbone.embed(texts), strict=True):
        ids = torch.tensor([backbone.encoder.tokenizer(text)["input_ids"]])
        with torch.inference_mode():
            plain = model.base_model(input_ids=ids, use_cache=False).last_hidden_state[0].mean(0).numpy()
        differences.append(np.abs(ours - plain).max() / np.abs(plain).max())
    return float(np.max(differences))  # NaN where any is, unlike Python's own max


def _losses(model: Any, encoded: Sequence[EncodedExample]) -> Any:
    """Return the summed loss of each response (n,)."""
    losses = []
    for example in encoded:
        ids = torch.tensor([[*example.prompt.ids, *example.response]])
        with torch.inference_mode():
            logits = model(input_ids=ids, use_cache=False).logits[0, len(example.prompt.ids) - 1 : -1]
        losses.append(float(nn.functional.cross_entropy(logits, torch.tensor(example.response), reduction="sum")))
    return np.array(losses)


def _answers(backbone: Backbone, adapter: Adapter | None, model: Any, examples: Sequence[Example]) -> tuple[str, str]:
    """Compare answers of all texts together, of each alone, and of texts with a long common beginning together.

    Returns:
        How many are equal, and what is wrong.
    """
    texts = [example.instruction for example in examples]
    alike = [BEGINNING + text for text in texts[: len(texts) // 3]]
    plain = {text: _plain_answer(backbone, model, text) for text in texts + alike}
    found = {
        "together": list(zip(texts, backbone.generate(adapter, texts, ANSWER).answers, strict=True)),
        "alone": [(text, backbone.generate(adapter, [text], ANSWER).answers[0]) for text in texts],
        "with one beginning": list(zip(alike, backbone.generate(adapter, alike, ANSWER).answers, strict=True)),
    }
    equal, faults = 0, []
    for way, answers in found.items():
        sure = [(answer, plain[text].text) for text, answer in answers if not plain[text].tied]
        right = sum(ours == theirs for ours, theirs in sure)
        equal += right + len(answers) - len(sure)
        if right < len(sure):
            faults.append(f"{len(sure) - right} of {len(answers)} differ {way}")
    if len({one.text for one in plain.values()}) < len(plain) // 2:
        faults.append("they hardly vary, so that their agreement says little")
    return f"{equal} of {sum(map(len, found.values()))}", ", ".join(faults)


def _plain_answer(backbone: Backbone, model: Any, text: str) -> Plain:
    """Answer greedily, and compute every token from all those before it anew."""
    [prompt] = backbone.encoder.prompts([text], [backbone.encoder.limit])
    ids, tied = list(prompt.ids), False
    for _ in range(ANSWER):
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]
        first, second = logits.topk(2).values.tolist()
        tied |= first - second < _TIE * float(logits.std())
        ids.append(int(logits.argmax()))
        if ids[-1] in backbone.encoder.stops:
            break
    answer = ids[len(prompt.ids) :]
    return Plain(backbone.encoder.tokenizer.decode(answer, skip_special_tokens=True).strip(), tied)
