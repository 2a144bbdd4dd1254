"""FedDPA-F (Yang et al. 2024, arXiv 2403.19211): a global adapter, then a personal one, mixed sample by sample."""

from dataclasses import replace

import numpy as np

from fedrouter_sim.clustering.normalizing import unit_rows
from fedrouter_sim.config.words import AUTO
from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.groups import whole_group
from fedrouter_sim.federation.plan import Asked, Choice, Deployment, LastRound, Plan, client_pool, pools_of
from fedrouter_sim.federation.questions import AskReferences
from fedrouter_sim.federation.schedule import share_steps
from fedrouter_sim.messages import ClientFacts, PoolAdapter
from fedrouter_sim.methods.fedavg import POOL, FedAvg

REFERENCES = 5  # training samples of a client that a test sample is compared with
MOST_PERSONAL = 0.5  # weight of the personal adapter at similarity 1


class FedDPA(FedAvg):
    """FedAvg for all rounds; then as many rounds in which each client trains a personal adapter, started from the
    global one, alone.

    The two share the client's local steps, so that a run takes as many as any other. A test sample is answered by the
    outputs (1 - a) B_g A_g + a B_l A_l; a is 0.5 times the mean cosine similarity of its embedding to those of 5 of the
    client's training samples. The embedding is ours (mean of the last hidden state over the bare instruction; the
    paper's is the last token's).
    """

    name = "feddpa"
    uses = frozenset({"embedding"})
    plans_by_clients = True

    def plan(self, federation: Federation) -> Plan:
        """Plan as FedAvg does, with the shared adapter's part of the steps.

        Raises:
            UserError: the layer of embeddings is to be chosen, which is by how well clusters agree: here are none.
        """
        if federation.config.embedding == AUTO:
            raise UserError(
                f"--embedding {AUTO}: goes by local clusters, of which --method {self.name} has none; name a layer"
            )
        plan = super().plan(federation)
        groups = tuple(
            replace(group, steps=_parts(federation, client)[0])
            for client, group in zip(federation.clients, plan.groups, strict=True)
        )
        return replace(plan, groups=groups, until=federation.config.rounds, more_follows=True, by_updates=False)

    def next_plan(self, federation: Federation, last: LastRound) -> Plan:
        """Give every client a personal adapter, for as many rounds again."""
        clients, config = federation.clients, federation.config
        groups = tuple(
            whole_group(client, client_pool(client.id), rank=1, steps=_parts(federation, client)[1])
            for client in clients
        )
        own = pools_of(groups, [group.pool for group in groups])
        pools = (*last.plan.pools, *(replace(pool, parent=POOL, private=True) for pool in own))
        drawn = federation.ask(AskReferences(REFERENCES, config.seed, "feddpa references"))
        references = {client_pool(message.client): message.embeddings for message in drawn}
        final = PoolAdapter(last.adapters[POOL])
        federation.tell({client.id: final for client in clients})
        return Plan(groups, pools, state=references, until=2 * config.rounds)

    def answered_by(self, deployment: Deployment, asked: Asked, routing: str) -> list[Choice]:
        """Answer by the mixed outputs of the global and the personal adapter."""
        own = client_pool(asked.client)
        if own not in deployment.state:  # before the personal adapters are there
            return super().answered_by(deployment, asked, routing)
        similarity = unit_rows(asked.embeddings) @ unit_rows(deployment.state[own]).T  # (n, references)
        personal = MOST_PERSONAL * np.clip(similarity.mean(axis=1), 0, 1)
        return [Choice(((POOL, 1 - float(a)), (own, float(a)))) for a in personal]


def _parts(federation: Federation, client: ClientFacts) -> list[int]:
    """Return the steps of a client's shared and personal part in a round of each."""
    both = [whole_group(client, POOL), whole_group(client, client_pool(client.id), rank=1)]
    return share_steps(both, federation.config.local_steps, federation.config.budget)
