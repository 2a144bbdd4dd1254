"""What the program is measured against: loops as a competent user writes them with PyTorch, transformers and PEFT.

They share no code with the program.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig, get_peft_model, set_peft_model_state_dict
from torch import Tensor, nn
from transformers import AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

Batch = dict[str, Tensor]


def load(folder: Path, dtype: torch.dtype) -> Any:
    """Load a causal language model, for inference."""
    transformers_logging.disable_progress_bar()
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True).eval()


def adapted(
    folder: Path, dtype: torch.dtype, lora: Mapping[str, Any], adapters: Mapping[str, Mapping[str, Tensor]]
) -> Any:
    """Load a PEFT model with named adapters; `lora` holds the arguments of their LoraConfig."""
    model: Any = None
    for name, weights in adapters.items():
        config = LoraConfig(task_type="CAUSAL_LM", **lora)
        if model is None:
            model = get_peft_model(load(folder, dtype), config, adapter_name=name)
        else:
            model.add_adapter(name, config)
        set_peft_model_state_dict(model, dict(weights), adapter_name=name)
    model.config.use_cache = False
    return model


def collate(rows: Sequence[tuple[Sequence[int], Sequence[int]]], padding: int) -> Batch:
    """Pad rows of (prompt ids, response ids) to the longest; only responses are labelled."""
    longest = max(len(prompt) + len(response) for prompt, response in rows)
    ids = torch.full((len(rows), longest), padding)
    mask = torch.zeros_like(ids)
    labels = torch.full_like(ids, -100)
    for row, (prompt, response) in enumerate(rows):
        end = len(prompt) + len(response)
        ids[row, :end] = torch.tensor([*prompt, *response])
        mask[row, :end] = 1
        labels[row, len(prompt) : end] = torch.tensor(response)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def plain_loss(model: Any, batch: Batch) -> Tensor:
    """The model's own loss: logits at every position."""
    loss: Tensor = model(**batch).loss
    return loss


def lean_loss(model: Any, batch: Batch) -> Tensor:
    """The same loss from logits at labelled positions alone, and without a mask where nothing is padded."""
    ids, mask, labels = batch["input_ids"], batch["attention_mask"], batch["labels"]
    wanted = labels[:, 1:] != -100
    columns = wanted.any(0).nonzero().squeeze(1)
    logits = model(
        input_ids=ids, attention_mask=None if bool(mask.all()) else mask, logits_to_keep=columns
    ).logits  # (B, columns, vocabulary)
    kept = wanted[:, columns]
    return nn.functional.cross_entropy(logits[kept].float(), labels[:, columns + 1][kept])


def train(
    model: Any, batches: Iterable[Batch], lr: float, weight_decay: float, clip: float, loss_of: Any = plain_loss
) -> list[float]:
    """Train the adapter, one AdamW step per batch; return the losses."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay, fused=True)
    losses = []
    for batch in batches:
        loss = loss_of(model, batch)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, clip)
        optimizer.step()
        losses.append(loss.item())
    return losses


@torch.inference_mode()
def embed(model: Any, tokenizer: Any, texts: Sequence[str], longest: int, batch_size: int) -> NDArray[np.float32]:
    """Return the mean last hidden state over each text's tokens, (n, d), in batches in the order given."""
    parts = []
    for start in range(0, len(texts), batch_size):
        encoded = tokenizer(list(texts[start : start + batch_size]))["input_ids"]
        batch = collate([(ids[:longest], ()) for ids in encoded], tokenizer.eos_token_id)
        mask = batch["attention_mask"]
        hidden = model(input_ids=batch["input_ids"], attention_mask=mask, output_hidden_states=True).hidden_states[-1]
        weights = mask.unsqueeze(-1)  # (B, L, 1)
        parts.append(((hidden * weights).sum(1) / weights.sum(1)).float().numpy())
    return np.concatenate(parts)


@torch.inference_mode()
def answer(
    model: Any, tokenizer: Any, prompts: Sequence[Sequence[int]], adapters: Sequence[str], longest: Sequence[int]
) -> list[str]:
    """Answer prompts one by one and greedily, each by the adapter of its own."""
    answers = []
    for prompt, adapter, most in zip(prompts, adapters, longest, strict=True):
        if model.active_adapter != adapter:
            model.set_adapter(adapter)
        ids = torch.tensor([prompt])
        output = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=most,
            do_sample=False,
            use_cache=True,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.eos_token_id,
        )
        answers.append(tokenizer.decode(output[0, len(prompt) :], skip_special_tokens=True).strip())
    return answers
