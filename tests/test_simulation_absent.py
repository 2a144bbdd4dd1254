"""Rounds in which clients vanish or come late, and rounds with too few of them."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from some_adapters import aggregated
from some_adapters import same as alike

from fedrouter_sim import simulation
from fedrouter_sim.adapters.aggregation import find_aggregation
from fedrouter_sim.adapters.state import adapter_bytes
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import Interrupted
from fedrouter_sim.evaluation.metrics import find_metric
from fedrouter_sim.federation.absences import Absences
from fedrouter_sim.federation.observers import Display, said_of_clients
from fedrouter_sim.messages import Update
from fedrouter_sim.operations.train import train
from fedrouter_sim.report.tables import summary_table
from fedrouter_sim.runs.reader import Run

ConfigMaker = Callable[..., RunConfig]
Fail = Callable[[dict[int, Absences]], None]
QUICK = {"rounds": 2, "local_steps": 1}


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch) -> Fail:
    """Have clients fail in some rounds."""

    def begin(by_round: dict[int, Absences]) -> None:
        monkeypatch.setattr(simulation, "draw_absences", lambda chosen, config, r: by_round.get(r, Absences()))

    return begin


def mean_of(updates: list[Update]) -> Any:
    return aggregated(find_aggregation("mean", 2)(), [u.adapter for u in updates], [u.examples for u in updates])


def test_where_nobody_sends_anything_nobody_is_late_or_missed(run_method: Callable[..., Any]) -> None:
    done = run_method("local", stragglers=0.9, client_dropout=0.9, min_participants=9, **QUICK)
    assert [(record.dropped, record.late, record.skipped) for record in done.outcome.records] == [([], [], False)] * 2
    assert said_of_clients(done.outcome.records) == []


def test_in_the_rounds_in_which_clients_train_alone_nobody_is_missed(run_method: Callable[..., Any]) -> None:
    """FedDPA's second half: the shared adapter is there, and nobody trains it."""
    done = run_method("feddpa", stragglers=0.9, client_dropout=0.9, min_participants=1, **QUICK)
    shared, alone = done.outcome.records[:2], done.outcome.records[2:]
    assert any(record.dropped or record.late for record in shared[:1])
    assert [(record.dropped, record.late, record.skipped) for record in alone] == [([], [], False)] * 2


def test_who_vanishes_has_trained_and_sent_nothing(run_method: Callable[..., Any], fail: Fail) -> None:
    fail({2: Absences(dropped=(1,))})
    done = run_method("fedavg", **QUICK)
    first, second = done.outcome.records
    assert (first.dropped, second.dropped) == ([], [1])
    assert second.steps == 4 and second.bytes_up == 3 * adapter_bytes(done.federation.initial)
    assert second.bytes_down == 4 * adapter_bytes(done.federation.initial)
    heard = done.heard.updates[2]
    assert [update.client for update in heard] == [0, 2, 3]
    assert alike(done.outcome.adapters["global"], mean_of(heard))
    assert second.losses["global"] == pytest.approx(sum(update.loss for update in heard) / 3)


def test_what_is_late_counts_a_round_later(run_method: Callable[..., Any], fail: Fail) -> None:
    fail({1: Absences(late=(2,))})
    done, in_time = run_method("fedavg", **QUICK), run_method("fedavg", late="drop", **QUICK)
    first, second = done.outcome.records
    assert (first.late, first.joined, second.late, second.joined) == ([2], [], [], [2])
    heard = done.heard.updates
    assert [update.client for update in heard[1]] == [0, 1, 3, 2]  # as they came
    assert [update.client for update in heard[2]] == [0, 1, 2, 3]
    assert alike(done.outcome.adapters["global"], mean_of([heard[1][3], *heard[2]]))
    assert first.bytes_up == 4 * adapter_bytes(done.federation.initial)  # it is under way
    assert [(r.late, r.joined) for r in in_time.outcome.records] == [([2], []), ([], [])]
    assert alike(in_time.outcome.adapters["global"], mean_of(in_time.heard.updates[2]))
    assert [update.client for update in in_time.heard.updates[2]] == [0, 1, 2, 3]


def test_what_is_late_in_the_last_round_counts_never(run_method: Callable[..., Any], fail: Fail) -> None:
    fail({2: Absences(late=(0, 3))})
    done = run_method("fedavg", **QUICK)
    assert [update.client for update in done.heard.updates[2]] == [1, 2]
    assert said_of_clients(done.outcome.records) == [
        "clients whose updates came late, summed over rounds: 2; those of 0 counted a round later, those of 2 never"
    ]


def test_all_come_in_time_in_the_round_that_a_plan_is_made_from(run_method: Callable[..., Any], fail: Fail) -> None:
    fail({1: Absences(dropped=(0,), late=(1,)), 2: Absences(dropped=(0,))})
    done = run_method("clustered", **QUICK)
    assert [(record.dropped, record.late) for record in done.outcome.records] == [([], []), ([0], [])]


