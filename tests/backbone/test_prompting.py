"""The encoder without weights is that of the backbone, and what is shown of prompts."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.backbone.prompting import ShownPrompt, load_encoder, shown_prompts
from fedrouter_sim.config import RunConfig
from fedrouter_sim.examples.record import Example

ConfigMaker = Callable[..., RunConfig]


@pytest.mark.parametrize("generation", [None, {"eos_token_id": [3, 5]}, "none"])
@pytest.mark.parametrize("most", [64, 1_000])
def test_without_weights_the_encoder_is_the_backbones(
    micro_config: ConfigMaker, micro_model: Path, tmp_path: Path, generation: Any, most: int
) -> None:
    folder = Path(shutil.copytree(micro_model, tmp_path / "model"))
    if generation == "none":
        (folder / "generation_config.json").unlink()
    elif generation:
        (folder / "generation_config.json").write_text(json.dumps(generation), encoding="utf-8")
    config = micro_config(model=str(folder), max_tokens=most)
    encoder, context = load_encoder(config)
    whole = Backbone(config).encoder
    rows = [Example("Do the people of Oslo like soup? " * n, "Yes") for n in (1, 20)]
    assert (encoder.limit, encoder.stops, context) == (whole.limit, whole.stops, 256)
    assert encoder.limit == min(most, 256)
    assert encoder.examples(rows) == whole.examples(rows)
    first, _ = whole.examples(rows)
    assert encoder.lengths(rows)[0] == (len(first.prompt.ids), len(first.response))


def test_the_first_example_of_each_task_is_shown_first(backbone: Any) -> None:
    rows = [Example("one", "1", "a"), Example("two", "2", "a"), Example("three", "3", "b"), Example("four", "4")]
    coder = backbone.encoder
    assert [shown.prompt for shown in shown_prompts(coder, rows)] == ["one\n", "three\n", "four\n"]
    assert [shown.prompt for shown in shown_prompts(coder, rows[:3])] == ["one\n", "three\n", "two\n"]
    assert [shown.prompt for shown in shown_prompts(coder, rows, most=1)] == ["one\n"]
    assert shown_prompts(coder, ()) == ()


def test_what_is_learnt_is_the_response_and_its_end_and_what_is_cut_is_said(backbone: Any) -> None:
    coder = backbone.encoder
    (shown,) = shown_prompts(coder, [Example("bread " * 200, "Yes", "a")])
    (encoded,) = coder.examples([Example("bread " * 200, "Yes")])
    assert shown == ShownPrompt(
        "a",
        coder.tokenizer.decode(encoded.prompt.ids),
        coder.tokenizer.decode(encoded.response),
        len(encoded.prompt.ids),
        len(encoded.response),
        True,
    )
    assert shown.learnt == "Yes" + coder.tokenizer.eos_token
