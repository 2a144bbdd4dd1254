"""What else stands in a model's folder, and must not steer answers: generation settings, stop tokens, caches."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from random_models import save_random
from transformers import AutoModelForCausalLM

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.backbone.answering import LEAST_ANSWER, least_answer
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.backbone.training import OptimizerSettings
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import Example

ConfigMaker = Callable[..., RunConfig]
TEXTS = ["1 + 2 = ?", "reverse: a b c d e", "Do the people of Oslo like bread on day 3?"]
ADAMW = OptimizerSettings(lr=0.01, weight_decay=0.0, clip=1.0)


def change(folder: Path, name: str, **values: Any) -> Path:
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | values), encoding="utf-8")
    return folder


@pytest.fixture
def folder(micro_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(micro_model, tmp_path / "model"))


def answers(backbone: Backbone, texts: list[str] = TEXTS, most: int = 20) -> list[str]:
    return backbone.generate(None, texts, most).answers


@pytest.mark.parametrize(
    "steering",
    [
        {"repetition_penalty": 1.3},
        {"no_repeat_ngram_size": 2},
        {"forced_eos_token_id": 0},
        {"forced_bos_token_id": 5},
        {"suppress_tokens": [7, 8, 9, 60, 61, 62]},
        {"bad_words_ids": [[60], [61]]},
        {"begin_suppress_tokens": [60, 61]},
        {"max_time": 1e-4},
        {"max_length": 3},
        {"min_new_tokens": 15},
        {"num_beams": 3},
        {"num_beams": 4, "num_return_sequences": 2},
        {"do_sample": True, "temperature": 0.6, "top_k": 5},
        {"penalty_alpha": 0.6, "top_k": 4},
        {"cache_implementation": "static"},
        {"use_cache": False},
        {"encoder_repetition_penalty": 2.0},
        {"watermarking_config": {"greenlist_ratio": 0.25, "bias": 4.0}},
        {"stop_strings": ["a"]},
        {"prompt_lookup_num_tokens": 2},
    ],
    ids=str,
)
def test_answers_are_greedy_whatever_the_models_generation_settings_say(
    folder: Path, micro_config: ConfigMaker, backbone: Backbone, steering: dict[str, Any]
) -> None:
    found = Backbone(micro_config(model=str(change(folder, "generation_config.json", **steering))))
    assert answers(found) == answers(backbone)
    assert [answers(found, [text])[0] for text in TEXTS] == answers(backbone)


def test_a_cache_is_used_where_checkpointed_training_has_turned_it_off(
    folder: Path, micro_config: ConfigMaker, backbone: Backbone
) -> None:
    found = Backbone(micro_config(model=str(change(folder, "config.json", use_cache=False))))
    assert answers(found) == answers(backbone)


def test_every_stop_token_of_the_model_ends_an_answer(
    folder: Path, micro_config: ConfigMaker, backbone: Backbone
) -> None:
    tokenizer = backbone.encoder.tokenizer
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    asked = torch.tensor([backbone.encoder.prompts(TEXTS[:1], [50])[0].ids])
    ids = model.generate(input_ids=asked, max_new_tokens=20, do_sample=False)[0, asked.shape[1] :].tolist()
    middle = ids[4]
    first = ids.index(middle)
    assert answers(backbone, TEXTS[:1]) == [tokenizer.decode(ids).strip()]
    found = Backbone(micro_config(model=str(change(folder, "generation_config.json", eos_token_id=[0, middle]))))
    assert found.encoder.stops == (0, middle)
    assert answers(found, TEXTS[:1]) == [tokenizer.decode(ids[:first]).strip()]
    # Together with answers that do not hold it.
    assert answers(found) == [answers(found, [text])[0] for text in TEXTS]


@pytest.mark.parametrize("stops", ["</s>", [[2]], [0, "x"], 1.5])
def test_stop_tokens_that_are_none_are_refused(folder: Path, micro_config: ConfigMaker, stops: Any) -> None:
    change(folder, "generation_config.json", eos_token_id=stops)
    with pytest.raises(UserError, match=r"--model .*(eos_token_id|not loadable)") as caught:
        Backbone(micro_config(model=str(folder)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["gpt_neo", "mpt", "bloom", "gemma2", "mamba", "lfm2", "rwkv"])
def test_the_same_text_gets_the_same_answer_alone_and_in_any_batch(
    kind: str, micro_model: Path, micro_config: ConfigMaker, tmp_path: Path
) -> None:
    targets = {"gpt_neo": ("q_proj",), "mamba": ("in_proj",), "lfm2": ("q_proj",), "rwkv": ("key",)}.get(kind, ())
    folder = save_random(kind, tmp_path / kind, micro_model, initializer_range=0.5 if kind == "mamba" else 0.2)
    found = Backbone(micro_config(model=str(folder), lora_targets=targets))
    texts = [f"PRICES TODAY{', OSLO MARKET' * n}: BREAD" for n in (0, 1, 1, 3, 6, 9)]
    texts[2] = texts[2].replace("BREAD", "SOUP ")
    encoded = found.encoder.examples([Example(text, "bread for 3") for text in texts])
    adapter: Adapter = found.train(found.initial_adapter(1), encoded, [[0, 3], [1, 2]], ADAMW, 0).adapter
    for which in (None, adapter):
        together = found.generate(which, texts, 12).answers
        assert together == [found.generate(which, [text], 12).answers[0] for text in texts]
        assert together[:3] == found.generate(which, texts[:3], 12).answers
        assert len(set(together)) > 1


def test_an_answer_takes_what_its_prompt_leaves(micro_config: ConfigMaker) -> None:
    """One long training answer takes no question out of any prompt."""
    found = Backbone(micro_config(max_tokens=100))
    short, long = "1 + 2 = ?", "reverse: " + "a b c d e " * 13
    lengths = [len(prompt.ids) for prompt in found.encoder.prompts([short, long], [100, 100])]
    assert lengths[0] < 20 and 60 < lengths[1] <= 75
    generated = found.generate(None, [short, long], 95)
    assert generated.cut == set()
    sizes = [len(found.encoder.tokenizer(text)["input_ids"]) for text in generated.answers]
    assert sizes[0] > 100 - lengths[1] >= sizes[1] - 1
    assert found.generate(None, [long], 95).answers == generated.answers[1:]


def test_only_a_prompt_that_does_not_fit_by_itself_is_cut(micro_config: ConfigMaker) -> None:
    found = Backbone(micro_config(max_tokens=100))
    short, far_too_long = "1 + 2 = ?", "reverse: " + "a b c d e " * 40
    generated = found.generate(None, [short, far_too_long], 95)
    assert generated.cut == {far_too_long}
    assert generated.answers[1] != ""


def test_the_least_answer_is_a_quarter_of_the_limit_and_32_tokens_at_most() -> None:
    assert [least_answer(limit, 200) for limit in (8, 100, 128, 512)] == [2, 25, LEAST_ANSWER, 32]
    assert least_answer(512, 3) == 3 and least_answer(3, 200) == 1
