"""A setup and a round of FedRouter against a loop that goes by the steps of the method's published script.

The script itself (https://github.com/GabrielTalasso/FedRouter, `main_sft_fedrouter.py`) asks for libraries that have
since lost what it imports. `PublishedLoop` is a loop of our own with transformers' `Trainer`, by the same steps.
"""

import copy
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset, disable_progress_bars
from numpy.typing import NDArray
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from sklearn.cluster import KMeans
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, Trainer, TrainingArguments
from transformers.utils import logging as transformers_logging

from benchmarks.measure import Contest, Figure, Sample, Samples, clocked
from benchmarks.setting import Setting
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.config import RunConfig
from fedrouter_sim.examples.templates import render_prompt
from fedrouter_sim.federation.federation import build_federation
from fedrouter_sim.federation.observers import Observer
from fedrouter_sim.methods import find_method
from fedrouter_sim.partition.run_data import partition_data
from fedrouter_sim.simulation import simulate

CLIENTS, CLUSTERS, TASKS = 8, 2, 4
EMBEDDED = 32  # texts of a batch that is embedded
LOADING, SETUP, ROUND, WHOLE = "seconds to load", "seconds of setup", "seconds of a round", "seconds in all"
OURS, THEIRS = "ours", "published loop"

Row = tuple[str, str, str]
"""Instruction, prompt and response."""


