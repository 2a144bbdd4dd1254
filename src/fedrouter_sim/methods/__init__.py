"""The methods, one file each, and the table that `--method` chooses from."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fedrouter_sim.tables import Options, Table

if TYPE_CHECKING:
    from fedrouter_sim.methods.method import Method

METHODS: "Table[Method]" = Table(
    kind="method",
    flag="--method",
    base="fedrouter_sim.methods.method:Method",
    rows={
        "base": "fedrouter_sim.methods.bare_backbone:BareBackbone",
        "local": "fedrouter_sim.methods.local:Local",
        "fedavg": "fedrouter_sim.methods.fedavg:FedAvg",
        "fedprox": "fedrouter_sim.methods.fedprox:FedProx",
        "clustered": "fedrouter_sim.methods.clustered:Clustered",
        "ditto": "fedrouter_sim.methods.ditto:Ditto",
        "feddpa": "fedrouter_sim.methods.feddpa:FedDPA",
        "fedrouter": "fedrouter_sim.methods.fedrouter:FedRouter",
        "oracle": "fedrouter_sim.methods.oracle:Oracle",
        "central": "fedrouter_sim.methods.central:Central",
    },
)


def find_method(name: str, options: Options | None = None) -> "Method":
    """Return a method by its name, or the user's own by FILE.py:CLASS; that file is run.

    Raises:
        UserError: there is no such method, or the file does not run or does not hold such a class.
    """
    return METHODS.find(name, options)


_FOR_METHOD_FILES = {
    "fedrouter_sim.federation.plan": "Asked Choice Deployment Labelled LastRound Plan Pool client_pool pools_of",
    "fedrouter_sim.federation.groups": "Group Pull group_by whole_group",
    "fedrouter_sim.federation.federation": "Federation",
    "fedrouter_sim.methods.method": "Method",
    "fedrouter_sim.methods.fedavg": "FedAvg",
    "fedrouter_sim.methods.fedrouter": "FedRouter",
}
_MODULE_OF = {name: module for module, names in _FOR_METHOD_FILES.items() for name in names.split()}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Find what a file with a method of one's own needs; imported late, so that the table costs nothing."""
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_MODULE_OF[name]), name)
