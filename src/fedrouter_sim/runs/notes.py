"""What a user should know beside the numbers of a run."""

from collections.abc import Mapping

from fedrouter_sim.adapters.aggregation import AGGREGATIONS
from fedrouter_sim.backbone.prompts import CHAT_TEMPLATE
from fedrouter_sim.config import RunConfig
from fedrouter_sim.config.words import NONE
from fedrouter_sim.federation.hostile import said_of_attackers
from fedrouter_sim.federation.observers import RoundRecord, said_of_clients
from fedrouter_sim.methods import METHODS
from fedrouter_sim.partition.run_data import RunData
from fedrouter_sim.runs.births import asleep_after, births_of, said_of
from fedrouter_sim.simulation import Outcome


def _shares_in_vain(config: RunConfig) -> bool:
    if config.sharing == NONE or AGGREGATIONS.class_of(config.aggregation).keeps_basis:
        return False
    return "sharing" in METHODS.class_of(config.method).uses


def _validation_failed(record: RoundRecord, every: int) -> bool:
    return bool(every) and record.round % every == 0 and record.validation is None


def notes_of(config: RunConfig, data: RunData, outcome: Outcome, cut: Mapping[str, int]) -> list[str]:
    """Return a sentence each on conversations put as text, instructions cut, sharing without effect, clients that lied
    or failed, rounds whose validation failed, tasks that were born or sleep, and clusters or tasks fewer than asked
    for.

    Args:
        config: the settings.
        data: what the clients held.
        outcome: of the simulation.
        cut: how many instructions were cut to fit, by 'train' and 'test'.
    """
    notes = []
    if config.template != CHAT_TEMPLATE and any(example.turns for example in data.shares.train):
        notes.append(
            f"conversations are put into --template {config.template} as text; --template {CHAT_TEMPLATE} takes the "
            "model's own"
        )
    if any(cut.values()):
        notes.append(
            f"{cut['train']} training and {cut['test']} test instructions were cut to fit --max-tokens and context"
        )
    if _shares_in_vain(config):
        notes.append(
            f"tasks share nothing: --aggregation {config.aggregation} makes factors that cannot be compared between "
            f"tasks; take another rule, or --sharing {NONE} to say so"
        )
    notes += [*said_of_attackers(len(data.clients), config), *said_of_clients(outcome.records)]
    missing = [record.round for record in outcome.records if _validation_failed(record, config.eval_every)]
    if missing:
        notes.append(f"validation failed, so these rounds have no scores on its rows: {', '.join(map(str, missing))}")
    router, archive = outcome.plan.router, outcome.plan.archive
    if router is not None and len(outcome.stages) > 1:
        notes += said_of(births_of(outcome.stages), asleep_after(outcome.stages))
    if archive is not None:
        wanted = 1 if isinstance(config.local_clusters, str) else config.local_clusters
        fewer = sum(len(message.sizes) < wanted for message in archive.clients)
        if fewer:
            notes.append(f"{fewer} clients have fewer than --local-clusters {wanted} distinct clusters")
    if router is not None and not isinstance(config.tasks, str) and len(router.centroids) < config.tasks:
        notes.append(f"global clustering found {len(router.centroids)} tasks, fewer than --tasks {config.tasks}")
    return notes
