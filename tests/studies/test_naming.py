"""What runs are called beside others."""

from typing import Any

from fedrouter_sim.config import RunConfig
from fedrouter_sim.studies.naming import Told, names_of


def told(method: str, **settings: Any) -> Told:
    return Told(method, "dual", 1, RunConfig(method=method, **settings).to_dict())


def test_runs_of_a_method_are_told_apart_by_the_settings_in_which_they_differ() -> None:
    runs = [told("fedrouter", lr=0.1), told("fedrouter", lr=0.1, lr_scaling="none"), told("local", lr=0.1)]
    assert names_of(runs) == ["fedrouter (lr_scaling=clients)", "fedrouter (lr_scaling=none)", "local"]


def test_what_a_planned_run_does_not_read_names_nothing() -> None:
    planned = [told("fedavg", lr=0.1), told("fedavg", lr=0.2, lr_scaling="none")]
    found = [told("fedavg", lr=0.1, lr_scaling="none"), told("fedavg", lr=0.2)]
    assert names_of(planned, planned) == names_of(found, planned) == ["fedavg (lr=0.1)", "fedavg (lr=0.2)"]
    # Side by side without a plan, whatever tells folders apart is said.
    assert names_of(found) == ["fedavg (lr=0.1, lr_scaling=none)", "fedavg (lr=0.2, lr_scaling=clients)"]
