"""The embedding of a text is a mean over its real tokens, of one layer or of several side by side."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from fedrouter_sim.backbone.embedding import embedding_layers, mean_hidden_states
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError

TEXTS = ["one two three", "four", "five six"]


def body_of(layers: int) -> Any:
    """A body whose layer n gives n times the token, and -n times it."""

    def body(input_ids: torch.Tensor, **asked: Any) -> Any:
        states = tuple(torch.stack([n * input_ids, -n * input_ids], dim=-1) for n in range(layers + 1))
        return SimpleNamespace(last_hidden_state=10 * states[1], hidden_states=states, asked=asked)

    return body


class Body:
    """`body_of`, with a device as models have one."""

    def __init__(self, layers: int) -> None:
        self.device, self._run = torch.device("cpu"), body_of(layers)

    def __call__(self, **asked: Any) -> Any:
        return self._run(**asked)


def test_padding_does_not_count_and_is_masked_only_where_there_is_any() -> None:
    masks: list[torch.Tensor | None] = []

    def body(input_ids: torch.Tensor, attention_mask: torch.Tensor | None, **asked: bool) -> Any:
        masks.append(attention_mask)
        assert not asked["output_hidden_states"]
        return SimpleNamespace(last_hidden_state=torch.stack([input_ids, -input_ids], dim=-1).to(torch.bfloat16))

    ids = torch.tensor([[1, 2, 3], [5, 7, 99]])
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
    found = mean_hidden_states(body, ids, mask)
    assert found.dtype == torch.float32 and found.tolist() == [[2, -2], [6, -6]]
    mean_hidden_states(body, ids, torch.ones_like(mask))
    assert masks[0] is not None and masks[1] is None


def test_layers_stand_side_by_side() -> None:
    ids, mask = torch.tensor([[1, 2, 3], [5, 7, 99]]), torch.tensor([[1, 1, 1], [1, 1, 0]])
    found = mean_hidden_states(body_of(4), ids, mask, (3, "last"))
    assert found.tolist() == [[6, -6, 20, -20], [18, -18, 60, -60]]


@pytest.mark.parametrize(
    ("layers", "embedding", "found"),
    [
        (4, "last", ("last",)),
        (4, 2, (2,)),
        (4, 4, (4,)),
        (4, "auto", (1, 2, 3, "last")),
        (30, "auto", (8, 15, 22, "last")),
        (2, "auto", (1, "last")),
        (1, "auto", ("last",)),
    ],
)
def test_which_layers_embed(layers: int, embedding: int | str, found: tuple[int | str, ...]) -> None:
    assert embedding_layers(Body(layers), embedding, 0) == found


def test_a_layer_that_is_not_there_is_refused() -> None:
    with pytest.raises(UserError, match=r"^--embedding 5: the model has 4 layers; give one of them, or last$"):
        embedding_layers(Body(4), 5, 0)


def test_a_backbone_embeds_by_the_layers_of_the_settings(micro_config: Callable[..., RunConfig]) -> None:
    every = Backbone(micro_config(embedding="auto"))
    alone = {layer: Backbone(micro_config(embedding=layer)) for layer in (1, "last")}
    assert every.embedded == (1, "last") and every.dimension == 2 * alone[1].dimension
    parts = np.split(every.embed(TEXTS), 2, axis=1)
    for part, backbone in zip(parts, alone.values(), strict=True):
        np.testing.assert_allclose(part, backbone.embed(TEXTS), atol=1e-6)
    assert not np.allclose(parts[0], parts[1])
    assert not alone[1].serves(micro_config())
