"""What a client's round of training costs beyond a bare loop over the same batches."""

from collections.abc import Callable
from typing import Any

from benchmarks import baselines
from benchmarks.measure import Contender, Contest, Figure, Sample, Samples, clocked
from benchmarks.setting import Setting
from benchmarks.trainee import Trainee
from fedrouter_sim.bundled import BUNDLED_MODEL

SECONDS = "seconds a step"
OURS, PLAIN, LEAN = "ours", "bare loop", "lean bare loop"


def overhead(setting: Setting) -> Contest:
    """A round of `Client.train` against bare PyTorch + PEFT loops."""
    trainee, steps = Trainee(setting), setting.sizes.overhead_steps
    model = trainee.bare_model(setting.dtype)
    agreement = trainee.losses_agree(model)
    batches = [trainee.collated(batch) for batch in trainee.batches(steps, 1)]

    def ours(repeat: int) -> Sample:
        return {SECONDS: clocked(lambda: trainee.train(steps, 1)) / steps}

    def bare(loss_of: Callable[[Any, baselines.Batch], Any]) -> Contender:
        return lambda repeat: {SECONDS: clocked(lambda: trainee.bare_train(model, batches, loss_of)) / steps}

    def judge(samples: Samples) -> list[Figure]:
        most = 1.05 if setting.config.model == BUNDLED_MODEL else 1.02
        ratios = [
            Figure(f"time: {OURS} / {other}", samples.ratio(OURS, other, SECONDS), most=most) for other in (PLAIN, LEAN)
        ]
        return [*ratios, agreement]

    return Contest(
        "A client's round of training against bare PyTorch + PEFT loops over the very same batches",
        {OURS: ours, PLAIN: bare(baselines.plain_loss), LEAN: bare(baselines.lean_loss)},
        judge,
        (
            f"{steps} steps of {setting.config.batch_size} rows. The loops get their batches ready padded.",
            "The bare loop takes `model(**batch).loss`; the lean one has logits at labelled positions alone and no "
            "mask where nothing is padded.",
        ),
    )
