"""What a person sees while it runs."""

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from fedrouter_sim.cli.progress import ProgressDisplay
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.observers import RoundRecord
from fedrouter_sim.federation.plan import Plan
from fedrouter_sim.methods import find_method
from fedrouter_sim.simulation import simulate

FederationMaker = Callable[..., Federation]


def shown(federation: Federation, method: str = "fedrouter", terminal: bool = False) -> tuple[str, ProgressDisplay]:
    """Simulate with a display and return what it printed."""
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100)
    with ProgressDisplay(console) as display:
        display.started("loading data and backbone")
        simulate(federation, find_method(method), display)
        display.started("answering test samples", 8)
        display.advanced(8)
    output = console.file
    assert isinstance(output, io.StringIO)
    return output.getvalue(), display


def test_a_line_a_round_where_there_is_no_terminal(federate: FederationMaker) -> None:
    text, _ = shown(federate())
    lines = text.splitlines()
    assert lines[0] == "loading data and backbone"
    assert lines[1] == "training (32)"
    assert [line.split("  loss")[0] for line in lines[2:4]] == ["round 1/2", "round 2/2"]
    assert "task_0 " in lines[2]
    assert lines[-1] == "answering test samples (8)"
    assert "\x1b" not in text


def test_a_bar_on_a_terminal(federate: FederationMaker) -> None:
    text, _ = shown(federate(), terminal=True)
    assert "\x1b" in text
    assert "training (32)" not in text


@pytest.mark.parametrize(
    ("changes", "total"),
    [({}, 32), ({"participation": 0.5}, 16), ({"budget": "per-group", "rounds": 1}, 32)],
)
def test_expected_steps(federate: FederationMaker, changes: dict[str, object], total: int) -> None:
    text, _ = shown(federate(**changes))
    assert f"training ({total})" in text


def test_every_method_is_shown(federate: FederationMaker) -> None:
    assert "training (0)" in shown(federate(), "base")[0]
    assert "client_003" in shown(federate(rounds=1), "local")[0]


def test_rounds_of_a_plan_that_follows_are_counted_on(federate: FederationMaker) -> None:
    text, _ = shown(federate(local_steps=2), "feddpa")
    shown_rounds = [line.split("  loss")[0] for line in text.splitlines() if line.startswith("round")]
    assert shown_rounds == ["round 1/2", "round 2/2", "round 3/4", "round 4/4"]
    assert text.count("training (8)") == 2


def test_validation_is_printed_on_a_terminal_too() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with ProgressDisplay(console) as display:
        display.stepped(1.0)  # before anything was started: nothing to advance
        display.advanced(1)
        display.planned(Plan(), 3, 9)
        record = RoundRecord(2, 0.1, [0], losses={"global": 1.25}, validation={"rouge1": 0.5})
        display.round_started(record)
        display.client_started(7, 3)
        display.round_ended(record, {})
    assert isinstance(console.file, io.StringIO)
    assert "round 2/3  loss global 1.250  validation rouge1 0.500" in console.file.getvalue()


def test_a_step_says_where_it_is() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    display = ProgressDisplay(console)
    display.planned(Plan(), 3, 9)
    display.round_started(RoundRecord(2, 0.1, [0]))
    display.client_started(7, 3)
    display.stepped(1.25)
    [task] = display._progress.tasks
    assert (task.description, task.completed, task.total) == ("round 2/3  client 7  loss 1.250", 1, 9)


def test_the_first_metric_of_a_validation_is_shown() -> None:
    console = Console(file=io.StringIO(), width=100)
    display = ProgressDisplay(console)
    display.planned(Plan(), 1, 9)
    record = RoundRecord(1, 0.1, [0], losses={"global": 1.25}, validation={"loss": 0.75, "loss/sum": 0.5})
    display.round_started(record)
    display.round_ended(record, {})
    assert isinstance(console.file, io.StringIO)
    assert "round 1/1  loss global 1.250  validation loss 0.750" in console.file.getvalue()
