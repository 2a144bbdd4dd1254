"""The embedding of a text is a mean over its real tokens."""

from types import SimpleNamespace
from typing import Any

import torch

from fedrouter_sim.backbone.embedding import mean_hidden_state


def test_padding_does_not_count_and_is_masked_only_where_there_is_any() -> None:
    masks: list[torch.Tensor | None] = []

    def body(input_ids: torch.Tensor, attention_mask: torch.Tensor | None, use_cache: bool) -> Any:
        masks.append(attention_mask)
        return SimpleNamespace(last_hidden_state=torch.stack([input_ids, -input_ids], dim=-1).to(torch.bfloat16))

    ids = torch.tensor([[1, 2, 3], [5, 7, 99]])
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
    found = mean_hidden_state(body, ids, mask)
    assert found.dtype == torch.float32 and found.tolist() == [[2, -2], [6, -6]]
    mean_hidden_state(body, ids, torch.ones_like(mask))
    assert masks[0] is not None and masks[1] is None
