"""What a run will cost: counted from its plan, and timed by one of its own optimizer steps."""

import torch

from fedrouter_sim.adapters.state import adapter_bytes
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.federation.cost import Cost
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.plan import Plan
from fedrouter_sim.federation.questions import AskGroupTokens, AskStepTime
from fedrouter_sim.federation.schedule import client_steps, expected_share, last_round


def estimate_cost(federation: Federation, plan: Plan, backbone: Backbone, answers: int) -> Cost:
    """Count what a plan will take, and time one step of its largest group.

    Args:
        federation: the settings and the clients.
        plan: the method's first.
        backbone: what trains.
        answers: test samples that will be answered at most.
    """
    config = federation.config
    if plan.gathered:
        federation = federation.gathered()
    rounds = last_round(plan, config)
    taking_part = expected_share(len(federation.clients), config)
    steps = tokens = 0.0
    groups = {client: plan.groups_of(client) for client in federation.ids}
    means = federation.ask(AskGroupTokens(groups)) if plan.groups else []
    for client, of_client in zip(federation.ids, means, strict=bool(means)):
        for of_group, mean_tokens in zip(client_steps(plan, client, config), of_client.means, strict=True):
            steps += of_group * rounds * taking_part
            tokens += of_group * rounds * taking_part * config.batch_size * mean_tokens
    per_step = per_token = None
    if plan.groups:
        largest = max(plan.groups, key=lambda group: len(group.examples))  # the first of equal ones
        [measured] = federation.ask(AskStepTime(largest), [largest.client])
        per_step, per_token = measured.seconds, measured.seconds / measured.tokens
    return Cost(
        parameters=backbone.parameters,
        adapter_parameters=sum(value.numel() for value in federation.initial.values()),
        adapter_bytes=adapter_bytes(federation.initial),
        adapters=len(plan.pools),
        steps=round(steps),
        tokens=round(tokens),
        seconds_per_step=per_step,
        train_seconds=None if per_token is None else per_token * tokens / federation.workers.size,
        answers=answers,
        longest_answer=max((pool.answer_tokens for pool in plan.pools), default=0),
        dtype=backbone.dtype,
        device=backbone.device,
        threads=torch.get_num_threads(),
        more_follows=plan.more_follows,
    )