class PublishedLoop:
    """Clients whose rows are clustered, each cluster trained by a `Trainer` of its own, in float32."""

    def __init__(self, folder: Path, lora: Mapping[str, Any], batch_size: int, steps: int, lr: float) -> None:
        self._folder, self._lora = folder, lora
        self._batch_size, self._steps, self._lr = batch_size, steps, lr

    def load(self) -> None:
        """Load the model and the slow tokenizer."""
        self._tokenizer = AutoTokenizer.from_pretrained(self._folder, use_fast=False, local_files_only=True)
        base = AutoModelForCausalLM.from_pretrained(self._folder, dtype=torch.float32, local_files_only=True)
        self._model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", **self._lora))
        self._model.config.use_cache = False
        self._model.enable_input_require_grads()  # which `gradient_checkpointing` asks for
        self._start = copy.deepcopy(get_peft_model_state_dict(self._model))

    def set_up(self, clients: Sequence[Sequence[Row]]) -> None:
        """Embed each client's texts, by a model that is loaded for it, and cluster them."""
        self._clusters: list[list[Dataset]] = []
        for own in clients:
            found = KMeans(n_clusters=CLUSTERS, random_state=0, n_init="auto").fit(self._embedded(own))
            rows = Dataset.from_dict({"prompt": [row[1] for row in own], "response": [row[2] for row in own]})
            rows = rows.add_column("cluster", list(map(int, found.labels_)))
            self._clusters.append([rows.filter(lambda row, c=c: row["cluster"] == c) for c in range(CLUSTERS)])

    @torch.no_grad()
    def _embedded(self, own: Sequence[Row]) -> NDArray[np.float16]:
        model = AutoModelForCausalLM.from_pretrained(self._folder, dtype=torch.float32, local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(
            self._folder, use_fast=False, padding_side="left", local_files_only=True
        )
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        parts = []
        for first in range(0, len(own), EMBEDDED):
            texts = [row[0] for row in own[first : first + EMBEDDED]]
            given = tokenizer(texts, return_tensors="pt", padding="longest", truncation=True, max_length=1024)
            hidden = model(**given, output_hidden_states=True).hidden_states[-1]
            weights = given["attention_mask"].unsqueeze(-1)  # (B, L, 1)
            parts.append(((hidden * weights).sum(1) / weights.sum(1)).to(torch.float16).numpy())
        return np.concatenate(parts)

    def round(self) -> None:
        """Train every cluster of every client from the same start, and average."""
        trained = []
        with tempfile.TemporaryDirectory() as place:
            for own in self._clusters:
                for rows in own:
                    set_peft_model_state_dict(self._model, self._start)
                    trainer = self._trainer(rows.shuffle(seed=0), place)
                    trainer.train()
                    trained.append(copy.deepcopy(get_peft_model_state_dict(self._model)))
        self._average = {name: torch.stack([one[name] for one in trained]).mean(0) for name in self._start}

    def _trainer(self, rows: Dataset, place: str) -> Trainer:
        arguments = TrainingArguments(
            output_dir=place, per_device_train_batch_size=self._batch_size, max_steps=self._steps,
            learning_rate=self._lr, lr_scheduler_type="constant", optim="adamw_torch", use_cpu=True,
            report_to="none", gradient_checkpointing=True, save_strategy="no", logging_strategy="no", disable_tqdm=True,
        )  # fmt: skip
        tokens = rows.map(self._tokens, remove_columns=rows.column_names)
        trainer = Trainer(self._model, arguments, data_collator=self._collated, train_dataset=tokens)
        trainer.remove_callback(PrinterCallback)
        return trainer

    def _tokens(self, row: Mapping[str, str]) -> dict[str, list[int]]:
        prompt = self._tokenizer(row["prompt"])["input_ids"]
        response = [*self._tokenizer(row["response"])["input_ids"], self._tokenizer.eos_token_id]
        return {"input_ids": [*prompt, *response], "labels": [*[-100] * len(prompt), *response]}

    def _collated(self, rows: Sequence[Mapping[str, list[int]]]) -> dict[str, torch.Tensor]:
        longest = max(len(row["input_ids"]) for row in rows)

        def padded(name: str, fill: int) -> torch.Tensor:
            return torch.tensor([[*row[name], *[fill] * (longest - len(row[name]))] for row in rows])

        ids = padded("input_ids", self._tokenizer.eos_token_id)
        lengths = torch.tensor([[len(row["input_ids"])] for row in rows])
        mask = (torch.arange(longest)[None] < lengths).long()  # (B, L)
        return {"input_ids": ids, "attention_mask": mask, "labels": padded("labels", -100)}


def published(setting: Setting) -> Contest:
    """A setup and a round: 16 adapters, each trained for some steps."""
    sizes = setting.sizes
    disable_progress_bars()
    transformers_logging.disable_progress_bar()
    # Built anew, not replaced: what follows from being told the tasks is to follow.
    config = RunConfig.build({
        "model": setting.config.model, "data": setting.config.data, "device": "cpu", "dtype": "float32",
        "batch_size": setting.config.batch_size, "lr": setting.config.lr, "clients": CLIENTS, "split": "dual",
        "method": "fedrouter", "tasks": TASKS, "local_clusters": CLUSTERS, "sharing": "none", "rounds": 1,
        "local_steps": CLUSTERS * sizes.published_steps, "examples_per_client": sizes.published_rows,
    })  # fmt: skip
    data = [partition_data(replace(config, seed=repeat + 1)) for repeat in range(sizes.repeats)]

    def ours(repeat: int) -> Sample:
        loaded: list[Backbone] = []
        loading = clocked(lambda: loaded.append(Backbone(config)))
        method, plans = find_method(config.method, {}), []
        own = replace(config, seed=repeat + 1)
        federation = build_federation(own, data[repeat], loaded[0])
        setup = clocked(lambda: plans.append(method.plan(federation)))
        whole = clocked(lambda: simulate(federation, method, Observer(), lambda *given: None, plans[0]))
        return {LOADING: loading, SETUP: setup, ROUND: whole, WHOLE: loading + setup + whole}

    def theirs(repeat: int) -> Sample:
        rows = [
            [(row.instruction, render_prompt(config.template, row.instruction), row.response) for row in one.train]
            for one in data[repeat].clients
        ]
        loop = PublishedLoop(setting.folder, setting.lora, config.batch_size, sizes.published_steps, config.lr)
        loading = clocked(loop.load)
        setup = clocked(lambda: loop.set_up(rows))
        one_round = clocked(loop.round)
        return {LOADING: loading, SETUP: setup, ROUND: one_round, WHOLE: loading + setup + one_round}

    def judge(samples: Samples) -> list[Figure]:
        return [
            Figure(f"speed: {OURS} / {THEIRS}, {quantity.split(' ', 1)[1]}", samples.ratio(THEIRS, OURS, quantity), 5)
            for quantity in (SETUP, ROUND, WHOLE)
        ]

    return Contest(
        "A setup and a round of FedRouter against a loop by the steps of the published script",
        {OURS: ours, THEIRS: theirs},
        judge,
        (
            f"{CLIENTS} clients of {sizes.published_rows} rows, {CLUSTERS} local clusters each, "
            f"{sizes.published_steps} steps of {config.batch_size} rows for each of the {CLIENTS * CLUSTERS} adapters, "
            "float32.",
            "The loop is ours, with transformers' `Trainer`, after the published script "
            "(github.com/GabrielTalasso/FedRouter): the backbone is loaded for each client's embedding pass, texts are "
            "tokenised by the slow tokenizer, a trainer and its data set are made for each adapter in each round, "
            "batches are random and padded to their longest, activations are computed again on "
            "the way back (`gradient_checkpointing`).",
        ),
    )
