"""What tests see of a federation that its methods do not: the clients themselves."""

from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.federation.client import Client
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.workers import InProcess


def clients_of(federation: Federation) -> list[Client]:
    """Return the clients in this process, in client order."""
    workers = federation.workers
    assert isinstance(workers, InProcess)
    return list(workers._clients.values())


def backbone_of(federation: Federation) -> Backbone:
    """Return the one backbone that they share."""
    return clients_of(federation)[0]._backbone
