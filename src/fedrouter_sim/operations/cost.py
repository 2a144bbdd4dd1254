"""What a run will cost: counted from its plan, and timed by one of its own optimizer steps."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean
from time import perf_counter

import torch

from fedrouter_sim.adapters.state import adapter_bytes
from fedrouter_sim.backbone.batching import draw_batches
from fedrouter_sim.backbone.model import Backbone, OptimizerSettings
from fedrouter_sim.config import RunConfig
from fedrouter_sim.federation.client import Client, participants, share_steps
from fedrouter_sim.messages import Group
from fedrouter_sim.methods import Federation, Plan, find_method
from fedrouter_sim.operations.prepare import build_federation, deal_data
from fedrouter_sim.randomness import numpy_generator
from fedrouter_sim.simulation import last_round

_QUICK = 1.0  # seconds: a first step that took less was mostly warming up, and is taken again


@dataclass(frozen=True)
class Cost:
    """What training will take. Answering the test samples comes on top."""

    parameters: int  # of the frozen backbone
    adapter_parameters: int  # trainable, of one adapter
    adapter_bytes: int  # of one adapter, as sent
    adapters: int  # pools
    steps: int  # optimizer steps; with partial participation, those to be expected
    tokens: int  # real tokens of all batches, to be expected
    seconds_per_step: float | None  # as measured; None where nothing trains
    train_seconds: float | None
    answers: int  # test samples to answer, over all cells at most
    longest_answer: int  # tokens
    dtype: str
    device: str
    threads: int
    more_follows: bool  # the method makes another plan later, which is not in these numbers


def estimate_cost(federation: Federation, plan: Plan, answers: int) -> Cost:
    """Count what a plan will take, and time one step of its largest group.

    The step's adapter is thrown away and it draws from generators of its own, so that the run is the same as without.

    Args:
        federation: the settings, the backbone and the clients.
        plan: the method's first.
        answers: test samples that will be answered at most.
    """
    config, backbone = federation.config, federation.backbone
    clients = plan.clients or federation.clients
    rounds = last_round(plan, config)
    taking_part = participants(len(clients), config.participation) / len(clients)
    steps = tokens = 0.0
    largest: tuple[Client, Group] | None = None
    for client, group, of_group in _groups(plan, clients, config):
        steps += of_group * rounds * taking_part
        tokens += of_group * rounds * taking_part * config.batch_size * _mean_tokens(client, group)
        if largest is None or len(group.examples) > len(largest[1].examples):
            largest = client, group
    per_step = per_token = None
    if largest is not None:
        per_step, step_tokens = _measured_step(federation, *largest)
        per_token = per_step / step_tokens
    initial = backbone.initial_adapter(config.seed)
    return Cost(
        parameters=backbone.parameters,
        adapter_parameters=sum(value.numel() for value in initial.values()),
        adapter_bytes=adapter_bytes(initial),
        adapters=len(plan.pools),
        steps=round(steps),
        tokens=round(tokens),
        seconds_per_step=per_step,
        train_seconds=None if per_token is None else per_token * tokens,
        answers=answers,
        longest_answer=max((pool.answer_tokens for pool in plan.pools), default=0),
        dtype=backbone.dtype,
        device=backbone.device,
        threads=torch.get_num_threads(),
        more_follows=plan.then is not None,
    )


def dry_run(config: RunConfig) -> Cost:
    """Load, deal out and plan a run as `train` does, and say what it will cost, without training it.

    Raises:
        UserError: the settings, the data or the backbone are not usable.
    """
    method = find_method(config.method)
    dealt = deal_data(config)
    federation = build_federation(config, dealt, Backbone(config))
    return estimate_cost(federation, method.plan(federation), dealt.samples() * len(method.routings))


def _groups(plan: Plan, clients: tuple[Client, ...], config: RunConfig) -> Iterator[tuple[Client, Group, int]]:
    """Yield every group with its client and its optimizer steps a round."""
    for client in clients:
        groups = plan.groups_of(client.id)
        for group, steps in zip(groups, share_steps(groups, config.local_steps, config.budget), strict=True):
            yield client, group, steps


def _mean_tokens(client: Client, group: Group) -> float:
    return fmean(len(client.encoded[i]) for i in group.examples)


def _measured_step(federation: Federation, client: Client, group: Group) -> tuple[float, int]:
    """Return the seconds and the tokens of one step, on the batch of middle length of the group's first round."""
    config = federation.config
    examples = [client.encoded[i] for i in group.examples]
    generator = numpy_generator(config.seed, "measured step")
    batches = draw_batches([len(example) for example in examples], config.local_steps, config.batch_size, generator)
    batch = sorted(batches, key=lambda indices: sum(len(examples[i]) for i in indices))[len(batches) // 2]
    settings = OptimizerSettings(config.lr, config.weight_decay, config.clip)
    start = federation.backbone.initial_adapter(config.seed)
    seconds, tokens = 0.0, 1
    for _ in range(2):
        started = perf_counter()
        tokens = federation.backbone.train(start, examples, [batch], settings, dropout_seed=0).tokens
        seconds = perf_counter() - started
        if seconds > _QUICK:
            break
    return seconds, tokens
