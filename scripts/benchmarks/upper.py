"""What a step gains where adapters are in the upper layers alone, and what the others make of a row is kept."""

from collections.abc import Sequence
from dataclasses import replace

from benchmarks.measure import Contest, Figure, Sample, Samples, clocked
from benchmarks.setting import Setting
from benchmarks.trainee import POOL, TOLERANCE
from fedrouter_sim.backbone.lora import decoder_layers
from fedrouter_sim.backbone.lower import AllLayers
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.federation.client import Client
from fedrouter_sim.federation.groups import whole_group
from fedrouter_sim.federation.questions import AskFacts

PART = 3  # one layer in so many has adapters
SECONDS, FIRST = "seconds a step", "seconds a step, rows new"
ALL, PLAIN, KEPT = "all layers", "upper layers, nothing kept", "upper layers"


def upper_layers(setting: Setting) -> Contest:
    """A client's round with adapters in all layers and in the upper third."""
    found = decoder_layers(setting.backbone._model)
    count = len(found[1]) if found else 1
    few = max(1, count // PART)
    backbone = Backbone(replace(setting.config, dtype=setting.backbone.dtype, lora_layers=few))
    keeping, steps = backbone._lower, setting.sizes.overhead_steps

    def trained(on: Backbone, client: Client, round_: int) -> Sequence[float]:
        losses: list[float] = []
        start, group = on.initial_adapter(setting.config.seed), whole_group(AskFacts().answer(client), POOL)
        client.train(group, start, None, steps, setting.config.lr, round_, losses.append)
        return losses

    full, upper = setting.client(), setting.client(backbone)

    def everything(repeat: int) -> Sample:
        return {SECONDS: clocked(lambda: trained(setting.backbone, full, repeat + 1)) / steps}

    def plain(repeat: int) -> Sample:
        backbone._lower = AllLayers()
        return {SECONDS: clocked(lambda: trained(backbone, upper, repeat + 1)) / steps}

    def kept(repeat: int) -> Sample:
        backbone._lower = keeping
        keeping.forget()
        first = clocked(lambda: trained(backbone, upper, repeat + 1)) / steps
        return {FIRST: first, SECONDS: clocked(lambda: trained(backbone, upper, repeat + 1)) / steps}

    backbone._lower = AllLayers()
    expected = trained(backbone, upper, 1)
    backbone._lower = keeping
    differences = [abs(one - two) for one, two in zip(trained(backbone, upper, 1), expected, strict=True)]
    agreement = Figure(
        f"largest difference of losses over {steps} steps, nats a token",
        max(differences),
        most=TOLERANCE[setting.dtype],
    )

    def judge(samples: Samples) -> list[Figure]:
        return [
            *(Figure(f"speed: {KEPT} / {other}", samples.ratio(other, KEPT, SECONDS)) for other in (ALL, PLAIN)),
            agreement,
        ]

    return Contest(
        f"Adapters in the upper {few} of {count} layers (`--lora-layers {few}`) against adapters in all",
        {ALL: everything, PLAIN: plain, KEPT: kept},
        judge,
        (
            f"{steps} steps of {setting.config.batch_size} rows, which the lower layers have seen once before; where "
            "rows are new, each goes through them first.",
        ),
    )
