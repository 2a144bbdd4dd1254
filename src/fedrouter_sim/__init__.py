"""FedRouter (arXiv 2604.00050): task-centric federated fine-tuning of language models, simulated in one process.

The names of `__all__` are the public API (docs/api.md); the command line is made of them. Each is imported when it is
first asked for, so that `import fedrouter_sim` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from fedrouter_sim.config import RunConfig
    from fedrouter_sim.errors import UserError
    from fedrouter_sim.examples.record import Example, Shares
    from fedrouter_sim.methods import (
        Asked,
        Choice,
        Deployment,
        Federation,
        FedRouter,
        Method,
        Plan,
        Pool,
        group_by,
        pools_of,
        whole_group,
    )
    from fedrouter_sim.operations.aggregate import Aggregated, aggregate
    from fedrouter_sim.operations.evaluate import Evaluated, evaluate
    from fedrouter_sim.operations.export import Exported, export
    from fedrouter_sim.operations.join import aggregate_folders
    from fedrouter_sim.operations.route import Routed, RoutedModel
    from fedrouter_sim.operations.train import Display, Trained, train
    from fedrouter_sim.runs.run_folder import Run

_HOMES = {
    "config": "RunConfig",
    "errors": "UserError",
    "examples.record": "Example Shares",
    "methods": "Asked Choice Deployment FedRouter Federation Method Plan Pool group_by pools_of whole_group",
    "operations.aggregate": "Aggregated aggregate",
    "operations.join": "aggregate_folders",
    "operations.evaluate": "Evaluated evaluate",
    "operations.export": "Exported export",
    "operations.route": "Routed RoutedModel",
    "operations.train": "Display Trained train",
    "runs.run_folder": "Run",
}
_MODULE_OF = {name: f"fedrouter_sim.{module}" for module, names in _HOMES.items() for name in names.split()}

__all__ = [
    "Aggregated",
    "Asked",
    "Choice",
    "Deployment",
    "Display",
    "Evaluated",
    "Example",
    "Exported",
    "FedRouter",
    "Federation",
    "Method",
    "Plan",
    "Pool",
    "Routed",
    "RoutedModel",
    "Run",
    "RunConfig",
    "Shares",
    "Trained",
    "UserError",
    "__version__",
    "aggregate",
    "aggregate_folders",
    "evaluate",
    "export",
    "group_by",
    "pools_of",
    "train",
    "whole_group",
]

if not TYPE_CHECKING:  # a type checker goes by the imports above

    def __getattr__(name: str) -> Any:
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
