"""`train --dry-run`: what a run will cost, and how its prompts look."""

from dataclasses import dataclass

from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.backbone.prompting import ShownPrompt, shown_prompts
from fedrouter_sim.backbone.trial import try_out
from fedrouter_sim.config import RunConfig
from fedrouter_sim.evaluation.cells import most_answers
from fedrouter_sim.federation.absences import check_reachable
from fedrouter_sim.federation.cost import Cost
from fedrouter_sim.federation.estimate import estimate_cost
from fedrouter_sim.federation.federation import build_federation
from fedrouter_sim.federation.privacy.budget import Budget
from fedrouter_sim.methods import find_method
from fedrouter_sim.partition.fitting import Fitting
from fedrouter_sim.partition.run_data import check_new, partition_data
from fedrouter_sim.runs.entries import check_entries
from fedrouter_sim.simulation import checked_plan
from fedrouter_sim.tables import parse_options


@dataclass(frozen=True)
class DryRun:
    """What `train --dry-run` reports."""

    cost: Cost
    prompts: tuple[ShownPrompt, ...]  # of a few training rows
    notes: tuple[str, ...]  # on how the data were read
    budget: Budget | None = None  # of differential privacy, where it is wanted


def dry_run(config: RunConfig) -> DryRun:
    """Load, partition and plan a run as `train` does, and say what it will cost, without training it.

    Raises:
        UserError: the settings, the data or the backbone are not usable.
    """
    check_entries(config)
    method = find_method(config.method, parse_options(config.option))
    budget = method.budget(config)
    data = partition_data(config)
    check_new(config, data)
    backbone = Backbone(config)
    try_out(backbone, config.model)
    data = Fitting(backbone.encoder.flaws, config.on_bad_row).data(data)
    federation = build_federation(config, data, backbone, budget)
    plan = checked_plan(method.plan(federation), method, private=budget is not None)
    check_reachable(plan, len(federation.ids), config)
    cost = estimate_cost(federation, plan, backbone, most_answers(method, plan, data))
    return DryRun(cost, shown_prompts(backbone.encoder, data.shares.train), data.notes, budget)
