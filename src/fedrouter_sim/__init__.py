"""FedRouter (arXiv 2604.00050): task-centric federated fine-tuning of language models, simulated in one process.

The names of `__all__` are the public API (docs/python.md); the command line is made of them. Each is imported when it
is first asked for, so that `import fedrouter_sim` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fedrouter_sim.version import __version__

if TYPE_CHECKING:
    from fedrouter_sim.adapters.aggregation.rule import Aggregation
    from fedrouter_sim.adapters.sharing.rule import SharedRound, Sharing
    from fedrouter_sim.adapters.state import Adapter
    from fedrouter_sim.config import RunConfig
    from fedrouter_sim.errors import UserError
    from fedrouter_sim.evaluation.metrics.metric import Answered, Metric
    from fedrouter_sim.examples.record import Example, Shares
    from fedrouter_sim.federation.attacks.attack import Attack
    from fedrouter_sim.federation.federation import Federation
    from fedrouter_sim.federation.groups import Group, Pull, group_by, whole_group
    from fedrouter_sim.federation.observers import Display
    from fedrouter_sim.federation.plan import (
        Asked,
        Choice,
        Deployment,
        Labelled,
        LastRound,
        Plan,
        Pool,
        client_pool,
        pools_of,
    )
    from fedrouter_sim.messages import CentroidMessage, Update
    from fedrouter_sim.methods.fedrouter import FedRouter
    from fedrouter_sim.methods.method import Method
    from fedrouter_sim.operations.aggregate import aggregate
    from fedrouter_sim.operations.evaluate import Evaluated, evaluate
    from fedrouter_sim.operations.export import Exported, export
    from fedrouter_sim.operations.join import aggregate_folders
    from fedrouter_sim.operations.route import Routed, RoutedModel
    from fedrouter_sim.operations.train import Trained, train
    from fedrouter_sim.partition.splits.split import FractionSplit, Split, Wanted
    from fedrouter_sim.routing import task_name
    from fedrouter_sim.routing.rule import Landmarks, Routes, RoutingRule
    from fedrouter_sim.runs.aggregated import Aggregated
    from fedrouter_sim.runs.reader import Run
    from fedrouter_sim.runs.summary import Summary

_HOMES = {
    "adapters.aggregation.rule": "Aggregation",
    "adapters.sharing.rule": "SharedRound Sharing",
    "adapters.state": "Adapter",
    "config": "RunConfig",
    "errors": "UserError",
    "evaluation.metrics.metric": "Answered Metric",
    "examples.record": "Example Shares",
    "federation.attacks.attack": "Attack",
    "federation.federation": "Federation",
    "federation.groups": "Group Pull group_by whole_group",
    "federation.observers": "Display",
    "federation.plan": "Asked Choice Deployment Labelled LastRound Plan Pool client_pool pools_of",
    "messages": "CentroidMessage Update",
    "methods.fedrouter": "FedRouter",
    "methods.method": "Method",
    "operations.aggregate": "aggregate",
    "operations.evaluate": "Evaluated evaluate",
    "operations.export": "Exported export",
    "operations.join": "aggregate_folders",
    "operations.route": "Routed RoutedModel",
    "operations.train": "Trained train",
    "partition.splits.split": "FractionSplit Split Wanted",
    "routing": "task_name",
    "routing.rule": "Landmarks Routes RoutingRule",
    "runs.aggregated": "Aggregated",
    "runs.reader": "Run",
    "runs.summary": "Summary",
}
_MODULE_OF = {name: f"fedrouter_sim.{module}" for module, names in _HOMES.items() for name in names.split()}

__all__ = [
    "Adapter",
    "Aggregated",
    "Aggregation",
    "Answered",
    "Asked",
    "Attack",
    "CentroidMessage",
    "Choice",
    "Deployment",
    "Display",
    "Evaluated",
    "Example",
    "Exported",
    "FedRouter",
    "Federation",
    "FractionSplit",
    "Group",
    "Labelled",
    "Landmarks",
    "LastRound",
    "Method",
    "Metric",
    "Plan",
    "Pool",
    "Pull",
    "Routed",
    "RoutedModel",
    "Routes",
    "RoutingRule",
    "Run",
    "RunConfig",
    "SharedRound",
    "Shares",
    "Sharing",
    "Split",
    "Summary",
    "Trained",
    "Update",
    "UserError",
    "Wanted",
    "__version__",
    "aggregate",
    "aggregate_folders",
    "client_pool",
    "evaluate",
    "export",
    "group_by",
    "pools_of",
    "task_name",
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