def test_what_is_late_when_the_clients_data_drift_counts_never(run_method: Callable[..., Any], fail: Fail) -> None:
    fail({1: Absences(late=(1,))})
    records = run_method("fedavg", **QUICK, drift_at=2, drift_to="single").outcome.records
    assert (records[0].late, records[1].joined, records[1].refused) == ([1], [], [])


def test_a_late_update_is_no_part_of_what_a_plan_is_made_from(run_method: Callable[..., Any], fail: Fail) -> None:
    fail({1: Absences(late=(1,))})
    done = run_method("clustered", rounds=3, warmup_rounds=2, local_steps=1)
    assert done.outcome.records[1].joined == [1]
    assert {group.client for group in done.outcome.plan.groups} == {0, 1, 2, 3}


def test_a_round_with_too_few_clients_changes_nothing_that_is_shared(
    run_method: Callable[..., Any], fail: Fail
) -> None:
    fail({1: Absences(dropped=(0, 1))})
    done = run_method("ditto", min_participants=3, rounds=1, local_steps=1)
    assert done.outcome.records[0].skipped
    shared = [pool.name for pool in done.outcome.plan.pools if not pool.private]
    for pool, adapter in done.outcome.adapters.items():
        assert alike(adapter, done.federation.initial) == (pool in shared)


def test_everybody_may_be_away(run_method: Callable[..., Any], fail: Fail) -> None:
    fail({1: Absences(dropped=(0, 1, 2, 3))})
    done = run_method("fedavg", rounds=1, local_steps=1)
    assert alike(done.outcome.adapters["global"], done.federation.initial)
    assert (done.outcome.records[0].losses, done.outcome.records[0].bytes_up) == ({}, 0)


@pytest.mark.parametrize("method", ["local", "central"])
def test_where_nothing_is_sent_nothing_is_lost(run_method: Callable[..., Any], method: str) -> None:
    harsh = {"client_dropout": 1.0, "min_participants": 4}
    one, two = (run_method(method, rounds=1, local_steps=1, **more) for more in ({}, harsh))
    assert all(alike(own, two.outcome.adapters[pool]) for pool, own in one.outcome.adapters.items())
    assert not two.outcome.records[0].skipped


class StopAt(Display):
    """Stops at an optimizer step, and hears what is said."""

    def __init__(self, step: int = 0) -> None:
        self.left, self.said = step, list[str]()

    def stepped(self, loss: float) -> None:
        self.left -= 1
        if self.left == 0:
            raise Interrupted("enough")

    def noted(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture
def absent_run(
    micro_config: ConfigMaker, backbone: Any, fail: Fail, tmp_path: Path
) -> Iterator[tuple[RunConfig, Path, StopAt]]:
    fail({1: Absences(dropped=(0, 1, 3), late=(2,)), 2: Absences(dropped=(0,), late=(3,))})
    config = micro_config(
        method="fedavg", min_participants=2, attack="noise", attackers=0.5, test_examples_per_client=1, **QUICK
    )
    heard = StopAt()
    train(config, tmp_path / "whole", backbone=backbone, display=heard)
    yield config, tmp_path / "whole", heard


def test_a_run_says_who_was_away_and_goes_on_after_a_stop_with_the_same_bytes(
    absent_run: tuple[RunConfig, Path, StopAt],
    tmp_path: Path,
    backbone: Any,
    trained_bytes: Callable[[Path], dict[str, bytes]],
) -> None:
    config, whole, heard = absent_run
    lines = [json.loads(line) for line in (whole / "rounds.jsonl").read_text(encoding="utf-8").splitlines()]
    names = ("dropped", "late", "joined", "skipped")
    assert [{name: line[name] for name in names if name in line} for line in lines] == [
        {"dropped": [0, 1, 3], "late": [2], "skipped": True},
        {"dropped": [0], "late": [3], "joined": [2]},
    ]
    assert any(said.startswith("round 1: updates of 0 clients came, fewer than --min-part") for said in heard.said)
    summary = Run(whole).summary
    assert (summary.clients_dropped, summary.clients_late, summary.clients_joined, summary.rounds_skipped) == (
        4,
        2,
        1,
        1,
    )
    assert "Rounds skipped for want of clients" in list(summary_table(summary, find_metric("rouge1")).columns[0].cells)
    for step in (2, 4 + 3):  # in the first round, and in the second with a late update and those of two clients kept
        stopped = tmp_path / f"stopped-{step}"
        with pytest.raises(Interrupted):
            train(config, stopped, display=StopAt(step), backbone=backbone, checkpoint_every="client")
        again = train(config, stopped, backbone=backbone, resume=True)
        assert trained_bytes(again.folder) == trained_bytes(whole)
        assert any("--attack noise: 2 of 4 clients are hostile: " in note for note in again.notes)


def test_a_run_without_absences_says_nothing_of_them(finished_run: Path) -> None:
    rounds = (finished_run / "rounds.jsonl").read_text(encoding="utf-8")
    assert not any(f'"{name}"' in rounds for name in ("dropped", "late", "joined", "skipped"))
