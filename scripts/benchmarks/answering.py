"""Embedding and answering: the passes without training, against the plain calls of transformers."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from benchmarks import baselines
from benchmarks.flops import Shape, matrix_speed, pass_flops
from benchmarks.measure import Contest, Figure, Sample, Samples, clocked
from benchmarks.setting import Setting
from fedrouter_sim.federation.federation import Federation, build_federation
from fedrouter_sim.federation.observers import Observer
from fedrouter_sim.methods import find_method
from fedrouter_sim.partition.run_data import partition_data
from fedrouter_sim.routing import task_name
from fedrouter_sim.simulation import simulate

BATCH = 32
CLIENTS = 4  # of the federation that trains the adapters
OURS, PRODUCT = "ours", "matrix product"
SECONDS, AGAIN, FIRST, SPEED = "seconds", "seconds, second use", "seconds to the first tokens", "GFLOP/s"
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 5e-2}
"""Relative difference up to which two vectors count as equal, by the type of the backbone's weights."""


def embedding(setting: Setting) -> Contest:
    """The embeddings of some texts against a batched pass of the model in the texts' given order."""
    sizes, encoder, backbone = setting.sizes, setting.backbone.encoder, setting.backbone
    texts = [setting.new_texts(sizes.embedded) for _ in range(sizes.repeats)]
    model = baselines.load(setting.folder, setting.dtype).requires_grad_(False)
    shape = Shape.of(model)
    vectors: dict[str, dict[int, Any]] = {"ours": {}, "plain": {}}

    def plain_pass(given: list[str]) -> Any:
        return baselines.embed(model, encoder.tokenizer, given, encoder.limit, BATCH)

    for pass_ in (backbone.embed, plain_pass):
        pass_(setting.new_texts(2))  # what only the first call does is not measured

    def ours(repeat: int) -> Sample:
        def use() -> None:
            vectors["ours"][repeat] = backbone.embed(texts[repeat])

        seconds = clocked(use)
        flops = pass_flops(shape, [len(text.ids) for text in encoder.texts(texts[repeat])])
        return {SECONDS: seconds, AGAIN: clocked(use), SPEED: flops / seconds / 1e9}

    def plain(repeat: int) -> Sample:
        def use() -> None:
            vectors["plain"][repeat] = plain_pass(texts[repeat])

        return {SECONDS: clocked(use)}

    def judge(samples: Samples) -> list[Figure]:
        differences = [_relative(vectors["ours"][repeat], found) for repeat, found in vectors["plain"].items()]
        first, again = samples.median(OURS, SECONDS), samples.median(OURS, AGAIN)
        return [
            Figure("speed: ours / plain pass", samples.ratio("plain pass", OURS, SECONDS), least=3),
            Figure("speed: second use / first use", first / again),
            Figure(f"{SPEED}: ours / {PRODUCT}", samples.ratio(OURS, PRODUCT, SPEED)),
            Figure("largest relative difference of a vector", max(differences), most=TOLERANCE[setting.dtype]),
        ]

    return Contest(
        "Embeddings of texts that nothing has asked for before, against a plain batched pass",
        {OURS: ours, "plain pass": plain, PRODUCT: lambda _: {SPEED: matrix_speed(setting.dtype) / 1e9}},
        judge,
        (
            f"{sizes.embedded} instructions, others in each repeat. The plain pass takes batches of {BATCH} in the "
            "given order with `output_hidden_states=True` and averages the last state over the mask.",
            "GFLOP/s count what a pass cannot do without (`scripts/benchmarks/flops.py`), padding as nothing.",
        ),
    )


def _relative(one: Any, other: Any) -> float:
    """Return the largest relative difference of two vectors among rows, (n, d) each."""
    return float((np.linalg.norm(one - other, axis=1) / np.linalg.norm(other, axis=1)).max())


def answers(setting: Setting) -> Contest:
    """Answers to mixed test samples, grouped by adapter as evaluation does it, against one `generate` a sample."""
    sizes, backbone = setting.sizes, setting.backbone
    outcome = simulate(_federation(setting), find_method("fedrouter"), Observer())
    router = outcome.plan.router
    assert router is not None
    asked = [example.instruction for example in setting.shares.test[: sizes.answers]]
    routed = [task_name(int(task)) for task in router.route(backbone.embed(asked)).task]
    longest = {pool.name: pool.answer_tokens for pool in outcome.plan.pools}
    pools = {pool: [i for i, chosen in enumerate(routed) if chosen == pool] for pool in dict.fromkeys(routed)}
    model = baselines.adapted(setting.folder, setting.dtype, setting.lora, outcome.adapters).eval()
    most = [longest[pool] for pool in routed]
    prompts = backbone.encoder.prompts(asked, [backbone.encoder.limit - tokens for tokens in most])
    texts: dict[str, list[str]] = {"ours": [""] * len(asked)}

    def ours(_: int) -> Sample:
        def grouped() -> None:
            for pool, members in pools.items():
                found = backbone.generate(outcome.adapters[pool], [asked[i] for i in members], longest[pool])
                for i, answer in zip(members, found.answers, strict=True):
                    texts["ours"][i] = answer

        def first_tokens() -> None:
            for pool, members in pools.items():
                backbone.generate(outcome.adapters[pool], [asked[i] for i in members], 1)

        return {SECONDS: clocked(grouped), FIRST: clocked(first_tokens)}

    def singly() -> None:
        ids = [prompt.ids for prompt in prompts]
        texts["theirs"] = baselines.answer(model, backbone.encoder.tokenizer, ids, routed, most)

    def judge(samples: Samples) -> list[Figure]:
        same = sum(one == other for one, other in zip(texts["ours"], texts["theirs"], strict=True)) / len(asked)
        return [
            Figure("speed: ours / one by one", samples.ratio("one by one", OURS, SECONDS), least=5),
            Figure(
                "ours: share of the time that the first tokens take",
                samples.median(OURS, FIRST) / samples.median(OURS, SECONDS),
            ),
            Figure(f"share of identical texts in {backbone.dtype}", same),
        ]

    return Contest(
        "Answers to mixed test samples, grouped by adapter, against one `generate` a sample",
        {OURS: ours, "one by one": lambda _: {SECONDS: clocked(singly)}},
        judge,
        (
            f"{len(asked)} test samples by {len(pools)} adapters, which fedrouter trained for {sizes.warm_rounds} "
            f"rounds of {sizes.warm_steps} steps with {CLIENTS} clients. One by one: all adapters in one PEFT model, "
            "`set_adapter` where it changes, a `generate` with cache for each sample.",
            "To the first tokens: the same samples, answered with one token each.",
        ),
    )


def _federation(setting: Setting) -> Federation:
    """Return a small federation on the data, whose rounds train the adapters that answer."""
    sizes = setting.sizes
    config = replace(
        setting.config, clients=CLIENTS, rounds=sizes.warm_rounds, local_steps=sizes.warm_steps,
        examples_per_client=sizes.answer_rows, tasks=4,
    )  # fmt: skip
    return build_federation(config, partition_data(config), setting.backbone)
