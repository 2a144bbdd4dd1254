"""The methods, one file each, and the registry that `--method` chooses from."""

from fedrouter_sim.errors import UserError
from fedrouter_sim.methods.base import Base
from fedrouter_sim.methods.fedavg import FedAvg
from fedrouter_sim.methods.fedrouter import FedRouter
from fedrouter_sim.methods.local import Local
from fedrouter_sim.methods.method import Asked, Federation, Method, Plan, Pool
from fedrouter_sim.methods.oracle import Oracle

__all__ = ["METHODS", "Asked", "Federation", "Method", "Plan", "Pool", "find_method"]

METHODS: dict[str, Method] = {method.name: method for method in (FedRouter(), FedAvg(), Local(), Oracle(), Base())}


def find_method(name: str) -> Method:
    """Return a method by its name.

    Raises:
        UserError: there is no such method.
    """
    if name not in METHODS:
        raise UserError(f"--method {name}: choose one of {', '.join(METHODS)}")
    return METHODS[name]
