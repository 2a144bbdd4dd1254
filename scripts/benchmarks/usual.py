"""What a client's run gains over the usual recipe of federated LoRA codes."""

import statistics
from typing import Any

import torch

from benchmarks import baselines
from benchmarks.flops import Shape, matrix_speed, step_flops
from benchmarks.machine import has_bfloat16
from benchmarks.measure import Contender, Contest, Figure, Sample, Samples, clocked
from benchmarks.setting import Setting
from benchmarks.trainee import Trainee
from fedrouter_sim.bundled import BUNDLED_MODEL
from fedrouter_sim.randomness import numpy_generator

BATCH = 16  # rows of a batch of the usual recipe, in training and embedding
OURS, USUAL = "ours", "usual recipe"
RUN, TRAINING, EMBEDDING, SPEED = (
    "tokens a second over a run", "tokens a second in training", "ms an embedded text", "GFLOP/s",
)  # fmt: skip


def usual_recipe(setting: Setting) -> Contest:
    """A client's run against random batches padded to their longest, logits at every position, float32, and a backbone
    that is loaded anew for the embedding pass."""
    trainee, sizes, config = Trainee(setting), setting.sizes, setting.config
    model = trainee.bare_model(torch.float32)
    agreement = trainee.losses_agree(model)
    shape = Shape.of(model)
    encoder = setting.backbone.encoder
    texts = [setting.new_texts(sizes.embedded) for _ in range(sizes.repeats)]
    rounds = [trainee.batches(sizes.steps, repeat + 1) for repeat in range(sizes.repeats)]
    run_rows, run_steps = len(trainee.client.examples), config.rounds * config.local_steps
    padding: list[float] = []

    def drawn(repeat: int) -> list[Any]:
        return [example for batch in rounds[repeat] for example in batch]

    def sample(repeat: int, training: float, embedding: float, loading: float) -> dict[str, float]:
        """Return the speeds of a repeat, and of the whole run of a client at these speeds."""
        tokens, a_text = sum(map(len, drawn(repeat))), embedding / sizes.embedded
        rounds_of_run = run_steps * config.batch_size / len(drawn(repeat))
        run_seconds = rounds_of_run * training + run_rows * a_text + loading
        return {TRAINING: tokens / training, EMBEDDING: 1e3 * a_text, RUN: rounds_of_run * tokens / run_seconds}

    def ours(repeat: int) -> Sample:
        embedding = clocked(lambda: setting.backbone.embed(texts[repeat]))
        training = clocked(lambda: trainee.train(sizes.steps, repeat + 1))
        flops = sum(
            step_flops(shape, [len(row) for row in batch], sum(len(row.response) for row in batch))
            for batch in rounds[repeat]
        )
        return {**sample(repeat, training, embedding, 0.0), SPEED: flops / training / 1e9}

    def usual(repeat: int) -> Sample:
        loaded: list[Any] = []
        loading = clocked(lambda: loaded.append(baselines.load(setting.folder, torch.float32)))
        embedding = clocked(lambda: baselines.embed(loaded[0], encoder.tokenizer, texts[repeat], encoder.limit, BATCH))
        rows = drawn(repeat)
        order = numpy_generator(config.seed, "usual batches", repeat).permutation(len(rows))
        cuts = range(0, len(rows), BATCH)
        batches = [trainee.collated([rows[i] for i in order[cut : cut + BATCH]]) for cut in cuts]
        padding.append(sum(batch["input_ids"].numel() for batch in batches) / sum(map(len, rows)))
        training = clocked(lambda: trainee.bare_train(model, batches))
        return {**sample(repeat, training, embedding, loading), "seconds to load": loading}

    dtypes = [torch.float32, *([torch.bfloat16] if has_bfloat16() else [])]
    products = {f"matrix product, {str(dtype).removeprefix('torch.')}": dtype for dtype in dtypes}

    def product(dtype: torch.dtype) -> Contender:
        return lambda repeat: {SPEED: matrix_speed(dtype) / 1e9}

    def judge(samples: Samples) -> list[Figure]:
        real = config.model != BUNDLED_MODEL  # the targets are for a real model
        return [
            Figure(f"{RUN}: ours / usual", samples.ratio(OURS, USUAL, RUN), least=4 if real else None),
            Figure(f"{TRAINING}: ours / usual", samples.ratio(OURS, USUAL, TRAINING)),
            Figure("usual recipe: tokens computed / real tokens", statistics.median(padding)),
            *(
                # The goal is for the type that the backbone computes in.
                Figure(
                    f"GFLOP/s: ours / {name}",
                    samples.ratio(OURS, name, SPEED),
                    least=0.6 if real and dtype == setting.dtype else None,
                )
                for name, dtype in products.items()
            ),
            agreement,
        ]

    return Contest(
        "A client's run against the usual recipe",
        {OURS: ours, USUAL: usual, **{name: product(dtype) for name, dtype in products.items()}},
        judge,
        (
            f"Usual recipe: the same rows in random batches of {BATCH} (the program's are of {config.batch_size}) "
            "padded to their longest, logits at every position, float32, and the backbone loaded from disk for the "
            "client's embedding pass.",
            f"A run is one embedding pass over the client's {run_rows} rows and {run_steps} steps of "
            f"{config.batch_size} rows. A repeat measures {sizes.embedded} texts and {sizes.steps} steps, and a run is "
            "reckoned from them; the one loading counts in full.",
            "Tokens are real ones, without padding. GFLOP/s count what a step cannot do without (`scripts/benchmarks/"
            "flops.py`), also where rows share it.",
        ),
    )
